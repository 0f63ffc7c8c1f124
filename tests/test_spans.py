"""Recurring spans: which there are, by hand; the rows that are made of them; and how an answer is found."""

from __future__ import annotations

import pytest
import torch
from lab import lab, part
from tiny import assert_close, numbers
from torch import nn
from training_tiny import TOKENIZER, small

from minibert.experiments.tasks import Places
from minibert.tokenizers import WordPiece
from minibert.training.spans import (
    QuestionAwareSpans,
    SpanAnswers,
    best_span,
    common_words,
    exact_by_guessing,
    find_spans,
    recurring_spans,
    span_example,
)

# ------------------------------------------------------------------------------------------ the lab sheet
# Each property by itself, with numbers that can be worked out on paper. Read these first.


@lab("best-span", code=best_span, lesson="08", breaks="`.triu()` left out", catches="each-by-itself")
def test_the_end_is_not_before_the_start():
    """of all pairs with the end not before the start, the one with the highest sum is the answer

    The best start is token 2 (3.5) and the best end token 0 (4), which is no span. In order, the best sum is that of
    token 2 alone, 3.5 + 2; token 0 alone has 1 + 4.
    """
    starts, ends = numbers(1.0, 0.0, 3.5), numbers(4.0, 0.0, 2.0)
    assert_close(part("best-span")(starts, ends, torch.ones(3, dtype=torch.long)), [2, 2])


@lab(
    "best-span",
    code=best_span,
    lesson="08",
    breaks="`scores[:, :1] + scores[:, 1]` replaced by the best start, and the best end after it",
    catches="start-first",
)
def test_the_sum_of_both_scores_decides():
    """a start that is a little worse may have a much better end

    The best start is token 2 (3), with the end 2 (1): 4. Token 0 (2) with the end 1 (5) has 7.
    """
    starts, ends = numbers(2.0, 0.0, 3.0), numbers(0.0, 5.0, 1.0)
    assert_close(part("best-span")(starts, ends, torch.ones(3, dtype=torch.long)), [0, 1])


@lab(
    "best-span",
    code=find_spans,
    lesson="08",
    breaks="`best_span(logits)` with the scores of the padding",
    catches="mask-ignored",
)
def test_the_answer_is_in_the_passage():
    """a token that the mask leaves out is no answer, whatever its scores

    Token 0 belongs to the question and token 3 is padding; both have high scores. The passage is tokens 1 and 2, and
    its best pair is 1 to 2, -1 - 1, although all its scores are below 0.
    """
    starts, ends = numbers(9.0, -1.0, -3.0, 9.0), numbers(9.0, -4.0, -1.0, 9.0)
    assert_close(part("best-span")(starts, ends, torch.tensor([0, 1, 1, 0])), [1, 2])


WORDS = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    "the",
    "old",
    "house",
    "was",
    "empty",
    ".",
    "we",
    "sold",
    "##en",
    "a",
]
PIECES = WordPiece({token: at for at, token in enumerate(WORDS)})


def spans(text: str, common: str = "", longest: int = 5) -> list[tuple[str, int, int]]:
    """Each recurring span with where it starts, twice."""
    found = recurring_spans(text, common.split(), longest)
    for first, second in found:
        assert text[slice(*first)].lower() == text[slice(*second)].lower()
    return [(text[slice(*first)], first[0], second[0]) for first, second in found]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a b c a", [("a", 0, 6)]),
        ("the house. The house", [("the house", 0, 11)]),  # as long as can be, and case does not count
        ("x y z x y q", [("x y", 0, 6)]),
        ("x y, z x y", [("x y", 0, 7)]),
        ("x, y z x y", [("x", 0, 7), ("y", 3, 9)]),  # a comma inside one of them
        ("a b a c a", []),  # three times
        ("a b c d b", [("b", 2, 8)]),
        ("p a q, r a q", [("a q", 2, 9)]),  # not further to the left
        ("a a", [("a", 0, 2)]),
        ("a b a b", [("a b", 0, 4)]),
        ("nothing twice here", []),
        ("", []),
    ],
)
def test_a_span_that_occurs_twice_is_found_at_its_longest(text, expected):
    assert spans(text) == expected


def test_a_span_of_common_words_alone_is_none():
    assert spans("of the film. of the film", common="of the") == [("of the film", 0, 13)]
    assert spans("of the film, of the play", common="of the") == []


def test_a_span_that_could_be_longer_than_allowed_is_left_out():
    assert spans("a b c x a b c", longest=3) == [("a b c", 0, 8)]
    assert spans("a b c x a b c", longest=2) == []


def test_common_words_are_counted_over_all_texts_in_lower_case():
    assert common_words(["The a the b", "THE a"], 2) == {"the", "a"}


def test_one_occurrence_becomes_a_question_token_and_the_other_is_the_answer():
    text = "The olden house was sold. We sold the olden house"
    ((first, second),) = [one for one in recurring_spans(text, ()) if text[slice(*one.first)] != "sold"]
    hidden = span_example(text, second, first, PIECES, 20)
    assert PIECES.decode(hidden.ids, skip_special=False) == "[CLS] the olden house was sold. we sold [MASK] [SEP]"
    assert PIECES.decode(hidden.ids[hidden.start : hidden.end + 1]) == "the olden house"
    assert (hidden.start, hidden.end) == (1, 4)  # old ##en are two tokens
    other = span_example(text, first, second, PIECES, 20)
    assert PIECES.decode(other.ids, skip_special=False) == "[CLS] [MASK] was sold. we sold the olden house [SEP]"
    assert (other.start, other.end) == (7, 10)


def test_what_does_not_fit_is_no_example():
    text = "house a house"
    first, second = recurring_spans(text, ())[0]
    assert len(span_example(text, first, second, PIECES, 5).ids) == 5
    assert span_example(text, first, second, PIECES, 4) is None
    long = "a " * 13 + "house " + "a " * 13
    assert span_example(long, (26, 31), (0, 25), PIECES, 99) is None  # an answer of 13 tokens
    assert span_example(long, (26, 31), (0, 23), PIECES, 99) is not None


def examples() -> list:
    """ "a b c a d", the last a hidden, and a shorter text."""
    return [
        span_example("a b c a d", (6, 7), (0, 1), TOKENIZER, 12),
        span_example("b a a", (2, 3), (4, 5), TOKENIZER, 9),
    ]


@pytest.mark.parametrize("left", [False, True])
def test_answers_are_counted_in_the_padded_row(left, monkeypatch):
    monkeypatch.setattr(type(TOKENIZER), "pad_left", left)
    batch = SpanAnswers(examples(), TOKENIZER).batch([0, 1], seed=0)
    answer = TOKENIZER.vocabulary["a"]
    for ids, (start, end) in zip(batch["input_ids"], batch["labels"], strict=True):
        assert ids[start : end + 1].tolist() == [answer]
    assert SpanAnswers(examples(), TOKENIZER).counts(batch) == {"answers": 4}


def test_the_best_span_ends_where_it_starts_or_later_and_not_too_late():
    scores = torch.tensor([[0.0, 5.0], [3.0, 0.0], [0.0, 2.0], [2.5, 0.0], [0.0, 4.0]])
    assert best_span(scores) == (1, 4)
    assert best_span(scores, longest=3) == (3, 4)  # 2.5 + 4.0; from 1 it would be four tokens
    assert best_span(scores, longest=1) == (0, 0)
    assert best_span(torch.tensor([[1.0, 0.0]])) == (0, 0)


class Pointing(nn.Module):
    """A model for which each "a" is the best start and the best end, and padding would be better still."""

    def __init__(self):
        super().__init__()
        self.nothing = nn.Parameter(torch.zeros(1))

    def forward(self, input_ids, **_):
        output = type("Output", (), {})()
        score = (input_ids == TOKENIZER.vocabulary["a"]) + 9.0 * (input_ids == TOKENIZER.pad_id)
        output.logits = torch.stack([score, score], -1)
        return output


def test_spans_are_found_in_the_row_without_padding():
    found = find_spans(Pointing(), examples(), TOKENIZER)
    assert found == [(one.start, one.end) for one in examples()]
    answers = Places().answers(Pointing(), examples(), TOKENIZER)
    assert answers == {"score": 1.0, "right": "11"}


def test_the_loss_is_that_of_the_head():
    torch.manual_seed(0)
    model = Places().model(small(None), TOKENIZER)
    task = SpanAnswers(examples(), TOKENIZER)
    batch = task.batch([0, 1], seed=0)
    logits = model(batch["input_ids"], batch["attention_mask"]).logits
    expected = sum(nn.functional.cross_entropy(logits[..., at], batch["labels"][:, at]) for at in (0, 1)) / 2
    assert torch.isclose(task.losses(model, batch)["answers"], expected)


def test_tokens_are_scored_against_the_question():
    """Two texts of three tokens, D = 4; the question is the first token of one and the last one of the other. At the
    start the matrices are the identity: a score is the product of two vectors, divided by the root of D."""
    ids = torch.tensor([[TOKENIZER.mask_id, 7, 8], [7, 8, TOKENIZER.mask_id]])
    hidden = torch.tensor([[1.0, 0, 0, 0], [2.0, 5, 0, 0], [0, 0, 3.0, 0]]).expand(2, 3, 4)
    model = small(None, hidden_size=4, num_attention_heads=2)
    head = QuestionAwareSpans(model, TOKENIZER.mask_id)
    scores = head.token_scores(hidden, ids)
    lowest = torch.finfo(scores.dtype).min
    expected = torch.tensor([[lowest, 1.0, 0.0], [0.0, 0.0, lowest]])
    assert torch.equal(scores, expected[..., None].expand(2, 3, 2))
    with torch.no_grad():
        head.span.weight[4:] *= -1  # of the ends
    assert torch.equal(head.token_scores(hidden, ids)[0, 1], torch.tensor([1.0, -1.0]))


def test_guessing_is_one_of_all_spans():
    """Seven tokens, two with special ones: 7 + 6 + ... + 1 spans of at most 12 tokens; and five: 15."""
    assert [len(one.ids) for one in examples()] == [7, 5]
    assert exact_by_guessing(examples()) == pytest.approx((1 / 28 + 1 / 15) / 2)
