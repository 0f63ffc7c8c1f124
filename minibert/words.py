"""Parts of sentences that are made from values: lists, counts, types, and numbers with a sign."""

from __future__ import annotations

import math
from collections.abc import Iterable


def listed(items: Iterable[object], last: str = "and") -> str:
    """The items as a sentence lists them: "a", "a and b", "a, b and c"; nothing for no items.

    last: the word before the last item.
    """
    *others, final = [str(item) for item in items] or [""]
    return f"{', '.join(others)} {last} {final}" if others else final


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """A number with its noun: "1 seed", "3,000 seeds". plural: if it is not the noun with an s."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def are(number: int) -> str:
    """The verb after a number: "1 of 60 parts is yours", "2 of 60 parts are yours"."""
    return "is" if number == 1 else "are"


def points(score: float) -> str:
    """A score as a learner sees it: whole points, rounded down, so that only all of them read as all of them."""
    return f"{math.floor(score + 1e-9):g}"


def type_of(value: object) -> str:
    """The type of a value with "a" or "an", by how it is spoken: "a str", "an int", "an XLNet"."""
    name = type(value).__name__
    return f"{'an' if name[:1].lower() in 'aeio' or name.startswith('XL') else 'a'} {name}"


def signed(value: float, digits: int) -> str:
    """A number with its sign, "+1.5" or "−1.5" (a real minus sign); what rounds to zero is "+0.0"."""
    return f"{round(value, digits) + 0.0:+.{digits}f}".replace("-", "−")  # + 0.0 turns −0.0 into 0.0
