"""The attention explorer: its page holds the model's own weights, takes any text, loads nothing, and reacts."""

from __future__ import annotations

import base64
import html
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.colors import to_hex
from tiny import EVERY_MODEL, expect_refusal, tiny

import minibert
from minibert import plots
from minibert.cli import tour
from minibert.cli.main import main
from minibert.files import GENERATOR
from minibert.lessons import explorer
from minibert.lessons.explorer import LEVELS, LONGEST, explore, page
from minibert.lessons.explorer_page import SCRIPTS
from minibert.tokenizers import WordPiece
from minibert.tokenizers.wordpiece import BERT_SPECIAL, CONTINUATION

ROOT = Path(__file__).parents[1]
TOKENS = ["[CLS]", "the", "film", "was", "##n", "[SEP]"]
LAYERS, HEADS, SIZE = 2, 3, len(TOKENS)
WEIGHTS = np.random.default_rng(0).dirichlet(np.full(SIZE, 0.5), (LAYERS, HEADS, SIZE))
TITLE = "What it looks at"
TEXTS = [None, 0, 0, 0, 0, None]
# A token may be anything: a script's end, a placeholder of the template, half a character, letters read from the right.
HALF = "\ud83c"
ODD = ["[CLS]", "</script>", "<b>", '"', "'", "&amp;", "{{data}}", "{{title}}", "\\", "\n", "🎬", HALF, "שלום", "[SEP]"]


class Reader(HTMLParser):
    """A page as a browser reads it: the text of its title and of its scripts; the attributes of each tag."""

    def __init__(self, document: str):
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {"title": [], "script": []}
        self.open: str | None = None
        self.feed(document)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self.open = tag
        if tag in self.texts:
            self.texts[tag].append("")

    def handle_endtag(self, tag):
        self.open = None

    def handle_data(self, text):
        if self.open in self.texts:
            self.texts[self.open][-1] += text


def views_in(document: str) -> list[tuple[dict, np.ndarray]]:
    """What the page was given for each view, and its weights, (L, H, Q, T)."""
    data = json.loads(Reader(document).texts["script"][1])  # the colours come first, then the data
    found = []
    for view in data["views"]:
        shape = (view["layers"], view["heads"], len(view["rows"]), len(view["columns"]))
        levels = np.frombuffer(base64.b64decode(view["weights"]), dtype=np.uint8)
        found.append((view | {"start": data["start"]}, np.array(data["levels"])[levels].reshape(shape)))
    return found


def data_in(document: str) -> tuple[dict, np.ndarray]:
    """What a page with one view of one text was given, and its weights, (L, H, S, S)."""
    ((view, weights),) = views_in(document)
    (words,) = view["words"]
    assert view["rows"] == view["columns"] == list(range(len(words["tokens"])))
    return {**view, **words}, weights


def uniform(size: int, layers: int = 1, heads: int = 1) -> np.ndarray:
    return np.full((layers, heads, size, size), 1 / size)


@pytest.fixture
def tok() -> WordPiece:
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefghij"]
    return WordPiece({token: i for i, token in enumerate(tokens)})


# ------------------------------------------------------------------------------------------ what a page holds


def test_a_page_holds_the_tokens_and_the_weights():
    data, weights = data_in(page(TOKENS, WEIGHTS, TITLE, (2, 3), TEXTS))
    assert data["tokens"] == TOKENS
    assert data["texts"] == TEXTS
    assert data["start"] == [2, 3]
    assert weights.shape == (LAYERS, HEADS, SIZE, SIZE)
    assert abs(weights - WEIGHTS).max() <= 0.005 + 1e-9
    assert abs(weights.sum(-1) - 1).max() <= 0.005 * SIZE


def test_weights_keep_the_two_digits_that_are_shown_and_are_finer_below():
    true = np.linspace(0, 1, 20_001)
    row = np.stack([true, 1 - true], axis=-1)  # two tokens: each of these weights, and the rest
    _, weights = data_in(page(["a", "b"], np.stack([row, row[:, ::-1]], axis=-2)[:, None], TITLE))
    kept = weights[:, 0, 0, 0]
    numbered = kept >= 0.05
    off = abs(kept - true)
    assert off[numbered].max() <= 0.005 + 1e-9
    assert np.allclose(kept[numbered] * 100, np.rint(kept[numbered] * 100))
    assert off[~numbered].max() <= 1 / 6400 + 1e-9
    assert true[numbered].min() < 0.05  # what a reader would round up to .05 has a number
    assert len(LEVELS) == 256
    assert (np.diff(LEVELS) > 0).all()


def test_one_input_gives_one_page():
    assert page(TOKENS, WEIGHTS, TITLE) == page(list(TOKENS), torch.tensor(WEIGHTS), TITLE)
    assert page(TOKENS, WEIGHTS, TITLE) != page(TOKENS, WEIGHTS[::-1], TITLE)


def test_any_token_and_any_title_come_through_whole(tmp_path):
    for title in ODD:
        document = page(ODD, uniform(len(ODD)), title)
        seen = Reader(document)
        assert len(seen.texts["script"]) == 3
        assert data_in(document)[0]["tokens"] == ODD
        assert seen.texts["title"][0] == ("\ufffd" if title == HALF else title)
        tags = {tag for tag, _ in seen.tags}
        assert "b" not in tags
    written = explorer.Explorer(ODD[-3], document, 100).save(tmp_path / "new" / "page.html")
    assert written.read_text(encoding="utf-8").replace(f"{GENERATOR}\n", "") == document


def test_a_page_needs_no_network_and_has_no_inline_handlers():
    document = page(TOKENS, WEIGHTS, TITLE)
    assert not re.search(r"https?:|@import|url\(|fetch\(|XMLHttpRequest|import\(", document)
    for tag, attributes in Reader(document).tags:
        assert not {name for name in attributes if name == "src" or name.startswith("on")}
        assert attributes.get("href", "data:,") == "data:,"
        assert tag != "iframe"


def test_the_template_knows_no_tokenizer():
    template = "".join(part.read_text(encoding="utf-8") for part in (explorer.TEMPLATE, *SCRIPTS))
    for mark in (*BERT_SPECIAL.all(), CONTINUATION):
        assert mark not in template


def test_its_colours_are_those_of_the_figures():
    template = "".join(part.read_text(encoding="utf-8") for part in SCRIPTS)
    stops = re.findall("#[0-9A-F]{6}", re.search(r"const STOPS = \[(.*?)\]", template)[1])
    assert stops == [to_hex(plots.WHITE_TO_BLUE(at / 3)).upper() for at in range(4)]
    assert f'const CHOSEN = "{plots.VERMILION}", INK = "{plots.INK}"' in template


def test_the_template_and_its_scripts_are_files_of_the_package():
    included = re.search(r"package-data\]\n(.*)", (ROOT / "pyproject.toml").read_text())[1]
    for part in (explorer.TEMPLATE, *SCRIPTS):
        assert f'"lessons/*{part.suffix}"' in included


@pytest.mark.parametrize(
    ("tokens", "weights", "start", "parts"),
    [
        (TOKENS[:-1], WEIGHTS, (1, 1), ("shape (2, 3, 6, 6)", "5 tokens", "(L, H, S, S)")),
        (TOKENS, WEIGHTS[0], (1, 1), ("shape (3, 6, 6)",)),
        ([], np.zeros((1, 1, 0, 0)), (1, 1), ("0 tokens",)),
        (TOKENS, WEIGHTS.swapaxes(2, 3), (1, 1), ("does not sum to 1",)),
        (TOKENS, WEIGHTS * np.nan, (1, 1), ("does not sum to 1",)),
        (["a", "b"], [[[[1.5, -0.5], [0, 1]]]], (1, 1), ("does not sum to 1",)),
        (TOKENS, WEIGHTS, (3, 1), ("no layer 3", "from 1 to 2")),
        (TOKENS, WEIGHTS, (0, 1), ("no layer 0", "from 1 to 2")),
        (TOKENS, WEIGHTS, (1, 4), ("no head 4", "from 1 to 3")),
        (TOKENS, WEIGHTS, (1, 1.5), ("no head 1.5",)),
    ],
)
def test_what_cannot_be_a_page_is_refused(tokens, weights, start, parts):
    with expect_refusal(*parts):
        page(tokens, weights, TITLE, start)


def test_each_token_needs_its_text():
    with expect_refusal("5 sequence ids for 6 tokens"):
        page(TOKENS, WEIGHTS, TITLE, sequence_ids=TEXTS[:-1])


# ------------------------------------------------------------------------------------------ any model, any text


@pytest.mark.parametrize(("family", "head"), EVERY_MODEL)
def test_every_model_shows_its_own_weights(family, head, tok):
    model = tiny(family, head, vocab_size=tok.vocab_size)
    for text, pair in (("a b c d", None), ("a b", "c d e")):
        data, weights = data_in(explore(text, pair, model, tok).html())
        own = torch.cat(model(**tok(text, pair), return_attention=True).attentions).detach().numpy()
        assert data["tokens"] == tok.encode(text, pair).tokens
        assert data["texts"] == tok.encode(text, pair).sequence_ids
        assert weights.shape == own.shape
        assert abs(weights - own).max() <= 0.005 + 1e-6


def test_a_model_in_training_is_shown_without_dropout_and_stays_in_training(tok):
    model = tiny(head="masked-lm", vocab_size=tok.vocab_size)
    calm = explore("a b c", None, model, tok).html()
    model.train()
    model.backbone.encoder.blocks[1].eval()
    modes = [part.training for part in model.modules()]
    assert explore("a b c", None, model, tok).html() == calm
    assert [part.training for part in model.modules()] == modes


@pytest.mark.usefixtures("minilm_folder")
def test_the_real_weights_begin_where_the_tour_looks():
    found = explore("The film was too long for my sister, so she left.")
    data, weights = data_in(found.html())
    assert data["start"] == [tour.LAYER + 1, tour.HEAD + 1]
    she, sister = data["tokens"].index("she"), data["tokens"].index("sister")
    assert weights[tour.LAYER, tour.HEAD, she].argmax() == sister
    own, _ = tour.look(*(load("minilm-l6") for load in (minibert.from_pretrained, minibert.load_tokenizer)),
                       "The film was too long for my sister, so she left.")  # fmt: skip
    assert abs(weights - own.numpy()).max() <= 0.005 + 1e-6
    assert f"{weights[tour.LAYER, tour.HEAD, she, sister]:.2f}" == f"{own[tour.LAYER, tour.HEAD, she, sister]:.2f}"
    assert len(found.html()) < 300_000  # most of it are queries and keys
    assert "minilm-l6" in found.title
    assert data_in(explore("a film", layer=6).html())[0]["start"] == [6, 1]
    assert data_in(explore("a film", head=12).html())[0]["start"] == [1, 12]


def test_a_fresh_model_takes_a_real_tokenizer(minilm_folder):
    tokenizer = minibert.load_tokenizer(minilm_folder)
    model = minibert.build("tiny-bert", seed=0)
    text = '</script> "naïve" <b>it\'s</b> 🎬 שלום'
    data, weights = data_in(minibert.explore(text, model=model, tokenizer=tokenizer).html())
    assert data["tokens"] == tokenizer.encode(text).tokens
    assert weights.shape[:2] == (4, 4)
    assert data["start"] == [1, 1]


def test_the_longest_text_is_taken_and_no_longer_one(tok):
    model = tiny(vocab_size=tok.vocab_size, max_position_embeddings=LONGEST + 5)
    data, _ = data_in(explore("a " * (LONGEST - 2), None, model, tok).html())
    assert len(data["tokens"]) == LONGEST
    with expect_refusal(f"{LONGEST + 1} tokens", f"{LONGEST} at most"):
        explore("a " * (LONGEST - 1), None, model, tok)


def test_what_cannot_be_explored_is_refused(tok):
    model = tiny(vocab_size=tok.vocab_size)
    for text, pair in (("", None), (" \n", None), ("a", ""), ("", "a")):
        with expect_refusal("no word in the text"):
            explore(text, pair, model, tok)
    with expect_refusal("must be a str"):
        explore(["a"], None, model, tok)
    for missing in (None, "minilm-l6"):
        with expect_refusal("give its tokenizer too"):
            explore("a", None, model, missing)
    with expect_refusal("a Linear is not a model of this package"):
        explore("a", None, torch.nn.Linear(2, 2), tok)
    with expect_refusal("not by an int"):
        explore("a", None, 3, tok)
    with expect_refusal("no layer 0"):
        explore("a", None, model, tok, layer=0)
    with expect_refusal("no head 4", "from 1 to 3"):
        explore("a", None, model, tok, head=4)


# ------------------------------------------------------------------------------------------ where it is shown


def test_a_notebook_shows_the_page_in_a_frame_of_its_own():
    found = explorer.Explorer('a "title"', page(ODD, uniform(len(ODD)), "<b>"), 700)
    shown = found._repr_html_()
    assert shown.startswith("<p>Attention explorer: if nothing appears below, run this cell.</p>")
    frame = dict(Reader(shown).tags)["iframe"]
    assert [tag for tag, _ in Reader(shown).tags] == ["p", "iframe"]
    assert frame["srcdoc"] == found.html()
    assert frame["sandbox"] == "allow-scripts"
    assert frame["title"] == 'a "title"'
    assert frame["height"] == "700"
    assert repr(found) == '<Explorer: a "title">'


def test_the_command_writes_the_page_and_prints_its_path(minilm_folder, tmp_path, capsys):
    out = tmp_path / "page.html"
    out.write_text(f"<html>{GENERATOR} an earlier page")
    sentences = ("My sister chose the film.", "She slept.")
    options = ["--pair", sentences[1], "--layer", "2", "--head", "5", "--out", str(out), "--model", str(minilm_folder)]
    assert main(["explore", sentences[0], *options]) == 0
    assert capsys.readouterr().out == f"{out}\n"
    saved = out.read_text(encoding="utf-8").replace(f"{GENERATOR}\n", "")
    assert saved == explore(*sentences, minilm_folder, layer=2, head=5).html()
    assert list(tmp_path.iterdir()) == [out]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "the following arguments are required: TEXT"),
        ([" "], "no word in the text"),
        (["a film", "--layer", "7"], "there is no layer 7: give a layer from 1 to 6."),
        (["a film", "--head", "0"], "there is no head 0: give a head from 1 to 12."),
        (["a film", "--model", "no/such/model/here"], "is neither a folder"),
        (["a film", "--out", "."], ". is a folder: name a file with --out."),
    ],
)
@pytest.mark.usefixtures("minilm_folder")
def test_the_command_says_in_one_sentence_what_is_wrong(arguments, sentence, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["explore", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert sentence in err
    assert len(err.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


# ------------------------------------------------------------------------------------------ in a browser

# Each step is what a reader does; after it, the sentence below the words and the chosen cell are recorded.
PROBE = """
<pre id="probe"></pre>
<script>
"use strict";
const key = (place, name) => document.querySelector(place).dispatchEvent(
  new KeyboardEvent("keydown", { key: name, bubbles: true, cancelable: true }));
const steps = [
  () => {},
  () => document.querySelectorAll(".word")[1].dispatchEvent(new PointerEvent("pointerenter")),
  () => key(".word[aria-checked=true]", "ArrowRight"),
  () => key(".word[aria-checked=true]", "End"),
  () => key(".head[aria-selected=true]", "ArrowDown"),
  () => key(".head[aria-selected=true]", "ArrowLeft"),
  () => document.querySelectorAll(".head")[0].click(),
  () => document.querySelector("[value=to]").click(),
  () => document.querySelector("#without").click(),
  () => key(".word[aria-checked=true]", "ArrowRight"),
  () => key(".word[aria-checked=true]", "ArrowRight"),
  () => key(".word[aria-checked=true]", "Home"),
];
document.getElementById("probe").textContent = JSON.stringify(steps.map((step) => {
  step();
  const stops = (group) => document.querySelectorAll(`${group}[tabindex="0"]`).length;
  const words = [...document.querySelectorAll(".word:not([hidden])")];
  return [document.getElementById("said").textContent, stops(".word"), stops(".head"),
    words.map((word) => word.lastChild.textContent), document.documentElement.scrollWidth <= innerWidth];
}));
</script>
"""


def sentence(layer: int, head: int, word: int, looks: bool = True, places: range = range(SIZE)) -> str:
    """What the page must say; all numbers count from 0."""
    weights = WEIGHTS[layer, head, word] if looks else WEIGHTS[layer, head, :, word]
    first, second = sorted(places, key=lambda i: -weights[i])[:2]

    def seen(i: int) -> str:
        return f"{'itself' if i == word else f'‘{TOKENS[i]}’'} ({numbers(weights[i])})"

    verb, then = ("looks most at", "then") if looks else ("is looked at most by", "then by")
    where = f"In layer {layer + 1}, head {head + 1}"
    return f"{where}, ‘{TOKENS[word]}’ {verb} {seen(first)}, {then} {seen(second)}."


def numbers(weight: float) -> str:
    return f"{weight:.2f}".removeprefix("0")


def in_browser(document: str, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    """What a browser makes of the page (stdout), and what its console says (stderr)."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("there is no Chromium on this machine")
    file = tmp_path / "page.html"
    file.write_text(document, encoding="utf-8")
    return subprocess.run(
        [chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync",
         f"--user-data-dir={tmp_path / 'profile'}", "--window-size=600,900", "--virtual-time-budget=2000",
         "--enable-logging=stderr", "--v=0", "--dump-dom", file.as_uri()],
        capture_output=True, encoding="utf-8", timeout=120,
    )  # fmt: skip


@pytest.mark.slow
def test_in_a_browser_it_follows_the_pointer_and_the_keys(tmp_path):
    document = page(TOKENS, WEIGHTS, TITLE, (1, 2), TEXTS)
    done = in_browser(document.replace("</body>", PROBE + "</body>"), tmp_path)
    assert [line for line in done.stderr.splitlines() if "CONSOLE" in line] == []
    found = Reader(done.stdout)  # the page after its script
    (probe,) = re.findall(r'<pre id="probe">(.*?)</pre>', done.stdout, re.DOTALL)
    said, word_stops, head_stops, shown, fits = zip(*json.loads(html.unescape(probe)), strict=True)

    inner = range(1, SIZE - 1)
    pairs = [(WEIGHTS[0, 1, i, j], i) for i in inner for j in inner if i != j]
    last = SIZE - 1
    assert list(said) == [
        sentence(0, 1, max(pairs)[1]),  # it begins with the word that looks most at another
        sentence(0, 1, 1),
        sentence(0, 1, 2),
        sentence(0, 1, last),
        sentence(1, 1, last),
        sentence(1, 0, last),
        sentence(0, 0, last),
        sentence(0, 0, last, looks=False),
        *(sentence(0, 0, word, looks=False, places=inner) for word in (1, 2, 3, 1)),  # [SEP] is hidden, 1 is first
    ]
    assert {*word_stops} == {*head_stops} == {1}  # Tab stops once in each group
    assert shown[1] == [numbers(weight) if weight >= 0.05 else "" for weight in WEIGHTS[0, 1, 1]]
    assert shown[-1] == [numbers(weight) if weight >= 0.05 else "" for weight in WEIGHTS[0, 0, 1:-1, 1]]
    assert all(fits)  # the page does not scroll sideways
    roles = [attributes.get("role") for _, attributes in found.tags]
    assert roles.count("radio") == SIZE
    assert roles.count("gridcell") == LAYERS * HEADS


@pytest.mark.slow
def test_in_a_browser_the_tokenizer_says_which_tokens_are_special_and_where_the_second_text_begins(tmp_path):
    tokens, texts = ["<s>", "a", "</s>", "</s>", "b", "[SEP]", "</s>"], [None, 0, None, None, 1, 1, None]
    document = page(tokens, uniform(len(tokens)), TITLE, sequence_ids=texts)
    probe = """<pre id="probe"></pre><script>
        const tags = [...document.querySelectorAll("#words > *")].map((one) => one.tagName);
        document.getElementById("without").click();
        const left = [...document.querySelectorAll(".word:not([hidden]) b")].map((one) => one.textContent);
        const label = document.getElementById("without").parentElement.textContent.trim();
        document.getElementById("probe").textContent = JSON.stringify([label, tags, left]);
    </script>"""
    done = in_browser(document.replace("</body>", probe + "</body>"), tmp_path)
    (found,) = re.findall(r'<pre id="probe">(.*?)</pre>', done.stdout, re.DOTALL)
    label, tags, left = json.loads(html.unescape(found))
    assert label == "leave out <s> and </s>"
    assert [at for at, tag in enumerate(tags) if tag == "I"] == [4]  # a line break before b
    assert left == ["a", "b", "[SEP]"]  # a [SEP] that is written in a text is one of its words
