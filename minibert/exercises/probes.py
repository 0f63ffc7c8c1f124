"""Seeded float64 numbers, integers and masks, from which the probes in the catalogue are made."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def randn(*shape: int, seed: int, scale: float = 1.0) -> Tensor:
    """Normally distributed numbers in float64, the same on every machine."""
    return scale * torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def randint(low: int, high: int, shape: Sequence[int], seed: int) -> Tensor:
    """Integers from low to high - 1."""
    return torch.randint(low, high, tuple(shape), generator=torch.Generator().manual_seed(seed))


def mask_of(rows: Sequence[Sequence[int]]) -> Tensor:
    """A tensor of booleans from rows of 1 and 0."""
    return torch.tensor(rows).bool()
