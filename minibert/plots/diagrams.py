"""Drawings: how tensors are split and masked, what a model sees of a text, and how models are built."""

from __future__ import annotations

import itertools
import re
import textwrap
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike

from minibert.errors import MinibertError
from minibert.plots.sheets import HATCHED, Sheet
from minibert.plots.style import (
    BLUE,
    GREEN,
    GREY,
    INK,
    ORANGE,
    PURPLE,
    SKY,
    VERMILION,
    Picture,
    check_lengths,
    pale,
    read_matrix,
    read_numbers,
    styled,
    text_width,
)

HEAD_COLOURS = (BLUE, ORANGE, GREEN, GREY, PURPLE, VERMILION)  # the first ones also differ in grey
STACK_COLOURS = (ORANGE, GREY, PURPLE, SKY, GREEN, VERMILION, BLUE)
ROW_COLOURS = (SKY, GREEN, PURPLE, GREY)


@styled
def head_split(
    x: ArrayLike, num_heads: int, tokens: Sequence[str], wrong: bool = False, title: str | None = None
) -> Picture:
    """How the features of each token are divided among the heads: one matrix becomes one small matrix for each head.

    x: (S, D), only its shape is used. num_heads: H, which must divide D. Cells are labelled token·feature, up to 5
    tokens of 12 features, and have the colour of the head that they belong to. wrong: show what `x.view(H, S, K)`
    gives, without a transpose.
    Raises MinibertError when x is not (S, D) with one row for each token, or H does not divide D.
    """
    values = read_numbers(x, "the features", 2)
    size, features = values.shape
    if size != len(tokens):
        raise MinibertError(f"x has {size} rows for {len(tokens)} tokens: give one row for each token, (S, D).")
    if num_heads < 1 or features % num_heads:
        raise MinibertError(f"{features} features cannot be divided into {num_heads} heads: give an H that divides D.")
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

    sheet = Sheet()
    apart = 0.36
    tall = num_heads * size * cell[1] + (num_heads - 1) * apart
    across = features * cell[0]
    y = (tall - size * cell[1]) / 2
    top = draw(places, 0, y, [f"{at}  {token}" for at, token in enumerate(tokens)])
    sheet.text(0, top - 0.08, f"x: (S, D) = ({size}, {features})", 11, ha="left", va="bottom", weight="bold")
    aside = max(text_width(token, 10) for token in tokens)
    start = across + aside + 0.75
    for head, own in enumerate(by_head):
        at = head * (size * cell[1] + apart)
        sheet.arrow((across + 0.08, tall / 2), (start - aside - 0.2, at + size * cell[1] / 2), colour="#606060")
        draw(own, start, at, tokens)
        sheet.text(
            start, at - 0.06, f"head {head}: (S, K) = ({size}, {width})", 10, ha="left", va="bottom", weight="bold"
        )
    code = "x.view(H, S, K), without a transpose" if wrong else "x.view(S, H, K).transpose(0, 1)"
    note = "t·f: feature f of token t; its colour shows the head that it belongs to"
    taken = "\nEach row of a head is labelled with the token that the head takes it for."
    sheet.text(0, tall + 0.2, f"{code}\n{note}{taken if wrong else ''}", ha="left", va="top", color="#606060")
    right = "Each head gets its own features of each token"
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

    panels: heading -> (S, T) of booleans, or of 0 and 1. tokens: the S rows. keys: the T columns, by default tokens.
    Raises MinibertError when there is no panel, or a panel is not boolean with one row and one column for each token.
    """
    keys = tokens if keys is None else keys
    check_lengths(panels=panels)
    sheet, x, side = Sheet(), 0.0, 0.32
    for at, (heading, given) in enumerate(panels.items()):
        mask = read_matrix(given, tokens, keys, heading)
        if not np.isin(mask, (0, 1)).all():
            raise MinibertError(f"{heading} is not a mask of True and False: give one boolean for each pair of tokens.")
        faces = [[BLUE if seen else None for seen in row] for row in mask]
        top = sheet.matrix(x, 0, faces, None, () if at else tokens, keys, (side, side))
        sheet.text(x, top - 0.1, heading, 11, ha="left", va="bottom", weight="bold")
        x += max(mask.shape[1] * side + 0.4, text_width(heading, 11, "bold")) + 0.3
    meanings = {"the row's token may look at the column's": {"colour": BLUE, "corner": 0}, "may not": HATCHED}
    sheet.legend(0, len(tokens) * side + 0.2, meanings)
    return sheet.finish(title)


@styled
def padded_batch(
    lengths: Sequence[int], title: str = "A padded batch", names: Sequence[str] | None = None, unit: str = "tokens"
) -> Picture:
    """Texts of different lengths as one rectangle, B rows of the longest: real tokens, padding, and its share.

    lengths: B of them. names: of the rows, by default "text 1", "text 2" and so on. unit: of the lengths.
    Raises MinibertError when there is no text, or a length is not an integer of 1 or more.
    """
    names = [f"text {at}" for at in range(1, len(lengths) + 1)] if names is None else names
    check_lengths(lengths=lengths, names=names)
    if not all(float(length).is_integer() and length >= 1 for length in lengths):
        raise MinibertError("the length of a text must be an integer of 1 or more: give its number of tokens.")
    longest, places = int(max(lengths)), int(max(lengths)) * len(lengths)
    padding = places - int(sum(lengths))
    cell = (min(0.3, 6.6 / longest), 0.26)
    sheet = Sheet()
    sheet.matrix(
        0, 0, [[SKY] * int(length) + [None] * (longest - int(length)) for length in lengths], None, names, (), cell
    )
    for row, length in enumerate(lengths):
        sheet.text(longest * cell[0] + 0.1, (row + 0.5) * cell[1], f"{int(length)} {unit}", ha="left")
    sheet.legend(0, len(lengths) * cell[1] + 0.16, {
        f"real: {places - padding:,}": {"colour": SKY, "corner": 0},
        f"padding: {padding:,} of {places:,} places, {padding / places:.0%}": HATCHED,
    })  # fmt: skip
    return sheet.finish(title)


@styled
def pieces(
    words: Sequence[tuple[str, Sequence[str]]],
    title: str = "Words and the pieces they are made of",
    unknown: str = "[UNK]",
    continues: Callable[[str], bool] | None = None,
) -> Picture:
    """The words of a text with their word pieces in boxes below; long texts continue on the next line.

    words: (word, its pieces). unknown: the piece for what is not in the vocabulary. continues: whether a piece
    continues the word of the piece before it, as the tokenizer says; by default all pieces of a word but the first do.
    Raises MinibertError when there is no word, or a word has no pieces.
    """
    if not words or not all(len(parts) for _, parts in words):
        raise MinibertError("a figure of pieces needs words: give each word at least one piece.")
    looks = {
        "begins a word": {"colour": pale(SKY)},
        "continues it": {"colour": pale(ORANGE, 0.7)},
        "not in the vocabulary": {"colour": VERMILION, "ink": "white", "weight": "bold"},
    }
    begins, carries_on, missing = looks

    def meaning(at: int, piece: str) -> str:
        if piece == unknown:
            return missing
        return carries_on if (continues(piece) if continues else at > 0) else begins

    meanings = [[meaning(at, piece) for at, piece in enumerate(parts)] for _, parts in words]
    sizes = [[text_width(piece, 11) + 0.18 for piece in parts] for _, parts in words]
    widths = [
        max(sum(size) + 0.05 * (len(size) - 1), text_width(word, 11))
        for (word, _), size in zip(words, sizes, strict=True)
    ]
    sheet = Sheet()
    for line, places in enumerate(_wrapped(widths, 0.24, 8.8)):
        y = 0.95 * line
        for at, x in places.items():
            (word, parts), middle = words[at], x + widths[at] / 2
            sheet.text(middle, y, word, 11, va="bottom")
            start = middle - (sum(sizes[at]) + 0.05 * (len(parts) - 1)) / 2
            for piece, width, meant in zip(parts, sizes[at], meanings[at], strict=True):
                sheet.arrow((middle, y + 0.07), (start + width / 2, y + 0.25), colour=GREY, head=False, linewidth=0.9)
                sheet.box(start, y + 0.27, width, 0.3, piece, size=11, **looks[meant])
                start += width + 0.05
    used = set(itertools.chain(*meanings))
    sheet.legend(0, y + 0.78, {text: look for text, look in looks.items() if text in used})
    return sheet.finish(title)


@styled
def masked_text(
    tokens: Sequence[str],
    seen: Sequence[str],
    labels: Sequence[str | None],
    title: str = "What the model sees and what it must guess",
    mask: str = "[MASK]",
) -> Picture:
    """Three rows of boxes, token by token: the text, what the model sees of it, and what it must guess.

    seen: the tokens after masking. labels: the tokens that must be guessed, and "" or None elsewhere. A token that must
    be guessed was hidden (it became `mask`), replaced by another token, or kept.
    Raises MinibertError when the rows are not equally long, a label is not the token at its place, or a token without a
    label has changed.
    """
    check_lengths(tokens=tokens, seen=seen, labels=labels)
    for token, shown, label in zip(tokens, seen, labels, strict=True):
        if token != (label or shown):
            raise MinibertError(
                f"“{token}” is seen as “{shown}” with the label “{label or ''}”: give the token itself as the label "
                "where it was chosen, and do not change it elsewhere."
            )
    looks = {
        f"hidden: {mask}": {"colour": BLUE, "ink": "white", "weight": "bold"},
        "replaced by a random token": {"colour": ORANGE, "weight": "bold"},
        "kept, but must be guessed too": {"colour": "white", "weight": "bold", "edge": GREEN, "linewidth": 2.4},
    }
    hidden, replaced, kept = looks
    plain, nothing = (
        {"colour": "#F2F2F2", "edge": GREY},
        {"colour": "white", "edge": "#DDDDDD", "linestyle": (0, (2, 2))},
    )
    fates = [
        None if not label else hidden if shown == mask else replaced if shown != token else kept
        for token, shown, label in zip(tokens, seen, labels, strict=True)
    ]
    widths = [max(text_width(text, 10, "bold") for text in (a, b)) + 0.14 for a, b in zip(tokens, seen, strict=True)]
    headings, height = ("the text", "what the model sees", "what it must guess"), 0.3
    sheet = Sheet()
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
    """Items of these widths placed in lines, like words: for each line, the index of each item on it -> its x."""
    wrapped: list[dict[int, float]] = [{}]
    x = 0.0
    for at, width in enumerate(widths):
        if wrapped[-1] and x + width > limit:
            wrapped.append({})
            x = 0.0
        wrapped[-1][at] = x
        x += width + gap
    return wrapped


@styled
def layer_map(
    choices: Mapping[str, Sequence[int]],
    depth: int,
    title: str = "Which layers of the teacher the student starts from",
) -> Picture:
    """For each choice, the layers of teacher and student, and arrows from those that are copied; layer 0 is lowest.

    choices: name -> for each layer of the student, the layer of the teacher it is copied from. depth: of the teacher.
    Raises MinibertError when there is no choice, or the teacher has no such layer.
    """
    if not choices or not all(len(layers) for layers in choices.values()):
        raise MinibertError("a map of layers needs choices, each with at least one layer: give lists of layer numbers.")
    if not all(layer in range(depth) for layers in choices.values() for layer in layers):
        raise MinibertError(f"the teacher has no such layer: count its {depth} layers from 0 to {depth - 1}.")
    sheet, step, width, between = Sheet(), 0.3, 0.62, 0.62
    every = max(2 * width + between, *(text_width(name, 11, "bold") for name in choices)) + 0.35
    for at, (name, layers) in enumerate(choices.items()):
        left = at * every
        right = left + width + between
        sheet.text(left + width + between / 2, -0.34, name, 11, va="bottom", weight="bold")
        sheet.text(left + width / 2, -0.06, "teacher", va="bottom", color="#606060")
        sheet.text(right + width / 2, -0.06, "student", va="bottom", color="#606060")
        for layer in range(depth):
            look = {"colour": SKY} if layer in layers else {"edge": GREY, "ink": "#808080"}
            sheet.box(left, (depth - 1 - layer) * step, width, step - 0.06, str(layer), **look)
        lowest = (depth + len(layers)) / 2 * step - step  # the student is at half height
        for own, layer in enumerate(layers):
            y = lowest - own * step
            sheet.box(right, y, width, step - 0.06, str(own), SKY)
            middle = step / 2 - 0.03
            sheet.arrow((left + width, (depth - 1 - layer) * step + middle), (right, y + middle), colour=BLUE)
    return sheet.finish(title)


@styled
def stacks(models: Mapping[str, Sequence[str]], title: str = "The parts of each model") -> Picture:
    """Models side by side as columns of named parts, the first part lowest.

    models: name -> its parts from the bottom to the top. Parts whose names begin alike, up to a number, a bracket or a
    colon, have the same colour. Consecutive equal names are one part that is applied again: outlined, with a loop.
    Raises MinibertError when there is no model, or a model has no parts.
    """
    if not models or not all(len(parts) for parts in models.values()):
        raise MinibertError("a figure of stacks needs models: give each model at least one part.")
    kinds = list(dict.fromkeys(_kind(part) for parts in models.values() for part in parts))
    colours = {kind: pale(colour, 0.7) for kind, colour in zip(kinds, itertools.cycle(STACK_COLOURS), strict=False)}
    sheet, step, x = Sheet(), 0.3, 0.0
    for name, parts in models.items():
        width = max(1.3, *(text_width(part, 10) + 0.24 for part in parts))
        y = 0.0
        again = 0.0
        for part, equal in itertools.groupby(parts):
            times, colour = len(list(equal)), colours[_kind(part)]
            sheet.box(x, y - step, width, step - 0.06, part, colour)
            for copy in range(1, times):
                sheet.box(x, y - (copy + 1) * step, width, step - 0.06, part, "white", edge=colour, linewidth=1.4,
                          linestyle=(0, (3, 2)), ink="#808080")  # fmt: skip
            if times > 1:
                low, high, out = y - step / 2 - 0.03, y - (times - 0.5) * step - 0.03, x + width + 0.2
                sheet.arrow((x + width, high), (out, high), (out, low), (x + width, low), colour=INK)
                told = f"{times} times,\none set of weights"
                sheet.text(out + 0.1, (low + high) / 2, told, ha="left")
                again = 0.35 + max(text_width(line, 10) for line in told.split("\n"))
            y -= times * step
        sheet.text(x + width / 2, 0.08, name, 11, va="top", weight="bold")
        x += width + again + 0.4
    return sheet.finish(title)


def _kind(part: str) -> str:
    """The beginning of a part's name: "block" of "block 3", "embeddings" of "embeddings (V × E)"."""
    return re.split(r"[\d(:]", part)[0].strip() or part


@styled
def course_map(
    rows: Sequence[Sequence[tuple[str, str]]],
    title: str = "The lessons",
    row_titles: Sequence[str] = (),
    here: str | None = None,
) -> Picture:
    """The path through a course: a box for each lesson, row by row, and an arrow from each to the next.

    rows: lessons as (number, title). row_titles: the subject of each row. here: the number of a lesson to mark.
    Raises MinibertError when a row is empty, there is not one title for each row, or no lesson has the number to mark.
    """
    if not rows or not all(len(row) for row in rows) or len(row_titles) not in (0, len(rows)):
        raise MinibertError("a map needs rows of lessons, none of them empty: give all rows a title, or none.")
    if here is not None and here not in {number for row in rows for number, _ in row}:
        raise MinibertError(f"no lesson on the map has the number {here}: give a number of the map.")
    set_titles = {name: textwrap.fill(name, 16) for row in rows for _, name in row}
    sheet, width, gap, below = Sheet(), 1.6, 0.34, 0.42
    height = max(0.66, 0.2 + 0.16 * max(1 + name.count("\n") for name in set_titles.values()))
    for r, row in enumerate(rows):
        y = r * (height + below)
        if row_titles:
            sheet.text(-0.2, y + height / 2, textwrap.fill(row_titles[r], 14), 10, ha="right", color="#606060")
        for c, (number, name) in enumerate(row):
            x = c * (width + gap)
            look = {"colour": pale(ROW_COLOURS[r % len(ROW_COLOURS)])}
            sheet.box(x, y, width, height, **({"colour": ORANGE, "linewidth": 2.5} if number == here else look))
            sheet.text(x + 0.08, y + height / 2, number, 13, ha="left", weight="bold")
            after = 0.14 + text_width(number, 13, "bold")
            sheet.text(x + after, y + height / 2, set_titles[name], 9.5, ha="left")
            if c:
                sheet.arrow((x - gap, y + height / 2), (x, y + height / 2))
        if r + 1 < len(rows):  # from the end of this row to the start of the next
            down, turn = y + height, y + height + below / 2
            sheet.arrow((x + width / 2, down), (x + width / 2, turn), (width / 2, turn), (width / 2, down + below))
    return sheet.finish(title)


@styled
def floors(rows: Sequence[Mapping[str, str]], title: str = "What is built on what") -> Picture:
    """The floors of a building, the lowest last: a row of boxes for each floor, one for each unit, and what it holds.

    rows: from the top floor down, unit -> what it holds. Each floor may use those below it, as the arrow at the side
    shows. Raises MinibertError when there is no floor, or a floor has no unit.
    """
    if not rows or not all(rows):
        raise MinibertError("a figure of floors needs at least one floor, and at least one unit on each.")
    sheet, height, gap = Sheet(), 0.3, 0.07
    named = [max(text_width(unit, 10, "bold") + 0.24 for unit in row) for row in rows]
    wide = max((width + 0.1) * len(row) for width, row in zip(named, rows, strict=True))
    for r, row in enumerate(rows):
        y, colour = r * (height + gap), pale(ROW_COLOURS[r % len(ROW_COLOURS)], 0.45)
        width = wide / len(row) - 0.1
        for c, unit in enumerate(row):
            sheet.box(c * (width + 0.1), y, width, height, unit, colour, weight="bold")
        sheet.text(wide + 0.15, y + height / 2, "; ".join(filter(None, row.values())), 9.5, ha="left")
    sheet.arrow((-0.2, len(rows) * (height + gap) - gap), (-0.2, 0))
    sheet.text(-0.32, len(rows) * (height + gap) / 2, "is used by", 10, turned=90, color="#606060")
    return sheet.finish(title)


@styled
def encoder_block(title: str = "One encoder block", share: bool = False) -> Picture:
    """BERT's block: attention, then feed-forward, each added to its input and then normalised (post-norm).

    On the left the block from the bottom to the top, on the right its two parts with minibert's letters for shapes.
    share: with a loop around it, as ALBERT applies one block repeatedly. Vaswani et al. 2017, section 3.1.
    """
    sheet = Sheet()
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
        sheet.box(left, top, right - left, bottom - top, colour=pale(colour, 0.18), edge=GREY)
    sheet.text(left + 0.12, 0.73, "feed-forward: each token on its own", ha="left", weight="bold")
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
