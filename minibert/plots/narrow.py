"""Figures narrow enough for a telephone: bars, attention in small cells, widths in a block, a reader with a writer."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

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
    have one colour. reach: the length of the widest bar, in inches; the figure is narrow, for a telephone.
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
def encoder_decoder(
    read: Sequence[str], written: Sequence[str], title: str = "One side reads, the other writes"
) -> Picture:
    """An encoder that reads a text, and a decoder that writes one, token after token, and looks at what was read.

    read: the tokens of the text that is read. written: the tokens that are written; the decoder reads the same ones,
    one step late, so the last of them is never read. Source: Vaswani et al. 2017, figure 1; Lewis et al. 2020.
    Raises MinibertError when one side has no token.
    """
    if not read or not written:
        raise MinibertError("an encoder and a decoder need tokens: give at least one that is read and one written.")
    sheet, height = Sheet(), 0.3
    late = ["start", *written[:-1]]
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
    sheet.text(wide / 2, 3.36, "every token looks at every other", 11)
    x = (wide - encoder_width) / 2
    for token, width in zip(read, sides, strict=True):
        sheet.arrow((x + width / 2, 3.9), (x + width / 2, 3.6))
        sheet.box(x, 3.9, width, height, token, pale(SKY, 0.2), size=11)
        x += width + 0.06
    for y, told in ((height / 2, "writes"), (2.08 + height / 2, "reads"), (3.9 + height / 2, "reads")):
        sheet.text(-0.1, y, told, 10, ha="right", color="#606060")
    return sheet.finish(title)
