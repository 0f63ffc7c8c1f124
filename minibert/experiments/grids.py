"""The recorded experiments: small trainings on real reviews, several seeds each, behind the trained rows of the ledger.

    E1  what a student keeps of its teacher, with real weights: depth, layers, distillation     (D3)
    E2  which of DistilBERT's losses matters, from a teacher pre-trained here                   (D6)
    E3  what ALBERT's savings cost                                                              (A3)
    E4  static or dynamic masking; sentence order, next sentence or neither                     (A8)

An experiment is a grid of variants and seeds. Each cell is trained by itself and leaves a small JSON in the work
folder, so that a long experiment can be stopped at any time, and several processes can share one: cells that are there
are not trained again. The sizes are those of a laptop: what the results can say stands in the ledger with them.
"""

from __future__ import annotations

import json
import math
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from minibert.checkpoints import from_pretrained, save_pretrained
from minibert.cli.training import chosen_layers, make_student
from minibert.encoder import Backbone, Output, initialise
from minibert.errors import MinibertError
from minibert.factory import build, count_parameters
from minibert.files import write_file
from minibert.heads import WithHead
from minibert.models.albert import AlbertConfig
from minibert.models.bert import BertConfig
from minibert.timing import Progress
from minibert.tokenizers import load_tokenizer
from minibert.tokenizers.base import Tokenizer
from minibert.tokenizers.wordpiece import WordPiece
from minibert.training.data import Review, load_reviews
from minibert.training.loop import Settings, has_bf16, train
from minibert.training.pairs import nsp_pairs, sop_pairs, split_sentences
from minibert.training.tasks import (
    Distillation,
    Example,
    Labels,
    MaskedWords,
    held_out_losses,
    inputs,
    padded,
    pair,
    predict,
    single,
)


@dataclass(frozen=True)
class Size:
    """How large an experiment is. texts: to fine-tune on. steps: of pre-training or distilling."""

    texts: int
    epochs: int
    steps: int = 0
    test_texts: int = 1600
    max_length: int = 64
    batch_size: int = 32


@dataclass(frozen=True)
class Experiment:
    """variants: name -> a function of (seed, size, work folder) that trains one cell and returns its figures."""

    id: str
    variants: dict[str, Callable[[int, Size, Path], dict[str, Any]]]
    full: Size
    quick: Size
    seeds: tuple[int, ...] = (0, 1, 2)
    pretrains: bool = False  # whether its models learn masked words from nothing


def run(
    experiment: Experiment,
    folder: Path,
    quick: bool = False,
    seeds: Sequence[int] | None = None,
    variants: Sequence[str] | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Train the cells that are not there yet, and return the figures of all.

    folder: the work folder; quick and full runs do not mix in it. Figures: "seeds", "size", "threads", "bf16",
    "by_frequency" where models are pre-trained (see `loss_by_frequency`), and "cells", a variant -> one dict a seed.
    """
    size = experiment.quick if quick else experiment.full
    seeds = list(seeds if seeds is not None else experiment.seeds[:1] if quick else experiment.seeds)
    names = list(variants or experiment.variants)
    for name in names:
        if name not in experiment.variants:
            raise MinibertError(f"{experiment.id} has no variant {name!r}: {', '.join(experiment.variants)}.")
    work = folder / f"{experiment.id}-{'quick' if quick else 'full'}"
    cells: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    for at, (seed, name) in enumerate((seed, name) for seed in seeds for name in names):
        path = work / "cells" / f"{name}-{seed}.json"
        if not path.exists():
            began = time.perf_counter()
            found = experiment.variants[name](seed, size, work)
            write_file(path, json.dumps(found | {"seconds": round(time.perf_counter() - began, 1)}) + "\n")
        cells[name].append(json.loads(path.read_text(encoding="utf-8")))
        if progress is not None:
            progress(at + 1, len(seeds) * len(names))
    how = {"threads": torch.get_num_threads(), "bf16": has_bf16("cpu")}
    if experiment.pretrains:
        how["by_frequency"] = round(loss_by_frequency(own_tokenizer(work), size), 4)
    return {"seeds": seeds, "size": asdict(size), **how, "cells": cells}


# ------------------------------------------------------------------------------------- what experiments share


@cache
def sentences(texts: int, test_texts: int, seed: int) -> tuple[list[Review], list[Review]]:
    """Rotten Tomatoes sentences to fine-tune on, drawn with the seed, and those to test on, the same for all."""
    reviews = load_reviews("rotten-tomatoes")
    test = [*reviews.test, *reviews.validation]  # nothing is chosen by either, and more texts give shorter intervals
    if texts > len(reviews.train) or test_texts > len(test):
        raise MinibertError(f"there are {len(reviews.train)} sentences to train on and {len(test)} to test on.")
    return Random(seed).sample(reviews.train, texts), test[:test_texts]


class MeanPooled(nn.Module):
    """Two classes, from the mean of a backbone's last hidden states over the real tokens.

    The classifier of BERT's paper reads the first position. Here nobody has taught that position to speak for its
    text: MiniLM-L6 was trained to be read by the mean (Reimers & Gurevych 2019), and most of the models that are
    pre-trained below learn from masked words alone.
    """

    def __init__(self, backbone: Backbone):
        super().__init__()
        backbone.pooler = None
        self.backbone = backbone
        self.dropout = nn.Dropout(backbone.config.head_dropout)
        self.classifier = nn.Linear(backbone.config.hidden_size, 2)
        initialise(self.classifier, backbone.config.initializer_range)

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor) -> Output:
        """All (B, S). Fills in logits, (B, 2)."""
        output = self.backbone(input_ids, attention_mask, token_type_ids)
        real = attention_mask[..., None]  # (B, S, 1)
        mean = (output.last_hidden_state * real).sum(1) / real.sum(1)  # (B, D)
        output.logits = self.classifier(self.dropout(mean))
        return output


def as_examples(reviews: Sequence[Review], tokenizer: Tokenizer, size: Size) -> list[Example]:
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
    """Fine-tune on sentences, with or without a fine-tuned teacher; what it gets right on the test texts.

    "right" is a string of 0 and 1, one for each test text, so that models can be compared text by text.
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
    right = predict(model, test, tokenizer.pad_id).argmax(-1) == torch.tensor([example.label for example in test])
    return {"accuracy": float(right.double().mean()), "right": "".join(str(int(one)) for one in right)}


# ---------------------------------------------------------------------------------------------------- E1


MINILM_RATE = 1e-4  # of fine-tuning


def fine_tuned_teacher(seed: int, size: Size, work: Path) -> nn.Module:
    """MiniLM-L6 fine-tuned with this seed; trained when it is first asked for."""
    folder = work / f"teacher-{seed}"
    path = folder / "classifier.safetensors"
    torch.manual_seed(seed)
    model = MeanPooled(from_pretrained("minilm-l6"))
    if not path.exists():
        tokenizer = load_tokenizer("minilm-l6")
        found = classify(model, tokenizer, size, seed, folder, MINILM_RATE)
        write_file(folder / "found.json", json.dumps(found))
        save_file(model.state_dict(), path)
    model.load_state_dict(load_file(path))
    return model.eval()


def keep_teacher(seed: int, size: Size, work: Path) -> dict[str, Any]:
    model = fine_tuned_teacher(seed, size, work)
    found = json.loads((work / f"teacher-{seed}" / "found.json").read_text(encoding="utf-8"))
    return found | {"parameters": count_parameters(model)}


def keep(init: str, depth: int, distilled: bool, fold_types: bool = True) -> Callable[..., dict[str, Any]]:
    """A student of `depth` layers of the fine-tuned teacher, taken as `init` says, with its classifier and its help."""

    def cell(seed: int, size: Size, work: Path) -> dict[str, Any]:
        teacher = fine_tuned_teacher(seed, size, work)
        layers = chosen_layers(init, len(teacher.backbone.encoder.order), depth)
        torch.manual_seed(seed)
        student = MeanPooled(make_student(teacher.backbone, init, layers, seed, fold_types))
        if init != "random":
            student.classifier.load_state_dict(teacher.classifier.state_dict())
        name = f"{init}{'+distillation' * distilled}{'' if fold_types else '-dropped'}-{depth}-{seed}"
        tokenizer = load_tokenizer("minilm-l6")
        found = classify(student, tokenizer, size, seed, work / name, MINILM_RATE, teacher if distilled else None)
        return found | {"parameters": count_parameters(student)}

    return cell


E1 = Experiment(
    "E1",
    {
        "teacher": keep_teacher,
        "types dropped, 3 layers": keep("alternate", 3, distilled=True, fold_types=False),
        **{
            f"{label}, {depth} layers": keep(init, depth, distilled)
            for depth in (3, 2, 1)
            for label, init, distilled in (
                ("alternate + distillation", "alternate", True),
                ("alternate", "alternate", False),
                ("first", "first", False),
                ("random", "random", False),
            )
        },
    },
    full=Size(texts=3000, epochs=3),
    quick=Size(texts=320, epochs=1, test_texts=300),
)


# ---------------------------------------------------------------------------------------- E2, E3, E4: pre-training

VOCABULARY_SIZE = 8000


def own_tokenizer(work: Path) -> WordPiece:
    """A small WordPiece vocabulary learned from the reviews: for models that are pre-trained from nothing."""
    folder = work / "vocabulary"
    if not (folder / "vocab.txt").exists():
        texts = [review.text for review in load_reviews("rotten-tomatoes").train]
        texts += [review.text for review in load_reviews("imdb").train[:4000]]
        folder.mkdir(parents=True, exist_ok=True)
        WordPiece.train(texts, VOCABULARY_SIZE).save(folder)
    return WordPiece.from_folder(folder)


@cache
def unlabelled(held_out: bool, count: int) -> tuple[str, ...]:
    """Whole IMDB reviews to pre-train on, or to hold out."""
    reviews = load_reviews("imdb")
    return tuple(review.text for review in (reviews.validation if held_out else reviews.train)[:count])


def pieces_of(texts: Sequence[str], tokenizer: Tokenizer, size: Size) -> list[Example]:
    """Texts cut into rows of max_length tokens, one after another."""
    room = size.max_length - 2
    rows = []
    for text in texts:
        ids = tokenizer.ids(text)
        rows += [single(ids[i : i + room], tokenizer, size.max_length) for i in range(0, len(ids), room)]
    return [row for row in rows if len(row.ids) > 8]


def small(config: type[BertConfig] = BertConfig, **changes: Any) -> BertConfig:
    """The shape of all models that are pre-trained here."""
    shape = {
        "vocab_size": VOCABULARY_SIZE,
        "hidden_size": 128,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "intermediate_size": 512,
        "max_position_embeddings": 128,
    }
    return config(**(shape | changes))


PRETRAIN_RATE, TUNE_RATE = 1e-3, 5e-4
TEXTS, HELD_OUT = 6000, 200  # reviews


def pretrain(
    model: nn.Module, task: MaskedWords, size: Size, seed: int, folder: Path, steps: int | None = None
) -> list[dict[str, Any]]:
    settings = Settings(
        steps=steps or size.steps,
        batch_size=size.batch_size,
        learning_rate=PRETRAIN_RATE,
        betas=(0.9, 0.98),
        seed=seed,
        bf16=has_bf16("cpu"),
    )
    return train(model, task, [len(e.ids) for e in task.examples], settings, folder, title=folder.name)


def fine_tuned(model: WithHead, tokenizer: Tokenizer, size: Size, seed: int, folder: Path) -> dict[str, Any]:
    """The accuracy of a pre-trained model's backbone after fine-tuning it; the model is used up."""
    torch.manual_seed(seed)
    classifier = MeanPooled(model.backbone)
    return {"accuracy": classify(classifier, tokenizer, size, seed, folder, TUNE_RATE)["accuracy"]}


def masked_words(tokenizer: Tokenizer, size: Size, **how: Any) -> tuple[MaskedWords, MaskedWords]:
    """The task on the texts to train on, and on those held out."""
    return (
        MaskedWords(pieces_of(unlabelled(False, TEXTS), tokenizer, size), tokenizer, **how),
        MaskedWords(pieces_of(unlabelled(True, HELD_OUT), tokenizer, size), tokenizer),
    )


def loss_by_frequency(tokenizer: Tokenizer, size: Size) -> float:
    """The held-out loss of one who knows how often each word occurs and never looks at the sentence; nats."""
    seen, asked = (
        Counter(i for row in pieces_of(unlabelled(*which), tokenizer, size) for i in row.ids[1:-1])
        for which in ((False, TEXTS), (True, HELD_OUT))
    )
    total = seen.total() + tokenizer.vocab_size  # one more of each, or a word not seen would be impossible
    return sum(n * math.log(total / (seen[i] + 1)) for i, n in asked.items()) / asked.total()


# E2: the losses


def pretrained_teacher(seed: int, size: Size, work: Path) -> nn.Module:
    """A BERT of four layers, pre-trained from nothing for three times the student's steps."""
    folder = work / f"teacher-{seed}"
    if not (folder / "model.safetensors").exists():
        tokenizer = own_tokenizer(work)
        model = build(small(), "masked-lm", seed)
        task, held_out = masked_words(tokenizer, size)
        pretrain(model, task, size, seed, folder, steps=3 * size.steps)
        write_file(folder / "found.json", json.dumps(held_out_losses(model, held_out)))
        save_pretrained(folder, model)
    return from_pretrained(folder, "masked-lm")


def losses_teacher(seed: int, size: Size, work: Path) -> dict[str, Any]:
    model = pretrained_teacher(seed, size, work)
    found = json.loads((work / f"teacher-{seed}" / "found.json").read_text(encoding="utf-8"))
    return found | fine_tuned(model, own_tokenizer(work), size, seed, work / f"teacher-tuned-{seed}")


def losses(weights: tuple[float, float, float], init: str = "alternate") -> Callable[..., dict[str, Any]]:
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
        "teacher": losses_teacher,
        "all three losses": losses((5, 2, 1)),
        "without soft targets": losses((0, 2, 1)),
        "without masked words": losses((5, 0, 1)),
        "without cosine": losses((5, 2, 0)),
        "from random weights": losses((5, 2, 1), "random"),
    },
    full=Size(texts=3000, epochs=3, steps=1000),
    quick=Size(texts=320, epochs=1, steps=20, test_texts=300),
    pretrains=True,
)


# E3: what ALBERT saves


def sharing(shared: tuple[str, ...], embedding_size: int) -> Callable[..., dict[str, Any]]:
    """An ALBERT whose blocks share these of their parts ("attention", "feed_forward"), pre-trained from nothing."""

    def cell(seed: int, size: Size, work: Path) -> dict[str, Any]:
        tokenizer = own_tokenizer(work)
        config = small(AlbertConfig, embedding_size=embedding_size, num_hidden_groups=4)
        model = build(config, "masked-lm", seed)
        share(model.backbone.encoder.blocks, shared)
        parameters = count_parameters(model.backbone)
        task, held_out = masked_words(tokenizer, size)
        name = f"{'-'.join(shared) or 'nothing'}-{embedding_size}-{seed}"
        log = pretrain(model, task, size, seed, work / name)
        found = held_out_losses(model, held_out)
        found |= {"parameters": parameters, "step_seconds": median(record["seconds"] for record in log[:-1])}
        return found | fine_tuned(model, tokenizer, size, seed, work / f"{name}-tuned")

    return cell


def share(blocks: nn.ModuleList, parts: tuple[str, ...]) -> None:
    """Let all blocks use the first one's parts of these names, each with the norm that follows it."""
    norms = {"attention": "attention_norm", "feed_forward": "norm"}
    for block in blocks[1:]:
        for part in parts:
            setattr(block, part, getattr(blocks[0], part))
            setattr(block, norms[part], getattr(blocks[0], norms[part]))


BOTH = ("attention", "feed_forward")

E3 = Experiment(
    "E3",
    {
        "all shared, E = 32": sharing(BOTH, 32),
        "attention shared, E = 32": sharing(("attention",), 32),
        "FFN shared, E = 32": sharing(("feed_forward",), 32),
        "nothing shared, E = 32": sharing((), 32),
        "all shared, E = 128": sharing(BOTH, 128),
        "nothing shared, E = 128": sharing((), 128),
    },
    full=Size(texts=3000, epochs=3, steps=800),
    quick=Size(texts=320, epochs=1, steps=20, test_texts=300),
    pretrains=True,
)


# E4: masking and sentence pairs

FEW_TEXTS = 200  # reviews: so few that each is seen two or three dozen times, or the masks could not differ


def masking(static: bool) -> Callable[..., dict[str, Any]]:
    """A BERT pre-trained on few texts, seen often, masked in the same way each time or not."""

    def cell(seed: int, size: Size, work: Path) -> dict[str, Any]:
        tokenizer = own_tokenizer(work)
        model = build(small(), "masked-lm", seed)
        rows = pieces_of(unlabelled(False, FEW_TEXTS), tokenizer, size)
        held_out = MaskedWords(pieces_of(unlabelled(True, HELD_OUT), tokenizer, size), tokenizer)
        name = f"{'static' if static else 'dynamic'}-{seed}"
        pretrain(model, MaskedWords(rows, tokenizer, static=static), size, seed, work / name)
        found = held_out_losses(model, held_out)
        return found | fine_tuned(model, tokenizer, size, seed, work / f"{name}-tuned")

    return cell


PAIRS = {"NSP": nsp_pairs, "SOP": sop_pairs}


def pairs_of(task: str, held_out: bool, tokenizer: Tokenizer, size: Size) -> list[Example]:
    """Sentence pairs from the reviews, for one of the tasks of PAIRS."""
    texts = unlabelled(held_out, HELD_OUT if held_out else TEXTS)
    documents = [[tokenizer.ids(sentence) for sentence in split_sentences(text)] for text in texts]
    return [pair(p.first, p.second, tokenizer, p.label) for p in PAIRS[task](documents, size.max_length, Random(0))]


@torch.no_grad()
def pair_accuracy(model: nn.Module, examples: Sequence[Example], pad_id: int) -> float:
    """The share of sentence pairs of which the pair head says rightly how they belong together."""
    right = 0
    for start in range(0, len(examples), 64):
        batch = padded(examples[start : start + 64], pad_id)
        right += int((model(**inputs(batch), labels=None).pair_logits.argmax(-1) == batch["classes"]).sum())
    return right / len(examples)


def pairing(task: str | None) -> Callable[..., dict[str, Any]]:
    """A BERT pre-trained on masked words in sentence pairs, and on one of the tasks of PAIRS or none."""

    def cell(seed: int, size: Size, work: Path) -> dict[str, Any]:
        tokenizer = own_tokenizer(work)
        model = build(small(), "pretraining" if task else "masked-lm", seed)
        examples = pairs_of(task or "NSP", False, tokenizer, size)
        held_out = MaskedWords(pieces_of(unlabelled(True, HELD_OUT), tokenizer, size), tokenizer)
        name = f"{task or 'none'}-{seed}"
        pretrain(model, MaskedWords(examples, tokenizer, pairs=task is not None), size, seed, work / name)
        found = {"masked_lm": held_out_losses(model, held_out)["masked_lm"]}
        if task:
            for tried in PAIRS:
                asked = pairs_of(tried, True, tokenizer, size)
                found[f"{tried.lower()}_accuracy"] = pair_accuracy(model, asked, tokenizer.pad_id)
        return found | fine_tuned(model, tokenizer, size, seed, work / f"{name}-tuned")

    return cell


E4 = Experiment(
    "E4",
    {
        "dynamic": masking(static=False),
        "static": masking(static=True),
        "no pairs": pairing(None),
        "NSP": pairing("NSP"),
        "SOP": pairing("SOP"),
    },
    full=Size(texts=3000, epochs=3, steps=800),
    quick=Size(texts=320, epochs=1, steps=20, test_texts=300),
    pretrains=True,
)
