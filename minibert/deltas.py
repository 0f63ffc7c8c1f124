"""Checkpoints that are made from another one and a delta: what a training changed, in a small file.

A delta holds some tensors whole, by their names in our state dict. For a large matrix W it holds two thin factors
instead, NAME.left and NAME.right, whose product is added to it: W + A B. How a model learns such updates is in
training/low_rank.py. Here a delta is applied, and the result is written as a checkpoint of its own.

Source: Hu et al. 2022, "LoRA: Low-Rank Adaptation of Large Language Models", section 4.1.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load, load_file, save_file
from torch import Tensor

from minibert.errors import MinibertError
from minibert.factory import build
from minibert.files import Content, read_json
from minibert.heads import HEADS
from minibert.models import FAMILIES
from minibert.pinned import ASSETS, Made
from minibert.settings import read_config

LEFT, RIGHT = ".left", ".right"  # the ends of the factors' names in a delta


def applied(before: Mapping[str, Tensor], delta: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state dict that a delta makes of another, in float32.

    Raises MinibertError for a delta that does not fit: a factor without its partner, or another shape.
    """
    after = {name: tensor.float() for name, tensor in before.items()}
    factored = dict.fromkeys(name[: -len(end)] for name in delta for end in (LEFT, RIGHT) if name.endswith(end))
    for name in factored:
        left, right = delta.get(name + LEFT), delta.get(name + RIGHT)
        if left is None or right is None or name not in after:
            raise MinibertError(f"the delta's factors of {name} do not fit: use the model that it was made from.")
        if left.dim() != 2 or right.dim() != 2 or left.shape[1] != right.shape[0]:
            raise MinibertError(f"the delta's factors of {name} do not belong together: was its file edited?")
        _check_shape(name, (len(left), right.shape[1]), after)
        after[name] = torch.addmm(after[name], left.float(), right.float())
    for name, tensor in delta.items():
        if not name.endswith((LEFT, RIGHT)):
            _check_shape(name, tuple(tensor.shape), after)
            after[name] = tensor.float()
    return after


def _check_shape(name: str, shape: tuple[int, ...], known: Mapping[str, Tensor]) -> None:
    if name in known and tuple(known[name].shape) != shape:
        raise MinibertError(
            f"the delta has {name} in the shape {shape}, but the model has it in {tuple(known[name].shape)}: use the "
            "model that it was made from."
        )


def combined(name: str, made: Made, delta: bytes, folder: Path) -> dict[str, Content]:
    """The files of a checkpoint that is made: file name -> content, to be written together.

    name: what it is called. delta: the content of the file `made.delta`. folder: of the asset `made.base`.
    The checkpoint has the names that the ecosystem reads; what its head does not use (a pooler) is left out. Raises
    MinibertError if the delta cannot be read or does not fit the asset.
    """
    try:
        changes = load(delta)
    except Exception as problem:  # safetensors has errors of its own for a damaged file
        raise MinibertError(f"{made.delta} cannot be read ({problem}): install minibert again.") from None
    config = read_config(folder)
    family = FAMILIES[config.model_type]
    with torch.device("meta"):
        wanted = build(config, made.head).state_dict()
    theirs = {ours: family.theirs(ours.removeprefix("backbone."), made.head) for ours in wanted}
    raw = load_file(folder / "model.safetensors")
    # The file of a model without a head leaves the prefix out.
    found = {ours: raw.get(key, raw.get(key.removeprefix(family.prefix))) for ours, key in theirs.items()}
    after = applied({ours: tensor for ours, tensor in found.items() if tensor is not None}, changes)
    wrong = [ours for ours in {**wanted, **after} if ours not in wanted or ours not in after]
    wrong += [ours for ours in wanted if ours in after and after[ours].shape != wanted[ours].shape]
    if wrong:
        raise MinibertError(f"{made.delta} does not make a model of {made.base} ({wrong[0]}): install minibert again.")
    tensors = {theirs[ours]: after[ours].contiguous() for ours in wanted}
    architecture = family.class_names.get(made.head, family.stem + HEADS[made.head].architecture)
    described = read_json(folder / "config.json") | {"architectures": [architecture], "_name_or_path": name}
    return {
        "config.json": json.dumps(described, indent=2) + "\n",
        "model.safetensors": lambda path: save_file(tensors, path, metadata={"format": "pt"}),
        "README.md": _readme(name, made, folder),
        **{file: (folder / file).read_bytes() for file in made.kept},
    }


def _readme(name: str, made: Made, folder: Path) -> str:
    """What the checkpoint is and where it comes from, and then what its asset says of itself."""
    base = ASSETS[made.base]
    about = (
        f"# {name}\n\n{made.description}.\n\nMade by minibert from the weights in {base.package} {base.version}, which "
        f"were changed. Licence: {made.licence}.\n"
    )
    original = folder / "README.md"
    if not original.is_file():
        return about
    return f"{about}\nThe README of the weights that it is made from follows.\n\n---\n\n" + original.read_text("utf-8")
