"""The learner's file is run here, in the learner's own process, one statement after the other, with a time limit."""

from __future__ import annotations

import ast
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

AT_ONCE = 10.0  # seconds for a statement at the top of a file


def run_statements(text: str, file: str, module: ModuleType) -> dict[int, str]:
    """Run a file in a module, and go on after a statement that fails: the line of each of these, and what it did.

    file: its name in tracebacks. A statement that ends the program, as `sys.exit()`, is one that fails; so is a loop
    without an end, where there is a time limit.
    """
    sys.modules[module.__name__] = module  # where dataclasses, for example, look for their module
    failed = {}
    for node in ast.parse(text).body:
        try:
            with time_limit(AT_ONCE):
                exec(compile(ast.Module([node], []), file, "exec"), module.__dict__)
        except KeyboardInterrupt:
            raise
        except TimeoutError as error:
            said = str(error) or f"did not end in {AT_ONCE:.0f} s"
            failed[node.lineno] = said if not str(error) else f"raised TimeoutError: {said}"
        except BaseException as error:  # SystemExit too: it must not end the program that reads the file
            failed[node.lineno] = f"raised {type(error).__name__}: {str(error)[:200]}"
    return failed


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise TimeoutError in the block after this many seconds. Without alarms (Windows, threads) there is no limit."""
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return

    class Late(BaseException):  # not an Exception, which a learner's `except Exception` would catch
        pass

    def ring(signum: int, frame: Any) -> None:
        raise Late

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    except Late:
        raise TimeoutError from None
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
