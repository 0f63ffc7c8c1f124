"""Marking a class: files are read but not run here, the marks are decided outside, and no answer can change them."""

from __future__ import annotations

import csv
import io
import json
import math
import textwrap
from pathlib import Path

import pytest
import torch

from minibert.classroom import box, grading, isolation, learner
from minibert.cli.main import main
from minibert.exercises.calls import pack
from minibert.exercises.catalogue import exercises
from minibert.exercises.declare import probes_of

RIGHT = """
import math
import torch

def attention(q, k, v, mask=None):
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
    if mask is None:
        return scores.softmax(-1) @ v
    return scores.masked_fill(~mask, -1e30).softmax(-1).masked_fill(~mask, 0.0) @ v
"""
UNSCALED = RIGHT.replace(" / math.sqrt(q.shape[-1])", "")
QUICK = isolation.Limits()


def written(folder: Path, name: str, source: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(source), encoding="utf-8")
    return path


def notebook(*cells: str) -> str:
    return json.dumps({"cells": [{"cell_type": "code", "source": cell.splitlines(True)} for cell in cells]})


def marked(folder: Path, source: str, name: str = "answer.py", seed: int = 5) -> grading.Mark:
    (mark,) = grading.mark(written(folder, name, source), ["attention"], QUICK, seed, with_swap=False).marks
    return mark


# ------------------------------------------------------------------------------------------ hidden probes


def test_hidden_probes_have_other_numbers_and_the_same_masks():
    exercise = exercises()["attention"]
    for known, other in zip(probes_of(exercise), probes_of(grading.hidden("attention", 7)), strict=True):
        assert known.axes == other.axes
        for a, b in zip(known.call.args, other.call.args, strict=True):
            if isinstance(a, torch.Tensor):
                assert torch.equal(a, b) is (a.dtype == torch.bool)


@pytest.mark.parametrize("name", exercises())
def test_every_call_of_every_exercise_has_other_numbers(name):
    """Except what has no numbers that could be others, such as a mask of length 1."""
    known, other = probes_of(exercises()[name]), probes_of(grading.hidden(name, 7))
    again = probes_of(grading.hidden(name, 8))
    same = [a.name for a, b in zip(known, other, strict=True) if pack(a.call) == pack(b.call)]
    assert len(same) <= 2 * len(known) / 3, same
    assert [pack(one.call) for one in other] != [pack(one.call) for one in again]
    for a, b in zip(known, other, strict=True):
        assert len(a.more) == len(b.more)
        assert not a.more or pack(a.more[0]) != pack(b.more[0])


def test_lists_of_numbers_are_moved_too():
    known, other = probes_of(exercises()["times-as-fast"])[0], probes_of(grading.hidden("times-as-fast", 7))[0]
    for a, b in zip(known.call.args, other.call.args, strict=True):
        assert len(a) == len(b)
        assert all(x != y == pytest.approx(x, rel=0.021) for x, y in zip(a, b, strict=True))


def test_the_seed_decides_the_hidden_probes():
    first, again, other = (
        [pack(probe.call) for probe in probes_of(grading.hidden.__wrapped__("attention", seed))] for seed in (7, 7, 8)
    )
    assert first == again
    assert first != other


# ---------------------------------------------------------------------------------------------- marking


@pytest.mark.slow
def test_a_class_is_marked(tmp_path, capsys):
    folder, out = tmp_path / "submissions", tmp_path / "results"
    written(folder, "ada.py", RIGHT)
    written(folder, "bob.ipynb", notebook("import minibert", UNSCALED, "minibert.check('attention', attention)"))
    written(folder, "cy/answer.py", "def attention(q, k, v, mask=None):\n    raise NotImplementedError()\n")
    written(folder, "dan.py", "x = 1")
    written(
        folder, "=eve.py", "from minibert.attention import attention\ndef my_attention(*a):\n    return attention(*a)"
    )
    assert main(["grade", str(folder), "--out", str(out), "--exercises", "attention", "gelu", "--seed", "3"]) == 0
    rows = {row["submission"]: row for row in csv.DictReader(io.StringIO((out / "grades.csv").read_text()))}
    assert {name: row["attention status"] for name, row in rows.items()} == {
        "ada.py": "passed", "bob.ipynb": "failed", "cy/answer.py": "not attempted", "dan.py": "not attempted",
        "'=eve.py": "reference",
    }  # fmt: skip
    assert float(rows["ada.py"]["attention"]) == 10
    assert float(rows["cy/answer.py"]["score"]) == float(rows["'=eve.py"]["score"]) == 0
    assert all(row["gelu status"] == "not attempted" for row in rows.values())
    report = (out / "report.md").read_text()
    assert "1 × **unscaled** (attention)" in report
    assert "seed 3" in report
    gradescope = json.loads((out / "bob.ipynb.results.json").read_text())
    assert gradescope["score"] == sum(test["score"] for test in gradescope["tests"])
    assert gradescope["tests"][0]["status"] == "failed"
    assert gradescope["tests"][0]["tags"] == ["unscaled"]
    assert "5 marked" in capsys.readouterr().out


@pytest.mark.slow
def test_an_answer_can_import_nothing_of_minibert(tmp_path):
    """Not even the file that makes the calls, which is loaded under its usual name."""
    source = """
import sys
LOADED = [1 / 0 for name in sys.modules if name.startswith("mini" + "bert.")]
def attention(q, k, v, mask=None):
    import minibert.exercises.calls
    return v
"""
    found = grading.mark(written(tmp_path, "answer.py", source), ["attention"], QUICK, 5, with_swap=False)
    assert found.problems == ["uses the library: minibert.exercises.calls"]  # no division by zero: none is loaded
    assert found.marks[0].status == "reference" or "not a package" in found.marks[0].text
    assert found.score == 0


def test_hidden_folders_hold_no_submissions_but_may_hold_them_all(tmp_path):
    folder = tmp_path / ".courses" / "class"
    ada = written(folder, "ada.py", RIGHT)
    written(folder, ".ipynb_checkpoints/ada.py", RIGHT)
    assert [one.path for one in grading.handed_in(folder)] == [ada]


def test_an_empty_folder_is_one_sentence(tmp_path, capsys):
    assert main(["grade", str(tmp_path)]) == 2
    assert "holds no files" in capsys.readouterr().err
    assert main(["grade", str(tmp_path / "nowhere")]) == 2
    assert "there is no folder" in capsys.readouterr().err


@pytest.mark.slow
def test_check_in_a_terminal_says_what_is_wrong_and_ends_with_1(tmp_path, capsys):
    path = written(tmp_path, "mine.py", UNSCALED)
    with pytest.raises(SystemExit) as ended:
        main(["check", str(path), "--hint", "1"])
    assert ended.value.code == 1
    said = capsys.readouterr().out
    assert "✗ attention: failed" in said
    assert "not divided by √K" in said
    assert "hint: " in said
    assert main(["check", str(written(tmp_path, "mine.py", RIGHT))]) == 0
    assert "✓ attention: passed, 10 of 10 points" in capsys.readouterr().out


def test_check_of_a_file_without_answers_is_one_sentence(tmp_path, capsys):
    assert main(["check", str(written(tmp_path, "a.py", "x = 1"))]) == 2
    assert "defines none of the exercises' functions" in capsys.readouterr().err


def test_check_of_an_unknown_exercise_is_one_sentence(tmp_path, capsys):
    assert main(["check", str(written(tmp_path, "a.py", RIGHT)), "--exercise", "atention"]) == 2
    assert "did you mean attention" in capsys.readouterr().err


# ----------------------------------------------------------------------------------------- cheating, breaking

ATTACKS = dict(
    attack.split("\n", 1)
    for attack in (Path(__file__).parent / "attacks.txt").read_text(encoding="utf-8").split("\n=== ")[1:]
)


@pytest.mark.slow
@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_scores_nothing_and_harms_nothing(attack, tmp_path, monkeypatch):
    import socket

    boxes = []

    class Kept(box.Box):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            boxes.append(self)

    monkeypatch.setattr(box, "Box", Kept)
    monkeypatch.setenv("MARKERS_SECRET", "hunter2")
    canary, own = tmp_path / "canary", tmp_path / "handed-in" / "answer.py"
    secret = Path(grading.__file__).parents[1] / "attention.py"
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.1)
        names = {"CANARY": str(canary), "OWN": str(own), "SECRET": str(secret), "ROOT": str(secret.parents[1]),
                 "PORT": server.getsockname()[1]}  # fmt: skip
        known = {float(probe.call.args[0].flatten()[0]): None for probe in probes_of(exercises()["attention"])}
        constants = "".join(f"{name} = {value!r}\n" for name, value in names.items())
        source = constants + ATTACKS[attack].replace("{KNOWN}", repr(known))
        written(own.parent, own.name, source)
        limits = isolation.Limits(seconds=6)
        monkeypatch.setattr(learner, "CALL_SECONDS", 2.0)
        monkeypatch.setattr(learner, "RUN_SECONDS", 3.0)
        before = set(Path.cwd().iterdir())
        found = grading.mark(own, ["attention"], limits, seed=11, with_swap=False)
        with pytest.raises(TimeoutError):
            server.accept()
    (mark,) = found.marks
    assert mark.status != "passed"
    assert mark.score == 0
    assert found.seconds < 120  # on the clock, perhaps of a busy machine
    assert own.read_text() == source
    assert not canary.exists()
    assert set(Path.cwd().iterdir()) == before
    assert math.isfinite(json.loads(grading.gradescope(found))["score"])
    assert boxes
    assert all(box.process.poll() is not None and not box.scratch.exists() for box in boxes)


@pytest.mark.slow
def test_one_answer_that_hangs_does_not_cost_the_next(tmp_path, monkeypatch):
    monkeypatch.setattr(learner, "CALL_SECONDS", 2.0)
    path = written(tmp_path, "a.py", RIGHT + "\ndef causal_mask(length):\n    while True: pass\n")
    names = ["causal-mask", "attention"]
    found = {mark.exercise: mark for mark in grading.mark(path, names, QUICK, 1, with_swap=False).marks}
    assert found["attention"].status == "passed"
    assert found["causal-mask"].score == 0
    assert "does not end" in found["causal-mask"].text


# ------------------------------------------------------------------------- what the box says about an answer

UNDER_NO_GRAD = RIGHT.replace("def attention", "@torch.no_grad()\ndef attention")
IN_PLACE = """
def merge_heads(x):
    B, H, S, K = x.shape
    found = x.transpose(1, 2).reshape(B, S, H * K).clone()
    x.data.zero_()
    return found
"""
# Ways to change what reports about the answer: `space` are the names of the module that makes the calls.
PATCHES = {
    "none": "",
    "no gradients": "space['_gradients'] = lambda returned, wanted: []",
    "too many gradients": "space['_gradients'] = lambda returned, wanted: [*wanted, *wanted]",
    "gradients that are not there": "space['_gradients'] = lambda returned, wanted: [None] * len(wanted)",
    "the inputs for gradients": "space['_gradients'] = lambda returned, wanted: list(wanted)",
    "zeros for gradients": "space['_gradients'] = lambda returned, wanted: [torch.zeros_like(x) for x in wanted]",
    "nothing was changed": "space['changed_of'] = space['_alike'] = lambda *a: ()",
    "all tensors are equal": "torch.equal = torch.Tensor.equal = lambda *a: True\ntorch.Tensor.__eq__ = lambda a, b: a",
    "torch's own gradients": "torch.autograd.grad = lambda total, wanted, **how: [None for _ in wanted]",
    "outcomes without a trace": "old = space['Outcome']\nspace['Outcome'] = lambda *a, old=old, **k: old(*a[:1], **k)",
    "no arguments afterwards": "space['_plain'] = lambda value, depth=0: value if hasattr(value, 'softmax') else None",
    "its calls": "old = space['make_call']\nspace['make_call'] = lambda f, call, after=None, old=old: old(f, call)",
}
REACH = """
import sys
import torch
frame = sys._getframe()
while 'make_call' not in frame.f_globals:
    frame = frame.f_back
for space in (frame.f_globals, frame.f_globals['make_call'].__globals__):
    {}
"""


@pytest.mark.slow
@pytest.mark.parametrize("patch", PATCHES)
@pytest.mark.parametrize(
    ("source", "exercise", "said"), [(UNDER_NO_GRAD, "attention", "gradient"), (IN_PLACE, "merge-heads", "in place")]
)
def test_gradients_and_changed_inputs_are_not_taken_on_trust(patch, source, exercise, said, tmp_path):
    """The values are right, so that only these stages stand between the answer and full marks."""
    reach = REACH.format((PATCHES[patch] or "pass").replace("\n", "\n    "))
    path = written(tmp_path, "answer.py", reach + source)
    (mark,) = grading.mark(path, [exercise], QUICK, 5, with_swap=False).marks
    assert mark.status == "failed"
    assert mark.score < mark.max_score
    if patch == "none":
        assert mark.score == mark.max_score - 2  # that stage, and the swap behind it
        assert said in mark.text
