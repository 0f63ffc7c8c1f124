"""`minibert fill`: the words that a model finds likely in the place of a mask."""

from __future__ import annotations

import json
from argparse import Namespace

from minibert.cli.options import Commands, add_command, integer


def add_commands(commands: Commands) -> None:
    parser = add_command(commands, "fill", "the words that a model finds likely in the place of [MASK]", run_fill)
    parser.add_argument("text", metavar="TEXT", help="a text with one [MASK] or more, in quotes")
    parser.add_argument(
        "--model", metavar="SOURCE", default="minilm-l6-mlm",
        help="a checkpoint folder, with the head that predicts words (default: minilm-l6-mlm, which is downloaded)",
    )  # fmt: skip
    parser.add_argument("--top", type=integer(1), metavar="N", default=5, help="words for each mask (default: 5)")
    parser.add_argument("--json", action="store_true", help="print as JSON")


def run_fill(args: Namespace) -> None:
    from minibert.filling import fill

    found = fill(args.text, args.model, args.top)
    print(json.dumps({"model": args.model, **found.data()}, indent=2, ensure_ascii=False) if args.json else found)
