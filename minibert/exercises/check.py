"""`minibert.check`: the stages that an answer has to pass, its points, and what is wrong with it.

Each stage needs the ones before it (see STAGES in `declare.py`): the answer can be called, its shapes are right, its
values are right, gradients flow through it, it leaves its arguments unchanged, and it gives the right numbers inside a
real model. If it fails, `diagnose.py` looks for the known mistake, and `compare.py` says where it differs first.

`evaluate` does not call the answer itself: it gets a function that makes a call and returns the outcome. In a notebook
this is `calls.make_call`; when submissions are graded, it asks another process. So both use the same stages.
"""

from __future__ import annotations

import inspect
import io
import linecache
import math
import random
import sys
import textwrap
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stdout
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from minibert.errors import MinibertError, check_known
from minibert.exercises import my_bert, progress, swap
from minibert.exercises.calls import ANSWER, Call, Other, Outcome, Problem, make_call
from minibert.exercises.catalogue import exercises
from minibert.exercises.causes import (
    common_factor,
    entries_trouble,
    gradient_trouble,
    is_random,
    letters_trouble,
    part_of,
    reversed_axes,
    shape_trouble,
    unused,
)
from minibert.exercises.compare import Difference, differences
from minibert.exercises.crashes import ended, in_words, keys_of
from minibert.exercises.declare import Exercise, Mistake, Probe, probes_of
from minibert.exercises.diagnose import Explanation, Search, looked_at, right_outcomes, sentences_of
from minibert.exercises.printing import Once
from minibert.exercises.result import NOT_REACHED, Result, Stage, fitted, hints_for, shortened
from minibert.exercises.running import run_statements, time_limit
from minibert.words import listed, type_of

__all__ = ["Result", "Stage", "check", "evaluate", "exercise_named", "hints_for", "timed_call"]

LONGEST = 20.0  # seconds that an answer may take for one call
LIKE_MY_BERT = "my_bert"  # the name of the module that the learner's file is while it runs
GONE = ("TimeoutError", "Stopped")  # problems of an answer that did not return

# ---------------------------------------------------------------------------------------------- the stages


def evaluate(
    exercise: Exercise,
    ask: Callable[[Call], Outcome],
    swapped: Callable[[], str | None] | None = None,
    source: str | None = None,
) -> Result:
    """Take an answer through the stages.

    ask: makes a call of the answer. swapped: runs the answer inside a real model and returns what went wrong, or
    None; without it that stage passes, so that nobody loses points if no model can be run. source: the answer's text,
    if it is known; only used to name what takes a gradient out of the graph.
    """
    found: list[Outcome] = []
    for probe in probes_of(exercise):
        # An answer that did not return is not called again: each further call could take as long.
        gone = found and found[-1].problem is not None and found[-1].problem.type in GONE
        outcome = found[-1] if gone else looked_at(exercise, probe, ask)
        if not found and (attempt := _not_attempted(outcome)):
            return Result(exercise, "not attempted", [], attempt)
        found.append(outcome)
    course = _Course(exercise, found, ask, source)

    problems = [outcome.problem for outcome in found if outcome.problem]
    signature = next((text for problem in problems if (text := _wrong_signature(exercise, problem))), None)
    if signature is not None:
        course.fail("signature", signature)
        course.cause = signature
        return course.result([signature])
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
    touched = _touched(exercise, found)
    if "gradients" in course.points:
        trouble = gradient_trouble(exercise, found, source)
        texts += course.settle("gradients", touched if trouble and touched else trouble)
    texts += course.settle("inputs", touched)
    if "swap" in course.points:
        if texts:
            course.fail("swap", "not tried until the other stages pass")
        elif (trouble := swapped() if swapped else None) is not None:
            course.fail("swap", shortened(trouble))
            texts.append(trouble)
        else:
            course.succeed("swap")
    return course.result(texts)


class _Course:
    """How far an answer has come through the stages. found: its seen outcome for each probe."""

    def __init__(
        self, exercise: Exercise, found: Sequence[Outcome], ask: Callable[[Call], Outcome], source: str | None
    ):
        self.exercise = exercise
        self.found = found
        self.ask = ask
        self.source = source
        self.points = exercise.stages
        self.stages = [Stage("exists", True, 0.0, 0.0, "")]
        self.compared = [
            _compared(exercise, *one) for one in zip(probes_of(exercise), found, right_outcomes(exercise), strict=True)
        ]
        self.wrong = [number for number, one in enumerate(self.compared) if one is not None]
        self.mistakes: tuple[str, ...] = ()
        self.cause: str | None = None
        self.explanation: Explanation | None = None  # None: not looked for yet

    def succeed(self, name: str) -> None:
        self.stages.append(Stage(name, True, self.points[name], self.points[name], ""))

    def fail(self, name: str, text: str, share: float = 0.0) -> None:
        self.stages.append(Stage(name, False, round(share * self.points[name], 2), self.points[name], text))

    def explain(self) -> Explanation:
        if self.explanation is None:
            self.explanation = Search(self.exercise, self.found, self.wrong).explain()
        return self.explanation

    def settle(self, name: str, trouble: str | None) -> list[str]:
        """Fail a stage if there is trouble; returns what is wrong in words, which is empty if the stage passed."""
        if trouble is None:
            self.succeed(name)
            return []
        texts = self.named(self.explain()) or [trouble]
        if not self.mistakes and self.cause is None:
            self.cause = trouble
        self.fail(name, shortened(texts[0]))
        return texts

    def stop(self, name: str, difference: Difference, share: float = 0.0) -> Result:
        """Fail a stage that all others need; the result says which mistake it is, and where it shows."""
        texts = [*self.what(), *self.beyond()]
        where = f"{difference.text[0].upper()}{ended(difference.text[1:])}"
        if texts and difference.kind != "problem":
            test, _, seen = difference.text.partition(": ")
            where = f"Seen in the test “{test}”: {seen}."
        if not texts or difference.kind != "problem" or self.mistakes:
            texts.append(where)
        if turned := self.turned(sure=difference.kind == "value"):
            texts.insert(1, turned)
        text, more = fitted(texts)
        self.fail(name, text, share)
        return self.result([text, *more])

    def what(self) -> list[str]:
        """What is wrong, in sentences: the known mistakes, else a cause, else what explains a part of it."""
        found = self.explain()
        if found.whole:
            return self.named(found)
        first = self.wrong[0]
        if (problem := self.found[first].problem) is not None and problem.type in GONE:
            self.cause = problem.message
            return []
        shown = next((number for number in self.wrong if self._kind(number) != "value"), first)
        mistyped = {number for number in self.wrong if self._kind(number) == "type"}
        if shown in mistyped and not mistyped <= set(found.probes):
            return self.mistyped(shown)
        if self.values_wrong and is_random(self.exercise, self.ask, self.found, self.values_wrong[0]):
            self.cause = "the result is random: another seed gives another result"
            return ["Your result is random, and it should not be: another seed gives another result. Is there dropout, "
                    "or a draw of random numbers?"]  # fmt: skip
        if self.values_wrong and (factor := common_factor(self.exercise, self.found, self.wrong)):
            self.cause = factor
            return [factor]
        if found.ideas and len(found.probes) > 1:
            return self.partly(found, "There is at least this mistake: ", "There are at least these mistakes: ")
        if problem is not None:
            return self.crashed(problem, probes_of(self.exercise)[first])
        if self.kinds == {"value"} and (names := unused(self.exercise, self.ask, self.found, self.wrong)):
            plural = "make" if " and " in names or ", " in names else "makes"
            self.cause = f"{names} {plural} no difference"
            return [f"{names[0].upper()}{names[1:]} {plural} no difference to your result: is it used?"
                    if plural == "makes" else f"{names} make no difference to your result: are they used?"]  # fmt: skip
        if "type" not in self.kinds and (touched := _touched(self.exercise, self.found)):
            self.cause = touched
            return [touched]
        if found.ideas:
            return self.partly(found, "Perhaps: ", "Perhaps: ")
        right = right_outcomes(self.exercise)[first]
        if text := part_of(self.exercise, self.found):
            self.cause = text
            return [text]
        if text := shape_trouble(self.found[first].output, right.output, probes_of(self.exercise)[first].axes):
            self.cause = text
            return [text]
        if text := entries_trouble(self.found[first].output, right.output):
            self.cause = text
            return [text]
        difference = self.compared[first]
        letters = letters_trouble(self.found[first].output, right.output)
        if 2 * len(self.wrong) <= len(self.found) and self.exercise.view is None:
            names = listed([f"“{probes_of(self.exercise)[number].name}”" for number in self.wrong[:4]])
            self.cause = f"it is right in all cases but {names}"
            rest = f"It is right in {len(self.found) - len(self.wrong)} of {len(self.found)} cases, but not in {names}."
            return [rest, letters] if letters else [rest]
        if letters:
            self.cause = letters
            return [letters]
        if self.exercise.view is not None and difference is not None:
            self.cause = difference.text
        return []

    def mistyped(self, number: int) -> list[str]:
        """What is wrong where an outcome is of another type: only that, because nothing else can be seen there."""
        mine, right = self.found[number].output, right_outcomes(self.exercise)[number].output
        text = part_of(self.exercise, self.found) or entries_trouble(mine, right)
        text = text or (shape_trouble(mine, right, {}) if isinstance(mine, Other) else "")
        difference = self.compared[number]
        self.cause = text or (difference.text if difference is not None else None)
        return [text] if text else []

    def turned(self, sure: bool) -> str:
        """A sentence about .T or .t() on more than two axes, unless a known mistake explains all."""
        if self.mistakes and self.explain().whole:
            return ""
        problem = self.found[self.wrong[0]].problem
        return reversed_axes(self.exercise, self.source, problem.text if problem else "", sure)

    @property
    def values_wrong(self) -> list[int]:
        """The probes that returned something of the right type that is wrong."""
        return [number for number in self.wrong if self._kind(number) in ("shape", "value")]

    @property
    def kinds(self) -> set[str]:
        """How the probes are wrong that returned something: in the type, the shape or the values."""
        return {self._kind(number) for number in self.wrong} - {"problem"}

    def _kind(self, number: int) -> str:
        difference = self.compared[number]
        return difference.kind if difference is not None else ""

    def named(self, found: Explanation) -> list[str]:
        """The sentences of an explanation, which becomes the result's."""
        if not found.ideas:
            return []
        self.mistakes = tuple(idea.name for idea in found.ideas if isinstance(idea, Mistake))
        self.cause = "; ".join(idea.says for idea in found.ideas if not isinstance(idea, Mistake)) or None
        texts = sentences_of(found.ideas)
        if found.values_only and (touched := _touched(self.exercise, self.found)):
            texts.append(f"Besides, {touched[0].lower()}{touched[1:]}")
        return texts

    def partly(self, found: Explanation, one: str, several: str) -> list[str]:
        texts = self.named(found)
        name = probes_of(self.exercise)[found.probes[0]].name
        start = one if len(found.ideas) == 1 else several
        about = f"That explains “{name}”, but not everything that is wrong." if len(found.probes) == 1 else (
            f"That explains {len(found.probes)} of the {len(self.wrong)} cases that are wrong.")  # fmt: skip
        about = "" if len(found.probes) == len(self.wrong) else about
        first = texts[0] if len(found.ideas) == 1 else "; ".join(idea.says for idea in found.ideas) + "."
        return [f"{start}{_small(first)}", about, *texts[1:]]

    def crashed(self, problem: Problem, probe: Probe) -> list[str]:
        said = in_words(problem, probe.axes, keys_of(probe.call.args))
        raised = _raised(problem, probe)
        raised = f"{raised[0].upper()}{ended(raised[1:])}"
        if not said:
            return [raised]
        self.cause = said
        if len(raised) < 160 and problem.text:
            return [raised, f"That means: {ended(said)}"]
        return [f"{said[0].upper()}{ended(said[1:], problem.place)}", raised]

    def beyond(self) -> list[str]:
        """Where only what the task asks for beyond BERT's own setting is wrong: that this is so."""
        probes = probes_of(self.exercise)
        wrong = {probes[number].beyond for number in self.wrong}
        if len(wrong) != 1 or not (said := wrong.pop()):
            return []
        return (
            [said] if all(number in self.wrong for number, probe in enumerate(probes) if probe.beyond == said) else []
        )

    def result(self, texts: Sequence[str]) -> Result:
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
        text, more = fitted(texts)
        return Result(self.exercise, status, stages, text or None, self.mistakes, None, self.cause, more)


def _small(text: str) -> str:
    """The sentence inside another one."""
    return text if text[:1] in "`“" or text[1:2].isupper() or (text[1:2] == " " and text[0] != "A") else (
        text[0].lower() + text[1:])  # fmt: skip


def _raised(problem: Problem, probe: Probe) -> str:
    """Where an answer stopped and with what, from the learner's side: the message's first line, and his own line."""
    message = problem.message.strip().split("\n")[0]
    said = f": {shortened(message, 140)}" if message else ""
    return f"{probe.name}: it raised {problem.type}{said}{problem.place}"


def _compared(exercise: Exercise, probe: Probe, outcome: Outcome, right: Outcome) -> Difference | None:
    """What is wrong with the output for one probe, the worst kind first; None if nothing is."""
    if (problem := outcome.problem) is not None:
        text = f"{probe.name}: {problem.message}" if problem.type in GONE else _raised(problem, probe)
        return Difference("problem", text, math.inf)
    if isinstance(right.output, Mapping) and exercise.view is not None and not _seen(outcome.output, right.output):
        found = _unseen(exercise, probe, outcome)
    else:
        found = [*differences(outcome.output, right.output, probe.axes)]
    found = [one for one in found if one.distance > exercise.exactness]
    if not found:
        return None
    kinds = ("type", "shape", "value") if exercise.view is None else ("type", "value", "shape")
    first = min(found, key=lambda one: kinds.index(one.kind))
    return first._replace(text=f"{probe.name}: {first.text}")


def _seen(output: Any, right: Mapping[str, Any]) -> bool:
    """Whether a view could read what was returned; it leaves everything else as it was."""
    return isinstance(output, Mapping) and not right.keys().isdisjoint(output)


def _unseen(exercise: Exercise, probe: Probe, outcome: Outcome) -> list[Difference]:
    """How what was returned differs in type and shape from what the reference returns, if a view cannot read it."""
    mine, right = outcome.output, make_call(exercise.reference, probe.call).output
    if probe.call.again and isinstance(mine, list):  # the results of several calls
        mine, right = mine[0], right[0]
    found = [one for one in differences(mine, right, probe.axes) if one.kind in ("type", "shape")]
    return found or [Difference("type", "the result is not of the form that the task asks for", math.inf)]


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
    check_known("exercise", name, found)
    return found[name]


def check(exercise: str, answer: Callable[..., Any]) -> Result:
    """Check an answer to an exercise: which stages it passes, and what is wrong with it.

    exercise: its name, as `minibert.progress()` lists them. answer: the function itself, not the result of a call.
    Returns a Result: .passed, .status, .diagnosis, .mistakes, .score, and .hint(), which says a little more each time.

    Raises MinibertError for an unknown exercise or an answer that is not a function.
    """
    if callable(exercise) and isinstance(answer, str):
        name = getattr(exercise, "__name__", "my_answer")
        raise MinibertError(f'the name of the exercise comes first: minibert.check("{answer}", {name}).')
    declared = exercise_named(exercise)
    if not callable(answer):
        raise MinibertError(
            f"the answer is {type_of(answer)}, not a function: give its name without brackets, as in "
            f'minibert.check("{exercise}", {declared.function}).'
        )
    owner = str(getattr(answer, "__module__", "")).partition(".")[0]
    if owner == "minibert":
        return Result(declared, "reference", [], "This is the library's own code: the exercise is to write your own.")
    notes: list[str] = []

    def in_model() -> str | None:
        swap.prepare(declared)  # before the clock runs: it may wait for a download, which is not the answer's work
        try:
            with printed.call(), time_limit(LONGEST):
                trouble, note = swap.trial(declared, answer)
        except TimeoutError:
            notes.append(
                f"It is right. It could not be tried inside a real model in {LONGEST:.0f} s; the machine may be busy."
            )
            return None
        notes.extend([note] if note else [])
        return trouble

    try:
        source = textwrap.dedent(inspect.getsource(answer))
    except (OSError, TypeError):
        source = None
    printed = Once(getattr(answer, "__name__", "it"))

    def ask(call: Call) -> Outcome:
        with printed.call():
            return timed_call(answer, call)

    result = evaluate(declared, ask, in_model, source)
    result.note = notes[0] if notes else None
    if owner != "torch" and result.status in ("passed", "failed"):  # torch's own function is not the learner's work
        told = [result.note, progress.remember(declared.name, result.passed, result.score, result.max_score)]
        told += [str(my_bert.join_answer(declared, answer, in_file))] if result.passed else []
        result.note = " ".join(filter(None, told)) or None
    return result


def timed_call(answer: Callable[..., Any], call: Call) -> Outcome:
    """Make a call that may take at most LONGEST seconds."""
    try:
        with time_limit(LONGEST):
            return make_call(answer, call)
    except TimeoutError:
        message = f"no answer in {LONGEST:.0f} s: is there a loop that does not end?"
        return Outcome(problem=Problem("TimeoutError", message))


def in_file(text: str, names: Sequence[str]) -> dict[str, str]:
    """Run a my_bert.py in this process: those of these exercises that do not pass with what it defines, and why."""
    drawn = random.getstate(), torch.random.get_rng_state()
    module = ModuleType(LIKE_MY_BERT)
    before = sys.modules.get(LIKE_MY_BERT)
    try:
        with redirect_stdout(io.StringIO()):
            linecache.cache[ANSWER] = (0, None, text.splitlines(keepends=True), ANSWER)
            raised = run_statements(text, ANSWER, module)
            found = {}
            for name in names:
                answer = module.__dict__.get(exercises()[name].function)
                result = evaluate(exercises()[name], lambda call, answer=answer: timed_call(answer, call))  # type: ignore
                if not result.passed:
                    said = [f"line {line} {what}" for line, what in raised.items()] if answer is None else []
                    found[name] = shortened(said[0] if said else result.diagnosis or "it is not right").rstrip(".")
        return found
    finally:
        random.setstate(drawn[0])
        torch.random.set_rng_state(drawn[1])
        sys.modules.pop(LIKE_MY_BERT)
        if before is not None:
            sys.modules[LIKE_MY_BERT] = before
