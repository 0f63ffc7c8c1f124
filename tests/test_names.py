"""Public functions that look a name up: whatever they are given, an unknown name is one sentence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import minibert
from minibert import claims
from minibert.errors import QUOTED, MinibertError, check_known, quoted
from minibert.layers import FeedForward
from minibert.training.data import load_reviews
from minibert.training.distillation import chosen_layers
from minibert.training.tasks import make_chooser


class Odd:
    def __repr__(self):
        raise RuntimeError("no text")


STRANGE = {
    "list": ["gelu"], "dict": {"gelu": 1}, "tensor": torch.zeros(2), "array": np.zeros(2), "number": 3.5,
    "bytes": b"gelu", "large": 10**5000, "digits": "9" * 5000, "nul": "ge\0lu", "path": Path("gelu"), "odd": Odd(),
}  # fmt: skip
NAMED = {
    "check": lambda name: minibert.check(name, lambda x: x),
    "hunt": lambda name: minibert.hunt(name),
    "a suspect": lambda name: minibert.hunt("gelu").name(name),
    "an example": lambda name: minibert.hunt("gelu").example(name),
    "without": lambda name: minibert.mine(without=[name]),
    "build": lambda name: minibert.build(name),
    "a head": lambda name: minibert.build("tiny-bert", name),
    "from_pretrained": lambda name: minibert.from_pretrained(name),
    "load_tokenizer": lambda name: minibert.load_tokenizer(name),
    "mine": lambda name: minibert.mine(name),
    "fill": lambda name: minibert.fill("a [MASK]", name),
    "explore": lambda name: minibert.explore("a", model=name),
    "claims": lambda name: claims.results([name]),
    "activation": lambda name: FeedForward(4, 4, name),
    "reviews": lambda name: load_reviews(name),
    "init": lambda name: chosen_layers(name, 6),
    "masking": lambda name: make_chooser(name, None, []),
    "a seed": lambda name: minibert.hunt("gelu", name),
}


@pytest.mark.many
@pytest.mark.parametrize("given", STRANGE)
@pytest.mark.parametrize("call", NAMED)
def test_what_is_no_name_is_one_sentence(call, given):
    with pytest.raises(MinibertError) as told:
        NAMED[call](STRANGE[given])
    assert len(str(told.value).splitlines()) == 1
    assert len(str(told.value)) < 1200


def test_a_known_name_passes_and_the_nearest_are_said():
    check_known("tree", "oak", ["oak", "elm"])
    with pytest.raises(MinibertError, match=r"^there is no tree 'oack' here; did you mean oak\?$"):
        check_known("tree", "oack", ["oak", "elm"], " here")
    with pytest.raises(MinibertError, match=r"^there is no tree \['oak'\]; known: oak, elm\.$"):
        check_known("tree", ["oak"], ["oak", "elm"])


def test_what_is_quoted_is_short_and_on_one_line():
    assert quoted("a") == "'a'"
    assert quoted(torch.zeros(2, 2)).count("\n") == 0
    assert len(quoted("x" * 10**5)) == QUOTED
    assert quoted(Odd()) == "<Odd>"
    assert quoted(10**5000) == "<int>"
