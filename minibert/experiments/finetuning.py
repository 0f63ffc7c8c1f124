"""Fine-tuning as all experiments do it: positive or negative, on sentences from Rotten Tomatoes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import torch
from torch import nn

from minibert.errors import MinibertError
from minibert.experiments.grid import Size
from minibert.tokenizers.base import Tokenizer
from minibert.training.batching import Example, single
from minibert.training.data import Review, load_reviews
from minibert.training.loop import Settings, has_bf16, train
from minibert.training.tasks import Labels, predict


@cache
def sentences(texts: int, test_texts: int, seed: int) -> tuple[list[Review], list[Review]]:
    """Sentences to fine-tune on, drawn with the seed, and those to test on, which are the same for all seeds.

    Raises MinibertError when there are not enough of them.
    """
    reviews = load_reviews("rotten-tomatoes")
    # Validation texts can be test texts, because nothing is chosen by them; more texts give shorter intervals.
    test = [*reviews.test, *reviews.validation]
    if texts > len(reviews.train) or test_texts > len(test):
        raise MinibertError(
            f"{texts:,} sentences to train on and {test_texts:,} to test on were asked for, but there are "
            f"{len(reviews.train):,} and {len(test):,}: ask for fewer."
        )
    return Random(seed).sample(reviews.train, texts), test[:test_texts]


def as_examples(reviews: Sequence[Review], tokenizer: Tokenizer, size: Size) -> list[Example]:
    """The reviews as rows to train on or to test on, with their labels."""
    return [single(tokenizer.ids(r.text), tokenizer, size.max_length, r.label or 0) for r in reviews]


def classify(
    model: nn.Module,
    tokenizer: Tokenizer,
    size: Size,
    seed: int,
    folder: Path,
    learning_rate: float,
    teacher: nn.Module | None = None,
) -> dict[str, Any]:
    """Fine-tune on sentences, with or without a fine-tuned teacher, and answer the test texts.

    Returns "accuracy" and "right", a string with 0 or 1 for each test text, so that models can be compared text by
    text.
    """
    chosen, test = (as_examples(some, tokenizer, size) for some in sentences(size.texts, size.test_texts, seed))
    settings = Settings(
        steps=max(1, size.epochs * size.texts // size.batch_size),
        batch_size=size.batch_size,
        learning_rate=learning_rate,
        seed=seed,
        bf16=has_bf16("cpu"),
    )
    task = Labels(chosen, tokenizer, teacher)
    train(model, task, [len(e.ids) for e in chosen], settings, folder, title=folder.name)
    right = predict(model, test, tokenizer).argmax(-1) == torch.tensor([example.label for example in test])
    return {"accuracy": float(right.double().mean()), "right": "".join(str(int(one)) for one in right)}
