"""The record of what was passed: two processes lose nothing, and what cannot be recorded or read is told."""

from __future__ import annotations

import json
import multiprocessing
import os
import time

import pytest
from torch.nn.functional import gelu

import minibert
from minibert.cli.main import main
from minibert.errors import MinibertError
from minibert.exercises import progress
from minibert.exercises.catalogue import exercises


@pytest.fixture(autouse=True)
def own_record(tmp_path, monkeypatch):
    monkeypatch.setattr(progress, "file", lambda: tmp_path / "progress.json")


def right(x):
    return gelu(x)


BROKEN = [
    "{", "[1]", "[" * 10**5, '{"gelu": 3}', '{"gelu": {"score": "x"}}', '{"gelu": {"score": null}}',
    '{"gelu": {"score": true}}', '{"gelu": {"score": NaN}}', '{"gelu": {"score": -1}}', '{"gelu": {"passed": "no"}}',
    f'{{"gelu": {{"score": 1{"0" * 400}}}}}', f'{{"gelu": {{"score": 1{"0" * 5000}}}}}',
]  # fmt: skip


@pytest.mark.parametrize("record", BROKEN, ids=lambda one: one[:40])
def test_a_broken_record_stops_nobody_and_is_told(record):
    progress.file().write_text(record)
    found = minibert.check("gelu", right)
    assert found.passed
    assert f"This was not recorded: {progress.file()} cannot be read" in str(found)
    with pytest.raises(MinibertError, match="move or delete it"):
        minibert.progress()
    assert progress.file().read_text() == record


@pytest.mark.parametrize("place", ["in-the-way/folder/progress.json", "in-the-way"])
def test_a_place_without_a_record_is_told(place, tmp_path, monkeypatch, capsys):
    (tmp_path / "in-the-way").write_text("" if "/" in place else "{")
    monkeypatch.setattr(progress, "file", lambda: tmp_path / place)
    answer = tmp_path / "answer.py"
    answer.write_text("import torch\n\n\ndef gelu(x):\n    return x * (1 + torch.erf(x / 2**0.5)) / 2\n")
    assert main(["check", str(answer)]) == 0
    out, err = capsys.readouterr()
    assert "✓ gelu: passed" in out
    assert "minibert: This was not recorded: " in err
    assert len(err.splitlines()) == 1
    assert main(["progress"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1


def test_nothing_passed_is_no_trouble(tmp_path, monkeypatch):
    monkeypatch.setattr(progress, "file", lambda: tmp_path / "not" / "yet" / "progress.json")
    assert f"0 of {len(exercises())} passed" in minibert.progress()
    assert list(tmp_path.iterdir()) == []  # asking leaves nothing


def record(number: int, names: list[str]) -> None:
    """What one of the two processes does, once both are there."""
    ready = progress.file().parent
    (ready / str(number)).touch()
    while len([*ready.glob("[01]")]) < 2:
        time.sleep(0.01)
    for points, name in enumerate(names):
        progress.remember(name, True, 10, 10)
        progress.remember_hunt(name, number, {"solved": True, "points": points})


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the process cannot be copied")
def test_two_processes_lose_nothing(tmp_path):
    names = [*exercises()][:16]
    copies = multiprocessing.get_context("fork")
    running = [copies.Process(target=record, args=(n, names[n::2])) for n in (0, 1)]
    for one in running:
        one.start()
    for one in running:
        one.join()
    assert [one.exitcode for one in running] == [0, 0]
    record_of_both = json.loads((tmp_path / "progress.json").read_text())
    assert {name for name in record_of_both if not name.startswith(progress.HUNT)} == {*names}
    assert len(record_of_both) == 2 * len(names)  # and the hunts
