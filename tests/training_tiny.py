"""Tiny texts, their tokenizer and small models to train on, for the tests of the loop, the tasks and the runs."""

from __future__ import annotations

import random
import string
from dataclasses import replace

import torch
from tiny import CONFIGS, V
from torch import nn

from minibert.factory import build
from minibert.tokenizers import WordPiece
from minibert.training.batching import Example, single

TOKENIZER = WordPiece(
    {token: i for i, token in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *string.ascii_lowercase])}
)
assert TOKENIZER.vocab_size == V


def texts(number: int, seed: int = 0) -> list[Example]:
    """So many texts of one to seven letters, of either class; a letter is followed by the next one of the alphabet."""
    rng = random.Random(seed)
    found = []
    for _ in range(number):
        first, length = rng.randrange(26), rng.randint(1, 7)
        found.append(single([5 + (first + i) % 26 for i in range(length)], TOKENIZER, 9, label=first % 2))
    return found


def lengths_of(examples: list[Example]) -> list[int]:
    return [len(example.ids) for example in examples]


def small(
    head: str | None = "masked-lm", family: str = "bert", dropout: float = 0.0, seed: int = 0, **changes
) -> nn.Module:
    """A fresh tiny model in float32 with this dropout everywhere."""
    rates = {"hidden_dropout_prob": dropout, "attention_probs_dropout_prob": dropout}
    return build(replace(CONFIGS[family], **rates, **changes), head, seed)


def same_weights(model: nn.Module, other: nn.Module) -> bool:
    """Bit by bit."""
    ours, theirs = model.state_dict(), other.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)
