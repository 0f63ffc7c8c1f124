"""Text infilling: what is corrupted, how often, and that a tiny BART learns to reconstruct it.

Every bound of a count is five standard deviations wide, as in test_objectives.py.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from bart_tiny import CONFIG
from lab import assert_same, lab, part
from test_objectives import is_uniform, within
from tiny import expect_refusal
from torch import Generator
from training_tiny import TOKENIZER, texts

from minibert.factory import build
from minibert.heads import IGNORE
from minibert.tokenizers import WordPiece
from minibert.training.infilling import (
    Infilling,
    infill,
    permute_sentences,
    replace_spans,
    span_lengths,
    story,
    words_of,
)
from minibert.training.loop import Settings, split, train
from minibert.training.tasks import held_out_losses

# ------------------------------------------------------------------------------------------ the lab sheet
# Each property by itself, with numbers that can be worked out on paper. Read these first.


@lab(
    "infilling",
    code=replace_spans,
    lesson="14",
    breaks="`mask_id]` put once for each word of the span",
    catches="one-mask-per-token",
)
def test_a_span_is_replaced_by_one_mask():
    """each span is replaced by one mask, however long it is, so that its length is to be found out too

    Of seven tokens a span of two and a span of three.
    """
    assert_same(part("infilling")([21, 22, 23, 24, 25, 26, 27], [(1, 2), (4, 3)], 9), [21, 9, 24, 9])


@lab(
    "infilling",
    code=replace_spans,
    lesson="14",
    breaks="`for start, length in spans` without the spans of length 0",
    catches="empty-spans-left-out",
)
def test_an_empty_span_inserts_a_mask():
    """a span of length 0 removes nothing, and puts a mask before the token at its start, or at the end of the text"""
    assert_same(part("infilling")([21, 22], [(1, 0), (2, 0)], 9), [21, 9, 22, 9])


@lab(
    "infilling",
    code=replace_spans,
    lesson="14",
    breaks="`words[place:]` left out",
    catches="touching-merged",
)
def test_what_is_in_no_span_stays():
    """what is in no span stays, up to the end of the text, and spans that touch have a mask each

    Of six tokens the spans 21 22, 23 and 25.
    """
    ids = [21, 22, 23, 24, 25, 26]
    assert_same(part("infilling")(ids, [(0, 2), (2, 1), (4, 1)], 9), [9, 9, 24, 9, 26])
    assert_same(ids, [21, 22, 23, 24, 25, 26], "the list of ids is the caller's, and is not changed")


# ------------------------------------------------------------------------------------------ the other tests

MASK = TOKENIZER.mask_id
# A document of two sentences for each of the tiny texts of one letter or more.
DOCUMENTS = [[ids[: len(ids) // 2 + 1], ids[len(ids) // 2 + 1 :]] for ids in (each.ids[1:-1] for each in texts(40))]


def seeded(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def single_pieces(number: int) -> list[list[int]]:
    """A text of so many different words of one piece each: 1000, 1001, ..."""
    return [[1000 + i] for i in range(number)]


# ------------------------------------------------------------------------------------------------- spans


def test_span_lengths_are_poisson_until_there_are_enough():
    lengths = span_lengths(300_000, generator=seeded())
    assert sum(lengths) == 300_000
    free = lengths[:-1]  # the last one is cut
    n = len(free)
    assert abs(sum(free) - 3 * n) <= 5 * math.sqrt(3 * n)
    counts = Counter(free)
    for length in range(12):
        probability = math.exp(-3) * 3**length / math.factorial(length)
        assert within(counts[length], n, probability), length
    assert max(free) < 20
    other = span_lengths(100_000, 1.5, generator=seeded(1))[:-1]
    assert abs(sum(other) - 1.5 * len(other)) <= 5 * math.sqrt(1.5 * len(other))


def test_short_texts_get_spans_that_fit():
    assert span_lengths(0, generator=seeded()) == []
    for seed in range(200):
        lengths = span_lengths(1 + seed % 4, generator=seeded(seed))
        assert sum(lengths) == 1 + seed % 4
        assert lengths[-1] > 0, "a span of no words is followed by another"
        assert min(lengths) >= 0


@pytest.mark.parametrize("rate", [0.3, 0.15])
@pytest.mark.parametrize("words", [1, 7, 50])
def test_the_share_of_words_that_is_taken_out(rate, words):
    trials, taken = 4000, 0
    generator = seeded(words)
    for _ in range(trials):
        found = infill(single_pieces(words), MASK, rate, generator=generator)
        left = [i for i in found if i != MASK]
        assert left == sorted(set(left)), "the words that stay keep their order"
        missing = words - len(left)
        assert math.floor(rate * words) <= missing <= math.ceil(rate * words)
        taken += missing
    fraction = rate * words % 1
    assert abs(taken - trials * rate * words) <= 5 * math.sqrt(trials * max(fraction * (1 - fraction), 1e-9)) + 1e-6


def gaps(found: list[int], words: int) -> list[tuple[int, int]]:
    """Of each run of masks in a corrupted text: how many masks, and how many words are missing there."""
    result, masks, last = [], 0, 999
    for i in [*found, 1000 + words]:
        if i == MASK:
            masks += 1
        else:
            assert masks or i == last + 1, "words are missing and no mask says so"
            if masks:
                result.append((masks, i - last - 1))
            masks, last = 0, i
    return result


def test_each_span_leaves_one_mask_and_empty_spans_insert_one():
    """In a long text: a mask alone hides a Poisson number of words; of all masks a share of exp(-3) hides none."""
    generator, lone, inserted = seeded(3), Counter(), 0
    words, rounds, masks = 3000, 60, 0
    for _ in range(rounds):
        found = infill(single_pieces(words), MASK, generator=generator)
        missing = words - sum(i != MASK for i in found)
        assert missing == 900
        masks += sum(i == MASK for i in found)
        for number, hidden in gaps(found, words):
            if number == 1:
                lone[hidden] += 1
                inserted += hidden == 0
    # As many masks as spans: 900 words at 3 a span; the last is cut, which makes up to one span more.
    assert abs(masks / rounds - 300) <= 5 * math.sqrt(100 / rounds) + 1
    n = sum(lone.values())
    for length in range(1, 9):
        assert within(lone[length], n, math.exp(-3) * 3**length / math.factorial(length)), length
    assert within(inserted, n, math.exp(-3))


def test_masks_may_be_anywhere_and_hide_words_evenly_but_near_the_ends():
    generator, words, rounds = seeded(4), 60, 6000
    hidden, first = torch.zeros(words), 0
    for _ in range(rounds):
        found = infill(single_pieces(words), MASK, generator=generator)
        left = {i - 1000 for i in found if i != MASK}
        for place in set(range(words)) - left:
            hidden[place] += 1
        first += found[0] == MASK
    middle = hidden[15:45]
    assert is_uniform(middle, variance=float(middle.mean()))
    assert hidden[0] < middle.mean()
    assert hidden[-1] < middle.mean()
    assert hidden.sum() == rounds * 18
    assert first > 0


def test_whole_words_are_taken_out():
    tokenizer = WordPiece({t: i for i, t in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "##b", "c"])})
    continues = [tokenizer.continues(token) for token in tokenizer.tokens]
    ids = [5, 6, 6, 7, 5, 7, 6, 7]
    words = words_of(ids, continues)
    assert words == [[5, 6, 6], [7], [5], [7, 6], [7]]
    assert words_of([6, 5], continues) == [[6], [5]], "a word that was cut in front"
    assert words_of([], continues) == []
    for seed in range(50):
        found = infill(words, 4, 0.5, generator=seeded(seed))
        left = [i for i in found if i != 4]
        while left:
            (word,) = [w for w in sorted(words, key=len, reverse=True) if left[: len(w)] == w][:1]
            left = left[len(word) :]
        assert all(not continues[b] for a, b in pairwise(found) if a == 4), "no piece without its beginning"


def test_every_order_of_the_sentences_is_equally_likely():
    document, generator = [[1], [2, 2], [3], [4]], seeded(5)
    counts = Counter(str(permute_sentences(document, generator)) for _ in range(24_000))
    assert len(counts) == 24
    assert is_uniform(torch.tensor(list(counts.values())))
    assert document == [[1], [2, 2], [3], [4]]
    assert permute_sentences([], generator) == []


@pytest.mark.parametrize(
    ("settings", "parts"),
    [
        ({"rate": 0.0}, ("rate is 0.0", "between 0 and 1")),
        ({"rate": 1.0}, ("rate is 1.0",)),
        ({"mean": 0}, ("mean is 0",)),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, parts):
    with expect_refusal(*parts):
        infill(single_pieces(5), MASK, **settings, generator=seeded())


# ---------------------------------------------------------------------------------------------- the task


def test_a_story_is_as_much_of_a_document_as_there_is_room_for():
    document = [[5, 6], [], [7, 8, 9], [10]]
    assert story(document, TOKENIZER, 20).sentences == [[5, 6], [7, 8, 9], [10]]
    assert story(document, TOKENIZER, 20).ids == [2, 5, 6, 7, 8, 9, 10, 3]
    assert story(document, TOKENIZER, 6).sentences == [[5, 6], [7, 8]]
    assert story(document, TOKENIZER, 6).ids == [2, 5, 6, 7, 8, 3]
    assert document == [[5, 6], [], [7, 8, 9], [10]]


def test_what_is_read_is_corrupted_and_what_is_generated_is_not():
    task = Infilling(DOCUMENTS, TOKENIZER, 9)
    rows = list(range(40))
    batch = task.batch(rows, 1)
    assert batch["labels"].shape == batch["decoder_attention_mask"].shape
    assert batch["input_ids"].shape[1] <= 9
    swapped = corrupted = 0
    for row, document in enumerate(DOCUMENTS):
        written = batch["labels"][row][batch["labels"][row] != IGNORE].tolist()
        assert written == [2, *document[0], *document[1], 3]
        assert batch["decoder_attention_mask"][row].sum() == len(written)
        read = batch["input_ids"][row][batch["attention_mask"][row].bool()].tolist()
        assert (read[0], read[-1]) == (2, 3)
        assert set(read) <= {*written, MASK}
        left = [i for i in read[1:-1] if i != MASK]
        swapped += left != [i for i in written if i in left]
        corrupted += MASK in read
    assert swapped > 5
    assert corrupted > 20
    again, other = task.batch(rows, 1), task.batch(rows, 2)
    assert all(torch.equal(batch[name], again[name]) for name in batch)
    assert batch["input_ids"].tolist() != other["input_ids"].tolist()


def small_bart(seed: int = 0):
    """Fresh, in float32, without dropout, for the tiny texts' tokenizer."""
    t = TOKENIZER
    ids = {"pad_token_id": t.pad_id, "bos_token_id": t.cls_id, "eos_token_id": t.sep_id}
    ids |= {"decoder_start_token_id": t.sep_id, "forced_eos_token_id": t.sep_id}
    return build(replace(CONFIG, hidden_dropout_prob=0.0, **ids), "seq2seq-lm", seed)


def test_the_parts_of_a_batch_have_the_loss_of_the_whole():
    task, model = Infilling(DOCUMENTS, TOKENIZER, 9), small_bart().double()
    batch = task.batch(range(20), 3)
    whole, number = task.losses(model, batch)["infilling"], task.counts(batch)["infilling"]
    assert number == int((batch["labels"] != IGNORE).sum())
    parts = split(batch, 3)
    assert sum(task.counts(part)["infilling"] for part in parts) == number
    shares = [task.losses(model, part)["infilling"] * task.counts(part)["infilling"] / number for part in parts]
    torch.testing.assert_close(sum(shares), whole)


def test_the_decoders_padding_does_not_change_the_loss():
    task, model = Infilling(DOCUMENTS, TOKENIZER, 9), small_bart().double()
    batch = task.batch(range(20), 3)
    read = {name: batch[name] for name in ("input_ids", "attention_mask")}
    plain = model(**read, labels=batch["labels"]).loss
    torch.testing.assert_close(task.losses(model, batch)["infilling"], plain)


def test_a_tiny_bart_learns_to_restore_tiny_texts(tmp_path):
    task, model = Infilling(DOCUMENTS, TOKENIZER, 9), small_bart()
    settings = Settings(steps=80, batch_size=20, learning_rate=1e-2, warmup=0.1)
    before = held_out_losses(model.eval(), task)["infilling"]
    log = train(model, task, [len(each.ids) for each in task.examples], settings, tmp_path)
    after = held_out_losses(model, task)["infilling"]
    assert before == pytest.approx(math.log(31), abs=0.3), "at first every word is equally likely"
    assert after < 0.5 * before
    assert sum(entry["loss"] for entry in log[-10:]) < 0.5 * sum(entry["loss"] for entry in log[:10])
