"""Answers to the exercise on dropout, as learners write them."""

from __future__ import annotations

import torch
from torch.nn import functional as F
from trial_answers import right, wrong


def norm(x, weight, bias, eps=1e-12):
    return F.layer_norm(x, x.shape[-1:], weight, bias, eps)


@right("dropout")
def dropout_by_hand(x, scores, value, weight, bias, keep_weights, keep_output):
    e = torch.exp(scores - scores.amax(-1, keepdim=True))
    p = e / e.sum(-1, keepdim=True) * keep_weights
    h = x + torch.einsum("bij,bjd->bid", p, value) * keep_output
    m, v = h.mean(-1, keepdim=True), h.var(-1, keepdim=True, correction=0)
    return (h - m) / torch.sqrt(v + 1e-12) * weight + bias


@right("dropout")
def dropout_by_where(x, scores, value, weight, bias, keep_weights, keep_output):
    p = torch.where(keep_weights > 0, scores.softmax(2) * keep_weights, torch.zeros_like(scores))
    out = torch.matmul(p, value).mul(keep_output)
    return norm(out.add(x), weight, bias)


@right("dropout")
def dropout_by_rows(x, scores, value, weight, bias, keep_weights, keep_output):
    rows = []
    for b in range(x.shape[0]):
        p = F.softmax(scores[b], dim=-1) * keep_weights[b]
        rows.append(norm(x[b] + p @ value[b] * keep_output[b], weight, bias))
    return torch.stack(rows)


@right("dropout")
def dropout_by_bmm(x, scores, value, weight, bias, keep_weights, keep_output):
    return norm(
        torch.addcmul(x, torch.bmm(torch.softmax(scores, -1).mul(keep_weights), value), keep_output), weight, bias
    )


@wrong("dropout", "after the norm")
def dropout_last(x, scores, value, weight, bias, keep_weights, keep_output):
    p = scores.softmax(-1) * keep_weights
    return norm(x + p @ value, weight, bias) * keep_output


@wrong("dropout", "before the softmax|on the scores")
def dropout_scores(x, scores, value, weight, bias, keep_weights, keep_output):
    p = (scores * keep_weights).softmax(-1)
    return norm(x + p @ value * keep_output, weight, bias)


@wrong("dropout", "hides keys|mask")
def dropout_minus_inf(x, scores, value, weight, bias, keep_weights, keep_output):
    p = scores.masked_fill(keep_weights == 0, -1e30).softmax(-1)
    return norm(x + p @ value * keep_output, weight, bias)


@wrong("dropout", "residual|added back|input")
def dropout_sum(x, scores, value, weight, bias, keep_weights, keep_output):
    p = scores.softmax(-1) * keep_weights
    return norm((x + p @ value) * keep_output, weight, bias)


@wrong("dropout", "weights are not dropped out|keep_weights")
def dropout_one(x, scores, value, weight, bias, keep_weights, keep_output):
    return norm(x + scores.softmax(-1) @ value * keep_output, weight, bias)


@wrong("dropout", "output is not dropped out|keep_output")
def dropout_other(x, scores, value, weight, bias, keep_weights, keep_output):
    return norm(x + (scores.softmax(-1) * keep_weights) @ value, weight, bias)


@wrong("dropout", "divided by their sum|sum")
def dropout_renormalised(x, scores, value, weight, bias, keep_weights, keep_output):
    p = scores.softmax(-1) * keep_weights
    p = p / (p.sum(-1, keepdim=True) + 1e-20)
    return norm(x + p @ value * keep_output, weight, bias)


@wrong("dropout", "divided by 1 - p")
def dropout_booleans(x, scores, value, weight, bias, keep_weights, keep_output):
    p = scores.softmax(-1) * (keep_weights > 0)
    return norm(x + p @ value * (keep_output > 0), weight, bias)


@wrong("dropout", "1e-5")
def dropout_default_eps(x, scores, value, weight, bias, keep_weights, keep_output):
    return F.layer_norm(x + (scores.softmax(-1) * keep_weights) @ value * keep_output, x.shape[-1:], weight, bias)


@wrong("dropout", "not added back")
def dropout_no_residual(x, scores, value, weight, bias, keep_weights, keep_output):
    return norm((scores.softmax(-1) * keep_weights) @ value * keep_output, weight, bias)


@wrong("dropout", "both|neither|not dropped out|never used|unused|keep")
def dropout_nowhere(x, scores, value, weight, bias, keep_weights, keep_output):
    return norm(x + scores.softmax(-1) @ value, weight, bias)


@wrong("dropout", "random|dropout")
def dropout_drawn(x, scores, value, weight, bias, keep_weights, keep_output):
    p = F.dropout(scores.softmax(-1), 0.1)
    return norm(x + F.dropout(p @ value, 0.1), weight, bias)


@wrong("dropout", "queries")
def dropout_wrong_axis(x, scores, value, weight, bias, keep_weights, keep_output):
    p = F.softmax(scores, dim=1) * keep_weights
    return norm(x + p @ value * keep_output, weight, bias)


@wrong("dropout", "norm comes before|before the input is added")
def dropout_norm_then_add(x, scores, value, weight, bias, keep_weights, keep_output):
    p = scores.softmax(-1) * keep_weights
    return x + norm(p @ value * keep_output, weight, bias)
