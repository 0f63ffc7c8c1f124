"""Knowledge transfer layer by layer, as MobileBERT learns from its teacher IB-BERT.

The losses of distillation.py look at what comes out of a model. Those here look inside: after each layer the student's
hidden states shall be the teacher's, and each of its attention heads shall look where the teacher's head looks. So the
two must have the same depth, the same width between the blocks and as many heads; inside the blocks they may differ,
which is what bottlenecks are for. The layers are learned one after the other, from the lowest (progressive transfer).
What follows in the paper is distillation of the masked words: `distillation_loss` at temperature 1 and the masked-LM
loss, half and half, and next-sentence prediction.

Sources: Sun et al. 2020, "MobileBERT", sections 3.5 and 3.6, and its released code.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from minibert.encoder import Backbone
from minibert.errors import MinibertError
from minibert.heads import WithHead
from minibert.losses import check_shape, divergence_of_weights, full_precision, mean_of
from minibert.model import Output
from minibert.training.distillation import counted_tokens
from minibert.words import are, counted, type_of


class TransferWeights(NamedTuple):
    """How much each term counts. The defaults are those of the released code, but for a division by the number of
    layers; they suit a teacher whose hidden states are normalised."""

    normalised: float = 100.0
    mean: float = 5000.0
    variance: float = 5.0
    attention: float = 1.0


RELEASED = TransferWeights()

# ------------------------------------------------------------------------------------------------ the losses


class FeatureMapLoss(NamedTuple):
    """The weighted sum, which is minimised, and its three terms before weighting: scalars."""

    total: Tensor
    normalised: Tensor
    mean: Tensor
    variance: Tensor


def feature_map_loss(
    student_hidden: Tensor,
    teacher_hidden: Tensor,
    mask: Tensor | None = None,
    *,
    weights: TransferWeights = RELEASED,
) -> FeatureMapLoss:
    """How far the student's hidden states are from the teacher's: their pattern, their mean and their variance.

    student_hidden, teacher_hidden: (..., D), after the same layer. mask: (...), 1 where a token counts and 0 where it
    does not (padding), by default all count. weights: of the three terms; that of attention is not used here.

    normalised: the mean squared difference after a layer norm without parameters, over tokens and features. mean: the
    squared difference of the tokens' means over D. variance: the absolute difference of their variances. The two are
    averaged over the tokens. All are 0 when no token counts; the teacher gets no gradient.
    Computed in float32, also from half precision. Raises MinibertError for shapes that do not match.

    Source: Sun et al. 2020, section 3.5, equation 1; it says that the difference is taken apart in this way, and the
    released code how. (That code takes the teacher's mean and variance over all layers together; here they are those
    of the layer.)
    """
    student, teacher = (full_precision(x) for x in counted_tokens(student_hidden, teacher_hidden, mask))
    count, width = max(len(student), 1), student.shape[-1]
    means = [x.mean(-1, keepdim=True) for x in (student, teacher)]
    variances = [(x - m).square().mean(-1) for x, m in zip((student, teacher), means, strict=True)]
    patterns = [F.layer_norm(x, (width,), eps=1e-12) for x in (student, teacher)]
    normalised = (patterns[0] - patterns[1]).square().sum() / (count * width)
    mean = (means[0] - means[1]).square().sum() / count
    variance = (variances[0] - variances[1]).abs().sum() / count
    total = weights.normalised * normalised + weights.mean * mean + weights.variance * variance
    return FeatureMapLoss(total, normalised, mean, variance)


def attention_transfer_loss(student_weights: Tensor, teacher_weights: Tensor, mask: Tensor | None = None) -> Tensor:
    """How far each head of the student looks elsewhere than the teacher's: KL(teacher ‖ student) of each query's row of
    weights, in nats, averaged over heads and queries.

    student_weights, teacher_weights: (B, H, S, T), each row a distribution over the keys, of the same layer. mask:
    (B, S), 1 for a real query and 0 for padding, by default all are real. Padded keys have weight 0 on both sides and
    add nothing. Returns a scalar; 0 when no query counts. The teacher gets no gradient.
    Computed in float32, also from half precision. Raises MinibertError for shapes that do not match, as when the two
    have not as many heads.

    Source: Sun et al. 2020, section 3.5, equation 2.
    """
    if student_weights.dim() != 4 or student_weights.shape != teacher_weights.shape:
        raise MinibertError(
            f"the student's attention {tuple(student_weights.shape)} and the teacher's {tuple(teacher_weights.shape)} "
            "must have one shape (B, H, S, T): both must read the same tokens and have the same number of heads."
        )
    rows = divergence_of_weights(student_weights, teacher_weights.detach()).transpose(1, 2)  # (B, S, H)
    if mask is not None:
        check_shape(mask, rows.shape[:2], "mask")
        rows = rows[mask.bool()]
    return mean_of(rows)


def layer_transfer_loss(
    student: Output,
    teacher: Output,
    layer: int,
    mask: Tensor | None = None,
    *,
    weights: TransferWeights = RELEASED,
) -> Tensor:
    """What is minimised to teach one layer: feature map and attention together, a scalar.

    student, teacher: outputs that have hidden_states and attentions. layer: from 0, the lowest. mask: (B, S), 1 for a
    real token. Raises MinibertError where hidden states or attentions were not kept, or do not match.
    """
    outputs = (student, teacher)
    if any(output.hidden_states is None or output.attentions is None for output in outputs):
        raise MinibertError(
            "transfer reads hidden states and attention: call both models with return_hidden=True and "
            "return_attention=True."
        )
    depth = min(len(output.attentions) for output in outputs)
    if not 0 <= layer < depth:
        raise MinibertError(f"there is no layer {layer} to compare: both models have the layers 0 to {depth - 1}.")
    hidden = feature_map_loss(*(output.hidden_states[layer + 1] for output in outputs), mask, weights=weights)
    attention = attention_transfer_loss(*(output.attentions[layer] for output in outputs), mask)
    return hidden.total + weights.attention * attention


# ------------------------------------------------------------------------------------------ layer by layer


class Stage(NamedTuple):
    """A layer, and its loss, averaged over some batches, before it was trained and after."""

    layer: int
    before: float
    after: float


def progressive_transfer(
    student: nn.Module,
    teacher: nn.Module,
    batches: Sequence[Mapping[str, Tensor]],
    *,
    steps: int,
    learning_rate: float = 1e-3,
    weights: TransferWeights = RELEASED,
    averaged: int | None = None,
) -> list[Stage]:
    """Teach the student its teacher's layers one after the other, in place: layer l while all else is frozen, then l+1.

    student, teacher: models of the same depth, width and number of heads, bare or with a head; only the student's
    blocks change (`copy_outer_parts` gives it the teacher's embeddings first). batches: inputs of the models
    (input_ids, attention_mask, token_type_ids; other entries are not used), taken in turn. steps: for each layer.
    averaged: how many of the batches the losses of a stage are averaged over, by default all.
    Neither model drops anything meanwhile. Afterwards both are in the modes in which they came, and as trainable.

    A stage's gradients come from its own layer's loss; the layers above it play no part yet. The paper trains the
    layers below on with a small rate where the student cannot follow exactly; here they stay as they are.
    Raises MinibertError for models that do not fit each other, or settings with which nothing can be learned.

    Source: Sun et al. 2020, section 3.6, "Progressive Knowledge Transfer".
    """
    pupil, master = _fitting(student, teacher)
    if not isinstance(steps, int) or steps < 1 or not batches:
        raise MinibertError(
            f"steps is {steps!r}, and there {are(len(batches))} {counted(len(batches), 'batch', 'batches')}: transfer "
            "needs an integer, at least 1, of each."
        )
    if averaged is not None and (not isinstance(averaged, int) or averaged < 1):
        raise MinibertError(f"averaged is {averaged!r}; it must be an integer, at least 1, or None for all batches.")

    def loss(batch: Mapping[str, Tensor], layer: int) -> Tensor:
        inputs = {name: batch[name] for name in ("input_ids", "attention_mask", "token_type_ids") if name in batch}
        kept = {"return_hidden": True, "return_attention": True}
        with torch.no_grad():
            target = master(**inputs, **kept)
        output = pupil(**inputs, **kept)
        return layer_transfer_loss(output, target, layer, inputs.get("attention_mask"), weights=weights)

    @torch.no_grad()
    def average(layer: int) -> float:
        measured = batches[:averaged]
        return sum(loss(batch, layer).item() for batch in measured) / len(measured)

    modes = [(part, part.training) for model in (student, teacher) for part in model.modules()]
    trainable = [(parameter, parameter.requires_grad) for parameter in student.parameters()]
    stages = []
    try:
        student.eval()
        teacher.eval()
        student.requires_grad_(False)
        for layer, block in enumerate(pupil.encoder.blocks):
            block.requires_grad_(True)
            before = average(layer)
            optimiser = torch.optim.Adam(block.parameters(), lr=learning_rate)
            for step in range(steps):
                optimiser.zero_grad()
                loss(batches[step % len(batches)], layer).backward()
                optimiser.step()
            optimiser.zero_grad()
            block.requires_grad_(False)
            stages.append(Stage(layer, before, average(layer)))
    finally:
        for part, mode in modes:
            part.training = mode
        for parameter, was_trainable in trainable:
            parameter.requires_grad_(was_trainable)
    return stages


def copy_outer_parts(student: nn.Module, teacher: nn.Module) -> list[str]:
    """Copy what is outside the blocks from the teacher to the student: embeddings, pooler and head, where the two have
    the same part in the same shape. Returns the names of the parameters that were copied.

    A layer norm is not copied to a NoNorm: the same numbers would mean something else. Raises MinibertError where not
    even the word embeddings fit. Source: Sun et al. 2020, section 3.6; which parts: the released code.
    """
    if not (isinstance(student, WithHead) and isinstance(teacher, WithHead)):
        student, teacher = _backbone(student), _backbone(teacher)
    theirs, their_parts = dict(teacher.named_parameters()), dict(teacher.named_modules())
    copied = []
    for name, parameter in student.named_parameters():
        part = name.rpartition(".")[0]
        fits = name in theirs and theirs[name].shape == parameter.shape
        if fits and ".blocks." not in name and type(their_parts[part]) is type(student.get_submodule(part)):
            with torch.no_grad():
                parameter.copy_(theirs[name])
            copied.append(name)
    if not any(name.endswith("embeddings.word.weight") for name in copied):
        raise MinibertError("the teacher's word embeddings do not fit the student: vocab_size or their width differs.")
    return copied


def _backbone(model: nn.Module) -> Backbone:
    backbone = model.backbone if isinstance(model, WithHead) else model
    if not isinstance(backbone, Backbone):
        raise MinibertError(f"{type_of(model)} has no encoder of blocks: pass an encoder made by build().")
    return backbone


def _fitting(student: nn.Module, teacher: nn.Module) -> tuple[Backbone, Backbone]:
    """The two backbones, of which each layer of one can be compared with the same layer of the other."""
    pupil, master = _backbone(student), _backbone(teacher)
    for name in ("num_hidden_layers", "hidden_size", "num_attention_heads", "vocab_size"):
        ours, theirs = getattr(pupil.config, name), getattr(master.config, name)
        if ours != theirs:
            raise MinibertError(
                f"{name} is {ours} in the student and {theirs} in the teacher: transfer layer by layer needs models "
                "that are alike in this."
            )
    if len(pupil.encoder.blocks) != len(pupil.encoder.order):
        raise MinibertError("the student uses one block for several layers: they cannot be taught one after the other.")
    return pupil, master
