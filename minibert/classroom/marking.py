"""Marking one submission: its code runs in a box, and its marks are decided here.

Only arrays and texts come out of the box (see replies.py). They are compared on this side, with hidden probes. Whatever
goes wrong with one exercise costs that exercise only, and whatever goes wrong with the file becomes a sentence.
"""

from __future__ import annotations

import difflib
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from minibert.classroom import isolation
from minibert.classroom.hidden import hidden
from minibert.classroom.learner import Learner
from minibert.classroom.replies import clean
from minibert.errors import nearest
from minibert.exercises import swap
from minibert.exercises.calls import Call, Failed, Outcome, Problem
from minibert.exercises.catalogue import exercises
from minibert.exercises.check import evaluate
from minibert.exercises.declare import Exercise
from minibert.exercises.submissions import Submission, Unreadable, content_of

ALIKE = 0.8  # from which on a name is taken for a misspelt one, as difflib measures it
NOT_READ, ERROR, NOT_ATTEMPTED = "not read", "error", "not attempted"


@dataclass
class Mark:
    """One exercise of one submission.

    status: as in Result, where "not attempted" is also that of a file that does not define the function; or "not read"
    if the file, or what may define it, could not be read, "error" if it could not be marked. stages: of the check, in
    a line. hints: for its author, in their order.
    """

    exercise: str
    status: str
    score: float
    max_score: float
    text: str
    mistakes: tuple[str, ...] = ()
    stages: str = ""
    hints: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self.text, self.mistakes = clean(self.text), tuple(self.mistakes)
        self.hints = tuple(map(clean, self.hints))


@dataclass
class Marked:
    """The marks of a submission. problems: what was not read, left out, or failed. protections: which ones were on.

    twin: equal for submissions whose functions differ only in names, comments and layout. functions: how many it has.
    """

    name: str
    marks: list[Mark]
    seconds: float
    problems: list[str] = field(default_factory=list)
    protections: Mapping[str, bool] = field(default_factory=dict)
    twin: str = ""
    functions: int = 0

    @property
    def score(self) -> float:
        return round(sum(mark.score for mark in self.marks), 2)

    @property
    def max_score(self) -> float:
        return round(sum(mark.max_score for mark in self.marks), 2)


@dataclass
class Course:
    """How marking one file goes on; used to report it, and to go on after a process has ended in the middle of it.

    done: marks that need not be decided again. failed: exercise -> why it is not tried again. begins: called with the
    name of each exercise before it is marked; ends: called with its mark. until: when `time.monotonic()` is past it, no
    further exercise is begun.
    """

    done: Mapping[str, Mark] = field(default_factory=dict)
    failed: Mapping[str, str] = field(default_factory=dict)
    begins: Callable[[str], object] = lambda name: None
    ends: Callable[[Mark], object] = lambda mark: None
    until: float = float("inf")


def mark(
    path: str | Path,
    names: Sequence[str],
    limits: isolation.Limits,
    seed: int,
    with_swap: bool = True,
    course: Course | None = None,
) -> Marked:
    """Mark one file; its content never raises. names: of the exercises that count. seed: of the hidden probes."""
    path = Path(path)
    try:
        return mark_content(path.name, content_of(path, follow=False), names, limits, seed, with_swap, course)
    except Unreadable as error:
        return unread(path.name, names, str(error))


def mark_content(
    name: str,
    content: bytes,
    names: Sequence[str],
    limits: isolation.Limits,
    seed: int,
    with_swap: bool = True,
    course: Course | None = None,
) -> Marked:
    """Mark what a file of this name holds, which may be a zip of several."""
    torch.set_num_threads(1)
    began = time.monotonic()
    with Learner(limits) as learner:
        try:
            parts = learner.read(name, content)
        except Unreadable as error:
            found = unread(name, names, str(error))
            found.protections = learner.protections
            return found
        marked = [_mark_part(learner, parts[0], names, seed, with_swap, course or Course())]
    for part in parts[1:]:
        with Learner(limits) as learner:
            marked.append(_mark_part(learner, part, names, seed, with_swap, course or Course()))
    whole = best_of(marked) if len(marked) > 1 else marked[0]
    whole.name, whole.seconds = name, time.monotonic() - began
    return whole


def _mark_part(
    learner: Learner, part: Submission, names: Sequence[str], seed: int, with_swap: bool, course: Course
) -> Marked:
    learner.run(part)
    marks = []
    for name in names:
        course.begins(name)
        if name in course.done:
            found = course.done[name]
        elif name in course.failed:
            found = failed(name, course.failed[name])
        elif time.monotonic() > course.until:
            found = failed(name, "there was no time left for it")
        else:
            found = _mark_one(learner, name, seed, with_swap)
        marks.append(found)
        course.ends(found)
    problems = learner.said()
    absent = [exercises()[one.exercise] for one in marks if one.status == NOT_ATTEMPTED]
    problems += misspelt(part.names & (learner.defined or part.names), absent)
    if part.borrowed:
        problems.append(f"uses the library: {', '.join(sorted(part.borrowed)[:20])}")
    return Marked(part.name, marks, 0.0, problems, learner.protections, part.twin, part.functions)


def _mark_one(learner: Learner, name: str, seed: int, with_swap: bool) -> Mark:
    """One exercise. Whatever happens, there is a mark: an error of ours must not stop the others."""
    learner.next_exercise()
    try:
        return _decided(learner, hidden(name, seed), with_swap)
    except Exception as error:
        return failed(name, f"{type(error).__name__}: {clean(str(error), 200)}")


def _decided(learner: Learner, exercise: Exercise, with_swap: bool) -> Mark:
    submission = learner.submission
    known = [one for one in exercise.names if one in learner.defined]
    known += [one for one in exercise.names if one in submission.names]
    if not known:
        return missing(exercise, submission)
    name = known[0]
    reached: list[Problem] = []

    def ask(call: Call) -> Outcome:
        outcome = learner.call(name, call)
        if outcome.problem is not None:
            reached.append(outcome.problem)
        return outcome

    def in_model() -> str | None:
        learner.next_exercise()
        return swap.trial(exercise, lambda *args, **how: _returned(learner.call(name, Call(args, how), True))).trouble

    result = evaluate(exercise, ask, in_model if with_swap and exercise.swap else None)
    borrowed = sorted(submission.borrowed)
    took = next((p for p in reached if p.type in ("UsesReference", "NameError", "KeyError")), None)
    if not result.passed and borrowed and took is not None:
        text = f"This uses the library's own code ({', '.join(borrowed[:20])}): the exercise is to write it yourself."
        return Mark(exercise.name, "reference", 0.0, result.max_score, text)
    text = result.diagnosis or ("" if result.passed else "It does not pass.")
    hints = tuple(result.hints) if result.status == "failed" else ()
    return Mark(exercise.name, result.status, result.score, result.max_score, text, result.mistakes, result.line, hints)


def _returned(outcome: Outcome) -> Any:
    """The output of a call. Raises Failed with its problem."""
    if outcome.problem is not None:
        raise Failed(outcome.problem)
    return outcome.output


# ------------------------------------------------------------------------------------- marks without a call


def most(name: str) -> float:
    return sum(exercises()[name].stages.values())


def missing(exercise: Exercise, submission: Submission) -> Mark:
    """The mark of an exercise whose function is not in a file, or in a part of it that could not be read."""
    if submission.broken:
        text = f"No function `{exercise.function}` was found, and not all of the file is Python."
        return Mark(exercise.name, NOT_READ, 0.0, most(exercise.name), text)
    text = f"The file defines no function `{exercise.function}`."
    return Mark(exercise.name, NOT_ATTEMPTED, 0.0, most(exercise.name), text)


def misspelt(names: Iterable[str], absent: Sequence[Exercise], alike: float = ALIKE) -> list[str]:
    """A sentence for each name that looks like that of a function that is not there.

    names: those that a file defines. absent: the exercises that it does not answer. alike: how much, from 0 to 1.
    """
    functions = [one.function for one in absent]
    own = {name for one in exercises().values() for name in one.names}
    found = []
    for name in sorted({*names} - own):
        plain = name.casefold().removeprefix("my_")
        if difflib.get_close_matches(plain, functions, n=1, cutoff=alike):
            found.append(f"{name}: {nearest(plain, functions)}")
    return found


def failed(name: str, why: str) -> Mark:
    """The mark of an exercise that could not be marked."""
    return Mark(name, ERROR, 0.0, most(name), f"It could not be marked ({why}): ask your teacher to look at it.")


def unread(label: str, names: Iterable[str], why: str) -> Marked:
    """The marks of a file that could not be read, or of nothing at all."""
    why = clean(why, 300)
    marks = [Mark(name, NOT_READ, 0.0, most(name), "Nothing was handed in that can be read.") for name in names]
    return Marked(label, marks, 0.0, [why])


def best_of(marked: Sequence[Marked]) -> Marked:
    """Several files of one student as one: the best mark of each exercise."""

    def rank(mark: Mark) -> tuple[float, bool]:
        return mark.score, mark.status not in (NOT_ATTEMPTED, NOT_READ)

    marks = [max(of_one, key=rank) for of_one in zip(*(one.marks for one in marked), strict=True)]
    problems = [f"{one.name}: {problem}" for one in marked for problem in one.problems]
    name = ", ".join(one.name for one in marked)
    ran = next((one.protections for one in marked if one.protections), {})
    largest = max(marked, key=lambda one: one.functions)
    return Marked(name, marks, sum(one.seconds for one in marked), problems, ran, largest.twin, largest.functions)
