"""Merging the heads again."""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Tensor

from minibert.attention import MultiHeadAttention
from minibert.exercises.calls import Call
from minibert.exercises.declare import Exercise, Hints, Mistake, Probe
from minibert.exercises.probes import randn


def reference(x: Tensor, *, order: str = "S first") -> Tensor:
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


def solution(x: Tensor) -> Tensor:
    return rearrange(x, "b h s k -> b s (h k)")


def by_library(x: Tensor) -> Tensor:
    return MultiHeadAttention(x.shape[1] * x.shape[-1], x.shape[1]).merge_heads(x)


EXERCISE = Exercise(
    name="merge-heads",
    topic="attention",
    title="Merging the heads again",
    level="core",
    minutes=5,
    function="merge_heads",
    signature="x",
    task=(
        "The reverse of split_heads: put the features of each token back into one row, head after head.\n\n"
        "- `x`: (B, H, S, K)\n"
        "- returns (B, S, D), D = H·K: first the K features of the first head, then those of the second, and so on"
    ),
    source="Vaswani et al. 2017, section 3.2.2 (Concat)",
    reference=reference,
    solution=solution,
    library=by_library,
    probes=lambda: [
        Probe("three heads", Call((randn(2, 3, 4, 5, seed=1),), grads=(0,)), {"B": 2, "H": 3, "S": 4, "K": 5, "D": 15}),
        Probe("two heads", Call((randn(3, 2, 5, 7, seed=2),)), {"B": 3, "H": 2, "S": 5, "K": 7, "D": 14}),
        Probe("one text", Call((randn(1, 3, 4, 5, seed=3),)), {"H": 3, "S": 4, "K": 5, "D": 15}),
        Probe("one token", Call((randn(2, 3, 1, 5, seed=4),)), {"B": 2, "H": 3, "K": 5, "D": 15}),
        Probe("one head", Call((randn(2, 1, 4, 5, seed=5),)), {"B": 2, "S": 4, "K": 5}),
    ],
    mistakes=(
        Mistake("merge-not-transposed", "order", "not transposed", "the heads are merged without transposing back",
                "the shape is right, but a token gets the features of other tokens; transpose S and H first"),
        Mistake("merge-k-before-h", "order", "K first", "the features are arranged as (K, H) instead of (H, K)",
                "the heads are interleaved; the task asks for one head after another"),
        Mistake("merge-view-of-a-transpose", "order", "view", "you use view to join axes right after a transpose",
                "a view needs the numbers in that order in memory, and a transpose moves none; use reshape, or "
                "contiguous() before view"),
        Mistake("merge-by-sum", "order", "sum", "the heads are added up",
                "they should be side by side, so that the output layer can tell them apart"),
        Mistake("merge-by-mean", "order", "mean", "the heads are averaged",
                "they should be side by side, so that the output layer can tell them apart"),
        Mistake("merge-by-repeated-mean", "order", "mean, repeated", "the heads are averaged, and the mean is repeated",
                "the result is H copies of one head; the heads should be side by side, each with its own features"),
        Mistake("merge-wrong-axes", "order", "S and K transposed", "the wrong two axes are transposed, S and K",
                "the features of a token are torn apart; swap H and S"),
        Mistake("merge-half", "order", "heads stay", "the last two axes are not joined",
                "S and H are swapped, which is the first half; now make (H, K) one axis"),
        Mistake("merge-along-the-sequence", "order", "heads in a row", "the heads are joined along the sequence",
                "the text becomes H times as long; join them along the features"),
        Mistake("merge-features-before-tokens", "order", "D before S", "features and tokens are swapped",
                "you return (B, D, S), and the task asks for (B, S, D)"),
        Mistake("merge-backwards", "order", "backwards", "the heads are in reverse order",
                "the features of the first head come first"),
    ),
    hints=Hints(
        "Which two axes must be next to each other before they can become one?",
        "Move S before H; then H and K can be joined. A view needs the numbers in that order in memory: use reshape, "
        "or contiguous() before view.",
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
