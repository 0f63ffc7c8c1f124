"""The drawings for a narrow page: heights to scale, words that keep their places, nothing wider than a telephone."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest
from matplotlib.colors import to_hex
from matplotlib.patches import Rectangle

from minibert import plots
from minibert.errors import MinibertError
from minibert.plots.style import BLUE, GREEN, GREY, NARROW, ORANGE, SKY, pale, part_colours

WORDS = ("some words of a longer text " * 4).split()


def texts_at(picture: plots.Picture) -> dict[str, tuple[float, float]]:
    return {text.get_text(): text.get_position() for text in picture.axes[0].texts}


def test_heights_are_to_scale():
    parts = [plots.Part("words", 20), plots.Part("block", 5, 3), plots.Part("pooler", 1)]
    small = [plots.Part("words", 10), plots.Part("block", 2, 2)]
    picture = plots.to_scale({"large": parts, "small": small}, tall=3.6)
    heights = [box.get_height() for box in picture.axes[0].patches if isinstance(box, Rectangle)]
    assert heights == pytest.approx([20 / 10, 0.5, 0.5, 0.5, 0.1, 1.0, 0.2, 0.2])  # ten millions an inch
    said = [text.get_text() for text in picture.axes[0].texts]
    assert {"words: 20.00 M", "3 blocks, 5.00 M each", "pooler: 1.00 M"} < set(said)


def test_a_part_of_a_model_has_the_same_colour_in_every_figure():
    scaled = plots.to_scale({"a": [plots.Part("words", 4), plots.Part("positions", 1), plots.Part("block", 2)]})
    stacked = plots.stacks({"a": ["positions", "block 1", "words: V × E", "pooler"]})
    barred = plots.parameters_by_part({"a": {"pooler": 1, "encoder": 3, "other embeddings": 1, "word embeddings": 2}})

    def used(picture, count):
        return [to_hex(box.get_facecolor()).upper() for box in picture.axes[0].patches[:count]]

    assert used(scaled, 3) == [ORANGE, GREY, BLUE]
    assert used(stacked, 4) == [GREY, BLUE, ORANGE, GREEN]
    assert used(barred, 4) == [GREEN, BLUE, GREY, ORANGE]


def test_parts_without_a_colour_of_their_own_get_those_that_are_left():
    names = ["words", "something", "blocks", "encoder", "else"]
    colours = part_colours(names)
    assert list(colours) == names
    assert (colours["words"], colours["blocks"]) == (ORANGE, BLUE)
    assert len(set(colours.values())) == 5
    assert len(part_colours([f"part {number}" for number in range(20)])) == 20


def test_labels_of_thin_parts_do_not_overlap():
    parts = [plots.Part("words", 50), *(plots.Part(f"thin {number}", 0.01) for number in range(4))]
    places = sorted(y for text, (_, y) in texts_at(plots.to_scale({"model": parts})).items() if "thin" in text)
    assert min(b - a for a, b in pairwise(places)) > 0.15


def test_a_piece_that_continues_touches_the_one_before():
    at = texts_at(plots.cuts({"kind": [("un", False), ("watch", True), ("able", False)]}))
    gaps = [at[b][0] - at[a][0] for a, b in (("un", "watch"), ("watch", "able"))]
    alone = texts_at(plots.cuts({"kind": [("un", False), ("watch", False), ("able", False)]}))
    assert alone["watch"][0] - alone["un"][0] == pytest.approx(gaps[0] + 0.1)
    assert alone["able"][0] - alone["watch"][0] == pytest.approx(gaps[1])


def test_punctuation_is_grey_and_stands_alone():
    kinds = [("end", False), ("s", True), (".", None)]
    sheet = plots.cuts({"kind": kinds}).axes[0]
    boxes = [box for box in sheet.patches if box.get_height() == pytest.approx(0.3)]
    colours = [box.get_facecolor() for box in boxes[:3]]
    assert len(set(colours)) == 3
    assert len(set(colours[2][:3])) == 1  # grey: red, green and blue are equal
    at, touching = texts_at(plots.cuts({"kind": kinds})), texts_at(plots.cuts({"kind": [*kinds[:2], (".", True)]}))
    assert at["."][0] - at["s"][0] == pytest.approx(touching["."][0] - touching["s"][0] + 0.1)
    assert "punctuation" in at
    assert "punctuation" not in touching


def test_words_keep_their_places_whatever_is_shown():
    kinds = {"right": "right", "wrong": "wrong"}
    before = plots.marked({"text": [plots.Mark(word, "", word + ".") for word in WORDS]}, kinds)
    after = plots.marked({"text": [plots.Mark(word + ".", "right", word + ".") for word in WORDS]}, kinds)
    assert tuple(before.get_size_inches()) == tuple(after.get_size_inches())


def test_a_head_shows_which_vectors_it_reads_and_which_weights_are_fresh():
    layers = [plots.Layer("pooler", fresh=False), plots.Layer("linear")]
    tokens = [("[CLS]", "good"), ("a", ""), ("b", None)]
    sheet = plots.answers({"task": plots.Headed(layers, tokens)}).axes[0]
    colours = Counter(to_hex(box.get_facecolor()).upper() for box in sheet.patches if hasattr(box, "get_boxstyle"))
    assert colours[BLUE] == 2 + 1  # two of three vectors, and the legend
    assert colours["#FFFFFF"] == 1 + 1
    assert colours[to_hex(pale(SKY)).upper()] == 2 + 1  # the model and the pooler
    assert colours[to_hex(pale(ORANGE, 0.7)).upper()] == 1 + 1


def test_a_text_that_is_too_long_is_cut():
    rows = [("short", "a few words"), ("long", " ".join(WORDS * 6))]
    said = [text.get_text() for text in plots.judged(rows, lines=2).axes[0].texts]
    assert said[1] == "a few words"
    assert said[-1].endswith(" …")
    assert len(said) == 2 + 1 + 2


def on_its_way(**changed) -> plots.Picture:
    given = {
        "text": "A [MASK] film.",
        "tokens": ["[CLS]", "a", "[MASK]", "film", ".", "[SEP]"],
        "ids": [101, 1037, 103, 2143, 1012, 102],
        "vectors": ([[at, 0.25, -0.5, 9] for at in range(6)], [[-at, 0.75, -0.125, 9] for at in range(6)]),
        "guesses": {"good": 0.4, "bad": 0.1},
        "blocks": 3,
        "asked": 2,
    }
    return plots.through_a_model(**(given | changed))


def test_a_text_goes_through_the_steps_of_a_model_from_top_to_bottom():
    picture = on_its_way()
    at = texts_at(picture)
    steps = ["A [MASK] film.", "[MASK]", "103", "2.00", "block 1", "block 3", "−2.00", "good", "bad"]
    places = [at[step][1] for step in steps]
    assert places == sorted(places)
    assert at["[MASK]"][0] == at["103"][0] == at["2.00"][0] == at["−2.00"][0]  # one column
    assert "9.00" not in at  # three numbers of each vector
    assert {"a vector for each token: 4 numbers", "40%", "10%"} < at.keys()
    bars = [box.get_width() for box in picture.axes[0].patches if isinstance(box, Rectangle)]
    assert bars[0] / bars[1] == pytest.approx(4)
    yellow = [box for box in picture.axes[0].patches if to_hex(box.get_facecolor()) == to_hex(pale(ORANGE, 0.7))]
    assert len(yellow) == 4  # the masked token: as a piece, as an id, and as a vector before and after the blocks


@pytest.mark.parametrize(
    "picture",
    [
        on_its_way,
        lambda: plots.cuts({"kind": [(word, False) for word in WORDS * 3]}),
        lambda: plots.marked({"text": [plots.Mark(word) for word in WORDS * 3]}, {}),
        lambda: plots.judged([("heading", " ".join(WORDS * 3))]),
        lambda: plots.answers({"task": plots.Headed([plots.Layer("linear")], [("a", "b"), ("c", None)])}),
    ],
)
def test_nothing_is_wider_than_a_telephone(picture):
    assert picture().get_figwidth() <= NARROW + 0.2


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda: plots.cuts({}), "at least one piece"),
        (lambda: plots.cuts({"kind": []}), "at least one piece"),
        (lambda: plots.to_scale({}), "at least one part"),
        (lambda: plots.to_scale({"model": [plots.Part("words", 0)]}), "a size above 0"),
        (lambda: plots.answers({}), "a layer, and a token"),
        (lambda: plots.answers({"task": plots.Headed([], [("a", "b")])}), "a layer, and a token"),
        (lambda: plots.answers({"task": plots.Headed([plots.Layer("linear")], [("a", None)])}), "a layer, and a token"),
        (lambda: plots.marked({"text": []}, {}), "at least one"),
        (lambda: plots.marked({"text": [plots.Mark("a", "right")]}, {}), "has no meaning"),
        (lambda: plots.judged([]), "at least one"),
        (lambda: on_its_way(ids=[1, 2]), "6 tokens, 2 ids"),
        (lambda: on_its_way(vectors=([[1, 2, 3]] * 6, [[1, 2, 3]] * 5)), "one before and one after for each"),
        (lambda: on_its_way(vectors=([[1, 2]] * 6, [[1, 2]] * 6)), "of 3 numbers or more"),
        (lambda: on_its_way(guesses={}), "at least one, from 0 to 1"),
        (lambda: on_its_way(guesses={"good": 1.5}), "at least one, from 0 to 1"),
        (lambda: on_its_way(blocks=0), "must be 1 or more"),
        (lambda: on_its_way(asked=6), "one of the tokens"),
    ],
)
def test_what_cannot_be_drawn_is_refused(draw, message):
    with pytest.raises(MinibertError, match=message):
        draw()
