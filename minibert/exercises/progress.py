"""What a learner has passed and found on this machine: one small file in the cache folder."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

from minibert.assets import cache_folder
from minibert.errors import MinibertError, check_known
from minibert.exercises.catalogue import exercises
from minibert.files import alone, write_json
from minibert.words import counted, points


def file() -> Path:
    """The file of the record: MINIBERT_PROGRESS, if that is set."""
    return Path(os.environ.get("MINIBERT_PROGRESS") or cache_folder() / "progress.json")


def recorded() -> dict[str, dict[str, Any]]:
    """Exercise -> its best score, and whether and when it was passed. Raises MinibertError for a broken file."""
    try:
        found = json.loads(file().read_text(encoding="utf-8"))
        if not isinstance(found, dict) or not all(is_record(name, one) for name, one in found.items()):
            raise ValueError("it is not a record of exercises")
        return found
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        reason = getattr(error, "strerror", None) or error
        raise MinibertError(f"{file()} cannot be read ({reason}): move or delete it to start a new record.") from None


def is_record(name: str, found: object) -> bool:
    """Whether this can be what is recorded about an exercise, or about a hunt (`Box` looks at its parts)."""
    if not isinstance(found, dict):
        return False
    if name.startswith(HUNT):
        return True
    score = found.get("score", 0)
    return type(found.get("passed", False)) is bool and type(score) in (int, float) and 0 <= score < SCORES


def remember(exercise: str, passed: bool, score: float, max_score: float) -> str:
    """Keep a score if it is better than the recorded one.

    Returns "", or a sentence that says why that could not be done: nothing is raised.
    """

    def changed(known: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        before = known.get(exercise, {})
        if before.get("passed") or before.get("score", -1) > score:
            return known
        now = {"passed": passed, "score": score, "of": max_score, "date": str(date.today())}
        return known | {exercise: now}

    return _change(changed)


def _change(change: Callable[[dict[str, dict[str, Any]]], dict[str, dict[str, Any]]]) -> str:
    """Change the record while no other process does so. Returns "", or a sentence about why that is impossible."""
    try:
        with alone(file(), "set MINIBERT_PROGRESS to a file that can be written"):
            known = recorded()
            after = change(known)
            if after != known:
                write_json(file(), after, indent=1)
    except MinibertError as error:
        return f"This was not recorded: {error}"
    return ""


SCORES = 1e6  # no exercise has so many points
HUNT = "hunt "  # before the part and the seed of a hunt, in the record


def recorded_hunt(part: str, seed: int) -> dict[str, Any]:
    """What is recorded about a hunt: the wrong names, the hints, whether it was found, and for how many points.

    Empty if that is nothing, or if the record cannot be read.
    """
    try:
        return recorded().get(f"{HUNT}{part} {seed}", {})
    except MinibertError:
        return {}


def remember_hunt(part: str, seed: int, state: dict[str, Any]) -> str:
    """Record how far a hunt is. Returns "", or a sentence that says why that could not be done."""
    return _change(lambda known: known | {f"{HUNT}{part} {seed}": state})


def _refuse_without_place() -> None:
    """Raise MinibertError if there cannot be a record, so that "nothing is passed" would be no answer."""
    folder = next(one for one in file().absolute().parents if one.exists())
    try:
        with tempfile.TemporaryFile(dir=folder):
            return
    except OSError as error:
        raise MinibertError(
            f"nothing can be recorded in {file()} ({error.strerror or error}): set MINIBERT_PROGRESS to a file that "
            "can be written."
        ) from None


class Progress(str):
    """A string that a notebook shows with its line breaks."""

    __repr__ = str.__str__


def progress(topic: str | None = None) -> Progress:
    """The list of exercises with level and minutes: which are passed, tried, and still to do; and the hunts.

    topic: list only the exercises of this topic; the counts at the end are of all. Raises MinibertError for an unknown
    topic, and for a record that cannot be read.
    """
    topics = list(dict.fromkeys(exercise.topic for exercise in exercises().values()))
    if topic is not None:
        check_known("topic", topic, topics)
    known = recorded()
    if not known:
        _refuse_without_place()
    lines, shown, done = [], "", 0
    left = {"exercises": 0, "challenges": 0}
    for exercise in exercises().values():
        found = known.get(exercise.name, {})
        mark = "✓" if found.get("passed") else "…" if found else "·"
        done += mark == "✓"
        left["challenges" if exercise.level == "challenge" else "exercises"] += exercise.minutes * (mark != "✓")
        if topic not in (None, exercise.topic):
            continue
        if exercise.topic != shown:
            shown = exercise.topic
            lines.append(f"{shown}")
        best, most = float(found.get("score") or 0), sum(exercise.stages.values())
        score = f"  (best: {points(best)} of {points(most)} points)" if mark == "…" else ""
        effort = f"{exercise.level:<9} {exercise.minutes:>2} min"
        lines.append(f"  {mark} {exercise.name:<22} {effort}  {exercise.title}{score}")
    lines.append(f"{done} of {len(exercises())} passed. ✓ passed, … tried, · to do.")
    lines.append(
        f"Left, about: {', '.join(f'{kind} {in_hours(minutes)}' for kind, minutes in left.items() if minutes)}."
        if any(left.values())
        else "Nothing is left to do."
    )
    return Progress("\n".join([*lines, *hunts_found(known)]))


def in_hours(minutes: int) -> str:
    """Minutes as a person says them: "40 min", "2 h", "5 h 33 min"."""
    hours, rest = divmod(minutes, 60)
    return " ".join([f"{hours} h"] * bool(hours) + [f"{rest} min"] * bool(rest or not hours))


def hunts_found(known: dict[str, dict[str, Any]]) -> list[str]:
    """A line about the hunts, if one was begun."""
    begun = sum(name.startswith(HUNT) for name in known)
    if not begun:
        return []
    solved = solved_hunts(known)
    names = f" ({', '.join(map(' '.join, solved))})" if solved else ""
    more = f"; {begun - len(solved)} begun" if begun > len(solved) else ""
    return [f"{counted(len(solved), 'hunt')} solved{names}, {counted(sum(solved.values()), 'point')}{more}."]


def solved_hunts(known: dict[str, dict[str, Any]]) -> dict[tuple[str, str], int]:
    """(part, seed) -> points, of the hunts in a record that are solved."""
    return {
        (part, seed): one["points"] if type(one.get("points")) is int else 0
        for name, one in known.items()
        if name.startswith(HUNT) and one.get("solved") is True
        for part, _, seed in [name.removeprefix(HUNT).rpartition(" ")]
    }
