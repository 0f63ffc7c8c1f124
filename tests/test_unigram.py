"""Unigram: the same ids as SentencePiece with ALBERT's and XLNet's cleaning, and learning a vocabulary."""

from __future__ import annotations

import base64
import dataclasses
import itertools
import json
import math
import pickle
import random
import re
import struct
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from lab import assert_same, lab, part

from minibert import load_tokenizer
from minibert.errors import MinibertError
from minibert.tokenizers import AlbertUnigram, Unigram, XLNetUnigram, protobuf, spiece, unigram, unigram_model
from minibert.tokenizers.cutters import SentencePieceCutter
from minibert.tokenizers.spiece import CharacterMap, Piece, PieceModel, Traced
from minibert.tokenizers.unigram_model import Lattices, best_path, digamma, gains, known_pieces, learn_pieces, same_kind
from minibert.tokenizers.word_cutter import WordCutter

FOLDER = Path(__file__).parent / "golden" / "unigram"
MODEL = PieceModel.read(FOLDER / "spiece.model")
XLNET_NAMES = {"[CLS]": "<cls>", "[SEP]": "<sep>", "[MASK]": "<mask>"}
RENAMED = [
    Piece(XLNET_NAMES[piece.text], 0.0, spiece.CONTROL) if piece.text in XLNET_NAMES else piece
    for piece in MODEL.pieces
]
XLNET_MODEL = dataclasses.replace(MODEL, pieces=tuple(RENAMED), source=None)


def golden_cases(name: str) -> list[dict]:
    return json.loads((FOLDER / name).read_text(encoding="utf-8"))["cases"]


AWKWARD = [case["text"] for case in golden_cases("albert_cases.json")] + [
    "a[MASK]b [CLS] [MASK <unk>c",
    "one\x0btwo\x0cthree\x1cfour\x85five six\u2028seven\u2029eight\u3000nine\xa0ten",
    "``quoted'' ''' ```` 1,000, 20,5 ², ३, 9,9,",
    "ΟΔΟΣ ΣΑΣ, \u1112\u1161\u11ab か\u3099 x\u200dy \ufeff \xad \ue000 \ud800 \x00",
    "▁ a▁b ▁▁ x ▁",
]


# ------------------------------------------------------------------------------------------ the lab sheet
# Each property by itself, with numbers that can be worked out on paper. Read these first.


@lab(
    "viterbi",
    code=best_path,
    lesson="05",
    breaks="`rounded[0] = here + piece[1]` without `here +`",
    catches="longest-piece",
)
def test_the_way_with_the_highest_sum_is_taken():
    """the scores of all pieces of a way are added, and the way with the highest sum is taken

    her o in: -7 - 5 - 5 = -17. he ro in: -5 - 6 - 5 = -16, though its first piece is shorter and ro is worse than o.
    """
    scores = {**dict.fromkeys("heroin", -9.0), "her": -7.0, "o": -5.0, "he": -5.0, "ro": -6.0, "in": -5.0}
    assert_same(part("viterbi")("heroin", scores), ["he", "ro", "in"])


@lab(
    "viterbi",
    code=best_path,
    lesson="05",
    breaks="`here + unknown[1]` without `unknown[1]`",
    catches="unknown-free",
)
def test_an_unknown_character_has_its_price():
    """a character that is no piece can be cut off by itself, and costs the score of an unknown one

    x y: two unknown characters, or one piece of the score -30. At -20 each the piece is better, at -10 the two are.
    """
    assert_same(part("viterbi")("xy", {"xy": -30.0}, -20.0), ["xy"])
    assert_same(part("viterbi")("xy", {"xy": -30.0}, -10.0), ["x", "y"])


@lab("viterbi", code=best_path, lesson="05", breaks="`score > best[end]` replaced by >=", catches="ties-shorter")
def test_of_equal_ways_the_longer_last_piece_is_kept():
    """of two ways with equal scores the one with the longer last piece is kept

    ab: -2 in one piece, and -1 - 1 in two.
    """
    assert_same(part("viterbi")("ab", {"a": -1.0, "b": -1.0, "ab": -2.0}), ["ab"])


# ------------------------------------------------------------------------------------------ the other tests


def small(
    *pieces: tuple[str, float], family: type[Unigram] = AlbertUnigram, further: tuple[Piece, ...] = (), **settings: bool
) -> Unigram:
    """A tokenizer with the special tokens, a "▁", and these pieces."""
    first = [Piece(token, 0.0, kind) for token, kind in family.reserved.items()]
    rest = [Piece(text, score) for text, score in (("▁", -2.0), *pieces)]
    return family(SentencePieceCutter(PieceModel((*first, *rest, *further)), **settings))


def spelled(tok: Unigram, text: str) -> list[str]:
    """The text's tokens without those around it, as the vocabulary has them."""
    return [tok.tokens[number] for number, _ in tok.pieces(text)]


@pytest.fixture(scope="module")
def albert() -> Unigram:
    return AlbertUnigram(SentencePieceCutter(MODEL, lowercase=True))


@pytest.fixture(scope="module")
def xlnet() -> Unigram:
    return XLNetUnigram(SentencePieceCutter(XLNET_MODEL))


# ------------------------------------------------------------------------------------------- golden numbers


@pytest.mark.parametrize("case", golden_cases("albert_cases.json"), ids=lambda case: ascii(case["text"])[:30])
def test_golden_texts_of_albert(albert: Unigram, case: dict) -> None:
    found = albert.cutter.cut(Traced.of(case["text"]))
    assert [piece.text for piece in found] == case["pieces"]
    assert [piece.id for piece in found] == case["ids"] == albert.ids(case["text"])
    assert albert.encode(case["text"]).ids == [2, *case["ids"], 3]


@pytest.mark.parametrize("case", golden_cases("xlnet_cases.json"), ids=lambda case: ascii(case["text"])[:30])
def test_golden_texts_of_xlnet(xlnet: Unigram, case: dict) -> None:
    found = xlnet.cutter.cut(Traced.of(case["text"]))
    assert [piece.text for piece in found] == case["pieces"]
    assert [piece.id for piece in found] == case["ids"]
    if "<mask>" not in case["text"]:  # no special token in the vocabulary that the case was made with
        assert xlnet.ids(case["text"]) == case["ids"]
        assert xlnet.encode(case["text"]).ids == [*case["ids"], 3, 2]


@pytest.mark.parametrize("case", golden_cases("cases.json"), ids=lambda case: ascii(case["text"])[:30])
def test_golden_texts_of_sentencepiece_alone(case: dict) -> None:
    """Without the families' cleaning: the steps end where the model's own normalisation begins."""
    cutter = SentencePieceCutter(MODEL, keep_accents=True, remove_space=False)
    cutter._steps = cutter._steps[-1:]
    found = cutter.cut(Traced.of(case["text"]))
    assert [piece.text for piece in found] == case["pieces"]
    assert [piece.id for piece in found] == case["ids"]


def test_the_modules_tell_the_truth_about_their_examples(albert: Unigram) -> None:
    rows = re.findall(r"^    ((?:\S+ +)+?) +(-[\d. -]+) += +(-[\d.]+)(.*)$", unigram_model.__doc__, flags=re.MULTILINE)
    assert len(rows) == 3
    for pieces, scores, total, remark in rows:
        ways = pieces.split()
        assert "".join(ways) == "▁heroin"
        exact = [albert.cutter.scores[albert.vocabulary[piece]] for piece in ways]
        assert [round(score, 2) for score in exact] == [-float(score) for score in scores[1:].split(" - ")]
        assert round(sum(exact), 2) == float(total)
        assert (spelled(albert, "heroin") == ways) == ("the best" in remark)
    longest_first = [piece for piece in albert.tokens if "▁heroin".startswith(piece)]
    assert max(longest_first, key=len) == rows[0][0].split()[0]
    example = re.search(r"^    (\".*?\")  ->  (\".*?\")  ->  (.*)$", unigram.__doc__, flags=re.MULTILINE)
    assert example
    text, plain, pieces = example.groups()
    assert "".join(albert.cutter.words(text.strip('"'))) == plain.strip('"')
    assert spelled(albert, text.strip('"')) == pieces.split()


# --------------------------------------------------------------------------------------------- the best path


def every_way(word: str, pieces: dict[str, float]) -> list[tuple[list[str], float]]:
    """All ways to cut a word into pieces, with their scores, by trying each place."""
    ways = []
    for cuts in itertools.product([False, True], repeat=len(word) - 1):
        places = [0, *(at for at, cut in enumerate(cuts, 1) if cut), len(word)]
        parts = [word[start:end] for start, end in itertools.pairwise(places)]
        if all(part in pieces for part in parts):
            ways.append((parts, sum(pieces[part] for part in parts)))
    return ways


def random_pieces(rng: random.Random, letters: str = "abc") -> dict[str, float]:
    pieces = {letter: -rng.uniform(1, 4) for letter in letters}
    for _ in range(8):
        pieces["".join(rng.choices(letters, k=rng.randint(2, 4)))] = -rng.uniform(2, 8)
    return pieces


def test_the_best_path_is_the_best_of_all_ways() -> None:
    rng = random.Random(0)
    for _ in range(60):
        pieces = random_pieces(rng)
        numbered = list(pieces)
        known = known_pieces((text, number, pieces[text]) for number, text in enumerate(numbered))
        for _ in range(15):
            word = "".join(rng.choices("abc", k=rng.randint(1, 9)))
            path = best_path(word, known, (-1, -20.0))
            ways = sorted((score for _, score in every_way(word, pieces)), reverse=True)
            assert sum(pieces[numbered[number]] for number in path.ids) == pytest.approx(ways[0], abs=1e-12)
            assert "".join(numbered[number] for number in path.ids) == word
            assert path.ends == [sum(len(numbered[n]) for n in path.ids[: at + 1]) for at in range(len(path.ids))]
            assert path.lead <= (ways[0] - ways[1] if len(ways) > 1 else math.inf) + 1e-9


def test_of_equal_ways_that_with_the_longer_last_piece() -> None:
    tok = small(("a", -1.0), ("aa", -1.5))
    assert spelled(tok, "aaa") == ["▁", "a", "aa"]
    assert spelled(tok, "aaaaa") == ["▁", "a", "aa", "aa"]
    assert best_path("aaa", known_pieces([("a", 0, -1.0), ("aa", 1, -1.5)]), (9, -9.0)).lead == 0


def test_a_prefix_that_is_no_piece_is_passed_over() -> None:
    assert spelled(small(*zip("abcd", [-3.0] * 4, strict=True), ("abcd", -4.0)), "abcd abc") == [
        *("▁", "abcd"),
        *("▁", "a", "b", "c"),
    ]


def test_an_unknown_character_costs_ten_more_than_the_worst_piece() -> None:
    # "xa" is the least probable: -7. So x alone costs -17, and x, a cost -17 - 1 = -18.
    assert spelled(small(("a", -1.0), ("xa", -7.0)), "xa") == ["▁", "xa"]
    tok = small(("a", -1.0), ("b", -1.0), ("axb", -18.9), ("c", -30.0))
    assert tok.cutter.unknown == (1, -40.0)
    assert spelled(tok, "axb") == ["▁", "axb"]
    for cost, expected in ((-29.9, ["▁", "qaq"]), (-31.1, ["▁", "qaq"])):
        # q is unknown and costs 10 more than "qaq", the worst piece: two of them and an a always cost more.
        assert spelled(small(("a", -1.0), ("qaq", cost)), "qaq") == expected
    single = known_pieces([("a", 0, -1.0), ("ab", 1, -12.5)])
    assert best_path("ab", single, (9, -11.0)).ids == [0, 9]
    assert best_path("ab", single, (9, -12.0)).ids == [1]


def test_unknown_characters_side_by_side_are_one() -> None:
    tok = small(("a", -1.0))
    encoding = tok.encode("axyza x y")
    assert encoding.tokens[1:-1] == ["▁", "a", "<unk>", "a", "▁", "<unk>", "▁", "<unk>"]
    assert encoding.offsets[3] == (1, 4)
    found = tok.cutter.cut(Traced.of("axyz"))
    assert [piece.text for piece in found] == ["▁", "a", "xyz"]
    assert tok.ids("axyza x y") == encoding.ids[1:-1]


def test_control_and_unused_pieces_are_not_found_in_text() -> None:
    tok = small(("a", -1.0), ("b", -1.0), further=(Piece("ab", -0.1, spiece.CONTROL), Piece("ba", -0.1, spiece.UNUSED)))
    assert spelled(tok, "abba") == ["▁", "a", "b", "b", "a"]


def test_user_defined_pieces_are_kept_whole() -> None:
    symbol = Piece("ab", -50.0, spiece.USER_DEFINED)
    tok = small(*zip("abcx", [-1.0] * 4, strict=True), ("xabc", -2.5), further=(symbol,))
    assert tok.cutter.scores[-1] == pytest.approx(0.1)
    assert tok.cutter.unknown == (1, -12.5)  # 10 below the worst of the ordinary pieces
    assert spelled(tok, "ab") == ["▁", "ab"]
    assert spelled(tok, "xabc") == ["▁", "x", "ab", "c"]  # -1 + 0.1 - 1 > -2.5, though the file says -50
    assert spelled(tok, "xabc xabcab") == ["▁", "x", "ab", "c"] * 2 + ["ab"]
    assert spiece.LongestMatch(["a", "abc", "ab"]).match("xabd", 1) == 2
    sharp = small(("s", -1.0), further=(Piece("ﬁ", 0.0, spiece.USER_DEFINED),))
    sharp_map = dataclasses.replace(sharp.cutter.model, character_map=MODEL.character_map)
    kept = AlbertUnigram(SentencePieceCutter(sharp_map, keep_accents=True))
    assert spelled(kept, "sﬁ") == ["▁", "s", "ﬁ"]  # not made "fi" by the rules


def test_sums_in_32_bits_are_those_of_sentencepiece(albert: Unigram) -> None:
    # In 64 bits the two ways are equal but for the 9th digit; in 32 bits they are equal or not as the sum before is.
    known = known_pieces([("a", 0, -1.1), ("b", 1, -1.7), ("ab", 2, -2.8 + 1e-9)])
    assert best_path("ab", known, (9, -9.0)).ids == [2]
    assert best_path("ab", known, (9, -9.0), precision="f", before=-1000.0).ids == [2]
    finer = known_pieces([("a", 0, -1.1), ("b", 1, -1.7), ("ab", 2, -2.8 - 1e-3)])
    assert best_path("ab", finer, (9, -9.0), precision="f").ids == [0, 1]
    assert best_path("ab", finer, (9, -9.0), precision="f", before=-100_000.0).ids == [2]  # steps of 1/128 there


# -------------------------------------------------------------------------------------- the quick way to the ids


@pytest.mark.parametrize("family", ["albert", "xlnet"])
@pytest.mark.parametrize("text", AWKWARD, ids=lambda text: ascii(text)[:30])
def test_ids_are_those_of_the_pieces(request: pytest.FixtureRequest, family: str, text: str) -> None:
    tok = request.getfixturevalue(family)
    expected = [number for number, _ in tok.pieces(text)]
    for _ in range(2):  # worked out, then from the cache
        assert tok.ids(text) == expected
    assert tok.ids(f"{text}\n{text}") == [number for number, _ in tok.pieces(f"{text}\n{text}")]


def test_ids_far_into_a_long_text() -> None:
    rng = random.Random(0)
    pieces = random_pieces(rng, "ab")
    pieces |= {"aab": pieces["a"] + pieces["a"] + pieces["b"] - 2e-4, "ba": pieces["b"] + pieces["a"] + 1e-4}
    tok = small(*((text, float(np.float32(score))) for text, score in pieces.items()))
    words = ["".join(rng.choices("ab", k=rng.randint(1, 8))) for _ in range(200)]
    text = " ".join(rng.choices(words, k=3000))
    exact = [number for number, _ in tok.pieces(text)]
    assert tok.ids(text) == exact
    one_by_one = [number for word in text.split() for number in tok._cache[word]]
    assert len(one_by_one) > 3000
    assert one_by_one != exact  # so the rounding did decide somewhere


def test_what_comes_before_is_rounded_like_the_whole_text(monkeypatch: pytest.MonkeyPatch) -> None:
    tok = small(("a", -1.5), ("aa", -3.0 + 1e-3), ("b", -7.25))
    rough = small(("a", -1.5), ("aa", -3.0 + 1e-3), ("b", score := float(np.float32(-7.3))))
    asked: list[tuple[str, float]] = []
    after = tok.cutter.quick_after
    monkeypatch.setattr(tok.cutter, "quick_after", lambda c, b: asked.append((c, b)) or after(c, b))
    text = "b " * 3000 + "aa xx 1, aa"
    assert tok.ids(text) == [number for number, _ in tok.pieces(text)]
    assert asked[0] == ("aa", -9.25 * 3000)
    assert {chunk for chunk, _ in asked} == {"aa"}
    asked.clear()
    monkeypatch.setattr(rough.cutter, "quick_after", lambda c, b: asked.append((c, b)) or after(c, b))
    rough.ids(text)
    before = np.float32(0)
    for number in [-2.0, score] * 3000:
        before += np.float32(number)
    assert asked[0] == ("aa", before)
    assert before != sum([-2.0, score] * 3000)
    asked.clear()
    tok.ids("b " * 3000 + "qqq aa")  # one <unk>, but three unknown characters on the path, at -17.25 each
    assert asked[-1] == ("aa", -9.25 * 3000 - 2 - 3 * 17.25)


def test_short_texts_are_not_cut_twice(albert: Unigram, monkeypatch: pytest.MonkeyPatch) -> None:
    tok = AlbertUnigram(albert.cutter)
    monkeypatch.setattr(tok, "_settled", lambda *_: pytest.fail("cut again"))
    assert tok.ids("the movie was good, and i liked it") == albert.ids("the movie was good, and i liked it")


@pytest.mark.parametrize(
    ("pieces", "text"),
    [
        ([("a", -1.0), ("▁a▁", -1.0), ("b", -1.0)], "a b a"),  # a piece reaches over a blank
        ([("a", -1.0), ("▁a▁b", -1.0), ("b", -1.0)], "a b a"),
    ],
)
def test_vocabularies_whose_words_do_not_stand_alone(pieces: list[tuple[str, float]], text: str) -> None:
    tok = small(*pieces)
    assert tok.ids(text) == [number for number, _ in tok.pieces(text)]
    assert pieces[1][0] in spelled(tok, text)


def test_a_rule_that_reaches_over_a_blank() -> None:
    first = [Piece(token, 0.0, kind) for token, kind in AlbertUnigram.reserved.items()]
    pieces = (*first, *(Piece(text, -1.0) for text in "▁adez"))
    tok = AlbertUnigram(SentencePieceCutter(PieceModel(pieces, trie({b" d": b"z", b"e d": b" a"}))))
    assert spelled(tok, "a e de d") == ["▁", "a", "▁", "a", "▁", "a"]
    assert tok.ids("a e de d") == [number for number, _ in tok.pieces("a e de d")]
    assert tok.ids("a d") == [tok.vocabulary[piece] for piece in "▁az"]


def test_an_unknown_blank_is_joined_to_its_neighbours() -> None:
    first = [Piece(token, 0.0, kind) for token, kind in AlbertUnigram.reserved.items()]
    tok = AlbertUnigram(SentencePieceCutter(PieceModel((*first, Piece("a", -1.0)))))
    assert spelled(tok, "ax xa") == ["<unk>", "a", "<unk>", "a"]
    assert tok.ids("ax xa") == [number for number, _ in tok.pieces("ax xa")]


def test_a_written_blank_mark_is_a_character_where_no_rule_says_otherwise() -> None:
    tok = small(("a", -1.0), ("b", -1.0))
    for text in ("a ▁ b", "a▁ b", "▁a", "a▁b ▁"):
        assert tok.ids(text) == [number for number, _ in tok.pieces(text)]
    assert spelled(tok, "a ▁ b") == ["▁", "a", "▁", "▁", "▁", "b"]


def test_cache_is_bounded_and_never_wrong(monkeypatch: pytest.MonkeyPatch, albert: Unigram) -> None:
    tok = AlbertUnigram(albert.cutter)
    cache = tok._cache
    monkeypatch.setattr(type(cache), "MAX_CHUNKS", 12)
    monkeypatch.setattr(type(cache), "MAX_CHUNK_LENGTH", 6)
    rng = random.Random(0)
    for _ in range(200):
        text = "".join(rng.choices("aeirst'.,9É ", weights=[3] * 6 + [1] * 5 + [4], k=30))
        assert tok.ids(text) == [number for number, _ in tok.pieces(text)]
        assert len(cache) + len(cache.noted) <= 12 + 2 * len(text.split(" "))
        assert all(len(chunk) <= 6 for chunk in cache)
    assert cache


@pytest.mark.parametrize("family", ["albert", "xlnet"])
def test_a_copy_in_another_process_starts_with_an_empty_cache(request: pytest.FixtureRequest, family: str) -> None:
    tok = request.getfixturevalue(family)
    tok.ids("some words")
    copy = pickle.loads(pickle.dumps(tok))
    assert type(copy) is type(tok)
    assert not copy._cache
    assert [copy.encode(text) for text in AWKWARD] == [tok.encode(text) for text in AWKWARD]


@pytest.mark.slow
def test_real_reviews_quick_and_slow(albert: Unigram, xlnet: Unigram, reviews) -> None:
    for review in reviews.test[:25]:
        for tok in (albert, xlnet):
            assert tok.ids(review.text) == [number for number, _ in tok.pieces(review.text)]


# ------------------------------------------------------------------------------------------- making text plain


@pytest.mark.parametrize(
    ("settings", "text", "words"),
    [
        ({"lowercase": True}, "Hello  WORLD\n", ["▁hello", "▁world"]),
        ({}, "Hello\t\tWORLD", ["▁Hello", "▁WORLD"]),
        ({"lowercase": True}, "ΟΔΟΣ ΣΑΣ", ["▁οδος", "▁σας"]),
        ({}, "naïve É e\u0301 ² ½ ﬁ", ["▁naive", "▁E", "▁e", "▁2", "▁1⁄2", "▁fi"]),
        ({"keep_accents": True}, "naïve É", ["▁naïve", "▁É"]),
        ({"keep_accents": True, "lowercase": True}, "İ É", ["▁i\u0307", "▁é"]),
        ({"lowercase": True}, "İ", ["▁i"]),
        ({}, "``a'' '' ''' ````", ['▁"a"', '▁"', "▁\"'", '▁""']),
        ({}, "a\x1cb\x85c\u2028d", ["▁a", "▁b", "▁c", "▁d"]),
        ({"remove_space": False}, "a\x1cb  c", ["▁a\x1cb", "▁c"]),
        ({}, "a▁▁ ", ["▁a"]),  # a written "▁" at the end goes like a blank
        ({}, "a\u0eb6\u0eb8", ["▁a\u0eb6"]),  # of two vowel signs, one has a place in an order, and is dropped
        ({}, "´a", ["▁a"]),  # decomposed to a blank and an accent
        ({}, "  ", []),
        ({}, "", []),
    ],
)
def test_cleaning(settings: dict[str, bool], text: str, words: list[str]) -> None:
    assert SentencePieceCutter(small(("a", -1.0)).cutter.model, **settings).words(text) == words


def test_nothing_is_joined_where_the_model_says_so() -> None:
    model = PieceModel((Piece("<unk>", 0.0, spiece.UNKNOWN), Piece("a", -1.0)), join_blanks=False, dummy_prefix=False)
    cutter = SentencePieceCutter(model, remove_space=False)
    assert "".join(cutter.words(" a  a ")) == "▁a▁▁a▁"
    model = dataclasses.replace(model, escape_blanks=False)
    assert SentencePieceCutter(model, remove_space=False).words(" a  a ") == [" a  a "]


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("9,9", ["▁9", ",", "9"]),  # "▁9," is in the vocabulary, and better
        ("x9,", ["▁x", "9", ","]),  # "9," is cut; its front becomes "▁9" and loses the blank again
        ("x19,", ["▁x", "1", "9", ","]),  # "19," is cut; the front "▁", "1", "9" loses its blank
        ("x77,", ["▁x", "<unk>", ","]),  # "77," is cut; "▁77" without its blank is not in the vocabulary
        ("a,", ["▁", "a,"]),
        (",9", ["▁", ",", "9"]),
    ],
)
def test_commas_after_digits(text: str, pieces: list[str]) -> None:
    vocabulary = [("▁9,", -1.0), ("9,", -1.0), ("19,", -1.0), ("77,", -1.0), ("▁77", -1.0), ("▁x", -1.0), ("a,", -1.0)]
    tok = small(*vocabulary, ("9", -3.0), ("1", -3.0), (",", -3.0), ("▁9", -3.0), ("a", -3.0))
    assert spelled(tok, text) == pieces
    assert tok.ids(text) == [tok.vocabulary[piece] for piece in pieces]
    encoding = tok.encode(text)
    assert text[slice(*encoding.offsets[-2])] == encoding.tokens[-2].strip("▁")


def test_what_counts_as_a_digit_before_a_comma() -> None:
    assert spelled(small(("²,", -1.0), ("²", -3.0), (",", -3.0), keep_accents=True), "²,") == ["▁", "²", ","]
    assert spelled(small(("½,", -1.0), ("½", -3.0), (",", -3.0), keep_accents=True), "½,") == ["▁", "½,"]


def test_the_front_before_a_comma_is_cut_once() -> None:
    tok = small(("▁1,2,", -1.0), ("▁1,", -1.0), ("▁1", -3.0), ("2", -1.0), (",", -3.0))
    assert spelled(tok, "1,2,") == ["▁1,", "2", ","]


def test_special_tokens_in_the_text_stay_whole(albert: Unigram, xlnet: Unigram) -> None:
    assert spelled(albert, "so[MASK]so [SEP]<pad>. <unk>") == [
        *("▁so", "[MASK]", "▁so", "[SEP]", "<pad>", "▁.", "<unk>"),
    ]
    assert spelled(xlnet, "so<mask>so<sep>") == ["▁so", "<mask>", "▁so", "<sep>"]
    encoding = albert.encode("a[MASK]b")
    assert encoding.offsets[2] == (1, 7)
    assert encoding.offsets[-2] == (7, 8)
    assert encoding.sequence_ids[2] == 0
    full = small(("a", -1.0), family=XLNetUnigram)
    assert spelled(full, "a<eop><eod>a<s></s>") == ["▁", "a", "<eop>", "<eod>", "▁", "a", "<s>", "</s>"]
    assert {full.vocabulary[token] for token in ("<s>", "</s>", "<eop>", "<eod>")} <= full.special_ids
    assert full.decode(full.ids("a<eop><eod>a<s></s>")) == "a a"


# ---------------------------------------------------------------------------------------------- character rules


def test_character_rules_of_the_file() -> None:
    rules = MODEL.rules
    assert rules.match("xﬁ", 1) == ("fi", 1)
    assert rules.match("\t", 0) == (" ", 1)
    assert rules.match("\x01", 0) == ("", 1)
    assert rules.match("e\u0301x", 0) == ("é", 2)  # the longest, and no rule for e alone
    assert rules.match("e", 0) is None
    assert rules.match("\u1112\u1161\u11ab", 0) == ("한", 3)
    assert rules.match("\u1112\u1161x", 0) == ("하", 2)
    assert rules.match("\ud800", 0) is None
    assert rules.spare_ascii
    assert not rules.have_blanks
    assert CharacterMap(b"").match("ﬁ", 0) is None


def trie(rules: dict[bytes, bytes]) -> bytes:
    """A table of rules. Each beginning of a left side has 256 units for its children, so that none are in the way."""
    beginnings = sorted({left[:end] for left in rules for end in range(len(left) + 1)})
    place = {beginning: 256 * number for number, beginning in enumerate(beginnings, 1)}  # of its children
    units = [0] * (256 * (len(beginnings) + 1))
    units[0] = place[b""] << 10
    right = b""
    for left in beginnings[1:]:
        at = place[left[:-1]] ^ left[-1]
        units[at] = left[-1] | (left in rules) << 8 | (at ^ place[left]) << 10
        if left in rules:
            units[place[left]] = len(right) | 1 << 31
            right += rules[left] + b"\0"
    return struct.pack("<I", 4 * len(units)) + struct.pack(f"<{len(units)}I", *units) + right


def test_far_children_of_a_trie() -> None:
    """Where the scale bit is set, the offset counts in steps of 256 units."""
    units = [0] * 2048
    units[0] = 256 << 10
    at = 256 ^ ord("A")
    leaf = at ^ 5 << 8
    units[at] = ord("A") | 1 << 8 | 1 << 9 | 5 << 10
    units[leaf] = 2 | 1 << 31
    far = struct.pack("<I", 4 * len(units)) + struct.pack(f"<{len(units)}I", *units) + b"x\0far\0"
    assert CharacterMap(far).match("A", 0) == ("far", 1)


def test_a_table_of_rules_made_by_hand() -> None:
    rules = CharacterMap(trie({b"A": b"a", b"!": b"", b"x": b"yz"}))
    assert [rules.match(text, 0) for text in ("A", "!", "x", "y")] == [("a", 1), ("", 1), ("yz", 1), None]
    assert not rules.spare_ascii
    assert rules.match("A!", 0) == ("a", 1)
    longer = CharacterMap(trie({b"a": b"1", b"abc": b"3", "é".encode(): b"e", "éé".encode(): b""}))
    assert [longer.match(text, 0) for text in ("ab", "abc", "ébc", "éé", "b")] == [
        *(("1", 1), ("3", 3), ("e", 1), ("", 2), None),
    ]
    assert CharacterMap(trie({b" ": b"_"})).have_blanks
    first = [Piece(token, 0.0, kind) for token, kind in AlbertUnigram.reserved.items()]
    pieces = (*first, Piece("▁", -1.0), Piece("a", -1.0), Piece("yz", -1.0))
    tok = AlbertUnigram(SentencePieceCutter(PieceModel(pieces, trie({b"A": b"a", b"!": b"", b"x": b"yz"}))))
    assert spelled(tok, "A!x") == ["▁", "a", "yz"]
    assert tok.ids("A!x") == [number for number, _ in tok.pieces("A!x")]
    assert tok.encode("A!x").offsets[2:4] == [(0, 1), (2, 3)]


@pytest.mark.parametrize(
    "blob", [b"\x04\0\0\0", b"\x08\0\0\0" + bytes(5), b"\x03" + bytes(20), trie({b"a": b"b"})[:-1]]
)
def test_damaged_tables_of_rules(blob: bytes) -> None:
    with pytest.raises(MinibertError, match="character rules is damaged"):
        CharacterMap(blob)


# ------------------------------------------------------------------------------------------------------ offsets


@pytest.mark.many
@pytest.mark.parametrize("lowercase", [True, False])
@pytest.mark.parametrize("text", AWKWARD, ids=lambda text: ascii(text)[:30])
def test_offsets_lead_back_to_the_text(text: str, lowercase: bool) -> None:
    cutter = SentencePieceCutter(MODEL, lowercase)
    found = cutter.cut(Traced.of(text))
    spans = [piece.span for piece in found]
    assert spans == sorted(spans)
    for piece in found:
        start, end = piece.span
        assert 0 <= start < end <= len(text)
        visible = piece.text.replace("▁", "")
        again = "".join(cutter.words(text[start:end])).replace("▁", "")
        again = '"' if visible == '"' and again in ("`", "'") else again  # the second of two
        assert visible.casefold().replace("ς", "σ") in again.casefold().replace("ς", "σ")
        if len(visible) > 1:
            assert len(again) - len(visible) <= 3  # the rest of a character that gave several, as ﷺ


def test_offsets_of_awkward_pieces(albert: Unigram) -> None:
    def covered(text: str) -> list[tuple[str, str]]:
        encoding = albert.encode(text)
        pairs = zip(encoding.tokens[1:-1], encoding.offsets[1:-1], strict=True)
        return [(token, text[start:end]) for token, (start, end) in pairs]

    assert covered("  the  movie ") == [("▁the", "the"), ("▁movie", "movie")]
    assert covered(" timeless") == [("▁time", "time"), ("less", "less")]
    assert covered("zo")[:2] == [("▁", "z"), ("z", "z")]  # a lone blank has the first character of its word
    assert covered("N\u0301a\u0301o\u200b")[-1][1] in ("o", "a\u0301o")  # what is removed at the end is not covered
    assert albert.encode("the``").offsets[-2] == (4, 5)  # the second of two that become one
    assert covered("½") == [("▁", "½"), ("1", "½"), ("<unk>", "½"), ("2", "½")]
    pair = albert.encode("the", "  movie")
    assert pair.offsets == [(0, 0), (0, 3), (0, 0), (2, 7), (0, 0)]


# --------------------------------------------------------------------------- templates, padding, truncation


def test_what_stands_around_a_text(albert: Unigram, xlnet: Unigram) -> None:
    one, two = albert.encode("so"), albert.encode("so", "the movie")
    assert (one.tokens, one.type_ids) == (["[CLS]", "▁so", "[SEP]"], [0, 0, 0])
    assert two.tokens == ["[CLS]", "▁so", "[SEP]", "▁the", "▁movie", "[SEP]"]
    assert (two.type_ids, two.sequence_ids) == ([0, 0, 0, 1, 1, 1], [None, 0, None, 1, 1, None])
    one, two = xlnet.encode("so"), xlnet.encode("so", "the movie")
    assert (one.tokens, one.type_ids) == (["▁so", "<sep>", "<cls>"], [0, 0, 2])
    assert two.tokens == ["▁so", "<sep>", "▁the", "▁movie", "<sep>", "<cls>"]
    assert (two.type_ids, two.sequence_ids) == ([0, 0, 1, 1, 1, 2], [0, None, 1, 1, None, None])
    cut = xlnet.encode("so the movie", "so so", max_length=6)
    assert cut.tokens == ["▁so", "▁the", "<sep>", "▁so", "<sep>", "<cls>"]


def test_xlnet_is_padded_at_the_left(albert: Unigram, xlnet: Unigram) -> None:
    batch = xlnet(["so", "so the movie"])
    so, the, movie = (xlnet.vocabulary[piece] for piece in ("▁so", "▁the", "▁movie"))
    assert {name: tensor.tolist() for name, tensor in batch.items()} == {
        "input_ids": [[0, 0, so, 3, 2], [so, the, movie, 3, 2]],
        "attention_mask": [[0, 0, 1, 1, 1], [1, 1, 1, 1, 1]],
        "token_type_ids": [[3, 3, 0, 0, 2], [0, 0, 0, 0, 2]],
    }
    assert albert(["so", "so the"])["input_ids"].tolist() == [[2, so, 3, 0], [2, so, the, 3]]
    assert albert(["so", "so the"])["token_type_ids"].sum() == 0


def test_decode(albert: Unigram, xlnet: Unigram) -> None:
    ids = albert.encode("Naïve? The  movie,\n[MASK] so!").ids
    assert albert.decode(ids) == "naive? the movie, so!"
    assert albert.decode(torch.tensor(ids), skip_special=False) == "[CLS] naive? the movie,[MASK] so![SEP]"
    assert xlnet.decode(xlnet.encode("the movie", "so").ids) == "the movie so"
    assert albert.decode([]) == ""


def test_which_pieces_continue_a_word(albert: Unigram) -> None:
    for text, expected in (("timeless movie, 9,9", [0, 1, 0, 0, 0, 1, 0, 1]), ("zebra", [0, 1, 1, 1, 1])):
        tokens = spelled(albert, text)
        assert [albert.continues(token) for token in tokens] == expected[: len(tokens)]
    assert not any(map(albert.continues, albert.special.all()))
    plain = small(("s", -1.0), ("'", -1.0), family=XLNetUnigram)
    assert [plain.continues(token) for token in ("s", "'", "▁", "<s>", "<eop>")] == [True, False, False, False, False]


# ------------------------------------------------------------------------------------------ files and folders


def put(folder: Path, model: PieceModel = MODEL, **files: dict) -> Path:
    (folder / "spiece.model").write_bytes(model.to_bytes())
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    return folder


def test_the_file_comes_back_byte_for_byte(tmp_path: Path, albert: Unigram) -> None:
    albert.save(tmp_path / "a")
    assert (tmp_path / "a" / "spiece.model").read_bytes() == (FOLDER / "spiece.model").read_bytes()
    made = dataclasses.replace(MODEL, source=None)
    assert made.to_bytes() != MODEL.to_bytes()
    (tmp_path / "spiece.model").write_bytes(made.to_bytes())
    assert PieceModel.read(tmp_path / "spiece.model") == MODEL
    trainer = protobuf.Message(protobuf.Message(made.to_bytes()).last(2, b""))
    assert trainer.last(40, 0) == MODEL.vocabulary["<unk>"] == 1
    assert trainer.last(4, 0) == len(MODEL.pieces)


def test_switches_are_written_and_read(tmp_path: Path) -> None:
    pieces = (Piece("<unk>", 0.0, spiece.UNKNOWN), Piece("ä", -1.5), Piece("x" * 300, -1e-3, spiece.USER_DEFINED))
    for switches in itertools.product([True, False], repeat=3):
        model = PieceModel(pieces, b"", *switches)
        (tmp_path / "m").write_bytes(model.to_bytes())
        read = PieceModel.read(tmp_path / "m")
        assert read.pieces[:2] == pieces[:2]
        assert read.pieces[2] == pieces[2]._replace(score=pytest.approx(-1e-3))
        assert (read.dummy_prefix, read.join_blanks, read.escape_blanks) == switches


def test_the_writing_of_numbers() -> None:
    # 300 is 0b10_0101100: the lower seven bits first, with the sign that more follow; -1 takes ten bytes.
    assert protobuf.field(1, 300) == b"\x08\xac\x02"
    assert protobuf.field(2, -1) == b"\x10" + b"\xff" * 9 + b"\x01"
    assert protobuf.field(3, b"ab") == b"\x1a\x02ab"
    assert protobuf.field(4, 1.0) == b"\x25\x00\x00\x80\x3f"
    message = protobuf.Message(b"\x08\xac\x02\x1a\x02ab\x08\x01\x21" + bytes(8))
    assert message.fields == {1: [300, 1], 3: [b"ab"], 4: [bytes(8)]}
    assert (message.last(1, 0), message.last(9, 7)) == (1, 7)


@pytest.mark.parametrize(
    ("files", "family", "lowercase"),
    [
        ({}, AlbertUnigram, True),
        ({"config": {"model_type": "albert"}}, AlbertUnigram, True),
        ({"tokenizer_config": {"tokenizer_class": "AlbertTokenizerFast"}}, AlbertUnigram, True),
        ({"tokenizer_config": {"do_lower_case": False}}, AlbertUnigram, False),
        ({"tokenizer_config": {"tokenizer_class": "PreTrainedTokenizerFast"}}, AlbertUnigram, True),
    ],
)
def test_which_family_a_folder_is_of(tmp_path: Path, files: dict, family: type[Unigram], lowercase: bool) -> None:
    tok = load_tokenizer(put(tmp_path, **files))
    assert type(tok) is family
    assert tok.cutter.lowercase is lowercase
    assert type(load_tokenizer(tmp_path / "spiece.model")) is family


def test_a_folder_of_xlnet(tmp_path: Path, xlnet: Unigram) -> None:
    for files in ({}, {"config": {"model_type": "xlnet"}}, {"tokenizer_config": {"tokenizer_class": "XLNetTokenizer"}}):
        tok = load_tokenizer(put(tmp_path, XLNET_MODEL, **files))
        assert type(tok) is XLNetUnigram
        assert [tok.encode(text) for text in AWKWARD] == [xlnet.encode(text) for text in AWKWARD]


def both_families() -> PieceModel:
    missing = [Piece(new, 0.0, spiece.CONTROL) for new in XLNET_NAMES.values()]
    return dataclasses.replace(MODEL, pieces=(*MODEL.pieces, *missing), source=None)


def test_a_vocabulary_for_both_families(tmp_path: Path) -> None:
    put(tmp_path, both_families())
    with pytest.raises(
        MinibertError, match=r"not clear .* ALBERT's or XLNet's: .*tokens of both; add a tokenizer_config"
    ):
        load_tokenizer(tmp_path)
    for name, family in (("albert", AlbertUnigram), ("xlnet", XLNetUnigram)):
        assert type(load_tokenizer(put(tmp_path, both_families(), config={"model_type": name}))) is family
    # What tokenizer_config.json says counts more than what config.json says.
    named = {"tokenizer_class": "XLNetTokenizer"}
    put(tmp_path, both_families(), config={"model_type": "albert"}, tokenizer_config=named)
    assert type(load_tokenizer(tmp_path)) is XLNetUnigram


def test_a_vocabulary_for_neither(tmp_path: Path) -> None:
    neither = dataclasses.replace(MODEL, pieces=(MODEL.pieces[1], *MODEL.pieces[5:]), source=None)
    with pytest.raises(MinibertError, match="special tokens of neither"):
        load_tokenizer(put(tmp_path, neither))
    with pytest.raises(MinibertError, match=r"lacks <pad>, \[CLS\].*AlbertUnigram needs"):
        load_tokenizer(put(tmp_path, neither, config={"model_type": "albert"}))
    with pytest.raises(MinibertError, match=r"this is a T5Tokenizer; of Unigram tokenizers only AlbertTokenizer and"):
        load_tokenizer(put(tmp_path, tokenizer_config={"tokenizer_class": "T5Tokenizer"}))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("added_tokens", {"<url>": 1000}, r"added_tokens\.json adds tokens of its own, .*: <url>"),
        ("added_tokens", {"[MASK]": 9}, r"gives \[MASK\] the id 9, but the vocabulary has it as 4"),
        (
            "tokenizer_config",
            {"added_tokens_decoder": {"4": {"content": "[MASK]", "rstrip": True}}},
            r"has rstrip for \[MASK\]",
        ),
        ("special_tokens_map", {"mask_token": {"content": "[MASK]", "single_word": True}}, "has single_word for"),
        ("special_tokens_map", {"bos_token": "[SEP]"}, r"has \[SEP\] as its bos token; only \[CLS\]"),
        ("special_tokens_map", {"additional_special_tokens": ["<url>"]}, "adds tokens of its own"),
    ],
)
@pytest.mark.parametrize("described_too", [False, True])
def test_what_files_say_of_single_tokens(
    tmp_path: Path, name: str, content: dict, message: str, described_too: bool
) -> None:
    if described_too:
        write_described(tmp_path, described())
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    else:
        put(tmp_path, **{name: content})
    with pytest.raises(MinibertError, match=message):
        load_tokenizer(tmp_path)


def test_what_published_folders_say_of_single_tokens(tmp_path: Path) -> None:
    xlnet = small(("a", -1.0), family=XLNetUnigram)
    settings = {"bos_token": "<s>", "eos_token": "</s>", "additional_special_tokens": ["<eop>", "<eod>"]}
    settings |= {"mask_token": {"content": "<mask>", "lstrip": True}, "extra_special_tokens": ["<s>"]}
    tok = load_tokenizer(put(tmp_path, xlnet.cutter.model, tokenizer_config=settings))
    assert tok.encode("a<mask><eop>a") == xlnet.encode("a<mask><eop>a")


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("do_lower_case", "THE", ["▁the"]),
        ("remove_space", "the\x1cthe", ["▁the", "▁the"]),
        ("keep_accents", "né", ["▁", "n", "é"]),
    ],
)
def test_settings_are_honoured(tmp_path: Path, name: str, text: str, expected: list[str]) -> None:
    on = load_tokenizer(put(tmp_path, tokenizer_config={name: True}))
    assert spelled(on, text) == expected
    off = load_tokenizer(put(tmp_path, tokenizer_config={name: False}))
    assert spelled(off, text) != expected
    off.save(tmp_path / "again")
    again = load_tokenizer(tmp_path / "again")
    assert [again.encode(awkward) for awkward in AWKWARD] == [off.encode(awkward) for awkward in AWKWARD]


def test_files_are_as_the_ecosystem_reads_them(tmp_path: Path, xlnet: Unigram) -> None:
    xlnet.save(tmp_path)
    names = {"pad_token": "<pad>", "unk_token": "<unk>", "cls_token": "<cls>", "sep_token": "<sep>"}
    names |= {"mask_token": "<mask>"}
    assert json.loads((tmp_path / "special_tokens_map.json").read_text()) == names
    assert json.loads((tmp_path / "tokenizer_config.json").read_text()) == names | {
        "do_lower_case": False,
        "remove_space": True,
        "keep_accents": False,
        "tokenizer_class": "XLNetTokenizer",
    }
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(MinibertError, match=r"has a tokenizer\.json"):
        xlnet.save(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "holds no pieces"),
        (b"{}", "cannot be read as a SentencePiece model"),
        (MODEL.to_bytes()[:-5], "cannot be read as a SentencePiece model"),
        (
            MODEL.to_bytes() + b"\x0a\x09\x0a\x02ab\x15\x00\x00\x00\x00" + b"\x0a\x09\x0a\x02ab\x15\x00\x00\x00\x00",
            "'ab'",
        ),
        (MODEL.to_bytes() + b"\x12\x02\x18\x02", "is a SentencePiece model of BPE; only Unigram"),
        (MODEL.to_bytes() + b"\x12\x03\x98\x02\x01", "has bytes for unknown characters switched on"),
        (MODEL.to_bytes() + b"\x12\x03\xc0\x01\x01", "has blanks after words, not before switched on"),
    ],
    ids=["empty", "text", "cut short", "piece twice", "BPE", "bytes", "suffix"],
)
def test_files_that_are_refused(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "spiece.model").write_bytes(content)
    with pytest.raises(MinibertError, match=re.escape(message)) as error:
        load_tokenizer(tmp_path)
    assert "spiece.model" in str(error.value)


def test_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(MinibertError, match=r"there is no file .*\.model"):
        load_tokenizer(tmp_path / "spiece.model")
    with pytest.raises(MinibertError, match="cannot be read"):
        PieceModel.read(tmp_path / "spiece.model")
    with pytest.raises(MinibertError, match="there is no folder"):
        Unigram.from_folder(tmp_path / "nowhere")
    with pytest.raises(MinibertError, match="holds no Unigram vocabulary"):
        Unigram.from_folder(tmp_path)
    with pytest.raises(MinibertError, match="2 pieces of the kind 'unknown'"):
        SentencePieceCutter(PieceModel((Piece("a", 0.0, 2), Piece("b", 0.0, 2), Piece("c", -1.0))))


# ----------------------------------------------------------------------------------------------- tokenizer.json


def described(family: type[Unigram] = AlbertUnigram, **changes: object) -> dict:
    """A tokenizer.json as converters write it."""
    model = MODEL if family is AlbertUnigram else XLNET_MODEL
    rules = base64.b64encode(MODEL.character_map).decode()
    steps = [
        {"type": "Replace", "pattern": {"String": "``"}, "content": '"'},
        {"type": "Replace", "pattern": {"String": "''"}, "content": '"'},
        *({"type": name} for name in ("NFKD", "StripAccents", "Lowercase")),
        {"type": "Precompiled", "precompiled_charsmap": rules},
        {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "},
    ]
    metaspace = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True}
    return {
        "added_tokens": [{"id": at, "content": model.pieces[at].text, "special": True} for at in range(5)],
        "normalizer": {"type": "Sequence", "normalizers": steps},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"}, metaspace]},
        "post_processor": None,
        "model": {"type": "Unigram", "unk_id": 1, "vocab": [[piece.text, piece.score] for piece in model.pieces]},
        **changes,
    }


def write_described(folder: Path, content: dict) -> Path:
    (folder / "tokenizer.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


def test_folder_with_a_tokenizer_json_only(tmp_path: Path, albert: Unigram, reviews) -> None:
    tok = load_tokenizer(write_described(tmp_path, described()))
    assert type(tok) is AlbertUnigram
    assert isinstance(tok.cutter, WordCutter)
    for text in ["The naïve  movie, [MASK]\t``so''!", "½ x\u00ady", *(review.text for review in reviews.test[:20])]:
        assert tok.encode(text) == albert.encode(text)
        assert tok.ids(text) == [number for number, _ in tok.pieces(text)]
    assert spelled(tok, "a▁the") == ["▁a", "▁the"]
    plain = described(normalizer=None)  # the rules make "▁" a blank
    assert WordCutter(json.dumps(plain)).words("a▁the▁ b") == ["▁a", "▁the", "▁", "▁b"]
    assert "movie," in tok._cache
    tok.save(tmp_path / "again")
    assert (tmp_path / "again" / "tokenizer.json").read_bytes() == (tmp_path / "tokenizer.json").read_bytes()
    again = load_tokenizer(tmp_path / "again")
    assert [again.encode(text) for text in AWKWARD] == [tok.encode(text) for text in AWKWARD]
    tok.save(tmp_path)  # over the file that it was read from
    (tmp_path / "spiece.model").write_bytes(b"")
    with pytest.raises(MinibertError, match=r"has a spiece\.model, which is read before"):
        tok.save(tmp_path)


def test_tokenizer_json_of_xlnet(tmp_path: Path, xlnet: Unigram) -> None:
    content = described(XLNetUnigram)
    del content["model"]["type"]  # as older files have it
    content["normalizer"]["normalizers"] = [s for s in content["normalizer"]["normalizers"] if s["type"] != "Lowercase"]
    single = [{"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "<sep>", "type_id": 0}}]
    single.append({"SpecialToken": {"id": "<cls>", "type_id": 2}})
    pair = [
        *single[:2],
        {"Sequence": {"id": "B", "type_id": 1}},
        {"SpecialToken": {"id": "<sep>", "type_id": 1}},
        single[2],
    ]
    content["post_processor"] = {"type": "TemplateProcessing", "single": single, "pair": pair}
    tok = load_tokenizer(write_described(tmp_path, content))
    assert type(tok) is XLNetUnigram
    for text in ("The naïve movie <mask> so!", "THE END"):
        assert tok.encode(text) == xlnet.encode(text)
    pair[0] = {"Sequence": {"id": "A", "type_id": 1}}
    with pytest.raises(MinibertError, match="puts special tokens elsewhere than XLNetUnigram"):
        load_tokenizer(write_described(tmp_path, content))


def test_where_tokenizer_json_differs_from_sentencepiece(tmp_path: Path) -> None:
    tok = load_tokenizer(write_described(tmp_path, described()))
    assert "".join(tok.cutter.words("ΟΔΟΣ")) == "▁οδοσ"  # letter by letter, not ς at the end
    assert tok.cutter.words("\u1112\u1161\u11ab") == [
        "▁\u1112\u1161\u11ab"
    ]  # of more than five bytes: not put together
    assert tok.cutter.words("a\x1cb") == ["▁ab"]  # no blank here
    content = described()
    content["added_tokens"].append({"id": MODEL.vocabulary["ing"], "content": "ing", "special": False})
    kept = load_tokenizer(write_described(tmp_path, content))
    assert spelled(kept, "ingthe") == ["ing", "▁the"]
    assert kept.vocabulary["ing"] not in kept.special_ids
    content = described()
    content["model"]["vocab"] += [["9,", -1.0]]
    assert spelled(load_tokenizer(write_described(tmp_path, content)), "x9,")[-1] == "9,"


@pytest.mark.parametrize(
    ("text", "plain", "spans"),
    [
        ("a\x01b", "ab", [(0, 1), (2, 3)]),
        ("a\x01\x02b\x03", "ab", [(0, 1), (3, 4)]),
        ("\x01\x02ab", "ab", [(0, 1), (1, 2)]),  # the library loses count
        ("\u2167x", "VIIIx", [(0, 1)] * 4 + [(1, 2)]),  # Ⅷ
        (
            "a\u2167\x01x",
            "aVIIIx",
            [(0, 1), *[(1, 2)] * 3, (2, 3), (3, 4)],
        ),  # one more, one less
    ],
)
def test_where_characters_come_from_after_rules(text: str, plain: str, spans: list[tuple[int, int]]) -> None:
    assert spiece.cluster_by_cluster(MODEL.rules)(Traced.of(text)) == Traced(plain, spans)


def test_blanks_before_a_token_of_a_tokenizer_json(tmp_path: Path) -> None:
    content = described()
    content["added_tokens"][4]["lstrip"] = True
    tok = load_tokenizer(write_described(tmp_path, content))
    text = "so  [MASK] so\t\u3000[MASK] [SEP]"
    encoding = tok.encode(text)
    assert encoding.tokens[1:-1] == ["▁so", "[MASK]", "▁so", "[MASK]", "[SEP]"]
    assert encoding.offsets[1:-1] == [(0, 2), (2, 10), (11, 13), (13, 21), (22, 27)]
    assert tok.ids(text) == encoding.ids[1:-1]


def test_rules_cluster_by_cluster() -> None:
    step = spiece.cluster_by_cluster(MODEL.rules)
    assert step(Traced.of("e\u0301x")) == Traced("éx", [(0, 1), (2, 3)])
    assert step(Traced.of("ﬁ\u0301")).text == "fi"  # the mark belongs to the cluster, and goes with it
    assert step(Traced.of("\xa0\u0301\r\na")).text == "  a"
    assert step(Traced.of("か\u3099")).text == "か\u3099"  # six bytes: one by one


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": {"type": "WordLevel", "vocab": {}}}, "whose model's type is 'WordLevel'"),
        ({"normalizer": {"type": "NFKD"}}, "prepares text in a way .*NFKD"),
        ({"normalizer": {"type": "Replace", "pattern": {"Regex": "x+"}, "content": ""}}, "prepares text in a way"),
        ({"pre_tokenizer": None}, "splits text in a way"),
        ({"pre_tokenizer": {"type": "Metaspace", "replacement": "_"}}, "splits text in a way"),
        (
            {"pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first"}},
            "splits text in a way",
        ),
        ({"added_tokens": [{"id": 1000, "content": "<url>"}]}, "adds <url>, which its vocabulary lacks"),
    ],
)
def test_tokenizer_json_that_is_refused(tmp_path: Path, changes: dict, message: str) -> None:
    with pytest.raises(MinibertError, match=message):
        load_tokenizer(write_described(tmp_path, described(**changes)))


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("unk_id", None, "unk_id is None"),
        ("unk_id", 0, "what is unknown is not <unk>"),
        ("byte_fallback", True, "does not hold a Unigram model"),
        ("vocab", [], "does not hold a Unigram model"),
        ("vocab", [["a", 0.0], ["a", 0.0]], "lists a piece twice"),
    ],
)
def test_tokenizer_json_with_a_strange_model(tmp_path: Path, name: str, value: object, message: str) -> None:
    content = described()
    content["model"][name] = value
    with pytest.raises(MinibertError, match=message):
        load_tokenizer(write_described(tmp_path, content))


# ------------------------------------------------------------------------------------------ learning a vocabulary


def test_expected_counts_are_those_of_all_ways() -> None:
    rng = random.Random(0)
    for _ in range(25):
        pieces = random_pieces(rng)
        numbers = {text: number for number, text in enumerate(pieces)}
        scores = np.array(list(pieces.values()))
        words = ["".join(rng.choices("abc", k=rng.randint(1, 7))) for _ in range(6)]
        counts = np.array([rng.randint(1, 9) for _ in words], dtype=float)
        expected = np.zeros(len(pieces))
        for word, count in zip(words, counts, strict=True):
            ways = every_way(word, pieces)
            whole = sum(math.exp(score) for _, score in ways)
            for parts, score in ways:
                for piece in parts:
                    expected[numbers[piece]] += count * math.exp(score) / whole
        lattices = Lattices(words, numbers)
        np.testing.assert_allclose(lattices.expected_counts(scores, counts), expected, rtol=1e-10, atol=1e-12)
        kept = np.array([len(text) == 1 or rng.random() < 0.6 for text in pieces])
        lattices.keep(kept)
        fewer = {text: number for number, text in enumerate(t for t, stays in zip(pieces, kept, strict=True) if stays)}
        again = Lattices(words, fewer).expected_counts(scores[kept], counts)
        np.testing.assert_allclose(lattices.expected_counts(scores[kept], counts), again, rtol=1e-12)


def test_expected_counts_by_hand() -> None:
    # "ab" is a b with probability 1/4 * 1/4, or ab with 1/2: shares 1/9 and 8/9.
    scores = np.log([0.25, 0.25, 0.5])
    counts = Lattices(["ab", "a"], {"a": 0, "b": 1, "ab": 2}).expected_counts(scores, np.array([9.0, 5.0]))
    np.testing.assert_allclose(counts, [1 + 5, 1, 8], rtol=1e-12)


def test_long_words_do_not_underflow() -> None:
    counts = Lattices(["a" * 2000], {"a": 0, "aa": 1}).expected_counts(np.log([1e-6, 1e-6]), np.array([1.0]))
    assert counts @ [1, 2] == pytest.approx(2000)


def test_digamma() -> None:
    euler = 0.5772156649015329
    np.testing.assert_allclose(digamma(1.0), -euler, rtol=1e-9)
    np.testing.assert_allclose(digamma(0.5), -euler - 2 * math.log(2), rtol=1e-9)
    numbers = np.array([0.5, 1.0, 2.5, 10.0, 1e6])
    np.testing.assert_allclose(digamma(numbers + 1) - digamma(numbers), 1 / numbers, rtol=1e-6, atol=1e-10)
    np.testing.assert_allclose(digamma(numbers), torch.digamma(torch.tensor(numbers)), rtol=1e-9)


def test_what_a_piece_gains() -> None:
    pieces, scores = ["a", "b", "ab", "aba"], [-1.0, -2.0, -2.5, -3.0]
    # ab against a b: -2.5 + 3; aba against ab a: -3 + 3.5; a and b cannot be cut otherwise.
    found = gains(pieces, scores)
    np.testing.assert_allclose(found[2:], [0.5, 0.5])


def test_pieces_are_of_one_kind() -> None:
    assert same_kind("▁movie.") == ["▁movie", "."]
    assert same_kind("▁it's20th!!") == ["▁it", "'", "s", "20", "th", "!!"]
    assert same_kind("▁...") == ["▁..."]
    assert same_kind("▁") == ["▁"]
    assert same_kind("▁हिन्दी") == ["▁हिन्दी"]
    assert same_kind("ab▁c") == ["ab", "▁", "c"]


def test_learning_by_hand() -> None:
    # "ab" is always together: as a piece it makes the text more probable than a, b; c and d never repeat beside it.
    learned = dict(learn_pieces({"▁ab": 10, "▁abc": 5, "▁abd": 5}, size=6))
    assert {"▁", "a", "b", "c", "d"} < learned.keys()
    assert len(learned) == 6
    (longest,) = learned.keys() - {"▁", "a", "b", "c", "d"}
    assert longest == "▁ab"
    # Expected counts: ▁ab 20, c and d 5 each, the rest too rare, which counts as 0.5 each.
    total = digamma(np.array(30.0))
    assert learned["▁ab"] == pytest.approx(float(digamma(20.0) - total), abs=0.02)
    assert learned["c"] == learned["d"] == pytest.approx(float(digamma(5.0) - total), abs=0.02)
    assert learned["a"] == pytest.approx(float(digamma(0.5) - total), abs=0.02)


def learn_slowly(words: dict[str, int], size: int) -> dict[str, float]:
    """`learn_pieces` as its docstring has it, by trying all ways to cut each word."""
    spans = [(part, count) for word, count in sorted(words.items()) for part in same_kind(word)]
    occurrences: Counter[str] = Counter()
    for span, count in spans:
        for start, end in itertools.combinations(range(len(span) + 1), 2):
            occurrences[span[start:end]] += count * (end - start <= 16)
    characters = sorted({character for span, _ in spans for character in span})
    longer = sorted(
        (text for text, count in occurrences.items() if len(text) > 1 and count >= 2),
        key=lambda text: (-occurrences[text] * len(text), text),
    )
    pieces = characters + longer[: 20 * size]
    whole = sum(occurrences[text] for text in pieces)
    scores = {text: math.log(occurrences[text] / whole) for text in pieces}
    while True:
        for _ in range(2):
            uses = dict.fromkeys(scores, 0.0)
            for span, count in spans:
                ways = every_way(span, scores)
                total = sum(math.exp(score) for _, score in ways)
                for parts, score in ways:
                    for piece in parts:
                        uses[piece] += count * math.exp(score) / total
            uses = {text: use for text, use in uses.items() if use >= 0.5 or text in characters}
            sums = torch.tensor([sum(uses.values()), *(max(use, 0.5) for use in uses.values())], dtype=torch.float64)
            whole, *logs = torch.digamma(sums).tolist()
            scores = {text: log - whole for text, log in zip(uses, logs, strict=True)}
        if len(scores) <= size:
            return scores
        spared: dict[str, float] = {}
        for text in scores:
            others = [score for parts, score in every_way(text, scores) if len(parts) > 1]
            spared[text] = uses[text] * (scores[text] - max(others)) if others else math.inf
        best = sorted(scores, key=lambda text: -spared[text])[: max(size, len(scores) * 3 // 4)]
        scores = {text: scores[text] for text in scores if text in best}


def test_learning_is_what_its_docstring_says() -> None:
    rng = random.Random(0)
    for size in (8, 11, 17):
        words = {
            "▁" + "".join(rng.choices(["ab", "bca", "c", "dd", "7", "!"], k=rng.randint(1, 3))): rng.randint(1, 9)
            for _ in range(60)
        }
        words = {word: count for word, count in words.items() if len(word) < 9}
        slow = learn_slowly(words, size)
        assert dict(learn_pieces(words, size)) == pytest.approx(slow, abs=1e-9)


def test_candidates(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that cover most characters, and of which there are two."""
    monkeypatch.setattr(unigram_model, "CANDIDATES", 1)
    assert "▁abcabcabc" in dict(learn_pieces({"▁abcabcabc": 6}, 5))  # "ab" is there 18 times, but is short
    learned = dict(learn_pieces({"▁abc": 1, "▁de": 2}, 50))
    assert "▁de" in learned
    assert all(len(text) == 1 for text in learned if {*text} & {*"abc"})


def test_learning_is_deterministic_and_bounded() -> None:
    rng = random.Random(0)
    words = Counter("▁" + "".join(rng.choices("aabcd", k=rng.randint(1, 7))) for _ in range(300))
    shuffled = list(words.items())
    rng.shuffle(shuffled)
    for size in (6, 12, 30):
        learned = learn_pieces(words, size)
        assert len(learned) == size
        assert learned == learn_pieces(dict(shuffled), size)
        assert [score for _, score in learned] == sorted((score for _, score in learned), reverse=True)
        assert {"▁", "a", "b", "c", "d"} <= {text for text, _ in learned}
    few = learn_pieces({"▁ab": 3}, 50)
    assert {text for text, _ in few} <= {"▁", "a", "b", "▁a", "ab", "▁ab"}


def test_more_pieces_make_the_text_more_probable() -> None:
    rng = random.Random(1)
    words = Counter("▁" + "".join(rng.choices(["ab", "cde", "f", "ga"], k=rng.randint(1, 4))) for _ in range(400))

    def likelihood(size: int) -> float:
        known = known_pieces((text, at, score) for at, (text, score) in enumerate(learn_pieces(words, size)))
        scores = dict(filter(None, known.values()))
        return sum(
            count * sum(scores[number] for number in best_path(word, known, (-1, -99.0)).ids)
            for word, count in words.items()
        )

    assert likelihood(8) < likelihood(12) < likelihood(20)


@pytest.mark.slow
@pytest.mark.parametrize("family", [AlbertUnigram, XLNetUnigram])
def test_trained_on_reviews(tmp_path: Path, family: type[Unigram], reviews) -> None:
    texts = [review.text for review in reviews.train if review.source == "rotten-tomatoes"][:500]
    tok = family.train(texts, 700, character_map=MODEL.character_map)
    assert tok.vocab_size == 700
    assert tuple(tok.tokens[: len(family.reserved)]) == tuple(family.reserved)
    assert {"▁the", "▁film", "ing", "ly"} <= tok.vocabulary.keys()
    held_out = [review.text for review in reviews.test if review.source == "rotten-tomatoes"][:200]
    pieces = [number for text in held_out for number in tok.ids(text)]
    assert pieces.count(tok.unk_id) < 10
    assert len(pieces) < 2.6 * sum(len(text.split()) for text in held_out)
    assert family.train(texts[::-1], 700, character_map=MODEL.character_map).cutter.model == tok.cutter.model
    tok.save(tmp_path)
    again = load_tokenizer(tmp_path)
    assert type(again) is family
    assert [again.encode(text) for text in held_out] == [tok.encode(text) for text in held_out]


@pytest.mark.slow
def test_what_comes_before_never_decides_with_a_learned_vocabulary(reviews) -> None:
    """Sums of rounded scores are exact in 32 bits, so equal ways stay equal however far into a text they are."""
    texts = [review.text for review in reviews.train if review.source == "rotten-tomatoes"][:300]
    tok = AlbertUnigram.train(texts, 400)
    assert all(256 * score == round(256 * score) for score in tok.cutter.scores)
    before = " ".join(texts[:40])
    for text in ("mmmm hmmmmm zzzzz aaaaaah", "*** ***** ..... -----", *texts[100:130]):
        alone, after = tok.pieces(text), tok.pieces(f"{before} {text}")
        assert [number for number, _ in after[-len(alone) :]] == [number for number, _ in alone]


def test_known_characters_are_never_unknown() -> None:
    tok = AlbertUnigram.train(["Ein Zwölf-Boxkämpfer jagt [MASK] quer über Ünder Sylt!"], 100)
    assert "[" not in tok.vocabulary  # the special token was not taken for text
    assert "E" not in tok.vocabulary
    rng = random.Random(0)
    for _ in range(100):
        word = "".join(rng.choices("einzwolfboxkampferjagtquerubersylt", k=rng.randint(1, 12)))
        assert tok.unk_id not in tok.ids(f"{word}! -{word}")
    assert "E" in XLNetUnigram.train(["Ein"], 100).vocabulary
    assert "E" in AlbertUnigram.train(["Ein"], 100, lowercase=False).vocabulary


def test_training_that_cannot_work() -> None:
    with pytest.raises(MinibertError, match="not one word"):
        AlbertUnigram.train(["", " \t"], 100)
    with pytest.raises(MinibertError, match=r"take 3 pieces, 1 more than .*larger by 1"):
        AlbertUnigram.train(["ab"], 7)
    assert AlbertUnigram.train(["ab"], 8).vocab_size == 8
    with pytest.raises(MinibertError, match=r"call AlbertUnigram\.train"):
        Unigram.train(["ab"], 100)
    with pytest.raises(MinibertError, match="a float, but must be a str"):
        AlbertUnigram.train(["a", float("nan")], 50)


@pytest.mark.parametrize("size", ["80", None, 300.0, True, 0, -5])
def test_sizes_that_are_none(size: object) -> None:
    with pytest.raises(MinibertError, match=r"vocab_size is .*; it must be an integer, at least 1\."):
        AlbertUnigram.train(["some words"], size)
