"""The learner's own file, `my_bert.py`: every answer that passed, as the learner wrote it, in reading order.

It lies beside the record of progress, so that all notebooks add to the same file. It is plain Python: imports at the
top, then a section for each exercise, with the helpers and constants that the answer needs. What an earlier section has
already is not written twice. If a helper has the same name as something else in the file but other code, it gets a
longer name, so that both keep working.

An answer that passes again with other code replaces its section, and the earlier one goes to `my_bert_earlier.py`. What
the learner changed or added by hand is kept, and a file that cannot be read is left as it is. Nothing here is run:
`minibert.own` does that.
"""

from __future__ import annotations

import ast
import os
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

from minibert.errors import MinibertError
from minibert.exercises import progress
from minibert.exercises.catalogue import exercises
from minibert.exercises.declare import Exercise
from minibert.exercises.sources import Statement, around, needed, renamed, statement
from minibert.files import locked, read_text, write_file
from minibert.words import listed

NAME = "my_bert.py"
HEAD = '''"""My BERT: the parts that I wrote, each as it passed its check.

They need torch and what is imported below, but not minibert. `minibert mine` puts them together with real weights.
"""

from __future__ import annotations
'''
SECTION = re.compile(r"^# === ([\w-]+) ===.*$", re.M)
WAIT = 5.0  # seconds for another notebook that is writing


def file() -> Path:
    """Where it lies: MINIBERT_MINE if that is set, else my_bert.py in the folder of the record of progress."""
    chosen = os.environ.get("MINIBERT_MINE")
    return Path(chosen) if chosen else progress.file().with_name(NAME)


def earlier_file() -> Path:
    """Where sections go that were replaced."""
    return file().with_name(f"{file().stem}_earlier.py")


# -------------------------------------------------------------------------------------------------- the file


class Import(NamedTuple):
    """One imported name: `from module import name as bound`, or `import module as bound` where name is ""."""

    module: str
    name: str
    bound: str

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


@dataclass
class Book:
    """The file, taken apart.

    opening: the docstring and what else comes before the imports. remarks: comments of the learner's among these.
    preamble: the learner's own statements before the first section. parts: exercise -> its statements.
    """

    opening: str = HEAD
    imports: list[Import] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    preamble: list[Statement] = field(default_factory=list)
    parts: dict[str, list[Statement]] = field(default_factory=dict)

    def elsewhere(self, *names: str) -> Iterator[Statement]:
        """All statements but those of these parts."""
        yield from self.preamble
        for name, statements in self.parts.items():
            if name not in names:
                yield from statements

    def ordered(self) -> list[str]:
        """The names of the parts in the order of the exercises; those of no exercise come last."""
        known = list(exercises())
        return sorted(self.parts, key=lambda name: known.index(name) if name in known else len(known))

    def text(self) -> str:
        """The file, with the imports that are used, and the sections in the order of the exercises."""
        used = {name for one in self.elsewhere() for name in one.mentions}
        blocks = [self.opening.rstrip(), written([one for one in self.imports if one.binds in used | {"*"}])]
        blocks += ["\n".join(self.remarks), body(self.preamble)]
        titles = {exercise.name: exercise.title for exercise in exercises().values()}
        for name in self.ordered():
            head = f"# === {name} === {titles.get(name, '')}".rstrip()
            blocks.append(f"\n{head}\n\n{body(self.parts[name])}")
        return "\n\n".join(block for block in blocks if block) + "\n"


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


def written(imports: Sequence[Import]) -> str:
    """The import statements: one line for each module, those of the standard library first."""
    plain = [f"import {one.module}" + (f" as {one.bound}" if one.bound else "") for one in imports if not one.name]
    lines: dict[str, str] = dict.fromkeys(plain, "")
    for module in dict.fromkeys(one.module for one in imports if one.name):
        names = sorted({f"{one.name} as {one.bound}" if one.bound else one.name for one in imports
                        if one.module == module and one.name})  # fmt: skip
        lines[f"from {module} import {', '.join(names)}"] = ""

    def place(line: str) -> tuple[bool, bool, str]:
        return line.split()[1].partition(".")[0] not in sys.stdlib_module_names, line.startswith("from"), line

    ordered = sorted(lines, key=place)
    groups = [[line for line in ordered if place(line)[0] is outside] for outside in (False, True)]
    return "\n\n".join("\n".join(group) for group in groups if group)


def imports_of(one: Statement) -> list[Import]:
    """What a statement imports at the top level, if it does nothing else."""
    if not one.imports:
        return []
    found = []
    for node in ast.parse(one.source).body:
        for alias in node.names:
            if isinstance(node, ast.ImportFrom):
                bound = alias.asname or ""
                found.append(Import("." * node.level + (node.module or ""), alias.name, bound))
            else:
                found.append(Import(alias.name, "", alias.asname or ""))
    return [one for one in found if one.module != "__future__"]


def parse(text: str) -> Book:
    """The file taken apart. Raises SyntaxError, and MinibertError for a file that is no my_bert.py."""
    tree = ast.parse(text)
    marks = list(SECTION.finditer(text))
    if not text.strip():
        return Book()
    if not marks:
        raise MinibertError("it has no section of an exercise, so it seems to be another file")
    book = Book()
    lines = text.split("\n")
    starts = [(text.count("\n", 0, mark.start()), mark[1]) for mark in marks]
    names = [name for _, name in starts]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise MinibertError(f"it has two sections {twice[0]}")
    ends: dict[str | None, int] = {None: 0}
    chunks: dict[str | None, list[str]] = {None: [], **{name: [] for name in names}}
    for node in tree.body:
        first = min([node.lineno, *(one.lineno for one in getattr(node, "decorator_list", []))])
        owner = next((name for line, name in reversed(starts) if line < first), None)
        at = ends.get(owner, next((line + 1 for line, name in starts if name == owner), 0))
        if first - 1 < at and chunks[owner]:  # on the same line as the statement before
            chunks[owner][-1] += "\n" + "\n".join(lines[at : node.end_lineno])
        else:
            chunks[owner].append("\n".join(lines[at : node.end_lineno]))
        ends[owner] = max(node.end_lineno or 0, at)
    bounds = [*starts, (len(lines), "")]
    begins: list[tuple[int, str | None]] = [(-1, None), *starts]
    for (line, owner), (until, _) in zip(begins, bounds, strict=True):  # comments below the last statement
        rest = "\n".join(lines[ends.get(owner, line + 1) : until]).strip("\n")
        if rest.strip() and owner is None:
            book.remarks.append(rest)
        elif rest.strip() and chunks[owner]:
            chunks[owner][-1] += "\n" + rest
    opening: list[str] = []
    for source in chunks[None]:
        one = statement(source)
        if _is_opening(source) and not book.preamble:
            opening.append(source)
        elif one.imports:
            book.imports += imports_of(one)
            book.remarks += comments_of(source)
        else:
            book.preamble.append(one)
    book.opening = "\n".join(opening) or HEAD
    for name in names:
        book.parts[name], above = [], list[str]()
        for source in chunks[name]:
            one = statement(source)
            if one.imports:
                book.imports += imports_of(one)
                above += comments_of(source)
            else:
                book.parts[name].append(statement("\n".join([*above, source.strip("\n")])))
                above = []
    return book


def comments_of(source: str) -> list[str]:
    """The lines of a statement that are comments alone."""
    return [line for line in source.split("\n") if line.startswith("#")]


def _is_opening(source: str) -> bool:
    node = ast.parse(source).body[0]
    is_text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    return is_text or (isinstance(node, ast.ImportFrom) and node.module == "__future__")


def read() -> Book:
    """The learner's file; an empty book if there is none. Raises MinibertError for a file that cannot be read."""
    path = file()
    if not path.exists():
        return Book()
    try:
        return parse(read_text(path))
    except (SyntaxError, ValueError, RecursionError) as error:
        where = f", line {error.lineno}" if isinstance(error, SyntaxError) and error.lineno else ""
        said = getattr(error, "msg", None) or error
        raise MinibertError(f"{path} is not Python ({said}{where}): mend it, or move it away to begin anew.") from None
    except MinibertError as error:
        said = str(error)
        if str(path) in said:
            raise
        raise MinibertError(f"{path} cannot be used: {said}. Mend it, or move it away to begin anew.") from None


# ------------------------------------------------------------------------------------------------- joining


def insert(book: Book, exercise: Exercise, name: str, statements: Sequence[Statement]) -> Book:
    """The book with an answer, or with another answer in place of the one before.

    name: the answer's name in its file. statements: its source, with everything that it needs.
    """
    function = exercise.function
    every = list(statements)
    if name != function:
        every = _renamed(every, function, _free(f"other_{function}", every, book))
        every.append(statement(f"{function} = {name}  # the exercise's name for it"))
    new = [one for one in every if not one.imports]
    old = book.parts.get(exercise.name, [])
    parts = {other: one for other, one in book.parts.items() if other != exercise.name}
    book = replace(book, imports=list(book.imports), preamble=list(book.preamble), parts=parts)
    _carry_over(book, old, new)
    for one in [imported for each in every for imported in imports_of(each)]:
        known = {other.binds: other.target for other in book.imports}
        if known.get(one.binds, one.target) != one.target:
            other = _free(f"{one.binds}_of_{function}", new, book)
            new, one = _renamed(new, one.binds, other), one._replace(bound=other)
        if one not in book.imports and (one.binds not in known or one.adds):
            book.imports.append(one)
    order = [*exercises(), *book.parts]
    earlier = [name for name in parts if order.index(name) < order.index(exercise.name)]
    before = [*book.preamble, *(one for name in earlier for one in book.parts[name])]
    new = [one for one in new if function in one.binds or not _is_in(one, new, before)]
    for name in parts:  # what comes first now is not written again below
        if name not in earlier:
            kept = exercises()[name].function if name in exercises() else None
            book.parts[name] = [one for one in parts[name] if kept in one.binds or not _is_in(one, parts[name], new)]
    for taken in sorted({name for one in new for name in one.binds}):
        other_forms = _forms(taken, book.elsewhere())
        imported = taken in {one.binds for one in book.imports}
        if not imported and (not other_forms or other_forms == _forms(taken, new)):
            continue
        if taken != function:
            new = _renamed(new, taken, _free(f"{taken}_of_{function}", new, book))
            continue
        owner = next((name for name, one in book.parts.items() if _forms(taken, one)), "")
        other = _free(f"{taken}_of_{exercises()[owner].function if owner in exercises() else 'others'}", new, book)
        book.preamble = _renamed(book.preamble, taken, other)
        book.parts = {name: _renamed(one, taken, other) for name, one in book.parts.items()}
        book.imports = [one._replace(bound=other) if one.binds == taken else one for one in book.imports]
    book.parts[exercise.name] = new
    return book


def _forms(name: str, statements: Iterable[Statement]) -> set[str]:
    """The statements that make a name what it is."""
    return {one.form for one in statements if name in one.binds}


def _is_in(one: Statement, own: Sequence[Statement], others: Sequence[Statement]) -> bool:
    """Whether all that a statement defines is defined in the same way among the others."""
    return bool(one.binds) and all(_forms(name, own) == _forms(name, others) for name in one.binds)


def _carry_over(book: Book, old: Sequence[Statement], new: Sequence[Statement]) -> None:
    """Give what other parts used of a section that is replaced to the first of them, unless the new one has it too."""
    has = {one.form for one in new}
    for name in book.ordered():
        defined = {bound for one in book.elsewhere() for bound in one.binds}
        wanted = {used for one in book.parts[name] for used in one.mentions} - defined
        moved: list[Statement] = []
        for used in sorted(wanted):
            if any(used in one.binds for one in old):
                with suppress(MinibertError):
                    moved += [one for one in needed(old, used) if one not in moved]
        moved = [one for one in moved if one.form not in has]
        book.parts[name] = [one for one in old if one in moved] + book.parts[name]


def _renamed(statements: Sequence[Statement], old: str, new: str) -> list[Statement]:
    return [renamed(one, old, new) for one in statements]


def _free(name: str, statements: Sequence[Statement], book: Book) -> str:
    """The name, with a number if it is in use."""
    used = {other for one in [*book.elsewhere(), *statements] for other in one.binds | one.mentions}
    used |= {one.binds for one in book.imports}
    return next(one for one in (name, *(f"{name}_{n}" for n in range(2, 1000))) if one not in used)


@dataclass(frozen=True)
class Joined:
    """What became of answers that passed.

    added: new parts. changed: those that replaced earlier code. count: the parts that the file has now.
    """

    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    trouble: str = ""
    count: int = 0

    @property
    def news(self) -> bool:
        """Whether there is something to say."""
        return bool(self.added or self.changed or self.trouble)

    def __str__(self) -> str:
        """In a sentence or two; "" if there is nothing to say."""
        texts = []
        if self.added or self.changed:
            total = f"{self.count} of {len(exercises())} parts"
            what = listed([*self.added, *self.changed]) if len(self.added + self.changed) < 5 else "all of these"
            texts.append(f"Your {NAME} now has {what} ({total}).")
        if self.changed:
            texts.append(f"The code that was replaced is in {earlier_file().name}.")
        return " ".join([*texts, *([self.trouble] if self.trouble else [])])


Found = Callable[[], tuple[str, Sequence[Statement]]]  # the answer's name, and its source with what it needs
_said: set[str] = set()  # troubles that were told, so that each is told once


def join(answers: Mapping[str, Found]) -> Joined:
    """Add answers that passed to the learner's file: exercise -> a function that finds the source.

    Nothing is raised: what went wrong is told in a sentence, once.
    """
    troubles: list[str] = []
    done = Joined()
    try:
        with _alone():
            done = _join(answers, troubles)
    except MinibertError as error:
        troubles.append(f"Passed, but not added to {NAME}: {error}")
    except Exception as error:  # a check must not fail because of this
        troubles.append(f"Passed, but not added to {NAME} ({type(error).__name__}: {str(error)[:200]}).")
    told = [one for one in troubles if one not in _said]
    _said.update(told)
    return replace(done, trouble=" ".join(told))


def _join(answers: Mapping[str, Found], troubles: list[str]) -> Joined:
    """`join`, while no other process writes. Raises MinibertError if nothing can be added."""
    book = read()
    added, replaced = list[str](), dict[str, str]()
    for exercise, found in answers.items():
        try:
            name, statements = found()
            after = insert(book, exercises()[exercise], name, statements)
        except MinibertError as error:
            troubles.append(f"{exercise} passed, but its code could not be added to {NAME}: {error}.")
            continue
        old = book.parts.get(exercise)
        if old is None:
            added.append(exercise)
        elif [one.form for one in old] != [one.form for one in after.parts[exercise]]:
            replaced[exercise] = body(old)
        else:
            continue
        book = after
    if replaced:
        _keep_earlier(replaced)
    if added or replaced:
        text = book.text()
        parse(text)  # what is written can be read again
        write_file(file(), text)
    return Joined(tuple(added), tuple(replaced), count=sum(name in exercises() for name in book.parts))


def join_answer(exercise: Exercise, answer: Any) -> Joined:
    """Add an answer from this process: a function of a notebook or a file."""

    def found() -> tuple[str, Sequence[Statement]]:
        where = around(answer)
        name = next((name for name in (*exercise.names, *where.names) if name in where.names), "")
        return name, needed(where.statements, name)

    return join({exercise.name: found})


def join_file(names: Sequence[str], statements: Sequence[Statement]) -> Joined:
    """Add the answers to these exercises that a file of these statements has."""

    def finder(exercise: Exercise) -> Found:
        def found() -> tuple[str, Sequence[Statement]]:
            name = next(name for name in exercise.names if any(name in one.binds for one in statements))
            return name, needed(statements, name)

        return found

    return join({name: finder(exercises()[name]) for name in names})


def _keep_earlier(replaced: Mapping[str, str]) -> None:
    """Write sections to the end of the file of earlier ones."""
    path = earlier_file()
    before = read_text(path).rstrip("\n") if path.exists() else f"# Parts of {NAME} that were replaced."
    sections = [f"# === {name} === until {date.today()}\n\n{text}" for name, text in replaced.items()]
    write_file(path, "\n\n\n".join([before, *sections]) + "\n")


@contextmanager
def _alone() -> Iterator[None]:
    """While no other process changes the file. Raises MinibertError if another one does so for long."""
    path = file().with_name(f".{file().name}.lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        opened = path.open("a")
    except OSError as error:
        raise MinibertError(
            f"{path.parent} cannot be written to ({error.strerror}): set MINIBERT_MINE to another file."
        ) from None
    with opened:
        end = time.monotonic() + WAIT
        while not locked(opened):
            if time.monotonic() > end:
                raise MinibertError("another notebook is writing to it just now: run this check again.")
            time.sleep(0.02)
        yield
