"""The explorer in a browser: lengths instead of weights, a pair of tokens step by step, and colours at night."""

from __future__ import annotations

import html
import json
import math
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from test_explorer import HALF, ODD, TITLE, WEIGHTS, in_browser, numbers, page, uniform
from test_explorer_parts import KEYS, MADE, NORMS, PARTS, QUERIES, SCORES, SIZE, by_hand, made
from test_explorer_views import run
from test_site import contrast

import minibert
from minibert.lessons import explorer_page
from minibert.lessons.explorer import Parts, View, Words, explore
from minibert.lessons.explorer_page import TEMPLATE, page_of
from minibert.lessons.explorer_server import OPENING, form

# ------------------------------------------------------------------------------------------ the colours


def test_day_and_night_have_the_same_colours_and_both_can_be_read():
    template = TEMPLATE.read_text(encoding="utf-8")
    night = re.search(r'<style id="night" media="([^"]*)">(.*?)</style>', template, re.DOTALL)
    assert night[1] == "screen and (prefers-color-scheme: dark)"
    palettes = [re.search(r":root \{(.*?)\}", text, re.DOTALL)[1] for text in (template, night[2])]
    day, at_night = (dict(re.findall(r"(--\w+): (#\w+)", palette)) for palette in palettes)
    assert day.keys() == at_night.keys() == set(re.findall(r"var\((--\w+)\)", template))
    for colours in (day, at_night):
        for ink in ("--ink", "--soft", "--blue", "--wrong"):
            assert contrast(colours[ink], colours["--paper"]) >= 4.5
        assert contrast(colours["--chosen"], colours["--paper"]) >= 3  # a line
    outside = re.sub(r":root \{.*?\}", "", template, flags=re.DOTALL)
    assert set(re.findall(r": [^;]*?(#[0-9a-fA-F]{3,6})\b", outside)) <= {"#009E73"}  # the bars of guessed words


# ------------------------------------------------------------------------------------------ in a browser


def probed(document: str, script: str, tmp_path):
    """What a script, an expression, finds in the page."""
    probe = f'<pre id="probe"></pre><script>document.getElementById("probe").textContent = JSON.stringify({script});'
    done = in_browser(document.replace("</body>", f"{probe}</script></body>"), tmp_path)
    told = [line for line in done.stderr.splitlines() if "CONSOLE" in line and "Multiple readback" not in line]
    assert told == []
    (found,) = re.findall(r'<pre id="probe">(.*?)</pre>', done.stdout, re.DOTALL)
    return json.loads(html.unescape(found))


STATE = """(() => {
  const text = (id) => document.getElementById(id).textContent, hidden = (id) => document.getElementById(id).hidden;
  const items = (place) => [...document.querySelectorAll(place)];
  const look = () => ({ said: text("said"), top: text("top"), unit: text("unit"), explained: !hidden("explained"),
    link: document.getElementById("link").getAttribute("href"), heading: text("pair"),
    steps: items("#steps li").map((step) => step.textContent), bars: items("#bars rect").map((bar) => bar.dataset.d),
    up: items("#bars .up").map((bar) => bar.dataset.d).sort(), label: document.getElementById("bars").ariaLabel,
    one: text("one"), table: items("#rows tr").map((row) => [...row.children].map((cell) => cell.textContent)),
    chosen: ["asking", "asked"].map((id) => document.getElementById(id).value), pairs: !hidden("pairs"),
    score: !hidden("score"), lacking: !hidden("lacking"), follow: !hidden("follow"), kinds: !hidden("kinds"),
    small: items(".word:not([hidden]) small").map((number) => number.textContent),
    fits: document.documentElement.scrollWidth <= innerWidth });
  const click = (place) => document.querySelector(place).click();
  const pick = (id, value) => { const box = document.getElementById(id); box.value = value;
    box.dispatchEvent(new Event("change")); };
  const steps = [STEPS];
  return steps.map((step) => { step(); return look(); });
})()"""


def states(document: str, steps: str, tmp_path) -> list[dict]:
    return probed(document, STATE.replace("STEPS", steps), tmp_path)


def shown(number: float, decimals: int = 3) -> str:
    return f"{number:.{decimals}f}".replace("-", "−")


def length(number: float) -> str:
    """With two decimals, or two digits if there are none, and without the first zero."""
    return (f"{number:.2f}" if number >= 0.05 else f"{number:.2g}").removeprefix("0")


def numbers_of(text: str) -> list[float]:
    """The numbers in a sentence, without their signs."""
    powers = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")
    plain = re.sub("·10([⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+)", lambda power: f"e{power[1].translate(powers)}", text)
    return [float(one) for one in re.findall(r"\d+(?:\.\d+)?(?:e-?\d+)?", plain)]


@pytest.mark.slow
def test_in_a_browser_the_value_weighted_view_shows_lengths(tmp_path):
    steps = """() => goTo("#layer=2&head=1&word=1"), () => click("[name=kind][value=added]"),
      () => click("[name=direction][value=to]"), () => click("[name=kind][value=raw]"),
      () => goTo("#layer=1&head=2&word=3&weighted=1"), () => goTo("#layer=1&head=2&word=3&weighted=yes")"""
    raw, added, to, again, linked, other = states(page_of([made()], TITLE), steps, tmp_path)
    lengths = MADE * NORMS[:, :, None]
    tokens = "abc"

    def sentence(values: np.ndarray, word: int, phrases: tuple[str, str]) -> str:
        written = numbers if phrases[1] in ("then", "then by") else length
        first, second = np.argsort(-values)[:2]
        name = [f"{'itself' if i == word else f'‘{tokens[i]}’'} ({written(values[i])})" for i in (first, second)]
        return f"‘{tokens[word]}’ {phrases[0]} {name[0]}, {phrases[1]} {name[1]}."

    assert raw["said"].endswith(sentence(MADE[1, 0, 0], 0, ("looks most at", "then")))
    assert (raw["unit"], raw["top"], raw["explained"]) == ("weight", "1", False)
    assert added["said"].endswith(sentence(lengths[1, 0, 0], 0, ("takes most from", "then from")))
    assert (added["unit"], added["explained"]) == ("length", True)
    assert added["top"] == shown(lengths[1, 0].max(), 2)  # of the head, not of the row
    assert lengths[1, 0].max() > lengths[1, 0, 0].max()
    strong = lengths[1, 0, 0] >= 0.05 * lengths[1, 0].max()
    assert [number != "" for number in added["small"]] == strong.tolist()
    assert to["said"].endswith(sentence(lengths[1, 0, :, 0], 0, ("gives most to", "then to")))
    assert (again["unit"], "weighted" in again["link"], "weighted=1" in added["link"]) == ("weight", False, True)
    assert linked["said"].endswith(sentence(lengths[0, 1, 2], 2, ("takes most from", "then from")))
    assert other["unit"] == "weight"  # a link says 1, or nothing
    assert all(step["fits"] and step["kinds"] for step in (raw, added, to, linked))


@pytest.mark.slow
def test_in_a_browser_a_pair_is_explained_step_by_step(tmp_path):
    steps = """() => goTo("#layer=1&head=2&word=1"), () => goTo("#layer=1&head=2&word=1&pair=2-3"),
      () => click("#sorted"), () => goTo(look().link), () => pick("asked", "0"), () => click("#follow"),
      () => { const { label, high, cell } = drawMap; const box = document.getElementById("map").getBoundingClientRect();
        document.getElementById("map").dispatchEvent(new MouseEvent("click", { clientX: box.left + label + 1.5 * cell,
          clientY: box.top + high + 2.5 * cell })); }"""
    first, pinned, ordered, again, picked, followed, clicked = states(page_of([made()], TITLE), steps, tmp_path)
    most = int(MADE[0, 1, 0].argmax())
    assert first["chosen"] == ["0", str(most)]  # the framed word, and what it looks at most
    assert (first["follow"], pinned["follow"], followed["follow"]) == (False, True, False)
    assert "pair" not in first["link"]
    assert followed["chosen"] == first["chosen"]
    assert picked["chosen"] == ["1", "0"]
    assert clicked["chosen"] == ["2", "1"]
    assert "pair=3-2" in clicked["link"]
    assert clicked["said"].startswith("In layer 1, head 2, ‘c’")

    assert pinned["heading"] == "Layer 1, head 2: how much ‘b’ looks at ‘c’"
    assert pinned["link"] == "#view=1&layer=1&head=2&word=1&pair=2-3"
    q, k = QUERIES[0, 1, 1], KEYS[0, 1, 2]
    products = q * k
    up, down = products[products > 0].sum(), products[products < 0].sum()
    score, weight = products.sum() / math.sqrt(SIZE), MADE[0, 1, 1, 2]
    wanted = [
        [up, -down, products.sum()],
        [SIZE, math.sqrt(SIZE), score],
        [3, score, np.exp(SCORES[0, 1, 1]).sum(), np.exp(score), np.exp(SCORES[0, 1, 1]).sum(), weight],
        [NORMS[0, 1, 2], 1, weight * NORMS[0, 1, 2]],
    ]
    assert len(pinned["steps"]) == len(wanted)
    for step, expected in zip(pinned["steps"], wanted, strict=True):
        assert numbers_of(step) == pytest.approx([abs(one) for one in expected], abs=1.1e-3, rel=2e-4)
    assert products.sum() < 0
    assert " = −" in pinned["steps"][0]
    assert pinned["bars"] == [str(d) for d in range(SIZE)]
    assert pinned["up"] == [str(d) for d in range(SIZE) if products[d] > 0]
    assert 0 < len(pinned["up"]) < SIZE
    assert pinned["label"] == f"5 products: the positive ones sum to {shown(up)}, the negative ones to {shown(down)}"
    largest = int(abs(products).argmax())
    assert pinned["one"].startswith(f"Dimension {largest + 1}: {shown(q[largest])} × {shown(k[largest])} = ")
    for row, cells in enumerate(pinned["table"]):
        assert cells[0] == str(row + 1)
        assert numbers_of(" ".join(cells[1:])) == pytest.approx(
            [abs(q[row]), abs(k[row]), abs(products[row])], abs=1.1e-3, rel=2e-4
        )
    assert ordered["bars"] == [str(d) for d in np.argsort(-products)]
    assert [cells[0] for cells in ordered["table"]] == [str(d + 1) for d in np.argsort(-products)]
    assert ordered["link"].endswith("&pair=2-3&sorted=1")
    assert again == ordered
    assert all(step["fits"] for step in (first, pinned, ordered, clicked))


@pytest.mark.slow
def test_in_a_browser_the_numbers_are_the_models_to_rounding(tmp_path, minilm_folder):
    model, tok = minibert.from_pretrained(minilm_folder), minibert.load_tokenizer(minilm_folder)
    document = explore(OPENING, None, model, tok).html()
    every = """(() => { const found = []; for (const layer of [0, 1, 5]) for (const head of [3, 11]) {
      for (const from of view.rows) for (const to of view.columns) {
        const one = explain([from, to], [layer, head]);
        found.push([layer, head, from, to, one.dot, one.score, one.weight, one.weight * one.norm]);
      } } return found; })()"""
    found = np.array(probed(document, every, tmp_path))
    with torch.no_grad():
        output = run(model, tok, OPENING, return_hidden=True)
        for layer in (0, 1, 5):
            part, x = model.encoder.blocks[layer].attention, output.hidden_states[layer][0]
            q, k, _, adds = by_hand(part, x, x)
            for head in (3, 11):
                mine = found[(found[:, 0] == layer) & (found[:, 1] == head)]
                dot = (q[head] @ k[head].T).flatten().numpy()
                weights = output.attentions[layer][0, head]
                lengths = (weights * adds[head].norm(dim=-1)).flatten().numpy()
                expected = np.stack([dot, dot / math.sqrt(32), weights.flatten().numpy(), lengths], axis=1)
                assert abs(mine[:, 4:] - expected).max() < 5e-3
                assert abs(mine[:, 5:] - expected[:, 1:]).max() < 5e-4  # half of the last digit that is shown


@pytest.mark.slow
def test_in_a_browser_a_mask_a_bias_and_large_numbers_are_said(tmp_path):
    mask = np.tril(np.ones((3, 3), bool))
    bias = np.random.default_rng(4).normal(size=SCORES.shape)
    scores = np.where(mask, SCORES + bias, -np.inf)
    weights = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)
    parts = replace(PARTS, bias=bias, bias_from="the <b>distance</b>")
    large = np.exp(SCORES * 9e4 - (SCORES * 9e4).max(-1, keepdims=True))
    views = [
        View(weights, [Words("abc")], name="one", looking="the place of ", parts=parts),
        View(large / large.sum(-1, keepdims=True), [Words("abc")], name="two",
             parts=Parts(QUERIES * 300, KEYS * 300, NORMS * 1e-5)),
    ]  # fmt: skip
    steps = """() => goTo("#view=1&layer=2&head=2&word=2&pair=2-1"),
      () => goTo("#view=1&layer=2&head=2&word=1&pair=1-3"),
      () => goTo("#view=2&layer=1&head=1&word=1&weighted=1")"""
    plain, hidden, big = states(page_of(views, TITLE), steps, tmp_path)
    assert plain["heading"] == "Layer 2, head 2: how much the place of ‘b’ looks at ‘a’"
    assert plain["steps"][2].startswith("Plus ")
    assert " for the <b>distance</b>: " in plain["steps"][2]
    step = numbers_of(plain["steps"][2])
    assert step == pytest.approx([abs(bias[1, 1, 1, 0]), abs(scores[1, 1, 1, 0])], abs=1.1e-3, rel=2e-4)
    assert numbers_of(plain["steps"][3])[-1] == pytest.approx(weights[1, 1, 1, 0], abs=1.1e-3, rel=2e-4)
    assert plain["steps"][3].startswith("Softmax over the 2 tokens")
    assert hidden["steps"][3] == "A mask hides this pair: the softmax leaves the score out, and the weight is 0"
    assert hidden["small"][1:] == ["", ""]
    assert "NaN" not in json.dumps(big)
    assert "Infinity" not in json.dumps(big)
    assert "divided by the sum of all of these" in big["steps"][2] or "·10" in big["steps"][2]
    assert re.fullmatch(r"\d\.\d\d·10⁻⁵", big["top"])


@pytest.mark.slow
def test_in_a_browser_what_a_page_lacks_is_not_offered(tmp_path, monkeypatch):
    steps = '() => {}, () => goTo("#layer=1&head=1&word=1&weighted=1&pair=1-2")'
    bare = states(page_of([made(parts=None)], TITLE), steps, tmp_path)
    for step in bare:
        assert (step["pairs"], step["kinds"], step["unit"]) == (False, False, "weight")
        assert not re.search("weighted|pair", step["link"])
    monkeypatch.setattr(explorer_page, "MOST_VECTORS", 0)
    _, lean = states(page_of([made()], TITLE), steps, tmp_path)
    assert (lean["pairs"], lean["lacking"], lean["score"], lean["unit"]) == (True, True, False, "length")
    assert lean["top"] == pytest.approx(lean["top"])
    assert float(lean["top"]) == pytest.approx((MADE[0, 0] * NORMS[0, 0]).max(), abs=0.03)  # from the bytes


@pytest.mark.slow
def test_in_a_browser_hostile_words_and_links_stay_text(tmp_path):
    odd = [token for token in ODD if token != HALF]  # the browser could not print it
    size = len(odd)
    texts = [None, *[0] * (size - 2), None]
    vectors = np.zeros((1, 1, size, 2))
    parts = Parts(vectors, vectors, np.ones((1, 1, size)), np.zeros((1, 1, size, size)), '<b>"{{data}}')
    view = View(uniform(size), [Words(odd, texts)], parts=parts, looking="<b>")
    addresses = ["pair=<b>1</b>-2", "pair=0-1", f"pair={size + 1}-1", "pair=1-1-1", "pair=1e1-2", "pair=-1-2", "pair=",
                 "weighted=<script>alert(1)</script>", "theme=<b>", "theme=toString", "sorted=__proto__"]  # fmt: skip
    steps = ", ".join(
        f"() => goTo({json.dumps('#layer=1&head=1&word=2&' + one)})".replace("<", "\\u003c") for one in addresses
    )
    script = STATE.replace("STEPS", f"{steps}, () => goTo('#layer=1&head=1&word=3&pair=3-2')")
    document = page_of([view], TITLE, (1, 1), form("a", None))
    inside = "document.querySelectorAll('b > b, i, bdi *, option *').length"
    options = "[...document.querySelectorAll('#asking option')].map((one) => one.textContent)"
    found = probed(document, f"[{script}, {inside}, {options}]", tmp_path)
    (*refused, last), inside, options = found
    for step in refused:
        assert step["link"] == "#view=1&layer=1&head=1&word=2"
    assert inside == 0
    assert last["heading"] == "Layer 1, head 1: how much <b>‘<b>’ looks at ‘</script>’"
    assert last["steps"][2].startswith('Plus 0 for <b>"{{data}}: ')
    assert options[1:3] == ["2: </script>", "3: <b>"]
    assert len(options) == size


NIGHT = """(() => {
  const body = () => getComputedStyle(document.body).backgroundColor;
  const pen = document.getElementById("map").getContext("2d");
  const map = () => [...pen.getImageData(drawMap.label + 4, drawMap.high + 4, 1, 1).data];
  const look = () => [body(), document.getElementById("theme").textContent, map().slice(0, 3),
    new URLSearchParams(document.getElementById("link").getAttribute("href").slice(1)).get("theme")];
  const seen = [look()];
  document.getElementById("theme").click();
  seen.push(look());
  dispatchEvent(new Event("beforeprint"));
  seen.push(look());
  dispatchEvent(new Event("afterprint"));
  document.getElementById("theme").click();
  seen.push(look());
  goTo("#theme=night");
  seen.push(look());
  dispatchEvent(new MessageEvent("message", { source: parent, data: { minibertTheme: "day" } }));
  seen.push(look());
  dispatchEvent(new MessageEvent("message", { source: parent, data: { minibertTheme: "<b>" } }));
  dispatchEvent(new MessageEvent("message", { source: null, data: { minibertTheme: "night" } }));
  dispatchEvent(new MessageEvent("message", { source: parent, data: null }));
  seen.push(look());
  const inks = [DAY, NIGHT].map((palette) => { shades = palette; return [...Array(101).keys()].map((step) => [
    inkOn(step / 100), `#${rgb(step / 100).map((part) => part.toString(16).padStart(2, "0")).join("")}`]); });
  return [seen, inks];
})()"""


@pytest.mark.slow
def test_in_a_browser_it_changes_its_colours(tmp_path):
    weights = np.array([[[[0, 1], [0.5, 0.5]], [[0.001, 0.999], [1, 0]]]])
    seen, inks = probed(page(["a", "b"], weights, TITLE), NIGHT, tmp_path)
    white, dark = [255, 255, 255], [20, 23, 27]
    day, night = ("rgb(255, 255, 255)", "Dark", white), ("rgb(20, 23, 27)", "Light", dark)
    assert [tuple(one[:3]) for one in seen] == [day, night, day, day, night, day, day]
    assert [one[3] for one in seen] == [None, "night", "night", "day", "night", "night", "night"]
    for palette in inks:
        for ink, ground in palette:
            assert contrast(ink, ground) >= 4


@pytest.mark.slow
@pytest.mark.parametrize("weights", [WEIGHTS[:, :, :3, :3], MADE])
def test_in_a_browser_it_fits_on_a_phone(weights, tmp_path):
    long = ["a" * 30, "b", "c" * 18]
    weights = weights / weights.sum(-1, keepdims=True)
    parts = PARTS if weights.shape[1] == 2 else None
    document = page_of([View(weights, [Words(long)], parts=parts)], TITLE)
    frame = (
        f'<!DOCTYPE html><body><iframe srcdoc="{html.escape(document)}" style="border: 0; width: 390px; height: 800px">'
        "</iframe></body>"
    )
    script = """<pre id="probe"></pre><script>
      document.querySelector("iframe").addEventListener("load", ({ target }) => {
        const inner = target.contentWindow, page = target.contentDocument;
        page.querySelectorAll("details").forEach((one) => { one.open = true; });
        inner.goTo("#layer=1&head=1&word=1&weighted=1&pair=1-3");
        const boxed = (one) => one && (inner.getComputedStyle(one).overflowX === "auto" || boxed(one.parentElement));
        const wide = [...page.querySelectorAll("main *")].filter((one) => (
          one.getBoundingClientRect().right > inner.innerWidth + .5 && !boxed(one)));
        document.getElementById("probe").textContent = JSON.stringify([inner.innerWidth,
          page.documentElement.scrollWidth, wide.map((one) => one.outerHTML.slice(0, 80))]);
      });</script>"""
    done = in_browser(frame.replace("</body>", script + "</body>"), tmp_path)
    (found,) = re.findall(r'<pre id="probe">(.*?)</pre>', done.stdout, re.DOTALL)
    room, width, wide = json.loads(html.unescape(found))
    assert width <= room == 390
    assert wide == []
