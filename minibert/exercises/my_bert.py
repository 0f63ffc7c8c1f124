"""The learner's own file, `my_bert.py`: every answer that passed, as the learner wrote it, in reading order.

It lies beside the record of progress, so that all notebooks add to the same file. It is plain Python: imports at the
top, then a section for each exercise, with the helpers and constants that the answer needs. What an earlier section has
already is not written twice. If a helper has the same name as something else in the file but other code, it gets a
longer name, so that both keep working.

An answer that passes again with other code replaces its section, and the earlier one goes to `my_bert_earlier.py`. What
the learner changed or added by hand is kept, and a file that cannot be read is left as it is. Before anything is
written, what it would be is checked by a `Trial`; nothing is run here.
"""

from __future__ import annotations

import builtins
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from minibert.errors import MinibertError
from minibert.exercises.book import (
    NAME,
    Book,
    Import,
    body,
    comments,
    earlier_file,
    file,
    imports_of,
    meaning,
    parse,
    plain,
    read,
)  # fmt: skip
from minibert.exercises.catalogue import exercises
from minibert.exercises.declare import Exercise
from minibert.exercises.sources import Statement, around, needed, renamed, statement
from minibert.files import alone, read_text, write_file
from minibert.words import listed

INSTEAD = "set MINIBERT_MINE to another file"  # where it cannot be written
BUILTINS = frozenset(dir(builtins))

# ------------------------------------------------------------------------------------------------- joining


def insert(book: Book, exercise: Exercise, name: str, statements: Sequence[Statement]) -> Book:
    """The book with an answer, or with another answer in place of the one before.

    name: the answer's name in its file. statements: its source, with everything that it needs.
    """
    function = exercise.function
    every = list(statements)
    if name != function:
        every = _renamed(every, function, _free(f"other_{function}", every, [], book))
        every.append(statement(f"{function} = {name}  # the exercise's name for it"))
    new = [one for one in every if not one.imports]
    used = {name for one in new for name in one.mentions}
    brought = [other for one in every for other in imports_of(one) if other.binds in used | {"*"}]
    own = {name for one in new for name in one.binds} | {one.binds for one in brought}
    old = book.parts.get(exercise.name, [])
    parts = {other: one for other, one in book.parts.items() if other != exercise.name}
    book = replace(book, imports=list(book.imports), preamble=list(book.preamble), parts=parts)
    _carry_over(book, old, new)
    _drop_imports(book, old)
    new = _without_repeats(book, exercise, new, brought)
    while True:  # a helper that has been renamed makes those that use it other helpers
        others = {taken: _other_name(taken, function, new, brought, book) for taken in sorted(own - {"*", function})}
        clash = next(((taken, other) for taken, other in others.items() if other), None)
        if clash is None:
            break
        taken, other = clash
        new = _renamed(new, taken, other)
        brought = [one for each in brought for one in each.renamed(taken, other)]
        own = own - {taken} | {other}
    # What has this name in the file makes way for the exercise's function, or for what Python has under this name.
    asked = {name for one in new for name in one.mentions} - own
    for taken in [function, *sorted(asked & BUILTINS)]:
        theirs = book.meaning(taken)
        if theirs and theirs != meaning(taken, new, brought):
            owner = next((name for name, one in book.parts.items() if any(taken in other.binds for other in one)), "")
            of = exercises()[owner].function if owner in exercises() else "others"
            book.rename(taken, _free(f"{taken}_of_{of}", new, brought, book))
    known = {one.binds for one in book.imports}
    for one in brought:
        if one not in book.imports and (one.binds not in known or one.adds):
            book.imports.append(one)
            known.add(one.binds)
    book.parts[exercise.name] = new
    return book


def _other_name(
    taken: str, function: str, new: Sequence[Statement], brought: Sequence[Import], book: Book
) -> str | None:
    """Another name for what an answer has under this one, if that is something else in the rest of the file."""
    ours, theirs = meaning(taken, new, brought), book.meaning(taken)
    hides = taken in BUILTINS and not theirs and any(taken in one.mentions for one in book.elsewhere())
    if not ours or not (hides or (theirs and theirs != ours)):
        return None
    # A function that is only registered by a decorator keeps its name, which may be its key in a table.
    needed_by = any(taken in one.mentions for one in [*new, *book.elsewhere()])
    if not needed_by and taken not in {exercises()[name].function for name in book.parts if name in exercises()}:
        return None
    return _free(f"{taken}_of_{function}", new, brought, book)


def _without_repeats(
    book: Book, exercise: Exercise, new: Sequence[Statement], brought: Sequence[Import]
) -> list[Statement]:
    """An answer's statements without those that an earlier section has already.

    What the later sections have of them is taken out there, unless it has comments of its own.
    """
    order = [*exercises(), *book.parts]
    place = order.index(exercise.name)
    before = [*book.preamble, *(one for name, part in book.parts.items() if order.index(name) < place for one in part)]
    repeats = _repeats(new, before, exercise.function, book, new, brought)
    new = [one for one in new if one not in repeats]
    has = {text for one in new for _, text, _ in comments(one.source)}
    for name, part in book.parts.items():
        if order.index(name) > place:
            function = exercises()[name].function if name in exercises() else ""
            repeats = _repeats(part, new, function, book, new, brought)
            bare = [one for one in repeats if has.issuperset(text for _, text, _ in comments(one.source))]
            book.parts[name] = [one for one in part if one not in bare or len(bare) < len(repeats)]
    return new


def _repeats(
    own: Sequence[Statement], others: Sequence[Statement], function: str, book: Book, new: Sequence[Statement],
    brought: Sequence[Import],
) -> list[Statement]:  # fmt: skip
    """The statements of a section that say what others say already: all that makes each of their names what it is.

    So that it is not only written the same, what they need must be the same for the new answer and for the file.
    """
    found = [one for one in own if one.binds and function not in one.binds and all(
             meaning(name, own, []) == meaning(name, others, []) for name in one.binds)]  # fmt: skip
    while True:
        kept = {name for one in own if one not in found for name in one.binds}
        fit = [
            one
            for one in found
            if not one.binds & kept
            and all(meaning(name, new, brought) == book.meaning(name) for name in one.needs - {"*"} - one.binds)
        ]
        if len(fit) == len(found):
            return found
        found = fit


def _drop_imports(book: Book, old: Sequence[Statement]) -> None:
    """Take out the imports that only a section needed that is replaced. Those that nobody uses otherwise stay."""
    were = {name for one in old for name in one.mentions}
    still = {name for one in book.elsewhere() for name in one.mentions}
    book.imports = [one for one in book.imports if one.remark or one.binds not in were - still]


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


def _free(name: str, statements: Sequence[Statement], imports: Sequence[Import], book: Book) -> str:
    """The name, with a number if it is in use, be it inside a function."""
    used = {word for one in [*book.elsewhere(), *statements] for word in re.findall(r"\w+", one.source)}
    used |= {one.binds for one in [*book.imports, *imports]} | BUILTINS
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
# Checks exercises with the text of a my_bert.py: those of them that do not pass, and why.
Trial = Callable[[str, Sequence[str]], Mapping[str, str]]
_said: set[str] = set()  # troubles that were told, so that each is told once


def join(answers: Mapping[str, Found], trial: Trial | None = None) -> Joined:
    """Add answers that passed to the learner's file: exercise -> a function that finds the source.

    trial: checks what would be written, so that nothing is written that does not pass. Nothing is raised: what went
    wrong is told in a sentence, once.
    """
    troubles: list[str] = []
    done = Joined()
    try:
        with alone(file(), INSTEAD):
            done = _join(answers, trial, troubles)
    except MinibertError as error:
        troubles.append(f"Passed, but not added to {NAME}: {error}")
    except Exception as error:  # a check must not fail because of this
        troubles.append(f"Passed, but not added to {NAME} ({type(error).__name__}: {str(error)[:200]}).")
    told = [one for one in troubles if one not in _said]
    _said.update(told)
    return replace(done, trouble=" ".join(told))


def _join(answers: Mapping[str, Found], trial: Trial | None, troubles: list[str]) -> Joined:
    """`join`, while no other process writes. Raises MinibertError if nothing can be added."""
    first = read()
    book, added, replaced = _inserted(first, answers, troubles)
    if trial and (added or replaced) and _broken(first, book, answers, trial):
        book, added, replaced = first, [], {}
        for exercise in answers:  # one by one, to see which it is
            after, its, old = _inserted(book, {exercise: answers[exercise]}, [])
            if not its and not old:
                continue
            broken = _broken(book, after, [exercise], trial)
            if not broken:
                book, added, replaced = after, added + its, replaced | old
                continue
            who, why = next(iter(broken.items()))
            what = "it does not pass there" if who == exercise else f"your {who} would not pass any more"
            troubles.append(
                f"{exercise} passed, but it was not added to {NAME}, because {what} ({why}); {file().name} stays as it "
                "was, and your code is only where you wrote it."
            )
    if replaced:
        _keep_earlier(replaced)
    if added or replaced:
        write_file(file(), book.text())
    return Joined(tuple(added), tuple(replaced), count=sum(book.has(name) for name in book.parts))


def _inserted(book: Book, answers: Mapping[str, Found], troubles: list[str]) -> tuple[Book, list[str], dict[str, str]]:
    """The book with these answers; which of them are new; and what was replaced: exercise -> its earlier section."""
    added, replaced = list[str](), dict[str, str]()
    for exercise, found in answers.items():
        try:
            name, statements = found()
            after = insert(book, exercises()[exercise], name, statements)
            after = parse(after.text())  # what is written can be read again
        except MinibertError as error:
            troubles.append(f"{exercise} passed, but its code could not be added to {NAME}: {str(error).rstrip('.')}.")
            continue
        old, new = book.parts.get(exercise), after.parts[exercise]
        names = {name for one in new for name in one.binds} | {exercises()[exercise].function}
        if old is None:
            added.append(exercise)
        elif [one.form for one in new] != [one.form for one in old if one.binds & names]:
            replaced[exercise] = body(old)
        else:
            continue
        book = after
    return book, added, replaced


def _broken(before: Book, after: Book, answers: Collection[str], trial: Trial) -> Mapping[str, str]:
    """The parts that a change breaks, and why: those that were changed, or that use a name that was changed."""
    names = {one for book in (before, after) for one in book.names()}
    moved = {name for name in names if before.meaning(name) != after.meaning(name)}
    tried = []
    for name in after.ordered():
        part = after.parts[name]
        was = before.parts.get(name, [])
        if [one.form for one in part] != [one.form for one in was] or any(moved & one.mentions for one in part):
            tried += [name] if after.has(name) else []
    broken = trial(after.text(), tried)
    others = [name for name in broken if name not in answers and before.has(name)]
    if others:  # perhaps they did not pass before, because of a change by hand
        ill = trial(before.text(), others)
        broken = {name: why for name, why in broken.items() if name not in ill}
    return broken


def join_answer(exercise: Exercise, answer: Any, trial: Trial | None = None) -> Joined:
    """Add an answer from this process: a function of a notebook or a file."""

    def found() -> tuple[str, Sequence[Statement]]:
        where = around(answer)
        name = next((name for name in (*exercise.names, *where.names) if name in where.names), "")
        return name, needed(where.statements, name)

    return join({exercise.name: found}, trial)


def join_file(names: Sequence[str], statements: Sequence[Statement], trial: Trial | None = None) -> Joined:
    """Add the answers to these exercises that a file of these statements has."""

    def finder(exercise: Exercise) -> Found:
        def found() -> tuple[str, Sequence[Statement]]:
            name = next(name for name in exercise.names if any(name in one.binds for one in statements))
            return name, needed(statements, name)

        return found

    return join({name: finder(exercises()[name]) for name in names}, trial)


def _keep_earlier(replaced: Mapping[str, str]) -> None:
    """Write sections to the end of the file of earlier ones."""
    path = earlier_file()
    before = plain(read_text(path)).rstrip("\n") if path.exists() else f"# Parts of {NAME} that were replaced."
    sections = [f"# === {name} === until {date.today()}\n\n{text}" for name, text in replaced.items()]
    write_file(path, "\n\n\n".join([before, *sections]) + "\n")
