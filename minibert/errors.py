"""The one error that is meant to be read by a person."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class MinibertError(ValueError):
    """Bad input, explained in one sentence: what was wrong, what was expected, what to do.

    The command line prints the sentence without a traceback and exits with status 2; in Python it is a
    ``ValueError`` like any other.
    """


def nearest(name: object, known: Iterable[str]) -> str:
    """The end of a sentence about an unknown name: the names that may have been meant, or all known names."""
    names = list(known)
    near = difflib.get_close_matches(str(name), names, n=3)
    return f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(names)}."
