"""The attention explorer as a small server: type a sentence and see it.

It listens on this computer only (127.0.0.1). Its addresses begin with a random token, so that no other user and no
other page can ask it for anything; a request that names another host, or that comes from another site, is refused.
"""

from __future__ import annotations

import hmac
import html
import secrets
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlencode, urlsplit

from minibert.errors import MinibertError
from minibert.lessons.explorer import Served

__all__ = ["MOST_LETTERS", "Server", "server"]

HOST = "127.0.0.1"
MOST_LETTERS = 1000  # of a text; a text of LONGEST tokens is usually shorter
# Where it opens: in the sentence of the first lesson, at the head of all-MiniLM-L6-v2 whose pronouns look at nouns. In
# models without such a layer or head, the page shows another one.
OPENING = "My mother met my father, but she left early."
PRONOUN = "she"
PLACE = "#view=1&layer=2&head=4&word="
# The page draws itself: it may load nothing, and it may be sent nowhere but here.
POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
BARE = (
    '<!DOCTYPE html>\n<html lang="en">\n<meta charset="utf-8">\n'
    '<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>Attention explorer</title>\n'
    "<style>body { max-width: 60rem; margin: 1rem auto; padding: 0 1rem; font: 1rem/1.5 system-ui, sans-serif; } "
    "input { width: 100%; padding: .35rem; font: inherit; } label { display: block; margin: .3rem 0; } "
    ":root { color-scheme: light dark; } .wrong { color: #b3261e; font-weight: 600; } "
    "@media (prefers-color-scheme: dark) { .wrong { color: #ff8a80; } }</style>\n<h1>Attention explorer</h1>\n"
)


class Server(ThreadingHTTPServer):
    """A server for one model. address: where a browser finds it."""

    daemon_threads = True  # a browser that keeps its connection open does not keep the server from ending

    def __init__(self, shown: Served, text: str | None, pair: str | None, port: int) -> None:
        self.shown = shown
        self.one_at_a_time = threading.Lock()  # the model's mode is set while it runs
        self.token = secrets.token_urlsafe(18)
        super().__init__((HOST, port), Handler)
        self.hosts = {f"{name}:{self.server_port}" for name in (HOST, "localhost")}
        first = {"text": OPENING if text is None else text} | ({} if pair is None else {"pair": pair})
        place = "" if text is not None else f"{PLACE}{shown.place_of(PRONOUN, OPENING)}"
        self.first = f"/{self.token}/?{urlencode(first, quote_via=quote)}{place}"
        self.address = f"http://{HOST}:{self.server_port}/{self.token}/"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that leaves before it has its answer is no error."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)

    def answer(self, query: str) -> tuple[int, str]:
        """The status and the page for what a reader has asked for."""
        given = {name: values[-1].strip() for name, values in parse_qs(query, max_num_fields=20).items()}
        text, pair = given.get("text", ""), given.get("pair") or None
        try:
            for one in filter(None, (text, pair)):
                if len(one) > MOST_LETTERS:
                    raise MinibertError(
                        f"the text has {len(one):,} characters, and {MOST_LETTERS:,} are the most: give a shorter text."
                    )
            with self.one_at_a_time:
                return 200, self.shown.page(text, pair, form(text, pair))
        except MinibertError as error:
            return 400, BARE + form(text[:MOST_LETTERS], pair and pair[:MOST_LETTERS], str(error))


class Handler(BaseHTTPRequestHandler):
    server: Server
    timeout = 30  # seconds that a silent connection may last
    server_version, sys_version = "minibert", ""

    def do_GET(self) -> None:
        if refused := self.refusal():
            return self.send(403, refused, "text/plain")
        try:
            target = urlsplit(self.path)
        except ValueError:
            return self.send(400, "This is no address: use the one that the server has printed.\n", "text/plain")
        token = f"/{self.server.token}/"
        if not hmac.compare_digest(target.path.encode(), token.encode()):
            return self.send(404, "Nothing is here: use the address that the server has printed.\n", "text/plain")
        if not target.query:
            self.send_response(302)
            self.send_header("Location", self.server.first)
            self.send_header("Content-Length", "0")
            return self.end_headers()
        try:
            status, page = self.server.answer(target.query)
        except ValueError:  # too many fields
            status, page = 400, BARE + form("", None, "the address has too many parts: type the sentence again.")
        self.send(status, page, "text/html")

    def refusal(self) -> str | None:
        """Why a request is not answered: it is for another host, or another site has made it."""
        hosts = self.server.hosts
        if self.headers.get("Host") not in hosts:  # a name that leads here is no reason to answer to it
            return "This server answers only to its own address.\n"
        origin = self.headers.get("Origin")
        elsewhere = origin is not None and origin not in {f"http://{host}" for host in hosts}
        if elsewhere or self.headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin"):
            return "This server does not answer to other sites: type its address into the browser.\n"
        return None

    def send(self, status: int, text: str, kind: str) -> None:
        body = text.encode("utf-8", "replace")
        self.send_response(status)
        for name, value in {
            "Content-Type": f"{kind}; charset=utf-8",
            "Content-Length": str(len(body)),
            "Content-Security-Policy": POLICY,
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
            "Cache-Control": "no-store",
        }.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Says nothing: what a reader types is nobody else's business, and the token does not belong in a log."""


def form(text: str, pair: str | None, wrong: str = "") -> str:
    """The form for another sentence. wrong: what was wrong with the last one."""
    told = f'<p class="wrong" role="alert">{html.escape(wrong)}</p>\n' if wrong else ""
    fields = "".join(
        f'<label>{label} <input name="{name}" value="{html.escape(value)}" maxlength="{MOST_LETTERS}" '
        f'autocomplete="off"{needed}></label>\n'
        for label, name, value, needed in (
            ("A sentence", "text", text, " required"),
            ("A second one, read together with the first (may be empty)", "pair", pair or "", ""),
        )
    )
    return f'<form method="get" action="?">\n{told}{fields}<button>Show</button>\n</form>\n'


def server(source: str | Path, text: str | None = None, pair: str | None = None, port: int = 0) -> Server:
    """A server that is ready to run (`serve_forever`). text, pair: what it opens with. port: 0 for a free one.

    Raises MinibertError for a model that cannot be loaded, and for a port that cannot be had.
    """
    shown = Served(source)
    try:
        return Server(shown, text, pair, port)
    except (OSError, OverflowError) as error:
        raise MinibertError(f"port {port} of {HOST} cannot be used ({error}): give another --port.") from None
