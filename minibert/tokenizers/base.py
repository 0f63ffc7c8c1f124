"""What the tokenizers of the whole family share: everything around cutting a text into pieces.

A family says how a text is cut (``pieces``, and ``ids``, which is faster), where the special tokens go (``template``,
``pair_template``), on which side a batch is padded, which tokens continue a word (``continues``), how pieces become
text again (``join``) and which files it is stored in (``files``). This file does the rest: encoding with offsets,
truncation, padded batches and decoding. Other code asks the tokenizer for anything that depends on it.
"""

from __future__ import annotations

import operator
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor

from minibert.errors import MinibertError
from minibert.files import write_files
from minibert.words import counted, type_of

FIRST, SECOND = 0, 1  # the two texts of a pair

Span = tuple[int, int]  # characters text[start:end]
Template = tuple[tuple[str | int, int], ...]  # (a special token, or FIRST or SECOND; its token type), in order
Item = TypeVar("Item")


@dataclass(frozen=True)
class SpecialTokens:
    """The tokens that stand for no text: padding, unknown, start, separator, mask."""

    pad: str
    unk: str
    cls: str
    sep: str
    mask: str

    def all(self) -> tuple[str, ...]:
        return (self.pad, self.unk, self.cls, self.sep, self.mask)


class Row(NamedTuple):
    """One row of a batch, before padding: token ids and their token types, both S long."""

    ids: list[int]
    type_ids: list[int]


@dataclass(frozen=True)
class Encoding:
    """One text, or a pair, as tokens; all lists have one entry per token.

    ids: row numbers of the embedding table. type_ids: the token types (segments A and B).
    tokens: the pieces as the vocabulary writes them. sequence_ids: which text a token comes from: 0 the first,
    1 the second, None for the special tokens that were put around them.
    offsets: (start, end), so that text[start:end] is what the token covers in the original, uncleaned text that
    sequence_ids points to; (0, 0) where sequence_ids is None.
    """

    ids: list[int]
    type_ids: list[int]
    tokens: list[str]
    sequence_ids: list[int | None]
    offsets: list[Span]


class Tokenizer(ABC):
    """A vocabulary, and the way from text to its numbers and back.

    vocabulary: token -> id. tokens: id -> token. special: the special tokens' names; their ids are pad_id, unk_id,
    cls_id, sep_id and mask_id, and special_ids has all five.

    template, pair_template: where the special tokens go around one text, or two. pad_left: True if the padding goes
    before the texts instead of after them. pad_type_id: the token type of padding.
    """

    special: ClassVar[SpecialTokens]
    template: ClassVar[Template]
    pair_template: ClassVar[Template]
    pad_left: ClassVar[bool] = False
    pad_type_id: ClassVar[int] = 0

    def __init__(self, vocabulary: Mapping[str, int]):
        """vocabulary: token -> id, the ids being 0 ... V-1. Raises MinibertError if it is not, or a special
        token is missing."""
        numbers = vocabulary.values()
        if not all(isinstance(i, int) for i in numbers) or set(numbers) != set(range(len(vocabulary))):
            raise MinibertError(
                f"the vocabulary's ids must be 0 to {len(vocabulary) - 1}, each once; renumber its tokens."
            )
        missing = [token for token in self.special.all() if token not in vocabulary]
        if missing:
            raise MinibertError(
                f"the vocabulary ({counted(len(vocabulary), 'token')}) lacks {', '.join(missing)}; "
                f"{type(self).__name__} needs {', '.join(self.special.all())}: is it another family's vocabulary?"
            )
        self.vocabulary = dict(vocabulary)
        self.tokens = sorted(self.vocabulary, key=self.vocabulary.__getitem__)
        self.pad_id, self.unk_id, self.cls_id, self.sep_id, self.mask_id = (
            self.vocabulary[token] for token in self.special.all()
        )
        self.special_ids = frozenset(self.vocabulary[token] for token in self.special.all())

    @property
    def vocab_size(self) -> int:
        """V, the number of tokens."""
        return len(self.tokens)

    # ------------------------------------------------------------------------- what each family writes

    @abstractmethod
    def pieces(self, text: str) -> list[tuple[int, Span]]:
        """The text's tokens as (id, span in the text), without special tokens around them."""

    @abstractmethod
    def ids(self, text: str) -> list[int]:
        """The ids of ``pieces(text)``, as fast as the family can."""

    @abstractmethod
    def join(self, tokens: Sequence[str]) -> str:
        """Tokens as readable text."""

    @abstractmethod
    def continues(self, token: str) -> bool:
        """Whether a token of the vocabulary continues the word of the token before it."""

    @classmethod
    @abstractmethod
    def is_in(cls, folder: Path) -> bool:
        """Whether a checkpoint folder holds a tokenizer of this family."""

    @classmethod
    @abstractmethod
    def from_folder(cls, folder: str | Path) -> Tokenizer:
        """Read the tokenizer of a checkpoint folder. Raises MinibertError if it cannot be read."""

    @abstractmethod
    def files(self) -> Mapping[str, str | bytes]:
        """The files that the ecosystem reads this tokenizer from: name -> content. Raises MinibertError if a token
        cannot be written down."""

    def check_folder(self, folder: str | Path) -> None:
        """Raise a MinibertError if a folder holds another tokenizer that readers would prefer to this one."""
        if (Path(folder) / "tokenizer.json").exists():
            raise MinibertError(
                f"{folder} has a tokenizer.json, which other libraries prefer to these files; "
                "save to another folder, or remove that file first."
            )

    def save(self, folder: str | Path) -> None:
        """Write the files that the ecosystem reads this tokenizer from, all or none.

        Raises MinibertError if the folder cannot be written to, if it holds a tokenizer that readers would prefer, or
        if a token cannot be written down.
        """
        self.check_folder(folder)
        write_files(folder, self.files())

    # --------------------------------------------------------------------------------- text to numbers

    def encode(self, text: str, pair: str | None = None, max_length: int | None = None) -> Encoding:
        """One text, or two, with special tokens around them and the place of each token in the text.

        max_length: the most tokens to keep, including special tokens. In a pair, the longer text is truncated first,
        until both are equally long. If the room for the two is odd, the longer text keeps one more token (the second
        text, if both are equally long).
        Raises MinibertError if a text is not a str, or max_length leaves no room for the special tokens.
        """
        texts = [check_text(text, "the text")]
        if pair is not None:
            texts.append(check_text(pair, "the pair's second text"))
        template, room = self._template_and_room(len(texts), max_length)
        nowhere = {token: (self.vocabulary[token], (0, 0)) for token in self.special.all()}
        row, type_ids, sequence_ids = _lay_out([self.pieces(text) for text in texts], nowhere, template, room)
        ids = [piece_id for piece_id, _ in row]
        offsets = [span for _, span in row]
        return Encoding(ids, type_ids, [self.tokens[i] for i in ids], sequence_ids, offsets)

    def __call__(
        self,
        texts: str | Iterable[str],
        pairs: str | Iterable[str] | None = None,
        max_length: int | None = None,
    ) -> dict[str, Tensor]:
        """A batch as a model takes it: {"input_ids", "attention_mask", "token_type_ids"}, each (B, S) int64.

        S is the longest row's length; shorter rows are filled with [PAD], where attention_mask is 0. A single str is
        a batch of one. pairs: the second texts, as many as texts. max_length: as in ``encode``.
        Raises MinibertError for an empty batch, for different numbers of texts and pairs, and wherever ``encode`` does.
        """
        columns = [as_batch(texts, "texts")]
        if pairs is not None:
            columns.append(as_batch(pairs, "pairs"))
            if len(columns[0]) != len(columns[1]):
                raise MinibertError(
                    f"there are {counted(len(columns[0]), 'text')} but {counted(len(columns[1]), 'second text')} "
                    "(pairs); each text needs its own second text."
                )
        if not columns[0]:
            raise MinibertError("there are no texts in the batch; give at least one.")
        rows = [[self.ids(text) for text in row] for row in zip(*columns, strict=True)]
        return self.batch([self.assemble(row[0], row[1] if pairs is not None else None, max_length) for row in rows])

    def assemble(self, first: Sequence[int], second: Sequence[int] | None = None, max_length: int | None = None) -> Row:
        """One text's token ids, or a pair's, truncated and with the special tokens around them.

        max_length: as in ``encode``, which gives the same ids and type_ids.
        """
        texts = [first] if second is None else [first, second]
        template, room = self._template_and_room(len(texts), max_length)
        ids, type_ids, _ = _lay_out(texts, self.vocabulary, template, room)
        return Row(ids, type_ids)

    def num_special(self, pair: bool = False) -> int:
        """How many special tokens go around one text, or around a pair."""
        return sum(isinstance(slot, str) for slot, _ in (self.pair_template if pair else self.template))

    def batch(self, rows: Sequence[Row]) -> dict[str, Tensor]:
        """Rows padded to one length: {"input_ids", "attention_mask", "token_type_ids"}, each (B, S) int64."""
        return {
            "input_ids": self._pad([row.ids for row in rows], self.pad_id),
            "attention_mask": self._pad([[1] * len(row.ids) for row in rows], 0),
            "token_type_ids": self._pad([row.type_ids for row in rows], self.pad_type_id),
        }

    def _template_and_room(self, texts: int, max_length: int | None) -> tuple[Template, int | None]:
        """Where the special tokens go, and how many pieces fit between them (None: any number)."""
        template = self.template if texts == 1 else self.pair_template
        if max_length is None:
            return template, None
        around = [slot for slot, _ in template if isinstance(slot, str)]
        if not isinstance(max_length, (int, np.integer)) or max_length < len(around):
            raise MinibertError(
                f"max_length is {max_length!r}, but the special tokens {' '.join(around)} alone take "
                f"{len(around)}; it must be an integer, at least {len(around)}."
            )
        return template, int(max_length) - len(around)

    def _pad(self, rows: Sequence[Sequence[int]], value: int) -> Tensor:
        """Rows of different lengths as one (B, S) tensor, filled with `value` on the side that the family pads."""
        padded = np.full((len(rows), max(map(len, rows))), value, dtype=np.int64)
        for filled, row in zip(padded, rows, strict=True):
            if self.pad_left:
                filled[len(filled) - len(row) :] = row
            else:
                filled[: len(row)] = row
        return torch.from_numpy(padded)

    # --------------------------------------------------------------------------------- numbers to text

    def decode(self, ids: Sequence[int] | Tensor, skip_special: bool = True) -> str:
        """The text of one row of ids, (S,). What cleaning removed (case, accents, spacing) does not come back.

        skip_special: leave out [CLS], [PAD] and the like. Raises MinibertError for an id that is not an integer
        from 0 to V-1, or for more than one row.
        """
        numbers = [self._check_id(i, at) for at, i in enumerate(_as_row(ids))]
        shown = [i for i in numbers if not (skip_special and i in self.special_ids)]
        return self.join([self.tokens[i] for i in shown])

    def _check_id(self, i: Any, at: int) -> int:
        try:
            number = operator.index(i)
        except TypeError:
            raise MinibertError(f"decode takes one row of integers, but has {type_of(i)} at position {at}.") from None
        if not 0 <= number < self.vocab_size:
            raise MinibertError(
                f"id {number} at position {at} is outside the vocabulary, whose ids run from 0 to "
                f"{self.vocab_size - 1}; were these ids made with another tokenizer?"
            )
        return number


# ------------------------------------------------------------------------------------------ the quick way


class IdCache(dict):
    """A stretch of text -> its ids, computed when first asked for.

    Bounded, so that it cannot fill the memory: long stretches are not kept (they seldom occur twice), and a full cache
    is emptied, which costs little because common words are soon back.
    """

    MAX_ENTRIES = 2**19
    MAX_LENGTH = 32  # characters

    def __init__(self, compute: Callable[[str], Iterable[int]]):
        super().__init__()
        self._compute = compute

    def __missing__(self, text: str) -> tuple[int, ...]:
        ids = tuple(self._compute(text))
        if len(text) <= self.MAX_LENGTH:
            if len(self) >= self.MAX_ENTRIES:
                self.clear()
            self[text] = ids
        return ids


# -------------------------------------------------------------------------- special tokens and truncation


def _lay_out(
    texts: Sequence[Sequence[Item]], special: Mapping[str, Item], template: Template, room: int | None
) -> tuple[list[Item], list[int], list[int | None]]:
    """Texts truncated to the room and placed between the special tokens: items, type ids, sequence ids, all (S,)."""
    kept = _longest_first([len(text) for text in texts], room)
    items: list[Item] = []
    type_ids: list[int] = []
    sequence_ids: list[int | None] = []
    for slot, type_id in template:
        if isinstance(slot, str):
            placed: Sequence[Item] = [special[slot]]
            source = None
        else:
            placed, source = texts[slot][: kept[slot]], slot
        items += placed
        type_ids += [type_id] * len(placed)
        sequence_ids += [source] * len(placed)
    return items, type_ids, sequence_ids


def _longest_first(lengths: list[int], room: int | None) -> list[int]:
    """How many pieces of each text are kept when there is room for ``room``; see Tokenizer.encode."""
    if room is None or sum(lengths) <= room:
        return lengths
    if len(lengths) == 1:
        return [room]
    first, second = lengths
    shorter = min(first, second, room // 2)
    return [room - shorter, shorter] if first > second else [shorter, room - shorter]


# ----------------------------------------------------------------------------------------- checking input


def as_batch(texts: Any, name: str) -> list[str]:
    if isinstance(texts, (str, bytes)) or not isinstance(texts, Iterable):
        return [check_text(texts, name)]
    return [check_text(text, f"{name}[{number}]") for number, text in enumerate(texts)]


def check_number(number: Any, name: str) -> int:
    """A count, at least 1, as an int. Raises MinibertError for anything else."""
    if isinstance(number, bool) or not isinstance(number, (int, np.integer)) or number < 1:
        raise MinibertError(f"{name} is {number!r}; it must be an integer, at least 1.")
    return int(number)


def check_text(text: Any, name: str) -> str:
    if isinstance(text, str):
        return text
    if isinstance(text, bytes):
        advice = "decode it first: text.decode('utf-8')"
    elif text is None or (isinstance(text, (float, np.floating)) and np.isnan(text)):
        advice = "an empty cell of a table often reads as nan or None: drop it, or put '' in its place"
    elif isinstance(text, (list, tuple)) and all(isinstance(one, str) for one in text):
        pair = (
            "two texts that belong together are given as tok.encode(first, second), many pairs as tok(firsts, seconds)"
        )
        advice = pair if len(text) == 2 else "tok(texts) takes one list of texts, and tok.encode(text) one text"
    elif isinstance(text, Integral) or hasattr(text, "tolist"):
        advice = "give text: str(number), or tok.decode(ids) for the ids of tokens"
    else:
        advice = "give a text, or a list of texts"
    raise MinibertError(f"{name} is {repr(text)[:40]}, {type_of(text)}, but must be a str; {advice}.")


def _as_row(ids: Any) -> list[Any]:
    row = ids.tolist() if hasattr(ids, "tolist") else ids  # a tensor or an array
    if isinstance(row, str) or not isinstance(row, Iterable):
        raise MinibertError(f"decode takes one row of ids, not {repr(ids)[:40]}, {type_of(ids)}.")
    return list(row)
