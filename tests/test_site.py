"""The site: its contents, its search, its two sets of colours, and that it fits on a phone."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from minibert.lessons.explorer import page as explorer_page
from minibert.lessons.lesson import Lesson
from minibert.lessons.sections import addressed, sections_of
from minibert.lessons.site import render

FIRST = [
    new_markdown_cell("# Heads & *tails*\n\n> Why?\n\nA naïve beginning."),
    new_code_cell("import secretly", metadata={"tags": ["folded"], "fold": "Set-up"}),
    new_markdown_cell("## In short\n\nThe softmax of $x$.\n\n### An exercise\n\nWrite `masked_fill`."),
    new_code_cell("scores.softmax(-1)", outputs=[new_output("stream", text="printed")]),
    new_markdown_cell(
        "<details>\n<summary>By hand</summary>\n\nthe answer\n\n</details>\n\n## In short\n\nDone </script>."
    ),
]
SECOND = [
    new_markdown_cell("# Tails\n\n> Where?\n\nThe word softmaximum, once."),
    new_code_cell("x = '" + "long " * 80 + "'", outputs=[new_output("stream", text="word" * 200)]),
    new_markdown_cell(f"## Wide\n\n$$ {' + '.join(['W_Q x'] * 40)} $$\n\n`{'a' * 200}`"),
    new_markdown_cell(f"|a|b|\n|-|-|\n|{'c' * 90}|{'d ' * 90}|"),
]  # fmt: skip


@pytest.fixture(scope="module")
def pages(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("course") / "lessons"
    (root / "source").mkdir(parents=True)
    lessons = []
    for name, cells in {"00_heads": FIRST, "01_tails": SECOND}.items():
        lesson = Lesson(root / "source" / f"{name}.py")
        heading = "\n".join(f"# {line}" for line in cells[0].source.splitlines()[:3])
        lesson.source.write_text(f"# %% [markdown]\n{heading}\n", encoding="utf-8")
        nbformat.write(new_notebook(cells=cells), lesson.notebook)
        lessons.append(lesson)
    return render(lessons, root.parent / "site").parent


def read(pages: Path, name: str) -> str:
    return (pages / f"{name}.html").read_text(encoding="utf-8")


def entries(pages: Path) -> list[list[str]]:
    script = (pages / "search.js").read_text(encoding="utf-8")
    return json.loads(re.fullmatch(r"minibertIndex\((.*)\);\n", script, re.DOTALL)[1])


# ------------------------------------------------------------------------------------------ headings and contents


def test_each_heading_gets_an_address_of_its_own():
    body = "<h1>Why √K?</h1><h2>In <em>short</em></h2><h3>In short</h3><h2>In short 2</h2><h2>&amp;</h2><h4>no</h4>"
    found = addressed(body)
    assert re.findall(r'id="([^"]*)"', found) == ["why-k", "in-short", "in-short-2", "in-short-2-2", "section"]
    assert re.sub(r' id="[^"]*"', "", found) == body
    assert [(one.level, one.title) for one in sections_of(found)] == [
        (1, "Why √K?"), (2, "In short"), (3, "In short"), (2, "In short 2"), (2, "&")
    ]  # fmt: skip


def test_no_address_is_given_twice():
    body = addressed('<a id="gelu"></a><h2>GELU</h2><h2>Gelu</h2><a id="later"></a><h3>Later</h3><h2>Dropout</h2>')
    ids = re.findall(r'id="([^"]*)"', body)
    assert sorted(ids) == ["dropout", "gelu", "gelu-2", "gelu-3", "later", "later-2"]


def test_the_contents_name_all_lessons_and_the_sections_of_this_page(pages):
    first = re.search(r"<details class=\"contents\">.*?</details>", read(pages, "00_heads"), re.DOTALL)[0]
    links = re.findall(r'<a href="([^"]*)"( aria-current="page")?>(.*?)</a>', first)
    assert [(target, bool(here), re.sub("<.*?>", "", words)) for target, here, words in links] == [
        ("00_heads.html", True, "00 Heads &amp; tails"),
        ("#in-short", False, "In short"),
        ("#an-exercise", False, "An exercise"),
        ("#in-short-2", False, "In short"),
        ("01_tails.html", False, "01 Tails"),
    ]
    for name in ("00_heads", "01_tails"):
        text = read(pages, name)
        for place in re.findall(r'href="#([^"]+)"', text):
            assert text.count(f'id="{place}"') == 1


def test_a_page_leads_to_the_one_before_and_the_one_after(pages):
    ways = {
        name: re.findall(r'<nav class="ways".*?</nav>', read(pages, name), re.DOTALL)
        for name in ("00_heads", "01_tails")
    }
    for name, other, arrow in (("00_heads", "01_tails", "→"), ("01_tails", "00_heads", "←")):
        assert len(ways[name]) == 2  # at the top and at the end
        for nav in ways[name]:
            assert re.findall(r'href="([^"]*)"', nav) == ["index.html", f"{other}.html"]
            assert arrow in nav


def test_what_is_folded_is_closed_on_a_page(pages):
    text = read(pages, "00_heads")
    inside = "".join(re.findall(r"<details(?! class=\"contents\").*?</details>", text, re.DOTALL))
    outside = re.sub(r"<details.*?</details>", "", text, flags=re.DOTALL)
    assert "<summary>Set-up</summary>" in inside
    for words in ("secretly", "the answer"):
        assert words in inside
        assert words not in outside
    assert "printed" in outside


# ------------------------------------------------------------------------------------------ the search


def test_the_search_knows_the_text_and_the_code_of_each_section(pages):
    found = {(page, place): (lesson, title, text) for page, place, lesson, title, text in entries(pages)}
    assert list(found) == [
        ("00_heads.html", "heads-tails"), ("00_heads.html", "in-short"), ("00_heads.html", "an-exercise"),
        ("00_heads.html", "in-short-2"), ("01_tails.html", "tails"), ("01_tails.html", "wide"),
    ]  # fmt: skip
    assert found["00_heads.html", "heads-tails"] == ("Heads & *tails*", "", "Why? A naïve beginning.")
    assert found["00_heads.html", "in-short"][2] == "The softmax of x."
    assert found["00_heads.html", "an-exercise"] == (
        "Heads & *tails*", "An exercise", "Write masked_fill. scores.softmax(-1)"
    )  # fmt: skip
    assert found["00_heads.html", "in-short-2"][2] == "Done ."


def test_the_search_finds_nothing_that_is_folded_or_printed(pages):
    script = (pages / "search.js").read_text(encoding="utf-8")
    for hidden in ("secretly", "the answer", "By hand", "printed"):
        assert hidden not in script


def test_pages_load_nothing_but_the_search(pages):
    for path in pages.glob("*.html"):
        text = path.read_text(encoding="utf-8")
        assert not re.search(
            r"fetch\(|XMLHttpRequest|import\(|@import|url\(|<script [^>]*src|<link [^>]*href=\"(?!data:)", text
        )
        assert re.findall(r"\.src = (.*?);", text) == ["`${document.body.dataset.up}search.js`"]


def test_the_colours_of_the_night_are_those_of_the_system_without_a_script(pages):
    text = read(pages, "index")
    night = re.search(r'<style id="night" media="([^"]*)">(.*?)</style>', text, re.DOTALL)
    assert night[1] == "screen and (prefers-color-scheme: dark)"
    day = re.search(r":root \{(.*?)\}", text, re.DOTALL)[1]
    at_night = re.search(r":root \{(.*?)\}", night[2], re.DOTALL)[1]
    names = re.findall(r"--\w+(?=:)", day)
    assert names == re.findall(r"--\w+(?=:)", at_night)
    used = set(re.findall(r"var\((--\w+)\)", text))
    assert used == set(names)
    for rules in (day, at_night):  # text and links can be read on each ground
        colours = dict(re.findall(r"(--\w+): (#\w+)", rules))
        for ink in ("--ink", "--soft", "--blue"):
            assert min(contrast(colours[ink], colours[ground]) for ground in ("--paper", "--code")) >= 4.5


def contrast(one: str, other: str) -> float:
    """The contrast of two colours, as WCAG 2 defines it: from 1 to 21."""

    def light(colour: str) -> float:
        digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
        parts = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    low, high = sorted((light(one), light(other)))
    return (high + 0.05) / (low + 0.05)


# ------------------------------------------------------------------------------------------ in a browser

PROBE = """
<pre id="probe"></pre>
<script>
"use strict";
addEventListener("load", async () => {
  const box = document.getElementById("query"), seen = {};
  const ask = async (words) => {
    box.focus();
    box.value = words;
    box.dispatchEvent(new Event("input"));
    await new Promise((done) => setTimeout(done, 300));
    return [document.querySelector("#found p").textContent, [...document.querySelectorAll("#found a")].map((link) => (
      [link.getAttribute("href"), link.querySelector("b").textContent,
        [...link.querySelectorAll("mark")].map((mark) => mark.textContent)]))];
  };
  seen.asked = {};
  for (const words of ["softmax", "SOFTMAX short", "naive", "(-1", "no such", "secretly"]) {
    seen.asked[words] = await ask(words);
    const { left, right } = document.getElementById("found").getBoundingClientRect();
    if (left < 0 || right > innerWidth) seen.asked[words].push([left, right]);
  }
  await ask("");
  seen.closed = document.getElementById("found").hidden;
  const look = () => [getComputedStyle(document.body).backgroundColor, document.getElementById("theme").textContent];
  seen.colours = [look()];
  document.getElementById("theme").click();
  seen.colours.push(look());
  document.getElementById("theme").click();
  seen.colours.push(look());
  document.documentElement.style.width = "390px";
  document.querySelectorAll("details").forEach((one) => { one.open = true; });
  // Whatever reaches beyond the page must be in a box that scrolls.
  const boxed = (one) => one && (getComputedStyle(one).overflowX === "auto" || boxed(one.parentElement));
  const wide = (one) => one.getBoundingClientRect().left + one.scrollWidth > 390.5;
  const all = [...document.querySelectorAll("body *:not(math, math *, #probe, script)")];
  seen.wide = all.filter((one) => wide(one) && !boxed(one)).map((one) => one.outerHTML.slice(0, 80));
  document.getElementById("probe").textContent = JSON.stringify(seen);
});
</script>
"""


def probed(page: Path, tmp_path: Path) -> dict:
    before, after = page.read_text(encoding="utf-8").rsplit("</body>", 1)
    probe = page.with_name(f"probe_{page.name}")
    probe.write_text(f"{before}{PROBE}</body>{after}", encoding="utf-8")
    try:
        return printed(probe, tmp_path)
    finally:
        probe.unlink()


def printed(page: Path, tmp_path: Path) -> Any:
    """What the script of a page has written into its probe."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("there is no Chromium on this machine")
    done = subprocess.run(
        [chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync",
         f"--user-data-dir={tmp_path / 'profile'}", "--window-size=600,900", "--virtual-time-budget=6000",
         "--enable-logging=stderr", "--v=0", "--dump-dom", page.as_uri()],
        capture_output=True, encoding="utf-8", timeout=120,
    )  # fmt: skip
    assert [line for line in done.stderr.splitlines() if "CONSOLE" in line] == []
    return json.loads(html.unescape(re.findall(r'<pre id="probe">(.*?)</pre>', done.stdout, re.DOTALL)[-1]))


@pytest.mark.slow
def test_in_a_browser_it_searches_changes_its_colours_and_fits_on_a_phone(pages, tmp_path):
    seen = probed(pages / "00_heads.html", tmp_path)
    status, found = seen["asked"]["softmax"]
    assert status == "3 sections"
    # A whole word, or its beginning, in the order of the lessons.
    assert [target for target, *_ in found] == [
        "00_heads.html#in-short",
        "00_heads.html#an-exercise",
        "01_tails.html#tails",
    ]
    assert found[0][1:] == ["In short", ["softmax"]]
    assert found[2][1:] == ["Tails", ["softmax"]]
    assert [target for target, *_ in seen["asked"]["SOFTMAX short"][1]] == ["00_heads.html#in-short"]
    assert seen["asked"]["naive"][1] == [["00_heads.html#heads-tails", "Heads & *tails*", ["naïve"]]]
    assert [target for target, *_ in seen["asked"]["(-1"][1]] == ["00_heads.html#an-exercise"]
    for words in ("no such", "secretly"):
        assert seen["asked"][words] == ["Nothing found: try fewer or shorter words.", []]
    assert seen["closed"]
    assert seen["colours"] == [
        ["rgb(255, 255, 255)", "Dark"],
        ["rgb(20, 23, 27)", "Light"],
        ["rgb(255, 255, 255)", "Dark"],
    ]
    assert seen["wide"] == []
    assert probed(pages / "01_tails.html", tmp_path)["wide"] == []


@pytest.mark.slow
def test_in_a_browser_the_search_says_when_its_file_is_missing(pages, tmp_path):
    (tmp_path / "alone").mkdir()
    seen = probed(Path(shutil.copy(pages / "00_heads.html", tmp_path / "alone")), tmp_path)
    assert "needs the file search.js" in seen["asked"]["softmax"][0]


@pytest.mark.slow
def test_in_a_browser_the_explorer_follows_the_colours_of_its_page(pages, tmp_path):
    explorer = explorer_page(["a", "b"], [[[[0.5, 0.5], [0.5, 0.5]]]], "Heads")
    frame = f'<iframe srcdoc="{html.escape(explorer)}"></iframe>'
    probe = """<script>
      const button = document.getElementById("theme"), frame = document.querySelector("iframe"), seen = [];
      const wait = () => new Promise((done) => setTimeout(done, 200));
      const look = () => seen.push(getComputedStyle(frame.contentDocument.body).backgroundColor);
      button.click();  // before it is loaded
      addEventListener("load", async () => {
        for (const step of [() => {}, () => button.click(), () => button.click()]) {
          step();
          await wait();
          look();
        }
        document.getElementById("probe").textContent = JSON.stringify(seen);
      });</script><pre id="probe"></pre>"""
    page = pages / "with_explorer.html"
    text = (pages / "index.html").read_text(encoding="utf-8")
    page.write_text(text.replace('<main id="main">', f'<main id="main">{frame}').replace("</body>", f"{probe}</body>"))
    try:
        seen = printed(page, tmp_path)
    finally:
        page.unlink()
    assert seen == ["rgb(20, 23, 27)", "rgb(255, 255, 255)", "rgb(20, 23, 27)"]
