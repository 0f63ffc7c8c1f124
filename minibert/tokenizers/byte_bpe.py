"""Byte-level BPE: how RoBERTa and BART read any text at all, with nothing ever unknown.

Any text is a row of bytes (UTF-8), and there are only 256 of them. So 256 pieces can spell everything, and a list of
merges, in the order in which they were learned, makes longer pieces of them. To read a word, it is spelled in bytes;
then, of all neighbours that the list has, the pair with the lowest rank is joined, and again, until no pair is left:

    u n a f f a b l e    l + e       37
    u n a f f a b le     a + b      141
    u n a f f ab le      u + n      147
    un a f f ab le       f + f      231
    un a ff ab le        ab + le    284
    un a ff able         a + ff    1745
    un aff able

(These are the merges of GPT-2, which RoBERTa and BART use.) A reader of English would have divided it in the same way;
WordPiece, which takes the longest piece from the left, finds una ##ffa ##ble.

The blank before a word belongs to the word. It is a byte like any other, and " unaffable" is another word than
"unaffable": its pieces are "Ġunaff able". Why Ġ? Vocabulary files hold text, so each byte is written as a character
that can be seen: most bytes of ASCII and Latin-1 as themselves, the 68 others (blanks, controls) as the characters
from Ā on, and the blank, number 32, comes out as Ġ. This is the byte alphabet.

Before that, the text is cut into words, so that no piece ever reaches across two: letters, digits or other signs, each
with the blank before them, English endings such as 's, and runs of blanks. See ``gpt2_words.py``.

Read on in this order: LETTERS, ``gpt2_words.py``, ByteBPE.merge_pieces, ByteBPE.pieces, ByteBPE.ids (the same, fast),
learn_merges.

Sources: Sennrich, Haddow & Birch 2016 for merging; Radford et al. 2019, section 2.2, and GPT-2's released encoder.py
for bytes and words; Liu et al. 2019, section 4.4, for RoBERTa's use of it. The ids are those of today's standard
library.
"""

from __future__ import annotations

import heapq
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice, pairwise, repeat
from pathlib import Path
from typing import Any

from minibert.errors import MinibertError
from minibert.files import read_json
from minibert.tokenizers.added import SAME_ROLE, added_tokens
from minibert.tokenizers.base import FIRST, SECOND, IdCache, Span, Tokenizer, as_batch, check_number
from minibert.tokenizers.byte_bpe_files import (
    CLASSES,
    FILE_NAMES,
    FIRST_TOKENS,
    ROBERTA_SPECIAL,
    VERSION,
    read_tokenizer_json,
    read_two_files,
    settings_in,
)
from minibert.tokenizers.gpt2_words import BLANKS, cut_words
from minibert.tokenizers.learning import Pair, frequent_pairs

SPECIAL_PATTERN = re.compile("|".join(map(re.escape, ROBERTA_SPECIAL.all())))

# ------------------------------------------------------------------------------------- 1. the byte alphabet


def _letters() -> tuple[str, ...]:
    """The 256 letters in the order of their bytes: a visible Latin-1 character as itself, else the next from Ā on."""
    visible = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = iter(range(0x100, 0x200))
    return tuple(chr(byte if byte in visible else next(others)) for byte in range(256))


LETTERS = _letters()
BYTE_OF = {letter: byte for byte, letter in enumerate(LETTERS)}
BLANK = LETTERS[ord(" ")]  # Ġ
SPACES = tuple(LETTERS[ord(space)] for space in " \t\n\v\f\r")


def to_bytes(text: str) -> bytes:
    """UTF-8; half of a surrogate pair, which is no character and has no UTF-8, gets the three bytes it would have."""
    return text.encode("utf-8", "surrogatepass")


def spell(text: str) -> list[str]:
    """A text's bytes in the byte alphabet: " né" -> "Ġ", "n", "Ã", "©"."""
    return list(map(LETTERS.__getitem__, to_bytes(text)))


# ------------------------------------------------------------------------------------- 2. special tokens


def cut_special(text: str, mask_takes_blanks: bool) -> Iterator[tuple[str, int, bool]]:
    """A text cut where special tokens are written in it: (part, where it starts, whether it is a special token).

    mask_takes_blanks: the blanks before a <mask> are dropped, since the word that it stands for has one of its own.
    """
    end = 0
    for found in SPECIAL_PATTERN.finditer(text):
        before = text[end : found.start()]
        yield (
            before.rstrip(BLANKS) if mask_takes_blanks and found.group() == ROBERTA_SPECIAL.mask else before,
            end,
            False,
        )
        yield found.group(), found.start(), True
        end = found.end()
    yield text[end:], end, False


# ------------------------------------------------------------------------------------- 3. the tokenizer

NEVER = 2**31  # the rank of a pair that is never joined
LONG_WORD = 256  # bytes; only speed depends on it


class ByteBPE(Tokenizer):
    """RoBERTa's tokenizer, and BART's, which is the same.

    merges: the pairs to join, the first one first, spelled in the byte alphabet. add_prefix_space: a blank is put
    before a text that does not begin with one, so that its first word is read like any other. mask_takes_blanks: the
    blanks before a <mask> that is written in a text belong to it.

        >>> load_tokenizer("gpt2-bpe").encode("unaffable").tokens
        ['<s>', 'un', 'aff', 'able', '</s>']

    Nothing is ever <unk>: the vocabulary has to hold all 256 bytes.
    """

    special = ROBERTA_SPECIAL
    template = (("<s>", 0), (FIRST, 0), ("</s>", 0))
    pair_template = (("<s>", 0), (FIRST, 0), ("</s>", 0), ("</s>", 0), (SECOND, 0), ("</s>", 0))

    def __init__(
        self,
        vocabulary: Mapping[str, int],
        merges: Iterable[Pair],
        add_prefix_space: bool = False,
        mask_takes_blanks: bool = True,
    ):
        """Raises MinibertError if the vocabulary's ids are not 0 ... V-1, if it lacks a special token, a byte, or what
        a merge makes, or if a merge is listed twice."""
        super().__init__(vocabulary)
        self.merges = [(left, right) for left, right in merges]
        self.add_prefix_space = add_prefix_space
        self.mask_takes_blanks = mask_takes_blanks
        self._check_merges()
        number = self.vocabulary.__getitem__
        self._bytes = [number(letter) for letter in LETTERS]
        self._ranks = {(number(left), number(right)): rank for rank, (left, right) in enumerate(self.merges)}
        self._made = [number(left + right) for left, right in self.merges]  # by rank
        self._cache = IdCache(self.merge)

    def _check_merges(self) -> None:
        bytes_missing = [f"{byte} ({letter})" for byte, letter in enumerate(LETTERS) if letter not in self.vocabulary]
        if bytes_missing:
            raise MinibertError(
                f"the vocabulary lacks {len(bytes_missing)} of the 256 bytes, first {bytes_missing[0]}, so some texts "
                "could not be read; is it a byte-level vocabulary?"
            )
        if len(set(self.merges)) < len(self.merges):
            ((left, right), times), *_ = Counter(self.merges).most_common(1)
            raise MinibertError(f"the merge {left} {right} is listed {times} times; it can have one rank only.")
        for left, right in self.merges:
            for piece in (left, right, left + right):
                if piece not in self.vocabulary:
                    raise MinibertError(
                        f"the vocabulary lacks {piece} of the merge {left} {right}; "
                        "are the merges those of another vocabulary?"
                    )

    def merge(self, word: str) -> list[int]:
        """The ids of a word's pieces: its bytes, joined as far as the merges go."""
        return self.merge_pieces([*map(self._bytes.__getitem__, to_bytes(word))])

    def merge_pieces(self, pieces: Sequence[int]) -> list[int]:
        """Pieces joined by the merge of lowest rank, and again, until no two neighbours are a merge. Ids -> ids.

        Of several places for that merge the first from the left is taken. A rank is a merge's place in the list: what
        was learned first, because it was most frequent, is joined first.
        """
        pieces = [*pieces]
        if len(pieces) > LONG_WORD:
            return self._merge_long(pieces)
        rank_of, made = self._ranks.get, self._made
        ranks = [*map(rank_of, pairwise(pieces), repeat(NEVER))]  # of each piece and the next
        while ranks and (lowest := min(ranks)) < NEVER:
            at = ranks.index(lowest)
            pieces[at] = made[lowest]
            del pieces[at + 1], ranks[at]
            if at > 0:
                ranks[at - 1] = rank_of((pieces[at - 1], pieces[at]), NEVER)
            if at < len(ranks):
                ranks[at] = rank_of((pieces[at], pieces[at + 1]), NEVER)
        return pieces

    def _merge_long(self, pieces: list[int]) -> list[int]:
        """The same where looking through all pairs for each merge would take too long, as in a line of 10,000 signs.

        The queue has all pairs that can be joined, by rank and place. An entry is outdated when one of the two has been
        joined with another since: the pair at its place then has another rank.
        """
        rank_of, end, gone = self._ranks.get, len(pieces), -1
        before, after = [*range(-1, end - 1)], [*range(1, end + 1)]  # each piece's neighbours
        queue = [(rank, at) for at, pair in enumerate(pairwise(pieces)) if (rank := rank_of(pair)) is not None]
        heapq.heapify(queue)
        while queue:
            rank, at = heapq.heappop(queue)
            second = after[at]
            if second == end or rank_of((pieces[at], pieces[second])) != rank:
                continue
            pieces[at], pieces[second] = self._made[rank], gone
            after[at] = after[second]
            if after[at] < end:
                before[after[at]] = at
            for left, right in ((before[at], at), (at, after[at])):
                if left >= 0 and right < end and (new := rank_of((pieces[left], pieces[right]))) is not None:
                    heapq.heappush(queue, (new, left))
        return [piece for piece in pieces if piece != gone]

    def pieces(self, text: str) -> list[tuple[int, Span]]:
        """The text's tokens as (id, span). Special tokens written in the text, as "<mask>", are kept whole.

        A span has the characters that a piece comes from, without the blanks at its ends (but see ``_trimmed``). Where
        a character of several bytes is cut, all pieces with a byte of it have the character in their spans.
        """
        found: list[tuple[int, Span]] = []
        reached = 0
        for part, start, is_special in cut_special(text, self.mask_takes_blanks):
            end = start + len(part)
            if is_special:
                blanks = BLANK * (start - reached)  # that belong to a <mask>
                found.append((self.vocabulary[part], self._trimmed(blanks + part, reached, end)))
            else:
                found += self._pieces_between(part, start)
            reached = end
        return found

    def _pieces_between(self, text: str, shift: int) -> Iterator[tuple[int, Span]]:
        """The pieces of a text without special tokens, which starts at character ``shift`` of a longer one."""
        prefixed = self._prefixed(text)
        start = shift - (len(prefixed) - len(text))
        for word in cut_words(prefixed):
            # A blank that was put before the text has the place of the character after it.
            origin = [max(at, shift) for at, character in enumerate(word, start) for _ in to_bytes(character)]
            start += len(word)
            end = 0
            for piece_id in self.merge(word):
                piece, first = self.tokens[piece_id], end
                end += len(piece)
                yield piece_id, self._trimmed(piece, origin[first], origin[end - 1] + 1)

    def _trimmed(self, piece: str, start: int, end: int) -> Span:
        """A piece's span without the blanks at its ends, by the standard library's rule.

        The rule knows only the piece. With ``add_prefix_space`` it takes a single blank at the very beginning for the
        one that was put there, which is no character of the text. So the span of " film" keeps a blank that is really
        there; and in "<mask>film", where a blank is put after the special token, the span loses the f.
        """
        before = len(piece) - len(piece.lstrip(BLANK))
        after = len(piece) - len(piece.rstrip(BLANK))
        if self.add_prefix_space and start == 0 and before == 1:
            before = 0
        return start + before, max(end - after, start + before)

    def _prefixed(self, text: str) -> str:
        return " " + text if self.add_prefix_space and text and text[0] != " " else text

    def ids(self, text: str) -> list[int]:
        """The ids of ``pieces(text)``, many times as fast: the words are looked up in a cache.

        Language repeats itself, so nearly every word of a text has occurred before, and merging never looks beyond it.
        """
        found: list[int] = []
        for part, _, is_special in cut_special(text, self.mask_takes_blanks):
            if is_special:
                found.append(self.vocabulary[part])
            else:
                found += chain.from_iterable(map(self._cache.__getitem__, cut_words(self._prefixed(part))))
        return found

    def join(self, tokens: Sequence[str]) -> str:
        """The text that the bytes spell, blanks included. Bytes that are no UTF-8, as parts of characters, become �."""
        spelled = b"".join(
            bytes(map(BYTE_OF.__getitem__, token)) if BYTE_OF.keys() >= {*token} else to_bytes(token)
            for token in tokens
        )
        return spelled.decode("utf-8", "replace")

    def continues(self, token: str) -> bool:
        """Whether no blank stands before it: "Ġfilm" begins a word, "able" and "," do not.

        A word is thus all that stands between two blanks, signs included. Only of a text's first token this cannot be
        known: without a prefix space it looks as if it continued a word.
        """
        return not token.startswith(SPACES) and token not in self.special.all()

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled (for worker processes) and copied without the cache."""
        return ByteBPE, (self.vocabulary, self.merges, self.add_prefix_space, self.mask_takes_blanks)

    # ------------------------------------------------------------------------------- from and to files

    @classmethod
    def is_in(cls, folder: Path) -> bool:
        described = folder / "tokenizer.json"
        model = (read_json(described).get("model") or {}) if described.exists() else {}
        return model.get("type") == "BPE" or any((folder / merges).exists() for _, merges in FILE_NAMES)

    @classmethod
    def from_folder(cls, folder: str | Path) -> ByteBPE:
        """Read the tokenizer of a checkpoint folder, or GPT-2's released encoder.json and vocab.bpe.

        A tokenizer.json comes before vocab.json and merges.txt, as it does for other libraries. The settings are those
        of tokenizer_config.json, and what any file says of single tokens is read or refused. GPT-2's files have no
        special tokens: they get <s> 0, <pad> 1, </s> 2 and <unk> 3; then come GPT-2's pieces in their order, without
        its <|endoftext|>, and <mask> last. So the *pieces* are RoBERTa's and BART's, but not the ids: theirs are in
        the order of another dictionary, which every checkpoint of theirs brings along as its vocab.json.

        Raises MinibertError if there is no such tokenizer, naming what is missing, or if it is of another kind.
        """
        folder = Path(folder)
        if (folder / "tokenizer.json").exists():
            vocabulary, merges, settings = read_tokenizer_json(folder / "tokenizer.json")
        else:
            vocabulary, merges, settings = read_two_files(folder)
        settings |= settings_in(folder)
        for token in added_tokens(folder, cls.special):
            is_mask = token.content == cls.special.mask
            for flag in ("rstrip", "single_word", *(() if is_mask else ("lstrip",))):
                if token.has(flag):
                    raise MinibertError(f"{token.file} has {flag} for {token.content}, which is not read here.")
            if is_mask and token.has("lstrip") is not None:
                settings.setdefault("mask_takes_blanks", token.has("lstrip"))
            if token.id is not None and vocabulary.setdefault(token.content, token.id) != token.id:
                raise MinibertError(
                    f"{token.file} gives {token.content} the id {token.id}, but the vocabulary has it as "
                    f"{vocabulary[token.content]}; which of them the model uses could only be guessed."
                )
        return cls(vocabulary, merges, **settings)

    def check_folder(self, folder: str | Path) -> None:
        super().check_folder(folder)
        if (Path(folder) / "vocab.txt").exists():
            raise MinibertError(
                f"{folder} has a vocab.txt, which would be read in place of this tokenizer; "
                "save to another folder, or remove that file first."
            )

    def files(self) -> dict[str, str]:
        """vocab.json, merges.txt, tokenizer_config.json and special_tokens_map.json, which other libraries read too."""
        for pair in self.merges:
            if not all(pair) or {*"".join(pair)} & {*" \n\r"}:
                raise MinibertError(f"the merge {pair!r} cannot be a line of merges.txt; remove it.")
        flags = {"lstrip": False, "normalized": False, "rstrip": False, "single_word": False, "special": True}
        described = {
            role: {"content": token} | flags | {"lstrip": role == "mask" and self.mask_takes_blanks}
            for role, token in vars(self.special).items()
        }
        names: dict[str, Any] = {f"{role}_token": token for role, token in vars(self.special).items()}
        names |= {f"{other}_token": names[f"{role}_token"] for other, role in SAME_ROLE.items()}
        names["mask_token"] = {"__type": "AddedToken"} | described["mask"]
        settings = {
            "add_prefix_space": self.add_prefix_space,
            "added_tokens_decoder": {str(self.vocabulary[token["content"]]): token for token in described.values()},
            "tokenizer_class": CLASSES[0],
        }
        return {
            "vocab.json": json.dumps({token: number for number, token in enumerate(self.tokens)}, ensure_ascii=False)
            + "\n",
            "merges.txt": "".join([VERSION + "\n", *(f"{left} {right}\n" for left, right in self.merges)]),
            "tokenizer_config.json": json.dumps(settings | names, indent=2) + "\n",
            "special_tokens_map.json": json.dumps(names, indent=2) + "\n",
        }

    # ------------------------------------------------------------------------------------- from text

    @classmethod
    def train(
        cls,
        texts: Iterable[str],
        vocab_size: int,
        min_frequency: int = 2,
        add_prefix_space: bool = False,
    ) -> ByteBPE:
        """Make a vocabulary of at most ``vocab_size`` tokens from texts; see ``learn_merges`` for how.

        It holds the special tokens, the 256 bytes, and pieces made of pairs that occur at least ``min_frequency``
        times. The same texts, in any order, give the same vocabulary.
        Raises MinibertError if vocab_size is no integer or cannot hold the bytes, or if the texts have no words.
        """
        vocab_size = check_number(vocab_size, "vocab_size")
        min_frequency = check_number(min_frequency, "min_frequency")
        least = len(cls.special.all()) + len(LETTERS)
        if vocab_size < least:
            raise MinibertError(
                f"vocab_size is {vocab_size}, but the {len(cls.special.all())} special tokens and the {len(LETTERS)} "
                f"bytes alone take {least}; raise it to {least} or more."
            )
        words: Counter[str] = Counter()
        for text in as_batch(texts, "texts"):
            for part, _, is_special in cut_special(text, mask_takes_blanks=True):
                if not is_special:
                    prefix = " " if add_prefix_space and part and part[0] != " " else ""
                    words.update(cut_words(prefix + part))
        if not words:
            raise MinibertError("there is not one word in the texts; a vocabulary cannot be made from them.")
        merges = learn_merges(words, vocab_size - least, min_frequency)
        tokens = [*FIRST_TOKENS, *sorted(LETTERS), *(left + right for left, right in merges), cls.special.mask]
        return cls({token: number for number, token in enumerate(tokens)}, merges, add_prefix_space)


# ------------------------------------------------------------------------------- 4. learning the merges


def learn_merges(word_counts: Mapping[str, int], size: int, min_frequency: int) -> list[Pair]:
    """At most ``size`` merges, each of which makes one new piece. word_counts: word -> how often it occurs.

    Begin with single bytes; join the two neighbours that occur side by side most often into one new piece, everywhere;
    repeat. Of equally frequent pairs the one that sorts first, in the byte alphabet, wins.

    Source: Sennrich et al. 2016, section 3.2; on bytes, Radford et al. 2019, section 2.2.
    """
    spelling = [spell(word) for word in word_counts]
    pairs = frequent_pairs(spelling, list(word_counts.values()), min_frequency, str.__add__)
    return list(islice(pairs, size))
