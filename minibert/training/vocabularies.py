"""The vocabulary of a model that has none yet: a published one where this package has it, or learned from the texts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

from minibert.tokenizers import ByteBPE, Tokenizer, WordPiece, XLNetUnigram
from minibert.training.choices import VOCAB_SIZE

SAMPLE = 2000  # texts that one is learned from, at most: more of them take longer and change little


class Kind(NamedTuple):
    """learn: makes a tokenizer of at most so many tokens from texts. published: an asset with a vocabulary of this kind
    that is read when none is asked for, or None where one is learned."""

    learn: Callable[[Sequence[str], int], Tokenizer]
    published: str | None = None


# A sentence is often read by itself, so its first word shall be the same token as inside a text: hence the blank.
KINDS = {
    "wordpiece": Kind(WordPiece.train, "minilm-l6"),
    "byte-bpe": Kind(partial(ByteBPE.train, add_prefix_space=True)),
    "xlnet-unigram": Kind(XLNetUnigram.train),
}


def learned(kind: str, texts: Sequence[str], size: int = VOCAB_SIZE) -> Tokenizer:
    """A vocabulary of that kind (a key of KINDS) with at most `size` tokens, learned from the first SAMPLE texts.

    The same texts give the same vocabulary. Raises MinibertError where `size` is too small for the characters.
    """
    return KINDS[kind].learn(texts[:SAMPLE], size)
