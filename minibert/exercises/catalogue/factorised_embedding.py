"""ALBERT's factorised embedding: narrow tables, and one projection to the width of the blocks."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from minibert.exercises.calls import Call
from minibert.exercises.catalogue.common_layers import Weights, normed
from minibert.exercises.declare import Exercise, Hints, Mistake, Probe
from minibert.exercises.probes import in_float32, randint, randn
from minibert.models.albert import AlbertConfig, FactorisedEmbeddings


def factorised_reference(
    input_ids: Tensor,
    token_type_ids: Tensor,
    weights: Weights,
    eps: float = 1e-12,
    *,
    place: str = "before projection",
    norm: str = "right",
    projection: str = "right",
    positions: str = "right",
    types: str = "added",
    words: str = "plain",
) -> Tensor:
    """Factorised embeddings with knobs."""
    batch, length = input_ids.shape
    table = weights["position.weight"]
    parts = [weights["word.weight"][input_ids]]
    if words == "times root":
        parts = [parts[0] * math.sqrt(parts[0].shape[-1])]
    if place == "on words":
        parts = [normed(parts[0], weights, eps, norm)]
    if positions != "forgotten":
        rows = {
            "right": table[:length],
            "from 1": table[1 : length + 1],
            "batch": table[:batch, None],
            "by type": table[token_type_ids],
        }
        parts.append(rows[positions])
    if types != "forgotten":
        parts.append(weights["token_type.weight"][token_type_ids if types == "added" else 0 * token_type_ids])

    matrix, bias = weights["projection.weight"], weights["projection.bias"]
    wide, narrow = matrix.shape

    def project(x: Tensor) -> Tensor:
        if projection == "transposed":
            return x @ matrix + bias
        if projection == "reshaped":
            return x @ matrix.reshape(narrow, wide) + bias
        if projection == "missing" or (projection == "not where equal" and wide == narrow):
            return x
        return F.linear(x, matrix, None if projection == "no bias" else bias)

    if projection in ("each", "words only"):  # each table is widened separately; the rest happens at width D
        widened = len(parts) if projection == "each" else 1
        x = sum(F.linear(part, matrix, bias) if i < widened else part for i, part in enumerate(parts))
        return x if place in ("none", "on words") else normed(x, weights, eps, norm)
    x = sum(parts)
    if place == "before projection":
        x = normed(x, weights, eps, norm)
    x = project(x)
    return normed(x, weights, eps, norm) if place == "after projection" else x


def embedding_weights(narrow: int, wide: int, seed: int, scale: float = 1.0) -> dict[str, Tensor]:
    return {
        "word.weight": randn(9, narrow, seed=seed, scale=scale),
        "position.weight": randn(7, narrow, seed=seed + 1, scale=scale),
        "token_type.weight": randn(2, narrow, seed=seed + 2, scale=scale),
        "norm.weight": 1 + randn(narrow, seed=seed + 3, scale=0.3),
        "norm.bias": randn(narrow, seed=seed + 4, scale=0.3),
        "projection.weight": randn(wide, narrow, seed=seed + 5),
        "projection.bias": randn(wide, seed=seed + 6),
    }


def factorised_probes() -> list[Probe]:
    ids, types = randint(0, 9, (2, 3), seed=4), torch.tensor([[0, 0, 1], [0, 1, 1]])
    axes = {"B": 2, "S": 3, "E": 4, "D": 6, "V": 9}
    return [
        Probe("with eps 0.1", Call((ids, types, embedding_weights(4, 6, 10), 0.1), grads=(2,)), axes),
        Probe("with tiny tables", Call((ids, types, embedding_weights(4, 6, 20, 1e-3)), grads=(2,)), axes),
        Probe(
            "one text of one token, 0",
            Call((0 * ids[:1, :1], types[1:, 2:], embedding_weights(4, 6, 40), 0.1)),
            {"E": 4, "D": 6, "V": 9},
        ),
        Probe("in float32", Call((ids, types, in_float32(embedding_weights(4, 6, 50)), 0.1)), axes),
        Probe("where E = D", Call((ids, types, embedding_weights(5, 5, 30), 0.1)), {"B": 2, "S": 3, "D": 5, "V": 9}),
    ]


def factorised_by_functions(input_ids: Tensor, token_type_ids: Tensor, weights: Weights, eps: float = 1e-12) -> Tensor:
    length = input_ids.shape[1]
    x = weights["word.weight"][input_ids]  # (B, S, E)
    x = x + weights["position.weight"][:length]
    x = x + weights["token_type.weight"][token_type_ids]
    x = F.layer_norm(x, x.shape[-1:], weights["norm.weight"], weights["norm.bias"], eps)
    return F.linear(x, weights["projection.weight"], weights["projection.bias"])


def factorised_by_formula(input_ids: Tensor, token_type_ids: Tensor, weights: Weights, eps: float = 1e-12) -> Tensor:
    x = F.embedding(input_ids, weights["word.weight"]) + F.embedding(token_type_ids, weights["token_type.weight"])
    x = x + F.embedding(torch.arange(input_ids.shape[1]), weights["position.weight"])[None]
    mean = x.mean(-1, keepdim=True)
    variance = ((x - mean) ** 2).mean(-1, keepdim=True)
    x = weights["norm.weight"] * (x - mean) / torch.sqrt(variance + eps) + weights["norm.bias"]
    return torch.einsum("bse,de->bsd", x, weights["projection.weight"]) + weights["projection.bias"]


def factorised_by_modules(input_ids: Tensor, token_type_ids: Tensor, weights: Weights, eps: float = 1e-12) -> Tensor:
    def apply(module: nn.Module, name: str, x: Tensor) -> Tensor:
        values = {key.split(".")[1]: value for key, value in weights.items() if key.startswith(f"{name}.")}
        return functional_call(module, values, (x,))

    (wide, narrow), types = weights["projection.weight"].shape, weights["token_type.weight"]
    places = torch.arange(input_ids.shape[1]).expand_as(input_ids)
    total = apply(nn.Embedding(*weights["word.weight"].shape), "word", input_ids)
    total = total + apply(nn.Embedding(*weights["position.weight"].shape), "position", places)
    total = total + apply(nn.Embedding(*types.shape), "token_type", token_type_ids)
    return apply(nn.Linear(narrow, wide), "projection", apply(nn.LayerNorm(narrow, eps=eps), "norm", total))


def factorised_by_loop(input_ids: Tensor, token_type_ids: Tensor, weights: Weights, eps: float = 1e-12) -> Tensor:
    texts = []
    for ids, types in zip(input_ids.tolist(), token_type_ids.tolist(), strict=True):
        vectors = []
        for place, (word, kind) in enumerate(zip(ids, types, strict=True)):
            x = weights["word.weight"][word] + weights["position.weight"][place] + weights["token_type.weight"][kind]
            x = (x - x.mean()) / (x.var(correction=0) + eps).sqrt() * weights["norm.weight"] + weights["norm.bias"]
            vectors.append(weights["projection.weight"] @ x + weights["projection.bias"])
        texts.append(torch.stack(vectors))
    return torch.stack(texts)


def factorised_by_library(input_ids: Tensor, token_type_ids: Tensor, weights: Weights, eps: float = 1e-12) -> Tensor:
    wide, narrow = weights["projection.weight"].shape
    config = AlbertConfig(
        vocab_size=len(weights["word.weight"]),
        max_position_embeddings=len(weights["position.weight"]),
        embedding_size=narrow,
        hidden_size=wide,
        num_attention_heads=1,
        layer_norm_eps=eps,
    )
    position_ids = torch.arange(input_ids.shape[1]).expand_as(input_ids)
    return functional_call(FactorisedEmbeddings(config), dict(weights), (input_ids, position_ids, token_type_ids))


EXERCISE = Exercise(
    name="factorised-embedding",
    topic="albert",
    title="A factorised embedding",
    level="core",
    minutes=10,
    function="factorised_embeddings",
    signature="input_ids, token_type_ids, weights, eps=1e-12",
    task=(
        "ALBERT keeps its tables narrow, with width E, and widens each token to D only at the end: sum, then layer "
        "norm, both at width E, then one linear layer from E to D.\n\n"
        "- `input_ids`, `token_type_ids`: (B, S), integers; positions count from 0\n"
        "- `weights`: a dict with `word.weight` (V, E), `position.weight` (P, E) with P larger than S, "
        "`token_type.weight` (2, E), `norm.weight` and `norm.bias` (E), `projection.weight` (D, E), `projection.bias` "
        "(D)\n"
        "- `eps`: the eps of the layer norm\n"
        "- returns (B, S, D); there is no dropout\n\n"
        "The linear layer is there even if E = D. As in nn.Linear, it multiplies by its transposed weight and adds its "
        "bias."
    ),
    source="Lan et al. 2020, section 3.1, \"Factorized embedding parameterization\"",
    reference=factorised_reference,
    solution=factorised_by_functions,
    library=factorised_by_library,
    probes=factorised_probes,
    mistakes=(
        Mistake("norm-after-projection", "place", "after projection", "the layer norm comes after the projection",
                "the vectors have width D there, but the norm's weight and bias have width E; normalise, then project",
                "How wide are norm.weight and norm.bias, and where are the vectors that wide?"),
        Mistake("norm-forgotten", "place", "none", "there is no layer norm",
                "the size of the numbers is left to chance; normalise the sum"),
        Mistake("norm-on-words-only", "place", "on words", "only the word vectors are normalised, before the sum",
                "positions and types are added without normalising; add first, then normalise the sum"),
        Mistake("tables-projected-one-by-one", "projection", "each",
                "the vectors from the tables are projected before they are added",
                "then the norm gets vectors of width D, and the bias is added three times; add and normalise at "
                "width E, and project once"),
        Mistake("only-words-projected", "projection", "words only",
                "only the word vectors are projected, and the others are added after that",
                "all three tables have width E, so the sizes do not fit; add and normalise at width E, then project"),
        Mistake("projection-bias-forgotten", "projection", "no bias", "the projection's bias is left out",
                "add projection.bias after the product"),
        Mistake("projection-transposed", "projection", "transposed",
                "the projection's weight is not transposed before the product",
                "it is (D, E), as in nn.Linear; use x @ weight.T, or F.linear"),
        Mistake("projection-reshaped", "projection", "reshaped",
                "the projection's weight is reshaped to (E, D) and not transposed",
                "a reshape keeps the numbers in their order and mixes up rows and columns; use .T, or F.linear"),
        Mistake("projection-forgotten", "projection", "missing", "the vectors are not projected",
                "they still have width E, and the blocks expect D"),
        Mistake("projection-skipped-where-equal", "projection", "not where equal", "there is no projection where E = D",
                "the released model has it there too, because it is a learned layer and not only a change of width"),
        Mistake("positions-forgotten", "positions", "forgotten", "the positions are not added",
                'the model could not tell "dog bites man" from "man bites dog"'),
        Mistake("positions-from-1", "positions", "from 1", "your positions begin at 1",
                "the first token has position 0"),
        Mistake("positions-by-type", "positions", "by type", "positions are looked up by the token types",
                "each position has its own vector, whatever sentence it is in; use rows 0, 1, 2 and so on, along S"),
        Mistake("positions-along-batch", "positions", "batch", "the positions count the texts of the batch",
                "all tokens of a text get the same position, which depends on where the text is in the batch; count "
                "along S"),
        Mistake("types-forgotten", "types", "forgotten", "the token types are not added",
                "the first and the second sentence look the same"),
        Mistake("types-all-0", "types", "zero", "every token gets type 0",
                "the first and the second sentence look the same; look up the types by token_type_ids"),
        Mistake("words-times-root", "words", "times root",
                "the word vectors are multiplied by the square root of their width",
                "the first Transformer does that, but BERT and ALBERT do not"),
        Mistake("norm-n-1", "norm", "n - 1", "the norm's variance divides by E − 1",
                "that is the default of torch's var, for samples; a layer norm divides by E"),
        Mistake("norm-eps-outside", "norm", "eps outside", "the norm's eps is added to the standard deviation",
                "it belongs inside the root, √(variance + eps)"),
        Mistake("norm-by-std", "norm", "n - 1, eps outside", "the norm divides by torch's std plus eps",
                "std divides by E − 1, and eps belongs inside the root; use √(variance + eps) with a variance that "
                "divides by E"),
        Mistake("norm-not-affine", "norm", "not affine", "the norm's weight and bias are left out",
                "the model can no longer decide how large each feature should be; multiply by norm.weight and add "
                "norm.bias"),
        Mistake("eps-of-torch", "norm", "1e-5", "the norm uses torch's default eps, 1e-5",
                "word vectors are small at the start, and this eps is enough to shrink them; pass on `eps`"),
        Mistake("eps-always-1e-12", "norm", "1e-12", "the norm's eps is 1e-12, whatever `eps` says",
                "that is only the default; pass on `eps`"),
    ),
    hints=Hints(
        "Write the width of the last axis next to each step. Where does it change from E to D?",
        "Everything in BERT's embeddings happens at width E, including the norm. Then one linear layer takes each "
        "token to the width of the blocks.",
        "x = norm(word[ids] + position[0 … S−1] + type[types]), (B, S, E); result = x Wᵀ + b, (B, S, D).",
        "x = weights[\"word.weight\"][input_ids] + weights[\"position.weight\"][...] + ...\n"
        "x = F.layer_norm(x, x.shape[-1:], ..., ..., eps)\nreturn F.linear(x, ..., ...)",
    ),
    equivalents=(factorised_by_formula, factorised_by_modules, factorised_by_loop),
)  # fmt: skip
