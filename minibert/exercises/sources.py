"""The source of a function with everything around it that it needs: its helpers, constants and imports.

A file or the cells of a notebook are read as statements, in the order in which they were run. Each statement binds some
names and needs others; what a function needs is found by following the names. Nothing is run here.
"""

from __future__ import annotations

import ast
import builtins
import functools
import inspect
import json
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any, NamedTuple

from minibert.errors import MinibertError
from minibert.exercises.scopes import DEFINITION, FUNCTION, Effects, changed, effects_of, global_names
from minibert.exercises.submissions import Submission, bound, content_of, parse
from minibert.words import listed

KNOWN = frozenset(dir(builtins)) | {"__name__", "__file__", "__doc__"}  # names that need no statement
COMMENT = r"#(?!!| ?%%|.*coding[:=]| === )"  # not those that say how the file is to be read
NOTHING = ast.dump(ast.parse(""))  # the form of comments alone

# ---------------------------------------------------------------------------------------------- one statement


class Statement(NamedTuple):
    """A statement at the top level of a file. source: its text, with the comment right above it.

    binds: the names that it sets or changes. needs: the names that it uses from outside, without those of annotations,
    which `mentions` has too. starts: the names that it sets without looking at what they were before. form: equal for
    statements that differ only in comments and layout. effects: what it may change without an assignment.
    """

    source: str
    binds: frozenset[str]
    needs: frozenset[str]
    mentions: frozenset[str]
    starts: frozenset[str]
    form: str
    effects: Effects

    @property
    def imports(self) -> bool:
        """Whether it imports, and does nothing else."""
        body = ast.parse(self.source).body
        return bool(body) and all(isinstance(node, (ast.Import, ast.ImportFrom)) for node in body)


@functools.lru_cache(maxsize=4096)  # a file is read again with each answer that joins it
def statement(source: str) -> Statement:
    """A statement from its text; several, if they are on one line; or comments alone. Raises SyntaxError."""
    tree = ast.parse(source)
    binds, needs, mentions, starts = set[str](), set[str](), set[str](), set[str]()
    for node in tree.body:
        sets = set(bound(node))
        binds |= sets | {name for part in ast.walk(node) for name in changed(part)}
        # A function that sets a global name needs it; other statements bind what they set.
        used = {one.id for one in global_names(node) if isinstance(one.ctx, ast.Load) or isinstance(node, FUNCTION)}
        mentions |= used
        needs |= used & {one.id for one in global_names(node, annotations=False)}
        if isinstance(node, (*DEFINITION, ast.ImportFrom)):
            starts |= sets
        elif isinstance(node, ast.Import):  # but `import a.b` adds b to what `import a` has made
            starts |= {one.asname or one.name for one in node.names if one.asname or "." not in one.name}
        elif isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value is not None:
            starts |= sets - used
    effects = effects_of(tree, frozenset(mentions))
    names = (frozenset(one) for one in (binds, needs, mentions, starts))
    return Statement(source, *names, ast.dump(tree), effects)


# -------------------------------------------------------------------------------------------------- renaming


def renamed(one: Statement, old: str, new: str) -> Statement:
    """The statement with another name for something of the file; all else stays as it is written.

    Where the name is not found in the text (in imports, in `global`, in some f-strings of older Pythons), the statement
    is written anew, and loses its comments.
    """
    if old not in one.mentions | one.binds:
        return one
    tree = _renamed(one.source, old, new)
    lines = [line.encode() for line in one.source.split("\n")]
    for line, column in sorted(_places(ast.parse(one.source), old, lines), reverse=True):
        before, after = lines[line - 1][:column], lines[line - 1][column:]
        if after.startswith(old.encode()):
            lines[line - 1] = before + new.encode() + after[len(old.encode()) :]
    try:
        found = statement(b"\n".join(lines).decode())
    except (SyntaxError, UnicodeDecodeError):
        found = None
    if found is None or found.form != ast.dump(tree):
        found = statement(ast.unparse(tree))
    return found._replace(binds=frozenset(new if name == old else name for name in one.binds))


def _places(tree: ast.Module, name: str, lines: Sequence[bytes]) -> Iterator[tuple[int, int]]:
    """Line and column of each place where the text has this name of the file; columns in bytes."""
    for node in tree.body:
        if isinstance(node, DEFINITION) and node.name == name:
            begin = re.compile(rb"(async\s+)?(def|class)\s+").match(lines[node.lineno - 1], node.col_offset)
            if begin:
                yield node.lineno, begin.end()
        for used in global_names(node):
            if used.id == name:
                yield used.lineno, used.col_offset


def _renamed(source: str, old: str, new: str) -> ast.Module:
    """The tree of a statement with another name for something of the file."""
    tree = ast.parse(source)
    for node in tree.body:
        for used in list(global_names(node)):
            used.id = new if used.id == old else used.id
        if isinstance(node, DEFINITION) and node.name == old:
            node.name = new
        for part in ast.walk(node):
            if isinstance(part, ast.Global):
                part.names = [new if name == old else name for name in part.names]
            if isinstance(part, ast.alias) and not isinstance(node, DEFINITION):
                bound_name = part.asname or part.name.partition(".")[0]
                part.asname = new if bound_name == old else part.asname
    return tree


# --------------------------------------------------------------------------------------- a file as statements


def statements_in(name: str, content: bytes) -> list[Statement]:
    """The statements of a file or a notebook, in order; what is not Python is left out. Raises Unreadable."""
    found = [_with_comments(one, content) for one in parse(name, content)]
    return [statement(source) for sources in found for source in sources]


def _with_comments(read: Submission, content: bytes) -> list[str]:
    """The text of each statement, with the lines of comment right above it, where it is written in a plain file."""
    lines = re.sub("\r\n?", "\n", content.decode("utf-8", "replace")).split("\n")
    if content.lstrip()[:1] == b"{":  # a notebook
        lines = "\n".join(_cells_of(content)).split("\n")
    sources = []
    for source, line in read.statements:
        above = line - 1
        while above > 0 and above <= len(lines) and re.match(COMMENT, lines[above - 1]):
            above -= 1
        sources.append("\n".join([*lines[above : line - 1], source]))
    return sources


def _cells_of(content: bytes) -> list[str]:
    found = []
    for cell in json.loads(content).get("cells", []):
        if cell.get("cell_type") == "code":
            source = cell.get("source", "")
            found.append(re.sub("\r\n?", "\n", "".join(source) if isinstance(source, list) else source))
    return found


class Around(NamedTuple):
    """Where a function was written: all statements there, and the names by which the function is known."""

    statements: list[Statement]
    names: list[str]


def around(answer: Any) -> Around:
    """The statements of the file or the notebook that a function belongs to, as far as they have been run.

    Raises MinibertError if they cannot be found, as for a function that was typed in without IPython.
    """
    inner = answer
    while True:  # to the function itself: out of a partial, a decorator's wrapper, an object that can be called
        if isinstance(inner, functools.partial):
            inner = inner.func
        elif hasattr(inner, "__wrapped__"):
            inner = inner.__wrapped__
        elif not inspect.isroutine(inner) and not isinstance(inner, type) and callable(inner):
            inner = type(inner).__call__
        else:
            break
    space = getattr(inner, "__globals__", None)
    if space is None:
        raise MinibertError("it is not written in Python")
    names = [name for name, value in space.items() if value is answer and not name.startswith("_")]
    if not names:
        raise MinibertError("it has no name at the top level of a notebook or a file: write it there, with def")
    file = inner.__code__.co_filename
    if Path(file).is_file():
        statements = statements_in(Path(file).name, content_of(Path(file)))
    elif callable(shell := space.get("get_ipython")):
        cells = [{"cell_type": "code", "source": text} for text in shell().history_manager.input_hist_raw]
        statements = statements_in("cells.ipynb", json.dumps({"cells": cells}).encode())
    else:
        raise MinibertError("Python keeps no source of what is typed in here: write it in a notebook or a file")
    return Around(_as_they_are(statements, space), names)


def _as_they_are(statements: Sequence[Statement], space: dict[str, Any]) -> list[Statement]:
    """Without definitions that are not in force: of a cell that stopped before it, or that was changed and not run."""
    kept = []
    for one in statements:
        (name, *others) = one.starts or ("",)
        value = inspect.unwrap(space[name]) if isinstance(space.get(name), FunctionType) else None
        if others or value is None or _defines(one.source, value):
            kept.append(one)
    return kept


def _defines(source: str, function: FunctionType) -> bool:
    """Whether a statement may be the one that made a function: it defines none, or one with the same source."""
    if not any(isinstance(node, ast.FunctionDef) for node in ast.parse(source).body):
        return True
    try:
        return inspect.getsource(function).strip() in source
    except (OSError, TypeError):  # as in a cell with %%time
        made = [one for one in compile(source, "", "exec", dont_inherit=True).co_consts if isinstance(one, CodeType)]
        return any(_alike(one, function.__code__) for one in made)


def _alike(one: CodeType, other: CodeType) -> bool:
    """Whether two functions use the same names and numbers. (Their bytecode depends on the cell around them.)"""
    if (one.co_names, one.co_varnames, len(one.co_consts)) != (other.co_names, other.co_varnames, len(other.co_consts)):
        return False
    return all(
        _alike(a, b) if isinstance(a, CodeType) and isinstance(b, CodeType) else repr(a) == repr(b)
        for a, b in zip(one.co_consts, other.co_consts, strict=True)
    )


# --------------------------------------------------------------------------------------- what a function needs


def linked(statements: Sequence[Statement], root: str = "") -> list[Statement]:
    """All statements of a file, with what they change by calls among the names that they bind.

    So `table.append(1)` belongs to `table`, as `table["a"] = 1` does; also if a function of the file does it, which is
    called there or decorates something. root: a function whose calls do not count, because they only try it out.
    """
    makers: dict[str, list[Statement]] = {}
    for one in statements:
        for name in one.binds if not one.imports else ():
            makers.setdefault(name, []).append(one)
    reached: dict[str, frozenset[str]] = {}

    def changes(name: str) -> frozenset[str]:
        """The names that may change when something of this name is called."""
        if name not in reached and name != root:
            reached[name] = frozenset()  # for functions that call each other
            for one in makers.get(name, []):
                reached[name] |= one.effects.inside.union(*map(changes, sorted(one.needs & makers.keys())))
        return reached.get(name, frozenset())

    found = []
    for one in statements:
        its = one.effects
        more = its.touches.union(*map(changes, sorted(its.runs)))
        if any(maker.effects.fills for name in its.runs for maker in makers.get(name, [])):
            more |= its.passed
        found.append(one._replace(binds=one.binds | (more & makers.keys())) if more and not one.imports else one)
    return found


def needed(statements: Sequence[Statement], name: str) -> list[Statement]:
    """The statements that something of a file needs, in their order, those that define it included.

    In place of `from math import *`, the names that are used from it are imported, if the module is loaded here: what
    else it has would take the place of other names where the statements are copied to. Raises MinibertError if the name
    is not defined in the file, or if it uses a name that nothing in the file defines.
    """
    statements = linked(statements, name)
    chosen: set[int] = set()
    asked, optional = [name], list[str]()  # optional: what only annotations mention
    seen: set[str] = set()
    missing: set[str] = set()
    stars = {number: _offered(one) for number, one in enumerate(statements) if "*" in one.binds}
    taken: dict[int, list[str]] = {number: [] for number in stars}
    while asked or optional:
        must_be = bool(asked)
        wanted = asked.pop() if must_be else optional.pop()
        found = _that_define(statements, wanted)
        if not found and (by := [number for number, names in stars.items() if wanted in (names or ())]):
            taken[by[-1]].append(wanted)  # the last star wins, as where it was run
        elif must_be and not found and wanted not in KNOWN:
            missing.add(wanted)
        if wanted in seen:
            continue
        seen.add(wanted)
        for number in set(found) - chosen:
            chosen.add(number)
            asked += statements[number].needs
            optional += statements[number].mentions - statements[number].needs
    as_is = bool(missing) and None in stars.values()  # what another module offers is not known
    if missing and not as_is:
        raise MinibertError(f"it uses {listed([f'`{one}`' for one in sorted(missing)])}, which no statement defines")
    kept = []
    for number, one in enumerate(statements):
        if number in chosen or (as_is and number in stars):
            kept.append(one)
        elif taken.get(number):
            module = one.source[one.source.index("from ") :].split()[1]
            kept.append(statement(f"from {module} import {', '.join(sorted(set(taken[number])))}"))
    return kept


def _offered(star: Statement) -> frozenset[str] | None:
    """The names that `from module import *` gives; None if the module is not loaded in this process."""
    (node, *others) = ast.parse(star.source).body
    if others or not isinstance(node, ast.ImportFrom) or node.level or node.module not in sys.modules:
        return None
    module = sys.modules[node.module]
    return frozenset(getattr(module, "__all__", None) or [name for name in dir(module) if not name.startswith("_")])


def _that_define(statements: Sequence[Statement], name: str) -> list[int]:
    """The numbers of the statements that make something what it is: the last that starts it, and all that change it."""
    found = [number for number, one in enumerate(statements) if name in one.binds]
    starts = [number for number in found if name in statements[number].starts]
    return [number for number in found if not starts or number >= starts[-1]]
