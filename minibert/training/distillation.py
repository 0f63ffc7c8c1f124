"""Distillation: a small student learns from a large teacher.

Three losses (soft targets, masked words, direction of the hidden states), and students that start from the teacher's
own layers. Sources: Sanh et al. 2019, "DistilBERT", sections 2 and 3, and its released code; Hinton, Vinyals & Dean
2015, "Distilling the Knowledge in a Neural Network", for the soft targets.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import fields, replace
from numbers import Real
from typing import NamedTuple

import torch
from torch import Tensor, nn

from minibert.config import EncoderConfig, ModelConfig
from minibert.encoder import Backbone
from minibert.errors import MinibertError, check_known, quoted
from minibert.factory import build
from minibert.heads import MaskedLM, WithHead
from minibert.losses import check_shape, check_temperature, cross_entropy, divergence, mean_of, one_minus_cosine
from minibert.models import FAMILIES
from minibert.training.choices import INITS
from minibert.words import listed

# ------------------------------------------------------------------------------------------- the three losses


def distillation_loss(
    student_logits: Tensor, teacher_logits: Tensor, temperature: float = 2.0, mask: Tensor | None = None
) -> Tensor:
    """How far the student's word probabilities are from the teacher's: T² · KL(teacher ‖ student), in nats.

    student_logits, teacher_logits: (..., V), of the same shape. temperature: T; both logits are divided by it, which
    raises the small probabilities, where much of the teacher's knowledge is. mask: (...), 1 where a token counts
    and 0 where it does not (padding); by default all tokens count.

    Returns the mean over the tokens that count, a scalar; 0 when there are none. The teacher gets no gradient. The
    gradients of soft targets shrink as 1/T²; the factor T² makes up for this (Hinton et al. 2015, section 2).
    A word that the teacher excludes, with a logit of -inf, adds nothing. Computed in float32, also from half precision.
    Raises MinibertError for shapes that do not match, or a temperature that is not above 0.
    """
    check_temperature(temperature)
    student, teacher = counted_tokens(student_logits, teacher_logits, mask)
    return temperature**2 * mean_of(divergence(student, teacher, temperature))


def cosine_hidden_loss(student_hidden: Tensor, teacher_hidden: Tensor, mask: Tensor | None = None) -> Tensor:
    """1 - cosine of the angle between the student's and the teacher's vector of each token, averaged.

    student_hidden, teacher_hidden: (..., D), the last hidden states. mask: (...), 1 where a token counts.
    Returns a scalar between 0 (same direction) and 2; 0 when no token counts. The teacher gets no gradient.

    Computed in float32, also from half precision. Raises MinibertError for shapes that do not match.
    Source: Sanh et al. 2019, section 2 (L_cos).
    """
    student, teacher = counted_tokens(student_hidden, teacher_hidden, mask)
    return mean_of(one_minus_cosine(student, teacher))


def counted_tokens(student: Tensor, teacher: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
    """The vectors of the tokens that count, the teacher's without gradient: twice (..., D) -> twice (N, D)."""
    if student.shape != teacher.shape:
        raise MinibertError(
            f"the student's {tuple(student.shape)} and the teacher's {tuple(teacher.shape)} differ in shape: both "
            "must read the same tokens, and have the same vocabulary (for logits) or width D (for hidden states)."
        )
    if mask is not None:
        check_shape(mask, student.shape[:-1], "mask")
        student, teacher = student[mask.bool()], teacher[mask.bool()]
    width = student.shape[-1]
    return student.reshape(-1, width), teacher.detach().reshape(-1, width)


class TripleLoss(NamedTuple):
    """The weighted sum, which is minimised, and its three terms before weighting: scalars, all in nats except the
    cosine."""

    total: Tensor
    distillation: Tensor
    masked_lm: Tensor
    cosine: Tensor


def triple_loss(
    student_logits: Tensor,
    teacher_logits: Tensor,
    labels: Tensor,
    student_hidden: Tensor,
    teacher_hidden: Tensor,
    attention_mask: Tensor | None = None,
    *,
    temperature: float = 2.0,
    weights: tuple[float, float, float] = (5.0, 2.0, 1.0),
) -> TripleLoss:
    """DistilBERT's training loss: weights · (soft targets, masked words, cosine).

    student_logits, teacher_logits: (B, S, V), or (M, V) for M chosen tokens, all of which count.
    labels: (B, S) or (M,), the true id of each masked word, -100 elsewhere. student_hidden, teacher_hidden:
    (B, S, D), last layer, of all tokens (a model with a masked-LM head that is given labels or `wanted` computes only
    some of them, unless it is called with return_hidden=True). attention_mask: (B, S), 1 real and 0 padding; it
    applies to each input that is (B, S).

    Temperature 2 is the default of the released code; the weights 5, 2, 1 are in the first example of its README.
    Raises MinibertError for shapes that do not match, and for weights that are not three numbers.

    Source: Sanh et al. 2019, section 2.
    """
    soft_weight, masked_weight, cosine_weight = _three_weights(weights)
    per_slot = attention_mask is not None and student_logits.shape[:-1] == attention_mask.shape
    distillation = distillation_loss(
        student_logits, teacher_logits, temperature, mask=attention_mask if per_slot else None
    )
    masked_lm = cross_entropy(student_logits, labels)
    cosine = cosine_hidden_loss(student_hidden, teacher_hidden, mask=attention_mask)
    total = soft_weight * distillation + masked_weight * masked_lm + cosine_weight * cosine
    return TripleLoss(total, distillation, masked_lm, cosine)


def _three_weights(weights: Sequence[float]) -> list[float]:
    found = list(weights) if isinstance(weights, (Sequence, Tensor)) else []
    if len(found) != 3 or not all(isinstance(weight, (Real, Tensor)) for weight in found):
        raise MinibertError(
            f"weights is {weights!r}, but must be three numbers: for soft targets, masked words and cosine."
        )
    return found


# ------------------------------------------------------------------------------------- which layers are taken

RELEASED_LAYERS = (0, 2, 4, 7, 9, 11)  # of 12: the choice in DistilBERT's released code


def alternate_layers(depth: int) -> tuple[int, ...]:
    """Every second layer from the first: 0, 2, 4, ... (Sanh et al. 2019, section 3, "one layer out of two")."""
    return tuple(range(0, depth, 2))


def chosen_layers(init: str, depth: int, count: int | None = None) -> list[int]:
    """The layers of a teacher of this depth that a student starts from, counted from 0, the lowest.

    init: a name of INITS. count: how many layers, by default half of them. With "random", the student copies no layer:
    the numbers returned, those of the first layers, only say how many layers it has.

    Raises MinibertError for an unknown init, or a count that does not suit the teacher or the init.
    """
    check_known("init", init, INITS)
    count = len(alternate_layers(depth)) if count is None else count
    if not 1 <= count <= depth:
        raise MinibertError(
            f"a student of {count} layers cannot be made from a teacher of {depth}: choose 1 to {depth} layers."
        )
    if init == "released":
        if (depth, count) != (12, 6):
            raise MinibertError(f"the released choice is 6 of 12 layers; this is {count} of {depth}: use alternate.")
        return list(RELEASED_LAYERS)
    if init == "last":
        return list(range(depth - count, depth))
    if init == "alternate":
        return [depth * i // count for i in range(count)]
    return list(range(count))


# ------------------------------------------------------------------------------------------------ the student


def student_from_teacher(
    teacher: nn.Module, layers: Sequence[int] | None = None, *, fold_types: bool = False
) -> nn.Module:
    """A student that starts from chosen layers of its teacher. They are copied: training one never changes the other.

    teacher: a BERT, whose student is a DistilBERT, or a RoBERTa, whose student is a smaller RoBERTa (as the released
    DistilRoBERTa is); bare, or with a masked-lm or pretraining head: with such a head the student gets a masked-lm
    head, which is copied too. layers: which of the teacher's layers (0 is the lowest), in the student's order, any
    number of them; by default every second one, as the paper says. RELEASED_LAYERS is the choice of 6 of 12 in the
    released code, which is not strictly every second one.

    The word embeddings, positions and embedding norm are copied; the pooler is dropped, and so are BERT's token types.
    But in a BERT the vector of type 0 is part of every token of a single text, and without it the student's first
    block gets input of a kind that it has never seen. fold_types adds that vector to the student's positions, so that
    both models have the same embeddings for a single text; neither the paper nor the released code does so.

    Raises MinibertError for a teacher of another family, or layers that it does not have.

    Source: Sanh et al. 2019, section 3, "Student initialization".
    """
    backbone = teacher.backbone if isinstance(teacher, WithHead) else teacher
    students = {family.student_of: family.config for family in FAMILIES.values() if family.student_of is not None}
    if not isinstance(backbone, Backbone) or backbone.config.model_type not in students:
        raise MinibertError(
            f"the teacher must be of the family {listed(sorted(students), 'or')}, bare or with a masked-lm or "
            "pretraining head."
        )
    if backbone is not teacher and not isinstance(teacher, MaskedLM):
        raise MinibertError(
            "only a masked-lm or pretraining head can be copied to the student: pass teacher.backbone, and give the "
            "student a head of its own."
        )
    layers = _checked_layers(layers, len(backbone.encoder.order))
    config = student_config(backbone.config, len(layers), students[backbone.config.model_type])
    with torch.device("meta"):
        student = build(config, None if backbone is teacher else "masked-lm")
    student.to_empty(device=next(teacher.parameters()).device)
    body = student if backbone is teacher else student.backbone
    body.keep_summary(False)
    # strict=False: a BERT has a part that its student lacks, the token types.
    body.embeddings.load_state_dict(backbone.embeddings.state_dict(), strict=False)
    if fold_types and backbone.embeddings.token_type is not None and body.embeddings.token_type is None:
        with torch.no_grad():
            body.embeddings.position.weight += backbone.embeddings.token_type.weight[0]
    for block, layer in zip(body.encoder.blocks, layers, strict=True):
        block.load_state_dict(backbone.encoder.blocks[layer].state_dict())
    if backbone is not teacher:
        student.lm.load_state_dict(teacher.lm.state_dict())
    return student


# What a student of another kind does not take over, as DistilBERT from BERT: depth, token types (it has none), dropout
# before a classifier.
STUDENTS_OWN = frozenset({"num_hidden_layers", "type_vocab_size", "classifier_dropout", "qa_dropout"})


def student_config(teacher: EncoderConfig, num_hidden_layers: int, kind: type[ModelConfig]) -> ModelConfig:
    """The config of a student of this depth, copied field by field, so that a field added later is never lost.

    A student of another `kind` than its teacher has the teacher's value of every field that both have, except those of
    STUDENTS_OWN. One of the same kind differs in its depth only.
    """
    if isinstance(teacher, kind):
        return replace(teacher, num_hidden_layers=num_hidden_layers)
    shared = {field.name for field in fields(kind)} & {field.name for field in fields(teacher)}
    taken = {name: getattr(teacher, name) for name in shared - STUDENTS_OWN}
    return kind(**taken, num_hidden_layers=num_hidden_layers)


def _checked_layers(layers: Sequence[int] | None, depth: int) -> list[int]:
    """The teacher's layers as a list of int, by default every second one."""
    if layers is None:
        return list(alternate_layers(depth))
    try:
        wanted = list(layers)
    except TypeError:
        raise MinibertError(
            f"layers is {quoted(layers)}, but must list the teacher's layers to copy, such as "
            f"{list(alternate_layers(depth))}; 0 to {depth - 1} exist."
        ) from None
    try:
        found = [operator.index(layer) for layer in wanted]
    except TypeError:
        found = []
    if not found or not all(layer in range(depth) for layer in found):
        raise MinibertError(f"layers {wanted}: choose some of the teacher's layers 0 to {depth - 1}.")
    return found


def make_student(
    teacher: nn.Module, init: str, layers: Sequence[int], seed: int, fold_types: bool = False
) -> nn.Module:
    """A student of the teacher's chosen layers, or, with the init "random", of the same shape with random weights.

    layers: as `chosen_layers` returns them. seed: of the random weights. Raises MinibertError like
    `student_from_teacher`.
    """
    student = student_from_teacher(teacher, layers, fold_types=fold_types)
    if init != "random":
        return student
    return build(student.config, "masked-lm" if isinstance(student, MaskedLM) else None, seed)
