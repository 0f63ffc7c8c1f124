"""Splitting the features into heads."""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Tensor

from minibert.attention import MultiHeadAttention
from minibert.exercises.calls import Call
from minibert.exercises.declare import Exercise, Hints, Mistake, Probe
from minibert.exercises.probes import randn


def reference(x: Tensor, num_heads: int, *, cut: str = "features", returned: str = "B H S K") -> Tensor:
    """The split into heads with knobs."""
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


def solution(x: Tensor, num_heads: int) -> Tensor:
    return rearrange(x, "b s (h k) -> b h s k", h=num_heads)


def by_library(x: Tensor, num_heads: int) -> Tensor:
    return MultiHeadAttention(x.shape[-1], num_heads).split_heads(x)


EXERCISE = Exercise(
    name="split-heads",
    topic="attention",
    title="Splitting the features into heads",
    level="warm-up",
    minutes=5,
    function="split_heads",
    signature="x, num_heads",
    task=(
        "Give every head its own features of each token: the first head gets the first K, the second head the next K, "
        "and so on, where K = D / H.\n\n"
        "- `x`: (B, S, D)\n- `num_heads`: H, a divisor of D\n- returns (B, H, S, K)"
    ),
    source="Vaswani et al. 2017, section 3.2.2",
    reference=reference,
    solution=solution,
    library=by_library,
    probes=lambda: [
        Probe("three heads", Call((randn(2, 4, 15, seed=1), 3), grads=(0,)), {"B": 2, "H": 3, "S": 4, "K": 5, "D": 15}),
        Probe("two heads", Call((randn(3, 5, 14, seed=2), 2)), {"B": 3, "H": 2, "S": 5, "K": 7, "D": 14}),
        Probe("one text", Call((randn(1, 4, 15, seed=3), 3)), {"H": 3, "S": 4, "K": 5, "D": 15}),
        Probe("one token", Call((randn(2, 1, 15, seed=4), 3)), {"B": 2, "H": 3, "K": 5, "D": 15}),
        Probe("one head", Call((randn(2, 4, 15, seed=5), 1)), {"B": 2, "S": 4, "D": 15}),
    ],
    mistakes=(
        Mistake("split-by-view-alone", "cut", "view only", "the heads are split by a view without a transpose",
                "the shape is right, but a head gets whole tokens instead of a slice of each; "
                "view as (B, S, H, K), then transpose S and H"),
        Mistake("split-k-before-h", "cut", "K first", "the features are split as (K, H) instead of (H, K)",
                "head h gets every H-th feature; it should get K neighbouring ones"),
        Mistake("split-heads-into-batch", "cut", "heads into batch", "a view mixes batch and heads",
                "each head of a text would be made from different tokens; keep B and H apart"),
        Mistake("split-across-texts", "cut", "sequence", "the heads are split across the texts of the batch",
                "a head would read from other texts; each text should keep its own features"),
        Mistake("split-into-pieces-of-H", "cut", "H wide", "you use num_heads as the width of a head",
                "torch.split takes the size of a chunk, not the number of chunks; torch.chunk takes the number"),
        Mistake("split-backwards", "cut", "backwards", "the heads are in reverse order",
                "the first head should get the first K features"),
        Mistake("split-heads-last", "returned", "B S H K", "S and H are not transposed",
                "attention would run over the heads of one token instead of over the tokens"),
        Mistake("split-transposed-for-scores", "returned", "B H K S", "K and S are swapped",
                "that is the layout of the keys in q kᵀ; the split itself returns (B, H, S, K)"),
        Mistake("split-heads-first", "returned", "H B S K", "H comes before B", "the batch comes first, (B, H, S, K)"),
        Mistake("split-heads-flattened", "returned", "(B H) S K", "batch and heads are one axis",
                "that works for torch.bmm; the task asks for four axes, (B, H, S, K)"),
    ),
    hints=Hints(
        "Take one token with features 0, 1, 2, ... 14 and three heads. Which head gets feature 7?",
        "A view splits the last axis into two, (H, K), and changes nothing in memory. To move H before S you need a "
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
