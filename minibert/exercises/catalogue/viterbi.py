"""Unigram: the best way to cut a word, found by the Viterbi algorithm."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import cache
from itertools import pairwise

from minibert.exercises.calls import Call
from minibert.exercises.declare import Exercise, Hints, Mistake, Probe
from minibert.exercises.moved import other_letters
from minibert.tokenizers.unigram_model import best_path, known_pieces


def from_the_left(word: str, scores: Mapping[str, float], choice: Callable[[list[str]], str]) -> list[str]:
    """Without looking back: at each place a piece is chosen from those that fit, else one character."""
    pieces: list[str] = []
    start = 0
    while start < len(word):
        fits = [word[start:end] for end in range(start + 1, len(word) + 1) if word[start:end] in scores]
        pieces.append(choice(fits) if fits else word[start])
        start += len(pieces[-1])
    return pieces


def reference(
    word: str,
    scores: Mapping[str, float],
    unknown: float = -20.0,
    *,
    search: str = "all ways",
    better: str = "higher",
    sums: str = "added",
    ties: str = "longer last piece",
    rare: str = "one piece each",
    rare_score: str = "given",
    rare_tried: str = "if no piece",
    start_at: str = "minus infinity",
    ends: str = "all",
    mark: str = "as it is",
    shown: str = "as they are",
) -> list[str]:
    """Viterbi with knobs."""
    word = {"as it is": word, "added": f"▁{word}", "stripped": word.lstrip("▁"), "lower": word.lower()}[mark]
    if search == "longest piece":
        return from_the_left(word, scores, lambda fits: fits[-1])
    if search == "shortest piece":
        return from_the_left(word, scores, lambda fits: fits[0])
    if search == "most probable piece":
        return from_the_left(word, scores, lambda fits: max(fits, key=lambda piece: scores[piece]))
    size = len(word)
    unknown = {"given": unknown, "nothing": 0.0, "lowest": min(scores.values(), default=0.0)}[rare_score]
    worst = 0.0 if start_at == "zero" else -math.inf if better == "higher" else math.inf
    best, count, starts = [worst] * (size + 1), [0] * (size + 1), [0] * (size + 1)
    best[0] = 1.0 if sums == "multiplied" else 0.0
    for end in range(1, size + 1):
        for start in range(end):
            piece = word[start:end]
            if ends == "not the whole word" and end - start == size and size > 1:
                continue
            alone = (
                (end == start + 1 or rare == "of any length")
                and (rare_tried == "always" or piece not in scores)
                and rare != "no way"
            )
            own = max(scores.get(piece, -math.inf), unknown if alone else -math.inf)
            if own == -math.inf or (best[start] == worst and start):
                continue
            value = {
                "added": lambda own=own, start=start: best[start] + own,
                "multiplied": lambda own=own, start=start: best[start] * own,
                "last piece only": lambda own=own: own,
                "fewest pieces": lambda own=own, start=start: best[start] - 1,
                "mean": lambda own=own, start=start: (best[start] * count[start] + own) / (count[start] + 1),
            }[sums]()
            wins = value > best[end] if better == "higher" else value < best[end]
            if wins or (ties == "shorter last piece" and value == best[end]):
                best[end], count[end], starts[end] = value, count[start] + 1, start
    if best[size] == worst and size and start_at != "zero":
        return [word] if rare == "no way" else []
    places = [size]
    while places[-1]:
        places.append(starts[places[-1]])
    spans = list(pairwise(places[::-1]))
    texts = [word[a:b] for a, b in spans]
    if rare == "joined":
        joined: list[str] = []
        for at, text in enumerate(texts):
            if at and text not in scores and texts[at - 1] not in scores:
                joined[-1] += text
            else:
                joined.append(text)
        texts = joined
    if rare == "whole word unknown" and any(text not in scores for text in texts):
        return ["<unk>"]
    texts = [text for text in texts if text in scores] if rare == "dropped" else texts
    texts = [text if text in scores else "<unk>" for text in texts] if rare == "<unk>" else texts
    return [text.lstrip("▁") for text in texts] if shown == "without ▁" else texts


# Log-probabilities, all exact in binary. The ways to cut "▁heroin" are those of the lesson, rounded.
SCORES = {
    "▁": -7.0, "▁he": -6.5, "▁her": -7.25, "▁hero": -9.75, "o": -5.25, "ro": -6.0, "in": -5.5, "i": -5.25, "n": -4.5,
    "▁un": -6.0, "un": -7.0, "able": -6.5, "ff": -8.0, "a": -5.0, "f": -5.75, "b": -6.25, "le": -5.5, "l": -5.0,
    "e": -4.25, "h": -5.5, "r": -5.0, "s": -4.0, "es": -6.0, "▁the": -4.0, "t": -5.0, "there": -9.5, "re": -5.5,
    "▁there": -10.5, "ing": -5.75, "g": -5.0, "u": -5.5, "the": -12.0, "z": -30.0, "éz": -9.0, "P": -8.0,
    "xe": -15.0, "zin": -28.0, "ko": -28.0,
}  # fmt: skip
EASY = {"a": -1.0, "b": -1.5, "ab": -2.5, "aa": -2.0, "ba": -2.75, "aab": -4.5, "abab": -4.0, "c": -3.0, "bc": -5.0}


def probes() -> list[Probe]:
    words = [
        "▁heroin", "heroin", "▁unaffable", "▁theres", "▁heroines", "▁he", "unable", "sings", "n", "", "▁",
        "▁hexe", "xyx", "▁hézn", "ézé", "▁zing", "▁Ping", "▁xun", "▁fable", "▁koin",
    ]  # fmt: skip
    ties = ["ab", "aa", "aab", "abab", "abc", "aaa", "abcab", "baba"]
    return [
        *(Probe(f"the word {word!r}", Call((word, SCORES))) for word in words),
        *(Probe(f"equal scores, in {word!r}", Call((word, EASY))) for word in ties),
        Probe("where unknown characters cost little", Call(("▁hexez", SCORES, -1.0))),
        Probe("where unknown characters cost much", Call(("▁exézing", SCORES, -50.0))),
        Probe("where all is unknown", Call(("xyz", {"a": -1.0}))),
    ]


def solution(word: str, scores: Mapping[str, float], unknown: float = -20.0) -> list[str]:
    best = [0.0] + [-math.inf] * len(word)  # the score of the best way to each place
    starts = [0] * (len(word) + 1)  # where the last piece of that way begins
    for end in range(1, len(word) + 1):
        for start in range(end):  # from the longest last piece to the shortest, so that ties go to the longest
            piece = word[start:end]
            score = scores.get(piece, unknown if end == start + 1 else -math.inf)
            if best[start] + score > best[end]:
                best[end] = best[start] + score
                starts[end] = start
    pieces = []
    end = len(word)
    while end > 0:
        pieces.append(word[starts[end] : end])
        end = starts[end]
    return pieces[::-1]


def by_library(word: str, scores: Mapping[str, float], unknown: float = -20.0) -> list[str]:
    known = known_pieces((text, number, score) for number, (text, score) in enumerate(scores.items()))
    return [word[start:end] for start, end in pairwise([0, *best_path(word, known, (-1, unknown)).ends])]


def by_recursion(word: str, scores: Mapping[str, float], unknown: float = -20.0) -> list[str]:
    @cache
    def best(end: int) -> tuple[float, tuple[str, ...]]:
        ways = [(0.0, ())] if end == 0 else []
        for start in range(end):
            piece = word[start:end]
            if piece in scores or len(piece) == 1:
                before, pieces = best(start)
                ways.append((before + scores.get(piece, unknown), (*pieces, piece)))
        return max(ways, key=lambda way: way[0])  # the first of equal ones

    return list(best(len(word))[1])


def by_forward_steps(word: str, scores: Mapping[str, float], unknown: float = -20.0) -> tuple[str, ...]:
    ways: dict[int, tuple[float, tuple[str, ...]]] = {0: (0.0, ())}
    for start in range(len(word)):
        before, pieces = ways[start]
        for end in range(start + 1, len(word) + 1):
            piece = word[start:end]
            if piece not in scores and end > start + 1:
                continue
            total = before + scores.get(piece, unknown)
            if end not in ways or total > ways[end][0]:
                ways[end] = total, (*pieces, piece)
    return ways[len(word)][1]


def by_all_ways(word: str, scores: Mapping[str, float], unknown: float = -20.0) -> list[str]:
    table = {**dict.fromkeys(word, unknown), **scores}

    def ways(text: str) -> list[list[str]]:
        if not text:
            return [[]]
        ends = [text[at:] for at in range(len(text)) if text[at:] in table]
        return [[*way, piece] for piece in ends for way in ways(text[: len(text) - len(piece)])]

    return max(ways(word), key=lambda way: (sum(table[piece] for piece in way), [len(piece) for piece in way[::-1]]))


EXERCISE = Exercise(
    name="viterbi",
    topic="wordpiece",
    title="Unigram: the most probable way to cut a word",
    function="viterbi",
    signature="word, scores, unknown=-20.0",
    task=(
        "Cut a word into pieces so that the product of their probabilities is as large as possible (and so the sum of "
        "their log-probabilities). ALBERT and XLNet read in this way. n characters can be cut in 2^(n−1) ways; do not "
        "try them all, but keep the best way to each place.\n\n"
        "- `word`: the text to cut; if it begins with `▁`, that is a character like any other\n"
        "- `scores`: a dict, piece → its log-probability\n"
        "- `unknown`: the score of a single character that is no piece; it can always be a piece of its own\n"
        "- returns the list of pieces on the best way, from left to right, as they are written in the word (unknown "
        "characters too). Of two ways to a place with equal scores, the one with the longer last piece is kept. The "
        "empty word gives the empty list"
    ),
    source="Kudo 2018 (Subword Regularization), section 3.2, and the released SentencePiece",
    reference=reference,
    solution=solution,
    library=by_library,
    probes=probes,
    moved=other_letters,
    level="challenge",
    minutes=25,
    mistakes=(
        Mistake("longest-piece", "search", "longest piece", "you take the longest piece that fits, from the left",
                "that is WordPiece; an unlikely long piece at the start can force unlikely ones after it, so compare "
                "the sums of whole ways"),
        Mistake("shortest-piece", "search", "shortest piece", "you take the shortest piece that fits",
                "the word falls apart into characters; compare the sums of whole ways"),
        Mistake("most-probable-piece", "search", "most probable piece",
                "at each place you take the most probable piece that fits there",
                "short pieces are frequent, but a word made of many of them is improbable; compare the sums of whole "
                "ways"),
        Mistake("lowest-score", "better", "lower", "you look for the lowest sum",
                "log-probabilities are negative, and the best way is the one nearest to 0: the highest sum"),
        Mistake("scores-multiplied", "sums", "multiplied", "you multiply the log-probabilities",
                "probabilities are multiplied, and their logarithms added"),
        Mistake("last-piece-only", "sums", "last piece only", "you compare only the scores of the last pieces",
                "add the score of the best way to the place where the piece begins"),
        Mistake("fewest-pieces", "sums", "fewest pieces", "you look for as few pieces as possible",
                "the scores decide, not the number of pieces"),
        Mistake("mean-score", "sums", "mean", "you compare the mean score of a piece",
                "that makes ways of many small pieces look good; compare the sums"),
        Mistake("ties-shorter", "ties", "shorter last piece",
                "of two equal ways you keep the one with the shorter last piece",
                "the ids then differ from those of the model's tokenizer; let a later way replace an equal one "
                "only if its last piece is longer (> and not >=)"),
        Mistake("unknown-free", "rare_score", "nothing", "an unknown character costs nothing",
                "any way with unknown characters would win; add `unknown` for each"),
        Mistake("unknown-as-the-lowest", "rare_score", "lowest", "an unknown character gets the lowest score of all "
                "pieces, whatever `unknown` says", "use the argument"),
        Mistake("unknown-always-tried", "rare_tried", "always",
                "a character that is a piece may also be counted as unknown",
                "it has a score of its own, even if that is lower"),
        Mistake("unknown-of-any-length", "rare", "of any length",
                "any text that is no piece gets the score `unknown`, even if it is longer than one character",
                "a whole unknown word would then cost as much as a letter; only single characters may be unknown"),
        Mistake("no-way-where-unknown", "rare", "no way",
                "a word with a character that is no piece cannot be cut, and is returned whole",
                "such a character can always be a piece of its own, with the score `unknown`"),
        Mistake("unknown-dropped", "rare", "dropped", "characters that are no piece are left out of the result",
                "return them as they are written"),
        Mistake("unknown-named", "rare", "<unk>", "characters that are no piece are returned as <unk>",
                "return them as they are written; their id is looked up later"),
        Mistake("word-unknown", "rare", "whole word unknown",
                "a word with a character that is no piece becomes <unk> as a whole",
                "that is WordPiece; here only the character is unknown"),
        Mistake("unknowns-joined", "rare", "joined", "unknown characters side by side are joined",
                "here each is a piece of its own, and costs `unknown`"),
        Mistake("begins-at-zero", "start_at", "zero", "the best score of every place begins with 0",
                "all sums are below 0, so none is ever better; begin with -inf everywhere but at place 0"),
        Mistake("never-the-whole-word", "ends", "not the whole word", "the whole word is never tried as one piece",
                "a range ends one too early; a word of n characters has pieces of up to n"),
        Mistake("mark-added", "mark", "added", "you put ▁ before the word", "it is there already where it is needed"),
        Mistake("mark-stripped", "mark", "stripped", "you remove the ▁ before cutting",
                "it is a character like any other, and \"▁the\" is a different piece from \"the\""),
        Mistake("mark-not-shown", "shown", "without ▁", "you remove the ▁ from the pieces",
                "it belongs to the piece, as the vocabulary has it"),
        Mistake("lower-cased", "mark", "lower", "you lower-case the word",
                "that has already been done where it is wanted; use the word as it is"),
    ),
    hints=Hints(
        "How is the best way to cut \"heroin\" related to the best ways to cut \"hero\", \"her\" and \"he\"?",
        "Two lists with an entry for each place between characters, 0 to n: the score of the best way to it, and where "
        "that way's last piece begins. Fill them from left to right, then walk back from n to 0.",
        "best(0) = 0; best(end) = max over start < end of best(start) + score(word[start:end])",
        "best = [0.0] + [-math.inf] * len(word)\nstarts = [0] * (len(word) + 1)\nfor end in range(1, ...):\n"
        "    for start in range(end):\n        score = scores.get(word[start:end], unknown if ... else -math.inf)\n"
        "        if ... > best[end]:\n            best[end], starts[end] = ..., ...\n"
        "# then from the end back: end = starts[end]",
    ),
    swap="viterbi",
    equivalents=(by_recursion, by_forward_steps, by_all_ways),
)  # fmt: skip
