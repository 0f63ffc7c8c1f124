"""The lessons as pages: static HTML that opens from disk, without a network.

nbconvert writes the cells; formulas become MathML, which browsers draw without a script.
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
from nbformat import NotebookNode
from pygments.formatters import HtmlFormatter

from minibert.files import read_text, write_file
from minibert.lessons import solutions
from minibert.lessons.lesson import Lesson, stored_notebook

PAGE = Path(__file__).with_name("site.html")  # the frame of every page, and its style
# Code cells with the tag "folded" are closed until the reader opens them.
CELLS = """\
{%- extends 'index.html.j2' -%}
{%- block input_group -%}
{%- if 'folded' in cell.metadata.get('tags', []) -%}
<details class="folded"><summary>{{ cell.metadata.get('fold', 'Show more') | escape_html }}</summary>
{{ super() }}
</details>
{%- else -%}
{{ super() }}
{%- endif -%}
{%- endblock input_group -%}
"""
INTRODUCTION = (
    "From one dot product to a distilled BERT, and to which of the claims about it are true. Each lesson is also a "
    "notebook: <code>jupyter lab lessons/</code> opens the notebooks, where you can do the exercises."
)


def render(lessons: list[Lesson], out: Path) -> Path:
    """Write index.html and a page for each lesson and for its solutions into `out`; returns the index.

    Raises MinibertError when a notebook cannot be read or a file cannot be written.
    """
    frame = read_text(PAGE).replace("{{code style}}", HtmlFormatter().get_style_defs(".highlight"))
    for at, lesson in enumerate(lessons):
        links = [("index.html", "All lessons")]
        links += [(f"{lessons[at - 1].name}.html", f"← {lessons[at - 1].title}")] if at else []
        links += [(f"{lessons[at + 1].name}.html", f"{lessons[at + 1].title} →")] if at + 1 < len(lessons) else []
        if solutions.offered(lesson):
            write_solutions(frame, lesson, out)
            links.append((f"solutions/{lesson.name}.html", "Solutions"))
        body = body_of(stored_notebook(lesson), lesson.notebook.parent, out)
        write_file(out / f"{lesson.name}.html", page(frame, lesson.title, links, body))
    index = out / "index.html"
    write_file(index, page(frame, "minibert: the lessons", [], contents(lessons)))
    return index


def write_solutions(frame: str, lesson: Lesson, out: Path) -> None:
    """Write the page with the solutions of a lesson's exercises, folded, into the folder solutions of `out`."""
    links = [("../index.html", "All lessons"), (f"../{lesson.name}.html", f"← {lesson.title}")]
    body = body_of(solutions.solutions_of(lesson), solutions.file_of(lesson).parent, out / "solutions")
    write_file(out / "solutions" / f"{lesson.name}.html", page(frame, f"Solutions: {lesson.title}", links, body))


def page(frame: str, title: str, links: list[tuple[str, str]], body: str) -> str:
    nav = "\n".join(f'<a href="{target}">{html.escape(words)}</a>' for target, words in links)
    parts = {"title": html.escape(title), "nav": nav, "body": body}
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], frame)  # in one pass: a lesson may contain {{nav}}


def contents(lessons: list[Lesson]) -> str:
    """The index: one entry for each lesson, with its question."""
    entries = "\n".join(
        f'<li><span class="number">{lesson.number}</span> <a href="{lesson.name}.html">{inline(lesson.title)}</a>'
        f"<br>{inline(lesson.question)}</li>"
        for lesson in lessons
    )
    return f'<h1>minibert: the lessons</h1>\n<p>{INTRODUCTION}</p>\n<ol class="lessons">\n{entries}\n</ol>'


def inline(text: str) -> str:
    """A line of Markdown as HTML, without the paragraph around it."""
    return re.sub(r"^<p>|</p>\s*$", "", to_html(text).strip())


def body_of(notebook: NotebookNode, here: Path, out: Path) -> str:
    """The cells of a notebook as HTML. here: the notebook's folder. out: the page's."""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = relinked(cell.source, here, out)
    exporter = HTMLExporter(
        template_name="basic",
        raw_template=CELLS,
        exclude_input_prompt=True,
        exclude_output_prompt=True,
        exclude_anchor_links=True,
        filters={"markdown2html": to_html, "markdown2html_mistune": to_html},
    )
    return exporter.from_notebook_node(notebook)[0]


def relinked(text: str, here: Path, out: Path) -> str:
    """Markdown with its links rewritten for the folder `out`: to the pages, and to the same files as before."""

    def link(found: re.Match[str]) -> str:
        if found["target"] is None or re.match(r"[a-z]+:|#", found["target"]):
            return found[0]
        target, mark, place = found["target"].partition("#")
        if target.endswith(".ipynb"):
            target = f"{target.removesuffix('.ipynb')}.html"
        else:
            target = Path(os.path.relpath(here / target, out)).as_posix()
        return f"]({target}{mark}{place})"

    # Code is matched first and left unchanged: layers[0](x) is not a link.
    return re.sub(r"```.*?```|`[^`]*`|\]\((?P<target>[^)\s]+)\)", link, text, flags=re.DOTALL)


class Renderer(IPythonRenderer):
    """Markdown as nbconvert writes it, with formulas as MathML."""

    def block_math(self, body: str) -> str:
        return f'<div class="formula">{to_mathml(body, display="block")}</div>\n'

    def inline_math(self, body: str) -> str:
        return to_mathml(body)


def to_html(source: str | Any, *context: Any) -> str:
    """Markdown to HTML. nbconvert also passes its context, before or after the text."""
    text = source if isinstance(source, str) else context[0]
    written = MarkdownWithMath(renderer=Renderer(escape=False, exclude_anchor_links=True)).render(text)
    # On a narrow screen a wide table scrolls in its own box.
    return written.replace("<table>", '<div class="wide"><table>').replace("</table>", "</table></div>")
