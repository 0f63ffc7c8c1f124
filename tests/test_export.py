"""The exercises as files: notebooks that run, solutions that pass, and what nbgrader and Gradescope expect."""

from __future__ import annotations

import ast
import io
import json
import re
import zipfile

import nbformat
import pytest

from minibert.claims.tables import fill_markers
from minibert.classroom import exports as export, handout as classroom
from minibert.cli.main import main
from minibert.exercises import progress
from minibert.exercises.calls import make_call
from minibert.exercises.catalogue import exercises
from minibert.exercises.check import evaluate
from minibert.lessons.building import folder, lessons, readme_block


@pytest.fixture(autouse=True)
def own_record(tmp_path, monkeypatch):
    monkeypatch.setattr(progress, "file", lambda: tmp_path / "progress.json")


def exported(kind: str, folder) -> dict[str, nbformat.NotebookNode]:
    assert main(["export", kind, "--out", str(folder)]) == 0
    notebooks = folder / "exercises" if kind == "student" else folder
    return {path.stem: nbformat.read(path, as_version=4) for path in sorted(notebooks.glob("*.ipynb"))}


def code_of(notebook: nbformat.NotebookNode) -> list[str]:
    return [cell.source for cell in notebook.cells if cell.cell_type == "code"]


def test_a_student_gets_a_notebook_a_topic_that_runs_to_its_end(tmp_path):
    notebooks = exported("student", tmp_path)
    assert set(notebooks) == {exercise.topic for exercise in exercises().values()}
    for notebook in notebooks.values():
        nbformat.validate(notebook)
        space: dict = {}
        for cell in code_of(notebook):
            exec(cell, space)  # the checks say "not attempted", and nothing stops
        assert "### BEGIN SOLUTION" not in json.dumps(notebook)


@pytest.mark.parametrize("name", exercises())
def test_a_solution_stands_by_itself_and_passes(name):
    exercise = exercises()[name]
    space: dict = {}
    exec(export.IMPORTS, space)
    exec(export.solved(exercise), space)
    result = evaluate(exercise, lambda call: make_call(space[exercise.function], call))
    assert result.passed, result


def test_the_stubs_say_not_attempted(tmp_path):
    (notebook,) = exported_one(tmp_path, "attention")
    space: dict = {}
    *before, check = code_of(notebook)
    for cell in before:
        exec(cell, space)
    assert eval(check, space).status == "not attempted"


def exported_one(folder, name: str) -> list[nbformat.NotebookNode]:
    assert main(["export", "student", "--exercises", name, "--out", str(folder)]) == 0
    return [nbformat.read(path, as_version=4) for path in folder.glob("exercises/*.ipynb")]


def test_a_class_gets_all_that_it_needs(tmp_path):
    """Laid out as the project is: the lessons' links lead to the code, and the same line installs it."""
    assert main(["export", "student", "--out", str(tmp_path)]) == 0
    for file in (
        "README.md",
        "requirements.txt",
        "pyproject.toml",
        "minibert/attention.py",
        "minibert/lessons/site.html",
    ):
        assert (tmp_path / file).is_file(), file
    assert [path.name for path in sorted((tmp_path / "lessons").glob("*.ipynb"))] == [
        lesson.notebook.name for lesson in lessons()
    ]
    assert not list(tmp_path.rglob("__pycache__"))
    readme = (tmp_path / "README.md").read_text()
    assert all(lesson.title in readme for lesson in lessons())
    assert fill_markers(readme, {"lessons": readme_block()}) == readme  # as `minibert lessons --build` there does
    for lesson in lessons():  # links to code and to other lessons
        for target in re.findall(r"\]\(((?!http)[^)\s]+)\)", (tmp_path / "lessons" / lesson.notebook.name).read_text()):
            assert (tmp_path / "lessons" / target.partition("#")[0]).exists(), target


def test_a_class_never_takes_the_place_of_anything(tmp_path, capsys):
    (tmp_path / "README.md").write_text("mine")
    assert main(["export", "student", "--out", str(tmp_path)]) == 2
    assert "is not empty" in capsys.readouterr().err
    assert [path.read_text() for path in tmp_path.iterdir()] == ["mine"]


def test_a_lesson_with_answers_in_it_is_not_handed_out(tmp_path, monkeypatch, capsys):
    changed = nbformat.read(lessons()[0].notebook, as_version=4)
    next(cell for cell in changed.cells if "raise NotImplementedError" in cell.source).source = "def gelu(x): ..."
    monkeypatch.setattr(classroom, "stored_notebook", lambda lesson: changed)
    assert main(["export", "student", "--out", str(tmp_path / "class")]) == 2
    assert "may hold answers" in capsys.readouterr().err
    assert not (tmp_path / "class").exists()


@pytest.mark.parametrize("part", ["minibert", "lessons"])
def test_a_class_is_not_written_into_what_it_is_copied_from(part, monkeypatch, capsys):
    monkeypatch.setattr(classroom, "write_notebooks", lambda *_: pytest.fail("it would fill the checkout"))
    out = folder().parent / part / "no-such-folder"
    assert main(["export", "student", "--out", str(out)]) == 2
    assert "lies in a folder that is handed out" in capsys.readouterr().err
    assert not out.exists()


def test_two_exports_are_the_same(tmp_path):
    first, second = (exported("solution", tmp_path / name) for name in "ab")
    assert first == second


def test_nbgraders_cells_have_its_metadata(tmp_path):
    ids = set()
    for notebook in exported("nbgrader", tmp_path).values():
        graded = [cell for cell in notebook.cells if "nbgrader" in cell.metadata]
        for cell in graded:
            found = cell.metadata["nbgrader"]
            assert found["schema_version"] == 3
            assert found["grade_id"] not in ids
            ids.add(found["grade_id"])
            if found["solution"]:
                assert "### BEGIN SOLUTION" in cell.source
                assert "### END SOLUTION" in cell.source
                ast.parse(cell.source)
            if found["grade"]:
                assert found["locked"]
                assert found["points"] > 0
    assert len(ids) == 3 * len(exercises())


def test_a_graded_cell_raises_or_ends_without_a_value_and_prints_nothing(capsys):
    """A last value that is no number would be full marks, and anything on stderr none."""
    (test,) = [cell for cell in code_of(export.nbgrader("attention", [exercises()["attention"]])) if "require" in cell]
    space: dict = {}
    exec(export.IMPORTS, space)
    exec(export.solved(exercises()["attention"]), space)
    assert eval(test, space) is None
    space["attention"] = lambda q, k, v, mask=None: v
    with pytest.raises(AssertionError, match="attention: failed"):
        eval(test, space)
    assert capsys.readouterr() == ("", "")


def test_the_autograder_zip_has_what_gradescope_runs(tmp_path, capsys):
    assert main(["export", "gradescope", "--out", str(tmp_path), "--exercises", "attention", "gelu"]) == 0
    with zipfile.ZipFile(tmp_path / "autograder.zip") as archive:
        modes = {entry.filename: entry.external_attr >> 16 & 0o777 for entry in archive.infolist()}
        assert modes["setup.sh"] == modes["run_autograder"] == 0o755
        assert "package/minibert/classroom/grading.py" in modes
        run = archive.read("run_autograder").decode()
    assert "--exercises attention gelu" in run
    # The first thing that it writes is a results.json.
    assert run.index('> "$results"') < run.index("python3 -m minibert")
    assert export.autograder([exercises()["attention"]]) == export.autograder([exercises()["attention"]])
    assert io.BytesIO(export.autograder([exercises()["attention"]])).getbuffer().nbytes < 5e6


def test_an_unknown_exercise_or_folder_is_one_sentence(tmp_path, capsys):
    assert main(["export", "student", "--exercises", "atention"]) == 2
    assert "did you mean attention" in capsys.readouterr().err
    (tmp_path / "file").write_text("")
    assert main(["export", "student", "--exercises", "attention", "--out", str(tmp_path / "file" / "x")]) == 2
    assert "cannot be written" in capsys.readouterr().err
