# %% [markdown]
# # Attention: a word looks at the others
#
# > "My mother met my father, but she left early." Who is *she*? A word has to look at other words to find out. How does
# > a network do that?
#
# At the end of this lesson you will have written the one formula that every model of this family is built on. It needs
# a dot product, a softmax and a weighted mean, and nothing else.
#
# First, see where it leads. A real BERT reads two sentences that differ in one letter. The picture shows one of its
# *heads*, which is a part of the network that compares tokens. A *token* is a word, a piece of a word or a punctuation
# mark. Each bar says how much of its attention the pronoun gives to a token.

# %% tags=["folded"]
import itertools
import math

import torch

import minibert
from minibert import plots
from minibert.attention import attention as library_attention

bert = minibert.from_pretrained("minilm-l6")
tok = minibert.load_tokenizer("minilm-l6")
layer, head = 1, 3  # code counts from zero, the text from one


def all_weights(sentence):
    with torch.no_grad():
        return torch.cat(bert(**tok(sentence), return_attention=True).attentions)  # (L, H, S, S)


# %%
looks = {}
for pronoun in ("she", "he"):
    sentence = f"My mother met my father, but {pronoun} left early."
    tokens = tok.encode(sentence).tokens
    looks[f"{pronoun} looks at …"] = all_weights(sentence)[layer, head, tokens.index(pronoun)]

labels = ["she / he" if token == "he" else token for token in tokens]
plots.distributions(looks, labels, "One letter changes where a real BERT looks", "attention weight")

# %% [markdown]
# *she* gives {{float(looks["she looks at …"][2]) | .2f}} of its attention to *mother*, *he* gives
# {{float(looks["he looks at …"][5]) | .2f}} to *father*. (`[CLS]` and `[SEP]` are marks that BERT puts before and after
# a text.) Nobody told the model what a pronoun is. (This is head {{head + 1}} of layer {{layer + 1}}. We count layers
# and heads from one; the code counts from zero.)
#
# How does the head do this? We build the picture number by number, and then test it on two hundred sentences.
#
# ## One dot product
#
# A network knows a token as a *vector*, a list of numbers. The dot product of two vectors grows with how much they
# point the same way, and with their lengths:
#
# $$q \cdot k = \sum_{i=1}^{K} q_i k_i$$
#
# Positive: roughly the same direction. Zero: at right angles. Negative: roughly opposite directions.

# %%
vectors = {"q": (1.0, 2.0), "k₁": (1.4, 1.2), "k₂": (2.0, -0.8), "k₃": (-0.4, -1.2)}
query = torch.tensor(vectors["q"])
for name in ("k₁", "k₂", "k₃"):
    print(f"q · {name} = {query @ torch.tensor(vectors[name]):5.2f}")

plots.vectors(vectors, title="Which key points the same way as the query q?")

# %% [markdown]
# So each token gets two vectors of $K$ numbers:
#
# - a **query** $q$: what am I looking for?
# - a **key** $k$: what can I be found by?
#
# The **score** of a pair is the dot product of one token's query with the other's key. In a trained network, learned
# layers compute both (next lesson). Here are the real ones of the head above, for the sentence with *she*, with $S$
# tokens, and the scores of one query against all keys:

# %%
sentence = "My mother met my father, but she left early."
tokens = tok.encode(sentence).tokens
with torch.no_grad():
    # the same numbers that the model computes; lesson 02 shows how
    x = bert(**tok(sentence), return_hidden=True).hidden_states[layer]
    block = bert.encoder.blocks[layer].attention
    q, k, v = (block.split_heads(part(x))[0, head] for part in (block.query, block.key, block.value))
S, K = q.shape
she = tokens.index("she")
scores = k @ q[she]  # (S, K) @ (K,) -> (S,): a score for each key
print("q", tuple(q.shape), " k", tuple(k.shape), " v", tuple(v.shape), " scores", tuple(scores.shape))

plots.distributions({"q of “she” · k": scores}, tokens, "One query, all keys", "score", digits=1)

# %% [markdown]
# ## Why divide by √K?
#
# Take two vectors of $K$ independent numbers, each with mean $0$ and variance $1$. Their dot product adds up $K$ terms,
# each of variance $1$, so it has variance $K$ and standard deviation $\sqrt{K}$: the wider the vectors, the further
# apart the scores (Vaswani et al. 2017, section 3.2.1). Measure it:

# %%
torch.manual_seed(0)
for size in (4, 64, 512):
    many_q, many_k = torch.randn(2, 2000, size).unbind()
    deviation = (many_q * many_k).sum(-1).std()
    print(f"K = {size:>3}: deviation {deviation:4.1f}, √K = {math.sqrt(size):4.1f}")

# %% [markdown]
# Dividing by $\sqrt{K}$ brings the deviation back to one, whatever $K$ is. This matters because a **softmax** turns
# scores into weights, and a softmax of numbers that are far apart gives nearly everything to the largest one.
#
# $$\text{softmax}(x)_j = \frac{e^{x_j}}{\sum_t e^{x_t}}$$
#
# It turns any numbers into shares: none is negative, and they sum to one. Here are five random keys of sixty-four
# features, with and without the division. The numbers printed are derivatives of a weight $w$ by its own dot product,
# $w\,(1-w)$ without the division, and $w\,(1-w) / \sqrt{K}$ with it:

# %%
torch.manual_seed(1)
wide_q, wide_k = torch.randn(64), torch.randn(5, 64)
raw = wide_k @ wide_q
panels = {"without": raw.softmax(-1), "with the division": (raw / math.sqrt(64)).softmax(-1)}
for (name, w), divisor in zip(panels.items(), (1, math.sqrt(64)), strict=True):
    print(f"{name:<17}  largest derivative {(w * (1 - w) / divisor).max():.4f}")

plots.distributions(panels, [f"key {n}" for n in range(1, 6)], "One random query, K = 64", "attention weight")

# %% [markdown]
# Without the division, one weight is almost one and the others almost zero. Then hardly any gradient gets through the
# softmax, and there is little to learn from.
#
# With our real scores, division and softmax give the bars that you saw at the top:

# %%
weights = (scores / math.sqrt(K)).softmax(dim=-1)  # (S,)
print("the picture's weights:", torch.allclose(weights, looks["she looks at …"], atol=1e-5))
print("their sum:            ", f"{weights.sum():.4f}")

# %% [markdown]
# ## The mixture
#
# Each token has a third vector, its **value** $v$: what it hands over when it is looked at. The output for a query,
# what it *brings home*, is the mean of the values, each multiplied by its weight:

# %%
brought = weights @ v  # (S,) @ (S, K) -> (K,)
by_hand = sum(weights[t] * v[t] for t in range(S))
print("brought home:", tuple(brought.shape), " the same by hand:", torch.allclose(brought, by_hand, atol=1e-5))

# %% [markdown]
# ## All queries at once
#
# Every token asks, not only *she*. The queries are the rows of one matrix $q$, the keys those of another, and the paper
# writes it all in one line (Vaswani et al. 2017, equation 1). In our letters (the paper has $Q$, $K$, $V$ for $q$, $k$,
# $v$, and $d_k$ for $K$):
#
# $$\text{Attention}(q, k, v) = \text{softmax}\left(\frac{q\,k^\top}{\sqrt{K}}\right) v$$
#
# | the formula | shape | what a row is |
# |---|---|---|
# | $q$ | (S, K) | one query |
# | $k$, $v$ | (T, K), (T, K′) | one key, one value |
# | $q\,k^\top / \sqrt{K}$ | (S, T) | the scores of one query |
# | softmax | (S, T) | its weights, which sum to one |
# | $\ldots v$ | (S, K′) | its output |
#
# $K'$ is the size of a value, in BERT equal to $K$. $S$ counts the queries and $T$ the keys. Here a text looks at
# itself, so they are equal; they need not be. The softmax belongs to the query, so it runs along a row, over the keys.
#
# In a model there are two more axes in front, texts (B) and heads (H). If you count axes from the end (`-1`, `-2`),
# the same code works with and without them.
#
# ## Not everything may be looked at
#
# Some keys must be hidden from a query: padding, for example. A **mask** says which. In this library it is a table of
# booleans, `True` where the query may look. Before the softmax, the scores of hidden keys are set to the lowest number
# of their type, `torch.finfo(scores.dtype).min`, so that they get no weight. ($-\infty$ would give NaN where *all* keys
# of a query are hidden.) With the lowest number, a row in which all is hidden becomes an even mixture. Its output
# should be zeros, so the weights of hidden keys are set to zero after the softmax. Masks have a
# [lesson of their own](03_masks_and_padding.ipynb), which shows what can go wrong.
#
# ## Exercise
#
# Write the whole formula. Replace `raise NotImplementedError()`, run the cell, then the check below it. You should see
# *passed*, with a swap at the end: your function ran inside the real BERT and gave the same vectors. If it fails, the
# check says what your code does instead; `.hint()` on its result says more, a little at a time.

# %% exercise="attention"

# %% [markdown]
# Below, after your own attempt: the steps for the whole table, and the picture of the whole head. Read it row by row.

# %% tags=["folded"]
table = q @ k.transpose(-2, -1)  # (S, K) @ (K, T) -> (S, T)
table = (table / math.sqrt(K)).softmax(dim=-1)
output = table @ v  # (S, T) @ (T, K) -> (S, K)
library_output, library_weights = library_attention(q, k, v)
same_weights = torch.allclose(table, all_weights(sentence)[layer, head], atol=1e-5)
print("same output as the library's:", torch.allclose(output, library_output, atol=1e-5))
print("the model's own weights:     ", same_weights)
plots.attention(table, tokens, [(she, tokens.index("mother"))], "The whole head, computed by hand")

# %% [markdown]
# In this head, most other words give most of their attention to `[CLS]`. The next lesson measures how common that is.
#
# In a terminal, `minibert explore "a sentence"` shows the steps of this lesson for any pair of tokens in any head of
# the model: choose a cell in its large map. (The next lesson does it in the notebook.)
#
# **A hunt.** In this box there is an attention, perhaps with one of the known mistakes in it. You cannot see its code.
# Call it with `box(*box.example())`, look at what comes out, and name what is wrong: `box.suspects` lists the
# candidates, `box.name("...")` answers, `box.hint()` helps. Another seed gives another box.

# %%
box = minibert.hunt("attention", seed=1)
box

# %% [markdown]
# ## Is that more than a nice picture?
#
# A head chosen for two sentences may do something else in the next. So we make two hundred sentences from templates:
# ten couples such as *queen* and *king*, five situations, both orders, both pronouns. None of these nouns was used to
# choose the head. How often does the noun that matches the pronoun get more attention than the other noun?

# %% tags=["folded"]
women = ["girl", "woman", "queen", "wife", "actress", "princess", "grandmother", "bride", "waitress", "lady"]
men = ["boy", "man", "king", "husband", "actor", "prince", "grandfather", "groom", "waiter", "gentleman"]
situations = [
    "The {} saw the {} in the street, and {} waved.",
    "The {} helped the {} because {} was tired.",
    "When the {} called the {}, {} did not answer.",
    "The {} paid the {}, but {} wanted more.",
    "The {} sang for the {} until {} fell asleep.",
]


def where_it_looks(first, second, pronoun):
    """The weights from the pronoun to the two nouns in each situation and each head, (5, L, H, 2)."""
    found = []
    for situation in situations:
        sentence = situation.format(first, second, pronoun)
        tokens = tok.encode(sentence).tokens
        at = [tokens.index(noun) for noun in (first, second)]
        found.append(all_weights(sentence)[:, :, tokens.index(pronoun), at])
    return torch.stack(found)


# the noun of the pronoun's gender, the other noun, the pronoun
cases = [(woman, man, "she") for woman, man in zip(women, men, strict=True)]
cases += [(man, woman, "he") for woman, man in zip(women, men, strict=True)]
found = [where_it_looks(own, other, pronoun) for own, other, pronoun in cases]
found += [where_it_looks(other, own, pronoun).flip(-1) for own, other, pronoun in cases]  # own noun second
found = torch.cat(found)  # (200, L, H, 2): the weight on the own noun, the weight on the other
right = (found[..., 0] > found[..., 1]).double().mean(0)  # (L, H)

two_women = torch.cat([where_it_looks(a, b, "she") for a, b in itertools.pairwise(women)])
two_men = torch.cat([where_it_looks(a, b, "he") for a, b in itertools.pairwise(men)])
same_gender = torch.cat([two_women, two_men])[:, layer, head]  # (90, 2): on the first noun, on the second
more, less = same_gender.amax(1), same_gender.amin(1)  # in each sentence
picked = where_it_looks("grandmother", "grandfather", "she")[0]  # one sentence, (L, H, 2)

# %%
print(len(found), "sentences")
over, middle = right > 0.9, (right > 0.4) & (right < 0.6)
print(f"heads with the right noun ahead in over 90%: {over.sum()} of {right.numel()}")
print(f"heads between 40% and 60%:                   {middle.sum()} of {right.numel()}")
for name, (one, two) in {"this head": (layer, head), "another": (3, 1)}.items():
    on_right, on_other = found[:, one, two].mean(0)
    print(f"{name:<10} right noun ahead in {right[one, two]:.0%}")
    print(f"           mean weights {on_right:.2f} and {on_other:.2f}")
    print("           in one sentence {:.2f} and {:.2f}".format(*picked[one, two]))
print(f"two nouns of one gender, this head, {len(same_gender)} sentences:")
print(f"           first noun ahead in {(same_gender[:, 0] > same_gender[:, 1]).double().mean():.0%}")
print(f"           in a sentence, the noun ahead gets {more.mean():.2f}, the other {less.mean():.2f}")

# %% [markdown]
# This head holds up: the right noun is ahead in {{right[layer, head].item() | .0%}} of the sentences. Few heads
# do that: most are not far from a coin toss. One of those looks even better than ours in "The grandmother saw the
# grandfather in the street, and she waved." So do not trust one picture: count.
#
# The last lines say what the head does *not* do. With two women or two men in the sentence, it has no clear choice: on
# average the noun ahead gets {{more.mean().item() | .2f}} and the other {{less.mean().item() | .2f}}, closer together
# than with a woman and a man, and the first noun is ahead more often. The head matches gender. Nothing here shows that
# it knows who waved or who left.
#
# ## What could go wrong
#
# These are real mistakes, and none of them stops the program. Here are two of them next to the right version, with the
# queries and keys of four of our tokens. (The softmax has only these four here, so the numbers are not those of the
# large picture.)

# %%
some, some_q, some_k = tokens[1:5], q[1:5], k[1:5]
panels = {
    "right": (some_q @ some_k.T / math.sqrt(K)).softmax(dim=-1),
    "softmax over the queries": (some_q @ some_k.T / math.sqrt(K)).softmax(dim=-2),
    "k reshaped, not transposed": (some_q @ some_k.reshape(K, 4) / math.sqrt(K)).softmax(dim=-1),
}
for name, wrong in panels.items():
    print(f"{name:<26} sums of its rows:", *(f"{total:.2f}" for total in wrong.sum(-1)))

plots.grids(panels, some, some, 2, "The same queries and keys: right, and wrong in two ways", arrows=False)

# %% [markdown]
# - **Softmax over the wrong axis.** Now the columns sum to one, and the rows do not. The shape is still right.
# - **`reshape` in place of `transpose`.** It keeps the numbers in their order and cuts them into new rows, so a key
#   gets pieces of several tokens. The rows sum to one, the shape fits, and every number is wrong.
# - **The mask multiplied with the scores.** A score of zero is not hidden: $e^0 = 1$.
# - **The mask the other way round.** Some libraries write `True` for "hide". Look it up before you use one.
#
# ## In short
#
# - The dot product of a query and a key grows with how much they point the same way, and with their lengths.
# - Divide by $\sqrt{K}$, so that the softmax does not give everything to one key when vectors are wide and dot products
#   therefore large.
# - A softmax over the keys turns scores into shares; the output is the mean of the values in these shares.
# - In a BERT encoder, attention is the only place where tokens meet. Everything else works on each token by itself.
# - A picture of one head in one sentence is a question. Count over many sentences before you believe it.
#
# **To read.** Vaswani et al. 2017, *Attention Is All You Need*, section 3.2.1. Then
# [minibert/attention.py](../minibert/attention.py) down to `fused_attention`.
#
# **Next:** [many heads](02_heads.ipynb).
