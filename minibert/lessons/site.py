"""The lessons as pages: static HTML that opens from disk, without a network.

nbconvert makes the cells; formulas become MathML, which browsers draw by themselves.
"""

from __future__ import annotations

import html
import os
import re
from pathlib import Path
from typing import Any

from latex2mathml.converter import convert as to_mathml
from nbconvert import HTMLExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from pygments.formatters import HtmlFormatter

from minibert.files import write_file
from minibert.lessons.building import Lesson, stored_notebook

PAGE = Path(__file__).with_name("site.html")  # the frame of every page, and its style
INTRODUCTION = (
    "From one dot product to a distilled BERT, and to what is true of what is said about it. Each lesson is a notebook "
    "as well: <code>jupyter lab lessons/</code> opens them, and there the exercises can be done."
)


def render(lessons: list[Lesson], out: Path) -> Path:
    """Write index.html and a page for each lesson into `out`; returns the index.

    Raises MinibertError when a notebook cannot be read or a file cannot be written.
    """
    frame = PAGE.read_text(encoding="utf-8").replace("{{code style}}", HtmlFormatter().get_style_defs(".highlight"))
    for at, lesson in enumerate(lessons):
        links = [("index.html", "All lessons")]
        links += [(f"{lessons[at - 1].name}.html", f"← {lessons[at - 1].title}")] if at else []
        links += [(f"{lessons[at + 1].name}.html", f"{lessons[at + 1].title} →")] if at + 1 < len(lessons) else []
        body = body_of(lesson, out)
        write_file(out / f"{lesson.name}.html", page(frame, lesson.title, links, body))
    index = out / "index.html"
    write_file(index, page(frame, "minibert: the lessons", [], contents(lessons)))
    return index


def page(frame: str, title: str, links: list[tuple[str, str]], body: str) -> str:
    nav = "\n".join(f'<a href="{target}">{html.escape(words)}</a>' for target, words in links)
    parts = {"title": html.escape(title), "nav": nav, "body": body}
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], frame)  # in one go: a lesson may hold {{nav}}


def contents(lessons: list[Lesson]) -> str:
    """The index: one entry a lesson, with its question."""
    entries = "\n".join(
        f'<li><span class="number">{lesson.number}</span> <a href="{lesson.name}.html">{inline(lesson.title)}</a>'
        f"<br>{inline(lesson.question)}</li>"
        for lesson in lessons
    )
    return f'<h1>minibert: the lessons</h1>\n<p>{INTRODUCTION}</p>\n<ol class="lessons">\n{entries}\n</ol>'


def inline(text: str) -> str:
    """A line of Markdown as HTML, without the paragraph around it."""
    return re.sub(r"^<p>|</p>\s*$", "", to_html(text).strip())


def body_of(lesson: Lesson, out: Path) -> str:
    """The cells of a lesson's notebook as HTML."""
    notebook = stored_notebook(lesson)
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = relinked(cell.source, lesson.notebook.parent, out)
    exporter = HTMLExporter(
        template_name="basic",
        exclude_input_prompt=True,
        exclude_output_prompt=True,
        exclude_anchor_links=True,
        filters={"markdown2html": to_html, "markdown2html_mistune": to_html},
    )
    return exporter.from_notebook_node(notebook)[0]


def relinked(text: str, here: Path, out: Path) -> str:
    """Markdown whose links lead to the pages, and to the same files as before, from the folder `out`."""

    def link(found: re.Match[str]) -> str:
        if found["target"] is None or re.match(r"[a-z]+:|#", found["target"]):
            return found[0]
        target, mark, place = found["target"].partition("#")
        if target.endswith(".ipynb"):
            target = f"{target.removesuffix('.ipynb')}.html"
        else:
            target = Path(os.path.relpath(here / target, out)).as_posix()
        return f"]({target}{mark}{place})"

    # Code comes first, and stays as it is: layers[0](x) is no link.
    return re.sub(r"```.*?```|`[^`]*`|\]\((?P<target>[^)\s]+)\)", link, text, flags=re.DOTALL)


class Renderer(IPythonRenderer):
    """Markdown as nbconvert writes it, with formulas as MathML."""

    def block_math(self, body: str) -> str:
        return f'<div class="formula">{to_mathml(body, display="block")}</div>\n'

    def inline_math(self, body: str) -> str:
        return to_mathml(body)


def to_html(source: str | Any, *_: Any) -> str:
    """Markdown to HTML. nbconvert hands over its context too, in one order or the other."""
    text = source if isinstance(source, str) else _[0]
    written = MarkdownWithMath(renderer=Renderer(escape=False, exclude_anchor_links=True)).render(text)
    # A wide table scrolls in a box of its own on a narrow screen.
    return written.replace("<table>", '<div class="wide"><table>').replace("</table>", "</table></div>")
