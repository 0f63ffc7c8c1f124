"""Low-rank updates: a large matrix W stays as it is, and a thin product A B is learned and added to it (LoRA).

A fine-tuned copy of a model is then known from the model and a small file, its delta: the factors A and B of each
matrix, and whatever is small or new as it is. That is how the package holds a masked-LM version of MiniLM-L6. How a
delta is applied is in deltas.py.

Source: Hu et al. 2022, "LoRA: Low-Rank Adaptation of Large Language Models", section 4.1. Unlike there, the word
embeddings, biases and norms learn too.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.utils import parametrize

from minibert.deltas import LEFT, RIGHT
from minibert.errors import MinibertError
from minibert.files import write_file

DELTA = "delta.safetensors"


class LowRank(nn.Module):
    """Adds A B to a weight. A: (out, r), zero at the start, so that nothing changes. B: (r, in)."""

    def __init__(self, weight: Tensor, rank: int):
        super().__init__()
        rows, columns = weight.shape
        self.left = nn.Parameter(weight.new_zeros(rows, rank))
        self.right = nn.Parameter(torch.randn(rank, columns).to(weight) / columns**0.5)

    def forward(self, weight: Tensor) -> Tensor:
        return torch.addmm(weight, self.left, self.right)


def add_updates(model: nn.Module, rank: int) -> dict[str, Tensor]:
    """Let each matrix of the backbone learn a low-rank update only, in place; a head and all vectors learn wholly.

    Returns a copy of the state dict as it was, for `delta_of`. Raises MinibertError for a rank that is no smaller than
    the matrices.
    """
    backbone = getattr(model, "backbone", model)
    smallest = min(module.weight.shape[1] for module in backbone.modules() if isinstance(module, nn.Linear))
    if not 1 <= rank < smallest:
        raise MinibertError(f"the rank is {rank}; it must be from 1 to {smallest - 1}, less than the matrices' sizes.")
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    for module in list(backbone.modules()):
        if isinstance(module, (nn.Linear, nn.Embedding)):
            small = isinstance(module, nn.Embedding) and min(module.weight.shape) <= rank  # the token types
            module.weight.requires_grad_(False)
            if not small:
                parametrize.register_parametrization(module, "weight", LowRank(module.weight, rank))
    return before


def merge(model: nn.Module) -> None:
    """Turn the updates into ordinary weights, in place: W + A B."""
    for module in list(model.modules()):
        if parametrize.is_parametrized(module, "weight"):
            parametrize.remove_parametrizations(module, "weight", leave_parametrized=True)


def delta_of(model: nn.Module, before: Mapping[str, Tensor], dtype: torch.dtype = torch.float16) -> dict[str, Tensor]:
    """What has to be kept of a model with updates: their factors, and everything else that is not as before.

    before: the state dict from which the training started. Names are those of the merged model's state dict; a matrix
    with an update has NAME.left and NAME.right.
    """
    delta = {}
    for name, tensor in model.state_dict().items():
        if ".parametrizations." not in name:
            if name not in before or not torch.equal(before[name], tensor):
                delta[name] = tensor.to(dtype)
        elif not name.endswith(".original"):
            module, _, factor = name.partition(".parametrizations.")
            delta[f"{module}.weight.{factor.rpartition('.')[2]}"] = tensor.to(dtype)
    return delta


def save_delta(folder: str | Path, model: nn.Module, before: Mapping[str, Tensor]) -> Path:
    """Write `delta_of` a model with updates to DELTA in a folder; returns the file's path."""
    delta = {name: tensor.contiguous() for name, tensor in delta_of(model, before).items()}
    return write_file(Path(folder) / DELTA, lambda path: save_file(delta, path))


def cut(before: Mapping[str, Tensor], after: Mapping[str, Tensor], rank: int) -> dict[str, Tensor]:
    """The best delta of this rank for a model that was trained wholly: each difference, cut by singular values."""
    delta = {}
    for name, tensor in after.items():
        if name not in before or (tensor.dim() < 2 and not torch.equal(before[name], tensor)):
            delta[name] = tensor.half()
        elif tensor.dim() == 2 and min(tensor.shape) > rank:
            left, values, right = torch.svd_lowrank(tensor.double() - before[name].double(), q=rank + 16, niter=4)
            root = values[:rank].sqrt()
            delta[name + LEFT], delta[name + RIGHT] = (left[:, :rank] * root).half(), (right[:, :rank] * root).T.half()
    return delta
