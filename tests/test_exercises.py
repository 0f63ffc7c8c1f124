"""The exercises: right answers pass, each known mistake fails and is named, and no two mistakes are the same.

Then the parts of the checker: its words, the record of progress, the seams, and how values travel.
"""

from __future__ import annotations

import ast
import json
import math
import re
from dataclasses import fields, replace
from importlib import import_module
from itertools import combinations, pairwise
from pathlib import Path
from random import Random
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

import minibert
from minibert import attention, generation, layers
from minibert.attention import Layout, MultiHeadAttention
from minibert.encoder import Backbone
from minibert.errors import MinibertError
from minibert.exercises import catalogue, check as checking, progress, result as result_module, swap
from minibert.exercises.calls import Built, Call, Other, Outcome, make_call, pack, unpack
from minibert.exercises.catalogue import exercises
from minibert.exercises.check import evaluate
from minibert.exercises.compare import differences, distance
from minibert.exercises.declare import LEVELS, Exercise, probes_of
from minibert.exercises.diagnose import diagnose, outcomes, turned
from minibert.exercises.notebooks import body_of, task_cell
from minibert.models import mobilebert, relative, roberta
from minibert.tokenizers import WordPiece, cutters, word_cutter
from minibert.tokenizers.unigram_model import known_pieces
from minibert.training import infilling, permutation

NAMES = list(exercises())
SAMPLED = 12  # pairs of mistakes, of each exercise
MISTAKES = [(name, mistake.name) for name, exercise in exercises().items() for mistake in exercise.mistakes]
RIGHT = [
    (name, getattr(function, "__name__", "library"), function)
    for name, exercise in exercises().items()
    for function in (exercise.solution, exercise.library, *exercise.equivalents)
]


@pytest.fixture(autouse=True)
def own_record(tmp_path, monkeypatch):
    """So that no test writes into the real record."""
    monkeypatch.setattr(progress, "file", lambda: tmp_path / "progress.json")


def run(exercise: Exercise, function) -> checking.Result:
    return evaluate(exercise, lambda call: make_call(function, call))


def alike(exercise: Exercise, one: list[Outcome], other: list[Outcome]) -> bool:
    return all(distance(a, b, exercise) <= exercise.tolerance for a, b in zip(one, other, strict=True))


# ------------------------------------------------------------------------------------------- the catalogue


def test_there_are_enough_exercises_and_mistakes():
    assert len(NAMES) >= 21
    assert len(MISTAKES) >= 100
    assert all(len(exercise.mistakes) >= 4 for exercise in exercises().values())
    assert all(len(exercise.equivalents) >= 3 for exercise in exercises().values())


def test_every_exercise_has_a_file_of_its_name():
    for file in Path(catalogue.__file__).parent.glob("[a-z]*.py"):
        module = import_module(f"{catalogue.__name__}.{file.stem}")
        if hasattr(module, "EXERCISE"):
            assert file.stem in catalogue.ORDER
            assert exercises()[file.stem.replace("_", "-")] is module.EXERCISE


@pytest.mark.many
@pytest.mark.parametrize(("name", "which", "function"), RIGHT, ids=[f"{name}-{which}" for name, which, _ in RIGHT])
def test_a_right_answer_gets_full_marks_whatever_way_it_is_written(name, which, function):
    result = run(exercises()[name], function)
    assert result.passed, result
    assert result.score == result.max_score


@pytest.mark.many
@pytest.mark.parametrize(("name", "mistake"), MISTAKES)
def test_a_known_mistake_fails_and_is_named(name, mistake):
    exercise = exercises()[name]
    known = next(one for one in exercise.mistakes if one.name == mistake)
    result = run(exercise, turned(exercise, known))
    assert result.status == "failed"
    assert result.score < result.max_score
    assert result.mistakes == (mistake,)
    assert known.says[1:] in result.diagnosis


@pytest.mark.many
@pytest.mark.parametrize("name", NAMES)
def test_no_two_mistakes_do_the_same(name):
    exercise = exercises()[name]
    found = {one.name: list(outcomes(exercise, turned(exercise, one))) for one in exercise.mistakes}
    assert len(found) == len(exercise.mistakes)
    for one, other in combinations(found, 2):
        assert not alike(exercise, found[one], found[other]), (one, other)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_two_mistakes_at_once_are_named(name):
    """At least four in five of the pairs in which both have an effect; an exception hides the other mistake."""
    exercise = exercises()[name]
    named = seen = 0
    pairs = [pair for pair in combinations(exercise.mistakes, 2) if pair[0].knob != pair[1].knob]
    for pair in Random(name).sample(pairs, min(len(pairs), SAMPLED)):
        made = list(outcomes(exercise, turned(exercise, *pair)))
        if any(alike(exercise, made, list(outcomes(exercise, turned(exercise, one)))) for one in pair):
            continue
        if alike(exercise, made, list(outcomes(exercise, exercise.reference))):
            continue  # the two cancel each other
        seen += 1
        named += set(diagnose(exercise, made)) == set(pair)
    # The statistics of random answers name themselves, and one that is far off hides another.
    assert named >= (0.8 if exercise.view is None else 0.5) * seen


@pytest.mark.parametrize("name", NAMES)
def test_the_stub_scores_nothing_and_is_no_mistake(name):
    exercise = exercises()[name]
    space: dict = {}
    exec(exercise.stub, space)
    for stub in (space[exercise.function], lambda *_, **__: None):
        result = run(exercise, stub)
        assert (result.status, result.score, result.mistakes) == ("not attempted", 0, ())


@pytest.mark.many
@pytest.mark.parametrize("name", NAMES)
def test_answers_that_do_nothing_score_nothing(name):
    exercise = exercises()[name]
    for idle in (lambda first, *_, **__: first, lambda *_, **__: 0, lambda *_, **__: torch.zeros(1)):
        result = run(exercise, idle)
        assert not result.passed
        assert result.score == 0


@pytest.mark.parametrize("name", NAMES)
def test_probes_have_axes_of_different_sizes_and_the_same_numbers_each_time(name):
    exercise = exercises()[name]
    again = exercise.probes()
    assert len(again) == len(probes_of(exercise)) > 0
    for probe, second in zip(probes_of(exercise), again, strict=True):
        assert len(set(probe.axes.values())) == len(probe.axes)
        course = re.findall(r"^    ([A-Z])  ", minibert.__doc__, re.M)
        for letter in probe.axes:
            # N counts the real tokens of a batch in all lessons, and nothing else.
            assert re.search(rf"\b{re.escape(letter)}", exercise.task) or letter in {*course} - {"N"}, letter
        assert pack(probe.call) == pack(second.call)


@pytest.mark.parametrize("name", NAMES)
def test_an_exercise_explains_itself(name):
    exercise = exercises()[name]
    assert exercise.title
    assert len(exercise.task) > 80
    assert exercise.source
    assert all((exercise.hints.nudge, exercise.hints.concept, exercise.hints.formula, exercise.hints.sketch))
    ast.parse(exercise.stub)
    for mistake in exercise.mistakes:
        assert not mistake.says.endswith(".")
        assert not mistake.effect.endswith(".")
    assert exercise.swap is None or exercise.swap in swap.SEAMS


@pytest.mark.parametrize("name", NAMES)
def test_level_and_minutes_fit_the_solution(name):
    """A warm-up is short, a challenge takes time; the minutes grow with the lines of the solution."""
    exercise = exercises()[name]
    lines = len([line for line in body_of(exercise).splitlines() if line.strip()])
    least, most = {"warm-up": (3, 8), "core": (5, 20), "challenge": (15, 30)}[exercise.level]
    assert least <= exercise.minutes <= most
    assert exercise.level != "warm-up" or lines <= 5
    assert lines / 2 <= exercise.minutes <= 10 + 2 * lines
    for shown in (task_cell(exercise).source, str(progress.progress())):
        assert re.search(rf"{name}.*{exercise.level}.*\b{exercise.minutes} min", shown)


def test_each_exercise_says_its_own_level_and_minutes():
    for file in Path(catalogue.__file__).parent.glob("[a-z]*.py"):
        text = file.read_text(encoding="utf-8")
        assert len(re.findall(r"^    (?:level|minutes)=", text, re.M)) == 2 * ("\nEXERCISE = " in text), file.name
    gelu = exercises()["gelu"]
    without = {field.name: getattr(gelu, field.name) for field in fields(gelu) if field.name != "minutes"}
    with pytest.raises(TypeError, match="minutes"):
        Exercise(**without)
    for wrong in ({"level": "easy"}, {"minutes": 0}, {"minutes": 31}, {"minutes": 5.0}, {"minutes": True}):
        with pytest.raises(ValueError, match=r"gelu: .* must be"):
            replace(gelu, **wrong)


def test_each_level_is_used():
    assert {exercise.level for exercise in exercises().values()} == set(LEVELS)


# ----------------------------------------------------------------------------------------------- check()


def right(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
    if mask is None:
        return scores.softmax(-1) @ v
    return scores.masked_fill(~mask, -1e30).softmax(-1).masked_fill(~mask, 0) @ v


def test_check_passes_and_runs_the_answer_in_a_model():
    result = minibert.check("attention", right)
    assert result.passed
    assert "Your attention just ran inside a" in result.note
    assert "the same vectors" in str(result)
    result.require()


def test_check_names_the_mistake_and_gives_hints_one_after_another():
    result = minibert.check("attention", lambda q, k, v, mask=None: right(q * math.sqrt(q.shape[-1]), k, v, mask))
    assert result.mistakes == ("unscaled",)
    assert "not divided by √K" in result.diagnosis
    result_module._hints_given.clear()
    hints = [result.hint() for _ in range(4)]
    assert exercises()["attention"].hints.nudge not in hints  # it asks how to begin
    assert len(set(hints)) == 3
    assert hints[2] == hints[3] == f"{exercises()['attention'].hints.sketch}\n(This is the last hint.)"
    with pytest.raises(AssertionError, match="not divided by √K"):
        result.require()


def test_a_score_is_shown_in_whole_points():
    result = minibert.check("attention", lambda q, k, v, mask=None: right(q, k, v))  # no mask: some tests pass
    assert result.score % 1
    assert f"failed, {math.floor(result.score)} of 10 points" in str(result)
    assert re.search(rf" attention .*best: {math.floor(result.score)} of 10 points", minibert.progress())
    assert json.loads(progress.file().read_text())["attention"]["score"] == result.score


def transposed_in_a_line(q, k, v, mask=None):
    return (q @ k.T).softmax(-1) @ v


def transposed_before(q, k, v, mask=None):
    turned = k.T
    for one in q:
        return one @ turned


def turned_by_t(q, k, v, mask=None):
    return (q @ k.t()).softmax(-1) @ v


def turned_unknown(x, weights, num_heads, mask=None):
    k = x.reshape(*x.shape[:2], num_heads, -1).transpose(1, 2)
    return k @ k.T


def turned_in_shape(x):
    return x.T


def turned_weight(hidden, weights):
    dense = weights["pooler.weight"]
    return hidden @ dense.T @ weights["classifier.weight"].T @ hidden


@pytest.mark.parametrize(
    ("name", "answer", "sentence"),
    [
        ("attention", transposed_in_a_line, "`.T` reverses all 4 axes of k; to swap the last two, use `k.transpose("),
        ("attention", transposed_before, "`.T` reverses all 4 axes of k"),
        ("attention", turned_by_t, "`.t()` reverses all 4 axes of k"),
        ("multi-head-attention", turned_unknown, "`.T` reverses all axes; if k has more than two, use `k.transpose("),
        ("merge-heads", turned_in_shape, "`.T` reverses all 4 axes of x"),
        ("classification-head", turned_weight, ""),  # a weight has two axes
    ],
)
@pytest.mark.filterwarnings("ignore:The use of `x.T`")
def test_all_axes_reversed_is_said(name, answer, sentence):
    found = minibert.check(name, answer)
    assert found.status == "failed"
    said = " ".join([found.diagnosis, *found.more])
    assert sentence in said if sentence else "reverses" not in said


def test_of_masks_no_factor_is_told():
    for answer in (lambda length: torch.zeros(length, length, dtype=torch.bool), lambda length: torch.zeros(length)):
        found = minibert.check("causal-mask", answer)
        assert not re.search("times what it should|off by the same", " ".join([found.diagnosis, *found.more]))


def test_an_axis_without_a_letter_is_a_position():
    found = minibert.check("gelu", lambda x: x * torch.sigmoid(1.702 * x))
    assert "all right where position is 16); the first is at position 0" in found.diagnosis


def test_progress_shows_one_topic_and_counts_all():
    shown = minibert.progress("encoder")
    names = re.findall(r"^  \S (\S+)", shown, re.M)
    assert names == [exercise.name for exercise in exercises().values() if exercise.topic == "encoder"]
    assert f" of {len(exercises())} passed." in shown
    with pytest.raises(MinibertError, match="there is no topic 'encodr'; did you mean encoder"):
        minibert.progress("encodr")


def test_progress_counts_challenges_apart():
    def left():
        return {
            kind: sum(int(number) * {"h": 60, "min": 1}[unit] for number, unit in re.findall(r"(\d+) (h|min)", text))
            for kind, text in re.findall(r"(exercises|challenges) ((?:\d+ (?:h|min) ?)+)", minibert.progress())
        }

    everything = exercises().values()
    challenges = sum(exercise.minutes for exercise in everything if exercise.level == "challenge")
    whole = {"exercises": sum(exercise.minutes for exercise in everything) - challenges, "challenges": challenges}
    assert left() == whole
    progress.remember("gelu", True, 10, 10)
    progress.remember("viterbi", True, 10, 10)
    assert left() == {
        "exercises": whole["exercises"] - exercises()["gelu"].minutes,
        "challenges": whole["challenges"] - exercises()["viterbi"].minutes,
    }
    for exercise in everything:
        progress.remember(exercise.name, True, 10, 10)
    assert "Nothing is left to do." in minibert.progress()


def test_the_librarys_own_function_is_no_answer():
    result = minibert.check("attention", minibert.attention.attention)
    assert result.status == "reference"
    assert result.score == 0
    assert not result.passed


@pytest.mark.parametrize(
    ("name", "answer", "sentence"),
    [
        ("atention", right, "there is no exercise 'atention'; did you mean attention"),
        ("attention", torch.ones(2), "the answer is a Tensor, not a function: give its name without brackets"),
    ],
)
def test_what_cannot_be_checked_is_one_sentence(name, answer, sentence):
    with pytest.raises(MinibertError, match=sentence.replace("(", r"\(")):
        minibert.check(name, answer)


def test_an_unknown_difference_is_told_by_place_and_factor():
    found = minibert.check("attention", lambda q, k, v, mask=None: 1.5 * right(q, k, v, mask))
    assert found.mistakes == ()
    assert "Every entry is 1.5 times what it should be" in found.diagnosis
    found = minibert.check(
        "attention",
        lambda q, k, v, mask=None: right(q, k, v, mask) + (torch.arange(q.shape[-2]) == 3)[:, None] * q.mean(),
    )
    assert "only where S is 3" in found.diagnosis


def test_a_wrong_shape_is_read_in_letters():
    found = minibert.check("attention", lambda q, k, v, mask=None: right(q, k, v, mask).transpose(1, 2))
    assert "[B, S, H, K'] = (2, 4, 3, 7), expected [B, H, S, K'] = (2, 3, 4, 7)" in found.diagnosis


@pytest.mark.parametrize(
    ("actual", "expected", "text"),
    [
        ({"a": 1, "c": 2}, {"a": 1, "b": 2}, "the result lacks 'b' and has the unexpected 'c'"),
        ({"a": [1.0, 2.5]}, {"a": [1.0, 2.0]}, "'a'[1] is 2.5, expected 2"),
        ([1, 2], [1, 2, 3], "the result has length 2, expected 3"),
        (["a"], ["b"], "the result is ['a'], expected ['b']"),
        (None, 1.0, "the result is None (is a `return` missing?), but should be a number"),
        pytest.param(10**5000, 1, "the result is a very large integer, expected 1", id="large"),
        (True, 1, "the result is a boolean, but should be a number"),
        ("a", [1], "the result is a string, but should be a list"),
        (
            torch.ones(2),
            torch.ones(2).bool(),
            "the result holds floating-point numbers (float32), but should hold booleans",
        ),
    ],
)
def test_differences_are_told_in_words(actual, expected, text):
    (found,) = differences(actual, expected, {})
    assert found.text == text


def test_two_mistakes_and_one_more_are_still_told_apart():
    def answer(q, k, v, mask=None):
        return (q @ k.transpose(-2, -1)).softmax(-2) @ v + (0 if mask is None else 1)

    found = minibert.check("attention", answer)
    assert set(found.mistakes) == {"unscaled", "softmax-over-queries"}
    assert "but not everything that is wrong" in found.diagnosis


def test_a_wrong_signature_and_a_crash_are_told_apart():
    found = minibert.check("attention", lambda q, k: q)
    assert "its signature must be `attention(q, k, v, mask=None)`" in found.diagnosis
    crashed = minibert.check("attention", lambda q, k, v, mask=None: q.nonsense)
    assert "it raised AttributeError" in crashed.diagnosis
    assert crashed.score == 0


def test_the_line_of_an_exception_is_the_learners_own():
    """Also where the learner's function runs inside a real model."""

    def answer(q, k, v, mask=None):
        if not torch.is_grad_enabled():
            raise ValueError("not in a model")
        return right(q, k, v, mask)

    found = minibert.check("attention", answer).diagnosis
    line = answer.__code__.co_firstlineno + 2
    assert found.endswith(f'raised ValueError: not in a model (line {line}: `raise ValueError("not in a model")`).')


def test_changing_the_input_in_place_costs_its_own_points():
    def answer(q, k, v, mask=None):
        with torch.no_grad():
            out = right(q, k, v, mask)
            q.mul_(2)
        return right(q / 2, k, v, mask) + 0 * out

    found = minibert.check("attention", answer)
    assert {stage.name: stage.passed for stage in found.stages}["inputs"] is False
    assert "changes `q` in place" in found.diagnosis


def test_a_detached_answer_has_no_gradient():
    found = minibert.check("attention", lambda q, k, v, mask=None: right(q, k, v, mask).detach())
    assert "No gradient flows back" in found.diagnosis
    assert found.score == found.max_score - 2  # the other point is for the model, where it is not tried


@pytest.mark.parametrize("odd", [math.nan, math.inf, -math.inf])
def test_nan_and_infinity_equal_nothing(odd):
    found = minibert.check("attention", lambda q, k, v, mask=None: right(q, k, v, mask) * odd)
    assert not found.passed


@pytest.mark.parametrize("shape", [(1, 3, 4, 7), (2, 3, 1, 7), (3, 4, 7), (1,), ()])
def test_what_would_broadcast_is_still_the_wrong_shape(shape):
    found = minibert.check("attention", lambda q, k, v, mask=None: torch.zeros(shape, dtype=torch.float64))
    assert {stage.name: stage.passed for stage in found.stages}["shape"] is False


def test_a_loop_without_end_is_stopped(monkeypatch):
    monkeypatch.setattr(checking, "LONGEST", 0.3)

    def answer(q, k, v, mask=None):
        while True:
            pass

    said = minibert.check("attention", answer).diagnosis
    assert "a loop that does not end?" in said
    assert "?." not in said


def test_a_function_that_calls_itself_without_end_is_told_so():
    def answer(q, k, v, mask=None):
        return answer(q, k, v, mask)

    assert "calls itself without end" in minibert.check("attention", answer).diagnosis


# ------------------------------------------------------------------------------------------------ progress


def test_progress_remembers_what_was_passed():
    assert f"0 of {len(NAMES)} passed" in minibert.progress()
    minibert.check("attention", lambda q, k, v, mask=None: q)
    assert "… attention" in minibert.progress()
    minibert.check("attention", right)
    minibert.check("attention", lambda q, k, v, mask=None: q)  # a later failure takes nothing away
    assert "✓ attention" in minibert.progress()
    assert f"1 of {len(NAMES)} passed" in minibert.progress()


def test_torchs_own_function_passes_and_is_not_recorded():
    assert minibert.check("gelu", torch.nn.functional.gelu).passed
    assert f"0 of {len(NAMES)} passed" in minibert.progress()


# ---------------------------------------------------------------------------------------------------- swap


def test_swap_replaces_and_puts_back():
    model = minibert.build("tiny-bert", seed=0).eval()
    ids = torch.tensor([[5, 6, 7]])
    before = model(ids).last_hidden_state
    with minibert.swap(attention=lambda q, k, v, mask=None: torch.zeros_like(q)):
        assert not torch.equal(model(ids).last_hidden_state, before)
    assert torch.equal(model(ids).last_hidden_state, before)


SWAPPED = [name for name, exercise in exercises().items() if exercise.swap]


@pytest.mark.many
@pytest.mark.parametrize("name", SWAPPED)
def test_a_right_answer_runs_a_real_model_and_a_wrong_one_is_found_out(name):
    exercise = exercises()[name]
    trouble, note = swap.trial(exercise, exercise.solution)
    assert trouble is None
    assert "gave the same" in note
    found = [swap.trial(exercise, turned(exercise, mistake)).trouble for mistake in exercise.mistakes]
    assert sum(trouble is not None for trouble in found) >= len(found) / 3  # three sentences do not show them all


def layer_norm_by_module(x, weight, bias, eps=1e-12):
    return functional_call(nn.LayerNorm(x.shape[-1], eps=eps), {"weight": weight, "bias": bias}, (x,))


def gelu_by_feed_forward(x):
    nothing = nn.Identity()
    return layers.FeedForward.forward(
        SimpleNamespace(expand=nothing, contract=nothing, activation=F.gelu, dropout=nothing), x
    )


def feed_forward_by_module(x, weights):
    return functional_call(layers.FeedForward(*weights["contract.weight"].shape), dict(weights), (x,))


def embeddings_by_model(input_ids, token_type_ids, weights, eps=1e-12):
    size, width = weights["word.weight"].shape
    parts = layers.Embeddings(size, len(weights["position.weight"]), len(weights["token_type.weight"]), width, eps, 0.1)
    parts.load_state_dict(dict(weights))
    model = SimpleNamespace(embeddings=parts.eval(), position_ids=lambda ids: Backbone.position_ids(None, ids))
    return Backbone.embed(model, input_ids, token_type_ids, Layout())


def wordpiece_by_tokenizer(word, vocabulary, unknown="[UNK]", longest=100):
    tok = WordPiece({token: number for number, token in enumerate(vocabulary)})
    assert tok.ids(word) == [number for number, _ in tok.match(word)]
    return [vocabulary[number] for number, _ in tok.match(word)]


def bpe_merge_by_tokenizer(symbols, merges):
    return exercises()["bpe-merge"].library(symbols, merges)


def viterbi_by_cutters(word, scores, unknown=-20.0):
    known = known_pieces((piece, number, score) for number, (piece, score) in enumerate(scores.items()))
    ends = [module.best_path(word, known, (-1, unknown)).ends for module in (cutters, word_cutter)]
    assert ends[0] == ends[1]
    return [word[start:end] for start, end in pairwise([0, *ends[0]])]


def beam_step_by_library(totals, log_probs, eos_id, length, length_penalty=1.0):
    (step,) = generation.beam_step(totals[None], log_probs[None], eos_id, length, length_penalty)
    return step.continuing, [(one.value, one.beam) for one in step.finished]


# Right answers that call the library at the seam where they are swapped in, which must not call them again.
CALLS_ITSELF = {
    "attention": lambda q, k, v, mask=None: (
        (attention.attention(q, k, v, mask)[0] + attention.fused_attention(q, k, v, mask)) / 2
    ),
    "split_heads": lambda x, num_heads: MultiHeadAttention.split_heads(SimpleNamespace(num_heads=num_heads), x),
    "merge_heads": lambda x: MultiHeadAttention.merge_heads(None, x),
    "layer_norm": lambda x, weight, bias, eps=1e-12: (
        (layer_norm_by_module(x, weight, bias, eps) + layers.layer_norm(x, weight, bias, eps)) / 2
    ),
    "gelu": lambda x: (gelu_by_feed_forward(x) + layers.gelu(x)) / 2,
    "feed_forward": feed_forward_by_module,
    "embeddings": embeddings_by_model,
    "wordpiece": wordpiece_by_tokenizer,
    "bpe_merge": bpe_merge_by_tokenizer,
    "viterbi": viterbi_by_cutters,
    "roberta_positions": roberta.count_positions,
    "no_norm": exercises()["no-norm"].library,
    "trigram": lambda x: mobilebert.with_neighbours(x),
    "relative_shift": lambda scores: relative.shift(scores),
    "permutation_mask": lambda order: [permutation.order_mask(order)] * 2,
    "infilling": lambda ids, spans, mask_id: infilling.replace_spans([[one] for one in ids], spans, mask_id),
    "decoder_attention": exercises()["causal-cross-attention"].library,
    "beam_step": beam_step_by_library,
}


def test_every_seam_belongs_to_an_exercise_and_has_a_test():
    assert set(CALLS_ITSELF) == set(swap.SEAMS) == {exercises()[name].swap for name in SWAPPED}


@pytest.mark.parametrize("seam", CALLS_ITSELF)
def test_an_answer_may_call_the_library_at_its_own_seam(seam):
    exercise = next(one for one in exercises().values() if one.swap == seam)
    trouble, note = swap.trial(exercise, CALLS_ITSELF[seam])
    assert trouble is None
    assert "gave the same" in note


@pytest.mark.parametrize("seam", swap.SEAMS)
def test_every_place_of_a_seam_calls_the_answer_and_is_put_back(seam):
    """Also after the answer has raised an exception."""
    places = swap.SEAMS[seam]
    before = [getattr(place.owner, place.name) for place in places]
    _, model, tok = swap.real_model(seam)

    def broken(*args, **kwargs):
        raise KeyError(seam)

    def run():
        if seam in swap.RUNS:
            swap.run_of(seam)(model, tok, swap.SENTENCES)
        else:
            model(**tok(list(swap.SENTENCES)), return_attention=True)

    with minibert.swap(**{seam: broken}):
        for _ in range(2):
            with pytest.raises(KeyError, match=seam):
                run()
    assert [getattr(place.owner, place.name) for place in places] == before


def test_two_swaps_each_do_their_part():
    called = []

    def noted(name, function):
        return lambda *args, **kwargs: (called.append(name), function(*args, **kwargs))[1]

    functions = {seam: noted(seam, CALLS_ITSELF[seam]) for seam in swap.SEAMS if seam not in swap.PRESETS}
    _, model, tok = swap.real_model()
    expected = model(**tok(list(swap.SENTENCES))).last_hidden_state
    for order in (list(functions), list(functions)[::-1]):
        called.clear()
        with minibert.swap(**{seam: functions[seam] for seam in order}):
            found = model(**tok(list(swap.SENTENCES))).last_hidden_state
        assert torch.allclose(found, expected, atol=1e-5)
        assert set(called) >= set(functions) - {"gelu"}  # which is inside the feed-forward that was swapped


def test_the_library_does_what_the_exercises_function_does_not_cover():
    """Another family's embeddings and activation, a bias on the scores, dropout on the weights."""

    def never(*args, **kwargs):
        raise AssertionError("this is not the exercise's work")

    ids = torch.tensor([[5, 6, 7, 8]])
    with minibert.swap(embeddings=never, gelu=never, feed_forward=never):
        minibert.build("tiny-albert", seed=0).eval()(ids)
    with minibert.swap(embeddings=never):
        minibert.build("tiny-distilbert", seed=0).eval()(ids)
    with minibert.swap(layer_norm=never):
        nn.LayerNorm(3, elementwise_affine=False)(torch.ones(2, 3))
    q = torch.ones(1, 2, 3, 4)
    with minibert.swap(attention=never):
        attention.fused_attention(q, q, q, bias=torch.zeros(3, 3))
        attention.attention(q, q, q, dropout=0.1)
        with pytest.raises(AssertionError, match="not the exercise's work"):
            attention.attention(q, q, q)


def test_a_tokenizer_that_knows_a_word_still_asks_the_answer():
    _, _, tok = swap.real_model()
    before = tok("unforgettable film")["input_ids"]
    with minibert.swap(wordpiece=lambda word, vocabulary, unknown="[UNK]", longest=100: [unknown]):
        assert tok("unforgettable film")["input_ids"].tolist() == [[tok.cls_id, tok.unk_id, tok.unk_id, tok.sep_id]]
        assert tok.encode("film").offsets[1] == (0, 4)
    assert torch.equal(tok("unforgettable film")["input_ids"], before)


def test_the_functions_of_a_file_are_found_by_the_names_that_check_takes():
    names = ["torch", "my_attention", "attention_weights", "layer_norm", "my_layer_norm", "mask_tokens", "my_gelu"]
    assert swap.seams_for(names) == {"attention": "my_attention", "layer_norm": "layer_norm", "gelu": "my_gelu"}
    space = {"my_gelu": lambda x: torch.full_like(x, 7.0)}
    with minibert.swap(**{seam: space[name] for seam, name in swap.seams_for(space).items()}):
        assert layers.gelu(torch.zeros(2)).tolist() == [7.0, 7.0]
    assert layers.gelu(torch.zeros(2)).tolist() == [0.0, 0.0]


def test_swap_refuses_what_it_does_not_know():
    with (
        pytest.raises(MinibertError, match="there is no part 'atention' to swap; did you mean attention"),
        minibert.swap(atention=right),
    ):
        pass
    with pytest.raises(MinibertError, match="takes a function"), minibert.swap(attention=3):
        pass


# -------------------------------------------------------------------------------------- values on their way


@pytest.mark.parametrize(
    "value",
    [
        None, True, 3, -1.5, math.inf, "text é", [1, [2.5, "x"]], (1, 2), {"a": torch.ones(2, 3), "b": [None]},
        torch.tensor(2.5, dtype=torch.float64), torch.zeros(0, 3), torch.tensor([True, False]),
        torch.arange(6).reshape(2, 3).T, Built("generator", (3,)), Call((torch.ones(2),), {"x": 1}, (0,)),
        Outcome([1.0, Other("set")], (None, torch.ones(1)), (0,), True),
    ],
)  # fmt: skip
def test_values_travel_unchanged(value):
    back = unpack(pack(value))
    assert type(back) is type(value)
    assert pack(back) == pack(value)


def test_numpys_float_is_a_number():
    (found,) = make_call(lambda: [np.float64(2.5)], Call()).output
    assert type(found) is float
    assert found == 2.5


def test_nan_travels():
    assert math.isnan(unpack(pack(math.nan)))


@pytest.mark.parametrize("data", [b"", b"abc", b"\xff\xff\xff\xff{}", b"\2\0\0\0{}", pack([torch.ones(2)])[:-1]])
def test_bytes_that_are_no_message_are_refused(data):
    with pytest.raises(ValueError, match="not a message"):
        unpack(data)


def test_what_cannot_travel_becomes_its_name():
    class Lies(torch.Tensor):
        @property
        def shape(self):
            return (2, 3)

    outcome = make_call(lambda: [{1, 2}, torch.ones(1).as_subclass(Lies), print], Call())
    assert all(isinstance(one, Other) for one in outcome.output)
    assert outcome.output[0].type == "set"
