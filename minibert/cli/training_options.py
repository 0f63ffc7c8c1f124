"""The options of the training commands. Imports nothing heavy, so that --help comes at once."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError, Namespace

SOURCES = ("imdb", "rotten-tomatoes", "both")
OBJECTIVES = ("mlm", "mlm+nsp", "mlm+sop", "full-sentences")
MASKINGS = ("tokens", "whole-words", "ngrams", "rarity")
INITS = ("alternate", "released", "first", "last", "random")

# What --quick changes: enough to see it work, in about a minute on two cores.
QUICK = {
    "pretrain": {"texts": 4000, "steps": 150, "max_length": 64, "held_out": 200},
    "distill": {
        "held_out": 200,
        "source": "rotten-tomatoes",
        "texts": 4000,
        "steps": 80,
        "head_steps": 60,
        "max_length": 64,
    },
    "finetune": {
        "held_out": 200,
        "texts": 2500,
        "steps": 78,  # an epoch
        "learning_rate": 3e-4,  # more than is usual, for so few steps
        "max_length": 64,
        "test_texts": 800,
    },
}


def _count(text: str) -> int:
    """A whole number from 1 on."""
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError(f"{text} is no whole number from 1 on")
    return int(text)


def _positive(text: str) -> float:
    """A number above 0."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise ArgumentTypeError(f"{text} is no number above 0")
    return number


def _common(parser: ArgumentParser, command: str, source: str, epochs: float, learning_rate: float) -> None:
    parser.add_argument("--out", metavar="FOLDER", default=f"runs/{command}", help=f"default: runs/{command}")
    parser.add_argument("--data", metavar="FILE", help="your own .txt (a text a line) or .csv (text, label)")
    parser.add_argument("--source", choices=SOURCES, default=source, help=f"the reviews to read (default: {source})")
    parser.add_argument("--texts", type=_count, help="use only so many training texts (default: all)")
    parser.add_argument("--held-out", type=_count, default=1000, help="validate on so many texts (default: 1000)")
    parser.add_argument("--epochs", type=_positive, default=epochs, help=f"passes over the texts (default: {epochs:g})")
    parser.add_argument("--steps", type=_count, help="steps, instead of --epochs")
    parser.add_argument("--batch-size", type=_count, default=32, help="texts a step (default: 32)")
    parser.add_argument("--accumulation", type=_count, default=1, help="cut a step's batch into so many pieces")
    parser.add_argument("--learning-rate", type=_positive, default=learning_rate, help=f"default: {learning_rate:g}")
    parser.add_argument("--max-length", type=_count, default=128, help="tokens a text (default: 128)")
    parser.add_argument("--save-every", type=_count, default=200, help="steps between two saves (default: 200)")
    parser.add_argument("--seed", type=int, default=0, help="decides all that is random (default: 0)")
    parser.add_argument("--device", help="cpu, cuda, cuda:1 ... (default: a GPU where there is one)")
    parser.add_argument("--quick", action="store_true", help="a lesson-sized run, about a minute on two cores")
    parser.add_argument("--restart", action="store_true", help="throw away what --out holds of an earlier run")


def pretrain_options(parser: ArgumentParser) -> None:
    _common(parser, "pretrain", "both", 1, 5e-4)
    parser.add_argument("--model", default="tiny-bert", help="a preset or a folder (default: tiny-bert)")
    parser.add_argument("--objective", choices=OBJECTIVES, default="mlm", help="default: mlm")
    parser.add_argument("--masking", choices=MASKINGS, default="tokens", help="what is hidden (default: tokens)")
    parser.add_argument("--static", action="store_true", help="mask a text in the same way each time")
    parser.add_argument("--validate-every", type=int, default=0, help="steps between two validations")


def distill_options(parser: ArgumentParser) -> None:
    _common(parser, "distill", "both", 1, 5e-4)
    parser.add_argument("--teacher", default="minilm-l6", help="a BERT: an asset or a folder (default: minilm-l6)")
    parser.add_argument("--init", choices=INITS, default="alternate", help="the layers to begin with")
    parser.add_argument("--depth", type=_count, help="how many layers (default: half of the teacher's)")
    parser.add_argument("--layers", type=int, nargs="+", help="these layers of the teacher, instead of --init")
    parser.add_argument("--fold-types", action="store_true", help="keep the vector of token type 0, in the positions")
    parser.add_argument(
        "--weights", type=float, nargs=3, default=[5.0, 2.0, 1.0], metavar=("SOFT", "MLM", "COSINE"),
        help="of soft targets, masked words and cosine (default: 5 2 1)",
    )  # fmt: skip
    parser.add_argument("--temperature", type=_positive, default=2.0, help="of the soft targets (default: 2)")
    parser.add_argument("--soft-targets", choices=("masked", "all"), default="masked", help="where (default: masked)")
    parser.add_argument("--masking", choices=MASKINGS, default="tokens", help="what is hidden (default: tokens)")
    parser.add_argument("--head-steps", type=_count, default=300, help="for a teacher without a head (default: 300)")


def finetune_options(parser: ArgumentParser) -> None:
    _common(parser, "finetune", "rotten-tomatoes", 3, 5e-5)
    parser.add_argument("--model", default="runs/distill", help="preset, asset or folder (default: runs/distill)")
    parser.add_argument("--compare", metavar="TEACHER", help="fine-tune this too and print the retention")
    parser.add_argument("--distill", action="store_true", help="learn from the fine-tuned teacher's opinion as well")
    parser.add_argument("--test-texts", type=_count, help="test on so many texts (default: all)")


def made_quick(args: Namespace, command: str) -> Namespace:
    """With --quick, the values of QUICK for the options that still have their default."""
    if args.quick:
        parser = ArgumentParser()
        {"pretrain": pretrain_options, "distill": distill_options, "finetune": finetune_options}[command](parser)
        for name, value in QUICK[command].items():
            if getattr(args, name) == parser.get_default(name):
                setattr(args, name, value)
    return args
