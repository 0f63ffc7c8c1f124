"""Six tasks made from the reviews: what the experiments fine-tune on, and what a text is asked.

    sentiment of sentences     positive or negative? (Rotten Tomatoes)                  one of two classes, accuracy
    sentiment of reviews       the same of whole IMDB reviews, up to 512 tokens         one of two classes, accuracy
    sentence order             are two consecutive passages in order or swapped?        one of two classes, accuracy
    same review                are two passages from the same review?                   one of two classes, accuracy
    punctuation and capitals   put both back into a text                                a label for each word, macro F1
    recurring spans            which words of a passage does a gap in it stand for?     start and end, exact match

All but the first two need no labels: the text itself gives the answers. Every example is made from the reviews of one
split (`load_reviews`), so no review is in the training and in the test texts. A seed draws the training texts; the test
texts are the same for all seeds. Nothing is chosen by the validation split, so its texts are test texts, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import islice
from random import Random
from typing import Any

import torch
from torch import nn

from minibert.errors import MinibertError
from minibert.experiments.grid import Size
from minibert.heads import MeanPooled, WithHead, add_head
from minibert.model import Model
from minibert.tokenizers.base import Tokenizer
from minibert.training.batching import Example, pair, single
from minibert.training.data import Review, load_reviews
from minibert.training.loop import Objective
from minibert.training.pair_pooled import PairPooled
from minibert.training.pairs import sop_pairs, split_sentences
from minibert.training.spans import (
    QuestionAwareSpans,
    SpanAnswers,
    common_words,
    exact_by_guessing,
    find_spans,
    recurring_spans,
    span_example,
)
from minibert.training.tasks import Labels, predict
from minibert.training.token_labels import (
    LABELS,
    WordLabels,
    count_found,
    f1_by_guessing,
    label_words,
    labelled_words,
    macro_f1,
    words_example,
)

Make = Callable[[Iterable[Review], Tokenizer, int, Random], Iterator[Example]]

# ------------------------------------------------------------------------------------------- how examples are made


def sentiments(reviews: Iterable[Review], tokenizer: Tokenizer, max_length: int, rng: Random) -> Iterator[Example]:
    """Each text, truncated to max_length tokens. Label 1 is positive."""
    return (single(tokenizer.ids(review.text), tokenizer, max_length, review.label or 0) for review in reviews)


def orders(reviews: Iterable[Review], tokenizer: Tokenizer, max_length: int, rng: Random) -> Iterator[Example]:
    """Two passages of each review, of whole sentences, that follow each other. Label 1: they are swapped.

    As ALBERT makes its pairs (`sop_pairs`), one pair drawn from each review that has one.
    """
    room = max_length - tokenizer.num_special(pair=True)
    for review in reviews:
        document = [ids for sentence in split_sentences(review.text) if (ids := tokenizer.ids(sentence))]
        if len(document) > 1:
            found = rng.choice(sop_pairs([document], room, rng, short_rate=0.0))
            yield pair(found.first, found.second, tokenizer, found.label)


def same_reviews(reviews: Iterable[Review], tokenizer: Tokenizer, max_length: int, rng: Random) -> Iterator[Example]:
    """A passage from the first half of a review, and one from the second half of the same review (label 1) or of the
    next one (label 0, and that review is then used up).

    A half is cut between sentences; a passage is as much of its beginning as fits into half a row. So neither passage
    gives the label away by itself: both are drawn in the same way whatever the label is.
    """
    room = (max_length - tokenizer.num_special(pair=True)) // 2
    of_reviews = (split_sentences(review.text) for review in reviews)
    long_enough = (found for found in of_reviews if len(found) > 1)
    for sentences in long_enough:
        label = rng.randrange(2)
        other = sentences if label else next(long_enough, None)
        if other is not None:
            first = " ".join(sentences[: len(sentences) // 2])
            second = " ".join(other[len(other) // 2 :])
            yield pair(tokenizer.ids(first)[:room], tokenizer.ids(second)[:room], tokenizer, label)


def unpunctuated(reviews: Iterable[Review], tokenizer: Tokenizer, max_length: int, rng: Random) -> Iterator[Example]:
    """The words of each review from a sentence on that is drawn, as many as fit: see training/token_labels.py."""
    for review in reviews:
        sentences = split_sentences(review.text)
        if sentences:
            words = labelled_words(" ".join(sentences[rng.randrange(len(sentences)) :]))
            if words:
                yield words_example(words, tokenizer, max_length)


def questions(reviews: Iterable[Review], tokenizer: Tokenizer, max_length: int, rng: Random) -> Iterator[Example]:
    """One passage of each review that has a recurring span in a passage: see training/spans.py.

    A passage is as many consecutive sentences as fit into a row. Which passage, which span and which of its two
    occurrences is hidden is drawn.
    """
    for review in reviews:
        passages = list(_passages(review.text, tokenizer, max_length - tokenizer.num_special()))
        rng.shuffle(passages)
        for passage in passages:
            found = recurring_spans(passage, everyday_words())
            if found:
                hidden, answer = rng.sample(rng.choice(found), 2)
                example = span_example(passage, hidden, answer, tokenizer, max_length)
                if example is not None:
                    yield example
                    break


@cache
def everyday_words() -> frozenset[str]:
    """The most frequent words of the reviews to train on, of which a recurring span must not be made."""
    return common_words(review.text for review in load_reviews("imdb").train[:2000])


def _passages(text: str, tokenizer: Tokenizer, room: int) -> Iterator[str]:
    """The text cut into runs of whole sentences, each of at most `room` tokens; a longer sentence is left out."""
    passage: list[str] = []
    used = 0
    for sentence in split_sentences(text):
        length = len(tokenizer.ids(sentence))
        if used + length > room and passage:
            yield " ".join(passage)
            passage, used = [], 0
        if length <= room:
            passage.append(sentence)
            used += length
    if passage:
        yield " ".join(passage)


# --------------------------------------------------------------------------------------- heads, answers, scores


class Classes:
    """One of two classes for a whole text, from the mean of its token vectors; the score is the accuracy.

    The mean, because neither a masked-LM nor MiniLM-L6 has learned to sum a text up in its first token. It also gives
    teacher and student the same head; their published ones differ.
    """

    score = "accuracy"

    def model(self, backbone: Model, tokenizer: Tokenizer) -> WithHead:
        backbone.config = replace(backbone.config, labels=("no", "yes"))
        return MeanPooled(backbone)

    def objective(
        self, examples: Sequence[Example], tokenizer: Tokenizer, teacher: nn.Module | None = None
    ) -> Objective:
        return Labels(examples, tokenizer, teacher)

    def answers(self, model: nn.Module, examples: Sequence[Example], tokenizer: Tokenizer) -> dict[str, Any]:
        truth = torch.tensor([example.label for example in examples])
        return _exact((predict(model, examples, tokenizer).argmax(-1) == truth).tolist())

    def by_guessing(self, examples: Sequence[Example]) -> float:
        """Always the more frequent class."""
        positive = sum(example.label for example in examples) / len(examples)
        return max(positive, 1 - positive)


class PairClasses(Classes):
    """The same for two passages, from the mean vector of each and how alike they are."""

    def model(self, backbone: Model, tokenizer: Tokenizer) -> WithHead:
        backbone.config = replace(backbone.config, labels=("no", "yes"))
        return PairPooled(backbone, tokenizer.sep_id)


class WordClasses:
    """A label for each word; the score is the macro F1 of the marks and capitals, over all words of all texts."""

    score = "F1"

    def model(self, backbone: Model, tokenizer: Tokenizer) -> WithHead:
        backbone.config = replace(backbone.config, labels=LABELS)
        return add_head(backbone, "token-classification")

    def objective(self, examples: Sequence[Example], tokenizer: Tokenizer) -> Objective:
        return WordLabels(examples, tokenizer)

    def answers(self, model: nn.Module, examples: Sequence[Any], tokenizer: Tokenizer) -> dict[str, Any]:
        counts = count_found(label_words(model, examples, tokenizer), [example.truth for example in examples])
        return {"score": macro_f1(counts), "counts": {name: one._asdict() for name, one in counts.items()}}

    def by_guessing(self, examples: Sequence[Any]) -> float:
        return f1_by_guessing([example.truth for example in examples])


class Places:
    """The first and the last token of an answer; the score is the share of answers that are exactly right."""

    score = "exact match"

    def model(self, backbone: Model, tokenizer: Tokenizer) -> WithHead:
        return QuestionAwareSpans(backbone, tokenizer.mask_id)

    def objective(self, examples: Sequence[Example], tokenizer: Tokenizer) -> Objective:
        return SpanAnswers(examples, tokenizer)

    def answers(self, model: nn.Module, examples: Sequence[Any], tokenizer: Tokenizer) -> dict[str, Any]:
        found = find_spans(model, examples, tokenizer)
        return _exact([span == (one.start, one.end) for span, one in zip(found, examples, strict=True)])

    def by_guessing(self, examples: Sequence[Any]) -> float:
        return exact_by_guessing(examples)


def _exact(right: Sequence[bool]) -> dict[str, Any]:
    """The share that is right, and "right", a 0 or 1 for each text, so that models can be compared text by text."""
    return {"score": sum(right) / len(right), "right": "".join(str(int(one)) for one in right)}


# -------------------------------------------------------------------------------------------------------- tasks


@dataclass(frozen=True)
class Task:
    """What is asked (make, kind), of which texts, and how a model is fine-tuned on it.

    source: see `load_reviews`. texts, test_texts: examples to train on and to test on. max_length: tokens of a row.
    batch_size: texts of a step. With few texts, many small steps teach more than a few large ones: on 600 reviews in
    steps of 8 (seed 0, rates 1e-4 and 2e-4) the teacher's training loss stayed at 0.69, which is guessing.
    """

    make: Make
    kind: Classes | WordClasses | Places
    source: str
    texts: int
    test_texts: int
    max_length: int
    epochs: int
    learning_rate: float = 1e-4
    batch_size: int = 8

    def within(self, size: Size) -> Task:
        """The same, at most as large as this size says."""
        names = ("texts", "test_texts", "max_length", "epochs", "batch_size")
        return replace(self, **{name: min(getattr(self, name), getattr(size, name)) for name in names})

    def examples(self, tokenizer: Tokenizer, seed: int) -> tuple[list[Any], list[Any]]:
        """Examples to train on, drawn with the seed, and to test on. Raises MinibertError if there are too few texts.

        Training texts are the first ones of a shuffled split: with fewer texts, the same ones are left out for all
        models.
        """
        reviews = load_reviews(self.source)
        drawn = Random(seed).sample(reviews.train, len(reviews.train))
        made = (
            self._made(drawn, self.texts, tokenizer, Random(seed)),
            self._made([*reviews.test, *reviews.validation], self.test_texts, tokenizer, Random(0)),
        )
        return made

    def _made(self, reviews: Sequence[Review], count: int, tokenizer: Tokenizer, rng: Random) -> list[Example]:
        made = list(islice(self.make(reviews, tokenizer, self.max_length, rng), count))
        if len(made) < count:
            raise MinibertError(
                f"{count:,} examples were asked for, but {len(reviews):,} reviews give {len(made):,}: ask for fewer."
            )
        return made


SENTENCES = "sentiment of sentences"
TASKS = {
    SENTENCES: Task(sentiments, Classes(), "rotten-tomatoes", 2000, 1600, 64, 3, batch_size=16),
    "sentiment of reviews": Task(sentiments, Classes(), "imdb", 600, 400, 512, 1, batch_size=4),
    "sentence order": Task(orders, Classes(), "imdb", 8000, 1000, 64, 1, 2e-4, batch_size=16),
    "same review": Task(same_reviews, PairClasses(), "imdb", 1600, 800, 192, 1),
    "punctuation and capitals": Task(unpunctuated, WordClasses(), "imdb", 2400, 300, 96, 1, 3e-4),
    "recurring spans": Task(questions, Places(), "imdb", 3000, 800, 96, 1, 2e-4),
}
