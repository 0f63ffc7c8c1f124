"""Reading what was handed in: what is marked is what was handed in, and what is not read is said."""

from __future__ import annotations

import codecs
import io
import json
import os
import re
import stat
import time
import zipfile
from pathlib import Path

import pytest

from minibert.classroom.submissions import handed_in
from minibert.errors import MinibertError
from minibert.exercises import submissions
from minibert.exercises.submissions import Submission, Unreadable, parse, read


def notebook(*cells: object) -> bytes:
    listed = [
        cell if not isinstance(cell, str) else {"cell_type": "code", "source": cell.splitlines(True)} for cell in cells
    ]
    return json.dumps({"cells": listed}).encode()


def of_cells(*cells: object) -> Submission:
    return parse("a.ipynb", notebook(*cells))[0]


def of_code(source: str | bytes) -> Submission:
    return parse("a.py", source if isinstance(source, bytes) else source.encode())[0]


def space_of(found: Submission) -> dict:
    """What is defined after the statements were run one after another."""
    space: dict = {}
    for source, _ in found.statements:
        exec(source, space)
    return space


# ------------------------------------------------------------------------------------- IPython's dialect


def test_a_line_that_begins_with_a_percent_sign_inside_brackets_is_an_operator():
    assert space_of(of_cells("def f(a, b):\n    return (a\n        % b\n    )\n"))["f"](7, 4) == 3


@pytest.mark.parametrize("line", ["% keep", "!ls", "?what", "%%time", "  !x", "get_ipython()"])
def test_lines_of_a_string_are_kept(line):
    found = of_cells(f'T = """\n{line}\n"""\n')
    assert space_of(found)["T"] == f"\n{line}\n"
    assert found.problems == []


@pytest.mark.parametrize("magic", ["time", "timeit", "capture out", "prun -s cumulative", "time  "])
def test_a_cell_magic_that_runs_the_cell_keeps_its_definitions(magic):
    found = of_cells(f"%%{magic}\ndef attention(q):\n    return q\n")
    assert found.names == {"attention"}
    assert found.statements == [("def attention(q):\n    return q", 2)]
    assert found.problems == []


def test_cell_magics_can_be_nested_and_stand_below_empty_lines_and_above_line_magics():
    found = of_cells("\n\n%%time\n%%capture\n%matplotlib inline\nX = 3\n")
    assert space_of(found)["X"] == 3
    assert "%matplotlib inline" in found.problems[0]


@pytest.mark.parametrize("magic", ["bash", "html", "writefile x.py", "script python", "javascript", ""])
def test_a_cell_for_something_else_is_left_out_and_said(magic):
    found = of_cells("X = 1", f"%%{magic}\ndef attention(q):\n    return q\n")
    assert found.names == {"X"}
    assert "cell 2" in found.problems[0]
    assert "left out" in found.problems[0]


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("files = !ls", "files = !ls"),
        ("!pip install torch", "!pip install torch"),
        ("gelu?", "gelu?"),
        ("?gelu", "?gelu"),
        ("gelu??", "gelu??"),
        ("%matplotlib inline", "%matplotlib inline"),
        ("x = %timeit -o gelu(1)", "x = %timeit -o gelu(1)"),
        ("!!ls", "!!ls"),
        ("%load_ext autoreload\n%autoreload 2", "%load_ext autoreload"),
    ],
)
def test_commands_to_ipython_are_left_out_and_the_rest_of_the_cell_is_kept(line, shown):
    found = of_cells(f"def gelu(x):\n    return x\n{line}\ndef other(x):\n    return x\n")
    assert found.names == {"gelu", "other"}
    assert shown in found.problems[0]
    assert found.problems[0].startswith("cell 1, line 3: left out")


def test_what_a_line_is_timed_with_is_run():
    found = of_cells("%time X = 3\n")
    assert found.names == {"X"}
    assert space_of(found)["X"] == 3


def test_commands_in_a_function_do_nothing_and_the_function_is_kept():
    found = of_cells("def gelu(x):\n    !ls\n    return x\n")
    assert found.names == {"gelu"}
    assert "do nothing" in found.problems[0]


def test_prompts_that_were_copied_and_indented_cells_are_read():
    assert of_cells(">>> def gelu(x):\n...     return x\n").names == {"gelu"}
    assert of_cells("    X = 1\n    Y = 2\n").names == {"X", "Y"}


def test_a_script_with_commands_to_ipython_is_read_too():
    found = of_code("!pip install torch\ndef gelu(x):\n    return x\n")
    assert found.names == {"gelu"}
    assert "!pip" in found.problems[0]


# ------------------------------------------------------------------------------------------- statements


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("try:\n    import torch\nexcept ImportError:\n    torch = None\n", {"torch"}),
        ("if True:\n    def gelu(x):\n        return x\n", {"gelu"}),
        ("H = 8\nH /= 2\n", {"H"}),
        ("for i in range(3):\n    X = i\n", {"i", "X"}),
        ("H: int = 12\n", {"H"}),
        ("a, (b, *c) = 1, (2, 3)\n", {"a", "b", "c"}),
        ("from torch.nn.functional import gelu\n", {"gelu"}),
        ("with open('/dev/null') as f:\n    pass\n", {"f"}),
        ("print(n := 3)\n", {"n"}),
        ("import torch.nn as nn, os.path\n", {"nn", "os"}),
        (
            "match 3:\n    case {'a': y, **rest}: pass\n    case [x, *_]: pass\n    case z: pass\n",
            {"x", "y", "z", "rest"},
        ),
        ("class A:\n    inner = 1\n", {"A"}),
        ("async def later(): pass\n", {"later"}),
        ("f = lambda x: (y for y in x)\n", {"f"}),
    ],
)
def test_every_statement_is_kept_with_the_names_it_defines(source, names):
    found = of_code(source)
    assert found.names == names
    assert "\n".join(text for text, _ in found.statements) == source.rstrip("\n")


def test_statements_on_one_line_are_run_once():
    found = of_code("a = []; a.append(1); b = 2\nif a: a.append(2)\n")
    assert len(found.statements) == 2
    assert space_of(found)["a"] == [1, 2]


def test_decorators_and_lines_are_kept():
    found = of_cells("X = 1", "import functools\n\n@functools.cache\ndef f(): pass")
    assert found.statements[-1] == ("@functools.cache\ndef f(): pass", 4)
    assert found.place(5) == "cell 2, line 4"


def test_one_broken_cell_does_not_cost_the_others():
    found = of_cells("def broken(:", "def gelu(x):\n    return x", "\x00", "x = '\ud800'")
    assert found.names == {"gelu"}
    assert [problem.split(",")[0] for problem in found.problems] == ["cell 1", "cell 3", "cell 4"]
    assert found.broken


def test_cells_that_are_no_code_are_said_if_they_look_like_an_answer():
    raw = {"cell_type": "raw", "source": "def gelu(x): pass"}
    text = {"cell_type": "markdown", "source": ["def gelu(x):\n", "    return x"]}
    plain = {"cell_type": "markdown", "source": "# How it works"}
    odd = {"cell_type": "code", "source": 7}
    found = of_cells(plain, raw, text, odd, 5, "X = 1")
    assert found.names == {"X"}
    assert len(found.problems) == 4


def test_a_notebook_of_the_old_format_is_read():
    old = {"worksheets": [{"cells": [{"cell_type": "code", "input": ["X = 1\n"]}]}]}
    assert parse("a.ipynb", json.dumps(old).encode())[0].names == {"X"}


# -------------------------------------------------------------------------------------------- encodings

SCHOEN = "def gelu(x):\n    'schön'\n    return x\nNAME = 'schön'\n"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (SCHOEN.encode(), ""),
        (codecs.BOM_UTF8 + SCHOEN.encode(), ""),
        (f"# -*- coding: latin-1 -*-\n{SCHOEN}".encode("latin-1"), ""),
        (f"#!/usr/bin/python\n# vim: set fileencoding=cp1252 :\n{SCHOEN}".encode("cp1252"), ""),
        (SCHOEN.encode("latin-1"), "Windows-1252"),
        (SCHOEN.encode("utf-16"), "UTF-16"),
        (codecs.BOM_UTF16_BE + SCHOEN.encode("utf-16-be"), "UTF-16"),
        (SCHOEN.encode("utf-32"), "UTF-32"),
        (f"# coding: klingon\n{SCHOEN}".encode("latin-1"), "klingon"),
        (f"# coding: rot13\n{SCHOEN}".encode("latin-1"), "Windows-1252"),
        (codecs.BOM_UTF8 + f"# coding: latin-1\n{SCHOEN}".encode("latin-1"), "Windows-1252"),
        (SCHOEN.replace("\n", "\r").encode(), ""),
        (SCHOEN.replace("\n", "\r\n").encode(), ""),
        (f"# coding: latin-1\r{SCHOEN}".replace("\n", "\r").encode("latin-1"), ""),
    ],
)
def test_a_file_is_decoded_as_python_does_and_otherwise_as_well_as_can_be(content, said):
    found = of_code(content)
    assert space_of(found)["NAME"] == "schön"
    assert (said in found.problems[0]) if said else (found.problems == [])


def test_a_notebook_may_begin_with_a_byte_order_mark_or_be_called_py():
    assert parse("a.ipynb", codecs.BOM_UTF8 + notebook("X = 1"))[0].names == {"X"}
    found = parse("a.py", notebook("X = 1"))[0]
    assert found.names == {"X"}
    assert "read as a notebook" in found.problems[0]


# ------------------------------------------------------------------------------------------ kinds of files


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.py", "python"), ("A.PY", "python"), ("a.py.txt", "python"), ("a.pyw", "python"), ("a.IPYNB", "notebook"),
        ("a.ipynb.txt", "notebook"), ("a.ipynb.json", "notebook"), ("a.Zip", "zip"), ("a.txt", None), ("a.pdf", None),
        ("py", None), ("a.pyc", None), ("a.rar", None), ("a.docx", None),
    ],
)  # fmt: skip
def test_the_ending_of_a_name_says_how_it_is_read(name, kind):
    assert submissions.kind_of(name) == kind


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.ipynb", b"{", "cannot be read as a notebook"),
        ("a.ipynb", b"[1]", "cannot be read as a notebook"),
        ("a.ipynb", b'{"cells": {"a": 1}}', "cannot be read as a notebook"),
        ("a.ipynb", b"[" * 100_000, "cannot be read as a notebook"),
        ("a.pdf", b"%PDF-1.4", "is not read"),
        ("a.zip", b"PK", "cannot be read as a zip"),
        ("a.zip", b"", "cannot be read as a zip"),
        ("a.py", b"a=1\n" * 300_000, "characters of code"),
        ("a.py", b"a=1\n" * 20_001, "statements"),
        ("a.ipynb", notebook("a=1\n" * 300_000), "characters of code"),
    ],
)
def test_what_cannot_be_read_is_one_sentence(name, content, said, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(MinibertError, match=said):
        read(tmp_path / name)


@pytest.mark.parametrize("content", [b"", b"\n\n", b"# only a comment\n", b"pass"])
def test_a_file_with_nothing_in_it_defines_nothing(content):
    assert of_code(content).names == set()


@pytest.mark.parametrize(
    "content",
    [
        b"x = " + b"(" * 5000 + b")" * 5000, b"x = " + b"-" * 100_000 + b"1", b"\xff\xfe\x00", b"x = \x00",
        b"x = 1" + b"0" * 9000, b"a" * 900_000, b"x=" + b"a." * 100_000 + b"a",
        b"if 1:\n" + b"".join(b" " * n + b"if 1:\n" for n in range(1, 200)),
    ],
)  # fmt: skip
def test_code_that_is_hard_to_read_is_a_problem_and_takes_no_time(content):
    began = time.process_time()
    found = of_code(content)
    assert found.problems or found.statements
    assert time.process_time() - began < 5


def test_pictures_in_a_notebook_are_not_code():
    cell = {"cell_type": "code", "source": "X = 1", "outputs": [{"data": {"image/png": "A" * 9_000_000}}]}
    assert of_cells(cell).names == {"X"}


# ------------------------------------------------------------------------------------------------ archives


def zipped(**members: str | bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name.replace("__", "/"), content)
    return packed.getvalue()


def test_a_zip_is_read_with_all_that_is_in_it():
    content = zipped(**{"hw__a.py": "X = 1", "hw__b.ipynb": notebook("Y = 2"), "hw__notes.pdf": "%PDF", "in.zip": "PK"})
    found = parse("a.zip", content)
    assert [one.names for one in found] == [{"X"}, {"Y"}]
    assert found[0].problems == ["hw/notes.pdf in the zip is not read", "in.zip in the zip is not read"]


def test_what_systems_put_into_zips_is_ignored():
    content = zipped(**{"a.py": "X = 1"})
    packed = io.BytesIO(content)
    with zipfile.ZipFile(packed, "a") as archive:
        archive.writestr("__MACOSX/._a.py", b"\x00")
        archive.writestr(".ipynb_checkpoints/a.py", "Y = 1")
    (found,) = parse("a.zip", packed.getvalue())
    assert found.problems == []


def test_nothing_of_a_zip_lands_on_the_disk(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("../../etc/a.py", "X = 1")
        archive.writestr("/abs/b.py", "Y = 1")
    assert [one.names for one in parse("a.zip", packed.getvalue())] == [{"X"}, {"Y"}]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["a.py", "a.ipynb"])
def test_a_zip_bomb_is_refused_quickly(name, monkeypatch):
    monkeypatch.setattr(submissions, "LARGEST_FILE", 2**20)
    began = time.process_time()
    with pytest.raises(Unreadable, match="unpacks to more than"):
        parse("a.zip", zipped(**{name: b"#" * 50 * 2**20}))
    assert time.process_time() - began < 5


def test_a_zip_with_very_many_files_is_refused():
    with pytest.raises(Unreadable, match="3000 files"):
        parse("a.zip", zipped(**{f"{n}.py": "" for n in range(3000)}))


def test_links_and_encrypted_files_in_a_zip_are_said():
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        link = zipfile.ZipInfo("link.py")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
        archive.writestr("secret.py", "X = 1")
        archive.writestr("good.py", "Y = 1")
    content = bytearray(packed.getvalue())
    at = [found.start() for found in re.finditer(b"secret.py", content)]
    for offset, start in ((24, at[0]), (38, at[-1])):  # the flags, in both places where they stand
        content[start - offset] |= 1
    (found,) = parse("a.zip", bytes(content))
    assert found.names == {"Y"}
    assert "link" in found.problems[0]
    assert "encrypted" in found.problems[1]


def test_a_damaged_member_costs_itself_only():
    content = zipped(**{"a.py": "X = 1\n" * 100, "b.py": "Y = 1"})
    at = content.index(b"a.py") + 4
    broken = content[:at] + b"\xff\xff\xff" + content[at + 3 :]
    (found,) = parse("a.zip", broken)
    assert found.names == {"Y"}
    assert "a.py in the zip cannot be read" in found.problems[0]


# ----------------------------------------------------------------------------------------- equal submissions

ONE = "def gelu(x):\n    '''doc'''\n    y = x * 2  # note\n    return y\n"


@pytest.mark.parametrize(
    "other",
    [
        "# copied\n\n\ndef gelu(x):\n    y = x*2\n\n    return y\n",
        "def gelu(z: float) -> float:\n    half = z * 2\n    return half\n",
        "import math\nprint(1)\ndef gelu(x):\n    y = (x * 2)\n    return y\n",
    ],
)
def test_a_copy_with_other_names_and_comments_is_equal(other):
    assert of_code(ONE).twin == of_code(other).twin != ""


@pytest.mark.parametrize("other", ["def gelu(x):\n    y = x * 3\n    return y\n", "def gelu(x):\n    return x * 2\n"])
def test_other_code_is_not_equal(other):
    assert of_code(ONE).twin != of_code(other).twin


def test_stubs_are_not_equal_submissions():
    assert of_code("def gelu(x):\n    raise NotImplementedError()\n").twin == ""


def test_the_order_of_functions_does_not_matter():
    a, b = "def f(x):\n    return x\n", "def g(x):\n    return x + 1\n"
    assert of_code(a + b).twin == of_code(b + a).twin


# ----------------------------------------------------------------------------------------- the class's folder


def put(folder: Path, **files: str) -> None:
    for name, content in files.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)


def test_everybody_gets_a_row(tmp_path):
    put(tmp_path, **{"anna__a.py": "", "bert__hand-in.zip": "PK", "carl__A.PY": "", "dora__a.py.txt": "",
                     "fay__essay.pdf": "", "gus__x__a.ipynb": "", "hal__.a.py": "", "top.py": "",
                     "top.docx": ""})  # fmt: skip
    (tmp_path / "emil").mkdir()
    rows = {one.label: one.unread for one in handed_in(tmp_path)}
    read_ones = {"anna/a.py", "bert/hand-in.zip", "carl/A.PY", "dora/a.py.txt", "gus/x/a.ipynb", "top.py"}
    assert {label for label, unread in rows.items() if not unread} == read_ones
    assert {label for label, unread in rows.items() if unread} == {"emil", "fay/essay.pdf", "hal/.a.py", "top.docx"}


def test_what_lies_next_to_an_answer_is_listed_with_it(tmp_path):
    put(
        tmp_path,
        **{"anna__a.py": "", "anna__notes.pdf": "", "anna__.ipynb_checkpoints__a.py": "", "anna__.DS_Store": ""},
    )
    (found,) = handed_in(tmp_path)
    assert found.also == ["notes.pdf: it is not read: only .py files, notebooks (.ipynb) and zips of them are"]


def test_links_are_not_followed_and_said(tmp_path):
    put(tmp_path, **{"anna__a.py": "X = 1"})
    (tmp_path / "bert").mkdir()
    (tmp_path / "bert" / "a.py").symlink_to(tmp_path / "anna" / "a.py")
    (tmp_path / "carl").symlink_to(tmp_path / "anna")
    (tmp_path / "dora.py").symlink_to("/etc/passwd")
    (tmp_path / "anna" / "more.py").symlink_to("a.py")
    rows = {one.label: one.unread for one in handed_in(tmp_path)}
    assert rows.pop("anna/a.py") == ""
    assert set(rows) == {"anna/more.py", "bert/a.py", "carl", "dora.py"}
    assert all("links are not followed" in unread for unread in rows.values())
    with pytest.raises(Unreadable):
        submissions.content_of(tmp_path / "dora.py", follow=False)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes")
def test_a_pipe_does_not_make_the_grader_wait(tmp_path):
    os.mkfifo(tmp_path / "a.py")
    (found,) = handed_in(tmp_path)
    assert "no file with content" in found.unread
    with pytest.raises(Unreadable, match="no file with content"):
        submissions.content_of(tmp_path / "a.py", follow=False)


def test_the_folder_of_the_results_is_left_out(tmp_path):
    put(tmp_path, **{"a.py": "", "results__a.py.results.json": "", "results__old.py": ""})
    assert [one.label for one in handed_in(tmp_path, tmp_path / "results")] == ["a.py"]
    with pytest.raises(MinibertError, match="choose another --out"):
        handed_in(tmp_path, tmp_path)


def test_dotted_folders_above_the_class_do_not_matter(tmp_path, monkeypatch):
    put(tmp_path / ".courses" / "class", **{"a.py": ""})
    assert [one.label for one in handed_in(tmp_path / ".courses" / "class")] == ["a.py"]
    monkeypatch.chdir(tmp_path / ".courses")
    assert [one.label for one in handed_in("class")] == ["a.py"]
    assert [one.label for one in handed_in("../.courses/class/")] == ["a.py"]
