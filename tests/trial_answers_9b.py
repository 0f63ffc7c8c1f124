"""Answers to the exercises on BART, as learners write them."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional as F
from trial_answers import right, wrong

# -------------------------------------------------------------------------------------------------- infilling


@right("infilling")
def infill_while(ids, spans, mask_id):
    out, i, n = [], 0, 0
    while i < len(ids) or n < len(spans):
        if n < len(spans) and spans[n][0] == i:
            out.append(mask_id)
            i += spans[n][1]
            n += 1
        else:
            out.append(ids[i])
            i += 1
    return out


@right("infilling")
def infill_none(ids, spans, mask_id):
    slots = [[x] for x in ids] + [[]]
    for start, length in reversed(spans):
        for i in range(start, start + length):
            slots[i] = []
        slots[start] = [mask_id] + slots[start]
    return [one for slot in slots for one in slot]


@right("infilling")
def infill_recursive(ids, spans, mask_id):
    if not spans:
        return list(ids)
    (start, length), rest = spans[0], spans[1:]
    tail = [(s - start - length, n) for s, n in rest]
    return [*ids[:start], mask_id, *infill_recursive(ids[start + length :], tail, mask_id)]


@right("infilling")
def infill_tensors(ids, spans, mask_id):
    t = torch.tensor(ids, dtype=torch.long)
    parts, last = [], 0
    for s, n in spans:
        parts += [t[last:s], torch.tensor([mask_id])]
        last = s + n
    return torch.cat([*parts, t[last:]]).tolist()


@wrong("infilling", "one mask for each")
def infill_bert(ids, spans, mask_id):
    ids = list(ids)
    for start, length in spans:
        for i in range(start, start + length):
            ids[i] = mask_id
    return ids


@wrong("infilling", "wrong places|places")
def infill_forward(ids, spans, mask_id):
    out = list(ids)
    for start, length in spans:
        out[start : start + length] = [mask_id]
    return out


@wrong("infilling", "own list|in place")
def infill_in_place(ids, spans, mask_id):
    for start, length in spans[::-1]:
        del ids[start : start + length]
        ids.insert(start, mask_id)
    return ids


@wrong("infilling", "length 0 gets no mask")
def infill_dict(ids, spans, mask_id):
    starts = {start: length for start, length in spans if length > 0}
    out, i = [], 0
    while i < len(ids):
        if i in starts:
            out.append(mask_id)
            i += starts[i]
        else:
            out.append(ids[i])
            i += 1
    return out


@wrong("infilling", "very end|end of the text")
def infill_enumerate(ids, spans, mask_id):
    out, covered = [], set()
    for i, token in enumerate(ids):
        for start, length in spans:
            if start == i:
                out.append(mask_id)
                covered.update(range(start, start + length))
        if i not in covered:
            out.append(token)
    return out


@wrong("infilling", "start and end")
def infill_as_ends(ids, spans, mask_id):
    out, last = [], 0
    for start, end in spans:
        out.extend(ids[last:start])
        out.append(mask_id)
        last = end
    out.extend(ids[last:])
    return out


@wrong("infilling", "after the last span")
def infill_no_tail(ids, spans, mask_id):
    out, last = [], 0
    for start, length in spans:
        out += [*ids[last:start], mask_id]
        last = start + length
    return out


@wrong("infilling", "one mask together|touch|become one")
def infill_flags(ids, spans, mask_id):
    gone = [False] * len(ids)
    for start, length in spans:
        for i in range(start, start + length):
            gone[i] = True
    insert = {start for start, length in spans if length == 0}
    out = []
    for i, token in enumerate(ids):
        if i in insert:
            out.append(mask_id)
        if not gone[i]:
            out.append(token)
        elif i == 0 or not gone[i - 1]:
            out.append(mask_id)
    if len(ids) in insert:
        out.append(mask_id)
    return out


@wrong("infilling", "an id of its own|T5")
def infill_sentinels(ids, spans, mask_id):
    out, last = [], 0
    for n, (start, length) in enumerate(spans):
        out += [*ids[last:start], mask_id + n]
        last = start + length
    return out + ids[last:]


@wrong("infilling", "no mask in their place|deletion")
def infill_deleted(ids, spans, mask_id):
    drop = {i for start, length in spans for i in range(start, start + length)}
    return [token for i, token in enumerate(ids) if i not in drop]


@wrong("infilling", "one token more")
def infill_inclusive(ids, spans, mask_id):
    out, last = [], 0
    for start, length in spans:
        out += [*ids[last:start], mask_id]
        last = start + length + 1 if length else start
    return out + ids[last:]


@wrong("infilling", "removes a token|length 0")
def infill_at_least_one(ids, spans, mask_id):
    out = list(ids)
    for start, length in reversed(spans):
        out[start : start + max(length, 1)] = [mask_id]
    return out


@wrong("infilling", "after a mask|next to each other")
def infill_deduplicated(ids, spans, mask_id):
    out = []
    covered = {}
    for start, length in spans:
        for i in range(start, start + length):
            covered[i] = True
    starts = [start for start, length in spans]
    for i in range(len(ids) + 1):
        if i in starts and (not out or out[-1] != mask_id):
            out.append(mask_id)
        if i < len(ids) and i not in covered:
            out.append(ids[i])
    return out


# ------------------------------------------------------------------------------------- causal-cross-attention


def heads_of(y, weights, name, n):
    y = F.linear(y, weights[name + ".weight"], weights[name + ".bias"])
    return y.view(y.shape[0], y.shape[1], n, -1).transpose(1, 2)


def multi(q_in, kv, weights, part, n, hidden=None, scale=None):
    q, k, v = (
        heads_of(q_in, weights, f"{part}.query", n),
        heads_of(kv, weights, f"{part}.key", n),
        heads_of(kv, weights, f"{part}.value", n),
    )
    s = q @ k.transpose(2, 3) / (scale or math.sqrt(q.shape[-1]))
    if hidden is not None:
        s = s.masked_fill(hidden, float("-inf"))
    o = (s.softmax(-1) @ v).transpose(1, 2).reshape(q_in.shape)
    return F.linear(o, weights[f"{part}.output.weight"], weights[f"{part}.output.bias"])


def ln(y, weights, name, eps=1e-5):
    return F.layer_norm(y, y.shape[-1:], weights[name + ".weight"], weights[name + ".bias"], eps)


def future(x):
    return torch.triu(torch.ones(x.shape[1], x.shape[1]), 1).bool()


def pads(attention_mask):
    return (attention_mask == 0)[:, None, None, :]


@right("causal-cross-attention")
def decoder_plain(x, encoded, attention_mask, weights, num_heads):
    x = ln(x + multi(x, x, weights, "attention", num_heads, future(x)), weights, "attention_norm")
    y = multi(x, encoded, weights, "cross_attention", num_heads, pads(attention_mask))
    return ln(x + y, weights, "cross_attention_norm")


@right("causal-cross-attention")
def decoder_torch(x, encoded, attention_mask, weights, num_heads):
    def mha(q, kv, part, **masks):
        w = [weights[f"{part}.{n}.weight"] for n in ("query", "key", "value")]
        b = torch.cat([weights[f"{part}.{n}.bias"] for n in ("query", "key", "value")])
        return F.multi_head_attention_forward(
            q.transpose(0, 1), kv.transpose(0, 1), kv.transpose(0, 1), x.shape[-1], num_heads, None, b, None, None,
            False, 0.0, weights[f"{part}.output.weight"], weights[f"{part}.output.bias"], need_weights=False,
            use_separate_proj_weight=True, q_proj_weight=w[0], k_proj_weight=w[1], v_proj_weight=w[2], **masks,
        )[0].transpose(0, 1)  # fmt: skip

    x = ln(x + mha(x, x, "attention", attn_mask=future(x)), weights, "attention_norm")
    y = mha(x, encoded, "cross_attention", key_padding_mask=attention_mask == 0)
    return ln(x + y, weights, "cross_attention_norm")


@right("causal-cross-attention")
def decoder_additive(x, encoded, attention_mask, weights, num_heads):
    B, T, D = x.shape
    K = D // num_heads

    def attend(a, b, name, bias):
        q = (a @ weights[f"{name}.query.weight"].t() + weights[f"{name}.query.bias"]).reshape(B, -1, num_heads, K)
        k = (b @ weights[f"{name}.key.weight"].t() + weights[f"{name}.key.bias"]).reshape(B, -1, num_heads, K)
        v = (b @ weights[f"{name}.value.weight"].t() + weights[f"{name}.value.bias"]).reshape(B, -1, num_heads, K)
        p = torch.softmax(torch.einsum("bqhk,bshk->bhqs", q / K**0.5, k) + bias, -1)
        o = torch.einsum("bhqs,bshk->bqhk", p, v).reshape(B, T, D)
        return o @ weights[f"{name}.output.weight"].t() + weights[f"{name}.output.bias"]

    causal = torch.full((T, T), -1e9, dtype=x.dtype).triu(1)
    padding = (1.0 - attention_mask[:, None, None].to(x.dtype)) * torch.finfo(x.dtype).min
    h = ln(x + attend(x, x, "attention", causal), weights, "attention_norm")
    return ln(h + attend(h, encoded, "cross_attention", padding), weights, "cross_attention_norm")


@right("causal-cross-attention")
def decoder_layers(x, encoded, attention_mask, weights, num_heads):
    d = x.shape[-1]
    norm1, norm2 = nn.LayerNorm(d), nn.LayerNorm(d)

    def call(norm, name, y):
        w = {"weight": weights[name + ".weight"], "bias": weights[name + ".bias"]}
        return torch.func.functional_call(norm, w, (y,))

    steps = [x[:, :1]]
    outs = []
    for t in range(x.shape[1]):
        seen = x[:, : t + 1]
        outs.append(multi(x[:, t : t + 1], seen, weights, "attention", num_heads))
        steps.append(seen)
    y = call(norm1, "attention_norm", x + torch.cat(outs, 1))
    z = multi(y, encoded, weights, "cross_attention", num_heads, pads(attention_mask))
    return call(norm2, "cross_attention_norm", y + z)


@wrong("causal-cross-attention", "after each token")
def decoder_no_causal(x, encoded, attention_mask, weights, num_heads):
    x = ln(x + multi(x, x, weights, "attention", num_heads), weights, "attention_norm")
    y = multi(x, encoded, weights, "cross_attention", num_heads, pads(attention_mask))
    return ln(x + y, weights, "cross_attention_norm")


@wrong("causal-cross-attention", "padding is not hidden")
def decoder_no_padding(x, encoded, attention_mask, weights, num_heads):
    x = ln(x + multi(x, x, weights, "attention", num_heads, future(x)), weights, "attention_norm")
    y = multi(x, encoded, weights, "cross_attention", num_heads)
    return ln(x + y, weights, "cross_attention_norm")


@wrong("causal-cross-attention", "own tokens again")
def decoder_self_twice(x, encoded, attention_mask, weights, num_heads):
    x = ln(x + multi(x, x, weights, "attention", num_heads, future(x)), weights, "attention_norm")
    y = multi(x, x, weights, "cross_attention", num_heads, future(x))
    return ln(x + y, weights, "cross_attention_norm")


@wrong("causal-cross-attention", "text asks|queries come from the decoder|size|S|shape")
def decoder_roles(x, encoded, attention_mask, weights, num_heads):
    x = ln(x + multi(x, x, weights, "attention", num_heads, future(x)), weights, "attention_norm")
    y = multi(encoded, x, weights, "cross_attention", num_heads)
    return ln(x + y, weights, "cross_attention_norm")


@wrong("causal-cross-attention", "x is added to the second|own input is added")
def decoder_residual_x(x, encoded, attention_mask, weights, num_heads):
    a = ln(x + multi(x, x, weights, "attention", num_heads, future(x)), weights, "attention_norm")
    b = multi(a, encoded, weights, "cross_attention", num_heads, pads(attention_mask))
    return ln(x + b, weights, "cross_attention_norm")


@wrong("causal-cross-attention", "no norm after the first")
def decoder_one_norm(x, encoded, attention_mask, weights, num_heads):
    x = x + multi(x, x, weights, "attention", num_heads, future(x))
    x = x + multi(x, encoded, weights, "cross_attention", num_heads, pads(attention_mask))
    return ln(x, weights, "cross_attention_norm")


@wrong("causal-cross-attention", "does not see itself|NaN|first token")
def decoder_strict(x, encoded, attention_mask, weights, num_heads):
    hidden = torch.triu(torch.ones(x.shape[1], x.shape[1])).bool()
    x = ln(x + multi(x, x, weights, "attention", num_heads, hidden), weights, "attention_norm")
    y = multi(x, encoded, weights, "cross_attention", num_heads, pads(attention_mask))
    return ln(x + y, weights, "cross_attention_norm")


@wrong("causal-cross-attention", "use the weights `attention")
def decoder_shared(x, encoded, attention_mask, weights, num_heads):
    x = ln(x + multi(x, x, weights, "attention", num_heads, future(x)), weights, "attention_norm")
    y = multi(x, encoded, weights, "attention", num_heads, pads(attention_mask))
    return ln(x + y, weights, "cross_attention_norm")


@wrong("causal-cross-attention", "√K|divided")
def decoder_sqrt_d(x, encoded, attention_mask, weights, num_heads):
    s = math.sqrt(x.shape[-1])
    x = ln(x + multi(x, x, weights, "attention", num_heads, future(x), s), weights, "attention_norm")
    y = multi(x, encoded, weights, "cross_attention", num_heads, pads(attention_mask), s)
    return ln(x + y, weights, "cross_attention_norm")


@wrong("causal-cross-attention", "pre-norm|before the attentions")
def decoder_pre_norm(x, encoded, attention_mask, weights, num_heads):
    y = ln(x, weights, "attention_norm")
    x = x + multi(y, y, weights, "attention", num_heads, future(x))
    y = ln(x, weights, "cross_attention_norm")
    return x + multi(y, encoded, weights, "cross_attention", num_heads, pads(attention_mask))


@wrong("causal-cross-attention", "wrong way round|inverted")
def decoder_mask_inverted(x, encoded, attention_mask, weights, num_heads):
    x = ln(x + multi(x, x, weights, "attention", num_heads, future(x)), weights, "attention_norm")
    y = multi(x, encoded, weights, "cross_attention", num_heads, attention_mask[:, None, None, :].bool())
    return ln(x + y, weights, "cross_attention_norm")


@wrong("causal-cross-attention", "1e-12")
def decoder_bert_eps(x, encoded, attention_mask, weights, num_heads):
    x = ln(x + multi(x, x, weights, "attention", num_heads, future(x)), weights, "attention_norm", 1e-12)
    y = multi(x, encoded, weights, "cross_attention", num_heads, pads(attention_mask))
    return ln(x + y, weights, "cross_attention_norm", 1e-12)
