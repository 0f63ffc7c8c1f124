# %% [markdown]
# # Masks and padding
#
# > Texts in a batch are not equally long, and some models must not look ahead. How do you tell attention what to leave
# > alone?
#
# A batch is a rectangle, (B, S). Texts are not: the shorter ones are filled up with the token `[PAD]`. Here are sixteen
# real reviews in one batch. The hatched part is padding.

# %% tags=["folded"]
import math

import torch
from torch.nn import functional as F

import minibert
from minibert import plots
from minibert.attention import Layout, attention, causal_mask as library_causal_mask, padding_mask
from minibert.training.data import load_reviews

bert = minibert.from_pretrained("minilm-l6")
tok = minibert.load_tokenizer("minilm-l6")
reviews = [review.text for review in load_reviews("rotten-tomatoes").test[:16]]

# %%
batch = tok(reviews)  # input_ids and attention_mask, both (B, S)
lengths = batch["attention_mask"].sum(1).tolist()
plots.padded_batch(lengths, title=f"{len(lengths)} real reviews in one batch")

# %% [markdown]
# {{1 - batch["attention_mask"].float().mean().item() | .0%}} of this batch is padding. A second tensor, the
# `attention_mask`, says which tokens are real:

# %%
texts = ["Good film.", "It stays with you.", "My mother met my father, but she left early."]
batch = tok(texts)
for ids, real in zip(batch["input_ids"], batch["attention_mask"], strict=True):
    print(" ".join(tok.tokens[i] for i in ids))
    print("  ", real.tolist())

# %% [markdown]
# ## What padding does if nobody hides it
#
# Padding has a vector like any other token. Without a mask, the words look at it. There is a test that every model with
# padding should pass: the same text alone and in a batch has to give **the same vectors**. Here is the first text, in
# the batch with its mask and without. To compare vectors we take their **cosine**: the dot product after each has been
# scaled to length one. It is one for the same direction and zero for a right angle.

# %%
with torch.no_grad():
    alone = bert(**tok(texts[0])).last_hidden_state[0]  # (S, D), no padding anywhere
    masked = bert(**batch).last_hidden_state[0, : len(alone)]
    unmasked = bert(batch["input_ids"]).last_hidden_state[0, : len(alone)]
print(f"largest difference with the mask:    {(masked - alone).abs().max():.4f}")
print(f"largest difference without the mask: {(unmasked - alone).abs().max():.4f}")

names = tok.encode(texts[0]).tokens
both = {
    name: F.cosine_similarity(some, alone, dim=-1)
    for name, some in {"with the mask": masked, "without it": unmasked}.items()
}
plots.distributions(both, names, "How near each vector is to the one without padding", "cosine")

# %% [markdown]
# Without the mask nothing fails. The vectors look normal. But they are wrong, and they are wrong in a different way in
# each batch.
#
# ## A mask is a table of booleans
#
# A mask says for each pair whether the query (row) may look at the key (column): `True` where it may. There are two
# kinds, and they are joined with `&`:
#
# - A **padding mask** hides keys that are padding. It is the same for all queries and all heads, so it has axes of size
#   one there. PyTorch stretches those axes by itself, which is called *broadcasting*.
# - A **causal mask** hides the future. A model that writes text word by word needs it in training: the whole text is
#   there at once, and no word may see those after it, or it would copy the word that it has to predict (Vaswani et al.
#   2017, section 3.2.3). BERT reads a whole text at once and has none.

# %%
mask = padding_mask(batch["attention_mask"])
(B, S), H = batch["input_ids"].shape, 12
together = torch.broadcast_shapes(mask.shape, (B, H, S, S))
print("attention_mask", tuple(batch["attention_mask"].shape), "         (B, T)")
print("mask          ", tuple(mask.shape), "   (B, 1, 1, T)")
print("scores        ", (B, H, S, S), " (B, H, S, T)")
print("together      ", tuple(together), " (B, H, S, T)")

causal = library_causal_mask(7)[0, 0]  # (S, S), row s: True up to column s
padding = padding_mask(torch.tensor([[1] * 5 + [0] * 2]))[0, 0].expand(7, 7)
panels = {"padding": padding, "causal": causal, "both: padding & causal": padding & causal}
plots.masks(panels, [*names, "[PAD]", "[PAD]"])

# %% [markdown]
# A padding mask closes *columns*: no token looks at padding. The rows stay open: a padded position still has a query,
# but its output is never used.
#
# The causal mask is one line, so it is a warm-up. Write it from the description and the picture.

# %% exercise="causal-mask"

# %% [markdown]
# ## From a mask to weights
#
# The mask acts on the *scores*, before the softmax: hidden scores become so low that the softmax gives them zero, and
# the shares of a row still sum to one over the keys that are left. How low? Not $-\infty$, for a reason that you will
# see below, but the lowest *finite* number of the type, `torch.finfo(scores.dtype).min`.
#
# One case is left: a text that is only padding, as in a batch that was filled up to a fixed size. All its scores are
# equally low, and the softmax would share evenly among the hidden keys. So hidden weights are set to zero once more,
# after the softmax.
#
# You wrote these two steps in lesson 01, with a mask that was given. Here you make it from the table (B, T). Before you
# write: which axes of the scores does the mask not depend on?

# %% exercise="padding-mask"

# %% [markdown]
# Below, after your own attempt: a query that may look at nothing, its scores filled in two ways, and its weights then
# set to zero; and what two often used numbers become in narrow types.

# %% tags=["folded"]
scores = torch.tensor([0.3, 1.2, -0.5])
allowed = torch.zeros(3, dtype=torch.bool)  # True where one may look: nowhere

with_infinity = scores.masked_fill(~allowed, -math.inf).softmax(-1)
with_lowest = scores.masked_fill(~allowed, torch.finfo(scores.dtype).min).softmax(-1)
print("filled with -inf:               ", with_infinity)
print("filled with the lowest number:  ", with_lowest)
print("and hidden weights set to zero: ", with_lowest.masked_fill(~allowed, 0.0))
print("NaN times zero is", (with_infinity[0] * 0.0).item())
print("all scores lowered by 1e4:      ", (scores - 1e4).softmax(-1))
print("the scores as they are:         ", scores.softmax(-1))
for dtype in (torch.float32, torch.bfloat16, torch.float16):
    low, lower = torch.tensor(-1e4).to(dtype), torch.tensor(-1e9).to(dtype)
    print(f"-1e9 as {dtype!s:<14} is {lower.item():<10.3g} lowest finite number {torch.finfo(dtype).min:.3g}")
    print(f"-1e4 as {dtype!s:<14} is {low.item():.5g}")
lowest = torch.tensor(torch.finfo(torch.float16).min, dtype=torch.float16)
print("a score of -16 plus the lowest number, in torch.float16:", (lowest - 16).item())

# %% [markdown]
# With $-\infty$ in all places, the softmax divides zero by zero and gives NaN, "not a number". Whatever it touches
# becomes NaN: first a sum, then the loss, and after one step of training every weight that the batch used.
#
# A fixed number such as $-10^9$ is finite in `float32` and also in `bfloat16`, which has the same range. In `float16`
# it is out of range: `masked_fill` refuses it with an error. If the mask is made of this number, turned into `float16`
# and *added* to the scores, the number becomes $-\infty$, and NaN is back in rows where all is hidden. BERT's released
# code adds $-10^4$ (`modeling.py`). That is finite in all three types, and low enough while real scores are far
# smaller. But where all is hidden, it hides nothing: the softmax depends only on differences.
#
# `finfo(dtype).min` is right in each type when it *replaces* the score (`masked_fill`). *Added* to a negative score,
# it can become $-\infty$ again.
#
# ## Padding need not cost much
#
# Attention is the only place where tokens meet. The linear layers, and the other parts that the next lesson adds, treat
# each token by itself. So only attention needs the rectangle; everything else can run on the real tokens alone. In the
# library a `Layout` knows where they are. It *packs* them into one long row of $N$ tokens, and *unpacks* them into the
# rectangle for attention:

# %%
batch = tok(reviews)
layout = Layout(batch["attention_mask"])
vectors = torch.randn(*batch["input_ids"].shape, 384)
packed = layout.pack(vectors)
print("the rectangle", tuple(vectors.shape), "  (B, S, D)")
print("packed       ", tuple(packed.shape), "      (N, D)")
print("unpacked     ", tuple(layout.unpack(packed).shape), "  (B, S, D), zeros at the padding")

real = batch["attention_mask"].bool()
with torch.no_grad():
    packed_run = bert(**batch).last_hidden_state
    bert.skip_padding = False  # the plain way: padded places go through all layers, too
    plain_run = bert(**batch).last_hidden_state
    bert.skip_padding = True
print(f"largest difference at the real tokens: {(packed_run - plain_run)[real].abs().max():.4f}")

# %% [markdown]
# What does that save? Count multiplications for one block. The linear layers of a block need $12\,D^2$ for a token:
# $4\,D^2$ for q, k, v and the output, $8\,D^2$ for the feed-forward part of the next lesson, from $D$ to $4\,D$
# features and back. A query meets $S$ keys of $D$ features (all heads together): $S\,D$ for the scores, $S\,D$ for the
# mixture.

# %%
(B, S), D, N = batch["input_ids"].shape, 384, int(real.sum())
linear, meeting = 12 * D * D, 2 * S * D  # for one token
plain = B * S * (linear + meeting)
packed_cost = N * linear + B * S * meeting
print(f"tokens: {B * S} with padding, {N} without")
print(f"multiplications: {plain:.3g} and {packed_cost:.3g}, saved {1 - packed_cost / plain:.0%}")
print(f"attention's share of the plain way: {meeting / (linear + meeting):.0%}")

# %% [markdown]
# The saving is nearly as large as the share of padding, because the part that needs the rectangle is small in short
# texts. What that means in seconds depends on your machine, and packing takes time too: in a terminal,
# `minibert bench padding` measures it.
#
# ## What could go wrong
#
# One mistake is hard to see: the `attention_mask` is applied to the scores unchanged, (B, T), without the axes for
# heads and queries. Axes are matched from the last one backwards, so **B meets S**. Usually that gives an error. With
# as many texts as tokens, it does not:

# %%
torch.manual_seed(0)
size = 5  # five texts of five tokens
square = torch.ones(size, size, dtype=torch.long).tril()  # one real token, two real tokens, ...
one_q, one_k, one_v = torch.randn(3, size, 1, size, 4).unbind()
_, right = attention(one_q, one_k, one_v, padding_mask(square))
_, wrong = attention(one_q, one_k, one_v, square.bool())
print("sums of its rows, wrong mask:", wrong[1, 0].sum(-1))

panels = {"right: (B, 1, 1, T)": right[1, 0] > 0, "wrong: (B, T)": wrong[1, 0] > 0}
title = "Where the second text looks: it has two real tokens"
plots.masks(panels, ["one", "two", "[PAD]", "[PAD]", "[PAD]"], title=title)

# %% [markdown]
# In the wrong one, row $s$ of this text got the mask of *text* $s$: a real word does not see its neighbour, and padding
# looks at padding. All rows sum to one, and every shape is right.
#
# - **No mask at all.** The vectors of a text then depend on the other texts of its batch. Test: alone and in a batch,
#   the same.
# - **The mask along the queries**, `[:, None, :, None]`. It hides everything from the padding, whose output is never
#   used, and lets all tokens look at the padding.
# - **The polarity.** PyTorch's own `key_padding_mask` is `True` for *hide*. Here a mask says where a query *may* look.
# - **Weights set to zero after the softmax** only. The padding is gone, but what is left sums to less than one.
# - **A causal mask by habit.** In BERT, the first word then knows nothing of the rest.
#
# ## In short
#
# - Short texts are padded; the padding mask hides the padded *keys* from every query, `(B, 1, 1, T)`.
# - The causal mask hides the future: row $s$ is `True` up to column $s$. Masks are joined with `&`.
# - Hide scores before the softmax with the lowest finite number; set hidden weights to zero after it. Never NaN.
# - Only attention needs the rectangle. In this library everything else runs on the real tokens, so padding costs
#   little.
#
# **To read.** Vaswani et al. 2017, section 3.2.3. Then `padding_mask`, `causal_mask` and `Layout` in
# [minibert/attention.py](../minibert/attention.py).
#
# **Next:** [the encoder block](04_encoder_block.ipynb).
