"""Read and write checkpoint folders in the layout that the ecosystem uses.

A folder holds config.json and model.safetensors (or the older pytorch_model.bin). Inside, the tensors carry
names of their own; this file is the only place that knows them. Each family has one table: our name -> theirs.
A table names modules; ``weight`` and ``bias`` are appended. ``{}`` stands for the number of a layer.
"""

from __future__ import annotations

import json
import pickle
import re
import shutil
import tempfile
import warnings
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from minibert.encoder import Backbone, EncoderConfig, initialise
from minibert.errors import MinibertError
from minibert.factory import build
from minibert.heads import HEADS, WithHead
from minibert.models import MODELS, PRESETS

# ------------------------------------------------------------------------------------------ key tables

BERT_KEYS = {
    "embeddings.word": "bert.embeddings.word_embeddings",
    "embeddings.position": "bert.embeddings.position_embeddings",
    "embeddings.token_type": "bert.embeddings.token_type_embeddings",
    "embeddings.norm": "bert.embeddings.LayerNorm",
    "encoder.blocks.{}.attention.query": "bert.encoder.layer.{}.attention.self.query",
    "encoder.blocks.{}.attention.key": "bert.encoder.layer.{}.attention.self.key",
    "encoder.blocks.{}.attention.value": "bert.encoder.layer.{}.attention.self.value",
    "encoder.blocks.{}.attention.output": "bert.encoder.layer.{}.attention.output.dense",
    "encoder.blocks.{}.attention_norm": "bert.encoder.layer.{}.attention.output.LayerNorm",
    "encoder.blocks.{}.feed_forward.expand": "bert.encoder.layer.{}.intermediate.dense",
    "encoder.blocks.{}.feed_forward.contract": "bert.encoder.layer.{}.output.dense",
    "encoder.blocks.{}.norm": "bert.encoder.layer.{}.output.LayerNorm",
    "pooler.dense": "bert.pooler.dense",
    "lm.dense": "cls.predictions.transform.dense",
    "lm.norm": "cls.predictions.transform.LayerNorm",
    "lm": "cls.predictions",
    "pair": "cls.seq_relationship",
    "classifier": "classifier",
    "span": "qa_outputs",
}

DISTILBERT_KEYS = {
    "embeddings.word": "distilbert.embeddings.word_embeddings",
    "embeddings.position": "distilbert.embeddings.position_embeddings",
    "embeddings.norm": "distilbert.embeddings.LayerNorm",
    "encoder.blocks.{}.attention.query": "distilbert.transformer.layer.{}.attention.q_lin",
    "encoder.blocks.{}.attention.key": "distilbert.transformer.layer.{}.attention.k_lin",
    "encoder.blocks.{}.attention.value": "distilbert.transformer.layer.{}.attention.v_lin",
    "encoder.blocks.{}.attention.output": "distilbert.transformer.layer.{}.attention.out_lin",
    "encoder.blocks.{}.attention_norm": "distilbert.transformer.layer.{}.sa_layer_norm",
    "encoder.blocks.{}.feed_forward.expand": "distilbert.transformer.layer.{}.ffn.lin1",
    "encoder.blocks.{}.feed_forward.contract": "distilbert.transformer.layer.{}.ffn.lin2",
    "encoder.blocks.{}.norm": "distilbert.transformer.layer.{}.output_layer_norm",
    "lm.dense": "vocab_transform",
    "lm.norm": "vocab_layer_norm",
    "lm": "vocab_projector",
    "dense": "pre_classifier",
    "classifier": "classifier",
    "span": "qa_outputs",
}

ALBERT_KEYS = {
    "embeddings.word": "albert.embeddings.word_embeddings",
    "embeddings.position": "albert.embeddings.position_embeddings",
    "embeddings.token_type": "albert.embeddings.token_type_embeddings",
    "embeddings.norm": "albert.embeddings.LayerNorm",
    "embeddings.projection": "albert.encoder.embedding_hidden_mapping_in",
    "encoder.blocks.{}.attention.query": "albert.encoder.albert_layer_groups.{}.albert_layers.0.attention.query",
    "encoder.blocks.{}.attention.key": "albert.encoder.albert_layer_groups.{}.albert_layers.0.attention.key",
    "encoder.blocks.{}.attention.value": "albert.encoder.albert_layer_groups.{}.albert_layers.0.attention.value",
    "encoder.blocks.{}.attention.output": "albert.encoder.albert_layer_groups.{}.albert_layers.0.attention.dense",
    "encoder.blocks.{}.attention_norm": "albert.encoder.albert_layer_groups.{}.albert_layers.0.attention.LayerNorm",
    "encoder.blocks.{}.feed_forward.expand": "albert.encoder.albert_layer_groups.{}.albert_layers.0.ffn",
    "encoder.blocks.{}.feed_forward.contract": "albert.encoder.albert_layer_groups.{}.albert_layers.0.ffn_output",
    "encoder.blocks.{}.norm": "albert.encoder.albert_layer_groups.{}.albert_layers.0.full_layer_layer_norm",
    "pooler.dense": "albert.pooler",
    "lm.dense": "predictions.dense",
    "lm.norm": "predictions.LayerNorm",
    "lm": "predictions",
    "pair": "sop_classifier.classifier",
    "classifier": "classifier",
    "span": "qa_outputs",
}

# Tensors that some files carry a second time: the copy -> the original. A copy must equal its original.
BERT_COPIES = {
    "cls.predictions.decoder.weight": "bert.embeddings.word_embeddings.weight",
    "cls.predictions.decoder.bias": "cls.predictions.bias",
}
DISTILBERT_COPIES = {"vocab_projector.weight": "distilbert.embeddings.word_embeddings.weight"}
ALBERT_COPIES = {
    "predictions.decoder.weight": "albert.embeddings.word_embeddings.weight",
    "predictions.decoder.bias": "predictions.bias",
}

# -------------------------------------------------------------------------------------- config tables
# Our field -> theirs, where the names differ. None: a config of theirs does not have it.

DISTILBERT_FIELDS = {
    "hidden_size": "dim",
    "num_hidden_layers": "n_layers",
    "num_attention_heads": "n_heads",
    "intermediate_size": "hidden_dim",
    "hidden_act": "activation",
    "hidden_dropout_prob": "dropout",
    "attention_probs_dropout_prob": "attention_dropout",
    "classifier_dropout": "seq_classif_dropout",
    "type_vocab_size": None,
    "layer_norm_eps": None,
}
ALBERT_FIELDS = {"classifier_dropout": "classifier_dropout_prob"}


@dataclass(frozen=True)
class Format:
    """How one family is written down.

    stem: of the class names under "architectures". prefix: of the backbone's tensors; files that hold a bare
    backbone leave it out. constants: settings that a config may name and that have one value here.
    """

    stem: str
    prefix: str
    keys: dict[str, str]
    copies: dict[str, str]
    field_names: dict[str, str | None] = field(default_factory=dict)
    constants: dict[str, Any] = field(default_factory=dict)

    def theirs(self, ours: str) -> str:
        """Our parameter's name -> the file's: encoder.blocks.3.norm.bias -> bert.encoder.layer.3.output..."""
        module, _, leaf = ours.rpartition(".")
        return f"{self.keys[re.sub(NUMBER, '{}', module)].format(*re.findall(NUMBER, module))}.{leaf}"

    def ours(self, theirs: str) -> str | None:
        """The reverse; None for a name that the family does not have."""
        module, _, leaf = theirs.rpartition(".")
        for our_pattern, their_pattern in self.keys.items():
            match = re.fullmatch(re.escape(their_pattern).replace(r"\{\}", f"({NUMBER})"), module)
            if match and leaf in ("weight", "bias"):
                return f"{our_pattern.format(*match.groups())}.{leaf}"
        return None


NUMBER = r"(?<=\.)\d+(?=\.|$)"  # the number of a layer inside a dotted name

FORMATS = {
    "bert": Format(
        stem="Bert",
        prefix="bert.",
        keys=BERT_KEYS,
        copies=BERT_COPIES,
        constants={"position_embedding_type": "absolute", "is_decoder": False, "add_cross_attention": False},
    ),
    "distilbert": Format(
        stem="DistilBert",
        prefix="distilbert.",
        keys=DISTILBERT_KEYS,
        copies=DISTILBERT_COPIES,
        field_names=DISTILBERT_FIELDS,
        constants={"sinusoidal_pos_embds": False},
    ),
    "albert": Format(
        stem="Albert",
        prefix="albert.",
        keys=ALBERT_KEYS,
        copies=ALBERT_COPIES,
        field_names=ALBERT_FIELDS,
        constants={"position_embedding_type": "absolute", "inner_group_num": 1},
    ),
}

# Our head -> the rest of the class name under "architectures".
CLASS_ENDINGS = {
    None: "Model",
    "masked-lm": "ForMaskedLM",
    "pretraining": "ForPreTraining",
    "sequence-classification": "ForSequenceClassification",
    "token-classification": "ForTokenClassification",
    "question-answering": "ForQuestionAnswering",
}

# --------------------------------------------------------------------------------------------- reading


def from_pretrained(source: str | Path, head: str | None = None) -> nn.Module:
    """Load a checkpoint, in evaluation mode.

    source: a folder with config.json and model.safetensors (or pytorch_model.bin), or the name of an asset such
    as "minilm-l6". head: a key of heads.HEADS, or None for the bare model, whatever head the file holds. A part
    of the head that the file lacks starts from random weights, with a warning; without a head, a pooler that the
    file lacks is left out.

    Raises MinibertError, before any weight is set, for a folder, config or file that cannot be read, and for
    tensors that are missing, left over, of another shape, or differ from the tensor they are tied to.
    """
    from minibert.assets import resolve

    try:
        folder = resolve(source)
    except MinibertError as problem:
        if source in tuple(PRESETS):
            raise MinibertError(
                f"{problem} (build({source!r}) makes a fresh model of that shape, untrained.)"
            ) from None
        raise
    config = read_config(folder)
    with torch.device("meta"):
        model = build(config, head)
    backbone = model.backbone if isinstance(model, WithHead) else model
    tensors = translate(read_tensors(folder), FORMATS[config.model_type], folder)

    # What a checkpoint may lack: the parts of a head, and the pooler.
    optional: dict[str, nn.Module] = dict(model.named_children()) if isinstance(model, WithHead) else {}
    optional.pop("backbone", None)
    if backbone.pooler is not None:
        optional["pooler"] = backbone.pooler
    lacking = {
        name: part
        for name, part in optional.items()
        if any(True for _ in part.parameters()) and not any(key.startswith(name + ".") for key in tensors)
    }
    if head is None and lacking:
        backbone.pooler = None
        lacking = {}

    wanted = {name.removeprefix("backbone."): name for name in model.state_dict()}
    expected = {
        short: model.get_parameter(name) for short, name in wanted.items() if short.split(".")[0] not in lacking
    }
    check_tensors(tensors, expected, folder, config)
    if lacking:
        warnings.warn(
            f"{folder} has no weights for {', '.join(lacking)} ({head}): they start from random numbers; "
            "train the model before you trust it.",
            stacklevel=2,
        )
    for part in lacking.values():
        initialise(part.to_empty(device="cpu"), config.initializer_range)
    # A copy in float32: the model must not depend on a file that somebody may overwrite.
    state = {wanted[short]: tensors[short].to(torch.float32, copy=True) for short in expected}
    model.load_state_dict(state, strict=False, assign=True)
    return model.eval()


def read_config(folder: Path) -> EncoderConfig:
    """The config of a checkpoint folder. Raises MinibertError for what cannot be read or is not supported."""
    path = folder / "config.json"
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise MinibertError(f"{folder} has no config.json: give a checkpoint folder that has one.") from None
    except (OSError, ValueError) as problem:
        raise MinibertError(f"{path} cannot be read as JSON ({problem}): save or download it again.") from None
    model_type = raw.get("model_type") if isinstance(raw, dict) else None
    if model_type is None:
        raise MinibertError(
            f"{path} does not say which model it describes: it must be a JSON object with an entry such as "
            '"model_type": "bert".'
        )
    if model_type not in tuple(FORMATS):
        raise MinibertError(f"{path} is of model_type {model_type!r}; this package reads {', '.join(FORMATS)}.")
    style = FORMATS[model_type]
    for name, value in style.constants.items():
        if raw.get(name, value) != value:
            raise MinibertError(f"{path} sets {name} to {raw[name]!r}; this package has only {value!r}.")
    config_class = MODELS[model_type][0]
    settings = {}
    for name in (f.name for f in fields(config_class)):
        theirs = style.field_names.get(name, name)
        if theirs in raw:
            settings[name] = raw[theirs]
    settings.pop("labels", None)
    try:
        if "id2label" in raw:
            settings["labels"] = tuple(
                label for _, label in sorted((int(i), label) for i, label in raw["id2label"].items())
            )
    except (TypeError, ValueError, AttributeError):
        raise MinibertError(
            f'{path}: id2label must map each class number to its name, as in {{"0": "negative", "1": "positive"}}.'
        ) from None
    try:
        return config_class(**settings)
    except MinibertError as problem:
        raise MinibertError(f"{path} cannot be used: {problem}") from None


def read_tensors(folder: Path) -> dict[str, Tensor]:
    """All tensors of a checkpoint folder under the file's own names, read without running any code in it."""
    names = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin")
    path = next((folder / name for name in names if (folder / name).exists()), None)
    if path is None:
        raise MinibertError(
            f"{folder} has neither model.safetensors nor pytorch_model.bin: there are no weights to load."
        )
    try:
        if path.suffix == ".bin":
            with warnings.catch_warnings():  # torch warns of a file that it then refuses; one sentence is enough
                warnings.simplefilter("ignore")
                tensors = torch.load(path, map_location="cpu", weights_only=True)
        elif path.suffix == ".json":  # a large model, in several files
            tensors = {}
            for name in sorted(set(json.loads(path.read_text(encoding="utf-8"))["weight_map"].values())):
                path = folder / name
                tensors.update(load_file(path))
        else:
            tensors = load_file(path)
    except pickle.UnpicklingError as problem:
        # torch builds nothing but tensors and plain containers; its message names what else the file asked for.
        asked = re.search(r"GLOBAL (\S+)", str(problem))
        fault = f"asks to run {asked[1]}; do not trust it" if asked else "is damaged or asks to run code"
        raise MinibertError(
            f"{path} was not loaded: a file of weights holds only tensors, but this one {fault}."
        ) from None
    except Exception as problem:  # a damaged file can fail in any part of the readers
        cause = f"{type(problem).__name__}: {problem}".splitlines()[0].rstrip(": ")
        raise MinibertError(
            f"{path} cannot be read, perhaps it is cut short ({cause}): download or copy it again."
        ) from None
    if not isinstance(tensors, dict) or not all(
        isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in tensors.items()
    ):
        raise MinibertError(f"{path} must hold tensors by their names and nothing else: save model.state_dict() alone.")
    return tensors


def translate(raw: dict[str, Tensor], style: Format, folder: Path) -> dict[str, Tensor]:
    """The file's names -> ours (without "backbone."). Each tied tensor comes out once.

    Heeds what old and bare files do: LayerNorm.gamma and .beta, no prefix, buffers of position numbers.
    """
    named = {}
    for key, tensor in raw.items():
        if key.endswith("position_ids"):
            continue
        key = re.sub(r"LayerNorm\.gamma$", "LayerNorm.weight", re.sub(r"LayerNorm\.beta$", "LayerNorm.bias", key))
        if not style.ours(key) and key not in style.copies and style.ours(style.prefix + key):
            key = style.prefix + key
        named[key] = tensor
    for copy, original in style.copies.items():
        if copy in named:
            tensor = named.pop(copy)
            if not torch.equal(tensor, named.setdefault(original, tensor)):
                raise MinibertError(
                    f"{folder}: {copy} differs from {original}, but in this family the two are one tied tensor; "
                    "an untied checkpoint cannot be loaded."
                )
    unknown = [key for key in named if style.ours(key) is None]
    if unknown:
        raise MinibertError(
            f"{folder} holds {len(unknown)} tensor(s) that a {style.stem} has no place for, such as {unknown[0]!r}: "
            "does model_type in config.json fit the weights?"
        )
    return {style.ours(key): tensor for key, tensor in named.items()}


def check_tensors(tensors: dict[str, Tensor], expected: dict[str, Tensor], folder: Path, config: EncoderConfig) -> None:
    """Raise MinibertError unless `tensors` holds all that is expected, in its shape, and no more of the backbone."""
    style = FORMATS[config.model_type]
    missing = [name for name in expected if name not in tensors]
    if missing:
        raise MinibertError(
            f"{folder} lacks {len(missing)} tensor(s) that its config.json asks for, such as "
            f"{style.theirs(missing[0])!r}: is the file complete, and num_hidden_layers right?"
        )
    left_over = [name for name in tensors if name not in expected and name.split(".")[0] in ("embeddings", "encoder")]
    if left_over:
        raise MinibertError(
            f"{folder} holds {len(left_over)} tensor(s) that its config.json leaves no room for, such as "
            f"{style.theirs(left_over[0])!r}: is num_hidden_layers right?"
        )
    for name, parameter in expected.items():
        if tensors[name].shape != parameter.shape:
            raise MinibertError(
                f"{folder}: {style.theirs(name)} has shape {tuple(tensors[name].shape)}, but config.json asks for "
                f"{tuple(parameter.shape)}: they belong to different models."
            )


# --------------------------------------------------------------------------------------------- writing


def save_pretrained(folder: str | Path, model: nn.Module, tokenizer: Any = None) -> None:
    """Write a checkpoint folder that this package and the ecosystem's libraries read.

    Writes config.json, model.safetensors and, when given, the tokenizer's files. Everything is written into a
    scratch folder first and then moved into place, so that a full disk leaves an earlier checkpoint as it was.
    Raises MinibertError when it cannot be written, or when the format has no place for one of the settings.
    """
    folder = Path(folder).expanduser()
    if tokenizer is not None and (folder / "tokenizer.json").exists():
        raise MinibertError(
            f"{folder} has a tokenizer.json of another tokenizer, which readers would prefer: choose another folder."
        )
    backbone = model.backbone if isinstance(model, WithHead) else model
    if not isinstance(backbone, Backbone):
        raise MinibertError(f"a {type(model).__name__} cannot be saved as a checkpoint: pass a model made by build().")
    description = json.dumps(config_as_json(model), indent=2) + "\n"
    style = FORMATS[backbone.config.model_type]
    tensors = {}
    for name, tensor in model.state_dict().items():
        theirs = style.theirs(name.removeprefix("backbone."))
        tensors[theirs.removeprefix(style.prefix) if backbone is model else theirs] = tensor.detach().cpu().contiguous()
    is_new = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".saving-", dir=folder) as scratch:
            (Path(scratch) / "config.json").write_text(description, encoding="utf-8")
            save_file(tensors, Path(scratch) / "model.safetensors", metadata={"format": "pt"})
            if tokenizer is not None:
                tokenizer.save(Path(scratch))
            for path in Path(scratch).iterdir():
                path.replace(folder / path.name)
    except (OSError, SafetensorError) as problem:
        if is_new:
            shutil.rmtree(folder, ignore_errors=True)
        raise MinibertError(
            f"could not write the checkpoint to {folder} ({problem}): free some space or choose another folder."
        ) from None


def config_as_json(model: nn.Module) -> dict[str, Any]:
    """What config.json says of a model: the ecosystem's field names, the class, the labels.

    Raises MinibertError for a setting that the family's format cannot express.
    """
    config = model.config
    style = FORMATS[config.model_type]
    head = next((name for name, kind in HEADS.items() if type(model) is kind), None)
    described = {"architectures": [style.stem + CLASS_ENDINGS[head]], "model_type": config.model_type}
    for f in fields(config):
        theirs, value = style.field_names.get(f.name, f.name), getattr(config, f.name)
        if theirs is not None and f.name != "labels":
            described[theirs] = value
        elif theirs is None and value != f.default:
            raise MinibertError(
                f"{f.name} is {value}, but a {config.model_type} checkpoint has no place for it and readers assume "
                f"{f.default}: the model cannot be saved in this format."
            )
    described |= style.constants
    if getattr(model, "reads_labels", False):
        described["id2label"] = {str(i): label for i, label in enumerate(config.labels)}
        described["label2id"] = {label: i for i, label in enumerate(config.labels)}
    described["tie_word_embeddings"] = True
    described["dtype"] = str(next(model.parameters()).dtype).removeprefix("torch.")
    return described
