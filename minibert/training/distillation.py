"""Distillation: a small student learns from a large teacher.

Three losses (soft targets, masked words, direction of the hidden states) and a start from the teacher's own
layers. Source: Sanh et al. 2019, "DistilBERT", sections 2 and 3, and its released code; Hinton, Vinyals & Dean
2015, "Distilling the Knowledge in a Neural Network", for the soft targets.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from minibert.encoder import Backbone
from minibert.errors import MinibertError
from minibert.factory import build
from minibert.heads import MaskedLM, WithHead, check_shape, cross_entropy
from minibert.models.bert import BertConfig
from minibert.models.distilbert import DistilBertConfig


def distillation_loss(
    student_logits: Tensor, teacher_logits: Tensor, temperature: float = 2.0, mask: Tensor | None = None
) -> Tensor:
    """How far the student's word probabilities are from the teacher's: T² · KL(teacher ‖ student), in nats.

    student_logits, teacher_logits: (..., V), one shape. temperature: T; both sides are divided by it, which
    lifts the small probabilities where the teacher's knowledge hides. mask: (...), 1 where a token counts
    (leave the padding out), by default all.

    Returns the mean over the tokens that count, a scalar; 0 when none does. The teacher gets no gradient. The
    gradients of soft targets shrink as 1/T²; the factor T² gives them back (Hinton et al. 2015, section 2).
    Raises MinibertError for shapes that do not fit together, or a temperature that is not above 0.
    """
    if temperature <= 0:
        raise MinibertError(f"temperature is {temperature}; it must be above 0.")
    student, teacher = counted_tokens(student_logits, teacher_logits, mask)
    divergence = F.kl_div(
        F.log_softmax(student / temperature, dim=-1),
        F.log_softmax(teacher / temperature, dim=-1),
        log_target=True,
        reduction="sum",
    )
    return temperature**2 * divergence / max(len(student), 1)


def cosine_hidden_loss(student_hidden: Tensor, teacher_hidden: Tensor, mask: Tensor | None = None) -> Tensor:
    """1 - cosine of the angle between the student's and the teacher's vector of each token, averaged.

    student_hidden, teacher_hidden: (..., D), the last hidden states. mask: (...), 1 where a token counts.
    Returns a scalar between 0 (same direction) and 2; 0 when no token counts. The teacher gets no gradient.

    Raises MinibertError for shapes that do not fit together. Source: Sanh et al. 2019, section 2 (L_cos).
    """
    student, teacher = counted_tokens(student_hidden, teacher_hidden, mask)
    return (1.0 - F.cosine_similarity(student, teacher, dim=-1)).sum() / max(len(student), 1)


def counted_tokens(student: Tensor, teacher: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
    """The tokens that count, one a row, the teacher's without gradient: twice (..., D) -> twice (N, D)."""
    if student.shape != teacher.shape:
        raise MinibertError(
            f"the student's {tuple(student.shape)} and the teacher's {tuple(teacher.shape)} differ in shape: both "
            "must see the same tokens, and have one vocabulary (for logits) or one width D (for hidden states)."
        )
    if mask is not None:
        check_shape(mask, student.shape[:-1], "mask")
        student, teacher = student[mask.bool()], teacher[mask.bool()]
    width = student.shape[-1]
    return student.reshape(-1, width), teacher.detach().reshape(-1, width)


class TripleLoss(NamedTuple):
    """The weighted sum, which is what to minimise, and its three parts before weighting; scalars, in nats
    except the cosine."""

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
    (B, S, D), last layer, of all tokens (a model that is given labels or positions fills in only those, unless it is
    called with return_hidden=True). attention_mask: (B, S), 1 real and 0 padding; it applies to whatever is (B, S).

    The weights 5, 2, 1 and temperature 2 are those of the released code.
    """
    per_slot = attention_mask is not None and student_logits.shape[:-1] == attention_mask.shape
    distillation = distillation_loss(
        student_logits, teacher_logits, temperature, mask=attention_mask if per_slot else None
    )
    masked_lm = cross_entropy(student_logits, labels)
    cosine = cosine_hidden_loss(student_hidden, teacher_hidden, mask=attention_mask)
    total = weights[0] * distillation + weights[1] * masked_lm + weights[2] * cosine
    return TripleLoss(total, distillation, masked_lm, cosine)


RELEASED_LAYERS = (0, 2, 4, 7, 9, 11)  # of 12: the choice in DistilBERT's released code


def alternate_layers(depth: int) -> tuple[int, ...]:
    """Every second layer from the first: 0, 2, 4, ... (Sanh et al. 2019, section 3, "one layer out of two")."""
    return tuple(range(0, depth, 2))


def student_from_teacher(
    teacher: nn.Module, layers: Sequence[int] | None = None, *, fold_types: bool = False
) -> nn.Module:
    """A DistilBERT that starts from chosen layers of a BERT, copied: training one never touches the other.

    teacher: a Bert, bare or with a masked-lm or pretraining head; in the latter cases the student has a masked-lm
    head, copied too. layers: which of the teacher's layers (0 is the lowest), in the student's order, any number
    of them; by default every second one, as the paper says. RELEASED_LAYERS is what the released code took of
    12, which is no strict alternation.

    The words, positions and embedding norm are copied; token types and pooler are dropped. But in a teacher the
    vector of type 0 is part of every token of a single text, and without it the student's first block reads something
    that it has never seen. fold_types adds that vector to the student's positions, so that both read a single text
    from the same embeddings; neither the paper nor the released code does so.

    Raises MinibertError for a teacher of another family or a layer that it does not have.

    Source: Sanh et al. 2019, section 3, "Student initialization".
    """
    backbone = teacher.backbone if isinstance(teacher, WithHead) else teacher
    if not isinstance(backbone, Backbone) or not isinstance(backbone.config, BertConfig):
        raise MinibertError("the teacher must be a BERT, bare or with a masked-lm or pretraining head.")
    if backbone is not teacher and not isinstance(teacher, MaskedLM):
        raise MinibertError(
            "only a masked-lm or pretraining head can be handed on to the student: pass teacher.backbone and add a "
            "head of its own to the student."
        )
    depth = len(backbone.encoder.order)
    layers = tuple(alternate_layers(depth) if layers is None else layers)
    if not layers or not all(layer in range(depth) for layer in layers):
        raise MinibertError(f"layers {list(layers)}: choose some of the teacher's layers 0 to {depth - 1}.")

    c = backbone.config
    config = DistilBertConfig(
        vocab_size=c.vocab_size,
        hidden_size=c.hidden_size,
        num_hidden_layers=len(layers),
        num_attention_heads=c.num_attention_heads,
        intermediate_size=c.intermediate_size,
        hidden_act=c.hidden_act,
        max_position_embeddings=c.max_position_embeddings,
        layer_norm_eps=c.layer_norm_eps,
        hidden_dropout_prob=c.hidden_dropout_prob,
        attention_probs_dropout_prob=c.attention_probs_dropout_prob,
        initializer_range=c.initializer_range,
        pad_token_id=c.pad_token_id,
        labels=c.labels,
    )
    with torch.device("meta"):
        student = build(config, None if backbone is teacher else "masked-lm")
    student.to_empty(device=next(teacher.parameters()).device)
    body = student if backbone is teacher else student.backbone
    # strict=False where the teacher has a part that the student lacks: the token types.
    body.embeddings.load_state_dict(backbone.embeddings.state_dict(), strict=False)
    if fold_types and backbone.embeddings.token_type is not None:
        with torch.no_grad():
            body.embeddings.position.weight += backbone.embeddings.token_type.weight[0]
    for block, layer in zip(body.encoder.blocks, layers, strict=True):
        block.load_state_dict(backbone.encoder.blocks[layer].state_dict())
    if backbone is not teacher:
        student.lm.load_state_dict(teacher.lm.state_dict())
    return student
