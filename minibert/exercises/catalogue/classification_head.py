"""The pooler and a classifier."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from minibert.exercises.calls import Call
from minibert.exercises.catalogue.common_layers import Weights
from minibert.exercises.declare import Exercise, Hints, Mistake, Probe
from minibert.exercises.probes import in_float32, randn
from minibert.factory import build
from minibert.model import Output
from minibert.models.bert import BertConfig


def reference(
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


def probes() -> list[Probe]:
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
        Probe("texts of one token", Call((randn(3, 1, 7, seed=7), weights)), {"B": 3, "D": 7, "C": 4}),
        Probe("in float32", Call(in_float32((randn(3, 5, 7, seed=8), weights))), axes),
    ]


def solution(hidden: Tensor, weights: Weights) -> Tensor:
    cls = hidden[:, 0]  # (B, D), the first token of every text
    pooled = torch.tanh(F.linear(cls, weights["pooler.weight"], weights["pooler.bias"]))
    return F.linear(pooled, weights["classifier.weight"], weights["classifier.bias"])


class Scored(nn.Module):
    """The part of a classification model that comes after the encoder."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, hidden: Tensor) -> Tensor:
        return self.model.score(Output(hidden, pooled=self.model.backbone.pooler(hidden)), hidden[..., 0], None).logits


def by_library(hidden: Tensor, weights: Weights) -> Tensor:
    labels = tuple(f"class {number}" for number in range(len(weights["classifier.bias"])))
    small = {"vocab_size": 2, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 1}
    config = BertConfig(hidden_size=hidden.shape[-1], labels=labels, **small)
    model = Scored(build(config, head="sequence-classification", seed=0).eval())
    names = {"pooler": "model.backbone.pooler.dense", "classifier": "model.classifier"}
    parameters = {f"{names[part]}.{kind}": weights[f"{part}.{kind}"] for part in names for kind in ("weight", "bias")}
    return functional_call(model, parameters, hidden)


def by_einsum(hidden: Tensor, weights: Weights) -> Tensor:
    pooled = torch.einsum("bsd,ed->bse", hidden, weights["pooler.weight"]) + weights["pooler.bias"]
    return torch.einsum("be,ce->bc", pooled.tanh()[:, 0], weights["classifier.weight"]) + weights["classifier.bias"]


def by_loop(hidden: Tensor, weights: Weights) -> Tensor:
    logits = []
    for text in hidden:
        pooled = 2 * torch.sigmoid(2 * (weights["pooler.weight"] @ text[0] + weights["pooler.bias"])) - 1
        logits.append(weights["classifier.weight"] @ pooled + weights["classifier.bias"])
    return torch.stack(logits)


def by_all_tokens(hidden: Tensor, weights: Weights) -> Tensor:
    pooled = torch.tanh(hidden @ weights["pooler.weight"].mT + weights["pooler.bias"])
    return (pooled @ weights["classifier.weight"].mT + weights["classifier.bias"]).select(1, 0)


EXERCISE = Exercise(
    name="classification-head",
    topic="bert",
    title="The pooler and a classifier",
    level="warm-up",
    minutes=5,
    function="classification_head",
    signature="hidden, weights",
    task=(
        "Classify whole texts into C classes: take the first token, [CLS], pass it through the pooler (a dense layer "
        "and tanh), and the result through the classifier (a linear layer).\n\n"
        "- `hidden`: (B, S, D), the output of the encoder\n"
        "- `weights`: a dict of tensors: `pooler.weight` (D, D), `pooler.bias` (D,), `classifier.weight` (C, D), "
        "`classifier.bias` (C,); both weights are used as in torch's linear layers, x Wᵀ + b\n"
        "- returns logits, (B, C), before any softmax. There is no dropout here."
    ),
    source="Devlin et al. 2019, sections 3 and 4.1; the pooler is in the released code (modeling.py)",
    reference=reference,
    solution=solution,
    library=by_library,
    probes=probes,
    mistakes=(
        Mistake("mean-of-tokens", "read", "mean", "you take the mean of all tokens",
                "that is a different model, and padding would count in the mean; BERT reads the first token"),
        Mistake("max-of-tokens", "read", "max", "you take the maximum over all tokens",
                "that is a different model, and padding would count in the maximum; BERT reads the first token"),
        Mistake("last-token", "read", "last", "you read the last token",
                "in most texts of a batch that is padding; [CLS] comes first"),
        Mistake("second-token", "read", "second", "you read the second token", "[CLS] has index 0"),
        Mistake("first-text", "read", "first text", "you take the first text, not the first token of each text",
                "the tokens of one text are classified; hidden[0] is a text, hidden[:, 0] are the first tokens"),
        Mistake("all-tokens", "read", "all", "you classify every token",
                "that is token classification; here each text gets one answer, from its first token"),
        Mistake("pooler-skipped", "pooler", "skipped", "the pooler is left out",
                "the classifier reads [CLS] straight from the encoder; a dense layer and tanh come in between"),
        Mistake("pooler-not-transposed", "pooler", "not transposed",
                "you multiply by pooler.weight, not by its transpose",
                "torch stores a linear layer's weight as (out, in), so compute x Wᵀ + b"),
        Mistake("tanh-first", "pooler", "tanh first", "the activation comes before the pooler's dense layer",
                "pooler and classifier are then two linear layers in a row; first dense, then tanh"),
        Mistake("tanh-missing", "activation", "none", "the pooler has no tanh",
                "pooler and classifier are then two linear layers in a row, which can do no more than one",
                "Multiply two linear layers out on paper: what is left of the first?"),
        Mistake("relu", "activation", "relu", "the pooler's activation is ReLU", "it should be tanh"),
        Mistake("gelu", "activation", "gelu", "the pooler's activation is GELU",
                "that is for the blocks and the masked-LM head; the pooler uses tanh"),
        Mistake("sigmoid-in-the-pooler", "activation", "sigmoid", "the pooler's activation is a sigmoid",
                "it should be tanh, from -1 to 1"),
        Mistake("pooler-bias-missing", "pooler_bias", False, "the pooler's bias is missing", "add pooler.bias"),
        Mistake("classifier-bias-missing", "classifier_bias", False, "the classifier's bias is missing",
                "add classifier.bias"),
        Mistake("dropout", "dropout", True, "you apply dropout to the pooled vector",
                "in training that is done outside of this function; F.dropout is active unless you pass "
                "training=False, and then every call gives a different answer"),
        Mistake("softmax-applied", "returned", "softmax", "you return probabilities",
                "the loss contains a softmax, and would apply it a second time; return the logits"),
        Mistake("log-softmax-applied", "returned", "log", "you return log-probabilities",
                "the task asks for the logits"),
        Mistake("sigmoid-applied", "returned", "sigmoid", "you apply a sigmoid to the logits",
                "that is for classes that do not exclude each other; return the logits"),
        Mistake("class-returned", "returned", "class", "you return the index of the best class",
                "no gradient flows through an argmax; return the scores of all classes"),
    ),
    hints=Hints(
        "Three steps: (B, S, D) → (B, D) → (B, D) → (B, C). Which of them removes S?",
        "The first token of every text represents the whole text. The pooler was trained with BERT; only the "
        "classifier is new for each task.",
        "pooled = tanh(h₀ Wᵖᵀ + bᵖ); logits = pooled Wᶜᵀ + bᶜ, with h₀ = hidden[:, 0].",
        'pooled = torch.tanh(F.linear(hidden[...], weights["pooler.weight"], ...))\nreturn F.linear(pooled, ..., ...)',
    ),
    equivalents=(by_einsum, by_loop, by_all_tokens),
)  # fmt: skip
