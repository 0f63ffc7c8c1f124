"""Answers to the exercises as learners write them, for test_trial_answers.py: right ones, and wrong ones with what is
wrong with them. They are not made from the catalogue's knobs; most kinds were seen in published code.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F


class Trial(NamedTuple):
    """An answer to an exercise. named: a pattern that what is said about a wrong answer contains, any case."""

    exercise: str
    function: Callable
    named: str = ""


RIGHT: list[Trial] = []
WRONG: list[Trial] = []


def right(exercise):
    def note(function):
        RIGHT.append(Trial(exercise, function))
        return function

    return note


def wrong(exercise, named):
    def note(function):
        WRONG.append(Trial(exercise, function, named))
        return function

    return note


# ------------------------------------------------------------------------------------------------- attention


def plain(q, k, v, mask=None, scale=None):
    scores = q @ k.transpose(-2, -1) / (scale or math.sqrt(q.size(-1)))
    if mask is None:
        return scores.softmax(-1) @ v
    return scores.masked_fill(~mask, -1e30).softmax(-1).masked_fill(~mask, 0.0) @ v


@right("attention")
def attention_by_baddbmm(q, k, v, mask=None):
    B, H, S, K = q.shape
    T = k.shape[2]
    scores = torch.bmm(q.reshape(B * H, S, K), k.reshape(B * H, T, K).transpose(1, 2)).view(B, H, S, T) / K**0.5
    if mask is not None:
        scores = scores + torch.zeros_like(scores).masked_fill(~mask, float("-inf"))
    weights = torch.nan_to_num(torch.softmax(scores, dim=-1))
    return torch.matmul(weights, v), weights


@right("attention")
def attention_by_numpy_scale(q, k, v, mask=None):
    weights = torch.exp(q @ k.mT * float(1 / np.sqrt(q.shape[-1])))
    weights = weights if mask is None else weights * mask
    return weights @ v / weights.sum(-1, keepdim=True).clamp_min(1e-20)


@wrong("attention", "scaled|divided by √K|after the softmax")
def attention_scaled_after(q, k, v, mask=None):
    return plain(q, k, v, mask, 1.0) / math.sqrt(q.size(-1))


@wrong("attention", "model width")
def attention_by_width(q, k, v, mask=None):
    return plain(q, k, v, mask, math.sqrt(q.size(1) * q.size(-1)))


@wrong("attention", "module|nn.Softmax")
def attention_softmax_module(q, k, v, mask=None):
    weights = nn.Softmax(q @ k.mT / math.sqrt(q.size(-1)))
    return weights @ v


@wrong("attention", "in place")
def attention_in_place(q, k, v, mask=None):
    weights = (q @ k.mT / math.sqrt(q.size(-1))).softmax(-1)
    if mask is not None:
        weights[~mask.expand_as(weights)] = 0.0
        weights /= weights.sum(-1, keepdim=True).clamp_min(1e-20)
    return weights @ v


@wrong("attention", "no_grad|graph")
def attention_no_grad(q, k, v, mask=None):
    with torch.no_grad():
        return plain(q, k, v, mask)


@wrong("attention", "future")
def attention_causal(q, k, v, mask=None):
    past = torch.ones(q.size(-2), k.size(-2), dtype=torch.bool).tril()
    return plain(q, k, v, past if mask is None else mask & past)


@wrong("attention", "first query")
def attention_first_query(q, k, v, mask=None):
    return plain(q, k, v, None if mask is None else mask[:, :1, :1])


@wrong("attention", "random|dropout")
def attention_dropout(q, k, v, mask=None):
    return F.dropout(plain(q, k, v, mask), 0.1)


@wrong("attention", "sizes|S ≠|S = T|shape|T")
def attention_sizes_from_k(q, k, v, mask=None):
    B, H, T, K = k.shape
    scores = (q @ k.mT).view(B, H, T, T) / math.sqrt(K)
    scores = scores if mask is None else scores.masked_fill(~mask, -1e30)
    weights = scores.softmax(-1)
    return (weights if mask is None else weights.masked_fill(~mask, 0)) @ v


@wrong("attention", "k.*not transposed|transposed")
def attention_permuted(q, k, v, mask=None):
    scores = q @ k.reshape(*k.shape[:2], k.shape[3], k.shape[2]) / math.sqrt(q.size(-1))
    scores = scores if mask is None else scores.masked_fill(~mask, -1e30)
    return (scores.softmax(-1) if mask is None else scores.softmax(-1).masked_fill(~mask, 0)) @ v


@wrong("attention", "`v`|nothing|values")
def attention_v(q, k, v, mask=None):
    return v


@wrong("attention", "multiplied|√K")
def attention_multiplied(q, k, v, mask=None):
    return plain(q, k, v, mask, 1 / math.sqrt(q.size(-1)))


@wrong("attention", "NaN")
def attention_nan(q, k, v, mask=None):
    scores = q @ k.mT / math.sqrt(q.size(-1))
    return (scores if mask is None else scores.masked_fill(~mask, -math.inf)).softmax(-1) @ v


@wrong("attention", "means all values|mean of all values|all padding|attend to nothing")
def attention_even(q, k, v, mask=None):
    scores = q @ k.mT / math.sqrt(q.size(-1))
    return (scores if mask is None else scores.masked_fill(~mask, -1e9)).softmax(-1) @ v


@wrong("attention", "wrong way round|inverted")
def attention_inverted(q, k, v, mask=None):
    return plain(q, k, v, None if mask is None else ~mask)


# --------------------------------------------------------------------------------- heads, masks, projections


@right("split-heads")
def split_by_loop(x, num_heads):
    K = x.shape[-1] // num_heads
    return torch.stack([x[:, :, h * K : (h + 1) * K] for h in range(num_heads)], 1)


@wrong("split-heads", "squeeze|size 1")
def split_squeezed(x, num_heads):
    return x.unflatten(-1, (num_heads, -1)).transpose(1, 2).squeeze()


@wrong("split-heads", "view|transpose")
def split_view(x, num_heads):
    return x.view(x.size(0), num_heads, x.size(1), -1)


@wrong("merge-heads", "squeeze|size 1")
def merge_squeezed(x):
    return x.transpose(1, 2).flatten(2).squeeze()


@wrong("merge-heads", r"interleaved|\(K, H\)")
def merge_k_first(x):
    return x.permute(0, 2, 3, 1).reshape(x.size(0), x.size(2), -1)


@wrong("merge-heads", "contiguous|view")
def merge_view(x):
    return x.transpose(1, 2).view(x.size(0), x.size(2), -1)


@right("padding-mask")
def padding_by_log(scores, attention_mask):
    mask = attention_mask[:, None, None].to(scores.dtype)
    weights = (scores + mask.log()).softmax(-1)
    return torch.nan_to_num(weights)


@wrong("padding-mask", "number|where they are|lengths")
def padding_by_length(scores, attention_mask):
    lengths = attention_mask.sum(1)
    real = (torch.arange(scores.size(-1)) < lengths[:, None])[:, None, None]
    return scores.masked_fill(~real, -1e9).softmax(-1).masked_fill(~real, 0)


@wrong("padding-mask", "first text")
def padding_of_first(scores, attention_mask):
    real = attention_mask[:1].bool()[:, None, None]
    return scores.masked_fill(~real, -1e9).softmax(-1).masked_fill(~real, 0)


@wrong("padding-mask", "nothing is masked|not used|after the softmax|sum to 1")
def padding_after(scores, attention_mask):
    return scores.softmax(-1) * attention_mask[:, None, None]


@wrong("padding-mask", "log")
def padding_log(scores, attention_mask):
    real = attention_mask.bool()[:, None, None]
    return scores.masked_fill(~real, -1e9).log_softmax(-1)


@right("causal-mask")
def causal_by_numpy(length):
    return torch.from_numpy(np.tril(np.ones((length, length), dtype=bool)))


@wrong("causal-mask", "1 and 0|booleans|0.0 and 1.0|floating")
def causal_floats(length):
    return torch.tril(torch.ones(length, length))


@wrong("causal-mask", "other way|inverted|may not attend")
def causal_inverted(length):
    return torch.triu(torch.ones(length, length), 1).bool()


def mha(x, weights, num_heads, mask=None, **how):
    def project(name):
        y = x @ weights[f"{name}.weight"].T
        return y if how.get("no_bias") else y + weights[f"{name}.bias"]

    B, S, D = x.shape
    q, k, v = (project(n).view(B, S, num_heads, -1).transpose(1, 2) for n in ("query", "key", "value"))
    scores = q @ k.mT / how.get("scale", math.sqrt(D // num_heads))
    if mask is not None:
        scores = scores.masked_fill(~mask, -1e30)
    mixed = scores.softmax(-1) @ v
    if how.get("k_first"):
        mixed = mixed.permute(0, 2, 3, 1).reshape(B, S, D)
    else:
        mixed = mixed.transpose(1, 2).reshape(B, S, D)
    return mixed @ weights["output.weight"].T + weights["output.bias"]


@right("multi-head-attention")
def mha_by_torch(x, weights, num_heads, mask=None):
    D = x.shape[-1]
    parts = ("query", "key", "value")
    hidden = None
    if mask is not None:
        hidden = ~mask.expand(len(x), num_heads, x.shape[1], x.shape[1]).reshape(-1, x.shape[1], x.shape[1])
    out, _ = F.multi_head_attention_forward(
        x.transpose(0, 1), x.transpose(0, 1), x.transpose(0, 1), D, num_heads,
        torch.cat([weights[f"{n}.weight"] for n in parts]), torch.cat([weights[f"{n}.bias"] for n in parts]),
        None, None, False, 0.0, weights["output.weight"], weights["output.bias"], attn_mask=hidden,
    )  # fmt: skip
    return out.transpose(0, 1)


@wrong("multi-head-attention", "batch")
def mha_batch_second(x, weights, num_heads, mask=None):
    return mha(x.transpose(0, 1), weights, num_heads).transpose(0, 1)


@wrong("multi-head-attention", "no bias|bias")
def mha_no_bias(x, weights, num_heads, mask=None):
    return mha(x, weights, num_heads, mask, no_bias=True)


@wrong("multi-head-attention", r"K, H|interleaved")
def mha_k_first(x, weights, num_heads, mask=None):
    return mha(x, weights, num_heads, mask, k_first=True)


@wrong("multi-head-attention", "√D")
def mha_scaled_by_width(x, weights, num_heads, mask=None):
    return mha(x, weights, num_heads, mask, scale=math.sqrt(x.shape[-1]))


@wrong("multi-head-attention", "num_heads.*1|one head")
def mha_one_head(x, weights, num_heads, mask=None):
    return mha(x, weights, 1, mask)


@wrong("multi-head-attention", "first query|per query|row")
def mha_first_query(x, weights, num_heads, mask=None):
    return mha(x, weights, num_heads, None if mask is None else mask[:, :1, :1])


@wrong("multi-head-attention", "nn.Parameter")
def mha_parameter(x, weights, num_heads, mask=None):
    return mha(x, {name: nn.Parameter(w) for name, w in weights.items()}, num_heads, mask)


@wrong("multi-head-attention", "exchanged|swapped")
def mha_exchanged(x, weights, num_heads, mask=None):
    other = dict(weights)
    other["value.weight"], other["output.weight"] = other["output.weight"], other["value.weight"]
    return mha(x, other, num_heads, mask)


@wrong("multi-head-attention", r"query\.weight.*transposed|transposed")
def mha_one_transposed(x, weights, num_heads, mask=None):
    return mha(x, {**weights, "key.weight": weights["key.weight"].T}, num_heads, mask)


@wrong("multi-head-attention", "dict|key|q.weight")
def mha_wrong_key(x, weights, num_heads, mask=None):
    return F.linear(x, weights["q.weight"], weights["query.bias"])


@wrong("multi-head-attention", "contiguous|view")
def mha_view(x, weights, num_heads, mask=None):
    q = x.view(*x.shape[:2], num_heads, -1).transpose(1, 2)
    return q.transpose(1, 2).transpose(0, 1).view(x.shape)


# ------------------------------------------------------------------------------------------- norm, gelu, feed


@right("layer-norm")
def norm_by_module(x, weight, bias, eps=1e-12):
    return torch.func.functional_call(nn.LayerNorm(x.shape[-1], eps), {"weight": weight, "bias": bias}, (x,))


@wrong("layer-norm", "D - 1")
def norm_std(x, weight, bias, eps=1e-12):
    return weight * (x - x.mean(-1, keepdim=True)) / (x.std(-1, keepdim=True) + eps) + bias


@wrong("layer-norm", "bias.*left out|not used")
def norm_no_bias(x, weight, bias, eps=1e-12):
    return F.layer_norm(x, x.shape[-1:], weight, None, eps)


@wrong("layer-norm", "1e-0?5")
def norm_default_eps(x, weight, bias, eps=1e-12):
    return F.layer_norm(x, x.shape[-1:], weight, bias)


@wrong("layer-norm", "1e-0?6")
def norm_small_eps(x, weight, bias, eps=1e-12):
    return F.layer_norm(x, x.shape[-1:], weight, bias, 1e-6)


@wrong("layer-norm", "axis|sizes|keepdim|fit")
def norm_keepdim(x, weight, bias, eps=1e-12):
    return (x - x.mean(-1)) / (x.var(-1, unbiased=False) + eps).sqrt() * weight + bias


@wrong("layer-norm", "item|graph")
def norm_item(x, weight, bias, eps=1e-12):
    rows = x.reshape(-1, x.shape[-1])
    out = [(row - row.mean().item()) / math.sqrt(row.var(correction=0).item() + eps) * weight + bias for row in rows]
    return torch.stack(out).reshape(x.shape)


@wrong("layer-norm", "in place")
def norm_in_place(x, weight, bias, eps=1e-12):
    with torch.no_grad():
        x -= x.mean(-1, keepdim=True)
    return x / (x.pow(2).mean(-1, keepdim=True) + eps).sqrt() * weight + bias


@right("gelu")
def gelu_by_erfc(x):
    return x - x * 0.5 * torch.special.erfc(x * 2**-0.5)


@wrong("gelu", "2 times|½ is missing|half")
def gelu_twice(x):
    return 2 * F.gelu(x)


@wrong("gelu", "tanh")
def gelu_new(x):
    return 0.5 * x * (1 + torch.tanh((2 / math.pi) ** 0.5 * (x + 0.044715 * x.pow(3))))


@wrong("gelu", "graph|item")
def gelu_floats(x):
    flat = [float(one) * 0.5 * (1 + math.erf(float(one) / math.sqrt(2))) for one in x.flatten()]
    return torch.tensor(flat, dtype=x.dtype).reshape(x.shape)


@wrong("gelu", "import|not defined")
def gelu_name(x):
    return x * nonsense.cdf(x)  # noqa: F821


@right("feed-forward")
def feed_by_addmm(x, weights):
    flat = x.flatten(0, -2)
    inner = F.gelu(torch.addmm(weights["expand.bias"], flat, weights["expand.weight"].T))
    return torch.addmm(weights["contract.bias"], inner, weights["contract.weight"].T).view(x.shape)


@wrong("feed-forward", "ReLU")
def feed_relu(x, weights):
    inner = F.relu(F.linear(x, weights["expand.weight"], weights["expand.bias"]))
    return F.linear(inner, weights["contract.weight"], weights["contract.bias"])


@wrong("feed-forward", "transposed|matrix product")
def feed_not_transposed(x, weights):
    inner = F.gelu(x @ weights["expand.weight"] + weights["expand.bias"])
    return inner @ weights["contract.weight"] + weights["contract.bias"]


@wrong("feed-forward", "ReLU")
def feed_relu_residual(x, weights):
    inner = F.relu(F.linear(x, weights["expand.weight"], weights["expand.bias"]))
    return x + F.linear(inner, weights["contract.weight"], weights["contract.bias"])


@wrong("feed-forward", "dropout|random")
def feed_dropout(x, weights):
    inner = nn.Dropout(0.1)(F.gelu(F.linear(x, weights["expand.weight"], weights["expand.bias"])))
    return F.linear(inner, weights["contract.weight"], weights["contract.bias"])


# ---------------------------------------------------------------------------------------------------- the block


def block(x, weights, num_heads, mask=None, *, act=F.gelu, norm=None, pre=False, names=("attention_norm", "norm")):
    own = {n.removeprefix("attention."): w for n, w in weights.items() if n.startswith("attention.")}

    def normed(x, name):
        if norm is not None:
            return norm(x, weights[f"{name}.weight"], weights[f"{name}.bias"])
        return F.layer_norm(x, x.shape[-1:], weights[f"{name}.weight"], weights[f"{name}.bias"], 1e-12)

    def feed(x):
        inner = act(F.linear(x, weights["feed_forward.expand.weight"], weights["feed_forward.expand.bias"]))
        return F.linear(inner, weights["feed_forward.contract.weight"], weights["feed_forward.contract.bias"])

    if pre:
        x = x + mha(normed(x, names[0]), own, num_heads, mask)
        return x + feed(normed(x, names[1]))
    x = normed(x + mha(x, own, num_heads, mask), names[0])
    return normed(x + feed(x), names[1])


def hand_norm(x, weight, bias, eps=1e-6):
    return weight * (x - x.mean(-1, keepdim=True)) / (x.std(-1, keepdim=True) + eps) + bias


@wrong("encoder-block", "std|D - 1")
def block_hand_norm(x, weights, num_heads, mask=None):
    return block(x, weights, num_heads, mask, norm=hand_norm)


@wrong("encoder-block", "ReLU")
def block_relu_and_hand_norm(x, weights, num_heads, mask=None):
    return block(x, weights, num_heads, mask, norm=hand_norm, act=F.relu)


@wrong("encoder-block", "pre-norm|before attention")
def block_pre_relu_std(x, weights, num_heads, mask=None):
    return block(x, weights, num_heads, mask, norm=hand_norm, act=F.relu, pre=True)


@wrong("encoder-block", "mask")
def block_four(x, weights, num_heads, mask=None):
    return block(x, weights, num_heads, None, norm=hand_norm, act=F.relu, names=("norm", "norm"))


@wrong("encoder-block", "1e-5")
def block_default_eps(x, weights, num_heads, mask=None):
    return block(x, weights, num_heads, mask, norm=lambda x, w, b: F.layer_norm(x, x.shape[-1:], w, b))


@wrong("encoder-block", "batch")
def block_batch_second(x, weights, num_heads, mask=None):
    return block(x.transpose(0, 1), weights, num_heads).transpose(0, 1)


@wrong("encoder-block", "random|dropout")
def block_dropout(x, weights, num_heads, mask=None):
    return block(F.dropout(x, 0.2), weights, num_heads, mask)


@wrong("encoder-block", "swapped|exchanged")
def block_norms_swapped(x, weights, num_heads, mask=None):
    return block(x, weights, num_heads, mask, names=("norm", "attention_norm"))
