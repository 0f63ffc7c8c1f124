"""What explains an answer: the mistakes with which the reference gives the same outcomes.

The knobs of the reference are set to their wrong values, and its arguments and its result are edited (see edits.py),
one at a time, then two, then up to five, until it gives the same outcomes as the answer. So a mistake is never guessed
from how the code looks: it is named only if it reproduces what the answer does. `causes.py` has other ways to find a
cause, for answers that nothing here explains.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cache, lru_cache
from itertools import combinations
from typing import Any, NamedTuple

import torch
from torch import Tensor

from minibert.exercises.calls import Call, Outcome, make_call, problem_of
from minibert.exercises.compare import distance, gap, seen
from minibert.exercises.declare import DOUBT, ERROR, Exercise, Mistake, Probe, probes_of
from minibert.exercises.edits import Edit, edited, edits_of

Idea = Mistake | Edit
Ideas = tuple[Idea, ...]
LOW = -1e4  # a score below this is that of something hidden
WIDTH, MOST = 6, 5  # of the search for three and more mistakes: ideas that are followed, mistakes at once


class Explanation(NamedTuple):
    """Mistakes that explain an answer. whole: all that is wrong. probes: the wrong outcomes that they explain.

    values_only: they explain the values, but not the gradients or what was changed in place.
    """

    ideas: Ideas
    whole: bool
    probes: tuple[int, ...]
    values_only: bool = False


NOTHING = Explanation((), False, ())


def turned(exercise: Exercise, *ideas: Idea) -> Callable[..., Any]:
    """The reference with these mistakes built in."""
    knobs = {idea.knob: idea.value for idea in ideas if isinstance(idea, Mistake)}
    return edited(exercise, [idea for idea in ideas if isinstance(idea, Edit)], knobs)


# -------------------------------------------------------------------------------------------------- outcomes


def looked_at(exercise: Exercise, probe: Probe, ask: Callable[[Call], Outcome], always: bool = False) -> Outcome:
    """The seen outcome of a probe. Its further calls are made if the first leaves doubt, or always."""
    outcome = ask(probe.call)
    if not probe.more or outcome.problem is not None or not isinstance(outcome.output, (list, tuple)):
        return seen(exercise, probe, outcome)
    if not always:
        first = seen(exercise, probe, outcome, DOUBT)
        right = right_outcomes(exercise)[probes_of(exercise).index(probe)]
        if first.output is outcome.output or gap(first.output, right.output) <= exercise.exactness:
            return seen(exercise, probe, outcome)
    for call in probe.more:
        further = ask(call)
        if further.problem is not None or not isinstance(further.output, (list, tuple)):
            return further
        outcome = replace(outcome, output=[*outcome.output, *further.output])
    return seen(exercise, probe, outcome, ERROR)


def outcomes(exercise: Exercise, function: Callable[..., Any]) -> Iterator[Outcome]:
    """The seen outcome of the function for each probe, one after another."""
    return (
        looked_at(exercise, probe, lambda call: make_call(function, call), always=True) for probe in probes_of(exercise)
    )


@cache
def right_outcomes(exercise: Exercise) -> tuple[Outcome, ...]:
    """The outcomes of the reference."""
    return tuple(outcomes(exercise, exercise.reference))


@lru_cache(maxsize=50_000)
def mistaken(exercise: Exercise, ideas: Ideas, probe: int) -> Outcome:
    """The outcome of the reference with these mistakes for one probe."""
    function = turned(exercise, *ideas)
    return looked_at(exercise, probes_of(exercise)[probe], lambda call: make_call(function, call), len(ideas) < 2)


@lru_cache(maxsize=100_000)
def values_of(exercise: Exercise, ideas: Ideas, probe: int) -> Outcome:
    """Only the output of the reference with these mistakes, without its gradients: most ideas are ruled out by that."""
    call = probes_of(exercise)[probe].call
    if exercise.view is not None or call.reduce or not _plain(call.args):
        return mistaken(exercise, ideas, probe)
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(call.seed)  # torch.manual_seed also asks all devices, which is slow
            args = (dict(value) if isinstance(value, dict) else value for value in call.args)
            return Outcome(turned(exercise, *ideas)(*args, **call.kwargs))
    except Exception as error:
        return Outcome(problem=problem_of(error))


def _plain(value: Any) -> bool:
    """Whether references leave this argument unchanged: tensors, numbers and texts, but no lists and no generators."""
    if isinstance(value, dict):
        return all(isinstance(one, Tensor) for one in value.values())
    if isinstance(value, tuple):
        return all(map(_plain, value))
    return value is None or isinstance(value, (Tensor, int, float, str))


# ------------------------------------------------------------------------------------------------ the search


class Search:
    """The search for what explains one answer.

    found: its seen outcome for each probe. wrong: the numbers of the probes whose output is wrong.
    """

    def __init__(self, exercise: Exercise, found: Sequence[Outcome], wrong: Sequence[int]):
        self.exercise = exercise
        self.found = found
        self.wrong = list(wrong)
        self.right = [number for number in range(len(found)) if number not in wrong]
        self.values = [number for number in wrong if found[number].problem is None]  # wrong, but not stopped
        self.knobs: list[Ideas] = [(mistake,) for mistake in exercise.mistakes]
        self.edits: list[Ideas] = [(edit,) for edit in edits_of(exercise)]
        self.low = [number for number, outcome in enumerate(found) if _floored(outcome) is not outcome]
        # The probes that rule most out come first, but those with many calls last.
        order = [*self.values, *(n for n in self.wrong if n not in self.values), *self.right]
        self.order = sorted(order, key=lambda n: bool(probes_of(exercise)[n].more))

    def explain(self) -> Explanation:
        """The simplest explanation, of the whole if there is one, else of some probes; NOTHING if there is none."""
        with warnings.catch_warnings():  # of torch, about what the mistakes do
            warnings.simplefilter("ignore")
            return self._explain()

    def _explain(self) -> Explanation:
        for values_only in (False, True) if self.wrong else (False,):
            for candidates in (self.knobs, self.edits):
                if found := self._whole(candidates, values_only):
                    if values_only and (both := self._whole(self._with(found[0]), False)):
                        return Explanation(both, True, tuple(self.wrong))
                    return Explanation(found, True, tuple(self.wrong), values_only)
        if not self.values and self.wrong:
            return NOTHING  # it only stops: two mistakes, or a part of the probes, would prove nothing
        for values_only in (False, True) if self.wrong else (False,):
            for pairs in (self.pairs(), self.mixed() if self.values == self.wrong else []):
                found = self._whole(pairs, values_only)
                if found and self._stops_alone(found):
                    return Explanation(found, True, tuple(self.wrong), values_only)
        if found := self._many():
            return Explanation(found, True, tuple(self.wrong), values_only=True)
        return self._partly()

    def _with(self, idea: Idea) -> list[Ideas]:
        """The idea with each known mistake, one of which may explain the gradients or what was changed in place."""
        return [(idea, mistake) for (mistake,) in self.knobs if mistake.knob != idea.knob]

    def pairs(self) -> list[Ideas]:
        if self.exercise.view is not None and 0 in self.right:
            return []  # the structure is right, and each statistic speaks for itself
        return [pair for pair in combinations(self.exercise.mistakes, 2) if pair[0].knob != pair[1].knob]

    def mixed(self) -> list[Ideas]:
        """A known mistake and an edit. Only for tensors: a number alone is soon explained by chance."""
        if not any(isinstance(self.found[n].output, Tensor) and self.found[n].output.numel() > 8 for n in self.values):
            return []
        right = right_outcomes(self.exercise)
        same = all(
            getattr(self.found[n].output, "shape", None) == getattr(right[n].output, "shape", None) for n in self.values
        )
        edits = [edit for (edit,) in self.edits if not edit.alone and not (same and edit.reshapes)]
        return [(mistake, edit) for (mistake,) in self.knobs for edit in edits]  # type: ignore

    def _stops_alone(self, pair: Ideas) -> bool:
        """Whether what stops the answer is one of the two mistakes, and not only both together."""
        return all(
            any(self._distance((idea,), number, values_only=True) == 0.0 for idea in pair)
            for number in self.wrong
            if number not in self.values
        )

    def _whole(self, candidates: Sequence[Ideas], values_only: bool) -> Ideas | None:
        """The candidate that comes nearest, if it explains all outcomes and no other comes as near."""
        ranked = sorted(
            ((apart, n) for n, ideas in enumerate(candidates) if (apart := self._apart(ideas, values_only)) < math.inf),
        )
        if not ranked or ranked[0][0] > self.exercise.tolerance:
            return None
        best = ranked[0][0]
        as_near = [candidates[n] for apart, n in ranked if apart <= max(3 * best, 1e-9)]
        return candidates[ranked[0][1]] if as_near else None

    def _apart(self, ideas: Ideas, values_only: bool) -> float:
        """The largest distance over the probes; inf as soon as one probe rules the ideas out."""
        worst = 0.0
        for exactly in (False,) if values_only else (False, True):
            for number in self.order:
                worst = max(worst, self._distance(ideas, number, not exactly))
                if worst > self.exercise.tolerance:
                    return math.inf
        return worst

    def _distance(self, ideas: Ideas, number: int, values_only: bool) -> float:
        outcome = (values_of if values_only else mistaken)(self.exercise, ideas, number)
        mine = self.found[number]
        if number in self.low:  # how low a hidden score is does not matter
            mine, outcome = _floored(mine), _floored(outcome)
        return distance(mine, outcome, self.exercise, values_only)

    # ------------------------------------------------------------------------------ three and more mistakes

    def _many(self) -> Ideas | None:
        """Three to five known mistakes, found one after another by how near each brings the reference to the answer."""
        about = [n for n in self.values if isinstance(self.found[n].output, Tensor)][:1]
        if self.exercise.view is not None or not about:
            return None
        best: list[tuple[float, Ideas]] = [(self._far((), about), ())]
        tried: set[frozenset[str]] = set()
        for _ in range(MOST):
            longer = []
            for _, ideas in best:
                for mistake in self.exercise.mistakes:
                    names = frozenset({*(idea.name for idea in ideas), mistake.name})
                    if names in tried or any(idea.knob == mistake.knob for idea in ideas):
                        continue
                    tried.add(names)
                    more = (*ideas, mistake)
                    longer.append((self._far(more, about), more))
            best = sorted(longer, key=lambda one: one[0])[:WIDTH]
            for far, ideas in best:
                if far < 1e-5 and self._apart(ideas, values_only=True) < math.inf:
                    return ideas
        return None

    def _far(self, ideas: Ideas, about: Sequence[int]) -> float:
        """How far the outcomes are apart, as a mean over some probes; 2 where they cannot be compared."""
        far = 0.0
        for number in about:
            mine, theirs = self.found[number].output, values_of(self.exercise, ideas, number)
            if theirs.problem is not None or not isinstance(theirs.output, Tensor) or theirs.output.shape != mine.shape:
                far += 2.0
                continue
            a, b = mine.double(), theirs.output.double()
            size = float(a.norm() + b.norm())
            apart = float((a - b).norm()) / size if size else 0.0
            far += apart if math.isfinite(apart) else 2.0
        return far / len(about)

    # ---------------------------------------------------------------------------------- some of the probes

    def _partly(self) -> Explanation:
        """What explains as many of the wrong outcomes as possible, and contradicts few of the right ones.

        Equal numbers are strong evidence; an edge case that comes out right only shows that the code is written in
        another way. What stops with the same exception counts too, but not alone.
        """
        best = NOTHING
        in_parts = self.exercise.view is None
        values = [n for n in self.values if in_parts or not probes_of(self.exercise)[n].more]
        telling = [n for n in values if self._tells(n)]
        for candidates in (self.knobs, self.edits, self.pairs() if in_parts else []):
            fitting: list[tuple[int, tuple[int, ...], Ideas]] = []
            for ideas in candidates:
                if not any(self._fits(ideas, n) for n in telling[: 2 if len(ideas) > 1 else None]):
                    continue
                explained = tuple(
                    n for n in self.wrong if (n in values or n not in self.values) and self._fits(ideas, n)
                )
                against = sum(not self._allowed(ideas, n) for n in self.right)
                if len(explained) > 2 * against:
                    fitting.append((len(explained) - against, explained, ideas))
            if not fitting:
                continue
            most = max(weight for weight, *_ in fitting)
            first = [(explained, ideas) for weight, explained, ideas in fitting if weight == most]
            # A single outcome that several ideas explain is explained by none.
            if most > len(best.probes) and (most > 1 or len(first) == 1):
                best = Explanation(first[0][1], False, first[0][0], True)
        return best

    def _tells(self, number: int) -> bool:
        """Whether an outcome has enough different numbers not to be met by chance."""
        output = self.found[number].output
        if isinstance(output, Tensor):
            return len(output.unique()) >= (6 if output.dim() else 1) and bool(output.isfinite().all())
        return True

    def _fits(self, ideas: Ideas, number: int) -> bool:
        return self._distance(ideas, number, values_only=True) <= self.exercise.tolerance

    def _allowed(self, ideas: Ideas, number: int) -> bool:
        """Whether a probe that comes out right does so with these mistakes too, or stops, which code may avoid."""
        return values_of(self.exercise, ideas, number).problem is not None or self._fits(ideas, number)


def _floored(outcome: Outcome) -> Outcome:
    """With nothing below LOW in its output; the same object if there is nothing."""
    output = outcome.output
    if not isinstance(output, Tensor) or not output.is_floating_point() or not bool((output < LOW).any()):
        return outcome
    return replace(outcome, output=output.clamp(min=LOW))


def diagnose(exercise: Exercise, found: Sequence[Outcome]) -> Ideas:
    """The mistakes that explain all outcomes; none if nothing does. found: the answer's outcome for each probe."""
    right = right_outcomes(exercise)
    wrong = [n for n, mine in enumerate(found) if distance(mine, right[n], exercise, True) > exercise.exactness]
    explanation = Search(exercise, found, wrong).explain()
    return explanation.ideas if explanation.whole else ()


# ----------------------------------------------------------------------------------------------------- words


def sentences_of(ideas: Sequence[Idea]) -> list[str]:
    """What the mistakes are, a sentence for each, and then their effects."""
    if not ideas:
        return []
    if len(ideas) == 1:
        return [f"{_sentence(ideas[0].says)}: {ideas[0].effect}."]
    numbers = {2: "two", 3: "three", 4: "four", 5: "five"}
    said = "; ".join(f"({number}) {idea.says}" for number, idea in enumerate(ideas, 1))
    effects = [f"({number}) {_sentence(idea.effect)}." for number, idea in enumerate(ideas, 1)]
    return [f"There are {numbers[len(ideas)]} mistakes: {said}.", *effects]


def _sentence(text: str) -> str:
    """With a capital letter; but q, k and x are names and stay as they are."""
    return text if (text[1:2] == " " and text[0] not in "aA") or text[:1] == "`" else text[0].upper() + text[1:]


def as_tensor(value: Any) -> Tensor | None:
    """A tensor or a number as a tensor of float64; None for everything else."""
    if isinstance(value, Tensor):
        return value.double()
    return torch.tensor(float(value), dtype=torch.float64) if type(value) in (int, float) else None
