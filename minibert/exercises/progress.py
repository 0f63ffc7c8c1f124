"""What a learner has passed on this machine: one small file beside the downloads."""

from __future__ import annotations

import json
import os
from datetime import date
from pathlib import Path

from minibert.assets import cache_folder
from minibert.errors import MinibertError
from minibert.exercises.engine import Result
from minibert.files import write_file


def file() -> Path:
    """Where the record is kept: MINIBERT_PROGRESS, if that is set."""
    return Path(os.environ.get("MINIBERT_PROGRESS") or cache_folder() / "progress.json")


def recorded() -> dict[str, dict[str, object]]:
    """An exercise's name -> its best score, whether it was passed and when. Raises MinibertError for a broken file."""
    try:
        found = json.loads(file().read_text(encoding="utf-8"))
        if not isinstance(found, dict) or not all(isinstance(one, dict) for one in found.values()):
            raise ValueError("not a record")
        return found
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise MinibertError(f"{file()} cannot be read ({error}): move it away to start a new record.") from None


def remember(result: Result) -> None:
    """Keep a result if it is better than what is there. A record that cannot be kept stops nobody from learning."""
    if result.status not in ("passed", "failed"):
        return
    try:
        known = recorded()
        before = known.get(result.exercise.name, {})
        if before.get("passed") or float(before.get("score", -1)) > result.score:
            return
        now = {"passed": result.passed, "score": result.score, "of": result.max_score, "date": str(date.today())}
        write_file(file(), json.dumps(known | {result.exercise.name: now}, indent=1) + "\n")
    except (MinibertError, TypeError, ValueError):
        return


class Progress(str):
    """Text that a notebook shows with its line breaks."""

    __repr__ = str.__str__


def progress() -> Progress:
    """The map of exercises: what is passed, what was tried, what is to do."""
    from minibert.exercises.catalogue import exercises

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
