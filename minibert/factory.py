"""Make a fresh model, and count what it is made of."""

from __future__ import annotations

import torch
from torch import nn

from minibert.config import ModelConfig
from minibert.errors import MinibertError, check_known, check_seed, quoted
from minibert.heads import WithHead, add_head
from minibert.model import Model, initialise
from minibert.models import FAMILIES, PRESETS


def preset(name: str) -> ModelConfig:
    """The config with that name. Raises MinibertError, with the nearest names, when there is none."""
    check_known("preset", name, PRESETS)
    return PRESETS[name]


def build(name_or_config: str | ModelConfig, head: str | None = None, seed: int | None = None) -> Model | WithHead:
    """A fresh model with random weights, initialised as the released code does.

    name_or_config: a key of PRESETS, or a config. head: a key of heads.HEADS, or None for the bare model.
    seed: fixes the weights, and leaves torch's own random state as it was.

    Under ``torch.device("meta")`` nothing is allocated and no weights are drawn: a model of any size takes
    milliseconds, and its parameters can be counted. Raises MinibertError for an unknown preset or head, and for a seed
    that is not an integer.
    """
    config = name_or_config if isinstance(name_or_config, ModelConfig) else preset(name_or_config)
    seed = None if seed is None else check_seed(seed)
    with torch.random.fork_rng(devices=[], enabled=seed is not None):
        if seed is not None:
            torch.manual_seed(seed)
        backbone = FAMILIES[config.model_type].model(config)
        initialise(backbone, config.initializer_range)
        return backbone if head is None else add_head(backbone, head)


def count_parameters(model: nn.Module) -> int:
    """The number of learned parameters; a tensor that is used twice (tied, shared) counts once."""
    check_is_model(model)
    return sum(parameter.numel() for parameter in model.parameters())


def parameters_by_part(model: nn.Module) -> dict[str, int]:
    """Where the parameters are: a part's name -> its number of parameters. The values sum to count_parameters.

    Parts: "word embeddings", "other embeddings" (positions, token types, their norm), "projection" (ALBERT's
    E x H), "encoder", "decoder", "pooler", "head"; those that a model lacks are left out.
    """
    check_is_model(model)
    backbone = model.backbone if isinstance(model, WithHead) else model
    parts: dict[str, int] = {}
    for name, parameter in model.named_parameters():  # yields a tied tensor once
        part = part_of(name.removeprefix("backbone.")) if backbone is model or name.startswith("backbone.") else "head"
        parts[part] = parts.get(part, 0) + parameter.numel()
    return parts


def check_is_model(model: nn.Module) -> None:
    if not isinstance(model, nn.Module):
        raise MinibertError(
            f"{quoted(model)} is not a model: pass what build returns, as in count_parameters(build(name))."
        )


def part_of(parameter_name: str) -> str:
    """The part that a backbone's parameter belongs to, from its name."""
    first, second = (*parameter_name.split("."), "")[:2]
    if first == "embeddings":
        return {"word": "word embeddings", "projection": "projection"}.get(second, "other embeddings")
    return first
