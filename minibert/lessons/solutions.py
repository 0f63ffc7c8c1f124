"""The solutions of a lesson's exercises, folded, in a notebook of their own: lessons/solutions/NN_topic.ipynb.

They are made from the catalogue, without running anything: for each exercise its stub, the solution, and, in a sentence
or two, why it is so and what usually goes wrong. A solution is not seen before it is opened. Where there is no folder
lessons/solutions, as in what a class is given, no lesson links to it and `minibert lessons --build` writes none.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell

from minibert.errors import MinibertError
from minibert.exercises.check import exercise_named
from minibert.exercises.declare import Exercise, Mistake
from minibert.exercises.diagnose import sentences_of
from minibert.exercises.notebooks import (
    IMPORTS,
    code_cell,
    effort,
    finished_notebook,
    folded,
    folded_text,
    solved,
)
from minibert.files import read_text, write_file
from minibert.lessons.lesson import Lesson

FEWEST_MISTAKES, MOST_MISTAKES = 5, 8  # of an exercise that are told
HOW = (
    "Do each exercise in the lesson first: its check says what is wrong, and each call of `.hint()` on the result says "
    "a little more. Here every solution is folded. Click on what stands in its place to open it."
)


def file_of(lesson: Lesson) -> Path:
    """Where the solutions of a lesson are stored."""
    return lesson.notebook.parent / "solutions" / lesson.notebook.name


def offered(lesson: Lesson) -> bool:
    """Whether solutions go with this lesson."""
    return bool(lesson.exercises) and file_of(lesson).parent.is_dir()


def link_to(lesson: Lesson, exercise: str) -> str:
    """What a lesson adds to the task of an exercise: a link to its solution."""
    return f" · [solution, folded](solutions/{lesson.notebook.name}#{exercise})"


def solutions_of(lesson: Lesson) -> NotebookNode:
    """The notebook with the solutions of a lesson's exercises, in the lesson's order."""
    back = f"[{lesson.title}](../{lesson.notebook.name})"
    cells = [
        new_markdown_cell(f"# Solutions: {lesson.title}\n\nThe exercises of lesson {lesson.number}, {back}. {HOW}"),
        folded(code_cell(IMPORTS), "Set-up"),
    ]
    for name in lesson.exercises:
        cells += cells_of(exercise_named(name))
    return finished_notebook(cells)


def cells_of(exercise: Exercise) -> list[NotebookNode]:
    """An exercise's stub, its solution and what is to be said about it, the last two folded."""
    told = "\n".join(f"- **{one.name}**: {' '.join(sentences_of((one,)))}" for one in usual_mistakes(exercise))
    why = (
        f"{exercise.hints.concept}\n\nWhat usually goes wrong:\n\n{told}\n\n"
        f'What such mistakes look like from outside: `minibert.hunt("{exercise.name}")` hides one in a box.'
    )
    return [
        new_markdown_cell(
            f'<a id="{exercise.name}"></a>\n\n## {exercise.title}\n\n*{exercise.source}* · exercise `{exercise.name}`, '
            f"{effort(exercise)}\n\n```python\n{exercise.stub.rstrip()}\n```"
        ),
        folded(code_cell(solved(exercise)), "The solution"),
        folded_text(new_markdown_cell(why), "Why, and what usually goes wrong"),
    ]


def usual_mistakes(exercise: Exercise) -> list[Mistake]:
    """The first known mistake of each kind; where there are few kinds, further ones. In the catalogue's order."""
    kinds = {one.knob: one for one in reversed(exercise.mistakes)}
    firsts = [one for one in exercise.mistakes if one is kinds[one.knob]][:MOST_MISTAKES]
    others = [one for one in exercise.mistakes if one not in firsts][: max(0, FEWEST_MISTAKES - len(firsts))]
    return [one for one in exercise.mistakes if one in firsts or one in others]


def written(lesson: Lesson) -> str:
    return nbformat.writes(solutions_of(lesson)) + "\n"


def stale(every: Iterable[Lesson]) -> list[Path]:
    """Stored notebooks with solutions that no lesson has. every: all lessons."""
    kept = {file_of(lesson) for lesson in every if lesson.exercises}
    return [
        path for folder in {path.parent for path in kept} for path in sorted(folder.glob("*.ipynb")) if path not in kept
    ]


def write(chosen: Sequence[Lesson], every: Sequence[Lesson]) -> list[Path]:
    """Write the solutions of the chosen lessons, and remove those that no lesson has; returns what was written."""
    for path in stale(every):
        path.unlink()
    return [write_file(file_of(lesson), written(lesson)) for lesson in chosen if lesson.exercises]


def check(chosen: Sequence[Lesson], every: Sequence[Lesson]) -> None:
    """Raises MinibertError if stored solutions are not those that the catalogue gives."""
    wrong = [path.name for path in stale(every)]
    for lesson in chosen:
        path = file_of(lesson)
        if offered(lesson) and (not path.is_file() or read_text(path) != written(lesson)):
            wrong.append(path.name)
    if wrong:
        raise MinibertError(
            f"in lessons/solutions, {', '.join(wrong)} differ from what the exercises give: write them again with "
            "`minibert lessons --solutions`."
        )
