"""A few lines of code, tried on models that are small enough to be made in milliseconds."""

from __future__ import annotations

from typing import Any

import torch

from minibert.encoder import Backbone
from minibert.factory import build, preset
from minibert.models.bert import BertConfig
from minibert.models.distilbert import DistilBertConfig
from minibert.training.distillation import RELEASED_LAYERS, alternate_layers, student_from_teacher

SMALL = {"vocab_size": 50, "hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 32}


def try_students() -> dict[str, Any]:
    """Which of its teacher's blocks a student starts from.

    Figures: the number of "teacher_blocks", and of "published_blocks" in DistilBERT; the layers that a student copies
    when it takes every second one ("alternate") and when it does as the released code does ("released").
    """
    teacher = build(BertConfig(**SMALL), seed=0)
    depth = len(teacher.encoder.blocks)
    return {
        "teacher_blocks": depth,
        "published_blocks": preset("distilbert-base-uncased").num_hidden_layers,
        "alternate": _copied_layers(teacher, student_from_teacher(teacher, alternate_layers(depth))),
        "released": _copied_layers(teacher, student_from_teacher(teacher, RELEASED_LAYERS)),
    }


def _copied_layers(teacher: Backbone, student: Backbone) -> list[int]:
    """The teacher's blocks that are equal to the student's, in the student's order."""
    return [
        layer
        for copy in student.encoder.blocks
        for layer, original in enumerate(teacher.encoder.blocks)
        if all(map(torch.equal, copy.parameters(), original.parameters()))
    ]


def try_unpacking() -> dict[str, Any]:
    """What `_, output = model(...)` does, a line that is often shown with DistilBERT.

    Figures: the "error" that it raises, or None; the same if outputs are dictionaries ("dict_error"), and what
    `output` is when such a dictionary has two fields ("dict_binds"); the shape of the vector to use instead
    ("first_position_shape").
    """
    model = build(DistilBertConfig(**SMALL, num_hidden_layers=2), seed=0).eval()
    ids = torch.tensor([[2, 7, 9, 3]])
    mask = torch.ones_like(ids)
    output = model(ids, attention_mask=mask)
    with_layers = model(ids, attention_mask=mask, return_hidden=True)
    return {
        "error": _unpack(output)[0],
        "dict_error": _unpack(_as_dict(output))[0],
        "dict_binds": _unpack(_as_dict(with_layers))[1],
        "first_position_shape": list(output.last_hidden_state[:, 0].shape),
    }


def _unpack(returned: object) -> tuple[str | None, object]:
    """Try `_, output = ...` on what a model returned: the error's text or None, and what `output` then is."""
    try:
        _, output = returned
    except (TypeError, ValueError) as error:
        return f"{type(error).__name__}: {error}", None
    return None, output


def _as_dict(output: object) -> dict[str, object]:
    """The fields that have a value, as in libraries whose outputs are dictionaries."""
    return {name: value for name, value in vars(output).items() if value is not None}
