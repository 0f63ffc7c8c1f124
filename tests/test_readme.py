"""README.md: its Python runs, its hunt is won, its versions are those that are installed, and a beginner meets things
in the order in which they are needed."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

import pytest

from minibert.exercises import hunts
from minibert.exercises.catalogue import exercises

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PYTHON = re.findall(r"^```python\n(.*?)^```$", README, re.M | re.S)
SHAPE = re.compile(r"^(?P<value>[\w.\[\]]+(?:\(.*\))?[\w.]*)  # \(.*?\) = (?P<said>\([\d, ]+\))$", re.M)
# Texts that show a hunt and its answer, in Python or in a terminal.
HUNTS = (
    re.compile(r'hunt\("(?P<part>[\w-]+)", seed=(?P<seed>\d+)\)(?:(?!hunt\().)*?\.name\("(?P<name>[\w-]+)"\)', re.S),
    re.compile(
        r"minibert hunt (?P<part>[\w-]+) --seed (?P<seed>\d+)(?:(?!minibert hunt).)*?--name (?P<name>[\w-]+)", re.S
    ),
)


@pytest.fixture
def printed(minilm_folder, masked_lm_folder, tmp_path, monkeypatch):
    """All Python of the README, run from top to bottom in one file: what it has defined."""
    monkeypatch.chdir(tmp_path)
    space: dict[str, object] = {}
    for number, block in enumerate(PYTHON):
        if "onnx" in block and not (find_spec("onnx") and find_spec("onnxscript")):
            continue
        file = tmp_path / f"block_{number}.py"  # the check reads the source of a function
        file.write_text(block, encoding="utf-8")
        exec(compile(block, str(file), "exec"), space)
        for found in SHAPE.finditer(block):
            assert tuple(eval(found["value"], space)) == eval(found["said"]), found[0]
    return space


def test_its_python_runs_and_names_the_mistake_in_its_box(printed):
    box = printed["box"]
    state = box._state
    assert state["solved"]
    assert state["wrong"] == []
    assert box.points == 10 - 2 * state["hints"]
    assert state["hints"] == 1


def test_shapes_are_said_in_it():
    assert sum(len(SHAPE.findall(block)) for block in PYTHON) >= 3


@pytest.mark.parametrize(
    "text", [README, (ROOT / "lessons" / "TEACHING.md").read_text(encoding="utf-8"), str(hunts.__doc__)],
    ids=["README", "TEACHING", "docstring"],
)  # fmt: skip
def test_a_hunt_that_is_shown_with_its_answer_is_won(text):
    for pattern in HUNTS:
        for found in pattern.finditer(text):
            assert hunts.planted(exercises()[found["part"]], int(found["seed"])) == found["name"], found[0]


def test_the_hunts_of_the_readme_are_found():
    assert [bool(pattern.search(README)) for pattern in HUNTS] == [True, True]
    assert HUNTS[0].search(str(hunts.__doc__))


def test_the_torch_for_cpus_is_the_pinned_one_and_comes_before_the_rest_is_installed():
    (pinned,) = re.findall(r"^torch==(\S+)$", (ROOT / "requirements.txt").read_text(encoding="utf-8"), re.M)
    (shown,) = re.findall(
        r"^pip install torch==(\S+) --index-url https://download\.pytorch\.org/whl/cpu\b", README, re.M
    )
    assert shown == pinned
    places = [README.index(text) for text in ("venv .venv", "/whl/cpu", "pip install -r requirements.txt")]
    assert places == sorted(places)


def test_the_first_screen_and_the_order():
    order = (
        "figures/check.png", "## Two lines", "## The path", "figures/lessons.png", "## Use it", "minibert fill",
        "minibert.from_pretrained", "<!-- lessons:begin", "minibert.check(", "minibert.swap(", "<!-- claims:begin",
        "<!-- members:begin", "<!-- family:begin",
    )  # fmt: skip
    places = [README.index(text) for text in order]
    assert places == sorted(places)
    assert README[: README.index("## Use it")].count("\n") < 50  # lines before the first thing to try


def test_prose_is_wrapped():
    text = re.sub(r"^```.*?^```$|^<!-- \w+:begin -->.*?^<!-- \w+:end -->$", "", README, flags=re.M | re.S)
    long = [line for line in text.split("\n") if len(line) > 120 and not line.startswith("|")]
    assert long == []


def test_a_function_that_the_readme_names_is_also_called_in_it():
    named = set(re.findall(r"`minibert\.(\w+)`", README))
    assert {name for name in named if f"minibert.{name}(" not in README} <= {"PRESETS"}


def test_the_commands_of_the_readme_exist():
    from minibert.cli.main import command_line

    known = command_line()[1]
    used = set(re.findall(r"(?:^|`)minibert ([a-z]+)", README, re.M))
    assert used <= set(known), used - set(known)
