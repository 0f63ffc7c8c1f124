"""BERT's pre-training loss: the loss of the masked words plus that of the sentence pairs."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from minibert import heads
from minibert.exercises.calls import Call
from minibert.exercises.catalogue.masked_lm_loss import LABELS, NAN_WITHOUT_LABELS, NO_LABELS, WORD_MISTAKES, word_loss
from minibert.exercises.declare import Exercise, Hints, Mistake, Probe
from minibert.exercises.probes import randn


def pretraining_loss_reference(
    word_logits: Tensor,
    word_labels: Tensor,
    pair_logits: Tensor,
    pair_labels: Tensor,
    *,
    over: str = "labels",
    counts: str = "not -100",
    put_in: str = "logits",
    empty: str = "0",
    pair: str = "mean",
    pair_in: str = "logits",
    total: str = "sum",
) -> Tensor:
    """BERT's pre-training loss with knobs; the defaults follow appendix A.2 of Devlin et al. 2019."""
    words = word_loss(word_logits, word_labels, over, counts, put_in, empty)
    if pair_in == "softmax":
        pair_logits = pair_logits.softmax(-1)
    pair_labels = 1 - pair_labels if pair == "reversed" else pair_labels
    if pair == "binary":
        pairs = F.binary_cross_entropy_with_logits(pair_logits[:, 1], pair_labels.to(pair_logits))
    elif pair in ("ignore 0", "ignore 1"):
        pairs = F.cross_entropy(pair_logits, pair_labels, ignore_index=0 if pair == "ignore 0" else 1)
    else:
        pairs = F.cross_entropy(pair_logits, pair_labels, reduction="sum" if pair == "summed" else "mean")
    if total == "one mean":
        number, texts = (word_labels != -100).sum(), len(pair_labels)
        return (words * number + pairs * texts) / (number + texts)
    return {
        "sum": words + pairs,
        "mean": (words + pairs) / 2,
        "words only": words + 0.0 * pairs,
        "pairs only": pairs + 0.0 * words,
        "product": words * pairs,
    }[total]


def pretraining_loss_probes() -> list[Probe]:
    axes = {"B": 3, "S": 5, "V": 7}
    words, pairs = randn(3, 5, 7, seed=4, scale=2.0), randn(3, 2, seed=5)
    return [
        Probe("both kinds of labels", Call((words, LABELS, pairs, torch.tensor([0, 1, 0])), grads=(0, 2)), axes),
        Probe("all pairs of label 0", Call((words, LABELS, pairs, torch.tensor([0, 0, 0]))), axes),
        Probe("all pairs of label 1", Call((words, LABELS, pairs, torch.tensor([1, 1, 1]))), axes),
        Probe("one text", Call((words[:1], LABELS[:1], pairs[:1], torch.tensor([1]))), {"S": 5, "V": 7}),
        Probe("in float32", Call((words.float(), LABELS, pairs.float(), torch.tensor([1, 0, 0]))), axes),
        Probe("no word to predict", Call((words, NO_LABELS, pairs, torch.tensor([1, 0, 0]))), axes),
    ]


def pretraining_loss(word_logits: Tensor, word_labels: Tensor, pair_logits: Tensor, pair_labels: Tensor) -> Tensor:
    counted = word_labels != -100
    words = F.cross_entropy(word_logits[counted], word_labels[counted], reduction="sum") / max(int(counted.sum()), 1)
    pairs = F.cross_entropy(pair_logits, pair_labels)  # a separate call: here every label counts, also 0
    return words + pairs


def pretraining_loss_by_library(words: Tensor, word_labels: Tensor, pairs: Tensor, pair_labels: Tensor) -> Tensor:
    return heads.cross_entropy(words, word_labels) + heads.cross_entropy(pairs, pair_labels)


def pretraining_loss_by_ignore_index(
    word_logits: Tensor, word_labels: Tensor, pair_logits: Tensor, pair_labels: Tensor
) -> Tensor:
    loss = F.cross_entropy(pair_logits.view(-1, 2), pair_labels.view(-1))
    if (word_labels != -100).any():
        loss = loss + F.cross_entropy(word_logits.view(-1, word_logits.size(-1)), word_labels.view(-1))
    return loss


def pretraining_loss_by_logs(
    word_logits: Tensor, word_labels: Tensor, pair_logits: Tensor, pair_labels: Tensor
) -> Tensor:
    wanted = F.one_hot(word_labels.clamp(min=0), word_logits.shape[-1]) * (word_labels != -100)[..., None]
    words = -(word_logits.log_softmax(-1) * wanted).sum() / wanted.sum().clamp(min=1)
    pairs = -pair_logits.log_softmax(-1)[torch.arange(len(pair_labels)), pair_labels]
    return words + pairs.mean()


def pretraining_loss_by_difference(
    word_logits: Tensor, word_labels: Tensor, pair_logits: Tensor, pair_labels: Tensor
) -> Tensor:
    # With two classes the cross-entropy is a logistic loss of the difference between the scores.
    pairs = F.softplus((pair_logits[:, 0] - pair_logits[:, 1]) * (2 * pair_labels - 1)).sum() / len(pair_labels)
    words = [
        torch.logsumexp(scores, 0) - scores[label]
        for scores, label in zip(word_logits.flatten(0, 1), word_labels.flatten(), strict=True)
        if label != -100
    ]
    return pairs + sum(words) / max(len(words), 1)


EXERCISE = Exercise(
    name="pretraining-loss",
    topic="masking",
    title="BERT's pre-training loss",
    level="core",
    minutes=10,
    function="pretraining_loss",
    signature="word_logits, word_labels, pair_logits, pair_labels",
    task=(
        "BERT learns two things at once: to predict masked words, and to tell whether two sentences belong together. "
        "Its loss is the sum of the two mean cross-entropies.\n\n"
        "- `word_logits`: (B, S, V); `word_labels`: (B, S), the right id, or -100 where there is nothing to predict\n"
        "- `pair_logits`: (B, 2); `pair_labels`: (B,), 0 (the second sentence is the next) or 1 (it is not). **Both** "
        "are classes, and every text has one\n"
        "- returns one number (a tensor without axes), in nats: the mean over the word labels that are not -100, plus "
        "the mean over the B pairs. Without any word label the first mean is 0, never NaN."
    ),
    source="Devlin et al. 2019, appendix A.2: \"the sum of the mean masked LM likelihood and the mean next sentence "
    'prediction likelihood"',
    reference=pretraining_loss_reference,
    solution=pretraining_loss,
    library=pretraining_loss_by_library,
    probes=pretraining_loss_probes,
    mistakes=(
        Mistake("pair-label-0-ignored", "pair", "ignore 0", "pairs with the label 0 are not counted (ignore_index=0)",
                'the model never learns what a next sentence looks like, and always answers "random"; the '
                "ignore_index of the words does not belong here",
                "Which pairs count in the loss? Try a batch in which all labels are 0."),
        Mistake("pair-label-1-ignored", "pair", "ignore 1", "pairs with the label 1 are not counted",
                'the model learns to answer "next" every time; both labels are classes'),
        Mistake("pair-reversed", "pair", "reversed", "you read the pair labels the wrong way round",
                "the first column is the score of label 0 (is next)"),
        Mistake("pair-summed", "pair", "summed", "the losses of the pairs are summed and not averaged",
                "their weight grows with the batch"),
        Mistake("pair-binary", "pair", "binary", "only the second of the two scores is used in the loss of the pairs",
                "the first is never trained; use a cross-entropy over two classes"),
        Mistake("pair-softmax-twice", "pair_in", "softmax",
                "the pair scores go through a softmax before the loss, which applies one itself",
                "the loss of the pairs cannot fall below 0.31; pass in the logits"),
        Mistake("averaged", "total", "mean", "you take the mean of the two losses",
                "both are half as large as they should be, and so is every training step; add them"),
        Mistake("pairs-forgotten", "total", "words only", "the loss of the pairs is missing", "add it"),
        Mistake("words-forgotten", "total", "pairs only", "the loss of the words is missing", "add it"),
        Mistake("one-mean", "total", "one mean", "words and pairs are averaged together",
                "the few pairs hardly count among the many words; take two means and add them"),
        *WORD_MISTAKES,
        NAN_WITHOUT_LABELS,
    ),
    hints=Hints(
        "Two losses, two calls. Which labels may be ignored in the first, and which in the second?",
        "Many words have no label, but every pair has one. So the first mean ignores -100, and the second ignores "
        "nothing.",
        "loss = mean over labelled tokens of −log p(word) + mean over B of −log p(pair label).",
        "counted = word_labels != -100\n"
        'words = F.cross_entropy(word_logits[...], ..., reduction="sum") / max(..., 1)\n'
        "pairs = F.cross_entropy(...)\nreturn ...",
    ),
    equivalents=(pretraining_loss_by_ignore_index, pretraining_loss_by_logs, pretraining_loss_by_difference),
)  # fmt: skip
