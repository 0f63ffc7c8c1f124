"""The exercises as files: notebooks with stubs or solutions, nbgrader's format, and an autograder for Gradescope."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import nbformat
import torch
from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell

import minibert
from minibert.classroom.hidden import new_seed
from minibert.errors import MinibertError, check_seed
from minibert.exercises.catalogue import exercises
from minibert.exercises.declare import Exercise
from minibert.exercises.notebooks import (
    IMPORTS,
    body_of,
    code_cell,
    exercise_cells,
    finished_notebook,
    solved,
    task_cell,
)
from minibert.files import read_text, refuse_foreign, write_file

HOW = (
    "Each exercise is a function. Replace `raise NotImplementedError()` and run the cell, then run the one after it: "
    "it says how far you are and, if it can, what is wrong. Each call of `.hint()` on its result says a little more."
)


def write_autograder(path: Path, chosen: Sequence[Exercise]) -> Path:
    """Write the zip for Gradescope; returns the file. Raises MinibertError if another file is there."""
    refuse_foreign(path)
    return write_file(path, autograder(chosen))


def write_notebooks(out: Path, kind: str, chosen: Sequence[Exercise]) -> list[Path]:
    """Write one notebook for each topic; returns the files. kind: student, solution or nbgrader.

    Raises MinibertError if one is there already with something else in it, which may be somebody's answers.
    """
    make = {"student": student, "solution": solution, "nbgrader": nbgrader}[kind]
    written = {}
    for topic in dict.fromkeys(exercise.topic for exercise in chosen):
        notebook = make(topic, [exercise for exercise in chosen if exercise.topic == topic])
        nbformat.validate(notebook)
        written[out / f"{topic}.ipynb"] = nbformat.writes(notebook) + "\n"
    for path, content in written.items():
        refuse_foreign(path, made=content.encode().__eq__)
    return [write_file(path, content) for path, content in written.items()]


# ------------------------------------------------------------------------------------------------- notebooks


def student(topic: str, chosen: Sequence[Exercise]) -> NotebookNode:
    """Each exercise as a stub, with its task before it and its check after it."""
    return _notebook(topic, [cell for one in chosen for cell in exercise_cells(one, one.stub)])


def solution(topic: str, chosen: Sequence[Exercise]) -> NotebookNode:
    """The same with solutions."""
    return _notebook(topic, [cell for one in chosen for cell in exercise_cells(one, solved(one))])


def nbgrader(topic: str, chosen: Sequence[Exercise]) -> NotebookNode:
    """An instructor's source notebook, from which `nbgrader generate_assignment` removes the solutions.

    A graded cell raises an exception if the answer fails. It must not write to stderr, which would score 0, and it
    must end without a value: a value that is not a number would earn full marks.
    """
    cells = []
    for one in chosen:
        answer = code_cell(marked_solution(one))
        answer.metadata["nbgrader"] = _graded(one.name, solution=True)
        test = code_cell(f'minibert.check("{one.name}", {one.function}).require()')
        test.metadata["nbgrader"] = _graded(f"test-{one.name}", grade=True, locked=True, points=_points(one))
        task = task_cell(one)
        task.metadata["nbgrader"] = _graded(f"task-{one.name}", locked=True)
        cells += [task, answer, test]
    return _notebook(topic, cells)


def marked_solution(exercise: Exercise) -> str:
    """The solution between nbgrader's markers."""
    return f"{exercise.header}\n    ### BEGIN SOLUTION\n{body_of(exercise)}\n    ### END SOLUTION\n"


def _graded(
    id: str, grade: bool = False, solution: bool = False, locked: bool = False, points: float | None = None
) -> dict[str, Any]:
    """A cell's nbgrader metadata, schema 3."""
    found = {"schema_version": 3, "grade_id": id, "grade": grade, "solution": solution, "locked": locked, "task": False}
    return found if points is None else found | {"points": points}


def _points(exercise: Exercise) -> int:
    return round(sum(exercise.stages.values()))


def _notebook(topic: str, cells: list[NotebookNode]) -> NotebookNode:
    head = [new_markdown_cell(f"# {topic.capitalize()}: exercises\n\n{HOW}"), code_cell(IMPORTS)]
    return finished_notebook([*head, *cells])


# ----------------------------------------------------------------------------------------------- the package

# For a package that was installed without its checkout. Everything that pip recorded is taken from there.
PROJECT = """\
[build-system]
requires = ["setuptools>=69"]
build-backend = "setuptools.build_meta"

[project]
name = "minibert"
version = {version}
requires-python = {python}
dependencies = {dependencies}

[tool.setuptools.packages.find]
include = ["minibert", "minibert.*"]

[tool.setuptools.package-data]
minibert = ["**/*"]
"""


def checkout() -> Path | None:
    """The folder of the checkout that this package is in; None if it was installed without one."""
    folder = Path(minibert.__file__).parents[1]
    project = folder / "pyproject.toml"
    return folder if project.is_file() and 'name = "minibert"' in read_text(project) else None


def package_files() -> dict[str, bytes]:
    """This package as files that pip can install: path -> content, with a pyproject.toml next to minibert/.

    The pyproject.toml is the checkout's own, with the files that it names. Without a checkout it is made from what pip
    recorded when the package was installed. So version and dependencies are written in one place only. Raises
    MinibertError if there is neither.
    """
    package, root = Path(minibert.__file__).parent, checkout()
    files = {path.relative_to(package.parent).as_posix(): path.read_bytes() for path in files_under(package)}
    if root is None:
        return {"pyproject.toml": recorded_project().encode(), **files}
    project = read_text(root / "pyproject.toml")
    named = [path for path in sorted(root.iterdir()) if path.is_file() and f'"{path.name}"' in project]
    return {path.name: path.read_bytes() for path in [root / "pyproject.toml", *named]} | files


def files_under(folder: Path) -> list[Path]:
    """The files of a folder and its subfolders, without hidden files and compiled Python."""
    return [
        path
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and not any(part == "__pycache__" or part.startswith(".") for part in path.relative_to(folder).parts)
    ]


def recorded_project() -> str:
    """A pyproject.toml made from the metadata of the installed package. Raises MinibertError if there is none."""
    try:
        found = metadata.metadata("minibert")
    except metadata.PackageNotFoundError:
        raise MinibertError(
            "minibert is not installed and has no pyproject.toml: install it with pip, or work in a checkout."
        ) from None
    needed = [one for one in found.get_all("Requires-Dist") or [] if "extra ==" not in one]
    # JSON strings and lists of strings are TOML too.
    version, python = json.dumps(found["Version"]), json.dumps(found["Requires-Python"])
    return PROJECT.format(version=version, python=python, dependencies=json.dumps(needed))


# ------------------------------------------------------------------------------------------------ Gradescope

SETUP = """\
#!/usr/bin/env bash
# Runs once, when the autograder is built: installs PyTorch (its CPU build, in the version with which this file was
# made), then minibert from the folder next to this file.
set -euo pipefail
cd "$(dirname "$0")"
python3 -m pip --version >/dev/null 2>&1 || { apt-get update && apt-get install -y python3-pip; }
python3 -m pip install torch==%(torch)s --index-url https://download.pytorch.org/whl/cpu ||
    python3 -m pip install torch==%(torch)s
python3 -m pip install ./package
"""

WEIGHTS = "minibert/weights/"  # of the package, which marking does not need

RUN = """\
#!/usr/bin/env bash
# Runs for each submission. It writes results at once, so that there are some whatever happens afterwards.
autograder=${AUTOGRADER:-/autograder}
mkdir -p "$autograder/results"
results="$autograder/results/results.json"
echo '{"score": 0, "output": "The marking did not finish: submit again, or ask your teacher."}' > "$results"
cd "$autograder/source"
# The numbers of the hidden probes depend on a seed that was drawn for this zip, and on the submission.
seed=$(cat seed)
python3 -m minibert grade "$autograder/submission" --gradescope "$results" --no-swap --seconds 10 --seed "$seed" %s
"""


def autograder(chosen: Sequence[Exercise], seed: int | None = None) -> bytes:
    """The zip for Gradescope: setup.sh, run_autograder and the seed at its root, and this package in package/.

    seed: of the hidden probes; by default drawn now, so that each zip has its own and nobody can look it up.

    It installs the version of torch that runs here, so that the marks there and here come from the same numbers.
    """
    names = "" if len(chosen) == len(exercises()) else f"--exercises {' '.join(one.name for one in chosen)}"
    setup = SETUP % {"torch": torch.__version__.partition("+")[0]}
    files = {"setup.sh": setup.encode(), "run_autograder": (RUN % names).encode()}
    files["seed"] = f"{new_seed() if seed is None else check_seed(seed)}\n".encode()
    package = {path: content for path, content in package_files().items() if not path.startswith(WEIGHTS)}
    files |= {f"package/{path}": content for path, content in package.items()}
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.comment = b"an autograder of minibert"  # so that it may be written over by another one
        for name, content in files.items():
            entry = zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0))  # a fixed date, so that equal files give equal zips
            mode = {"setup.sh": 0o755, "run_autograder": 0o755, "seed": 0o600}.get(name, 0o644)
            entry.external_attr = mode << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, content)
    return packed.getvalue()
