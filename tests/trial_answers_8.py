"""Answers to the exercises on BPE, Unigram and RoBERTa's positions, as learners write them."""

# ruff: noqa: RUF005, RUF007, C416, SIM102, B905
from __future__ import annotations

import math
from collections import defaultdict
from functools import lru_cache

from trial_answers import right, wrong

# ------------------------------------------------------------------------------------------------ bpe-merge


def get_pairs(word):
    """The set of pairs of neighbours, as in GPT-2's code."""
    pairs = set()
    prev = word[0]
    for char in word[1:]:
        pairs.add((prev, char))
        prev = char
    return pairs


@right("bpe-merge")
def bpe_as_gpt2(symbols, merges):
    bpe_ranks = dict(zip(merges, range(len(merges)), strict=True))
    word = tuple(symbols)
    if len(word) < 2:
        return list(word)
    pairs = get_pairs(word)
    while True:
        bigram = min(pairs, key=lambda pair: bpe_ranks.get(pair, float("inf")))
        if bigram not in bpe_ranks:
            break
        first, second = bigram
        new_word = []
        i = 0
        while i < len(word):
            try:
                j = word.index(first, i)
                new_word.extend(word[i:j])
                i = j
            except ValueError:
                new_word.extend(word[i:])
                break
            if word[i] == first and i < len(word) - 1 and word[i + 1] == second:
                new_word.append(first + second)
                i += 2
            else:
                new_word.append(word[i])
                i += 1
        word = tuple(new_word)
        if len(word) == 1:
            break
        pairs = get_pairs(word)
    return list(word)


@right("bpe-merge")
def bpe_merge_by_merge(symbols, merges):
    out = symbols.copy()
    for a, b in merges:
        i = 0
        while i < len(out) - 1:
            if out[i] == a and out[i + 1] == b:
                out[i] = a + b
                out.pop(i + 1)
            i += 1
    return out


@right("bpe-merge")
def bpe_best_so_far(symbols, merges):
    parts = [s for s in symbols]
    table = {m: i for i, m in enumerate(merges)}
    while True:
        best, where = None, None
        for i, pair in enumerate(zip(parts[:-1], parts[1:], strict=True)):
            r = table.get(pair)
            if r is not None and (best is None or r < best):
                best, where = r, i
        if best is None:
            break
        parts = parts[:where] + [parts[where] + parts[where + 1]] + parts[where + 2 :]
    return parts


@right("bpe-merge")
def bpe_with_flag(symbols, merges):
    tokens, changed = list(symbols), True
    while changed:
        changed = False
        for left, right_ in merges:
            if (left, right_) in list(zip(tokens, tokens[1:])):
                new = []
                skip = False
                for k, token in enumerate(tokens):
                    if skip:
                        skip = False
                    elif token == left and tokens[k + 1 : k + 2] == [right_]:
                        new.append(left + right_)
                        skip = True
                    else:
                        new.append(token)
                tokens, changed = new, True
                break
    return tokens


@wrong("bpe-merge", "whatever its rank|first pair")
def bpe_left_to_right(symbols, merges):
    pieces = list(symbols)
    i = 0
    while i < len(pieces) - 1:
        if (pieces[i], pieces[i + 1]) in merges:
            pieces[i : i + 2] = [pieces[i] + pieces[i + 1]]
            i = 0
        else:
            i += 1
    return pieces


@wrong("bpe-merge", "longest|WordPiece")
def bpe_greedy(symbols, merges):
    vocab = set(symbols) | {a + b for a, b in merges}
    word, out = "".join(symbols), []
    while word:
        for n in range(len(word), 0, -1):
            if word[:n] in vocab:
                out.append(word[:n])
                word = word[n:]
                break
    return out


@wrong("bpe-merge", "highest rank")
def bpe_max(symbols, merges):
    ranks = {p: i for i, p in enumerate(merges)}
    word = list(symbols)
    while len(word) > 1:
        pairs = [(word[i], word[i + 1]) for i in range(len(word) - 1)]
        best = max(pairs, key=lambda p: ranks.get(p, -1))
        if best not in ranks:
            break
        i = pairs.index(best)
        word = word[:i] + ["".join(best)] + word[i + 2 :]
    return word


@wrong("bpe-merge", "replace text")
def bpe_replace(symbols, merges):
    text = " ".join(symbols)
    for a, b in merges:
        text = text.replace(f"{a} {b}", a + b)
    return text.split()


@wrong("bpe-merge", "in place")
def bpe_in_place(symbols, merges):
    while True:
        found = [(merges.index((a, b)), i) for i, (a, b) in enumerate(zip(symbols, symbols[1:])) if (a, b) in merges]
        if not found:
            return symbols
        _, i = min(found)
        symbols[i] += symbols[i + 1]
        del symbols[i + 1]


@wrong("bpe-merge", "once")
def bpe_first_index_only(symbols, merges):
    word = list(symbols)
    for a, b in merges:
        for i in range(len(word) - 1):
            if word[i] == a and word[i + 1] == b:
                word = word[:i] + [a + b] + word[i + 2 :]
                break
    return word


@wrong("bpe-merge", "right|last")
def bpe_ties_to_the_right(symbols, merges):
    word = list(symbols)
    ranks = {p: i for i, p in enumerate(merges)}
    while True:
        best, at = len(merges), -1
        for i in range(len(word) - 1):
            if ranks.get((word[i], word[i + 1]), len(merges)) <= best and (word[i], word[i + 1]) in ranks:
                best, at = ranks[word[i], word[i + 1]], i
        if at < 0:
            return word
        word[at : at + 2] = [word[at] + word[at + 1]]


@wrong("bpe-merge", "last two|never looked at")
def bpe_range_too_short(symbols, merges):
    word = list(symbols)
    while True:
        pairs = [
            (merges.index((word[i], word[i + 1])), i) for i in range(len(word) - 2) if (word[i], word[i + 1]) in merges
        ]
        if not pairs:
            return word
        i = min(pairs)[1]
        word = word[:i] + [word[i] + word[i + 1]] + word[i + 2 :]


@wrong("bpe-merge", "text together|their text|pair up")
def bpe_by_vocabulary(symbols, merges):
    vocab = {a + b: i for i, (a, b) in enumerate(merges)}
    word = list(symbols)
    while True:
        candidates = [(vocab[word[i] + word[i + 1]], i) for i in range(len(word) - 1) if word[i] + word[i + 1] in vocab]
        if not candidates:
            return word
        _, i = min(candidates)
        word = word[:i] + [word[i] + word[i + 1]] + word[i + 2 :]


@wrong("bpe-merge", "Ġ")
def bpe_strips_the_blank(symbols, merges):
    word = bpe_best_so_far(symbols, merges)
    return [p.strip("Ġ") for p in word if p != "Ġ"]


@wrong("bpe-merge", "nothing|empty|end of a list|min|one of nothing")
def bpe_empty_word(symbols, merges):
    ranks = {p: i for i, p in enumerate(merges)}
    word = list(symbols)
    while True:
        pairs = list(zip(word, word[1:]))
        best = min(pairs, key=lambda p: ranks.get(p, math.inf))
        if best not in ranks:
            return word
        i = pairs.index(best)
        word = word[:i] + [best[0] + best[1]] + word[i + 2 :]


@wrong("bpe-merge", "once|sweep")
def bpe_one_scan(symbols, merges):
    out, i = [], 0
    while i < len(symbols):
        if i + 1 < len(symbols) and (symbols[i], symbols[i + 1]) in merges:
            out.append(symbols[i] + symbols[i + 1])
            i += 2
        else:
            out.append(symbols[i])
            i += 1
    return out


@wrong("bpe-merge", "string")
def bpe_a_string(symbols, merges):
    return " ".join(bpe_best_so_far(symbols, merges))


@wrong("bpe-merge", "##|WordPiece")
def bpe_with_marks(symbols, merges):
    first, *rest = bpe_merge_by_merge(symbols, merges) or [""]
    return [first] + ["##" + r for r in rest] if symbols else []


# -------------------------------------------------------------------------------------------------- viterbi


@right("viterbi")
def viterbi_pairs(word, scores, unknown=-20.0):
    n = len(word)
    best = [(-math.inf, 0)] * (n + 1)
    best[0] = (0.0, 0)
    for i in range(n):
        for j in range(i + 1, n + 1):
            sub = word[i:j]
            if sub in scores:
                s = best[i][0] + scores[sub]
            elif j == i + 1:
                s = best[i][0] + unknown
            else:
                continue
            if s > best[j][0]:
                best[j] = (s, i)
    out = []
    while n > 0:
        i = best[n][1]
        out.insert(0, word[i:n])
        n = i
    return out


@right("viterbi")
def viterbi_dicts(word, scores, unknown=-20.0):
    best, back = defaultdict(lambda: float("-inf")), {}
    best[0] = 0
    longest = max((len(p) for p in scores), default=1)
    for end in range(1, len(word) + 1):
        for start in range(max(0, end - max(longest, 1)), end):
            piece = word[start:end]
            logp = scores.get(piece)
            if logp is None:
                if len(piece) > 1:
                    continue
                logp = unknown
            if best[start] + logp > best[end]:
                best[end], back[end] = best[start] + logp, piece
    pieces = []
    end = len(word)
    while end:
        pieces.append(back[end])
        end -= len(back[end])
    pieces.reverse()
    return pieces


@right("viterbi")
def viterbi_memo(word, scores, unknown=-20.0):
    @lru_cache(None)
    def solve(end):
        if end == 0:
            return 0.0, ()
        options = []
        for length in range(end, 0, -1):
            piece = word[end - length : end]
            if piece in scores or length == 1:
                total, before = solve(end - length)
                options.append((total + scores.get(piece, unknown), length, before + (piece,)))
        total, _, pieces = max(options)
        return total, pieces

    return list(solve(len(word))[1])


@right("viterbi")
def viterbi_lattice(word, scores, unknown=-20.0):
    edges = [[] for _ in range(len(word) + 1)]
    for start in range(len(word)):
        for end in range(start + 1, len(word) + 1):
            if word[start:end] in scores:
                edges[end].append((start, scores[word[start:end]]))
        if word[start] not in scores:
            edges[start + 1].append((start, unknown))
    alpha, arg = [0.0], [None]
    for end in range(1, len(word) + 1):
        value, start = max(((alpha[s] + p, -s) for s, p in edges[end]))
        alpha.append(value)
        arg.append(-start)
    cut, at = [], len(word)
    while at:
        cut.append(word[arg[at] : at])
        at = arg[at]
    return cut[::-1]


@wrong("viterbi", "longest")
def viterbi_greedy(word, scores, unknown=-20.0):
    out = []
    while word:
        for n in range(len(word), 0, -1):
            if word[:n] in scores or n == 1:
                out.append(word[:n])
                word = word[n:]
                break
    return out


@wrong("viterbi", "lowest|highest")
def viterbi_as_costs(word, scores, unknown=-20.0):
    n = len(word)
    best, back = [0.0] + [math.inf] * n, [0] * (n + 1)
    for end in range(1, n + 1):
        for start in range(end):
            p = word[start:end]
            if p not in scores and len(p) > 1:
                continue
            c = best[start] + scores.get(p, unknown)
            if c < best[end]:
                best[end], back[end] = c, start
    out = []
    while n:
        out.append(word[back[n] : n])
        n = back[n]
    return out[::-1]


@wrong("viterbi", "equal")
def viterbi_ties(word, scores, unknown=-20.0):
    best, back = [0.0] + [-math.inf] * len(word), [0] * (len(word) + 1)
    for end in range(1, len(word) + 1):
        for start in range(end):
            piece = word[start:end]
            s = scores[piece] if piece in scores else (unknown if end - start == 1 else -math.inf)
            if best[start] + s >= best[end] and s > -math.inf:
                best[end], back[end] = best[start] + s, start
    out, end = [], len(word)
    while end:
        out = [word[back[end] : end]] + out
        end = back[end]
    return out


@wrong("viterbi", "no such key|KeyError|not in the dict")
def viterbi_key_error(word, scores, unknown=-20.0):
    best, back = [0.0] + [-math.inf] * len(word), [0] * (len(word) + 1)
    for end in range(1, len(word) + 1):
        for start in range(end):
            piece = word[start:end]
            if len(piece) == 1 or piece in scores:
                if best[start] + scores[piece] > best[end]:
                    best[end], back[end] = best[start] + scores[piece], start
    out, end = [], len(word)
    while end:
        out.append(word[back[end] : end])
        end = back[end]
    return out[::-1]


@wrong("viterbi", "reverse")
def viterbi_not_reversed(word, scores, unknown=-20.0):
    return viterbi_pairs(word, scores, unknown)[::-1]


@wrong("viterbi", "<unk>")
def viterbi_unk(word, scores, unknown=-20.0):
    return [p if p in scores else "<unk>" for p in viterbi_dicts(word, scores, unknown)]


@wrong("viterbi", "whole word is never|too early|whole")
def viterbi_off_by_one(word, scores, unknown=-20.0):
    n = len(word)
    best, back = [0.0] + [-math.inf] * n, [0] * (n + 1)
    for start in range(n):
        for end in range(start + 1, min(start + n, n + 1)) if n > 1 else [1]:
            piece = word[start:end]
            s = scores.get(piece, unknown if end == start + 1 else -math.inf)
            if best[start] + s > best[end]:
                best[end], back[end] = best[start] + s, start
    out = []
    while n:
        out.append(word[back[n] : n])
        n = back[n]
    return out[::-1]


@wrong("viterbi", "multipl|logarithms")
def viterbi_probabilities(word, scores, unknown=-20.0):
    n = len(word)
    best, back = [1.0] + [-math.inf] * n, [0] * (n + 1)
    for end in range(1, n + 1):
        for start in range(end):
            piece = word[start:end]
            if piece in scores or end == start + 1:
                p = best[start] * scores.get(piece, unknown)
                if p > best[end]:
                    best[end], back[end] = p, start
    out = []
    while n:
        out.append(word[back[n] : n])
        n = back[n]
    return out[::-1]


@wrong("viterbi", "most probable piece")
def viterbi_best_first(word, scores, unknown=-20.0):
    out, at = [], 0
    while at < len(word):
        options = {word[at:e]: scores[word[at:e]] for e in range(at + 1, len(word) + 1) if word[at:e] in scores}
        piece = max(options, key=options.get) if options else word[at]
        out.append(piece)
        at += len(piece)
    return out


@wrong("viterbi", "put together")
def viterbi_gives_up(word, scores, unknown=-20.0):
    if any(c not in "".join(scores) for c in word):
        return ["<unk>"]
    return viterbi_pairs(word, scores, unknown)


@wrong("viterbi", "`unknown` is always -20")
def viterbi_fixed_unknown(word, scores, unknown=-20.0):
    return viterbi_pairs(word, scores, -20.0)


@wrong("viterbi", "joined")
def viterbi_joins_unknown(word, scores, unknown=-20.0):
    out = []
    for piece in viterbi_pairs(word, scores, unknown):
        if out and piece not in scores and out[-1][-1] not in scores and out[-1] not in scores:
            out[-1] += piece
        else:
            out.append(piece)
    return out


@wrong("viterbi", "0|-inf|better")
def viterbi_zeros(word, scores, unknown=-20.0):
    n = len(word)
    best, back = [0.0] * (n + 1), [0] * (n + 1)
    for end in range(1, n + 1):
        for start in range(end):
            s = best[start] + scores.get(word[start:end], unknown)
            if s > best[end]:
                best[end], back[end] = s, start
    out = []
    while n > 0:
        out.append(word[back[n] : n])
        n = back[n]
    return out[::-1]
