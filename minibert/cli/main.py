"""The command line: ``python -m minibert``, also installed as ``minibert``.

Each module of GROUPS adds its commands as subparsers. These modules import nothing heavy before a command runs, so
that ``--help`` appears at once. Without a command, the tour runs.
"""

from __future__ import annotations

import argparse
import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from typing import NoReturn

from minibert.cli import bench, claims, exercises, fetch, fill, hunting, lessons, mine, training
from minibert.cli.options import seed
from minibert.errors import MinibertError, nearest

OK, FAILED, INTERRUPTED, PIPE_CLOSED = 0, 2, 130, 141  # exit statuses; the last two are those that shells use

GROUPS = (claims, fetch, fill, training, lessons, exercises, hunting, mine, bench)  # each has a function add_commands


class Parser(ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Wrong options are bad input like any other: one sentence."""
        raise MinibertError(f"{message}; `{self.prog} --help` lists the options.")


def command_line() -> tuple[Parser, list[str]]:
    """The parser of the whole command line, and the names of the commands."""
    parser = Parser(
        prog="minibert",
        usage="minibert [--figures FOLDER] [--seed N]\n       minibert COMMAND ... (minibert COMMAND --help)",
        description="Without a command, the guided tour: sizes, speeds, and real weights on real reviews.",
    )
    # No defaults here, so that an option of the tour that is given together with a command is noticed.
    parser.add_argument(
        "--figures", dest="tour_figures", metavar="FOLDER", default=argparse.SUPPRESS,
        help="of the tour: where to write its pictures (default: figures)",
    )  # fmt: skip
    parser.add_argument(
        "--seed", dest="tour_seed", metavar="N", type=seed, default=argparse.SUPPRESS,
        help="of the tour: decides which reviews it reads (default: 0)",
    )  # fmt: skip
    commands = parser.add_subparsers(title="commands", dest="command", metavar="COMMAND", prog="minibert")
    for group in GROUPS:
        group.add_commands(commands)
    return parser, list(commands.choices)


def parse(argv: Sequence[str]) -> Namespace:
    """The parsed options, with the function to call as `run`. Raises MinibertError, and names the nearest command."""
    parser, names = command_line()
    if argv and not argv[0].startswith("-") and argv[0] not in names:
        raise MinibertError(f"there is no command {argv[0]!r}; {nearest(argv[0], names)}")
    args, unknown = parser.parse_known_args(argv)
    if unknown:
        program = f"minibert {args.command}" if args.command else "minibert"
        raise MinibertError(f"unknown arguments: {' '.join(unknown)}; `{program} --help` lists the options.")
    tour = {name.removeprefix("tour_"): value for name, value in vars(args).items() if name.startswith("tour_")}
    if args.command is None:
        return Namespace(**{"run": run_tour, "figures": "figures", "seed": 0, **tour})
    if tour:
        raise MinibertError(
            f"--{next(iter(tour))} before a command is for the tour: give the options of {args.command} after its name."
        )
    return args


def run_tour(args: Namespace) -> None:
    from minibert.cli.tour import tour

    tour(args.figures, args.seed)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status: 0 done, 2 a sentence on stderr says what was wrong, 130 interrupted."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal that lacks a character shows ?, and the work continues
    try:
        args = parse(sys.argv[1:] if argv is None else argv)
        args.run(args)
        sys.stdout.flush()  # a closed pipe is noticed here, not after the last line of Python
        return OK
    except MinibertError as error:
        print(f"minibert: {error}", file=sys.stderr)
        return FAILED
    except ModuleNotFoundError as error:
        if (error.name or "minibert").partition(".")[0] == "minibert":
            raise
        print(
            f"minibert: this needs the package {error.name}, which is not installed: run "
            "`pip install -r requirements.txt`, which installs everything that the project uses.", file=sys.stderr,
        )  # fmt: skip
        return FAILED
    except KeyboardInterrupt:
        print("\nminibert: interrupted.", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # `minibert claims | head`: the reader has stopped, which is not an error
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return PIPE_CLOSED


def leave(status: int) -> NoReturn:
    """End this process with that status.

    Processes that trained together skip C++'s clean-up: torch 2.13 does not end the threads of a process group that
    DistributedDataParallel has used, and about one process in a hundred aborts because of them after all its work is
    done. (This concerns `torchrun -m minibert`; the installed command `minibert` runs alone.)
    """
    if "WORLD_SIZE" in os.environ:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    sys.exit(status)
