"""How the checker finds out what is wrong: tests of chance, crashes, causes, edits, and the words of a result."""

from __future__ import annotations

import math
import random
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import minibert
from minibert.errors import MinibertError
from minibert.exercises import chance, progress, result as results
from minibert.exercises.calls import Call, Problem, make_call
from minibert.exercises.catalogue import exercises
from minibert.exercises.causes import entries_trouble
from minibert.exercises.check import evaluate
from minibert.exercises.crashes import in_words, kind_of, same_crash
from minibert.exercises.declare import DOUBT, ERROR, probes_of
from minibert.exercises.diagnose import turned
from minibert.exercises.edits import edits_of


@pytest.fixture(autouse=True)
def own_record(tmp_path, monkeypatch):
    monkeypatch.setattr(progress, "file", lambda: tmp_path / "progress.json")


def right(q, k, v, mask=None):
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
    if mask is None:
        return scores.softmax(-1) @ v
    return scores.masked_fill(~mask, -1e30).softmax(-1).masked_fill(~mask, 0) @ v


# ---------------------------------------------------------------------------------------------------- chance


def draws(rows, length, seed, p=0.5):
    generator = torch.Generator().manual_seed(seed)
    return [torch.rand(length, generator=generator) < p for _ in range(rows)]


@pytest.mark.parametrize("error", [DOUBT, 1e-3])
def test_fair_draws_are_refused_as_rarely_as_is_said(error):
    """400 sets of fair draws: the number that each test refuses is at most what its error allows, and a margin."""
    refused = dict.fromkeys(("share", "neighbours", "order", "rows", "places", "even"), 0)
    for seed in range(400):
        some = draws(20, 50, seed)
        rows = chance.Rows.of(some)
        counts = torch.bincount(torch.randint(10, (1000,), generator=torch.Generator().manual_seed(seed)), minlength=10)
        refused["share"] += chance.share(int(rows.draws.sum()), 1000, 0.5, error) != 0.5
        refused["neighbours"] += not chance.neighbours_independent(rows, error)
        refused["order"] += not chance.in_any_order(rows, error)
        refused["rows"] += not chance.rows_alike(rows, error)
        refused["places"] += not chance.places_alike(some, error)
        refused["even"] += not chance.evenly_spread(counts.double(), torch.full((10,), 100.0), error)
    allowed = 400 * error + 4 * math.sqrt(400 * error) + 1
    assert all(number <= allowed for number in refused.values()), refused
    if error == DOUBT:
        assert sum(refused.values()) > 0  # the tests can refuse


HALVES = list(zip(draws(50, 20, 4, 0.8), draws(50, 20, 5, 0.2), strict=True))  # many ones, then few


def test_draws_of_an_exact_share_in_a_random_order_are_right():
    generator = torch.Generator().manual_seed(1)
    rows = chance.Rows.of([(torch.arange(60) < 30)[torch.randperm(60, generator=generator)] for _ in range(200)])
    assert chance.neighbours_independent(rows, 1e-3)
    assert chance.in_any_order(rows, 1e-3)
    assert chance.rows_alike(rows, 1e-3)


@pytest.mark.parametrize(
    ("test", "biased"),
    [
        (chance.neighbours_independent, [torch.arange(40) % 2 == n % 2 for n in range(50)]),
        (chance.neighbours_independent, [one.repeat_interleave(2) for one in draws(50, 20, 3)]),
        (chance.in_any_order, [torch.cat(both) for both in HALVES]),
        (chance.rows_alike, [torch.full((40,), n % 2 == 0) for n in range(50)]),
    ],
)  # fmt: skip
def test_a_biased_draw_is_refused(test, biased):
    assert not test(chance.Rows.of(biased), ERROR)


def test_a_biased_share_or_place_is_refused():
    assert chance.share(4000, 10_000, 0.5, ERROR) == 0.4
    assert chance.share(5100, 10_000, 0.5, ERROR) == 0.5  # two standard errors
    assert chance.share(0, 0, 0.5, ERROR) == 0.5
    assert not chance.places_alike([torch.arange(300) % 3 == 0] * 14, ERROR)
    uneven = torch.tensor([200.0, 50.0, 100.0, 50.0])
    assert not chance.evenly_spread(uneven, torch.full((4,), 100.0), ERROR)


DRAWN = ("mask-tokens", "sentence-pairs", "sentence-order")  # random answers, compared by statistics: seconds each


@pytest.mark.slow
@pytest.mark.parametrize("name", DRAWN)
def test_a_right_random_answer_passes_with_any_seeds(name):
    """With the hidden seeds of a marking too: each of twelve times."""
    from dataclasses import replace

    from minibert.exercises.calls import Built

    exercise = exercises()[name]

    def moved(value, by):
        return replace(value, arguments=(value.arguments[0] + by,)) if isinstance(value, Built) else value

    for seed in range(1000, 13000, 1000):

        def call(one, by=seed):
            again = tuple(tuple(moved(v, by) for v in args) for args in one.again)
            return replace(one, args=tuple(moved(v, by) for v in one.args), again=again)

        probes = [replace(p, call=call(p.call), more=tuple(map(call, p.more))) for p in probes_of(exercise)]
        other = replace(exercise, probes=lambda probes=probes: probes)
        found = evaluate(other, lambda one: make_call(exercise.solution, one))
        assert found.passed, found


# ---------------------------------------------------------------------------------------------------- crashes


def stops(function) -> Problem:
    found = make_call(function, Call()).problem
    assert found is not None
    return found


x = torch.ones(2, 5)


@pytest.mark.parametrize(
    ("function", "kind", "said"),
    [
        (lambda: nn.Softmax(x) @ x, "module as function", "nn.Softmax(...) makes a module"),
        (lambda: x + torch.ones(2, 9), "sizes", "the sizes 5 and 9 do not fit together (here 5 is S, 9 is P)"),
        (lambda: x @ x, "sizes", "in a matrix product (2×5) times (2×5), 5 and 2 must be equal, and are equal if"),
        (lambda: x @ torch.ones(4, 5, 2).double(), "dtype", "mixes types of numbers"),
        (lambda: 1 - (x > 0), "minus mask", "use ~mask"),
        (lambda: ~x, "not mask", "mask.bool()"),
        (lambda: ~None, "None", "may be None"),
        (lambda: bool(x > 0), "ambiguous", "one True or False"),
        (lambda: x.T.view(10), "view", "contiguous()"),
        (lambda: x.view(3, 4), "shape of a view", "10 entries cannot have the shape (3, 4)"),
        (lambda: F.embedding(torch.tensor([7]), x), "row outside", "larger than the table"),
        (lambda: F.cross_entropy(x, torch.tensor([0, -7])), "class outside", "ignore_index"),
        (lambda: {"a": 1}["b"], "key", "no such key"),
        (lambda: [][0], "list end", "end of a list"),
        (lambda: 1 / 0, "divided by 0", "at least 1"),
        (lambda: random.choice([]), "empty choice", "one of nothing"),
        (lambda: nonsense, "name", "`nonsense` is not defined"),  # noqa: F821
        (lambda: x.shape(), "not callable", "called like a function"),
        (lambda: x.foo, "attribute", "a Tensor has no `foo`"),
        (lambda: torch.arange(3).mean(), "int as float", "floating-point numbers are needed"),
    ],
)  # fmt: skip
def test_a_common_crash_has_a_plain_sentence(function, kind, said):
    problem = stops(function)
    found, _ = kind_of(problem.type, problem.message)
    assert found is not None, problem
    assert found.name == kind, problem
    assert said in in_words(problem, {"S": 5, "P": 9})


def test_crashes_are_the_same_by_kind_and_sizes():
    a, b = torch.ones(5), torch.ones(9)
    one, turned_round, other = stops(lambda: a + b), stops(lambda: b * a), stops(lambda: a + torch.ones(7))
    assert same_crash(one, turned_round)
    assert not same_crash(one, other)
    assert not same_crash(one, stops(lambda: {}["a"]))
    assert not same_crash(stops(lambda: {}["b"]), stops(lambda: {}["a"]))


def test_two_mistakes_never_explain_what_only_stops():
    def answer(x, weights):
        return x @ weights["expand.weight"].T + x  # sizes that no known mistake adds

    found = minibert.check("feed-forward", answer)
    assert found.mistakes == ()
    assert "do not fit" in found.cause
    assert "return x @ weights" in found.diagnosis


# ----------------------------------------------------------------------------------------------------- causes


@pytest.mark.parametrize(
    ("exercise", "answer", "cause"),
    [
        ("attention", lambda q, k, v, mask=None: right(q, k, v, mask) / math.log(2), "1/ln 2"),
        ("attention", lambda q, k, v, mask=None: right(q, k, v, mask) * q.shape[-1], "K times"),
        ("attention", lambda q, k, v, mask=None: F.dropout(right(q, k, v, mask), 0.1), "dropout with p = 0.1"),
        ("attention", lambda q, k, v, mask=None: F.dropout(right(q, k, v, mask), 0.3), "random"),
        ("attention", lambda q, k, v, mask=None: right(q, k, v, mask) + np.random.random(), "random"),
        ("attention", lambda q, k, v, mask=None: torch.tanh(right(q, k, v, mask)), "a tanh is applied"),
        ("attention", lambda q, k, v, mask=None: right(q, k, v, mask).transpose(1, 2), "axes 1 and 2 .* swapped"),
        ("attention", lambda q, k, v, mask=None: right(q, k, v, mask).mean(), "mean of all"),
        ("attention", lambda q, k, v, mask=None: right(k, k, v, mask)[:, :, : q.shape[2]], "`q` makes no difference"),
        ("attention", lambda q, k, v, mask=None: right(q, k, v.data, mask), r"`v`: \.data takes it out"),
        ("gelu", lambda x: F.gelu(x).long(), "rounded down to integers"),
        ("layer-norm", lambda x, w, b, eps=1e-12: F.layer_norm(x, x.shape[-1:], b, w, eps), "exchanged"),
        ("layer-norm", lambda x, w, b, eps=1e-12: F.layer_norm(x, x.shape[-1:], w, b, 1e-8), "always 1e-08"),
        ("classification-head", lambda hidden, weights: nn.Softmax(hidden), "You return a module: nn.Softmax"),
    ],
)
def test_a_cause_is_found_without_a_known_mistake(exercise, answer, cause):
    import re

    found = minibert.check(exercise, answer)
    assert not found.passed
    assert found.mistakes == ()
    assert re.search(cause, found.cause), found.cause


def test_entries_that_are_all_too_long_are_counted():
    triple, pair = (0.5, 1, 2), (0.5, 1)
    assert entries_trouble(([triple], [triple]), ([triple], [pair])) == (
        "Each entry of entry 1 has 3 values, and should have 2."
    )
    assert entries_trouble([pair, pair], [triple]) == "Each entry of the result has 2 values, and should have 3."
    for mine, right in (([pair, triple], [pair]), ([pair], [pair, pair]), ([], [pair]), ([[1, 2]], [[1, 2, 3]])):
        assert entries_trouble(mine, right) == ""


def test_whole_numbers_of_any_kind_are_compared_as_integers():
    mask = torch.tensor([[0, 1], [1, 0]])
    for kind in (mask, mask.bool(), mask.double(), mask.to(torch.int8)):
        (found,) = make_call(lambda kind=kind: [kind], Call(reduce="whole numbers")).output
        assert torch.equal(found, mask)
        assert found.dtype == torch.int64
    (kept,) = make_call(lambda: [mask / 2], Call(reduce="whole numbers")).output
    assert torch.equal(kept, mask / 2)


def test_what_one_case_alone_supports_is_said_with_perhaps():
    def answer(q, k, v, mask=None):
        return right(q * math.sqrt(q.shape[-1]), k, v) if mask is None and q.shape[2] == 4 else 0.3 + 1.7 * torch.ones(
            *q.shape[:-1], v.shape[-1], dtype=q.dtype)  # fmt: skip

    found = minibert.check("attention", answer)
    assert found.mistakes == ("unscaled",)
    assert found.diagnosis.startswith("Perhaps: the scores are not divided")


def test_three_mistakes_are_found_together():
    exercise = exercises()["encoder-block"]
    names = ("pre-norm", "activation-relu", "norm-by-std")
    three = [one for one in exercise.mistakes if one.name in names]
    found = evaluate(exercise, lambda call: make_call(turned(exercise, *three), call))
    assert set(found.mistakes) == set(names)
    assert found.diagnosis.startswith("There are three mistakes")


def test_what_is_right_in_berts_own_setting_is_said_to_be():
    def answer(scores, attention_mask):
        return scores.masked_fill(~attention_mask.bool()[:, None, None], -1e9).softmax(-1)

    found = minibert.check("padding-mask", answer)
    assert found.mistakes == ("padding-even",)
    assert "In BERT no text is all padding" in " ".join([found.diagnosis, *found.more])


@pytest.mark.parametrize("name", exercises())
def test_edits_have_names_of_their_own_and_sentences(name):
    edits = edits_of(exercises()[name])
    for edit in edits:
        assert not edit.says.endswith(".")
        assert not edit.effect.endswith(".")
    assert len({edit.says + edit.name for edit in edits}) == len(edits)


def test_numbers_of_other_libraries_are_numbers():
    for number in (np.int64(3), np.int32(3), np.uint8(3)):
        assert make_call(lambda n=number: [n], Call()).output == [3]
        assert type(make_call(lambda n=number: n, Call()).output) is int
    assert make_call(lambda: np.bool_(True), Call()).output is True
    assert type(make_call(lambda: np.float32(0.5), Call()).output) is float


@pytest.mark.parametrize(("exercise", "wrong"), [
    ("count-parameters", lambda model: float(sum(p.numel() for p in model.parameters()))),
    ("causal-mask", lambda length: torch.ones(length, length).tril()),
    ("gelu", lambda x: F.gelu(x).round().int()),
])  # fmt: skip
def test_wrong_types_of_numbers_are_refused(exercise, wrong):
    assert not minibert.check(exercise, wrong).passed


# ------------------------------------------------------------------------------------------------ the result


def test_the_order_of_name_and_function_is_suggested():
    with pytest.raises(MinibertError, match=r'comes first: minibert.check\("attention", right\)'):
        minibert.check(right, "attention")


@pytest.mark.many
@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow] * (n in DRAWN)) for n in exercises()])
def test_a_diagnosis_is_short_and_nothing_of_it_is_lost(name):
    exercise = exercises()[name]
    for mistake in exercise.mistakes:
        found = evaluate(exercise, lambda call, one=mistake: make_call(turned(exercise, one), call))
        assert len(found.diagnosis) <= results.LONGEST_TEXT, found.diagnosis
        assert mistake.effect in " ".join([found.diagnosis, *found.more])


def test_hints_begin_with_what_had_no_room_and_end_with_the_last():
    def answer(q, k, v, mask=None):
        return right(q * math.sqrt(q.shape[-1]), k, v)

    found = minibert.check("attention", answer)
    results._hints_given.clear()
    hints = [found.hint() for _ in range(len(found.more) + 4)]
    assert hints[: len(found.more)] == list(found.more)
    assert hints[-1] == hints[-2]
    assert hints[-1].endswith(results.LAST)
    assert not any(results.LAST in hint for hint in hints[:-2])


class Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.open, self.seen, self.bold = [], [], ""

    def handle_starttag(self, tag, attrs):
        self.seen.append(tag)
        if tag != "br":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "b" in self.open:
            self.bold += data


def test_a_notebook_shows_stages_mistake_and_folded_hints():
    found = minibert.check("layer-norm", lambda x, weight, bias, eps=1e-12: F.layer_norm(x, x.shape[-1:], weight, bias))
    shown = found._repr_html_()
    tags = Tags()
    tags.feed(shown)
    assert tags.open == []
    assert tags.bold.startswith("You use eps = 1e-5")
    assert tags.seen.count("details") == tags.seen.count("summary") == len(found.hints)
    assert "✗ values" in shown.replace("</span>", "")
    assert "script" not in shown
    assert "http" not in shown
    assert "word-break:normal" in shown
    assert results.LAST in shown


def test_html_in_a_message_stays_text():
    def answer(x):
        raise ValueError("<img src=x onerror=alert(1)>")

    shown = minibert.check("gelu", answer)._repr_html_()
    assert "<img" not in shown
    assert "&lt;img" in shown


def test_a_passed_result_has_no_hints():
    found = minibert.check("gelu", F.gelu)
    assert found.hints == []
    assert "details" not in found._repr_html_()
    assert found.cause is None
