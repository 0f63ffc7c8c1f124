"""The same probes with other numbers.

When a class is marked, the probes are not those of the catalogue, which learners can read, and the box of a hunt gives
new arguments each time. `varied` changes decimals and seeds for all exercises alike. What integers and texts mean, only
the exercise knows: `Exercise.moved` is made of the functions below it.
"""

from __future__ import annotations

import random
import string
import unicodedata
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from minibert.exercises.calls import Built, Call
from minibert.exercises.declare import Exercise, Probe


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
    """The first argument is a tensor of ids, the second the id of padding: the ids above it become others.

    Ids up to that of padding stay, and so do 0 and 1: that these can be tokens is what some answers forget.
    """
    ids, padding = probe.call.args
    free = range(padding + 10, 30_000)
    table = {one: chance.choice(free) if one > max(padding, 1) else one for one in {*ids.flatten().tolist()}}
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
