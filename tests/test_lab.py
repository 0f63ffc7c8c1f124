"""The lab sheet itself: what a failure says, the order of the tests, a learner's file, and the tables in README.md."""

from __future__ import annotations

import importlib
import inspect
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lab
import lab_plugin
import pytest
import torch
from tiny import assert_close

from minibert.attention import MultiHeadAttention, attention
from minibert.encoder import Backbone
from minibert.exercises.catalogue import exercises
from minibert.exercises.diagnose import turned
from minibert.layers import Pooler
from minibert.lessons.lesson import lessons

ALL = list(lab.all_labs())
SHEET = [
    "broken: each score is divided by √K",
    f"code: {lab.place(attention)}",
    "lesson: 01 Attention: a word looks at the others (lessons/01_attention.ipynb)",
]

RIGHT = """
import math

def attention(q, k, v, mask=None):
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
    if mask is not None:
        scores = scores.masked_fill(~mask, -1e30)
    weights = scores.softmax(-1)
    if mask is not None:
        weights = weights * mask
    return weights @ v
"""
UNSCALED = RIGHT.replace(" / math.sqrt(q.shape[-1])", "")


def run_pytest(*arguments: str, cwd: Path = lab.ROOT) -> subprocess.CompletedProcess[str]:
    """The tests in a process of their own, with this copy of the package."""
    environment = {**os.environ, "PYTHONPATH": str(lab.ROOT), "COLUMNS": "200"}
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)


def last_lines(run: subprocess.CompletedProcess[str], number: int) -> list[str]:
    return run.stdout.rstrip().split("\n")[-number:]


# ------------------------------------------------------------------------------------- what a failure says


@pytest.fixture
def in_the_lab(monkeypatch):
    """As if the lab test of √K was running."""
    found = next(one for one in ALL if one.test.endswith("divided_by_the_root_of_k"))
    monkeypatch.setattr(lab, "running", found)


@pytest.mark.parametrize(
    ("failing", "found"),
    [
        (lambda: assert_close(torch.tensor([3.6, 0.4]), [3.0, 1.0]), "found [3.6, 0.4], expected [3, 1]"),
        (
            lambda: assert_close(torch.tensor([0.6667]), [2 / 3], 1e-6),
            "found [0.666700005531], expected [0.666666666667]",
        ),
        (lambda: assert_close(torch.tensor([float("nan")]), [0.0]), "found [nan], expected [0]"),
        (lambda: assert_close(torch.zeros(2, 1), [0.0, 0.0]), "found the shape [2, 1], expected [2]: [0, 0]"),
        (lambda: assert_close(None, [0.0]), "found a NoneType, expected numbers: [0]"),
        (lambda: lab.assert_same(torch.tensor([1, 2]), [1, 3]), "found [1, 2], expected [1, 3]"),
        (lambda: lab.assert_same(["un"], ["[UNK]"]), "found ['un'], expected ['[UNK]']"),
        (lambda: lab.check(False), None),
    ],
)
def test_a_failure_ends_with_the_property_the_place_and_the_lesson(in_the_lab, failing, found):
    with pytest.raises(AssertionError) as error:
        failing()
    assert str(error.value).split("\n") == [found, *SHEET][found is None :]


def test_a_check_may_have_words_of_its_own(in_the_lab):
    with pytest.raises(AssertionError, match="broken: half of the pairs are swapped\ncode: "):
        lab.check(False, "half of the pairs are swapped")
    with pytest.raises(AssertionError, match=r"expected \[1\]\nbroken: the first one is 1\ncode: "):
        assert_close(torch.zeros(1), [1.0], why="the first one is 1")


def test_outside_the_lab_a_failure_says_what_torch_says():
    with pytest.raises(AssertionError, match="Mismatched elements: 1 / 2"):
        assert_close(torch.tensor([1.0, 2.0]), torch.tensor([1.0, 3.0]))
    with pytest.raises(AssertionError, match=r"(?s)Mismatched.*\nthe second one is 3$"):
        assert_close(torch.tensor([1.0, 2.0]), torch.tensor([1.0, 3.0]), why="the second one is 3")


@pytest.mark.parametrize("code", [attention, MultiHeadAttention.split_heads, Backbone.word_embeddings, Pooler])
def test_the_place_of_code_is_its_file_and_line(code):
    file, line, name = re.fullmatch(r"(.+):(\d+) (\S+)", lab.place(code)).groups()
    text = (lab.ROOT / file).read_text(encoding="utf-8").split("\n")
    assert re.match(rf"\s*(@property|(def|class) {name.removesuffix('()').split('.')[-1]}\b)", text[int(line) - 1])


# --------------------------------------------------------------------------------------------- all lab tests


def test_a_lab_test_is_about_the_lesson_with_its_exercise():
    homes = {name: lesson.number for lesson in lessons() for name in lesson.exercises}
    for one in ALL:
        assert one.exercise is None or one.lesson == homes[one.exercise], one.test


def test_every_exercise_has_a_lab_test():
    assert {one.exercise for one in ALL} - {None} == set(exercises())


def fails(one: lab.Lab, answer: Callable[..., Any]) -> bool:
    """Whether a lab test finds this answer to its exercise wrong, in words of its own."""
    file, name = one.test.split("::")
    test = getattr(importlib.import_module(file.removesuffix(".py")), name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(lab.answers, one.exercise, answer)
        try:
            test()
        except AssertionError:
            return True
    return False


@pytest.mark.many
@pytest.mark.parametrize("one", [one for one in ALL if one.exercise], ids=lambda one: one.test)
def test_a_lab_test_catches_the_mistake_that_it_names(one):
    """And right answers pass, however they are written: a lab test asks no more than its exercise does."""
    exercise = exercises()[one.exercise]
    mistakes = {mistake.name: mistake for mistake in exercise.mistakes}
    assert one.catches in mistakes, "catches= must name a known mistake of the exercise"
    assert fails(one, turned(exercise, mistakes[one.catches]))
    for right in (exercise.solution, *exercise.equivalents):
        assert not fails(one, right), right.__qualname__


@pytest.mark.parametrize("one", ALL, ids=lambda one: one.test)
def test_a_lab_test_names_what_is_there(one):
    broken = re.match("`([^`]+)` ?", one.breaks)
    assert broken, "what breaks begins with the code that is there now, in backticks"
    assert broken[1] in inspect.getsource(inspect.unwrap(getattr(one.code, "fget", None) or one.code))
    assert lab.lesson_title(one.lesson)
    assert not one.says.endswith(".")


@pytest.mark.parametrize("file", sorted({one.test.split("::")[0] for one in ALL}))
def test_lab_tests_come_first_in_their_file_and_are_not_parametrised(file):
    module = importlib.import_module(file.removesuffix(".py"))
    tests = [value for name, value in vars(module).items() if name.startswith("test_") and inspect.isfunction(value)]
    tests.sort(key=lambda test: test.__code__.co_firstlineno)
    in_lab = [lab.lab_of(test) is not None for test in tests]
    assert in_lab == sorted(in_lab, reverse=True)
    for test in tests[: sum(in_lab)]:
        assert {mark.name for mark in test.pytestmark} == {"lab"}
        assert not inspect.signature(test).parameters


def test_the_tables_in_the_readme_are_up_to_date():
    text = (lab.TESTS / "README.md").read_text(encoding="utf-8")
    assert text == lab.with_table(text), "write it again: python tests/lab.py --update"
    assert all(f"`{one.test}`" in text and one.breaks in text for one in ALL)
    example = "\n".join([*SHEET, "test: tests/test_attention.py::test_the_scores_are_divided_by_the_root_of_k"])
    assert re.sub(r"py:\d+", "py:N", example) in re.sub(r"py:\d+", "py:N", text)


# ---------------------------------------------------------------------------------------- how they are run


def test_files_come_in_reading_order():
    names = ["zebra", "loop", "heads", "attention", "assets", "layers", "config"]
    files = sorted((Path(f"test_{name}.py") for name in names), key=lab.rank)
    assert [file.stem for file in files] == [
        f"test_{name}" for name in ("config", "attention", "layers", "heads", "loop", "assets", "zebra")
    ]
    assert all((lab.TESTS / f"test_{name}.py").exists() for name in lab.READING_ORDER)


@pytest.mark.parametrize(
    ("arguments", "options", "alone"),
    [
        ((), {}, False),
        (("tests",), {}, False),
        (("tests/test_attention.py",), {}, True),
        (("tests/test_attention.py::test_x",), {}, True),
        ((), {"maxfail": 1}, True),
        ((), {"usepdb": True}, True),
        ((), {"collectonly": True}, True),
        ((), {"answer": "my.py"}, True),
        ((), {"markexpr": "slow"}, True),
        ((), {"markexpr": "lab"}, True),
    ],
)
def test_all_cores_are_for_the_whole_fast_suite(monkeypatch, arguments, options, alone):
    monkeypatch.chdir(lab.ROOT)
    usual = {"markexpr": lab_plugin.USUAL, "maxfail": 0, "usepdb": False, "collectonly": False, "answer": None}
    config = SimpleNamespace(args=arguments, option=SimpleNamespace(**{**usual, **options}))
    assert (lab_plugin.pytest_xdist_auto_num_workers(config) == 0) == alone


@pytest.mark.parametrize("count", [1, 7, 8, 9, 30, 1000])
def test_of_a_test_with_many_cases_a_few_are_taken_from_everywhere(count):
    def item(name: str, many: bool) -> Any:
        return SimpleNamespace(nodeid=name, get_closest_marker=lambda mark: many if many and mark == "many" else None)

    items = [item(f"t.py::many[{n}]", True) for n in range(count)] + [item(f"t.py::all[{n}]", False) for n in range(50)]
    left_out = {id(one) for one in lab_plugin.cases_left_out(items)}
    kept = [number for number, one in enumerate(items) if id(one) not in left_out]
    assert kept[-50:] == list(range(count, count + 50))
    assert len(kept) - 50 == min(count, lab_plugin.OF_MANY)
    assert max(after - before for before, after in itertools.pairwise([*kept[:-50], count])) <= max(1, -(-count // 8))


@pytest.mark.slow
def test_the_sheet_is_printed_last_also_from_several_processes(tmp_path):
    """Of five broken properties the first three, in reading order, whichever process finds them."""
    (tmp_path / "tests").mkdir()
    for file in ("conftest.py", "tests/lab.py", "tests/lab_plugin.py"):
        shutil.copy(lab.ROOT / file, tmp_path / file)
    (tmp_path / "lessons" / "source").mkdir(parents=True)
    (tmp_path / "lessons" / "source" / "01_looking.py").write_text("# %% [markdown]\n# # Looking\n")
    (tmp_path / "pytest.ini").write_text("[pytest]\npythonpath = tests\nmarkers =\n    lab: a property\n")
    test = (
        "@lab(None, code=lab, lesson='01', breaks='`x` left out')\ndef test_{0}():\n    '''property {0}'''\n    {1}\n\n"
    )
    head = "from lab import check, lab\n\n"
    layers = "".join(test.format(name, "check(False)") for name in ("c", "d", "e"))
    (tmp_path / "tests" / "test_layers.py").write_text(head + layers)
    first = test.format("a", "raise TypeError('no')") + test.format("b", "check(False, 'in other words')")
    (tmp_path / "tests" / "test_attention.py").write_text(head + test.format("good", "check(True)") + first)
    run = run_pytest("-q", "-n", "2", "--tb=short", "tests", cwd=tmp_path)
    assert run.returncode == 1, run.stdout
    place = next(line for line in run.stdout.split("\n") if line.startswith("code: "))
    assert last_lines(run, 14) == [
        *("broken: property a", place, "lesson: 01 Looking (lessons/01_looking.ipynb)"),
        *("test: tests/test_attention.py::test_a", ""),
        *("broken: in other words", place, "lesson: 01 Looking (lessons/01_looking.ipynb)"),
        *("test: tests/test_attention.py::test_b", ""),
        *("broken: property c", place, "lesson: 01 Looking (lessons/01_looking.ipynb)"),
        "test: tests/test_layers.py::test_c",
    ]


# ------------------------------------------------------------------------------------------ a learner's file


def notebook(*cells: str) -> str:
    return json.dumps({"cells": [{"cell_type": "code", "source": cell} for cell in cells], "nbformat": 4})


@pytest.mark.slow
def test_a_right_answer_in_a_notebook_passes(tmp_path):
    (tmp_path / "my.ipynb").write_text(
        notebook("%matplotlib inline\nimport math", "raise SystemExit('a lesson')", RIGHT, "attention = attention")
    )
    run = run_pytest(f"--answer={tmp_path / 'my.ipynb'}")
    assert run.returncode == 0, run.stdout
    golden = 4 * len(importlib.import_module("test_models").GOLDEN)  # packed and padded, fused and written out
    assert f"{sum(one.exercise == 'attention' for one in ALL) + golden} passed" in run.stdout
    assert "broken" not in run.stdout


def test_a_wrong_answer_fails_with_the_property_in_words(tmp_path):
    (tmp_path / "my.py").write_text(UNSCALED.replace("def attention", "def my_attention"))
    run = run_pytest(f"--answer={tmp_path / 'my.py'}", "-x")
    assert run.returncode == 1, run.stdout
    assert last_lines(run, 4) == [
        SHEET[0],
        f"code: {tmp_path / 'my.py'}:4 my_attention()",
        SHEET[2],
        "test: tests/test_attention.py::test_the_scores_are_divided_by_the_root_of_k",
    ]


@pytest.mark.slow
def test_a_file_without_an_answer_is_one_sentence_and_runs_nothing(tmp_path):
    (tmp_path / "my.py").write_text("def something(x):\n    return x\n")
    run = run_pytest(f"--answer={tmp_path / 'my.py'}")
    assert run.returncode == pytest.ExitCode.USAGE_ERROR
    assert "passed" not in run.stdout
    (sentence,) = run.stderr.strip().split("\n")
    assert sentence.startswith(f"ERROR: {tmp_path / 'my.py'} defines none of the exercises' functions: write one of ")


@pytest.mark.slow
def test_a_file_that_is_not_there_is_one_sentence():
    run = run_pytest("--answer", "no-such-file.py")
    assert run.returncode == pytest.ExitCode.USAGE_ERROR
    assert run.stderr.strip() == "ERROR: no-such-file.py cannot be read (No such file or directory): check the path."


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("my.py", None, "cannot be read"),
        ("my.ipynb", "no notebook", "cannot be read as a notebook"),
        ("my.py", "def attention(q, k, v:\n    pass\n", "is not Python that can be run (line 1: SyntaxError"),
        ("my.py", "attention = missing\n", "stops at line 1 (NameError: name 'missing' is not defined): correct it"),
        ("my.py", "x = 1\ny = x / 0\ndef gelu(z):\n    return y\n", "stops at line 2 (ZeroDivisionError: division"),
        ("my.py", "import math\ngelu = math.sqrt(2)\n", "gelu in {} is a float: it must be a function"),
    ],
)
def test_a_file_that_cannot_be_used_is_one_sentence(tmp_path, name, text, sentence):
    path = tmp_path / name
    if text is not None:
        path.write_text(text)
    with pytest.raises(pytest.UsageError) as error:
        lab.read_answers(str(path))
    assert str(path) in str(error.value)
    assert sentence.format(path) in str(error.value)
    assert str(error.value).count("\n") == 0


def test_only_what_an_answer_needs_is_run(tmp_path):
    path = tmp_path / "my.py"
    path.write_text(
        "from math import *\nimport os\nrun = os.abort()\nroot = half(4)\ndef gelu(x):\n    return helper(x)\n"
        "print('loud')\ndef helper(x):\n    return SIZE * x\nSIZE: int = 2\n"
    )
    answers = lab.read_answers(str(path))
    assert list(answers) == ["gelu"]
    assert answers["gelu"](3) == 6
    assert lab.place(answers["gelu"]) == f"{path}:5 gelu()"


def test_a_name_of_the_exercise_goes_before_one_with_my(tmp_path):
    path = tmp_path / "my.py"
    path.write_text("def my_gelu(x):\n    return 1\ndef gelu(x):\n    return 2\ndef my_causal_mask(n):\n    return n\n")
    answers = lab.read_answers(str(path))
    assert answers["gelu"](0) == 2
    assert answers["causal-mask"](3) == 3


@pytest.mark.slow
def test_every_exercises_solution_passes_its_lab_tests(tmp_path):
    """And the golden numbers, with all eight seams in the models at once."""
    lines = []
    for exercise in exercises().values():
        module, name = exercise.solution.__module__, exercise.solution.__name__
        lines += [f"from {module} import {name} as right_{name}", f"{exercise.function} = right_{name}"]
    path = tmp_path / "my.py"
    path.write_text("\n".join(lines))
    run = run_pytest(f"--answer={path}")
    assert run.returncode == 0, run.stdout


@pytest.mark.slow
def test_every_lab_test_of_an_exercise_is_about_the_answer(tmp_path):
    """With stubs for all exercises, all of their lab tests fail: none goes past the answer to the library."""
    path = tmp_path / "my.py"
    path.write_text("\n\n".join(exercise.stub for exercise in exercises().values()))
    run = run_pytest(f"--answer={path}", "--tb=no")
    failed = set(re.findall(r"^FAILED tests/(\S+)", run.stdout, re.M))
    assert {one.test for one in ALL if one.exercise} <= failed
