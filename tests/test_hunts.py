"""Hunts: every box has one right name and can be solved by calling it, and nothing but calling shows what is in it."""

from __future__ import annotations

import inspect
import json
import re
import traceback
import warnings
from collections import Counter
from dataclasses import replace
from itertools import combinations

import pytest
import torch
from hunters import names_of
from torch import Tensor

import minibert
from minibert.cli.main import main
from minibert.errors import MinibertError
from minibert.exercises import hunts, progress
from minibert.exercises.calls import Call, Outcome, Problem, make_call
from minibert.exercises.catalogue import exercises
from minibert.exercises.compare import distance, gap
from minibert.exercises.diagnose import outcomes, turned
from minibert.exercises.hunts import NOTHING, planted, suspects_of

PARTS = list(exercises())
DRAWN = [name for name, exercise in exercises().items() if exercise.view is not None]  # random answers: slower
PLAIN = [name for name in PARTS if name not in DRAWN]
by_part = pytest.mark.parametrize("part", PLAIN)
drawn = pytest.mark.parametrize("part", DRAWN)


@pytest.fixture(autouse=True)
def own_record(tmp_path, monkeypatch):
    """So that no test writes into the real record."""
    monkeypatch.setattr(progress, "file", lambda: tmp_path / "progress.json")


def box_with(part: str, name: str) -> hunts.Box:
    """The first box of a part that holds this."""
    return next(hunts.hunt(part, seed) for seed in range(200) if planted(exercises()[part], seed) == name)


# ------------------------------------------------------------------------------------------ one right name


@pytest.mark.slow
def test_forty_boxes_are_solved_by_calling_them():
    parts = set()
    for seed in range(40):
        box = minibert.hunt(None, seed)
        names = names_of(box)
        assert len(names) == 1, (box.part, seed, names)
        assert box.name(names[0]).right, (box.part, seed, names)
        assert box.points == hunts.POINTS
        parts.add(box.part)
    assert len(parts) >= 15


def test_some_boxes_are_solved_by_calling_them():
    for part, seed in (("layer-norm", 0), ("gelu", 2), ("attention", 3), ("encode-pair", 4), ("causal-mask", -1)):
        box = minibert.hunt(part, seed)
        (name,) = names_of(box)
        assert box.name(name).right


def two_right_names(part: str) -> list[tuple[str, str]]:
    """The pairs of suspects whose code returns the same for all probes."""
    exercise = exercises()[part]
    only_values = replace(
        exercise,
        probes=lambda: [replace(probe, call=replace(probe.call, grads=())) for probe in exercise.probes()],
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = {
            name: list(outcomes(only_values, turned(exercise, *ideas))) for name, ideas in suspects_of(exercise).items()
        }
    return [
        (one, other)
        for one, other in combinations(found, 2)
        if all(
            distance(a, b, exercise, values_only=True) <= exercise.tolerance
            for a, b in zip(found[one], found[other], strict=True)
        )
    ]


@pytest.mark.many
@by_part
def test_no_box_has_two_right_names(part):
    assert two_right_names(part) == []


@pytest.mark.slow
@drawn
def test_no_box_of_random_answers_has_two_right_names(part):
    assert two_right_names(part) == []


def test_a_mistake_that_is_there_twice_is_one_suspect(monkeypatch):
    gelu = exercises()["gelu"]
    silu = next(one for one in gelu.mistakes if one.name == "silu")
    again = replace(silu, name="silu-again")
    monkeypatch.setitem(exercises(), "gelu", replace(gelu, mistakes=(*gelu.mistakes, again)))
    assert "silu-again" not in suspects_of(exercises()["gelu"])
    assert two_right_names("gelu") == []


@pytest.mark.many
@by_part
def test_the_boxes_own_examples_tell_all_suspects_apart(part):
    """With fresh numbers, as a learner gets them in the second to the fourth call."""
    exercise = exercises()[part]
    box = minibert.hunt(part)
    reducers = [probe.call.reduce for probe in exercise.probes()]
    left = list(combinations(suspects_of(exercise), 2))
    for number in (1, 2, 3):
        for kind, reducer in enumerate(reducers):
            call = Call(box.example(kind, number), reduce=reducer)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found = {
                    name: make_call(turned(exercise, *suspects_of(exercise)[name]), call)
                    for name in dict.fromkeys(name for pair in left for name in pair)
                }
            left = [
                (one, other)
                for one, other in left
                if distance(found[one], found[other], exercise, values_only=True) <= exercise.tolerance
            ]
    assert left == []


@by_part
def test_suspects_differ_in_words_too(part):
    box = minibert.hunt(part)
    words = [hunts._letters(text) for name, says in box.suspects.items() for text in {name, says}]
    assert len(set(words)) == len(words)
    for number, (name, says) in enumerate(box.suspects.items()):
        assert box._meant(name) == box._meant(says) == box._meant(number) == box._meant(str(number)) == name


@by_part
def test_what_is_said_of_a_box_is_not_said_of_the_learner(part):
    for name, says in minibert.hunt(part).suspects.items():
        assert not re.search(r"\byou", says), name
    for (mistake,) in list(suspects_of(exercises()[part]).values())[1:]:
        assert not re.search(r"(^|; )you\b|\byour\b", hunts.effect_of(mistake)), mistake.name


@pytest.mark.parametrize(
    ("to_its_author", "of_a_box"),
    [
        ("your softmax runs over the heads", "the softmax runs over the heads"),
        ("you apply and multiply, but do not add", "it applies and multiplies, but does not add"),
        (
            "nothing fits, so you go back and try a shorter piece",
            "nothing fits, so it goes back and tries a shorter piece",
        ),
        ("you never put a mark, and should put one", "it never puts a mark, and should put one"),
        (
            "put and take are joined, and you put them in your list",
            "put and take are joined, and it puts them in the list",
        ),
        ("the factor is missing", "the factor is missing"),
    ],
)
def test_the_words_for_a_box(to_its_author, of_a_box):
    assert hunts.about_the_box(to_its_author) == of_a_box


@by_part
def test_what_does_not_show_in_what_is_returned_is_no_suspect(part):
    exercise = exercises()[part]
    left_out = {one.name for one in exercise.mistakes} - set(suspects_of(exercise))
    for mistake in exercise.mistakes:
        if mistake.name in left_out:
            outcome, *_ = found = list(outcomes(exercise, turned(exercise, mistake)))
            right = list(outcomes(exercise, exercise.reference))
            same = all(distance(a, b, exercise, True) <= exercise.tolerance for a, b in zip(found, right, strict=True))
            assert outcome.problem is not None or same, mistake.name
    assert len(suspects_of(exercise)) >= 5


def test_mistakes_of_gradients_and_of_arguments_are_left_out():
    for part, name in (("distillation-loss", "teacher-learns"), ("times-as-fast", "sorted-in-place"),
                       ("student-from-teacher", "aliased"), ("attention", "k-not-transposed")):  # fmt: skip
        assert name in [one.name for one in exercises()[part].mistakes]
        assert name not in minibert.hunt(part).suspects


# ------------------------------------------------------------------------------------------- what is planted


@by_part
def test_the_seeds_go_through_all_suspects_and_some_boxes_are_right(part):
    exercise = exercises()[part]
    wrong = len(suspects_of(exercise)) - 1
    deal = wrong + max(1, round(wrong / 5))
    for first in (0, deal, -deal):
        found = Counter(planted(exercise, seed) for seed in range(first, first + deal))
        assert found.pop(NOTHING) == deal - wrong
        assert set(found.values()) == {1}
        assert len(found) == wrong
    order = [planted(exercise, seed) for seed in range(deal)]
    assert order != [planted(exercise, seed) for seed in range(deal, 2 * deal)]
    assert order == [planted(exercise, seed) for seed in range(deal)]


def test_a_seed_draws_the_part():
    drawn = [minibert.hunt(None, seed).part for seed in range(60)]
    assert drawn == [minibert.hunt(seed=seed).part for seed in range(60)]
    assert len(set(drawn)) > 15


@pytest.mark.parametrize(
    ("part", "seed", "sentence"),
    [
        ("layer-nrm", 0, "there is no part 'layer-nrm' to hunt in; did you mean layer-norm"),
        ("layer-norm", "3", "the seed must be an integer, but is '3'"),
        ("layer-norm", True, "the seed must be an integer, but is True"),
        ("layer-norm", 1.0, "the seed must be an integer, but is 1.0"),
    ],
)
def test_what_is_no_hunt_is_one_sentence(part, seed, sentence):
    with pytest.raises(MinibertError, match=sentence):
        minibert.hunt(part, seed)


# -------------------------------------------------------------------------------------- what a box shows


def test_nothing_that_can_be_read_shows_what_is_in_a_box():
    """All that a look around shows is the same for a box with each of the suspects."""
    seeds = range(24)
    looks = set()
    for seed in seeds:
        box = minibert.hunt("layer-norm", seed)
        looked = [repr(box), str(box), repr(dir(box)), repr(inspect.signature(box)), inspect.getsource(type(box))]
        looked += [repr(vars(box)), repr(box.suspects), repr(box.kinds), repr(getattr(box, "__closure__", None))]
        box(*box.example(0, 1))
        looked.append(repr(vars(box)))
        looks.add("\n".join(looked).replace(f"seed {seed}.", "seed.").replace(f"'seed': {seed}", "'seed'"))
    assert len(looks) == 1


@by_part
def test_an_exception_does_not_show_the_code(part):
    box = minibert.hunt(part, 1)
    names = list(inspect.signature(box).parameters)
    with pytest.raises(Exception) as caught:
        box(*[object()] * len(names))
    error = caught.value
    assert error.__cause__ is None
    assert error.__context__ is None
    files = {frame.filename for frame in traceback.extract_tb(error.__traceback__)}
    assert files <= {__file__, hunts.__file__}


def test_a_warning_does_not_show_the_code():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        box = box_with("layer-norm", "n-minus-1")
        box(torch.ones(2, 1), torch.ones(1), torch.zeros(1))  # the variance of one number


def test_a_box_is_called_like_the_function():
    box = box_with("layer-norm", NOTHING)
    assert str(inspect.signature(box)) == "(x, weight, bias, eps=1e-12)"
    x, weight, bias = torch.randn(3, 4), torch.rand(4), torch.rand(4)
    expected = torch.nn.functional.layer_norm(x, (4,), weight, bias, 0.1)
    for returned in (box(x, weight, bias, 0.1), box(x, eps=0.1, bias=bias, weight=weight)):
        torch.testing.assert_close(returned, expected)
    for args in ((x,), (x, weight, bias, 1, 2)):
        with pytest.raises(TypeError, match=r"layer_norm\(x, weight, bias, eps=1e-12\): "):
            box(*args)
    assert "layer_norm(x, weight, bias, eps=1e-12)" in repr(box)
    assert "(..., D)" in box.task  # the shapes
    assert box.task not in repr(box)  # it is above, in the exercise


def test_a_box_changes_no_argument(monkeypatch):
    def in_place(reference_ms, challenger_ms):
        reference_ms.sort()
        challenger_ms[0][0].zero_()
        return 0.0

    changing = replace(exercises()["times-as-fast"], reference=in_place, mistakes=())
    monkeypatch.setitem(exercises(), "times-as-fast", changing)
    box = minibert.hunt("times-as-fast")
    times, tensors = [3.0, 1.0], [(torch.ones(2),)]
    box(times, tensors)
    assert times == [3.0, 1.0]
    assert tensors[0][0].tolist() == [1.0, 1.0]


@pytest.mark.many
@pytest.mark.parametrize("part", PARTS)
def test_examples_are_valid_fresh_and_repeatable(part):
    box = box_with(part, NOTHING) if part in PLAIN else minibert.hunt(part)
    exercise = exercises()[part]
    for number, kind in enumerate(box.kinds):
        given = [box.example(kind) for _ in range(3)]
        again = [box.example(number, which) for which in range(3)]
        for one, other in zip(given, again, strict=True):
            assert make_call(exercise.reference, Call(one)).problem is None
            plain = [(a, b) for a, b in zip(one, other, strict=True) if isinstance(a, (Tensor, list, str, int, float))]
            assert all(gap(a, b) == 0 for a, b in plain)
        assert box.example(number, 0) is not again[0]
    floats = [arg for arg in box.example(0, 0) if isinstance(arg, Tensor) and arg.is_floating_point() and arg.any()]
    others = [arg for arg in box.example(0, 1) if isinstance(arg, Tensor) and arg.is_floating_point() and arg.any()]
    assert not floats or any(gap(a, b) > 0 for a, b in zip(floats, others, strict=True))


def test_an_example_may_be_changed():
    box = minibert.hunt("layer-norm")
    box.example(0, 0)[0].fill_(7)
    assert not (box.example(0, 0)[0] == 7).any()


def test_an_unknown_kind_of_example_is_one_sentence():
    box = minibert.hunt("layer-norm")
    for kind, sentence in (("one tokn", "did you mean one token"), (99, "from 0 to 6, but is 99"), (1.0, "is 1.0")):
        with pytest.raises(MinibertError, match=sentence):
            box.example(kind)


# ------------------------------------------------------------------------------------------ naming and points


def test_points_fall_with_wrong_names_and_hints_and_are_kept():
    box = box_with("layer-norm", "n-minus-1")
    assert box.points == 10
    assert not box.name("over-tokens").right
    assert box.points == 7
    assert "costs nothing more" in box.name("over-tokens")
    box.hint()
    assert box.points == 5
    again = minibert.hunt("layer-norm", box.seed)  # as in another session
    assert again.points == 5
    found = again.name("The variance divides by D - 1")
    assert found.right
    assert "5 points of 10" in found
    again.hint()
    again.name("over-tokens")
    assert again.points == box.points == 5
    assert "found it before, for 5 points" in again.name("n-minus-1")
    assert "1 hunt solved (layer-norm" in minibert.progress()
    assert "5 points" in minibert.progress()


def test_naming_at_random_wins_one_point():
    box = box_with("gelu", "silu")
    for name in box.suspects:
        if box.name(name).right:
            break
    assert box.points == 1


def test_a_wrong_name_is_answered_with_what_speaks_against_it():
    box = box_with("layer-norm", "n-minus-1")
    said = box.name("over-tokens")
    assert "Compared with code with that mistake, for “with eps = 0.1”, box.example(0, 0): the result differs" in said
    assert "something is wrong. Compared with a right one" in box.name("nothing")
    said = box_with("layer-norm", "over-axis-1").name("over-tokens")  # differs for one kind only
    assert "“with two axes”, box.example(2, 0)" in said


def test_that_one_of_two_stops_is_said():
    gelu = exercises()["gelu"]
    value, stopped = Outcome(output=torch.ones(2)), Outcome(problem=Problem("RuntimeError", "sizes 2 and 3"))
    other = Outcome(problem=Problem("KeyError", "word"))
    for mine, theirs, said in (
        (value, stopped, "the box returns something, and the other one raises RuntimeError"),
        (stopped, value, "the box raises RuntimeError, and the other one returns something"),
        (stopped, other, "the box raises RuntimeError, and the other one raises KeyError"),
        (stopped, stopped, ""),
    ):
        assert hunts._difference(gelu, gelu.probes()[0], mine, theirs) == said


def test_three_hints_get_clearer():
    box = box_with("layer-norm", "over-axis-1")
    where, few, what = box.hint(), box.hint(), box.hint()
    assert "“with two axes”" not in where  # it shows with three axes already
    assert "over-axis-1" in few
    assert few.count(",") == 2
    assert "Compared with a right one" in what
    assert box.hint() == what.replace(" (The last hint. Now it is worth 4 points of 10.)", "")
    assert box.points == 4


def test_hints_about_a_right_box_say_so_last():
    box = box_with("gelu", NOTHING)
    assert box.hint().startswith("Look at “")
    assert "nothing" in box.hint()
    assert box.hint().startswith("For all kinds of examples it returns what is right.")
    for name in box.suspects:
        assert name == NOTHING or box_with("gelu", name).hint().startswith("Look at “")


@pytest.mark.parametrize(
    ("answer", "sentence"), [("n-minus-2", "did you mean n-minus-1"), (99, "0 to 20"), (None, "a NoneType")]
)
def test_what_is_no_suspect_costs_nothing(answer, sentence):
    box = minibert.hunt("layer-norm", 1)
    with pytest.raises(MinibertError, match=sentence):
        box.name(answer)
    assert box.points == 10


@pytest.mark.parametrize("record", ["{", '{"hunt gelu 0": {"wrong": 3, "hints": "x", "points": 99, "solved": 1}}'])
def test_a_broken_record_stops_no_hunt(record):
    progress.file().write_text(record)
    box = minibert.hunt("gelu", 0)
    assert box.points == 10
    box.hint()
    assert box.points == 8


@pytest.mark.parametrize("record", ["{", '{"gelu": {"score": "x"}}'])
def test_a_hunt_says_that_it_is_not_recorded(record):
    progress.file().write_text(record)
    right = planted(exercises()["gelu"], 0)
    wrong = next(one for one in minibert.hunt("gelu").suspects if one != right)
    box = minibert.hunt("gelu", 0)
    for said in (box.hint(), box.name(wrong), box.name(right)):
        assert f"This was not recorded: {progress.file()} cannot be read" in said
    assert progress.file().read_text() == record
    progress.file().unlink()
    assert "recorded" not in minibert.hunt("gelu", 0).hint()


def test_a_record_of_hunts_leaves_that_of_exercises():
    progress.remember("gelu", True, 10, 10)
    box = minibert.hunt("gelu", 0)
    box.name(names_of(box)[0])
    record = json.loads(progress.file().read_text())
    assert record["gelu"]["passed"]
    assert record["hunt gelu 0"] == {"wrong": [], "hints": 0, "solved": True, "points": 10}
    assert f"1 of {len(PARTS)} passed" in minibert.progress()


# --------------------------------------------------------------------------------------- on the command line


def test_the_command_lists_the_parts_and_shows_a_box(capsys):
    assert main(["hunt"]) == 0
    listed = capsys.readouterr().out
    assert all(part in listed for part in PARTS)
    assert main(["hunt", "layer-norm"]) == 0
    shown = capsys.readouterr().out
    assert "Part layer-norm, seed 0." in shown
    assert "--seed 0 --name NAME" in shown
    assert all(says in shown for says in minibert.hunt("layer-norm").suspects.values())
    assert main(["hunt", "--seed", "5"]) == 0
    assert f"Part {minibert.hunt(None, 5).part}, seed 5." in capsys.readouterr().out


def test_the_command_names_hints_and_goes_on_to_the_next(capsys):
    name = planted(exercises()["gelu"], 0)
    wrong = next(one for one in minibert.hunt("gelu").suspects if one != name)
    with pytest.raises(SystemExit) as ended:  # status 1, as for a failed check
        main(["hunt", "gelu", "--hint", "--name", wrong])
    assert ended.value.code == 1
    assert "Now it is worth 5 points" in capsys.readouterr().out
    assert main(["hunt", "gelu", "--name", name]) == 0
    assert "5 points of 10" in capsys.readouterr().out
    assert main(["hunt"]) == 0
    assert "(solved: 0)" in capsys.readouterr().out
    assert main(["hunt", "gelu"]) == 0
    assert "Part gelu, seed 1." in capsys.readouterr().out


def test_the_command_shows_an_example_and_runs_a_file(capsys, tmp_path):
    assert main(["hunt", "gelu", "--show"]) == 0
    shown = capsys.readouterr().out
    assert "x =\ntensor(" in shown
    assert "The box returns:\ntensor(" in shown
    file = tmp_path / "look.py"
    file.write_text("print(box.part, box(*box.example()).shape)")
    assert main(["hunt", "gelu", "--try", str(file)]) == 0
    assert "gelu torch.Size" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--name", "silu"], "say which box is meant"),
        (["--hint"], "say which box is meant"),
        (["gelus"], "did you mean gelu?"),
        (["gelu", "--name", "silo"], "did you mean silu"),
        (["gelu", "--name", ""], "--name: is empty"),
        (["gelu", "--show", "nonsense"], "no kind of example 'nonsense'"),
        (["gelu", "--try", "missing.py"], "there is no file missing.py"),
    ],
)
def test_wrong_options_are_one_sentence(capsys, arguments, sentence):
    assert main(["hunt", *arguments]) == 2
    assert sentence in capsys.readouterr().err


@pytest.mark.parametrize(
    ("code", "sentence"), [("\n1 / 0", "stopped in line 2: ZeroDivisionError"), ("x =", "line 1: Syn")]
)
def test_a_file_that_stops_is_one_sentence(capsys, tmp_path, code, sentence):
    file = tmp_path / "look.py"
    file.write_text(code)
    assert main(["hunt", "gelu", "--try", str(file)]) == 2
    assert sentence in capsys.readouterr().err
