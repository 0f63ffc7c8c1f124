"""TEACHING.md: its tables come from the lessons, its commands exist, and its numbers are computed here."""

from __future__ import annotations

import re
import shlex

import pytest

from minibert import hunt
from minibert.claims import results
from minibert.claims.counted import parts_of, size_of
from minibert.classroom import exam
from minibert.cli.main import parse
from minibert.exercises.catalogue import exercises
from minibert.lessons import teaching
from minibert.lessons.lesson import folder, lessons

TEXT = (folder() / "TEACHING.md").read_text(encoding="utf-8")


def test_the_tables_are_those_of_the_lessons():
    for name, block in teaching.blocks().items():
        assert f"<!-- {name}:begin -->\n\n{block}\n\n<!-- {name}:end -->" in TEXT, "run: minibert lessons --build"


def test_the_times_are_those_of_the_exercises():
    rows = re.findall(r"^\| (\d\d) \[.*\| (\d+) \| (.*) \| ([\d +]+) \|$", teaching.times_table(), re.M)
    assert [row[0] for row in rows] == [one.number for one in lessons()]
    for number, reading, tasks, minutes in rows:
        declared = [int(found) for found in re.findall(r"(?:warm-up|core), (\d+)\)", tasks)]
        assert int(reading) + sum(declared) == sum(map(int, minutes.split(" + "))), number


def test_no_sitting_takes_longer_than_45_minutes():
    assert {one.number: one.in_sittings for one in lessons() if max(one.sittings) > 45} == {}


def test_each_lesson_has_goals():
    goals = re.findall(r"^\| (\d\d) [^|\[]+ \| (.+) \|$", TEXT, re.M)
    assert [number for number, _ in goals] == [one.number for one in lessons()]
    assert all(len(text.split()) > 10 for _, text in goals)


@pytest.mark.parametrize("weeks", teaching.SCHEDULES)
def test_a_schedule_has_its_weeks_in_the_order_of_the_lessons(weeks):
    numbers = [number for row, _ in teaching.SCHEDULES[weeks] for number in row.split()]
    assert len(teaching.SCHEDULES[weeks]) == weeks
    assert numbers == sorted(set(numbers))
    every = [one.number for one in lessons()]
    assert set(numbers) <= set(every)
    assert {*every[:10], "15"} <= set(numbers)
    if weeks == 14:
        assert numbers == every


@pytest.mark.parametrize("weeks", teaching.SCHEDULES)
def test_no_week_has_more_than_three_hours_alone(weeks):
    known = {one.number: one for one in lessons()}
    for row, _ in teaching.SCHEDULES[weeks]:
        minutes = sum(teaching.minutes_of(known[number], weeks != teaching.SHORT) for number in row.split())
        assert minutes <= 180, row


def test_without_challenges_a_lesson_takes_less_time_by_what_they_declare():
    (one,) = lessons(["05"])
    apart = teaching.minutes_of(one, True) - teaching.minutes_of(one, False)
    assert apart == exercises()["viterbi"].minutes


def test_hours_are_said_as_people_say_them():
    assert [teaching.hours(n) for n in (55, 60, 65, 120)] == ["55 min", "1 h", "1 h 05", "2 h"]


def test_every_command_exists():
    blocks = "\n".join(re.findall(r"```sh\n(.*?)```", TEXT, re.S))
    commands = [line.split("#")[0] for line in blocks.splitlines()] + re.findall(r"`(minibert [a-z][^`]*)`", TEXT)
    assert len(commands) > 12
    for command in filter(None, commands):
        words = shlex.split(command)
        assert words.pop(0) == "minibert"
        if len(words) > 1 or words[0] not in ("grade", "export", "check", "explore"):
            parse(words)  # exits if it cannot be read


def test_every_hunt_is_in_a_part_that_exists():
    named = re.findall(r"(?:hunt in |hunt\(\")[`\"]?([a-z-]+)[`\"]", TEXT)
    assert {"layer-norm", "encoder-block", "padding-mask"} <= set(named)
    for part in named:
        assert len(hunt(part).suspects) > 3


def test_the_numbers_in_the_answers_are_those_that_are_counted():
    bert, large = size_of("bert-base-uncased"), size_of("bert-large-uncased")
    shares = {part: 100 * size / bert for part, size in parts_of("bert-base-uncased").items()}
    more = [100 * (size_of(name) / other - 1) for name, other in (("bart-base", bert), ("bart-large", large))]
    words = [
        100 * (parts_of(name)["word embeddings"] - parts_of(like)["word embeddings"]) / size_of(like)
        for name, like in (("bart-base", "bert-base-uncased"), ("bart-large", "bert-large-uncased"))
    ]
    own = [whole - part for whole, part in zip(more, words, strict=True)]  # with BERT's own word table
    for said in (
        f"{shares['word embeddings']:.1f}% of the parameters",
        f"The encoder, {shares['encoder']:.1f}%",
        f"{100 * (1 - size_of('distilbert-base-uncased') / bert):.1f}% fewer parameters, not 50%",
        f"ALBERT-large has {large / size_of('albert-large-v2'):.2f} times fewer",
        f"MobileBERT has {bert / size_of('mobilebert-uncased'):.2f} times fewer",
        f"{more[0]:.1f}% more (base) and {more[1]:.1f}% more (large)",
        f"{own[0]:.1f}% and {own[1]:.1f}%",
        f"about {100 * (0.9 * 0.1 / 500) ** 0.5:.1f} points",
    ):
        assert said in " ".join(TEXT.split()), said
    assert {one.id: one.verdict for one in results(["B2"])} == {"B2": "does not hold"}


def test_what_is_said_about_exams_is_so():
    for form in exam.FORMS:
        assert f"| {form.title.lower()} | " in TEXT
        assert f"| {form.wanted} × {form.points} |" in TEXT
    flat = " ".join(TEXT.split())
    questions, points = sum(one.wanted for one in exam.FORMS), sum(one.wanted * one.points for one in exam.FORMS)
    assert questions == 10
    assert f"{points} points, and takes about {exam.MINUTES} minutes" in flat
    first = {form.title: min(one.lesson for one in form.templates) for form in exam.FORMS}
    assert f"Claims are asked for from lesson {first['Claims']:02} on" in flat
    assert f"and parameters from lesson {first['Parameters']:02} on" in flat
    assert first["Shapes"] == first["Mistakes"] == 1


def test_the_sections_of_the_report_are_named_as_they_are():
    from minibert.classroom.report import report

    headings = re.findall(r"^## (.*)$", report([], ["gelu"], 0), re.M)
    assert len(headings) == 4
    for heading in headings:
        assert f"**“{heading}”**" in TEXT


def test_a_class_is_not_handed_the_teachers_page(tmp_path):
    teaching.update_teaching(tmp_path / "TEACHING.md")  # a class folder has none, and none is made
    assert not any(tmp_path.iterdir())
