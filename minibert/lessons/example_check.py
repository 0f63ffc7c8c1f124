"""A check as the README shows it: an answer with mistakes, and what the checker really says about it."""

from __future__ import annotations

from typing import Any

from minibert import plots
from minibert.exercises.calls import make_call
from minibert.exercises.catalogue import exercises
from minibert.exercises.check import evaluate
from minibert.exercises.result import Result
from minibert.plots.style import Picture

EXERCISE = "attention"
ANSWER = """\
def attention(q, k, v, mask=None):
    return (q @ k.transpose(-2, -1)).softmax(-2) @ v
"""
CALL = f'minibert.check("{EXERCISE}", {EXERCISE})'


def result() -> Result:
    """What the check of the answer finds."""
    space: dict[str, Any] = {}
    exec(ANSWER, space)
    # Not `check`, which would note the attempt in the record of the learner who builds the lessons.
    return evaluate(exercises()[EXERCISE], lambda call: make_call(space[EXERCISE], call))


def drawn_check() -> Picture:
    """The answer, the call and the result, as a picture."""
    found = result()
    head, *_ = str(found).split("\n")
    stages = [(stage.sign, stage.name) for stage in found.stages if stage.max_points]
    return plots.checked(ANSWER, CALL, head, stages, found.diagnosis or "", "Next hint: " + found.hints[0])
