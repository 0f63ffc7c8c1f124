"""Losses are computed in float32, whatever comes in; what cannot be computed is refused.

Expected values: the same loss of the same numbers, cast to float32 first.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from tiny import BATCH, B, C, S, V, assert_close, expect_refusal, gradcheck, randn, tiny
from torch import Tensor

from minibert.heads import MeanPooled
from minibert.losses import cross_entropy, divergence, mean_of, mean_vector, text_loss
from minibert.training.distillation import cosine_hidden_loss, distillation_loss, triple_loss
from minibert.training.transfer import attention_transfer_loss, feature_map_loss

HALVES = (torch.bfloat16, torch.float16)


def normal(*shape: int, seed: int = 0, scale: float = 1.0) -> Tensor:
    return scale * torch.randn(shape, generator=torch.Generator().manual_seed(seed))


CLASSES = torch.randint(0, 5000, (64,), generator=torch.Generator().manual_seed(3))
TEACHER = normal(64, 5000, seed=1, scale=3.0)
# What is near, as a student's logits are after some training; what is far; what overflows float16 when it is summed up.
STUDENTS = {"near": TEACHER + normal(64, 5000, scale=0.1), "far": normal(64, 5000, scale=20.0)}
LOSSES: dict[str, Callable[[Tensor, Any], Tensor]] = {
    "distillation": lambda x, t: distillation_loss(x, t),
    "distillation, hot": lambda x, t: distillation_loss(x, t, temperature=0.3),
    "cosine": lambda x, t: cosine_hidden_loss(x, t),
    "cross-entropy": lambda x, t: cross_entropy(x, CLASSES),
    "triple": lambda x, t: triple_loss(x, t, CLASSES, x, t).total,
    "regression": lambda x, t: text_loss(x, t, "regression"),
    "multi-label": lambda x, t: text_loss(x, (t > 0).float(), "multi_label_classification"),
    "feature map": lambda x, t: feature_map_loss(x, t).total,
    "mean": lambda x, t: mean_vector(x[None]).float().sum() / 64,
}


@pytest.mark.many
@pytest.mark.parametrize("autocast", [False, True], ids=["", "autocast"])
@pytest.mark.parametrize("dtype", HALVES, ids=str)
@pytest.mark.parametrize("student", STUDENTS)
@pytest.mark.parametrize("loss", LOSSES)
def test_a_loss_of_half_precision_is_that_of_the_same_numbers_in_float32(loss, student, dtype, autocast):
    x, teacher = STUDENTS[student].to(dtype), TEACHER.to(dtype)
    half, full = x.clone().requires_grad_(), x.float().requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16) if autocast else nullcontext():
        found = LOSSES[loss](half, teacher)
    expected = LOSSES[loss](full, teacher.float())
    found.backward()
    expected.backward()
    step = torch.finfo(dtype).eps if loss == "mean" else 1e-6  # a mean vector returns in the model's own precision
    assert abs(found.item() - expected.item()) <= step * max(abs(expected.item()), 1.0)
    assert half.grad.dtype == dtype
    # The three terms' gradients are added up where they meet, in the precision of the numbers.
    meet = 2 * torch.finfo(dtype).eps * full.grad.abs().max().item() if loss == "triple" else 0.0
    assert_close(half.grad, full.grad.to(dtype), meet)


@pytest.mark.parametrize("dtype", HALVES, ids=str)
def test_sums_that_float16_cannot_hold(dtype):
    """Norms of vectors, squares and totals above 65504, from numbers that are below it."""
    wide, other = normal(8, 768, scale=300.0).to(dtype), normal(8, 768, seed=1, scale=300.0).to(dtype)
    for loss in (
        cosine_hidden_loss,
        lambda x, t: text_loss(x, t, "regression"),
        lambda x, t: mean_vector(x.abs()[None]).float(),
        lambda x, t: feature_map_loss(x, t).total,
        lambda x, t: cross_entropy(x, torch.zeros(8).long()),
        lambda x, t: distillation_loss(x.expand(1000, 8, 768), t.expand(1000, 8, 768)),
    ):
        found, expected = loss(wide, other).float(), loss(wide.float(), other.float())
        assert found.isfinite().all()
        torch.testing.assert_close(found, expected, rtol=1e-6 if found.dim() == 0 else 1e-2, atol=0)


def test_float64_stays_float64():
    x, t = randn(3, V), randn(3, V, seed=1)
    for loss in (distillation_loss, cosine_hidden_loss, lambda x, t: text_loss(x, t.detach(), "regression")):
        assert loss(x, t).dtype == torch.float64
    assert gradcheck(lambda x: distillation_loss(x, t, 0.7), [x])
    assert gradcheck(lambda x: text_loss(x, (t > 0).double(), "multi_label_classification"), [x])


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, *HALVES], ids=str)
@pytest.mark.parametrize("student_too", [False, True])
@pytest.mark.parametrize("excluded", [-math.inf, "lowest"])
def test_a_word_that_the_teacher_excludes_adds_nothing(dtype, student_too, excluded):
    """For the teacher, the same as if the word were not in the vocabulary; and for the student, if it excludes it."""
    excluded = torch.finfo(dtype).min if excluded == "lowest" else excluded
    x, t = normal(4, V).to(dtype), normal(4, V, seed=1).to(dtype)
    t[:, [0, 7]] = excluded
    if student_too:
        x[:, [0, 7]] = -math.inf
    x.requires_grad_()
    loss = distillation_loss(x, t)
    loss.backward()
    assert loss.isfinite()
    assert x.grad.isfinite().all()
    kept = [word for word in range(V) if word not in (0, 7)]
    student = (x.detach().double() / 2).log_softmax(-1)[:, kept]
    p = (t.double() / 2).softmax(-1)[:, kept]
    by_hand = 4 * (p * (p.log() - student)).sum(-1).mean()
    assert_close(loss.double(), by_hand, 1e-5 if dtype != torch.float64 else 1e-12)


def test_a_word_that_only_the_student_excludes_costs_infinitely_much():
    x, t = normal(2, 5), normal(2, 5, seed=1)
    x[0, 0] = -math.inf
    assert distillation_loss(x, t) == math.inf


def test_a_teacher_that_is_not_a_number_is_not_hidden():
    x, t = normal(2, 5), normal(2, 5, seed=1)
    t[0, 0] = math.nan
    assert distillation_loss(x, t).isnan()


@pytest.mark.parametrize(
    "temperature", [math.nan, 0, 0.0, -1, -math.inf, math.inf, None, "2", torch.tensor(math.nan), torch.ones(2)]
)
def test_a_temperature_is_a_finite_number_above_0(temperature):
    x = normal(2, 5)
    with expect_refusal("temperature", "must be a number above 0"):
        distillation_loss(x, x, temperature)
    with expect_refusal("temperature", "must be a number above 0"):
        triple_loss(x, x, torch.zeros(2).long(), x, x, temperature=temperature)


def test_attention_of_half_precision():
    weights = [normal(2, 3, 5, 200, seed=seed, scale=4.0).softmax(-1).half() for seed in (0, 1)]
    assert_close(attention_transfer_loss(*weights), attention_transfer_loss(*(w.float() for w in weights)), 0.0)


def test_a_mean_leaves_out_what_does_not_count():
    hidden = normal(2, 3, 4)
    hidden[1, 2] = math.nan
    mask = torch.tensor([[1, 1, 1], [1, 1, 0]])
    assert_close(mean_vector(hidden, mask), torch.stack([hidden[0].mean(0), hidden[1, :2].mean(0)]), 1e-6)
    assert_close(mean_vector(hidden, torch.zeros(2, 3)), torch.zeros(2, 4))
    assert_close(mean_of(torch.tensor([])), torch.tensor(0.0))
    assert_close(mean_of(torch.tensor([1.0, 3.0]), torch.tensor(0)), torch.tensor(4.0))


@pytest.mark.parametrize("dtype", HALVES, ids=str)
@pytest.mark.parametrize("head", ["masked-lm", "pretraining", "sequence-classification", "question-answering"])
def test_a_head_in_half_precision_has_the_loss_of_its_own_logits(head, dtype):
    model = tiny("bert", head).to(dtype)
    labels = {
        "masked-lm": torch.randint(0, V, (B, S)),
        "pretraining": torch.randint(0, V, (B, S)),
        "sequence-classification": torch.randint(0, C, (B,)),
        "question-answering": torch.zeros(B, 2).long(),
    }[head]
    output = model(**BATCH, labels=labels)
    logits = output.logits.float()
    flat = logits.transpose(1, 2).flatten(0, 1) if head == "question-answering" else logits
    assert output.loss.dtype == torch.float32
    assert_close(output.loss, torch.nn.functional.cross_entropy(flat, labels.flatten()), 1e-5)


def test_a_mean_pooled_head_judges_a_text_of_padding_too():
    model = MeanPooled(tiny("bert")).double()
    assert model(**BATCH).logits.isfinite().all()


@pytest.mark.parametrize(
    ("logits", "labels", "problem_type", "parts"),
    [
        ((B, C), torch.full((B, C), 2.0), "multi_label_classification", ["1 where a label applies"]),
        ((B, C), torch.full((B, C), -1), "multi_label_classification", ["1 where a label applies"]),
        ((B, C), torch.full((B, C), math.nan), "multi_label_classification", ["1 where a label applies"]),
        ((B, C), torch.full((B, C), math.nan), "regression", ["not finite"]),
        ((B, 1), torch.tensor([0.0, 1, math.inf, 3, 4]), "regression", ["not finite"]),
        ((B, C), torch.zeros(B), "regression", ["labels has shape"]),
        ((B, C), torch.zeros(B, C), None, ["torch.float32", "regression", "multi_label_classification"]),
        ((B, C), torch.full((B,), C), None, ["labels holds 6", "from 0 to 5"]),
        ((B, C), torch.full((B,), -1), None, ["labels holds -1", "-100 marks"]),
        ((B, 1), torch.zeros(B).long(), None, ["single class", "regression"]),
        ((B, C), [0] * B, None, ["not a tensor"]),
        ((B, C), [0] * B, "regression", ["not a tensor"]),
    ],
)
def test_labels_that_cannot_be_are_refused(logits, labels, problem_type, parts):
    with expect_refusal(*parts):
        text_loss(normal(*logits), labels, problem_type)


def test_rows_of_a_divergence():
    x, t = normal(2, 3, 5).double(), normal(2, 3, 5, seed=1).double()
    p = t.softmax(-1)
    assert_close(divergence(x, t), (p * (t.log_softmax(-1) - x.log_softmax(-1))).sum(-1))
