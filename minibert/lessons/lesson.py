"""A lesson: its source, what the source says about it, and the notebook stored for it.

Sources are lessons/source/NN_topic.py in py:percent format; `minibert.lessons.building` says what else they may hold.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import jupytext
import nbformat
from nbformat import NotebookNode

from minibert.errors import MinibertError, quoted
from minibert.exercises.check import exercise_named
from minibert.exercises.notebooks import FOLDED
from minibert.files import read_text

TO_TRY = {"06": 15, "08": 25}  # number of a lesson -> minutes for its trainings and for its tasks that no check marks
WORDS_A_MINUTE = 100  # how fast one reads a lesson and looks at its pictures; less than half of plain reading
MINUTES_A_CELL = 0.5  # to read a cell of code that is not folded, and to run it
STOP = "A good place to stop for tonight."  # what a lesson says between two sittings


@dataclass(frozen=True)
class Lesson:
    """One lesson, known by the path of its source, lessons/source/NN_topic.py."""

    source: Path

    @property
    def name(self) -> str:
        """NN_topic."""
        return self.source.stem

    @property
    def number(self) -> str:
        """NN."""
        return self.name.partition("_")[0]

    @property
    def notebook(self) -> Path:
        """Where the notebook that is built from the source is stored: lessons/NN_topic.ipynb."""
        return self.source.parent.parent / f"{self.name}.ipynb"

    @cached_property
    def cells(self) -> list[NotebookNode]:
        """The cells of the source. Raises MinibertError when it cannot be read."""
        return cells_of(read_text(self.source))

    @cached_property
    def heading(self) -> tuple[str, str]:
        """Title and question, from the first cell. Raises MinibertError when it holds something else."""
        first = self.cells[0].source if self.cells else ""
        found = re.match(r"# (.+)\n+((?:> ?.*\n?)+)", first)
        if not found:
            raise MinibertError(
                f"{self.source} does not begin with a heading and a quoted question: "
                "begin its first cell with `# Title`, an empty line and `> Question?`."
            )
        return found[1].strip(), " ".join(line.lstrip("> ").strip() for line in found[2].splitlines())

    @property
    def title(self) -> str:
        return self.heading[0]

    @property
    def question(self) -> str:
        return self.heading[1]

    @property
    def exercises(self) -> list[str]:
        """The names of the exercises in it, in order."""
        return [cell.metadata["exercise"] for cell in self.cells if "exercise" in cell.metadata]

    @property
    def minutes(self) -> int:
        """About how long it takes with its exercises, but without challenges and hunts, in steps of five minutes."""
        return sum(self.sittings)

    @property
    def in_sittings(self) -> str:
        """The minutes, of each part if it has several: "45", or "40 + 35"."""
        return " + ".join(map(str, self.sittings))

    @property
    def sittings(self) -> list[int]:
        """The minutes of each of its parts. A long lesson says where to stop for the night."""
        parts = [float(TO_TRY.get(self.number, 0))]
        for cell in self.cells:
            if cell.cell_type == "markdown":
                before, stops, after = cell.source.partition(STOP)
                parts[-1] += len(before.split()) / WORDS_A_MINUTE
                if stops:
                    parts.append(len(after.split()) / WORDS_A_MINUTE)
            elif "exercise" in cell.metadata:
                exercise = exercise_named(cell.metadata["exercise"])
                parts[-1] += exercise.minutes * (exercise.level != "challenge")
            elif FOLDED not in cell.metadata.get("tags", ()):
                parts[-1] += MINUTES_A_CELL
        return [max(5, 5 * round(minutes / 5)) for minutes in parts]


@lru_cache(maxsize=64)
def cells_of(text: str) -> list[NotebookNode]:
    """The cells of a source. Whoever changes one copies it first: all lessons with this text have the same cells."""
    return jupytext.reads(text, fmt="py:percent").cells


def folder() -> Path:
    """The checkout's lessons. Raises MinibertError if the package is installed without its checkout."""
    found = Path(__file__).parents[2] / "lessons"
    if not (found / "source").is_dir():
        raise MinibertError(
            f"there are no lessons at {found}: they come with the project's checkout; install the package from there "
            "with `pip install -r requirements.txt`."
        )
    return found


def lessons(chosen: Sequence[str] = ()) -> list[Lesson]:
    """All lessons in order, or those whose number or name is given. Raises MinibertError for an unknown one."""
    every = [Lesson(path) for path in sorted((folder() / "source").glob("[0-9][0-9]_*.py"))]
    known = {key: lesson for lesson in every for key in (lesson.number, lesson.number.lstrip("0") or "0", lesson.name)}
    for name in chosen:
        if not isinstance(name, str) or name not in known:
            raise MinibertError(
                f"there is no lesson {quoted(name)}: give the number or the name of one of "
                f"{', '.join(lesson.name for lesson in every)}."
            )
    wanted = [known[name] for name in chosen]
    return [lesson for lesson in every if not chosen or lesson in wanted]


def stored_notebook(lesson: Lesson) -> NotebookNode:
    """The lesson's notebook as it is stored. Raises MinibertError when it is missing, or is not a notebook."""
    try:
        return nbformat.read(lesson.notebook, as_version=4)
    except (OSError, ValueError, AttributeError, nbformat.ValidationError) as error:
        reason = str(error).partition("\n")[0]
        raise MinibertError(
            f"{lesson.notebook} cannot be read as a notebook ({reason}): build it again with "
            "`minibert lessons --build`."
        ) from None
