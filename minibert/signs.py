"""Signs of life: what long work shows of itself, on a terminal and where there is none; and how a process ended."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Event, Thread
from time import monotonic
from typing import TextIO

from minibert.words import counted

Progress = Callable[[int, int], None]  # is called with how many are done, and of how many

FIRST_LINE, NEXT_LINE = 4.0, 15.0  # seconds until a line is written where there is no terminal, and between two of them
REDRAWN = 1.0  # seconds after which a bar on a terminal is drawn again, so that its clock does not stand still


def signal_name(status: int) -> str:
    """The name of the signal that ended a process. status: its exit status, below 0."""
    return next((one.name for one in signal.Signals if one == -status), f"signal {-status}")


def how_it_ended(status: int) -> str:
    """What is said of code that has ended its process. status: of the process; below 0 if a signal ended it."""
    if status >= 0:
        return f"ended the program, with the status {status}"
    name = signal_name(status)
    return f"made the program crash ({name}{': too much memory?' if name == 'SIGKILL' else ''})"


@contextmanager
def progress_bar(label: str, unit: str = "call") -> Iterator[Progress]:
    """What goes on, on stderr: a progress bar that disappears at the end, or lines where there is no terminal."""
    with Bar(label, unit) as bar:
        yield bar.show


class Bar:
    """How far some work is: a bar on stderr if that is a terminal. Elsewhere the commands write a line now and then.

    label: what is being done. unit: one piece of it. total: how many there are, if that is known. done: how many are
    done already. hidden: show nothing, as in all processes but the first. leave: the bar stays when the work is done.

    Lines come from a thread, because one piece can take minutes. They name all work that is going on, the outermost
    first: "measuring D6, 1 of 4 runs, 50 s; student, 30 of 200 steps, 9 s". A library that is imported writes none.
    """

    def __init__(
        self, label: str, unit: str = "call", total: int | None = None, done: int = 0, *,
        hidden: bool = False, leave: bool = False,
    ):  # fmt: skip
        self.label, self.unit, self.total, self.done, self.hidden = label, unit, total, done, hidden
        self.note = ""  # what else is known of the last piece
        from tqdm import tqdm  # here, because the command line appears sooner without it

        self.began = monotonic()
        self.drawn = tqdm(
            desc=label, unit=unit, total=total, initial=done, leave=leave, dynamic_ncols=True,
            disable=True if hidden or sys.stderr is None else None,
        )  # fmt: skip

    def show(self, done: int, of: int | None = None, note: str = "") -> None:
        """Say how many pieces are done, of how many, and something about the last one."""
        self.done, self.total, self.note = done, self.total if of is None else of, note
        self.drawn.total = self.total
        self.drawn.set_postfix_str(note, refresh=False)
        self.drawn.update(done - self.drawn.n)

    def __enter__(self) -> Bar:
        if not self.hidden:
            _SIGNS.add(self)
        return self

    def __exit__(self, *raised: object) -> None:
        _SIGNS.remove(self)
        self.drawn.close()

    def __str__(self) -> str:
        parts, plural = [self.label], self.unit if self.unit.isupper() else None  # MB
        if self.total is not None:
            parts.append(f"{self.done:,} of {counted(self.total, self.unit, plural)}")
        elif self.done:
            parts.append(counted(self.done, self.unit, plural))
        return ", ".join([*parts, *filter(None, [self.note]), f"{monotonic() - self.began:.0f} s"])


class _Signs:
    """The bars that are open, and the thread that shows them while a single piece of work takes long."""

    def __init__(self) -> None:
        self.wanted = False  # set by the command line
        self.bars: list[Bar] = []
        self.stop = Event()
        self.thread: Thread | None = None

    def add(self, bar: Bar) -> None:
        # Inside a lesson that is being built, stderr is what the lesson prints: nothing may be added to it.
        if self.wanted and sys.stderr is not None and sys.stderr is sys.__stderr__:
            self.bars.append(bar)
            if self.thread is None:
                self.stop = Event()
                self.thread = Thread(target=self._run, args=(sys.stderr, self.stop), daemon=True)
                self.thread.start()

    def remove(self, bar: Bar) -> None:
        if bar in self.bars:
            self.bars.remove(bar)
            if not self.bars and self.thread is not None:
                self.stop.set()
                self.thread.join(1.0)  # no longer, should nobody read what it writes
                self.thread = None

    def _run(self, stream: TextIO, stop: Event) -> None:
        lines = not stream.isatty()
        wait = FIRST_LINE if lines else REDRAWN
        while not stop.wait(wait):
            bars = list(self.bars)
            with suppress(OSError, ValueError):  # closed, or full: the work goes on
                if not lines:
                    for bar in bars:
                        bar.drawn.refresh()
                elif bars:
                    print("; ".join(map(str, bars)), file=stream, flush=True)
            wait = NEXT_LINE if lines else REDRAWN


_SIGNS = _Signs()


def show_signs_of_life() -> None:
    """From now on, long work that has a progress bar writes a line now and then where there is no terminal."""
    _SIGNS.wanted = True
