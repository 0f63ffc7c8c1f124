"""What several exercises share: a linear layer, a layer norm with a knob, and the norm's mistakes."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from minibert.exercises.catalogue import layer_norm
from minibert.exercises.declare import Mistake

Weights = Mapping[str, Tensor]


def linear(x: Tensor, weights: Weights, name: str, bias: bool = True) -> Tensor:
    return F.linear(x, weights[f"{name}.weight"], weights[f"{name}.bias"] if bias else None)


class Nothing(nn.Module):
    """In place of a feed-forward, where the library's block has one and the exercise has not: it adds nothing."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.zeros_like(x)


# A value of the knob `norm` -> the knob of the exercise layer_norm that has the same effect.
NORMS: dict[str, dict[str, str]] = {
    "right": {},
    "not affine": {"affine": "neither"},
    "n - 1": {"spread": "n - 1"},
    "eps outside": {"root": "eps outside"},
    "1e-5": {"root": "1e-5"},
    "1e-12": {"root": "1e-12"},
    "no eps": {"root": "no eps"},
    "n - 1, eps outside": {"spread": "n - 1", "root": "eps outside"},
}


def normed(x: Tensor, weights: Weights, eps: float, norm: str) -> Tensor:
    """A layer norm with a single knob: a name of NORMS, or "none" for no norm at all."""
    if norm == "none":
        return x
    return layer_norm.reference(x, weights["norm.weight"], weights["norm.bias"], eps, **NORMS[norm])


NORM_MISTAKES = (
    Mistake("norm-forgotten", "norm", "none", "there is no layer norm",
            "nothing controls the size of the numbers; normalise over the features"),
    Mistake("norm-not-affine", "norm", "not affine", "the norm's weight and bias are left out",
            "the model can no longer set the scale and the shift of each feature; multiply by norm.weight and add "
            "norm.bias"),
    Mistake("norm-n-1", "norm", "n - 1", "the norm's variance divides by D - 1",
            "that is the default of torch's var, for samples; a layer norm divides by D"),
    Mistake("norm-eps-outside", "norm", "eps outside", "the norm's eps is added to the standard deviation",
            "it belongs inside the root, √(variance + eps)"),
    Mistake("norm-by-std", "norm", "n - 1, eps outside", "the norm divides by torch's std plus eps",
            "std divides by D - 1, and eps belongs inside the root; use √(variance + eps) with a variance that divides "
            "by D"),
    Mistake("norm-eps-is-1e-5", "norm", "1e-5", "the norm's eps is always 1e-5, whatever the argument says",
            "that is torch's default; pass eps to the norm"),
    Mistake("norm-without-eps", "norm", "no eps", "the norm does not use eps",
            "tokens whose features are all equal become 0/0; eps belongs inside the root, √(variance + eps)"),
)  # fmt: skip
