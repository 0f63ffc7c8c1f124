"""More answers as learners write them: see trial_answers.py."""

from __future__ import annotations

import math
import random

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from trial_answers import hand_norm, right, wrong

# --------------------------------------------------------------------------------------- embeddings and heads


def embed(ids, types, weights, eps=1e-12, *, norm=True, positions=True):
    x = weights["word.weight"][ids] + weights["token_type.weight"][types]
    if positions:
        x = x + weights["position.weight"][: ids.shape[1]]
    return F.layer_norm(x, x.shape[-1:], weights["norm.weight"], weights["norm.bias"], eps) if norm else x


@right("embeddings")
def embeddings_by_cumsum(input_ids, token_type_ids, weights, eps=1e-12):
    places = torch.ones_like(input_ids).cumsum(1) - 1
    x = sum(
        F.embedding(i, weights[f"{n}.weight"])
        for n, i in (("word", input_ids), ("position", places), ("token_type", token_type_ids))
    )
    return F.layer_norm(x, x.shape[-1:], weights["norm.weight"], weights["norm.bias"], eps)


@wrong("embeddings", "norm")
def embeddings_no_norm(input_ids, token_type_ids, weights, eps=1e-12):
    return embed(input_ids, token_type_ids, weights, norm=False)


@wrong("embeddings", "positions")
def embeddings_zero_words(input_ids, token_type_ids, weights, eps=1e-12):
    places = (torch.cumsum(input_ids.ne(0), 1) - 1).clamp(min=0)  # RoBERTa's way, with padding 0
    x = (
        weights["word.weight"][input_ids]
        + weights["token_type.weight"][token_type_ids]
        + weights["position.weight"][places]
    )
    return F.layer_norm(x, x.shape[-1:], weights["norm.weight"], weights["norm.bias"], eps)


@wrong("embeddings", "segment|type|table|larger")
def embeddings_types_from_1(input_ids, token_type_ids, weights, eps=1e-12):
    return embed(input_ids, token_type_ids + 1, weights, eps)


@wrong("embeddings", "sinusoids|position")
def embeddings_sinusoids(input_ids, token_type_ids, weights, eps=1e-12):
    S, D = input_ids.shape[1], weights["word.weight"].shape[1]
    at = torch.arange(S, dtype=torch.float64)[:, None]
    div = torch.exp(torch.arange(0, D, 2, dtype=torch.float64) * -(math.log(10000.0) / D))
    pe = torch.zeros(S, D, dtype=torch.float64)
    pe[:, 0::2], pe[:, 1::2] = torch.sin(at * div), torch.cos(at * div)
    x = weights["word.weight"][input_ids] + pe + weights["token_type.weight"][token_type_ids]
    return F.layer_norm(x, x.shape[-1:], weights["norm.weight"], weights["norm.bias"], eps)


@wrong("embeddings", "std|D - 1")
def embeddings_hand_norm(input_ids, token_type_ids, weights, eps=1e-12):
    return hand_norm(
        embed(input_ids, token_type_ids, weights, norm=False), weights["norm.weight"], weights["norm.bias"], eps
    )


@wrong("embeddings", "whole table|sizes|fit")
def embeddings_not_cut(input_ids, token_type_ids, weights, eps=1e-12):
    x = weights["word.weight"][input_ids] + weights["position.weight"] + weights["token_type.weight"][token_type_ids]
    return F.layer_norm(x, x.shape[-1:], weights["norm.weight"], weights["norm.bias"], eps)


@wrong("embeddings", "token_type")
def embeddings_no_types(input_ids, token_type_ids, weights, eps=1e-12):
    x = weights["word.weight"][input_ids] + weights["position.weight"][: input_ids.shape[1]]
    return F.layer_norm(x, x.shape[-1:], weights["norm.weight"], weights["norm.bias"], eps)


@wrong("factorised-embedding", "norm")
def factorised_no_norm(input_ids, token_type_ids, weights, eps=1e-12):
    return F.linear(
        embed(input_ids, token_type_ids, weights, norm=False), weights["projection.weight"], weights["projection.bias"]
    )


@wrong("factorised-embedding", "GELU")
def factorised_gelu(input_ids, token_type_ids, weights, eps=1e-12):
    return F.gelu(
        F.linear(
            embed(input_ids, token_type_ids, weights, eps), weights["projection.weight"], weights["projection.bias"]
        )
    )


def head(hidden, words, weights, eps=1e-12, act=F.gelu, norm=True, bias=True):
    x = act(F.linear(hidden, weights["dense.weight"], weights["dense.bias"]))
    if norm:
        x = F.layer_norm(x, x.shape[-1:], weights["norm.weight"], weights["norm.bias"], eps)
    return x @ words.T + (weights["bias"] if bias else 0)


@wrong("masked-lm-head", "log")
def head_log_softmax(hidden, word_embeddings, weights, eps=1e-12):
    return head(hidden, word_embeddings, weights, eps).log_softmax(-1)


@wrong("masked-lm-head", "transform|dense")
def head_no_transform(hidden, word_embeddings, weights, eps=1e-12):
    return hidden @ word_embeddings.T + weights["bias"]


@wrong("masked-lm-head", "ReLU")
def head_three(hidden, word_embeddings, weights, eps=1e-12):
    return head(hidden, word_embeddings, weights, eps, F.relu, norm=False, bias=False)


@wrong("masked-lm-head", "no gradient|copy")
def head_copy(hidden, word_embeddings, weights, eps=1e-12):
    return head(hidden, word_embeddings.clone().detach(), weights, eps)


@wrong("masked-lm-head", "first|[CLS]|axis")
def head_first(hidden, word_embeddings, weights, eps=1e-12):
    return head(hidden[:, 0], word_embeddings, weights, eps)


@right("classification-head")
def classify_by_modules(hidden, weights):
    pooler = nn.Linear(hidden.size(-1), hidden.size(-1), dtype=hidden.dtype)
    pooled = torch.func.functional_call(
        pooler, {"weight": weights["pooler.weight"], "bias": weights["pooler.bias"]}, hidden[:, 0, :]
    )
    return torch.tanh(pooled) @ weights["classifier.weight"].t() + weights["classifier.bias"]


@wrong("classification-head", "squeeze|size 1|axis")
def classify_squeezed(hidden, weights):
    pooled = torch.tanh(F.linear(hidden[:, :1].squeeze(), weights["pooler.weight"], weights["pooler.bias"]))
    return F.linear(pooled, weights["classifier.weight"], weights["classifier.bias"]).squeeze()


@wrong("classification-head", "every token|token")
def classify_all(hidden, weights):
    pooled = torch.tanh(F.linear(hidden, weights["pooler.weight"], weights["pooler.bias"]))
    return F.linear(pooled, weights["classifier.weight"], weights["classifier.bias"])


@wrong("classification-head", "load_state_dict|gradient")
def classify_loaded(hidden, weights):
    layer = nn.Linear(*reversed(weights["classifier.weight"].shape)).to(hidden.dtype)
    layer.load_state_dict({"weight": weights["classifier.weight"], "bias": weights["classifier.bias"]})
    return layer(torch.tanh(F.linear(hidden[:, 0], weights["pooler.weight"], weights["pooler.bias"])))


@wrong("classification-head", "mean")
def classify_mean(hidden, weights):
    pooled = torch.tanh(F.linear(hidden.mean(1), weights["pooler.weight"], weights["pooler.bias"]))
    return F.linear(pooled, weights["classifier.weight"], weights["classifier.bias"])


# ------------------------------------------------------------------------------------------------------- losses


@right("masked-lm-loss")
def mlm_numpy_count(logits, labels):
    count = np.int64((labels != -100).sum().item())
    total = F.cross_entropy(logits.reshape(-1, logits.shape[-1]), labels.reshape(-1), reduction="sum")
    return total / max(int(count), 1)


@wrong("masked-lm-loss", "log|base 2|ln 2")
def mlm_bits(logits, labels):
    return mlm_numpy_count(logits, labels) / math.log(2)


@wrong("masked-lm-loss", "perplexity|exp")
def mlm_perplexity(logits, labels):
    return mlm_numpy_count(logits, labels).exp()


@wrong("masked-lm-loss", "graph|item")
def mlm_item(logits, labels):
    return torch.tensor(mlm_numpy_count(logits, labels).item())


@wrong("masked-lm-loss", "-100|class|ignore")
def mlm_ignore_0(logits, labels):
    return F.cross_entropy(logits.transpose(1, 2), labels, ignore_index=0)


@wrong("masked-lm-loss", "NaN")
def mlm_nan(logits, labels):
    return F.cross_entropy(logits.transpose(1, 2), labels)


@wrong("masked-lm-loss", "axis|without axes|shape")
def mlm_unreduced(logits, labels):
    return F.cross_entropy(logits.transpose(1, 2), labels, reduction="none")


@wrong("masked-lm-loss", "softmax")
def mlm_softmax_twice(logits, labels):
    return mlm_numpy_count(logits.softmax(-1), labels)


@wrong("masked-lm-loss", "sign|minus")
def mlm_sign(logits, labels):
    return -mlm_numpy_count(logits, labels)


@wrong("pretraining-loss", "ignore_index=0|label 0")
def pretraining_one_criterion(word_logits, word_labels, pair_logits, pair_labels):
    criterion = nn.CrossEntropyLoss(ignore_index=0)
    words = mlm_numpy_count(word_logits, word_labels)
    return words + torch.nan_to_num(criterion(pair_logits, pair_labels))


@wrong("pretraining-loss", "mean|½")
def pretraining_half(word_logits, word_labels, pair_logits, pair_labels):
    return (mlm_numpy_count(word_logits, word_labels) + F.cross_entropy(pair_logits, pair_labels)) / 2


@wrong("pretraining-loss", "reversed|wrong way")
def pretraining_reversed(word_logits, word_labels, pair_logits, pair_labels):
    return mlm_numpy_count(word_logits, word_labels) + F.cross_entropy(pair_logits, 1 - pair_labels)


def soft(student, teacher, temperature=2.0, mask=None, factor=None, **how):
    p = (teacher.detach() / temperature).softmax(-1)
    each = F.kl_div((student / temperature).log_softmax(-1), p, reduction="none").sum(-1)
    factor = temperature**2 if factor is None else factor
    if mask is None:
        return factor * each.mean()
    return factor * (each * mask).sum() / mask.sum().clamp(min=1)


@wrong("distillation-loss", "½|T²")
def soft_half(student_logits, teacher_logits, temperature=2.0, mask=None):
    return soft(student_logits, teacher_logits, temperature, mask, temperature**2 / 2)


@wrong("distillation-loss", "1/`?V|words|entries")
def soft_mean(student_logits, teacher_logits, temperature=2.0, mask=None):
    return soft(student_logits, teacher_logits, temperature, mask) / student_logits.shape[-1]


@wrong("distillation-loss", "reads|only.*number|where they are|lengths")
def soft_lengths(student_logits, teacher_logits, temperature=2.0, mask=None):
    if mask is not None:
        mask = (torch.arange(mask.shape[1]) < mask.sum(1, keepdim=True)).long()
    return soft(student_logits, teacher_logits, temperature, mask)


@wrong("distillation-loss", "exchanged|student ‖ teacher|swapped")
def soft_swapped(student_logits, teacher_logits, temperature=2.0, mask=None):
    return soft(teacher_logits, student_logits, temperature, mask)


@wrong("distillation-loss", "T²")
def soft_without_factor(student_logits, teacher_logits, temperature=2.0, mask=None):
    return soft(student_logits, teacher_logits, temperature, mask, 1.0)


@wrong("distillation-loss", "`mask`.*not used|padding counts")
def soft_no_mask(student_logits, teacher_logits, temperature=2.0, mask=None):
    return soft(student_logits, teacher_logits, temperature)


@wrong("distillation-loss", "Switched|switches|requires_grad|gradient")
def soft_requires_grad(student_logits, teacher_logits, temperature=2.0, mask=None):
    teacher_logits.requires_grad_(False)
    student_logits.requires_grad_(False)
    return soft(student_logits, teacher_logits, temperature, mask)


def cosine(student, teacher, mask=None):
    each = 1 - F.cosine_similarity(student, teacher.detach(), dim=-1)
    return each.mean() if mask is None else (each * mask).sum() / mask.sum().clamp(min=1)


@wrong("cosine-loss", "2 times|twice")
def cosine_twice(student_hidden, teacher_hidden, mask=None):
    return 2 * cosine(student_hidden, teacher_hidden, mask)


@wrong("cosine-loss", "number of texts|divided by")
def cosine_per_text(student_hidden, teacher_hidden, mask=None):
    each = 1 - F.cosine_similarity(student_hidden, teacher_hidden.detach(), dim=-1)
    return (each if mask is None else each * mask).sum() / len(student_hidden)


@wrong("cosine-loss", "teacher")
def cosine_teacher(student_hidden, teacher_hidden, mask=None):
    each = 1 - F.cosine_similarity(student_hidden, teacher_hidden, dim=-1)
    return each.mean() if mask is None else (each * mask).sum() / mask.sum().clamp(min=1)


@wrong("triple-loss", "weights")
def triple_fixed(student_logits, teacher_logits, labels, student_hidden, teacher_hidden, attention_mask, temperature=2.0,
                 weights=(5.0, 2.0, 1.0)):  # fmt: skip
    return (5 * soft(student_logits, teacher_logits, temperature, attention_mask)
            + 2 * mlm_numpy_count(student_logits, labels) + cosine(student_hidden, teacher_hidden, attention_mask))  # fmt: skip


@wrong("triple-loss", "⅓|third|mean|by 3")
def triple_third(student_logits, teacher_logits, labels, student_hidden, teacher_hidden, attention_mask, temperature=2.0,
                 weights=(5.0, 2.0, 1.0)):  # fmt: skip
    a, b, c = weights
    return (a * soft(student_logits, teacher_logits, temperature, attention_mask)
            + b * mlm_numpy_count(student_logits, labels) + c * cosine(student_hidden, teacher_hidden, attention_mask)) / 3  # fmt: skip


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
        for a, b in zip(document, document[1:], strict=False):
            turn = 1 - turn
            found.append((b, a, 1) if turn else (a, b, 0))
    return found


@wrong("sentence-order", "coin|all pairs")
def order_one_coin(documents, rng):
    turn = rng.randrange(2)
    return [(b, a, 1) if turn else (a, b, 0) for d in documents for a, b in zip(d, d[1:], strict=False)]


@wrong("sentence-order", "label.*1|reversed|in order")
def order_reversed(documents, rng):
    found = []
    for d in documents:
        for a, b in zip(d, d[1:], strict=False):
            found.append((a, b, 1) if rng.random() < 0.5 else (b, a, 0))
    return found


@wrong("sentence-order", "document|place")
def order_fixed_places(documents, rng):
    found = []
    for d in documents:
        for i, (a, b) in enumerate(zip(d, d[1:], strict=False)):
            swap = i % 3 == 0 or (i % 3 == 1 and rng.random() < 0.5)
            found.append((b, a, 1) if swap else (a, b, 0))
    return found
