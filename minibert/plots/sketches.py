"""Drawings for a narrow page: a text cut in several ways, parts with heights to scale, and what a model answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from minibert.errors import MinibertError
from minibert.plots.sheets import Sheet, wrapped
from minibert.plots.style import (
    BLUE,
    GREEN,
    GREY,
    NARROW,
    ORANGE,
    SKY,
    VERMILION,
    Picture,
    check_lengths,
    format_number,
    pale,
    part_colours,
    read_numbers,
    styled,
    text_width,
    wrapped_text,
)


@styled
def cuts(
    ways: Mapping[str, Sequence[tuple[str, bool | None]]], title: str = "One text, cut in several ways"
) -> Picture:
    """The same text as several tokenizers cut it, one below the other; a piece that continues a word touches the last.

    ways: heading -> for each piece, its text and whether it continues the word of the piece before it; None for a
    punctuation mark, which is grey and stands alone.
    Raises MinibertError when there is no way, or a way has no pieces.
    """
    if not ways or not all(len(pieces) for pieces in ways.values()):
        raise MinibertError("a figure of cuts needs tokenizers: give each one at least one piece.")
    looks = {
        False: {"colour": pale(SKY)},
        True: {"colour": pale(ORANGE, 0.7)},
        None: {"colour": "#F2F2F2", "edge": GREY},
    }
    names = {False: "begins a word", True: "continues it", None: "punctuation"}
    sheet, y = Sheet(), 0.0
    for heading, pieces in ways.items():
        sheet.text(0, y, heading, 11, ha="left", va="bottom", weight="bold")
        y, x = y + 0.08, 0.0
        for piece, continues in pieces:
            wide = text_width(piece, 11) + 0.14
            x += 0.0 if x == 0 else 0.02 if continues else 0.12
            if x + wide > NARROW - 0.24:
                x, y = 0.0, y + 0.38
            sheet.box(x, y, wide, 0.3, piece, size=11, **looks[continues])
            x += wide
        y += 0.74
    kinds = {continues for pieces in ways.values() for _, continues in pieces}
    sheet.legend(0, y - 0.32, {names[kind]: looks[kind] for kind in names if kind is not None or kind in kinds})
    return sheet.finish(title)


class Part(NamedTuple):
    """A part of a model: what it is called, how large it is, and how many there are, one above the other."""

    name: str
    size: float
    times: int = 1


@styled
def to_scale(
    models: Mapping[str, Sequence[Part]], title: str = "Parts with heights to scale", tall: float = 5.4
) -> Picture:
    """Models as columns whose parts are as high as they are large, all to the same scale; the first part lowest.

    models: name -> its parts from the bottom to the top, with sizes in millions. Parts that are called alike have one
    colour. tall: the height of the largest model, in inches.
    Raises MinibertError when there is no model, or a part is not larger than 0.
    """
    if not models or not all(len(parts) for parts in models.values()):
        raise MinibertError("a figure to scale needs models: give each model at least one part.")
    if not all(part.size > 0 and part.times >= 1 for parts in models.values() for part in parts):
        raise MinibertError("a part has no size: give each part a size above 0, and how many there are.")
    scale = tall / max(sum(part.size * part.times for part in parts) for parts in models.values())
    names = list(dict.fromkeys(part.name for parts in models.values() for part in parts))
    colours = part_colours(names)
    sheet, x, width, line = Sheet(), 0.0, 0.56, 0.2
    for model, parts in models.items():
        y, told = 0.0, []
        for part in parts:
            middle = y - part.size * part.times * scale / 2
            for _ in range(part.times):
                y -= part.size * scale
                look = {"edge": "white", "linewidth": min(0.7, 20 * part.size * scale)}  # thin around thin parts
                sheet.box(x, y, width, part.size * scale, colour=colours[part.name], corner=0, **look)
            many = f"{part.times} {part.name}s, {part.size:.2f} M each" if part.times > 1 else ""
            told.append((middle, many or f"{part.name}: {part.size:.2f} M"))
        places = [at for at, _ in told]
        for _ in range(50):  # labels that would overlap push each other away
            for low, high in zip(range(len(places) - 1), range(1, len(places)), strict=True):
                lacking = line - (places[low] - places[high])
                if lacking > 0:
                    places[low], places[high] = places[low] + lacking / 2, places[high] - lacking / 2
        for (at, text), place in zip(told, places, strict=True):
            sheet.arrow((x + width, at), (x + width + 0.14, place), colour=GREY, head=False, linewidth=0.9)
            sheet.text(x + width + 0.18, place, text, 11, ha="left")
        sheet.text(x, 0.1, model, 12, ha="left", va="top", weight="bold")
        x += width + 0.24 + max(text_width(text, 11) for _, text in told)
    return sheet.finish(title)


class Layer(NamedTuple):
    """A layer of a head. fresh: whether its weights are new, and not those of the checkpoint."""

    name: str
    fresh: bool = True


class Headed(NamedTuple):
    """A head on a model. layers: from the lowest to the highest. tokens: each token of a text, and what the head says
    there: "" where it says nothing, None for a token whose vector it does not read."""

    layers: Sequence[Layer]
    tokens: Sequence[tuple[str, str | None]]


@styled
def answers(tasks: Mapping[str, Headed], title: str = "What a head answers", model: str = "BERT") -> Picture:
    """Tasks one below the other, each from its tokens upwards: the model, its vectors, the head, and what it answers.

    tasks: heading -> the head and the text. Layers have the colour of fresh or of pre-trained weights; the vectors that
    a head reads are marked.
    Raises MinibertError when there is no task, a head has no layer, or it reads no vector.
    """
    if not tasks or not all(
        task.layers and any(said is not None for _, said in task.tokens) for task in tasks.values()
    ):
        raise MinibertError(
            "a figure of answers needs tasks: give each task a layer, and a token whose vector is read."
        )
    looks = {
        "pre-trained weights": {"colour": pale(SKY)},
        "fresh weights, random at first": {"colour": pale(ORANGE, 0.7)},
        "vector that the head reads": {"colour": BLUE},
        "vector that it does not read": {"colour": "white", "edge": GREY, "linestyle": (0, (2, 2))},
    }
    trained, fresh, read, unread = looks.values()
    sheet, y, size = Sheet(), 0.0, 11
    for heading, (layers, tokens) in tasks.items():
        sheet.text(0, y, heading, size, ha="left", va="bottom", weight="bold")
        widths = [max(text_width(token, size), text_width(said or "", size, "bold")) + 0.16 for token, said in tokens]
        starts = [sum(widths[:at]) + 0.06 * at for at in range(len(widths))]
        reads = [at for at, (_, said) in enumerate(tokens) if said is not None]
        left, right = starts[reads[0]], starts[reads[-1]] + widths[reads[-1]]
        right = max(right, left + max(text_width(layer.name, size) for layer in layers) + 0.2)
        head = y + 0.62 + 0.36 * len(layers)  # the lower edge of the head
        for above, layer in enumerate(layers, 1):
            sheet.box(left, head - 0.36 * above, right - left, 0.3, layer.name, size=size,
                      **(fresh if layer.fresh else trained))  # fmt: skip
        bottom = head - 0.06
        wide = starts[-1] + widths[-1]
        sheet.box(0, bottom + 0.74, wide, 0.3, model, size=size, **trained)
        for (token, said), x, width in zip(tokens, starts, widths, strict=True):
            middle = x + width / 2
            sheet.arrow((middle, bottom + 1.26), (middle, bottom + 1.04), colour="#606060")
            sheet.box(x, bottom + 1.26, width, 0.3, token, "#F2F2F2", size=size, edge=GREY)
            sheet.arrow((middle, bottom + 0.74), (middle, bottom + 0.54), colour="#606060")
            sheet.box(middle - 0.15, bottom + 0.36, 0.3, 0.18, **(unread if said is None else read))
            if said is not None:
                sheet.arrow((middle, bottom + 0.36), (middle, bottom), colour="#606060")
            if said:
                sheet.arrow((middle, y + 0.62), (middle, y + 0.4), colour="#606060")
                sheet.text(middle, y + 0.26, said, size, weight="bold")
        y = bottom + 2.06
    sheet.legend(0, y - 0.36, looks, NARROW - 0.24)
    return sheet.finish(title)


@styled
def through_a_model(
    text: str,
    tokens: Sequence[str],
    ids: Sequence[int],
    vectors: tuple[ArrayLike, ArrayLike],
    guesses: Mapping[str, float],
    blocks: int,
    asked: int,
    title: str = "What a model does with a text",
) -> Picture:
    """A text on its way through a model, to be read downwards: pieces, ids, vectors, blocks, and the words it guesses.

    tokens, ids: S of each. vectors: (S, D) before the first block, and (S, D) after the last; of each token the first
    three numbers are written. guesses: word -> its probability, the likeliest first. blocks: how many. asked: which
    token is masked, from 0.
    Raises MinibertError when there is not one id and one vector of at least three numbers for each token, there is no
    guess, a probability is not from 0 to 1, there is no block, or `asked` is none of the tokens.
    """
    check_lengths(tokens=tokens, ids=ids)
    before, after = (read_numbers(rows, "the vectors", 2) for rows in vectors)
    if len(before) != len(tokens) or before.shape != after.shape or before.shape[1] < 3:
        raise MinibertError("a token lacks its vectors: give one before and one after for each, of 3 numbers or more.")
    if not guesses or not all(0 <= share <= 1 for share in guesses.values()):
        raise MinibertError("a figure of a guess needs words with probabilities: give at least one, from 0 to 1.")
    if blocks < 1 or not 0 <= asked < len(tokens):
        raise MinibertError("the blocks must be 1 or more, and the masked token one of the tokens: give such numbers.")
    sheet, y, gap, told = Sheet(), 0.0, 0.05, "#606060"
    written = [[format_number(value, 2) for value in row[:3]] for row in (*before, *after)]
    number = max(text_width(text, 9) for row in written for text in row) + 0.06
    widths = [max(text_width(token, 10) + 0.1, number) for token in tokens]
    wide = sum(widths) + gap * (len(tokens) - 1)
    left = [sum(widths[:at]) + gap * at for at in range(len(tokens))]

    def label(words: str, start: float = 0.0) -> None:
        """Between two steps: an arrow down, and what the next step is."""
        nonlocal y
        sheet.arrow((start + 0.1, y), (start + 0.1, y + 0.32), colour=told)
        sheet.text(start + 0.24, y + 0.15, words, 10, ha="left", color=told)
        y += 0.36

    def boxes(texts: Sequence[str], size: float) -> None:
        """A row with one text for each token."""
        nonlocal y
        for at, (x, width) in enumerate(zip(left, widths, strict=True)):
            sheet.box(x, y, width, 0.3, texts[at], pale(ORANGE, 0.7) if at == asked else "#F2F2F2", size, edge=GREY)
        y += 0.34

    def columns(rows: np.ndarray) -> None:
        """A row with the first numbers of each token's vector."""
        nonlocal y
        for at, (x, width) in enumerate(zip(left, widths, strict=True)):
            colour = pale(ORANGE, 0.7) if at == asked else pale(SKY, 0.2)
            sheet.box(x, y, width, 0.78, colour=colour, edge=GREY)
            for line, value in enumerate([*(format_number(value, 2) for value in rows[at][:3]), "…"]):
                sheet.text(x + width / 2, y + 0.12 + 0.18 * line, value, 9)
        y += 0.82

    sheet.text(0, y + 0.12, text, 12, ha="left", weight="bold")
    y += 0.28
    label("cut into pieces; two special tokens around them")
    boxes(tokens, 10)
    label("each piece has a number in the vocabulary, its id")
    boxes([str(number) for number in ids], 9)
    label(f"a vector for each token: {before.shape[1]} numbers")
    columns(before)
    label("every token looks at all tokens, in each block")
    for block in range(blocks):
        sheet.box(0, y, wide, 0.24, f"block {block + 1}", pale(BLUE, 0.35 + 0.3 * block / blocks))
        y += 0.27
    y += 0.01
    label("the same tokens, with vectors that depend on the sentence")
    columns(after)
    label("a probability for each piece", left[asked] + widths[asked] / 2 - 0.1)
    names = max(text_width(word, 11, "bold") for word in guesses) + 0.1
    reach = max(wide - names - 0.6, 1.0) / max(*guesses.values(), 0.01)
    for word, share in guesses.items():
        sheet.text(0, y + 0.12, word, 11, ha="left", weight="bold")
        sheet.box(names, y, max(reach * share, 0.01), 0.24, colour=ORANGE, corner=0, edge="none")
        sheet.text(names + reach * share + 0.08, y + 0.12, f"{share:.0%}", 11, ha="left")
        y += 0.29
    return sheet.finish(title)


class Mark(NamedTuple):
    """A word of a text that is marked. shown: as it is written. widest: the widest form that could stand here."""

    shown: str
    kind: str = ""  # "right", "missed", "wrong", "asked", or "" for a word that is not marked
    widest: str = ""


@styled
def marked(
    texts: Mapping[str, Sequence[Mark]], kinds: Mapping[str, str], title: str = "What the model made of a text"
) -> Picture:
    """Running texts, in which some words are marked.

    texts: heading -> its words. The place of a word depends on its widest form, not on what is shown. kinds: what
    "right", "missed", "wrong" and "asked" mean here, for the legend.
    Raises MinibertError when there is no text, or a word's kind has no meaning.
    """
    if not texts or not all(len(words) for words in texts.values()):
        raise MinibertError("a figure of marked texts needs words: give each text at least one.")
    looks = {
        "right": {"colour": pale(GREEN, 0.5)},
        "missed": {"colour": "white", "edge": GREEN, "linewidth": 1.6},
        "wrong": {"colour": pale(VERMILION, 0.6)},
        "asked": {"colour": BLUE, "ink": "white"},
    }
    unknown = {word.kind for words in texts.values() for word in words} - {"", *kinds}
    if unknown or not kinds.keys() <= looks.keys():
        raise MinibertError(f"a kind has no meaning: give one for each of {', '.join(sorted(unknown) or looks)}.")
    sheet, y, blank = Sheet(), 0.0, 0.08
    for heading, words in texts.items():
        sheet.text(0, y, heading, 11, ha="left", va="bottom", weight="bold")
        widths = [text_width(word.widest or word.shown, 11) + 0.1 for word in words]
        for line in wrapped(widths, blank, NARROW - 0.24):
            y += 0.08
            for at, x in line.items():
                word = words[at]
                sheet.corners.append((x + widths[at], y))
                if word.kind:
                    look = {"size": 11, "corner": 0.04, "linewidth": 0, **looks[word.kind]}
                    sheet.box(x, y, widths[at], 0.25, word.shown, **look)
                else:
                    sheet.text(x + widths[at] / 2, y + 0.125, word.shown, 11)
            y += 0.25
        y += 0.5
    sheet.legend(0, y - 0.3, {told: looks[kind] for kind, told in kinds.items()}, NARROW - 0.24)
    return sheet.finish(title)


@styled
def judged(rows: Sequence[tuple[str, str]], title: str = "Texts, and what was said of them", lines: int = 3) -> Picture:
    """Texts one below the other, each with a heading; a text that needs more than `lines` lines is cut.

    rows: (heading, text). Raises MinibertError when there is no text.
    """
    if not rows:
        raise MinibertError("a figure of texts needs a text: give at least one with its heading.")
    sheet, y, room = Sheet(), 0.0, NARROW - 0.5
    for heading, text in rows:
        sheet.box(0, y, NARROW - 0.24, 0.4 + 0.2 * lines, colour="#F6F6F6", edge=GREY)
        sheet.text(0.1, y + 0.17, heading, 11, ha="left", weight="bold")
        told = wrapped_text(text, 11, room).split("\n")
        if len(told) > lines:
            told = [*told[: lines - 1], told[lines - 1][:-2].rstrip() + " …"]
        for number, line in enumerate(told):
            sheet.text(0.1, y + 0.42 + 0.2 * number, line, 11, ha="left")
        y += 0.48 + 0.2 * lines
    return sheet.finish(title)
