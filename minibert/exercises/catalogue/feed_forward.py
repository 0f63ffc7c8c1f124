"""Feed-forward: two linear layers with an activation between them."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn import functional as F

from minibert import layers
from minibert.exercises.calls import Call
from minibert.exercises.catalogue import gelu
from minibert.exercises.catalogue.common_layers import Weights, linear
from minibert.exercises.declare import Exercise, Hints, Mistake, Probe
from minibert.exercises.probes import in_float32, randn


def reference(
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
    act = {"none": lambda h: h, "tanh()": torch.tanh}.get(activation, lambda h: gelu.reference(h, kind=activation))
    if place == "before":
        return linear(linear(act(x), weights, f"{prefix}expand", bias in ("both", "no contract")), weights,
                      f"{prefix}contract", bias in ("both", "no expand"))  # fmt: skip
    hidden = act(expand) if place in ("between", "both") else expand
    out = linear(hidden, weights, f"{prefix}contract", bias in ("both", "no expand"))
    if place in ("after", "both"):
        out = act(out)
    return {"nothing": lambda: out, "residual": lambda: out + x, "softmax": lambda: out.softmax(-1)}[extra]()


def seeded_weights(width: int, inner: int, seed: int, prefix: str = "") -> dict[str, Tensor]:
    return {
        f"{prefix}expand.weight": randn(inner, width, seed=seed, scale=0.4),
        f"{prefix}expand.bias": randn(inner, seed=seed + 1, scale=0.4),
        f"{prefix}contract.weight": randn(width, inner, seed=seed + 2, scale=0.4),
        f"{prefix}contract.bias": randn(width, seed=seed + 3, scale=0.4),
    }


def solution(x: Tensor, weights: Weights) -> Tensor:
    hidden = F.linear(x, weights["expand.weight"], weights["expand.bias"])  # (B, S, F)
    return F.linear(F.gelu(hidden), weights["contract.weight"], weights["contract.bias"])


MISTAKES = (
    Mistake("activation-missing", "activation", "none", "there is no activation",
            "two linear layers with nothing between them are no more than one linear layer"),
    Mistake("activation-relu", "activation", "relu", "the activation is ReLU", "BERT uses GELU"),
    Mistake("activation-tanh-gelu", "activation", "tanh", "the activation is GELU's tanh approximation",
            "BERT uses the exact GELU, which is the default of F.gelu"),
    Mistake("activation-tanh", "activation", "tanh()", "the activation is tanh",
            "BERT uses GELU here, and tanh in the pooler"),
    Mistake("activation-after", "place", "after", "the activation comes after the second linear layer",
            "it belongs between the two"),
    Mistake("activation-twice", "place", "both", "the activation is applied after the second linear layer, too",
            "it belongs only between the two; the result is added to the input and must be able to be negative"),
    Mistake("activation-before", "place", "before", "the activation comes before the first linear layer",
            "it belongs between the two"),
    Mistake("expand-bias-missing", "bias", "no expand", "the first layer's bias is left out", "both layers have one"),
    Mistake("contract-bias-missing", "bias", "no contract", "the second layer's bias is left out", "both have one"),
    Mistake("feed-biases-missing", "bias", "none", "both biases are left out", "both layers have one"),
)  # fmt: skip

EXERCISE = Exercise(
    name="feed-forward",
    topic="encoder",
    title="Feed-forward",
    level="warm-up",
    minutes=5,
    function="feed_forward",
    signature="x, weights",
    task=(
        "Two linear layers with the exact GELU between them: D → F → D, for each token separately. No dropout, and no "
        "residual connection: that is part of the block.\n\n- `x`: (B, S, D)\n"
        "- `weights`: `expand.weight` (F, D), `expand.bias` (F,), `contract.weight` (D, F), `contract.bias` (D,); a "
        "weight is (out, in), as in `torch.nn.Linear`\n- returns (B, S, D)"
    ),
    source="Vaswani et al. 2017, section 3.3; Devlin et al. 2019, appendix A.2",
    reference=reference,
    solution=solution,
    library=lambda x, weights: functional_call(layers.FeedForward(x.shape[-1], 7), dict(weights), (x,)),
    probes=lambda: [
        Probe(
            "a batch",
            Call((randn(2, 3, 5, seed=1, scale=2.0), seeded_weights(5, 7, seed=2)), grads=(0, 1)),
            {"B": 2, "S": 3, "D": 5, "F": 7},
        ),
        Probe("one text of one token", Call((randn(1, 1, 5, seed=7), seeded_weights(5, 7, seed=8))), {"D": 5, "F": 7}),
        Probe(
            "in float32",
            Call(in_float32((randn(2, 3, 5, seed=9), seeded_weights(5, 7, seed=10)))),
            {"B": 2, "S": 3, "D": 5, "F": 7},
        ),
    ],
    mistakes=(
        *MISTAKES,
        Mistake("residual-added", "extra", "residual", "the input is added back",
                "the block does that, so it would be done twice"),
        Mistake("feed-weights-do-not-fit", "transposed", True,
                "the first weight does not fit: it is not transposed, or it is the second layer's",
                "a linear layer stores its weight as (out, in), so use x @ weight.T, or F.linear; first expand, "
                "then contract"),
        Mistake("softmax-at-the-end", "extra", "softmax", "there is a softmax at the end",
                "these are features, not probabilities; nothing comes after the second linear layer"),
    ),
    hints=Hints(
        "How many linear layers are there, and what comes between them?",
        "Make it wider, apply the activation, make it narrower. Without the activation, two layers can do no more than "
        "one.",
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
        lambda x, w: torch.stack([solution(token, w) for token in x.unbind(1)], dim=1),
    ),
)  # fmt: skip
