"""A learner's file, read and never run here: its definitions, and what in it reaches for what it must not.

Only imports, functions, classes and assignments are kept. Calls, loops and prints between them (`train()`,
`check(...)`, a plot) do not belong to an answer, and a cell that hangs would hold up the marking.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from minibert.errors import MinibertError

KEPT = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef, ast.Assign, ast.AnnAssign)
LARGEST = 5_000_000  # bytes of a file


@dataclass
class Submission:
    """statements: each a source text and its line, counted through all cells. problems: why cells were left out.

    names: of the functions that are defined. borrowed: what is used of the library, as "minibert.attention".
    """

    path: Path
    statements: list[tuple[str, int]] = field(default_factory=list)
    names: set[str] = field(default_factory=set)
    problems: list[str] = field(default_factory=list)
    borrowed: set[str] = field(default_factory=set)


def read(path: str | Path) -> Submission:
    """A .py file or a notebook. Raises MinibertError when it cannot be read at all."""
    path = Path(path)
    try:
        if path.stat().st_size > LARGEST:
            raise MinibertError(f"{path} is larger than {LARGEST // 1_000_000} MB, which no answer is.")
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise MinibertError(f"{path} cannot be read ({error.strerror}): give a .py file or a notebook.") from None
    except UnicodeDecodeError:
        raise MinibertError(f"{path} is no text in UTF-8: give a .py file or a notebook.") from None
    cells = _cells(path, text) if path.suffix == ".ipynb" else [text]
    found = Submission(path)
    line = 1
    for number, cell in enumerate(cells, start=1):
        try:
            _take(found, cell, line)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            where = f"cell {number}, line" if path.suffix == ".ipynb" else "line"
            found.problems.append(f"{where} {getattr(error, 'lineno', None) or '?'}: {error.__class__.__name__}: "
                                  f"{getattr(error, 'msg', None) or error}")  # fmt: skip
        line += cell.count("\n") + 1
    return found


def _cells(path: Path, text: str) -> list[str]:
    """The code cells of a notebook, without IPython's magics."""
    try:
        notebook = json.loads(text)
        cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
        sources = ["".join(cell["source"]) for cell in cells]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise MinibertError(f"{path} is no notebook that can be read: save it again as .ipynb or .py.") from None
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


ALLOWED = {"check", "progress", "swap", "load_tokenizer", "from_pretrained"}  # of minibert, in a notebook's other cells


def _borrowed(node: ast.AST) -> Iterator[str]:
    """What an answer takes of the library, or the ways round to it that a reader can see."""
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
