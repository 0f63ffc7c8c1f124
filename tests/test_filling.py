"""Filling masks: every family's own way, against its plain forward pass; how guesses are shown; what is refused."""

from __future__ import annotations

import json
import re
import warnings
from dataclasses import replace
from functools import cache

import pytest
import torch
from test_explorer_views import LEARNED, tokenizer_of
from tiny import expect_refusal, randomise
from torch import nn

import minibert
from minibert import filling
from minibert.cli.main import main
from minibert.errors import MinibertError
from minibert.filling import ANY_MASK, CONTINUES, MASKS, Filled, Guess, bar, fill, guesses, has_mask
from minibert.generation import shift_right
from minibert.heads import HEADS, WithHead
from minibert.models import FAMILIES, PRESETS
from minibert.tokenizers import Tokenizer, WordPiece
from minibert.tokenizers.wordpiece import CONTINUATION

ONE, TWO = "My sister [MASK] the film, but she slept.", "My sister [MASK] the [MASK], but she slept."
PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "play", "##ing", "the", "film", ".", "was", "good", "bad"]


@cache
def model_of(family: str) -> WithHead:
    """A model with random weights and the head of its family that predicts words."""
    tok = tokenizer_of(family)
    config = replace(PRESETS[f"tiny-{family}"], vocab_size=tok.vocab_size, pad_token_id=tok.pad_id)
    head = next(head for head in FAMILIES[family].model.heads if HEADS[head].fills_masks)
    model = minibert.build(config, head, seed=0)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():  # weights that make some words likely, and none certain
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
    return model.eval()


@pytest.fixture
def tok() -> WordPiece:
    return WordPiece({token: i for i, token in enumerate(PIECES)})


class Fixed(WithHead):
    """A head whose scores are made up: for each mask, token -> probability; the rest share what is left."""

    fills_masks = True

    def __init__(self, tok: Tokenizer, *shares: dict[str, float], rows: int | None = None):
        nn.Module.__init__(self)
        self.backbone = minibert.build(replace(PRESETS["tiny-bert"], vocab_size=rows or tok.vocab_size), seed=0)
        self.config = self.backbone.config
        self.tok, self.shares = tok, shares

    def mask_scores(self, ids, type_ids, places):
        scores = []
        for share in self.shares:
            left = 1 - sum(share.values())
            row = torch.full((self.config.vocab_size,), left / (self.config.vocab_size - len(share)))
            for token, probability in share.items():
                row[self.tok.vocabulary[token]] = probability
            scores.append(row.log())
        assert len(places) == len(scores)
        return torch.stack(scores)


# ------------------------------------------------------------------------------------------ all seven


def test_the_families_that_fill_are_all_seven():
    assert LEARNED.keys() == FAMILIES.keys()


def by_hand(family: str, ids: torch.Tensor, types: torch.Tensor, places: list[int]) -> torch.Tensor:
    """The probabilities for the masks, (M, V), from the model's own forward, as its paper trains it."""
    model = model_of(family)
    with torch.no_grad():
        if family == "xlnet":
            # Each mask is the last in an order of its own; nothing may look at either of the masks.
            rows = []
            for place in places:
                mapping = torch.zeros(1, 1, ids.shape[1])
                mapping[0, 0, place] = 1
                hidden = torch.zeros(1, ids.shape[1], ids.shape[1])
                for masked in places:
                    hidden[0, :, masked] = 1
                rows.append(model(ids, token_type_ids=types, perm_mask=hidden, target_mapping=mapping).logits[0, 0])
            return torch.stack(rows).softmax(-1)
        if family == "bart":
            written, rows = ids.clone(), []
            for place in places:
                decoder_ids = shift_right(written, model.config.decoder_start_token_id)
                rows.append(model(ids, decoder_input_ids=decoder_ids).logits[0, place])
                written[0, place] = rows[-1].argmax()
            return torch.stack(rows).softmax(-1)
        return model(ids, token_type_ids=types).logits[0, places].softmax(-1)


@pytest.mark.many
@pytest.mark.parametrize("family", LEARNED)
@pytest.mark.parametrize("text", [ONE, TWO])
@pytest.mark.parametrize("mask", ["[MASK]", "<mask>", "[mask]"])
def test_a_folder_of_every_family_fills_in_its_own_way(family, text, mask, tmp_path):
    model, tok = model_of(family), tokenizer_of(family)
    minibert.save_pretrained(tmp_path / "saved", model, tok)
    found = fill(text.replace("[MASK]", mask), tmp_path / "saved", top=4)
    encoding = tok.encode(text.replace("[MASK]", tok.special.mask))
    places = [place for place, token in enumerate(encoding.tokens) if token == tok.special.mask]
    assert len(places) == len(found.masks) == text.count("[MASK]")
    expected = by_hand(family, torch.tensor([encoding.ids]), torch.tensor([encoding.type_ids]), places)
    for row, one in zip(expected, found.masks, strict=True):
        best = row.topk(4)
        assert [guess.token for guess in one] == [tok.tokens[i] for i in best.indices.tolist()]
        assert [guess.probability for guess in one] == pytest.approx(best.values.tolist(), abs=1e-6)
    assert found.mask == tok.special.mask
    assert found.text == text.replace("[MASK]", tok.special.mask)


@pytest.mark.parametrize("family", LEARNED)
def test_a_pair_is_read_with_its_token_types(family):
    model, tok = model_of(family), tokenizer_of(family)
    mask = tok.special.mask
    encoding = tok.encode(f"My sister {mask} the film.", f"She {mask} it.")
    places = filling.mask_places(tok, encoding)
    expected = by_hand(family, torch.tensor([encoding.ids]), torch.tensor([encoding.type_ids]), places)
    for row, one in zip(expected, guesses(model, tok, encoding, 3), strict=True):
        assert [guess.probability for guess in one] == pytest.approx(row.topk(3).values.tolist(), abs=1e-6)


@pytest.mark.parametrize("family", LEARNED)
def test_a_model_and_its_tokenizer_do_as_well_as_their_folder_and_are_not_changed(family, tmp_path):
    model, tok = model_of(family), tokenizer_of(family)
    minibert.save_pretrained(tmp_path / "saved", model, tok)
    expected = fill(TWO, tmp_path / "saved")
    try:
        model.train()
        next(model.backbone.children()).eval()
        modes = [part.training for part in model.modules()]
        assert fill(TWO, model, tokenizer=tok) == expected
        assert [part.training for part in model.modules()] == modes
        assert all(parameter.grad is None for parameter in model.parameters())
    finally:
        model.eval()


def test_xlnet_sees_neither_the_mask_nor_the_other_one():
    """With two masks, what stands in their places makes no difference."""
    model, tok = model_of("xlnet"), tokenizer_of("xlnet")
    encoding = tok.encode(TWO.replace("[MASK]", "<mask>"))
    places = filling.mask_places(tok, encoding)
    ids, types = torch.tensor(encoding.ids), torch.tensor(encoding.type_ids)
    other = ids.clone()
    other[places] = torch.tensor([20, 30])
    with torch.no_grad():
        scores = [model.mask_scores(row, types, torch.tensor(places)) for row in (ids, other)]
    torch.testing.assert_close(*scores)


def test_bart_has_written_its_best_guess_for_the_first_mask_when_it_comes_to_the_second():
    model, tok = model_of("bart"), tokenizer_of("bart")
    found = fill(TWO, model, tokenizer=tok)
    encoding = tok.encode(found.text)
    first, second = filling.mask_places(tok, encoding)
    written = torch.tensor([encoding.ids])
    with torch.no_grad():
        for best in (found.masks[0][0].token, found.masks[0][1].token):
            written[0, first] = tok.vocabulary[best]
            decoder_ids = shift_right(written, model.config.decoder_start_token_id)
            logits = model(torch.tensor([encoding.ids]), decoder_input_ids=decoder_ids).logits[0, second]
            probability = logits.softmax(-1).max().item()
            assert (probability == pytest.approx(found.masks[1][0].probability, abs=1e-6)) == (
                best == found.masks[0][0].token
            )
    assert "left to right" in found.note
    assert "left to right" in fill(ONE, model, tokenizer=tok).note


def test_what_is_said_about_several_masks():
    model, tok = model_of("bert"), tokenizer_of("bert")
    assert fill(ONE, model, tokenizer=tok).note == ""
    assert "without knowing" in fill(TWO, model, tokenizer=tok).note


def test_every_tokenizer_writes_a_mask_that_is_understood():
    families = [LEARNED[family] for family in LEARNED]
    assert {family.special.mask for family in families} == {*MASKS}
    assert has_mask("a <MASK>")
    assert not has_mask("a [MASKS] or <masked>, a mask")
    assert ANY_MASK.sub("_", "[mask]<mask>") == "__"


# ------------------------------------------------------------------------------------------ how it is shown


def test_guesses_are_the_likeliest_with_their_probabilities(tok):
    model = Fixed(tok, {"good": 0.5, "bad": 0.25, "##ing": 0.125})
    found = fill("the film was [MASK].", model, top=3, tokenizer=tok)
    assert found.masks == (
        (
            Guess("good", "good", False, pytest.approx(0.5)),
            Guess("bad", "bad", False, pytest.approx(0.25)),
            Guess("ing", "##ing", True, pytest.approx(0.125)),
        ),
    )
    assert found.filled == "the film was good."
    assert [guess.shown for guess in found.masks[0]] == ["good", "bad", CONTINUES + "ing"]


def test_a_piece_is_shown_as_one_and_joined_to_the_word_before(tok, monkeypatch):
    monkeypatch.setenv("COLUMNS", "70")
    model = Fixed(tok, {"##ing": 0.75, "good": 0.125})
    found = fill("play [MASK] the film.", model, top=2, tokenizer=tok)
    assert found.filled == "playing the film."
    assert CONTINUATION not in str(found).replace(f"(in the vocabulary: {CONTINUATION}ing)", "")
    assert repr(found).splitlines() == [
        "play [MASK] the film.",
        "",
        f"  …ing   75.0%  {'█' * 37}▌",
        "  good   12.5%  ██████▎",
        "",
        "Filled in: playing the film.",
        "",
        "…ing continues the word before it (in the vocabulary: ##ing).",
    ]
    assert not fill("[MASK] the film.", model, tokenizer=tok).masks[0][0].continues  # there is no word before it


def test_several_masks_are_numbered(tok, monkeypatch):
    monkeypatch.setenv("COLUMNS", "70")
    found = fill("the [MASK] was[mask]", Fixed(tok, {"film": 0.5}, {"bad": 0.25}), top=1, tokenizer=tok)
    assert repr(found).splitlines() == [
        "the [MASK] was[MASK]",
        "",
        "  [MASK] 1",
        f"  film   50.0%  {'█' * 25}",
        "",
        "  [MASK] 2",
        "  bad    25.0%  ████████████▌",
        "",
        "Filled in: the film was bad",
        "",
        "Each is guessed without knowing what was guessed for the others.",
    ]


@pytest.mark.parametrize("width", [40, 80, 200])
def test_no_line_is_longer_than_the_terminal(tok, monkeypatch, width):
    monkeypatch.setenv("COLUMNS", str(width))
    text = "the film was [MASK] and " * 20
    found = fill(text, Fixed(tok, *[{"good": 0.999}] * 20), tokenizer=tok)
    assert max(map(len, repr(found).splitlines())) <= min(width, 100)


def test_more_words_than_there_are_gives_all_of_them(tok):
    found = fill("a [MASK]", Fixed(tok, {"good": 0.5}), top=1000, tokenizer=tok)
    assert len(found.masks[0]) == tok.vocab_size
    assert sum(guess.probability for guess in found.masks[0]) == pytest.approx(1)


def test_rows_of_the_table_that_stand_for_no_token_are_no_guesses(tok):
    model = Fixed(tok, {"good": 0.5}, rows=tok.vocab_size + 3)
    found = fill("a [MASK]", model, top=1000, tokenizer=tok)
    assert len(found.masks[0]) == tok.vocab_size


def test_pieces_of_a_byte_vocabulary_are_shown_as_text():
    tok = tokenizer_of("roberta")
    share = {"Ġfilm": 0.4, "s": 0.2, "Ġ": 0.1, "Ã": 0.05, ",": 0.03}
    assert share.keys() <= tok.vocabulary.keys()
    found = fill("My <mask>", Fixed(tok, share), tokenizer=tok)
    assert [guess.shown for guess in found.masks[0]] == ["film", "…s", "Ġ", "…Ã", ","]
    first = fill("<mask> it", Fixed(tok, share), tokenizer=tok)
    assert [guess.shown for guess in first.masks[0]] == ["film", "s", "Ġ", "Ã", ","]


@pytest.mark.parametrize(
    ("text", "best", "expected"),
    [
        ("a [M] b", [Guess("x", "x", False, 1)], "a x b"),
        ("a[M]b", [Guess("x", "x", False, 1)], "a x b"),
        ("a [M]b", [Guess("x", "##x", True, 1)], "ax b"),
        ("([M])", [Guess("x", "x", False, 1)], "(x)"),
        ("[M][M]", [Guess("x", "x", False, 1), Guess("y", "y", False, 1)], "x y"),
        ("[M] [M].", [Guess("x", "x", False, 1), Guess("y", "##y", True, 1)], "xy."),
    ],
)
def test_the_text_with_its_guesses(text, best, expected):
    assert filling.filled(text, "[M]", best) == expected


def test_bars():
    assert [bar(share, 2) for share in (0, 0.01, 0.0625, 0.5, 0.75, 1)] == ["", "", "▏", "█", "█▌", "██"]


# ------------------------------------------------------------------------------------------ what is refused


def test_what_cannot_be_filled_is_refused(tok):
    model = Fixed(tok, {"good": 0.5})
    for text in ("", "no mask", "a [MASKED] film", "a mask"):
        with expect_refusal("there is no mask in the text: write [MASK]"):
            fill(text, model, tokenizer=tok)
    with expect_refusal("the text is ['a [MASK]'], a list, but must be a str"):
        fill(["a [MASK]"], model, tokenizer=tok)
    for top in (0, -1, 2.5, True, "5"):
        with expect_refusal("top is", "an integer, at least 1"):
            fill("a [MASK]", model, top=top, tokenizer=tok)
    with expect_refusal("give its tokenizer too"):
        fill("a [MASK]", model)
    for headless in (minibert.build("tiny-bert"), minibert.build("tiny-bert", "token-classification"), nn.Linear(2, 2)):
        with expect_refusal("has no head that predicts words: build it with one, such as masked-lm"):
            fill("a [MASK]", headless, tokenizer=tok)
    with expect_refusal("the text has 514 tokens, and this Bert reads 512 at most: shorten it."):
        fill("film " * 511 + "[MASK]", model, tokenizer=tok)
    with expect_refusal("not by an int"):
        fill("a [MASK]", 3)


def test_a_model_without_a_limit_has_one_here(monkeypatch):
    monkeypatch.setattr(filling, "LONGEST", 10)
    with expect_refusal("this XLNet reads 10 at most"):
        fill(ONE, model_of("xlnet"), tokenizer=tokenizer_of("xlnet"))


def test_a_tokenizer_that_does_not_belong_to_the_model(tok):
    with expect_refusal("the model has 9 word embeddings, but the tokenizer has 13 tokens"):
        fill("a [MASK]", Fixed(tok, {}, rows=9), tokenizer=tok)


def test_scores_that_are_no_numbers(tok):
    model = randomise(minibert.build(replace(PRESETS["tiny-bert"], vocab_size=tok.vocab_size), "masked-lm", seed=0))
    nn.init.constant_(model.lm.bias, float("nan"))
    with expect_refusal("scores are no finite numbers"):
        fill("a [MASK]", model, tokenizer=tok)


@pytest.mark.parametrize("head", [None, "sequence-classification"])
def test_a_checkpoint_without_that_head(head, tok, tmp_path):
    model = minibert.build(replace(PRESETS["tiny-bert"], vocab_size=tok.vocab_size), head, seed=0)
    minibert.save_pretrained(tmp_path / "saved", model, tok)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with expect_refusal("saved has no weights of a head that predicts words", "such as minilm-l6-mlm"):
            fill("a [MASK]", tmp_path / "saved")


@pytest.mark.parametrize("name", ["tiny-bert", "bert-base-uncased"])
def test_a_preset(name, monkeypatch):
    def unknown(source):
        raise MinibertError("nothing of that name.")

    monkeypatch.setattr(filling, "resolve", unknown)
    with expect_refusal(f"{name} is a preset, the shape of a model without weights"):
        fill("a [MASK]", name)
    with expect_refusal("nothing of that name."):
        fill("a [MASK]", "no/such/folder")


def test_nothing_is_fetched_for_a_text_without_a_mask(monkeypatch):
    monkeypatch.setattr(filling, "resolve", lambda source: pytest.fail("looked for"))
    with expect_refusal("no mask"):
        fill("no mask")


# ------------------------------------------------------------------------------------------ the command


def test_the_command_prints_a_table_or_json(tmp_path, capsys):
    model, tok = model_of("bert"), tokenizer_of("bert")
    folder = str(tmp_path / "saved")
    minibert.save_pretrained(folder, model, tok)
    assert main(["fill", TWO, "--model", folder, "--top", "3"]) == 0
    found = fill(TWO, folder, top=3)
    assert capsys.readouterr().out == f"{found}\n"
    assert main(["fill", TWO, "--model", folder, "--top", "3", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told == {"model": folder, **found.data()}
    assert [len(one) for one in told["masks"]] == [3, 3]
    assert told["masks"][0][0].keys() == {"word", "token", "continues", "probability"}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "the following arguments are required: TEXT"),
        (["a film"], "there is no mask in the text"),
        (["a [MASK]", "--top", "0"], "--top: must be an integer, at least 1, but is '0'"),
        (["a [MASK]", "--model", "./nowhere"], "'./nowhere' is neither a folder that exists nor a name"),
    ],
)
def test_the_command_says_in_one_sentence_what_is_wrong(arguments, sentence, capsys):
    assert main(["fill", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert sentence in err
    assert len(err.splitlines()) == 1


# ------------------------------------------------------------------------------------------ the real weights


@pytest.mark.usefixtures("masked_lm_folder")
def test_the_default_model_fills_in_words_of_its_vocabulary():
    found = minibert.fill("the acting was [MASK] and the plot made no sense")
    assert isinstance(found, Filled)
    (one,) = found.masks
    assert len(one) == 5
    assert 0 < one[4].probability <= one[0].probability < 1
    assert re.fullmatch(r"the acting.* and the plot made no sense", found.filled)
    model, tok = minibert.from_pretrained("minilm-l6-mlm", "masked-lm"), minibert.load_tokenizer("minilm-l6-mlm")
    assert guesses(model, tok, tok.encode(found.text)) == (one,)
