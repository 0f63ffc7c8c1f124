"""Writing in full or not at all, and reading with a clear word when it fails."""

from __future__ import annotations

import ast
import os
import re
import stat
import time
from pathlib import Path

import pytest

from minibert import files
from minibert.errors import MinibertError
from minibert.files import read_json, read_text, write_file, write_files, write_json


def test_a_file_is_written_with_the_folders_above_it(tmp_path):
    path = write_file(tmp_path / "a" / "b" / "text.txt", "naïve\r\n")
    assert path.read_bytes() == "naïve\r\n".encode()
    assert [each.name for each in path.parent.iterdir()] == ["text.txt"]


def test_bytes_and_functions_are_written_too(tmp_path):
    write_files(tmp_path, {"bytes": b"\x00\xff", "function": lambda path: path.write_text("made")})
    assert (tmp_path / "bytes").read_bytes() == b"\x00\xff"
    assert (tmp_path / "function").read_text() == "made"


@pytest.mark.skipif(os.name == "nt", reason="Windows has other permissions")
def test_others_may_read_what_a_function_wrote_as_they_may_read_a_text(tmp_path):
    def private(path):  # as the writer of safetensors does it
        path.unlink(missing_ok=True)
        path.touch(0o600)

    write_files(tmp_path, {"text": "plain", "function": private})
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("text", "function")]
    assert modes[0] == modes[1] != 0o600


def broken(path):
    path.write_text("half of")
    raise RuntimeError("the disk is full\nand this is a second line")


def test_when_one_of_several_cannot_be_written_none_is_replaced(tmp_path):
    (tmp_path / "first").write_text("old")
    with pytest.raises(MinibertError, match=r"second cannot be written \(the disk is full\): check the folder"):
        write_files(tmp_path, {"first": "new", "second": broken})
    assert (tmp_path / "first").read_text() == "old"
    assert [each.name for each in tmp_path.iterdir()] == ["first"]


def test_a_folder_made_for_nothing_goes_again(tmp_path):
    with pytest.raises(MinibertError):
        write_file(tmp_path / "new" / "file", broken)
    assert not (tmp_path / "new").exists()


def test_text_that_utf8_cannot_hold_is_one_sentence(tmp_path):
    with pytest.raises(MinibertError, match="cannot be written"):
        write_file(tmp_path / "file", "a lone surrogate: \ud800")
    assert not list(tmp_path.iterdir())


def test_a_file_keeps_its_permissions_and_a_link_stays_a_link(tmp_path):
    kept = tmp_path / "kept"
    kept.write_text("old")
    kept.chmod(0o640)
    link = tmp_path / "link"
    link.symlink_to(kept)
    write_file(link, "new")
    assert link.is_symlink()
    assert kept.read_text() == "new"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o640


def test_what_a_killed_process_left_is_removed_once_it_is_old(tmp_path):
    old, young = tmp_path / ".state.1-a.writing", tmp_path / ".state.2-b.writing"
    old.write_text("half")
    young.write_text("half")  # perhaps another process is writing it now
    os.utime(old, (time.time() - 2 * files.ABANDONED,) * 2)
    write_file(tmp_path / "state", "whole")
    assert {each.name for each in tmp_path.iterdir()} == {"state", young.name}


@pytest.mark.parametrize("name", ["x" * 255, "é" * 127, "brackets [1] and *.txt", ".hidden"])
def test_long_and_odd_names_are_written_too(tmp_path, name):
    path = write_file(tmp_path / name, "whole")
    write_file(path, "again")
    assert path.read_text() == "again"
    assert [each.name for each in tmp_path.iterdir()] == [name]


def test_text_is_read_without_a_byte_order_mark_and_with_its_line_ends(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"\xef\xbb\xbfone\r\ntwo")
    assert read_text(path) == "one\r\ntwo"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot be read .*No such file"),
        (b"good\nbad \xff", r"not UTF-8 text: the byte 0xff at position 9 \(line 2\)"),
    ],
)
def test_text_that_cannot_be_read_is_one_sentence(tmp_path, content, said):
    path = tmp_path / "a.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(MinibertError, match=said):
        read_text(path)


def test_json_comes_back_as_it_went(tmp_path):
    content = {"name": "naïve", "numbers": [1, 2.5, None]}
    assert read_json(write_json(tmp_path / "a.json", content)) == content


@pytest.mark.parametrize(("content", "said"), [("", "as JSON"), ("{", "as JSON"), ("[1]", "holds a list")])
def test_json_that_is_no_object_is_one_sentence(tmp_path, content, said):
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(MinibertError, match=said):
        read_json(tmp_path / "a.json")


# Modules that write in another way, and why: files.py is that way; assets.py unpacks into a folder that it then
# renames; the others open a lock, which stays empty.
OTHER_WAYS = {"files.py", "assets.py", "experiments/grid.py", "classroom/grading.py"}
WRITING = {"write_text", "write_bytes", "copy", "copy2", "copyfile", "copytree", "move"}


def writes(text: str) -> list[int]:
    """The lines of a module that write a file, or open one for writing, by themselves."""
    found = []
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.Call):
            continue
        name, owner = getattr(node.func, "attr", getattr(node.func, "id", "")), getattr(node.func, "value", None)
        of_shutil = getattr(owner, "id", "") == "shutil"
        modes = [
            one.value for one in (*node.args, *(word.value for word in node.keywords)) if isinstance(one, ast.Constant)
        ]
        opens = name == "open" and any(
            isinstance(mode, str) and re.fullmatch("[rwaxbt+]*[wax+][rwaxbt+]*", mode) for mode in modes
        )
        if opens or (name in WRITING and (of_shutil or name.startswith("write_"))):
            found.append(node.lineno)
    return found


def test_everything_that_is_written_goes_through_files():
    package = Path(files.__file__).parent
    found = {
        path.relative_to(package).as_posix(): writes(path.read_text(encoding="utf-8")) for path in package.rglob("*.py")
    }
    assert {name: lines for name, lines in found.items() if lines and name not in OTHER_WAYS} == {}
    assert all(found[name] for name in OTHER_WAYS)


@pytest.mark.parametrize(
    ("line", "is_one"),
    [
        ("path.write_text('a')", True),
        ("shutil.copyfile(a, b)", True),
        ("open(path, 'w')", True),
        ("path.open(mode='ab')", True),
        ("path.open('r+')", True),
        ("path.open()", False),
        ("open(path, 'rb')", False),
        ("folder.copy()", False),
        ("write_file(path, 'w')", False),
    ],
)
def test_a_line_that_writes_by_itself_is_seen(line, is_one):
    assert writes(line) == ([1] if is_one else [])
