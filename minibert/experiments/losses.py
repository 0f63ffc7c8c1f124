"""E2: which of DistilBERT's three losses matters? A teacher is pre-trained here, and each student lacks one loss."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from minibert.checkpoints import from_pretrained, save_pretrained
from minibert.experiments.grid import Cell, Experiment, Size
from minibert.experiments.pretraining import by_frequency, fine_tuned, masked_words, own_tokenizer, pretrain, small
from minibert.factory import build
from minibert.files import read_json, write_json
from minibert.heads import WithHead
from minibert.training.distillation import chosen_layers, make_student
from minibert.training.tasks import Distillation, held_out_losses

# The variants, as the records name them.
ALL_LOSSES, RANDOM_START = "all three losses", "from random weights"
NO_SOFT_TARGETS, NO_MASKED_WORDS, NO_COSINE = "without soft targets", "without masked words", "without cosine"


def pretrained_teacher(seed: int, size: Size, work: Path) -> WithHead:
    """A BERT of four layers, pre-trained from random weights for three times as many steps as the students."""
    folder = work / f"teacher-{seed}"
    if not (folder / "model.safetensors").exists():
        tokenizer = own_tokenizer(work)
        model = build(small(), "masked-lm", seed)
        task, held_out = masked_words(tokenizer, size)
        pretrain(model, task, size, seed, folder, steps=3 * size.steps)
        write_json(folder / "found.json", held_out_losses(model, held_out))
        save_pretrained(folder, model)
    return from_pretrained(folder, "masked-lm")


def teacher(seed: int, size: Size, work: Path) -> dict[str, Any]:
    model = pretrained_teacher(seed, size, work)
    found = read_json(work / f"teacher-{seed}" / "found.json")
    return found | fine_tuned(model, own_tokenizer(work), size, seed, work / f"teacher-tuned-{seed}")


def distilled(weights: tuple[float, float, float], init: str = "alternate") -> Cell:
    """A student of half the depth, trained with these weights of soft targets, masked words and cosine."""

    def cell(seed: int, size: Size, work: Path) -> dict[str, Any]:
        tokenizer = own_tokenizer(work)
        teacher = pretrained_teacher(seed, size, work)
        student = make_student(teacher, init, chosen_layers(init, len(teacher.backbone.encoder.order), None), seed)
        task, held_out = masked_words(tokenizer, size)
        distillation = Distillation(task.examples, tokenizer, teacher, weights)
        name = f"{init}-{'-'.join(f'{weight:g}' for weight in weights)}-{seed}"
        pretrain(student, distillation, size, seed, work / name)
        found = held_out_losses(student, held_out)
        return found | fine_tuned(student, tokenizer, size, seed, work / f"{name}-tuned")

    return cell


E2 = Experiment(
    "E2",
    {
        "teacher": teacher,
        ALL_LOSSES: distilled((5, 2, 1)),
        NO_SOFT_TARGETS: distilled((0, 2, 1)),
        NO_MASKED_WORDS: distilled((5, 0, 1)),
        NO_COSINE: distilled((5, 2, 0)),
        RANDOM_START: distilled((5, 2, 1), "random"),
    },
    full=Size(texts=3000, epochs=3, steps=1000),
    quick=Size(texts=320, epochs=1, steps=20, test_texts=300),
    more=by_frequency,
)
