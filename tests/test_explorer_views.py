"""The explorer with models that have more than one kind of attention: two streams, a memory, a decoder; all seven from
their folders."""

from __future__ import annotations

import html
import json
import re
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from test_explorer import in_browser, views_in
from tiny import expect_refusal, randomise

import minibert
from minibert.cli.main import main
from minibert.files import GENERATOR
from minibert.generation import shift_right
from minibert.lessons.explorer import LONGEST, View, Words, explore
from minibert.lessons.explorer_page import page_of
from minibert.models import FAMILIES, PRESETS
from minibert.tokenizers import AlbertUnigram, ByteBPE, Tokenizer, WordPiece, XLNetUnigram
from minibert.training.permutation import order_mask

TEXT, PAIR = "My sister chose the film, but she slept through it.", "It was too long."
BEFORE = "The film was too long for her."
LEARNED = {"bert": WordPiece, "distilbert": WordPiece, "mobilebert": WordPiece, "roberta": ByteBPE, "bart": ByteBPE,
           "albert": AlbertUnigram, "xlnet": XLNetUnigram}  # fmt: skip
CLOSE = 0.005 + 1e-6


@cache
def tokenizer_of(family: str) -> Tokenizer:
    sizes = {WordPiece: 120, ByteBPE: 320, AlbertUnigram: 80, XLNetUnigram: 80}
    learned = LEARNED[family]
    return learned.train([TEXT, PAIR, BEFORE] * 5, sizes[learned])


def model_of(family: str, **changes) -> minibert.model.Model:
    tok = tokenizer_of(family)
    config = replace(PRESETS[f"tiny-{family}"], vocab_size=tok.vocab_size, pad_token_id=tok.pad_id, **changes)
    return randomise(minibert.build(config, seed=0)).eval()


def run(model, tok, text=TEXT, pair=None, **given):
    """The model's own output, without the explorer."""
    batch = tok(text, pair)
    with torch.no_grad():
        return model(batch["input_ids"], None, batch["token_type_ids"], return_attention=True, **given)


def stacked(weights) -> np.ndarray:
    return torch.cat(list(weights)).numpy()


def tokens_of(view: dict) -> list[list[str]]:
    return [words["tokens"] for words in view["words"]]


def hidden_in(view: dict) -> np.ndarray:
    return np.array([[cell == "1" for cell in row] for row in view["hidden"]])


# ------------------------------------------------------------------------------------------ all seven


def test_the_seven_are_all_there_is():
    assert LEARNED.keys() == FAMILIES.keys()


@pytest.mark.parametrize("family", LEARNED)
@pytest.mark.parametrize("pair", [None, PAIR])
def test_a_folder_of_every_family_is_shown_with_its_tokenizer_and_its_weights(family, pair, tmp_path):
    model, tok = model_of(family), tokenizer_of(family)
    minibert.save_pretrained(tmp_path / "saved", model, tok)
    encoding = tok.encode(TEXT, pair)
    views = views_in(explore(TEXT, pair, tmp_path / "saved").html())
    view, weights = views[0]
    output = run(model, tok, TEXT, pair)
    own = getattr(output, "encoder_attentions", None) or output.attentions
    assert tokens_of(view) == [encoding.tokens]
    assert view["words"][0]["texts"] == encoding.sequence_ids
    assert abs(weights - stacked(own)).max() <= CLOSE
    assert len(views) == (3 if family in ("xlnet", "bart") else 1)
    assert len({view["name"] for view, _ in views}) == len(views)


# ------------------------------------------------------------------------------------------ an order, two streams


@pytest.mark.parametrize("pair", [None, PAIR])
def test_both_streams_follow_the_order_that_is_shown(pair):
    model, tok = model_of("xlnet"), tokenizer_of("xlnet")
    encoding = tok.encode(TEXT, pair)
    _, (content, content_weights), (query, query_weights) = views_in(explore(TEXT, pair, model, tok, seed=3).html())
    order = torch.tensor([content["words"][0]["order"]])
    size = len(encoding.tokens)
    assert sorted(order[0].tolist()) == list(range(size))
    assert query["words"] == content["words"]
    places = [place for place, text in enumerate(encoding.sequence_ids) if text is not None]
    assert query["rows"] == places  # special tokens are not predicted
    assert content["rows"] == content["columns"] == query["columns"] == list(range(size))

    numbers = order[0].numpy()
    assert (hidden_in(content) == (numbers[:, None] < numbers)).all()  # a token sees itself here, and not there
    assert (hidden_in(query) == (numbers[places][:, None] <= numbers)).all()

    mapping = torch.eye(size)[None, places]
    own = run(model, tok, TEXT, pair, perm_mask=order_mask(order), target_mapping=mapping)
    assert abs(content_weights - stacked(own.attentions)).max() <= CLOSE
    assert abs(query_weights - stacked(own.query_attentions)).max() <= CLOSE


def test_the_seed_draws_the_order_of_the_words_and_nothing_else():
    model, tok = model_of("xlnet"), tokenizer_of("xlnet")
    pages = [explore(TEXT, None, model, tok, seed=seed).html() for seed in (0, 0, 1)]
    (plain, weights), (content, _), _ = views_in(pages[0])
    (other_plain, other_weights), (other, _), _ = views_in(pages[2])
    assert pages[0] == pages[1]
    assert plain["hidden"] is None
    assert plain["words"][0]["order"] == []
    assert plain == other_plain
    assert (weights == other_weights).all()
    assert content["words"][0]["order"] != other["words"][0]["order"]
    special = [place for place, text in enumerate(content["words"][0]["texts"]) if text is None]
    assert sorted(content["words"][0]["order"][place] for place in special) == list(range(len(special)))


def test_a_model_that_only_looks_back_sees_what_both_allow():
    """With `attn_type` "uni" the first words of an order may have nothing to look at: their rows are 0."""
    model, tok = model_of("xlnet", attn_type="uni"), tokenizer_of("xlnet")
    (plain, _), _, (query, weights) = views_in(explore(TEXT, None, model, tok).html())
    size = len(plain["rows"])
    assert (hidden_in(plain) == np.triu(np.ones((size, size), bool), 1)).all()
    assert hidden_in(query)[0].all()  # the first word looks back at nothing
    assert (weights[:, :, 0] == 0).all()


# ------------------------------------------------------------------------------------------ a memory


def test_the_text_before_is_looked_at_as_memory():
    model, tok = model_of("xlnet"), tokenizer_of("xlnet")
    views = views_in(explore(TEXT, None, model, tok, before=BEFORE).html())
    mems = run(model, tok, BEFORE).mems
    past, own = tok.encode(BEFORE).tokens, tok.encode(TEXT).tokens
    for view, _ in views:
        assert tokens_of(view) == [past, own]
        assert view["columns"] == list(range(len(past) + len(own)))
        assert min(view["rows"]) == len(past)
    assert abs(views[0][1] - stacked(run(model, tok, mems=mems).attentions)).max() <= CLOSE
    for view, _ in views[1:]:
        assert not hidden_in(view)[:, : len(past)].any()  # an order hides nothing of the memory


@pytest.mark.parametrize(
    ("settings", "kept"),
    [({"mem_len": 3}, slice(-3, None)), ({"reuse_len": 4}, slice(4)), ({"mem_len": 2, "reuse_len": 5}, slice(3, 5))],
)
def test_a_shorter_memory_shows_the_tokens_that_it_holds(settings, kept):
    tok = tokenizer_of("xlnet")
    (view, _), *_ = views_in(explore(TEXT, None, model_of("xlnet", **settings), tok, before=BEFORE).html())
    assert tokens_of(view)[0] == tok.encode(BEFORE).tokens[kept]


# ------------------------------------------------------------------------------------------ a decoder


@pytest.mark.parametrize("written", [None, "She slept."])
def test_an_encoder_decoder_has_three_views(written):
    model, tok = model_of("bart", decoder_layers=3, decoder_attention_heads=2), tokenizer_of("bart")
    (read, reading), (back, looking_back), (cross, crossing) = views_in(
        explore(TEXT, None, model, tok, written=written).html()
    )
    text = tok.encode(TEXT)
    new = tok.encode(TEXT if written is None else written)
    start = shift_right(torch.tensor([new.ids]), model.config.decoder_start_token_id)
    own = run(model, tok, decoder_input_ids=start)
    for weights, ours in ((reading, own.encoder_attentions), (looking_back, own.attentions)):
        assert abs(weights - stacked(ours)).max() <= CLOSE
    assert abs(crossing - stacked(own.cross_attentions)).max() <= CLOSE

    before = [tok.tokens[model.config.decoder_start_token_id], *new.tokens[:-1]]
    assert tokens_of(read) == [text.tokens]
    assert tokens_of(back) == [before]
    assert tokens_of(cross) == [text.tokens, before]
    assert cross["words"][1]["next"] == new.tokens  # each is written where the one before it was read
    assert [view["layers"] for view in (read, back, cross)] == [2, 3, 3]
    assert (hidden_in(back) == np.triu(np.ones((len(before), len(before)), bool), 1)).all()
    assert read["hidden"] is None
    assert cross["hidden"] is None
    size = len(text.tokens)
    assert cross["columns"] == list(range(size))
    assert cross["rows"] == list(range(size, size + len(before)))


def test_by_default_the_decoder_reads_what_the_model_gives_it():
    model, tok = model_of("bart"), tokenizer_of("bart")
    _, (_, weights), _ = views_in(explore(TEXT, None, model, tok).html())
    assert abs(weights - stacked(run(model, tok).attentions)).max() <= CLOSE


# ------------------------------------------------------------------------------------------ what is refused


def test_what_a_model_cannot_be_given_is_refused():
    bert, tok = model_of("bert"), tokenizer_of("bert")
    with expect_refusal("a Bert has no decoder", "leave out"):
        explore(TEXT, None, bert, tok, written="She slept.")
    for family in ("bert", "bart"):
        with expect_refusal("has no memory", "leave it out"):
            explore(TEXT, None, model_of(family), tokenizer_of(family), before=BEFORE)
    xlnet, tok = model_of("xlnet", use_mems_eval=False), tokenizer_of("xlnet")
    with expect_refusal("set to keep no memory"):
        explore(TEXT, None, xlnet, tok, before=BEFORE)
    for text in ("", "film " * LONGEST):
        with expect_refusal("the text"):
            explore(TEXT, None, model_of("xlnet"), tok, before=text)
        with expect_refusal("the text"):
            explore(TEXT, None, model_of("bart"), tokenizer_of("bart"), written=text)


@pytest.mark.parametrize(
    ("rows", "columns", "parts"),
    [
        (range(2, 5), range(2), ("shape (1, 1, 3, 3)", "3 tokens that look at 2", "(L, H, Q, T)")),
        (range(2), range(2, 5), ("2 tokens that look at 3",)),
    ],
)
def test_a_view_whose_weights_do_not_fit_is_refused(rows, columns, parts):
    words = [Words(["a", "b"]), Words(["c", "d", "e"])]
    with expect_refusal(*parts):
        page_of([View(np.full((1, 1, 3, 3), 1 / 3), words, rows, columns)], "")


def test_words_need_one_number_of_an_order_each():
    with expect_refusal("1 numbers of an order for 2 tokens"):
        Words(["a", "b"], order=[0])
    with expect_refusal("3 next tokens for 2 tokens"):
        Words(["a", "b"], next=["b", "c", "d"])
    with expect_refusal("0 sequence ids for 2 tokens"):
        Words(["a", "b"], [])


def test_a_row_is_all_hidden_or_sums_to_one():
    words = [Words(["a", "b"])]
    (view, _), = views_in(page_of([View([[[[0, 0], [0.5, 0.5]]]], words)], ""))  # fmt: skip
    assert view["hidden"] == ["11", "00"]
    two_heads = [[[[0, 0], [0.5, 0.5]], [[1, 0], [0.5, 0.5]]]]  # a mask would hide it in both
    with expect_refusal("does not sum to 1"):
        page_of([View(two_heads, words)], "")


def test_the_command_passes_its_options_on(tmp_path, capsys):
    for family, options in {"xlnet": {"before": BEFORE, "seed": 4}, "bart": {"written": "She slept."}}.items():
        folder, out = tmp_path / family, tmp_path / f"{family}.html"
        minibert.save_pretrained(folder, model_of(family), tokenizer_of(family))
        given = [str(part) for name, value in options.items() for part in (f"--{name}", value)]
        assert main(["explore", TEXT, "--model", str(folder), "--out", str(out), *given]) == 0
        plain = explore(TEXT, None, folder, **options).html()
        assert out.read_text(encoding="utf-8") == plain.replace("<head>", f"<head>\n{GENERATOR}", 1)
    assert main(["explore", TEXT, "--model", str(tmp_path / "xlnet"), "--written", "no"]) == 2
    assert "has no decoder" in capsys.readouterr().err
    assert main(["explore", TEXT, "--model", str(tmp_path / "xlnet"), "--seed", str(2**70)]) == 2
    assert "at most 64 bits" in capsys.readouterr().err


# ------------------------------------------------------------------------------------------ in a browser

PROBE = """
<pre id="probe"></pre>
<script>
"use strict";
const view_of = (number) => document.querySelectorAll("[name=view]")[number].click();
const point = (word) => document.querySelectorAll(".word")[word].dispatchEvent(new PointerEvent("pointerenter"));
const steps = [
  () => point(0),
  () => point(1),
  () => view_of(1),
  () => point(4),
  () => point(1),
  () => document.querySelector("[value=from]").click(),
  () => document.querySelector("[value=to]").click(),
  () => document.querySelector("#without").click(),
];
document.getElementById("probe").textContent = JSON.stringify(steps.map((step) => {
  step();
  const words = [...document.querySelectorAll(".word:not([hidden])")];
  return { said: document.getElementById("said").textContent, note: document.getElementById("note").textContent,
    from: document.querySelector("[value=from]").checked, masked: !document.getElementById("masked").hidden,
    dashed: words.map((word) => word.hasAttribute("data-hidden")),
    numbers: words.map((word) => word.lastChild.textContent),
    above: words.map((word) => (word.querySelector("sub") || word).textContent),
    heads: document.querySelectorAll(".head").length,
    fits: document.documentElement.scrollWidth <= innerWidth };
}));
</script>
"""


@pytest.mark.slow
def test_in_a_browser_a_word_looks_or_is_looked_at_as_the_view_allows(tmp_path):
    """Two views: three words that look back, and two written words that look at these three."""
    back = np.array([[[[1, 0, 0], [0.3, 0.7, 0], [0.2, 0.3, 0.5]]] * 2])
    cross = np.array([[[[0.1, 0.6, 0.3], [0.25, 0.05, 0.7]]]])
    read = Words(["a", "b", "[X]"], [0, 0, None], order=[0, 1, 2])
    views = [
        View(back, [read], name="one", note="The first."),
        View(
            cross,
            [Words(["a", "b", "[X]"], [0, 0, None], "read"), Words(["p", "q"], name="written", next=["q", "r"])],
            range(3, 5),
            range(3),
            "two",
            "The second.",
            "the place of ",
        ),
    ]
    done = in_browser(page_of(views, "", (1, 2)).replace("</body>", PROBE + "</body>"), tmp_path)
    assert [line for line in done.stderr.splitlines() if "CONSOLE" in line] == []
    (probe,) = re.findall(r'<pre id="probe">(.*?)</pre>', done.stdout, re.DOTALL)
    alone, first, second, column, other, moved, back_again, without = json.loads(html.unescape(probe))

    assert alone["said"] == "In layer 1, head 2, ‘a’ looks most at itself (1.00)."  # the others are hidden
    assert first["said"] == "In layer 1, head 2, ‘b’ looks most at itself (.70), then ‘a’ (.30)."
    assert (first["masked"], first["dashed"], first["heads"]) == (True, [False, False, True], 2)
    assert first["above"] == ["1", "2", "3"]

    # The second view has one head, and begins with the written word that looks most at a real one: p, at b.
    assert second["said"] == "In layer 1, head 1, the place of ‘p’ looks most at ‘b’ (.60), then ‘[X]’ (.30)."
    assert (second["note"], second["masked"], second["heads"]) == ("The second.", False, 1)
    assert second["numbers"] == [".10", ".60", ".30", "", ""]
    assert second["above"][-2:] == ["→\xa0q", "→\xa0r"]

    assert column["said"] == "In layer 1, head 1, the place of ‘q’ looks most at ‘[X]’ (.70), then ‘a’ (.25)."
    assert other["said"] == "In layer 1, head 1, ‘b’ is looked at most by ‘p’ (.60), then by ‘q’ (.05)."
    assert (other["from"], other["numbers"]) == (False, ["", "", "", ".60", ".05"])
    assert moved["said"].startswith("In layer 1, head 1, the place of ‘p’ looks")  # b cannot look, p looks most at it
    assert moved["from"] is True
    assert back_again["said"].startswith("In layer 1, head 1, ‘b’ is looked at")
    assert len(without["numbers"]) == 4  # the special token is left out
    assert all(step["fits"] for step in (first, second, column, other, moved, back_again, without))
