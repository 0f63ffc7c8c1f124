"""More answers as learners write them, to the exercises with random answers: see trial_answers.py."""

from __future__ import annotations

import random
from itertools import pairwise

import numpy as np
import torch
from trial_answers import right, wrong

# --------------------------------------------------------------------------------------------- random exercises


def masking(ids, may, mask_id, size, rate=0.15, generator=None, **how):
    def draw(*shape):
        return torch.rand(shape or ids.shape, generator=generator)

    chosen = how.get("chosen", lambda: may & (draw() < rate))()
    fate = how.get("fate", draw)()
    low = how.get("low", 0.8)
    others = how.get("others", lambda: torch.randint(0, size, ids.shape, generator=generator))()
    masked = torch.where(chosen & (fate < low), mask_id, ids)
    masked = torch.where(chosen & (fate >= low) & (fate < how.get("high", 0.9)), others, masked)
    return masked, ids.masked_fill(~chosen, -100)


@right("mask-tokens")
def mask_by_loop(input_ids, may_be_chosen, mask_id, vocab_size, rate=0.15, generator=None):
    masked, labels = input_ids.clone(), torch.full_like(input_ids, -100)
    for b, s in may_be_chosen.nonzero().tolist():
        if torch.rand(1, generator=generator).item() < rate:
            labels[b, s] = input_ids[b, s]
            fate = torch.rand(1, generator=generator).item()
            if fate < 0.8:
                masked[b, s] = mask_id
            elif fate < 0.9:
                masked[b, s] = torch.randint(vocab_size, (1,), generator=generator).item()
    return masked, labels


@right("mask-tokens")
def mask_by_share_of_each_text(input_ids, may_be_chosen, mask_id, vocab_size, rate=0.15, generator=None):
    masked, labels = input_ids.clone(), torch.full_like(input_ids, -100)
    for b in range(len(input_ids)):
        places = may_be_chosen[b].nonzero().flatten()
        places = places[torch.randperm(len(places), generator=generator)]
        exact = rate * len(places)
        count = int(exact) + int(torch.rand(1, generator=generator).item() < exact - int(exact))
        labels[b, places[:count]] = input_ids[b, places[:count]]
        fate = torch.rand(count, generator=generator)
        masked[b, places[:count][fate < 0.8]] = mask_id
        at = places[:count][fate >= 0.9]
        masked[b, at] = torch.randint(vocab_size, (len(at),), generator=generator)
    return masked, labels


@wrong("mask-tokens", "place|order")
def mask_first_80(input_ids, may_be_chosen, mask_id, vocab_size, rate=0.15, generator=None):
    masked, labels = input_ids.clone(), torch.full_like(input_ids, -100)
    chosen = may_be_chosen & (torch.rand(input_ids.shape, generator=generator) < rate)
    labels[chosen] = input_ids[chosen]
    for b in range(len(input_ids)):
        places = chosen[b].nonzero().flatten()
        n = len(places)
        masked[b, places[: round(0.8 * n)]] = mask_id
        some = places[round(0.8 * n) : round(0.9 * n)]
        masked[b, some] = torch.randint(vocab_size, (len(some),), generator=generator)
    return masked, labels


@wrong("mask-tokens", "neighbours")
def mask_spans(input_ids, may_be_chosen, mask_id, vocab_size, rate=0.15, generator=None):
    half = torch.rand(len(input_ids), (input_ids.shape[1] + 1) // 2, generator=generator) < rate
    both = half.repeat_interleave(2, 1)[:, : input_ids.shape[1]] & may_be_chosen
    return masking(input_ids, may_be_chosen, mask_id, vocab_size, rate, generator, chosen=lambda: both)


@wrong("mask-tokens", "text")
def mask_one_fate(input_ids, may_be_chosen, mask_id, vocab_size, rate=0.15, generator=None):
    fate = lambda: torch.rand(len(input_ids), 1, generator=generator).expand_as(input_ids)  # noqa: E731
    return masking(input_ids, may_be_chosen, mask_id, vocab_size, rate, generator, fate=fate)


@wrong("mask-tokens", "place")
def mask_first_half(input_ids, may_be_chosen, mask_id, vocab_size, rate=0.15, generator=None):
    S = input_ids.shape[1]
    early = may_be_chosen & (torch.arange(S) < max(S // 2, 1))
    return masking(input_ids, early, mask_id, vocab_size, min(2 * rate, 1), generator)


@wrong("mask-tokens", "0.85|share|85")
def mask_85(input_ids, may_be_chosen, mask_id, vocab_size, rate=0.15, generator=None):
    return masking(input_ids, may_be_chosen, mask_id, vocab_size, rate, generator, low=0.85, high=0.95)


@wrong("mask-tokens", "0|may not be chosen|rate|share")
def mask_not_zero(input_ids, may_be_chosen, mask_id, vocab_size, rate=0.15, generator=None):
    return masking(input_ids, may_be_chosen & input_ids.ne(0), mask_id, vocab_size, rate, generator)


@wrong("mask-tokens", "random id of its own|own")
def mask_one_random(input_ids, may_be_chosen, mask_id, vocab_size, rate=0.15, generator=None):
    others = lambda: torch.randint(0, vocab_size, (len(input_ids), 1), generator=generator).expand_as(input_ids)  # noqa: E731
    return masking(input_ids, may_be_chosen, mask_id, vocab_size, rate, generator, others=others)


@wrong("mask-tokens", "equally likely|lowest")
def mask_high_ids(input_ids, may_be_chosen, mask_id, vocab_size, rate=0.15, generator=None):
    others = lambda: (torch.rand(input_ids.shape, generator=generator) ** 2 * vocab_size).long()  # noqa: E731
    return masking(input_ids, may_be_chosen, mask_id, vocab_size, rate, generator, others=others)


@wrong("mask-tokens", "integers")
def mask_floats(input_ids, may_be_chosen, mask_id, vocab_size, rate=0.15, generator=None):
    masked, labels = masking(input_ids, may_be_chosen, mask_id, vocab_size, rate, generator)
    return masked.float(), labels.float()


@wrong("mask-tokens", "generator|seed")
def mask_half_generator(input_ids, may_be_chosen, mask_id, vocab_size, rate=0.15, generator=None):
    return masking(
        input_ids, may_be_chosen, mask_id, vocab_size, rate, generator, fate=lambda: torch.rand(input_ids.shape)
    )


def pairs(documents, rng, coin=None, second=None):
    found = []
    for n, document in enumerate(documents):
        for i in range(len(document) - 1):
            if (rng.random() < 0.5) if coin is None else coin(n, i):
                found.append((document[i], document[i + 1], 0))
            else:
                found.append((document[i], second(n, i) if second else another(documents, rng, n), 1))
    return found


def another(documents, rng, n):
    m = rng.randrange(len(documents) - 1)
    return rng.choice(documents[m + (m >= n)])


@right("sentence-pairs")
def pairs_numpy(documents, rng):
    labels = np.random.default_rng(rng.randrange(2**32)).integers(0, 2, size=sum(map(len, documents)))
    source = iter(labels)
    return [(a, b, np.int64(label)) for a, b, label in pairs(documents, rng, lambda n, i: next(source) == 0)]


@wrong("sentence-pairs", "turns|neighbouring pairs")
def pairs_alternate(documents, rng):
    turn = iter(range(10**6))
    start = rng.randrange(2)
    return pairs(documents, rng, lambda n, i: (next(turn) + start) % 2 == 0)


@wrong("sentence-pairs", "0.4|40%")
def pairs_biased(documents, rng):
    return pairs(documents, rng, lambda n, i: rng.random() < 0.6)


@wrong("sentence-pairs", "last")
def pairs_never_last(documents, rng):
    def second(n, i):
        m = rng.randrange(len(documents) - 1)
        other = documents[m + (m >= n)]
        return other[rng.randint(0, max(len(other) - 2, 0))]

    return pairs(documents, rng, None, second)


@wrong("sentence-pairs", "neighbour|document")
def pairs_neighbour(documents, rng):
    return pairs(documents, rng, None, lambda n, i: rng.choice(documents[n - 1 if n else 1]))


@wrong("sentence-pairs", "all other documents|document")
def pairs_never_first_document(documents, rng):
    def second(n, i):
        choices = [m for m in range(1, len(documents)) if m != n] or [0]
        return rng.choice(documents[rng.choice(choices)])

    return pairs(documents, rng, None, second)


@wrong("sentence-pairs", "text|index|twice|next sentence")
def pairs_by_index(documents, rng):
    found = []
    for n, document in enumerate(documents):
        for sentence in document[:-1]:
            after = document[document.index(sentence) + 1]
            label = rng.randrange(2)
            found.append((sentence, another(documents, rng, n) if label else after, label))
    return found


@wrong("sentence-pairs", "order|place")
def pairs_shuffled(documents, rng):
    found = pairs(documents, rng)
    rng.shuffle(found)
    return found


@wrong("sentence-pairs", "rng|seed")
def pairs_own_random(documents, rng):
    return pairs(documents, random)


@wrong("sentence-pairs", "same document|own document|document")
def pairs_any_document(documents, rng):
    flat = [sentence for document in documents for sentence in document]
    return pairs(documents, rng, None, lambda n, i: rng.choice(flat))


@wrong("sentence-order", "turns|neighbouring")
def order_alternate(documents, rng):
    found, turn = [], rng.randrange(2)
    for document in documents:
        for a, b in pairwise(document):
            turn = 1 - turn
            found.append((b, a, 1) if turn else (a, b, 0))
    return found


@wrong("sentence-order", "coin|all pairs")
def order_one_coin(documents, rng):
    turn = rng.randrange(2)
    return [(b, a, 1) if turn else (a, b, 0) for d in documents for a, b in pairwise(d)]


@wrong("sentence-order", "label.*1|reversed|in order")
def order_reversed(documents, rng):
    found = []
    for d in documents:
        for a, b in pairwise(d):
            found.append((a, b, 1) if rng.random() < 0.5 else (b, a, 0))
    return found


@wrong("sentence-order", "document|place")
def order_fixed_places(documents, rng):
    found = []
    for d in documents:
        for i, (a, b) in enumerate(pairwise(d)):
            swap = i % 3 == 0 or (i % 3 == 1 and rng.random() < 0.5)
            found.append((b, a, 1) if swap else (a, b, 0))
    return found
