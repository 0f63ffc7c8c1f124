"""Exceptions: whether two are the same, and what the common ones mean, in plain sentences.

Two crashes are compared by their kind and by the sizes in their messages, because the words differ with the way the
code is written: x + y and y + x name the sizes in another order, and a product has three different messages.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import NamedTuple

from torch import Tensor

from minibert.errors import nearest
from minibert.exercises.calls import Problem


class Kind(NamedTuple):
    """A kind of crash. pattern: found in "type: message". says: what it means; what to do."""

    name: str
    pattern: str
    says: str


# The first that fits counts. Groups of a pattern fill the braces of its sentence.
KINDS = (
    Kind("module as function",
         r"'(Softmax|LogSoftmax|LayerNorm|GELU|ReLU|Tanh|Dropout|Linear|Embedding|Sigmoid|CrossEntropyLoss|KLDivLoss|"
         r"CosineSimilarity|CosineEmbeddingLoss|MSELoss)'",
         "nn.{0}(...) makes a module and computes nothing yet; call what it makes, as in nn.{0}(...)(x), or use the "
         "function in torch.nn.functional"),
    Kind("module as function", r"Boolean value of Tensor.*(softmax|reduction|size_average)",
         "the arguments of a loss module are settings and not tensors; make it first and then call it, or use the "
         "function in torch.nn.functional"),
    Kind("in place", r"modified by an inplace operation",
         "a result that the gradient still needs is changed in place, for example weights[...] = 0 after the softmax, "
         "+= or a function that ends with _; make a new tensor instead, with masked_fill or torch.where"),
    Kind("argument in place", r"leaf Variable that requires grad|view of a leaf|view .* is being used in an in-?place",
         "it changes an argument in place; work on a copy, or make a new tensor"),
    Kind("gradient switched off", r"One of the differentiated Tensors does not require grad",
         "it switches the gradient of an argument off (requires_grad_(False), or .requires_grad = False), which is the "
         "caller's tensor; use detach() for a constant"),
    Kind("numpy", r"Can't call numpy\(\) on Tensor that requires grad",
         ".numpy() takes the numbers out of the graph, so no gradient can flow; stay with torch's functions"),
    Kind("no graph", r"does not require grad and does not have a grad_fn",
         "the result has left the graph (no_grad, .item(), .detach() or torch.tensor(...)), so no gradient can flow"),
    Kind("ambiguous", r"Boolean value of Tensor with more than one value",
         "a tensor with several entries is used where Python needs one True or False (if, and, or, not); use &, "
         "| and ~, "
         "or compare with None by `is`"),
    Kind("None", r"'NoneType'|NoneType",
         "it uses None as if it were a value: an optional argument such as the mask may be None, and a function "
         "without "
         "`return` gives None"),
    Kind("minus mask", r"Subtraction, the `-` operator, with (?:a|two) bool tensor",
         "booleans cannot be subtracted; use ~mask for the opposite"),
    Kind("not mask", r"operator\.invert|bitwise_not_? |\"bitwise_not|for ~: 'float'|unary ~",
         "~ works on booleans and integers only; turn the mask into booleans first, with mask.bool()"),
    Kind("view", r"view size is not compatible",
         "a view needs the numbers in that order in memory, and a transpose moves none; use reshape, or contiguous() "
         "before view"),
    Kind("shape of a view", r"shape '\[(.*?)\]' is invalid for input of size (\d+)",
         "a tensor of {1} entries cannot have the shape ({0}); which of the sizes do you take from which axis?"),
    Kind("no axis", r"Dimension out of range|dim(?:ension)? specified as|permute\(sparse_coo\)|"
         r"number of dimensions in the "
         r"tensor input does not match|too many indices|IndexError: too many|"
         r"not enough values to unpack|expects a tensor with <= |too many values to unpack",
         "it expects another number of axes, or a longer axis, than the tensor has; print its shape just before"),
    Kind("row outside", r"index out of range in self|is out of bounds for (?:axis|dimension)|"
         r"index -?\d+ is out of bounds",
         "an index is larger than the table or the axis that it is used on"),
    Kind("class outside", r"Target -?\d+ is out of bounds|Class values must be",
         "a label is no class; -100 and other labels that do not count must be left out (ignore_index, or a "
         "selection)"),
    Kind("cat", r"Sizes of tensors must match except in dimension", "tensors of different sizes cannot be "
         "joined there"),
    Kind("sizes", r"size of tensor a|shapes? cannot be (?:multiplied|broadcast)|must match|Expected size for first two|"
         r"inconsistent tensor size|size mismatch|shape mismatch|not broadcastable|does not match|expand\(|"
         r"mat1 and mat2|operand(?:s)? (?:could not|has)|Given normalized_shape|doesn't match the broadcast",
         "two sizes do not fit"),
    Kind("batch size", r"Expected (?:input|target) (?:batch_size|size)", "scores and labels do not fit; flatten both"),
    Kind("dtype", r"expected (?:scalar type|m1 and m2|both)|must have the same dtype|dtype (?:mismatch|of )|"
         r"Expected tensor for argument .* scalar types|result type .* can't be cast|should be the same|"
         r"to have the same "
         r"dtype|same dtype",
         "it mixes types of numbers, such as float32 and float64; a new tensor takes its type from x by "
         "x.new_zeros(...), "
         "torch.zeros_like(x) or dtype=x.dtype"),
    Kind("int as float", r"mean\(\): could not infer output dtype|not implemented for '(?:Long|Bool|Int|Byte)'|"
         r"Only floating",
         "it takes integers or booleans where floating-point numbers are needed; convert them, for example with "
         ".to(x)"),
    Kind("key", r"^KeyError", "the dict has no such key"),
    Kind("einops", r"^EinopsError", "the pattern does not fit the tensor; compare its letters with the shape"),
    Kind("endless", r"^RecursionError", "the function calls itself without end"),
    Kind("divided by 0", r"^ZeroDivisionError", "it divides by 0 where nothing counts; divide by at least 1"),
    Kind("list end", r"list index out of range|string index out of range|pop from (?:an )?empty|tuple index out",
         "it reads past the end of a list"),
    Kind("empty choice", r"Cannot choose from an empty|empty range|empty sequence|arg is an empty|non-zero size|"
         r"need at least one|expects a non-empty|argument of .* empty",
         "it takes one of nothing, or the largest of nothing, where nothing is left to choose from"),
    Kind("unbound", r"^UnboundLocalError",
         "a variable is used before it has a value, for example because it is only set inside an if"),
    Kind("name", r"^NameError: name '(\w+)' is not defined", "`{0}` is not defined: is an import missing, or is "
         "it misspelt?"),
    Kind("attribute", r"^AttributeError: '?(\S+?)'? object has no attribute '(\w+)'", "a {0} has no `{1}`"),
    Kind("not callable", r"'([\w.]+)' object is not callable", 
         "a value (of type {0}) is called like a function, as `x.shape()` for `x.shape`"),
    Kind("arguments", r"^TypeError: .*(?:missing \d+ required|takes .* positional|unexpected keyword|"
         r"got multiple values|"
         r"received an invalid combination|must be Tensor, not|must be tuple of ints)",
         "a function is called with arguments that it does not take"),
    Kind("operand", r"unsupported operand type|can only concatenate|not supported between",
         "an operator gets two values that it cannot combine"),
)  # fmt: skip


@cache
def kind_of(type_name: str, message: str) -> tuple[Kind | None, tuple[str, ...]]:
    """The kind of a crash, and what stands in its sentence's braces."""
    for kind in KINDS:
        if found := re.search(kind.pattern, f"{type_name}: {message}"):
            return kind, tuple(group or "" for group in found.groups())
    return None, ()


def same_crash(one: Problem, other: Problem) -> bool:
    """Whether two exceptions have the same cause, as far as can be seen: their kind, and the sizes in the messages."""
    mine, theirs = (kind_of(problem.type, problem.message)[0] for problem in (one, other))
    if mine is None or theirs is None or mine.name != theirs.name:
        return (one.type, one.message) == (other.type, other.message)
    if mine.name in ("key", "name"):
        return one.message == other.message
    return sizes_in(one) == sizes_in(other)


def sizes_in(problem: Problem) -> frozenset[int]:
    """The sizes in a message. The number of the axis at which torch noticed them is left out."""
    text = re.sub(
        r"(dimension|dim|axis|argument|#)\s*:?\s*-?\d+|float\d+|int\d+|mat\d|m\d\b|batch\d", "", problem.message
    )
    return frozenset(int(number) for number in re.findall(r"\d+", text) if int(number) != 1)


def in_words(problem: Problem, axes: Mapping[str, int], keys: tuple[str, ...] = ()) -> str:
    """What a crash means, in a sentence without its full stop; empty if its kind is not known.

    axes: letter -> size, so that a size can be named by its letter. keys: of the dicts among the arguments.
    """
    kind, groups = kind_of(problem.type, problem.message)
    if kind is None:
        return ""
    said = kind.says.format(*groups)
    if kind.name == "key" and keys:
        name = problem.message.strip("'\"")
        said = f"there is no {name!r} in the dict; {nearest(name, keys)}"
    if kind.name in ("sizes", "shape of a view", "cat", "batch size"):
        letters = {size: letter for letter, size in axes.items() if size > 1}
        named = [f"{size} is {letters[size]}" for size in sorted(sizes_in(problem)) if size in letters]
        if kind.name == "sizes" and (both := re.search(r"\((\d+)x(\d+) and (\d+)x(\d+)\)", problem.message)):
            a, b, c, d = both.groups()
            said = f"in a matrix product ({a}×{b}) times ({c}×{d}), {b} and {c} must be equal"
            if b == d:
                said += ", and are equal if the second is transposed"
        elif kind.name == "sizes" and (both := re.search(r"a \((\d+)\).*b \((\d+)\)", problem.message)):
            said = f"the sizes {both[1]} and {both[2]} do not fit together"
        said += f" (here {', '.join(named)})" if named else ""
    return said


def ended(said: str, place: str = "") -> str:
    """What `in_words` says with its end: a question keeps its mark. place: what stands before the end."""
    return f"{said.rstrip('.?')}{place}{'?' if said.endswith('?') else '.'}"


def keys_of(args: tuple[object, ...]) -> tuple[str, ...]:
    """The keys of the dicts of tensors among the arguments."""
    return tuple(
        str(key) for one in args if isinstance(one, Mapping) for key, value in one.items() if isinstance(value, Tensor)
    )
