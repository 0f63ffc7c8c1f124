"""Figures show the numbers they are given, refuse what cannot be drawn, and are the same each time."""

from __future__ import annotations

import io
from collections import Counter

import matplotlib
import numpy as np
import pytest
import torch
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.image import imread
from matplotlib.patches import FancyArrowPatch, Patch, PathPatch
from matplotlib.text import Text

from minibert import files, plots
from minibert.errors import MinibertError
from minibert.models.relative import shift
from minibert.plots.style import text_width

COUNTS = {
    "large": {"words": 40_000_000, "blocks": 200_000_000, "rest": 1_000_000},
    "small": {"words": 40_000_000, "blocks": 25_000_000},
}
SPEEDS = {
    "A against B": {"32 tokens": (1.9, 1.8, 2.1), "128 tokens": (2.0, 1.9, 2.0)},
    "C against B": {"8": (0.9, 0.7, 1.0)},
}
KEPT = {
    "first task": ((0.98, 0.97, 0.99), (0.9, 0.85, 0.95)),
    "average": ((0.96, 0.955, 0.965), (0.8, 0.7, 0.85)),
}
CHANGES = {
    "accuracy, points": {"a lot": [-4.0, -5.0, -3.0], "a little": [1.0, 2.0, 3.0]},
    "loss, nats": {"a little": [0.1, 0.1, 0.1], "a lot": [0.5, 0.5, 0.8]},
}
LINKS = {"slow": 1.0, "fast": 100.0}
WEIGHTS = np.array([[0.05, 0.9, 0.05], [0.25, 0.25, 0.5], [0.8, 0.1, 0.1]])
TOKENS = ["[CLS]", "film", "[SEP]"]


def parameters() -> Figure:
    return plots.parameters_by_part(COUNTS, ["", "27% of large"])


def speed() -> Figure:
    return plots.speed(SPEEDS, {"A against B": 1.63})


def attention() -> Figure:
    return plots.attention(WEIGHTS, TOKENS, [(1, 2)])


def retention() -> Figure:
    return plots.retention(KEPT, ["average"])


def ablation() -> Figure:
    return plots.ablation(CHANGES)


def speed_up() -> Figure:
    return plots.speed_up_by_bandwidth([0.1, 1, 10, 1000], [12, 4, 1.5, 1.2], LINKS, 1.7, reached=8.0)


SCORES = [[1.0, -2.0, 0.5], [0.25, 3.0, -np.inf]]
WORDS = [("A", ["a"]), ("masterpiece", ["master", "##piece"]), ("for", ["for"]), ("$9", ["$", "9"]), ("☃", ["[UNK]"])]
STACKS = {"long": ["words", "block 1", "block 2", "block 3", "pooler"], "shared": ["words (narrow)", *["block 1"] * 3]}
MEASURED = {"large": {"size": 110.0, "speed": 12.5}, "small": {"size": 11.7}}
LESSONS = [[("1", "Attention"), ("2", "Many heads")], [("3", "A whole BERT")]]
ALIKE = np.array([[1.0, 0.5, -0.2], [0.5, 1.0, 0.25], [-0.2, 0.25, 1.0]])


def vectors() -> Figure:
    return plots.vectors({"east": (2, 0), "north": (0, 1), "west": (-1, 0)}, angles=[("east", "north")])


def lines() -> Figure:
    curves = {"falls": ([0, 1, 2], [9, 4, 3]), "stays": ([0, 2], [9.5, 9])}
    return plots.lines(curves, "steps", "loss, nats", "Two losses", {"uniform guessing": 10.0})


def flow() -> Figure:
    return plots.flow({"angle, degrees": {"a": [30, 20, 10], "b": [20, 25, 27]}, "distance": {"a": [3, 2, 1]}})


def distributions() -> Figure:
    return plots.distributions({"T = 1": [0.9, 0.1, 0.0], "T = 4": [0.5, 0.3, 0.2]}, ["film", "movie", "dog"])


def shares() -> Figure:
    return plots.shares({"hidden": 79.62, "kept": 12.0, "other": 3.0}, {"hidden": 80, "kept": 10})


def family() -> Figure:
    return plots.family(MEASURED, {"size": "parameters, millions", "speed": "texts a second"})


def size_and_speed() -> Figure:
    sizes = {"large": (110.0, 1.0), "small": (25.0, 2.0), "narrow": (12.0, 1.1), "wide": (140.0, 0.7)}
    points = {name: plots.SizeAndSpeed(m, s, s / 1.1, s * 1.1, "5G operations") for name, (m, s) in sizes.items()}
    return plots.size_and_speed(points, "large")


def grid() -> Figure:
    return plots.grid(SCORES, ["a", "b"], ["x", "y", "z"], "Scores", row_label="query", column_label="key")


def grids() -> Figure:
    return plots.grids({"scores": SCORES, "weights": [[0.5, 0.5, 0], [0, 1, 0]]}, ["a", "b"], "xyz", digits=[1, 2])


def shifted() -> Figure:
    return plots.shifted(np.arange(10).reshape(2, 5), ["b", "c"], ["a", "b", "c"], framed=(1, 0))


def similarity() -> Figure:
    return plots.similarity(ALIKE, "abc")


def head_split(wrong: bool = False) -> Figure:
    return plots.head_split(torch.zeros(3, 4), 2, ["a", "b", "c"], wrong)


def head_split_wrong() -> Figure:
    return head_split(wrong=True)


def masks() -> Figure:
    return plots.masks({"padding": torch.tensor([[True, False]] * 2), "causal": [[1, 0], [1, 1]]}, ["a", "b"])


def padded_batch() -> Figure:
    return plots.padded_batch([3, 5, 1])


def pieces() -> Figure:
    return plots.pieces(WORDS, continues=lambda piece: piece.startswith("##"))


def masked_text() -> Figure:
    seen = ["a", "[MASK]", "tree", "on", "me"]
    return plots.masked_text(["a", "film", "grew", "on", "me"], seen, ["", "film", "grew", None, "me"])


def layer_map() -> Figure:
    return plots.layer_map({"every second": [0, 2], "last": [2, 3]}, 4)


def stacks() -> Figure:
    return plots.stacks(STACKS)


def course_map() -> Figure:
    return plots.course_map(LESSONS, "Lessons", ["Parts", "Models"], here="2")


def encoder_block() -> Figure:
    return plots.encoder_block()


def shared_block() -> Figure:
    return plots.encoder_block(share=True)


def bars_below() -> Figure:
    return plots.bars({"BERT": 13.4, "RoBERTa, longer": 9.8, "none": 0}, "errors", "A title", marked=["BERT"])


def looks() -> Figure:
    return plots.looks(WEIGHTS[:2], TOKENS[:2], TOKENS, "What the decoder looks at")


def widths() -> Figure:
    return plots.widths({"wide": [("in", 768), ("inside", 3072)], "thin": [("in", 512), ("inside", 128)]})


def bottleneck_block() -> Figure:
    return plots.bottleneck_block()


def encoder_decoder() -> Figure:
    return plots.encoder_decoder(["my", "[MASK]", "</s>"], ["my", "aunt", "sang", "</s>"])


EVERY_FIGURE = pytest.mark.parametrize(
    "draw",
    [
        *(parameters, speed, attention, retention, ablation, speed_up),
        *(vectors, lines, flow, distributions, shares, family, size_and_speed),
        *(grid, grids, shifted, similarity, head_split, head_split_wrong, masks, padded_batch, pieces, masked_text),
        *(layer_map, stacks, course_map, encoder_block, shared_block),
        *(bars_below, looks, widths, bottleneck_block, encoder_decoder),
    ],
)


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.axes[0].texts]


def every_text(axes: Axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


def shapes(figure: Figure) -> list[Patch]:
    """Boxes and cells, but no arrows."""
    return [patch for patch in figure.axes[0].patches if patch.get_fill() and not isinstance(patch, FancyArrowPatch)]


def arrows(figure: Figure) -> list[tuple[tuple[float, float], tuple[float, float]]]:
    """Start and end of each arrow that has a head."""
    found = [patch for patch in figure.axes[0].patches if isinstance(patch, FancyArrowPatch)]
    paths = [arrow._path_original.vertices for arrow in found if type(arrow.get_arrowstyle()).__name__ != "Curve"]
    return [(tuple(path[0]), tuple(path[-1])) for path in paths]


def middle(patch: Patch) -> tuple[float, float]:
    (left, low), (right, high) = patch.get_path().get_extents(patch.get_patch_transform()).get_points()
    return round((left + right) / 2, 3), round((low + high) / 2, 3)


def boxes(figure: Figure) -> list[tuple[str, tuple[float, float], Patch]]:
    """The boxes with a text in their middle: the text, its place, and the box."""
    at = {tuple(np.round(text.get_position(), 3)): text.get_text() for text in figure.axes[0].texts}
    return [(at[middle(patch)], middle(patch), patch) for patch in shapes(figure) if middle(patch) in at]


def faces(figure: Figure) -> dict[str, str]:
    """Text -> colour of its box (the last one, if there are several)."""
    return {text: to_hex(patch.get_facecolor()).upper() for text, _, patch in boxes(figure)}


def rows_of(figure: Figure) -> list[list[str]]:
    """The texts of boxes, line by line from the top, each from the left."""
    found = sorted((y, x, text) for text, (x, y), _ in boxes(figure))
    return [[text for at, _, text in found if at == y] for y in sorted({at for at, _, _ in found})]


def hatched(figure: Figure) -> list[Patch]:
    return [patch for patch in shapes(figure) if patch.get_hatch()]


def bars(axes: Axes) -> list[float]:
    return [bar.get_width() for bar in axes.containers[0]]


# ------------------------------------------------------------------------------------------ what is shown


def test_parameters_are_stacked_in_millions_from_the_first_model_downwards():
    axes = parameters().axes[0]
    bars = [[(bar.get_x(), bar.get_width()) for bar in part] for part in axes.containers]
    assert bars == [[(0, 40), (0, 40)], [(40, 200), (40, 25)], [(240, 1), (65, 0)]]
    assert [label.get_text().partition(":")[0] for label in axes.get_yticklabels()] == ["large", "small"]
    assert axes.yaxis_inverted()


def test_parameters_carry_their_totals_notes_and_names_of_parts():
    figure = parameters()
    named = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert named == ["large: 241 M", "small: 65.0 M, 27% of large"]
    said = texts(figure)
    assert "25.0" in said  # wide enough for its number
    assert "1.0" not in said  # too narrow
    assert [text.get_text() for text in figure.legends[0].texts] == ["words", "blocks", "rest"]
    assert "millions" in figure.axes[0].get_xlabel()


def test_speed_shows_medians_and_spreads():
    axes = speed().axes[0]
    bars, spread = axes.containers
    assert [bar.get_width() for bar in bars] == [1.9, 2.0, 0.9]
    ends = [sorted(x for x, _ in segment) for segment in spread[2][0].get_segments()]
    np.testing.assert_allclose(ends, [[1.8, 2.1], [1.9, 2.0], [0.7, 1.0]])
    assert [label.get_text() for label in axes.get_yticklabels()] == ["32 tokens", "128 tokens", "8"]
    assert {"1.90×", "2.00×", "0.90×", "A against B", "C against B"} <= {*texts(axes.figure)}


def test_speed_draws_the_published_ratio_across_its_group_and_no_other():
    axes = speed().axes[0]
    bars = axes.containers[0]
    line = next(line for line in axes.lines if set(line.get_xdata()) == {1.63})
    low, high = line.get_ydata()
    centres = [bar.get_y() + bar.get_height() / 2 for bar in bars]
    assert [low < centre < high for centre in centres] == [True, True, False]


def test_attention_from_one_text_to_another_names_both():
    axes = plots.attention(WEIGHTS[:2], ["p", "q"], others=TOKENS, sides=("writing", "reads")).axes[0]
    assert axes.images[0].get_array().shape == (2, 3)
    assert [label.get_text() for label in axes.get_yticklabels()] == ["p", "q"]
    assert [label.get_text() for label in axes.get_xticklabels()] == TOKENS
    assert (axes.get_ylabel(), axes.get_xlabel()) == ("writing", "reads")


def test_a_long_legend_takes_more_rows_and_stays_inside():
    parts = dict.fromkeys(("word embeddings", "encoder blocks", "the rest (positions, pooler, projection)", "more"), 1)
    for counts, columns in (({"a": parts}, 1), ({"a": {"words": 1, "blocks": 2}}, 2), (COUNTS, 3)):
        figure = plots.parameters_by_part(counts)
        figure.canvas.draw()
        (legend,) = figure.legends
        assert legend._ncols == columns
        box = legend.get_window_extent()
        assert box.x0 >= 0
        assert box.x1 <= figure.bbox.width


def test_attention_shows_the_weights_and_frames_the_cells_asked_for():
    axes = attention().axes[0]
    np.testing.assert_array_equal(axes.images[0].get_array(), WEIGHTS)
    assert axes.images[0].get_clim() == (0, 1)
    assert [label.get_text() for label in axes.get_yticklabels()] == TOKENS
    assert [label.get_text() for label in axes.get_xticklabels()] == TOKENS
    (frame,) = axes.patches
    assert frame.get_xy() == (1.5, 0.5)  # column 2, row 1
    assert texts(axes.figure) == [".90", ".25", ".25", ".50", ".80"]


def test_retention_shows_both_shares_of_each_task_with_their_intervals():
    axes = retention().axes[0]
    shares, gaps = axes.containers
    np.testing.assert_allclose(shares[0].get_xdata(), [98, 96])
    np.testing.assert_allclose(gaps[0].get_xdata(), [90, 80])
    ends = [[x for x, _ in segment] for segment in gaps[2][0].get_segments()]
    np.testing.assert_allclose(ends, [(85, 95), (70, 85)])
    assert axes.yaxis_inverted()  # the first task at the top
    assert texts(axes.figure) == ["first task", "98.0%", "average", "96.0%"]
    assert [text.get_weight() for text in axes.texts] == ["normal", "normal", "bold", "bold"]
    dashed = [line for line in axes.lines if line.get_linestyle() == "--"]
    assert [line.get_xdata()[0] for line in dashed] == [97]


def test_an_interval_that_would_hide_the_others_is_cut_off_with_an_arrow():
    axes = plots.retention({"a": ((0.9, 0.8, 1.0), (1.0, 0.2, 8.0)), "b": ((1.1, 1.0, 1.2), (0.95, 0.9, 1.0))}).axes[0]
    assert 55 < axes.get_xlim()[0] < 60
    assert 140 < axes.get_xlim()[1] < 145
    arrows = {line.get_marker(): line.get_xdata().tolist() for line in axes.lines if line.get_marker() in "<>"}
    assert arrows == {"<": [pytest.approx(60)], ">": [pytest.approx(140)]}
    assert "arrow: it goes on" in axes.get_xlabel()
    assert "arrow" not in retention().axes[0].get_xlabel()


def test_retention_can_be_read_on_a_telephone():
    """390 pixels wide, the smallest letters are still about nine pixels high."""
    figure = retention()
    smallest = min(text.get_fontsize() for text in figure.findobj(Text) if text.get_text())
    assert smallest / 72 * 390 / figure.get_figwidth() > 9


def test_an_ablation_is_sorted_by_its_first_measure_and_shows_every_seed():
    figure = ablation()
    first, second = figure.axes
    names = {text.get_text(): text.xy[1] for text in first.texts}
    assert sorted(names, key=names.get) == ["a little", "a lot"]
    assert first.yaxis_inverted()
    assert [axes.get_xlabel() for axes in figure.axes] == list(CHANGES)
    for axes, bars in ((first, [2, -4]), (second, [0.1, 0.6])):
        np.testing.assert_allclose([bar.get_width() for bar in axes.patches], bars)
    dots = [line.get_xdata().tolist() for line in first.lines if line.get_marker() == "o"]
    assert dots == [[1, 2, 3], [-4, -5, -3]]
    assert "one standard deviation" in figure.get_supxlabel()
    np.testing.assert_allclose(spreads_of(first), [[1, 3], [-5, -3]])


def spreads_of(axes) -> list[list[float]]:
    return [c[2][0].get_segments()[0][:, 0].tolist() for c in axes.containers if hasattr(c, "has_xerr")]


def test_an_ablation_has_the_intervals_and_the_order_that_it_is_given():
    around = {measure: {name: (np.mean(seeds) - 5, np.mean(seeds) + 1) for name, seeds in panel.items()}
              for measure, panel in CHANGES.items()}  # fmt: skip
    figure = plots.ablation(CHANGES, intervals=around, sort=False)
    first = figure.axes[0]
    names = {text.get_text(): text.xy[1] for text in first.texts}
    assert sorted(names, key=names.get) == ["a lot", "a little"]
    np.testing.assert_allclose(spreads_of(first), [[-9, -3], [-3, 3]])
    assert "95% intervals over the seeds" in figure.get_supxlabel()
    endless = plots.ablation(
        CHANGES, intervals={m: dict.fromkeys(panel, (-np.inf, np.inf)) for m, panel in CHANGES.items()}
    )
    assert spreads_of(endless.axes[0]) == []


@pytest.mark.parametrize(
    "draw",
    [
        lambda: plots.attention(np.eye(15), [f"token{at}" for at in range(15)], title="A long title " * 6),
        lambda: plots.distributions({name: [1, 2] for name in ("one", "two", "three")}, ["a", "b"], "Panels " * 9),
        lambda: plots.distributions({"A heading of many words, all of them long": [1, 2]}, ["a long label " * 2, "b"]),
        lambda: plots.lines({"a name of five long words": ([0, 1], [2, 3])}, "x", "a long name " * 5, "Title " * 9),
        lambda: plots.flow({"one": {"a name": [1, 2]}, "two": {"a name": [1, 2]}, "three": {"b": [1, 2]}}),
        lambda: plots.grids(dict.fromkeys(("right", "wrong in one way", "in another"), np.eye(5)), "abcde", "abcde"),
        lambda: plots.masks(dict.fromkeys(("padding", "causal", "both"), np.eye(7)), ["[CLS]"] * 7),
        lambda: plots.head_split(np.zeros((3, 8)), 4, ["one", "two", "three"]),
        lambda: plots.padded_batch([40, 100, 7]),
        lambda: plots.vectors({"east": (3, 0), "north": (0, 1)}, "A title that is wider than its figure"),
        lambda: plots.course_map([[("01", "Attention"), ("02", "Heads"), ("03", "Masks"), ("04", "The block")]]),
        encoder_block,
    ],
)  # fmt: skip
def test_the_figures_of_lessons_can_be_read_on_a_telephone(draw):
    """390 pixels wide, the smallest letters are still about nine pixels high, and nothing is cut off."""
    figure = draw()
    smallest = min(text.get_fontsize() for text in figure.findobj(Text) if text.get_text())
    assert smallest / 72 * 390 / figure.get_figwidth() > 8.9
    assert figure.get_figwidth() < 5.5
    figure.draw_without_rendering()
    title = figure._suptitle if figure.get_suptitle() else figure.axes[0]._left_title
    assert title.get_window_extent().x1 <= figure.bbox.width


@pytest.mark.parametrize(("queries", "keys"), [(1, 1), (3, 3), (2, 5)])
def test_shifted_scores_are_those_of_the_library_and_keep_the_colour_of_their_key(queries, keys):
    scores = torch.arange(queries * (keys + queries)).reshape(queries, -1)
    names = [f"key {number}" for number in range(keys)]
    figure = plots.shifted(scores, names[-queries:], names, framed=(queries - 1, 0))
    rows = rows_of(figure)
    assert rows == [[str(int(n)) for n in row] for table in (scores, shift(scores)) for row in table]
    colours = [to_hex(patch.get_facecolor()) for _, _, patch in sorted(boxes(figure), key=lambda b: b[1][::-1])]
    above, below = colours[: scores.numel()], colours[scores.numel() :]
    by_number = dict(zip(scores.flatten().tolist(), above, strict=True))
    assert below == [by_number[n] for n in shift(scores).flatten().tolist()]
    assert below[:keys] * queries == below
    assert len({*below}) == keys
    assert "#ffffff" not in below
    assert above.count("#ffffff") == queries * queries
    thick = [patch for patch in figure.axes[0].patches if patch.get_linewidth() > 2 and not patch.get_fill()]
    numbers = {(round(x, 3), round(y, 3)): text for text, (x, y), _ in boxes(figure)}
    assert [numbers[middle(patch)] for patch in thick] == [str(int(shift(scores)[-1, 0]))] * 2


def test_three_grids_that_do_not_fit_on_a_line_are_one_below_another():
    figure = plots.grids(dict.fromkeys(("one of them", "another of them", "the third"), np.eye(3)), "abc", "xyz", 2)
    headings = [text for text in figure.axes[0].texts if "the" in text.get_text() or "one" in text.get_text()]
    assert len(headings) == 3
    assert len({text.get_position()[0] for text in headings}) == 1


def test_grids_without_room_side_by_side_go_on_a_new_line_with_their_rows_named_again():
    figure = plots.grids(dict.fromkeys(("one", "two", "three"), np.eye(5)), "abcde", "vwxyz", digits=2)
    assert [text for text in texts(figure) if text in ("one", "two", "three", "a")] == [
        "a",
        "one",
        "a",
        "two",
        "a",
        "three",
    ]
    for (x, start), (other, end) in arrows(figure):
        assert x == other
        assert start < end


@pytest.mark.parametrize("name", ["dynamic masks, against static: 16 passes", "all shared, E = 32, equal operations"])
def test_an_ablation_can_be_read_on_a_telephone(name):
    figure = plots.ablation({measure: {name: [1.0, 2.0]} for measure in ("points", "nats")})
    pixels_per_point = 390 / figure.get_figwidth() / 72
    smallest = min(text.get_fontsize() for text in figure.findobj(Text) if text.get_text())
    assert smallest * pixels_per_point >= 9
    assert text_width(name, 11) < 0.95 * figure.get_figwidth()


def test_an_ablation_says_what_its_dots_are():
    for given, told in (({}, "mean of the seeds"), ({"dots": "draws"}, "mean of the draws")):
        assert told in plots.ablation({"cosine": {"a": [1.0, 2.0]}}, **given).get_supxlabel()


def test_speed_up_shows_the_curve_the_links_and_where_it_meets_what_was_claimed():
    axes = speed_up().axes[0]
    curve, *others = axes.lines
    assert list(curve.get_xdata()) == [0.1, 1, 10, 1000]
    assert list(curve.get_ydata()) == [12, 4, 1.5, 1.2]
    assert axes.get_xscale() == "log"
    assert "Gbit/s" in axes.get_xlabel()
    assert {1.0, 100.0} <= {line.get_xdata()[0] for line in others}
    assert any(list(line.get_xdata()) == [8.0] and list(line.get_ydata()) == [1.7] for line in others)
    assert {"slow", "fast", "the paper: 1.7×", "8 Gbit/s"} <= {*texts(axes.figure)}


@pytest.mark.parametrize("reached", [None, float("inf")])
def test_speed_up_marks_no_place_that_is_not_on_the_curve(reached):
    axes = plots.speed_up_by_bandwidth([1, 10], [1.5, 1.2], {}, 1.7, reached).axes[0]
    assert texts(axes.figure) == ["equally fast", "the paper: 1.7×"]
    assert not [line for line in axes.lines if line.get_marker() == "o"]


def test_vectors_point_where_they_should_and_say_their_angles():
    axes = vectors().axes[0]
    tips = {text.get_text(): text.xy for text in axes.texts if text.get_text()}
    assert {name: tips[name] for name in ("east", "north", "west")} == {
        "east": (2, 0),
        "north": (0, 1),
        "west": (-1, 0),
    }
    drawn = [(text.xy, text.xyann) for text in axes.texts if not text.get_text()]
    assert drawn == [((2, 0), (0, 0)), ((0, 1), (0, 0)), ((-1, 0), (0, 0))]
    arc = axes.lines[2].get_xydata()
    assert (arc > -1e-9).all()  # between east and north
    assert "90°" in tips
    assert axes.get_aspect() == 1
    across = plots.vectors({"a": (-1, 0.01), "b": (-1, -0.01)}, angles=[("a", "b")])
    assert "1°" in texts(across)  # the smaller of the two angles


def test_lines_are_drawn_and_named_at_their_ends_with_their_levels():
    axes = lines().axes[0]
    drawn = [(line.get_xdata(), line.get_ydata()) for line in axes.lines]
    assert [(list(x), list(y)) for x, y in drawn[:2]] == [([0, 1, 2], [9, 4, 3]), ([0, 2], [9.5, 9])]
    assert list(drawn[2][1]) == [10, 10]
    assert axes.lines[2].get_linestyle() == "--"
    assert {text.get_text(): text.xy[1] for text in axes.texts} == {"falls": 3, "stays": 9, "uniform guessing": 10}
    assert [text.get_color() for text in sorted(axes.texts, key=lambda text: text.xy[1])] == [
        axes.lines[at].get_color() for at in (0, 1, 2)
    ]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("steps", "loss, nats")


def test_flow_counts_layers_from_one_and_keeps_a_panel_for_each_measure():
    first, second = flow().axes
    assert [list(line.get_xdata()) for line in first.lines] == [[1, 2, 3]] * 2
    assert [list(line.get_ydata()) for line in first.lines] == [[30, 20, 10], [20, 25, 27]]
    assert [axes.get_title(loc="left") for axes in (first, second)] == ["angle, degrees", "distance"]
    assert every_text(second) == ["a"]
    assert {axes.get_xlabel() for axes in (first, second)} == {"layer"}
    assert [axes.get_ylim()[0] for axes in (first, second)] == [0, 0]


def test_distributions_may_have_labels_of_their_own():
    labels = {"one": ["to", "##s"], "two": ["is", "was"]}
    figure = plots.distributions({"one": [0.8, 0.1], "two": [0.5, 0.4]}, labels)
    first, second = figure.axes
    for axes, expected in ((first, labels["one"]), (second, labels["two"])):
        assert [label.get_text() for label in axes.get_yticklabels()] == expected
    assert first.get_xlim() == second.get_xlim()
    with pytest.raises(MinibertError, match="two has 1 values for 0 labels"):
        plots.distributions({"one": [0.8, 0.1], "two": [0.5]}, {"one": ["to", "##s"]})


def test_distributions_share_their_scale_and_order_and_write_each_number():
    figure = distributions()
    sharp, soft = figure.axes
    assert [bars(sharp), bars(soft)] == [[0.9, 0.1, 0], [0.5, 0.3, 0.2]]
    assert every_text(soft) == ["0.50", "0.30", "0.20"]
    assert sharp.get_xlim() == soft.get_xlim()
    assert [label.get_text() for label in sharp.get_yticklabels()] == ["film", "movie", "dog"]
    assert sharp.yaxis_inverted()
    assert figure.get_supxlabel() == "probability"
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["T = 1", "T = 4"]


@pytest.mark.parametrize(("count", "columns"), [(1, 1), (2, 2), (3, 1), (4, 2)])
def test_an_odd_number_of_distributions_is_one_below_another(count, columns):
    figure = plots.distributions({f"panel {at}": [0.8, 0.2] for at in range(count)}, ["a", "b"])
    figure.draw_without_rendering()
    assert len({round(axes.get_position().x0, 3) for axes in figure.axes}) == columns
    assert len(figure.axes) == count


def test_a_bar_below_zero_has_its_number_on_its_left():
    axes = plots.distributions({"logits": [2.0, -1.0]}, ["a", "b"], unit="logit").axes[0]
    assert [(text.get_text(), text.get_ha()) for text in axes.texts] == [("2.00", "left"), ("−1.00", "right")]
    assert axes.get_xlim()[0] < -1


def test_shares_are_shown_with_what_was_expected():
    axes = shares().axes[0]
    assert bars(axes) == [79.62, 12, 3]
    marks = [
        (line.get_xdata()[0], round(np.mean(line.get_ydata()))) for line in axes.lines if len(line.get_xdata()) == 2
    ]
    assert {(80, 0), (10, 1)} <= {*marks}
    assert texts(axes.figure) == ["79.6", "expected 80", "12.0", "expected 10", "3.0"]
    assert axes.get_xlabel() == "share in %"


def test_family_has_a_panel_for_each_measure_a_colour_for_each_model_and_says_what_is_missing():
    size, speed = family().axes
    assert [bars(size), bars(speed)] == [[110, 11.7], [12.5, 0]]
    assert every_text(size) == ["110.0", "11.7"]
    assert [text for text in every_text(speed) if text] == ["12.5", "not measured"]
    colours = [[to_hex(bar.get_facecolor()) for bar in axes.containers[0]] for axes in (size, speed)]
    assert colours[0] == colours[1]
    assert len({*colours[0]}) == 2
    assert [axes.get_xlabel() for axes in (size, speed)] == ["parameters, millions", "texts a second"]
    assert [label.get_text() for label in size.get_yticklabels()] == ["large", "small"]


def test_sizes_and_speeds_are_where_they_should_be_and_names_do_not_meet():
    (axes,) = size_and_speed().axes
    points = [line.get_xydata()[0].tolist() for line in axes.lines if line.get_marker() == "o"]
    assert points == [[110, 1.0], [25, 2.0], [12, 1.1], [140, 0.7]]
    assert axes.get_xscale() == axes.get_yscale() == "log"
    sides = {text.get_text().partition("\n")[0]: text.get_ha() for text in axes.texts}
    assert sides == {"large": "right", "wide": "left", "small": "left", "narrow": "right"}
    for wrong in ({"large": plots.SizeAndSpeed(0, 1, 1, 1)}, {"other": plots.SizeAndSpeed(1, 1, 1, 1)}):
        with pytest.raises(MinibertError, match="must be above 0, and the reference"):
            plots.size_and_speed(wrong, "large")


def test_a_grid_writes_its_numbers_and_tints_them_by_sign():
    figure = grid()
    assert rows_of(figure) == [["1.00", "−2.00", "0.50"], ["0.25", "3.00", "−∞"]]
    assert {"a", "b", "x", "y", "z", "query", "key"} <= {*texts(figure)}
    tint = {text: patch.get_facecolor() for text, _, patch in boxes(figure)}
    assert to_hex(tint["3.00"]).upper() == plots.BLUE  # the largest
    assert tint["−2.00"][0] > tint["−2.00"][2]  # redder than blue
    assert tint["0.50"][2] > tint["0.50"][0]
    assert [middle(patch) for patch in hatched(figure)] == [at for text, at, _ in boxes(figure) if text == "−∞"]


def test_tints_go_from_white_at_zero_to_the_ends_that_were_given():
    def face(text: str, **options) -> str:
        return faces(plots.grid([[0.0, 1.0, 2.0]], ["a"], "xyz", digits=0, **options))[text]

    assert face("0") == "#FFFFFF"
    assert face("2") == to_hex(plots.WHITE_TO_BLUE(1.0)).upper()
    assert face("1", high=1) == face("2")
    assert face("2", high=4) == face("1")
    assert face("2", colour=False) == "#FFFFFF"
    assert {*faces(plots.grid(np.zeros((2, 2)), "ab", "xy")).values()} == {"#FFFFFF"}
    assert faces(plots.grid([[-0.001]], "a", "x"))["0.00"]  # no minus before a 0


def test_text_is_white_on_dark_cells_and_dark_on_light_cells():
    ink = {text.get_text(): text.get_color() for text in plots.grid([[0.0, 1.0]], "a", "xy").axes[0].texts}
    assert ink["0.00"] == plots.INK
    assert ink["1.00"] == "white"


def test_grids_are_side_by_side_with_arrows_between():
    figure = grids()
    assert rows_of(figure)[0] == ["1.0", "−2.0", "0.5", "0.50", "0.50", "0.00"]
    assert Counter(texts(figure)) >= Counter(["scores", "weights", "a", "b", *"xyz", *"xyz"])
    assert texts(figure).count("a") == 1  # rows are named once
    ((start, end),) = arrows(figure)
    centres = {text: at[0] for text, at, _ in boxes(figure)}
    assert centres["−∞"] < start[0] < end[0] < centres["0.50"]
    assert not arrows(plots.grids({"one way": [[1]], "another": [[2]]}, "a", "x", arrows=False))


def test_similarity_is_white_at_its_low_end_and_dark_on_its_diagonal():
    figure = similarity()
    assert rows_of(figure)[:2] == [["1.00", ".50", "−.20"], [".50", "1.00", ".25"]]
    tint = faces(figure)
    assert tint["−.20"] == "#FFFFFF"
    assert tint["1.00"] == to_hex(plots.WHITE_TO_BLUE(1.0)).upper()
    assert tint[".50"] == to_hex(plots.WHITE_TO_BLUE(0.5)).upper()
    assert {"0.00", "0.50", "cosine similarity"} <= {*texts(figure)}
    assert "10.50" in {*texts(plots.similarity([[10.5]], "a"))}
    many = plots.similarity(np.eye(15), [f"{at}" for at in range(15)])
    assert ".00" not in texts(many)


@pytest.mark.parametrize(
    ("wrong", "heads"),
    [
        (False, [["0·0", "0·1", "1·0", "1·1", "2·0", "2·1"], ["0·2", "0·3", "1·2", "1·3", "2·2", "2·3"]]),
        (True, [["0·0", "0·1", "0·2", "0·3", "1·0", "1·1"], ["1·2", "1·3", "2·0", "2·1", "2·2", "2·3"]]),
    ],
)
def test_a_head_split_gives_each_head_its_features_or_whole_tokens_where_it_is_wrong(wrong, heads):
    figure = head_split(wrong)
    cells = [(text, at) for text, at, _ in boxes(figure) if "·" in text]
    whole, parts = cells[:12], cells[12:]
    assert [text for text, _ in whole] == [f"{t}·{f}" for t in range(3) for f in range(4)]
    assert [[text for text, _ in parts[:6]], [text for text, _ in parts[6:]]] == heads
    assert max(y for _, (_, y) in whole) < min(y for _, (_, y) in parts)  # the heads are below
    assert max(x for _, (x, _) in parts[:6]) < min(x for _, (x, _) in parts[6:])
    colours = {(text, to_hex(patch.get_facecolor()).upper()) for text, _, patch in boxes(figure) if "·" in text}
    owner = {text: (plots.BLUE, plots.ORANGE)[int(text[-1]) // 2] for text, _ in whole}
    assert colours == {*owner.items()}  # a cell has one colour, above and below: that of its own head
    assert {"head 1:\n(S, K) = (3, 2)", "head 2:\n(S, K) = (3, 2)", "x: (S, D) = (3, 4)"} <= {*texts(figure)}
    assert len(arrows(figure)) == 2


def test_a_head_split_names_what_is_split():
    figure = plots.head_split(np.zeros((3, 4)), 2, "abc", name="q")
    assert "q: (S, D) = (3, 4)" in texts(figure)
    assert any("q.view(S, H, K).transpose(0, 1)" in text for text in texts(figure))


def test_a_head_split_too_large_for_words_keeps_its_colours():
    figure = plots.head_split(np.zeros((6, 8)), 4, "abcdef")
    assert not boxes(figure)
    tints = Counter(to_hex(patch.get_facecolor()).upper() for patch in shapes(figure))
    assert [tints[colour] for colour in plots.HEAD_COLOURS[:4]] == [24] * 4  # 6 x 2 cells, twice


def test_masks_are_blue_where_a_token_may_look_and_hatched_where_it_may_not():
    figure = masks()
    may = sorted(middle(patch) for patch in shapes(figure) if to_hex(patch.get_facecolor()).upper() == plots.BLUE)
    may_not = [middle(patch) for patch in hatched(figure)]
    assert len(may) == 2 + 3 + 1  # and the legend's
    assert len(may_not) == 2 + 1 + 1
    assert len({x for x, _ in may_not[:2]}) == 1  # the padded column
    causal = may_not[2]
    assert causal[0] > may_not[0][0]
    assert causal[1] == min(y for _, y in may)  # the first row
    assert {"padding", "causal", "may not"} <= {*texts(figure)}
    assert texts(figure).count("a") == 1 + 2  # one row, two columns
    assert {"p", "q", "r"} <= {*texts(plots.masks({"across": np.ones((2, 3))}, "ab", "pqr"))}


def test_a_padded_batch_counts_its_padding():
    figure = padded_batch()
    real = [middle(patch) for patch in shapes(figure) if to_hex(patch.get_facecolor()).upper() == plots.SKY]
    padding = [middle(patch) for patch in hatched(figure)]
    rows = sorted({y for _, y in padding + real})
    assert [sum(at == y for _, at in real) for y in rows[:3]] == [3, 5, 1]
    assert [sum(at == y for _, at in padding) for y in rows[:3]] == [2, 0, 4]
    assert max(x for x, y in real if y == rows[0]) < min(x for x, y in padding if y == rows[0])
    assert {"real: 9", "padding: 6 of 15 places, 40%", "text 1", "5 tokens"} <= {*texts(figure)}


def test_pieces_are_below_their_words_in_the_colours_of_their_kinds():
    figure = pieces()
    assert rows_of(figure) == [["a", "master", "##piece", "for", "$", "9", "[UNK]"]]
    tint = faces(figure)
    assert tint["a"] == tint["master"] == tint["$"] == tint["9"]
    assert len({tint["a"], tint["##piece"], tint["[UNK]"]}) == 3
    assert tint["[UNK]"] == plots.VERMILION
    where = {text.get_text(): text.get_position() for text in figure.axes[0].texts}
    centre = {text: at for text, at, _ in boxes(figure)}
    assert centre["master"][0] < where["masterpiece"][0] < centre["##piece"][0]
    assert where["masterpiece"][1] < centre["master"][1]  # y runs downwards
    assert not any(text.get_parse_math() for text in figure.axes[0].texts)  # a dollar sign is shown as such
    assert "not in the vocabulary" in where
    assert "not in the vocabulary" not in texts(plots.pieces(WORDS[:1]))


def test_without_a_tokenizer_all_pieces_but_the_first_continue_their_word():
    tint = faces(plots.pieces([("masterpiece", ["master", "piece"]), ("9", ["9"]), ("☃", ["☃", "[UNK]"])]))
    assert tint["master"] == tint["9"] == tint["☃"] != tint["piece"]
    assert tint["[UNK]"] == plots.VERMILION


def test_long_texts_continue_on_the_next_line():
    figure = plots.pieces(WORDS * 6)
    lines = rows_of(figure)
    assert len(lines) > 1
    assert [piece for line in lines for piece in line] == [piece for _, parts in WORDS * 6 for piece in parts]
    assert figure.get_size_inches()[0] < 9.5


def test_masked_text_shows_what_was_done_to_each_token():
    figure = masked_text()
    text, seen, guess = rows_of(figure)
    assert text == ["a", "film", "grew", "on", "me"]
    assert seen == ["a", "[MASK]", "tree", "on", "me"]
    assert guess == ["film", "grew", "me"]
    changed = {word: patch for word, (_, y), patch in boxes(figure) if y == boxes(figure)[1][1][1]}
    edges = {word: to_hex(patch.get_edgecolor()).upper() for word, patch in changed.items()}
    fills = {word: to_hex(patch.get_facecolor()).upper() for word, patch in changed.items()}
    assert (fills["[MASK]"], fills["tree"], edges["me"]) == (plots.BLUE, plots.ORANGE, plots.GREEN)
    assert (fills["a"], edges["a"]) == (fills["on"], edges["on"]) == ("#F2F2F2", plots.GREY)
    assert {"hidden: [MASK]", "replaced by a random token", "kept, but must be guessed too"} <= {*texts(figure)}
    columns = {word: at[0] for word, at, _ in boxes(figure)}
    assert columns["film"] == columns["[MASK]"]


def test_a_layer_map_joins_the_layers_that_are_copied():
    figure = layer_map()
    columns = sorted({at[0] for _, at, _ in boxes(figure)})
    stacked = [sorted((at[1], text) for text, at, _ in boxes(figure) if at[0] == x) for x in columns]
    assert [[text for _, text in column] for column in stacked] == [["3", "2", "1", "0"], ["1", "0"]] * 2
    height = [{text: y for y, text in column} for column in stacked]
    ends = [(round(start[1], 3), round(end[1], 3)) for start, end in arrows(figure)]
    assert ends == [(height[at][str(layer)], height[at + 1][str(own)])
                    for at, layers in ((0, (0, 2)), (2, (2, 3))) for own, layer in enumerate(layers)]  # fmt: skip
    chosen = [text for text, at, patch in boxes(figure) if at[0] == columns[0] and patch.get_facecolor()[0] < 1]
    assert chosen == ["0", "2"]


def test_stacks_grow_upwards_and_draw_a_repeated_part_as_one_thing():
    figure = stacks()
    columns = sorted({at[0] for _, at, _ in boxes(figure)})
    built = [
        [text for _, text in sorted((-at[1], text) for text, at, _ in boxes(figure) if at[0] == x)] for x in columns
    ]
    assert built == [[*STACKS["long"]], [*STACKS["shared"]]]
    own = [to_hex(patch.get_facecolor()).upper() for text, at, patch in boxes(figure) if at[0] == columns[0]]
    shared = [to_hex(patch.get_facecolor()).upper() for text, at, patch in boxes(figure) if at[0] == columns[1]]
    assert own[1] == own[2] == own[3]
    assert len({*own}) == 3
    assert shared == [own[0], own[1], "#FFFFFF", "#FFFFFF"]  # the copies are outlines
    assert "the same block,\n3 times" in texts(figure)
    (brace,) = (patch for patch in figure.axes[0].patches if isinstance(patch, PathPatch))
    held = [at[1] for text, at, _ in boxes(figure) if at[0] == columns[1] and text == "block 1"]
    spread = brace.get_path().vertices[:, 1]
    assert spread.min() < min(held)
    assert max(held) < spread.max()
    assert (spread.max() + spread.min()) / 2 == pytest.approx((min(held) + max(held)) / 2)


def test_a_course_map_leads_from_each_lesson_to_the_next():
    figure = course_map()
    assert {"1", "2", "3", "Attention", "Many heads", "A whole BERT", "Parts", "Models"} == {*texts(figure)}
    first, second, third = map(middle, shapes(figure))
    assert first[1] == second[1] < third[1]
    assert first[0] == third[0] < second[0]
    (along, down) = arrows(figure)
    assert first[0] < along[0][0] < along[1][0] < second[0]
    assert down[0][0] == pytest.approx(second[0])
    assert down[1][0] == pytest.approx(third[0])
    assert {"5 min", "9 min"} <= {*texts(plots.course_map(LESSONS, notes={"1": "5 min", "3": "9 min"}))}
    marked = [to_hex(patch.get_facecolor()).upper() == plots.ORANGE for patch in shapes(figure)]
    assert marked == [False, True, False]


def test_an_encoder_block_is_post_norm_with_a_residual_around_each_part():
    figure = encoder_block()
    column = min(at[0] for _, at, _ in boxes(figure))
    upwards = [text for _, text in sorted((-at[1], text) for text, at, _ in boxes(figure) if at[0] == column)]
    assert upwards == ["multi-head\nattention", "add & norm", "feed-forward", "add & norm"]
    assert Counter(texts(figure))["residual"] == 2
    assert Counter(texts(figure))["(B, H, S, K)"] == 3
    assert {"(B, H, S, S)", "(B, S, F)", "linear\nD → F", "linear\nF → D", "q: D → D"} <= {*texts(figure)}
    joined = [round(end[1], 2) for start, end in arrows(figure) if start[1] - end[1] > 1.2 and start[0] <= column]
    assert joined == [round(at[1], 2) for text, at, _ in boxes(figure) if text == "add & norm"][::-1]
    assert "L times, with the same weights" not in texts(figure)
    assert "L times, with the same weights" in texts(shared_block())
    assert len(arrows(shared_block())) == len(arrows(figure)) + 1


def test_bars_are_to_scale_with_names_and_numbers_and_marks():
    figure = bars_below()
    drawn = shapes(figure)
    long, short, none = (patch.get_width() for patch in drawn)
    assert short / long == pytest.approx(9.8 / 13.4)
    assert 0 < none < 0.02
    assert {"BERT", "RoBERTa, longer", "13.4", "9.8", "0.0", "errors"} <= {*texts(figure)}
    marked, plain, _ = (to_hex(patch.get_facecolor()).upper() for patch in drawn)
    assert (marked, plain) == (plots.ORANGE, plots.SKY)


def test_looks_are_dark_where_the_weight_is_large():
    figure = looks()
    cells = [patch.get_facecolor() for patch in shapes(figure)[: WEIGHTS[:2].size]]
    light = np.array([sum(colour[:3]) for colour in cells])
    assert (np.diff(light[(-WEIGHTS[:2].ravel()).argsort()]) > -1e-9).all()  # the largest weight is the darkest
    assert Counter(texts(figure)) == Counter([*TOKENS[:2], *TOKENS])


def test_widths_are_to_one_scale_around_one_middle():
    figure = widths()
    drawn = {patch.get_width(): patch for patch in shapes(figure)}
    assert np.array(list(drawn)) / max(drawn) == pytest.approx(np.array([768, 3072, 512, 128]) / 3072)
    assert len({middle(patch)[0] for patch in drawn.values()}) == 1
    assert {"wide", "thin", "768", "3,072", "512", "128"} <= {*texts(figure)}


def test_a_decoder_reads_what_it_writes_one_step_late():
    rows = rows_of(encoder_decoder())
    assert rows == [["my", "aunt", "sang", "</s>"], ["start", "my", "aunt", "sang"], ["my", "[MASK]", "</s>"]]
    across = [end for start, end in arrows(encoder_decoder()) if start[1] - end[1] > 1]
    assert len(across) == 1  # from the encoder to the decoder
    assert rows_of(plots.encoder_decoder(["my"], ["my", "aunt"], start="</s>"))[1] == ["</s>", "my"]


def test_a_bottleneck_block_has_its_widths_to_scale_and_values_that_read_the_wide_vector():
    figure = plots.bottleneck_block(outside=256, body=64, inner=128, times=3)
    drawn = {text: patch for text, _, patch in boxes(figure)}
    assert [text for text, _, _ in boxes(figure)].count("feed-forward") == 3
    wide = drawn["out"].get_width()
    assert [drawn[name].get_width() / wide for name in ("x", "narrow", "shared", "inside", "feed-forward")] == (
        pytest.approx([1, 0.25, 0.25, 0.25, 0.5])
    )
    lower = middle(drawn["attention"])[1] + drawn["attention"].get_height() / 2
    read = sorted(start[1] for start, end in arrows(figure) if end[1] == pytest.approx(lower))
    shared, whole = (drawn[name].get_y() for name in ("shared", "x"))
    assert read == pytest.approx([shared, shared, whole])  # queries, keys, values
    assert {"3 times:\n64 → 128\n→ 64,\nadd & norm", "residual"} <= {*texts(figure)}


@pytest.mark.parametrize("draw", [bars_below, looks, widths, bottleneck_block, encoder_decoder])
def test_narrow_figures_can_be_read_on_a_telephone(draw):
    assert draw().get_size_inches()[0] <= 5.6


@pytest.mark.many
@EVERY_FIGURE
def test_no_text_covers_another_or_is_cut_off(draw):
    figure = draw()
    figure.draw_without_rendering()
    written = [text for axes in figure.axes for text in [*axes.texts, axes.title, axes._left_title]]
    ticks = [label for axes in figure.axes if axes.axison for label in axes.get_yticklabels()]
    upright = [text for text in written + ticks if text.get_text() and text.get_rotation() in (0, 90)]
    extents = [(text, text.get_window_extent()) for text in upright]
    assert not [(a, b) for i, (a, box) in enumerate(extents) for b, other in extents[:i] if box.overlaps(other)]
    width, height = figure.bbox.size
    extents += [(patch, patch.get_window_extent()) for patch in figure.axes[0].patches]
    cut = [thing for thing, box in extents if box.x0 < 0 or box.y0 < 0 or box.x1 > width or box.y1 > height]
    assert not [thing for thing in cut if thing not in ticks]


# ------------------------------------------------------------------------------------------ what is refused


@pytest.mark.parametrize(
    ("draw", "sentence"),
    [
        (lambda: plots.parameters_by_part(COUNTS, ["only one"]), "2 models, 1 notes"),
        (lambda: plots.parameters_by_part({}), "at least 1"),
        (lambda: plots.parameters_by_part({"a": {"words": -1}}), "negative"),
        (lambda: plots.speed({}), "not empty"),
        (lambda: plots.speed({"A": {}}), "not empty"),
        (lambda: plots.speed(SPEEDS, {"D against B": 2.0}), "of these only"),
        (lambda: plots.speed({"A": {"8": (2.0, 2.1, 2.2)}}), "A, 8: the median 2.0 is not between 2.1 and 2.2"),
        (lambda: plots.retention({}), "at least one row"),
        (lambda: plots.retention(KEPT, ["mean"]), "averages only of these"),
        (lambda: plots.retention({"a": ((1, 0.9, 0.8), (1, 1, 1))}), "a: an interval ends before it begins"),
        (lambda: plots.ablation({}), "a panel with variants"),
        (lambda: plots.ablation({"loss": {}}), "a panel with variants"),
        (lambda: plots.ablation({"loss": {"a": []}}), "at least one seed"),
        (lambda: plots.ablation({"loss": {"a": [1]}, "accuracy": {"b": [1]}}), "do not list the same variants"),
        (lambda: plots.ablation({"loss": {"a": [1]}}, intervals={"loss": {"a": (2, 3)}}), "a, loss: the mean 1.0 is"),
        (lambda: plots.ablation({"loss": {"a": [1]}}, intervals={"loss": {}}), "an interval for each"),
        (lambda: plots.speed_up_by_bandwidth([], [], LINKS, 1.7), "at least 1"),
        (lambda: plots.speed_up_by_bandwidth([1, 2], [1], LINKS, 1.7), "2 bandwidths, 1 ratios"),
        (lambda: plots.speed_up_by_bandwidth([1, 1], [1, 1], LINKS, 1.7), "must be above 0 and increase"),
        (lambda: plots.speed_up_by_bandwidth([0, 1], [1, 1], LINKS, 1.7), "must be above 0 and increase"),
        (lambda: plots.speed_up_by_bandwidth([1, 2], [1, 0], LINKS, 1.7), "speed-ups be above 0"),
        (lambda: plots.attention(WEIGHTS, TOKENS[:2]), r"\(3, 3\) but there are 2 tokens"),
        (lambda: plots.attention(WEIGHTS[:2], TOKENS), r"\(2, 3\) but there are 3 tokens"),
        (lambda: plots.attention(WEIGHTS.T, TOKENS), "sum to 1"),
        (lambda: plots.attention(WEIGHTS[:2], TOKENS[:2], others=TOKENS[:2]), r"2 tokens that look at 2.*\(S, T\)"),
        (lambda: plots.attention(np.zeros((0, 0)), []), "0 tokens"),
        (lambda: plots.vectors({}), "shape"),
        (lambda: plots.vectors({"a": (0, 0)}), "with a length"),
        (lambda: plots.vectors({"a": (1, np.inf)}), "not two finite numbers"),
        (lambda: plots.vectors({"a": (1, 2, 3)}), "not two finite numbers"),
        (lambda: plots.vectors({"a": (1, 2), "b": (1, 2, 3)}), "cannot be read as numbers"),
        (lambda: plots.vectors({"a": (1, 2)}, angles=[("a", "b")]), "name two of a"),
        (lambda: plots.lines({}, "x", "y"), "needs a curve"),
        (lambda: plots.lines({"a": ([1, 2], [1])}, "x", "y"), "a has 2 x and 1 y"),
        (lambda: plots.lines({"a": ([1, 2], [1, np.inf])}, "x", "y"), "not finite"),
        (lambda: plots.lines({"a": ([1, 2], [1, np.nan])}, "x", "y"), "there is a NaN in the y of a"),
        (lambda: plots.flow({}), "needs panels"),
        (lambda: plots.flow({"angle": {}}), "needs panels"),
        (lambda: plots.flow({"angle": {"a": []}}), "the y of a"),
        (lambda: plots.distributions({}, ["a"]), "0 panels"),
        (lambda: plots.distributions({"T = 1": [0.5, 0.5]}, ["a"]), "T = 1 has 2 values for 1 labels"),
        (lambda: plots.distributions({"T = 1": ["many"]}, ["a"]), "cannot be read as numbers"),
        (lambda: plots.shares({}, {}), "shape"),
        (lambda: plots.shares({"a": 1}, {"b": 1}), "both the same names"),
        (lambda: plots.shares({"a": -1}, {}), "negative"),
        (lambda: plots.shares({"a": 1}, {"a": np.inf}), "not finite"),
        (lambda: plots.family({}, {"size": "size"}), "models and panels"),
        (lambda: plots.family(MEASURED, {}), "models and panels"),
        (lambda: plots.family(MEASURED, {"depth": "layers"}), "has no value"),
        (lambda: plots.family({"a": {"size": -1}}, {"size": "size"}), "negative"),
        (lambda: plots.grid([1, 2], "a", "xy"), r"the shape of the matrix is \(2,\)"),
        (lambda: plots.grid([[1, 2]], "ab", "xy"), r"shape \(1, 2\) for 2 row and 2 column labels"),
        (lambda: plots.grid([[1, 2]], "a", "x"), "1 column labels"),
        (lambda: plots.grid([[1, np.inf]], "a", "xy"), "\\+∞"),
        (lambda: plots.grid([[1, np.nan]], "a", "xy"), "there is a NaN in the matrix"),
        (lambda: plots.grid([[1, 2]], "a", "xy", low=2, high=1), "from 2 to 1"),
        (lambda: plots.grid(torch.ones(1, 1, requires_grad=True), "a", "x"), "requires grad"),
        (lambda: plots.grid(np.ones((1, 40)), "a", ["x"] * 40), "inches"),
        (lambda: plots.grids({}, "a", "x"), "0 panels"),
        (lambda: plots.grids({"a": [[1]], "b": [[1]]}, "a", "x", digits=[1]), "2 panels, 1 digits"),
        (lambda: plots.grids({"a": [[1]], "b": [[1, 2]]}, "a", "x"), "b has shape"),
        (lambda: plots.similarity(SCORES, "ab"), "2 column labels"),
        (lambda: plots.similarity([[1, 0.5], [0.4, 1]], "ab"), "not symmetric"),
        (lambda: plots.similarity(ALIKE, []), "not symmetric, or have no labels"),
        (lambda: plots.similarity(ALIKE, "abc", low=1), "from 1 to 1"),
        (lambda: plots.head_split(np.zeros((2, 4)), 2, "a"), "2 rows for 1 tokens"),
        (lambda: plots.head_split(np.zeros((1, 4)), 3, "a"), "4 features cannot be divided into 3 heads"),
        (lambda: plots.head_split(np.zeros((1, 4)), 0, "a"), "into 0 heads"),
        (lambda: plots.head_split(np.zeros(4), 2, "a"), "2 axes"),
        (lambda: plots.masks({}, "a"), "0 panels"),
        (lambda: plots.masks({"causal": [[0.5]]}, "a"), "causal is not a mask"),
        (lambda: plots.masks({"causal": [[True]]}, "ab"), "causal has shape"),
        (lambda: plots.padded_batch([]), "0 lengths"),
        (lambda: plots.padded_batch([3, 0]), "must be an integer of 1 or more"),
        (lambda: plots.padded_batch([2.5]), "must be an integer of 1 or more"),
        (lambda: plots.padded_batch([2], names=["a", "b"]), "1 lengths, 2 names"),
        (lambda: plots.pieces([]), "at least one piece"),
        (lambda: plots.pieces([("a", [])]), "at least one piece"),
        (lambda: plots.masked_text([], [], []), "at least 1"),
        (lambda: plots.masked_text(["a"], ["a", "b"], [""]), "1 tokens, 2 seen, 1 labels"),
        (lambda: plots.masked_text(["a"], ["[MASK]"], [""]), "seen as “\\[MASK\\]” with the label “”"),
        (lambda: plots.masked_text(["a"], ["a"], ["b"]), "with the label “b”"),
        (lambda: plots.layer_map({}, 4), "at least one layer"),
        (lambda: plots.layer_map({"none": []}, 4), "at least one layer"),
        (lambda: plots.layer_map({"all": [0, 4]}, 4), "from 0 to 3"),
        (lambda: plots.stacks({}), "at least one part"),
        (lambda: plots.stacks({"a": []}), "at least one part"),
        (lambda: plots.bars({}, "errors"), "shape"),
        (lambda: plots.bars({"a": -1}, "errors"), "0 or more"),
        (lambda: plots.bars({"a": np.inf}, "errors"), "0 or more"),
        (lambda: plots.bars({"a": 1}, "errors", marked=["b"]), "must be among them"),
        (lambda: plots.looks([[1.2]], "a", "b"), "from 0 to 1"),
        (lambda: plots.looks([[1.0]], "ab", "b"), "2 row"),
        (lambda: plots.shifted(np.ones((2, 4)), "ab", "a"), "2 queries for 1 keys"),
        (lambda: plots.shifted(np.ones((2, 5)), "ab", "ab"), "a label for each"),
        (lambda: plots.shifted(np.ones((1, 8)), "g", "abcdefg"), "7 keys and 6 colours"),
        (lambda: plots.widths({}), "at least one step"),
        (lambda: plots.widths({"a": []}), "at least one step"),
        (lambda: plots.widths({"a": [("in", 0)]}), "integer of 1 or more"),
        (lambda: plots.encoder_decoder([], ["a"]), "at least one"),
        (lambda: plots.bottleneck_block(body=0), "integers of 1 or more"),
        (lambda: plots.bottleneck_block(times=1.5), "integers of 1 or more"),
        (lambda: plots.bottleneck_block(512, 129), "a quarter of outside"),
        (lambda: plots.bottleneck_block(512, 128, 513), "inner at most outside"),
        (lambda: plots.course_map([]), "rows of lessons"),
        (lambda: plots.course_map([[]]), "rows of lessons"),
        (lambda: plots.course_map(LESSONS, row_titles=["one"]), "give all rows a title, or none"),
        (lambda: plots.course_map(LESSONS, here="9"), "number 9"),
    ],
)
def test_data_that_do_not_fit_are_refused_in_words(draw, sentence):
    with pytest.raises(MinibertError, match=sentence):
        draw()


# ------------------------------------------------------------------------------------------ files


@pytest.mark.many
@EVERY_FIGURE
def test_files_are_png_and_the_same_every_time_whatever_the_user_has_set(draw, tmp_path):
    first = plots.save(draw(), tmp_path / "new" / "first.png")
    with matplotlib.rc_context({"font.size": 30, "lines.linewidth": 9, "savefig.dpi": 20, "axes.facecolor": "red"}):
        again = plots.save(draw(), tmp_path / "again.png")
    assert first.read_bytes() == again.read_bytes()
    height, width, _ = imread(first).shape
    assert min(height, width) > 200  # pixels
    assert imread(first)[..., :3].std() > 0.05  # something is drawn


@pytest.mark.many
@EVERY_FIGURE
def test_a_figure_shows_itself_in_a_notebook_at_the_size_of_a_page(draw):
    png, shown = draw()._repr_png_()
    height, width, _ = imread(io.BytesIO(png)).shape
    assert abs(shown["width"] - width / 1.25) <= 1  # drawn finer than it is shown
    assert abs(shown["height"] - height / 1.25) <= 1
    assert 200 < shown["width"] < 1000
    assert len(png) < 100_000


def test_what_a_notebook_shows_is_the_same_whatever_the_user_has_set():
    shown = masks()._repr_png_()
    with matplotlib.rc_context({"font.size": 30, "savefig.dpi": 20, "text.color": "red", "hatch.linewidth": 9}):
        assert masks()._repr_png_() == shown


def test_the_title_of_a_figure_is_its_alt_text():
    assert speed()._repr_png_()[1]["alt"] == "How many times as fast"  # above its axes
    assert flow()._repr_png_()[1]["alt"] == "How much each layer changes its input"  # above its panels
    assert course_map()._repr_png_()[1]["alt"] == "Lessons"
    assert plots.Picture()._repr_png_()[1]["alt"] == ""


def test_a_file_that_cannot_be_written_leaves_the_old_one_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "figure.png"
    path.write_text("old")

    def full(source, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.Path, "replace", full)
    with pytest.raises(MinibertError, match=r"figure.png cannot be written \(No space left on device\)"):
        plots.save(attention(), path)
    assert path.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["figure.png"]


def test_a_folder_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "figures").write_text("")
    with pytest.raises(MinibertError, match="cannot be written"):
        plots.save(attention(), tmp_path / "figures" / "a.png")
