"""The lab sheet: small tests that say in words which property is broken, where its code is, and which lesson it is in.

    @lab(
        "attention", code=attention, lesson="01", breaks="`/ math.sqrt(q.shape[-1])` left out", catches="unscaled"
    )
    def test_the_scores_are_divided_by_the_root_of_k():
        \"""each score is divided by √K

        How the numbers below come about, on paper.
        \"""
        assert_close(part("attention")(q, k, v), [[3.0, 1.0]])

The docstring's first line is the property. lab_plugin.py sorts these tests to the front, prints the sheet of those
that failed, and puts a learner's functions in place of the library's (`--answer`). `python tests/lab.py` prints the
tables of tests/README.md; with `--update` it writes them there.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import linecache
import re
import sys
import types
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

# The rest of the package is imported where it is used: a mistake anywhere in it must not stop all tests. So is torch:
# the process that hands out the tests to others needs none of it.
from minibert.errors import MinibertError
from minibert.files import read_text, write_file

TESTS = Path(__file__).parent
ROOT = TESTS.parent

# The order in which the files are read: what is above is built from what is below. All others come after them.
READING_ORDER = (
    *("config", "files", "attention", "layers", "encoder", "models", "heads", "factory", "checkpoints"),
    *("wordpiece", "byte_bpe", "unigram", "objectives", "pairs", "distillation", "tasks", "loop"),
    *("roberta", "mobilebert", "transfer", "xlnet", "permutation", "bart", "infilling", "generation", "timing"),
)


# --------------------------------------------------------------------------------------------- the marker


@dataclass(frozen=True)
class Lab:
    """What a lab test is about.

    exercise: the exercise whose function it tests, or None. code: the object whose source has the property. lesson:
    its number. breaks: a change that breaks the property; it begins with the code that is there now, in backticks.
    says: the property in words. test: file::function. catches: the name of one of the exercise's known mistakes (see
    its file in minibert/exercises/catalogue) that the test must notice.
    """

    exercise: str | None
    code: Any
    lesson: str
    breaks: str
    says: str
    test: str
    catches: str | None = None

    def sheet(self, why: str | None = None) -> list[str]:
        """The lines that say what is broken. why: the property in words, where a check has words of its own."""
        return [
            f"broken: {why or self.says}",
            f"code: {place(answers.get(self.exercise, self.code))}",
            f"lesson: {lesson_title(self.lesson)}",
        ]


running: Lab | None = None  # of the lab test that runs now; lab_plugin.py sets it
answers: dict[str | None, Callable[..., Any]] = {}  # an exercise's name -> a learner's function, from --answer


def lab(
    exercise: str | None, *, code: Any, lesson: str, breaks: str, catches: str | None = None
) -> Callable[[Any], Any]:
    """Mark a test as a lab test; see `Lab`."""

    def marked(function: Any) -> Any:
        says = inspect.getdoc(function).split("\n")[0]
        test = f"{Path(function.__code__.co_filename).name}::{function.__name__}"
        return pytest.mark.lab(Lab(exercise, code, lesson, breaks, says, test, catches))(function)

    return marked


def lab_of(function: Any) -> Lab | None:
    """The Lab that a test function is marked with."""
    marks = (mark for mark in getattr(function, "pytestmark", ()) if mark.name == "lab")
    return next((mark.args[0] for mark in marks), None)


def place(code: Any) -> str:
    """Where an object's source is, and its name: "minibert/attention.py:48 attention()"."""
    code = inspect.unwrap(getattr(code, "fget", None) or code)  # of a property, its function
    name = getattr(code, "__qualname__", type(code).__name__)
    if inspect.isclass(code):
        path, line = inspect.getsourcefile(code) or "", inspect.getsourcelines(code)[1]
    elif hasattr(code, "__code__"):
        path, line, name = code.__code__.co_filename, code.__code__.co_firstlineno, f"{name}()"
    else:
        return name
    file = Path(path).resolve()
    return f"{file.relative_to(ROOT).as_posix() if file.is_relative_to(ROOT) else path}:{line} {name}"


@cache
def lesson_title(number: str) -> str:
    """A lesson's number, title and notebook; the title is the first heading of its source."""
    (source,) = (ROOT / "lessons" / "source").glob(f"{number}_*.py")
    title = re.search(r"^# # (.+)$", source.read_text(encoding="utf-8"), re.M)[1]
    return f"{number} {title} (lessons/{source.stem}.ipynb)"


def exercises() -> dict[str, Any]:
    """The catalogue of exercises, by their names."""
    return importlib.import_module("minibert.exercises.catalogue").exercises()


def part(exercise: str) -> Callable[..., Any]:
    """The function under test: the learner's where --answer gave one, else the library's own, with the exercise's
    signature."""
    return answers.get(exercise, exercises()[exercise].library)


# --------------------------------------------------------------------------------------------- the checks


def broken(found: str | None, why: str | None = None) -> AssertionError:
    """The error of a check that failed. found: what was found and expected. In a lab test it ends with the sheet."""
    lines = [found, *(running.sheet(why) if running else [why])]
    error = AssertionError("\n".join(line for line in lines if line))
    error.why = why  # for the sheet at the end
    return error


def check(condition: object, why: str | None = None) -> None:
    """The condition must hold. why: the property in words; in a lab test by default its own."""
    __tracebackhide__ = True
    if not condition:
        raise broken(None, why)


def assert_same(actual: Any, expected: Any, why: str | None = None) -> None:
    """Equal plain values: numbers, texts, lists of them (a tuple is as good as a list)."""
    __tracebackhide__ = True
    if plain(actual) != plain(expected):
        raise broken(difference(actual, expected), why)


def assert_numbers(actual: Any, expected: Any, tolerance: float, why: str | None = None) -> None:
    """Numbers worked out by hand, as nested lists, against a tensor (or a number) of the same shape."""
    __tracebackhide__ = True
    from torch import Tensor, allclose, as_tensor, float64

    right = as_tensor(expected, dtype=float64)
    try:
        found = actual.detach().double() if isinstance(actual, Tensor) else as_tensor(actual, dtype=float64)
    except (TypeError, ValueError, RuntimeError):
        raise broken(f"found a {type(actual).__name__}, expected numbers: {shown(expected)}", why) from None
    if found.shape != right.shape:
        raise broken(f"found the shape {list(found.shape)}, expected {list(right.shape)}: {shown(expected)}", why)
    if not allclose(found, right, rtol=0, atol=tolerance):  # a NaN is close to nothing
        raise broken(difference(actual, expected), why)


def first(returned: Any) -> Any:
    """The output of an attention, which may return its weights as well."""
    return returned[0] if isinstance(returned, tuple) else returned


def plain(value: Any) -> Any:
    from torch import Tensor

    if isinstance(value, Tensor):
        return value.tolist()
    if isinstance(value, dict):
        return {name: plain(one) for name, one in value.items()}
    return [plain(one) for one in value] if isinstance(value, (list, tuple)) else value


def difference(actual: Any, expected: Any) -> str:
    """What was found and what was expected, with more digits where four look the same."""
    texts = shown(actual), shown(expected)
    found, right = texts if texts[0] != texts[1] else (shown(actual, 12), shown(expected, 12))
    return f"found {found}, expected {right}"


def shown(value: Any, digits: int = 4) -> str:
    """A value on one line, numbers to so many digits."""
    value = plain(value)
    if isinstance(value, list):
        return f"[{', '.join(shown(one, digits) for one in value)}]"
    return f"{value:.{digits}g}" if isinstance(value, float) else repr(value)


# ---------------------------------------------------------------------------------------- a learner's file


def read_answers(path: str) -> dict[str | None, Callable[..., Any]]:
    """The exercises' functions that a file defines, by the names of the exercises.

    path: a .py file or a notebook. Of it the definitions are run that these functions need, and nothing else: a
    lesson's notebook would train and draw. Raises pytest.UsageError, with one sentence, when there is nothing to test.
    """
    from minibert.exercises import submissions

    try:
        submission = submissions.read(path)
    except MinibertError as problem:
        raise pytest.UsageError(str(problem)) from None
    if submission.broken:
        raise pytest.UsageError(f"{path} is not Python that can be run ({submission.problems[0]}): correct it first.")
    names = {
        exercise.name: name
        for exercise in exercises().values()
        for name in (f"my_{exercise.function}", exercise.function)  # the last one that is there counts
        if name in submission.names
    }
    if not names:
        known = ", ".join(exercise.function for exercise in exercises().values())
        raise pytest.UsageError(f"{path} defines none of the exercises' functions: write one of {known}.")
    space = run_statements(path, needed(submission.statements, names.values()))
    for name in names.values():
        if not callable(space[name]):
            raise pytest.UsageError(f"{name} in {path} is a {type(space[name]).__name__}: it must be a function.")
    return {exercise: space[name] for exercise, name in names.items()}


def needed(statements: Sequence[tuple[str, int]], names: Iterable[str]) -> list[tuple[str, int]]:
    """The statements that bind these names, or a name that one of those uses, in their order."""
    bound = [(statement, *names_in(statement[0])) for statement in statements]
    wanted = set(names)
    while True:
        kept = [(statement, uses) for statement, binds, uses in bound if binds & {*wanted, "*"}]
        more = wanted.union(*(uses for _, uses in kept))
        if more == wanted:
            return [statement for statement, _ in kept]
        wanted = more


def names_in(source: str) -> tuple[set[str], set[str]]:
    """The names that a statement binds, and those that it uses."""
    from minibert.exercises.submissions import bound

    tree = ast.parse(source)
    return set(bound(tree)), {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}


def run_statements(path: str, statements: Sequence[tuple[str, int]]) -> dict[str, Any]:
    """Run statements, each a source text and its line, as a module; returns its names. UsageError when one fails."""
    module = types.ModuleType("answer")
    sys.modules["answer"] = module
    lines: list[str] = []
    for source, line in statements:
        lines[len(lines) :] = [""] * (line - 1 - len(lines)) + source.split("\n")
    if not path.endswith(".py"):  # a notebook's lines are counted through all of its cells
        linecache.cache[path] = (0, None, [f"{line}\n" for line in lines], path)
    for source, line in statements:
        try:
            exec(compile("\n" * (line - 1) + source, path, "exec"), vars(module))
        except (Exception, SystemExit) as error:
            at = error.__traceback__.tb_next
            where = at.tb_lineno if at is not None else line
            said = f"{type(error).__name__}: {error}".splitlines()[0]
            raise pytest.UsageError(f"{path} stops at line {where} ({said}): correct it first.") from None
    return vars(module)


# ------------------------------------------------------------------------------------ the tables in README

BEGIN, END = "<!-- what breaks: begin -->", "<!-- what breaks: end -->"


def rank(path: Path) -> tuple[int, str]:
    """Where a test file comes in the reading order."""
    name = path.stem.removeprefix("test_")
    return READING_ORDER.index(name) if name in READING_ORDER else len(READING_ORDER), name


def all_labs() -> Iterator[Lab]:
    """Every lab test, in reading order."""
    for path in sorted(TESTS.glob("test_*.py"), key=rank):
        if "\n@lab(" in path.read_text(encoding="utf-8"):
            for value in vars(importlib.import_module(path.stem)).values():
                if inspect.isfunction(value) and (found := lab_of(value)):
                    yield found


def table() -> str:
    """For each lesson a table "line broken | test that notices", in Markdown."""
    tables = []
    for lesson, labs in groupby(sorted(all_labs(), key=lambda one: one.lesson), key=lambda one: one.lesson):
        rows = [f"### {lesson_title(lesson).split(' (lessons/')[0]}", "", "| line broken | test that notices |"]
        rows.append("|---|---|")
        for one in labs:
            file, name = re.fullmatch(r"(.+):\d+ (.+)", place(one.code)).groups()
            rows.append(f"| {one.breaks}, in `{name}` of {file} | `{one.test}`: {one.says} |")
        tables.append("\n".join(rows))
    return "\n\n".join(tables)


def with_table(text: str) -> str:
    """The README's text with the tables as they are now."""
    before, rest = text.split(BEGIN)
    return f"{before}{BEGIN}\n{table()}\n{END}{rest.split(END)[1]}"


def main() -> None:
    readme = TESTS / "README.md"
    if sys.argv[1:] == ["--update"]:
        write_file(readme, with_table(read_text(readme)))
    else:
        print(table())


if __name__ == "__main__":
    importlib.import_module("lab").main()  # as the tests import it: one Lab class, not two
