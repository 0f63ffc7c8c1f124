"""E1: what does a student keep of its teacher? MiniLM-L6, fine-tuned, and students made from its layers.

The students differ in depth, in the teacher's layers that they start from, and in whether the teacher helps to train
them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from minibert.checkpoints import from_pretrained
from minibert.experiments.finetuning import classify
from minibert.experiments.grid import Cell, Experiment, Size
from minibert.factory import count_parameters
from minibert.files import read_json, write_files
from minibert.heads import MeanPooled
from minibert.tokenizers import load_tokenizer
from minibert.training.distillation import chosen_layers, make_student

MODEL, TEACHER_LAYERS = "minilm-l6", 6
LEARNING_RATE = 1e-4

# The variants, as the records name them.
TEACHER = "teacher"
DISTILLED, ALONE, FIRST, RANDOM = "alternate + distillation", "alternate", "first", "random"
DEPTHS, HALF = (3, 2, 1), 3  # layers of a student
DROPPED = "types dropped, 3 layers"  # distilled like DISTILLED, but starts as in the released code


def student(treatment: str, depth: int) -> str:
    """The name of the variant with a student of `depth` layers that is made in this way."""
    return f"{treatment}, {depth} layers"


def fine_tuned_teacher(seed: int, size: Size, work: Path) -> MeanPooled:
    """MiniLM-L6 fine-tuned with this seed; it is trained when it is first asked for."""
    folder = work / f"teacher-{seed}"
    path = folder / "classifier.safetensors"
    torch.manual_seed(seed)
    model = MeanPooled(from_pretrained(MODEL))
    if not path.exists():
        found = classify(model, load_tokenizer(MODEL), size, seed, folder, LEARNING_RATE)
        weights = model.state_dict()
        write_files(folder, {"found.json": json.dumps(found), path.name: lambda file: save_file(weights, file)})
    model.load_state_dict(load_file(path))
    return model.eval()


def teacher(seed: int, size: Size, work: Path) -> dict[str, Any]:
    model = fine_tuned_teacher(seed, size, work)
    return read_json(work / f"teacher-{seed}" / "found.json") | {"parameters": count_parameters(model)}


def kept(init: str, depth: int, distilled: bool, fold_types: bool = True) -> Cell:
    """A student with `depth` layers of the fine-tuned teacher, chosen as `init` says, and the teacher's classifier.

    distilled: whether the teacher also helps to train it. fold_types: see `student_from_teacher`.
    """

    def cell(seed: int, size: Size, work: Path) -> dict[str, Any]:
        teacher = fine_tuned_teacher(seed, size, work)
        layers = chosen_layers(init, len(teacher.backbone.encoder.order), depth)
        torch.manual_seed(seed)
        student = MeanPooled(make_student(teacher.backbone, init, layers, seed, fold_types))
        if init != "random":
            student.classifier.load_state_dict(teacher.classifier.state_dict())
        name = f"{init}{'+distillation' * distilled}{'' if fold_types else '-dropped'}-{depth}-{seed}"
        helper = teacher if distilled else None
        found = classify(student, load_tokenizer(MODEL), size, seed, work / name, LEARNING_RATE, helper)
        return found | {"parameters": count_parameters(student)}

    return cell


E1 = Experiment(
    "E1",
    {
        TEACHER: teacher,
        DROPPED: kept("alternate", 3, distilled=True, fold_types=False),
        **{
            student(treatment, depth): kept(init, depth, distilled)
            for depth in DEPTHS
            for treatment, init, distilled in (
                (DISTILLED, "alternate", True),
                (ALONE, "alternate", False),
                (FIRST, "first", False),
                (RANDOM, "random", False),
            )
        },
    },
    full=Size(texts=3000, epochs=3),
    quick=Size(texts=320, epochs=1, test_texts=300),
)
