"""A learner's file, which is read here but never run: its definitions, and what it uses from the library.

Only imports, functions, classes and assignments are kept. Calls, loops and prints between them (`train()`,
`check(...)`, a plot) are not part of an answer, and a cell that hangs would stop the marking.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from minibert.errors import MinibertError
from minibert.files import read_text

KEPT = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef, ast.Assign, ast.AnnAssign)
LARGEST = 5_000_000  # bytes of a file


@dataclass
class Submission:
    """The definitions in a file.

    statements: the source text of each and the number of its first line, counted through all cells. names: of the
    functions that are defined. problems: why cells were left out. borrowed: what is used from the library, such as
    "minibert.attention".
    """

    path: Path
    statements: list[tuple[str, int]] = field(default_factory=list)
    names: set[str] = field(default_factory=set)
    problems: list[str] = field(default_factory=list)
    borrowed: set[str] = field(default_factory=set)


def read(path: str | Path) -> Submission:
    """Read a .py file or a notebook. Raises MinibertError if the file cannot be read at all."""
    path = Path(path)
    if path.is_file() and path.stat().st_size > LARGEST:
        raise MinibertError(f"{path} is larger than {LARGEST // 1_000_000} MB: give a smaller file.")
    text = read_text(path)
    cells = _cells(path, text) if path.suffix == ".ipynb" else [text]
    found = Submission(path)
    line = 1
    for number, cell in enumerate(cells, start=1):
        try:
            _take(found, cell, line)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            where = f"cell {number}, line" if path.suffix == ".ipynb" else "line"
            at, said = getattr(error, "lineno", None) or "?", getattr(error, "msg", None) or error
            found.problems.append(f"{where} {at}: {type(error).__name__}: {said}")
        line += cell.count("\n") + 1
    return found


def _cells(path: Path, text: str) -> list[str]:
    """The code cells of a notebook, without IPython's magics."""
    try:
        notebook = json.loads(text)
        cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
        sources = ["".join(cell["source"]) for cell in cells]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise MinibertError(f"{path} cannot be read as a notebook: save it again as .ipynb or .py.") from None
    return ["" if source.startswith("%%") else _without_magics(source) for source in sources]


def _without_magics(source: str) -> str:
    return "\n".join("" if line.lstrip().startswith(("%", "!", "?")) else line for line in source.split("\n"))


def _take(found: Submission, source: str, first_line: int) -> None:
    tree = ast.parse(source)
    lines = source.split("\n")
    for node in tree.body:
        if not isinstance(node, KEPT):
            continue
        begin = min([node.lineno, *(one.lineno for one in getattr(node, "decorator_list", []))])
        found.statements.append(("\n".join(lines[begin - 1 : node.end_lineno]), first_line + begin - 1))
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            found.names.add(node.name)
        elif isinstance(node, ast.Assign) and isinstance(node.value, (ast.Name, ast.Attribute, ast.Lambda, ast.Call)):
            found.names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
        found.borrowed |= set(_borrowed(node))


# What the other cells of a notebook may use from minibert.
ALLOWED = {"check", "progress", "swap", "load_tokenizer", "from_pretrained"}


def _borrowed(node: ast.AST) -> Iterator[str]:
    """The parts of the library that a statement uses, also indirectly, as far as its source shows it."""
    for part in ast.walk(node):
        if isinstance(part, ast.ImportFrom) and (part.module or "").split(".")[0] == "minibert":
            yield from (f"{part.module}.{one.name}" for one in part.names if one.name not in ALLOWED)
        elif isinstance(part, ast.Import):
            yield from (one.name for one in part.names if one.name.startswith("minibert."))
        elif isinstance(part, ast.Attribute) and isinstance(part.value, ast.Name) and part.value.id == "minibert":
            if part.attr not in ALLOWED:
                yield f"minibert.{part.attr}"
        elif isinstance(part, ast.Constant) and isinstance(part.value, str) and part.value.split(".")[0] == "minibert":
            yield f"the text {part.value!r}"
