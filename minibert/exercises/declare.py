"""What an exercise declares: its task, its reference with knobs, its known mistakes, its probes and its hints.

A reference is a right solution with keyword knobs. The defaults are right, and every other value of a knob builds one
known mistake into it. Continue with `compare.py` (how far two outcomes are apart), `diagnose.py` (which mistake
explains an answer) and `check.py` (the stages, the points and the words). The exercises themselves are in `catalogue/`.
"""

from __future__ import annotations

import random
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from minibert.exercises.calls import Call

# The stages of a check and their points. An exercise leaves out the stages that do not apply to it.
STAGES = {"exists": 0.0, "signature": 1.0, "shape": 2.0, "values": 4.0, "gradients": 1.0, "inputs": 1.0, "swap": 1.0}
# How hard an exercise is: the lesson shows the answer above it; the lesson explains it; it takes ideas of one's own.
LEVELS = ("warm-up", "core", "challenge")
LONGEST_EXERCISE = 30  # minutes
TOLERANCE = 1e-5  # relative to 1 + the size of the value; inputs are float64, so that a right answer is far below it
ERROR = 1e-7  # the probability with which a single test of chance.py refuses a right answer
DOUBT = 0.02  # the probability with which it asks for more calls, which then decide


@dataclass(frozen=True)
class Mistake:
    """A wrong value of a knob.

    says: what the code does instead, in plain words. effect: what follows from it. hint: the first hint for this
    mistake, by default the exercise's own.
    """

    name: str
    knob: str
    value: Any
    says: str
    effect: str
    hint: str = ""


@dataclass(frozen=True)
class Probe:
    """One call with which an answer is tested. name: what is special about it, in a few words ("with padding").

    axes: letter -> size, for the letters of the task and of `minibert.__doc__`; no other axis has a letter. The sizes
    are all different, so that the letters can be read from a shape; sizes of 1 are not listed. more: further calls,
    made only if the outcome of the first leaves doubt whether chance explains it; their outputs are added to that of
    the first, which must be a list (see `Call.again`). beyond: if the probe asks for more than BERT's own setting does,
    a sentence that says so, for answers that fail nothing else.
    """

    name: str
    call: Call
    axes: Mapping[str, int] = field(default_factory=dict)
    more: tuple[Call, ...] = ()
    beyond: str = ""


@dataclass(frozen=True)
class Hints:
    """Four hints, each clearer than the one before: a sentence or two, and last a few lines of code with gaps."""

    nudge: str
    concept: str
    formula: str
    sketch: str


@dataclass(frozen=True, eq=False)
class Exercise:
    """A function to write, and everything that the checker knows about it.

    name: what `check` is called with. topic: the notebook it belongs to. function: the name of the function.
    signature: its parameters, as in the stub. task: what to write, in Markdown, with the shapes of all arguments and of
    the result. source: the paper and section.
    reference: called like the answer, with the knobs as further keywords. solution: a self-contained function, as a
    person would write it. library: the same function as minibert implements it. equivalents: other right ways to
    write it; the tests check that they pass.
    mistakes: the known ones. probes: makes the probes; it is called once. hints: shown one after another.
    view: for random answers. Called with the returned value, the call and a probability of error, it returns what is
    compared: statements that are true or false, and statistics (see chance.py). None: the value itself is compared.
    tolerance: for the differences of what is compared; with a
    view, only to tell mistakes apart. looks_at_aliases: the result must not share memory with an
    argument. may_change: the numbers of arguments that the answer may change in place, such as a generator.
    swap: the seam of swap.py where the answer can run inside a real model.
    moved: the same probe with other integers or texts, drawn at random, for probes that hold no decimals (moved.py).
    level: one of LEVELS. The answer to a warm-up may stand above it in its lesson, that to a core exercise does not,
    and a challenge needs an idea that the lesson does not give. minutes: how long it takes a learner who has read the
    lesson up to it.
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
    view: Callable[[Any, Call, float], Any] | None = None
    tolerance: float = TOLERANCE
    looks_at_aliases: bool = False
    may_change: tuple[int, ...] = ()
    swap: str | None = None
    equivalents: tuple[Callable[..., Any], ...] = ()
    moved: Callable[[Probe, random.Random], Probe] | None = None
    level: str = field(kw_only=True)  # no defaults: each exercise says its own
    minutes: int = field(kw_only=True)

    def __post_init__(self) -> None:
        if self.level not in LEVELS:
            raise ValueError(f"exercise {self.name}: the level must be one of {LEVELS}, but is {self.level!r}")
        if type(self.minutes) is not int or not 0 < self.minutes <= LONGEST_EXERCISE:
            wanted = f"an integer from 1 to {LONGEST_EXERCISE}"
            raise ValueError(f"exercise {self.name}: minutes must be {wanted}, but is {self.minutes!r}")

    @property
    def exactness(self) -> float:
        """How far a right answer may be from the reference. What a view shows is the same for all right answers."""
        return self.tolerance if self.view is None else 1e-9

    @property
    def names(self) -> tuple[str, str]:
        """The names by which an answer is found in a file: `attention`, else `my_attention`."""
        return self.function, f"my_{self.function}"

    @property
    def stages(self) -> dict[str, float]:
        """The stages that apply to this exercise, with their points."""
        kept = dict(STAGES)
        if not any(probe.call.grads for probe in probes_of(self)):
            del kept["gradients"]
        if self.swap is None:
            del kept["swap"]
        return kept

    @property
    def header(self) -> str:
        """The first line of the function, or its first lines if one would be too long."""
        line = f"def {self.function}({self.signature}):"
        if len(line) <= 96:
            return line
        return f"def {self.function}(\n{textwrap.indent(textwrap.fill(self.signature, 90), '    ')}\n):"

    @property
    def stub(self) -> str:
        """What a learner starts from."""
        return f"{self.header}\n    raise NotImplementedError()\n"


@cache
def probes_of(exercise: Exercise) -> tuple[Probe, ...]:
    """The probes of an exercise, made once."""
    return tuple(exercise.probes())
