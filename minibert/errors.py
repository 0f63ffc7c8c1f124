"""The one error that is meant to be read by a person."""

from __future__ import annotations

import difflib
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
    near = difflib.get_close_matches(name, names, n=3) if isinstance(name, str) else []
    return f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(names)}."
