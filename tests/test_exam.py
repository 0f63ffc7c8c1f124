"""Exams: every answer worked out in another way, no mistake that another one could be taken for, no two alike."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache
from itertools import combinations
from random import Random

import pytest
import torch

from minibert.claims.counted import PUBLISHED
from minibert.classroom import exam as exams, exam_mistakes
from minibert.classroom.exam_mistakes import MISTAKES, drawn_mistake, outcome_of, told_apart
from minibert.classroom.exam_seen import SEEN, plain, sight_of, written
from minibert.classroom.exam_sizes import CLAIMS, COUNTS, PAIRS, SHAPES, both_sizes, one_share
from minibert.cli.main import main
from minibert.errors import MinibertError
from minibert.exercises.calls import Outcome, Problem
from minibert.exercises.catalogue import exercises
from minibert.exercises.declare import Mistake
from minibert.lessons.lesson import lessons


@cache
def drawn_one(template, seed):
    return template.draw(Random(seed))


def drawn(template, seeds=4):
    return [drawn_one(template, seed) for seed in range(seeds)]


# -------------------------------------------------------------------------------------------------- shapes

BY_HAND = {
    "scores": lambda n: (n["B"], n["H"], n["S"], n["T"]),
    "mixture": lambda n: (n["B"], n["H"], n["S"], n["V"]),
    "split": lambda n: (n["B"], n["H"], n["S"], n["K"]),
    "weights": lambda n: (n["B"], n["H"], n["S"], n["S"]),
    "mask": lambda n: (n["B"], 1, 1, n["S"]),
    "vocabulary": lambda n: (n["B"], n["S"], n["V"]),
    "neighbours": lambda n: (n["B"], n["S"], 3 * n["E"]),
    "query stream": lambda n: (n["B"], n["P"], n["H"] * n["K"]),
    "cross-attention": lambda n: (n["B"], n["H"], n["T"], n["S"]),
}


@pytest.mark.parametrize("template", SHAPES, ids=lambda one: one.name)
def test_a_shape_is_that_of_the_formula(template):
    for question in drawn(template):
        n = question.facts
        if template.name == "labels":
            wanted = (n["B"], n["S"], n["C"]) if "for each token" in question.text else (n["B"], n["C"])
        else:
            wanted = BY_HAND[template.name](n)
        assert n["shape"] == wanted
        assert question.answer == str(wanted)
        assert question.answer not in question.text


# ---------------------------------------------------------------------------------------------- parameters


def linear(a: int, b: int) -> int:
    return a * b + b


def block_of(d: int, f: int) -> int:
    return 4 * linear(d, d) + linear(d, f) + linear(f, d) + 4 * d


def bert_of(n) -> int:
    return (n["V"] + n["P"] + 2 + 2) * n["D"] + n["L"] * block_of(n["D"], n["F"]) + linear(n["D"], n["D"])


COUNTED = {
    "block": lambda n: block_of(n["D"], n["F"]),
    "BERT": bert_of,
    "head": lambda n: linear(n["D"], n["D"]) + 2 * n["D"] + n["V"],
    "student": lambda n: n["L"] // 2 * block_of(n["D"], n["F"]) + linear(n["D"], n["D"]) + 2 * n["D"],
    "ALBERT": lambda n: (
        (n["V"] + n["P"] + 4) * n["E"] + linear(n["E"], n["D"]) + block_of(n["D"], n["F"]) + linear(n["D"], n["D"])
    ),
    "decoder block": lambda n: block_of(n["D"], n["F"]) + 4 * linear(n["D"], n["D"]) + 2 * n["D"],
}


@pytest.mark.parametrize("template", COUNTS, ids=lambda one: one.name)
def test_a_count_is_that_of_the_formula_and_its_parts_sum_to_it(template):
    for question in drawn(template):
        number = COUNTED[template.name](question.facts)
        assert question.answer == f"{number:,}"
        parts = [int(part.replace(",", "")) for part in re.findall(r"([\d,]+) \(", question.why)]
        assert sum(parts) == number
        said = {int(found) for found in re.findall(r"\d+", question.text)}
        assert all(n in said for name, n in question.facts.items() if name != "number")  # all that is needed is given


# ------------------------------------------------------------------------------------------------ mistakes


@pytest.mark.many
@pytest.mark.parametrize("template", MISTAKES, ids=lambda one: one.name)
def test_only_the_named_mistake_gives_what_is_shown(template):
    exercise = exercises()[template.name]
    for question in drawn(template, 2):
        facts = question.facts
        assert facts["shown"] in question.text
        shown = {
            mistake.name
            for mistake in exercise.mistakes
            if written(outcome_of(exercise, facts["args"], mistake).output) == facts["shown"]
        }
        assert shown == {facts["mistake"]}  # the only one of all known mistakes, not only of the options
        assert written(outcome_of(exercise, facts["args"]).output) != facts["shown"]
        says = {mistake.name: mistake.says for mistake in exercise.mistakes}
        options = dict(re.findall(r"^- \*\*(\w)\.\*\* (.*)$", question.text, re.M))
        assert sorted(options.values()) == sorted(says[name] for name in (facts["mistake"], *facts["distractors"]))
        assert options[facts["letter"]] == says[facts["mistake"]]
        assert len(set(options.values())) == 4


def test_the_arguments_are_shown_exactly():
    for template in MISTAKES:
        for value in drawn_one(template, 1).facts["args"]:
            assert plain(value) == rounded(value)


def rounded(value):
    if isinstance(value, torch.Tensor):
        return rounded(value.tolist())
    if isinstance(value, (list, tuple)):
        return type(value)(map(rounded, value))
    return round(value, 3) if isinstance(value, float) else value


def test_a_mistake_with_a_twin_is_never_asked_for():
    """Two mistakes that return the same cannot be told apart: neither may be the answer, whatever else is known."""
    exercise = exercises()["gelu"]
    twin = replace(exercise.mistakes[0], name="twin", says="the same in other words")
    every = replace(exercise, mistakes=(*exercise.mistakes, twin))
    make = exam_mistakes.PARTS["gelu"][1]
    for seed in range(5):
        alone = told_apart(every, make(Random(seed))).alone
        assert alone
        assert not {exercise.mistakes[0].name, "twin"} & {one.name for one in alone}
    few = replace(exercise, mistakes=(exercise.mistakes[0], twin))
    with pytest.raises(MinibertError, match="no question about gelu"):
        drawn_mistake(Random(0), few, make)


def test_what_does_not_show_is_never_asked_for():
    exercise = exercises()["gelu"]
    silent = Mistake("silent", exercise.mistakes[0].knob, exercise.mistakes[0].value, "x", "y")
    hidden = replace(exercise, mistakes=(silent,), reference=lambda x, **knobs: torch.nn.functional.gelu(x))
    found = told_apart(hidden, exam_mistakes.PARTS["gelu"][1](Random(0)))
    assert silent in found.sights
    assert not found.showing
    assert not found.alone


def differ(one, other) -> bool:
    return sight_of(Outcome(one)).differs(sight_of(Outcome(other)))


def test_numbers_that_look_alike_are_not_different():
    nan, inf = float("nan"), float("inf")
    assert not differ([1.0, [2.0]], [1.0, [2.0 + SEEN / 2]])
    assert differ([1.0, [2.0]], [1.0, [2.0 + SEEN * 2]])
    assert differ([1.0], [1.0, 1.0])
    assert differ("a", "b")
    assert differ(nan, 1.0)
    assert differ(inf, 1.0)
    assert differ([True], [1])  # written as True and 1
    assert not differ(nan, nan)
    assert not differ(inf, inf)
    problems = [sight_of(Outcome(problem=Problem(kind, "says"))) for kind in ("ValueError", "KeyError", "KeyError")]
    assert problems[0].differs(problems[1])
    assert not problems[1].differs(problems[2])
    assert not problems[1].same_look(problems[2])


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (torch.zeros(2, 3), torch.zeros(3, 2)),  # as many numbers in another shape
        (torch.zeros(2, 3), torch.zeros(6)),
        ([1, 2], (1, 2)),
        ([1, 2], [True, False]),
        ([1.0, 2.0], [1.5, 2.0]),  # one that has a fraction
        ([1, 2], [1, -2]),
        ([1.0, 2.5], [1.5, float("nan")]),
        ({"times": 1.5}, {"saved": 1.5}),
        (["re", "##play"], ["re", "play"]),  # the mark gives it away
        (["repl", "ay"], ["repl", "<unk>"]),
        (["re", "play"], ["re", "pla"]),  # a letter is missing
    ],
)
def test_what_shows_at_first_sight_is_another_look(one, other):
    assert sight_of(Outcome(one)).same_look(sight_of(Outcome(one)))
    assert not sight_of(Outcome(one)).same_look(sight_of(Outcome(other)))


def test_other_numbers_or_letters_are_the_same_look():
    assert sight_of(Outcome(torch.tensor([[1.0, 2.5]]))).same_look(sight_of(Outcome(torch.tensor([[0.25, 7.0]]))))
    assert sight_of(Outcome(["re", "##play"])).same_look(sight_of(Outcome(["rep", "##lay"])))
    assert sight_of(Outcome({"a": 1.5})).same_look(sight_of(Outcome({"a": 0.5})))


def nested(value):
    """The lengths of a returned value, level by level, and what is in it."""
    if isinstance(value, torch.Tensor):
        return [*value.shape], "tensor"
    if isinstance(value, (list, tuple)):
        return len(value), [nested(one) for one in value]
    return sorted(value) if isinstance(value, dict) else isinstance(value, str)


def at_first_sight(outcome):
    """What may tell an option without any thought: shape, number of letters, characters that are no letters."""
    if outcome.problem is not None:
        return outcome.problem.type
    text = written(outcome.output)
    letters = sum(one.isalpha() for one in text)
    return nested(outcome.output), letters, {one for one in text if not one.isalnum()}


def options_seen(template, seed):
    """A question, and what the right option and the wrong ones look like."""
    exercise = exercises()[template.name]
    named = {mistake.name: mistake for mistake in exercise.mistakes}
    question = drawn_one(template, seed)
    facts = question.facts
    looks = [at_first_sight(outcome_of(exercise, facts["args"], named[name]))
             for name in (facts["mistake"], *facts["distractors"])]  # fmt: skip
    lengths = [len(named[name].says) for name in (facts["mistake"], *facts["distractors"])]
    return question, looks, lengths


@pytest.mark.parametrize("template", MISTAKES, ids=lambda one: one.name)
def test_the_right_option_is_not_the_only_one_of_its_look(template):
    for seed in range(2):
        question, looks, _ = options_seen(template, seed)
        assert looks[1:].count(looks[0]) >= 2, question.text


@pytest.mark.slow
@pytest.mark.parametrize("template", MISTAKES, ids=lambda one: one.name)
def test_nothing_but_the_numbers_tells_the_right_option(template):
    """Not its look, nor its place, nor the length of its text, nor that it is always the same one."""
    letters, longest, shortest, asked = [], 0, 0, set()
    for seed in range(40):
        question, looks, lengths = options_seen(template, seed)
        assert looks[1:].count(looks[0]) >= 2, question.text
        letters.append(question.facts["letter"])
        longest += lengths[0] > max(lengths[1:])
        shortest += lengths[0] < min(lengths[1:])
        asked.add(question.facts["mistake"])
    assert all(2 <= letters.count(letter) <= 20 for letter in "abcd")
    assert longest <= 24
    assert shortest <= 24
    assert len(asked) >= 3


def test_a_mistake_is_asked_for_after_its_lesson():
    where = {}
    for lesson in reversed(lessons()):
        where |= dict.fromkeys(lesson.exercises, int(lesson.number))
    placed = [template for template in MISTAKES if template.name in where]
    assert len(placed) > 15
    for template in placed:
        assert template.lesson == max(1, where[template.name]), template.name


# -------------------------------------------------------------------------------------------------- claims

BERTS = {"base": PUBLISHED["bert-base-uncased"], "large": PUBLISHED["bert-large-uncased"]}
SIZES = {
    "ALBERT": {"base": "albert-base-v2", "large": "albert-large-v2"},
    "RoBERTa": {"base": "roberta-base", "large": "roberta-large"},
    "XLNet": {"base": "xlnet-base-cased", "large": "xlnet-large-cased"},
    "BART": {"base": "bart-base", "large": "bart-large"},
}


@pytest.mark.parametrize("template", CLAIMS, ids=lambda one: one.name)
def test_a_verdict_follows_from_the_published_sizes(template):
    verdicts = set()
    for question in drawn(template, 25):
        said = re.match(r"“(\w+) has (at least|at most)? ?([\d.]+)(%| times) (fewer|more)", question.text)
        name, bound, number = said[1], said[2], float(said[3])
        if bound is None:
            small = PUBLISHED[{"DistilBERT": "distilbert-base-uncased", "MobileBERT": "mobilebert-uncased",
                               "ALBERT": "albert-base-v2"}[name]]  # fmt: skip
            counted = 100 * (1 - small / BERTS["base"])
            verdict = "holds" if abs(counted - number) <= 1 else "does not hold"
            assert not 0.9 < abs(counted - number) < 2  # never close to the limit
            assert f"{counted:.1f}%" in question.why
        else:
            ratios = {size: PUBLISHED[model] / BERTS[size] for size, model in SIZES[name].items()}
            met = [1 / r >= number if bound == "at least" else 100 * (r - 1) <= number for r in ratios.values()]
            verdict = {0: "does not hold", 1: "holds with a condition", 2: "holds"}[sum(met)]
            if sum(met) == 1:
                assert question.answer.endswith(f"({'base' if met[0] else 'large'} only)")
        assert question.answer.split(" (")[0] == verdict
        verdicts.add(verdict)
    assert len(verdicts) >= 2, "the verdict must not be the same each time"


# ------------------------------------------------------------------------------------------------- an exam


def test_the_same_seed_gives_the_same_exam_and_no_two_are_alike():
    assert exams.exam(3) == exams.exam(3)
    asked = [{question.text for form in exams.questions(seed).values() for question in form} for seed in range(6)]
    assert len(set().union(*asked[:3])) == 30  # as long as the templates of all forms last, no question comes twice
    for one, other in combinations(asked, 2):
        assert len(one & other) <= 1


def test_a_paper_has_no_answers_and_the_key_has_them_all():
    drawn = exams.questions(-7)
    paper, key = exams.exam(-7)
    assert [len(form) for form in drawn.values()] == [3, 2, 3, 2]
    numbers = re.findall(r"^### (\d\.\d)$", paper, re.M)
    assert numbers == re.findall(r"^\*\*(\d\.\d)\*\* ", key, re.M)
    assert len(numbers) == 10
    for form in drawn.values():
        for question in form:
            assert question.text in paper
            assert f"{question.answer}\n\nWhy: {question.why}." in key
            assert question.why not in paper
    assert "-7" not in paper.split("## 1.")[0]  # the seed would give the key away
    assert "--seed -7" in key


@pytest.mark.parametrize("form", exams.FORMS, ids=lambda one: one.title)
def test_seeds_that_follow_each_other_get_other_templates(form):
    deals = len(form.templates) // form.wanted
    got = [one.name for seed in range(deals) for one in exams.dealt(form.templates, form.wanted, seed, form.title)]
    assert len(set(got)) == len(got) == deals * form.wanted
    assert len({template.name for template in form.templates}) == len(form.templates)


def test_an_exam_asks_for_nothing_after_its_last_lesson(monkeypatch):
    asked = []
    monkeypatch.setattr(exams, "dealt", lambda known, *_: asked.extend(known) or known[:1])
    assert list(exams.questions(0, until=6)) == ["Shapes", "Parameters", "Mistakes"]  # claims begin with lesson 09
    assert {one.lesson for one in asked} <= set(range(7))
    assert len(asked) > 15
    with pytest.raises(MinibertError, match="nothing to ask"):
        exams.questions(0, until=0)


def test_the_command_writes_versions_and_never_over_another_exam(tmp_path, capsys):
    command = ["export", "exam", "--out", str(tmp_path), "--seed", "5", "--until", "3"]
    assert main([*command, "--versions", "2"]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "exam-1-key.md", "exam-1.md", "exam-2-key.md", "exam-2.md"
    ]  # fmt: skip
    assert "--seed 6 --until 3`" in (tmp_path / "exam-2-key.md").read_text()
    left_out = "Left out: Parameters (from lesson 04 on) and Claims (from lesson 09 on)."
    assert left_out in (tmp_path / "exam-2-key.md").read_text(encoding="utf-8")
    assert main(command) == 0  # the same exam again
    before = (tmp_path / "exam-1.md").read_text()
    command[5] = "9"
    assert main(command) != 0
    assert "with something else in it" in capsys.readouterr().err
    assert (tmp_path / "exam-1.md").read_text() == before


def test_the_largest_seed_has_versions_too(tmp_path):
    exams.write_exams(tmp_path, 2**63 - 1, 2, until=1)
    assert f"--seed {-(2**63)} " in (tmp_path / "exam-2-key.md").read_text(encoding="utf-8")


def test_without_a_seed_nobody_can_guess_it(tmp_path):
    keys = []
    for name in "ab":
        exams.write_exams(tmp_path / name, until=1)
        keys.append(re.search(r"--seed (\d+)", (tmp_path / name / "exam-1-key.md").read_text())[1])
    assert keys[0] != keys[1]
    assert all(int(key) > 10**6 for key in keys)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["student", "--seed", "1"], "--seed is for"),
        (["nbgrader", "--versions", "2", "--until", "3"], "--versions and --until"),
        (["exam", "--exercises", "gelu"], "use --until"),
    ],
)
def test_an_option_that_would_mean_nothing_is_refused(options, says, tmp_path, capsys):
    assert main(["export", *options, "--out", str(tmp_path / "out")]) != 0
    assert says in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_claims_fit_what_the_templates_promise():
    """Both kinds of claims are drawn with every place that the number can have."""
    share = {one_share("DistilBERT")(Random(seed)).facts["slip"] for seed in range(60)}
    assert None in share
    assert len(share) >= 3
    times = {both_sizes(pair)(Random(seed)).facts["verdict"] for pair in PAIRS for seed in range(40)}
    assert times == {"holds", "holds with a condition", "does not hold"}


def test_no_claim_is_impossible_on_its_face():
    for name in ("DistilBERT", "ALBERT", "MobileBERT"):
        said = {one_share(name)(Random(seed)).facts["said"] for seed in range(100)}
        assert all(0 < number < 100 for number in said), (name, said)
        assert len(said) > 5


def test_the_versions_of_an_exam_share_no_question(monkeypatch):
    monkeypatch.setattr(exams, "texts_of", cache(exams.texts_of))
    for first in (0, 40):
        seeds = exams.seeds_of(first, 3, until=9)
        asked = [exams.texts_of(seed, 9) for seed in seeds]
        assert seeds[0] == first
        assert len({*seeds}) == 3
        assert not any(one & other for one, other in combinations(asked, 2))


def test_a_seed_with_a_question_of_an_earlier_version_is_passed_over(monkeypatch):
    asked = {0: {"a"}, 1: {"b", "a"}, 2: {"b"}, 3: {"a"}, 4: {"c"}}
    monkeypatch.setattr(exams, "texts_of", lambda seed, until: asked.get(seed, {"a", "b", "c", "d"}))
    assert exams.seeds_of(0, 3) == [0, 2, 4]
    # When nothing else is left, a question may come again, but not among neighbours.
    few = "abcde"
    monkeypatch.setattr(exams, "texts_of", lambda seed, until: {few[seed * seed % 5 if seed % 3 else seed % 5]})
    letters = [few[seed * seed % 5 if seed % 3 else seed % 5] for seed in exams.seeds_of(0, 12)]
    for at in range(12):
        assert letters[at] not in letters[max(0, at - exams.NEAR) : at]


def test_a_mistake_that_seldom_shows_is_asked_for_as_often_as_others():
    """Of the references of a toy exercise one shows in any arguments, and one in a tenth of them."""
    often, seldom, *others = (Mistake(name, "knob", name, f"it is {name}", "x") for name in ("often", "seldom", *"cde"))

    def reference(x, knob=""):
        moved = {"often": 1.0, "seldom": 2.0 if x[0] > 9 else 0.0}.get(knob, 0.0)
        return x + moved

    toy = replace(exercises()["gelu"], mistakes=(often, seldom, *others), reference=reference)
    drawn = [drawn_mistake(Random(seed), toy, lambda random: (torch.tensor([float(random.randint(1, 10))]),))
             for seed in range(60)]  # fmt: skip
    asked = [question.facts["mistake"] for question in drawn]
    assert {*asked} == {"often", "seldom"}
    assert 15 < asked.count("seldom") < 45  # half of them: 30, with a standard deviation of 3.9


def test_options_that_look_like_the_right_one_come_first():
    """A mistake that returns more than nearly all others, or that alone does not return what is right, is no answer."""
    names = ("same 1", "same 2", "same 3", "same 4", "long 1", "long 2", "silent 1", "silent 2", "silent 3")
    every = tuple(Mistake(name, "knob", name, f"it is {name}", "x") for name in names)

    def reference(x, knob=""):
        if not knob or knob.startswith("silent"):
            return [0.0, 0.0]
        return [float(names.index(knob) + 1)] * (3 if knob.startswith("long") else 2)

    toy = replace(exercises()["gelu"], mistakes=every, reference=reference)
    for seed in range(20):
        facts = drawn_mistake(Random(seed), toy, lambda random: (torch.zeros(1),)).facts
        assert {name[:4] for name in (facts["mistake"], *facts["distractors"])} == {"same"}
    alone = replace(toy, mistakes=(every[0], *every[4:]))
    with pytest.raises(MinibertError, match="no question about"):
        drawn_mistake(Random(0), alone, lambda random: (torch.zeros(1),))
