"""The explorer as a server: it answers its own page on this computer, and nothing and nobody else."""

from __future__ import annotations

import html
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager
from urllib.parse import urlencode, urlsplit

import numpy as np
import pytest
from test_explorer import TITLE, data_in, in_browser, numbers, uniform, views_in
from test_explorer_views import tokenizer_of
from test_filling import model_of
from tiny import expect_refusal

import minibert
from minibert.cli.main import main
from minibert.lessons import explorer_server
from minibert.lessons.explorer import LONGEST, View, Words, explore, page
from minibert.lessons.explorer_page import page_of
from minibert.lessons.explorer_server import MOST_LETTERS, server

TEXT = "She slept."


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("served") / "tiny"
    minibert.save_pretrained(made, model_of("bert"), tokenizer_of("bert"))
    return made


@contextmanager
def running(folder, **given):
    with server(folder, **given) as made:
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield made
        finally:
            made.shutdown()
            thread.join()


@pytest.fixture(scope="module")
def served(folder):
    with running(folder) as made:
        yield made


def get(served, query: str | dict = "", path: str | None = None, method: str = "GET", **headers):
    """Status, headers and text of an answer."""
    connection = http.client.HTTPConnection("127.0.0.1", served.server_port, timeout=30)
    query = query if isinstance(query, str) else urlencode(query)
    path = f"/{served.token}/" if path is None else path
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, f"{path}?{query}" if query else path, headers=given)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, answer.headers, text


def test_a_sentence_gives_the_explorers_page_with_a_form(served, folder):
    for asked in ({"text": TEXT}, {"text": TEXT, "pair": "It was a film."}):
        status, headers, text = get(served, asked)
        assert status == 200
        own = explore(asked["text"], asked.get("pair"), folder)
        assert views_in(text)[0][0] == views_in(own.html())[0][0]
        assert re.findall(r'name="(text|pair)" value="([^"]*)"', text) == [
            ("text", TEXT),
            ("pair", asked.get("pair", "")),
        ]
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "connect-src" not in policy
        assert "frame-ancestors 'none'" in policy
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["Cache-Control"] == "no-store"
    assert "<form" not in own.html()


def test_a_mask_has_its_guesses(served):
    (view, _), = views_in(get(served, {"text": "She [MASK]."})[2])  # fmt: skip
    assert view["words"][0]["guesses"]


def test_it_opens_on_the_pronoun(served, folder):
    status, headers, _ = get(served)
    assert status == 302
    target = urlsplit(headers["Location"])
    data, _ = data_in(get(served, target.query, target.path)[2])
    state = dict(part.split("=") for part in target.fragment.split("&"))
    assert (state["layer"], state["head"]) == ("2", "4")
    assert "she" in data["tokens"][int(state["word"]) - 1]
    with running(folder, text=TEXT, pair="A film.") as other:
        target = urlsplit(get(other)[1]["Location"])
        assert target.query == "text=She%20slept.&pair=A%20film."
        assert target.fragment == ""


def test_it_listens_on_this_computer_only(served):
    assert served.server_address[0] == "127.0.0.1"


def test_each_server_has_a_token_of_its_own(served, folder):
    with running(folder) as other:
        assert other.token != served.token
        assert min(len(other.token), len(served.token)) >= 24
        for path in ("/", f"/{served.token}/", f"/{other.token}", f"/{other.token[:-1]}/"):
            status, _, text = get(other, {"text": TEXT}, path)
            assert status == 404
            assert other.token not in text


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "example.org"},
        {"Host": "127.0.0.1"},
        {"Host": ""},
        {"Host": "127.0.0.1.example.org:{port}"},
        {"Origin": "https://example.org"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
    ],
)
def test_another_host_or_origin_is_refused(served, headers):
    given = {name: value.format(port=served.server_port) for name, value in headers.items()}
    status, _, text = get(served, {"text": TEXT}, **given)
    assert status == 403
    assert served.token not in text
    assert "She" not in text


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_its_own_host_and_origin_are_not_refused(served, host):
    own = f"{host}:{served.server_port}"
    assert get(served, {"text": TEXT}, Host=own, Origin=f"http://{own}", Sec_Fetch_Site="same-origin")[0] == 200


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"text": ""}, "no word in the text"),
        ({"text": "  "}, "no word in the text"),
        ({"pair": "only"}, "no word in the text"),
        ({"text": "a" * (MOST_LETTERS + 1)}, f"the text has {MOST_LETTERS + 1:,} characters, and {MOST_LETTERS:,} are"),
        ({"text": TEXT, "pair": "a" * (MOST_LETTERS + 1)}, f"{MOST_LETTERS:,} are the most"),
        ({"text": "a " * LONGEST}, f"{LONGEST} at most"),
        ({f"x{n}": "1" for n in range(30)}, "too many parts"),
    ],
)
def test_bad_input_gives_one_message_and_the_form(served, asked, told):
    status, _, text = get(served, asked)
    assert status == 400
    (message,) = re.findall(r'<p class="wrong" role="alert">(.*?)</p>', text)
    assert told in html.unescape(message)
    assert text.count("<form") == 1
    assert "Traceback" not in text
    assert get(served, {"text": TEXT})[0] == 200


def test_what_is_typed_is_text_and_no_html(served):
    for typed in (
        '"><b>x</b>',
        "</script><b>",
        "{{data}} {{form}}",
        "\ud83c".encode("utf-8", "surrogatepass").decode("latin-1"),
        "שלום",
    ):
        for asked in ({"text": typed}, {"text": typed + "a" * MOST_LETTERS}):
            _, _, text = get(served, asked)
            assert "<b>" not in text
            assert "{{" not in re.sub(
                r'value="[^"]*"|<script type="application/json".*?</script>', "", text, flags=re.DOTALL
            )


def test_other_methods_are_refused(served):
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        assert get(served, {"text": TEXT}, method=method)[0] == 501


def test_a_request_is_not_logged(served, capsys):
    get(served, {"text": TEXT})
    get(served, path="/")
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("address", ["http://[bad/x", "http://[::1/"])
def test_what_is_no_address_is_refused(served, address):
    with socket.create_connection(("127.0.0.1", served.server_port), timeout=30) as connection:
        host = f"127.0.0.1:{served.server_port}"
        connection.sendall(f"GET {address} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        assert b" 400 " in connection.makefile("rb").readline()


@pytest.mark.parametrize(("error", "told"), [(ConnectionResetError, ""), (BrokenPipeError, ""), (KeyError, "KeyError")])
def test_a_browser_that_leaves_is_no_error(served, capsys, error, told):
    try:
        raise error("a reason")
    except Exception:
        served.handle_error(None, ("127.0.0.1", 1))
    err = capsys.readouterr().err
    assert (told in err) if told else err == ""


def test_a_port_in_use_is_refused(served, folder):
    for port in (served.server_port, 70_000):
        with expect_refusal(f"port {port} of 127.0.0.1 cannot be used", "another --port"):
            server(folder, port=port)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--serve", "--out", "x.html"], "--serve and --out do not go together"),
        (["--serve", "--layer", "2"], "--serve and --layer do not go together"),
        (["a film", "--port", "1234"], "--port is the port of --serve"),
        (["--serve", "--model", "no/such/model/here"], "is neither a folder"),
    ],
)
def test_the_command_says_what_is_wrong(arguments, sentence, capsys):
    assert main(["explore", *arguments]) == 2
    err = capsys.readouterr().err
    assert sentence in err
    assert len(err.splitlines()) == 1


@pytest.mark.slow
def test_ctrl_c_ends_it_cleanly(folder):
    command = [sys.executable, "-m", "minibert", "explore", "--serve", "--model", str(folder)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ
    ) as process:
        address = process.stdout.readline().strip()
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/[\w-]{24,}/", address)
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    assert "The server has ended." in out


# ------------------------------------------------------------------------------------------ in a browser

PROBE = """
<pre id="probe"></pre>
<script>
"use strict";
const seen = [];
const link = () => document.getElementById("link").getAttribute("href");
const look = () => seen.push([document.getElementById("said").textContent, link()]);
const other = "#view=2&layer=1&head=1&word=2&direction=to";
look();
for (const place of ["#layer=2&head=1&word=3", "#layer=9&head=0&word=x&view=7", other]) {
  goTo(place);
  look();
}
const again = link();
goTo("#view=1&layer=1&head=1&word=1");
goTo(again);
look();
document.querySelector("form").addEventListener("submit", (event) => event.preventDefault());
document.querySelector("form").requestSubmit();
seen.push(document.querySelector("form").getAttribute("action"));
document.getElementById("probe").textContent = JSON.stringify(seen);
</script>
"""


@pytest.mark.slow
def test_in_a_browser_a_link_leads_to_a_state(tmp_path):
    weights = np.random.default_rng(1).dirichlet(np.full(3, 0.5), (2, 2, 3))
    views = [View(weights, [Words(["a", "b", "c"])], name=name) for name in ("one", "two")]
    form = explorer_server.form("a b c", None)
    done = in_browser(page_of(views, TITLE, (1, 2), form).replace("</body>", PROBE + "</body>"), tmp_path)
    assert [line for line in done.stderr.splitlines() if "CONSOLE" in line] == []
    (probe,) = re.findall(r'<pre id="probe">(.*?)</pre>', done.stdout, re.DOTALL)
    first, second, third, fourth, again, action = json.loads(html.unescape(probe))
    assert first[1].startswith("#view=1&layer=1&head=2&word=")
    assert second[0].startswith("In layer 2, head 1, ‘c’ looks most at")
    assert second[1] == "#view=1&layer=2&head=1&word=3"
    assert third == second  # there is no such place
    assert fourth[0].startswith("In layer 1, head 1, ‘b’ is looked at most by")
    assert again == fourth
    assert again[1] == "#view=2&layer=1&head=1&word=2&direction=to"
    assert action == "#view=2&layer=1&head=1&direction=to"


HOLD = """
<pre id="probe"></pre>
<script>
"use strict";
const shown = () => [document.getElementById("beside").hidden, ...["which", "said", "kept", "heard"].map((name) => (
  document.getElementById(name).textContent)), document.documentElement.scrollWidth <= innerWidth,
  document.getElementById("map").toDataURL() === document.getElementById("other").toDataURL()];
const seen = [shown()];
goTo("#layer=1&head=2&word=1");
document.getElementById("hold").click();
seen.push(shown());
goTo("#layer=2&head=1&word=3");
seen.push(shown());
document.getElementById("drop").click();
seen.push(shown());
document.getElementById("hold").click();
document.getElementsByName("view")[1].click();
seen.push(shown());
document.getElementById("probe").textContent = JSON.stringify(seen);
</script>
"""


@pytest.mark.slow
def test_in_a_browser_a_head_can_be_kept_for_comparison(tmp_path):
    weights = np.random.default_rng(1).dirichlet(np.full(3, 0.5), (2, 2, 3))
    tokens = ["a", "b", "c"]
    views = [View(weights, [Words(tokens)], name="one"), View(weights[:1, :1], [Words(tokens)], name="two")]
    done = in_browser(page_of(views, TITLE, (1, 2)).replace("</body>", HOLD + "</body>"), tmp_path)
    assert [line for line in done.stderr.splitlines() if "CONSOLE" in line] == []
    (probe,) = re.findall(r'<pre id="probe">(.*?)</pre>', done.stdout, re.DOTALL)
    before, same, two, closed, other = json.loads(html.unescape(probe))

    def most(layer: int, head: int, word: int) -> str:
        to = weights[layer - 1, head - 1, word - 1].argmax()
        shown = numbers(weights[layer - 1, head - 1, word - 1, to])
        seen = "itself" if to == word - 1 else f"‘{tokens[to]}’"
        return f"In layer {layer}, head {head}, ‘{tokens[word - 1]}’ looks most at {seen} ({shown})"

    assert (before[0], closed[0], other[0]) == (True, True, True)
    assert (same[0], same[1], same[3], same[-1]) == (False, "Layer 1, head 2", "Layer 1, head 2", True)
    assert (two[0], two[1], two[3], two[-1]) == (False, "Layer 2, head 1", "Layer 1, head 2", False)
    assert two[2].startswith(most(2, 1, 3))
    assert two[4].startswith(most(1, 2, 3))
    assert all(step[5] for step in (before, same, two, closed, other))


def test_a_page_from_a_file_has_no_form():
    assert "<form" not in page(["a", "b"], uniform(2), TITLE)
