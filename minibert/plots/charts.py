"""Charts that compare numbers: bars, and the heat map of an attention head."""

from __future__ import annotations

import itertools
import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator
from numpy.typing import ArrayLike

from minibert.errors import MinibertError
from minibert.plots.style import (
    GREY,
    INK,
    LINE_COLOURS,
    NARROW,
    ORANGE,
    SKY,
    VERMILION,
    WHITE_TO_BLUE,
    Picture,
    check_lengths,
    deviation,
    format_number,
    ink_on,
    part_colours,
    read_numbers,
    styled,
    text_width,
    title_panels,
    wrapped_text,
)


@styled
def parameters_by_part(
    counts: Mapping[str, Mapping[str, int]],
    notes: Sequence[str] = (),
    title: str = "Where the parameters are",
) -> Picture:
    """One horizontal bar for each model, from top to bottom, made of its parts, in millions of parameters.

    Names are above the bars, so that the figure can be read on a phone.

    counts: model -> part -> number of parameters. notes: a few words after the total of each bar, one for each model.
    Raises MinibertError when there is no model, a number is negative, or there is not one note for each model.
    """
    notes = notes or [""] * len(counts)
    check_lengths(models=counts, notes=notes)
    parts = list(dict.fromkeys(part for by_part in counts.values() for part in by_part))
    millions = np.array([[by_part.get(part, 0) / 1e6 for part in parts] for by_part in counts.values()])
    if (millions < 0).any():
        raise MinibertError("a number of parameters is negative: give counts of 0 or more.")
    totals = millions.sum(axis=1)
    room = max(totals.max(), 1e-9)

    figure = Picture(figsize=(NARROW, 1.7 + 0.62 * len(counts)), layout="constrained")
    axes = figure.add_subplot()
    rows = range(len(counts))
    for column, (part, colour) in enumerate(part_colours(parts).items()):
        start = millions[:, :column].sum(axis=1)
        axes.barh(rows, millions[:, column], left=start, height=0.46, color=colour, label=part)
        for row, width in enumerate(millions[:, column]):
            if width > 0.1 * room:
                axes.text(
                    start[row] + width / 2, row, _millions(width), ha="center", va="center",
                    fontsize=11, color=ink_on(colour),
                )  # fmt: skip
    named = [f"{name}: {_millions(total)} M" for name, total in zip(counts, totals, strict=True)]
    named = [f"{name}, {note}" if note else name for name, note in zip(named, notes, strict=True)]
    # Above the bars, so that the whole width is for these.
    axes.set_yticks([row - 0.27 for row in rows], named, weight="bold", ha="left", va="bottom")
    axes.tick_params(axis="y", length=0, pad=-4)
    for label in axes.get_yticklabels():
        label.set_in_layout(False)
    axes.spines["left"].set_visible(False)
    axes.set_ylim(len(counts) - 0.6, -0.8)
    axes.set_xlim(0, 1.02 * room)
    axes.set_xlabel("parameters, in millions")
    figure.suptitle(wrapped_text(title, 13, NARROW - 0.2), x=0.01, ha="left", fontsize=13)
    widest = 0.85 + max(text_width(part, 11) for part in parts)  # of the legend's columns, in inches
    figure.legend(loc="outside lower center", ncols=min(len(parts), max(1, int(NARROW / widest))))
    return figure


def _millions(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}"


@styled
def speed(
    groups: Mapping[str, Mapping[str, tuple[float, float, float]]],
    published: Mapping[str, float] | None = None,
    title: str = "How many times as fast",
) -> Picture:
    """One horizontal bar for each comparison: the median ratio of two speeds, with its spread; groups have headings.

    groups: heading -> label -> (median, low, high) of the ratios of paired timings; 1 means equally fast. published:
    the ratio that a paper gives for a whole group, drawn across its bars.
    Raises MinibertError when there is nothing to draw, a median is outside its spread, or a published ratio belongs to
    no group.
    """
    published = published or {}
    bars = [(heading, label, *ratio) for heading, group in groups.items() for label, ratio in group.items()]
    if not bars or not all(groups.values()) or not published.keys() <= groups.keys():
        raise MinibertError(
            "a figure of speeds needs groups that are not empty, and published ratios of these only: give each heading "
            "at least one bar."
        )
    for heading, label, median, low, high in bars:
        if not low <= median <= high:
            raise MinibertError(
                f"{heading}, {label}: the median {median} is not between {low} and {high}: give (median, low, high)."
            )

    rows, headings, at = [], [], 0.0
    for group in groups.values():
        headings.append(at)
        rows += [at + 1 + step for step in range(len(group))]
        at += len(group) + 1.7
    _, labels, medians, lows, highs = zip(*bars, strict=True)
    figure = Picture(figsize=(NARROW, 1.5 + 0.42 * at), layout="constrained")
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
            axes.annotate(f"the paper: {value:.2f}×", (value, row + len(group) + 0.85), ha="center", va="center",
                          color=VERMILION)  # fmt: skip
    axes.set_yticks(rows, labels)
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(at - 0.6, -0.6)
    axes.set_xlim(0, 1.08 * max(1.0, *highs, *published.values()))
    axes.set_xlabel("times as fast: median of paired timings,\nwith the quartiles around it")
    figure.suptitle(wrapped_text(title, 13, NARROW - 0.2), x=0.01, ha="left", fontsize=13)
    return figure


@styled
def ablation(
    panels: Mapping[str, Mapping[str, Sequence[float]]],
    title: str = "What each part changes",
    intervals: Mapping[str, Mapping[str, tuple[float, float]]] | None = None,
    sort: bool = True,
    dots: str = "seeds",
) -> Picture:
    """One horizontal bar for each variant, in one panel for each measure; dots on the bars are seeds.

    panels: a measure, with its unit -> variant -> its value for each seed; bars are means. intervals: measure ->
    variant -> the ends of a 95% interval, for the lines on the bars; without them the lines are one standard deviation.
    sort: list the variants by their mean in the first panel, largest first, and not in the order in which they are
    given. dots: what the dots are, in the plural, where they are not seeds. The names are above the bars, so that the
    figure can be read on a phone.
    Raises MinibertError when there is nothing to draw, the panels do not list the same variants, or an interval is
    missing or does not include its mean.
    """
    first = next(iter(panels.values()), {})
    if not first or not all(map(len, first.values())):
        raise MinibertError("a figure of variants needs a panel with variants: give each variant at least one seed.")
    if any(values.keys() != first.keys() or not all(map(len, values.values())) for values in panels.values()):
        raise MinibertError("the panels do not list the same variants, each with a seed: give all measures of each.")
    labels = sorted(first, key=lambda label: -np.mean(first[label])) if sort else list(first)
    ends = _ends(panels, intervals)

    figure = Picture(figsize=(5.2, 1.7 + 0.5 * len(labels)), layout="constrained")
    every_axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for axes, (measure, values), colour in zip(every_axes, panels.items(), (SKY, ORANGE) * len(panels), strict=False):
        for row, label in enumerate(labels):
            seeds = np.asarray(values[label], dtype=float)
            mean = seeds.mean()
            low, high = ends[measure][label]
            axes.barh(row, mean, height=0.44, color=colour)
            if math.isfinite(low) and math.isfinite(high):  # one seed has no interval
                line = [[max(mean - low, 0)], [max(high - mean, 0)]]
                axes.errorbar(mean, row, xerr=line, fmt="none", ecolor=INK, elinewidth=1.5, capsize=4)
            rows = row + np.linspace(-0.1, 0.1, len(seeds)) if len(seeds) > 1 else [row]
            axes.plot(seeds, rows, "o", markersize=3.5, markerfacecolor="white", markeredgecolor=INK)
        axes.axvline(0, color=INK, linewidth=1, zorder=0)
        axes.margins(x=0.1)
        axes.xaxis.set_major_locator(MaxNLocator(4))
        axes.tick_params(axis="y", length=0, labelleft=False)
        axes.set_xlabel(measure)
        axes.spines["left"].set_visible(False)
    for row, label in enumerate(labels):
        every_axes[0].annotate(
            label, (0, row - 0.26), xycoords=("axes fraction", "data"), va="bottom", annotation_clip=False,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
        ).set_in_layout(False)  # fmt: skip
    every_axes[0].set_zorder(1)  # the names reach into the other panels
    every_axes[0].patch.set_visible(False)
    every_axes[0].set_ylim(len(labels) - 0.6, -0.85)
    figure.suptitle("\n".join(textwrap.wrap(title, 46)), x=0.01, ha="left", fontsize=13)
    lines = f"95% intervals over the {dots}" if intervals else "one standard deviation"
    figure.supxlabel(f"bars: mean of the {dots}; lines: {lines}", fontsize=9)
    return figure


def _ends(
    panels: Mapping[str, Mapping[str, Sequence[float]]],
    intervals: Mapping[str, Mapping[str, tuple[float, float]]] | None,
) -> Mapping[str, Mapping[str, tuple[float, float]]]:
    """The ends of the lines in `ablation`, checked; without intervals, one standard deviation around the means."""
    if intervals is None:
        return {
            measure: {
                label: (np.mean(seeds) - deviation(seeds), np.mean(seeds) + deviation(seeds))
                for label, seeds in values.items()
            }
            for measure, values in panels.items()
        }
    for measure, values in panels.items():
        if measure not in intervals or not values.keys() <= intervals[measure].keys():
            raise MinibertError(f"{measure} needs an interval for each variant: give the two ends of each.")
        for label, seeds in values.items():
            low, high = intervals[measure][label]
            mean = float(np.mean(seeds))
            rounding = 1e-9 * abs(mean)
            if not low - rounding <= mean <= high + rounding:
                raise MinibertError(
                    f"{label}, {measure}: the mean {mean} is not between {low} and {high}: give the ends of its "
                    "interval."
                )
    return intervals


@styled
def distributions(
    panels: Mapping[str, Sequence[float]],
    labels: Sequence[str] | Mapping[str, Sequence[str]],
    title: str = "How the probability is distributed",
    unit: str = "probability",
    digits: int = 2,
) -> Picture:
    """One panel for each distribution: a bar for each label, its number at the end, all panels with the same scale.

    Two panels are side by side, unless the labels are long, and further pairs below them; an odd number of panels are
    one below another. So the figure can be read on a phone.

    panels: heading -> a value for each label, in the order of the labels. labels: of all panels, or heading -> those of
    that panel; then the panels are one below another. unit: the label of the x axis.
    Raises MinibertError when there is no panel, or its values are not one finite number for each label.
    """
    check_lengths(panels=panels)
    every = {heading: read_numbers(values, heading, 1) for heading, values in panels.items()}
    own = labels if isinstance(labels, Mapping) else dict.fromkeys(panels, labels)
    for heading, values in every.items():
        count = len(own.get(heading, ()))
        if len(values) != count or not np.isfinite(values).all():
            raise MinibertError(
                f"{heading} has {len(values)} values for {count} labels: give one finite value for each."
            )
    aside = max(text_width(label, 11) for heading in panels for label in own[heading])
    shared = own is not labels
    columns = 2 if len(panels) % 2 == 0 and aside < 1.6 and shared else 1
    lines = math.ceil(len(panels) / columns)
    tall = max(map(len, every.values()))
    figure = Picture(figsize=(NARROW, 1.1 + lines * (0.45 + 0.27 * tall)), layout="constrained")
    every_axes = figure.subplots(lines, columns, sharex=True, sharey=shared, squeeze=False).ravel()
    for axes in every_axes[len(panels) :]:
        axes.remove()
    every_axes = every_axes[: len(panels)]
    for axes in every_axes[-columns:]:
        axes.tick_params(labelbottom=True)
    across = (NARROW - aside - 0.3) / columns - 0.2
    for axes, (heading, values) in zip(every_axes, every.items(), strict=True):
        _bars(axes, values, [format_number(value, digits) for value in values], SKY)
        axes.set_title(wrapped_text(heading, 11, across, "bold"), fontsize=11, pad=6, weight="bold")
        axes.xaxis.set_major_locator(MaxNLocator(6 // columns))
    _scale_bars(every_axes[0], np.concatenate(list(every.values())), 0.5 / across)
    for axes, heading in zip(every_axes, panels, strict=True):
        _name_bars([axes], own[heading])
    figure.supxlabel(unit, fontsize=11)
    title_panels(figure, title)
    return figure


@styled
def shares(
    measured: Mapping[str, float],
    expected: Mapping[str, float],
    title: str = "Measured and expected",
    unit: str = "share in %",
    digits: int = 1,
) -> Picture:
    """One horizontal bar for each measured share, and a mark across it where it was expected.

    measured, expected: name -> share in the unit of the axis, so 80 for 80%. A share need not have an expectation.
    Raises MinibertError when there is nothing to draw, a share is negative, or one is expected but not measured.
    """
    values = read_numbers(list(measured.values()), "shares", 1)
    if not expected.keys() <= measured.keys():
        raise MinibertError("a share is expected but was not measured: give both the same names.")
    marks = [expected.get(name) for name in measured]
    furthest = np.maximum(values, [mark or 0 for mark in marks])
    if not np.isfinite(furthest).all() or min([*values, *expected.values()]) < 0:
        raise MinibertError("a share is negative or not finite: give shares of 0 or more, in the unit of the axis.")
    figure = Picture(figsize=(NARROW, 1.2 + 0.45 * len(measured)), layout="constrained")
    axes = figure.add_subplot()
    axes.barh(range(len(values)), values, height=0.6, color=SKY)
    for row, (value, mark, end) in enumerate(zip(values, marks, furthest, strict=True)):
        said = axes.annotate(format_number(value, digits), (end, row), (8, 0), textcoords="offset points", va="center",
                             weight="bold")  # fmt: skip
        if mark is not None:
            axes.plot([mark, mark], [row - 0.4, row + 0.4], color=VERMILION, linewidth=3, solid_capstyle="butt")
            axes.annotate(f"expected {mark:g}", (1, 0), (8, 0), xycoords=said, textcoords="offset points", va="bottom",
                          color=VERMILION)  # fmt: skip
    _scale_bars(axes, furthest, 0.55)
    axes.set_xticks([tick for tick in axes.get_xticks() if 0 <= tick <= 1.1 * max(furthest)])
    _name_bars([axes], list(measured))
    axes.set_xlabel(unit)
    figure.suptitle(wrapped_text(title, 13, NARROW - 0.2), x=0.01, ha="left", fontsize=13)
    return figure


@styled
def family(
    rows: Mapping[str, Mapping[str, float]],
    panels: Mapping[str, str],
    title: str = "The family, measured",
) -> Picture:
    """Models as rows, a panel of horizontal bars for each measure; a missing value is marked "not measured".

    rows: model -> measure -> value. panels: measure -> label of its axis, with the unit. Each model has its own colour.
    Raises MinibertError when there is no model or panel, a value is negative or not finite, or a panel has no values.
    """
    if not rows or not panels:
        raise MinibertError("a figure of the family needs models and panels: give at least one of each.")
    table = np.array([[by_measure.get(measure, np.nan) for by_measure in rows.values()] for measure in panels], float)
    if (table < 0).any() or np.isinf(table).any() or np.isnan(table).all(axis=1).any():
        raise MinibertError(
            "a measure has no value, or a value is negative or not finite: give finite values of 0 or more."
        )
    colours = list(itertools.islice(itertools.cycle(LINE_COLOURS), len(rows)))
    figure = Picture(figsize=(NARROW, 0.6 + len(panels) * (0.6 + 0.34 * len(rows))), layout="constrained")
    every_axes = figure.subplots(len(panels), 1, squeeze=False)[:, 0]
    for axes, label, values in zip(every_axes, panels.values(), table, strict=True):
        known = np.isfinite(values)
        _bars(axes, np.where(known, values, 0), [_brief(value) if value == value else "" for value in values], colours)
        for row in np.flatnonzero(~known):
            axes.annotate("not measured", (0, row), (4, 0), textcoords="offset points", va="center", color="#808080",
                          fontsize=10, style="italic")  # fmt: skip
        _scale_bars(axes, values[known], 0.16)
        axes.set_xlabel(label)
        _name_bars([axes], list(rows))
    title_panels(figure, title)
    return figure


class SizeAndSpeed(NamedTuple):
    """A model in `size_and_speed`. speed: how many times as fast as the reference, the median and the quartiles."""

    millions: float
    speed: float
    low: float
    high: float
    note: str = ""


@styled
def size_and_speed(points: Mapping[str, SizeAndSpeed], reference: str, title: str = "Size and speed") -> Picture:
    """Models as points: from left to right their size, from bottom to top their speed, the reference's speed being 1.

    points: model -> its numbers; the note is written under its name. Both axes are logarithmic, so that equal factors
    are equal distances. Raises MinibertError when the reference is not among the models, or a number is not positive.
    """
    if reference not in points or any(min(point[:4]) <= 0 for point in points.values()):
        raise MinibertError("sizes and speeds must be above 0, and the reference must be one of the models.")
    figure = Picture(figsize=(9, 5.6), layout="constrained")
    axes = figure.subplots()
    here = points[reference]
    axes.axhline(here.speed, color=GREY, linewidth=1, zorder=0)
    axes.axvline(here.millions, color=GREY, linewidth=1, zorder=0)
    colours = itertools.cycle(LINE_COLOURS)
    for point, colour in zip(points.values(), colours, strict=False):
        spread = [[point.speed - point.low], [point.high - point.speed]]
        axes.errorbar(point.millions, point.speed, yerr=spread, fmt="o", markersize=9, color=colour, capsize=4)
    axes.set_xscale("log")
    axes.set_yscale("log")
    _label_points(axes, points)
    for axis, unit in ((axes.xaxis, ""), (axes.yaxis, "×")):
        axis.set_major_locator(LogLocator(subs=(1, 1.5, 2, 3, 5, 7)))
        axis.set_minor_locator(NullLocator())
        axis.set_major_formatter(f"{{x:g}}{unit}")
    axes.set_xlabel("parameters, millions (logarithmic)")
    axes.set_ylabel(f"times as fast as {reference} (logarithmic)")
    axes.set_title(title, loc="left")
    return figure


def _label_points(axes: Axes, points: Mapping[str, SizeAndSpeed]) -> None:
    """Write the names and notes of points with logarithmic axes: on the side where the nearest other point is not."""
    places = {name: np.log([point.millions, point.speed]) for name, point in points.items()}
    for name, point in points.items():
        others = [place for other, place in places.items() if other != name]
        nearest = min(others, key=lambda place: np.abs(place - places[name]).sum(), default=places[name])
        left = bool(nearest[0] > places[name][0])
        text = f"{name}\n{point.note}" if point.note else name
        axes.annotate(text, (point.millions, point.speed), (-9 if left else 9, 0), textcoords="offset points",
                      va="center", ha="right" if left else "left", fontsize=9.5)  # fmt: skip
    axes.margins(x=0.28, y=0.12)


def _brief(value: float) -> str:
    """A number of 0 or more with about three digits, and with all digits before the point."""
    return f"{value:,.0f}" if value >= 1000 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _bars(axes: Axes, values: np.ndarray, texts: Sequence[str], colour: str | Sequence[str]) -> None:
    """Horizontal bars from row 0, each with a text at its end."""
    axes.barh(range(len(values)), values, height=0.62, color=colour)
    for row, (value, text) in enumerate(zip(values, texts, strict=True)):
        axes.annotate(text, (value, row), (4 if value >= 0 else -4, 0), textcoords="offset points", va="center",
                      ha="left" if value >= 0 else "right", fontsize=10)  # fmt: skip


def _scale_bars(axes: Axes, values: np.ndarray, room: float) -> None:
    """Set the x axis from 0, or the lowest value, to the highest; room: for the texts at the ends, as a share."""
    low, high = min(0.0, values.min()), max(0.0, values.max())
    span = (high - low) or 1.0
    axes.set_xlim(low - (room * span if low < 0 else 0), high + room * span)


def _name_bars(every_axes: Sequence[Axes], labels: Sequence[str]) -> None:
    """Set the labels at the left of the first panel, row 0 on top, and draw a line at 0 in each panel."""
    every_axes[0].set_yticks(range(len(labels)), labels)
    every_axes[0].set_ylim(len(labels) - 0.4, -0.6)
    for axes in every_axes:
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        axes.axvline(0, color=INK, linewidth=1)


@styled
def attention(
    weights: ArrayLike,
    tokens: Sequence[str],
    outlined: Sequence[tuple[int, int]] = (),
    title: str = "Who looks at whom",
    others: Sequence[str] = (),
    sides: tuple[str, str] = ("this token …", "… looks at"),
) -> Picture:
    """A heat map of one head's attention between the tokens of one text, or from one text to another.

    weights: (S, S), row s says how token s spreads its attention, and sums to 1; or (S, T) with T others. tokens: S of
    them. others: the tokens that are looked at, if they are not the same. outlined: the (row, column) of cells to draw
    a frame around. sides: what the rows and the columns are. Numbers are written into cells of 0.2 and more.
    Raises MinibertError when the weights have another shape, or a row does not sum to 1.
    """
    weights = np.asarray(weights, dtype=float)
    others = others or tokens
    rows, columns = len(tokens), len(others)
    if weights.shape != (rows, columns) or not weights.size:
        count = f"{rows} tokens" if others is tokens else f"{rows} tokens that look at {columns}"
        raise MinibertError(
            f"the weights have shape {weights.shape} but there are {count}: give one head of one text, "
            f"({'S, S' if others is tokens else 'S, T'})."
        )
    if not np.allclose(weights.sum(axis=1), 1, atol=1e-3):
        raise MinibertError("a row of the weights does not sum to 1: give them after the softmax, without padding.")

    aside = 0.75 + max(text_width(token, 10) for token in tokens)
    above = 0.95 + max(text_width(token, 10) for token in others)
    side = np.clip((NARROW - aside - 0.25) / max(rows, columns), 0.26, 0.46)  # of a cell, in inches
    wide = max(NARROW, aside + side * columns + 0.25)
    heading = wrapped_text(title, 13, wide - 0.2)
    tall = above + side * rows + 0.9 + 0.22 * (1 + heading.count("\n"))
    figure = Picture(figsize=(wide, tall), layout="constrained")
    axes = figure.add_subplot()
    image = axes.imshow(weights, cmap=WHITE_TO_BLUE, vmin=0, vmax=1)
    for (row, column), weight in np.ndenumerate(weights):
        if weight >= 0.2:
            axes.text(column, row, f"{weight:.2f}".removeprefix("0"), ha="center", va="center", fontsize=9,
                      color="white" if weight > 0.5 else INK)  # fmt: skip
    for row, column in outlined:
        corner = (column - 0.5, row - 0.5)
        axes.add_patch(Rectangle(corner, 1, 1, fill=False, edgecolor=VERMILION, linewidth=3, zorder=3))
    _label_tokens(axes, tokens, others, sides)
    figure.suptitle(heading, x=0.01, ha="left", fontsize=13)
    bar = figure.colorbar(image, ax=axes, location="bottom", shrink=0.7, aspect=30)
    bar.set_label("attention weight (each row sums to 1)")
    bar.outline.set_visible(False)
    return figure


def _label_tokens(axes: Axes, rows: Sequence[str], columns: Sequence[str], sides: tuple[str, str]) -> None:
    """Write tokens along both sides of a heat map, and draw a thin grid between its cells."""
    down, across = np.arange(len(rows)), np.arange(len(columns))
    axes.set_xticks(across, columns, rotation=60, ha="left", rotation_mode="anchor", fontsize=10)
    axes.set_yticks(down, rows, fontsize=10)
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    axes.set_xticks(across[1:] - 0.5, minor=True)
    axes.set_yticks(down[1:] - 0.5, minor=True)
    axes.grid(which="minor", color="#E6E6E6", linewidth=0.8)
    axes.tick_params(which="minor", length=0)
    axes.spines[:].set_visible(False)
    axes.set_ylabel(sides[0])
    axes.set_xlabel(sides[1])
    axes.xaxis.set_label_position("top")
