"""What the commands have in common: how one is added, and the types of their options. Imports nothing heavy."""

from __future__ import annotations

import math
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Callable
from typing import TYPE_CHECKING

from minibert.errors import MinibertError, check_seed, quoted

if TYPE_CHECKING:
    from argparse import _SubParsersAction as Commands  # what ArgumentParser.add_subparsers returns
else:
    Commands = object


class NotPassed(SystemExit):
    """Ends a command with status 1: it worked, but an answer is wrong."""

    def __init__(self) -> None:
        super().__init__(1)


def add_command(commands: Commands, name: str, help: str, run: Callable[[Namespace], None]) -> ArgumentParser:
    """Add a command to the command line and return its parser, for its options. run: called with the parsed options."""
    parser = commands.add_parser(name, help=help, description=f"{help[0].upper()}{help[1:]}.")
    parser.set_defaults(run=run)
    return parser


def integer(least: int, most: float = math.inf) -> Callable[[str], int]:
    """The type of an option that takes an integer, at least `least` and at most `most`."""

    def convert(text: str) -> int:
        if not text.isdecimal() or not least <= int(text) <= most:
            wanted = f"at least {least}" if most == math.inf else f"from {least} to {most}"
            raise ArgumentTypeError(f"must be an integer, {wanted}, but is {text!r}")
        return int(text)

    return convert


def seed(text: str) -> int:
    """The type of --seed: an integer that torch's generators take."""
    try:
        number = int(text)
    except ValueError:
        raise ArgumentTypeError(f"must be an integer, but is {quoted(text)}") from None
    try:
        return check_seed(number)
    except MinibertError as problem:
        raise ArgumentTypeError(str(problem).removeprefix("the seed ").rstrip(".")) from None


def positive(text: str) -> float:
    """The type of an option that takes a number above 0."""
    number = _number(text)
    if not 0 < number < math.inf:
        raise ArgumentTypeError(f"must be a number above 0, but is {text!r}")
    return number


def not_negative(text: str) -> float:
    """The type of an option that takes a number, at least 0."""
    number = _number(text)
    if not 0 <= number < math.inf:
        raise ArgumentTypeError(f"must be a number, at least 0, but is {text!r}")
    return number


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
