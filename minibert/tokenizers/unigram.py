"""Unigram tokenizers: how ALBERT and XLNet read text.

    "Naïve? UNAFFABLE!"  ->  "▁naive?▁unaffable!"  ->  ▁na ive ? ▁un a f f able !

First the text is made plain: blanks are joined, accents dropped, for an uncased vocabulary letters lower-cased, and
each blank becomes "▁", with one more in front. Then the most probable way to cut it into pieces is found
(unigram_model.py). Since "▁" belongs to the word after it, nothing is lost, and text is put together again by joining
pieces and writing blanks for "▁". Characters that are in no piece become <unk>, one for all that stand side by side.

Read on in this order: SentencePieceCutter (cutters.py), Unigram, AlbertUnigram and XLNetUnigram, WordCutter. The file
spiece.model and its rules for characters are in spiece.py.

Sources: Kudo 2018 ("Subword Regularization"); Kudo and Richardson 2018 for SentencePiece, whose ids these are; the
released tokenization.py of ALBERT and prepro_utils.py of XLNet for cleaning, and for commas after digits.
"""

from __future__ import annotations

import json
import math
import re
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar

from minibert.errors import MinibertError
from minibert.files import read_json, read_text
from minibert.tokenizers import spiece
from minibert.tokenizers.added import added_tokens
from minibert.tokenizers.base import FIRST, SECOND, Span, SpecialTokens, Tokenizer, as_batch, check_number
from minibert.tokenizers.cutters import CONFIG_NAMES, Cutter, Quick, SentencePieceCutter
from minibert.tokenizers.gpt2_words import BLANKS
from minibert.tokenizers.spiece import BLANK, Piece, PieceModel, Traced
from minibert.tokenizers.unigram_model import learn_pieces
from minibert.tokenizers.word_cutter import WordCutter

# ---------------------------------------------------------------------------------------- 1. the tokenizer


class Unigram(Tokenizer):
    """What ALBERT's and XLNet's tokenizers share: a cutter, and special tokens in and around the text.

    reserved: the special tokens, among them some that nothing here puts around a text, with their kinds in a
    spiece.model, and in the order in which a new vocabulary begins with them. uncased: whether the family's published
    vocabularies are lower-cased.
    """

    reserved: ClassVar[Mapping[str, int]]
    ends: ClassVar[tuple[str, str]]  # that other libraries call bos and eos
    uncased: ClassVar[bool]
    class_name: ClassVar[str]  # in a tokenizer_config.json
    model_type: ClassVar[str]  # in a config.json

    def __init__(self, cutter: Cutter):
        """Raises MinibertError if a special token is missing from the cutter's vocabulary."""
        super().__init__(cutter.vocabulary)
        self.cutter = cutter
        self._reserved = {*self.special.all(), *self.reserved} & self.vocabulary.keys()
        self.special_ids = frozenset(self.vocabulary[token] for token in self._reserved)
        kept_whole = sorted({*self._reserved, *cutter.kept_whole}, key=lambda token: (-len(token), token))
        blanks = dict.fromkeys(cutter.takes_blanks, f"[{BLANKS}]*")
        self._special = re.compile("(" + "|".join(blanks.get(t, "") + re.escape(t) for t in kept_whole) + ")")
        self._cache = _ChunkCache(self._quick)
        self._worst = max(map(abs, cutter.scores))
        # Whether the ids of chunks between blanks, one after the other, are those of the text.
        self._splits = cutter.words("a\nb c") == [BLANK + letter for letter in "abc"] and cutter.cuts_at_blanks
        self._blank_is_a_sign = cutter.words(f"a {BLANK} b") != [BLANK + letter for letter in "ab"]

    def pieces(self, text: str) -> list[tuple[int, Span]]:
        """The text's tokens as (id, span). Special tokens written in the text, as "[MASK]", are kept whole.

        A span is the smallest stretch of the original text that holds all characters a piece comes from; blanks do not
        count. A "▁" alone has the span of the first character of its word. Where one character gave several (½ gives
        1⁄2), all of them have its span.
        """
        found: list[tuple[int, Span]] = []
        start = 0
        for at, part in enumerate(self._special.split(text)):
            if at % 2:
                found.append((self.vocabulary[part.lstrip(BLANKS)], (start, start + len(part))))
            elif part:
                found += [(piece.id, piece.span) for piece in self.cutter.cut(Traced.of(part, start))]
            start += len(part)
        return found

    def ids(self, text: str) -> list[int]:
        """The ids of ``pieces(text)``, many times as fast: chunks between blanks are cut once, then looked up.

        A piece begins at a blank or lies within a word, so that the best path of a text is that of its first word, then
        that of the second, and so on. With one exception: SentencePiece adds up scores in 32 bits. Far into a text, its
        sums are exact to some thousandths only, and of two ways that are nearly equal the worse may win. Chunks that
        have such ways are cut again, with the sum at which they begin (`_settled`).
        """
        if not self._splits or (self._blank_is_a_sign and BLANK in text):
            return [number for number, _ in self.pieces(text)]
        cache = self._cache
        cache.make_room()
        chunks = text.replace("\n", " ").split(" ")
        found = list(chain.from_iterable(map(cache.__getitem__, chunks)))
        if self.cutter.single_precision and cache.may_differ(chunks, len(found) * self._worst):
            return self._settled(text, chunks)
        return found

    def _quick(self, chunk: str) -> Quick:
        if self._special.search(chunk):
            return Quick(tuple(number for number, _ in self.pieces(chunk)), None, 0.0, len(chunk))
        return self.cutter.quick(chunk)

    def _settled(self, text: str, chunks: Sequence[str]) -> list[int]:
        """The ids of a text in which some chunks have two ways that are nearly equal."""
        total = array("f", [0.0])
        scores = self.cutter.scores
        found: list[int] = []
        for chunk in chunks:
            quick = self._cache.noted.get(chunk)
            if quick is None:
                ids = path = self._cache[chunk]
            else:
                if quick.path is None:
                    return [number for number, _ in self.pieces(text)]
                if quick.lead <= rounding(abs(total[0]) + quick.size * self._worst, quick.size):
                    quick = self.cutter.quick_after(chunk, total[0])
                ids, path = quick.ids, quick.path or ()
            found += ids
            for number in path:
                total[0] += scores[number]
        return found

    def join(self, tokens: Iterable[str]) -> str:
        """Pieces one after the other, a blank for each "▁": ▁un a f f able ! -> "unaffable!"."""
        return "".join(tokens).replace(BLANK, " ").strip()

    def continues(self, token: str) -> bool:
        """Whether a piece is inside a word: it has no "▁", and it begins with a letter or a digit.

        Signs begin words of their own, as the released code of ALBERT has it for masking whole words.
        """
        return token[:1].isalnum()

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled (for worker processes) and copied without the cache."""
        return type(self), (self.cutter,)

    # ------------------------------------------------------------------------------- from and to files

    @classmethod
    def is_in(cls, folder: Path) -> bool:
        if (folder / "spiece.model").exists():
            return True
        described = folder / "tokenizer.json"
        model = (read_json(described).get("model") or {}) if described.exists() else {}
        return model.get("type") == "Unigram" or ("type" not in model and "unk_id" in model)  # older files have no type

    @classmethod
    def from_file(cls, path: str | Path) -> Unigram:
        """Read a spiece.model, with the settings in a tokenizer_config.json in the same folder, if there is one.

        Raises MinibertError if it cannot be read, or if it is not clear whether it is ALBERT's or XLNet's.
        """
        path = Path(path)
        model = PieceModel.read(path)
        family = cls._family(path.parent, model.vocabulary)
        settings = {"lowercase": family.uncased, **settings_in(path.parent)}
        read = family(SentencePieceCutter(model, **settings))
        read._check_added(path.parent)
        return read

    @classmethod
    def from_folder(cls, folder: str | Path) -> Unigram:
        """Read the tokenizer of a checkpoint folder: its spiece.model, or else its tokenizer.json.

        Whether it is ALBERT's or XLNet's is said by tokenizer_config.json ("tokenizer_class"), else by config.json
        ("model_type"), else by the special tokens in the vocabulary. Raises MinibertError where none of them says it.
        """
        folder = Path(folder)
        if (folder / "spiece.model").exists():
            return cls.from_file(folder / "spiece.model")
        if (folder / "tokenizer.json").exists():
            path = folder / "tokenizer.json"
            cutter = WordCutter(read_text(path), str(path))
            family = cls._family(folder, cutter.vocabulary)
            cutter.check(family)
            read = family(cutter)
            read._check_added(folder)
            return read
        if not folder.is_dir():
            raise MinibertError(f"there is no folder {folder}; name a checkpoint folder that holds a spiece.model.")
        raise MinibertError(
            f"{folder} holds no Unigram vocabulary (spiece.model, or tokenizer.json): name the folder that does."
        )

    def _check_added(self, folder: Path) -> None:
        """Raise a MinibertError if a folder's files say of single tokens what is not so here."""
        for token in added_tokens(folder, self.special, {*self._reserved, *self.cutter.kept_whole}, self.ends):
            for flag in ("rstrip", "single_word"):
                if token.has(flag):
                    raise MinibertError(f"{token.file} has {flag} for {token.content}, which is not read here.")
            if token.id not in (None, self.vocabulary[token.content]):
                raise MinibertError(
                    f"{token.file} gives {token.content} the id {token.id}, but the vocabulary has it as "
                    f"{self.vocabulary[token.content]}; which of them the model uses could only be guessed."
                )

    @classmethod
    def _family(cls, folder: Path, vocabulary: Mapping[str, int]) -> type[Unigram]:
        """AlbertUnigram or XLNetUnigram: which of them a folder's vocabulary is for."""
        if cls is not Unigram:
            return cls
        config = _json_in(folder, "tokenizer_config.json")
        name = str(config.get("tokenizer_class") or "").removesuffix("Fast")
        if name and name not in GENERAL_CLASSES:
            for family in FAMILIES:
                if name == family.class_name:
                    return family
            raise MinibertError(
                f"{folder / 'tokenizer_config.json'} says that this is a {name}; of Unigram tokenizers only "
                f"{' and '.join(family.class_name for family in FAMILIES)} are read here."
            )
        kind = _json_in(folder, "config.json").get("model_type")
        by_kind = [family for family in FAMILIES if family.model_type == kind]
        fitting = by_kind or [family for family in FAMILIES if vocabulary.keys() >= {*family.special.all()}]
        if len(fitting) != 1:
            both = "the special tokens of both" if fitting else "the special tokens of neither"
            raise MinibertError(
                f"it is not clear whether the Unigram vocabulary in {folder} is ALBERT's or XLNet's: it has {both}; "
                'add a tokenizer_config.json that says "tokenizer_class": "AlbertTokenizer" or "XLNetTokenizer".'
            )
        return fitting[0]

    def files(self) -> dict[str, str | bytes]:
        """spiece.model (or the tokenizer.json it was read from), tokenizer_config.json, special_tokens_map.json."""
        names = {f"{role}_token": token for role, token in vars(self.special).items()}
        settings = self.cutter.settings | {"tokenizer_class": self.class_name}
        return self.cutter.files() | {
            "tokenizer_config.json": json.dumps(settings | names, indent=2) + "\n",
            "special_tokens_map.json": json.dumps(names, indent=2) + "\n",
        }

    def check_folder(self, folder: str | Path) -> None:
        if "tokenizer.json" not in self.cutter.files():
            super().check_folder(folder)
        elif (Path(folder) / "spiece.model").exists():
            raise MinibertError(
                f"{folder} has a spiece.model, which is read before the tokenizer.json that would be saved; "
                "save to another folder, or remove that file first."
            )

    # ------------------------------------------------------------------------------------- from text

    @classmethod
    def train(
        cls,
        texts: Iterable[str],
        vocab_size: int,
        lowercase: bool | None = None,
        character_map: bytes = b"",
    ) -> Unigram:
        """Make a vocabulary of at most ``vocab_size`` tokens from texts; see ``learn_pieces`` for how.

        It holds the special tokens, every character of the texts, and pieces that occur at least twice. The same texts,
        in any order, give the same vocabulary. Scores are rounded to 1/256: then sums of thousands of them are exact in
        32 bits too, so that all libraries, however they add up, find the same way. lowercase: None for what the
        family's published vocabularies are. character_map: rules for characters from another model (its
        `character_map`), b"" for none.
        Raises MinibertError if vocab_size is no integer or cannot hold the characters, or if the texts have no words.
        """
        if cls is Unigram:
            raise MinibertError("Unigram.train does not say whose special tokens to use; call AlbertUnigram.train.")
        vocab_size = check_number(vocab_size, "vocab_size")
        lowercase = cls.uncased if lowercase is None else lowercase
        reserved = tuple(Piece(token, 0.0, kind) for token, kind in cls.reserved.items())
        empty = PieceModel((*reserved, Piece(BLANK, -1.0)), character_map)
        cutter = SentencePieceCutter(empty, lowercase)
        special = re.compile("|".join(map(re.escape, cls.reserved)))
        chunks = Counter(chunk for text in as_batch(texts, "texts") for chunk in text.split(" "))
        words: Counter[str] = Counter()
        for chunk, count in chunks.items():
            for word in cutter.words(special.sub(" ", chunk)):
                words[word] += count
        if not words:
            raise MinibertError("there is not one word in the texts; a vocabulary cannot be made from them.")
        learned = learn_pieces(words, vocab_size - len(reserved))
        pieces = (*reserved, *(Piece(text, round(256 * score) / 256) for text, score in learned))
        return cls(SentencePieceCutter(PieceModel(pieces, character_map), lowercase))


class AlbertUnigram(Unigram):
    """ALBERT's tokenizer: [CLS] A [SEP] B [SEP], lower case."""

    special = SpecialTokens(pad="<pad>", unk="<unk>", cls="[CLS]", sep="[SEP]", mask="[MASK]")
    template = (("[CLS]", 0), (FIRST, 0), ("[SEP]", 0))
    pair_template = (("[CLS]", 0), (FIRST, 0), ("[SEP]", 0), (SECOND, 1), ("[SEP]", 1))
    reserved = dict.fromkeys(("<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]"), spiece.CONTROL) | {"<unk>": spiece.UNKNOWN}
    ends = ("[CLS]", "[SEP]")
    uncased = True
    class_name = "AlbertTokenizer"
    model_type = "albert"


class XLNetUnigram(Unigram):
    """XLNet's tokenizer: A <sep> B <sep> <cls>, with a token type of its own for <cls>, and filled at the left."""

    special = SpecialTokens(pad="<pad>", unk="<unk>", cls="<cls>", sep="<sep>", mask="<mask>")
    template = ((FIRST, 0), ("<sep>", 0), ("<cls>", 2))
    pair_template = ((FIRST, 0), ("<sep>", 0), (SECOND, 1), ("<sep>", 1), ("<cls>", 2))
    pad_left = True
    pad_type_id = 3
    reserved = dict.fromkeys(
        ("<unk>", "<s>", "</s>", "<cls>", "<sep>", "<pad>", "<mask>", "<eod>", "<eop>"), spiece.CONTROL
    ) | {"<unk>": spiece.UNKNOWN}
    ends = ("<s>", "</s>")
    uncased = False
    class_name = "XLNetTokenizer"
    model_type = "xlnet"


FAMILIES: tuple[type[Unigram], ...] = (AlbertUnigram, XLNetUnigram)
GENERAL_CLASSES = ("PreTrainedTokenizer", "TokenizersBackend")  # of which nothing follows


class _ChunkCache(dict):
    """Chunk of text (no blank inside) -> its ids, computed when first asked for. Bounded as WordPiece's is.

    noted: chunks of which more must be known than their ids: those with ways that are nearly equal, and those whose
    path and ids differ. close[e]: chunks that rounding can change when sums are below 2**e.
    """

    MAX_CHUNKS = 2**19
    MAX_CHUNK_LENGTH = 32
    LARGEST = 20  # sums reach 2**20 after some 80,000 pieces

    def __init__(self, cut: Callable[[str], Quick]):
        super().__init__()
        self._cut = cut
        self.noted: dict[str, Quick] = {}
        self.close: list[set[str]] = [set() for _ in range(self.LARGEST + 1)]

    def __missing__(self, chunk: str) -> tuple[int, ...]:
        quick = self._cut(chunk)
        if quick.lead <= rounding(2.0**self.LARGEST, quick.size) or quick.path != quick.ids:
            self.noted[chunk] = quick
            for exponent, chunks in enumerate(self.close):
                # A path that is longer than its ids, or unknown, makes `magnitude` in `may_differ` too small.
                if (
                    quick.path is None
                    or len(quick.path) > len(quick.ids)
                    or quick.lead <= rounding(2.0**exponent, quick.size)
                ):
                    chunks.add(chunk)
        if len(chunk) <= self.MAX_CHUNK_LENGTH:
            self[chunk] = quick.ids
        return quick.ids

    def make_room(self) -> None:
        """Between two texts: empty a cache that is full."""
        if len(self) + len(self.noted) > self.MAX_CHUNKS:
            self.clear()
            self.noted.clear()
            for chunks in self.close:
                chunks.clear()

    def may_differ(self, chunks: Sequence[str], magnitude: float) -> bool:
        """Whether rounding can change the ids of one of the chunks when sums are no larger than this."""
        exponent = math.frexp(magnitude)[1] + 1
        return exponent > self.LARGEST or not self.close[exponent].isdisjoint(chunks)


def rounding(magnitude: float, steps: int) -> float:
    """How far two sums of up to `steps` numbers, rounded to 32 bits at each step, can move against each other.

    All sums are no larger than `magnitude`; below 2**e, rounding changes a number by at most 2**(e - 25).
    """
    return (steps + 1) * 2.0 ** (math.frexp(magnitude)[1] - 24)


# ------------------------------------------------------------------------------------------ 2. file formats


def settings_in(folder: Path) -> dict[str, bool]:
    """The settings in a folder's tokenizer_config.json; none, if there is no such file."""
    config = _json_in(folder, "tokenizer_config.json")
    return {ours: bool(config[theirs]) for ours, theirs in CONFIG_NAMES.items() if config.get(theirs) is not None}


def _json_in(folder: Path, name: str) -> dict[str, Any]:
    return read_json(folder / name) if (folder / name).exists() else {}
