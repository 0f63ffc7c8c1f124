"""DistilBERT's three losses, added."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from minibert.exercises.calls import Call
from minibert.exercises.catalogue.cosine_loss import cosine_reference
from minibert.exercises.catalogue.distillation_loss import soft_reference
from minibert.exercises.declare import Exercise, Hints, Mistake, Probe
from minibert.exercises.probes import in_float32, randn
from minibert.training import distillation

IGNORE = -100


class Inputs(NamedTuple):
    """What every answer is called with, in this order."""

    student_logits: Tensor
    teacher_logits: Tensor
    labels: Tensor
    student_hidden: Tensor
    teacher_hidden: Tensor
    attention_mask: Tensor
    temperature: float = 2.0
    weights: Sequence[float] = (5.0, 2.0, 1.0)


def triple_reference(
    *inputs: Any,
    weighing: str = "in order",
    missing: str = "nothing",
    soft_tokens: str = "real",
    cosine_tokens: str = "real",
    direction: str = "teacher first",
    factor: str = "T²",
    heat: str = "given",
    masked_lm: str = "chosen words",
    cosine: str = "1 - cos",
    teacher: str = "constant",
    empty: str = "0",
) -> Tensor:
    """DistilBERT's loss with knobs."""
    s, t, labels, s_hidden, t_hidden, mask, temperature, weights = Inputs(*inputs)
    heated = 2.0 if heat == "always 2" else temperature
    soft_mask, cosine_mask = mask, mask
    if soft_tokens == "chosen":
        soft_mask = labels != IGNORE
    if cosine_tokens == "chosen":
        cosine_mask = (labels != IGNORE).long()
    soft = soft_reference(
        s, t, heated, soft_mask, teacher=teacher, factor=factor,
        divergence="kl" if direction == "teacher first" else "swapped",
        padding="counted" if soft_tokens.startswith("all") else "left out",
        average={"all, by texts": "texts", "all, by entries": "entries"}.get(soft_tokens, "tokens"),
    )  # fmt: skip
    cos = cosine_reference(
        s_hidden, t_hidden, cosine_mask, teacher=teacher,
        value="cos" if cosine == "cos" else "1 - cos", over="texts" if cosine == "per text" else "features",
        padding="counted" if cosine_tokens == "all" else "left out",
    )  # fmt: skip

    logits = {"at T": s / heated, "teacher": t.detach(),
              "softmax twice": s.softmax(-1)}.get(masked_lm, s)  # fmt: skip
    words = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORE, reduction="sum")
    chosen = int((labels != IGNORE).sum())
    count = {"all slots": labels.numel(), "real tokens": int(mask.sum()), "sum": 1}.get(masked_lm, chosen)
    words = words / (1 if count == 0 and empty == "0" else count)

    a, b, c = (5.0, 2.0, 1.0) if weighing == "fixed" else weights
    a, b, c = {
        "first two swapped": (b, a, c), "last two swapped": (a, c, b), "reversed": (c, b, a), "none": (1.0, 1.0, 1.0),
        "mean": (1 / 3, 1 / 3, 1 / 3), "third of the sum": (a / 3, b / 3, c / 3),
        "sum to 1": tuple(w / (a + b + c) for w in (a, b, c)),
    }.get(weighing, (a, b, c))  # fmt: skip
    total = 0.0 * (s.sum() + s_hidden.sum())
    if missing != "distillation":
        total = total + a * soft
    if missing != "masked words":
        total = total + b * words
    if missing != "cosine":
        total = total + c * cos
    return total


def triple_probes() -> list[Probe]:
    axes = {"B": 2, "S": 5, "V": 7, "D": 3}
    logits = randn(2, 5, 7, seed=31, scale=2.0), randn(2, 5, 7, seed=32, scale=2.0)
    hidden = randn(2, 5, 3, seed=33), randn(2, 5, 3, seed=34)
    mask = torch.tensor([[0, 1, 1, 0, 1], [1, 1, 1, 1, 0]])
    labels = torch.tensor([[IGNORE, 4, IGNORE, IGNORE, IGNORE], [0, IGNORE, 6, IGNORE, IGNORE]])
    none, empty = torch.full_like(labels, IGNORE), torch.tensor([[1, 1, 1, 1, 1], [0, 0, 0, 0, 0]])
    short = torch.stack((labels[0], none[0]))
    more = randn(2, 5, 7, seed=35), randn(2, 5, 7, seed=36), labels, randn(2, 5, 3, seed=37), randn(2, 5, 3, seed=38)
    return [
        Probe("with padding", Call((*logits, labels, *hidden, mask), grads=(0, 3)), axes),
        Probe("at temperature 3 and other weights", Call((*more, mask, 3.0, (2.0, 7.0, 3.0)), grads=(0, 3)), axes),
        Probe("with a teacher that could learn", Call((*logits, labels, *hidden, mask), grads=(0, 1, 3, 4)), axes),
        Probe(
            "one text", Call((*(one[1:] for one in (*logits, labels, *hidden, mask)), 3.0)), {"S": 5, "V": 7, "D": 3}
        ),
        Probe("in float32", Call((*in_float32(logits), labels, *in_float32(hidden), mask, 3.0)), axes),
        Probe("where no word is masked", Call((*logits, none, *hidden, mask)), axes),
        Probe("with a text of padding only", Call((*logits, short, *hidden, empty)), axes),
    ]


def triple_by_parts(
    student_logits: Tensor,
    teacher_logits: Tensor,
    labels: Tensor,
    student_hidden: Tensor,
    teacher_hidden: Tensor,
    attention_mask: Tensor,
    temperature: float = 2.0,
    weights: Sequence[float] = (5.0, 2.0, 1.0),
) -> Tensor:
    real = attention_mask.bool()
    tokens = max(int(real.sum()), 1)

    student, teacher = student_logits[real] / temperature, teacher_logits[real].detach() / temperature
    soft = F.kl_div(student.log_softmax(-1), teacher.log_softmax(-1), log_target=True, reduction="sum")
    soft = temperature**2 * soft / tokens

    # Without the temperature and only where there is a label: this part is BERT's own loss.
    chosen = max(int((labels != -100).sum()), 1)
    words = F.cross_entropy(student_logits.flatten(0, 1), labels.flatten(), ignore_index=-100, reduction="sum")
    words = words / chosen

    cosine = (1 - F.cosine_similarity(student_hidden[real], teacher_hidden[real].detach(), dim=-1)).sum() / tokens
    return weights[0] * soft + weights[1] * words + weights[2] * cosine


def triple_by_modules(*inputs: Any) -> Tensor:
    s, t, labels, s_hidden, t_hidden, mask, temperature, weights = Inputs(*inputs)
    real = mask == 1
    log_q = F.log_softmax(s / temperature, dim=-1)[real]
    p = F.softmax(t.detach() / temperature, dim=-1)[real]
    total = weights[0] * nn.KLDivLoss(reduction="batchmean")(log_q, p) * temperature**2
    if (labels != -100).any():
        total = total + weights[1] * nn.CrossEntropyLoss()(s[labels != -100], labels[labels != -100])
    a, b = s_hidden[real], t_hidden[real].detach()
    return total + weights[2] * nn.CosineEmbeddingLoss()(a, b, torch.ones(len(a)))


def triple_by_formulas(*inputs: Any) -> Tensor:
    s, t, labels, s_hidden, t_hidden, mask, temperature, weights = Inputs(*inputs)
    with torch.no_grad():
        p = (t / temperature).softmax(-1)
        direction = t_hidden / t_hidden.norm(dim=-1, keepdim=True)
    q = (s / temperature).log_softmax(-1)
    divergence = (p * (p.log() - q)).sum(-1)
    angle = 1 - (s_hidden * direction).sum(-1) / s_hidden.norm(dim=-1)
    chosen = labels != -100
    picked = s.log_softmax(-1).gather(-1, labels.clamp(min=0)[..., None]).squeeze(-1)
    parts = (
        temperature**2 * (divergence * mask).sum() / mask.sum(),
        -(picked * chosen).sum() / chosen.sum().clamp(min=1),
        (angle * mask).sum() / mask.sum(),
    )
    return sum(w * part for w, part in zip(weights, parts, strict=True))


def triple_by_loop(*inputs: Any) -> Tensor:
    s, t, labels, s_hidden, t_hidden, mask, temperature, weights = Inputs(*inputs)
    soft, words, cosines = [], [], []
    for at in map(tuple, mask.nonzero().tolist()):
        p = (t[at].detach() / temperature).softmax(0)
        soft.append(temperature**2 * (p * (p.log() - (s[at] / temperature).log_softmax(0))).sum())
        cosines.append(1 - F.cosine_similarity(s_hidden[at], t_hidden[at].detach(), dim=0))
        if labels[at] != -100:
            words.append(-s[at].log_softmax(0)[labels[at]])
    parts = [torch.stack(part).mean() if part else torch.zeros(()) for part in (soft, words, cosines)]
    return weights[0] * parts[0] + weights[1] * parts[1] + weights[2] * parts[2]


def triple_by_library(*inputs: Any, **named: Any) -> Tensor:
    *tensors, temperature, weights = Inputs(*inputs, **named)
    return distillation.triple_loss(*tensors, temperature=temperature, weights=tuple(weights)).total


EXERCISE = Exercise(
    name="triple-loss",
    topic="distillation",
    title="DistilBERT's three losses",
    level="challenge",
    minutes=20,
    function="triple_loss",
    signature=(
        "student_logits, teacher_logits, labels, student_hidden, teacher_hidden, attention_mask, temperature=2.0, "
        "weights=(5.0, 2.0, 1.0)"
    ),
    task=(
        "DistilBERT minimises three losses at once. Return only the total, one number: w₁ · soft targets + w₂ · masked "
        "words + w₃ · cosine.\n\n"
        "- soft targets: T² · KL(teacher ‖ student) of the logits / T, the mean over the real tokens\n"
        "- masked words: BERT's own loss, the cross-entropy of the student's logits (without T) with `labels`, the "
        "mean over the words that have a label; 0 if there are none\n"
        "- cosine: 1 − the cosine of the student's and the teacher's hidden states, the mean over the real tokens\n\n"
        "The arguments:\n\n"
        "- `student_logits`, `teacher_logits`: (B, S, V)\n"
        "- `labels`: (B, S), the true id of each masked word and −100 elsewhere, padding included\n"
        "- `student_hidden`, `teacher_hidden`: (B, S, D)\n"
        "- `attention_mask`: (B, S), 1 for real tokens and 0 for padding; at least one token is real\n"
        "- `temperature`: T\n"
        "- `weights`: w₁, w₂, w₃, used as they are\n\n"
        "No gradient may reach the teacher. You may call your own `distillation_loss` and `cosine_hidden_loss` if they "
        "are in the same file or cell."
    ),
    source="Sanh et al. 2019, section 2; released code: default temperature, weights of its README's first example",
    reference=triple_reference,
    solution=triple_by_parts,
    library=triple_by_library,
    probes=triple_probes,
    mistakes=(
        Mistake("first-weights-swapped", "weighing", "first two swapped",
                "the weights of soft targets and masked words are swapped",
                "the order is soft targets, masked words, cosine; with 5, 2, 1 the teacher should count most"),
        Mistake("last-weights-swapped", "weighing", "last two swapped",
                "the weights of masked words and cosine are swapped",
                "the order is soft targets, masked words, cosine"),
        Mistake("weights-reversed", "weighing", "reversed", "the weights are applied in reverse order",
                "the order is soft targets, masked words, cosine; the teacher should count most"),
        Mistake("not-weighted", "weighing", "none", "the three losses are added without their weights",
                "multiply each by its own weight first"),
        Mistake("average-of-three", "weighing", "mean", "you return the plain average of the three losses",
                "multiply each by its own weight, and then add them"),
        Mistake("sum-divided-by-3", "weighing", "third of the sum", "the weighted sum is divided by 3",
                "the weights are used as they are; the loss, and so every training step, is three times too small"),
        Mistake("weights-normalised", "weighing", "sum to 1", "the weights are scaled to sum to 1",
                "they are used as they are; the loss, and so every training step, is smaller than it should be"),
        Mistake("weights-always-5-2-1", "weighing", "fixed", "the weights are 5, 2 and 1, whatever `weights` says",
                "these are only the defaults; use the argument"),
        Mistake("soft-targets-missing", "missing", "distillation", "the soft targets are left out",
                "nothing is learned from the teacher's probabilities"),
        Mistake("masked-words-missing", "missing", "masked words", "the loss of the masked words is left out",
                "the student learns only from the teacher, and never which word was really there"),
        Mistake("cosine-missing", "missing", "cosine", "the cosine is left out",
                "the hidden states may point in any direction"),
        Mistake("soft-targets-count-pads", "soft_tokens", "all", "the soft targets are averaged over padding as well",
                "the student learns to copy what the teacher outputs at padding, which means nothing; leave out "
                "tokens with mask 0"),
        Mistake("soft-targets-by-batchmean", "soft_tokens", "all, by texts",
                "the soft targets of all tokens, including padding, are summed and divided by the number of texts",
                'that is what "batchmean" does with a (B, S, V) tensor, and the result is far too large; select the '
                "real tokens first, so that there is one row for each"),
        Mistake("soft-targets-by-mean", "soft_tokens", "all, by entries",
                "the soft targets are averaged over all tokens, including padding, and over the words as well",
                'that is what "mean" does with a (B, S, V) tensor, and the result is V times too small; sum over the '
                "words, and average over the real tokens"),
        Mistake("cosine-at-masked-words-only", "cosine_tokens", "chosen",
                "the cosine is taken only at the masked words",
                "the hidden states of every real token should be compared; use the attention mask, not the labels"),
        Mistake("soft-targets-at-masked-words-only", "soft_tokens", "chosen",
                "the soft targets are taken only at the masked words",
                "the teacher has something to say about every real token, and most of it is lost; use the attention "
                "mask, not the labels"),
        Mistake("cosine-counts-pads", "cosine_tokens", "all", "the cosine is averaged over padding as well",
                "the student learns to copy what the teacher outputs at padding, which means nothing; leave out "
                "tokens with mask 0"),
        Mistake("kl-swapped", "direction", "student first", "you compute KL(student ‖ teacher)",
                "F.kl_div(input, target) is KL(target ‖ input), so the student comes first"),
        Mistake("no-T-squared", "factor", "none", "the factor T² is missing from the soft targets",
                "their gradients shrink as 1/T², so the same weights would not be right for another temperature"),
        Mistake("temperature-always-2", "heat", "always 2", "T is 2, whatever `temperature` says",
                "2.0 is only the default; use the argument"),
        Mistake("masked-words-at-temperature", "masked_lm", "at T",
                "the logits are divided by T for the masked words too",
                "the temperature is for comparing with the teacher; here there is one true word, and the student's "
                "own probabilities count",
                "Which of the three losses does the temperature belong to?"),
        Mistake("masked-words-over-all-slots", "masked_lm", "all slots",
                "the loss of the masked words is divided by the number of all tokens, including padding",
                "it becomes about seven times too small; divide by the number of words that have a label"),
        Mistake("masked-words-over-real-tokens", "masked_lm", "real tokens",
                "the loss of the masked words is divided by the number of all real tokens",
                "it becomes about seven times too small; divide by the number of words that have a label"),
        Mistake("masked-words-summed", "masked_lm", "sum", "the masked words are summed and not averaged",
                "their share of the loss grows with the batch"),
        Mistake("masked-words-by-teacher", "masked_lm", "teacher",
                "the loss of the masked words is computed from the teacher's logits",
                "that is a constant and teaches the student nothing; use the student's logits"),
        Mistake("softmax-twice", "masked_lm", "softmax twice", "the student's probabilities go into the cross-entropy",
                "it expects logits and applies the softmax itself; a second softmax makes the probabilities nearly "
                "equal"),
        Mistake("cosine-added", "cosine", "cos", "the cosine itself is added",
                "making it small turns the student away from the teacher; add 1 − cosine"),
        Mistake("one-cosine-a-text", "cosine", "per text", "each text is flattened into one long vector",
                "take one cosine for each token"),
        Mistake("teacher-learns", "teacher", "learns", "a gradient flows into the teacher",
                "the teacher would move towards its student; detach its logits and its hidden states"),
        Mistake("nan-when-no-word-is-masked", "empty", "NaN", "a batch without a masked word gives NaN",
                "the mean over no words is 0/0, which spoils every weight of the student in one step; divide by at "
                "least 1"),
    ),
    hints=Hints(
        "Three losses, and three questions about each: over which tokens, at which temperature, with which weight?",
        "The soft targets and the cosine compare the student with the teacher at every real token. The masked words "
        "are BERT's own loss: only where there is a label, and without the temperature.",
        "w₁ · T² · mean KL(p_T ‖ q_T) + w₂ · mean(− log q[label]) + w₃ · mean(1 − cos).",
        "real = attention_mask.bool()\nsoft = ... * F.kl_div(..., ..., log_target=True, reduction=...) / ...\n"
        "words = F.cross_entropy(student_logits.flatten(0, 1), ..., reduction=\"sum\") / max(..., 1)\n"
        "cosine = (1 - F.cosine_similarity(student_hidden[real], ..., dim=-1)).mean()\n"
        "return ...",
    ),
    equivalents=(triple_by_modules, triple_by_formulas, triple_by_loop),
)  # fmt: skip
