"""What config.json says is honoured or refused, in all seven families; what has no effect is accepted, in silence."""

from __future__ import annotations

import json
import warnings
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from bart_tiny import CONFIG as BART
from safetensors.torch import load_file, save_file
from tiny import CONFIGS, IDS, MASK, C, D, H, V, assert_close, expect_refusal, randomise
from torch import nn

from minibert import build, from_pretrained, save_pretrained
from minibert.models import FAMILIES
from minibert.models.xlnet import XLNetConfig
from minibert.settings import read_config

XLNET = XLNetConfig(
    vocab_size=V,
    hidden_size=D,
    num_hidden_layers=2,
    num_attention_heads=H,
    intermediate_size=20,
    labels=tuple("abcdef"),
)
ALL = {**CONFIGS, "xlnet": XLNET, "bart": BART}
LM = {"xlnet": "permutation-lm", "bart": "seq2seq-lm"}  # the others: masked-lm
TEXTS = "sequence-classification"
POSITIONS_OF_DISTANCE = {"position_embedding_type": "relative_key"}


def put(folder: Path, family: str, head: str | None = None, without: tuple[str, ...] = (), **changes) -> Path:
    """A tiny model of that family, saved; then its config.json is edited."""
    save_pretrained(folder, randomise(build(ALL[family], head, seed=0)))
    path = folder / "config.json"
    said = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({name: said[name] for name in said if name not in without}))
    return folder


def silent(folder: Path, head: str | None = None) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return from_pretrained(folder, head)


def test_all_families_are_tried():
    assert {*ALL} >= {family for family in FAMILIES if family != "toy"}


# ---------------------------------------------------------------------------------------------- refused

REFUSED = {
    "a decoder": {"is_decoder": True},
    "cross-attention": {"add_cross_attention": True},
    "relative positions": POSITIONS_OF_DISTANCE,
    "no positions": {"position_embedding_type": None},
    "pruned heads": {"pruned_heads": {"0": [1]}},
    "quantised": {"quantization_config": {"quant_method": "bitsandbytes", "load_in_8bit": True}},
    "code of its own": {"auto_map": {"AutoModel": "modeling_own.OwnModel"}},
    "layers of their own": {"per_layer_config": {"0": {"intermediate_size": 3}}},
    "eps in quotation marks": {"layer_norm_eps": "1e-12"},
    "eps that is not a number": {"layer_norm_eps": float("nan")},
    "half a word": {"vocab_size": 31.5},
    "a size in quotation marks": {"vocab_size": "31"},
    "dropout of 10": {"hidden_dropout_prob": 10, "dropout": 10},
    "a problem of another kind": {"problem_type": "ranking"},
    "padding below 0": {"pad_token_id": -1},
}
NOT_THEIRS = {"distilbert": ("eps in", "eps that"), "bart": ("eps in", "eps that")}  # their eps is fixed


@pytest.mark.many
@pytest.mark.parametrize("family", ALL)
@pytest.mark.parametrize("name", REFUSED)
def test_a_setting_that_would_change_the_numbers_is_refused_by_its_name(tmp_path, family, name):
    if name.startswith(NOT_THEIRS.get(family, "-")):
        pytest.skip("not a setting of this family")
    setting = REFUSED[name]
    folder = put(tmp_path, family, **setting)
    ours = {"dropout": "hidden_dropout_prob"}
    with expect_refusal("config.json") as caught:
        from_pretrained(folder)
    assert any(ours.get(each, each) in str(caught.value) for each in setting)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("family", "setting", "parts"),
    [
        ("albert", {"inner_group_num": 2}, ("inner_group_num to 2", "only 1")),
        ("distilbert", {"sinusoidal_pos_embds": True}, ("sinusoidal_pos_embds to True", "only False")),
        ("distilbert", {"qa_dropout": 2}, ("qa_dropout is 2", "0 to 1")),
        ("distilbert", {"hidden_size": 24}, ("dim to 12", "hidden_size to 24", "one setting")),
        ("mobilebert", {"true_hidden_size": 99}, ("true_hidden_size to 99", "make it 15")),
        ("xlnet", {"d_head": 5}, ("d_head to 5", "make it 4")),
        ("xlnet", {"n_token": 32}, ("vocab_size to 31", "n_token to 32", "one setting")),
        ("bart", {"num_hidden_layers": 5}, ("encoder_layers to 2", "num_hidden_layers to 5", "one setting")),
        ("bart", {"is_encoder_decoder": False}, ("is_encoder_decoder to False", "only True")),
        ("bert", {"is_encoder_decoder": True}, ("is_encoder_decoder to True", "only False")),
        ("bart", {"eos_token_id": [2]}, ("eos_token_id is [2]", "integer")),
        ("bart", {"pad_token_id": None}, ("pad_token_id is None", "integer")),
        ("roberta", {"pad_token_id": None}, ("pad_token_id is None", "integer")),
    ],
    ids=str,
)
def test_settings_of_one_family_are_refused(tmp_path, family, setting, parts):
    with expect_refusal(*parts):
        from_pretrained(put(tmp_path, family, **setting))


# ------------------------------------------------------------------------------- accepted, without effect

HARMLESS = {
    "transformers_version": "4.30.2",
    "torch_dtype": "float16",
    "dtype": "bfloat16",
    "use_cache": False,
    "output_attentions": True,
    "gradient_checkpointing": True,
    "_name_or_path": "somewhere",
    "finetuning_task": "sst-2",
    "num_beams": 4,
    "pruned_heads": {},
    "auto_map": {"AutoTokenizer": ["own.Tokenizer", None]},
    "quantization_config": None,
    "chunk_size_feed_forward": 3,
}


@pytest.mark.parametrize("family", ALL)
def test_settings_without_effect_are_accepted_in_silence(tmp_path, family):
    folder = put(tmp_path, family, **HARMLESS)
    plain = build(ALL[family], seed=0)
    loaded = silent(folder)
    assert replace(loaded.config, labels=plain.config.labels) == plain.config
    assert loaded.word_embeddings.weight.dtype == torch.float32


@pytest.mark.parametrize("family", ALL)
def test_a_setting_that_nobody_knows_has_a_warning(tmp_path, family):
    folder = put(tmp_path, family, sparkle=3, nothing=None, empty=[], _private=1)
    with pytest.warns(UserWarning, match="config.json has settings that are not known here.*: sparkle.") as caught:
        from_pretrained(folder)
    assert not any(name in str(caught[0].message) for name in ("nothing", "empty", "_private"))


PUBLISHED = {
    "bert": {"architectures": ["BertForMaskedLM"], "directionality": "bidi", "pooler_fc_size": 768}
    | {"pooler_num_attention_heads": 12, "pooler_num_fc_layers": 3, "pooler_type": "first_token_transform"},
    "distilbert": {"tie_weights_": True, "sinusoidal_pos_embds": False, "qa_dropout": 0.2},
    "albert": {"down_scale_factor": 1, "gap_size": 0, "net_structure_type": 0, "num_memory_blocks": 0},
    "mobilebert": {"true_hidden_size": 15},
    "xlnet": {"d_head": 4, "start_n_top": 5, "end_n_top": 5, "untie_r": True, "n_token": V},
    "bart": {"classif_dropout": 0.1, "num_hidden_layers": 2, "extra_pos_embeddings": 2, "prefix": " "}
    | {"_num_labels": C, "task_specific_params": {"summarization": {"num_beams": 4}}},
}


@pytest.mark.parametrize("family", PUBLISHED)
def test_settings_that_published_configs_have_are_known(tmp_path, family):
    silent(put(tmp_path, family, **PUBLISHED[family]))


@pytest.mark.parametrize("family", [family for family in ALL if family not in ("roberta", "bart")])
def test_a_model_may_have_no_padding_token(tmp_path, family):
    loaded = silent(put(tmp_path / "a", family, pad_token_id=None))
    assert loaded.config.pad_token_id is None
    save_pretrained(tmp_path / "b", loaded)
    assert json.loads((tmp_path / "b" / "config.json").read_text())["pad_token_id"] is None


@pytest.mark.many
@pytest.mark.parametrize(
    ("name", "same"),
    [("gelu_python", "gelu"), ("gelu_fast", "gelu_new"), ("gelu_accurate", "gelu_new"), ("swish", "silu")],
)
@pytest.mark.parametrize("family", ALL)
def test_an_activation_may_have_another_name(tmp_path, family, name, same):
    theirs = FAMILIES[family].field_names.get("hidden_act", "hidden_act")
    one = silent(put(tmp_path / "a", family, **{theirs: name}))
    other = silent(put(tmp_path / "b", family, **{theirs: same}))
    ids = torch.where(IDS == 2, 5, IDS)[:2]
    assert_close(one(ids).last_hidden_state, other(ids).last_hidden_state, 1e-6)
    save_pretrained(tmp_path / "c", one)
    assert json.loads((tmp_path / "c" / "config.json").read_text())[theirs] == name


# ------------------------------------------------------------------------------------ labels and problem


@pytest.mark.many
@pytest.mark.parametrize("family", ALL)
@pytest.mark.parametrize(
    ("changes", "labels"),
    [
        ({"num_labels": C}, [f"LABEL_{i}" for i in range(C)]),
        ({"id2label": None, "num_labels": C}, [f"LABEL_{i}" for i in range(C)]),
        ({"_num_labels": C}, [f"LABEL_{i}" for i in range(C)]),
        ({"label2id": {name: i for i, name in enumerate("uvwxyz")}}, [*"uvwxyz"]),
        ({"id2label": {str(i): name for i, name in reversed([*enumerate("uvwxyz")])}}, [*"uvwxyz"]),
        ({"id2label": {str(i): i for i in range(C)}}, [*"012345"]),
    ],
    ids=["number", "null and a number", "old name", "label2id alone", "in another order", "numbers"],
)
def test_labels_are_found_wherever_they_stand(tmp_path, family, changes, labels):
    folder = put(tmp_path, family, TEXTS, without=({"id2label", "label2id"} - changes.keys()), **changes)
    assert [*silent(folder, TEXTS).config.labels] == labels


@pytest.mark.parametrize("family", ALL)
@pytest.mark.parametrize("head", [None, TEXTS])
def test_the_problem_and_the_labels_survive_a_round_trip(tmp_path, family, head):
    put(tmp_path / "a", family, TEXTS, problem_type="multi_label_classification")
    save_pretrained(tmp_path / "b", from_pretrained(tmp_path / "a", head))
    again = from_pretrained(tmp_path / "b").config
    assert (again.problem_type, again.labels) == ("multi_label_classification", tuple("abcdef"))


TARGETS = {
    "regression": (torch.randn(2, C, generator=torch.Generator().manual_seed(0)), nn.MSELoss()),
    "multi_label_classification": (torch.eye(C)[:2] + torch.eye(C)[3], nn.BCEWithLogitsLoss()),
    "single_label_classification": (torch.tensor([1, 4]), nn.CrossEntropyLoss()),
}


@pytest.mark.many
@pytest.mark.parametrize("family", ALL)
@pytest.mark.parametrize("problem", TARGETS)
def test_the_problem_that_a_config_names_is_the_one_that_is_trained(tmp_path, family, problem):
    model = silent(put(tmp_path, family, TEXTS, problem_type=problem), TEXTS)
    labels, loss = TARGETS[problem]
    ids, mask = IDS[:2].clone(), MASK[:2]
    ids[ids == 2] = 5
    ids[0, 6] = ids[1, 3] = 2
    optimiser = torch.optim.SGD(model.parameters(), lr=1e-2)
    output = model(ids, mask, labels=labels)
    assert_close(output.loss, loss(output.logits, labels), 1e-5)
    output.loss.backward()
    optimiser.step()
    assert model(ids, mask, labels=labels).loss < output.loss


# -------------------------------------------------------------------------------------------- tied tables


@pytest.mark.parametrize("family", ALL)
def test_an_untied_table_matters_to_the_head_that_uses_it_alone(tmp_path, family):
    head = LM.get(family, "masked-lm")
    folder = put(tmp_path, family, head, tie_word_embeddings=False)
    if family == "bart":  # there, tied also means that encoder and decoder have one table
        path = folder / "config.json"
        path.write_text(path.read_text().replace('"tie_word_embeddings": false', '"tie_word_embeddings": true'))
    table = next(copy for copy in FAMILIES[family].copies if copy.endswith("weight"))
    tensors = load_file(folder / "model.safetensors")
    save_file({**tensors, table: torch.randn(V, ALL[family].output_embedding_size)}, folder / "model.safetensors")
    with pytest.warns(UserWarning, match=f"no use for, such as '{table}'"):
        from_pretrained(folder)
    with expect_refusal(table, "untied"):
        from_pretrained(folder, head)
    words = tensors[FAMILIES[family].copies[table]]
    save_file({**tensors, table: words.clone()}, folder / "model.safetensors")
    silent(folder, head)  # equal tables: the same numbers


@pytest.mark.parametrize("family", [family for family in ALL if family != "bart"])
def test_an_untied_head_needs_its_own_table(tmp_path, family):
    folder = put(tmp_path, family, LM.get(family, "masked-lm"), tie_word_embeddings=False)
    silent(folder)
    with expect_refusal("tie_word_embeddings to False", "only True"):
        from_pretrained(folder, LM.get(family, "masked-lm"))


# --------------------------------------------------------------------------------- how texts are written


def test_the_tokens_that_writing_needs_may_be_in_a_file_of_their_own(tmp_path):
    folder = put(tmp_path, "bart", without=("forced_bos_token_id",))
    (folder / "generation_config.json").write_text('{"forced_bos_token_id": 4, "forced_eos_token_id": 5}')
    config = read_config(folder)
    assert (config.forced_bos_token_id, config.forced_eos_token_id) == (4, 2)  # config.json's own come first
    (folder / "generation_config.json").unlink()
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "force_bos_token_to_be_generated": True}))
    assert read_config(folder).forced_bos_token_id == 0
