"""The direction of the hidden states: 1 - cosine."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from minibert.exercises.calls import Call
from minibert.exercises.catalogue.attention import NEVER
from minibert.exercises.declare import Exercise, Hints, Mistake, Probe
from minibert.exercises.probes import randn
from minibert.training import distillation


def cosine_reference(
    student_hidden: Tensor,
    teacher_hidden: Tensor,
    mask: Tensor | None = None,
    *,
    value: str = "1 - cos",
    over: str = "features",
    padding: str = "left out",
    average: str = "mean",
    teacher: str = "constant",
) -> Tensor:
    """The mean of 1 - cosine with knobs."""
    s, t = student_hidden, teacher_hidden.detach() if teacher == "constant" else teacher_hidden
    empty, padding = ("NaN", "left out") if padding == "left out, 0/0" else ("0", padding)
    if padding == "inverted" and mask is not None:
        mask = 1 - mask
    if padding == "hidden zeroed" and mask is not None:
        s, t = s * mask[..., None], t * mask[..., None]
    if over == "texts":
        if mask is not None and padding in ("left out", "zeroed", "inverted"):
            s, t = s * mask[..., None], t * mask[..., None]
        s, t = s.flatten(1), t.flatten(1)
    axis = 1 if over == "positions" else -1
    cos = F.cosine_similarity(s, t, dim=axis)
    if value == "twice":
        each = 2 * (1 - cos)
    elif value == "dot":
        each = 1 - (s * t).sum(axis)
    elif value == "squares":
        each = ((s - t) ** 2).mean(axis)
    elif value == "teacher's length":
        each = 1 - (s * t).sum(axis) / (t * t).sum(axis).clamp(min=1e-16)
    else:
        each = {
            "1 - cos": 1 - cos, "cos": cos, "-cos": -cos, "1 + cos": 1 + cos, "target -1": cos.clamp(min=0),
            "target 0": 0 * cos, "1 - |cos|": 1 - cos.abs(),
        }[value]  # fmt: skip
    if mask is not None and over != "texts":
        if padding in ("left out", "inverted") and over != "positions":
            each = each[mask.bool()]
        elif padding in ("left out", "inverted", "zeroed"):
            each = each * mask  # along S the sizes do not fit: this stops with an error, as an answer would
    if average == "texts first" and mask is not None and padding == "left out" and over == "features" and mask.any():
        texts = (1 - cos) * mask
        return (texts.sum(1) / mask.sum(1).clamp(min=1)).sum() / mask.any(1).sum()
    count = {"sum": 1, "texts": len(s)}.get(average, each.numel())
    if count == 0 and empty == "0":
        count = 1
    return each.sum() / count


def cosine_probes() -> list[Probe]:
    axes = {"B": 2, "S": 5, "D": 3}
    student, teacher = randn(2, 5, 3, seed=21), randn(2, 5, 3, seed=22)
    mask = torch.tensor([[0, 1, 1, 0, 1], [1, 1, 1, 1, 0]])
    return [
        Probe("without a mask", Call((student, teacher), grads=(0,)), axes),
        Probe("with padding", Call((student, teacher, mask), grads=(0,)), axes),
        Probe("with student vectors of another length", Call((0.25 * teacher, teacher, mask)), axes),
        Probe("with a teacher that could learn", Call((student, teacher, mask), grads=(0, 1)), axes),
        Probe("with padding only", Call((student, teacher, 0 * mask)), axes, beyond=NEVER),
        Probe("one text of one token", Call((student[:1, :1], teacher[:1, :1], mask[1:, :1])), {"D": 3}),
        Probe("in float32", Call((student.float(), teacher.float(), mask)), axes),
    ]


def cosine_by_similarity(student_hidden: Tensor, teacher_hidden: Tensor, mask: Tensor | None = None) -> Tensor:
    each = 1 - F.cosine_similarity(student_hidden, teacher_hidden.detach(), dim=-1)
    if mask is not None:
        each = each[mask.bool()]
    return each.sum() / max(each.numel(), 1)


def cosine_by_norms(student_hidden: Tensor, teacher_hidden: Tensor, mask: Tensor | None = None) -> Tensor:
    counts = torch.ones(student_hidden.shape[:-1]) if mask is None else mask
    s = student_hidden / student_hidden.norm(dim=-1, keepdim=True)
    t = (teacher_hidden / teacher_hidden.norm(dim=-1, keepdim=True)).detach()
    return (counts * (1 - torch.einsum("bsd,bsd->bs", s, t))).sum() / counts.sum().clamp(min=1)


def cosine_by_embedding_loss(student_hidden: Tensor, teacher_hidden: Tensor, mask: Tensor | None = None) -> Tensor:
    chosen = torch.ones(student_hidden.shape[:-1], dtype=torch.bool) if mask is None else mask.bool()
    if not chosen.any():
        return student_hidden.new_zeros(())
    s, t = student_hidden[chosen], teacher_hidden[chosen].detach()
    return F.cosine_embedding_loss(s, t, torch.ones(len(s)))


def cosine_by_squares(student_hidden: Tensor, teacher_hidden: Tensor, mask: Tensor | None = None) -> Tensor:
    # Half the squared distance of two unit vectors is 1 - cosine.
    s, t = F.normalize(student_hidden, dim=-1), F.normalize(teacher_hidden.detach(), dim=-1)
    each = ((s - t) ** 2).sum(-1) / 2
    if mask is None:
        return each.mean()
    return (each * mask).sum() / max(int(mask.sum()), 1)


EXERCISE = Exercise(
    name="cosine-loss",
    topic="distillation",
    title="The direction of the hidden states",
    level="core",
    minutes=10,
    function="cosine_hidden_loss",
    signature="student_hidden, teacher_hidden, mask=None",
    task=(
        "Do the student's hidden states point in the same direction as the teacher's? For each token, take 1 − the "
        "cosine of the angle between the two vectors, and return the mean over the tokens.\n\n"
        "- `student_hidden`, `teacher_hidden`: (B, S, D), the last hidden states\n"
        "- `mask`: None, or integers (B, S): 1 where a token counts, 0 for padding\n"
        "- returns one number between 0 and 2: the mean over the tokens that count, or 0 if there are none\n\n"
        "The teacher is a constant: no gradient may reach `teacher_hidden`."
    ),
    source="Sanh et al. 2019, section 2 (L_cos)",
    reference=cosine_reference,
    solution=cosine_by_similarity,
    library=distillation.cosine_hidden_loss,
    probes=cosine_probes,
    mistakes=(
        Mistake("cosine-itself", "value", "cos", "you return the cosine itself",
                "making it small turns the student away from the teacher; the loss is 1 − cosine"),
        Mistake("no-one-minus", "value", "-cos", "you return − cosine, without the 1",
                "the gradients are the same, but the loss is −1 and not 0 where both agree; add 1"),
        Mistake("one-plus-cosine", "value", "1 + cos", "you add the cosine to 1",
                "the loss is lowest where the student points the opposite way; take 1 − cosine"),
        Mistake("target-minus-1", "value", "target -1", "the target of the cosine embedding loss is −1",
                'that means "these two should differ" and pushes the student away until the cosine is 0; the target '
                "is 1 for every token"),
        Mistake("target-0", "value", "target 0", "the target of the cosine embedding loss is 0",
                "torch knows only 1 and −1, and gives 0 for all other targets without a warning, so nothing is "
                "learned; the target is 1 for every token"),
        Mistake("twice-as-much", "value", "twice",
                "the loss is twice as large as it should be, like the squared distance of unit vectors",
                "|a - b|² = 2 (1 - cos) for vectors of length 1, so the direction is right, but the task asks for 1 "
                "- cos"),
        Mistake("dot-product", "value", "dot", "you take the dot product without dividing by the lengths",
                "a longer vector lowers the loss without limit; the cosine is the dot product of vectors of length 1"),
        Mistake("teacher-length-only", "value", "teacher's length",
                "you divide the dot product by the teacher's length twice, and not by the student's",
                "the length of the student's vector still counts; divide by both lengths"),
        Mistake("squared-difference", "value", "squares", "you take the mean squared difference of the two vectors",
                "that asks for the same length as well; only the direction should count"),
        Mistake("absolute-cosine", "value", "1 - |cos|", "the sign of the cosine is dropped",
                "a vector that points the opposite way is as good as the right one"),
        Mistake("one-cosine-a-text", "over", "texts", "each text is flattened into one long vector",
                "tokens with long vectors dominate the others; take one cosine for each token"),
        Mistake("cosine-over-positions", "over", "positions", "the cosine is taken along the axis S",
                "F.cosine_similarity takes dim=1 if nothing else is given, which is S here; set dim=-1"),
        Mistake("sum-over-tokens", "average", "sum", "the tokens are summed and not averaged",
                "the loss grows with the batch"),
        Mistake("mean-over-texts", "average", "texts", "the sum is divided by the number of texts",
                "longer texts give a larger loss; divide by the number of tokens"),
        Mistake("mean-of-means", "average", "texts first", "you average over each text first, and then over the texts",
                "a token of a short text counts more than one of a long text; divide once, by the number of tokens"),
        Mistake("pads-counted", "padding", "counted", "padding counts like any other token",
                "the student learns to copy what the teacher outputs at padding, which means nothing; leave out "
                "tokens with mask 0"),
        Mistake("divided-by-all-slots", "padding", "zeroed", "padding is set to 0 but still counted in the mean",
                "the more padding there is, the smaller the loss; divide by the number of tokens that count"),
        Mistake("hidden-states-zeroed", "padding", "hidden zeroed",
                "the hidden states of padding are set to 0 before the cosine",
                "the cosine of two zero vectors is 0, so each padding token adds a full 1 to the loss; leave these "
                "tokens out instead"),
        Mistake("mask-inverted", "padding", "inverted", "you read the mask the wrong way round",
                "only the padding counts; 1 marks a real token"),
        Mistake("teacher-learns", "teacher", "learns", "a gradient flows into the teacher's hidden states",
                "the teacher would turn towards its student; detach them"),
        Mistake("nan-when-none-counts", "padding", "left out, 0/0", "a batch in which no token counts gives NaN",
                "that is 0 divided by 0; divide by at least 1, so that the sum of 0 stays 0"),
    ),
    hints=Hints(
        "What should the loss be for two vectors with the same direction, and what for two with opposite directions?",
        "The cosine of two vectors is their dot product divided by both lengths. There is one for each token, (B, S); "
        "then apply the mask and take the mean.",
        "1/N · Σ over tokens (1 − s·t / (‖s‖ ‖t‖)), with N the number of tokens that count.",
        "each = 1 - F.cosine_similarity(..., ....detach(), dim=...)\n"
        "if mask is not None: each = each[...]\nreturn each.sum() / max(..., 1)",
    ),
    equivalents=(cosine_by_norms, cosine_by_embedding_loss, cosine_by_squares),
)  # fmt: skip
