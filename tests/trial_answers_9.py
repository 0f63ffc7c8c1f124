"""Answers to the exercises on XLNet, as learners write them."""

from __future__ import annotations

import math

import numpy as np
import torch
from einops import rearrange
from torch.nn import functional as F
from trial_answers import right, wrong

# --------------------------------------------------------------------------------------------- relative-shift


@right("relative-shift")
def shift_as_strided(scores):
    b, h, s, w = scores.shape
    scores = scores.contiguous()
    strides = (h * s * w, s * w, w - 1, 1)
    return scores.as_strided((b, h, s, w - s), strides, scores.storage_offset() + s)


@right("relative-shift")
def shift_einops(scores):
    _, _, s, w = scores.shape
    x = rearrange(scores, "b h s w -> b h (s w)")[..., s:]
    return rearrange(x, "b h (s v) -> b h s v", s=s)[..., : w - s]


@right("relative-shift")
def shift_by_roll(scores):
    s, w = scores.shape[-2:]
    rows = [scores[:, :, i].roll(i - s, dims=-1)[..., : w - s] for i in range(s)]
    return torch.stack(rows, 2)


@right("relative-shift")
def shift_one_hot(scores):
    s, w = scores.shape[2:]
    pick = torch.zeros(s, w, w - s, dtype=scores.dtype)
    for i in range(s):
        for j in range(w - s):
            pick[i, s - i + j, j] = 1
    return torch.einsum("bhsw,swt->bhst", scores, pick)


@wrong("relative-shift", "too large by 1|Transformer-XL")
def shift_transformer_xl(x):
    zero_pad = torch.zeros((x.size(0), x.size(1), x.size(2), 1), dtype=x.dtype)
    x_padded = torch.cat([zero_pad, x], dim=-1)
    x_padded = x_padded.view(x.size(0), x.size(1), x.size(3) + 1, x.size(2))
    return x_padded[:, :, 1:].view_as(x)[..., : x.size(3) - x.size(2)]


@wrong("relative-shift", "first two axes|texts and heads")
def shift_copied(x, klen=None):
    klen = x.shape[3] - x.shape[2]
    s = x.shape
    x = x.reshape(s[1], s[0], s[2], s[3])
    x = x[1:, ...]
    x = x.reshape(s[0], s[1] - 1, s[2], s[3])
    return x[:, :klen, :, :]


@wrong("relative-shift", "wrong way")
def shift_diagonal_right(scores):
    s, w = scores.shape[-2:]
    t = w - s
    out = torch.empty(*scores.shape[:-1], t, dtype=scores.dtype)
    for i in range(s):
        out[:, :, i] = scores[:, :, i, i : i + t]
    return out


@wrong("relative-shift", "nothing is shifted")
def shift_slice(scores):
    T = scores.shape[3] - scores.shape[2]
    return scores[:, :, :, :T]


@wrong("relative-shift", "memory")
def shift_no_memory(scores):
    S, W = scores.shape[-2:]
    T = W - S
    idx = T - (torch.arange(S)[:, None] - torch.arange(T)[None, :])
    idx = idx.clamp(0, W - 1)
    return scores.gather(-1, idx.expand(*scores.shape[:2], S, T))


@wrong("relative-shift", "like one before|sign")
def shift_abs(scores):
    B, H, S, W = scores.shape
    T = W - S
    q = torch.arange(T - S, T).unsqueeze(1)
    k = torch.arange(T).unsqueeze(0)
    return torch.gather(scores, -1, (T - (q - k).abs()).expand(B, H, S, T))


@wrong("relative-shift", "opposite order|backwards")
def shift_ascending(scores):
    B, H, S, W = scores.shape
    T = W - S
    rel = (torch.arange(S)[:, None] + T - S) - torch.arange(T)
    return scores.gather(3, (rel + S - 1)[None, None].expand(B, H, S, T))


@wrong("relative-shift", "transpose")
def shift_permuted(scores):
    b, h, s, w = scores.shape
    x = scores.permute(0, 1, 3, 2)
    x = x[:, :, 1:, :]
    x = x.reshape(b, h, s, w - 1)
    return x[:, :, :, : w - s]


@wrong("relative-shift", "set to 0|hide")
def shift_tril(scores):
    s, w = scores.shape[-2:]
    x = scores.reshape(*scores.shape[:2], w, s)[:, :, 1:].reshape(*scores.shape[:2], s, w - 1)[..., : w - s]
    return x * torch.ones(s, w - s).tril(w - 2 * s)


@wrong("relative-shift", "S columns|keep T")
def shift_keeps_s(scores):
    b, h, s, w = scores.shape
    x = scores.view(b, h, w, s)
    x = x[:, :, 1:].view(b, h, s, w - 1)
    return x[:, :, :, :s]


@wrong("relative-shift", r"T \+ S - 1|not cut|all")
def shift_not_cut(scores):
    b, h, s, w = scores.shape
    return scores.view(b, h, w, s)[:, :, 1:].reshape(b, h, s, w - 1)


@wrong("relative-shift", "first column|shifted")
def shift_drops_column(scores):
    t = scores.size(-1) - scores.size(-2)
    return scores[..., 1:][..., :t]


# ------------------------------------------------------------------------------------------- permutation-mask


@right("permutation-mask")
def masks_numpy(order):
    o = order.numpy()
    q = (o[:, None, :] >= o[:, :, None]).astype(np.int64)
    c = (o[:, None, :] > o[:, :, None]).astype(np.int64)
    return torch.from_numpy(q), torch.from_numpy(c)


@right("permutation-mask")
def masks_diagonal(order):
    content = (order.unsqueeze(1) > order.unsqueeze(2)).float()
    query = content + torch.eye(order.size(1))
    return query, content


@right("permutation-mask")
def masks_where(order):
    B, S = order.shape
    a = order.view(B, S, 1).expand(B, S, S)
    b = order.view(B, 1, S).expand(B, S, S)
    return torch.where(a <= b, 1, 0), torch.where(a < b, 1, 0)


@right("permutation-mask")
def masks_by_sorted_positions(order):
    query = torch.ones(*order.shape, order.shape[1]).bool()
    for b in range(len(order)):
        z = order[b].argsort().tolist()
        for t, place in enumerate(z):
            for earlier in z[:t]:
                query[b, place, earlier] = False
    return query, query & ~torch.eye(order.shape[1], dtype=torch.bool)


@wrong("permutation-mask", "list of places|places")
def masks_z_notation(order):
    B, S = order.shape
    query = torch.ones(B, S, S, dtype=torch.long)
    for b in range(B):
        for t in range(S):
            for u in range(t):
                query[b, order[b, t], order[b, u]] = 0
    content = query.clone()
    content[:, torch.arange(S), torch.arange(S)] = 0
    return query, content


@wrong("permutation-mask", "1 where a token may be seen")
def masks_visible(order):
    mine, other = order[:, :, None], order[:, None, :]
    return (other < mine).int(), (other <= mine).int()


@wrong("permutation-mask", "after it in the order|rows and columns|row i")
def masks_wrong_axes(order):
    mine, other = order[:, None, :], order[:, :, None]
    return (other >= mine).long(), (other > mine).long()


@wrong("permutation-mask", "left in the text")
def masks_tril(order):
    B, S = order.shape
    q = torch.ones(S, S).triu().expand(B, S, S)
    c = torch.ones(S, S).triu(1).expand(B, S, S)
    return q, c


@wrong("permutation-mask", "sees itself in the query")
def masks_equal(order):
    m = (order[:, None] > order[:, :, None]).long()
    return m, m


@wrong("permutation-mask", "not see itself in the content")
def masks_both_strict(order):
    m = order[:, :, None] <= order[:, None, :]
    return m, m.clone()


@wrong("permutation-mask", "exchanged")
def masks_content_first(order):
    r, c = order[:, :, None], order[:, None, :]
    return (c > r).long(), (c >= r).long()


@wrong("permutation-mask", "0 and -inf|to be added")
def masks_additive(order):
    r, c = order[:, :, None], order[:, None, :]
    q = torch.zeros(r.shape[0], r.shape[1], r.shape[1]).masked_fill(c >= r, float("-inf"))
    return q, torch.zeros_like(q).masked_fill(c > r, float("-inf"))


@wrong("permutation-mask", "first text")
def masks_of_one_text(order):
    o = order[0]
    q = (o[None, :] >= o[:, None]).long()
    c = (o[None, :] > o[:, None]).long()
    return q.expand(len(order), -1, -1), c.expand(len(order), -1, -1)


@wrong("permutation-mask", "before it in the order|turn")
def masks_neighbour(order):
    r, c = order[:, :, None], order[:, None, :]
    q = (c != r - 1).long()
    return q, q * (1 - torch.eye(order.shape[1], dtype=torch.long))


@wrong("permutation-mask", "query stream's mask alone|first of the results")
def masks_one(order):
    return (order[:, None, :] >= order[:, :, None]).to(torch.int8)


@wrong("permutation-mask", "heads|axis")
def masks_four_axes(order):
    r, c = order[:, None, :, None], order[:, None, None, :]
    return (c >= r).long(), (c > r).long()


# ------------------------------------------------------------------------------------------------ two-streams


def attend(q, k, v, hidden):
    s = (q @ k.transpose(1, 2) / math.sqrt(q.size(-1))).masked_fill(hidden, -1e30)
    return s.softmax(-1).masked_fill(hidden, 0) @ v


def opened(perm_mask):
    return perm_mask.bool() & ~torch.eye(perm_mask.shape[1]).bool()


@right("two-streams")
def streams_cat(h, g, perm_mask, w_q, w_k, w_v):
    S = h.shape[1]
    content = perm_mask.clone()
    content[:, range(S), range(S)] = 0
    hidden = torch.cat([content, perm_mask], 1) > 0
    out = attend(torch.cat([h, g], 1) @ w_q, h @ w_k, h @ w_v, hidden)
    return out[:, :S], out[:, S:]


@right("two-streams")
def streams_by_exp(h, g, perm_mask, w_q, w_k, w_v):
    def stream(x, mask):
        s = torch.einsum("bid,bjd->bij", x @ w_q, h @ w_k) * w_q.shape[-1] ** -0.5
        s = s.masked_fill(mask, -1e9)
        e = torch.exp(s - s.amax(-1, keepdim=True)) * (~mask)
        return torch.einsum("bij,bjd->bid", e / (e.sum(-1, keepdim=True) + 1e-300), h @ w_v)

    h64, dtype = h.double(), h.dtype
    h, g, w_q, w_k, w_v = h64, g.double(), w_q.double(), w_k.double(), w_v.double()
    return stream(h, opened(perm_mask)).to(dtype), stream(g, perm_mask.bool()).to(dtype)


@right("two-streams")
def streams_bmm(h, g, perm_mask, w_q, w_k, w_v):
    k, v = h.matmul(w_k).transpose(1, 2), h.matmul(w_v)
    found = []
    for x, mask in zip([h, g], [opened(perm_mask), perm_mask.bool()], strict=True):
        scores = torch.bmm(x.matmul(w_q), k).div(math.sqrt(w_k.size(1)))
        prob = F.softmax(torch.where(mask, torch.full_like(scores, -1e20), scores), dim=2)
        prob = prob * (1 - mask.to(prob.dtype))
        found.append(torch.bmm(prob, v))
    return tuple(found)


@right("two-streams")
def streams_small_dtype(h, g, perm_mask, w_q, w_k, w_v):
    may = 1 - perm_mask.to(h.dtype)
    eye = torch.eye(h.shape[1], dtype=h.dtype)
    may_h = (may + eye).clamp(max=1)
    keys = h @ w_k

    def mix(x, m):
        a = ((x @ w_q) @ keys.mT / w_q.shape[1] ** 0.5).exp() * m
        z = a.sum(-1, keepdim=True)
        return (a / torch.where(z == 0, torch.ones_like(z), z)) @ h @ w_v

    return mix(h, may_h), mix(g, may)


@wrong("two-streams", "come from g")
def streams_separate(h, g, perm_mask, w_q, w_k, w_v):
    def self_attention(x, mask):
        return attend(x @ w_q, x @ w_k, x @ w_v, mask)

    return self_attention(h, opened(perm_mask)), self_attention(g, perm_mask.bool())


@wrong("two-streams", "not see itself in the content")
def streams_one_mask(h, g, perm_mask, w_q, w_k, w_v):
    k, v, m = h @ w_k, h @ w_v, perm_mask.bool()
    return attend(h @ w_q, k, v, m), attend(g @ w_q, k, v, m)


@wrong("two-streams", "the new h")
def streams_overwritten(h, g, perm_mask, w_q, w_k, w_v):
    h = attend(h @ w_q, h @ w_k, h @ w_v, opened(perm_mask))
    g = attend(g @ w_q, h @ w_k, h @ w_v, perm_mask.bool())
    return h, g


@wrong("two-streams", "wrong way round")
def streams_polarity(h, g, perm_mask, w_q, w_k, w_v):
    q_hidden = ~perm_mask.bool()
    c_hidden = q_hidden & ~torch.eye(h.size(1), dtype=torch.bool)
    return attend(h @ w_q, h @ w_k, h @ w_v, c_hidden), attend(g @ w_q, h @ w_k, h @ w_v, q_hidden)


@wrong("two-streams", "NaN")
def streams_nan(h, g, perm_mask, w_q, w_k, w_v):
    k, v = h @ w_k, h @ w_v

    def go(x, m):
        s = x @ w_q @ k.transpose(-1, -2) / math.sqrt(k.size(-1))
        return F.softmax(s.masked_fill(m, float("-inf")), -1) @ v

    return go(h, opened(perm_mask)), go(g, perm_mask.bool())


@wrong("two-streams", "mean of all values|sees everything")
def streams_uniform(h, g, perm_mask, w_q, w_k, w_v):
    k, v = h @ w_k, h @ w_v

    def go(x, m):
        s = x @ w_q @ k.transpose(-1, -2) / math.sqrt(k.size(-1))
        return F.softmax(s.masked_fill(m, -1e9), -1) @ v

    return go(h, opened(perm_mask)), go(g, perm_mask.bool())


@wrong("two-streams", "sees everything|lower")
def streams_released(h, g, perm_mask, w_q, w_k, w_v):
    k, v = h @ w_k, h @ w_v

    def go(x, m):
        s = torch.einsum("bik,bjk->bij", x @ w_q, k) / k.shape[-1] ** 0.5
        s = s - 1e4 * m.to(s.dtype)
        return s.softmax(-1) @ v

    return go(h, opened(perm_mask)), go(g, perm_mask.bool())


@wrong("two-streams", "does not use perm_mask")
def streams_free_content(h, g, perm_mask, w_q, w_k, w_v):
    k, v = h @ w_k, h @ w_v
    new_h = F.softmax((h @ w_q) @ k.mT / math.sqrt(w_q.shape[1]), -1) @ v
    return new_h, attend(g @ w_q, k, v, perm_mask.bool())


@wrong("two-streams", "sees itself in the query|asks with h")
def streams_only_h(h, g, perm_mask, w_q, w_k, w_v):
    out = attend(h @ w_q, h @ w_k, h @ w_v, opened(perm_mask))
    out_g = attend(h @ w_q, h @ w_k, h @ w_v, perm_mask.bool())
    return out, out_g


@wrong("two-streams", "√K|divided")
def streams_sqrt_d(h, g, perm_mask, w_q, w_k, w_v):
    scale = h.shape[-1] ** 0.5
    k, v = h @ w_k, h @ w_v
    found = []
    for x, m in ((h, opened(perm_mask)), (g, perm_mask.bool())):
        w = (x @ w_q @ k.mT / scale).masked_fill(m, -1e30).softmax(-1)
        found.append(w.masked_fill(m, 0) @ v)
    return found


@wrong("two-streams", "keys come from g")
def streams_keys_g(h, g, perm_mask, w_q, w_k, w_v):
    new_h = attend(h @ w_q, h @ w_k, h @ w_v, opened(perm_mask))
    new_g = attend(g @ w_q, g @ w_k, h @ w_v, perm_mask.bool())
    return new_h, new_g


@wrong("two-streams", "added back")
def streams_residual(h, g, perm_mask, w_q, w_k, w_v):
    k, v = h @ w_k, h @ w_v
    return h + attend(h @ w_q, k, v, opened(perm_mask)), g + attend(g @ w_q, k, v, perm_mask.bool())


@wrong("two-streams", "rows and columns")
def streams_transposed(h, g, perm_mask, w_q, w_k, w_v):
    m = perm_mask.bool().transpose(1, 2)
    k, v = h @ w_k, h @ w_v
    return attend(h @ w_q, k, v, m & ~torch.eye(h.shape[1]).bool()), attend(g @ w_q, k, v, m)


@wrong("two-streams", "NaN")
def streams_inf_times_0(h, g, perm_mask, w_q, w_k, w_v):
    def stream(x, mask):
        s = (x @ w_q) @ (h @ w_k).mT / math.sqrt(w_q.shape[-1])
        m = s.masked_fill(mask, -1e9).amax(-1, keepdim=True)
        e = torch.exp(s - m) * (~mask)
        return e / (e.sum(-1, keepdim=True) + 1e-30) @ (h @ w_v)

    return stream(h, opened(perm_mask)), stream(g, perm_mask.bool())
