"""The solutions of the lessons: in step with the catalogue, folded, right, not handed out. Folded cells of lessons."""

from __future__ import annotations

import copy
import re
from html.parser import HTMLParser

import nbformat
import pytest

import minibert.classroom.handout as handout
from minibert.cli.main import main
from minibert.errors import MinibertError
from minibert.exercises.calls import make_call
from minibert.exercises.catalogue import exercises
from minibert.exercises.check import evaluate
from minibert.lessons import solutions
from minibert.lessons.building import assembled, differences
from minibert.lessons.lesson import Lesson, folder, lessons
from minibert.lessons.linked import Linked
from minibert.lessons.site import body_of, solutions_page

LESSONS = [lesson for lesson in lessons() if lesson.exercises]
by_lesson = pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.name)

TRIAL = """\
# %% [markdown]
# # A trial
#
# > Does it work?

# %% tags=["folded"]
import math

# %% tags=["folded", "trained"] fold="By <hand>"
print("shown", math.pi)

# %% tags=["folded"]
x = 2

# %% [markdown] tags=["folded"]
# The *answer* is {{x}}.

# %%
y = 3

# %% exercise="gelu"
"""


def trial(tmp_path) -> Lesson:
    (tmp_path / "source").mkdir()
    source = tmp_path / "source" / "42_trial.py"
    source.write_text(TRIAL)
    return Lesson(source)


# --------------------------------------------------------------------------------------------- solutions


def test_the_stored_solutions_are_those_of_the_catalogue():
    solutions.check(LESSONS, lessons())
    assert sorted(path.name for path in (folder() / "solutions").iterdir()) == [f"{one.name}.ipynb" for one in LESSONS]


@by_lesson
def test_solutions_are_closed_and_complete(lesson):
    notebook = nbformat.read(solutions.file_of(lesson), as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert code
    assert all(cell.metadata.jupyter.source_hidden and "folded" in cell.metadata.tags for cell in code)
    assert not any(cell.outputs for cell in code)
    for cell in notebook.cells:
        if cell.cell_type == "markdown" and not cell.source.startswith("<details>"):
            assert not any(exercises()[name].hints.concept in cell.source for name in lesson.exercises)
    for name in lesson.exercises:
        exercise = exercises()[name]
        (head,) = [cell.source for cell in notebook.cells if f'<a id="{name}"></a>' in cell.source]
        assert exercise.stub.rstrip() in head
        assert f"{exercise.level}, about {exercise.minutes} minutes" in head
    told = [cell.source for cell in notebook.cells if cell.source.startswith("<details>")]
    assert len(told) == len(lesson.exercises)
    assert all(text.count("\n- **") >= solutions.FEWEST_MISTAKES for text in told)


@by_lesson
def test_each_solution_in_a_notebook_passes(lesson):
    space: dict = {}
    for cell in solutions.solutions_of(lesson).cells:
        if cell.cell_type == "code":
            exec(cell.source, space)
    for name in lesson.exercises:
        exercise = exercises()[name]
        function = space[exercise.function]
        assert evaluate(exercise, lambda call, function=function: make_call(function, call)).passed, name


def test_usual_mistakes_are_of_different_kinds():
    for exercise in exercises().values():
        told = solutions.usual_mistakes(exercise)
        kinds = {one.knob for one in exercise.mistakes}
        assert solutions.FEWEST_MISTAKES <= len(told) <= solutions.MOST_MISTAKES
        assert len({one.knob for one in told}) == min(len(kinds), solutions.MOST_MISTAKES)
        assert told[0] is exercise.mistakes[0]
        assert len(set(told)) == len(told)


def test_solutions_out_of_step_are_named_and_mended(tmp_path):
    lesson = trial(tmp_path)
    solutions.check([lesson], [lesson])  # no folder: none are offered
    solutions.write([lesson], [lesson])
    solutions.check([lesson], [lesson])
    path = solutions.file_of(lesson)
    for change in (lambda: path.write_text(path.read_text().replace("erf", "tanh")), path.unlink):
        change()
        with pytest.raises(MinibertError, match=r"42_trial\.ipynb differ from .* `minibert lessons --solutions`"):
            solutions.check([lesson], [lesson])
        solutions.write([lesson], [lesson])
    old = path.with_name("41_gone.ipynb")
    old.write_text("{}")
    with pytest.raises(MinibertError, match=r"41_gone\.ipynb differ"):
        solutions.check([lesson], [lesson])
    assert solutions.write([lesson], [lesson]) == [path]
    assert not old.exists()
    solutions.check([lesson], [lesson])


def test_a_lesson_links_to_its_solutions_where_there_are_any(tmp_path):
    lesson = trial(tmp_path)
    link = "[solution, folded](solutions/42_trial.ipynb#gelu)"
    assert link not in nbformat.writes(assembled(lesson))
    solutions.write([lesson], [lesson])
    made = assembled(lesson)
    (task,) = [cell for cell in made.cells if link in cell.source]
    assert task.source.endswith(link)
    lesson.notebook.write_text(nbformat.writes(made))
    handed_out = handout.without_solutions(lesson).decode()
    assert "solutions/" not in handed_out
    (tmp_path / "solutions" / "42_trial.ipynb").unlink()
    (tmp_path / "solutions").rmdir()
    assert handed_out == nbformat.writes(assembled(lesson)) + "\n"  # so that building there changes nothing


def test_a_class_gets_no_solutions(tmp_path):
    assert main(["export", "student", "--out", str(tmp_path)]) == 0
    assert not (tmp_path / "lessons" / "solutions").exists()
    for path in (tmp_path / "lessons").glob("*.ipynb"):
        assert "solutions/" not in path.read_text()


def test_the_command_writes_them(monkeypatch, tmp_path, capsys):
    lesson = trial(tmp_path)
    monkeypatch.setattr("minibert.lessons.lesson.lessons", lambda chosen=(): [lesson])
    assert main(["lessons", "--solutions"]) == 0
    assert str(solutions.file_of(lesson)) in capsys.readouterr().out
    assert "def gelu" in solutions.file_of(lesson).read_text()


# ------------------------------------------------------------------------------------------ folded cells


class Closed(HTMLParser):
    """The text of a page that is inside of <details>, outside of <summary>, and the summaries."""

    def __init__(self, page: str):
        super().__init__()
        self.inside, self.summaries, self.open, self._at = "", [], "", []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        if tag in ("details", "summary"):
            assert not attrs or dict(attrs) == {"class": "folded"}  # in particular, not open
            self._at.append(tag)

    def handle_endtag(self, tag):
        if tag in ("details", "summary"):
            assert self._at.pop() == tag

    def handle_data(self, data):
        if self._at[-1:] == ["summary"]:
            self.summaries.append(data)
        elif self._at:
            self.inside += data
        else:
            self.open += data


def test_folded_cells_are_hidden_in_the_notebook(tmp_path):
    lesson = trial(tmp_path)
    made = assembled(lesson)
    first, second, third = [cell for cell in made.cells if "folded" in cell.metadata.get("tags", ())][:3]
    assert all(cell.metadata.jupyter == {"source_hidden": True} for cell in (first, second, third))
    assert [cell.metadata.fold for cell in (first, second, third)] == ["Set-up", "By <hand>", "Show more"]
    assert second.metadata.tags == ["trained", "folded"]
    (text,) = [cell.source for cell in made.cells if "answer" in cell.source]
    assert text == "<details>\n<summary>Show more</summary>\n\nThe *answer* is {{x}}.\n\n</details>"
    others = [cell for cell in made.cells if cell.source.startswith(("y", "def", "minibert"))]
    assert len(others) == 3
    assert not any("jupyter" in cell.metadata for cell in others)
    nbformat.validate(made)
    assert assembled(lesson) == made  # the source is not changed


def test_a_cell_that_is_no_longer_folded_is_a_difference(tmp_path):
    made = assembled(trial(tmp_path))
    other = copy.deepcopy(made)
    del next(cell for cell in other.cells if "jupyter" in cell.metadata).metadata["jupyter"]
    assert differences(made, made) == []
    assert "folded in one and not in the other" in differences(other, made)[0]
    assert "folded in one and not in the other" in differences(made, other)[0]


def test_folded_cells_are_closed_on_a_page(tmp_path):
    made = assembled(trial(tmp_path))
    made.cells[2].outputs = [nbformat.v4.new_output("stream", text="what it shows")]
    found = Closed(body_of(made, tmp_path, Linked(tmp_path)))
    assert found.summaries == ["Set-up", "By <hand>", "Show more", "Show more"]
    for hidden in ("import math", "math.pi", "x = 2", "answer"):
        assert hidden in re.sub(r"\s+", " ", found.inside)
        assert hidden not in found.open
    for visible in ("what it shows", "y = 3", "raise NotImplementedError"):
        assert visible in re.sub(r"\s+", " ", found.open)


@by_lesson
def test_a_page_of_solutions_shows_none_before_a_click(lesson, tmp_path):
    ((name, text),) = solutions_page("{{nav}}{{body}}", lesson, Linked(tmp_path)).items()
    assert name == f"solutions/{lesson.name}.html"
    found = Closed(text)
    assert f'href="../{lesson.name}.html"' in text
    for name in lesson.exercises:
        exercise = exercises()[name]
        assert exercise.title in found.open
        assert "return" in found.inside
    assert "return" not in found.open.replace("returns", "")
