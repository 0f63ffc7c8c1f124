"""The tasks of the experiments: each maker of examples by hand, the splits, and fine-tuning tiny models on them."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from random import Random

import pytest
import torch
from tiny import CONFIGS
from training_tiny import TOKENIZER, small

from minibert import save_pretrained
from minibert.errors import MinibertError
from minibert.experiments import finetuning, grid, students, tasks
from minibert.experiments.grid import Size
from minibert.experiments.retention import CUT, E1, MASKED_WORDS, RANDOM, STUDENT, TEACHER, TWICE, variant
from minibert.experiments.students import Recipe
from minibert.experiments.tasks import SENTENCES, TASKS
from minibert.factory import build
from minibert.tokenizers import WordPiece
from minibert.training.data import Review, Reviews

# The tests' tokenizer knows letters; a text of letters has one token for each.
A = TOKENIZER.vocabulary["a"]


def written_by(*texts: str) -> list[Review]:
    return [Review(text, at % 2, "imdb") for at, text in enumerate(texts)]


def made(make, texts: list[str], max_length: int = 64, seed: int = 0) -> list:
    return list(make(written_by(*texts), TOKENIZER, max_length, Random(seed)))


def written(example) -> str:
    return TOKENIZER.decode(example.ids, skip_special=False)


# ---------------------------------------------------------------------------------------------- by hand


def test_a_sentiment_is_the_review_with_its_label_truncated():
    found = made(tasks.sentiments, ["a b c", "d e f g"], max_length=5)
    assert [(written(one), one.label) for one in found] == [("[CLS] a b c [SEP]", 0), ("[CLS] d e f [SEP]", 1)]


def test_an_order_is_two_passages_that_follow_each_other_or_the_same_swapped():
    """Three sentences are cut after the first or after the second one."""
    text = "A b c. D e f. G h i."
    found = {(written(one), one.label) for seed in range(40) for one in made(tasks.orders, [text], seed=seed)}
    one, two, three = "a b c [UNK]", "d e f [UNK]", "g h i [UNK]"
    cuts = [(one, f"{two} {three}"), (f"{one} {two}", three)]
    in_order = {(f"[CLS] {first} [SEP] {second} [SEP]", 0) for first, second in cuts}
    assert found == in_order | {(f"[CLS] {second} [SEP] {first} [SEP]", 1) for first, second in cuts}


def test_a_review_of_one_sentence_has_no_order():
    assert made(tasks.orders, ["A b c.", "", "A b c. D e f."]) == made(tasks.orders, ["A b c. D e f."])
    assert all(len(one.ids) <= 9 for seed in range(9) for one in made(tasks.orders, ["A b c. D e f. G h i."], 9, seed))


def test_the_same_review_gives_both_passages_or_the_next_one_the_second():
    texts = [f"{x.upper()} {x} {x}. {x.upper()} {x} {x}. {x.upper()} {x} y." for x in "abcdefgh"]
    found = made(tasks.same_reviews, texts)
    for one in found:
        first, second = (part.split() for part in written(one).removeprefix("[CLS] ").split(" [SEP]")[:2])
        assert first == [first[0]] * 3 + ["[UNK]"]  # the first half: one sentence of three
        assert second == [second[0]] * 3 + ["[UNK]", *[second[0]] * 2, "y", "[UNK]"]  # the second half
        assert one.label == (first[0] == second[0])
    names = [name for one in found for name in {written(one).split()[1], written(one).split("[SEP] ")[1][0]}]
    assert len(names) == len(set(names))  # no review in two examples
    assert 0 < sum(one.label for one in found) < len(found)


def test_passages_of_the_same_review_are_as_long_as_half_a_row():
    text = "A b c d e f. G h i j k l."
    (one,) = made(tasks.same_reviews, [text], max_length=11, seed=0)
    assert (written(one), one.label) == ("[CLS] a b c d [SEP] g h i j [SEP]", 1)


def test_a_text_to_punctuate_begins_with_a_sentence():
    text = "A b, c. D e F? G h i."
    found = {written(one): one.truth for seed in range(30) for one in made(tasks.unpunctuated, [text], seed=seed)}
    assert set(found) == {"[CLS] a b c d e f g h i [SEP]", "[CLS] d e f g h i [SEP]", "[CLS] g h i [SEP]"}
    names = [tasks.LABELS[label] for label in found["[CLS] d e f g h i [SEP]"]]
    assert names == ["Capital", "lower", "Capital?", "Capital", "lower", "lower."]


def test_a_question_hides_one_of_two_occurrences_in_a_passage(monkeypatch):
    monkeypatch.setattr(tasks, "everyday_words", lambda: frozenset("a"))
    text = "A b c. A d c. X y z."
    found = {
        (written(one), TOKENIZER.decode(one.ids[one.start : one.end + 1]), one.start)
        for seed in range(20)
        for one in made(tasks.questions, [text], seed=seed)
    }
    assert found == {
        ("[CLS] a b [MASK] [UNK] a d c [UNK] x y z [UNK] [SEP]", "c", 7),
        ("[CLS] a b c [UNK] a d [MASK] [UNK] x y z [UNK] [SEP]", "c", 3),
    }
    assert made(tasks.questions, [text], max_length=8) == []  # a passage of one sentence: nothing recurs
    assert made(tasks.questions, ["A b c. D e f."]) == []


def test_a_passage_is_as_many_whole_sentences_as_fit():
    text = "A b c. D e f. G h i j k l m. N o p."
    assert list(tasks._passages(text, TOKENIZER, 8)) == ["A b c. D e f.", "G h i j k l m.", "N o p."]
    assert list(tasks._passages(text, TOKENIZER, 7)) == ["A b c.", "D e f.", "N o p."]


# -------------------------------------------------------------------------------------- all tasks, real reviews


@pytest.fixture
def few(monkeypatch, reviews):
    """Some of the real reviews, by their source."""

    def some(source: str) -> Reviews:
        splits = ((reviews.train, 90), (reviews.validation, 30), (reviews.test, 30))
        return Reviews(*([one for one in split[:1000] if one.source == source][:count] for split, count in splits))

    cut = {source: some(source) for source in ("imdb", "rotten-tomatoes")}
    monkeypatch.setattr(tasks, "load_reviews", cut.__getitem__)
    tasks.everyday_words.cache_clear()
    yield cut
    tasks.everyday_words.cache_clear()


TINY = Size(texts=8, epochs=1, steps=2, test_texts=4, max_length=48, batch_size=4)


@pytest.mark.parametrize("name", TASKS)
def test_a_seed_draws_the_training_texts_and_not_the_test_texts(name, few, monkeypatch):
    task = replace(TASKS[name], texts=20, test_texts=10, max_length=64)
    read = {}
    kept = task.make

    def make(texts, *how):
        read[how[-1]] = list(texts)
        return kept(iter(read[how[-1]]), *how)

    spied = replace(task, make=make)
    (first, test), (again, _), (other, same) = (spied.examples(TOKENIZER, seed) for seed in (0, 0, 1))
    assert (len(first), len(test)) == (20, 10)
    assert first == again != other
    assert test == same
    train, asked = few[task.source].train, [*few[task.source].test, *few[task.source].validation]
    assert all(set(texts) in (set(train), set(asked)) for texts in read.values())
    assert not set(train) & set(asked)
    assert all(len(one.ids) <= 64 for one in (*first, *test))
    assert 0 <= task.kind.by_guessing(test) < 1


def test_too_few_texts_are_told(few):
    with pytest.raises(MinibertError, match="500 examples were asked for, but 90 reviews give 90: ask for fewer"):
        replace(TASKS[SENTENCES], texts=500, test_texts=10).examples(TOKENIZER, 0)


def test_a_task_is_at_most_as_large_as_the_size_says():
    task = TASKS["sentiment of reviews"]
    assert task.within(E1.full) == task
    within = task.within(TINY)
    assert (within.texts, within.test_texts, within.max_length, within.epochs) == (8, 4, 48, 1)


def test_guessing_a_class_is_worth_the_more_frequent_one():
    found = [tasks.Example([1], [0], label) for label in (1, 1, 1, 0)]
    assert tasks.Classes().by_guessing(found) == 0.75
    assert tasks.Classes().by_guessing([replace(one, label=1 - one.label) for one in found]) == 0.75


@pytest.mark.parametrize("name", TASKS)
def test_every_task_can_be_learned_by_heart(name, few, tmp_path):
    """A tiny model that is tested on what it is trained on does better than guessing: the answers are where the
    loss and the score look for them."""
    task = replace(TASKS[name], texts=6, test_texts=6, max_length=32, epochs=50, learning_rate=1e-2, batch_size=6)
    texts = few[task.source].train
    task = replace(task, make=lambda _, *how: islice(TASKS[name].make(texts, *how[:-1], Random(3)), 6))
    tokenizer = WordPiece.train([review.text for review in texts[:20]], 300)
    torch.manual_seed(0)
    model = task.kind.model(small(None, max_position_embeddings=64, vocab_size=tokenizer.vocab_size), tokenizer)
    found = finetuning.fine_tune(model, task, tokenizer, 0, tmp_path)
    assert found["score"] > found["guess"] + 0.3
    assert (found["texts"], found["test_texts"]) == (6, 6)
    assert [path.name for path in tmp_path.iterdir()] == ["log.jsonl"]


# ------------------------------------------------------------------------------------------- students and grid


@pytest.fixture
def tiny_teacher(tmp_path, monkeypatch, few):
    """A teacher of six layers with random weights, which reads letters."""
    model = build(replace(CONFIGS["bert"], num_hidden_layers=6, max_position_embeddings=64), "masked-lm", 0)
    save_pretrained(tmp_path / "teacher", model, TOKENIZER)
    monkeypatch.setattr(students, "TEACHER", str(tmp_path / "teacher"))
    monkeypatch.setattr(students, "load_reviews", few.__getitem__)
    monkeypatch.setattr(students, "TEXTS", 8)
    monkeypatch.setattr(students, "HELD_OUT", 4)
    for kept in (students.tokenizer, students.rows):
        kept.cache_clear()
    yield model
    for kept in (students.tokenizer, students.rows):
        kept.cache_clear()


def test_recipes_have_names_of_their_own():
    recipes = [
        Recipe(), Recipe(layers=(0, 2, 5)), Recipe(copied=False), Recipe(weights=(5, 0, 1)), Recipe(temperature=1),
        Recipe(soft_targets="all"), Recipe(fold_types=False), Recipe(layers=(0, 2)),
    ]  # fmt: skip
    assert len({recipe.name for recipe in recipes}) == len(recipes)
    assert Recipe().layers == (0, 2, 4)


def test_a_student_is_distilled_once_and_then_read(tiny_teacher, tmp_path, monkeypatch):
    student = students.distilled(Recipe(), 0, 3, tmp_path / "students")
    folder = tmp_path / "students" / f"{Recipe().name}-3-0"
    assert (folder / "model.safetensors").exists()
    assert not (folder / "training.pt").exists()
    monkeypatch.setattr(students, "train", lambda *_, **__: pytest.fail("it is trained again"))
    again = students.distilled(Recipe(), 0, 3, tmp_path / "students")
    as_cut = students.distilled(Recipe(), 0, 0, tmp_path / "students")
    first, second, before = (list(one.state_dict().values()) for one in (student, again, as_cut))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(first, before, strict=True))
    blocks, taught = as_cut.backbone.encoder.blocks, tiny_teacher.backbone.encoder.blocks
    assert len(blocks) == 3
    for block, layer in zip(blocks, (0, 2, 4), strict=True):
        pairs = zip(block.state_dict().values(), taught[layer].state_dict().values(), strict=True)
        assert all(torch.equal(a, b) for a, b in pairs)


def test_a_student_with_random_weights_copies_nothing(tiny_teacher, tmp_path):
    student = students.distilled(Recipe(copied=False), 0, 0, tmp_path)
    other = students.distilled(Recipe(copied=False), 1, 0, tmp_path)
    words = [one.backbone.word_embeddings.weight for one in (student, other, tiny_teacher)]
    assert not torch.equal(words[0], words[1])
    assert not torch.equal(words[0], words[2])


def test_the_grid_trains_every_cell_with_a_tiny_teacher(tiny_teacher, tmp_path):
    experiment = replace(E1, quick=TINY)
    found = grid.run(experiment, tmp_path / "runs", quick=True)
    cells = found["cells"]
    assert cells.keys() == E1.variants.keys()
    for name, (one,) in cells.items():
        if name.endswith(MASKED_WORDS):
            assert one["masked_lm"] > 0
        else:
            assert 0 <= one["score"] <= 1
            assert one["test_texts"] == 4
            assert ("counts" in one) == name.endswith("capitals")
    parameters = [cells[variant(model, MASKED_WORDS)][0]["parameters"] for model in (TEACHER, STUDENT)]
    assert parameters[0] > parameters[1]
    assert found["by_frequency"] > 0
    assert {variant(model, SENTENCES) for model in (TEACHER, STUDENT, CUT, RANDOM, TWICE)} <= cells.keys()
    assert not list((tmp_path / "runs").rglob("training.pt"))  # no state of a finished run


def test_a_student_that_is_taught_twice_learns_from_the_teachers_answers(tiny_teacher, tmp_path, monkeypatch):
    """The objective gets a teacher that has been fine-tuned on the same task."""
    helpers = []
    kept = tasks.Classes.objective

    def objective(self, examples, tokenizer, teacher=None):
        helpers.append(teacher)
        return kept(self, examples, tokenizer, teacher)

    monkeypatch.setattr(tasks.Classes, "objective", objective)
    E1.variants[variant(TWICE, SENTENCES)](0, TINY, tmp_path / "E1")
    assert helpers[0] is None  # the teacher itself
    assert helpers[1].classifier.out_features == 2
    found = E1.variants[variant(TEACHER, SENTENCES)](0, TINY, tmp_path / "E1")
    assert len(helpers) == 2  # the teacher is kept, and so are its answers
    assert len(found["right"]) == TINY.test_texts
