"""The parts of sentences: commas, plurals and signs."""

from __future__ import annotations

import pytest

from minibert.words import are, counted, listed, signed


@pytest.mark.parametrize(
    ("items", "expected"),
    [([], ""), (["a"], "a"), (("a", "b"), "a and b"), ("abc", "a, b and c"), ([1, 20, 3], "1, 20 and 3")],
)
def test_items_are_listed_with_one_and(items, expected):
    assert listed(items) == expected


def test_another_word_may_stand_before_the_last_item():
    assert listed(["D1", "D2", "A1"], last="or") == "D1, D2 or A1"
    assert listed((name for name in ("D1",)), last="or") == "D1"


def test_a_noun_agrees_with_its_number():
    assert [counted(n, "seed") for n in (0, 1, 2, 3000)] == ["0 seeds", "1 seed", "2 seeds", "3,000 seeds"]
    assert [are(n) for n in (0, 1, 2)] == ["are", "is", "are"]
    assert [counted(n, "class", "classes") for n in (1, 2)] == ["1 class", "2 classes"]


@pytest.mark.parametrize(
    ("value", "digits", "expected"),
    [(1.25, 1, "+1.2"), (-1.26, 1, "−1.3"), (-0.04, 1, "+0.0"), (0.0, 2, "+0.00"), (-2, 3, "−2.000")],
)
def test_a_number_has_its_sign_and_nothing_has_no_minus(value, digits, expected):
    assert signed(value, digits) == expected
