"""The other end of the box: defines a learner's functions in a process of their own, and calls them when asked.

`isolation.py` runs in that process and loads two files into it: exercises/calls.py, under its usual name, and this one.
Nothing else from minibert can be imported there. `define` then removes calls.py from the list of modules too, so that
an answer finds only a `Stub` under the name minibert.
"""

from __future__ import annotations

import linecache
import sys
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any

import torch

from minibert.exercises.calls import ANSWER, Other, Outcome, Problem, make_call, pack, problem_of, unpack


class UsesReference(ImportError):
    """Raised when an answer uses minibert's own code."""


class Stub(ModuleType):
    """Takes minibert's place: `check` and `progress` do nothing, and there is nothing else."""

    def __getattr__(self, name: str) -> Any:
        if name in ("check", "progress"):
            return lambda *_, **__: None
        if name.startswith("__"):
            raise AttributeError(name)
        raise UsesReference(f"minibert.{name} is not available here: write the answer yourself.")


class Deny:
    """The first finder of modules: it refuses everything in minibert."""

    @staticmethod
    def find_spec(name: str, path: Any = None, target: Any = None) -> None:
        if name.startswith("minibert."):
            raise UsesReference(f"{name} is not available here: write the answer yourself.")


def define(statements: Sequence[tuple[str, int]]) -> tuple[dict[str, Any], list[Problem]]:
    """Run definitions, each a source text and the number of its first line; returns the names and what failed."""
    space: dict[str, Any] = {"__name__": "answer"}
    for name in [name for name in sys.modules if name.startswith("minibert.")]:
        del sys.modules[name]
    sys.modules["minibert"] = Stub("minibert")
    sys.meta_path.insert(0, Deny())
    problems = []
    lines: list[str] = []
    for source, line in statements:
        lines[len(lines) :] = [""] * (line - 1 - len(lines)) + source.splitlines()
    linecache.cache[ANSWER] = (0, None, [f"{line}\n" for line in lines], ANSWER)
    for source, line in statements:
        try:
            exec(compile("\n" * (line - 1) + source, ANSWER, "exec"), space)
        except (Exception, SystemExit) as error:
            problems.append(problem_of(error))
    return space, problems


def serve(receive: Callable[[], bytes | None], send: Callable[[bytes], None], protections: Mapping[str, bool]) -> None:
    """What the process does: first it takes definitions, then calls, until there are no more messages.

    A message is ("define", [[source, line], ...]), answered by ("defined", names that can be called, problems,
    protections), or ("call", name, Call), answered by an Outcome.
    """
    torch.set_num_threads(1)
    space: dict[str, Any] = {}
    while (data := receive()) is not None:
        message = unpack(data)
        if message[0] == "define":
            space, problems = define(message[1])
            names = [name for name, value in space.items() if callable(value)]
            answer: Any = ("defined", names, problems, protections)
        elif message[1] in space:
            answer = make_call(space[message[1]], message[2])
        else:
            answer = Outcome(problem=Problem("NameError", f"{message[1]} is not defined: see the error before it"))
        try:
            send(pack(answer))
        except TypeError as error:
            send(pack(Outcome(output=Other(str(error)))))
