"""The Unigram model: the best way to cut a word into pieces, and where pieces and their scores come from.

WordPiece takes the longest piece first and never looks back. Unigram looks at all ways to cut a text and takes the
most probable one. Each piece has a probability of its own, whatever its neighbours are (hence the name); that of a way
to cut is the product of its pieces'. In logarithms: a way's score is the sum of its pieces' scores. Three of the ways
to cut "heroin", with 1,000 pieces learned from movie reviews:

    ▁her  o   in        -7.36 - 5.36 - 5.51           =  -18.23    the longest piece first
    ▁he   ro  in        -6.60 - 5.96 - 5.51           =  -18.06    the best
    ▁he   ro  i  n      -6.60 - 5.96 - 5.26 - 4.53    =  -22.34

n characters can be cut in 2^(n-1) ways, but these need not be listed. How the rest of a word is cut does not depend on
how its beginning is. So, from left to right, only the best way to each place is kept, and each piece that begins there
is put after it (the Viterbi algorithm): `best_path`.

Where do pieces and scores come from? `learn_pieces` begins with far too many candidates. With their scores, it asks how
often each is used, on average over all ways to cut the training text (`Lattices.expected_counts`); from these counts it
makes better scores, and so on: expectation maximisation. Then the pieces that can best be spared go, and it begins
again, until as many are left as are wanted.

Sources: Kudo 2018 ("Subword Regularization"), Section 3; Kudo and Richardson 2018 and their released trainer.
"""

from __future__ import annotations

import math
import unicodedata
from array import array
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby, pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from minibert.errors import MinibertError
from minibert.tokenizers.spiece import BLANK

# ---------------------------------------------------------------------------------------- 1. the best path

Known = dict[str, tuple[int, float] | tuple[()]]  # piece -> (id, score); what only begins a piece -> ()


def known_pieces(pieces: Iterable[tuple[str, int, float]]) -> Known:
    """(text, id, score) of pieces, as `best_path` takes them: together with their beginnings, where it goes on."""
    known: Known = {}
    for text, number, score in pieces:
        for end in range(1, len(text)):
            known.setdefault(text[:end], ())
        known[text] = (number, score)
    return known


class BestPath(NamedTuple):
    """ids and ends: the pieces, and where each ends in the sentence. lead: by how much, at the closest of the places
    that the path goes through, it is better than the second best way to that place."""

    ids: list[int]
    ends: list[int]
    lead: float


def best_path(
    sentence: str, known: Known, unknown: tuple[int, float], before: float = 0.0, precision: str = "d"
) -> BestPath:
    """The most probable way to cut a sentence (Viterbi; Kudo 2018, section 3.2).

    unknown: (id, score) of a character that is no piece. Of two equal ways to a place, that with the longer last piece
    is taken. precision, before: with "f", sums are rounded to 32 bits as SentencePiece does it, `before` being the
    score of all that comes before the sentence; then nearly equal ways may change places. "d" is 64 bits.
    """
    size = len(sentence)
    best = array(precision, [-math.inf]) * (size + 1)  # the score of the best way to each place
    best[0] = before
    second = [-math.inf] * (size + 1)
    ids = [0] * (size + 1)  # the last piece on the best way to each place, and where it starts
    starts = [0] * (size + 1)
    rounded = array(precision, [0.0])
    find = known.get
    for start in range(size):
        here = best[start]
        alone = False  # whether the next character is a piece by itself
        for end in range(start + 1, size + 1):
            piece = find(sentence[start:end])
            if piece is None:
                break
            if piece:
                rounded[0] = here + piece[1]
                score = rounded[0]
                if score > best[end]:
                    second[end] = best[end]
                    best[end] = score
                    ids[end] = piece[0]
                    starts[end] = start
                elif score > second[end]:
                    second[end] = score
                if end == start + 1:
                    alone = True
        if not alone:
            end = start + 1
            rounded[0] = here + unknown[1]
            score = rounded[0]
            if score > best[end]:
                second[end] = best[end]
                best[end] = score
                ids[end] = unknown[0]
                starts[end] = start
            elif score > second[end]:
                second[end] = score
    path = []
    at = size
    while at:
        path.append(at)
        at = starts[at]
    path.reverse()
    lead = min((best[end] - second[end] for end in path), default=math.inf)
    return BestPath([ids[end] for end in path], path, lead)


# ------------------------------------------------------------------------------------ 2. all paths together

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


class Edges(NamedTuple):
    """Pieces that fit somewhere: each from one place to another, in a word. All (number of edges,)."""

    starts: Integers
    ends: Integers
    pieces: Integers
    words: Integers

    def chosen(self, which: NDArray) -> Edges:
        return Edges(*(column[which] for column in self))


class Lattices:
    """All ways to cut some words into pieces.

    A word of n characters has n + 1 places: before, between and after its characters. The places of all words are
    numbered in one row. A piece that fits somewhere in a word is an edge from one place to another, and a way to cut
    the word is a path along edges. pieces: text -> number.
    """

    def __init__(self, words: Sequence[str], pieces: Mapping[str, int]):
        sizes = np.array([len(word) for word in words], dtype=np.int64)
        self.first = np.cumsum(sizes + 1) - sizes - 1  # of each word, the place before it
        self.last = self.first + sizes
        known = known_pieces((text, number, 0.0) for text, number in pieces.items())
        found: list[tuple[int, int, int, int]] = []
        for number, (word, first) in enumerate(zip(words, self.first.tolist(), strict=True)):
            for start in range(len(word)):
                for end in range(start + 1, len(word) + 1):
                    piece = known.get(word[start:end])
                    if piece is None:
                        break
                    if piece:
                        found.append((first + start, first + end, piece[0], number))
        edges = Edges(*np.array(found, dtype=np.int64).reshape(-1, 4).T)
        # An edge can be added when all paths to its start are known: those near the beginning come first.
        self.ahead = edges.chosen(np.lexsort((edges.ends, edges.ends - self.first[edges.words])))
        self.back = edges.chosen(np.lexsort((edges.starts, self.last[edges.words] - edges.starts)))

    def keep(self, kept: NDArray[np.bool_]) -> None:
        """Remove the edges of pieces that are not kept, (number of pieces,); the others are numbered anew."""
        numbers = np.cumsum(kept) - 1
        for name in ("ahead", "back"):
            edges = getattr(self, name)
            edges = edges.chosen(kept[edges.pieces])
            setattr(self, name, edges._replace(pieces=numbers[edges.pieces]))

    def expected_counts(self, scores: Floats, counts: Floats) -> Floats:
        """How often each piece is used, on average over all ways to cut the words, each as often as it is probable.

        scores: log probabilities of the pieces. counts: how often each word occurs. (Kudo 2018, Section 3.2, by the
        forward-backward algorithm.) forward[place] is the logarithm of the probability of all paths from the beginning
        of the word to a place together, backward[place] of those from there to its end. An edge's share in all paths of
        its word is forward[start] + score + backward[end], less all paths of the word.
        """
        places = len(self.first) + int((self.last - self.first).sum())
        edges = self.ahead
        forward = np.full(places, -np.inf)
        forward[self.first] = 0.0
        _add_up(forward, edges.starts, edges.ends, scores[edges.pieces], edges.ends - self.first[edges.words])
        backward = np.full(places, -np.inf)
        backward[self.last] = 0.0
        edges = self.back
        _add_up(backward, edges.ends, edges.starts, scores[edges.pieces], self.last[edges.words] - edges.starts)
        share = forward[edges.starts] + scores[edges.pieces] + backward[edges.ends] - forward[self.last][edges.words]
        return np.bincount(edges.pieces, np.exp(share) * counts[edges.words], len(scores)).astype(np.float64)


def _add_up(sums: Floats, sources: Integers, targets: Integers, scores: Floats, distances: Integers) -> None:
    """sums[target] becomes the logarithm of the sum, over edges to a target, of exp(sums[source] + score).

    Edges are in the order of their targets' distance from the beginning, and those to one target side by side.
    """
    groups = np.flatnonzero(np.diff(targets, prepend=-1))  # where the edges to each target begin
    levels = np.flatnonzero(np.diff(distances, prepend=-1)).tolist()
    for start, end in pairwise([*levels, len(targets)]):
        here = groups[np.searchsorted(groups, start) : np.searchsorted(groups, end)]
        paths = sums[sources[start:end]] + scores[start:end]
        sums[targets[here]] = np.logaddexp.reduceat(paths, here - start)


# --------------------------------------------------------------------------------- 3. learning a vocabulary

CANDIDATES = 20  # substrings to begin with, for each piece that is wanted
LONGEST = 16  # characters of a piece
KEPT_AT_ONCE = 0.75  # the share of the pieces that stay when some go
ROUNDS = 2  # of expectation and maximisation before pieces go
TOO_RARE = 0.5  # uses; a piece that is expected to be used less often goes


def learn_pieces(word_counts: Mapping[str, int], size: int) -> list[tuple[str, float]]:
    """At most ``size`` pieces with their scores, best first, that make the words as probable as they can.

    word_counts: a word, "▁" in front of it -> how often it occurs. (Kudo 2018, Section 3.2.) Begin with all characters
    and the most frequent substrings; find their scores by expectation maximisation; remove the quarter of the pieces
    that can best be spared; repeat. How well can a piece be spared? The text loses, each time the piece is used,
    the difference between its score and that of the best other way to cut the same characters. Characters stay.

    Scores are digamma(count) - digamma(all counts), not the plain log(count) - log(all counts): as in the released
    trainer, which is Bayesian here and so makes rare pieces rarer. A piece is all letters, all digits or all other
    signs, apart from its "▁". The same counts, in any order, give the same pieces. Raises MinibertError if ``size``
    cannot hold the characters.
    """
    spans: Counter[str] = Counter()
    for word in sorted(word_counts):
        for part in same_kind(word):
            spans[part] += word_counts[word]
    characters = sorted(set().union(*spans))
    if len(characters) > size:
        raise MinibertError(
            f"the texts' characters alone take {len(characters)} pieces, {len(characters) - size} more than there is "
            f"room for; choose a vocabulary that is larger by {len(characters) - size} or more."
        )
    occurrences = count_substrings(spans)
    longer = [text for text, count in occurrences.items() if len(text) > 1 and count > 1]
    longer = sorted(longer, key=lambda text: (-occurrences[text] * len(text), text))[: CANDIDATES * size]
    pieces = characters + longer
    always = np.arange(len(pieces)) < len(characters)
    scores = np.log([occurrences[text] for text in pieces])
    scores -= np.log(np.exp(scores).sum())
    counts = np.array(list(spans.values()), dtype=np.float64)
    lattices = Lattices(list(spans), {text: number for number, text in enumerate(pieces)})
    expected = scores

    def keep(kept: NDArray[np.bool_]) -> None:
        nonlocal pieces, always, scores, expected
        lattices.keep(kept)
        pieces = [text for text, stays in zip(pieces, kept, strict=True) if stays]
        always, scores, expected = always[kept], scores[kept], expected[kept]

    while True:
        for _ in range(ROUNDS):
            expected = lattices.expected_counts(scores, counts)
            keep(always | (expected >= TOO_RARE))
            scores = digamma(np.maximum(expected, TOO_RARE)) - digamma(expected.sum())
        if len(pieces) <= size:
            return sorted(zip(pieces, scores.tolist(), strict=True), key=lambda piece: (-piece[1], piece[0]))
        losses = np.where(always, np.inf, expected * gains(pieces, scores.tolist()))
        order = np.argsort(-losses, kind="stable")
        kept = np.zeros(len(pieces), dtype=bool)
        kept[order[: max(size, int(KEPT_AT_ONCE * len(pieces)))]] = True
        keep(kept)


def same_kind(word: str) -> list[str]:
    """A word cut where letters, digits and other signs meet; "▁" is joined to what follows it."""
    parts = ["".join(part) for _, part in groupby(word.removeprefix(BLANK), _kind)]
    if word.startswith(BLANK):
        parts[:1] = [BLANK + "".join(parts[:1])]
    return parts


def _kind(character: str) -> str:
    """A letter, or a mark on one, a digit, or something else."""
    category = unicodedata.category(character)[0]
    return category if category in "LN" else "L" if category == "M" else "other"


def count_substrings(spans: Mapping[str, int]) -> Counter[str]:
    """How often each substring of at most LONGEST characters occurs."""
    occurrences: Counter[str] = Counter()
    for span, count in spans.items():
        for start in range(len(span)):
            for end in range(start + 1, min(start + LONGEST, len(span)) + 1):
                occurrences[span[start:end]] += count
    return occurrences


def gains(pieces: Sequence[str], scores: Sequence[float]) -> Floats:
    """By how much each piece's score is above that of the best other way to cut its characters, (number of pieces,)."""
    known = known_pieces((text, number, score) for number, (text, score) in enumerate(zip(pieces, scores, strict=True)))
    found = []
    for number, text in enumerate(pieces):
        known[text] = ()
        others = best_path(text, known, (number, -math.inf)).ids
        known[text] = (number, scores[number])
        found.append(scores[number] - sum(scores[other] for other in others))
    return np.array(found)


def digamma(numbers: Floats | float) -> Floats:
    """The derivative of log(gamma(x)), x > 0: near log(x) - 1 / (2 x). (Abramowitz and Stegun 1964, 6.3.5, 6.3.18.)"""
    x = np.asarray(numbers, dtype=np.float64)
    below = sum(1 / (x + step) for step in range(6))
    x = x + 6
    return np.log(x) - 1 / (2 * x) - x**-2 / 12 + x**-4 / 120 - x**-6 / 252 + x**-8 / 240 - below
