"""A distillation in about a minute: a student with half the layers learns from its fine-tuned teacher.

The claim D3 distils on unlabelled text first, and tests the student on several tasks (see retention.py).
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from minibert.encoder import Backbone
from minibert.experiments.finetuning import as_examples
from minibert.experiments.grid import Size
from minibert.factory import count_parameters
from minibert.heads import MeanPooled
from minibert.tokenizers.base import Tokenizer
from minibert.training.data import Review
from minibert.training.distillation import student_from_teacher
from minibert.training.loop import Settings, train
from minibert.training.recipes import right_answers
from minibert.training.tasks import Labels


class Tested(NamedTuple):
    """A model after a stage of the distillation. right: (texts,) booleans, which test texts it classifies correctly."""

    parameters: int
    right: Tensor


def halve(
    backbone: Backbone, tok: Tokenizer, texts: Sequence[Review], tested: Sequence[Review], seed: int
) -> Iterator[Tested]:
    """Fine-tune a model, take every second layer of it, and train this student on labels and the teacher's answers.

    backbone: a BERT; it is trained in place. texts, tested: labelled texts to learn from, and to test on.

    Yields each result as soon as it is there: the teacher, the student before its training, and the student after it.
    """
    size = Size(texts=len(texts), epochs=1, test_texts=len(tested))
    learned, asked = (as_examples(some, tok, size) for some in (texts, tested))
    settings = Settings(steps=max(1, size.texts // size.batch_size), learning_rate=2e-4, seed=seed)

    def learn(model: MeanPooled, name: str, teacher: MeanPooled | None = None) -> None:
        with tempfile.TemporaryDirectory() as folder:
            lengths = [len(one.ids) for one in learned]
            train(model, Labels(learned, tok, teacher), lengths, settings, Path(folder), title=name)

    def test(model: MeanPooled) -> Tested:
        return Tested(count_parameters(model), right_answers(model.eval(), asked, tok))

    torch.manual_seed(seed)
    teacher = MeanPooled(backbone)
    learn(teacher, "teacher")
    yield test(teacher)
    student = MeanPooled(student_from_teacher(teacher.backbone, fold_types=True))
    student.classifier.load_state_dict(teacher.classifier.state_dict())
    yield test(student)
    learn(student, "student", teacher)
    yield test(student)
