"""The baselines of a masked word, with counts that can be made on paper."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from minibert.experiments.baselines import Counts, Neighbours, Place, baselines, places, scored
from minibert.experiments.reading import copying_loss
from minibert.tokenizers.wordpiece import WordPiece
from minibert.training.batching import single
from minibert.training.tasks import MaskedWords

TOK = WordPiece({token: at for at, token in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdef"])})
A, B, C, D = (TOK.vocabulary[letter] for letter in "abcd")


def rows(*texts: str):
    return [single(TOK.ids(" ".join(text)), TOK, 64) for text in texts]


def test_counts_are_found_by_their_context_and_smoothed():
    counts = Counts(np.array([A, A, A, B]), np.array([B, B, C, C]), TOK.vocab_size)
    assert [list(part) for part in counts.after(A)] == [[B, C], [2, 1]]
    assert not len(counts.after(D)[0])
    even = np.full(TOK.vocab_size, 1 / TOK.vocab_size)
    assert counts.smoothed(A, even, 1.0)[B] == pytest.approx((2 + 1 / 11) / 4)
    assert counts.smoothed(D, even, 1.0) == pytest.approx(even)


def test_neighbours_decide_where_frequencies_cannot():
    model = Neighbours(rows(*["abc"] * 20, *["dbd"] * 5, *["aea"] * 30), TOK.vocab_size, TOK.mask_id)
    assert model.frequency.sum() == pytest.approx(1)
    between = model.probabilities(Place(TOK.mask_id, A, C, B), 1.0)
    assert between.sum() == pytest.approx(1)
    assert between.argmax() == B
    assert between[B] > 0.9
    alone = model.probabilities(Place(TOK.mask_id, TOK.mask_id, TOK.mask_id, B), 1.0)
    assert alone == pytest.approx(model.frequency)


def test_a_visible_word_is_believed_by_half():
    even = np.full(TOK.vocab_size, 1 / TOK.vocab_size)
    hidden, kept, replaced = Place(TOK.mask_id, A, A, B), Place(B, A, A, B), Place(C, A, A, B)
    for place, share in ((hidden, 1 / 11), (kept, 0.5 + 0.5 / 11), (replaced, 0.5 / 11)):
        assert scored([place], [even], TOK.mask_id).masked_lm == pytest.approx(-math.log(share))
    assert scored([kept, replaced], [even, even], TOK.mask_id).right == 0.5


def test_the_places_of_a_batch_are_those_with_labels():
    batch = {
        "input_ids": torch.tensor([[2, A, TOK.mask_id, C, 3]]),
        "labels": torch.tensor([[-100, -100, B, -100, -100]]),
    }
    assert list(places(batch)) == [Place(TOK.mask_id, A, C, B)]


def test_more_is_known_from_more_and_copying_costs_what_is_calculated():
    texts = ["abcabcabcdef", "defdefabcabc", "abcdefabcdef"] * 40
    found = baselines(MaskedWords(rows(*texts), TOK), MaskedWords(rows(*texts[:60]), TOK))
    assert found["neighbours"].masked_lm < found["copying"].masked_lm < found["frequencies"].masked_lm
    assert found["copying"].masked_lm == pytest.approx(copying_loss(found["frequencies"].masked_lm), abs=0.1)
    assert found["neighbours"].right > 0.7 > found["copying"].right
