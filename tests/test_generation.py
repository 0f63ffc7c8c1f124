"""Writing: greedy and beam search against brute force, hand-worked cases and the reference library's tokens."""

from __future__ import annotations

import itertools
import json
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from bart_tiny import BATCH, CONFIG, READ, WRITTEN, T, tiny_bart
from lab import lab, part
from tiny import MASK, POSITIONS, REAL, B, D, V, assert_close, expect_refusal, numbers
from torch import Tensor

from minibert.checkpoints import from_pretrained
from minibert.generation import Rules, allowed, beam_search, beam_step, generate, greedy, repeats

# ------------------------------------------------------------------------------------------ the lab sheet
# Each property by itself, with numbers that can be worked out on paper. Read these first.


@lab(
    "beam-step",
    code=beam_step,
    lesson="14",
    breaks="`totals[:, :, None] + log_probs` without the totals",
    catches="beams-do-not-compete",
)
def test_all_beams_compete():
    """a continuation's total is its beam's total and its own, and the best K of all beams go on, best first

    Two beams, at -1 and -2. The best are -1 - 1 and -1 - 1.5, both of beam 0; the best of beam 1 is only -2 - 2.
    """
    log_probs = numbers([-1.0, -1.5, -4.0, -9.0], [-2.0, -3.0, -4.0, -9.0])
    continuing, finished = part("beam-step")(numbers(-1.0, -2.0), log_probs, 3, 1)
    assert_close(continuing, [[-2.0, 0, 0], [-2.5, 0, 1]])
    assert_close(finished, [])


@lab(
    "beam-step",
    code=beam_step,
    lesson="14",
    breaks="`rank < beams and ` left out",
    catches="ends-always-finished",
)
def test_an_end_among_the_best_k_is_finished():
    """of the best 2 K continuations those that end are set aside, and K go on; an end below the best K is dropped

    The best four: the end of beam 0 (-0.5), token 0 after beam 0 (-1), the end of beam 1 (-1 - 0.75), which is not
    among the best two, and token 0 after beam 1 (-1 - 1).
    """
    log_probs = numbers([-1.0, -3.0, -5.0, -0.5], [-1.0, -4.0, -4.0, -0.75])
    continuing, finished = part("beam-step")(numbers(0.0, -1.0), log_probs, 3, 1)
    assert_close(continuing, [[-1.0, 0, 0], [-2.0, 1, 0]])
    assert_close(finished, [[-0.5, 0]])


@lab(
    "beam-step",
    code=beam_step,
    lesson="14",
    breaks="`total / length**length_penalty` without the division",
    catches="penalty-times-length",
)
def test_a_finished_text_is_rated_by_its_length():
    """a finished text's score is its total / length ** length_penalty; what goes on keeps its total

    A total of -8 at 4 tokens: -8 / 4 = -2 by default, and -8 / 4² = -0.5 with a penalty of 2.
    """
    totals, log_probs = numbers(-7.0), numbers([-2.0, -1.0, -3.0])
    for how, score in (((), -2.0), ((2.0,), -0.5)):
        continuing, finished = part("beam-step")(totals, log_probs, 1, 4, *how)
        assert_close(continuing, [[-9.0, 0, 0]])
        assert_close(finished, [[score, 0]])


# ------------------------------------------------------------------------------------------ the other tests

GOLDEN = Path(__file__).parent / "golden" / "bart"
CASES = json.loads((GOLDEN / "generation.json").read_text(encoding="utf-8"))
START, EOS, PAD = CONFIG.decoder_start_token_id, CONFIG.eos_token_id, CONFIG.pad_token_id
FREE = replace(CONFIG, forced_eos_token_id=None)  # nothing is forced

Scores = Callable[[int, tuple[int, ...]], Sequence[float]]  # text, tokens so far -> a score of each word


class Scripted:
    """A `Decoding` without a model: the scores of the next word are what `scores` says of the tokens so far."""

    def __init__(self, scores: Scores, texts: int, copies: int = 1):
        self.scores = scores
        self.rows: list[tuple[int, tuple[int, ...]]] = [(text, ()) for text in range(texts) for _ in range(copies)]
        self.widths: list[int] = []

    def read(self, tokens: Sequence[int]) -> Tensor:
        assert len(tokens) == len(self.rows)
        self.rows = [(text, (*before, new)) for (text, before), new in zip(self.rows, tokens, strict=True)]
        self.widths.append(len(self.rows))
        return torch.tensor([list(self.scores(*row)) for row in self.rows])

    def select(self, rows: Sequence[int]) -> None:
        self.rows = [self.rows[row] for row in rows]


def script(scores: Scores, vocab_size: int, texts: int = 1, forced_eos: int | None = None, **rules) -> list[list[int]]:
    config = replace(FREE, vocab_size=vocab_size, forced_eos_token_id=forced_eos)
    rules = Rules(**rules)
    written = generate(Scripted(scores, texts, rules.num_beams), lambda x: x, texts, rules, config)
    return written.tolist()


def random_scores(seed: int, vocab_size: int, spread: float = 2.0) -> Scores:
    """Scores that are drawn anew for each text and each sequence of tokens, the same each time it is asked."""

    def scores(text: int, tokens: tuple[int, ...]) -> list[float]:
        rng = random.Random(repr((seed, text, tokens)))
        return [rng.gauss(0, spread) for _ in range(vocab_size)]

    return scores


def log_probabilities(scores: Sequence[float]) -> list[float]:
    return torch.tensor(list(scores)).log_softmax(0).tolist()


# -------------------------------------------------------------------------- against the reference library


@pytest.mark.parametrize("skip_padding", [True, False], ids=["packed", "padded"])
@pytest.mark.parametrize(("name", "beams"), [("greedy", 1), ("beam4", 4)])
def test_golden_tokens(golden, name, beams, skip_padding):
    folder, cases = golden("bart")
    model = from_pretrained(folder, "seq2seq-lm")
    model.backbone.skip_padding = skip_padding
    written = model.generate(cases["input_ids"], cases["attention_mask"], max_length=12, num_beams=beams)
    assert torch.equal(written, cases[name])
    assert (written[:, -1] == EOS).all(), "the end is forced"


@pytest.mark.many
@pytest.mark.parametrize("case", CASES, ids=lambda case: "-".join(str(x) for x in list(case.values())[:-1]))
def test_golden_tokens_with_all_settings(golden, case):
    folder, cases = golden("bart")
    model = from_pretrained(folder, "seq2seq-lm").double()
    settings = dict(case)
    expected = torch.tensor(settings.pop("ids"))
    model.lm.bias[0, EOS] += settings.pop("eos_bias")
    written = model.generate(cases["input_ids"], cases["attention_mask"], **settings)
    assert written.tolist() == expected.tolist()


def test_the_golden_cases_tell_the_settings_apart():
    """Texts end early, at their limit and at different lengths; and no setting is without effect."""
    lengths = [[sum(token != PAD for token in row) for row in case["ids"]] for case in CASES]
    assert any(max(each) < case["max_length"] for each, case in zip(lengths, CASES, strict=True))
    assert any(min(each) == case["max_length"] for each, case in zip(lengths, CASES, strict=True))
    assert any(len(set(each)) == 3 for each in lengths)
    assert {case["num_beams"] for case in CASES} == {1, 2, 3, 4, 5}
    assert {case["length_penalty"] for case in CASES} >= {-1.0, 0.0, 0.7, 1.0, 2.0}


# -------------------------------------------------------------------------------------------- brute force


def best_of_all(scores: Scores, vocab_size: int, max_length: int, penalty: float, forced: bool) -> list[int]:
    """The text with the best score of all that there are."""
    found = []
    for length in range(1, max_length):
        for words in itertools.product(range(vocab_size), repeat=length):
            ends = [place for place, word in enumerate(words) if word == EOS]
            if ends and ends[0] < length - 1:
                continue  # it has ended before
            if not ends and length < max_length - 1:
                continue  # it is not finished
            at_the_limit = length == max_length - 1
            if at_the_limit and forced and not ends:
                continue
            total = 0.0
            for place, word in enumerate(words):
                if not (at_the_limit and forced and place == length - 1):
                    total += log_probabilities(scores(0, (START, *words[:place])))[word]
            found.append((total / length**penalty, [START, *words]))
    return max(found)[1]


@pytest.mark.parametrize("forced", [True, False], ids=["end forced", "end free"])
@pytest.mark.parametrize("penalty", [0.0, 1.0, 2.0, -1.0])
def test_with_enough_beams_the_best_text_of_all_is_found(penalty, forced):
    for seed in range(4):
        scores, vocabulary, most = random_scores(seed, 4), 4, 5
        beams, forced_eos = vocabulary ** (most - 1), EOS if forced else None
        settings = {"max_length": most, "num_beams": beams, "length_penalty": penalty}
        found = script(scores, vocabulary, forced_eos=forced_eos, **settings)
        assert found == [best_of_all(scores, vocabulary, most, penalty, forced)], seed


def test_greedy_takes_the_best_word_each_time():
    for seed in range(20):
        scores = random_scores(seed, 6)
        expected = [START]
        while len(expected) < 8 and expected[1:][-1:] != [EOS]:
            best = scores(0, tuple(expected))
            expected.append(max(range(6), key=best.__getitem__))
        assert script(scores, 6, max_length=8) == [expected]


@pytest.mark.parametrize("ngram", [0, 2])
@pytest.mark.parametrize("forced", [EOS, None])
def test_one_beam_equals_greedy(ngram, forced):
    config = replace(FREE, vocab_size=7, forced_eos_token_id=forced)
    for seed in range(60):
        rng = random.Random(seed)
        rules = Rules(
            max_length=rng.randint(2, 12),
            min_length=rng.randint(0, 2),
            length_penalty=rng.choice([0.0, 1.0, 2.0, 0.3]),
            no_repeat_ngram_size=ngram,
        )
        scores = random_scores(seed, 7)
        one = beam_search(Scripted(scores, 3), lambda x: x, 3, rules, config)
        assert one == greedy(Scripted(scores, 3), lambda x: x, 3, rules, config)


def test_more_beams_find_what_greedy_overlooks():
    """The best first word leads to nothing but poor ones."""
    trees = {(START,): [-9, -9, -9, 2.0, 1.9], (START, 3): [0] * 5, (START, 4): [-9, -9, 9, -9, -9]}

    def scores(_: int, tokens: tuple[int, ...]) -> list[float]:
        return trees.get(tokens, [0] * 5)

    assert script(scores, 5, max_length=3, forced_eos=None)[0][1] == 3
    assert script(scores, 5, max_length=3, num_beams=2) == [[START, 4, EOS]]


# ----------------------------------------------------------------------------------- rules, worked by hand


def two_ways(_: int, tokens: tuple[int, ...]) -> list[float]:
    """Word 3 and the end: -0.9 - 0.1 nats in two tokens. Word 4, 5, 6 and the end: -0.7 - 3 · 0.2 nats in four."""
    likely = {
        (): {3: -0.9, 4: -0.7},
        (3,): {EOS: -0.1},
        (4,): {5: -0.2},
        (4, 5): {6: -0.2},
        (4, 5, 6): {EOS: -0.2},
    }.get(tokens[1:], {EOS: 0.0})
    rest = math.log((1 - sum(math.exp(x) for x in likely.values())) / (8 - len(likely)) + 1e-12)
    return [likely.get(word, rest) for word in range(8)]


@pytest.mark.parametrize(
    ("penalty", "expected"),
    [
        (0.0, [START, 3, EOS]),  # -1.0 is more than -1.3
        (1.0, [START, 4, 5, 6, EOS]),  # -1.0 / 2 is less than -1.3 / 4
        (2.0, [START, 4, 5, 6, EOS]),
        (-1.0, [START, 3, EOS]),
        (0.35, [START, 3, EOS]),  # -1.0 / 2^0.35 = -0.785, -1.3 / 4^0.35 = -0.800
        (0.4, [START, 4, 5, 6, EOS]),  # -0.758, -0.747
    ],
)
def test_the_length_penalty_by_hand(penalty, expected):
    assert script(two_ways, 8, max_length=7, num_beams=2, length_penalty=penalty) == [expected]


def test_the_end_is_forced_at_the_limit_and_only_there():
    def never(_: int, tokens: tuple[int, ...]) -> list[float]:
        return [0.0, 0.0, -50.0, 2.0 + len(tokens)]

    for beams in (1, 3):
        assert script(never, 4, max_length=5, num_beams=beams, forced_eos=EOS) == [[START, 3, 3, 3, EOS]]
        assert script(never, 4, max_length=5, num_beams=beams) == [[START, 3, 3, 3, 3]]
        assert script(never, 4, max_length=2, num_beams=beams, forced_eos=EOS) == [[START, EOS]]


def test_the_first_word_may_be_forced():
    for beams in (1, 4):
        config = replace(FREE, vocab_size=6, forced_bos_token_id=0)
        rules = Rules(max_length=6, num_beams=beams)
        found = generate(Scripted(random_scores(3, 6), 2, beams), lambda x: x, 2, rules, config)
        assert (found[:, 1] == 0).all()
        unforced = script(random_scores(3, 6), 6, texts=2, max_length=6, num_beams=beams)
        assert any(row[1] != 0 for row in unforced)
        assert len(set(map(tuple, found.tolist()))) == 2


@pytest.mark.parametrize("beams", [1, 3])
@pytest.mark.parametrize("least", [0, 1, 2, 4, 7])
def test_a_text_does_not_end_before_its_least_length(least, beams):
    def at_once(_: int, tokens: tuple[int, ...]) -> list[float]:
        return [0.0, 0.0, 9.0, 1.0]

    (found,) = script(at_once, 4, max_length=7, min_length=least, num_beams=beams, forced_eos=EOS)
    assert len(found) == min(max(least + 1, 2), 7)
    assert found[1:].index(EOS) == len(found) - 2


def test_a_forbidden_word_leaves_the_others_as_likely_as_they_were():
    """After word 3 the end is likely (0.9), after word 4 the word 0; but the end must wait. 0.6 · 0.1 < 0.4 · 0.9."""
    likely = {(): {3: 0.6, 4: 0.4}, (3,): {EOS: 0.9, 0: 0.1}, (4,): {EOS: 0.1, 0: 0.9}}

    def scores(_: int, tokens: tuple[int, ...]) -> list[float]:
        chances = likely.get(tokens[1:], {EOS: 1.0})
        return [math.log(chances.get(word, 1e-9)) for word in range(5)]

    assert script(scores, 5, max_length=6, num_beams=2) == [[START, 3, EOS]]
    assert script(scores, 5, max_length=6, num_beams=2, min_length=3) == [[START, 4, 0, EOS]]


@pytest.mark.parametrize("beams", [1, 2, 4])
@pytest.mark.parametrize("size", [1, 2, 3])
def test_no_ngram_is_written_twice(size, beams):
    for seed in range(6):
        (found,) = script(random_scores(seed, 9, 0.1), 9, max_length=9, num_beams=beams, no_repeat_ngram_size=size)
        ngrams = [tuple(found[i : i + size]) for i in range(len(found) - size + 1)]
        assert len(set(ngrams)) == len(ngrams)
        assert found[-1] == EOS or len(found) == 9


def test_repeats_are_found_as_by_comparing_all_ngrams():
    rng = random.Random(0)
    for _ in range(300):
        written, size = [rng.randrange(3) for _ in range(rng.randint(1, 9))], rng.randint(1, 4)
        known = {tuple(written[i : i + size]) for i in range(len(written) - size + 1)}
        ends = [] if size == 1 else written[-(size - 1) :]
        expected = {word for word in range(3) if (*ends, word) in known}
        assert set(repeats(written, size)) == expected


def test_where_rules_contradict_each_other_the_limit_wins():
    rules = Rules(max_length=4, min_length=4, no_repeat_ngram_size=1)
    config = replace(CONFIG, vocab_size=5)
    scores = allowed(torch.zeros(1, 5), [[START, 3, 4]], rules, config)
    assert scores[0].tolist() == [-math.inf, -math.inf, 0.0, -math.inf, -math.inf]
    before = torch.zeros(2, 5)
    allowed(before, [[START, 3], [START, 4]], rules, config)
    assert not before.any(), "its input is left as it was"


@pytest.mark.parametrize("beams", [1, 2, 4])
def test_when_every_word_is_forbidden_the_writing_ends(beams):
    (found,) = script(random_scores(1, 8), 8, max_length=30, num_beams=beams, no_repeat_ngram_size=1)
    assert sorted(found[:8]) == list(range(8))
    assert len(found) <= 30


@pytest.mark.parametrize("beams", [1, 3])
def test_a_finished_text_leaves_the_batch(beams):
    """Text 0 ends at once, text 1 after three words, text 2 at its limit."""
    ends = {0: 1, 1: 4, 2: 99}

    def scores(text: int, tokens: tuple[int, ...]) -> list[float]:
        return [0.0, 0.0, 30.0 if len(tokens) >= ends[text] else -30.0, 5.0, 0.0, 0.0, 0.0]

    decoding = Scripted(scores, 3, beams)
    config = replace(FREE, vocab_size=7)
    found = generate(decoding, lambda x: x, 3, Rules(max_length=7, num_beams=beams), config)
    assert [row[1:].index(EOS) + 2 if EOS in row[1:] else len(row) for row in found.tolist()] == [2, 5, 7]
    if beams == 1:
        assert decoding.widths == [3, 2, 2, 2, 1, 1]
    else:
        assert decoding.widths[0] == 9
        assert decoding.widths[-1] == 3
    assert found[0].tolist() == [START, EOS, PAD, PAD, PAD, PAD, PAD]


# ------------------------------------------------------------------------------------- the model that writes


def test_reading_one_token_at_a_time_equals_reading_all_at_once():
    model = tiny_bart()
    whole = model(**BATCH).last_hidden_state
    for skip_padding in (True, False):
        model.skip_padding = skip_padding
        decoding = model.start_decoding(READ, MASK)
        for place in range(T):
            assert_close(decoding.read(WRITTEN[:, place].tolist()), whole[:, place])


def test_rows_may_change_places_be_copied_and_leave():
    model = tiny_bart()
    decoding = model.start_decoding(READ, MASK, copies=2)
    text, written = [text for text in range(B) for _ in range(2)], [[2] for _ in range(2 * B)]
    rng = random.Random(0)
    for rows in (None, [1, 0, 3, 2, 5, 4, 7, 6, 9, 8], [0, 0, 2, 3, 4, 4, 7, 7, 8, 9], [5, 2, 2, 9, 0], [3, 1], [1]):
        if rows is not None:
            decoding.select(rows)
            text, written = [text[row] for row in rows], [written[row] for row in rows]
            written = [[*tokens, rng.randrange(V)] for tokens in written]
        found = decoding.read([tokens[-1] for tokens in written])
        assert found.shape == (len(text), D)
        ids = torch.tensor(written)
        expected = model(READ[text], MASK[text], decoder_input_ids=ids).last_hidden_state
        assert_close(found, expected[:, -1])


def written_without_a_cache(model, ids: Tensor, mask: Tensor, rules: Rules) -> Tensor:
    """As `generate`, but the decoder reads everything again at each step."""

    class Forgetful:
        def __init__(self):
            self.rows = [(text, []) for text in range(len(ids)) for _ in range(rules.num_beams)]

        def read(self, tokens: Sequence[int]) -> Tensor:
            self.rows = [(text, [*before, new]) for (text, before), new in zip(self.rows, tokens, strict=True)]
            texts, written = [text for text, _ in self.rows], torch.tensor([before for _, before in self.rows])
            return model.backbone(ids[texts], mask[texts], decoder_input_ids=written).last_hidden_state[:, -1]

        def select(self, rows: Sequence[int]) -> None:
            self.rows = [self.rows[row] for row in rows]

    with torch.no_grad():
        return generate(Forgetful(), model.word_scores, len(ids), rules, model.backbone.config)


def sharp(seed: int = 0, **changes):
    """A model whose texts end early now and then."""
    model = tiny_bart("seq2seq-lm", seed, **changes)
    model.lm.bias[0, EOS] += 4.0
    return model


@pytest.mark.parametrize("beams", [1, 2, 3])
def test_a_cache_changes_nothing(beams):
    lengths = set()
    for seed in range(6):
        model, rules = sharp(seed), Rules(max_length=9, num_beams=beams, no_repeat_ngram_size=3)
        expected = written_without_a_cache(model, READ, MASK, rules)
        found = model.generate(READ, MASK, max_length=9, num_beams=beams, no_repeat_ngram_size=3)
        assert torch.equal(found, expected), seed
        lengths |= {int((row != PAD).sum()) for row in found}
    assert len(lengths) > 3


@pytest.mark.parametrize("beams", [1, 3])
def test_a_batch_equals_its_texts_one_at_a_time(beams):
    for seed in range(6):
        model = sharp(seed)
        found = model.generate(READ, MASK, max_length=9, num_beams=beams)
        for text in range(4):
            ids = READ[text : text + 1]
            alone = model.generate(ids, MASK[text : text + 1], max_length=9, num_beams=beams)[0].tolist()
            assert found[text].tolist() == alone + [PAD] * (found.shape[1] - len(alone))
        short = model.generate(READ[1:2, :4], max_length=9, num_beams=beams)[0].tolist()
        assert found[1].tolist() == short + [PAD] * (found.shape[1] - len(short))


@pytest.mark.parametrize("beams", [1, 3])
def test_padded_ids_do_not_change_what_is_written(beams):
    model = sharp(1)
    found = [
        model.generate(torch.where(REAL, READ, other), MASK, max_length=9, num_beams=beams) for other in (3, 4, 20)
    ]
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


@pytest.mark.slow
def test_whatever_is_asked_the_writing_keeps_its_rules():
    """Random texts, masks and settings: it starts and ends as it must, is padded, and is never too long."""
    rng = random.Random(0)
    for trial in range(80):
        torch.manual_seed(trial)
        model = tiny_bart(
            "seq2seq-lm",
            seed=trial % 7,
            pad_token_id=rng.choice([0, 1]),
            decoder_start_token_id=rng.choice([2, 5]),
            forced_bos_token_id=rng.choice([None, 0, 6]),
            forced_eos_token_id=rng.choice([None, 2]),
            max_position_embeddings=12,
        )
        model.lm.bias[0, EOS] += rng.choice([-30, 0, 3, 8])
        c = model.config
        texts, length, most = rng.randint(1, 3), rng.randint(1, 9), rng.randint(2, 12)
        ids = torch.randint(V, (texts, length))
        mask = rng.choice([None, torch.randint(2, (texts, length)), torch.zeros(texts, length).long()])
        settings = {
            "max_length": most,
            "min_length": rng.randint(0, most),
            "num_beams": rng.randint(1, 5),
            "length_penalty": rng.choice([-2, 0, 0.5, 1.0, 30.0]),
            "no_repeat_ngram_size": rng.choice([0, 0, 1, 2, 3]),
        }
        found = model.generate(ids, mask, **settings)
        assert found.dtype == torch.int64
        assert found.shape[0] == texts
        assert 2 <= found.shape[1] <= most
        assert not found.requires_grad
        widths = set()
        for row in found.tolist():
            assert row[0] == c.decoder_start_token_id
            end = row.index(EOS, 1) if EOS in row[1:] else len(row) - 1
            widths.add(end + 1)
            assert all(token == c.pad_token_id for token in row[end + 1 :])
            assert EOS in row[1:] or (end == most - 1 and c.forced_eos_token_id is None)
            assert end + 1 >= settings["min_length"] or end == most - 1
            if c.forced_bos_token_id is not None and most > 2:
                assert row[1] == c.forced_bos_token_id
            size = settings["no_repeat_ngram_size"]
            if size:
                free = row[: end if c.forced_eos_token_id is not None and end == most - 1 else end + 1]
                ngrams = [tuple(free[i : i + size]) for i in range(len(free) - size + 1)]
                forced_first = c.forced_bos_token_id == c.decoder_start_token_id
                assert forced_first or len(set(ngrams)) == len(ngrams)
        assert max(widths) == found.shape[1]


def test_a_text_as_long_as_the_model_can_be_is_written():
    model = tiny_bart("seq2seq-lm")
    model.lm.bias[0, EOS] -= 100
    for beams in (1, 2):
        assert model.generate(READ, max_length=POSITIONS, num_beams=beams).shape == (B, POSITIONS)


def test_the_bias_of_the_scores_counts():
    model = tiny_bart("seq2seq-lm")
    model.lm.bias[0, 17] += 1000
    for beams in (1, 3):
        assert (model.generate(READ, MASK, max_length=6, num_beams=beams)[:, 1:-1] == 17).all()


@pytest.mark.parametrize(
    ("settings", "parts"),
    [
        ({"max_length": 1}, ("max_length is 1", "at least 2")),
        ({"max_length": 0}, ("max_length is 0",)),
        ({"max_length": 4.0}, ("max_length is 4.0", "an integer")),
        ({"max_length": True}, ("max_length is True", "an integer")),
        ({"max_length": None}, ("max_length is None", "an integer")),
        ({"max_length": POSITIONS + 1}, (f"max_length is {POSITIONS + 1}", f"{POSITIONS} positions")),
        ({"min_length": -1}, ("min_length is -1", "at least 0")),
        ({"min_length": 7}, ("min_length 7 is more than max_length 6",)),
        ({"num_beams": 0}, ("num_beams is 0", "at least 1")),
        ({"num_beams": "4"}, ("num_beams is '4'", "an integer")),
        ({"length_penalty": None}, ("length_penalty is None", "a number")),
        ({"length_penalty": math.nan}, ("length_penalty is nan", "a number")),
        ({"length_penalty": math.inf}, ("length_penalty is inf", "-100 to 100")),
        ({"no_repeat_ngram_size": -1}, ("no_repeat_ngram_size is -1", "at least 0")),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, parts):
    model = tiny_bart("seq2seq-lm")
    with expect_refusal(*parts) as caught:
        model.generate(READ, **{"max_length": 6, **settings})
    assert "\n" not in str(caught.value)


def test_inputs_that_cannot_be_are_refused():
    model = tiny_bart("seq2seq-lm")
    with expect_refusal("input_ids is a list"):
        model.generate(READ.tolist(), max_length=6)
    with expect_refusal("attention_mask has shape (5, 6)"):
        model.generate(READ, MASK[:, 1:], max_length=6)
    with expect_refusal("input_ids holds 99"):
        model.generate(READ.clamp(min=99), max_length=6)
    with pytest.raises(TypeError):
        model.generate(READ, MASK, 6)  # settings have names
