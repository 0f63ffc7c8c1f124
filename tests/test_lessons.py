"""The lessons: each one runs from its source, shows the numbers that it computed, and is stored with these outputs."""

from __future__ import annotations

import base64
import copy
import re
import shutil
import subprocess
import tempfile
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import nbformat
import numpy as np
import pytest
from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel

from minibert import plots
from minibert.cli.main import main
from minibert.errors import MinibertError
from minibert.exercises.catalogue import exercises
from minibert.exercises.notebooks import exercise_cells, finished_notebook, solved
from minibert.files import write_file
from minibert.lessons import COURSE
from minibert.lessons.building import (
    alike,
    assembled,
    build,
    differences,
    executed,
    filled,
    pictures_alike,
    readme_block,
    values_cell,
)
from minibert.lessons.lesson import Lesson, folder, lessons, stored_notebook
from minibert.lessons.linked import Linked, unlinked
from minibert.lessons.site import render

LESSONS = lessons()
by_lesson = pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.name)

# What a lesson must have computed, as its stored notebook shows it. Known from other sources: the papers, the
# published checkpoints, or a calculation by hand.
KEY_NUMBERS = {
    "00": ("22,713,216", f"0 of {len(exercises())} passed"),
    "01": ("the picture's weights: True", "200 sentences", "in over 90%: 2 of 72"),
    "02": ("4 (D² + D) = 1,050,624", "the library's output:    True", "52% of the weights"),
    "03": ("-1e9 as torch.bfloat16 is -9.98e+08", "-1e9 as torch.float16  is -inf"),
    "04": ("7,087,872",),
    "05": ("30,522", "50,261", "1,745"),  # the published lists; the rank of a merge of GPT-2
    "06": ("109,482,240", "335,141,888", "110,104,890", "622,650"),
    "07": ("0.825", "11.02", "7.31"),  # the loss by hand; ln 30,522 + ln 2; ln 1,500
    "08": ("808 sentences", "it:1 is:0 un:6 ##watch:-100"),  # labels: case and mark, only at a word's first piece
    "09": ("109,482,240", "66,362,880", "39.4%", "(5.0, 2.0, 1.0)", "temperature: 2.0"),
    "10": ("11,683,584", "17,683,968", "58,724,864", "222,595,584", "18.95"),
    "11": ("124,645,632", "514 × 768", " 80.3% by formula", " 99.1% by formula", "256 M sequences"),  # 1 − 0.85ⁿ
    "12": ("24,581,888", "25,359,104", "109,482,240", "4.32 times fewer", "65,504"),
    "13": ("p(york | new, is, a, city)", "120 orders"),  # 5!
    "14": ("139,420,416", "27% more (base), 21% more (large)"),
    "15": ("1.63", "38.6%", "96.9%", "95.9%", "82,118,400", "34.1%", "18.95×", "not measured here"),
}


def texts_of(notebook: nbformat.NotebookNode) -> str:
    """All that a reader sees of a notebook, except pictures."""
    parts = []
    for cell in notebook.cells:
        parts.append(cell.source)
        for output in cell.get("outputs", ()):
            parts.append(output.get("text", "") + str(output.get("data", {}).get("text/plain", "")))
            parts.append(str(output.get("data", {}).get("text/markdown", "")))
    return "\n".join(parts)


def with_text(lesson_text: str, tmp_path: Path) -> Lesson:
    """A lesson with that source, in its own folder."""
    (tmp_path / "source").mkdir(exist_ok=True)
    source = tmp_path / "source" / "42_trial.py"
    source.write_text(lesson_text)
    return Lesson(source)


# ------------------------------------------------------------------------------------------------ the sources


def test_the_lessons_are_numbered_without_a_gap():
    assert [lesson.number for lesson in LESSONS] == [f"{number:02}" for number in range(len(LESSONS))]
    assert len(LESSONS) >= 11


def test_the_map_shows_every_lesson():
    assert [number for row in COURSE for number, _ in row] == [lesson.number for lesson in LESSONS[1:]]


def test_each_exercise_is_in_one_lesson():
    counted = Counter(name for lesson in LESSONS for name in lesson.exercises)
    assert counted == dict.fromkeys(exercises(), 1)


@by_lesson
def test_a_lesson_has_all_its_parts(lesson):
    text = "\n".join(cell.source for cell in lesson.cells if cell.cell_type == "markdown")
    assert lesson.question.endswith("?")
    for part in ("## What could go wrong", "## In short", "**To read.**", "**Next:**"):
        assert part in text, part
    assert lesson.exercises
    assert "plots." in "".join(cell.source for cell in lesson.cells if cell.cell_type == "code")


@by_lesson
def test_code_fits_a_page(lesson):
    code = [cell.source for cell in lesson.cells if cell.cell_type == "code"]
    assert max(len(line) for source in code for line in source.splitlines()) <= 112


CITATIONS = re.compile(
    r"\b(?:1[89]|20)\d\d\b(?:, \d{4}\b)*|\b(?:sections?|equations?|[Tt]ables?|[Ff]igures?|appendix|appendices|chapter)"
    r"\s+[A-Z]?\.?\d+(?:\.\d+)*(?:(?:,| and| to)\s+[A-Z]?\.?\d+(?:\.\d+)*)*"
)
NAMES = re.compile(
    r"80/10/10|MiniLM-L6|UniLM v2|SQuAD 1\.1|SQuAD 2(?:\.0)?|SST-2|"
    r"Should You Mask 15%|GPT-2|word2vec|\bF1\b|\blessons?\s+\d\d(?:(?:,| and)\s+\d\d)*"
)


@by_lesson
def test_each_number_in_the_text_comes_from_somewhere(lesson):
    """Each digit is computed in the lesson ({{...}}) or belongs to a formula, to code, to a citation or to a name."""
    for cell in lesson.cells:
        if cell.cell_type != "markdown":
            continue
        text = re.sub(r"\{\{.+?\}\}", "", cell.source, flags=re.DOTALL)
        text = re.sub(r"```.*?```|`[^`]*`", "", text, flags=re.DOTALL)
        text = re.sub(r"\$\$.*?\$\$|\$[^$]*\$", "", text, flags=re.DOTALL)
        text = re.sub(r"\]\([^)]*\)", "]", text)
        text = re.sub(r"^\d+\. ", "", text, flags=re.MULTILINE)  # a list
        text = NAMES.sub("", CITATIONS.sub("", text))
        found = re.search(r".{0,40}\d.{0,40}", text)
        assert not found, f"{lesson.name}: {found[0]!r} has a number that no code gives"


@by_lesson
def test_links_lead_somewhere(lesson):
    for cell in lesson.cells:
        for target in re.findall(r"\]\(([^)\s]+)\)", cell.source if cell.cell_type == "markdown" else ""):
            if not re.match(r"https?:", target):
                assert (lesson.notebook.parent / target.partition("#")[0]).exists(), target


# ---------------------------------------------------------------------------------------- the stored notebooks


@by_lesson
def test_the_stored_notebook_has_the_cells_of_the_source(lesson):
    stored, made = stored_notebook(lesson), assembled(lesson)
    assert [cell.cell_type for cell in stored.cells] == [cell.cell_type for cell in made.cells]
    for old, new in zip(stored.cells, made.cells, strict=True):
        if new.cell_type == "code":
            assert old.source == new.source
        else:
            parts = re.split(r"\{\{.+?\}\}", new.source, flags=re.DOTALL)
            assert re.fullmatch(".+?".join(map(re.escape, parts)), old.source, flags=re.DOTALL), new.source


@by_lesson
def test_the_stored_notebook_is_whole(lesson):
    stored = stored_notebook(lesson)
    nbformat.validate(stored)
    outputs = [output for cell in stored.cells for output in cell.get("outputs", ())]
    assert not any(output.output_type == "error" or output.get("name") == "stderr" for output in outputs)
    pictures = [output for output in outputs if "image/png" in output.get("data", {})]
    assert pictures
    assert all(output.metadata["image/png"]["alt"] for output in pictures)
    assert re.findall(r"^(\S+): not attempted\.", texts_of(stored), re.MULTILINE) == lesson.exercises
    assert "{{" not in texts_of(stored)
    assert lesson.notebook.stat().st_size < 3e6


@by_lesson
def test_key_numbers(lesson):
    text = texts_of(stored_notebook(lesson))
    for number in KEY_NUMBERS[lesson.number]:
        assert number in text, number


def test_the_readme_shows_the_path():
    assert readme_block() in (folder().parent / "README.md").read_text(encoding="utf-8")


@pytest.mark.slow
@by_lesson
def test_a_lesson_runs_and_its_stored_notebook_agrees(lesson):
    assert differences(stored_notebook(lesson), build(lesson)) == []


@pytest.mark.slow
@by_lesson
def test_with_the_solutions_put_in_every_check_passes(lesson):
    """With only the lesson's first cell, which imports."""
    cells = [next(cell for cell in lesson.cells if cell.cell_type == "code")]
    for name in lesson.exercises:
        cells += exercise_cells(exercises()[name], solved(exercises()[name]))
    ran = executed(finished_notebook(cells), lesson.notebook.parent, lesson.name)
    text = texts_of(ran)
    for name in lesson.exercises:
        assert re.search(rf"^{name}: passed,", text, re.MULTILINE), name
    assert "not attempted" not in "".join(
        str(output.get("data", {})) for cell in ran.cells for output in cell.get("outputs", ())
    )


# ----------------------------------------------------------------------------------------------- the machinery

TRIAL = """\
# %% [markdown]
# # A trial
#
# > Does it
# > work?

# %%
import minibert

x = 2
x

# %% [markdown]
# Twice that is {{2 * x}}, and its third {{x / 3 | .2f}}.

# %% exercise="gelu"
"""


@pytest.mark.slow
def test_a_lesson_is_assembled_and_run(tmp_path):
    lesson = with_text(TRIAL, tmp_path)
    assert (lesson.title, lesson.question, lesson.exercises) == ("A trial", "Does it work?", ["gelu"])
    ran = build(lesson)
    assert "Twice that is 4, and its third 0.67." in texts_of(ran)
    assert "gelu: not attempted." in texts_of(ran)
    assert [cell.source for cell in ran.cells[-3:]] == [
        cell.source for cell in exercise_cells(exercises()["gelu"], exercises()["gelu"].stub.rstrip(), level=3)
    ]
    assert [cell.execution_count for cell in ran.cells if cell.cell_type == "code"] == [1, 2, 3]
    assert differences(ran, build(lesson)) == []


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("1 / 0", "ZeroDivisionError"),
        ("import sys\nprint('!', file=sys.stderr)", "shows a warning"),
        ("object()", "address in memory"),
        ("import os\nos._exit(1)", "did not finish"),
    ],
)
def test_a_lesson_that_fails_warns_or_varies_is_refused(tmp_path, code, message):
    trial = TRIAL.replace("import minibert\n\nx = 2\nx", f"x = 2\n{code}").partition("# %% exercise")[0]
    with pytest.raises(MinibertError, match=message):
        build(with_text(trial, tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize("value", ["{{print(x)}}", "{{display(x)}}"])
def test_a_value_that_shows_something_by_itself_is_refused(tmp_path, value):
    with pytest.raises(MinibertError, match="prints or shows something, but it may only return a value"):
        build(with_text(TRIAL.replace("{{2 * x}}", value), tmp_path))


def test_without_a_kernel_a_lesson_says_so(tmp_path, monkeypatch):
    def none(self, name):
        raise NoSuchKernel(name)

    monkeypatch.setattr(KernelSpecManager, "get_kernel_spec", none)
    with pytest.raises(MinibertError, match="needs a Jupyter kernel"):
        build(with_text(TRIAL, tmp_path))


@pytest.mark.slow
def test_a_raw_cell_stays_as_it_is(tmp_path):
    ran = build(with_text(TRIAL + "\n# %% [raw]\n# as it is\n", tmp_path))
    assert [cell.source for cell in ran.cells if cell.cell_type == "raw"] == ["as it is"]


@pytest.mark.parametrize("stored", ["", "x", "{}", "[]", '{"nbformat": 4, "nbformat_minor": 5, "metadata": {}}'])
def test_a_stored_file_that_is_not_a_notebook_is_one_sentence(tmp_path, stored):
    lesson = with_text(TRIAL, tmp_path)
    lesson.notebook.write_text(stored)
    sentence = r"^.*42_trial\.ipynb cannot be read as a notebook \(.*\): build it again with `minibert lessons --build`"
    with pytest.raises(MinibertError, match=sentence):
        stored_notebook(lesson)


def test_a_source_without_a_question_is_refused(tmp_path):
    with pytest.raises(MinibertError, match="quoted question"):
        _ = with_text(TRIAL.replace("# > ", "# "), tmp_path).heading


def test_values_are_filled_in_order():
    text = "{{a | ,}} and {{b}}"
    assert "format(a, ','), format(b, '')" in values_cell(text).source
    assert filled(text, ["1,000", "2"]) == "1,000 and 2"
    assert values_cell("{nothing}") is None


@pytest.mark.parametrize(
    ("before", "now", "spread", "same"),
    [
        ("loss 6.71", "loss 6.72", 0.0, True),  # the last digit shown
        ("loss 6.71", "loss 6.73", 0.0, False),
        ("loss 6.7", "loss 6.1", 0.15, True),  # trained
        ("loss 6.7", "loss 3.1", 0.15, False),
        ("109,482,240", "109,482,241", 0.0, False),  # integers must be exact
        ("to 1e-07", "to 2e-07", 0.0, True),
        ("to 1e-07", "to 3e-05", 0.0, False),
        ("(2, 10, 384)", "(2, 10, 385)", 0.0, False),
        ("loss 6.71", "cost 6.71", 0.0, False),
        ("-0.01", "0.01", 0.0, False),
        ("to 1e-11", "to 1e-12", 0.0, False),
        ("(2, 10)", "(2 10)", 0.0, False),  # a comma is part of a number only before three digits
        ("[1,2]", "[12]", 0.0, False),
        ("tensor([1., 1.])", "tensor([1.0000, 1.0001])", 0.0, True),  # as torch writes them
        ("tensor([1., 1.])", "tensor([1., 2.])", 0.0, False),
    ],
)
def test_how_alike_two_texts_must_be(before, now, spread, same):
    assert alike(before, now, spread) is same
    assert alike(now, before, spread) is same


def drawn(curve: np.ndarray, moved: int = 0, height: int = 300) -> str:
    """A curve, and a text that is `moved` pixels to the right, as a PNG in base64."""
    figure = plots.Picture(figsize=(6, height / 100))
    figure.add_axes((0.1, 0.2, 0.8, 0.7)).plot(curve)
    figure.text(0.3 + moved / 600, 0.05, "the position in the text")
    return base64.b64encode(figure._repr_png_()[0]).decode()


@pytest.mark.slow
def test_how_alike_two_pictures_must_be():
    rising = np.linspace(0, 1, 50)
    picture = drawn(rising)
    for other, same in (
        (drawn(rising, moved=3), True),  # another version of Matplotlib
        (drawn(rising, height=302), True),
        (drawn(rising**2), False),
        (drawn(1 - rising), False),
        (drawn(rising, height=330), False),
    ):
        assert picture != other
        assert pictures_alike(picture, other, size_only=False) is same
        assert pictures_alike(other, picture, size_only=False) is same
    assert pictures_alike(picture, drawn(1 - rising), size_only=True)
    assert not pictures_alike(picture, drawn(rising, height=330), size_only=True)


def test_differences_are_found():
    stored = stored_notebook(LESSONS[1])
    assert differences(stored, stored) == []
    for change in (change_text, change_code, change_output, change_picture, drop_cell, drop_output, fail):
        other = copy.deepcopy(stored)
        change(other)
        assert differences(stored, other), change.__name__


def first(notebook, kind):
    return next((cell, output) for cell in notebook.cells for output in cell.get("outputs", ()) if kind(output))


def change_text(notebook):
    notebook.cells[0].source += " more"


def change_code(notebook):
    next(cell for cell in notebook.cells if cell.cell_type == "code").source += "\n"


def change_output(notebook):
    first(notebook, lambda output: output.output_type == "stream")[1].text += "9"


def change_picture(notebook):
    pictures = [
        output.data
        for cell in notebook.cells
        for output in cell.get("outputs", ())
        if "image/png" in output.get("data", {})
    ]
    pictures[0]["image/png"] = pictures[1]["image/png"]


def drop_cell(notebook):
    del notebook.cells[-1]


def drop_output(notebook):
    first(notebook, lambda output: True)[0].outputs = []


def fail(notebook):
    first(notebook, lambda output: True)[0].outputs = [nbformat.v4.new_output("error", ename="E", evalue="e")]


def test_a_folder_for_pages_without_pages_is_one_sentence(tmp_path, capsys):
    assert main(["lessons", "--out", str(tmp_path)]) == 2
    assert "--html was not given" in capsys.readouterr().err


def test_unknown_lessons_are_one_sentence(capsys):
    assert main(["lessons", "99"]) == 2
    assert "there is no lesson '99'" in capsys.readouterr().err


def test_the_command_lists_the_lessons(capsys):
    assert main(["lessons"]) == 0
    shown = capsys.readouterr().out
    assert all(lesson.title in shown and lesson.question in shown for lesson in LESSONS)


# ------------------------------------------------------------------------------------------------------ pages


class Links(HTMLParser):
    """What a page loads, and the targets of its links."""

    def __init__(self):
        super().__init__()
        self.loads, self.links, self.alts = [], [], []

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        if tag in ("img", "script", "iframe", "source", "video") and attrs.get("src"):
            self.loads.append(attrs["src"])
        if tag == "link":
            self.loads.append(attrs["href"])
        if tag == "img":
            self.alts.append(attrs.get("alt"))
        if tag == "a" and "href" in attrs:
            self.links.append(attrs["href"])


@pytest.fixture(scope="module")
def pages(tmp_path_factory) -> Path:
    return render(LESSONS, tmp_path_factory.mktemp("site")).parent


@pytest.mark.slow
def test_pages_open_from_disk(pages):
    made = {path.relative_to(pages).as_posix() for path in pages.rglob("*.html")}
    sources = {one for one in made if one.startswith("sources/")}
    assert {"sources/README.md.html", "sources/minibert/attention.py.html"} < sources
    made -= sources
    solved = {f"solutions/{lesson.name}.html" for lesson in LESSONS if lesson.exercises}
    assert made == {"index.html", *(f"{lesson.name}.html" for lesson in LESSONS), *solved}
    for path in pages.rglob("*.html"):
        found = Links()
        text = path.read_text(encoding="utf-8")
        found.feed(text)
        assert all(address.startswith("data:") for address in found.loads), path.name
        assert all(alt and "No description" not in alt for alt in found.alts), path.name
        for link in found.links:
            if not link.startswith(("http", "#")):
                target = (path.parent / link.partition("#")[0]).resolve()
                assert target.exists(), f"{path.name}: {link}"
                assert target.is_relative_to(pages.resolve()), f"{path.name}: {link} leads out of the site"
        frames = r"srcdoc=\"[^\"]*\"|srcdoc='[^']*'"  # the explorer's own page, whose script has dollar signs
        prose = re.sub(rf"<pre.*?</pre>|<code.*?</code>|<script.*?</script>|{frames}", "", text, flags=re.DOTALL)
        assert not re.search(r"\$[^$<\n]+\$", prose), f"{path.name} shows a formula's source"


def test_links_are_led_to_the_pages_and_code_stays_code(tmp_path):
    here = tmp_path / "lessons"
    for name in ("minibert/a.py", "lessons/source/a.py", "README.md", "lessons/b.py"):
        write_file(tmp_path / name, "")
    linked = Linked(here)
    for text, expected in {
        "[a](02_b.ipynb)": "[a](02_b.html)",
        "[a](02_b.ipynb#part)": "[a](02_b.html#part)",
        "[a](solutions/02_b.ipynb#part)": "[a](solutions/02_b.html#part)",
        "[`a.py`](../minibert/a.py)": "[`a.py`](sources/minibert/a.py.html)",
        "[a](source/a.py)": "[a](sources/lessons/source/a.py.html)",
        "[a](../README.md#part)": "[a](sources/README.md.html#part)",
        "[a](../gone.py) [b](../../elsewhere.py)": "[a](#nowhere) [b](#nowhere)",
        "[a](https://b.org/c) [d](#e)": "[a](https://b.org/c) [d](#e)",
        "`layers[0](x)` and [a](02_b.ipynb)": "`layers[0](x)` and [a](02_b.html)",
        "```\nlayers[0](x)\n```": "```\nlayers[0](x)\n```",
    }.items():
        assert linked.relinked(text, here, "") == expected
    assert linked.relinked("[a](../02_b.ipynb)", here / "solutions", "solutions") == "[a](../02_b.html)"
    linked.open = False
    at = ("sources/minibert", tmp_path / "minibert")
    assert (
        linked.relinked("[a](../README.md) [b](../lessons/b.py)", at[1], at[0])
        == "[a](../README.md.html) [b](#nowhere)"
    )
    assert unlinked('<p><a href="#nowhere"><code>a</code></a> <a href="b">b</a></p>') == (
        '<p><code>a</code> <a href="b">b</a></p>'
    )


@pytest.mark.slow
def test_the_index_leads_to_every_lesson(pages):
    text = (pages / "index.html").read_text(encoding="utf-8")
    assert [text.index(f'href="{lesson.name}.html"') for lesson in LESSONS] == sorted(
        text.index(f'href="{lesson.name}.html"') for lesson in LESSONS
    )


@pytest.mark.slow
@pytest.mark.parametrize("width", [390, 1200])
def test_a_browser_reports_no_error(pages, width):
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("there is no Chromium on this machine")
    for path in sorted(pages.rglob("*.html")):
        with tempfile.TemporaryDirectory() as profile:
            done = subprocess.run(
                [browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
                 f"--user-data-dir={profile}", f"--window-size={width},900", "--enable-logging=stderr", "--v=0",
                 "--virtual-time-budget=2000", "--dump-dom", path.as_uri()],
                capture_output=True, text=True, timeout=60,
            )  # fmt: skip
        assert done.returncode == 0
        errors = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
        assert not errors, (path.name, errors)


def test_a_lesson_is_known_by_its_number_however_it_is_written(capsys):
    for number in ("1", "01", LESSONS[1].name):
        assert main(["lessons", number]) == 0
        assert capsys.readouterr().out.startswith(f"01  {LESSONS[1].title}\n")
    assert main(["lessons", "0"]) == 0
    for wrong in ("001", "99", "-1x"):
        assert main(["lessons", wrong]) == 2
    capsys.readouterr()


def test_pages_are_written_of_all_lessons_or_not_at_all(tmp_path, capsys):
    assert main(["lessons", "01", "--html", "--out", str(tmp_path / "site")]) == 2
    assert "leave the numbers out" in capsys.readouterr().err
    assert not (tmp_path / "site").exists()
