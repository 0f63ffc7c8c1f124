"""The checklist "add a model" of CONTRIBUTING.md, followed with a toy: one file, one line, and everything works."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import toy_model
from safetensors.torch import load_file
from tiny import assert_close, expect_refusal
from torch.optim import SGD

from minibert import models
from minibert.checkpoints import from_pretrained, load, save_pretrained
from minibert.factory import build, count_parameters, parameters_by_part

IDS = torch.tensor([[5, 6, 7, 8, 9], [10, 11, 12, 0, 0]])
MASK = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])


@pytest.fixture(autouse=True)
def _registered():
    families, presets = dict(models.FAMILIES), dict(models.PRESETS)
    models.register(toy_model.FAMILY)  # the one line
    yield
    for known, before in ((models.FAMILIES, families), (models.PRESETS, presets)):
        known.clear()
        known.update(before)


def test_two_families_cannot_be_students_of_the_same():
    with pytest.raises(ValueError, match="toy and distilbert are both students of bert: choose one"):
        models.register(replace(toy_model.FAMILY, student_of="bert"))
    models.register(models.FAMILIES["distilbert"])  # the same one again is not a rival


def test_it_is_built_by_its_name_and_counted():
    with torch.device("meta"):
        model = build("toy")
    d, v, layers = 12, 31, 2
    block = 2 * d + 4 * (d * d + d) + (d * 2 * d + 2 * d) + (2 * d * d + d)
    assert count_parameters(model) == v * d + d + layers * block
    assert sum(parameters_by_part(build("toy", "masked-lm")).values()) == count_parameters(build("toy", "masked-lm"))


@pytest.mark.parametrize("head", [None, "masked-lm", "sequence-classification", "token-classification"])
def test_it_is_saved_and_loaded_with_every_head(tmp_path, head):
    model = build("toy", head, seed=1).eval()
    if head == "token-classification":  # its classifier is the same module in the table
        assert toy_model.KEYS["classifier"] == "score"
    save_pretrained(tmp_path, model)
    again, fresh = load(tmp_path, head)
    assert not fresh
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), again.state_dict().values(), strict=True))
    assert_close(again(IDS, MASK).last_hidden_state, model(IDS, MASK).last_hidden_state)
    names = set(load_file(tmp_path / "model.safetensors"))
    assert "wte.weight" in names if head is None else "toy.wte.weight" in names
    described = json.loads((tmp_path / "config.json").read_text())
    assert (described["model_type"], described["n_embd"], described["scale_attn_weights"]) == ("toy", 12, True)


def test_its_key_table_is_a_bijection():
    used = set()
    for head in (None, "masked-lm", "sequence-classification"):
        names = [name.removeprefix("backbone.") for name in build("toy", head).state_dict()]
        theirs = [toy_model.FAMILY.theirs(name) for name in names]
        assert [toy_model.FAMILY.ours(name) for name in theirs] == names
        assert len(set(theirs)) == len(theirs)
        whole = [re.sub(r"(?<=\.)\d+(?=\.)", "{}", name) for name in names]
        used |= {name if name in toy_model.KEYS else name.rpartition(".")[0] for name in whole}
    assert used == set(toy_model.KEYS)


def test_a_surplus_layer_or_parameter_is_noticed(tmp_path):
    save_pretrained(tmp_path, build("toy"))
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"n_layer": 1}))
    with expect_refusal("has no place for", "toy.h.1"):
        from_pretrained(tmp_path)


def test_a_head_passes_its_extra_input_on():
    model = build("toy", "sequence-classification", seed=2).eval()
    loud = torch.ones(2, 5)
    plain = model(IDS, MASK, emphasis=loud).logits
    assert_close(plain, model(IDS, MASK).logits)
    loud[:, 1] = 3
    assert (model(IDS, MASK, emphasis=loud).logits - plain).abs().max() > 1e-6


def test_a_head_reads_its_summary_and_padding_does_not_leak():
    model = build("toy", "sequence-classification", seed=3).eval()
    alone = model(IDS[1:, :3]).logits
    assert_close(model(IDS, MASK).logits[1:], alone, 1e-6)
    changed = IDS.clone()
    changed[1, 3:] = 20
    assert_close(model(changed, MASK).logits, model(IDS, MASK).logits, 1e-6)


def test_it_is_trained_for_ten_steps():
    model = build("toy", "masked-lm", seed=4)
    labels = torch.where(torch.arange(5) == 2, IDS, -100)
    optimiser = SGD(model.parameters(), lr=0.5)
    losses = []
    for _ in range(10):
        loss = model(IDS, MASK, labels=labels).loss
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.5 * losses[0]


def test_it_takes_one_file_and_one_line():
    """Nothing below minibert/ knows the toy."""
    package = Path(models.__file__).parents[1]
    assert not any(re.search(r"\btoy", path.read_text(encoding="utf-8"), re.I) for path in package.rglob("*.py"))
