"""What a learner's function prints while it is called dozens of times: shown once, and then left out, which is said."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from functools import cache
from types import CodeType
from typing import Any

MOST = 2000  # characters that are shown
LEFT_OUT = "(What {name} prints after this is left out.)"


def once(function: Callable[..., Any], name: str) -> Once:
    """The same Once for the same code, also if its file is run again for another model."""
    return _once(getattr(function, "__code__", None), name)


@cache
def _once(code: CodeType | None, name: str) -> Once:
    return Once(name)


class Once(io.TextIOBase):
    """Shows what the first call that prints has printed, up to MOST characters; once it says that the rest is left out.

    name: of the function. Use `call` around each call.
    """

    def __init__(self, name: str):
        self.name = name
        self.room = MOST
        self.printed = False
        self.said = False
        self.shown: Any = None  # the stream on which it is shown; None between calls

    @contextmanager
    def call(self) -> Iterator[None]:
        """A block that makes one call. A call inside a call belongs to it."""
        if self.shown is not None:
            yield
            return
        self.shown = sys.stdout
        self.room = 0 if self.printed else self.room
        try:
            with redirect_stdout(self):
                yield
        finally:
            self.shown = None

    def around(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, each call of which is in such a block."""

        def called(*args: Any, **kwargs: Any) -> Any:
            with self.call():
                return function(*args, **kwargs)

        return called

    def write(self, text: str) -> int:
        if self.shown is None or not text:  # kept by the function, and written to after the call
            return len(text)
        self.printed = True
        self.shown.write(text[: self.room])
        if len(text) > self.room and not self.said:
            self.said = True
            self.shown.write(f"{chr(10) if self.room else ''}{LEFT_OUT.format(name=self.name)}\n")
        self.room = max(0, self.room - len(text))
        return len(text)

    def writable(self) -> bool:
        return True

    def flush(self) -> None:
        if self.shown is not None:
            self.shown.flush()
