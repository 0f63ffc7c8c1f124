"""Drawings: how tensors are split and masked, what a model sees of a text, and how models are built."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike

from minibert.errors import MinibertError
from minibert.plots.sheets import HATCHED, Sheet, wrapped
from minibert.plots.style import (
    BLUE,
    GREEN,
    GREY,
    NARROW,
    ORANGE,
    PURPLE,
    SKY,
    VERMILION,
    Picture,
    check_lengths,
    pale,
    part_colours,
    read_matrix,
    read_numbers,
    styled,
    text_width,
    wrapped_text,
)

HEAD_COLOURS = (BLUE, ORANGE, GREEN, GREY, PURPLE, VERMILION)  # the first ones also differ in grey
STACK_COLOURS = (ORANGE, GREY, PURPLE, SKY, GREEN, VERMILION, BLUE)
ROW_COLOURS = (SKY, GREEN, PURPLE, GREY)


@styled
def head_split(
    x: ArrayLike,
    num_heads: int,
    tokens: Sequence[str],
    wrong: bool = False,
    title: str | None = None,
    name: str = "x",
) -> Picture:
    """How the features of each token are divided among the heads: one matrix above, one small matrix a head below it.

    x: (S, D), only its shape is used. num_heads: H, which must divide D. Cells are labelled token·feature, up to 5
    tokens of 12 features, and have the colour of the head that they belong to. wrong: show what `x.view(H, S, K)`
    gives, without a transpose. name: what is divided, "x" or "q".
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
    cell = (0.42 if features < 10 else 0.46, 0.32) if written else (0.2, 0.2)

    def draw(places: np.ndarray, x: float, y: float, rows: Sequence[str], columns: Sequence[str] = ()) -> float:
        heads = places % features // width
        faces = [[HEAD_COLOURS[head % len(HEAD_COLOURS)] for head in row] for row in heads]
        texts = [[f"{place // features}·{place % features}" for place in row] for row in places]
        return sheet.matrix(x, y, faces, texts if written else None, rows, columns, cell, 10)

    sheet = Sheet()
    tall, own_width = size * cell[1], width * cell[0]
    aside = max(text_width(token, 10) for token in tokens) + 0.3  # of a head, for its names
    named = [f"head {head + 1}:\n(S, K) = ({size}, {width})" for head in range(num_heads)]
    widths = [max(own_width, text_width(name, 10, "bold")) + aside for name in named]
    lines = wrapped(widths, 0.1, NARROW - 0.3)
    across = max(x + widths[at] for line in lines for at, x in line.items())
    start = max(aside, (across - features * cell[0] + aside) / 2)
    top = draw(places, start, 0, [f"{at}  {token}" for at, token in enumerate(tokens)])
    sheet.text(start, top - 0.08, f"{name}: (S, D) = ({size}, {features})", 11, ha="left", va="bottom", weight="bold")
    bottom = tall
    for line in lines:
        y = bottom + (1.12 if line is lines[0] else 0.62)
        for head, x in line.items():
            if line is lines[0]:  # from the middle of its own features to the head
                own = start + (head + 0.5) * own_width
                sheet.arrow((own, tall + 0.06), (x + aside + own_width / 2, y - 0.48), colour="#606060")
            draw(by_head[head], x + aside, y, tokens)
            sheet.text(x + aside, y - 0.06, named[head], 10, ha="left", va="bottom", weight="bold")
        bottom = y + tall
    code = f"{name}.view(H, S, K), without a transpose" if wrong else f"{name}.view(S, H, K).transpose(0, 1)"
    note = "t·f: feature f of token t, from 0 as in the code\ncolour: the head it belongs to"
    taken = "\nEach row of a head is labelled with the token\nthat the head takes it for."
    sheet.text(0, bottom + 0.2, f"{code}\n{note}{taken if wrong else ''}", ha="left", va="top", color="#606060")
    right = "Each head gets its own features of each token"
    mixed = "Without a transpose, features are mixed up"
    return sheet.finish(title if title is not None else mixed if wrong else right)


@styled
def masks(
    panels: Mapping[str, ArrayLike],
    tokens: Sequence[str],
    keys: Sequence[str] | None = None,
    title: str = "Who may look at whom",
) -> Picture:
    """Boolean masks: blue where a token (row) may look at another (column), hatched where it may not.

    They are side by side as long as a telephone has room for them, and then one line under another.

    panels: heading -> (S, T) of booleans, or of 0 and 1. tokens: the S rows. keys: the T columns, by default tokens.
    Raises MinibertError when there is no panel, or a panel is not boolean with one row and one column for each token.
    """
    keys = tokens if keys is None else keys
    check_lengths(panels=panels)
    sheet, side, y = Sheet(), 0.24, 0.0
    every = [read_matrix(given, tokens, keys, heading) for heading, given in panels.items()]
    for heading, mask in zip(panels, every, strict=True):
        if not np.isin(mask, (0, 1)).all():
            raise MinibertError(f"{heading} is not a mask of True and False: give one boolean for each pair of tokens.")
    aside = max([text_width(token, 10) for token in tokens], default=0) + 0.08
    lean = 0.35 if sheet.turned(keys, side) else 0.0  # the last column's name reaches beyond it
    widths = [
        max(mask.shape[1] * side + lean, text_width(heading, 11, "bold"))
        for heading, mask in zip(panels, every, strict=True)
    ]
    headings = list(panels)
    for line, xs in enumerate(wrapped(widths, 0.3, NARROW - 0.24 - aside)):
        y += sheet.head_room(keys, side) + 0.6 if line else 0.0
        for at, x in xs.items():
            faces = [[BLUE if seen else None for seen in row] for row in every[at]]
            top = sheet.matrix(x, y, faces, None, () if x else tokens, keys, (side, side))
            sheet.text(x, top - 0.1, headings[at], 11, ha="left", va="bottom", weight="bold")
        y += len(every[0]) * side
    meanings = {"the row's token may look at the column's": {"colour": BLUE, "corner": 0}, "may not": HATCHED}
    sheet.legend(-aside, y + 0.2, meanings, NARROW - 0.3 - aside)
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
    counts = [f"{int(length)} {unit}" for length in lengths]
    beside = max(text_width(name, 10) for name in names) + max(text_width(count, 10) for count in counts) + 0.45
    cell = (min(0.3, max(NARROW - beside, 1.5) / longest), 0.26)
    sheet = Sheet()
    sheet.matrix(
        0, 0, [[SKY] * int(length) + [None] * (longest - int(length)) for length in lengths], None, names, (), cell
    )
    for row, count in enumerate(counts):
        sheet.text(longest * cell[0] + 0.1, (row + 0.5) * cell[1], count, ha="left")
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
    for line, places in enumerate(wrapped(widths, 0.24, 8.8)):
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
    headings, height = ("the text", "is seen as", "to guess"), 0.3
    beside = 0.12 + max(text_width(heading, 10) for heading in headings)
    sheet = Sheet()
    for line, places in enumerate(wrapped(widths, 0.06, NARROW - 0.24 - beside)):
        y = 1.34 * line
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
    used = {text: look for text, look in looks.items() if text in fates}
    sheet.legend(-beside, y + 1.24, used, NARROW - 0.24 - beside)
    return sheet.finish(title)


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
    """Models side by side as columns of named parts, the first part lowest; all parts are equally high.

    models: name -> its parts from the bottom to the top. Parts whose names begin alike, up to a number, a bracket or a
    colon, have the same colour. Consecutive equal names are one part that is applied again: outlined, with a brace.
    Raises MinibertError when there is no model, or a model has no parts.
    """
    if not models or not all(len(parts) for parts in models.values()):
        raise MinibertError("a figure of stacks needs models: give each model at least one part.")
    kinds = list(dict.fromkeys(_kind(part) for parts in models.values() for part in parts))
    colours = part_colours(kinds)
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
                low, high, out = y - 0.06, y - times * step, x + width + 0.08
                sheet.brace(out, low, high)
                told = f"the same {_kind(part)},\n{times} times"
                sheet.text(out + 0.3, (low + high) / 2, told, 11, ha="left")
                again = 0.38 + text_width(told, 11)
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
    notes: Mapping[str, str] | None = None,
) -> Picture:
    """The path through a course: a box for each lesson, row by row, and an arrow from each to the next.

    rows: lessons as (number, title). row_titles: the subject of each row. here: the number of a lesson to mark.
    notes: number -> a word or two, next to the number.
    Raises MinibertError when a row is empty, there is not one title for each row, or no lesson has the number to mark.
    """
    if not rows or not all(len(row) for row in rows) or len(row_titles) not in (0, len(rows)):
        raise MinibertError("a map needs rows of lessons, none of them empty: give all rows a title, or none.")
    if here is not None and here not in {number for row in rows for number, _ in row}:
        raise MinibertError(f"no lesson on the map has the number {here}: give a number of the map.")
    gap, below, most = 0.22, 0.58 if row_titles else 0.32, max(map(len, rows))
    width = max(1.06, round((NARROW - 0.24 - (most - 1) * gap) / max(most, 4), 2))
    set_titles = {name: wrapped_text(name, 10, width - 0.1) for row in rows for _, name in row}
    sheet = Sheet()
    height = 0.46 + 0.17 * max(1 + name.count("\n") for name in set_titles.values())
    for r, row in enumerate(rows):
        y = r * (height + below)
        if row_titles:
            sheet.text(0, y - 0.06, row_titles[r], 10, ha="left", va="bottom", color="#606060")
        for c, (number, name) in enumerate(row):
            x = c * (width + gap)
            look = {"colour": pale(ROW_COLOURS[r % len(ROW_COLOURS)])}
            sheet.box(x, y, width, height, **({"colour": ORANGE, "linewidth": 2.5} if number == here else look))
            sheet.text(x + 0.07, y + 0.21, number, 12, ha="left", weight="bold")
            sheet.text(x + 0.07, y + 0.38, set_titles[name], 10, ha="left", va="top")
            if notes and number in notes:
                sheet.text(x + width - 0.07, y + 0.21, notes[number], 10, ha="right")
            if c:
                sheet.arrow((x - gap, y + height / 2), (x, y + height / 2))
        if r + 1 < len(rows):  # from the end of this row to the start of the next
            down, turn = y + height, y + height + 0.16
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
    x, width, middle = 0.4, 1.4, 0.4 + 1.4 / 2
    attention_colour, feed_colour, norm_colour = SKY, ORANGE, "#E3E3E3"
    parts = {  # y of the upper edge, height
        "add & norm ": (0.85, 0.34, norm_colour),
        "feed-forward": (1.72, 0.6, feed_colour),
        "add & norm": (3.5, 0.34, norm_colour),
        "multi-head\nattention": (4.9, 0.7, attention_colour),
    }
    for name, (y, height, colour) in parts.items():
        sheet.box(x, y, width, height, name.strip(), colour, size=11)
    shape = "(B, S, D)"
    stops = [6.5, 5.6, 4.9, 3.84, 3.5, 2.32, 1.72, 1.19, 0.85, 0.35]
    for start, end in zip(stops[::2], stops[1::2], strict=True):
        sheet.arrow((middle, start), (middle, end))
    for y in (5.83, 2.9, 0.71):
        sheet.text(middle + 0.08, y, shape, ha="left")
    sheet.text(middle, 6.62, "from the block below", 10, color="#606060")
    sheet.text(middle, 0.24, "to the block above", 10, color="#606060")
    for start, end in ((6.1, 3.67), (3.2, 1.02)):  # residuals
        sheet.arrow((middle, start), (x - 0.2, start), (x - 0.2, end), (x, end))
        sheet.text(x - 0.3, (start + end) / 2, "residual", 10, turned=90, color="#606060")
    if share:
        out = x - 0.58
        sheet.arrow((middle, 0.53), (out, 0.53), (out, 6.32), (middle, 6.32), colour=VERMILION, linewidth=2)
        sheet.text(out - 0.12, 3.4, "L times, with the same weights", 10, turned=90, color=VERMILION)

    left, right, centre = 2.25, 5.1, 3.68
    for name, (top, bottom), colour in (("feed-forward", (0.3, 3.4), feed_colour),
                                        ("multi-head\nattention", (3.6, 7.5), attention_colour)):  # fmt: skip
        y, height, _ = parts[name]
        for edge, corner in ((y, top), (y + height, bottom)):
            sheet.arrow((x + width, edge), (left, corner), colour=GREY, head=False, linestyle=(0, (3, 2)))
        sheet.box(left, top, right - left, bottom - top, colour=pale(colour, 0.18), edge=GREY)
    sheet.text(left + 0.12, 0.57, "feed-forward:\neach token by itself", ha="left", weight="bold")
    sheet.text(left + 0.12, 3.87, "attention:\nthe tokens look at each other", ha="left", weight="bold")

    def way(x: float, start: float, end: float, shape: str = "", at: float | None = None) -> None:
        sheet.arrow((x, start), (x, end))
        sheet.text(x + 0.06, (start + end) / 2 if at is None else at, shape, ha="left")

    sheet.text(centre, 0.94, shape)
    for name, top, height, shapes in (
        ("linear\nF → D", 1.26, 0.42, ""),
        ("GELU", 1.98, 0.3, "(B, S, F)"),
        ("linear\nD → F", 2.58, 0.42, "(B, S, F)"),
    ):
        sheet.box(centre - 0.45, top, 0.9, height, name)
        way(centre, top, top - (0.3 if shapes else 0.22), shapes)
    way(centre, 3.18, 3.0)
    sheet.text(centre, 3.27, shape)

    sheet.text(centre, 4.24, shape)
    way(centre, 4.56, 4.34)
    sheet.box(centre - 0.45, 4.56, 0.9, 0.42, "linear\nD → D")
    way(centre, 5.28, 4.98, shape)
    sheet.box(left + 0.1, 5.28, right - left - 0.2, 0.3, "weights · v")
    way(3.25, 5.9, 5.58, "(B, H, S, S)")
    sheet.box(left + 0.1, 5.9, 1.76, 0.32, "softmax(q kᵀ / √K)")
    for name, start, upper in (("q", 2.35, 6.22), ("k", 3.27, 6.22), ("v", 4.19, 5.58)):
        sheet.box(start, 6.56, 0.82, 0.3, f"{name}: D → D")
        way(start + 0.02, 6.56, upper, "(B, H, S, K)", at=6.39)
        sheet.arrow((centre, 7.22), (start + 0.41, 6.86))
    sheet.text(centre, 7.33, shape)
    return sheet.finish(title)
