"""`minibert pretrain`, `distill` and `finetune`: their options, what they print, and the recipes that they call.

Each leaves a checkpoint folder that every other command can read. The recipes are in training/recipes.py, and how a
stopped run continues is in cli/runs.py.
"""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from minibert.cli.options import Commands, add_command, integer, not_negative, positive, seed
from minibert.errors import MinibertError
from minibert.training.choices import INITS, MASKINGS, OBJECTIVES, SOFT_TARGETS, SOURCES, VOCAB_SIZE
from minibert.words import counted

if TYPE_CHECKING:
    from torch import nn

    from minibert.cli.runs import Run
    from minibert.tokenizers import Tokenizer
    from minibert.training.data import Review
    from minibert.training.loop import Settings

# The values of options that are not given: without and with --quick, which is enough to see it work, in about a minute
# on two cores.
DEFAULTS: dict[str, dict[str, Any]] = {
    "pretrain": {
        "source": "both",
        "held_out": 1000,
        "epochs": 1,
        "batch_size": 32,
        "learning_rate": 5e-4,
        "max_length": 128,
    },
    "distill": {
        "source": "both",
        "held_out": 1000,
        "epochs": 1,
        "batch_size": 32,
        "learning_rate": 5e-4,
        "max_length": 128,
        "head_steps": 300,
    },
    "finetune": {
        "source": "rotten-tomatoes",
        "held_out": 1000,
        "epochs": 3,
        "batch_size": 32,
        "learning_rate": 5e-5,
        "max_length": 128,
    },
}
QUICK: dict[str, dict[str, Any]] = {
    "pretrain": {
        "texts": 4000,
        "steps": 800,
        "batch_size": 64,
        "learning_rate": 1e-3,  # higher than usual, because there are so few steps
        "max_length": 16,  # with short rows and few words, a small model soon sees more than frequencies
        "held_out": 200,
        "vocab_size": 1500,
    },
    "distill": {
        "source": "rotten-tomatoes",
        "texts": 4000,
        "steps": 100,
        "head_steps": 60,
        "max_length": 64,
        "held_out": 200,
    },
    "finetune": {
        "texts": 2500,
        "steps": 78,  # an epoch
        "learning_rate": 3e-4,  # higher than usual, because there are so few steps
        "max_length": 64,
        "held_out": 200,
        "test_texts": 800,
    },
}

# What is different in `pretrain` for a model with a recipe of its own, without and with --quick: this is how the
# package's minilm-l6-mlm was trained.
OWN: dict[str, dict[str, Any]] = {
    "minilm-l6": {
        "objective": "full-sentences",
        "steps": 3000,
        "learning_rate": 2e-3,  # for a low rank
        "max_length": 64,
        "held_out": 400,
        "rank": 32,
    }
}
OWN_QUICK: dict[str, dict[str, Any]] = {
    "minilm-l6": {"texts": 600, "steps": 60, "batch_size": 32, "held_out": 40},
}


# ------------------------------------------------------------------------------------------------------- options


def add_commands(commands: Commands) -> None:
    add_pretrain(commands)
    add_distill(commands)
    add_finetune(commands)


def add_pretrain(commands: Commands) -> None:
    parser = add_command(commands, "pretrain", "train a model to predict words that it is not shown", run_pretrain)
    add_common_options(parser, "pretrain")
    parser.add_argument(
        "--model", default="tiny-bert",
        help="a preset such as tiny-bert, tiny-distilbert, tiny-albert, tiny-mobilebert, tiny-roberta, tiny-xlnet or "
        "tiny-bart; a folder; or minilm-l6, which has a recipe of its own, that of minilm-l6-mlm (default: tiny-bert)",
    )  # fmt: skip
    parser.add_argument(
        "--objective", choices=OBJECTIVES,
        help="default: full-sentences for RoBERTa and minilm-l6, permutation for XLNet, infilling for BART, mlm for "
        "the others",
    )  # fmt: skip
    parser.add_argument(
        "--tokenizer", metavar="SOURCE", help="for a preset: the folder (or gpt2-bpe) whose vocabulary it reads"
    )
    parser.add_argument(
        "--vocab-size", type=integer(1), metavar="N",
        help="for a preset: learn a vocabulary of N tokens from the texts (default: BERT's own vocabulary for those "
        f"that read WordPiece, {VOCAB_SIZE} for the others, {QUICK['pretrain']['vocab_size']} with --quick)",
    )  # fmt: skip
    add_masking_option(parser)
    parser.add_argument("--static", action="store_true", help="mask a text in the same way each time it is read")
    parser.add_argument(
        "--rank", type=integer(0), metavar="N",
        help="let each matrix learn an update of rank N only, and write it to a small delta.safetensors in --out as "
        "well; 0: all weights learn freely (default: 32 for minilm-l6, 0 for the others)",
    )  # fmt: skip
    parser.add_argument(
        "--validate-every", type=integer(0), default=0, metavar="N", help="validate every N steps (default: at the end)"
    )


def add_distill(commands: Commands) -> None:
    parser = add_command(commands, "distill", "train a student of half the depth to imitate its teacher", run_distill)
    add_common_options(parser, "distill")
    head_steps = DEFAULTS["distill"]["head_steps"]
    parser.add_argument(
        "--teacher", default="minilm-l6-mlm", help="a BERT: a checkpoint folder, or minilm-l6-mlm (the default)"
    )
    parser.add_argument(
        "--init", choices=INITS, default="alternate",
        help="which of the teacher's layers the student starts from (default: alternate)",
    )  # fmt: skip
    parser.add_argument("--depth", type=integer(1), metavar="N", help="the student's layers (default: half of them)")
    parser.add_argument(
        "--layers", type=int, nargs="+", metavar="N", help="start from these layers, counted from 0, instead of --init"
    )
    parser.add_argument(
        "--fold-types", action="store_true", help="add the teacher's vector of token type 0 to the student's positions"
    )
    parser.add_argument(
        "--weights", type=not_negative, nargs=3, default=[5.0, 2.0, 1.0], metavar=("SOFT", "MLM", "COSINE"),
        help="weights of soft targets, masked words and cosine in the loss (default: 5 2 1)",
    )  # fmt: skip
    parser.add_argument("--temperature", type=positive, default=2.0, help="of the soft targets (default: 2)")
    parser.add_argument(
        "--soft-targets", choices=SOFT_TARGETS, default="masked",
        help="which tokens have soft targets (default: masked)",
    )  # fmt: skip
    add_masking_option(parser)
    parser.add_argument(
        "--head-steps", type=integer(1), metavar="N",
        help=f"training steps of the masked-LM head, for a teacher that has none (default: {head_steps})",
    )  # fmt: skip


def add_finetune(commands: Commands) -> None:
    parser = add_command(commands, "finetune", "train a model to tell positive from negative texts", run_finetune)
    add_common_options(parser, "finetune")
    parser.add_argument(
        "--model", default="runs/distill", help="a preset, minilm-l6 or a folder (default: runs/distill)"
    )
    parser.add_argument("--compare", metavar="TEACHER", help="fine-tune this model too and print the retention")
    parser.add_argument("--distill", action="store_true", help="learn from the fine-tuned teacher's answers as well")
    parser.add_argument("--test-texts", type=integer(1), metavar="N", help="test on N texts (default: all)")


def add_common_options(parser: ArgumentParser, command: str) -> None:
    """The options of all training commands. Those in DEFAULTS and QUICK are None when they are not given."""
    defaults = DEFAULTS[command]
    count = integer(1)
    parser.add_argument("--out", metavar="FOLDER", default=f"runs/{command}", help=f"default: runs/{command}")
    parser.add_argument("--data", metavar="FILE", help="your own .txt (one text per line), .csv or .tsv (text, label)")
    parser.add_argument("--source", choices=SOURCES, help=f"which reviews to read (default: {defaults['source']})")
    parser.add_argument("--texts", type=count, metavar="N", help="train on N texts (default: all)")
    parser.add_argument(
        "--held-out", type=count, metavar="N", help=f"validate on N texts (default: {defaults['held_out']})"
    )
    parser.add_argument(
        "--epochs", type=positive, metavar="N", help=f"passes over the texts (default: {defaults['epochs']})"
    )
    parser.add_argument("--steps", type=count, metavar="N", help="training steps, instead of --epochs")
    parser.add_argument(
        "--batch-size", type=count, metavar="N", help=f"texts per step (default: {defaults['batch_size']})"
    )
    parser.add_argument(
        "--accumulation", type=count, metavar="N", default=1,
        help="micro-batches per step (gradient accumulation), to save memory (default: 1)",
    )  # fmt: skip
    parser.add_argument(
        "--learning-rate", type=positive, metavar="RATE", help=f"default: {defaults['learning_rate']:g}"
    )
    parser.add_argument(
        "--max-length", type=count, metavar="N",
        help=f"tokens per text, the rest is truncated (default: {defaults['max_length']})",
    )  # fmt: skip
    parser.add_argument("--save-every", type=count, metavar="N", default=200, help="save every N steps (default: 200)")
    parser.add_argument("--seed", type=seed, metavar="N", default=0, help="for everything that is random (default: 0)")
    parser.add_argument("--device", help="cpu, cuda, cuda:1 ... (default: a GPU if there is one)")
    parser.add_argument("--quick", action="store_true", help="a small run, about a minute on two cores")
    parser.add_argument("--restart", action="store_true", help="delete what --out holds from an earlier run")


def add_masking_option(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--masking", choices=MASKINGS, default="tokens", help="how masked words are chosen (default: tokens)"
    )


def with_defaults(args: Namespace) -> Namespace:
    """The options with a value for each that was not given; one that was given is never changed."""
    values = DEFAULTS[args.command] | (QUICK[args.command] if args.quick else {})
    if args.command == "pretrain":
        values |= OWN.get(args.model, {}) | (OWN_QUICK.get(args.model, {}) if args.quick else {})
    if args.epochs is not None:
        values.pop("steps", None)
    missing = {name: value for name, value in values.items() if getattr(args, name) is None}
    return Namespace(**{**vars(args), **missing})


# -------------------------------------------------------------------------------------------- what they all need


def described(args: Namespace) -> dict[str, Any]:
    """The options that decide what the run computes, as JSON holds them."""
    options = {name: value for name, value in vars(args).items() if name not in ("out", "device", "restart", "run")}
    return json.loads(json.dumps(options))


def run_of(args: Namespace) -> Run:
    from minibert.cli.runs import Run

    return Run(args.out, described(args), args.device, args.restart)


def load_texts(args: Namespace) -> tuple[list[Review], list[Review], list[Review]]:
    """As many training, validation and test texts as the options say."""
    from minibert.training import recipes

    reviews = recipes.load_texts(args.source, args.data)
    tested = getattr(args, "test_texts", None)
    return reviews.train[: args.texts], reviews.validation[: args.held_out], reviews.test[:tested]


def settings_of(args: Namespace, examples: int, **recipe: Any) -> Settings:
    """The settings of the training loop. examples: how many there are to train on."""
    from minibert.training import recipes
    from minibert.training.loop import Settings

    return Settings(
        steps=args.steps or recipes.steps_of(args.epochs, examples, args.batch_size),
        batch_size=args.batch_size,
        accumulation=args.accumulation,
        learning_rate=args.learning_rate,
        seed=args.seed,
        save_every=args.save_every,
        **recipe,
    )


def check_length(args: Namespace, model: nn.Module) -> None:
    """Raise MinibertError when the model cannot read texts of --max-length tokens."""
    longest = model.config.max_length
    if args.max_length < 8 or (longest is not None and args.max_length > longest):
        allowed = "at least 8" if longest is None else f"from 8 to {longest}"
        raise MinibertError(f"--max-length is {args.max_length}; for this model it must be {allowed}.")


def show(record: dict[str, Any]) -> None:
    """Print the record of a run, and what follows from it."""
    from minibert.cli.runs import print_once

    for name, value in record.items():
        if value is not None:
            print_once(f"  {name.replace('_', ' '):<16}  {in_words(value)}")
    for name, baseline in record.get("by_frequency", {}).items():
        print_once(against_frequencies(PREDICTED[name], record["held_out_after"][name], baseline))


# What a term of the loss predicts.
PREDICTED = {"masked_lm": "masked word", "permutation_lm": "predicted word", "infilling": "written token"}


def against_frequencies(what: str, loss: float, baseline: float) -> str:
    """What the model has learned beyond the frequencies of words, as a sentence. loss, baseline: held out, in nats."""
    gained = baseline - loss
    if gained <= 0:
        verdict = f"the model is {-gained:.2f} nats above them, so it has to be trained for longer"
    else:
        verdict = f"the model is {gained:.2f} nats below them"
    return (
        f"Held out, a {what} costs {loss:.2f} nats; word frequencies alone, counted in the training texts, give "
        f"{baseline:.2f}: {verdict}."
    )


def in_words(value: Any) -> str:
    if isinstance(value, dict) and {"low", "high"} <= value.keys():
        middle = next(number for name, number in value.items() if name not in ("low", "high"))
        return f"{middle:.1%}  (95% interval {value['low']:.1%} to {value['high']:.1%})"
    if isinstance(value, dict):
        return ", ".join(f"{name.replace('_', ' ')} {in_words(part)}" for name, part in value.items())
    return f"{value:.3f}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)


# -------------------------------------------------------------------------------------------------- the commands


def run_pretrain(args: Namespace) -> None:
    """Train a fresh model, or one from a folder, to predict words, in the way of its family or another that it can."""
    from minibert.cli.runs import print_once
    from minibert.factory import count_parameters
    from minibert.training import low_rank, recipes
    from minibert.training.tasks import loss_by_frequency

    args = with_recipe(args)
    run = run_of(args)
    if (record := run.finished()) is not None:
        return show(record)
    recipe = recipes.RECIPES[args.objective]
    splits = load_texts(args)
    tokenizer, learned = tokenizer_for(run, args.tokenizer or args.model, splits[0], args.vocab_size)
    model, fresh = recipes.loaded_for(args.model, recipe.head, tokenizer, args.seed)
    check_length(args, model)
    print_once(f"tokenising {counted(len(splits[0]), 'text')} ...")
    task, held_out_task = (
        recipe.task(args.objective, some, tokenizer, args.max_length, args.seed, args.masking, args.static)
        for some in splits[:2]
    )
    settings = settings_of(args, len(task.examples), validate_every=args.validate_every, **recipes.PRETRAINING)
    if "lm" in fresh:
        recipes.start_from_frequencies(model, task)
    parameters = count_parameters(model)
    before = low_rank.add_updates(model, args.rank) if args.rank else {}
    run.start(learned)
    by_frequency = {next(iter(task.weights)): loss_by_frequency(task, held_out_task)}
    found = recipes.train_and_compare(model, task, held_out_task, settings, run.folder, run.device, "pretrain")
    if args.rank:
        low_rank.save_delta(run.folder, model.cpu(), before)
        low_rank.merge(model)
    record = {"command": "pretrain", "parameters": parameters, **found, "by_frequency": by_frequency}
    show(run.finish(model, tokenizer, record))


def with_recipe(args: Namespace) -> Namespace:
    """The options of `pretrain`, with the objective of the model's family if none was given.

    Raises MinibertError for options that mean nothing for this model.
    """
    from minibert.training import recipes

    objective = recipes.objective_for(args.model, args.objective or OWN.get(args.model, {}).get("objective"))
    for name in ("masking", "static"):
        if not recipes.RECIPES[objective].masks and getattr(args, name) not in ("tokens", False):
            raise MinibertError(f"--{name} says how words are masked, and {objective} masks none: leave it out.")
    has_its_own = recipes.preset_of(args.model) is None
    for name in ("tokenizer", "vocab_size"):
        if has_its_own and getattr(args, name) is not None:
            raise MinibertError(f"{args.model} has a vocabulary of its own: leave out --{name.replace('_', '-')}.")
    if args.tokenizer is not None and args.vocab_size is not None:
        raise MinibertError("--tokenizer reads a vocabulary and --vocab-size learns one: give one of the two.")
    args = with_defaults(args)
    read = has_its_own or args.tokenizer is not None
    return Namespace(**{**vars(args), "objective": objective, "vocab_size": None if read else args.vocab_size})


def tokenizer_for(
    run: Run, source: str, texts: Sequence[Review], size: int | None = None
) -> tuple[Tokenizer, Tokenizer | None]:
    """The tokenizer of `recipes.tokenizer_of`, and the same again if it was learned, for `Run.start`, or None."""
    from minibert.cli.runs import print_once
    from minibert.training import recipes

    if not recipes.learns_vocabulary(source, size):
        return recipes.tokenizer_of(source), None
    learned = run.vocabulary(lambda: recipes.tokenizer_of(source, texts, size))
    if size is not None and learned.vocab_size < size:
        print_once(f"the vocabulary has {learned.vocab_size:,} tokens, not {size:,}: the texts give no more.")
    return learned, learned


def run_distill(args: Namespace) -> None:
    """Train a student of some of a teacher's layers to imitate it; a teacher without a masked-LM head gets one."""
    from minibert.cli.runs import print_once
    from minibert.factory import count_parameters
    from minibert.training import recipes
    from minibert.training.distillation import chosen_layers, make_student
    from minibert.training.tasks import Distillation

    args = with_defaults(args)
    run = run_of(args)
    if (record := run.finished()) is not None:
        return show(record)
    splits = load_texts(args)
    tokenizer, learned = tokenizer_for(run, args.teacher, splits[0])
    teacher, head_is_fresh = recipes.teacher_with_head(args.teacher, tokenizer, args.seed)
    check_length(args, teacher)
    layers = args.layers or chosen_layers(args.init, teacher.config.num_hidden_layers, args.depth)
    make_student(teacher, args.init, layers, args.seed)  # to know that it can be made before anything is trained
    run.start(learned)
    examples, held_out = (recipes.single_texts(some, tokenizer, args.max_length) for some in splits[:2])
    if head_is_fresh:
        print_once(
            f"{args.teacher} has no masked-lm head: training one for {counted(args.head_steps, 'step')}, "
            "with the rest frozen"
        )
        recipes.train_head(
            teacher, examples, tokenizer, args.head_steps, args.batch_size, args.seed,
            run.folder / "teacher-head", run.device,
        )  # fmt: skip
    student = make_student(teacher, args.init, layers, args.seed, args.fold_types)
    print_once(
        f"teacher: {count_parameters(teacher):,} parameters; student: {count_parameters(student):,}, "
        + (
            f"from random weights, {counted(len(layers), 'layer')}"
            if args.init == "random"
            else f"from layers {layers}"
        )
    )
    task, held_out_task = (
        Distillation(
            some,
            tokenizer,
            teacher.to(run.device),
            tuple(args.weights),
            args.temperature,
            args.soft_targets,
            args.masking,
        )
        for some in (examples, held_out)
    )
    settings = settings_of(args, len(examples), **recipes.DISTILLING)
    found = recipes.train_and_compare(student, task, held_out_task, settings, run.folder, run.device, "distill")
    record = {
        "command": "distill",
        "teacher": args.teacher,
        "layers": None if args.init == "random" else list(layers),
        "parameters": {"teacher": count_parameters(teacher), "student": count_parameters(student)},
        **found,
    }
    show(run.finish(student, tokenizer, record))


def run_finetune(args: Namespace) -> None:
    """Train a model to tell positive from negative texts; if it has a teacher, train that too and compare them."""
    from minibert.cli.runs import teacher_of
    from minibert.experiments import statistics
    from minibert.training import recipes

    args = with_defaults(args)
    run = run_of(args)
    if (record := run.finished()) is not None:
        return show(record)
    splits = load_texts(args)
    tokenizer, learned = tokenizer_for(run, args.model, splits[0])
    teacher_source = args.compare or teacher_of(args.model)
    check_teacher(args, teacher_source, tokenizer, splits[0])
    for source in filter(None, (args.model, teacher_source)):
        check_length(args, recipes.classifier_for(source, tokenizer, args.seed))
    if any(review.label is None for split in splits for review in split):
        raise MinibertError(
            f"{args.data} has no labels, and fine-tuning needs them: give a .csv with the columns text and label "
            "(0 or 1, negative or positive)."
        )
    run.start(learned)
    examples, validation, test = (recipes.single_texts(split, tokenizer, args.max_length) for split in splits)
    settings = settings_of(args, len(examples))
    record: dict[str, Any] = {"command": "finetune", "model": args.model, "test_texts": len(test)}
    teacher, right = None, {}
    if teacher_source is not None:
        teacher = recipes.fine_tune(
            teacher_source, examples, validation, tokenizer, settings, run.folder / "teacher", run.device
        )
        right["teacher"] = recipes.right_answers(teacher, test, tokenizer)
    model = recipes.fine_tune(
        args.model, examples, validation, tokenizer, settings, run.folder, run.device, teacher if args.distill else None
    )
    right["model"] = recipes.right_answers(model, test, tokenizer)
    record["accuracy"] = statistics.share_right(right["model"]).named("accuracy")
    if teacher is not None:
        record |= {
            "teacher": teacher_source,
            "teacher_accuracy": statistics.share_right(right["teacher"]).named("accuracy"),
        }
        if right["teacher"].any():
            record["retention"] = statistics.share_kept(right["model"], right["teacher"]).named("retention")
    show(run.finish(model, tokenizer, record))


def check_teacher(args: Namespace, teacher: str | None, tokenizer: Tokenizer, texts: Sequence[Review]) -> None:
    """Raise MinibertError when --distill has no teacher, or the teacher reads other tokens than the model."""
    from minibert.training.recipes import tokenizer_of

    if teacher is None and args.distill:
        raise MinibertError(f"{args.model} names no teacher to learn from: give one with --compare.")
    if teacher not in (None, args.model) and tokenizer_of(teacher, texts).vocabulary != tokenizer.vocabulary:
        raise MinibertError(
            f"{args.model} and its teacher {teacher} have different vocabularies, but must read the same tokens: "
            "name another teacher with --compare."
        )
