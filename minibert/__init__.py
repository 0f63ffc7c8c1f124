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

import os
import sys


def _leave_out_the_readers_folders() -> None:
    """Import nothing more from the current folder, nor from a folder that the command line names.

    These may hold files of others, such as the submissions of a class, and one of them may be called socket.py. `python
    -m` puts the current folder first, and PYTHONPATH may name it. The package's own modules are found without them.
    """

    def real(path: str) -> str:
        return os.path.normcase(os.path.realpath(path))

    def inside(path: str, folders: "set[str]") -> bool:
        return any(path == one or path.startswith(one.rstrip(os.sep) + os.sep) for one in folders)

    here = real(os.getcwd())
    texts = [part for one in sys.argv[1:] for part in (one, one.partition("=")[2]) if part]
    named = {real(one) for one in texts if os.path.isdir(one)}
    named |= {real(os.path.dirname(one) or ".") for one in texts if os.path.isfile(one)}
    variable = {real(one) for one in os.environ.get("PYTHONPATH", "").split(os.pathsep)}
    places = {one: real(one or ".") for one in sys.path}
    sys.path[:] = [
        one
        for one, place in places.items()
        if place not in {here, *named} and not (place in variable and inside(place, {here, *named}))
    ]


# Before anything else is imported. Under `python -m`, sys.argv begins with "-m" until the package has been found.
_program = os.path.basename(sys.argv[0] if sys.argv else "").lower()
_as_module = sys.argv[:1] == ["-m"] and any(one in ("minibert", "-mminibert") for one in sys.orig_argv)
if _as_module or _program in ("minibert", "minibert.exe", "minibert-script.py"):
    _leave_out_the_readers_folders()

from typing import Any  # noqa: E402

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
    "fill": "minibert.filling",
    "distillation_loss": "minibert.training.distillation",
    "cosine_hidden_loss": "minibert.training.distillation",
    "triple_loss": "minibert.training.distillation",
    "student_from_teacher": "minibert.training.distillation",
    "check": "minibert.exercises.check",
    "swap": "minibert.exercises.swap",
    "progress": "minibert.exercises.progress",
    "hunt": "minibert.exercises.hunts",
    "mine": "minibert.own.model",
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
