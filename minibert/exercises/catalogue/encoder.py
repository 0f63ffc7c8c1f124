"""The encoder block and what it is made of: layer norm, GELU, feed-forward, and the order they stand in."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from minibert import layers
from minibert.attention import Layout
from minibert.classroom.worker import Call
from minibert.encoder import EncoderBlock
from minibert.exercises.catalogue.attention import MANY_HEADS_MISTAKES, attention_weights, linear, many_heads
from minibert.exercises.engine import Exercise, Hints, Mistake, Probe
from minibert.exercises.probes import mask_of, randn

Weights = Mapping[str, Tensor]

# ------------------------------------------------------------------------------------------------ layer norm


def norm_reference(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    eps: float = 1e-12,
    *,
    centre: bool = True,
    spread: str = "variance",
    root: str = "eps inside",
    over: str = "features",
    affine: str = "weight and bias",
) -> Tensor:
    """Layer norm with knobs."""
    dims = {
        "features": (-1,), "axis lost": (-1,), "tokens": (-2,), "axis 1": (1,), "tokens and features": (-2, -1),
        "batch": (0,), "everything": tuple(range(x.dim())),
    }[over]  # fmt: skip
    correction = 1 if spread == "n - 1" else 0
    kept = over != "axis lost"
    mean = x.mean(dims, keepdim=kept)
    variance = x.var(dims, correction=correction, keepdim=kept)
    if spread == "about zero":
        variance = (x**2).mean(dims, keepdim=kept)
    if not centre:
        mean = torch.zeros_like(mean)
    divisor = {
        "eps inside": lambda: (variance + eps).sqrt(),
        "eps outside": lambda: variance.sqrt() + eps,
        "no eps": lambda: variance.sqrt(),
        "1e-5": lambda: (variance + 1e-5).sqrt(),
        "1e-12": lambda: (variance + 1e-12).sqrt(),
        "no root": lambda: variance + eps,
        "eps squared": lambda: (variance + eps**2).sqrt(),
    }[root]()
    normed = (x - mean) / divisor
    return {
        "weight and bias": lambda: normed * weight + bias,
        "neither": lambda: normed,
        "no bias": lambda: normed * weight,
        "no weight": lambda: normed + bias,
        "bias first": lambda: (normed + bias) * weight,
        "1 + weight": lambda: normed * (1 + weight) + bias,
    }[affine]()


def norm_probes() -> list[Probe]:
    axes = {"B": 2, "S": 3, "D": 5}
    weight, bias = 1 + randn(5, seed=2, scale=0.4), randn(5, seed=3)
    x = randn(2, 3, 5, seed=1) + 0.7
    return [
        Probe("with eps = 0.1", Call((x, weight, bias, 0.1), grads=(0, 1, 2)), axes),
        Probe("with the default eps, and small numbers", Call((1e-3 * x, weight, bias)), axes),
        Probe("of two axes", Call((randn(4, 5, seed=4), weight, bias, 0.1)), {"S": 4, "D": 5}),
        Probe("with a token whose features are all equal", Call((torch.ones_like(x), weight, bias, 0.1)), axes),
    ]


def layer_norm(x: Tensor, weight: Tensor, bias: Tensor, eps: float = 1e-12) -> Tensor:
    mean = x.mean(dim=-1, keepdim=True)
    variance = ((x - mean) ** 2).mean(dim=-1, keepdim=True)
    return (x - mean) / torch.sqrt(variance + eps) * weight + bias


LAYER_NORM = Exercise(
    name="layer-norm",
    topic="encoder",
    title="Layer norm",
    function="layer_norm",
    signature="x, weight, bias, eps=1e-12",
    task=(
        "Give every token mean 0 and variance 1 over its features, then a learned scale and shift. (Without "
        "`F.layer_norm`, or there is nothing to learn, though nobody stops you.)\n\n"
        "- `x`: (..., D), any number of axes before the features\n- `weight`, `bias`: (D,)\n"
        "- `eps`: a small number that keeps the division from 0; the variance divides by D\n- returns (..., D)"
    ),
    source="Ba et al. 2016, section 3",
    reference=norm_reference,
    solution=layer_norm,
    library=layers.layer_norm,
    probes=norm_probes,
    mistakes=(
        Mistake("n-minus-1", "spread", "n - 1", "the variance divides by D - 1",
                "that is the default of torch's var and std, for samples; layer norm divides by D (correction=0)"),
        Mistake("spread-about-zero", "spread", "about zero", "the mean is not taken off before squaring",
                "what you divide by is the root mean square; it is to be the spread around the mean"),
        Mistake("not-centred", "centre", False, "the mean is not subtracted",
                "the features are scaled but not centred: their mean stays"),
        Mistake("eps-outside-the-root", "root", "eps outside", "eps is added to the standard deviation",
                "it belongs inside the root: √(variance + eps); checkpoints were trained so"),
        Mistake("eps-unused", "root", "no eps", "eps is not used",
                "a token whose features are all equal becomes 0/0"),
        Mistake("eps-is-1e-5", "root", "1e-5", "eps is 1e-5 whatever is asked for",
                "that is torch's default; BERT has 1e-12, and the argument says which"),
        Mistake("eps-is-1e-12", "root", "1e-12", "eps is 1e-12 whatever is asked for",
                "that is its default only; the argument says which"),
        Mistake("no-root", "root", "no root", "you divide by the variance and not by its root",
                "the variance of what comes out is not 1"),
        Mistake("eps-squared", "root", "eps squared", "eps is squared",
                "asked for is √(variance + eps)"),
        Mistake("over-tokens", "over", "tokens", "the mean runs over the tokens",
                "each token is normalised by itself, over its features: the last axis"),
        Mistake("over-axis-1", "over", "axis 1", "the mean runs over axis 1",
                "which of three axes is the tokens; each token is normalised by itself, over its features: dim=-1"),
        Mistake("axis-lost", "over", "axis lost", "the mean loses its axis",
                "(..., D) minus (...) does not fit; keep the axis with size 1: keepdim=True"),
        Mistake("over-everything", "over", "everything", "there is one mean for all numbers of the batch",
                "each token is normalised by itself, over its features: dim=-1"),
        Mistake("over-tokens-and-features", "over", "tokens and features", "the mean runs over tokens and features",
                "the longer the text, the more a token depends on others; only the last axis counts"),
        Mistake("over-the-batch", "over", "batch", "the mean runs over the batch",
                "that is batch norm: a text would depend on those beside it; only the last axis counts"),
        Mistake("no-affine", "affine", "neither", "weight and bias are left out",
                "the model can no longer say how large a feature is to be"),
        Mistake("no-shift", "affine", "no bias", "the bias is left out", "it is added at the end"),
        Mistake("no-scale", "affine", "no weight", "the weight is left out", "it multiplies what was normalised"),
        Mistake("shift-before-scale", "affine", "bias first", "the bias is added before the weight multiplies",
                "it would be scaled too: first times weight, then plus bias"),
        Mistake("one-plus-weight", "affine", "1 + weight", "the weight is taken as 1 + weight",
                "some libraries store it so; here the weight is the scale itself"),
    ),
    hints=Hints(
        "Which axis holds a token's features, and what keeps the shape so that it can be subtracted?",
        "Mean and variance are a token's own, one number each; torch's var divides by n - 1 unless it is told not to.",
        "(x − mean) / √(variance + eps) · weight + bias, over the last axis",
        "mean = x.mean(dim=..., keepdim=True)\nvariance = ((x - mean) ** 2)....\n"
        "return (x - mean) / torch.sqrt(...) * weight + bias",
    ),
    swap="layer_norm",
    equivalents=(
        lambda x, weight, bias, eps=1e-12: F.layer_norm(x, x.shape[-1:], weight, bias, eps),
        lambda x, weight, bias, eps=1e-12: (
            (x - x.mean(-1, True)) * (x.var(-1, correction=0, keepdim=True) + eps).rsqrt() * weight + bias
        ),
        lambda x, weight, bias, eps=1e-12: (
            weight * ((x - x.mean(-1, True)) / (x.std(-1, correction=0, keepdim=True) ** 2 + eps) ** 0.5) + bias
        ),
    ),
)  # fmt: skip

# ------------------------------------------------------------------------------------------------------ GELU


def gelu_reference(x: Tensor, *, kind: str = "erf") -> Tensor:
    """GELU with a knob."""
    inner = math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)
    phi = 0.5 * (1 + torch.erf(x / math.sqrt(2)))
    return {
        "erf": lambda: x * phi,
        "tanh": lambda: 0.5 * x * (1 + torch.tanh(inner)),
        "no cube": lambda: 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * x)),
        "sigmoid": lambda: x * torch.sigmoid(1.702 * x),
        "silu": lambda: F.silu(x),
        "relu": lambda: F.relu(x),
        "no half": lambda: x * (1 + torch.erf(x / math.sqrt(2))),
        "no root": lambda: 0.5 * x * (1 + torch.erf(x)),
        "half in the root": lambda: 0.5 * x * (1 + torch.erf(x / 2)),
        "times root": lambda: 0.5 * x * (1 + torch.erf(x * math.sqrt(2))),
        "density": lambda: x * torch.exp(-0.5 * x**2) / math.sqrt(2 * math.pi),
        "phi alone": lambda: phi,
        "no 1": lambda: 0.5 * x * torch.erf(x / math.sqrt(2)),
        "tanh for erf": lambda: 0.5 * x * (1 + torch.tanh(x / math.sqrt(2))),
        "elu": lambda: F.elu(x),
    }[kind]()


GELU = Exercise(
    name="gelu",
    topic="encoder",
    title="GELU",
    function="gelu",
    signature="x",
    task=(
        "BERT's activation: x · Φ(x), where Φ(x) is the probability that a standard normal number is below x. Take the "
        "exact Φ, by the error function, and not an approximation.\n\n- `x`: any shape\n- returns the same shape"
    ),
    source="Hendrycks & Gimpel 2016, section 2",
    reference=gelu_reference,
    solution=layers.gelu,
    library=lambda x: layers.ACTIVATIONS["gelu"](x),
    probes=lambda: [
        Probe("from -4 to 4", Call((torch.linspace(-4, 4, 33, dtype=torch.float64),), grads=(0,)), {"N": 33}),
        Probe("of three axes", Call((randn(2, 3, 5, seed=1, scale=2.0),)), {"B": 2, "S": 3, "F": 5}),
    ],
    mistakes=(
        Mistake("gelu-by-tanh", "kind", "tanh", "this is the tanh approximation",
                "it is off by up to 5e-4, most near |x| = 2.7; ALBERT v2 was trained with it (gelu_new), BERT was not"),
        Mistake("gelu-by-tanh-without-cube", "kind", "no cube", "this is the tanh approximation without its cubic term",
                "it is off by up to 0.03; and asked for is the exact Φ, by the error function"),
        Mistake("gelu-by-sigmoid", "kind", "sigmoid", "this is the approximation x · sigmoid(1.702 x)",
                "it is off by up to 0.02; take the error function"),
        Mistake("silu", "kind", "silu", "this is SiLU, x · sigmoid(x)", "its slope around 0 is another; Φ is steeper"),
        Mistake("relu", "kind", "relu", "this is ReLU", "GELU lets a little of what is below 0 through, smoothly"),
        Mistake("half-missing", "kind", "no half", "the factor ½ is missing",
                "1 + erf runs from 0 to 2 and a probability from 0 to 1"),
        Mistake("root-of-2-missing", "kind", "no root", "x is not divided by √2 inside erf",
                "erf is for a normal number of variance ½; Φ(x) = ½ (1 + erf(x / √2))"),
        Mistake("divided-by-2", "kind", "half in the root", "x is divided by 2 inside erf and not by √2",
                "Φ(x) = ½ (1 + erf(x / √2))"),
        Mistake("times-root-of-2", "kind", "times root", "x is multiplied by √2 inside erf instead of divided",
                "Φ(x) = ½ (1 + erf(x / √2))"),
        Mistake("density-for-distribution", "kind", "density", "x is multiplied by the bell curve itself",
                "Φ is the area below it up to x, a number that grows from 0 to 1"),
        Mistake("x-forgotten", "kind", "phi alone", "the factor x is missing", "Φ(x) alone never exceeds 1"),
        Mistake("one-forgotten", "kind", "no 1", "the 1 in 1 + erf is missing",
                "erf runs from -1 to 1, and Φ from 0 to 1"),
        Mistake("tanh-in-place-of-erf", "kind", "tanh for erf", "tanh stands where erf should",
                "the approximation by tanh has another argument, with a cubic term; take torch.erf"),
        Mistake("elu", "kind", "elu", "this is ELU", "the name is near, the function is not: GELU is x · Φ(x)"),
    ),
    hints=Hints(
        "What is Φ at 0, and far to the left and to the right?",
        "Φ comes from the error function, which torch has; erf runs from -1 to 1 and is made for another variance.",
        "x · ½ · (1 + erf(x / √2))",
        "0.5 * x * (1 + torch.erf(...))",
    ),
    swap="gelu",
    equivalents=(
        lambda x: F.gelu(x),
        lambda x: x * torch.distributions.Normal(0.0, 1.0).cdf(x),
        lambda x: 0.5 * x * torch.erfc(-x / 2**0.5),
    ),
)  # fmt: skip

# ---------------------------------------------------------------------------------------------- feed-forward


def feed_reference(
    x: Tensor,
    weights: Weights,
    *,
    activation: str = "erf",
    place: str = "between",
    bias: str = "both",
    extra: str = "nothing",
    transposed: bool = False,
    prefix: str = "",
) -> Tensor:
    """Feed-forward with knobs."""
    if transposed:
        weights = {name: weight.T if weight.dim() == 2 else weight for name, weight in weights.items()}
    expand = linear(x, weights, f"{prefix}expand", bias in ("both", "no contract"))
    act = {"none": lambda h: h, "tanh()": torch.tanh}.get(activation, lambda h: gelu_reference(h, kind=activation))
    if place == "before":
        return linear(linear(act(x), weights, f"{prefix}expand", bias in ("both", "no contract")), weights,
                      f"{prefix}contract", bias in ("both", "no expand"))  # fmt: skip
    hidden = act(expand) if place in ("between", "both") else expand
    out = linear(hidden, weights, f"{prefix}contract", bias in ("both", "no expand"))
    if place in ("after", "both"):
        out = act(out)
    return {"nothing": lambda: out, "residual": lambda: out + x, "softmax": lambda: out.softmax(-1)}[extra]()


def feed_weights(width: int, inner: int, seed: int, prefix: str = "") -> dict[str, Tensor]:
    return {
        f"{prefix}expand.weight": randn(inner, width, seed=seed, scale=0.4),
        f"{prefix}expand.bias": randn(inner, seed=seed + 1, scale=0.4),
        f"{prefix}contract.weight": randn(width, inner, seed=seed + 2, scale=0.4),
        f"{prefix}contract.bias": randn(width, seed=seed + 3, scale=0.4),
    }


def feed_forward(x: Tensor, weights: Weights) -> Tensor:
    hidden = F.linear(x, weights["expand.weight"], weights["expand.bias"])  # (B, S, F)
    return F.linear(F.gelu(hidden), weights["contract.weight"], weights["contract.bias"])


FEED_MISTAKES = (
    Mistake("activation-missing", "activation", "none", "there is no activation",
            "two linear layers with nothing between them are one linear layer"),
    Mistake("activation-relu", "activation", "relu", "the activation is ReLU", "BERT has GELU"),
    Mistake("activation-tanh-gelu", "activation", "tanh", "the activation is GELU's tanh approximation",
            "BERT has the exact one; F.gelu's default"),
    Mistake("activation-tanh", "activation", "tanh()", "the activation is tanh",
            "BERT has GELU here, and tanh in the pooler"),
    Mistake("activation-after", "place", "after", "the activation stands after the second linear layer",
            "it belongs between the two"),
    Mistake("activation-twice", "place", "both", "the activation stands after the second linear layer, too",
            "it belongs between the two, once: what is added back must be free to be negative"),
    Mistake("activation-before", "place", "before", "the activation stands before the first linear layer",
            "it belongs between the two"),
    Mistake("expand-bias-missing", "bias", "no expand", "the first layer's bias is left out", "both layers have one"),
    Mistake("contract-bias-missing", "bias", "no contract", "the second layer's bias is left out", "both have one"),
    Mistake("feed-biases-missing", "bias", "none", "both biases are left out", "both layers have one"),
)  # fmt: skip

FEED_FORWARD = Exercise(
    name="feed-forward",
    topic="encoder",
    title="Feed-forward",
    function="feed_forward",
    signature="x, weights",
    task=(
        "Two linear layers with the exact GELU between them: D → F → D, each token by itself. No dropout, and no "
        "residual: that is the block's.\n\n- `x`: (B, S, D)\n"
        "- `weights`: `expand.weight` (F, D), `expand.bias` (F,), `contract.weight` (D, F), `contract.bias` (D,); a "
        "weight is (out, in), as in `torch.nn.Linear`\n- returns (B, S, D)"
    ),
    source="Vaswani et al. 2017, section 3.3; Devlin et al. 2019, appendix A.2",
    reference=feed_reference,
    solution=feed_forward,
    library=lambda x, weights: functional_call(layers.FeedForward(x.shape[-1], 7), dict(weights), (x,)),
    probes=lambda: [
        Probe(
            "a batch",
            Call((randn(2, 3, 5, seed=1, scale=2.0), feed_weights(5, 7, seed=2)), grads=(0, 1)),
            {"B": 2, "S": 3, "D": 5, "F": 7},
        )
    ],
    mistakes=(
        *FEED_MISTAKES,
        Mistake("residual-added", "extra", "residual", "the input is added back",
                "that is the block's work, and would be done twice"),
        Mistake("feed-weights-do-not-fit", "transposed", True,
                "the first weight does not fit: it lacks its transpose, or it is the second layer's",
                "a linear layer keeps its weight as (out, in): x @ weight.T, or F.linear; first expand, then contract"),
        Mistake("softmax-at-the-end", "extra", "softmax", "there is a softmax at the end",
                "these are features and no shares; nothing comes after the second linear layer"),
    ),
    hints=Hints(
        "How many linear layers are there, and what stands between them?",
        "Widen, bend, narrow. The activation is what makes two layers more than one.",
        "FFN(x) = GELU(x W₁ᵀ + b₁) W₂ᵀ + b₂",
        'hidden = F.linear(x, weights["expand.weight"], ...)\nreturn F.linear(F.gelu(...), ...)',
    ),
    swap="feed_forward",
    equivalents=(
        lambda x, w: (
            layers.gelu(x @ w["expand.weight"].T + w["expand.bias"]) @ w["contract.weight"].T + w["contract.bias"]
        ),
        lambda x, w: torch.einsum(
            "bsf,df->bsd",
            F.gelu(torch.einsum("bsd,fd->bsf", x, w["expand.weight"]) + w["expand.bias"]),
            w["contract.weight"],
        ) + w["contract.bias"],
        lambda x, w: torch.stack([feed_forward(token, w) for token in x.unbind(1)], dim=1),
    ),
)  # fmt: skip

# ---------------------------------------------------------------------------------------------- encoder block

EPS = 1e-12


def block_reference(
    x: Tensor,
    weights: Weights,
    num_heads: int,
    mask: Tensor | None = None,
    *,
    order: str = "post",
    first_residual: str = "x",
    second_residual: str = "after attention",
    norms: str = "own",
    eps: float = EPS,
    transposed: bool = False,
    **inside: Any,
) -> Tensor:
    """The encoder block with knobs; those of attention and feed-forward go on to them."""
    feeding = {name: value for name, value in inside.items() if name in ("activation", "place")}
    if "feed_bias" in inside:
        feeding["bias"] = inside["feed_bias"]
    attending = {name: value for name, value in inside.items() if name not in (*feeding, "feed_bias")}
    attending["transposed"] = feeding["transposed"] = transposed

    def attend(x: Tensor) -> Tensor:
        own = {name.removeprefix("attention."): w for name, w in weights.items() if name.startswith("attention.")}
        return many_heads(x, own, num_heads, mask, **attending)

    def norm(x: Tensor, name: str) -> Tensor:
        if norms == f"without {name}":
            return x
        if norms == "first twice":
            name = "attention_norm"
        elif norms == "swapped":
            name = "norm" if name == "attention_norm" else "attention_norm"
        return F.layer_norm(x, x.shape[-1:], weights[f"{name}.weight"], weights[f"{name}.bias"], eps)

    def feed(x: Tensor) -> Tensor:
        return feed_reference(x, weights, prefix="feed_forward.", **feeding)

    if order == "pre":
        x = x + attend(norm(x, "attention_norm"))
        return x + feed(norm(x, "norm"))
    back = {"x": x, "none": 0.0}
    added = x + attend(x) if second_residual == "before the norm" else None
    if order == "norm, then add":
        after = back[first_residual] + norm(attend(x), "attention_norm")
    else:
        after = norm(back[first_residual] + attend(x), "attention_norm")
    back = {"after attention": after, "none": 0.0, "x": x, "before the norm": added}
    if order == "norm, then add":
        return back[second_residual] + norm(feed(after), "norm")
    if order == "parallel":
        return norm(after + feed(x), "norm")
    return norm(back[second_residual] + feed(after), "norm")


def block_weights(width: int, inner: int, seed: int) -> dict[str, Tensor]:
    found = {f"attention.{name}": weight for name, weight in attention_weights(width, seed).items()}
    for number, name in enumerate(("attention_norm", "norm")):
        found[f"{name}.weight"] = 1 + randn(width, seed=seed + 20 + number, scale=0.3)
        found[f"{name}.bias"] = randn(width, seed=seed + 30 + number, scale=0.3)
    return found | feed_weights(width, inner, seed + 40, "feed_forward.")


def block_probes() -> list[Probe]:
    axes = {"B": 2, "S": 5, "D": 12, "H": 3, "K": 4, "F": 7}
    x, weights = randn(2, 5, 12, seed=1), block_weights(12, 7, seed=5)
    padded = mask_of([[1, 1, 1, 0, 0], [1, 1, 1, 1, 0]])[:, None, None, :]
    # Where what is normalised is small, an eps of 1e-5 shows.
    small = {name: weight * 1e-3 if name.startswith("attention.output") else weight for name, weight in weights.items()}
    return [
        Probe("without a mask", Call((x, weights, 3), first=True), axes),
        Probe("with padding", Call((x, weights, 3, padded), grads=(0, 1), first=True), axes),
        Probe("with small numbers", Call((1e-3 * x, small, 3), first=True), axes),
    ]


def encoder_block(x: Tensor, weights: Weights, num_heads: int, mask: Tensor | None = None) -> Tensor:
    def apply(x, name):
        return F.linear(x, weights[f"{name}.weight"], weights[f"{name}.bias"])

    def norm(x, name):
        return F.layer_norm(x, x.shape[-1:], weights[f"{name}.weight"], weights[f"{name}.bias"], 1e-12)

    q, k, v = (
        rearrange(apply(x, f"attention.{name}"), "b s (h k) -> b h s k", h=num_heads)
        for name in ("query", "key", "value")
    )
    mixed = rearrange(F.scaled_dot_product_attention(q, k, v, attn_mask=mask), "b h s k -> b s (h k)")
    x = norm(x + apply(mixed, "attention.output"), "attention_norm")
    wide = F.gelu(apply(x, "feed_forward.expand"))
    return norm(x + apply(wide, "feed_forward.contract"), "norm")


def encoder_block_by_library(x: Tensor, weights: Weights, num_heads: int, mask: Tensor | None = None) -> Tensor:
    width, inner = x.shape[-1], weights["feed_forward.expand.bias"].shape[0]
    block = EncoderBlock(width, num_heads, inner, eps=EPS, dropout=0.0, attention_dropout=0.0)
    layout = Layout(None if mask is None else mask[:, 0, 0].long(), skip_padding=False)
    return functional_call(block, dict(weights), (x, layout))[0]


def encoder_block_by_torch(x: Tensor, weights: Weights, num_heads: int, mask: Tensor | None = None) -> Tensor:
    """torch's own encoder layer, which is post-norm too; True is hidden there."""
    layer = nn.TransformerEncoderLayer(
        x.shape[-1], num_heads, weights["feed_forward.expand.bias"].shape[0], 0.0, "gelu", EPS, batch_first=True
    )
    parts = ("query", "key", "value")
    renamed = {
        "self_attn.in_proj_weight": torch.cat([weights[f"attention.{name}.weight"] for name in parts]),
        "self_attn.in_proj_bias": torch.cat([weights[f"attention.{name}.bias"] for name in parts]),
    }
    names = {
        "self_attn.out_proj": "attention.output", "linear1": "feed_forward.expand", "linear2": "feed_forward.contract",
        "norm1": "attention_norm", "norm2": "norm",
    }  # fmt: skip
    for theirs, ours in names.items():
        renamed |= {f"{theirs}.{kind}": weights[f"{ours}.{kind}"] for kind in ("weight", "bias")}
    hidden = None if mask is None else ~mask[:, 0, 0]
    return functional_call(layer.double(), renamed, (x,), {"src_key_padding_mask": hidden})


def encoder_block_by_parts(x: Tensor, weights: Weights, num_heads: int, mask: Tensor | None = None) -> Tensor:
    own = {name.removeprefix("attention."): weight for name, weight in weights.items() if name.startswith("attention.")}
    feed = {name.removeprefix("feed_forward."): weight for name, weight in weights.items()}
    a = many_heads(x, own, num_heads, mask) + x
    a = layer_norm(a, weights["attention_norm.weight"], weights["attention_norm.bias"])
    return layer_norm(feed_forward(a, feed) + a, weights["norm.weight"], weights["norm.bias"])


def _renamed(mistake: Mistake, knob: str) -> Mistake:
    return Mistake(mistake.name, knob, mistake.value, mistake.says, mistake.effect, mistake.hint)


# Fewer than there are for attention itself: all pairs are tried too, and that is to take less than a second.
OF_THE_HEADS = (
    "query-and-key-swapped", "value-from-key", "heads-unscaled", "heads-scaled-by-D", "heads-softmax-over-queries",
    "heads-cut-by-view", "heads-cut-k-first", "heads-merged-untransposed", "heads-merged-by-view",
    "heads-output-missing", "heads-mask-inverted", "heads-mask-ignored", "linear-transposed", "biases-missing",
)  # fmt: skip

ENCODER_BLOCK = Exercise(
    name="encoder-block",
    topic="encoder",
    title="The encoder block",
    function="encoder_block",
    signature="x, weights, num_heads, mask=None",
    task=(
        "One block of BERT, post-norm: attention, add the input back, layer norm; feed-forward, add back what went "
        "into it, layer norm. No dropout; the norms' eps is 1e-12; the activation is the exact GELU.\n\n"
        "- `x`: (B, S, D)\n"
        "- `weights`: `attention.query.weight`, `attention.query.bias`, the same for `key`, `value` and `output`; "
        "`attention_norm.weight` and `.bias`; `feed_forward.expand.weight` and `.bias`, `feed_forward.contract.weight` "
        "and `.bias`; `norm.weight` and `.bias`. Weights of linear layers are (out, in)\n"
        "- `num_heads`: H. `mask`: None, or booleans (B, 1, 1, S), True where one may look\n"
        "- returns (B, S, D)"
    ),
    source="Vaswani et al. 2017, section 3.1 and figure 1 (left)",
    reference=block_reference,
    solution=encoder_block,
    library=encoder_block_by_library,
    probes=block_probes,
    mistakes=(
        Mistake("pre-norm", "order", "pre", "the norms stand before attention and feed-forward",
                "that is pre-norm, as in GPT-2; BERT normalises after adding, and its weights were trained so"),
        Mistake("norm-before-adding", "order", "norm, then add", "the norm comes before the input is added back",
                "what leaves the block is not normalised; add first, then norm"),
        Mistake("in-parallel", "order", "parallel", "feed-forward reads the block's input and not attention's result",
                "the two halves come one after the other"),
        Mistake("first-residual-missing", "first_residual", "none", "the input is not added back after attention",
                "a deep stack does not learn without that way round"),
        Mistake("second-residual-missing", "second_residual", "none", "nothing is added back after feed-forward",
                "a deep stack does not learn without that way round"),
        Mistake("second-residual-from-the-input", "second_residual", "x",
                "after feed-forward the block's own input is added back",
                "it is what went into feed-forward that is added: the normalised sum"),
        Mistake("second-residual-from-before-the-norm", "second_residual", "before the norm",
                "after feed-forward the sum from before the first norm is added back",
                "it is what went into feed-forward that is added: the sum after its norm"),
        Mistake("norm-eps-is-1e-5", "eps", 1e-5, "the norms' eps is 1e-5",
                "that is the default of torch's layer norm; BERT has 1e-12, so it is to be said"),
        Mistake("one-norm-for-both", "norms", "first twice", "the first norm's weights are used twice",
                "the second norm, `norm`, has weights of its own"),
        Mistake("norms-swapped", "norms", "swapped", "the two norms have changed places",
                "attention_norm follows attention, norm follows feed-forward"),
        Mistake("first-norm-missing", "norms", "without attention_norm", "there is no norm after attention",
                "each half ends with one"),
        Mistake("second-norm-missing", "norms", "without norm", "there is no norm after feed-forward",
                "each half ends with one"),
        *(one for one in MANY_HEADS_MISTAKES if one.name in OF_THE_HEADS),
        *(one for one in FEED_MISTAKES if one.knob in ("activation", "place")),
        *(_renamed(one, "feed_bias") for one in FEED_MISTAKES if one.knob == "bias"),
    ),
    hints=Hints(
        "Draw it: two boxes, an arrow around each, and where the norms stand.",
        "Each half is norm(x + f(x)). What goes round the second box is what came out of the first norm.",
        "a = LN(x + MultiHead(x)); LN(a + FFN(a))",
        "x = norm(x + attention(x), ...)\nreturn norm(x + feed_forward(...), ...)",
    ),
    equivalents=(encoder_block_by_torch, encoder_block_by_parts,
                 lambda x, weights, num_heads, mask=None: torch.cat([
                     encoder_block(x[b : b + 1], weights, num_heads, None if mask is None else mask[b : b + 1])
                     for b in range(len(x))])),
)  # fmt: skip

EXERCISES = (LAYER_NORM, GELU, FEED_FORWARD, ENCODER_BLOCK)
