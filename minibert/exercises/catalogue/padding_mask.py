"""Hiding the padding: attention weights under a padding mask."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from minibert.attention import attention, padding_mask
from minibert.exercises.calls import Call
from minibert.exercises.catalogue.attention import CROSS, NEVER
from minibert.exercises.declare import Exercise, Hints, Mistake, Probe
from minibert.exercises.probes import randn


def reference(
    scores: Tensor,
    attention_mask: Tensor,
    *,
    hidden: str = "before",
    polarity: str = "1 is real",
    axis: str = "keys",
    over: str = "keys",
    causal: bool = False,
    empty: str = "zeros",
) -> Tensor:
    """The weights under a padding mask, with knobs."""
    real = attention_mask.bool() if polarity == "1 is real" else ~attention_mask.bool()
    real = {
        "keys": lambda: real[:, None, None, :],
        "queries": lambda: real[:, None, :, None],
        "both": lambda: real[:, None, None, :] & real[:, None, :, None],
        "none": lambda: real,
        "one": lambda: real[:, None],
    }[axis]()
    scores.masked_fill(~real, 0.0)  # raises if the mask does not fit, as nearly every answer does
    if causal:
        real = real & torch.ones(scores.shape[-2:], dtype=torch.bool).tril()
    dim = {"keys": -1, "queries": -2, "heads": 1}[over]
    if hidden == "none":
        return scores.softmax(dim)
    if hidden == "zero scores":
        return (scores * real).softmax(dim)
    if hidden == "added":
        return (scores + real).softmax(dim)
    if hidden == "10 lower":
        return (scores - 10.0 * ~real).softmax(dim)
    if hidden == "after":
        return scores.softmax(dim) * real
    if empty == "as if real":
        return (scores - 1e4 * ~real).softmax(dim)
    lowest = -math.inf if empty == "NaN" else torch.finfo(scores.dtype).min
    weights = scores.masked_fill(~real, lowest).softmax(dim)
    return weights.masked_fill(~real, 0.0) if empty == "zeros" else weights


def probes() -> list[Probe]:
    axes = {"B": 3, "H": 2, "S": 5}
    scores = randn(3, 2, 5, 5, seed=1, scale=2.0)
    some = torch.tensor([[1, 0, 1, 0, 0], [1, 1, 1, 1, 1], [0, 1, 1, 1, 0]])
    none = torch.tensor([[1, 1, 1, 1, 0], [0, 0, 0, 0, 0], [1, 1, 0, 0, 0]])
    return [
        Probe("with padding", Call((scores, some), grads=(0,)), axes),
        Probe(
            "from S queries to T keys",
            Call((randn(3, 2, 4, 5, seed=2), some)),
            {"B": 3, "H": 2, "S": 4, "T": 5},
            beyond=CROSS,
        ),
        Probe("with a text that is all padding", Call((scores, none)), axes, beyond=NEVER),
        Probe("one text", Call((scores[:1], some[:1])), {"H": 2, "S": 5}),
        Probe("one query and one key", Call((scores[:, :, :1, :1], some[1:2, :1].expand(3, 1))), {"B": 3, "H": 2}),
        Probe("in float32", Call((scores.float(), some)), axes),
    ]


def solution(scores: Tensor, attention_mask: Tensor) -> Tensor:
    real = attention_mask.bool()[:, None, None, :]  # (B, 1, 1, T): it hides keys, for every head and query
    # The lowest finite number, not -inf: the softmax of a row that holds only -inf is 0/0.
    weights = scores.masked_fill(~real, torch.finfo(scores.dtype).min).softmax(dim=-1)
    return weights.masked_fill(~real, 0.0)


def by_library(scores: Tensor, attention_mask: Tensor) -> Tensor:
    """The weights of attention itself: with the scores as queries and the identity as keys, q kᵀ is the scores."""
    identity = torch.eye(scores.shape[-1], dtype=scores.dtype).expand(*scores.shape[:2], -1, -1)
    return attention(scores * math.sqrt(scores.shape[-1]), identity, identity, padding_mask(attention_mask))[1]


def by_where(scores: Tensor, attention_mask: Tensor) -> Tensor:
    real = (attention_mask > 0)[:, None, None]
    exps = torch.where(real, (scores - scores.amax(-1, keepdim=True)).exp(), 0.0)
    return exps / exps.sum(-1, keepdim=True).clamp(min=1e-300)


def by_adding(scores: Tensor, attention_mask: Tensor) -> Tensor:
    away = (1.0 - attention_mask[:, None, None, :].to(scores.dtype)) * -1e9
    return torch.softmax(scores + away, -1) * attention_mask[:, None, None, :]


def by_text(scores: Tensor, attention_mask: Tensor) -> Tensor:
    rows = []
    for text, mask in zip(scores, attention_mask.bool(), strict=True):
        weights = torch.zeros_like(text)
        weights[..., mask] = text[..., mask].softmax(-1)
        rows.append(weights)
    return torch.stack(rows)


EXERCISE = Exercise(
    name="padding-mask",
    topic="attention",
    title="Hiding the padding",
    level="core",
    minutes=10,
    function="masked_softmax",
    signature="scores, attention_mask",
    task=(
        "Turn scores into attention weights, so that no query attends to padding.\n\n"
        "- `scores`: (B, H, S, T), of S queries and T keys\n"
        "- `attention_mask`: (B, T), integers: 1 for a real token, 0 for padding\n"
        "- returns the weights, (B, H, S, T): the weights of each query sum to 1 over the real keys and are 0 at the "
        "padding. Queries that are padding themselves are treated like all others. In a text that is all padding, all "
        "weights are 0, never NaN."
    ),
    source="Vaswani et al. 2017, section 3.2.3 (hidden scores); zeros for a text of padding are this library's rule",
    reference=reference,
    solution=solution,
    library=by_library,
    probes=probes,
    mistakes=(
        Mistake("padding-not-hidden", "hidden", "none", "the mask is not used", "every token attends to padding, too"),
        Mistake("padding-inverted", "polarity", "1 is padding", "you read the mask the wrong way round",
                "queries attend to the padding and the words are hidden; 1 marks a real token"),
        Mistake("padding-multiplied", "hidden", "zero scores", "padded scores are set to 0 before the softmax",
                "exp(0) is 1, so padding still gets weight"),
        Mistake("padding-0-and-1-added", "hidden", "added", "padded scores are lowered by only 1",
                "this happens if you add the mask's 0s and 1s; padding still gets weight if its score is high, so use "
                "the lowest finite number"),
        Mistake("padding-10-lower", "hidden", "10 lower", "padded scores are lowered by only 10",
                "padding keeps a little weight, and more where its score is high; use the lowest finite number"),
        Mistake("padding-after-softmax", "hidden", "after", "padded weights are set to 0 only after the softmax",
                "the remaining weights do not sum to 1; if you hide the padding before the softmax, they do"),
        Mistake("padding-hides-queries", "axis", "queries", "the mask is applied along the queries",
                "the rows of padded queries become 0, while every query still attends to padded keys; "
                "the mask belongs on the last axis, [:, None, None, :]"),
        Mistake("padding-hides-both", "axis", "both", "the mask hides padded queries as well as padded keys",
                "that sets rows to 0 that are not used; it is enough to hide the keys, and the task asks for no more"),
        Mistake("padding-softmax-over-queries", "over", "queries", "your softmax runs over the queries",
                "the weights of a query do not sum to 1; run it over the keys, the last axis"),
        Mistake("padding-softmax-over-heads", "over", "heads", "your softmax runs over the heads",
                "the heads compete for every pair of tokens; run it over the keys, the last axis"),
        Mistake("padding-mask-without-axes", "axis", "none", "the mask is applied to the scores as it is, (B, T)",
                "axes are matched from the last one, so B would meet S; add axes of size 1 for heads and queries, "
                "[:, None, None, :]"),
        Mistake("padding-mask-one-axis-short", "axis", "one", "the mask has one axis too few, (B, 1, T)",
                "axes are matched from the last one, so B would meet H; heads and queries need one axis each, "
                "[:, None, None, :]"),
        Mistake("padding-and-future", "causal", True, "the future is hidden as well",
                "that is for decoders; BERT attends in both directions"),
        Mistake("padding-nan", "empty", "NaN", "a text that is all padding gets NaN",
                "the softmax of a row that holds only -inf is 0/0; use the lowest finite number"),
        Mistake("padding-even", "empty", "even", "in a text that is all padding, all weights are equal",
                "all scores are equally low there, so the softmax gives every key the same weight; set hidden weights "
                "to 0 at the end"),
        Mistake("padding-seen-where-all-is-padding", "empty", "as if real",
                "a text that is all padding gets weights as if its tokens were real",
                "adding the same number to all scores does not change the softmax; set hidden weights to 0 at the end"),
    ),
    hints=Hints(
        "Which axis of the scores belongs to the keys? The mask needs a new axis of size 1 for every axis that it "
        "does not depend on.",
        "A score that is as low as possible becomes a weight of 0 in the softmax. Rows in which all scores are that "
        "low are a special case.",
        "weights = softmax over T of (the score, or the lowest number at the padding); then 0 at the padding.",
        "real = attention_mask.bool()[:, None, None, :]\nweights = scores.masked_fill(~real, ...).softmax(...)\n"
        "return weights.masked_fill(~real, ...)",
    ),
    equivalents=(by_where, by_adding, by_text),
)  # fmt: skip
