"""The functions of the learner's file. It is run here, in the learner's own process, one statement after the other."""

from __future__ import annotations

import ast
import linecache
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from minibert.errors import MinibertError
from minibert.exercises import my_bert
from minibert.exercises.book import content, sections
from minibert.exercises.catalogue import exercises
from minibert.exercises.declare import Exercise
from minibert.exercises.running import run_statements
from minibert.exercises.sources import NOTHING


@dataclass(frozen=True)
class Part:
    """An answer that passed. line: where it begins in the file. lines: of its code, without comments and empty ones."""

    exercise: Exercise
    function: Callable[..., Any]
    line: int
    lines: int

    @property
    def name(self) -> str:
        return self.exercise.name


@dataclass
class Loaded:
    """What the file has. troubles: exercise -> why its part cannot be used, in a sentence."""

    file: Path
    parts: dict[str, Part] = field(default_factory=dict)
    troubles: dict[str, str] = field(default_factory=dict)


def load() -> Loaded:
    """The parts of the learner's file, in the order of the exercises. Raises MinibertError for a file that is broken.

    A part that cannot be defined is a trouble, and the others are used.
    """
    path = my_bert.file()
    loaded = Loaded(path)
    book = my_bert.read()
    if not book.parts:
        return loaded
    text = content()
    linecache.checkcache(str(path))  # so that an error shows the lines as they are now
    places = {name: line for line, name in sections(text, ast.parse(text))}
    module = ModuleType("my_bert")
    module.__file__ = str(path)
    for number, what in run_statements(text, str(path), module).items():
        section = next((name for name, line in reversed(places.items()) if line < number), "")
        said = f"{path.name}, line {number}, {what}"
        if not section:
            raise MinibertError(f"{said}. Mend that line, or move the file away to begin anew.")
        loaded.troubles.setdefault(section, f"its section cannot be run: {said}")
    for name, exercise in exercises().items():
        if name not in book.parts or name in loaded.troubles or all(one.form == NOTHING for one in book.parts[name]):
            continue
        function = module.__dict__.get(exercise.function)
        if callable(function):
            lines = sum(code_lines(one.source) for one in book.parts[name])
            loaded.parts[name] = Part(exercise, function, places[name], lines)
        else:
            loaded.troubles[name] = f"its section of {path.name} does not define {exercise.function}"
    return loaded


def code_lines(source: str) -> int:
    """The lines that are neither empty nor only a comment."""
    return sum(bool(line.strip()) and not line.strip().startswith("#") for line in source.split("\n"))
