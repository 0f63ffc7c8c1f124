"""The exercises, one file a topic, in the order of the lessons.

Each is declared with a reference that has knobs; see `engine.Exercise`. The tests hold that every known mistake fails
and is named as itself, that no two coincide, and that right answers written in other ways pass.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module

from minibert.exercises.engine import Exercise

TOPICS = ("attention", "encoder", "bert", "wordpiece", "masking", "distillation", "albert", "claims")


@cache
def exercises() -> dict[str, Exercise]:
    """Every exercise by its name, in the order in which they are best done."""
    found = [one for topic in TOPICS for one in import_module(f"{__name__}.{topic}").EXERCISES]
    return {exercise.name: exercise for exercise in found}
