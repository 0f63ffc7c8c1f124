"""What a few seeds and a finite test set can say: means, and the intervals around them.

The cells of an experiment are its figures by variant, one dict per seed: see `grid.run`. Variants are compared seed by
seed, because one seed draws the same texts and the same initial weights for all of them. A student is compared with its
teacher text by text, because both answer the same texts.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from statistics import fmean, stdev
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from minibert.errors import MinibertError

Cells = Mapping[str, Sequence[Mapping[str, Any]]]

# Student's t for a 95% interval from 2, 3, ... 10 seeds; more seeds use the last one, which is then a little too wide.
STUDENT_T = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)
NORMAL = 1.959964  # standard deviations within which 95% of a normal distribution lie
DRAWS = 2000


class Spread(NamedTuple):
    """A mean with its 95% interval, which is infinite if there is only one seed."""

    mean: float
    low: float
    high: float

    @property
    def is_above(self) -> bool:
        """Whether it is more than zero, beyond the spread."""
        return self.low > 0

    @property
    def is_below(self) -> bool:
        """Whether it is less than zero, beyond the spread."""
        return self.high < 0

    def times(self, factor: float) -> Spread:
        """The same in another unit; a negative factor swaps the ends."""
        low, high = sorted((factor * self.low, factor * self.high))
        return Spread(factor * self.mean, low, high)

    def named(self, name: str) -> dict[str, float]:
        """The mean with this name, "low" and "high", as a record stores them."""
        return {name: self.mean, "low": self.low, "high": self.high}


# ------------------------------------------------------------------------------------------------ over the seeds


def values(cells: Cells, variant: str, measure: str) -> list[float]:
    """One value of a variant for each seed."""
    return [seed[measure] for seed in cells[variant]]


def mean(cells: Cells, variant: str, measure: str) -> float:
    """The mean of the seeds."""
    return fmean(values(cells, variant, measure))


def differences(cells: Cells, measure: str, first: str, second: str) -> list[float]:
    """How much larger a measure is in the first variant than in the second, for each seed that both have."""
    pairs = zip(values(cells, first, measure), values(cells, second, measure), strict=False)
    return [a - b for a, b in pairs]


def difference(cells: Cells, measure: str, first: str, second: str) -> Spread:
    """The mean of the differences, seed by seed, with its interval."""
    return over_seeds(differences(cells, measure, first, second))


def over_seeds(of_seeds: Sequence[float]) -> Spread:
    """The mean of one value per seed, and its 95% interval by Student's t."""
    centre = fmean(of_seeds)
    if len(of_seeds) < 2:
        return Spread(centre, -math.inf, math.inf)
    t = STUDENT_T[min(len(of_seeds) - 2, len(STUDENT_T) - 1)]
    half = t * stdev(of_seeds) / math.sqrt(len(of_seeds))
    return Spread(centre, centre - half, centre + half)


# ------------------------------------------------------------------------------------------------ over the test texts


def share_right(right: ArrayLike) -> Spread:
    """The share of right answers, and its 95% interval, the values that the test texts do not rule out.

    right: (texts,) booleans. Source of the interval: Wilson 1927.
    """
    answers = np.asarray(right, dtype=float)
    texts, share, z = len(answers), float(answers.mean()), NORMAL
    centre = (share + z * z / (2 * texts)) / (1 + z * z / texts)
    half = z / (1 + z * z / texts) * math.sqrt(share * (1 - share) / texts + z * z / (4 * texts * texts))
    return Spread(share, centre - half, centre + half)


def share_kept(student: ArrayLike, teacher: ArrayLike) -> Spread:
    """One student's accuracy divided by its teacher's, and its 95% interval by resampling the test texts.

    student, teacher: (texts,) booleans, right or wrong, for the same texts. Raises MinibertError when there are no
    texts, when the two differ in number, or when the teacher is never right.
    """
    of_student, of_teacher = _by_seed([student]), _by_seed([teacher])
    if of_student.shape != of_teacher.shape:
        raise MinibertError("student and teacher must have answered the same test texts: test both again.")
    if not of_teacher.any():
        raise MinibertError("the teacher is wrong about every text, so there is nothing to keep: train it for longer.")
    with np.errstate(divide="ignore", invalid="ignore"):
        drawn = (_drawn_accuracy(of_student) / _drawn_accuracy(of_teacher))[:, 0]
    return Spread(float(of_student.mean() / of_teacher.mean()), *middle(drawn[np.isfinite(drawn)]))


def mean_retention(cells: Cells, student: str, teacher: str) -> float:
    """The student's accuracy divided by the teacher's, the mean over the seeds."""
    pairs = zip(values(cells, student, "accuracy"), values(cells, teacher, "accuracy"), strict=True)
    return fmean(of_student / of_teacher for of_student, of_teacher in pairs)


def retention(cells: Cells, student: str, teacher: str) -> Spread:
    """The same mean with its 95% interval, by resampling seeds and test texts."""
    return Spread(mean_retention(cells, student, teacher), *middle(retention_draws(cells, student, teacher)))


def retention_draws(cells: Cells, student: str, teacher: str) -> NDArray[np.float64]:
    """The student's accuracy divided by the teacher's, (DRAWS,), each time with resampled seeds and test texts.

    Within a seed, student and teacher answer the same texts, so they are drawn together. All students get the same
    draws, so that two arrays can be subtracted. Source of the method: Efron & Tibshirani 1993, chapters 8 and 13.
    """
    ratios = _drawn_accuracy(_answers(cells[student])) / _drawn_accuracy(_answers(cells[teacher]))
    picked = np.random.default_rng(1).integers(ratios.shape[1], size=ratios.shape)
    return np.take_along_axis(ratios, picked, axis=1).mean(axis=1)


def middle(draws: NDArray[np.float64]) -> tuple[float, float]:
    """The two ends of the interval in which the middle 95% of the draws lie."""
    low, high = np.quantile(draws, (0.025, 0.975))
    return float(low), float(high)


def _answers(seeds: Sequence[Mapping[str, Any]]) -> NDArray[np.float64]:
    return _by_seed([[one == "1" for one in seed["right"]] for seed in seeds])


def _by_seed(rows: Sequence[ArrayLike]) -> NDArray[np.float64]:
    """(seeds, texts): 1 where a seed's model is right about a text, 0 where it is wrong."""
    arrays = [np.asarray(row, dtype=float) for row in rows]
    if not arrays[0].size or any(array.shape != arrays[0].shape for array in arrays):
        raise MinibertError("every seed must have answers to the same test texts, at least one: train again.")
    return np.stack(arrays)


def _drawn_accuracy(answers: NDArray[np.float64]) -> NDArray[np.float64]:
    """(DRAWS, seeds): the accuracy of each seed's model on the test texts of each draw; answers: (seeds, texts)."""
    texts = answers.shape[1]
    return _drawn_texts(texts) @ answers.T / texts


@lru_cache(maxsize=1)
def _drawn_texts(texts: int) -> NDArray[np.float64]:
    """(DRAWS, texts): how often each text is drawn, when as many texts are drawn as there are."""
    drawn = np.random.default_rng(0).integers(texts, size=(DRAWS, texts)) + texts * np.arange(DRAWS)[:, None]
    return np.bincount(drawn.ravel(), minlength=DRAWS * texts).reshape(DRAWS, texts).astype(float)
