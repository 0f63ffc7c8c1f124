"""The learner's file, `my_bert.py`, taken apart and put together again: nothing that stands in it is ever lost.

It is plain Python: a docstring and imports, then a section for each exercise. What the library arranges by itself is
the imports (what they import is kept, and every comment on them) and the empty lines between statements.
"""

from __future__ import annotations

import ast
import io
import os
import re
import sys
import tokenize
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from minibert.errors import MinibertError
from minibert.exercises import progress
from minibert.exercises.catalogue import exercises
from minibert.exercises.sources import NOTHING, Statement, linked, renamed, statement
from minibert.files import read_text

NAME = "my_bert.py"
HEAD = '''"""My BERT: the parts that I wrote, each as it passed its check.

They need torch and what is imported below, but not minibert. `minibert mine` puts them together with real weights.
"""

from __future__ import annotations
'''
SECTION = re.compile(r"^# === ([\w-]+) ===.*$", re.M)


def file() -> Path:
    """Where it lies: MINIBERT_MINE if that is set, else my_bert.py in the folder of the record of progress."""
    chosen = os.environ.get("MINIBERT_MINE")
    return Path(chosen) if chosen else progress.file().with_name(NAME)


def earlier_file() -> Path:
    """Where sections go that were replaced."""
    return file().with_name(f"{file().stem}_earlier.py")


# -------------------------------------------------------------------------------------------------- the file


@dataclass(frozen=True)
class Import:
    """One imported name: `from module import name as bound`, or `import module as bound` where name is "".

    remark: the comment on its line.
    """

    module: str
    name: str = ""
    bound: str = ""
    remark: str = field(default="", compare=False)

    @property
    def target(self) -> str:
        """What is imported. `from torch import nn` and `import torch.nn as nn` import the same."""
        if self.name:
            return f"{self.module}.{self.name}"
        return self.module if self.bound else self.module.partition(".")[0]

    @property
    def adds(self) -> bool:
        """Whether it is needed besides another import of the same name: `import a.b` after `import a`, and stars."""
        return self.name == "*" or (not self.name and not self.bound and "." in self.module)

    @property
    def binds(self) -> str:
        return self.bound or self.name or self.module.partition(".")[0]

    def renamed(self, old: str, new: str) -> list[Import]:
        """The same with another name, if it binds the old one."""
        if self.binds != old or self.name == "*":
            return [self]
        if self.adds:  # `import a.b` binds a, and loads a.b
            whole = Import(self.binds, "", new, self.remark)
            return [whole, Import(self.module, "", f"{new}_{self.module.rpartition('.')[2]}")]
        return [replace(self, bound=new)]


@dataclass
class Book:
    """The file, taken apart.

    opening: the docstring and what else comes before the imports. remarks: comments of the learner's among these.
    preamble: the learner's own statements before the first section. parts: exercise -> its statements, of which some
    may be comments alone. heads: the first line of each section in the file. ends: how the lines end.
    """

    opening: str = HEAD
    imports: list[Import] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    preamble: list[Statement] = field(default_factory=list)
    parts: dict[str, list[Statement]] = field(default_factory=dict)
    heads: dict[str, str] = field(default_factory=dict)
    ends: str = "\n"

    def elsewhere(self, *names: str) -> Iterator[Statement]:
        """All statements but those of these parts."""
        yield from self.preamble
        for name, statements in self.parts.items():
            if name not in names:
                yield from statements

    def has(self, name: str) -> bool:
        """Whether the section of an exercise has its function."""
        known = exercises()
        return name in known and any(known[name].function in one.binds for one in self.parts.get(name, []))

    def meaning(self, name: str, *without: str) -> set[str]:
        """What makes a name what it is in the file, apart from these parts; empty if nothing does."""
        return meaning(name, self.elsewhere(*without), self.imports)

    def names(self) -> set[str]:
        """All names that mean something in the file."""
        return {name for one in self.elsewhere() for name in one.binds} | {one.binds for one in self.imports}

    def rename(self, old: str, new: str) -> None:
        """Give something another name everywhere."""
        self.preamble = [renamed(one, old, new) for one in self.preamble]
        self.parts = {name: [renamed(one, old, new) for one in part] for name, part in self.parts.items()}
        self.imports = [other for one in self.imports for other in one.renamed(old, new)]

    def ordered(self) -> list[str]:
        """The names of the parts in the order of the exercises; those of no exercise come last."""
        known = list(exercises())
        return sorted(self.parts, key=lambda name: known.index(name) if name in known else len(known))

    def text(self) -> str:
        """The file, with the sections in the order of the exercises."""
        blocks = [self.opening.rstrip(), written(self.imports)]
        blocks += ["\n".join(self.remarks), body(self.preamble)]
        titles = {exercise.name: exercise.title for exercise in exercises().values()}
        for name in self.ordered():
            head = self.heads.get(name) or f"# === {name} === {titles.get(name, '')}".rstrip()
            blocks.append(f"\n{head}\n\n{body(self.parts[name])}")
        return ("\n\n".join(block for block in blocks if block) + "\n").replace("\n", self.ends)


def body(statements: Sequence[Statement]) -> str:
    """The statements of a section, with two empty lines around definitions, as is usual."""
    text = ""
    for number, one in enumerate(statements):
        source = one.source.strip("\n")
        if number:
            before = statements[number - 1].source
            large = "\n" in source or "\n" in before.strip("\n")
            text += "\n\n\n" if large else "\n"
        text += source
    return text


def meaning(name: str, statements: Iterable[Statement], imports: Iterable[Import]) -> set[str]:
    """The statements and imports that make a name what it is."""
    found = {one.form for one in statements if name in one.binds}
    return found | {f"import {one.target}" for one in imports if one.binds == name}


def written(imports: Sequence[Import]) -> str:
    """The import statements: one line for each module, those of the standard library first.

    Stars come before all others, in their order, since each of them may take the place of a name before it.
    """
    stars = [one for one in imports if one.name == "*"]
    single = [one for one in imports if not one.name or one.remark]
    lines = {_line(one.module, [one], one.remark): "" for one in single if one not in stars}
    for module in dict.fromkeys(one.module for one in imports):
        names = [one for one in imports if one.module == module and one.name and not one.remark and one not in stars]
        if names:
            lines[_line(module, names)] = ""

    def place(line: str) -> tuple[bool, bool, str]:
        return line.split()[1].partition(".")[0] not in sys.stdlib_module_names, line.startswith("from"), line

    ordered = sorted(lines, key=place)
    groups = [list(dict.fromkeys(_line(one.module, [one], one.remark) for one in stars))]
    groups += [[line for line in ordered if place(line)[0] is outside] for outside in (False, True)]
    return "\n\n".join("\n".join(group) for group in groups if group)


def _line(module: str, imports: Sequence[Import], remark: str = "") -> str:
    """One import statement. imports: of this module, several only if they have names."""
    names = sorted({(one.name or module) + (f" as {one.bound}" if one.bound else "") for one in imports})
    line = f"from {module} import {', '.join(names)}" if imports[0].name else f"import {names[0]}"
    return f"{line}  {remark}" if remark else line


def imports_of(one: Statement) -> list[Import]:
    """What a statement imports at the top level, if it does nothing else, with the comments on its lines."""
    if not one.imports:
        return []
    remarks = {line: text for line, text, alone in comments(one.source) if not alone}
    found = []
    for node in ast.parse(one.source).body:
        places = [alias.lineno for alias in node.names]
        here = {line: text for line, text in remarks.items() if node.lineno <= line <= (node.end_lineno or line)}
        for number, alias in enumerate(node.names):
            own = [here.pop(line) for line in sorted(here) if line == alias.lineno or (
                   not number and line not in places)] if number == places.index(alias.lineno) else []  # fmt: skip
            remark = "  ".join(own)
            if isinstance(node, ast.ImportFrom):
                module = "." * node.level + (node.module or "")
                found.append(Import(module, alias.name, alias.asname or "", remark))
            else:
                found.append(Import(alias.name, "", alias.asname or "", remark))
    return [one for one in found if one.module != "__future__"]


def comments(source: str) -> list[tuple[int, str, bool]]:
    """The comments of a text: the line, the comment, and whether it stands alone on its line."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return [
        (one.start[0], one.string, not one.line[: one.start[1]].strip())
        for one in tokens
        if one.type == tokenize.COMMENT
    ]


def comments_of(one: Statement) -> list[str]:
    """The lines of a statement that are comments alone."""
    return [text for _, text, alone in comments(one.source) if alone]


def plain(text: str) -> str:
    """The text with lines that end as Python sees them, by "\\n" alone."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def sections(text: str, tree: ast.Module) -> list[tuple[int, str]]:
    """Where each section begins: the number of its line, from 1, and its exercise. Not those inside a string."""
    inside = {line for node in tree.body for line in range(first_line(node), (node.end_lineno or 0) + 1)}
    found = [(text.count("\n", 0, mark.start()) + 1, mark[1]) for mark in SECTION.finditer(text)]
    return [(line, name) for line, name in found if line not in inside]


def first_line(node: ast.stmt) -> int:
    """Where a statement begins, with its decorators."""
    return min([node.lineno, *(one.lineno for one in getattr(node, "decorator_list", []))])


def parse(text: str) -> Book:
    """The file taken apart. Raises SyntaxError, and MinibertError for a file that is no my_bert.py."""
    ends = "\r\n" if "\r\n" in text and text.count("\r\n") == text.count("\n") else "\n"
    text = plain(text)
    tree = ast.parse(text)
    starts = sections(text, tree)
    if not text.strip():
        return Book()
    if not starts:
        raise MinibertError("it has no section of an exercise, so it seems to be another file")
    names = [name for _, name in starts]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise MinibertError(f"it has two sections {twice[0]}")
    lines = text.split("\n")
    reach: dict[str, int] = {"": 0, **{name: line for line, name in starts}}  # the lines that have been read, of each
    chunks: dict[str, list[str]] = {"": [], **{name: [] for name in names}}
    for node in tree.body:
        first = first_line(node)
        owner = next((name for line, name in reversed(starts) if line < first), "")
        at = reach[owner]
        if first - 1 < at and chunks[owner]:  # on the same line as the statement before
            chunks[owner][-1] += "\n" + "\n".join(lines[at : node.end_lineno])
        else:
            chunks[owner].append("\n".join(lines[at : node.end_lineno]))
        reach[owner] = max(node.end_lineno or 0, at)
    for owner, until in zip(chunks, [*(line - 1 for line, _ in starts), len(lines)], strict=True):
        rest = "\n".join(lines[reach[owner] : until]).strip("\n")  # comments below the last statement
        if rest.startswith((" ", "\t")) and chunks[owner]:  # at the end of a function, as a part of it
            chunks[owner][-1] += "\n" + rest
        elif rest.strip():
            chunks[owner].append(rest)
    book = Book(heads={name: lines[line - 1].rstrip() for line, name in starts}, ends=ends)
    opening: list[str] = []
    for source in chunks[""]:
        one = statement(source)
        if _is_opening(one) and not book.preamble:
            opening.append(source)
        elif one.imports or (one.form == NOTHING and not book.preamble):
            book.imports += imports_of(one)
            book.remarks += comments_of(one)
        else:
            book.preamble.append(one)
    book.opening = "\n".join(opening) or HEAD
    for name in names:
        part, above = list[str](), list[str]()
        for source in chunks[name]:
            one = statement(source)
            if one.imports:
                book.imports += imports_of(one)
                above += comments_of(one)
            else:
                part.append("\n".join([*above, source.strip("\n")]))
                above = []
        book.parts[name] = [statement(source) for source in (*part, *(["\n".join(above)] if above else []))]
    everything = iter(linked(list(book.elsewhere())))
    book.preamble = [next(everything) for _ in book.preamble]
    book.parts = {name: [next(everything) for _ in part] for name, part in book.parts.items()}
    return book


def _is_opening(one: Statement) -> bool:
    body = ast.parse(one.source).body
    if len(body) != 1:
        return False
    (node,) = body
    is_text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    return is_text or (isinstance(node, ast.ImportFrom) and node.module == "__future__")


def content() -> str:
    """The text of the learner's file, with plain line ends. Raises MinibertError if it cannot be read."""
    path = file()
    if path.is_dir():
        raise MinibertError(f"{path} is a folder: set MINIBERT_MINE to the name of a file, such as {path / NAME}.")
    return plain(read_text(path))


def read() -> Book:
    """The learner's file; an empty book if there is none. Raises MinibertError for a file that cannot be read."""
    path = file()
    if not path.exists():
        return Book()
    content()
    try:
        return parse(read_text(path))
    except MinibertError as error:
        raise MinibertError(f"{path} cannot be used: {error}. Mend it, or move it away to begin anew.") from None
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        where = f", line {error.lineno}" if isinstance(error, SyntaxError) and error.lineno else ""
        said = getattr(error, "msg", None) or error
        raise MinibertError(f"{path} is not Python ({said}{where}): mend it, or move it away to begin anew.") from None
