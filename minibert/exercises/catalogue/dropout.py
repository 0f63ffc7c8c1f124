"""Dropout: where it acts in the attention half of a block."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from minibert.attention import Layout
from minibert.encoder import EncoderBlock
from minibert.exercises.calls import Call
from minibert.exercises.catalogue import layer_norm
from minibert.exercises.declare import Exercise, Hints, Mistake, Probe
from minibert.exercises.probes import in_float32, randn

EPS = 1e-12


def reference(
    x: Tensor,
    scores: Tensor,
    value: Tensor,
    weight: Tensor,
    bias: Tensor,
    keep_weights: Tensor,
    keep_output: Tensor,
    *,
    on_weights: str = "after the softmax",
    on_output: str = "before adding",
    scaled: bool = True,
    residual: bool = True,
    order: str = "post",
    axis: int = -1,
    eps: float = EPS,
) -> Tensor:
    """Half a block in training, with knobs for where the two dropouts act."""
    if not scaled:
        keep_weights, keep_output = (keep.ne(0).to(keep.dtype) for keep in (keep_weights, keep_output))
    if on_weights == "on the scores":
        scores = scores * keep_weights
    elif on_weights == "as a mask":
        scores = scores.masked_fill(keep_weights == 0, -1e9)
    weights = scores.softmax(axis)
    if on_weights in ("after the softmax", "normalised again"):
        weights = weights * keep_weights
    if on_weights == "normalised again":
        weights = weights / weights.sum(-1, keepdim=True).clamp(min=1e-30)
    output = weights @ value
    if on_weights == "on the values":
        output = weights @ (value * keep_output)
    if on_output in ("before adding", "twice"):
        output = output * keep_output
    if order == "norm before adding":
        return x + layer_norm.solution(output, weight, bias, eps)
    if on_output == "on the input":
        x = x * keep_output
    added = x + output if residual else output
    if on_output == "after adding":
        added = added * keep_output
    normalised = added if order == "no norm" else layer_norm.solution(added, weight, bias, eps)
    return normalised * keep_output if on_output in ("after the norm", "twice") else normalised


def solution(
    x: Tensor, scores: Tensor, value: Tensor, weight: Tensor, bias: Tensor, keep_weights: Tensor, keep_output: Tensor
) -> Tensor:
    weights = scores.softmax(-1) * keep_weights
    output = (weights @ value) * keep_output
    return F.layer_norm(x + output, x.shape[-1:], weight, bias, eps=1e-12)


class Given(nn.Module):
    """Stands for a part of a block: returns what it was made with, or its input times that."""

    def __init__(self, value: Tensor, *, factor: bool = False):
        super().__init__()
        self.value, self.factor = value, factor

    def forward(self, x: Tensor, *_: object, **__: object) -> Any:
        return x * self.value if self.factor else (self.value, None)


def by_library(
    x: Tensor, scores: Tensor, value: Tensor, weight: Tensor, bias: Tensor, keep_weights: Tensor, keep_output: Tensor
) -> Tensor:
    """The library's block, with the factors for its dropouts and without its second half."""
    block = EncoderBlock(x.shape[-1], 1, 1, eps=EPS).to(x.dtype)
    block.attention = Given((scores.softmax(-1) * keep_weights) @ value)
    block.attention_output_dropout = Given(keep_output, factor=True)
    block.feed_forward, block.norm = Given(torch.zeros_like(x), factor=True), nn.Identity()
    norm = {"attention_norm.weight": weight, "attention_norm.bias": bias}
    return functional_call(block, norm, (x, Layout(skip_padding=False)))[0]


def kept(*shape: int, p: float, seed: int) -> Tensor:
    """What a dropout with probability p multiplies by: 0, or 1/(1 - p)."""
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)).ge(p).double() / (1 - p)


def arguments(b: int, s: int, d: int, seed: int, p: tuple[float, float] = (0.4, 0.3)) -> tuple[Tensor, ...]:
    """Numbers for a call: B texts of S tokens with D features; p: of the two dropouts."""
    return (
        randn(b, s, d, seed=seed), randn(b, s, s, seed=seed + 1, scale=2.0), randn(b, s, d, seed=seed + 2),
        1 + randn(d, seed=seed + 3, scale=0.3), randn(d, seed=seed + 4, scale=0.3),
        kept(b, s, s, p=p[0], seed=seed + 5), kept(b, s, d, p=p[1], seed=seed + 6),
    )  # fmt: skip


def probes() -> list[Probe]:
    axes = {"B": 2, "S": 4, "D": 6}
    nothing_kept = (*arguments(2, 4, 6, 40)[:5], torch.zeros(2, 4, 4).double(), kept(2, 4, 6, p=0.3, seed=47))
    return [
        Probe("with both dropouts", Call(arguments(2, 4, 6, 1), grads=(0, 1, 2)), axes),
        Probe("with a dropout of the weights only", Call(arguments(2, 4, 6, 10, (0.4, 0.0))), axes),
        Probe("with a dropout of the output only", Call(arguments(2, 4, 6, 20, (0.0, 0.3))), axes),
        Probe("one text of one token", Call(arguments(1, 1, 6, 30)), {"D": 6}),
        Probe("with all weights dropped", Call(nothing_kept), axes),
        Probe("in float32", Call(in_float32(arguments(2, 4, 6, 50))), axes),
    ]


EXERCISE = Exercise(
    name="dropout",
    topic="encoder",
    title="Where dropout acts",
    level="core",
    minutes=5,
    function="attend_with_dropout",
    signature="x, scores, value, weight, bias, keep_weights, keep_output",
    task=(
        "The attention half of a post-norm block in training, with one head. Dropout multiplies numbers by 0, or by "
        "1/(1 - p); here these factors are drawn for you, so that your result can be compared. Put them where BERT "
        "has its two dropouts: on the attention weights, and on the output before it is added.\n\n"
        "- `x`: (B, S, D), the input of the block\n"
        "- `scores`: (B, S, S), already scaled and masked, queries before keys; `value`: (B, S, D)\n"
        "- `weight`, `bias`: (D,), of the layer norm; eps is 1e-12\n"
        "- `keep_weights`: (B, S, S), the factors for the attention weights; `keep_output`: (B, S, D), for the output\n"
        "- returns (B, S, D), after the norm"
    ),
    source="Vaswani et al. 2017, section 5.4 (the output); Devlin et al. 2019, released modeling.py (the weights)",
    reference=reference,
    solution=solution,
    library=by_library,
    probes=probes,
    mistakes=(
        Mistake("dropout-on-scores", "on_weights", "on the scores", "dropout acts on the scores, before the softmax",
                "a score of 0 is no weight of 0: the softmax gives that token a share all the same"),
        Mistake("dropout-as-a-mask", "on_weights", "as a mask", "dropout hides keys before the softmax, like a mask",
                "the other weights then grow to a sum of 1; dropout acts on the weights after the softmax"),
        Mistake("dropout-normalised-again", "on_weights", "normalised again",
                "the weights are divided by their sum again after dropout",
                "1/(1 - p) already keeps their mean; a row need not sum to 1 in training"),
        Mistake("dropout-of-weights-missing", "on_weights", "nowhere", "the attention weights are not dropped out",
                "multiply them by keep_weights, after the softmax"),
        Mistake("dropout-of-weights-on-values", "on_weights", "on the values",
                "keep_output acts on the values, and keep_weights nowhere",
                "the first dropout is on the weights, after the softmax"),
        Mistake("dropout-after-adding", "on_output", "after adding", "dropout acts after the input is added back",
                "then the residual loses numbers too; drop out the output alone, and then add"),
        Mistake("dropout-after-the-norm", "on_output", "after the norm", "dropout acts after the norm",
                "it belongs on the output of attention, before it is added"),
        Mistake("dropout-twice", "on_output", "twice", "the output's dropout acts a second time, after the norm",
                "it belongs on the output of attention only, before it is added"),
        Mistake("dropout-on-the-input", "on_output", "on the input", "dropout acts on the input that is added back",
                "the residual must pass unchanged; drop out the output of attention"),
        Mistake("dropout-of-output-missing", "on_output", "nowhere", "the output is not dropped out",
                "multiply it by keep_output, before it is added"),
        Mistake("dropout-not-scaled", "scaled", False, "numbers are dropped, and the others are not divided by 1 - p",
                "their mean is then smaller in training than in use; multiply by the factors as they are"),
        Mistake("residual-missing", "residual", False, "the input is not added back",
                "a deep stack does not learn without this residual connection"),
        Mistake("no-norm", "order", "no norm", "there is no norm", "BERT normalises the sum"),
        Mistake("norm-before-adding", "order", "norm before adding", "the norm comes before the input is added back",
                "add first, then normalise"),
        Mistake("softmax-over-queries", "axis", -2, "the softmax runs over the queries",
                "for each query, the weights of the keys sum to 1: use the last axis"),
        Mistake("norm-eps-is-1e-5", "eps", 1e-5, "the norm's eps is 1e-5",
                "that is the default of torch's layer norm; BERT uses 1e-12, so pass that"),
    ),
    hints=Hints(
        "Which two results of attention does BERT drop out, and which number must always pass: the input?",
        "The first dropout acts on the weights after the softmax, the second on the output before it is added.",
        "LN(x + dropout(dropout(softmax(scores)) V))",
        "weights = scores.softmax(-1) * ...\noutput = (weights @ value) * ...\nreturn F.layer_norm(x + ..., ...)",
    ),
    equivalents=(
        lambda x, scores, value, weight, bias, keep_weights, keep_output: layer_norm.solution(
            torch.einsum("bqk,bkd,bqd->bqd", F.softmax(scores, -1) * keep_weights, value, keep_output) + x,
            weight, bias, 1e-12,
        ),
        lambda x, scores, value, weight, bias, keep_weights, keep_output: layer_norm.solution(
            x + keep_output * torch.bmm(keep_weights * F.softmax(scores, dim=2), value), weight, bias, 1e-12
        ),
        lambda *given: torch.cat([
            solution(*(one if one.dim() == 1 else one[row : row + 1] for one in given)) for row in range(len(given[0]))
        ]),
    ),
)  # fmt: skip
