"""spiece.model: how SentencePiece keeps a vocabulary, and the rules by which it makes text plain.

The file is a protocol buffer: fields, each with a number and a value, and a value may again be fields. Of its many
fields four matter here: the pieces with their scores (log probabilities) and kinds, the table of character rules, and
three switches that say what happens to blanks.

The table of rules says that "ﬁ" becomes "fi", and a tab a blank. It is kept as a double-array trie: a tree over the
bytes of all left sides, folded into one row of 32-bit units. The child of a unit for the byte b is at the unit's own
number XOR its offset XOR b, and it is its child only if its label is b. If a left side ends at a unit, its child for
the byte 0 is a leaf: it holds where the right side begins in the bytes that follow the trie.

    a node    [ label 8 bits | does a left side end here? 1 | offset times 256? 1 | offset 22 ]    lowest bit first
    a leaf    [ value 31 bits | 1 ]

Read on in this order: PieceModel, CharacterMap, Traced and what is done to it.

Sources: Kudo and Richardson 2018, Section 3, and sentencepiece_model.proto; Yata's darts-clone for the trie.
"""

from __future__ import annotations

import dataclasses
import re
import struct
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np

from minibert.errors import MinibertError
from minibert.tokenizers.base import Span
from minibert.tokenizers.protobuf import Message, field

BLANK = "\u2581"  # "▁", which stands for a blank, so that pieces with blanks can be seen
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)  # the kinds of pieces
UNIGRAM = 1  # the kind of model, of which SentencePiece has four


class Piece(NamedTuple):
    text: str
    score: float
    kind: int = NORMAL


# -------------------------------------------------------------------------------------- 1. the whole file


@dataclass(frozen=True)
class PieceModel:
    """What a spiece.model says.

    pieces: in the order of their ids. character_map: the rules as the file keeps them, b"" for none. dummy_prefix: a
    blank is put before the text, so that its first word looks like every other. join_blanks: blanks at the ends go,
    others become one. escape_blanks: a blank is written as "▁". source: the file itself, when it was read from one.
    """

    pieces: tuple[Piece, ...]
    character_map: bytes = b""
    dummy_prefix: bool = True
    join_blanks: bool = True
    escape_blanks: bool = True
    source: bytes | None = dataclasses.field(default=None, repr=False, compare=False)

    @cached_property
    def vocabulary(self) -> dict[str, int]:
        """Piece -> id. Raises MinibertError if a piece is listed twice."""
        vocabulary: dict[str, int] = {}
        for number, piece in enumerate(self.pieces):
            if vocabulary.setdefault(piece.text, number) != number:
                raise MinibertError(
                    f"the piece {piece.text!r} has two ids, {vocabulary[piece.text]} and {number}; a piece has one."
                )
        return vocabulary

    @cached_property
    def rules(self) -> CharacterMap:
        return CharacterMap(self.character_map)

    @classmethod
    def read(cls, path: str | Path) -> PieceModel:
        """Read a spiece.model.

        Raises MinibertError if it cannot be read or is damaged, and for a model of another kind than Unigram or one
        with settings that are not supported here (bytes for unknown characters, blanks after words).
        """
        path = Path(path)
        try:
            content = path.read_bytes()
        except OSError as error:
            raise MinibertError(f"{path} cannot be read ({error.strerror or error}): check the path.") from error
        try:
            return cls._parse(content)
        except (IndexError, struct.error, UnicodeDecodeError, TypeError, ValueError) as error:
            reason = f" ({error})" if isinstance(error, MinibertError) else ""
            raise MinibertError(
                f"{path} cannot be read as a SentencePiece model{reason}: was its download or its writing interrupted?"
                if not isinstance(error, _NotSupported)
                else f"{path} {error}"
            ) from error

    @classmethod
    def _parse(cls, content: bytes) -> PieceModel:
        model = Message(content)
        trainer, normalizer = Message(model.last(2, b"")), Message(model.last(3, b""))
        if trainer.last(3, UNIGRAM) != UNIGRAM:
            kind = {2: "BPE", 3: "words", 4: "characters"}.get(trainer.last(3, 0), "another kind")
            raise _NotSupported(f"is a SentencePiece model of {kind}; only Unigram is read here.")
        if trainer.last(35, 0) or trainer.last(24, 0):
            what = "bytes for unknown characters" if trainer.last(35, 0) else "blanks after words, not before"
            raise _NotSupported(f"has {what} switched on, which ALBERT and XLNet do not have: it is not read here.")
        pieces = []
        for part in model.all(1):
            fields = Message(part)
            (score,) = struct.unpack("<f", fields.last(2, bytes(4)))
            pieces.append(Piece(fields.last(1, b"").decode("utf-8"), score, fields.last(3, NORMAL)))
        if not pieces:
            raise MinibertError("it holds no pieces")
        read = cls(
            tuple(pieces),
            normalizer.last(2, b""),
            bool(normalizer.last(3, 1)),
            bool(normalizer.last(4, 1)),
            bool(normalizer.last(5, 1)),
            content,
        )
        _ = read.vocabulary, read.rules  # damage is reported now, not later
        return read

    def to_bytes(self) -> bytes:
        """The file: as it was read, byte for byte, or a new one that the sentencepiece library reads."""
        if self.source is not None:
            return self.source
        content = b""
        parts = [field(1, _piece_fields(piece)) for piece in self.pieces]
        named = {piece.text: number for number, piece in enumerate(self.pieces)}
        unknown = next((number for number, piece in enumerate(self.pieces) if piece.kind == UNKNOWN), 0)
        trainer = field(3, UNIGRAM) + field(4, len(self.pieces)) + field(40, unknown)
        for number, name in ((41, "<s>"), (42, "</s>"), (43, "<pad>")):
            trainer += field(number, named.get(name, -1))
        normalizer = field(1, b"minibert") + field(2, self.character_map)
        for number, switch in ((3, self.dummy_prefix), (4, self.join_blanks), (5, self.escape_blanks)):
            normalizer += field(number, int(switch))
        return content.join(parts) + field(2, trainer) + field(3, normalizer)


class _NotSupported(MinibertError):
    """The file is whole, but says something that is not supported."""


def _piece_fields(piece: Piece) -> bytes:
    kind = b"" if piece.kind == NORMAL else field(3, piece.kind)
    return field(1, piece.text.encode("utf-8")) + field(2, float(piece.score)) + kind


# ---------------------------------------------------------------------------------- 2. rules for characters

LEAF = 1 << 31


class CharacterMap:
    """Rules "these characters become those", of which the longest that fits is used.

    blob: 4 bytes with the size of the trie, the trie, and all right sides, each with a zero byte after it; b"" for no
    rules. Raises MinibertError if the bytes are not that.
    """

    def __init__(self, blob: bytes = b""):
        self._begins: dict[str, bool] = {}  # whether a rule begins with a character; filled when it is first met
        self.units = [0]
        self.right_sides = b""
        if blob:
            size = int.from_bytes(blob[:4], "little")
            if size % 4 or not 4 <= size <= len(blob) - 5 or blob[-1]:
                raise MinibertError("its table of character rules is damaged")
            self.right_sides = blob[4 + size :]
            self.units = np.frombuffer(blob, dtype="<u4", count=size // 4, offset=4).tolist()
            leaves = [unit & ~LEAF for unit in self.units if unit & LEAF]
            if max(leaves, default=0) >= len(self.right_sides):
                raise MinibertError("its table of character rules is damaged")

    def match(self, text: str, at: int) -> tuple[str, int] | None:
        """The longest rule that fits at text[at:]: what the characters become, and how many they are."""
        first = text[at]
        begins = self._begins.get(first)
        if begins is None:
            begins = self._begins[first] = self._step(self._children(0), first) is not None
        if not begins:
            return None
        found = None
        place = self._children(0)
        for end in range(at, len(text)):
            node = self._step(place, text[end])
            if node is None:
                break
            place = self._children(node)
            if self.units[node] >> 8 & 1:
                found = self.units[place] & ~LEAF, end + 1 - at
        if found is None:
            return None
        start, length = found
        return self.right_sides[start : self.right_sides.index(b"\0", start)].decode("utf-8"), length

    @property
    def have_blanks(self) -> bool:
        """Whether a rule is about a blank together with other characters, or may be."""
        return any(unit & (LEAF | 0xFF) == ord(" ") for unit in self.units)

    @property
    def spare_ascii(self) -> bool:
        """Whether visible ASCII characters always stay as they are, as long as there are no others beside them."""
        visible = [chr(code) for code in range(33, 127)]
        nodes = [self._step(self._children(0), character) for character in visible]
        reached = [node for node in nodes if node is not None]
        return not any(
            self.units[node] >> 8 & 1 or self._step(self._children(node), character) is not None
            for node in reached
            for character in visible
        )

    def _children(self, node: int) -> int:
        """Where the children of a node begin: the offset has 22 bits, eight bits further up if the scale bit is set."""
        unit = self.units[node]
        return node ^ (unit >> 10) << ((unit & 0x200) >> 6)

    def _step(self, place: int, character: str) -> int | None:
        """From the place of a node's children, the node that a character's bytes lead to."""
        node = None
        for byte in character.encode("utf-8", "surrogatepass"):
            if node is not None:
                place = self._children(node)
            node = place ^ byte
            if node >= len(self.units) or self.units[node] & (LEAF | 0xFF) != byte:
                return None
        return node


class LongestMatch:
    """A set of strings, of which the longest that a text has at some place is asked for."""

    def __init__(self, strings: Iterable[str]):
        self.strings = frozenset(strings)
        self.lengths: dict[str, list[int]] = {}  # first character -> the lengths to try, longest first
        for string in self.strings:
            self.lengths.setdefault(string[0], []).append(len(string))
        for first, lengths in self.lengths.items():
            self.lengths[first] = sorted(set(lengths), reverse=True)

    def match(self, text: str, at: int) -> int:
        """How many characters of text[at:] are the longest of the strings; 0 if none fits."""
        for length in self.lengths.get(text[at], ()):
            if text[at : at + length] in self.strings:
                return length
        return 0


# --------------------------------------------------------------------- 3. text that remembers where it was


class Traced(NamedTuple):
    """A text after some cleaning, and for each of its characters where in the original text it comes from."""

    text: str
    spans: Sequence[Span]

    @classmethod
    def of(cls, text: str, shift: int = 0) -> Traced:
        """A text as it is, which begins at character `shift` of a longer one."""
        return cls(text, [(at, at + 1) for at in range(shift, shift + len(text))])

    def part(self, start: int, end: int) -> Traced:
        return Traced(self.text[start:end], self.spans[start:end])


Step = Callable[[Traced], Traced]  # one thing that is done to a text


def replace(pattern: str, becomes: str) -> Step:
    """Every match of a regular expression becomes a fixed text, which is said to come from the match's last character.

    (So the library has it: of two ' that become one ", the second has the place.)
    """
    compiled = re.compile(pattern)

    def step(traced: Traced) -> Traced:
        text, spans = traced
        if not compiled.search(text):
            return traced
        parts: list[str] = []
        kept: list[Span] = []
        done = 0
        for match in compiled.finditer(text):
            start, end = match.span()
            parts += text[done:start], becomes
            kept += spans[done:start]
            kept += [spans[end - 1]] * len(becomes)
            done = end
        return Traced("".join(parts) + text[done:], kept + list(spans[done:]))

    return step


def each_character(becomes: Callable[[str], str], ascii_too: bool = True) -> Step:
    """Every character becomes none, one or several, whatever its neighbours are. ascii_too: False if ASCII stays."""

    def step(traced: Traced) -> Traced:
        if not ascii_too and traced.text.isascii():
            return traced
        parts = [becomes(character) for character in traced.text]
        spans = [span for part, span in zip(parts, traced.spans, strict=True) for _ in part]
        return Traced("".join(parts), spans)

    return step


def strip(traced: Traced) -> Traced:
    """Blanks at both ends go."""
    text = traced.text
    start = len(text) - len(text.lstrip())
    return traced.part(start, max(start, len(text.rstrip())))


def lowercase(traced: Traced) -> Traced:
    """Lower case as str.lower() makes it, which knows that a Σ at the end of a word is written ς."""
    if traced.text.isascii():
        return Traced(traced.text.lower(), traced.spans)
    spans = [span for character, span in zip(*traced, strict=True) for _ in character.lower()]
    return Traced(traced.text.lower(), spans)


def without_accents(character: str) -> str:
    """Compatibility decomposition without combining marks: é is e, ﬁ is fi, ² is 2.

    Character by character is enough: as a whole, a text would differ in the order of its marks only, and they go.
    """
    return "".join(part for part in unicodedata.normalize("NFKD", character) if not unicodedata.combining(part))


JOINERS = "\u200c\u200d\uff9e\uff9f\u0e33\u0eb3"  # further characters that belong to the one before them


def cluster_by_cluster(rules: CharacterMap) -> Step:
    """Character rules as the tokenizers library applies them, which is not how SentencePiece does.

    A character with its marks, of less than six bytes together, is looked up as a whole: if a rule fits its beginning,
    the shortest such rule's right side takes the place of all of it. Else each character is looked up by itself.
    """

    def becomes(cluster: str) -> str | None:
        for end in range(1, len(cluster) + 1):
            found = rules.match(cluster[:end], 0)
            if found and found[1] == end:
                return found[0]
        return None

    has_rules = {character for character in map(chr, range(128)) if becomes(character) is not None} | {"\r"}

    def step(traced: Traced) -> Traced:
        if traced.text.isascii() and has_rules.isdisjoint(traced.text):
            return traced
        changes: list[tuple[str, int]] = []  # a character, and how many it is more than those that it is made from
        for start, end in _clusters(traced.text):
            cluster = traced.text[start:end]
            whole = becomes(cluster) if len(cluster.encode("utf-8", "surrogatepass")) < 6 else None
            for old in cluster if whole is None else (cluster,):
                new = becomes(old) if whole is None else whole
                _note_change(changes, old, old if new is None else new)
        return Traced("".join(character for character, _ in changes), list(_followed(traced.spans, changes)))

    return step


def _note_change(changes: list[tuple[str, int]], old: str, new: str) -> None:
    """`new` takes the place of `old`: its last characters are more (1), or its last one is less (-1, -2 ...)."""
    more = len(new) - len(old)
    changes += [(character, int(at >= len(old))) for at, character in enumerate(new)]
    if more < 0 and changes:
        character, change = changes[-1]
        changes[-1] = character, change + more


def _followed(spans: Sequence[Span], changes: Iterable[tuple[str, int]]) -> Iterator[Span]:
    """Where the characters come from, after changes as `_note_change` notes them.

    This is how the tokenizers library counts. If characters go at the very beginning of a text, there is no character
    that could be less for it, and all places are too far left from there on. The ids are right all the same.
    """
    at = 0
    for _, change in changes:
        if change > 0:
            yield spans[max(at - 1, 0)]
        else:
            yield spans[at]
            at += 1 - change


def _clusters(text: str) -> Iterator[Span]:
    """What a reader takes for one character: one with the marks after it (nearly as Unicode's Annex 29 has it)."""
    start = 0
    for at in range(1, len(text) + 1):
        if at < len(text):
            before, character = text[at - 1], text[at]
            if before + character == "\r\n":
                continue
            is_control = unicodedata.category(before) in ("Cc", "Cf", "Zl", "Zp") and before not in JOINERS
            if (character in JOINERS or unicodedata.category(character)[0] == "M") and not is_control:
                continue
        if at > start:
            yield start, at
            start = at


def plain_sentence(model: PieceModel, symbols: LongestMatch) -> Step:
    """SentencePiece's own normalisation: character rules, blanks, and "▁" in front.

    symbols: user-defined pieces, which are kept as they are. A "▁" that stands for a blank gets an empty span, where
    the next character begins.
    """
    mark = BLANK if model.escape_blanks else " "

    def step(traced: Traced) -> Traced:
        text, spans = traced
        characters = [mark] if text and model.dummy_prefix else []
        kept: list[Span | None] = [None] * len(characters)
        after_blank = True
        at = 0
        while at < len(text):
            length = symbols.match(text, at)
            becomes = text[at : at + length]
            if not length:
                becomes, length = model.rules.match(text, at) or (text[at], 1)
            if after_blank and model.join_blanks:
                becomes = becomes.lstrip(" ")
            span = spans[at][0], spans[at + length - 1][1]
            for character in becomes:
                is_blank = character == " "
                characters.append(mark if is_blank else character)
                kept.append(None if is_blank else span)
            if becomes:
                after_blank = becomes[-1] == " "
            at += length
        if model.join_blanks:
            while characters and characters[-1] == mark:
                characters.pop()
        filled: list[Span] = []
        following = spans[-1][1] if text else 0
        for span_or_blank in reversed(kept[: len(characters)]):
            filled.append(span_or_blank or (following, following))
            following = filled[-1][0]
        return Traced("".join(characters), filled[::-1])

    return step
