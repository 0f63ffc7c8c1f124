"""Mistakes that can be made in any exercise: the reference is called with edited arguments, or its result is edited.

A knob builds a mistake into one reference. An edit needs no knob: a weight that is transposed, two tensors that are
exchanged, an argument that is not used, a softmax at the end. Edits are made from an exercise's parameters and the
arguments of its probes, so a new exercise has them without further work.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from itertools import combinations
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from minibert.exercises.calls import Built
from minibert.exercises.declare import Exercise, probes_of

Named = dict[str, Any]
Path = tuple[str, ...]  # a parameter, or a parameter and a key of the dict that it takes
SHAPE = "that changes the shape that the task asks for"
MOST_PAIRS = 40  # of tensors with the same shape that are exchanged


@dataclass(frozen=True, eq=False)
class Edit:
    """A change of the arguments (by name) or of the result. says, effect and hint: as in `Mistake`.

    alone: it is not tried together with a known mistake, because there are too many like it. reshapes: it changes the
    shape of the result.
    """

    name: str
    says: str
    effect: str
    arguments: Callable[[Named], Named] | None = None
    output: Callable[[Any, Named], Any] | None = None
    hint: str = ""
    knob: str = "an edit"
    alone: bool = False
    reshapes: bool = False


@cache
def parameters(exercise: Exercise) -> dict[str, Any]:
    """The parameters of an exercise's function, in order, with their defaults (inspect.Parameter.empty: none)."""
    space: dict[str, Any] = {}
    exec(exercise.stub, space)
    return {p.name: p.default for p in inspect.signature(space[exercise.function]).parameters.values()}


def named_arguments(exercise: Exercise, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Named:
    """The arguments of a call by name, with the defaults of those that are not given."""
    names = parameters(exercise)
    given = {**dict(zip(names, args, strict=False)), **kwargs}
    return {name: given.get(name, default) for name, default in names.items()}


def edited(exercise: Exercise, edits: Sequence[Edit], knobs: Mapping[str, Any]) -> Callable[..., Any]:
    """The reference with these edits and knobs."""

    def function(*args: Any, **kwargs: Any) -> Any:
        named = named_arguments(exercise, args, kwargs)
        for edit in edits:
            if edit.arguments is not None:
                named = edit.arguments(dict(named))
        returned = exercise.reference(*named.values(), **knobs)
        for edit in edits:
            if edit.output is not None:
                returned = edit.output(returned, named)
        return returned

    return function


@cache
def edits_of(exercise: Exercise) -> tuple[Edit, ...]:
    """All edits that can make a difference to an exercise. None for random answers: these are judged by statistics."""
    if exercise.view is not None:
        return ()
    calls = [named_arguments(exercise, probe.call.args, probe.call.kwargs) for probe in probes_of(exercise)]
    if any(isinstance(value, Built) for value in calls[0].values()):
        return tuple(_of_numbers())
    return (*_of_arguments(exercise, calls), *_of_results(exercise, calls[0]))


# ------------------------------------------------------------------------------------------------- arguments


def _paths(calls: Sequence[Named]) -> dict[Path, Tensor]:
    """The tensors among the arguments, each from the first call that has it."""
    found: dict[Path, Tensor] = {}
    for named in calls:
        for name, value in named.items():
            if isinstance(value, Tensor):
                found.setdefault((name,), value)
            elif isinstance(value, Mapping):
                for key, one in value.items():
                    if isinstance(one, Tensor):
                        found.setdefault((name, key), one)
    return found


def said(path: Path) -> str:
    """How a learner writes it: `x`, or `weights["norm.bias"]`."""
    return f"`{path[0]}`" if len(path) == 1 else f"`{path[0]}[{path[1]!r}]`".replace("'", '"')


def _get(named: Named, path: Path) -> Any:
    value = named[path[0]]
    return value if len(path) == 1 or not isinstance(value, Mapping) else value.get(path[1])


def _put(named: Named, path: Path, value: Any) -> Named:
    return named | {path[0]: value if len(path) == 1 else {**named[path[0]], path[1]: value}}


def _changed(named: Named, path: Path, change: Callable[[Any], Any]) -> Named:
    """With a changed tensor at the path; the same if there is none."""
    value = _get(named, path)
    return _put(named, path, change(value)) if isinstance(value, Tensor) else named


def _exchanged(named: Named, one: Path, other: Path) -> Named:
    a, b = _get(named, one), _get(named, other)
    return _put(_put(named, one, b), other, a) if isinstance(a, Tensor) and isinstance(b, Tensor) else named


def _for_another(named: Named, used: Path, unused: Path) -> Named:
    a, b = _get(named, used), _get(named, unused)
    return _put(named, unused, a) if isinstance(a, Tensor) and isinstance(b, Tensor) else named


def _set(named: Named, name: str, change: Callable[[Any], Any]) -> Named:
    return named if named[name] is None else named | {name: change(named[name])}


def _of_arguments(exercise: Exercise, calls: Sequence[Named]) -> Iterator[Edit]:
    tensors = _paths(calls)
    for path, tensor in tensors.items():
        yield from _of_tensor(path, tensor)
    alike = [
        pair
        for pair in combinations(tensors, 2)
        if tensors[pair[0]].shape == tensors[pair[1]].shape and tensors[pair[0]].dtype == tensors[pair[1]].dtype
    ]
    for one, other in alike[:MOST_PAIRS]:
        a, b = said(one), said(other)
        yield Edit(f"{one[-1]} and {other[-1]} exchanged", f"{a} and {b} are exchanged", "each has a place of its own",
                   partial(_exchanged, one=one, other=other), alone=True)  # fmt: skip
        for used, unused in ((one, other), (other, one)):
            change = partial(_for_another, used=used, unused=unused)
            yield Edit(f"{used[-1]} for {unused[-1]}", f"{said(used)} is used in place of {said(unused)}",
                       "each has a place of its own", change, alone=True)  # fmt: skip
    defaults = parameters(exercise)
    for name, value in calls[0].items():
        values = [named[name] for named in calls]
        if isinstance(value, bool) or not any(isinstance(one, (int, float)) for one in values):
            continue
        yield from _of_number(name, defaults[name], values)
    yield from _of_layout(calls[0], tensors)


def _of_tensor(path: Path, tensor: Tensor) -> Iterator[Edit]:
    name, shown = path[-1], said(path)

    def edit(what: str, says: str, effect: str, change: Callable[[Tensor], Any]) -> Edit:
        # One of many weights is seldom wrong together with something else.
        return Edit(f"{name} {what}", says, effect, partial(_changed, path=path, change=change), alone=len(path) > 1)

    if tensor.dtype == torch.bool or (not tensor.is_floating_point() and "mask" in name):
        flip = (lambda m: ~m) if tensor.dtype == torch.bool else (lambda m: 1 - m)
        yield edit("inverted", f"{shown} is read the wrong way round", "True, or 1, marks what counts", flip)
        yield edit("unused", f"{shown} is not used", "what it hides must not count", torch.ones_like)
        yield edit("of the first text", f"the first text's {shown} is used for all texts", "each text has its own",
                   lambda m: m[:1].expand_as(m))  # fmt: skip
        yield edit("as lengths", f"only the number of True, or 1, in {shown} is used, not where they are",
                   "a mask may begin with padding or have gaps; use the mask itself",
                   lambda m: torch.arange(m.shape[-1]).expand_as(m) < m.sum(-1, keepdim=True))  # fmt: skip
        if tensor.dim() == 4:
            yield edit("of the first query", f"only the first query's row of {shown} is used",
                       "each query may have a row of its own", lambda m: m[..., :1, :])  # fmt: skip
            yield edit("of the last query", f"only the last query's row of {shown} is used",
                       "each query may have a row of its own", lambda m: m[..., -1:, :])  # fmt: skip
            yield edit("any query", f"{shown} is merged over its queries", "each query may have a row of its own",
                       lambda m: m.any(-2, keepdim=True))  # fmt: skip
            yield edit("transposed", f"the last two axes of {shown} are swapped", "rows are queries, columns are keys",
                       lambda m: m.mT)  # fmt: skip
        return
    if not tensor.is_floating_point():
        yield edit("all 0", f"{shown} is not used", "its numbers must make a difference", torch.zeros_like)
        yield edit("of the first text", f"the first text's {shown} is used for all texts", "each text has its own",
                   lambda m: m[:1].expand_as(m))  # fmt: skip
        return
    if tensor.dim() == 1 and not name.endswith("weight"):
        yield edit("unused", f"{shown} is not used", "it belongs to the result", torch.zeros_like)
    if tensor.dim() == 1 and name.endswith("weight"):
        yield edit("unused", f"{shown} is not used", "it belongs to the result", torch.ones_like)
    if tensor.dim() == 2 and name.endswith("weight"):
        yield edit("transposed", f"{shown} is not transposed, or is transposed once too often",
                   "a linear layer's weight is (out, in) and is used as x Wᵀ", lambda w: w.T)  # fmt: skip
    if tensor.dim() >= 3:
        for p in (0.1, 0.2, 0.5):
            yield edit(f"dropped out {p}", f"dropout with p = {p} is applied to {shown} first",
                       "there is no dropout here; where a model has it, it is outside of this function",
                       lambda x, p=p: F.dropout(x, p))  # fmt: skip
    if tensor.dim() >= 2:
        yield edit("as probabilities", f"a softmax is applied to {shown} first", "it is used as it is",
                   lambda x: x.softmax(-1))  # fmt: skip
        yield edit("as log-probabilities", f"a log-softmax is applied to {shown} first", "it is used as it is",
                   lambda x: x.log_softmax(-1))  # fmt: skip
    if tensor.dim() == 2 and tensor.shape[0] != tensor.shape[1]:
        yield edit("normalised", f"{shown} is scaled to length 1 first", "it is used as it is",
                   lambda x: F.normalize(x, dim=-1))  # fmt: skip
    if tensor.dim() >= 3:
        yield edit("of the first text", f"only the first text of {shown} is read", "each text counts",
                   lambda x: x[:1].expand_as(x))  # fmt: skip


def _of_number(name: str, default: Any, values: Sequence[Any]) -> Iterator[Edit]:
    def edit(what: str, says: str, effect: str, change: Callable[[Any], Any]) -> Edit:
        return Edit(f"{name} {what}", says, effect, partial(_set, name=name, change=change))

    use = "use the argument"
    if isinstance(default, (int, float)) and not isinstance(default, bool):
        yield edit("unused", f"`{name}` is always {default:g}, whatever the argument says",
                   f"that is only the default; {use}", lambda _: default)  # fmt: skip
    if "eps" in name:
        for constant in (1e-5, 1e-6, 1e-7, 1e-8, 1e-12, 0.0):
            if constant != default:
                yield edit(f"is {constant:g}", f"`{name}` is always {constant:g}, whatever the argument says", use,
                           lambda _, constant=constant: constant)  # fmt: skip
    elif all(isinstance(value, int) for value in values if value is not None):
        constants = {"mask_id": (103, 4), "cls_id": (101, 0), "sep_id": (102, 2), "longest": (100, 200)}.get(name, ())
        for constant in dict.fromkeys((1, 2, 12, 512, *constants)):
            yield edit(f"is {constant}", f"`{name}` is always {constant}, whatever the argument says", use,
                       lambda _, constant=constant: constant)  # fmt: skip
        for step in (1, -1):
            more = "more" if step > 0 else "less"
            yield edit(f"{step:+d}", f"`{name}` is taken as one {more} than it is", "count again",
                       lambda value, step=step: value + step)  # fmt: skip
    else:
        yield edit("is 1", f"`{name}` is not used, as if it were 1", use, lambda _: 1.0)
        yield edit("squared", f"`{name}` is squared", "it is used as it is", lambda value: value**2)
        yield edit("rooted", f"the square root of `{name}` is taken", "it is used as it is", lambda value: value**0.5)
        yield edit("inverted", f"1 / `{name}` is used in place of `{name}`", "it is used as it is", lambda v: 1 / v)


def _of_layout(named: Named, tensors: Mapping[Path, Tensor]) -> Iterator[Edit]:
    """Batch and sequence mixed up, as by torch's modules without batch_first."""
    wide = [tensor for path, tensor in tensors.items() if len(path) == 1 and tensor.dim() >= 3]
    if not wide:
        return
    rows = wide[0].shape[:2]

    def swapped(named: Named) -> Named:
        return {
            name: value.transpose(0, 1) if isinstance(value, Tensor) and value.shape[:2] == rows else value
            for name, value in named.items()
        }

    def back(output: Any, named: Named) -> Any:
        return output.transpose(0, 1) if isinstance(output, Tensor) and output.dim() >= 2 else output

    if wide[0].dim() == 3:
        yield Edit("batch second", "batch and sequence are mixed up, so each text sees the other texts and not itself",
                   "torch's attention and recurrent modules expect (S, B, D) unless batch_first=True", swapped,
                   back)  # fmt: skip


# --------------------------------------------------------------------------------------------------- results


def _of_results(exercise: Exercise, named: Named) -> Iterator[Edit]:
    try:
        right = exercise.reference(*named.values())
    except Exception:
        return
    if isinstance(right, Tensor):
        yield from _of_tensor_result(right, named)
    elif isinstance(right, (list, tuple)):
        yield from _of_list_result(right)
    elif isinstance(right, (int, float)):
        yield from _of_numbers()


def _of_tensor_result(right: Tensor, named: Named) -> Iterator[Edit]:
    def edit(name: str, says: str, change: Callable[[Tensor], Any], effect: str = "the task asks for the result before "
             "that step") -> Edit:  # fmt: skip
        reshapes = effect == SHAPE
        return Edit(f"result: {name}", says, effect, output=lambda output, _: change(output), reshapes=reshapes)

    if right.dtype == torch.bool:
        yield edit("inverted", "the result is inverted", lambda x: ~x, "True and False should be exchanged")
        yield edit("as integers", "the result holds 0 and 1", lambda x: x.long(), "it should hold booleans")
        yield edit("as numbers", "the result holds 0.0 and 1.0", lambda x: x.double(), "it should hold booleans")
    elif right.is_floating_point():
        last = {"softmax": lambda x: x.softmax(-1), "log-softmax": lambda x: x.log_softmax(-1)} if right.dim() else {}
        steps: dict[str, Callable[[Tensor], Tensor]] = {
            **last, "sigmoid": torch.sigmoid, "tanh": torch.tanh, "ReLU": F.relu, "GELU": F.gelu, "exp": torch.exp,
            "logarithm": torch.log, "square": torch.square, "square root": torch.sqrt, "absolute value": torch.abs,
        }  # fmt: skip
        for name, step in steps.items():
            yield edit(name, f"a {name} is applied to the result" if name[0] not in "aeiou" else
                       f"an {name} is applied to the result", step)  # fmt: skip
        yield edit("minus", "the result has the wrong sign", lambda x: -x, "a minus sign is missing, or there is one "
                   "too many")  # fmt: skip
        yield edit("one minus", "the result is 1 minus what it should be", lambda x: 1 - x)
        yield edit("integers", "the result is rounded down to integers", lambda x: x.long(), "keep the numbers as they "
                   "are")  # fmt: skip
        for p in (0.1, 0.2, 0.5):
            yield edit(f"dropout {p}", f"dropout with p = {p} is applied to the result",
                       lambda x, p=p: F.dropout(x, p), "there is no dropout here; where a model has it, it is outside "
                       "of this function")  # fmt: skip
        if right.dim():
            yield edit("perplexity", "exp of the mean is returned", lambda x: x.mean().exp())
            yield edit("normed", "the result is normalised once more", lambda x: F.layer_norm(x, x.shape[-1:]))
            yield edit("unit length", "the result is scaled to length 1", lambda x: F.normalize(x, dim=-1))
        for name, value in named.items():
            if isinstance(value, Tensor) and value.dtype == right.dtype and value.dim():
                yield Edit(f"result: {name} itself", f"`{name}` is returned as it is", "compute the result from it",
                           output=lambda output, named, name=name: named[name])  # fmt: skip
            if isinstance(value, Tensor) and value.shape == right.shape and value.dtype == right.dtype and right.dim():
                yield Edit(f"result: plus {name}", f"`{name}` is added to the result",
                           "the task asks for no residual connection here",
                           output=lambda output, named, name=name: output + named[name])  # fmt: skip
                yield Edit(f"result: minus {name}", f"`{name}` is subtracted from the result, or was not added",
                           "compare with the formula",
                           output=lambda output, named, name=name: output - named[name])  # fmt: skip
    if not right.dim():
        yield edit("one axis", "the result has an axis of size 1", lambda x: x[None], "return one number, without axes")
        return
    for a, b in combinations(range(right.dim()), 2):
        yield edit(f"axes {a} and {b} swapped", f"axes {a} and {b} of the result are swapped",
                   lambda x, a=a, b=b: x.transpose(a, b), SHAPE)  # fmt: skip
        yield edit(f"axes {a} and {b} reshaped", f"axes {a} and {b} of the result are exchanged by a reshape",
                   lambda x, a=a, b=b: x.reshape(x.transpose(a, b).shape), SHAPE)  # fmt: skip
    for axis in range(right.dim()):
        yield edit(f"first of axis {axis}", f"only the first entry along axis {axis} is returned",
                   lambda x, axis=axis: x.select(axis, 0), SHAPE)  # fmt: skip
        yield edit(f"last of axis {axis}", f"only the last entry along axis {axis} is returned",
                   lambda x, axis=axis: x.select(axis, -1), SHAPE)  # fmt: skip
        yield edit(f"flipped {axis}", f"the result is in reverse order along axis {axis}",
                   lambda x, axis=axis: x.flip(axis), "keep the order")  # fmt: skip
        if right.is_floating_point():
            for kept in (False, True):
                yield edit(f"mean {axis} {kept}", f"the mean over axis {axis} is taken",
                           lambda x, axis=axis, kept=kept: x.mean(axis, kept), SHAPE)  # fmt: skip
                yield edit(f"sum {axis} {kept}", f"the sum over axis {axis} is taken",
                           lambda x, axis=axis, kept=kept: x.sum(axis, kept), SHAPE)  # fmt: skip
            yield edit(f"largest {axis}", f"the index of the largest entry along axis {axis} is returned",
                       lambda x, axis=axis: x.argmax(axis), SHAPE)  # fmt: skip
    yield edit(
        "squeezed",
        "axes of size 1 are removed from the result (squeeze)",
        torch.squeeze,
        "a batch of one text, or a text of one token, then loses its axis; name the axis to remove, if any",
    )
    yield edit("axis in front", "the result has an axis of size 1 in front", lambda x: x[None], SHAPE)
    yield edit("axis at the end", "the result has an axis of size 1 at the end", lambda x: x[..., None], SHAPE)
    yield edit("flat", "the result is flattened", torch.flatten, SHAPE)
    if right.dim() > 2:
        yield edit("flat in front", "the first two axes of the result are joined", lambda x: x.flatten(0, 1), SHAPE)
        yield edit("flat behind", "the last two axes of the result are joined", lambda x: x.flatten(-2), SHAPE)
    if right.is_floating_point():
        yield edit("mean", "the mean of all numbers is returned", torch.mean, SHAPE)
        yield edit("sum", "the sum of all numbers is returned", torch.sum, SHAPE)


def _of_list_result(right: Sequence[Any]) -> Iterator[Edit]:
    def edit(name: str, says: str, change: Callable[[Any], Any], effect: str) -> Edit:
        return Edit(f"result: {name}", says, effect, output=lambda output, _: change(output))

    yield edit("backwards", "the results are in the reverse order", lambda out: type(out)(list(out)[::-1]), "keep the "
               "order")  # fmt: skip
    yield edit("first only", "only the first of the results is returned", lambda out: out[0], "return them all")
    yield edit("last only", "only the last of the results is returned", lambda out: out[-1], "return them all")
    yield edit("without the first", "the first of the results is missing", lambda out: out[1:], "return them all")
    yield edit("without the last", "the last of the results is missing", lambda out: out[:-1], "return them all")
    if all(isinstance(one, str) for one in right):
        yield edit("joined", "one string is returned", " ".join, "return a list of strings")
        yield edit("joined tightly", "one string is returned", "".join, "return a list of strings")
        yield edit("no repeats", "what occurs twice is returned once", lambda out: list(dict.fromkeys(out)), "keep all")
        yield edit("sorted", "the result is sorted", sorted, "keep the order")
    elif all(isinstance(one, list) for one in right):
        yield edit("booleans", "there are booleans among the results", lambda out: _converted(out, bool), "0 and 1 are "
                   "asked for; bool is another type")  # fmt: skip
        yield edit("floats", "there are floats among the results", lambda out: _converted(out, float), "integers are "
                   "asked for")  # fmt: skip
        yield edit("joined", "one list is returned", lambda out: [x for one in out for x in one], "return two lists")
        yield edit("pairs", "pairs are returned", lambda out: [tuple(x) for x in zip(*out, strict=False)],
                   "return two lists")  # fmt: skip


def _converted(out: Any, kind: Callable[[Any], Any]) -> Any:
    """The same lists, the last of them with another kind of numbers."""
    *first, last = out
    return type(out)([*first, [kind(one) for one in last]])


def _of_numbers() -> Iterator[Edit]:
    def edit(name: str, says: str, change: Callable[[Any], Any], effect: str = "compare with the task") -> Edit:
        return Edit(f"result: {name}", says, effect, output=lambda output, _: change(output))

    yield edit("one more", "the result is too large by 1", lambda x: x + 1)
    yield edit("one less", "the result is too small by 1", lambda x: x - 1)
    yield edit("minus", "the result has the wrong sign", lambda x: -x)
    yield edit("float", "the result is a float", float, "return an integer (// and not /)")
    yield edit("text", "the result is a string", str, "return a number")
    yield edit("text with commas", "the result is a string", lambda x: f"{x:,}", "return a number")
