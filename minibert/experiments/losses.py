"""E2: which of DistilBERT's three losses matters?

Students of half the depth of a teacher that reads, MiniLM-L6 as a masked-LM (students.py). They learn from reviews
without labels, each with other losses, another start, temperature or choice of tokens. Sanh et al. 2019, Table 4, does
the same with BERT-base, and measures GLUE.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from minibert.experiments import students
from minibert.experiments.finetuning import classify
from minibert.experiments.grid import Cell, Experiment, Size
from minibert.experiments.students import Recipe
from minibert.heads import MeanPooled, WithHead
from minibert.losses import IGNORE
from minibert.training.batching import inputs
from minibert.training.tasks import held_out_batches

TUNE_RATE = 1e-4
DISTILBERT = Recipe()
WITH_THE_LAST = (0, 2, 5)  # the released code's choice, 0, 2, 4, 7, 9, 11 of 12, has the last layer among them, too

# The variants, as the records name them.
TEACHER, ALL_LOSSES, RANDOM_START = "teacher", "all three losses", "from random weights"
NO_SOFT_TARGETS, NO_MASKED_WORDS, NO_COSINE = "without soft targets", "without masked words", "without cosine"
ONLY_SOFT_TARGETS, ONLY_MASKED_WORDS, ONLY_COSINE = "soft targets alone", "masked words alone", "cosine alone"
NOT_TRAINED, RELEASED_START = "not trained", "with the last layer"
TEMPERATURE_1, TEMPERATURE_4, EVERYWHERE = "temperature 1", "temperature 4", "soft targets at all tokens"

ASIDE = {  # those that carry no verdict -> how they are made
    ONLY_SOFT_TARGETS: replace(DISTILBERT, weights=(5, 0, 0)),
    ONLY_MASKED_WORDS: replace(DISTILBERT, weights=(0, 2, 0)),
    ONLY_COSINE: replace(DISTILBERT, weights=(0, 0, 1)),
    RELEASED_START: replace(DISTILBERT, layers=WITH_THE_LAST),
    TEMPERATURE_1: replace(DISTILBERT, temperature=1.0),
    TEMPERATURE_4: replace(DISTILBERT, temperature=4.0),
    EVERYWHERE: replace(DISTILBERT, soft_targets="all"),
    NOT_TRAINED: DISTILBERT,
}


@torch.no_grad()
def compared(model: nn.Module, teacher: nn.Module) -> dict[str, float]:
    """How well a model predicts the masked words of the held-out rows, and how near its teacher it is.

    Returns "masked_lm", its loss in nats; "right", the share of words whose best guess is right; "agreement", the share
    whose best guess is the teacher's; "from_teacher", the divergence KL(teacher || model) in nats; "cosine", of the two
    models' last hidden states, over all tokens.
    """
    sums = dict.fromkeys(("masked_lm", "right", "agreement", "from_teacher"), 0.0)
    words = tokens = 0
    cosines = 0.0
    for batch in held_out_batches(students.held_out_words()):
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


def measured(model: WithHead, size: Size, seed: int, folder: Path) -> dict[str, Any]:
    """What a model reaches on masked words, and then, fine-tuned on sentences, which changes it."""
    found = compared(model, students.teacher())
    torch.manual_seed(seed)
    tuned = classify(MeanPooled(model.backbone), students.tokenizer(), size, seed, folder, TUNE_RATE)
    return found | {"accuracy": tuned["accuracy"]}


def teacher(seed: int, size: Size, work: Path) -> dict[str, Any]:
    return measured(students.teacher(), size, seed, work / f"teacher-{seed}")


def student(recipe: Recipe, trained: bool = True) -> Cell:
    """A student made by this recipe; without training, as it is cut from the teacher."""

    def cell(seed: int, size: Size, work: Path) -> dict[str, Any]:
        steps = size.steps if trained else 0
        model = students.distilled(recipe, seed, steps, work.parent / students.FOLDER)
        return measured(model, size, seed, work / f"{recipe.name}-{steps}-{seed}")

    return cell


E2 = Experiment(
    "E2",
    {
        TEACHER: teacher,
        ALL_LOSSES: student(DISTILBERT),
        NO_SOFT_TARGETS: student(replace(DISTILBERT, weights=(0, 2, 1))),
        NO_MASKED_WORDS: student(replace(DISTILBERT, weights=(5, 0, 1))),
        NO_COSINE: student(replace(DISTILBERT, weights=(5, 2, 0))),
        RANDOM_START: student(replace(DISTILBERT, copied=False)),
        **{name: student(recipe, trained=name != NOT_TRAINED) for name, recipe in ASIDE.items()},
    },
    full=Size(texts=2000, epochs=2, steps=students.STEPS, test_texts=1600),
    quick=Size(texts=320, epochs=1, steps=10, test_texts=300),
    seeds=(0, 1, 2, 3, 4),
    fewer=dict.fromkeys(ASIDE, 2),
    more=students.by_frequency,
)
