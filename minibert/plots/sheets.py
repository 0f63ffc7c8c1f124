"""A sheet to draw on in inches, and the charts that draw matrices on it, with the numbers in the cells."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.colors import Normalize
from matplotlib.patches import BoxStyle, FancyArrowPatch, FancyBboxPatch, PathPatch, Rectangle
from matplotlib.path import Path as PlotPath
from matplotlib.typing import ColorType
from numpy.typing import ArrayLike

from minibert.errors import MinibertError
from minibert.plots.style import (
    BLUE,
    GREEN,
    GREY,
    INK,
    NARROW,
    ORANGE,
    PURPLE,
    SKY,
    VERMILION,
    VERMILION_TO_BLUE,
    WHITE_TO_BLUE,
    Picture,
    check_lengths,
    format_number,
    ink_on,
    pale,
    read_matrix,
    styled,
    text_width,
    wrapped_text,
)

LARGEST = 14  # inches
HUES = (BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY)  # of things that are only told apart
HATCHED = {"corner": 0, "hatch": "////", "edge": "#C8C8C8"}  # the look of a box for "nothing here"


class Sheet:
    """A sheet to draw on in inches, x to the right and y downwards; `finish` cuts it to the size of the drawing."""

    def __init__(self) -> None:
        self.picture = Picture()
        self.axes = self.picture.add_axes((0, 0, 1, 1))
        self.axes.set_axis_off()
        self.corners: list[tuple[float, float]] = []  # of everything drawn

    def box(
        self, x: float, y: float, width: float, height: float, text: str = "", colour: ColorType = "white",
        size: float = 10, corner: float = 0.06, edge: ColorType = INK, ink: str | None = None,
        weight: str = "normal", **look: object,
    ) -> None:  # fmt: skip
        """Draw a box with a text in its middle.

        x, y: its upper left corner. corner: the radius of its corners, 0 for sharp ones. look: as matplotlib names it.
        """
        look = {"facecolor": colour, "edgecolor": edge, "linewidth": 0.9, **look}
        style = BoxStyle("Round", pad=0, rounding_size=corner)
        sharp = Rectangle((x, y), width, height, **look)
        self.axes.add_patch(FancyBboxPatch((x, y), width, height, boxstyle=style, **look) if corner else sharp)
        self.corners += [(x, y), (x + width, y + height)]
        if text:
            self.text(x + width / 2, y + height / 2, text, size, color=ink or ink_on(colour), weight=weight)

    def text(
        self, x: float, y: float, text: str, size: float = 10, ha: str = "center", va: str = "center",
        turned: float = 0, **look: object,
    ) -> None:  # fmt: skip
        """Write a text at a point; turned: by how many degrees around this point. ha, va: alignment before turning."""
        self.axes.text(x, y, text, fontsize=size, ha=ha, va=va, rotation=turned, rotation_mode="anchor", **look)
        width, height = text_width(text, size, look.get("weight", "normal")), size / 60 * (1 + text.count("\n"))
        left, bottom = (
            -width * {"left": 0, "center": 0.5, "right": 1}[ha],
            -height * {"bottom": 0, "center": 0.5, "top": 1}[va],
        )
        turn = np.exp(1j * np.radians(turned))
        for right in (left, left + width):
            for up in (bottom, bottom + height):
                at = (right + 1j * up) * turn
                self.corners.append((x + at.real, y - at.imag))

    def arrow(self, *points: tuple[float, float], colour: str = INK, head: bool = True, **look: object) -> None:
        """Draw a line through the points, with an arrowhead at the last one."""
        look = {"linewidth": 1.3, "joinstyle": "miter", "capstyle": "butt", **look}
        style = "-|>,head_length=0.45,head_width=0.22" if head else "-"
        self.axes.add_patch(
            FancyArrowPatch(path=PlotPath(points), arrowstyle=style, mutation_scale=14, color=colour, **look)
        )
        self.corners += points

    def brace(self, x: float, start: float, end: float, width: float = 0.22) -> None:
        """Draw a brace that holds together what is left of it, from start to end (y); its tip is at x + width."""
        turn, middle = width / 2, (start + end) / 2
        down = turn if end > start else -turn
        points = [
            *((x, start), (x + turn, start), (x + turn, start + down)),
            *((x + turn, middle - down), (x + turn, middle), (x + width, middle)),
            *((x + turn, middle), (x + turn, middle + down)),
            *((x + turn, end - down), (x + turn, end), (x, end)),
        ]
        to, curve = PlotPath.LINETO, [PlotPath.CURVE3] * 2
        codes = [PlotPath.MOVETO, *curve, to, *curve, *curve, to, *curve]
        self.axes.add_patch(PathPatch(PlotPath(points, codes), fill=False, edgecolor=INK, linewidth=1.5))
        self.corners += points

    def matrix(
        self, x: float, y: float, faces: Sequence[Sequence[ColorType | None]],
        texts: Sequence[Sequence[str]] | None = None, rows: Sequence[str] = (), columns: Sequence[str] = (),
        cell: tuple[float, float] = (0.32, 0.32), size: float = 10, row_label: str = "", column_label: str = "",
    ) -> float:  # fmt: skip
        """Draw cells with labels left and above. Returns the y of the upper edge, labels included.

        x, y: the upper left corner. faces: the colours of the cells; None is hatched. cell: (width, height).
        """
        width, height = cell
        head_room = self.head_room(columns, width, column_label)
        for r, row in enumerate(faces):
            for c, face in enumerate(row):
                look = HATCHED | {"zorder": 0.9}
                if face is not None:
                    look = {"colour": face, "edge": "white", "corner": 0}
                line = min(0.6 if face is None else 1, 6 * width)
                text = texts[r][c] if texts else ""
                self.box(x + c * width, y + r * height, width, height, text, size=size, linewidth=line, **look)
        down, across = len(faces) * height, len(faces[0]) * width
        self.box(x, y, across, down, fill=False, corner=0, edge=GREY, linewidth=0.8)
        for r, label in enumerate(rows):
            self.text(x - 0.08, y + (r + 0.5) * height, label, ha="right")
        aside = max([text_width(label, 10) for label in rows], default=0)
        if row_label:
            self.text(x - aside - 0.25, y + down / 2, row_label, turned=90, color="#606060")
        turned = 60 if self.turned(columns, width) else 0  # degrees
        for c, label in enumerate(columns):
            self.text(x + (c + 0.5) * width, y - 0.07, label, ha="left" if turned else "center",
                      va="center" if turned else "bottom", turned=turned)  # fmt: skip
        if column_label:
            above = head_room - 0.24
            self.text(x + across / 2, y - above - 0.04, column_label, va="bottom", color="#606060")
        return y - head_room

    @staticmethod
    def turned(columns: Sequence[str], width: float) -> bool:
        """Whether the labels of columns of this width are turned, because one is wider than its column."""
        return max([text_width(label, 10) for label in columns], default=0) > width - 0.04

    @classmethod
    def head_room(cls, columns: Sequence[str], width: float, column_label: str = "") -> float:
        """The height of what is above a matrix: the labels of its columns, of this width, and what they are."""
        widest = max([text_width(label, 10) for label in columns], default=0)
        labels = 0.12 + widest * np.sin(np.radians(60)) if cls.turned(columns, width) else 0.26
        return (labels if columns else 0) + (0.24 if column_label else 0)

    def legend(self, x: float, y: float, entries: Mapping[str, Mapping[str, object]], limit: float = 8.8) -> None:
        """Draw small boxes in a row, each followed by its meaning; those that reach beyond `limit` go on a new line.

        entries: meaning -> look of the box.
        """
        left = x
        for text, look in entries.items():
            if x > left and x + 0.34 + text_width(text, 10) > limit:
                x, y = left, y + 0.28
            self.box(x, y, 0.26, 0.18, **{"corner": 0.03, **look})
            self.text(x + 0.34, y + 0.09, text, ha="left")
            x += 0.34 + text_width(text, 10) + 0.3

    def finish(self, title: str) -> Picture:
        """The picture, as large as the drawing and a margin, with the title above.

        Raises MinibertError when it is larger than LARGEST.
        """
        corners = np.array(self.corners)
        (left, top), (right, bottom) = corners.min(axis=0) - 0.12, corners.max(axis=0) + 0.12
        title = wrapped_text(title, 13, max(right - left, NARROW) - 0.24)
        above = 0.36 + 0.22 * title.count("\n") if title else 0.0
        right = max(right, left + text_width(title, 13) + 0.24)
        width, height = np.round([right - left, bottom - top + above], 2)
        if max(width, height) > LARGEST:
            raise MinibertError(
                f"this figure would be {width:.0f} by {height:.0f} inches, and {LARGEST} is the limit: give less data."
            )
        self.picture.set_size_inches(width, height)
        self.axes.set_position((0, 0, 1, 1 - above / height))
        self.axes.set(xlim=(left, right), ylim=(bottom, top))
        self.axes.set_title(title, x=0.12 / width, pad=4)
        return self.picture


@styled
def grid(
    values: ArrayLike,
    rows: Sequence[str],
    columns: Sequence[str],
    title: str = "",
    digits: int = 2,
    colour: bool = True,
    low: float | None = None,
    high: float | None = None,
    row_label: str = "",
    column_label: str = "",
) -> Picture:
    """A small matrix with its numbers in its cells.

    values: (R, C). rows, columns: R and C labels, or empty for none. colour: tint the cells from white at 0 to blue,
    and to vermilion below 0. low, high: the numbers at the ends of the tints, by default those of the values. Cells
    with −∞, as a mask gives, are hatched.
    Raises MinibertError when the values are not a matrix, or there is not one label for each row and column.
    """
    return grids({"": values}, rows, columns, digits, title, colour, low, high, row_label, column_label, arrows=False)


@styled
def grids(
    panels: Mapping[str, ArrayLike],
    rows: Sequence[str],
    columns: Sequence[str],
    digits: int | Sequence[int] = 1,
    title: str = "One step after another",
    colour: bool = True,
    low: float | None = None,
    high: float | None = None,
    row_label: str = "",
    column_label: str = "",
    arrows: bool = True,
) -> Picture:
    """Small matrices as in `grid`, with headings, and an arrow from each to the next.

    They are side by side if a telephone has room for them, three that do not fit are one below another, and more
    continue on the next line.

    panels: heading -> (R, C), all with the same labels. digits: after the point, one number for all or one for each
    panel. arrows: False for panels that are alternatives, not steps.
    Raises MinibertError like `grid`, and when there is no panel.
    """
    digits = [digits] * len(panels) if isinstance(digits, int) else digits
    check_lengths(panels=panels, digits=digits)
    sheet, height = Sheet(), 0.34
    every = [read_matrix(given, rows, columns, heading or "the matrix") for heading, given in panels.items()]
    texts = [
        [[format_number(value, places) for value in row] for row in values]
        for values, places in zip(every, digits, strict=True)
    ]
    cells = [max(0.42, 0.14 + max(text_width(text, 10) for row in one for text in row)) for one in texts]
    widths = [
        max(values.shape[1] * cell, text_width(heading, 11, "bold"))
        for heading, values, cell in zip(panels, every, cells, strict=True)
    ]
    aside = max([text_width(label, 10) + 0.08 for label in rows], default=0) + (0.3 if row_label else 0)
    headings, y = list(panels), 0.0
    lines = wrapped(widths, 0.6 if arrows else 0.4, NARROW - 0.24 - aside)
    if len(panels) == 3 and len(lines) == 2:
        lines = [{at: 0.0} for at in range(3)]
    for line, xs in enumerate(lines):
        above = max(sheet.head_room(columns, cells[at], column_label) for at in xs) + (0.36 if any(headings) else 0)
        y += above + (0.42 if arrows else 0.2) if line else 0
        for at, x in xs.items():
            values = every[at]
            faces = _tints(values, low, high) if colour else [["white" if v > -np.inf else None for v in row]
                                                              for row in values]  # fmt: skip
            start, middle = x == 0, y + len(values) * height / 2
            if arrows and not start:
                sheet.arrow((x - 0.48, middle), (x - 0.12, middle), linewidth=2)
            elif arrows and line:
                sheet.arrow((widths[at] / 2, y - above - 0.34), (widths[at] / 2, y - above), linewidth=2)
            top = sheet.matrix(x, y, faces, texts[at], rows if start else (), columns, (cells[at], height),
                               row_label=row_label if start else "", column_label=column_label)  # fmt: skip
            if headings[at]:
                sheet.text(x, top - 0.08, headings[at], 11, ha="left", va="bottom", weight="bold")
        y += max(len(every[at]) for at in xs) * height
    return sheet.finish(title)


@styled
def shifted(
    scores: ArrayLike,
    queries: Sequence[str],
    keys: Sequence[str],
    framed: tuple[int, int] | None = None,
    title: str = "Each number goes to its key",
    digits: int = 0,
) -> Picture:
    """Scores by distance, and below them by key. A number keeps its row, and its colour is that of its key.

    scores: (S, T + S), in columns for the distances T, T - 1, ..., 1 - S. queries, keys: S and T labels; the queries
    are the last S of the T keys. framed: a query and a key, counted from 0, whose number is framed in both.
    Raises MinibertError when the scores do not have that shape, or there are more queries than keys, or more keys than
    colours.
    """
    count, total = len(queries), len(keys)
    if total > len(HUES):
        raise MinibertError(f"there are {total} keys and {len(HUES)} colours: give no more than {len(HUES)} keys.")
    if not 0 < count <= total:
        raise MinibertError(f"there are {count} queries for {total} keys: give at least one, and no more than keys.")
    values = read_matrix(scores, queries, [""] * (count + total), "scores")
    colours = [pale(HUES[key], 0.45) for key in range(total)]
    texts = [[format_number(value, digits) for value in row] for row in values]
    distances = [format_number(total - column, 0) for column in range(count + total)]
    first = [count - query for query in range(count)]  # the column of each query's score with key 0
    before = [
        [colours[column - start] if 0 <= column - start < total else "white" for column in range(count + total)]
        for start in first
    ]
    moved = [row[start : start + total] for row, start in zip(texts, first, strict=True)]
    width = max([0.46, *(text_width(text, 10) + 0.14 for text in (*keys, *(text for row in texts for text in row)))])
    sheet, cell, down = Sheet(), (width, 0.34), count * 0.34
    sides = {"cell": cell, "row_label": "query"}
    sheet.matrix(0, 0, before, texts, queries, distances, column_label="distance", **sides)
    below = down + 0.5 + sheet.head_room(keys, width, "key")
    sheet.arrow((total * width / 2, down + 0.1), (total * width / 2, down + 0.44), linewidth=2)
    sheet.matrix(0, below, [colours] * count, moved, queries, keys, column_label="key", **sides)
    if framed is not None:
        query, key = framed
        for column, y in ((first[query] + key, 0.0), (key, below)):
            sheet.box(column * width, y + query * 0.34, *cell, fill=False, corner=0, linewidth=2.2)
    return sheet.finish(title)


def wrapped(widths: Sequence[float], gap: float, limit: float) -> list[dict[int, float]]:
    """Items of these widths placed in lines, like words: for each line, the index of each item on it -> its x."""
    lines: list[dict[int, float]] = [{}]
    x = 0.0
    for at, width in enumerate(widths):
        if lines[-1] and x + width > limit:
            lines.append({})
            x = 0.0
        lines[-1][at] = x
        x += width + gap
    return lines


def _tints(values: np.ndarray, low: float | None, high: float | None) -> list[list[ColorType | None]]:
    """A colour for each number: white at 0, blue above, vermilion below; None for −∞."""
    finite = values[np.isfinite(values)]
    low = min(0.0, finite.min(initial=0)) if low is None else low
    high = max(low, finite.max(initial=low)) if high is None else high
    if low > high:
        raise MinibertError(f"the tints cannot go from {low} to {high}: give a low end below the high end.")
    if low < 0:
        low, high = min(low, -high), max(high, -low)
    colours = (VERMILION_TO_BLUE if low < 0 else WHITE_TO_BLUE)(Normalize(low, high if high > low else low + 1)(values))
    return [
        [None if v == -np.inf else c for v, c in zip(*row, strict=True)] for row in zip(values, colours, strict=True)
    ]


@styled
def similarity(
    matrix: ArrayLike,
    labels: Sequence[str],
    title: str = "How similar the layers are",
    low: float = 0.0,
    high: float = 1.0,
    unit: str = "cosine similarity",
) -> Picture:
    """A symmetric heat map with a colour bar; with up to 14 labels, the numbers are written into the cells.

    matrix: (n, n), symmetric. low, high: the numbers at the ends of the colours; numbers outside get the end's colour.
    Raises MinibertError when the matrix is not symmetric, does not have one row per label, or low is not below high.
    """
    values = read_matrix(matrix, labels, labels, "the similarities")
    if not labels or not np.allclose(values, values.T, atol=1e-4):
        raise MinibertError(
            "the similarities are not symmetric, or have no labels: give (n, n), equal to its transpose, and n labels."
        )
    if not low < high:
        raise MinibertError(f"the colours cannot go from {low} to {high}: give a low end below the high end.")
    written = len(labels) <= 14
    side = 0.42 if written else 0.26
    texts = (
        [[re.sub(r"^(−?)0\.", r"\1.", format_number(value, 2)) for value in row] for row in values] if written else None
    )
    sheet = Sheet()
    sheet.matrix(0, 0, WHITE_TO_BLUE(Normalize(low, high, clip=True)(values)), texts, labels, labels, (side, side), 9)
    x, down = len(labels) * side + 0.22, len(labels) * side
    tall = min(down, 3.0)
    start = (down - tall) / 2
    for step in range(100):
        sheet.box(x, start + step * tall / 100, 0.16, tall / 99, colour=WHITE_TO_BLUE(1 - step / 99), corner=0,
                  edge="none", linewidth=0)  # fmt: skip
    sheet.box(x, start, 0.16, tall, fill=False, corner=0, edge=GREY)
    for share in (0, 0.25, 0.5, 0.75, 1):
        number = format_number(low + share * (high - low), 2)
        sheet.text(x + 0.24, start + (1 - share) * tall, number, ha="left")
    sheet.text(x + 0.74, down / 2, unit, turned=90)
    return sheet.finish(title)
