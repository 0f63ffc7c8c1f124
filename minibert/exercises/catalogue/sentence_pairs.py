"""Pairs for next sentence prediction."""

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
from minibert.training.pairs import nsp_pairs


def next_sentence_reference(
    documents: Sequence[Sequence[str]],
    rng: random.Random,
    *,
    labels: str = "0 is next",
    source: str = "another document",
    share: str = "half",
    walk: str = "within",
    chance: str = "rng",
) -> list[Triple]:
    """Pairs for next sentence prediction, with knobs; the defaults follow section 3.1 of Devlin et al. 2019."""
    rng = chance_for(rng, chance)
    pairs = []
    for number, first, following, coin in steps(documents, walk, rng, share):
        is_next = {"always next": True, "always random": False}.get(share, coin)
        document = documents[number]
        if is_next and source == "by index":
            second = document[min(document.index(first) + 1, len(document) - 1)]
        elif is_next or source == "swapped":
            second = following
        elif source == "next document":
            second = rng.choice(documents[(number + 1) % len(documents)])
        elif source == "own document":
            second = rng.choice(documents[number])
        else:
            others = [document for n, document in enumerate(documents) if n != number or source == "any document"]
            if source == "other contents":
                others = [other for other in others if list(other) != list(document)]
            other = rng.choice(others)
            if source == "beside":
                other = documents[number - 1 if number and (number + 1 == len(documents) or rng.random() < 0.5)
                                  else number + 1]  # fmt: skip
            last = {"first sentence": 1, "never the last": max(len(other) - 1, 1)}.get(source, len(other))
            second = rng.choice(other[:last])
        label = {"0 is next": int(not is_next), "1 is next": int(is_next), "always 0": 0}.get(labels, rng.randrange(2))
        pairs.append((second, first, label) if source == "swapped" and not is_next else (first, second, label))
    return pairs


def next_sentence_pairs(documents: Sequence[Sequence[str]], rng: random.Random) -> list[Triple]:
    pairs = []
    for number, document in enumerate(documents):
        others = [other for place, other in enumerate(documents) if place != number]
        for first, following in pairwise(document):
            if rng.random() < 0.5:
                pairs.append((first, following, 0))
            else:
                pairs.append((first, rng.choice(rng.choice(others)), 1))
    return pairs


def next_sentence_by_library(documents: Sequence[Sequence[str]], rng: random.Random) -> list[Triple]:
    """The library's segments hold several sentences; with one token each and room for two, they hold one."""
    names = [sentence for document in documents for sentence in document]
    numbers = {sentence: [place] for place, sentence in enumerate(names)}
    pairs = []
    for number, document in enumerate(documents):
        others = [numbers[s] for n, other in enumerate(documents) if n != number for s in other]
        for first, following in pairwise(document):
            # Its random segments never begin with a document's first sentence, so an unused one is put there.
            found = nsp_pairs([[numbers[first], numbers[following]], [[-1], *others]], 2, rng, short_rate=0)[0]
            pairs.append((names[found.first[0]], names[found.second[0]], found.label))
    return pairs


def next_sentence_by_rejection(documents: Sequence[Sequence[str]], rng: random.Random) -> list[list[Any]]:
    flat = [(number, sentence) for number, document in enumerate(documents) for sentence in document]
    pairs = []
    for (number, first), (after, following) in pairwise(flat):
        if number != after:
            continue
        label = rng.randint(0, 1)
        while label:
            number_there, following = flat[rng.randrange(len(flat))]
            if number_there != number:
                break
        pairs.append([first, following, label])
    return pairs


def next_sentence_by_index(documents: Sequence[Sequence[str]], rng: random.Random) -> list[Triple]:
    pairs = []
    for n in range(len(documents)):
        for i in range(len(documents[n]) - 1):
            other = rng.randrange(len(documents) - 1)
            other += other >= n
            candidates = (documents[n][i + 1], documents[other][int(rng.random() * len(documents[other]))])
            label = int(rng.random() >= 0.5)
            pairs.append((documents[n][i], candidates[label], label))
    return pairs


def next_sentence_by_shuffled_places(documents: Sequence[Sequence[str]], rng: random.Random) -> list[Triple]:
    """Exactly half of the pairs, a random sample of them, get a random sentence."""
    places = [(n, i) for n, document in enumerate(documents) for i in range(len(document) - 1)]
    at_random = set(rng.sample(places, len(places) // 2))
    pairs = []
    for n, i in places:
        others = [sentence for m, document in enumerate(documents) if m != n for sentence in document]
        second = rng.choice(others) if (n, i) in at_random else documents[n][i + 1]
        pairs.append((documents[n][i], second, int((n, i) in at_random)))
    return pairs


EXERCISE = Exercise(
    name="sentence-pairs",
    topic="masking",
    title="Pairs for next sentence prediction",
    level="core",
    minutes=15,
    function="next_sentence_pairs",
    signature="documents, rng",
    task=(
        "Make the pairs from which BERT learns whether one sentence follows another.\n\n"
        "- `documents`: a list of documents, each a list of sentences (strings). There are at least two documents, and "
        "none is empty. A document of one sentence makes no pair, but its sentence may be drawn for other documents\n"
        "- `rng`: a `random.Random`. All randomness comes from it (`rng.random()`, `rng.choice(...)` ...): the same "
        "seed gives the same pairs, and another seed gives different ones\n"
        "- for each document and each of its sentences except the last, in order, there is one pair `(first, second, "
        "label)`. `first` is that sentence. With probability 1/2, decided separately for each pair, `second` is the "
        "sentence after it, and the label is 0 (is next). Otherwise `second` is a random sentence of a random "
        "**other** document, and the label is 1 (any sentence of any other document may be drawn; it does not matter "
        "whether you draw the document first)\n"
        "- returns the list of pairs."
    ),
    source="Devlin et al. 2019, section 3.1, task 2",
    reference=next_sentence_reference,
    solution=next_sentence_pairs,
    library=next_sentence_by_library,
    probes=pairs_probes,
    view=seen_of_pairs,
    tolerance=0.03,
    mistakes=(
        Mistake("labels-reversed", "labels", "1 is next", "your label is 1 where the second sentence is the next one",
                "0 is next and 1 is random; released weights would answer the wrong way round"),
        Mistake("label-by-itself", "labels", "drawn again", "the label is drawn separately",
                "it says nothing about the pair, so there is nothing to learn; draw once, and use the result for both",
                "How many times do you draw for one pair, and what is each draw for?"),
        Mistake("label-always-0", "labels", "always 0", "every label is 0",
                "a pair with a random sentence should have the label 1"),
        Mistake("own-document-too", "source", "any document", "the random sentence may come from the same document",
                "it may even be the sentence that really comes next, labelled as random; leave out the document "
                "itself"),
        Mistake("own-document-only", "source", "own document", "the random sentence comes from the same document",
                "it may even be the sentence that really comes next, labelled as random; take another document"),
        Mistake("document-behind", "source", "next document", "the random sentence always comes from the next document",
                "the model can memorise these few combinations; draw the document at random"),
        Mistake("first-sentence-only", "source", "first sentence",
                "the random sentence is always the first of its document",
                "first sentences are easy to recognise without looking at the pair; draw from all sentences"),
        Mistake("last-never-drawn", "source", "never the last", "the last sentence of a document is never drawn",
                "randrange(n) and range(n) leave n out already; any sentence may be drawn"),
        Mistake("documents-beside", "source", "beside", "the random sentence always comes from a neighbouring document",
                "neighbours are often about the same thing; draw from all other documents"),
        Mistake("documents-compared", "source", "other contents",
                "the other documents are found by comparing their sentences",
                "another document with the same sentences is left out as well, and if all are equal nothing is left to "
                "draw from; go by numbers, n and m ≠ n"),
        Mistake("next-by-index", "source", "by index", "the next sentence is looked up by its text",
                "index() finds the first place of a sentence that occurs twice; go by numbers, i and i + 1"),
        Mistake("swapped-instead", "source", "swapped", "you swap the two sentences instead of drawing another one",
                "that is ALBERT's sentence order prediction; BERT takes a sentence from another document"),
        Mistake("always-next", "share", "always next", "the second sentence is always the next one",
                "with only one label there is nothing to learn; half of the second sentences should be random"),
        Mistake("always-random", "share", "always random", "the second sentence is always a random one",
                "with only one label there is nothing to learn; half of the second sentences should be the next ones"),
        *PAIR_MISTAKES,
    ),
    hints=Hints(
        "In a document of n sentences, how many have another one after them? Toss a coin for each of these.",
        "One draw decides both the second sentence and the label. Before you draw a random sentence, leave out the "
        "document itself: make a list of the other documents first.",
        "label = [u ≥ 1/2]; second = sentence i + 1 if label = 0, else a sentence of a document m ≠ n.",
        "for number, document in enumerate(documents):\n    others = ...\n    for i in range(...):\n"
        "        if rng.random() < 0.5:\n            pairs.append((document[i], ..., 0))\n        else:\n"
        "            pairs.append((document[i], rng.choice(...), 1))",
    ),
    equivalents=(next_sentence_by_rejection, next_sentence_by_index, next_sentence_by_shuffled_places),
)  # fmt: skip
