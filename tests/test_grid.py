"""An experiment's grid: what is trained, by which process, and what a stopped one leaves."""

from __future__ import annotations

import multiprocessing
import os
import time
from pathlib import Path

import pytest

from minibert.errors import MinibertError
from minibert.experiments import grid
from minibert.experiments.grid import Experiment, Size
from minibert.files import locked

SIZE = Size(texts=1, epochs=1)


def noted(name: str, seconds: float = 0.0) -> grid.Cell:
    """A cell that writes down which process trained it."""

    def cell(seed: int, size: Size, work: Path) -> dict[str, int]:
        with (work / "trained.txt").open("a") as file:
            file.write(f"{name} {seed} {os.getpid()}\n")
        time.sleep(seconds)
        return {"seed": seed}

    return cell


def experiment(seconds: float = 0.0, **how) -> Experiment:
    return Experiment("E0", {name: noted(name, seconds) for name in ("one", "two")}, SIZE, SIZE, **how)


def trained(folder: Path) -> list[list[str]]:
    return [line.split() for line in (folder / "E0-full" / "trained.txt").read_text().splitlines()]


def test_every_cell_is_trained_once_and_a_second_run_trains_none(tmp_path):
    found = grid.run(experiment(), tmp_path)
    assert [cell[:2] for cell in trained(tmp_path)] == [[name, str(s)] for s in range(3) for name in ("one", "two")]
    assert [[one["seed"] for one in found["cells"][name]] for name in ("one", "two")] == [[0, 1, 2], [0, 1, 2]]
    assert grid.run(experiment(), tmp_path)["cells"] == found["cells"]
    assert len(trained(tmp_path)) == 6


def test_a_variant_without_a_verdict_may_have_fewer_seeds(tmp_path):
    found = grid.run(experiment(fewer={"two": 1}), tmp_path)
    assert [len(found["cells"][name]) for name in ("one", "two")] == [3, 1]


def test_two_processes_share_a_grid_and_both_get_all_figures(tmp_path):
    context = multiprocessing.get_context("fork")
    results = context.Queue()

    def work():
        results.put(grid.run(experiment(seconds=0.05, seeds=(0, 1, 2, 3)), tmp_path)["cells"])

    workers = [context.Process(target=work) for _ in range(2)]
    for worker in workers:
        worker.start()
    found = [results.get(timeout=60) for _ in workers]
    for worker in workers:
        worker.join()
    assert found[0] == found[1]
    cells = trained(tmp_path)
    assert len(cells) == len({tuple(cell[:2]) for cell in cells}) == 8
    assert len({process for *_, process in cells}) == 2


def test_the_cell_of_another_process_is_left_to_it_until_it_ends(tmp_path, monkeypatch):
    """The lock is what a process holds while it trains; a killed one lets go, without having written its cell."""
    lock = tmp_path / "E0-full" / "cells" / "one-0.lock"
    lock.parent.mkdir(parents=True)
    held = lock.open("a")
    assert locked(held)
    monkeypatch.setattr(grid.time, "sleep", lambda seconds: held.close())
    grid.run(experiment(), tmp_path, seeds=[0])
    assert [cell[0] for cell in trained(tmp_path)] == ["two", "one"]


def test_an_unknown_variant_is_refused(tmp_path):
    with pytest.raises(MinibertError, match="E0 has no variant 'three': choose 'one' or 'two'"):
        grid.run(experiment(), tmp_path, variants=["three"])
