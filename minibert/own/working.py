"""How the learner's functions are put to work: the library's functions are replaced as long as a `with` block runs.

A part that fails is named in one sentence. It is the learner's own file and machine, so the code runs in this process;
one that ends the process is named by `watching.py`.
"""

from __future__ import annotations

import traceback
import warnings
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from functools import wraps
from typing import Any, NamedTuple
from unittest import mock

from torch import Tensor, nn

from minibert.encoder import EncoderBlock
from minibert.errors import MinibertError, check_known
from minibert.exercises.catalogue import exercises
from minibert.exercises.printing import once
from minibert.exercises.running import stays_alive
from minibert.exercises.swap import Place
from minibert.own import watching
from minibert.own.loading import Loaded, Part, load
from minibert.words import are, listed, type_of

# Attributes of a block: how small the parts are that work in it, and its number in the model.
GRAIN, NUMBER = "own_grain", "own_number"
Shape = Callable[..., tuple[int, ...]]  # of the arguments of a place: what it has to return


class Wire(NamedTuple):
    """Where a part works. place: what is replaced, and how the part does its work. shape: of its result, if it is known
    before. grain: how large a piece of an encoder block the part is, 0 for all of it; None outside of blocks."""

    place: Place
    shape: Shape | None = None
    grain: int | None = None


class PartError(MinibertError):
    """A part of the learner's failed."""


class Working:
    """One of the learner's functions at work: it counts its calls, and knows whether it is running.

    parameters: those of the model that were passed to it. blocks: the numbers of the blocks in which it was called.
    """

    def __init__(self, part: Part, parts: Parts):
        self.part, self.parts = part, parts
        self.calls = 0
        self.running = False
        self.last: Any = None  # what it returned last
        self.function = once(part.function, part.exercise.function).around(part.function)
        self.mark = watching.mark(part.name, part.exercise.function, parts.loaded.file, part.line)
        self.parameters: dict[int, Tensor] = {}
        self.blocks: set[int] = set()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.running = True
        try:
            with stays_alive(), watching.running(self.mark):
                found = self.function(*args, **kwargs)
        except (Exception, SystemExit) as error:
            raise self.failed(f"raised {type(error).__name__}: {_one_line(error)}", error) from error
        finally:
            self.running = False
        self.calls += 1
        self.last = found
        if self.parts.block is not None:
            self.blocks.add(self.parts.block)
        for value in (*args, *kwargs.values()):
            for tensor in value.values() if isinstance(value, Mapping) else (value,):
                if isinstance(tensor, nn.Parameter):
                    self.parameters[id(tensor)] = tensor
        return found

    def failed(self, what: str, error: BaseException | None = None) -> PartError:
        """The error that names this part. what: what it did."""
        file = str(self.parts.loaded.file)
        own = [one for one in traceback.extract_tb(error.__traceback__) if one.filename == file] if error else []
        return PartError(watching.blamed(self.mark, what, own[-1].lineno if own else None))

    def at(self, wire: Wire) -> Any:
        """A patch that puts the function into a place."""
        owner, name, work = wire.place
        own = owner[name] if isinstance(owner, dict) else getattr(owner, name)

        @wraps(own)
        def stand_in(*args: Any, **kwargs: Any) -> Any:
            too_large = wire.grain is not None and wire.grain < self.parts.grain
            if self.running or too_large or self.part.name in self.parts.failed:
                return own(*args, **kwargs)
            try:
                return self.done(work, own, wire.shape, args, kwargs)
            except PartError as error:
                if not self.parts.fallback:
                    raise
                self.parts.failed[self.part.name] = str(error)
                warnings.warn(f"{error} The library's is used from here on.", stacklevel=2)
                return own(*args, **kwargs)

        return mock.patch.dict(owner, {name: stand_in}) if isinstance(owner, dict) else (
            mock.patch.object(owner, name, stand_in))  # fmt: skip

    def done(
        self, work: Callable[..., Any], own: Callable[..., Any], shape: Shape | None, args: Any, kwargs: Any
    ) -> Any:
        """What the part's work gives, if it fits. Raises PartError if not."""
        calls = self.calls
        try:
            found = work(self, own, *args, **kwargs)
        except MinibertError:
            raise
        except Exception as error:
            if self.calls == calls:  # the library's own error, before the learner's function was called
                raise
            said = f"returned {_what(self.last)}, which does not fit here ({type(error).__name__}: {_one_line(error)})"
            raise self.failed(said) from error
        if shape is not None and self.calls > calls:
            result = found[0] if isinstance(found, tuple) else found
            expected = tuple(shape(*args, **kwargs))
            if not isinstance(result, Tensor):
                raise self.failed(f"returned {_what(result)} where a tensor of the shape {expected} is needed")
            if tuple(result.shape) != expected:
                raise self.failed(f"returned the shape {tuple(result.shape)} where {expected} is needed")
        return found


def _what(value: Any) -> str:
    if value is None:
        return "None"
    return f"the shape {tuple(value.shape)}" if isinstance(value, Tensor) else type_of(value)


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200]


class Parts:
    """The learner's parts, and whether they are at work. In a `with` block they do their work in every model, tokenizer
    and loss; a model of `minibert.mine` opens that block itself whenever it is called.

    without: exercises whose parts are left out. fallback: if a part fails, the library's goes on in its place, with a
    warning. Not for several threads at the same time. Raises MinibertError for a broken file or an unknown exercise.
    """

    def __init__(self, wires: Mapping[str, tuple[Wire, ...]], without: Iterable[str] = (), fallback: bool = False):
        self.loaded: Loaded = load()
        self.without = (without,) if isinstance(without, str) else tuple(without)
        for name in self.without:
            check_known("exercise", name, exercises(), " to leave out")
        troubles = {name: why for name, why in self.loaded.troubles.items() if name not in self.without}
        if troubles and not fallback:
            name, trouble = next(iter(troubles.items()))
            raise MinibertError(
                f"your {name} cannot be used, because {trouble}. Mend it, or use the library's: "
                f'minibert.mine(..., without=["{name}"]).'
            )
        self.fallback = fallback
        self.failed: dict[str, str] = dict(self.loaded.troubles) if fallback else {}
        self.working = {
            name: Working(part, self) for name, part in self.loaded.parts.items() if name not in self.without
        }
        self.wires = wires
        self.grain = 0  # in the block that runs now, parts of a smaller grain than this are left aside
        self.block: int | None = None  # its number
        self._depth = 0
        self._stack = ExitStack()

    @property
    def yours(self) -> list[str]:
        """The exercises whose parts are used, in their order."""
        return [name for name in self.working if name not in self.failed]

    @property
    def library(self) -> list[str]:
        """The exercises in whose place the library's code works."""
        return [name for name in exercises() if name not in self.yours]

    def __getitem__(self, name: str) -> Callable[..., Any] | None:
        """The learner's function for an exercise, to be called; None if it is the library's turn."""
        return self.working[name] if name in self.yours else None

    def __enter__(self) -> Parts:
        if self._depth == 0:
            with ExitStack() as stack:
                for name, wires in self.wires.items():
                    for wire in wires if name in self.working else ():
                        stack.enter_context(self.working[name].at(wire))
                stack.enter_context(mock.patch.object(EncoderBlock, "forward", self._by_grain(EncoderBlock.forward)))
                self._stack = stack.pop_all()
        self._depth += 1
        return self

    def _by_grain(self, forward: Callable[..., Any]) -> Callable[..., Any]:
        """A block's forward that leaves aside parts that are larger than the block asks for."""

        def in_block(block: EncoderBlock, *args: Any, **kwargs: Any) -> Any:
            before = self.grain, self.block
            self.grain, self.block = getattr(block, GRAIN, 0), getattr(block, NUMBER, None)
            try:
                return forward(block, *args, **kwargs)
            finally:
                self.grain, self.block = before

        return in_block

    def __exit__(self, *_: object) -> None:
        self._depth -= 1
        if self._depth == 0:
            self._stack.close()

    def __deepcopy__(self, memo: object) -> Parts:
        return self  # a copy of a model has the same parts

    def __repr__(self) -> str:
        number = len(self.yours)
        return f"{number} of {len(exercises())} parts {are(number)} yours: {listed(self.yours) or 'none yet'}"
