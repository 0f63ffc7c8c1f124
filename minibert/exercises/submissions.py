"""What a file that was handed in says: its statements, in the order in which Python would run them.

Nothing is run here. But a file can be made so that reading it takes minutes or gigabytes; therefore the grader reads in
the box, into which `classroom/isolation.py` loads this file. So it imports nothing from minibert at the top.

A notebook's cell is taken as a whole: what is not Python yet goes through IPython's own transformer, as in a notebook.
"""

from __future__ import annotations

import ast
import codecs
import hashlib
import io
import json
import os
import re
import stat
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

LARGEST_CODE = 1_000_000  # characters of code in a file; pictures in a notebook do not count
LARGEST_FILE = 48 * 2**20  # bytes of a file, pictures included
MOST_STATEMENTS = 20_000
MOST_MEMBERS = 2_000  # of a zip
MOST_PROBLEMS = 200
# What a file is read as, by the end of its name.
ENDINGS = {
    ".py": "python", ".pyw": "python", ".py.txt": "python", ".pyw.txt": "python",
    ".ipynb": "notebook", ".ipynb.txt": "notebook", ".ipynb.json": "notebook", ".zip": "zip",
}  # fmt: skip
# Cell magics that run the rest of the cell as Python in the same place. All others do something else with it.
RUN_THE_CELL = ("time", "timeit", "capture", "prun", "memit", "mprun", "lprun", "debug", "snakeviz", "scalene")
# Folders and files that editors and systems leave behind.
JUNK = re.compile(r"(^|/)(__MACOSX|__pycache__|\.ipynb_checkpoints|\.git|\.idea|\.vscode|\.venv|\.DS_Store|Thumbs\.db|"
                  r"desktop\.ini|\._[^/]*)(/|$)")  # fmt: skip


# What zipfile raises for damaged files.
DAMAGED = (
    OSError, ValueError, RuntimeError, NotImplementedError, EOFError, LookupError, zlib.error, struct.error,
    zipfile.BadZipFile,
)  # fmt: skip


class Unreadable(ValueError):
    """A file that cannot be read; the message says why and what to do."""


@dataclass
class Submission:
    """The code of one file.

    statements: the source of each, and the number of its first line, counted through all cells. names: all that the
    statements define at the top level. problems: what was not read, and why. borrowed: what is used from the library,
    such as "minibert.attention". cells: the first line of each cell of a notebook. functions: how many are defined.
    twin: a digest of them that does not depend on names, comments and layout; empty if there are none. broken: whether
    the file or a cell of it is not Python.
    """

    name: str
    statements: list[tuple[str, int]] = field(default_factory=list)
    names: set[str] = field(default_factory=set)
    problems: list[str] = field(default_factory=list)
    borrowed: set[str] = field(default_factory=set)
    cells: list[int] = field(default_factory=list)
    functions: int = 0
    twin: str = ""
    broken: bool = False

    def place(self, line: int) -> str:
        """A line in words: "line 12", or "cell 3, line 2"."""
        before = [number for number, first in enumerate(self.cells) if first <= line]
        return f"cell {before[-1] + 1}, line {line - self.cells[before[-1]] + 1}" if before else f"line {line}"


def read(path: str | Path) -> Submission:
    """The code in one .py file or notebook. Raises MinibertError if it cannot be read, or is a zip of several."""
    from minibert.errors import MinibertError

    path = Path(path)
    try:
        found = parse(path.name, content_of(path))
    except Unreadable as error:
        said = str(error)
        raise MinibertError(f"{path} {said[3:]}" if said.startswith("it ") else f"{path}: {said}") from None
    if len(found) > 1:
        raise MinibertError(f"{path} holds {len(found)} files: unpack it and give one of them.")
    return found[0]


def content_of(path: Path, follow: bool = True) -> bytes:
    """The bytes of a regular file. follow: also through a link. Raises Unreadable.

    Opening does not wait, because what lies in a folder of submissions may be a pipe.
    """
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        opened = os.open(path, flags if follow else flags | getattr(os, "O_NOFOLLOW", 0))
        with os.fdopen(opened, "rb") as file:
            about = os.fstat(file.fileno())
            if not stat.S_ISREG(about.st_mode):
                raise Unreadable("it is no file with content: hand in a .py file or a notebook.")
            content = file.read(LARGEST_FILE + 1)
    except OSError as error:
        raise Unreadable(f"it cannot be read ({error.strerror or error}): check the path.") from None
    if len(content) > LARGEST_FILE:
        raise Unreadable(f"it is larger than {LARGEST_FILE >> 20} MB: hand in a smaller file.")
    return content


def kind_of(name: str) -> str | None:
    """What a file is read as: "python", "notebook" or "zip"; None for a file that is not read."""
    found = [ending for ending in ENDINGS if name.lower().endswith(ending)]
    return ENDINGS[max(found, key=len)] if found else None


def parse(name: str, content: bytes) -> list[Submission]:
    """The code in a file: one Submission, or one for each file in a zip. Raises Unreadable."""
    kind = kind_of(name)
    if kind is None:
        raise Unreadable("it is not read: hand in a .py file or a notebook (.ipynb), or a zip of them.")
    if kind == "zip":
        return _from_zip(name, content)
    return [_from_code(name, kind, content)]


def _from_code(name: str, kind: str, content: bytes) -> Submission:
    found = Submission(name)
    if name.lower().endswith((".txt", ".json")):
        found.problems.append(f"read as {'a notebook' if kind == 'notebook' else 'Python'}, although it is called so")
    if not content.strip(b" \t\r\n\0"):
        found.problems.append("the file is empty")
        return found
    if kind == "python" and content.lstrip()[:1] == b"{" and b'"cells"' in content:
        kind = "notebook"
        found.problems.append("read as a notebook, because that is what it holds")
    if kind == "notebook":
        cells = list(_cells(found, content))
    else:
        cells = [(1, decoded(content, found.problems))]
    if sum(len(text) for _, text in cells) > LARGEST_CODE:
        raise Unreadable(f"it holds more than {LARGEST_CODE:,} characters of code: hand in your answers only.")
    trees: list[ast.stmt] = []
    line = 1
    for number, text in cells:
        text = re.sub("\r\n?", "\n", text)
        if kind == "notebook":
            found.cells.append(line)
        try:
            trees += _take(found, text, line)
        except Unreadable:
            raise
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            found.broken = True
            at = f"line {error.lineno}" if isinstance(error, SyntaxError) and error.lineno else "somewhere"
            where = f"cell {number}, {at}" if kind == "notebook" else at
            said = getattr(error, "msg", None) or error
            left = "the cell is left out" if kind == "notebook" else "nothing in the file can be run"
            found.problems.append(f"{where}: {type(error).__name__}: {said}; {left}")
        line += text.count("\n") + 1
    found.functions, found.twin = _digest(trees)
    if len(found.problems) > MOST_PROBLEMS:
        found.problems[MOST_PROBLEMS:] = [f"and {len(found.problems) - MOST_PROBLEMS} more"]
    return found


# ------------------------------------------------------------------------------------------------- to text


def decoded(content: bytes, problems: list[str]) -> str:
    """The text of a Python file, as Python decodes it (PEP 263); files that Python refuses are read as they can be."""
    for mark, encoding in ((codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"),
                           (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16")):  # fmt: skip
        if content.startswith(mark):
            problems.append(f"read as {encoding.upper()}: Python itself needs UTF-8")
            return content.decode(encoding, "replace")
    try:
        encoding, _ = tokenize.detect_encoding(
            io.BytesIO(content.replace(b"\r\n", b"\n").replace(b"\r", b"\n")).readline
        )
        return content.decode(encoding)
    except (SyntaxError, LookupError, UnicodeError) as error:
        said = "it is not UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)
        problems.append(f"read as Windows-1252 (Latin-1), because {said}")
        return content.decode("cp1252", "replace").removeprefix("ï»¿")


def _cells(found: Submission, content: bytes) -> Iterator[tuple[int, str]]:
    """The code cells of a notebook with their numbers, counted over the code cells."""
    try:
        notebook = json.loads(content.removeprefix(codecs.BOM_UTF8))
        if "cells" not in notebook and "worksheets" in notebook:  # the format before 2015
            listed = [cell for sheet in notebook["worksheets"] for cell in sheet["cells"]]
        else:
            listed = notebook["cells"]
        if not isinstance(listed, list):
            raise TypeError
    except (ValueError, KeyError, TypeError, RecursionError, AttributeError):
        raise Unreadable("it cannot be read as a notebook: save it again as .ipynb or .py.") from None
    number = 0
    for cell in listed:
        kind = cell.get("cell_type") if isinstance(cell, dict) else None
        source = cell.get("source", cell.get("input", "")) if isinstance(cell, dict) else None
        if isinstance(source, list) and all(isinstance(line, str) for line in source):
            source = "".join(source)
        if kind == "code":
            number += 1
            if isinstance(source, str):
                yield number, source
            else:
                found.problems.append(f"cell {number}: its source is not text; the cell is left out")
                yield number, ""
        elif not isinstance(source, str) or not isinstance(kind, str):
            found.problems.append(f"something after cell {number} is no cell; it is left out")
        elif (kind != "markdown" and source.strip()) or re.match(r"\s*(def|class|import|from) ", source):
            found.problems.append(f"after cell {number}: a cell of the kind {kind[:40]!r} is not run")


# ------------------------------------------------------------------------------------------- to statements


def _take(found: Submission, text: str, first_line: int) -> list[ast.stmt]:
    """Add the statements of a file or a cell. Raises SyntaxError, ... if it is not Python, nor IPython's dialect."""
    as_written = text.split("\n")
    try:
        tree = ast.parse(text)
    except SyntaxError:
        text = _from_dialect(found, text, first_line)
        tree = ast.parse(text)
    lines = text.split("\n")
    taken: list[ast.stmt] = []
    last = 0  # the last line of the statement before
    for node in tree.body:
        line = first_line + min([node.lineno, *(one.lineno for one in getattr(node, "decorator_list", []))]) - 1
        end = node.end_lineno or node.lineno
        found.borrowed |= set(borrowed(node))
        if _of_ipython(node) and isinstance(node, (ast.Expr, ast.Assign, ast.AnnAssign, ast.AugAssign)):
            inner = _timed(node)
            if inner is None:
                same = "\n".join(as_written).rstrip("\n").count("\n") == text.rstrip("\n").count("\n")
                shown = " ".join((as_written[node.lineno - 1] if same else ast.unparse(node)).split())
                found.problems.append(
                    f"{found.place(line)}: left out, because it is a command to IPython: {shown[:120]}"
                )
                continue
            taken += _take(found, inner, line)
            continue
        if _of_ipython(node):
            found.problems.append(f"{found.place(line)}: the commands to IPython in it do nothing")
        if first_line + node.lineno - 1 == last and found.statements:  # another on the same line: they stay together
            source, begins = found.statements[-1]
            source = "\n".join(lines[begins - first_line : end])
            found.statements[-1] = (source, begins)
        else:
            found.statements.append(("\n".join(lines[line - first_line : end]), line))
        last = first_line + end - 1
        found.names |= set(bound(node))
        taken.append(node)
    if len(found.statements) > MOST_STATEMENTS:
        raise Unreadable(f"it holds more than {MOST_STATEMENTS:,} statements: hand in your answers only.")
    return taken


def _from_dialect(found: Submission, text: str, first_line: int) -> str:
    """A cell in IPython's dialect as Python, with as many lines before each statement."""
    empty = len(text) - len(text.lstrip("\n \t"))
    lines_before = text[:empty].count("\n")
    if text[empty:].startswith("%%"):
        head, _, body = text[empty:].partition("\n")
        name = head[2:].split()[0] if head[2:].split() else ""
        if name not in RUN_THE_CELL:
            found.problems.append(
                f"{found.place(first_line)}: the cell is left out, because it begins with %%{name[:40]}"
            )
            return ""
        body = "\n" * (lines_before + 1) + body
        try:
            ast.parse(body)
        except SyntaxError:
            return _from_dialect(found, body, first_line)
        return body
    try:
        from IPython.core.inputtransformer2 import TransformerManager
    except ImportError:
        raise SyntaxError("this is no Python, and IPython is not installed, which could read it") from None
    changed = TransformerManager().transform_cell(text)
    return "\n" * lines_before + changed if text[:empty].strip(" \t") else changed


def _of_ipython(node: ast.AST) -> bool:
    return any(isinstance(part, ast.Name) and part.id == "get_ipython" for part in ast.walk(node))


def _timed(node: ast.stmt) -> str | None:
    """The statement in `%time statement`; None if the node is something else."""
    call = getattr(node, "value", None)
    if not isinstance(node, ast.Expr) or not isinstance(call, ast.Call) or len(call.args) != 2:
        return None
    name, body = (one.value if isinstance(one, ast.Constant) else None for one in call.args)
    runs = isinstance(call.func, ast.Attribute) and call.func.attr == "run_line_magic" and name in ("time", "prun")
    try:
        return body if runs and isinstance(body, str) and ast.parse(body).body else None
    except (SyntaxError, ValueError):
        return None


def bound(node: ast.AST) -> Iterator[str]:
    """The names that a statement defines in its own scope, in all its branches."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        yield node.name
        return
    if isinstance(node, (ast.Lambda, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)):
        return
    if isinstance(node, ast.alias):
        yield node.asname or node.name.split(".")[0]
    elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        yield node.id
    elif isinstance(node, (ast.MatchAs, ast.MatchStar)) and node.name:
        yield node.name
    elif isinstance(node, ast.MatchMapping) and node.rest:
        yield node.rest
    for child in ast.iter_child_nodes(node):
        yield from bound(child)


# What the other cells of a notebook may use from minibert.
ALLOWED = {"check", "progress", "swap", "mine", "load_tokenizer", "from_pretrained"}


def borrowed(node: ast.AST) -> Iterator[str]:
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
            yield f"the text {part.value[:60]!r}"


# --------------------------------------------------------------------------------------------- equal files


def _digest(trees: Sequence[ast.stmt]) -> tuple[int, str]:
    """How many functions and classes there are, and a digest of them that renaming and reformatting do not change."""
    kept = [one for one in trees if isinstance(one, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))]
    kept = [one for one in kept if not _is_stub(one)]
    if not kept:
        return 0, ""
    own = {one.name for one in kept}
    forms = sorted(_form(one, own) for one in kept)
    return len(kept), hashlib.sha256("\n".join(forms).encode("utf-8", "backslashreplace")).hexdigest()


def _is_stub(node: ast.stmt) -> bool:
    body = getattr(node, "body", [])
    return all(isinstance(one, (ast.Raise, ast.Pass)) or _is_text(one) for one in body)


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _form(function: ast.stmt, own: set[str]) -> str:
    """The shape of a definition: without docstrings and annotations, its own names numbered as they appear."""
    given = {part.arg for part in ast.walk(function) if isinstance(part, ast.arg)} | own
    given |= {part.id for part in ast.walk(function) if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)}
    numbers: dict[str, str] = {}

    def show(one: Any) -> str:
        if isinstance(one, list):
            return f"[{','.join(show(item) for item in one if not (isinstance(item, ast.stmt) and _is_text(item)))}]"
        if not isinstance(one, ast.AST):
            return repr(one)
        parts = []
        for name, value in ast.iter_fields(one):
            if name in ("annotation", "returns", "type_comment", "ctx", "kind", "decorator_list"):
                continue
            if name in ("id", "arg", "name") and isinstance(value, str) and value in given:
                value = numbers.setdefault(value, f"n{len(numbers)}")
            parts.append(show(value))
        return f"{type(one).__name__}({','.join(parts)})"

    try:
        return show(function)
    except RecursionError:
        return "deep"


# ------------------------------------------------------------------------------------------------- archives


def _from_zip(name: str, content: bytes) -> list[Submission]:
    """The files of a zip. Nothing is unpacked to the disk; names in it are only shown."""
    found: list[Submission] = []
    left_out: list[str] = []
    room = LARGEST_FILE
    try:
        archive = zipfile.ZipFile(io.BytesIO(content))
        members = [one for one in archive.infolist() if not one.is_dir() and not JUNK.search(one.filename)]
        if len(members) > MOST_MEMBERS:
            raise Unreadable(f"it holds {len(members)} files, but {MOST_MEMBERS} are allowed.")
        for member in members:
            shown = member.filename[-200:]
            kind = kind_of(member.filename)
            if stat.S_ISLNK(member.external_attr >> 16):
                left_out.append(f"{shown} in the zip is a link, and links are not followed")
            elif kind not in ("python", "notebook"):
                left_out.append(f"{shown} in the zip is not read")
            elif member.flag_bits & 1:
                left_out.append(f"{shown} in the zip is encrypted and cannot be read")
            else:
                try:
                    with archive.open(member) as file:
                        data = file.read(room + 1)
                    if len(data) > room:
                        raise Unreadable(f"it unpacks to more than {LARGEST_FILE >> 20} MB.")
                    room -= len(data)
                    found.append(_from_code(shown, kind, data))
                except Unreadable as error:
                    left_out.append(f"{shown} in the zip: {error}")
                except DAMAGED as error:
                    left_out.append(f"{shown} in the zip cannot be read ({type(error).__name__})")
    except Unreadable:
        raise
    except Exception as error:  # zipfile raises many kinds for a file that is no zip
        raise Unreadable(f"it cannot be read as a zip ({type(error).__name__}): make it again.") from None
    if not found:
        said = "; ".join(left_out[:5])
        raise Unreadable(
            "the zip holds no .py file and no notebook that can be read" + (f" ({said})." if said else ".")
        )
    found[0].problems[:0] = left_out[:MOST_PROBLEMS]
    return found
