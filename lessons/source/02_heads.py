# %% [markdown]
# # Many heads
#
# > One attention looks in one way. How does BERT look in many ways at once?
#
# In the last lesson a token spread its attention over the others, once. A BERT does this many times side by side, in
# *heads*. Here are four heads of the real BERT, all asked the same question: where does *she* look?

# %% tags=["folded"]
import math

import torch
from einops import rearrange
from torch.nn import functional as F

import minibert
from minibert import plots
from minibert.attention import MultiHeadAttention, attention as library_attention
from minibert.training.data import load_reviews

bert = minibert.from_pretrained("minilm-l6")
tok = minibert.load_tokenizer("minilm-l6")
sentence = "My mother met my father, but she left early."
tokens = tok.encode(sentence).tokens

# %%
with torch.no_grad():
    weights = torch.cat(bert(**tok(sentence), return_attention=True).attentions)  # (L, H, S, S)
she = tokens.index("she")
# layer and head: code counts from zero, the headings from one
chosen = {"the word before": (0, 2), "the word after": (1, 8), "the matching noun": (1, 3), "[CLS]": (2, 9)}
panels = {}
for name, (layer, head) in chosen.items():
    panels[f"layer {layer + 1}, head {head + 1}: {name}"] = weights[layer, head, she]
plots.distributions(panels, tokens, "Where “she” looks, in four heads of a real BERT", "attention weight")

# %% [markdown]
# One head looks at the word before, one at the word after, one at the noun that matches the pronoun (the head of lesson
# 01: for *he* it looks at *father*), and one at the special token `[CLS]`. The model has {{weights.shape[0]}} layers of
# {{weights.shape[1]}} heads. **We count both from one; the code counts from zero.** These four heads were picked
# because they are easy to read; the others are less tidy, as the counts below show.
#
# ## Why not one?
#
# Suppose that a token needs feature $A$ of one token and feature $B$ of another. A head uses the same weights for all
# features. Let each feature be zero or one, and the weights $w$ and $1 - w$:
#
# | first token $(A, B)$ | second token $(A, B)$ | wanted: first $A$, second $B$ | one head gives |
# |---|---|---|---|
# | $(1, 1)$ | $(1, 1)$ | $(1, 1)$ | $(1, 1)$ |
# | $(0, 0)$ | $(0, 0)$ | $(0, 0)$ | $(0, 0)$ |
# | $(1, 1)$ | $(0, 0)$ | $(1, 0)$ | $(w, w)$ |
#
# The third row is wrong, however $w$ is computed. A linear layer $f$ behind the mixture does not help: in the third row
# it gives $w \cdot f(1, 1) + (1 - w) \cdot f(0, 0)$. The first two rows demand $f(1, 1) = (1, 1)$ and
# $f(0, 0) = (0, 0)$, so this is $(w, w)$ again. Two heads can do it, each with weights of its own. Here one head and
# two heads, with equally many parameters, were trained on all pairs of tokens. The query is the same for all pairs; the
# keys may use features and positions:

# %% tags=["folded", "trained"]
pairs = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * 4).reshape(16, 2, 2)  # all pairs: (B, S, 2)
wanted = torch.stack([pairs[:, 0, 0], pairs[:, 1, 1]], dim=-1)  # (B, 2): A of the first, B of the second
with_positions = torch.cat([pairs, torch.eye(2).expand(16, 2, 2)], dim=-1)  # (B, S, 4)


def trained(heads, values):
    """What attention with so many heads gives for each pair after training, (B, 2)."""
    torch.manual_seed(0)
    model = MultiHeadAttention(4, heads, value_size=values.shape[-1])
    optimiser = torch.optim.Adam(model.parameters(), lr=0.05)
    for _ in range(300):
        found = model(torch.ones(16, 1, 4), with_positions, values)[0][:, 0, :2]
        optimiser.zero_grad()
        (found - wanted).square().mean().backward()
        optimiser.step()
    return found.detach()


for heads, values in ((1, pairs), (2, pairs), (1, with_positions)):
    of_a, of_b = (trained(heads, values) - wanted).abs().amax(dim=0).tolist()
    says = "  (values with positions)" if values is with_positions else ""
    print(f"heads: {heads}   largest error of A {of_a:.1f}, of B {of_b:.1f}{says}")

# %% [markdown]
# One head has to compromise: here it gets $B$ right and is off by one half for $A$. In BERT the values hold positions,
# too, as in the last line: then one head comes closer, but is not right.
#
# The price of two heads is that each has only half of the features. This is **multi-head attention**: $H$ attentions
# side by side, each on its own $K = D / H$ features.
#
# ## Where queries, keys and values come from
#
# Three *linear layers* read the same input $x$ (that is why it is called **self**-attention):
#
# $$q = x\,W_Q + b_Q \qquad k = x\,W_K + b_K \qquad v = x\,W_V + b_V$$
#
# They are learned: their weights decide what a head looks for. We take those of the second layer (`blocks[1]`), with
# its real input, for two sentences of equal length:

# %%
batch = tok([sentence, "My mother met my father, but he left early."])
layer = 1
with torch.no_grad():
    out = bert(**batch, return_attention=True, return_hidden=True)
    x = out.hidden_states[layer]  # what goes into that layer
    many = bert.encoder.blocks[layer].attention  # a MultiHeadAttention
    q, k, v = many.query(x), many.key(x), many.value(x)
for name, tensor in {"x": x, "q": q, "k": k, "v": v}.items():
    print(name, tuple(tensor.shape), "  (B, S, D)")

# %% [markdown]
# ## Splitting into heads
#
# The input is not split; q, k and v are. Each of their numbers was computed from all $D$ features of a token, so every
# head reads the whole token. Of a token's $D$ numbers in q, the first head gets the first $K$, the second the next $K$,
# and so on; the same for k and v. Then the axis of the heads goes before that of the tokens, so that each head sees a
# whole text, $(S, K)$, and the formula of the last lesson runs on all of them at once:
#
# $$(B, S, D) \rightarrow (B, S, H, K) \rightarrow (B, H, S, K)$$
#
# With [einops](https://einops.rocks) it is one line: name the axes, take `(h k)` apart, put them in another order.

# %%
H = many.num_heads
q_heads = rearrange(q, "b s (h k) -> b h s k", h=H)
print("q", tuple(q.shape), " -> ", tuple(q_heads.shape), "  (B, H, S, K)")

small = torch.arange(18.0).reshape(1, 3, 6)  # a small q, (B, S, D): three tokens of six features
plots.head_split(small[0], num_heads=2, tokens=["my", "mother", "met"], name="q")

# %% [markdown]
# A `view` alone gives the same *shape* and is wrong. It cuts the numbers in the order in which they are stored, and in
# memory a token's features are next to each other:

# %%
right = rearrange(small, "b s (h k) -> b h s k", h=2)
wrong = small.view(1, 2, 3, 3)
print("same shape:  ", right.shape == wrong.shape, "\nsame numbers:", torch.equal(right, wrong))

plots.head_split(small[0], num_heads=2, tokens=["my", "mother", "met"], wrong=True, name="q")

# %% [markdown]
# Now in the first head the first "token" is one half of *my* and the second is its other half; the second head begins
# in the middle of *mother*. There is no error message, and every number after it is wrong.
#
# Now split them yourself, with `view` and `transpose`, without einops.

# %% exercise="split-heads"

# %% [markdown]
# ## Together again
#
# All heads of all texts attend in one call, because the formula works with any number of axes in front. Then the heads
# are merged, and one more linear layer mixes what they found (Vaswani et al. 2017, section 3.2.2):
#
# $$\text{MultiHead}(Q, K, V) = \text{Concat}(\text{head}_1, \ldots, \text{head}_H)\,W^O$$
#
# $$\text{where head}_i = \text{Attention}(Q W_i^Q,\; K W_i^K,\; V W_i^V)$$
#
# (In the formula $K$ are the keys; in our shapes K is the head size.)
#
# | the paper | here | shape |
# |---|---|---|
# | $Q W_i^Q$, for all $i$ | query layer, then split | (B, H, S, K) |
# | $\text{head}_i$, for all $i$ | attention, one call | (B, H, S, K) |
# | Concat | merged | (B, S, D) |
# | $\ldots W^O$ | the output layer | (B, S, D) |
#
# In the paper each head has small matrices $W_i^Q$ of its own, of $D \times K$ numbers; here all heads share one large
# layer. That is the same: the small matrices, side by side, *are* the large one.
#
# Write both steps. For the second, copy in your `split_heads`, `merge_heads` and `attention`, or use the library's
# attention, which the first cell has imported as `library_attention` (it returns the mixture and the weights).

# %% exercise="merge-heads"

# %% exercise="multi-head-attention"

# %% [markdown]
# Below, after your own attempt: the same with the layers of the real model. The numbers should be the library's.

# %% tags=["folded"]
with torch.no_grad():
    k_heads, v_heads = (rearrange(part, "b s (h k) -> b h s k", h=H) for part in (k, v))
    mixed_heads, head_weights = library_attention(q_heads, k_heads, v_heads)
    mixed = rearrange(mixed_heads, "b h s k -> b s (h k)")
    output = many.output(mixed)
    library_output, _ = many(x)
    rows = slice(3 * q_heads.shape[-1], 4 * q_heads.shape[-1])  # of the fourth head; a weight is (out, in)
    own_query = F.linear(x, many.query.weight[rows], many.query.bias[rows])
print("weights", tuple(head_weights.shape), "  (B, H, S, S)")
print("heads  ", tuple(mixed_heads.shape), "  (B, H, S, K)")
print("mixed  ", tuple(mixed.shape), "     (B, S, D)")
print("the library's output:   ", torch.allclose(output, library_output, atol=1e-5))
print("the model's own weights:", torch.allclose(head_weights, out.attentions[layer], atol=1e-5))
print("one head's own layer gives its queries:", torch.allclose(own_query, q_heads[:, 3], atol=1e-5))

# %% [markdown]
# ## How many heads?
#
# Since $K = D / H$, more heads are *narrower* heads. The number of parameters stays the same: four layers, each of
# $D^2$ weights and $D$ biases, $4\,(D^2 + D)$ numbers, whatever $H$ is. Here they are counted at the width of the first
# Transformer (whose formula has no biases), next to the quality of its translations (BLEU, higher is better; Vaswani et
# al. 2017, Table 3, "base" and rows A):

# %%
BLEU = {1: 24.9, 4: 25.5, 8: 25.8, 16: 25.8, 32: 25.4}
D = 512
print("4 (D² + D) =", f"{4 * (D * D + D):,}")
for heads, bleu in BLEU.items():
    count = minibert.count_parameters(MultiHeadAttention(D, heads))
    print(f"H = {heads:>2}  K = {D // heads:>3}  parameters {count:,}  BLEU {bleu}")

# %% [markdown]
# One head is worst, and {{max(BLEU)}} narrow heads are worse again than {{max(BLEU, key=BLEU.get)}}, but the
# differences are small. After training, many heads can even be taken out with little loss (Michel et al. 2019, sections
# 3 and 4).
#
# ## What the heads look at
#
# Walk through all heads of the model yourself. Point at a word to see where it looks, and choose a cell of the large
# map to see how its weight comes about.

# %%
minibert.explore(sentence)

# %% [markdown]
# Do heads follow simple rules? Count over real sentences: in how many of the {{weights[:, :, 0, 0].numel()}} heads does
# one of four rules catch more than half of a word's attention?

# %% tags=["folded"]
reviews = [review.text for review in load_reviews("rotten-tomatoes").test[:64]]
special = {"[CLS]": 0, "[SEP]": -1}  # where they are in a text
steps = {"the word before": -1, "itself": 0, "the word after": 1}
caught = {rule: [] for rule in [*special, "[CLS] or [SEP]", *steps]}
with torch.no_grad():
    read = [bert(**tok(text), return_attention=True, return_hidden=True) for text in reviews]
for one in read:
    seen = torch.cat(one.attentions)  # (L, H, S, S)
    words = torch.arange(1, seen.shape[-1] - 1)  # all but the two special tokens
    for token, at in special.items():
        caught[token].append(seen[:, :, words, at].mean(-1))  # (L, H)
    caught["[CLS] or [SEP]"].append(caught["[CLS]"][-1] + caught["[SEP]"][-1])
    for rule, step in steps.items():
        caught[rule].append(seen[:, :, words, words + step].mean(-1))
caught = {rule: torch.stack(found).mean(0) for rule, found in caught.items()}  # (L, H)

# %%
print("                 all heads   heads over half   best head (layer, head)")
for rule, share in caught.items():
    layer, head = divmod(int(share.argmax()), share.shape[1])
    best = f"{share.max():.0%} ({layer + 1}, {head + 1})"
    print(f"{rule:<15} {share.mean():>10.0%} {(share > 0.5).sum():>17} {best:>19}")

# %% [markdown]
# There is one clear "word before" head and one "word after" head: the two of the first picture. In
# {{int((caught["[CLS] or [SEP]"] > 0.5).sum())}} heads most of the attention goes to the special tokens. For the other
# {{int((torch.stack(list(caught.values())) <= 0.5).all(0).sum())}} none of these rules describes what they do.
#
# Why would a word look at a special token? Clark et al. 2019, section 3.2, saw the same in BERT-base, mostly with
# `[SEP]`, and explained it as a way to do nothing: a softmax *has* to put its weight somewhere. In our model it is
# `[CLS]`, as the table shows. If this is a way to do nothing, a head should fetch little from it. What it fetches is
# weight times value. So compare two shares in each layer, over the same {{len(reviews)}} reviews: in the weights, and
# in weight times the length of the value. (Kobayashi et al. 2020 also include the output layer, and so does the
# explorer.)

# %% tags=["folded"]
shares = {f"{token} in {what}": [] for token in special for what in ("the weights", "what is fetched")}
for layer, block in enumerate(bert.encoder.blocks):
    of_texts = {panel: [] for panel in shares}
    for one in read:
        with torch.no_grad():
            values = rearrange(block.attention.value(one.hidden_states[layer]), "b s (h k) -> b h s k", h=H)
        seen = one.attentions[layer][:, :, 1:-1]  # of all words: (B, H, S - 2, S)
        fetched = seen * values.norm(dim=-1)[:, :, None, :]  # how long, of each key
        fetched = fetched / fetched.sum(-1, keepdim=True)
        for token, at in special.items():
            of_texts[f"{token} in the weights"].append(seen[..., at].mean())
            of_texts[f"{token} in what is fetched"].append(fetched[..., at].mean())
    for panel, found in of_texts.items():
        shares[panel].append(100 * torch.stack(found).mean().item())
equal = sum(100 / one.attentions[0].shape[-1] for one in read) / len(read)  # the mean of 100 / S
in_weights, in_fetched = shares["[CLS] in the weights"], shares["[CLS] in what is fetched"]
most = in_weights.index(max(in_weights))  # the layer

# %%
print(f"with equal shares, a token would have {equal:.0f}%")
layers = [f"layer {number}" for number in range(1, len(in_weights) + 1)]
plots.distributions(shares, layers, f"Shares of [CLS] and [SEP] in {len(read)} reviews", "share in %", digits=0)

# %% [markdown]
# In every layer, the share of `[CLS]` in what is fetched is several times smaller than in the weights (Kobayashi et al.
# 2020, section 4, found the same for special tokens in BERT). `[SEP]` has little of both. A picture of the weights
# alone would have told you that layer {{most + 1}} is mostly about `[CLS]`, which has
# {{in_weights[most] | .0f}}% of the weights, but only {{in_fetched[most] | .0f}}% of what is fetched. But that is not
# nothing: with equal shares, a token would have {{equal | .0f}}%. So the heads fetch about as much from `[CLS]` as from
# an average token, in some layers more. The explorer shows something similar for each head when you switch it to
# *value-weighted*.
#
# So be careful: **a weight is not an explanation.** It says what a head mixed, not why, nor what the next layers did
# with it. After one layer, the vector at a word's position is already a mixture of the whole text. Jain & Wallace
# 2019, section 4.2, found very different weights that lead to the same answer; Wiegreffe & Pinter 2019 replied that it
# depends on what you call an explanation, and how you test for it. (Both studied models with a single attention, mostly
# on a recurrent network, not a BERT.)
#
# ## What could go wrong
#
# - **Heads cut by a bare `view`**, or merged without transposing back. The shapes fit, and tokens get pieces of others.
# - **Scaling by $\sqrt{D}$.** The dot product of a head runs over $K$ features, so it is $\sqrt{K}$.
# - **No output layer.** The results of the heads then stay side by side and are never mixed.
# - **$(K, H)$ in place of $(H, K)$.** A head then gets every $H$-th feature. A model that is trained like this from the
#   start would still work. Weights that others have trained would not.
# - **Texts on the wrong axis.** PyTorch's own `nn.MultiheadAttention` expects (S, B, D) unless you say
#   `batch_first=True`. Without it, attention runs across the texts of the batch.
#
# ## In short
#
# - One head uses one row of weights for all its features; $H$ heads have $H$ rows, each for $K = D / H$ features.
# - Split: `"b s (h k) -> b h s k"`. Merge: the reverse. Then one linear layer mixes.
# - The number of parameters does not depend on the number of heads.
# - Most heads follow none of our simple rules, and a weight is not an explanation.
#
# **To read.** Vaswani et al. 2017, section 3.2.2. Clark et al. 2019, *What Does BERT Look At?* Then
# `MultiHeadAttention` in [minibert/attention.py](../minibert/attention.py).
#
# **Next:** [masks and padding](03_masks_and_padding.ipynb).
