"""The two attentions of a decoder: to its own past, and to the text that was read."""

from __future__ import annotations

import math
from functools import cache

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from minibert.attention import Layout, causal_mask
from minibert.exercises.calls import Call
from minibert.exercises.catalogue import attention, layer_norm, merge_heads, multi_head_attention, split_heads
from minibert.exercises.catalogue.common_layers import Nothing, Weights, linear
from minibert.exercises.declare import Exercise, Hints, Mistake, Probe
from minibert.exercises.probes import in_float32, randn
from minibert.models.bart import BartConfig, DecoderBlock

EPS = 1e-5
ATTENTIONS = ("attention", "cross_attention")


@cache
def causal(seen: str, queries: int, keys: int) -> Tensor:
    """A mask (queries, keys) for the self-attention, right or wrong."""
    every = torch.ones(queries, keys, dtype=torch.bool)
    return {
        "past and itself": every.tril(), "past": every.tril(-1), "everything": every, "future": every.triu(),
        "future alone": every.triu(1), "one ahead": every.tril(1),
    }[seen]  # fmt: skip


def reference(
    x: Tensor,
    encoded: Tensor,
    attention_mask: Tensor,
    weights: Weights,
    num_heads: int,
    *,
    own: str = "past and itself",
    looks_at: str = "encoded",
    cross: str = "padding hidden",
    asks: str = "after the first norm",
    order: str = "own first",
    norms: str = "own",
    place: str = "post",
    residuals: str = "both",
    parts: str = "own",
    scale: str = "K",
    softmax: str = "keys",
    hiding: str = "even",
    cut: str = "features",
    merged: str = "S first",
    output: str = "applied",
    eps: float = EPS,
    steps: str = "both",
) -> Tensor:
    """Two thirds of a decoder block, with knobs. looks_at: where the second attention's keys and values come from."""
    own, _, nan_where_nothing = own.partition(", ")
    own_mask = causal(own, x.shape[1], x.shape[1])
    cross, _, nan_where_padding = cross.partition(", ")
    real = attention_mask.bool()[:, None, None, :]
    if cross == "causal":
        cross_mask = causal("past and itself", x.shape[1], encoded.shape[1])
    elif cross == "both":
        cross_mask = real & causal("past and itself", x.shape[1], encoded.shape[1])
    else:
        cross_mask = {"ignored": real | True, "inverted": ~real, "of the first text": real[:1]}.get(cross, real)

    def attend(queries: Tensor, keys: Tensor, values: Tensor, part: str, mask: Tensor) -> Tensor:
        part = {"the first twice": ATTENTIONS[0], "the second twice": ATTENTIONS[1]}.get(parts, part)
        if parts == "exchanged":
            part = ATTENTIONS[part == ATTENTIONS[0]]
        names = ("key", "query", "value") if parts == "q and k swapped" else ("query", "key", "value")
        q, k, v = (
            split_heads.reference(linear(one, weights, f"{part}.{name}"), num_heads, cut=cut)
            for one, name in zip((queries, keys, values), names, strict=True)
        )
        scaling = {"K": "root of K", "D": "root of D"}.get(scale, scale)
        nan = nan_where_nothing if mask is own_mask else nan_where_padding
        mixed = attention.reference(q, k, v, mask, scale=scaling, softmax=softmax, masked="-inf" if nan else hiding)
        mixed = merge_heads.reference(mixed, order=merged)
        return linear(mixed, weights, f"{part}.output") if output == "applied" else mixed

    def norm(y: Tensor, name: str) -> Tensor:
        if norms == f"without {name}":
            return y
        if norms in ("the first twice", "the second twice"):
            name = f"{ATTENTIONS[norms == 'the second twice']}_norm"
        elif norms == "exchanged":
            name = f"{ATTENTIONS[name == 'attention_norm']}_norm"
        return layer_norm.reference(y, weights[f"{name}.weight"], weights[f"{name}.bias"], eps)

    def first(y: Tensor, back: bool = True) -> Tensor:
        if place == "pre":
            z = norm(y, "attention_norm")
            return y + attend(z, z, z, "attention", own_mask)
        return norm((y if back else 0) + attend(y, y, y, "attention", own_mask), "attention_norm")

    def second(y: Tensor, back: Tensor | float, asking: Tensor) -> Tensor:
        if place == "pre":
            asking = norm(asking, "cross_attention_norm")
        keys, values = {
            "encoded": (encoded, encoded), "x": (y, y), "keys of encoded": (encoded, y),
            "values of encoded": (y, encoded),
        }[looks_at]  # fmt: skip
        if looks_at == "x":
            mask = own_mask
        else:
            mask = cross_mask
        if asks == "encoded":
            asking, keys, values, mask = encoded, y, y, real.mT
        attended = attend(asking, keys, values, "cross_attention", mask)
        return back + attended if place == "pre" else norm(back + attended, "cross_attention_norm")

    if steps == "own alone":
        return first(x)
    if steps == "cross alone":
        return second(x, x, x)
    if order == "cross first":
        return first(second(x, x, x))
    after = first(x, residuals not in ("without the first", "none"))
    if order == "side by side":
        z = attend(x, x, x, "attention", own_mask) + attend(x, encoded, encoded, "cross_attention", cross_mask)
        return norm(norm(x + z, "attention_norm"), "cross_attention_norm")
    back = {"both": after, "without the first": after, "x again": x}.get(residuals, 0.0)
    return second(after, back, x if asks == "x" else after)


def seeded_weights(width: int, seed: int) -> dict[str, Tensor]:
    found = {}
    for number, part in enumerate(ATTENTIONS):
        for name, weight in multi_head_attention.seeded_weights(width, seed + 40 * number).items():
            found[f"{part}.{name}"] = weight
    for number, part in enumerate(ATTENTIONS):
        found[f"{part}_norm.weight"] = 1 + randn(width, seed=seed + 90 + number, scale=0.3)
        found[f"{part}_norm.bias"] = randn(width, seed=seed + 95 + number, scale=0.3)
    return found


def probes() -> list[Probe]:
    axes = {"B": 2, "T": 4, "S": 5, "D": 12, "H": 3}
    x, encoded, weights = randn(2, 4, 12, seed=1), randn(2, 5, 12, seed=2), seeded_weights(12, seed=5)
    all_real = torch.ones(2, 5, dtype=torch.long)
    padded = torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 0]])
    gaps = torch.tensor([[0, 0, 1, 0, 1, 1], [0, 1, 1, 1, 0, 0]])
    # With small numbers an eps other than 1e-5 makes a difference.
    small = {name: 1e-3 * weight if ".output" in name else weight for name, weight in weights.items()}
    return [
        Probe("with padding", Call((x, encoded, padded, weights, 3), grads=(0, 1, 3), first=True), axes),
        Probe("without padding", Call((x, encoded, all_real, weights, 3), first=True), axes),
        Probe("with padding on the left and gaps", Call((randn(2, 3, 12, seed=3), randn(2, 6, 12, seed=4), gaps,
              weights, 4), first=True), {"B": 2, "T": 3, "S": 6, "D": 12, "H": 4}),
        Probe("one token that was written", Call((x[:, :1], encoded, padded, weights, 3), first=True),
              {"B": 2, "S": 5, "D": 12, "H": 3}),
        Probe("with small numbers", Call((1e-2 * x, encoded, padded, small, 2), first=True),
              {"B": 2, "T": 4, "S": 5, "D": 12}),
        Probe("one text of one token", Call((x[:1], encoded[:1, :1], padded[:1, :1], weights, 3), first=True),
              {"T": 4, "D": 12, "H": 3}),
        Probe("in float32", Call(in_float32((x, encoded, padded, weights, 3)), first=True), axes),
    ]  # fmt: skip


def solution(x: Tensor, encoded: Tensor, attention_mask: Tensor, weights: Weights, num_heads: int) -> Tensor:
    def apply(y, name):
        return F.linear(y, weights[f"{name}.weight"], weights[f"{name}.bias"])

    def attend(queries, keys, part, mask):
        q, k, v = (
            apply(y, f"{part}.{name}").unflatten(-1, (num_heads, -1)).transpose(1, 2)  # (B, H, T or S, K)
            for y, name in ((queries, "query"), (keys, "key"), (keys, "value"))
        )
        scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
        scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
        return apply((scores.softmax(dim=-1) @ v).transpose(1, 2).flatten(2), f"{part}.output")

    def norm(y, name):
        return F.layer_norm(y, y.shape[-1:], weights[f"{name}.weight"], weights[f"{name}.bias"], 1e-5)

    past = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool).tril()
    x = norm(x + attend(x, x, "attention", past), "attention_norm")
    real = attention_mask.bool()[:, None, None, :]
    return norm(x + attend(x, encoded, "cross_attention", real), "cross_attention_norm")


def by_library(x: Tensor, encoded: Tensor, attention_mask: Tensor, weights: Weights, num_heads: int) -> Tensor:
    """The library's decoder block without its last third."""
    width = x.shape[-1]
    config = BartConfig(hidden_size=width, decoder_attention_heads=num_heads, encoder_attention_heads=1,
                        decoder_ffn_dim=1, vocab_size=9, hidden_dropout_prob=0.0)  # fmt: skip
    block = DecoderBlock(config).to(x.dtype)
    block.feed_forward, block.norm = Nothing(), nn.Identity()
    layout = Layout(attention_mask, skip_padding=False)

    class Whole(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.block = block

        def forward(self) -> Tensor:
            text = block.cross_attention.keys_and_values(encoded, encoded, layout)
            return block(x, Layout(), causal_mask(x.shape[1]), text, layout)[0]

    return functional_call(Whole(), {f"block.{name}": weight for name, weight in weights.items()}, ())


def by_kernel(x: Tensor, encoded: Tensor, attention_mask: Tensor, weights: Weights, num_heads: int) -> Tensor:
    def sublayer(x: Tensor, text: Tensor, name: str, **how: object) -> Tensor:
        its = {one.removeprefix(f"{name}."): w for one, w in weights.items()}
        q, k, v = (
            linear(one, its, part).unflatten(-1, (num_heads, -1)).transpose(1, 2)
            for one, part in ((x, "query"), (text, "key"), (text, "value"))
        )
        mixed = F.scaled_dot_product_attention(q, k, v, **how)  # type: ignore
        x = x + linear(mixed.transpose(1, 2).flatten(2), its, "output")
        return F.layer_norm(x, x.shape[-1:], weights[f"{name}_norm.weight"], weights[f"{name}_norm.bias"])

    x = sublayer(x, x, "attention", is_causal=True)
    return sublayer(x, encoded, "cross_attention", attn_mask=attention_mask[:, None, None].bool())


def by_token(x: Tensor, encoded: Tensor, attention_mask: Tensor, weights: Weights, num_heads: int) -> Tensor:
    """As in generation: one token after another, each with those before it; padding is cut off."""
    texts = []
    for b in range(len(x)):
        text = encoded[b, attention_mask[b] == 1]
        rows = []
        for t in range(x.shape[1]):
            y = x[b, t]
            for seen, name in ((x[b, : t + 1], "attention"), (text, "cross_attention")):
                heads = []
                for part in ("query", "key", "value"):
                    w, bias = weights[f"{name}.{part}.weight"], weights[f"{name}.{part}.bias"]
                    heads.append((y if part == "query" else seen) @ w.T + bias)
                q, k, v = (one.unflatten(-1, (num_heads, -1)) for one in heads)
                shares = torch.einsum("hk,shk->hs", q, k).div(q.shape[-1] ** 0.5).softmax(-1)
                mixed = torch.einsum("hs,shk->hk", shares, v).flatten()
                y = y + mixed @ weights[f"{name}.output.weight"].T + weights[f"{name}.output.bias"]
                y = layer_norm.solution(y, weights[f"{name}_norm.weight"], weights[f"{name}_norm.bias"], EPS)
            rows.append(y)
        texts.append(torch.stack(rows))
    return torch.stack(texts)


def by_exercises(x: Tensor, encoded: Tensor, attention_mask: Tensor, weights: Weights, num_heads: int) -> Tensor:
    """One multi-head self-attention, of texts of which the decoder's tokens see the right parts."""
    both = torch.cat([x, encoded], 1)
    t = x.shape[1]

    def attend(name: str, mask: Tensor) -> Tensor:
        its = {one.removeprefix(f"{name}."): w for one, w in weights.items() if one.startswith(f"{name}.")}
        return multi_head_attention.solution(both, its, num_heads, mask)[:, :t]

    def norm(y: Tensor, name: str) -> Tensor:
        return layer_norm.solution(y, weights[f"{name}.weight"], weights[f"{name}.bias"], EPS)

    places = torch.arange(both.shape[1])
    x = norm(x + attend("attention", (places[None] <= places[:, None]) & (places < t)), "attention_norm")
    both = torch.cat([x, encoded], 1)
    real = F.pad(attention_mask.bool(), (t, 0), value=False)[:, None, None]
    return norm(x + attend("cross_attention", real), "cross_attention_norm")


EXERCISE = Exercise(
    name="causal-cross-attention",
    topic="bart",
    title="A decoder's two attentions",
    function="decoder_attention",
    signature="x, encoded, attention_mask, weights, num_heads",
    task=(
        "The first two thirds of a decoder block (all but the feed-forward). First self-attention: each token looks at "
        "itself and at the tokens before it, and at nothing after it. Then cross-attention: the queries come from the "
        "decoder, keys and values from the text that the encoder has read, whose padding is hidden. After each "
        "attention the input is added, and the sum is normalised, as in BERT.\n\n"
        "- `x`: (B, T, D), the tokens written so far, without padding; `encoded`: (B, S, D), the encoder's vectors\n"
        "- `attention_mask`: (B, S), 1 for a real token of the text and 0 for padding. Each text has a real token\n"
        "- `weights`: a dict of tensors. `attention.query.weight` (D, D) and `attention.query.bias` (D,), and the same "
        "for `key`, `value` and `output`, are the self-attention's; `cross_attention. ...` are the second attention's; "
        "`attention_norm.weight`, `attention_norm.bias`, `cross_attention_norm. ...`, (D,), are the norms'. A weight "
        "is (out, in), as in `torch.nn.Linear`. eps is 1e-5\n"
        "- `num_heads`: H, a divisor of D; both attentions have H heads and divide by √K, K = D / H\n"
        "- returns (B, T, D), after the second norm"
    ),
    source="Vaswani et al. 2017, section 3.1 and 3.2.3; Lewis et al. 2020 (BART), section 2.1",
    reference=reference,
    solution=solution,
    library=by_library,
    probes=probes,
    mistakes=(
        Mistake("decoder-not-causal", "own", "everything", "the self-attention also sees the tokens after each token",
                "while training they are given, so the model would copy the next token and learn nothing",
                "What may the first token of x see?"),
        Mistake("decoder-not-itself", "own", "past", "in the self-attention a token does not see itself",
                "it sees itself and what is before it: the diagonal is open"),
        Mistake("decoder-not-itself-nan", "own", "past, NaN",
                "in the self-attention a token does not see itself, so that the first one sees nothing and gets NaN",
                "it sees itself and what is before it: the diagonal is open (tril, or triu with diagonal=1 for what is "
                "hidden)"),
        Mistake("decoder-causal-transposed", "own", "future", "the self-attention sees the future and hides the past",
                "rows are queries and columns are keys: keep the lower triangle, tril"),
        Mistake("decoder-causal-inverted", "own", "future alone", "the causal mask is inverted",
                "True means that a query may attend, and it may attend to the past and to itself"),
        Mistake("decoder-causal-inverted-nan", "own", "future alone, NaN",
                "the causal mask is inverted, so that the last token sees nothing and gets NaN",
                "a query may attend to the past and to itself"),
        Mistake("decoder-one-ahead", "own", "one ahead", "the self-attention sees one token ahead",
                "that is the token to be predicted"),
        Mistake("cross-looks-at-itself", "looks_at", "x",
                "the second attention looks at the decoder's own tokens again",
                "its keys and values come from `encoded`; otherwise the decoder never reads the text"),
        Mistake("cross-values-of-x", "looks_at", "keys of encoded", "the second attention's values come from the "
                "decoder", "keys and values both come from `encoded`"),
        Mistake("cross-keys-of-x", "looks_at", "values of encoded", "the second attention's keys come from the decoder",
                "keys and values both come from `encoded`"),
        Mistake("cross-asks-with-encoded", "asks", "encoded", "in the second attention the text asks, and the decoder "
                "is looked at", "queries come from the decoder, keys and values from `encoded`"),
        Mistake("cross-asks-with-x", "asks", "x", "the second attention asks with x, from before the first attention",
                "it asks with what comes out of the first norm"),
        Mistake("cross-padding-seen", "cross", "ignored", "the text's padding is not hidden",
                "its vectors have no meaning; hide it with attention_mask"),
        Mistake("cross-padding-inverted", "cross", "inverted", "you read attention_mask the wrong way round",
                "1 is a real token, 0 is padding"),
        Mistake("cross-padding-inverted-nan", "cross", "inverted, NaN",
                "you read attention_mask the wrong way round, so that a text without padding gets NaN",
                "1 is a real token, 0 is padding; with the other meaning such a text has nothing to look at"),
        Mistake("cross-causal", "cross", "causal", "the second attention is causal, and its padding is not hidden",
                "the whole text has been read before anything is written; hide its padding only"),
        Mistake("cross-causal-too", "cross", "both", "the second attention is causal, too",
                "the whole text has been read before anything is written; hide its padding only"),
        Mistake("cross-causal-too-nan", "cross", "both, NaN",
                "the second attention is causal, too, so that a token that may then look at padding alone gets NaN",
                "the whole text has been read before anything is written; hide its padding only"),
        Mistake("cross-mask-of-the-first-text", "cross", "of the first text",
                "the first text's padding is used for all texts", "each text has its own"),
        Mistake("cross-first", "order", "cross first", "the second attention comes before the self-attention",
                "the decoder first looks at what it has written, then at the text"),
        Mistake("side-by-side", "order", "side by side", "both attentions read the input, and their results are added "
                "together", "the second one reads what comes out of the first norm"),
        Mistake("own-attention-alone", "steps", "own alone", "the second attention is missing",
                "without it the decoder never reads the text"),
        Mistake("cross-attention-alone", "steps", "cross alone", "the self-attention is missing",
                "without it the decoder does not know what it has written"),
        Mistake("first-norm-missing", "norms", "without attention_norm", "there is no norm after the first attention",
                "each of the two sums is normalised"),
        Mistake("second-norm-missing", "norms", "without cross_attention_norm",
                "there is no norm after the second attention", "each of the two sums is normalised"),
        Mistake("first-norm-twice", "norms", "the first twice", "both sums go through `attention_norm`",
                "the second has a norm of its own"),
        Mistake("second-norm-twice", "norms", "the second twice", "both sums go through `cross_attention_norm`",
                "the first has a norm of its own"),
        Mistake("norms-exchanged", "norms", "exchanged", "the two norms are exchanged",
                "each belongs to one attention"),
        Mistake("pre-norm", "place", "pre", "the norms come before the attentions (pre-norm)",
                "BART, like BERT, normalises after the addition (post-norm)"),
        Mistake("first-residual-missing", "residuals", "without the first", "the input is not added to the first "
                "attention", "each attention's input is added to its result"),
        Mistake("second-residual-missing", "residuals", "without the second",
                "nothing is added to the second attention", "each attention's input is added to its result"),
        Mistake("residuals-missing", "residuals", "none", "nothing is added to either attention",
                "each attention's input is added to its result"),
        Mistake("second-residual-from-x", "residuals", "x again", "x is added to the second attention",
                "its own input is added, which is what comes out of the first norm"),
        Mistake("one-attention-twice", "parts", "the first twice", "both attentions use the weights `attention. ...`",
                "the second has weights of its own, `cross_attention. ...`"),
        Mistake("cross-weights-twice", "parts", "the second twice",
                "both attentions use the weights `cross_attention. ...`", "the first has weights of its own"),
        Mistake("attentions-exchanged", "parts", "exchanged", "the two attentions' weights are exchanged",
                "`attention. ...` belongs to the self-attention"),
        Mistake("decoder-query-and-key-swapped", "parts", "q and k swapped", "the weights of query and key are swapped",
                "queries are made with `query`, and keys with `key`"),
        Mistake("decoder-unscaled", "scale", "none", "the scores are not divided by √K",
                "the softmax comes close to picking a single key"),
        Mistake("decoder-scaled-by-D", "scale", "D", "the scores are divided by √D, and should be by √K",
                "K = D / H is the size of one head"),
        Mistake("decoder-softmax-over-queries", "softmax", "queries", "your softmax runs over the queries",
                "the weights of a query do not sum to 1; run it over the keys, the last axis"),
        Mistake("decoder-mask-multiplied", "hiding", "zero scores", "hidden scores are set to 0 before the softmax",
                "exp(0) is 1, so hidden keys still get weight"),
        Mistake("decoder-mask-after-softmax", "hiding", "after", "hidden weights are set to 0 only after the softmax",
                "the remaining weights do not sum to 1; hide the keys before the softmax"),
        Mistake("decoder-mask-added", "hiding", "added", "the masks' 0s and 1s are added to the scores",
                "hidden keys only become a little less likely"),
        Mistake("decoder-heads-by-view", "cut", "view only", "the heads are split by a view without a transpose",
                "a head gets whole tokens; view as (B, T, H, K), then transpose T and H"),
        Mistake("decoder-heads-untransposed", "merged", "not transposed", "the heads are merged without transposing "
                "back", "a token gets the features of other tokens; transpose T and H first"),
        Mistake("decoder-output-missing", "output", "left out", "the output layers are left out",
                "the heads stay side by side and are never mixed"),
        Mistake("decoder-eps-is-1e-12", "eps", 1e-12, "the norms' eps is 1e-12", "that is BERT's; BART has 1e-5"),
    ),
    hints=Hints(
        "Draw the decoder block: two attentions, each with an addition and a norm. Who asks in each, and who is looked "
        "at?",
        "Write one function for an attention whose queries may come from another sequence than its keys and values. "
        "Use it twice: with x for both and a lower triangle as its mask, then with `encoded` as the keys and the mask "
        "of its padding.",
        "x₁ = LN(x + attention(Q = x, KV = x, causal)); result = LN(x₁ + attention(Q = x₁, KV = encoded, padding "
        "hidden))",
        'x = norm(x + attend(x, x, "attention", torch.ones(...).tril()), "attention_norm")\n'
        'return norm(x + attend(..., ..., "cross_attention", attention_mask.bool()[:, ...]), "cross_attention_norm")',
    ),
    swap="decoder_attention",
    equivalents=(by_kernel, by_token, by_exercises),
    level="challenge",
    minutes=25,
)  # fmt: skip
