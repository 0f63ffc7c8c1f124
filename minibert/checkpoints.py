"""Read and write checkpoint folders in the layout that the ecosystem uses.

A folder holds config.json and model.safetensors (or the older pytorch_model.bin). The names inside are not ours: each
model's file has a table of them (models/family.py), and nothing here depends on which model it is.
"""

from __future__ import annotations

import json
import pickle
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from minibert.assets import resolve
from minibert.config import ModelConfig
from minibert.errors import MinibertError
from minibert.factory import build
from minibert.files import Content, read_json, write_files
from minibert.heads import HEADS, WithHead
from minibert.model import Model, initialise
from minibert.models import FAMILIES, PRESETS
from minibert.models.family import Family

# --------------------------------------------------------------------------------------------- reading


class Loaded(NamedTuple):
    """A model from a checkpoint. fresh: the parts that the checkpoint lacks, which start from random weights."""

    model: Model | WithHead
    fresh: tuple[str, ...]


def from_pretrained(source: str | Path, head: str | None = None) -> Model | WithHead:
    """Load a checkpoint, in evaluation mode.

    source: a folder with config.json and model.safetensors (or pytorch_model.bin), or the name of an asset such
    as "minilm-l6". head: a key of heads.HEADS, or None for the bare model, whatever head the file holds. A part
    of the head that the file lacks starts from random weights, with a warning (`load` returns its name instead).
    Without a head, a pooler that the file lacks is left out.

    Raises MinibertError, before any weight is set, for a folder, config or file that cannot be read, and for
    tensors that are missing, are left over, have another shape, or differ from the tensor they are tied to.
    """
    model, fresh = load(source, head)
    warn_of_fresh(source, head, fresh)
    return model


def warn_of_fresh(source: str | Path, head: str | None, fresh: Sequence[str]) -> None:
    """Warn about parts that start from random weights, if there are any, at the line that called the caller."""
    if fresh:
        warnings.warn(
            f"{source} has no weights for {', '.join(fresh)} ({head}): they start from random numbers; "
            "train the model before you trust it.",
            stacklevel=3,
        )


def load(source: str | Path, head: str | None = None) -> Loaded:
    """Like `from_pretrained`, but without a warning: the result says which parts are fresh."""
    try:
        folder = resolve(source)
    except MinibertError as problem:
        if source in tuple(PRESETS):
            raise MinibertError(
                f"{problem} (build({source!r}) makes a fresh model of that shape, untrained.)"
            ) from None
        raise
    config = read_config(folder)
    family = FAMILIES[config.model_type]
    with torch.device("meta"):
        model = build(config, head)
    tensors = translate(read_tensors(folder), family, head, folder)
    fresh = missing_parts(model, tensors)
    if head is None and fresh:
        backbone_of(model).keep_summary(False)
        fresh = {}
    expected = {
        short_name(name): tensor
        for name, tensor in model.state_dict().items()
        if short_name(name).partition(".")[0] not in fresh
    }
    for name, number in family.fills.items():
        if name in expected:
            tensors.setdefault(name, torch.full(expected[name].shape, number))
    check_tensors(tensors, expected, model, head, folder)
    for part in fresh.values():
        initialise(part.to_empty(device="cpu"), config.initializer_range)
    # A copy in float32: the model must not depend on a file that somebody may overwrite.
    state = {
        name: tensors[short_name(name)].to(torch.float32, copy=True)
        for name in model.state_dict()
        if short_name(name) in expected
    }
    model.load_state_dict(state, strict=False, assign=True)
    return Loaded(model.eval(), tuple(fresh))


def backbone_of(model: Model | WithHead) -> Model:
    """The model without its head."""
    return model.backbone if isinstance(model, WithHead) else model


def short_name(name: str) -> str:
    """A tensor's name in the key tables, which is the same with and without a head."""
    return name.removeprefix("backbone.")


def missing_parts(model: Model | WithHead, tensors: Mapping[str, Tensor]) -> dict[str, nn.Module]:
    """The parts that this checkpoint lacks and may lack: those of a head, and what only a text's summary needs."""
    optional = dict(model.named_children()) if isinstance(model, WithHead) else {}
    optional.pop("backbone", None)
    pooler = getattr(backbone_of(model), "pooler", None)
    if pooler is not None:
        optional["pooler"] = pooler
    return {
        name: part
        for name, part in optional.items()
        if any(True for _ in part.parameters()) and not any(key.startswith(name + ".") for key in tensors)
    }


def read_config(folder: Path) -> ModelConfig:
    """The config of a checkpoint folder. Raises MinibertError if it cannot be read or is not supported."""
    path = folder / "config.json"
    if not path.exists():
        raise MinibertError(f"{folder} has no config.json: give a checkpoint folder that has one.")
    raw = read_json(path)
    model_type = raw.get("model_type")
    if model_type is None:
        raise MinibertError(
            f'{path} does not say which model it describes: it must have an entry such as "model_type": "bert".'
        )
    if model_type not in tuple(FAMILIES):
        raise MinibertError(f"{path} has the model_type {model_type!r}; this package reads {', '.join(FAMILIES)}.")
    family = FAMILIES[model_type]
    for name, value in family.constants.items():
        if raw.get(name, value) != value:
            raise MinibertError(f"{path} sets {name} to {raw[name]!r}; this package supports only {value!r}.")
    settings = {}
    for name in (f.name for f in fields(family.config)):
        theirs = family.field_names.get(name, name)
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
        return family.config(**settings)
    except MinibertError as problem:
        raise MinibertError(f"{path} cannot be used: {problem}") from None


def read_tensors(folder: Path) -> dict[str, Tensor]:
    """All tensors of a checkpoint folder by the names in the file, read without running any code in it."""
    names = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin")
    path = next((folder / name for name in names if (folder / name).exists()), None)
    if path is None:
        raise MinibertError(
            f"{folder} has neither model.safetensors nor pytorch_model.bin: there are no weights to load."
        )
    try:
        if path.suffix == ".bin":
            with warnings.catch_warnings():  # torch warns about a file that it then refuses; one message is enough
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
            f"{path} cannot be read and may be truncated ({cause}): download or copy it again."
        ) from None
    if not isinstance(tensors, dict) or not all(
        isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in tensors.items()
    ):
        raise MinibertError(f"{path} must hold tensors by name and nothing else: save only model.state_dict().")
    return tensors


def translate(raw: Mapping[str, Tensor], family: Family, head: str | None, folder: Path) -> dict[str, Tensor]:
    """The file's names -> ours (without "backbone."), for a model with this head. Each tied tensor is returned once.

    Three differences of old files and of files without a head are accepted: LayerNorm.gamma and .beta, no prefix, and
    buffers of position numbers.
    """
    named = {}
    for key, tensor in raw.items():
        if key.endswith(family.unused):
            continue
        key = re.sub(r"LayerNorm\.gamma$", "LayerNorm.weight", re.sub(r"LayerNorm\.beta$", "LayerNorm.bias", key))
        if not family.knows(key) and key not in family.copies and family.knows(family.prefix + key):
            key = family.prefix + key
        named[key] = tensor
    for copy, original in family.copies.items():
        if copy in named:
            tensor = named.pop(copy)
            if not torch.equal(tensor, named.setdefault(original, tensor)):
                raise MinibertError(
                    f"{folder}: {copy} differs from {original}, but in this family the two are one tied tensor; "
                    "an untied checkpoint cannot be loaded."
                )
    ours = {key: family.ours(key, head) for key in named}
    unknown = [key for key, name in ours.items() if name is None and not family.knows(key)]
    if unknown:
        raise MinibertError(
            f"{folder} holds {len(unknown)} tensor(s) that a {family.stem} has no place for, such as {unknown[0]!r}: "
            "does model_type in config.json match the weights?"
        )
    return {name: named[key] for key, name in ours.items() if name is not None}


def check_tensors(
    tensors: Mapping[str, Tensor],
    expected: Mapping[str, Tensor],
    model: Model | WithHead,
    head: str | None,
    folder: Path,
) -> None:
    """Raise a MinibertError unless every expected tensor is there with its shape, and no part has more tensors.

    Parts of a head that was not asked for, and a pooler that is not used, may be left over.
    """
    family = FAMILIES[model.config.model_type]
    missing = [name for name in expected if name not in tensors]
    if missing:
        raise MinibertError(
            f"{folder} lacks {len(missing)} tensor(s) that its config.json asks for, such as "
            f"{family.theirs(missing[0], head)!r}: is the file complete, and is the number of layers right?"
        )
    parts = {name.partition(".")[0] for name in expected}
    left_over = [name for name in tensors if name not in expected and name.partition(".")[0] in parts]
    if left_over:
        raise MinibertError(
            f"{folder} holds {len(left_over)} tensor(s) that its config.json has no place for, such as "
            f"{family.theirs(left_over[0], head)!r}: is the number of layers right?"
        )
    for name, tensor in expected.items():
        if tensors[name].shape != tensor.shape:
            raise MinibertError(
                f"{folder}: {family.theirs(name, head)} has shape {tuple(tensors[name].shape)}, but config.json asks "
                f"for {tuple(tensor.shape)}: they belong to different models."
            )


# --------------------------------------------------------------------------------------------- writing


def save_pretrained(folder: str | Path, model: nn.Module, tokenizer: Any = None) -> None:
    """Write a checkpoint folder that this package and the ecosystem's libraries can read.

    Writes config.json, model.safetensors and, when a tokenizer is given, its files. None is put in place before all
    are written, so that a full disk leaves an earlier checkpoint as it was.
    Raises MinibertError when it cannot be written, or when the format has no place for one of the settings.
    """
    folder = Path(folder).expanduser()
    if not isinstance(model, (Model, WithHead)):
        raise MinibertError(f"a {type(model).__name__} cannot be saved as a checkpoint: pass a model made by build().")
    family = FAMILIES[model.config.model_type]
    description = json.dumps(config_as_json(model), indent=2) + "\n"  # first, because it may raise
    tensors = {}
    for name, tensor in model.state_dict().items():
        theirs = family.theirs(short_name(name), head_name(model))
        theirs = theirs.removeprefix(family.prefix) if isinstance(model, Model) else theirs
        tensors[theirs] = tensor.detach().cpu().contiguous()
    contents: dict[str, Content] = {
        "config.json": description,
        "model.safetensors": lambda path: save_file(tensors, path, metadata={"format": "pt"}),
    }
    if tokenizer is not None:
        tokenizer.check_folder(folder)
        contents |= tokenizer.files()
    write_files(folder, contents)


def config_as_json(model: Model | WithHead) -> dict[str, Any]:
    """What config.json says about a model: the ecosystem's field names, the class, the labels.

    Raises MinibertError for a setting that the family's format cannot express.
    """
    config = model.config
    family = FAMILIES[config.model_type]
    described: dict[str, Any] = {"architectures": [architecture(model)], "model_type": config.model_type}
    for f in fields(config):
        theirs, value = family.field_names.get(f.name, f.name), getattr(config, f.name)
        if theirs is not None and f.name != "labels":
            described[theirs] = value
        elif theirs is None and value != f.default:
            raise MinibertError(
                f"{f.name} is {value}, but a {config.model_type} checkpoint has no place for it and readers assume "
                f"{f.default}: the model cannot be saved in this format."
            )
    described |= family.constants
    if isinstance(model, WithHead) and model.uses_labels:
        described["id2label"] = {str(i): label for i, label in enumerate(config.labels)}
        described["label2id"] = {label: i for i, label in enumerate(config.labels)}
    described["tie_word_embeddings"] = True
    described["dtype"] = str(next(model.parameters()).dtype).removeprefix("torch.")
    return described


def head_name(model: Model | WithHead) -> str | None:
    """The key of heads.HEADS of a model's head; None for a model without, or with a head of another kind."""
    return next((name for name, head in HEADS.items() if type(model) is head), None)


def architecture(model: Model | WithHead) -> str:
    """The class name for config.json, such as BertForMaskedLM. Raises MinibertError for a head of our own."""
    family = FAMILIES[model.config.model_type]
    if isinstance(model, Model):
        return f"{family.stem}Model"
    head = head_name(model)
    if head is None:
        raise MinibertError(f"a checkpoint has no place for the head {type(model).__name__}: save model.backbone.")
    return family.class_names.get(head, family.stem + model.architecture)
