"""How pytest runs these tests: on how many processes, in which order, on whose code, and the lab sheet at the end."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import lab
import pytest

USUAL = "not slow and not more"  # what runs unless the command line says otherwise: see pyproject.toml
OF_MANY = 8  # cases of a test that is marked as having many, when the whole fast suite runs
MOST_SHEETS = 3  # of failed lab tests, at the very end: the first ones are the causes, what follows are effects
# The golden tests that go through a learner's function inside the models: file, and how the test's name begins.
GOLDEN = ("test_models.py", "test_golden_numbers[")
GOLDEN_OF_BERT = ("test_models.py", "test_golden_numbers[bert")  # others have no token types, or narrow embeddings
GOLDEN_TEXTS = ("test_wordpiece.py", "test_golden_")


# ------------------------------------------------------------------------------------------ how it is run


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--answer",
        metavar="FILE",
        help="run the tests of the exercises' functions that FILE (.py or .ipynb) defines, on these functions",
    )


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """All cores for the whole fast suite; one process for what is read in order, or is not to be disturbed."""
    chosen = config.option.markexpr != USUAL  # -m slow, -m lab
    in_order = config.option.maxfail or config.option.usepdb or config.option.collectonly or config.option.answer
    if names_files(config) or chosen or in_order:
        return 0
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def names_files(config: pytest.Config) -> bool:
    """Whether the command line names files or tests."""
    return any("::" in name or Path(name).is_file() for name in config.args)


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Sheet(config), "lab-sheet")
    if config.option.answer:
        from minibert.exercises.swap import swap

        lab.answers.update(lab.read_answers(config.option.answer))
        stack = ExitStack()
        seams = {lab.exercises()[name].swap: function for name, function in lab.answers.items()}
        stack.enter_context(swap(**{seam: function for seam, function in seams.items() if seam}))
        config.add_cleanup(stack.close)


def golden_for_answers() -> set[tuple[str, str]]:
    """The golden tests for the learner's functions that are in the models."""
    from minibert.exercises.swap import PRESETS  # the seams that are no part of a BERT

    seams = {lab.exercises()[name].swap for name in lab.answers} - {None}
    golden = {GOLDEN_TEXTS} if "wordpiece" in seams else set()
    if seams - {"wordpiece", *PRESETS}:
        golden.add(GOLDEN_OF_BERT if "embeddings" in seams else GOLDEN)
    return golden


def wanted_for_answers(item: pytest.Item) -> bool:
    """Whether a test is about a learner's functions: a lab test of theirs, or a golden one of a model they are in."""
    found = lab_of(item)
    if found is not None:
        return found.exercise in lab.answers
    return any(item.path.name == file and item.name.startswith(name) for file, name in golden_for_answers())


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out the files that hold nothing of what is asked for: importing them all takes a while."""
    if collection_path.suffix != ".py":
        return None
    wanted = [f'\n@lab("{name}"' for name in lab.answers] or (["\n@lab("] if config.option.markexpr == "lab" else [])
    text = collection_path.read_text(encoding="utf-8").replace("@lab(\n    ", "@lab(")
    golden = bool(lab.answers) and any(collection_path.name == file for file, _ in golden_for_answers())
    return True if wanted and not golden and not any(mark in text for mark in wanted) else None


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[Any]:
    """What is collected stays to the end: it need not be looked through for garbage again and again."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.freeze()


@pytest.hookimpl(tryfirst=True)  # before the marks are looked at
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Files in reading order, and in each the lab tests first. Of a test with many cases a few run in the whole suite.

    The others run with -m more. A file that is named runs wholly.
    """
    if not names_files(config) or "more" in config.option.markexpr.replace(USUAL, ""):
        for more in cases_left_out(items):
            more.add_marker("more")
    items.sort(key=lambda item: (lab.rank(item.path), lab_of(item) is None))
    for number, item in enumerate(items):
        item.stash[NUMBER] = number
    if lab.answers:
        config.hook.pytest_deselected(items=[item for item in items if not wanted_for_answers(item)])
        items[:] = [item for item in items if wanted_for_answers(item)]


def cases_left_out(items: Sequence[pytest.Item]) -> Iterator[pytest.Item]:
    """Of each test that is marked as having many cases, all but OF_MANY, which are spread evenly."""
    cases: dict[str, list[pytest.Item]] = {}
    for item in items:
        if item.get_closest_marker("many") is not None:
            cases.setdefault(item.nodeid.partition("[")[0], []).append(item)
    for of_one in cases.values():
        kept = {len(of_one) * number // OF_MANY for number in range(OF_MANY)}
        yield from (item for number, item in enumerate(of_one) if len(of_one) > OF_MANY and number not in kept)


# ---------------------------------------------------------------------------------------------- the lab sheet

NUMBER = pytest.StashKey[int]()


def lab_of(item: pytest.Item) -> lab.Lab | None:
    mark = item.get_closest_marker("lab")
    return mark.args[0] if mark else None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[Any]:
    """Tell the checks which lab test they are in."""
    lab.running = lab_of(item)
    try:
        return (yield)
    finally:
        lab.running = None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[Any]) -> Iterator[Any]:
    """Write the sheet of a lab test that failed into its report, which reaches the main process from any worker."""
    report = yield
    if report.failed and (found := lab_of(item)):
        lines = found.sheet(getattr(call.excinfo.value, "why", None))
        report.user_properties.append(("lab", [item.stash[NUMBER], *lines, f"test: {item.nodeid}"]))
    return report


class Sheet:
    """Prints, as the very last thing, what is broken: the first lab tests that failed, in reading order."""

    def __init__(self, config: pytest.Config):
        self.config = config
        self.failed: list[list[Any]] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.failed += [list(value) for name, value in report.user_properties if name == "lab"]

    def pytest_unconfigure(self) -> None:
        terminal = self.config.pluginmanager.get_plugin("terminalreporter")
        if terminal is None or hasattr(self.config, "workerinput"):
            return
        for _, *lines in sorted(self.failed)[:MOST_SHEETS]:
            terminal.write_line("")
            for line in lines:
                terminal.write_line(line)
