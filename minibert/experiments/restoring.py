"""B1: a small BART learns to restore corrupted rows of reviews. Does it understand as a BERT does, and can it write?

Understanding is the accuracy after fine-tuning, where both are judged by the mean of their last hidden states. Writing
is restoring: 30% of the words of a held-out row are missing, and a [MASK] stands for each gap, whatever its length.
What the model writes is compared with the row, word by word. Copying what is visible puts all of these words in place
and none of the missing ones. So the share restored is how many more words than that are in place, divided by the number
that is missing. It is below 0 for a model that loses more visible words than it restores.

BART is trained on the gaps alone. The paper's second noise, permuted sentences, would make copying harder to learn: in
a pilot with one seed, 1,000 steps led to -20% restored without it, and to -43% with it. Both models take LONGER
times as many steps as those of the other experiments.

Source: Lewis et al. 2020, section 2.2.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

import torch
from torch import nn

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
from minibert.models.bart import BartConfig
from minibert.tokenizers.base import Tokenizer
from minibert.training.batching import Example
from minibert.training.infilling import Infilling, Word, infill, words_of
from minibert.training.tasks import held_out_losses

BART = "BART"  # the variant, as the records name it
RESTORED_ROWS, AT_ONCE = 500, 100  # held-out rows to be restored, and how many of them in a batch
LONGER = 3  # times the steps of the other experiments: before a BART can restore, it must learn to copy


def small_bart(tokenizer: Tokenizer) -> BartConfig:
    """Half of the layers read and half write. A layer that writes has a third part, its attention to what was read, and
    half of the feed-forward part, so that BART is as large as BERT."""
    config = BartConfig(
        hidden_size=WIDTH,
        encoder_layers=LAYERS // 2,
        decoder_layers=LAYERS // 2,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=4 * WIDTH,
        decoder_ffn_dim=2 * WIDTH,
        max_position_embeddings=64,
        hidden_dropout_prob=0.0,
        initializer_range=SPREAD,
    )
    special = {"pad": tokenizer.pad_id, "cls": tokenizer.cls_id, "sep": tokenizer.sep_id}
    return config.for_vocabulary(tokenizer.vocab_size, **special)


def infilling(held_out: bool, tokenizer: Tokenizer, size: Size) -> Infilling:
    """The task on the rows that BERT reads. A row counts as one sentence, so that nothing is permuted."""
    return gaps_in(rows_of(unlabelled(held_out, HELD_OUT if held_out else TEXTS), tokenizer, size), tokenizer)


def gaps_in(rows: Sequence[Example], tokenizer: Tokenizer) -> Infilling:
    return Infilling([[row.ids[1:-1]] for row in rows], tokenizer, max(len(row.ids) for row in rows))


# --------------------------------------------------------------------------------------------------- restoring


class Part(NamedTuple):
    """A visible word, or a gap with the words that are missing there, possibly none."""

    words: list[Word]
    visible: bool


class Gapped(NamedTuple):
    """A row from which words are missing, part by part."""

    parts: list[Part]

    @property
    def words(self) -> list[Word]:
        """All of its words, those that are missing included."""
        return [word for part in self.parts for word in part.words]

    @property
    def visible(self) -> int:
        return sum(part.visible for part in self.parts)

    def filled(self, fill: Callable[[list[Word]], list[int]]) -> list[int]:
        """The ids of the visible words, and in each gap what `fill` makes of the words that are missing there."""
        parts = (part.words[0] if part.visible else fill(part.words) for part in self.parts)
        return [token for ids in parts for token in ids]


GAP = -1  # stands for a gap where the numbers of words stand for words


def gapped(rows: Sequence[Example], tokenizer: Tokenizer, number: int = RESTORED_ROWS) -> list[Gapped]:
    """The first rows from which a word is missing after `infill`, at most `number`: the same for all cells."""
    continues = [tokenizer.continues(token) for token in tokenizer.tokens]
    generator = torch.Generator().manual_seed(0)
    found: list[Gapped] = []
    for row in rows:
        words = words_of(row.ids[1:-1], continues)
        one = Gapped(parts_of(words, infill([[i] for i in range(len(words))], GAP, generator=generator)))
        if one.visible < len(words):
            found.append(one)
        if len(found) == number:
            break
    return found


def parts_of(words: list[Word], left: Sequence[int]) -> list[Part]:
    """left: the numbers of the words that are visible, in order, and GAP. Where gaps touch, the first of them gets all
    words that are missing there."""
    parts = []
    place = 0  # the number of the next word
    for at, one in enumerate(left):
        after = next((later for later in left[at:] if later != GAP), len(words))
        parts.append(Part(words[place:after], False) if one == GAP else Part([words[one]], True))
        place = after if one == GAP else one + 1
    return parts


def in_place(written: Sequence[Word], wanted: Sequence[Word]) -> int:
    """How many words of the two texts correspond, in order: the length of their longest common subsequence."""
    row = [0] * (len(wanted) + 1)
    for word in written:
        diagonal = 0
        for i, other in enumerate(wanted, 1):
            diagonal, row[i] = row[i], diagonal + 1 if word == other else max(row[i], row[i - 1])
    return row[-1]


class Restored(NamedTuple):
    """restored: the share of the missing words, beyond what copying has. overlap: 2 · words in place, divided by the
    words of both texts, the mean over the rows; a text that is right has 1. exact: the share of such texts."""

    restored: float
    overlap: float
    exact: float

    def named(self, prefix: str = "") -> dict[str, float]:
        return {f"{prefix}{name}": value for name, value in self._asdict().items()}


def scored(written: Sequence[Sequence[int]], rows: Sequence[Gapped], tokenizer: Tokenizer) -> Restored:
    """How well the rows are restored by what was written, token ids without special tokens."""
    continues = [tokenizer.continues(token) for token in tokenizer.tokens]
    texts = [words_of(ids, continues) for ids in written]
    visible = sum(row.visible for row in rows)
    right = [in_place(text, row.words) for text, row in zip(texts, rows, strict=True)]
    return Restored(
        (sum(right) - visible) / (sum(len(row.words) for row in rows) - visible),
        fmean(2 * n / (len(text) + len(row.words)) for n, text, row in zip(right, texts, rows, strict=True)),
        fmean(text == row.words for text, row in zip(texts, rows, strict=True)),
    )


@torch.no_grad()
def written_by(model: nn.Module, rows: Sequence[Gapped], tokenizer: Tokenizer, max_length: int) -> list[list[int]]:
    """What a BART writes (greedy search) when it reads the rows with a [MASK] in each gap."""
    read = [tokenizer.assemble(row.filled(lambda _: [tokenizer.mask_id]), max_length=max_length) for row in rows]
    written: list[list[int]] = []
    for start in range(0, len(read), AT_ONCE):
        batch = tokenizer.batch(read[start : start + AT_ONCE])
        texts = model.generate(batch["input_ids"], batch["attention_mask"], max_length=max_length + 1)
        written += texts.tolist()
    return [without_special(text, tokenizer) for text in written]


@torch.no_grad()
def filled_by(model: nn.Module, rows: Sequence[Gapped], tokenizer: Tokenizer) -> list[list[int]]:
    """What a BERT makes of the rows. It must be told how many tokens are missing in each gap: it reads as many [MASK]s,
    and predicts them all at once."""
    read = [tokenizer.assemble(row.filled(lambda words: [tokenizer.mask_id] * sum(map(len, words)))) for row in rows]
    filled: list[list[int]] = []
    for start in range(0, len(read), AT_ONCE):
        batch = tokenizer.batch(read[start : start + AT_ONCE])
        ids = batch["input_ids"]
        guesses = model(ids, batch["attention_mask"]).logits.argmax(dim=-1)
        filled += torch.where(ids == tokenizer.mask_id, guesses, ids).tolist()
    return [without_special(text, tokenizer) for text in filled]


def without_special(ids: Sequence[int], tokenizer: Tokenizer) -> list[int]:
    return [token for token in ids if token not in tokenizer.special_ids]


def without_reading(rows: Sequence[Gapped], texts: Sequence[Example], tokenizer: Tokenizer) -> dict[str, float]:
    """What is reached by copying what is visible, and by writing the most frequent word into each gap as well."""
    continues = [tokenizer.continues(token) for token in tokenizer.tokens]
    counts = Counter(tuple(word) for row in texts for word in words_of(row.ids[1:-1], continues))
    frequent = list(counts.most_common(1)[0][0])
    copied = scored([row.filled(lambda _: []) for row in rows], rows, tokenizer)
    guessed = scored([row.filled(lambda _: frequent) for row in rows], rows, tokenizer)
    return copied.named("copying_") | guessed.named("frequent_")


# ------------------------------------------------------------------------------------------------------- cells


def bart(seed: int, size: Size, work: Path) -> dict[str, Any]:
    tokenizer = own_tokenizer(work)
    model = build(small_bart(tokenizer), "seq2seq-lm", seed)
    task, held_out = (infilling(which, tokenizer, size) for which in (False, True))
    short = gaps_in(short_task(tokenizer).examples, tokenizer)
    pretrain(model, task, size, seed, work / f"bart-{seed}", LONGER * size.steps, short=short)
    rows = gapped(held_out.examples, tokenizer)
    found = held_out_losses(model, held_out) | {"parameters": count_parameters(model.backbone)}
    found |= scored(written_by(model, rows, tokenizer, size.max_length), rows, tokenizer).named()
    found |= without_reading(rows, task.examples, tokenizer)
    return found | fine_tuned(model, tokenizer, size, seed, work / f"bart-{seed}-tuned")


VARIANTS: dict[str, Cell] = {BART: bart}
