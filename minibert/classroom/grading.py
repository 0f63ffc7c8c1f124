"""Marking a class: each file runs in a process of its own, and the marks are decided here.

The definitions of a file run in the box of box.py. Only arrays and texts come back, and they are compared on
this side, with hidden probes (those of the catalogue with other numbers). Points, report and Gradescope's results.json
are made only here, so that nothing that an answer prints or writes can change them.
"""

from __future__ import annotations

import csv
import io
import json
import secrets
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from minibert.classroom import box, isolation, worker
from minibert.classroom.submissions import Submission, read
from minibert.errors import MinibertError
from minibert.exercises import calls, swap
from minibert.exercises.calls import Built, Call, Failed, Outcome, Problem, pack, unpack
from minibert.exercises.catalogue import exercises
from minibert.exercises.check import evaluate
from minibert.exercises.declare import Exercise, Probe
from minibert.files import write_file
from minibert.timing import Progress

WORKER = Path(worker.__file__)
MODULES = {calls.__name__: Path(calls.__file__)}  # what the worker imports from minibert
CALL_SECONDS = 5.0  # for one call; a right answer takes milliseconds
RESTARTS = 20  # of the process, after an answer has ended it, so that the remaining exercises are still marked


@dataclass
class Mark:
    """One exercise of one submission. status: as in Result, or "missing" if the file does not define the function."""

    exercise: str
    status: str
    score: float
    max_score: float
    text: str
    mistakes: tuple[str, ...] = ()


@dataclass
class Marked:
    """The marks of a submission. problems: remarks about the file as a whole. protections: which ones were on."""

    name: str
    marks: list[Mark]
    seconds: float
    problems: list[str] = field(default_factory=list)
    protections: Mapping[str, bool] = field(default_factory=dict)

    @property
    def score(self) -> float:
        return round(sum(mark.score for mark in self.marks), 2)

    @property
    def max_score(self) -> float:
        return round(sum(mark.max_score for mark in self.marks), 2)


# ---------------------------------------------------------------------------------------------- hidden probes


@cache
def hidden(name: str, seed: int) -> Exercise:
    """The exercise with other numbers in its probes, which depend on the seed."""
    exercise = exercises()[name]
    return replace(exercise, probes=lambda: [varied(probe, seed + n) for n, probe in enumerate(exercise.probes())])


def varied(probe: Probe, seed: int) -> Probe:
    """The probe with slightly changed numbers and other seeds in its generators; masks and ids stay the same."""
    generator = torch.Generator().manual_seed(seed % 2**63)

    def change(value: Any) -> Any:
        if isinstance(value, Tensor) and value.is_floating_point():
            noise = torch.randn(value.shape, generator=generator, dtype=value.dtype)
            return torch.where(value == 0, value, value * (1 + 0.1 * noise))
        if isinstance(value, Built) and value.name in ("generator", "random"):
            return replace(value, arguments=(value.arguments[0] + 1 + seed % 1000,))
        if isinstance(value, Mapping):
            return {name: change(one) for name, one in value.items()}
        if isinstance(value, list) and all(type(one) is float for one in value):
            noise = torch.rand(len(value), generator=generator, dtype=torch.float64).tolist()
            return [one * (0.98 + 0.04 * chance) for one, chance in zip(value, noise, strict=True)]
        if isinstance(value, (list, tuple)):
            return type(value)(change(one) for one in value)
        return value

    return replace(probe, call=replace(probe.call, args=change(probe.call.args), kwargs=change(probe.call.kwargs)))


# ------------------------------------------------------------------------------------------- one submission


class Learner:
    """A learner's code in its box. The box is started again after an answer has ended it."""

    def __init__(self, submission: Submission, limits: isolation.Limits):
        self.submission = submission
        self.limits = limits
        self.until = time.monotonic() + limits.seconds
        self.box: box.Box | None = None
        self.starts = 0
        self.defined: list[str] = []
        self.problems: list[Problem] = []
        self.protections: Mapping[str, bool] = {}

    def start(self) -> None:
        left = self.until - time.monotonic()
        if left <= 0 or self.starts > RESTARTS:
            raise box.Stopped("time", f"the file as a whole took longer than {self.limits.seconds:.0f} s")
        self.starts += 1
        self.box = box.Box(WORKER, limits=replace(self.limits, seconds=left), modules=MODULES)
        answer = unpack(self.box.ask(pack(("define", self.submission.statements))))
        _, self.defined, self.problems, self.protections = answer

    def call(self, name: str, call: Call) -> Outcome:
        """Call one of the learner's functions. Everything that goes wrong in the box becomes a Problem."""
        try:
            if self.box is None:
                self.start()
            answer = unpack(self.box.ask(pack(("call", name, call)), seconds=CALL_SECONDS))
            if not isinstance(answer, Outcome):
                raise ValueError("not an outcome")
            return checked(answer)
        except box.Stopped as stopped:
            self.close()
            return Outcome(problem=Problem("Stopped", str(stopped)))
        except ValueError as error:
            self.close()
            return Outcome(problem=Problem("Stopped", f"its result could not be read ({error})"))

    def close(self) -> None:
        if self.box is not None:
            self.box.close()
            self.box = None


def checked(outcome: Outcome) -> Outcome:
    """The outcome, if its parts have the right types. Raises ValueError otherwise: the box is not trusted."""
    sound = (
        isinstance(outcome.grads, (tuple, list))
        and all(grad is None or isinstance(grad, Tensor) for grad in outcome.grads)
        and isinstance(outcome.changed, (tuple, list))
        and all(isinstance(number, int) for number in outcome.changed)
        and isinstance(outcome.aliased, bool)
        and (outcome.problem is None or isinstance(outcome.problem, Problem))
    )
    if not sound:
        raise ValueError("an outcome with parts of the wrong type")
    return outcome


def mark(path: str | Path, names: Sequence[str], limits: isolation.Limits, seed: int, with_swap: bool = True) -> Marked:
    """Mark one file; its content never raises. names: of the exercises that count. seed: of the hidden probes."""
    path = Path(path)
    torch.set_num_threads(1)
    began = time.monotonic()
    try:
        submission = read(path)
    except MinibertError as error:
        return Marked(path.name, [missing(exercises()[name]) for name in names], 0.0, [str(error)])
    learner = Learner(submission, limits)
    try:
        marks = [_mark_one(learner, hidden(name, seed), with_swap) for name in names]
    finally:
        learner.close()
    problems = [*submission.problems]
    problems += [f"line {p.line}: {p.type}: {p.message}" for p in learner.problems]
    if submission.borrowed:
        problems.append(f"uses the library: {', '.join(sorted(submission.borrowed))}")
    return Marked(path.name, marks, time.monotonic() - began, problems, learner.protections)


def _mark_one(learner: Learner, exercise: Exercise, with_swap: bool) -> Mark:
    name = next((one for one in exercise.names if one in learner.submission.names), None)
    if name is None:
        return missing(exercise)
    reached: list[Problem] = []

    def ask(call: Call) -> Outcome:
        outcome = learner.call(name, call)
        if outcome.problem is not None:
            reached.append(outcome.problem)
        return outcome

    def in_model() -> str | None:
        return swap.trial(exercise, lambda *args, **kwargs: _returned(learner.call(name, Call(args, kwargs)))).trouble

    result = evaluate(exercise, ask, in_model if with_swap and exercise.swap else None)
    borrowed = sorted(learner.submission.borrowed)
    took = next((p for p in reached if p.type in ("UsesReference", "NameError", "KeyError")), None)
    if not result.passed and borrowed and took is not None:
        text = f"This uses the library's own code ({', '.join(borrowed)}): the exercise is to write it yourself."
        return Mark(exercise.name, "reference", 0.0, result.max_score, text)
    text = result.diagnosis or ("" if result.passed else "It does not pass.")
    return Mark(exercise.name, result.status, result.score, result.max_score, text, result.mistakes)


def _returned(outcome: Outcome) -> Any:
    """The output of a call. Raises Failed with its problem."""
    if outcome.problem is not None:
        raise Failed(outcome.problem)
    return outcome.output


def best_of(marked: Sequence[Marked]) -> Marked:
    """Several files of one student as one: the best mark of each exercise."""
    marks = [max(of_one, key=lambda mark: mark.score) for of_one in zip(*(one.marks for one in marked), strict=True)]
    problems = [f"{one.name}: {problem}" for one in marked for problem in one.problems]
    name = ", ".join(one.name for one in marked)
    return Marked(name, list(marks), sum(one.seconds for one in marked), problems, marked[0].protections)


def missing(exercise: Exercise) -> Mark:
    most = sum(exercise.stages.values())
    return Mark(exercise.name, "missing", 0.0, most, f"The file defines no function `{exercise.function}`.")


# ------------------------------------------------------------------------------------------------- a class


def files_in(folder: str | Path) -> list[Path]:
    """The .py files and notebooks in a folder, or the single file. Raises MinibertError when there are none."""
    folder = Path(folder)
    if folder.is_file():
        return [folder]
    if not folder.is_dir():
        raise MinibertError(f"there is no folder {str(folder)!r}: name the folder with the submissions.")
    found = sorted(
        path
        for path in folder.rglob("*")
        if path.suffix in (".py", ".ipynb")
        and path.is_file()
        # Editors and notebooks keep copies in hidden folders.
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )
    if not found:
        raise MinibertError(f"{folder} holds no .py file and no notebook: name the folder with the submissions.")
    return found


def grade(
    folder: str | Path,
    out: str | Path,
    names: Sequence[str] | None = None,
    jobs: int = 2,
    limits: isolation.Limits | None = None,
    seed: int | None = None,
    with_swap: bool = True,
    progress: Progress | None = None,
) -> list[Marked]:
    """Mark every file in a folder, and write grades.csv, report.md and a results.json for each file into `out`.

    names: the exercises that count, by default all. jobs: how many files are marked at the same time. seed: of the
    hidden probes, by default random; report.md names it, so that the marks can be reproduced. with_swap: also run the
    answers inside a real model. Raises MinibertError for a folder without submissions or an `out` that cannot be
    written.
    """
    paths = files_in(folder)
    names = list(names or exercises())
    limits = limits or isolation.Limits()
    seed = secrets.randbits(32) if seed is None else seed
    root = Path(folder) if Path(folder).is_dir() else Path(folder).parent
    labels = {path: path.relative_to(root).as_posix() for path in paths}
    marked: dict[Path, Marked] = {}
    with ProcessPoolExecutor(min(jobs, len(paths)), mp_context=get_context("spawn")) as pool:
        waiting = {pool.submit(mark, path, names, limits, seed, with_swap): path for path in paths}
        for done in as_completed(waiting):
            path = waiting[done]
            marked[path] = replace(done.result(), name=labels[path])
            write_file(Path(out) / f"{labels[path]}.results.json", gradescope(marked[path]))
            if progress is not None:
                progress(len(marked), len(paths))
    found = [marked[path] for path in paths]
    write_file(Path(out) / "grades.csv", table(found, names))
    write_file(Path(out) / "report.md", report(found, names, seed))
    return found


def table(marked: Iterable[Marked], names: Sequence[str]) -> str:
    """A CSV with one row for each submission: its points, and the score and status of each exercise."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["submission", "score", "max_score", *(f"{n}{what}" for n in names for what in ("", " status"))])
    for one in marked:
        cells = [cell for m in one.marks for cell in (f"{m.score:g}", m.status)]
        rows.writerow([_harmless(one.name), f"{one.score:g}", f"{one.max_score:g}", *cells])
    return text.getvalue()


def _harmless(text: str) -> str:
    """A name that a spreadsheet does not read as a formula."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text


def gradescope(marked: Marked) -> str:
    """The results.json that Gradescope reads, with one test for each exercise."""
    tests = [
        {
            "name": mark.exercise,
            "score": mark.score,
            "max_score": mark.max_score,
            "status": "passed" if mark.status == "passed" else "failed",
            "output": mark.text,
            "output_format": "text",
            "visibility": "visible",
            "tags": list(mark.mistakes),
        }
        for mark in marked.marks
    ]
    whole = {
        "score": marked.score,
        "execution_time": round(marked.seconds, 1),
        "output": "\n".join(marked.problems),
        "output_format": "text",
        "visibility": "visible",
        "stdout_visibility": "hidden",
        "tests": tests,
    }
    return json.dumps(whole, indent=1) + "\n"


def report(marked: Sequence[Marked], names: Sequence[str], seed: int) -> str:
    """The report for the teacher: results by exercise, how often each mistake was made, and each submission."""
    count = len(marked)
    lines = [
        f"# {count} submission{'s' * (count != 1)}",
        "",
        f"Hidden probes: seed {seed} (`--seed {seed}` gives the same marks again).",
        f"Protections while the submissions ran: {_protections(marked)}.",
        "",
        "| exercise | passed | failed | not attempted | mean points |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for at, name in enumerate(names):
        marks = [one.marks[at] for one in marked]
        passed = sum(m.status == "passed" for m in marks)
        absent = sum(m.status in ("missing", "not attempted") for m in marks)
        mean = sum(m.score for m in marks) / max(count, 1)
        lines.append(
            f"| {name} | {passed} | {count - passed - absent} | {absent} | {mean:.1f} of {marks[0].max_score:g} |"
        )
    counted = Counter((m.exercise, mistake) for one in marked for m in one.marks for mistake in m.mistakes)
    lines += ["", "## Known mistakes, and in how many submissions", ""]
    lines += [
        f"- {times} × **{mistake}** ({exercise}): {_says(exercise, mistake)}"
        for (exercise, mistake), times in counted.most_common()
    ] or ["None was recognised."]
    lines += ["", "## Each submission", ""]
    for one in marked:
        lines += [f"### {one.name}: {one.score:g} of {one.max_score:g} points, {one.seconds:.1f} s", ""]
        lines += [f"- {problem}" for problem in one.problems]
        lines += [
            f"- {m.exercise}: {m.status}, {m.score:g} of {m.max_score:g}" + (f". {m.text}" if m.text else "")
            for m in one.marks
            if m.status != "missing"
        ]
        lines.append("")
    return "\n".join(line.replace("\n", " ") for line in lines).rstrip() + "\n"


def _protections(marked: Sequence[Marked]) -> str:
    """Which protections were on in all processes, and which were not."""
    all_of_them = [one.protections for one in marked if one.protections]
    names = dict.fromkeys(name for one in all_of_them for name in one)
    said = [f"{name} {'yes' if all(one.get(name) for one in all_of_them) else 'NO'}" for name in names]
    return ", ".join(said) or "nothing was run"


def _says(exercise: str, mistake: str) -> str:
    return next(one.says for one in exercises()[exercise].mistakes if one.name == mistake)
