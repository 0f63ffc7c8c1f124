"""The exercise checker: it runs an answer beside a reference with knobs, and says which mistake it has found.

A reference is a right solution whose keyword knobs each bring back one known mistake. Where an answer differs, the
checker turns the knobs, one and then two at a time, until the reference gives what the answer gave: that is the
mistake, and not a guess. Where none fits, it says where the answer first differs, and along which axis.

A check goes up in stages (see STAGES). The answer is run by `calls.make_call`, here in a notebook or in a process of
its own when submissions are graded; everything below sees plain values only, so both have one engine.
"""

from __future__ import annotations

import inspect
import math
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, lru_cache
from itertools import combinations
from typing import Any, NamedTuple

import torch
from torch import Tensor

from minibert.exercises.calls import Call, Other, Outcome, make_call

Ask = Callable[[Call], Outcome]  # makes a call of the answer

# The stages and what each is worth by default; an exercise leaves out those that do not apply.
STAGES = {"exists": 0.0, "signature": 1.0, "shape": 2.0, "values": 4.0, "gradients": 1.0, "inputs": 1.0, "swap": 1.0}
TOLERANCE = 1e-5  # of a value, relative to 1 + its size; inputs are float64, so a right answer is far inside


# ------------------------------------------------------------------------------------------- what is declared


@dataclass(frozen=True)
class Mistake:
    """A knob's wrong value. says: what the code does instead, in plain words. effect: what comes of it.

    hint: the first thing to think about; by default the exercise's own.
    """

    name: str
    knob: str
    value: Any
    says: str
    effect: str
    hint: str = ""


@dataclass(frozen=True)
class Probe:
    """One call with which an answer is tried. name: what is special about it, in a few words ("with padding").

    axes: a letter -> its size, all different, so that a shape can be read back as letters.
    """

    name: str
    call: Call
    axes: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Hints:
    """From the gentlest to the plainest. Each is a sentence or two; the sketch is a few lines of code with gaps."""

    nudge: str
    concept: str
    formula: str
    sketch: str


@dataclass(frozen=True, eq=False)
class Exercise:
    """A function to be written, and all that is known of it.

    name: what `check` is called with. function: the name that is defined in a file. signature: its parameters, as
    they stand in the stub. task: what to write, in Markdown, with the shapes of everything that comes in and goes out.
    reference: called like the answer, with the knobs as further keywords; their defaults are right. solution: a plain
    function that stands by itself, as a person would write it. library: the same thing as minibert itself does it.
    probes: made once. view: turns an outcome's output into what is compared (the statistics of a random answer); by
    default the output itself. tolerance: for what `view` gives. source: the paper and section.
    """

    name: str
    topic: str
    title: str
    function: str
    signature: str
    task: str
    source: str
    reference: Callable[..., Any]
    solution: Callable[..., Any]
    library: Callable[..., Any]
    mistakes: tuple[Mistake, ...]
    probes: Callable[[], Sequence[Probe]]
    hints: Hints
    view: Callable[[Any], Any] = lambda output: output
    tolerance: float = TOLERANCE
    looks_at_aliases: bool = False
    may_change: tuple[int, ...] = ()  # arguments that may change in place, such as a generator's
    swap: str | None = None  # the seam of swap.py that takes the answer
    equivalents: tuple[Callable[..., Any], ...] = ()  # other right ways to write it; tests hold that they pass

    @property
    def stages(self) -> dict[str, float]:
        """The stages that apply here and their points."""
        kept = dict(STAGES)
        if not any(probe.call.grads for probe in probes_of(self)):
            del kept["gradients"]
        if self.swap is None:
            del kept["swap"]
        return kept

    @property
    def header(self) -> str:
        """The function's first line, or lines where it is too long for a page."""
        line = f"def {self.function}({self.signature}):"
        if len(line) <= 96:
            return line
        return f"def {self.function}(\n{textwrap.indent(textwrap.fill(self.signature, 90), '    ')}\n):"

    @property
    def stub(self) -> str:
        """What a learner begins with."""
        return f"{self.header}\n    raise NotImplementedError()\n"


@cache
def probes_of(exercise: Exercise) -> tuple[Probe, ...]:
    return tuple(exercise.probes())


# -------------------------------------------------------------------------------------------------- comparing


class Difference(NamedTuple):
    """How far two values are apart. kind: "type", "shape" or "value". distance: relative; inf for other kinds."""

    kind: str
    text: str
    distance: float


def differences(actual: Any, expected: Any, axes: Mapping[str, int], where: str = "") -> Iterator[Difference]:
    """All the places where two nested plain values differ at all."""
    what = where or "the result"
    if isinstance(expected, Tensor):
        yield from _tensor_differences(actual, expected, axes, what)
    elif isinstance(expected, Mapping):
        if not isinstance(actual, Mapping):
            yield Difference("type", f"{what} is {_kind(actual)}, but should be a dict", math.inf)
            return
        missing, extra = [n for n in expected if n not in actual], [n for n in actual if n not in expected]
        if missing or extra:
            parts = [f"lacks “{_listed(missing)}”"] * bool(missing) + [f"has “{_listed(extra)}” too many"] * bool(extra)
            yield Difference("shape", f"{what} {' and '.join(parts)}", math.inf)
        for name in expected:
            if name in actual:
                inside = f"{where}[{name!r}]" if where else repr(name)
                yield from differences(actual[name], expected[name], axes, inside)
    elif isinstance(expected, (list, tuple)):
        if not isinstance(actual, (list, tuple)):
            yield Difference("type", f"{what} is {_kind(actual)}, but should be {_kind(expected)}", math.inf)
            return
        if all(isinstance(one, str) for one in [*actual, *expected]):
            if list(actual) != list(expected):
                yield Difference("value", f"{what} is {_shown(actual)}, expected {_shown(expected)}", math.inf)
            return
        if len(actual) != len(expected):
            yield Difference("shape", f"{what} is {len(actual)} long, expected {len(expected)}", math.inf)
        for number, (a, e) in enumerate(zip(actual, expected, strict=False)):
            yield from differences(a, e, axes, f"{where}[{number}]" if where else f"entry {number}")
    elif isinstance(expected, float) or (isinstance(expected, int) and not isinstance(expected, bool)):
        if isinstance(actual, Tensor) and actual.numel() == 1:
            actual = actual.item()
        if isinstance(actual, bool) or not isinstance(actual, (int, float)):
            yield Difference("type", f"{what} is {_kind(actual)}, but should be a number", math.inf)
        elif actual != expected:
            distance = abs(actual - expected) / (1 + abs(expected))
            if math.isfinite(expected) or not math.isfinite(distance):
                distance = math.inf if math.isnan(distance) else distance
                yield Difference("value", f"{what} is {_number(actual)}, expected {_number(expected)}", distance)
    elif actual != expected or type(actual) is not type(expected):
        if type(actual) is type(expected):
            yield Difference("value", f"{what} is {actual!r}, expected {expected!r}", math.inf)
        else:
            yield Difference("type", f"{what} is {_kind(actual)}, but should be {_kind(expected)}", math.inf)


def _tensor_differences(actual: Any, expected: Tensor, axes: Mapping[str, int], what: str) -> Iterator[Difference]:
    if isinstance(actual, (int, float)) and not isinstance(actual, bool) and expected.dim() == 0:
        actual = torch.tensor(float(actual), dtype=torch.float64)
    if not isinstance(actual, Tensor):
        yield Difference("type", f"{what} is {_kind(actual)}, but should be a tensor", math.inf)
    elif actual.shape != expected.shape:
        yield Difference(
            "shape", f"{what} has the shape {shape(actual, axes)}, expected {shape(expected, axes)}", math.inf
        )
    elif (actual.dtype == torch.bool) != (expected.dtype == torch.bool):
        yield Difference("type", f"{what} holds {_numbers(actual)}, but should hold {_numbers(expected)}", math.inf)
    elif expected.numel():
        a, e = actual.double(), expected.double()
        off = relative(a, e)
        distance = float(off.max())
        if distance:
            yield Difference("value", _where_it_differs(a, e, off > TOLERANCE / 10, axes, what), distance)


def seen(exercise: Exercise, outcome: Outcome) -> Outcome:
    """The outcome as the exercise looks at it: through its view, or as it is where it cannot be viewed."""
    if outcome.problem is not None:
        return outcome
    try:
        return replace(outcome, output=exercise.view(outcome.output))
    except Exception:
        return outcome


def distance(actual: Outcome, expected: Outcome, exercise: Exercise) -> float:
    """How far two outcomes of one call, as seen, are apart in all that counts; inf where it is no number."""
    if actual.problem or expected.problem:
        a, e = actual.problem, expected.problem
        return 0.0 if a and e and (a.type, a.message) == (e.type, e.message) else math.inf
    if (set(actual.changed) ^ set(expected.changed)) - set(exercise.may_change):
        return math.inf
    if exercise.looks_at_aliases and actual.aliased != expected.aliased:
        return math.inf
    apart = gap(actual.output, expected.output)
    for mine, right in zip(actual.grads, expected.grads, strict=False):
        if math.isinf(apart):
            break
        apart = max(apart, gap(mine, right))
    return apart


def gap(actual: Any, expected: Any) -> float:
    """The largest distance of `differences`, without their words, which take longer than all the rest."""
    if isinstance(expected, Tensor) and isinstance(actual, Tensor):
        if actual.shape != expected.shape or (actual.dtype == torch.bool) != (expected.dtype == torch.bool):
            return math.inf
        off = relative(actual.double(), expected.double())
        return float(off.max()) if off.numel() else 0.0
    if isinstance(expected, Mapping) and isinstance(actual, Mapping):
        if actual.keys() != expected.keys():
            return math.inf
        return max((gap(actual[name], expected[name]) for name in expected), default=0.0)
    if isinstance(expected, (list, tuple)) and isinstance(actual, (list, tuple)):
        if len(actual) != len(expected):
            return math.inf
        return max(map(gap, actual, expected), default=0.0)
    return max((one.distance for one in differences(actual, expected, {})), default=0.0)


def relative(a: Tensor, e: Tensor) -> Tensor:
    """Entry by entry, how far a is from e, relative to 1 + the size of e; NaN is as far as can be from all but NaN."""
    off = (a - e).abs() / (1 + e.abs())
    return torch.where((a == e) | (a.isnan() & e.isnan()), 0.0, off.nan_to_num(nan=math.inf, posinf=math.inf))


def shape(tensor: Tensor, axes: Mapping[str, int]) -> str:
    """[B, H, S, K] = (2, 3, 5, 7): the letters where every size is the size of one axis, and the numbers."""
    numbers = f"({', '.join(map(str, tensor.shape))})"
    letters = {size: letter for letter, size in axes.items()}
    if not tensor.dim():
        return "() (a single number)"
    return f"[{', '.join(letters.get(size, str(size)) for size in tensor.shape)}] = {numbers}" if letters else numbers


def _where_it_differs(a: Tensor, e: Tensor, wrong: Tensor, axes: Mapping[str, int], what: str) -> str:
    """In words: how much of it, along which axis, by what factor, and the first place."""
    if not e.dim():
        said = f"{what} is {_number(a.item())}, expected {_number(e.item())}"
        return said + _common_factor(a, e)
    letters = {size: letter for letter, size in axes.items()}
    names = [letters.get(size, f"axis {axis}") for axis, size in enumerate(e.shape)]
    if not wrong.any():
        wrong = a != e
    at = wrong.nonzero()[0].tolist()
    share = f"{int(wrong.sum())} of {wrong.numel()} entries"
    places = []
    for axis, name in enumerate(names):
        along = wrong.transpose(0, axis).reshape(e.shape[axis], -1).any(dim=1)
        there, elsewhere = (some.nonzero().flatten().tolist() for some in (along, ~along))
        if elsewhere:
            few = len(there) <= len(elsewhere)
            places.append(f"{'only' if few else 'but not'} where {name} is {_listed(there if few else elsewhere)}")
    first = ", ".join(f"{name} {index}" for name, index in zip(names, at, strict=True))
    mine, right = (_number(x[tuple(at)].item()) for x in (a, e))
    if mine == right:  # they differ further behind
        mine, right = (f"{x[tuple(at)].item():.9g}" for x in (a, e))
    extent = f" ({'; '.join(places)})" if places else ""
    return f"{what} differs in {share}{extent}; the first is at {first}: {mine}, expected {right}" + _common_factor(
        a, e
    )


def _common_factor(a: Tensor, e: Tensor) -> str:
    """A word about one factor or one difference that would explain all of it."""
    if not e.abs().max() > 0 or not a.isfinite().all() or not e.isfinite().all():
        return ""
    usable = e.abs() > 1e-6
    ratios = (a[usable] / e[usable]).flatten()
    if len(ratios) and bool((ratios - ratios[0]).abs().max() < 1e-6) and abs(float(ratios[0]) - 1) > 1e-6:
        return f". Every entry is {_number(float(ratios[0]))} times what it should be" if e.dim() else ""
    gaps = (a - e).flatten()
    if e.numel() > 1 and bool((gaps - gaps[0]).abs().max() < 1e-9):
        return f". Every entry is off by the same {_number(float(gaps[0]))}"
    return ""


def _shown(texts: Sequence[str]) -> str:
    """A list of texts, cut where it is long."""
    return repr(list(texts)) if len(texts) <= 12 else f"{list(texts[:12])!r} and {len(texts) - 12} more"


def _kind(value: Any) -> str:
    if value is None:
        return "None (is a `return` missing?)"
    if isinstance(value, Other):
        return f"a {value.type}"
    return {Tensor: "a tensor", dict: "a dict", list: "a list", tuple: "a tuple", str: "a text", bool: "True or False",
            int: "a whole number", float: "a number"}.get(type(value), f"a {type(value).__name__}")  # fmt: skip


def _numbers(tensor: Tensor) -> str:
    return "booleans" if tensor.dtype == torch.bool else f"numbers ({str(tensor.dtype).removeprefix('torch.')})"


def _number(value: float) -> str:
    return str(value) if isinstance(value, (int, bool)) else f"{value:.4g}"


def _listed(items: Sequence[Any]) -> str:
    texts = [str(item) for item in items[:8]] + [f"{len(items) - 8} more"] * (len(items) > 8)
    return texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} and {texts[-1]}" if texts else "nothing"


# ------------------------------------------------------------------------------------------------- diagnosing


def turned(exercise: Exercise, *mistakes: Mistake) -> Callable[..., Any]:
    """The reference with these mistakes built in."""
    knobs = {mistake.knob: mistake.value for mistake in mistakes}
    return lambda *args, **kwargs: exercise.reference(*args, **kwargs, **knobs)


def outcomes(exercise: Exercise, function: Callable[..., Any]) -> Iterator[Outcome]:
    """What the function makes of each probe, as seen, one after another."""
    return (seen(exercise, make_call(function, probe.call)) for probe in probes_of(exercise))


@lru_cache(maxsize=20_000)
def mistaken(exercise: Exercise, mistakes: tuple[Mistake, ...], probe: int) -> Outcome:
    """What the reference with these mistakes makes of a probe, as seen."""
    return seen(exercise, make_call(turned(exercise, *mistakes), probes_of(exercise)[probe].call))


@cache
def right_outcomes(exercise: Exercise) -> tuple[Outcome, ...]:
    return tuple(outcomes(exercise, exercise.reference))


def diagnose(exercise: Exercise, found: Sequence[Outcome]) -> tuple[Mistake, ...]:
    """The mistake, or the two, that explain all that the answer did; none where no explanation is far the nearest."""
    for candidates in _explanations(exercise):
        ranked = sorted((_apart(exercise, found, mistakes), i) for i, mistakes in enumerate(candidates))
        if ranked and ranked[0][0] <= exercise.tolerance:
            best, runner_up = ranked[0][0], ranked[1][0] if len(ranked) > 1 else math.inf
            clear = runner_up > max(3 * best, exercise.tolerance) or len(candidates[0]) > 1
            return candidates[ranked[0][1]] if clear else ()
    return ()


def diagnose_one(exercise: Exercise, probe: int, found: Sequence[Outcome], wrong: Sequence[int]) -> tuple[Mistake, ...]:
    """The only explanation, of one mistake or of two, for what the answer did in one probe; none where there are more.

    For answers that are wrong in yet another way elsewhere. wrong: the probes that it fails. In those that it passes,
    the explanation must pass as well, or stop: there it is written in another way.
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
    """Mistakes one by one, then two by two."""
    yield [(mistake,) for mistake in exercise.mistakes]
    yield [pair for pair in combinations(exercise.mistakes, 2) if pair[0].knob != pair[1].knob]


def _apart(exercise: Exercise, found: Sequence[Outcome], mistakes: tuple[Mistake, ...]) -> float:
    """The largest distance over the probes; stops at the first that rules the mistakes out."""
    worst = 0.0
    for probe, mine in enumerate(found):
        worst = max(worst, distance(mine, mistaken(exercise, mistakes, probe), exercise))
        if worst > 10 * exercise.tolerance:
            return math.inf
    return worst


# ---------------------------------------------------------------------------------------------------- checking


NOT_REACHED = "not reached"


GONE = ("TimeoutError", "Stopped")  # problems of an answer that never came back


class Stage(NamedTuple):
    name: str
    passed: bool
    points: float
    max_points: float
    text: str  # what was found, for people; empty when all is well

    @property
    def sign(self) -> str:
        return "✓" if self.passed else "·" if self.text == NOT_REACHED else "✗"


@dataclass
class Result:
    """What a check found. status: "passed", "failed", "not attempted" or "reference" (the library's own was called).

    diagnosis: what is wrong, in words, or None. mistakes: the names of the known mistakes that were recognised.
    note: what else there is to tell, as that the answer ran a real model.
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
        """The next hint: each call says a little more, up to a sketch of the code."""
        if self.passed:
            return "It passes: there is nothing left to hint at."
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


_hints_given: dict[tuple[str, tuple[str, ...]], int] = {}  # how many, of an exercise and what was wrong


def hints_for(exercise: Exercise, mistakes: Sequence[str] = ()) -> list[str]:
    """The ladder of hints; those of recognised mistakes come first."""
    own = [mistake.hint for mistake in exercise.mistakes if mistake.name in mistakes and mistake.hint]
    hints = exercise.hints
    return [*own, hints.nudge, hints.concept, hints.formula, hints.sketch]


def evaluate(exercise: Exercise, ask: Ask, swap: Callable[[], str | None] | None = None) -> Result:
    """Take an answer through the stages. swap: runs it inside a real model; returns what went wrong, or None."""
    points = exercise.stages
    probes = probes_of(exercise)
    found = []
    stages: list[Stage] = [Stage("exists", True, 0.0, 0.0, "")]
    for probe in probes:
        # What does not come back once is not waited for again.
        gone = found and found[-1].problem is not None and found[-1].problem.type in GONE
        outcome = found[-1] if gone else ask(probe.call)
        if not found and (attempt := _not_attempted(outcome)):
            return Result(exercise, "not attempted", [], attempt)
        found.append(seen(exercise, outcome))
    mistakes: tuple[Mistake, ...] | None = None
    wrong_probes: list[int] = []

    def explained() -> str:
        nonlocal mistakes
        if mistakes is not None:
            return said_of(mistakes)
        mistakes = diagnose(exercise, found)
        if mistakes or not wrong_probes:
            return said_of(mistakes)
        number = wrong_probes[0]
        mistakes = diagnose_one(exercise, number, found, wrong_probes)
        if not mistakes:
            return ""
        return f"{said_of(mistakes)} That explains the probe “{probes[number].name}”, but not all that is wrong."

    def failed(name: str, share: float, text: str) -> None:
        stages.append(Stage(name, False, round(share * points[name], 2), points[name], text))

    def passed(name: str) -> None:
        stages.append(Stage(name, True, points[name], points[name], ""))

    problems = [(probe, outcome.problem) for probe, outcome in zip(probes, found, strict=True) if outcome.problem]
    signature = next((text for _, problem in problems if (text := _wrong_signature(exercise, problem))), None)
    if signature is not None:
        failed("signature", 0, signature)
        return _finished(exercise, stages, points, signature, ())
    passed("signature")
    compared = [
        _compared(exercise, probe, outcome, right)
        for probe, outcome, right in zip(probes, found, right_outcomes(exercise), strict=True)
    ]
    wrong_probes = [number for number, one in enumerate(compared) if one is not None]
    bad_shape = [one for one in compared if one is not None and one.kind != "value"]
    wrong = [one for one in compared if one is not None]
    if bad_shape:
        text = explained() or _stopped_or_differs(bad_shape[0])
        more = bad_shape[0].text if mistakes and bad_shape[0].kind != "problem" else ""
        failed("shape", 0, text)
        return _finished(exercise, stages, points, _joined(text, more), mistakes or ())
    passed("shape")
    if wrong:
        text = explained() or _stopped_or_differs(wrong[0])
        # Points for the probes before the first that fails: a later one may come out right by luck, where 0 is right.
        failed("values", wrong_probes[0] / len(compared), text)
        return _finished(exercise, stages, points, _joined(text, wrong[0].text if mistakes else ""), mistakes or ())
    passed("values")
    texts = []
    if "gradients" in points:
        text = next((t for t in map(_gradient_difference, found, right_outcomes(exercise), probes) if t), None)
        _settle(passed, failed, "gradients", text, explained, texts)
    _settle(passed, failed, "inputs", _touched(exercise, found), explained, texts)
    if "swap" in points:
        if texts:
            failed("swap", 0, "not tried before the stages above pass")
        else:  # where nobody can try it, as on a marker's machine without weights, it costs nothing
            _settle(passed, failed, "swap", swap() if swap else None, str, texts)
    return _finished(exercise, stages, points, " ".join(texts) or None, mistakes or ())


def _settle(
    passed: Callable[[str], None],
    failed: Callable[[str, float, str], None],
    name: str,
    trouble: str | None,
    explained: Callable[[], str],
    texts: list[str],
) -> None:
    if trouble is None:
        passed(name)
        return
    text = explained() or trouble
    failed(name, 0, text)
    if text not in texts:
        texts.append(text)


def _finished(
    exercise: Exercise, stages: list[Stage], points: Mapping[str, float], diagnosis: str | None, mistakes: Sequence[Any]
) -> Result:
    """The result, with the stages that were not reached."""
    if not any(stage.name == "values" and stage.points for stage in stages):
        # Not one probe came out right. A shape alone is no half of an answer: whoever returns NaN in it has it, too.
        stages = [stage._replace(points=0.0) for stage in stages]
    reached = {stage.name for stage in stages}
    stages += [Stage(name, False, 0.0, most, NOT_REACHED) for name, most in points.items() if name not in reached]
    status = "passed" if all(stage.passed for stage in stages) else "failed"
    return Result(exercise, status, stages, diagnosis, tuple(mistake.name for mistake in mistakes))


def said_of(mistakes: Sequence[Mistake]) -> str:
    """The mistakes in words, or nothing where there are none."""
    if not mistakes:
        return ""
    each = [f"{_sentence(mistake.says)}: {mistake.effect}." for mistake in mistakes]
    return each[0] if len(each) == 1 else f"Two things at once. First: {each[0]} Second: {each[1]}"


def _sentence(text: str) -> str:
    """With a capital; but q, k and x are names and stay as they are."""
    return text if text[1:2] == " " and text[0] not in "aA" else text[0].upper() + text[1:]


def _joined(text: str, more: str) -> str:
    return f"{text} Seen here: {more}." if more and more not in text else text


def _stopped_or_differs(difference: Difference) -> str:
    return f"{difference.text[0].upper()}{difference.text[1:]}."


def _compared(exercise: Exercise, probe: Probe, outcome: Outcome, right: Outcome) -> Difference | None:
    """What is wrong with an outcome's output, the worst kind first; None when nothing is."""
    if outcome.problem:
        problem = outcome.problem
        line = f" (line {problem.line}: `{problem.text.strip()}`)" if problem.text else ""
        said = f": {problem.message}" if problem.message else ""
        return Difference("problem", f"{probe.name}: it stopped with {problem.type}{said}{line}", math.inf)
    found = [one for one in differences(outcome.output, right.output, probe.axes) if one.distance > exercise.tolerance]
    if not found:
        return None
    first = min(found, key=lambda one: ("type", "shape", "value").index(one.kind))
    return Difference(first.kind, f"{probe.name}: {first.text}", first.distance)


def _gradient_difference(outcome: Outcome, right: Outcome, probe: Probe) -> str | None:
    for number, (mine, expected) in enumerate(zip(outcome.grads, right.grads, strict=False)):
        if mine is None and expected is not None and expected.abs().max() > 0:
            return f"No gradient flows back ({probe.name}, tensor {number + 1} of those that learn): is there a detach?"
        if mine is not None and expected is None and mine.abs().max() > 0:
            return f"A gradient flows where none should ({probe.name}, tensor {number + 1}): what is detached?"
        if mine is not None and expected is not None:
            for one in differences(mine, expected, probe.axes, f"the gradient of tensor {number + 1}"):
                if one.distance > 10 * TOLERANCE:
                    return f"{probe.name}: {one.text}."
    return None


def _touched(exercise: Exercise, found: Sequence[Outcome]) -> str | None:
    names = list(inspect.signature(exercise.solution).parameters)
    for outcome in found:
        for number in outcome.changed:
            if number not in exercise.may_change:
                name = names[number] if number < len(names) else f"argument {number + 1}"
                return f"It changes `{name}` in place, which belongs to the caller: work on a copy (`{name}.clone()`)."
        if exercise.looks_at_aliases and outcome.aliased:
            return "What it returns shares memory with what it was given: to change one changes the other. Copy it."
    return None


def _not_attempted(outcome: Outcome) -> str | None:
    """Whether this is a stub: it raises NotImplementedError, or gives back nothing at all."""
    if outcome.problem and outcome.problem.type == "NotImplementedError":
        return "Replace `raise NotImplementedError()` with your code."
    if not outcome.problem and (outcome.output is None or outcome.output == Other("ellipsis")):
        return "It returns None: write the body, and a `return` at its end."
    return None


def _wrong_signature(exercise: Exercise, problem: Any) -> str | None:
    """A sentence when the call itself did not fit the parameters."""
    message = problem.message
    fits = f"{exercise.function}() " in message or "positional argument" in message or "keyword argument" in message
    inside = problem.line and problem.text and not problem.text.lstrip().startswith("def ")
    if problem.type != "TypeError" or not fits or inside:
        return None
    return f"It cannot be called as asked ({message}): it is to be `{exercise.function}({exercise.signature})`."
