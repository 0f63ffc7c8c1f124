"""The exercises as files: notebooks that run, solutions that pass, and what nbgrader and Gradescope expect."""

from __future__ import annotations

import ast
import io
import json
import re
import subprocess
import sys
import zipfile
from email.message import Message
from pathlib import Path
from unittest.mock import Mock

import nbformat
import pytest
import torch

from minibert.claims.tables import fill_markers
from minibert.classroom import exports as export, handout as classroom
from minibert.cli.main import main
from minibert.errors import MinibertError
from minibert.exercises import notebooks, progress
from minibert.exercises.calls import make_call
from minibert.exercises.catalogue import exercises
from minibert.exercises.check import evaluate
from minibert.lessons.building import readme_block
from minibert.lessons.lesson import folder, lessons
from minibert.lessons.linked import LINK
from minibert.pinned import MADE


@pytest.fixture(autouse=True)
def own_record(tmp_path, monkeypatch):
    monkeypatch.setattr(progress, "file", lambda: tmp_path / "progress.json")


def exported(kind: str, folder) -> dict[str, nbformat.NotebookNode]:
    assert main(["export", kind, "--out", str(folder)]) == 0
    where = folder / "exercises" if kind == "student" else folder
    return {path.stem: nbformat.read(path, as_version=4) for path in sorted(where.glob("*.ipynb"))}


def code_of(notebook: nbformat.NotebookNode) -> list[str]:
    return [cell.source for cell in notebook.cells if cell.cell_type == "code"]


def test_a_student_gets_a_notebook_a_topic_that_runs_to_its_end(tmp_path):
    found = exported("student", tmp_path)
    assert set(found) == {exercise.topic for exercise in exercises().values()}
    for notebook in found.values():
        nbformat.validate(notebook)
        space: dict = {}
        for cell in code_of(notebook):
            exec(cell, space)  # the checks say "not attempted", and nothing raises an exception
        assert "### BEGIN SOLUTION" not in json.dumps(notebook)


@pytest.mark.parametrize("name", exercises())
def test_a_solution_needs_nothing_else_and_passes(name):
    exercise = exercises()[name]
    space: dict = {}
    exec(notebooks.IMPORTS, space)
    exec(notebooks.solved(exercise), space)
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
    """In the layout of the project, so that links from the lessons lead to the code and the same line installs it."""
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
    assert fill_markers(readme, {"lessons": readme_block()}) == readme  # `minibert lessons --build` changes nothing
    for lesson in lessons():  # links to code and to other lessons
        cells = json.loads((tmp_path / "lessons" / lesson.notebook.name).read_text(encoding="utf-8"))["cells"]
        text = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
        targets = [found["target"] for found in LINK.finditer(text) if found["target"]]
        assert targets
        for target in targets:
            if not target.startswith(("http", "#")):
                assert (tmp_path / "lessons" / target.partition("#")[0]).exists(), target


def test_a_class_is_never_written_over_anything(tmp_path, capsys):
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
    assert "is inside a folder that is handed out" in capsys.readouterr().err
    assert not out.exists()


def test_exercises_in_any_order_are_all_exported(tmp_path):
    names = ("attention", "gelu", "causal-mask")  # the first and the last are of one topic
    assert main(["export", "nbgrader", "--out", str(tmp_path), "--exercises", *names]) == 0
    cells = [cell for path in tmp_path.glob("*.ipynb") for cell in nbformat.read(path, as_version=4).cells]
    ids = {cell.metadata["nbgrader"]["grade_id"] for cell in cells if "nbgrader" in cell.metadata}
    assert {f"test-{name}" for name in names} <= ids


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
    """A last value that is not a number would earn full marks, and anything on stderr would score 0."""
    (test,) = [cell for cell in code_of(export.nbgrader("attention", [exercises()["attention"]])) if "require" in cell]
    space: dict = {}
    exec(notebooks.IMPORTS, space)
    exec(notebooks.solved(exercises()["attention"]), space)
    assert eval(test, space) is None
    space["attention"] = lambda q, k, v, mask=None: v
    with pytest.raises(AssertionError, match="attention: failed"):
        eval(test, space)
    assert capsys.readouterr() == ("", "")


def exported_seed(content: bytes) -> int:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return int(archive.read("seed"))


def test_the_autograder_zip_has_what_gradescope_runs(tmp_path, capsys):
    assert main(["export", "gradescope", "--out", str(tmp_path), "--exercises", "attention", "gelu"]) == 0
    with zipfile.ZipFile(tmp_path / "autograder.zip") as archive:
        modes = {entry.filename: entry.external_attr >> 16 & 0o777 for entry in archive.infolist()}
        assert modes["setup.sh"] == modes["run_autograder"] == 0o755
        packed = {path.removeprefix("package/") for path in modes if path.startswith("package/")}
        assert "minibert/classroom/grading.py" in packed
        left_out = export.package_files().keys() - packed
        assert all(path.startswith("minibert/weights/") for path in left_out)
        assert modes["seed"] == 0o600
        run, seed = archive.read("run_autograder").decode(), int(archive.read("seed"))
    assert "--exercises attention gelu" in run
    assert "$(cat seed)" in run
    assert exported_seed(export.autograder([exercises()["gelu"]])) != seed  # each zip has its own
    # It writes a results.json before anything else.
    assert run.index('> "$results"') < run.index("python3 -m minibert")
    assert export.autograder([exercises()["attention"]], 3) == export.autograder([exercises()["attention"]], 3)
    assert io.BytesIO(export.autograder([exercises()["attention"]])).getbuffer().nbytes < 5e6


ROOT = folder().parent


def test_what_the_package_needs_is_written_in_one_place():
    """pyproject.toml lists it. requirements.txt installs it and pins torch, and nothing else names a version of it."""
    lines = [line.partition("#")[0].strip() for line in (ROOT / "requirements.txt").read_text().splitlines()]
    assert [line for line in lines if line] == [
        "-e .[lessons,tests]",
        next(x for x in lines if x.startswith("torch==")),
    ]
    others = [ROOT / "pyproject.toml", ROOT / ".ci" / "run", *(ROOT / "minibert").rglob("*.py")]
    assert not [path for path in others if re.search(r"torch\s*[=><~]=\s*\d", path.read_text())]
    with zipfile.ZipFile(io.BytesIO(export.autograder([exercises()["gelu"]]))) as archive:
        assert archive.read("package/pyproject.toml") == (ROOT / "pyproject.toml").read_bytes()
        assert f"torch=={torch.__version__.partition('+')[0]} " in archive.read("setup.sh").decode()


@pytest.fixture
def without_checkout(monkeypatch):
    """The package as if pip had installed it."""
    recorded = Message()
    recorded["Version"], recorded["Requires-Python"] = "7.8", ">=3.10"
    for needed in ("torch", 'numpy>=1.26; python_version >= "3.9"', 'jupytext; extra == "lessons"'):
        recorded["Requires-Dist"] = needed
    monkeypatch.setattr(export, "checkout", lambda: None)
    monkeypatch.setattr(export.metadata, "metadata", lambda name: recorded)


def test_an_installed_package_is_exported_with_what_pip_recorded(without_checkout):
    tomllib = pytest.importorskip("tomllib", reason="Python 3.10 has no reader for TOML")
    project = tomllib.loads(export.package_files()["pyproject.toml"].decode())["project"]
    assert project == {
        "name": "minibert", "version": "7.8", "requires-python": ">=3.10",
        "dependencies": ["torch", 'numpy>=1.26; python_version >= "3.9"'],
    }  # fmt: skip


def test_what_minilm_needs_to_guess_words_is_exported_too():
    weights = MADE["minilm-l6-mlm"].delta
    if not weights.exists():
        pytest.skip(f"{weights} is not there")
    assert export.package_files()["minibert/weights/minilm-l6-mlm.safetensors"] == weights.read_bytes()


def test_a_package_that_nobody_installed_is_one_sentence(monkeypatch):
    monkeypatch.setattr(export, "checkout", lambda: None)
    monkeypatch.setattr(export.metadata, "metadata", Mock(side_effect=export.metadata.PackageNotFoundError("minibert")))
    with pytest.raises(MinibertError, match="install it with pip"):
        export.package_files()


def test_files_that_pyproject_names_are_exported_with_it(tmp_path, monkeypatch):
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "minibert"\nreadme = "README.md"\n')
    (tmp_path / "README.md").write_text("about it")
    (tmp_path / "notes.txt").write_text("not named")
    monkeypatch.setattr(export, "checkout", lambda: tmp_path)
    outside = {path for path in export.package_files() if not path.startswith("minibert/")}
    assert outside == {"pyproject.toml", "README.md"}


@pytest.mark.slow
@pytest.mark.parametrize("source", ["checkout", "installed"])
def test_the_exported_package_can_be_installed(source, tmp_path, request):
    """With the data files in it, and without the checkout."""
    pytest.importorskip("setuptools", reason="it is built here, without a network")
    if source == "installed":
        request.getfixturevalue("without_checkout")
    for path, content in export.package_files().items():
        (tmp_path / "package" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "package" / path).write_bytes(content)
    where = tmp_path / "installed"
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*install, "--target", str(where), str(tmp_path / "package")], check=True)
    found = {path.relative_to(where).as_posix() for path in export.files_under(where / "minibert")}
    library = Path(export.__file__).parents[1]
    assert {f"minibert/{path.relative_to(library).as_posix()}" for path in export.files_under(library)} <= found
    answer = "import minibert; print(minibert.__file__, sorted(minibert.PRESETS)[0])"
    said = subprocess.run([sys.executable, "-c", answer], cwd=where, check=True, capture_output=True, text=True).stdout
    assert said.startswith(str(where))


def test_an_unknown_exercise_or_folder_is_one_sentence(tmp_path, capsys):
    assert main(["export", "student", "--exercises", "atention"]) == 2
    assert "did you mean attention" in capsys.readouterr().err
    (tmp_path / "file").write_text("")
    assert main(["export", "student", "--exercises", "attention", "--out", str(tmp_path / "file" / "x")]) == 2
    assert "cannot be written" in capsys.readouterr().err
