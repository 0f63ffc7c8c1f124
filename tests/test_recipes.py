"""The recipes of the training commands: what they read, which models they make, and how they score."""

from __future__ import annotations

import pytest
import torch
from tiny import expect_refusal
from training_tiny import TOKENIZER, small

from minibert.checkpoints import save_pretrained
from minibert.models import PRESETS
from minibert.training import recipes
from minibert.training.data import Review

TEXTS = [Review(text, label, "made up") for text, label in (("a b. c d", 1), ("e f. g h", None))]


@pytest.fixture(autouse=True)
def whole_words(monkeypatch):
    monkeypatch.setattr(recipes, "split_sentences", lambda text: text.split(". "))


def test_single_texts_are_truncated_and_keep_their_labels():
    examples = recipes.single_texts(TEXTS, TOKENIZER, 4)
    assert [example.ids[1:-1] for example in examples] == [[5, 6], [9, 10]]
    assert [example.label for example in examples] == [1, 0]


def test_the_rows_of_each_objective():
    a, b, c, d, e, f, g, h = range(5, 13)
    cls, sep = TOKENIZER.cls_id, TOKENIZER.sep_id

    def rows(objective: str) -> list[list[int]]:
        return [example.ids for example in recipes.examples_for(objective, TEXTS, TOKENIZER, 12, seed=0)]

    assert rows("mlm") == [[cls, *TOKENIZER.ids(text.text), sep] for text in TEXTS]
    assert rows("full-sentences") == [[cls, a, b, c, d, sep, e, f, g, h, sep]]
    for objective in recipes.PAIRS:
        pairs = recipes.examples_for(objective, TEXTS, TOKENIZER, 12, seed=0)
        assert all(0 in pair.type_ids and 1 in pair.type_ids for pair in pairs)
        assert pairs == recipes.examples_for(objective, TEXTS, TOKENIZER, 12, seed=0)
    swapped = {pair.label for seed in range(9) for pair in recipes.examples_for("mlm+sop", TEXTS, TOKENIZER, 12, seed)}
    assert swapped == {0, 1}


def test_an_unknown_objective_is_refused():
    with expect_refusal("no objective 'clm'", "did you mean mlm"):
        recipes.examples_for("clm", TEXTS, TOKENIZER, 12, seed=0)


def test_the_number_of_steps():
    assert recipes.steps_of(3, examples=100, batch_size=32) == 9
    assert recipes.steps_of(0.5, examples=100, batch_size=10) == 5
    assert recipes.steps_of(2, examples=3, batch_size=32) == 2  # one batch, smaller than the others
    assert recipes.steps_of(0.01, examples=100, batch_size=32) == 1


def test_a_preset_is_built_with_the_size_of_the_vocabulary():
    model = recipes.model_for("tiny-bert", "masked-lm", TOKENIZER, seed=0)
    assert model.config.vocab_size == TOKENIZER.vocab_size
    assert model.config.hidden_size == PRESETS["tiny-bert"].hidden_size


def test_a_teacher_tells_whether_its_head_is_fresh(tmp_path):
    save_pretrained(tmp_path / "with", small("masked-lm"), TOKENIZER)
    save_pretrained(tmp_path / "without", small(None), TOKENIZER)
    assert not recipes.teacher_with_head(str(tmp_path / "with"), TOKENIZER, seed=0)[1]
    one, is_fresh = recipes.teacher_with_head(str(tmp_path / "without"), TOKENIZER, seed=0)
    other, _ = recipes.teacher_with_head(str(tmp_path / "without"), TOKENIZER, seed=1)
    assert is_fresh
    assert not torch.equal(one.lm.dense.weight, other.lm.dense.weight)


def test_a_classifier_of_other_classes_is_refused(tmp_path):
    save_pretrained(tmp_path, small("sequence-classification"), TOKENIZER)  # six classes
    with expect_refusal("tells 6 classes apart, but there are two here"):
        recipes.classifier_for(str(tmp_path), TOKENIZER, seed=0)
