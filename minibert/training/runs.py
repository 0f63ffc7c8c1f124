"""The three training commands: pretrain, distill, finetune. Each leaves a checkpoint folder that can be used.

A run is described by its options. The same command with the same --out goes on where it was stopped, or shows what it
found when it is done; other options in the same folder are refused, so that no two runs are mixed.
"""

from __future__ import annotations

import json
import math
import random
import shutil
import warnings
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from minibert.checkpoints import from_pretrained, save_pretrained
from minibert.errors import MinibertError
from minibert.factory import build, count_parameters
from minibert.heads import MaskedLM
from minibert.models import PRESETS
from minibert.tokenizers import load_tokenizer
from minibert.tokenizers.base import Tokenizer
from minibert.training import loop
from minibert.training.data import Review, load_reviews, split_texts, user_texts
from minibert.training.distillation import RELEASED_LAYERS, alternate_layers, student_from_teacher
from minibert.training.loop import Settings, train, write_atomically
from minibert.training.pairs import full_sentences, nsp_pairs, sop_pairs, split_sentences
from minibert.training.tasks import (
    Distillation,
    Example,
    Labels,
    MaskedWords,
    accuracy,
    held_out_losses,
    pair,
    predict,
    single,
)

VOCABULARY = "minilm-l6"  # BERT's uncased WordPiece vocabulary, for models that bring none
RECORD = "run.json"
LABELS = ("negative", "positive")

# ------------------------------------------------------------------------------------------- what runs share


def say(text: str) -> None:
    """Print a line, from the first process only."""
    if loop.Processes.is_first():
        print(text, flush=True)


def begin(args: Namespace, command: str) -> dict[str, Any] | None:
    """Make the run's folder; the record of a run that is done, or None when there is something to do.

    Raises MinibertError when the folder holds something else.
    """
    out = Path(args.out)
    options = {name: value for name, value in vars(args).items() if name not in ("out", "device", "restart")}
    options["command"] = command
    described = out / "options.json"
    try:
        if args.restart and described.exists():
            shutil.rmtree(out)
        out.mkdir(parents=True, exist_ok=True)
        if described.exists():
            before = json.loads(described.read_text(encoding="utf-8"))
            other = sorted(name for name in {*before, *options} if before.get(name) != options.get(name))
            if other:
                raise MinibertError(
                    f"{out} holds a run with {other[0]} {before.get(other[0])!r}, not {options.get(other[0])!r}: "
                    "choose another --out, or --restart to throw it away."
                )
        elif any(out.iterdir()):
            raise MinibertError(f"{out} is not empty and holds no run of this command: choose another --out.")
        elif loop.Processes.is_first():
            write_json(described, options)
        if (out / RECORD).exists():
            return json.loads((out / RECORD).read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError) as problem:
        raise MinibertError(f"{out} cannot be used for a run ({problem}): choose another --out.") from None
    return None


def finish(out: str | Path, model: nn.Module, tokenizer: Tokenizer, record: dict[str, Any]) -> dict[str, Any]:
    """Write the checkpoint and the record of what was found, and drop what was only needed to go on."""
    out = Path(out)
    if loop.Processes.is_first():
        save_pretrained(out, model.cpu(), tokenizer)
        write_json(out / RECORD, record)
        (out / loop.STATE).unlink(missing_ok=True)
    return record


def write_json(path: Path, content: Any) -> None:
    text = json.dumps(content, indent=2) + "\n"
    write_atomically(path, lambda scratch: scratch.write_text(text, encoding="utf-8"))


def load_texts(args: Namespace) -> tuple[list[Review], list[Review], list[Review]]:
    """Training, validation and test texts: the reviews, or a user's file, split in the same way."""
    if args.data is None:
        reviews = load_reviews(args.source)
    else:
        reviews = split_texts(user_texts(args.data))
    for name in ("train", "validation", "test"):
        if not getattr(reviews, name):
            raise MinibertError(f"{args.data} is too small: no text is left for {name}; give at least some dozens.")
    return reviews.train[: args.texts], reviews.validation[: args.held_out], reviews.test


def tokenizer_of(source: str) -> Tokenizer:
    """The tokenizer that belongs to a model: a preset gets BERT's uncased vocabulary."""
    return load_tokenizer(VOCABULARY if source in PRESETS and source != VOCABULARY else source)


def settings_of(args: Namespace, steps: int, **recipe: Any) -> Settings:
    return Settings(
        steps=steps,
        batch_size=args.batch_size,
        accumulation=args.accumulation,
        learning_rate=args.learning_rate,
        seed=args.seed,
        save_every=args.save_every,
        **recipe,
    )


def steps_of(args: Namespace, texts: int) -> int:
    """--steps, or as many as --epochs passes over the texts take."""
    return args.steps or max(1, round(args.epochs * max(texts // args.batch_size, 1)))


def shown(record: dict[str, Any]) -> dict[str, Any]:
    """Print what a run found; returns it."""
    for name, value in record.items():
        say(f"  {name.replace('_', ' '):<18} {_in_words(value)}")
    return record


def _in_words(value: Any) -> str:
    if isinstance(value, dict) and {"low", "high"} <= value.keys():
        middle = next(number for name, number in value.items() if name not in ("low", "high"))
        return f"{middle:.1%}  (95% interval {value['low']:.1%} to {value['high']:.1%})"
    if isinstance(value, dict):
        return ", ".join(f"{name} {_in_words(part)}" for name, part in value.items())
    return f"{value:.3f}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)


# --------------------------------------------------------------------------------------------------- pretrain

OBJECTIVES = ("mlm", "mlm+nsp", "mlm+sop", "full-sentences")


def examples_for(
    objective: str, texts: Sequence[Review], tokenizer: Tokenizer, max_length: int, seed: int
) -> list[Example]:
    """The rows that an objective reads: single texts, sentence pairs, or packed sentences."""
    if objective == "mlm":
        return [single(tokenizer.ids(review.text), tokenizer, max_length) for review in texts]
    documents = [[tokenizer.ids(sentence) for sentence in split_sentences(review.text)] for review in texts]
    if objective == "full-sentences":
        return [single(row, tokenizer, max_length) for row in full_sentences(documents, max_length, tokenizer.sep_id)]
    make = {"mlm+nsp": nsp_pairs, "mlm+sop": sop_pairs}.get(objective)
    if make is None:
        raise MinibertError(f"there is no objective {objective!r}: choose one of {', '.join(OBJECTIVES)}.")
    return [pair(p.first, p.second, tokenizer, p.label) for p in make(documents, max_length, random.Random(seed))]


def pretrain(args: Namespace) -> dict[str, Any]:
    """Train a fresh model, or one from a folder, to guess masked words, with or without sentence pairs."""
    if (record := begin(args, "pretrain")) is not None:
        return shown(record)
    tokenizer = tokenizer_of(args.model)
    paired = args.objective in ("mlm+nsp", "mlm+sop")
    model = model_for(args.model, "pretraining" if paired else "masked-lm", tokenizer, args.seed)
    check_length(args, model)
    texts, held_out, _ = load_texts(args)
    say(f"tokenising {len(texts):,} texts ...")
    task, held_out_task = (
        MaskedWords(
            examples_for(args.objective, some, tokenizer, args.max_length, args.seed),
            tokenizer,
            args.masking,
            args.static,
            paired,
        )
        for some in (texts, held_out)
    )
    settings = settings_of(
        args, steps_of(args, len(task.examples)), betas=(0.9, 0.98), validate_every=args.validate_every
    )
    before = held_out_losses(model, held_out_task)
    log = train(
        model,
        task,
        [len(example.ids) for example in task.examples],
        settings,
        args.out,
        device=loop.pick_device(args.device),
        validate=lambda model: named_held_out(held_out_losses(model, held_out_task)),
        title="pretrain",
    )
    after = {name: log[-1][f"held_out_{name}"] for name in before}
    record = {
        "command": "pretrain",
        "parameters": count_parameters(model),
        "steps": settings.steps,
        "tokens": sum(entry["tokens"] for entry in log),
        "held_out_before": before,
        "held_out_after": after,
    }
    return shown(finish(args.out, model, tokenizer, record))


def named_held_out(losses: dict[str, float]) -> dict[str, float]:
    return {f"held_out_{name}": value for name, value in losses.items()}


def model_for(source: str, head: str, tokenizer: Tokenizer, seed: int) -> nn.Module:
    """A fresh model of a preset, with as many word embeddings as the tokenizer has pieces, or a checkpoint."""
    if source in PRESETS and source != VOCABULARY:
        return build(replace(PRESETS[source], vocab_size=tokenizer.vocab_size), head, seed)
    torch.manual_seed(seed)  # for a head that the checkpoint lacks
    model = from_pretrained(source, head)
    if model.config.vocab_size != tokenizer.vocab_size:
        raise MinibertError(
            f"{source} has {model.config.vocab_size} word embeddings but its tokenizer {tokenizer.vocab_size} pieces: "
            "they do not belong together."
        )
    return model


def check_length(args: Namespace, model: nn.Module) -> None:
    if not 8 <= args.max_length <= model.config.max_length:
        raise MinibertError(
            f"--max-length is {args.max_length}; it must lie between 8 and the model's {model.config.max_length}."
        )


# ---------------------------------------------------------------------------------------------------- distill

INITS = ("alternate", "released", "first", "last", "random")


def chosen_layers(init: str, depth: int, layers: int | None) -> list[int]:
    """The teacher's layers that a name of INITS stands for. layers: how many; by default half of them."""
    wanted = len(alternate_layers(depth)) if layers is None else layers
    if not 1 <= wanted <= depth:
        raise MinibertError(f"a student of {wanted} layers cannot be cut from a teacher of {depth}.")
    if init == "released":
        if (depth, wanted) != (12, 6):
            raise MinibertError(f"the released choice is 6 of 12 layers; this is {wanted} of {depth}: use alternate.")
        return list(RELEASED_LAYERS)
    if init == "last":
        return list(range(depth - wanted, depth))
    if init == "alternate":
        return [depth * i // wanted for i in range(wanted)]
    return list(range(wanted))  # first; random takes its shape from these


def make_student(teacher: nn.Module, init: str, layers: Sequence[int], seed: int) -> nn.Module:
    """A student of the teacher's chosen layers, or of the same shape with random weights."""
    student = student_from_teacher(teacher, layers)
    if init != "random":
        return student
    return build(student.config, "masked-lm" if isinstance(student, MaskedLM) else None, seed)


def distill(args: Namespace) -> dict[str, Any]:
    """Train a half-depth student to do as its teacher does on masked words."""
    if (record := begin(args, "distill")) is not None:
        return shown(record)
    tokenizer = tokenizer_of(args.teacher)
    device = loop.pick_device(args.device)
    texts, held_out_texts, _ = load_texts(args)
    teacher = teacher_with_head(args, tokenizer, texts, device)
    check_length(args, teacher)
    layers = args.layers or chosen_layers(args.init, len(teacher.backbone.encoder.order), args.depth)
    student = make_student(teacher, args.init, layers, args.seed)
    say(
        f"teacher: {count_parameters(teacher):,} parameters; student: {count_parameters(student):,}, "
        + (f"from random weights, {len(layers)} layers" if args.init == "random" else f"from layers {layers}")
    )
    task, held_out_task = (
        Distillation(
            [single(tokenizer.ids(review.text), tokenizer, args.max_length) for review in some],
            tokenizer,
            teacher.to(device),
            tuple(args.weights),
            args.temperature,
            args.soft_targets,
            args.masking,
        )
        for some in (texts, held_out_texts)
    )
    settings = settings_of(args, steps_of(args, len(texts)), betas=(0.9, 0.98), clip=5.0, warmup=0.05)
    before = held_out_losses(student.to(device), held_out_task)
    log = train(
        student,
        task,
        [len(example.ids) for example in task.examples],
        settings,
        args.out,
        device=device,
        validate=lambda model: named_held_out(held_out_losses(model, held_out_task)),
        title="distill",
    )
    record = {
        "command": "distill",
        "teacher": args.teacher,
        "layers": None if args.init == "random" else list(layers),
        "parameters": {"teacher": count_parameters(teacher), "student": count_parameters(student)},
        "steps": settings.steps,
        "held_out_before": before,
        "held_out_after": {name: log[-1][f"held_out_{name}"] for name in before},
    }
    return shown(finish(args.out, student, tokenizer, record))


def teacher_with_head(
    args: Namespace, tokenizer: Tokenizer, texts: Sequence[Review], device: torch.device
) -> nn.Module:
    """The teacher with a masked-lm head; where it brings none (MiniLM), the head is trained first, on it as it is."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        teacher = model_for(args.teacher, "masked-lm", tokenizer, args.seed)
    if not caught:
        return teacher
    say(f"{args.teacher} has no masked-lm head: training one for {args.head_steps} steps, the rest of it frozen")
    teacher.backbone.requires_grad_(False)
    task = MaskedWords([single(tokenizer.ids(r.text), tokenizer, args.max_length) for r in texts], tokenizer)
    train(
        teacher,
        task,
        [len(example.ids) for example in task.examples],
        Settings(steps=args.head_steps, batch_size=args.batch_size, learning_rate=1e-3, seed=args.seed),
        Path(args.out) / "teacher-head",
        device=device,
        title="teacher's head",
    )
    return teacher


# --------------------------------------------------------------------------------------------------- finetune


def finetune(args: Namespace) -> dict[str, Any]:
    """Train a model to tell positive from negative texts; with its teacher beside it, say what it retained."""
    if (record := begin(args, "finetune")) is not None:
        return shown(record)
    out, device = Path(args.out), loop.pick_device(args.device)
    tokenizer = tokenizer_of(args.model)
    teacher_source = args.compare or teacher_of(args.model)
    texts, validation, test = load_texts(args)
    if any(review.label is None for review in [*texts, *validation, *test]):
        raise MinibertError(
            f"{args.data} has no column label: fine-tuning needs labels (0 or 1, negative or positive)."
        )
    data = [
        [single(tokenizer.ids(r.text), tokenizer, args.max_length, r.label) for r in some]
        for some in (texts, validation, test[: args.test_texts])
    ]
    record: dict[str, Any] = {"command": "finetune", "model": args.model, "test_texts": len(data[2])}
    teacher, verdicts = None, {}
    if teacher_source is not None:
        teacher, verdicts["teacher"] = classifier(args, teacher_source, data, tokenizer, out / "teacher", device)
    distilled = teacher if args.distill else None
    model, verdicts["model"] = classifier(args, args.model, data, tokenizer, out, device, distilled)
    for name, right in verdicts.items():
        record[name if name == "teacher" else "accuracy"] = interval(right)
    if teacher is not None:
        record["teacher_source"] = teacher_source
        record["retention"] = retention(verdicts["model"], verdicts["teacher"], args.seed)
    return shown(finish(out, model, tokenizer, record))


def classifier(
    args: Namespace,
    source: str,
    data: list[list[Example]],
    tokenizer: Tokenizer,
    folder: Path,
    device: torch.device,
    teacher: nn.Module | None = None,
) -> tuple[nn.Module, torch.Tensor]:
    """Fine-tune one model; returns it, and for each test text whether it was right (a boolean)."""
    train_set, validation, test = data
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the classifier is new goes without saying here
        model = with_labels(source, args.seed)
    check_length(args, model)
    task = Labels(train_set, tokenizer, teacher)
    settings = settings_of(args, steps_of(args, len(train_set)))
    train(
        model,
        task,
        [len(example.ids) for example in train_set],
        settings,
        folder,
        device=device,
        validate=lambda model: {"accuracy": accuracy(model, validation, tokenizer.pad_id)},
        title=f"finetune {Path(source).name}",
    )
    truth = torch.tensor([example.label for example in test])
    return model, predict(model, test, tokenizer.pad_id).argmax(dim=-1) == truth


def with_labels(source: str, seed: int) -> nn.Module:
    """A model with a fresh two-class head."""
    torch.manual_seed(seed)
    if source in PRESETS and source != VOCABULARY:
        return build(replace(PRESETS[source], labels=LABELS), "sequence-classification", seed)
    model = from_pretrained(source, "sequence-classification")
    return model


def teacher_of(source: str) -> str | None:
    """The teacher that a distilled checkpoint names, or None."""
    path = Path(source) / RECORD
    if not path.exists():
        return None
    try:
        return json.loads(path.read_text(encoding="utf-8")).get("teacher")
    except (OSError, ValueError) as problem:
        raise MinibertError(
            f"{path} cannot be read ({problem}): remove it, or name the teacher with --compare."
        ) from None


def interval(right: torch.Tensor) -> dict[str, float]:
    """The share of right answers and its 95% interval (Wilson 1927): which values the test texts do not rule out."""
    n, share, z = len(right), float(right.double().mean()), 1.959964
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return {"accuracy": share, "low": centre - half, "high": centre + half}


def retention(student: torch.Tensor, teacher: torch.Tensor, seed: int, draws: int = 2000) -> dict[str, float]:
    """The student's accuracy over the teacher's, and its 95% interval by drawing the test texts again.

    student, teacher: (texts,) booleans, right or wrong, of the same texts: they are drawn together.
    """
    generator = torch.Generator().manual_seed(seed)
    texts = torch.randint(len(student), (draws, len(student)), generator=generator)
    ratios = student.double()[texts].mean(1) / teacher.double()[texts].mean(1)
    low, high = ratios.quantile(torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist()
    return {"retention": float(student.double().mean() / teacher.double().mean()), "low": low, "high": high}
