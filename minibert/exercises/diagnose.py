"""Which known mistake explains an answer: the one whose reference gives the same outcomes.

The knobs of the reference are set to their wrong values, first one at a time and then two, until it gives the same
outcomes as the answer. So a mistake is never guessed from how the code looks: it is named only if it reproduces every
outcome and no other mistake does.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import cache, lru_cache
from itertools import combinations
from typing import Any

from minibert.exercises.calls import Outcome, make_call
from minibert.exercises.compare import distance, seen
from minibert.exercises.declare import Exercise, Mistake, probes_of


def turned(exercise: Exercise, *mistakes: Mistake) -> Callable[..., Any]:
    """The reference with these mistakes built in."""
    knobs = {mistake.knob: mistake.value for mistake in mistakes}
    return lambda *args, **kwargs: exercise.reference(*args, **kwargs, **knobs)


def outcomes(exercise: Exercise, function: Callable[..., Any]) -> Iterator[Outcome]:
    """The seen outcome of the function for each probe, one after another."""
    return (seen(exercise, make_call(function, probe.call)) for probe in probes_of(exercise))


@cache
def right_outcomes(exercise: Exercise) -> tuple[Outcome, ...]:
    """The outcomes of the reference."""
    return tuple(outcomes(exercise, exercise.reference))


@lru_cache(maxsize=20_000)
def mistaken(exercise: Exercise, mistakes: tuple[Mistake, ...], probe: int) -> Outcome:
    """The outcome of the reference with these mistakes for one probe."""
    return seen(exercise, make_call(turned(exercise, *mistakes), probes_of(exercise)[probe].call))


def diagnose(exercise: Exercise, found: Sequence[Outcome]) -> tuple[Mistake, ...]:
    """The mistake, or the two mistakes, that explain all outcomes; none if nothing explains them, or several do.

    found: the answer's outcome for each probe.
    """
    for candidates in _explanations(exercise):
        ranked = sorted((_apart(exercise, found, mistakes), i) for i, mistakes in enumerate(candidates))
        if ranked and ranked[0][0] <= exercise.tolerance:
            best, runner_up = ranked[0][0], ranked[1][0] if len(ranked) > 1 else math.inf
            clear = runner_up > max(3 * best, exercise.tolerance) or len(candidates[0]) > 1
            return candidates[ranked[0][1]] if clear else ()
    return ()


def diagnose_one(exercise: Exercise, probe: int, found: Sequence[Outcome], wrong: Sequence[int]) -> tuple[Mistake, ...]:
    """The only explanation, of one mistake or of two, for the outcome of one probe; none if there are several.

    For answers that are also wrong in another way. wrong: the numbers of the probes that the answer fails. For each
    probe that the answer passes, the explanation must give the same outcome too, or an exception (which the answer may
    avoid because it is written differently).
    """

    def agrees(mistakes: tuple[Mistake, ...], number: int) -> bool:
        theirs = mistaken(exercise, mistakes, number)
        stops = number not in wrong and theirs.problem is not None
        return stops or distance(found[number], theirs, exercise) <= exercise.tolerance

    asked = [probe, *(number for number in range(len(found)) if number not in wrong)]
    for candidates in _explanations(exercise):
        fitting = [mistakes for mistakes in candidates if all(agrees(mistakes, number) for number in asked)]
        if fitting:
            return fitting[0] if len(fitting) == 1 else ()
    return ()


def _explanations(exercise: Exercise) -> Iterator[list[tuple[Mistake, ...]]]:
    """All single mistakes, then all pairs of mistakes of different knobs."""
    yield [(mistake,) for mistake in exercise.mistakes]
    yield [pair for pair in combinations(exercise.mistakes, 2) if pair[0].knob != pair[1].knob]


def _apart(exercise: Exercise, found: Sequence[Outcome], mistakes: tuple[Mistake, ...]) -> float:
    """The largest distance over the probes; inf as soon as one probe rules the mistakes out."""
    worst = 0.0
    for probe, mine in enumerate(found):
        worst = max(worst, distance(mine, mistaken(exercise, mistakes, probe), exercise))
        if worst > 10 * exercise.tolerance:
            return math.inf
    return worst


def said_of(mistakes: Sequence[Mistake]) -> str:
    """The mistakes in words; empty if there are none."""
    if not mistakes:
        return ""
    each = [f"{_sentence(mistake.says)}: {mistake.effect}." for mistake in mistakes]
    return each[0] if len(each) == 1 else f"There are two mistakes. First: {each[0]} Second: {each[1]}"


def _sentence(text: str) -> str:
    """With a capital letter; but q, k and x are names and stay as they are."""
    return text if text[1:2] == " " and text[0] not in "aA" else text[0].upper() + text[1:]
