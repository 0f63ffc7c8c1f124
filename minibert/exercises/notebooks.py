"""An exercise as the cells of a notebook: its task, a stub or the solution, and its check.

Stub and solution have the same source, the function that the catalogue declares, without or with its body. Lessons and
exports are made from these cells.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Sequence

from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from minibert.exercises.declare import Exercise

# The names that a solution may use.
IMPORTS = """\
import math
import random
from itertools import pairwise

import torch
from einops import rearrange
from torch.nn import functional as F

import minibert"""


def exercise_cells(exercise: Exercise, answer: str, level: int = 2) -> list[NotebookNode]:
    """The task, a cell with the answer (a stub or a solution), and the check. level: of the task's heading."""
    return [task_cell(exercise, level), code_cell(answer), check_cell(exercise)]


def task_cell(exercise: Exercise, level: int = 2) -> NotebookNode:
    """Title, task, source, level, minutes and points. level: of the heading."""
    return new_markdown_cell(
        f"{'#' * level} {exercise.title}\n\n{exercise.task}\n\n*{exercise.source}* · exercise `{exercise.name}`, "
        f"{effort(exercise)}, {sum(exercise.stages.values()):g} points"
    )


def effort(exercise: Exercise) -> str:
    """How hard an exercise is, and how long it takes."""
    return f"{exercise.level}, about {exercise.minutes} minutes"


def code_cell(source: str) -> NotebookNode:
    return new_code_cell(source.rstrip())


def check_cell(exercise: Exercise) -> NotebookNode:
    return code_cell(f'minibert.check("{exercise.name}", {exercise.function})')


FOLDED = "folded"  # the tag of cells that are closed until they are clicked on


def folded(cell: NotebookNode, words: str) -> NotebookNode:
    """A code cell whose source is hidden until it is opened; what it shows stays visible.

    words: what a page shows in its place. JupyterLab shows a bar of its own.
    """
    tags = [tag for tag in cell.metadata.get("tags", []) if tag != FOLDED]
    cell.metadata |= {"tags": [*tags, FOLDED], "fold": words, "jupyter": {"source_hidden": True}}
    return cell


def folded_text(cell: NotebookNode, words: str) -> NotebookNode:
    """A text cell that is closed until it is opened, in a notebook and on a page. words: what is shown in its place."""
    cell.source = f"<details>\n<summary>{words}</summary>\n\n{cell.source}\n\n</details>"
    return cell


def solved(exercise: Exercise) -> str:
    """The function with the solution's body."""
    return f"{exercise.header}\n{body_of(exercise)}\n"


def body_of(exercise: Exercise) -> str:
    """The solution's body without its docstring, indented by four."""
    source = textwrap.dedent(inspect.getsource(exercise.solution))
    function = next(node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef))
    lines = source.splitlines()
    # The last line of the header: a comment above the first statement belongs to the body.
    before = next(n for n in range(function.lineno, len(lines) + 1) if lines[n - 1].rstrip().endswith(":"))
    if ast.get_docstring(function):
        before = function.body[0].end_lineno
    return "\n".join(lines[before : function.body[-1].end_lineno])


def finished_notebook(cells: Sequence[NotebookNode], executed: bool = False) -> NotebookNode:
    """A notebook of these cells. Ids and counts depend only on the order, so that equal cells give equal files."""
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
