"""E6: RoBERTa's large batches, MobileBERT, XLNet and BART, each beside a BERT of equal size and steps.

All are pre-trained from random weights on the same rows of reviews, in the setting of pretraining.py. The BERT is the
same in all comparisons, except that with BART, for which both take more steps.
"""

from __future__ import annotations

from pathlib import Path
from statistics import median
from typing import Any

from minibert.experiments import large_batches, mobile, permuting, restoring
from minibert.experiments.grid import Cell, Experiment, Size
from minibert.experiments.pretraining import (
    FIRST_SEEDS,
    FULL,
    QUICK,
    by_frequency,
    fine_tuned,
    held_out_loss,
    masked_words,
    own_tokenizer,
    pretrain,
    short_task,
    small,
)
from minibert.factory import build, count_parameters

BERT, LONGER_BERT = "BERT", f"BERT, {restoring.LONGER} times the steps"  # the variants, as the records name them


def reading(longer: int = 1) -> Cell:
    """A BERT that learns masked words, with all that the others are compared by. longer: times the steps."""

    def cell(seed: int, size: Size, work: Path) -> dict[str, Any]:
        tokenizer = own_tokenizer(work)
        model = build(small(vocab_size=tokenizer.vocab_size), "masked-lm", seed)
        parameters = count_parameters(model.backbone)
        task, held_out = masked_words(tokenizer, size)
        name = f"bert-{longer}-{seed}"
        log = pretrain(model, task, size, seed, work / name, longer * size.steps, short=short_task(tokenizer))
        found: dict[str, Any] = held_out_loss(model, tokenizer, size)
        found |= {"parameters": parameters, "step_seconds": median(record["seconds"] for record in log)}
        found["same_words"] = permuting.same_words(model, permuting.HiddenWords, held_out.examples, tokenizer)
        rows = restoring.gapped(held_out.examples, tokenizer)
        found |= restoring.scored(restoring.filled_by(model, rows, tokenizer), rows, tokenizer).named()
        return found | fine_tuned(model, tokenizer, size, seed, work / f"{name}-tuned")

    return cell


# The variants of each row of the ledger.
R3 = (BERT, *large_batches.VARIANTS)
M3 = (BERT, *mobile.VARIANTS)
X1 = (BERT, *permuting.VARIANTS)
B1 = (LONGER_BERT, *restoring.VARIANTS)

E6 = Experiment(
    "E6",
    {
        BERT: reading(),
        LONGER_BERT: reading(restoring.LONGER),
        **restoring.VARIANTS,
        **permuting.VARIANTS,
        **mobile.VARIANTS,
        **large_batches.VARIANTS,
    },
    full=FULL,
    quick=QUICK,
    seeds=FIRST_SEEDS,
    more=by_frequency,
)
