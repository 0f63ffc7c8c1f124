"""Still more wrong answers: crashes, types, several mistakes at once. See trial_answers.py."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional as F
from trial_answers import block, hand_norm, mha, plain, wrong
from trial_answers_2 import cosine, embed, head, mlm_numpy_count, soft, three
from trial_answers_3 import encoded, pieces, sizes
from trial_answers_4 import another, masking, pairs


@wrong("attention", "queries")
def attention_dim_2(q, k, v, mask=None):
    s = q @ k.mT / math.sqrt(q.shape[-1])
    s = s if mask is None else s.masked_fill(~mask, -1e30)
    return s.softmax(2) @ v


@wrong("attention", "heads")
def attention_dim_1(q, k, v, mask=None):
    s = q @ k.mT / math.sqrt(q.shape[-1])
    s = s if mask is None else s.masked_fill(~mask, -1e30)
    w = s.softmax(1)
    return (w if mask is None else w.masked_fill(~mask, 0)) @ v


@wrong("attention", "None")
def attention_needs_mask(q, k, v, mask=None):
    return (q @ k.mT / math.sqrt(q.shape[-1])).masked_fill(~mask, -1e30).softmax(-1).masked_fill(~mask, 0) @ v


@wrong("attention", "use ~mask|booleans cannot be subtracted")
def attention_minus(q, k, v, mask=None):
    s = q @ k.mT / math.sqrt(q.shape[-1])
    return (s if mask is None else s + (1 - mask) * -1e9).softmax(-1) @ v


@wrong("attention", "axes")
def attention_t(q, k, v, mask=None):
    return (q @ k.t() / math.sqrt(q.shape[-1])).softmax(-1) @ v


@wrong("attention", "keep|True or False|ambiguous|&, |tensor with several")
def attention_if_mask(q, k, v, mask=None):
    s = q @ k.mT / math.sqrt(q.shape[-1])
    if mask:
        s = s.masked_fill(~mask, -1e9)
    return s.softmax(-1) @ v


@wrong("attention", "K, not by|divided by K")
def attention_by_k(q, k, v, mask=None):
    return plain(q, k, v, mask, q.shape[-1])


@wrong("attention", "divided by √K.*mask|two mistakes")
def attention_two(q, k, v, mask=None):
    return plain(q, k, v, None, 1.0)


@wrong("attention", "weights|probabilities|module|type|tuple|K'")
def attention_weights_only(q, k, v, mask=None):
    s = q @ k.mT / math.sqrt(q.shape[-1])
    return (s if mask is None else s.masked_fill(~mask, -1e9)).softmax(-1)


@wrong("attention", "requires_grad|detach|graph")
def attention_detached_k(q, k, v, mask=None):
    return plain(q, k.detach(), v, mask)


@wrong("attention", "in place")
def attention_divides_q(q, k, v, mask=None):
    q /= math.sqrt(q.shape[-1])
    return plain(q, k, v, mask, 1.0)


@wrong("attention", "arguments|signature")
def attention_signature(query, key):
    return query @ key.mT


@wrong("multi-head-attention", "softmax.*queries")
def mha_queries(x, weights, num_heads, mask=None):
    B, S, D = x.shape
    q, k, v = (
        F.linear(x, weights[f"{n}.weight"], weights[f"{n}.bias"]).view(B, S, num_heads, -1).transpose(1, 2)
        for n in ("query", "key", "value")
    )
    s = q @ k.mT / math.sqrt(D // num_heads)
    s = s if mask is None else s.masked_fill(~mask, -1e30)
    w = nn.Softmax(dim=2)(s)
    w = w if mask is None else w.masked_fill(~mask, 0)
    return F.linear((w @ v).transpose(1, 2).reshape(B, S, D), weights["output.weight"], weights["output.bias"])


@wrong("multi-head-attention", "output layer|output")
def mha_no_output(x, weights, num_heads, mask=None):
    eye = {
        "output.weight": torch.eye(x.shape[-1], dtype=x.dtype),
        "output.bias": torch.zeros(x.shape[-1], dtype=x.dtype),
    }
    return mha(x, {**weights, **eye}, num_heads, mask)


@wrong("multi-head-attention", "√K|divided")
def mha_unscaled_mask(x, weights, num_heads, mask=None):
    return mha(x, weights, num_heads, None if mask is None else ~mask, scale=1.0)


@wrong("multi-head-attention", "swapped|exchanged")
def mha_qk(x, weights, num_heads, mask=None):
    names = {"query": "key", "key": "query"}
    return mha(x, {f"{names.get(n.split('.')[0], n.split('.')[0])}.{n.split('.')[1]}": w for n, w in weights.items()},
               num_heads, mask)  # fmt: skip


@wrong("multi-head-attention", "float32|types of numbers")
def mha_float(x, weights, num_heads, mask=None):
    q = torch.zeros(x.shape) @ weights["query.weight"].T
    return q


@wrong("multi-head-attention", "first text|of the first")
def mha_first_text_mask(x, weights, num_heads, mask=None):
    return mha(x, weights, num_heads, None if mask is None else mask[:1])


@wrong("layer-norm", "text|everything|tokens and features|all numbers")
def norm_over_text(x, weight, bias, eps=1e-12):
    dims = tuple(range(1, x.dim())) if x.dim() > 1 else (0,)
    return (x - x.mean(dims, keepdim=True)) / (x.var(dims, correction=0, keepdim=True) + eps).sqrt() * weight + bias


@wrong("layer-norm", "mean is not subtracted")
def norm_rms(x, weight, bias, eps=1e-12):
    return x / (x.pow(2).mean(-1, keepdim=True) + eps).sqrt() * weight + bias


@wrong("layer-norm", "variance instead|square root")
def norm_variance(x, weight, bias, eps=1e-12):
    return (x - x.mean(-1, keepdim=True)) / (x.var(-1, correction=0, keepdim=True) + eps) * weight + bias


@wrong("gelu", "sigmoid")
def gelu_swish(x):
    return x * torch.sigmoid(1.702 * x)


@wrong("gelu", "divided by √2|√2")
def gelu_no_root(x):
    return x * 0.5 * (1.0 + torch.erf(x))


@wrong("gelu", "in place")
def gelu_in_place(x):
    y = F.gelu(x)
    with torch.no_grad():
        x.copy_(y)
    return y


@wrong("feed-forward", "bias")
def feed_no_bias(x, weights):
    return F.gelu(x @ weights["expand.weight"].T) @ weights["contract.weight"].T


@wrong("feed-forward", "after|between")
def feed_after(x, weights):
    return F.gelu(
        F.linear(
            F.linear(x, weights["expand.weight"], weights["expand.bias"]),
            weights["contract.weight"],
            weights["contract.bias"],
        )
    )


@wrong("feed-forward", "norm|normalised")
def feed_norm(x, weights):
    inner = F.gelu(F.linear(x, weights["expand.weight"], weights["expand.bias"]))
    y = F.linear(inner, weights["contract.weight"], weights["contract.bias"])
    return F.layer_norm(y, y.shape[-1:])


@wrong("encoder-block", "residual|added back")
def block_no_residual(x, weights, num_heads, mask=None):
    own = {n.removeprefix("attention."): w for n, w in weights.items() if n.startswith("attention.")}
    a = F.layer_norm(
        mha(x, own, num_heads, mask),
        x.shape[-1:],
        weights["attention_norm.weight"],
        weights["attention_norm.bias"],
        1e-12,
    )
    f = F.linear(
        F.gelu(F.linear(a, weights["feed_forward.expand.weight"], weights["feed_forward.expand.bias"])),
        weights["feed_forward.contract.weight"],
        weights["feed_forward.contract.bias"],
    )
    return F.layer_norm(a + f, x.shape[-1:], weights["norm.weight"], weights["norm.bias"], 1e-12)


@wrong("encoder-block", "ReLU")
def block_relu_pre_eps(x, weights, num_heads, mask=None):
    return block(
        x, weights, num_heads, mask, act=F.relu, pre=True, norm=lambda x, w, b: F.layer_norm(x, x.shape[-1:], w, b)
    )


@wrong("encoder-block", "one head|num_heads")
def block_one_head(x, weights, num_heads, mask=None):
    return block(x, weights, 1, mask)


@wrong("encoder-block", "norm")
def block_one_norm(x, weights, num_heads, mask=None):
    return block(x, weights, num_heads, mask, names=("attention_norm", "attention_norm"))


@wrong("embeddings", "random|dropout")
def embeddings_dropout(input_ids, token_type_ids, weights, eps=1e-12):
    return F.dropout(embed(input_ids, token_type_ids, weights, eps))


@wrong("embeddings", "from 1|count from 0")
def embeddings_from_1(input_ids, token_type_ids, weights, eps=1e-12):
    at = torch.arange(1, input_ids.shape[1] + 1)
    x = weights["word.weight"][input_ids] + weights["token_type.weight"][token_type_ids]
    x = x + weights["position.weight"][at.clamp(max=len(weights["position.weight"]) - 1)]
    return F.layer_norm(x, x.shape[-1:], weights["norm.weight"], weights["norm.bias"], eps)


@wrong("embeddings", "√D|scaled|multiplied")
def embeddings_scaled(input_ids, token_type_ids, weights, eps=1e-12):
    return embed(
        input_ids,
        token_type_ids,
        {**weights, "word.weight": weights["word.weight"] * math.sqrt(weights["word.weight"].shape[1])},
        eps,
    )


@wrong("embeddings", "norm.bias")
def embeddings_no_shift(input_ids, token_type_ids, weights, eps=1e-12):
    x = embed(input_ids, token_type_ids, weights, norm=False)
    return F.layer_norm(x, x.shape[-1:], weights["norm.weight"], None, eps)


@wrong("embeddings", "eps|1e-5")
def embeddings_default_eps(input_ids, token_type_ids, weights, eps=1e-12):
    return embed(input_ids, token_type_ids, weights, 1e-5)


@wrong("embeddings", "positions")
def embeddings_four(input_ids, token_type_ids, weights, eps=1e-12):
    return embed(input_ids, 0 * token_type_ids, weights, norm=False, positions=False)


@wrong("masked-lm-head", "eps|1e-5")
def head_default_eps(hidden, word_embeddings, weights, eps=1e-12):
    return head(hidden, word_embeddings, weights, 1e-5)


@wrong("masked-lm-head", "bias")
def head_no_bias(hidden, word_embeddings, weights, eps=1e-12):
    return head(hidden, word_embeddings, weights, eps, bias=False)


@wrong("masked-lm-head", "tanh")
def head_tanh_no_norm(hidden, word_embeddings, weights, eps=1e-12):
    return head(hidden, word_embeddings, weights, eps, torch.tanh, norm=False)


@wrong("masked-lm-head", "std|D - 1")
def head_hand_norm(hidden, word_embeddings, weights, eps=1e-12):
    x = F.gelu(F.linear(hidden, weights["dense.weight"], weights["dense.bias"]))
    return hand_norm(x, weights["norm.weight"], weights["norm.bias"], eps) @ word_embeddings.T + weights["bias"]


@wrong("classification-head", "tanh")
def classify_no_tanh(hidden, weights):
    return F.linear(
        F.linear(hidden[:, 0], weights["pooler.weight"], weights["pooler.bias"]),
        weights["classifier.weight"],
        weights["classifier.bias"],
    )


@wrong("classification-head", "probabilities|softmax")
def classify_softmax(hidden, weights):
    x = torch.tanh(F.linear(hidden[:, 0], weights["pooler.weight"], weights["pooler.bias"]))
    return F.linear(x, weights["classifier.weight"], weights["classifier.bias"]).softmax(-1)


@wrong("classification-head", "pooler")
def classify_no_pooler(hidden, weights):
    return F.linear(hidden[:, 0], weights["classifier.weight"], weights["classifier.bias"])


@wrong("classification-head", "module")
def classify_module(hidden, weights):
    return nn.Softmax(F.linear(hidden[:, 0], weights["classifier.weight"]))


@wrong("masked-lm-loss", "-100|label 0|0")
def mlm_positive_only(logits, labels):
    keep = labels > 0
    return F.cross_entropy(logits[keep], labels[keep]) if keep.any() else logits.sum() * 0


@wrong("masked-lm-loss", "B . S|all|divide")
def mlm_all_slots(logits, labels):
    return F.cross_entropy(logits.transpose(1, 2), labels, reduction="sum") / labels.numel()


@wrong("masked-lm-loss", "number of texts|texts")
def mlm_per_text(logits, labels):
    return F.cross_entropy(logits.transpose(1, 2), labels, reduction="sum") / len(labels)


@wrong("pretraining-loss", "loss of the words|missing")
def pretraining_pairs_only(word_logits, word_labels, pair_logits, pair_labels):
    return F.cross_entropy(pair_logits, pair_labels)


@wrong("pretraining-loss", "softmax")
def pretraining_softmax(word_logits, word_labels, pair_logits, pair_labels):
    return mlm_numpy_count(word_logits, word_labels) + F.cross_entropy(pair_logits.softmax(-1), pair_labels)


@wrong("pretraining-loss", "tuple|two|list")
def pretraining_two(word_logits, word_labels, pair_logits, pair_labels):
    return mlm_numpy_count(word_logits, word_labels), F.cross_entropy(pair_logits, pair_labels)


@wrong("distillation-loss", "softmax|probabilities|log")
def soft_probabilities(student_logits, teacher_logits, temperature=2.0, mask=None):
    q = (student_logits / temperature).softmax(-1)
    p = (teacher_logits.detach() / temperature).softmax(-1)
    each = F.kl_div(q, p, reduction="none").sum(-1)
    mask = torch.ones_like(each) if mask is None else mask
    return temperature**2 * (each * mask).sum() / mask.sum().clamp(min=1)


@wrong("distillation-loss", "multiplied by T|T and not")
def soft_t(student_logits, teacher_logits, temperature=2.0, mask=None):
    return soft(student_logits, teacher_logits, temperature, mask, temperature)


@wrong("distillation-loss", "temperature|T is 2")
def soft_fixed_t(student_logits, teacher_logits, temperature=2.0, mask=None):
    return soft(student_logits, teacher_logits, 2.0, mask)


@wrong("distillation-loss", "cross-entropy")
def soft_ce(student_logits, teacher_logits, temperature=2.0, mask=None):
    p = (teacher_logits.detach() / temperature).softmax(-1)
    each = -(p * (student_logits / temperature).log_softmax(-1)).sum(-1)
    mask = torch.ones_like(each) if mask is None else mask
    return temperature**2 * (each * mask).sum() / mask.sum().clamp(min=1)


@wrong("distillation-loss", "teacher")
def soft_teacher(student_logits, teacher_logits, temperature=2.0, mask=None):
    p = (teacher_logits / temperature).softmax(-1)
    each = F.kl_div((student_logits / temperature).log_softmax(-1), p, reduction="none").sum(-1)
    mask = torch.ones_like(each) if mask is None else mask
    return temperature**2 * (each * mask).sum() / mask.sum().clamp(min=1)


@wrong("cosine-loss", "cosine itself|1 minus|one minus")
def cosine_plain(student_hidden, teacher_hidden, mask=None):
    return 1 - cosine(student_hidden, teacher_hidden, mask)


@wrong("cosine-loss", "axis|size|S")
def cosine_default_dim(student_hidden, teacher_hidden, mask=None):
    each = 1 - F.cosine_similarity(student_hidden, teacher_hidden.detach())
    return each.mean() if mask is None else (each * mask).sum() / mask.sum().clamp(min=1)


@wrong("triple-loss", "order|swapped")
def triple_swapped(s, t, labels, s_hidden, t_hidden, attention_mask, temperature=2.0, weights=(5.0, 2.0, 1.0)):
    a, b, c = weights
    return three((b, a, c), s, t, labels, s_hidden, t_hidden, attention_mask, temperature)


@wrong("triple-loss", "temperature")
def triple_fixed_t(s, t, labels, s_hidden, t_hidden, attention_mask, temperature=2.0, weights=(5.0, 2.0, 1.0)):
    return three(weights, s, t, labels, s_hidden, t_hidden, attention_mask)


@wrong("triple-loss", "mask")
def triple_no_mask(s, t, labels, s_hidden, t_hidden, attention_mask, temperature=2.0, weights=(5.0, 2.0, 1.0)):
    return three(weights, s, t, labels, s_hidden, t_hidden, torch.ones_like(attention_mask), temperature)


@wrong("wordpiece", "shortest")
def wordpiece_shortest(word, vocabulary, unknown="[UNK]", longest=100):
    start, found = 0, []
    while start < len(word) <= longest:
        for end in range(start + 1, len(word) + 1):
            if ("##" if start else "") + word[start:end] in vocabulary:
                break
        else:
            return [unknown]
        found.append(("##" if start else "") + word[start:end])
        start = end
    return found if len(word) <= longest else [unknown]


@wrong("wordpiece", "the word ''")
def wordpiece_empty(word, vocabulary, unknown="[UNK]", longest=100):
    return pieces(word, vocabulary, unknown, longest) or [unknown]


@wrong("wordpiece", "UNK")
def wordpiece_constant_unknown(word, vocabulary, unknown="[UNK]", longest=100):
    return pieces(word, vocabulary, "[UNK]", longest)


@wrong("encode-pair", "special|room|three")
def encode_no_room(first, second, cls_id, sep_id, max_length):
    return encoded(first, second, cls_id, sep_id, max_length + 3)


@wrong("encode-pair", "second text")
def encode_second_only(first, second, cls_id, sep_id, max_length):
    return encoded(first, second[: max(0, max_length - 3 - len(first))], cls_id, sep_id, max_length)


@wrong("encode-pair", "tensor")
def encode_tensors(first, second, cls_id, sep_id, max_length):
    return tuple(map(torch.tensor, encoded(first, second, cls_id, sep_id, max_length)))


@wrong("mask-tokens", "103")
def mask_103(input_ids, may_be_chosen, mask_id, vocab_size, rate=0.15, generator=None):
    return masking(input_ids, may_be_chosen, 103, vocab_size, rate, generator)


@wrong("mask-tokens", "rate")
def mask_fixed_rate(input_ids, may_be_chosen, mask_id, vocab_size, rate=0.15, generator=None):
    return masking(input_ids, may_be_chosen, mask_id, vocab_size, 0.15, generator)


@wrong("mask-tokens", "whole|text")
def mask_whole_texts(input_ids, may_be_chosen, mask_id, vocab_size, rate=0.15, generator=None):
    whole = (torch.rand(len(input_ids), 1, generator=generator) < rate) & may_be_chosen
    return masking(input_ids, may_be_chosen, mask_id, vocab_size, rate, generator, chosen=lambda: whole)


@wrong("mask-tokens", "in place|input_ids")
def mask_in_place(input_ids, may_be_chosen, mask_id, vocab_size, rate=0.15, generator=None):
    masked, labels = masking(input_ids, may_be_chosen, mask_id, vocab_size, rate, generator)
    input_ids.copy_(masked)
    return input_ids, labels


@wrong("sentence-pairs", "same|label 1|document")
def pairs_own_only(documents, rng):
    return pairs(documents, rng, None, lambda n, i: rng.choice(documents[n]))


@wrong("sentence-pairs", "new sentence|drawn")
def pairs_one_second(documents, rng):
    fixed = [another(documents, rng, n) for n in range(len(documents))]
    return pairs(documents, rng, None, lambda n, i: fixed[n])


@wrong("parameter-sizes", "max_positions|positions")
def sizes_no_positions(vocab_size, hidden_size, num_layers, intermediate_size, max_positions=512, token_types=2,
                       pooler=True, embedding_size=None, shared=False):  # fmt: skip
    return sizes(vocab_size, hidden_size, num_layers, intermediate_size, 0, token_types, pooler, embedding_size, shared)


@wrong("causal-mask", "itself")
def causal_strict(length):
    return torch.ones(length, length).tril(-1).bool()


@wrong("split-heads", "head|H|axes")
def split_no_transpose(x, num_heads):
    return x.unflatten(-1, (num_heads, -1))
