"""Students that are distilled on unlabelled text, as DistilBERT was: made once, and used by E1 and E2.

The teacher is MiniLM-L6 made a masked-LM (`minibert pretrain --model minilm-l6`). A student has half of its six layers
and learns on reviews without their labels, with the losses that its recipe says. It is kept in a folder that the
experiments share, so that each student is trained only once, whichever experiment asks first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from torch import nn

from minibert.checkpoints import from_pretrained, save_pretrained
from minibert.experiments.grid import Size, once
from minibert.heads import WithHead
from minibert.tokenizers import load_tokenizer
from minibert.tokenizers.base import Tokenizer
from minibert.training.batching import Example, single
from minibert.training.data import load_reviews
from minibert.training.distillation import alternate_layers, make_student
from minibert.training.loop import STATE, Settings, has_bf16, train
from minibert.training.recipes import DISTILLING
from minibert.training.tasks import Distillation, MaskedWords, loss_by_frequency

TEACHER, TEACHER_LAYERS = "minilm-l6-mlm", 6
STEPS = 250  # of a distillation
ROW, ROWS = 48, 32  # tokens of a row, rows of a step
LEARNING_RATE = 5e-4  # the released code's
TEXTS, HELD_OUT = 4000, 200  # reviews to distil on, of the training split, and to measure losses on, of the validation
FOLDER = "students"  # where students are kept, beside the work folders of the experiments
FEWEST_TOKENS = 8  # a row with no more tokens than this, special tokens included, is left out


@dataclass(frozen=True)
class Recipe:
    """How a student is made. The defaults are DistilBERT's, at this teacher's proportions.

    layers: the teacher's that it starts from, in its order. copied: False for random weights in as many layers.
    weights: of soft targets, masked words and cosine. temperature, soft_targets: see `Distillation`. fold_types: see
    `student_from_teacher`; the released code drops the token types, which so short a training could not make up for.
    """

    layers: tuple[int, ...] = alternate_layers(TEACHER_LAYERS)
    copied: bool = True
    weights: tuple[float, float, float] = (5.0, 2.0, 1.0)
    temperature: float = 2.0
    soft_targets: str = "masked"
    fold_types: bool = True

    @property
    def name(self) -> str:
        """What tells its folder from those of all other recipes."""
        start = f"layers-{'-'.join(map(str, self.layers))}" if self.copied else f"random-{len(self.layers)}"
        losses = "-".join(f"{weight:g}" for weight in self.weights)
        types = "" if self.fold_types else "-types-dropped"
        return f"{start}-losses-{losses}-T{self.temperature:g}-{self.soft_targets}{types}"


def teacher() -> WithHead:
    """The teacher with its masked-lm head, in evaluation mode."""
    return from_pretrained(TEACHER, "masked-lm")


@cache
def tokenizer() -> Tokenizer:
    """The teacher's, which is also its students'."""
    return load_tokenizer(TEACHER)


def distilled(recipe: Recipe, seed: int, steps: int, folder: Path) -> WithHead:
    """The student of this recipe and seed, with its masked-lm head, in evaluation mode.

    seed: of random weights, of the order of the texts and of the masks. steps: of the distillation; 0 for a student as
    it was cut from its teacher. folder: where students are kept. One that is there is read; a distillation that was
    stopped continues.
    """
    path = folder / f"{recipe.name}-{steps}-{seed}"
    if not steps:
        return cut(recipe, teacher(), seed).eval()
    once(path / "model.safetensors", lambda: _distil(recipe, seed, steps, path))
    return from_pretrained(path, "masked-lm")


def cut(recipe: Recipe, source: nn.Module, seed: int) -> WithHead:
    """The student before it is trained."""
    init = "alternate" if recipe.copied else "random"
    return make_student(source, init, recipe.layers, seed, recipe.fold_types)


def _distil(recipe: Recipe, seed: int, steps: int, path: Path) -> None:
    """Train a student and save it as a checkpoint, without what only its training needed."""
    source = teacher()
    student = cut(recipe, source, seed)
    task = Distillation(rows(False), tokenizer(), source, recipe.weights, recipe.temperature, recipe.soft_targets)
    settings = Settings(
        steps=steps, batch_size=ROWS, learning_rate=LEARNING_RATE, seed=seed, bf16=has_bf16("cpu"), **DISTILLING
    )
    train(student, task, [len(row.ids) for row in task.examples], settings, path, title=path.name)
    save_pretrained(path, student)
    (path / STATE).unlink(missing_ok=True)  # three times as large as the model


@cache
def rows(held_out: bool) -> Sequence[Example]:
    """Whole IMDB reviews cut into rows of ROW tokens, one after another: to distil on, or held out."""
    reviews = load_reviews("imdb")
    texts = reviews.validation[:HELD_OUT] if held_out else reviews.train[:TEXTS]
    room = ROW - tokenizer().num_special()
    made = []
    for review in texts:
        ids = tokenizer().ids(review.text)
        made += [single(ids[at : at + room], tokenizer(), ROW) for at in range(0, len(ids), room)]
    return [row for row in made if len(row.ids) > FEWEST_TOKENS]


def held_out_words() -> MaskedWords:
    """The masked words of the held-out rows: the same for every model."""
    return MaskedWords(rows(True), tokenizer())


def by_frequency(size: Size, work: Path) -> dict[str, float]:
    """The loss of a masked word, in nats, of a model that knows only how often each word occurs."""
    return {"by_frequency": round(loss_by_frequency(MaskedWords(rows(False), tokenizer()), held_out_words()), 4)}
