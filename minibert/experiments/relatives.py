"""E6: RoBERTa's large batches, MobileBERT, XLNet and BART, each beside a BERT of equal size and steps.

All are pre-trained from random weights on the same rows of reviews, in the setting of pretraining.py. The BERT is the
same in all four comparisons.
"""

from __future__ import annotations

from pathlib import Path
from statistics import median
from typing import Any

from minibert.experiments import large_batches, mobile, permuting, restoring
from minibert.experiments.grid import Experiment, Size
from minibert.experiments.pretraining import (
    FULL,
    QUICK,
    SEEDS,
    by_frequency,
    fine_tuned,
    held_out_loss,
    masked_words,
    own_tokenizer,
    pretrain,
    small,
)
from minibert.factory import build, count_parameters

BERT = "BERT"  # the variant, as the records name it


def bert(seed: int, size: Size, work: Path) -> dict[str, Any]:
    """A BERT that learns masked words, with all that the others are compared by."""
    tokenizer = own_tokenizer(work)
    model = build(small(vocab_size=tokenizer.vocab_size), "masked-lm", seed)
    parameters = count_parameters(model.backbone)
    task, held_out = masked_words(tokenizer, size)
    log = pretrain(model, task, size, seed, work / f"bert-{seed}")
    found: dict[str, Any] = held_out_loss(model, tokenizer, size)
    found |= {"parameters": parameters, "step_seconds": median(record["seconds"] for record in log)}
    found["same_words"] = permuting.same_words(model, permuting.HiddenWords, held_out.examples, tokenizer)
    rows = restoring.gapped(held_out.examples, tokenizer)
    found |= restoring.scored(restoring.filled_by(model, rows, tokenizer), rows, tokenizer).named()
    return found | fine_tuned(model, tokenizer, size, seed, work / f"bert-{seed}-tuned")


# The variants of each row of the ledger.
R3 = (BERT, *large_batches.VARIANTS)
M3 = (BERT, *mobile.VARIANTS)
X1 = (BERT, *permuting.VARIANTS)
B1 = (BERT, *restoring.VARIANTS)

E6 = Experiment(
    "E6",
    {
        BERT: bert,
        **restoring.VARIANTS,
        **permuting.VARIANTS,
        **mobile.VARIANTS,
        **large_batches.VARIANTS,
    },
    full=FULL,
    quick=QUICK,
    seeds=SEEDS,
    more=by_frequency,
)
