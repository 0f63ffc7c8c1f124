"""The card with a check, and the one that the README begins with: it shows what the checker really says."""

from __future__ import annotations

import re
from pathlib import Path

from minibert import plots
from minibert.exercises.catalogue import exercises
from minibert.lessons import example_check
from minibert.plots.style import NARROW

ROOT = Path(__file__).parents[1]


def texts(figure) -> list[str]:
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def test_a_card_shows_the_code_the_stages_and_every_word_of_the_diagnosis():
    words = " ".join(f"word{number}" for number in range(40))
    figure = plots.checked("a = 1\nb = 2\n", "check(a)", "x: failed", [("✓", "shape"), ("✗", "values")], words, "more")
    shown = texts(figure)
    assert shown[:5] == ["a = 1", "b = 2", "", "check(a)", "x: failed"]
    assert {"✓ shape", "✗ values", "more"} <= set(shown)
    assert " ".join(one for one in shown if one.startswith("word")) == words
    assert figure.get_figwidth() <= NARROW + 0.01
    colours = {text.get_text(): text.get_color() for text in figure.axes[0].texts}
    assert colours["✓ shape"] != colours["✗ values"]


def test_no_line_of_a_card_is_small_or_reaches_beyond_it():
    many = [("·", f"stage {number}") for number in range(12)]
    figure = plots.checked("x" * 60, "check()", "head", many, "diagnosis", "note")
    figure.canvas.draw()
    right = figure.get_window_extent().x1
    for text in figure.axes[0].texts:
        assert text.get_fontsize() >= 8
        assert text.get_window_extent().x1 <= right, text.get_text()


def test_the_example_is_what_the_checker_says():
    found = example_check.result()
    assert found.status == "failed"
    assert len(found.mistakes) == 3
    assert set(found.mistakes) <= {one.name for one in exercises()["attention"].mistakes}
    shown = " ".join(texts(example_check.drawn_check()))
    assert found.diagnosis in shown
    assert found.hints[0] in shown


def test_the_readme_shows_the_card_first_and_the_same_code_later():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert (ROOT / "figures" / "check.png").is_file()
    first = re.findall(r"!\[.*\]\((.*)\)", readme)[:2]
    assert first == ["figures/check.png", "figures/lessons.png"]
    assert readme.index("figures/check.png") < readme.index("## Two lines") < readme.index("figures/lessons.png")
    for line in [*example_check.ANSWER.strip().split("\n"), example_check.CALL]:
        assert line in readme
