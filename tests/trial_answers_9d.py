"""More answers to the exercises on XLNet and BART: several mistakes at once, and odder ones."""

from __future__ import annotations

import math

import torch
from torch.nn import functional as F
from trial_answers import wrong
from trial_answers_9 import attend, opened
from trial_answers_9b import future, ln, multi, pads


@wrong("relative-shift", "opposite order|backwards|flipped")
def shift_flipped(scores):
    s, w = scores.shape[-2:]
    return torch.stack([scores.flip(-1)[:, :, i, s - i : w - i] for i in range(s)], 2)


@wrong("relative-shift", "first text|first two axes|texts|shape|axes")
def shift_two_axes(scores):
    s, w = scores.shape[-2:]
    return torch.stack([scores[0, :, i, s - i : w - i] for i in range(s)], 1)


@wrong("relative-shift", "axes")
def shift_stacked_wrongly(scores):
    s, w = scores.shape[-2:]
    return torch.stack([scores[:, :, i, s - i : w - i] for i in range(s)], -1)


@wrong("relative-shift", "scaled|times|√")
def shift_scaled(scores):
    s, w = scores.shape[-2:]
    return torch.stack([scores[:, :, i, s - i : w - i] for i in range(s)], 2) / math.sqrt(2)


@wrong("permutation-mask", "1 where a token may be seen")
def masks_visible_places(order):
    z = order.argsort(1)
    q = z[:, None, :] < z[:, :, None]
    return q, q | torch.eye(order.shape[1]).bool()


@wrong("permutation-mask", "text|places|list of")
def masks_permuted_text(order):
    """Permutes rows and columns by the order, the wrong way round."""
    s = order.shape[1]
    late = torch.ones(s, s).triu()
    z = [row.argsort() for row in order]
    q = torch.stack([late[one][:, one] for one in z])
    return q, q * (1 - torch.eye(s))


@wrong("two-streams", "come from g")
def streams_separate_unscaled(h, g, perm_mask, w_q, w_k, w_v):
    found = []
    for x, hidden in ((h, opened(perm_mask)), (g, perm_mask.bool())):
        s = ((x @ w_q) @ (x @ w_k).mT).masked_fill(hidden, -1e30)
        found.append(s.softmax(-1).masked_fill(hidden, 0) @ (x @ w_v))
    return found


@wrong("two-streams", "√K|NaN")
def streams_unscaled_nan(h, g, perm_mask, w_q, w_k, w_v):
    def go(x, m):
        return ((x @ w_q) @ (h @ w_k).mT).masked_fill(m, -math.inf).softmax(-1) @ (h @ w_v)

    return go(h, opened(perm_mask)), go(g, perm_mask.bool())


@wrong("two-streams", "exchanged|keys|w_q")
def streams_weights_exchanged(h, g, perm_mask, w_q, w_k, w_v):
    k, v = h @ w_q, h @ w_v
    return attend(h @ w_k, k, v, opened(perm_mask)), attend(g @ w_k, k, v, perm_mask.bool())


@wrong("infilling", "one mask for each|mask")
def infill_bert_and_empty(ids, spans, mask_id):
    out = list(ids)
    for start, length in reversed(spans):
        out[start : start + length] = [mask_id] * length
    return out


@wrong("infilling", "start and end|end")
def infill_ends_reversed(ids, spans, mask_id):
    out = list(ids)
    for start, end in reversed(spans):
        out[start:end] = [mask_id]
    return out


@wrong("infilling", "wrong places|places")
def infill_pop_forward(ids, spans, mask_id):
    out = ids[:]
    for start, length in spans:
        for _ in range(length):
            out.pop(start)
        out.insert(start, mask_id)
    return out


@wrong("causal-cross-attention", "√K.*|no norm")
def decoder_two_things(x, encoded, attention_mask, weights, num_heads):
    x = x + multi(x, x, weights, "attention", num_heads, future(x), 1.0)
    x = x + multi(x, encoded, weights, "cross_attention", num_heads, pads(attention_mask), 1.0)
    return ln(x, weights, "cross_attention_norm")


@wrong("causal-cross-attention", "causal")
def decoder_causal_both(x, encoded, attention_mask, weights, num_heads):
    x = ln(x + multi(x, x, weights, "attention", num_heads, future(x)), weights, "attention_norm")
    late = torch.ones(x.shape[1], encoded.shape[1]).triu(1).bool()
    y = multi(x, encoded, weights, "cross_attention", num_heads, pads(attention_mask) | late)
    return ln(x + y, weights, "cross_attention_norm")


@wrong("causal-cross-attention", "dropout|random")
def decoder_dropout(x, encoded, attention_mask, weights, num_heads):
    a = F.dropout(multi(x, x, weights, "attention", num_heads, future(x)), 0.1)
    x = ln(x + a, weights, "attention_norm")
    y = F.dropout(multi(x, encoded, weights, "cross_attention", num_heads, pads(attention_mask)), 0.1)
    return ln(x + y, weights, "cross_attention_norm")


@wrong("beam-step", "score is its total|best K")
def beam_plain(totals, log_probs, eos_id, length, length_penalty=1.0):
    k, v = log_probs.shape
    values, index = (totals[:, None] + log_probs).flatten().topk(k)
    all_ = list(zip(values.tolist(), (index // v).tolist(), (index % v).tolist(), strict=True))
    return [c for c in all_ if c[2] != eos_id], [(x, b) for x, b, w in all_ if w == eos_id]


@wrong("beam-step", "reverse|order|worst|sorted")
def beam_sorted_by_tuple(totals, log_probs, eos_id, length, length_penalty=1.0):
    k, v = log_probs.shape
    values, index = (totals[:, None] + log_probs).flatten().topk(2 * k)
    all_ = list(zip(values.tolist(), (index // v).tolist(), (index % v).tolist(), strict=True))
    go = sorted([c for c in all_ if c[2] != eos_id][:k])
    return go, [(x / length**length_penalty, b) for x, b, w in all_[:k] if w == eos_id]


@wrong("beam-step", "has 3 values")
def beam_with_tokens(totals, log_probs, eos_id, length, length_penalty=1.0):
    k, v = log_probs.shape
    values, index = (totals[:, None] + log_probs).flatten().topk(2 * k)
    all_ = list(zip(values.tolist(), (index // v).tolist(), (index % v).tolist(), strict=True))
    ended = [(x / length**length_penalty, b, w) for x, b, w in all_[:k] if w == eos_id]
    return [c for c in all_ if c[2] != eos_id][:k], ended
