"""Masking: what is chosen, how often, and what becomes of it, counted over a million tokens.

Every bound of a count is five standard deviations wide, so that a right masker would miss it with a probability
below one in a million (5.7e-7), whatever the seed; a test of uniformity has a bound with the same error rate.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import numpy as np
import pytest
import torch
from lab import assert_same, check, lab, part
from tiny import expect_refusal
from torch import Generator, Tensor

from minibert.training.objectives import (
    Masked,
    candidates,
    choose_by_rarity,
    choose_ngrams,
    choose_tokens,
    choose_whole_words,
    corrupt,
    mask_one_by_one,
    word_starts,
)

PAD, UNK, CLS, SEP, MASK = range(5)
SPECIAL = frozenset(range(5))
V = 1000
RATE = 0.15


def seeded(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def within(count: float, trials: float, probability: float, lumps: float = 1.0) -> bool:
    """Whether so many trials came out, within five standard deviations; lumps: how many times the variance that it
    would have if they were independent."""
    return abs(count - trials * probability) <= 5 * math.sqrt(lumps * trials * probability * (1 - probability))


# ------------------------------------------------------------------------------------------ the lab sheet
# Each property by itself, with numbers that can be worked out on paper. Read these first.

WORDS = torch.tensor([[CLS, 10, 11, 12, 13, SEP, PAD, PAD]])
MAY = torch.tensor([[False, True, True, True, True, False, False, False]])


@lab(
    "mask-tokens",
    code=choose_tokens,
    lesson="07",
    breaks="`.masked_fill_(~candidates, 2.0)` left out",
    catches="may-be-chosen-ignored",
)
def test_what_may_not_be_chosen_is_left_alone():
    """special tokens and padding are never chosen

    [CLS], four words, [SEP] and two padded slots; only the words may be chosen. Nine in ten of them are, with
    each of a hundred seeds.
    """
    for seed in range(100):
        ids, labels = part("mask-tokens")(WORDS.clone(), MAY, MASK, V, 0.9, seeded(seed))
        check(torch.equal(torch.as_tensor(ids)[~MAY], WORDS[~MAY]))
        assert_same(torch.as_tensor(labels)[~MAY], [-100] * 4)


@lab(None, code=candidates, lesson="07", breaks="`free & attention_mask.bool()` without the mask")
def test_special_and_padded_tokens_are_no_candidates():
    """what may be chosen is a real token that is not special

    The last slot is padding by the attention mask alone: it holds the id of a word.
    """
    ids, mask = torch.tensor([[CLS, 10, UNK, SEP, 11]]), torch.tensor([[1, 1, 1, 1, 0]])
    assert_same(candidates(ids, SPECIAL, mask), [[False, True, False, False, False]])


@lab(
    "mask-tokens",
    code=corrupt,
    lesson="07",
    breaks="`torch.where(chosen & (fate <= 7), mask_id, input_ids)` written into `input_ids`",
    catches="in-place",
)
def test_masking_leaves_its_input_alone():
    """masking does not change the ids that it is given: the masked ones are a copy"""
    ids = WORDS.clone()
    part("mask-tokens")(ids, MAY, MASK, V, 0.9, seeded())
    check(torch.equal(ids, WORDS))


@lab(
    "mask-tokens",
    code=corrupt,
    lesson="07",
    breaks="`torch.where(chosen, input_ids, IGNORE)` with the corrupted ids",
    catches="labels-masked",
)
def test_labels_hold_the_original_of_each_chosen_token():
    """the labels are the original ids of the chosen tokens, and -100 elsewhere

    A thousand times the same text. Where there is no label, the id has not changed; where there is one, it is the
    original; and some of the chosen tokens stay as they are, and have a label all the same.
    """
    words, may = WORDS.repeat(1000, 1), MAY.repeat(1000, 1)
    ids, labels = part("mask-tokens")(words, may, MASK, V, 0.5, seeded())
    chosen = labels != -100
    check(torch.equal(labels[chosen], words[chosen]))
    check(torch.equal(ids[~chosen], words[~chosen]))
    check((ids[chosen] == words[chosen]).any())


@lab(
    "mask-tokens",
    code=corrupt,
    lesson="07",
    breaks="`fate <= 7` and `fate == 8` drawn one after the other (81/10/9)",
    catches="81-10-9",
)
def test_one_draw_decides_between_mask_random_and_unchanged():
    """of the chosen tokens 80% become [MASK], 10% a random word and 10% stay, by one draw

    Counted over 115,000 chosen tokens. The bounds are five standard deviations (0.6% and 0.4% of them) wide, so that
    81/10/9, which two draws would give, fails, and a right masker has one chance in a million to fail.
    """
    words = torch.randint(5, V, (250, 512), generator=seeded(1))
    ids, labels = part("mask-tokens")(words, torch.ones_like(words).bool(), MASK, V, 0.9, seeded(2))
    chosen = labels != -100
    masked, same = (ids == MASK)[chosen], (ids == words)[chosen]
    counts = {0.8: masked, 0.1: ~masked & ~same}, {0.1: same}
    for share, those in [*counts[0].items(), *counts[1].items()]:
        # a random word is by chance [MASK], or the same as before, once in a thousand times
        check(within(int(those.sum()), int(chosen.sum()), share))


@lab(
    "mask-tokens",
    code=choose_tokens,
    lesson="07",
    breaks="`_share(rate, ` replaced by all candidates",
    catches="rate-is-of-mask",
)
def test_the_rate_is_the_share_of_the_tokens():
    """each token is chosen with the probability that the rate says

    Counted over 128,000 tokens at 15%; the bounds are five standard deviations wide.
    """
    words = torch.randint(5, V, (250, 512), generator=seeded(1))
    _, labels = part("mask-tokens")(words, torch.ones_like(words).bool(), MASK, V, 0.15, seeded(2))
    check(within(int((labels != -100).sum()), words.numel(), 0.15))


@lab(
    "mask-tokens", code=choose_tokens, lesson="07", breaks="`generator=generator` left out", catches="generator-ignored"
)
def test_the_seed_decides_what_is_masked():
    """the same seed gives the same masks, and another seed others"""
    words = torch.randint(5, V, (1, 200), generator=seeded(1))
    one, again, other = (
        part("mask-tokens")(words, torch.ones_like(words).bool(), MASK, V, 0.15, seeded(seed))[1] for seed in (1, 1, 2)
    )
    check(torch.equal(one, again))
    check(not torch.equal(one, other))


# ------------------------------------------------------------------------------------------- the whole of it


def is_uniform(counts: Tensor, variance: float | None = None) -> bool:
    """Whether counts with one mean differ by chance only; a false alarm has probability below 1e-6.

    variance: of one count, by default that of a Poisson count. The bound of the chi-square sum is that of Laurent and
    Massart 2000, lemma 1: P(X >= d + 2 sqrt(d x) + 2 x) <= exp(-x) for d degrees of freedom.
    """
    counts = counts.double()
    chi_square = float(((counts - counts.mean()) ** 2).sum() / (variance or counts.mean()))
    freedom, x = counts.numel() - 1, math.log(1e6)
    return chi_square <= freedom + 2 * math.sqrt(freedom * x) + 2 * x


def batch(rows: int, length: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Texts of all lengths: ids as a model gets them, [CLS] ... [SEP] and padding, and the attention mask."""
    generator = seeded(seed)
    ids = torch.randint(len(SPECIAL), V, (rows, length), generator=generator)
    last = torch.randint(length // 2, length, (rows, 1), generator=generator)
    positions = torch.arange(length)
    ids[:, 0] = CLS
    ids[positions == last] = SEP
    ids[positions > last] = PAD
    return ids, (positions <= last).long()


IDS, ATTENTION = batch(11_000, 128)  # a million candidates, the rest is special or padding
FREE = candidates(IDS, SPECIAL, ATTENTION)
COUNTS = (1e6 / (1 + torch.arange(V))).long()  # words as rare as Zipf says, from a million to a thousand
CONTINUES = torch.arange(V) % 3 == 0  # a third of the vocabulary carries a word on
STARTS = word_starts(IDS, CONTINUES)

Chooser = Callable[[Tensor, Tensor, Tensor, float, Generator], Tensor]
CHOOSERS: dict[str, Chooser] = {
    "tokens": lambda ids, free, starts, rate, g: choose_tokens(free, rate, generator=g),
    "whole words": lambda ids, free, starts, rate, g: choose_whole_words(free, starts, rate, generator=g),
    "n-grams": lambda ids, free, starts, rate, g: choose_ngrams(free, starts, rate, generator=g),
    "rarity": lambda ids, free, starts, rate, g: choose_by_rarity(ids, free, COUNTS, rate, generator=g),
}
# The tokens of an n-gram share their fate: an n-gram of 18/11 words on average holds 7/11 pairs of neighbours and
# 2/11 at distance two, so that the variance of a sum is at most 1 + 2 · (7 + 2) / 18 = 2 times that of single tokens.
LUMPS = {"n-grams": 2.0}
each_chooser = pytest.mark.parametrize("choose", CHOOSERS.values(), ids=CHOOSERS.keys())


# What may be chosen


def test_candidates_are_real_and_not_special():
    ids = torch.tensor([[CLS, 7, UNK, 8, SEP, PAD], [CLS, 9, SEP, 7, SEP, 9]])
    attention = torch.tensor([[1, 1, 1, 1, 1, 0], [1, 1, 1, 1, 1, 0]])
    expected = torch.tensor([[0, 1, 0, 1, 0, 0], [0, 1, 0, 1, 0, 0]]).bool()
    assert torch.equal(candidates(ids, SPECIAL, attention), expected)
    assert torch.equal(candidates(ids, [CLS, SEP, PAD], attention)[0], torch.tensor([0, 1, 1, 1, 0, 0]).bool())
    assert candidates(ids, SPECIAL)[1, 5]  # all real by default


@each_chooser
def test_what_is_special_or_padded_is_never_chosen(choose):
    chosen = choose(IDS[:2000], FREE[:2000], STARTS[:2000], 0.9, seeded())
    assert chosen.dtype == torch.bool
    assert chosen.any()
    assert not (chosen & ~FREE[:2000]).any()


# How often


@pytest.mark.parametrize("name", CHOOSERS)
def test_the_rate(name):
    chosen, total = int(CHOOSERS[name](IDS, FREE, STARTS, RATE, seeded(1)).sum()), int(FREE.sum())
    assert total > 1_000_000
    assert within(chosen, total, RATE, LUMPS.get(name, 1.0))


def test_the_number_in_a_text_is_right_to_one_token():
    number, total = choose_tokens(FREE, RATE, generator=seeded(2)).sum(dim=1), FREE.sum(dim=1)
    assert ((number - RATE * total).abs() < 1).all()


def test_short_texts_have_the_same_rate():
    # text i has (i mod 9) + 1 candidates; "at least one" would mask every second token of a text of two
    sizes = torch.arange(180_000) % 9 + 1
    chosen = choose_tokens(torch.arange(9) < sizes[:, None], RATE, generator=seeded(3)).sum(dim=1)
    for size in range(1, 10):
        low = math.floor(RATE * size)  # the number chosen is low, or low + 1 with this probability
        assert within(int((chosen[sizes == size] - low).sum()), 20_000, RATE * size - low)


def test_the_number_in_a_batch_is_right_to_one_token_by_rarity():
    number = int(choose_by_rarity(IDS, FREE, COUNTS, RATE, generator=seeded(4)).sum())
    assert abs(number - RATE * int(FREE.sum())) < 1


@pytest.mark.parametrize("name", CHOOSERS)
def test_every_position_has_the_same_chance(name):
    ids = torch.full((16384, 64), 9)
    everywhere = torch.ones_like(ids).bool()
    counts = CHOOSERS[name](ids, everywhere, everywhere, RATE, seeded(5)).sum(dim=0)
    variance = LUMPS.get(name, 1.0) * len(ids) * RATE * (1 - RATE)
    assert is_uniform(counts, variance)
    # a slight slope from the beginning of a text to its end is easier to see by itself
    place = torch.arange(64) - 31.5
    assert abs(float((counts * place).sum())) <= 5 * math.sqrt(variance * float((place**2).sum()))


def test_neighbours_are_chosen_independently():
    # 20 of 128 are drawn without putting back, so a pair of neighbours is among them with p = 20/128 · 19/127
    chosen = choose_tokens(torch.ones(16384, 128, dtype=torch.bool), 20 / 128, generator=seeded(6))
    assert (chosen.sum(dim=1) == 20).all()
    assert within(int((chosen[:, ::2] & chosen[:, 1::2]).sum()), 16384 * 64, 20 / 128 * 19 / 127)


# Whole words


def word_numbers(free: Tensor, starts: Tensor) -> list[list[list[int]]]:
    """For each text its words as lists of positions, found the plain way."""
    texts = []
    for free_row, starts_row in zip(free.tolist(), starts.tolist(), strict=True):
        words: list[list[int]] = []
        for position, may in enumerate(free_row):
            if may and (starts_row[position] or position == 0 or not free_row[position - 1]):
                words.append([])
            if may:
                words[-1].append(position)
        texts.append(words)
    return texts


def test_word_starts():
    assert torch.equal(word_starts(torch.tensor([[7, 6, 9, 8]]), CONTINUES), torch.tensor([[True, False, False, True]]))


@pytest.mark.slow
def test_words_are_chosen_whole_and_long_ones_as_often_as_short_ones():
    rows = slice(0, 2000)
    chosen = choose_whole_words(FREE[rows], STARTS[rows], RATE, generator=seeded(7))
    trials, hits = [0] * 128, [0] * 128
    for row, words in zip(chosen.tolist(), word_numbers(FREE[rows], STARTS[rows]), strict=True):
        number = 0
        for word in words:
            assert len({row[position] for position in word}) == 1
            number += row[word[0]]
            trials[len(word)] += 1
            hits[len(word)] += row[word[0]]
        assert abs(number - RATE * len(words)) < 1
    for length in (1, 2, 3, 4):
        assert trials[length] > 1000
        assert within(hits[length], trials[length], RATE)


def test_a_word_begins_after_what_is_no_candidate():
    free = torch.tensor([[False, True, True, False, True, True]]).repeat(4000, 1)
    nowhere = torch.zeros_like(free)
    chosen = choose_whole_words(free, nowhere, 0.5, generator=seeded(8))
    assert torch.equal(chosen[:, 1], chosen[:, 2])
    assert torch.equal(chosen[:, 4], chosen[:, 5])
    assert (chosen[:, 1] != chosen[:, 4]).all()  # two words at one half: exactly one of them


# N-grams


def run_lengths(chosen: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Row, first position and length of each unbroken run of chosen tokens."""
    edge = torch.zeros(len(chosen), 1, dtype=torch.int8)
    change = torch.cat([edge, chosen.to(torch.int8), edge], dim=1).diff(dim=1)
    first, last = (change == 1).nonzero(), (change == -1).nonzero()
    return first[:, 0], first[:, 1], last[:, 1] - first[:, 1]


@pytest.mark.parametrize(("max_words", "odds"), [(3, (6, 3, 2)), (1, (1,)), (4, (12, 6, 4, 3))])
def test_the_lengths_of_ngrams(max_words, odds):
    # A rate so low that a text has at most one n-gram, so that two never touch. One that begins within the last
    # max_words - 1 words may have been cut short; of the others each has the length that was drawn.
    size = 60
    free = torch.ones(30_000, size, dtype=torch.bool)
    rows, first, lengths = run_lengths(choose_ngrams(free, free, 0.9 / size, max_words, generator=seeded(9)))
    assert len(rows) == len(rows.unique()) > 10_000
    assert lengths.max() <= max_words
    lengths = lengths[first <= size - max_words]
    for number, weight in enumerate(odds, 1):
        assert within(int((lengths == number).sum()), len(lengths), weight / sum(odds))


def test_ngrams_are_made_of_whole_words():
    chosen = choose_ngrams(FREE[:2000], STARTS[:2000], RATE, generator=seeded(10))
    for row, words in zip(chosen.tolist(), word_numbers(FREE[:2000], STARTS[:2000]), strict=True):
        for word in words:
            assert len({row[position] for position in word}) == 1


def test_ngrams_do_not_cross_a_separator():
    free = torch.ones(20_000, 9, dtype=torch.bool)
    free[:, 4] = False
    chosen = choose_ngrams(free, free, 0.1, generator=seeded(10))  # at most one n-gram a text
    assert not (chosen[:, :4].any(dim=1) & chosen[:, 5:].any(dim=1)).any()
    assert within(int(chosen[:, 5].sum()), 20_000, 0.1)


# By rarity


def test_rarity_against_all_orders_of_drawing():
    # Two of these five are drawn without putting back; their chances, added up over all orders in plain numpy.
    counts = torch.tensor([0, 1, 10, 1_000, 100_000, 50])
    ids = torch.tensor([[1, 2, 3], [4, 0, 2], [5, 5, 5]])  # count 0 is treated as 1; the last row is no candidate
    free = torch.tensor([[1, 1, 1], [1, 1, 0], [0, 0, 0]]).bool()
    weights = np.array([1, 10, 1_000, 100_000, 1]) ** -0.7
    expected = np.zeros(5)
    for i in range(5):
        for j in set(range(5)) - {i}:
            expected[[i, j]] += weights[i] / weights.sum() * weights[j] / (weights.sum() - weights[i])
    generator, trials = seeded(11), 4000
    drawn = sum(choose_by_rarity(ids, free, counts, 0.4, generator=generator).long() for _ in range(trials))
    assert int(drawn.sum()) == 2 * trials
    assert int(drawn[~free].sum()) == 0
    for count, probability in zip(drawn[free].tolist(), expected, strict=True):
        assert within(count, trials, probability)


def test_rarity_over_a_million_tokens():
    # In a large batch a token of weight w escapes all draws with probability exp(-t w), where t is such that the
    # number of the chosen is right (Rosén 1972); t is found here by halving.
    chosen = choose_by_rarity(IDS, FREE, COUNTS, RATE, generator=seeded(12))
    in_batch = np.bincount(IDS[FREE].numpy(), minlength=V)
    found = np.bincount(IDS[chosen].numpy(), minlength=V)
    weights = COUNTS.numpy().astype(float) ** -0.7
    low, high = 0.0, 1e9
    for _ in range(100):
        t = (low + high) / 2
        expected = 1 - np.exp(-t * weights)
        low, high = (t, high) if (in_batch * expected).sum() < found.sum() else (low, t)
    surplus, variance = found - in_batch * expected, in_batch * expected * (1 - expected)
    for words in np.split(np.arange(V), 20):  # from common to rare, fifty words at a time
        assert abs(surplus[words].sum()) <= 5 * math.sqrt(variance[words].sum())
    # another exponent shows as a slope
    rarity = np.log(weights) - (np.log(weights) * variance).sum() / variance.sum()
    assert abs((surplus * rarity).sum()) <= 5 * math.sqrt((variance * rarity**2).sum())


# Corrupting


def test_80_10_10():
    ids = torch.full((1000, 2000), 7)
    masked, _ = corrupt(ids, torch.ones_like(ids).bool(), MASK, V, seeded(13))
    total = ids.numel()
    # a random token is the old one, or [MASK], once in V times
    assert within(int((masked == MASK).sum()), total, 0.8 + 0.1 / V)
    assert within(int((masked == 7).sum()), total, 0.1 + 0.1 / V)
    assert within(int(((masked != 7) & (masked != MASK)).sum()), total, 0.1 * (V - 2) / V)


def test_fates_are_independent_of_their_neighbours():
    ids = torch.full((1000, 2000), 7)
    hidden = corrupt(ids, torch.ones_like(ids).bool(), MASK, 10**6, seeded(14)).input_ids == MASK
    assert within(int((hidden[:, ::2] & hidden[:, 1::2]).sum()), 10**6, 0.64)
    assert within(int((hidden[::2] & hidden[1::2]).sum()), 10**6, 0.64)


@pytest.mark.parametrize("vocab_size", [50, V])
def test_random_tokens_are_uniform_over_the_vocabulary(vocab_size):
    ids = torch.full((1000, 2000), 7)
    masked, _ = corrupt(ids, torch.ones_like(ids).bool(), MASK, vocab_size, seeded(15))
    counts = masked.flatten().bincount(minlength=vocab_size)
    assert len(counts) == vocab_size
    others = torch.ones(vocab_size, dtype=torch.bool)
    others[[7, MASK]] = False  # these two have other reasons to be there
    assert is_uniform(counts[others])
    assert within(int(counts[others].sum()), ids.numel(), 0.1 * (vocab_size - 2) / vocab_size)


def test_labels_stand_where_something_was_chosen_and_say_what_it_was():
    chosen = choose_tokens(FREE, RATE, generator=seeded(16))
    masked, labels = corrupt(IDS, chosen, MASK, V, seeded(17))
    assert masked.dtype == labels.dtype == torch.int64
    assert torch.equal(labels != -100, chosen)  # also where the token stayed, or became a random one
    assert torch.equal(labels[chosen], IDS[chosen])
    assert (labels[~chosen] == -100).all()
    assert torch.equal(masked[~chosen], IDS[~chosen])


def test_inputs_are_left_alone():
    given = [IDS[:64].clone(), FREE[:64].clone(), STARTS[:64].clone(), COUNTS.clone(), ATTENTION[:64].clone()]
    kept = [tensor.clone() for tensor in given]
    ids, free, starts, counts, attention = given
    candidates(ids, SPECIAL, attention)
    for choose in CHOOSERS.values():
        result = corrupt(ids, choose(ids, free, starts, 0.5, seeded()), MASK, V, seeded())
        assert result.input_ids.data_ptr() != ids.data_ptr()
    choose_by_rarity(ids, free, counts, generator=seeded())
    mask_one_by_one(mask_with(CHOOSERS["tokens"]), ids, attention, range(64))
    nothing = corrupt(ids, torch.zeros_like(free), MASK, V, seeded())
    assert nothing.input_ids.data_ptr() != ids.data_ptr()
    assert all(torch.equal(now, before) for now, before in zip(given, kept, strict=True))


# Seeds: dynamic and static masking


def mask_with(choose: Chooser) -> Callable[[Tensor, Tensor, Generator], Masked]:
    def mask(ids: Tensor, attention: Tensor, generator: Generator) -> Masked:
        free = candidates(ids, SPECIAL, attention)
        return corrupt(ids, choose(ids, free, word_starts(ids, CONTINUES), RATE, generator), MASK, V, generator)

    return mask


def same(one: Masked, other: Masked) -> bool:
    return torch.equal(one.input_ids, other.input_ids) and torch.equal(one.labels, other.labels)


@each_chooser
def test_the_seed_decides_what_is_chosen(choose):
    def chosen(seed: int) -> Tensor:
        return choose(IDS[:99], FREE[:99], STARTS[:99], RATE, seeded(seed))

    first = chosen(18)
    torch.rand(3)  # what happens elsewhere has no influence
    assert torch.equal(chosen(18), first)
    both = int((chosen(19) & first).sum())
    assert both < first.sum() / 2  # another seed, another choice


def test_the_seed_decides_what_is_put_in_its_place():
    first = corrupt(IDS, FREE, MASK, V, seeded(18)).input_ids
    torch.rand(3)
    assert torch.equal(corrupt(IDS, FREE, MASK, V, seeded(18)).input_ids, first)
    other = corrupt(IDS, FREE, MASK, V, seeded(19)).input_ids
    # both hide a token with 0.8², both leave it with 0.1²; random tokens agree now and then
    assert within(int((first == other)[FREE].sum()), int(FREE.sum()), 0.8**2 + 0.1**2 + 0.19 / V)


@each_chooser
def test_static_masks_do_not_depend_on_the_batch(choose):
    mask = mask_with(choose)
    ids, attention = batch(40, 128, seed=2)
    whole = mask_one_by_one(mask, ids, attention, range(40))
    order = torch.randperm(40, generator=seeded(20))[:9]
    size = int(attention[order].sum(dim=1).max())  # less padding than in the whole batch
    some = mask_one_by_one(mask, ids[order, :size], attention[order, :size], order.tolist())
    assert same(some, Masked(whole.input_ids[order, :size], whole.labels[order, :size]))
    assert (whole.labels[:, 0] == -100).all()
    assert torch.equal(whole.input_ids[attention == 0], ids[attention == 0])
    assert not same(mask_one_by_one(mask, ids, attention, range(40, 80)), whole)  # another mask for another seed


def test_static_masking_takes_padding_on_any_side():
    mask, (ids, attention) = mask_with(CHOOSERS["tokens"]), batch(40, 128, seed=3)
    right = mask_one_by_one(mask, ids, attention, range(40))
    pad_left = torch.nn.ConstantPad1d((5, 0), 0)
    left = mask_one_by_one(mask, pad_left(ids), pad_left(attention), range(40))
    assert same(Masked(left.input_ids[:, 5:], left.labels[:, 5:]), right)


# Small and strange batches


@each_chooser
@pytest.mark.parametrize("shape", [(0, 5), (3, 0), (0, 0)])
def test_empty_batches(choose, shape):
    empty = torch.zeros(shape, dtype=torch.long)
    masked = mask_with(choose)(empty, empty, seeded())
    assert masked.input_ids.shape == masked.labels.shape == shape
    assert mask_one_by_one(mask_with(choose), empty, empty, range(shape[0])).labels.shape == shape


@each_chooser
def test_nothing_to_choose_from(choose):
    ids = torch.tensor([[CLS, SEP, PAD], [PAD, PAD, PAD]])
    masked = mask_with(choose)(ids, (ids != PAD).long(), seeded())
    assert torch.equal(masked.input_ids, ids)
    assert (masked.labels == -100).all()


@each_chooser
def test_texts_of_one_token(choose):
    ids = torch.tensor([[CLS, 8, SEP]]).repeat(40_000, 1)
    chosen = choose(ids, candidates(ids, SPECIAL), word_starts(ids, CONTINUES), RATE, seeded(21))
    assert within(int(chosen[:, 1].sum()), 40_000, RATE)
    assert int(chosen.sum()) == int(chosen[:, 1].sum())


def test_a_million_tokens_in_two_seconds():
    rows = slice(0, 8192)
    for choose in CHOOSERS.values():
        start = time.process_time()
        mask_with(choose)(IDS[rows], ATTENTION[rows], seeded())
        assert time.process_time() - start < 2


# Bad arguments


@pytest.mark.parametrize("rate", [0.0, 1.0, -0.15, 15, math.nan])
@each_chooser
def test_a_rate_outside_0_and_1(choose, rate):
    with expect_refusal(f"rate is {rate}, but must be between 0 and 1"):
        choose(IDS[:2], FREE[:2], STARTS[:2], rate, seeded())


def test_bad_arguments():
    ids, attention, free, starts = IDS[:4], ATTENTION[:4], FREE[:4], STARTS[:4]
    with expect_refusal("attention_mask has shape (4, 127), but must have shape (4, 128)"):
        candidates(ids, SPECIAL, attention[:, 1:])
    with expect_refusal("candidates has shape (128,)", "must be (B, S) booleans"):
        choose_tokens(free[0], generator=seeded())
    with expect_refusal("candidates", "torch.int64, but must be (B, S) booleans"):
        choose_tokens(ids, generator=seeded())
    for choose in (choose_whole_words, choose_ngrams):
        with expect_refusal("word_starts has shape (3, 128), but must have shape (4, 128)"):
            choose(free, starts[1:], generator=seeded())
        with expect_refusal("word_starts", "must be (B, S) booleans"):
            choose(free, starts.long(), generator=seeded())
    with expect_refusal("max_words is 0; an n-gram has at least one word"):
        choose_ngrams(free, starts, max_words=0, generator=seeded())
    with expect_refusal("input_ids has shape (3, 128), but must have shape (4, 128)"):
        choose_by_rarity(ids[1:], free, COUNTS, generator=seeded())
    with expect_refusal("chosen has shape (3, 128), but must have shape (4, 128)"):
        corrupt(ids, free[1:], MASK, V, seeded())
    with expect_refusal("chosen", "must be (B, S) booleans"):
        corrupt(ids, attention, MASK, V, seeded())
    with expect_refusal("mask_id is 1000, but the vocabulary runs from 0 to 999"):
        corrupt(ids, free, V, V, seeded())
    with expect_refusal("4 texts cannot be masked with 3 seeds"):
        mask_one_by_one(mask_with(CHOOSERS["tokens"]), ids, attention, range(3))


def test_numbers_of_another_vocabulary():
    ids, free = torch.tensor([[5, 7, 9]]), torch.ones(1, 3, dtype=torch.bool)
    with expect_refusal("input_ids holds 9, but it must be from 0 to 8: counts must be of the same tokenizer"):
        choose_by_rarity(ids, free, COUNTS[:9], generator=seeded())
    with expect_refusal("input_ids holds 9, but it must be from 0 to 8: continuation must be of the same tokenizer"):
        word_starts(ids, CONTINUES[:9])
    with expect_refusal("input_ids holds 9, but it must be from 0 to 8: vocab_size must be that of the same tokenizer"):
        corrupt(ids, free, MASK, 9, seeded())
    with expect_refusal("input_ids holds -100, but it must be from 0", "vocab_size"):
        corrupt(torch.tensor([[5, -100]]), free[:, :2], MASK, V, seeded())
