"""Cutting a text into pieces with a SentencePiece model: made plain, the best path, unknown characters, commas.

Sources: Kudo and Richardson 2018 for SentencePiece; the released tokenization.py of ALBERT and prepro_utils.py of XLNet
for the cleaning that they put before it, and for commas after digits.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from functools import reduce
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from minibert.errors import MinibertError
from minibert.tokenizers import spiece
from minibert.tokenizers.base import Span
from minibert.tokenizers.spiece import BLANK, LongestMatch, Piece, PieceModel, Step, Traced
from minibert.tokenizers.unigram_model import BestPath, best_path, known_pieces
from minibert.words import counted

UNKNOWN_PENALTY = 10.0  # by which an unknown character's score is below that of the least probable piece
# Our setting -> its name in tokenizer_config.json.
CONFIG_NAMES = {"lowercase": "do_lower_case", "remove_space": "remove_space", "keep_accents": "keep_accents"}


class Found(NamedTuple):
    """A piece of a text: its id, how it is written, and the characters of the original text that it covers."""

    id: int
    text: str
    span: Span


class Quick(NamedTuple):
    """A chunk of text without blanks, cut by itself.

    ids: the result. path: the ids on the best path, which unknown characters that are joined, and commas that are cut
    off, make different from the result; None for a chunk that can only be cut together with its text. lead: as in
    BestPath. size: how many characters the best path goes over.
    """

    ids: tuple[int, ...]
    path: tuple[int, ...] | None
    lead: float
    size: int


class Cutter(ABC):
    """A vocabulary with scores, and how text is made plain and cut. Of special tokens it knows nothing.

    vocabulary: piece -> id. scores: of each id, as they are added up on a path. single_precision: whether sums are
    rounded to 32 bits, so that what comes before a word can decide between two ways that are nearly equal.
    cuts_at_blanks: whether no piece, no rule and no row of unknown characters reaches from one word into the next.
    kept_whole: pieces that are kept whole in a text, wherever they are, as special tokens are. takes_blanks: those of
    them to which the blanks before them belong.
    """

    vocabulary: dict[str, int]
    scores: list[float]
    single_precision: bool
    cuts_at_blanks: bool
    kept_whole: Sequence[str] = ()
    takes_blanks: Sequence[str] = ()

    @abstractmethod
    def cut(self, text: Traced) -> list[Found]:
        """The pieces of a text."""

    @abstractmethod
    def words(self, text: str) -> list[str]:
        """The text made plain, as words, each with the "▁" in front of it."""

    @abstractmethod
    def quick(self, chunk: str) -> Quick:
        """A chunk of text without blanks."""

    @abstractmethod
    def quick_after(self, chunk: str, before: float) -> Quick:
        """A chunk of text without blanks, where all pieces before it have a score of `before` together."""

    @abstractmethod
    def files(self) -> dict[str, str | bytes]:
        """The file that it is kept in: name -> content."""

    @property
    @abstractmethod
    def settings(self) -> dict[str, bool]:
        """Its settings by their names in a tokenizer_config.json."""


class SentencePieceCutter(Cutter):
    """A spiece.model, with the cleaning that ALBERT and XLNet put before it and their rule for commas after it.

    lowercase: for uncased vocabularies. remove_space: whatever str.split() takes for blanks becomes one blank.
    keep_accents: False decomposes characters (é is e and an accent, ² is 2) and drops combining marks.
    """

    single_precision = True

    def __init__(
        self, model: PieceModel, lowercase: bool = False, remove_space: bool = True, keep_accents: bool = False
    ):
        """Raises MinibertError if the model does not have one unknown piece, and ordinary ones."""
        self.model = model
        self.lowercase = lowercase
        self.remove_space = remove_space
        self.keep_accents = keep_accents
        self.vocabulary = model.vocabulary
        normal = [piece.score for piece in model.pieces if piece.kind == spiece.NORMAL]
        unknown = [number for number, piece in enumerate(model.pieces) if piece.kind == spiece.UNKNOWN]
        if len(unknown) != 1 or not normal:
            raise MinibertError(
                f"the model has {counted(len(unknown), 'piece')} of the kind 'unknown' and {len(normal)} of the "
                "ordinary kind, but must have one, and some; is it a whole spiece.model?"
            )
        self.unknown = unknown[0], single(min(normal) - UNKNOWN_PENALTY)
        self.scores = [self._score(piece) for piece in model.pieces]
        self.known = known_pieces(
            (piece.text, number, self.scores[number])
            for number, piece in enumerate(model.pieces)
            if piece.kind in (spiece.NORMAL, spiece.USER_DEFINED)
        )
        symbols = LongestMatch(piece.text for piece in model.pieces if piece.kind == spiece.USER_DEFINED)
        self._normalise = spiece.plain_sentence(model, symbols)
        self._steps: list[Step] = [spiece.strip, spiece.replace(r"\s+", " ")] if remove_space else []
        self._steps += [spiece.replace("``", '"'), spiece.replace("''", '"')]
        if not keep_accents:
            self._steps.append(spiece.each_character(spiece.without_accents, ascii_too=False))
        if lowercase:
            self._steps.append(spiece.lowercase)
        self._steps.append(self._normalise)
        self._ascii_stays = model.dummy_prefix and model.escape_blanks and model.rules.spare_ascii
        self.cuts_at_blanks = (
            bool(self.known.get(BLANK))
            and not any(BLANK in piece[1:] for piece in self.known)
            and not model.rules.have_blanks
        )

    def _score(self, piece: Piece) -> float:
        if piece.kind == spiece.USER_DEFINED:  # SentencePiece 0.2.3 prefers them: 0.1 for each byte but the first
            return single(0.1 * (len(piece.text.encode("utf-8")) - 1))
        return self.unknown[1] if piece.kind == spiece.UNKNOWN else piece.score

    def cut(self, text: Traced) -> list[Found]:
        sentence = done(self._steps, text)
        return self._finished(sentence, best_path(sentence.text, self.known, self.unknown, precision="f"))

    def words(self, text: str) -> list[str]:
        return re.findall(f"{BLANK}[^{BLANK}]*|[^{BLANK}]+", done(self._steps, Traced.of(text)).text)

    def _finished(self, sentence: Traced, path: BestPath, commas: bool = True) -> list[Found]:
        """The pieces on the best path, unknown characters side by side joined, and commas after digits cut off."""
        found = []
        for number, start, end in joined_unknowns(path, self.unknown[0]):
            part = sentence.part(start, end)
            if commas and _ends_in_digit_and_comma(part.text):
                found += self._without_comma(part)
            else:
                found.append(Found(number, part.text, covered(sentence, start, end)))
        return found

    def _without_comma(self, part: Traced) -> list[Found]:
        """A piece such as "▁9," as "▁9" and ",": its front is cut again, so that numbers look alike before a comma.

        The front is cut as a text of its own, which gets a "▁"; if the piece has none, it is taken away again, even
        where this leaves something that is not in the vocabulary.
        """
        kept = [at for at, character in enumerate(part.text[:-1]) if character != BLANK]
        front = Traced("".join(part.text[at] for at in kept), [part.spans[at] for at in kept])
        sentence = self._normalise(front)
        path = best_path(sentence.text, self.known, self.unknown, precision="f")
        found = self._finished(sentence, path, commas=False)
        if found and found[0].text[0] == BLANK and part.text[0] != BLANK:
            rest = found[0].text[1:]
            found[:1] = [self._named(rest, found[0].span)] if rest else []
        return [*found, self._named(",", part.spans[-1])]

    def _named(self, text: str, span: Span) -> Found:
        return Found(self.vocabulary.get(text, self.unknown[0]), text, span)

    def quick(self, chunk: str) -> Quick:
        if self._ascii_stays and chunk.isascii() and chunk.isprintable() and "``" not in chunk and "''" not in chunk:
            text = BLANK + (chunk.lower() if self.lowercase else chunk) if chunk else ""
        else:
            text = done(self._steps, Traced.of(chunk)).text
        path = best_path(text, self.known, self.unknown)
        unknown = self.unknown[0]
        if unknown in path.ids or ("," in text and any(map(_ends_in_digit_and_comma, _parts(text, path)))):
            return self._quick(done(self._steps, Traced.of(chunk)), path)
        ids = tuple(path.ids)
        return Quick(ids, ids, path.lead, len(text))

    def quick_after(self, chunk: str, before: float) -> Quick:
        sentence = done(self._steps, Traced.of(chunk))
        return self._quick(sentence, best_path(sentence.text, self.known, self.unknown, before, "f"))

    def _quick(self, sentence: Traced, path: BestPath) -> Quick:
        ids = tuple(piece.id for piece in self._finished(sentence, path))
        return Quick(ids, tuple(path.ids), path.lead, len(sentence.text))

    def files(self) -> dict[str, str | bytes]:
        return {"spiece.model": self.model.to_bytes()}

    @property
    def settings(self) -> dict[str, bool]:
        return {theirs: getattr(self, ours) for ours, theirs in CONFIG_NAMES.items()}

    def __reduce__(self) -> tuple[Any, ...]:
        return SentencePieceCutter, (self.model, self.lowercase, self.remove_space, self.keep_accents)


def single(number: float) -> float:
    """Rounded to 32 bits."""
    return float(np.float32(number))


def done(steps: Iterable[Step], text: Traced) -> Traced:
    return reduce(lambda traced, step: step(traced), steps, text)


def joined_unknowns(path: BestPath, unknown_id: int) -> Iterator[tuple[int, int, int]]:
    """(id, start, end) of the pieces on a path, where unknown characters side by side are one."""
    start = 0
    for at, (number, end) in enumerate(zip(path.ids, path.ends, strict=True)):
        if number == unknown_id and path.ids[at + 1 : at + 2] == [unknown_id]:
            continue
        yield number, start, end
        start = end


def _parts(text: str, path: BestPath) -> Iterator[str]:
    return (text[start:end] for start, end in pairwise([0, *path.ends]))


def _ends_in_digit_and_comma(piece: str) -> bool:
    return len(piece) > 1 and piece[-1] == "," and piece[-2].isdigit()


def covered(sentence: Traced, start: int, end: int) -> Span:
    """The characters that a piece comes from. A "▁" has none of its own: alone, it gets the first of its word."""
    first, last = sentence.spans[start][0], sentence.spans[end - 1][1]
    if first == last and end < len(sentence.spans):
        last = sentence.spans[end][1]
    return first, last
