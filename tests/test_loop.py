"""The training loop: the schedule, the order of the texts, stopping and continuing, several processes."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from lab import assert_same, check, lab
from tiny import assert_close, expect_refusal
from torch import nn
from training_tiny import TOKENIZER, lengths_of, same_weights, small, texts

from minibert.errors import MinibertError
from minibert.training import loop
from minibert.training.loop import (
    LOG,
    STATE,
    Processes,
    Settings,
    batches_from,
    batches_of_epoch,
    make_optimiser,
    mixed,
    one_step,
    pick_device,
    rate_at,
    split,
    train,
    validated,
)
from minibert.training.tasks import Labels, MaskedWords

# ------------------------------------------------------------------------------------------ the lab sheet
# Each property by itself, with numbers that can be worked out on paper. Read these first.


class MeanOfNumbers:
    """An objective that can be computed in the head: the mean of weight · x over the numbers that are not 0."""

    weights: ClassVar[dict[str, float]] = {"mean": 1.0}

    def counts(self, batch):
        return {"mean": int((batch["x"] != 0).sum())}

    def losses(self, model, batch):
        return {"mean": (model.weight * batch["x"]).sum() / max(self.counts(batch)["mean"], 1)}


class OneWeight(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(1.0))


@lab(
    None, code=one_step, lesson="07", breaks="`counts[name] / max(totals[name], 1)` replaced by 1 / the number of parts"
)
def test_parts_of_a_batch_make_up_the_whole():
    """a batch in parts (gradient accumulation) gives the loss and the gradient of the whole batch

    The numbers 6, 0 (which does not count), 1 and 2: their mean is 9 / 3 = 3. In two parts the means are 6 and 1.5;
    weighted by 1 and 2 numbers they make 3 again, and the plain mean of them 3.75.
    """
    for accumulation in (1, 2, 4):
        model, batch = OneWeight(), {"x": torch.tensor([6.0, 0.0, 1.0, 2.0])}
        settings = Settings(steps=1, batch_size=4, accumulation=accumulation)
        found = one_step(model, MeanOfNumbers(), batch, settings, Processes(torch.device("cpu")), 0)
        assert_close(found["loss"], 3.0, 1e-6)
        assert_close(model.weight.grad, 3.0, 1e-6)


@lab(
    None,
    code=rate_at,
    lesson="07",
    breaks="`settings.learning_rate * (step + 1) / warm` with `step` in place of `step + 1`",
)
def test_the_rate_warms_up_and_decays():
    """the learning rate rises in a straight line over the warm-up, and then falls to 0

    Four steps, half of them warm-up, and a peak of 1: one half, 1, 1, one half.
    """
    settings = Settings(steps=4, warmup=0.5, learning_rate=1.0)
    assert_close([rate_at(step, settings) for step in range(4)], [0.5, 1.0, 1.0, 0.5])


@lab(None, code=make_optimiser, lesson="07", breaks="`if p.dim() <= 1` group given the weight decay too")
def test_biases_and_norms_do_not_decay():
    """weight decay acts on matrices, and not on biases and norms

    A linear layer has a matrix and a bias, a norm two vectors: one tensor decays, and three do not.
    """
    model = nn.Sequential(nn.Linear(2, 2), nn.LayerNorm(2))
    groups = make_optimiser(model, Settings(steps=1, weight_decay=0.1)).param_groups
    assert_same({group["weight_decay"]: len(group["params"]) for group in groups}, {0.1: 1, 0.0: 3})


@lab(None, code=validated, lesson="04", breaks="`model.eval()` left out")
def test_there_is_no_dropout_during_validation():
    """a model is validated without dropout, and trains with it again afterwards"""
    model = nn.Dropout(0.5).train()
    found = validated(model, lambda tried: {"change": float((tried(torch.ones(100)) - 1).abs().sum())})
    assert_same(found, {"change": 0.0})
    check(model.training)


# ------------------------------------------------------------------------------------------- the whole of it

TESTS = Path(__file__).parent
EXAMPLES = texts(40)


def run(folder: Path, task=None, model=None, validate=None, dropout: float = 0.0, **settings) -> tuple[nn.Module, list]:
    """Train a tiny model on masked words; returns it and the log without times."""
    model = model or small(dropout=dropout)
    settings = Settings(**{"steps": 8, "batch_size": 8, "learning_rate": 1e-2, **settings})
    task = task or MaskedWords(EXAMPLES, TOKENIZER)
    log = train(model, task, lengths_of(task.examples), settings, folder, validate=validate)
    return model, without_clock(log)


def without_clock(log: list[dict]) -> list[dict]:
    return [{name: value for name, value in record.items() if name != "seconds"} for record in log]


def saved(folder: Path) -> dict:
    state = torch.load(folder / STATE, weights_only=True)
    return {**state, "log": without_clock(json.loads(state["log"]))}


def same(left, right) -> bool:
    """Nested dicts, lists and tensors, bit by bit."""
    if isinstance(left, torch.Tensor):
        return left.dtype == right.dtype and torch.equal(left, right)
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[name], right[name]) for name in left)
    if isinstance(left, (list, tuple)):
        return len(left) == len(right) and all(map(same, left, right))
    return left == right


class Stopped(Exception):
    pass


class Stopping(MaskedWords):
    """Stops, as by a crash, when the batch of a step is asked for."""

    def __init__(self, at: int, what=None, **settings):
        super().__init__(EXAMPLES, TOKENIZER, **settings)
        self.left, self.what = at, what

    def batch(self, examples, seed):
        if self.left == 0:
            self.left -= 1
            if self.what is None:
                raise Stopped
            self.what()
        self.left -= 1
        return super().batch(examples, seed)


# ---------------------------------------------------------------------------------------- rate and optimiser


def test_the_rate_goes_up_and_down_linearly():
    settings = Settings(steps=10, warmup=0.4, learning_rate=12.0)
    assert [rate_at(step, settings) for step in range(10)] == pytest.approx([3, 6, 9, 12, 12, 10, 8, 6, 4, 2])


def test_the_rate_without_warm_up_begins_at_the_peak():
    assert [rate_at(step, Settings(steps=4, warmup=0, learning_rate=4.0)) for step in range(4)] == [4, 3, 2, 1]


def test_the_rate_with_only_warm_up_ends_at_the_peak():
    assert [rate_at(step, Settings(steps=4, warmup=1, learning_rate=4.0)) for step in range(4)] == [1, 2, 3, 4]


def test_the_log_has_the_rate_that_was_used(tmp_path):
    _, log = run(tmp_path, steps=5)
    assert [record["lr"] for record in log] == [
        rate_at(step, Settings(steps=5, learning_rate=1e-2)) for step in range(5)
    ]
    assert [record["step"] for record in log] == [1, 2, 3, 4, 5]


def test_only_matrices_decay():
    model = small()
    decays = {
        id(parameter): group["weight_decay"]
        for group in make_optimiser(model, Settings(steps=1, weight_decay=0.5)).param_groups
        for parameter in group["params"]
    }
    names = {name: decays[id(parameter)] for name, parameter in model.named_parameters()}
    assert len(names) == len(decays)
    for name, decay in names.items():
        assert decay == (0 if name.endswith("bias") or "norm" in name else 0.5), name


def test_frozen_parameters_are_not_trained(tmp_path):
    model = small()
    model.backbone.requires_grad_(False)
    run(tmp_path, model=model)
    fresh = small()
    assert same_weights(model.backbone, fresh.backbone)
    assert not same_weights(model.lm, fresh.lm)


class Line(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(2))


class Steep:
    """One term whose gradient is (300, 400): its norm is 500."""

    weights = {"slope": 1.0}  # noqa: RUF012
    examples = EXAMPLES

    def batch(self, examples, seed):
        return {"attention_mask": torch.ones(len(examples), 1)}

    def counts(self, batch):
        return {"slope": len(batch["attention_mask"])}

    def losses(self, model, batch):
        return {"slope": (model.weight * torch.tensor([300.0, 400.0])).sum()}


@pytest.mark.parametrize(("clip", "expected"), [(1.0, (0.6, 0.8)), (1000.0, (300.0, 400.0))])
def test_long_gradients_are_shortened(tmp_path, clip, expected):
    model = Line()
    train(model, Steep(), [1] * 8, Settings(steps=1, batch_size=4, clip=clip), tmp_path)
    first_moment = saved(tmp_path)["optimiser"]["state"][0]["exp_avg"]  # 0.1 of the gradient after one step
    assert (first_moment / 0.1).tolist() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("accumulation", [2, 4, 7])
def test_micro_batches_change_nothing(tmp_path, accumulation):
    whole, log = run(tmp_path / "whole", learning_rate=1e-3)
    parts, other_log = run(tmp_path / "parts", learning_rate=1e-3, accumulation=accumulation)
    for record, other in zip(log, other_log, strict=True):
        assert record["loss"] == pytest.approx(other["loss"], abs=1e-6)
    for ours, theirs in zip(whole.parameters(), parts.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6)


def test_the_model_learns(tmp_path):
    _, log = run(tmp_path, Labels(EXAMPLES, TOKENIZER), small("sequence-classification"), steps=60)
    assert sum(record["loss"] for record in log[-5:]) < 0.5 * sum(record["loss"] for record in log[:5])


# --------------------------------------------------------------------------------------- order of the texts

LENGTHS = [3 + (17 * text) % 50 for text in range(203)]


def test_an_epoch_has_each_text_at_most_once_and_leaves_out_less_than_a_batch():
    batches = batches_of_epoch(LENGTHS, 8, seed=1)
    assert all(len(batch) == 8 for batch in batches)
    assert len(batches) == 203 // 8
    seen = [text for batch in batches for text in batch]
    assert len(seen) == len({*seen})
    assert {*seen} <= {*range(203)}


def test_what_is_left_out_of_one_epoch_comes_in_another():
    seen = {text for seed in range(20) for batch in batches_of_epoch(LENGTHS, 8, seed) for text in batch}
    assert seen == {*range(203)}


def test_similar_lengths_are_in_the_same_batch():
    def spread(batches):
        return sum(max(LENGTHS[text] for text in batch) - min(LENGTHS[text] for text in batch) for batch in batches)

    assert spread(batches_of_epoch(LENGTHS, 8, 0)) < 0.15 * spread(batches_of_epoch(LENGTHS, 8, 0, pool=1))


def test_long_and_short_batches_are_mixed():
    first = [LENGTHS[batch[0]] for batch in batches_of_epoch(LENGTHS, 8, 0)]
    assert first not in (sorted(first), sorted(first, reverse=True))


def test_the_order_depends_only_on_the_seed():
    assert batches_of_epoch(LENGTHS, 8, 5) == batches_of_epoch(LENGTHS, 8, 5)
    assert batches_of_epoch(LENGTHS, 8, 5) != batches_of_epoch(LENGTHS, 8, 6)


def test_fewer_texts_than_a_batch_are_one_batch():
    (batch,) = batches_of_epoch([4, 5, 6], 8, 0)
    assert sorted(batch) == [0, 1, 2]


def test_each_epoch_has_its_own_order_and_any_step_can_be_the_first():
    settings = Settings(steps=1, batch_size=8, seed=3)
    stream = batches_from(LENGTHS, settings, 0)
    batches = [next(stream) for _ in range(80)]  # more than three epochs of 25
    assert batches[:25] != batches[25:50]
    for step in (0, 1, 24, 25, 26, 60):
        assert next(batches_from(LENGTHS, settings, step)) == batches[step]
    assert next(batches_from(LENGTHS, Settings(steps=1, batch_size=8, seed=4), 0)) != batches[0]


def test_mixed_seeds_are_unrelated():
    seeds = {mixed(*numbers) for numbers in [(0,), (1,), (0, 0), (0, 1), (1, 0), (1, 1), (11,), (0, 1, 1)]}
    assert len(seeds) == 8
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert mixed(1, 2) == 7468892287103171198  # the same on every machine and in every version


def test_a_batch_is_split_into_equal_parts():
    parts = split({"ids": torch.arange(14).view(7, 2), "classes": torch.arange(7)}, 3)
    assert [len(part["ids"]) for part in parts] == [3, 2, 2]
    assert torch.equal(torch.cat([part["classes"] for part in parts]), torch.arange(7))


# ---------------------------------------------------------------------------------- stopping and continuing


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory) -> tuple[nn.Module, list, dict]:
    folder = tmp_path_factory.mktemp("uninterrupted")
    model, log = run(folder, Stopping(-1), dropout=0.1, save_every=2, accumulation=2)
    return model, log, saved(folder)


@pytest.mark.parametrize("at", range(1, 8))
def test_a_run_stopped_at_any_step_continues_bit_for_bit(tmp_path, uninterrupted, at):
    with pytest.raises(Stopped):
        run(tmp_path, Stopping(at), dropout=0.1, save_every=2, accumulation=2)
    torch.manual_seed(99)  # what was drawn in between does not matter
    model, log = run(tmp_path, Stopping(-1), dropout=0.1, save_every=2, accumulation=2)
    expected, expected_log, state = uninterrupted
    assert same_weights(model, expected)
    assert log == expected_log
    assert same(saved(tmp_path), state)
    lines = [json.loads(line) for line in (tmp_path / LOG).read_text().splitlines()]
    assert without_clock(lines) == log
    assert {path.name for path in tmp_path.iterdir()} == {STATE, LOG}


def test_each_step_draws_its_own_dropout():
    task, settings, one = MaskedWords(EXAMPLES, TOKENIZER), Settings(steps=9), loop.Processes(torch.device("cpu"))
    batch, model = task.batch(range(8), 1), small(dropout=0.3).train()
    first, second, again = (loop.one_step(model, task, batch, settings, one, step)["loss"] for step in (1, 2, 1))
    assert first == again != second


def test_a_finished_run_is_not_trained_further(tmp_path):
    model, log = run(tmp_path)
    again, same_log = run(tmp_path, Stopping(0))  # would stop at its first batch
    assert same_weights(again, model)
    assert same_log == log


def test_a_run_continues_from_the_saved_step(tmp_path):
    with pytest.raises(Stopped):
        run(tmp_path, Stopping(7), save_every=3)
    assert saved(tmp_path)["step"] == 6


def test_a_run_of_other_settings_is_refused(tmp_path):
    run(tmp_path)
    before = (tmp_path / STATE).read_bytes()
    with expect_refusal(str(tmp_path), "learning_rate 0.01, not 0.02", "choose another folder"):
        run(tmp_path, learning_rate=0.02)
    with expect_refusal("betas [0.9, 0.999], not [0.9, 0.98]"):
        run(tmp_path, betas=(0.9, 0.98))
    assert (tmp_path / STATE).read_bytes() == before


@pytest.mark.parametrize("other", [{"num_hidden_layers": 3}, {"hidden_size": 6}, {"family": "albert"}])
def test_a_run_of_another_model_is_refused(tmp_path, other):
    run(tmp_path)
    before = (tmp_path / STATE).read_bytes()
    with expect_refusal(str(tmp_path), "holds a run of another model"):
        run(tmp_path, model=small(**other))
    assert (tmp_path / STATE).read_bytes() == before


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", None])
def test_a_damaged_state_is_refused(tmp_path, content):
    run(tmp_path)
    path = tmp_path / STATE
    path.write_bytes(path.read_bytes()[:-1000] if content is None else content)
    with expect_refusal(str(path), "cannot be read", "remove it"):
        run(tmp_path)


def test_a_file_without_a_state_is_refused(tmp_path):
    torch.save({"settings": {}}, tmp_path / STATE)
    with expect_refusal(STATE, "cannot be read"):
        run(tmp_path)


def test_a_full_disk_leaves_the_earlier_state(tmp_path):
    resource = pytest.importorskip("resource")

    def fill_the_disk():
        resource.setrlimit(resource.RLIMIT_FSIZE, (4000, limits[1]))  # no file may grow beyond

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        with expect_refusal(str(tmp_path), "cannot be written", "free space", "continues from the last save"):
            run(tmp_path, Stopping(4, fill_the_disk), dropout=0.1, save_every=3)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert saved(tmp_path)["step"] == 3
    assert {path.name for path in tmp_path.iterdir()} == {STATE, LOG}
    model, log = run(tmp_path, dropout=0.1, save_every=3)
    expected, expected_log = run(tmp_path / "other", dropout=0.1, save_every=3)
    assert same_weights(model, expected)
    assert log == expected_log


def test_a_folder_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with expect_refusal(str(tmp_path / "file"), "cannot be written"):
        run(tmp_path / "file" / "below", steps=1)


class Broken(Stopping):
    """From a step on, the loss or its gradient is not a number."""

    def losses(self, model, batch):
        (loss,) = super().losses(model, batch).values()
        if self.left < 0:
            loss = self.what(loss)
        return {"masked_lm": loss}

    def batch(self, examples, seed):
        self.left -= 1
        return MaskedWords.batch(self, examples, seed)


@pytest.mark.parametrize(
    ("breaks", "what"),
    [
        (lambda loss: loss * math.nan, "loss of step 6 is nan"),
        (lambda loss: loss * math.inf, "loss of step 6 is inf"),
        (lambda loss: loss + (loss - loss.detach()).sqrt(), "gradient norm of step 6 is "),  # slope inf at 0
    ],
)
def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_state(tmp_path, breaks, what):
    with expect_refusal(what, "learning rate (0.01) is too high", str(tmp_path)):
        run(tmp_path, Broken(5, breaks), save_every=1)
    state = saved(tmp_path)
    assert state["step"] == 5
    assert all(tensor.isfinite().all() for tensor in state["model"].values())


def test_interrupting_saves_after_the_step_and_the_run_continues_exactly(tmp_path, capsys):
    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, Stopping(3, lambda: os.kill(os.getpid(), signal.SIGINT)), dropout=0.1)
    assert saved(tmp_path)["step"] == 4  # the step in which it came was finished
    assert signal.getsignal(signal.SIGINT) is handler
    assert "saved after step 4: the same command continues" in capsys.readouterr().err
    model, log = run(tmp_path, dropout=0.1)
    expected, expected_log = run(tmp_path / "other", dropout=0.1)
    assert same_weights(model, expected)
    assert log == expected_log


def test_a_second_interrupt_stops_at_once(tmp_path):
    def twice():
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, Stopping(3, twice), save_every=2)
    assert saved(tmp_path)["step"] == 2


# ------------------------------------------------------------------------------------- validation, settings


def test_validation_sees_the_model_without_dropout_and_changes_nothing(tmp_path):
    seen = []

    def validate(model):
        seen.append(model.training or torch.is_grad_enabled())
        torch.rand(7)  # what it draws does not affect the training
        return {"held_out": 1.5}

    model, log = run(tmp_path / "with", validate=validate, dropout=0.1, validate_every=3)
    assert seen == [False] * 3
    assert [record["step"] for record in log if "held_out" in record] == [3, 6, 8]
    other, _ = run(tmp_path / "without", dropout=0.1)
    assert same_weights(model, other)
    assert not model.training


@pytest.mark.parametrize("name", ["steps", "batch_size", "accumulation", "save_every"])
def test_numbers_below_one_are_refused(name):
    with expect_refusal(f"{name} is 0; it must be at least 1"):
        Settings(**{"steps": 1, name: 0})


@pytest.mark.parametrize("name", ["steps", "batch_size", "accumulation", "save_every", "validate_every"])
@pytest.mark.parametrize("number", [1.5, 2.0, "3", None, True])
def test_what_is_counted_must_be_an_integer(name, number):
    with expect_refusal(f"{name} is {number!r}; it must be an integer"):
        Settings(**{"steps": 1, name: number})


@pytest.mark.parametrize(
    ("setting", "parts"),
    [({"warmup": 1.5}, "warmup is 1.5"), ({"weight_decay": -1}, "weight_decay is -1"), ({"clip": 0}, "clip is 0")],
)
def test_settings_that_cannot_be_are_refused(setting, parts):
    with expect_refusal(parts):
        Settings(steps=1, **setting)


def test_a_model_that_is_frozen_as_a_whole_is_refused(tmp_path):
    with expect_refusal("all parameters of the model are frozen", "requires_grad_(True)"):
        run(tmp_path / "none", model=small().requires_grad_(False))
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("rate", [0.0, -1.0, math.nan, math.inf])
def test_a_rate_must_be_above_zero(rate):
    with expect_refusal(f"learning_rate is {rate}"):
        Settings(steps=1, learning_rate=rate)


def test_nothing_to_train_on_is_refused(tmp_path):
    with expect_refusal("no text to train on"):
        train(small(), MaskedWords([], TOKENIZER), [], Settings(steps=1), tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_more_micro_batches_than_texts_are_refused(tmp_path):
    with expect_refusal("a batch of 8 texts cannot be split into 9 micro-batches", "lower the accumulation"):
        run(tmp_path, accumulation=9)


def test_an_unknown_device_is_refused():
    assert pick_device("cpu") == torch.device("cpu")
    with expect_refusal("no device 'tpuu' here", "choose cpu"):
        pick_device("tpuu")
    if not torch.cuda.is_available():
        with expect_refusal("no device 'cuda' here"):
            pick_device("cuda")


def test_no_bar_is_drawn_where_there_is_no_terminal(tmp_path, capfd):
    run(tmp_path)
    assert capfd.readouterr().err == ""


def test_what_the_first_process_finds_or_raises(monkeypatch):
    processes = loop.Processes(torch.device("cpu"))
    assert processes.from_first(lambda: {"a": 1}) == {"a": 1}

    def fails():
        raise MinibertError("a sentence")

    with expect_refusal("a sentence"):
        processes.from_first(fails)


# ------------------------------------------------------------------------- killed; two processes (all slow)

KILLED = """
import os, random, signal, sys, threading, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import torch
torch.set_num_threads(1)
from tqdm import tqdm
from training_tiny import TOKENIZER, lengths_of, same_weights, small, texts
from minibert.training.loop import STATE, Settings, train
from minibert.training.tasks import MaskedWords

# tqdm's own lock is shared by all that are forked from here: one killed while it holds it would stop the others
tqdm.monitor_interval = 0
tqdm.set_lock(threading.RLock())
examples, folder = texts(60), Path(sys.argv[2])

def run(folder):
    model = small(dropout=0.1)
    settings = Settings(steps=150, batch_size=8, learning_rate=1e-2, save_every=2, accumulation=2)
    train(model, MaskedWords(examples, TOKENIZER), lengths_of(examples), settings, folder)

def forked(target):
    child = os.fork()
    if child == 0:
        try:
            run(folder / target)
        except BaseException as problem:
            print(repr(problem), file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)
    return child

run(folder / "warm up")  # torch imports much only now; the children, forked from here, need not do it again
start = time.monotonic()
run(folder / "whole")
whole = time.monotonic() - start
chance, kills, in_writing, at = random.Random(int(sys.argv[3])), 0, 0, set()
patience, places = whole / 16, 0
while True:
    child = forked("killed")
    time.sleep(chance.uniform(0, patience))
    os.kill(child, signal.SIGKILL)
    ended = os.waitpid(child, 0)[1]
    if ended != signal.SIGKILL:
        if ended != 0:
            sys.exit("the run failed")
        break  # it was done before
    kills += 1
    if kills > 300:
        sys.exit("it does not end")
    in_writing += any(path.name.endswith(".writing") for path in (folder / "killed").glob(".*"))
    if (folder / "killed" / STATE).exists():
        at.add(torch.load(folder / "killed" / STATE, weights_only=True)["step"])
    # A start takes its time: where it gets nowhere, the next may live longer, and the other way round.
    patience *= 1 / 1.3 if len(at) > places else 1.3
    places = len(at)
whole, killed = (torch.load(folder / name / STATE, weights_only=True) for name in ("whole", "killed"))
assert all(torch.equal(whole["model"][name], killed["model"][name]) for name in whole["model"]), "weights"
ours, theirs = whole["optimiser"]["state"], killed["optimiser"]["state"]
assert all(torch.equal(ours[i][name], theirs[i][name]) for i in ours for name in ours[i]), "optimiser"
print(kills, in_writing, len(at))
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.parametrize("seed", [1, 2])
def test_a_run_killed_at_random_moments_ends_with_the_same_bits(tmp_path, seed):
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(TESTS), str(tmp_path), str(seed)],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    kills, in_writing, places = map(int, done.stdout.split())
    print(f"{kills} kills, {in_writing} of them while a file was written, at {places} different saved steps")
    assert kills >= 20
    assert places >= 5


TOGETHER = """
import json, os, sys
sys.path.insert(0, sys.argv[1])
import torch
torch.set_num_threads(1)
from training_tiny import TOKENIZER, lengths_of, small, texts
from minibert.cli.main import leave
from minibert.training.loop import Settings, train
from minibert.training.tasks import MaskedWords

examples = texts(60)
task = MaskedWords(examples, TOKENIZER)
model = small()
settings = Settings(steps=50, batch_size=8, learning_rate=1e-3, accumulation=int(sys.argv[3]))
log = train(model, task, lengths_of(examples), settings, sys.argv[2], validate=lambda model: {"held_out": 1.0})
assert log[-1]["held_out"] == 1.0
print(json.dumps(sum(float(p.detach().double().sum()) for p in model.parameters())), flush=True)
leave(0)
"""


@pytest.mark.slow
def test_two_processes_learn_what_one_does(tmp_path):
    def learn(name: str, *launcher: str, accumulation: int = 1) -> tuple[list[dict], list[float]]:
        (tmp_path / "together.py").write_text(TOGETHER)
        done = subprocess.run(
            [sys.executable, *launcher, tmp_path / "together.py", TESTS, tmp_path / name, str(accumulation)],
            capture_output=True, text=True, timeout=200, env={**os.environ, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        log = [json.loads(line) for line in (tmp_path / name / LOG).read_text().splitlines()]
        return log, [float(line) for line in done.stdout.split()]

    torchrun = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    one, (sum_of_one,) = learn("one")
    two, sums = learn("two", *torchrun)
    in_parts, _ = learn("parts", *torchrun, accumulation=2)
    assert len(one) == len(two) == 50
    # The halves differ in how much is masked: a mean of two means would be another number.
    task = MaskedWords(texts(60), TOKENIZER)
    order = batches_from(lengths_of(task.examples), Settings(steps=50, batch_size=8), 0)
    halves = [split(task.batch(next(order), mixed(0, 1, step)), 2) for step in range(50)]
    counts = [[task.counts(half)["masked_lm"] for half in pair] for pair in halves]
    assert sum(left != right for left, right in counts) > 20
    worst = max(abs(a["loss"] - b["loss"]) for a, b in zip(one, two, strict=True))
    print(f"largest difference of the losses over 50 steps: {worst:.1e}")
    assert worst < 1e-5
    assert max(abs(a["loss"] - b["loss"]) for a, b in zip(one, in_parts, strict=True)) < 1e-5
    assert len(sums) == 2
    assert sums[0] == sums[1] == pytest.approx(sum_of_one, abs=1e-3)


def test_labels_can_be_learned_in_micro_batches_too(tmp_path):
    task = Labels(EXAMPLES, TOKENIZER)
    _, log = run(tmp_path / "a", task, small("sequence-classification"), learning_rate=1e-3)
    _, other = run(tmp_path / "b", task, small("sequence-classification"), learning_rate=1e-3, accumulation=3)
    assert [record["loss"] for record in log] == pytest.approx([record["loss"] for record in other], abs=1e-6)


def test_the_texts_left_out_differ_from_epoch_to_epoch():
    lengths = list(range(1, 204))
    left_out = [
        set(range(203)) - {text for batch in batches_of_epoch(lengths, 8, seed) for text in batch} for seed in range(40)
    ]
    assert {len(texts) for texts in left_out} == {203 % 8}
    assert len(set.union(*left_out)) > 60  # of 120 draws
