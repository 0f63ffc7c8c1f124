"""What an exam question is: a template draws one with numbers of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

LETTERS = "abcd"  # of the options of a question


@dataclass(frozen=True)
class Question:
    """A question with its key, both in Markdown.

    text: what is asked. answer: what the library computed. why: how it is worked out. facts: the numbers that were
    drawn and what was computed from them, so that a test can work them out again.
    """

    text: str
    answer: str
    why: str
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Template:
    """Questions of one kind. name: different for all templates of a form. lesson: the number of the lesson after which
    it can be answered. draw: makes a question with the numbers of a generator."""

    name: str
    lesson: int
    draw: Callable[[Random], Question]


def options_of(random: Random, right: str, wrong: Sequence[str]) -> tuple[str, str]:
    """The right option among the wrong ones, in a drawn order: as Markdown, and the letter of the right one."""
    every = [right, *wrong]
    random.shuffle(every)
    listed = "\n".join(f"- **{letter}.** {text}" for letter, text in zip(LETTERS, every, strict=True))
    return listed, LETTERS[every.index(right)]


def distinct(random: Random, **ranges: range) -> dict[str, int]:
    """A number from each range, all different, so that no size can be taken for another one."""
    while True:
        drawn = {name: random.choice(values) for name, values in ranges.items()}
        if len({*drawn.values()}) == len(drawn):
            return drawn
