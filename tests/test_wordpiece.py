"""WordPiece: the same ids as the published tokenizer, and every piece traced back to the text."""

from __future__ import annotations

import errno
import json
import os
import pickle
import random
import re
import string
import unicodedata
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from lab import assert_same, lab, part

from minibert import load_tokenizer
from minibert.errors import MinibertError
from minibert.tokenizers import Encoding, WordPiece, wordpiece
from minibert.tokenizers.base import Tokenizer, _longest_first
from minibert.tokenizers.wordpiece import CharacterTable, learn_pieces

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
GOLDEN = json.loads((Path(__file__).parent / "golden/wordpiece/cases.json").read_text(encoding="utf-8"))


def numbered(*tokens: str) -> dict[str, int]:
    """A vocabulary: the special tokens, then these."""
    return {token: number for number, token in enumerate([*SPECIAL, *tokens])}


def tiny(*tokens: str, **settings: bool) -> WordPiece:
    return WordPiece(numbered(*tokens), **settings)


def spelled(tok: WordPiece, text: str) -> list[str]:
    """The text's tokens without those around it."""
    return tok.encode(text).tokens[1:-1]


# ------------------------------------------------------------------------------------------ the lab sheet
# Each property by itself, with numbers that can be worked out on paper. Read these first.


@lab(
    "wordpiece",
    code=WordPiece.match,
    lesson="05",
    breaks='`CONTINUATION if start else ""` always empty',
    catches="no-marks",
)
def test_pieces_with_two_hashes_are_inside_words():
    """inside a word only pieces that begin with ## are taken, and at its start only the others

    "able" and "##able" are two pieces.
    """
    vocabulary = ["able", "##able", "un", "##un"]
    assert_same(part("wordpiece")("unable", vocabulary), ["un", "##able"])
    assert_same(part("wordpiece")("ableun", vocabulary), ["able", "##un"])


@lab(
    "wordpiece",
    code=WordPiece.match,
    lesson="05",
    breaks="`range(min(len(word), start + self._longest), start, -1)` counted upwards",
    catches="shortest-first",
)
def test_the_longest_piece_wins():
    """at each place the longest piece that fits is taken

    "una" is longer than "un" and "u", and "##ffa" than "##f".
    """
    vocabulary = ["u", "un", "una", "##f", "##ffa", "##b", "##ble", "##able"]
    assert_same(part("wordpiece")("unaffable", vocabulary), ["una", "##ffa", "##ble"])


@lab(
    "wordpiece",
    code=WordPiece.match,
    lesson="05",
    breaks="`return unknown` replaced by the pieces so far and an [UNK]",
    catches="unknown-characters",
)
def test_a_word_that_cannot_be_cut_is_one_unknown():
    """a word of which any part fits no piece becomes one [UNK] as a whole

    "un" is there, but nothing for the q. And there is no going back: "una" is taken as the longest, nothing fits
    "ble", so that un ##able is not found.
    """
    assert_same(part("wordpiece")("unq", ["un", "##a"]), ["[UNK]"])
    assert_same(part("wordpiece")("unable", ["un", "una", "##able"]), ["[UNK]"])


@lab(
    "wordpiece",
    code=WordPiece.match,
    lesson="05",
    breaks="`len(word) > MAX_WORD_LENGTH` replaced by >=",
    catches="longest-off-by-one",
)
def test_a_word_of_more_than_100_characters_is_unknown():
    """a word of more than 100 characters is [UNK], and one of 100 is cut"""
    vocabulary = ["a", "##a"]
    assert_same(part("wordpiece")("aaaa", vocabulary, longest=3), ["[UNK]"])
    assert_same(part("wordpiece")("aaa", vocabulary, longest=3), ["a", "##a", "##a"])
    assert_same([len(tiny(*vocabulary).match("a" * length)) for length in (100, 101)], [100, 1])


@lab(
    "encode-pair",
    code=WordPiece,
    lesson="05",
    breaks='`(SECOND, 1), ("[SEP]", 1)` with the type 0',
    catches="types-all-0",
)
def test_a_pair_is_one_row_with_two_token_types():
    """a pair is [CLS] first [SEP] second [SEP]; the token types are 0 up to the first [SEP], and 1 after it

    [CLS] is 2 and [SEP] is 3 here; the first text is one token and the second two.
    """
    ids, types = part("encode-pair")([7], [8, 9], 2, 3, 20)
    assert_same(ids, [2, 7, 3, 8, 9, 3])
    assert_same(types, [0, 0, 0, 1, 1, 1])


@lab(
    "encode-pair",
    code=_longest_first,
    lesson="05",
    breaks="`min(first, second, room // 2)` replaced by `room // 2`",
    catches="halves",
)
def test_the_longer_text_of_a_pair_is_truncated():
    """where a pair is too long, tokens are taken from the end of the longer text

    Eight tokens fit, of which [CLS] and two [SEP] take three. Of the first text of six tokens four stay, and of the
    second its only one.
    """
    ids, types = part("encode-pair")([11, 12, 13, 14, 15, 16], [21], 2, 3, 8)
    assert_same(ids, [2, 11, 12, 13, 14, 3, 21, 3])
    assert_same(types, [0, 0, 0, 0, 0, 0, 1, 1])


@lab(
    None, code=Tokenizer.batch, lesson="05", breaks="`self._pad([[1] * len(row.ids) for row in rows], 0)` filled with 1"
)
def test_the_attention_mask_is_0_at_the_padding():
    """texts of a batch are padded to the longest, and the attention mask is 0 at the padding"""
    batch = tiny("a", "b")(["a b", "a"])
    assert_same(batch["input_ids"], [[2, 5, 6, 3], [2, 5, 3, 0]])
    assert_same(batch["attention_mask"], [[1, 1, 1, 1], [1, 1, 1, 0]])


@lab(None, code=CharacterTable, lesson="05", breaks="`lower(part)` left out")
def test_a_text_is_made_plain_before_it_is_cut():
    """the uncased tokenizer lower-cases, removes accents, and separates punctuation"""
    assert_same(spelled(tiny("naive", "!"), "Naïve!"), ["naive", "!"])


# ------------------------------------------------------------------------------------------- the whole of it

# Texts that are easy to get wrong: accents, removed and invisible characters, blanks of many kinds, characters that
# become longer or several when lower-cased or taken apart, special tokens glued to words, no text at all.
AWKWARD = [
    *(case["text"] for case in GOLDEN["cases"]),
    "a[MASK]b [MA\x0bSK] [[SEP]] [MASK",
    "one\x0btwo\x0cthree\x1cfour\x85five six\u2028seven\u2029eight\u3000nine\xa0ten",
    "line one\nline two\r\nline\tthree\n\n",
    "\u0301alone e\u0301 \u212b \ufb01 \u00bd \u0130\u0130 \u1e9e",
    "한국어 日本 İstanbul ΟΔΟΣ",
    "\ufeff\u200bzero\u00adwidth\u200d \ue000private \ud800surrogate",
]


@pytest.fixture(scope="module")
def minilm(minilm_folder: Path) -> WordPiece:
    return load_tokenizer(minilm_folder)


@pytest.fixture(scope="module")
def letters() -> WordPiece:
    """Knows every character of the awkward texts as a piece of its own, so that none hides behind [UNK]."""
    texts = "".join(AWKWARD)
    tables = (CharacterTable(lower, strip, True) for lower in (True, False) for strip in (True, False))
    characters = sorted({c for table in tables for c in texts.translate(table)} - {" "})
    return tiny(*characters, *("##" + c for c in characters))


# ------------------------------------------------------------------------------------ golden numbers


@pytest.mark.parametrize("case", GOLDEN["cases"], ids=lambda case: ascii(case["text"])[:30])
def test_golden_texts(minilm: WordPiece, case: dict) -> None:
    assert minilm.encode(case["text"]).ids == case["ids"]
    assert minilm(case["text"])["input_ids"].tolist() == [case["ids"]]


@pytest.mark.parametrize("case", GOLDEN["pairs"], ids=lambda case: case["text"] or "empty")
def test_golden_pairs(minilm: WordPiece, case: dict) -> None:
    encoding = minilm.encode(case["text"], case["pair"])
    assert (encoding.ids, encoding.type_ids) == (case["ids"], case["type_ids"])
    batch = minilm(case["text"], case["pair"])
    assert batch["input_ids"].tolist() == [case["ids"]]
    assert batch["token_type_ids"].tolist() == [case["type_ids"]]


def test_the_module_tells_the_truth_about_unaffable(minilm: WordPiece) -> None:
    story = wordpiece.__doc__
    steps = re.findall(r"^    (\S.*!) +(\S+) +(\d+)$", story, flags=re.MULTILINE)
    assert [piece for _, piece, _ in steps] == spelled(minilm, "unaffable")
    start = 0
    for tries, piece, number in steps:
        prefix = "##" if start else ""
        end = start + len(piece) - len(prefix)
        expected = [prefix + "unaffable"[start:stop] for stop in range(9, end - 1, -1)]
        assert re.split(r"[?!] ?", tries)[:-1] == expected
        assert [candidate in minilm.vocabulary for candidate in expected] == [False] * (len(expected) - 1) + [True]
        assert minilm.vocabulary[piece] == int(number)
        start = end
    assert f"uncased list has {minilm.vocab_size};" in story
    assert {"un", "##able"} <= minilm.vocabulary.keys()
    assert not {"unaffable", "##aff"} & minilm.vocabulary.keys()
    assert spelled(minilm, "Naïve? UNAFFABLE!") == story.split("->")[-1].split("\n")[0].split()


def test_real_reviews_agree_with_the_slow_reference(minilm: WordPiece, reviews) -> None:
    for review in reviews.test[:150]:
        expected = slow_pieces(review.text, minilm.vocabulary)
        assert spelled(minilm, review.text) == expected
        assert [minilm.tokens[i] for i in minilm.ids(review.text)] == expected


# ----------------------------------------------------------------------------- longest match, word by word


@pytest.mark.parametrize(
    ("tokens", "word", "expected"),
    [
        pytest.param("a ab ##c ##b ##bc", "abc", "ab ##c", id="longest first, though a ##bc is as short"),
        pytest.param("a ab abc ##bc ##c", "abc", "abc", id="whole word before parts"),
        pytest.param("ab ##cd abc ##d", "abcd", "abc ##d", id="from the left, not from the right"),
        pytest.param("ab abc ##cd", "abcd", "[UNK]", id="never looks back, though ab ##cd would do"),
        pytest.param("a b", "ab", "[UNK]", id="inside a word only ## pieces"),
        pytest.param("##a ##b", "ab", "[UNK]", id="at the start only pieces without ##"),
        pytest.param("a ##b", "abx", "[UNK]", id="one part unknown, the whole word unknown"),
        pytest.param("a ##b", "xab", "[UNK]", id="start unknown"),
    ],
)
def test_greedy_longest_match(tokens: str, word: str, expected: str) -> None:
    assert spelled(tiny(*tokens.split()), word) == expected.split()


def test_an_unknown_word_leaves_its_neighbours_alone() -> None:
    tok = tiny("a", "##b", ".")
    encoding = tok.encode("ab abx. ab")
    assert encoding.tokens == ["[CLS]", "a", "##b", "[UNK]", ".", "a", "##b", "[SEP]"]
    assert encoding.offsets[3] == (3, 6)


def test_words_of_more_than_100_characters_are_unknown() -> None:
    tok = tiny("a", "##a")
    assert spelled(tok, "a" * 100) == ["a"] + ["##a"] * 99
    assert spelled(tok, "a" * 101) == ["[UNK]"]
    assert spelled(tok, "á" * 100) == ["a"] + ["##a"] * 99  # counted after the accents are gone
    assert spelled(tok, "a" * 101 + " a") == ["[UNK]", "a"]


def test_random_vocabularies_agree_with_the_slow_reference() -> None:
    rng = random.Random(0)
    for _ in range(200):
        strings = ["".join(rng.choices("abc", k=rng.randint(1, 4))) for _ in range(12)]
        tok = tiny(*dict.fromkeys(rng.choice(["", "##"]) + string for string in strings))
        for _ in range(30):
            text = "".join(rng.choices("abcA .\n", weights=[6, 6, 6, 2, 3, 1, 1], k=rng.randint(1, 25)))
            expected = slow_pieces(text, tok.vocabulary)
            assert spelled(tok, text) == expected, (tok.tokens, text)
            assert [tok.tokens[i] for i in tok.ids(text)] == expected, (tok.tokens, text)


def slow_pieces(text: str, vocabulary: dict[str, int]) -> list[str]:
    """Uncased BERT written down step by step, nothing shared and nothing fast; no special tokens in the text."""
    cleaned = ""
    for character in text:
        category = unicodedata.category(character)
        if character in " \t\n\r" or category.startswith("Z"):
            cleaned += " "
        elif not category.startswith("C") and character != "\ufffd":
            cleaned += f" {character} " if "\u4e00" <= character <= "\u9fff" else character
    plain = "".join(c for c in unicodedata.normalize("NFD", cleaned) if unicodedata.category(c) != "Mn").lower()
    spaced = ""
    for character in plain:
        is_sign = character in string.punctuation or unicodedata.category(character).startswith("P")
        spaced += f" {character} " if is_sign else character
    return [piece for word in spaced.split(" ") if word for piece in slow_match(word, vocabulary)]


def slow_match(word: str, vocabulary: dict[str, int]) -> list[str]:
    """Of all pieces that fit where the word's rest begins, the longest; [UNK] as soon as none fits."""
    pieces: list[str] = []
    rest = word if len(word) <= 100 else ""
    while rest:
        candidates = [("##" if pieces else "") + rest[:length] for length in range(1, len(rest) + 1)]
        fitting = [candidate for candidate in candidates if candidate in vocabulary]
        if not fitting:
            return ["[UNK]"]
        pieces.append(fitting[-1])
        rest = word[len("".join(pieces)) - 2 * (len(pieces) - 1) :]
    return pieces or ["[UNK]"]


# -------------------------------------------------------------------------------------- making text plain


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("Hello, World!", "hello , world !"),
        ("tabs\tand\r\nnew\u2028lines\xa0\u3000", "tabs and new lines"),
        ("x\x00y\ufffdz \x0bv\x0c\x1ct\x85", "xyz vt"),
        ("zero\u200bwidth soft\u00adhyphen \ufeffmark \ue000private \ud800", "zerowidth softhyphen mark private"),
        ("naïve résumé e\u0301 Å", "naive resume e a"),
        ("İstanbul", "istanbul"),
        ("ΟΔΟΣ", "οδοσ"),  # not the final sigma that str.lower() would write
        ("≠ \u037e", "= ;"),  # punctuation once they are taken apart
        ("日本x語の", "日 本 x 語 の"),
        ("a\uf900b\U0002f800c\U00020000d\U0002b920e", "a \u8c48 b \u4e3d c \U00020000 d \U0002b920 e"),
        ("$5+~`^<>=| “q” — ¿", "$ 5 + ~ ` ^ < > = | “ q ” — ¿"),
        ("€5 ±2 ™", "€5 ±2 ™"),  # symbols outside ASCII are no punctuation
        ("한", unicodedata.normalize("NFD", "한")),
    ],
)
def test_uncased_text_made_plain(text: str, plain: str) -> None:
    assert text.translate(CharacterTable(True, True, True)).split() == plain.split()


@pytest.mark.parametrize(
    ("text", "plain", "origin"),
    [
        ("a\u1dfb\u302eb", "a\u302e\u1dfbb", [0, 1, 2, 3]),  # both stay, and the second comes first
        ("a\u1dfb\u0334b", "a\u1dfbb", [0, 2, 3]),  # the one that goes made the other wait
        ("\u1dfb\xe9\u1dfb\u0327!", "\u1dfbe\u1dfb ! ", [0, 1, 3, 4, 4, 4]),
        ("\u1dfb\xad\u302e", "\u302e\u1dfb", [0, 2]),
    ],
)
def test_accents_that_stay_are_put_in_order(text: str, plain: str, origin: list[int]) -> None:
    table = CharacterTable(True, True, True)
    assert table.traced(text) == (plain, origin)
    assert table.plain(text) == plain
    assert CharacterTable(True, False, True).plain("a\u1dfb\u302eb") == "a\u1dfb\u302eb"


def test_all_ascii_signs_are_punctuation() -> None:
    table = CharacterTable(True, True, True)
    apart = {character for character in map(chr, range(33, 127)) if table[ord(character)] != character.lower()}
    assert apart == set(string.punctuation)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, ["e", "a", "日", "e"]),
        ({"lowercase": False}, ["É", "A", "日", "é"]),
        ({"strip_accents": False}, ["é", "a", "日", "é"]),
        ({"lowercase": False, "strip_accents": True}, ["E", "A", "日", "e"]),
        ({"space_cjk": False}, ["e", "a日e"]),
    ],
    ids=str,
)
def test_settings(settings: dict[str, bool], expected: list[str]) -> None:
    tok = tiny("e", "é", "E", "É", "a", "A", "日", "a日e", **settings)
    assert spelled(tok, "É A日é") == expected


def test_special_tokens_in_the_text_stay_whole() -> None:
    tok = tiny("a", "b", "##b", "[", "]", "mask", "pad", "##ded")
    encoding = tok.encode("a[MASK]b [SEP][PAD]ded [mask]")
    assert encoding.tokens[1:-1] == ["a", "[MASK]", "b", "[SEP]", "[PAD]", "[UNK]", "[", "mask", "]"]
    assert encoding.offsets[2] == (1, 7)
    assert encoding.sequence_ids[2] == 0  # it comes from the text, unlike the [CLS] before it
    assert tok.ids("a[MASK]b") == [tok.vocabulary["a"], tok.mask_id, tok.vocabulary["b"]]
    assert spelled(tok, "[MA\x00SK]") == ["[", "mask", "]"]  # no special token before the cleaning, none after


# -------------------------------------------------------------------------------- the quick way to the ids


@pytest.mark.parametrize("text", AWKWARD, ids=lambda text: ascii(text)[:30])
def test_ids_are_those_of_the_pieces(letters: WordPiece, text: str) -> None:
    expected = [piece_id for piece_id, _ in letters.pieces(text)]
    for _ in range(2):  # worked out, then from the cache
        assert letters.ids(text) == expected
        assert letters.encode(text).ids == [letters.cls_id, *expected, letters.sep_id]
    assert letters.ids(text + " " + text) == expected * 2


def test_control_characters_are_deleted_where_split_would_cut(letters: WordPiece) -> None:
    for character in "\x0b\x0c\x1c\x1d\x1e\x1f\x85":
        assert len(f"o{character}n".split()) == 2
        assert letters.ids(f"o{character}n") == letters.ids("on") != letters.ids("o n")


def test_cache_is_bounded_and_never_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    tok = tiny("a", "b", "##a", "##b", ".")
    cache = tok._cache
    monkeypatch.setattr(type(cache), "MAX_ENTRIES", 5)
    monkeypatch.setattr(type(cache), "MAX_LENGTH", 4)
    rng = random.Random(0)
    for _ in range(200):
        text = "".join(rng.choices("ab. ", k=20))
        assert tok.ids(text) == [piece_id for piece_id, _ in tok.pieces(text)]
        assert len(cache) <= 5
        assert all(len(chunk) <= 4 for chunk in cache)
    assert cache


def test_a_copy_in_another_process_starts_with_an_empty_cache() -> None:
    tok = tiny("é", "##a", lowercase=False)
    tok.ids("éa éa")
    copy = pickle.loads(pickle.dumps(tok))
    assert not copy._cache
    assert copy.encode("éa É").ids == tok.encode("éa É").ids


# ---------------------------------------------------------------------------------------------- offsets


@pytest.mark.parametrize("text", [text for text in AWKWARD if len(text) <= 100], ids=lambda text: ascii(text)[:30])
@pytest.mark.parametrize("lowercase", [True, False])
@pytest.mark.parametrize("strip_accents", [True, False])
def test_offsets_lead_back_to_the_text(letters: WordPiece, text: str, lowercase: bool, strip_accents: bool) -> None:
    tok = WordPiece(letters.vocabulary, lowercase, strip_accents)
    table = CharacterTable(lowercase, strip_accents, True)
    encoding = tok.encode(text)
    spans, tokens = encoding.offsets[1:-1], encoding.tokens[1:-1]
    assert tokens.count("[UNK]") == text.count("[UNK]")
    for (start, end), token in zip(spans, tokens, strict=True):
        covered = text[start:end]
        if token in SPECIAL:
            assert covered == token
        else:
            assert end == start + 1  # each piece of this vocabulary is one character long
            assert token.removeprefix("##") in covered.translate(table)
    assert spans == sorted(spans)
    kept = {at for at, c in enumerate(text) if c.translate(table).strip()}
    assert {at for start, end in spans for at in range(start, end)} == kept


def test_offsets_of_longer_pieces(minilm: WordPiece) -> None:
    text = "Ｎo! \u200bNA\u00cf\u0301VE\u0301\x00ly una\u0301ffab\u200dle İstanbul 𝔸"
    encoding = minilm.encode(text)
    covered = [text[start:end] for start, end in encoding.offsets]
    for token, stretch in zip(encoding.tokens, covered, strict=True):
        if token not in SPECIAL:
            assert "".join(stretch.translate(CharacterTable(True, True, True)).split()) == token.removeprefix("##")
    # What was removed belongs to a piece only if it stands inside: not the invisible blank before NAÏVE, nor the
    # accent after una; but the one inside ##ble.
    where = dict(zip(encoding.tokens, covered, strict=True))
    assert (where["naive"], where["una"], where["##ble"]) == ("NA\u00cf\u0301VE", "una", "b\u200dle")
    assert where["istanbul"] == "İstanbul"


def test_offsets_when_a_character_is_cut_in_two() -> None:
    tok = tiny("i", "##\u0307", "##x", strip_accents=False)
    assert tok.encode("İx").offsets[1:-1] == [(0, 1), (0, 1), (1, 2)]  # İ is lower-cased to i and a dot


def test_offsets_of_a_pair_are_in_the_text_they_come_from() -> None:
    tok = tiny("a", "bb", "c")
    encoding = tok.encode("a  bb", "c a")
    assert encoding == Encoding(
        ids=[2, 5, 6, 3, 7, 5, 3],
        type_ids=[0, 0, 0, 0, 1, 1, 1],
        tokens=["[CLS]", "a", "bb", "[SEP]", "c", "a", "[SEP]"],
        sequence_ids=[None, 0, 0, None, 1, 1, None],
        offsets=[(0, 0), (0, 1), (3, 5), (0, 0), (0, 1), (2, 3), (0, 0)],
    )


# ------------------------------------------------------------------------------ truncation and batches


@pytest.mark.parametrize(
    ("first", "second", "max_length", "kept"),
    [
        (5, 5, 13, (5, 5)),  # fits
        (5, 5, 12, (4, 5)),  # equal: the second keeps one more
        (5, 5, 11, (4, 4)),
        (9, 3, 13, (7, 3)),  # only the longer is cut
        (9, 3, 8, (3, 2)),
        (3, 9, 8, (2, 3)),
        (3, 9, 14, (3, 8)),
        (9, 0, 7, (4, 0)),
        (4, 4, 4, (0, 1)),
        (4, 4, 3, (0, 0)),
    ],
)
def test_pairs_are_cut_longest_first(first: int, second: int, max_length: int, kept: tuple[int, int]) -> None:
    tok = tiny("a", "b")
    encoding = tok.encode("a " * first, "b " * second, max_length)
    assert (encoding.tokens.count("a"), encoding.tokens.count("b")) == kept
    assert encoding.tokens == ["[CLS]", *"a" * kept[0], "[SEP]", *"b" * kept[1], "[SEP]"]
    assert tok("a " * first, "b " * second, max_length)["input_ids"].tolist() == [encoding.ids]


def test_one_text_is_cut_at_its_end() -> None:
    encoding = tiny("a", "b").encode("a a b b", max_length=5)
    assert encoding.tokens == ["[CLS]", "a", "a", "b", "[SEP]"]
    assert len(encoding.ids) == len(encoding.type_ids) == len(encoding.offsets) == len(encoding.sequence_ids) == 5


def test_batch_is_padded() -> None:
    tok = tiny("a", "b")
    batch = tok(["a", "b a b", ""], ["b", "", "a"])
    assert {name: tensor.tolist() for name, tensor in batch.items()} == {
        "input_ids": [[2, 5, 3, 6, 3, 0], [2, 6, 5, 6, 3, 3], [2, 3, 5, 3, 0, 0]],
        "attention_mask": [[1, 1, 1, 1, 1, 0], [1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 0, 0]],
        "token_type_ids": [[0, 0, 0, 1, 1, 0], [0, 0, 0, 0, 0, 1], [0, 0, 1, 1, 0, 0]],
    }
    assert all(tensor.dtype == torch.int64 for tensor in batch.values())


def test_a_single_text_is_a_batch_of_one() -> None:
    tok = tiny("a", "b")
    assert tok("a b")["input_ids"].tolist() == tok(["a b"])["input_ids"].tolist() == [[2, 5, 6, 3]]
    assert tok(text for text in ("a", "b"))["input_ids"].tolist() == [[2, 5, 3], [2, 6, 3]]


def test_padding_id_is_the_vocabularys() -> None:
    tok = WordPiece({"a": 0, "[MASK]": 1, "[SEP]": 2, "[CLS]": 3, "[UNK]": 4, "[PAD]": 5})
    assert tok(["a", "a a x"])["input_ids"].tolist() == [[3, 0, 2, 5, 5], [3, 0, 0, 4, 2]]
    assert tok.special_ids == {1, 2, 3, 4, 5}
    assert tok.tokens == ["a", "[MASK]", "[SEP]", "[CLS]", "[UNK]", "[PAD]"]


# ----------------------------------------------------------------------------------------------- decoding


def test_decode(minilm: WordPiece) -> None:
    ids = minilm.encode("Naïve? UNAFFABLE, quite\n[MASK] so!").ids
    assert minilm.decode(ids) == "naive? unaffable, quite so!"
    assert minilm.decode(ids, skip_special=False) == "[CLS] naive? unaffable, quite [MASK] so! [SEP]"
    for same in (torch.tensor(ids), np.array(ids), tuple(ids), [np.int64(i) for i in ids], list(torch.tensor(ids))):
        assert minilm.decode(same) == minilm.decode(ids)
    assert minilm.decode([]) == ""


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ([2, 7], r"id 7 at position 1 .* 0 to 6"),
        ([-100], r"id -100 at position 0"),
        ([5, 1.0], r"a float at position 1"),
        (torch.tensor([[5, 6]]), r"one row .* a list at position 0"),
        (torch.tensor(5), r"one row of ids, not"),
        ("ab", r"one row of ids, not 'ab', a str"),
        (None, r"one row of ids, not None"),
    ],
    ids=str,
)
def test_decode_refuses(ids: object, message: str) -> None:
    with pytest.raises(MinibertError, match=message):
        tiny("a", "b").decode(ids)


# --------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize("bad", [None, float("nan"), b"bytes", 7, ["a"]], ids=str)
def test_text_that_is_no_str(bad: object) -> None:
    tok = tiny("a")
    kind = type(bad).__name__
    with pytest.raises(MinibertError, match=f"the text is .*an? {kind}, but must be a str"):
        tok.encode(bad)
    with pytest.raises(MinibertError, match=rf"texts\[1\] is .*an? {kind}, "):
        tok(["a", bad])
    with pytest.raises(MinibertError, match=rf"pairs\[0\] is .*an? {kind}, "):
        tok(["a"], [bad])
    with pytest.raises(MinibertError, match=f"an? {kind}, "):
        WordPiece.train(["a", bad], 50)
    if bad is not None:
        with pytest.raises(MinibertError, match=f"second text is .*an? {kind}, "):
            tok.encode("a", bad)
    if not isinstance(bad, list):
        with pytest.raises(MinibertError, match=f"texts is .*an? {kind}, "):
            tok(bad)


def test_advice_fits_what_was_given() -> None:
    with pytest.raises(MinibertError, match=r"decode\('utf-8'\)"):
        tiny("a").encode(b"a")
    for empty in (None, float("nan")):
        with pytest.raises(MinibertError, match="empty cell of a table"):
            tiny("a").encode(empty)
    for given, advice in (
        (["a", "b"], r"tok\.encode\(first, second\), many pairs as tok\(firsts, seconds\)"),
        (("a", "b"), "many pairs as"),
        (["a"], "one list of texts"),
        (["a", "b", "a"], "one list of texts"),
        (3, r"tok\.decode\(ids\)"),
        (np.int64(3), r"tok\.decode\(ids\)"),
        (torch.tensor([2, 3]), r"tok\.decode\(ids\)"),
        ({"a": 1}, "give a text, or a list of texts"),
        (1.5, "give a text, or a list of texts"),
    ):
        with pytest.raises(MinibertError, match=advice) as told:
            tiny("a", "b")([given])
        assert "empty cell" not in str(told.value)


@pytest.mark.parametrize(("pair", "max_length"), [(None, 1), (None, 0), (None, -5), ("b", 2), (None, 8.0)])
def test_max_length_without_room(pair: str | None, max_length: int) -> None:
    tok = tiny("a", "b")
    needed = 2 if pair is None else 3
    message = f"max_length is {max_length}, .* take {needed}; it must be an integer, at least {needed}"
    with pytest.raises(MinibertError, match=message):
        tok.encode("a", pair, max_length)
    with pytest.raises(MinibertError, match=message):
        tok("a", pair, max_length)
    assert len(tok.encode("a", pair, needed).ids) == needed


def test_batches_that_make_no_sense() -> None:
    tok = tiny("a")
    with pytest.raises(MinibertError, match="no texts in the batch"):
        tok([])
    with pytest.raises(MinibertError, match="2 texts but 1 second text"):
        tok(["a", "a"], ["a"])
    with pytest.raises(MinibertError, match="2 texts but 1 second text"):
        tok(["a", "a"], "a")


@pytest.mark.parametrize(
    ("vocabulary", "message"),
    [
        (dict.fromkeys(SPECIAL, 0), "ids must be 0 to 4"),
        ({token: at + 1 for at, token in enumerate(SPECIAL)}, "ids must be 0 to 4"),
        (dict(enumerate(SPECIAL)), "ids must be 0 to 4"),
        ({"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "a": 3}, r"\(4 tokens\) lacks \[SEP\], \[MASK\]; WordPiece needs"),
        ({}, r"lacks \[PAD\]"),
    ],
)
def test_vocabularies_that_are_refused(vocabulary: dict, message: str) -> None:
    with pytest.raises(MinibertError, match=message):
        WordPiece(vocabulary)


# -------------------------------------------------------------------------------------- files and folders


def write_vocabulary(folder: Path, *tokens: str) -> Path:
    path = folder / "vocab.txt"
    path.write_text("".join(token + "\n" for token in (*SPECIAL, *tokens)), encoding="utf-8")
    return path


def test_a_line_is_an_id(tmp_path: Path) -> None:
    path = write_vocabulary(tmp_path, "a", "\u2028", "\x85", "b")  # str.splitlines() would cut at two of them
    assert WordPiece.from_file(path).vocabulary == numbered("a", "\u2028", "\x85", "b")
    path.write_bytes(b"\xef\xbb\xbf" + "\r\n".join([*SPECIAL, "a"]).encode())  # as some editors on Windows save it
    assert WordPiece.from_file(path).vocabulary == numbered("a")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        ("\n".join([*SPECIAL, "a", "b", "a"]).encode(), "has 'a' twice, in lines 6 and 8"),
        ("\n".join([*SPECIAL, "", "a"]).encode(), "line 6 .* is blank"),
        ("\n".join([*SPECIAL, "é"]).encode("latin-1"), r"not UTF-8 text: the byte 0xe9 at position 31"),
        (b"[PAD]\n[UNK]\n[CLS]\n[SEP]\n", r"lacks \[MASK\]"),
        (b"<s>\n</s>\n", r"lacks \[PAD\], .*another family's"),
    ],
    ids=["empty", "duplicate", "blank line", "not UTF-8", "no mask", "another family"],
)
def test_vocabulary_files_that_are_refused(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "vocab.txt").write_bytes(content)
    for read in (WordPiece.from_folder, load_tokenizer):
        with pytest.raises(MinibertError, match=message):
            read(tmp_path)


def test_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(MinibertError, match=r"there is no file .*vocab\.txt"):
        load_tokenizer(tmp_path / "vocab.txt")
    with pytest.raises(MinibertError, match=r"cannot be read .*No such file"):
        WordPiece.from_file(tmp_path / "vocab.txt")
    with pytest.raises(MinibertError, match="there is no folder"):
        WordPiece.from_folder(tmp_path / "nowhere")
    with pytest.raises(MinibertError, match=r"holds no tokenizer that can be read here.*it is empty"):
        load_tokenizer(tmp_path)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["merges.txt", "config.json"], "holds no whole byte-level BPE"),
        (["model.safetensors", "config.json"], "found config.json, model.safetensors"),
    ],
)
def test_folders_of_other_families(tmp_path: Path, names: list[str], message: str) -> None:
    for name in names:
        (tmp_path / name).write_text("{}")
    with pytest.raises(MinibertError, match=message):
        load_tokenizer(tmp_path)


def test_settings_are_read_from_the_folder(tmp_path: Path) -> None:
    path = write_vocabulary(tmp_path, "é", "É", "e", "日日")
    assert spelled(load_tokenizer(tmp_path), "É 日日") == ["e", "[UNK]", "[UNK]"]  # without a config: uncased
    config = {"do_lower_case": False, "strip_accents": None, "tokenize_chinese_chars": False, "model_max_length": 512}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    for tok in (load_tokenizer(tmp_path), load_tokenizer(str(path))):
        assert spelled(tok, "É 日日") == ["É", "日日"]
    (tmp_path / "tokenizer_config.json").write_text("{")
    with pytest.raises(MinibertError, match=r"tokenizer_config\.json cannot be read as JSON"):
        load_tokenizer(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text("[1]")
    with pytest.raises(MinibertError, match="must hold a JSON object, but holds a list"):
        load_tokenizer(tmp_path)


TOKENIZER_JSON = {
    "added_tokens": [{"content": token} for token in SPECIAL],
    "normalizer": {
        "type": "BertNormalizer",
        "clean_text": True,
        "handle_chinese_chars": False,
        "strip_accents": None,
        "lowercase": False,
    },
    "model": {
        "type": "WordPiece",
        "unk_token": "[UNK]",
        "continuing_subword_prefix": "##",
        "max_input_chars_per_word": 100,
        "vocab": numbered("É", "日日"),
    },
}


def test_folder_with_a_tokenizer_json_only(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text(json.dumps(TOKENIZER_JSON))
    assert spelled(load_tokenizer(tmp_path), "É 日日 é") == ["É", "日日", "[UNK]"]


@pytest.mark.parametrize(
    ("part", "name", "value", "message"),
    [
        ("model", "type", "WordLevel", "whose model's type is 'WordLevel'"),
        ("model", "max_input_chars_per_word", 50, "max_input_chars_per_word is 50, not 100"),
        ("normalizer", "type", "Sequence", "normalises text differently"),
        ("normalizer", "clean_text", False, "normalises text differently"),
    ],
)
def test_tokenizer_json_of_another_kind(tmp_path: Path, part: str, name: str, value: object, message: str) -> None:
    content = TOKENIZER_JSON | {part: TOKENIZER_JSON[part] | {name: value}}
    (tmp_path / "tokenizer.json").write_text(json.dumps(content))
    with pytest.raises(MinibertError, match=message):
        load_tokenizer(tmp_path)


def test_tokenizer_json_with_added_tokens(tmp_path: Path) -> None:
    content = TOKENIZER_JSON | {"added_tokens": [{"content": "[PAD]"}, {"content": "<url>"}]}
    (tmp_path / "tokenizer.json").write_text(json.dumps(content))
    with pytest.raises(MinibertError, match=r"adds tokens of its own, .*: <url>"):
        load_tokenizer(tmp_path)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("added_tokens.json", {"[E1]": 6}),
        ("tokenizer_config.json", {"added_tokens_decoder": {"6": {"content": "[E1]", "special": True}}}),
        ("tokenizer_config.json", {"additional_special_tokens": ["[E1]"]}),
        ("special_tokens_map.json", {"additional_special_tokens": [{"content": "[E1]"}]}),
        ("tokenizer.json", {"added_tokens": [{"content": "[E1]"}]}),
    ],
    ids=str,
)
def test_tokens_added_beside_a_vocabulary_are_never_ignored(tmp_path: Path, name: str, content: dict) -> None:
    path = write_vocabulary(tmp_path, "a", "[", "]", "e", "##1")
    (tmp_path / name).write_text(json.dumps(content))
    for source in (tmp_path, path):
        with pytest.raises(MinibertError, match=r"adds tokens of its own, .*: \[E1\]"):
            load_tokenizer(source)


def test_a_special_token_by_another_name_is_refused(tmp_path: Path) -> None:
    write_vocabulary(tmp_path, "a")
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"cls_token": "[SEP]"}))
    with pytest.raises(MinibertError, match=r"has \[SEP\] as its cls token; only \[CLS\]"):
        load_tokenizer(tmp_path)


def test_the_real_folder_says_the_same_in_both_its_files(
    minilm_folder: Path, minilm: WordPiece, tmp_path: Path
) -> None:
    (tmp_path / "tokenizer.json").write_bytes((minilm_folder / "tokenizer.json").read_bytes())
    other = load_tokenizer(tmp_path)
    assert other.vocabulary == minilm.vocabulary
    assert [other.encode(text) for text in AWKWARD] == [minilm.encode(text) for text in AWKWARD]


def test_asset_by_name(minilm: WordPiece) -> None:
    assert load_tokenizer("minilm-l6").vocabulary == minilm.vocabulary


@pytest.mark.parametrize(
    "settings", [{}, {"lowercase": False}, {"strip_accents": False}, {"space_cjk": False}], ids=str
)
def test_saved_and_read_back(tmp_path: Path, letters: WordPiece, settings: dict[str, bool]) -> None:
    tok = WordPiece(letters.vocabulary, **settings)
    tok.save(tmp_path / "new" / "folder")
    again = load_tokenizer(tmp_path / "new" / "folder")
    assert again.vocabulary == tok.vocabulary
    assert [again.encode(text) for text in AWKWARD] == [tok.encode(text) for text in AWKWARD]


def test_files_are_as_the_ecosystem_reads_them(tmp_path: Path) -> None:
    tiny("a", lowercase=False).save(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "special_tokens_map.json",
        "tokenizer_config.json",
        "vocab.txt",
    ]
    names = {
        "pad_token": "[PAD]",
        "unk_token": "[UNK]",
        "cls_token": "[CLS]",
        "sep_token": "[SEP]",
        "mask_token": "[MASK]",
    }
    assert (tmp_path / "vocab.txt").read_bytes() == b"[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\n"
    assert json.loads((tmp_path / "special_tokens_map.json").read_text()) == names
    assert json.loads((tmp_path / "tokenizer_config.json").read_text()) == names | {
        "do_lower_case": False,
        "strip_accents": None,
        "tokenize_chinese_chars": True,
        "tokenizer_class": "BertTokenizer",
    }


def test_a_full_disk_leaves_no_half_written_tokenizer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_bytes = Path.write_bytes

    def full_at_the_last_file(path: Path, content: bytes) -> int:
        if "special_tokens_map.json" in path.name:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write_bytes(path, content)

    monkeypatch.setattr(Path, "write_bytes", full_at_the_last_file)
    with pytest.raises(MinibertError, match=r"cannot be written .*No space left"):
        tiny("a").save(tmp_path)
    assert not list(tmp_path.iterdir())


def test_save_refuses_and_writes_nothing(tmp_path: Path) -> None:
    for token in ("", "a\nb", "a\rb"):
        with pytest.raises(MinibertError, match="cannot be a line of vocab"):
            tiny(token).save(tmp_path)
    with pytest.raises(MinibertError, match="cannot be written"):
        tiny("\ud800").save(tmp_path)
    assert not list(tmp_path.iterdir())
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(MinibertError, match=r"has a tokenizer\.json"):
        tiny("a").save(tmp_path)
    with pytest.raises(MinibertError, match="cannot be written"):
        tiny("a").save(tmp_path / "tokenizer.json" / "below a file")
    assert [path.name for path in tmp_path.iterdir()] == ["tokenizer.json"]


# -------------------------------------------------------------------------------- learning a vocabulary


def test_most_frequent_pair_first_worked_by_hand() -> None:
    # l-o-w 5 times, l-o-w-e-r twice, n-e-w 4 times: lo 7, ow 7, we 2, er 2, ne 4, ew 4.
    learned = learn_pieces({"low": 5, "lower": 2, "new": 4}, size=20, min_frequency=2)
    starts, insides = ["e", "l", "n", "o", "r", "w"], ["##e", "##l", "##n", "##o", "##r", "##w"]
    assert learned[:12] == starts + insides
    # ##ow and lo are equally frequent: "##o" sorts before "l". Then l + ##ow = low, 7; then ##ew before ne, new.
    assert learned[12:] == ["##ow", "low", "##ew", "new", "##er", "lower"]


def test_words_too_rare_are_not_joined() -> None:
    counts = {"ab": 3, "cd": 2}
    assert learn_pieces(counts, size=50, min_frequency=3)[8:] == ["ab"]
    assert learn_pieces(counts, size=50, min_frequency=4)[8:] == []
    assert learn_pieces(counts, size=9, min_frequency=1)[8:] == ["ab"]


def test_the_quick_way_of_counting_equals_counting_anew() -> None:
    rng = random.Random(0)
    for _ in range(30):
        counts = Counter("".join(rng.choices("aab", k=rng.randint(1, 8))) for _ in range(15))
        assert learn_pieces(counts, size=16, min_frequency=2) == slow_learn(counts, size=16)


def slow_learn(word_counts: dict[str, int], size: int) -> list[str]:
    """Count all pairs from the beginning before each merge."""
    spelling = {word: [word[0], *("##" + character for character in word[1:])] for word in word_counts}
    pieces = sorted({c for word in word_counts for c in word})
    pieces += sorted({"##" + c for word in word_counts if len(word) > 1 for c in word})
    while len(pieces) < size:
        pairs: Counter[tuple[str, str]] = Counter()
        for word, symbols in spelling.items():
            for at in range(len(symbols) - 1):
                pairs[symbols[at], symbols[at + 1]] += word_counts[word]
        best = min(pairs, key=lambda pair: (-pairs[pair], pair), default=None)
        if best is None or pairs[best] < 2:
            break
        new = best[0] + best[1][2:]
        if new not in pieces:
            pieces.append(new)
        for symbols in spelling.values():
            at = 0
            while at < len(symbols) - 1:
                if (symbols[at], symbols[at + 1]) == best:
                    symbols[at : at + 2] = [new]
                at += 1
    return pieces


def test_trained_on_reviews(reviews) -> None:
    texts = [review.text for review in reviews.train if review.source == "rotten-tomatoes"][:600]
    tok = WordPiece.train(texts, 900)
    assert tok.vocab_size == 900
    assert tok.tokens[:5] == SPECIAL
    assert {"the", "film", "##ing", "##ly"} <= tok.vocabulary.keys()
    held_out = [review.text for review in reviews.test if review.source == "rotten-tomatoes"][:200]
    words = sum(len(text.split()) for text in held_out)
    pieces = [i for text in held_out for i in tok.ids(text)]
    assert pieces.count(tok.unk_id) < 5
    assert len(pieces) < 2 * words
    assert WordPiece.train(texts[::-1], 900).tokens == tok.tokens


def test_known_characters_are_never_unknown() -> None:
    rng = random.Random(0)
    tok = WordPiece.train(["Ein Zwölf-Boxkämpfer jagt [MASK] quer über Ünder Sylt!"], 100)
    assert "[" not in tok.vocabulary  # the special token was not taken for text
    for _ in range(200):
        word = "".join(rng.choices("einzwolfboxkampferjagtquerubersylt", k=rng.randint(1, 12)))
        assert tok.unk_id not in tok.ids(f"{word}! -{word}")


def test_trained_with_case() -> None:
    texts = ["Größe größe Größe größe"]
    assert {"Größe", "größe"} <= WordPiece.train(texts, 60, lowercase=False).vocabulary.keys()
    assert spelled(WordPiece.train(texts, 60, lowercase=False), "Größe") == ["Größe"]
    assert not {"Größe", "größe", "ö"} & WordPiece.train(texts, 60).vocabulary.keys()
    assert spelled(WordPiece.train(texts, 60), "Größe") == ["große"]


def test_training_that_cannot_work() -> None:
    with pytest.raises(MinibertError, match="no words in the texts"):
        WordPiece.train(["", " \t"], 100)
    with pytest.raises(MinibertError, match="no words in the texts"):
        WordPiece.train([], 100)
    with pytest.raises(MinibertError, match=r"need 4 pieces, 2 more than .*larger by 2"):
        WordPiece.train(["ab"], 7)
    assert WordPiece.train(["ab"], 9).vocab_size == 9


@pytest.mark.parametrize("size", ["80", None, 300.0, True, 0, -5])
def test_sizes_that_are_none(size: object) -> None:
    with pytest.raises(MinibertError, match=r"vocab_size is .*; it must be an integer, at least 1\."):
        WordPiece.train(["some words"], size)
    with pytest.raises(MinibertError, match=r"min_frequency is .*; it must be an integer, at least 1\."):
        WordPiece.train(["some words"], 300, min_frequency=size)
