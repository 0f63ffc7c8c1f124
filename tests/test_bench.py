"""The benches give the figures that they promise; how large the figures are is not tested."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from training_tiny import small as small_model

from minibert.cli.bench import BENCHES
from minibert.cli.main import main
from minibert.experiments import benches
from minibert.factory import build
from minibert.models import PRESETS


@pytest.fixture
def small(monkeypatch):
    """The benches on a tiny model, so that they are quick."""
    monkeypatch.setattr(benches, "BATCH", 2)
    monkeypatch.setattr(benches, "LENGTH", 8)
    monkeypatch.setattr(benches, "preset", lambda name: PRESETS["tiny-bert"])
    monkeypatch.setattr(benches, "build", lambda name, **settings: build("tiny-bert", **settings))


def test_matrix_products_are_those_of_the_model(monkeypatch):
    """The bare products have as many multiply-adds as torch counts in a forward pass of the model."""
    from torch.utils.flop_counter import FlopCounterMode

    config = PRESETS["tiny-bert"]
    model = build(config, seed=0).eval()
    with torch.no_grad(), FlopCounterMode(display=False) as of_model:
        model(torch.ones(2, 8, dtype=torch.long), return_attention=True)  # the written-out attention can be counted
    with torch.no_grad(), FlopCounterMode(display=False) as of_products:
        benches.matrix_products(config, 2, 8)()
    assert of_products.get_total_flops() == of_model.get_total_flops() > 0


def test_forward_and_masked_lm_figures(small):
    for bench, key in (
        (benches.forward, "speed of the model / of the products"),
        (benches.masked_lm, "times as fast"),
    ):
        figures = bench(2, 0)
        assert figures[key].low <= figures[key].median <= figures[key].high
        assert all(value > 0 for label, value in figures.items() if label.endswith(", s"))


@pytest.mark.slow
def test_padding_figures(small, minilm_folder, reviews):
    figures = benches.padding(1, 0)
    assert 0.3 < figures["real tokens / slots"] < 0.9
    assert figures["minilm-l6: largest difference"] < 1e-6


@pytest.mark.slow
def test_training_figures(small, minilm_folder, reviews, monkeypatch):
    monkeypatch.setattr(benches, "SENTENCES", 4)
    figures = benches.training(1, 0)
    assert all(figures[f"{source}: times as fast"].median > 0 for source in ("both", "rotten-tomatoes"))
    assert figures["both: tokens a second"] > 0


def varied(name, **settings):
    """A tiny BART with larger weights, so that it does not repeat one word."""
    model = build("tiny-bart", **settings)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(20 if parameter.dim() > 1 else 1)
    return model


def test_generation_with_and_without_a_cache_is_the_same_and_as_long_as_asked(monkeypatch):
    found = {}

    def timed(label, functions, rounds):
        found[label] = {name: function() for name, function in functions.items()}
        return {key: [2.0] for key in functions} | {"again": [3.0]}

    monkeypatch.setattr(benches, "timed", timed)
    monkeypatch.setattr(benches, "LENGTH", 8)
    monkeypatch.setattr(benches, "GENERATED", (8,))
    monkeypatch.setattr(benches, "build", varied)
    figures = benches.generation(1, 0)
    kept, again = found["generation, 8 tokens"].values()
    assert torch.equal(kept, again)
    assert kept.shape == (1, 9)
    assert len(set(kept.flatten().tolist())) > 2  # else it would be the same by chance
    assert figures["8 tokens, with a cache: ms each"] == 250
    assert figures["8 tokens: times as fast with a cache"].median == 1.5


def test_tokenizer_figures(minilm_folder, gpt2_folder, reviews, monkeypatch):
    few = replace(reviews, train=reviews.train[:60], validation=(), test=())
    monkeypatch.setattr(benches, "load_reviews", lambda source: few)
    monkeypatch.setattr(benches, "UNIGRAM_PIECES", 200)
    started = []

    def paired(functions, *_):
        (when, function), *_ = functions.items()
        (fresh,) = function.__defaults__
        started.append((when, type(fresh).__name__, bool(fresh._cache)))
        function()
        return {when: [0.5]}

    monkeypatch.setattr(benches, "paired", paired)
    figures = benches.tokenizer(6, 0)
    assert figures.pop("words") == sum(len(review.text.split()) for review in few.train)
    kinds = [label.split(":")[0] for label in figures]
    assert kinds == ["WordPiece"] * 2 + ["byte-level BPE"] * 2 + ["Unigram"] * 2
    assert set(figures.values()) == {2 * sum(len(review.text.split()) for review in few.train)}
    rounds = [(when, when == "again") for _ in range(2) for when in ("first time", "again")]
    expected = [(when, kind, warm) for kind in ("WordPiece", "ByteBPE", "AlbertUnigram") for when, warm in rounds]
    assert started == expected


def test_json_holds_the_machine_and_the_ratios(small, capsys):
    assert main(["bench", "forward", "--quick", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["machine"]["threads"] >= 1
    assert set(found["forward"]["speed of the model / of the products"]) == {"median", "low", "high"}


@pytest.mark.parametrize(
    ("argv", "said"), [(["bench", "forwards"], "no bench"), (["bench", "--threads", "0"], "at least 1")]
)
def test_wrong_options_get_a_sentence(argv, said, capsys):
    assert main(argv) == 2
    assert said in capsys.readouterr().err


def test_every_bench_that_the_command_names_exists():
    assert all(callable(getattr(benches, name.replace("-", "_"))) for name in BENCHES)


def test_both_ways_of_training_have_the_same_gradients():
    """What is timed as "everything" computes more, and learns the same from it."""
    ids = torch.tensor([[2, 8, 9, 3], [2, 7, 3, 0]])
    batch = {"input_ids": ids, "attention_mask": (ids > 0).long(), "labels": torch.where(ids == 8, 5, -100)}
    gradients = []
    for way in ("needed", "everything"):
        model = small_model()
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(benches, "timed", lambda label, ways, rounds, way=way: ways[way]())
            benches.timed_training("", model, [batch], 1)
        gradients.append({name: p.grad for name, p in model.named_parameters() if p.grad is not None})
    ours, theirs = gradients
    assert ours["backbone.encoder.blocks.0.attention.query.weight"].any()
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6)
