"""X1: does predicting words in a permuted order teach more than predicting masked words? With and without a memory.

Both objectives train the same XLNet, and there is a BERT that learns masked words. The losses of the two objectives
cannot be compared: in a permuted order a word is also predicted from other predicted words, and of masked words some
are visible. So there are two measures that mean the same for all. One is the accuracy after fine-tuning. The other is
the loss of the same held-out words, given the same context: all words of a row but those to be predicted. A model that
was trained on masked words reads [MASK] in their places. For one that was trained on permuted words they are hidden by
the mask, from each other too, as if each were the first to be predicted.

Memory: a row is read with the hidden states of the row before it in the same review, if there is one. (The released
code keeps them from the step before. Here the row before is read again, without gradients, so that no step depends on
another.) The two measures are taken without memory, for all alike.

Source: Yang et al. 2019, sections 2.3, 2.4 and 3.4.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Generator, Tensor, nn

from minibert.experiments.grid import Cell, Size
from minibert.experiments.pretraining import (
    HELD_OUT,
    LAYERS,
    SPREAD,
    TEXTS,
    WIDTH,
    fine_tuned,
    own_tokenizer,
    pretrain,
    rows_of,
    short_task,
    unlabelled,
)
from minibert.factory import build, count_parameters
from minibert.losses import IGNORE
from minibert.models.xlnet import XLNetConfig
from minibert.tokenizers.base import Tokenizer
from minibert.training.batching import Example, padded
from minibert.training.loop import Batch
from minibert.training.objectives import Masked, candidates
from minibert.training.permutation import PermutedWords, targets
from minibert.training.tasks import MaskedWords, Task, held_out_losses, make_chooser

# The variants, as the records name them.
MASKED, PERMUTED = "XLNet, masked words", "XLNet, permuted words"
MASKED_MEMORY, PERMUTED_MEMORY = f"{MASKED}, memory", f"{PERMUTED}, memory"


def relative(tokenizer: Tokenizer, memory: bool, max_length: int) -> XLNetConfig:
    return XLNetConfig(
        vocab_size=tokenizer.vocab_size,
        hidden_size=WIDTH,
        num_hidden_layers=LAYERS,
        num_attention_heads=4,
        intermediate_size=4 * WIDTH,
        pad_token_id=tokenizer.pad_id,
        hidden_dropout_prob=0.0,
        classifier_dropout=0.0,
        initializer_range=SPREAD,
        mem_len=max_length,
        use_mems_train=memory,
        use_mems_eval=memory,
    )


# ------------------------------------------------------------------------------------------------------ memory


@cache
def segments(held_out: bool, tokenizer: Tokenizer, size: Size) -> tuple[list[Example], list[int | None]]:
    """The rows of the reviews, and for each row the number of the one before it in its review, None for the first."""
    rows: list[Example] = []
    before: list[int | None] = []
    for text in unlabelled(held_out, HELD_OUT if held_out else TEXTS):
        found = rows_of([text], tokenizer, size)
        before += [None if place == 0 else len(rows) + place - 1 for place in range(len(found))]
        rows += found
    return rows, before


class Remembering:
    """A task whose rows are read with the hidden states of the row before (an Objective of the loop).

    task: on the same rows. before: for each row the number of the one before it, or None.
    """

    def __init__(self, task: Task, before: Sequence[int | None]):
        self.task = task
        self.before = before
        self.examples, self.tokenizer, self.weights = task.examples, task.tokenizer, task.weights

    def answers(self, example: Example) -> list[int]:
        return self.task.answers(example)

    def batch(self, examples: Sequence[int], seed: int) -> Batch:
        """The task's batch, with before_ids and before_mask (B, S'), and remembers (B,), False for a first row."""
        numbers = [self.before[i] for i in examples]
        # A first row stands in for what is before it; `losses` hides the memory of it.
        stand_in = [i if n is None else n for i, n in zip(examples, numbers, strict=True)]
        read = padded([self.examples[i] for i in stand_in], self.tokenizer)
        return {
            **self.task.batch(examples, seed),
            "before_ids": read["input_ids"],
            "before_mask": read["attention_mask"],
            "remembers": torch.tensor([n is not None for n in numbers]),
        }

    def counts(self, batch: Batch) -> dict[str, int]:
        return self.task.counts(batch)

    def losses(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        with torch.no_grad():
            mems = model.backbone(batch["before_ids"], batch["before_mask"]).mems
        # Zeros are hidden, as padding.
        mems = [memory * batch["remembers"][:, None, None] for memory in mems]
        return self.task.losses(partial(model, mems=mems), batch)


# ------------------------------------------------------------------------------ the same words, the same context


class HiddenWords(MaskedWords):
    """All chosen words are masked, none is replaced or kept: they are predicted from the other words alone."""

    def masked(self, ids: Tensor, attention_mask: Tensor, generator: Generator) -> Masked:
        chosen = self.choose(ids, candidates(ids, self.tokenizer.special_ids, attention_mask), generator)
        return Masked(ids.masked_fill(chosen, self.tokenizer.mask_id), ids.masked_fill(~chosen, IGNORE))


class UnseenWords(PermutedWords):
    """The words that `HiddenWords` chooses, hidden from all others and from each other by the mask."""

    def __init__(self, examples: Sequence[Example], tokenizer: Tokenizer):
        super().__init__(examples, tokenizer)
        self.choose = make_chooser("tokens", tokenizer, examples)

    def batch(self, examples: Sequence[int], seed: int) -> Batch:
        batch = padded([self.examples[i] for i in examples], self.tokenizer)
        ids, mask = batch["input_ids"], batch["attention_mask"]
        chosen = self.choose(
            ids, candidates(ids, self.tokenizer.special_ids, mask), torch.Generator().manual_seed(seed)
        )
        hidden = chosen[:, None, :].expand(-1, ids.shape[1], -1).to(torch.int8)
        return {**batch, "perm_mask": hidden, **targets(ids, chosen)}


def same_words(model: nn.Module, task: Callable[..., Task], rows: Sequence[Example], tokenizer: Tokenizer) -> float:
    """The loss of the same held-out words given the same context, in nats a word, for every model and seed."""
    return next(iter(held_out_losses(model, task(rows, tokenizer)).values()))


# ------------------------------------------------------------------------------------------------------- cells


def reading(permuted: bool, memory: bool) -> Cell:
    """An XLNet trained on permuted words or on masked ones, with or without a memory of the row before."""

    def cell(seed: int, size: Size, work: Path) -> dict[str, Any]:
        tokenizer = own_tokenizer(work)
        model = build(relative(tokenizer, memory, size.max_length), "permutation-lm", seed)
        parameters = count_parameters(model.backbone)
        (rows, before), (held_out, held_out_before) = (segments(which, tokenizer, size) for which in (False, True))
        make = partial(PermutedWords, whole_context=True) if permuted else MaskedWords
        task: Any = make(rows, tokenizer)
        asked: Any = make(held_out, tokenizer)
        name = f"xlnet-{'permuted' if permuted else 'masked'}{'-memory' * memory}-{seed}"
        short = make(short_task(tokenizer).examples, tokenizer)  # rows that have none before them
        learned = Remembering(task, before) if memory else task
        log = pretrain(model, learned, size, seed, work / name, short=short)
        found = held_out_losses(model, asked)
        if memory:
            remembered = held_out_losses(model, Remembering(asked, held_out_before))
            found |= {f"{term}_remembering": value for term, value in remembered.items()}
        found["same_words"] = same_words(model, UnseenWords if permuted else HiddenWords, held_out, tokenizer)
        found |= {"parameters": parameters, "step_seconds": median(record["seconds"] for record in log)}
        return found | fine_tuned(model, tokenizer, size, seed, work / f"{name}-tuned")

    return cell


VARIANTS: dict[str, Cell] = {
    MASKED: reading(permuted=False, memory=False),
    PERMUTED: reading(permuted=True, memory=False),
    MASKED_MEMORY: reading(permuted=False, memory=True),
    PERMUTED_MEMORY: reading(permuted=True, memory=True),
}
