"""Labels that a text itself gives: worked examples, the rows that are made of them, and the score."""

from __future__ import annotations

import pytest
import torch
from tiny import CONFIGS
from torch import nn
from training_tiny import TOKENIZER, small

from minibert.errors import MinibertError
from minibert.experiments.tasks import WordClasses
from minibert.losses import IGNORE
from minibert.tokenizers import WordPiece
from minibert.training.token_labels import (
    FOUND,
    LABELS,
    Word,
    WordLabels,
    case_of,
    count_found,
    f1_by_guessing,
    label_words,
    labelled_words,
    macro_f1,
    restored,
    words_example,
)

PIECES = WordPiece(
    {token: at for at, token in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "it", "good", "##ness", "is"])}
)


def labels(text: str) -> list[str]:
    return [LABELS[word.label] for word in labelled_words(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Well, is it good?", ["Capital,", "lower", "lower", "lower?"]),
        ("I SAW IT.", ["Capital", "UPPER", "UPPER."]),
        ("No! Never...", ["Capital.", "Capital."]),
        ('He said: "Go; run", and left', ["Capital", "lower,", "Capital.", "lower,", "lower", "lower"]),
        ("what?! (really) - yes", ["lower?", "lower", "lower"]),
        ("3.5 of 10/10, i.e. good", ["lower", "lower", "lower", "lower", "lower,", "lower", "lower.", "lower"]),
        ("don't O’Neill's McDonald iPhone", ["lower", "Capital", "Capital", "lower"]),
        ("1st. A1 B12C", ["lower.", "Capital", "UPPER"]),
        ("snake_case", ["lower", "lower"]),
        ("line\n\nbreak.\nHere", ["lower", "lower.", "Capital"]),
        ("", []),
        ("?!...", []),
    ],
)
def test_the_text_gives_each_word_its_mark_and_its_case(text, expected):
    assert labels(text) == expected


def test_words_are_in_lower_case_and_an_apostrophe_is_part_of_one():
    assert [word.text for word in labelled_words("DON'T say “Café” twice")] == ["don't", "say", "café", "twice"]


def test_a_case_is_told_by_the_letters():
    assert [case_of(word) for word in ("A", "AB", "Ab", "aB", "7", "7A", "É", "")] == [
        "Capital", "UPPER", "Capital", "lower", "lower", "Capital", "Capital", "lower",
    ]  # fmt: skip


def test_every_label_is_named_and_numbered():
    words = [Word("a", mark, case) for mark in ("", ",", ".", "?") for case in ("lower", "Capital", "UPPER")]
    assert [word.label for word in words] == list(range(len(LABELS)))
    assert [LABELS[word.label] for word in words] == [word.case + word.mark for word in words]


@pytest.mark.parametrize("text", ["Well, is it good? It IS. I don't know", "a"])
def test_the_labels_put_the_text_back(text):
    words = labelled_words(text)
    assert restored([word.text for word in words], [word.label for word in words]) == text


def test_a_label_is_at_the_first_piece_of_its_word():
    """goodness is two pieces: only the first one counts."""
    example = words_example(labelled_words("Goodness, it IS good."), PIECES, 10)
    assert PIECES.decode(example.ids, skip_special=False) == "[CLS] goodness it is good [SEP]"
    names = [LABELS[label] if label != IGNORE else "-" for label in example.labels]
    assert names == ["-", "Capital,", "-", "lower", "UPPER", "lower.", "-"]
    assert [LABELS[label] for label in example.truth] == ["Capital,", "lower", "UPPER", "lower."]


def test_words_without_room_are_left_out_whole():
    words = labelled_words("it goodness good")
    assert len(words_example(words, PIECES, 5).ids) == 5
    assert words_example(words, PIECES, 4).truth == words_example(words[:1], PIECES, 4).truth
    with pytest.raises(MinibertError, match="no room for a word"):
        words_example(words[1:], PIECES, 3)


def rows(*texts: str) -> list:
    return [words_example(labelled_words(text), TOKENIZER, 12) for text in texts]


@pytest.mark.parametrize("left", [False, True])
def test_labels_are_where_the_tokens_are_on_whichever_side_is_padded(left, monkeypatch):
    monkeypatch.setattr(type(TOKENIZER), "pad_left", left)
    examples = rows("A. b", "c D, e F")
    batch = WordLabels(examples, TOKENIZER).batch([0, 1], seed=0)
    for ids, found, example in zip(batch["input_ids"], batch["labels"], examples, strict=True):
        assert found[ids != TOKENIZER.pad_id].tolist() == list(example.labels)
        assert (found[ids == TOKENIZER.pad_id] == IGNORE).all()
    assert WordLabels(examples, TOKENIZER).counts(batch) == {"answers": 6}


class Saying(nn.Module):
    """A model that gives the token with id i the class i % 12."""

    def __init__(self):
        super().__init__()
        self.nothing = nn.Parameter(torch.zeros(1))

    def forward(self, input_ids, **_):
        output = type("Output", (), {})()
        output.logits = torch.nn.functional.one_hot(input_ids % len(LABELS), len(LABELS))
        return output


def test_a_model_labels_the_words_of_each_text_in_its_place():
    """Of texts of different lengths, which are computed shortest first."""
    examples = rows("c d e", "a", "f g")
    start = TOKENIZER.vocabulary["a"]
    said = label_words(Saying(), examples, TOKENIZER)
    assert said == [[(start + at) % 12 for at in text] for text in ([2, 3, 4], [0], [5, 6])]


def test_the_loss_is_that_of_the_head_over_the_words_alone():
    torch.manual_seed(0)
    model = WordClasses().model(small(None), TOKENIZER)
    assert model.config.labels == LABELS
    task = WordLabels(rows("A. b", "c D, e F"), TOKENIZER)
    batch = task.batch([0, 1], seed=0)
    logits = model(batch["input_ids"], batch["attention_mask"]).logits
    counted = batch["labels"] != IGNORE
    expected = nn.functional.cross_entropy(logits[counted], batch["labels"][counted])
    assert torch.isclose(task.losses(model, batch)["answers"], expected)


def test_f1_is_that_of_each_thing_by_itself():
    """Two texts: "A. b, c?" and "D e". Said: "A b, c," and "D E". Commas: one of two said is right, one is true."""
    truth = [[word.label for word in labelled_words(text)] for text in ("A. b, c?", "D e")]
    said = [[word.label for word in labelled_words(text)] for text in ("A b, c,", "D E")]
    counts = count_found(said, truth)
    assert counts[","] == ([1, 0], [2, 0], [1, 0])
    assert counts["Capital"] == ([1, 1], [1, 2], [1, 1])
    f1 = {",": 2 / 3, ".": 0, "?": 0, "Capital": 4 / 5, "UPPER": 0}
    assert {name: one.f1 for name, one in counts.items()} == pytest.approx(f1)
    assert macro_f1(counts) == pytest.approx(sum(f1.values()) / 5)
    assert macro_f1(count_found(truth, truth)) == pytest.approx(4 / 5)  # no UPPER is true or said


def test_guessing_is_worth_what_random_labels_score():
    torch.manual_seed(0)
    truth = [[word.label for word in labelled_words("Well, It is good. is IT ok? YES, a b c d e f")]] * 2000
    every = torch.tensor(truth).flatten()
    said = every[torch.randperm(len(every))].reshape(len(truth), -1).tolist()
    assert macro_f1(count_found(said, truth)) == pytest.approx(f1_by_guessing(truth), abs=0.01)
    assert f1_by_guessing(truth) == pytest.approx((2 + 1 + 1 + 2 + 2) / 14 / 5)
    assert len(FOUND) == 5


def test_configs_of_the_tests_have_other_labels():
    assert CONFIGS["bert"].labels != LABELS  # so that the head above must have been given them
