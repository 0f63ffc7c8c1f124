"""WordPiece: how BERT reads a word that it has never seen.

BERT knows a fixed list of pieces, one embedding each, and nothing else. The uncased list has 30522; "unaffable" is
not among them. So the word is cut from left to right, and each time the longest piece in the list wins:

    unaffable? unaffabl? unaffab? unaffa? unaff? unaf? una!     una     14477
    ##ffable? ##ffabl? ##ffab? ##ffa!                           ##ffa   20961
    ##ble!                                                      ##ble    3468

"##" means: joined to the piece before. Inside a word only such pieces are tried, and at its start only the others, so
that the words can be put together again. If any part of a word fits no piece, even just the last letter, the whole
word becomes one [UNK].

An English speaker would have divided it as un-aff-able, and "un" and "##able" are both in the list. But greedy
matching takes "una" because it is longer, and never goes back. (The example in BERT's own code promises
un ##aff ##able. The published vocabulary does not give that: it has no piece "##aff".)

Before that, ``CharacterTable`` normalises the text: it removes control characters and accents, makes the text lower
case, and puts blanks around punctuation:

    "Naïve? UNAFFABLE!"  ->  naive ? unaffable !  ->  naive ? una ##ffa ##ble !

Read this file in this order: CharacterTable, WordPiece.pieces, WordPiece.ids (the same, but fast), learn_pieces (where
a vocabulary comes from).

Sources: Devlin et al. 2019, Section 3 and the released tokenization.py; Schuster and Nakajima 2012 and Wu et al. 2016
(Section 4.1) for the model. Where today's standard library differs from the released code (special tokens written in
a text, Greek final sigma, the first of the Chinese characters of extension E), this file gives the same ids as the
library. What is a sign, an accent or a blank is said by ``characters.py``, in the same way on every Python.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, groupby
from pathlib import Path
from typing import Any

from minibert.errors import MinibertError
from minibert.files import read_json, read_text
from minibert.tokenizers.added import added_tokens
from minibert.tokenizers.base import FIRST, SECOND, IdCache, Span, SpecialTokens, Tokenizer, as_batch, check_number
from minibert.tokenizers.characters import category, combining_class, decomposed, lower
from minibert.tokenizers.learning import frequent_pairs

MAX_WORD_LENGTH = 100  # characters; a longer word is [UNK], as in Hugging Face's tokenizers (Google's code: 200)
CONTINUATION = "##"

BERT_SPECIAL = SpecialTokens(pad="[PAD]", unk="[UNK]", cls="[CLS]", sep="[SEP]", mask="[MASK]")
SPECIAL_PATTERN = re.compile("(" + "|".join(map(re.escape, BERT_SPECIAL.all())) + ")")

# ------------------------------------------------------------------------------------- 1. normalising text

CJK_BLOCKS = (  # Chinese characters and their extensions; not Japanese kana, not Korean
    (0x4E00, 0x9FFF),
    (0x3400, 0x4DBF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F),
    (0x2B920, 0x2CEAF),  # from 2B820 in the released code, but not in today's standard library
    (0xF900, 0xFAFF),
    (0x2F800, 0x2FA1F),
)


class CharacterTable(dict):
    """What each character becomes: code point -> "", a blank, or plain characters with blanks around some.

    ``text.translate(table).split()`` is all of BERT's basic tokenisation, since no rule but one looks at a character's
    neighbours. An entry is computed when its character first occurs.

    The exception: accents on one letter, of which each sort has its place, are put in order. Nearly all accents are
    dropped here ("Mn"), so this is seen only if one of the few that stay occurs; ``movable`` has those met so far.
    """

    def __init__(self, lowercase: bool, strip_accents: bool, space_cjk: bool):
        super().__init__()
        self.lowercase = lowercase
        self.strip_accents = strip_accents
        self.space_cjk = space_cjk
        self.movable: set[str] = set()

    def __missing__(self, code: int) -> str:
        parts = self._parts(chr(code))
        self.movable.update(part for part in parts if self.strip_accents and combining_class(part))
        self[code] = plain = "".join(map(self._written, parts))
        return plain

    def plain(self, text: str) -> str:
        plain = text.translate(self)
        return plain if self.movable.isdisjoint(plain) else self._in_order(text)[0]

    def traced(self, text: str) -> tuple[str, list[int]]:
        """The plain text, and for each of its characters the place in the text of the one that it comes from."""
        plain = text.translate(self)
        if not self.movable.isdisjoint(plain):
            return self._in_order(text)
        return plain, [at for at, character in enumerate(text) for _ in self[ord(character)]]

    def _in_order(self, text: str) -> tuple[str, list[int]]:
        """``traced`` with accents in order: those that moved are said to come from where they stand now."""
        kept: list[int] = []
        parts: list[tuple[str, bool]] = []  # a character, and whether it is the first that one of the text gave
        for at, character in enumerate(text):
            for cleaned in self._cleaned(character):
                kept.append(at)
                parts += ((part, number == 0) for number, part in enumerate(self._decomposed(cleaned)))
        plain: list[str] = []
        origin: list[int] = []
        at = -1
        for _, group in groupby(parts, lambda part: combining_class(part[0]) > 0):
            for part, is_first in sorted(group, key=lambda part: combining_class(part[0])):
                at += is_first
                if not self._is_dropped(part):
                    plain += self._written(part)
                    origin += [kept[at]] * (len(plain) - len(origin))
        return "".join(plain), origin

    def _parts(self, character: str) -> list[str]:
        decomposed = (part for cleaned in self._cleaned(character) for part in self._decomposed(cleaned))
        return [part for part in decomposed if not self._is_dropped(part)]

    def _cleaned(self, character: str) -> str:
        if is_blank(character):
            return " "
        if is_removed(character):
            return ""
        return f" {character} " if self.space_cjk and is_cjk(character) else character

    def _decomposed(self, character: str) -> str:
        """é is taken apart into e and an accent."""
        return decomposed(character) if self.strip_accents else character

    def _is_dropped(self, part: str) -> bool:
        return self.strip_accents and category(part) == "Mn"

    def _written(self, part: str) -> str:
        letters = lower(part) if self.lowercase else part
        return "".join(f" {letter} " if is_punctuation(letter) else letter for letter in letters)


def is_blank(character: str) -> bool:
    return character in "\t\n\r" or category(character) in ("Zs", "Zl", "Zp")


def is_removed(character: str) -> bool:
    """Control characters, invisible formatting, private use, and U+FFFD, which marks a decoding error."""
    return character == "\ufffd" or category(character) in ("Cc", "Cf", "Co", "Cs")


def is_punctuation(character: str) -> bool:
    """Unicode punctuation, and all of ASCII's visible signs: $, + and ~ too, which Unicode calls symbols."""
    if character.isascii():
        return character.isprintable() and not character.isalnum() and character != " "
    return category(character).startswith("P")


def is_cjk(character: str) -> bool:
    return any(first <= ord(character) <= last for first, last in CJK_BLOCKS)


# ------------------------------------------------------------------------------------- 2. the tokenizer


class WordPiece(Tokenizer):
    """BERT's tokenizer, also DistilBERT's and MobileBERT's.

    lowercase: False for the cased vocabularies. strip_accents: None means the same as lowercase.
    space_cjk: each Chinese character becomes a word of its own.

        >>> WordPiece.from_file("vocab.txt").encode("unaffable").tokens
        ['[CLS]', 'una', '##ffa', '##ble', '[SEP]']
    """

    special = BERT_SPECIAL
    template = (("[CLS]", 0), (FIRST, 0), ("[SEP]", 0))
    pair_template = (("[CLS]", 0), (FIRST, 0), ("[SEP]", 0), (SECOND, 1), ("[SEP]", 1))

    def __init__(
        self,
        vocabulary: Mapping[str, int],
        lowercase: bool = True,
        strip_accents: bool | None = None,
        space_cjk: bool = True,
    ):
        """Raises MinibertError if the vocabulary's ids are not 0 ... V-1 or a special token is missing."""
        super().__init__(vocabulary)
        self.lowercase = lowercase
        self.strip_accents = strip_accents
        self.space_cjk = space_cjk
        self._table = CharacterTable(lowercase, lowercase if strip_accents is None else strip_accents, space_cjk)
        self._longest = max(map(len, self.tokens))
        self._cache = IdCache(self._chunk_ids)

    def pieces(self, text: str) -> list[tuple[int, Span]]:
        """The text's tokens as (id, span). Special tokens written in the text, such as "[MASK]", are kept whole.

        A span is the smallest part of the original text that holds all the characters a piece comes from. Where one
        character became several (a Korean syllable becomes two or three letters) and a cut falls between them, both
        pieces have that character in their spans.
        """
        found: list[tuple[int, Span]] = []
        start = 0
        for part in SPECIAL_PATTERN.split(text):
            if part in self.special.all():
                found.append((self.vocabulary[part], (start, start + len(part))))
            else:
                found += self._pieces_between(part, start)
            start += len(part)
        return found

    def _pieces_between(self, text: str, shift: int) -> Iterator[tuple[int, Span]]:
        """The pieces of a text without special tokens, which starts at character ``shift`` of a longer text."""
        plain, origin = self._table.traced(text)
        for word in re.finditer("[^ ]+", plain):
            start = word.start()
            for piece_id, length in self.match(word.group()):
                yield piece_id, (shift + origin[start], shift + origin[start + length - 1] + 1)
                start += length

    def match(self, word: str) -> list[tuple[int, int]]:
        """Greedy longest match: a plain word's pieces as (id, number of characters); [UNK] for all if it fails."""
        unknown = [(self.unk_id, len(word))]
        if len(word) > MAX_WORD_LENGTH:
            return unknown
        pieces = []
        start = 0
        while start < len(word):
            prefix = CONTINUATION if start else ""
            for end in range(min(len(word), start + self._longest), start, -1):
                piece_id = self.vocabulary.get(prefix + word[start:end])
                if piece_id is not None:
                    break
            else:
                return unknown
            pieces.append((piece_id, end - start))
            start = end
        return pieces

    def ids(self, text: str) -> list[int]:
        """The ids of ``pieces(text)``, several times as fast: the chunks between blanks are looked up in a cache.

        Language repeats itself, so nearly every chunk of a text has occurred before. A blank never belongs to a piece,
        and no rule looks beyond one; so the ids of the chunks, one after the other, are the ids of the text.
        The text is split at " " and newline only: str.split() would also cut at control characters, which BERT deletes.
        """
        return list(chain.from_iterable(map(self._cache.__getitem__, text.replace("\n", " ").split(" "))))

    def _chunk_ids(self, chunk: str) -> list[int]:
        """The ids of a chunk without a blank: ``pieces``, without asking where each piece comes from."""
        if "[" in chunk:  # perhaps a special token
            return [piece_id for piece_id, _ in self.pieces(chunk)]
        return [piece_id for word in self._table.plain(chunk).split() for piece_id, _ in self.match(word)]

    def join(self, tokens: Iterable[str]) -> str:
        """Words with one blank between them, and none before . , ! ?: una ##ffa ##ble ! -> "unaffable!"."""
        text = " ".join(tokens).replace(" " + CONTINUATION, "")
        return re.sub(" ([.,!?])", r"\1", text)

    def continues(self, token: str) -> bool:
        return token.startswith(CONTINUATION)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled (for worker processes) and copied without the cache."""
        return WordPiece, (self.vocabulary, self.lowercase, self.strip_accents, self.space_cjk)

    # ------------------------------------------------------------------------------- from and to files

    @classmethod
    def from_file(
        cls,
        path: str | Path,
        lowercase: bool = True,
        strip_accents: bool | None = None,
        space_cjk: bool = True,
    ) -> WordPiece:
        """Read a vocab.txt: one token per line; a token's id is the number of its line, from 0.

        Raises MinibertError if it is missing, empty or not UTF-8, if a line is blank, or if a token is listed twice: it
        would have two ids, and one of the two embeddings would never be used.
        """
        path = Path(path)
        text = read_text(path).replace("\r\n", "\n").replace("\r", "\n")
        if not text:
            raise MinibertError(f"{path} is empty; was its download or its writing interrupted?")
        lines = text.removesuffix("\n").split("\n")  # splitlines() would also cut at U+2028, U+0085 ...
        vocabulary: dict[str, int] = {}
        for number, token in enumerate(lines):
            if token == "":
                raise MinibertError(f"line {number + 1} of {path} is blank; a vocabulary has one token per line.")
            if token in vocabulary:
                raise MinibertError(
                    f"{path} has {token!r} twice, in lines {vocabulary[token] + 1} and {number + 1}; "
                    "a token must have one id: remove or rename one of them."
                )
            vocabulary[token] = number
        return cls(vocabulary, lowercase, strip_accents, space_cjk)

    @classmethod
    def is_in(cls, folder: Path) -> bool:
        if (folder / "vocab.txt").exists():
            return True
        described = folder / "tokenizer.json"
        model = (read_json(described).get("model") or {}) if described.exists() else {}
        return model.get("type") == BERT_MODEL["type"]

    @classmethod
    def from_folder(cls, folder: str | Path) -> WordPiece:
        """Read the tokenizer of a checkpoint folder.

        It is read from vocab.txt with the settings in tokenizer_config.json (uncased if there is none), or from a
        tokenizer.json, which is all that newer folders have. Raises MinibertError if there is neither, or if the
        tokenizer.json describes something else.
        """
        folder = Path(folder)
        if (folder / "vocab.txt").exists():
            return cls.from_file(folder / "vocab.txt", **settings_beside(folder / "vocab.txt"))
        if (folder / "tokenizer.json").exists():
            return _read_tokenizer_json(folder / "tokenizer.json")
        if not folder.is_dir():
            raise MinibertError(f"there is no folder {folder}; name a checkpoint folder that holds a vocab.txt.")
        raise MinibertError(
            f"{folder} holds no WordPiece vocabulary (vocab.txt or tokenizer.json): name a folder that holds one."
        )

    def files(self) -> dict[str, str]:
        """vocab.txt, tokenizer_config.json and special_tokens_map.json, which other libraries read too."""
        for token in self.tokens:
            if not token or "\n" in token or "\r" in token:
                raise MinibertError(f"the token {token!r} cannot be a line of vocab.txt; remove or rename it.")
        names = {f"{role}_token": token for role, token in vars(self.special).items()}
        settings = {
            "do_lower_case": self.lowercase,
            "strip_accents": self.strip_accents,
            "tokenize_chinese_chars": self.space_cjk,
            "tokenizer_class": "BertTokenizer",
        }
        return {
            "vocab.txt": "".join(token + "\n" for token in self.tokens),
            "tokenizer_config.json": json.dumps(settings | names, indent=2) + "\n",
            "special_tokens_map.json": json.dumps(names, indent=2) + "\n",
        }

    # ------------------------------------------------------------------------------------- from text

    @classmethod
    def train(
        cls,
        texts: Iterable[str],
        vocab_size: int,
        lowercase: bool = True,
        min_frequency: int = 2,
    ) -> WordPiece:
        """Make a vocabulary of at most ``vocab_size`` tokens from texts; see ``learn_pieces`` for how.

        It holds the special tokens, every character of the texts, and pieces that occur at least ``min_frequency``
        times. The same texts, in any order, give the same vocabulary.
        Raises MinibertError if vocab_size is no integer or cannot hold the characters, or if the texts have no words.
        """
        vocab_size = check_number(vocab_size, "vocab_size")
        min_frequency = check_number(min_frequency, "min_frequency")
        table = CharacterTable(lowercase, lowercase, space_cjk=True)
        chunks = Counter(chunk for text in as_batch(texts, "texts") for chunk in text.split(" "))
        words: Counter[str] = Counter()
        for chunk, count in chunks.items():
            for word in table.plain(SPECIAL_PATTERN.sub(" ", chunk)).split():
                words[word] += count
        if not words:
            raise MinibertError("there are no words in the texts, so no vocabulary can be made: give texts with words.")
        special = cls.special.all()
        tokens = [*special, *learn_pieces(words, vocab_size - len(special), min_frequency)]
        return cls({token: number for number, token in enumerate(tokens)}, lowercase)


# ------------------------------------------------------------------------------- 3. learning a vocabulary


def learn_pieces(word_counts: Mapping[str, int], size: int, min_frequency: int) -> list[str]:
    """Learn at most ``size`` pieces, so that the words can be written with few of them.

    word_counts: plain word -> how often it occurs.

    Begin with single characters; join the two neighbours that occur next to each other most often into one new piece,
    everywhere; repeat. Among equally frequent pairs, the one that sorts first wins. (Sennrich et al. 2016 for the
    procedure.)

    Why the most frequent pair? WordPiece was described as joining the pair that makes the text most likely, which is
    often explained as the highest count(ab) / (count(a) count(b)). Taken literally, that score prefers the rarest
    pairs: two characters that occur once each, next to each other, score 1, and nothing scores more. BERT's own trainer
    was never published; the standard library's trainer counts pairs, like this one.

    Every character gets a piece for the start of a word, and one for the inside unless it is always alone, like
    punctuation: a word made of known characters is then never [UNK]. Raises MinibertError if ``size`` cannot hold
    these.
    """
    words = [word for word in word_counts if len(word) <= MAX_WORD_LENGTH]
    counts = [word_counts[word] for word in words]
    spelling = [[word[0], *(CONTINUATION + character for character in word[1:])] for word in words]
    starts = {character for word in words for character in word}
    insides = {CONTINUATION + character for word in words if len(word) > 1 for character in word}
    pieces = dict.fromkeys(sorted(starts) + sorted(insides))
    if len(pieces) > size:
        raise MinibertError(
            f"the characters of the texts alone need {len(pieces)} pieces, {len(pieces) - size} more than fit; "
            f"choose a vocabulary that is larger by {len(pieces) - size} or more."
        )

    for pair in frequent_pairs(spelling, counts, min_frequency, _joined):
        if len(pieces) >= size:
            break
        pieces[_joined(*pair)] = None
    return list(pieces)


def _joined(left: str, right: str) -> str:
    return left + right.removeprefix(CONTINUATION)


# ------------------------------------------------------------------------------------------ 4. file formats

# Our setting -> its name in tokenizer_config.json, and in a tokenizer.json's "normalizer".
CONFIG_NAMES = {
    "lowercase": "do_lower_case",
    "strip_accents": "strip_accents",
    "space_cjk": "tokenize_chinese_chars",
}
NORMALIZER_NAMES = {
    "lowercase": "lowercase",
    "strip_accents": "strip_accents",
    "space_cjk": "handle_chinese_chars",
}
BERT_MODEL = {
    "type": "WordPiece",
    "unk_token": BERT_SPECIAL.unk,
    "continuing_subword_prefix": CONTINUATION,
    "max_input_chars_per_word": MAX_WORD_LENGTH,
}


def settings_beside(vocab_file: Path) -> dict[str, Any]:
    """The settings in the tokenizer_config.json of the same folder; none, if there is no such file.

    Raises MinibertError if a file of the folder adds tokens to the vocabulary: see ``added_tokens``.
    """
    added_tokens(vocab_file.parent, BERT_SPECIAL)
    path = vocab_file.with_name("tokenizer_config.json")
    config = read_json(path) if path.exists() else {}
    return {ours: config[theirs] for ours, theirs in CONFIG_NAMES.items() if theirs in config}


def _read_tokenizer_json(path: Path) -> WordPiece:
    """The WordPiece tokenizer that a tokenizer.json describes. Raises MinibertError if it describes another."""
    content = read_json(path)
    model, normalizer = content.get("model") or {}, content.get("normalizer") or {}
    for name, expected in BERT_MODEL.items():
        if model.get(name) != expected:
            raise MinibertError(
                f"{path} does not hold BERT's WordPiece: its model's {name} is {model.get(name)!r}, not {expected!r}."
            )
    if normalizer.get("type") != "BertNormalizer" or not normalizer.get("clean_text"):
        raise MinibertError(f"{path} normalises text differently from BERT, which is not supported here.")
    added_tokens(path.parent, BERT_SPECIAL)
    settings = {ours: normalizer[theirs] for ours, theirs in NORMALIZER_NAMES.items() if theirs in normalizer}
    return WordPiece(model["vocab"], **settings)
