"""The lessons as pages: static HTML that opens from disk, without a network.

nbconvert writes the cells; formulas become MathML, which browsers draw without a script. Each page holds its style, its
pictures and the contents; only the search needs another file, search.js beside the index. Without scripts the pages can
be read as well: then there is no search, and their colours are those that the browser is set to.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from latex2mathml.converter import convert as to_mathml
from nbconvert import HTMLExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from nbformat import NotebookNode
from pygments.formatters import HtmlFormatter

from minibert.files import read_text, refuse_foreign, write_file
from minibert.lessons import solutions
from minibert.lessons.lesson import Lesson, stored_notebook
from minibert.lessons.linked import Linked, code_of, unlinked, with_pictures
from minibert.lessons.sections import Section, addressed, sections_of

PAGE = Path(__file__).with_name("site.html")  # the frame of every page, and its style
CODE_STYLES = {"code_by_day": "default", "code_by_night": "github-dark"}
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


@dataclass(frozen=True)
class Page:
    """A page of the site: a lesson, or a lesson's solutions. name: its file, as seen from the site's folder."""

    lesson: Lesson
    name: str
    title: str
    body: str

    @property
    def sections(self) -> list[Section]:
        return sections_of(self.body)


def render(lessons: list[Lesson], out: Path) -> Path:
    """Write index.html, a page for each lesson, for its solutions and for each file that these link to, and search.js
    into `out`; returns the index.

    Raises MinibertError when a notebook cannot be read, a file cannot be written, or one of somebody else's would be
    written over.
    """
    frame = framed()
    files: dict[str, str] = {}  # name, as seen from `out` -> content
    linked = Linked(lessons[0].notebook.parent)
    pages = [lesson_page(lesson, linked) for lesson in lessons]
    for at, one in enumerate(pages):
        links = [("index.html", "All lessons")]
        links += [(pages[at - 1].name, f"← {pages[at - 1].title}")] if at else []
        links += [(pages[at + 1].name, f"{pages[at + 1].title} →")] if at + 1 < len(pages) else []
        if solutions.offered(one.lesson):
            files |= solutions_page(frame, one.lesson, linked, lessons)
            links.append((f"solutions/{one.name}", "Solutions"))
        files[one.name] = page(frame, one.title, links, one.body, contents(lessons, one))
    files |= file_pages(frame, linked)
    files["search.js"] = search_index(pages)
    files["index.html"] = page(frame, "minibert: the lessons", [], overview(lessons))
    refuse_foreign(out / name for name in files)
    for name, content in files.items():
        write_file(out / name, content)
    return out / "index.html"


def framed() -> str:
    """The frame of every page, with the colours of code, by day and by night."""
    frame = read_text(PAGE)
    for name, style in CODE_STYLES.items():
        rules = HtmlFormatter(style=style).get_style_defs(".highlight")
        frame = frame.replace(f"{{{{{name}}}}}", rules)
    return frame


def lesson_page(lesson: Lesson, linked: Linked) -> Page:
    body = body_of(stored_notebook(lesson), lesson.notebook.parent, linked)
    return Page(lesson, f"{lesson.name}.html", lesson.title, addressed(body))


def solutions_page(frame: str, lesson: Lesson, linked: Linked, lessons: Sequence[Lesson] = ()) -> dict[str, str]:
    """The page with the solutions of a lesson's exercises, folded: its name, as seen from the site's folder, and its
    content. lessons: those in the page's contents.
    """
    links = [("../index.html", "All lessons"), (f"../{lesson.name}.html", f"← {lesson.title}")]
    body = body_of(solutions.solutions_of(lesson), solutions.file_of(lesson).parent, linked, "solutions")
    name, title = f"solutions/{lesson.name}.html", f"Solutions: {lesson.title}"
    this = Page(lesson, name, title, addressed(body))
    return {name: page(frame, title, links, this.body, contents(lessons, this, "../"), "../")}


def file_pages(frame: str, linked: Linked) -> dict[str, str]:
    """The pages of the files that others link to: names, as seen from the site's folder, and contents."""
    linked.open = False  # a page of a file leads to no further ones
    made = {}
    for path, name in linked.files.items():
        up, title = "../" * name.count("/"), path.relative_to(linked.checkout).as_posix()
        if path.suffix == ".md":
            text = with_pictures(read_text(path), path.parent)
            body = unlinked(addressed(to_html(linked.relinked(text, path.parent, name.rpartition("/")[0]))))
        else:
            body = f"<h1><code>{html.escape(title)}</code></h1>\n{code_of(path)}"
        made[name] = page(frame, title, [(f"{up}index.html", "All lessons")], body, up=up)
    return made


def page(frame: str, title: str, links: list[tuple[str, str]], body: str, listed: str = "", up: str = "") -> str:
    """A whole page. links: at its top and at its end. listed: its contents. up: the way to the site's folder."""
    nav = "\n".join(f'<a href="{target}">{html.escape(words)}</a>' for target, words in links)
    parts = {"title": html.escape(title), "nav": nav, "body": body, "contents": listed, "up": up}
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], frame)  # in one pass: a lesson may contain {{nav}}


def overview(lessons: Sequence[Lesson]) -> str:
    """The index: one entry for each lesson, with its question, its time and its exercises."""
    entries = "\n".join(
        f'<li><span class="number">{lesson.number}</span> <a href="{lesson.name}.html">{inline(lesson.title)}</a>'
        f'<br>{inline(lesson.question)}<br><small class="effort">{effort(lesson)}</small></li>'
        for lesson in lessons
    )
    return f'<h1>minibert: the lessons</h1>\n<p>{INTRODUCTION}</p>\n<ol class="lessons">\n{entries}\n</ol>'


def effort(lesson: Lesson) -> str:
    """How long a lesson takes, how many exercises it has, and the way to their solutions."""
    told = f"about {lesson.in_sittings} minutes"
    count = len(lesson.exercises)
    if not count:
        return told
    told += f", {count} exercise{'s' if count > 1 else ''}"
    return told + (f' · <a href="solutions/{lesson.name}.html">solutions</a>' if solutions.offered(lesson) else "")


def contents(lessons: Sequence[Lesson], this: Page, up: str = "") -> str:
    """All lessons; below the one that is open, the sections of this page. up: the way to the site's folder."""
    entries = []
    for lesson in lessons:
        link = (
            f'<a href="{up}{lesson.name}.html"%s><span class="number">{lesson.number}</span> {inline(lesson.title)}</a>'
        )
        if lesson.name != this.lesson.name:
            entries.append(f"<li>{link % ''}</li>")
            continue
        here = this.name == f"{lesson.name}.html"
        inside = "\n".join(
            f'<li class="level-{one.level}"><a href="#{one.place}">{html.escape(one.title)}</a></li>'
            for one in this.sections
            if one.level > 1
        )
        mark = ' aria-current="page"' if here else ""
        entries.append(f"<li>{link % mark}\n<ol>\n{inside}\n</ol></li>")
    return f"<ol>\n{chr(10).join(entries)}\n</ol>" if entries else ""


def search_index(pages: Sequence[Page]) -> str:
    """The script that gives the search what it looks in: of each section its page, place, titles and text.

    A page loads it when a reader begins to search. (A page that is opened from disk may load a script, but no data.)
    """
    entries = [
        [one.name, section.place, one.title, section.title if section.level > 1 else "", section.text]
        for one in pages
        for section in one.sections
    ]
    return f"minibertIndex({json.dumps(entries)});\n"


def inline(text: str) -> str:
    """A line of Markdown as HTML, without the paragraph around it."""
    return re.sub(r"^<p>|</p>\s*$", "", to_html(text).strip())


def body_of(notebook: NotebookNode, here: Path, linked: Linked, at: str = "") -> str:
    """The cells of a notebook as HTML. here: the notebook's folder. linked, at: see `Linked.relinked`."""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = linked.relinked(cell.source, here, at)
    exporter = HTMLExporter(
        template_name="basic",
        raw_template=CELLS,
        exclude_input_prompt=True,
        exclude_output_prompt=True,
        exclude_anchor_links=True,
        filters={"markdown2html": to_html, "markdown2html_mistune": to_html},
    )
    return unlinked(exporter.from_notebook_node(notebook)[0])


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
