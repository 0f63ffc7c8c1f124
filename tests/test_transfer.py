"""Transfer layer by layer: each loss worked out by hand, and stages that change their own layer alone."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace

import pytest
import torch
from lab import check, lab, part
from tiny import (
    BATCH,
    CONFIGS,
    IDS,
    MASK,
    REAL,
    TYPES,
    B,
    D,
    H,
    L,
    S,
    assert_close,
    expect_refusal,
    gradcheck,
    randn,
    tiny,
)
from torch import Tensor, nn

from minibert.factory import build
from minibert.heads import WithHead
from minibert.layers import layer_norm
from minibert.training import transfer
from minibert.training.transfer import (
    RELEASED,
    TransferWeights,
    attention_transfer_loss,
    copy_outer_parts,
    feature_map_loss,
    layer_transfer_loss,
    progressive_transfer,
)

ONES = TransferWeights(1.0, 1.0, 1.0, 1.0)


def float64(number: float) -> Tensor:
    return torch.tensor(number, dtype=torch.float64)


# ------------------------------------------------------------------------------------------ the lab sheet
# Each property by itself, with numbers that can be worked out on paper. Read these first.

# Two tokens. The first: patterns (-1, 1) and (1, -1), means 2 and 1, variances 1 and 1. The second: pattern (-1, 1)
# on both sides, means 2 and 6, variances 4 and 1.
STUDENT = torch.tensor([[[1.0, 3.0], [0.0, 4.0]]], dtype=torch.float64)
TEACHER = torch.tensor([[[2.0, 0.0], [5.0, 7.0]]], dtype=torch.float64)
# Two heads, two queries. Only the first head differs: where the teacher looks with 3/4 and 1/4, the student with 1/2
# and 1/2. That is ¾ ln(¾ / ½) + ¼ ln(¼ / ½) = 0.1308 nats; the other way round it would be 0.1438.
EVEN = torch.full((1, 2, 2, 2), 0.5, dtype=torch.float64)
LOOKS = torch.tensor([[[[0.75, 0.25]] * 2, [[0.5, 0.5]] * 2]], dtype=torch.float64)
KL = 0.75 * math.log(0.75 / 0.5) + 0.25 * math.log(0.25 / 0.5)
BOTH = torch.tensor([[1, 1]])


@lab(
    "feature-transfer",
    code=feature_map_loss,
    lesson="12",
    breaks="`F.layer_norm(x, (width,), eps=1e-12)` left out",
    catches="not-normalised",
)
def test_patterns_are_compared_without_mean_and_size():
    """for the pattern both hidden states are normalised, and the squared difference is averaged over the features

    The first token's patterns are (-1, 1) and (1, -1): 2² for each feature. The second's are alike: (4 + 0) / 2.
    """
    found = part("feature-transfer")(STUDENT, TEACHER, EVEN, EVEN, BOTH, (1.0, 0.0, 0.0, 0.0))
    assert_close(found, 2.0)


@lab(
    "feature-transfer",
    code=feature_map_loss,
    lesson="12",
    breaks="`(variances[0] - variances[1]).abs()` replaced by the square",
    catches="variances-squared",
)
def test_means_are_compared_by_squares_and_variances_are_not():
    """means are compared by their squared difference, and variances by their absolute one

    The two have changed places: means 1 and 2, 6 and 2: (1 + 16) / 2. Variances 1 and 1, 1 and 4: (0 + 3) / 2.
    """
    assert_close(part("feature-transfer")(TEACHER, STUDENT, EVEN, EVEN, BOTH, (0.0, 1.0, 0.0, 0.0)), 8.5)
    assert_close(part("feature-transfer")(TEACHER, STUDENT, EVEN, EVEN, BOTH, (0.0, 0.0, 1.0, 0.0)), 1.5)


@lab(
    "feature-transfer",
    code=attention_transfer_loss,
    lesson="12",
    breaks="`student_weights, teacher_weights.detach()` exchanged",
    catches="kl-swapped",
)
def test_each_head_looks_where_the_teachers_looks():
    """attention is compared by KL(teacher ‖ student) of each query's weights, averaged over the heads"""
    found = part("feature-transfer")(STUDENT, STUDENT, EVEN, LOOKS, BOTH, (0.0, 0.0, 0.0, 1.0))
    assert_close(found, KL / 2)


@lab(
    "feature-transfer",
    code=attention_transfer_loss,
    lesson="12",
    breaks="`rows = rows[mask.bool()]` left out",
    catches="padded-queries-counted",
)
def test_padding_teaches_nothing():
    """padding counts in none of the four terms: not as a token, and not as a query

    The first token alone: a pattern of 4, a mean of 1, no variance; and no difference between the first rows of
    weights. The second one is padding, with other hidden states and other weights.
    """
    student, teacher = EVEN.clone(), EVEN.clone()
    student[:, :, 0], teacher[:, :, 0] = torch.tensor([1.0, 0.0]), torch.tensor([1.0, 0.0])
    teacher[:, :, 1] = torch.tensor([0.75, 0.25])
    found = part("feature-transfer")(STUDENT, TEACHER, student, teacher, torch.tensor([[1, 0]]), (2.0, 3.0, 5.0, 7.0))
    assert_close(found, 2.0 * 4 + 3.0 * 1)


@lab(
    "feature-transfer",
    code=attention_transfer_loss,
    lesson="12",
    breaks="`teacher_weights.detach()` replaced by `teacher_weights`",
    catches="teacher-learns",
)
def test_the_teacher_learns_nothing():
    """the teacher is a constant: no gradient reaches its hidden states or its attention"""
    student, teacher, looks, taught = (x.clone().requires_grad_() for x in (STUDENT, TEACHER, EVEN, LOOKS))
    part("feature-transfer")(student, teacher, looks, taught, BOTH, (1.0, 1.0, 1.0, 1.0)).backward()
    check(all(x.grad is None or not x.grad.any() for x in (teacher, taught)))
    check(student.grad.any() and looks.grad.any(), "the student learns, from its hidden states and from its attention")


# ------------------------------------------------------------------------------------------ feature maps


def test_feature_maps_worked_out_on_paper():
    loss = feature_map_loss(STUDENT, TEACHER)
    assert_close(loss.normalised, float64((4 + 4 + 0 + 0) / 4), 1e-10)
    assert_close(loss.mean, float64((1 + 16) / 2))
    assert_close(loss.variance, float64((0 + 3) / 2))
    assert_close(loss.total, float64(100 * 2 + 5000 * 8.5 + 5 * 1.5), 1e-6)
    weights = TransferWeights(2.0, 3.0, 4.0, 1000.0)
    assert_close(feature_map_loss(STUDENT, TEACHER, weights=weights).total, float64(2 * 2 + 3 * 8.5 + 4 * 1.5), 1e-10)


def test_feature_maps_of_the_tokens_that_count():
    first = feature_map_loss(STUDENT, TEACHER, torch.tensor([[1, 0]]))
    assert_close(torch.stack(first[1:]), torch.tensor([4.0, 1.0, 0.0], dtype=torch.float64), 1e-10)
    second = feature_map_loss(STUDENT, TEACHER, torch.tensor([[0, 1]]))
    assert_close(torch.stack(second[1:]), torch.tensor([0.0, 16.0, 3.0], dtype=torch.float64), 1e-10)
    student, teacher = randn(B, S, D, seed=1), randn(B, S, D, seed=2)
    packed = feature_map_loss(student[REAL], teacher[REAL])
    for one, other in zip(feature_map_loss(student, teacher, MASK), packed, strict=True):
        assert_close(one, other)


def test_the_patterns_are_those_of_a_layer_norm_without_parameters():
    student, teacher = randn(B, S, D, seed=1), randn(B, S, D, seed=2)
    ones, zeros = torch.ones(D, dtype=torch.float64), torch.zeros(D, dtype=torch.float64)
    difference = layer_norm(student, ones, zeros) - layer_norm(teacher, ones, zeros)
    assert_close(feature_map_loss(student, teacher).normalised, difference.square().mean())


def test_shift_and_scale_show_in_mean_and_variance_only():
    teacher = randn(B, S, D, seed=2)
    shifted = feature_map_loss(teacher + 3, teacher)
    assert_close(torch.stack(shifted[1:]), torch.tensor([0.0, 9.0, 0.0], dtype=torch.float64), 1e-9)
    centred = teacher - teacher.mean(-1, keepdim=True)
    scaled = feature_map_loss(3 * centred, centred)
    assert_close(scaled.normalised, float64(0.0), 1e-9)
    assert_close(scaled.mean, float64(0.0), 1e-9)
    assert_close(scaled.variance, 8 * centred.square().mean(-1).mean())


# --------------------------------------------------------------------------------------------- attention

HALF, QUARTERS = [0.5, 0.5], [0.75, 0.25]
KL = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)  # of (3/4, 1/4) from (1/2, 1/2)


def rows(*heads: list[list[float]]) -> Tensor:
    """Attention of one text, (1, H, S, T)."""
    return torch.tensor([heads], dtype=torch.float64)


def test_attention_worked_out_on_paper():
    student = rows([HALF, HALF], [HALF, QUARTERS])
    teacher = rows([QUARTERS, HALF], [HALF, QUARTERS])
    # of four rows, one differs
    assert_close(attention_transfer_loss(student, teacher), float64(KL / 4))
    # the other way round it is another number
    reverse = 0.5 * math.log(0.5 / 0.75) + 0.5 * math.log(0.5 / 0.25)
    assert_close(attention_transfer_loss(teacher, student), float64(reverse / 4))
    assert abs(KL - reverse) > 0.01
    # the first query alone: two rows, one of which differs; the second alone: none
    assert_close(attention_transfer_loss(student, teacher, torch.tensor([[1, 0]])), float64(KL / 2))
    assert_close(attention_transfer_loss(student, teacher, torch.tensor([[0, 1]])), float64(0.0))


def test_the_mean_is_over_the_real_queries_of_all_texts_together():
    student, teacher = (randn(B, H, S, S, seed=seed).softmax(-1) for seed in (1, 2))
    divergence = (teacher * (teacher / student).log()).sum(-1)  # (B, H, S)
    assert_close(attention_transfer_loss(student, teacher), divergence.mean())
    each = [divergence[text, :, query] for text, query in REAL.nonzero().tolist()]
    assert_close(attention_transfer_loss(student, teacher, MASK), torch.stack(each).mean())


def test_weights_of_zero_cost_nothing_at_the_teacher_and_no_infinity_at_the_student():
    hidden = rows([[0.75, 0.25, 0.0]])
    assert_close(attention_transfer_loss(rows([[0.5, 0.5, 0.0]]), hidden), float64(KL))
    student = hidden.clone().requires_grad_()
    loss = attention_transfer_loss(student, rows([[0.25, 0.25, 0.5]]))
    assert loss.isfinite()
    assert loss > 100
    loss.backward()
    assert student.grad.isfinite().all()


# -------------------------------------------------------------------------------------------- both losses


def both(student: Tensor, teacher: Tensor, mask: Tensor | None) -> list[Tensor]:
    """Each loss on hidden states (B, S, S), and on the attention (B, 1, S, S) that their softmax is."""
    attentions = [x.softmax(-1)[:, None] for x in (student, teacher)]
    return [feature_map_loss(student, teacher, mask).total, attention_transfer_loss(*attentions, mask)]


def test_padding_and_teacher_get_no_gradient():
    student, teacher = randn(B, S, S, seed=1), randn(B, S, S, seed=2)
    for loss in both(student, teacher, MASK):
        student.grad = None
        loss.backward()
        assert teacher.grad is None
        assert not student.grad[~REAL].any()
        assert student.grad[REAL].any(-1).all()


def test_no_token_no_loss():
    student, teacher = randn(B, S, S, seed=1), randn(B, S, S, seed=2)
    for loss in both(student, teacher, torch.zeros(B, S)):
        assert loss == 0
        loss.backward()
        assert not student.grad.any()


def test_equals_cost_nothing():
    x = randn(B, S, S)
    assert [loss.item() for loss in both(x, x, MASK)] == [0.0, pytest.approx(0.0, abs=1e-12)]


def test_gradients():
    teacher, mask = randn(2, 3, 3, seed=2), torch.tensor([[1, 1, 0], [0, 1, 0]])
    for which in (0, 1):
        assert gradcheck(lambda student, which=which: both(student, teacher, mask)[which], [randn(2, 3, 3, seed=1)])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(dtype):
    # in float16, the square of 300 is infinite already
    student, teacher = ((300 * randn(B, S, D, seed=seed)).detach().to(dtype) for seed in (1, 2))
    expected = feature_map_loss(student.float(), teacher.float(), MASK)
    for found, right in zip(feature_map_loss(student, teacher, MASK), expected, strict=True):
        assert found.dtype == torch.float32
        assert found.isfinite()
        assert torch.equal(found, right)
    student, teacher = (randn(B, H, S, S, seed=seed).softmax(-1).detach().to(dtype) for seed in (1, 2))
    found = attention_transfer_loss(student, teacher, MASK)
    assert found.dtype == torch.float32
    assert torch.equal(found, attention_transfer_loss(student.float(), teacher.float(), MASK))


@pytest.mark.parametrize(
    ("call", "parts"),
    [
        (lambda: feature_map_loss(randn(2, 3, 4), randn(2, 3, 5)), ("(2, 3, 4)", "(2, 3, 5)", "differ in shape")),
        (lambda: feature_map_loss(randn(2, 3, 4), randn(2, 3, 4), torch.ones(2, 4)), ("mask has shape (2, 4)",)),
        (
            lambda: attention_transfer_loss(randn(2, 3, 4, 4), randn(2, 4, 4, 4)),
            ("(2, 3, 4, 4)", "(2, 4, 4, 4)", "same number of heads"),
        ),
        (lambda: attention_transfer_loss(randn(3, 4, 4), randn(3, 4, 4)), ("(B, H, S, T)",)),
        (
            lambda: attention_transfer_loss(randn(2, 3, 4, 4), randn(2, 3, 4, 4), torch.ones(2, 3)),
            ("mask has shape (2, 3)", "(2, 4)"),
        ),
    ],
)
def test_shapes_that_do_not_match_are_refused(call, parts):
    with expect_refusal(*parts):
        call()


# ------------------------------------------------------------------------------------------ layer by layer

TEACHERS = replace(
    CONFIGS["mobilebert"], key_query_shared_bottleneck=False, normalization_type="layer_norm", hidden_act="gelu"
)
STUDENTS = replace(CONFIGS["mobilebert"], intra_bottleneck_size=6, num_feedforward_networks=2, hidden_dropout_prob=0.5)
KEPT = {"return_hidden": True, "return_attention": True}


def pair(head: str | None = None) -> tuple[nn.Module, nn.Module]:
    """A student and its teacher, as fresh models are but with larger weights, in float32."""
    student, teacher = (
        build(replace(config, initializer_range=0.3), head, seed=seed)
        for seed, config in enumerate((STUDENTS, TEACHERS))
    )
    copy_outer_parts(student, teacher)
    return student, teacher


def batches() -> list[dict[str, Tensor]]:
    other = {**BATCH, "input_ids": IDS.flip(1), "labels": TYPES}
    return [dict(BATCH), other]


def test_the_loss_of_a_layer_is_that_of_its_output_and_its_attention():
    student, teacher = (model.double().eval()(**BATCH, **KEPT) for model in pair())
    for layer in range(L):
        hidden = feature_map_loss(student.hidden_states[layer + 1], teacher.hidden_states[layer + 1], MASK).total
        attention = attention_transfer_loss(student.attentions[layer], teacher.attentions[layer], MASK)
        assert_close(layer_transfer_loss(student, teacher, layer, MASK), hidden + attention, 1e-9)
        weights = RELEASED._replace(attention=7.0)
        assert_close(layer_transfer_loss(student, teacher, layer, MASK, weights=weights), hidden + 7 * attention, 1e-9)
    for layer in (-1, L):
        with expect_refusal(f"no layer {layer}", "0 to 1"):
            layer_transfer_loss(student, teacher, layer)
    student.attentions = None
    with expect_refusal("return_hidden=True", "return_attention=True"):
        layer_transfer_loss(student, teacher, 0)


class Recorder(torch.optim.Adam):
    """Adam that notes the student's weights whenever a stage begins, and what the stage may change."""

    watched: nn.Module
    begun: list[SimpleNamespace]

    def __init__(self, parameters, **settings):
        parameters = list(parameters)
        state = {name: tensor.clone() for name, tensor in self.watched.state_dict().items()}
        trainable = {name for name, p in self.watched.named_parameters() if p.requires_grad}
        self.begun.append(SimpleNamespace(state=state, trainable=trainable, settings=settings))
        super().__init__(parameters, **settings)


@pytest.mark.parametrize("head", [None, "pretraining"])
def test_each_stage_lowers_its_own_loss_and_changes_only_its_layer(monkeypatch, head):
    student, teacher = pair(head)
    Recorder.watched, Recorder.begun = student, []
    monkeypatch.setattr(transfer.torch.optim, "Adam", Recorder)
    taught = {name: tensor.clone() for name, tensor in teacher.state_dict().items()}
    stages = progressive_transfer(student, teacher, batches(), steps=30, learning_rate=3e-3)

    assert [stage.layer for stage in stages] == list(range(L))
    for stage in stages:
        assert stage.after < 0.7 * stage.before
    states = [begun.state for begun in Recorder.begun] + [student.state_dict()]
    prefix = "backbone." if head else ""
    for layer, (before, after) in enumerate(pairwise(states)):
        changed = {name for name in before if not torch.equal(before[name], after[name])}
        block = f"{prefix}encoder.blocks.{layer}."
        assert changed
        assert all(name.startswith(block) for name in changed)
        # every part of the block learns
        assert changed >= {name for name in before if name.startswith(block) and name.endswith("weight")}
        assert Recorder.begun[layer].trainable == {name for name in before if name.startswith(block)}
        assert Recorder.begun[layer].settings["lr"] == 3e-3
    assert all(torch.equal(taught[name], tensor) for name, tensor in teacher.state_dict().items())


def test_a_layer_keeps_what_it_learned_while_those_above_it_learn():
    student, teacher = pair()
    stages = progressive_transfer(student, teacher, batches(), steps=5)
    student.eval()
    teacher.eval()
    for stage in stages:
        losses = []
        for batch in batches():
            batch.pop("labels", None)
            with torch.no_grad():
                outputs = student(**batch, **KEPT), teacher(**batch, **KEPT)
                losses.append(layer_transfer_loss(*outputs, stage.layer, batch["attention_mask"]).item())
        assert stage.after == pytest.approx(sum(losses) / len(losses), rel=1e-5)


def test_the_weights_of_the_terms_and_the_number_of_steps_are_honoured():
    def result(**settings) -> list[float]:
        student, teacher = pair()
        stages = progressive_transfer(student, teacher, batches(), **{"steps": 2, **settings})
        return [number for stage in stages for number in stage[1:]]

    assert result() == result(), "no dropout, and nothing else is random"
    assert result(weights=ONES)[0] < 0.1 * result()[0]
    assert result(steps=4)[1] < result()[1]


def test_the_batches_are_taken_in_turn():
    student, teacher = pair()
    trained_on = []

    def note(model: nn.Module, args: tuple, inputs: dict) -> None:
        if torch.is_grad_enabled():
            ids = inputs["input_ids"]
            trained_on.append([torch.equal(batch["input_ids"], ids) for batch in batches()].index(True))

    student.register_forward_pre_hook(note, with_kwargs=True)
    progressive_transfer(student, teacher, batches(), steps=3)
    assert trained_on == [0, 1, 0] * L


def test_the_losses_of_a_stage_may_be_averaged_over_the_first_batches():
    def before(found, **settings) -> float:
        return progressive_transfer(*pair(), found, steps=1, **settings)[0].before

    first, second = batches()[:2]
    assert before([first, second], averaged=1) == before([first])
    assert before([first, second]) == pytest.approx((before([first]) + before([second])) / 2, rel=1e-5)
    for wrong in (0, 1.0):
        with expect_refusal(f"averaged is {wrong}"):
            before([first], averaged=wrong)


def test_modes_and_what_is_trainable_come_back_also_after_an_error():
    student, teacher = pair("masked-lm")
    student.train()
    student.backbone.encoder.blocks[0].dropout.eval()
    teacher.train()
    student.lm.bias.requires_grad_(False)
    student.backbone.encoder.blocks[1].norm.weight.requires_grad_(False)
    modes = [part.training for model in (student, teacher) for part in model.modules()]
    trainable = [p.requires_grad for p in student.parameters()]
    for last in (batches()[1], {"input_ids": IDS[:, :0]}):
        found = [batches()[0], last]
        if last["input_ids"].numel():
            progressive_transfer(student, teacher, found, steps=1)
        else:
            with expect_refusal("no tokens"):
                progressive_transfer(student, teacher, found, steps=1)
        assert [part.training for model in (student, teacher) for part in model.modules()] == modes
        assert [p.requires_grad for p in student.parameters()] == trainable
    assert all(p.grad is None for model in (student, teacher) for p in model.parameters())


def test_models_that_do_not_fit_are_refused():
    student, teacher = pair()
    for name, value in (
        ("num_hidden_layers", 3),
        ("hidden_size", 24),
        ("num_attention_heads", 1),
        ("vocab_size", 32),
    ):
        other = build(replace(TEACHERS, **{name: value}))
        with expect_refusal(f"{name} is", f"{value} in the teacher"):
            progressive_transfer(student, other, batches(), steps=1)
    with expect_refusal("one block for several layers"):
        progressive_transfer(tiny("albert").float(), tiny("bert").float(), batches(), steps=1)
    with expect_refusal("a Linear has no encoder"):
        progressive_transfer(nn.Linear(2, 2), teacher, batches(), steps=1)
    with expect_refusal("steps is 0, and there are 2 batches"):
        progressive_transfer(student, teacher, batches(), steps=0)
    with expect_refusal("steps is 1, and there are 0 batches"):
        progressive_transfer(student, teacher, [], steps=1)


def test_other_encoders_learn_layer_by_layer_too():
    student, teacher = tiny("bert").float(), tiny("bert", seed=1).float()
    stages = progressive_transfer(student, teacher, batches(), steps=10, learning_rate=1e-2)
    assert all(stage.after < stage.before for stage in stages)


# ---------------------------------------------------------------------------------------- outer parts


@pytest.mark.parametrize("head", [None, "pretraining"])
def test_the_outer_parts_are_copied_but_for_a_norm_of_another_kind(head):
    student, teacher = (build(config, head, seed=seed) for seed, config in enumerate((STUDENTS, TEACHERS)))
    with torch.no_grad():
        for parameter in teacher.parameters():
            parameter.add_(1.0)
    before = {name: p.clone() for name, p in student.named_parameters()}
    copied = copy_outer_parts(student, teacher)
    theirs = dict(teacher.named_parameters())
    for name, parameter in student.named_parameters():
        outer = ".blocks." not in name and "embeddings.norm" not in name
        assert (name in copied) == outer
        assert torch.equal(parameter, theirs[name] if outer else before[name])
        assert name not in theirs or parameter is not theirs[name]
    assert any("projection" in name for name in copied)
    assert any(name.startswith("lm.rest") for name in copied) == (head == "pretraining")


def test_the_outer_parts_of_a_model_with_a_head_go_to_one_without():
    student, teacher = build(STUDENTS, seed=0), build(TEACHERS, "masked-lm", seed=1)
    copied = copy_outer_parts(student, teacher)
    assert torch.equal(student.embeddings.word.weight, teacher.backbone.embeddings.word.weight)
    assert not any("lm" in name or "pooler" in name for name in copied)
    assert isinstance(teacher, WithHead)


def test_a_norm_of_the_same_kind_is_copied():
    student, teacher = build(replace(STUDENTS, normalization_type="layer_norm"), seed=0), build(TEACHERS, seed=1)
    assert "embeddings.norm.weight" in copy_outer_parts(student, teacher)


def test_outer_parts_that_do_not_fit_are_refused():
    with expect_refusal("word embeddings do not fit", "vocab_size"):
        copy_outer_parts(build(STUDENTS), build(replace(TEACHERS, embedding_size=6)))
