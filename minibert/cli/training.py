"""What `minibert pretrain`, `distill` and `finetune` share: their options, what they need, and what they print.

Each has a file of its own here, and leaves a checkpoint folder that every other command can read. The recipes that they
call are in training/recipes.py, and how a stopped run continues is in cli/runs.py.
"""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from minibert.cli.options import integer, positive, seed
from minibert.errors import MinibertError
from minibert.training.choices import MASKINGS, SOURCES

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

# ------------------------------------------------------------------------------------------------------- options


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


def with_defaults(args: Namespace, own: Mapping[str, Any] | None = None) -> Namespace:
    """The options with a value for each that was not given; one that was given is never changed.

    own: values that come before those of DEFAULTS and QUICK.
    """
    values = DEFAULTS[args.command] | (QUICK[args.command] if args.quick else {}) | dict(own or {})
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
