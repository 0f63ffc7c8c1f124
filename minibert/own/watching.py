"""`minibert mine` at work in a copy of its process, so that a part that ends the process is named all the same.

A crash, such as a segmentation fault, or a call of C's exit ends a whole process, whatever Python would do. So the copy
writes which part is running into memory that both processes share, and the process that waits for it tells. It is made
before torch is loaded, because a copy has none of the threads that torch computes with.
"""

from __future__ import annotations

import faulthandler
import json
import linecache
import mmap
import os
import pickle
import re
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, NoReturn

from minibert.errors import MinibertError
from minibert.signs import how_it_ended

SIZE = 2**16  # bytes of the shared memory
RUNNING, LAST, RAISED = slice(0, 4096), slice(4096, 8192), slice(8192, SIZE)  # which part, and what the copy raised
LONGEST = 10_000  # characters of a message that is passed on
UNEXPECTED = 1  # Python's exit status after an error that it shows with a traceback
TWICE = 1.0  # seconds within which a second Ctrl-C is taken for the same one: a terminal sends it to both processes

_shared: mmap.mmap | None = None  # set in the copy


class Ended(MinibertError):
    """The copy has ended in the middle of its work. exercise: the one whose part was running, or None."""

    def __init__(self, said: str, exercise: str | None):
        super().__init__(said)
        self.exercise = exercise


def mark(exercise: str, function: str, file: Path, line: int) -> bytes:
    """What is known of a part: its exercise and its function, and the line of the file where it begins."""
    known = {"exercise": exercise, "function": function, "file": str(file), "line": line}
    if len(whole := json.dumps(known).encode()) > RUNNING.stop:  # a very long path: its end is what is shown
        whole = json.dumps(known | {"file": file.name}).encode()
    return whole


@contextmanager
def running(part: bytes) -> Iterator[None]:
    """A block in which the part with this mark runs. Inside it another part may run."""
    if _shared is None:
        yield
        return
    before = _read(_shared, RUNNING)
    _write(_shared, RUNNING, part)
    _write(_shared, LAST, part)
    try:
        yield
    finally:
        _write(_shared, RUNNING, before)


def blamed(part: bytes, what: str, line: int | None = None) -> str:
    """The sentence about a part that failed. part: its mark. what: what it did. line: where, if that is known."""
    known = json.loads(part)
    file, name = Path(known["file"]), known["exercise"]
    code = linecache.getline(str(file), line).strip() if line else ""
    where = f"{file.name}, line {line or known['line']}" + (f": `{code}`" if code else "")
    return (
        f"your {known['function']} ({where}) {what}. Mend it and check it again (exercise {name}), "
        f'or use the library\'s: minibert.mine(..., without=["{name}"]).'
    )


def watched(work: Callable[[], None]) -> None:
    """Do the work in a copy of this process, as if it was done here: what it prints and raises is printed and raised.

    Raises Ended if the copy ends in the middle of the work. The work is done in this process if it cannot be copied
    (Windows), outside the main thread, or once torch is loaded: a copy would lack torch's threads.
    """
    in_main_thread = threading.current_thread() is threading.main_thread()
    if not hasattr(os, "fork") or not in_main_thread or "torch" in sys.modules:
        work()
        return
    shared = mmap.mmap(-1, SIZE)
    reads, holds = os.pipe()  # the copy reads from it, and notices when this process is gone
    sys.stdout.flush()
    sys.stderr.flush()
    before = signal.getsignal(signal.SIGINT)
    with tempfile.TemporaryFile() as crash:
        child = os.fork()
        if child == 0:
            os.close(holds)
            _copied(work, shared, crash, reads)
        os.close(reads)
        try:
            if before is signal.default_int_handler:
                signal.signal(signal.SIGINT, lambda *_: os.kill(child, signal.SIGINT))
            status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        finally:
            if before is signal.default_int_handler:
                signal.signal(signal.SIGINT, before)
            os.close(holds)
        if not (raised := _read(shared, RAISED)):
            raise _ended(shared, crash, status)
    if (error := pickle.loads(raised)) is not None:
        raise error


def _copied(work: Callable[[], None], shared: mmap.mmap, crash: IO[bytes], alive: int) -> NoReturn:
    """In the copy: do the work, say what it raised, and end."""
    global _shared
    end = os._exit
    try:
        _shared = shared
        faulthandler.enable(crash, all_threads=False)
        threading.Thread(target=_end_with, args=(alive,), daemon=True).start()
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, _Interrupt())
        raised = _raised(work)
        with suppress(OSError, ValueError):  # that the output cannot be written has been noticed
            sys.stdout.flush()
            sys.stderr.flush()
        _write(shared, RAISED, _pickled(raised))
    finally:
        end(0)


def _raised(work: Callable[[], None]) -> BaseException | None:
    """What the work raises, so that the command can say it; an error that nobody expects is shown here."""
    try:
        work()
        sys.stdout.flush()
    except MinibertError as error:
        return MinibertError(str(error)[:LONGEST])
    except (KeyboardInterrupt, OSError, ModuleNotFoundError) as error:
        return error
    except BaseException:
        traceback.print_exc()
        return SystemExit(UNEXPECTED)
    return None


def _pickled(raised: BaseException | None) -> bytes:
    """An error as bytes; what cannot be passed on, or is too large, as a MinibertError with its message."""
    with suppress(Exception):
        whole = pickle.dumps(raised)
        pickle.loads(whole)  # some errors can be written, but not read again
        if len(whole) <= RAISED.stop - RAISED.start:
            return whole
    return pickle.dumps(MinibertError(str(raised)[:LONGEST]))


class _Interrupt:
    """Ctrl-C in the copy: it raises KeyboardInterrupt once, also if both processes get it and one passes it on."""

    def __init__(self) -> None:
        self.last = -TWICE

    def __call__(self, *_: object) -> None:
        now = time.monotonic()
        if now - self.last > TWICE:
            self.last = now
            raise KeyboardInterrupt


def _end_with(alive: int) -> None:
    """End this process when the other end of a pipe is closed, as the process is gone that waits for this one."""
    os.read(alive, 1)
    os.kill(os.getpid(), signal.SIGKILL)


def _ended(shared: mmap.mmap, crash: IO[bytes], status: int) -> Ended:
    """What is said of a copy that has ended in the middle of its work."""
    said = how_it_ended(status)
    if part := _read(shared, RUNNING):
        crash.seek(0)
        name = re.escape(Path(json.loads(part)["file"]).name.encode())
        found = re.search(rb'\b%s", line (\d+) in' % name, crash.read())  # the innermost line of the learner's file
        return Ended(blamed(part, said, int(found[1]) if found else None), json.loads(part)["exercise"])
    if not (part := _read(shared, LAST)):
        return Ended(f"something {said}, before any part of yours had run: try it again.", None)
    known = json.loads(part)
    return Ended(
        f"something {said}, when no part of yours was running; the last one was your {known['function']}. Check it "
        f"again (exercise {known['exercise']}), or leave it out with --without {known['exercise']}.",
        None,
    )


def _read(shared: mmap.mmap, where: slice) -> bytes:
    return shared[where].rstrip(b"\0")


def _write(shared: mmap.mmap, where: slice, what: bytes) -> None:
    shared[where] = what.ljust(where.stop - where.start, b"\0")
