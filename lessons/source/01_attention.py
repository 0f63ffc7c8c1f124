# %% [markdown]
# # Attention: a word looks at the others
#
# > What does "she" mean? To find out, a word has to look at the words around it. How does a network do that?
#
# At the end of this lesson you will have written the one formula that every model of this family is built on. It needs
# a dot product, a softmax and a weighted mean, and nothing else.
#
# Here is where it leads: a real BERT, six layers deep, reads a sentence. Each row is one *token* (a word, a part of
# one, or a sign), and shows how it spreads its attention over the others. Look at the rows of *she* and *it*.

# %%
import math

import torch
from torch.nn import functional as F

import minibert
from minibert import plots
from minibert.attention import attention as library_attention, causal_mask as library_causal

bert = minibert.from_pretrained("minilm-l6")
tok = minibert.load_tokenizer("minilm-l6")
sentence = "My sister chose the film, but she slept through it."
tokens = tok.encode(sentence).tokens
with torch.no_grad():
    output = bert(**tok(sentence), return_attention=True)
attentions = torch.cat(output.attentions)  # (L, H, S, S)

layer, head = 3, 1  # counted from 0: people say layer 4, head 2
nouns = {"she": "sister", "it": "film"}
pairs = [(tokens.index(pronoun), tokens.index(noun)) for pronoun, noun in nouns.items()]
title = "One head of a real BERT: pronouns look at their nouns"
plots.attention(attentions[layer, head], tokens, pairs, title)

# %% [markdown]
# Nobody told this model what a pronoun is. *she* puts
# {{float(attentions[layer, head][pairs[0]]) | .2f}} of its attention on *sister*, and *it* puts
# {{float(attentions[layer, head][pairs[1]]) | .2f}} on *film*. By the end of this page you can compute such a picture.
#
# (`[CLS]` and `[SEP]` are marks that BERT puts before and after a text. The next lessons come back to them.)
#
# ## One dot product
#
# A network knows a word as a *vector*, a list of numbers. The dot product of two vectors says how much they point the
# same way:
#
# $$q \cdot k = \sum_{i=1}^{K} q_i k_i$$
#
# Large and positive: the same direction. Near zero: at right angles, nothing to do with each other. Negative: opposite.

# %%
vectors = {"she": (1.0, 2.0), "sister": (1.4, 1.2), "film": (2.0, -0.8), "slept": (-0.4, -1.2)}
she = torch.tensor(vectors["she"])
for word, vector in vectors.items():
    print(f"she · {word:<7} = {she @ torch.tensor(vector):5.2f}")

plots.vectors(vectors, title="Who points the same way as she?")

# %% [markdown]
# If a word wants to know which other words matter to it, this is a natural way to ask. So give each token two vectors:
#
# - a **query** $q$: what am I looking for?
# - a **key** $k$: what do I have to offer?
#
# The score of a pair is the dot product of one token's query with the other's key. In a trained network both come out
# of learned layers (next lesson). Here we draw random ones: the arithmetic is the same.

# %%
torch.manual_seed(0)
words = ["my", "sister", "chose", "the", "film"]
S, K = len(words), 4  # five tokens, four features each
q = torch.randn(S, K)
k = torch.randn(S, K)

score = q[1] @ k[4]  # "sister" asks "film"
score

# %% [markdown]
# ## All pairs at once
#
# Every token asks every token: a table of dot products. That is a matrix product, with the keys transposed so that
# features meet features:
#
# $$q\,k^\top: \quad (S, K) \times (K, T) \rightarrow (S, T)$$
#
# $S$ counts the queries and $T$ the keys. Here a text looks at itself, so they are equal; they need not be.

# %%
scores = q @ k.transpose(-2, -1)
print("q      ", tuple(q.shape))
print("kᵀ     ", tuple(k.transpose(-2, -1).shape))
print("scores ", tuple(scores.shape))
assert torch.isclose(scores[1, 4], score)

title = "Scores: row = who asks, column = who is asked"
plots.grid(scores, words, words, title, row_label="query of", column_label="key of")

# %% [markdown]
# ## From scores to weights
#
# A score can be any number. To mix the tokens we want *shares*: none negative, and each row's sum equal to one. The
# softmax does that:
#
# $$\text{softmax}(x)_j = \frac{e^{x_j}}{\sum_t e^{x_t}}$$
#
# The row belongs to the one who asks, so the sum runs over those who are asked: the keys, the **last** axis.

# %%
weights = scores.softmax(dim=-1)
print("each row sums to   ", weights.sum(dim=-1))
print("each column sums to", weights.sum(dim=-2), "(whatever it likes)")

title = "Weights: each row is spread over the columns"
plots.grid(weights, words, words, title, row_label="this token …", column_label="… looks at")

# %% [markdown]
# ## Why divide by √K?
#
# Take two vectors of $K$ independent numbers, each with mean $0$ and variance $1$. Their dot product adds up $K$ terms,
# each of variance $1$, so it has variance $K$, and a standard deviation (its root) of $\sqrt{K}$: with more features
# the scores spread further apart. Measure it:

# %%
deviation = {}
for size in (4, 64, 512):
    many_q, many_k = torch.randn(2, 2000, size).unbind()
    deviation[size] = (many_q * many_k).sum(-1).std().item()
    print(f"K = {size:>3}: deviation {deviation[size]:4.1f}, √K = {math.sqrt(size):4.1f}")

# %% [markdown]
# A softmax of numbers that far apart gives nearly everything to the largest one. Then the others get no weight, and
# the scores hardly any gradient to learn from. Dividing by $\sqrt{K}$ brings the deviation back to one, whatever $K$
# is. Here one query asks five keys, as wide as in BERT-base, with and without the division:

# %%
torch.manual_seed(1)
wide_q, wide_k = torch.randn(64), torch.randn(5, 64)
raw = wide_k @ wide_q
panels = {
    "without: softmax(q kᵀ)": raw.softmax(-1),
    "with: softmax(q kᵀ / √K)": (raw / math.sqrt(64)).softmax(-1),
}
plots.distributions(panels, words, title="One query's weights, K = 64", unit="attention weight")

# %% [markdown]
# ## The mixture
#
# Each token has a third vector, its **value** $v$: what it hands over when it is looked at. What a query brings home is
# the mean of the values, weighted by its weights:

# %%
v = torch.randn(S, 3)  # values may have another width: here 3
weights = (scores / math.sqrt(K)).softmax(dim=-1)
output = weights @ v
print("weights", tuple(weights.shape), "@ v", tuple(v.shape), "-> output", tuple(output.shape))

by_hand = sum(weights[1, t] * v[t] for t in range(S))  # what "sister" brings home
print("by hand    ", by_hand)
print("output[1]  ", output[1])

# %% [markdown]
# That is all of it. The paper writes it in one line (Vaswani et al. 2017, equation 1), and so does the library:
#
# $$\text{Attention}(q, k, v) = \text{softmax}\left(\frac{q\,k^\top}{\sqrt{K}}\right) v$$
#
# | the paper | the code | shape |
# |---|---|---|
# | $q\,k^\top$ | `q @ k.transpose(-2, -1)` | (S, T) |
# | $/\sqrt{K}$ | `/ math.sqrt(q.shape[-1])` | (S, T) |
# | softmax | `.softmax(dim=-1)` | (S, T), each row sums to one |
# | $\ldots v$ | `@ v` | (S, K′) |
#
# ([minibert/attention.py](../minibert/attention.py) is the place to read on: the formula is the first function there.)

# %%
library_output, library_weights = library_attention(q, k, v)
print("same output: ", torch.allclose(output, library_output))
print("same weights:", torch.allclose(weights, library_weights))

# %% [markdown]
# ## Not everyone may be looked at
#
# Sometimes a token must not look at another: at padding, or at a word that comes later. A **mask** says so. In this
# library it is always a table of booleans, `True` where the query may look. Before the softmax, the scores of the
# forbidden ones become the lowest number there is, by
# `scores.masked_fill(~mask, torch.finfo(scores.dtype).min)`, and the softmax makes that zero.
#
# One such mask hides the future. A model that writes text word by word needs it. A BERT, which reads a whole text at
# once, does not.

# %%
allowed = library_causal(S)[0, 0]  # (1, 1, S, S) -> (S, S)
_, causal_weights = library_attention(q, k, v, allowed)
panels = {"who may be looked at": allowed.float(), "the weights": causal_weights}
plots.grids(panels, words, words, digits=(0, 2), title="What is hidden gets no weight")

# %% [markdown]
# The first token can look only at itself, so all its weight is there. Each row still sums to one: the weights are
# shared out among those who are left.
#
# And if nobody is left? Then all scores of a row are equally low, and the softmax shares evenly among the forbidden. So
# the library sets their weights to zero once more, after the softmax: who may look at nothing brings home zeros. (The
# next lesson shows how that happens, and what is worse.)
#
# ## More axes in front
#
# Nothing in the formula names the axes in front of the last two, so it works for whole batches: with texts (B) and
# heads (H) in front, `@` and `softmax` treat each of them by itself.

# %%
B, H = 2, 3
batch_q = torch.randn(B, H, 5, 4)
batch_k, batch_v = torch.randn(B, H, 7, 4), torch.randn(B, H, 7, 6)
batch_output, batch_weights = library_attention(batch_q, batch_k, batch_v)
print("q", tuple(batch_q.shape), " k", tuple(batch_k.shape), " v", tuple(batch_v.shape))
print("weights", tuple(batch_weights.shape), "  (B, H, S, T)")
print("output ", tuple(batch_output.shape), "  (B, H, S, K')")

# %% [markdown]
# Here S and T differ, and so do K and K′. It is a good habit to test with sizes that are all different: then most wrong
# axes give an error, or another shape, and do not slip through.
#
# ## What could go wrong
#
# These are real mistakes, and none of them stops the program. Two of them side by side with the right thing:

# %%
right = (q @ k.transpose(-2, -1) / math.sqrt(K)).softmax(dim=-1)
wrong_axis = (q @ k.transpose(-2, -1) / math.sqrt(K)).softmax(dim=-2)
reshaped = (q @ k.reshape(K, S) / math.sqrt(K)).softmax(dim=-1)
panels = {
    "right": right,
    "softmax over the queries": wrong_axis,
    "k reshaped, not transposed": reshaped,
}
for name, table in panels.items():
    print(f"{name:<26} sums of its rows:", *(f"{total:.2f}" for total in table.sum(-1)))

title = "The same queries and keys: right, and wrong in two ways"
plots.grids(panels, words, words, digits=2, title=title, arrows=False)

# %% [markdown]
# - **Softmax over the wrong axis.** Now the columns sum to one, and the rows do not. No shape tells: a softmax never
#   changes one.
# - **`reshape` in place of `transpose`.** A reshape keeps the numbers in their order and cuts them up anew, so that a
#   key gets pieces of several tokens. The rows sum to one, the shape fits, and every number is wrong.
# - **The mask multiplied with the scores.** A score of zero is not "forbidden" but "average": $e^0 = 1$.
# - **The mask the other way round.** Some libraries write `True` for "hide". Ask before you use one.
# - **Weights handed out after dropout.** In training, *dropout* (lesson 04) sets some weights to zero and makes the
#   rest larger. Mix with those; but the weights that you show should be the ones before it, whose rows sum to one.
#
# ## Exercises
#
# Write it yourself. Replace `raise NotImplementedError()`, run the cell, then the check below it. If it fails, it says
# what it found, and `.hint()` on its result says more, a little at a time.

# %% exercise="attention"

# %% exercise="causal-mask"

# %% [markdown]
# ## In short
#
# - A dot product says how much two vectors point the same way. All queries with all keys: `q @ k.transpose(-2, -1)`.
# - Divided by $\sqrt{K}$, so that the softmax does not harden when vectors get wide.
# - A softmax over the keys turns scores into shares; the output is the mean of the values, in these shares.
# - A mask takes tokens out before the softmax.
# - Attention is the **only** place in a BERT where tokens meet. All else works on each token by itself.
#
# **To read.** Vaswani et al. 2017, *Attention Is All You Need*, section 3.2.1. Then
# [minibert/attention.py](../minibert/attention.py) down to `fused_attention`.
#
# **Next:** [many heads, and masks](02_heads.ipynb).
