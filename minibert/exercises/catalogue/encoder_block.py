"""The encoder block: attention and feed-forward, each followed by an addition and a layer norm."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from minibert.attention import Layout
from minibert.encoder import EncoderBlock
from minibert.exercises.calls import Call
from minibert.exercises.catalogue import feed_forward, layer_norm, multi_head_attention
from minibert.exercises.catalogue.common_layers import Weights
from minibert.exercises.declare import Exercise, Hints, Mistake, Probe
from minibert.exercises.probes import in_float32, mask_of, randn

EPS = 1e-12


def reference(
    x: Tensor,
    weights: Weights,
    num_heads: int,
    mask: Tensor | None = None,
    *,
    order: str = "post",
    first_residual: str = "x",
    second_residual: str = "after attention",
    norms: str = "own",
    eps: float = EPS,
    spread: str = "by D",
    transposed: bool = False,
    **inside: Any,
) -> Tensor:
    """The encoder block with knobs; those of attention and feed-forward are passed on to them."""
    feeding = {name: value for name, value in inside.items() if name in ("activation", "place")}
    if "feed_bias" in inside:
        feeding["bias"] = inside["feed_bias"]
    attending = {name: value for name, value in inside.items() if name not in (*feeding, "feed_bias")}
    attending["transposed"] = feeding["transposed"] = transposed

    def attend(x: Tensor) -> Tensor:
        own = {name.removeprefix("attention."): w for name, w in weights.items() if name.startswith("attention.")}
        return multi_head_attention.reference(x, own, num_heads, mask, **attending)

    def norm(x: Tensor, name: str) -> Tensor:
        if norms == f"without {name}":
            return x
        if norms == "first twice":
            name = "attention_norm"
        elif norms == "second twice":
            name = "norm"
        elif norms == "swapped":
            name = "norm" if name == "attention_norm" else "attention_norm"
        knobs = {
            "by D": {}, "n - 1": {"spread": "n - 1"}, "not affine": {"affine": "neither"},
            "std + 1e-6": {"spread": "n - 1", "root": "eps outside"}, "root + 1e-6": {"root": "eps outside"},
        }[spread]  # fmt: skip
        small = 1e-6 if "1e-6" in spread else eps
        return layer_norm.reference(x, weights[f"{name}.weight"], weights[f"{name}.bias"], small, **knobs)

    def feed(x: Tensor) -> Tensor:
        return feed_forward.reference(x, weights, prefix="feed_forward.", **feeding)

    if order == "pre":
        x = x + attend(norm(x, "attention_norm"))
        return x + feed(norm(x, "norm"))
    back = {"x": x, "none": 0.0}
    added = x + attend(x) if second_residual == "before the norm" else None
    if order == "norm, then add":
        after = back[first_residual] + norm(attend(x), "attention_norm")
    else:
        after = norm(back[first_residual] + attend(x), "attention_norm")
    back = {"after attention": after, "none": 0.0, "x": x, "before the norm": added}
    if order == "norm, then add":
        return back[second_residual] + norm(feed(after), "norm")
    if order == "parallel":
        return norm(after + feed(x), "norm")
    return norm(back[second_residual] + feed(after), "norm")


def seeded_weights(width: int, inner: int, seed: int) -> dict[str, Tensor]:
    found = {f"attention.{name}": weight for name, weight in multi_head_attention.seeded_weights(width, seed).items()}
    for number, name in enumerate(("attention_norm", "norm")):
        found[f"{name}.weight"] = 1 + randn(width, seed=seed + 20 + number, scale=0.3)
        found[f"{name}.bias"] = randn(width, seed=seed + 30 + number, scale=0.3)
    return found | feed_forward.seeded_weights(width, inner, seed + 40, "feed_forward.")


def probes() -> list[Probe]:
    axes = {"B": 2, "S": 5, "D": 12, "H": 3, "K": 4, "F": 7}
    x, weights = randn(2, 5, 12, seed=1), seeded_weights(12, 7, seed=5)
    padded = mask_of([[1, 1, 1, 0, 0], [1, 1, 1, 1, 0]])[:, None, None, :]
    gaps = mask_of([[0, 0, 1, 0, 1], [0, 1, 1, 1, 0]])[:, None, None, :]
    # With small numbers an eps of 1e-5 makes a difference.
    small = {name: weight * 1e-3 if name.startswith("attention.output") else weight for name, weight in weights.items()}
    return [
        Probe("without a mask", Call((x, weights, 3), first=True), axes),
        Probe("with padding", Call((x, weights, 3, padded), grads=(0, 1), first=True), axes),
        Probe("with small numbers", Call((1e-3 * x, small, 3), first=True), axes),
        Probe(
            "with padding on the left and gaps",
            Call((x, weights, 2, gaps), first=True),
            {"B": 2, "S": 5, "D": 12, "K": 6, "F": 7},
        ),
        Probe(
            "one text of one token",
            Call((x[:1, :1], weights, 3, padded[:1, ..., :1]), first=True),
            {"D": 12, "H": 3, "K": 4, "F": 7},
        ),
        Probe("in float32", Call(in_float32((x, weights, 3, padded)), first=True), axes),
    ]


def solution(x: Tensor, weights: Weights, num_heads: int, mask: Tensor | None = None) -> Tensor:
    def apply(x, name):
        return F.linear(x, weights[f"{name}.weight"], weights[f"{name}.bias"])

    def norm(x, name):
        return F.layer_norm(x, x.shape[-1:], weights[f"{name}.weight"], weights[f"{name}.bias"], 1e-12)

    q, k, v = (
        rearrange(apply(x, f"attention.{name}"), "b s (h k) -> b h s k", h=num_heads)
        for name in ("query", "key", "value")
    )
    mixed = rearrange(F.scaled_dot_product_attention(q, k, v, attn_mask=mask), "b h s k -> b s (h k)")
    x = norm(x + apply(mixed, "attention.output"), "attention_norm")
    wide = F.gelu(apply(x, "feed_forward.expand"))
    return norm(x + apply(wide, "feed_forward.contract"), "norm")


def by_library(x: Tensor, weights: Weights, num_heads: int, mask: Tensor | None = None) -> Tensor:
    width, inner = x.shape[-1], weights["feed_forward.expand.bias"].shape[0]
    block = EncoderBlock(width, num_heads, inner, eps=EPS, dropout=0.0, attention_dropout=0.0)
    layout = Layout(None if mask is None else mask[:, 0, 0].long(), skip_padding=False)
    return functional_call(block, dict(weights), (x, layout))[0]


def by_torch(x: Tensor, weights: Weights, num_heads: int, mask: Tensor | None = None) -> Tensor:
    """torch's own encoder layer, which is post-norm too; in its mask, True means hidden."""
    layer = nn.TransformerEncoderLayer(
        x.shape[-1], num_heads, weights["feed_forward.expand.bias"].shape[0], 0.0, "gelu", EPS, batch_first=True
    )
    parts = ("query", "key", "value")
    renamed = {
        "self_attn.in_proj_weight": torch.cat([weights[f"attention.{name}.weight"] for name in parts]),
        "self_attn.in_proj_bias": torch.cat([weights[f"attention.{name}.bias"] for name in parts]),
    }
    names = {
        "self_attn.out_proj": "attention.output", "linear1": "feed_forward.expand", "linear2": "feed_forward.contract",
        "norm1": "attention_norm", "norm2": "norm",
    }  # fmt: skip
    for theirs, ours in names.items():
        renamed |= {f"{theirs}.{kind}": weights[f"{ours}.{kind}"] for kind in ("weight", "bias")}
    hidden = None if mask is None else ~mask[:, 0, 0]
    return functional_call(layer.to(x.dtype), renamed, (x,), {"src_key_padding_mask": hidden})


def by_parts(x: Tensor, weights: Weights, num_heads: int, mask: Tensor | None = None) -> Tensor:
    own = {name.removeprefix("attention."): weight for name, weight in weights.items() if name.startswith("attention.")}
    feed = {name.removeprefix("feed_forward."): weight for name, weight in weights.items()}
    a = multi_head_attention.reference(x, own, num_heads, mask) + x
    a = layer_norm.solution(a, weights["attention_norm.weight"], weights["attention_norm.bias"])
    return layer_norm.solution(feed_forward.solution(a, feed) + a, weights["norm.weight"], weights["norm.bias"])


# Fewer than in the exercise on attention itself: pairs are tried too, and that should take less than a second.
OF_THE_HEADS = (
    "query-and-key-swapped", "value-from-key", "heads-unscaled", "heads-scaled-by-D", "heads-softmax-over-queries",
    "heads-cut-by-view", "heads-cut-k-first", "heads-merged-untransposed", "heads-merged-by-view",
    "heads-output-missing", "heads-mask-inverted", "heads-mask-ignored", "linear-transposed", "biases-missing",
    "heads-scaled-after-softmax", "heads-causal-by-habit", "heads-merged-k-first", "heads-values-returned",
    "attention-biases-missing", "value-not-projected", "heads-mask-after-softmax", "heads-mask-multiplied",
)  # fmt: skip

EXERCISE = Exercise(
    name="encoder-block",
    topic="encoder",
    title="The encoder block",
    level="core",
    minutes=15,
    function="encoder_block",
    signature="x, weights, num_heads, mask=None",
    task=(
        "One block of BERT, post-norm: attention, add the input back, layer norm; feed-forward, add its input back, "
        "layer norm. No dropout; the norms' eps is 1e-12; the activation is the exact GELU.\n\n"
        "- `x`: (B, S, D)\n"
        "- `weights`: `attention.query.weight`, `attention.query.bias`, the same for `key`, `value` and `output`; "
        "`attention_norm.weight` and `.bias`; `feed_forward.expand.weight` and `.bias`, `feed_forward.contract.weight` "
        "and `.bias`; `norm.weight` and `.bias`. Weights of linear layers are (out, in)\n"
        "- `num_heads`: H. `mask`: None, or booleans (B, 1, 1, S), True where a query may attend to a key\n"
        "- returns (B, S, D)"
    ),
    source="Vaswani et al. 2017, section 3.1 and figure 1 (left)",
    reference=reference,
    solution=solution,
    library=by_library,
    probes=probes,
    mistakes=(
        Mistake("pre-norm", "order", "pre", "the norms come before attention and feed-forward",
                "that is pre-norm, as in GPT-2; BERT normalises after adding, and its weights were trained that way"),
        Mistake("norm-before-adding", "order", "norm, then add", "the norm comes before the input is added back",
                "the output of the block is not normalised; add first, then normalise"),
        Mistake("in-parallel", "order", "parallel", "feed-forward reads the block's input, not attention's result",
                "the two halves come one after the other"),
        Mistake("first-residual-missing", "first_residual", "none", "the input is not added back after attention",
                "a deep stack does not learn without this residual connection"),
        Mistake("second-residual-missing", "second_residual", "none", "nothing is added back after feed-forward",
                "a deep stack does not learn without this residual connection"),
        Mistake("second-residual-from-the-input", "second_residual", "x",
                "after feed-forward, the block's own input is added back",
                "add what went into feed-forward, which is the normalised sum"),
        Mistake("second-residual-from-before-the-norm", "second_residual", "before the norm",
                "after feed-forward, the sum from before the first norm is added back",
                "add what went into feed-forward, which is the sum after its norm"),
        Mistake("norm-eps-is-1e-5", "eps", 1e-5, "the norms' eps is 1e-5",
                "that is the default of torch's layer norm; BERT uses 1e-12, so pass that"),
        Mistake("norm-eps-is-1e-6", "eps", 1e-6, "the norms' eps is 1e-6", "BERT uses 1e-12, so pass that"),
        Mistake("norm-n-1", "spread", "n - 1", "the norms' variance divides by D - 1",
                "that is the default of torch's var, for samples; a layer norm divides by D"),
        Mistake("norm-by-std", "spread", "std + 1e-6", "the norms divide by torch's std plus 1e-6",
                "std divides by D - 1, and eps belongs inside the root; use √(variance + eps) with a variance that "
                "divides by D"),
        Mistake("norm-eps-outside", "spread", "root + 1e-6", "the norms add an eps of 1e-6 to the standard deviation",
                "it belongs inside the root, √(variance + eps), and is 1e-12"),
        Mistake("norm-not-affine", "spread", "not affine", "the norms' weight and bias are left out",
                "the model can no longer set the scale and the shift of each feature"),
        Mistake("one-norm-for-both", "norms", "first twice", "the first norm's weights are used twice",
                "the second norm, `norm`, has its own weights"),
        Mistake("second-norm-for-both", "norms", "second twice", "the second norm's weights are used twice",
                "the first norm, `attention_norm`, has its own weights"),
        Mistake("norms-swapped", "norms", "swapped", "the two norms are swapped",
                "attention_norm follows attention, norm follows feed-forward"),
        Mistake("first-norm-missing", "norms", "without attention_norm", "there is no norm after attention",
                "each half ends with one"),
        Mistake("second-norm-missing", "norms", "without norm", "there is no norm after feed-forward",
                "each half ends with one"),
        *(one for one in multi_head_attention.MISTAKES if one.name in OF_THE_HEADS),
        *(one for one in feed_forward.MISTAKES if one.knob in ("activation", "place")),
        *(replace(one, knob="feed_bias") for one in feed_forward.MISTAKES if one.knob == "bias"),
    ),
    hints=Hints(
        "Draw it: two boxes, an arrow around each, and the places of the two norms.",
        "Each half is norm(x + f(x)). The arrow around the second box carries the output of the first norm.",
        "a = LN(x + MultiHead(x)); LN(a + FFN(a))",
        "x = norm(x + attention(x), ...)\nreturn norm(x + feed_forward(...), ...)",
    ),
    equivalents=(by_torch, by_parts,
                 lambda x, weights, num_heads, mask=None: torch.cat([
                     solution(x[b : b + 1], weights, num_heads, None if mask is None else mask[b : b + 1])
                     for b in range(len(x))])),
)  # fmt: skip
