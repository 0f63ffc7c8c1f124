"""What a few seeds and a finite test set can say: means, and the intervals around them.

The cells of an experiment are its figures by variant, one dict a seed: see `experiments.run`. Variants are compared
seed by seed, because one seed draws the same texts and the same first weights for all of them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cache
from statistics import fmean, stdev
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from minibert.errors import MinibertError

Cells = Mapping[str, Sequence[Mapping[str, Any]]]

# Student's t for a 95% interval from 2, 3, ... 10 seeds; more seeds take the last one, which is then a little too wide.
STUDENT_T = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)
DRAWS = 2000


class Spread(NamedTuple):
    """A mean with its 95% interval; without an end where one seed alone tells nothing about it."""

    mean: float
    low: float
    high: float

    @property
    def is_above(self) -> bool:
        """Whether it is more than nothing, beyond the spread."""
        return self.low > 0

    @property
    def is_below(self) -> bool:
        return self.high < 0


def over_seeds(values: Sequence[float]) -> Spread:
    """The mean of one value a seed, and its interval by Student's t."""
    mean = fmean(values)
    if len(values) < 2:
        return Spread(mean, -math.inf, math.inf)
    t = STUDENT_T[min(len(values) - 2, len(STUDENT_T) - 1)]
    half = t * stdev(values) / math.sqrt(len(values))
    return Spread(mean, mean - half, mean + half)


def difference(cells: Cells, measure: str, first: str, second: str) -> Spread:
    """By how much a measure is larger in the first variant than in the second, compared seed by seed."""
    pairs = zip(cells[first], cells[second], strict=True)
    return over_seeds([a[measure] - b[measure] for a, b in pairs])


class Gain(NamedTuple):
    """What one variant has over another, by two measures; more is better in both."""

    accuracy: Spread  # a share
    loss: Spread  # nats by which its held-out loss is lower

    @property
    def shows(self) -> bool:
        """Better beyond the spread by one of the measures at least, and worse by neither."""
        return any(spread.is_above for spread in self) and not any(spread.is_below for spread in self)

    @property
    def is_cost(self) -> bool:
        """Worse beyond the spread by one of the measures at least."""
        return any(spread.is_below for spread in self)


def gain(cells: Cells, better: str, worse: str) -> Gain:
    """What the variant `better` has over the variant `worse`, as the figures say; it may be a loss."""
    return Gain(difference(cells, "accuracy", better, worse), difference(cells, "masked_lm", worse, better))


# ------------------------------------------------------------------------- retention, by drawing seeds and texts again


def mean_retention(cells: Cells, student: str, teacher: str) -> float:
    """The student's accuracy over the teacher's, the mean of the seeds."""
    pairs = zip(cells[student], cells[teacher], strict=True)
    return fmean(of_student["accuracy"] / of_teacher["accuracy"] for of_student, of_teacher in pairs)


def retention(cells: Cells, student: str, teacher: str) -> Spread:
    """The same mean with its 95% interval, by drawing seeds and test texts anew."""
    return Spread(mean_retention(cells, student, teacher), *middle(retention_draws(cells, student, teacher)))


def retention_draws(cells: Cells, student: str, teacher: str) -> NDArray[np.float64]:
    """The student's accuracy over the teacher's, (DRAWS,): each time with seeds and test texts drawn anew.

    Within a seed student and teacher answer the same texts, so they are drawn together; and all students meet the same
    draws, so that two arrays can be subtracted. Source of the method: Efron & Tibshirani 1993, chapters 8 and 13.
    """
    ratios = _drawn_accuracy(cells[student]) / _drawn_accuracy(cells[teacher])
    picked = np.random.default_rng(1).integers(ratios.shape[1], size=ratios.shape)
    return np.take_along_axis(ratios, picked, axis=1).mean(axis=1)


def middle(draws: NDArray[np.float64]) -> tuple[float, float]:
    """The ends between which 95% of the draws lie."""
    low, high = np.quantile(draws, (0.025, 0.975))
    return float(low), float(high)


def _drawn_accuracy(seeds: Sequence[Mapping[str, Any]]) -> NDArray[np.float64]:
    """(DRAWS, seeds): the accuracy of each seed's model on the test texts of each draw."""
    rows = [[one == "1" for one in seed["right"]] for seed in seeds]
    texts = len(rows[0])
    if not texts or any(len(row) != texts for row in rows):
        raise MinibertError("the answers must be about the same test texts in every seed, at least one: train again.")
    return _drawn_texts(texts) @ np.array(rows, dtype=float).T / texts


@cache
def _drawn_texts(texts: int) -> NDArray[np.float64]:
    """(DRAWS, texts): how often each text is drawn, when as many are drawn as there are."""
    drawn = np.random.default_rng(0).integers(texts, size=(DRAWS, texts)) + texts * np.arange(DRAWS)[:, None]
    return np.bincount(drawn.ravel(), minlength=DRAWS * texts).reshape(DRAWS, texts).astype(float)
