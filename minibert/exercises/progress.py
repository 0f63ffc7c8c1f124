"""What a learner has passed on this machine: one small file in the cache folder."""

from __future__ import annotations

import json
import os
from datetime import date
from pathlib import Path
from typing import Any

from minibert.assets import cache_folder
from minibert.errors import MinibertError
from minibert.exercises.catalogue import exercises
from minibert.files import write_json


def file() -> Path:
    """The file of the record: MINIBERT_PROGRESS, if that is set."""
    return Path(os.environ.get("MINIBERT_PROGRESS") or cache_folder() / "progress.json")


def recorded() -> dict[str, dict[str, Any]]:
    """Exercise -> its best score, and whether and when it was passed. Raises MinibertError for a broken file."""
    try:
        found = json.loads(file().read_text(encoding="utf-8"))
        if not isinstance(found, dict) or not all(isinstance(one, dict) for one in found.values()):
            raise ValueError("it is not a record of exercises")
        return found
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise MinibertError(f"{file()} cannot be read ({error}): move or delete it to start a new record.") from None


def remember(exercise: str, passed: bool, score: float, max_score: float) -> None:
    """Keep a score if it is better than the recorded one. If the file cannot be written, nothing is raised."""
    try:
        known = recorded()
        before = known.get(exercise, {})
        if before.get("passed") or float(before.get("score", -1)) > score:
            return
        now = {"passed": passed, "score": score, "of": max_score, "date": str(date.today())}
        write_json(file(), known | {exercise: now}, indent=1)
    except (MinibertError, TypeError, ValueError):
        return


class Progress(str):
    """A string that a notebook shows with its line breaks."""

    __repr__ = str.__str__


def progress() -> Progress:
    """The list of exercises: which are passed, which were tried, which are still to do."""
    known = recorded()
    lines, topic = [], ""
    for exercise in exercises().values():
        if exercise.topic != topic:
            topic = exercise.topic
            lines.append(f"{topic}")
        found = known.get(exercise.name, {})
        mark = "✓" if found.get("passed") else "…" if found else "·"
        best, points = float(found.get("score") or 0), sum(exercise.stages.values())
        score = f"  (best: {best:g} of {points:g} points)" if mark == "…" else ""
        lines.append(f"  {mark} {exercise.name:<22} {exercise.title}{score}")
    done = sum(bool(found.get("passed")) for name, found in known.items() if name in exercises())
    return Progress("\n".join([*lines, f"{done} of {len(exercises())} passed. ✓ passed, … tried, · to do"]))
