"""Calls a learner's function and reports the outcome as plain values: tensors, numbers, texts, lists.

This file imports torch and nothing from minibert, because it is used in two places. In a notebook, the checker imports
it as a module. When submissions are graded, it is loaded into a separate process in which minibert does not exist (see
classroom/worker.py); calls and outcomes are then sent as bytes (`pack`, `unpack`), without pickle. Nothing is compared
or judged here.
"""

from __future__ import annotations

import functools
import inspect
import json
import math
import numbers
import random
import struct
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

DEEPEST = 12  # levels of nested lists; no exercise needs more
LARGEST_INTEGER, LONGEST_TEXT = 2**62, 100_000
# Of a message: the bytes of everything that is not in tensors, and how many values it may be made of.
LARGEST_HEADER, MOST_VALUES = 8 * 2**20, 400_000
MOST_MARKS = 3 * MOST_VALUES  # brackets and commas of a message: counted before it is parsed, which takes long
ANSWER = "<answer>"  # the file name under which a learner's code is compiled


# ------------------------------------------------------------------------------------------------- values


@dataclass(frozen=True)
class Built:
    """An argument that cannot be sent as bytes and is built where the call is made.

    name: a key of BUILDERS. arguments: what the builder is called with.
    """

    name: str
    arguments: tuple[Any, ...] = ()


@dataclass(frozen=True)
class Other:
    """Stands for a returned value that is not a plain one; type: the name of its type."""

    type: str


@dataclass(frozen=True)
class Call:
    """A call to make: the arguments, and what to observe besides the returned value.

    grads: the numbers of the positional arguments whose gradients are computed (for all their floating-point tensors).
    first: when two values are returned, only the first counts, as for attention, which may also return its weights.
    reduce: a key of REDUCERS, for answers that are not plain values. again: the positional arguments of further
    calls, made directly after the first; the output is then the list of all results. This shows whether the same seed
    gives the same result, and another seed a different one. seed: of torch and of Python's `random` during the call.
    """

    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    grads: tuple[int, ...] = ()
    first: bool = False
    reduce: str | None = None
    again: tuple[tuple[Any, ...], ...] = ()
    seed: int = 0


@dataclass(frozen=True)
class Problem:
    """An exception: the name of its type, its message, and the line of the answer that raised it (0: not known).

    text: the source text of that line.
    """

    type: str
    message: str
    line: int = 0
    text: str = ""

    @property
    def place(self) -> str:
        """Where it was raised, in brackets; empty if that is not known."""
        return f" (line {self.line}: `{self.text.strip()}`)" if self.text else ""


@dataclass(frozen=True)
class Outcome:
    """The outcome of a call.

    output: what was returned. grads: one for each tensor of `Call.grads`, None where no gradient arrived. changed: the
    numbers of the positional arguments that the call changed in place. aliased: whether a returned tensor shares
    memory with an argument. problem: the exception, if there was one; the other fields then mean nothing.
    """

    output: Any = None
    grads: tuple[Tensor | None, ...] = ()
    changed: tuple[int, ...] = ()
    aliased: bool = False
    problem: Problem | None = None


class Failed(Exception):
    """Carries the problem of a call that was made in another process, where a function has to raise something."""

    def __init__(self, problem: Problem):
        super().__init__(f"{problem.type}: {problem.message}")
        self.problem = problem


SIMPLE = (str, int, float, bool, type(None))  # looked for first, because some exercises return thousands of them


def leaves(value: Any) -> Iterator[Tensor]:
    """The tensors in nested lists, tuples and dicts, in order."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (list, tuple, Mapping)):
        for one in value.values() if isinstance(value, Mapping) else value:
            if type(one) not in SIMPLE:
                yield from leaves(one)


def mapped(value: Any, change: Callable[[Any], Any]) -> Any:
    """The same nesting, with `change` applied to everything that is not a list, tuple or dict."""
    if isinstance(value, (list, tuple)):
        return type(value)(mapped(one, change) for one in value)
    if type(value) not in SIMPLE and isinstance(value, Mapping):
        return {name: mapped(one, change) for name, one in value.items()}
    return change(value)


# ------------------------------------------------------------------------------------------- making a call


def make_call(function: Callable[..., Any], call: Call, after: list[Any] | None = None) -> Outcome:
    """Call the function with copies of the arguments; an exception becomes a Problem. Seeds are those of the call.

    after: gets the positional arguments as they are after the call, as plain values, for a grader that does not trust
    `Outcome.changed`; None for those that were built.
    """

    def fresh(value: Any) -> Any:
        if isinstance(value, Tensor):
            return value.detach().clone()
        return BUILDERS[value.name](*value.arguments) if isinstance(value, Built) else value

    args = tuple(mapped(value, fresh) for value in call.args)
    kwargs = {name: mapped(value, fresh) for name, value in call.kwargs.items()}
    wanted = [leaf for number in call.grads for leaf in leaves(args[number]) if leaf.is_floating_point()]
    for leaf in wanted:
        leaf.requires_grad_()
    pythons_own = random.getstate()
    try:
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(call.seed)  # torch.manual_seed also asks all devices, which is slow
            random.seed(call.seed)
            returned = function(*args, **kwargs)
            if returned is None:
                return Outcome()
            if call.again:
                returned = [returned, *(function(*mapped(more, fresh)) for more in call.again)]
            if call.first and isinstance(returned, (tuple, list)) and len(returned) == 2:
                returned = returned[0]
            reduced = REDUCERS[call.reduce](returned) if call.reduce else returned
        grads = _gradients(returned, wanted) if wanted else ()
    except RecursionError:
        return Outcome(problem=Problem("RecursionError", "the function calls itself without end"))
    except (Exception, SystemExit) as error:
        return Outcome(problem=problem_of(error, function))
    finally:
        random.setstate(pythons_own)
    if after is not None:
        after += [None if isinstance(one, Built) else _plain(arg) for one, arg in zip(call.args, args, strict=True)]
    memory = {leaf.untyped_storage().data_ptr() for leaf in leaves(args) if leaf.numel()}
    changed = changed_of(call.args, args)
    aliased = any(leaf.untyped_storage().data_ptr() in memory for leaf in leaves(returned) if leaf.numel())
    return Outcome(_plain(reduced), tuple(grads), changed, aliased)


def _gradients(returned: Any, wanted: Sequence[Tensor]) -> list[Tensor | None]:
    """The gradients of a weighted sum of all returned entries; the weights differ, so that no error cancels out."""
    total = None
    for leaf in leaves(returned):
        if leaf.requires_grad and leaf.is_floating_point():
            weights = torch.linspace(0.5, 1.5, max(leaf.numel(), 1), dtype=leaf.dtype)[: leaf.numel()]
            part = (leaf.reshape(-1) * weights).sum()
            total = part if total is None else total + part
    if total is None:
        return [None] * len(wanted)
    return list(torch.autograd.grad(total, wanted, allow_unused=True))


def changed_of(before: Sequence[Any], after: Sequence[Any]) -> tuple[int, ...]:
    """The numbers of the arguments that a call has changed."""
    pairs = zip(before, after, strict=True)
    return tuple(number for number, pair in enumerate(pairs) if not _alike(*pair))


def _alike(before: Any, after: Any) -> bool:
    """Whether nested plain values are unchanged. Arguments built for the call, such as generators, are not compared."""
    if type(before) in SIMPLE:
        return bool(before == after)
    if isinstance(before, Built):
        return True
    if isinstance(before, Tensor):
        if not isinstance(after, Tensor) or (before.shape, before.dtype) != (after.shape, after.dtype):
            return False
        same = before == after.detach()
        return bool((same | before.isnan() & after.detach().isnan()).all())
    if isinstance(before, Mapping):
        return (
            isinstance(after, Mapping)
            and list(before) == list(after)
            and all(_alike(before[name], after[name]) for name in before)
        )
    if isinstance(before, (list, tuple)):
        return isinstance(after, (list, tuple)) and len(before) == len(after) and all(map(_alike, before, after))
    return bool(before == after)


def _plain(value: Any, depth: int = 0) -> Any:
    """A returned value in which everything that cannot be sent is replaced by Other."""
    if depth > DEEPEST:
        return Other("value that is nested too deeply")
    if type(value) in (Tensor, nn.Parameter):
        return value.detach().to_dense() if value.layout is not torch.strided else value.detach()
    if type(value) is int and abs(value) > LARGEST_INTEGER:
        return Other("very large integer")
    if type(value) is str and len(value) > LONGEST_TEXT:
        return Other("very long string")
    if type(value) in SIMPLE:
        return value
    if isinstance(value, numbers.Number) or (
        type(value).__module__ == "numpy" and type(value).__name__.startswith("bool")
    ):
        return _plain_number(value)  # numpy's numbers, fractions, subclasses of int and float
    if isinstance(value, dict):
        return {str(name): _plain(one, depth + 1) for name, one in value.items()}
    if isinstance(value, tuple):
        return tuple(_plain(one, depth + 1) for one in value)
    if isinstance(value, list):
        return [_plain(one, depth + 1) for one in value]
    if isinstance(value, Mapping):
        return _plain(dict(value), depth)
    return Other(f"{type(value).__module__}.{type(value).__qualname__}".removeprefix("builtins."))


def _plain_number(value: Any) -> Any:
    """A number of another library as Python's own."""
    try:
        if isinstance(value, numbers.Integral):
            return int(value)
        return (
            float(value)
            if isinstance(value, numbers.Real)
            else bool(value)
            if "bool" in type(value).__name__
            else Other("complex number")
        )
    except Exception:  # a class of the learner's
        return Other(type(value).__name__)


def problem_of(error: BaseException, function: Callable[..., Any] | None = None) -> Problem:
    """An exception as a Problem, with the last line of the learner's own code that it passed through.

    The learner's own code is a graded file, a notebook's cell, or the file in which `function` was written.
    """
    if isinstance(error, Failed):
        return error.problem
    written_in = _file_of(function)
    own = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename in (ANSWER, written_in) or "ipykernel" in frame.filename or "<ipython" in frame.filename
    ]
    line, text = (own[-1].lineno or 0, own[-1].line or "") if own else (0, "")
    return Problem(type(error).__name__, str(error)[:2000], line, text)


def _file_of(function: Any) -> str:
    """The file in which a function, a method, a partial or an object that can be called was written."""
    for _ in range(DEEPEST):
        if isinstance(function, functools.partial):
            function = function.func
        elif hasattr(function, "__wrapped__"):
            function = function.__wrapped__
        elif isinstance(function, nn.Module):
            function = type(function).forward
        elif not inspect.isroutine(function) and callable(function):
            function = type(function).__call__
        else:
            break
    return str(getattr(getattr(function, "__code__", None), "co_filename", ANSWER))


# --------------------------------------------------------------------- arguments that are built for the call


class Block(nn.Module):
    """A module that looks like a small encoder block from outside: it has the parts attention and feed_forward."""

    def __init__(self, width: int):
        super().__init__()
        self.attention = nn.Linear(width, width, dtype=torch.float64)
        self.feed_forward = nn.Linear(width, width, dtype=torch.float64)

    def forward(self, x: Tensor) -> Tensor:
        return x + torch.tanh(self.feed_forward(torch.tanh(self.attention(x))))


def block_maker(width: int, seed: int) -> Callable[[], Block]:
    """A function that makes a new block each time; the n-th has its own weights, the same in every process."""
    made = 0

    def make_block() -> Block:
        nonlocal made
        made += 1
        block = Block(width)
        generator = torch.Generator().manual_seed(1000 * seed + made)
        with torch.no_grad():
            for parameter in block.parameters():
                parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
        return block

    return make_block


class Counted(nn.Module):
    """A small language model whose parameters are counted. tied: the decoder's weight is the word embeddings' tensor.

    shared: one block is used `layers` times. frozen: one norm does not learn. buffer: the length of a buffer, 0: none.
    own: the model itself has a vector.
    """

    def __init__(
        self,
        vocabulary: int,
        width: int,
        tied: bool,
        layers: int,
        shared: bool,
        frozen: bool,
        buffer: int,
        own: bool = False,
    ):
        super().__init__()
        if own:
            self.start = nn.Parameter(torch.zeros(width))
        self.word = nn.Embedding(vocabulary, width)
        blocks = [Block(width)] * layers if shared else [Block(width) for _ in range(layers)]
        self.blocks = nn.ModuleList(blocks)
        self.norm = nn.LayerNorm(width)
        self.last_norm = nn.LayerNorm(width)  # equal numbers, but a tensor of its own
        self.decoder = nn.Linear(width, vocabulary)
        if tied:
            self.decoder.weight = self.word.weight
        if frozen:
            self.norm.requires_grad_(False)
        if buffer:
            self.register_buffer("position_ids", torch.arange(buffer))


BUILDERS: dict[str, Callable[..., Any]] = {
    "generator": lambda seed: torch.Generator().manual_seed(seed),
    "random": random.Random,
    "block_maker": block_maker,
    "counted": Counted,
}


def which_are_shared(blocks: Any) -> dict[str, Any]:
    """What a stack of blocks consists of: the tensors of each step, numbered in the order of first appearance."""
    if not isinstance(blocks, (list, tuple, nn.ModuleList, nn.Sequential)):
        return {"returned": Other(type(blocks).__name__)}
    stack = list(blocks)
    seen: dict[int, int] = {}
    steps = [
        {name: seen.setdefault(id(parameter), len(seen)) for name, parameter in sorted(block.named_parameters())}
        if isinstance(block, nn.Module)
        else Other(type(block).__name__)
        for block in stack
    ]
    found: dict[str, Any] = {"length": len(stack), "tensors": steps}
    if stack and all(isinstance(block, nn.Module) for block in stack):
        # The output of each block, so that the values are compared as well as the identity of the tensors.
        x = torch.linspace(-1, 1, stack[0].attention.in_features, dtype=torch.float64)[None]
        found["steps"] = torch.cat([block(x) for block in stack])
    return found


def whole_numbers(returned: Any) -> Any:
    """The same with integers in all tensors that hold nothing but whole numbers, booleans included."""
    return mapped(returned, lambda one: one.long() if isinstance(one, Tensor) and _is_whole(one) else one)


def _is_whole(tensor: Tensor) -> bool:
    return not tensor.is_complex() and bool((tensor.isfinite() & (tensor == tensor.long())).all())


REDUCERS: dict[str, Callable[[Any], Any]] = {"sharing": which_are_shared, "whole numbers": whole_numbers}


# ------------------------------------------------------------------------------------- values as bytes

DTYPES = {str(dtype).removeprefix("torch."): dtype for dtype in (
    torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16, torch.int8,
    torch.uint8, torch.bool,
)}  # fmt: skip
RECORDS = {kind.__name__: kind for kind in (Built, Other, Call, Problem, Outcome)}


def pack(value: Any) -> bytes:
    """Plain values, and the dataclasses of this file, as bytes. Raises TypeError for anything else."""
    arrays: list[bytes] = []

    def encode(one: Any) -> Any:
        if one is None or isinstance(one, (bool, int, str)):
            return one
        if isinstance(one, float):
            return {"float": one.hex()}
        if isinstance(one, Tensor):
            flat = one.detach().cpu().contiguous().reshape(-1)
            name = str(one.dtype).removeprefix("torch.")
            if name not in DTYPES:
                raise TypeError(f"tensor of {one.dtype}")
            arrays.append(bytes(flat.view(torch.uint8).numpy()) if flat.numel() else b"")
            return {"tensor": [name, list(one.shape), len(arrays[-1])]}
        if isinstance(one, Mapping):
            return {"dict": [[str(name), encode(item)] for name, item in one.items()]}
        if isinstance(one, (list, tuple)):
            return {type(one).__name__ if type(one) in (list, tuple) else "tuple": [encode(item) for item in one]}
        if type(one).__name__ in RECORDS:
            return {"record": [type(one).__name__, {name: encode(item) for name, item in vars(one).items()}]}
        raise TypeError(type(one).__name__)

    header = json.dumps(encode(value)).encode()
    return struct.pack("<I", len(header)) + header + b"".join(arrays)


def unpack(data: bytes) -> Any:
    """The reverse of `pack`. Raises ValueError for bytes that `pack` did not make, and for messages that are too large.

    So the bytes may come from anywhere; but what they say may still be of the wrong kind for the place where it stands.
    """
    at = values = 0

    def decode(one: Any, depth: int = 0) -> Any:
        nonlocal at, values
        values += 1
        if depth > 4 * DEEPEST or values > MOST_VALUES:
            raise ValueError("nested too deeply, or too many values")
        if one is None or isinstance(one, bool):
            return one
        if isinstance(one, int):
            if abs(one) > LARGEST_INTEGER:
                raise ValueError("a very large integer")
            return one
        if isinstance(one, str):
            return one.encode("utf-8", "backslashreplace").decode() if not one.isascii() else one
        if not isinstance(one, dict):
            raise ValueError("a list or a number where neither is used")
        ((kind, content),) = one.items()
        if kind == "float":
            return float.fromhex(content)
        if kind == "tensor":
            name, shape, size = content
            tensor, at = _tensor(data, at, DTYPES[name], shape, size)
            return tensor
        if not isinstance(content, list):
            raise ValueError("no list")
        if kind == "dict":
            return {decode(str(name)): decode(item, depth + 1) for name, item in content}
        if kind in ("list", "tuple"):
            return {"list": list, "tuple": tuple}[kind](decode(item, depth + 1) for item in content)
        if kind != "record":
            raise ValueError("an unknown kind")
        name, fields = content
        return RECORDS[name](**{name: decode(item, depth + 1) for name, item in fields.items()})

    try:
        (size,) = struct.unpack_from("<I", data)
        if size > LARGEST_HEADER:
            raise ValueError("too large")
        at = 4 + size
        header = data[4:at]
        if sum(map(header.count, (b"[", b"{", b","))) > MOST_MARKS:
            raise ValueError("too many values")
        return decode(json.loads(header))
    except (ValueError, KeyError, TypeError, AttributeError, struct.error, RuntimeError, RecursionError, MemoryError,
            OverflowError) as error:  # fmt: skip
        raise ValueError(f"not a message of packed values ({type(error).__name__})") from None


def _tensor(data: bytes, at: int, dtype: torch.dtype, shape: Any, size: Any) -> tuple[Tensor, int]:
    """The tensor whose bytes begin at `at`, and where they end. Raises ValueError unless shape and size agree."""
    whole = [size, *shape]
    if len(whole) > 17 or not all(type(one) is int and 0 <= one < 2**40 for one in whole):
        raise ValueError("no shape")
    if math.prod(shape) * dtype.itemsize != size or at + size > len(data):
        raise ValueError("a tensor of another size")
    numbers = bytearray(data[at : at + size])
    if not size:
        return torch.empty(shape, dtype=dtype), at
    if dtype == torch.bool:
        return torch.frombuffer(numbers, dtype=torch.uint8).ne(0).reshape(shape), at + size
    return torch.frombuffer(numbers, dtype=dtype).reshape(shape), at + size
