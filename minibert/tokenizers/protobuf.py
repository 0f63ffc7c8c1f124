"""Protocol buffers, as far as a spiece.model needs them: fields, each with a number and a value.

Source: the encoding page of the protocol buffers documentation.
"""

from __future__ import annotations

import struct
from typing import Any, TypeVar

Value = TypeVar("Value", int, bytes)


class Message:
    """The fields of a protocol buffer: number -> the values that it has, in their order.

    A value is an int (a varint) or bytes (all others; a message inside a message is bytes, too). Raises ValueError,
    IndexError or TypeError when the bytes are no protocol buffer.
    """

    def __init__(self, data: bytes):
        self.fields: dict[int, list[int | bytes]] = {}
        at = 0
        while at < len(data):
            key, at = _varint(data, at)
            kind = key & 7
            value: int | bytes
            if kind == 0:
                value, at = _varint(data, at)
            else:
                if kind == 2:
                    length, at = _varint(data, at)
                elif kind in (1, 5):
                    length = 8 if kind == 1 else 4
                else:
                    raise ValueError(f"a field of kind {kind} at byte {at}")
                value = data[at : at + length]
                at += length
                if at > len(data):
                    raise ValueError(f"the bytes end inside field {key >> 3}")
            self.fields.setdefault(key >> 3, []).append(value)

    def all(self, number: int) -> list[Any]:
        return self.fields.get(number, [])

    def last(self, number: int, default: Value) -> Value:
        """The value of a field that occurs once; of several the last counts. Raises TypeError for the wrong type."""
        value: Any = self.fields.get(number, [default])[-1]
        if type(value) is not type(default):
            raise TypeError(f"field {number} is of type {type(value).__name__}")
        return value


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A number in groups of 7 bits, the lowest first, and the place behind it; the 8th bit says that more follow."""
    number = shift = 0
    while True:
        byte = data[at]
        at += 1
        number |= (byte & 127) << shift
        if byte < 128:
            return number, at
        shift += 7


def field(number: int, value: int | float | bytes) -> bytes:
    """A field as it is written: its number and kind, then the value; bytes with their length first."""
    if isinstance(value, bytes):
        return _number(number << 3 | 2) + _number(len(value)) + value
    if isinstance(value, float):
        return _number(number << 3 | 5) + struct.pack("<f", value)
    return _number(number << 3) + _number(value % 2**64)


def _number(value: int) -> bytes:
    groups = bytearray()
    while value > 127:
        groups.append(value & 127 | 128)
        value >>= 7
    return bytes([*groups, value])
