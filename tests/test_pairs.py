"""Sentences, pairs and packed sentences: nothing crosses a border that it should not, and nothing gets lost.

Every token of the made-up documents is a number of its own, so that one can see from a token where it came from.
Bounds of counts are five standard deviations wide: a false alarm has probability below one in a million.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Sequence
from itertools import count, pairwise

import pytest
from lab import assert_same, check, lab, part
from tiny import expect_refusal

from minibert.training.pairs import Document, Pair, full_sentences, nsp_pairs, sop_pairs, split_sentences

# ------------------------------------------------------------------------------------------ the lab sheet
# Each property by itself, with numbers that can be worked out on paper. Read these first.


def told_apart(documents: int = 20, sentences: int = 21) -> list[list[str]]:
    """Documents whose sentences say where they are from: "3.7" is sentence 7 of document 3."""
    return [[f"{document}.{number}" for number in range(sentences)] for document in range(documents)]


def origin(sentence: str) -> list[int]:
    return [int(number) for number in sentence.split(".")]


@lab(
    "sentence-pairs",
    code=nsp_pairs,
    lesson="07",
    breaks="`if label == 1` replaced by `if label == 0`",
    catches="labels-reversed",
)
def test_nsp_label_0_is_the_next_sentence():
    """next sentence prediction: label 0 means that the second sentence follows the first, 1 that it is from elsewhere

    A sentence says where it is from: "3.7" is sentence 7 of document 3. With the label 0 the second is the one after
    the first; with the label 1 it is from another document.
    """
    for first, second, label in part("sentence-pairs")(told_apart(5), random.Random(0)):
        (document, number), other = origin(first), origin(second)
        if label == 0:
            assert_same(other, [document, number + 1])
        else:
            check(label == 1)
            check(other[0] != document)


@lab(
    "sentence-pairs",
    code=nsp_pairs,
    lesson="07",
    breaks="`label = rng.randrange(2)` replaced by a coin that is not fair",
    catches="always-random",
)
def test_half_of_the_nsp_pairs_are_random():
    """half of the pairs are random

    Of 400 pairs, within five standard deviations (50) of 200.
    """
    labels = [label for _, _, label in part("sentence-pairs")(told_apart(), random.Random(0))]
    assert_same(len(labels), 400)
    check(150 <= sum(labels) <= 250)


@lab(
    "sentence-order",
    code=sop_pairs,
    lesson="07",
    breaks="`if label else segments` replaced by `if not label else segments`",
    catches="labels-reversed",
)
def test_sop_label_1_is_swapped():
    """sentence order prediction: label 0 means in order, 1 swapped; both sentences are neighbours in one document"""
    pairs = part("sentence-order")(told_apart(), random.Random(0))
    for first, second, label in pairs:
        earlier, later = (origin(one) for one in ((second, first) if label else (first, second)))
        assert_same(later, [earlier[0], earlier[1] + 1])
    check(150 <= sum(label for _, _, label in pairs) <= 250, "half of the pairs are swapped")


@lab(None, code=full_sentences, lesson="07", breaks="`between = [separator_id]` left out")
def test_full_sentences_fill_the_room():
    """full sentences fill an input as far as they fit, with a [SEP] between two documents

    Two documents and a room of six tokens: 1 2, 3, [SEP] (0), and 4 5. The last sentence does not fit any more.
    """
    assert_same(full_sentences([[[1, 2], [3]], [[4, 5], [6]]], 6, 0), [[1, 2, 3, 0, 4, 5], [6]])


# ------------------------------------------------------------------------------------------- the whole of it

SEP = -1
Range = tuple[int, int]  # the fewest and the most
MAKERS = pytest.mark.parametrize("make", [nsp_pairs, sop_pairs])


def made_up(documents: int = 300, sentences: Range = (2, 20), words: Range = (1, 30), seed: int = 0) -> list[Document]:
    """Documents of random shape; their tokens are 0, 1, 2 ... through all of them."""
    rng, token = random.Random(seed), count()
    return [
        [[next(token) for _ in range(rng.randint(*words))] for _ in range(rng.randint(*sentences))]
        for _ in range(documents)
    ]


def tokens(documents: Sequence[Document]) -> list[int]:
    return [token for document in documents for sentence in document for token in sentence]


def homes(documents: Sequence[Document]) -> dict[int, int]:
    """Token -> the number of its document."""
    return {token: n for n, document in enumerate(documents) for sentence in document for token in sentence}


def follows_on(run: Sequence[int]) -> bool:
    """Whether the tokens stand one after the other in the documents, without a gap."""
    return list(run) == list(range(run[0], run[0] + len(run)))


def is_half(number: int, total: int) -> bool:
    return abs(number - total / 2) <= 5 * math.sqrt(total / 4)


# Sentences


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It was a fine film. We liked it a lot! Did you?", ["It was a fine film.", "We liked it a lot! Did you?"]),
        ("Why did they do it? Nobody will know.", ["Why did they do it?", "Nobody will know."]),
        ("A first line here\nand a second line", ["A first line here", "and a second line"]),
        ("A first line here\r\n\n  \n  Then one more line", ["A first line here", "Then one more line"]),
        # where a full stop ends no sentence
        ("I saw Mr. Bean with Dr. No and St. Elmo there.", ["I saw Mr. Bean with Dr. No and St. Elmo there."]),
        ("Watch a classic, e.g. Alien, i.e. The first one.", ["Watch a classic, e.g. Alien, i.e. The first one."]),
        ("Kramer vs. Kramer is (e.g. Mom says) good.", ["Kramer vs. Kramer is (e.g. Mom says) good."]),
        ("The book by J. R. R. Tolkien is better.", ["The book by J. R. R. Tolkien is better."]),
        ("He lives in the U.S. Army base.", ["He lives in the U.S. Army base."]),
        ("It lasts 2.5 hours. that is too long.", ["It lasts 2.5 hours. that is too long."]),
        ("and so did I. Then the film began.", ["and so did I.", "Then the film began."]),
        # quotes and brackets
        ('She said "Go home now." Then she left.', ['She said "Go home now."', "Then she left."]),
        ("He left the room... “What a strange man!”", ["He left the room...", "“What a strange man!”"]),
        ("It is long. (Too long for me.) Watch it anyway.", ["It is long.", "(Too long for me.)", "Watch it anyway."]),
        ("Ein schöner alter Film. Über allem liegt Schnee.", ["Ein schöner alter Film.", "Über allem liegt Schnee."]),
        # what is short stays with a neighbour
        ("Wow! What a great film. See it.", ["Wow! What a great film. See it."]),
        ("It was a great film. 10/10.\nSee it.", ["It was a great film. 10/10. See it."]),
        ("Why? They were two people. No. Never. Ever.", ["Why? They were two people.", "No. Never. Ever."]),
        ("Bad", ["Bad"]),
        ("", []),
        (" \n\t\n", []),
        (". A ! B ? C", [". A !", "B ? C"]),
    ],
)
def test_sentences(text, expected):
    assert split_sentences(text) == expected


def test_sentences_of_real_reviews(reviews):
    texts = [review.text for review in reviews.train if review.source == "imdb"][:1000]
    found = [split_sentences(text) for text in texts]
    assert all(" ".join(sentences).split() == text.split() for sentences, text in zip(found, texts, strict=True))
    assert all(len(sentence.split()) >= 3 for sentences in found for sentence in sentences)
    lengths = sorted(len(sentence.split()) for sentences in found for sentence in sentences)
    assert 12 <= lengths[len(lengths) // 2] <= 22  # words in the middle sentence
    assert sum(len(sentences) > 1 for sentences in found) > 950


# Pairs, of both kinds


@MAKERS
@pytest.mark.parametrize("max_length", [5, 6, 32, 128])
def test_pairs_fit_and_have_two_segments(make, max_length):
    pairs = make(made_up(), max_length - 3, random.Random(1))
    sizes = [len(pair.first) + len(pair.second) + 3 for pair in pairs]
    assert max(sizes) == max_length
    assert all(pair.first and pair.second for pair in pairs)
    assert all(follows_on(pair.first) and follows_on(pair.second) for pair in pairs)


@MAKERS
def test_half_of_the_labels_are_one(make):
    pairs = make(made_up(4000), 61, random.Random(2))
    assert len(pairs) > 10_000
    assert is_half(sum(pair.label for pair in pairs), len(pairs))
    assert {pair.label for pair in pairs} == {0, 1}


@MAKERS
def test_most_pairs_fill_the_length_and_some_are_short(make):
    documents = made_up(200, sentences=(40, 60), words=(5, 10))

    def fullness(short_rate: float) -> float:
        pairs = make(documents, 61, random.Random(3), short_rate)
        return sum(len(pair.first) + len(pair.second) for pair in pairs) / len(pairs) / 61

    assert fullness(0.0) > 0.93
    assert fullness(1.0) < 0.7
    assert fullness(1.0) < fullness(0.1) < fullness(0.0)


@MAKERS
def test_the_border_falls_anywhere(make):
    documents = [[[10 * d + s] for s in range(10)] for d in range(5000)]  # ten sentences of one token each
    pairs = make(documents, 10, random.Random(4), 0.0)
    whole = [pair for pair in pairs if len(pair.first + pair.second) == 10 and follows_on(sorted(pair[0] + pair[1]))]
    assert len(whole) > 2000
    for size in range(1, 10):
        found = sum(len(pair.first) == size for pair in whole)
        assert abs(found - len(whole) / 9) <= 5 * math.sqrt(len(whole) * 8 / 81)


@MAKERS
def test_long_segments_are_cut_at_either_end_and_the_longer_one_first(make):
    documents = [[list(range(d, d + 100)), list(range(d + 100, d + 110))] for d in range(0, 99_000, 1000)]
    pairs = make(documents, 50, random.Random(5))
    for pair in pairs:
        long, short = sorted(pair[:2], key=len, reverse=True)
        assert (len(long), len(short)) == (40, 10)
    starts = {max(pair[:2], key=len)[0] % 1000 for pair in pairs}
    assert min(starts) < 10
    assert max(starts) > 50
    assert {(len(pair.first), len(pair.second)) for pair in make(documents, 15, random.Random(5))} <= {(7, 8), (8, 7)}


@MAKERS
def test_the_seed_decides_the_pairs(make):
    documents = made_up(50)
    before = [[list(sentence) for sentence in document] for document in documents]
    first = make(documents, 29, random.Random(6))
    assert make(documents, 29, random.Random(6)) == first
    assert make(documents, 29, random.Random(7)) != first
    assert documents == before  # left alone


@MAKERS
def test_a_sentence_without_a_next_one_makes_no_pair(make):
    alone = [[[1, 2, 3]], [[4]], [[], [5, 6], []], []]
    pairs = make([*alone, [[10, 11], [], [12]], [[20], [21, 22]]], 29, random.Random(8))
    assert not {1, 2, 3, 4, 5, 6} & {token for pair in pairs for token in pair.first + pair.second}
    assert len(pairs) == 2


@MAKERS
def test_sentences_of_one_token(make):
    assert make([[[1], [2]], [[3], [4]]], 2, random.Random(0))


@MAKERS
def test_too_little_to_make_pairs(make):
    expected = {nsp_pairs: "next sentence prediction needs two", sop_pairs: "sentence order prediction needs a"}[make]
    for documents in ([], [[]], [[[1, 2]], [[3, 4]]], [[[1, 2], []], [[3]]]):
        with expect_refusal(expected, "but there is none"):
            make(documents, 29, random.Random(0))
    with expect_refusal("there is room for 1 token ", "at least 2", "raise max_length"):
        make(made_up(3), 1, random.Random(0))


# Next sentence prediction


def test_the_second_segment_is_next_or_from_another_document():
    documents = made_up(300, words=(1, 12))
    home = homes(documents)
    for pair in nsp_pairs(documents, 197, random.Random(9), 0.0):
        first, second = ({home[token] for token in segment} for segment in (pair.first, pair.second))
        assert len(first) == len(second) == 1
        assert (first == second) == (pair.label == 0)
        if pair.label == 0 and len(pair.first) + len(pair.second) < 197:  # not cut
            assert pair.second[0] == pair.first[-1] + 1


def test_random_segments_come_from_every_other_document_alike():
    documents = made_up(4, sentences=(10, 10), words=(1, 3))
    home = homes(documents)
    rng = random.Random(10)
    pairs = [pair for _ in range(2000) for pair in nsp_pairs(documents, 197, rng, 0.0) if pair.label == 1]
    for number in range(4):
        found = Counter(home[pair.second[0]] for pair in pairs if home[pair.first[0]] == number)
        total = sum(found.values())
        assert total > 900
        assert number not in found
        for other in set(range(4)) - {number}:
            assert abs(found[other] - total / 3) <= 5 * math.sqrt(total * 2 / 9)


def test_no_segment_but_a_first_one_opens_a_document():
    documents = made_up(300, sentences=(2, 5), words=(1, 5))
    opening = {token for document in documents for token in document[0]}
    pairs = nsp_pairs(documents, 125, random.Random(11))
    assert not any(set(pair.second) & opening for pair in pairs)


def test_what_was_replaced_begins_the_next_pair():
    document = [[token] for token in range(50)]
    other = [[token] for token in range(100, 150)]
    mine = [pair for pair in nsp_pairs([document, other], 10, random.Random(12), 0.0) if pair.first[0] < 50]
    read = []
    for pair in mine:
        read += pair.first + (pair.second if pair.label == 0 else [])
    assert {pair.label for pair in mine} == {0, 1}
    assert read == list(range(len(read)))  # nothing lost or doubled ...
    assert len(read) >= 49  # ... but a sentence that was left alone at the end


def test_two_documents_that_can_be_paired_are_needed():
    with expect_refusal("needs two documents of two sentences or more, but there is only one"):
        nsp_pairs([[[1], [2]], [[3]]], 29, random.Random(0))


# Sentence order prediction


def unswapped(pair: Pair) -> list[int]:
    return pair.second + pair.first if pair.label else pair.first + pair.second


def test_swapped_is_swapped_and_both_are_of_one_document():
    documents = made_up(300, words=(1, 12))
    home = homes(documents)
    for pair in sop_pairs(documents, 3997, random.Random(13), 0.0):
        assert follows_on(unswapped(pair))
        assert len({home[token] for token in unswapped(pair)}) == 1


def test_a_pair_in_order_and_a_swapped_one_are_made_of_the_same_text():
    documents = made_up(300, sentences=(2, 8), words=(1, 12))
    read = [token for pair in sop_pairs(documents, 3997, random.Random(14), 0.0) for token in unswapped(pair)]
    assert read == tokens(documents)  # one pair a document, all of it


# Full sentences


def without_separators(inputs: Sequence[list[int]]) -> list[int]:
    return [token for row in inputs for token in row if token != SEP]


@pytest.mark.parametrize("separator", [SEP, None])
@pytest.mark.parametrize("max_length", [3, 4, 10, 64, 512])
def test_unpacked_the_text_is_there_again(separator, max_length):
    documents = made_up(200, sentences=(0, 12), words=(0, 30), seed=15)
    inputs = full_sentences(documents, max_length - 2, separator)
    assert without_separators(inputs) == tokens(documents)
    assert all(0 < len(row) <= max_length - 2 for row in inputs)


def test_a_separator_stands_where_two_documents_meet_and_nowhere_else():
    documents = made_up(200, sentences=(1, 6), words=(1, 10))
    home = homes(documents)
    for row in full_sentences(documents, 62, SEP):
        assert SEP not in (row[0], row[-1])
        for before, at, after in zip(row, row[1:], [*row[2:], SEP], strict=False):
            if at == SEP:
                assert home[before] != home[after]
            elif before != SEP:
                assert home[before] == home[at]


def test_inputs_are_as_full_as_whole_sentences_allow():
    documents = made_up(200, sentences=(1, 6), words=(1, 20))
    length = {sentence[0]: len(sentence) for document in documents for sentence in document}
    home = homes(documents)
    inputs = full_sentences(documents, 62, SEP)
    for row, following in pairwise(inputs):
        assert following[0] in length  # a sentence begins here
        joint = 0 if home[row[-1]] == home[following[0]] else 1
        assert len(row) + joint + length[following[0]] > 62  # and would not have fitted before


def test_document_sentences_never_share_an_input():
    documents = made_up(200, sentences=(1, 6), words=(1, 10))
    home = homes(documents)
    inputs = full_sentences(documents, 62, None)
    assert all(len({home[token] for token in row}) == 1 for row in inputs)
    assert len(inputs) > len(full_sentences(documents, 62, SEP))


def test_a_long_sentence_is_cut_in_pieces():
    assert full_sentences([[[1, 2, 3, 4, 5, 6, 7], [8]]], 3, SEP) == [[1, 2, 3], [4, 5, 6], [7, 8]]


def test_nothing_to_pack():
    assert full_sentences([], 30, SEP) == full_sentences([[], [[]]], 30, SEP) == full_sentences([[]], 30, None) == []
    with expect_refusal("there is room for 0 tokens", "at least 1"):
        full_sentences(made_up(3), 0, SEP)
