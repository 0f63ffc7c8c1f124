"""Fresh models: exact parameter counts, where they sit, seeds, and the published settings."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from tiny import CONFIGS, EVERY_MODEL, expect_refusal, tiny

from minibert.factory import build, count_parameters, parameters_by_part, preset
from minibert.models import PRESETS

# The published checkpoints, backbone with its pooler where there is one.
COUNTS = {
    "bert-base-uncased": 109_482_240,
    "bert-base-cased": 108_310_272,
    "bert-large-uncased": 335_141_888,
    "bert-large-cased": 333_579_264,
    "distilbert-base-uncased": 66_362_880,
    "albert-base-v2": 11_683_584,
    "albert-large-v2": 17_683_968,
    "albert-xlarge-v2": 58_724_864,
    "albert-xxlarge-v2": 222_595_584,
    "minilm-l6": 22_713_216,
}


def on_meta(name: str, head: str | None = None) -> torch.nn.Module:
    with torch.device("meta"):
        return build(name, head)


# ---------------------------------------------------------------------------------------------- counts


@pytest.mark.parametrize("name", COUNTS)
def test_published_counts(name):
    assert count_parameters(on_meta(name)) == COUNTS[name]


def test_every_preset_is_counted_or_tiny():
    assert {name for name in PRESETS if not name.startswith("tiny-")} == set(COUNTS)
    for name in set(PRESETS) - set(COUNTS):
        assert count_parameters(on_meta(name)) < 5_000_000


def test_bert_base_with_pooler_and_tied_masked_lm_head():
    parts = parameters_by_part(on_meta("bert-base-uncased", "pretraining"))
    pair = 2 * 768 + 2
    assert sum(parts.values()) - pair == 110_104_890
    # dense 768 x 768, norm, and one bias for each word: the word embeddings are not counted again
    assert parts["head"] - pair == 768 * 768 + 768 + 2 * 768 + 30_522


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("head", [None, "masked-lm", "sequence-classification"])
def test_the_parts_sum_to_the_whole(name, head):
    model = on_meta(name, head)
    parts = parameters_by_part(model)
    assert sum(parts.values()) == count_parameters(model)
    assert ("head" in parts) == (head is not None)
    assert ("pooler" in parts) == ("distilbert" not in name and head != "masked-lm")


def test_where_the_parameters_sit():
    assert parameters_by_part(on_meta("bert-base-uncased")) == {
        "word embeddings": 30_522 * 768,
        "other embeddings": 512 * 768 + 2 * 768 + 2 * 768,
        "encoder": 85_054_464,
        "pooler": 768 * 768 + 768,
    }
    assert parameters_by_part(on_meta("albert-base-v2")) == {
        "word embeddings": 30_000 * 128,
        "other embeddings": 512 * 128 + 2 * 128 + 2 * 128,
        "projection": 128 * 768 + 768,
        "encoder": 7_087_872,
        "pooler": 768 * 768 + 768,
    }
    assert parameters_by_part(on_meta("distilbert-base-uncased")) == {
        "word embeddings": 30_522 * 768,
        "other embeddings": 512 * 768 + 2 * 768,
        "encoder": 85_054_464 // 2,
    }


def test_a_tensor_used_twice_counts_once_and_a_buffer_not_at_all():
    model = tiny("albert")
    model.again = model.encoder.blocks[0]
    model.register_buffer("numbers", torch.zeros(1000))
    assert count_parameters(model) == count_parameters(tiny("albert"))
    assert sum(parameters_by_part(model).values()) == count_parameters(model)


# ------------------------------------------------------------------------------------------------ meta


@pytest.mark.parametrize(("family", "head"), EVERY_MODEL)
def test_on_the_meta_device_nothing_is_allocated(family, head):
    with torch.device("meta"):
        model = build(CONFIGS[family], head, seed=0)
    assert all(tensor.is_meta for tensor in (*model.parameters(), *model.buffers()))


def test_all_presets_on_the_meta_device_are_quick():
    """Under two seconds together in a fresh process: so nothing may be drawn, and torch's compiler not imported."""
    code = (
        "import sys, time, torch; from minibert import PRESETS, build, count_parameters; start = time.process_time()\n"
        "with torch.device('meta'):\n"
        "    counts = [count_parameters(build(name, 'sequence-classification')) for name in PRESETS]\n"
        "assert len(counts) == len(PRESETS) and 'torch._dynamo' not in sys.modules, 'torch._dynamo was imported'\n"
        "print(time.process_time() - start)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert float(run.stdout) < 2.0


# ---------------------------------------------------------------------------------------------- settings


@pytest.mark.parametrize(
    ("name", "heads", "vocabulary", "activation", "dropout", "classifier_dropout"),
    [
        ("bert-base-uncased", 12, 30_522, "gelu", 0.1, 0.1),
        ("bert-base-cased", 12, 28_996, "gelu", 0.1, 0.1),
        ("bert-large-uncased", 16, 30_522, "gelu", 0.1, 0.1),
        ("bert-large-cased", 16, 28_996, "gelu", 0.1, 0.1),
        ("minilm-l6", 12, 30_522, "gelu", 0.1, 0.1),
        ("distilbert-base-uncased", 12, 30_522, "gelu", 0.1, 0.2),
        ("albert-base-v2", 12, 30_000, "gelu_new", 0.0, 0.1),
        ("albert-large-v2", 16, 30_000, "gelu_new", 0.0, 0.1),
        ("albert-xlarge-v2", 16, 30_000, "gelu_new", 0.0, 0.1),
        ("albert-xxlarge-v2", 64, 30_000, "gelu_new", 0.0, 0.1),
    ],
)
def test_published_settings_that_no_count_shows(name, heads, vocabulary, activation, dropout, classifier_dropout):
    config = preset(name)
    assert config.num_attention_heads == heads
    assert config.vocab_size == vocabulary
    assert config.hidden_act == activation
    assert (config.hidden_dropout_prob, config.attention_probs_dropout_prob) == (dropout, dropout)
    assert config.head_dropout == classifier_dropout
    assert config.layer_norm_eps == 1e-12
    assert config.initializer_range == 0.02
    assert config.max_length == 512


# ----------------------------------------------------------------------------------------------- seeds


def test_a_seed_fixes_the_weights_and_leaves_torchs_own_numbers_alone():
    def weights(seed: int | None) -> torch.Tensor:
        model = build(CONFIGS["bert"], "masked-lm", seed=seed)
        return torch.cat([p.flatten() for p in model.parameters()])

    assert torch.equal(weights(7), weights(7))
    assert not torch.equal(weights(7), weights(8))
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    weights(7)
    assert torch.equal(torch.rand(3), expected)
    assert not torch.equal(weights(None), weights(None))


def test_a_fresh_model_has_the_deviation_of_its_config_and_is_in_training_mode():
    model = build("tiny-bert", seed=0)
    assert model.training
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            assert not parameter.any(), name
        elif "norm" in name:
            assert (parameter == 1).all(), name
        else:
            assert parameter.abs().max() <= 0.04, name
            if parameter.numel() > 1000:
                assert parameter.std().item() == pytest.approx(0.0176, rel=0.05), name


# ------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("bert-bse-uncased", ("'bert-bse-uncased'", "did you mean bert-base-uncased")),
        ("albert-base", ("'albert-base'", "did you mean", "albert-base-v2")),
        ("gpt", ("'gpt'", "known: bert-base-uncased", "albert-base-v2")),
        ("", ("''", "known:")),
        (None, ("'None'", "known:")),
    ],
)
def test_an_unknown_preset_is_refused_with_the_nearest_names(name, parts):
    with expect_refusal(*parts):
        build(name)


def test_an_unknown_head_is_refused():
    with expect_refusal("there is no head 'nsp'", "masked-lm"):
        build(CONFIGS["bert"], "nsp")
