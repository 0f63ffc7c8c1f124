"""E1: what does a distilled student keep of its teacher, on several tasks?

As in DistilBERT's paper: the student is first distilled on unlabelled text, and then teacher and student are fine-tuned
on each task by themselves. The teacher is MiniLM-L6 made a masked-LM, the student has half of its layers (students.py),
and the tasks are made from the reviews (tasks.py). On the first task alone, other students are tried as well.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from minibert.experiments import students
from minibert.experiments.finetuning import fine_tune
from minibert.experiments.grid import Cell, Experiment, Size, once
from minibert.experiments.students import Recipe, distilled
from minibert.experiments.tasks import SENTENCES, TASKS
from minibert.factory import count_parameters
from minibert.files import read_json, write_files
from minibert.heads import WithHead
from minibert.training.tasks import held_out_losses

# The models, as the records name them; a variant is a model and what it is tested on.
TEACHER, STUDENT = "teacher", "distilled"
MASKED_WORDS = "masked words"
# Students that are tried on SENTENCES alone.
CUT, RANDOM, TWICE = "cut, not distilled", "random weights", "distilled twice"


def variant(model: str, task: str) -> str:
    """The name of the variant for this model and task."""
    return f"{model}, {task}"


MODELS: dict[str, Callable[[int, Size, Path], WithHead]] = {
    TEACHER: lambda seed, size, work: students.teacher(),
    STUDENT: lambda seed, size, work: distilled(Recipe(), seed, size.steps, work.parent / students.FOLDER),
    CUT: lambda seed, size, work: distilled(Recipe(), seed, 0, work.parent / students.FOLDER),
    RANDOM: lambda seed, size, work: distilled(Recipe(copied=False), seed, 0, work.parent / students.FOLDER),
}


def reading(model: str) -> Cell:
    """How well the model predicts masked words, before it is fine-tuned, and its size."""

    def cell(seed: int, size: Size, work: Path) -> dict[str, Any]:
        backbone = MODELS[model](seed, size, work)
        return held_out_losses(backbone, students.held_out_words()) | {"parameters": count_parameters(backbone)}

    return cell


def tuned(model: str, task: str) -> Cell:
    """The model fine-tuned on a task, and its answers to the test texts."""

    def cell(seed: int, size: Size, work: Path) -> dict[str, Any]:
        return _tuned(model, task, seed, size, work, work / "runs" / f"{variant(model, task)}-{seed}")[1]

    return cell


def twice(seed: int, size: Size, work: Path) -> dict[str, Any]:
    """The distilled student; when it is fine-tuned, it learns from the fine-tuned teacher as well."""
    helper, _ = fine_tuned_teacher(seed, size, work)
    folder = work / "runs" / f"{variant(TWICE, SENTENCES)}-{seed}"
    return _tuned(STUDENT, SENTENCES, seed, size, work, folder, helper)[1]


def teacher(seed: int, size: Size, work: Path) -> dict[str, Any]:
    """The teacher fine-tuned on SENTENCES, and its answers."""
    return fine_tuned_teacher(seed, size, work)[1]


def fine_tuned_teacher(seed: int, size: Size, work: Path) -> tuple[nn.Module, dict[str, Any]]:
    """The teacher fine-tuned on SENTENCES, and its answers. It is kept, because it also helps a student."""
    folder = work / "teachers" / str(seed)
    path = folder / "model.safetensors"

    def make() -> None:
        model, found = _tuned(TEACHER, SENTENCES, seed, size, work, folder)
        weights = model.state_dict()
        write_files(folder, {"found.json": json.dumps(found), path.name: lambda file: save_file(weights, file)})

    once(path, make)
    model = TASKS[SENTENCES].kind.model(students.teacher().backbone, students.tokenizer())
    model.load_state_dict(load_file(path))
    return model.eval(), read_json(folder / "found.json")


def _tuned(
    model: str, task: str, seed: int, size: Size, work: Path, folder: Path, helper: nn.Module | None = None
) -> tuple[nn.Module, dict[str, Any]]:
    asked = TASKS[task].within(size)
    backbone = MODELS[model](seed, size, work).backbone
    torch.manual_seed(seed)
    with_head = asked.kind.model(backbone, students.tokenizer())
    return with_head, fine_tune(with_head, asked, students.tokenizer(), seed, folder, helper)


E1 = Experiment(
    "E1",
    {
        **{variant(model, MASKED_WORDS): reading(model) for model in (TEACHER, STUDENT)},
        **{variant(model, task): tuned(model, task) for task in TASKS for model in (TEACHER, STUDENT)},
        **{variant(model, SENTENCES): tuned(model, SENTENCES) for model in (CUT, RANDOM)},
        variant(TEACHER, SENTENCES): teacher,
        variant(TWICE, SENTENCES): twice,
    },
    # The tasks say how large they are; this is the most that any of them may have.
    full=Size(texts=8000, epochs=3, steps=students.STEPS, test_texts=1600, max_length=512),
    quick=Size(texts=128, epochs=1, steps=10, test_texts=64, max_length=96),
    seeds=(0, 1, 2, 3, 4),
    fewer={variant(model, SENTENCES): 3 for model in (CUT, RANDOM, TWICE)},
    more=students.by_frequency,
)
