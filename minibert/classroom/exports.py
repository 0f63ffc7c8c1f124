"""The exercises as files for a class: notebooks with stubs or solutions, nbgrader's format, Gradescope's autograder.

Stub and solution are one text: the function that the catalogue declares, with its body or without.
"""

from __future__ import annotations

import ast
import inspect
import io
import textwrap
import zipfile
from argparse import Namespace
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

import minibert
from minibert.exercises.catalogue import exercises
from minibert.exercises.check import exercise_named
from minibert.exercises.declare import Exercise
from minibert.files import write_file

IMPORTS = """\
import math
import random
from itertools import pairwise

import torch
from einops import rearrange
from torch.nn import functional as F

import minibert"""

HOW = (
    "Each exercise is a function. Replace `raise NotImplementedError()`, run the cell, then the one after it: it says "
    "how far you are and, where it can, what is wrong. `.hint()` on its result says more, a little at a time."
)


def run(args: Namespace) -> None:
    """`minibert export`: write what was asked for and say where it is. (A folder for a class: see `classroom.run`.)"""
    chosen, out = asked_for(args)
    if args.kind == "gradescope":
        path = out if out.suffix == ".zip" else out / "autograder.zip"
        write_file(path, autograder(chosen))
        print(path)
        return
    print(*write_notebooks(out, args.kind, chosen), sep="\n")


def asked_for(args: Namespace) -> tuple[list[Exercise], Path]:
    """The exercises that the options ask for, and where to. Raises MinibertError for an unknown exercise."""
    chosen = [exercise_named(name) for name in args.exercises] if args.exercises else list(exercises().values())
    return chosen, Path(args.out or f"minibert-{args.kind}")


def write_notebooks(out: Path, kind: str, chosen: Sequence[Exercise]) -> list[Path]:
    """One notebook a topic; returns the files. kind: student, solution or nbgrader."""
    make = {"student": student, "solution": solution, "nbgrader": nbgrader}[kind]
    written = []
    for topic, group in groupby(chosen, key=lambda exercise: exercise.topic):
        notebook = make(topic, list(group))
        nbformat.validate(notebook)
        written.append(out / f"{topic}.ipynb")
        write_file(written[-1], nbformat.writes(notebook) + "\n")
    return written


# ------------------------------------------------------------------------------------------------- notebooks


def student(topic: str, chosen: Sequence[Exercise]) -> nbformat.NotebookNode:
    """Stubs, each with its task above it and its check below."""
    return _notebook(topic, [cell for one in chosen for cell in exercise_cells(one, one.stub)])


def solution(topic: str, chosen: Sequence[Exercise]) -> nbformat.NotebookNode:
    """The same with solutions."""
    return _notebook(topic, [cell for one in chosen for cell in exercise_cells(one, solved(one))])


def exercise_cells(exercise: Exercise, answer: str, level: int = 2) -> list[nbformat.NotebookNode]:
    """The task, a cell with the answer (a stub, or a solution), and the check. level: of the task's heading."""
    return [_task(exercise, level), _code(answer), _check(exercise)]


def nbgrader(topic: str, chosen: Sequence[Exercise]) -> nbformat.NotebookNode:
    """An instructor's source notebook: `nbgrader generate_assignment` takes the solutions out.

    A graded cell raises where the answer fails, writes nothing to stderr and ends without a value: anything on
    stderr would score 0, and a value that is no number full marks.
    """
    cells = []
    for one in chosen:
        answer = _code(marked_solution(one))
        answer.metadata["nbgrader"] = _graded(one.name, solution=True)
        test = _code(f'minibert.check("{one.name}", {one.function}).require()')
        test.metadata["nbgrader"] = _graded(f"test-{one.name}", grade=True, locked=True, points=_points(one))
        task = _task(one)
        task.metadata["nbgrader"] = _graded(f"task-{one.name}", locked=True)
        cells += [task, answer, test]
    return _notebook(topic, cells)


def _graded(
    id: str, grade: bool = False, solution: bool = False, locked: bool = False, points: float | None = None
) -> dict[str, Any]:
    """A cell's nbgrader metadata, schema 3."""
    found = {"schema_version": 3, "grade_id": id, "grade": grade, "solution": solution, "locked": locked, "task": False}
    return found if points is None else found | {"points": points}


def _points(exercise: Exercise) -> int:
    return round(sum(exercise.stages.values()))


def _notebook(topic: str, cells: list[nbformat.NotebookNode]) -> nbformat.NotebookNode:
    head = [new_markdown_cell(f"# {topic.capitalize()}: exercises\n\n{HOW}"), _code(IMPORTS)]
    return finished_notebook([*head, *cells])


def finished_notebook(cells: Sequence[nbformat.NotebookNode], executed: bool = False) -> nbformat.NotebookNode:
    """A notebook of these cells, the same in every export, so that two can be compared; numbered when executed."""
    notebook = new_notebook(cells=list(cells))
    notebook.metadata["kernelspec"] = {"display_name": "Python 3", "language": "python", "name": "python3"}
    notebook.metadata["language_info"] = {"name": "python"}
    code = 0
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{number}"
        if cell.cell_type == "code":
            code += 1
            cell.execution_count = code if executed else None
            for output in cell.outputs:
                if output.output_type == "execute_result":
                    output.execution_count = cell.execution_count
    return notebook


def _task(exercise: Exercise, level: int = 2) -> nbformat.NotebookNode:
    return new_markdown_cell(
        f"{'#' * level} {exercise.title}\n\n{exercise.task}\n\n*{exercise.source}* · exercise `{exercise.name}`, "
        f"{sum(exercise.stages.values()):g} points"
    )


def _code(source: str) -> nbformat.NotebookNode:
    return new_code_cell(source.rstrip())


def _check(exercise: Exercise) -> nbformat.NotebookNode:
    return _code(f'minibert.check("{exercise.name}", {exercise.function})')


def body_of(exercise: Exercise) -> str:
    """The solution's body, without its docstring, indented by four."""
    source = textwrap.dedent(inspect.getsource(exercise.solution))
    function = ast.parse(source).body[0]
    lines = source.splitlines()
    # Where the header ends: a comment above the first statement belongs to the body.
    before = next(n for n in range(function.lineno, len(lines) + 1) if lines[n - 1].rstrip().endswith(":"))
    if ast.get_docstring(function):
        before = function.body[0].end_lineno
    return "\n".join(lines[before : function.body[-1].end_lineno])


def solved(exercise: Exercise) -> str:
    return f"{exercise.header}\n{body_of(exercise)}\n"


def marked_solution(exercise: Exercise) -> str:
    """The solution between nbgrader's markers."""
    return f"{exercise.header}\n    ### BEGIN SOLUTION\n{body_of(exercise)}\n    ### END SOLUTION\n"


# ------------------------------------------------------------------------------------------------ Gradescope

SETUP = """\
#!/usr/bin/env bash
# Once, when the autograder is built: PyTorch's CPU build, then minibert from the folder beside this file.
set -euo pipefail
cd "$(dirname "$0")"
python3 -m pip --version >/dev/null 2>&1 || { apt-get update && apt-get install -y python3-pip; }
python3 -m pip install torch==2.13.0 --index-url https://download.pytorch.org/whl/cpu ||
    python3 -m pip install torch==2.13.0
python3 -m pip install ./package
"""

RUN = """\
#!/usr/bin/env bash
# For each submission. The results are there from the first second on, whatever happens after it.
autograder=${AUTOGRADER:-/autograder}
mkdir -p "$autograder/results"
results="$autograder/results/results.json"
echo '{"score": 0, "output": "The marking did not end: hand in again, or ask your teacher."}' > "$results"
cd "$autograder/source"
python3 -m minibert grade "$autograder/submission" --gradescope "$results" --no-swap --seconds 300 %s
"""

PROJECT = """\
[build-system]
requires = ["setuptools>=69"]
build-backend = "setuptools.build_meta"

[project]
name = "minibert"
version = "%s"
requires-python = ">=3.10"
dependencies = ["torch", "numpy", "einops", "safetensors", "tqdm", "matplotlib", "nbformat"]

[tool.setuptools.packages.find]
include = ["minibert", "minibert.*"]

[tool.setuptools.package-data]
minibert = ["claims/recorded/*.json", "lessons/*.html"]
"""


def autograder(chosen: Sequence[Exercise]) -> bytes:
    """The zip for Gradescope: setup.sh and run_autograder at its root, and this package."""
    names = "" if len(chosen) == len(exercises()) else f"--exercises {' '.join(one.name for one in chosen)}"
    root = Path(minibert.__file__).parent
    files = {"setup.sh": SETUP, "run_autograder": RUN % names, "package/pyproject.toml": PROJECT % minibert.__version__}
    for path in sorted(root.rglob("*")):
        if path.suffix in (".py", ".json", ".html") and "__pycache__" not in path.parts:
            files[f"package/minibert/{path.relative_to(root).as_posix()}"] = path.read_text(encoding="utf-8")
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            entry = zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0))  # the same bytes every time
            entry.external_attr = (0o755 if "." not in name or name.endswith(".sh") else 0o644) << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, text)
    return packed.getvalue()
