"""R3: do larger batches make the model better? A BERT with batches of three sizes, which all read equally many rows.

All go on from the same models, which have learned short rows with small batches (see pretraining.py): with so few
steps, the largest batches would not learn to read from random weights.

A batch that is four times as large leaves a quarter of the steps. A larger batch needs a higher learning rate: for
Adam it should grow with the square root of the batch, because the noise of the gradient falls with that root (Malladi
et al. 2022, "On the SDEs and Scaling Rules for Adaptive Gradient Algorithms"). This is a rule of thumb, so each size is
also tried with half that rate and with twice that rate, and judged at the best of the three.
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

from minibert.experiments.grid import Cell, Size
from minibert.experiments.pretraining import (
    PRETRAIN_RATE,
    fine_tuned,
    held_out_loss,
    masked_words,
    own_tokenizer,
    pretrain,
    started,
)

BATCHES = (32, 128, 512)  # rows
FACTORS = (0.5, 1, 2)  # of the learning rate that the square root asks for


def variant(rows: int, factor: float) -> str:
    """The name of a variant in the records."""
    return f"batches of {rows}, {factor:g} × the rate"


def steps_for(rows: int, size: Size) -> int:
    """How many steps with batches of so many rows read as much as size.steps steps of size.batch_size rows."""
    return max(1, round(size.steps * size.batch_size / rows))


def rate_for(rows: int, size: Size) -> float:
    """The learning rate of the setting, scaled by the square root from batches of size.batch_size rows to so many."""
    return PRETRAIN_RATE * math.sqrt(rows / size.batch_size)


def batches(rows: int, factor: float) -> Cell:
    """A BERT pre-trained with batches of so many rows, at `factor` times the rate that belongs to them."""

    def cell(seed: int, size: Size, work: Path) -> dict[str, Any]:
        tokenizer = own_tokenizer(work)
        model = started(size, seed, work)
        task, _ = masked_words(tokenizer, size)
        rate = factor * rate_for(rows, size)
        steps = steps_for(rows, size)
        name = f"batches-{rows}-{factor:g}-{seed}"
        pretrain(model, task, replace(size, batch_size=rows), seed, work / name, steps, learning_rate=rate)
        found = held_out_loss(model, tokenizer, size) | {"steps": steps, "learning_rate": rate}
        return found | fine_tuned(model, tokenizer, size, seed, work / f"{name}-tuned")

    return cell


VARIANTS: dict[str, Cell] = {variant(rows, factor): batches(rows, factor) for rows in BATCHES for factor in FACTORS}
