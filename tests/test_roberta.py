"""What RoBERTa does in its own way: positions counted from the ids, a classifier of its own, students of its kind."""

from __future__ import annotations

import pytest
import torch
from lab import assert_same, lab, part
from tiny import BATCH, IDS, MASK, POSITIONS, assert_close, expect_refusal, tiny

from minibert.checkpoints import from_pretrained, load, save_pretrained
from minibert.factory import build, preset
from minibert.models.roberta import Roberta, RobertaConfig, count_positions
from minibert.training.distillation import student_from_teacher

PAD = 1

# ------------------------------------------------------------------------------------------ the lab sheet
# Each property by itself, with numbers that can be worked out on paper. Read these first.


@lab(
    "roberta-positions",
    code=count_positions,
    lesson="11",
    breaks="`+ padding_id` left out",
    catches="always-from-2",
)
def test_the_first_token_comes_after_the_paddings_position():
    """in each text the first real token gets the position padding_idx + 1, the next one padding_idx + 2, and so on"""
    assert_same(part("roberta-positions")(torch.tensor([[7, 8, 9], [5, 6, 2]]), 1), [[2, 3, 4], [2, 3, 4]])
    assert_same(part("roberta-positions")(torch.tensor([[15, 17, 16]]), 9), [[10, 11, 12]])


@lab(
    "roberta-positions",
    code=count_positions,
    lesson="11",
    breaks="`real.cumsum(dim=1) * real` without `* real`",
    catches="padding-counted-on",
)
def test_padding_has_one_position_and_is_not_counted():
    """padding has the position padding_idx, wherever it is, and the tokens after it skip no number"""
    found = part("roberta-positions")(torch.tensor([[7, 8, 1, 1], [1, 7, 1, 8]]), 1)
    assert_same(found, [[2, 3, 1, 1], [1, 2, 1, 3]])


@lab(
    "roberta-positions",
    code=count_positions,
    lesson="11",
    breaks="`input_ids != padding_id` replaced by `input_ids > padding_id`",
    catches="ids-above-padding",
)
def test_only_the_padding_id_is_padding():
    """padding is what has the id padding_idx, and nothing else: the id 0 below it is <s>, a real token"""
    assert_same(part("roberta-positions")(torch.tensor([[7, 0, 8, 1]]), 1), [[2, 3, 4, 1]])


# ------------------------------------------------------------------------------------------ the other tests


def test_positions_begin_after_the_padding_id_and_padding_has_one_of_its_own():
    ids = torch.tensor([[5, 6, 7, PAD, PAD], [PAD, 5, 6, 7, 8], [5, PAD, 6, PAD, 7], [PAD] * 5])
    expected = [[2, 3, 4, 1, 1], [1, 2, 3, 4, 5], [2, 1, 3, 1, 4], [1] * 5]
    assert tiny("roberta").position_ids(ids).tolist() == expected


def test_positions_are_counted_from_the_ids_and_not_from_the_mask():
    model = tiny("roberta")
    before = model(IDS).last_hidden_state
    assert_close(model(IDS, MASK).last_hidden_state[0], before[0])  # it has no padding, whatever the others have
    ids = IDS.clone()
    ids[0, 3] = PAD
    assert model.position_ids(ids)[0].tolist() == [2, 3, 4, 1, 5, 6, 7]


def test_padding_on_either_side_changes_nothing():
    model = tiny("roberta")
    alone = model(IDS[:1, :4]).last_hidden_state[0]
    for mask in (torch.tensor([[1, 1, 1, 1, 0, 0, 0]]), torch.tensor([[0, 0, 0, 1, 1, 1, 1]])):
        ids = torch.full((1, 7), PAD)
        ids[mask.bool()] = IDS[0, :4]
        assert_close(model(ids, mask).last_hidden_state[mask.bool()], alone)


def test_the_longest_text_fits_and_a_longer_one_is_refused():
    model = tiny("roberta")
    assert model.config.max_length == POSITIONS
    assert model(torch.full((1, POSITIONS), 6)).last_hidden_state.isfinite().all()
    with expect_refusal(f"{POSITIONS + 1} tokens", f"{POSITIONS} positions"):
        model(torch.full((1, POSITIONS + 1), 6))
    assert preset("roberta-base").max_length == 512


def test_a_position_table_that_ends_before_the_first_position_is_refused():
    with expect_refusal("max_position_embeddings is 2", "more than pad_token_id + 1 = 2"):
        RobertaConfig(max_position_embeddings=2)


def test_the_classifier_drops_before_its_dense_layer_and_after_it():
    """Invisible in evaluation mode, so looked at on purpose."""
    model = tiny("roberta", "sequence-classification")
    seen = {}
    for name in ("dense", "classifier"):
        getattr(model, name).register_forward_hook(lambda _, inputs, __, name=name: seen.update({name: inputs[0]}))
    model.dense_dropout.p, model.dropout.p = 0.5, 0.5
    model.train()
    torch.manual_seed(0)
    model(**BATCH)
    assert (seen["dense"] == 0).any()
    assert (seen["classifier"] == 0).any()
    assert model(**BATCH).pooled is None


def test_the_classifier_reads_the_first_token():
    model = tiny("roberta", "sequence-classification")
    first = model.backbone(**BATCH).last_hidden_state[:, 0]
    expected = model.classifier(torch.tanh(model.dense(first)))
    assert_close(model(**BATCH).logits, expected)


@pytest.mark.parametrize("head", ["sequence-classification", "token-classification"])
def test_two_heads_name_their_classifier_differently(tmp_path, head):
    model = build(tiny("roberta").config, head, seed=1)
    save_pretrained(tmp_path, model)
    again, fresh = load(tmp_path, head)
    assert not fresh
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), again.state_dict().values(), strict=True))
    assert isinstance(from_pretrained(tmp_path), Roberta)  # without a head, whichever the file holds
    other = {"sequence-classification": "token-classification"}.get(head, "sequence-classification")
    assert "classifier" in load(tmp_path, other).fresh  # the other head's classifier is never taken for this one


@pytest.mark.parametrize("head", [None, "masked-lm"])
def test_a_student_of_a_roberta_is_a_smaller_roberta(head):
    teacher = tiny("roberta", head, num_hidden_layers=4, classifier_dropout=0.3)
    student = student_from_teacher(teacher).double().eval()
    body, master = (student, teacher) if head is None else (student.backbone, teacher.backbone)
    assert isinstance(body, Roberta)
    assert body.config.num_hidden_layers == 2
    assert body.config.classifier_dropout == 0.3
    assert body.pooler is None
    assert torch.equal(body.embeddings.token_type.weight, master.embeddings.token_type.weight)
    for mine, layer in zip(body.encoder.blocks, (0, 2), strict=True):
        theirs = master.encoder.blocks[layer].state_dict()
        assert all(torch.equal(tensor, theirs[name]) for name, tensor in mine.state_dict().items())
    assert_close(
        body(IDS, MASK, return_hidden=True).hidden_states[1], master(IDS, MASK, return_hidden=True).hidden_states[1]
    )


def test_folding_token_types_leaves_a_roberta_as_it_is():
    teacher = tiny("roberta", num_hidden_layers=4)
    plain, folded = (student_from_teacher(teacher, fold_types=fold) for fold in (False, True))
    assert torch.equal(plain.embeddings.position.weight, folded.embeddings.position.weight)
