"""Scaled dot-product attention."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from minibert.attention import attention
from minibert.exercises.calls import Call
from minibert.exercises.declare import Exercise, Hints, Mistake, Probe
from minibert.exercises.probes import in_float32, mask_of, randn


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
    causal: bool = False,
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
        "multiplied": 1 / math.sqrt(q.shape[-1]),
        "after the softmax": 1.0,
    }[scale]
    scores = scores / divisor
    if causal:
        past = torch.ones(scores.shape[-2:], dtype=torch.bool).tril()
        mask = past if mask is None else mask & past
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
    return (weights / math.sqrt(q.shape[-1]) if scale == "after the softmax" else weights) @ v


CROSS = "In BERT's self-attention S = T, and there it is right; the task asks for S queries and T keys."
NEVER = "In BERT no text is all padding, because [CLS] is always there; only the task asks for this case too."


def probes() -> list[Probe]:
    axes = {"B": 2, "H": 3, "S": 4, "T": 6, "K": 5, "K'": 7}
    q, k, v = randn(2, 3, 4, 5, seed=1), randn(2, 3, 6, 5, seed=2), randn(2, 3, 6, 7, seed=3)
    some = mask_of([[0, 1, 1, 1, 0, 0], [1, 0, 1, 1, 1, 1]])[:, None, None, :]
    none = mask_of([[1, 1, 1, 1, 1, 1], [0, 0, 0, 0, 0, 0]])[:, None, None, :]
    # No row is full, so that an inverted mask does not hide a whole row.
    own = mask_of([[1, 0, 0, 0, 1, 0], [1, 1, 0, 0, 0, 0], [0, 1, 1, 0, 0, 1], [1, 1, 1, 0, 1, 1]])[None, None]
    return [
        Probe("without a mask", Call((q, k, v), grads=(0, 1, 2), first=True), axes, beyond=CROSS),
        Probe("with padded keys", Call((q, k, v, some), grads=(0, 1, 2), first=True), axes, beyond=CROSS),
        Probe("with a different mask for each query", Call((q, k, v, own), first=True), axes, beyond=CROSS),
        Probe("with a text that is all padding", Call((q, k, v, none), first=True), axes, beyond=NEVER),
        Probe(
            "self-attention",
            Call((randn(2, 3, 6, 5, seed=4), k, v, some), first=True),
            {"B": 2, "H": 3, "S": 6, "K": 5, "K'": 7},
        ),
        Probe(
            "one text of one token",
            Call((q[:1, :, :1], k[:1, :, :1], v[:1, :, :1]), first=True),
            {"H": 3, "K": 5, "K'": 7},
        ),
        Probe("in float32", Call(in_float32((q, k, v, some)), first=True), axes, beyond=CROSS),
    ]


def solution(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
    if mask is None:
        return scores.softmax(dim=-1) @ v
    # The lowest finite number, not -inf: the softmax of a row that holds only -inf is 0/0.
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
    level="core",
    minutes=15,
    function="attention",
    signature="q, k, v, mask=None",
    task=(
        "Let every query attend to every key, and return a weighted mean of the values: softmax(q kᵀ / √K) v.\n\n"
        "- `q`: (B, H, S, K), `k`: (B, H, T, K), `v`: (B, H, T, K')\n"
        "- `mask`: None, or booleans that broadcast to (B, H, S, T), such as (B, 1, 1, T); True where a query may "
        "attend to a key\n"
        "- returns the weighted mean, (B, H, S, K'); a query that may attend to nothing gets zeros, never NaN. "
        "(You may also return the weights, as a second value.)\n\n"
        "PyTorch has this function: `F.scaled_dot_product_attention`. It would pass, but here you write it yourself."
    ),
    source="Vaswani et al. 2017, section 3.2.1, equation 1",
    reference=reference,
    solution=solution,
    library=attention,
    probes=probes,
    mistakes=(
        Mistake("unscaled", "scale", "none", "the scores are not divided by √K",
                "the larger K is, the closer the softmax comes to picking a single key, and its gradients vanish"),
        Mistake("divided-by-K", "scale", "K", "the scores are divided by K, not by its square root",
                "the weights are too even"),
        Mistake("root-of-model-width", "scale", "root of D",
                "the scores are divided by the square root of the model width",
                "every head is scaled as if it were H times as wide; K is the size of one head, the last axis of q"),
        Mistake("root-of-length", "scale", "root of T",
                "the scores are divided by the square root of the number of keys",
                "how sharp the attention is would depend on the length of the text; K is the last axis of q"),
        Mistake("root-of-value-width", "scale", "root of V",
                "the scores are divided by the square root of the values' width",
                "K is the size of a query and of a key, the last axis of q"),
        Mistake("multiplied-by-root-of-K", "scale", "multiplied", "the scores are multiplied by √K and not divided",
                "the softmax picks a single key, and its gradients vanish"),
        Mistake("scaled-after-softmax", "scale", "after the softmax", "the weights are divided by √K, after the "
        "softmax",
                "then they no longer sum to 1; divide the scores, before the softmax"),
        Mistake("causal-by-habit", "causal", True, "the future is hidden",
                "that is for decoders; BERT attends in both directions, and the mask says what is hidden"),
        Mistake("softmax-over-queries", "softmax", "queries", "your softmax runs over the queries",
                "the weights of each key sum to 1, but the weights of each query do not; the softmax should run over "
                "the keys, the last axis of the scores"),
        Mistake("softmax-over-heads", "softmax", "heads", "your softmax runs over the heads",
                "the heads compete with each other for every pair of tokens; each head should have its own weights"),
        Mistake("k-not-transposed", "product", "not transposed", "k is not transposed before it is multiplied by q",
                "the sizes do not match or, where they happen to match, features are compared with positions"),
        Mistake("mask-ignored", "masked", "ignored", "the mask is not used",
                "queries attend to padding and to everything else that should be hidden; hide it before the softmax"),
        Mistake("softmax-forgotten", "softmax", "none", "there is no softmax",
                "scores may be negative and do not sum to 1, so they cannot be used as weights"),
        Mistake("k-reshaped", "product", "reshaped", "k is reshaped to (K, T) instead of transposed",
                "a reshape keeps the numbers in their order and only divides them differently, so that the "
                "numbers of several keys are mixed; use k.transpose(-2, -1)"),
        Mistake("mask-inverted", "masked", "inverted", "you read the mask the wrong way round",
                "every query attends to exactly what it should not; True means that it may attend"),
        Mistake("mask-multiplied-before-softmax", "masked", "zero scores",
                "hidden scores are set to 0 before the softmax", "exp(0) is 1, so hidden keys still get weight"),
        Mistake("mask-added-as-0-and-1", "masked", "added", "the mask's 0s and 1s are added to the scores",
                "hidden keys only become a little less likely; their scores must be far below all others"),
        Mistake("mask-after-softmax", "masked", "after", "hidden weights are set to 0 only after the softmax",
                "the remaining weights do not sum to 1; if you hide the keys before the softmax, they do"),
        Mistake("nan-where-all-is-masked", "masked", "-inf",
                "a query that may attend to nothing gets NaN",
                "the softmax of a row that holds only -inf is 0/0; a single text that is all padding turns "
                "every later sum into NaN",
                "What is the softmax of a row that holds only -inf?"),
        Mistake("even-where-all-is-masked", "masked", "even",
                "a query that may attend to nothing gets the mean of all values",
                "where all scores are equally low, the softmax gives every key the same weight; set hidden weights to "
                "0 after the softmax as well",
                "What is the softmax of a row whose scores are all equally low?"),
        Mistake("all-seen-where-all-is-masked", "masked", "low added",
                "a query that may attend to nothing attends to everything",
                "adding the same number to all scores of a row changes nothing, because the softmax depends only on "
                "their differences; set hidden weights to 0 after the softmax as well",
                "What is the softmax of a row in which every score is lowered by the same number?"),
    ),
    hints=Hints(
        "Write down the shape of each step: scores (B, H, S, T), weights (B, H, S, T), result (B, H, S, K').",
        "A score says how well a key matches a query. The softmax turns the scores of one query into weights that sum "
        "to 1, so it runs over the keys. Hidden keys need a score so low that their weight is 0.",
        "weights = softmax(q kᵀ / √K + (0 where the query may attend, −∞ elsewhere)), over T; result = weights v.",
        "scores = q @ k.transpose(-2, -1) / math.sqrt(...)\nscores = scores.masked_fill(~mask, ...)  # lowest number\n"
        "weights = scores.softmax(dim=...)\nreturn weights.masked_fill(~mask, 0.0) @ v",
    ),
    swap="attention",
    equivalents=(by_einsum, by_kernel, by_loop),
)  # fmt: skip
