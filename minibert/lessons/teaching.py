"""The tables of lessons/TEACHING.md: how long each lesson takes, and schedules of 4, 8 and 14 weeks."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from minibert.claims.tables import fill_markers
from minibert.exercises.catalogue import exercises
from minibert.exercises.declare import LEVELS
from minibert.files import read_text, write_file
from minibert.lessons.lesson import Lesson, lessons
from minibert.words import counted, listed

# Weeks -> for each week the numbers of its lessons, and what to do together.
SCHEDULES: dict[int, tuple[tuple[str, str], ...]] = {
    4: (
        ("00 01 02 03", "the lab sheet (`tests/README.md`): delete the √K, guess what breaks, run the tests"),
        ("04 05 06", "a hunt in `layer-norm` in pairs; read `models/bert.py` together"),
        ("07 08", "read fifty wrong predictions of lesson 08 aloud; the table of mistakes from `report.md`"),
        ("09 15", "`minibert claims D2 --measure` on each laptop; the exam (`--until 09`)"),
    ),
    8: (
        ("00 01", "install, `minibert fetch`, the first check; what one head looks at (`minibert explore`)"),
        ("02 03", "the lab sheet: delete the √K, forget the transpose, guess what breaks"),
        ("04", "a hunt in `encoder-block` in pairs; the table of mistakes from `report.md`"),
        ("05", "cut the names of everybody in the room with all three tokenizers"),
        ("06 07", "count BERT-base on the board; the first exam (`--until 06`)"),
        ("08 09", "read wrong predictions aloud; a hunt in `distillation-loss`"),
        ("10 11", "`models/bert.py` next to `models/albert.py` and `models/roberta.py`"),
        ("15", "`minibert claims D2 --measure` on each laptop; groups present 12, 13 or 14; the exam (`--until 11`)"),
    ),
    14: (
        ("00 01", "install, `minibert fetch`, the first check; what one head looks at (`minibert explore`)"),
        ("02", "the lab sheet: forget the transpose when heads are merged"),
        ("03", "a hunt in `padding-mask` in pairs"),
        ("04", "the table of mistakes from `report.md`; a hunt in `encoder-block`"),
        ("05", "cut the names of everybody in the room with all three tokenizers"),
        ("06", "count BERT-base on the board; the first exam (`--until 06`)"),
        ("07", "a hunt in `mask-tokens`: draws, so call the box often and count"),
        ("08", "read fifty wrong predictions aloud, and sort them"),
        ("09", "guess which loss matters most before the lesson says so"),
        ("10", "`models/bert.py` next to `models/albert.py`; read Table 3 of Lan et al. 2020"),
        ("11 12", "read section 4 of Liu et al. 2019: one thing varied at a time"),
        ("13", "permute a sentence of five people on their feet: who may see whom?"),
        ("14", "greedy against beam on the board; what everybody's BERT is made of (`minibert mine`)"),
        ("15", "everybody judges a claim of their own; the exam"),
    ),
}
SHORT = 4  # weeks: the schedule that leaves the challenges to those who want them


def times_table() -> str:
    """Each lesson with the minutes of reading and of its exercises, by level. Challenges are not in the last column."""
    rows = ["| lesson | reading | exercises | minutes |", "| --- | ---: | --- | ---: |"]
    for one in lessons():
        tasked = ", ".join(f"{name} ({exercises()[name].level}, {exercises()[name].minutes})" for name in one.exercises)
        tasks = sum(exercises()[name].minutes for name in one.exercises if exercises()[name].level != "challenge")
        reading = max(0, one.minutes - tasks)
        rows.append(f"| {one.number} [{one.title}]({one.notebook.name}) | {reading} | {tasked} | {one.in_sittings} |")
    return "\n".join(rows)


def minutes_of(one: Lesson, challenges: bool) -> int:
    """About how long a lesson takes, with or without its challenges."""
    added = [name for name in one.exercises if exercises()[name].level == "challenge"] if challenges else []
    return one.minutes + sum(exercises()[name].minutes for name in added)


def schedule_table(weeks: int) -> str:
    """What happens in each week, and how long learners work by themselves."""
    known = {one.number: one for one in lessons()}
    rows = ["| week | lessons | alone | together |", "| ---: | --- | ---: | --- |"]
    for week, (numbers, together) in enumerate(SCHEDULES[weeks], 1):
        chosen = [known[number] for number in numbers.split()]
        minutes = sum(minutes_of(one, weeks != SHORT) for one in chosen)
        links = ", ".join(f"[{one.number}]({one.notebook.name})" for one in chosen)
        rows.append(f"| {week} | {links} | {hours(minutes)} | {together} |")
    return "\n".join(rows)


def hours(minutes: int) -> str:
    """Minutes as hours and minutes: "1 h 25", "55 min"."""
    whole, rest = divmod(minutes, 60)
    return f"{minutes} min" if not whole else f"{whole} h {rest:02}" if rest else f"{whole} h"


def levels_said(chosen: Iterable[str]) -> str:
    """How many exercises there are, by level."""
    levels = [exercises()[name].level for name in chosen]
    each = listed(f"{levels.count(level)} {level}" for level in LEVELS)
    return f"{counted(len(levels), 'exercise')}: {each}."


def blocks() -> dict[str, str]:
    """What stands between the markers of TEACHING.md."""
    every = dict.fromkeys(name for one in lessons() for name in one.exercises)
    total, whole = (sum(minutes_of(one, challenges) for one in lessons()) for challenges in (False, True))
    said = f"All lessons together: about {hours(total)}, with the challenges {hours(whole)}. {levels_said(every)}"
    tables = {f"weeks-{weeks}": schedule_table(weeks) for weeks in SCHEDULES}
    return {"times": f"{times_table()}\n\n{said}", **tables}


def update_teaching(path: Path) -> None:
    """Write the tables of TEACHING.md between its markers. Raises MinibertError if a marker is missing.

    A folder that was handed out to a class has no such file, and then there is nothing to write.
    """
    if not path.exists():
        return
    before = read_text(path)
    after = fill_markers(before, blocks())
    if after != before:
        write_file(path, after)
