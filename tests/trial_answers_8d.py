"""A second round of answers to the exercises of trial_answers_8 to 8c, written after it, and two of the first."""

# ruff: noqa: RUF005, RUF007, B905
from __future__ import annotations

import math

import torch
from torch.nn import functional as F
from trial_answers import wrong
from trial_answers_8 import bpe_best_so_far, viterbi_pairs
from trial_answers_8c import USUAL, heads_kl, normed, transfer


@wrong("bpe-merge", "longest piece to the shortest")
def bpe_longest_merge_first(symbols, merges):
    """Longer merges are applied first."""
    word = list(symbols)
    for a, b in sorted(merges, key=lambda m: -len(m[0] + m[1])):
        i = 0
        while i < len(word) - 1:
            if (word[i], word[i + 1]) == (a, b):
                word[i : i + 2] = [a + b]
            else:
                i += 1
    return word


@wrong("bpe-merge", "from its end")
def bpe_reversed_list(symbols, merges):
    word = list(symbols)
    for a, b in reversed(merges):
        i = 0
        while i < len(word) - 1:
            if (word[i], word[i + 1]) == (a, b):
                word[i : i + 2] = [a + b]
            else:
                i += 1
    return word


@wrong("bpe-merge", "one merge|first merge|stop")
def bpe_returns_inside_the_loop(symbols, merges):
    word = list(symbols)
    for a, b in merges:
        for i in range(len(word) - 1):
            if (word[i], word[i + 1]) == (a, b):
                return word[:i] + [a + b] + word[i + 2 :]
    return word


@wrong("bpe-merge", "stays|twice")
def bpe_forgets_to_skip(symbols, merges):
    word = list(symbols)
    ranks = {m: i for i, m in enumerate(merges)}
    for _ in range(len(word)):
        pairs = [p for p in zip(word, word[1:]) if p in ranks]
        if not pairs:
            break
        best = min(pairs, key=ranks.get)
        new = []
        for i, s in enumerate(word):
            new.append(s + word[i + 1] if i + 1 < len(word) and (s, word[i + 1]) == best else s)
        word = new
    return word


@wrong("bpe-merge", "unk|unknown")
def bpe_unknown_bytes(symbols, merges):
    known = {s for m in merges for s in m} | {a + b for a, b in merges}
    return [p if p in known else "<unk>" for p in bpe_best_so_far(symbols, merges)]


@wrong("bpe-merge", "put together")
def bpe_word_as_string(symbols, merges):
    word = "".join(symbols)
    for a, b in merges:
        word = word.replace(a + b, f"<{a + b}>")
    return word.split("><")


@wrong("viterbi", "last piece|sum|add")
def viterbi_local(word, scores, unknown=-20.0):
    """The most probable last piece, again and again, from the right."""
    out = []
    while word:
        options = [word[i:] for i in range(len(word)) if word[i:] in scores or len(word) - i == 1]
        piece = max(options, key=lambda p: scores.get(p, unknown))
        out.insert(0, piece)
        word = word[: len(word) - len(piece)]
    return out


@wrong("viterbi", "fewest|as few")
def viterbi_fewest(word, scores, unknown=-20.0):
    n = len(word)
    best, back = [0] + [10**9] * n, [0] * (n + 1)
    for end in range(1, n + 1):
        for start in range(end):
            if (word[start:end] in scores or end - start == 1) and best[start] + 1 < best[end]:
                best[end], back[end] = best[start] + 1, start
    out = []
    while n:
        out.append(word[back[n] : n])
        n = back[n]
    return out[::-1]


@wrong("viterbi", "log|positive|math|lowest")
def viterbi_takes_logs(word, scores, unknown=-20.0):
    return viterbi_pairs(word, {p: math.log(-s) for p, s in scores.items()}, math.log(-unknown))


@wrong("viterbi", "left out|dropped")
def viterbi_skips_unknown(word, scores, unknown=-20.0):
    return [p for p in viterbi_pairs(word, scores, unknown) if p in scores]


@wrong("viterbi", "▁")
def viterbi_cleans(word, scores, unknown=-20.0):
    return [p.replace("▁", "") for p in viterbi_pairs(word, scores, unknown)]


@wrong("viterbi", "return 2 values")
def viterbi_with_score(word, scores, unknown=-20.0):
    pieces = viterbi_pairs(word, scores, unknown)
    return pieces, sum(scores.get(p, unknown) for p in pieces)


@wrong("viterbi", "costs nothing|unknown")
def viterbi_zero_for_unknown(word, scores, unknown=-20.0):
    return viterbi_pairs(word, scores, 0.0)


@wrong("roberta-positions", "position 0|padding")
def positions_pad_zero_fill(input_ids, padding_idx=1):
    real = input_ids != padding_idx
    return (real.cumsum(1) + padding_idx).masked_fill(~real, 0)


@wrong("roberta-positions", "padding_idx \\+ 2")
def positions_twice_one(input_ids, padding_idx=1):
    real = (input_ids != padding_idx).long()
    return real.cumsum(1) * real + padding_idx + 1


@wrong("roberta-positions", "from the end|backwards")
def positions_backwards(input_ids, padding_idx=1):
    real = (input_ids != padding_idx).long()
    return real.flip(1).cumsum(1).flip(1) * real + padding_idx


@wrong("roberta-positions", "whole batch|begins again")
def positions_flat(input_ids, padding_idx=1):
    real = (input_ids != padding_idx).long()
    return real.view(-1).cumsum(0).view_as(real) * real + padding_idx


@wrong("roberta-positions", "number of real|sum")
def positions_sum(input_ids, padding_idx=1):
    real = (input_ids != padding_idx).long()
    return real.sum(1, keepdim=True) * real + padding_idx


@wrong("no-norm", "only centred|mean is subtracted|mean")
def no_norm_centres(x, weight, bias):
    return (x - x.mean(-1, keepdim=True)) * weight + bias


@wrong("no-norm", "over the tokens|tokens")
def no_norm_batch_norm(x, weight, bias):
    mean, var = x.mean(-2, keepdim=True), x.var(-2, keepdim=True, unbiased=False)
    return (x - mean) / (var + 1e-12).sqrt() * weight + bias


@wrong("no-norm", "length 1")
def no_norm_divides_by_norm(x, weight, bias):
    return x / x.norm(dim=-1, keepdim=True) * weight + bias


@wrong("no-norm", "dropout|random")
def no_norm_dropout(x, weight, bias):
    return F.dropout(x * weight + bias, 0.1)


@wrong("trigram", "mean")
def trigram_mean(x):
    p = F.pad(x, (0, 0, 1, 1))
    return (p[:, 2:] + x + p[:, :-2]) / 3


@wrong("trigram", "own features are left out|2E|left out")
def trigram_neighbours(x):
    p = F.pad(x, (0, 0, 1, 1))
    return torch.cat([p[:, 2:], p[:, :-2]], dim=-1)


@wrong("trigram", "two after")
def trigram_looks_ahead(x):
    p = F.pad(x, (0, 0, 0, 2))
    return torch.cat([p[:, 2:], p[:, 1:-1], x], -1)


@wrong("trigram", "own|order|first")
def trigram_own_first(x):
    p = F.pad(x, (0, 0, 1, 1))
    return torch.cat((x, p[:, :-2], p[:, 2:]), -1)


@wrong("trigram", "too long by 2")
def trigram_padded_too_long(x):
    p = F.pad(x, (0, 0, 1, 1))
    return torch.cat([torch.roll(p, -1, 1), p, torch.roll(p, 1, 1)], -1)


@wrong("trigram", "alternate|interleaved")
def trigram_stack_and_view(x):
    p = F.pad(x, (0, 0, 1, 1))
    return torch.stack([p[:, 2:], x, p[:, :-2]], -1).view(*x.shape[:2], -1)


@wrong("feature-transfer", "over tokens|tokens|statistics|axis|NaN|features")
def transfer_statistics_over_tokens(s, t, a, b, mask, weights=USUAL):
    return transfer(
        s, t, a, b, mask, weights,
        mean=lambda s, t: ((s.mean(0) - t.mean(0)) ** 2).mean(),
        variance=lambda s, t: (s.var(0, correction=0) - t.var(0, correction=0)).abs().mean(),
    )  # fmt: skip


@wrong("feature-transfer", "weights")
def transfer_weights_exchanged(s, t, a, b, mask, weights=USUAL):
    w = weights
    return transfer(s, t, a, b, mask, (w[0], w[2], w[1], w[3]))


@wrong("feature-transfer", "1e-5|eps")
def transfer_default_eps(s, t, a, b, mask, weights=USUAL):
    def pattern(s, t):
        return F.mse_loss(F.layer_norm(s, s.shape[-1:]), F.layer_norm(t, t.shape[-1:])) if len(s) else s.sum()

    return transfer(s, t, a, b, mask, weights, pattern=pattern)


@wrong("feature-transfer", "queries|padded|pad")
def transfer_padded_queries(s, t, a, b, mask, weights=USUAL):
    return transfer(s, t, a, b, mask, weights, kl=lambda q, p: heads_kl(q, p).mean())


@wrong("feature-transfer", "root")
def transfer_root(s, t, a, b, mask, weights=USUAL):
    def pattern(s, t):
        return ((normed(s) - normed(t)) ** 2).mean(-1).sqrt().sum() / max(len(s), 1)

    return transfer(s, t, a, b, mask, weights, pattern=pattern)


@wrong("feature-transfer", "softmax")
def transfer_softmax_again(s, t, a, b, mask, weights=USUAL):
    def kl(q, p):
        rows = F.kl_div(q.log_softmax(-1), p.softmax(-1), reduction="none").sum(-1)
        return rows.mean(1)[mask.bool()].sum() / mask.sum().clamp(min=1)

    return transfer(s, t, a, b, mask, weights, kl=kl)


@wrong("feature-transfer", "log_target|logarithm")
def transfer_log_target(s, t, a, b, mask, weights=USUAL):
    def kl(q, p):
        rows = F.kl_div((q + 1e-12).log(), p, reduction="none", log_target=True).sum(-1)
        return rows.mean(1)[mask.bool()].sum() / mask.sum().clamp(min=1)

    return transfer(s, t, a, b, mask, weights, kl=kl)


@wrong("feature-transfer", "number of texts|texts")
def transfer_mean_of_texts(s, t, a, b, mask, weights=USUAL):
    """One loss for each text, then their mean."""
    losses = []
    for i in range(len(s)):
        one = slice(i, i + 1)
        losses.append(transfer(s[one], t[one], a[one], b[one], mask[one], weights))
    return torch.stack(losses).mean()


@wrong("viterbi", "longer than one")
def viterbi_long_unknowns(word, scores, unknown=-20.0):
    n = len(word)
    best, back = [0.0] + [-math.inf] * n, [0] * (n + 1)
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


@wrong("viterbi", "mean|average")
def viterbi_mean(word, scores, unknown=-20.0):
    """All ways, by their mean score."""

    def ways(text):
        if not text:
            yield []
        for n in range(1, len(text) + 1):
            if text[:n] in scores or n == 1:
                for rest in ways(text[n:]):
                    yield [text[:n], *rest]

    def value(way):
        return sum(scores.get(p, unknown) for p in way) / max(len(way), 1)

    return max(ways(word), key=value)
