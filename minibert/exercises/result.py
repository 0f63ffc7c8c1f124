"""What a check found: the points of its stages, the diagnosis, and the hints, as text and for a notebook."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from minibert.exercises.declare import Exercise
from minibert.words import points

NOT_REACHED = "not reached"
LONGEST_TEXT = 300  # characters of a diagnosis; the rest is behind hint()
LAST = "(This is the last hint.)"


class Stage(NamedTuple):
    """A stage of a check. text: what is wrong, in words; empty if it passed."""

    name: str
    passed: bool
    points: float
    max_points: float
    text: str

    @property
    def sign(self) -> str:
        return "✓" if self.passed else "·" if self.text == NOT_REACHED else "✗"


@dataclass
class Result:
    """The result of a check.

    status: "passed", "failed", "not attempted" or "reference" (the answer is the library's own code). diagnosis: what
    is wrong, in words, or None. mistakes: the names of the known mistakes that explain the answer. note: a further
    remark, for example that the answer ran inside a real model. cause: what is wrong, if it was found by a general
    mechanism and is not a known mistake of this exercise. more: what the diagnosis has no room for; `hint` begins with
    it.
    """

    exercise: Exercise
    status: str
    stages: list[Stage]
    diagnosis: str | None = None
    mistakes: tuple[str, ...] = ()
    note: str | None = None
    cause: str | None = None
    more: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        return self.status == "passed"

    @property
    def score(self) -> float:
        return round(sum(stage.points for stage in self.stages), 2)

    @property
    def max_score(self) -> float:
        return sum(self.exercise.stages.values())

    @property
    def line(self) -> str:
        """The stages in a line: "✓ signature  ✗ shape  · values"."""
        return "  ".join(f"{stage.sign} {stage.name}" for stage in self.stages if stage.max_points)

    @property
    def hints(self) -> list[str]:
        """All hints in their order; the last one says that it is the last."""
        if self.passed:
            return []
        *first, last = [*self.more, *hints_for(self.exercise, self.mistakes)]
        return [*first, f"{last}\n{LAST}"]

    def hint(self) -> str:
        """The next hint. Each call says a little more; the last hint is a sketch of the code."""
        if self.passed:
            return "It passes: no hint is needed."
        ladder = self.hints
        about = (self.exercise.name, self.mistakes, self.more)
        given = _hints_given.get(about, 0)
        _hints_given[about] = given + 1
        return ladder[min(given, len(ladder) - 1)]

    def require(self) -> None:
        """Raise AssertionError with the diagnosis unless the answer passed: for tests and graded cells."""
        if not self.passed:
            raise AssertionError(str(self))

    def __str__(self) -> str:
        if self.status in ("not attempted", "reference"):
            return f"{self._head}. {self.diagnosis or ''}".rstrip()
        lines = [self._head, self.line]
        lines += [text for text in (self.diagnosis, self.note) if text]
        if self.status == "failed":
            lines.append("(.hint() says more, a little at a time.)")
        return "\n".join(lines)

    __repr__ = __str__

    @property
    def _head(self) -> str:
        if self.status in ("not attempted", "reference"):
            return f"{self.exercise.name}: {self.status}"
        return f"{self.exercise.name}: {self.status}, {points(self.score)} of {points(self.max_score)} points"

    def _repr_html_(self) -> str:
        """For a notebook: the stages, the diagnosis in bold, and the hints one behind the other. No scripts."""
        lines = [f"<div>{_escaped(self._head)}</div>"]
        if self.status in ("passed", "failed"):
            marks = [
                f'<span style="color:{COLOURS[stage.sign]};white-space:nowrap;margin-right:1em">'
                f"{stage.sign} {_escaped(stage.name)}</span>"
                for stage in self.stages
                if stage.max_points
            ]
            lines.append(f"<div>{' '.join(marks)}</div>")
        if self.diagnosis:
            lines.append(f'<div style="margin:0.4em 0"><b>{_escaped(self.diagnosis)}</b></div>')
        if self.note:
            lines.append(f"<div>{_escaped(self.note)}</div>")
        if self.status == "failed":
            lines.append(_folded(self.hints))
        return f'<div style="{STYLE}">{"".join(lines)}</div>'


# Lines break between words; only what is longer than a whole line may be broken inside.
STYLE = "max-width:60em;line-height:1.5;word-break:normal;overflow-wrap:break-word;hyphens:none"
BUTTON = "cursor:pointer;display:inline-block;border:1px solid;border-radius:4px;padding:0 0.6em;margin:0.3em 0"
COLOURS = {"✓": "#1a7f37", "✗": "#c62828", "·": "#777777"}

_hints_given: dict[tuple[str, tuple[str, ...], tuple[str, ...]], int] = {}  # how many hints of a ladder were given


def _escaped(text: str) -> str:
    """As HTML, with what stands between backquotes as code."""
    parts = html.escape(text, quote=False).split("`")
    if len(parts) % 2 == 0:  # a backquote without a partner
        return html.escape(text, quote=False)
    return "".join(
        f'<code style="white-space:pre-wrap">{part}</code>' if n % 2 else part for n, part in enumerate(parts)
    )


def _folded(hints: Sequence[str], number: int = 0) -> str:
    """A button that shows a hint and the button for the next one; it works without any script."""
    if number == len(hints):
        return ""
    label = "Next hint" if number else "Hint"
    text = _escaped(hints[number]).replace("\n", "<br>")
    if "\n" in hints[number]:  # lines of code
        *code, last = hints[number].split("\n")
        code, rest = (code, last) if last == LAST else ([*code, last], "")
        text = f'<pre style="white-space:pre-wrap">{html.escape(chr(10).join(code), quote=False)}</pre>{rest}'
    inside = _folded(hints, number + 1)
    return f'<details><summary style="{BUTTON}">{label}</summary><div>{text}</div>{inside}</details>'


def hints_for(exercise: Exercise, mistakes: Sequence[str] = ()) -> list[str]:
    """The hints in their order. Those of the recognised mistakes come first.

    The nudge asks how to begin; to a recognised mistake it would say nothing, so it is left out there.
    """
    own = [mistake.hint for mistake in exercise.mistakes if mistake.name in mistakes and mistake.hint]
    hints = exercise.hints
    return [*own, *([] if mistakes else [hints.nudge]), hints.concept, hints.formula, hints.sketch]


def fitted(sentences: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    """As many of the sentences as a diagnosis has room for, and the others."""
    sentences = [sentence for sentence in dict.fromkeys(sentences) if sentence]
    if not sentences:
        return "", ()
    text, rest = sentences[0], list(sentences[1:])
    if len(text) > LONGEST_TEXT:
        return shortened(text), (text, *rest)
    left = []
    for sentence in rest:
        if len(text) + 1 + len(sentence) <= LONGEST_TEXT:
            text = f"{text} {sentence}"
        else:
            left.append(sentence)
    return text, tuple(left)


def shortened(text: str, most: int = LONGEST_TEXT) -> str:
    """The text, ended between two words if it is too long."""
    if len(text) <= most:
        return text
    cut = text[: most - 2].rsplit(" ", 1)[0]
    return f"{cut.rstrip(',;:. ')} …"
