"""How far two outcomes of a call are apart, as a number (`distance`) and in words (`differences`)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from minibert.exercises.calls import Other, Outcome
from minibert.exercises.crashes import same_crash
from minibert.exercises.declare import ERROR, TOLERANCE, Exercise, Probe
from minibert.words import listed, type_of

# ------------------------------------------------------------------------------------------- as a number


def seen(exercise: Exercise, probe: Probe, outcome: Outcome, error: float = ERROR) -> Outcome:
    """The outcome with its output as the exercise views it; unchanged if the view cannot be computed from it."""
    if outcome.problem is not None or exercise.view is None:
        return outcome
    try:
        return replace(outcome, output=exercise.view(outcome.output, probe.call, error))
    except Exception:
        return outcome


def distance(actual: Outcome, expected: Outcome, exercise: Exercise, values_only: bool = False) -> float:
    """The distance between two seen outcomes of one call, over everything that counts; inf if they differ in kind.

    values_only: compare neither the gradients nor what was changed in place.
    """
    if actual.problem or expected.problem:
        a, e = actual.problem, expected.problem
        return 0.0 if a and e and same_crash(a, e) else math.inf
    if values_only:
        return gap(actual.output, expected.output)
    if (set(actual.changed) ^ set(expected.changed)) - set(exercise.may_change):
        return math.inf
    if exercise.looks_at_aliases and actual.aliased != expected.aliased:
        return math.inf
    apart = gap(actual.output, expected.output)
    for mine, right in zip(actual.grads, expected.grads, strict=False):
        if math.isinf(apart):
            break
        apart = max(apart, gap(mine, right))
    return apart


def gap(actual: Any, expected: Any) -> float:
    """The largest distance that `differences` finds, without the words, which take most of the time."""
    if isinstance(expected, Tensor) and isinstance(actual, Tensor):
        if actual.shape != expected.shape or not _same_kind(actual, expected):
            return math.inf
        off = relative(actual.double(), expected.double())
        return float(off.max()) if off.numel() else 0.0
    if isinstance(expected, Mapping) and isinstance(actual, Mapping):
        if actual.keys() != expected.keys():
            return math.inf
        return max((gap(actual[name], expected[name]) for name in expected), default=0.0)
    if isinstance(expected, (list, tuple)) and isinstance(actual, (list, tuple)):
        if len(actual) != len(expected):
            return math.inf
        return max(map(gap, actual, expected), default=0.0)
    return max((one.distance for one in differences(actual, expected, {})), default=0.0)


def relative(a: Tensor, e: Tensor) -> Tensor:
    """For each entry, the distance of a from e, relative to 1 + the size of e. NaN is at distance inf from all but NaN.

    a, e: tensors of the same shape. Returns a tensor of that shape.
    """
    off = (a - e).abs() / (1 + e.abs())
    return torch.where((a == e) | (a.isnan() & e.isnan()), 0.0, off.nan_to_num(nan=math.inf, posinf=math.inf))


# ---------------------------------------------------------------------------------------------- in words


class Difference(NamedTuple):
    """One difference. kind: "problem", "type", "shape" or "value". distance: relative; inf for all other kinds."""

    kind: str
    text: str
    distance: float


def differences(actual: Any, expected: Any, axes: Mapping[str, int], where: str = "") -> Iterator[Difference]:
    """All places where two nested plain values differ. axes: letter -> size. where: the place of these two."""
    what = where or "the result"
    if isinstance(expected, Tensor):
        yield from _tensor_differences(actual, expected, axes, what)
    elif isinstance(expected, Mapping):
        if not isinstance(actual, Mapping):
            yield Difference("type", f"{what} is {_kind(actual)}, but should be a dict", math.inf)
            return
        missing, extra = [n for n in expected if n not in actual], [n for n in actual if n not in expected]
        named = {"lacks": missing, "has the unexpected": extra}
        if texts := [f"{verb} {_listed(keys)}" for verb, keys in named.items() if keys]:
            yield Difference("shape", f"{what} {listed(texts)}", math.inf)
        for name in expected:
            if name in actual:
                inside = f"{where}[{name!r}]" if where else repr(name)
                yield from differences(actual[name], expected[name], axes, inside)
    elif isinstance(expected, (list, tuple)):
        if not isinstance(actual, (list, tuple)):
            yield Difference("type", f"{what} is {_kind(actual)}, but should be {_kind(expected)}", math.inf)
            return
        if all(isinstance(one, str) for one in [*actual, *expected]):
            if list(actual) != list(expected):
                yield Difference("value", f"{what} is {_shown(actual)}, expected {_shown(expected)}", math.inf)
            return
        if len(actual) != len(expected):
            yield Difference("shape", f"{what} has length {len(actual)}, expected {len(expected)}", math.inf)
        for number, (a, e) in enumerate(zip(actual, expected, strict=False)):
            yield from differences(a, e, axes, f"{where}[{number}]" if where else f"entry {number}")
    elif isinstance(expected, float) or (isinstance(expected, int) and not isinstance(expected, bool)):
        yield from _number_differences(actual, expected, what)
    elif isinstance(expected, bool) and isinstance(actual, bool) and "'" in where:  # a statement about a random answer
        if actual != expected:
            verb = "should" if expected else "should not"
            end = "is not" if expected else "is"
            yield Difference("value", f"it {verb} be true that {where.strip(chr(39))}, and it {end}", math.inf)
    elif type(actual) is not type(expected):
        yield Difference("type", f"{what} is {_kind(actual)}, but should be {_kind(expected)}", math.inf)
    elif actual != expected:
        yield Difference("value", f"{what} is {actual!r}, expected {expected!r}", math.inf)


def _number_differences(actual: Any, expected: float, what: str) -> Iterator[Difference]:
    if isinstance(actual, Tensor) and actual.numel() == 1:
        actual = actual.item()
    if isinstance(actual, bool) or not isinstance(actual, (int, float)):
        yield Difference("type", f"{what} is {_kind(actual)}, but should be a number", math.inf)
    elif isinstance(expected, int) and isinstance(actual, float) and actual == expected:
        text = (
            f"{what} is {actual!r}, but should be the integer {expected} (a division by / gives a float, // an integer)"
        )
        yield Difference("type", text, math.inf)
    elif actual != expected and (actual == actual or expected == expected):  # NaN equals NaN here
        try:
            apart = abs(actual - expected) / (1 + abs(expected))
        except OverflowError:  # an integer that is too large for a float
            apart = math.inf
        apart = math.inf if math.isnan(apart) else apart
        yield Difference("value", f"{what} is {_number(actual)}, expected {_number(expected)}", apart)


def _tensor_differences(actual: Any, expected: Tensor, axes: Mapping[str, int], what: str) -> Iterator[Difference]:
    if isinstance(actual, (int, float)) and not isinstance(actual, bool) and expected.dim() == 0:
        actual = torch.tensor(float(actual), dtype=torch.float64)
    if not isinstance(actual, Tensor):
        yield Difference("type", f"{what} is {_kind(actual)}, but should be a tensor", math.inf)
    elif actual.shape != expected.shape:
        text = f"{what} has the shape {shape(actual, axes)}, expected {shape(expected, axes)}"
        yield Difference("shape", text, math.inf)
    elif not _same_kind(actual, expected):
        yield Difference("type", f"{what} holds {_numbers(actual)}, but should hold {_numbers(expected)}", math.inf)
    elif expected.numel():
        a, e = actual.double(), expected.double()
        off = relative(a, e)
        apart = float(off.max())
        if apart:
            yield Difference("value", _where_it_differs(a, e, off > TOLERANCE / 10, axes, what), apart)


def shape(tensor: Tensor, axes: Mapping[str, int]) -> str:
    """A shape in letters and numbers: "[B, H, S, K] = (2, 3, 5, 7)". A size that no axis has stays a number."""
    numbers = f"({', '.join(map(str, tensor.shape))})"
    letters = {size: letter for letter, size in axes.items()}
    if not tensor.dim():
        return "() (a single number)"
    return f"[{', '.join(letters.get(size, str(size)) for size in tensor.shape)}] = {numbers}" if letters else numbers


def _where_it_differs(a: Tensor, e: Tensor, wrong: Tensor, axes: Mapping[str, int], what: str) -> str:
    """How many entries differ, along which axis, the first of them, and a common factor. wrong: booleans, like a."""
    if not e.dim():
        return f"{what} is {_number(a.item())}, expected {_number(e.item())}" + _common_factor(a, e)
    letters = {size: letter for letter, size in axes.items()}
    names = [letters.get(size, f"axis {axis}" if e.dim() > 1 else "position") for axis, size in enumerate(e.shape)]
    if not wrong.any():
        wrong = a != e
    at = wrong.nonzero()[0].tolist()
    share = f"{int(wrong.sum())} of {wrong.numel()} entries"
    places = []
    for axis, name in enumerate(names):
        along = wrong.transpose(0, axis).reshape(e.shape[axis], -1).any(dim=1)
        there, elsewhere = (some.nonzero().flatten().tolist() for some in (along, ~along))
        if elsewhere:
            few = len(there) <= len(elsewhere)
            places.append(f"{'only' if few else 'all right'} where {name} is {_listed(there if few else elsewhere)}")
    first = ", ".join(f"{name} {index}" for name, index in zip(names, at, strict=True))
    mine, right = (_number(x[tuple(at)].item()) for x in (a, e))
    if mine == right:  # they differ only in later digits
        mine, right = (f"{x[tuple(at)].item():.9g}" for x in (a, e))
    extent = f" ({'; '.join(places)})" if places else ""
    found = f"{what} differs in {share}{extent}; the first is at {first}: {mine}, expected {right}"
    return found + _common_factor(a, e)


def _common_factor(a: Tensor, e: Tensor) -> str:
    """A sentence about a common factor, or a common difference, that would explain all entries."""
    if not e.abs().max() > 0 or not a.isfinite().all() or not e.isfinite().all():
        return ""
    if e.dim() and any(bool(((x == 0) | (x == 1)).all()) for x in (a, e)):
        return ""  # of a mask, "0 times" says nothing
    usable = e.abs() > 1e-6
    ratios = (a[usable] / e[usable]).flatten()
    if len(ratios) and bool((ratios - ratios[0]).abs().max() < 1e-6) and abs(float(ratios[0]) - 1) > 1e-6:
        return f". Every entry is {_number(float(ratios[0]))} times what it should be" if e.dim() else ""
    gaps = (a - e).flatten()
    if e.numel() > 1 and bool((gaps - gaps[0]).abs().max() < 1e-9):
        return f". Every entry is off by the same {_number(float(gaps[0]))}"
    return ""


def _shown(texts: Sequence[str]) -> str:
    """A list of strings, shortened if it is long."""
    return repr(list(texts)) if len(texts) <= 12 else f"{list(texts[:12])!r} and {len(texts) - 12} more"


def _kind(value: Any) -> str:
    if value is None:
        return "None (is a `return` missing?)"
    if isinstance(value, Other):
        return f"a {value.type}"
    return {Tensor: "a tensor", dict: "a dict", list: "a list", tuple: "a tuple", str: "a string", bool: "a boolean",
            int: "an integer", float: "a number"}.get(type(value), f"{type_of(value)}")  # fmt: skip


def _numbers(tensor: Tensor) -> str:
    """What a tensor holds, in words: booleans, integers or floating-point numbers."""
    if tensor.dtype == torch.bool:
        return "booleans"
    kind = "floating-point numbers" if tensor.is_floating_point() else "integers"
    return f"{'complex numbers' if tensor.is_complex() else kind} ({str(tensor.dtype).removeprefix('torch.')})"


def _same_kind(actual: Tensor, expected: Tensor) -> bool:
    """Whether both hold booleans, both integers, or both floating-point numbers; a single number may be an integer.

    The width does not matter: float32 for float64 is close enough, and int32 for int64 is the same number.
    """
    if expected.is_floating_point() and not expected.dim() and actual.dtype in (torch.int64, torch.int32):
        return True
    kinds = [_numbers(one).split(" ")[0] for one in (actual, expected)]
    return kinds[0] == kinds[1]


def _number(value: float) -> str:
    if not isinstance(value, int):
        return f"{value:.4g}"
    return str(value) if abs(value) < 10**18 else "a very large integer"


def _listed(items: Sequence[Any]) -> str:
    """The first eight items in words, and how many more there are."""
    texts = [repr(item) if isinstance(item, str) else str(item) for item in items[:8]]
    texts += [f"{len(items) - 8} more"] * (len(items) > 8)
    return listed(texts)
