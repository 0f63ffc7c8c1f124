"""From token ids to the rows of a batch. The tokenizer adds special tokens, padding and token types."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from minibert.errors import MinibertError
from minibert.tokenizers.base import Row, Tokenizer
from minibert.training.loop import Batch
from minibert.words import counted


@dataclass(frozen=True)
class Example:
    """One row of a batch before padding. label: a class number, or how two sentences are related."""

    ids: list[int]
    type_ids: list[int]
    label: int = 0


def single(ids: Sequence[int], tokenizer: Tokenizer, max_length: int, label: int = 0) -> Example:
    """One text with its special tokens, as [CLS] text [SEP], truncated to max_length tokens."""
    return Example(*tokenizer.assemble(ids, max_length=max_length), label)


def pair(first: Sequence[int], second: Sequence[int], tokenizer: Tokenizer, label: int = 0) -> Example:
    """Two segments with their special tokens, as [CLS] first [SEP] second [SEP]; nothing is truncated."""
    return Example(*tokenizer.assemble(first, second), label)


def padded(examples: Sequence[Example], tokenizer: Tokenizer) -> Batch:
    """Examples as tensors: input_ids, attention_mask, token_type_ids (B, S), and classes (B,)."""
    batch = tokenizer.batch([Row(example.ids, example.type_ids) for example in examples])
    return {**batch, "classes": torch.tensor([example.label for example in examples])}


def check_words(examples: Sequence[Example], tokenizer: Tokenizer) -> None:
    """Raise a MinibertError if there is no word to predict in any of the examples, as they hold special tokens only."""
    if examples and not any(number not in tokenizer.special_ids for example in examples for number in example.ids):
        raise MinibertError(
            f"there is no word to predict in {counted(len(examples), 'text')}: each is empty, or has only words that "
            "the vocabulary does not know; give other texts, or the vocabulary that belongs to them."
        )


def inputs(batch: Batch) -> dict[str, Tensor]:
    """The part of a batch that goes into a model."""
    return {name: batch[name] for name in ("input_ids", "attention_mask", "token_type_ids")}
