"""Attention: one dot product at a time, masks, and many heads."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from einops import rearrange
from torch import Tensor
from torch.func import functional_call
from torch.nn import functional as F

from minibert.attention import MultiHeadAttention, attention, causal_mask, padding_mask
from minibert.classroom.worker import Call
from minibert.exercises.engine import Exercise, Hints, Mistake, Probe
from minibert.exercises.probes import mask_of, randn

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
        "- `mask`: None, or booleans that broadcast to (B, H, S, T), such as (B, 1, 1, T); True where one may look\n"
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


# ---------------------------------------------------------------------------------------------- padding mask


def masked_softmax_reference(
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


def masked_softmax_probes() -> list[Probe]:
    axes = {"B": 3, "H": 2, "S": 5}
    scores = randn(3, 2, 5, 5, seed=1, scale=2.0)
    some = torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1], [0, 1, 1, 1, 0]])
    none = torch.tensor([[1, 1, 1, 1, 0], [0, 0, 0, 0, 0], [1, 1, 0, 0, 0]])
    return [
        Probe("with padding", Call((scores, some), grads=(0,)), axes),
        Probe("from S queries to T keys", Call((randn(3, 2, 4, 5, seed=2), some)), {"B": 3, "H": 2, "S": 4, "T": 5}),
        Probe("with a text that is nothing but padding", Call((scores, none)), axes),
    ]


def masked_softmax(scores: Tensor, attention_mask: Tensor) -> Tensor:
    real = attention_mask.bool()[:, None, None, :]  # (B, 1, 1, T): it hides keys, from every head and query
    # The lowest finite number and not -inf: a row of nothing but -inf would make the softmax 0/0.
    weights = scores.masked_fill(~real, torch.finfo(scores.dtype).min).softmax(dim=-1)
    return weights.masked_fill(~real, 0.0)


def masked_softmax_by_library(scores: Tensor, attention_mask: Tensor) -> Tensor:
    """Attention's own weights: the queries are the scores and the keys are the identity, so q kᵀ is the scores."""
    identity = torch.eye(scores.shape[-1], dtype=scores.dtype).expand(*scores.shape[:2], -1, -1)
    return attention(scores * math.sqrt(scores.shape[-1]), identity, identity, padding_mask(attention_mask))[1]


def masked_softmax_by_where(scores: Tensor, attention_mask: Tensor) -> Tensor:
    real = (attention_mask > 0)[:, None, None]
    exps = torch.where(real, (scores - scores.amax(-1, keepdim=True)).exp(), 0.0)
    return exps / exps.sum(-1, keepdim=True).clamp(min=1e-300)


def masked_softmax_by_adding(scores: Tensor, attention_mask: Tensor) -> Tensor:
    away = (1.0 - attention_mask[:, None, None, :].to(scores.dtype)) * -1e9
    return torch.softmax(scores + away, -1) * attention_mask[:, None, None, :]


def masked_softmax_by_text(scores: Tensor, attention_mask: Tensor) -> Tensor:
    rows = []
    for text, mask in zip(scores, attention_mask.bool(), strict=True):
        weights = torch.zeros_like(text)
        weights[..., mask] = text[..., mask].softmax(-1)
        rows.append(weights)
    return torch.stack(rows)


PADDING_MASK = Exercise(
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
    reference=masked_softmax_reference,
    solution=masked_softmax,
    library=masked_softmax_by_library,
    probes=masked_softmax_probes,
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
    equivalents=(masked_softmax_by_where, masked_softmax_by_adding, masked_softmax_by_text),
)  # fmt: skip

# ----------------------------------------------------------------------------------------------- causal mask


def causal_reference(length: int, *, shape: str = "lower", kind: str = "booleans") -> Tensor:
    """The causal mask with knobs."""
    every = torch.ones(length, length, dtype=torch.bool)
    mask = {
        "lower": every.tril(),
        "strict": every.tril(-1),
        "upper": every.triu(),
        "strict upper": every.triu(1),
        "one ahead": every.tril(1),
        "all": every,
        "diagonal": torch.eye(length).bool(),
        "band": every.tril() & every.triu(-1),
    }[shape]
    if kind == "numbers":
        return mask.long()
    if kind == "added":
        return torch.zeros(length, length).masked_fill(~mask, -math.inf)
    return mask if kind == "booleans" else mask[0] if kind == "first row" else mask[None, None]


def causal(length: int) -> Tensor:
    return torch.ones(length, length, dtype=torch.bool).tril()


CAUSAL_MASK = Exercise(
    name="causal-mask",
    topic="attention",
    title="Hiding the future",
    function="causal_mask",
    signature="length",
    task=(
        "Make the mask that lets every token look at itself and at what stands before it, and at nothing after it. "
        "(Decoders need it. A BERT does not, which is the point of BERT.)\n\n"
        "- `length`: S, a whole number of at least 1\n"
        "- returns booleans, (S, S): row s, column t is True where query s may look at key t"
    ),
    source="Vaswani et al. 2017, section 3.2.3",
    reference=causal_reference,
    solution=causal,
    library=lambda length: causal_mask(length)[0, 0],
    probes=lambda: [Probe(f"of length {n}", Call((n,)), {"S": n}) for n in (5, 2, 1)],
    mistakes=(
        Mistake("causal-not-itself", "shape", "strict", "a token may not look at itself",
                "the first token has nothing left to look at; the diagonal is True as well"),
        Mistake("causal-transposed", "shape", "upper", "your mask shows the future and hides the past",
                "rows are queries and columns keys; tril keeps what is below the diagonal"),
        Mistake("causal-hidden-is-true", "shape", "strict upper", "your mask is True where one may not look",
                "that is the other way round; here, and in this library, True means that the query may look"),
        Mistake("causal-one-ahead", "shape", "one ahead", "every token may look one step into the future",
                "that step is the word that is to be guessed: the loss would fall to nothing, and so would the use"),
        Mistake("causal-all", "shape", "all", "nothing is hidden", "every token sees the future"),
        Mistake("causal-only-itself", "shape", "diagonal", "every token sees itself alone",
                "it is to see all that stands before it, too"),
        Mistake("causal-band", "shape", "band", "every token sees itself and the one before it alone",
                "it is to see all that stands before it, however far"),
        Mistake("causal-numbers", "kind", "numbers", "your mask holds 1 and 0",
                "numbers could also be meant to be added; use booleans (dtype=torch.bool)"),
        Mistake("causal-additive", "kind", "added", "your mask holds 0 and -inf, to be added to the scores",
                "that is another convention; here it is booleans, True where one may look"),
        Mistake("causal-four-axes", "kind", "four axes", "your mask has axes of size 1 for texts and heads",
                "that is how it is used later; asked for is (S, S)"),
        Mistake("causal-one-row", "kind", "first row", "your mask has one row only",
                "each query needs a row of its own"),
    ),
    hints=Hints(
        "Write the mask for three words on paper: three rows, one a query.",
        "Row s is True up to and with column s. torch knows triangles.",
        "mask[s, t] = (t ≤ s)",
        "torch.ones(length, length, dtype=...).tri...()",
    ),
    equivalents=(
        lambda length: torch.arange(length)[None, :] <= torch.arange(length)[:, None],
        lambda length: ~torch.triu(torch.ones(length, length), diagonal=1).bool(),
        lambda length: torch.tensor([[t <= s for t in range(length)] for s in range(length)]),
    ),
)  # fmt: skip

# -------------------------------------------------------------------------------------- heads: split and merge


def split_reference(x: Tensor, num_heads: int, *, cut: str = "features", returned: str = "B H S K") -> Tensor:
    """The head split with knobs."""
    batch, length, width = x.shape
    size = width // num_heads
    if cut == "view only":
        return x.reshape(batch, num_heads, length, size)
    if cut == "H wide":
        return torch.stack(x.split(num_heads, dim=-1), dim=1)
    if cut == "K first":
        heads = x.reshape(batch, length, size, num_heads).permute(0, 3, 1, 2)
    elif cut == "heads into batch":
        return x.reshape(batch * num_heads, length, size)
    elif cut == "sequence":
        return x.reshape(num_heads, batch, length, size).transpose(0, 1)
    else:
        heads = x.reshape(batch, length, num_heads, size).transpose(1, 2)
    if cut == "backwards":
        heads = heads.flip(1)
    return {
        "B H S K": heads,
        "B S H K": heads.transpose(1, 2),
        "B H K S": heads.transpose(2, 3),
        "H B S K": heads.transpose(0, 1),
        "(B H) S K": heads.flatten(0, 1),
    }[returned]


def split(x: Tensor, num_heads: int) -> Tensor:
    return rearrange(x, "b s (h k) -> b h s k", h=num_heads)


def split_by_library(x: Tensor, num_heads: int) -> Tensor:
    return MultiHeadAttention(x.shape[-1], num_heads).split_heads(x)


SPLIT_HEADS = Exercise(
    name="split-heads",
    topic="attention",
    title="Cutting the features into heads",
    function="split_heads",
    signature="x, num_heads",
    task=(
        "Give every head its own features of each token: head h takes the features h·K to (h+1)·K, where K = D / H.\n\n"
        "- `x`: (B, S, D)\n- `num_heads`: H, a divisor of D\n- returns (B, H, S, K)"
    ),
    source="Vaswani et al. 2017, section 3.2.2",
    reference=split_reference,
    solution=split,
    library=split_by_library,
    probes=lambda: [
        Probe("three heads", Call((randn(2, 4, 15, seed=1), 3), grads=(0,)), {"B": 2, "H": 3, "S": 4, "K": 5, "D": 15}),
        Probe("two heads", Call((randn(3, 5, 14, seed=2), 2)), {"B": 3, "H": 2, "S": 5, "K": 7, "D": 14}),
    ],
    mistakes=(
        Mistake("split-by-view-alone", "cut", "view only", "the heads are cut by a view without a transpose",
                "the shape is right and the numbers are not: a head gets whole tokens instead of a slice of each; "
                "view as (B, S, H, K), then transpose S and H"),
        Mistake("split-k-before-h", "cut", "K first", "the features are cut as (K, H) and not as (H, K)",
                "head h gets every H-th feature; it is to get K neighbouring ones"),
        Mistake("split-heads-into-batch", "cut", "heads into batch", "batch and heads are mixed by a view",
                "the heads of one text would be cut out of several tokens; keep B apart from H"),
        Mistake("split-across-texts", "cut", "sequence", "the heads are cut across the texts of the batch",
                "a head would read from other texts; each text keeps its own"),
        Mistake("split-into-pieces-of-H", "cut", "H wide", "num_heads is taken for the width of a head",
                "torch's split takes the size of a piece and not their number; chunk takes the number"),
        Mistake("split-backwards", "cut", "backwards", "the heads come in the wrong order",
                "the first head is to have the first K features"),
        Mistake("split-heads-last", "returned", "B S H K", "S and H are not transposed",
                "attention would run over the heads of one token instead of over the tokens"),
        Mistake("split-transposed-for-scores", "returned", "B H K S", "K and S have changed places",
                "that is how the keys stand in q kᵀ; the split itself returns (B, H, S, K)"),
        Mistake("split-heads-first", "returned", "H B S K", "H stands before B", "the batch comes first, (B, H, S, K)"),
        Mistake("split-heads-flattened", "returned", "(B H) S K", "batch and heads are one axis",
                "that works for torch.bmm; asked for are four axes, (B, H, S, K)"),
    ),
    hints=Hints(
        "Take one token with features 0, 1, 2, ... 14 and three heads. Which head gets feature 7?",
        "A view cuts the last axis into two, (H, K), and changes nothing in memory. Bringing H before S takes a "
        "transpose as well.",
        "(B, S, D) → (B, S, H, K) → (B, H, S, K)",
        'x.view(B, S, ..., ...).transpose(..., ...)\n# or: rearrange(x, "b s (h k) -> ...", h=num_heads)',
    ),
    swap="split_heads",
    equivalents=(
        lambda x, num_heads: x.unflatten(-1, (num_heads, -1)).transpose(1, 2),
        lambda x, num_heads: torch.stack(x.chunk(num_heads, dim=-1), dim=1),
        lambda x, num_heads: torch.einsum("bshk->bhsk", x.view(*x.shape[:2], num_heads, -1)).contiguous(),
    ),
)  # fmt: skip


def merge_reference(x: Tensor, *, order: str = "S first") -> Tensor:
    """The merge of heads with knobs."""
    batch, heads, length, size = x.shape
    return {
        "S first": lambda: x.transpose(1, 2).reshape(batch, length, heads * size),
        "not transposed": lambda: x.reshape(batch, length, heads * size),
        "K first": lambda: x.permute(0, 2, 3, 1).reshape(batch, length, heads * size),
        "sum": lambda: x.sum(1),
        "mean": lambda: x.mean(1),
        "mean, repeated": lambda: x.mean(1).repeat(1, 1, heads),
        "S and K transposed": lambda: x.transpose(2, 3).reshape(batch, length, heads * size),
        "heads stay": lambda: x.transpose(1, 2),
        "heads in a row": lambda: x.reshape(batch, heads * length, size),
        "D before S": lambda: x.permute(0, 1, 3, 2).reshape(batch, heads * size, length),
        "view": lambda: x.transpose(1, 2).view(batch, length, heads * size),
        "backwards": lambda: x.flip(1).transpose(1, 2).reshape(batch, length, heads * size),
    }[order]()


def merge(x: Tensor) -> Tensor:
    return rearrange(x, "b h s k -> b s (h k)")


def merge_by_library(x: Tensor) -> Tensor:
    return MultiHeadAttention(x.shape[1] * x.shape[-1], x.shape[1]).merge_heads(x)


MERGE_HEADS = Exercise(
    name="merge-heads",
    topic="attention",
    title="Putting the heads side by side again",
    function="merge_heads",
    signature="x",
    task=(
        "The reverse of split_heads: every token's features again in one row, head after head.\n\n"
        "- `x`: (B, H, S, K)\n- returns (B, S, D), D = H·K; head h's features stand at h·K to (h+1)·K"
    ),
    source="Vaswani et al. 2017, section 3.2.2 (Concat)",
    reference=merge_reference,
    solution=merge,
    library=merge_by_library,
    probes=lambda: [
        Probe("three heads", Call((randn(2, 3, 4, 5, seed=1),), grads=(0,)), {"B": 2, "H": 3, "S": 4, "K": 5, "D": 15}),
        Probe("two heads", Call((randn(3, 2, 5, 7, seed=2),)), {"B": 3, "H": 2, "S": 5, "K": 7, "D": 14}),
    ],
    mistakes=(
        Mistake("merge-not-transposed", "order", "not transposed", "the heads are merged without transposing back",
                "the shape is right, but a token gets the features of other tokens; transpose S and H first"),
        Mistake("merge-k-before-h", "order", "K first", "the features are laid down as (K, H) and not as (H, K)",
                "the heads are shuffled into each other; head after head is asked for"),
        Mistake("merge-view-of-a-transpose", "order", "view", "view is asked to join axes right after a transpose",
                "a view needs the numbers in that order in memory, and a transpose moves none; take reshape, or "
                "contiguous() before view"),
        Mistake("merge-by-sum", "order", "sum", "the heads are added up",
                "they are to stand side by side, so that the output layer can tell them apart"),
        Mistake("merge-by-mean", "order", "mean", "the heads are averaged",
                "they are to stand side by side, so that the output layer can tell them apart"),
        Mistake("merge-by-repeated-mean", "order", "mean, repeated", "the heads are averaged, and the mean repeated",
                "H copies of one head: they are to stand side by side, each with its own features"),
        Mistake("merge-wrong-axes", "order", "S and K transposed", "the wrong two axes are transposed, S and K",
                "the features of a token come apart; H and S have to change places"),
        Mistake("merge-half", "order", "heads stay", "the last two axes are not joined",
                "S and H have changed places, which is the first half; now make (H, K) one axis"),
        Mistake("merge-along-the-sequence", "order", "heads in a row", "the heads are joined along the sequence",
                "the text becomes H times as long; they are to be joined along the features"),
        Mistake("merge-features-before-tokens", "order", "D before S", "features and tokens have changed places",
                "returned is (B, D, S), and asked for (B, S, D)"),
        Mistake("merge-backwards", "order", "backwards", "the heads come in the wrong order",
                "the first head's features come first"),
    ),
    hints=Hints(
        "Which two axes must be neighbours before they can become one?",
        "Bring S before H, then H and K can be joined. A view needs the numbers in that order in memory: reshape, or "
        "contiguous() before view.",
        "(B, H, S, K) → (B, S, H, K) → (B, S, D)",
        'x.transpose(..., ...).reshape(B, S, ...)\n# or: rearrange(x, "b h s k -> ...")',
    ),
    swap="merge_heads",
    equivalents=(
        lambda x: x.transpose(1, 2).flatten(2),
        lambda x: torch.cat(x.unbind(1), dim=-1),
        lambda x: x.permute(0, 2, 1, 3).contiguous().view(x.shape[0], x.shape[2], -1),
    ),
)  # fmt: skip

# --------------------------------------------------------------------------------------- multi-head attention

PARTS = ("query", "key", "value", "output")


def linear(x: Tensor, weights: Mapping[str, Tensor], name: str, bias: bool = True) -> Tensor:
    return F.linear(x, weights[f"{name}.weight"], weights[f"{name}.bias"] if bias else None)


def many_heads(
    x: Tensor,
    weights: Mapping[str, Tensor],
    num_heads: int,
    mask: Tensor | None = None,
    *,
    roles: str = "right",
    scale: str = "K",
    softmax: str = "keys",
    cut: str = "features",
    merged: str = "S first",
    output: str = "applied",
    masked: str = "right",
    bias: str = "all",
    transposed: bool = False,
) -> Tensor:
    """Multi-head attention with knobs. weights: of linear layers named query, key, value and output."""
    if transposed:
        weights = {name: weight.T if weight.dim() == 2 else weight for name, weight in weights.items()}
    names = {
        "right": PARTS[:3],
        "q and k swapped": ("key", "query", "value"),
        "value from key": ("query", "key", "key"),
        "key from query": ("query", "query", "value"),
        "one for all": ("query", "query", "query"),
        "value not projected": ("query", "key", None),
    }[roles]
    q, k, v = (
        split_reference(x if name is None else linear(x, weights, name, bias not in (name, "none")), num_heads, cut=cut)
        for name in names
    )
    if masked == "inverted" and mask is not None:
        mask = ~mask
    if masked == "ignored":
        mask = None
    scale = {"K": "root of K", "D": "root of D"}.get(scale, scale)
    hiding = masked if masked in ("zero scores", "after") else "before"
    mixed = reference(q, k, v, mask, scale=scale, softmax=softmax, masked=hiding)
    mixed = merge_reference(mixed, order=merged)
    if output == "left out":
        return mixed
    mixed = linear(mixed, weights, "output", bias not in ("output", "none"))
    return mixed + x if output == "residual" else mixed


def attention_weights(width: int, seed: int) -> dict[str, Tensor]:
    """Seeded weights of the four linear layers."""
    found = {}
    for number, name in enumerate(PARTS):
        found[f"{name}.weight"] = randn(width, width, seed=seed + number, scale=0.4)
        found[f"{name}.bias"] = randn(width, seed=seed + 10 + number, scale=0.4)
    return found


def many_probes() -> list[Probe]:
    axes = {"B": 2, "S": 5, "D": 12, "H": 3, "K": 4}
    x, weights = randn(2, 5, 12, seed=1), attention_weights(12, seed=2)
    # No text is full, so that a mask that is read the wrong way round hides no text altogether.
    padded = mask_of([[1, 1, 1, 0, 0], [1, 1, 1, 1, 0]])[:, None, None, :]
    return [
        Probe("without a mask", Call((x, weights, 3), first=True), axes),
        Probe("with padding", Call((x, weights, 3, padded), grads=(0, 1), first=True), axes),
    ]


def multi_head(x: Tensor, weights: Mapping[str, Tensor], num_heads: int, mask: Tensor | None = None) -> Tensor:
    def project(x, name):
        return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]

    q, k, v = (rearrange(project(x, name), "b s (h k) -> b h s k", h=num_heads) for name in ("query", "key", "value"))
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
    if mask is not None:
        scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
    mixed = rearrange(scores.softmax(dim=-1) @ v, "b h s k -> b s (h k)")
    return project(mixed, "output")


def multi_head_by_library(
    x: Tensor, weights: Mapping[str, Tensor], num_heads: int, mask: Tensor | None = None
) -> Tensor:
    module = MultiHeadAttention(x.shape[-1], num_heads).double()
    return functional_call(module, dict(weights), (x,), {"mask": mask})[0]


def multi_head_by_kernel(
    x: Tensor, weights: Mapping[str, Tensor], num_heads: int, mask: Tensor | None = None
) -> Tensor:
    q, k, v = (linear(x, weights, name).unflatten(-1, (num_heads, -1)).transpose(1, 2) for name in PARTS[:3])
    return linear(F.scaled_dot_product_attention(q, k, v, mask).transpose(1, 2).flatten(2), weights, "output")


def multi_head_by_einsum(
    x: Tensor, weights: Mapping[str, Tensor], num_heads: int, mask: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    q, k, v = (linear(x, weights, name).unflatten(-1, (num_heads, -1)) for name in PARTS[:3])
    scores = torch.einsum("bshk,bthk->bhst", q, k) * q.shape[-1] ** -0.5
    shares = (scores if mask is None else torch.where(mask, scores, -1e30)).softmax(-1)
    return linear(torch.einsum("bhst,bthk->bshk", shares, v).flatten(2), weights, "output"), shares


def multi_head_by_loop(x: Tensor, weights: Mapping[str, Tensor], num_heads: int, mask: Tensor | None = None) -> Tensor:
    size = x.shape[-1] // num_heads
    heads = []
    for h in range(num_heads):
        rows = slice(h * size, (h + 1) * size)
        q, k, v = (F.linear(x, weights[f"{n}.weight"][rows], weights[f"{n}.bias"][rows]) for n in PARTS[:3])
        scores = q @ k.mT / size**0.5
        heads.append((scores if mask is None else scores.masked_fill(~mask[:, 0], -1e30)).softmax(-1) @ v)
    return linear(torch.cat(heads, -1), weights, "output")


MANY_HEADS_MISTAKES = (
    Mistake("query-and-key-swapped", "roles", "q and k swapped", "query and key have changed places",
            "a word is asked what it should answer: the scores come out transposed"),
    Mistake("value-from-key", "roles", "value from key", "the values come from the key layer",
            "value has weights of its own, and they go unused"),
    Mistake("key-from-query", "roles", "key from query", "the keys come from the query layer",
            "every word would look most at what resembles itself; key has weights of its own"),
    Mistake("one-projection-for-all", "roles", "one for all", "query, key and value come from one layer",
            "each has weights of its own"),
    Mistake("value-not-projected", "roles", "value not projected", "the values are the input as it is",
            "value has weights of its own, and they go unused"),
    Mistake("heads-unscaled", "scale", "none", "the scores are not divided by √K",
            "the softmax comes near to picking one key alone"),
    Mistake("heads-scaled-by-D", "scale", "D", "the scores are divided by √D and not by √K",
            "K = D / H is the size of one head, which is what the dot product runs over"),
    Mistake("heads-softmax-over-queries", "softmax", "queries", "your softmax runs over the queries",
            "a query's weights do not sum to 1; it is to run over the keys, the last axis"),
    Mistake("heads-cut-by-view", "cut", "view only", "the heads are cut by a view without a transpose",
            "a head gets whole tokens instead of a slice of each; view as (B, S, H, K), then transpose S and H"),
    Mistake("heads-cut-k-first", "cut", "K first", "the features are cut as (K, H) and not as (H, K)",
            "head h gets every H-th feature; it is to get K neighbouring ones"),
    Mistake("heads-merged-untransposed", "merged", "not transposed", "the heads are merged without transposing back",
            "a token gets the features of other tokens; transpose S and H first"),
    Mistake("heads-merged-by-view", "merged", "view", "view is asked to join the heads right after a transpose",
            "a view needs the numbers in that order in memory; take reshape, or contiguous() before view"),
    Mistake("heads-output-missing", "output", "left out", "the output layer is left out",
            "the heads stay side by side and are never mixed"),
    Mistake("heads-residual-added", "output", "residual", "the input is added back",
            "that is the encoder block's work, and would be done twice"),
    Mistake("heads-mask-multiplied", "masked", "zero scores", "hidden scores are set to 0 before the softmax",
            "exp(0) is 1, so hidden keys still get weight"),
    Mistake("heads-mask-after-softmax", "masked", "after", "weights are set to 0 after the softmax",
            "what is left does not sum to 1; hide keys before the softmax, and it will"),
    Mistake("heads-mask-inverted", "masked", "inverted", "your mask is read the wrong way round",
            "True means that the query may look"),
    Mistake("heads-mask-ignored", "masked", "ignored", "the mask is not used", "every word looks at padding, too"),
    Mistake("linear-transposed", "transposed", True, "the weights are multiplied without their transpose",
            "a linear layer keeps its weight as (out, in): x @ weight.T, or F.linear"),
    Mistake("query-bias-missing", "bias", "query", "the query's bias is left out", "it says what every word asks for"),
    Mistake("value-bias-missing", "bias", "value", "the value's bias is left out", "each layer has one"),
    Mistake("output-bias-missing", "bias", "output", "the output layer's bias is left out", "each layer has one"),
    Mistake("biases-missing", "bias", "none", "all biases are left out", "each of the four layers has one"),
    Mistake("key-bias-missing", "bias", "key", "the key's bias is left out",
            "the result is the same, for it adds one number to all of a query's scores and the softmax does not see "
            "that; but a checkpoint has it, and it is part of the layer"),
)  # fmt: skip

MANY_HEADS = Exercise(
    name="multi-head-attention",
    topic="attention",
    title="Many heads",
    function="multi_head_attention",
    signature="x, weights, num_heads, mask=None",
    task=(
        "Self-attention with H heads: project x to queries, keys and values, cut each into heads, let every head "
        "attend, put the heads side by side, and mix them with the output layer.\n\n"
        "- `x`: (B, S, D)\n"
        "- `weights`: a dict of tensors: `query.weight` (D, D), `query.bias` (D,), and the same for `key`, `value` and "
        "`output`. A weight is (out, in), as in `torch.nn.Linear`: use `F.linear(x, weight, bias)`; all four layers "
        "have a bias, and all are used\n"
        "- `num_heads`: H, a divisor of D; K = D / H\n"
        "- `mask`: None, or booleans that broadcast to (B, H, S, S), True where the query may look\n"
        "- returns (B, S, D)"
    ),
    source="Vaswani et al. 2017, section 3.2.2",
    reference=many_heads,
    solution=multi_head,
    library=multi_head_by_library,
    probes=many_probes,
    mistakes=MANY_HEADS_MISTAKES,
    hints=Hints(
        "Write down the shapes: x (B, S, D), q (B, H, S, K), scores (B, H, S, S), mixed (B, S, D).",
        "The layers work on all D features at once; only then are they cut into heads. After attention it goes back "
        "the same way, and the output layer mixes the heads.",
        "MultiHead(x) = Concat(head₁ ... head_H) W_O, head = softmax(q kᵀ / √K) v",
        'q, k, v = (split_heads(F.linear(x, weights[f"{name}.weight"], ...)) for name in ("query", ...))\n'
        'mixed = merge_heads(...)\nreturn F.linear(mixed, weights["output.weight"], ...)',
    ),
    equivalents=(multi_head_by_kernel, multi_head_by_einsum, multi_head_by_loop),
)

EXERCISES = (ATTENTION, PADDING_MASK, CAUSAL_MASK, SPLIT_HEADS, MERGE_HEADS, MANY_HEADS)
