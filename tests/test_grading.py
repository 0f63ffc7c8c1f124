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

from minibert.classroom import box, grading, isolation, submissions
from minibert.cli.main import main
from minibert.errors import MinibertError
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
QUICK = isolation.Limits(seconds=25)


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


# ------------------------------------------------------------------------------------------ reading a file


def test_only_definitions_are_taken_and_nothing_is_run(tmp_path):
    path = written(
        tmp_path, "a.py", f"print(1/0)\nwhile True: pass\nassert False\nX = 3\n{RIGHT}\nattention(1, 2, 3)\n"
    )
    found = submissions.read(path)
    assert found.names == {"attention"}
    sources = [source for source, _ in found.statements]
    assert len(sources) == 4
    assert not any("print" in source or "while" in source for source in sources)


def test_a_notebooks_cells_are_read_without_magics(tmp_path):
    cells = notebook("%matplotlib inline\n!ls\nimport math", "%%time\nattention = 3", "def gelu(x):\n    return x")
    found = submissions.read(written(tmp_path, "a.ipynb", cells))
    assert [source for source, _ in found.statements] == ["import math", "def gelu(x):\n    return x"]


def test_one_broken_cell_does_not_cost_the_others(tmp_path):
    found = submissions.read(written(tmp_path, "a.ipynb", notebook("def broken(:", "def gelu(x):\n    return x")))
    assert found.names == {"gelu"}
    assert "SyntaxError" in found.problems[0]


@pytest.mark.parametrize(
    ("source", "borrowed"),
    [
        ("from minibert.attention import attention", "minibert.attention.attention"),
        ("import minibert.layers", "minibert.layers"),
        ("import minibert\ndef f(x):\n    return minibert.cosine_hidden_loss(x, x)", "minibert.cosine_hidden_loss"),
        (
            "import importlib\ndef f(x):\n    return importlib.import_module('minibert.layers')",
            "the text 'minibert.layers'",
        ),
    ],
)
def test_what_is_borrowed_from_the_library_is_seen(source, borrowed, tmp_path):
    assert submissions.read(written(tmp_path, "a.py", source)).borrowed == {borrowed}


def test_checking_in_a_notebook_is_no_borrowing(tmp_path):
    cells = notebook("import minibert\nfrom minibert import check", "x = minibert.check('gelu', print)")
    assert submissions.read(written(tmp_path, "a.ipynb", cells)).borrowed == set()


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("a.ipynb", b"{", "cannot be read as a notebook"),
        ("a.ipynb", b"[1]", "cannot be read as a notebook"),
        ("a.py", b"\xff\xfe\x00", "is not UTF-8 text"),
        ("a.py", b"#" * 5_000_001, "larger than 5 MB"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_sentence(name, content, sentence, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(MinibertError, match=sentence):
        submissions.read(tmp_path / name)
    found = grading.mark(tmp_path / name, ["attention"], QUICK, 0)
    assert found.score == 0
    assert sentence in found.problems[0]


# ------------------------------------------------------------------------------------------ hidden probes


def test_hidden_probes_have_other_numbers_and_the_same_masks():
    exercise = exercises()["attention"]
    for known, other in zip(probes_of(exercise), probes_of(grading.hidden("attention", 7)), strict=True):
        assert known.axes == other.axes
        for a, b in zip(known.call.args, other.call.args, strict=True):
            if isinstance(a, torch.Tensor):
                assert torch.equal(a, b) is (a.dtype == torch.bool)


def test_lists_of_numbers_are_moved_too():
    known, other = probes_of(exercises()["times-as-fast"])[0], probes_of(grading.hidden("times-as-fast", 7))[0]
    for a, b in zip(known.call.args, other.call.args, strict=True):
        assert len(a) == len(b)
        assert all(x != y == pytest.approx(x, rel=0.021) for x, y in zip(a, b, strict=True))


def test_the_seed_decides_the_hidden_probes():
    first, again, other = (
        [pack(grading.varied(probe, seed).call) for probe in probes_of(exercises()["attention"])] for seed in (7, 7, 8)
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
        "ada.py": "passed", "bob.ipynb": "failed", "cy/answer.py": "not attempted", "dan.py": "missing",
        "'=eve.py": "reference",
    }  # fmt: skip
    assert float(rows["ada.py"]["attention"]) == 10
    assert float(rows["cy/answer.py"]["score"]) == float(rows["'=eve.py"]["score"]) == 0
    assert all(row["gelu status"] == "missing" for row in rows.values())
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
    assert grading.files_in(folder) == [ada]


def test_an_empty_folder_is_one_sentence(tmp_path, capsys):
    assert main(["grade", str(tmp_path)]) == 2
    assert "holds no .py file and no notebook" in capsys.readouterr().err
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
        limits = isolation.Limits(seconds=10, cpu_seconds=20)
        monkeypatch.setattr(grading, "CALL_SECONDS", 2.0)
        before = set(Path.cwd().iterdir())
        found = grading.mark(own, ["attention"], limits, seed=11, with_swap=False)
        with pytest.raises(TimeoutError):
            server.accept()
    (mark,) = found.marks
    assert mark.status != "passed"
    assert mark.score == 0
    assert found.seconds < 40
    assert own.read_text() == source
    assert not canary.exists()
    assert set(Path.cwd().iterdir()) == before
    assert math.isfinite(json.loads(grading.gradescope(found))["score"])
    assert boxes
    assert all(box.process.poll() is not None and not box.scratch.exists() for box in boxes)


@pytest.mark.slow
def test_one_answer_that_hangs_does_not_cost_the_next(tmp_path, monkeypatch):
    monkeypatch.setattr(grading, "CALL_SECONDS", 2.0)
    path = written(tmp_path, "a.py", RIGHT + "\ndef causal_mask(length):\n    while True: pass\n")
    names = ["causal-mask", "attention"]
    found = {mark.exercise: mark for mark in grading.mark(path, names, QUICK, 1, with_swap=False).marks}
    assert found["attention"].status == "passed"
    assert found["causal-mask"].score == 0
    assert "does not end" in found["causal-mask"].text
