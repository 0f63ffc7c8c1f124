"""Learning a vocabulary by joining: which two neighbours occur side by side most often?

WordPiece and byte-level BPE both begin with the smallest symbols, characters or bytes, and join the most frequent pair
again and again. They differ in what a symbol is and in how two become one; this is the part that they share.

Source: Sennrich, Haddow & Birch 2016, "Neural Machine Translation of Rare Words with Subword Units", section 3.2.
"""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

Pair = tuple[str, str]


def frequent_pairs(
    words: Sequence[Sequence[str]], counts: Sequence[int], min_frequency: int, joined: Callable[[str, str], str]
) -> Iterator[Pair]:
    """The pairs to join, in order: each time the most frequent one, which is then joined in all words.

    words: each as its symbols. counts: how often each word occurs. joined: the symbol that two become. Of equally
    frequent pairs the one that sorts first is taken. Ends when no pair occurs ``min_frequency`` times.
    """
    spelling = [list(symbols) for symbols in words]
    pair_counts: Counter[Pair] = Counter()
    words_with: defaultdict[Pair, set[int]] = defaultdict(set)
    for number, symbols in enumerate(spelling):
        for pair in pairwise(symbols):
            pair_counts[pair] += counts[number]
            words_with[pair].add(number)

    queue = [(-count, pair) for pair, count in pair_counts.items()]
    heapq.heapify(queue)
    while queue:
        negative_count, best = heapq.heappop(queue)
        if -negative_count != pair_counts[best]:
            continue  # outdated: the pair went back into the queue when its count changed
        if -negative_count < min_frequency:
            return
        yield best
        changed = set()
        for number in words_with.pop(best):
            before = spelling[number]
            after = spelling[number] = _join_pair(before, best, joined(*best))
            for pair in pairwise(before):
                pair_counts[pair] -= counts[number]
                changed.add(pair)
            for pair in pairwise(after):
                pair_counts[pair] += counts[number]
                words_with[pair].add(number)
                changed.add(pair)
        for pair in changed:
            if pair_counts[pair]:
                heapq.heappush(queue, (-pair_counts[pair], pair))


def _join_pair(symbols: list[str], pair: Pair, new: str) -> list[str]:
    """The symbols with each occurrence of the pair, from the left, made one."""
    joined = []
    at = 0
    while at < len(symbols):
        if tuple(symbols[at : at + 2]) == pair:
            joined.append(new)
            at += 2
        else:
            joined.append(symbols[at])
            at += 1
    return joined
