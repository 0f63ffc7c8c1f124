"""Distillation: each loss worked out by hand, and a student that is a true copy of chosen layers."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace

import pytest
import torch
from lab import assert_same, check, lab, part
from tiny import (
    CONFIGS,
    IDS,
    MASK,
    REAL,
    B,
    D,
    S,
    V,
    assert_close,
    expect_refusal,
    gradcheck,
    numbers,
    randn,
    tiny,
)
from torch import Tensor, nn

from minibert.encoder import EncoderConfig
from minibert.factory import build
from minibert.losses import divergence, one_minus_cosine
from minibert.models import FAMILIES
from minibert.models.bert import BertConfig
from minibert.models.distilbert import DistilBert, DistilBertConfig
from minibert.training.choices import INITS
from minibert.training.distillation import (
    RELEASED_LAYERS,
    STUDENTS_OWN,
    alternate_layers,
    chosen_layers,
    cosine_hidden_loss,
    counted_tokens,
    distillation_loss,
    make_student,
    student_config,
    student_from_teacher,
    triple_loss,
)

# ------------------------------------------------------------------------------------------ the lab sheet
# Each property by itself, with numbers that can be worked out on paper. Read these first.

LN = math.log
KL = 0.75 * LN(0.75 / 0.5) + 0.25 * LN(0.25 / 0.5)  # of 3/4 and 1/4 (the teacher) from 1/2 and 1/2: 0.1308 nats


TEACHER, STUDENT = numbers([[LN(3), 0.0]]), numbers([[0.0, 0.0]])  # one text, one token, two words: 3 : 1 and 1 : 1


@lab(
    "distillation-loss",
    code=divergence,
    lesson="09",
    breaks="`full_precision(student_logits)` and the teacher's exchanged",
    catches="kl-swapped",
)
def test_kl_goes_from_the_teacher_to_the_student():
    """the loss is KL(teacher ‖ student): the sum of p · ln(p / q), where p is the teacher's

    The teacher says 3/4 and 1/4, the student 1/2 and 1/2: ¾ ln(¾ / ½) + ¼ ln(¼ / ½) = 0.1308. The other way round it
    would be 0.1438.
    """
    assert_close(part("distillation-loss")(STUDENT, TEACHER, 1.0), KL)


@lab(
    "distillation-loss",
    code=distillation_loss,
    lesson="09",
    breaks="`temperature**2 *` left out",
    catches="no-T-squared",
)
def test_the_loss_is_multiplied_by_t_squared():
    """both logits are divided by T, and the loss is multiplied by T²

    The teacher's logits are twice those of above, and T = 2: the same probabilities, and 4 times the loss.
    """
    assert_close(part("distillation-loss")(STUDENT, 2 * TEACHER, 2.0), 4 * KL)


@lab(
    "distillation-loss",
    code=distillation_loss,
    lesson="09",
    breaks="`mean_of(` replaced by a sum (batchmean over B of (B, S, V))",
    catches="mean-over-texts",
)
def test_soft_targets_are_a_mean_over_the_tokens():
    """the loss is the mean over the tokens: not over the texts, and not over the words of the vocabulary

    One text of two tokens. In one the two models differ as above, in the other they agree: half of 0.1308.
    """
    student, teacher = numbers([[0.0, 0.0], [0.0, 0.0]]), numbers([[LN(3), 0.0], [0.0, 0.0]])
    assert_close(part("distillation-loss")(student, teacher, 1.0), KL / 2)


@lab(
    "distillation-loss",
    code=counted_tokens,
    lesson="09",
    breaks="`student[mask.bool()], teacher[mask.bool()]` without the mask",
    catches="pads-counted",
)
def test_padding_has_no_part_in_the_soft_targets():
    """padding does not count: it is in neither the sum nor the number that the sum is divided by

    A real token as above, and a padded one that differs a lot.
    """
    student, teacher = numbers([[0.0, 0.0], [50.0, 0.0]]), numbers([[LN(3), 0.0], [0.0, 50.0]])
    assert_close(part("distillation-loss")(student, teacher, 1.0, torch.tensor([[1, 0]])), KL)


@lab(
    "distillation-loss",
    code=counted_tokens,
    lesson="09",
    breaks="`teacher.detach()` replaced by `teacher`",
    catches="teacher-learns",
)
def test_no_gradient_reaches_the_teacher():
    """the teacher is a constant: no gradient flows into it

    And the student's gradient is q - p: 1/2 - 3/4 and 1/2 - 1/4.
    """
    student, teacher = STUDENT.clone().requires_grad_(), TEACHER.clone().requires_grad_()
    part("distillation-loss")(student, teacher, 1.0).backward()
    check(teacher.grad is None or not teacher.grad.any())
    assert_close(student.grad, [[[-0.25, 0.25]]])


@lab(
    "cosine-loss",
    code=one_minus_cosine,
    lesson="09",
    breaks="`1.0 - F.cosine_similarity(` without `1.0 -`",
    catches="no-one-minus",
)
def test_the_cosine_loss_is_0_for_one_direction():
    """the cosine loss is 1 - cos: 0 for one direction, 1 for a right angle, 2 for opposite ones, averaged

    Three tokens, one of each kind, of different lengths: (0 + 1 + 2) / 3. And a padded one, which does not count.
    """
    student = numbers([[1.0, 0.0], [3.0, 0.0], [2.0, 0.0], [1.0, 1.0]])
    teacher = numbers([[5.0, 0.0], [0.0, 2.0], [-1.0, 0.0], [1.0, 1.0]])
    assert_close(part("cosine-loss")(student[:, :1], teacher[:, :1]), 0.0)
    assert_close(part("cosine-loss")(student, teacher, torch.tensor([[1, 1, 1, 0]])), 1.0)


@lab(
    "triple-loss",
    code=triple_loss,
    lesson="09",
    breaks="`soft_weight * distillation + masked_weight * masked_lm + cosine_weight * cosine` with equal weights",
    catches="not-weighted",
)
def test_the_three_losses_are_weighted():
    """DistilBERT's loss is 5 · soft targets + 2 · masked words + 1 · cosine

    Soft targets at T = 1 as above. The masked word is the second one, to which the student gives 1/2: ln 2. The hidden
    states are at a right angle: 1.
    """
    tensors = (STUDENT, TEACHER, torch.tensor([[1]]), numbers([[1.0, 0.0]]), numbers([[0.0, 1.0]]), torch.tensor([[1]]))
    assert_close(part("triple-loss")(*tensors, 1.0), 5 * KL + 2 * LN(2) + 1.0)
    assert_close(part("triple-loss")(*tensors, 1.0, (0.0, 1.0, 0.0)), LN(2))


def numbered_teacher() -> dict[str, Tensor]:
    """The weights of a BERT of four layers, every one of layer i filled with i, and all others with 9."""
    weights = tiny("bert", num_hidden_layers=4).state_dict()
    layers = {name: int(name.split(".")[2]) if name.startswith("encoder") else 9 for name in weights}
    return {name: torch.full_like(tensor, layers[name]) for name, tensor in weights.items()}


@lab(
    "student-from-teacher",
    code=alternate_layers,
    lesson="09",
    breaks="`range(0, depth, 2)` begun at 1",
    catches="first-half",
)
def test_a_student_gets_every_second_layer():
    """the student's layers 0 and 1 are the teacher's 0 and 2: every second one, from the first

    In this teacher of four layers all numbers of layer i are i.
    """
    student = part("student-from-teacher")(numbered_teacher(), 4)
    found = {name.split(".")[2]: tensor.unique() for name, tensor in student.items() if name.startswith("encoder")}
    assert_same(found, {"0": [0.0], "1": [2.0]})


@lab(
    "student-from-teacher",
    code=student_from_teacher,
    lesson="09",
    breaks="`body.embeddings.load_state_dict(` left out",
    catches="embeddings-forgotten",
)
def test_a_student_gets_the_words_and_no_token_types():
    """words, positions and their norm are copied; token types and pooler are left out"""
    student = part("student-from-teacher")(numbered_teacher(), 4)
    rest = sorted(name for name in student if not name.startswith("encoder"))
    parts = ("norm.bias", "norm.weight", "position.weight", "word.weight")
    assert_same(rest, [f"embeddings.{name}" for name in parts])
    assert_same([student[name].unique() for name in rest], [[9.0]] * 4)


@lab(
    "student-from-teacher",
    code=student_from_teacher,
    lesson="09",
    breaks="`block.load_state_dict(backbone.encoder.blocks[layer].state_dict())` replaced by the teacher's own tensors",
    catches="aliased",
)
def test_a_students_layers_are_copies():
    """the student's layers are copies: training the student does not change the teacher

    All of the student's numbers are made 5. The teacher's stay as they were.
    """
    teacher = numbered_teacher()
    for tensor in part("student-from-teacher")(teacher, 4).values():
        tensor.data.fill_(5.0)
    check(all(torch.equal(tensor, numbered_teacher()[name]) for name, tensor in teacher.items()))
    model = tiny("bert", num_hidden_layers=4)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    for tensor in student_from_teacher(model).parameters():
        tensor.data.fill_(5.0)
    check(all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items()))


# ------------------------------------------------------------------------------------------- the whole of it


def softmax(logits: list[float], temperature: float) -> list[float]:
    powers = [math.exp(x / temperature) for x in logits]
    return [power / sum(powers) for power in powers]


def divergence(student: list[float], teacher: list[float], temperature: float) -> float:
    """KL(teacher ‖ student) of one token, softened, in nats."""
    p, q = softmax(teacher, temperature), softmax(student, temperature)
    return sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))


def soft_target_loss(student: Tensor, teacher: Tensor, temperature: float, mask: Tensor) -> Tensor:
    """One token after the other, by hand."""
    chosen = zip(student[mask.bool()].tolist(), teacher[mask.bool()].tolist(), strict=True)
    tokens = [temperature**2 * divergence(s, t, temperature) for s, t in chosen]
    return torch.tensor(sum(tokens) / len(tokens), dtype=torch.float64)


# ---------------------------------------------------------------------------------------- soft targets


def test_soft_targets_worked_out_on_paper():
    # teacher 3/4 and 1/4, student 1/2 and 1/2, at T = 1 and at T = 2 from logits twice as far apart
    teacher, student = torch.tensor([[math.log(3.0), 0.0]]), torch.zeros(1, 2)
    kl = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
    assert distillation_loss(student, teacher, temperature=1.0).item() == pytest.approx(kl, abs=1e-7)
    assert distillation_loss(student, 2 * teacher, temperature=2.0).item() == pytest.approx(4 * kl, abs=1e-6)
    # the other way round would be ½ ln(½ / ¾) + ½ ln(½ / ¼), which is another number
    reverse = 0.5 * math.log(0.5 / 0.75) + 0.5 * math.log(0.5 / 0.25)
    assert distillation_loss(teacher, student, temperature=1.0).item() == pytest.approx(reverse, abs=1e-7)
    assert abs(kl - reverse) > 0.01


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0, 5.0])
@pytest.mark.parametrize("mask", [None, MASK], ids=["all", "no padding"])
def test_soft_targets_are_averaged_over_the_tokens_that_count(temperature, mask):
    student, teacher = randn(B, S, V, seed=1), randn(B, S, V, seed=2)
    loss = distillation_loss(student, teacher, temperature, mask)
    assert_close(loss, soft_target_loss(student, teacher, temperature, torch.ones(B, S) if mask is None else mask))
    if mask is None:  # the mean over tokens is the same whatever rectangle they stand in
        assert_close(distillation_loss(student.flatten(0, 1), teacher.flatten(0, 1), temperature), loss)


def test_the_temperature_is_2_by_default():
    student, teacher = randn(B, S, V, seed=1), randn(B, S, V, seed=2)
    assert_close(distillation_loss(student, teacher), distillation_loss(student, teacher, 2.0))


def test_a_single_token():
    student, teacher = randn(V, seed=1), randn(V, seed=2)
    assert_close(distillation_loss(student, teacher), distillation_loss(student[None], teacher[None]))


def test_equal_logits_or_logits_shifted_by_a_constant_cost_nothing():
    logits = randn(B, S, V)
    assert_close(distillation_loss(logits, logits + 3.0), torch.zeros((), dtype=torch.float64))


def test_the_gradient_keeps_its_size_when_the_temperature_rises():
    def size(temperature: float) -> float:
        student, teacher = randn(B, S, V, seed=1), randn(B, S, V, seed=2)
        return torch.autograd.grad(distillation_loss(student, teacher, temperature), student)[0].norm().item()

    # for high T the gradient tends to (student - teacher) / V, centred: T must not show
    assert size(100.0) == pytest.approx(size(20.0), rel=0.02)
    assert 0.5 < size(4.0) / size(1.0) < 2


def test_padding_and_teacher_get_no_gradient():
    student, teacher = randn(B, S, V, seed=1), randn(B, S, V, seed=2)
    for loss in (distillation_loss(student, teacher, mask=MASK), cosine_hidden_loss(student, teacher, mask=MASK)):
        student.grad = None
        loss.backward()
        assert teacher.grad is None
        assert not student.grad[~REAL].any()
        assert student.grad[REAL].any(-1).all()


def test_no_token_no_loss():
    student, teacher, none = randn(B, S, V, seed=1), randn(B, S, V, seed=2), torch.zeros(B, S)
    for loss in (distillation_loss(student, teacher, mask=none), cosine_hidden_loss(student, teacher, mask=none)):
        assert loss == 0
        loss.backward()
        assert not student.grad.any()


def test_gradients_of_the_losses():
    teacher, mask = randn(2, 3, 5, seed=2), torch.tensor([[1, 1, 0], [0, 1, 0]])
    assert gradcheck(lambda student: distillation_loss(student, teacher, 2.0, mask), [randn(2, 3, 5, seed=1)])
    assert gradcheck(lambda student: cosine_hidden_loss(student, teacher, mask), [randn(2, 3, 5, seed=1)])


# ---------------------------------------------------------------------------------------------- cosine


def test_cosine_worked_out_on_paper():
    student = torch.tensor([[[3.0, 0.0], [1.0, 1.0]], [[0.0, 2.0], [9.0, 9.0]]], dtype=torch.float64)
    teacher = torch.tensor([[[1.0, 0.0], [1.0, 0.0]], [[0.0, -5.0], [1.0, 2.0]]], dtype=torch.float64)
    each = [0.0, 1 - math.sqrt(0.5), 2.0, 1 - 3 / math.sqrt(10)]  # same way, 45 degrees, opposite, in between
    assert_close(cosine_hidden_loss(student, teacher), torch.tensor(sum(each) / 4, dtype=torch.float64))
    # one text has two tokens that count, the other one: the mean is over three tokens, not over two texts
    mask = torch.tensor([[1, 1], [1, 0]])
    assert_close(cosine_hidden_loss(student, teacher, mask), torch.tensor(sum(each[:3]) / 3, dtype=torch.float64))


# ------------------------------------------------------------------------------------------ all three

TRIPLE = {
    "student_logits": randn(B, S, V, seed=1),
    "teacher_logits": randn(B, S, V, seed=2),
    "labels": IDS.where(torch.rand(B, S, generator=torch.Generator().manual_seed(0)) < 0.3, -100).where(REAL, -100),
    "student_hidden": randn(B, S, D, seed=3),
    "teacher_hidden": randn(B, S, D, seed=4),
}


@pytest.mark.parametrize("settings", [{}, {"temperature": 3.0, "weights": (0.5, 0.3, 0.7)}], ids=["default", "own"])
def test_the_triple_loss_is_the_weighted_sum_of_its_parts(settings):
    temperature, weights = settings.get("temperature", 2.0), settings.get("weights", (5.0, 2.0, 1.0))
    loss = triple_loss(**TRIPLE, attention_mask=MASK, **settings)
    logits, labels = TRIPLE["student_logits"], TRIPLE["labels"]
    guesses = [
        -math.log(softmax(row, 1.0)[i])
        for row, i in zip(logits[labels >= 0].tolist(), labels[labels >= 0].tolist(), strict=True)
    ]
    assert_close(loss.distillation, soft_target_loss(logits, TRIPLE["teacher_logits"], temperature, MASK))
    assert_close(loss.masked_lm, torch.tensor(sum(guesses) / len(guesses), dtype=torch.float64))
    assert_close(loss.cosine, cosine_hidden_loss(TRIPLE["student_hidden"], TRIPLE["teacher_hidden"], MASK))
    assert_close(loss.total, weights[0] * loss.distillation + weights[1] * loss.masked_lm + weights[2] * loss.cosine)


def test_chosen_logits_all_count_while_hidden_states_leave_the_padding_out():
    chosen = TRIPLE["labels"] != -100
    few = {name: TRIPLE[name][chosen] for name in ("student_logits", "teacher_logits", "labels")}
    loss = triple_loss(**{**TRIPLE, **few}, attention_mask=MASK)
    whole = triple_loss(**TRIPLE, attention_mask=MASK)
    assert_close(loss.distillation, soft_target_loss(TRIPLE["student_logits"], TRIPLE["teacher_logits"], 2.0, chosen))
    assert_close(loss.masked_lm, whole.masked_lm)
    assert_close(loss.cosine, whole.cosine)


def test_without_a_mask_every_token_counts():
    assert_close(triple_loss(**TRIPLE).total, triple_loss(**TRIPLE, attention_mask=torch.ones(B, S)).total)


def test_the_triple_loss_never_moves_the_teacher():
    for tensor in TRIPLE.values():
        tensor.grad = None
    triple_loss(**TRIPLE, attention_mask=MASK).total.backward()
    assert {name for name, tensor in TRIPLE.items() if tensor.grad is not None} == {"student_logits", "student_hidden"}


@pytest.mark.parametrize(
    ("call", "parts"),
    [
        (lambda: distillation_loss(randn(2, 3, V), randn(2, 3, V + 1)), ("(2, 3, 31)", "(2, 3, 32)", "vocabulary")),
        (lambda: distillation_loss(randn(2, 3, V), randn(2, 1, V)), ("(2, 3, 31)", "(2, 1, 31)")),
        (lambda: cosine_hidden_loss(randn(2, 3, D), randn(2, 3, 1)), ("(2, 3, 12)", "(2, 3, 1)", "width")),
        (lambda: distillation_loss(randn(2, 3, V), randn(2, 3, V), 0.0), ("temperature is 0.0", "above 0")),
        (lambda: distillation_loss(randn(2, 3, V), randn(2, 3, V), -1), ("temperature is -1",)),
        (
            lambda: distillation_loss(randn(2, 3, V), randn(2, 3, V), mask=torch.ones(3, 2)),
            ("mask", "(3, 2)", "(2, 3)"),
        ),
        (lambda: cosine_hidden_loss(randn(2, 3, D), randn(2, 3, D), torch.ones(2)), ("mask", "(2,)", "(2, 3)")),
        (lambda: triple_loss(**{**TRIPLE, "labels": IDS[:, 1:]}), ("labels has shape (5, 6)", "(5, 7)")),
        (lambda: triple_loss(**{**TRIPLE, "labels": IDS + V}), ("labels holds", "0 to 30")),
        (lambda: triple_loss(**TRIPLE, weights=(1, 2)), ("weights is (1, 2)", "three numbers")),
        (lambda: triple_loss(**TRIPLE, weights=(1, 2, 3, 4)), ("weights is (1, 2, 3, 4)", "three numbers")),
        (lambda: triple_loss(**TRIPLE, weights=5.0), ("weights is 5.0", "three numbers")),
        (lambda: triple_loss(**TRIPLE, weights="521"), ("weights is '521'", "three numbers")),
    ],
)
def test_shapes_and_numbers_that_cannot_be_are_refused(call, parts):
    with expect_refusal(*parts):
        call()


# ------------------------------------------------------------------------------------------- the student


def teacher(head: str | None = None, depth: int = 12) -> nn.Module:
    return tiny("bert", head, num_hidden_layers=depth)


def body_of(model: nn.Module) -> nn.Module:
    return getattr(model, "backbone", model)


def test_which_layers_a_student_takes():
    assert alternate_layers(12) == (0, 2, 4, 6, 8, 10)
    assert alternate_layers(5) == (0, 2, 4)
    assert alternate_layers(1) == (0,)
    assert RELEASED_LAYERS == (0, 2, 4, 7, 9, 11)


def test_layers_of_each_init():
    assert chosen_layers("alternate", 6) == [0, 2, 4]
    assert chosen_layers("alternate", 5) == [0, 1, 3]
    assert chosen_layers("alternate", 12, 4) == [0, 3, 6, 9]
    assert chosen_layers("released", 12, None) == [0, 2, 4, 7, 9, 11]
    assert chosen_layers("first", 6, 2) == chosen_layers("random", 6, 2) == [0, 1]
    assert chosen_layers("last", 6, 2) == [4, 5]
    for init in INITS:
        assert len(chosen_layers(init, 12)) == 6


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (("middle", 6), ("no init 'middle'", "alternate, released, first, last, random")),
        (("first", 6, 7), ("a student of 7 layers", "a teacher of 6", "1 to 6")),
        (("first", 6, 0), ("a student of 0 layers",)),
        (("released", 6), ("released choice is 6 of 12", "3 of 6")),
    ],
)
def test_choices_that_cannot_be_are_refused(arguments, parts):
    with expect_refusal(*parts):
        chosen_layers(*arguments)


@pytest.mark.parametrize("head", [None, "masked-lm"])
def test_a_random_student_has_the_shape_and_nothing_else(head):
    master = teacher(head, 4)
    copied, random = (make_student(master, init, [0, 2], seed=3) for init in ("alternate", "random"))
    assert random.config == copied.config
    assert {name: p.shape for name, p in random.named_parameters()} == {
        name: p.shape for name, p in copied.named_parameters()
    }
    again = make_student(master, "random", [0, 2], seed=3)
    ours, copies, same = (body_of(one).encoder.blocks[1].attention.query.weight for one in (random, copied, again))
    assert torch.equal(ours, same)
    assert not torch.equal(ours, copies)


@pytest.mark.parametrize("head", [None, "masked-lm", "pretraining"])
@pytest.mark.parametrize(
    ("depth", "layers", "taken"),
    [
        (12, None, (0, 2, 4, 6, 8, 10)),
        (12, RELEASED_LAYERS, (0, 2, 4, 7, 9, 11)),
        (5, None, (0, 2, 4)),
        (4, [3], (3,)),
        (4, [2, 0, 0], (2, 0, 0)),
        (3, [0, 1, 2], (0, 1, 2)),
    ],
)
def test_a_student_runs_the_chosen_layers_of_its_teacher(head, depth, layers, taken):
    master = teacher(head, depth)
    student = student_from_teacher(master, layers).double().eval()
    body = body_of(master)
    with torch.no_grad():
        body.embeddings.token_type.weight.zero_()  # which the student does not have
    body.encoder.order = taken
    expected = master(IDS, MASK)
    actual = student(IDS, MASK)
    assert_close(actual.last_hidden_state[REAL], expected.last_hidden_state[REAL])
    if head is not None:
        assert_close(actual.logits[REAL], expected.logits[REAL])


@pytest.mark.parametrize("head", [None, "masked-lm"])
def test_with_folded_types_a_student_reads_what_its_teacher_reads(head):
    master = teacher(head, 4)
    student, plain = (student_from_teacher(master, (0, 2), fold_types=fold).double().eval() for fold in (True, False))
    body_of(master).encoder.order = (0, 2)
    assert_close(student(IDS, MASK).last_hidden_state[REAL], master(IDS, MASK).last_hidden_state[REAL], 1e-6)  # float32
    assert not torch.allclose(plain(IDS, MASK).last_hidden_state, student(IDS, MASK).last_hidden_state, atol=1e-3)


@pytest.mark.parametrize("head", [None, "masked-lm", "pretraining"])
def test_a_student_is_a_distilbert_with_nothing_else(head):
    student = student_from_teacher(teacher(head))
    body = body_of(student)
    assert isinstance(body, DistilBert)
    assert body.config.num_hidden_layers == len(body.encoder.blocks) == 6
    assert body.embeddings.token_type is None
    assert body.pooler is None
    assert body.config.labels == CONFIGS["bert"].labels
    assert {name for name, _ in student.named_children()} == (
        {"embeddings", "encoder"} if head is None else {"backbone", "lm"}
    )
    assert {block.attention_output_dropout.p for block in body.encoder.blocks} == {0.0}


@pytest.mark.parametrize("head", [None, "masked-lm"])
def test_training_a_student_never_touches_its_teacher(head):
    master = teacher(head, 4)
    student = student_from_teacher(master, [1, 1])
    before = {name: tensor.clone() for name, tensor in master.state_dict().items()}
    first, second = body_of(student).encoder.blocks
    with torch.no_grad():
        first.attention.query.weight.zero_()
        assert second.attention.query.weight.any(), "a layer that is chosen twice is copied twice"
        for parameter in student.parameters():
            parameter.zero_()
    for name, tensor in master.state_dict().items():
        assert torch.equal(tensor, before[name]), name


def test_a_student_keeps_the_numbers_of_its_teachers_config():
    settings = {"hidden_act": "relu", "layer_norm_eps": 0.25, "hidden_dropout_prob": 0.3, "pad_token_id": 1}
    settings |= {"attention_probs_dropout_prob": 0.2, "initializer_range": 0.1}
    config = student_from_teacher(tiny("bert", **settings)).config
    assert {name: getattr(config, name) for name in settings} == settings
    student = student_from_teacher(tiny("bert", **settings))
    assert {part.eps for part in student.modules() if isinstance(part, nn.LayerNorm)} == {0.25}


def other_values(config: EncoderConfig) -> dict[str, object]:
    """For each field a value that differs from the config's, and that a config accepts."""
    chosen = {"hidden_act": "relu", "labels": ("a", "b", "c"), "classifier_dropout": 0.7, "problem_type": "regression"}
    chosen |= {"hidden_size": 24, "num_attention_heads": 4}
    others = {f.name: getattr(config, f.name) for f in fields(config) if f.name not in chosen}
    return chosen | {name: value + (1 if isinstance(value, int) else 0.05) for name, value in others.items()}


def test_a_student_takes_every_field_from_its_teacher_but_its_own():
    master = BertConfig(**other_values(CONFIGS["bert"]))
    config = student_config(master, 3, DistilBertConfig)
    for field in fields(DistilBertConfig):
        if field.name not in STUDENTS_OWN:
            assert getattr(config, field.name) == getattr(master, field.name) != getattr(CONFIGS["bert"], field.name)
    assert (config.num_hidden_layers, config.type_vocab_size) == (3, 0)


@pytest.mark.parametrize("dropout", [None, 0.7])
def test_a_students_dropout_before_a_classifier_is_distilberts(dropout):
    config = student_from_teacher(tiny("bert", classifier_dropout=dropout)).config
    assert config.classifier_dropout == DistilBertConfig().classifier_dropout == 0.2


@dataclass(frozen=True, kw_only=True)
class LaterBert(BertConfig):
    rotary_base: float = 0.5
    only_the_teachers: int = 7


@dataclass(frozen=True, kw_only=True)
class LaterDistilBert(DistilBertConfig):
    rotary_base: float = 0.25
    only_the_students: int = 8


def test_a_field_that_is_added_later_is_not_lost():
    config = student_config(LaterBert(rotary_base=0.75), 2, LaterDistilBert)
    assert isinstance(config, LaterDistilBert)
    assert (config.rotary_base, config.only_the_students) == (0.75, 8)
    # a teacher without the field leaves the student's own default
    assert student_config(BertConfig(), 2, LaterDistilBert).rotary_base == 0.25


def test_a_published_student_has_the_published_size():
    with torch.device("meta"):
        master = build("bert-base-uncased", "masked-lm")
    student = student_from_teacher(master, RELEASED_LAYERS)
    assert sum(p.numel() for p in student.backbone.parameters()) == 66_362_880


@pytest.mark.parametrize(
    ("master", "layers", "parts"),
    [
        (("bert", None), [2], ("layers [2]", "0 to 1")),
        (("bert", None), [-1], ("layers [-1]", "0 to 1")),
        (("bert", None), [], ("layers []",)),
        (("bert", None), [0.5], ("layers [0.5]",)),
        (("bert", None), [1.0], ("layers [1.0]", "0 to 1")),
        (("bert", None), ["a"], ("layers ['a']", "0 to 1")),
        (("bert", None), 2, ("layers is 2", "list the teacher's layers", "[0]", "0 to 1")),
        (("bert", "masked-lm"), 0, ("layers is 0", "list the teacher's layers")),
        (("albert", None), None, ("teacher must be of the family bert or roberta",)),
        (("distilbert", "masked-lm"), None, ("teacher must be of the family bert or roberta",)),
        (("bert", "token-classification"), None, ("masked-lm or pretraining", "teacher.backbone")),
    ],
)
def test_teachers_and_layers_that_cannot_be_are_refused(master, layers, parts):
    with expect_refusal(*parts):
        student_from_teacher(tiny(*master), layers)


def test_a_teacher_that_is_not_a_model_is_refused():
    with expect_refusal("teacher must be of the family bert or roberta"):
        student_from_teacher(nn.Linear(2, 2))


def test_the_family_says_whose_student_it_is(monkeypatch):
    """A later model has students without a change here: training asks the families."""
    toy = replace(FAMILIES["distilbert"], student_of="albert")
    monkeypatch.setitem(FAMILIES, "distilbert", toy)
    with expect_refusal("the teacher must be of the family albert or roberta"):
        student_from_teacher(tiny("bert"))
