"""The common look of all figures, and what every figure needs: a Picture, its file, and the checks of its data.

Colours that colour-blind readers can tell apart (Okabe & Ito 2008), labels next to the thing they name, units on
every axis, and the same bytes for the same data.
"""

from __future__ import annotations

import io
import itertools
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.colors import LinearSegmentedColormap, to_rgb
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path
from matplotlib.typing import ColorType
from numpy.typing import ArrayLike

from minibert.errors import MinibertError
from minibert.files import SOFTWARE, write_file

BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9"
GREY, INK = "#B4B4B4", "#222222"
LINE_COLOURS = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY)
# The parts of a model, in all figures: how their names begin, and their colour. See `part_colours`.
PART_COLOURS = {
    "word": ORANGE,
    "block": BLUE,
    "encoder": BLUE,
    "position": GREY,
    "other embeddings": GREY,
    "all else": GREY,
    "pooler": GREEN,
    "widen": PURPLE,
    "projection": PURPLE,
    "decoder": SKY,
    "head": VERMILION,
}
WHITE_TO_BLUE = LinearSegmentedColormap.from_list("white to blue", ["#FFFFFF", SKY, BLUE, "#00314D"])
VERMILION_TO_BLUE = LinearSegmentedColormap.from_list("vermilion to blue", [VERMILION, "#F3BE97", "#FFFFFF", SKY, BLUE])

STYLE = {
    # Matplotlib's defaults first: what a user has set for other figures must not change these.
    **{key: value for key, value in matplotlib.rcParamsDefault.items() if not key.startswith("backend")},
    "font.size": 11,
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 13,
    "axes.titlepad": 12,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "text.parse_math": False,  # a dollar sign in a review is shown as such
    "hatch.linewidth": 0.6,
}
styled = matplotlib.rc_context(STYLE)
FILE_DPI, NOTEBOOK_DPI = 150, 120  # pixels drawn per inch
CSS_DPI = 96  # pixels per inch on a page: nine inches are 864
# Inches. A figure of this width, with letters of 9 points and more, can be read on a telephone that is 390 pixels wide.
NARROW = 5.2


class Picture(Figure):
    """A matplotlib Figure that a notebook shows when a cell ends with it, with its title as alt text."""

    def _repr_png_(self) -> tuple[bytes, dict[str, int | str]]:
        png = _png(self, NOTEBOOK_DPI, pil_kwargs={"optimize": True})
        width, height = (round(side * CSS_DPI) for side in self.get_size_inches())
        return png, {"width": width, "height": height, "alt": self.title}

    @property
    def title(self) -> str:
        """The title of the whole figure, or else of its first panel; "" when there is none."""
        title = self.get_suptitle() or next((axes.get_title(loc="left") for axes in self.axes), "")
        return " ".join(title.split())  # without the line breaks of a narrow figure


def _png(figure: Figure, dpi: int, software: str | None = None, **options: object) -> bytes:
    """The figure as PNG in this style, whatever the user has set, and without a version or a date.

    software: what the file says it was made with.
    """
    picture = io.BytesIO()
    with matplotlib.rc_context(STYLE):
        figure.savefig(picture, format="png", dpi=dpi, metadata={"Software": software}, **options)
    return picture.getvalue()


def save(figure: Figure, path: str | Path) -> Path:
    """Write a figure as PNG, 150 pixels per inch, in full or not at all; returns the path.

    Raises MinibertError when the file cannot be written.
    """
    return write_file(path, _png(figure, FILE_DPI, SOFTWARE))


def check_lengths(**lists: Sequence[object] | Mapping[str, object]) -> None:
    lengths = {name: len(values) for name, values in lists.items()}
    if len(set(lengths.values())) > 1 or not all(lengths.values()):
        told = ", ".join(f"{length} {name}" for name, length in lengths.items())
        raise MinibertError(
            f"the lists of a figure must be equally long, but there are {told}: give as many of each, at least 1."
        )


def read_numbers(values: ArrayLike, name: str, axes: int) -> np.ndarray:
    """Numbers as an array with `axes` axes. Raises MinibertError when it is not, is empty, or has a NaN."""
    try:
        array = np.asarray(values, dtype=float)
    except (TypeError, ValueError, RuntimeError) as error:  # RuntimeError: a tensor with a gradient
        raise MinibertError(f"{name} cannot be read as numbers ({error}): give lists or arrays of numbers.") from error
    if array.ndim != axes or not array.size:
        raise MinibertError(f"the shape of {name} is {array.shape}: give {axes} axes, none of them empty.")
    if np.isnan(array).any():
        raise MinibertError(f"there is a NaN in {name}: give a number in each place.")
    return array


def read_matrix(values: ArrayLike, rows: Sequence[str], columns: Sequence[str], name: str) -> np.ndarray:
    """Numbers, (R, C), with R and C labels or none. Raises MinibertError otherwise, and for +∞."""
    array = read_numbers(values, name, 2)
    if len(rows) not in (0, len(array)) or len(columns) not in (0, array.shape[1]) or (array == np.inf).any():
        raise MinibertError(
            f"{name} has shape {array.shape} for {len(rows)} row and {len(columns)} column labels, or a number is +∞: "
            "give a label for each row and each column, and finite numbers."
        )
    return array


def format_number(value: float, digits: int) -> str:
    """A number with `digits` digits after the point, a real minus sign, and no minus sign before a 0."""
    if value == -np.inf:
        return "−∞"
    return f"{round(float(value), digits) + 0.0:.{digits}f}".replace("-", "−")


def deviation(values: ArrayLike) -> float:
    """The standard deviation of the values of a few seeds; 0 for one seed."""
    return float(np.std(values, ddof=1)) if np.size(values) > 1 else 0.0


def text_width(text: str, size: float, weight: str = "normal") -> float:
    """The width of a text's longest line, in inches."""
    font = FontProperties(size=size, weight=weight)
    return max(text_to_path.get_text_width_height_descent(line, font, False)[0] for line in text.split("\n")) / 72


def wrapped_text(text: str, size: float, width: float, weight: str = "normal") -> str:
    """A text with line breaks between its words, so that no line is wider than `width` inches, if words allow."""
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and text_width(longer, size, weight) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return "\n".join(lines)


def ink_on(colour: ColorType) -> str:
    """White or dark, whichever is easier to read on a colour: by its relative luminance (sRGB)."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
    return "white" if np.dot((0.2126, 0.7152, 0.0722), linear) < 0.25 else INK


def pale(colour: ColorType, share: float = 0.35) -> ColorType:
    """A colour mixed with white; share: of the colour."""
    return tuple(1 - share * (1 - np.array(to_rgb(colour))))


def part_colours(names: Collection[str]) -> dict[str, str]:
    """A colour for each part of a model, the same in all figures; names that are not listed get the colours left."""
    found: dict[str, str] = {}
    for name in names:
        colour = next((PART_COLOURS[start] for start in PART_COLOURS if name.startswith(start)), None)
        if colour and colour not in found.values():
            found[name] = colour
    free = [colour for colour in dict.fromkeys(PART_COLOURS.values()) if colour not in found.values()]
    others = itertools.cycle(free or dict.fromkeys(PART_COLOURS.values()))
    return {name: found.get(name) or next(others) for name in names}


def title_panels(figure: Picture, title: str) -> None:
    """Set a title above all panels, with some space below it."""
    figure.suptitle(wrapped_text(title, 13, figure.get_figwidth() - 0.2), x=0.01, ha="left", fontsize=13)
    figure.get_layout_engine().set(h_pad=0.1, wspace=0.06)
