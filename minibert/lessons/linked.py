"""Links in the pages of the site: to other pages, and to files of the checkout, which become pages as well.

So a site can be read where there is no checkout, as on a phone. A file that no lesson links to has no page; on the
pages of files, a link to such a file is shown as text.
"""

from __future__ import annotations

import base64
import os
import re
from dataclasses import dataclass, field
from pathlib import Path

from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_for_filename
from pygments.lexers.special import TextLexer
from pygments.util import ClassNotFound

from minibert.files import read_text

FILES = "sources"  # the folder of the site with their pages (nbconvert cuts "files/" off links)
NOWHERE = "#nowhere"  # the target of a link that is shown as text
# Code is matched first and left unchanged: layers[0](x) is not a link.
LINK = re.compile(r"```.*?```|`[^`]*`|\]\((?P<target>[^)\s]+)\)", re.DOTALL)


@dataclass
class Linked:
    """The pages that a site has besides those of its lessons.

    lessons: the folder of the notebooks, in the checkout. files: the files that were linked to so far, each with the
    name of its page, as seen from the site's folder. open: whether a link to another file adds it.
    """

    lessons: Path
    files: dict[Path, str] = field(default_factory=dict)
    open: bool = True

    @property
    def checkout(self) -> Path:
        return self.lessons.resolve().parent

    def name_of(self, path: Path) -> str | None:
        """The name of the page of a file, as seen from the site's folder; None if it has none."""
        path = Path(os.path.abspath(path))
        lessons = self.checkout / self.lessons.name
        if path.suffix == ".ipynb" and path.is_relative_to(lessons):
            return path.relative_to(lessons).with_suffix(".html").as_posix()
        if self.open and path.is_file() and path.is_relative_to(self.checkout):
            self.files.setdefault(path, f"{FILES}/{path.relative_to(self.checkout).as_posix()}.html")
        return self.files.get(path)

    def relinked(self, text: str, here: Path, at: str) -> str:
        """Markdown with its links rewritten for a page.

        here: the folder that the links are relative to. at: the page's folder, as seen from the site's; "" for itself.
        """

        def link(found: re.Match[str]) -> str:
            target = found["target"]
            if target is None or re.match(r"[a-z]+:|#", target):
                return found[0]
            file, mark, place = target.partition("#")
            name = self.name_of(here.resolve() / file)
            if name is None:
                return f"]({NOWHERE})"
            return f"]({Path(os.path.relpath(name, at or '.')).as_posix()}{mark}{place})"

        return LINK.sub(link, text)


def unlinked(body: str) -> str:
    """A page's HTML, in which links to nowhere are text."""
    return re.sub(rf'<a href="{NOWHERE}">(.*?)</a>', r"\1", body, flags=re.DOTALL)


def with_pictures(text: str, here: Path) -> str:
    """Markdown whose pictures are inside it."""

    def picture(found: re.Match[str]) -> str:
        path = here / found[2]
        if path.suffix != ".png" or not path.is_file():
            return found[1]
        return f"![{found[1]}](data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()})"

    return re.sub(r"!\[([^\]]*)\]\(([^)\s:]+)\)", picture, text)


def code_of(path: Path) -> str:
    """The text of a file as HTML, in colours if its language is known; each line has an address, #line-1 and so on."""
    try:
        lexer = get_lexer_for_filename(path.name)
    except ClassNotFound:
        lexer = TextLexer()
    shown = HtmlFormatter(cssclass="highlight", linespans="line", wrapcode=True)
    return highlight(read_text(path), lexer, shown)
