# %% [markdown]
# # Many heads, and masks
#
# > One attention can look at one thing at a time. How does BERT look at many, and how does it not look at padding?
#
# In the last lesson a token spread its attention over the others, once. Here it does so many times side by side. And
# since texts come in batches, and are not all equally long, you also tell it what to leave alone.
#
# A real BERT again, and the same sentence. Four heads of it are asked the same question: where does *she* look?

# %%
import math

import torch
from einops import rearrange
from torch.nn import functional as F

import minibert
from minibert import plots
from minibert.attention import Layout, MultiHeadAttention, attention, causal_mask, padding_mask
from minibert.training.data import load_reviews

bert = minibert.from_pretrained("minilm-l6")
tok = minibert.load_tokenizer("minilm-l6")
sentence = "My sister chose the film, but she slept through it."
tokens = tok.encode(sentence).tokens
with torch.no_grad():
    weights = torch.cat(bert(**tok(sentence), return_attention=True).attentions)  # (L, H, S, S)

# what it looks at: (layer, head), counted from 0
chosen = {"the word before": (0, 2), "the word after": (1, 8)}
chosen |= {"the noun": (3, 1), "[CLS]": (2, 9)}
she = tokens.index("she")
plots.distributions(
    {looks_at: weights[layer, head, she] for looks_at, (layer, head) in chosen.items()},
    labels=tokens,
    title="Where 'she' looks, in four heads of a real BERT",
    unit="attention weight",
)

# %% [markdown]
# One head looks at the word before, one at the word after, one at the noun that the pronoun stands for, and one at
# `[CLS]`, the mark in front. The model has {{weights.shape[0]}} layers of {{weights.shape[1]}} heads, and these four
# were picked because they are easy to read. We come back to the others, and they are less tidy.
#
# ## Why not one?
#
# A head brings home *one* mixture. If *she* needs to know both who she is (*sister*) and what she did (*slept*), one
# head has to share its weight between the two, and a mean forgets who gave what. Exchange the two values, and see
# whether anyone notices:

# %%
torch.manual_seed(0)
sister, slept = torch.randn(2, 4)  # two values of four features

one_head = 0.5 * sister + 0.5 * slept
exchanged = 0.5 * slept + 0.5 * sister
print("one head, half and half: the same?", torch.allclose(one_head, exchanged))

# Two heads with two features each: the first looks at "sister", the second at "slept".
two_heads = torch.cat([sister[:2], slept[2:]])
exchanged = torch.cat([slept[:2], sister[2:]])
print("two heads, side by side: the same?", torch.allclose(two_heads, exchanged))

# %% [markdown]
# Two heads keep apart what they found. The price: each has only half of the features to look with. This is the whole
# idea of **multi-head attention**: $H$ attentions side by side, each on its own $K = D / H$ features.
#
# ## Where queries, keys and values come from
#
# In the last lesson we drew them at random. In a model they come from three *linear layers* that all read the same
# input, $x$ (that is why it is called **self**-attention):
#
# $$q = x\,W_Q + b_Q \qquad k = x\,W_K + b_K \qquad v = x\,W_V + b_V$$
#
# The layers are learned; that is where the model keeps what a head should look for. We take them out of one block of
# the model, with what really goes into it: two sentences of equal length, after the blocks before it.

# %%
batch = tok([sentence, "My brother hated the film, so he walked out early."])
with torch.no_grad():
    out = bert(**batch, return_attention=True, return_hidden=True)
layer = 3
many = bert.encoder.blocks[layer].attention  # a MultiHeadAttention
x = out.hidden_states[layer]  # what goes into that block

with torch.no_grad():
    q, k, v = many.query(x), many.key(x), many.value(x)
for name, tensor in {"x": x, "q": q, "k": k, "v": v}.items():
    print(name, tuple(tensor.shape), "  (B, S, D)")

# %% [markdown]
# ## The cut
#
# Each token's $D$ features are shared out: the first head gets the first $K$, the second the next $K$, and so on. They
# go in front of the tokens then, so that each head sees a whole text, $(S, K)$, and the formula of the last lesson can
# run on all of them at once:
#
# $$(B, S, D) \rightarrow (B, S, H, K) \rightarrow (B, H, S, K)$$
#
# With [einops](https://einops.rocks) it is one line, which says what it does: name the axes, take `(h k)` apart, put
# them in another order.

# %%
H = many.num_heads
pattern = "b s (h k) -> b h s k"
q_heads, k_heads, v_heads = (rearrange(tensor, pattern, h=H) for tensor in (q, k, v))
print("q", tuple(q.shape), " -> ", tuple(q_heads.shape), "  (B, H, S, K)")

small = torch.arange(18.0).reshape(1, 3, 6)  # (B, S, D): three tokens of six features
plots.head_split(small[0], num_heads=2, tokens=["my", "sister", "chose"])

# %% [markdown]
# There is a way to get the same *shape* in one step, and it is wrong. `view` cuts the numbers up in the order in which
# they lie in memory, and there a token's features lie side by side:

# %%
right = rearrange(small, pattern, h=2)
wrong = small.view(1, 2, 3, 3)
print("same shape:  ", right.shape == wrong.shape, "\nsame numbers:", torch.equal(right, wrong))
print("head 0, right:", right[0, 0].tolist(), "\nhead 0, wrong:", wrong[0, 0].tolist())

plots.head_split(small[0], num_heads=2, tokens=["my", "sister", "chose"], wrong=True)

# %% [markdown]
# Now a head's first "token" is one half of *my* and its second the other half. Nothing stops, and every number after it
# is wrong. Without einops the right way is `x.view(B, S, H, K).transpose(1, 2)`.
#
# ## All heads at once, and together again
#
# The formula does not care how many axes stand in front, so all heads of all texts attend in one call. Then the cut is
# undone, and one more linear layer mixes what the heads found:

# %%
with torch.no_grad():
    mixed_heads, head_weights = attention(q_heads, k_heads, v_heads)
    mixed = rearrange(mixed_heads, "b h s k -> b s (h k)")
    output = many.output(mixed)
    library_output, _ = many(x)
print("weights", tuple(head_weights.shape), "  (B, H, S, S)")
print("heads  ", tuple(mixed_heads.shape), "  (B, H, S, K)")
print("mixed  ", tuple(mixed.shape), "  (B, S, D)")
print("output ", tuple(output.shape), "  (B, S, D)")
print("the library's output:    ", torch.allclose(output, library_output, atol=1e-5))
same = torch.allclose(head_weights, out.attentions[layer], atol=1e-5)
print("the model's own weights: ", same)

# %% [markdown]
# These are the weights that the pictures are made of. The paper writes it so (Vaswani et al. 2017, section 3.2.2):
#
# $$\text{MultiHead}(Q, K, V) = \text{Concat}(\text{head}_1, \ldots, \text{head}_H)\,W^O$$
#
# $$\text{where head}_i = \text{Attention}(Q W_i^Q,\; K W_i^K,\; V W_i^V)$$
#
# | the paper | the code | shape |
# |---|---|---|
# | $Q W_i^Q$, for all $i$ | `rearrange(many.query(x), "b s (h k) -> b h s k", h=H)` | (B, H, S, K) |
# | $\text{head}_i$, for all $i$ | `attention(q_heads, k_heads, v_heads)` | (B, H, S, K) |
# | Concat | `rearrange(mixed_heads, "b h s k -> b s (h k)")` | (B, S, D) |
# | $\ldots W^O$ | `many.output(mixed)` | (B, S, D) |
#
# There each head has a small matrix $W_i^Q$ of its own, of $D \times K$ numbers, and here all heads share one large
# layer. That is the same: the small ones, side by side, *are* the large one. One head by itself, with its own rows of
# the layer (PyTorch keeps a weight as (out, in)):

# %%
head, K = 1, x.shape[-1] // H
rows = slice(head * K, (head + 1) * K)
with torch.no_grad():
    own_query = F.linear(x, many.query.weight[rows], many.query.bias[rows])  # (B, S, K)
print("this head's own layer:", tuple(many.query.weight[rows].shape), "  (K, D)")
print("the same queries:     ", torch.allclose(own_query, q_heads[:, head], atol=1e-5))

# %% [markdown]
# ## How many heads?
#
# Since $K = D / H$, more heads are *narrower* heads: four layers of $D^2$ weights and $D$ biases, $4\,(D^2 + D)$
# numbers, whatever $H$ is. Below, counted, for the width of the paper's first model, beside the quality of its
# translations (in BLEU points, more is better).

# %%
# Vaswani et al. 2017, Table 3, "base" and (A)
BLEU = {1: 24.9, 4: 25.5, 8: 25.8, 16: 25.8, 32: 25.4}
D = 512
print("4 (D² + D) =", f"{4 * (D * D + D):,}")
for heads, bleu in BLEU.items():
    count = minibert.count_parameters(MultiHeadAttention(D, heads))
    print(f"H = {heads:>2}  K = {D // heads:>3}  parameters {count:,}  BLEU {bleu}")

# %% [markdown]
# One head is worst and too many narrow ones are no gain, but the differences are small. (After training, many heads can
# even be taken out with little loss: Michel et al. 2019.)
#
# ## What the heads look at
#
# Walk through all heads of the model yourself. Point at a word to see where it looks. Layers and heads are counted from
# one there, as people do, and from zero in the code.

# %%
minibert.explore(sentence)

# %% [markdown]
# Four readable pictures, chosen out of {{weights[:, :, 0, 0].numel()}}, are four *chosen* pictures. Take some heads at
# random, and most will have no name. So measure, over real sentences and not over one. Here are four simple rules,
# among them the marks `[CLS]` and `[SEP]`, which are no words at all. In how many heads does one rule catch more than
# half of a word's attention?

# %%
reviews = [review.text for review in load_reviews("rotten-tomatoes").test[:64]]
steps = {"the word before": -1, "itself": 0, "the word after": 1}
caught = {rule: [] for rule in ["[CLS] or [SEP]", *steps]}
with torch.no_grad():
    for text in reviews:
        seen = torch.cat(bert(**tok(text), return_attention=True).attentions)  # (L, H, S, S)
        words = torch.arange(1, seen.shape[-1] - 1)  # all but the two marks
        on_marks = seen[:, :, words][..., [0, -1]].sum(-1)  # (L, H, words)
        caught["[CLS] or [SEP]"].append(on_marks.mean(-1))  # (L, H)
        for rule, step in steps.items():
            caught[rule].append(seen[:, :, words, words + step].mean(-1))
caught = {rule: torch.stack(found).mean(0) for rule, found in caught.items()}  # (L, H)

print("                 all heads together   heads over half   best head")
for rule, share in caught.items():
    heads = (share > 0.5).sum()
    print(f"{rule:<15} {share.mean():>19.0%} {heads:>17} {share.max():>11.0%}")

# %% [markdown]
# There is one true "word before" head and one "word after" head, and those are the two that you saw. In
# {{int((caught["[CLS] or [SEP]"] > 0.5).sum())}} heads most of the attention rests on the two marks; in the other
# {{int((torch.stack(list(caught.values())) <= 0.5).all(0).sum())}} none of these rules says what they do.
#
# Why would a word look at a mark? Clark et al. 2019 saw the same in BERT-base, mostly with `[SEP]`, and took it for a
# way to do nothing: a softmax *has* to put its weight somewhere. If so, there should be little to fetch there. What a
# head brings home is weight times value, so look at how long the values are, in one of the layers that do it most:

# %%
layer = 2
with torch.no_grad():
    x = out.hidden_states[layer][:1]  # our sentence
    values = bert.encoder.blocks[layer].attention.value(x)
length = rearrange(values, pattern, h=H)[0].norm(dim=-1)  # (H, S)
print("mean length of a value")
print(f"   of [CLS] {length[:, 0].mean():.2f}, of words {length[:, 1:-1].mean():.2f}")

fetched = weights[layer] * length[:, None, :]  # (H, S, S): length of what each key hands over
by_weight = weights[layer][:, 1:-1, 0].mean()
by_length = (fetched[:, 1:-1, 0] / fetched[:, 1:-1].sum(-1)).mean()
print("share of [CLS]")
print(f"   in what the words look at {by_weight:.0%}, in what they fetch {by_length:.0%}")

# %% [markdown]
# More than half of the weight, and little of what is fetched (Kobayashi et al. 2020 found this in BERT). A picture of
# the weights alone would have told you that `[CLS]` is what this layer is about.
#
# This is one reason to be careful. **A weight is not an explanation.** It says what a head mixed, not why, nor what the
# next layers did with it; after the first layer, what stands at a word's place is already a mixture of the whole text.
# Jain & Wallace 2019 found very different weights that lead to the same answer. Wiegreffe & Pinter 2019 replied that
# this depends on what you call an explanation, and how you test for it. Both are worth reading. Until then: a head that
# is easy to read is a good question, and not yet an answer.
#
# ## Texts of unequal length
#
# A batch is a rectangle, (B, S). Texts are not: the shorter ones are filled up with `[PAD]`, and a second tensor, the
# `attention_mask`, says which tokens are real.

# %%
texts = ["Good film.", "It stays with you.", sentence]
batch = tok(texts)
for ids, real in zip(batch["input_ids"], batch["attention_mask"], strict=True):
    print(" ".join(tok.tokens[i] for i in ids))
    print("  ", real.tolist())

# %% [markdown]
# Padding has an embedding like any other token. If nobody stops them, the words will look at it. What stops them is a
# **padding mask**: `True` where a key is real, with axes of size one for the heads and the queries, since it is the
# same for all of them. PyTorch stretches those axes by itself, which is called *broadcasting*.

# %%
mask = padding_mask(batch["attention_mask"])
B, S = batch["input_ids"].shape
print("attention_mask", tuple(batch["attention_mask"].shape), "         (B, T)")
print("mask          ", tuple(mask.shape), "   (B, 1, 1, T)")
print("scores        ", (B, H, S, S), " (B, H, S, T)")
together = torch.broadcast_shapes(mask.shape, (B, H, S, S))
print("together      ", tuple(together), " (B, H, S, T)")

short = tok.encode(texts[0]).tokens + ["[PAD]"] * 3  # a little padding is enough to see
padding = padding_mask(torch.tensor([[1] * 5 + [0] * 3]))[0, 0].expand(8, 8)
causal = causal_mask(8)[0, 0]
panels = {"padding": padding, "causal": causal, "both: padding & causal": padding & causal}
plots.masks(panels, short)

# %% [markdown]
# A padding mask closes *columns*: nobody looks at padding. The rows stay open: a padded place still asks, and what it
# brings home is never read. Masks are joined with `&`. A BERT uses the first one; a model that writes needs the last.
#
# ## Does it work?
#
# There is a test that every model with padding should pass. The same text alone and in a batch has to give **the same
# vectors**. Here with the mask, and once more without it. To compare two vectors we take their **cosine**: the dot
# product after each has been brought to length one. It is one for the same direction and zero for a right angle.

# %%
with torch.no_grad():
    alone = bert(**tok(texts[0])).last_hidden_state[0]  # (S, D), no padding anywhere
    masked = bert(**batch).last_hidden_state[0, : len(alone)]
    unmasked = bert(batch["input_ids"]).last_hidden_state[0, : len(alone)]
print(f"largest difference with the mask:    {(masked - alone).abs().max():.4f}")
print(f"largest difference without the mask: {(unmasked - alone).abs().max():.4f}")
cosines = F.cosine_similarity(unmasked, alone, dim=-1)
for token, cosine in zip(tok.encode(texts[0]).tokens, cosines, strict=True):
    print(f"   {token:<6} cosine to its vector alone, without the mask: {cosine:.2f}")

# %% [markdown]
# Without the mask nothing fails. The vectors look like vectors; they are wrong, and wrong in another way in every batch
# that the text happens to be in. Such a bug can live for years.
#
# ## A row with nothing to look at
#
# What if *all* keys of a query are hidden? A batch that is filled up to a fixed size, with rows of nothing but padding,
# is enough. The textbook way to hide a score is $-\infty$, and then the softmax divides zero by zero:

# %%
scores = torch.tensor([0.3, 1.2, -0.5])
allowed = torch.zeros(3, dtype=torch.bool)  # True where one may look: nowhere

with_infinity = scores.masked_fill(~allowed, -math.inf).softmax(-1)
with_lowest = scores.masked_fill(~allowed, torch.finfo(scores.dtype).min).softmax(-1)
print("filled with -inf:               ", with_infinity)
print("filled with the lowest number:  ", with_lowest)
print("and hidden weights set to zero: ", with_lowest.masked_fill(~allowed, 0.0))
print("NaN times zero is", (with_infinity[0] * 0.0).item())

# %% [markdown]
# NaN is not a wrong number that stays where it is. Whatever it touches becomes NaN: first a sum, then the loss, and
# after one step of training every weight of the model. The lowest *finite* number gives equal weights in such a row,
# and setting hidden weights to zero at the end cleans them up. In all other rows it changes nothing: there the softmax
# made them zero already.
#
# ## Padding need not cost much
#
# Look back at the code: attention is the only place where tokens meet. The linear layers, and all that the next lesson
# puts around them, treat each token by itself. So only attention needs the rectangle; all else can run on the real
# tokens alone. How much is there to save? The first reviews of the test set, as one batch:

# %%
batch = tok(reviews[:16])
lengths = batch["attention_mask"].sum(1).tolist()
plots.padded_batch(lengths, title=f"{len(lengths)} real reviews in one batch")

# %% [markdown]
# {{1 - batch["attention_mask"].float().mean().item() | .0%}} of this batch is padding. In the library a `Layout` knows
# where the real tokens stand. It *packs* them into one long row of N tokens, and *unpacks* them, for the meeting, back
# into the rectangle:

# %%
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
difference = (packed_run - plain_run)[real].abs().max()
print(f"largest difference at the real tokens: {difference:.4f}")

# %% [markdown]
# ## What could go wrong
#
# You have seen three: heads cut by a bare `view`, no mask at all, and NaN. A fourth hides well. Somebody hands the
# `attention_mask` to the scores as it is, (B, T), without the axes for heads and queries. Axes are matched from the
# last one backwards, so **B meets S**. Mostly that is an error. With as many texts as tokens, it is not:

# %%
torch.manual_seed(0)
size = 5  # five texts of five tokens
square = torch.ones(size, size, dtype=torch.long).tril()  # one real token, two real tokens, ...
one_q, one_k, one_v = torch.randn(3, size, 1, size, 4).unbind()
_, right = attention(one_q, one_k, one_v, padding_mask(square))
_, wrong = attention(one_q, one_k, one_v, square.bool())

print("sums of its rows, wrong mask:", wrong[1, 0].sum(-1))
plots.masks(
    {"right: (B, 1, 1, T)": right[1, 0] > 0, "wrong: (B, T)": wrong[1, 0] > 0},
    ["one", "two", "[PAD]", "[PAD]", "[PAD]"],
    title="Where the second text looks: it has two real tokens",
)

# %% [markdown]
# On the right, row $s$ of this text got the mask of *text* $s$: a real word does not see its neighbour. All rows sum to
# one, and every shape is right.
#
# - **Heads merged without transposing back.** The mirror image of the wrong cut: `mixed_heads.reshape(B, S, D)` fits,
#   and hands each token pieces of others.
# - **The mask along the queries**, `[:, None, :, None]`. It empties the rows of the padding, which nobody reads, and
#   lets everybody look at the padding.
# - **The polarity.** PyTorch's own `key_padding_mask` is `True` for *hide*. Here a mask says where one *may* look.
# - **Weights set to zero after the softmax** and not before. The padding is gone, but what is left sums to less than
#   one.
# - **A fixed low number**, such as $-10^9$, in place of `finfo(dtype).min`. In half precision there is no such number:
#   it becomes $-\infty$, and NaN is back.
# - **Scaling by $\sqrt{D}$.** The dot product of a head runs over $K$ features, so it is $\sqrt{K}$.
# - **No output layer.** The heads then stay side by side, and nothing that one found meets what another found.
#
# ## Exercises
#
# Four this time, each a few lines. The last puts the others together: copy in the `attention` that you wrote in lesson
# 01, or use the library's, which the first cell has imported (it returns the mixture and the weights).

# %% exercise="padding-mask"

# %% exercise="split-heads"

# %% exercise="merge-heads"

# %% exercise="multi-head-attention"

# %% [markdown]
# ## In short
#
# - Queries, keys and values are three linear layers of the same $x$. Each head attends on its own $K = D / H$ features;
#   an output layer mixes what they found. The number of parameters does not depend on $H$.
# - The cut is $(B, S, D) \rightarrow (B, S, H, K) \rightarrow (B, H, S, K)$: a view *and* a transpose.
# - A few heads can be read, most cannot, and many rest on `[CLS]` where there is little to fetch. Weights are not
#   explanations.
# - A padding mask, `(B, 1, 1, T)`, hides keys. The same text alone and in a batch gives the same vectors.
# - Only attention needs the padded rectangle. All else can run on the real tokens.
#
# **To read.** Vaswani et al. 2017, section 3.2.2. Clark et al. 2019, *What Does BERT Look At?* The rest of
# [minibert/attention.py](../minibert/attention.py): you know all of it now.
#
# **Next:** [the encoder block](04_encoder_block.ipynb).
