"""Which names of a file a statement uses, and what it may change without an assignment. Nothing is run here."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from minibert.exercises.submissions import bound

DEFINITION = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
FUNCTION = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
COMPREHENSION = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
# Methods and functions that change what they are called on, or what they are given, besides those that end with "_".
CHANGING = {
    "append", "appendleft", "extend", "extendleft", "insert", "add", "update", "setdefault", "pop", "popleft",
    "popitem", "remove", "discard", "clear", "sort", "reverse", "rotate", "subtract", "intersection_update",
    "difference_update", "symmetric_difference_update", "__setitem__", "__delitem__", "__setattr__", "setattr",
    "delattr", "shuffle", "heappush", "heappop", "heapify", "heapreplace", "insort", "insort_left",
    "insort_right", "fill", "register",
}  # fmt: skip


def global_names(node: ast.AST, annotations: bool = True) -> Iterator[ast.Name]:
    """The names in a statement that belong to the file, and not to a function, class or comprehension inside it."""
    return _global_names(node, frozenset(), frozenset(), annotations)


def _global_names(
    node: ast.AST | None, hidden: frozenset[str], inside: frozenset[str], annotations: bool
) -> Iterator[ast.Name]:
    """hidden: the names that mean something else here. inside: those that do so in functions that are defined here
    (they do not see the names of a class)."""

    def of(
        parts: Iterable[ast.AST | None], hidden: frozenset[str] = hidden, inside: frozenset[str] = inside
    ) -> Iterator[ast.Name]:
        for part in parts:
            if part is not None:
                yield from _global_names(part, hidden, inside, annotations)

    if isinstance(node, ast.Name):
        if node.id not in hidden:
            yield node
    elif isinstance(node, FUNCTION):
        a = node.args
        arguments = [*a.posonlyargs, *a.args, *a.kwonlyargs, *(one for one in (a.vararg, a.kwarg) if one)]
        yield from of([*getattr(node, "decorator_list", []), *a.defaults, *a.kw_defaults])
        if annotations:
            yield from of([*(one.annotation for one in arguments), getattr(node, "returns", None)])
        body = node.body if isinstance(node.body, list) else [node.body]
        own = {one.arg for one in arguments} | {name for part in body for name in _local(part)}
        own -= {name for part in body for name in _declared_global(part)}
        yield from of(body, inside | own, inside | own)
    elif isinstance(node, ast.ClassDef):
        yield from of([*node.decorator_list, *node.bases, *(one.value for one in node.keywords)])
        seen: frozenset[str] = frozenset()
        for part in node.body:  # until the class has set a name, it is the file's: `class C: scale = scale + 1`
            own = frozenset(_local(part))
            if isinstance(part, DEFINITION):
                yield from of([part], hidden | seen)
            elif isinstance(part, (ast.Assign, ast.AnnAssign)):
                yield from of(getattr(part, "targets", None) or [part.target], hidden | seen | own)
                yield from of([part.value, getattr(part, "annotation", None) if annotations else None], hidden | seen)
            else:
                yield from of([part], hidden | seen | own)
            seen |= own
    elif isinstance(node, COMPREHENSION):
        first, *others = node.generators
        own = hidden | {name for one in node.generators for name in _stored(one.target)}
        yield from of([first.iter])
        within = [first.target, *first.ifs, *others]
        values = [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
        yield from of([*within, *values], own, inside | own)
    elif isinstance(node, ast.AnnAssign):
        yield from of([node.target, node.value, node.annotation if annotations else None])
    elif node is not None:
        yield from of(ast.iter_child_nodes(node))


def _local(node: ast.AST) -> Iterator[str]:
    """The names that a statement inside a function binds there."""
    yield from bound(node)
    for part in ast.walk(node):
        if isinstance(part, ast.ExceptHandler) and part.name:
            yield part.name


def _stored(node: ast.AST) -> Iterator[str]:
    yield from (one.id for one in ast.walk(node) if isinstance(one, ast.Name))


def _declared_global(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Global):
        yield from node.names
    if not isinstance(node, (*DEFINITION, ast.Lambda)):
        for child in ast.iter_child_nodes(node):
            yield from _declared_global(child)


# ------------------------------------------------------------------------------------- changes without assignment


class Effects(NamedTuple):
    """What a statement may change by calls, as names of the file.

    touches: names on which it calls methods that may change them, or that it gives to such functions. runs: names that
    it calls for their effect. passed: what it gives to these. inside: for a function or class, what it changes of the
    file when it is called. fills: whether a function in it changes what it is given.
    """

    touches: frozenset[str]
    runs: frozenset[str]
    passed: frozenset[str]
    inside: frozenset[str]
    fills: bool


def effects_of(tree: ast.Module, mentions: frozenset[str]) -> Effects:
    """The effects of a statement. mentions: the names of the file that it uses."""
    touches, runs, passed, inside, fills = set[str](), set[str](), set[str](), set[str](), False
    for node in tree.body:
        if isinstance(node, ast.If) and "__name__" in ast.unparse(node.test):
            continue  # `if __name__ == "__main__"` does not run where answers are checked
        if isinstance(node, DEFINITION):
            runs |= {root_of(one) for one in node.decorator_list}
            touches |= {root_of(one) for one in node.decorator_list if "." in ast.unparse(one).partition("(")[0]}
            parts = list(ast.walk(node))
            all_changed = {name for part in parts for name in (*changed(part), *_by_call(part))}
            inside |= all_changed | {name for part in parts if isinstance(part, ast.Global) for name in part.names}
            arguments = [one.arg for part in parts if isinstance(part, ast.arguments) for one in
                         (*part.posonlyargs, *part.args, *part.kwonlyargs)]  # fmt: skip
            fills |= bool(all_changed & set(arguments))
            continue
        for part in _at_once(node):
            touches |= set(_by_call(part))
            if isinstance(part, ast.Expr) and isinstance(part.value, ast.Call):  # its value is not used
                call = part.value
                runs.add(root_of(call.func))
                touches |= {root_of(call.func)} if isinstance(call.func, ast.Attribute) else set()
                passed |= {one.id for one in ast.walk(call) if isinstance(one, ast.Name)}
    return Effects(*(frozenset(one & mentions) for one in (touches, runs, passed, inside)), fills)


def changed(node: ast.AST) -> Iterator[str]:
    """The name whose entry or attribute is set or deleted here, as `table` in `table["a"] = 1`."""
    if isinstance(node, (ast.Subscript, ast.Attribute)) and not isinstance(node.ctx, ast.Load):
        yield root_of(node)


def _by_call(node: ast.AST) -> Iterator[str]:
    """The names that a call changes, as its name says."""
    if isinstance(node, ast.Call):
        name = getattr(node.func, "attr", getattr(node.func, "id", ""))
        if name in CHANGING or (name.endswith("_") and not name.startswith("_")):
            given = [*node.args, *(one.value for one in node.keywords)]
            yield from (root_of(one) for one in (node.func, *given))


def root_of(node: ast.AST) -> str:
    """The name that an expression begins with, as `table` in `table["a"].b()`; "" if there is none."""
    while isinstance(node, (ast.Subscript, ast.Attribute, ast.Call, ast.Starred)):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id if isinstance(node, ast.Name) else ""


def _at_once(node: ast.AST) -> Iterator[ast.AST]:
    """The parts of a statement that run with it, and not later, when a function is called."""
    yield node
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, FUNCTION):
            yield from _at_once(child)
