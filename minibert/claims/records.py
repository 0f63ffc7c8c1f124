"""What a claim is, what a result is, and how a result that took time to measure is stored.

A measurement (minibert.experiments) gives figures, and a rule turns the figures into a verdict. Only the figures are
stored; whenever they are read, the verdict is worked out again. So another machine's figures can lead to another
verdict, and a verdict can never disagree with its figures.
"""

from __future__ import annotations

import datetime
import json
import re
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from minibert.errors import MinibertError
from minibert.experiments.reading import Reading
from minibert.files import read_json, write_file

VERDICTS = HOLDS, CONDITION, FAILS, UNMEASURED = (
    "holds",
    "holds with a condition",
    "does not hold",
    "not measured here",
)
# How a claim is checked. counted: from the parameters. tried: by running a few lines of code. timed, trained: measured
# once and recorded.
KINDS = ("counted", "tried", "timed", "trained")
RECORDED = Path(__file__).parent / "recorded"  # one <id>.json per claim

# A name -> a number, a list of numbers or, rarely, a text. "seeds" is among them if something is drawn at random.
Figures = dict[str, Any]


class Judgement(NamedTuple):
    ours: str  # what was measured, for people
    verdict: str  # one of VERDICTS
    why: str  # a sentence or two
    brief: str = ""  # `ours` in a few words, for the README's table


NOT_RECORDED = Judgement("–", UNMEASURED, "No measurement is recorded; `minibert claims --help` says how to make one.")


@dataclass(frozen=True)
class Claim:
    """Something that is said about a model, and how it is checked."""

    id: str
    short: str  # the statement in a few words, for the README's table
    statement: str
    source: str
    models: tuple[str, ...]
    paper_value: str
    kind: str  # one of KINDS
    # Returns the figures; if the claim is timed or trained, it takes quick and progress. None: not measured here.
    measure: Callable[..., Figures] | None = None
    judge: Callable[[Figures], Judgement] | None = None  # figures -> what they say
    unmeasured: Judgement = NOT_RECORDED  # as long as there are no figures
    needs_reading: bool = False  # whether only models that read can decide it; see experiments/reading.py

    @property
    def is_recorded(self) -> bool:
        """Whether its figures are stored in a file; those of other claims are measured again in milliseconds."""
        return self.kind in ("timed", "trained")


@dataclass(frozen=True)
class Result:
    """What was found about a claim. machine, date and commit are set if the figures were recorded."""

    id: str
    ours: str
    verdict: str
    why: str
    brief: str = ""
    figures: Figures = field(default_factory=dict)
    machine: dict[str, Any] | None = None  # see timing.machine
    date: str | None = None  # YYYY-MM-DD
    commit: str | None = None  # of this package, with "-dirty" if files had changed since


def judged(claim: Claim, figures: Figures | None, **where: Any) -> Result:
    """The result that follows from the figures; without figures, what the claim says until it is measured.

    A claim that needs a model that reads gets no verdict from models that do not.
    """
    ours, verdict, why, brief = claim.unmeasured if figures is None else claim.judge(figures)
    if figures is not None and claim.needs_reading:
        reading = Reading.of(figures)
        why = f"{why} {reading.in_words()}"
        verdict = verdict if reading.reads else UNMEASURED
    return Result(claim.id, ours, verdict, why, brief, figures or {}, **where)


def record(result: Result) -> Path:
    """Store a measured result's figures in the package, replacing older ones. Returns the file.

    Raises MinibertError when the result has no machine and date (it was counted or read, not measured), or when the
    file cannot be written; the older file is then untouched.
    """
    if result.machine is None:
        raise MinibertError(
            f"{result.id} has nothing to record: only what `measure` has just timed or trained can be recorded."
        )
    kept = {
        "id": result.id,
        "date": result.date,
        "commit": result.commit,
        "machine": result.machine,
        "figures": result.figures,
    }
    text = json.dumps(kept, indent=1, ensure_ascii=False)
    one_line_a_list = re.sub(r"\[\s+([-+\d\s.,e]*?)\s+\]", lambda list: f"[{' '.join(list[1].split())}]", text)
    path = RECORDED / f"{result.id}.json"
    write_file(path, one_line_a_list + "\n")
    return path


def recorded(claim: Claim) -> Result:
    """The recorded result of a claim, judged now; if none is recorded, what the claim says until then.

    Raises MinibertError when the record cannot be read.
    """
    path = RECORDED / f"{claim.id}.json"
    if not path.exists():
        return judged(claim, None)
    try:
        kept = read_json(path)
        where = {name: kept[name] for name in ("machine", "date", "commit")}
        return judged(claim, kept["figures"], **where)
    except (ValueError, KeyError, TypeError) as error:
        raise MinibertError(
            f"the recorded result {path.name} cannot be read ({error!r}): measure {claim.id} again and record it."
        ) from error


def today() -> str:
    return datetime.date.today().isoformat()


def commit() -> str | None:
    """The commit of the checkout that this package runs from; None when it is installed without one."""
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():
        return None
    try:
        asked = subprocess.run(
            ["git", "-C", str(root), "describe", "--always", "--dirty", "--exclude=*"], capture_output=True, text=True
        )
    except OSError:  # no git on this machine
        return None
    return asked.stdout.strip() or None
