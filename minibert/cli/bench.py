"""`minibert bench`: how fast this package is on this machine. What is measured is in experiments/benches.py."""

from __future__ import annotations

import json
from argparse import Namespace
from typing import TYPE_CHECKING, Any

from minibert.cli.options import Commands, add_command, integer, seed
from minibert.errors import MinibertError

if TYPE_CHECKING:
    from minibert.timing import Ratio

BENCHES = (
    "forward",
    "masked-lm",
    "training",
    "padding",
    "generation",
    "tokenizer",
)  # functions of experiments/benches.py
ROUNDS, QUICK_ROUNDS = 9, 3


def add_commands(commands: Commands) -> None:
    parser = add_command(commands, "bench", "how fast this package is on this machine", run_bench)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(BENCHES)} (default: all)")
    parser.add_argument("--quick", action="store_true", help="few rounds: a first impression")
    parser.add_argument(
        "--threads", type=integer(1), metavar="N", help="threads that torch uses (default: torch's own choice)"
    )
    parser.add_argument(
        "--seed", type=seed, metavar="N", default=0, help="for weights, masks and the order of sentences (default: 0)"
    )
    parser.add_argument("--json", action="store_true", help="print as JSON")


def run_bench(args: Namespace) -> None:
    """Run the benches that `args` names and print their figures."""
    for name in args.names:
        if name not in BENCHES:
            raise MinibertError(f"there is no bench {name!r}; the benches are {', '.join(BENCHES)}.")
    import torch

    from minibert.experiments import benches
    from minibert.timing import machine

    if args.threads is not None:
        torch.set_num_threads(args.threads)
    found: dict[str, Any] = {"machine": machine()}
    if not args.json:
        print("; ".join(f"{key} {value}" for key, value in found["machine"].items()))
    for name in args.names or BENCHES:
        bench = getattr(benches, name.replace("-", "_"))
        figures = bench(QUICK_ROUNDS if args.quick else ROUNDS, args.seed)
        found[name] = {label: v._asdict() if isinstance(v, tuple) else v for label, v in figures.items()}
        if not args.json:
            print(f"\n{name}: {bench.__doc__.splitlines()[0]}")
            for label, value in figures.items():
                print(f"  {label:<52} {in_words(value)}", flush=True)
    if args.json:
        print(json.dumps(found, indent=2))


def in_words(value: float | int | Ratio) -> str:
    if isinstance(value, tuple):
        return f"{value.median:.2f}  ({value.low:.2f} to {value.high:.2f})"
    return f"{value:,}" if isinstance(value, int) else f"{value:.3g}"
