"""The benches give the figures that they promise; how large these are is no matter for a test."""

from __future__ import annotations

import json

import pytest
import torch

from minibert.cli import bench
from minibert.cli.main import main
from minibert.factory import build
from minibert.models import PRESETS


@pytest.fixture
def small(monkeypatch):
    """The benches on a tiny model, so that they take no time."""
    monkeypatch.setattr(bench, "BATCH", 2)
    monkeypatch.setattr(bench, "LENGTH", 8)
    monkeypatch.setattr(bench, "preset", lambda name: PRESETS["tiny-bert"])
    monkeypatch.setattr(bench, "build", lambda name, **settings: build("tiny-bert", **settings))


def test_matrix_products_are_those_of_the_model(monkeypatch):
    """Multiply-adds of the bare products, against those that torch counts in a forward pass of the model."""
    from torch.utils.flop_counter import FlopCounterMode

    config = PRESETS["tiny-bert"]
    model = build(config, seed=0).eval()
    with torch.no_grad(), FlopCounterMode(display=False) as of_model:
        model(torch.ones(2, 8, dtype=torch.long), return_attention=True)  # the written-out attention can be counted
    with torch.no_grad(), FlopCounterMode(display=False) as of_products:
        bench.matrix_products(config, 2, 8)()
    assert of_products.get_total_flops() == of_model.get_total_flops() > 0


def test_forward_and_masked_lm_figures(small):
    for name, key in (("forward", "speed of the model / of the products"), ("masked-lm", "times as fast")):
        figures = bench.BENCHES[name](2, 0)
        assert figures[key].low <= figures[key].median <= figures[key].high
        assert all(value > 0 for label, value in figures.items() if label.endswith(", s"))


def test_padding_figures(small, minilm_folder, reviews):
    figures = bench.padding(1, 0)
    assert 0.3 < figures["real tokens / slots"] < 0.9
    assert figures["minilm-l6: largest difference"] < 1e-6


def test_training_figures(small, minilm_folder, reviews, monkeypatch):
    monkeypatch.setattr(bench, "SENTENCES", 4)
    figures = bench.training(1, 0)
    assert all(figures[f"{source}: times as fast"].median > 0 for source in ("both", "rotten-tomatoes"))
    assert figures["both: tokens a second"] > 0


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
