"""What is somebody else's is never written over: by no command that writes where its reader says."""

from __future__ import annotations

import os

import matplotlib.pyplot as plt
import nbformat
import pytest
from nbformat.v4 import new_markdown_cell, new_notebook

from minibert import files, plots
from minibert.classroom import grading
from minibert.cli import tour
from minibert.cli.main import main
from minibert.errors import MinibertError
from minibert.files import GENERATOR, refuse_foreign, write_file
from minibert.lessons import explorer
from minibert.lessons.lesson import Lesson
from minibert.lessons.site import render

PRECIOUS = "precious"
ANSWER = "def gelu(x):\n    return x\n"


def refused(arguments, path, capsys, option="--out"):
    """The command is refused in one sentence that names the file and the option, and the file stays as it is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(PRECIOUS)
    before = sorted(path.parent.rglob("*"))
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert f"{path} is there already" in err
    assert option in err
    assert len(err.splitlines()) == 1
    assert path.read_text() == PRECIOUS
    assert sorted(path.parent.rglob("*")) == before  # nothing was written next to it
    assert main(arguments) == 2  # nor the second time, whatever the first has left
    assert path.read_text() == PRECIOUS
    capsys.readouterr()


def test_a_file_is_replaced_if_it_is_ours_or_empty(tmp_path):
    path = tmp_path / "file"
    refuse_foreign(path)  # nothing is there
    for ours in ("", f"<html>\n{GENERATOR}", "minibertIndex([]);"):
        path.write_text(ours)
        refuse_foreign(path)
    for foreign in ("text", f"{'long ' * 500}{GENERATOR}{' and more' * 500}"):  # a text that quotes the mark
        path.write_text(foreign)
        with pytest.raises(MinibertError, match="something else in it: choose another --page"):
            refuse_foreign(path, "--page")
    refuse_foreign(path, made=foreign.encode().__eq__)


def test_all_files_are_looked_at_before_the_first_is_written(tmp_path):
    (tmp_path / "b").write_text(PRECIOUS)
    with pytest.raises(MinibertError, match="b is there already"):
        refuse_foreign(tmp_path / name for name in "abc")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no such files")
def test_a_device_stays_a_device(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(MinibertError, match="not an ordinary file"):
        write_file(tmp_path / "pipe", "text")
    assert (tmp_path / "pipe").is_fifo()
    assert len(list(tmp_path.iterdir())) == 1


def test_the_explorer(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(explorer, "explore", lambda *_, **__: pytest.fail("it works before it has looked"))
    refused(["explore", "hi", "--out", str(tmp_path / "thesis.tex")], tmp_path / "thesis.tex", capsys)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "attention.html").write_text(PRECIOUS)  # where it writes without --out
    assert main(["explore", "hi"]) == 2
    assert (tmp_path / "attention.html").read_text() == PRECIOUS


def test_a_page_that_is_saved_from_a_notebook(tmp_path):
    shown = explorer.Explorer("title", "<html>\n<head>\n</head>\n</html>", 100)
    shown.save(tmp_path / "page.html")
    shown.save(tmp_path / "page.html")  # its own may be written again
    (tmp_path / "page.html").write_text(PRECIOUS)
    with pytest.raises(MinibertError, match="is there already"):
        shown.save(tmp_path / "page.html")


@pytest.mark.parametrize("name", ["index.html", "search.js", "01_one.html"])
def test_the_site(name, tmp_path):
    lesson = Lesson(tmp_path / "lessons" / "source" / "01_one.py")
    write_file(lesson.source, "# %% [markdown]\n# # One\n#\n# > Why?\n")
    nbformat.write(new_notebook(cells=[new_markdown_cell("# One\n\n> Why?")]), lesson.notebook)
    out = tmp_path / "own"
    render([lesson], out)
    render([lesson], out)
    for path in out.iterdir():
        path.unlink()
    (out / name).write_text(PRECIOUS)
    with pytest.raises(MinibertError, match=f"{name} is there already"):
        render([lesson], out)
    assert [path.read_text() for path in out.iterdir()] == [PRECIOUS]


@pytest.mark.parametrize("kind", ["solution", "nbgrader"])
def test_exported_notebooks_with_answers_in_them(kind, tmp_path, capsys):
    arguments = ["export", kind, "--out", str(tmp_path), "--exercises", "gelu", "attention"]
    assert main(arguments) == main(arguments) == 0  # the same again
    capsys.readouterr()
    names = sorted(path.name for path in tmp_path.iterdir())
    assert len(names) == 2
    for path in tmp_path.iterdir():
        path.unlink()
    refused(arguments, tmp_path / names[-1], capsys)


def test_the_autograder(tmp_path, capsys):
    arguments = ["export", "gradescope", "--out", str(tmp_path / "here"), "--exercises", "gelu"]
    refused(arguments, tmp_path / "here" / "autograder.zip", capsys)
    (tmp_path / "here" / "autograder.zip").unlink()
    assert main(arguments) == main(arguments) == 0  # another seed in it, and the same file


@pytest.mark.parametrize("name", ["grades.csv", "report.md", "ann.py.results.json"])
def test_the_marks_of_a_class(name, tmp_path, monkeypatch, capsys):
    write_file(tmp_path / "class" / "ann.py", ANSWER)
    monkeypatch.setattr(grading, "marked_by", lambda *_: pytest.fail("it works before it has looked"))
    out = tmp_path / "results"
    refused(["grade", str(tmp_path / "class"), "--out", str(out), "--exercises", "gelu"], out / name, capsys)


def test_the_results_for_gradescope(tmp_path, capsys):
    write_file(tmp_path / "class" / "ann.py", ANSWER)
    for text in (PRECIOUS, '{"name": "my-app", "version": "1.0"}', "[1]"):
        path = write_file(tmp_path / "package.json", text)
        assert main(["grade", str(tmp_path / "class"), "--gradescope", str(path), "--exercises", "gelu"]) == 2
        assert "is there already" in capsys.readouterr().err
        assert path.read_text() == text


@pytest.mark.parametrize("name", tour.PICTURES)
def test_the_pictures_of_the_tour(name, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(tour, "show_sizes", lambda *_: pytest.fail("it works before it has looked"))
    refused(["--figures", str(tmp_path)], tmp_path / name, capsys, "--figures")
    path = plots.save(plt.figure(), tmp_path / name)
    refuse_foreign(path)  # a picture of this package
    plt.savefig(path)
    with pytest.raises(MinibertError, match="is there already"):
        refuse_foreign(path)


def test_the_pictures_of_the_checkout_may_be_drawn_again():
    folder = files.Path(__file__).parents[1] / "figures"
    refuse_foreign(folder.glob("*.png"))
