"""Two-stream attention: one step of XLNet's content stream and query stream."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from minibert.attention import Layout
from minibert.exercises.calls import Call
from minibert.exercises.catalogue.common_layers import Nothing
from minibert.exercises.declare import Exercise, Hints, Mistake, Probe
from minibert.exercises.probes import in_float32, randn
from minibert.models.relative import View, and_itself
from minibert.models.xlnet import XLNetBlock, XLNetConfig
from minibert.training.permutation import order_mask


def reference(
    h: Tensor,
    g: Tensor,
    perm_mask: Tensor,
    w_q: Tensor,
    w_k: Tensor,
    w_v: Tensor,
    *,
    query_looks_at: str = "h",
    query_asks: str = "g",
    content_sees: str = "perm_mask and itself",
    query_sees: str = "perm_mask",
    polarity: str = "1 is hidden",
    axes: str = "query, key",
    scale: str = "K",
    softmax: str = "keys",
    empty: str = "zeros",
    value: str = "projected",
    after: str = "nothing",
    results: str = "h, g",
) -> tuple[Tensor, ...] | Tensor:
    """Both streams, with knobs. query_looks_at: where the query stream's keys and values come from."""
    hidden = perm_mask.bool()
    if axes == "key, query":
        hidden = hidden.mT
    itself = torch.eye(h.shape[1], dtype=torch.bool)
    hidden = {
        "1 is hidden": hidden, "1 is visible": ~hidden, "1 is visible, and itself": ~hidden | itself,
    }[polarity]  # fmt: skip
    masks = {
        "perm_mask": hidden,
        "perm_mask and itself": hidden & ~itself,
        "never itself": hidden | itself,
        "everything": torch.zeros_like(hidden),
        "left to right": torch.ones_like(hidden).triu(1),
    }

    def attend(asking: Tensor, keys: Tensor, values: Tensor, may_not: Tensor) -> Tensor:
        scores = (asking @ w_q) @ (keys @ w_k).mT
        scores = scores / {"K": math.sqrt(w_q.shape[1]), "D": math.sqrt(h.shape[-1]), "none": 1.0}[scale]
        if empty == "low added":
            scores = scores - 1e4 * may_not
        elif empty == "NaN":
            scores = scores.masked_fill(may_not, -math.inf)
        elif empty == "multiplied":
            scores = scores * ~may_not
        elif empty != "after":
            scores = scores.masked_fill(may_not, torch.finfo(scores.dtype).min)
        weights = scores.softmax({"keys": -1, "queries": -2}[softmax])
        if empty in ("zeros", "after"):
            weights = weights.masked_fill(may_not, 0.0)
        elif empty == "itself":
            alone = may_not.all(-1, keepdim=True) & itself
            weights = torch.where(may_not.all(-1, keepdim=True), alone.to(weights.dtype), weights)
        return weights @ (values @ w_v if value == "projected" else values)

    new_h = attend(h, h, h, masks[content_sees])
    looked_at = {
        "h": (h, h), "g": (g, g), "keys of g": (g, h), "values of g": (h, g), "the new h": (new_h, new_h),
    }[query_looks_at]  # fmt: skip
    new_g = attend({"g": g, "h": h}[query_asks], *looked_at, masks[query_sees])
    if after == "residual":
        new_h, new_g = h + new_h, g + new_g
    found = {"h, g": (new_h, new_g), "g, h": (new_g, new_h)}
    return found.get(results, new_g if results == "g alone" else new_h)


def arguments(b: int, s: int, d: int, k: int, perm_mask: Tensor, seed: int) -> tuple[Tensor, ...]:
    return (
        randn(b, s, d, seed=seed), randn(b, s, d, seed=seed + 1), perm_mask, randn(d, k, seed=seed + 2, scale=0.6),
        randn(d, k, seed=seed + 3, scale=0.6), randn(d, d, seed=seed + 4, scale=0.5),
    )  # fmt: skip


def probes() -> list[Probe]:
    axes = {"B": 2, "S": 4, "D": 6, "K": 5}
    order = torch.tensor([[2, 0, 3, 1], [1, 3, 0, 2]])
    # Only the last token or two are predicted; the others may all see each other.
    chosen = torch.tensor([[1, 0, 1, 0], [0, 1, 0, 0]]).bool()
    all_seen = arguments(2, 4, 6, 5, torch.eye(4, dtype=torch.int8).expand(2, 4, 4).clone(), 20)
    every = (0, 1, 3, 4, 5)
    some = arguments(2, 4, 6, 5, order_mask(order), 1)
    return [
        Probe("with a factorisation order", Call(some, grads=every), axes),
        Probe("where all but the token itself may be seen", Call(all_seen), axes),
        Probe("with a context that all may see", Call(arguments(2, 4, 6, 5, order_mask(order, chosen), 10)), axes),
        Probe("five tokens, predicted from right to left",
              Call(arguments(1, 5, 4, 3, order_mask(torch.tensor([[4, 3, 2, 1, 0]])), 40)), {"S": 5, "D": 4, "K": 3}),
        Probe("one text of one token", Call(arguments(1, 1, 6, 5, torch.ones(1, 1, 1, dtype=torch.int8), 30)),
              {"D": 6, "K": 5}),
        Probe("in float32", Call(in_float32(some)), axes),
    ]  # fmt: skip


def solution(h: Tensor, g: Tensor, perm_mask: Tensor, w_q: Tensor, w_k: Tensor, w_v: Tensor) -> tuple[Tensor, Tensor]:
    keys, values = h @ w_k, h @ w_v  # of the content stream, for both

    def attend(stream, hidden):
        scores = (stream @ w_q) @ keys.transpose(-2, -1) / math.sqrt(w_q.shape[1])
        weights = scores.masked_fill(hidden, torch.finfo(scores.dtype).min).softmax(dim=-1)
        return weights.masked_fill(hidden, 0.0) @ values  # the first of the order sees nothing: zeros

    query_hidden = perm_mask.bool()
    itself = torch.eye(h.shape[1], dtype=torch.bool)
    return attend(h, query_hidden & ~itself), attend(g, query_hidden)


class BothStreams(nn.Module):
    """The library's block with both streams and one head, without distances, segments, feed-forward and norms."""

    def __init__(self, width: int):
        super().__init__()
        config = XLNetConfig(vocab_size=1, hidden_size=width, num_attention_heads=1, hidden_dropout_prob=0.0)
        self.block = XLNetBlock(config)
        self.block.feed_forward = Nothing()
        self.block.attention_norm = self.block.norm = nn.Identity()

    def forward(self, h: Tensor, g: Tensor, perm_mask: Tensor) -> tuple[Tensor, Tensor]:
        may, places = ~perm_mask.bool(), torch.arange(h.shape[1])
        content = View(Layout(), and_itself(may, places[:, None] - places)[:, None], None)
        streams = [(h, content), (g, View(Layout(), may[:, None], None))]
        found = self.block(streams, h.new_zeros(2 * h.shape[1], h.shape[-1]))
        return found[0][0] - h, found[1][0] - g  # without what the block adds back


def by_library(h: Tensor, g: Tensor, perm_mask: Tensor, w_q: Tensor, w_k: Tensor, w_v: Tensor) -> tuple[Tensor, Tensor]:
    (d, k), zero = w_q.shape, h.new_zeros
    # There the values are as wide as the keys, so they are filled up with zeros, and the output layer only picks.
    room = max(d, k)
    scaled = w_q * math.sqrt(room / k)
    given = {
        **{name: F.pad(w, (0, room - w.shape[1]))[:, None] for name, w in
           (("query", scaled), ("key", w_k), ("value", w_v))},
        "output": torch.eye(d, room, dtype=h.dtype)[:, None], "position": zero(d, 1, room),
        **{name: zero(1, room) for name in ("content_bias", "position_bias", "segment_bias")},
    }  # fmt: skip
    return functional_call(BothStreams(d), {f"block.attention.{n}": w for n, w in given.items()}, (h, g, perm_mask))


def by_both_at_once(h: Tensor, g: Tensor, perm_mask: Tensor, w_q: Tensor, w_k: Tensor, w_v: Tensor) -> list[Tensor]:
    may = ~perm_mask.bool()
    both = torch.stack([h, g])  # (2, B, S, D)
    may = torch.stack([may | torch.eye(h.shape[1]).bool(), may])
    exps = torch.exp(torch.einsum("nbsd,dk,bte,ek->nbst", both, w_q, h, w_k) / w_q.shape[1] ** 0.5) * may
    shares = exps / exps.sum(-1, keepdim=True).clamp(min=1e-30)
    return list(shares @ (h @ w_v))


def by_kernel(h: Tensor, g: Tensor, perm_mask: Tensor, w_q: Tensor, w_k: Tensor, w_v: Tensor) -> tuple[Tensor, ...]:
    may = perm_mask == 0
    with_itself = may.clone()
    with_itself.diagonal(dim1=1, dim2=2).fill_(True)
    return tuple(
        F.scaled_dot_product_attention(stream @ w_q, h @ w_k, h @ w_v, attn_mask=mask)
        for stream, mask in ((h, with_itself), (g, may))
    )


def by_loop(h: Tensor, g: Tensor, perm_mask: Tensor, w_q: Tensor, w_k: Tensor, w_v: Tensor) -> tuple[Tensor, ...]:
    found = []
    for stream, sees_itself in ((h, True), (g, False)):
        rows = []
        for b in range(len(h)):
            for i in range(h.shape[1]):
                seen = [j for j in range(h.shape[1]) if not perm_mask[b, i, j] or (sees_itself and i == j)]
                if not seen:
                    rows.append(h.new_zeros(h.shape[2]))
                    continue
                scores = torch.stack([(stream[b, i] @ w_q) @ (h[b, j] @ w_k) for j in seen]) / w_q.shape[1] ** 0.5
                weights = scores.softmax(0)
                rows.append(sum(weight * (h[b, j] @ w_v) for weight, j in zip(weights, seen, strict=True)))
        found.append(torch.stack(rows).reshape(h.shape))
    return tuple(found)


EXERCISE = Exercise(
    name="two-streams",
    topic="xlnet",
    title="Two-stream attention",
    function="two_streams",
    signature="h, g, perm_mask, w_q, w_k, w_v",
    task=(
        "One step of XLNet's two streams, with one head and without distances, residuals and norms. A token's "
        "*content* vector h knows its word. Its *query* vector g knows only its place and what it has looked at. The "
        "word is predicted from it, so g must never see the word itself. Both ask with the same weights, and both look "
        "at the content stream.\n\n"
        "- `h`, `g`: (B, S, D)\n"
        "- `perm_mask`: (B, S, S), 1 where token i may not see token j, 0 where it may. The query stream uses it as it "
        "is; in the content stream a token may also see itself, whatever the mask says\n"
        "- `w_q`, `w_k`: (D, K); `w_v`: (D, D). They are used as `x @ w`, and the scores are divided by √K\n"
        "- returns the new h and the new g, both (B, S, D). A token that may see nothing gets zeros, never NaN: so "
        "does the first of an order in the query stream"
    ),
    source="Yang et al. 2019 (XLNet), section 2.3, the two equations of two-stream attention, and figure 1",
    reference=reference,
    solution=solution,
    library=by_library,
    probes=probes,
    mistakes=(
        Mistake("query-stream-looks-at-itself", "query_looks_at", "g", "the query stream's keys and values come from g",
                "g knows no words: it would be predicted from places alone. Both streams look at h",
                "Which of the two streams knows what the words are?"),
        Mistake("keys-from-g", "query_looks_at", "keys of g", "the query stream's keys come from g",
                "keys and values both come from h, in both streams"),
        Mistake("values-from-g", "query_looks_at", "values of g", "the query stream's values come from g",
                "keys and values both come from h, in both streams"),
        Mistake("query-stream-looks-at-the-new-h", "query_looks_at", "the new h",
                "the query stream looks at the new h, which this step has just made",
                "both streams look at the vectors that come into the layer; keep the old h, or give the new one "
                "another name"),
        Mistake("query-stream-asks-with-h", "query_asks", "h", "the query stream asks with h",
                "h knows the word that is to be predicted; ask with g"),
        Mistake("content-blind-to-itself", "content_sees", "perm_mask", "a token does not see itself in the content "
                "stream",
                "perm_mask hides each token from itself; the content stream must open the diagonal again"),
        Mistake("content-sees-everything", "content_sees", "everything", "the content stream does not use perm_mask",
                "its vectors then know words that come later in the order, and the query stream reads those vectors"),
        Mistake("content-left-to-right", "content_sees", "left to right",
                "the content stream sees what is to its left in the text, whatever perm_mask says",
                "the order is not the order of the text; perm_mask says who may see whom"),
        Mistake("query-sees-itself", "query_sees", "perm_mask and itself", "a token sees itself in the query stream",
                "it would be asked for a word that it has just read; only the content stream opens the diagonal"),
        Mistake("query-sees-everything", "query_sees", "everything", "the query stream does not use perm_mask",
                "it would be asked for a word that it has just read"),
        Mistake("query-never-itself", "query_sees", "never itself", "you hide every token from itself in the query "
                "stream, whatever perm_mask says",
                "perm_mask already does that for what is predicted; use it as it is"),
        Mistake("perm-mask-inverted", "polarity", "1 is visible", "you read perm_mask the wrong way round",
                "1 means that token i may not see token j"),
        Mistake("perm-mask-inverted-with-diagonal", "polarity", "1 is visible, and itself",
                "you read perm_mask the wrong way round, and hide the diagonal",
                "1 means that token i may not see token j"),
        Mistake("perm-mask-transposed", "axes", "key, query", "rows and columns of perm_mask are exchanged",
                "row i says what token i may not see"),
        Mistake("streams-unscaled", "scale", "none", "the scores are not divided by √K",
                "the softmax comes close to picking a single key"),
        Mistake("streams-scaled-by-D", "scale", "D", "the scores are divided by √D, and should be by √K",
                "K is the width of a query and of a key, the last axis of w_q"),
        Mistake("streams-softmax-over-queries", "softmax", "queries", "your softmax runs over the queries",
                "the weights of a query do not sum to 1; run it over the keys, the last axis"),
        Mistake("streams-nan", "empty", "NaN", "a token that may see nothing gets NaN",
                "the softmax of a row that holds only -inf is 0/0; the first of an order has such a row in the query "
                "stream",
                "What does the first token of the order see?"),
        Mistake("streams-even", "empty", "even", "a token that may see nothing gets the mean of all values",
                "so it sees everything, the word to be predicted included (XLNet's released code does this); set "
                "hidden weights to 0 after the softmax as well",
                "What is the softmax of a row whose scores are all equally low?"),
        Mistake("streams-low-added", "empty", "low added", "a token that may see nothing sees everything",
                "lowering all scores of a row by the same number changes nothing; set hidden weights to 0 after the "
                "softmax as well",
                "What is the softmax of a row in which every score is lowered by the same number?"),
        Mistake("streams-empty-sees-itself", "empty", "itself", "a token that may see nothing sees itself",
                "that is the word to be predicted; it gets zeros"),
        Mistake("streams-mask-multiplied", "empty", "multiplied", "hidden scores are set to 0 before the softmax",
                "exp(0) is 1, so hidden keys still get weight"),
        Mistake("streams-mask-after-softmax", "empty", "after", "hidden weights are set to 0 only after the softmax",
                "the remaining weights do not sum to 1; hide the keys before the softmax, too"),
        Mistake("streams-value-not-projected", "value", "as it is", "the values are h without w_v",
                "value has its own weights, and they are not used"),
        Mistake("streams-residual-added", "after", "residual", "each stream's old vectors are added back",
                "the layer does that later; the task asks for attention alone"),
        Mistake("streams-exchanged", "results", "g, h", "you return the new g first", "the order should be h, g"),
        Mistake("only-the-new-g", "results", "g alone", "you return the new g alone", "both are asked for"),
        Mistake("only-the-new-h", "results", "h alone", "you return the new h alone", "both are asked for"),
    ),
    hints=Hints(
        "Write down for both streams: who asks, who is looked at, and which mask is used. Only two of these differ.",
        "Keys and values are made from h, once. The content stream asks with h and may see itself; the query stream "
        "asks with g and uses perm_mask as it is. For the first token of the order the query stream sees nothing: "
        "what do the weights have to be?",
        "h′ᵢ = attention(Q = hᵢ, KV = h of all up to and including i); g′ᵢ = attention(Q = gᵢ, KV = h of all before i)",
        "keys, values = h @ ..., h @ ...\ndef attend(stream, hidden):\n    scores = ...\n"
        "    weights = scores.masked_fill(hidden, ...).softmax(dim=...)\n"
        "    return weights.masked_fill(hidden, ...) @ values\nreturn attend(h, ...), attend(g, ...)",
    ),
    equivalents=(by_both_at_once, by_kernel, by_loop),
    level="challenge",
    minutes=20,
)  # fmt: skip
