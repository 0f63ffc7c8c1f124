"""Layer norm."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from minibert import layers
from minibert.exercises.calls import Call
from minibert.exercises.declare import Exercise, Hints, Mistake, Probe
from minibert.exercises.probes import in_float32, randn


def reference(
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
        "batch": (0,), "all but the first": tuple(range(1, x.dim())) or (0,), "everything": tuple(range(x.dim())),
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


def probes() -> list[Probe]:
    axes = {"B": 2, "S": 3, "D": 5}
    weight, bias = 1 + randn(5, seed=2, scale=0.4), randn(5, seed=3)
    x = randn(2, 3, 5, seed=1) + 0.7
    return [
        Probe("with eps = 0.1", Call((x, weight, bias, 0.1), grads=(0, 1, 2)), axes),
        Probe("with the default eps, and small numbers", Call((1e-3 * x, weight, bias)), axes),
        Probe("with two axes", Call((randn(4, 5, seed=4), weight, bias, 0.1)), {"S": 4, "D": 5}),
        Probe("one token", Call((x[:1, :1], weight, bias, 0.1)), {"D": 5}),
        Probe(
            "with one axis",
            Call((x[0, 0], weight, bias, 0.1)),
            {"D": 5},
            beyond="In BERT x has three axes, and there it is right; the task asks for any number.",
        ),
        Probe("in float32", Call(in_float32((x, weight, bias, 0.1))), axes),
        Probe("with a token whose features are all equal", Call((torch.ones_like(x), weight, bias, 0.1)), axes),
    ]


def solution(x: Tensor, weight: Tensor, bias: Tensor, eps: float = 1e-12) -> Tensor:
    mean = x.mean(dim=-1, keepdim=True)
    variance = ((x - mean) ** 2).mean(dim=-1, keepdim=True)
    return (x - mean) / torch.sqrt(variance + eps) * weight + bias


EXERCISE = Exercise(
    name="layer-norm",
    topic="encoder",
    title="Layer norm",
    level="core",
    minutes=10,
    function="layer_norm",
    signature="x, weight, bias, eps=1e-12",
    task=(
        "Give every token mean 0 and variance 1 over its features, then apply a learned scale and shift. (Do not use "
        "`F.layer_norm`. It would pass, but you would learn nothing.)\n\n"
        "- `x`: (..., D), any number of axes before the features\n- `weight`, `bias`: (D,)\n"
        "- `eps`: a small number that prevents a division by 0; the variance divides by D\n- returns (..., D)"
    ),
    source="Ba et al. 2016, section 3",
    reference=reference,
    solution=solution,
    library=layers.layer_norm,
    probes=probes,
    mistakes=(
        Mistake("n-minus-1", "spread", "n - 1", "the variance divides by D - 1",
                "that is the default of torch's var and std, for samples; layer norm divides by D (correction=0)"),
        Mistake("spread-about-zero", "spread", "about zero", "the mean is not subtracted before squaring",
                "you divide by the root mean square; it should be the spread around the mean"),
        Mistake("not-centred", "centre", False, "the mean is not subtracted",
                "the features are scaled but not centred, so they keep their mean"),
        Mistake("eps-outside-the-root", "root", "eps outside", "you add eps to the standard deviation",
                "it belongs inside the root, √(variance + eps); checkpoints were trained that way"),
        Mistake("eps-unused", "root", "no eps", "you do not use eps",
                "a token whose features are all equal becomes 0/0"),
        Mistake("eps-is-1e-5", "root", "1e-5", "you use eps = 1e-5, whatever the argument says",
                "that is torch's default; BERT uses 1e-12, and the argument says which to use"),
        Mistake("eps-is-1e-12", "root", "1e-12", "you use eps = 1e-12, whatever the argument says",
                "that is only the default; use the argument"),
        Mistake("no-root", "root", "no root", "you divide by the variance instead of its square root",
                "the variance of the result is not 1"),
        Mistake("eps-squared", "root", "eps squared", "you square eps",
                "the formula is √(variance + eps)"),
        Mistake("over-tokens", "over", "tokens", "the mean runs over the tokens",
                "each token is normalised separately, over its features, which are the last axis"),
        Mistake("over-axis-1", "over", "axis 1", "the mean runs over axis 1",
                "with three axes, that is the tokens; each token is normalised separately, over its features (dim=-1)"),
        Mistake("axis-lost", "over", "axis lost", "the mean loses its axis",
                "(..., D) minus (...) does not fit; keep the axis with size 1 (keepdim=True)"),
        Mistake("over-everything", "over", "everything", "there is one mean for all numbers of the batch",
                "each token is normalised separately, over its features (dim=-1)"),
        Mistake("over-tokens-and-features", "over", "tokens and features", "the mean runs over tokens and features",
                "a token would depend on the other tokens of its text; only the last axis counts"),
        Mistake("over-all-but-the-first", "over", "all but the first", "the mean runs over all axes but the first",
                "a token would depend on the other tokens of its text; only the last axis counts"),
        Mistake("over-the-batch", "over", "batch", "the mean runs over the batch",
                "that is batch norm, and a text would depend on the others in its batch; only the last axis counts"),
        Mistake("no-affine", "affine", "neither", "weight and bias are left out",
                "the model can no longer set the scale and the shift of each feature"),
        Mistake("no-shift", "affine", "no bias", "the bias is left out", "it is added at the end"),
        Mistake("no-scale", "affine", "no weight", "the weight is left out", "it multiplies the normalised features"),
        Mistake("shift-before-scale", "affine", "bias first", "the bias is added before scaling by the weight",
                "the bias is then scaled too; multiply by the weight first, then add the bias"),
        Mistake("one-plus-weight", "affine", "1 + weight", "the weight is used as 1 + weight",
                "some libraries store it that way; here the weight is the scale itself"),
    ),
    hints=Hints(
        "Which axis holds a token's features, and how do you keep a shape that can be subtracted from x?",
        "Each token has its own mean and variance, one number each. torch's var divides by n - 1 by default.",
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
