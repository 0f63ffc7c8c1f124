"""What a reader of an exam sees of a returned value: how it is written, and how it looks before a number is read."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from minibert.exercises.calls import Outcome

DIGITS = 3  # after the point
SEEN = 0.02  # numbers that are at least so far apart are seen to be different


def plain(value: Any) -> Any:
    """A value with lists in place of tensors."""
    if isinstance(value, Tensor):
        return value.tolist()
    if isinstance(value, (list, tuple)):
        return type(value)(map(plain, value))
    return {key: plain(one) for key, one in value.items()} if isinstance(value, dict) else value


def written(value: Any) -> str:
    """A value as the exam shows it."""
    if isinstance(value, Tensor):
        return written(value.tolist())
    if isinstance(value, (list, tuple)):
        inside = ", ".join(map(written, value))
        return f"({inside})" if isinstance(value, tuple) else f"[{inside}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key!r}: {written(one)}" for key, one in value.items()) + "}"
    if isinstance(value, float) and math.isfinite(value):
        rounded = round(value, DIGITS) + 0.0
        return str(int(rounded)) if rounded == value and rounded.is_integer() else f"{rounded:.{DIGITS}f}"
    return repr(value)


def leaves_of(value: Any) -> Iterator[Any]:
    """The numbers and texts in a plain value."""
    if isinstance(value, (list, tuple, dict)):
        for one in value.values() if isinstance(value, dict) else value:
            yield from leaves_of(one)
    else:
        yield value


def shape_of(value: Any) -> Any:
    """How a plain value is nested, and of what: its brackets and lengths, its keys, and the kinds of its ends."""
    if isinstance(value, (list, tuple)):
        return type(value).__name__, [shape_of(one) for one in value]
    if isinstance(value, dict):
        return "dict", [(key, shape_of(one)) for key, one in value.items()]
    kinds = {bool: "truth", int: "number", float: "number", str: "text"}
    return kinds.get(type(value), type(value).__name__)


def signs_of(leaf: Any) -> set[str]:
    """What catches the eye in a number or a text, without working anything out."""
    if isinstance(leaf, str):
        return {one for one in leaf if not one.isalnum()}  # the marks of pieces, unknown ones, blanks
    if isinstance(leaf, bool) or not isinstance(leaf, (int, float)):
        return set()
    if not math.isfinite(leaf):
        return {repr(leaf)}
    return {*written(leaf)} & {".", "-"}


def look_of(value: Any) -> Any:
    """All that shows of a returned value before a number is compared or a text is read.

    Its shape or lengths, the kinds of what it contains, how many letters its texts have, and whether there are
    fractions, minus signs, NaN, or characters that are not letters.
    """
    value = plain(value)
    ends = list(leaves_of(value))
    letters = sum(one.isalnum() for end in ends if isinstance(end, str) for one in end)
    return shape_of(value), letters, set().union(*map(signs_of, ends))


@dataclass(frozen=True)
class Sight:
    """An outcome as a reader sees it. problem: the type of the exception, or empty. ends: its numbers and texts."""

    problem: str
    ends: list[Any]
    text: str
    look: Any

    def same_look(self, other: Sight) -> bool:
        """Whether the two cannot be told apart without reading their numbers or texts."""
        return not self.problem and not other.problem and self.look == other.look

    def differs(self, other: Sight) -> bool:
        """Whether a reader sees that the two differ."""
        if self.problem != other.problem or self.look[0] != other.look[0]:
            return True
        return self.text != other.text and any(map(apart, self.ends, other.ends))


def apart(one: Any, other: Any) -> bool:
    """Whether two numbers or texts are seen to be different."""
    if one == other or (one != one and other != other):  # NaN is as good as NaN
        return False
    if isinstance(one, (bool, int, float)) and isinstance(other, (bool, int, float)):
        return not abs(one - other) < SEEN
    return True


def sight_of(outcome: Outcome) -> Sight:
    if outcome.problem is not None:
        return Sight(outcome.problem.type, [], "", (None,))
    value = plain(outcome.output)
    return Sight("", list(leaves_of(value)), written(value), look_of(value))
