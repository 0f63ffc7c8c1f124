"""Hidden probes: those of the catalogue with other numbers, which depend on a seed that learners do not know."""

from __future__ import annotations

import hashlib
import random
import secrets
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Any

import torch
from torch import Tensor

from minibert.exercises.calls import Built, Call
from minibert.exercises.catalogue import exercises
from minibert.exercises.declare import Exercise, Probe


def new_seed() -> int:
    return secrets.randbits(63)


def seed_for(secret: int, content: bytes) -> int:
    """A seed for one submission: the same for the same content, and not to be told from it without the secret."""
    digest = hashlib.blake2b(content, key=(secret % 2**64).to_bytes(8, "big"), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


@cache
def hidden(name: str, seed: int) -> Exercise:
    """The exercise with other numbers in its probes, which depend on the seed."""
    exercise = exercises()[name]
    return replace(
        exercise,
        probes=lambda: [varied(exercise, probe, f"{seed} {n}") for n, probe in enumerate(exercise.probes())],
    )


def varied(exercise: Exercise, probe: Probe, seed: object) -> Probe:
    """The probe with other decimals, seeds and, where the exercise says how, integers; masks stay as they are.

    What is equal in the probe stays equal: a tensor that is there twice, and a vector with equal entries.
    """
    chance = random.Random(f"{seed} of {exercise.name}")
    generator = torch.Generator().manual_seed(chance.getrandbits(63))
    shift = chance.randrange(1, 2**31)
    known: dict[int, tuple[Any, Any]] = {}  # of tensors and lists: the first is kept so that no number is used twice

    def change(value: Any) -> Any:
        if isinstance(value, (Tensor, list)):
            if id(value) not in known:
                known[id(value)] = (value, changed(value))
            return known[id(value)][1]
        return changed(value)

    def changed(value: Any) -> Any:
        if isinstance(value, Tensor) and value.is_floating_point():
            flat = value.dim() > 0 and value.shape[-1] > 1 and bool((value == value[..., :1]).all())
            noise = torch.randn(value.shape, generator=generator, dtype=value.dtype)
            noise = noise[..., :1].expand_as(noise) if flat else noise
            return torch.where(value == 0, value, value * (1 + 0.1 * noise))
        if isinstance(value, Built) and value.name in ("generator", "random"):
            return replace(value, arguments=(value.arguments[0] + shift, *value.arguments[1:]))
        if isinstance(value, Mapping):
            return {name: change(one) for name, one in value.items()}
        if isinstance(value, list) and value and all(type(one) is float for one in value):
            noise = torch.rand(len(value), generator=generator, dtype=torch.float64).tolist()
            return [one * (0.98 + 0.04 * extra) for one, extra in zip(value, noise, strict=True)]
        if isinstance(value, (list, tuple)):
            return type(value)(change(one) for one in value)
        return value

    def other(call: Call) -> Call:
        return replace(call, args=change(call.args), kwargs=change(call.kwargs), again=change(call.again))

    probe = replace(probe, call=other(probe.call), more=tuple(map(other, probe.more)))
    return exercise.moved(probe, chance) if exercise.moved is not None else probe
