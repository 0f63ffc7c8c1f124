"""Pairs for sentence order prediction."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from minibert.exercises.catalogue.common_pairs import (
    PAIR_MISTAKES,
    Triple,
    chance_for,
    pairs_probes,
    seen_of_pairs,
    steps,
)
from minibert.exercises.declare import Exercise, Hints, Mistake
from minibert.training.pairs import sop_pairs


def sentence_order_reference(
    documents: Sequence[Sequence[str]],
    rng: random.Random,
    *,
    labels: str = "1 is swapped",
    made: str = "swapped",
    share: str = "half",
    walk: str = "within",
    chance: str = "rng",
) -> list[Triple]:
    """Pairs for sentence order prediction, with knobs; the defaults follow section 3.1 of Lan et al. 2020."""
    rng = chance_for(rng, chance)
    pairs = []
    for number, first, second, coin in steps(documents, walk, rng, share):
        swap = {"never": False, "always": True}.get(share, not coin)
        label = {"1 is swapped": int(swap), "0 is swapped": int(not swap), "always 0": 0,
                 "by comparing": int(swap and first != second)}.get(labels, rng.randrange(2))  # fmt: skip
        if swap and made == "as for NSP":
            second = rng.choice(rng.choice([document for n, document in enumerate(documents) if n != number]))
        elif swap and made == "out of the document":
            second = rng.choice(documents[number])
        elif swap and made == "overwritten":
            first = second
        elif swap and made == "swapped":
            first, second = second, first
        pairs.append((first, second, label))
    return pairs


def sentence_order_pairs(documents: Sequence[Sequence[str]], rng: random.Random) -> list[Triple]:
    neighbours = [both for document in documents for both in pairwise(document)]
    pairs = []
    for first, second in neighbours:
        pairs.append((first, second, 0) if rng.random() < 0.5 else (second, first, 1))
    return pairs


def sentence_order_by_library(documents: Sequence[Sequence[str]], rng: random.Random) -> list[Triple]:
    """The library's segments hold several sentences; with one token each and room for two, they hold one."""
    names = [sentence for document in documents for sentence in document]
    numbers = {sentence: [place] for place, sentence in enumerate(names)}
    windows = [[numbers[first], numbers[second]] for document in documents for first, second in pairwise(document)]
    found = sop_pairs(windows, 2, rng, short_rate=0)
    return [(names[pair.first[0]], names[pair.second[0]], pair.label) for pair in found]


def sentence_order_by_slice(documents: Sequence[Sequence[str]], rng: random.Random) -> list[list[Any]]:
    pairs = []
    for document in documents:
        for i in range(len(document) - 1):
            label = rng.randint(0, 1)
            pairs.append([*document[i : i + 2][:: -1 if label else 1], label])
    return pairs


def sentence_order_by_shuffle(documents: Sequence[Sequence[str]], rng: random.Random) -> list[Triple]:
    pairs = []
    for document in documents:
        for place in range(1, len(document)):
            both = [(0, document[place - 1]), (1, document[place])]
            rng.shuffle(both)
            pairs.append((both[0][1], both[1][1], both[0][0]))
    return pairs


def sentence_order_by_bits(documents: Sequence[Sequence[str]], rng: random.Random) -> list[Triple]:
    in_order = [pair for document in documents for pair in pairwise(document)]
    bits = rng.choices([0, 1], k=len(in_order))
    return [(pair[bit], pair[1 - bit], bit) for pair, bit in zip(in_order, bits, strict=True)]


EXERCISE = Exercise(
    name="sentence-order",
    topic="masking",
    title="Pairs for sentence order prediction",
    level="warm-up",
    minutes=5,
    function="sentence_order_pairs",
    signature="documents, rng",
    task=(
        "Make the pairs from which ALBERT learns the order of two sentences.\n\n"
        "- `documents`: a list of documents, each a list of sentences (strings). None is empty. A document of one "
        "sentence makes no pair\n"
        "- `rng`: a `random.Random`. All randomness comes from it (`rng.random()` ...): the same seed gives the same "
        "pairs, and another seed gives different ones\n"
        "- for each document and each of its sentences except the last, in order, there is one pair `(first, second, "
        "label)` of that sentence and the one after it. With probability 1/2, decided separately for each pair, the "
        "two are in their original order, and the label is 0; otherwise they are swapped, and the label is 1\n"
        "- returns the list of pairs."
    ),
    source="Lan et al. 2020, section 3.1 (\"Inter-sentence coherence loss\")",
    reference=sentence_order_reference,
    solution=sentence_order_pairs,
    library=sentence_order_by_library,
    probes=pairs_probes,
    view=seen_of_pairs,
    tolerance=0.03,
    mistakes=(
        Mistake("labels-reversed", "labels", "0 is swapped", "your label is 1 where the two sentences are in order",
                "0 is in order and 1 is swapped; released weights would answer the wrong way round"),
        Mistake("label-by-itself", "labels", "drawn again", "the label does not depend on the swap",
                "it is drawn separately, so there is nothing to learn; draw once, and use the result for both",
                "How many times do you draw for one pair, and what is each draw for?"),
        Mistake("label-by-comparing", "labels", "by comparing", "the label is found by comparing the sentences",
                "two equal sentences get the label 0 even if they are swapped; take the label from the coin"),
        Mistake("label-always-0", "labels", "always 0", "every label is 0", "swapped pairs should have the label 1"),
        Mistake("built-as-nsp", "made", "as for NSP", "the label 1 goes to sentences from another document",
                "that is BERT's next sentence prediction, where the topic alone gives the answer away; swap the two "
                "sentences instead"),
        Mistake("drawn-from-the-document", "made", "out of the document",
                "the label 1 goes to a random sentence of the same document",
                "the task needs two neighbours in the wrong order; swap the two instead"),
        Mistake("swap-overwrites", "made", "overwritten", "the swap overwrites one of the two sentences",
                "after a = b and b = a both are b; write a, b = b, a"),
        Mistake("only-labelled", "made", "left as they are", "the label is drawn, but nothing is swapped",
                "all pairs are in order, and the label is noise"),
        Mistake("never-swapped", "share", "never", "no pair is ever swapped",
                "with only one label there is nothing to learn; swap half of the pairs"),
        Mistake("always-swapped", "share", "always", "every pair is swapped",
                "with only one label there is nothing to learn; swap half of the pairs"),
        *PAIR_MISTAKES,
    ),
    hints=Hints(
        "How many pairs of neighbours are there in a document of n sentences? Toss a coin for each of them.",
        "Both sentences come from one document, so the topic does not give the answer away. One draw decides both the "
        "order and the label.",
        "label = [u ≥ 1/2]; the pair is (sᵢ, sᵢ₊₁, 0) or (sᵢ₊₁, sᵢ, 1).",
        "for document in documents:\n    for i in range(...):\n        if rng.random() < 0.5:\n"
        "            pairs.append((document[i], ..., 0))\n        else:\n            pairs.append((...))",
    ),
    equivalents=(sentence_order_by_slice, sentence_order_by_shuffle, sentence_order_by_bits),
)  # fmt: skip
