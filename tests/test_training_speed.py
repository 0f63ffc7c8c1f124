"""E5: a step is timed on tiny models; what the links make of it is computed by hand on both sides of each line."""

from __future__ import annotations

import json
import math

import pytest
import torch

from minibert.claims import LEDGER, VERDICTS
from minibert.claims.counted import ALBERT, ALBERT_LARGE, BERT, BERT_LARGE
from minibert.claims.pictures import draw_training_speed
from minibert.claims.training_speed import judge_training
from minibert.experiments import training_speed as speed
from minibert.factory import build, count_parameters

HOLDS, CONDITION, FAILS, _ = VERDICTS


def made_up(big: float = 12.0, small: float = 10.0, big_bytes: float = 20e9, small_bytes: float = 1e9) -> dict:
    """A step takes `big` and `small` seconds, and exchanges these numbers of bytes."""
    figures = {
        "models": ["big", "small"], "batch": 4, "length": 128, "device": "CPU", "devices": 64,
        "seconds": {"big": big, "small": small}, "bytes": {"big": big_bytes, "small": small_bytes},
        "ratio": big / small, "ratio_low": big / small, "ratio_high": big / small,
    }  # fmt: skip
    return figures | {"gbits": [0.1, 1, 10], "speed_up": [speed.speed_up(figures, gbit) for gbit in (0.1, 1, 10)]}


# ----------------------------------------------------------------------------------------------- exchange


def test_a_ring_moves_twice_the_gradients_but_for_ones_own_share():
    assert speed.exchanged_bytes(1000, 2) == 4000
    assert speed.exchanged_bytes(1000, 64) == pytest.approx(2 * 4000 * 63 / 64)
    assert speed.exchanged_bytes(1000, 1) == 0


def test_a_slow_link_makes_the_smaller_exchange_count():
    figures = made_up()
    assert speed.speed_up(figures, 8) == pytest.approx((12 + 20) / (10 + 1))  # 1e9 bytes a second
    assert speed.speed_up(figures, 1e9) == pytest.approx(1.2, abs=1e-6)
    assert speed.speed_up(figures, 1e-6) == pytest.approx(20, rel=1e-4)


@pytest.mark.parametrize("factor", [1.3, 1.7, 5.0, 19.0])
def test_the_bandwidth_for_a_factor_gives_that_factor(factor):
    figures = made_up()
    assert speed.speed_up(figures, speed.bandwidth_for(figures, factor)) == pytest.approx(factor)


def test_some_factors_need_no_link_and_some_have_none():
    assert speed.bandwidth_for(made_up(), 1.2) == math.inf
    assert speed.bandwidth_for(made_up(), 20) is None
    assert speed.bandwidth_for(made_up(big_bytes=1.5e9), 1.7) is None


@pytest.mark.parametrize(
    ("figures", "verdict", "said"),
    [
        (made_up(big=17.1), HOLDS, "1.7× without any exchange"),
        (made_up(big=16.9), CONDITION, "1.7× if the links carry 1,464 Gbit/s or less"),
        (made_up(), CONDITION, "1.7× if the links carry 29 Gbit/s or less"),
        (made_up(big_bytes=1.7e9), FAILS, "1.7× at no speed of the links"),
    ],
)
def test_the_verdict_depends_on_the_link(figures, verdict, said):
    found = judge_training(figures)
    assert found.verdict == verdict
    assert said in found.ours


def test_what_was_computed_and_for_what_is_told():
    found = judge_training(made_up())
    assert found.ours.startswith("1.20× (1.20–1.20) on one device; a step exchanges 20.00 GB against 1.00 GB")
    assert "64 devices" in found.why
    assert "CPU, 4 texts of 128 tokens" in found.why
    assert f"{(12 + 16) / (10 + 0.8):.2f}× at 10" in found.why
    assert "exchanges 20 times less" in found.why


# ------------------------------------------------------------------------------------------------- timing


def test_a_comparison_gives_every_figure():
    told = []
    figures = speed.compare_training(
        "tiny-bert", "tiny-albert", 2, 8, rounds=3, progress=lambda done, of: told.append((done, of))
    )
    assert told[-1] == (8, 8)  # 3 rounds and a warm-up, 2 models
    assert figures["parameters"] == {
        name: count_parameters(build(name, "masked-lm")) for name in ("tiny-bert", "tiny-albert")
    }
    assert figures["bytes"]["tiny-bert"] == speed.exchanged_bytes(figures["parameters"]["tiny-bert"], speed.DEVICES)
    assert [len(rounds) for rounds in figures["rounds"].values()] == [3, 3]
    assert len(figures["gbits"]) == len(figures["speed_up"])
    assert (figures["device"], figures["batch"], figures["length"]) == ("CPU", 2, 8)
    assert json.loads(json.dumps(figures)) == figures
    assert judge_training(figures).verdict in VERDICTS


def test_the_ratio_says_how_many_times_as_fast_the_challenger_computes(monkeypatch):
    def three_and_two_seconds(functions, rounds, progress):
        return dict(zip(functions, ([3.0] * rounds, [2.0] * rounds), strict=True))

    monkeypatch.setattr(speed, "paired", three_and_two_seconds)
    figures = speed.compare_training("tiny-bert", "tiny-albert", 2, 8)
    assert figures["ratio"] == 1.5
    assert figures["seconds"] == {"tiny-bert": 3.0, "tiny-albert": 2.0}
    assert figures["speed_up"] == [round(speed.speed_up(figures, gbit), 3) for gbit in figures["gbits"]]


def test_quick_takes_the_base_sizes_and_fewer_rounds(monkeypatch):
    asked = []

    def step(name, like, batch, length, device):
        asked.append((name, like))
        return lambda: None, 10

    monkeypatch.setattr(speed, "_training_step", step)
    figures = LEDGER["A2"].measure(quick=True, progress=None)
    assert asked == [(BERT, BERT), (ALBERT, BERT)]
    assert {len(rounds) for rounds in figures["rounds"].values()} == {speed.QUICK_ROUNDS}
    LEDGER["A2"].measure(quick=False, progress=None)
    assert asked[2:] == [(BERT_LARGE, BERT_LARGE), (ALBERT_LARGE, BERT_LARGE)]


def test_a_step_trains_the_model_with_the_dropout_of_the_other(monkeypatch):
    """The models are caught as they are built: their weights move, and both drop as much out."""
    built = []
    monkeypatch.setattr(speed, "build", lambda *args, **how: built.append(build(*args, **how)) or built[-1])
    step, _ = speed._training_step("tiny-albert", "bert-base-uncased", 2, 8, "cpu")
    (model,) = built
    before = {name: parameter.clone() for name, parameter in model.named_parameters()}
    step()
    moved = [name for name, parameter in model.named_parameters() if not torch.equal(parameter, before[name])]
    assert any("word" in name for name in moved)
    assert len(moved) > len(before) / 2
    assert all(parameter.grad is None for parameter in model.parameters())  # the next step starts with none
    assert model.config.hidden_dropout_prob == model.config.attention_probs_dropout_prob == 0.1
    assert model.training


def test_the_picture_shows_the_recorded_curve_and_where_it_meets_the_paper():
    figures = made_up()
    (axes,) = draw_training_speed(figures).axes
    assert list(axes.lines[0].get_xdata()) == figures["gbits"]
    assert list(axes.lines[0].get_ydata()) == figures["speed_up"]
    reached = speed.bandwidth_for(figures, 1.7)
    assert any(list(line.get_xdata()) == [reached] and list(line.get_ydata()) == [1.7] for line in axes.lines)
    assert "small" in axes.get_title(loc="left")
