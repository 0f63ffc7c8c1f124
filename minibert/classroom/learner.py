"""A learner's code in its box: it is read, run and called there, and whatever goes wrong becomes a sentence.

The box is started again when something has ended it, so that an answer that hangs costs its own exercise only.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import torch

from minibert.classroom import box, isolation, replies, worker
from minibert.exercises import calls, submissions
from minibert.exercises.calls import Built, Call, Outcome, Problem, pack, unpack
from minibert.exercises.submissions import Submission, Unreadable

WORKER = Path(worker.__file__)
MODULES = {one.__name__: Path(one.__file__) for one in (calls, submissions)}  # what the worker imports from minibert
PRELOAD = ("IPython.core.inputtransformer2",)  # what reading a notebook may need
READ_SECONDS = 20.0  # for reading a file
RUN_SECONDS = 10.0  # for running all its statements
RUN_AGAIN_SECONDS = 180.0  # for running them again, after something has ended the box
LEFT_OUT = 6  # statements that did not end; after that only definitions are run
CALL_SECONDS = 5.0  # for one call; a right answer takes milliseconds
NEW_BOX_AFTER = 300.0  # seconds of processor time, long before the box's own limit
LONG_LIST = 1000  # entries of an argument that is sent once and then kept
DEFINITIONS = ("def ", "class ", "import ", "from ", "async ", "@")


class Learner:
    """One file of a learner in its box. Use it in a `with` block."""

    def __init__(self, limits: isolation.Limits):
        self.limits = limits
        self.submission = Submission("")
        self.box: box.Box | None = None
        self.defined: set[str] = set()
        self.problems: list[Problem] = []
        self.protections: Mapping[str, bool] = {}
        self.left_out: dict[int, str] = {}  # the number of a statement that is not run -> why
        self.again = RUN_AGAIN_SECONDS
        self.ran = False
        self.kept: list[list[Any]] = []
        self.left = limits.seconds  # for the exercise at hand
        self.worked = 0.0  # seconds that this box has worked

    def __enter__(self) -> Learner:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def read(self, name: str, content: bytes) -> list[Submission]:
        """The code in a file. Nothing of it is run. Raises Unreadable."""
        numbers = torch.frombuffer(bytearray(content), dtype=torch.uint8) if content else torch.empty(0).byte()
        try:
            found = replies.submissions(self.ask(("read", name, numbers), READ_SECONDS))
        except (box.Stopped, ValueError) as error:
            self.close()
            raise Unreadable(f"it cannot be read within the limits ({replies.clean(str(error), 200)})") from None
        if isinstance(found, str):
            raise Unreadable(found)
        return found

    def run(self, submission: Submission) -> None:
        """Run the statements of the file. A statement that ends the box, or does not end, is left out."""
        self.submission = submission
        while not self.ran:
            try:
                self._run()
            except box.Stopped:
                return

    def _run(self) -> None:
        """Run the statements in this box. Raises Stopped if no more can be done, with ever fewer statements."""
        statements = self.submission.statements
        try:
            if self.again <= 0:
                raise box.Stopped("time", "the statements at the top of the file take too long to be run once more")
            answer = self.ask(("run", statements, sorted(self.left_out)), RUN_SECONDS)
            self.defined, self.problems = replies.ran(answer)
            self.ran = True
        except (box.Stopped, ValueError) as error:
            ended = self.box
            self.close()
            number = _number(ended.left_behind(box.PROGRESS)) if ended is not None else None
            if self.again <= 0 or number is None or number >= len(statements) or number in self.left_out:
                raise box.Stopped("ended", str(error)) from None
            self.left_out[number] = str(error)
            if len(self.left_out) >= LEFT_OUT:
                for other, (source, _) in enumerate(statements):
                    if not source.startswith(DEFINITIONS):
                        self.left_out.setdefault(other, "too many statements of the file did not end")
        finally:
            self.again -= self.used

    def call(self, name: str, call: Call, in_model: bool = False) -> Outcome:
        """Call one of the learner's functions. Everything that goes wrong in the box becomes a Problem.

        in_model: only the result counts, and long lists among the arguments are sent once and kept in the box.
        """
        began = time.process_time()
        try:
            while not self.ran:
                self._run()
            if self.left <= 0:
                raise box.Stopped("time", f"all calls together took more than {self.limits.seconds:.0f} s")
            if in_model:
                call = replace(call, args=tuple(map(self._kept, call.args)))
            seconds = min(CALL_SECONDS, self.left, self.limits.seconds)
            outcome = replies.outcome(self.ask(("call", name, call, not in_model), seconds), call, not in_model)
            self.left -= self.used
            return outcome
        except box.Stopped as stopped:
            self.close()
            return Outcome(problem=Problem("Stopped", replies.clean(str(stopped), 300)))
        except ValueError as error:
            self.close()
            return Outcome(
                problem=Problem("Stopped", f"its result could not be read ({replies.clean(str(error), 200)})")
            )
        finally:
            self.left -= time.process_time() - began  # what it costs to read a result counts too

    def next_exercise(self) -> None:
        """Each exercise has its own time."""
        self.left = self.limits.seconds
        if self.worked > NEW_BOX_AFTER:
            self.close()

    def _kept(self, value: Any) -> Any:
        if type(value) is not list or len(value) < LONG_LIST:
            return value
        if value not in self.kept:
            if not all(type(one) is str for one in value):
                return value
            replies.parts(self.ask(("keep", len(self.kept), value), CALL_SECONDS), "kept", 0)
            self.kept.append(value)
        return Built("kept", (self.kept.index(value),))

    def ask(self, message: Any, seconds: float) -> Any:
        """The answer to a message, as values. Raises Stopped or ValueError."""
        self.used = 0.0
        if self.box is None:
            self.box = box.Box(WORKER, self.limits, modules=MODULES, nursery=nursery())
        try:
            data = self.box.ask(pack(message), seconds)
        finally:
            self.used = self.box.used
            self.worked += self.box.used
            self.protections = self.box.protections or self.protections
        return unpack(data)

    used = 0.0  # seconds of its own time that the box took for the last message

    def said(self) -> list[str]:
        """What was not read, left out, or failed, each in a sentence."""
        found = [replies.clean(one, 300) for one in self.submission.problems]
        place = self.submission.place
        for number, why in sorted(self.left_out.items())[: submissions.MOST_PROBLEMS]:
            source, line = self.submission.statements[number]
            found.append(f"{place(line)}: left out, because {why}: {replies.clean(' '.join(source.split()), 60)}")
        for problem in self.problems:
            found.append(f"{place(problem.line)}: {problem.type}: {replies.clean(problem.message, 200)}")
        return found

    def close(self) -> None:
        if self.box is not None:
            self.box.close()
        self.box = None
        self.ran = False
        self.worked = 0.0
        self.kept = []


def _number(text: bytes) -> int | None:
    return int(text) if text.strip().isdigit() else None


@cache
def _nurseries() -> list[box.Nursery]:
    return []


def nursery() -> box.Nursery | None:
    """The process that forks this process's boxes; None where boxes are started one by one."""
    if sys.platform != "linux":
        return None
    mine = _nurseries()
    if not mine or not mine[0].alive:
        mine[:] = [box.Nursery(WORKER, MODULES, PRELOAD)]
    return mine[0]
