"""The loss of masked language modelling: the mean cross-entropy over the labelled tokens."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from minibert import heads
from minibert.exercises.calls import Call
from minibert.exercises.declare import Exercise, Hints, Mistake, Probe
from minibert.exercises.probes import randint, randn


def word_loss(logits: Tensor, labels: Tensor, over: str, counts: str, put_in: str, empty: str) -> Tensor:
    """The masked language modelling loss with knobs, for two exercises."""
    if put_in == "softmax":
        logits = logits.softmax(-1)
    if counts in ("ignore 0", "ignore -1"):  # torch stops here with an error if there is a -100
        ignored = {"ignore 0": 0, "ignore -1": -1}[counts]
        F.cross_entropy(logits.flatten(0, -2), labels.flatten(), ignore_index=ignored)
    if put_in == "probability":
        scores = logits.softmax(-1)
    elif put_in == "raw":
        scores = logits
    else:
        if put_in == "reshaped":
            logits = logits.reshape(len(logits), logits.shape[2], -1).transpose(1, 2)
        scores = logits.log_softmax(1 if put_in == "over positions" else -1)
    counted = {
        "not -100": labels != -100,
        "above 0": labels > 0,
        "ignore 0": labels != 0,
        "ignore -1": labels != -1,
        "all as class 0": torch.ones_like(labels, dtype=torch.bool),
    }[counts]
    picked = scores.gather(-1, labels.clamp(min=0)[..., None])[..., 0]
    losses = (picked if put_in == "sign" else -picked) * counted
    number = counted.sum()
    if over == "none":
        return losses
    if over == "slots":
        return losses.mean()
    if over == "sum":
        return losses.sum()
    if over == "batch":
        return losses.sum() / len(labels)
    if over == "texts":
        return (losses.sum(1) / counted.sum(1).clamp(min=1)).mean()
    if over == "texts with labels":
        means = losses.sum(1) / counted.sum(1).clamp(min=1)
        return means.sum() / (counted.any(1).sum().clamp(min=1) if empty == "0" else counted.any(1).sum())
    return losses.sum() / (number.clamp(min=1) if empty == "0" else number)


WORD_MISTAKES = (
    Mistake("mean-over-all-slots", "over", "slots", "you divide by all B · S tokens",
            "the fewer tokens are masked, the smaller the loss and every training step; divide by the number of "
            "labels that are not -100"),
    Mistake("not-reduced", "over", "none", "the losses of the tokens are not averaged",
            "there should be one number: their sum divided by the number of labels"),
    Mistake("summed", "over", "sum", "you sum the losses of the tokens",
            "the loss grows with the batch; divide by the number of labels that are not -100"),
    Mistake("mean-over-texts", "over", "texts", "you average over each text first, and then over the texts",
            "a word in a text with few labels counts more than others; divide once, by the number of all labels"),
    Mistake("label-0-ignored", "counts", "above 0", "a label of 0 is not counted",
            "0 is the id of a token like any other; only -100 is ignored"),
    Mistake("minus-100-as-class-0", "counts", "all as class 0",
            "if a token has no label, you count class 0 as the right answer",
            "the model learns to predict token 0 nearly everywhere; ignore the tokens without a label"),
    Mistake("softmax-twice", "put_in", "softmax",
            "you apply a softmax before the cross-entropy, which applies one itself",
            "after two softmaxes the probabilities are nearly equal, and the loss never comes near 0; pass in the "
            "logits"),
    Mistake("log-missing", "put_in", "probability", "you take the probabilities and not their logarithms",
            "a confident mistake costs hardly more than a hesitant one; the loss is -log p"),
    Mistake("softmax-missing", "put_in", "raw", "you take the logits themselves, without a log-softmax",
            "raising all logits lowers the loss without limit; normalise over the vocabulary first"),
    Mistake("logits-reshaped", "put_in", "reshaped", "the logits are reshaped to (B, V, S) and not transposed",
            "a reshape keeps the numbers in their order, so the vocabulary and the tokens are mixed up; use "
            "transpose(1, 2), or flatten to (B·S, V)"),
    Mistake("softmax-over-positions", "put_in", "over positions", "your softmax is taken over the tokens of a text",
            "then the tokens compete for each word; take it over the last axis, so that the words of the vocabulary "
            "compete for each token"),
    Mistake("sign", "put_in", "sign", "the minus sign is missing",
            "log p is below 0, and training would make it even lower; the loss is -log p"),
)  # fmt: skip
NAN_WITHOUT_LABELS = Mistake(
    "nan-without-labels", "empty", "nan", "the loss of the words is NaN if there is no label at all",
    "a mean over nothing is 0/0, and one such batch spoils all weights; it should be 0",
    "What is the mean of no numbers at all?",
)  # fmt: skip


def masked_lm_loss_reference(
    logits: Tensor,
    labels: Tensor,
    *,
    over: str = "labels",
    counts: str = "not -100",
    put_in: str = "logits",
    empty: str = "0",
) -> Tensor:
    """The masked language modelling loss with knobs; the defaults follow the released code of Devlin et al. 2019."""
    return word_loss(logits, labels, over, counts, put_in, empty)


LABELS = torch.tensor([[-100, 3, -100, 0, -100], [-100, -100, 6, -100, -100], [0, 5, 2, -100, 1]])
NO_LABELS = torch.full((3, 5), -100)


def masked_lm_loss_probes() -> list[Probe]:
    axes = {"B": 3, "S": 5, "V": 7}
    logits = randn(3, 5, 7, seed=1, scale=2.0)
    alone = LABELS.clone()
    alone[1] = -100
    return [
        Probe("some labels", Call((logits, LABELS), grads=(0,)), axes),
        Probe("a label everywhere", Call((randn(3, 5, 7, seed=2), randint(0, 7, (3, 5), seed=3))), axes),
        Probe("a text without labels", Call((logits, alone)), axes),
        Probe("no label at all", Call((logits, NO_LABELS)), axes),
        Probe("one text of one token, whose label is 0", Call((logits[:1, :1], 0 * LABELS[:1, :1])), {"V": 7}),
        Probe("in float32", Call((logits.float(), LABELS)), axes),
    ]


def masked_lm_loss(logits: Tensor, labels: Tensor) -> Tensor:
    counted = labels != -100
    if not counted.any():
        return logits.sum() * 0.0  # 0, but still part of the graph
    return F.cross_entropy(logits[counted], labels[counted])


def masked_lm_loss_by_sum(logits: Tensor, labels: Tensor) -> Tensor:
    total = F.cross_entropy(logits.transpose(1, 2), labels, ignore_index=-100, reduction="sum")
    return total / (labels != -100).sum().clamp(min=1)


def masked_lm_loss_by_gather(logits: Tensor, labels: Tensor) -> Tensor:
    log_p = logits - torch.logsumexp(logits, dim=-1, keepdim=True)
    weight = (labels >= 0).to(logits.dtype)
    picked = torch.gather(log_p, 2, torch.where(labels >= 0, labels, 0).unsqueeze(2)).squeeze(2)
    return -(picked * weight).sum() / torch.clamp(weight.sum(), min=1.0)


def masked_lm_loss_by_loop(logits: Tensor, labels: Tensor) -> Tensor:
    losses = []
    for scores, label in zip(logits.reshape(-1, logits.shape[-1]), labels.reshape(-1).tolist(), strict=True):
        if label != -100:
            losses.append(-torch.log(scores.softmax(0)[label]))
    return torch.stack(losses).mean() if losses else torch.zeros(())


EXERCISE = Exercise(
    name="masked-lm-loss",
    topic="masking",
    title="The masked language modelling loss",
    level="core",
    minutes=10,
    function="masked_lm_loss",
    signature="logits, labels",
    task=(
        "How wrong are the model's predictions? Compute the mean cross-entropy over the tokens that it had to "
        "predict.\n\n"
        "- `logits`: (B, S, V), the scores of all words in the vocabulary, before any softmax\n"
        "- `labels`: (B, S), the right id where there is something to predict, -100 elsewhere. 0 is an id like any "
        "other\n"
        "- returns one number (a tensor without axes), in nats: the mean of -log p(label) over all labels of the batch "
        "that are not -100, all with the same weight. Without any such label it is 0, never NaN."
    ),
    source="Devlin et al. 2019, section 3.1, task 1",
    reference=masked_lm_loss_reference,
    solution=masked_lm_loss,
    library=heads.cross_entropy,
    probes=masked_lm_loss_probes,
    mistakes=(
        *WORD_MISTAKES,
        Mistake("divided-by-texts", "over", "batch", "you divide by the number of texts",
                "the loss grows with the number of labels in a text; divide by the number of labels"),
        Mistake("mean-over-texts-with-labels", "over", "texts with labels",
                "you average over each text that has labels, and then over these texts",
                "a word in a text with few labels counts more than others; divide once, by the number of all labels"),
        Mistake("ignore-index-0", "counts", "ignore 0", "your ignore_index is 0",
                "label 0 is never trained, and torch stops with an error at -100; what does not count is marked by "
                "-100"),
        Mistake("ignore-index-minus-1", "counts", "ignore -1", "your ignore_index is -1",
                "torch stops with an error at -100, which is not a class; what does not count is marked by -100"),
        NAN_WITHOUT_LABELS,
    ),
    hints=Hints(
        "How many numbers go into the mean? Count the labels that are not -100.",
        "F.cross_entropy takes (N, V) and (N,), applies the softmax itself, and ignores -100 by default. But its mean "
        "over nothing is NaN.",
        "loss = −(1/M) Σ log softmax(logits)[label], over the M tokens with a label; 0 if M = 0.",
        "counted = labels != ...\nif not counted.any():\n    return ...\n"
        "return F.cross_entropy(logits[...], labels[...])",
    ),
    equivalents=(masked_lm_loss_by_sum, masked_lm_loss_by_gather, masked_lm_loss_by_loop),
)  # fmt: skip
