"""What can be known of a masked word without a neural network: how often it occurs, and what stands beside it.

A model that reads must be better than these; see reading.py. Each gives a probability for every word of the vocabulary,
so that its loss and its share of right guesses can be compared with a model's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from minibert.losses import IGNORE
from minibert.training.batching import Example
from minibert.training.loop import Batch
from minibert.training.tasks import MaskedWords, held_out_batches

SHOWN_IS_RIGHT = 0.5  # of the words to predict that are visible, one in two was kept and one was replaced
CONSTANTS = (3.0, 10.0, 30.0)  # how many observations what is known from fewer neighbours counts for


class Found(NamedTuple):
    """masked_lm: the mean loss in nats. right: the share of words whose best guess is right."""

    masked_lm: float
    right: float


class Place(NamedTuple):
    """A word to predict: what stands at its place and beside it, and the true word; ids."""

    shown: int
    left: int
    right: int
    truth: int


def places(batch: Batch) -> Iterator[Place]:
    """The words to predict in a batch; none is at an end, where [CLS] and [SEP] are."""
    ids, labels = batch["input_ids"].numpy(), batch["labels"].numpy()
    for row, at in zip(*np.nonzero(labels != IGNORE), strict=True):
        yield Place(ids[row, at], ids[row, at - 1], ids[row, at + 1], labels[row, at])


class Counts:
    """How often each word occurs after some context, for contexts that are numbered from 0."""

    def __init__(self, contexts: NDArray[np.int64], words: NDArray[np.int64], vocabulary: int):
        self.vocabulary = vocabulary
        self.keys, self.counts = np.unique(contexts * vocabulary + words, return_counts=True)

    def after(self, context: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The words that occur in this context, and how often."""
        start, end = np.searchsorted(self.keys, (context * self.vocabulary, (context + 1) * self.vocabulary))
        return self.keys[start:end] - context * self.vocabulary, self.counts[start:end]

    def smoothed(self, context: int, otherwise: NDArray[np.float64], constant: float) -> NDArray[np.float64]:
        """Their probabilities, mixed with what is believed otherwise, as if that had been seen `constant` times."""
        words, counts = self.after(context)
        found = constant * otherwise
        found[words] += counts
        return found / (constant + counts.sum())


class Neighbours:
    """An n-gram model of a word between its left and its right neighbour.

    The two neighbours are combined as if they said independent things about the word; a pair of neighbours that was
    seen together counts for more. A neighbour that is itself hidden says nothing.
    """

    def __init__(self, examples: Sequence[Example], vocabulary: int, hidden: int):
        ids = [np.asarray(example.ids, dtype=np.int64) for example in examples if len(example.ids) > 2]
        left, word, right = (np.concatenate([row[i : len(row) - 2 + i] for row in ids]) for i in range(3))
        self.frequency = (np.bincount(word, minlength=vocabulary) + 1) / (len(word) + vocabulary)
        self.after_left = Counts(left, word, vocabulary)
        self.before_right = Counts(right, word, vocabulary)
        self.between = Counts(left * vocabulary + right, word, vocabulary)
        self.vocabulary, self.hidden = vocabulary, hidden

    def probabilities(self, place: Place, constant: float) -> NDArray[np.float64]:
        """Of every word of the vocabulary, (V,)."""
        found = self.frequency
        if place.left != self.hidden:
            found = self.after_left.smoothed(place.left, self.frequency, constant)
        if place.right != self.hidden:
            found = found * self.before_right.smoothed(place.right, self.frequency, constant) / self.frequency
            found = found / found.sum()
        if self.hidden in (place.left, place.right):
            return found
        return self.between.smoothed(place.left * self.vocabulary + place.right, found, constant)


def baselines(task: MaskedWords, held_out: MaskedWords) -> dict[str, Found]:
    """What frequencies, copying and neighbours reach on the held-out words of a task, counted in its own texts.

    "frequencies" knows only how often each word occurs. "copying" also knows that a visible word is right half the
    time, and "neighbours" also the words beside it; its constant is the best one for these very words, which favours
    it.
    """
    model = Neighbours(task.examples, task.tokenizer.vocab_size, task.tokenizer.mask_id)
    asked = [place for batch in held_out_batches(held_out) for place in places(batch)]
    frequency = model.frequency
    commonest = int(frequency.argmax())
    found = {
        "frequencies": Found(
            float(np.mean([-np.log(frequency[place.truth]) for place in asked])),
            float(np.mean([place.truth == commonest for place in asked])),
        ),
        "copying": scored(asked, [frequency] * len(asked), model.hidden),
    }
    tried = [
        scored(asked, (model.probabilities(place, constant) for place in asked), model.hidden) for constant in CONSTANTS
    ]
    return found | {"neighbours": min(tried)}


def scored(asked: Sequence[Place], beliefs: Iterator[NDArray[np.float64]] | list, hidden: int) -> Found:
    """The loss and the right guesses of what is believed about each place, if a visible word is right half the time."""
    loss, right = 0.0, 0
    for place, belief in zip(asked, beliefs, strict=True):
        share = belief[place.truth]
        guess = int(belief.argmax())
        if place.shown != hidden:
            share = (1 - SHOWN_IS_RIGHT) * share + SHOWN_IS_RIGHT * (place.shown == place.truth)
            guess = place.shown
        loss -= float(np.log(share))
        right += guess == place.truth
    return Found(loss / len(asked), right / len(asked))
