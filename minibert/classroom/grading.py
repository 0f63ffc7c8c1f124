"""Marking a class: every file that was handed in gets a row, and what is done stays done.

Each file is marked by a process of the pool (pool.py); its code runs in a box (marking.py, learner.py, box.py). As
files finish, grades.csv, report.md and a results.json for each are written. The folder `.marking` next to them keeps
what is done: the same command goes on after it was interrupted or killed, with the same hidden probes, and marks again
only what has changed.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import minibert
from minibert.classroom import isolation
from minibert.classroom.hidden import hidden, new_seed, seed_for
from minibert.classroom.marking import Course, Mark, Marked, best_of, mark, mark_content, misspelt, most, unread
from minibert.classroom.pool import marked_by, marked_from
from minibert.classroom.replies import clean
from minibert.classroom.report import file_name, gradescope, report, table
from minibert.classroom.submissions import MARKER, HandedIn, handed_in
from minibert.errors import MinibertError, check_seed
from minibert.exercises.catalogue import exercises
from minibert.exercises.submissions import Unreadable, content_of, read
from minibert.files import locked, read_json, refuse_foreign, write_file, write_json
from minibert.signs import Progress
from minibert.words import counted

__all__ = [
    "Course", "Mark", "Marked", "Unreadable", "best_of", "content_of", "grade", "gradescope", "handed_in", "hidden",
    "mark", "mark_content", "misspelt", "most", "new_seed", "read", "report", "seed_for", "table", "unread",
]  # fmt: skip

WRITE_EVERY = 1.0  # seconds between two writings of the tables while files finish


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
    answers inside a real model. What an earlier, interrupted call with the same arguments has marked is kept. Raises
    MinibertError for a folder without submissions, an `out` that cannot be written, that another grader uses, or that
    has the marks of another class or of other exercises.
    """
    names, seed = list(names or exercises()), None if seed is None else check_seed(seed)
    limits = limits or isolation.Limits()
    listed = handed_in(folder, out)
    found, loose = [one for one in listed if not one.loose], [one for one in listed if one.loose]
    if not found:
        first = f"{loose[0].label}: {loose[0].unread}"
        raise MinibertError(f"{folder} holds no submissions ({clean(first, 200)}): name the folder that holds them.")
    _refuse_foreign(found, Path(folder), Path(out))
    with _State(Path(out)) as state:
        state.begin(_identity(folder, names, limits, with_swap), seed)
        kept = {one.label: state.kept(one) for one in found if not one.unread}
        marked = {label: old for label, old in kept.items() if old is not None}
        marked |= {one.label: unread(one.label, names, one.unread) for one in found if one.unread}
        by_path = {one.path: one for one in found if not one.unread and one.label not in marked}
        written = 0.0

        def tables(finished: bool = False) -> None:
            nonlocal written
            if not finished and time.monotonic() - written < WRITE_EVERY:
                return
            rows = [_shown(one, marked[one.label]) for one in found if one.label in marked]
            write_file(state.out / "grades.csv", table(rows, names))
            write_file(state.out / "report.md", report(rows, names, state.seed, len(found), loose))
            written = time.monotonic()

        for one in found:
            if one.unread:
                _write_result(state.out, one, marked[one.label])
        tables()
        if progress is not None:
            progress(len(marked), len(found))
        marking = marked_by([*by_path], jobs, names, limits, state.seed, with_swap, state.temporary)
        try:
            with contextlib.closing(marking):
                for path, result in marking:
                    one = by_path[path]
                    _write_result(state.out, one, result)
                    state.keep(one, result)
                    marked[one.label] = result  # last, so that a row in the tables is also one that is kept
                    tables()
                    if progress is not None:
                        progress(len(marked), len(found))
        finally:  # also after Ctrl-C, which can come between the lines above: what is kept is in the tables
            for one in by_path.values():
                if one.label not in marked and (old := state.kept(one)) is not None:
                    marked[one.label] = old
            tables(finished=True)
    return [_shown(one, marked[one.label]) for one in found]


def _shown(one: HandedIn, marked: Marked) -> Marked:
    """The marks under the label of the class's folder, with what else lies next to the file."""
    return replace(marked, name=one.label, problems=[*marked.problems, *one.also])


def _write_result(out: Path, one: HandedIn, marked: Marked) -> None:
    """Write the results.json of one file. If its name makes that impossible, the others are written all the same."""
    path = out / file_name(one.label)
    try:
        write_file(path, gradescope(_shown(one, marked)))
    except MinibertError as error:
        if not os.access(out, os.W_OK) or (isinstance(error.__cause__, OSError) and error.__cause__.errno in NO_ROOM):
            raise
        marked.problems.append(clean(f"its results.json could not be written: {error}", 300))


NO_ROOM = (28, 122, 30, 5)  # ENOSPC, EDQUOT, EROFS, EIO: nothing else can be written either


def _identity(folder: str | Path, names: Sequence[str], limits: isolation.Limits, with_swap: bool) -> dict[str, Any]:
    """What must be the same for marks to be kept."""
    package = Path(minibert.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        digest.update(path.relative_to(package).as_posix().encode() + b"\0" + path.read_bytes())
    return {
        "folder": os.fsencode(Path(folder).resolve()).hex(),
        "exercises": list(names),
        "limits": asdict(limits),
        "swap": with_swap,
        "library": digest.hexdigest(),
    }


def _refuse_foreign(found: Sequence[HandedIn], folder: Path, out: Path) -> None:
    """Raise MinibertError if the folder for the results is a folder of submissions that was there before, or if a file
    of somebody else has the name of one that is written."""
    if (out / MARKER).exists():
        return  # these are results of an earlier call
    inside = out.resolve() != folder.resolve() and out.resolve().is_relative_to(folder.resolve())
    if inside and any(path.suffix in (".py", ".ipynb", ".zip") for path in out.rglob("*")):
        raise MinibertError(f"{out} holds files that look like submissions: choose another --out.")
    names = ["grades.csv", "report.md", *(file_name(one.label) for one in found)]
    refuse_foreign([out / name for name in names], made=lambda content: False)


class _State:
    """What is done so far, in a folder next to the results, which only one grader uses at a time."""

    def __init__(self, out: Path):
        self.out = out
        self.folder = out / MARKER
        self.seed = 0

    def __enter__(self) -> _State:
        try:  # tried first, before any work is done
            self.folder.mkdir(parents=True, exist_ok=True)
            self.lock = open(self.folder / "lock", "a+")
        except OSError as error:
            raise MinibertError(
                f"{self.out} cannot be written ({error.strerror or error}): choose another --out."
            ) from None
        if not locked(self.lock):
            self.lock.close()
            raise MinibertError(f"another grader is writing into {self.out}: wait for it, or choose another --out.")
        try:
            write_file(self.folder / "tried", "This folder can be written to.\n")
            # Boxes work in here; whatever an earlier grader that was killed has left is of no use.
            for left in self.folder.glob("temporary-*"):
                _remove(left)
            self.temporary = Path(tempfile.mkdtemp(prefix="temporary-", dir=self.folder)).absolute()
        except (MinibertError, OSError) as error:
            self.lock.close()
            raise MinibertError(f"{self.out} cannot be written: {error}") from None
        return self

    def __exit__(self, *_: object) -> None:
        _remove(self.temporary)
        self.lock.close()

    def begin(self, identity: dict[str, Any], seed: int | None) -> None:
        """Go on with the run that is there if it is the same, else begin a new one."""
        run = self.folder / "run.json"
        old = _json_or_nothing(run)
        goes_on = old.get("identity") == identity and type(old.get("seed")) is int and seed in (None, old["seed"])
        if not goes_on:
            self._refuse_other(old.get("identity"), identity)
            _remove(self.folder / "done")
            write_json(run, {"identity": identity, "seed": new_seed() if seed is None else seed})
            old = _json_or_nothing(run)
        self.seed = old["seed"]

    def _refuse_other(self, old: Any, new: Mapping[str, Any]) -> None:
        """Raise MinibertError if there are marks here that the new ones would replace, and do not repeat."""
        if not isinstance(old, dict) or not (self.out / "grades.csv").exists():
            return
        there = old.get("exercises")
        if there != new["exercises"] and isinstance(there, list):
            what = f"for {counted(len(there), 'exercise')}, and this would be for {len(new['exercises'])}"
            if len(there) == len(new["exercises"]):
                what = "for other exercises"
        elif old.get("folder") != new["folder"]:
            what = "of another folder"
        else:
            return
        raise MinibertError(f"{self.out} holds marks {what}: choose another --out, or delete that folder first.")

    def _place(self, one: HandedIn) -> Path:
        return self.folder / "done" / f"{hashlib.sha256(os.fsencode(one.label)).hexdigest()[:32]}.json"

    def kept(self, one: HandedIn) -> Marked | None:
        """The marks from an earlier call, if the file is still the same."""
        old = _json_or_nothing(self._place(one))
        try:
            return marked_from(old["marked"]) if old and old["content"] == _digest(one.path) else None
        except (KeyError, TypeError, AttributeError):
            return None

    def keep(self, one: HandedIn, marked: Marked) -> None:
        plain = {**asdict(marked), "protections": dict(marked.protections)}
        # As ASCII, because a name can be made of bytes that are no text.
        write_file(self._place(one), json.dumps({"content": _digest(one.path), "marked": plain}) + "\n")


def _digest(path: Path) -> str:
    try:
        return hashlib.sha256(content_of(path, follow=False)).hexdigest()
    except Unreadable as error:
        return str(error)


def _json_or_nothing(path: Path) -> dict[str, Any]:
    try:
        return read_json(path)
    except MinibertError:
        return {}


def _remove(folder: Path) -> None:
    for path, names, _ in os.walk(folder):
        for inner in (Path(path, name) for name in names):
            with contextlib.suppress(OSError):
                if not inner.is_symlink():
                    inner.chmod(0o700)
    shutil.rmtree(folder, ignore_errors=True)
