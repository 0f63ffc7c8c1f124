"""Pre-training from random weights: a vocabulary, texts, a small model, and the training itself.

The setting is one in which a model of four blocks learns to read in three minutes on one core: 4.43 nats on held-out
texts, where word frequencies give 6.21 and copying 5.73 (see reading.py). What it takes, as tried with one seed:

- Short rows first. A word is guessed from its neighbours, and among 30 words it takes long to find out which ones
  matter: with rows of 32 tokens from the start, the loss was still 5.72 after 2,000 steps. After as long on rows of 8
  words, long rows are understood within a few hundred steps. (BERT, too, read short rows for nine tenths of its steps:
  Devlin et al. 2019, appendix A.2.)
- A learning rate of 1e-3. With 2e-3 one block reads, but four blocks do not get far beyond copying.
- Weights that are larger at the start than BERT's, but not by much: with a deviation of 0.03 or 0.07 instead of 0.05 it
  takes more steps.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import nn

from minibert.checkpoints import from_pretrained, save_pretrained
from minibert.experiments.finetuning import classify
from minibert.experiments.grid import Size, once
from minibert.factory import build
from minibert.heads import MeanPooled, WithHead
from minibert.models.bert import BertConfig
from minibert.tokenizers.base import Tokenizer
from minibert.tokenizers.wordpiece import WordPiece
from minibert.training.batching import Example, single
from minibert.training.data import load_reviews
from minibert.training.loop import Settings, train
from minibert.training.tasks import MaskedWords, held_out_losses

VOCABULARY_SIZE = 1500
LAYERS, WIDTH = 4, 128
SPREAD = 0.05  # standard deviation of the weights at the start
PRETRAIN_RATE, TUNE_RATE = 1e-3, 5e-4
TEXTS, HELD_OUT = 6000, 200  # reviews
FEWEST_TOKENS = 8  # a row with no more tokens than this, special tokens included, is left out
SEEDS = (0, 1, 2, 3, 4)
FIRST_SEEDS = SEEDS[:3]  # of the grids from random weights, where one seed of all variants takes an hour or more

# The start: rows of so many tokens, so many in a batch, and how many steps for each step that follows.
SHORT_LENGTH, SHORT_ROWS, SHORT_SHARE = 10, 50, 1.1
SHORT_TEXTS = 2200  # reviews that are not among TEXTS

# How much is read, and what the models are then fine-tuned and tested on.
FULL = Size(texts=2000, epochs=2, steps=2000, max_length=32, batch_size=32)
QUICK = Size(texts=320, epochs=1, steps=20, test_texts=300, max_length=32, batch_size=32)

# ------------------------------------------------------------------------------------------- what is read


@cache
def own_tokenizer(work: Path) -> WordPiece:
    """A small WordPiece vocabulary learned from the reviews, kept in the work folder."""
    folder = work / "vocabulary"
    if not (folder / "vocab.txt").exists():
        texts = [review.text for review in load_reviews("rotten-tomatoes").train]
        texts += [review.text for review in load_reviews("imdb").train[:4000]]
        folder.mkdir(parents=True, exist_ok=True)
        WordPiece.train(texts, VOCABULARY_SIZE).save(folder)
    return WordPiece.from_folder(folder)


@cache
def unlabelled(held_out: bool, count: int) -> tuple[str, ...]:
    """Whole IMDB reviews to pre-train on, or to hold out."""
    reviews = load_reviews("imdb")
    return tuple(review.text for review in (reviews.validation if held_out else reviews.train)[:count])


def rows_of(texts: Sequence[str], tokenizer: Tokenizer, size: Size) -> list[Example]:
    """Texts cut into rows of max_length tokens, one after another."""
    room = size.max_length - 2
    rows = []
    for text in texts:
        ids = tokenizer.ids(text)
        rows += [single(ids[i : i + room], tokenizer, size.max_length) for i in range(0, len(ids), room)]
    return [row for row in rows if len(row.ids) > FEWEST_TOKENS]


@cache
def rows_to_read(tokenizer: Tokenizer, size: Size) -> list[Example]:
    """The rows of all TEXTS. They are the same for all cells, so each process makes them once."""
    return rows_of(unlabelled(False, TEXTS), tokenizer, size)


@cache
def short_task(tokenizer: Tokenizer) -> MaskedWords:
    """What training begins with: masked words in short rows, of other texts than those that follow."""
    size = Size(texts=0, epochs=0, max_length=SHORT_LENGTH)
    return MaskedWords(rows_of(unlabelled(False, TEXTS + SHORT_TEXTS)[TEXTS:], tokenizer, size), tokenizer)


@cache
def held_out_words(tokenizer: Tokenizer, size: Size) -> MaskedWords:
    """The task on the texts that are held out: the same words for all models with this tokenizer and row length."""
    return MaskedWords(rows_of(unlabelled(True, HELD_OUT), tokenizer, size), tokenizer)


def masked_words(tokenizer: Tokenizer, size: Size) -> tuple[MaskedWords, MaskedWords]:
    """The task on the texts to train on, and on those held out."""
    return MaskedWords(rows_to_read(tokenizer, size), tokenizer), held_out_words(tokenizer, size)


@cache
def loss_by_frequency(tokenizer: Tokenizer, size: Size) -> float:
    """The held-out loss, in nats, of a model that knows how often each word occurs and never looks at the sentence."""
    around = (tokenizer.cls_id, tokenizer.sep_id)
    seen, asked = (
        Counter(i for row in rows for i in row.ids if i not in around)
        for rows in (rows_to_read(tokenizer, size), held_out_words(tokenizer, size).examples)
    )
    total = seen.total() + tokenizer.vocab_size  # one more of each; otherwise an unseen word would be impossible
    return sum(n * math.log(total / (seen[i] + 1)) for i, n in asked.items()) / asked.total()


def by_frequency(size: Size, work: Path) -> dict[str, float]:
    """The figure that all experiments with pre-training add: the loss to compare theirs with."""
    return {"by_frequency": round(loss_by_frequency(own_tokenizer(work), size), 4)}


# ------------------------------------------------------------------------------------------- what learns


def small(config: type[BertConfig] = BertConfig, **changes: Any) -> BertConfig:
    """The shape of all models that are pre-trained here. They see a row once or a few times: too rarely for dropout."""
    shape = {
        "vocab_size": VOCABULARY_SIZE,
        "hidden_size": WIDTH,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": 4,
        "intermediate_size": 512,
        "max_position_embeddings": 128,
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
        "initializer_range": SPREAD,
    }
    return config(**(shape | changes))


def pretrain(
    model: nn.Module,
    task: MaskedWords,
    size: Size,
    seed: int,
    folder: Path,
    steps: int | None = None,
    learning_rate: float = PRETRAIN_RATE,
    short: MaskedWords | None = None,
    bf16: bool = False,
) -> list[dict[str, Any]]:
    """Train on the task, by default for size.steps steps; returns the log.

    short: a task with short rows to begin with (see the top of this file), for SHORT_SHARE as many steps. bf16: with
    forward passes in bfloat16. For models as narrow as `small` that is slower, even on a processor that has
    instructions for it.
    """
    steps = steps or size.steps
    if short is not None:
        short_steps = max(1, round(SHORT_SHARE * steps))
        _learn(model, short, short_steps, SHORT_ROWS, seed, folder / "short", learning_rate, bf16)
    return _learn(model, task, steps, size.batch_size, seed, folder, learning_rate, bf16)


def _learn(
    model: nn.Module,
    task: MaskedWords,
    steps: int,
    rows: int,
    seed: int,
    folder: Path,
    learning_rate: float,
    bf16: bool = False,
) -> list[dict[str, Any]]:
    settings = Settings(
        steps=steps,
        batch_size=rows,
        learning_rate=learning_rate,
        betas=(0.9, 0.98),
        seed=seed,
        save_every=500,
        bf16=bf16,
    )
    return train(model, task, [len(e.ids) for e in task.examples], settings, folder, title=folder.name)


def started(size: Size, seed: int, work: Path) -> WithHead:
    """A BERT that has learned short rows and nothing else, with its masked-lm head. It is trained when it is first
    asked for, and kept: all experiments that change only what comes after it begin with the same one.
    """
    steps = max(1, round(SHORT_SHARE * size.steps))
    folder = work.parent / "started" / f"{steps}-{seed}"

    def make() -> None:
        tokenizer = own_tokenizer(work)
        model = build(small(vocab_size=tokenizer.vocab_size), "masked-lm", seed)
        _learn(model, short_task(tokenizer), steps, SHORT_ROWS, seed, folder, PRETRAIN_RATE)
        save_pretrained(folder, model)

    once(folder / "model.safetensors", make)
    return from_pretrained(folder, "masked-lm")


def held_out_loss(model: nn.Module, tokenizer: Tokenizer, size: Size) -> dict[str, float]:
    """The loss of a word that is masked in a held-out text, in nats; what Reading looks for in a cell."""
    return {"masked_lm": round(held_out_losses(model, held_out_words(tokenizer, size))["masked_lm"], 5)}


def fine_tuned(
    model: WithHead, tokenizer: Tokenizer, size: Size, seed: int, folder: Path, learning_rate: float = TUNE_RATE
) -> dict[str, Any]:
    """The accuracy of a pre-trained model's backbone after fine-tuning, which changes the model itself."""
    torch.manual_seed(seed)
    classifier = MeanPooled(model.backbone)
    return {"accuracy": classify(classifier, tokenizer, size, seed, folder, learning_rate)["accuracy"]}
