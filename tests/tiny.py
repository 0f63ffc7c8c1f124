"""Tiny models and a padded batch that several test files share.

No two axes have the same size (only L, the token types and the pair's classes are all 2), so that a wrong axis
shows; and every parameter is random, biases and norms included, so that a forgotten one shows too.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from lab import assert_numbers, broken
from torch import Tensor, nn

from minibert.errors import MinibertError
from minibert.factory import build
from minibert.models.albert import AlbertConfig
from minibert.models.bert import BertConfig
from minibert.models.distilbert import DistilBertConfig
from minibert.models.mobilebert import MobileBertConfig
from minibert.models.roberta import RobertaConfig

B, S, V, D, H, K, F, E, L, C, POSITIONS = 5, 7, 31, 12, 3, 4, 20, 8, 2, 6, 9
SIZES = {
    "vocab_size": V,
    "hidden_size": D,
    "num_hidden_layers": L,
    "num_attention_heads": H,
    "intermediate_size": F,
    "max_position_embeddings": POSITIONS,
    "labels": tuple("abcdef"),
}
CONFIGS = {
    "bert": BertConfig(**SIZES),
    "roberta": RobertaConfig(**{**SIZES, "max_position_embeddings": POSITIONS + 2, "type_vocab_size": 2}),
    "distilbert": DistilBertConfig(**SIZES),
    "albert": AlbertConfig(**SIZES, embedding_size=E),
    # as wide inside as the teacher is, and with a layer in the pooler, which the released one lacks
    "mobilebert": MobileBertConfig(
        **SIZES, embedding_size=E, intra_bottleneck_size=15, num_feedforward_networks=3, hidden_dropout_prob=0.1
    ),
}
FAMILIES = tuple(CONFIGS)
CLASSIFIERS = ("sequence-classification", "token-classification", "question-answering")
HEADS = {
    "bert": (None, "masked-lm", "pretraining", *CLASSIFIERS),
    "roberta": (None, "masked-lm", *CLASSIFIERS),
    "distilbert": (None, "masked-lm", *CLASSIFIERS),
    "albert": (None, "masked-lm", "pretraining", *CLASSIFIERS),
    "mobilebert": (None, "masked-lm", "pretraining", *CLASSIFIERS),
}
# The families whose tokens meet in attention alone; MobileBERT's read their neighbours' embeddings as well.
MEET_IN_ATTENTION = tuple(family for family in FAMILIES if family != "mobilebert")
EVERY_MODEL = [(family, head) for family in FAMILIES for head in HEADS[family]]

# tests/golden/<name> -> the head that its numbers come from
GOLDEN = {
    "bert": "pretraining",
    "bert-classifier": "sequence-classification",
    "bert-token-classifier": "token-classification",
    "bert-question-answering": "question-answering",
    "roberta": "masked-lm",
    "roberta-classifier": "sequence-classification",
    "distilbert": "masked-lm",
    "distilbert-classifier": "sequence-classification",
    "albert": "pretraining",
    "albert-classifier": "sequence-classification",
}

# A batch of five texts: without padding, padded at the right, at the left, in the middle, and nothing but padding.
MASK = torch.tensor(
    [[1, 1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 0, 0, 0], [0, 0, 1, 1, 1, 1, 1], [1, 0, 1, 1, 0, 1, 1], [0, 0, 0, 0, 0, 0, 0]]
)
IDS = torch.randint(5, V, (B, S), generator=torch.Generator().manual_seed(1))
TYPES = torch.tensor([[0, 0, 0, 0, 1, 1, 1]]).repeat(B, 1)
REAL = MASK.bool()
BATCH = {"input_ids": IDS, "attention_mask": MASK, "token_type_ids": TYPES}


def randomise(module: nn.Module, seed: int = 0) -> nn.Module:
    """Draw every parameter, in place: around 1 for the scales of norms, around 0 for all others."""
    generator = torch.Generator().manual_seed(seed)
    scales = {id(part.weight) for part in module.modules() if isinstance(part, nn.LayerNorm)}
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_((id(parameter) in scales) + 0.5 * torch.randn(parameter.shape, generator=generator))
    return module


def tiny(family: str = "bert", head: str | None = None, seed: int = 0, **changes: Any) -> nn.Module:
    """A model of the family in float64 and evaluation mode; `changes` are fields of its config."""
    return randomise(build(replace(CONFIGS[family], **changes), head), seed).double().eval()


def randn(*shape: int, seed: int = 0) -> Tensor:
    """Normal numbers in float64, ready for a gradient."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).requires_grad_()


def numbers(*values: float | list) -> Tensor:
    """Numbers worked out by hand, in float64."""
    return torch.tensor(values, dtype=torch.float64)


def assert_close(actual: Any, expected: Any, tolerance: float | None = None, why: str | None = None) -> None:
    """Equal within an absolute tolerance, in one shape and dtype; NaN equals nothing.

    expected: a tensor, or numbers worked out by hand (nested lists), which have no dtype of their own. tolerance: by
    default 1e-12, and 1e-9 for numbers by hand. why: the property in words; a lab test's failure ends with it, or with
    the test's own (see lab.py).
    """
    __tracebackhide__ = True
    if not isinstance(expected, Tensor):
        return assert_numbers(actual, expected, 1e-9 if tolerance is None else tolerance, why)
    try:
        torch.testing.assert_close(actual, expected, rtol=0, atol=1e-12 if tolerance is None else tolerance)
    except AssertionError as problem:
        raise broken(str(problem), why) from None


def gradcheck(function: Any, inputs: Sequence[Tensor]) -> bool:
    return torch.autograd.gradcheck(function, tuple(inputs), atol=1e-6, rtol=1e-4, fast_mode=True)


def gradcheck_module(module: nn.Module, *inputs: Tensor, **settings: Any) -> bool:
    """Check the gradients of a module's output (its first, if many) with respect to inputs and all parameters."""
    names = [name for name, _ in module.named_parameters()]

    def run(*tensors: Tensor) -> Tensor:
        weights = dict(zip(names, tensors, strict=False))
        output = torch.func.functional_call(module, weights, tensors[len(names) :], settings)
        return output[0] if isinstance(output, tuple) else output

    return gradcheck(run, [*module.parameters(), *inputs])


def expect_refusal(*parts: str) -> Any:
    """The block must raise a MinibertError whose sentence has these parts, in this order."""
    return pytest.raises(MinibertError, match="(?s)" + ".*".join(re.escape(part) for part in parts))
