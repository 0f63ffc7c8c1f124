"""Scaled dot-product attention."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from minibert.attention import attention
from minibert.classroom.worker import Call
from minibert.exercises.engine import Exercise, Hints, Mistake, Probe
from minibert.exercises.probes import mask_of, randn


def reference(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    mask: Tensor | None = None,
    *,
    scale: str = "root of K",
    softmax: str = "keys",
    product: str = "q kT",
    masked: str = "before",
) -> Tensor:
    """Attention with knobs; the defaults are equation 1 of Vaswani et al. 2017."""
    if product == "not transposed":
        scores = q @ k
    elif product == "reshaped":
        scores = q @ k.reshape(*k.shape[:-2], k.shape[-1], k.shape[-2])
    else:
        scores = q @ k.transpose(-2, -1)
    divisor = {
        "root of K": math.sqrt(q.shape[-1]),
        "none": 1.0,
        "K": q.shape[-1],
        "root of D": math.sqrt(q.shape[-1] * q.shape[1]),
        "root of T": math.sqrt(k.shape[-2]),
        "root of V": math.sqrt(v.shape[-1]),
    }[scale]
    scores = scores / divisor
    if masked == "inverted" and mask is not None:
        mask = ~mask
    lowest = torch.finfo(scores.dtype).min
    if mask is not None and masked in ("before", "inverted"):
        scores = scores.masked_fill(~mask, lowest)
    elif mask is not None and masked == "zero scores":
        scores = scores * mask
    elif mask is not None and masked == "added":
        scores = scores + mask
    elif mask is not None and masked == "-inf":
        scores = scores.masked_fill(~mask, -math.inf)
    elif mask is not None and masked == "even":
        scores = scores.masked_fill(~mask, lowest)
    elif mask is not None and masked == "low added":
        scores = scores - 1e4 * (~mask)
    weights = scores if softmax == "none" else scores.softmax({"keys": -1, "queries": -2, "heads": 1}[softmax])
    if mask is not None and masked in ("before", "inverted", "after"):
        weights = weights.masked_fill(~mask, 0.0)
    return weights @ v


def probes() -> list[Probe]:
    axes = {"B": 2, "H": 3, "S": 4, "T": 6, "K": 5, "K'": 7}
    q, k, v = randn(2, 3, 4, 5, seed=1), randn(2, 3, 6, 5, seed=2), randn(2, 3, 6, 7, seed=3)
    some = mask_of([[1, 1, 1, 1, 0, 0], [1, 0, 1, 1, 1, 1]])[:, None, None, :]
    none = mask_of([[1, 1, 1, 1, 1, 1], [0, 0, 0, 0, 0, 0]])[:, None, None, :]
    # No row is full, so that a mask that is read the wrong way round hides no row altogether.
    own = mask_of([[1, 0, 0, 0, 1, 0], [1, 1, 0, 0, 0, 0], [0, 1, 1, 0, 0, 1], [1, 1, 1, 0, 1, 1]])[None, None]
    return [
        Probe("without a mask", Call((q, k, v), grads=(0, 1, 2), first=True), axes),
        Probe("with padded keys", Call((q, k, v, some), grads=(0, 1, 2), first=True), axes),
        Probe("with a mask of its own for each query", Call((q, k, v, own), first=True), axes),
        Probe("with a text that is nothing but padding", Call((q, k, v, none), first=True), axes),
    ]


def solution(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
    if mask is None:
        return scores.softmax(dim=-1) @ v
    # The lowest finite number and not -inf: a row of nothing but -inf would make the softmax 0/0.
    weights = scores.masked_fill(~mask, torch.finfo(scores.dtype).min).softmax(dim=-1)
    return weights.masked_fill(~mask, 0.0) @ v


def by_einsum(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
    scores = torch.einsum("bhsk,bhtk->bhst", q, k) * q.shape[-1] ** -0.5
    if mask is not None:
        scores = torch.where(mask, scores, -1e30)
    exps = torch.exp(scores - scores.max(-1, keepdim=True).values)
    if mask is not None:
        exps = exps * mask
    return torch.einsum("bhst,bhtk->bhsk", exps / exps.sum(-1, keepdim=True).clamp(min=1e-30), v)


def by_kernel(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)


def by_loop(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
    seen = torch.ones(q.shape[:-1] + k.shape[-2:-1], dtype=torch.bool)
    seen = seen if mask is None else mask.expand_as(seen)
    rows = []
    for b in range(q.shape[0]):
        for h in range(q.shape[1]):
            for s in range(q.shape[2]):
                may = seen[b, h, s]
                scores = (k[b, h] * q[b, h, s]).sum(-1) / math.sqrt(q.shape[-1])
                weights = torch.softmax(scores[may], 0)
                rows.append((weights[:, None] * v[b, h][may]).sum(0))
    return torch.stack(rows).reshape(*q.shape[:-1], v.shape[-1])


EXERCISE = Exercise(
    name="attention",
    topic="attention",
    title="Scaled dot-product attention",
    function="attention",
    signature="q, k, v, mask=None",
    task=(
        "Let every query look at every key and bring back a mixture of the values: softmax(q kᵀ / √K) v.\n\n"
        "- `q`: (B, H, S, K), `k`: (B, H, T, K), `v`: (B, H, T, K')\n"
        "- `mask`: None, or booleans that broadcast to (B, H, S, T), such as (B, 1, 1, T); True where one may look\n"
        "- returns the mixture, (B, H, S, K'); a query that may look at nothing gets zeros, never NaN. "
        "(To return the weights as well, as a second value, is fine.)"
    ),
    source="Vaswani et al. 2017, section 3.2.1, equation 1",
    reference=reference,
    solution=solution,
    library=attention,
    probes=probes,
    mistakes=(
        Mistake("unscaled", "scale", "none", "the scores are not divided by √K",
                "the larger K is, the nearer the softmax comes to picking one key alone, and its gradients vanish"),
        Mistake("divided-by-K", "scale", "K", "the scores are divided by K and not by its square root",
                "the weights come out too even"),
        Mistake("root-of-model-width", "scale", "root of D", "the scores are divided by the root of the model width",
                "every head is scaled as if it were H times as wide; K is the size of one head, the last axis of q"),
        Mistake("root-of-length", "scale", "root of T", "the scores are divided by the root of the number of keys",
                "how sharp attention is would depend on the length of the text"),
        Mistake("root-of-value-width", "scale", "root of V", "the scores are divided by the root of the values' width",
                "K is the size of a query and a key, the last axis of q"),
        Mistake("softmax-over-queries", "softmax", "queries", "your softmax runs over the queries",
                "for each key the weights sum to 1, but a query's weights do not; it is to run over the keys, "
                "the last axis of the scores"),
        Mistake("softmax-over-heads", "softmax", "heads", "your softmax runs over the heads",
                "the heads compete with each other for every pair of tokens; each head is to have weights of its own"),
        Mistake("k-not-transposed", "product", "not transposed", "k is not transposed before it is multiplied with q",
                "the sizes do not fit, or, where they happen to, features are compared with positions"),
        Mistake("mask-ignored", "masked", "ignored", "the mask is not used",
                "queries look at padding and at whatever else is to be hidden; hide it before the softmax"),
        Mistake("softmax-forgotten", "softmax", "none", "there is no softmax",
                "the scores themselves are no shares: they may be negative, and they do not sum to 1"),
        Mistake("k-reshaped", "product", "reshaped", "k is reshaped to (K, T) and not transposed",
                "a reshape keeps the numbers in their order and cuts them up anew, so that a key gets pieces of "
                "others; use k.transpose(-2, -1)"),
        Mistake("mask-inverted", "masked", "inverted", "your mask is read the wrong way round",
                "every query sees just what it should not; True means that it may look"),
        Mistake("mask-multiplied-before-softmax", "masked", "zero scores",
                "hidden scores are set to 0 before the softmax", "exp(0) is 1, so hidden keys still get weight"),
        Mistake("mask-added-as-0-and-1", "masked", "added", "the mask's 0 and 1 are added to the scores",
                "hidden keys are only a little less likely; they have to be lower by more than any score"),
        Mistake("mask-after-softmax", "masked", "after", "weights are set to 0 after the softmax",
                "what is left does not sum to 1; hide keys before the softmax, and it will"),
        Mistake("nan-where-all-is-masked", "masked", "-inf",
                "a query that may look at nothing gets NaN",
                "a row of nothing but -inf is 0/0 in the softmax; one text of padding makes every later sum NaN",
                "What does the softmax make of a row of nothing but -inf?"),
        Mistake("even-where-all-is-masked", "masked", "even",
                "a query that may look at nothing gets the mean of all values",
                "where all scores are equally low the softmax shares evenly; set hidden weights to 0 after it as well",
                "What does the softmax make of a row whose scores are all equally low?"),
        Mistake("all-seen-where-all-is-masked", "masked", "low added",
                "a query that may look at nothing looks at everything",
                "the same number added to all scores of a row changes nothing, for the softmax sees only how they "
                "differ; set hidden weights to 0 after it as well",
                "What does the softmax make of a row in which every score is lowered by the same number?"),
    ),
    hints=Hints(
        "Write down the shape of each step: scores (B, H, S, T), weights (B, H, S, T), result (B, H, S, K').",
        "A score says how well a query fits a key. The softmax turns one query's scores into shares of 1, so it runs "
        "over the keys; hidden keys need a score so low that their share is 0.",
        "weights = softmax(q kᵀ / √K + (0 where one may look, −∞ elsewhere)), over T; result = weights v.",
        "scores = q @ k.transpose(-2, -1) / math.sqrt(...)\nscores = scores.masked_fill(~mask, ...)  # lowest number\n"
        "weights = scores.softmax(dim=...)\nreturn weights.masked_fill(~mask, 0.0) @ v",
    ),
    swap="attention",
    equivalents=(by_einsum, by_kernel, by_loop),
)  # fmt: skip
