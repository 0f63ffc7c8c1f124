"""E2: which of DistilBERT's three losses matters?

Students of 3 of the 6 layers of a teacher that reads, MiniLM-L6 as a masked-LM. They learn from the reviews without
labels, each with other losses, another start, temperature or choice of tokens. Sanh et al. 2019, Table 4, does the
same with BERT-base, and measures GLUE.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from minibert.checkpoints import from_pretrained
from minibert.experiments import students
from minibert.experiments.finetuning import classify
from minibert.experiments.grid import Cell, Experiment, Size
from minibert.experiments.pretraining import HELD_OUT, TEXTS, rows_of, unlabelled
from minibert.experiments.students import Recipe
from minibert.heads import MeanPooled, WithHead
from minibert.losses import IGNORE
from minibert.tokenizers import load_tokenizer
from minibert.training.batching import inputs
from minibert.training.tasks import MaskedWords, held_out_batches, loss_by_frequency

TUNE_RATE = 1e-4
WITH_THE_LAST = (0, 2, 5)  # as the released code chooses 0, 2, 4, 7, 9, 11 of 12: the last layer is among them

# The variants, as the records name them.
TEACHER, ALL_LOSSES, RANDOM_START = "teacher", "all three losses", "from random weights"
NO_SOFT_TARGETS, NO_MASKED_WORDS, NO_COSINE = "without soft targets", "without masked words", "without cosine"
ONLY_SOFT_TARGETS, ONLY_MASKED_WORDS, ONLY_COSINE = "soft targets alone", "masked words alone", "cosine alone"
RELEASED_START, NOT_TRAINED = "with the last layer", "not trained"
TEMPERATURE_1, TEMPERATURE_4, EVERYWHERE = "temperature 1", "temperature 4", "soft targets at all tokens"
ASIDE = (
    ONLY_SOFT_TARGETS, ONLY_MASKED_WORDS, ONLY_COSINE, RELEASED_START, NOT_TRAINED, TEMPERATURE_1, TEMPERATURE_4,
    EVERYWHERE,
)  # fmt: skip


@cache
def the_teacher() -> WithHead:
    """The teacher, which no student changes."""
    return from_pretrained(students.TEACHER, "masked-lm").requires_grad_(False)


@cache
def tasks(max_length: int) -> tuple[MaskedWords, MaskedWords]:
    """The masked words of the reviews to learn from, and of those held out."""
    tokenizer = load_tokenizer(students.TEACHER)
    size = Size(texts=0, epochs=0, max_length=max_length)
    return tuple(
        MaskedWords(rows_of(unlabelled(held_out, count), tokenizer, size), tokenizer)
        for held_out, count in ((False, TEXTS), (True, HELD_OUT))
    )


@torch.no_grad()
def compared(model: nn.Module, held_out: MaskedWords, rows: int) -> dict[str, float]:
    """How well a model predicts the masked words of held-out rows, and how near its teacher it is.

    Returns "masked_lm", its loss in nats; "right", the share of words whose best guess is right; "agreement", the share
    whose best guess is the teacher's; "from_teacher", the divergence KL(teacher || model) in nats; "cosine", of the two
    models' last hidden states, over all tokens.
    """
    teacher = the_teacher()
    some = MaskedWords(held_out.examples[:rows], held_out.tokenizer)
    sums: dict[str, float] = dict.fromkeys(("masked_lm", "right", "agreement", "from_teacher"), 0.0)
    words = tokens = 0
    cosines = 0.0
    for batch in held_out_batches(some):
        labels, real = batch["labels"], batch["attention_mask"].bool()
        asked = {**inputs(batch), "wanted": labels != IGNORE, "return_hidden": True}
        mine, theirs = model(**asked), teacher(**asked)
        truth = labels[labels != IGNORE]
        log_p, log_q = mine.logits.log_softmax(-1), theirs.logits.log_softmax(-1)
        found: dict[str, Tensor] = {
            "masked_lm": F.nll_loss(log_p, truth, reduction="sum"),
            "right": (log_p.argmax(-1) == truth).sum(),
            "agreement": (log_p.argmax(-1) == log_q.argmax(-1)).sum(),
            "from_teacher": F.kl_div(log_p, log_q, reduction="sum", log_target=True),
        }
        for name, value in found.items():
            sums[name] += float(value)
        cosines += float(F.cosine_similarity(mine.last_hidden_state, theirs.last_hidden_state, dim=-1)[real].sum())
        words, tokens = words + len(truth), tokens + int(real.sum())
    return {name: round(value / words, 5) for name, value in sums.items()} | {"cosine": round(cosines / tokens, 5)}


def fine_tuned(model: WithHead, size: Size, seed: int, folder: Path) -> dict[str, Any]:
    """The accuracy of the model's backbone after fine-tuning on sentences, which changes the model itself."""
    torch.manual_seed(seed)
    backbone = model.backbone.requires_grad_(True)
    found = classify(MeanPooled(backbone), load_tokenizer(students.TEACHER), size, seed, folder, TUNE_RATE)
    return {"accuracy": found["accuracy"]}


def teacher(seed: int, size: Size, work: Path) -> dict[str, Any]:
    model = from_pretrained(students.TEACHER, "masked-lm")
    found = compared(model, tasks(size.max_length)[1], size.test_texts)
    return found | fine_tuned(model, size, seed, work / f"teacher-{seed}")


def distilled(recipe: Recipe, trained: bool = True) -> Cell:
    """A student of this recipe, as it was cut from its teacher if it is not trained."""

    def cell(seed: int, size: Size, work: Path) -> dict[str, Any]:
        steps = size.steps if trained else 0
        student = students.distilled(recipe, seed, steps, work.parent / students.FOLDER)
        found = compared(student, tasks(size.max_length)[1], size.test_texts)
        return found | fine_tuned(student, size, seed, work / f"{recipe.name}-{steps}-{seed}-tuned")

    return cell


def by_frequency(size: Size, work: Path) -> dict[str, float]:
    return {"by_frequency": round(loss_by_frequency(*tasks(size.max_length)), 4)}


E2 = Experiment(
    "E2",
    {
        TEACHER: teacher,
        ALL_LOSSES: distilled(Recipe()),
        NO_SOFT_TARGETS: distilled(Recipe(weights=(0, 2, 1))),
        NO_MASKED_WORDS: distilled(Recipe(weights=(5, 0, 1))),
        NO_COSINE: distilled(Recipe(weights=(5, 2, 0))),
        RANDOM_START: distilled(Recipe(copied=False)),
        ONLY_SOFT_TARGETS: distilled(Recipe(weights=(5, 0, 0))),
        ONLY_MASKED_WORDS: distilled(Recipe(weights=(0, 2, 0))),
        ONLY_COSINE: distilled(Recipe(weights=(0, 0, 1))),
        RELEASED_START: distilled(Recipe(layers=WITH_THE_LAST)),
        NOT_TRAINED: distilled(Recipe(), trained=False),
        TEMPERATURE_1: distilled(Recipe(temperature=1)),
        TEMPERATURE_4: distilled(Recipe(temperature=4)),
        EVERYWHERE: distilled(Recipe(soft_targets="all")),
    },
    full=Size(texts=2000, epochs=2, steps=students.STEPS, test_texts=1600),
    quick=Size(texts=320, epochs=1, steps=10, test_texts=200),
    seeds=(0, 1, 2, 3, 4),
    fewer=dict.fromkeys(ASIDE, 2),
    more=by_frequency,
)
