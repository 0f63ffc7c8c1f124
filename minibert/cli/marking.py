"""`minibert check` and `minibert grade`: what they print, and their exit status."""

from __future__ import annotations

import json
import shlex
import sys
import time
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import minibert
from minibert.classroom import grading, isolation
from minibert.cli.options import NotPassed
from minibert.errors import MinibertError
from minibert.exercises import my_bert
from minibert.exercises.catalogue import exercises
from minibert.exercises.check import exercise_named
from minibert.exercises.declare import Exercise
from minibert.exercises.progress import remember
from minibert.exercises.sources import statements_in
from minibert.exercises.submissions import Submission, kind_of
from minibert.files import refuse_foreign, write_file
from minibert.signs import progress_bar
from minibert.words import counted, points

SEED = 0  # of the probes when a learner checks a file: the same each time, so that a diagnosis stays the same


def check_file(path: str, exercise: str | None = None, hints: int = 0) -> None:
    """Print the result of each answer in a file; status 1 unless all pass.

    exercise: check only this one. hints: how many to print for each answer that fails. Raises MinibertError for a
    file that cannot be read, or that answers no exercise.
    """
    if Path(path).is_dir():
        raise MinibertError(a_folder(Path(path)))
    submission = grading.read(path)
    wanted = [exercise_named(exercise)] if exercise else list(exercises().values())
    asked = [one for one in wanted if submission.names.intersection(one.names)]
    if not asked:
        raise MinibertError(nothing_to_check(path, submission, wanted))
    content = grading.content_of(Path(path))
    marked = grading.mark_content(Path(path).name, content, [one.name for one in asked], isolation.Limits(), SEED)
    others = [one for one in wanted if one not in asked]
    for problem in [*marked.problems, *grading.misspelt(submission.names, others)]:
        print(problem)
    passed, trouble = True, ""
    for mark in marked.marks:
        passed &= mark.status == "passed"
        trouble = trouble or remember(mark.exercise, mark.status == "passed", mark.score, mark.max_score)
        print(f"{'✓' if mark.status == 'passed' else '✗'} {mark.exercise}: {mark.status}, "
              f"{points(mark.score)} of {points(mark.max_score)} points")  # fmt: skip
        for text in filter(None, (mark.stages if mark.status in ("passed", "failed") else "", mark.text)):
            print(f"  {text}")
        for hint in mark.hints[:hints]:
            print("  hint: " + hint.replace("\n", "\n        "))
    if trouble:
        print(f"minibert: {trouble}", file=sys.stderr)
    done = [mark.exercise for mark in marked.marks if mark.status == "passed"]
    if done and (joined := my_bert.join_file(done, statements_in(Path(path).name, content), in_box)).news:
        print(joined)
    if any(len(mark.hints) > hints for mark in marked.marks):
        only = ["--exercise", exercise] if exercise else []
        command = shlex.join(["minibert", "check", path, *only, "--hint", *([str(hints + 1)] if hints else [])])
        print(f"For {'one more' if hints else 'a'} hint: {command}")
    if not passed:
        raise NotPassed


def in_box(text: str, names: Sequence[str]) -> dict[str, str]:
    """Run a my_bert.py in the box: those of these exercises that do not pass with what it defines, and why."""
    marked = grading.mark_content(my_bert.NAME, text.encode(), names, isolation.Limits(), SEED, with_swap=False)
    also = [one for one in marked.problems if not one.startswith("uses the library")]
    return {
        mark.exercise: "; ".join([mark.text.rstrip("."), *also[:1]]) for mark in marked.marks if mark.status != "passed"
    }


def a_folder(folder: Path) -> str:
    """Why a folder cannot be checked, and what to do."""
    files = sorted(one.name for one in folder.iterdir() if one.is_file() and kind_of(one.name))
    if not files:
        return f"{folder} is a folder without answers: name a .py file or a notebook."
    example = shlex.join(["minibert", "check", str(folder / files[0])])
    marked = shlex.join(["minibert", "grade", str(folder)])
    return f"{folder} is a folder: name one of its files ({example}), or mark all of them ({marked})."


def nothing_to_check(path: str, submission: Submission, wanted: Sequence[Exercise]) -> str:
    """Why a file that answers none of these exercises cannot be checked, and what to do."""
    if submission.problems:
        return f"{path} cannot be checked: {'; '.join(submission.problems)}. Mend that first."
    if len(wanted) == 1:
        return f"{path} does not define {wanted[0].function}: write that function, or leave out --exercise."
    meant = grading.misspelt(submission.names, wanted, 0.6)
    also = f" ({'; '.join(meant[:3])})" if meant else ""
    return f"{path} defines none of the exercises' functions{also}; `minibert progress` lists the exercises."


def refuse_foreign_modules(folder: Path) -> None:
    """Raise MinibertError if a module was loaded from the folder of the submissions, before minibert could prevent it.

    Python does that if PYTHONPATH names the folder and sitecustomize.py, for example, is in it.
    """
    package, folder = Path(minibert.__file__).resolve().parent, folder.resolve()
    for name, module in [*sys.modules.items()]:
        file = getattr(module, "__file__", None)
        path = Path(file).resolve() if isinstance(file, str) and Path(file).is_absolute() else package
        if path.is_relative_to(folder) and not path.is_relative_to(package):
            raise MinibertError(
                f"Python loaded the module {name} from {folder} before minibert began, so a submission may have run "
                "outside the box: unset PYTHONPATH, and mark on a clean machine."
            )


def grade(args: Namespace) -> None:
    """Mark a folder and print where the results are. Raises MinibertError for an unknown exercise or folder."""
    if Path(args.submissions).is_dir() and not Path(sys.prefix).resolve().is_relative_to(
        Path(args.submissions).resolve()
    ):
        refuse_foreign_modules(Path(args.submissions))
    limits = isolation.Limits()
    if args.seconds is not None:
        limits = replace(limits, seconds=args.seconds)
    if args.memory:
        limits = replace(limits, memory_mb=args.memory)
    names = [exercise_named(name).name for name in args.exercises] if args.exercises else None
    if args.gradescope:
        return one_for_gradescope(Path(args.submissions), Path(args.gradescope), names, limits, args)
    with progress_bar("marking", unit="file") as progress:
        marked = grading.grade(
            args.submissions, args.out, names, args.jobs, limits, args.seed, not args.no_swap, progress
        )
    full = sum(one.score == one.max_score for one in marked)
    unread = sum(all(mark.status == "not read" for mark in one.marks) for one in marked)
    loose = sum(one.loose for one in grading.handed_in(args.submissions, args.out))
    also = f", {unread} could not be read" if unread else ""
    also += f", {counted(loose, 'loose file')} ignored" if loose else ""
    print(f"{len(marked)} marked, {full} with full marks{also}: see grades.csv and report.md in {Path(args.out)}")


def is_results(content: bytes) -> bool:
    """Whether a file can be Gradescope's results.json. (The autograder writes one before it starts this command.)"""
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        return False
    return isinstance(found, dict) and not {"score", "tests"}.isdisjoint(found)


def one_for_gradescope(
    folder: Path, out: Path, names: list[str] | None, limits: isolation.Limits, args: Namespace
) -> None:
    """Mark all files of one student together, and write results.json even if they cannot be read.

    It is written from the start, and again after each exercise, so that there is always one to show.
    """
    names = names or list(exercises())
    refuse_foreign(out, "name for it", is_results)
    until = time.monotonic() + 60 * args.minutes
    whole: list[grading.Marked] = []
    later = [grading.Mark(name, "failed", 0.0, grading.most(name), "It was not marked in time.") for name in names]

    def show(marked: list[grading.Marked]) -> grading.Marked:
        best = grading.best_of(marked) if marked else grading.unread(folder.name, names, "nothing could be read")
        write_file(out, grading.gradescope(best))
        return best

    try:
        found = grading.handed_in(folder)
    except MinibertError as error:
        best = grading.unread(folder.name, names, str(error))
        write_file(out, grading.gradescope(best))
        found = []
    for one in found:
        if one.unread:
            whole.append(grading.unread(one.label, names, one.unread))
            continue
        try:
            content = grading.content_of(one.path, follow=False)
        except grading.Unreadable as error:
            whole.append(grading.unread(one.label, names, str(error)))
            continue
        marks = {mark.exercise: mark for mark in later}

        def ends(mark: grading.Mark, label: str = one.label, marks: dict[str, grading.Mark] = marks) -> None:
            marks[mark.exercise] = mark
            show([*whole, grading.Marked(label, list(marks.values()), 0.0)])

        # The numbers depend on the content too, so that what one submission finds out about them is of no use later.
        seed = grading.seed_for(args.seed if args.seed is not None else grading.new_seed(), content)
        course = grading.Course(ends=ends, until=until)
        marked = grading.mark_content(one.path.name, content, names, limits, seed, not args.no_swap, course)
        whole.append(replace(marked, name=one.label, problems=[*marked.problems, *one.also]))
    if found:
        best = show(whole)
    print(f"{best.score:g} of {best.max_score:g} points", file=sys.stderr)
