"""More answers as learners write them: texts, dicts and numbers. See trial_answers.py."""

from __future__ import annotations

import copy
import math
import unicodedata

import numpy as np
import torch
from torch import nn
from trial_answers import right, wrong

# ------------------------------------------------------------------------------------------------------ tokens


def pieces(word, vocabulary, unknown="[UNK]", longest=100, last=0):
    if len(word) > longest:
        return [unknown]
    start, found, known = 0, [], set(vocabulary)
    while start < len(word):
        for end in range(len(word), start + last, -1):
            piece = ("##" if start else "") + word[start:end]
            if piece in known:
                break
        else:
            return [unknown]
        found.append(piece)
        start = end
    return found


@right("wordpiece")
def wordpiece_by_regex(word, vocabulary, unknown="[UNK]", longest=100):
    return pieces(word, vocabulary, unknown, longest)


@wrong("wordpiece", "bytes|characters")
def wordpiece_bytes(word, vocabulary, unknown="[UNK]", longest=100):
    if len(word.encode()) > longest:
        return [unknown]
    return pieces(word, vocabulary, unknown, longest)


@wrong("wordpiece", "accent|é")
def wordpiece_nfd(word, vocabulary, unknown="[UNK]", longest=100):
    return pieces(unicodedata.normalize("NFD", word), vocabulary, unknown, longest)


@wrong("wordpiece", "accent|é|café")
def wordpiece_stripped(word, vocabulary, unknown="[UNK]", longest=100):
    word = "".join(c for c in unicodedata.normalize("NFD", word) if unicodedata.category(c) != "Mn")
    return pieces(word, vocabulary, unknown, longest)


@wrong("wordpiece", "one character|last letter")
def wordpiece_last_letter(word, vocabulary, unknown="[UNK]", longest=100):
    return pieces(word, vocabulary, unknown, longest, last=1)


@wrong("wordpiece", "lower")
def wordpiece_lower(word, vocabulary, unknown="[UNK]", longest=100):
    return pieces(word.lower(), vocabulary, unknown, longest)


@wrong("wordpiece", "inside|start|initial|without ##|##")
def wordpiece_initial_inside(word, vocabulary, unknown="[UNK]", longest=100):
    start, found = 0, []
    while start < len(word):
        for end in range(len(word), start, -1):
            options = [
                p
                for p in (("##" + word[start:end], word[start:end]) if start else (word[start:end],))
                if p in vocabulary
            ]
            if options:
                break
        else:
            return [unknown]
        found.append(options[0])
        start = end
    return found if len(word) <= longest else [unknown]


@wrong("wordpiece", "list|string")
def wordpiece_string(word, vocabulary, unknown="[UNK]", longest=100):
    return " ".join(pieces(word, vocabulary, unknown, longest))


def encoded(first, second, cls_id, sep_id, max_length, kind=int):
    a, b = len(first), len(second)
    while a + b > max_length - 3:
        a, b = (a - 1, b) if a > b else (a, b - 1)
    ids = [cls_id, *first[:a], sep_id, *second[:b], sep_id]
    return ids, [kind(0)] * (a + 2) + [kind(1)] * (b + 1)


@right("encode-pair")
def encode_numpy(first, second, cls_id, sep_id, max_length):
    return encoded(first, second, cls_id, sep_id, max_length, np.int64)


@wrong("encode-pair", "boolean")
def encode_booleans(first, second, cls_id, sep_id, max_length):
    return encoded(first, second, cls_id, sep_id, max_length, bool)


@wrong("encode-pair", "float|integer")
def encode_floats(first, second, cls_id, sep_id, max_length):
    return encoded(first, second, cls_id, sep_id, max_length, float)


@wrong("encode-pair", "types first|reverse|order")
def encode_reversed(first, second, cls_id, sep_id, max_length):
    return encoded(first, second, cls_id, sep_id, max_length)[::-1]


@wrong("encode-pair", "exchanged|second text")
def encode_exchanged(first, second, cls_id, sep_id, max_length):
    return encoded(second, first, cls_id, sep_id, max_length)


@wrong("encode-pair", "in place|own lists")
def encode_popping(first, second, cls_id, sep_id, max_length):
    while len(first) + len(second) > max_length - 3:
        (first if len(first) > len(second) else second).pop()
    return encoded(first, second, cls_id, sep_id, max_length)


@wrong("encode-pair", "101|102|whatever")
def encode_constants(first, second, cls_id, sep_id, max_length):
    return encoded(first, second, 101, 102, max_length)


@wrong("encode-pair", "only the first")
def encode_ids_only(first, second, cls_id, sep_id, max_length):
    return encoded(first, second, cls_id, sep_id, max_length)[0]


@wrong("encode-pair", "empty|end of a list")
def encode_last_of_empty(first, second, cls_id, sep_id, max_length):
    first[-1], second[-1]
    return encoded(first, second, cls_id, sep_id, max_length)


# ------------------------------------------------------------------------------------------- dicts and numbers


@wrong("student-from-teacher", "memory|teacher's own|aliased")
def student_aliased(teacher, num_layers):
    found = {}
    for name, tensor in teacher.items():
        parts = name.split(".")
        if name.startswith(("pooler", "embeddings.token_type")):
            continue
        if parts[0] == "encoder":
            if int(parts[2]) % 2:
                continue
            parts[2] = str(int(parts[2]) // 2)
        found[".".join(parts)] = tensor
    return found


@wrong("student-from-teacher", "upper half|last")
def student_upper(teacher, num_layers):
    found = {}
    for name, tensor in teacher.items():
        parts = name.split(".")
        if name.startswith(("pooler", "embeddings.token_type")):
            continue
        if parts[0] == "encoder":
            if int(parts[2]) < num_layers // 2:
                continue
            parts[2] = str(int(parts[2]) - num_layers // 2)
        found[".".join(parts)] = tensor.clone()
    return found


@wrong("count-parameters", "trainable|frozen")
def count_trainable(model):
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


@wrong("count-parameters", "float|integer")
def count_float(model):
    return float(sum(p.numel() for p in model.parameters()))


@right("count-parameters")
def count_numpy(model):
    return np.sum([np.prod(tuple(p.shape)) for p in model.parameters()])


@wrong("count-parameters", "1000|million|times")
def count_thousands(model):
    return sum(p.numel() for p in model.parameters()) / 1000


@wrong("count-parameters", "string|text")
def count_text(model):
    return f"{sum(p.numel() for p in model.parameters()):,}"


@wrong("shared-blocks", "copy|deepcopy|equal")
def shared_copies(make_block, num_layers):
    first = make_block()
    return [copy.deepcopy(first) for _ in range(num_layers)]


@wrong("shared-blocks", "own block|nothing is shared")
def shared_nothing(make_block, num_layers):
    return nn.ModuleList([make_block() for _ in range(num_layers)])


def sizes(V, D, L, F, P=512, types=2, pooler=True, E=None, shared=False, norm=2, biases=1):
    e = E or D
    total = (V + P + types) * e + norm * e + (e * D + D if E else 0)
    block = 4 * (D * D + D * biases) + 2 * D * F + F + D + 4 * D
    return total + block * (1 if shared else L) + (D * D + D if pooler else 0)


@wrong("parameter-sizes", "float|integer|/")
def sizes_float(vocab_size, hidden_size, num_layers, intermediate_size, max_positions=512, token_types=2, pooler=True,
                embedding_size=None, shared=False):  # fmt: skip
    return sizes(vocab_size, hidden_size, num_layers, intermediate_size, max_positions, token_types, pooler,
                 embedding_size, shared) / 1  # fmt: skip


@wrong("parameter-sizes", "max_positions|512")
def sizes_512(vocab_size, hidden_size, num_layers, intermediate_size, max_positions=512, token_types=2, pooler=True,
              embedding_size=None, shared=False):  # fmt: skip
    return sizes(vocab_size, hidden_size, num_layers, intermediate_size, 512, token_types, pooler, embedding_size,
                 shared)  # fmt: skip


@wrong("parameter-sizes", "attention.*bias|4 D")
def sizes_no_attention_bias(vocab_size, hidden_size, num_layers, intermediate_size, max_positions=512, token_types=2,
                            pooler=True, embedding_size=None, shared=False):  # fmt: skip
    return sizes(vocab_size, hidden_size, num_layers, intermediate_size, max_positions, token_types, pooler,
                 embedding_size, shared, biases=0)  # fmt: skip


@wrong("times-as-fast", "totals|means")
def times_of_means(reference_seconds, challenger_seconds):
    times = sum(reference_seconds) / sum(challenger_seconds)
    return times, 1 - 1 / times


@wrong("times-as-fast", "worst")
def times_min(reference_seconds, challenger_seconds):
    times = min(a / b for a, b in zip(reference_seconds, challenger_seconds, strict=True))
    return times, 1 - 1 / times


@wrong("times-as-fast", "lower")
def times_torch(reference_seconds, challenger_seconds):
    ratios = torch.tensor(reference_seconds, dtype=torch.float64) / torch.tensor(
        challenger_seconds, dtype=torch.float64
    )
    times = ratios.median().item()
    return times, 1 - 1 / times


@wrong("times-as-fast", "percent|100")
def times_percent(reference_seconds, challenger_seconds):
    times = np.median(np.array(reference_seconds) / np.array(challenger_seconds))
    return times, 100 * (1 - 1 / times)


@right("times-as-fast")
def times_numpy(reference_seconds, challenger_seconds):
    times = np.median(np.array(reference_seconds) / np.array(challenger_seconds))
    return times, 1 - 1 / times


@wrong("times-as-fast", "geometric|logarithm|mean")
def times_geometric(reference_seconds, challenger_seconds):
    ratios = [a / b for a, b in zip(reference_seconds, challenger_seconds, strict=True)]
    times = math.exp(sum(map(math.log, ratios)) / len(ratios))
    return times, 1 - 1 / times
