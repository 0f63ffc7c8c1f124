"""Fresh models: exact parameter counts, where they sit, seeds, and the published settings."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from lab import assert_same, lab, part
from tiny import CONFIGS, EVERY_MODEL, expect_refusal, tiny
from torch import nn

from minibert.factory import build, count_parameters, parameters_by_part, preset
from minibert.models import FAMILIES, PRESETS

# ------------------------------------------------------------------------------------------ the lab sheet
# Each property by itself, with numbers that can be worked out on paper. Read these first.


@lab(
    "count-parameters",
    code=count_parameters,
    lesson="10",
    breaks="`model.parameters()` replaced by `model.state_dict().values()`",
    catches="tied-weights-twice",
)
def test_a_tied_tensor_is_counted_once():
    """a tensor that is used in two places counts once

    Embeddings of 3 words by 2 features are 6 numbers. A decoder uses the same table and adds 3 biases: 9, and not 15.
    """
    model = nn.Module()
    model.words, model.decoder = nn.Embedding(3, 2), nn.Linear(2, 3)
    model.decoder.weight = model.words.weight
    assert_same(part("count-parameters")(model), 9)


@lab(
    "count-parameters",
    code=count_parameters,
    lesson="10",
    breaks="`for parameter in model.parameters()` with `if parameter.requires_grad`",
    catches="frozen-left-out",
)
def test_frozen_parameters_count_and_buffers_do_not():
    """what was learned counts, frozen or not; a buffer was not learned and does not count

    A frozen linear layer of 2 by 3 and 3 biases, and a buffer of 5 numbers: 9.
    """
    model = nn.Linear(2, 3).requires_grad_(False)
    model.register_buffer("numbers", torch.zeros(5))
    assert_same(part("count-parameters")(model), 9)


def counted(num_layers: int, pooler: bool = True, *albert: object) -> int:
    """The exercise's count with V = 3, D = 2, F = 4, 5 positions and 2 token types; albert: the width E, and shared."""
    return part("parameter-sizes")(3, 2, num_layers, 4, 5, 2, pooler, *albert)


@lab(
    "parameter-sizes",
    code=build,
    lesson="10",
    breaks="`FAMILIES[config.model_type].model(config)` with a layer more, or a part left out",
    catches="positions-forgotten",
)
def test_a_bert_is_counted_part_by_part():
    """a BERT is its tables and their norm, then L blocks, then the pooler

    V = 3, D = 2, F = 4, 5 positions and 2 token types. Tables and norm: (3 + 5 + 2) · 2 + 4 = 24. A block: four layers
    of 2 · 2 + 2, then 2 · 4 + 4 and 4 · 2 + 2, and two norms of 4: 24 + 22 + 8 = 54. Pooler: 6.
    """
    assert_same(counted(1), 24 + 54 + 6)
    assert_same(counted(3, False), 24 + 3 * 54)


@lab(
    "parameter-sizes",
    code=build,
    lesson="10",
    breaks="`FAMILIES[config.model_type].model(config)` with blocks that are not shared",
    catches="not-factorised",
)
def test_an_albert_is_counted_part_by_part():
    """an ALBERT has tables of width E, a projection to D, and one block for all its steps

    As above with E = 1. Tables and norm: (3 + 5 + 2) · 1 + 2 = 12. Projection: 1 · 2 + 2 = 4. One block of 54 for three
    steps, and the pooler: 76.
    """
    assert_same(counted(3, True, 1, True), 12 + 4 + 54 + 6)


# ------------------------------------------------------------------------------------------- the whole of it

# The published checkpoints, backbone with its pooler where there is one.
COUNTS = {
    "bert-base-uncased": 109_482_240,
    "bert-base-cased": 108_310_272,
    "bert-large-uncased": 335_141_888,
    "bert-large-cased": 333_579_264,
    "distilbert-base-uncased": 66_362_880,
    "roberta-base": 124_645_632,
    "roberta-large": 355_359_744,
    "albert-base-v2": 11_683_584,
    "albert-large-v2": 17_683_968,
    "albert-xlarge-v2": 58_724_864,
    "albert-xxlarge-v2": 222_595_584,
    "mobilebert-uncased": 24_581_888,  # its pooler has no parameters
    "ib-bert-large": 294_467_840,  # not published; the paper's Table 1 rounds what it counts to 293M
    "xlnet-base-cased": 116_718_336,
    "xlnet-large-cased": 360_268_800,
    "bart-base": 139_420_416,
    "bart-large": 406_291_456,
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
        assert count_parameters(on_meta(name)) < 10_000_000


def test_bert_base_with_pooler_and_tied_masked_lm_head():
    parts = parameters_by_part(on_meta("bert-base-uncased", "pretraining"))
    pair = 2 * 768 + 2
    assert sum(parts.values()) - pair == 110_104_890
    # dense 768 x 768, norm, and one bias for each word: the word embeddings are not counted again
    assert parts["head"] - pair == 768 * 768 + 768 + 2 * 768 + 30_522


@pytest.mark.many
@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("head", [None, "words", "sequence-classification"])
def test_the_parts_sum_to_the_whole(name, head):
    family = PRESETS[name].model_type
    head = FAMILIES[family].model.heads[0] if head == "words" else head
    model = on_meta(name, head)
    parts = parameters_by_part(model)
    assert sum(parts.values()) == count_parameters(model)
    # the head that writes has the table of words, which is counted there, and a bias that is not learned
    assert ("head" in parts) == (head not in (None, "seq2seq-lm"))
    using_it = (None,) if family == "roberta" else (None, "sequence-classification")  # RoBERTa has its own layer there
    lacking = family in ("distilbert", "xlnet", "bart") or name in ("mobilebert-uncased", "tiny-mobilebert")
    assert ("pooler" in parts) == (head in using_it and not lacking)


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
        "import sys, time, torch; from minibert import PRESETS, build, count_parameters\n"
        "from minibert.models import FAMILIES; start = time.process_time()\n"
        "words = {name: FAMILIES[config.model_type].model.heads[0] for name, config in PRESETS.items()}\n"
        "with torch.device('meta'): counts = [count_parameters(build(*each)) for each in words.items()]\n"
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
        (None, ("no preset None", "known:")),
    ],
)
def test_an_unknown_preset_is_refused_with_the_nearest_names(name, parts):
    with expect_refusal(*parts):
        build(name)


def test_an_unknown_head_is_refused():
    with expect_refusal("there is no head 'nsp'", "masked-lm"):
        build(CONFIGS["bert"], "nsp")
