"""What a model can be trained on: masked words (with sentence pairs), a teacher's knowledge, labels.

Each task is an Objective of the loop (loop.py): it makes batches, counts what each mean is over, and computes the terms
of the loss. What is masked, and how, is in objectives.py; the losses of distillation are in distillation.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Protocol

import numpy as np
import torch
from torch import Generator, Tensor, nn

from minibert.errors import MinibertError, check_known
from minibert.losses import IGNORE, cross_entropy
from minibert.tokenizers.base import Tokenizer
from minibert.training.batching import Example, check_words, inputs, padded
from minibert.training.choices import MASKINGS
from minibert.training.distillation import cosine_hidden_loss, distillation_loss, triple_loss
from minibert.training.loop import Batch, Objective, mixed
from minibert.training.objectives import (
    Masked,
    candidates,
    choose_by_rarity,
    choose_ngrams,
    choose_tokens,
    choose_whole_words,
    corrupt,
    mask_one_by_one,
    word_starts,
)


class Task(Objective, Protocol):
    """An objective on texts that has a loss to be compared with word frequencies."""

    examples: Sequence[Example]
    tokenizer: Tokenizer

    def answers(self, example: Example) -> list[int]:
        """The ids in a row that may have to be predicted."""


# ------------------------------------------------------------------------------------------ masked words

Chooser = Callable[[Tensor, Tensor, Generator], Tensor]  # ids (B, S), candidates (B, S) -> chosen (B, S)


def make_chooser(masking: str, tokenizer: Tokenizer, examples: Sequence[Example], rate: float = 0.15) -> Chooser:
    """The function that chooses the 15%, or another share. masking: a name of MASKINGS; raises MinibertError else."""
    check_known("masking", masking, MASKINGS)
    if masking == "tokens":
        return lambda ids, free, generator: choose_tokens(free, rate, generator=generator)
    if masking == "rarity":
        seen = np.concatenate([example.ids for example in examples])
        counts = torch.from_numpy(np.bincount(seen, minlength=tokenizer.vocab_size))
        return lambda ids, free, generator: choose_by_rarity(ids, free, counts, rate, generator=generator)
    continues = torch.tensor([tokenizer.continues(token) for token in tokenizer.tokens])
    choose = choose_whole_words if masking == "whole-words" else choose_ngrams
    return lambda ids, free, generator: choose(free, word_starts(ids, continues), rate, generator=generator)


class MaskedWords:
    """Predict masked words, and with `pairs` also how the two sentences are related.

    weights: of the terms of the loss, "masked_lm" and perhaps "pair"; by default 1 for each, the latter with `pairs`.
    masking: a name of MASKINGS. static: a text is masked in the same way each time it is read (BERT), instead of
    differently each time (RoBERTa, "dynamic").
    """

    def __init__(
        self,
        examples: Sequence[Example],
        tokenizer: Tokenizer,
        masking: str = "tokens",
        static: bool = False,
        pairs: bool = False,
        weights: Mapping[str, float] | None = None,
    ):
        check_words(examples, tokenizer)
        self.examples = examples
        self.tokenizer = tokenizer
        self.masking = masking
        self.choose = make_chooser(masking, tokenizer, examples)
        self.static = static
        self.weights = dict(weights or {"masked_lm": 1.0} | ({"pair": 1.0} if pairs else {}))

    def batch(self, examples: Sequence[int], seed: int) -> Batch:
        batch = padded([self.examples[i] for i in examples], self.tokenizer)
        ids, mask = batch["input_ids"], batch["attention_mask"]
        if self.static:
            masked = mask_one_by_one(self.masked, ids, mask, [mixed(0, text) for text in examples])
        else:
            masked = self.masked(ids, mask, torch.Generator().manual_seed(seed))
        return {**batch, "input_ids": masked.input_ids, "labels": masked.labels}

    def masked(self, ids: Tensor, attention_mask: Tensor, generator: Generator) -> Masked:
        """The ids with words masked, and the labels; both (B, S)."""
        free = candidates(ids, self.tokenizer.special_ids, attention_mask)
        chosen = self.choose(ids, free, generator)
        return corrupt(ids, chosen, self.tokenizer.mask_id, self.tokenizer.vocab_size, generator)

    def answers(self, example: Example) -> list[int]:
        """The ids that may be masked: all but the special tokens."""
        return [i for i in example.ids if i not in self.tokenizer.special_ids]

    def counts(self, batch: Batch) -> dict[str, int]:
        counts = {"masked_lm": int((batch["labels"] != IGNORE).sum()), "pair": len(batch["classes"])}
        return {name: counts[name] for name in self.weights}

    def losses(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        output = model(**inputs(batch), labels=batch["labels"])
        terms = {"masked_lm": output.loss}
        if "pair" in self.weights:
            terms["pair"] = cross_entropy(output.pair_logits, batch["classes"])
        return terms


# ------------------------------------------------------------------------------------------ distillation


class Distillation(MaskedWords):
    """DistilBERT's triple loss: the student sees the teacher's masked input and learns from three terms.

    soft_targets: for which tokens the probabilities are compared with the teacher's: "masked" (and both compute
    vocabulary logits only for these) or "all" (every real token, the default of the released code). weights: of soft
    targets, masked words and cosine. Source: Sanh et al. 2019, section 3; the numbers are the released code's.
    """

    def __init__(
        self,
        examples: Sequence[Example],
        tokenizer: Tokenizer,
        teacher: nn.Module,
        weights: tuple[float, float, float] = (5.0, 2.0, 1.0),
        temperature: float = 2.0,
        soft_targets: str = "masked",
        masking: str = "tokens",
    ):
        super().__init__(examples, tokenizer, masking)
        if soft_targets not in ("masked", "all"):
            raise MinibertError(f"soft_targets is {soft_targets!r}: choose 'masked' or 'all'.")
        self.teacher = teacher.eval().requires_grad_(False)
        self.temperature = temperature
        self.everywhere = soft_targets == "all"
        self.weights = dict(zip(("distillation", "masked_lm", "cosine"), weights, strict=True))

    def counts(self, batch: Batch) -> dict[str, int]:
        masked, tokens = int((batch["labels"] != IGNORE).sum()), int(batch["attention_mask"].sum())
        return {"distillation": tokens if self.everywhere else masked, "masked_lm": masked, "cosine": tokens}

    def losses(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        mask = batch["attention_mask"].bool()
        wanted = mask if self.everywhere else batch["labels"] != IGNORE
        asked = {**inputs(batch), "wanted": wanted, "return_hidden": True}
        student = model(**asked)
        with torch.no_grad():
            teacher = self.teacher(**asked)
        terms = triple_loss(
            student.logits,
            teacher.logits,
            batch["labels"][wanted],
            student.last_hidden_state,
            teacher.last_hidden_state,
            mask,
            temperature=self.temperature,
        )
        return {name: getattr(terms, name) for name in self.weights}


# ------------------------------------------------------------------------------------------------ labels


class Labels:
    """Classify texts; with a teacher that has already been fine-tuned, learn from its answers as well.

    teacher: None, or a model with the same classes. The terms are then the true labels, the teacher's soft labels
    (temperature 2) and the direction of the last hidden states. Source: Sanh et al. 2019, section 4.1 ("a second
    step of distillation").
    """

    temperature = 2.0

    def __init__(self, examples: Sequence[Example], tokenizer: Tokenizer, teacher: nn.Module | None = None):
        self.examples = examples
        self.tokenizer = tokenizer
        self.teacher = None if teacher is None else teacher.eval().requires_grad_(False)
        self.weights = {"labels": 1.0}
        if teacher is not None:
            self.weights |= {"distillation": 1.0, "cosine": 1.0}

    def batch(self, examples: Sequence[int], seed: int) -> Batch:
        return padded([self.examples[i] for i in examples], self.tokenizer)

    def counts(self, batch: Batch) -> dict[str, int]:
        texts, tokens = len(batch["classes"]), int(batch["attention_mask"].sum())
        counts = {"labels": texts, "distillation": texts, "cosine": tokens}
        return {name: counts[name] for name in self.weights}

    def losses(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        student = model(**inputs(batch))
        terms = {"labels": cross_entropy(student.logits, batch["classes"])}
        if self.teacher is not None:
            with torch.no_grad():
                teacher = self.teacher(**inputs(batch))
            terms["distillation"] = distillation_loss(student.logits, teacher.logits, self.temperature)
            terms["cosine"] = cosine_hidden_loss(
                student.last_hidden_state, teacher.last_hidden_state, batch["attention_mask"]
            )
        return terms


# ------------------------------------------------------------------------------------------- how good is it


@torch.no_grad()
def predict(model: nn.Module, examples: Sequence[Example], tokenizer: Tokenizer, batch_size: int = 64) -> Tensor:
    """The class scores of each example, (len(examples), C), in the examples' order."""
    device = next(model.parameters()).device
    order = sorted(range(len(examples)), key=lambda i: len(examples[i].ids))  # similar lengths together
    scores: list[Tensor] = []
    for start in range(0, len(order), batch_size):
        batch = padded([examples[i] for i in order[start : start + batch_size]], tokenizer)
        scores.append(model(**{name: tensor.to(device) for name, tensor in inputs(batch).items()}).logits.float().cpu())
    found = torch.cat(scores)
    return found[torch.tensor(order).argsort()]


def accuracy(model: nn.Module, examples: Sequence[Example], tokenizer: Tokenizer) -> float:
    """The share of examples whose best class is the true one."""
    truth = torch.tensor([example.label for example in examples])
    return float((predict(model, examples, tokenizer).argmax(dim=-1) == truth).double().mean())


def held_out_batches(task: Task, batch_size: int = 64) -> Iterator[Batch]:
    """All of a task's examples, batch by batch, with seeds that no training step uses: the same at each call."""
    order = sorted(range(len(task.examples)), key=lambda i: len(task.examples[i].ids))
    for start in range(0, len(order), batch_size):
        yield task.batch(order[start : start + batch_size], mixed(12345, start))


@torch.no_grad()
def held_out_losses(model: nn.Module, task: Task, batch_size: int = 64) -> dict[str, float]:
    """The terms of a task's loss over all its examples, in nats (the cosine has no unit)."""
    device = next(model.parameters()).device
    sums, totals = dict.fromkeys(task.weights, 0.0), dict.fromkeys(task.weights, 0)
    for batch in held_out_batches(task, batch_size):
        counts = task.counts(batch)
        terms = task.losses(model, {name: tensor.to(device) for name, tensor in batch.items()})
        for name in sums:
            sums[name] += float(terms[name]) * counts[name]
            totals[name] += counts[name]
    return {name: sums[name] / max(totals[name], 1) for name in sums}


def loss_by_frequency(task: Task, held_out_task: Task) -> float:
    """What a word of the held-out task would cost, in nats, if nothing were known but how often each word occurs in the
    texts of the task that is trained on. A model that is worse has not learned to read the sentence.

    It is the mean over the words that `held_out_losses` asks for.
    """
    asked = torch.cat([batch["labels"][batch["labels"] != IGNORE] for batch in held_out_batches(held_out_task)])
    return float(-log_frequencies(task)[asked].mean()) if len(asked) else 0.0


def log_frequencies(task: Task) -> Tensor:
    """For each token of the vocabulary, the log of its share in the task's texts: (V,), in float64.

    Each is counted once more than it occurs, because otherwise a token that does not occur would be impossible.
    """
    seen = np.fromiter(chain.from_iterable(map(task.answers, task.examples)), dtype=np.int64)
    counts = np.bincount(seen, minlength=task.tokenizer.vocab_size) + 1
    return torch.from_numpy(np.log(counts / counts.sum()))
