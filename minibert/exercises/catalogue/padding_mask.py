"""Hiding the padding: attention weights under a padding mask."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from minibert.attention import attention, padding_mask
from minibert.classroom.worker import Call
from minibert.exercises.engine import Exercise, Hints, Mistake, Probe
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
    scores.masked_fill(~real, 0.0)  # stops, as nearly every answer would, where the mask does not fit
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
    some = torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1], [0, 1, 1, 1, 0]])
    none = torch.tensor([[1, 1, 1, 1, 0], [0, 0, 0, 0, 0], [1, 1, 0, 0, 0]])
    return [
        Probe("with padding", Call((scores, some), grads=(0,)), axes),
        Probe("from S queries to T keys", Call((randn(3, 2, 4, 5, seed=2), some)), {"B": 3, "H": 2, "S": 4, "T": 5}),
        Probe("with a text that is nothing but padding", Call((scores, none)), axes),
    ]


def solution(scores: Tensor, attention_mask: Tensor) -> Tensor:
    real = attention_mask.bool()[:, None, None, :]  # (B, 1, 1, T): it hides keys, from every head and query
    # The lowest finite number and not -inf: a row of nothing but -inf would make the softmax 0/0.
    weights = scores.masked_fill(~real, torch.finfo(scores.dtype).min).softmax(dim=-1)
    return weights.masked_fill(~real, 0.0)


def by_library(scores: Tensor, attention_mask: Tensor) -> Tensor:
    """Attention's own weights: the queries are the scores and the keys are the identity, so q kᵀ is the scores."""
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
    function="masked_softmax",
    signature="scores, attention_mask",
    task=(
        "Turn scores into attention weights, so that nobody looks at padding.\n\n"
        "- `scores`: (B, H, S, T), of S queries against T keys\n"
        "- `attention_mask`: (B, T), whole numbers: 1 for a real token, 0 for padding\n"
        "- returns the weights, (B, H, S, T): each query's sum to 1 over the real keys and are 0 at the padding. "
        "Queries that are padding themselves are treated like all others. In a text that is nothing but padding all "
        "weights are 0, and never NaN."
    ),
    source="Vaswani et al. 2017, section 3.2.3; Devlin et al. 2019, released code",
    reference=reference,
    solution=solution,
    library=by_library,
    probes=probes,
    mistakes=(
        Mistake("padding-not-hidden", "hidden", "none", "the mask is not used", "every word looks at padding, too"),
        Mistake("padding-inverted", "polarity", "1 is padding", "your mask is read the wrong way round",
                "padding is looked at and the words are hidden; 1 marks a real token"),
        Mistake("padding-multiplied", "hidden", "zero scores", "padded scores are set to 0 before the softmax",
                "exp(0) is 1, so padding still gets weight"),
        Mistake("padding-0-and-1-added", "hidden", "added", "padded scores are lower by 1 only",
                "as where the mask's 0 and 1 are added; no score may make up for it: take the lowest finite number"),
        Mistake("padding-10-lower", "hidden", "10 lower", "padded scores are lower by 10 only",
                "padding keeps a little weight, and more where its score is high; take the lowest finite number"),
        Mistake("padding-after-softmax", "hidden", "after", "weights are set to 0 after the softmax",
                "what is left does not sum to 1; hide padding before the softmax, and it will"),
        Mistake("padding-hides-queries", "axis", "queries", "the mask lies along the queries",
                "rows of padded queries are emptied, while everybody still looks at padded keys; "
                "it belongs on the last axis, [:, None, None, :]"),
        Mistake("padding-hides-both", "axis", "both", "the mask hides padded queries as well as padded keys",
                "that empties rows that nobody reads; to hide the keys is enough, and all that is asked for"),
        Mistake("padding-softmax-over-queries", "over", "queries", "your softmax runs over the queries",
                "a query's weights do not sum to 1; it is to run over the keys, the last axis"),
        Mistake("padding-softmax-over-heads", "over", "heads", "your softmax runs over the heads",
                "the heads compete for every pair of tokens; it is to run over the keys, the last axis"),
        Mistake("padding-mask-without-axes", "axis", "none", "the mask goes to the scores as it is, (B, T)",
                "axes are matched from the last one, so B would meet S; give it axes of size 1 for heads and queries, "
                "[:, None, None, :]"),
        Mistake("padding-mask-one-axis-short", "axis", "one", "the mask has one axis too few, (B, 1, T)",
                "axes are matched from the last one, so B would meet H; heads and queries need one each, "
                "[:, None, None, :]"),
        Mistake("padding-and-future", "causal", True, "the future is hidden as well",
                "that is for decoders; a BERT looks in both directions"),
        Mistake("padding-nan", "empty", "NaN", "a text that is nothing but padding gets NaN",
                "a row of nothing but -inf is 0/0 in the softmax; take the lowest finite number"),
        Mistake("padding-even", "empty", "even", "in a text that is nothing but padding all weights are equal",
                "all scores are equally low there, so the softmax shares evenly; set hidden weights to 0 at the end"),
        Mistake("padding-seen-where-all-is-padding", "empty", "as if real",
                "a text that is nothing but padding gets weights as if it were real",
                "the same number added to all scores changes nothing in a softmax; set hidden weights to 0 at the end"),
    ),
    hints=Hints(
        "Which axis of the scores are the keys? Give the mask axes of size 1 wherever it is not to decide.",
        "A score as low as can be turns into a weight of 0 in the softmax. Rows in which all is that low are a case of "
        "their own.",
        "weights = softmax over T of (score, or the lowest number at the padding); 0 at the padding.",
        "real = attention_mask.bool()[:, None, None, :]\nweights = scores.masked_fill(~real, ...).softmax(...)\n"
        "return weights.masked_fill(~real, ...)",
    ),
    equivalents=(by_where, by_adding, by_text),
)  # fmt: skip
