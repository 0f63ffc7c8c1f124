"""The one error that is meant to be read by a person."""

from __future__ import annotations

import difflib
import operator
from collections.abc import Iterable


class MinibertError(ValueError):
    """Bad input, explained in one sentence: what was wrong, what was expected, what to do.

    The command line prints the sentence without a traceback and exits with status 2; in Python it is a
    ``ValueError`` like any other.
    """


def check_known(what: str, name: object, known: Iterable[str], for_what: str = "") -> None:
    """Raise MinibertError, with the nearest names, if `name` is none of those that are known.

    Every public function looks up the names that it is given with this: a list or a tensor is no name either.
    """
    names = list(known)
    if not isinstance(name, str) or name not in names:
        raise MinibertError(f"there is no {what} {quoted(name)}{for_what}; {nearest(name, names)}")


def check_seed(seed: object) -> int:
    """A seed as an integer that every generator takes. Every public function looks at its seed with this.

    Raises MinibertError for what is not an integer (text, True, 1.0), or has more than 64 bits.
    """
    try:
        if isinstance(seed, bool):
            raise TypeError
        number = operator.index(seed)  # type: ignore[arg-type]  # NumPy's integers, too
    except (TypeError, ValueError):
        raise MinibertError(f"the seed must be an integer, but is {quoted(seed)}.") from None
    if not -(2**63) <= number < 2**63:
        raise MinibertError(f"the seed must be an integer of at most 64 bits, but is {quoted(seed)}.")
    return number


def quoted(value: object) -> str:
    """A value in a sentence, as Python writes it, if that is short and possible."""
    try:
        text = repr(value)
    except Exception:  # an integer of more than 4,300 digits, or an object of somebody else's
        text = f"<{type(value).__name__}>"
    text = " ".join(text.split())
    return text if len(text) <= QUOTED else f"{text[: QUOTED - 2]} …"


QUOTED = 80  # characters


def nearest(name: object, known: Iterable[str]) -> str:
    """The end of a sentence about an unknown name: the names that may have been meant, or all known names."""
    names = list(known)
    near = _near(name, names)[:NEAREST] if isinstance(name, str) else []
    return f"did you mean {_either(near)}?" if near else f"known: {', '.join(names)}."


NEAREST = 3  # names
ALIKE = 0.6  # of two names, as difflib measures it: 1 if they are equal
BEGINS_ALIKE = 0.8  # of what was typed, and as many letters of a name
LEAST = 2  # letters that may be the beginning of a name


def _near(name: str, known: list[str]) -> list[str]:
    """First the names that begin with what was typed, then those that nearly do or contain it, or are like it."""
    typed = name.strip().casefold()
    found: list[tuple[int, float, str]] = []
    for one in known:
        text = one.casefold()
        alike = difflib.SequenceMatcher(None, text, typed).ratio()
        beginning = difflib.SequenceMatcher(None, text[: len(typed)], typed).ratio()
        if len(typed) >= LEAST and text.startswith(typed):
            found.append((0, 0.0, one))  # in the order in which they are known
        elif len(typed) > LEAST and (beginning >= BEGINS_ALIKE or typed in text):
            found.append((1, -max(alike, beginning), one))
        elif alike >= ALIKE:
            found.append((1, -alike, one))
    return [one for _, _, one in sorted(found, key=lambda each: each[:2])]


def _either(names: list[str]) -> str:
    *others, last = names
    return f"{', '.join(others)} or {last}" if others else last
