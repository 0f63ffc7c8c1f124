"""Other numbers, letters and sizes for probes that hold no decimals: what `Exercise.moved` is made of.

When a class is marked, the probes are not those of the catalogue, which learners can read. Decimals and seeds are
changed for all exercises alike (classroom/hidden.py); what integers and texts mean, only the exercise knows.
"""

from __future__ import annotations

import random
import string
import unicodedata
from dataclasses import replace
from typing import Any

from minibert.exercises.calls import Built
from minibert.exercises.declare import Probe


def with_args(probe: Probe, *args: Any, name: str | None = None) -> Probe:
    return replace(probe, name=name or probe.name, call=replace(probe.call, args=args))


def other_length(probe: Probe, chance: random.Random) -> Probe:
    """The single argument is a length S. Lengths of 1 and 2 are special and stay."""
    (length,) = probe.call.args
    if length <= 2:
        return probe
    other = length + chance.randrange(1, 30)
    return replace(with_args(probe, other, name=f"of length {other}"), axes={"S": other})


def other_letters(probe: Probe, chance: random.Random) -> Probe:
    """The first argument is a word, or its symbols, the second a vocabulary: the letters of both are exchanged in the
    same way.

    A vocabulary may hold pieces, or pairs of pieces, or have pieces as its keys. Letters that also occur with an accent
    stay. So do names in brackets, such as [UNK].
    """
    word, vocabulary, *rest = probe.call.args
    texts = [*_texts(word), *_texts(vocabulary)]
    accented = {unicodedata.normalize("NFD", one)[0].lower() for text in texts for one in text if not one.isascii()}
    free = [letter for letter in string.ascii_lowercase if letter not in accented]
    table = dict(zip(free, chance.sample(free, len(free)), strict=True))
    table |= {a.upper(): b.upper() for a, b in table.items()}

    def moved(value: Any) -> Any:
        if isinstance(value, str):
            named = len(value) > 1 and value[0] in ("[", "<")
            return value if named else "".join(table.get(letter, letter) for letter in value)
        if isinstance(value, dict):
            return {moved(piece): score for piece, score in value.items()}
        return type(value)(map(moved, value))

    other = moved(word)
    name = probe.name.replace(repr("".join(word)), repr("".join(other)))
    return with_args(probe, other, moved(vocabulary), *rest, name=name)


def _texts(value: Any) -> list[str]:
    """All strings in nested lists and pairs, and the keys of a dict."""
    return [value] if isinstance(value, str) else [text for one in value for text in _texts(one)]


def other_token_ids(probe: Probe, chance: random.Random) -> Probe:
    """The first argument is a tensor of ids, the second the id of padding: all ids but that become others."""
    ids, padding = probe.call.args
    free = [one for one in range(10, 30_000) if one != padding]
    table = {one: padding if one == padding else chance.choice(free) for one in sorted({*ids.flatten().tolist()})}
    return with_args(probe, ids.clone().apply_(table.__getitem__), padding)


def other_ids(probe: Probe, chance: random.Random) -> Probe:
    """Lists of ids are arguments: each id becomes another one. What is no list stays."""
    known = sorted({one for arg in probe.call.args if isinstance(arg, list) for one in arg})
    table = dict(zip(known, chance.sample(range(1000, 30_000), len(known)), strict=True))
    return with_args(probe, *([table[one] for one in arg] if isinstance(arg, list) else arg for arg in probe.call.args))


def other_sizes(probe: Probe, chance: random.Random) -> Probe:
    """The arguments are V, D, L, F, P and more: V, F and P become a little larger."""
    vocabulary, width, layers, inner, *rest = probe.call.args
    if rest:
        rest[0] += chance.randrange(1, 20)
    sizes = (vocabulary + chance.randrange(1, 200), width, layers, inner + chance.randrange(1, 20), *rest)
    return with_args(probe, *sizes, name=f"{probe.name}, with a few more rows")


def other_model(probe: Probe, chance: random.Random) -> Probe:
    """The arguments are built ones whose first is a size or the second a seed: see BUILDERS in calls.py."""

    def moved(arg: Any) -> Any:
        if not isinstance(arg, Built):
            return arg
        first, second, *rest = arg.arguments
        if arg.name == "block_maker":
            second = chance.randrange(10**6)
        elif arg.name == "counted":
            first += chance.randrange(1, 30)
        return replace(arg, arguments=(first, second, *rest))

    return with_args(probe, *map(moved, probe.call.args))
