"""What the two exercises on sentence pairs share: the documents, what is compared, and the mistakes.

Pairs are random, so the checker compares what must be true of each single pair, and the statistics of thousands of
pairs (see chance.py): first the structure, and only if that is right the statistics.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import torch

from minibert.exercises import chance as chances
from minibert.exercises.calls import Built, Call
from minibert.exercises.declare import Mistake, Probe

# Sentences that occur twice, in one document and in two, and documents of one and of two sentences.
FEW = (
    ("Yes.", "It rained.", "Yes.", "We stayed in."), ("The end.",), ("Who is there?", "Nobody."),
    ("It rained.", "No.", "Who is there?", "No.", "He laughed.", "No."),
)  # fmt: skip
EQUAL = [["No."] * 70, ["No."] * 70, ["No."] * 70]  # nothing can be found by comparing texts
SIZES = (41, 36, 1, 52, 30, 2, 47, 39, 33)
MANY = [[f"{number}.{place}" for place in range(size)] for number, size in enumerate(SIZES)]
RUNS = 14  # calls of the first look at the statistics, of about 270 pairs each
ENOUGH = 1000  # pairs, for statistics
Triple = tuple[str, str, int]
Place = tuple[int, int]


def relations(first: str, second: str, here: str, after: str, own: int, holders: set[int]) -> set[str]:
    """All that is true of where the sentences of a pair come from.

    here, after: the sentences at the place of the pair. own: their document. holders: the documents that have the
    second one.
    """
    found = set()
    if (first, second) == (here, after):
        found.add("the next sentence")
    if (first, second) == (after, here):
        found.add("the two sentences swapped")
    if first == second:
        found.add("the same sentence twice")
    if first == here and holders - {own}:
        found.add("a sentence of another document")
    if first == here and own in holders:
        found.add("a sentence of the same document")
    return found or {"something else"}


def seen_of_pairs(output: Any, call: Call, error: float) -> Mapping[str, Any]:
    """What is compared in a pairs probe's output. Raises an error if that is not lists of triples."""
    documents = call.args[0]
    runs = [[(first, second, _label(label)) for first, second, label in pairs] for pairs in output]
    places = [(n, i) for n, document in enumerate(documents) for i in range(len(document) - 1)]
    aligned = all(len(pairs) == len(places) for pairs in runs)
    in_order = aligned and all(
        documents[n][i] in pair[:2] for pairs in runs for (n, i), pair in zip(places, pairs, strict=True)
    )
    seen: dict[str, Any] = {
        "number of pairs": str(len(runs[0])),
        "there is one pair for each sentence except the last of a document, in order": in_order,
        "the same seed gives the same pairs": runs[0] == runs[1],
        "another seed gives other pairs": any(pairs != runs[0] for pairs in runs[2:]),
    }
    if not aligned:
        return seen | _of_wrong_places(runs, documents)
    holders: dict[str, set[int]] = {}
    for number, document in enumerate(documents):
        for sentence in document:
            holders.setdefault(sentence, set()).add(number)
    kinds: dict[int, list[set[str]]] = {}
    for pairs in runs:
        for (n, i), (first, second, label) in zip(places, pairs, strict=True):
            found = relations(first, second, documents[n][i], documents[n][i + 1], n, holders.get(second, set()))
            kinds.setdefault(label, []).append(found)
    seen |= {f"pairs with the label {label}": mostly(kinds[label]) for label in sorted(kinds)}
    if len(runs) < RUNS or not in_order:
        return seen
    labels = [torch.tensor([label for *_, label in pairs]) for pairs in [runs[0], *runs[2:]]]
    return seen | _of_coins(labels, documents, error) | _of_draws([runs[0], *runs[2:]], places, documents, error)


def _label(label: Any) -> int:
    """The label, if it is an integer; 1.0 is none."""
    if isinstance(label, float) or int(label) != label:
        raise ValueError(label)
    return int(label)


def mostly(kinds: Sequence[set[str]]) -> str:
    """The relation that holds for all pairs, or for more than four in five. A random half is far from four in five."""
    counted = Counter(kind for one in kinds for kind in sorted(one))
    order = ("the next sentence", "the two sentences swapped", "the same sentence twice")
    best = max(counted, key=lambda kind: (counted[kind], kind in order))
    if counted[best] == len(kinds):
        return best
    return f"mostly {best}" if counted[best] > 0.8 * len(kinds) else "of more than one kind"


def _of_wrong_places(runs: Sequence[Sequence[Triple]], documents: Sequence[Sequence[str]]) -> dict[str, Any]:
    """What can be said of pairs that are not one for each place."""
    known = {sentence: (n, i) for n, document in enumerate(documents) for i, sentence in enumerate(document)}
    steps = Counter(
        "another document" if known[a][0] != known[b][0] else str(known[b][1] - known[a][1]) for a, b, _ in runs[0]
    )
    return {
        "a pair crosses from a document's end to the next document": any(
            known[a][0] + 1 == known[b][0] and known[a][1] == len(documents[known[a][0]]) - 1 for a, b, _ in runs[0]
        ),
        "the furthest step back in a document": str(min([int(s) for s in steps if s != "another document"], default=0)),
        "labels": sorted({str(label) for *_, label in runs[0]}),
    }


def _of_coins(labels: Sequence[torch.Tensor], documents: Sequence[Sequence[str]], error: float) -> dict[str, Any]:
    ones = int(sum(int(one.sum()) for one in labels))
    total = sum(len(one) for one in labels)
    if ones in (0, total):
        return {}
    lengths = [len(document) - 1 for document in documents]
    rows = chances.Rows(torch.cat(list(labels)), torch.tensor(lengths).repeat(len(labels)))
    seen = {
        "neighbouring pairs have coins that do not depend on each other": chances.neighbours_independent(rows, error),
        "each pair of a document has a coin of its own": chances.rows_alike(rows, error),
        "both labels come up in a call": sum(0 < int(one.sum()) < len(one) for one in labels) > len(labels) / 2,
        "each pair of a call has a coin of its own": chances.rows_alike(chances.Rows.of(labels), error),
        "the coin does not depend on the place of a pair": chances.places_alike(labels, error)
        and chances.in_any_order(rows, error),
    }
    # One coin for many pairs is few coins, whose share says nothing.
    separate = chances.rows_alike(rows, error) and chances.rows_alike(chances.Rows.of(labels), error)
    return seen | {"share of label 1": chances.share(ones, total, 0.5, error)} if separate else seen


def _of_draws(
    runs: Sequence[Sequence[Triple]], places: Sequence[Place], documents: Sequence[Sequence[str]], error: float
) -> dict[str, Any]:
    """Of the sentences from other documents, if there are any."""
    known = {sentence: (n, i) for n, document in enumerate(documents) for i, sentence in enumerate(document)}
    drawn = [
        (at, known[second])
        for pairs in runs
        for at, (first, second, _) in zip(places, pairs, strict=True)
        if known[first] == at and known[second][0] != at[0]
    ]
    if len(drawn) < ENOUGH:
        return {}
    sizes = [len(document) for document in documents]
    longer = [there for _, there in drawn if sizes[there[0]] > 1]
    one_of = sum(1 / sizes[n] for n, _ in longer) / max(len(longer), 1)
    bins, expected = torch.zeros(6, dtype=torch.float64), torch.zeros(6, dtype=torch.float64)
    for n, i in longer:
        bins[6 * i // sizes[n]] += 1
    for n, times in Counter(n for n, _ in longer).items():
        for i in range(sizes[n]):
            expected[6 * i // sizes[n]] += times / sizes[n]
    reached = {(mine, there) for (mine, _), (there, _) in drawn}
    sources = {n for n, _ in places if sizes[n] > 10}
    apart = Counter((there - mine) % len(documents) for (mine, _), (there, _) in drawn)
    return {
        "first sentences of documents are drawn like any other": chances.share(
            sum(i == 0 for _, i in longer), len(longer), one_of, error) == one_of,
        "last sentences of documents are drawn like any other": chances.share(
            sum(i == sizes[n] - 1 for n, i in longer), len(longer), one_of, error) == one_of,
        "all parts of a document are drawn equally often": chances.evenly_spread(bins, expected, error),
        "all other documents are drawn": all(
            (mine, there) in reached
            for mine in sources
            for there, size in enumerate(sizes)
            if there != mine and size > 2
        ),
        "no document is drawn nearly always": max(apart.values()) < 0.5 * len(drawn),
        "the document drawn is always the next one": len(apart) == 1,
        "only first sentences are drawn": all(i == 0 for _, (_, i) in drawn),
        "a new sentence is drawn for each pair": sum(
            one[1] == other[1] for one, other in pairwise(drawn)) < 0.2 * len(drawn),
        "the drawn sentence's number in its document is not that of the first sentence": sum(
            at[1] == there[1] for at, there in drawn) < 0.2 * len(drawn),
    }  # fmt: skip


def pairs_probes() -> list[Probe]:
    def inputs(documents: Sequence[Sequence[str]], seed: int) -> tuple[Any, ...]:
        return [list(document) for document in documents], Built("random", (seed,))

    def call(documents: Sequence[Sequence[str]], seeds: Sequence[int]) -> Call:
        first, *rest = (inputs(documents, seed) for seed in seeds)
        return Call(first, again=tuple(rest))

    more = (call(MANY, range(100, 100 + RUNS)),)
    return [
        Probe("four short documents with repeated sentences", call(FEW, (1, 1, *range(2, 10)))),
        Probe("nine documents, called 14 times", call(MANY, (1, 1, *range(20, 18 + RUNS))), more=more),
        Probe(
            "documents whose sentences are all equal",
            call(EQUAL, (1, 1, *range(20, 18 + RUNS))),
            more=(call(EQUAL, range(100, 100 + RUNS)),),
        ),
    ]


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
    Mistake("coins-in-turn", "share", "in turn", "the labels take turns",
            "whoever knows one label knows the next, and there is no chance in it; draw from rng for each pair"),
    Mistake("one-coin-for-all", "share", "one for all", "you toss one coin for all pairs of a call",
            "all have the same label; toss a coin for each pair"),
    Mistake("coin-of-0.4", "share", "0.4", "the label 1 comes up in 40% of the pairs",
            "the two should be equally likely; compare with 0.5"),
    Mistake("coin-of-0.6", "share", "0.6", "the label 1 comes up in 60% of the pairs",
            "the two should be equally likely; compare with 0.5"),
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
    turn = rng.random() < 0.5 if share in ("in turn", "one for all") else False
    limit = {"0.4": 0.6, "0.6": 0.4}.get(share, 0.5)  # a coin that is True gives the label 0 (or is not swapped)
    for number, document in enumerate(documents):
        after = {"across": documents[(number + 1) % len(documents)][:1], "round": document[:1]}.get(walk, [])
        joined = [*document, *after]
        last = len(joined) - (2 if walk == "too short" else 1)
        for place in range(0, last, 2 if walk == "by two" else 1):
            if share in ("in turn", "one for all"):
                turn = (not turn) if share == "in turn" else turn
                coin = turn
            else:
                coin = coins[number] if coins else rng.random() < limit
            yield number, joined[place], joined[place + 1], coin
