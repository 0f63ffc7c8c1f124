"""A card with a piece of code, and what a check says about it."""

from __future__ import annotations

from collections.abc import Sequence

from minibert.plots.sheets import Sheet
from minibert.plots.style import INK, NARROW, Picture, styled, text_width, wrapped_text

PAPER, EDGE = "#F6F6F6", "#D0D0D0"  # of the box with the code
STAGE_COLOURS = {"✓": "#1A7F37", "✗": "#C62828", "·": "#777777"}
MONO = 0.602 / 72  # the width of a letter of the monospaced font, in inches per point of its size
LARGEST_CODE, SMALLEST_CODE = 10.5, 8.0  # points


@styled
def checked(
    code: str, call: str, head: str, stages: Sequence[tuple[str, str]], diagnosis: str, note: str = "", title: str = ""
) -> Picture:
    """A piece of code, the call that checks it, and what came out.

    head: the first line of the result. stages: (sign, name) of each stage, with ✓, ✗ or · as signs. diagnosis, note:
    what is wrong, in bold letters, and what follows it.
    """
    sheet, width, y = Sheet(), NARROW - 0.24, 0.0
    inside = width - 0.3
    lines = [*code.rstrip("\n").split("\n"), "", *call.split("\n")]
    longest = max(map(len, lines))
    size = max(SMALLEST_CODE, min(LARGEST_CODE, inside / (longest * MONO)))
    step = size / 72 * 1.45
    sheet.box(0, y, width, 0.24 + step * len(lines), colour=PAPER, edge=EDGE)
    for number, line in enumerate(lines):
        sheet.text(0.15, y + 0.12 + step * (number + 0.5), line, size, ha="left", family="monospace", color=INK)
    y += 0.24 + step * len(lines) + 0.24
    sheet.text(0, y, head, 12, ha="left", weight="bold")
    y += 0.3
    x = 0.0
    for sign, name in stages:
        text = f"{sign} {name}"
        if x and x + text_width(text, 10) > width:
            x, y = 0.0, y + 0.26
        sheet.text(x, y, text, 10, ha="left", color=STAGE_COLOURS[sign])
        x += text_width(text, 10) + 0.15
    y += 0.22
    for text, weight, colour in ((diagnosis, "bold", INK), (note, "normal", "#555555")):
        for line in wrapped_text(text, 11, width - 0.1, weight).split("\n") if text else ():
            sheet.text(0, y + 0.11, line, 11, ha="left", weight=weight, color=colour)
            y += 0.25
        y += 0.06
    return sheet.finish(title)
