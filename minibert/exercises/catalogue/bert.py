"""BERT's two ends: the embeddings that go in, and the heads that read what comes out."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from minibert.classroom.worker import Call
from minibert.encoder import Output
from minibert.exercises.engine import Exercise, Hints, Mistake, Probe
from minibert.exercises.probes import randint, randn
from minibert.factory import build
from minibert.heads import MaskedLMHead
from minibert.layers import Embeddings
from minibert.models.bert import BertConfig

Weights = Mapping[str, Tensor]


def normed(x: Tensor, weights: Weights, eps: float, norm: str) -> Tensor:
    """A layer norm with a knob of its own; "right" is right."""
    if norm == "none":
        return x
    spread = (x - x.mean(-1, keepdim=True)) / {
        "n - 1": (x.var(-1, correction=1, keepdim=True) + eps).sqrt(),
        "eps outside": x.std(-1, correction=0, keepdim=True) + eps,
        "no eps": x.std(-1, correction=0, keepdim=True),
        "1e-5": (x.var(-1, correction=0, keepdim=True) + 1e-5).sqrt(),
    }.get(norm, (x.var(-1, correction=0, keepdim=True) + eps).sqrt())
    return spread if norm == "not affine" else spread * weights["norm.weight"] + weights["norm.bias"]


NORM_MISTAKES = (
    Mistake("norm-forgotten", "norm", "none", "there is no layer norm",
            "the size of the numbers is left to chance; normalise over the features"),
    Mistake("norm-not-affine", "norm", "not affine", "the norm's weight and bias are left out",
            "the model can no longer say how large a feature is to be; multiply by norm.weight and add norm.bias"),
    Mistake("norm-n-1", "norm", "n - 1", "the norm's variance divides by D - 1",
            "that is var's default in torch, for samples; a layer norm divides by D"),
    Mistake("norm-eps-outside", "norm", "eps outside", "the norm's eps is added to the standard deviation",
            "it belongs inside the root: √(variance + eps)"),
    Mistake("norm-eps-is-1e-5", "norm", "1e-5", "the norm's eps is 1e-5 whatever is asked for",
            "that is torch's default; hand eps on"),
    Mistake("norm-without-eps", "norm", "no eps", "the norm does not use eps",
            "tokens whose features are all equal become 0/0; it stands inside the root: √(variance + eps)"),
)  # fmt: skip

# -------------------------------------------------------------------------------------------------- embeddings


def embeddings_reference(
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
) -> Tensor:
    """The embeddings with knobs; the defaults are figure 2 of Devlin et al. 2019 and the released code."""
    length, table = input_ids.shape[1], weights["position.weight"]
    word = weights["word.weight"][input_ids]
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


def embeddings_probes() -> list[Probe]:
    axes = {"B": 3, "S": 5, "D": 6, "V": 11, "N": 2, "P": 9}
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
        Probe("the same word everywhere", Call((torch.full((3, 5), 7), 0 * types, weights)), axes),
    ]


def embeddings(input_ids: Tensor, token_type_ids: Tensor, weights: Weights, eps: float = 1e-12) -> Tensor:
    word = weights["word.weight"][input_ids]  # (B, S, D)
    position = weights["position.weight"][: input_ids.shape[1]]  # (S, D), the same for every text
    token_type = weights["token_type.weight"][token_type_ids]  # (B, S, D)
    x = word + position + token_type
    return F.layer_norm(x, x.shape[-1:], weights["norm.weight"], weights["norm.bias"], eps)


def embeddings_by_library(input_ids: Tensor, token_type_ids: Tensor, weights: Weights, eps: float = 1e-12) -> Tensor:
    (vocabulary, width), (most, _) = weights["word.weight"].shape, weights["position.weight"].shape
    module = Embeddings(vocabulary, most, len(weights["token_type.weight"]), width, eps, dropout=0.0)
    return functional_call(module, dict(weights), (input_ids, torch.arange(input_ids.shape[1]), token_type_ids))


def embeddings_by_one_hot(input_ids: Tensor, token_type_ids: Tensor, weights: Weights, eps: float = 1e-12) -> Tensor:
    position_ids = torch.arange(input_ids.shape[1]).expand_as(input_ids)
    x = torch.zeros(())
    for ids, name in ((input_ids, "word"), (position_ids, "position"), (token_type_ids, "token_type")):
        table = weights[f"{name}.weight"]
        x = x + torch.einsum("bsv,vd->bsd", F.one_hot(ids, len(table)).to(table.dtype), table)
    mean, variance = x.mean(-1, keepdim=True), x.var(-1, unbiased=False, keepdim=True)
    return (x - mean) * torch.rsqrt(variance + eps) * weights["norm.weight"] + weights["norm.bias"]


def embeddings_by_loop(input_ids: Tensor, token_type_ids: Tensor, weights: Weights, eps: float = 1e-12) -> Tensor:
    texts = []
    for ids, types in zip(input_ids.tolist(), token_type_ids.tolist(), strict=True):
        for place, (token, kind) in enumerate(zip(ids, types, strict=True)):
            x = weights["token_type.weight"][kind] + weights["word.weight"][token] + weights["position.weight"][place]
            x = x - x.mean()
            texts.append(x / torch.sqrt((x * x).mean() + eps) * weights["norm.weight"] + weights["norm.bias"])
    return torch.stack(texts).reshape(*input_ids.shape, -1)


def embeddings_by_modules(input_ids: Tensor, token_type_ids: Tensor, weights: Weights, eps: float = 1e-12) -> Tensor:
    position_ids = torch.arange(input_ids.size(1)).unsqueeze(0)
    x = F.embedding(input_ids, weights["word.weight"])
    x = x + F.embedding(position_ids, weights["position.weight"])
    x = x + F.embedding(token_type_ids, weights["token_type.weight"])
    norm = nn.LayerNorm(x.size(-1), eps=eps, dtype=x.dtype)
    return functional_call(norm, {"weight": weights["norm.weight"], "bias": weights["norm.bias"]}, x)


EMBEDDINGS = Exercise(
    name="embeddings",
    topic="bert",
    title="BERT's embeddings",
    function="embeddings",
    signature="input_ids, token_type_ids, weights, eps=1e-12",
    task=(
        "Make a vector of each token: what it is + where it stands + which sentence it belongs to, then a layer "
        "norm.\n\n"
        "- `input_ids`: (B, S), whole numbers below V\n"
        "- `token_type_ids`: (B, S), 0 for the first sentence and 1 for the second\n"
        "- `weights`: a dict of tensors: `word.weight` (V, D), `position.weight` (P, D), with P at least S, "
        "`token_type.weight` (2, D), and the norm's `norm.weight` and `norm.bias` (D,)\n"
        "- `eps`: what the norm adds to the variance, inside the root\n"
        "- returns (B, S, D). Positions count from 0. There is no dropout here, and the words are not scaled."
    ),
    source="Devlin et al. 2019, section 3 and figure 2; the norm is in the released code",
    reference=embeddings_reference,
    solution=embeddings,
    library=embeddings_by_library,
    probes=embeddings_probes,
    mistakes=(
        Mistake("no-token-types", "types", "left out", "the token types are left out",
                "the model cannot tell the second sentence from the first; add token_type.weight[token_type_ids]"),
        Mistake("token-types-all-0", "types", "all 0", "every token gets the vector of type 0",
                "the model cannot tell the second sentence from the first; look the types up"),
        Mistake("token-types-swapped", "types", "swapped", "types 0 and 1 are exchanged",
                "trained weights would take the first sentence for the second"),
        Mistake("positions-from-1", "positions", "from 1", "your positions count from 1",
                "every token gets its neighbour's vector, and a text of the greatest length does not fit; "
                "count from 0"),
        Mistake("positions-along-the-batch", "positions", "batch", "your positions count the texts and not the tokens",
                "all tokens of a text stand at one place, and a text's vectors change with its place in the batch; "
                "count along the second axis"),
        Mistake("no-positions", "positions", "none", "the positions are left out",
                "attention cannot see the order by itself: \"dog bites man\" is then \"man bites dog\""),
        Mistake("positions-all-0", "positions", "all 0", "every token gets the vector of position 0",
                "the model cannot see the order; take rows 0 to S - 1"),
        Mistake("positions-backwards", "positions", "backwards", "your positions count from the end",
                "[CLS] would stand at the end, and at another position in each batch"),
        Mistake("position-table-not-cut", "positions", "whole table", "you add the whole table of positions",
                "it has rows for the longest text there may be; take the first S"),
        Mistake("sinusoids", "positions", "sinusoids", "you use the fixed sinusoids of the Transformer",
                "BERT learned its positions: they are the rows of position.weight"),
        Mistake("words-scaled", "scaled", True, "the word vectors are multiplied by √D",
                "so does the Transformer (section 3.4), but not BERT: positions and types get too little weight"),
        Mistake("each-normed", "order", "each normed", "words, positions and types are normalised one by one",
                "the sum of three is not normalised; add first, then normalise once"),
        Mistake("only-words-normed", "order", "word normed alone",
                "the words are normalised before the rest is added", "add first, then normalise the sum"),
        *NORM_MISTAKES,
    ),
    hints=Hints(
        "Three tables, three lookups. What shape has each result, and which of them is the same for all texts?",
        "A lookup in a table is indexing: table[ids] turns (B, S) into (B, S, D). The positions are 0 ... S - 1 in "
        "every text, so that their (S, D) is broadcast over the batch.",
        "x = word[input_ids] + position[0 ... S-1] + token_type[token_type_ids]; "
        "result = (x − mean) / √(variance + eps) · weight + bias, over D.",
        'x = weights["word.weight"][...]\nx = x + weights["position.weight"][: ...]\n'
        'x = x + weights["token_type.weight"][...]\nreturn F.layer_norm(x, ..., weights["norm.weight"], ..., eps)',
    ),
    swap="embeddings",
    equivalents=(embeddings_by_one_hot, embeddings_by_loop, embeddings_by_modules),
)  # fmt: skip

# ---------------------------------------------------------------------------------------------- masked-lm head


def masked_lm_head_reference(
    hidden: Tensor,
    word_embeddings: Tensor,
    weights: Weights,
    eps: float = 1e-12,
    *,
    transform: str = "dense",
    activation: str = "gelu",
    norm: str = "right",
    place: str = "after the activation",
    dense_bias: bool = True,
    bias: bool = True,
    tied: str = "one tensor",
    transposed: bool = True,
    returned: str = "logits",
) -> Tensor:
    """The masked-lm head with knobs; the defaults are BERT's released code."""
    act = {
        "gelu": F.gelu,
        "tanh gelu": lambda x: F.gelu(x, approximate="tanh"),
        "relu": F.relu,
        "tanh": torch.tanh,
        "none": lambda x: x,
    }[activation]
    x = hidden
    if transform != "left out":
        if place == "before the dense layer":
            x = normed(x, weights, eps, norm)
        x = x @ (weights["dense.weight"] if transform == "not transposed" else weights["dense.weight"].T)
        x = x + weights["dense.bias"] if dense_bias else x
        if place == "before the activation":
            x = normed(x, weights, eps, norm)
        x = act(x)
        x = x + hidden if transform == "residual before the norm" else x
        if place == "after the activation":
            x = normed(x, weights, eps, norm)
        x = x + hidden if transform == "with a residual" else x
    table = word_embeddings.detach() if tied == "a copy" else word_embeddings
    logits = x @ (table.T if transposed else table)
    logits = logits + weights["bias"] if bias else logits
    return {"logits": lambda: logits, "softmax": lambda: logits.softmax(-1), "log": lambda: logits.log_softmax(-1)}[
        returned
    ]()


def masked_lm_head_probes() -> list[Probe]:
    axes = {"B": 2, "S": 3, "D": 5, "V": 11}
    weights = {
        "dense.weight": randn(5, 5, seed=1, scale=0.8),
        "dense.bias": randn(5, seed=2),
        "norm.weight": 1 + randn(5, seed=3, scale=0.3),
        "norm.bias": randn(5, seed=4, scale=0.3),
        "bias": randn(11, seed=5),
    }
    hidden, words = randn(2, 3, 5, seed=6), randn(11, 5, seed=7)
    return [
        Probe("a batch", Call((hidden, words, weights), grads=(0, 1, 2)), axes),
        Probe("with eps = 0.1", Call((hidden, words, weights, 0.1)), axes),
    ]


def masked_lm_head(hidden: Tensor, word_embeddings: Tensor, weights: Weights, eps: float = 1e-12) -> Tensor:
    x = F.linear(hidden, weights["dense.weight"], weights["dense.bias"])
    x = F.gelu(x)
    x = F.layer_norm(x, x.shape[-1:], weights["norm.weight"], weights["norm.bias"], eps)
    # A word's score is how well its own embedding fits: the same table as at the input, no copy of it.
    return x @ word_embeddings.T + weights["bias"]


def masked_lm_head_by_library(hidden: Tensor, word_embeddings: Tensor, weights: Weights, eps: float = 1e-12) -> Tensor:
    module = MaskedLMHead(hidden.shape[-1], word_embeddings.shape[1], len(word_embeddings), "gelu", eps)
    return functional_call(module, dict(weights), (hidden, word_embeddings))


def masked_lm_head_by_einsum(hidden: Tensor, word_embeddings: Tensor, weights: Weights, eps: float = 1e-12) -> Tensor:
    x = torch.einsum("bsd,ed->bse", hidden, weights["dense.weight"]) + weights["dense.bias"]
    x = x * 0.5 * (1 + torch.erf(x / 2**0.5))
    x = x - x.mean(-1, keepdim=True)
    x = x / (x.pow(2).mean(-1, keepdim=True) + eps).sqrt() * weights["norm.weight"] + weights["norm.bias"]
    return torch.einsum("bse,ve->bsv", x, word_embeddings) + weights["bias"]


def masked_lm_head_by_loop(hidden: Tensor, word_embeddings: Tensor, weights: Weights, eps: float = 1e-12) -> Tensor:
    x = F.gelu(hidden @ weights["dense.weight"].t() + weights["dense.bias"])
    x = F.layer_norm(x, (x.size(-1),), weights["norm.weight"], weights["norm.bias"], eps)
    scores = [(x * word).sum(-1) + own for word, own in zip(word_embeddings, weights["bias"], strict=True)]
    return torch.stack(scores, dim=-1)


def masked_lm_head_by_rows(hidden: Tensor, word_embeddings: Tensor, weights: Weights, eps: float = 1e-12) -> Tensor:
    tokens = rearrange(hidden, "b s d -> (b s) d")
    x = torch.addmm(weights["dense.bias"], tokens, weights["dense.weight"].T)
    norm = nn.LayerNorm(x.shape[-1], eps)
    x = functional_call(norm, {"weight": weights["norm.weight"], "bias": weights["norm.bias"]}, F.gelu(x))
    return rearrange(F.linear(x, word_embeddings, weights["bias"]), "(b s) v -> b s v", b=len(hidden))


MASKED_LM_HEAD = Exercise(
    name="masked-lm-head",
    topic="bert",
    title="The masked-LM head",
    function="masked_lm_head",
    signature="hidden, word_embeddings, weights, eps=1e-12",
    task=(
        "Score every word of the vocabulary for every token: a dense layer, GELU, a layer norm, and then a comparison "
        "with each word's embedding.\n\n"
        "- `hidden`: (B, S, D), what the encoder returns\n"
        "- `word_embeddings`: (V, D), the very table that the words go in by (\"tied\"). The head must learn it "
        "too: its gradient flows into this tensor\n"
        "- `weights`: a dict of tensors: `dense.weight` (D, D), used as torch's linear layers do, x Wᵀ + b, "
        "`dense.bias` (D,), `norm.weight` and `norm.bias` (D,), and `bias` (V,), one number a word, added at the end\n"
        "- `eps`: what the norm adds to the variance, inside the root\n"
        "- returns logits, (B, S, V), before any softmax. GELU is the exact one, with erf."
    ),
    source="Devlin et al. 2019, section 3.1, task 1; the transform is in the released code (run_pretraining.py)",
    reference=masked_lm_head_reference,
    solution=masked_lm_head,
    library=masked_lm_head_by_library,
    probes=masked_lm_head_probes,
    mistakes=(
        Mistake("transform-missing", "transform", "left out",
                "the hidden states are compared with the embeddings just as they are",
                "dense layer, GELU and norm stand between, and turn a vector for a place into one for a word"),
        Mistake("dense-not-transposed", "transform", "not transposed",
                "you multiply by dense.weight and not by its transpose",
                "torch keeps a linear layer's weight as (out, in): it is x Wᵀ + b"),
        Mistake("residual-before-the-norm", "transform", "residual before the norm",
                "you add the hidden states before the norm", "the head is no encoder block: nothing is added back"),
        Mistake("residual-added", "transform", "with a residual", "you add the hidden states to the transformed ones",
                "inside the encoder's blocks that is right; the head has no such path"),
        Mistake("relu", "activation", "relu", "your activation is ReLU", "BERT uses GELU here as everywhere"),
        Mistake("activation-missing", "activation", "none", "there is no activation after the dense layer",
                "the transform is then little more than another linear layer; put GELU between dense layer and norm"),
        Mistake("gelu-by-tanh", "activation", "tanh gelu", "your GELU is the approximation by tanh",
                "it is off by up to 5e-4, which adds up; use erf, the default of F.gelu"),
        Mistake("tanh", "activation", "tanh", "your activation is tanh", "that is the pooler's; here it is GELU"),
        Mistake("norm-before-activation", "place", "before the activation", "the norm stands before the activation",
                "what meets the embeddings is then not normalised; the order is dense, GELU, norm"),
        Mistake("norm-before-dense", "place", "before the dense layer", "the norm stands before the dense layer",
                "what meets the embeddings is then not normalised; the order is dense, GELU, norm"),
        *NORM_MISTAKES,
        Mistake("dense-bias-missing", "dense_bias", False, "the dense layer has no bias", "add dense.bias"),
        Mistake("bias-missing", "bias", False, "the bias over the vocabulary is missing",
                "it says how frequent a word is, which would now have to hide in its embedding; add `bias` at the "
                "end"),
        Mistake("tied-by-a-copy", "tied", "a copy", "you compare with a copy of the embeddings that learns nothing",
                "the two tables come apart after the first step; use the tensor itself, without detach or .data",
                "The numbers are right. What happens to the embeddings when the loss flows back?"),
        Mistake("embeddings-not-transposed", "transposed", False, "the embeddings are not transposed",
                "(B, S, D) times (V, D) does not fit; a word's score is the dot product of two vectors of D numbers"),
        Mistake("softmax-applied", "returned", "softmax", "you return probabilities",
                "the loss has a softmax of its own, and would apply it a second time; return the logits"),
        Mistake("log-softmax-applied", "returned", "log", "you return logarithms of probabilities",
                "what is asked for are the logits, as they come from the last sum"),
    ),
    hints=Hints(
        "Count the steps: dense, GELU, norm, compare, bias. Which of them has a weight of its own, and which borrows?",
        "To score a word is to compare a vector with that word's embedding by a dot product. With all words at once it "
        "is a matrix product with the table, transposed.",
        "logits = LN(GELU(h Wᵀ + b)) Eᵀ + bias.",
        'x = F.linear(hidden, ..., weights["dense.bias"])\nx = F.layer_norm(F.gelu(x), ...)\n'
        "return x @ word_embeddings... + ...",
    ),
    equivalents=(masked_lm_head_by_einsum, masked_lm_head_by_loop, masked_lm_head_by_rows),
)  # fmt: skip

# ------------------------------------------------------------------------------------------ classification head


def classification_head_reference(
    hidden: Tensor,
    weights: Weights,
    *,
    read: str = "first",
    pooler: str = "dense",
    activation: str = "tanh",
    pooler_bias: bool = True,
    classifier_bias: bool = True,
    dropout: bool = False,
    returned: str = "logits",
) -> Tensor:
    """The classification head with knobs; the defaults are BERT's released code."""
    x = {
        "first": lambda: hidden[:, 0],
        "second": lambda: hidden[:, 1],
        "last": lambda: hidden[:, -1],
        "mean": lambda: hidden.mean(dim=1),
        "max": lambda: hidden.amax(dim=1),
        "first text": lambda: hidden[0],
        "all": lambda: hidden,
        "first feature": lambda: hidden[:, :, 0],
    }[read]()
    act = {
        "tanh": torch.tanh,
        "none": lambda x: x,
        "relu": F.relu,
        "gelu": F.gelu,
        "sigmoid": torch.sigmoid,
    }[activation]
    if pooler != "skipped":
        x = act(x) if pooler == "tanh first" else x
        x = x @ (weights["pooler.weight"] if pooler == "not transposed" else weights["pooler.weight"].T)
        x = x + weights["pooler.bias"] if pooler_bias else x
        x = x if pooler == "tanh first" else act(x)
    x = F.dropout(x, 0.1) if dropout else x
    logits = x @ weights["classifier.weight"].T
    logits = logits + weights["classifier.bias"] if classifier_bias else logits
    return {
        "logits": lambda: logits,
        "softmax": lambda: logits.softmax(-1),
        "log": lambda: logits.log_softmax(-1),
        "sigmoid": lambda: logits.sigmoid(),
        "class": lambda: logits.argmax(-1),
    }[returned]()


def classification_head_probes() -> list[Probe]:
    axes = {"B": 3, "S": 5, "D": 7, "C": 4}
    weights = {
        "pooler.weight": randn(7, 7, seed=1, scale=0.5),
        "pooler.bias": randn(7, seed=2, scale=0.5),
        "classifier.weight": randn(4, 7, seed=3),
        "classifier.bias": randn(4, seed=4),
    }
    return [
        Probe("a batch", Call((randn(3, 5, 7, seed=5), weights), grads=(0, 1)), axes),
        Probe("one text", Call((randn(1, 6, 7, seed=6), weights)), axes | {"B": 1, "S": 6}),
    ]


def classification_head(hidden: Tensor, weights: Weights) -> Tensor:
    cls = hidden[:, 0]  # (B, D), the first token of every text
    pooled = torch.tanh(F.linear(cls, weights["pooler.weight"], weights["pooler.bias"]))
    return F.linear(pooled, weights["classifier.weight"], weights["classifier.bias"])


class Scored(nn.Module):
    """A classifying model from its last hidden states on."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, hidden: Tensor) -> Tensor:
        return self.model.score(Output(hidden, pooled=self.model.backbone.pooler(hidden)), None).logits


def classification_head_by_library(hidden: Tensor, weights: Weights) -> Tensor:
    labels = tuple(f"class {number}" for number in range(len(weights["classifier.bias"])))
    small = {"vocab_size": 2, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 1}
    config = BertConfig(hidden_size=hidden.shape[-1], labels=labels, **small)
    model = Scored(build(config, head="sequence-classification", seed=0).eval())
    names = {"pooler": "model.backbone.pooler.dense", "classifier": "model.classifier"}
    parameters = {f"{names[part]}.{kind}": weights[f"{part}.{kind}"] for part in names for kind in ("weight", "bias")}
    return functional_call(model, parameters, hidden)


def classification_head_by_einsum(hidden: Tensor, weights: Weights) -> Tensor:
    pooled = torch.einsum("bsd,ed->bse", hidden, weights["pooler.weight"]) + weights["pooler.bias"]
    return torch.einsum("be,ce->bc", pooled.tanh()[:, 0], weights["classifier.weight"]) + weights["classifier.bias"]


def classification_head_by_loop(hidden: Tensor, weights: Weights) -> Tensor:
    logits = []
    for text in hidden:
        pooled = 2 * torch.sigmoid(2 * (weights["pooler.weight"] @ text[0] + weights["pooler.bias"])) - 1
        logits.append(weights["classifier.weight"] @ pooled + weights["classifier.bias"])
    return torch.stack(logits)


def classification_head_by_all_tokens(hidden: Tensor, weights: Weights) -> Tensor:
    pooled = torch.tanh(hidden @ weights["pooler.weight"].mT + weights["pooler.bias"])
    return (pooled @ weights["classifier.weight"].mT + weights["classifier.bias"]).select(1, 0)


CLASSIFICATION_HEAD = Exercise(
    name="classification-head",
    topic="bert",
    title="The pooler and a classifier",
    function="classification_head",
    signature="hidden, weights",
    task=(
        "Sort whole texts into C classes: take the first token, [CLS], send it through the pooler (a dense layer and "
        "tanh), and the result through the classifier (a linear layer).\n\n"
        "- `hidden`: (B, S, D), what the encoder returns\n"
        "- `weights`: a dict of tensors: `pooler.weight` (D, D), `pooler.bias` (D,), `classifier.weight` (C, D), "
        "`classifier.bias` (C,); both weights are used as torch's linear layers do, x Wᵀ + b\n"
        "- returns logits, (B, C), before any softmax. There is no dropout here."
    ),
    source="Devlin et al. 2019, sections 3 and 4.1; the pooler is in the released code (modeling.py)",
    reference=classification_head_reference,
    solution=classification_head,
    library=classification_head_by_library,
    probes=classification_head_probes,
    mistakes=(
        Mistake("mean-of-tokens", "read", "mean", "you take the mean of all tokens",
                "that is another model, and padding would count in it; BERT reads the first token"),
        Mistake("max-of-tokens", "read", "max", "you take the maximum over all tokens",
                "that is another model, and padding would count in it; BERT reads the first token"),
        Mistake("last-token", "read", "last", "you read the last token",
                "in most texts of a batch that is padding; [CLS] stands first"),
        Mistake("second-token", "read", "second", "you read the second token", "[CLS] has the number 0"),
        Mistake("first-text", "read", "first text", "you take the first text and not the first token of each",
                "the tokens of one text are sorted into classes; hidden[0] is a text, hidden[:, 0] are first tokens"),
        Mistake("all-tokens", "read", "all", "you classify every token",
                "that is for naming tokens; here one answer a text is wanted, from its first token"),
        Mistake("pooler-skipped", "pooler", "skipped", "the pooler is left out",
                "the classifier reads [CLS] as the encoder left it; a dense layer and tanh stand between"),
        Mistake("pooler-not-transposed", "pooler", "not transposed",
                "you multiply by pooler.weight and not by its transpose",
                "torch keeps a linear layer's weight as (out, in): it is x Wᵀ + b"),
        Mistake("tanh-first", "pooler", "tanh first", "the activation stands before the pooler's dense layer",
                "pooler and classifier then are two linear layers in a row; first dense, then tanh"),
        Mistake("tanh-missing", "activation", "none", "the pooler has no tanh",
                "pooler and classifier then are two linear layers in a row, which can do no more than one"),
        Mistake("relu", "activation", "relu", "the pooler's activation is ReLU", "it is tanh"),
        Mistake("gelu", "activation", "gelu", "the pooler's activation is GELU",
                "that is for the blocks and the masked-LM head; the pooler has tanh"),
        Mistake("sigmoid-in-the-pooler", "activation", "sigmoid", "the pooler's activation is a sigmoid",
                "it is tanh, from -1 to 1"),
        Mistake("pooler-bias-missing", "pooler_bias", False, "the pooler's bias is missing", "add pooler.bias"),
        Mistake("classifier-bias-missing", "classifier_bias", False, "the classifier's bias is missing",
                "add classifier.bias"),
        Mistake("dropout", "dropout", True, "you apply dropout to the pooled vector",
                "in training that is done, outside of this function; F.dropout is active unless training=False is "
                "said, and then no two answers are alike"),
        Mistake("softmax-applied", "returned", "softmax", "you return probabilities",
                "the loss has a softmax of its own, and would apply it a second time; return the logits"),
        Mistake("log-softmax-applied", "returned", "log", "you return logarithms of probabilities",
                "what is asked for are the logits"),
        Mistake("sigmoid-applied", "returned", "sigmoid", "you apply a sigmoid to the logits",
                "that is for classes that do not exclude each other; return the logits"),
        Mistake("class-returned", "returned", "class", "you return the number of the best class",
                "there is no gradient through an argmax; return the scores of all classes"),
    ),
    hints=Hints(
        "Three shapes: (B, S, D) → (B, D) → (B, D) → (B, C). Which step gets rid of S?",
        "The first token of every text stands for the whole text. The pooler was trained with BERT; only the "
        "classifier is new for each task.",
        "pooled = tanh(h₀ Wᵖᵀ + bᵖ); logits = pooled Wᶜᵀ + bᶜ, with h₀ = hidden[:, 0].",
        'pooled = torch.tanh(F.linear(hidden[...], weights["pooler.weight"], ...))\nreturn F.linear(pooled, ..., ...)',
    ),
    equivalents=(classification_head_by_einsum, classification_head_by_loop, classification_head_by_all_tokens),
)  # fmt: skip

EXERCISES = (EMBEDDINGS, MASKED_LM_HEAD, CLASSIFICATION_HEAD)
