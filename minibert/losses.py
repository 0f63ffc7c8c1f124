"""What a loss is made of: class numbers, probabilities, angles and means, all computed in float32.

In bfloat16 a number has three digits, and in float16 nothing above 65504 exists: a sum over 30,000 words, or over the
features of a vector, is far off or infinite. So every reduction of the losses is here, and each begins with
`full_precision`. Gradients return in the precision of what came in.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from minibert.errors import MinibertError
from minibert.layers import check_ids
from minibert.tracing import at_hand
from minibert.words import type_of

IGNORE = -100  # the label of a token that does not count


def full_precision(x: Tensor) -> Tensor:
    """In float32, or in float64 where it is so already."""
    return x if x.dtype == torch.float64 else x.float()


def mean_of(terms: Tensor, count: Tensor | None = None) -> Tensor:
    """The sum of the terms (any shape) divided by their number, a scalar; 0 when there are none.

    count: how many they are, where that is not all of them; a tensor, so that a recorded graph counts each time.
    """
    if count is None:
        return terms.sum() / max(terms.numel(), 1)
    return terms.sum() / count.clamp(min=1)


# -------------------------------------------------------------------------------------------------- labels


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """The mean cross-entropy in nats over the labels that count; 0 when there are none.

    logits: (..., C). labels: (...), class numbers, -100 where a label does not count. Raises MinibertError for
    labels that have another shape or are not class numbers.
    """
    check_shape(labels, logits.shape[:-1], "labels")
    if logits.shape[-1] < 2:
        raise MinibertError(
            "with a single class there is nothing to learn: give the config two labels or more, or the problem_type "
            "'regression' if the labels are numbers."
        )
    counted = labels != IGNORE
    check_ids(labels.masked_fill(~counted, 0), logits.shape[-1], "labels", advice=f"{IGNORE} marks what does not count")
    flat = full_precision(logits).flatten(0, -2)
    return mean_of(F.cross_entropy(flat, labels.flatten().long(), ignore_index=IGNORE, reduction="none"), counted.sum())


def text_loss(logits: Tensor, labels: Tensor, problem_type: str | None) -> Tensor:
    """The loss of a head that judges whole texts, chosen by the config's problem_type; a scalar.

    logits: (B, C). None or "single_label_classification": labels (B,), class numbers; mean cross-entropy in nats.
    "multi_label_classification": labels (B, C), 1 where a label applies and 0 elsewhere; mean binary cross-entropy.
    "regression": labels (B, C), or (B,) where C = 1; mean squared error. Raises MinibertError for other shapes, and
    for labels that are no such numbers.
    """
    if problem_type == "regression":
        if isinstance(labels, Tensor) and labels.dim() == 1 and logits.shape[-1] == 1:
            labels = labels[:, None]
        check_shape(labels, logits.shape, "labels")
        if at_hand(labels) and not labels.isfinite().all():
            raise MinibertError("labels holds a number that is not finite: regression learns numbers, one for each.")
        return F.mse_loss(full_precision(logits), full_precision(labels))
    if problem_type == "multi_label_classification":
        check_shape(labels, logits.shape, "labels")
        if at_hand(labels) and not torch.logical_and(labels >= 0, labels <= 1).all():
            raise MinibertError("labels must be 1 where a label applies and 0 where it does not, for each of C labels.")
        return F.binary_cross_entropy_with_logits(full_precision(logits), full_precision(labels))
    if isinstance(labels, Tensor) and labels.is_floating_point():
        raise MinibertError(
            f"labels holds {labels.dtype}, but the config's problem_type is {problem_type!r}, which takes class "
            "numbers (B,): set it to 'regression' or 'multi_label_classification', or use labels.long()."
        )
    return cross_entropy(logits, labels)


# ------------------------------------------------------------------------------------ comparing with a teacher


def check_temperature(temperature: float) -> None:
    """Raise a MinibertError unless a temperature is a finite number above 0."""
    try:
        possible = bool(0 < temperature < math.inf)
    except (TypeError, ValueError, RuntimeError):
        possible = False
    if not possible:
        raise MinibertError(f"temperature is {temperature}; it must be a number above 0.")


def divergence(student_logits: Tensor, teacher_logits: Tensor, temperature: float = 1.0) -> Tensor:
    """KL(teacher ‖ student) of the softmaxes at a temperature, in nats: twice (..., V) -> (...).

    A word that the teacher excludes (a logit of -inf) has probability 0 and adds nothing: p log p goes to 0 with p.
    """
    student = F.log_softmax(full_precision(student_logits) / temperature, dim=-1)
    teacher = F.log_softmax(full_precision(teacher_logits) / temperature, dim=-1)
    chance = teacher.exp()
    excluded = chance == 0
    # Filled before the subtraction: -inf - -inf is NaN, and so would be its gradient.
    difference = teacher.masked_fill(excluded, 0.0) - student.masked_fill(excluded, 0.0)
    return (chance * difference).sum(dim=-1)


def divergence_of_weights(student: Tensor, teacher: Tensor) -> Tensor:
    """KL(teacher ‖ student) of two distributions, in nats: twice (..., T) -> (...)."""
    student, teacher = full_precision(student), full_precision(teacher)
    # A weight may be so small that it is stored as 0; its logarithm would be infinite.
    smallest = torch.finfo(student.dtype).tiny
    return F.kl_div(student.clamp(min=smallest).log(), teacher, reduction="none").sum(-1)


def one_minus_cosine(student: Tensor, teacher: Tensor) -> Tensor:
    """1 - cosine of the angle between two vectors: twice (..., D) -> (...)."""
    return 1.0 - F.cosine_similarity(full_precision(student), full_precision(teacher), dim=-1)


# ------------------------------------------------------------------------------------------------- the rest


def mean_vector(hidden: Tensor, attention_mask: Tensor | None = None) -> Tensor:
    """The mean of each text's real tokens: (B, S, D), mask (B, S) -> (B, D); 0 for a text without any."""
    if attention_mask is None:
        return full_precision(hidden).mean(dim=1).to(hidden.dtype)
    real = attention_mask.bool()[..., None]  # (B, S, 1)
    total = full_precision(hidden).masked_fill(~real, 0.0).sum(dim=1)
    return (total / real.sum(dim=1).clamp(min=1)).to(hidden.dtype)


def check_shape(tensor: Tensor, shape: torch.Size, name: str) -> None:
    """Raise a MinibertError unless `tensor` is a tensor of that shape."""
    if not isinstance(tensor, Tensor):
        raise MinibertError(f"{name} is {type_of(tensor)}, not a tensor: use torch.tensor({name}).")
    if tensor.shape != shape:
        raise MinibertError(f"{name} has shape {tuple(tensor.shape)}, but must have shape {tuple(shape)} here.")
