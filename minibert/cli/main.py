"""The command line: ``python -m minibert``, also installed as ``minibert``.

Each module of GROUPS adds its commands as subparsers. These modules import nothing heavy before a command runs, so
that ``--help`` appears at once. Without a command, the tour runs.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import os
import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Sequence
from typing import Any, NoReturn

from minibert.cli import bench, claims, distill, exercises, fetch, fill, finetune, hunting, lessons, mine, pretrain
from minibert.cli.options import seed
from minibert.errors import MinibertError, nearest
from minibert.signs import show_signs_of_life

OK, FAILED, INTERRUPTED, PIPE_CLOSED = 0, 2, 130, 141  # exit statuses; the last two are those that shells use

# Each has a function add_commands.
GROUPS = (claims, fetch, fill, pretrain, distill, finetune, lessons, exercises, hunting, mine, bench)


class Parser(ArgumentParser):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.register("type", None, filled)

    def print_help(self, file: Any = None) -> None:
        """As argparse prints it, but what cannot be written is not ignored."""
        print(self.format_help(), end="", file=file)

    def error(self, message: str) -> NoReturn:
        """Wrong options are bad input like any other: one sentence."""
        raise MinibertError(f"{message}; `{self.prog} --help` lists the options.")


def filled(text: str) -> str:
    """The type of every argument without another one. An empty one is refused: as a path it would mean this folder,
    and as an option it would look as if it had not been given."""
    if not text:
        raise ArgumentTypeError("is empty: give a value, or leave it out")
    return text


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
    commands.type = str  # each command looks at its own arguments
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
    """Run a command and return its exit status: 0 done, 2 a sentence on stderr says what was wrong, 130 interrupted.

    What is printed has been written when this returns; where that is impossible, as on a full disk, that is told.
    """
    if sys.stdout is None:
        return complain("there is no standard output to print to: do not close it, or send it to a file.")
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            # A terminal that lacks a character shows ?, and the work continues. A line in a log is there at once.
            stream.reconfigure(errors="replace", line_buffering=True)
    show_signs_of_life()
    try:
        try:
            status = run(sys.argv[1:] if argv is None else argv)
        finally:
            sys.stdout.flush()  # what cannot be printed is noticed here, not after the last line of Python
        return status
    except BrokenPipeError:  # `minibert claims | head`: the reader has stopped, which is not an error
        drop_output()
        return PIPE_CLOSED
    except OSError as error:
        if not cannot_print(error):
            raise
        drop_output()
        return complain(f"the output cannot be written ({error.strerror}): is the disk full, or the output closed?")


def run(argv: Sequence[str]) -> int:
    """Run a command; what it raises and is meant for people becomes a sentence. Returns its exit status."""
    try:
        args = parse(argv)
        args.run(args)
        return OK
    except MinibertError as error:
        return complain(str(error))
    except ModuleNotFoundError as error:
        if (error.name or "minibert").partition(".")[0] == "minibert":
            raise
        return complain(
            f"this needs the package {error.name}, which is not installed: run "
            "`pip install -r requirements.txt`, which installs everything that the project uses."
        )
    except KeyboardInterrupt:
        complain("interrupted.", before="\n")
        return INTERRUPTED


def complain(sentence: str, before: str = "") -> int:
    """Print a sentence on stderr, if that is possible; returns the exit status of a command that failed."""
    with contextlib.suppress(OSError, ValueError):
        if sys.stderr is not None:
            print(f"{before}minibert: {sentence}", file=sys.stderr, flush=True)
    return FAILED


def cannot_print(error: OSError) -> bool:
    """Whether this is an error of the output: it names no file, and is one of those that writing can have."""
    written = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EBADF, errno.EFBIG, errno.ENXIO, errno.EAGAIN)
    return error.filename is None and error.errno in written


def drop_output() -> None:
    """Send what is still to be printed nowhere, so that Python does not fail with it at its end."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


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
