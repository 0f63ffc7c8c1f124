"""What comes out of the box is checked here, field by field, before anything else looks at it.

The code in the box can send any bytes. `calls.unpack` turns them into values or refuses them; the functions here refuse
values of the wrong kind, with ValueError. And whatever it says in words is cut and cleaned before it is shown.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from minibert.exercises.calls import DEEPEST, Call, Other, Outcome, Problem, changed_of, leaves
from minibert.exercises.submissions import LARGEST_CODE, MOST_PROBLEMS, MOST_STATEMENTS, Submission
from minibert.words import type_of

LONGEST = 1500  # characters of a text that is shown
MOST_NUMBERS = 4_000_000  # entries in all tensors of a result
MOST_VALUES = 100_000  # other values of a result
_SEQUENCES = re.compile(r"\x1b(\[[0-9;?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)?|.)?")  # of a terminal
_UNSEEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")


def clean(text: str, longest: int = LONGEST) -> str:
    """The text without what a terminal or a page would obey, and cut to a length."""
    if len(text) > longest:
        text = f"{text[:longest]} … ({len(text) - longest} more characters)"
    text = _SEQUENCES.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))
    return _UNSEEN.sub("\ufffd", text)


def text_of(value: Any, longest: int = LONGEST) -> str:
    if type(value) is not str:
        raise ValueError("no text")
    return clean(value, longest)


def number_of(value: Any, largest: int) -> int:
    if type(value) is not int or not 0 <= value <= largest:
        raise ValueError("no number, or one that is too large")
    return value


def list_of(value: Any, most: int) -> list[Any]:
    if type(value) not in (list, tuple) or len(value) > most:
        raise ValueError("no list, or one that is too long")
    return list(value)


def parts(answer: Any, kind: str, count: int) -> list[Any]:
    """The parts of an answer that must be of this kind."""
    found = list_of(answer, count + 1)
    if len(found) != count + 1 or type(found[0]) is not str or found[0] != kind:
        raise ValueError("another kind of answer")
    return found[1:]


# ------------------------------------------------------------------------------------------- what was read


def submissions(answer: Any) -> list[Submission] | str:
    """The answer to "read": what was read, or a sentence why nothing was."""
    if type(answer) is tuple and len(answer) == 2 and answer[0] == "unread":
        return text_of(answer[1])
    (listed,) = parts(answer, "read", 1)
    return [_submission(one) for one in list_of(listed, 2_000)]


def _submission(given: Any) -> Submission:
    names = ("name", "statements", "names", "problems", "borrowed", "cells", "functions", "twin", "broken")
    if type(given) is not dict or set(given) != set(names) or type(given["broken"]) is not bool:
        raise ValueError("no submission")
    statements = []
    for one in list_of(given["statements"], MOST_STATEMENTS):
        source, line = list_of(one, 2)
        if type(source) is not str or len(source) > 2 * LARGEST_CODE:
            raise ValueError("no statement")
        statements.append((source, number_of(line, 10**7)))
    return Submission(
        text_of(given["name"], 250),
        statements,
        {text_of(one, 10_000) for one in list_of(given["names"], 100_000)},
        [text_of(one, 500) for one in list_of(given["problems"], MOST_PROBLEMS + 1)],
        {text_of(one, 200) for one in list_of(given["borrowed"], 10_000)},
        [number_of(one, 10**7) for one in list_of(given["cells"], 100_000)],
        number_of(given["functions"], 100_000),
        text_of(given["twin"], 100),
        given["broken"],
    )


def ran(answer: Any) -> tuple[set[str], list[Problem]]:
    """The answer to "run": the names that can be called, and the problems."""
    names, problems = parts(answer, "ran", 2)
    defined = {text_of(one, 10_000) for one in list_of(names, 100_000)}
    return defined, [problem(one) for one in list_of(problems, MOST_STATEMENTS)[: MOST_PROBLEMS + 1]]


# --------------------------------------------------------------------------------------- what was returned


def problem(given: Any) -> Problem:
    if type(given) is not Problem:
        raise ValueError("no problem")
    line = number_of(given.line, 10**7)
    return Problem(text_of(given.type, 100), text_of(given.message), line, text_of(given.text, 200))


def outcome(answer: Any, call: Call, watched: bool = True) -> Outcome:
    """The answer to "call". What was changed is found out here, from the arguments as they are after the call.

    watched: whether those were asked for; without them only the result counts.
    """
    given, after = parts(answer, "called", 2)
    if type(given) is not Outcome or type(given.aliased) is not bool:
        raise ValueError("no outcome")
    if given.problem is not None:
        return Outcome(problem=problem(given.problem))
    output = result(given.output)
    if output is None:
        return Outcome()
    wanted = [leaf for number in call.grads for leaf in leaves(call.args[number]) if leaf.is_floating_point()]
    grads = list_of(given.grads, len(wanted))
    if len(grads) != len(wanted):
        raise ValueError(f"{len(grads)} gradients, where {len(wanted)} were asked for")
    for grad, leaf in zip(grads, wanted, strict=True):
        if grad is not None and (type(grad) is not Tensor or (grad.shape, grad.dtype) != (leaf.shape, leaf.dtype)):
            raise ValueError("a gradient of another shape than its tensor")
    if not watched:
        return Outcome(output)
    then = list_of(after, len(call.args))
    if len(then) != len(call.args):
        raise ValueError("not as many arguments as were sent")
    return Outcome(output, tuple(grads), changed_of(call.args, then), given.aliased)


def result(value: Any) -> Any:
    """A returned value, if it is made of plain values only, and not of too many."""
    values = numbers = 0

    def look(one: Any, depth: int) -> Any:
        nonlocal values, numbers
        values += 1
        numbers += one.numel() if type(one) is Tensor else 0
        if values > MOST_VALUES or numbers > MOST_NUMBERS or depth > DEEPEST + 1:
            raise ValueError("a result that is too large")
        if isinstance(one, Mapping):
            return {name: look(item, depth + 1) for name, item in one.items()}
        if type(one) in (list, tuple):
            return type(one)(look(item, depth + 1) for item in one)
        if type(one) is Other:
            return Other(text_of(one.type, 100))
        if one is None or type(one) in (bool, int, float, str, Tensor):
            return one
        raise ValueError(f"a result with {type_of(one)} in it")

    return look(value, 0)
