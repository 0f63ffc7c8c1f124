"""Every figure of the package: plain data in, a matplotlib Figure out; ``save`` makes it a PNG.

Nothing here knows a model or a claim. All figures share one look: colours that colour-blind readers can tell apart
(Okabe & Ito 2008), labels beside the thing they name, units on every axis, and the same bytes for the same data.
"""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import ArrayLike

from minibert.errors import MinibertError

BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9"
GREY, INK = "#B4B4B4", "#222222"
LINE_COLOURS = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY)
COLOURS = (ORANGE, BLUE, GREY, GREEN, PURPLE, SKY, VERMILION)
WHITE_TO_BLUE = LinearSegmentedColormap.from_list("white to blue", ["#FFFFFF", SKY, BLUE, "#00314D"])

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
}
styled = matplotlib.rc_context(STYLE)


@styled
def parameters_by_part(
    counts: Mapping[str, Mapping[str, int]],
    notes: Sequence[str] = (),
    title: str = "Where the parameters sit",
) -> Figure:
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

    figure = Figure(figsize=(9, 1.6 + 0.48 * len(counts)), layout="constrained")
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
) -> Figure:
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
    figure = Figure(figsize=(9, 1.2 + 0.42 * at), layout="constrained")
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
) -> Figure:
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

    figure = Figure(figsize=(9, 5.2), layout="constrained")
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


def _label_ends(axes: Axes, ends: Sequence[tuple[float, str, str]], x: float) -> None:
    """Write each line's name to the right of where it ends: (y, name, colour), moved apart where they would overlap."""
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
            name, (x - 0.02, y), (x + 0.08, place), va="center", color=colour, annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": colour, "linewidth": 0.8, "shrinkA": 0, "shrinkB": 0},
        )  # fmt: skip


@styled
def ablation(panels: Mapping[str, Mapping[str, Sequence[float]]], title: str = "What each part changes") -> Figure:
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

    figure = Figure(figsize=(9, 1.9 + 0.5 * len(labels)), layout="constrained")
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
) -> Figure:
    """How many times as fast several devices train, as a curve over the bandwidth of the links between them.

    gbits, speed_up: the curve, bandwidths in Gbit/s, growing. links: common links -> Gbit/s, marked on the axis.
    claimed: a speed-up, drawn across. reached: the bandwidth at which the curve meets it, marked if it is finite.
    Raises MinibertError when the two lists are not equally long, a number is not above 0, or bandwidths do not grow.
    """
    _check_lengths(bandwidths=gbits, ratios=speed_up)
    if min(*gbits, *speed_up) <= 0 or (np.diff(gbits) <= 0).any():
        raise MinibertError("bandwidths must grow from above 0, and speed-ups be above 0: give them in order.")

    figure = Figure(figsize=(9, 5.2), layout="constrained")
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
) -> Figure:
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
    figure = Figure(figsize=(side + 1.2, side), layout="constrained")
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


# ------------------------------------------------------------------------------------------------ files


def save(figure: Figure, path: str | Path) -> Path:
    """Write a figure as PNG, 150 dots an inch, in full or not at all; returns the path.

    Raises MinibertError when the file cannot be written.
    """
    path = Path(path)
    picture = io.BytesIO()
    with matplotlib.rc_context(STYLE):
        figure.savefig(picture, format="png", dpi=150, metadata={"Software": None})  # no version, no date
    part = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, part = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "wb") as file:
            file.write(picture.getvalue())
        os.chmod(part, 0o644)  # mkstemp makes it private
        os.replace(part, path)
    except OSError as error:
        if part:
            Path(part).unlink(missing_ok=True)
        raise MinibertError(f"the figure {path} cannot be written ({error.strerror}): choose another path.") from error
    return path


def _millions(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}"


def _check_lengths(**lists: Sequence[object] | Mapping[str, object]) -> None:
    lengths = {name: len(values) for name, values in lists.items()}
    if len(set(lengths.values())) > 1 or not all(lengths.values()):
        told = ", ".join(f"{length} {name}" for name, length in lengths.items())
        raise MinibertError(f"a figure needs lists of one length, at least 1: {told}.")
