"""What characters are: as the standard library's tables have it, on every version of Python."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from minibert.tokenizers.characters import category, code_points, combining_class, decomposed, is_mark, lower
from minibert.tokenizers.wordpiece import is_blank, is_cjk, is_punctuation, is_removed

LIBRARY = json.loads((Path(__file__).parent / "golden/characters/library.json").read_text())
CODES = [code for code in range(0x110000) if not 0xD800 <= code < 0xE000]


@pytest.mark.parametrize(
    ("name", "is_so"),
    [
        ("blank", is_blank),
        ("removed", lambda character: is_removed(character) and not is_blank(character)),
        ("punctuation", is_punctuation),
        ("chinese", is_cjk),
        ("nonspacing", lambda character: category(character) == "Mn"),
        ("marks", is_mark),
        ("ordered", lambda character: combining_class(character) and decomposed(character) == character),
    ],
)
def test_every_character_is_what_the_library_takes_it_for(name: str, is_so: Callable[[str], bool]) -> None:
    found = {code for code in CODES if is_so(chr(code))}
    differ = found ^ code_points(LIBRARY[name])
    assert [f"{code:x}" for code in sorted(differ)] == []


@pytest.mark.parametrize(
    ("name", "becomes"),
    [("canonical", decomposed), ("compatible", lambda c: decomposed(c, "NFKD")), ("lower", lower)],
)
def test_every_character_becomes_what_the_library_makes_of_it(name: str, becomes: Callable[[str], str]) -> None:
    changed = {code: becomes(chr(code)) for code in CODES if becomes(chr(code)) != chr(code)}
    differ = changed.keys() ^ code_points(LIBRARY[name])
    assert [f"{code:x}" for code in sorted(differ)] == []
    lines = "".join(f"{code:x}:{characters}\n" for code, characters in changed.items())
    assert hashlib.sha256(lines.encode()).hexdigest() == LIBRARY[f"{name}_sha256"]


def test_ranges_of_code_points() -> None:
    assert code_points("41-43 5f") == {0x41, 0x42, 0x43, 0x5F}
    assert code_points("") == frozenset()
