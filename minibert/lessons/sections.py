"""The sections of a page: its headings get addresses, and its text is taken out for the contents and the search."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from itertools import count

HEADING = re.compile(r"<h([1-3])>(.*?)</h\1>", re.DOTALL)  # as Markdown writes it; outputs of cells have none
# What is not searched: what is folded, because it may be an answer; what code prints; and what is no text.
PASSED_OVER = {"details", "script", "style", "iframe", "svg"}
BLOCKS = {"p", "li", "td", "th", "div", "pre", "br", "summary", "blockquote"}  # words do not go on across their borders
OUTPUT = "output_wrapper"  # nbconvert's class for what a cell shows


@dataclass
class Section:
    """A heading and the text below it, up to the next heading. place: its address on the page; level: 1, 2 or 3."""

    place: str
    level: int
    title: str = ""
    words: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return " ".join("".join(self.words).split())


def addressed(body: str) -> str:
    """The page's HTML, in which each heading has an id that follows from its words and that nothing else has."""
    used = set(re.findall(r'<[^>]*\bid="([^"]*)"', body))  # of anchors in a lesson, for example

    def heading(found: re.Match[str]) -> str:
        words = re.sub(r"<[^>]*>|&\w+;", " ", found[2]).lower()
        name = "-".join(re.findall(r"\w+", words)) or "section"
        place = next(one for n in count(1) if (one := name if n == 1 else f"{name}-{n}") not in used)
        used.add(place)
        return f'<h{found[1]} id="{place}">{found[2]}</h{found[1]}>'

    return HEADING.sub(heading, body)


def sections_of(body: str) -> list[Section]:
    """The sections of a page in order; see `addressed` for the page."""
    reader = _Reader()
    reader.feed(body)
    reader.close()
    return reader.sections


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.sections: list[Section] = []
        self.heading = False  # inside a heading?
        self.passing = ""  # the tag that is passed over, and how many of its kind are open
        self.depth = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if self.passing:
            self.depth += tag == self.passing
        elif tag in PASSED_OVER or OUTPUT in (given.get("class") or "").split():
            self.passing, self.depth = tag, 1
        elif re.fullmatch("h[1-3]", tag) and given.get("id"):
            self.sections.append(Section(given["id"] or "", int(tag[1])))
            self.heading = True
        elif tag in BLOCKS:
            self.handle_data(" ")

    def handle_endtag(self, tag: str) -> None:
        if tag == self.passing:
            self.depth -= 1
            self.passing = self.passing if self.depth else ""
        elif re.fullmatch("h[1-3]", tag):
            self.heading = False

    def handle_data(self, data: str) -> None:
        if self.passing or not self.sections:
            return
        if self.heading:
            self.sections[-1].title += data
        else:
            self.sections[-1].words.append(data)
