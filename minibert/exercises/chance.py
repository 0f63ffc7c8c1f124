"""Tests of random answers: whether chance explains what was drawn.

Each test gets the probability with which it may refuse a right answer (`error`). `declare.ERROR` is used for the
verdict. Before that, an answer that would fail at the larger `declare.DOUBT` is called more often, so that a small bias
is found without many calls for everybody. The tests are conditional on how many were drawn in a row of places: so it is
also right to draw exactly a share of the places, in a random order.

Rows are sequences of 0 and 1, each the draws of one text, one document or one call, in order.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor


def p_of_normal(z: float) -> float:
    """The probability that a standard normal number is at least as far from 0 as z."""
    return math.erfc(abs(z) / math.sqrt(2))


def p_of_spread(statistic: float, degrees: int) -> float:
    """The probability that a chi-squared number is at least this large (Wilson and Hilferty's approximation)."""
    if degrees < 1:
        return 1.0
    width = 2 / (9 * degrees)
    z = ((statistic / degrees) ** (1 / 3) - (1 - width)) / math.sqrt(width)
    return 0.5 * math.erfc(z / math.sqrt(2))


def share(hits: int, draws: int, expected: float, error: float) -> float:
    """The expected share if chance explains this number of hits, else the share that was found.

    The test is Chernoff's bound, which is never above `error` however rare the hits are.
    """
    if not draws:
        return expected
    found = hits / draws
    information = sum(
        a * math.log(a / b) if b else math.inf for a, b in ((found, expected), (1 - found, 1 - expected)) if a
    )
    bound = 2 * math.exp(-min(draws * information, 700))
    # The bound is far above the true probability for large numbers, where the normal one is exact enough.
    exact = error > 1e-4 and draws * expected * (1 - expected) > 100
    p = p_of_normal((found - expected) * math.sqrt(draws / (expected * (1 - expected)))) if exact else bound
    return found if p < error else expected


def evenly_spread(counts: Tensor, expected: Tensor, error: float, variance: Tensor | None = None) -> bool:
    """Whether counts scatter around their expected values no more than chance explains (they may scatter less).

    variance: of each count, by default its expected value. Counts that are expected to be below 3 are left out.
    """
    variance = expected if variance is None else variance
    kept = (variance > 2) & (expected >= 3)
    if not kept.any():
        return True
    statistic = float(((counts[kept] - expected[kept]) ** 2 / variance[kept]).sum())
    return p_of_spread(statistic, int(kept.sum())) >= error


@dataclass(frozen=True)
class Rows:
    """Draws of 0 and 1, row after row. draws: (N,). lengths: (R,), whose sum is N."""

    draws: Tensor
    lengths: Tensor

    @classmethod
    def of(cls, rows: Sequence[Tensor]) -> Rows:
        return cls(torch.cat(list(rows)), torch.tensor([len(row) for row in rows]))

    @cached_property
    def row(self) -> Tensor:
        """The number of each draw's row."""
        return torch.arange(len(self.lengths)).repeat_interleave(self.lengths)

    @cached_property
    def ones(self) -> Tensor:
        """The number of ones in each row, (R,)."""
        return torch.bincount(self.row, weights=self.draws.double(), minlength=len(self.lengths))


def neighbours_independent(rows: Rows, error: float) -> bool:
    """Whether ones stand next to ones as often as in a random order of each row: no spans, no alternation."""
    kept = rows.lengths > 3  # shorter rows say little
    if not kept.all():
        rows = Rows(rows.draws[kept[rows.row]], rows.lengths[kept])
    ones = rows.draws.double()
    together = float((ones[1:] * ones[:-1])[rows.row[1:] == rows.row[:-1]].sum())
    n, k = rows.lengths.double(), rows.ones
    p2 = k * (k - 1) / (n * (n - 1))
    p3 = p2 * (k - 2) / (n - 2)
    p4 = p3 * (k - 3) / (n - 3)
    mean = (n - 1) * p2
    variance = float((mean + 2 * (n - 2) * p3 + (n - 2) * (n - 3) * p4 - mean**2).sum())
    return variance < 5 or p_of_normal((together - float(mean.sum())) / math.sqrt(variance)) >= error


def in_any_order(rows: Rows, error: float) -> bool:
    """Whether the ones stand neither early nor late in their rows (Wilcoxon's sum of ranks)."""
    starts = rows.lengths.cumsum(0) - rows.lengths
    ranks = torch.arange(1, len(rows.draws) + 1) - starts[rows.row]
    n, k = rows.lengths.double(), rows.ones
    excess = float((ranks * rows.draws).sum()) - float((k * (n + 1) / 2).sum())
    variance = float((k * (n - k) * (n + 1) / 12).sum())
    return variance < 5 or p_of_normal(excess / math.sqrt(variance)) >= error


def rows_alike(rows: Rows, error: float, at_least: int = 5) -> bool:
    """Whether the rows have about the same share of ones: no single draw decides for a whole row.

    Rows of fewer than at_least places are left out.
    """
    sizes, counts = rows.lengths.double(), rows.ones
    sizes, counts = sizes[sizes >= at_least], counts[sizes >= at_least]
    if len(sizes) < 2:
        return True
    p = float(counts.sum() / sizes.sum())
    if p in (0.0, 1.0):
        return True
    statistic = float(((counts - sizes * p) ** 2 / (sizes * p * (1 - p))).sum())
    return p_of_spread(statistic, len(sizes) - 1) >= error


def places_alike(runs: Sequence[Tensor], error: float) -> bool:
    """Whether each place has about the same share of ones over all runs, each of which has the same places.

    With few runs a place has few draws, so the sum over all places is compared with what binomial draws scatter.
    """
    hits = torch.stack([run.double() for run in runs])
    n, p = len(runs), float(hits.mean())
    if n < 2 or p in (0.0, 1.0):
        return True
    scatter = (hits.sum(0) - n * p) ** 2 / (n * p * (1 - p))
    # The variance of one squared standardised binomial number is 2 + (1 - 6 p q) / (n p q).
    spread = 2 + (1 - 6 * p * (1 - p)) / (n * p * (1 - p))
    z = float((scatter.sum() - len(scatter)) / math.sqrt(len(scatter) * spread))
    return z < 0 or p_of_normal(z) / 2 >= error
