"""The options of the training commands. Imports nothing heavy, so that --help comes at once."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

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
    "finetune": {"held_out": 200, "texts": 2000, "steps": 60, "max_length": 64, "test_texts": 400},
}


def _common(parser: ArgumentParser, command: str, source: str, epochs: float, learning_rate: float) -> None:
    parser.add_argument("--out", metavar="FOLDER", default=f"runs/{command}", help=f"default: runs/{command}")
    parser.add_argument("--data", metavar="FILE", help="your own .txt (a text a line) or .csv (text, label)")
    parser.add_argument("--source", default=source, help=f"imdb, rotten-tomatoes or both (default: {source})")
    parser.add_argument("--texts", type=int, help="use only so many training texts (default: all)")
    parser.add_argument("--held-out", type=int, default=1000, help="validate on so many texts (default: 1000)")
    parser.add_argument("--epochs", type=float, default=epochs, help=f"passes over the texts (default: {epochs:g})")
    parser.add_argument("--steps", type=int, help="steps, instead of --epochs")
    parser.add_argument("--batch-size", type=int, default=32, help="texts a step (default: 32)")
    parser.add_argument("--accumulation", type=int, default=1, help="cut a step's batch into so many pieces")
    parser.add_argument("--learning-rate", type=float, default=learning_rate, help=f"default: {learning_rate:g}")
    parser.add_argument("--max-length", type=int, default=128, help="tokens a text (default: 128)")
    parser.add_argument("--save-every", type=int, default=200, help="steps between two saves (default: 200)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", help="cpu, cuda, cuda:1 ... (default: a GPU where there is one)")
    parser.add_argument("--quick", action="store_true", help="a lesson-sized run, about a minute on two cores")
    parser.add_argument("--restart", action="store_true", help="throw away what --out holds of an earlier run")


def pretrain_options(parser: ArgumentParser) -> None:
    _common(parser, "pretrain", "both", 1, 5e-4)
    parser.add_argument("--model", default="tiny-bert", help="a preset or a folder (default: tiny-bert)")
    parser.add_argument("--objective", default="mlm", help="mlm, mlm+nsp, mlm+sop or full-sentences (default: mlm)")
    parser.add_argument("--masking", default="tokens", help="tokens, whole-words, ngrams or rarity (default: tokens)")
    parser.add_argument("--static", action="store_true", help="mask a text in the same way each time")
    parser.add_argument("--validate-every", type=int, default=0, help="steps between two validations")


def distill_options(parser: ArgumentParser) -> None:
    _common(parser, "distill", "both", 1, 5e-4)
    parser.add_argument("--teacher", default="minilm-l6", help="a BERT: an asset or a folder (default: minilm-l6)")
    parser.add_argument("--init", default="alternate", help="alternate, released, first, last or random layers")
    parser.add_argument("--depth", type=int, help="how many layers (default: half of the teacher's)")
    parser.add_argument("--layers", type=int, nargs="+", help="these layers of the teacher, instead of --init")
    parser.add_argument(
        "--weights", type=float, nargs=3, default=[5.0, 2.0, 1.0], metavar=("SOFT", "MLM", "COSINE"),
        help="of soft targets, masked words and cosine (default: 5 2 1)",
    )  # fmt: skip
    parser.add_argument("--temperature", type=float, default=2.0, help="of the soft targets (default: 2)")
    parser.add_argument("--soft-targets", default="masked", help="compare at masked tokens, or all (default: masked)")
    parser.add_argument("--masking", default="tokens", help="tokens, whole-words, ngrams or rarity (default: tokens)")
    parser.add_argument("--head-steps", type=int, default=300, help="for a teacher without a head (default: 300)")


def finetune_options(parser: ArgumentParser) -> None:
    _common(parser, "finetune", "rotten-tomatoes", 3, 5e-5)
    parser.add_argument("--model", default="runs/distill", help="preset, asset or folder (default: runs/distill)")
    parser.add_argument("--compare", metavar="TEACHER", help="fine-tune this too and print the retention")
    parser.add_argument("--distill", action="store_true", help="learn from the fine-tuned teacher's opinion as well")
    parser.add_argument("--test-texts", type=int, help="test on so many texts (default: all)")


def made_quick(args: Namespace, command: str, parser: ArgumentParser) -> Namespace:
    """With --quick, the values of QUICK where the user gave none."""
    if args.quick:
        for name, value in QUICK[command].items():
            if getattr(args, name) == parser.get_default(name):
                setattr(args, name, value)
    return args
