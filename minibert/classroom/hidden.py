"""Hidden probes: those of the catalogue with other numbers, which depend on a seed that learners do not know."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import replace
from functools import cache

from minibert.exercises.catalogue import exercises
from minibert.exercises.declare import Exercise
from minibert.exercises.moved import varied


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
