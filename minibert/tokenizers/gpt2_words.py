"""Cutting a text into words, as GPT-2 does it, with Python's own regular expressions.

GPT-2's pattern asks of every character whether Unicode calls it a letter or a number, which Python's patterns cannot
say. Here each character is first replaced by one of ASCII of the same kind (``KindTable``); then a plain pattern cuts.

Source: Radford et al. 2019 and its released encoder.py. The kinds are those of today's standard library (Unicode 16).
"""

from __future__ import annotations

import re
import unicodedata
from itertools import accumulate, pairwise

from minibert.tokenizers.characters import code_points

# GPT-2's pattern. A blank goes with what follows it; of several, all but the last are a word of their own.
WORD = re.compile(
    r"""
      '(?:s|t|re|ve|m|ll|d)     # it's, don't, we're, I've, I'm, we'll, he'd
    | [ ]?[a-zA-Z]+             # letters
    | [ ]?[0-9]+                # numbers
    | [ ]?[^\sa-zA-Z0-9]+       # other signs
    | \s+(?!\S)                 # blanks up to the last one, or all at the end of the text
    | \s+                       # a last one that is not " "
    """,
    re.VERBOSE | re.ASCII,
)

BLANKS = (  # Unicode's white space. (str.isspace() and str.strip() also take \x1c to \x1f.)
    "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f"
    "\u205f\u3000"
)

# Letters and numbers that came to Unicode after version 13, which the oldest Python that runs this has, up to 16, which
# today's standard library has: code points, in hexadecimal.
NEW_LETTERS = """
    870-887 889-88e 8b5 8c8-8c9 c5d cdd 170d 171f 1b4c 1c89-1c8a 2c2f 2c5f 9ffd-9fff a7c0-a7c1 a7cb-a7cd a7d0-a7d1 a7d3
    a7d5-a7dc a7f2-a7f4 10570-1057a 1057c-1058a 1058c-10592 10594-10595 10597-105a1 105a3-105b1 105b3-105b9 105bb-105bc
    105c0-105f3 10780-10785 10787-107b0 107b2-107ba 10d4a-10d65 10d6f-10d85 10ec2-10ec4 10f70-10f81 11071-11072 11075
    1123f-11240 11380-11389 1138b 1138e 11390-113b5 113b7 113d1 113d3 11740-11746 11ab0-11abf 11bc0-11be0 11f02
    11f04-11f10 11f12-11f33 12f90-12ff0 1342f 13441-13446 13460-143fa 16100-1611d 16a70-16abe 16d40-16d6c 18cff
    1aff0-1aff3 1aff5-1affb 1affd-1affe 1b11f-1b122 1b132 1b155 1df00-1df1e 1df25-1df2a 1e030-1e06d 1e290-1e2ad
    1e4d0-1e4eb 1e5d0-1e5ed 1e5f0 1e7e0-1e7e6 1e7e8-1e7eb 1e7ed-1e7ee 1e7f0-1e7fe 2a6de-2a6df 2b735-2b739 2ebf0-2ee5d
    31350-323af
"""
NEW_NUMBERS = """
    10d40-10d49 116d0-116e3 11bf0-11bf9 11f50-11f59 16130-16139 16ac0-16ac9 16d70-16d79 1ccf0-1ccf9 1d2c0-1d2d3
    1e4f0-1e4f9 1e5f1-1e5fa
"""


class KindTable(dict):
    """What kind of character each is: code point -> a character of ASCII of the same kind, which is itself for ASCII.

    To the pattern it matters only whether a character is a letter, a number, a blank or another sign. So a text is
    first written in ASCII, ``text.translate(table)``, character by character, and the pattern stays short and fast.
    Entries are worked out when a character is first met.
    """

    letter = "a"  # any letter that begins no ending
    number = "0"
    blank = "\n"  # not " ", which may go with a word
    sign = "!"
    new = dict.fromkeys(code_points(NEW_LETTERS), letter) | dict.fromkeys(code_points(NEW_NUMBERS), number)

    def __missing__(self, code: int) -> str:
        self[code] = kind = self._kind(chr(code))
        return kind

    def _kind(self, character: str) -> str:
        if character.isascii():
            return character
        if character in BLANKS:
            return self.blank
        category = unicodedata.category(character)[0]
        if category == "L":
            return self.letter
        if category == "N":
            return self.number
        return self.new.get(ord(character), self.sign)


KINDS = KindTable()


def cut_words(text: str) -> list[str]:
    """A text's words, which make up the text again: "I've 5  dogs..." -> "I", "'ve", " 5", " ", " dogs", "..."."""
    if text.isascii():
        return WORD.findall(text)
    lengths = map(len, WORD.findall(text.translate(KINDS)))
    return [text[start:end] for start, end in pairwise(accumulate(lengths, initial=0))]
