"""`minibert check`, `progress`, `grade` and `export`: the exercises, for a learner and for a class."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from minibert.cli.export_options import export_options
from minibert.cli.options import Commands, add_command, integer, positive, seed
from minibert.words import listed

if TYPE_CHECKING:
    from minibert.exercises.declare import Exercise


def add_commands(commands: Commands) -> None:
    add_check(commands)
    add_command(commands, "progress", "the map of exercises, done and to do", run_progress)
    add_grade(commands)
    export_options(add_command(commands, "export", "write notebooks, an autograder or an exam", run_export))


def add_check(commands: Commands) -> None:
    parser = add_command(commands, "check", "check the exercises that a file answers, and say what is wrong", run_check)
    parser.add_argument("file", metavar="FILE", nargs="?", help="a .py file or a notebook with your answers")
    parser.add_argument("--exercise", metavar="NAME", help="check only this one (default: all that FILE defines)")
    parser.add_argument(
        "--hint", metavar="N", nargs="?", type=hint_or_file, const=1, default=0,
        help="show a hint for each that fails, or N of them",
    )  # fmt: skip


def hint_or_file(text: str) -> int | str:
    """The type of --hint: a number of hints, or the file if it is written after --hint and no number is."""
    return text if not text.isdecimal() and Path(text).is_file() else integer(0)(text)


def run_check(args: Namespace) -> None:
    from minibert.cli import marking
    from minibert.errors import MinibertError

    hints = args.hint
    if isinstance(hints, str):
        if args.file is not None:
            raise MinibertError(f"--hint takes a number of hints, not {hints!r}.")
        args.file, hints = hints, 1
    if args.file is None:
        raise MinibertError("the following arguments are required: FILE; `minibert check --help` lists the options.")
    marking.check_file(args.file, args.exercise, hints)


def run_progress(args: Namespace) -> None:
    from minibert.exercises.progress import progress

    print(progress())


def add_grade(commands: Commands) -> None:
    parser = add_command(commands, "grade", "mark a folder of submissions", run_grade)
    parser.add_argument("submissions", metavar="FOLDER", help="with .py files and notebooks, one per submission")
    parser.add_argument("--out", metavar="FOLDER", default="results", help="default: results")
    parser.add_argument("--exercises", metavar="NAME", nargs="+", help="those that count (default: all)")
    parser.add_argument("--jobs", metavar="N", type=integer(1), default=2, help="files marked at a time (default: 2)")
    parser.add_argument("--seconds", metavar="N", type=positive, help="limit for one exercise (default: 20)")
    parser.add_argument(
        "--minutes", metavar="N", type=positive, default=9, help="with --gradescope: limit for everything (default: 9)"
    )
    parser.add_argument("--memory", metavar="MB", type=integer(1), help="limit for an answer")
    parser.add_argument("--seed", metavar="N", type=seed, help="of the hidden probes (default: random)")
    parser.add_argument("--no-swap", action="store_true", help="do not run answers inside a real model")
    parser.add_argument("--gradescope", metavar="FILE", help="mark one submission and write its results.json here")


def run_grade(args: Namespace) -> None:
    from minibert.cli import marking

    marking.grade(args)


def run_export(args: Namespace) -> None:
    from minibert.errors import MinibertError
    from minibert.exercises.catalogue import exercises
    from minibert.exercises.check import exercise_named

    if args.kind == "exam":
        if args.exercises:
            raise MinibertError("an exam is drawn from all exercises: use --until instead of --exercises.")
        from minibert.classroom import exam

        out = Path(args.out or "minibert-exam")
        return print(*exam.write_exams(out, args.seed, args.versions or 1, args.until or exam.LAST), sep="\n")
    if foreign := [f"--{name}" for name in ("seed", "versions", "until") if getattr(args, name) is not None]:
        raise MinibertError(f"{listed(foreign)} is for `minibert export exam` only: leave it out.")
    chosen = [exercise_named(name) for name in args.exercises] if args.exercises else list(exercises().values())
    out = Path(args.out or f"minibert-{args.kind}")
    print(*exported(args.kind, chosen, out), sep="\n")


def exported(kind: str, chosen: Sequence[Exercise], out: Path) -> list[Path]:
    """Write one kind of export; returns what was written."""
    if kind == "student":  # with the lessons, which take longer to import
        from minibert.classroom import handout

        return handout.write_class(out, chosen)
    from minibert.classroom import exports

    if kind == "gradescope":
        return [exports.write_autograder(out if out.suffix == ".zip" else out / "autograder.zip", chosen)]
    return exports.write_notebooks(out, kind, chosen)
