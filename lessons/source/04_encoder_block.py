# %% [markdown]
# # The encoder block
#
# > A head only mixes. What turns mixing into a layer that can be stacked twelve times?
#
# You can now let tokens look at each other, with many heads at once. A BERT does this layer after layer. But
# attention layers stacked directly on each other would not work. This picture shows what is needed between them:

# %% tags=["folded"]
import inspect
import math

import torch
from einops import rearrange
from torch import nn
from torch.nn import functional as F

import minibert
from minibert import plots
from minibert.attention import Layout
from minibert.encoder import EncoderBlock, initialise
from minibert.layers import FeedForward, gelu, gelu_tanh, layer_norm as library_layer_norm
from minibert.training.data import load_reviews

# %%
plots.encoder_block()

# %% [markdown]
# Read the left side from the bottom. First comes attention, which you know. The arrow around it is the **residual**:
# the input is added to the output. Then comes a **norm**, then a **feed-forward** part, again with an arrow around it,
# and another norm. The output has the same shape as the input, so another block can follow.
#
# ## What is wrong with mixing alone?
#
# A head returns weighted means. If the weights are spread over several tokens, the mean of means is soon a mean of
# everything. Here are the bare attentions of four blocks with random weights, one after the other. After each we
# measure the mean cosine over all pairs of tokens of a text; one means that all tokens point the same way.

# %% tags=["folded"]
B, S, D, H, inner = 8, 16, 64, 4, 256  # inner: the width of the layer between, F in the library
std = 0.02 * math.sqrt(768 / D)  # as strong as BERT's fresh weights: 0.02 at a width of 768


def random_blocks(count):
    torch.manual_seed(0)
    no_dropout = {"dropout": 0.0, "attention_dropout": 0.0}  # see "Dropout" below
    blocks = [EncoderBlock(D, H, inner, **no_dropout) for _ in range(count)]
    for block in blocks:
        initialise(block.double(), std)  # double precision: some numbers below get very small
    return blocks


def cosine_between_tokens(x):
    u = F.normalize(x, dim=-1, eps=0.0)  # (B, S, D), each token of length one
    others = (u @ u.mT).sum((-2, -1)) - x.shape[-2]  # pairs of a text, no token with itself
    return (others / (x.shape[-2] * (x.shape[-2] - 1))).mean().item()


torch.manual_seed(1)
start, target = torch.randn(2, B, S, D, dtype=torch.float64)  # target: for later

# %%
x = start
print(f"the input:          {cosine_between_tokens(x):5.2f}")
with torch.no_grad():
    for number, block in enumerate(random_blocks(4), 1):
        x, _ = block.attention(x)
        print(f"after attention {number}:  {cosine_between_tokens(x):5.2f}")

# %% [markdown]
# After two rounds all tokens of a text point the same way, to two digits. Dong et al. 2021, section 2, prove that this
# is where pure attention leads. These heads are fresh: their queries and keys give nearly equal weights. Trained heads
# are tested below.
#
# ## Feed-forward: each token by itself
#
# A head moves information between tokens. The feed-forward part works on it, one token at a time. It widens the vector
# from $D$ to $F$ features (in BERT four times as many), applies a curved function, and narrows the vector again
# (Vaswani et al. 2017, section 3.3):
#
# $$\text{FFN}(x) = \text{GELU}(x\,W_1 + b_1)\,W_2 + b_2$$
#
# | the paper | the code | shape |
# |---|---|---|
# | $x\,W_1 + b_1$ | `feed.expand(x)` | (B, S, D) → (B, S, F) |
# | GELU (there ReLU) | `feed.activation(...)` | (B, S, F) |
# | $\ldots W_2 + b_2$ | `feed.contract(...)` | (B, S, F) → (B, S, D) |

# %%
torch.manual_seed(0)
feed = FeedForward(D, inner)
x = torch.randn(2, 5, D)  # two texts of five tokens
order = torch.tensor([3, 0, 4, 1, 2])
with torch.no_grad():
    wide = feed.expand(x)
    out = feed.contract(feed.activation(wide))
    print("x", tuple(x.shape), " wide", tuple(wide.shape), " out", tuple(out.shape))
    same = torch.allclose(feed(x[:, order]), out[:, order], atol=1e-6)
print("tokens in another order, same vectors in that order:", same)

# %% [markdown]
# The function in the middle is the *activation*. BERT's is **GELU**, which you wrote in lesson 00 (Hendrycks & Gimpel
# 2016, section 2). Without it, the two linear layers would be equivalent to one, and the wide middle would be useless:

# %%
with torch.no_grad():  # W2 (W1 x + b1) + b2 = (W2 W1) x + (W2 b1 + b2)
    merged = feed.contract.weight @ feed.expand.weight  # W2 W1, (D, D)
    shift = feed.contract(feed.expand.bias)  # W2 b1 + b2, (D,)
    no_gelu = torch.allclose(feed.contract(wide), F.linear(x, merged, shift), atol=1e-5)
print("without the GELU, one small layer gives the same:", no_gelu)

points = torch.linspace(-4, 3, 701, dtype=torch.float64)
curves = {"ReLU": (points, F.relu(points)), "GELU": (points, gelu(points))}
plots.lines(curves, "x", "output", "GELU lets a little of the negative numbers through")

# %% [markdown]
# The feed-forward part treats every token alike: it sees one vector, and of the token's position and neighbours only
# what this vector contains. Yet it has most of a block's parameters. Counted for BERT-base:

# %%
with torch.device("meta"):  # shapes without numbers: enough to count
    block = EncoderBlock.from_config(minibert.PRESETS["bert-base-uncased"])
total = minibert.count_parameters(block)
norms = [block.attention_norm, block.norm]
parts = {"attention": [block.attention], "feed-forward": [block.feed_forward], "norms": norms}
for name, modules in parts.items():
    count = sum(minibert.count_parameters(module) for module in modules)
    print(f"{name:<13} {count:>9,}  {count / total:6.2%}")
print(f"{'the block':<13} {total:>9,}")

# %% exercise="feed-forward"

# %% [markdown]
# ## Layer norm
#
# After each addition the block brings every token's vector back to the same scale (Ba et al. 2016, section 3). Take the
# $D$ features of one token, subtract their mean, and divide by their standard deviation. Then apply a learned scale and
# shift to each feature:
#
# $$\text{LN}(x) = \frac{x - \mu}{\sqrt{\sigma^2 + \epsilon}} \cdot \gamma + \beta, \qquad
# \mu = \frac{1}{D}\sum_i x_i, \quad \sigma^2 = \frac{1}{D}\sum_i (x_i - \mu)^2$$
#
# It runs over the features of *one* token. No other token, and no other text of the batch, changes it. Three details
# matter for weights that others have trained:
#
# - the variance divides by $D$, and not by $D - 1$ as `torch.var` does unless told otherwise;
# - $\epsilon$ is *inside* the root; it prevents a division by zero if all features of a token are equal;
# - in BERT $\epsilon$ is $10^{-12}$, and PyTorch's default is $10^{-5}$.

# %% exercise="layer-norm"

# %% [markdown]
# Below, after your own attempt: layer norm by hand, for three tokens of six features on very different scales.

# %% tags=["folded"]
torch.manual_seed(0)
spread, height = torch.tensor([[0.3], [1.0], [3.0]]), torch.tensor([[0.0], [3.0], [-4.0]])
x = torch.randn(3, 6) * spread + height
mean = x.mean(dim=-1, keepdim=True)  # (3, 1): one number for each token
variance = ((x - mean) ** 2).mean(dim=-1, keepdim=True)
normed = (x - mean) / torch.sqrt(variance + 1e-12)

norm = nn.LayerNorm(6, eps=1e-12)  # a fresh one: scale 1, shift 0
print("torch's LayerNorm gives the same:   ", torch.allclose(normed, norm(x)))
print("and for 100 x + 7 it gives the same:", torch.allclose(normed, norm(100 * x + 7), atol=1e-3))

names = ["token 0", "token 1", "token 2"]
plots.grids({"before": x, "after": normed}, names, [], title="Each row gets mean 0 and variance 1")

# %% [markdown]
# ## The residual
#
# In code, an arrow around a box is a plus sign, `x + f(x)`. The part $f$ then only has to compute a *change* to the
# token's vector. And there is a path back for the gradient around $f$:
# $\partial(x + f(x)) / \partial x = 1 + f'(x)$. (For a vector, $1$ is the identity matrix, and $f'$ the matrix of
# derivatives.) The gradient through many blocks, the product $(1 + f_1')(1 + f_2')\cdots$, still has the summand $1$,
# even where every $f'$ is tiny. (In BERT the path also passes through the norms.)
#
# ## Exercise: the whole block
#
# You have all the parts. Put them together as in the picture, from the bottom up, with attention inside: copy in the
# `multi_head_attention` that you wrote in lesson 02. The names of its weights have no `attention.` in front:
# `{name.removeprefix("attention."): w for name, w in weights.items() if name.startswith("attention.")}`.
#
# In the swap you should see the same vectors after every layer of the real BERT. If the check names a mistake in the
# second half of the block, look at which tensor you add back.

# %% exercise="encoder-block"

# %% [markdown]
# ## What norm and residual contribute
#
# Here are twelve random blocks with neither, with one of them, and with both:


# %% tags=["folded"]
def variant(block, x, residual, norm):
    """A block with or without its two residuals, with or without its two norms."""
    attended, _ = block.attention(x)
    x = x + attended if residual else attended
    x = block.attention_norm(x) if norm else x
    fed = block.feed_forward(x)
    x = x + fed if residual else fed
    return block.norm(x) if norm else x


variants = {"neither": (False, False), "norm": (False, True), "residual": (True, False), "both": (True, True)}
blocks = random_blocks(12)
alike, gradients, lengths = {}, {}, {}
for name, (residual, norm) in variants.items():
    states = [start.clone().requires_grad_()]
    for block in blocks:
        states.append(variant(block, states[-1], residual, norm))
    loss = ((states[-1] - target) ** 2).mean()
    found = torch.autograd.grad(loss, states[:-1])  # how much the loss depends on each block's input
    gradients[name] = torch.stack([gradient.norm() for gradient in found])
    alike[name] = [cosine_between_tokens(x.detach()) for x in states[1:]]
    lengths[name] = [x.detach().norm(dim=-1).mean().item() for x in states[1:]]

# %%
print("           gradient at the start   cosine at the end   length at the end")
for name in variants:
    gradient, cosine, length = gradients[name][0], alike[name][-1], lengths[name][-1]
    print(f"{name:<10} {gradient:>21.1e} {cosine:>19.2f} {length:>19.2g}")

panels = {
    "cosine between two tokens": alike,
    "log₁₀ of the gradient's length": {name: g.log10() for name, g in gradients.items()},
}
plots.flow(panels, "block", "Twelve random blocks: what norm and residual each contribute")

# %% [markdown]
# - **Neither.** The vectors shrink with each block, and so does the gradient on its way down (in the lower picture,
#   from right to left). At the first block almost nothing of it is left. (With weights as small as BERT's fresh ones,
#   each layer makes its input shorter.)
# - **The norm alone** keeps the scale, and so the gradient's size. But the tokens are all the same: it cannot bring
#   back what the mixing has lost.
# - **The residual alone** keeps the tokens apart, because each token's own vector is still added, and the gradient
#   arrives. But the vectors grow (here from a length of about $\sqrt{D}$, which is
#   {{float(start.norm(dim=-1).mean()) | .0f}}, to {{lengths["residual"][-1] | .0f}}; more with more blocks or larger
#   weights).
# - **Both** keep the tokens apart and the lengths equal, and the gradient arrives.
#
# Every pre-training starts from such random weights, but trained weights can behave differently.
#
# **A good place to stop for tonight.** You have built a block. Still to come: where the norm stands, a real BERT's
# stack of blocks, and dropout.

# %% [markdown]
# ## Where the norm stands
#
# $$\text{post-norm: } x \leftarrow \text{LN}(x + f(x)) \qquad \text{pre-norm: } x \leftarrow x + f(\text{LN}(x))$$
#
# BERT, like the first Transformer (Vaswani et al. 2017, section 3.1), is **post-norm**. Most large models since are
# **pre-norm**: no norm interrupts the path through the additions, and there is one more norm at the very end. They
# differ clearly in the gradient of the *last* block before the first step of training:


# %% tags=["folded"]
def pre_norm(block, x):
    x = x + block.attention(block.attention_norm(x))[0]
    return x + block.feed_forward(block.norm(x))


def post_norm(block, x):
    return block(x, Layout())[0]  # the library's block is post-norm; Layout(): no padding


# %%
print("blocks   post-norm   pre-norm")
for depth in (6, 24, 96):
    found = []
    for step in (post_norm, pre_norm):
        blocks, x = random_blocks(depth), start
        for block in blocks:
            x = step(block, x)
        x = F.layer_norm(x, (D,)) if step is pre_norm else x  # pre-norm's last norm
        loss = ((x - target) ** 2).mean()
        (gradient,) = torch.autograd.grad(loss, [blocks[-1].feed_forward.contract.weight])
        found.append(gradient.norm().item())
    print(f"{depth:>6} {found[0]:>11.3f} {found[1]:>10.3f}")

# %% [markdown]
# Pre-norm's gradient gets smaller as the stack gets deeper; post-norm's does not. Xiong et al. 2020, section 3, derive
# this, and show in trainings that full steps from the start are too large for a post-norm model. It needs a learning
# rate that starts near zero and grows over the first steps. This is called **warm-up** (of the learning rate; not the
# exercises of that name). BERT's [pre-training](07_pretraining.ipynb) has it. Their pre-norm models could do without
# (section 4). Many large pre-norm models have it all the same, LLaMA for one (Touvron et al. 2023, sections 2.2 and
# 2.3).
#
# Our own table shows only the sizes of the gradients: we have trained nothing here.

# %% [markdown]
# ## The stack
#
# Below, after your own attempt at a block: the first block of a real BERT by hand, on a real sentence.

# %% tags=["folded"]
bert = minibert.from_pretrained("minilm-l6")  # in eval mode: without dropout
tok = minibert.load_tokenizer("minilm-l6")
with torch.no_grad():
    real = bert(**tok("My mother met my father, but she left early."), return_hidden=True)
block = bert.encoder.blocks[0]
x = real.hidden_states[0]  # the embeddings, (1, S, D)
scale, shift = block.attention_norm.weight, block.attention_norm.bias

with torch.no_grad():
    attended, _ = block.attention(x)
    a = library_layer_norm(x + attended, scale, shift)  # add & norm
    wide = gelu(block.feed_forward.expand(a))  # (1, S, D) -> (1, S, F)
    fed = block.feed_forward.contract(wide)  # (1, S, F) -> (1, S, D)
    y = library_layer_norm(a + fed, block.norm.weight, block.norm.bias)  # add & norm
print("x", tuple(x.shape), " wide", tuple(wide.shape), " y", tuple(y.shape))
print("as the model's next state:", torch.allclose(y, real.hidden_states[1], atol=1e-5))

# %% [markdown]
# An `Encoder` is a list of blocks and a loop. How does a token's vector change from block to block? The picture shows
# the mean cosine between the vectors of the same token in two states, over thirty-two real sentences. (*The embeddings*
# are the vectors that go into the first block; lesson 06.) Above it is the cosine of the first experiment, between
# *two* tokens of a text: after all blocks, and after their attentions alone.


# %%
def attentions_alone(x):
    for block in bert.encoder.blocks:
        x, _ = block.attention(x)
    return x


batch = tok([review.text for review in load_reviews("rotten-tomatoes").test[:32]])
real_tokens = batch["attention_mask"].bool()
with torch.no_grad():
    hidden = bert(**batch, return_hidden=True).hidden_states  # L + 1 of (B, S, D)
    texts = {
        "the embeddings": [x[real] for x, real in zip(hidden[0], real_tokens, strict=True)],  # each (tokens, D)
        "whole blocks": [x[real] for x, real in zip(hidden[-1], real_tokens, strict=True)],
    }
    texts["attentions alone"] = [attentions_alone(x[None])[0] for x in texts["the embeddings"]]
between = {name: sum(map(cosine_between_tokens, vectors)) / len(vectors) for name, vectors in texts.items()}
for name, cosine in between.items():
    print(f"two tokens of one text, {name:<16} {cosine:.2f}")

unit = F.normalize(torch.stack([state[real_tokens] for state in hidden]), dim=-1)  # (L + 1, N, D)
cosines = torch.einsum("and,bnd->ab", unit, unit) / unit.shape[1]  # (L + 1, L + 1), the mean over all tokens
steps = cosines.diagonal(1).tolist()  # each state with the next

labels = ["embeddings", *(f"block {number}" for number in range(1, len(hidden)))]
plots.similarity(cosines, labels, "The same token in different states of a real BERT")

# %% [markdown]
# Each of the first {{len(steps) - 1}} blocks changes a vector little (a cosine of {{min(steps[:-1]) | .2f}} to
# {{max(steps[:-1]) | .2f}}, next to the diagonal); the last one changes it most ({{steps[-1] | .2f}}). After all blocks
# the tokens of a text are still far from equal ({{between["whole blocks"] | .2f}}).
#
# Is that because the attentions are trained? Run without the rest of their blocks, they too make all tokens equal
# ({{between["attentions alone"] | .2f}}). But they were never trained to work alone, so this is a hint and no proof.
#
# ## Dropout
#
# One thing is not in the picture. In training, **dropout** sets each number to zero with a small probability $p$ and
# divides the others by $1 - p$, so that the mean stays the same. Then no feature can rely on a single other one. In
# BERT's block it acts in three places: on the attention weights, and on what attention and feed-forward return, before
# it is added. When the model is *used*, it must be off. `model.eval()` does that, `model.train()` turns it on:

# %%
torch.manual_seed(0)
dropped = F.dropout(torch.ones(100_000), p=0.1)
values = sorted({round(value, 2) for value in dropped.unique().tolist()})
zeros = (dropped == 0).double().mean()
print(f"the ones became {values}; share of zeros {zeros:.2f}, mean {dropped.mean():.2f}")

dropping = EncoderBlock(D, H, inner, dropout=0.1).double()
with torch.no_grad():
    for mode in (True, False):
        dropping.train(mode)
        same = torch.equal(post_norm(dropping, start), post_norm(dropping, start))
        print("train mode:" if mode else "eval mode: ", "twice the same?", same)

# %% exercise="dropout"

# %% [markdown]
# ## What could go wrong
#
# A wrong block has the right shape, and some would even learn if they were trained from the start. But none can use
# weights that were trained in a right block. Here is the same block with common mistakes, and the largest difference in
# its output:

# %%
feed, norm_1, norm_2 = block.feed_forward, block.attention_norm, block.norm


def sample_norm(x, norm):  # divides by D - 1
    return (x - x.mean(-1, keepdim=True)) / x.std(-1, keepdim=True) * norm.weight + norm.bias


with torch.no_grad():
    u = norm_1(x + block.attention(x)[0])
    pre = x + block.attention(norm_1(x))[0]
    wrong = {
        "pre-norm": pre + feed(norm_2(pre)),
        "the norm before the addition": u + norm_2(feed(u)),
        "the second residual from x": norm_2(x + feed(u)),
        "no second residual": norm_2(feed(u)),
        "one norm for both": norm_1(u + feed(u)),
        "GELU by tanh": norm_2(u + feed.contract(gelu_tanh(feed.expand(u)))),
        "variance by D - 1": sample_norm(u + feed(u), norm_2),
    }
for name, output in wrong.items():
    print(f"{name:<30} {(output - y).abs().max():.4f}")

# %% [markdown]
# Pre-norm is far off because no norm comes last: its vectors are
# {{float(wrong["pre-norm"].norm(dim=-1).mean() / y.norm(dim=-1).mean()) | .1f}} times as long as the right ones. The
# last two mistakes are so small that you cannot see them in the output. A comparison with known numbers finds them.
#
# Which GELU is right? Google's BERT code had the error function at first, and tanh later (google-research/bert,
# `modeling.py`, commit `bee6030`). This library reads the `gelu` of BERT's checkpoints as the exact one. `gelu_new`, in
# ALBERT's second version, is the approximation by tanh.
#
# - **`model.eval()` forgotten.** If one text gives different vectors each time, look here first.
# - **The mean over the wrong axis.** If it is taken over the batch, a text's vectors depend on the other texts; if over
#   the tokens, a token's on the other tokens.
# - **A second activation, after the second layer.** What is added back must be free to be negative.

# %% [markdown]
# **A hunt.** In this box there is an encoder block, perhaps with one of the known mistakes in it. Call it
# (`box(*box.example())`), compare it with your own block on the same arguments, and name the mistake.

# %%
box = minibert.hunt("encoder-block", seed=3)
box

# %% [markdown]
# When your block and your dropout have passed, compare them with the library's block. (The first lines matter only for
# models that need the output of some tokens only. In all other cases `queries` is $x$. The dropout of the weights is
# inside `attention`.)

# %% tags=["folded"]
print(inspect.getsource(EncoderBlock.forward))

# %% [markdown]
# ## In short
#
# - Attention moves information between tokens, feed-forward works on each token by itself and has about two thirds of a
#   block's parameters.
# - Mixing alone makes all tokens alike. In fresh blocks, the residual keeps them apart, and the norm keeps the scale.
#   Each of the two keeps the gradient from vanishing.
# - BERT is post-norm: `x = norm(x + f(x))`, twice. It needs warm-up.
# - Layer norm: over the features of one token, variance by $D$, $\epsilon$ inside the root, $10^{-12}$ in BERT.
#
# **To read.** Vaswani et al. 2017, sections 3.1 and 3.3, figure 1 (left). Xiong et al. 2020, *On Layer Normalization in
# the Transformer Architecture*. Then [minibert/layers.py](../minibert/layers.py) down to `FeedForward`, and
# `EncoderBlock` and `Encoder` in [minibert/encoder.py](../minibert/encoder.py).
#
# **Next:** [words into pieces](05_words_into_pieces.ipynb).
