"""`minibert fetch`: download the real weights, the real reviews and a real vocabulary."""

from __future__ import annotations

from argparse import Namespace

from minibert.cli.options import Commands, add_command
from minibert.pinned import names


def add_commands(commands: Commands) -> None:
    parser = add_command(commands, "fetch", "download the real weights, reviews and vocabulary, checked", run_fetch)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(names())} (default: all)")
    parser.add_argument("--verify", action="store_true", help="compare every file with its checksum")


def run_fetch(args: Namespace) -> None:
    from minibert import assets

    get = assets.verify if args.verify else assets.fetch
    for name in args.names or names():
        print(f"{name}: {get(name)}{' (checked)' if args.verify else ''}")
