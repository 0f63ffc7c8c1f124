"""What a character is: a letter, a sign, an accent, and what it is made of. The same answers on every Python.

Unicode grows every year, and Python's tables grow with it. A code point that was free becomes a comma or an accent, so
the same text would be cut in one way by Python 3.10 and in another by a later one. But a vocabulary was made once, and
its model expects the text to be cut as it was then. The standard library's tokenizers, whose ids these are, therefore
have tables that do not grow, and this file goes back to the same ones: what came later is a letter like any other.

    category                BERT's classes of characters: Unicode 8
    decomposed, is_mark     é as e and an accent; accents and vowel signs: Unicode 9
    lower                   small letters: Unicode 17

The tables below are written as ranges of code points, in hexadecimal. A range also covers letters and free code points,
for which nothing changes, so that the lists are short.
"""

from __future__ import annotations

import unicodedata
from typing import Literal


def code_points(ranges: str) -> frozenset[int]:
    """ "41-43 5f" -> the numbers of A, B, C and _."""
    ends = [entry.split("-") for entry in ranges.split()]
    return frozenset(code for end in ends for code in range(int(end[0], 16), int(end[-1], 16) + 1))


AFTER_8 = code_points("""
    5c8-5c9 61d 7fd 890-8e2 9fd-9fe a76 afa-aff b53-b55 c04-c3c c77 c84 d00 d3b-d3c d81 eba ece 180f-1886 1abf-1af0
    1b4e-1b4f 1b7d-1b7f 1df6-1dfb 2e43-2e63 a82c a8c5 a8ff a9bd 10d24-10f89 11070-11074 110c2-110cd 111cf 1123e-11241
    1133b 113bb-1145e 11660-1166c 116b9 1182f-11fff 12ff1-1612f 16d6d-16f4f 16fe2-16fe4 1cf00-1d128 1d25b-1d25c
    1e000-1e6f5 1e944-1e95f
""")
AFTER_9 = code_points("""
    558 58b-58c 5c8-5c9 7fd 897-8d3 9fe afa-aff b53-b55 c04-c3c cf3-d00 d3b-d3c d81 eba ece 1715 180f 1abf-1af0 1cf7
    1df6-1dfa 209d-209f 32ff a7f1-a7f4 a82c a8ff ab69 105c9-107bf 10d24-10f85 11070-11074 110c2 11145-11146 111ce-111cf
    11241 1133b 11383-113e2 1145e 1182c-11b67 11d31-11f5a 13440-1612f 16d68-16f4f 16f7f-16f87 16fe4-1b126 1ccd6-1d128
    1d250-1d281 1d6a6 1df95-1dfff 1e030-1e6f5 1f16c 1fbf0-1fbf9
""")

# Characters that have been in Unicode for longer, but were something else then.
CHANGED = {"\u166d": "Po", "\u1734": "Mn", "\u1cf2": "Mc", "\u1cf3": "Mc", "\U000111c9": "Po", "\U0001171e": "Mn"}

# Capital letters that came after Unicode 13, which the oldest Python that runs this has: first, last, and how far away
# the small letter is.
NEW_CAPITALS = (
    (0x1C89, 0x1C89, 1),
    (0x2C2F, 0x2C2F, 48),
    (0xA7C0, 0xA7C0, 1),
    (0xA7CB, 0xA7CB, 0x264 - 0xA7CB),
    (0xA7CC, 0xA7CC, 1),
    (0xA7CE, 0xA7CE, 1),
    (0xA7D0, 0xA7D0, 1),
    (0xA7D2, 0xA7D2, 1),
    (0xA7D4, 0xA7D4, 1),
    (0xA7D6, 0xA7D6, 1),
    (0xA7D8, 0xA7D8, 1),
    (0xA7DA, 0xA7DA, 1),
    (0xA7DC, 0xA7DC, 0x19B - 0xA7DC),
    (0x10570, 0x1057A, 39),
    (0x1057C, 0x1058A, 39),
    (0x1058C, 0x10592, 39),
    (0x10594, 0x10595, 39),
    (0x10D50, 0x10D65, 32),
    (0x16EA0, 0x16EB8, 27),
)
SMALL = {chr(code): chr(code + shift) for first, last, shift in NEW_CAPITALS for code in range(first, last + 1)}


def category(character: str) -> str:
    """Unicode's general category in version 8, as "Lu", "Po" or "Mn"; "Lo", a letter, for what came later."""
    if ord(character) in AFTER_8:
        return "Lo"
    return CHANGED.get(character) or unicodedata.category(character)


def is_mark(character: str) -> bool:
    """Accents and vowel signs, with a width or without, in version 9."""
    if ord(character) in AFTER_9:
        return False
    return (CHANGED.get(character) or unicodedata.category(character)).startswith("M")


def decomposed(character: str, form: Literal["NFD", "NFKD"] = "NFD") -> str:
    """The characters that a character is made of, in version 9. form: "NFKD" also takes ﬁ apart into f and i."""
    return character if ord(character) in AFTER_9 else unicodedata.normalize(form, character)


def combining_class(character: str) -> int:
    """Where a mark stands among several on one letter, in version 9; 0 for all that is no such mark."""
    return 0 if ord(character) in AFTER_9 else unicodedata.combining(character)


def lower(character: str) -> str:
    """The small letter (or letters: İ becomes i and a dot), whatever stands beside it."""
    return SMALL.get(character) or character.lower()
