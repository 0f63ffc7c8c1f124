"""The other end of the box: reads what was handed in, runs its statements, and calls its functions when asked.

`isolation.py` runs in that process and loads three files into it: exercises/calls.py and exercises/submissions.py,
under their usual names, and this one. Nothing else from minibert can be imported there. `run` then takes these off the
list of modules too, so that an answer finds only a `Stub` under the name minibert.
"""

from __future__ import annotations
import __future__

import ast
import builtins
import contextlib
import linecache
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from minibert.exercises.calls import ANSWER, BUILDERS, Other, Outcome, Problem, make_call, pack, problem_of, unpack
from minibert.exercises.submissions import Unreadable, parse

PROGRESS = "statement"  # a file in which the number of the statement stands that is being run
FUTURE = {getattr(__future__, name).compiler_flag for name in __future__.all_feature_names}


class UsesReference(ImportError):
    """Raised when an answer uses minibert's own code."""


class Silent:
    """Stands for what has no meaning here, such as the result of a check. It can be used for anything."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    def __call__(self, *_: Any, **__: Any) -> Any:
        return self

    def __iter__(self) -> Any:
        return iter(())

    def __repr__(self) -> str:
        return ""


class Stub(ModuleType):
    """Takes minibert's place: `check` and `progress` do nothing, and there is nothing else."""

    def __getattr__(self, name: str) -> Any:
        if name in ("check", "progress", "mine"):
            return Silent()
        if name.startswith("__"):
            raise AttributeError(name)
        raise UsesReference(f"minibert.{name} is not available here: write the answer yourself.")


class Deny:
    """The first finder of modules: it refuses everything in minibert."""

    @staticmethod
    def find_spec(name: str, path: Any = None, target: Any = None) -> None:
        if name.startswith("minibert."):
            raise UsesReference(f"{name} is not available here: write the answer yourself.")


def read(name: str, content: Tensor) -> tuple[Any, ...]:
    """What a file says: ("read", its Submissions as plain values), or ("unread", a sentence)."""
    try:
        found = parse(name, bytes(content.numpy()))
    except (Unreadable, MemoryError, RecursionError) as error:
        return "unread", str(error) or f"it cannot be read ({type(error).__name__})"
    return "read", [{**vars(one), "names": sorted(one.names), "borrowed": sorted(one.borrowed)} for one in found]


def run(statements: Sequence[tuple[str, int]], left_out: Sequence[int]) -> tuple[dict[str, Any], list[Problem]]:
    """Run statements as Python would, one after another; returns their names, and what failed.

    statements: the source of each and the number of its first line. left_out: the numbers of those not to run.
    """
    space: dict[str, Any] = {"__name__": "answer", "__builtins__": builtins}
    for name in [name for name in sys.modules if name.startswith("minibert.")]:
        del sys.modules[name]
    sys.modules["minibert"] = Stub("minibert")
    module = sys.modules["answer"] = ModuleType("answer")  # pickle and dataclasses look it up
    module.__dict__.update(space)
    space = module.__dict__
    sys.meta_path.insert(0, Deny())
    builtins.get_ipython = Silent()  # type: ignore[attr-defined]
    lines: list[str] = []
    for source, line in statements:
        lines[len(lines) :] = [""] * (line - 1 - len(lines)) + source.split("\n")
    linecache.cache[ANSWER] = (0, None, [f"{line}\n" for line in lines], ANSWER)
    progress = os.open(PROGRESS, os.O_RDWR | os.O_CREAT, 0o600)
    problems, flags = [], 0
    for number, (source, line) in enumerate(statements):
        if number in left_out:
            continue
        with contextlib.suppress(OSError):  # the statements before may have closed it
            os.pwrite(progress, b"%9d" % number, 0)
        try:
            tree = ast.parse(source)
            ast.increment_lineno(tree, line - 1)
            code = compile(tree, ANSWER, "exec", flags, dont_inherit=True)
            flags |= code.co_flags & sum(FUTURE)
            exec(code, space)
        except (Exception, SystemExit) as error:
            problem = problem_of(error)
            problems.append(problem if problem.line else Problem(problem.type, problem.message, line))
    return space, problems


def serve(receive: Callable[[], bytes | None], send: Callable[[bytes], None], protections: Mapping[str, bool]) -> None:
    """What the process does, until there are no more messages. A message is one of these:

    ("read", name, content), answered as `read` says.
    ("run", [[source, line], ...], numbers to leave out), answered by ("ran", names that can be called, problems).
    ("keep", number, value), answered by ("kept",): an argument Built("kept", (number,)) is then a copy of the value.
    ("call", name, Call, whether to look), answered by ("called", Outcome, the positional arguments as they are after
    the call, if they are looked at).
    """
    torch.set_num_threads(1)
    space: dict[str, Any] = {}
    kept: dict[int, Any] = {}
    BUILDERS["kept"] = lambda number: list(kept[number])
    while (data := receive()) is not None:
        message = unpack(data)
        answer: Any
        if message[0] == "read":
            answer = read(*message[1:])
        elif message[0] == "run":
            space, problems = run(*message[1:])
            answer = ("ran", [name for name, value in space.items() if callable(value)], problems)
        elif message[0] == "keep":
            kept[message[1]] = message[2]
            answer = ("kept",)
        elif message[1] in space:
            after: list[Any] = []
            outcome = make_call(space[message[1]], message[2], after if message[3] else None)
            answer = ("called", outcome, after)
        else:
            problem = Problem("NameError", f"{message[1]} is not defined: see the error before it")
            answer = ("called", Outcome(problem=problem), [])
        try:
            send(pack(answer))
        except (TypeError, ValueError, MemoryError) as error:
            send(pack(("called", Outcome(output=Other(str(error)[:200])), [])))
