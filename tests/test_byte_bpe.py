"""Byte-level BPE: the same ids as RoBERTa's and BART's tokenizers, any text at all, and back again without a loss."""

from __future__ import annotations

import json
import pickle
import random
import re
import sys
import unicodedata
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from lab import assert_same, lab, part

from minibert import load_tokenizer
from minibert.errors import MinibertError
from minibert.tokenizers import ByteBPE, Encoding, WordPiece, byte_bpe
from minibert.tokenizers.byte_bpe import FIRST_TOKENS, LETTERS, learn_merges, spell
from minibert.tokenizers.gpt2_words import KINDS, KindTable, cut_words

FOLDER = Path(__file__).parent / "golden/byte_bpe"
BYTES_ALONE, ROBERTA, BART, OFFSETS, CHARACTER_KINDS = (
    json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    for name in ("cases", "roberta_cases", "bart_cases", "offset_cases", "kinds")
)
SPECIAL = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
AWKWARD = [case["text"] for case in (*ROBERTA["cases"], *OFFSETS["cases"])]


# ------------------------------------------------------------------------------------------ the lab sheet
# Each property by itself, with numbers that can be worked out on paper. Read these first.


@lab(
    "bpe-merge",
    code=ByteBPE.merge_pieces,
    lesson="05",
    breaks="`min(ranks)` replaced by the first rank from the left",
    catches="first-pair-from-the-left",
)
def test_the_pair_of_lowest_rank_is_joined_first():
    """of all pairs of neighbours that are in the list, the one that was learned first is joined, wherever it is

    In "c a b", c a comes first in the word, but a b comes first in the list.
    """
    assert_same(part("bpe-merge")(list("cab"), [("a", "b"), ("c", "a")]), ["c", "ab"])


@lab(
    "bpe-merge",
    code=ByteBPE.merge_pieces,
    lesson="05",
    breaks="`rank_of((pieces[at - 1], pieces[at]), NEVER)` replaced by NEVER",
    catches="one-scan",
)
def test_what_was_joined_is_joined_again():
    """a new piece is joined with its neighbours too, until no two of them are in the list

    a b c d → a bc d → abc d → abcd.
    """
    merges = [("b", "c"), ("a", "bc"), ("abc", "d")]
    assert_same(part("bpe-merge")(list("abcd"), merges), ["abcd"])


@lab(
    "bpe-merge",
    code=ByteBPE.merge_pieces,
    lesson="05",
    breaks="`ranks.index(lowest)` replaced by the last place of that rank",
    catches="from-the-right",
)
def test_equal_pairs_are_joined_from_the_left():
    """where a pair occurs several times, it is joined from left to right

    s s s has the pair twice, and its middle letter can be used only once. Also behind the first join: five letters.
    """
    assert_same(part("bpe-merge")(list("sss"), [("s", "s")]), ["ss", "s"])
    assert_same(part("bpe-merge")(list("sssss"), [("s", "s")]), ["ss", "ss", "s"])


# ------------------------------------------------------------------------------------------ the other tests


def name(case: Any) -> str:
    return ascii(case["text"] if isinstance(case, dict) else case)[:30]


def numbered(*pieces: str) -> dict[str, int]:
    """A vocabulary: the special tokens, the bytes, then these."""
    return {token: number for number, token in enumerate([*FIRST_TOKENS, *sorted(LETTERS), *pieces, "<mask>"])}


def tiny(*merges: str, **settings: bool) -> ByteBPE:
    """A tokenizer with these merges: tiny("Ġ a", "b c")."""
    pairs = [(left, right) for left, right in (merge.split() for merge in merges)]
    return ByteBPE(numbered(*dict.fromkeys(left + right for left, right in pairs)), pairs, **settings)


def spelled(tok: ByteBPE, text: str) -> list[str]:
    """The text's tokens without those around it."""
    return tok.encode(text).tokens[1:-1]


@pytest.fixture(scope="module")
def small() -> ByteBPE:
    """The tokenizer of the golden numbers: 1000 tokens."""
    return load_tokenizer(FOLDER)


@pytest.fixture(scope="module")
def gpt2(gpt2_folder: Path) -> ByteBPE:
    return load_tokenizer(gpt2_folder)


# ------------------------------------------------------------------------------------ golden numbers


@pytest.mark.parametrize("case", BYTES_ALONE["cases"], ids=name)
def test_golden_bytes(small: ByteBPE, case: dict) -> None:
    assert small.ids(case["text"]) == case["ids"]
    assert [piece_id for piece_id, _ in small.pieces(case["text"])] == case["ids"]


@pytest.mark.parametrize("golden", [ROBERTA, BART], ids=["roberta", "bart"])
def test_golden_texts(small: ByteBPE, golden: dict) -> None:
    for case in golden["cases"]:
        encoding = small.encode(case["text"])
        assert (encoding.ids, encoding.tokens) == (case["ids"], case["tokens"]), case["text"]
        assert small(case["text"])["input_ids"].tolist() == [case["ids"]]


@pytest.mark.parametrize("golden", [ROBERTA, BART], ids=["roberta", "bart"])
def test_golden_special_tokens(small: ByteBPE, golden: dict) -> None:
    special = golden["special"]
    assert special.pop("bos_token") == special["cls_token"]
    assert special.pop("eos_token") == special["sep_token"]
    for role, (token, number) in special.items():
        role = role.removesuffix("_token")
        assert (getattr(small.special, role), getattr(small, f"{role}_id")) == (token, number)


@pytest.mark.parametrize("golden", [ROBERTA, BART], ids=["roberta", "bart"])
def test_golden_pairs(small: ByteBPE, golden: dict) -> None:
    for case in golden["pairs"]:
        if case["pair"] == "":  # which the reference drops when it is given alone; see ABOUT.json
            assert small.encode(case["text"]).ids == case["ids"]
            assert small.encode(case["text"], "").ids == [*case["ids"], small.sep_id, small.sep_id]
            continue
        encoding = small.encode(case["text"], case["pair"])
        assert (encoding.ids, encoding.type_ids) == (case["ids"], case["type_ids"])
        batch = small(case["text"], case["pair"])
        assert batch["input_ids"].tolist() == [case["ids"]]
        assert batch["token_type_ids"].tolist() == [case["type_ids"]]


@pytest.mark.parametrize("golden", [ROBERTA, BART], ids=["roberta", "bart"])
def test_golden_batch_and_truncation(small: ByteBPE, golden: dict) -> None:
    texts = [small.decode(row) for row in golden["batch"]["input_ids"]]
    assert {key: rows.tolist() for key, rows in small(texts).items()} == golden["batch"]
    cut = small(texts[0], texts[1], max_length=14)
    assert {key: rows.tolist() for key, rows in cut.items()} == {key: [row] for key, row in golden["cut_to_14"].items()}


@pytest.mark.parametrize("case", OFFSETS["cases"], ids=name)
def test_golden_offsets_and_special_tokens_in_the_text(small: ByteBPE, case: dict) -> None:
    pieces = small.pieces(case["text"])
    assert [piece_id for piece_id, _ in pieces] == case["ids"]
    assert [list(span) for _, span in pieces] == case["offsets"]
    assert small.ids(case["text"]) == case["ids"]
    assert small.decode(case["ids"], skip_special=False) == case["decoded"]
    prefixed = ByteBPE(small.vocabulary, small.merges, add_prefix_space=True)
    assert prefixed.ids(case["text"]) == case["ids_with_prefix_space"]
    assert [piece_id for piece_id, _ in prefixed.pieces(case["text"])] == case["ids_with_prefix_space"]
    assert [list(span) for _, span in prefixed.pieces(case["text"])] == case["offsets_with_prefix_space"]


@pytest.mark.slow
def test_the_kind_of_every_character() -> None:
    """Letter, number, blank or sign, as the reference has it for all of Unicode 16."""
    expected = dict.fromkeys(range(sys.maxunicode + 1), "sign")
    for kind, ranges in CHARACTER_KINDS.items():
        for ends in (entry.split("-") for entry in ranges.split()):
            expected.update(dict.fromkeys(range(int(ends[0], 16), int(ends[-1], 16) + 1), kind))
    newer = (
        int(unicodedata.unidata_version.split(".")[0]) > 16
    )  # this Python may know letters that were no letters then
    patterns = {"letters": "[a-zA-Z]", "numbers": "[0-9]", "blanks": r"\s", "sign": r"[^\sa-zA-Z0-9]"}
    wrong = [
        hex(code)
        for code, kind in expected.items()
        if not re.fullmatch(patterns[kind], KINDS[code], re.ASCII) and not (newer and kind == "sign")
    ]
    assert not wrong
    assert {KINDS[code] for code in expected if code > 127} == {"a", "0", "\n", "!"}  # none begins an ending like 's


def test_the_module_tells_the_truth_about_unaffable(gpt2: ByteBPE) -> None:
    story = byte_bpe.__doc__
    steps = re.findall(r"^    (\S.*\S) {2,}(\S+) \+ (\S+) +(\d+)$", story, flags=re.MULTILINE)
    pieces = list("unaffable")
    for before, left, right, rank in steps:
        assert before.split() == pieces
        ranks = {pair: gpt2.merges.index(pair) for pair in pairwise(pieces) if pair in gpt2.merges}
        assert min(ranks, key=ranks.__getitem__) == (left, right)
        assert ranks[left, right] == int(rank)
        at = next(at for at in range(len(pieces)) if (pieces[at], pieces[at + 1]) == (left, right))
        pieces[at : at + 2] = [left + right]
    assert len(steps) == 6
    assert pieces == spelled(gpt2, "unaffable") == ["un", "aff", "able"]
    assert "    un aff able\n" in story
    assert spelled(gpt2, " unaffable") == re.search(r'its pieces are "(.*)"', story)[1].split()


# ----------------------------------------------------------------------------------------- the real merges


@pytest.mark.slow
def test_real_reviews_agree_with_the_slow_reference(gpt2: ByteBPE, reviews) -> None:
    for review in reviews.test[:60]:
        expected = slow_pieces(review.text, gpt2)
        assert spelled(gpt2, review.text) == expected
        assert [gpt2.tokens[i] for i in gpt2.ids(review.text)] == expected


def slow_pieces(text: str, tok: ByteBPE) -> list[str]:
    """RoBERTa's tokenizer written down step by step, nothing shared and nothing fast; no special tokens in the text."""
    ranks = {pair: rank for rank, pair in enumerate(tok.merges)}
    return [piece for word in slow_words(text) for piece in slow_merge(word, ranks)]


def slow_words(text: str) -> list[str]:
    """GPT-2's pattern without a pattern: character by character."""

    def kind(character: str) -> str:
        if character in "\t\n\x0b\x0c\r \x85\xa0\u2028\u2029" or unicodedata.category(character) == "Zs":
            return "blank"
        return {"L": "letter", "N": "number"}.get(unicodedata.category(character)[0], "sign")

    words = []
    while text:
        ending = next((e for e in ("'s", "'t", "'re", "'ve", "'m", "'ll", "'d") if text.startswith(e)), "")
        blank = " " if text[0] == " " and text[1:2] and kind(text[1]) != "blank" else ""
        first = kind(text[len(blank)])
        length = len(blank)
        while length < len(text) and kind(text[length]) == first:
            length += 1
        if ending:
            length = len(ending)
        elif first == "blank" and 1 < length < len(text):
            length -= 1
        words.append(text[:length])
        text = text[length:]
    return words


def slow_merge(word: str, ranks: dict[tuple[str, str], int]) -> list[str]:
    """All places of the best merge at once, from the left, as GPT-2's own code does it."""
    pieces = [LETTERS[byte] for byte in word.encode()]
    while True:
        pairs = [pair for pair in pairwise(pieces) if pair in ranks]
        if not pairs:
            return pieces
        best = min(pairs, key=lambda pair: ranks[pair])
        at = 0
        while at < len(pieces) - 1:
            if (pieces[at], pieces[at + 1]) == best:
                pieces[at : at + 2] = ["".join(best)]
            at += 1


def test_every_piece_of_the_real_vocabulary_is_read_as_itself(gpt2: ByteBPE) -> None:
    for rank, (left, right) in enumerate(gpt2.merges):
        if rank % 50 == 0:
            text = gpt2.join([left + right])
            if spell(text) == list(left + right):  # whole characters
                assert [gpt2.tokens[i] for i in gpt2.merge(text)] == [left + right]


# ------------------------------------------------------------------------------------------ the byte alphabet


def test_the_byte_alphabet() -> None:
    assert len({*LETTERS}) == 256
    assert all(letter.isprintable() and not letter.isspace() for letter in LETTERS)
    assert [LETTERS[ord(c)] for c in " \n\t\rA~"] == ["Ġ", "Ċ", "ĉ", "č", "A", "~"]
    assert [LETTERS[byte] for byte in (0, 127, 160, 161, 172, 173, 174, 255)] == [
        "Ā",
        "ġ",
        "ł",
        "¡",
        "¬",
        "Ń",
        "®",
        "ÿ",
    ]
    assert {*LETTERS} <= load_tokenizer(FOLDER).vocabulary.keys()
    assert [spell(" né"), spell("\ud800")] == [["Ġ", "n", "Ã", "©"], ["í", "ł", "Ģ"]]


# --------------------------------------------------------------------------------------------- cutting words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Hello world", ["Hello", " world"]),
        ("I've 5  dogs...", ["I", "'ve", " 5", " ", " dogs", "..."]),
        (
            "it's we'll 'twas IT'S o'clock",
            ["it", "'s", " we", "'ll", " '", "twas", " IT", "'", "S", " o", "'", "clock"],
        ),
        ("a1b22 c3", ["a", "1", "b", "22", " c", "3"]),
        ("x   y", ["x", "  ", " y"]),
        ("x \n y", ["x", " \n", " y"]),
        ("x\ny", ["x", "\n", "y"]),
        ("x\n\ny", ["x", "\n", "\n", "y"]),
        ("end  ", ["end", "  "]),
        ("$5 (a)!?", ["$", "5", " (", "a", ")!?"]),
        ("naïve ½ Ⅷ²", ["naïve", " ½", " Ⅷ²"]),
        ("你好，世界", ["你好", "，", "世界"]),
        ("a\xa0b\u3000\u3000c", ["a", "\xa0", "b", "\u3000", "\u3000", "c"]),
        ("a\x1cb \x1d", ["a", "\x1c", "b", " \x1d"]),  # no blanks, though str.split() would cut there
        ("e\u0301 ſ's 'ſ", ["e", "\u0301", " ſ", "'s", " '", "ſ"]),
        ("snake_case", ["snake", "_", "case"]),
        ("", []),
    ],
    ids=name,
)
def test_words(text: str, words: list[str]) -> None:
    assert cut_words(text) == words


def test_words_make_up_the_text_again() -> None:
    rng = random.Random(0)
    for _ in range(300):
        text = random_text(rng)
        words = cut_words(text)
        assert "".join(words) == text
        assert words == slow_words(text) or {*text} & NEW_CHARACTERS, text


NEW_CHARACTERS = {chr(code) for code in KindTable.new}


def random_text(rng: random.Random) -> str:
    blocks = [(0, 0x80)] * 4 + [(0x80, 0x250), (0x370, 0xE00), (0x2000, 0x2100), (0x3000, 0xD7A4), (0xE000, 0x110000)]
    parts = [" ", "  ", "\n", "'s", " 're", "'ll", " the", "12", "\u3000", "\x1c"]
    text = ""
    for _ in range(rng.randint(0, 10)):
        first, last = rng.choice(blocks)
        text += rng.choice([rng.choice(parts), "".join(chr(rng.randrange(first, last)) for _ in range(4))])
    return text


# ------------------------------------------------------------------------------- merging, lowest rank first


@pytest.mark.parametrize(
    ("merges", "word", "expected"),
    [
        pytest.param(["b c", "a b"], "abc", "a bc", id="the lowest rank first, not from the left"),
        pytest.param(["a b", "b c"], "abc", "ab c", id="the other order, the other way"),
        pytest.param(["a b", "c d", "ab cd", "b c"], "abcd", "abcd", id="pieces are joined to pieces"),
        pytest.param(["b c", "a b", "ab c"], "abc", "a bc", id="not the longest piece that there is"),
        pytest.param(["a a"], "aaaaa", "aa aa a", id="of equal ranks the first from the left"),
        pytest.param(["a b", "ab ab"], "ababab", "abab ab", id="everywhere"),
        pytest.param(["a b", "ab c"], "abd", "ab d", id="as far as merges go"),
        pytest.param([], "abc", "a b c", id="bytes alone"),
        pytest.param(["Ã ©"], "né", "n Ã©", id="bytes become a character"),
    ],
)
def test_merging(merges: list[str], word: str, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    tok = tiny(*merges)
    assert spelled(tok, word) == expected.split()
    monkeypatch.setattr(byte_bpe, "LONG_WORD", 0)
    assert spelled(tok, word) == expected.split()


def test_merges_never_reach_across_words() -> None:
    tok = tiny("a Ġ", "a b", "Ġ b", "a .", "1 a")
    assert spelled(tok, "a b a.1a") == ["a", "Ġb", "Ġ", "a", ".", "1", "a"]


def test_random_merges_agree_with_the_slow_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(0)
    for _ in range(150):
        made = list("abc")
        merges: dict[tuple[str, str], None] = {}
        while len(merges) < 12:
            pair = rng.choice(made), rng.choice(made)
            if "".join(pair) not in made:
                merges[pair] = None
                made.append("".join(pair))
        tok = ByteBPE(numbered(*made[3:]), merges)
        ranks = {pair: rank for rank, pair in enumerate(merges)}
        for _ in range(20):
            word = "".join(rng.choices("abc", k=rng.randint(1, 25)))
            expected = slow_merge(word, ranks)
            monkeypatch.setattr(byte_bpe, "LONG_WORD", 256)
            assert [tok.tokens[i] for i in tok.merge(word)] == expected, (merges, word)
            monkeypatch.setattr(byte_bpe, "LONG_WORD", 0)
            assert [tok.tokens[i] for i in tok.merge(word)] == expected, (merges, word)


def test_a_line_of_signs_is_read_in_time(small: ByteBPE) -> None:
    assert small.decode(small.ids("=" * 200_000)) == "=" * 200_000


# ------------------------------------------------------------------------------- special tokens in the text


def test_special_tokens_in_the_text_stay_whole() -> None:
    tok = tiny("Ġ a", "< s", "s >")
    encoding = tok.encode("a<s>a </s> a<pad><unk> <sa")
    assert encoding.tokens[1:-1] == ["a", "<s>", "a", "Ġ", "</s>", "Ġa", "<pad>", "<unk>", "Ġ", "<", "s", "a"]
    assert encoding.offsets[2] == (1, 4)
    assert encoding.sequence_ids[2] == 0  # it comes from the text, unlike the <s> before it
    assert tok.ids("<MASK>") == tok.ids("<") + tok.ids("MASK") + tok.ids(">")


def test_mask_takes_the_blanks_before_it() -> None:
    tok = tiny("Ġ a")
    assert spelled(tok, "a <mask> a") == spelled(tok, "a<mask> a") == ["a", "<mask>", "Ġa"]
    assert spelled(tok, "a \n\u3000<mask>") == ["a", "<mask>"]
    assert spelled(tok, "a\x1c<mask>") == ["a", "Ĝ", "<mask>"]
    assert spelled(tok, "a <s> <mask> </s>") == ["a", "Ġ", "<s>", "<mask>", "Ġ", "</s>"]
    assert tok.encode("a  <mask>").offsets[2] == (3, 9)
    other = tiny("Ġ a", mask_takes_blanks=False)
    assert spelled(other, "a <mask> a") == ["a", "Ġ", "<mask>", "Ġa"]
    for each in (tok, other):
        assert each.ids("a <mask> a") == [piece_id for piece_id, _ in each.pieces("a <mask> a")]


def test_prefix_space() -> None:
    plain, tok = tiny("Ġ a"), tiny("Ġ a", add_prefix_space=True)
    assert spelled(plain, "a a") == ["a", "Ġa"]
    assert spelled(tok, "a a") == spelled(tok, " a a") == ["Ġa", "Ġa"]
    assert spelled(tok, "\na") == ["Ġ", "Ċ", "a"]
    assert spelled(tok, "a<mask>a") == ["Ġa", "<mask>", "Ġa"]
    assert tok.encode("a", "a").tokens == ["<s>", "Ġa", "</s>", "</s>", "Ġa", "</s>"]
    assert tok.encode("a a").offsets[1:-1] == plain.encode("a a").offsets[1:-1] == [(0, 1), (2, 3)]
    assert tok.encode(" aa<mask>aa").offsets[1:-1] == [(0, 2), (2, 3), (3, 9), (10, 10), (10, 11)]
    assert tok.ids("") == plain.ids("") == []


# -------------------------------------------------------------------------------- the quick way to the ids


@pytest.mark.parametrize("text", AWKWARD, ids=name)
def test_ids_are_those_of_the_pieces(gpt2: ByteBPE, text: str) -> None:
    expected = [piece_id for piece_id, _ in gpt2.pieces(text)]
    for _ in range(2):  # worked out, then from the cache
        assert gpt2.ids(text) == expected
        assert gpt2.encode(text).ids == [gpt2.cls_id, *expected, gpt2.sep_id]


def test_cache_is_bounded_and_never_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    tok = tiny("Ġ a", "a b")
    cache = tok._cache
    monkeypatch.setattr(type(cache), "MAX_ENTRIES", 5)
    monkeypatch.setattr(type(cache), "MAX_LENGTH", 4)
    rng = random.Random(0)
    for _ in range(200):
        text = "".join(rng.choices("ab. ", k=20))
        assert tok.ids(text) == [piece_id for piece_id, _ in tok.pieces(text)]
        assert len(cache) <= 5
        assert all(len(word) <= 4 for word in cache)
    assert cache


def test_a_copy_in_another_process_starts_with_an_empty_cache() -> None:
    tok = tiny("Ġ a", add_prefix_space=True, mask_takes_blanks=False)
    tok.ids("a a")
    copy = pickle.loads(pickle.dumps(tok))
    assert not copy._cache
    assert copy.encode("a <mask> a") == tok.encode("a <mask> a")


# ---------------------------------------------------------------------------------------------- offsets


@pytest.mark.parametrize("text", AWKWARD, ids=name)
def test_offsets_lead_back_to_the_text(small: ByteBPE, text: str) -> None:
    tok = small
    spans = [span for _, span in tok.pieces(text)]
    for (piece_id, (start, end)), token in zip(tok.pieces(text), spelled(tok, text), strict=True):
        assert tok.tokens[piece_id] == token
        covered = text[start:end]
        if token in SPECIAL or token.strip("Ġ") == "":
            assert covered == token.strip("Ġ")
        elif len(covered) == 1:
            assert token.strip("Ġ") in "".join(spell(covered))  # perhaps only some of its bytes
        else:
            assert covered == covered.strip(" ")
            assert token.strip("Ġ") in "".join(spell(covered))
    assert spans == sorted(spans)
    covered = {at for start, end in spans for at in range(start, end)}
    blanks_of_masks = {at for found in re.finditer(r"\s+<mask>", text) for at in range(*found.span())}
    assert {at for at, c in enumerate(text) if c != " "} - blanks_of_masks <= covered


def test_offsets_with_a_prefix_space() -> None:
    """The blank that was put there has no place of its own; of real ones, one looks like it."""
    tok = tiny("Ġ a", "Ġ b", add_prefix_space=True)
    assert tok.encode("a b").offsets[1:-1] == [(0, 1), (2, 3)]
    assert tok.encode(" a b").offsets[1:-1] == [(0, 2), (3, 4)]
    assert tok.encode("  a").offsets[1:-1] == [(0, 0), (2, 3)]
    assert tok.encode("<s>a").offsets[1:-1] == [(0, 3), (4, 4)]
    assert tok.encode(" <mask>a").offsets[1:-1] == [(0, 7), (8, 8)]
    assert tok.encode("a  <mask>").offsets[1:-1] == [(0, 1), (3, 9)]
    assert tok.encode("   <mask>").offsets[1:-1] == [(3, 9)]
    assert tiny("Ġ Ġ", "Ġ a", add_prefix_space=True).encode("   a").offsets[1:-1] == [(2, 2), (3, 4)]
    assert tok.encode("a", " b").offsets == [(0, 0), (0, 1), (0, 0), (0, 0), (0, 2), (0, 0)]


def test_blanks_before_a_mask_are_not_learned() -> None:
    tok = ByteBPE.train(["a\u3000\u3000<mask>"] * 9 + ["bb"] * 2, 300)
    assert tok.merges == [("b", "b")]


def test_offsets_count_characters_not_bytes() -> None:
    tok = tiny("Ġ n", "Ã ©")
    encoding = tok.encode("né né 😀é")
    assert encoding.tokens[1:-1] == ["n", "Ã©", "Ġn", "Ã©", "Ġ", "ð", "Ł", "ĺ", "Ģ", "Ã©"]
    assert encoding.offsets[1:-1] == [(0, 1), (1, 2), (3, 4), (4, 5), (6, 6), *[(6, 7)] * 4, (7, 8)]


def test_offsets_of_a_pair_are_in_the_text_they_come_from() -> None:
    tok = tiny("Ġ a", "b b")
    ids = [tok.vocabulary[token] for token in ("<s>", "a", "Ġ", "bb", "</s>", "</s>", "b", "Ġa", "</s>")]
    assert tok.encode("a bb", "b a") == Encoding(
        ids=ids,
        type_ids=[0] * 9,
        tokens=["<s>", "a", "Ġ", "bb", "</s>", "</s>", "b", "Ġa", "</s>"],
        sequence_ids=[None, 0, 0, 0, None, None, 1, 1, None],
        offsets=[(0, 0), (0, 1), (2, 2), (2, 4), (0, 0), (0, 0), (0, 1), (2, 3), (0, 0)],
    )


# --------------------------------------------------------------------------------------- batches and room


def test_batch_is_padded_with_1_and_types_are_0() -> None:
    tok = tiny()
    a = tok.vocabulary["a"]
    batch = tok(["a", "aaa"], ["", "a"])
    assert {key: rows.tolist() for key, rows in batch.items()} == {
        "input_ids": [[0, a, 2, 2, 2, 1, 1, 1], [0, a, a, a, 2, 2, a, 2]],
        "attention_mask": [[1, 1, 1, 1, 1, 0, 0, 0], [1] * 8],
        "token_type_ids": [[0] * 8, [0] * 8],
    }
    assert tok.num_special() == 2
    assert tok.num_special(pair=True) == 4


def test_max_length_without_room() -> None:
    with pytest.raises(MinibertError, match=r"max_length is 3, .* <s> </s> </s> </s> alone take 4"):
        tiny().encode("a", "b", max_length=3)


# ----------------------------------------------------------------------------------------------- decoding


def test_nothing_is_lost() -> None:
    tok = load_tokenizer(FOLDER)
    rng = random.Random(0)
    for text in [*AWKWARD, *(random_text(rng) for _ in range(200))]:
        if "<mask>" not in text:  # which takes the blanks before it
            assert tok.decode(tok.ids(text), skip_special=False) == text
            assert tok.unk_id not in tok.ids(text.replace("<unk>", ""))


def test_decode(gpt2: ByteBPE) -> None:
    ids = gpt2.encode("Naïve? UNAFFABLE, quite\n <mask>  so! 😀").ids
    assert gpt2.decode(ids) == "Naïve? UNAFFABLE, quite  so! 😀"
    assert gpt2.decode(ids, skip_special=False) == "<s>Naïve? UNAFFABLE, quite<mask>  so! 😀</s>"
    assert gpt2.decode(ids[:-2]).endswith("so! \ufffd")  # half a character
    assert gpt2.decode([]) == ""
    assert gpt2.decode(gpt2.ids("x\ud800")) == "x\ufffd\ufffd\ufffd"


def test_pieces_outside_the_byte_alphabet_are_written_as_they_are() -> None:
    tok = ByteBPE(numbered("日 x"), [])
    assert tok.decode([tok.vocabulary["日 x"], tok.vocabulary["Ġ"]]) == "日 x "


def test_which_tokens_carry_a_word_on(small: ByteBPE) -> None:
    continues = [token for token in spelled(small, "The film's re-make,\n unaffable<mask>") if small.continues(token)]
    assert "".join(continues).startswith("The")  # with no blank before it
    assert not {"Ġfilm", "Ċ", "<mask>", "Ġ"} & {*continues}
    assert {"'s", "-", ","} <= {*continues}
    assert not any(small.continues(token) for token in SPECIAL)


# --------------------------------------------------------------------------------- vocabularies refused


@pytest.mark.parametrize(
    ("vocabulary", "merges", "message"),
    [
        ({token: at for at, token in enumerate(LETTERS)}, [], r"lacks <pad>, <unk>, <s>, </s>, <mask>; ByteBPE needs"),
        ({token: at for at, token in enumerate(SPECIAL)}, [], r"lacks 256 of the 256 bytes, first 0 \(Ā\)"),
        (numbered(), [("a", "b")], "lacks ab of the merge a b; .* another vocabulary"),
        (numbered("abc"), [("ab", "c")], "lacks ab of the merge ab c"),
        (numbered("abc"), [("a", "bc")], "lacks bc of the merge a bc"),
        (numbered("ab"), [("a", "b"), ("a", "b")], "the merge a b is listed 2 times"),
        (numbered() | {"x": 5}, [], "ids must be 0 to"),
    ],
)
def test_vocabularies_that_are_refused(vocabulary: dict, merges: list, message: str) -> None:
    with pytest.raises(MinibertError, match=message):
        ByteBPE(vocabulary, merges)


# -------------------------------------------------------------------------------------- files and folders


def write(folder: Path, **files: Any) -> Path:
    """A folder with vocab.json and merges.txt of a small vocabulary, and with other files: name -> JSON or text."""
    tok = tiny("Ġ a", "b c")
    contents = {"vocab.json": tok.vocabulary, "merges.txt": "#version: 0.2\nĠ a\nb c\n"}
    for name, content in (contents | {file.replace("__", "."): content for file, content in files.items()}).items():
        text = content if isinstance(content, str) else json.dumps(content)
        if content is not None:
            (folder / name).write_text(text, encoding="utf-8")
    return folder


def test_the_order_of_lines_is_the_order_of_ranks(tmp_path: Path) -> None:
    vocabulary = numbered("ab", "bc")
    for lines in ("#version: 0.2\nb c\na b\n", "b c\na b", "#version: 0.2\r\nb c\r\na b\r\n", "\ufeffb c\na b"):
        tok = load_tokenizer(write(tmp_path, vocab__json=vocabulary, merges__txt=lines))
        assert tok.merges == [("b", "c"), ("a", "b")]
        assert spelled(tok, "abc") == ["a", "bc"]
    assert load_tokenizer(write(tmp_path, vocab__json=numbered("##"), merges__txt="# #\n")).merges == [("#", "#")]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"merges__txt": "#version: 0.2\na b\nabc\n"}, r"line 3 of .*merges\.txt is 'abc'; a merge is two pieces"),
        ({"merges__txt": "a b\n\nb c\n"}, "line 2 of .* is ''"),
        ({"merges__txt": "a b c\n"}, "line 1 of .* is 'a b c'"),
        ({"merges__txt": "x y\n"}, "lacks xy of the merge x y"),
        ({"vocab__json": None}, r"holds no whole byte-level BPE: it needs a tokenizer\.json, or vocab\.json with"),
        ({"vocab__json": "[1]"}, "must hold a JSON object"),
        ({"tokenizer_config__json": "{"}, "cannot be read as JSON"),
        (
            {"tokenizer_config__json": {"tokenizer_class": "GPT2Tokenizer"}},
            "tokenizer_class 'GPT2Tokenizer', which may",
        ),
        ({"tokenizer_config__json": {"trim_offsets": False}}, "trim_offsets is False, not True"),
        ({"tokenizer_config__json": {"split_special_tokens": True}}, "split_special_tokens is True, not False"),
        ({"tokenizer_config__json": {"padding_side": "left"}}, "padding_side is 'left', not 'right'"),
        ({"tokenizer_config__json": {"errors": "strict"}}, "errors is 'strict', not 'replace'"),
        ({"tokenizer_config__json": {"cls_token": "<pad>"}}, "has <pad> as its cls token; only <s>"),
        ({"special_tokens_map__json": {"eos_token": {"content": "<s>"}}}, "has <s> as its eos token; only </s>"),
        ({"special_tokens_map__json": {"additional_special_tokens": ["<url>"]}}, "adds tokens of its own, .*: <url>"),
        ({"tokenizer_config__json": {"extra_special_tokens": {"image_token": "<i>"}}}, "adds tokens .*: <i>"),
        ({"added_tokens__json": {"<url>": 262}}, r"added_tokens\.json adds tokens of its own, .*: <url>"),
        (
            {"tokenizer_config__json": {"added_tokens_decoder": {"9": {"content": "[E]"}}}},
            r"config\.json adds .*: \[E\]",
        ),
        ({"added_tokens__json": {"<mask>": 7}}, "gives <mask> the id 7, but the vocabulary has it as"),
        ({"special_tokens_map__json": {"sep_token": {"content": "</s>", "lstrip": True}}}, "has lstrip for </s>"),
        ({"special_tokens_map__json": {"mask_token": {"content": "<mask>", "rstrip": True}}}, "has rstrip for <mask>"),
        ({"special_tokens_map__json": {"mask_token": {"content": "<mask>", "single_word": True}}}, "single_word for"),
    ],
    ids=lambda value: ascii(value)[:60],
)
def test_folders_that_are_refused(tmp_path: Path, files: dict, message: str) -> None:
    with pytest.raises(MinibertError, match=message):
        load_tokenizer(write(tmp_path, **files))


def test_settings_are_read_from_the_folder(tmp_path: Path) -> None:
    def read(**files: Any) -> ByteBPE:
        return load_tokenizer(write(tmp_path, **files))

    assert (read().add_prefix_space, read().mask_takes_blanks) == (False, True)
    assert read(
        tokenizer_config__json={"add_prefix_space": True, "tokenizer_class": "BartTokenizerFast"}
    ).add_prefix_space
    vocabulary = {token: number for token, number in tiny("Ġ a", "b c").vocabulary.items() if token != "<mask>"}
    tok = read(vocab__json=vocabulary, added_tokens__json={"<mask>": len(vocabulary)}, tokenizer_config__json="{}")
    assert tok.mask_id == len(vocabulary)


@pytest.mark.parametrize("lstrip", [True, False])
def test_whether_mask_takes_blanks_is_read_from_the_folder(tmp_path: Path, lstrip: bool) -> None:
    mask = {"content": "<mask>", "lstrip": lstrip}
    for file, content in (
        ("special_tokens_map.json", {"mask_token": mask}),
        ("tokenizer_config.json", {"mask_token": mask}),
        ("tokenizer_config.json", {"added_tokens_decoder": {str(tiny("Ġ a", "b c").mask_id): mask}}),
    ):
        path = write(tmp_path) / file
        path.write_text(json.dumps(content))
        assert load_tokenizer(tmp_path).mask_takes_blanks is lstrip
        path.unlink()


def described(**changes: Any) -> dict[str, Any]:
    """A tokenizer.json, as the Rust tokenizer writes one; changes: part__name=value."""
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    tok = tiny("Ġ a", "b c")
    content: dict[str, Any] = {
        "added_tokens": [{"id": tok.vocabulary[token], "content": token} | flags for token in SPECIAL],
        "normalizer": None,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
        "post_processor": {
            "type": "RobertaProcessing",
            "sep": ["</s>", 2],
            "cls": ["<s>", 0],
            "trim_offsets": True,
            "add_prefix_space": False,
        },
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": "",
            "end_of_word_suffix": "",
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": tok.vocabulary,
            "merges": [["Ġ", "a"], ["b", "c"]],
        },
    }
    content["added_tokens"][-1]["lstrip"] = True
    for change, value in changes.items():
        part, _, name = change.partition("__")
        if name:
            content[part] = (content[part] or {}) | {name: value}
        else:
            content[part] = value
    return content


@pytest.mark.parametrize(
    "setting", ["errors", "padding_side", "split_special_tokens", "trim_offsets", "truncation_side"]
)
def test_every_setting_that_is_not_read_is_refused(tmp_path: Path, setting: str) -> None:
    write(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({setting: "odd"}))
    with pytest.raises(MinibertError, match=f"{setting} is 'odd'"):
        load_tokenizer(tmp_path)


@pytest.mark.parametrize(
    ("part", "settings"),
    [
        (
            "model",
            ["byte_fallback", "continuing_subword_prefix", "dropout", "end_of_word_suffix", "ignore_merges"],
        ),
        ("normalizer", ["type"]),
        ("pre_tokenizer", ["type", "use_regex"]),
        ("post_processor", ["type", "trim_offsets"]),
        ("decoder", ["type"]),
    ],
)
def test_every_part_of_a_tokenizer_json_that_is_not_read_is_refused(
    tmp_path: Path, part: str, settings: list[str]
) -> None:
    for setting in settings:
        (tmp_path / "tokenizer.json").write_text(json.dumps(described(**{f"{part}__{setting}": "odd"})))
        with pytest.raises(MinibertError, match=f"its {part}'s {setting} is 'odd'"):
            load_tokenizer(tmp_path)


def test_folder_with_a_tokenizer_json_only(tmp_path: Path) -> None:
    def read(**changes: Any) -> ByteBPE:
        (tmp_path / "tokenizer.json").write_text(json.dumps(described(**changes)), encoding="utf-8")
        return load_tokenizer(tmp_path)

    assert spelled(read(), "bc a <mask>") == ["bc", "Ġa", "<mask>"]
    assert spelled(read(model__merges=["Ġ a", "b c"]), "bc a") == ["bc", "Ġa"]  # as older files have it
    assert spelled(read(pre_tokenizer__add_prefix_space=True), "a") == ["Ġa"]
    assert read(added_tokens=[{"content": "<mask>", "lstrip": False}]).mask_takes_blanks is False
    (tmp_path / "special_tokens_map.json").write_text('{"mask_token": {"content": "<mask>", "lstrip": false}}')
    assert read().mask_takes_blanks is True  # what comes first counts
    (tmp_path / "tokenizer_config.json").write_text('{"add_prefix_space": null}')
    assert read(pre_tokenizer__add_prefix_space=True).add_prefix_space is True
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"add_prefix_space": True, "tokenizer_class": "Any"}))
    assert spelled(read(), "a") == ["Ġa"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model__dropout": 0.1}, "its model's dropout is 0.1, not"),
        ({"model__ignore_merges": True}, "its model's ignore_merges is True, not False"),
        ({"model__byte_fallback": True}, "byte_fallback"),
        ({"model__end_of_word_suffix": "</w>"}, "end_of_word_suffix"),
        ({"model__continuing_subword_prefix": "##"}, "continuing_subword_prefix"),
        ({"model__merges": ["a b c"]}, "a merge of .* is 'a b c'"),
        ({"normalizer": {"type": "NFC"}}, "its normalizer's type is 'NFC', not nothing"),
        ({"pre_tokenizer__type": "Whitespace"}, "its pre_tokenizer's type is 'Whitespace', not 'ByteLevel'"),
        ({"pre_tokenizer__use_regex": False}, "use_regex"),
        ({"post_processor": None}, "its post_processor's type is None"),
        ({"post_processor__type": "TemplateProcessing"}, "TemplateProcessing"),
        ({"post_processor__trim_offsets": False}, "trim_offsets"),
        ({"post_processor__cls": ["</s>", 2]}, "puts </s> around texts as its cls token; only <s>"),
        ({"decoder__type": "BPEDecoder"}, "its decoder's type"),
        ({"added_tokens": [{"content": "<url>", "id": 9}]}, "adds tokens of its own, .*: <url>"),
        ({"added_tokens": [{"content": "<s>", "id": 9}]}, "gives <s> the id 9"),
        ({"added_tokens": [{"content": "<s>", "id": 0, "rstrip": True}]}, "has rstrip for <s>"),
    ],
    ids=str,
)
def test_tokenizer_json_of_another_kind(tmp_path: Path, changes: dict, message: str) -> None:
    (tmp_path / "tokenizer.json").write_text(json.dumps(described(**changes)), encoding="utf-8")
    with pytest.raises(MinibertError, match=message):
        load_tokenizer(tmp_path)


def test_tokenizer_json_comes_first(tmp_path: Path) -> None:
    write(tmp_path, tokenizer__json=described(model__merges=[["b", "c"]]))
    assert load_tokenizer(tmp_path).merges == [("b", "c")]


@pytest.mark.parametrize("settings", [{}, {"add_prefix_space": True}, {"mask_takes_blanks": False}], ids=str)
def test_saved_and_read_back(tmp_path: Path, small: ByteBPE, settings: dict[str, bool]) -> None:
    tok = ByteBPE(small.vocabulary, small.merges, **settings)
    tok.save(tmp_path / "new" / "folder")
    again = load_tokenizer(tmp_path / "new" / "folder")
    assert (again.vocabulary, again.merges) == (tok.vocabulary, tok.merges)
    assert [again.encode(text) for text in AWKWARD] == [tok.encode(text) for text in AWKWARD]


def test_files_are_as_the_ecosystem_reads_them(tmp_path: Path) -> None:
    tok = tiny("Ġ a", "Ġa é")
    tok.save(tmp_path)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"merges.txt", "special_tokens_map.json", "tokenizer_config.json", "vocab.json"}
    assert (tmp_path / "merges.txt").read_text(encoding="utf-8") == "#version: 0.2\nĠ a\nĠa é\n"
    assert json.loads((tmp_path / "vocab.json").read_text(encoding="utf-8")) == tok.vocabulary
    special = json.loads((tmp_path / "special_tokens_map.json").read_text())
    mask = special.pop("mask_token")
    assert (mask["__type"], mask["content"], mask["lstrip"], mask["rstrip"]) == ("AddedToken", "<mask>", True, False)
    assert special == {
        "bos_token": "<s>",
        "cls_token": "<s>",
        "eos_token": "</s>",
        "sep_token": "</s>",
        "pad_token": "<pad>",
        "unk_token": "<unk>",
    }
    config = json.loads((tmp_path / "tokenizer_config.json").read_text())
    assert (config["tokenizer_class"], config["add_prefix_space"]) == ("RobertaTokenizer", False)
    added = {number: (token["content"], token["lstrip"]) for number, token in config["added_tokens_decoder"].items()}
    assert added == {
        **{str(number): (token, False) for number, token in enumerate(FIRST_TOKENS)},
        str(tok.mask_id): ("<mask>", True),
    }


def test_save_refuses_and_writes_nothing(tmp_path: Path) -> None:
    for piece in ("a b", "a\n"):
        tok = ByteBPE(numbered(piece, piece + "c"), [(piece, "c")])
        with pytest.raises(MinibertError, match="cannot be a line of merges"):
            tok.save(tmp_path)
    assert not list(tmp_path.iterdir())
    for other in ("tokenizer.json", "vocab.txt"):
        (tmp_path / other).write_text("{}")
        with pytest.raises(MinibertError, match=rf"has a {other}"):
            tiny().save(tmp_path)
        (tmp_path / other).unlink()


def test_a_folder_is_read_by_the_family_whose_files_it_has(tmp_path: Path) -> None:
    assert isinstance(load_tokenizer(write(tmp_path)), ByteBPE)
    (tmp_path / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]))
    assert isinstance(load_tokenizer(tmp_path), WordPiece)


# ----------------------------------------------------------------------------------------- GPT-2's own files


def test_the_asset_has_robertas_special_tokens(gpt2: ByteBPE, gpt2_folder: Path) -> None:
    assert gpt2.tokens[:4] == ["<s>", "<pad>", "</s>", "<unk>"]
    assert gpt2.tokens[-1] == "<mask>"
    assert (gpt2.vocab_size, len(gpt2.merges)) == (50_261, 50_000)
    theirs = json.loads((gpt2_folder / "encoder.json").read_text(encoding="utf-8"))
    assert theirs.pop("<|endoftext|>") == 50_256
    assert all(gpt2.vocabulary[token] == number + 4 for token, number in theirs.items())
    assert gpt2.merges[0] == ("Ġ", "t")
    assert load_tokenizer("gpt2-bpe").vocabulary == gpt2.vocabulary


def test_the_asset_comes_back_in_the_ecosystems_files(gpt2: ByteBPE, tmp_path: Path) -> None:
    gpt2.save(tmp_path)
    again = load_tokenizer(tmp_path)
    assert (again.vocabulary, again.merges) == (gpt2.vocabulary, gpt2.merges)


# ---------------------------------------------------------------------------------- learning the merges


def test_most_frequent_pair_first_worked_by_hand() -> None:
    # l-o-w 5 times, l-o-w-e-r twice, n-e-w 4 times: lo 7, ow 7, we 2, er 2, ne 4, ew 4.
    merges = learn_merges({"low": 5, "lower": 2, "new": 4}, size=20, min_frequency=2)
    # lo and ow are equally frequent: "l" sorts before "o". Then lo + w, 7; ew before ne, 4; new, 4; er before low + e.
    assert merges == [("l", "o"), ("lo", "w"), ("e", "w"), ("n", "ew"), ("e", "r"), ("low", "er")]
    assert learn_merges({"low": 5, "lower": 2, "new": 4}, size=2, min_frequency=2) == merges[:2]
    assert learn_merges({"low": 5, "lower": 2, "new": 4}, size=20, min_frequency=5) == merges[:2]


def test_the_quick_way_of_counting_equals_counting_again() -> None:
    rng = random.Random(0)
    for _ in range(30):
        counts = Counter("".join(rng.choices("aabé ", k=rng.randint(1, 8))) for _ in range(15))
        assert learn_merges(counts, size=9, min_frequency=2) == slow_learn(counts, size=9)


def slow_learn(word_counts: dict[str, int], size: int) -> list[tuple[str, str]]:
    """Count all pairs from the beginning before each merge."""
    spelling = {word: [LETTERS[byte] for byte in word.encode()] for word in word_counts}
    merges: list[tuple[str, str]] = []
    while True:
        pairs: Counter[tuple[str, str]] = Counter()
        for word, symbols in spelling.items():
            for at in range(len(symbols) - 1):
                pairs[symbols[at], symbols[at + 1]] += word_counts[word]
        best = min(pairs, key=lambda pair: (-pairs[pair], pair), default=None)
        if best is None or pairs[best] < 2 or len(merges) == size:
            return merges
        merges.append(best)
        for symbols in spelling.values():
            at = 0
            while at < len(symbols) - 1:
                if (symbols[at], symbols[at + 1]) == best:
                    symbols[at : at + 2] = ["".join(best)]
                at += 1


@pytest.mark.slow
def test_trained_on_reviews(reviews) -> None:
    texts = [review.text for review in reviews.train if review.source == "rotten-tomatoes"][:600]
    tok = ByteBPE.train(texts, 900)
    assert tok.vocab_size == 900
    assert tok.tokens[:4] == ["<s>", "<pad>", "</s>", "<unk>"]
    assert tok.tokens[4:260] == sorted(LETTERS)
    assert tok.tokens[-1] == "<mask>"
    assert {"Ġthe", "Ġfilm", "ing", "ly"} <= tok.vocabulary.keys()
    held_out = [review.text for review in reviews.test if review.source == "rotten-tomatoes"][:200]
    pieces = [i for text in held_out for i in tok.ids(text)]
    assert len(pieces) < 2.2 * sum(len(text.split()) for text in held_out)
    assert [tok.decode(tok.ids(text)) for text in held_out] == held_out
    again = ByteBPE.train(texts[::-1], 900)
    assert (again.tokens, again.merges) == (tok.tokens, tok.merges)


def test_trained_tokenizers_read_any_text() -> None:
    tok = ByteBPE.train(["ab ab<mask>ab <mask> <s><s>"], 300)
    assert tok.merges == [("a", "b")]  # the special tokens were not taken for text
    assert tok.decode(tok.ids("Ünder 日本 😀")) == "Ünder 日本 😀"
    assert ("Ġ", "a") in ByteBPE.train(["a", "a"], 300, add_prefix_space=True).merges
    assert ByteBPE.train(["a", "a"], 300).merges == []
    assert ByteBPE.train(["a"], 300, add_prefix_space=True).add_prefix_space


def test_training_that_cannot_work() -> None:
    with pytest.raises(MinibertError, match="not one word"):
        ByteBPE.train([""], 300)
    with pytest.raises(
        MinibertError, match=r"vocab_size is 260, but the 5 special tokens and the 256 bytes alone take 261"
    ):
        ByteBPE.train(["ab"], 260)
    assert ByteBPE.train(["ab ab"], 261).vocab_size == 261
    with pytest.raises(MinibertError, match=r"texts\[1\] is None"):
        ByteBPE.train(["a", None], 300)


@pytest.mark.parametrize("size", ["80", None, 300.0, True, 0, -5])
def test_sizes_that_are_none(size: object) -> None:
    with pytest.raises(MinibertError, match=r"vocab_size is .*; it must be an integer, at least 1\."):
        ByteBPE.train(["some words"], size)
    with pytest.raises(MinibertError, match=r"min_frequency is .*; it must be an integer, at least 1\."):
        ByteBPE.train(["some words"], 300, min_frequency=size)
