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
from minibert.cli.training_options import INITS, OBJECTIVES
from minibert.errors import MinibertError
from minibert.factory import build, count_parameters
from minibert.files import write_json
from minibert.heads import MaskedLM
from minibert.models import PRESETS
from minibert.tokenizers import load_tokenizer
from minibert.tokenizers.base import Tokenizer
from minibert.training import loop
from minibert.training.data import Review, load_reviews, split_texts, user_texts
from minibert.training.distillation import RELEASED_LAYERS, alternate_layers, student_from_teacher
from minibert.training.loop import Settings, train
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
OPTIONS, RECORD = "options.json", "run.json"
LABELS = ("negative", "positive")

# ------------------------------------------------------------------------------------------- what runs share


def say(text: str) -> None:
    """Print a line, from the first process only."""
    if loop.Processes.is_first():
        print(text, flush=True)


def finished(args: Namespace, command: str) -> dict[str, Any] | None:
    """The record of this run when it is done; None when there is something to do. Writes nothing.

    Under torchrun the first process looks, and all go by what it found. Raises MinibertError when the folder holds
    something else.
    """
    processes = loop.Processes(loop.pick_device(args.device))
    return processes.from_first(lambda: _finished(Path(args.out), described(args, command), args.restart))


def described(args: Namespace, command: str) -> dict[str, Any]:
    """The options that make the run what it is."""
    options = {name: value for name, value in vars(args).items() if name not in ("out", "device", "restart")}
    return json.loads(json.dumps({"command": command, **options}))


def _finished(out: Path, options: dict[str, Any], restart: bool) -> dict[str, Any] | None:
    sources = [options[name] for name in ("model", "teacher", "compare") if options.get(name)]
    if out.resolve() in [Path(source).resolve() for source in sources]:
        raise MinibertError(f"--out is {out}, which is read as a model here too: choose another --out.")
    try:
        if not out.exists() or {path.name for path in out.iterdir()} <= {OPTIONS}:
            return None  # a run that has not saved anything binds nobody
        if not (out / OPTIONS).exists():
            raise MinibertError(f"{out} is not empty and holds no run of this command: choose another --out.")
        before = json.loads((out / OPTIONS).read_text(encoding="utf-8"))
        if before.get("command") != options["command"]:
            raise MinibertError(f"{out} holds a run of {before.get('command')}: choose another --out.")
        if restart:
            return None
        other = [name for name in {**options, **before} if before.get(name) != options.get(name)]
        if other:
            name = other[0]
            raise MinibertError(
                f"{out} holds a run with --{name.replace('_', '-')} {before.get(name)}, not {options.get(name)}: "
                "choose another --out, or --restart to throw it away."
            )
        if (out / RECORD).exists():
            say(f"done already; {out} holds (--restart runs it again):")
            return json.loads((out / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError) as problem:
        if isinstance(problem, MinibertError):
            raise
        raise MinibertError(f"{out} cannot be used for a run ({problem}): choose another --out.") from None
    return None


def start(args: Namespace, command: str) -> None:
    """Make the run's folder, now that all that could be wrong with the options has been looked at."""
    processes = loop.Processes(loop.pick_device(args.device))
    processes.from_first(lambda: _start(Path(args.out), described(args, command), args.restart))


def _start(out: Path, options: dict[str, Any], restart: bool) -> None:
    try:
        if restart and out.exists():
            shutil.rmtree(out)
        out.mkdir(parents=True, exist_ok=True)
        if (out / loop.STATE).exists():
            say(f"going on with the run in {out}")
        write_json(out / OPTIONS, options)
    except OSError as problem:
        raise MinibertError(f"{out} cannot be used for a run ({problem}): choose another --out.") from None


def finish(out: str | Path, model: nn.Module, tokenizer: Tokenizer, record: dict[str, Any]) -> dict[str, Any]:
    """Write the checkpoint and the record of what was found, and drop what was only needed to go on."""
    out = Path(out)
    if loop.Processes.is_first():
        save_pretrained(out, model.cpu(), tokenizer)
        try:
            write_json(out / RECORD, record)
            for state in out.rglob(loop.STATE):  # a teacher's too
                state.unlink()
        except OSError as problem:
            raise MinibertError(
                f"could not write to {out} ({problem}): make room and run the same command again."
            ) from None
        say(f"{out} now holds the model, its log and what was found:")
    return record


def load_texts(args: Namespace) -> tuple[list[Review], list[Review], list[Review]]:
    """Training, validation and test texts: the reviews, or a user's file, split in the same way."""
    if args.data is None:
        reviews = load_reviews(args.source)
    else:
        reviews = split_texts(user_texts(args.data))
    for name in ("train", "validation", "test"):
        if not getattr(reviews, name):
            raise MinibertError(
                f"{args.data} is too small: no different text is left for {name}; give at least some dozens."
            )
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
        if value is not None:
            say(f"  {name.replace('_', ' '):<16}  {_in_words(value)}")
    return record


def _in_words(value: Any) -> str:
    if isinstance(value, dict) and {"low", "high"} <= value.keys():
        middle = next(number for name, number in value.items() if name not in ("low", "high"))
        return f"{middle:.1%}  (95% interval {value['low']:.1%} to {value['high']:.1%})"
    if isinstance(value, dict):
        return ", ".join(f"{name.replace('_', ' ')} {_in_words(part)}" for name, part in value.items())
    return f"{value:.3f}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)


# --------------------------------------------------------------------------------------------------- pretrain


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
    if (record := finished(args, "pretrain")) is not None:
        return shown(record)
    device = loop.pick_device(args.device)
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
    start(args, "pretrain")
    found = train_and_compare(model, task, held_out_task, settings, args.out, device, "pretrain")
    record = {"command": "pretrain", "parameters": count_parameters(model), **found}
    return shown(finish(args.out, model, tokenizer, record))


def train_and_compare(
    model: nn.Module,
    task: MaskedWords,
    held_out_task: MaskedWords,
    settings: Settings,
    folder: str | Path,
    device: torch.device,
    title: str,
) -> dict[str, Any]:
    """Train on one task, and hold the losses on another against it: before, as often as the settings say, and after."""

    def held_out(model: nn.Module) -> dict[str, float]:
        return held_out_losses(model, held_out_task)

    before = loop.validated(model.to(device), held_out)
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


def chosen_layers(init: str, depth: int, layers: int | None) -> list[int]:
    """The teacher's layers that a name of INITS stands for. layers: how many; by default half of them."""
    if init not in INITS:
        raise MinibertError(f"there is no init {init!r}: choose one of {', '.join(INITS)}.")
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


def make_student(
    teacher: nn.Module, init: str, layers: Sequence[int], seed: int, fold_types: bool = False
) -> nn.Module:
    """A student of the teacher's chosen layers, or of the same shape with random weights."""
    student = student_from_teacher(teacher, layers, fold_types=fold_types)
    if init != "random":
        return student
    return build(student.config, "masked-lm" if isinstance(student, MaskedLM) else None, seed)


def distill(args: Namespace) -> dict[str, Any]:
    """Train a half-depth student to do as its teacher does on masked words."""
    if (record := finished(args, "distill")) is not None:
        return shown(record)
    device = loop.pick_device(args.device)
    tokenizer = tokenizer_of(args.teacher)
    teacher, lacks_head = teacher_with_head(args.teacher, tokenizer, args.seed)
    check_length(args, teacher)
    layers = args.layers or chosen_layers(args.init, len(teacher.backbone.encoder.order), args.depth)
    make_student(teacher, args.init, layers, args.seed)  # to know that it can be made before anything is trained
    texts, held_out_texts, _ = load_texts(args)
    start(args, "distill")
    if lacks_head:
        train_head(teacher, args, tokenizer, texts, device)
    student = make_student(teacher, args.init, layers, args.seed, args.fold_types)
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
    found = train_and_compare(student, task, held_out_task, settings, args.out, device, "distill")
    record = {
        "command": "distill",
        "teacher": args.teacher,
        "layers": None if args.init == "random" else list(layers),
        "parameters": {"teacher": count_parameters(teacher), "student": count_parameters(student)},
        **found,
    }
    return shown(finish(args.out, student, tokenizer, record))


def teacher_with_head(source: str, tokenizer: Tokenizer, seed: int) -> tuple[nn.Module, bool]:
    """The teacher with a masked-lm head, and whether that head is new (MiniLM brings none)."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        teacher = model_for(source, "masked-lm", tokenizer, seed)
    return teacher, any("has no weights for" in str(warning.message) for warning in caught)


def train_head(
    teacher: nn.Module, args: Namespace, tokenizer: Tokenizer, texts: Sequence[Review], device: torch.device
) -> None:
    """Train a new masked-lm head on a teacher, the rest of which stays as it is."""
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


# --------------------------------------------------------------------------------------------------- finetune


def finetune(args: Namespace) -> dict[str, Any]:
    """Train a model to tell positive from negative texts; with its teacher beside it, say what it retained."""
    if (record := finished(args, "finetune")) is not None:
        return shown(record)
    out, device = Path(args.out), loop.pick_device(args.device)
    tokenizer = tokenizer_of(args.model)
    teacher_source = args.compare or teacher_of(args.model)
    if teacher_source is None and args.distill:
        raise MinibertError(f"{args.model} names no teacher to learn from: give one with --compare.")
    if teacher_source is not None and tokenizer_of(teacher_source).vocabulary != tokenizer.vocabulary:
        raise MinibertError(
            f"{args.model} and its teacher {teacher_source} have different vocabularies, but must read the same "
            "tokens: name another teacher with --compare."
        )
    for source in filter(None, (args.model, teacher_source)):
        check_length(args, with_labels(source, tokenizer, args.seed))
    texts, validation, test = load_texts(args)
    if any(review.label is None for review in [*texts, *validation, *test]):
        raise MinibertError(
            f"{args.data} has no labels, and fine-tuning needs them: give a .csv with the columns text and label "
            "(0 or 1, negative or positive)."
        )
    start(args, "finetune")
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
    record["accuracy"] = interval(verdicts["model"])
    if teacher is not None:
        record |= {"teacher": teacher_source, "teacher_accuracy": interval(verdicts["teacher"])}
    if teacher is not None and verdicts["teacher"].any():
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
    model = with_labels(source, tokenizer, args.seed)
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


def with_labels(source: str, tokenizer: Tokenizer, seed: int) -> nn.Module:
    """A model with a two-class head: its own, where a checkpoint brings one, or a fresh one."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the classifier is new goes without saying here
        model = model_for(source, "sequence-classification", tokenizer, seed)
    if model.config.num_labels != len(LABELS):
        raise MinibertError(f"{source} tells {model.config.num_labels} classes apart, and here there are two.")
    model.config = replace(model.config, labels=LABELS)
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
    low, high = ratios[ratios.isfinite()].quantile(torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist()
    return {"retention": float(student.double().mean() / teacher.double().mean()), "low": low, "high": high}
