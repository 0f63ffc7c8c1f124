"""E4: static or dynamic masking? And which task besides masked words: sentence order, next sentence, or none?

Two grids. Masking is tried from random weights. The order of sentences is not learned from nothing in so short a time,
so the pair tasks start from the weights of a masked-LM that reads. With a head on [CLS] and equal weights of the two
losses, two seeds of both tasks stayed at ln 2 for 500 steps. So the head reads the mean vector of each text, and the
pair's loss counts more (PAIR_WEIGHTS).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import torch
from torch import nn

from minibert.checkpoints import load
from minibert.errors import MinibertError
from minibert.experiments.grid import Cell, Experiment, Size
from minibert.experiments.pretraining import (
    FIRST_SEEDS,
    FULL,
    HELD_OUT,
    QUICK,
    SEEDS,
    TEXTS,
    by_frequency,
    fine_tuned,
    held_out_loss,
    loss_by_frequency,
    own_tokenizer,
    pretrain,
    rows_to_read,
    started,
    unlabelled,
)
from minibert.tokenizers import load_tokenizer
from minibert.tokenizers.base import Tokenizer
from minibert.training.batching import Example, inputs, padded, pair
from minibert.training.loop import has_bf16
from minibert.training.pair_pooled import PairPretraining
from minibert.training.pairs import Document, nsp_pairs, sop_pairs, split_sentences
from minibert.training.tasks import MaskedWords

# ------------------------------------------------------------------------------------------------ masking

PASSES = (1, 4, 16)  # how often each row is read; with one pass, static and dynamic masks differ only by chance


def dynamic(passes: int) -> str:
    """The name of the variant that masks a row differently each time it is read."""
    return _read(passes, "dynamic")


def static(passes: int) -> str:
    """The name of the variant that masks a row in the same way each time."""
    return _read(passes, "static")


def _read(passes: int, masks: str) -> str:
    return f"{masks}, {passes} {'pass' if passes == 1 else 'passes'}"


def masking(is_static: bool, passes: int) -> Cell:
    """A BERT pre-trained on so few rows that, in an equal number of steps, it reads each of them `passes` times.

    The short rows that training begins with are of other texts, and their masks are dynamic in all variants.
    """

    def cell(seed: int, size: Size, work: Path) -> dict[str, Any]:
        tokenizer = own_tokenizer(work)
        task = MaskedWords(drawn(rows_to_read(tokenizer, size), passes, size, seed), tokenizer, static=is_static)
        model = started(size, seed, work)
        name = f"{'static' if is_static else 'dynamic'}-{passes}-{seed}"
        pretrain(model, task, size, seed, work / name)
        found = held_out_loss(model, tokenizer, size) | {"rows": len(task.examples)}
        return found | fine_tuned(model, tokenizer, size, seed, work / f"{name}-tuned")

    return cell


def drawn(rows: Sequence[Example], passes: int, size: Size, seed: int) -> list[Example]:
    """As many rows as all steps together read if they read each row `passes` times, the same for both kinds of masks.

    Raises MinibertError when there are not enough.
    """
    needed = size.steps * size.batch_size // passes
    if needed > len(rows):
        raise MinibertError(f"{needed:,} rows are needed, but there are {len(rows):,}: take fewer steps or more texts.")
    return Random(seed).sample(rows, needed)


MASKING = Experiment(
    "E4-masking",
    {name(passes): masking(name is static, passes) for passes in PASSES for name in (dynamic, static)},
    full=FULL,
    quick=QUICK,
    seeds=FIRST_SEEDS,
    more=by_frequency,
)

# ------------------------------------------------------------------------------------------------ pairs

START = "minilm-l6-mlm"  # the weights that all models start from
PAIR_RATE, PAIR_TUNE_RATE = 2e-4, 1e-4
PAIR_WEIGHTS = {"masked_lm": 0.1, "pair": 1.0}

NO_PAIRS, NSP, SOP = "no pairs", "NSP", "SOP"  # the variants, as the records name them
PAIRS = {NSP: nsp_pairs, SOP: sop_pairs}


@cache
def start_tokenizer() -> Tokenizer:
    return load_tokenizer(START)


@cache
def documents(held_out: bool) -> list[Document]:
    """The reviews as sentences."""
    tokenizer, texts = start_tokenizer(), unlabelled(held_out, HELD_OUT if held_out else TEXTS)
    return [[tokenizer.ids(sentence) for sentence in split_sentences(text)] for text in texts]


@cache
def pairs_of(task: str, held_out: bool, max_length: int) -> list[Example]:
    """Sentence pairs from the reviews, for one of the tasks of PAIRS."""
    tokenizer = start_tokenizer()
    pairs = PAIRS[task](documents(held_out), max_length - tokenizer.num_special(pair=True), Random(0))
    return [pair(p.first, p.second, tokenizer, p.label) for p in pairs]


@torch.no_grad()
def pair_accuracy(model: nn.Module, examples: Sequence[Example], tokenizer: Tokenizer) -> float:
    """The share of sentence pairs whose relation the pair head predicts correctly."""
    right = 0
    for start in range(0, len(examples), 64):
        batch = padded(examples[start : start + 64], tokenizer)
        no_words = torch.zeros_like(batch["input_ids"], dtype=torch.bool)
        said = model(**inputs(batch), wanted=no_words).pair_logits.argmax(-1)
        right += int((said == batch["classes"]).sum())
    return right / len(examples)


def pairing(task: str | None) -> Cell:
    """A masked-LM that goes on learning masked words, in sentence pairs, and also one of the tasks of PAIRS, or none.

    The model without a pair task reads the pairs of NSP.
    """

    def cell(seed: int, size: Size, work: Path) -> dict[str, Any]:
        tokenizer = start_tokenizer()
        model, _ = load(START, "masked-lm")
        examples = pairs_of(task or NSP, False, size.max_length)
        name = f"{task or 'none'}-{seed}"
        learned = MaskedWords(examples, tokenizer, weights=PAIR_WEIGHTS if task else None)
        if task:
            torch.manual_seed(seed)  # for the pair head
            model = PairPretraining(model, tokenizer.sep_id)
        pretrain(model, learned, size, seed, work / name, learning_rate=PAIR_RATE, bf16=has_bf16("cpu"))
        found = held_out_loss(model, tokenizer, size)
        for asked in PAIRS if task else ():
            found[f"{asked.lower()}_accuracy"] = pair_accuracy(model, pairs_of(asked, True, size.max_length), tokenizer)
        return found | fine_tuned(model, tokenizer, size, seed, work / f"{name}-tuned", PAIR_TUNE_RATE)

    return cell


def start_by_frequency(size: Size, work: Path) -> dict[str, float]:
    """The loss by word frequencies, with the vocabulary of START."""
    return {"by_frequency": round(loss_by_frequency(start_tokenizer(), size), 4)}


PAIRING = Experiment(
    "E4-pairs",
    {NO_PAIRS: pairing(None), NSP: pairing(NSP), SOP: pairing(SOP)},
    full=Size(texts=2000, epochs=2, steps=400, max_length=64, batch_size=32),
    quick=Size(texts=320, epochs=1, steps=10, test_texts=200, max_length=64, batch_size=32),
    seeds=SEEDS,
    more=start_by_frequency,
)
