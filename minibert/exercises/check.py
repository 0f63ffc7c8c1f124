"""`minibert.check`: an answer in a notebook, through the stages."""

from __future__ import annotations

import difflib
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from minibert.errors import MinibertError
from minibert.exercises.calls import Call, Outcome, Problem, make_call
from minibert.exercises.catalogue import exercises
from minibert.exercises.engine import Exercise, Result, evaluate

LONGEST = 20.0  # seconds that an answer may take over one call


def exercise_named(name: str) -> Exercise:
    """The exercise of that name. Raises MinibertError, with the nearest names, when there is none."""
    found = exercises()
    if name in found:
        return found[name]
    near = difflib.get_close_matches(str(name), found, n=3)
    hint = f"did you mean {' or '.join(near)}?" if near else f"there are: {', '.join(found)}."
    raise MinibertError(f"there is no exercise {name!r}; {hint}")


def check(exercise: str, answer: Callable[..., Any]) -> Result:
    """Check an answer to an exercise: how far it comes, and what is wrong with it.

    exercise: its name, as `minibert.progress()` lists them. answer: the function itself, not the result of a call.
    Returns a Result: .passed, .status, .diagnosis, .mistakes, .score, and .hint(), which says a little more each time.

    Raises MinibertError for an unknown exercise or an answer that is no function.
    """
    declared = exercise_named(exercise)
    if not callable(answer):
        raise MinibertError(
            f"the answer is a {type(answer).__name__}, not a function: give its name without brackets, as in "
            f'minibert.check("{exercise}", {declared.function}).'
        )
    owner = str(getattr(answer, "__module__", "")).partition(".")[0]
    if owner == "minibert":
        return Result(declared, "reference", [], "This is the library's own code: the exercise is to write your own.")
    from minibert.exercises import progress, swap

    notes: list[str] = []

    def in_model() -> str | None:
        try:
            with time_limit(LONGEST):
                trouble, note = swap.trial(declared, answer)
        except TimeoutError:
            return f"Inside a real model it gives no answer in {LONGEST:.0f} s."
        notes.extend([note] if note else [])
        return trouble

    result = evaluate(declared, lambda call: timed_call(answer, call), in_model)
    result.note = notes[0] if notes else None
    if owner != "torch":  # torch's own function is nobody's achievement
        progress.remember(result)
    return result


def timed_call(answer: Callable[..., Any], call: Call) -> Outcome:
    """Make a call that may not take longer than LONGEST."""
    try:
        with time_limit(LONGEST):
            return make_call(answer, call)
    except TimeoutError:
        return Outcome(problem=Problem("TimeoutError", f"no answer in {LONGEST:.0f} s; a loop that does not end?"))


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise TimeoutError in the block after so long. Where there are no alarms (Windows, threads) nothing happens."""
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return

    class Late(BaseException):  # no learner's `except Exception` may swallow it
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
