"""What the learner's BERT is and what it did, as plain data and in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple, cast

import torch
from torch import nn

from minibert import factory
from minibert.encoder import EncoderBlock
from minibert.exercises.catalogue import exercises
from minibert.own.wiring import elsewhere
from minibert.own.working import Parts
from minibert.words import counted

YOURS, LIBRARY, FAILED = "✓", "·", "!"


class Row(NamedTuple):
    """One exercise in the list of parts. sign: YOURS, LIBRARY or FAILED. note: what it did, or why it did not."""

    sign: str
    name: str
    title: str
    topic: str
    note: str


def rows(parts: Parts) -> list[Row]:
    """All exercises in their order: whose part works, and how often it has been called so far."""
    found = []
    for name, exercise in exercises().items():
        working = parts.working.get(name)
        if name in parts.failed:
            sign, note = FAILED, f"the library's, because {parts.failed[name]}"
        elif working is None:
            sign, note = LIBRARY, "left out: the library's" if name in parts.without else "still the library's"
        else:
            times = f"{working.calls:,} time{'s' if working.calls > 1 else ''}"
            sign, note = YOURS, f"yours, called {times}" if working.calls else f"yours, works {elsewhere(exercise)}"
        found.append(Row(sign, name, exercise.title, exercise.topic, note))
    return found


def of(model: nn.Module) -> str:
    """A model of the learner's in a few lines: how many parts are yours, and which."""
    parts = cast(Parts, model.parts)
    lines = [
        f"Your {type(model).__name__.removeprefix('My')}: {factory.count_parameters(model) / 1e6:.1f}M parameters, "
        f"{len(parts.yours)} of {len(exercises())} parts yours, in {counted(own_lines(parts), 'line')}"
    ]
    for topic, listed in _by_topic(rows(parts)):
        lines.append(f"  {topic:<14}{'  '.join(f'{row.sign} {row.name}' for row in listed)}")
    return "\n".join([*lines, f"{YOURS} yours, {LIBRARY} still the library's; `minibert mine` shows what it does"])


def _by_topic(listed: Sequence[Row]) -> Iterator[tuple[str, list[Row]]]:
    for topic in dict.fromkeys(row.topic for row in listed):
        yield topic, [row for row in listed if row.topic == topic]


def own_lines(parts: Parts) -> int:
    """The lines of code of the parts that are used, without comments and empty ones."""
    return sum(parts.working[name].part.lines for name in parts.yours)


def parameters_in_own_code(model: nn.Module) -> int:
    """How many of the model's parameters have been passed to one of the learner's functions so far, each once."""
    seen = {number for working in cast(Parts, model.parts).working.values() for number in working.parameters}
    return sum(one.numel() for one in model.parameters() if id(one) in seen)


def parts_by_block(model: nn.Module) -> list[list[str]]:
    """The parts that have been called in each of the model's blocks so far."""
    blocks = sum(isinstance(part, EncoderBlock) for part in model.modules())
    parts = cast(Parts, model.parts)
    return [[name for name in parts.yours if number in parts.working[name].blocks] for number in range(blocks)]


def difference(mine: torch.Tensor, theirs: torch.Tensor) -> float:
    """The largest difference of two tensors of one shape; infinite where one of them is not a number."""
    return float((mine - theirs).abs().nan_to_num(nan=torch.inf).max())
