"""Claims about code: a few lines that are tried, on models small enough to be made while you blink."""

from __future__ import annotations

import torch

from minibert.claims.counted import BERT, DISTILBERT
from minibert.claims.records import CONDITION, FAILS, HOLDS, Claim, Figures, Judgement
from minibert.encoder import Backbone
from minibert.factory import build, preset
from minibert.models.bert import BertConfig
from minibert.models.distilbert import DistilBertConfig
from minibert.training.distillation import RELEASED_LAYERS, alternate_layers, student_from_teacher

SMALL = {"vocab_size": 50, "hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 32}

# ------------------------------------------------------------------------- D4: which blocks the student starts from


def try_students() -> Figures:
    teacher = build(BertConfig(**SMALL), seed=0)
    depth = len(teacher.encoder.blocks)
    return {
        "teacher_blocks": depth,
        "published_blocks": preset(DISTILBERT).num_hidden_layers,
        "alternate": _copied_layers(teacher, student_from_teacher(teacher, alternate_layers(depth))),
        "released": _copied_layers(teacher, student_from_teacher(teacher, RELEASED_LAYERS)),
    }


def _copied_layers(teacher: Backbone, student: Backbone) -> list[int]:
    """Which of the teacher's blocks the student's are equal to, in the student's order."""
    return [
        layer
        for copy in student.encoder.blocks
        for layer, original in enumerate(teacher.encoder.blocks)
        if all(map(torch.equal, copy.parameters(), original.parameters()))
    ]


def judge_students(figures: Figures) -> Judgement:
    """Holds when half the blocks are kept and the released choice is every second one; the choice is a condition."""
    depth, alternate, released = figures["teacher_blocks"], figures["alternate"], figures["released"]
    halved = figures["published_blocks"] == len(alternate) == len(released) == depth // 2
    strict = released == alternate == list(range(0, depth, 2))
    skipped = [layer for layer in range(depth - 1) if layer not in released and layer + 1 not in released]
    gap = "".join(f", and leaves out both {layer} and {layer + 1}" for layer in skipped)
    return Judgement(
        f"{len(alternate)} blocks; every second one is {_listed(alternate)}, the released code copies "
        f"{_listed(released)}",
        FAILS if not halved else HOLDS if strict else CONDITION,
        f"Half the depth, yes; but the released code does not alternate strictly{gap}. The student made here follows "
        "the paper's words by default, and takes any other choice of layers.",
    )


def _listed(layers: list[int]) -> str:
    return ", ".join(map(str, layers))


# ------------------------------------------------------------------------------- D8: the code that is often shown


def try_unpacking() -> Figures:
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
    """The fields that are filled in, as libraries do whose outputs are dictionaries."""
    return {name: value for name, value in vars(output).items() if value is not None}


def judge_unpacking(figures: Figures) -> Judgement:
    """Holds when the line runs as it stands."""
    error = figures["error"]
    return Judgement(
        f"`{error}`" if error else "the line runs",
        FAILS if error else HOLDS,
        "DistilBERT has no pooler, so there is no second value to unpack; where outputs are dictionaries, the line "
        f"stops too, or binds the name {figures['dict_binds']!r} as soon as there is a second field. Write "
        "`model(...).last_hidden_state[:, 0]`, the first position, and use a sigmoid only for yes-or-no or several "
        "labels at once: one class of many takes a softmax.",
    )


RUN = (
    Claim(
        id="D4",
        statement="DistilBERT has 6 blocks for BERT-base's 12 and starts training from every second one of them.",
        source="Sanh et al. 2019, section 3, and the released code",
        models=(BERT, DISTILBERT),
        paper_value="one layer out of two",
        kind="run",
        measure=try_students,
        judge=judge_students,
    ),
    Claim(
        id="D8",
        statement="`_, output = model(input, attention_mask=mask)` and a sigmoid turn DistilBERT into a classifier.",
        source="often shown in introductions; Sanh et al. 2019, section 3, says: no pooler",
        models=(DISTILBERT,),
        paper_value="code that is shown as working",
        kind="run",
        measure=try_unpacking,
        judge=judge_unpacking,
    ),
)
