"""Means and intervals: against theory, against worked examples, and paired as they should be."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from minibert.errors import MinibertError
from minibert.experiments import statistics
from minibert.experiments.statistics import Spread


def answers(right: int, texts: int = 1000, first: int = 0) -> np.ndarray:
    """Right about `right` of the texts, from the text `first` on, round to the beginning; (texts,) booleans."""
    found = np.zeros(texts, dtype=bool)
    found[(first + np.arange(right)) % texts] = True
    return found


# ------------------------------------------------------------------------------------------------ over the seeds


def test_the_interval_over_seeds_is_students():
    spread = statistics.over_seeds([1.0, 2.0, 3.0])
    assert spread == pytest.approx((2.0, 2 - 4.3027 / 3**0.5, 2 + 4.3027 / 3**0.5), abs=1e-3)
    assert statistics.over_seeds([1.0] * 30) == (1.0, 1.0, 1.0)


def test_one_seed_says_nothing_about_the_spread():
    assert statistics.over_seeds([0.5]) == (0.5, -math.inf, math.inf)


def test_variants_are_compared_seed_by_seed():
    cells = {"a": [{"x": 0.5}, {"x": 0.9}], "b": [{"x": 0.4}, {"x": 0.8}]}
    assert statistics.values(cells, "a", "x") == [0.5, 0.9]
    assert statistics.mean(cells, "a", "x") == pytest.approx(0.7)
    assert statistics.differences(cells, "x", "a", "b") == pytest.approx([0.1, 0.1])
    assert statistics.difference(cells, "x", "a", "b") == pytest.approx((0.1, 0.1, 0.1))


def test_a_variant_with_fewer_seeds_is_compared_over_those():
    assert statistics.differences({"a": [{"x": 1}, {"x": 5}], "b": [{"x": 1}]}, "x", "a", "b") == [0]


def test_a_spread_is_above_or_below_zero_only_with_both_its_ends():
    spreads = (Spread(1, 0.5, 1.5), Spread(1, -0.5, 2.5), Spread(-1, -1.5, -0.5))
    assert [(spread.is_above, spread.is_below) for spread in spreads] == [(True, False), (False, False), (False, True)]


def test_a_spread_in_another_unit_keeps_its_ends_in_order():
    assert Spread(1.0, -2.0, 3.0).times(100) == (100, -200, 300)
    assert Spread(1.0, -2.0, 3.0).times(-1) == (-1, -3, 2)
    assert Spread(0.5, 0.25, 0.75).named("share") == {"share": 0.5, "low": 0.25, "high": 0.75}


# ------------------------------------------------------------------------------------------------ over the test texts


def test_the_interval_of_a_share_is_wilsons():
    assert statistics.share_right(torch.arange(100) < 80) == pytest.approx((0.8, 0.7112, 0.8666), abs=1e-4)
    assert statistics.share_right([True] * 10).high == pytest.approx(1)


def test_what_one_student_keeps_is_drawn_text_by_text():
    """A student that is right where its teacher is, and nowhere else, keeps all in every draw."""
    assert statistics.share_kept(answers(80, 100), answers(80, 100)) == (1, 1, 1)
    moved = statistics.share_kept(torch.from_numpy(answers(80, 100, first=10)), answers(80, 100))
    assert moved.mean == 1
    assert 0.8 < moved.low < 0.95 < 1.05 < moved.high < 1.25


def test_one_student_has_the_interval_of_an_experiment_with_one_seed():
    alone = statistics.share_kept(answers(700, first=200), answers(800))
    assert alone == pytest.approx(statistics.kept([[answered(700, first=200)]], [[answered(800)]]).share)


def test_a_teacher_that_is_seldom_right_is_left_out_of_the_draws_without_it():
    kept = statistics.share_kept(answers(1, 4), answers(1, 4))
    assert kept == (1, 1, 1)


def test_there_must_be_something_to_keep():
    with pytest.raises(MinibertError, match="the same test texts"):
        statistics.share_kept(answers(5, 10), answers(5, 9))
    with pytest.raises(MinibertError, match="wrong about every text"):
        statistics.share_kept(answers(5, 10), answers(0, 10))


# --------------------------------------------------------------------------------------- over seeds, texts and tasks


def answered(right: int, texts: int = 1000, first: int = 0, guess: float = 0.5) -> dict:
    """What one seed's model answered."""
    drawn = answers(right, texts, first)
    return {"score": right / texts, "guess": guess, "right": "".join(str(int(one)) for one in drawn)}


def found(hits: list[int], said: list[int], true: list[int]) -> dict:
    """What one seed's model found of one thing that is looked for."""
    return {
        "score": 2 * sum(hits) / (sum(said) + sum(true)),
        "guess": 0.1,
        "counts": {"it": {"hits": hits, "said": said, "true": true}},
    }


def test_texts_are_drawn_for_student_and_teacher_together():
    alike = statistics.kept([[answered(800)] * 3], [[answered(800)] * 3])
    assert alike.share == (1.0, 1.0, 1.0)
    elsewhere = statistics.kept([[answered(800, first=500)] * 3], [[answered(800)] * 3])
    assert elsewhere.share.mean == 1
    assert elsewhere.share.low < 0.98


def test_seeds_are_drawn_too():
    spread = statistics.kept([[answered(right) for right in (600, 700, 800)]], [[answered(800)] * 3]).share
    assert spread.mean == pytest.approx(0.875)
    assert spread.low < 0.79
    assert spread.high > 0.96


def test_a_task_has_the_median_of_its_seeds():
    """800, 500 and 790 of 1,000 are 790: one seed that went wrong does not count."""
    kept = statistics.kept([[answered(right) for right in (800, 500, 790)]], [[answered(1000)] * 3])
    assert kept.share.mean == pytest.approx(0.79)
    assert kept.of_gap.mean == pytest.approx(0.29 / 0.5)
    one_of_nine = [answered(right) for right in (*[800] * 8, 100)]
    assert statistics.kept([one_of_nine], [[answered(1000)] * 9]).share.low > 0.75  # of a mean it would be below 0.6


def test_the_macro_average_is_that_of_the_scores_not_of_the_shares():
    """Student 0.45 and 0.8, teacher 0.5 and 1.0: 1.25 of 1.5. The mean of 90% and 80% would be 85%."""
    student = [[answered(450, guess=0)], [answered(800, guess=0.5)]]
    teacher = [[answered(500, guess=0)], [answered(1000, guess=0.5)]]
    kept = statistics.kept(student, teacher)
    assert kept.share.mean == pytest.approx(1.25 / 1.5)
    assert kept.of_gap.mean == pytest.approx((1.25 - 0.5) / (1.5 - 0.5))


def test_two_tasks_are_not_drawn_alike():
    """The student's and the teacher's errors are the same texts of two tasks; drawn alike, they would add up."""
    one, two = ([[answered(900)]] * tasks for tasks in (1, 2))
    always = [[answered(1000)]], [[answered(1000)]] * 2
    alone, both = (statistics.kept(*pair).share for pair in ((one, always[0]), (two, always[1])))
    assert (both.high - both.low) / (alone.high - alone.low) == pytest.approx(0.5**0.5, rel=0.1)


def test_the_interval_of_retention_is_as_wide_as_theory_says():
    """One seed, a teacher that is always right: the accuracy of 1000 texts, whose standard error is known."""
    spread = statistics.kept([[answered(900)]], [[answered(1000)]]).share
    half = 1.96 * (0.9 * 0.1 / 1000) ** 0.5
    assert (spread.mean - spread.low, spread.high - spread.mean) == pytest.approx((half, half), rel=0.1)
    assert statistics.kept([[answered(900)]], [[answered(1000)]]).share == spread  # the same draws every time


def test_f1_is_drawn_from_the_counts_of_each_text():
    """Four texts, two of them found: F1 = 2 · 2 / (2 + 4). Some draws have none of these two, or only them."""
    student, teacher = found([1, 1, 0, 0], [1, 1, 0, 0], [1] * 4), found([1] * 4, [1] * 4, [1] * 4)
    kept = statistics.kept([[student]], [[teacher]])
    assert kept.share == pytest.approx((2 / 3, 0.0, 1.0))
    assert kept.of_gap.mean == pytest.approx((2 / 3 - 0.1) / 0.9)


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(MinibertError, match="the same test texts"):
        statistics.kept([[answered(5, 10), answered(5, 9)]], [[answered(9, 10), answered(9, 10)]])
    with pytest.raises(MinibertError, match="the same seeds"):
        statistics.kept([[answered(5, 10)]], [[answered(9, 10), answered(9, 10)]])
    with pytest.raises(MinibertError, match="the same tasks"):
        statistics.kept([[answered(5, 10)]], [])
    with pytest.raises(MinibertError, match="no better than guessing"):
        statistics.kept([[answered(5, 10)]], [[answered(5, 10)]])
