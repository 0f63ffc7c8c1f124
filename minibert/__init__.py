"""minibert: the BERT family from scratch, to read, run, break and repair.

The shapes in every docstring are written with these letters:

    B  batch          texts in a batch
    S  sequence       tokens in a text; T, when attention runs from one sequence to another
    D  hidden         features of a token
    H  heads          attentions computed side by side
    K  head size      D / H
    F  feed-forward   width of the layer in between
    V  vocabulary     word pieces that the model knows
    E  embedding      features of a word piece in ALBERT and MobileBERT, before the projection to D
    L  layers         blocks run one after the other
    N  real tokens    of a batch, without the padding
"""

from __future__ import annotations

from typing import Any

__version__ = "0.1.0"

# The module of each public name. Modules are imported when first used, so that `import minibert` is quick.
_HOME = {
    "PRESETS": "minibert.models",
    "build": "minibert.factory",
    "count_parameters": "minibert.factory",
    "parameters_by_part": "minibert.factory",
    "from_pretrained": "minibert.checkpoints",
    "save_pretrained": "minibert.checkpoints",
    "load_tokenizer": "minibert.tokenizers",
    "distillation_loss": "minibert.training.distillation",
    "cosine_hidden_loss": "minibert.training.distillation",
    "triple_loss": "minibert.training.distillation",
    "student_from_teacher": "minibert.training.distillation",
    "check": "minibert.exercises.check",
    "swap": "minibert.exercises.swap",
    "progress": "minibert.exercises.progress",
    "explore": "minibert.lessons.explorer",
    "MinibertError": "minibert.errors",
}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'minibert' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
