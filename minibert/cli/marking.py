"""`minibert check` and `minibert grade`: what they print, and their exit status."""

from __future__ import annotations

import sys
from argparse import Namespace
from dataclasses import replace
from pathlib import Path

from minibert.classroom import grading, isolation
from minibert.errors import MinibertError
from minibert.exercises.catalogue import exercises
from minibert.exercises.check import exercise_named, hints_for
from minibert.files import write_file
from minibert.timing import progress_bar

SEED = 0  # of the probes when a learner checks a file: the same each time, so that a diagnosis stays the same


class NotPassed(SystemExit):
    """Ends the command with status 1: the check worked, but an answer is wrong."""

    def __init__(self) -> None:
        super().__init__(1)


def check_file(path: str, exercise: str | None = None, hints: int = 0) -> None:
    """Print the result of each answer in a file; status 1 unless all pass.

    exercise: check only this one. hints: how many to print for each answer that fails. Raises MinibertError for a
    file that cannot be read, or that answers no exercise.
    """
    submission = grading.read(path)
    wanted = [exercise_named(exercise)] if exercise else list(exercises().values())
    asked = [one for one in wanted if submission.names.intersection(one.names)]
    if not asked:
        functions = ", ".join(one.function for one in wanted[:30])
        broken = f" ({'; '.join(submission.problems)})" if submission.problems else ""
        raise MinibertError(f"{path} defines none of the exercises' functions{broken}: write one of {functions}.")
    marked = grading.mark(path, [one.name for one in asked], isolation.Limits(), SEED)
    for problem in marked.problems:
        print(problem)
    passed = True
    for mark in marked.marks:
        passed &= mark.status == "passed"
        print(f"{'✓' if mark.status == 'passed' else '✗'} {mark.exercise}: {mark.status}, "
              f"{mark.score:g} of {mark.max_score:g} points")  # fmt: skip
        if mark.text:
            print(f"  {mark.text}")
        if mark.status == "failed":
            for hint in hints_for(exercises()[mark.exercise], mark.mistakes)[:hints]:
                print("  hint: " + hint.replace("\n", "\n        "))
    if not passed:
        raise NotPassed


def grade(args: Namespace) -> None:
    """Mark a folder and print where the results are. Raises MinibertError for options that make no sense."""
    limits = isolation.Limits(seconds=args.seconds)
    if args.memory:
        limits = replace(limits, memory_mb=args.memory)
    names = [exercise_named(name).name for name in args.exercises] if args.exercises else None
    if args.jobs < 1 or args.seconds <= 0:
        raise MinibertError(
            f"--jobs is {args.jobs} and --seconds {args.seconds:g}: give 1 or more jobs, and more than 0 seconds."
        )
    if args.gradescope:
        return one_for_gradescope(Path(args.submissions), Path(args.gradescope), names, limits, args)
    with progress_bar("marking", unit="file") as progress:
        marked = grading.grade(
            args.submissions, args.out, names, args.jobs, limits, args.seed, not args.no_swap, progress
        )
    full = sum(one.score == one.max_score for one in marked)
    print(f"{len(marked)} marked, {full} with full marks: see grades.csv and report.md in {Path(args.out)}")


def one_for_gradescope(
    folder: Path, out: Path, names: list[str] | None, limits: isolation.Limits, args: Namespace
) -> None:
    """Mark all files of one student together, and write results.json even if they cannot be read."""
    names = names or list(exercises())
    try:
        files = grading.files_in(folder)
        marked = [grading.mark(file, names, limits, args.seed or 0, not args.no_swap) for file in files]
        best = grading.best_of(marked)
    except MinibertError as error:
        best = grading.Marked(folder.name, [grading.missing(exercises()[name]) for name in names], 0.0, [str(error)])
    write_file(out, grading.gradescope(best))
    print(f"{best.score:g} of {best.max_score:g} points", file=sys.stderr)
