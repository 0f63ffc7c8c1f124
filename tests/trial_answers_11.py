"""Answers to the exercise on BPE merges: one mistake each, in loops that end by themselves."""

from __future__ import annotations

from trial_answers import wrong


def merged(join, symbols, merges):
    """The lowest pair is joined, as long as there is one."""
    rank = {pair: number for number, pair in enumerate(merges)}
    pieces = list(symbols)
    while places := [at for at in range(len(pieces) - 1) if (pieces[at], pieces[at + 1]) in rank]:
        at = min(places, key=lambda at: rank[pieces[at], pieces[at + 1]])
        pieces = join(pieces, at)
    return pieces


@wrong("bpe-merge", "^second-stays +The second symbol of a joined pair stays")
def bpe_second_stays(symbols, merges):
    return merged(lambda s, i: [*s[:i], s[i] + s[i + 1], *s[i + 1 :]], symbols, merges)


@wrong("bpe-merge", "^first-stays +The first symbol of a joined pair stays")
def bpe_first_stays(symbols, merges):
    return merged(lambda s, i: [*s[: i + 1], s[i] + s[i + 1], *s[i + 2 :]], symbols, merges)


@wrong("bpe-merge", "^second-stays +The second symbol of a joined pair stays")
def bpe_in_place(symbols, merges):
    pieces = list(symbols)
    for left, right in merges:
        for at in range(len(pieces) - 1):
            if (pieces[at], pieces[at + 1]) == (left, right):
                pieces[at] = left + right
    return pieces


@wrong("bpe-merge", "^by-replacing-text-again +You replace text until")
def bpe_by_replacing(symbols, merges):
    text = " ".join(symbols)
    for pair in merges:
        while " ".join(pair) in text:
            text = text.replace(" ".join(pair), "".join(pair))
    return text.split()


@wrong("padding-mask", "^with padding: the result is a string, but should be a tensor")
def mask_as_text(*_):
    return "hello"


@wrong("mask-tokens", "^25 texts, three times: the result is a string, but should be a tuple")
def masking_as_text(*_):
    return "hello"


@wrong("best-span", "the result is an integer, but should be a tuple")
def span_of_one(*_):
    return 3
