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


def middle(draws: NDArray[np.float64]) -> tuple[float, float]:
    """The two ends of the interval in which the middle 95% of the draws lie."""
    low, high = np.quantile(draws, (0.025, 0.975))
    return float(low), float(high)


def _by_seed(rows: Sequence[ArrayLike]) -> NDArray[np.float64]:
    """(seeds, texts): 1 where a seed's model is right about a text, 0 where it is wrong."""
    arrays = [np.asarray(row, dtype=float) for row in rows]
    if not arrays[0].size or any(array.shape != arrays[0].shape for array in arrays):
        raise MinibertError("every seed must have answers to the same test texts, at least one: train again.")
    return np.stack(arrays)


def _drawn_accuracy(answers: NDArray[np.float64], stream: int = 0) -> NDArray[np.float64]:
    """(DRAWS, seeds): the mean of each seed's answers over the test texts of each draw; answers: (seeds, texts).

    stream: a number for other draws, for other texts.
    """
    texts = answers.shape[1]
    sums = _drawn_texts(texts, stream) @ answers.T.astype(np.float32)  # of whole numbers, so they are exact
    return sums.astype(np.float64) / texts


@lru_cache(maxsize=8)  # as many as there are tasks, and some: each takes ten megabytes, and longer to make than to use
def _drawn_texts(texts: int, stream: int = 0) -> NDArray[np.float32]:
    """(DRAWS, texts): how often each text is drawn, when as many texts are drawn as there are."""
    generator = np.random.default_rng((stream, 0) if stream else 0)
    drawn = generator.integers(texts, size=(DRAWS, texts)) + texts * np.arange(DRAWS)[:, None]
    return np.bincount(drawn.ravel(), minlength=DRAWS * texts).reshape(DRAWS, texts).astype(np.float32)


# ------------------------------------------------------------------------------------- over seeds, texts and tasks

Runs = Sequence[Mapping[str, Any]]  # a model fine-tuned on one task: a dict per seed, as finetuning.fine_tune returns


class Kept(NamedTuple):
    """What a student keeps of its teacher: of its score, and of what its score is above that of guessing."""

    share: Spread
    of_gap: Spread


def kept(student: Sequence[Runs], teacher: Sequence[Runs]) -> Kept:
    """What a student keeps on some tasks, with 95% intervals by resampling seeds and test texts.

    student, teacher: for each task the figures of every seed: "score", "guess", and the answers, which are "right" (a
    string with 0 or 1 for each text) or "counts" (see `_drawn_scores`). On a task, a model has the median score of its
    seeds. The share is the mean of the student's medians divided by the mean of the teacher's, so of one task, or of
    the macro average of several, as Sanh et al. 2019 report it (Table 1).

    Both models answer the same texts, and a seed gives both the same texts to train on, so texts and seeds are drawn
    for both together; for all tasks the same seeds, because a seed's student is the same one on every task. Source of
    the method: Efron & Tibshirani 1993, chapters 8 and 13. Raises MinibertError when there is no task, when the two do
    not have the same tasks, seeds and texts, or when the teacher is not above guessing.
    """
    if not student or len(student) != len(teacher):
        raise MinibertError(
            "student and teacher must have been fine-tuned on the same tasks: give one or more of both."
        )
    if any(_texts(a) != _texts(b) for a, b in zip(student, teacher, strict=True)):
        raise MinibertError("student and teacher must have the same seeds and the same test texts: test both again.")
    guess = fmean(task[0]["guess"] for task in teacher)
    ours, theirs = (fmean(median_score(task) for task in model) for model in (student, teacher))
    if theirs <= guess:
        raise MinibertError("the teacher is no better than guessing, so there is nothing to keep: train it for longer.")
    drawn_ours, drawn_theirs = (_drawn_medians(model) for model in (student, teacher))
    above = drawn_theirs > guess  # in the others there is no gap
    some_ours, some_theirs = drawn_ours[above], drawn_theirs[above]
    return Kept(
        Spread(ours / theirs, *middle(some_ours / some_theirs)),
        Spread((ours - guess) / (theirs - guess), *middle((some_ours - guess) / (some_theirs - guess))),
    )


def median_score(runs: Runs) -> float:
    """The median score of a model's seeds on a task."""
    return float(np.median([seed["score"] for seed in runs]))


def _texts(runs: Runs) -> list[int]:
    """How many test texts the model of each seed answered."""
    return [
        len(next(iter(seed["counts"].values()))["true"]) if "counts" in seed else len(seed["right"]) for seed in runs
    ]


def _drawn_medians(tasks: Sequence[Runs]) -> NDArray[np.float64]:
    """(DRAWS,): a model's median score over drawn seeds, on drawn texts, averaged over the tasks."""
    medians = []
    for number, runs in enumerate(tasks):
        scores = _drawn_scores(runs, number)
        picked = np.random.default_rng(1).integers(scores.shape[1], size=scores.shape)
        medians.append(np.median(np.take_along_axis(scores, picked, axis=1), axis=1))
    return np.mean(medians, axis=0)


def _drawn_scores(runs: Runs, stream: int) -> NDArray[np.float64]:
    """(DRAWS, seeds): the score of each seed's model on the test texts of each draw. stream: another one, other texts.

    A score is the share of "right" answers, or the macro F1 of "counts": of each thing that is looked for, how often
    in each text it was rightly said ("hits"), said at all ("said"), and "true".
    """
    if "counts" not in runs[0]:
        return _drawn_accuracy(_by_seed([[one == "1" for one in seed["right"]] for seed in runs]), stream)
    scores = []
    for name in runs[0]["counts"]:
        hits, said, true = (
            _drawn_accuracy(_by_seed([seed["counts"][name][of] for seed in runs]), stream)
            for of in ("hits", "said", "true")
        )
        scores.append(2 * hits / np.maximum(said + true, 1e-12))
    return np.mean(scores, axis=0)
