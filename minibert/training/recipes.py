"""The recipes behind the training commands: what to read, which model to train, how to train it and how to score it.

Nothing here prints or reads the command line: the arguments are plain values, so that lessons and experiments can use
the same steps. The commands that call these functions are in cli/pretrain.py, cli/distill.py and cli/finetune.py.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from minibert.assets import resolve
from minibert.checkpoints import Loaded, load, read_config, warn_of_fresh
from minibert.config import ModelConfig
from minibert.errors import MinibertError, check_known, nearest
from minibert.factory import build
from minibert.model import initialise
from minibert.models import FAMILIES, PRESETS
from minibert.models.family import Family
from minibert.pinned import names
from minibert.tokenizers import load_tokenizer
from minibert.tokenizers.base import Tokenizer
from minibert.training import vocabularies
from minibert.training.batching import Example, pair, single
from minibert.training.choices import VOCAB_SIZE
from minibert.training.data import Review, Reviews, load_reviews, split_texts, user_texts
from minibert.training.infilling import Infilling
from minibert.training.loop import Settings, train, validated
from minibert.training.pairs import Document, full_sentences, nsp_pairs, sop_pairs, split_sentences
from minibert.training.permutation import PermutedWords
from minibert.training.tasks import Labels, MaskedWords, Task, accuracy, held_out_losses, log_frequencies, predict
from minibert.words import listed

CLASSES = ("negative", "positive")
PAIRS = {"mlm+nsp": nsp_pairs, "mlm+sop": sop_pairs}  # objectives with a sentence-pair task

# What each kind of training changes in the loop's settings.
PRETRAINING: dict[str, Any] = {"betas": (0.9, 0.98)}  # Liu et al. 2019, section 3.1
DISTILLING: dict[str, Any] = {"betas": (0.9, 0.98), "clip": 5.0, "warmup": 0.05}  # DistilBERT's released code
HEAD_RATE = 1e-3  # learning rate of a masked-lm head on a frozen teacher


# ------------------------------------------------------------------------------------------- texts and examples


def load_texts(source: str, file: str | Path | None = None) -> Reviews:
    """The movie reviews of a source (see `load_reviews`), or a user's own texts, split in the same way.

    Raises MinibertError when the texts cannot be read, or a file is so small that a split is empty.
    """
    reviews = load_reviews(source) if file is None else split_texts(user_texts(file))
    for name in ("train", "validation", "test"):
        if not getattr(reviews, name):
            raise MinibertError(
                f"{file} is too small: no different text is left for {name}; give at least a few dozen texts."
            )
    return reviews


def single_texts(texts: Sequence[Review], tokenizer: Tokenizer, max_length: int) -> list[Example]:
    """Each text as one row, truncated to max_length tokens, with its label if it has one."""
    return [single(tokenizer.ids(review.text), tokenizer, max_length, review.label or 0) for review in texts]


def documents_of(texts: Sequence[Review], tokenizer: Tokenizer) -> list[Document]:
    """Each text as its sentences, each as token ids."""
    # Inside a text there is a blank before a sentence, which for a byte-level vocabulary is part of its first word.
    return [
        [tokenizer.ids(" " * (number > 0) + sentence) for number, sentence in enumerate(split_sentences(review.text))]
        for review in texts
    ]


def examples_for(
    objective: str, texts: Sequence[Review], tokenizer: Tokenizer, max_length: int, seed: int
) -> list[Example]:
    """The rows that are read to guess masked words: single texts, sentence pairs, or packed sentences.

    objective: "mlm", "full-sentences", or a key of PAIRS. max_length: tokens of a row, special tokens included. seed:
    decides which pairs are made. Raises MinibertError for another objective, or texts with too few sentences for pairs.
    """
    if objective == "mlm":
        return single_texts(texts, tokenizer, max_length)
    documents = documents_of(texts, tokenizer)
    if objective == "full-sentences":
        rows = full_sentences(documents, max_length - tokenizer.num_special(), tokenizer.sep_id)
        return [single(row, tokenizer, max_length) for row in rows]
    check_known("objective", objective, RECIPES)
    pairs = PAIRS[objective](documents, max_length - tokenizer.num_special(pair=True), random.Random(seed))
    return [pair(p.first, p.second, tokenizer, p.label) for p in pairs]


# ------------------------------------------------------------------------------------------------ objectives


class Recipe(NamedTuple):
    """How a model is pre-trained.

    head: which one it needs (a key of heads.HEADS). task: makes the task from (objective, texts, tokenizer, max_length,
    seed, masking, static). masks: whether words are masked in it, so that the last two mean something.
    """

    head: str
    task: Callable[..., Task]
    masks: bool = True


def masked_words(
    objective: str,
    texts: Sequence[Review],
    tokenizer: Tokenizer,
    max_length: int,
    seed: int,
    masking: str,
    static: bool,
) -> MaskedWords:
    examples = examples_for(objective, texts, tokenizer, max_length, seed)
    return MaskedWords(examples, tokenizer, masking, static, pairs=objective in PAIRS)


def permuted_words(
    objective: str, texts: Sequence[Review], tokenizer: Tokenizer, max_length: int, *_: Any
) -> PermutedWords:
    return PermutedWords(single_texts(texts, tokenizer, max_length), tokenizer)


def infilling(objective: str, texts: Sequence[Review], tokenizer: Tokenizer, max_length: int, *_: Any) -> Infilling:
    return Infilling(documents_of(texts, tokenizer), tokenizer, max_length)


RECIPES = {
    "mlm": Recipe("masked-lm", masked_words),
    "mlm+nsp": Recipe("pretraining", masked_words),
    "mlm+sop": Recipe("pretraining", masked_words),
    "full-sentences": Recipe("masked-lm", masked_words),
    "permutation": Recipe("permutation-lm", permuted_words, masks=False),
    "infilling": Recipe("seq2seq-lm", infilling, masks=False),
}


def objective_for(source: str, objective: str | None = None) -> str:
    """The objective (a key of RECIPES) that a model is pre-trained with: its family's own, if none is asked for.

    Raises MinibertError where a model of that family cannot have the head that the objective needs.
    """
    family = family_of(source)
    fitting = [name for name, recipe in RECIPES.items() if recipe.head in family.model.heads]
    objective = objective or family.objective
    if objective not in fitting:
        raise MinibertError(
            f"{source} cannot be pre-trained with {objective}: for a model of type {family.model_type} choose "
            f"{listed(fitting, 'or')}."
        )
    return objective


def steps_of(epochs: float, examples: int, batch_size: int) -> int:
    """How many steps this many passes over the examples take; at least 1."""
    return max(1, round(epochs * max(examples // batch_size, 1)))


# -------------------------------------------------------------------------------------------------------- models


def preset_of(source: str) -> ModelConfig | None:
    """The config of a preset; None for a checkpoint, or for an asset, which has the name of a preset, too."""
    return PRESETS.get(source) if source not in names() else None


def family_of(source: str) -> Family:
    """The family of a preset or a checkpoint. Raises MinibertError when there is no such source."""
    if (known := preset_of(source)) is not None:
        return FAMILIES[known.model_type]
    try:
        folder = resolve(source)
    except MinibertError as problem:
        if Path(source).name != source or Path(source).exists():
            raise
        raise MinibertError(f"{problem} There is no preset of that name, either: {nearest(source, PRESETS)}") from None
    return FAMILIES[read_config(folder).model_type]


def tokenizer_of(source: str, texts: Sequence[Review] = (), size: int | None = None) -> Tokenizer:
    """The tokenizer of a model: that of a checkpoint, or for a preset one of its family's kind.

    size: of a vocabulary that is learned from the texts for a preset. None: the published vocabulary, for a family
    whose kind has one here (BERT's uncased WordPiece), and else as many as usual. See training/vocabularies.py.
    """
    if preset_of(source) is None:
        return load_tokenizer(source)
    kind = family_of(source).vocabulary
    published = vocabularies.KINDS[kind].published
    if published is not None and size is None:
        return load_tokenizer(published)
    return vocabularies.learned(kind, [review.text for review in texts], size or VOCAB_SIZE)


def learns_vocabulary(source: str, size: int | None = None) -> bool:
    """Whether `tokenizer_of` learns a vocabulary, and so needs texts."""
    if preset_of(source) is None:
        return False
    return size is not None or vocabularies.KINDS[family_of(source).vocabulary].published is None


def loaded_for(source: str, head: str, tokenizer: Tokenizer, seed: int) -> Loaded:
    """A preset with fresh weights, its vocabulary size and special tokens those of the tokenizer, or a checkpoint.

    seed: of the fresh weights, and of the parts of a head that the checkpoint lacks, which the result names. Raises
    MinibertError when a checkpoint and the tokenizer do not have the same vocabulary size.
    """
    preset = preset_of(source)
    if preset is not None:
        special = {"pad": tokenizer.pad_id, "cls": tokenizer.cls_id, "sep": tokenizer.sep_id}
        return Loaded(build(preset.for_vocabulary(tokenizer.vocab_size, **special), head, seed), ())
    torch.manual_seed(seed)  # for what the checkpoint lacks
    loaded = load(source, head)
    known = loaded.model.config.vocab_size
    if known != tokenizer.vocab_size:
        raise MinibertError(
            f"{source} has {known} word embeddings, but its tokenizer has {tokenizer.vocab_size} word pieces: the "
            "checkpoint and the tokenizer do not belong together."
        )
    return loaded


def model_for(source: str, head: str, tokenizer: Tokenizer, seed: int) -> nn.Module:
    """The model of `loaded_for`, with a warning if a part of its head starts from random weights."""
    model, fresh = loaded_for(source, head, tokenizer, seed)
    warn_of_fresh(source, head, fresh)
    return model


def classifier_for(source: str, tokenizer: Tokenizer, seed: int) -> nn.Module:
    """A model that tells CLASSES apart, with the checkpoint's own classifier if it has one, and else a fresh one.

    Raises MinibertError for a checkpoint whose classifier was trained for another number of classes or another problem.
    """
    model, fresh = loaded_for(source, "sequence-classification", tokenizer, seed)
    config = model.config
    if "classifier" in fresh:
        if config.num_labels != len(CLASSES):  # it names classes, but has no classifier for them
            model.classifier = nn.Linear(config.hidden_size, len(CLASSES))
            initialise(model.classifier, config.initializer_range)
    elif config.num_labels != len(CLASSES):
        raise MinibertError(f"{source} tells {config.num_labels} classes apart, but there are two here.")
    elif config.problem_type not in (None, "single_label_classification"):
        raise MinibertError(f"{source} was trained for {config.problem_type}, but here a text has one of two classes.")
    model.config = replace(config, labels=CLASSES, problem_type=None)
    return model


def teacher_with_head(source: str, tokenizer: Tokenizer, seed: int) -> tuple[nn.Module, bool]:
    """A teacher with a masked-lm head, and whether that head is fresh (MiniLM's checkpoint has none)."""
    teacher, fresh = loaded_for(source, "masked-lm", tokenizer, seed)
    return teacher, "lm" in fresh


def start_from_frequencies(model: nn.Module, task: Task) -> None:
    """Give a fresh masked-lm head the bias with which it predicts each word as often as the texts have it, in place.

    A trained model learns to use its new head sooner if that need not learn the frequencies first.
    """
    with torch.no_grad():
        model.lm.bias.copy_(log_frequencies(task))


# ------------------------------------------------------------------------------------------------------ training


def train_and_compare(
    model: nn.Module,
    task: Task,
    held_out_task: Task,
    settings: Settings,
    folder: str | Path,
    device: torch.device,
    title: str,
) -> dict[str, Any]:
    """Train on one task; compute the losses on another one before and after, and as often as the settings say.

    folder: of the run, see `train`. Returns "steps", "tokens" (read in total), "held_out_before" and "held_out_after"
    (each term of the loss, in nats except the cosine).
    """

    def held_out(model: nn.Module) -> dict[str, float]:
        return held_out_losses(model, held_out_task)

    before = validated(model.to(device), held_out)
    log = train(
        model,
        task,
        [len(example.ids) for example in task.examples],
        settings,
        folder,
        device=device,
        validate=lambda model: {f"held_out_{name}": value for name, value in held_out(model).items()},
        title=title,
    )
    return {
        "steps": settings.steps,
        "tokens": sum(entry["tokens"] for entry in log),
        "held_out_before": before,
        "held_out_after": {name: log[-1][f"held_out_{name}"] for name in before},
    }


def train_head(
    teacher: nn.Module,
    examples: Sequence[Example],
    tokenizer: Tokenizer,
    steps: int,
    batch_size: int,
    seed: int,
    folder: str | Path,
    device: torch.device,
) -> None:
    """Train the fresh masked-lm head of a teacher, in place; the rest of the teacher stays as it is."""
    teacher.backbone.requires_grad_(False)
    train(
        teacher,
        MaskedWords(examples, tokenizer),
        [len(example.ids) for example in examples],
        Settings(steps=steps, batch_size=batch_size, learning_rate=HEAD_RATE, seed=seed),
        folder,
        device=device,
        title="teacher's head",
    )


def fine_tune(
    source: str,
    examples: Sequence[Example],
    validation: Sequence[Example],
    tokenizer: Tokenizer,
    settings: Settings,
    folder: str | Path,
    device: torch.device,
    teacher: nn.Module | None = None,
) -> nn.Module:
    """A model of this source, fine-tuned to tell CLASSES apart; with a fine-tuned teacher, also to agree with it.

    validation: the examples whose accuracy is logged, as often as the settings say. folder: of the run, see `train`.
    """
    model = classifier_for(source, tokenizer, settings.seed)
    train(
        model,
        Labels(examples, tokenizer, teacher),
        [len(example.ids) for example in examples],
        settings,
        folder,
        device=device,
        validate=lambda model: {"accuracy": accuracy(model, validation, tokenizer)},
        title=f"finetune {Path(source).name}",
    )
    return model


# ------------------------------------------------------------------------------------------------------- scoring


def right_answers(model: nn.Module, examples: Sequence[Example], tokenizer: Tokenizer) -> Tensor:
    """For each example, whether its best class is the true one: (len(examples),) booleans."""
    truth = torch.tensor([example.label for example in examples])
    return predict(model, examples, tokenizer).argmax(dim=-1) == truth
