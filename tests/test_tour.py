"""The main job: its arithmetic by hand, all of it with tiny parts, and what it says about the real weights."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

import minibert
from minibert import claims
from minibert.cli import tour
from minibert.errors import MinibertError
from minibert.experiments import similarity
from minibert.models import FAMILIES
from minibert.models.bert import BertConfig
from minibert.tokenizers import WordPiece
from minibert.training.data import Review

WORDS = f"{tour.PICTURED} {tour.TURNED} good bad".lower().replace(".", " .").replace(",", " ,").split()
TEXTS = {"good film .": 1, "bad film .": 0, "the film was too long for my sister .": 0}
REVIEWS = [Review(text, label, "made up") for text, label in TEXTS.items()]


def unit(*degrees: float) -> torch.Tensor:
    """Vectors in the plane that point in these directions."""
    angles = torch.tensor(degrees).deg2rad()
    return torch.stack([angles.cos(), angles.sin()], dim=1)


@pytest.fixture
def tok() -> WordPiece:
    tokens = dict.fromkeys(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS])
    return WordPiece({token: i for i, token in enumerate(tokens)})


@pytest.fixture
def model(tok):
    sizes = {"hidden_size": 8, "num_hidden_layers": 4, "num_attention_heads": 2, "intermediate_size": 16}
    return minibert.build(BertConfig(vocab_size=tok.vocab_size, max_position_embeddings=20, **sizes), seed=0).eval()


@pytest.fixture
def fakes(monkeypatch, model, tok):
    """The tour without a download and without waiting: tiny weights, three reviews, a made-up timing."""

    def measure(id, quick, progress):
        assert quick
        progress(2, 2)
        figures = {"tokens": [8], "ratio": [1.5], "ratio_low": [1.25], "ratio_high": [1.75]}
        return claims.Result(id, "1.50× (1.25–1.75)", "holds", "Made up.", figures=figures, machine={"threads": 1})

    monkeypatch.setattr(claims, "measure", measure)
    masked_lm = minibert.build(model.config, "masked-lm", seed=0).eval()
    monkeypatch.setattr(minibert, "from_pretrained", lambda name, head=None: masked_lm if head else model)
    monkeypatch.setitem(tour.MADE, tour.MASKED_LM, replace(tour.MADE[tour.MASKED_LM], delta=Path(__file__)))
    monkeypatch.setattr(minibert, "load_tokenizer", lambda name: tok)
    monkeypatch.setattr(tour, "load_reviews", lambda source, seed: SimpleNamespace(train=REVIEWS, test=REVIEWS))
    monkeypatch.setattr(tour, "fetch", lambda name: Path(name))
    monkeypatch.setattr(tour, "DISTILLED_TEXTS", 2)
    monkeypatch.setattr(tour.backwards, "STEPS", 2)
    monkeypatch.setenv("COLUMNS", "80")


@pytest.fixture
def empty_pictures(monkeypatch):
    """Files without content in the place of the pictures, whose drawing takes longest: one test has the real ones."""

    def save(figure, path):
        Path(path).touch()
        return Path(path)

    monkeypatch.setattr(tour.plots, "save", save)


# ------------------------------------------------------------------------------------------ its arithmetic


def test_nearest_gives_places_and_cosines_nearest_first():
    places, cosines = similarity.nearest(unit(0, 100), unit(90, 60, 180), 2)
    assert places.tolist() == [[1, 0], [0, 1]]
    torch.testing.assert_close(cosines, torch.tensor([[60.0, 90.0], [10.0, 40.0]]).deg2rad().cos())


def test_nearest_of_few_gives_all_there_are():
    assert similarity.nearest(unit(0), unit(10, 20), 3)[0].tolist() == [[0, 1]]


def test_agreement_asks_the_nearest_other_text():
    # 0° and 10° agree; 50° is nearest to 40° and agrees, 40° to 50°; 200° is nearest to 50° and does not.
    vectors, labels = unit(0, 10, 40, 50, 200), torch.tensor([1, 1, 0, 0, 1])
    agreeing, by_chance = similarity.agreement(vectors, labels)
    assert agreeing == pytest.approx(4 / 5)
    assert by_chance == pytest.approx(0.6**2 + 0.4**2)


def test_embed_is_the_mean_of_the_real_tokens_scaled_to_one(model, tok):
    texts = ["good .", "the film was too long for my sister .", "bad"]
    vectors = similarity.embed(model, tok, texts)
    for text, vector in zip(texts, vectors, strict=True):
        with torch.no_grad():
            mean = model(**tok(text)).last_hidden_state[0].mean(dim=0)
        torch.testing.assert_close(vector, mean / mean.norm())


def test_embed_reads_all_texts_in_order_and_tells_how_far_it_is(model, tok, monkeypatch):
    monkeypatch.setattr(similarity, "BATCH", 2)
    told = []
    vectors = similarity.embed(model, tok, ["good", "bad", "film"], lambda done, of: told.append((done, of)))
    torch.testing.assert_close(vectors[2:], similarity.embed(model, tok, ["film"]))
    assert told == [(2, 3), (3, 3)]


def test_embed_cuts_a_text_that_is_longer_than_the_model_reads(model, tok):
    torch.testing.assert_close(
        similarity.embed(model, tok, ["film " * 40]),
        similarity.embed(model, tok, ["film " * (model.config.max_length - 2)]),
    )


# ------------------------------------------------------------------------------------------ the whole of it


def test_the_tour_shows_everything_and_draws_four_pictures(fakes, tmp_path, capsys):
    tour.tour(tmp_path / "pictures")
    said = capsys.readouterr().out
    assert sorted(file.name for file in (tmp_path / "pictures").iterdir()) == [
        "attention.png", "cross-attention.png", "parameters.png", "speed-here.png",
    ]  # fmt: skip
    for row in claims.members():
        assert f"\n{row.paper.name} " in said
    for row in claims.family():
        assert f"\n{row.name} " in said
        assert f"{row.total:,}" in said
    assert "2 steps in" in said
    assert f"it reads    {' '.join(tour.WRITTEN)}" in said
    assert tour.HIDDEN[3] in said
    assert "student, after distillation" in said
    assert "1.50× (1.25–1.75)" in said
    assert "D2" in said
    assert "she looks at" in said
    assert "good film ." in said
    assert "3 sentences" in " ".join(said.split())  # wherever the line breaks
    assert str(tmp_path / "pictures" / "attention.png") in said
    paragraphs = said[said.index("1. What is new") : said.index("Where to go")]
    assert max(map(len, paragraphs.splitlines())) <= 80


@pytest.mark.usefixtures("empty_pictures")
def test_without_the_weights_the_rest_is_shown_and_the_error_comes_last(fakes, tmp_path, capsys, monkeypatch):
    def fail(name, head=None):
        raise MinibertError("no network: try again.")

    monkeypatch.setattr(minibert, "from_pretrained", fail)
    with pytest.raises(MinibertError, match="no network"):
        tour.tour(tmp_path)
    said = capsys.readouterr().out
    assert "1.50×" in said
    assert "could not be fetched" in said
    assert "Where to go from here" in said
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "cross-attention.png", "parameters.png", "speed-here.png",
    ]  # fmt: skip
    assert "/attention.png" not in said


@pytest.mark.usefixtures("empty_pictures")
def test_a_network_that_is_down_is_told_before_the_first_part(fakes, tmp_path, capsys, monkeypatch):
    asked = []

    def fail(name):
        asked.append((name, capsys.readouterr().out))
        raise MinibertError("the index cannot be reached: try again.")

    monkeypatch.setattr(tour, "fetch", fail)
    monkeypatch.setattr(minibert, "from_pretrained", lambda *_: pytest.fail("what cannot be fetched was asked for"))
    with pytest.raises(MinibertError, match="cannot be reached"):
        tour.tour(tmp_path)
    said = capsys.readouterr().out
    assert [name for name, _ in asked] == [tour.WEIGHTS]
    assert "1. What is new" not in asked[0][1]
    assert said.index("cannot be reached") < said.index("1. What is new") < said.index("3. How fast")
    assert "4. What a real BERT" not in said
    assert "Where to go from here" in said


@pytest.mark.usefixtures("empty_pictures")
def test_the_tour_goes_on_without_the_second_vocabulary(fakes, tmp_path, capsys, monkeypatch):
    def fail(name):
        if name == tour.VOCABULARY:
            raise MinibertError("no vocabulary.")

    monkeypatch.setattr(tour, "fetch", fail)
    tour.tour(tmp_path)
    assert "4. What a real BERT" in capsys.readouterr().out


def test_tiny_models_compute_on_one_thread(monkeypatch):
    """Also while it writes: there, two threads on a busy machine took minutes."""
    before, used = torch.get_num_threads(), set()
    torch.set_num_threads(2)
    try:
        model = tour.backwards.untrained(0)
        generate = model.generate
        model.generate = lambda *given, **named: (used.add(torch.get_num_threads()), generate(*given, **named))[1]
        model.register_forward_pre_hook(lambda *_: used.add(torch.get_num_threads()))
        monkeypatch.setattr(tour.backwards, "STEPS", 1)
        tour.backwards.learn(model, 0)
        tour.backwards.share_right(model, 0, texts=2)
        tour.backwards.write(model, tour.WRITTEN)
        assert used == {1}
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("inside", ["", "/deeper"])
def test_a_file_in_the_place_of_the_folder_is_refused_before_anything_is_done(inside, fakes, tmp_path, capsys):
    (tmp_path / "figures").write_text("mine")
    with pytest.raises(MinibertError, match=r"figures.* name another"):
        tour.tour(f"{tmp_path}/figures{inside}")
    assert capsys.readouterr().out == ""
    assert (tmp_path / "figures").read_text() == "mine"


def test_a_folder_that_takes_no_files_is_refused_before_anything_is_done(fakes, tmp_path, capsys, monkeypatch):
    def refuse(dir):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    with pytest.raises(MinibertError, match=r"no pictures can be written to .* \(Permission denied\)"):
        tour.tour(tmp_path)
    assert capsys.readouterr().out == ""


def test_the_picture_of_sizes_holds_every_parameter(monkeypatch, tmp_path):
    drawn = {}
    monkeypatch.setattr(tour.plots, "parameters_by_part", lambda *given: drawn.update(counts=given[0], notes=given[1]))
    monkeypatch.setattr(tour.plots, "save", lambda figure, path: path)
    tour.draw_sizes(tmp_path)
    totals = {name: sum(parts.values()) for name, parts in drawn["counts"].items()}
    family = {row.name: row for row in claims.family()}
    assert totals == {shown: family[name].total for name, shown in tour.NAMES.items()}
    shown = dict(zip(drawn["counts"], drawn["notes"], strict=True))
    assert shown["BERT-base"] == shown["BERT-large"] == ""
    assert shown["DistilBERT"] == "61% of BERT-base"
    assert shown["ALBERT-xxlarge"] == "66% of BERT-large"
    assert shown["BART-large"] == "121% of BERT-large"
    assert drawn["counts"]["BART-base"]["decoder blocks"] == 56_710_656
    assert [name for name, parts in drawn["counts"].items() if parts["decoder blocks"]] == ["BART-base", "BART-large"]


def test_the_picture_of_sizes_holds_every_family():
    shown = {minibert.PRESETS[name].model_type for name in tour.NAMES}
    assert shown == set(FAMILIES)


def test_sizes_that_are_not_as_they_are_said_to_be_are_named():
    row = claims.FamilyRow("one", 2, {}, "", 1, "three", "A paper", "two", "does not hold")
    right = replace(row, name="other", verdict="holds")
    assert tour.check_sizes([right]) == "1 of them are as large as their sources say, within a tenth."
    assert tour.check_sizes([row, right, replace(row, name="third", here="four")]).endswith(
        "A paper, says “three”; it is two for one and four for third."
    )


def test_the_order_is_printed_with_what_comes_before(capsys):
    tour.show_order(seed=5)
    lines = [
        line.split() for line in capsys.readouterr().out.splitlines() if line[2:4] in [f"{n}." for n in range(1, 8)]
    ]
    words = [line[1] for line in lines]
    assert sorted(words) == sorted(tour.ORDERED)
    assert lines[0][3:] == ["(nothing)"]
    for number, line in enumerate(lines[1:], start=1):
        assert line[3:] == sorted(words[:number], key=tour.ORDERED.index)  # in the order of the text


def test_the_cuts_show_the_pieces_of_each_and_what_comes_back(fakes, tok, capsys):
    assert tour.show_cuts(tok) is None
    out = capsys.readouterr().out
    for name in ("BERT", "RoBERTa, BART"):  # with the fakes, both have the same pieces
        assert f"  {name:<15}{' '.join(tok.encode(tour.CUT).tokens[1:-1])}\n" in out
    assert out.count(f"  {'and back':<15}{tok.decode(tok.encode(tour.CUT).ids)}\n") == 2


@pytest.mark.usefixtures("empty_pictures")
def test_without_the_second_vocabulary_all_else_is_shown(fakes, tok, tmp_path, capsys, monkeypatch):
    def load(name):
        if name == tour.VOCABULARY:
            raise MinibertError("no network: try again.")
        return tok

    monkeypatch.setattr(minibert, "load_tokenizer", load)
    with pytest.raises(MinibertError, match="no network"):
        tour.tour(tmp_path)
    said = capsys.readouterr().out
    assert "vocabulary of RoBERTa and BART could not be fetched" in said
    assert "student, after distillation" in said
    assert (tmp_path / "attention.png").exists()


def test_the_hidden_words_are_shown_with_their_guesses(fakes, tok, capsys):
    assert tour.show_guesses() is None
    out = capsys.readouterr().out
    model = minibert.from_pretrained(tour.MASKED_LM, head="masked-lm")
    for text in tour.HIDDEN:
        (found,) = minibert.fill(text, model, tokenizer=tok).masks
        shown = " · ".join(f"{guess.shown} {guess.probability:.0%}" for guess in found)
        assert f"\n  {text}\n    {shown}\n" in out
    first, second = (text.partition("[MASK]") for text in tour.HIDDEN[:2])
    assert first[0] == second[0]
    assert first[2] != second[2]  # as the tour says


@pytest.mark.usefixtures("empty_pictures")
def test_without_the_model_that_guesses_all_else_is_shown(fakes, model, tmp_path, capsys, monkeypatch):
    def load(name, head=None):
        if name == tour.MASKED_LM:
            raise MinibertError("no delta: install again.")
        return model

    monkeypatch.setattr(minibert, "from_pretrained", load)
    with pytest.raises(MinibertError, match="no delta"):
        tour.tour(tmp_path)
    said = capsys.readouterr().out
    assert "could not be made: see the last line" in said
    assert "student, after distillation" in said


def test_the_picture_of_speeds_holds_what_was_measured(monkeypatch, tmp_path):
    drawn = {}
    monkeypatch.setattr(tour.plots, "speed", lambda *given: drawn.update(groups=given[0], published=given[1]))
    monkeypatch.setattr(tour.plots, "save", lambda figure, path: path)
    figures = {"tokens": [32, 128], "ratio": [1.9, 2.0], "ratio_low": [1.8, 1.9], "ratio_high": [2.0, 2.2]}
    results = [claims.Result(id, "", "holds", "", figures=figures, machine={"threads": 2}) for id in tour.TIMED]
    tour.draw_speeds(results, tmp_path)
    bars = {"32 tokens": (1.9, 1.8, 2.0), "128 tokens": (2.0, 1.9, 2.2)}
    assert drawn["groups"] == {"DistilBERT against BERT-base": bars, "ALBERT-base against BERT-base": bars}
    assert drawn["published"] == {"DistilBERT against BERT-base": pytest.approx(1.629, abs=5e-4)}


# ------------------------------------------------------------------------------------------ the real weights


@pytest.fixture(scope="module")
def real(minilm_folder):
    return minibert.from_pretrained(minilm_folder), minibert.load_tokenizer(minilm_folder)


def test_the_pictured_head_links_each_pronoun_to_its_noun(real):
    model, tok = real
    for text in (tour.PICTURED, tour.TURNED):
        attentions, tokens = tour.look(model, tok, text)
        for pronoun, noun in tour.PRONOUNS.items():
            row = attentions[tour.LAYER, tour.HEAD, tokens.index(pronoun)]
            assert tokens[int(row.argmax())] == noun
            assert row.max() > 0.5


def test_the_nearest_text_is_the_one_that_means_it_in_other_words(real):
    model, tok = real
    texts = [
        "a tv episode inflated past its natural length .",
        "old people will love this movie .",
        "kids will love its fantasy and adventure , and grownups should appreciate its whimsical humor .",
        "a deviant topical comedy which is funny from start to finish .",  # near "not funny", for all that
    ]
    places, _ = similarity.nearest(similarity.embed(model, tok, tour.SENTENCES), similarity.embed(model, tok, texts), 1)
    assert places.flatten().tolist() == [0, 1, 2, 3]
