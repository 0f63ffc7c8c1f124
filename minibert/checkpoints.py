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
from minibert.errors import MinibertError
from minibert.factory import build
from minibert.files import Content, read_json, write_files
from minibert.heads import HEADS, WithHead
from minibert.model import Model, initialise
from minibert.models import FAMILIES, PRESETS
from minibert.models.family import Family
from minibert.settings import OUTPUT_IS_TIED, read_config, read_settings
from minibert.words import type_of

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
        if isinstance(source, str) and source in PRESETS:
            raise MinibertError(
                f"{problem} (build({source!r}) makes a fresh model of that shape, untrained.)"
            ) from None
        raise
    config = read_config(folder)
    family = FAMILIES[config.model_type]
    with torch.device("meta"):
        model = build(config, head)
    raw = read_tensors(folder)
    tensors, besides = translate(raw, family, head, folder, model)
    check_tied(folder, family, model, raw, tensors)
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
    check_tensors(tensors, expected, model, head, folder, besides)
    if besides:
        warnings.warn(
            f"{folder} holds {len(besides)} tensor(s) that this model has no use for, such as {besides[0]!r}: "
            "they were left out.",
            stacklevel=3,
        )
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


PRECISIONS = (torch.float64, torch.float32, torch.float16, torch.bfloat16)
FILES = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")


def read_tensors(folder: Path) -> dict[str, Tensor]:
    """All tensors of a checkpoint folder by the names in the file, read without running any code in it."""
    path = next((folder / name for name in FILES if (folder / name).exists()), None)
    if path is None:
        raise MinibertError(
            f"{folder} has neither model.safetensors nor pytorch_model.bin: there are no weights to load."
        )
    if path.suffix != ".json":
        return read_file(path)
    tensors: dict[str, Tensor] = {}
    for name in shards(path):  # a large model, in several files
        if not (folder / name).exists():
            raise MinibertError(f"{folder / name} cannot be read: {path.name} lists it, but it is not there; copy it.")
        tensors |= read_file(folder / name)
    return tensors


def shards(index: Path) -> list[str]:
    """The names of the files that an index lists. Raises MinibertError if it is damaged or names files elsewhere."""
    try:
        places = read_json(index).get("weight_map")
    except MinibertError as problem:
        raise MinibertError(f"{index} cannot be read: {problem}") from None
    if not isinstance(places, dict) or not all(isinstance(name, str) for name in places.values()):
        raise MinibertError(f"{index} cannot be read: its weight_map must name a file for each tensor.")
    names = sorted(set(places.values()))
    elsewhere = [name for name in names if Path(name).name != name]
    if elsewhere:
        raise MinibertError(f"{index} names {elsewhere[0]!r}, which is not a file of its own folder.")
    return names


def read_file(path: Path) -> dict[str, Tensor]:
    """The tensors of one file, .safetensors or .bin. Raises MinibertError if it cannot be read or asks to run code."""
    try:
        if path.suffix == ".bin":
            with warnings.catch_warnings():  # torch warns about a file that it then refuses; one message is enough
                warnings.simplefilter("ignore")
                tensors = torch.load(path, map_location="cpu", weights_only=True)
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


def translate(
    raw: Mapping[str, Tensor], family: Family, head: str | None, folder: Path, model: Model | WithHead
) -> tuple[dict[str, Tensor], list[str]]:
    """The file's names -> ours (without "backbone."), for a model with this head, and what the file holds besides.

    Three differences of old files and of files without a head are accepted: LayerNorm.gamma and .beta, no prefix, and
    buffers of position numbers. Each tied tensor is returned once. A tensor that differs from the one that it is tied
    to is refused if the model uses it. So is a tensor without a place inside a block or a layer of the model, as what
    is computed there would depend on it. All others that have no place are named in the second result.
    """
    named = {}
    for key, tensor in raw.items():
        if key.endswith(family.unused):
            continue
        key = re.sub(r"LayerNorm\.gamma$", "LayerNorm.weight", re.sub(r"LayerNorm\.beta$", "LayerNorm.bias", key))
        if not family.knows(key) and key not in family.copies and family.knows(family.prefix + key):
            key = family.prefix + key
        named[key] = tensor
    besides = []
    for copy, original in family.copies.items():
        if copy not in named:
            continue
        tensor = named.pop(copy)
        if torch.equal(tensor, named.setdefault(original, tensor)):
            continue
        if hasattr(model, "lm") or copy in family.body_copies:
            raise MinibertError(
                f"{folder}: {copy} differs from {original}, but in this family the two are one tied tensor; "
                "an untied checkpoint cannot be loaded."
            )
        besides.append(copy)
    ours = {key: family.ours(key, head) for key in named}
    unknown = [key for key, name in ours.items() if name is None and not family.knows(key)]
    theirs = [family.theirs(short_name(name), head) for name in model.state_dict()]
    layers = {name.rpartition(".")[0] + "." for name in theirs if name.endswith((".weight", ".bias"))}
    within = (*family.blocks, *layers, *(layer.removeprefix(family.prefix) for layer in (*family.blocks, *layers)))
    inside = [key for key in unknown if key.startswith(within)]
    if inside:
        raise MinibertError(
            f"{folder} holds {len(inside)} tensor(s) that a {family.stem} has no place for, such as {inside[0]!r}: "
            "does model_type in config.json match the weights?"
        )
    return {name: named[key] for key, name in ours.items() if name is not None}, besides + unknown


def check_tied(
    folder: Path, family: Family, model: Model | WithHead, raw: Mapping[str, Tensor], tensors: Mapping[str, Tensor]
) -> None:
    """Raise a MinibertError where the config says that the word table is not tied to other tables that the model uses,
    and the file does not hold those, so that `translate` could have compared them.

    raw, tensors: before and after translation.
    """
    path, settings, _ = read_settings(folder)
    if settings.get(OUTPUT_IS_TIED, True):
        return
    tables = list(family.body_copies)
    if hasattr(model, "lm") and any(name.startswith("lm.") for name in tensors):
        tables = [copy for copy in family.copies if copy.endswith(".weight")]
    if tables and not any(table in raw for table in tables):
        raise MinibertError(
            f"{path} sets {OUTPUT_IS_TIED} to False; this package supports only True, or weights in which the tables "
            f"are equal nevertheless, but there is no {tables[0]!r}."
        )


def check_tensors(
    tensors: Mapping[str, Tensor],
    expected: Mapping[str, Tensor],
    model: Model | WithHead,
    head: str | None,
    folder: Path,
    besides: Sequence[str] = (),
) -> None:
    """Raise a MinibertError unless every expected tensor is there with its shape, and no part has more tensors.
    besides: names in the file that have no place in such a model.

    Parts of a head that was not asked for, and a pooler that is not used, may be left over.
    """
    family = FAMILIES[model.config.model_type]
    missing = [name for name in expected if name not in tensors]
    if missing:
        guess = "is the file complete, and is the number of layers right?"
        if besides:
            guess = f"it holds {besides[0]!r} instead; does model_type in config.json match the weights?"
        raise MinibertError(
            f"{folder} lacks {len(missing)} tensor(s) that its config.json asks for, such as "
            f"{family.theirs(missing[0], head)!r}: {guess}"
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
        if tensors[name].dtype not in PRECISIONS:
            raise MinibertError(
                f"{folder}: {family.theirs(name, head)} holds {tensors[name].dtype}; quantised weights are not read "
                "here: use a checkpoint in float32, float16 or bfloat16."
            )


# --------------------------------------------------------------------------------------------- writing


def save_pretrained(folder: str | Path, model: nn.Module, tokenizer: Any = None) -> None:
    """Write a checkpoint folder that this package and the ecosystem's libraries can read.

    Writes config.json, model.safetensors and, when a tokenizer is given, its files. None is put in place before all
    are written, so that a full disk leaves an earlier checkpoint as it was.
    Raises MinibertError when it cannot be written, or when the format has no place for one of the settings.
    """
    model = getattr(model, "_orig_mod", model)  # what torch.compile has wrapped
    if not isinstance(model, (Model, WithHead)):
        raise MinibertError(
            f"{type_of(model)} cannot be saved as a checkpoint: call save_pretrained(folder, model) with a model made "
            "by build()."
        )
    folder = Path(folder).expanduser()
    family = FAMILIES[model.config.model_type]
    description = json.dumps(config_as_json(model), indent=2) + "\n"  # first, because it may raise
    tensors = {}
    for name, tensor in model.state_dict().items():
        theirs = their_name(model, name, tensor, family)
        tensors[theirs] = tensor.detach().cpu().contiguous()
    contents: dict[str, Content] = {
        "config.json": description,
        "model.safetensors": lambda path: save_file(tensors, path, metadata={"format": "pt"}),
    }
    if tokenizer is not None:
        tokenizer.check_folder(folder)
        contents |= tokenizer.files()
    write_files(folder, contents)


def their_name(model: Model | WithHead, name: str, tensor: Any, family: Family) -> str:
    """The checkpoint's name of one of a model's tensors.

    Raises MinibertError for what is no weight of such a model, as in one whose layers were quantised or replaced, and
    for a tensor without numbers.
    """
    try:
        theirs = family.theirs(short_name(name), head_name(model))
    except KeyError:
        theirs = None
    if theirs is None or not isinstance(tensor, Tensor) or tensor.dtype not in PRECISIONS:
        raise MinibertError(
            f"the model holds {name}, which is no weight of a {family.stem} in a precision that checkpoints have: "
            "was it quantised, or were layers replaced? Save the model as it was before."
        )
    if tensor.device.type == "meta":
        raise MinibertError(
            "the model is on the meta device and has no numbers that could be saved: build it elsewhere."
        )
    return theirs.removeprefix(family.prefix) if isinstance(model, Model) else theirs


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
    unsaid = family.absent.get("labels", next(f.default for f in fields(config) if f.name == "labels"))
    if config.labels != unsaid or (isinstance(model, WithHead) and model.uses_labels):
        described["id2label"] = {str(i): label for i, label in enumerate(config.labels)}
        described["label2id"] = {label: i for i, label in enumerate(config.labels)}
    described["tie_word_embeddings"] = True
    described["dtype"] = str(next(model.parameters()).dtype).removeprefix("torch.")
    return described


def head_name(model: Model | WithHead) -> str | None:
    """The key of heads.HEADS of a model's head; None for a model without, or with a head of another kind."""
    return next((name for name, head in HEADS.items() if kind_of(model) is head), None)


def kind_of(model: nn.Module) -> type:
    """The class of a model; of one by `minibert.mine`, the class of the library that it is made of."""
    return getattr(model, "made_of", type(model))


def architecture(model: Model | WithHead) -> str:
    """The class name for config.json, such as BertForMaskedLM. Raises MinibertError for a head of our own."""
    family = FAMILIES[model.config.model_type]
    if isinstance(model, Model):
        return f"{family.stem}Model"
    head = head_name(model)
    if head is None:
        raise MinibertError(f"a checkpoint has no place for the head {type(model).__name__}: save model.backbone.")
    return family.class_names.get(head, family.stem + model.architecture)
