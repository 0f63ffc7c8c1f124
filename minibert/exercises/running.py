"""The learner's file is run here, in the learner's own process, one statement after the other, with a time limit.

A statement that does more than define something is tried in a copy of the process first: it may end the process at
once (`os._exit`, a crash), and then it is left out here.
"""

from __future__ import annotations

import ast
import faulthandler
import io
import os
import select
import signal
import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import Any, NoReturn

from minibert.signs import how_it_ended
from minibert.timing import OwnTime

AT_ONCE = 10.0  # seconds for a statement at the top of a file
GRACE = 2.0  # seconds more, after which a copy of the process is killed: its statement cannot be interrupted


def run_statements(text: str, file: str, module: ModuleType) -> dict[int, str]:
    """Run a file in a module, and go on after a statement that fails: the line of each of these, and what it did.

    file: its name in tracebacks. A statement that ends the program, as `sys.exit()`, `os._exit(1)` or a crash, is one
    that fails; so is a loop without an end, where there is a time limit.
    """
    sys.modules[module.__name__] = module  # where dataclasses, for example, look for their module
    nodes = ast.parse(text).body
    failed = deadly(nodes, file, module)
    for node in nodes:
        if node.lineno not in failed and (said := run_statement(node, file, module)):
            failed[node.lineno] = said
    return dict(sorted(failed.items()))


def run_statement(node: ast.stmt, file: str, module: ModuleType) -> str:
    """Run a statement: what it did if it failed, else an empty text."""
    try:
        with time_limit(AT_ONCE):
            exec(compile(ast.Module([node], []), file, "exec"), module.__dict__)
    except KeyboardInterrupt:
        raise
    except TimeoutError as error:
        return f"raised TimeoutError: {error}" if str(error) else LATE
    except BaseException as error:  # SystemExit too: it must not end the program that reads the file
        return f"raised {type(error).__name__}: {str(error)[:200]}"
    return ""


LATE = f"did not end in {AT_ONCE:.0f} s"


def deadly(nodes: Sequence[ast.stmt], file: str, module: ModuleType) -> dict[int, str]:
    """The statements that end the process, or never end: the line of each, and what it did.

    Where the process cannot be copied (Windows), none is known.
    """
    found: dict[int, str] = {}
    if hasattr(os, "fork") and not all(map(only_defines, nodes)):
        while ended := first_deadly([one for one in nodes if one.lineno not in found], file, module):
            found |= ended
    return found


def first_deadly(nodes: Sequence[ast.stmt], file: str, module: ModuleType) -> dict[int, str]:
    """Run the statements in a copy of this process, up to the first that ends it or does not end."""
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # that this process has threads: the copy uses none of them
        child = os.fork()
    if child == 0:
        try_statements(nodes, file, module, writer)
    os.close(writer)
    at, open_ended = 0, False
    try:
        for node in nodes:
            ready, *_ = select.select([reader], [], [], AT_ONCE + GRACE)
            answer = os.read(reader, 1) if ready else b""
            if answer != b".":
                at, open_ended = node.lineno, answer == b"?" or not ready
                break
    finally:
        if open_ended or not at:
            os.kill(child, signal.SIGKILL)
        os.close(reader)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if not at:
        return {}
    return {at: LATE if open_ended else how_it_ended(status)}


def try_statements(nodes: Sequence[ast.stmt], file: str, module: ModuleType, writer: int) -> None:
    """In the copy: run the statements, and report each that leaves the process alive. Never returns."""
    end = os._exit
    try:
        quiet = os.open(os.devnull, os.O_RDWR)
        for stream in range(3):  # what is printed is printed when the file is run in earnest
            os.dup2(quiet, stream)
        sys.stdout = sys.stderr = io.StringIO()
        faulthandler.disable()
        if "torch" in sys.modules:
            torch = sys.modules["torch"]
            torch.set_num_threads(1)  # the threads of its pool are not in the copy, and waiting for them never ends
            torch.set_num_threads = lambda number: None  # whatever the file asks for
        for node in nodes:
            late = run_statement(node, file, module) == LATE
            os.write(writer, b"?" if late else b".")
    finally:
        end(0)


def only_defines(node: ast.stmt) -> bool:
    """Whether a statement only defines something, or imports what is there already, and so ends no process."""
    if isinstance(node, ast.Import):
        return all(one.name in sys.modules for one in node.names)
    if isinstance(node, ast.ImportFrom):
        return node.module in sys.modules or node.module == "__future__"
    if isinstance(node, ast.ClassDef):
        return not node.decorator_list and not node.keywords and all(map(only_defines, node.body))
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
        at_once: list[ast.AST] = [node.args, *([node.returns] if node.returns else [])]
        return not node.decorator_list and not any(map(calls, at_once))
    return isinstance(node, (ast.Assign, ast.AnnAssign, ast.Expr, ast.Pass)) and not calls(node)


def calls(node: ast.AST) -> bool:
    return any(isinstance(one, (ast.Call, ast.Await)) for one in ast.walk(node))


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise TimeoutError in the block after this many seconds of its own time (see `OwnTime`): a busy machine costs
    nobody anything. Without alarms (Windows, threads) there is no limit."""
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return

    class Late(BaseException):  # not an Exception, which a learner's `except Exception` would catch
        pass

    own = OwnTime()

    def ring(signum: int, frame: Any) -> None:
        if (left := seconds - own.passed()) <= 0:
            raise Late
        signal.setitimer(signal.ITIMER_REAL, max(left, 0.01))

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    except Late:
        raise TimeoutError from None
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def stays_alive() -> Iterator[None]:
    """In the block, `os._exit` raises SystemExit, so that its line is known. A copy of the process ends as always."""
    own, end = os.getpid(), os._exit

    def ending(status: int) -> NoReturn:
        if os.getpid() != own:
            end(status)
        raise SystemExit(status)

    os._exit = ending
    try:
        yield
    finally:
        os._exit = end
