"""Every figure of the package: plain data in, a matplotlib Figure out; ``save`` makes it a PNG.

Nothing here knows a model or a claim. All figures share one look: colours that colour-blind readers can tell apart
(Okabe & Ito 2008), labels beside the thing they name, units on every axis, and the same bytes for the same data.
"""

from __future__ import annotations

import io
import itertools
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, Normalize, to_rgb
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patches import BoxStyle, FancyArrowPatch, FancyBboxPatch, Rectangle
from matplotlib.path import Path as PlotPath
from matplotlib.textpath import text_to_path
from matplotlib.ticker import MaxNLocator
from matplotlib.typing import ColorType
from numpy.typing import ArrayLike

from minibert.errors import MinibertError
from minibert.files import write_file

BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9"
GREY, INK = "#B4B4B4", "#222222"
LINE_COLOURS = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY)
COLOURS = (ORANGE, BLUE, GREY, GREEN, PURPLE, SKY, VERMILION)
WHITE_TO_BLUE = LinearSegmentedColormap.from_list("white to blue", ["#FFFFFF", SKY, BLUE, "#00314D"])
VERMILION_TO_BLUE = LinearSegmentedColormap.from_list("vermilion to blue", [VERMILION, "#F3BE97", "#FFFFFF", SKY, BLUE])
HEAD_COLOURS = (BLUE, ORANGE, GREEN, GREY, PURPLE, VERMILION)  # the first ones differ in grey, too
STACK_COLOURS = (ORANGE, GREY, PURPLE, SKY, GREEN, VERMILION, BLUE)
ROW_COLOURS = (SKY, GREEN, PURPLE, GREY)
_HATCHED = {"corner": 0, "hatch": "////", "edge": "#C8C8C8"}  # how a box for "nothing here" looks
LARGEST = 14  # inches

STYLE = {
    # First matplotlib's own defaults: what a user has set for other figures must not change these.
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
    "text.parse_math": False,  # a dollar in a review is a dollar
    "hatch.linewidth": 0.6,
}
styled = matplotlib.rc_context(STYLE)
FILE_DPI, NOTEBOOK_DPI = 150, 120  # pixels drawn for an inch
CSS_DPI = 96  # pixels that an inch takes on a page: nine inches are 864


class Picture(Figure):
    """A matplotlib Figure that shows itself where a notebook's cell ends with it, its title read out as alt text."""

    def _repr_png_(self) -> tuple[bytes, dict[str, int | str]]:
        png = _png(self, NOTEBOOK_DPI, pil_kwargs={"optimize": True})
        width, height = (round(side * CSS_DPI) for side in self.get_size_inches())
        return png, {"width": width, "height": height, "alt": self.title}

    @property
    def title(self) -> str:
        """What stands above the whole figure, or above the first of its panels; "" without a title."""
        return self.get_suptitle() or next((axes.get_title(loc="left") for axes in self.axes), "")


def _png(figure: Figure, dpi: int, **options: object) -> bytes:
    """The figure as PNG in the one style, whatever the user has set, and without a version or a date."""
    picture = io.BytesIO()
    with matplotlib.rc_context(STYLE):
        figure.savefig(picture, format="png", dpi=dpi, metadata={"Software": None}, **options)
    return picture.getvalue()


@styled
def parameters_by_part(
    counts: Mapping[str, Mapping[str, int]],
    notes: Sequence[str] = (),
    title: str = "Where the parameters sit",
) -> Picture:
    """One horizontal bar a model, from top to bottom, made of its parts, in millions of parameters.

    counts: model -> part -> number of parameters. notes: a few words behind each bar's total, one a model.
    Raises MinibertError when there is no model, a number is negative, or the notes are not one a model.
    """
    notes = notes or [""] * len(counts)
    _check_lengths(models=counts, notes=notes)
    parts = list(dict.fromkeys(part for by_part in counts.values() for part in by_part))
    millions = np.array([[by_part.get(part, 0) / 1e6 for part in parts] for by_part in counts.values()])
    if (millions < 0).any():
        raise MinibertError("a number of parameters is negative: give counts of 0 or more.")
    totals = millions.sum(axis=1)
    room = max(totals.max(), 1e-9)

    figure = Picture(figsize=(9, 1.6 + 0.48 * len(counts)), layout="constrained")
    axes = figure.add_subplot()
    rows = np.arange(len(counts))
    for column, part in enumerate(parts):
        colour = COLOURS[column % len(COLOURS)]
        start = millions[:, :column].sum(axis=1)
        axes.barh(rows, millions[:, column], left=start, height=0.66, color=colour, label=part)
        for row, width in enumerate(millions[:, column]):
            if width > 0.06 * room:
                axes.text(
                    start[row] + width / 2, row, _millions(width), ha="center", va="center",
                    fontsize=10, color="white" if colour == BLUE else INK,
                )  # fmt: skip
    for row, (total, note) in enumerate(zip(totals, notes, strict=True)):
        said = axes.annotate(
            f"{_millions(total)} M", (total, row), (6, 0), textcoords="offset points", va="center", weight="bold"
        )
        axes.annotate(note, (1, 0), (8, 0), xycoords=said, textcoords="offset points", va="bottom")
    axes.set_yticks(rows, list(counts))
    axes.tick_params(axis="y", length=0)
    axes.invert_yaxis()
    axes.set_xlim(0, room * (1.42 if any(notes) else 1.12))
    axes.set_xlabel("parameters, in millions")
    axes.set_title(title)
    figure.legend(loc="outside lower center", ncols=len(parts))
    return figure


@styled
def speed(
    groups: Mapping[str, Mapping[str, tuple[float, float, float]]],
    published: Mapping[str, float] | None = None,
    title: str = "How many times as fast",
) -> Picture:
    """One horizontal bar a comparison: the median ratio of two speeds, a line for its spread, groups under a heading.

    groups: heading -> label -> (median, low, high) of the paired runs' ratios; 1 means equally fast. published: the
    ratio that a paper gives for a whole group, drawn across its bars.
    Raises MinibertError when there is nothing to draw, a median lies outside its spread, or a published ratio
    belongs to no group.
    """
    published = published or {}
    bars = [(heading, label, *ratio) for heading, group in groups.items() for label, ratio in group.items()]
    if not bars or not all(groups.values()) or not published.keys() <= groups.keys():
        raise MinibertError("a figure of speeds needs groups that are not empty, and published ratios of these only.")
    for heading, label, median, low, high in bars:
        if not low <= median <= high:
            raise MinibertError(f"{heading}, {label}: the median {median} is not between {low} and {high}.")

    rows, headings, at = [], [], 0.0
    for group in groups.values():
        headings.append(at)
        rows += [at + 1 + step for step in range(len(group))]
        at += len(group) + 1.4
    _, labels, medians, lows, highs = zip(*bars, strict=True)
    figure = Picture(figsize=(9, 1.2 + 0.42 * at), layout="constrained")
    axes = figure.add_subplot()
    axes.barh(rows, medians, height=0.6, color=SKY)
    spread = [np.subtract(medians, lows), np.subtract(highs, medians)]
    axes.errorbar(medians, rows, xerr=spread, fmt="none", ecolor=INK, elinewidth=1.5, capsize=4)
    for row, median in zip(rows, medians, strict=True):
        axes.annotate(f"{median:.2f}×", (0, row), (8, 0), textcoords="offset points", va="center", weight="bold")
    axes.axvline(1, color=INK, linewidth=1, linestyle=(0, (4, 3)))
    axes.annotate("equally fast", (1, 1), (0, 2), xycoords=("data", "axes fraction"), textcoords="offset points",
                  ha="center", va="bottom", fontsize=10)  # fmt: skip
    for (heading, group), row in zip(groups.items(), headings, strict=True):
        axes.annotate(heading, (0, row), (4, 0), textcoords="offset points", va="center", weight="bold",
                      bbox={"facecolor": "white", "edgecolor": "none", "pad": 2})  # fmt: skip
        if heading in published:
            value = published[heading]
            axes.plot([value, value], [row + 0.45, row + len(group) + 0.55], color=VERMILION, linewidth=2.5)
            axes.annotate(f"the paper: {value:.2f}×", (value, row + 0.1), ha="center", va="center", color=VERMILION)
    axes.set_yticks(rows, labels)
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(at - 0.8, -0.6)
    axes.set_xlim(0, 1.08 * max(1.0, *highs, *published.values()))
    axes.set_xlabel("times as fast: median of paired runs, with the quartiles around it")
    axes.set_title(title, pad=24)
    return figure


@styled
def retention(
    lines: Mapping[str, Mapping[int, Sequence[float]]],
    teacher: Sequence[float],
    title: str = "What a student keeps of its teacher",
    share: float = 0.97,
) -> Picture:
    """Accuracy against the student's depth, one line a treatment; the teacher is a band across.

    lines: treatment -> number of layers -> accuracy of each seed, between 0 and 1. teacher: its accuracy for each
    seed. Points are means of the seeds, error bars and the band one standard deviation; a dashed line marks `share`
    of the teacher's mean.
    Raises MinibertError when there is nothing to draw, or a number is not between 0 and 1.
    """
    accuracies = [*teacher, *(value for line in lines.values() for seeds in line.values() for value in seeds)]
    if not lines or not len(teacher) or not all(line and all(map(len, line.values())) for line in lines.values()):
        raise MinibertError("a figure of retention needs a teacher and lines, each with seeds at every depth.")
    if not all(0 <= value <= 1 for value in accuracies):
        raise MinibertError("an accuracy is not between 0 and 1: give shares of right answers.")

    figure = Picture(figsize=(9, 5.2), layout="constrained")
    axes = figure.add_subplot()
    mean, spread = 100 * np.mean(teacher), 100 * _deviation(teacher)
    axes.axhspan(mean - spread, mean + spread, color=GREY, alpha=0.5, linewidth=0)
    axes.axhline(mean, color=INK, linewidth=1)
    axes.axhline(share * mean, color=INK, linewidth=1, linestyle=(0, (4, 3)))
    ends = []
    deepest = max(max(line) for line in lines.values())
    for at, (label, line) in enumerate(lines.items()):
        colour = LINE_COLOURS[at % len(LINE_COLOURS)]
        depths = sorted(line)
        means = [100 * np.mean(line[depth]) for depth in depths]
        spreads = [100 * _deviation(line[depth]) for depth in depths]
        shifted = np.array(depths) + 0.02 * (at - (len(lines) - 1) / 2)  # so that bars at one depth do not hide others
        axes.errorbar(shifted, means, yerr=spreads, color=colour, marker="o", linewidth=2, capsize=4)
        ends.append((means[-1], label, colour))
    ends += [(mean, "the teacher", INK), (share * mean, f"{share:.0%} of it", INK)]
    _label_ends(axes, ends, deepest + 0.08)
    axes.set_xticks(range(1, deepest + 1))
    axes.set_xlim(0.85, deepest + 0.06)
    axes.set_xlabel("layers of the student")
    axes.set_ylabel("right answers, in %")
    axes.set_title(title)
    figure.supxlabel("mean of the seeds; the bars and the band: one standard deviation", fontsize=10, x=0.01, ha="left")
    return figure


def _label_ends(axes: Axes, ends: Sequence[tuple[float, str, str]], x: float, step: float = 1.0) -> None:
    """Write each line's name to the right of where it ends: (y, name, colour), moved apart where they would overlap.

    x: where the names begin, about; step: half of the x axis's length, about.
    """
    low, high = axes.get_ylim()
    apart = 0.062 * (high - low)
    ordered = sorted(ends)
    places = [y for y, _, _ in ordered]
    for _ in range(50):  # neighbours push each other away, a little at a time
        for i in range(len(places) - 1):
            lacking = apart - (places[i + 1] - places[i])
            if lacking > 0:
                places[i], places[i + 1] = places[i] - lacking / 2, places[i + 1] + lacking / 2
    for (y, name, colour), place in zip(ordered, places, strict=True):
        axes.annotate(
            name, (x - 0.02 * step, y), (x + 0.08 * step, place), va="center", color=colour, annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": colour, "linewidth": 0.8, "shrinkA": 0, "shrinkB": 0},
        )  # fmt: skip


@styled
def ablation(panels: Mapping[str, Mapping[str, Sequence[float]]], title: str = "What each part changes") -> Picture:
    """One horizontal bar a variant, largest first, in one panel a measure; the seeds are dots upon the bars.

    panels: a measure, with its unit -> variant -> its value for each seed. Bars are means, their lines one standard
    deviation. All panels list the variants in one order, by their mean in the first.
    Raises MinibertError when there is nothing to draw, or the panels do not list the same variants.
    """
    first = next(iter(panels.values()), {})
    if not first or not all(map(len, first.values())):
        raise MinibertError("a figure of variants needs a panel with variants, each with a seed.")
    if any(values.keys() != first.keys() or not all(map(len, values.values())) for values in panels.values()):
        raise MinibertError("the panels do not list the same variants, each with a seed: give every measure of each.")
    labels = sorted(first, key=lambda label: -np.mean(first[label]))

    figure = Picture(figsize=(9, 1.9 + 0.5 * len(labels)), layout="constrained")
    figure.get_layout_engine().set(wspace=0.08)
    every_axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for axes, (measure, values), colour in zip(every_axes, panels.items(), (SKY, ORANGE) * len(panels), strict=False):
        for row, label in enumerate(labels):
            seeds = np.asarray(values[label], dtype=float)
            axes.barh(row, seeds.mean(), height=0.6, color=colour)
            axes.errorbar(seeds.mean(), row, xerr=_deviation(seeds), fmt="none", ecolor=INK, elinewidth=1.5, capsize=4)
            rows = row + np.linspace(-0.14, 0.14, len(seeds)) if len(seeds) > 1 else [row]
            axes.plot(seeds, rows, "o", markersize=4, markerfacecolor="white", markeredgecolor=INK)
        axes.axvline(0, color=INK, linewidth=1)
        axes.margins(x=0.1)
        axes.tick_params(axis="y", length=0)
        axes.set_xlabel(measure)
        axes.spines["left"].set_visible(False)
    every_axes[0].set_yticks(range(len(labels)), labels)
    every_axes[0].invert_yaxis()
    figure.suptitle(title, x=0.01, ha="left", fontsize=13)
    figure.supxlabel("bars: mean of the seeds; lines: one standard deviation; dots: each seed", fontsize=10)
    return figure


@styled
def speed_up_by_bandwidth(
    gbits: Sequence[float],
    speed_up: Sequence[float],
    links: Mapping[str, float],
    claimed: float,
    reached: float | None = None,
    title: str = "How many times as fast, over faster and faster links",
) -> Picture:
    """How many times as fast several devices train, as a curve over the bandwidth of the links between them.

    gbits, speed_up: the curve, bandwidths in Gbit/s, growing. links: common links -> Gbit/s, marked on the axis.
    claimed: a speed-up, drawn across. reached: the bandwidth at which the curve meets it, marked if it is finite.
    Raises MinibertError when the two lists are not equally long, a number is not above 0, or bandwidths do not grow.
    """
    _check_lengths(bandwidths=gbits, ratios=speed_up)
    if min(*gbits, *speed_up) <= 0 or (np.diff(gbits) <= 0).any():
        raise MinibertError("bandwidths must grow from above 0, and speed-ups be above 0: give them in order.")

    figure = Picture(figsize=(9, 5.2), layout="constrained")
    axes = figure.add_subplot()
    axes.loglog(gbits, speed_up, color=BLUE, linewidth=2.5)
    axes.set_xlim(gbits[0], gbits[-1])
    low, high = 0.8 * min(1, *speed_up), 1.2 * max(*speed_up, claimed)
    axes.set_ylim(low, high)
    ticks = [factor for factor in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50) if low <= factor <= high]
    axes.set_yticks(ticks, [f"{factor:g}×" for factor in ticks])
    axes.set_yticks([], minor=True)
    for name, gbit in links.items():
        axes.axvline(gbit, color=GREY, linewidth=1, zorder=0)
        axes.annotate(name, (gbit, 1), (0, 3), xycoords=("data", "axes fraction"), textcoords="offset points",
                      ha="center", va="bottom", fontsize=10)  # fmt: skip
    axes.axhline(1, color=INK, linewidth=1, linestyle=(0, (4, 3)))
    axes.annotate("equally fast", (1, 1), (-4, -4), xycoords=("axes fraction", "data"), textcoords="offset points",
                  ha="right", va="top", fontsize=10)  # fmt: skip
    axes.axhline(claimed, color=VERMILION, linewidth=1.5)
    axes.annotate(f"the paper: {claimed}×", (1, claimed), (-4, 4), xycoords=("axes fraction", "data"),
                  textcoords="offset points", ha="right", va="bottom", color=VERMILION)  # fmt: skip
    if reached is not None and np.isfinite(reached):
        axes.plot([reached], [claimed], "o", color=VERMILION, markersize=9, zorder=3)
        axes.annotate(f"{reached:.2g} Gbit/s", (reached, claimed), (8, 10), textcoords="offset points", weight="bold")
    axes.xaxis.set_major_formatter(lambda gbit, _: f"{gbit:,.10g}")
    axes.set_xlabel("bandwidth of the links between devices, in Gbit/s")
    axes.set_ylabel("times as fast")
    axes.set_title(title, pad=26)
    return figure


def _deviation(values: ArrayLike) -> float:
    """The standard deviation of a few seeds; 0 for one."""
    return float(np.std(values, ddof=1)) if np.size(values) > 1 else 0.0


@styled
def attention(
    weights: ArrayLike,
    tokens: Sequence[str],
    outlined: Sequence[tuple[int, int]] = (),
    title: str = "Who looks at whom",
) -> Picture:
    """A heat map of one head's attention over the word pieces of one text.

    weights: (S, S), row s says how token s spreads its attention, and sums to 1. tokens: the S pieces. outlined: the
    (row, column) of cells to draw a frame around. Cells of 0.2 and more carry their number.
    Raises MinibertError when the weights are not (S, S), or a row does not sum to 1.
    """
    weights = np.asarray(weights, dtype=float)
    size = len(tokens)
    if weights.shape != (size, size) or not size:
        raise MinibertError(
            f"the weights have shape {weights.shape} but there are {size} tokens: give one head of one text, (S, S)."
        )
    if not np.allclose(weights.sum(axis=1), 1, atol=1e-3):
        raise MinibertError("a row of the weights does not sum to 1: give them after the softmax, padding cut off.")

    side = max(4.0, 0.46 * size + 1.6)
    figure = Picture(figsize=(side + 1.2, side), layout="constrained")
    axes = figure.add_subplot()
    image = axes.imshow(weights, cmap=WHITE_TO_BLUE, vmin=0, vmax=1)
    for (row, column), weight in np.ndenumerate(weights):
        if weight >= 0.2:
            axes.text(column, row, f"{weight:.2f}".removeprefix("0"), ha="center", va="center", fontsize=9,
                      color="white" if weight > 0.5 else INK)  # fmt: skip
    for row, column in outlined:
        corner = (column - 0.5, row - 0.5)
        axes.add_patch(Rectangle(corner, 1, 1, fill=False, edgecolor=VERMILION, linewidth=3, zorder=3))
    _label_tokens(axes, tokens)
    axes.set_title(title, pad=14)
    bar = figure.colorbar(image, ax=axes, shrink=0.6, aspect=25)
    bar.set_label("attention weight (each row sums to 1)")
    bar.outline.set_visible(False)
    return figure


def _label_tokens(axes: Axes, tokens: Sequence[str]) -> None:
    """Word pieces along both sides of a heat map, a thin grid between its cells."""
    places = np.arange(len(tokens))
    axes.set_xticks(places, tokens, rotation=60, ha="left", rotation_mode="anchor")
    axes.set_yticks(places, tokens)
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    axes.set_xticks(places[1:] - 0.5, minor=True)
    axes.set_yticks(places[1:] - 0.5, minor=True)
    axes.grid(which="minor", color="#E6E6E6", linewidth=0.8)
    axes.tick_params(which="minor", length=0)
    axes.spines[:].set_visible(False)
    axes.set_ylabel("this word piece …")
    axes.set_xlabel("… looks at")
    axes.xaxis.set_label_position("top")


# ------------------------------------------------------------------------------------------------ curves and bars


@styled
def vectors(
    arrows: Mapping[str, tuple[float, float]],
    title: str = "Vectors, and how alike their directions are",
    angles: Sequence[tuple[str, str]] = (),
) -> Picture:
    """Arrows from the origin, each with its name at its tip, on axes of one scale.

    arrows: name -> (x, y). angles: pairs of names whose angle is drawn and written in degrees.
    Raises MinibertError when there is no arrow, one is not two finite numbers or has no length, or an angle is asked
    for between names that are not there.
    """
    tips = _numbers(list(arrows.values()), "arrows", 2)
    lengths = np.linalg.norm(tips, axis=1)
    if tips.shape[1] != 2 or not np.isfinite(lengths).all() or not lengths.all():
        raise MinibertError("an arrow is not two finite numbers, or both are 0: give x and y of vectors with a length.")
    if not {name for pair in angles for name in pair} <= arrows.keys():
        raise MinibertError(f"an angle lies between arrows that are not there: name two of {', '.join(arrows)}.")

    low, high = np.minimum(tips.min(axis=0), 0), np.maximum(tips.max(axis=0), 0)
    margin = 0.14 * (high - low).max()
    low, high = low - margin, high + margin
    inch = min(7.0 / (high - low)[0], 3.6 / (high - low)[1])
    width, height = inch * (high - low)
    figure = Picture(figsize=(max(width, 3.4) + 0.7, height + 0.8), layout="constrained")
    axes = figure.add_subplot()
    axes.set_aspect("equal")
    axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]))
    axes.grid(color="#E6E6E6", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.axhline(0, color=GREY, linewidth=1)
    axes.axvline(0, color=GREY, linewidth=1)
    for (name, tip), length, colour in zip(arrows.items(), lengths, itertools.cycle(LINE_COLOURS), strict=False):
        axes.annotate("", tip, (0, 0), arrowprops={"arrowstyle": "-|>", "color": colour, "linewidth": 2.2,
                                                   "shrinkA": 0, "shrinkB": 0, "mutation_scale": 16})  # fmt: skip
        across, up = np.divide(tip, length)
        axes.annotate(
            name, tip, (9 * across, 9 * up), textcoords="offset points", color=colour, weight="bold",
            ha="left" if across > 0.35 else "right" if across < -0.35 else "center",
            va="bottom" if up > 0.35 else "top" if up < -0.35 else "center",
        )  # fmt: skip
    for step, (one, other) in enumerate(angles):
        start, end = sorted(np.degrees(np.arctan2(y, x)) for x, y in (arrows[one], arrows[other]))
        if end - start > 180:
            start, end = end, start + 360
        turn = np.radians(np.linspace(start, end, 60))
        # The narrower the angle, the further out there is room for its number.
        share = np.clip(0.25 + 5 / max(end - start, 1), 0.28, 0.68) + 0.1 * step
        radius = share * min(np.hypot(*arrows[one]), np.hypot(*arrows[other]))
        axes.plot(radius * np.cos(turn), radius * np.sin(turn), color=INK, linewidth=1)
        middle = np.radians((start + end) / 2)
        axes.annotate(
            f"{end - start:.0f}°", radius * np.array([np.cos(middle), np.sin(middle)]),
            (12 * np.cos(middle), 12 * np.sin(middle)), textcoords="offset points", ha="center", va="center",
            fontsize=10, bbox={"facecolor": "white", "edgecolor": "none", "pad": 1, "alpha": 0.8},
        )  # fmt: skip
    axes.set_title(title)
    return figure


@styled
def lines(
    curves: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    xlabel: str,
    ylabel: str,
    title: str = "",
    levels: Mapping[str, float] | None = None,
) -> Picture:
    """Curves with their names at their right ends; levels are dashed lines across, with their names.

    curves: name -> (all x, all y). levels: name -> y.
    Raises MinibertError when there is no curve, or one's x and y are not finite numbers, equally many.
    """
    if not curves:
        raise MinibertError("a figure of lines needs a curve at least: give a name with its x and its y.")
    drawn = {name: _curve(name, *points) for name, points in curves.items()}
    figure = Picture(figsize=(9, 4.2), layout="constrained")
    axes = figure.add_subplot()
    _draw_curves(axes, drawn, levels or {})
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    axes.set_title(title)
    return figure


@styled
def flow(
    panels: Mapping[str, Mapping[str, Sequence[float]]],
    xlabel: str = "layer",
    title: str = "How much each layer changes what passes through it",
) -> Picture:
    """Panels side by side, one a measure, each with one line a model over its layers, which are counted from 1.

    panels: the measure, with its unit -> the line's name -> its value at each layer.
    Raises MinibertError when there is no panel or no line, or values are not finite numbers.
    """
    if not panels or not all(panels.values()):
        raise MinibertError("a figure over layers needs panels, each with a line: give a measure with its lines.")
    figure = Picture(figsize=(9, 3.6), layout="constrained")
    for axes, (measure, by_name) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True):
        drawn = {name: _curve(name, np.arange(1, len(values) + 1), values) for name, values in by_name.items()}
        _draw_curves(axes, drawn, marker="o")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_ylim(min(0, axes.get_ylim()[0]))
        axes.set_xlabel(xlabel)
        axes.set_title(measure, fontsize=11, pad=6)
    _head(figure, title)
    return figure


def _curve(name: str, x: ArrayLike, y: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    y, x = _numbers(y, f"the y of {name}", 1), _numbers(x, f"the x of {name}", 1)
    if len(x) != len(y) or not np.isfinite([x, y]).all():
        raise MinibertError(f"{name} has {len(x)} x and {len(y)} y, or one is not finite: give a finite y for each x.")
    return x, y


def _draw_curves(
    axes: Axes,
    curves: Mapping[str, tuple[np.ndarray, np.ndarray]],
    levels: Mapping[str, float] | None = None,
    marker: str = "",
) -> None:
    """Curves and dashed levels, all named at the right edge, over a light grid."""
    ends = []
    for (name, (x, y)), colour in zip(curves.items(), itertools.cycle(LINE_COLOURS), strict=False):
        axes.plot(x, y, color=colour, linewidth=2, marker=marker, markersize=4)
        ends.append((y[-1], name, colour))
    for name, y in (levels or {}).items():
        axes.axhline(y, color=INK, linewidth=1, linestyle=(0, (4, 3)))
        ends.append((y, name, INK))
    axes.grid(color="#E6E6E6", linewidth=0.8)
    axes.set_axisbelow(True)
    start, end = min(x.min() for x, _ in curves.values()), max(x.max() for x, _ in curves.values())
    span = (end - start) or 1.0
    axes.set_xlim(start - 0.02 * span, end + 0.02 * span)
    axes.set_ylim(axes.get_ylim())  # the names at the ends move nothing
    _label_ends(axes, ends, end + 0.03 * span, span / 2.2)


@styled
def distributions(
    panels: Mapping[str, Sequence[float]],
    labels: Sequence[str],
    title: str = "How the probability is spread",
    unit: str = "probability",
    digits: int = 2,
) -> Picture:
    """One panel a distribution: a horizontal bar for each label, its number at the end, all panels on one scale.

    panels: heading -> a value for each label, in the labels' order. unit: what the x axis says.
    Raises MinibertError when there is no panel, or its values are not one finite number a label.
    """
    _check_lengths(panels=panels)
    every = {heading: _numbers(values, heading, 1) for heading, values in panels.items()}
    for heading, values in every.items():
        if len(values) != len(labels) or not np.isfinite(values).all():
            raise MinibertError(
                f"{heading} has {len(values)} values for {len(labels)} labels: give one finite value each."
            )
    figure = Picture(figsize=(9, 1.6 + 0.32 * len(labels)), layout="constrained")
    every_axes = figure.subplots(1, len(panels), sharex=True, sharey=True, squeeze=False)[0]
    for axes, (heading, values) in zip(every_axes, every.items(), strict=True):
        _bars(axes, values, [_written(value, digits) for value in values], SKY)
        axes.set_title(heading, fontsize=11, pad=6, weight="bold")
    _scale_bars(every_axes[0], np.concatenate(list(every.values())), 0.08 * len(panels) + 0.06)
    _name_bars(every_axes, labels)
    figure.supxlabel(unit, fontsize=11)
    _head(figure, title)
    return figure


@styled
def shares(
    measured: Mapping[str, float],
    expected: Mapping[str, float],
    title: str = "Measured, and expected",
    unit: str = "share in %",
    digits: int = 1,
) -> Picture:
    """One horizontal bar a share that was measured, and a mark across it where it was expected.

    measured, expected: name -> share in the axis's unit, so 80 for 80%. A share may have no expectation.
    Raises MinibertError when there is nothing to draw, a share is negative, or one is expected that is not measured.
    """
    values = _numbers(list(measured.values()), "shares", 1)
    if not expected.keys() <= measured.keys():
        raise MinibertError("a share is expected that was not measured: give both the same names.")
    wanted = [expected.get(name) for name in measured]
    furthest = np.maximum(values, [value or 0 for value in wanted])
    if not np.isfinite(furthest).all() or min([*values, *expected.values()]) < 0:
        raise MinibertError("a share is negative or not finite: give shares of 0 or more, in the unit of the axis.")
    figure = Picture(figsize=(9, 1.2 + 0.45 * len(measured)), layout="constrained")
    axes = figure.add_subplot()
    axes.barh(range(len(values)), values, height=0.6, color=SKY)
    for row, (value, want, end) in enumerate(zip(values, wanted, furthest, strict=True)):
        said = axes.annotate(_written(value, digits), (end, row), (8, 0), textcoords="offset points", va="center",
                             weight="bold")  # fmt: skip
        if want is not None:
            axes.plot([want, want], [row - 0.4, row + 0.4], color=VERMILION, linewidth=3, solid_capstyle="butt")
            axes.annotate(f"expected {want:g}", (1, 0), (8, 0), xycoords=said, textcoords="offset points", va="bottom",
                          color=VERMILION)  # fmt: skip
    _scale_bars(axes, furthest, 0.22)
    _name_bars([axes], list(measured))
    axes.set_xlabel(unit)
    axes.set_title(title)
    return figure


@styled
def family(
    rows: Mapping[str, Mapping[str, float]],
    panels: Mapping[str, str],
    title: str = "The family, measured",
) -> Picture:
    """Models as rows, one panel of horizontal bars a measure; what was not measured is said and left blank.

    rows: model -> measure -> value. panels: measure -> what its axis says, with the unit. A model keeps its colour.
    Raises MinibertError when there is no model or panel, a value is negative or not finite, or a panel has no values.
    """
    if not rows or not panels:
        raise MinibertError("a figure of the family needs models and panels: give at least one of each.")
    table = np.array([[by_measure.get(measure, np.nan) for by_measure in rows.values()] for measure in panels], float)
    if (table < 0).any() or np.isinf(table).any() or np.isnan(table).all(axis=1).any():
        raise MinibertError(
            "a measure has no value, or one is negative or not finite: give finite values of 0 or more."
        )
    colours = list(itertools.islice(itertools.cycle(LINE_COLOURS), len(rows)))
    figure = Picture(figsize=(9, 1.4 + 0.42 * len(rows)), layout="constrained")
    every_axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for axes, label, values in zip(every_axes, panels.values(), table, strict=True):
        known = np.isfinite(values)
        _bars(axes, np.where(known, values, 0), [_brief(value) if value == value else "" for value in values], colours)
        for row in np.flatnonzero(~known):
            axes.annotate("not measured", (0, row), (4, 0), textcoords="offset points", va="center", color="#808080",
                          fontsize=10, style="italic")  # fmt: skip
        _scale_bars(axes, values[known], 0.1 * len(panels) + 0.04)
        axes.set_xlabel(label)
    _name_bars(every_axes, list(rows))
    _head(figure, title)
    return figure


def _bars(axes: Axes, values: np.ndarray, texts: Sequence[str], colour: str | Sequence[str]) -> None:
    """Horizontal bars from row 0, each with a text at its end."""
    axes.barh(range(len(values)), values, height=0.62, color=colour)
    for row, (value, text) in enumerate(zip(values, texts, strict=True)):
        axes.annotate(text, (value, row), (4 if value >= 0 else -4, 0), textcoords="offset points", va="center",
                      ha="left" if value >= 0 else "right", fontsize=10)  # fmt: skip


def _scale_bars(axes: Axes, values: np.ndarray, room: float) -> None:
    """The x axis from 0, or the lowest bar, to the highest, and a share of room for the text at its end."""
    low, high = min(0.0, values.min()), max(0.0, values.max())
    span = (high - low) or 1.0
    axes.set_xlim(low - (room * span if low < 0 else 0), high + room * span)


def _name_bars(every_axes: Sequence[Axes], labels: Sequence[str]) -> None:
    """The labels down the first panel, row 0 on top; a line at 0 in each."""
    every_axes[0].set_yticks(range(len(labels)), labels)
    every_axes[0].set_ylim(len(labels) - 0.4, -0.6)
    for axes in every_axes:
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        axes.axvline(0, color=INK, linewidth=1)


def _head(figure: Picture, title: str) -> None:
    """A title above all panels, with some air below it."""
    figure.suptitle(title, x=0.01, ha="left", fontsize=13)
    figure.get_layout_engine().set(h_pad=0.1, wspace=0.06)


# ------------------------------------------------------------------------------------------------ diagrams, in inches


class _Sheet:
    """Paper to draw on in inches, x to the right and y downwards; `finish` cuts it to what is on it."""

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
        """A box from its upper left corner, with a text in its middle; corner 0 makes a cell with sharp corners."""
        look = {"facecolor": colour, "edgecolor": edge, "linewidth": 0.9, **look}
        style = BoxStyle("Round", pad=0, rounding_size=corner)
        sharp = Rectangle((x, y), width, height, **look)
        self.axes.add_patch(FancyBboxPatch((x, y), width, height, boxstyle=style, **look) if corner else sharp)
        self.corners += [(x, y), (x + width, y + height)]
        if text:
            self.text(x + width / 2, y + height / 2, text, size, color=ink or _ink_on(colour), weight=weight)

    def text(
        self, x: float, y: float, text: str, size: float = 10, ha: str = "center", va: str = "center",
        turned: float = 0, **look: object,
    ) -> None:  # fmt: skip
        """A text beside, above or around a point; a turned one is anchored before it is turned."""
        self.axes.text(x, y, text, fontsize=size, ha=ha, va=va, rotation=turned, rotation_mode="anchor", **look)
        width, height = _width(text, size, look.get("weight", "normal")), size / 60 * (1 + text.count("\n"))
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
        """A line through the points, with a head at the last one."""
        look = {"linewidth": 1.3, "joinstyle": "miter", "capstyle": "butt", **look}
        style = "-|>,head_length=0.45,head_width=0.22" if head else "-"
        self.axes.add_patch(
            FancyArrowPatch(path=PlotPath(points), arrowstyle=style, mutation_scale=14, color=colour, **look)
        )
        self.corners += points

    def matrix(
        self, x: float, y: float, faces: Sequence[Sequence[ColorType | None]],
        texts: Sequence[Sequence[str]] | None = None, rows: Sequence[str] = (), columns: Sequence[str] = (),
        cell: tuple[float, float] = (0.32, 0.32), size: float = 10, row_label: str = "", column_label: str = "",
    ) -> float:  # fmt: skip
        """Cells from their upper left corner, with labels left and above; a face of None is hatched: nothing here.

        Returns the y of the highest thing, above the labels.
        """
        width, height = cell
        for (r, c), face in _cells(faces):
            empty = face is None
            self.box(
                x + c * width, y + r * height, width, height, texts[r][c] if texts else "", "white" if empty else face,
                size, corner=0, edge="#C8C8C8" if empty else "white", hatch="////" if empty else None,
                linewidth=min(0.6 if empty else 1, 6 * width), zorder=0.9 if empty else 1,
            )  # fmt: skip
        down, across = len(faces) * height, len(faces[0]) * width
        self.box(x, y, across, down, fill=False, corner=0, edge=GREY, linewidth=0.8)
        for r, label in enumerate(rows):
            self.text(x - 0.08, y + (r + 0.5) * height, label, ha="right")
        aside = max([_width(label, 10) for label in rows], default=0)
        if row_label:
            self.text(x - aside - 0.25, y + down / 2, row_label, turned=90, color="#606060")
        widest = max([_width(label, 10) for label in columns], default=0)
        turned = 60 if widest > width - 0.04 else 0  # degrees
        top = y - (0 if not columns else 0.12 + widest * np.sin(np.radians(60)) if turned else 0.26)
        for c, label in enumerate(columns):
            self.text(x + (c + 0.5) * width, y - 0.07, label, ha="left" if turned else "center",
                      va="center" if turned else "bottom", turned=turned)  # fmt: skip
        if column_label:
            self.text(x + across / 2, top - 0.04, column_label, va="bottom", color="#606060")
            top -= 0.24
        return top

    def legend(self, x: float, y: float, entries: Mapping[str, Mapping[str, object]]) -> None:
        """Small boxes in a row, each with what it means behind it: text -> how its box looks."""
        for text, look in entries.items():
            self.box(x, y, 0.26, 0.18, **{"corner": 0.03, **look})
            self.text(x + 0.34, y + 0.09, text, ha="left")
            x += 0.34 + _width(text, 10) + 0.3

    def finish(self, title: str) -> Picture:
        """The picture, as large as what was drawn and a margin, the title above.

        Raises MinibertError when it is larger than a page.
        """
        corners = np.array(self.corners)
        (left, top), (right, bottom) = corners.min(axis=0) - 0.12, corners.max(axis=0) + 0.12
        above = 0.36 if title else 0.0
        right = max(right, left + _width(title, 13) + 0.24)
        width, height = np.round([right - left, bottom - top + above], 2)
        if max(width, height) > LARGEST:
            raise MinibertError(
                f"this figure would be {width:.0f} by {height:.0f} inches, and {LARGEST} is the most: give it less."
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
    """A small matrix, its numbers written in its cells.

    values: (R, C). rows, columns: their R and C labels, or nothing for none. colour: tint the cells from white at 0 to
    blue, and to vermilion below 0; low, high: the numbers at the ends of the tints, by default those of the values.
    −∞, which a mask leaves behind, is hatched.
    Raises MinibertError when the values are not a matrix, or the labels not one a row and column.
    """
    return _grids({"": values}, rows, columns, title, [digits], colour, low, high, row_label, column_label, False)


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
    """Small matrices side by side as in `grid`, with their headings and an arrow from each to the next.

    panels: heading -> (R, C), all with the same labels. digits: behind the point, one number for all or one a panel.
    arrows: False where the panels are alternatives, and none follows from another.
    Raises MinibertError as `grid` does, and when there is no panel.
    """
    digits = [digits] * len(panels) if isinstance(digits, int) else digits
    _check_lengths(panels=panels, digits=digits)
    return _grids(panels, rows, columns, title, digits, colour, low, high, row_label, column_label, arrows)


def _grids(
    panels: Mapping[str, ArrayLike], rows: Sequence[str], columns: Sequence[str], title: str, digits: Sequence[int],
    colour: bool, low: float | None, high: float | None, row_label: str, column_label: str, arrows: bool,
) -> Picture:  # fmt: skip
    sheet, x, height = _Sheet(), 0.0, 0.34
    for at, ((heading, given), places) in enumerate(zip(panels.items(), digits, strict=True)):
        values = _matrix(given, rows, columns, heading or "the matrix")
        texts = [[_written(value, places) for value in row] for row in values]
        width = max(0.5, 0.16 + max(_width(text, 10) for row in texts for text in row))
        faces = (
            _tints(values, low, high) if colour else [["white" if v > -np.inf else None for v in row] for row in values]
        )
        first = at == 0
        if arrows and not first:
            middle = len(values) * height / 2
            sheet.arrow((x - 0.48, middle), (x - 0.12, middle), linewidth=2)
        top = sheet.matrix(x, 0, faces, texts, rows if first else (), columns, (width, height),
                           row_label=row_label if first else "", column_label=column_label)  # fmt: skip
        if heading:
            sheet.text(x, top - 0.08, heading, 11, ha="left", va="bottom", weight="bold")
        x += max(values.shape[1] * width, _width(heading, 11, "bold") - 0.3) + 0.6
    return sheet.finish(title)


@styled
def similarity(
    matrix: ArrayLike,
    labels: Sequence[str],
    title: str = "How alike the layers are",
    low: float = 0.0,
    high: float = 1.0,
    unit: str = "cosine similarity",
) -> Picture:
    """A symmetric heat map with a colour bar; up to 14 labels the numbers stand in the cells.

    matrix: (n, n), symmetric. low, high: the numbers at the ends of the colours, which those outside have too.
    Raises MinibertError when the matrix is not symmetric, not one row a label, or low is not below high.
    """
    values = _matrix(matrix, labels, labels, "the similarities")
    if not labels or not np.allclose(values, values.T, atol=1e-4):
        raise MinibertError("the similarities are not symmetric with a label each: give (n, n), the same both ways.")
    if not low < high:
        raise MinibertError(f"the colours cannot run from {low} to {high}: give a low end below the high end.")
    written = len(labels) <= 14
    side = 0.44 if written else 0.26
    texts = [[re.sub(r"^(−?)0\.", r"\1.", _written(value, 2)) for value in row] for row in values] if written else None
    sheet = _Sheet()
    sheet.matrix(0, 0, WHITE_TO_BLUE(Normalize(low, high, clip=True)(values)), texts, labels, labels, (side, side), 9)
    x, down = len(labels) * side + 0.4, len(labels) * side
    tall = min(down, 3.0)
    start = (down - tall) / 2
    for step in range(100):
        sheet.box(x, start + step * tall / 100, 0.16, tall / 99, colour=WHITE_TO_BLUE(1 - step / 99), corner=0,
                  edge="none", linewidth=0)  # fmt: skip
    sheet.box(x, start, 0.16, tall, fill=False, corner=0, edge=GREY)
    for share in (0, 0.25, 0.5, 0.75, 1):
        number = _written(low + share * (high - low), 2)
        sheet.text(x + 0.24, start + (1 - share) * tall, number, ha="left")
    sheet.text(x + 0.82, down / 2, unit, turned=90)
    return sheet.finish(title)


@styled
def head_split(
    x: ArrayLike, num_heads: int, tokens: Sequence[str], wrong: bool = False, title: str | None = None
) -> Picture:
    """The features of each token, shared out among the heads: one matrix becomes one small matrix a head.

    x: (S, D), of which only the shape matters. num_heads: H, into which D must divide. Cells say token·feature, up to
    5 tokens of 12 features, and have the colour of the head that they belong to. wrong: what `x.view(H, S, K)` makes
    of them, without a transpose.
    Raises MinibertError when x is not (S, D) with a token each, or D is not H times something.
    """
    values = _numbers(x, "the features", 2)
    size, features = values.shape
    if size != len(tokens):
        raise MinibertError(f"x has {size} rows for {len(tokens)} tokens: give one row a token, (S, D).")
    if num_heads < 1 or features % num_heads:
        raise MinibertError(f"{features} features do not divide into {num_heads} heads: give H that divides D.")
    width = features // num_heads
    places = np.arange(size * features).reshape(size, features)
    by_head = places.reshape(num_heads, size, width) if wrong else places.reshape(size, num_heads, width).swapaxes(0, 1)
    written = size <= 5 and features <= 12
    cell = (0.42 if features < 10 else 0.46, 0.3) if written else (0.2, 0.2)

    def draw(places: np.ndarray, x: float, y: float, rows: Sequence[str], columns: Sequence[str] = ()) -> float:
        heads = places % features // width
        faces = [[HEAD_COLOURS[head % len(HEAD_COLOURS)] for head in row] for row in heads]
        texts = [[f"{place // features}·{place % features}" for place in row] for row in places]
        return sheet.matrix(x, y, faces, texts if written else None, rows, columns, cell, 9)

    sheet = _Sheet()
    apart = 0.36
    tall = num_heads * size * cell[1] + (num_heads - 1) * apart
    across = features * cell[0]
    y = (tall - size * cell[1]) / 2
    top = draw(places, 0, y, [f"{at}  {token}" for at, token in enumerate(tokens)])
    sheet.text(0, top - 0.08, f"x: (S, D) = ({size}, {features})", 11, ha="left", va="bottom", weight="bold")
    aside = max(_width(token, 10) for token in tokens)
    start = across + aside + 0.75
    for head, own in enumerate(by_head):
        at = head * (size * cell[1] + apart)
        sheet.arrow((across + 0.08, tall / 2), (start - aside - 0.2, at + size * cell[1] / 2), colour="#606060")
        draw(own, start, at, tokens)
        sheet.text(
            start, at - 0.06, f"head {head}: (S, K) = ({size}, {width})", 10, ha="left", va="bottom", weight="bold"
        )
    code = "x.view(H, S, K), and no transpose" if wrong else "x.view(S, H, K).transpose(0, 1)"
    note = "t·f: feature f of token t; the colour says to which head it belongs"
    taken = "\nThe names at the heads' rows are the tokens that they are taken for."
    sheet.text(0, tall + 0.2, f"{code}\n{note}{taken if wrong else ''}", ha="left", va="top", color="#606060")
    right = "Each head gets its own features of every token"
    mixed = "Without the transpose, a head gets whole tokens"
    return sheet.finish(title if title is not None else mixed if wrong else right)


@styled
def masks(
    panels: Mapping[str, ArrayLike],
    tokens: Sequence[str],
    keys: Sequence[str] | None = None,
    title: str = "Who may look at whom",
) -> Picture:
    """Boolean masks side by side: blue where a token (row) may look at another (column), hatched where it may not.

    panels: heading -> (S, T) of booleans. tokens: the S rows; keys: the T columns, by default the same.
    Raises MinibertError when there is no panel, or one is not boolean (or 0 and 1) with a row and column a token.
    """
    keys = tokens if keys is None else keys
    _check_lengths(panels=panels)
    sheet, x, side = _Sheet(), 0.0, 0.32
    for at, (heading, given) in enumerate(panels.items()):
        mask = _matrix(given, tokens, keys, heading)
        if not np.isin(mask, (0, 1)).all():
            raise MinibertError(f"{heading} is not a mask of True and False: give one boolean a pair of tokens.")
        faces = [[BLUE if seen else None for seen in row] for row in mask]
        top = sheet.matrix(x, 0, faces, None, () if at else tokens, keys, (side, side))
        sheet.text(x, top - 0.1, heading, 11, ha="left", va="bottom", weight="bold")
        x += max(mask.shape[1] * side + 0.4, _width(heading, 11, "bold")) + 0.3
    meanings = {"the row's token may look at the column's": {"colour": BLUE, "corner": 0}, "may not": _HATCHED}
    sheet.legend(0, len(tokens) * side + 0.2, meanings)
    return sheet.finish(title)


@styled
def padded_batch(
    lengths: Sequence[int], title: str = "A padded batch", names: Sequence[str] | None = None, unit: str = "tokens"
) -> Picture:
    """Texts of different lengths as one rectangle, B rows of the longest: real tokens, padding, and padding's share.

    lengths: of each text. names: of the rows, by default counted from 1.
    Raises MinibertError when there is no text, or a length is not a whole number from 1.
    """
    names = [f"text {at}" for at in range(1, len(lengths) + 1)] if names is None else names
    _check_lengths(lengths=lengths, names=names)
    if not all(float(length).is_integer() and length >= 1 for length in lengths):
        raise MinibertError("a text's length is not a whole number from 1: give the numbers of its tokens.")
    longest, places = int(max(lengths)), int(max(lengths)) * len(lengths)
    padding = places - int(sum(lengths))
    cell = (min(0.3, 6.6 / longest), 0.26)
    sheet = _Sheet()
    sheet.matrix(
        0, 0, [[SKY] * int(length) + [None] * (longest - int(length)) for length in lengths], None, names, (), cell
    )
    for row, length in enumerate(lengths):
        sheet.text(longest * cell[0] + 0.1, (row + 0.5) * cell[1], f"{int(length)} {unit}", ha="left")
    sheet.legend(0, len(lengths) * cell[1] + 0.16, {
        f"real: {places - padding:,}": {"colour": SKY, "corner": 0},
        f"padding: {padding:,} of {places:,} places, {padding / places:.0%}": _HATCHED,
    })  # fmt: skip
    return sheet.finish(title)


@styled
def pieces(
    words: Sequence[tuple[str, Sequence[str]]],
    title: str = "Words, and the pieces they are made of",
    unknown: str = "[UNK]",
) -> Picture:
    """A text's words, and below each of them its word pieces in boxes; long texts go on in the next line.

    words: (word, its pieces). Pieces that begin with ## continue a word; `unknown` stands for what cannot be written.
    Raises MinibertError when there is no word, or one has no pieces.
    """
    if not words or not all(len(parts) for _, parts in words):
        raise MinibertError("a figure of pieces needs words, each with at least one piece.")
    looks = {
        "begins a word": {"colour": _pale(SKY)},
        "goes on in it (##)": {"colour": _pale(ORANGE, 0.7)},
        "not in the vocabulary": {"colour": VERMILION, "ink": "white", "weight": "bold"},
    }
    begins, goes_on, missing = looks

    def kind(piece: str) -> str:
        return missing if piece == unknown else goes_on if piece.startswith("##") else begins

    sizes = [[_width(piece, 11) + 0.18 for piece in parts] for _, parts in words]
    widths = [
        max(sum(size) + 0.05 * (len(size) - 1), _width(word, 11)) for (word, _), size in zip(words, sizes, strict=True)
    ]
    sheet = _Sheet()
    for line, places in enumerate(_wrapped(widths, 0.24, 8.8)):
        y = 0.95 * line
        for at, x in places.items():
            (word, parts), middle = words[at], x + widths[at] / 2
            sheet.text(middle, y, word, 11, va="bottom")
            start = middle - (sum(sizes[at]) + 0.05 * (len(parts) - 1)) / 2
            for piece, width in zip(parts, sizes[at], strict=True):
                sheet.arrow((middle, y + 0.07), (start + width / 2, y + 0.25), colour=GREY, head=False, linewidth=0.9)
                sheet.box(start, y + 0.27, width, 0.3, piece, size=11, **looks[kind(piece)])
                start += width + 0.05
    used = {kind(piece) for _, parts in words for piece in parts}
    sheet.legend(0, y + 0.78, {text: look for text, look in looks.items() if text in used})
    return sheet.finish(title)


@styled
def masked_text(
    tokens: Sequence[str],
    seen: Sequence[str],
    labels: Sequence[str | None],
    title: str = "What the model sees, and what it must guess",
    mask: str = "[MASK]",
) -> Picture:
    """Three rows of boxes, token by token: the text, what the model sees of it, and what it must guess.

    seen: the tokens after masking. labels: what must be guessed, "" or None where nothing is. A token that must be
    guessed was hidden (it became `mask`), exchanged (another stands there) or kept.
    Raises MinibertError when the rows are not equally long, a label is not the token of its place, or a token has
    changed that need not be guessed.
    """
    _check_lengths(tokens=tokens, seen=seen, labels=labels)
    for token, shown, label in zip(tokens, seen, labels, strict=True):
        if token != (label or shown):
            raise MinibertError(
                f"“{token}” is seen as “{shown}” with the label “{label or ''}”: give the token itself as the label of "
                "each place that was chosen, and leave the other places as they are."
            )
    looks = {
        f"hidden: {mask}": {"colour": BLUE, "ink": "white", "weight": "bold"},
        "exchanged for a random piece": {"colour": ORANGE, "weight": "bold"},
        "kept, but must be guessed too": {"colour": "white", "weight": "bold", "edge": GREEN, "linewidth": 2.4},
    }
    hidden, exchanged, kept = looks
    plain, nothing = (
        {"colour": "#F2F2F2", "edge": GREY},
        {"colour": "white", "edge": "#DDDDDD", "linestyle": (0, (2, 2))},
    )
    fates = [
        None if not label else hidden if shown == mask else exchanged if shown != token else kept
        for token, shown, label in zip(tokens, seen, labels, strict=True)
    ]
    widths = [max(_width(text, 10, "bold") for text in (a, b)) + 0.14 for a, b in zip(tokens, seen, strict=True)]
    headings, height = ("the text", "what the model sees", "what it must guess"), 0.3
    sheet = _Sheet()
    for line, places in enumerate(_wrapped(widths, 0.06, 7.6)):
        y = 1.4 * line
        for row, heading in enumerate(headings):
            sheet.text(-0.12, y + 0.38 * row + height / 2, heading, ha="right", color="#606060")
        for at, x in places.items():
            fate = fates[at]
            told = (
                (tokens[at], plain),
                (seen[at], looks[fate] if fate else plain),
                (labels[at], plain if fate else nothing),
            )
            for row, (text, look) in enumerate(told):
                sheet.box(x, y + 0.38 * row, widths[at], height, text or "", **look)
    sheet.legend(0, y + 1.24, {text: look for text, look in looks.items() if text in fates})
    return sheet.finish(title)


def _wrapped(widths: Sequence[float], gap: float, limit: float) -> list[dict[int, float]]:
    """Things set in lines like words: for each line, the number of each thing on it -> its x."""
    set_lines: list[dict[int, float]] = [{}]
    x = 0.0
    for at, width in enumerate(widths):
        if set_lines[-1] and x + width > limit:
            set_lines.append({})
            x = 0.0
        set_lines[-1][at] = x
        x += width + gap
    return set_lines


@styled
def layer_map(
    choices: Mapping[str, Sequence[int]],
    depth: int,
    title: str = "Which of the teacher's layers the student starts from",
) -> Picture:
    """For each choice, the teacher's layers, the student's, and lines from those that are copied; layer 0 is lowest.

    choices: name -> the teacher's layer that each layer of the student is copied from. depth: of the teacher.
    Raises MinibertError when there is no choice, or a layer is not one of the teacher's.
    """
    if not choices or not all(len(layers) for layers in choices.values()):
        raise MinibertError("a map of layers needs choices, each with at least one layer: give lists of layer numbers.")
    if not all(layer in range(depth) for layers in choices.values() for layer in layers):
        raise MinibertError(f"a layer is not one of the teacher's {depth}: count them from 0 to {depth - 1}.")
    sheet, step, width, between = _Sheet(), 0.3, 0.62, 0.62
    every = max(2 * width + between, *(_width(name, 11, "bold") for name in choices)) + 0.35
    for at, (name, layers) in enumerate(choices.items()):
        left = at * every
        right = left + width + between
        sheet.text(left + width + between / 2, -0.34, name, 11, va="bottom", weight="bold")
        sheet.text(left + width / 2, -0.06, "teacher", va="bottom", color="#606060")
        sheet.text(right + width / 2, -0.06, "student", va="bottom", color="#606060")
        for layer in range(depth):
            look = {"colour": SKY} if layer in layers else {"edge": GREY, "ink": "#808080"}
            sheet.box(left, (depth - 1 - layer) * step, width, step - 0.06, str(layer), **look)
        lowest = (depth + len(layers)) / 2 * step - step  # the student stands half way up
        for own, layer in enumerate(layers):
            y = lowest - own * step
            sheet.box(right, y, width, step - 0.06, str(own), SKY)
            middle = step / 2 - 0.03
            sheet.arrow((left + width, (depth - 1 - layer) * step + middle), (right, y + middle), colour=BLUE)
    return sheet.finish(title)


@styled
def stacks(models: Mapping[str, Sequence[str]], title: str = "What each model is built of") -> Picture:
    """Models side by side as columns of named parts, the first part lowest.

    models: name -> its parts from the bottom to the top. Parts whose names begin alike, up to a number, a bracket or a
    colon, have one colour. Equal names one after the other are one thing that is run again: outlined, with a loop.
    Raises MinibertError when there is no model, or one has no parts.
    """
    if not models or not all(len(parts) for parts in models.values()):
        raise MinibertError("a figure of stacks needs models, each with at least one part.")
    kinds = list(dict.fromkeys(_kind(part) for parts in models.values() for part in parts))
    colours = {kind: _pale(colour, 0.7) for kind, colour in zip(kinds, itertools.cycle(STACK_COLOURS), strict=False)}
    sheet, step, x = _Sheet(), 0.3, 0.0
    for name, parts in models.items():
        width = max(1.3, *(_width(part, 10) + 0.24 for part in parts))
        y = 0.0
        again = 0.0
        for part, run in itertools.groupby(parts):
            times, colour = len(list(run)), colours[_kind(part)]
            sheet.box(x, y - step, width, step - 0.06, part, colour)
            for copy in range(1, times):
                sheet.box(x, y - (copy + 1) * step, width, step - 0.06, part, "white", edge=colour, linewidth=1.4,
                          linestyle=(0, (3, 2)), ink="#808080")  # fmt: skip
            if times > 1:
                low, high, out = y - step / 2 - 0.03, y - (times - 0.5) * step - 0.03, x + width + 0.2
                sheet.arrow((x + width, high), (out, high), (out, low), (x + width, low), colour=INK)
                told = f"{times} times,\none set of weights"
                sheet.text(out + 0.1, (low + high) / 2, told, ha="left")
                again = 0.35 + max(_width(line, 10) for line in told.split("\n"))
            y -= times * step
        sheet.text(x + width / 2, 0.08, name, 11, va="top", weight="bold")
        x += width + again + 0.4
    return sheet.finish(title)


def _kind(part: str) -> str:
    """What a part's name begins with: "block" of "block 3", "embeddings" of "embeddings (V × E)"."""
    return re.split(r"[\d(:]", part)[0].strip() or part


@styled
def course_map(
    rows: Sequence[Sequence[tuple[str, str]]],
    title: str = "The lessons",
    row_titles: Sequence[str] = (),
    here: str | None = None,
) -> Picture:
    """The way through a course: a box for each lesson, row by row, and an arrow from each to the next.

    rows: lessons as (number, title). row_titles: what each row is about. here: the number of a lesson to mark.
    Raises MinibertError when a row is empty, row titles are not one a row, or no lesson has the number to mark.
    """
    if not rows or not all(len(row) for row in rows) or len(row_titles) not in (0, len(rows)):
        raise MinibertError("a map needs rows of lessons, none empty, and as many row titles as rows, or none.")
    if here is not None and here not in {number for row in rows for number, _ in row}:
        raise MinibertError(f"no lesson of the map has the number {here}: give one that is on it.")
    set_titles = {name: textwrap.fill(name, 16) for row in rows for _, name in row}
    sheet, width, gap, below = _Sheet(), 1.6, 0.34, 0.42
    height = max(0.66, 0.2 + 0.16 * max(1 + name.count("\n") for name in set_titles.values()))
    for r, row in enumerate(rows):
        y = r * (height + below)
        if row_titles:
            sheet.text(-0.2, y + height / 2, textwrap.fill(row_titles[r], 14), 10, ha="right", color="#606060")
        for c, (number, name) in enumerate(row):
            x = c * (width + gap)
            look = {"colour": _pale(ROW_COLOURS[r % len(ROW_COLOURS)])}
            sheet.box(x, y, width, height, **({"colour": ORANGE, "linewidth": 2.5} if number == here else look))
            sheet.text(x + 0.08, y + height / 2, number, 13, ha="left", weight="bold")
            beside = 0.14 + _width(number, 13, "bold")
            sheet.text(x + beside, y + height / 2, set_titles[name], 9.5, ha="left")
            if c:
                sheet.arrow((x - gap, y + height / 2), (x, y + height / 2))
        if r + 1 < len(rows):  # from the end of this row to the start of the next
            down, turn = y + height, y + height + below / 2
            sheet.arrow((x + width / 2, down), (x + width / 2, turn), (width / 2, turn), (width / 2, down + below))
    return sheet.finish(title)


@styled
def encoder_block(title: str = "One encoder block", share: bool = False) -> Picture:
    """BERT's block: attention, then feed-forward, each added to what came in and normalised after that (post-norm).

    Left the block from the bottom to the top, right what is in its two parts, with the letters of minibert's shapes.
    share: with a loop around, as ALBERT runs one block again and again. Vaswani et al. 2017, section 3.1.
    """
    sheet = _Sheet()
    x, width, middle = 0.45, 1.75, 0.45 + 1.75 / 2
    attention_colour, feed_colour, norm_colour = SKY, ORANGE, "#E3E3E3"
    parts = {  # y of the upper edge, height
        "add & norm ": (0.72, 0.34, norm_colour),
        "feed-forward": (1.42, 0.5, feed_colour),
        "add & norm": (2.42, 0.34, norm_colour),
        "multi-head\nattention": (3.12, 0.58, attention_colour),
    }
    for name, (y, height, colour) in parts.items():
        sheet.box(x, y, width, height, name.strip(), colour, size=11)
    shape = "(B, S, D)"
    stops = [4.36, 3.7, 3.12, 2.76, 2.42, 1.92, 1.42, 1.06, 0.72, 0.3]
    for start, end in zip(stops[::2], stops[1::2], strict=True):
        sheet.arrow((middle, start), (middle, end))
    for y in (3.98, 2.12, 0.61):
        sheet.text(middle + 0.08, y, shape, ha="left")
    sheet.text(middle, 4.46, "from the block below", 10, color="#606060")
    sheet.text(middle, 0.2, "to the block above", 10, color="#606060")
    for start, end in ((4.08, 2.59), (2.22, 0.89)):  # residuals
        sheet.arrow((middle, start), (x - 0.2, start), (x - 0.2, end), (x, end))
        sheet.text(x - 0.3, (start + end) / 2, "residual", 9, turned=90, color="#606060")
    if share:
        out = x - 0.62
        sheet.arrow((middle, 0.49), (out, 0.49), (out, 4.24), (middle, 4.24), colour=VERMILION, linewidth=2)
        sheet.text(out - 0.12, 2.3, "L times, with the same weights", 10, turned=90, color=VERMILION)

    left, right = 2.75, 9.0
    for name, (top, bottom), colour in (("feed-forward", (0.55, 1.95), feed_colour),
                                        ("multi-head\nattention", (2.3, 4.45), attention_colour)):  # fmt: skip
        y, height, _ = parts[name]
        for edge, corner in ((y, top), (y + height, bottom)):
            sheet.arrow((x + width, edge), (left, corner), colour=GREY, head=False, linestyle=(0, (3, 2)))
        sheet.box(left, top, right - left, bottom - top, colour=_pale(colour, 0.18), edge=GREY)
    sheet.text(left + 0.12, 0.73, "feed-forward: each token by itself", ha="left", weight="bold")
    sheet.text(left + 0.12, 2.48, "attention: the tokens look at each other", ha="left", weight="bold")

    def way(y: float, start: float, end: float, shape: str = "") -> None:
        sheet.arrow((start, y), (end, y))
        sheet.text((start + end) / 2, y - 0.05, shape, va="bottom")

    sheet.text(3.2, 1.3, shape)
    for start, wide, end, name, after in (
        (3.85, 0.8, 5.5, "linear\nD → F", "(B, S, F)"),
        (5.5, 0.7, 7.05, "GELU", "(B, S, F)"),
        (7.05, 0.8, 8.15, "linear\nF → D", ""),
    ):
        sheet.box(start, 1.05, wide, 0.5, name)
        way(1.3, start + wide, end, after)
    way(1.3, 3.56, 3.85)
    sheet.text(8.5, 1.3, shape)

    sheet.text(3.2, 3.42, shape)
    for name, y in (("q", 2.92), ("k", 3.42), ("v", 3.92)):
        sheet.arrow((3.56, 3.42), (3.85, y))
        sheet.box(3.85, y - 0.16, 0.9, 0.32, f"{name}: D → D")
        way(y, 4.75, 5.7, "(B, H, S, K)")
    sheet.box(5.7, 2.76, 1.5, 0.7, "softmax(q kᵀ / √K)")
    sheet.arrow((6.45, 3.46), (6.45, 3.76))
    sheet.text(6.53, 3.6, "(B, H, S, S)", ha="left")
    sheet.box(5.7, 3.76, 1.5, 0.32, "weights · v")
    way(3.92, 7.2, 8.05, shape)
    sheet.box(8.05, 3.67, 0.8, 0.5, "linear\nD → D")
    sheet.arrow((8.45, 3.67), (8.45, 3.05))
    sheet.text(8.45, 2.93, shape)
    return sheet.finish(title)


# ------------------------------------------------------------------------------------------------ files


def save(figure: Figure, path: str | Path) -> Path:
    """Write a figure as PNG, 150 dots an inch, in full or not at all; returns the path.

    Raises MinibertError when the file cannot be written.
    """
    return write_file(path, _png(figure, FILE_DPI))


def _millions(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}"


def _check_lengths(**lists: Sequence[object] | Mapping[str, object]) -> None:
    lengths = {name: len(values) for name, values in lists.items()}
    if len(set(lengths.values())) > 1 or not all(lengths.values()):
        told = ", ".join(f"{length} {name}" for name, length in lengths.items())
        raise MinibertError(f"a figure needs lists of one length, at least 1: {told}.")


def _width(text: str, size: float, weight: str = "normal") -> float:
    """How wide a text is, in inches; its longest line."""
    font = FontProperties(size=size, weight=weight)
    return max(text_to_path.get_text_width_height_descent(line, font, False)[0] for line in text.split("\n")) / 72


def _ink_on(colour: ColorType) -> str:
    """White or dark, whichever is easier to read on a colour, by the light that it gives."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
    return "white" if np.dot((0.2126, 0.7152, 0.0722), linear) < 0.25 else INK


def _pale(colour: ColorType, share: float = 0.35) -> ColorType:
    """A share of a colour, and the rest white."""
    return tuple(1 - share * (1 - np.array(to_rgb(colour))))


def _tints(values: np.ndarray, low: float | None, high: float | None) -> list[list[ColorType | None]]:
    """A colour for each number: white at 0, blue above, vermilion below; None for −∞."""
    finite = values[np.isfinite(values)]
    low = min(0.0, finite.min(initial=0)) if low is None else low
    high = max(low, finite.max(initial=low)) if high is None else high
    if low > high:
        raise MinibertError(f"the tints cannot run from {low} to {high}: give a low end below the high end.")
    if low < 0:
        low, high = min(low, -high), max(high, -low)
    colours = (VERMILION_TO_BLUE if low < 0 else WHITE_TO_BLUE)(Normalize(low, high if high > low else low + 1)(values))
    return [
        [None if v == -np.inf else c for v, c in zip(*row, strict=True)] for row in zip(values, colours, strict=True)
    ]


def _cells(table: Sequence[Sequence[object]]) -> Iterator[tuple[tuple[int, int], object]]:
    return (((r, c), cell) for r, row in enumerate(table) for c, cell in enumerate(row))


def _numbers(values: ArrayLike, name: str, axes: int) -> np.ndarray:
    """Numbers as an array of so many axes, none of them empty, nor any number NaN; or a MinibertError."""
    try:
        array = np.asarray(values, dtype=float)
    except (TypeError, ValueError, RuntimeError) as error:  # RuntimeError: a tensor with a gradient
        raise MinibertError(f"{name} cannot be read as numbers ({error}): give lists or arrays of numbers.") from error
    if array.ndim != axes or not array.size or np.isnan(array).any():
        raise MinibertError(
            f"{name} have shape {array.shape} or a number is missing: give {axes} axes, not empty, without NaN."
        )
    return array


def _matrix(values: ArrayLike, rows: Sequence[str], columns: Sequence[str], name: str) -> np.ndarray:
    """Numbers (R, C) with R and C labels, or none; no +∞."""
    array = _numbers(values, name, 2)
    if len(rows) not in (0, len(array)) or len(columns) not in (0, array.shape[1]) or (array == np.inf).any():
        raise MinibertError(
            f"{name} has shape {array.shape} for {len(rows)} row and {len(columns)} column labels, or a number is +∞: "
            "give a label for each row and each column, and finite numbers."
        )
    return array


def _written(value: float, digits: int) -> str:
    """A number with so many digits behind the point, a real minus, and no minus before a 0."""
    if value == -np.inf:
        return "−∞"
    return f"{round(float(value), digits) + 0.0:.{digits}f}".replace("-", "−")


def _brief(value: float) -> str:
    """A number from 0 up with about three digits, and all of those before the point."""
    return f"{value:,.0f}" if value >= 1000 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"
