"""`minibert.check`: the stages that an answer has to pass, its points, and what is wrong with it.

Each stage needs the ones before it (see STAGES in `declare.py`): the answer can be called, its shapes are right, its
values are right, gradients flow through it, it leaves its arguments unchanged, and it gives the right numbers inside a
real model. If it fails, `diagnose.py` looks for the known mistake, and `compare.py` says where it differs first.

`evaluate` does not call the answer itself: it gets a function that makes a call and returns the outcome. In a notebook
this is `calls.make_call`; when submissions are graded, it asks another process. So both use the same stages.
"""

from __future__ import annotations

import inspect
import math
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

from torch import Tensor

from minibert.errors import MinibertError, nearest
from minibert.exercises import progress, swap
from minibert.exercises.calls import Call, Other, Outcome, Problem, make_call
from minibert.exercises.catalogue import exercises
from minibert.exercises.compare import Difference, differences, seen
from minibert.exercises.declare import TOLERANCE, Exercise, Mistake, Probe, probes_of
from minibert.exercises.diagnose import diagnose, diagnose_one, right_outcomes, said_of

LONGEST = 20.0  # seconds that an answer may take for one call
NOT_REACHED = "not reached"
GONE = ("TimeoutError", "Stopped")  # problems of an answer that did not return

# ---------------------------------------------------------------------------------------------- the result


class Stage(NamedTuple):
    """A stage of a check. text: what is wrong, in words; empty if it passed."""

    name: str
    passed: bool
    points: float
    max_points: float
    text: str

    @property
    def sign(self) -> str:
        return "✓" if self.passed else "·" if self.text == NOT_REACHED else "✗"


@dataclass
class Result:
    """The result of a check.

    status: "passed", "failed", "not attempted" or "reference" (the answer is the library's own code). diagnosis: what
    is wrong, in words, or None. mistakes: the names of the known mistakes that explain the answer. note: a further
    remark, for example that the answer ran inside a real model.
    """

    exercise: Exercise
    status: str
    stages: list[Stage]
    diagnosis: str | None = None
    mistakes: tuple[str, ...] = ()
    note: str | None = None

    @property
    def passed(self) -> bool:
        return self.status == "passed"

    @property
    def score(self) -> float:
        return round(sum(stage.points for stage in self.stages), 2)

    @property
    def max_score(self) -> float:
        return sum(self.exercise.stages.values())

    def hint(self) -> str:
        """The next hint. Each call says a little more; the last hint is a sketch of the code."""
        if self.passed:
            return "It passes: no hint is needed."
        ladder = hints_for(self.exercise, self.mistakes)
        about = (self.exercise.name, self.mistakes)
        given = _hints_given.get(about, 0)
        _hints_given[about] = given + 1
        return ladder[min(given, len(ladder) - 1)]

    def require(self) -> None:
        """Raise AssertionError with the diagnosis unless the answer passed: for tests and graded cells."""
        if not self.passed:
            raise AssertionError(str(self))

    def __str__(self) -> str:
        head = f"{self.exercise.name}: {self.status}, {self.score:g} of {self.max_score:g} points"
        if self.status in ("not attempted", "reference"):
            return f"{self.exercise.name}: {self.status}. {self.diagnosis or ''}".rstrip()
        marks = [f"  {stage.sign} {stage.name}" for stage in self.stages if stage.max_points]
        lines = [head, "".join(marks).strip()]
        lines += [text for text in (self.diagnosis, self.note) if text]
        if self.status == "failed":
            lines.append("(.hint() says more, a little at a time.)")
        return "\n".join(lines)

    __repr__ = __str__


_hints_given: dict[tuple[str, tuple[str, ...]], int] = {}  # (exercise, mistakes) -> the number of hints given so far


def hints_for(exercise: Exercise, mistakes: Sequence[str] = ()) -> list[str]:
    """The hints in their order. Those of the recognised mistakes come first."""
    own = [mistake.hint for mistake in exercise.mistakes if mistake.name in mistakes and mistake.hint]
    hints = exercise.hints
    return [*own, hints.nudge, hints.concept, hints.formula, hints.sketch]


# ---------------------------------------------------------------------------------------------- the stages


def evaluate(
    exercise: Exercise, ask: Callable[[Call], Outcome], swapped: Callable[[], str | None] | None = None
) -> Result:
    """Take an answer through the stages.

    ask: makes a call of the answer. swapped: runs the answer inside a real model and returns what went wrong, or
    None; without it that stage passes, so that nobody loses points if no model can be run.
    """
    found: list[Outcome] = []
    for probe in probes_of(exercise):
        # An answer that did not return is not called again: each further call could take as long.
        gone = found and found[-1].problem is not None and found[-1].problem.type in GONE
        outcome = found[-1] if gone else ask(probe.call)
        if not found and (attempt := _not_attempted(outcome)):
            return Result(exercise, "not attempted", [], attempt)
        found.append(seen(exercise, outcome))
    course = _Course(exercise, found)

    problems = [outcome.problem for outcome in found if outcome.problem]
    signature = next((text for problem in problems if (text := _wrong_signature(exercise, problem))), None)
    if signature is not None:
        course.fail("signature", signature)
        return course.result(signature)
    course.succeed("signature")

    wrong = [one for one in course.compared if one is not None]
    bad_shape = [one for one in wrong if one.kind != "value"]
    if bad_shape:
        return course.stop("shape", bad_shape[0])
    course.succeed("shape")
    if wrong:
        # Points for the probes before the first that fails: a later one can come out right by chance.
        return course.stop("values", wrong[0], share=course.wrong[0] / len(found))
    course.succeed("values")

    texts = []
    if "gradients" in course.points:
        right = right_outcomes(exercise)
        trouble = next((t for t in map(_gradient_difference, found, right, probes_of(exercise)) if t), None)
        texts.append(course.settle("gradients", trouble))
    texts.append(course.settle("inputs", _touched(exercise, found)))
    texts = [text for text in dict.fromkeys(texts) if text]  # one mistake can explain both
    if "swap" in course.points:
        if texts:
            course.fail("swap", "not tried until the other stages pass")
        elif (trouble := swapped() if swapped else None) is not None:
            course.fail("swap", trouble)
            texts.append(trouble)
        else:
            course.succeed("swap")
    return course.result(" ".join(texts) or None)


class _Course:
    """How far an answer has come through the stages. found: its seen outcome for each probe."""

    def __init__(self, exercise: Exercise, found: Sequence[Outcome]):
        self.exercise = exercise
        self.found = found
        self.points = exercise.stages
        self.stages = [Stage("exists", True, 0.0, 0.0, "")]
        self.compared = [
            _compared(exercise, *one) for one in zip(probes_of(exercise), found, right_outcomes(exercise), strict=True)
        ]
        self.wrong = [number for number, one in enumerate(self.compared) if one is not None]
        self.mistakes: tuple[Mistake, ...] | None = None  # None: not looked for yet

    def succeed(self, name: str) -> None:
        self.stages.append(Stage(name, True, self.points[name], self.points[name], ""))

    def fail(self, name: str, text: str, share: float = 0.0) -> None:
        self.stages.append(Stage(name, False, round(share * self.points[name], 2), self.points[name], text))

    def settle(self, name: str, trouble: str | None) -> str:
        """Fail a stage if there is trouble; returns what is wrong in words, which is empty if the stage passed."""
        if trouble is None:
            self.succeed(name)
            return ""
        text = self.explained() or trouble
        self.fail(name, text)
        return text

    def stop(self, name: str, difference: Difference, share: float = 0.0) -> Result:
        """Fail a stage that all others need; the result says which mistake it is, and where it shows."""
        text = self.explained()
        if text:
            self.fail(name, text, share)
            return self.result(text if difference.kind == "problem" else f"{text} Seen here: {difference.text}.")
        text = f"{difference.text[0].upper()}{difference.text[1:]}."
        self.fail(name, text, share)
        return self.result(text)

    def explained(self) -> str:
        """The mistakes that explain the answer, in words; empty if none do."""
        if self.mistakes is not None:
            return said_of(self.mistakes)
        self.mistakes = diagnose(self.exercise, self.found)
        if self.mistakes or not self.wrong:
            return said_of(self.mistakes)
        number = self.wrong[0]
        self.mistakes = diagnose_one(self.exercise, number, self.found, self.wrong)
        if not self.mistakes:
            return ""
        name = probes_of(self.exercise)[number].name
        return f"{said_of(self.mistakes)} That explains the probe “{name}”, but not everything that is wrong."

    def result(self, diagnosis: str | None) -> Result:
        """The result, with the stages that were not reached."""
        stages = [*self.stages]
        if not any(stage.name == "values" and stage.points for stage in stages):
            # No probe came out right. The right shape alone earns nothing: a tensor of NaN has it too.
            stages = [stage._replace(points=0.0) for stage in stages]
        reached = {stage.name for stage in stages}
        stages += [
            Stage(name, False, 0.0, most, NOT_REACHED) for name, most in self.points.items() if name not in reached
        ]
        status = "passed" if all(stage.passed for stage in stages) else "failed"
        return Result(self.exercise, status, stages, diagnosis, tuple(one.name for one in self.mistakes or ()))


def _compared(exercise: Exercise, probe: Probe, outcome: Outcome, right: Outcome) -> Difference | None:
    """What is wrong with the output for one probe, the worst kind first; None if nothing is."""
    if (problem := outcome.problem) is not None:
        if problem.type in GONE:
            return Difference("problem", f"{probe.name}: {problem.message}", math.inf)
        said = f": {problem.message}" if problem.message else ""
        return Difference("problem", f"{probe.name}: it raised {problem.type}{said}{problem.place}", math.inf)
    found = [one for one in differences(outcome.output, right.output, probe.axes) if one.distance > exercise.tolerance]
    if not found:
        return None
    first = min(found, key=lambda one: ("type", "shape", "value").index(one.kind))
    return first._replace(text=f"{probe.name}: {first.text}")


def _gradient_difference(outcome: Outcome, right: Outcome, probe: Probe) -> str | None:
    for number, (mine, expected) in enumerate(zip(outcome.grads, right.grads, strict=False), 1):
        if mine is None and expected is not None and expected.abs().max() > 0:
            return f"No gradient flows back to input tensor {number} ({probe.name}): is it detached somewhere?"
        if mine is not None and expected is None and mine.abs().max() > 0:
            return f"A gradient flows back to input tensor {number} ({probe.name}) and should not: detach it."
        if mine is not None and expected is not None:
            for one in differences(mine, expected, probe.axes, f"the gradient of input tensor {number}"):
                if one.distance > 10 * TOLERANCE:
                    return f"{probe.name}: {one.text}."
    return None


def _touched(exercise: Exercise, found: Sequence[Outcome]) -> str | None:
    """A sentence if the answer changes an argument, or returns memory of one."""
    names = list(inspect.signature(exercise.solution).parameters)
    for probe, outcome in zip(probes_of(exercise), found, strict=True):
        for number in outcome.changed:
            if number not in exercise.may_change:
                name = names[number] if number < len(names) else f"argument {number + 1}"
                how = f" (`{name}.clone()`)" if isinstance(probe.call.args[number], Tensor) else ""
                return f"It changes `{name}` in place, which the caller still needs: work on a copy{how}."
        if exercise.looks_at_aliases and outcome.aliased:
            return "The result shares memory with an argument, so that changing one changes the other: return a copy."
    return None


def _not_attempted(outcome: Outcome) -> str | None:
    """A sentence if the answer is a stub: it raises NotImplementedError, or returns nothing."""
    if outcome.problem and outcome.problem.type == "NotImplementedError":
        return "Replace `raise NotImplementedError()` with your code."
    if not outcome.problem and (outcome.output is None or outcome.output == Other("ellipsis")):
        return "It returns None: write the body, with a `return` at its end."
    return None


def _wrong_signature(exercise: Exercise, problem: Problem) -> str | None:
    """A sentence if the call did not fit the parameters."""
    message = problem.message
    fits = f"{exercise.function}() " in message or "positional argument" in message or "keyword argument" in message
    inside = problem.line and problem.text and not problem.text.lstrip().startswith("def ")
    if problem.type != "TypeError" or not fits or inside:
        return None
    signature = f"{exercise.function}({exercise.signature})"
    return f"It cannot be called with the exercise's arguments ({message}): its signature must be `{signature}`."


# ---------------------------------------------------------------------------------------------- in a notebook


def exercise_named(name: str) -> Exercise:
    """The exercise with that name. Raises MinibertError, with the nearest names, if there is none."""
    found = exercises()
    if name not in found:
        raise MinibertError(f"there is no exercise {name!r}; {nearest(name, found)}")
    return found[name]


def check(exercise: str, answer: Callable[..., Any]) -> Result:
    """Check an answer to an exercise: which stages it passes, and what is wrong with it.

    exercise: its name, as `minibert.progress()` lists them. answer: the function itself, not the result of a call.
    Returns a Result: .passed, .status, .diagnosis, .mistakes, .score, and .hint(), which says a little more each time.

    Raises MinibertError for an unknown exercise or an answer that is not a function.
    """
    declared = exercise_named(exercise)
    if not callable(answer):
        raise MinibertError(
            f"the answer is a {type(answer).__name__}, not a function: give its name without brackets, as in "
            f'minibert.check("{exercise}", {declared.function}).'
        )
    owner = str(getattr(answer, "__module__", "")).partition(".")[0]
    if owner == "minibert":
        return Result(declared, "reference", [], "This is the library's own code: the exercise is to write your own.")
    notes: list[str] = []

    def in_model() -> str | None:
        try:
            with time_limit(LONGEST):
                trouble, note = swap.trial(declared, answer)
        except TimeoutError:
            return f"Inside a real model it gives no answer in {LONGEST:.0f} s."
        notes.extend([note] if note else [])
        return trouble

    result = evaluate(declared, lambda call: timed_call(answer, call), in_model)
    result.note = notes[0] if notes else None
    if owner != "torch" and result.status in ("passed", "failed"):  # torch's own function is not the learner's work
        progress.remember(declared.name, result.passed, result.score, result.max_score)
    return result


def timed_call(answer: Callable[..., Any], call: Call) -> Outcome:
    """Make a call that may take at most LONGEST seconds."""
    try:
        with time_limit(LONGEST):
            return make_call(answer, call)
    except TimeoutError:
        message = f"no answer in {LONGEST:.0f} s: is there a loop that does not end?"
        return Outcome(problem=Problem("TimeoutError", message))


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise TimeoutError in the block after this many seconds. Without alarms (Windows, threads) there is no limit."""
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return

    class Late(BaseException):  # not an Exception, which a learner's `except Exception` would catch
        pass

    def ring(signum: int, frame: Any) -> None:
        raise Late

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    except Late:
        raise TimeoutError from None
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
