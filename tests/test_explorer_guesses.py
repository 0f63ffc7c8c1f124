"""The explorer with masks in the text: the model's guesses under them, for all seven, in a folder and in a browser."""

from __future__ import annotations

import html
import json
import re
import warnings

import numpy as np
import pytest
from test_explorer import TITLE, in_browser, uniform, views_in
from test_explorer_views import BEFORE, LEARNED, TEXT, tokenizer_of
from test_filling import TWO, model_of

import minibert
from minibert.filling import fill, guesses
from minibert.lessons.explorer import View, Words, explore
from minibert.lessons.explorer_page import page_of


def guessed_in(words: dict) -> dict[int, list[tuple[str, float]]]:
    """place -> guesses, of one list of words that a page was given."""
    return {int(place): [(word, share) for word, share in one] for place, one in words.get("guesses", {}).items()}


def expected(family: str, text: str, pair: str | None = None) -> dict[int, list[tuple[str, float]]]:
    tok = tokenizer_of(family)
    encoding = tok.encode(*(one and one.replace("[MASK]", tok.special.mask) for one in (text, pair)))
    places = [place for place, token in enumerate(encoding.tokens) if token == tok.special.mask]
    found = guesses(model_of(family), tok, encoding)
    return {
        place: [(guess.shown, pytest.approx(guess.probability, abs=6e-5)) for guess in one]
        for place, one in zip(places, found, strict=True)
    }


@pytest.mark.parametrize("family", LEARNED)
@pytest.mark.parametrize("pair", [None, "It was [MASK]."])
def test_the_guesses_are_under_the_masks_of_the_text_that_is_read(family, pair, tmp_path):
    model, tok = model_of(family), tokenizer_of(family)
    minibert.save_pretrained(tmp_path / "saved", model, tok)
    views = views_in(explore(TWO, pair, tmp_path / "saved").html())
    wanted = expected(family, TWO, pair)
    assert len(wanted) == (2 if pair is None else 3)
    for view, _ in views:
        for words in view["words"]:
            own_of_decoder = words["name"] == "written" or view["name"].endswith("own words")
            assert guessed_in(words) == ({} if own_of_decoder else wanted)
            if not own_of_decoder:
                assert {words["tokens"][place] for place in wanted} == {tok.special.mask}
                assert words["guessed"].startswith(f"Under {tok.special.mask}: the words")
                assert model.about_masks(len(wanted)) in words["guessed"]
    again = views_in(explore(TWO, pair, model, tok).html())
    assert [view for view, _ in views] == [view for view, _ in again]


def test_without_a_pair_they_are_those_of_fill():
    model, tok = model_of("bert"), tokenizer_of("bert")
    (view, _), = views_in(explore(TWO, None, model, tok).html())  # fmt: skip
    found = fill(TWO, model, tokenizer=tok).masks
    assert [[word for word, _ in one] for one in guessed_in(view["words"][0]).values()] == [
        [guess.shown for guess in one] for one in found
    ]


def test_a_mask_may_be_written_in_either_way_in_all_texts():
    for family in ("bert", "xlnet"):
        model, tok = model_of(family), tokenizer_of(family)
        pages = [explore(f"She {mask}.", f"It {mask}.", model, tok).html() for mask in ("[MASK]", "<mask>")]
        assert pages[0] == pages[1]
        assert len(guessed_in(views_in(pages[0])[0][0]["words"][0])) == 2
    views = views_in(explore("She slept.", None, model, tok, before="It [MASK].").html())
    assert tok.special.mask in views[0][0]["words"][0]["tokens"]


def test_without_a_mask_or_without_the_head_there_are_no_guesses(tmp_path):
    tok = tokenizer_of("bert")
    assert "guesses" not in views_in(explore(TEXT, None, model_of("bert"), tok).html())[0][0]["words"][0]
    backbone = model_of("bert").backbone
    minibert.save_pretrained(tmp_path / "bare", backbone, tok)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for given in ({"model": backbone, "tokenizer": tok}, {"model": tmp_path / "bare"}):
            (view, weights), = views_in(explore(TWO, None, **given).html())  # fmt: skip
            assert "guesses" not in view["words"][0]
            assert abs(weights - views_in(explore(TWO, None, model_of("bert"), tok).html())[0][1]).max() == 0
    xlnet = explore(TEXT, None, model_of("xlnet"), tokenizer_of("xlnet"), before=BEFORE)
    assert not any("guesses" in words for view, _ in views_in(xlnet.html()) for words in view["words"])


def test_a_page_with_guesses_is_higher_in_a_notebook():
    model, tok = model_of("bert"), tokenizer_of("bert")
    assert explore("She [MASK].", None, model, tok).height > explore("She slept.", None, model, tok).height


# ------------------------------------------------------------------------------------------ in a browser

PROBE = """
<pre id="probe"></pre>
<script>
"use strict";
const lists = [...document.querySelectorAll(".guesses")];
const frame = (element) => element.getBoundingClientRect();
const below = (list) => frame(list).top >= frame(list.parentElement.querySelector("b")).bottom;
document.getElementById("probe").textContent = JSON.stringify({
  masks: lists.map((list) => list.parentElement.querySelector("b").textContent),
  words: lists.map((list) => [...list.querySelectorAll("bdi")].map((word) => word.textContent)),
  numbers: lists.map((list) => [...list.querySelectorAll(".number")].map((number) => number.textContent)),
  bars: lists.map((list) => [...list.querySelectorAll(".share")].map((bar) => bar.style.backgroundSize)),
  below: lists.every(below),
  framed: document.querySelector(".word[aria-checked=true] b").textContent,
  weights: [...document.querySelectorAll(".word small")].map((small) => small.textContent),
  about: document.getElementById("guessed").textContent,
  seen: document.getElementById("guessed").offsetHeight > 0,
  fits: document.documentElement.scrollWidth <= innerWidth });
</script>
"""


def probed(document: str, tmp_path) -> dict:
    done = in_browser(document.replace("</body>", PROBE + "</body>"), tmp_path)
    assert [line for line in done.stderr.splitlines() if "CONSOLE" in line] == []
    (probe,) = re.findall(r'<pre id="probe">(.*?)</pre>', done.stdout, re.DOTALL)
    return json.loads(html.unescape(probe))


@pytest.mark.slow
def test_in_a_browser_the_guesses_hang_under_their_masks(tmp_path):
    tokens = ["[CLS]", "a", "[M]", "b", "[M]", "[SEP]"]
    found = {2: [("good", 0.5), ("<b>", 0.0417)], 4: [("…ing", 1.0), ("שלום", 0.0)]}
    weights = np.array([[np.eye(6) * 0.7 + 0.05]])
    words = Words(tokens, [None, 0, 0, 0, 0, None], guesses=found, guessed="Under [M]: guesses.")
    seen = probed(page_of([View(weights, [words])], TITLE), tmp_path)
    assert seen["masks"] == ["[M]", "[M]"]
    assert seen["words"] == [["good", "<b>"], ["…ing", "שלום"]]
    assert seen["numbers"] == [["50.0%", "4.2%"], ["100.0%", "0.0%"]]
    assert [bars[0] for bars in seen["bars"]] == ["50% 100%", "100% 100%"]
    assert seen["below"]
    assert seen["framed"] == "[M]"  # it begins there
    assert seen["weights"] == [".05", ".05", ".75", ".05", ".05", ".05"]
    assert seen["about"] == "Under [M]: guesses."
    assert seen["seen"]
    assert seen["fits"]


@pytest.mark.slow
def test_in_a_browser_a_page_without_guesses_says_nothing_of_them(tmp_path):
    seen = probed(page_of([View(uniform(2), [Words(["a", "b"])])], TITLE), tmp_path)
    assert seen["words"] == []
    assert not seen["seen"]
