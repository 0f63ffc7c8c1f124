"""More answers as learners write them: see trial_answers.py."""

from __future__ import annotations

import math

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


def three(weights, student_logits, teacher_logits, labels, student_hidden, teacher_hidden, mask, temperature=2.0):
    a, b, c = weights
    words = mlm_numpy_count(student_logits, labels)
    return (
        a * soft(student_logits, teacher_logits, temperature, mask)
        + b * words
        + c * cosine(student_hidden, teacher_hidden, mask)
    )


@wrong("triple-loss", "weights")
def triple_fixed(s, t, labels, s_hidden, t_hidden, attention_mask, temperature=2.0, weights=(5.0, 2.0, 1.0)):
    return three((5, 2, 1), s, t, labels, s_hidden, t_hidden, attention_mask, temperature)


@wrong("triple-loss", "⅓|third|mean|by 3")
def triple_third(s, t, labels, s_hidden, t_hidden, attention_mask, temperature=2.0, weights=(5.0, 2.0, 1.0)):
    return three(weights, s, t, labels, s_hidden, t_hidden, attention_mask, temperature) / 3
