"""BERT's embeddings: words, positions and token types."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from minibert.exercises.calls import Call
from minibert.exercises.catalogue.common_layers import NORM_MISTAKES, Weights, normed
from minibert.exercises.declare import Exercise, Hints, Mistake, Probe
from minibert.exercises.probes import in_float32, randint, randn
from minibert.layers import Embeddings


def reference(
    input_ids: Tensor,
    token_type_ids: Tensor,
    weights: Weights,
    eps: float = 1e-12,
    *,
    types: str = "added",
    positions: str = "from 0",
    order: str = "sum, then norm",
    norm: str = "right",
    scaled: bool = False,
    words: str = "all",
) -> Tensor:
    """The embeddings with knobs; the defaults are figure 2 of Devlin et al. 2019 and the released code."""
    counted = (input_ids.ne(0).cumsum(1) - 1).clamp(min=0)
    length, table = input_ids.shape[1], weights["position.weight"]
    word = weights["word.weight"][input_ids]
    if words == "0 is padding":
        word = word * input_ids.ne(0)[..., None]
    if scaled:
        word = word * math.sqrt(word.shape[-1])
    position = {
        "from 0": lambda: table[:length],
        "from 1": lambda: table[1 : length + 1],
        "batch": lambda: table[: len(input_ids), None],
        "none": lambda: torch.zeros_like(table[0]),
        "all 0": lambda: table[0],
        "whole table": lambda: table,
        "sinusoids": lambda: sinusoids(length, word.shape[-1]),
        "backwards": lambda: table[:length].flip(0),
        "without 0": lambda: table[counted],
    }[positions]()
    token_type = weights["token_type.weight"][
        {"all 0": torch.zeros_like(token_type_ids), "swapped": 1 - token_type_ids}.get(types, token_type_ids)
    ]
    rest = [position] if types == "left out" else [position, token_type]
    if order == "word normed alone":
        word = normed(word, weights, eps, norm)
    elif order == "each normed":
        word, *rest = (normed(part, weights, eps, norm) for part in (word, *rest))
    total = word + sum(rest)
    return normed(total, weights, eps, norm) if order == "sum, then norm" else total


def sinusoids(length: int, width: int) -> Tensor:
    """The fixed position vectors of Vaswani et al. 2017, section 3.5."""
    angles = torch.arange(length)[:, None] / 10000 ** (torch.arange(0, width, 2, dtype=torch.float64) / width)
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)


def probes() -> list[Probe]:
    axes = {"B": 3, "S": 5, "D": 6, "V": 11, "P": 9}
    weights = {
        "word.weight": randn(11, 6, seed=1),
        "position.weight": randn(9, 6, seed=2),
        "token_type.weight": randn(2, 6, seed=3),
        "norm.weight": 1 + randn(6, seed=4, scale=0.3),
        "norm.bias": randn(6, seed=5, scale=0.3),
    }
    ids, types = randint(0, 11, (3, 5), seed=6), torch.tensor([[0, 0, 0, 0, 0], [0, 0, 1, 1, 1], [0, 1, 1, 0, 0]])
    return [
        Probe("two sentences", Call((ids, types, weights), grads=(2,)), axes),
        Probe("with eps = 0.1", Call((ids, types, weights, 0.1)), axes),
        Probe("one text of one token, 0", Call((0 * ids[:1, :1], types[2:, 1:2], weights)), {"D": 6, "V": 11, "P": 9}),
        Probe(
            "texts of the greatest length",
            Call((randint(0, 11, (3, 9), seed=7), randint(0, 2, (3, 9), seed=8), weights)),
            {"B": 3, "S": 9, "D": 6, "V": 11},
        ),
        Probe("in float32", Call((ids, types, in_float32(weights), 0.1)), axes),
        Probe("the same word everywhere", Call((torch.full((3, 5), 7), 0 * types, weights)), axes),
    ]


def solution(input_ids: Tensor, token_type_ids: Tensor, weights: Weights, eps: float = 1e-12) -> Tensor:
    word = weights["word.weight"][input_ids]  # (B, S, D)
    position = weights["position.weight"][: input_ids.shape[1]]  # (S, D), the same for every text
    token_type = weights["token_type.weight"][token_type_ids]  # (B, S, D)
    x = word + position + token_type
    return F.layer_norm(x, x.shape[-1:], weights["norm.weight"], weights["norm.bias"], eps)


def by_library(input_ids: Tensor, token_type_ids: Tensor, weights: Weights, eps: float = 1e-12) -> Tensor:
    (vocabulary, width), (most, _) = weights["word.weight"].shape, weights["position.weight"].shape
    module = Embeddings(vocabulary, most, len(weights["token_type.weight"]), width, eps, dropout=0.0)
    return functional_call(module, dict(weights), (input_ids, torch.arange(input_ids.shape[1]), token_type_ids))


def by_one_hot(input_ids: Tensor, token_type_ids: Tensor, weights: Weights, eps: float = 1e-12) -> Tensor:
    position_ids = torch.arange(input_ids.shape[1]).expand_as(input_ids)
    x = torch.zeros(())
    for ids, name in ((input_ids, "word"), (position_ids, "position"), (token_type_ids, "token_type")):
        table = weights[f"{name}.weight"]
        x = x + torch.einsum("bsv,vd->bsd", F.one_hot(ids, len(table)).to(table.dtype), table)
    mean, variance = x.mean(-1, keepdim=True), x.var(-1, unbiased=False, keepdim=True)
    return (x - mean) * torch.rsqrt(variance + eps) * weights["norm.weight"] + weights["norm.bias"]


def by_loop(input_ids: Tensor, token_type_ids: Tensor, weights: Weights, eps: float = 1e-12) -> Tensor:
    texts = []
    for ids, types in zip(input_ids.tolist(), token_type_ids.tolist(), strict=True):
        for place, (token, kind) in enumerate(zip(ids, types, strict=True)):
            x = weights["token_type.weight"][kind] + weights["word.weight"][token] + weights["position.weight"][place]
            x = x - x.mean()
            texts.append(x / torch.sqrt((x * x).mean() + eps) * weights["norm.weight"] + weights["norm.bias"])
    return torch.stack(texts).reshape(*input_ids.shape, -1)


def by_modules(input_ids: Tensor, token_type_ids: Tensor, weights: Weights, eps: float = 1e-12) -> Tensor:
    position_ids = torch.arange(input_ids.size(1)).unsqueeze(0)
    x = F.embedding(input_ids, weights["word.weight"])
    x = x + F.embedding(position_ids, weights["position.weight"])
    x = x + F.embedding(token_type_ids, weights["token_type.weight"])
    norm = nn.LayerNorm(x.size(-1), eps=eps, dtype=x.dtype)
    return functional_call(norm, {"weight": weights["norm.weight"], "bias": weights["norm.bias"]}, x)


EXERCISE = Exercise(
    name="embeddings",
    topic="bert",
    title="BERT's embeddings",
    level="core",
    minutes=10,
    function="embeddings",
    signature="input_ids, token_type_ids, weights, eps=1e-12",
    task=(
        "Turn each token into a vector: which word it is + which position it has + which text it belongs to, then "
        "a layer norm.\n\n"
        "- `input_ids`: (B, S), integers below V\n"
        "- `token_type_ids`: (B, S), 0 for the first text and 1 for the second\n"
        "- `weights`: a dict of tensors: `word.weight` (V, D), `position.weight` (P, D), with P at least S, "
        "`token_type.weight` (2, D), and the norm's `norm.weight` and `norm.bias` (D,)\n"
        "- `eps`: what the norm adds to the variance, inside the root\n"
        "- returns (B, S, D). Positions count from 0. There is no dropout here, and the word vectors are not scaled."
    ),
    source="Devlin et al. 2019, section 3 and figure 2; the norm is in the released code",
    reference=reference,
    solution=solution,
    library=by_library,
    probes=probes,
    mistakes=(
        Mistake("no-token-types", "types", "left out", "the token types are left out",
                "the model cannot tell the second text from the first; add token_type.weight[token_type_ids]"),
        Mistake("token-types-all-0", "types", "all 0", "every token gets the vector of type 0",
                "the model cannot tell the second text from the first; look up each token's own type"),
        Mistake("token-types-swapped", "types", "swapped", "types 0 and 1 are swapped",
                "trained weights would mistake the first text for the second"),
        Mistake("positions-from-1", "positions", "from 1", "your positions count from 1",
                "every token gets the vector of its neighbour, and a text of the maximum length does not fit; "
                "count from 0"),
        Mistake("positions-along-the-batch", "positions", "batch", "your positions count the texts, not the tokens",
                "all tokens of a text get the same position, and the vectors of a text change with its place in the "
                "batch; count along the second axis"),
        Mistake("no-positions", "positions", "none", "the positions are left out",
                "attention cannot see the order by itself, so \"dog bites man\" is the same as \"man bites dog\""),
        Mistake("positions-all-0", "positions", "all 0", "every token gets the vector of position 0",
                "the model cannot see the order; use rows 0 to S - 1"),
        Mistake("positions-backwards", "positions", "backwards", "your positions count from the end",
                "[CLS] would get the last position, a different one in each batch"),
        Mistake("positions-without-id-0", "positions", "without 0", "tokens with the id 0 do not count as positions",
                "that is for padding, and which id is padding is not known here; count every token"),
        Mistake("id-0-as-padding", "words", "0 is padding", "the token with the id 0 gets a vector of zeros",
                "that is what padding_idx=0 does; here 0 is an id like any other"),
        Mistake("position-table-not-cut", "positions", "whole table", "you add the whole table of positions",
                "it has rows for the longest possible text; use the first S"),
        Mistake("sinusoids", "positions", "sinusoids", "you use the fixed sinusoids of the Transformer",
                "BERT learned its positions; they are the rows of position.weight"),
        Mistake("words-scaled", "scaled", True, "the word vectors are multiplied by √D",
                "the Transformer does that (section 3.4), but BERT does not; positions and types would get too "
                "little weight"),
        Mistake("each-normed", "order", "each normed", "words, positions and types are normalised separately",
                "the sum of the three is not normalised; add first, then normalise once"),
        Mistake("only-words-normed", "order", "word normed alone",
                "the words are normalised before the rest is added", "add first, then normalise the sum"),
        *NORM_MISTAKES,
    ),
    hints=Hints(
        "Three tables, three lookups. What shape does each result have, and which of them is the same for all texts?",
        "A lookup in a table is indexing: table[ids] turns (B, S) into (B, S, D). The positions are 0 ... S - 1 in "
        "every text, so their (S, D) is broadcast over the batch.",
        "x = word[input_ids] + position[0 ... S-1] + token_type[token_type_ids]; "
        "result = (x − mean) / √(variance + eps) · weight + bias, over D.",
        'x = weights["word.weight"][...]\nx = x + weights["position.weight"][: ...]\n'
        'x = x + weights["token_type.weight"][...]\nreturn F.layer_norm(x, ..., weights["norm.weight"], ..., eps)',
    ),
    swap="embeddings",
    equivalents=(by_one_hot, by_loop, by_modules),
)  # fmt: skip
