"""MobileBERT's NoNorm: a scale and a shift, and nothing is normalised."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from minibert.exercises.calls import Call
from minibert.exercises.catalogue import layer_norm
from minibert.exercises.declare import Exercise, Hints, Mistake, Probe
from minibert.exercises.probes import in_float32, randn
from minibert.models.mobilebert import NoNorm


def reference(
    x: Tensor, weight: Tensor, bias: Tensor, *, before: str = "nothing", scale: str = "weight", affine: str = "both"
) -> Tensor:
    """NoNorm with knobs."""
    x = {
        "nothing": lambda: x,
        "layer norm": lambda: layer_norm.solution(x, torch.ones_like(weight), torch.zeros_like(bias)),
        "layer norm, 1e-5": lambda: F.layer_norm(x, x.shape[-1:], eps=1e-5),
        "n - 1": lambda: (x - x.mean(-1, keepdim=True)) / x.std(-1, keepdim=True),
        "centred": lambda: x - x.mean(-1, keepdim=True),
        "root mean square": lambda: x / x.square().mean(-1, keepdim=True).sqrt(),
        "unit length": lambda: F.normalize(x, dim=-1),
        "over tokens": lambda: (x - x.mean(-2, keepdim=True)) / x.std(-2, correction=0, keepdim=True),
        "largest": lambda: x / x.abs().amax(-1, keepdim=True),
        "clamped": lambda: x.clamp(-1, 1),
    }[before]()
    weight = {
        "weight": lambda: weight, "1 + weight": lambda: 1 + weight, "divided": lambda: 1 / weight,
        "mean": lambda: weight.mean(), "absolute": lambda: weight.abs(), "first": lambda: weight[0],
        "softmax": lambda: weight.softmax(-1),
    }[scale]()  # fmt: skip
    return {
        "both": lambda: x * weight + bias,
        "neither": lambda: x,
        "no bias": lambda: x * weight,
        "no weight": lambda: x + bias,
        "bias first": lambda: (x + bias) * weight,
        "minus bias": lambda: x * weight - bias,
        "mean bias": lambda: x * weight + bias.mean(),
        "product": lambda: x @ weight + bias,
        "outer": lambda: x[..., None] * weight + bias,
    }[affine]()


def probes() -> list[Probe]:
    weight, bias = randn(5, seed=2), randn(5, seed=3)
    x = 3 * randn(2, 3, 5, seed=1) + 0.7
    axes = {"B": 2, "S": 3, "D": 5}
    return [
        Probe("three axes", Call((x, weight, bias), grads=(0, 1, 2)), axes),
        Probe("two axes", Call((x[0], weight, bias)), {"S": 3, "D": 5}),
        Probe("one token", Call((x[:1, :1], weight, bias)), {"D": 5}),
        Probe("one axis", Call((x[0, 0], weight, bias)), {"D": 5}),
        Probe("small numbers", Call((1e-3 * x, weight, bias)), axes),
        Probe("very large numbers", Call((1e7 * x, weight, bias)), axes),
        Probe("a token whose features are all equal", Call((torch.full_like(x, 2.5), weight, bias)), axes),
        Probe("in float32", Call(in_float32((x, weight, bias))), axes),
    ]


def solution(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return x * weight + bias


def by_library(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return functional_call(NoNorm(len(weight)), {"weight": weight, "bias": bias}, (x,))


def by_columns(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return torch.stack([x[..., d] * weight[d] + bias[d] for d in range(x.shape[-1])], dim=-1)


def by_module(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    class Norm(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale, self.shift = weight, bias

        def forward(self, x: Tensor) -> Tensor:
            return self.scale.mul(x).add(self.shift)

    return Norm()(x)


EXERCISE = Exercise(
    name="no-norm",
    topic="mobilebert",
    title="NoNorm: what is left of layer norm",
    function="no_norm",
    signature="x, weight, bias",
    task=(
        "MobileBERT leaves out the slow parts of a layer norm, the mean and the variance. It keeps the learned scale "
        "and shift of each feature.\n\n"
        "- `x`: (..., D), any number of axes before the features\n- `weight`, `bias`: (D,), scale and shift\n"
        "- returns (..., D). Nothing is normalised"
    ),
    source="Sun et al. 2020, section 3.3, \"Remove layer normalization\"",
    reference=reference,
    solution=solution,
    library=by_library,
    probes=probes,
    level="warm-up",
    minutes=3,
    mistakes=(
        Mistake("layer-norm", "before", "layer norm", "you apply a whole layer norm",
                "NoNorm leaves out the mean and the variance; only scale and shift stay"),
        Mistake("layer-norm-1e-5", "before", "layer norm, 1e-5", "you apply torch's whole layer norm",
                "NoNorm leaves out the mean and the variance; only scale and shift stay"),
        Mistake("divided-by-std", "before", "n - 1", "you subtract the mean and divide by the standard deviation",
                "NoNorm leaves out mean and deviation; only scale and shift stay"),
        Mistake("centred", "before", "centred", "the mean is subtracted", "NoNorm needs no mean; only scale and shift "
                "stay"),
        Mistake("root-mean-square", "before", "root mean square", "you divide by the root mean square",
                "that is RMSNorm; NoNorm divides by nothing"),
        Mistake("unit-length", "before", "unit length", "each token is scaled to length 1",
                "NoNorm does not look at the size of a vector"),
        Mistake("over-tokens", "before", "over tokens", "the features are normalised over the tokens",
                "NoNorm treats each number by itself; nothing is normalised"),
        Mistake("divided-by-the-largest", "before", "largest", "each token is divided by its largest number",
                "NoNorm treats each number by itself; nothing is normalised"),
        Mistake("clamped", "before", "clamped", "large numbers are cut off",
                "in MobileBERT they reach 10⁷; NoNorm keeps them"),
        Mistake("no-affine", "affine", "neither", "weight and bias are left out",
                "nothing happens then; they are all that NoNorm has"),
        Mistake("no-shift", "affine", "no bias", "the bias is left out", "it is added at the end"),
        Mistake("no-scale", "affine", "no weight", "the weight is left out", "it multiplies the features"),
        Mistake("shift-before-scale", "affine", "bias first", "the bias is added before scaling by the weight",
                "the bias is then scaled too; multiply by the weight first, then add the bias"),
        Mistake("shift-subtracted", "affine", "minus bias", "the bias is subtracted", "add it"),
        Mistake("one-shift", "affine", "mean bias", "all features get the same shift",
                "each feature has its own, bias[d]"),
        Mistake("dot-product", "affine", "product", "you take the dot product of each token with the weight",
                "each feature is multiplied by its own weight (*), and nothing is summed up"),
        Mistake("outer-product", "affine", "outer", "every feature is multiplied by every weight",
                "the last axis of x and that of the weight are the same axis; x * weight lines them up"),
        Mistake("one-plus-weight", "scale", "1 + weight", "the weight is used as 1 + weight, or x is added back",
                "the weight is the scale itself, and the block adds x back before the norm"),
        Mistake("divided-by-weight", "scale", "divided", "you divide by the weight", "multiply by it"),
        Mistake("one-scale", "scale", "mean", "all features get the same scale", "each feature has its own, weight[d]"),
        Mistake("scale-of-the-first", "scale", "first", "all features get the scale of the first one",
                "each feature has its own, weight[d]"),
        Mistake("scale-without-sign", "scale", "absolute", "the sign of the weight is lost",
                "a learned scale may be negative; use it as it is"),
    ),
    hints=Hints(
        "Write down the formula of layer norm. What needs all features of a token, and what only one at a time?",
        "Without mean, variance and root, two steps are left. Broadcasting lines up the last axes.",
        "x[..., d] · weight[d] + bias[d]",
        "return x * ... + ...",
    ),
    swap="no_norm",
    equivalents=(
        lambda x, weight, bias: torch.addcmul(bias, x, weight),
        lambda x, weight, bias: F.linear(x, torch.diag(weight), bias),
        by_columns,
        by_module,
    ),
)  # fmt: skip
