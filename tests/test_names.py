"""Public functions that look a name up: whatever they are given, an unknown name is one sentence."""

from __future__ import annotations

import inspect
from pathlib import Path

import numpy as np
import pytest
import torch

import minibert
from minibert import claims
from minibert.classroom.exam import write_exams
from minibert.classroom.exports import autograder
from minibert.classroom.grading import grade
from minibert.cli.tour import tour
from minibert.errors import QUOTED, MinibertError, check_known, check_seed, nearest, quoted
from minibert.layers import FeedForward
from minibert.models import PRESETS
from minibert.tokenizers import WordPiece
from minibert.training.data import load_reviews
from minibert.training.distillation import chosen_layers
from minibert.training.loop import Settings
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
}
SEEDED = {
    "hunt": lambda seed: minibert.hunt("gelu", seed),
    "build": lambda seed: minibert.build("tiny-bert", seed=seed),
    "explore": lambda seed: minibert.explore("a", model=BERT, tokenizer=TOK, seed=seed),
    "learn": lambda seed: minibert.mine(minibert.build(BERT.config, "masked-lm")).learn(["a"], TOK, steps=1, seed=seed),
    "reviews": lambda seed: load_reviews(seed=seed),
    "settings": lambda seed: Settings(steps=1, seed=seed),
    "exams": lambda seed: write_exams(Path("nowhere"), seed=seed),
    "grade": lambda seed: grade("nowhere", "nowhere either", seed=seed),
    "autograder": lambda seed: autograder([], seed=seed),
    "tour": lambda seed: tour("nowhere", seed=seed),
}
TOK = WordPiece({token: i for i, token in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a"])})
BERT = minibert.build(minibert.PRESETS["tiny-bert"].for_vocabulary(6, pad=0, cls=2, sep=3), seed=0)


@pytest.mark.many
@pytest.mark.parametrize("given", STRANGE)
@pytest.mark.parametrize("call", NAMED)
def test_what_is_no_name_is_one_sentence(call, given):
    with pytest.raises(MinibertError) as told:
        NAMED[call](STRANGE[given])
    assert len(str(told.value).splitlines()) == 1
    assert len(str(told.value)) < 1200


@pytest.mark.parametrize("given", [*STRANGE.values(), "3", "a", 1.0, True, 2**63, -(2**63) - 1], ids=quoted)
@pytest.mark.parametrize("call", SEEDED)
def test_what_is_no_seed_is_one_sentence(call, given, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MinibertError, match=r"^the seed must be an integer") as told:
        SEEDED[call](given)
    assert len(str(told.value).splitlines()) == 1
    assert len(str(told.value)) < 200
    assert not list(tmp_path.iterdir())


def test_each_public_function_with_a_seed_is_tried_above():
    seeded = {name for name in minibert.__all__ if "seed" in parameters(getattr(minibert, name))}
    assert seeded <= set(SEEDED)
    assert "build" in seeded


def parameters(value: object) -> tuple[str, ...]:
    return tuple(inspect.signature(value).parameters) if inspect.isfunction(value) else ()


def test_a_seed_may_be_any_integer_of_64_bits():
    for seed in (0, -1, 2**63 - 1, -(2**63), np.int64(3), torch.tensor(3)):
        assert check_seed(seed) == int(seed)
        assert type(check_seed(seed)) is int
        minibert.build(BERT.config, seed=seed)


@pytest.mark.parametrize(
    ("given", "known", "said"),
    [
        ("bert-bas", PRESETS, "bert-base-uncased, bert-base-cased or bart-base"),
        ("BERT-Base", PRESETS, "bert-base-uncased, bert-base-cased or bart-base"),
        ("minilm", ["minilm-l6", "movie-reviews", "minilm-l6-mlm"], "minilm-l6 or minilm-l6-mlm"),
        ("brt-base", PRESETS, "bart-base, bert-base-uncased or bert-base-cased"),  # nearly the beginning
        ("robert", PRESETS, "roberta-base, roberta-large or"),  # the beginning, before names that are more alike
        ("tiny", PRESETS, "tiny-bert, tiny-roberta or tiny-distilbert"),
        ("xxlarge", PRESETS, "albert-xxlarge-v2"),  # a part of it
        ("b", ["bart", "bert", "albert"], ""),  # too little to go by
        ("", ["bart"], ""),
        ("gpt", PRESETS, ""),
    ],
)
def test_names_that_begin_with_what_was_typed_come_first(given, known, said):
    begins = f"did you mean {said}" if said else "known: "
    assert nearest(given, known).startswith(begins), nearest(given, known)


@pytest.mark.parametrize("given", [("gelu", abs), (abs,), ({"gelu": abs},), ("nonsense", 3)])
def test_swap_without_a_name_says_how_it_is_called(given):
    with pytest.raises(MinibertError, match=r"as in `with minibert\.swap\(gelu=(abs|my_gelu)\):`; the parts are"):
        minibert.swap(*given)


def test_swap_refuses_before_the_block_begins():
    with pytest.raises(MinibertError, match="there is no part 'geluu' to swap; did you mean gelu"):
        minibert.swap(geluu=abs)


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
