"""Figures show the numbers that they were given, refuse what cannot be drawn, and come out the same every time."""

from __future__ import annotations

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

from minibert import plots
from minibert.errors import MinibertError

COUNTS = {
    "large": {"words": 40_000_000, "blocks": 200_000_000, "rest": 1_000_000},
    "small": {"words": 40_000_000, "blocks": 25_000_000},
}
SPEEDS = {
    "A against B": {"32 tokens": (1.9, 1.8, 2.1), "128 tokens": (2.0, 1.9, 2.0)},
    "C against B": {"8": (0.9, 0.7, 1.0)},
}
KEPT = {"distilled": {1: [0.7, 0.8], 3: [0.84, 0.86]}, "alone": {1: [0.7], 3: [0.84]}}
TEACHER = [0.86, 0.9]
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
    return plots.retention(KEPT, TEACHER)


def ablation() -> Figure:
    return plots.ablation(CHANGES)


def speed_up() -> Figure:
    return plots.speed_up_by_bandwidth([0.1, 1, 10, 1000], [12, 4, 1.5, 1.2], LINKS, 1.7, reached=8.0)


EVERY_FIGURE = pytest.mark.parametrize("draw", [parameters, speed, attention, retention, ablation, speed_up])


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.axes[0].texts]


# ------------------------------------------------------------------------------------------ what is shown


def test_parameters_are_stacked_in_millions_from_the_first_model_downwards():
    axes = parameters().axes[0]
    bars = [[(bar.get_x(), bar.get_width()) for bar in part] for part in axes.containers]
    assert bars == [[(0, 40), (0, 40)], [(40, 200), (40, 25)], [(240, 1), (65, 0)]]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["large", "small"]
    assert axes.yaxis_inverted()


def test_parameters_carry_their_totals_notes_and_names_of_parts():
    figure = parameters()
    said = texts(figure)
    assert "241 M" in said
    assert "65.0 M" in said
    assert "27% of large" in said
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


def test_attention_shows_the_weights_and_frames_the_cells_asked_for():
    axes = attention().axes[0]
    np.testing.assert_array_equal(axes.images[0].get_array(), WEIGHTS)
    assert axes.images[0].get_clim() == (0, 1)
    assert [label.get_text() for label in axes.get_yticklabels()] == TOKENS
    assert [label.get_text() for label in axes.get_xticklabels()] == TOKENS
    (frame,) = axes.patches
    assert frame.get_xy() == (1.5, 0.5)  # column 2, row 1
    assert texts(axes.figure) == [".90", ".25", ".25", ".50", ".80"]


def test_retention_shows_means_and_deviations_over_the_seeds_by_depth():
    axes = retention().axes[0]
    distilled, alone = axes.containers
    np.testing.assert_allclose(distilled[0].get_ydata().astype(float), [75, 85])
    np.testing.assert_allclose(distilled[0].get_xdata().astype(float).round(), [1, 3])
    ends = [[y for _, y in segment] for segment in distilled[2][0].get_segments()]
    half = 100 * 2**0.5 * np.array([0.05, 0.01])
    np.testing.assert_allclose(ends, [(75 - half[0], 75 + half[0]), (85 - half[1], 85 + half[1])])
    assert [y for segment in alone[2][0].get_segments() for _, y in segment] == [70, 70, 84, 84]  # one seed: no spread
    assert {"distilled", "alone", "the teacher", "97% of it"} == {*texts(axes.figure)}


def test_retention_shows_the_teacher_as_a_band_and_the_share_of_it():
    axes = retention().axes[0]
    (band,) = axes.patches
    half = 100 * 0.02 * 2**0.5
    np.testing.assert_allclose((band.get_y(), band.get_height()), (88 - half, 2 * half))
    levels = [float(line.get_ydata()[0]) for line in axes.lines if list(line.get_xdata()) == [0, 1]]  # across the axes
    assert levels == pytest.approx([88, 0.97 * 88])


def test_the_names_of_lines_stand_beside_their_ends_in_the_same_order():
    axes = retention().axes[0]
    heights = {text.get_text(): (text.xy[1], text.xyann[1]) for text in axes.texts}
    by_end, by_name = (sorted(heights, key=lambda name, at=at: heights[name][at]) for at in (0, 1))
    assert by_end == by_name == ["alone", "distilled", "97% of it", "the teacher"]


def test_an_ablation_is_sorted_by_its_first_measure_and_shows_every_seed():
    figure = ablation()
    first, second = figure.axes
    assert [label.get_text() for label in first.get_yticklabels()] == ["a little", "a lot"]
    assert first.yaxis_inverted()
    assert [axes.get_xlabel() for axes in figure.axes] == list(CHANGES)
    for axes, bars in ((first, [2, -4]), (second, [0.1, 0.6])):
        np.testing.assert_allclose([bar.get_width() for bar in axes.patches], bars)
    dots = [line.get_xdata().tolist() for line in first.lines if line.get_marker() == "o"]
    assert dots == [[1, 2, 3], [-4, -5, -3]]
    spreads = [c[2][0].get_segments()[0][:, 0].tolist() for c in first.containers if hasattr(c, "has_xerr")]
    np.testing.assert_allclose(spreads, [[1, 3], [-5, -3]])


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


@EVERY_FIGURE
def test_no_text_covers_another(draw):
    figure = draw()
    figure.draw_without_rendering()
    axes = figure.axes[0]
    written = [text for text in [*axes.texts, *axes.get_yticklabels(), axes.title] if text.get_text()]
    boxes = [(text.get_text(), text.get_window_extent()) for text in written]
    assert not [(a, b) for i, (a, box) in enumerate(boxes) for b, other in boxes[:i] if box.overlaps(other)]


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
        (lambda: plots.retention({}, TEACHER), "needs a teacher and lines"),
        (lambda: plots.retention({"a": {}}, TEACHER), "needs a teacher and lines"),
        (lambda: plots.retention({"a": {1: []}}, TEACHER), "needs a teacher and lines"),
        (lambda: plots.retention(KEPT, []), "needs a teacher and lines"),
        (lambda: plots.retention({"a": {1: [85.0]}}, TEACHER), "not between 0 and 1"),
        (lambda: plots.ablation({}), "a panel with variants"),
        (lambda: plots.ablation({"loss": {}}), "a panel with variants"),
        (lambda: plots.ablation({"loss": {"a": []}}), "each with a seed"),
        (lambda: plots.ablation({"loss": {"a": [1]}, "accuracy": {"b": [1]}}), "do not list the same variants"),
        (lambda: plots.speed_up_by_bandwidth([], [], LINKS, 1.7), "at least 1"),
        (lambda: plots.speed_up_by_bandwidth([1, 2], [1], LINKS, 1.7), "2 bandwidths, 1 ratios"),
        (lambda: plots.speed_up_by_bandwidth([1, 1], [1, 1], LINKS, 1.7), "must grow"),
        (lambda: plots.speed_up_by_bandwidth([0, 1], [1, 1], LINKS, 1.7), "must grow from above 0"),
        (lambda: plots.speed_up_by_bandwidth([1, 2], [1, 0], LINKS, 1.7), "above 0"),
        (lambda: plots.attention(WEIGHTS, TOKENS[:2]), r"\(3, 3\) but there are 2 tokens"),
        (lambda: plots.attention(WEIGHTS[:2], TOKENS), r"\(2, 3\) but there are 3 tokens"),
        (lambda: plots.attention(WEIGHTS.T, TOKENS), "sum to 1"),
        (lambda: plots.attention(np.zeros((0, 0)), []), "0 tokens"),
    ],
)
def test_data_that_do_not_fit_are_refused_in_words(draw, sentence):
    with pytest.raises(MinibertError, match=sentence):
        draw()


# ------------------------------------------------------------------------------------------ files


@EVERY_FIGURE
def test_files_are_png_and_the_same_every_time_whatever_the_user_has_set(draw, tmp_path):
    first = plots.save(draw(), tmp_path / "new" / "first.png")
    with matplotlib.rc_context({"font.size": 30, "lines.linewidth": 9, "savefig.dpi": 20, "axes.facecolor": "red"}):
        again = plots.save(draw(), tmp_path / "again.png")
    assert first.read_bytes() == again.read_bytes()
    height, width, _ = imread(first).shape
    assert min(height, width) > 350  # pixels
    assert imread(first)[..., :3].std() > 0.05  # something is drawn


def test_a_file_that_cannot_be_written_leaves_the_old_one_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "figure.png"
    path.write_text("old")

    def full(source, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(plots.os, "replace", full)
    with pytest.raises(MinibertError, match=r"figure.png cannot be written \(No space left on device\)"):
        plots.save(attention(), path)
    assert path.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["figure.png"]


def test_a_folder_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "figures").write_text("")
    with pytest.raises(MinibertError, match="cannot be written"):
        plots.save(attention(), tmp_path / "figures" / "a.png")
