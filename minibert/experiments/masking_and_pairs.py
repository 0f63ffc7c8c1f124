"""E4: static or dynamic masking? And which task besides masked words: sentence order, next sentence, or none?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import torch
from torch import nn

from minibert.experiments.grid import Cell, Experiment, Size
from minibert.experiments.pretraining import (
    HELD_OUT,
    TEXTS,
    by_frequency,
    fine_tuned,
    held_out_words,
    own_tokenizer,
    pretrain,
    rows_of,
    small,
    unlabelled,
)
from minibert.factory import build
from minibert.tokenizers.base import Tokenizer
from minibert.training.batching import Example, inputs, padded, pair
from minibert.training.pairs import nsp_pairs, sop_pairs, split_sentences
from minibert.training.tasks import MaskedWords, held_out_losses

FEW_TEXTS = 200  # reviews: so few that each is read dozens of times; otherwise static and dynamic hardly differ

# The variants, as the records name them.
DYNAMIC, STATIC, NO_PAIRS, NSP, SOP = "dynamic", "static", "no pairs", "NSP", "SOP"
PAIRS = {NSP: nsp_pairs, SOP: sop_pairs}


def masking(static: bool) -> Cell:
    """A BERT pre-trained on a few texts that it reads many times, masked in the same way each time or not."""

    def cell(seed: int, size: Size, work: Path) -> dict[str, Any]:
        tokenizer = own_tokenizer(work)
        model = build(small(), "masked-lm", seed)
        rows = rows_of(unlabelled(False, FEW_TEXTS), tokenizer, size)
        held_out = held_out_words(tokenizer, size)
        name = f"{STATIC if static else DYNAMIC}-{seed}"
        pretrain(model, MaskedWords(rows, tokenizer, static=static), size, seed, work / name)
        found = held_out_losses(model, held_out)
        return found | fine_tuned(model, tokenizer, size, seed, work / f"{name}-tuned")

    return cell


def pairs_of(task: str, held_out: bool, tokenizer: Tokenizer, size: Size) -> list[Example]:
    """Sentence pairs from the reviews, for one of the tasks of PAIRS."""
    texts = unlabelled(held_out, HELD_OUT if held_out else TEXTS)
    documents = [[tokenizer.ids(sentence) for sentence in split_sentences(text)] for text in texts]
    pairs = PAIRS[task](documents, size.max_length - tokenizer.num_special(pair=True), Random(0))
    return [pair(p.first, p.second, tokenizer, p.label) for p in pairs]


@torch.no_grad()
def pair_accuracy(model: nn.Module, examples: Sequence[Example], tokenizer: Tokenizer) -> float:
    """The share of sentence pairs whose relation the pair head predicts correctly."""
    right = 0
    for start in range(0, len(examples), 64):
        batch = padded(examples[start : start + 64], tokenizer)
        right += int((model(**inputs(batch), labels=None).pair_logits.argmax(-1) == batch["classes"]).sum())
    return right / len(examples)


def pairing(task: str | None) -> Cell:
    """A BERT pre-trained on masked words in sentence pairs, and also on one of the tasks of PAIRS, or on none."""

    def cell(seed: int, size: Size, work: Path) -> dict[str, Any]:
        tokenizer = own_tokenizer(work)
        model = build(small(), "pretraining" if task else "masked-lm", seed)
        examples = pairs_of(task or NSP, False, tokenizer, size)
        held_out = held_out_words(tokenizer, size)
        name = f"{task or 'none'}-{seed}"
        pretrain(model, MaskedWords(examples, tokenizer, pairs=task is not None), size, seed, work / name)
        found = {"masked_lm": held_out_losses(model, held_out)["masked_lm"]}
        if task:
            for asked in PAIRS:
                held_out_pairs = pairs_of(asked, True, tokenizer, size)
                found[f"{asked.lower()}_accuracy"] = pair_accuracy(model, held_out_pairs, tokenizer)
        return found | fine_tuned(model, tokenizer, size, seed, work / f"{name}-tuned")

    return cell


E4 = Experiment(
    "E4",
    {
        DYNAMIC: masking(static=False),
        STATIC: masking(static=True),
        NO_PAIRS: pairing(None),
        NSP: pairing(NSP),
        SOP: pairing(SOP),
    },
    full=Size(texts=3000, epochs=3, steps=800),
    quick=Size(texts=320, epochs=1, steps=20, test_texts=300),
    more=by_frequency,
)
