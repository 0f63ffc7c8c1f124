"""Counting what a model has learned."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from minibert.exercises.calls import Built, Call
from minibert.exercises.declare import Exercise, Hints, Mistake, Probe
from minibert.exercises.moved import other_model
from minibert.factory import count_parameters as library_count


def counting_reference(
    model: nn.Module,
    *,
    repeated: str = "once",
    buffers: str = "left out",
    frozen: str = "counted",
    unit: str = "numbers",
    parts: str = "all",
) -> int:
    """How many numbers a model has learned, with knobs."""

    def named() -> Iterator[tuple[str, nn.Parameter]]:
        if repeated == "each module":  # tied tensors once for each module that has them
            for prefix, module in model.named_modules():
                yield from ((f"{prefix}.{name}", p) for name, p in module.named_parameters(recurse=False))
        elif repeated == "leaves":  # of modules that have none inside
            leaves = {prefix for prefix, module in model.named_modules() if not list(module.children())}
            yield from ((name, p) for name, p in model.named_parameters() if name.rpartition(".")[0] in leaves)
        elif repeated == "nested":
            for prefix, module in model.named_modules():
                yield from ((f"{prefix}.{name}", p) for name, p in module.named_parameters())
        elif repeated == "each layer":
            seen: set[int] = set()
            for name, p in model.named_parameters(remove_duplicate=False):
                if name.startswith("blocks.") or id(p) not in seen:
                    yield name, p
                seen.add(id(p))
        elif repeated == "values once":
            values: list[Tensor] = []
            for name, p in model.named_parameters():
                if not any(p.shape == other.shape and torch.equal(p, other) for other in values):
                    yield name, p
                values.append(p)
        elif repeated == "shape once":
            shapes: set[torch.Size] = set()
            for name, p in model.named_parameters():
                if p.shape not in shapes:
                    yield name, p
                shapes.add(p.shape)
        else:
            yield from model.named_parameters(remove_duplicate=repeated == "once")
            if repeated == "state dict":
                yield from model.named_buffers()

    def size(tensor: Tensor) -> int:
        return {"numbers": tensor.numel(), "tensors": 1, "bytes": tensor.numel() * tensor.element_size(),
                "rows": len(tensor), "axes": sum(tensor.shape)}[unit]  # fmt: skip

    total = 0
    for name, p in named():
        if frozen == "left out" and not p.requires_grad:
            continue
        if parts == "no biases" and name.endswith("bias"):
            continue
        if parts == "matrices" and p.dim() < 2:
            continue
        if parts == "no embeddings" and name.split(".")[0] == "word":
            continue
        total += size(p)
    if buffers == "counted" and repeated != "state dict":
        total += sum(size(buffer) for buffer in model.buffers())
    return total


def counting_probes() -> list[Probe]:
    #                                       V  D  tied  layers shared frozen buffer
    return [
        Probe("with nothing shared", Call((Built("counted", (11, 5, False, 3, False, False, 0)),))),
        Probe("with tied word embeddings", Call((Built("counted", (13, 3, True, 2, False, False, 0)),))),
        Probe("with shared blocks", Call((Built("counted", (11, 7, False, 4, True, False, 0)),))),
        Probe("with a frozen norm", Call((Built("counted", (17, 5, False, 2, False, True, 0)),))),
        Probe("with a buffer", Call((Built("counted", (19, 3, False, 2, False, False, 23)),))),
        Probe(
            "with a parameter of the model itself", Call((Built("counted", (29, 3, False, 2, False, False, 0, True)),))
        ),
        Probe("with all of that", Call((Built("counted", (23, 7, True, 5, True, True, 29)),))),
    ]


def count_by_parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def count_by_identity(model: nn.Module) -> int:
    tensors = {}
    for _, parameter in model.named_parameters(remove_duplicate=False):
        tensors[id(parameter)] = parameter
    total = 0
    for parameter in tensors.values():
        total += math.prod(parameter.shape)
    return total


def count_by_memory(model: nn.Module) -> int:
    # A tied tensor has one place in memory, whatever its names are.
    places = {}
    for module in model.modules():
        for parameter in module.parameters(recurse=False):
            places[parameter.data_ptr()] = parameter.nelement()
    return sum(places.values())


def count_by_vector(model: nn.Module) -> Tensor:
    return torch.tensor(len(nn.utils.parameters_to_vector(p.double() for p in model.parameters())))


EXERCISE = Exercise(
    name="count-parameters",
    topic="albert",
    title="How many parameters?",
    level="warm-up",
    minutes=5,
    function="count_parameters",
    signature="model",
    task=(
        "Count a model's parameters: all the numbers that it has learned or could learn.\n\n"
        "- `model`: an nn.Module. Some tensors may have several names (tied embeddings, shared blocks), some may be "
        "frozen (requires_grad is False), and the model may have buffers\n"
        "- returns an integer. A tensor that is used in several places counts once. Frozen parameters count, because "
        "they were learned earlier; buffers do not count, because they are never learned"
    ),
    source="Devlin et al. 2019, section 3 (110M, 340M); Lan et al. 2020, table 1",
    reference=counting_reference,
    solution=count_by_parameters,
    library=library_count,
    probes=counting_probes,
    tolerance=1e-12,
    moved=other_model,
    mistakes=(
        Mistake("every-name-counted", "repeated", "every name", "a tensor counts once for each of its names",
                "tied embeddings count twice, and a shared block L times; model.parameters() gives each tensor once",
                "How many names does a tied tensor have, and how many numbers?"),
        Mistake("state-dict-counted", "repeated", "state dict", "you add up everything in state_dict()",
                "it holds a tied tensor under each of its names, a shared block L times, and the buffers as well; "
                "use model.parameters()"),
        Mistake("tied-weights-twice", "repeated", "each module",
                "you go module by module, so a tied tensor counts once in each module that holds it",
                "BERT's count would be 23 million too large; remember which tensors you have seen"),
        Mistake("shared-blocks-per-layer", "repeated", "each layer", "a shared block counts once for each layer",
                "ALBERT's blocks would count as much as BERT's; count what is stored, not how often it is used"),
        Mistake("counted-at-every-level", "repeated", "nested",
                "you go through modules(), and count everything below each of them",
                "a weight counts once for its layer, again for its block and again for the model; use only "
                "model.parameters() of the whole model"),
        Mistake("leaves-only", "repeated", "leaves", "you count only modules that have no modules inside",
                "a parameter of a larger module itself is missed, such as the vector that XLNet's targets start from; "
                "use model.parameters() of the whole model"),
        Mistake("one-of-equal-values", "repeated", "values once", "of tensors with equal numbers, only one counts",
                "two new norms hold the same numbers but are two tensors; compare objects (is, id)"),
        Mistake("one-of-each-shape", "repeated", "shape once",
                "of all tensors with the same shape, only the first counts",
                "two tensors are the same only if they are one object, not if they have the same shape"),
        Mistake("buffers-counted", "buffers", "counted", "buffers count too",
                "position numbers and the like are stored, but they are not learned"),
        Mistake("frozen-left-out", "frozen", "left out", "frozen parameters are left out",
                "a model does not shrink when it is frozen; you count only the trainable parameters"),
        Mistake("tensors-counted", "unit", "tensors", "you count tensors and not the numbers in them",
                "add up numel()"),
        Mistake("bytes-counted", "unit", "bytes", "you count bytes", "a number takes 4 or 8 bytes; add up numel()"),
        Mistake("rows-counted", "unit", "rows", "only the first axis of each tensor is counted",
                "len(tensor) is its number of rows; numel() counts all its numbers"),
        Mistake("axes-added", "unit", "axes", "the sizes of the axes are added and not multiplied",
                "a 3 by 4 matrix holds 12 numbers; numel() multiplies"),
        Mistake("biases-left-out", "parts", "no biases", "the biases are left out", "they are learned as well"),
        Mistake("matrices-only", "parts", "matrices", "only matrices are counted",
                "biases and the norms' weights are vectors, and they are learned as well"),
        Mistake("embeddings-left-out", "parts", "no embeddings", "the word embeddings are left out",
                "some papers do that and say so; here everything counts"),
    ),
    hints=Hints(
        "Make a model of two linear layers that share one weight tensor. What do you get, and what do you expect?",
        "model.parameters() gives each tensor once, however many names it has. state_dict() and named_parameters("
        "remove_duplicate=False) give every name.",
        "Σ over distinct parameters of (the product of the sizes of its axes).",
        "return sum(... for parameter in model....())",
    ),
    equivalents=(count_by_identity, count_by_memory, count_by_vector),
)  # fmt: skip
