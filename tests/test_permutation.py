"""Permutation language modelling: which orders are drawn, who may look at whom, what is predicted, and that it learns.

As in test_objectives.py, a right objective fails a bound with a probability below one in a million, whatever the seed.
"""

from __future__ import annotations

import itertools
from collections import Counter

import pytest
import torch
from lab import assert_same, lab, part
from test_objectives import batch, is_uniform, seeded, within
from tiny import V, assert_close, expect_refusal
from torch import Tensor
from torch.nn import functional as F
from training_tiny import TOKENIZER, lengths_of, texts

from minibert.factory import build
from minibert.heads import IGNORE
from minibert.models.relative import and_itself
from minibert.models.xlnet import XLNetConfig
from minibert.tokenizers import WordPiece
from minibert.training.batching import Example, inputs, padded
from minibert.training.loop import Settings, split, train
from minibert.training.objectives import candidates, choose_tokens
from minibert.training.permutation import PermutedWords, factorisation_order, order_mask, targets
from minibert.training.tasks import held_out_losses

# ------------------------------------------------------------------------------------------ the lab sheet
# Each property by itself, with numbers that can be worked out on paper. Read these first.

ORDER = torch.tensor([[2, 0, 1]])  # token 1 comes first, then token 2, then token 0
OTHERS = ~torch.eye(3, dtype=torch.bool)


@lab(
    "permutation-mask",
    code=order_mask,
    lesson="13",
    breaks="`order[:, :, None] <= order[:, None, :]` replaced by `>=`",
    catches="order-read-as-places",
)
def test_a_token_sees_those_whose_turn_is_before_its_own():
    """a token may see those whose turn comes before its own, in both streams: 0 where it may, 1 where it may not

    Token 0 comes last, and sees 1 and 2. Token 1 comes first, and sees neither 0 nor 2. Token 2 sees 1, and not 0.
    """
    for hidden in part("permutation-mask")(ORDER):
        assert_same(hidden[0][OTHERS], [0, 0, 1, 1, 1, 0])


@lab(
    "permutation-mask",
    code=and_itself,
    lesson="13",
    breaks="`| (gaps == 0)` left out",
    catches="masks-exchanged",
)
def test_only_the_content_stream_shows_a_token_itself():
    """in the query stream, which comes first, no token sees itself; in the content stream each does"""
    query, content = part("permutation-mask")(ORDER)
    assert_same(query[0].diagonal(), [1, 1, 1])
    assert_same(content[0].diagonal(), [0, 0, 0])


@lab(
    "permutation-mask",
    code=order_mask,
    lesson="13",
    breaks="`order[:, None, :]` replaced by `order[:1, None, :]`",
    catches="one-order-for-all",
)
def test_each_text_has_an_order_of_its_own():
    """each text of a batch has an order of its own: the first from left to right, the second from right to left"""
    query, _ = part("permutation-mask")(torch.tensor([[0, 1], [1, 0]]))
    assert_same(query, [[[1, 1], [0, 1]], [[1, 0], [1, 1]]])


# ------------------------------------------------------------------------------------------ the other tests

SPECIAL = frozenset(range(5))
EXAMPLES = texts(60)
EVERYTHING = range(60)


def model(seed: int = 0) -> torch.nn.Module:
    config = XLNetConfig(
        vocab_size=V,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        hidden_dropout_prob=0.0,
    )
    return build(config, "permutation-lm", seed)


def counts_of(orders: Tensor, allowed: list[tuple[int, ...]]) -> Tensor:
    """How often each of the allowed orders was drawn; a test fails on any other."""
    found = Counter(map(tuple, orders.tolist()))
    assert set(found) <= set(allowed)
    return torch.tensor([found[order] for order in allowed])


# --------------------------------------------------------------------------------------------- the order


def test_an_order_numbers_each_token_once():
    ids, mask = batch(500, 32)
    chosen = choose_tokens(candidates(ids, SPECIAL, mask), 1 / 6, generator=seeded())
    order = factorisation_order(mask, chosen, generator=seeded(1))
    assert torch.equal(order.sort(dim=1).values, torch.arange(32).expand(500, -1))


def test_the_chosen_come_last_and_padding_after_them():
    ids, mask = batch(2000, 32)
    chosen = choose_tokens(candidates(ids, SPECIAL, mask), 1 / 6, generator=seeded())
    order = factorisation_order(mask, chosen, generator=seeded(1))
    real, predicted = mask.sum(1, keepdim=True), chosen.sum(1, keepdim=True)
    assert torch.equal(chosen, (order >= real - predicted) & (order < real))
    assert torch.equal(mask == 0, order >= real)


def test_all_orders_are_equally_likely():
    mask = torch.ones(48_000, 4, dtype=torch.long)
    orders = factorisation_order(mask, torch.zeros_like(mask).bool(), generator=seeded(2))
    assert is_uniform(counts_of(orders, list(itertools.permutations(range(4)))))


def test_all_orders_of_the_chosen_and_of_the_others_are_equally_likely():
    mask = torch.ones(48_000, 5, dtype=torch.long)
    chosen = torch.tensor([False, True, True, False, True]).expand(48_000, -1)
    orders = factorisation_order(mask, chosen, generator=seeded(3))
    allowed = [
        (first[0], last[0], last[1], first[1], last[2])
        for first in itertools.permutations((0, 1))
        for last in itertools.permutations((2, 3, 4))
    ]
    assert is_uniform(counts_of(orders, allowed))


def test_choosing_first_and_ordering_then_is_a_random_order_of_which_the_last_are_predicted():
    mask = torch.ones(72_000, 6, dtype=torch.long)
    chosen = choose_tokens(mask.bool(), 1 / 3, generator=seeded(4))
    orders = factorisation_order(mask, chosen, generator=seeded(5))
    assert torch.equal(chosen, orders >= 4)
    assert is_uniform(counts_of(orders, list(itertools.permutations(range(6)))))


def test_of_two_tokens_each_comes_first_as_often():
    mask = torch.ones(4096, 64, dtype=torch.long)
    order = factorisation_order(mask, torch.zeros_like(mask).bool(), generator=seeded(6))
    assert within(int((order[:, ::2] < order[:, 1::2]).sum()), 4096 * 32, 0.5)
    assert within(int((order[:, :32] < order[:, 32:]).sum()), 4096 * 32, 0.5)


# ------------------------------------------------------------------------------------------------ the mask


@pytest.mark.parametrize("whole_context", [False, True])
def test_the_mask_is_what_the_order_says_pair_by_pair(whole_context):
    order = torch.tensor([[2, 0, 3, 1], [0, 1, 2, 3]])
    chosen = order >= 2
    mask = order_mask(order, chosen if whole_context else None)
    for b, (ranks, predicted) in enumerate(zip(order.tolist(), chosen.tolist(), strict=True)):
        for i, mine in enumerate(ranks):
            for j, other in enumerate(ranks):
                may_look = other < mine or (whole_context and not predicted[j])
                assert mask[b, i, j] == (not may_look)
    if not whole_context:
        assert order_mask(order)[1].tolist() == [[1, 1, 1, 1], [0, 1, 1, 1], [0, 0, 1, 1], [0, 0, 0, 1]]


@pytest.mark.parametrize("whole_context", [False, True])
def test_no_target_sees_itself_or_a_later_one_and_all_see_the_rest(whole_context):
    task = PermutedWords(EXAMPLES, TOKENIZER, whole_context=whole_context)
    for seed in range(5):
        made = task.batch(EVERYTHING, seed)
        hidden, mapping = made["perm_mask"].bool(), made["target_mapping"].bool()
        predicted = mapping.any(1)
        real = made["attention_mask"].bool()
        for b, p in zip(*(made["labels"] != IGNORE).nonzero(as_tuple=True), strict=True):
            row = hidden[b][mapping[b, p]][0]
            assert row[mapping[b, p]].all()  # itself
            assert not (row & real[b] & ~predicted[b]).any()  # what is not predicted comes before
        assert not (hidden & hidden.mT)[:, ~torch.eye(hidden.shape[1]).bool()].any()  # of two, one sees the other
        both = ~hidden & ~hidden.mT & ~torch.eye(hidden.shape[1]).bool()
        context = (real & ~predicted)[:, :, None] & (real & ~predicted)[:, None]
        assert (both & context).any() == whole_context
        assert not (both & ~context & real[:, None] & real[:, :, None]).any()


# ----------------------------------------------------------------------------------------------- the targets


def test_targets_name_the_chosen_words_in_the_order_of_the_text():
    ids = torch.tensor([[10, 11, 12, 13], [14, 15, 16, 17], [18, 19, 20, 21]])
    chosen = torch.tensor([[0, 1, 0, 1], [0, 0, 0, 0], [1, 0, 0, 0]]).bool()
    made = targets(ids, chosen)
    assert made["labels"].tolist() == [[11, 13], [IGNORE, IGNORE], [18, IGNORE]]
    nothing = [0, 0, 0, 0]
    assert made["target_mapping"].tolist() == [
        [[0, 1, 0, 0], [0, 0, 0, 1]],
        [nothing, nothing],
        [[1, 0, 0, 0], nothing],
    ]
    none = targets(ids, torch.zeros_like(chosen))
    assert none["labels"].tolist() == [[IGNORE]] * 3
    assert none["target_mapping"].shape == (3, 1, 4)
    assert not none["target_mapping"].any()


def test_a_sixth_of_the_words_is_predicted():
    task = PermutedWords(EXAMPLES, TOKENIZER)
    words = sum(len(example.ids) - 2 for example in EXAMPLES)
    found = sum(task.counts(task.batch(EVERYTHING, seed))["permutation_lm"] for seed in range(400))
    assert within(found, 400 * words, 1 / 6)  # the variance is less than that of independent draws
    every_second = PermutedWords(EXAMPLES, TOKENIZER, k=2)
    found = sum(every_second.counts(every_second.batch(EVERYTHING, seed))["permutation_lm"] for seed in range(400))
    assert within(found, 400 * words, 1 / 2)


def test_every_place_of_a_text_is_predicted_equally_often():
    long = [Example([2, *range(5, 29), 3], [0] * 26)] * 50
    task = PermutedWords(long, TOKENIZER)
    times = sum(task.batch(range(50), seed)["target_mapping"].sum((0, 1), dtype=torch.long) for seed in range(200))
    assert times[0] == times[-1] == 0  # special tokens
    assert is_uniform(times[1:-1], variance=10_000 * (1 / 6) * (5 / 6))


@pytest.mark.parametrize("masking", ["tokens", "whole-words", "ngrams", "rarity"])
def test_only_real_words_are_predicted_and_the_text_stays_in_its_order(masking):
    task = PermutedWords(EXAMPLES, TOKENIZER, masking=masking)
    plain = padded(EXAMPLES, TOKENIZER)
    for seed in range(5):
        made = task.batch(EVERYTHING, seed)
        for name, tensor in plain.items():
            assert torch.equal(made[name], tensor), name
        mapping, labels = made["target_mapping"], made["labels"]
        assert torch.equal(mapping.sum(-1), (labels != IGNORE).long())
        assert torch.equal((mapping.long() @ plain["input_ids"][..., None])[..., 0], labels.where(labels != IGNORE, 0))
        assert (labels[labels != IGNORE] >= 5).all()
        assert 5 < task.counts(made)["permutation_lm"] < 120


def test_words_can_be_predicted_whole():
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "##b", "c", "##d"]
    tokenizer = WordPiece({token: i for i, token in enumerate(tokens)})
    examples = [Example([2, 5, 6, 6, 7, 8, 5, 7, 8, 8, 3], [0] * 11)] * 200
    made = PermutedWords(examples, tokenizer, k=3, masking="whole-words").batch(range(200), 0)
    predicted = made["target_mapping"].bool().any(1)
    assert predicted.any()
    for word in ([1, 2, 3], [4, 5], [6], [7, 8, 9]):
        assert len(set(map(tuple, predicted[:, word].tolist()))) == 2
        assert torch.equal(predicted[:, word].any(1), predicted[:, word].all(1))


def test_an_order_is_another_with_each_seed_and_the_same_with_one():
    task = PermutedWords(EXAMPLES, TOKENIZER)
    one, same, other = task.batch(EVERYTHING, 1), task.batch(EVERYTHING, 1), task.batch(EVERYTHING, 2)
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["perm_mask"], other["perm_mask"])


@pytest.mark.parametrize("k", [1, 0, 2.5])
def test_one_in_less_than_two_is_refused(k):
    with expect_refusal(f"k is {k}", "at least 2"):
        PermutedWords(EXAMPLES, TOKENIZER, k=k)


def test_shapes_that_differ_are_refused():
    with expect_refusal("chosen has shape (2, 3)", "(2, 4)"):
        factorisation_order(torch.ones(2, 4), torch.ones(2, 3).bool(), generator=seeded())
    with expect_refusal("chosen has shape (2, 3)", "(2, 4)"):
        targets(torch.ones(2, 4).long(), torch.ones(2, 3).bool())


# -------------------------------------------------------------------------------------------- with a model


def test_the_loss_is_that_of_the_words_predicted():
    task, reader = PermutedWords(EXAMPLES, TOKENIZER), model().eval()
    made = task.batch([0, 3, 8, 20], 1)
    streams = {name: made[name] for name in ("perm_mask", "target_mapping")}
    logits = reader(**inputs(made), **streams).logits
    chosen = made["labels"] != IGNORE
    expected = F.cross_entropy(logits[chosen], made["labels"][chosen])
    assert_close(task.losses(reader, made)["permutation_lm"], expected, 1e-6)
    assert task.weights == {"permutation_lm": 1.0}
    assert task.counts(made) == {"permutation_lm": int(chosen.sum())}


def test_parts_weighted_by_what_they_count_are_the_whole():
    task, reader = PermutedWords(EXAMPLES, TOKENIZER), model().eval()
    made = task.batch(range(20), 5)
    parts = [part for part in split(made, 4) if task.counts(part)["permutation_lm"]]
    total = sum(task.losses(reader, part)["permutation_lm"] * task.counts(part)["permutation_lm"] for part in parts)
    whole = task.losses(reader, made)["permutation_lm"]
    assert_close(total / task.counts(made)["permutation_lm"], whole, 1e-5)


@pytest.mark.parametrize("whole_context", [False, True])
def test_a_predicted_word_is_not_given_away(whole_context):
    """Another word in a target's place changes neither its own logits nor those of an earlier target."""
    task, reader = PermutedWords(EXAMPLES, TOKENIZER, k=2, whole_context=whole_context), model().eval()
    made = task.batch(EVERYTHING, 3)
    streams = {name: made[name] for name in ("perm_mask", "target_mapping")}
    before = reader(**inputs(made), **streams).logits
    places = made["target_mapping"].argmax(-1)
    others = 0
    for p in range(places.shape[1]):
        used = made["labels"][:, p] != IGNORE
        ids = made["input_ids"].clone()
        rows = used.nonzero()[:, 0]
        ids[rows, places[rows, p]] = (ids[rows, places[rows, p]] - 5 + 9) % 26 + 5
        after = reader(**{**inputs(made), "input_ids": ids}, **streams).logits
        assert torch.equal(after[used, p], before[used, p])
        others += int((after[used] != before[used]).any(-1).any(-1).sum())
    assert others > 10  # later ones do change


def test_held_out_losses_are_measured_in_the_same_way():
    found = held_out_losses(model(), PermutedWords(EXAMPLES, TOKENIZER), batch_size=25)
    assert found.keys() == {"permutation_lm"}
    assert 2.5 < found["permutation_lm"] < 4.5


def test_a_tiny_xlnet_learns(tmp_path):
    """A letter is followed by the next one of the alphabet: with a neighbour in view, it can be known."""
    examples, new = texts(300), texts(100, seed=9)
    settings = Settings(steps=80, batch_size=48, learning_rate=1e-2)
    reader = model()
    held_out = PermutedWords(new, TOKENIZER)
    before = held_out_losses(reader, held_out)["permutation_lm"]
    log = train(reader, PermutedWords(examples, TOKENIZER), lengths_of(examples), settings, tmp_path)
    first, last = (sum(record["loss"] for record in log[part]) / 5 for part in (slice(None, 5), slice(-5, None)))
    assert last < first - 1
    assert held_out_losses(reader.eval(), held_out)["permutation_lm"] < before - 1
