"""Multi-head attention, with its four linear layers."""

from __future__ import annotations

import math

import torch
from einops import rearrange
from torch import Tensor
from torch.func import functional_call
from torch.nn import functional as F

from minibert.attention import MultiHeadAttention
from minibert.exercises.calls import Call
from minibert.exercises.catalogue import attention, merge_heads, split_heads
from minibert.exercises.catalogue.common_layers import Weights, linear
from minibert.exercises.declare import Exercise, Hints, Mistake, Probe
from minibert.exercises.probes import in_float32, mask_of, randn

PARTS = ("query", "key", "value", "output")


def reference(
    x: Tensor,
    weights: Weights,
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
    causal: bool = False,
) -> Tensor:
    """Multi-head attention with knobs. weights: of the linear layers query, key, value and output."""
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
    left_out = {"none": PARTS, "only output": PARTS[:3]}.get(bias, (bias,))
    projected = (x if name is None else linear(x, weights, name, name not in left_out) for name in names)
    q, k, v = (split_heads.reference(one, num_heads, cut=cut) for one in projected)
    if masked == "inverted" and mask is not None:
        mask = ~mask
    if masked == "ignored":
        mask = None
    scale = {"K": "root of K", "D": "root of D"}.get(scale, scale)
    hiding = masked if masked in ("zero scores", "after") else "before"
    mixed = attention.reference(q, k, v, mask, scale=scale, softmax=softmax, masked=hiding, causal=causal)
    if merged == "of the values":
        mixed, merged = v, "S first"
    mixed = merge_heads.reference(mixed, order=merged)
    if output == "left out":
        return mixed
    mixed = linear(mixed, weights, "output", "output" not in left_out)
    return mixed + x if output == "residual" else mixed


def seeded_weights(width: int, seed: int) -> dict[str, Tensor]:
    """Seeded weights of the four linear layers."""
    found = {}
    for number, name in enumerate(PARTS):
        found[f"{name}.weight"] = randn(width, width, seed=seed + number, scale=0.4)
        found[f"{name}.bias"] = randn(width, seed=seed + 10 + number, scale=0.4)
    return found


def probes() -> list[Probe]:
    axes = {"B": 2, "S": 5, "D": 12, "H": 3, "K": 4}
    x, weights = randn(2, 5, 12, seed=1), seeded_weights(12, seed=2)
    # No text is full, so that an inverted mask does not hide a whole text.
    padded = mask_of([[1, 1, 1, 0, 0], [1, 1, 1, 1, 0]])[:, None, None, :]
    gaps = mask_of([[0, 0, 1, 0, 1], [0, 1, 1, 1, 0]])[:, None, None, :]
    own = mask_of([[1, 0, 0, 1, 0], [1, 1, 0, 0, 0], [0, 1, 0, 0, 1], [1, 1, 0, 1, 1], [0, 0, 1, 1, 0]])[None, None]
    return [
        Probe("without a mask", Call((x, weights, 3), first=True), axes),
        Probe("with padding", Call((x, weights, 3, padded), grads=(0, 1), first=True), axes),
        Probe("with a different mask for each query", Call((x, weights, 3, own), first=True), axes),
        Probe(
            "with padding on the left and gaps",
            Call((x, weights, 2, gaps), first=True),
            {"B": 2, "S": 5, "D": 12, "K": 6},
        ),
        Probe(
            "one text of one token",
            Call((x[:1, :1], weights, 3, padded[:1, ..., :1]), first=True),
            {"D": 12, "H": 3, "K": 4},
        ),
        Probe("in float32", Call(in_float32((x, weights, 3, padded)), first=True), axes),
    ]


def solution(x: Tensor, weights: Weights, num_heads: int, mask: Tensor | None = None) -> Tensor:
    def project(x, name):
        return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]

    q, k, v = (rearrange(project(x, name), "b s (h k) -> b h s k", h=num_heads) for name in ("query", "key", "value"))
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
    if mask is not None:
        scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
    mixed = rearrange(scores.softmax(dim=-1) @ v, "b h s k -> b s (h k)")
    return project(mixed, "output")


def by_library(x: Tensor, weights: Weights, num_heads: int, mask: Tensor | None = None) -> Tensor:
    module = MultiHeadAttention(x.shape[-1], num_heads).double()
    return functional_call(module, dict(weights), (x,), {"mask": mask})[0]


def by_kernel(x: Tensor, weights: Weights, num_heads: int, mask: Tensor | None = None) -> Tensor:
    q, k, v = (linear(x, weights, name).unflatten(-1, (num_heads, -1)).transpose(1, 2) for name in PARTS[:3])
    return linear(F.scaled_dot_product_attention(q, k, v, mask).transpose(1, 2).flatten(2), weights, "output")


def by_einsum(x: Tensor, weights: Weights, num_heads: int, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
    q, k, v = (linear(x, weights, name).unflatten(-1, (num_heads, -1)) for name in PARTS[:3])
    scores = torch.einsum("bshk,bthk->bhst", q, k) * q.shape[-1] ** -0.5
    shares = (scores if mask is None else torch.where(mask, scores, -1e30)).softmax(-1)
    return linear(torch.einsum("bhst,bthk->bshk", shares, v).flatten(2), weights, "output"), shares


def by_loop(x: Tensor, weights: Weights, num_heads: int, mask: Tensor | None = None) -> Tensor:
    size = x.shape[-1] // num_heads
    heads = []
    for h in range(num_heads):
        rows = slice(h * size, (h + 1) * size)
        q, k, v = (F.linear(x, weights[f"{n}.weight"][rows], weights[f"{n}.bias"][rows]) for n in PARTS[:3])
        scores = q @ k.mT / size**0.5
        heads.append((scores if mask is None else scores.masked_fill(~mask[:, 0], -1e30)).softmax(-1) @ v)
    return linear(torch.cat(heads, -1), weights, "output")


MISTAKES = (
    Mistake("query-and-key-swapped", "roles", "q and k swapped", "query and key are swapped",
            "each word asks with its key and answers with its query, so the scores come out transposed"),
    Mistake("value-from-key", "roles", "value from key", "the values come from the key layer",
            "value has its own weights, and they are not used"),
    Mistake("key-from-query", "roles", "key from query", "the keys come from the query layer",
            "every word would attend most to what resembles it; key has its own weights"),
    Mistake("one-projection-for-all", "roles", "one for all", "query, key and value come from one layer",
            "each has its own weights"),
    Mistake("value-not-projected", "roles", "value not projected", "the values are the input without a projection",
            "value has its own weights, and they are not used"),
    Mistake("heads-unscaled", "scale", "none", "the scores are not divided by √K",
            "the softmax comes close to picking a single key"),
    Mistake("heads-scaled-by-D", "scale", "D", "the scores are divided by √D instead of √K",
            "K = D / H is the size of one head, which is what the dot product runs over"),
    Mistake("heads-scaled-after-softmax", "scale", "after the softmax",
            "the weights are divided by √K, after the softmax",
            "then they no longer sum to 1; divide the scores, before the softmax"),
    Mistake("heads-causal-by-habit", "causal", True, "the future is hidden",
            "that is for decoders; BERT attends in both directions, and the mask says what is hidden"),
    Mistake("heads-merged-k-first", "merged", "K first", "the heads are merged as (K, H) instead of (H, K)",
            "the heads are interleaved; the output layer expects one head after another"),
    Mistake("heads-values-returned", "merged", "of the values", "the values are merged, and not what attention returns",
            "then no token reads from any other"),
    Mistake("heads-softmax-over-queries", "softmax", "queries", "your softmax runs over the queries",
            "the weights of a query do not sum to 1; run it over the keys, the last axis"),
    Mistake("heads-cut-by-view", "cut", "view only", "the heads are split by a view without a transpose",
            "a head gets whole tokens instead of a slice of each; view as (B, S, H, K), then transpose S and H"),
    Mistake("heads-cut-k-first", "cut", "K first", "the features are split as (K, H) instead of (H, K)",
            "head h gets every H-th feature; it should get K neighbouring ones"),
    Mistake("heads-merged-untransposed", "merged", "not transposed", "the heads are merged without transposing back",
            "a token gets the features of other tokens; transpose S and H first"),
    Mistake("heads-merged-by-view", "merged", "view", "you use view to join the heads right after a transpose",
            "a view needs the numbers in that order in memory; use reshape, or contiguous() before view"),
    Mistake("heads-output-missing", "output", "left out", "the output layer is left out",
            "the heads stay side by side and are never mixed"),
    Mistake("heads-residual-added", "output", "residual", "the input is added back",
            "the encoder block does that, so it would be done twice"),
    Mistake("heads-mask-multiplied", "masked", "zero scores", "hidden scores are set to 0 before the softmax",
            "exp(0) is 1, so hidden keys still get weight"),
    Mistake("heads-mask-after-softmax", "masked", "after", "hidden weights are set to 0 only after the softmax",
            "the remaining weights do not sum to 1; if you hide the keys before the softmax, they do"),
    Mistake("heads-mask-inverted", "masked", "inverted", "you read the mask the wrong way round",
            "True means that the query may attend"),
    Mistake("heads-mask-ignored", "masked", "ignored", "the mask is not used", "every word attends to padding, too"),
    Mistake("linear-transposed", "transposed", True, "the weights are not transposed in the product",
            "a linear layer stores its weight as (out, in), so use x @ weight.T, or F.linear"),
    Mistake("query-bias-missing", "bias", "query", "the query's bias is left out",
            "it is the part of the query that is the same for every word"),
    Mistake("value-bias-missing", "bias", "value", "the value's bias is left out", "each layer has one"),
    Mistake("output-bias-missing", "bias", "output", "the output layer's bias is left out", "each layer has one"),
    Mistake("attention-biases-missing", "bias", "only output", "query, key and value have no bias",
            "each of the four layers has one; some other models leave them out (bias=False)"),
    Mistake("biases-missing", "bias", "none", "all biases are left out", "each of the four layers has one"),
    Mistake("key-bias-missing", "bias", "key", "the key's bias is left out",
            "the result is the same, because it adds one number to all scores of a query and the softmax does not "
            "depend on that; but a checkpoint has it, and it is part of the layer"),
)  # fmt: skip

EXERCISE = Exercise(
    name="multi-head-attention",
    topic="attention",
    title="Many heads",
    level="core",
    minutes=15,
    function="multi_head_attention",
    signature="x, weights, num_heads, mask=None",
    task=(
        "Self-attention with H heads: project x to queries, keys and values, split each into heads, let every head "
        "attend, put the heads side by side, and mix them with the output layer.\n\n"
        "- `x`: (B, S, D)\n"
        "- `weights`: a dict of tensors: `query.weight` (D, D), `query.bias` (D,), and the same for `key`, `value` and "
        "`output`. A weight is (out, in), as in `torch.nn.Linear`: use `F.linear(x, weight, bias)`; all four layers "
        "have a bias, and all are used\n"
        "- `num_heads`: H, a divisor of D; K = D / H\n"
        "- `mask`: None, or booleans that broadcast to (B, H, S, S), True where a query may attend to a key\n"
        "- returns (B, S, D)"
    ),
    source="Vaswani et al. 2017, section 3.2.2",
    reference=reference,
    solution=solution,
    library=by_library,
    probes=probes,
    mistakes=MISTAKES,
    hints=Hints(
        "Write down the shapes: x (B, S, D), q (B, H, S, K), scores (B, H, S, S), mixed (B, S, D).",
        "The layers work on all D features at once; only then are the features split into heads. After attention the "
        "heads are merged again in the same way, and the output layer mixes them.",
        "MultiHead(x) = Concat(head₁ ... head_H) W_O, head = softmax(q kᵀ / √K) v",
        'q, k, v = (split_heads(F.linear(x, weights[f"{name}.weight"], ...)) for name in ("query", ...))\n'
        'mixed = merge_heads(...)\nreturn F.linear(mixed, weights["output.weight"], ...)',
    ),
    equivalents=(by_kernel, by_einsum, by_loop),
)
