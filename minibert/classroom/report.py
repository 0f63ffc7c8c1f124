"""The marks as files: a table, a report for the teacher, and Gradescope's results.json.

What comes from submissions, names of files included, is shown as plain text: no page, spreadsheet or terminal that
shows these files obeys it.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

from minibert.classroom.marking import NOT_ATTEMPTED, NOT_READ, Marked
from minibert.classroom.replies import clean
from minibert.classroom.submissions import HandedIn
from minibert.exercises.catalogue import exercises

_ESCAPED = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "[": "&#91;", "]": "&#93;", "://": "&#58;//", "@": "&#8203;&#64;"}
_MARKUP = re.compile(r"://|www\.|[&<>\[\]@\\`*_~#|$]", re.IGNORECASE)


def in_markdown(text: str) -> str:
    """A text from a submission as plain text in Markdown: without links, HTML and emphasis."""

    def escaped(found: re.Match[str]) -> str:
        mark = found[0]
        return _ESCAPED.get(mark) or (f"{mark[:-1]}&#46;" if len(mark) > 1 else f"\\{mark}")

    return _MARKUP.sub(escaped, " ".join(clean(text).split()))


def in_cell(text: str) -> str:
    """A text that a spreadsheet does not read as a formula."""
    text = " ".join(clean(text).split(" ")).translate({9: " ", 10: " ", 13: " "})
    return f"'{text}" if text.strip().startswith(("=", "+", "-", "@", "＝", "＋", "－", "＠", "|", "%")) else text


def file_name(label: str) -> str:
    """The path of a submission's results.json, from the submission's own path.

    It is the same path wherever it can be written. Names that are too long, or not text, are cut and get a number.
    """
    parts = []
    for number, part in enumerate(label.split("/")):
        raw = part.encode("utf-8", "surrogateescape")
        taken = number == 0 and part in ("grades.csv", "report.md", ".marking")
        if len(raw) > 200 or raw.decode("utf-8", "replace") != part or taken or any(ord(one) < 32 for one in part):
            stem = clean(raw.decode("utf-8", "replace"), 10**6)
            stem = stem.encode()[:150].decode("utf-8", "ignore").replace("\n", " ").replace("\t", " ")
            part = f"{stem}-{hashlib.sha256(raw).hexdigest()[:8]}"
        parts.append(part)
    return f"{'/'.join(parts)}.results.json"


def table(marked: Iterable[Marked], names: Sequence[str]) -> str:
    """A CSV with one row for each submission: its points, and the score and status of each exercise."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["submission", "score", "max_score", *(f"{n}{what}" for n in names for what in ("", " status"))])
    for one in marked:
        cells = [cell for m in one.marks for cell in (f"{m.score:g}", m.status)]
        rows.writerow([in_cell(one.name), f"{one.score:g}", f"{one.max_score:g}", *cells])
    return text.getvalue()


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
        "output": clean("\n".join(marked.problems), 20_000),
        "output_format": "text",
        "visibility": "visible",
        "stdout_visibility": "hidden",
        "tests": tests,
    }
    return json.dumps(whole, indent=1) + "\n"


def report(
    marked: Sequence[Marked], names: Sequence[str], seed: int, of: int | None = None, loose: Sequence[HandedIn] = ()
) -> str:
    """The report for the teacher: results by exercise, how often each mistake was made, and each submission.

    of: how many submissions there are, if not all are marked yet. loose: files that are not taken for submissions.
    """
    count = len(marked)
    still = "" if of is None or of == count else f" of {of}; the same command marks the others"
    lines = [
        f"# {count} submission{'s' * (count != 1)}{still}",
        "",
        f"Hidden probes: seed {seed} (`--seed {seed}` gives the same marks again).",
        f"Protections while the submissions ran: {_protections(marked)}.",
        "",
        "| exercise | level | passed | failed | not attempted | not read | mean points |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for at, name in enumerate(names):
        marks = [one.marks[at] for one in marked]
        counts = Counter(m.status for m in marks)
        passed, absent, unread = (counts[status] for status in ("passed", NOT_ATTEMPTED, NOT_READ))
        mean = sum(m.score for m in marks) / max(count, 1)
        most = marks[0].max_score if marks else 0
        level = exercises()[name].level
        failed = count - passed - absent - unread
        lines.append(f"| {name} | {level} | {passed} | {failed} | {absent} | {unread} | {mean:.1f} of {most:g} |")
    lines += ["", "## Known mistakes, and in how many submissions", "", *_mistakes(marked)]
    lines += ["", "## Not read, or not completely", "", *_troubles(marked)]
    if loose:
        lines += ["", "## Ignored: loose files that cannot be submissions", ""]
        lines += [f"- {in_markdown(one.label)}: {in_markdown(one.unread)}" for one in loose]
    lines += ["", "## Equal submissions", "", *_equals(marked)]
    lines += ["", "## Each submission", ""]
    for one in marked:
        lines += [f"### {in_markdown(one.name)}: {one.score:g} of {one.max_score:g} points, {one.seconds:.1f} s", ""]
        lines += [f"- {in_markdown(problem)}" for problem in one.problems]
        lines += [
            f"- {m.exercise}: {m.status}, {m.score:g} of {m.max_score:g}"
            + (f". {in_markdown(m.text)}" if m.text else "")
            for m in one.marks
            if m.status not in (NOT_ATTEMPTED, NOT_READ)
        ]
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def _mistakes(marked: Sequence[Marked]) -> list[str]:
    counted = Counter((m.exercise, mistake) for one in marked for m in one.marks for mistake in m.mistakes)
    return [
        f"- {times} × **{mistake}** ({exercise}): {_says(exercise, mistake)}"
        for (exercise, mistake), times in counted.most_common()
    ] or ["None was recognised."]


def _troubles(marked: Sequence[Marked]) -> list[str]:
    """One line for each submission of which something was not read, left out, or failed."""
    lines = []
    for one in marked:
        first = [in_markdown(clean(problem, 200)) for problem in one.problems[:3]]
        more = [f"and {len(one.problems) - 3} more, see below"] * (len(one.problems) > 3)
        errors = [f"{m.exercise} could not be marked" for m in one.marks if m.status == "error"]
        if first or errors:
            lines.append(f"- {in_markdown(one.name)}: {'; '.join([*first, *more, *errors])}")
    return lines or ["Nothing: all of each submission was read and run."]


def _equals(marked: Sequence[Marked]) -> list[str]:
    groups: dict[str, list[Marked]] = defaultdict(list)
    for one in marked:
        if one.twin:
            groups[one.twin].append(one)
    lines = [
        f"- {' = '.join(in_markdown(one.name) for one in group)} ({group[0].functions} "
        f"function{'s' * (group[0].functions != 1)})"
        for group in groups.values()
        if len(group) > 1
    ]
    if not lines:
        return ["None."]
    return [
        "Their functions differ only in names, comments and layout. Short answers can be equal by chance.",
        "",
        *lines,
    ]


def _protections(marked: Sequence[Marked]) -> str:
    """Which protections were on in all processes, and which were not."""
    all_of_them: list[Mapping[str, bool]] = [one.protections for one in marked if one.protections]
    names = dict.fromkeys(name for one in all_of_them for name in one)
    said = [f"{name} {'yes' if all(one.get(name) for one in all_of_them) else 'NO'}" for name in names]
    return ", ".join(said) or "nothing was run"


def _says(exercise: str, mistake: str) -> str:
    return next((one.says for one in exercises()[exercise].mistakes if one.name == mistake), "")
