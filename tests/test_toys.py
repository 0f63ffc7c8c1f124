"""The two small experiments of the tour: a BART that writes backwards, and what XLNet's predictions depend on."""

from __future__ import annotations

import pytest
import torch
from test_explorer_views import model_of

from minibert.experiments import backwards
from minibert.experiments.any_order import depends_on

TEXT = ["my", "sister", "slept", "through", "the", "whole", "film"]


@pytest.fixture(scope="module")
def learned():
    model = backwards.untrained(0)
    backwards.learn(model, 0)
    return model


@pytest.mark.slow
def test_it_learns_to_write_new_texts_backwards(learned):
    assert backwards.share_right(backwards.untrained(0), 0) == 0
    assert backwards.share_right(learned, 0) > 0.95
    assert backwards.share_right(learned, 0, length=6) < 0.5  # it learned places, which the tour says


@pytest.mark.slow
def test_what_it_writes_and_where_it_looks(learned):
    written = backwards.write(learned, TEXT)
    assert written.words == TEXT[::-1]
    assert written.read == ["<s>", *TEXT, "</s>"]
    assert written.looked.shape == (7, 9)
    torch.testing.assert_close(written.looked.sum(dim=1), torch.ones(7))
    assert [written.read[place] for place in written.looked.argmax(dim=1)] == written.words


def test_learning_repeats_and_leaves_the_threads_as_they_were(monkeypatch):
    monkeypatch.setattr(backwards, "STEPS", 3)
    told, weights = [], []
    threads = []
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    monkeypatch.setattr(torch, "set_num_threads", threads.append)
    for seed in (1, 1, 2):
        model = backwards.untrained(1)
        backwards.learn(model, seed, lambda done, of: told.append((done, of)))
        weights.append(torch.cat([parameter.flatten() for parameter in model.parameters()]))
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    assert told[:3] == [(1, 3), (2, 3), (3, 3)]
    assert threads == [1, 3] * 3
    assert not model.training


def test_backwards_by_hand():
    texts = torch.tensor([[0, 7, 8, 9, 2], [0, 9, 9, 7, 2]])
    assert backwards.backwards(texts).tolist() == [[0, 9, 8, 7, 2], [0, 7, 9, 9, 2]]
    assert backwards.numbers(["a", "your"]) == [0, 5, backwards.CONFIG.vocab_size - 1, 2]


class Scribe:
    """In the place of a model: it writes what it is told to."""

    def __init__(self, write):
        self.write = write

    def generate(self, read, max_length):
        start = torch.full_like(read[:, :1], backwards.END)
        return torch.cat([start, self.write(backwards.backwards(read))], dim=1)


@pytest.mark.parametrize(
    ("write", "share"),
    [
        (lambda right: right, 1),
        (lambda right: torch.nn.functional.pad(right, (0, 2), value=backwards.PAD), 1),  # another row was longer
        (lambda right: torch.nn.functional.pad(right, (0, 1), value=7), 0),  # a word too many
        (lambda right: right[:, :-1], 0),  # it did not end
        (lambda right: right.flip(1), 0),
        (lambda right: torch.cat([right[:1], right[1:] * 0]), 1 / 200),
    ],
)
def test_only_a_text_without_a_mistake_is_right(write, share):
    assert backwards.share_right(Scribe(write), 0) == share


@pytest.mark.parametrize("order", [[0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1]])
def test_a_prediction_depends_on_what_comes_before_it_in_the_order(order):
    model = model_of("xlnet")
    numbers = torch.tensor(order)
    depends = depends_on(model, torch.tensor([[5, 6, 7, 5]]), numbers[None])  # a word that occurs twice, too
    assert torch.equal(depends, numbers[None, :] < numbers[:, None])
    assert model.word_embeddings._forward_hooks == {}
