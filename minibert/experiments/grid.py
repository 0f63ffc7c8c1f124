"""A resumable experiment: a grid of variants and seeds, behind a trained row of the ledger.

Each cell is trained by itself and leaves a small JSON file in the work folder. So a long experiment can be stopped at
any time, and several processes can share one: a cell whose file exists is not trained again. The sizes suit a laptop;
the ledger says what such results can tell.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from minibert.errors import MinibertError
from minibert.files import locked, read_json, write_json
from minibert.signs import Progress
from minibert.training.loop import has_bf16
from minibert.words import listed

FOLDER = Path("runs/experiments")  # the work folder, in the current folder
WAIT = 2.0  # seconds between two looks at what another process has finished


@dataclass(frozen=True)
class Size:
    """How large an experiment is. texts: how many to fine-tune on. steps: of pre-training or distillation."""

    texts: int
    epochs: int
    steps: int = 0
    test_texts: int = 1600
    max_length: int = 64
    batch_size: int = 32


# Trains one cell and returns its figures: (seed, size, work folder) -> a name -> a figure.
Cell = Callable[[int, Size, Path], dict[str, Any]]


def no_more(size: Size, work: Path) -> dict[str, Any]:
    """For an experiment that has no further figures."""
    return {}


@dataclass(frozen=True)
class Experiment:
    """What is trained and measured, by variant."""

    id: str
    variants: dict[str, Cell]
    full: Size
    quick: Size
    seeds: tuple[int, ...] = (0, 1, 2)
    fewer: Mapping[str, int] = field(
        default_factory=dict
    )  # variants that carry no verdict -> how many seeds are enough
    more: Callable[[Size, Path], dict[str, Any]] = no_more  # figures of the whole experiment


def run(
    experiment: Experiment,
    folder: Path = FOLDER,
    quick: bool = False,
    seeds: Sequence[int] | None = None,
    variants: Sequence[str] | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Train the cells that do not exist yet, and return the figures of all.

    folder: the work folder; quick and full experiments have separate folders in it. Figures: "seeds", "size",
    "threads", "bf16", what `experiment.more` adds, and "cells", a variant -> one dict per seed. Raises MinibertError
    for a variant that the experiment does not have.
    """
    size = experiment.quick if quick else experiment.full
    seeds = list(seeds if seeds is not None else experiment.seeds[:1] if quick else experiment.seeds)
    names = list(variants or experiment.variants)
    for name in names:
        if name not in experiment.variants:
            known = listed(map(repr, experiment.variants), last="or")
            raise MinibertError(f"{experiment.id} has no variant {name!r}: choose {known}.")
    work = folder / f"{experiment.id}-{'quick' if quick else 'full'}"
    wanted = [
        (name, seed) for at, seed in enumerate(seeds) for name in names if at < experiment.fewer.get(name, at + 1)
    ]
    wanted.sort(key=lambda cell: cell[0] in experiment.fewer)  # first those that carry a verdict
    if progress is not None:
        progress(sum(cell_file(work, *cell).exists() for cell in wanted), len(wanted))
    while missing := [cell for cell in wanted if not cell_file(work, *cell).exists()]:
        trained = 0
        for name, seed in missing:
            trained += train_cell(experiment.variants[name], name, seed, size, work)
            if progress is not None:
                progress(sum(cell_file(work, *cell).exists() for cell in wanted), len(wanted))
        if not trained:
            time.sleep(WAIT)  # another process trains what is left
    cells: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    for name, seed in wanted:
        cells[name].append(read_json(cell_file(work, name, seed)))
    how = {"threads": torch.get_num_threads(), "bf16": has_bf16("cpu")}
    return {"seeds": seeds, "size": asdict(size), **how, **experiment.more(size, work), "cells": cells}


def cell_file(work: Path, name: str, seed: int) -> Path:
    return work / "cells" / f"{name}-{seed}.json"


def train_cell(cell: Cell, name: str, seed: int, size: Size, work: Path) -> bool:
    """Train a cell and write its file, unless another process has done so or is doing so; returns whether it was done.

    A process that is killed frees its cell for the others.
    """
    path = cell_file(work, name, seed)
    with only_process(path.with_suffix(".lock")) as alone:
        if not alone or path.exists():
            return False
        began = time.perf_counter()
        found = cell(seed, size, work)
        write_json(path, found | {"seconds": round(time.perf_counter() - began, 1)})
        return True


@contextmanager
def only_process(path: Path) -> Iterator[bool]:
    """Whether this process is the only one that holds the lock of this name, without waiting."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        yield locked(file)


def once(path: Path, make: Callable[[], object]) -> None:
    """Have `make` make a file that is not there yet, or wait until another process that is making it has done so."""
    while not path.exists():
        with only_process(path.with_suffix(".lock")) as alone:
            if alone and not path.exists():
                make()
        if not path.exists():
            time.sleep(WAIT)
