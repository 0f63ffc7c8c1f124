"""Checkpoints: names and shapes as published, what is saved comes back, and every damaged input has its sentence."""

from __future__ import annotations

import errno
import json
import os
import pickle
import re
import shutil
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny import BATCH, CONFIGS, EVERY_MODEL, FAMILIES, GOLDEN, IDS, V, assert_close, expect_refusal, tiny
from torch import Tensor, nn

from minibert import checkpoints
from minibert.checkpoints import from_pretrained, load, read_config, save_pretrained
from minibert.factory import build
from minibert.heads import HEADS
from minibert.models import FAMILIES as DECLARED
from minibert.models.bert import Bert
from minibert.models.family import NUMBER
from minibert.tokenizers import WordPiece, load_tokenizer


@pytest.fixture
def saved(tmp_path) -> Callable[..., Path]:
    """A function: a tiny model of that family and head, saved to a folder of its own."""

    def save(family: str = "bert", head: str | None = None, **changes) -> Path:
        folder = tmp_path / "model"
        save_pretrained(folder, tiny(family, head, **changes).float())
        return folder

    return save


def rewrite(folder: Path, change: Callable[[dict[str, Tensor]], dict[str, Tensor] | None]) -> Path:
    """Let `change` edit the tensors of a folder, in place or by returning others."""
    path = folder / "model.safetensors"
    tensors = load_file(path)
    save_file(change(tensors) or tensors, path)
    return folder


def configure(folder: Path, **changes) -> Path:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    return folder


def as_bin(folder: Path, content: object = None) -> Path:
    """Put pytorch_model.bin, by default with the same tensors, in the place of model.safetensors."""
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save(tensors if content is None else content, folder / "pytorch_model.bin")
    return folder


def same(model: nn.Module, other: nn.Module) -> bool:
    """The same parameters, bit by bit, and the same config; a model without classes need not name them."""
    ours, theirs = model.state_dict(), other.state_dict()
    labels = other.config.labels if hasattr(other, "classifier") else model.config.labels
    return (
        model.config == replace(other.config, labels=labels)
        and list(ours) == list(theirs)
        and all(ours[name].dtype == theirs[name].dtype and torch.equal(ours[name], theirs[name]) for name in ours)
    )


def quiet(source: Path, head: str | None = None) -> nn.Module:
    """Load, and fail on any warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return from_pretrained(source, head)


# ------------------------------------------------------------------------------------------ key tables


def test_every_family_is_tried_and_every_head_has_a_class_of_its_own():
    assert {*FAMILIES, "xlnet", "bart"} == set(DECLARED)  # test_xlnet.py and test_bart.py have their own
    assert len({head.architecture for head in HEADS.values()}) == len(HEADS)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_key_table_is_a_bijection(family):
    """Over all heads of a family: every entry is used, no two tensors share a name, and the way back is the way."""
    style, used = DECLARED[family], set()
    for head in (head for name, head in EVERY_MODEL if name == family):
        names = [name.removeprefix("backbone.") for name in tiny(family, head, num_hidden_layers=12).state_dict()]
        theirs = [style.theirs(name) for name in names]
        assert len(set(theirs)) == len(theirs)
        assert [style.ours(name) for name in theirs] == names
        used |= {re.sub(NUMBER, "{}", name.rpartition(".")[0]) for name in names}
    assert used == set(style.keys)
    assert len(set(style.keys.values())) == len(style.keys)
    assert set(style.copies.values()) <= {style.theirs(name) for name in ("embeddings.word.weight", "lm.bias")}
    for unknown in ("hello.weight", "bert.embeddings.word_embeddings.gamma", "bert.encoder.layer.x.output.dense.bias"):
        assert style.ours(unknown) is None


@pytest.mark.parametrize("name", GOLDEN)
def test_the_names_and_shapes_we_write_are_the_published_ones(golden, tmp_path, name):
    folder, _ = golden(name)
    save_pretrained(tmp_path, quiet(folder, GOLDEN[name]))
    ours, theirs = load_file(tmp_path / "model.safetensors"), load_file(folder / "model.safetensors")
    assert {key: tensor.shape for key, tensor in ours.items()} == {key: tensor.shape for key, tensor in theirs.items()}
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)
    written, published = (json.loads((place / "config.json").read_text()) for place in (tmp_path, folder))
    # their defaults that say nothing about our models
    for key in ("bos_token_id", "eos_token_id", "transformers_version", "use_cache", "qa_dropout"):
        published.pop(key, None)
    assert {key: written.get(key, "absent") for key in published} == published


# ----------------------------------------------------------------------------------------- round trips


@pytest.mark.many
@pytest.mark.parametrize(("family", "head"), EVERY_MODEL)
def test_what_is_saved_comes_back_bit_by_bit(tmp_path, family, head):
    changes = {"hidden_act": "relu", "hidden_dropout_prob": 0.3, "attention_probs_dropout_prob": 0.2}
    changes |= {"classifier_dropout": 0.25, "initializer_range": 0.01, "pad_token_id": 1}
    if family != "distilbert":
        changes |= {"layer_norm_eps": 0.125, "type_vocab_size": 3}
    model = tiny(family, head, **changes).float()
    save_pretrained(tmp_path / "a" / "b", model)
    assert sorted(path.name for path in (tmp_path / "a" / "b").iterdir()) == ["config.json", "model.safetensors"]
    again = quiet(tmp_path / "a" / "b", head)
    assert same(again, model)
    assert not again.training
    assert torch.equal(again(**BATCH).last_hidden_state, model(**BATCH).last_hidden_state)
    assert all(parameter.requires_grad for parameter in again.parameters())


def test_saving_again_replaces_the_earlier_checkpoint(saved):
    folder = saved()
    (folder / "notes.txt").write_text("mine")
    other = tiny(seed=1).float()
    save_pretrained(folder, other)
    assert same(quiet(folder), other)
    assert (folder / "notes.txt").read_text() == "mine"


def test_the_tokenizer_is_saved_along(tmp_path):
    tok = WordPiece({"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, "[MASK]": 4, "hello": 5})
    save_pretrained(tmp_path, tiny().float(), tok)
    assert load_tokenizer(tmp_path).vocabulary == tok.vocabulary
    (tmp_path / "tokenizer.json").write_text("{}")
    with expect_refusal("has a tokenizer.json"):
        save_pretrained(tmp_path, tiny().float(), tok)


def test_a_loaded_model_does_not_depend_on_its_file(saved):
    path = saved() / "model.safetensors"
    model = quiet(path.parent)
    with path.open("r+b") as file:  # in place, as another program might
        file.seek(path.stat().st_size // 2)
        file.write(bytes(path.stat().st_size // 2))
    assert same(model, tiny().float())


def test_the_labels_keep_their_names_and_order(saved):
    labels = tuple(f"class {i}" for i in range(12))  # 10 comes after 9, and not after 1
    assert (
        quiet(saved(head="sequence-classification", labels=labels), "sequence-classification").config.labels == labels
    )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_of_another_precision_become_float32(saved, dtype):
    folder = rewrite(saved(), lambda tensors: {name: tensor.to(dtype) for name, tensor in tensors.items()})
    expected = tiny().float().to(dtype).float().state_dict()
    for name, tensor in quiet(folder).state_dict().items():
        assert_close(tensor, expected[name], 0.0)


# ------------------------------------------------------------------------------------ what files differ in


@pytest.mark.parametrize(("family", "head"), [("bert", "masked-lm"), ("albert", "masked-lm"), ("distilbert", None)])
def test_names_with_and_without_the_base_prefix(saved, family, head):
    prefix = f"{family}."

    def toggle(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        if head is None:
            return {prefix + name: tensor for name, tensor in tensors.items()}
        assert any(name.startswith(prefix) for name in tensors)
        return {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}

    assert same(quiet(rewrite(saved(family, head), toggle), head), tiny(family, head).float())


def test_a_bare_model_is_written_without_the_prefix_and_one_with_a_head_with_it(saved):
    assert "embeddings.word_embeddings.weight" in load_file(saved() / "model.safetensors")
    assert "bert.embeddings.word_embeddings.weight" in load_file(saved(head="masked-lm") / "model.safetensors")


def test_old_names_of_scale_and_shift(saved):
    def age(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        old = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}
        aged = {}
        for name, tensor in tensors.items():
            tail = ".".join(name.split(".")[-2:])
            aged[name.removesuffix(tail) + old.get(tail, tail)] = tensor
        assert sum(name.endswith((".gamma", ".beta")) for name in aged) == 2 * (1 + 2 * 2 + 1)
        return aged

    assert same(quiet(rewrite(saved(head="pretraining"), age), "pretraining"), tiny(head="pretraining").float())


@pytest.mark.parametrize("name", ["embeddings.position_ids", "bert.embeddings.position_ids"])
def test_numbered_positions_are_dropped(saved, name):
    folder = rewrite(saved(), lambda tensors: tensors.update({name: torch.arange(9)[None]}))
    assert same(quiet(folder), tiny().float())


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("stored", ["once", "twice", "only as the copy"])
def test_tied_tensors_may_stand_once_or_twice(saved, family, stored):
    def tie(tensors: dict[str, Tensor]) -> None:
        for copy, original in DECLARED[family].copies.items():
            if stored != "once":
                tensors[copy] = tensors[original].clone()
            if stored == "only as the copy":
                del tensors[original]

    assert same(quiet(rewrite(saved(family, "masked-lm"), tie), "masked-lm"), tiny(family, "masked-lm").float())


@pytest.mark.parametrize(
    ("family", "copy"), [(family, copy) for family in FAMILIES for copy in DECLARED[family].copies]
)
def test_tied_tensors_that_contradict_each_other_are_refused(saved, family, copy):
    original = DECLARED[family].copies[copy]
    folder = rewrite(saved(family, "masked-lm"), lambda tensors: tensors.update({copy: tensors[original] + 1}))
    with expect_refusal(copy, "differs from", original, "tied"):
        from_pretrained(folder, "masked-lm")


def test_the_older_file_of_weights(saved):
    assert same(quiet(as_bin(saved())), tiny().float())


def test_weights_in_several_files(saved):
    folder = saved()
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    weight_map = {name: f"model-{i % 3}.safetensors" for i, name in enumerate(tensors)}
    for file in set(weight_map.values()):
        save_file({name: tensors[name] for name in tensors if weight_map[name] == file}, folder / file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    assert same(quiet(folder), tiny().float())
    (folder / "model-1.safetensors").unlink()
    with expect_refusal("model-1.safetensors cannot be read"):
        from_pretrained(folder)


# -------------------------------------------------------------------------------------- parts that lack


@pytest.mark.parametrize(
    ("family", "held", "head", "lacking"),
    [
        ("bert", None, "sequence-classification", "classifier"),
        ("bert", "masked-lm", "sequence-classification", "classifier, pooler"),
        ("bert", None, "pretraining", "lm, pair"),
        ("distilbert", "masked-lm", "sequence-classification", "dense, classifier"),
        ("albert", "pretraining", "question-answering", "span"),
    ],
)
def test_a_head_that_the_file_lacks_starts_afresh_with_a_warning(saved, family, held, head, lacking):
    folder = saved(family, held)

    def load() -> nn.Module:
        torch.manual_seed(0)
        with pytest.warns(UserWarning, match=f"no weights for {lacking} .*random") as caught:
            model = from_pretrained(folder, head)
        assert [warning.filename for warning in caught] == [__file__]
        return model

    model = load()
    assert same(model, load())
    torch.manual_seed(1)
    with pytest.warns(UserWarning, match="random"):
        assert not same(model, from_pretrained(folder, head))
    given = tiny(family, held).state_dict()
    for name, parameter in model.named_parameters():
        short = name.removeprefix("backbone.")
        key = name if name in given else short
        if short.split(".")[0] in lacking.split(", "):
            assert parameter.isfinite().all()
            assert parameter.abs().max() <= (0.04 if parameter.dim() == 2 else 1.0), name
            assert parameter.any() or name.endswith("bias"), name
        else:
            assert torch.equal(parameter, given[key].float()), name
    assert model(**BATCH).logits.isfinite().all()


def test_a_bare_model_takes_what_there_is_and_leaves_out_a_pooler_that_is_not(saved):
    assert quiet(saved("bert", "masked-lm")).pooler is None
    assert quiet(saved("bert", "pretraining")).pooler is not None
    assert same(
        quiet(saved("bert", "sequence-classification")), tiny("bert", "sequence-classification").backbone.float()
    )


def test_a_head_that_is_there_in_part_is_refused(saved):
    folder = saved(head="masked-lm")
    lose("cls.predictions.bias")(folder)
    with expect_refusal("lacks 1 tensor(s)", "'cls.predictions.bias'"):
        from_pretrained(folder, "masked-lm")


# ------------------------------------------------------------------------------------ what is left over


@pytest.mark.parametrize(
    "name", ["loss_fct.weight", "distilbert.transformer.layer.0.ffn.lin1.bias", "bert.extra.weight"]
)
@pytest.mark.parametrize("head", [None, "sequence-classification"])
def test_a_tensor_that_nobody_asked_for_has_a_warning(saved, name, head):
    folder = saved("bert", head)
    rewrite(folder, lambda tensors: tensors.update({name: torch.ones(3)}))
    with pytest.warns(UserWarning, match=f"holds 1 tensor.* no use for, such as '{name}'"):
        loaded = from_pretrained(folder, head)
    assert same(loaded, tiny("bert", head).float())


def test_a_layer_of_a_head_that_nobody_asked_for_may_be_strange(saved):
    def add(tensors: dict[str, Tensor]) -> None:
        tensors["classifier.0.weight"] = tensors.pop("classifier.weight")

    folder = rewrite(saved("bert", "sequence-classification"), add)
    with pytest.warns(UserWarning, match="classifier.0.weight"):
        assert same(from_pretrained(folder), tiny().float())


def test_weights_of_another_model_are_noticed_by_what_is_missing(saved):
    folder = saved("distilbert")
    configure(folder, model_type="bert")
    with warnings.catch_warnings(), expect_refusal("lacks", "does model_type in config.json match the weights?"):
        warnings.simplefilter("ignore")
        from_pretrained(folder)


def in_parts(folder: Path, kind: str) -> Path:
    """The weights in three files and their index, as large models have them."""
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    stem, end = ("pytorch_model", "bin") if kind == "bin" else ("model", "safetensors")
    weight_map = {name: f"{stem}-{i % 3 + 1:05}-of-00003.{end}" for i, name in enumerate(tensors)}
    for file in set(weight_map.values()):
        part = {name: tensors[name] for name in tensors if weight_map[name] == file}
        torch.save(part, folder / file) if kind == "bin" else save_file(part, folder / file)
    (folder / f"{stem}.{end}.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    return folder


@pytest.mark.parametrize("kind", ["bin", "safetensors"])
@pytest.mark.parametrize(("family", "head"), [("bert", None), ("albert", "masked-lm"), ("roberta", "masked-lm")])
def test_weights_in_several_files_of_either_kind(saved, kind, family, head):
    assert same(quiet(in_parts(saved(family, head), kind), head), tiny(family, head).float())


@pytest.mark.parametrize("kind", ["bin", "safetensors"])
@pytest.mark.parametrize(
    ("damage", "parts"),
    [
        (lambda part: part.unlink(), ("00002-of-00003", "cannot be read", "not there")),
        (lambda part: part.write_bytes(part.read_bytes()[:-50]), ("00002-of-00003", "cannot be read", "truncated")),
        (lambda part: (part.parent / "config.json").rename(part), ("00002-of-00003",)),
    ],
    ids=["lost", "cut", "another file"],
)
def test_a_part_that_is_damaged_is_named(saved, kind, damage, parts):
    folder = in_parts(saved(), kind)
    said = (folder / "config.json").read_text()
    damage(next(folder.glob("*00002-of-00003*")))
    (folder / "config.json").write_text(said)
    with expect_refusal(*parts):
        from_pretrained(folder)


@pytest.mark.parametrize("elsewhere", ["../other.bin", "/etc/passwd", "sub/part.bin"])
def test_an_index_names_files_of_its_own_folder(saved, elsewhere):
    folder = in_parts(saved(), "bin")
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": {"a": elsewhere}}))
    with expect_refusal(elsewhere, "not a file of its own folder"):
        from_pretrained(folder)


# ------------------------------------------------------------------------------------ what cannot be saved


def dynamically_quantised(model: nn.Module) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.ao.quantization.quantize_dynamic(model, {nn.Linear})


def with_a_layer_more(model: nn.Module) -> nn.Module:
    model.encoder.blocks[0].attention.query = nn.Sequential(model.encoder.blocks[0].attention.query)
    return model


def with_whole_numbers(model: nn.Module) -> nn.Module:
    model.embeddings.word.weight = nn.Parameter(torch.ones(V, 12, dtype=torch.int8), requires_grad=False)
    return model


@pytest.mark.parametrize("change", [dynamically_quantised, with_a_layer_more, with_whole_numbers])
def test_a_model_whose_layers_were_replaced_is_not_saved(tmp_path, change):
    with expect_refusal("no weight of a Bert", "quantised"):
        save_pretrained(tmp_path / "new", change(tiny().float()))
    assert not (tmp_path / "new").exists()


def test_a_model_without_numbers_is_not_saved(tmp_path):
    with torch.device("meta"):
        model = build(CONFIGS["bert"])
    with expect_refusal("meta device", "no numbers"):
        save_pretrained(tmp_path / "new", model)


def test_a_compiled_model_is_saved_as_it_was(tmp_path):
    save_pretrained(tmp_path, torch.compile(tiny().float(), backend="eager"))
    assert same(quiet(tmp_path), tiny().float())


# --------------------------------------------------------------------------------------- broken folders


def without(name: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).unlink()


def config(text: str) -> Callable[[Path], object]:
    return lambda folder: (folder / "config.json").write_text(text)


def setting(**changes) -> Callable[[Path], object]:
    return lambda folder: configure(folder, **changes)


def weights(content: bytes, name: str = "model.safetensors") -> Callable[[Path], object]:
    def put(folder: Path) -> None:
        (folder / "model.safetensors").unlink()
        (folder / name).write_bytes(content)

    return put


def cut(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def cut_bin(folder: Path) -> None:
    path = as_bin(folder) / "pytorch_model.bin"
    path.write_bytes(path.read_bytes()[:-100])


def lose(name: str) -> Callable[[Path], object]:
    return lambda folder: rewrite(folder, lambda tensors: {key: tensors[key] for key in tensors if key != name})


def gain(name: str, *shape: int) -> Callable[[Path], object]:
    return lambda folder: rewrite(folder, lambda tensors: tensors.update({name: torch.zeros(shape)}))


def bin_with(content: object) -> Callable[[Path], object]:
    return lambda folder: as_bin(folder, content)


INDEX, BIN = "model.safetensors.index.json", "pytorch_model.bin"
LAST_BIAS = "encoder.layer.1.output.dense.bias"


def quantised(folder: Path) -> None:
    rewrite(folder, lambda tensors: {key: tensor.to(torch.int8) for key, tensor in tensors.items()})


BROKEN = {
    "no config": (without("config.json"), ("has no config.json",)),
    "empty config": (config(""), ("config.json cannot be read as JSON",)),
    "bad JSON": (config('{"model_type": "bert",'), ("config.json cannot be read as JSON", "line 1")),
    "a list": (config("[1, 2]"), ("config.json must hold a JSON object", "a list")),
    "nothing said": (config("{}"), ("config.json does not say which model", '"model_type"')),
    "a number": (config("3"), ("config.json must hold a JSON object",)),
    "no model_type": (config("{}"), ("config.json does not say which model",)),
    "unknown model_type": (
        setting(model_type="gpt2"),
        ("model_type 'gpt2'", "bert, roberta, distilbert, albert"),
    ),
    "strange model_type": (setting(model_type=["bert"]), ("model_type ['bert']", "reads bert")),
    "size that is text": (setting(hidden_size="12"), ("config.json cannot be used", "hidden_size is '12'")),
    "unknown activation": (setting(hidden_act="laplace"), ("config.json cannot be used", "'laplace'")),
    "relative positions": (setting(position_embedding_type="relative_key"), ("position_embedding_type", "'absolute'")),
    "a decoder": (setting(is_decoder=True), ("is_decoder to True", "only False")),
    "labels as a list": (setting(id2label=["a"]), ("config.json", "id2label", "negative")),
    "labels that do not begin at 0": (setting(id2label={"1": "a", "2": "b"}), ("id2label", "from 0 on")),
    "labels that leave one out": (setting(id2label={"0": "a", "2": "b"}), ("id2label", "from 0 on")),
    "a label without a name": (setting(id2label={"0": None}), ("id2label", "from 0 on")),
    "no number of labels": (setting(id2label=None, num_labels="3"), ("num_labels to '3'", "integer")),
    "two numbers of labels": (setting(id2label={"0": "a"}, num_labels=3), ("num_labels to 3", "names 1 classes")),
    "labels without numbers": (setting(id2label={"x": "a"}), ("id2label", "negative")),
    "no labels": (setting(id2label={}), ("config.json cannot be used", "name the classes")),
    "no weights": (without("model.safetensors"), ("neither model.safetensors nor pytorch_model.bin",)),
    "empty weights": (weights(b""), ("model.safetensors cannot be read", "truncated")),
    "weights that are text": (weights(b"hello world"), ("model.safetensors cannot be read",)),
    "truncated weights": (cut, ("model.safetensors cannot be read", "truncated", "again")),
    "empty .bin": (weights(b"", BIN), ("pytorch_model.bin cannot be read", "EOFError")),
    "a .bin that is text": (weights(b"hello world", BIN), ("pytorch_model.bin cannot be read",)),
    "truncated .bin": (cut_bin, ("pytorch_model.bin cannot be read", "truncated")),
    "a .bin with a list": (bin_with([torch.zeros(2)]), ("pytorch_model.bin must hold tensors", "state_dict")),
    "a .bin with a whole run": (bin_with({"model": {}, "epoch": 3}), ("must hold tensors", "state_dict")),
    "a .bin with numbers for names": (bin_with({1: torch.zeros(2)}), ("must hold tensors by name",)),
    "index without map": (weights(b"{}", INDEX), (f"{INDEX} cannot be read",)),
    "index that is a list": (weights(b"[]", INDEX), (f"{INDEX} cannot be read",)),
    "index with a list": (weights(b'{"weight_map": []}', INDEX), (f"{INDEX} cannot be read",)),
    "missing tensor": (lose(LAST_BIAS), ("lacks 1 tensor(s)", f"'bert.{LAST_BIAS}'")),
    "missing layer": (
        setting(num_hidden_layers=3),
        ("lacks 16 tensor(s)", "bert.encoder.layer.2", "number of layers"),
    ),
    "layer left over": (setting(num_hidden_layers=1), ("16 tensor(s)", "bert.encoder.layer.1", "number of layers")),
    "tensor left over in a block": (
        gain("encoder.layer.1.attention.self.distance_embedding.weight", 3),
        ("1 tensor(s)", "Bert has no place for", "'encoder.layer.1.attention.self.distance_embedding.weight'"),
    ),
    "tensor left over in a layer": (gain("embeddings.LayerNorm.extra", 3), ("Bert has no place for", "extra")),
    "quantised weights": (quantised, ("holds torch.int8", "quantised", "float32")),
    "wrong shape": (gain(LAST_BIAS, 13), (f"bert.{LAST_BIAS} has shape (13,)", "(12,)")),
    "wrong sizes": (setting(hidden_size=24), ("word_embeddings.weight has shape (31, 12)", "(31, 24)")),
    "wrong vocabulary": (setting(vocab_size=30), ("word_embeddings.weight has shape (31, 12)", "(30, 12)")),
}


@pytest.mark.many
@pytest.mark.parametrize(("damage", "parts"), BROKEN.values(), ids=BROKEN)
def test_a_broken_folder_is_refused_with_a_sentence(saved, damage, parts):
    folder = saved()
    damage(folder)
    with expect_refusal(*parts) as caught:
        from_pretrained(folder)
    assert str(folder) in str(caught.value), "the sentence says where"
    assert "\n" not in str(caught.value)


def test_a_folder_that_is_not_there(tmp_path):
    with expect_refusal("nowhere"):
        from_pretrained(tmp_path / "nowhere")


class Evil:
    """Runs a command when it is unpickled."""

    def __init__(self, trace: Path):
        self.trace = trace

    def __reduce__(self):
        return os.system, (f"touch {self.trace}",)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("plain", [True, False], ids=["bare pickle", "torch file"])
def test_a_pickle_with_code_in_it_is_refused_and_never_run(saved, tmp_path, plain):
    trace = tmp_path / "was-run"
    content = {"embeddings.word_embeddings.weight": Evil(trace)}
    pickle.loads(pickle.dumps(content))
    assert trace.exists(), "the command works"
    trace.unlink()

    folder = as_bin(saved(), content)
    if plain:
        (folder / BIN).write_bytes(pickle.dumps(content))
    with expect_refusal(
        "pytorch_model.bin was not loaded", "only tensors", *(() if plain else ("system", "do not trust"))
    ):
        from_pretrained(folder)
    assert not trace.exists()


# ---------------------------------------------------------------------------------------------- saving


def full_disk(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


class FullDiskTokenizer:
    def check_folder(self, folder: Path) -> None:
        pass

    def files(self) -> dict:
        return {"vocab.txt": full_disk}


@pytest.mark.parametrize("where", ["weights", "tokenizer"])
def test_a_full_disk_leaves_the_earlier_checkpoint_as_it_was(saved, monkeypatch, where):
    folder = saved()
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    if where == "weights":
        monkeypatch.setattr(checkpoints, "save_file", full_disk)
    with expect_refusal(str(folder), "cannot be written", "No space left", "the free space"):
        save_pretrained(folder, tiny("albert").float(), FullDiskTokenizer())
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_full_disk_leaves_no_new_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints, "save_file", full_disk)
    with expect_refusal("model.safetensors cannot be written"):
        save_pretrained(tmp_path / "new", tiny().float())
    assert not list(tmp_path.iterdir())


def test_a_place_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "taken").write_text("mine")
    with expect_refusal("taken", "cannot be written"):
        save_pretrained(tmp_path / "taken", tiny().float())
    assert (tmp_path / "taken").read_text() == "mine"


@pytest.mark.parametrize(
    ("setting", "value"), [("layer_norm_eps", 0.001), ("type_vocab_size", 2)], ids=lambda value: str(value)
)
def test_a_setting_that_the_format_cannot_hold_is_refused(tmp_path, setting, value):
    model = build(replace(CONFIGS["distilbert"], **{setting: value}))
    with expect_refusal(f"{setting} is {value}", "distilbert", "cannot be saved"):
        save_pretrained(tmp_path / "new", model)
    assert not (tmp_path / "new").exists()


def test_only_models_of_the_family_can_be_saved(tmp_path):
    with expect_refusal("Linear cannot be saved", "build()"):
        save_pretrained(tmp_path / "new", nn.Linear(2, 2))
    assert not (tmp_path / "new").exists()
    with expect_refusal("cannot be saved", "save_pretrained(folder, model)"):
        save_pretrained(build(CONFIGS["bert"]), tmp_path / "new")  # in the wrong order


def test_the_config_says_which_class_reads_it(saved):
    for head in (None, *Bert.heads):
        folder = saved("bert", head)
        ending = "Model" if head is None else HEADS[head].architecture
        assert json.loads((folder / "config.json").read_text())["architectures"] == [f"Bert{ending}"]
        shutil.rmtree(folder)


@pytest.mark.parametrize(
    ("published", "expected"),
    [
        (
            {"model_type": "bert", "hidden_dropout_prob": 0.3, "attention_probs_dropout_prob": 0.2}
            | {"classifier_dropout": 0.4, "layer_norm_eps": 0.5, "type_vocab_size": 3, "hidden_act": "relu"},
            {"hidden_dropout_prob": 0.3, "attention_probs_dropout_prob": 0.2, "classifier_dropout": 0.4}
            | {"layer_norm_eps": 0.5, "type_vocab_size": 3, "hidden_act": "relu"},
        ),
        (
            {"model_type": "distilbert", "dim": 24, "n_layers": 5, "n_heads": 8, "hidden_dim": 40, "dropout": 0.3}
            | {"attention_dropout": 0.2, "seq_classif_dropout": 0.4, "activation": "relu", "vocab_size": 96},
            {"hidden_size": 24, "num_hidden_layers": 5, "num_attention_heads": 8, "intermediate_size": 40}
            | {"hidden_dropout_prob": 0.3, "attention_probs_dropout_prob": 0.2, "classifier_dropout": 0.4}
            | {"hidden_act": "relu", "vocab_size": 96},
        ),
        (
            {"model_type": "albert", "embedding_size": 10, "num_hidden_groups": 3, "classifier_dropout_prob": 0.4},
            {"embedding_size": 10, "num_hidden_groups": 3, "classifier_dropout": 0.4},
        ),
        (
            {"model_type": "roberta", "pad_token_id": 3, "max_position_embeddings": 30, "classifier_dropout": 0.4},
            {"pad_token_id": 3, "max_length": 26, "dense_dropout": 0.4, "layer_norm_eps": 1e-12},
        ),
        (
            {"model_type": "mobilebert", "intra_bottleneck_size": 64, "key_query_shared_bottleneck": False}
            | {"num_feedforward_networks": 2, "normalization_type": "layer_norm", "trigram_input": False},
            {"intra_bottleneck_size": 64, "key_query_shared_bottleneck": False, "use_bottleneck_attention": False}
            | {"num_feedforward_networks": 2, "normalization_type": "layer_norm", "trigram_input": False}
            | {"use_bottleneck": True, "classifier_activation": True, "embedding_size": 128},
        ),
    ],
    ids=("bert", "distilbert", "albert", "roberta", "mobilebert"),
)
def test_settings_are_read_under_the_names_that_each_family_uses(tmp_path, published, expected):
    (tmp_path / "config.json").write_text(json.dumps(published))
    config = read_config(tmp_path)
    assert {name: getattr(config, name) for name in expected} == expected


def test_settings_that_a_config_leaves_out_have_the_values_that_its_readers_take(tmp_path):
    """The ecosystem's own defaults, which are not always those of the smallest published model."""
    for family, values in {
        "bert": {},
        "distilbert": {},
        "mobilebert": {},
        "albert": {"hidden_size": 4096, "num_attention_heads": 64, "intermediate_size": 16384},
        "roberta": {"max_position_embeddings": 512, "type_vocab_size": 2, "layer_norm_eps": 1e-12},
    }.items():
        (tmp_path / "config.json").write_text(json.dumps({"model_type": family}))
        assert read_config(tmp_path) == DECLARED[family].config(**values)


def test_the_asset_is_found_by_its_name(minilm_folder):
    model = quiet("minilm-l6")
    assert model.config.num_hidden_layers == 6
    assert model.pooler is not None
    assert same(model, quiet(minilm_folder))
    assert model(IDS % V).last_hidden_state.isfinite().all()


# --------------------------------------------------------------------------------- what the loader says


def test_the_loader_says_which_parts_are_fresh(saved):
    assert load(saved("bert", None), "sequence-classification").fresh == ("classifier",)
    assert load(saved("bert", "masked-lm"), "pretraining").fresh == ("pair", "pooler")
    assert load(saved("bert", "pretraining"), "masked-lm").fresh == ()
    assert load(saved("bert", "masked-lm")).fresh == ()  # a bare model does without the pooler


def test_a_surplus_layer_of_a_head_is_noticed_too(saved):
    def add(tensors: dict[str, Tensor]) -> None:
        tensors["classifier.0.weight"] = tensors["classifier.weight"].clone()

    with expect_refusal("classifier.0.weight"):
        load(rewrite(saved("bert", "sequence-classification"), add), "sequence-classification")


def test_a_table_may_name_whole_parameters_and_buffers():
    """A row without weight or bias below it, as XLNet's mask_emb and BART's final_logits_bias are."""
    bert = DECLARED["bert"]
    family = replace(bert, keys={**bert.keys, "mask": "bert.mask_emb", "encoder.blocks.{}.mix": "bert.layer.{}.mix.q"})
    for ours, theirs in (("mask", "bert.mask_emb"), ("encoder.blocks.11.mix", "bert.layer.11.mix.q")):
        assert family.theirs(ours) == theirs
        assert family.ours(theirs) == ours
    assert family.theirs("lm.bias") == "cls.predictions.bias"
    assert family.ours("bert.layer.x.mix.q") is None


def test_the_problem_type_is_kept(tmp_path):
    model = build(replace(CONFIGS["bert"], problem_type="regression", labels=("score",)), "sequence-classification")
    save_pretrained(tmp_path, model)
    assert read_config(tmp_path).problem_type == "regression"
    (tmp_path / "config.json").write_text('{"model_type": "bert", "problem_type": "guessing"}')
    with expect_refusal("problem_type is 'guessing'", "known: regression"):
        read_config(tmp_path)
