"""Curves, named at their ends, and vectors as arrows from the origin."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from minibert.errors import MinibertError
from minibert.plots.style import (
    BLUE,
    GREY,
    INK,
    LINE_COLOURS,
    NARROW,
    VERMILION,
    Picture,
    check_lengths,
    read_numbers,
    styled,
    title_panels,
    wrapped_text,
)

Interval = tuple[float, float, float]  # a number, and the two ends of the interval around it
FURTHEST = 30.0  # percentage points beyond all numbers, where longer intervals are cut off, or they hide the others


@styled
def retention(
    rows: Mapping[str, tuple[Interval, Interval]],
    averages: Collection[str] = (),
    claimed: float = 0.97,
    title: str = "What a student keeps of its teacher",
) -> Picture:
    """What a student keeps of its teacher on each task, with intervals, one task under another.

    rows: task -> two shares with the ends of their intervals: of the teacher's score, and of what the teacher is above
    guessing; 1 is all of it. averages: the rows that sum up the others, set apart. claimed: a share, drawn as a dashed
    line. An interval that reaches much further than all the shares is cut off, with an arrow. The figure is narrow, so
    that it can be read on a telephone.
    Raises MinibertError when there is nothing to draw, or the ends of an interval are the wrong way round.
    """
    if not rows or not set(averages) <= rows.keys():
        raise MinibertError("a figure of retention needs tasks, and averages only of these: give at least one row.")
    for name, pair in rows.items():
        if not all(low <= high for _, low, high in pair):
            raise MinibertError(f"{name}: an interval ends before it begins: give (share, low, high).")
    shares = 100 * np.array(list(rows.values()))  # (rows, 2, 3)
    figure = Picture(figsize=(5.4, 1.5 + 0.62 * len(rows)), layout="constrained")
    axes = figure.add_subplot()
    pieces = np.array([[row - 0.14, row + 0.42, np.nan] for row in range(len(rows))]).ravel()  # below the names only
    axes.plot(np.full(len(pieces), 100), pieces, color=GREY, linewidth=1, zorder=0)
    lowest = min(max(shares.min(), shares[:, :, 0].min() - FURTHEST), 100 * claimed)
    highest = max(min(shares.max(), shares[:, :, 0].max() + FURTHEST), 100)
    axes.plot(np.full(len(pieces), 100 * claimed), pieces, color=INK, linewidth=1, linestyle=(0, (4, 3)), zorder=0)
    for which, (label, colour, marker, shift) in enumerate(
        (("of its score", BLUE, "o", 0.0), ("of its lead over guessing", VERMILION, "D", 0.2))
    ):
        centre, low, high = shares[:, which].T
        heights = np.arange(len(rows)) + shift
        reach = np.maximum([centre - np.maximum(low, lowest), np.minimum(high, highest) - centre], 0)
        axes.errorbar(centre, heights, xerr=reach, fmt=marker, color=colour, markersize=6, capsize=3, label=label)
        for end, arrow, cut in ((lowest, "<", low < lowest), (highest, ">", high > highest)):
            axes.plot(np.full(cut.sum(), end), heights[cut], arrow, color=colour, markersize=8)
    for row, (name, share) in enumerate(zip(rows, shares[:, 0, 0], strict=True)):
        weight = "bold" if name in averages else "normal"
        at = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points", "va": "bottom", "weight": weight}
        axes.annotate(name, (0, row - 0.12), (0, 2), **at)
        axes.annotate(f"{share:.1f}%", (1, row - 0.12), (0, 2), ha="right", **at)
        if name in averages:
            axes.axhspan(row - 0.52, row + 0.42, color=GREY, alpha=0.25, linewidth=0, zorder=-1)
    axes.set_xlim(lowest - 0.04 * (highest - lowest), highest + 0.04 * (highest - lowest))
    axes.set_ylim(len(rows) - 0.5, -0.75)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    goes_on = "; arrow: it goes on" if shares.min() < lowest or shares.max() > highest else ""
    axes.set_xlabel(f"kept of the teacher, in %; dashed: {claimed:.0%}{goes_on}")
    figure.suptitle(title, x=0.01, ha="left", fontsize=13)
    figure.legend(loc="outside lower left", ncols=2, fontsize=10)
    return figure


@styled
def speed_up_by_bandwidth(
    gbits: Sequence[float],
    speed_up: Sequence[float],
    links: Mapping[str, float],
    claimed: float,
    reached: float | None = None,
    title: str = "How many times as fast, for links of different bandwidth",
) -> Picture:
    """How many times as fast several devices train, as a curve over the bandwidth of the links between them.

    gbits, speed_up: the curve, bandwidths in Gbit/s, increasing. links: common links -> Gbit/s, marked on the axis.
    claimed: a speed-up, drawn across. reached: the bandwidth at which the curve meets it, marked if it is finite.
    Raises MinibertError when the lists are not equally long, a number is not above 0, or bandwidths do not increase.
    """
    check_lengths(bandwidths=gbits, ratios=speed_up)
    if min(*gbits, *speed_up) <= 0 or (np.diff(gbits) <= 0).any():
        raise MinibertError("bandwidths must be above 0 and increase, and speed-ups be above 0: give them in order.")

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


@styled
def lines(
    curves: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    xlabel: str,
    ylabel: str,
    title: str = "",
    levels: Mapping[str, float] | None = None,
) -> Picture:
    """Curves, named at their right ends; levels are dashed horizontal lines with names.

    curves: name -> (all x, all y). levels: name -> y.
    Raises MinibertError when there is no curve, or a curve does not have one finite y for each finite x.
    """
    if not curves:
        raise MinibertError("a figure of lines needs a curve: give at least one name with its x and its y.")
    drawn = {name: _curve(name, *points) for name, points in curves.items()}
    figure = Picture(figsize=(NARROW, 3.8), layout="constrained")
    axes = figure.add_subplot()
    _draw_curves(axes, 2.8, drawn, levels or {})
    axes.set_xlabel(xlabel)
    axes.set_ylabel(wrapped_text(ylabel, 11, 3.0))
    figure.suptitle(wrapped_text(title, 13, NARROW - 0.2), x=0.01, ha="left", fontsize=13)
    return figure


@styled
def flow(
    panels: Mapping[str, Mapping[str, Sequence[float]]],
    xlabel: str = "layer",
    title: str = "How much each layer changes its input",
) -> Picture:
    """Panels one under another, one for each measure, each with lines over the layers, which are counted from 1.

    panels: the measure, with its unit -> name of the line -> its value at each layer.
    Raises MinibertError when there is no panel or no line, or values are not finite numbers.
    """
    if not panels or not all(panels.values()):
        raise MinibertError(
            "a figure over layers needs panels, each with a line: give at least one measure with its lines."
        )
    figure = Picture(figsize=(NARROW, 0.6 + 2.7 * len(panels)), layout="constrained")
    for axes, (measure, by_name) in zip(figure.subplots(len(panels), squeeze=False)[:, 0], panels.items(), strict=True):
        drawn = {name: _curve(name, np.arange(1, len(values) + 1), values) for name, values in by_name.items()}
        _draw_curves(axes, 1.9, drawn, marker="o")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_ylim(min(0, axes.get_ylim()[0]))
        axes.set_xlabel(xlabel)
        axes.set_title(measure, fontsize=11, pad=6)
    title_panels(figure, title)
    return figure


@styled
def vectors(
    arrows: Mapping[str, tuple[float, float]],
    title: str = "Vectors and the angles between them",
    angles: Sequence[tuple[str, str]] = (),
) -> Picture:
    """Arrows from the origin, each with its name at its tip, with the same scale on both axes.

    arrows: name -> (x, y). angles: pairs of names whose angle is drawn and written in degrees.
    Raises MinibertError when there is no arrow, an arrow is not two finite numbers or has no length, or an angle names
    an arrow that does not exist.
    """
    tips = read_numbers(list(arrows.values()), "arrows", 2)
    lengths = np.linalg.norm(tips, axis=1)
    if tips.shape[1] != 2 or not np.isfinite(lengths).all() or not lengths.all():
        raise MinibertError("an arrow is not two finite numbers, or both are 0: give x and y of vectors with a length.")
    if not {name for pair in angles for name in pair} <= arrows.keys():
        raise MinibertError(f"an angle names an arrow that does not exist: name two of {', '.join(arrows)}.")

    low, high = np.minimum(tips.min(axis=0), 0), np.maximum(tips.max(axis=0), 0)
    margin = 0.14 * (high - low).max()
    low, high = low - margin, high + margin
    inch = min((NARROW - 0.7) / (high - low)[0], 3.6 / (high - low)[1])
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
        # The narrower the angle, the further out its number fits.
        share = np.clip(0.25 + 5 / max(end - start, 1), 0.28, 0.68) + 0.1 * step
        radius = share * min(np.hypot(*arrows[one]), np.hypot(*arrows[other]))
        axes.plot(radius * np.cos(turn), radius * np.sin(turn), color=INK, linewidth=1)
        middle = np.radians((start + end) / 2)
        axes.annotate(
            f"{end - start:.0f}°", radius * np.array([np.cos(middle), np.sin(middle)]),
            (12 * np.cos(middle), 12 * np.sin(middle)), textcoords="offset points", ha="center", va="center",
            fontsize=10, bbox={"facecolor": "white", "edgecolor": "none", "pad": 1, "alpha": 0.8},
        )  # fmt: skip
    figure.suptitle(wrapped_text(title, 13, figure.get_figwidth() - 0.2), x=0.01, ha="left", fontsize=13)
    return figure


def _curve(name: str, x: ArrayLike, y: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    y, x = read_numbers(y, f"the y of {name}", 1), read_numbers(x, f"the x of {name}", 1)
    if len(x) != len(y) or not np.isfinite([x, y]).all():
        raise MinibertError(f"{name} has {len(x)} x and {len(y)} y, or one is not finite: give a finite y for each x.")
    return x, y


def _draw_curves(
    axes: Axes,
    tall: float,
    curves: Mapping[str, tuple[np.ndarray, np.ndarray]],
    levels: Mapping[str, float] | None = None,
    marker: str = "",
) -> None:
    """Draw curves and dashed levels, all named at the right edge, over a light grid. tall: of the axes, in inches."""
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
    axes.set_ylim(axes.get_ylim())  # the names at the ends must not change the axis
    named = [(y, wrapped_text(name, 11, 1.4), colour) for y, name, colour in ends]
    _label_ends(axes, named, end + 0.03 * span, span / 2.2, 0.19 / tall)


def _label_ends(axes: Axes, ends: Sequence[tuple[float, str, str]], x: float, step: float, line: float) -> None:
    """Write the name of each line to the right of its end; names that would overlap are moved apart.

    ends: (y, name, colour) of each line. x: about where the names begin. step: about half the length of the x axis.
    line: the height of a line of text, as a share of the y axis.
    """
    low, high = axes.get_ylim()
    ordered = sorted(ends)
    places = [y for y, _, _ in ordered]
    tall = [1 + name.count("\n") for _, name, _ in ordered]
    for _ in range(50):  # neighbours push each other away, a little at a time
        for i in range(len(places) - 1):
            apart = line * (high - low) * (tall[i] + tall[i + 1]) / 2
            lacking = apart - (places[i + 1] - places[i])
            if lacking > 0:
                places[i], places[i + 1] = places[i] - lacking / 2, places[i + 1] + lacking / 2
    for (y, name, colour), place in zip(ordered, places, strict=True):
        axes.annotate(
            name, (x - 0.02 * step, y), (x + 0.08 * step, place), va="center", color=colour, annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": colour, "linewidth": 0.8, "shrinkA": 0, "shrinkB": 0},
        )  # fmt: skip
