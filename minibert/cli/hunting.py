"""`minibert hunt`: a part of the model in a box, perhaps with a mistake, to be named from what the box does."""

from __future__ import annotations

import runpy
import traceback
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from minibert.cli.options import Commands, NotPassed, add_command, seed
from minibert.errors import MinibertError

if TYPE_CHECKING:
    from minibert.exercises.hunts import Box

WAYS = """\
minibert hunt {here} --show [KIND]   an example call and what comes out
minibert hunt {here} --try FILE      run a Python file, in which `box` is this box
minibert hunt {here} --hint          a hint, for 2 points
minibert hunt {here} --name NAME     say which suspect it is
In Python: box = minibert.hunt("{part}", {seed})"""


def add_commands(commands: Commands) -> None:
    parser = add_command(commands, "hunt", "find the mistake in a part of the model by calling it", run_hunt)
    parser.add_argument("part", nargs="?", metavar="PART", help="an exercise; without it and --seed, all are listed")
    parser.add_argument("--seed", metavar="N", type=seed, help="which box (default: the first that is not solved)")
    parser.add_argument("--show", metavar="KIND", nargs="?", const="0", help="show an example call, of any kind")
    parser.add_argument("--try", dest="file", metavar="FILE", help="run a Python file, in which `box` is this box")
    parser.add_argument("--hint", action="store_const", const=True, help="the next of three hints, each for 2 points")
    parser.add_argument("--name", metavar="NAME", help="say which suspect it is: its name or its number")


def run_hunt(args: Namespace) -> None:
    from minibert.exercises import hunts, progress

    asked = any(one is not None for one in (args.show, args.file, args.hint, args.name))
    if args.part is None and args.seed is None:
        if asked:
            raise MinibertError("say which box is meant: give a PART, or a --seed, which draws one.")
        print(parts())
        return
    number = args.seed
    if number is None:
        hunts.hunt(args.part)  # refuses an unknown part
        number = next(n for n in range(10**6) if not progress.recorded_hunt(args.part, n).get("solved"))
    box = hunts.hunt(args.part, number)
    if args.show is not None:
        print(shown(box, args.show))
    if args.file is not None:
        run_file(Path(args.file), box)
    if args.hint:
        print(box.hint())
    if args.name is not None:
        verdict = box.name(args.name)
        print(verdict)
        if not verdict.right:
            raise NotPassed
    if not asked:
        ways = WAYS.format(here=f"{box.part} --seed {box.seed}", part=box.part, seed=box.seed)
        print(box, "", "The task:", box.task, "", "The suspects:", box.suspects, "", ways, sep="\n")


def parts() -> str:
    """A line for each part to hunt in, with the seeds that are solved."""
    from minibert.exercises import progress
    from minibert.exercises.catalogue import exercises

    solved = progress.solved_hunts(progress.recorded())
    lines = []
    for name, exercise in exercises().items():
        seeds = [seed for part, seed in solved if part == name]
        lines.append(f"{name:<22} {exercise.title}{f' (solved: {chr(44).join(seeds)})' if seeds else ''}")
    return "\n".join([*lines, "", "minibert hunt PART [--seed N] shows a box of that part; each seed is another box."])


def shown(box: Box, kind: str) -> str:
    """An example call: each argument by its name, and what comes out."""
    import inspect

    args = box.example(kind, 0)
    names = list(inspect.signature(box).parameters)
    lines = [f"{name} =\n{value!r}" for name, value in zip(names, args, strict=False)]
    try:
        lines.append(f"The box returns:\n{box(*args)!r}")
    except Exception as error:
        lines.append(f"The box raises {type(error).__name__}: {error}")
    return "\n\n".join(lines)


def run_file(path: Path, box: Box) -> None:
    """Run a Python file with the box in it. Raises MinibertError if it is missing or stops with an exception."""
    if not path.is_file():
        raise MinibertError(f"there is no file {path}: --try takes a Python file, in which `box` is the box.")
    try:
        runpy.run_path(str(path), init_globals={"box": box}, run_name="__main__")
    except Exception as error:
        own = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
        line = getattr(error, "lineno", None) or (own[-1] if own else None)
        where = f" in line {line}" if line else ""
        raise MinibertError(f"{path} stopped{where}: {type(error).__name__}: {error}") from None
