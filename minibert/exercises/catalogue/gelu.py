"""GELU, BERT's activation."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from minibert import layers
from minibert.exercises.calls import Call
from minibert.exercises.declare import Exercise, Hints, Mistake, Probe
from minibert.exercises.probes import randn


def reference(x: Tensor, *, kind: str = "erf") -> Tensor:
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


EXERCISE = Exercise(
    name="gelu",
    topic="encoder",
    title="GELU",
    level="warm-up",
    minutes=5,
    function="gelu",
    signature="x",
    task=(
        "BERT's activation: x · Φ(x), where Φ(x) is the probability that a standard normal random number is below x. "
        "Use the exact Φ, computed with the error function, not an approximation.\n\n"
        "- `x`: any shape\n- returns the same shape\n\n"
        "(`F.gelu` would pass, but here you write it yourself.)"
    ),
    source="Hendrycks & Gimpel 2016, section 2",
    reference=reference,
    solution=layers.gelu,
    library=lambda x: layers.ACTIVATIONS["gelu"](x),
    probes=lambda: [
        Probe("from -4 to 4", Call((torch.linspace(-4, 4, 33, dtype=torch.float64),), grads=(0,))),
        Probe("with three axes", Call((randn(2, 3, 5, seed=1, scale=2.0),)), {"B": 2, "S": 3, "F": 5}),
        Probe("far from 0", Call((torch.tensor([-30.0, -8.0, 0.0, 8.0, 30.0], dtype=torch.float64),))),
        Probe("in float32", Call((torch.linspace(-4, 4, 33),))),
    ],
    mistakes=(
        Mistake("gelu-by-tanh", "kind", "tanh", "this is the tanh approximation",
                "it is off by up to 5e-4, most near |x| = 2.7; ALBERT v2 was trained with it (gelu_new), BERT was not"),
        Mistake("gelu-by-tanh-without-cube", "kind", "no cube", "this is the tanh approximation without its cubic term",
                "it is off by up to 0.03; use the exact Φ, computed with the error function"),
        Mistake("gelu-by-sigmoid", "kind", "sigmoid", "this is the approximation x · sigmoid(1.702 x)",
                "it is off by up to 0.02; use the error function"),
        Mistake("silu", "kind", "silu", "this is SiLU, x · sigmoid(x)", "around 0, Φ is steeper than the sigmoid"),
        Mistake("relu", "kind", "relu", "this is ReLU", "GELU is smooth, and is slightly below 0 where x is negative"),
        Mistake("half-missing", "kind", "no half", "the factor ½ is missing",
                "1 + erf goes from 0 to 2, and a probability from 0 to 1"),
        Mistake("root-of-2-missing", "kind", "no root", "x is not divided by √2 inside erf",
                "erf is made for a normal distribution of variance ½; Φ(x) = ½ (1 + erf(x / √2))"),
        Mistake("divided-by-2", "kind", "half in the root", "x is divided by 2 inside erf instead of √2",
                "Φ(x) = ½ (1 + erf(x / √2))"),
        Mistake("times-root-of-2", "kind", "times root", "x is multiplied by √2 inside erf instead of divided",
                "Φ(x) = ½ (1 + erf(x / √2))"),
        Mistake("density-for-distribution", "kind", "density", "x is multiplied by the bell curve itself",
                "Φ is the area below the curve up to x, a number that grows from 0 to 1"),
        Mistake("x-forgotten", "kind", "phi alone", "the factor x is missing", "Φ(x) alone never exceeds 1"),
        Mistake("one-forgotten", "kind", "no 1", "the 1 in 1 + erf is missing",
                "erf goes from -1 to 1, and Φ from 0 to 1"),
        Mistake("tanh-in-place-of-erf", "kind", "tanh for erf", "you use tanh in place of erf",
                "the tanh approximation has a different argument, with a cubic term; use torch.erf"),
        Mistake("elu", "kind", "elu", "this is ELU",
                "the names are similar but the functions are not; GELU is x · Φ(x)"),
    ),
    hints=Hints(
        "What is Φ at 0, and far to the left and to the right?",
        "Φ can be computed from the error function, which torch has; erf goes from -1 to 1 and is made for a different "
        "variance.",
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
