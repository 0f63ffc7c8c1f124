"""The masked-LM head: scores for every word of the vocabulary."""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from minibert.exercises.calls import Call
from minibert.exercises.catalogue.common_layers import NORM_MISTAKES, Weights, normed
from minibert.exercises.declare import Exercise, Hints, Mistake, Probe
from minibert.exercises.probes import in_float32, randn
from minibert.layers import MaskedLMHead


def reference(
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
    """The masked-LM head with knobs; the defaults are BERT's released code."""
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


def probes() -> list[Probe]:
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
        Probe("one text of one token", Call((hidden[:1, :1], words, weights, 0.1)), {"D": 5, "V": 11}),
        Probe("in float32", Call(in_float32((hidden, words, weights, 0.1))), axes),
    ]


def solution(hidden: Tensor, word_embeddings: Tensor, weights: Weights, eps: float = 1e-12) -> Tensor:
    x = F.linear(hidden, weights["dense.weight"], weights["dense.bias"])
    x = F.gelu(x)
    x = F.layer_norm(x, x.shape[-1:], weights["norm.weight"], weights["norm.bias"], eps)
    # The score of a word is the dot product with its embedding: from the table that embeds the input, not a copy.
    return x @ word_embeddings.T + weights["bias"]


def by_library(hidden: Tensor, word_embeddings: Tensor, weights: Weights, eps: float = 1e-12) -> Tensor:
    module = MaskedLMHead(hidden.shape[-1], word_embeddings.shape[1], len(word_embeddings), "gelu", eps)
    return functional_call(module, dict(weights), (hidden, word_embeddings))


def by_einsum(hidden: Tensor, word_embeddings: Tensor, weights: Weights, eps: float = 1e-12) -> Tensor:
    x = torch.einsum("bsd,ed->bse", hidden, weights["dense.weight"]) + weights["dense.bias"]
    x = x * 0.5 * (1 + torch.erf(x / 2**0.5))
    x = x - x.mean(-1, keepdim=True)
    x = x / (x.pow(2).mean(-1, keepdim=True) + eps).sqrt() * weights["norm.weight"] + weights["norm.bias"]
    return torch.einsum("bse,ve->bsv", x, word_embeddings) + weights["bias"]


def by_loop(hidden: Tensor, word_embeddings: Tensor, weights: Weights, eps: float = 1e-12) -> Tensor:
    x = F.gelu(hidden @ weights["dense.weight"].t() + weights["dense.bias"])
    x = F.layer_norm(x, (x.size(-1),), weights["norm.weight"], weights["norm.bias"], eps)
    scores = [(x * word).sum(-1) + own for word, own in zip(word_embeddings, weights["bias"], strict=True)]
    return torch.stack(scores, dim=-1)


def by_rows(hidden: Tensor, word_embeddings: Tensor, weights: Weights, eps: float = 1e-12) -> Tensor:
    tokens = rearrange(hidden, "b s d -> (b s) d")
    x = torch.addmm(weights["dense.bias"], tokens, weights["dense.weight"].T)
    norm = nn.LayerNorm(x.shape[-1], eps)
    x = functional_call(norm, {"weight": weights["norm.weight"], "bias": weights["norm.bias"]}, F.gelu(x))
    return rearrange(F.linear(x, word_embeddings, weights["bias"]), "(b s) v -> b s v", b=len(hidden))


EXERCISE = Exercise(
    name="masked-lm-head",
    topic="bert",
    title="The masked-LM head",
    level="core",
    minutes=10,
    function="masked_lm_head",
    signature="hidden, word_embeddings, weights, eps=1e-12",
    task=(
        "Score every word of the vocabulary for every token: a dense layer, GELU, a layer norm, and then a dot product "
        "with each word's embedding.\n\n"
        "- `hidden`: (B, S, D), the output of the encoder\n"
        "- `word_embeddings`: (V, D), the same table that embeds the input (\"tied\"). The head trains it "
        "too: its gradient flows into this tensor\n"
        "- `weights`: a dict of tensors: `dense.weight` (D, D), used as in torch's linear layers, x Wᵀ + b, "
        "`dense.bias` (D,), `norm.weight` and `norm.bias` (D,), and `bias` (V,), one number for each word, added at "
        "the end\n"
        "- `eps`: what the norm adds to the variance, inside the root\n"
        "- returns logits, (B, S, V), before any softmax. Use the exact GELU, with erf."
    ),
    source="Devlin et al. 2019, section 3.1, task 1; the transform is in the released code (run_pretraining.py)",
    reference=reference,
    solution=solution,
    library=by_library,
    probes=probes,
    mistakes=(
        Mistake("transform-missing", "transform", "left out",
                "the hidden states are compared with the embeddings directly",
                "a dense layer, GELU and a norm come first, and turn the vector of a position into one for a word"),
        Mistake("dense-not-transposed", "transform", "not transposed",
                "you multiply by dense.weight, not by its transpose",
                "torch stores a linear layer's weight as (out, in), so compute x Wᵀ + b"),
        Mistake("residual-before-the-norm", "transform", "residual before the norm",
                "you add the hidden states before the norm",
                "the head is not an encoder block, and nothing is added back"),
        Mistake("residual-added", "transform", "with a residual", "you add the hidden states to the transformed ones",
                "that is right inside the encoder's blocks; the head has no residual connection"),
        Mistake("relu", "activation", "relu", "your activation is ReLU", "BERT uses GELU here, as in its blocks"),
        Mistake("activation-missing", "activation", "none", "there is no activation after the dense layer",
                "the transform is then little more than another linear layer; put GELU between dense layer and norm"),
        Mistake("gelu-by-tanh", "activation", "tanh gelu", "your GELU is the tanh approximation",
                "it is off by up to 5e-4, which adds up; use erf, the default of F.gelu"),
        Mistake("tanh", "activation", "tanh", "your activation is tanh",
                "that is the pooler's activation; here it is GELU"),
        Mistake("norm-before-activation", "place", "before the activation", "the norm comes before the activation",
                "what is compared with the embeddings is then not normalised; the order is dense, GELU, norm"),
        Mistake("norm-before-dense", "place", "before the dense layer", "the norm comes before the dense layer",
                "what is compared with the embeddings is then not normalised; the order is dense, GELU, norm"),
        *NORM_MISTAKES,
        Mistake("dense-bias-missing", "dense_bias", False, "the dense layer has no bias", "add dense.bias"),
        Mistake("bias-missing", "bias", False, "the bias over the vocabulary is missing",
                "it says how frequent a word is, which the word's embedding would have to store instead; add `bias` at "
                "the end"),
        Mistake("tied-by-a-copy", "tied", "a copy", "you compare with a copy of the embeddings that learns nothing",
                "the two tables differ after the first step; use the tensor itself, without detach or .data",
                "The numbers are right. What happens to the embeddings when the loss is backpropagated?"),
        Mistake("embeddings-not-transposed", "transposed", False, "the embeddings are not transposed",
                "(B, S, D) times (V, D) does not fit; a word's score is the dot product of two vectors of D numbers"),
        Mistake("softmax-applied", "returned", "softmax", "you return probabilities",
                "the loss contains a softmax, and would apply it a second time; return the logits"),
        Mistake("log-softmax-applied", "returned", "log", "you return log-probabilities",
                "the task asks for the logits, which are the result of the last sum"),
    ),
    hints=Hints(
        "Count the steps: dense, GELU, norm, compare, bias. Which of them have their own weights, and which one uses "
        "the weights of another layer?",
        "To score a word, take the dot product of a vector with that word's embedding. For all words at once, this is "
        "a matrix product with the transposed table.",
        "logits = LN(GELU(h Wᵀ + b)) Eᵀ + bias.",
        'x = F.linear(hidden, ..., weights["dense.bias"])\nx = F.layer_norm(F.gelu(x), ...)\n'
        "return x @ word_embeddings... + ...",
    ),
    equivalents=(by_einsum, by_loop, by_rows),
)  # fmt: skip
