"""A student that starts from every second layer of its teacher."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from minibert.exercises.calls import Call
from minibert.exercises.declare import Exercise, Hints, Mistake, Probe
from minibert.exercises.probes import randn
from minibert.factory import build
from minibert.models.bert import BertConfig
from minibert.training import distillation

BLOCKS = "encoder.blocks."


def student_reference(
    teacher: dict[str, Tensor],
    num_layers: int,
    *,
    layers: str = "alternate",
    numbers: str = "from 0",
    copies: str = "own",
    types: str = "dropped",
    pooler: str = "dropped",
    kept: str = "all",
    original: str = "left alone",
) -> dict[str, Tensor]:
    """The student's weights with knobs."""
    half = math.ceil(num_layers / 2)
    as_text = sorted(range(num_layers), key=str)
    chosen = {
        "alternate": list(range(0, num_layers, 2)),
        "first half": list(range(half)),
        "last half": list(range(num_layers - half, num_layers)),
        "odd": list(range(1, num_layers, 2)),
        "every third": list(range(0, num_layers, 3)),
        "all": list(range(num_layers)),
        "released": [layer for layer in (0, 2, 4, 7, 9, 11) if layer < num_layers],
        "as text": as_text[::2],
        "beginning of the number": list(range(0, num_layers, 2)),
        "one digit": [layer for layer in range(0, num_layers, 2) if layer < 10],
        "rounded down": [2 * i for i in range(num_layers // 2)],
    }[layers]
    new = {
        layer: {"from 0": i, "kept": layer, "from 1": i + 1, "reversed": len(chosen) - 1 - i}[numbers]
        for i, layer in enumerate(chosen)
    }
    student = {}
    for name, tensor in teacher.items():
        if name.startswith(BLOCKS):
            number, rest = name.removeprefix(BLOCKS).split(".", 1)
            if layers == "beginning of the number":  # "2" also finds 20 to 29, and the last one stays
                number = next((str(n) for n in chosen if number.startswith(str(n))), number)
            if int(number) not in new:
                continue
            target = f"{BLOCKS}{new[int(number)]}.{rest}"
        else:
            if name.startswith("embeddings.token_type.") and types == "dropped":
                continue
            if name.startswith("pooler.") and pooler == "dropped":
                continue
            if kept == "blocks" or (kept == "no positions" and "position" in name):
                continue
            target = name
        if (kept == "weights" and name.endswith("bias")) or (kept == "no norms" and "norm" in name):
            continue
        student[target] = tensor.clone() if copies == "own" else tensor
    if original == "emptied":
        for name in [name for name in teacher if "token_type" in name or "pooler" in name]:
            del teacher[name]
    return student


def a_teacher(num_layers: int, seed: int) -> dict[str, Tensor]:
    """A few of a BERT's tensors: enough to tell layers and names apart, and few enough to read in a message."""
    width, middle = 3, 4
    shapes = {
        "embeddings.word.weight": (7, width), "embeddings.position.weight": (5, width),
        "embeddings.token_type.weight": (2, width),
        "embeddings.norm.weight": (width,), "embeddings.norm.bias": (width,),
    }  # fmt: skip
    for layer in range(num_layers):
        shapes |= {
            f"{BLOCKS}{layer}.attention.query.weight": (width, width),
            f"{BLOCKS}{layer}.feed_forward.expand.bias": (middle,),
            f"{BLOCKS}{layer}.norm.weight": (width,),
        }
    shapes |= {"pooler.dense.weight": (width, width), "pooler.dense.bias": (width,)}
    return {name: randn(*shape, seed=seed + i) for i, (name, shape) in enumerate(shapes.items())}


def student_probes() -> list[Probe]:
    return [
        Probe(f"with a teacher of {depth} layers", Call((a_teacher(depth, 1000 * depth), depth)), {"V": 7, "D": 3})
        for depth in (12, 6, 3, 24)
    ]


def student_by_names(teacher: dict[str, Tensor], num_layers: int) -> dict[str, Tensor]:
    student = {}
    for name, tensor in teacher.items():
        if name.startswith(("embeddings.token_type.", "pooler.")):
            continue
        parts = name.split(".")  # encoder, blocks, the layer's number, ...
        if parts[:2] == ["encoder", "blocks"]:
            layer = int(parts[2])
            if layer % 2 == 1:
                continue
            parts[2] = str(layer // 2)
        student[".".join(parts)] = tensor.clone()
    return student


def student_by_layers(teacher: dict[str, Tensor], num_layers: int) -> dict[str, Tensor]:
    student = {}
    for new, old in enumerate(range(0, num_layers, 2)):
        start = f"encoder.blocks.{old}."
        for name in teacher:
            if name.startswith(start):
                student[f"encoder.blocks.{new}." + name[len(start) :]] = teacher[name].detach().clone()
    for name in ("word.weight", "position.weight", "norm.weight", "norm.bias"):
        student[f"embeddings.{name}"] = teacher[f"embeddings.{name}"].detach().clone()
    return student


def student_by_table(teacher: dict[str, Tensor], num_layers: int) -> dict[str, Tensor]:
    table = {f"encoder.blocks.{2 * i}.": f"encoder.blocks.{i}." for i in range((num_layers + 1) // 2)}
    table |= {f"embeddings.{part}.": f"embeddings.{part}." for part in ("word", "position", "norm")}
    return {
        new + name.removeprefix(old): torch.empty_like(tensor).copy_(tensor)
        for name, tensor in teacher.items()
        for old, new in table.items()
        if name.startswith(old)
    }


def student_by_deep_copy(teacher: dict[str, Tensor], num_layers: int) -> dict[str, Tensor]:
    from copy import deepcopy

    student = deepcopy(teacher)
    for layer in range(num_layers):
        for name in [name for name in student if name.startswith(f"encoder.blocks.{layer}.")]:
            tensor = student.pop(name)
            if layer % 2 == 0:
                student[name.replace(f"blocks.{layer}.", f"blocks.{layer // 2}.")] = tensor
    return {name: tensor for name, tensor in student.items() if "token_type" not in name and "pooler" not in name}


def student_by_library(teacher: dict[str, Tensor], num_layers: int) -> dict[str, Tensor]:
    """The student of a real Bert with these weights, without the tensors that the dict does not have."""
    words, width = teacher["embeddings.word.weight"].shape
    config = BertConfig(
        vocab_size=words,
        hidden_size=width,
        num_hidden_layers=num_layers,
        num_attention_heads=1,
        intermediate_size=len(teacher[f"{BLOCKS}0.feed_forward.expand.bias"]),
        max_position_embeddings=len(teacher["embeddings.position.weight"]),
    )
    bert = build(config)
    bert.load_state_dict(teacher, strict=False)  # all other tensors of the real one keep their initial values
    known = {name.removeprefix(f"{BLOCKS}0.") for name in teacher}
    student = distillation.student_from_teacher(bert).state_dict()
    return {
        name: tensor
        for name, tensor in student.items()
        if name in known or (name.startswith(BLOCKS) and name.removeprefix(BLOCKS).split(".", 1)[1] in known)
    }


EXERCISE = Exercise(
    name="student-from-teacher",
    topic="distillation",
    title="A student made from its teacher",
    level="challenge",
    minutes=20,
    function="student_from_teacher",
    signature="teacher, num_layers",
    task=(
        "Start the student from half of its teacher's layers: \"one layer out of two\".\n\n"
        "- `teacher`: a dict from names to tensors, such as a model's state_dict(). Its names: "
        "`embeddings.word.weight`, `embeddings.position.weight`, `embeddings.token_type.weight`, "
        "`embeddings.norm.weight`, `embeddings.norm.bias`; `encoder.blocks.{i}.` followed by `attention.query.weight`, "
        "`norm.weight` and so on, for layer i from 0 to num_layers − 1; `pooler.dense.weight`, `pooler.dense.bias`\n"
        "- `num_layers`: how many layers the teacher has, such as 12\n"
        "- returns the student's dict: word embeddings, position embeddings and the embeddings' norm under the same "
        "names, and the teacher's layers 0, 2, 4, ... as the student's layers 0, 1, 2, ... (of three layers: 0 and 2, "
        "as 0 and 1). No token types, no pooler\n\n"
        "All tensors are copies that share no memory with the teacher's, and the teacher's dict is not changed."
    ),
    source="Sanh et al. 2019, section 3, \"Student initialization\"",
    reference=student_reference,
    solution=student_by_names,
    library=student_by_library,
    probes=student_probes,
    looks_at_aliases=True,
    mistakes=(
        Mistake("first-half", "layers", "first half", "the student gets the lower half of the layers",
                "the upper half, where words become meanings, is lost; take every second layer, from 0"),
        Mistake("last-half", "layers", "last half", "the student gets the upper half of the layers",
                "they expect what the lower half computes from the words; take every second layer, from 0"),
        Mistake("off-by-one", "layers", "odd", "the student gets layers 1, 3, 5 and so on",
                "layer 0 reads the embeddings themselves, and no other layer has learned to do that; begin with 0"),
        Mistake("every-third", "layers", "every third", "the student gets every third layer",
                "it should have half of its teacher's layers, every second one"),
        Mistake("all-layers", "layers", "all", "the student gets all the layers",
                "it is no smaller than its teacher; take every second layer"),
        Mistake("released-choice", "layers", "released",
                "your student starts from layers 0, 2, 4, 7, 9 and 11 of twelve",
                "that is what the authors' released code does, another good choice; but this exercise follows the "
                "paper, one layer out of two, which means 0, 2, 4, 6, 8 and 10"),
        Mistake("layers-in-order-of-text", "layers", "as text", "the layer numbers are sorted as text",
                "then \"10\" comes before \"2\", so the student's layers are out of order; turn the number into an "
                "int first"),
        Mistake("beginning-of-the-number", "layers", "beginning of the number",
                "a layer is recognised by the beginning of its number, so 2 finds 20 to 23 as well",
                "their weights overwrite those of layer 2; compare the number together with the dot after it"),
        Mistake("two-digit-layers-lost", "layers", "one digit", "only layers with a number of one digit are found",
                "layer 10 is lost; read the number up to the next dot"),
        Mistake("half-rounded-down", "layers", "rounded down", "an odd number of layers is halved and rounded down",
                "of three layers the student gets two, 0 and 2; range(0, num_layers, 2) gives both"),
        Mistake("not-renumbered", "numbers", "kept", "the layers keep the teacher's numbers",
                "the student has no layer 10; number them 0, 1, 2 and so on"),
        Mistake("numbered-from-1", "numbers", "from 1", "the student's layers are numbered from 1",
                "its layer 0 gets nothing; number them 0, 1, 2 and so on"),
        Mistake("order-reversed", "numbers", "reversed", "the student's layers are in reverse order",
                "the layer that reads the embeddings comes last; keep the teacher's order"),
        Mistake("aliased", "copies", "shared", "the student's tensors are the teacher's own",
                "training the student would change its teacher step by step; clone them",
                "What happens to the teacher when the student takes its first training step?"),
        Mistake("token-types-kept", "types", "kept", "the token types are kept",
                "DistilBERT has none, and does not tell the first sentence from the second"),
        Mistake("pooler-kept", "pooler", "kept", "the pooler is kept",
                "DistilBERT has none, because it has no sentence-pair task that would need one"),
        Mistake("embeddings-forgotten", "kept", "blocks", "only the blocks are copied",
                "the student would know no words; copy the word embeddings, the position embeddings and the "
                "embeddings' norm too"),
        Mistake("positions-forgotten", "kept", "no positions", "the position embeddings are left out",
                "only the token types and the pooler are dropped"),
        Mistake("biases-forgotten", "kept", "weights", "the biases are left out",
                "a layer has weights and biases; copy both"),
        Mistake("norms-forgotten", "kept", "no norms", "the layer norms are left out",
                "they have learned weights like the rest; only the token types and the pooler are dropped"),
        Mistake("teacher-emptied", "original", "emptied", "token types and pooler are deleted from the teacher's dict",
                "the caller's teacher is broken afterwards; build a new dict and leave the teacher's as it is"),
    ),
    hints=Hints(
        "Print the teacher's names first. Which of them does the student have, and under what name?",
        "There are three kinds of names: those that stay as they are, those that are dropped, and those of a layer. "
        "Of the layers, every second one is kept under a new number. A number may have two digits.",
        "encoder.blocks.{2i}.rest → encoder.blocks.{i}.rest, each tensor a clone.",
        "for name, tensor in teacher.items():\n    if name.startswith((..., ...)): continue\n"
        "    parts = name.split(\".\")\n    if parts[:2] == [\"encoder\", \"blocks\"]:\n"
        "        if int(parts[2]) % 2 == ...: continue\n        parts[2] = str(...)\n"
        "    student[\".\".join(parts)] = ...",
    ),
    equivalents=(student_by_layers, student_by_table, student_by_deep_copy),
)  # fmt: skip
