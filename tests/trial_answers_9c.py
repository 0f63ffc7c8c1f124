"""Answers to the exercise on beam search, as learners write them."""

from __future__ import annotations

import heapq
import math

import torch
from torch.nn import functional as F
from trial_answers import right, wrong


@right("beam-step")
def beam_heap(totals, log_probs, eos_id, length, length_penalty=1.0):
    k, v = log_probs.shape
    every = ((float(totals[b] + log_probs[b, w]), b, w) for b in range(k) for w in range(v))
    continuing, finished = [], []
    for rank, (total, b, w) in enumerate(heapq.nlargest(2 * k, every)):
        if w == eos_id:
            if rank < k:
                finished.append((total / length**length_penalty, b))
        elif len(continuing) < k:
            continuing.append((total, b, w))
    return continuing, finished


@right("beam-step")
def beam_like_fairseq(totals, log_probs, eos_id, length, length_penalty=1.0):
    beams, vocab = log_probs.size()
    scores, index = torch.topk((log_probs + totals.unsqueeze(-1)).view(-1), k=beams * 2)
    beam, token = torch.div(index, vocab, rounding_mode="trunc"), index.fmod(vocab)
    eos = token.eq(eos_id)
    active = torch.arange(2 * beams) + eos * 2 * beams
    order = active.argsort()[:beams]
    continuing = [(scores[i].item(), beam[i].item(), token[i].item()) for i in order]
    finished = [(scores[i].item() / length**length_penalty, beam[i].item()) for i in range(beams) if eos[i]]
    return continuing, finished


@right("beam-step")
def beam_log_of_product(totals, log_probs, eos_id, length, length_penalty=1.0):
    table = torch.add(log_probs, totals.reshape(-1, 1))
    top = table.flatten().argsort(descending=True)[: 2 * len(totals)]
    found = [(table.flatten()[i], i // table.shape[1], i % table.shape[1]) for i in top]
    done = [(s / math.pow(length, length_penalty), b) for s, b, t in found[: len(totals)] if t == eos_id]
    return [one for one in found if one[2] != eos_id][: len(totals)], done


@right("beam-step")
def beam_per_beam_first(totals, log_probs, eos_id, length, length_penalty=1.0):
    """The best 2K of all are among the best 2K of each beam."""
    k = len(totals)
    pool = []
    for b in range(k):
        values, words = log_probs[b].topk(min(2 * k, log_probs.shape[1]))
        pool += [(totals[b].item() + x, b, w) for x, w in zip(values.tolist(), words.tolist(), strict=True)]
    pool.sort(key=lambda one: -one[0])
    pool = pool[: 2 * k]
    finished = [[x / length**length_penalty, b] for x, b, w in pool[:k] if w == eos_id]
    return [[one for one in pool if one[2] != eos_id][:k], finished]


@wrong("beam-step", "best K continuations")
def beam_top_k(totals, log_probs, eos_id, length, length_penalty=1.0):
    k, v = log_probs.shape
    values, index = (totals[:, None] + log_probs).view(-1).topk(k)
    go, done = [], []
    for x, i in zip(values.tolist(), index.tolist(), strict=True):
        if i % v == eos_id:
            done.append((x / length**length_penalty, i // v))
        else:
            go.append((x, i // v, i % v))
    return go, done


@wrong("beam-step", "every end|ranks?|best K of")
def beam_all_ends(totals, log_probs, eos_id, length, length_penalty=1.0):
    k, v = log_probs.shape
    values, index = (totals[:, None] + log_probs).view(-1).topk(2 * k)
    go, done = [], []
    for x, i in zip(values.tolist(), index.tolist(), strict=True):
        if i % v == eos_id:
            done.append((x / length**length_penalty, i // v))
        elif len(go) < k:
            go.append((x, i // v, i % v))
    return go, done


@wrong("beam-step", "before K others continue|end")
def beam_until_full(totals, log_probs, eos_id, length, length_penalty=1.0):
    k, v = log_probs.shape
    values, index = (totals[:, None] + log_probs).view(-1).topk(2 * k)
    go, done = [], []
    for x, i in zip(values.tolist(), index.tolist(), strict=True):
        if i % v == eos_id:
            done.append((x / length**length_penalty, i // v))
        else:
            go.append((x, i // v, i % v))
        if len(go) == k:
            break
    return go, done


@wrong("beam-step", "totals are not added")
def beam_no_totals(totals, log_probs, eos_id, length, length_penalty=1.0):
    k, v = log_probs.shape
    values, index = log_probs.reshape(-1).topk(2 * k)
    pairs = list(zip(values.tolist(), (index // v).tolist(), (index % v).tolist(), strict=True))
    go = [p for p in pairs if p[2] != eos_id][:k]
    return go, [(x / length**length_penalty, b) for x, b, w in pairs[:k] if w == eos_id]


@wrong("beam-step", "its own best token")
def beam_greedy_each(totals, log_probs, eos_id, length, length_penalty=1.0):
    go, done = [], []
    best, words = log_probs.max(-1)
    for b in (totals + best).argsort(descending=True).tolist():
        x, w = (totals[b] + best[b]).item(), words[b].item()
        if w == eos_id:
            done.append((x / length**length_penalty, b))
        else:
            go.append((x, b, w))
    return go, done


@wrong("beam-step", "dividing by K")
def beam_divmod_k(totals, log_probs, eos_id, length, length_penalty=1.0):
    k, _v = log_probs.shape
    values, index = (totals[:, None] + log_probs).view(-1).topk(2 * k)
    go, done = [], []
    for rank, (x, i) in enumerate(zip(values.tolist(), index.tolist(), strict=True)):
        beam, word = i // k, i % k
        if word == eos_id:
            if rank < k:
                done.append((x / length**length_penalty, beam))
        else:
            go.append((x, beam, word))
    return go[:k], done


def beams(totals, log_probs, eos_id, score, keep=None):
    k, v = log_probs.shape
    values, index = (totals[:, None] + log_probs).view(-1).topk(2 * k)
    all_ = list(zip(values.tolist(), (index // v).tolist(), (index % v).tolist(), strict=True))
    return [c for c in all_ if c[2] != eos_id][:k], [(score(x), b) for x, b, w in all_[:k] if w == eos_id]


@wrong("beam-step", "score is its total")
def beam_no_penalty(totals, log_probs, eos_id, length, length_penalty=1.0):
    return beams(totals, log_probs, eos_id, lambda x: x)


@wrong("beam-step", r"divided by its length|penalty")
def beam_mean(totals, log_probs, eos_id, length, length_penalty=1.0):
    return beams(totals, log_probs, eos_id, lambda x: x / length)


@wrong("beam-step", "Wu")
def beam_wu(totals, log_probs, eos_id, length, length_penalty=1.0):
    return beams(totals, log_probs, eos_id, lambda x: x / (((5 + length) ** length_penalty) / (6**length_penalty)))


@wrong("beam-step", "one token too many")
def beam_length(totals, log_probs, eos_id, length, length_penalty=1.0):
    return beams(totals, log_probs, eos_id, lambda x: x / (length + 1) ** length_penalty)


@wrong("beam-step", "also stays among")
def beam_not_removed(totals, log_probs, eos_id, length, length_penalty=1.0):
    k, v = log_probs.shape
    values, index = (totals[:, None] + log_probs).view(-1).topk(k)
    go = list(zip(values.tolist(), (index // v).tolist(), (index % v).tolist(), strict=True))
    return go, [(x / length**length_penalty, b) for x, b, w in go if w == eos_id]


@wrong("beam-step", "probabilities")
def beam_exp(totals, log_probs, eos_id, length, length_penalty=1.0):
    return beams(totals, log_probs.exp(), eos_id, lambda x: x / length**length_penalty)


@wrong("beam-step", "normalised once more")
def beam_softmax(totals, log_probs, eos_id, length, length_penalty=1.0):
    return beams(totals, F.log_softmax(log_probs, -1), eos_id, lambda x: x / length**length_penalty)


@wrong("beam-step", "`finished` first|exchanged|reverse")
def beam_order(totals, log_probs, eos_id, length, length_penalty=1.0):
    return beams(totals, log_probs, eos_id, lambda x: x / length**length_penalty)[::-1]


@wrong("beam-step", "divided by its length, too")
def beam_all_scored(totals, log_probs, eos_id, length, length_penalty=1.0):
    go, done = beams(totals, log_probs, eos_id, lambda x: x / length**length_penalty)
    return [(x / length**length_penalty, b, w) for x, b, w in go], done
