"""Fine-tuning as all experiments do it: a model's backbone, a task of tasks.py, and the answers to its test texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import nn

from minibert.experiments.grid import Size
from minibert.experiments.tasks import SENTENCES, TASKS, Task
from minibert.tokenizers.base import Tokenizer
from minibert.training.batching import Example, single
from minibert.training.data import Review
from minibert.training.loop import STATE, Settings, has_bf16, train


def as_examples(reviews: Sequence[Review], tokenizer: Tokenizer, size: Size) -> list[Example]:
    """The reviews as rows to train on or to test on, with their labels."""
    return [single(tokenizer.ids(r.text), tokenizer, size.max_length, r.label or 0) for r in reviews]


def fine_tune(
    model: nn.Module,
    task: Task,
    tokenizer: Tokenizer,
    seed: int,
    folder: Path,
    teacher: nn.Module | None = None,
) -> dict[str, Any]:
    """Fine-tune a model with the task's head, in place, and answer the test texts.

    folder: of the run; what it needs to continue is removed when it is done. teacher: one fine-tuned on the same task,
    for a task with classes, to learn from as well.

    Returns "score", "guess" (what guessing scores), the answers ("right" or "counts": see tasks.py), and how many
    "texts" and "test_texts" there were.
    """
    learned, asked = task.examples(tokenizer, seed)
    help = {} if teacher is None else {"teacher": teacher}
    settings = Settings(
        steps=max(1, task.epochs * len(learned) // task.batch_size),
        batch_size=task.batch_size,
        learning_rate=task.learning_rate,
        seed=seed,
        bf16=has_bf16("cpu"),
    )
    objective = task.kind.objective(learned, tokenizer, **help)
    train(model, objective, [len(one.ids) for one in learned], settings, folder, title=folder.name)
    found = task.kind.answers(model, asked, tokenizer)
    (folder / STATE).unlink()  # three times as large as the model
    return found | {"guess": task.kind.by_guessing(asked), "texts": len(learned), "test_texts": len(asked)}


def classify(
    model: nn.Module,
    tokenizer: Tokenizer,
    size: Size,
    seed: int,
    folder: Path,
    learning_rate: float,
) -> dict[str, Any]:
    """Fine-tune a classifier on the sentiment of sentences, as large as `size` says, and answer the test texts.

    Returns "accuracy" and "right", a string with 0 or 1 for each test text, so that models can be compared text by
    text.
    """
    task = replace(
        TASKS[SENTENCES],
        texts=size.texts,
        test_texts=size.test_texts,
        max_length=size.max_length,
        epochs=size.epochs,
        learning_rate=learning_rate,
        batch_size=size.batch_size,
    )
    found = fine_tune(model, task, tokenizer, seed, folder)
    return {"accuracy": found["score"], "right": found["right"]}
