"""The tasks: what they count, what they lose, and that pieces make up the whole."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch
from lab import assert_same, check, lab
from tiny import assert_close, expect_refusal
from torch import Tensor, nn
from torch.nn import functional as F
from training_tiny import TOKENIZER, small, texts

from minibert.heads import IGNORE
from minibert.training.batching import Example, inputs, padded, pair, single
from minibert.training.choices import MASKINGS
from minibert.training.loop import split
from minibert.training.permutation import PermutedWords
from minibert.training.tasks import Distillation, Labels, MaskedWords, accuracy, held_out_losses, predict

# ------------------------------------------------------------------------------------------ the lab sheet
# Each property by itself, with numbers that can be worked out on paper. Read these first.

A, B, C, D = (TOKENIZER.vocabulary[letter] for letter in "abcd")


@lab(
    None,
    code=MaskedWords.batch,
    lesson="07",
    breaks="`mixed(0, text) for text in examples` replaced by the batch's seed",
)
def test_a_static_mask_stays_and_a_dynamic_one_does_not():
    """with static masks a text is masked alike each time it comes up, with dynamic ones differently

    One text of 26 letters, in three batches of different seeds: of 26 letters four or so are masked each time.
    """
    text = [single(range(A, A + 26), TOKENIZER, 28)]
    for static in (True, False):
        task = MaskedWords(text, TOKENIZER, static=static)
        masks = {tuple(task.batch([0], seed)["labels"][0].tolist()) for seed in (1, 2, 3)}
        assert_same(len(masks) == 1, static)


class Listening(nn.Module):
    """A model that keeps what it was given."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, **given):
        self.heard = given["input_ids"]
        return self.model(**given)


@lab(None, code=Distillation.losses, lesson="09", breaks="`self.teacher(**asked)` given the text without masks")
def test_teacher_and_student_see_the_same_masked_text():
    """teacher and student are given the same text, with the same words masked"""
    examples = [single(range(A, A + 26), TOKENIZER, 9)] * 10
    learner, master = (Listening(small("masked-lm", "bert", seed=seed)) for seed in (1, 2))
    task = Distillation(examples, TOKENIZER, master)
    batch = task.batch(range(10), 0)
    task.losses(learner, batch)
    check((batch["input_ids"] == TOKENIZER.mask_id).any())
    check(torch.equal(learner.heard, batch["input_ids"]) and torch.equal(master.heard, batch["input_ids"]))


class FirstLetter(nn.Module):
    """Scores a text by its first letter: a is 1, b is 2, c is 3."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, input_ids: Tensor, **_: Tensor) -> SimpleNamespace:
        score = (input_ids[:, 1] - A + 1).float()
        return SimpleNamespace(logits=torch.stack([score, 4 - score], dim=1))


@lab(None, code=predict, lesson="07", breaks="`torch.tensor(order).argsort()` replaced by `torch.tensor(order)`")
def test_predictions_come_in_the_order_of_the_texts():
    """predictions come in the order of the texts, though texts of like length are put together

    Three texts, "a b c d", "b" and "c d", in batches of two.
    """
    examples = [single(ids, TOKENIZER, 9) for ids in ([A, B, C, D], [B], [C, D])]
    assert_close(predict(FirstLetter(), examples, TOKENIZER, batch_size=2)[:, 0], [1.0, 2.0, 3.0])


@lab(None, code=accuracy, lesson="09", breaks="`.argmax(dim=-1) == truth` with dim=0")
def test_accuracy_is_the_share_of_right_answers():
    """accuracy is the share of the texts whose highest score is the true class

    "a" scores 1 and 3, so class 1, "c" 3 and 1, so class 0. Of three texts two are right.
    """
    labelled = [([A], 1), ([C], 0), ([C], 1)]
    examples = [single(ids, TOKENIZER, 9, label=label) for ids, label in labelled]
    assert_close(accuracy(FirstLetter(), examples, TOKENIZER), 2 / 3)


# ------------------------------------------------------------------------------------------- the whole of it


def test_texts_without_a_word_to_predict_are_refused():
    empty = [single([], TOKENIZER, 9), single([TOKENIZER.unk_id], TOKENIZER, 9)]
    with expect_refusal("there is no word to predict", "in 2 texts"):
        MaskedWords(empty, TOKENIZER)
    with expect_refusal("there is no word to predict"):
        PermutedWords(empty, TOKENIZER)
    MaskedWords([*empty, single([A], TOKENIZER, 9)], TOKENIZER)


EXAMPLES = texts(30)
EVERYTHING = range(30)
PAIRS = [pair([5 + i % 26], [6 + i % 26, 7 + i % 24], TOKENIZER, label=i % 2) for i in range(20)]


def student(head: str = "masked-lm", seed: int = 1):
    return small(head, "distilbert", seed=seed).eval()


def teacher(head: str = "masked-lm"):
    return small(head, "bert", num_hidden_layers=3, seed=2).eval()


def all_tasks():
    return {
        "masked words": (MaskedWords(EXAMPLES, TOKENIZER), small().eval()),
        "pairs": (MaskedWords(PAIRS, TOKENIZER, pairs=True), small("pretraining").eval()),
        "soft targets, masked": (Distillation(EXAMPLES, TOKENIZER, teacher()), student()),
        "soft targets, all": (Distillation(EXAMPLES, TOKENIZER, teacher(), soft_targets="all"), student()),
        "labels": (Labels(EXAMPLES, TOKENIZER), student("sequence-classification")),
        "labels and teacher": (
            Labels(EXAMPLES, TOKENIZER, teacher("sequence-classification")),
            student("sequence-classification"),
        ),
    }


# --------------------------------------------------------------------------------------------------- rows


def test_a_single_text_is_cut_and_framed():
    assert single([7, 8, 9, 10], TOKENIZER, 5, label=1) == Example([2, 7, 8, 9, 3], [0] * 5, 1)


def test_a_pair_has_two_segments():
    assert pair([7, 8], [9], TOKENIZER, label=1) == Example([2, 7, 8, 3, 9, 3], [0, 0, 0, 0, 1, 1], 1)


def test_rows_are_padded_to_the_longest():
    batch = padded([Example([2, 7, 3], [0, 0, 1], 1), Example([2, 3], [0, 0], 0)], TOKENIZER)
    assert batch["input_ids"].tolist() == [[2, 7, 3], [2, 3, 0]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1], [1, 1, 0]]
    assert batch["token_type_ids"].tolist() == [[0, 0, 1], [0, 0, 0]]
    assert batch["classes"].tolist() == [1, 0]


# ------------------------------------------------------------------------------------------------- masking


def unpadded(task: MaskedWords, examples, seed: int) -> dict[int, tuple[list[int], list[int]]]:
    """The text's number -> its masked ids and its labels."""
    batch = task.batch(examples, seed)
    sizes = batch["attention_mask"].sum(1)
    return {
        text: (batch["input_ids"][row, : sizes[row]].tolist(), batch["labels"][row, : sizes[row]].tolist())
        for row, text in enumerate(examples)
    }


@pytest.mark.parametrize("masking", ["tokens", "whole-words", "ngrams"])
def test_a_static_mask_hangs_on_the_text_alone(masking):
    task = MaskedWords(EXAMPLES, TOKENIZER, masking, static=True)
    together = unpadded(task, [*EVERYTHING], 1)
    assert unpadded(task, [20, 3, 11], 2) == {text: together[text] for text in (20, 3, 11)}
    assert unpadded(task, [5], 3) == {5: together[5]}


def test_a_dynamic_mask_is_another_with_each_seed_and_the_same_with_one():
    task = MaskedWords(EXAMPLES, TOKENIZER)
    assert unpadded(task, EVERYTHING, 1) == unpadded(task, EVERYTHING, 1)
    assert unpadded(task, EVERYTHING, 1) != unpadded(task, EVERYTHING, 2)


@pytest.mark.parametrize("static", [False, True])
@pytest.mark.parametrize("masking", MASKINGS)
def test_labels_stand_on_real_words_only_and_name_them(masking, static):
    batch = MaskedWords(EXAMPLES, TOKENIZER, masking, static).batch(EVERYTHING, 4)
    plain = padded(EXAMPLES, TOKENIZER)["input_ids"]
    chosen = batch["labels"] != IGNORE
    assert 5 < chosen.sum() < 60
    assert torch.equal(batch["labels"][chosen], plain[chosen])
    assert torch.equal(batch["input_ids"][~chosen], plain[~chosen])
    assert (plain[chosen] >= 5).all()


def test_rare_words_are_chosen_by_the_counts_of_the_texts():
    often, rare = single([5] * 7, TOKENIZER, 9), single([5] * 6 + [6], TOKENIZER, 9)
    task = MaskedWords([often] * 60 + [rare], TOKENIZER, "rarity")
    hits = sum(int((task.batch([0, 60], seed)["labels"] == 6).sum()) for seed in range(100))
    assert hits > 60  # one of 14 words; were all alike, it would be 15


def test_an_unknown_masking_is_refused():
    with expect_refusal("no masking 'words'", "did you mean whole-words"):
        MaskedWords(EXAMPLES, TOKENIZER, "words")


# ------------------------------------------------------------------------------------- counts and losses


def test_counts_by_hand():
    batch = {
        "attention_mask": torch.tensor([[1, 1, 1], [1, 1, 0]]),
        "labels": torch.tensor([[-100, 7, 8], [-100, 9, -100]]),
        "classes": torch.tensor([0, 1]),
    }
    assert MaskedWords(EXAMPLES, TOKENIZER).counts(batch) == {"masked_lm": 3}
    assert MaskedWords(EXAMPLES, TOKENIZER, pairs=True).counts(batch) == {"masked_lm": 3, "pair": 2}
    counts = {"distillation": 3, "masked_lm": 3, "cosine": 5}
    assert Distillation(EXAMPLES, TOKENIZER, teacher()).counts(batch) == counts
    everywhere = Distillation(EXAMPLES, TOKENIZER, teacher(), soft_targets="all")
    assert everywhere.counts(batch) == {**counts, "distillation": 5}
    assert Labels(EXAMPLES, TOKENIZER).counts(batch) == {"labels": 2}
    with_teacher = Labels(EXAMPLES, TOKENIZER, teacher("sequence-classification"))
    assert with_teacher.counts(batch) == {"labels": 2, "distillation": 2, "cosine": 5}


def test_the_two_losses_can_be_weighted():
    weights = {"masked_lm": 0.1, "pair": 1.0}
    task = MaskedWords(PAIRS, TOKENIZER, weights=weights)
    assert task.weights == weights
    assert task.weights is not weights
    assert set(task.counts(task.batch([0, 3], 1))) == {"masked_lm", "pair"}


def test_masked_words_and_pairs_by_hand():
    model = small("pretraining").eval()
    task = MaskedWords(PAIRS, TOKENIZER, pairs=True)
    batch = task.batch([0, 3, 5, 8], 1)
    terms = task.losses(model, batch)
    output = model(**inputs(batch))
    chosen = batch["labels"] != IGNORE
    expected = -output.logits.log_softmax(-1)[chosen].gather(1, batch["labels"][chosen][:, None]).mean()
    torch.testing.assert_close(terms["masked_lm"], expected)
    right = output.pair_logits.log_softmax(-1)[torch.arange(4), torch.tensor([0, 1, 1, 0])]
    torch.testing.assert_close(terms["pair"], -right.mean())


@pytest.mark.parametrize("where", ["masked", "all"])
def test_distillation_by_hand(where):
    task, model = Distillation(EXAMPLES, TOKENIZER, teacher(), temperature=3.0, soft_targets=where), student()
    batch = task.batch([0, 4, 9, 2], 1)
    terms = task.losses(model, batch)
    ours, theirs = model(**inputs(batch)), teacher()(**inputs(batch))
    real, chosen = batch["attention_mask"].bool(), batch["labels"] != IGNORE
    counted = real if where == "all" else chosen
    p = (theirs.logits[counted] / 3).softmax(-1)
    q = (ours.logits[counted] / 3).log_softmax(-1)
    torch.testing.assert_close(terms["distillation"], 9 * (p * (p.log() - q)).sum(-1).mean())
    expected = F.cross_entropy(ours.logits[chosen], batch["labels"][chosen])
    torch.testing.assert_close(terms["masked_lm"], expected)
    cosine = F.cosine_similarity(ours.last_hidden_state[real], theirs.last_hidden_state[real], dim=-1)
    torch.testing.assert_close(terms["cosine"], 1 - cosine.mean())
    assert task.weights == {"distillation": 5.0, "masked_lm": 2.0, "cosine": 1.0}


def test_labels_by_hand():
    guide = teacher("sequence-classification")
    task, model = Labels(EXAMPLES, TOKENIZER, guide), student("sequence-classification")
    batch = task.batch([0, 4, 9], 1)
    terms = task.losses(model, batch)
    ours, theirs = model(**inputs(batch)), guide(**inputs(batch))
    torch.testing.assert_close(terms["labels"], F.cross_entropy(ours.logits, batch["classes"]))
    p, q = (theirs.logits / 2).softmax(-1), (ours.logits / 2).log_softmax(-1)
    torch.testing.assert_close(terms["distillation"], 4 * (p * (p.log() - q)).sum(-1).mean())
    real = batch["attention_mask"].bool()
    cosine = F.cosine_similarity(ours.last_hidden_state[real], theirs.last_hidden_state[real], dim=-1)
    torch.testing.assert_close(terms["cosine"], 1 - cosine.mean())


@pytest.mark.parametrize("name", all_tasks())
def test_pieces_weighted_by_what_they_count_are_the_whole(name):
    task, model = all_tasks()[name]
    batch = task.batch(range(10), 5)
    pieces = split(batch, 4)
    assert len({tuple(task.counts(piece).values()) for piece in pieces}) > 1
    whole, totals = task.losses(model, batch), task.counts(batch)
    for term in task.weights:
        parts = [task.losses(model, piece)[term] * task.counts(piece)[term] for piece in pieces]
        torch.testing.assert_close(torch.stack(parts).sum() / totals[term], whole[term])


@pytest.mark.parametrize("name", ["soft targets, masked", "labels and teacher"])
def test_the_teacher_gets_no_gradient_and_stays_in_evaluation(name):
    task, model = all_tasks()[name]
    sum(task.losses(model.train(), task.batch(range(10), 3)).values()).backward()
    assert not task.teacher.training
    assert all(parameter.grad is None for parameter in task.teacher.parameters())
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_a_teacher_of_another_vocabulary_is_refused():
    task = Distillation(EXAMPLES, TOKENIZER, small("masked-lm", vocab_size=40))
    with expect_refusal("differ in shape", "the same vocabulary"):
        task.losses(student(), task.batch(range(4), 1))


def test_soft_targets_are_masked_or_all():
    with expect_refusal("soft_targets is 'some'", "'masked' or 'all'"):
        Distillation(EXAMPLES, TOKENIZER, teacher(), soft_targets="some")


# ----------------------------------------------------------------------------------------- how good is it


def test_predictions_come_in_the_order_of_the_examples():
    model = student("sequence-classification")
    scores = predict(model, EXAMPLES, TOKENIZER, batch_size=7)
    for example, row in zip(EXAMPLES, scores, strict=True):
        alone = model(**inputs(padded([example], TOKENIZER))).logits[0]
        torch.testing.assert_close(row, alone, rtol=0, atol=1e-6)


def test_accuracy_is_the_share_that_is_right():
    model = student("sequence-classification")
    best = predict(model, EXAMPLES, TOKENIZER).argmax(-1).tolist()
    marked = [
        Example(example.ids, example.type_ids, label if i % 3 else (label + 1) % 6)
        for i, (example, label) in enumerate(zip(EXAMPLES, best, strict=True))
    ]
    assert accuracy(model, marked, TOKENIZER) == pytest.approx(2 / 3)


@pytest.mark.parametrize("name", ["masked words", "pairs", "soft targets, all"])
def test_held_out_losses_are_means_over_all_examples(name):
    task, model = all_tasks()[name]
    found = held_out_losses(model, task, batch_size=100)
    assert found.keys() == task.weights.keys()
    assert found == held_out_losses(model, task, batch_size=100)
    assert all(math.isfinite(value) and value > 0 for value in found.values())


def test_held_out_losses_do_not_hang_on_the_batches():
    task, model = MaskedWords(EXAMPLES, TOKENIZER, static=True), small().eval()
    whole = held_out_losses(model, task, batch_size=30)["masked_lm"]
    batch = task.batch(EVERYTHING, 0)
    assert whole == pytest.approx(task.losses(model, batch)["masked_lm"].item(), abs=1e-5)
    assert held_out_losses(model, task, batch_size=4)["masked_lm"] == pytest.approx(whole, abs=1e-5)
