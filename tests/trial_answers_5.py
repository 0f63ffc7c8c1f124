"""Right answers, written in ways that differ from the catalogue's: see trial_answers.py."""

from __future__ import annotations

import math
import random
from collections import deque
from fractions import Fraction
from itertools import pairwise

import numpy as np
import torch
from torch import nn
from torch.func import functional_call
from torch.nn import functional as F
from trial_answers import right


@right("attention")
def attention_by_double_loop(q, k, v, mask=None):
    out = torch.zeros(*q.shape[:3], v.shape[-1], dtype=q.dtype)
    full = None if mask is None else mask.expand(*q.shape[:3], k.shape[2])
    for b in range(q.shape[0]):
        for h in range(q.shape[1]):
            scores = q[b, h] @ k[b, h].T * q.shape[-1] ** -0.5
            weights = scores.exp() if full is None else scores.exp() * full[b, h]
            out[b, h] = weights @ v[b, h] / weights.sum(-1, keepdim=True).clamp(min=1e-9)
    return out


@right("attention")
def attention_with_large_negative(q, k, v, mask=None):
    s = torch.einsum("bhqd,bhkd->bhqk", q, k).div(math.sqrt(k.size(3)))
    if mask is None:
        return F.softmax(s, -1).matmul(v)
    s = torch.where(mask, s, torch.tensor(-1e20, dtype=s.dtype))
    return (F.softmax(s, -1) * mask.to(s.dtype)).matmul(v)


@right("padding-mask")
def padding_by_renormalising(scores, attention_mask):
    weights = scores.softmax(-1) * attention_mask[:, None, None, :]
    return weights / weights.sum(-1, keepdim=True).clamp(min=1e-30)


@right("padding-mask")
def padding_by_nan_to_num(scores, attention_mask):
    hidden = attention_mask.eq(0).unsqueeze(1).unsqueeze(2)
    return scores.masked_fill(hidden, float("-inf")).softmax(dim=-1).nan_to_num(0.0)


@right("causal-mask")
def causal_by_loop(length):
    mask = torch.zeros(length, length, dtype=torch.bool)
    for s in range(length):
        mask[s, : s + 1] = True
    return mask


@right("split-heads")
def split_by_permute(x, num_heads):
    B, S, D = x.size()
    return x.reshape(B, S, num_heads, int(D / num_heads)).permute(0, 2, 1, 3).contiguous()


@right("merge-heads")
def merge_by_cat(x):
    return torch.cat([x[:, h] for h in range(x.size(1))], 2)


class Heads(nn.Module):
    def forward(self, x, weights, num_heads, mask=None):
        q, k, v = (F.linear(x, weights[n + ".weight"], weights[n + ".bias"]) for n in ("query", "key", "value"))
        out = []
        for a, b, c in zip(q.chunk(num_heads, -1), k.chunk(num_heads, -1), v.chunk(num_heads, -1), strict=True):
            s = a @ b.mT / math.sqrt(a.shape[-1])
            if mask is not None:
                full = mask.expand(len(x), num_heads, s.shape[1], s.shape[2])[:, len(out)]
                s = s.masked_fill(full.logical_not(), -1e9)
            out.append(s.softmax(-1) @ c)
        return F.linear(torch.cat(out, -1), weights["output.weight"], weights["output.bias"])


def mha_by_chunks(x, weights, num_heads, mask=None):
    return Heads()(x, weights, num_heads, mask)


right("multi-head-attention")(mha_by_chunks)


@right("layer-norm")
def norm_by_moments(x, weight, bias, eps=1e-12):
    mean = torch.sum(x, -1, keepdim=True) / x.shape[-1]
    centred = x - mean
    return torch.addcmul(bias, centred / (torch.mean(centred * centred, -1, keepdim=True) + eps) ** 0.5, weight)


@right("layer-norm")
def norm_native(x, weight, bias, eps=1e-12):
    return torch.native_layer_norm(x, [x.shape[-1]], weight, bias, eps)[0]


@right("gelu")
def gelu_by_module(x):
    return nn.GELU()(x)


@right("gelu")
def gelu_by_ndtr(x):
    return x * torch.special.ndtr(x)


@right("feed-forward")
def feed_by_sequential(x, weights):
    inner, width = weights["expand.weight"].shape
    layers = nn.Sequential(nn.Linear(width, inner), nn.GELU(), nn.Linear(inner, width)).to(x.dtype)
    names = {"0": "expand", "2": "contract"}
    return functional_call(
        layers,
        {f"{n}.{kind}": weights[f"{name}.{kind}"] for n, name in names.items() for kind in ("weight", "bias")},
        x,
    )


@right("encoder-block")
def block_by_text(x, weights, num_heads, mask=None):
    def lin(x, name):
        return x @ weights[name + ".weight"].T + weights[name + ".bias"]

    def norm(x, name):
        y = (x - x.mean(-1, keepdim=True)) * torch.rsqrt(x.var(-1, unbiased=False, keepdim=True) + 1e-12)
        return y * weights[name + ".weight"] + weights[name + ".bias"]

    B, S, D = x.shape
    q, k, v = (
        lin(x, "attention." + n).reshape(B, S, num_heads, D // num_heads).transpose(1, 2)
        for n in ("query", "key", "value")
    )
    s = q @ k.transpose(2, 3) / (D // num_heads) ** 0.5
    if mask is not None:
        s = s + (1.0 - mask.to(s.dtype)) * -1e9
    a = (s.softmax(-1) @ v).transpose(1, 2).reshape(B, S, D)
    x = norm(x + lin(a, "attention.output"), "attention_norm")
    return norm(x + lin(F.gelu(lin(x, "feed_forward.expand")), "feed_forward.contract"), "norm")


@right("embeddings")
def embeddings_by_index_select(input_ids, token_type_ids, weights, eps=1e-12):
    B, S = input_ids.shape
    words = weights["word.weight"].index_select(0, input_ids.reshape(-1)).reshape(B, S, -1)
    types = weights["token_type.weight"]
    kind = token_type_ids[..., None].to(words.dtype)
    x = words + weights["position.weight"][None, :S] + types[0] * (1 - kind) + types[1] * kind
    return nn.functional.layer_norm(x, (x.shape[2],), weights["norm.weight"], weights["norm.bias"], eps=eps)


@right("masked-lm-head")
def head_by_matmul(hidden, word_embeddings, weights, eps=1e-12):
    x = torch.matmul(hidden, weights["dense.weight"].transpose(0, 1)).add(weights["dense.bias"])
    x = nn.functional.gelu(x)
    x = F.layer_norm(x, [x.shape[-1]], weights["norm.weight"], weights["norm.bias"], eps)
    return torch.nn.functional.linear(x, word_embeddings) + weights["bias"].view(1, 1, -1)


@right("masked-lm-loss")
def mlm_by_nll(logits, labels):
    keep = labels.ne(-100)
    if keep.sum() == 0:
        return 0.0 * logits.sum()
    return F.nll_loss(logits.log_softmax(-1)[keep], labels[keep])


@right("masked-lm-loss")
def mlm_by_criterion(logits, labels):
    criterion = nn.CrossEntropyLoss(reduction="sum")
    return criterion(logits.reshape(-1, logits.size(-1)), labels.reshape(-1)) / max((labels != -100).sum().item(), 1)


@right("pretraining-loss")
def pretraining_by_nan(word_logits, word_labels, pair_logits, pair_labels):
    words = nn.CrossEntropyLoss()(word_logits.permute(0, 2, 1), word_labels)
    return torch.where(torch.isnan(words), torch.zeros_like(words), words) + F.cross_entropy(pair_logits, pair_labels)


@right("distillation-loss")
def soft_by_cross_entropy(student_logits, teacher_logits, temperature=2.0, mask=None):
    p = F.softmax(teacher_logits.detach() / temperature, -1)
    q = F.log_softmax(student_logits / temperature, -1)
    kl = (torch.xlogy(p, p) - p * q).sum(dim=-1)
    if mask is None:
        mask = torch.ones_like(kl)
    n = mask.sum().item()
    return (kl * mask).sum() * temperature**2 / n if n else torch.tensor(0.0)


@right("cosine-loss")
def cosine_by_loop(student_hidden, teacher_hidden, mask=None):
    total, count = 0.0, 0
    for b in range(student_hidden.shape[0]):
        for s in range(student_hidden.shape[1]):
            if mask is None or mask[b][s] == 1:
                a, t = student_hidden[b, s], teacher_hidden[b, s].detach()
                total = total + 1 - torch.dot(a, t) / (a.norm() * t.norm())
                count += 1
    return total / count if count else 0.0


@right("wordpiece")
def wordpiece_by_trie(word, vocabulary, unknown="[UNK]", longest=100):
    if len(word) > longest:
        return [unknown]
    roots = ({}, {})
    for piece in vocabulary:
        inside = piece.startswith("##")
        node = roots[inside]
        for letter in piece[2:] if inside else piece:
            node = node.setdefault(letter, {})
        node["end"] = piece
    found, at = [], 0
    while at < len(word):
        node, best, i = roots[at > 0], None, at
        while i < len(word) and word[i] in node:
            node = node[word[i]]
            i += 1
            best = (node["end"], i) if "end" in node else best
        if best is None:
            return [unknown]
        found.append(best[0])
        at = best[1]
    return found


@right("encode-pair")
def encode_by_deques(first, second, cls_id, sep_id, max_length):
    a, b = deque(first), deque(second)
    while len(a) + len(b) + 3 > max_length:
        (b if len(b) >= len(a) else a).pop()
    left, right_ = [cls_id, *a, sep_id], [*b, sep_id]
    return left + right_, len(left) * [0] + len(right_) * [1]


@right("mask-tokens")
def mask_by_multinomial(input_ids, may_be_chosen, mask_id, vocab_size, rate=0.15, generator=None):
    chosen = torch.zeros_like(may_be_chosen).float().uniform_(generator=generator).lt(rate).logical_and(may_be_chosen)
    fate = torch.multinomial(torch.tensor([0.8, 0.1, 0.1]), input_ids.numel(), True, generator=generator)
    fate = fate.view_as(input_ids)
    masked = input_ids.clone()
    masked[chosen & (fate == 0)] = mask_id
    swap = chosen & (fate == 1)
    masked[swap] = torch.randint(vocab_size, input_ids.shape, generator=generator)[swap]
    labels = torch.where(chosen, input_ids, torch.full_like(input_ids, -100))
    return masked, labels


@right("mask-tokens")
def mask_by_exact_fates(input_ids, may_be_chosen, mask_id, vocab_size, rate=0.15, generator=None):
    """In each text, 80% of the chosen tokens to the nearest whole number of ten, in a random order."""
    masked, labels = input_ids.clone(), torch.full_like(input_ids, -100)
    chosen = may_be_chosen & (torch.rand(input_ids.shape, generator=generator) < rate)
    places = chosen.nonzero()[torch.randperm(int(chosen.sum()), generator=generator)]
    for number, (b, s) in enumerate(places.tolist()):
        labels[b, s] = input_ids[b, s]
        if number % 10 < 8:
            masked[b, s] = mask_id
        elif number % 10 == 8:
            masked[b, s] = int(torch.randint(0, vocab_size, (), generator=generator))
    return masked, labels


@right("mask-tokens")
def mask_by_numpy(input_ids, may_be_chosen, mask_id, vocab_size, rate=0.15, generator=None):
    rng = np.random.default_rng(int(torch.randint(2**31, (1,), generator=generator)))
    ids, may = input_ids.numpy().copy(), may_be_chosen.numpy()
    chosen = may & (rng.random(ids.shape) < rate)
    labels = np.where(chosen, ids, -100)
    fate = rng.random(ids.shape)
    ids[chosen & (fate < 0.8)] = mask_id
    other = chosen & (fate > 0.9)
    ids[other] = rng.integers(0, vocab_size, other.sum())
    return torch.from_numpy(ids), torch.from_numpy(labels)


@right("sentence-pairs")
def pairs_by_flat_choice(documents, rng):
    found = []
    for d, document in enumerate(documents):
        others = [s for e, other in enumerate(documents) if e != d for s in other]
        for i in range(len(document) - 1):
            label = rng.choice([0, 1])
            found.append((document[i], rng.choice(others) if label else document[i + 1], label))
    return found


@right("sentence-pairs")
def pairs_by_sample(documents, rng):
    places = [(d, i) for d, doc in enumerate(documents) for i in range(len(doc) - 1)]
    labels = [n % 2 for n in range(len(places))]
    rng.shuffle(labels)
    found = []
    for (d, i), label in zip(places, labels, strict=True):
        second = documents[d][i + 1]
        if label == 1:
            e = d
            while e == d:
                e = rng.randint(0, len(documents) - 1)
            second = documents[e][math.floor(rng.random() * len(documents[e]))]
        found.append([documents[d][i], second, label])
    return found


@right("sentence-order")
def order_by_getrandbits(documents, rng):
    found = []
    for document in documents:
        for a, b in pairwise(document):
            found += [(b, a, 1) if rng.getrandbits(1) else (a, b, 0)]
    return found


@right("sentence-order")
def order_by_uniform(documents, rng):
    own = random.Random(rng.random())
    return [
        (d[i + 1], d[i], True) if own.uniform(0, 1) > 0.5 else (d[i], d[i + 1], False)
        for d in documents
        for i in range(len(d) - 1)
    ]


@right("student-from-teacher")
def student_by_replace(teacher, num_layers):
    student = {k: v.clone() for k, v in teacher.items() if k.startswith("embeddings.") and "token_type" not in k}
    for new, old in enumerate(range(0, num_layers, 2)):
        prefix = f"encoder.blocks.{old}."
        student |= {
            f"encoder.blocks.{new}.{k[len(prefix) :]}": v.clone() for k, v in teacher.items() if k.startswith(prefix)
        }
    return student


@right("shared-blocks")
def shared_sequential(make_block, num_layers):
    block = make_block()
    return nn.Sequential(*[block] * num_layers)


@right("count-parameters")
def count_by_set(model):
    return sum(p.numel() for p in set(model.parameters()))


@right("parameter-sizes")
def sizes_by_numpy(*sizes):
    V, hidden, L, inner, P, types, pooler, narrow, shared = [*sizes, *(512, 2, True, None, False)[len(sizes) - 4 :]]
    D, F_ = np.int64(hidden), np.int64(inner)
    E = D if narrow is None else np.int64(narrow)
    total = (V + P + types + 2) * E
    total += 0 if narrow is None else E * D + D
    total += (4 * D * D + 2 * D * F_ + F_ + 9 * D) * (1 if shared else L)
    return total + D * D + D if pooler else total


@right("times-as-fast")
def times_by_fractions(reference_seconds, challenger_seconds):
    ratios = sorted(Fraction(a) / Fraction(b) for a, b in zip(reference_seconds, challenger_seconds, strict=True))
    n = len(ratios)
    times = (ratios[(n - 1) // 2] + ratios[n // 2]) / 2
    return times, 1 - 1 / times


@right("times-as-fast")
def times_by_torch(reference_seconds, challenger_seconds):
    ratio = torch.tensor(reference_seconds, dtype=torch.float64) / torch.tensor(challenger_seconds, dtype=torch.float64)
    ordered = ratio.sort().values
    times = (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2
    return times.item(), (1 - 1 / times).item()


@right("factorised-embedding")
def factorised_by_matmul(input_ids, token_type_ids, weights, eps=1e-12):
    x = weights["word.weight"][input_ids] + weights["token_type.weight"][token_type_ids]
    x = x + weights["position.weight"][torch.arange(input_ids.size(1))].unsqueeze(0)
    x = x - x.mean(2, keepdim=True)
    x = x / torch.sqrt((x**2).mean(2, keepdim=True) + eps)
    return (
        torch.matmul(x * weights["norm.weight"] + weights["norm.bias"], weights["projection.weight"].t())
        + weights["projection.bias"]
    )


@right("triple-loss")
def triple_by_hand(s, t, labels, s_hidden, t_hidden, attention_mask, temperature=2.0, weights=(5.0, 2.0, 1.0)):
    real = attention_mask > 0
    T = temperature
    p = (t[real].detach() / T).softmax(-1)
    soft = -(p * ((s[real] / T).log_softmax(-1) - (t[real].detach() / T).log_softmax(-1)))
    soft = T * T * soft.sum(-1).mean()
    words = F.cross_entropy(s.transpose(1, 2), labels) if bool((labels >= 0).any()) else 0.0
    cos = 1 - F.cosine_similarity(s_hidden[real], t_hidden[real].detach())
    return torch.stack([soft * weights[0], torch.as_tensor(words) * weights[1], cos.mean() * weights[2]]).sum()
