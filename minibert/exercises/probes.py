"""Seeded float64 numbers, integers and masks, from which the probes in the catalogue are made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


def randn(*shape: int, seed: int, scale: float = 1.0) -> Tensor:
    """Normally distributed numbers in float64, the same on every machine."""
    return scale * torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def randint(low: int, high: int, shape: Sequence[int], seed: int) -> Tensor:
    """Integers from low to high - 1."""
    return torch.randint(low, high, tuple(shape), generator=torch.Generator().manual_seed(seed))


def in_float32(value: Any) -> Any:
    """The same with all floating-point tensors in float32; dicts and tuples too."""
    if isinstance(value, Tensor):
        return value.float() if value.is_floating_point() else value
    if isinstance(value, dict):
        return {name: in_float32(one) for name, one in value.items()}
    return tuple(map(in_float32, value)) if isinstance(value, tuple) else value


def mask_of(rows: Sequence[Sequence[int]]) -> Tensor:
    """A tensor of booleans from rows of 1 and 0."""
    return torch.tensor(rows).bool()
