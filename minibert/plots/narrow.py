"""Figures narrow enough for a phone: bars, attention in small cells, widths in a block, a reader with a writer."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from matplotlib.typing import ColorType
from numpy.typing import ArrayLike

from minibert.errors import MinibertError
from minibert.plots.diagrams import STACK_COLOURS
from minibert.plots.sheets import Sheet
from minibert.plots.style import (
    GREEN,
    GREY,
    ORANGE,
    SKY,
    WHITE_TO_BLUE,
    Picture,
    format_number,
    pale,
    read_matrix,
    read_numbers,
    styled,
    text_width,
)


@styled
def bars(
    rows: Mapping[str, float], unit: str, title: str = "Compared", digits: int = 1, marked: Collection[str] = ()
) -> Picture:
    """Bars from 0, one below another, each with its name above it and its number at its end.

    rows: name -> a number of 0 or more. unit: of the numbers, and which direction is better. marked: names of bars in
    another colour.
    Raises MinibertError when there is no bar, a number is negative or not finite, or a marked bar does not exist.
    """
    values = read_numbers(list(rows.values()), "bars", 1)
    if not (values.min() >= 0 and values.max() < float("inf")) or not set(marked) <= rows.keys():
        raise MinibertError("bars need finite numbers of 0 or more, and marked names must be among them: give those.")
    sheet, reach, y = Sheet(), 3.9, 0.0
    for name, value in zip(rows, values, strict=True):
        sheet.text(0, y + 0.12, name, 11, ha="left")
        across = max(reach * value / (values.max() or 1), 0.01)
        sheet.box(0, y + 0.26, across, 0.24, colour=ORANGE if name in marked else SKY, corner=0, edge="none")
        sheet.text(across + 0.1, y + 0.38, format_number(value, digits), 11, ha="left", weight="bold")
        y += 0.62
    sheet.text(0, y + 0.06, unit, 10, ha="left", color="#606060")
    return sheet.finish(title)


@styled
def looks(weights: ArrayLike, rows: Sequence[str], columns: Sequence[str], title: str = "Who looks at whom") -> Picture:
    """Attention weights as shades, from white at 0 to dark at 1, in small cells: who looks (rows) at whom (columns).

    weights: (T, S). rows, columns: T and S tokens. `attention` draws larger cells, and several heads.
    Raises MinibertError when there is not one label for each row and column, or a weight is not from 0 to 1.
    """
    values = read_matrix(weights, rows, columns, "the weights")
    if values.min() < 0 or values.max() > 1.0001:
        raise MinibertError("attention weights are from 0 to 1: give them after the softmax.")
    sheet, side = Sheet(), 0.25
    sheet.matrix(0, 0, WHITE_TO_BLUE(values), None, rows, columns, (side, side))
    return sheet.finish(title)


@styled
def widths(
    models: Mapping[str, Sequence[tuple[str, int]]],
    title: str = "How wide a token's vector is on its way",
    reach: float = 3.1,
) -> Picture:
    """How wide a token's vector is after each step, as bars to one scale, model below model; to be read downwards.

    models: name -> (what was done, features after it), from the first step to the last. Steps that are called alike
    have one colour. reach: the length of the widest bar, in inches; the figure is narrow, for a phone.
    Raises MinibertError when there is no model, a model has no step, or a width is not an integer of 1 or more.
    """
    if not models or not all(len(steps) for steps in models.values()):
        raise MinibertError("a figure of widths needs models: give each model at least one step, (name, features).")
    if not all(type(width) is int and width >= 1 for steps in models.values() for _, width in steps):
        raise MinibertError("a width must be an integer of 1 or more: give each step its number of features.")
    names = list(dict.fromkeys(name for steps in models.values() for name, _ in steps))
    colours = {name: pale(STACK_COLOURS[at % len(STACK_COLOURS)], 0.75) for at, name in enumerate(names)}
    scale = reach / max(width for steps in models.values() for _, width in steps)
    aside = max(text_width(name, 11) for name in names) + 0.2
    sheet, y, height = Sheet(), 0.0, 0.21
    for model, steps in models.items():
        sheet.text(-aside, y, model, 12, ha="left", va="bottom", weight="bold")
        y += 0.08
        for name, width in steps:
            across = width * scale
            sheet.text(-0.1, y + height / 2, name, 11, ha="right")
            sheet.box((reach - across) / 2, y, across, height, colour=colours[name], corner=0, linewidth=0.6)
            sheet.text(reach + 0.12, y + height / 2, f"{width:,}", 11, ha="left")
            y += height + 0.04
        y += 0.42
    return sheet.finish(title)


@styled
def bottleneck_block(
    outside: int = 512, body: int = 128, inner: int = 512, times: int = 4, title: str = "One block with a bottleneck"
) -> Picture:
    """MobileBERT's block from the bottom to the top; the bars are a token's vectors, with their widths to one scale.

    outside: D, the width between the blocks. body: the width of queries, keys and of what is added up inside, at most
    D / 4. inner: the width in the middle of a feed-forward part, at most D. times: how many such parts there are.
    Source: Sun et al. 2020, figure 1c; queries and keys as in the released weights.
    Raises MinibertError when a number is not an integer of 1 or more, or a width is too large.
    """
    if not all(type(number) is int and number >= 1 for number in (outside, body, inner, times)):
        raise MinibertError("widths and the number of feed-forward parts must be integers of 1 or more.")
    if 4 * body > outside or inner > outside:
        raise MinibertError(
            "a bottleneck is narrow: body must be at most a quarter of outside, and inner at most outside."
        )
    sheet, wide, high = Sheet(), 3.0, 0.26
    scale = wide / outside
    narrow, middle = body * scale, 2.2
    vector, feed, norm = pale(SKY), pale(ORANGE, 0.8), "#E3E3E3"
    own, shared, values = middle - 1.15, middle + 0.35, middle + 1.43  # the three ways into the body

    def bar(x: float, y: float, width: float, name: str, shape: str, colour: ColorType = vector) -> None:
        within = text_width(name, 10) < width - 0.06
        sheet.box(x - width / 2, y, width, high, name if within else "", colour, corner=0)
        told = shape if within else f"{name} {shape}"
        sheet.text(x + width / 2 + 0.06, y + high / 2, told, ha="left")

    y = 0.0
    bar(middle, y, wide, "out", f"(S, {outside})")
    sheet.arrow((middle, y + 0.52), (middle, y + high))
    sheet.box(middle - 0.7, y + 0.52, 1.4, 0.3, "add & norm", norm)
    outer = y + 0.67
    sheet.arrow((middle, y + 1.06), (middle, y + 0.82))
    sheet.box(middle - 0.7, y + 1.06, 1.4, 0.3, f"linear {body} → {outside}")
    sheet.arrow((middle, y + 1.58), (middle, y + 1.36))
    y += 1.58
    bar(middle, y, narrow, "inside", f"(S, {body})")
    top = y + high + 0.08
    y = top
    for _ in range(times):
        bar(middle, y, inner * scale, "feed-forward", "", feed)
        bar(middle, y + 0.32, narrow, "", "", vector)
        y += 0.64
    side = middle + wide / 2 + 0.08
    low = y - 0.06
    sheet.arrow((side - 0.04, top), (side, top), (side, low), (side - 0.04, low), head=False, colour=GREY)
    sheet.text(side + 0.08, (top + y) / 2, f"{times} times:\n{body} → {inner}\n→ {body},\nadd & norm", ha="left")
    sheet.arrow((middle, y + 0.2), (middle, low))
    y += 0.2
    sheet.box(middle - 0.7, y, 1.4, 0.3, "add & norm", norm)
    inner_sum = y + 0.15
    into = values - 0.3
    sheet.arrow((into, y + 0.56), (into, inner_sum), (middle + 0.7, inner_sum))
    y += 0.56
    sheet.box(shared - 0.4, y, values - shared + 0.5, 0.36, "attention", SKY, size=11)
    for x, name in ((shared - 0.16, "q"), (shared + 0.16, "k")):
        sheet.arrow((x, y + 0.72), (x, y + 0.36))
        sheet.text(x - 0.05, y + 0.56, name, ha="right")
    y += 0.72
    bar(own, y, narrow, "narrow", f"(S, {body})")
    bar(shared, y, narrow, "shared", f"(S, {body})")
    sheet.arrow((own, y), (own, inner_sum), (middle - 0.7, inner_sum))
    base = y + 1.22
    for x in (own, shared):
        sheet.arrow((x, base), (x, y + 0.9))
        sheet.box(x - 0.45, y + 0.46, 0.9, 0.44, f"linear\n{outside} → {body}")
        sheet.arrow((x, y + 0.46), (x, y + high))
    sheet.arrow((values, base), (values, y - 0.36))
    sheet.text(values - 0.05, y - 0.16, "v", ha="right")
    bar(middle, base, wide, "x", f"(S, {outside})")
    left = middle - wide / 2 - 0.3
    sheet.arrow((middle - wide / 2, base + high / 2), (left, base + high / 2), (left, outer), (middle - 0.7, outer))
    sheet.text(left - 0.1, (base + outer) / 2, "residual", turned=90, color="#606060")
    sheet.text(middle, base + high + 0.12, "from the block below", color="#606060")
    return sheet.finish(title)


@styled
def encoder_decoder(
    read: Sequence[str],
    written: Sequence[str],
    title: str = "One side reads, the other writes",
    start: str = "start",
) -> Picture:
    """An encoder that reads a text, and a decoder that writes one, token after token, and looks at what was read.

    read: the tokens of the text that is read. written: the tokens that are written; the decoder reads the same ones,
    one step late, so the last of them is never read. start: the token that it reads first.
    Source: Vaswani et al. 2017, figure 1; Lewis et al. 2020.
    Raises MinibertError when one side has no token.
    """
    if not read or not written:
        raise MinibertError("an encoder and a decoder need tokens: give at least one that is read and one written.")
    sheet, height = Sheet(), 0.3
    late = [start, *written[:-1]]
    cells = [
        max(text_width(token, 11, "bold") for token in tokens) + 0.16 for tokens in zip(written, late, strict=True)
    ]
    decoder_width = sum(cells) + 0.06 * (len(cells) - 1)
    sides = [text_width(token, 11) + 0.16 for token in read]
    encoder_width = sum(sides) + 0.06 * (len(sides) - 1)
    wide = max(decoder_width, encoder_width)

    x = (wide - decoder_width) / 2
    for token, before, width in zip(written, late, cells, strict=True):
        middle = x + width / 2
        sheet.box(x, 0, width, height, token, pale(GREEN), size=11, weight="bold")
        sheet.arrow((middle, 0.62), (middle, height))
        sheet.arrow((middle, 2.08), (middle, 1.78))
        sheet.box(x, 2.08, width, height, before, "#F2F2F2", size=11, edge=GREY)
        x += width + 0.06
    sheet.box(0, 0.62, wide, 1.16, colour=pale(ORANGE))
    sheet.text(wide / 2, 0.84, "decoder", 12, weight="bold")
    sheet.text(wide / 2, 1.14, "looks at what was read (cross-attention)", 11)
    sheet.text(wide / 2, 1.47, "and at its own tokens up to here (causal)", 11)

    side = wide + 0.22
    sheet.arrow((wide, 3.2), (side, 3.2), (side, 1.14), (wide, 1.14), linewidth=2)
    sheet.box(0, 2.8, wide, 0.8, colour=pale(SKY))
    sheet.text(wide / 2, 3.04, "encoder", 12, weight="bold")
    sheet.text(wide / 2, 3.36, "every token looks at all tokens", 11)
    x = (wide - encoder_width) / 2
    for token, width in zip(read, sides, strict=True):
        sheet.arrow((x + width / 2, 3.9), (x + width / 2, 3.6))
        sheet.box(x, 3.9, width, height, token, pale(SKY, 0.2), size=11)
        x += width + 0.06
    for y, told in ((height / 2, "writes"), (2.08 + height / 2, "reads"), (3.9 + height / 2, "reads")):
        sheet.text(-0.1, y, told, 10, ha="right", color="#606060")
    return sheet.finish(title)
