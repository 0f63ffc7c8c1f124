"""Attention: one dot product at a time, masks, and many heads."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from minibert.attention import attention
from minibert.exercises.engine import Exercise, Hints, Mistake, Probe
from minibert.exercises.probes import mask_of, randn
from minibert.exercises.worker import Call

# ------------------------------------------------------------------------------------- scaled dot-product attention


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
    dropped: bool = False,
) -> Tensor:
    """Attention with knobs; the defaults are equation 1 of Vaswani et al. 2017."""
    if product == "not transposed":
        scores = q @ k
    else:
        scores = q @ k.transpose(-2, -1) if product == "q kT" else (k @ q.transpose(-2, -1)).transpose(-2, -1)
    divisor = {
        "root of K": math.sqrt(q.shape[-1]),
        "none": 1.0,
        "K": q.shape[-1],
        "root of D": math.sqrt(q.shape[-1] * q.shape[1]),
        "root of T": math.sqrt(k.shape[-2]),
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
    weights = scores.softmax({"keys": -1, "queries": -2, "heads": 1}[softmax])
    if mask is not None and masked in ("before", "inverted", "after"):
        weights = weights.masked_fill(~mask, 0.0)
    return weights @ v


def probes() -> list[Probe]:
    axes = {"B": 2, "H": 3, "S": 4, "T": 6, "K": 5, "K'": 7}
    q, k, v = randn(2, 3, 4, 5, seed=1), randn(2, 3, 6, 5, seed=2), randn(2, 3, 6, 7, seed=3)
    some = mask_of([[1, 1, 1, 1, 0, 0], [1, 0, 1, 1, 1, 1]])[:, None, None, :]
    none = mask_of([[1, 1, 1, 1, 1, 1], [0, 0, 0, 0, 0, 0]])[:, None, None, :]
    own = mask_of([[1, 0, 0, 0, 1, 0], [1, 1, 0, 0, 0, 0], [0, 1, 1, 0, 0, 1], [1, 1, 1, 1, 1, 1]])[None, None]
    return [
        Probe("without a mask", Call((q, k, v), grads=(0, 1, 2), first=True), axes),
        Probe("with padded keys", Call((q, k, v, some), grads=(0, 1, 2), first=True), axes),
        Probe("with a mask of its own for each query", Call((q, k, v, own), first=True), axes),
        Probe("with a text that is nothing but padding", Call((q, k, v, none), first=True), axes),
    ]


def by_formula(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
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


ATTENTION = Exercise(
    name="attention",
    topic="attention",
    title="Scaled dot-product attention",
    function="attention",
    signature="q, k, v, mask=None",
    task=(
        "Let every query look at every key and bring back a mixture of the values: softmax(q kᵀ / √K) v.\n\n"
        "- `q`: (B, H, S, K), `k`: (B, H, T, K), `v`: (B, H, T, K')\n"
        "- `mask`: None, or booleans that broadcast to (B, H, S, T); True where the query may look\n"
        "- returns the mixture, (B, H, S, K'); a query that may look at nothing gets zeros, never NaN. "
        "(To return the weights as well, as a second value, is fine.)"
    ),
    source="Vaswani et al. 2017, section 3.2.1, equation 1",
    reference=reference,
    solution=by_formula,
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
        Mistake("softmax-over-queries", "softmax", "queries", "your softmax runs over the queries",
                "for each key the weights sum to 1, but a query's weights do not; it is to run over the keys, "
                "the last axis of the scores"),
        Mistake("softmax-over-heads", "softmax", "heads", "your softmax runs over the heads",
                "the heads compete with each other for every pair of tokens; each head is to have weights of its own"),
        Mistake("k-not-transposed", "product", "not transposed", "k is not transposed before it is multiplied with q",
                "the sizes do not fit, or, where they happen to, features are compared with positions"),
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

EXERCISES = (ATTENTION,)
