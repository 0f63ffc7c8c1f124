"""Causes that can be found in any exercise without knowing its mistakes, by looking at the outcomes or asking again.

One factor over all probes; a random answer; an argument that makes no difference; a gradient that does not arrive.
"""

from __future__ import annotations

import ast
import math
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from minibert.exercises.calls import Built, Call, Other, Outcome, leaves
from minibert.exercises.compare import gap
from minibert.exercises.declare import TOLERANCE, Exercise, Probe, probes_of
from minibert.exercises.diagnose import as_tensor, right_outcomes
from minibert.exercises.edits import named_arguments, parameters, said
from minibert.words import listed

CONSTANTS = {
    "½": 1 / 2, "⅓": 1 / 3, "¼": 1 / 4, "2": 2.0, "3": 3.0, "4": 4.0, "−1": -1.0, "−2": -2.0, "10": 10.0, "100": 100.0,
    "1000": 1000.0, "1/10": 0.1, "1/100": 0.01, "1/1000": 0.001,
    "1/ln 2 (that is a logarithm to base 2)": 1 / math.log(2),
    "1/ln 10 (that is a logarithm to base 10)": 1 / math.log(10), "ln 2": math.log(2), "√2": math.sqrt(2),
    "1/√2": math.sqrt(0.5), "√π": math.sqrt(math.pi), "1/√(2π)": 1 / math.sqrt(2 * math.pi), "π": math.pi,
}  # fmt: skip


# ------------------------------------------------------------------------------------------------ one factor


def common_factor(exercise: Exercise, found: Sequence[Outcome], wrong: Sequence[int]) -> str:
    """A sentence if all results are a multiple of what they should be, by a number or by a size; else empty."""
    ratios: dict[int, float] = {}
    for number, (mine, right) in enumerate(zip(found, right_outcomes(exercise), strict=True)):
        if mine.problem is not None:
            continue
        ratio = _ratio(as_tensor(mine.output), as_tensor(right.output))
        if ratio is None:
            return ""
        if not math.isnan(ratio):
            ratios[number] = ratio
    asked = [ratios[number] for number in wrong if number in ratios]
    if not asked:
        return ""
    name = _name_of(exercise, ratios)
    if not name:
        return ""
    perhaps = "Perhaps every" if len(ratios) < 2 and found[wrong[0]].output is None else "Every"
    return f"{perhaps} number is {name} times what it should be."


def _ratio(mine: Tensor | None, right: Tensor | None) -> float | None:
    """The one factor between two tensors; NaN if both are 0 everywhere; None if there is none."""
    if mine is None or right is None or mine.shape != right.shape or right.dtype == torch.bool:
        return None
    if not (mine.isfinite().all() and right.isfinite().all()):
        return None
    usable = right.abs() > 1e-7
    if not usable.any():
        return math.nan if bool((mine.abs() < 1e-7).all()) else None
    ratio = float(mine[usable].flatten()[0] / right[usable].flatten()[0])
    return ratio if gap(mine, ratio * right) < 1e-7 and abs(ratio) > 1e-12 else None


def _name_of(exercise: Exercise, ratios: Mapping[int, float]) -> str:
    values = list(ratios.values())
    alike = max(values) - min(values) < 1e-6 * max(1.0, abs(values[0]))
    if alike:
        for name, value in CONSTANTS.items():
            if abs(value - values[0]) < 1e-6 * max(1.0, abs(value)):
                return name
    tables = {number: dict(_quantities(exercise, probes_of(exercise)[number])) for number in ratios}
    for name in tables[next(iter(tables))]:
        if all(
            name in table and abs(table[name] - ratios[number]) < 1e-6 * max(1.0, abs(ratios[number]))
            for number, table in tables.items()
        ):
            return name
    return f"{values[0]:.4g}" if alike and len(values) > 1 else ""


def _quantities(exercise: Exercise, probe: Probe) -> Iterator[tuple[str, float]]:
    """What a result may be multiplied with, by its name in the task."""
    base = {letter: float(size) for letter, size in probe.axes.items()}
    for name, value in named_arguments(exercise, probe.call.args, probe.call.kwargs).items():
        if isinstance(value, (int, float)) and not isinstance(value, bool) and value > 0:
            base[f"`{name}`"] = float(value)
        elif isinstance(value, Tensor) and not value.is_floating_point():
            count = int((value != -100).sum()) if "label" in name else int(value.sum())
            if count > 0:
                base[f"the number of {'labels' if 'label' in name else 'entries of 1'} in `{name}`"] = float(count)
                base[f"the size of `{name}` / the number that counts"] = value.numel() / count
    for name, value in base.items():
        yield name, value
        yield f"1/({name})" if " " in name else f"1/{name}", 1 / value
        if " " not in name:
            yield f"√{name}", math.sqrt(value)
            yield f"1/√{name}", 1 / math.sqrt(value)
            yield f"{name}²", value**2
            yield f"1/{name}²", 1 / value**2
    for one in base:
        for other in base:
            if one != other:
                if one < other:
                    yield f"{one} · {other}", base[one] * base[other]
                    yield f"1/({one} · {other})", 1 / (base[one] * base[other])
                yield f"({one}) / ({other})", base[one] / base[other]
    if "`temperature`" in base:
        yield "½ T²", base["`temperature`"] ** 2 / 2


# --------------------------------------------------------------------------------------------- asking again


def is_random(exercise: Exercise, ask: Callable[[Call], Outcome], found: Sequence[Outcome], number: int) -> bool:
    """Whether the answer gives another result with another seed, and so draws random numbers."""
    if exercise.view is not None or found[number].problem is not None:
        return False
    again = ask(replace(probes_of(exercise)[number].call, seed=12345))
    return again.problem is None and gap(again.output, found[number].output) > 1e-9


def unused(exercise: Exercise, ask: Callable[[Call], Outcome], found: Sequence[Outcome], wrong: Sequence[int]) -> str:
    """The names of inputs that make no difference to a result, in words; empty if all do."""
    names = [*_without_gradient(exercise, found)]
    if exercise.view is None:
        number = next((n for n in wrong if found[n].problem is None), None)
        if number is not None:
            names += _without_effect(exercise, ask, found[number], probes_of(exercise)[number])
    return listed(list(dict.fromkeys(names))[:4])


def _paths_of(exercise: Exercise, call: Call) -> list[tuple[str, ...]]:
    """What the gradients of a call belong to, in their order."""
    names = list(parameters(exercise))
    found: list[tuple[str, ...]] = []
    for number in call.grads:
        value = call.args[number]
        if isinstance(value, Mapping):
            found += [(names[number], key) for key, one in value.items() for _ in leaves(one)]
        else:
            found += [(names[number],) for one in leaves(value) if one.is_floating_point()]
    return found


def _without_gradient(exercise: Exercise, found: Sequence[Outcome]) -> Iterator[str]:
    for mine, right, probe in zip(found, right_outcomes(exercise), probes_of(exercise), strict=True):
        if mine.problem is not None or not mine.grads or all(_nothing(one) for one in mine.grads):
            continue
        for path, one, expected in zip(_paths_of(exercise, probe.call), mine.grads, right.grads, strict=False):
            if _lost(one, expected):
                yield said(path)


def _nothing(gradient: Tensor | None) -> bool:
    return gradient is None or not bool((gradient.abs() > 1e-12).any())


def _lost(mine: Tensor | None, right: Tensor | None) -> bool:
    """Whether a gradient should arrive and does not. One that is 0 but for rounding should arrive too, as a tensor."""
    if right is None or not bool(right.abs().max() > 0):
        return False
    return mine is None or (_nothing(mine) and not _nothing(right))


def _without_effect(
    exercise: Exercise, ask: Callable[[Call], Outcome], outcome: Outcome, probe: Probe
) -> Iterator[str]:
    """Arguments without a gradient, which are changed to see whether the result changes."""
    names = list(parameters(exercise))
    reference = right_outcomes(exercise)[probes_of(exercise).index(probe)]
    for number, value in enumerate(probe.call.args):
        if (other := _another(value)) is None:
            continue
        args = (*probe.call.args[:number], other, *probe.call.args[number + 1 :])
        changed = replace(probe.call, args=args, grads=())
        try:
            right = exercise.reference(*args)
        except Exception:
            continue
        if gap(right, reference.output) < 1e-9:
            continue
        again = ask(changed)
        if again.problem is None and gap(again.output, outcome.output) == 0.0:
            yield said((names[number],))


def _another(value: Any) -> Any:
    """Another value of an argument; None for those that are not tried."""
    if isinstance(value, (Built, bool)):
        return None
    if isinstance(value, float):
        return 2 * value + 0.5
    if isinstance(value, int):
        return value + 1
    if isinstance(value, Tensor) and value.dtype == torch.bool:
        return ~value
    if isinstance(value, Tensor) and not value.is_floating_point() and bool(((value == 0) | (value == 1)).all()):
        return 1 - value
    if isinstance(value, Tensor) and not value.is_floating_point() and value.dim() > 1 and bool((value >= 0).all()):
        return value.flip(-1)
    return None


# ------------------------------------------------------------------------------------------------- gradients

# What takes a tensor out of the graph, as it stands in code, and how it is called.
LEAVES_THE_GRAPH = {
    "no_grad": "torch.no_grad", "inference_mode": "torch.inference_mode", "item": ".item()", "detach": ".detach()",
    "detach_": ".detach_()", "data": ".data", "tolist": ".tolist()", "numpy": ".numpy()", "Parameter": "nn.Parameter",
    "tensor": "torch.tensor(...)", "float": "float(...)", "as_tensor": "torch.as_tensor(...)",
    "requires_grad_": ".requires_grad_()", "round": "round", "argmax": "argmax", "load_state_dict": "load_state_dict",
    "copy_": "copy_", "set_grad_enabled": "torch.set_grad_enabled",
}  # fmt: skip


def detaching(source: str | None) -> list[str]:
    """What in a source text takes tensors out of the graph."""
    try:
        tree = ast.parse(source or "")
    except SyntaxError:
        return []
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in LEAVES_THE_GRAPH and node.attr != "float":
            found.append(LEAVES_THE_GRAPH[node.attr])
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("float", "Parameter"):
            found.append(LEAVES_THE_GRAPH[node.func.id])
    return list(dict.fromkeys(found))


def gradient_trouble(exercise: Exercise, found: Sequence[Outcome], source: str | None) -> str | None:
    """What is wrong with the gradients, as a sentence about its cause; None if nothing is."""
    for mine, right, probe in zip(found, right_outcomes(exercise), probes_of(exercise), strict=True):
        paths = _paths_of(exercise, probe.call)
        missing = [path for path, *both in zip(paths, mine.grads, right.grads, strict=False) if _lost(*both)]
        if missing:
            return _missing(missing, sum(one is not None and bool(one.abs().max() > 0) for one in right.grads),
                            detaching(source))  # fmt: skip
        for path, one, expected in zip(paths, mine.grads, right.grads, strict=False):
            if _nothing(expected) and not _nothing(one):
                return f"A gradient flows back to {said(path)} and should not: detach it ({probe.name})."
            if one is not None and expected is not None and gap(one, expected) > 10 * TOLERANCE:
                used = listed(detaching(source))
                how = f"{used} takes a part of the formula out of the graph" if used else (
                    "is a part of it detached, clamped or rounded?")  # fmt: skip
                return f"The values are right, but the gradient of {said(path)} is not ({probe.name}): {how}."
    return None


def _missing(paths: Sequence[tuple[str, ...]], wanted: int, used: Sequence[str]) -> str:
    how = f"{listed(used)} takes" if len(used) == 1 else f"{listed(used)} take" if used else ""
    if len(paths) == wanted:
        what = how or "torch.no_grad, .item(), .detach(), .data or torch.tensor(...) takes"
        return f"No gradient flows back to any input, so nothing can be learned: {what} the numbers out of the graph."
    names = listed([said(path) for path in paths[:3]]) + (" and others" if len(paths) > 3 else "")
    if any(len(path) > 1 for path in paths) and "nn.Parameter" in used:
        what = "nn.Parameter makes a new tensor; use the tensor itself, or functional_call"
    else:
        what = f"{how} it out of the graph" if how else "is it detached, wrapped in nn.Parameter, or copied?"
    return f"The values are right, but no gradient flows back to {names}: {what}."


# ----------------------------------------------------------------------------------------------------- shapes


def part_of(exercise: Exercise, found: Sequence[Outcome]) -> str:
    """A sentence if one of several returned values is the right result, each time; empty if not."""
    outputs = [outcome.output for outcome in found]
    if not all(isinstance(output, (list, tuple)) and len(output) == len(outputs[0]) for output in outputs):
        return ""
    right = [outcome.output for outcome in right_outcomes(exercise)]
    for number in range(len(outputs[0])):
        if all(gap(mine[number], one) <= exercise.exactness for mine, one in zip(outputs, right, strict=True)):
            return f"You return {len(outputs[0])} values; entry {number} alone is what is asked for."
    return ""


def entries_trouble(mine: Any, right: Any, where: str = "the result") -> str:
    """A sentence if in a list of tuples all have too many values, or all too few; empty if not."""
    if not all(isinstance(one, (list, tuple)) and one for one in (mine, right)):
        return ""
    sizes = [{len(one) if isinstance(one, (list, tuple)) else -1 for one in entries} for entries in (mine, right)]
    (wanted, *others), (size, *more) = sizes[1], sizes[0]
    if all(isinstance(one, tuple) for one in right) and not others and not more and 0 < size != wanted:
        return f"Each entry of {where} has {size} values, and should have {wanted}."
    for number, pair in enumerate(zip(mine, right, strict=False)):
        if found := entries_trouble(*pair, f"entry {number}" if where == "the result" else f"{where}[{number}]"):
            return found
    return ""


def letters_trouble(mine: Any, right: Any) -> str:
    """A sentence if pieces of text do not give, put together, what they should; empty if they do."""
    both = [mine, right]
    if not all(isinstance(one, (list, tuple)) and all(isinstance(text, str) for text in one) for one in both):
        return ""
    a, b = ("".join(one) for one in both)
    return "" if a == b else f"Put together, your pieces are {a!r}, and not {b!r}: something is lost, added or changed."


def shape_trouble(mine: Any, right: Any, axes: Mapping[str, int]) -> str:
    """What is wrong with a shape, as a sentence; empty if nothing simple is."""
    if isinstance(mine, Other) and mine.type.startswith("torch.nn"):
        name = mine.type.rsplit(".", 1)[1]
        return f"You return a module: nn.{name}(...) makes it, and computes nothing before it is called on a tensor."
    if not isinstance(mine, Tensor) or not isinstance(right, Tensor) or mine.shape == right.shape:
        return ""
    letters = {size: letter for letter, size in axes.items() if size > 1}
    have, want = ([letters.get(size, str(size)) for size in one.shape] for one in (mine, right))
    if not right.dim():
        return f"The result is not reduced to one number: it still has the axes {listed(have)}."
    if sorted(have) == sorted(want):
        return f"The axes are in another order: you return [{', '.join(have)}], not [{', '.join(want)}]."
    missing, extra = [one for one in want if one not in have], [one for one in have if one not in want]
    if missing and not extra:
        subject = f"axis {missing[0]} is" if len(missing) == 1 else f"axes {listed(missing)} are"
        return f"The {subject} missing: you return [{', '.join(have)}], not [{', '.join(want)}]."
    if extra and not missing:
        subject = f"is an axis too many, {extra[0]}" if len(extra) == 1 else f"are axes too many, {listed(extra)}"
        return f"There {subject}: you return [{', '.join(have)}], not [{', '.join(want)}]."
    if mine.dim() == right.dim():
        off = [at for at in range(right.dim()) if mine.shape[at] != right.shape[at]]
        if len(off) == 1:
            more = mine.shape[off[0]] - right.shape[off[0]]
            how = f"too {'long' if more > 0 else 'short'} by {abs(more)}"
            return f"The axis {want[off[0]]} is {how}: you return [{', '.join(have)}], not [{', '.join(want)}]."
    numbers = [one.double().flatten().sort().values for one in (mine, right)]
    if mine.numel() == right.numel() > 6 and gap(*numbers) < 1e-9:
        return (
            f"All the right numbers are there, but in another shape: you return [{', '.join(have)}], not "
            f"[{', '.join(want)}]."
        )
    return ""


# ------------------------------------------------------------------------------------------------ .T and .t()


def reversed_axes(exercise: Exercise, source: str | None, line: str, sure: bool) -> str:
    """A sentence if the answer's text reverses all axes of a tensor that has, or may have, more than two; else empty.

    source: the answer's text, if it is known. line: the line that failed, if one did. sure: only where the tensor is
    known to have more than two.
    """
    trees = [_parsed(line), _parsed(source or "")]
    bound = _bindings(trees[0]) | _bindings(trees[1])
    for tree in trees:
        for node in ast.walk(tree):
            turned = node.func if isinstance(node, ast.Call) and not node.args else node
            if not isinstance(turned, ast.Attribute) or turned.attr != ("t" if turned is not node else "T"):
                continue
            axes = _axes_of(exercise, turned.value, bound)
            name = ast.unparse(turned.value)
            name = name if name.isidentifier() else "x"
            mark = f"`.{turned.attr}{'()' * (turned is not node)}`"
            if axes is not None and axes > 2:
                return (
                    f"{mark} reverses all {axes} axes of {name}; to swap the last two, use `{name}.transpose(-2, -1)`."
                )
            if axes is None and not sure:
                return f"{mark} reverses all axes; if {name} has more than two, use `{name}.transpose(-2, -1)`."
    return ""


def _parsed(text: str) -> ast.AST:
    try:
        return ast.parse(textwrap.dedent(text).strip())
    except SyntaxError:  # half a statement, such as the first line of a loop
        return ast.Module([], [])


def _bindings(tree: ast.AST) -> dict[str, ast.expr]:
    """The values of local names that are assigned once."""
    found: dict[str, list[ast.expr]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign):
            for target in node.targets:
                pairs = [(target, node.value)]
                if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
                    pairs = list(zip(target.elts, node.value.elts, strict=False))
                for one, value in pairs:
                    if isinstance(one, ast.Name):
                        found.setdefault(one.id, []).append(value)
    return {name: values[0] for name, values in found.items() if len(values) == 1}


def _axes_of(exercise: Exercise, node: ast.expr, bound: Mapping[str, ast.expr], depth: int = 0) -> int | None:
    """How many axes the tensor of an expression has, at most; None if that is not known."""
    if isinstance(node, ast.Name) and node.id in bound and depth < 8:
        return _axes_of(exercise, bound[node.id], bound, depth + 1)
    inside = node.value if isinstance(node, ast.Subscript) else node
    if not isinstance(inside, ast.Name) or inside.id in bound:
        return None
    call = probes_of(exercise)[0].call
    value = named_arguments(exercise, call.args, call.kwargs).get(inside.id)
    if isinstance(value, Mapping) and inside is not node:
        return max((one.dim() for one in leaves(value)), default=None)
    return value.dim() if isinstance(value, Tensor) and inside is node else None
