"""The experiments with small models: what their cells train on, for how long, and what they measure, in seconds."""

from __future__ import annotations

import string
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from training_tiny import TOKENIZER, same_weights, small

from minibert.checkpoints import save_pretrained
from minibert.errors import MinibertError
from minibert.experiments import masking_and_pairs, pretraining, sharing
from minibert.experiments.masking_and_pairs import MASKING, NSP, PAIRING, PASSES, SOP, dynamic, static
from minibert.factory import count_parameters
from minibert.training.batching import Example
from minibert.training.tasks import MaskedWords

SIZE = replace(pretraining.QUICK, steps=4, batch_size=8, max_length=9)
LETTERS = string.ascii_lowercase
REVIEWS = [
    " ".join(f"{LETTERS[(at + n) % 26].upper()} {' '.join(LETTERS[at : at + 4])}." for n in range(6))
    for at in range(22)
]


class Runs(list):
    """What the cells trained, and in `starts` what they share."""

    starts: list[SimpleNamespace]


@pytest.fixture
def trained(monkeypatch):
    """Letters in place of reviews, no fine-tuning; what each cell trained: the model, the task, the steps.

    What training began with is in `short` of the same entry. All are asked for the steps that are noted, and take two.
    """
    for cached in ("rows_to_read", "short_task", "held_out_words", "loss_by_frequency"):
        getattr(pretraining, cached).cache_clear()
    for cached in (masking_and_pairs.documents, masking_and_pairs.pairs_of, masking_and_pairs.start_tokenizer):
        cached.cache_clear()
    monkeypatch.setattr(pretraining, "VOCABULARY_SIZE", TOKENIZER.vocab_size)
    monkeypatch.setattr(pretraining, "classify", lambda model, *rest: {"accuracy": 0.5, "right": "10"})
    monkeypatch.setattr(pretraining, "TEXTS", 16)
    for module in (pretraining, masking_and_pairs):
        monkeypatch.setattr(
            module, "unlabelled", lambda held_out, count: tuple(REVIEWS[:4] if held_out else REVIEWS[:count])
        )
    for module in (pretraining, sharing, masking_and_pairs):
        monkeypatch.setattr(module, "own_tokenizer", lambda work: TOKENIZER)
    done, began, starts = Runs(), [], []
    done.starts = starts
    train = pretraining.train

    def noted(model, task, lengths, settings, folder, **options):
        run = SimpleNamespace(model=model, task=task, steps=settings.steps, rate=settings.learning_rate, short=None)
        if "started" in folder.parts:
            run.first = {name: weight.clone() for name, weight in model.state_dict().items()}
            starts.append(run)
        elif folder.name == "short":
            began.append(run)
        else:
            run.short = began.pop() if began else None
            done.append(run)
        return train(model, task, lengths, replace(settings, steps=min(settings.steps, 2)), folder, **options)

    monkeypatch.setattr(pretraining, "train", noted)
    return done


# ---------------------------------------------------------------------------------------------------- E3: sharing


def test_each_variant_shares_what_its_name_says():
    def parts(shared: tuple[str, ...]) -> tuple[int, int]:
        blocks = sharing.model_of(shared, 32, 128, 0).backbone.encoder.blocks
        attentions, feed_forwards = (
            {id(block.attention) for block in blocks},
            {id(block.feed_forward) for block in blocks},
        )
        norms = {id(block.attention_norm) for block in blocks}, {id(block.norm) for block in blocks}
        assert tuple(map(len, norms)) == (len(attentions), len(feed_forwards))
        return len(attentions), len(feed_forwards)

    assert parts(()) == (4, 4)
    assert parts((sharing.ATTENTION,)) == (1, 4)
    assert parts((sharing.FEED_FORWARD,)) == (4, 1)
    assert parts(sharing.PARTS) == (1, 1)


def test_twice_the_width_takes_the_parameters_that_sharing_saved():
    def of_blocks(shared: tuple[str, ...], width: int) -> int:
        return count_parameters(sharing.model_of(shared, 32, width, 0).backbone.encoder)

    assert of_blocks(sharing.PARTS, 256) == pytest.approx(of_blocks((), 128), rel=0.01)


def test_the_operations_of_a_step_grow_with_the_embeddings_and_not_with_what_is_shared(trained):
    task = MaskedWords(pretraining.rows_to_read(TOKENIZER, SIZE), TOKENIZER)

    def needed(shared: tuple[str, ...], width: int) -> int:
        return sharing.operations(sharing.model_of(shared, width, 128, 0), task, SIZE)

    assert needed(sharing.PARTS, 32) == needed((), 32) == needed((sharing.ATTENTION,), 32)
    assert needed((), 16) < needed((), 32) < needed((), 128)


def test_equal_operations_are_more_steps_for_a_cheaper_model_and_fewer_for_a_wider_one(trained, tmp_path):
    size = replace(SIZE, steps=40)
    cells = {
        name: sharing.E3.variants[name](0, size, tmp_path)
        for name in (sharing.NO_SAVINGS, sharing.SHARED_EQUAL[16], sharing.SHARED[16],
                     sharing.WIDER_EQUAL)
    }  # fmt: skip
    none, more, same, wider = cells.values()
    assert none["steps"] == same["steps"] == 40
    assert more["steps"] > 40 > wider["steps"]
    assert [one.steps for one in trained] == [40, more["steps"], 40, wider["steps"]]
    for found in (more, wider):
        assert found["steps"] * found["operations"] == pytest.approx(40 * none["operations"], rel=0.1)
    assert none["parameters"] > 2 * same["parameters"]
    assert {"masked_lm", "accuracy", "step_seconds"} <= none.keys()


def test_the_variants_of_a_half_of_the_table_differ_in_nothing_else():
    assert [*sharing.SHARED] == [*sharing.UNSHARED] == [16, 32, 64, 128]
    assert sharing.BOTH_SAVINGS in sharing.E3.variants
    assert sharing.SHARED_EQUAL[128] == sharing.SHARED[128]
    assert sharing.BOTH_SAVINGS_EQUAL not in sharing.E3.fewer
    assert {*sharing.E3.fewer} < {*sharing.E3.variants}


def test_training_begins_with_short_rows_of_other_texts(trained, tmp_path):
    size = replace(SIZE, steps=20)
    sharing.E3.variants[sharing.NO_SAVINGS](0, size, tmp_path)
    (run,) = trained
    assert run.short.model is run.model
    assert run.short.steps == round(pretraining.SHORT_SHARE * 20)
    assert max(len(row.ids) for row in run.short.task.examples) <= pretraining.SHORT_LENGTH
    assert trained[0].task.examples == pretraining.rows_of(REVIEWS[:16], TOKENIZER, size)
    of_ten = replace(size, max_length=pretraining.SHORT_LENGTH)
    assert trained[0].short.task.examples == pretraining.rows_of(REVIEWS[16:], TOKENIZER, of_ten)


# ---------------------------------------------------------------------------------------------------- E4: masking


def test_both_kinds_of_masks_begin_with_the_same_model_that_knows_short_rows(trained, tmp_path, monkeypatch):
    began = []
    pretrain = masking_and_pairs.pretrain

    def noted(model, *rest, **options):
        began.append({name: weight.clone() for name, weight in model.state_dict().items()})
        return pretrain(model, *rest, **options)

    monkeypatch.setattr(masking_and_pairs, "pretrain", noted)
    for name in (dynamic(4), static(4)):
        MASKING.variants[name](0, SIZE, tmp_path / "work")
    (start,) = trained.starts
    assert not start.task.static
    assert start.steps == round(pretraining.SHORT_SHARE * SIZE.steps)
    assert max(len(row.ids) for row in start.task.examples) <= pretraining.SHORT_LENGTH
    learned = start.model.state_dict()
    assert len(began) == 2
    assert all(torch.equal(found[name], learned[name]) for found in began for name in learned)
    assert not all(torch.equal(start.first[name], learned[name]) for name in learned)


def test_with_more_passes_there_are_fewer_rows_and_the_same_for_both_kinds_of_masks(trained, tmp_path):
    for passes in PASSES:
        for name in (dynamic(passes), static(passes)):
            found = MASKING.variants[name](1, SIZE, tmp_path)
            assert found["rows"] == SIZE.steps * SIZE.batch_size // passes
    assert [one.steps for one in trained] == [SIZE.steps] * 6
    for changing, fixed in zip(trained[::2], trained[1::2], strict=True):
        assert changing.task.examples == fixed.task.examples
        assert not changing.task.static
        assert fixed.task.static


def test_each_seed_draws_other_rows():
    rows = [Example([number], [0]) for number in range(100)]
    first, again, other = (masking_and_pairs.drawn(rows, 4, SIZE, seed) for seed in (0, 0, 1))
    assert first == again != other
    assert len({row.ids[0] for row in first}) == len(first) == 8
    with pytest.raises(MinibertError, match="32 rows are needed, but there are 31: take fewer steps or more texts"):
        masking_and_pairs.drawn(rows[:31], 1, SIZE, 0)


# ---------------------------------------------------------------------------------------------------- E4: pairs


@pytest.fixture
def start(tmp_path, monkeypatch) -> Path:
    folder = tmp_path / "start"
    save_pretrained(folder, small("masked-lm"), TOKENIZER)
    monkeypatch.setattr(masking_and_pairs, "START", str(folder))
    return folder


def test_the_pair_tasks_start_from_the_same_weights_and_are_tried_on_each_other_s_test(trained, start, tmp_path):
    found = {name: cell(2, SIZE, tmp_path) for name, cell in PAIRING.variants.items()}
    for name in (NSP, SOP):
        assert 0 <= found[name]["nsp_accuracy"] <= 1
        assert 0 <= found[name]["sop_accuracy"] <= 1
    assert "sop_accuracy" not in found["no pairs"]
    assert len({one["masked_lm"] for one in found.values()}) == 3
    none, nsp, sop = trained
    assert none.task.examples == nsp.task.examples != sop.task.examples
    assert [sorted(one.task.weights) for one in trained] == [["masked_lm"], *[["masked_lm", "pair"]] * 2]
    assert {one.rate for one in trained} == {masking_and_pairs.PAIR_RATE}
    assert [one.short for one in trained] == [None] * 3


def test_a_seed_draws_the_pair_head(trained, start, tmp_path, monkeypatch):
    monkeypatch.setattr(masking_and_pairs, "pretrain", lambda model, *rest, **options: trained.append(model))
    for seed in (0, 0, 1):
        PAIRING.variants[NSP](seed, SIZE, tmp_path)
    assert same_weights(trained[0].pair, trained[1].pair)
    assert not same_weights(trained[0].pair, trained[2].pair)
    assert same_weights(trained[0].lm, trained[2].lm)


def test_the_share_of_pairs_that_are_predicted_correctly():
    def model(input_ids, wanted, **rest):
        assert not wanted.any()
        return SimpleNamespace(pair_logits=torch.stack([input_ids[:, 1] > 9, input_ids[:, 1] <= 9], dim=1).float())

    examples = [Example([2, first, 3], [0, 0, 0], label) for first, label in ((5, 1), (6, 1), (20, 0), (21, 1))] * 40
    assert masking_and_pairs.pair_accuracy(model, examples, TOKENIZER) == 0.75
