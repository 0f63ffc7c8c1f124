"""What the two exercises on sentence pairs share: the documents, what is compared, and the mistakes.

Pairs are random, so the checker compares an answer's statistics, and what must be true of each single pair. The share
of label 1 may differ by the exercises' tolerance (four standard errors of the difference of two right answers). All
other entries must be the same.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from minibert.exercises.calls import Built, Call
from minibert.exercises.declare import Mistake, Probe

# Twelve documents of 1 to 60 sentences; "3.7" is sentence 7 of document 3.
SIZES = (20, 35, 1, 60, 12, 28, 2, 44, 9, 31, 50, 16)
DOCUMENTS = [[f"{number}.{place}" for place in range(size)] for number, size in enumerate(SIZES)]
PLACES = {sentence: tuple(map(int, sentence.split("."))) for document in DOCUMENTS for sentence in document}
FIRSTS = [sentence for document in DOCUMENTS for sentence in document[:-1]]
Triple = tuple[str, str, int]


def relation(first: str, second: str) -> str:
    """Where the second sentence of a pair comes from, relative to the first."""
    (document, place), (other, there) = PLACES[first], PLACES[second]
    if document != other:
        return "another document"
    near = {1: "the next sentence", -1: "the sentence before", 0: "the sentence itself"}
    return near.get(there - place, "elsewhere in the document")


def seen_of_pairs(output: Any) -> Mapping[str, Any]:
    """What is compared in a pairs probe's output. Raises an error if that is not three lists of triples."""
    pairs, same, other = ([tuple(pair) for pair in pairs] for pairs in output)
    kinds = {
        label: [relation(first, second) for first, second, mark in pairs if mark == label]
        for label in sorted({int(label) for _, _, label in pairs})
    }
    both = [(first, second) for first, second, _ in pairs if relation(first, second) == "another document"]
    by_document: dict[int, list[int]] = {}
    for first, _, label in pairs:
        by_document.setdefault(PLACES[first][0], []).append(int(label))
    far = [(PLACES[first], PLACES[second]) for first, second in both]
    return {
        "number of pairs": str(len(pairs)),
        "one pair for each sentence except the last of a document, in order": len(pairs) == len(FIRSTS)
        and all(sentence in pair[:2] for sentence, pair in zip(FIRSTS, pairs, strict=True)),
        **{f"pairs with the label {label}": mostly(found) for label, found in kinds.items()},
        "a second sentence is from elsewhere in the same document": any(
            "elsewhere in the document" in found for found in kinds.values()
        ),
        "all sentences from other documents are first sentences": bool(far)
        and all(place == 0 for _, (_, place) in far),
        "all sentences from other documents are from the next document": bool(far)
        and all(theirs == (mine + 1) % len(SIZES) for (mine, _), (theirs, _) in far),
        "all pairs of a document have the same label": len(kinds) == 2
        and all(len(set(found)) == 1 for found in by_document.values()),
        "the same seed gives the same pairs": pairs == same,
        "another seed gives the same pairs": pairs == other,
        "share of label 1": len(kinds.get(1, ())) / max(len(pairs), 1),
    }


def mostly(kinds: Sequence[str]) -> str:
    """The kind that more than four in five have, if there is one. A random half is far from four in five."""
    best = max(sorted(set(kinds)), key=kinds.count)
    return best if kinds.count(best) > 0.8 * len(kinds) else "of more than one kind"


def pairs_probes() -> list[Probe]:
    def inputs(seed: int) -> tuple[Any, ...]:
        return DOCUMENTS, Built("random", (seed,))

    return [Probe("twelve documents", Call(inputs(1), again=(inputs(1), inputs(2))))]


def chance_for(rng: random.Random, chance: str) -> Any:
    """What an answer draws from: the given rng, Python's own, or one that starts again in each call."""
    return {"rng": rng, "python's own": random, "fixed seed": random.Random(0)}[chance]


# What can go wrong with both kinds of pairs.
PAIR_MISTAKES = (
    Mistake("rng-ignored", "chance", "python's own", "you do not draw from rng",
            "the same seed gives different pairs each time, and no experiment can be repeated; use rng.random(), "
            "rng.choice() and so on"),
    Mistake("fixed-seed", "chance", "fixed seed", "every call gives the same pairs, whatever rng is",
            "each epoch sees the same pairs; use rng, and do not set a seed inside the function"),
    Mistake("across-documents", "walk", "across", "the last sentence of a document is paired with the next document",
            "two unrelated texts count as neighbours; go through each document separately"),
    Mistake("round-to-the-first", "walk", "round", "the last sentence of a document is paired with its first sentence",
            "the first does not follow the last; a document of n sentences has n - 1 pairs"),
    Mistake("one-coin-for-a-document", "share", "one a document", "you toss one coin for a whole document",
            "all its pairs get the same label; toss a coin for each pair"),
    Mistake("last-pair-missing", "walk", "too short", "the last pair of each document is missing",
            "a document of n sentences has n - 1 pairs"),
    Mistake("every-other-sentence", "walk", "by two", "you move on by two sentences",
            "half of the pairs are missing; every sentence but the last begins one"),
)  # fmt: skip


def steps(documents: Sequence[Sequence[str]], walk: str, rng: Any, share: str) -> Iterator[tuple[int, str, str, bool]]:
    """Document number, sentence, next sentence and coin, in order; walk and share also offer the wrong ways."""
    coins = [rng.random() < 0.5 for _ in documents] if share == "one a document" else []
    for number, document in enumerate(documents):
        after = {"across": documents[(number + 1) % len(documents)][:1], "round": document[:1]}.get(walk, [])
        joined = [*document, *after]
        last = len(joined) - (2 if walk == "too short" else 1)
        for place in range(0, last, 2 if walk == "by two" else 1):
            coin = coins[number] if coins else rng.random() < 0.5
            yield number, joined[place], joined[place + 1], coin
