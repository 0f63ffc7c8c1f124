"""Marking a whole class: every file gets its row, nobody stops the others, and what is done stays done."""

from __future__ import annotations

import csv
import errno
import importlib.util
import io
import json
import marshal
import os
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest
from big_class import make_class, processor_seconds

from minibert.classroom import box, grading, learner, pool, report
from minibert.classroom.marking import Mark, Marked
from minibert.cli.main import main
from minibert.errors import MinibertError

RIGHT = "import torch\ndef gelu(x):\n    return x * 0.5 * (1 + torch.erf(x / 2 ** 0.5))\n"
WRONG = "import torch\ndef gelu(x):\n    return torch.relu(x)\n"
ROOT = Path(grading.__file__).parents[2]
linux = pytest.mark.skipif(sys.platform != "linux", reason="it needs Linux")


def put(folder: Path, files: dict[str, str | bytes]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def graded(folder: Path, out: Path, **how: object) -> dict[str, dict[str, str]]:
    """The rows of the table, by the submission's name."""
    grading.grade(folder, out, ["gelu", "causal-mask"], with_swap=False, **how)
    return rows_of(out)


def rows_of(out: Path) -> dict[str, dict[str, str]]:
    found = list(csv.DictReader(io.StringIO((out / "grades.csv").read_text(encoding="utf-8"), newline="")))
    return {row["submission"]: row for row in found}


def notebook(*cells: str) -> str:
    return json.dumps({"cells": [{"cell_type": "code", "source": cell, "outputs": []} for cell in cells]})


def zipped(**members: str) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.py", content)
    return packed.getvalue()


# ----------------------------------------------------------------------------------------------- one class

STRANGE = {
    "right.py": RIGHT,
    "wrong.py": WRONG,
    "magics.ipynb": notebook("%%time\n" + RIGHT, "%matplotlib inline\nfiles = !ls", "gelu?"),
    "latin.py": ("# -*- coding: latin-1 -*-\n# schön\n" + RIGHT).encode("latin-1"),
    "utf16.py": RIGHT.encode("utf-16"),
    "cr.py": RIGHT.replace("\n", "\r"),
    "capital/A.PY": RIGHT,
    "text/a.py.txt": RIGHT,
    "zip/hand-in.zip": zipped(a=RIGHT, b="x = 1"),
    "two.zip": zipped(a=WRONG, b=RIGHT),
    "import.py": "from torch.nn.functional import gelu\n",
    "branch.py": "try:\n    import torch\nexcept ImportError:\n    pass\nif True:\n    def gelu(x):\n        return "
    "x * 0.5 * (1 + torch.erf(x / 2 ** 0.5))\n",
    "changed.py": "import torch\nH = 1\nH /= 2\na: float = 2\nb, c = a, 0.5\ndef gelu(x):\n    return x * H * (1 + "
    "torch.erf(x / b ** c))\n",
    "endless.ipynb": notebook("while True: pass", RIGHT),
    "future.py": "from __future__ import annotations\n" + RIGHT.replace("(x)", "(x: Nowhere) -> Nothing", 1),
    "pictures.ipynb": json.dumps(
        {"cells": [{"cell_type": "code", "source": RIGHT, "outputs": [{"data": {"image/png": "A" * 6_500_000}}]}]}
    ),
    "checked.ipynb": notebook("import minibert", RIGHT, "minibert.check('gelu', gelu).hint()", "minibert.progress()"),
    "essay/essay.pdf": "%PDF-1.4",
    "notes.docx": "PK",
    "nothing.zip": "PK",
    "empty.py": "",
    "large.py": "a=1\n" * 1_250_000,
    "broken.py": "def gelu(x:\n",
    "failing.py": "1 / 0\n" + RIGHT,
    "huge-integer.py": "def gelu(x):\n    return 10 ** 400\n",
    "message.py": "def gelu(x):\n    raise ValueError('x' * 60_000_000)\n",
    "half.py": "def gelu(x):\n    raise ValueError('\\ud800')\n",
    "page.py": "def gelu(x):\n    raise ValueError('<img src=x onerror=alert(1)> [here](http://evil.org) \\x1b[31m')\n",
    "=cmd|' /C calc'!A0.py": RIGHT,
    "\t=tab.py": RIGHT,
    "\r=cr.py": RIGHT,
    "@sum.py": RIGHT,
    "<script>alert(1)</script>.py": RIGHT,
    "[click](http:evil).py": RIGHT,
    "\x1b[31mred.py": RIGHT,
    f"{'n' * 236}.py": RIGHT,
    f"{'ö' * 118}.py": RIGHT,
    "grades.csv/a.py": RIGHT,
    "report.md/a.py": RIGHT,
    ".hidden.py": RIGHT,
}  # fmt: skip
FULL = {name for name in STRANGE if name not in {
    "wrong.py", "essay/essay.pdf", "notes.docx", "nothing.zip", "empty.py", "large.py", "broken.py", "huge-integer.py",
    "message.py", "half.py", "page.py", ".hidden.py",
}}  # fmt: skip


@pytest.fixture(scope="module")
def strange(tmp_path_factory) -> tuple[Path, list[Marked]]:
    """The results of a class with everything in it."""
    root = tmp_path_factory.mktemp(".courses")
    folder = put(root / "class", STRANGE)
    (folder / "emil").mkdir()
    (folder / "link.py").symlink_to(folder / "right.py")
    (folder / "pair").mkdir()
    (folder / "pair" / "all").symlink_to(folder)
    if sys.platform == "linux":
        os.mkfifo(folder / "pipe.py")
        (folder / "pipe.py").chmod(0o666)
        with open(os.fsencode(folder) + b"/latin-\xe9.py", "w") as file:
            file.write(RIGHT)
    marked = grading.grade(folder, root / "out", ["gelu"], jobs=2, seed=5, with_swap=False)
    return root / "out", marked


@pytest.mark.slow
def test_every_file_of_a_strange_class_gets_its_marks(strange):
    _, marked = strange
    score = {one.name: one.score for one in marked}
    assert "notes.docx" not in score  # a loose file that cannot be a submission
    for name in STRANGE.keys() - {"notes.docx"}:
        assert (score[name] == 10) is (name in FULL), (name, next(one for one in marked if one.name == name))
    assert {"emil", "link.py", "pair/all"} <= set(score)
    if sys.platform == "linux":
        assert score["latin-\udce9.py"] == 10
        assert score["pipe.py"] == 0
    assert score["emil"] == score["link.py"] == score["pair/all"] == 0


@pytest.mark.slow
def test_the_table_has_a_row_for_each_and_no_formula(strange):
    out, marked = strange
    text = (out / "grades.csv").read_text(encoding="utf-8")
    rows = list(csv.reader(io.StringIO(text, newline="")))
    assert len(rows) == len(marked) + 1
    assert all(len(row) == 5 for row in rows)
    for row in rows[1:]:
        assert row[0].strip()[0] not in "=+-@"
        assert not set(row[0]) & set("\t\r\n\x1b")
    assert sum(row[4] == "not read" for row in rows) >= 8


@pytest.mark.slow
def test_the_report_says_what_was_not_read_and_obeys_nobody(strange):
    out, marked = strange
    text = (out / "report.md").read_text(encoding="utf-8")
    assert "\x1b" not in text
    assert "<" not in text
    assert "](" not in text
    assert "://" not in text
    assert len(text) < 200_000
    section = text.split("## Not read")[1].split("## Equal")[0]
    for name in ("essay/essay.pdf", "notes.docx", "nothing.zip", "large.py", "broken.py", "failing.py", "emil",
                 "link.py", "pair/all", "magics.ipynb", "endless.ipynb", "utf16.py", "text/a.py.txt", "empty.py",
                 ):  # fmt: skip
        assert f"- {report.in_markdown(name)}:" in section, name
    assert "\n- right.py:" not in section
    assert "\n- notes.docx: it is not read" in section.split("## Ignored")[1]
    assert "links are not followed" in section
    assert "right.py = " in text or " = right.py" in text  # equal submissions
    by_name = {one.name: one for one in marked}
    assert any("ZeroDivisionError" in problem for problem in by_name["failing.py"].problems)
    assert any("files = !ls" in problem for problem in by_name["magics.ipynb"].problems)
    assert any("does not end" in problem and "cell 1" in problem for problem in by_name["endless.ipynb"].problems)


@pytest.mark.slow
def test_each_submission_has_a_results_file_that_can_be_read(strange):
    out, marked = strange
    found = [json.loads(path.read_text()) for path in out.rglob("*.results.json")]
    assert len(found) == len(marked)
    assert sorted(one["score"] for one in found) == sorted(one.score for one in marked)
    assert all(len(json.dumps(one)) < 50_000 for one in found)
    broken = json.loads((out / "broken.py.results.json").read_text())
    assert "SyntaxError" in broken["output"]


@linux
@pytest.mark.slow
def test_a_class_as_it_could_be_is_marked_at_a_speed_of_200_in_ten_minutes(tmp_path):
    """On two cores. It is processor time that is measured, because the clock says more about the machine."""
    make_class(tmp_path / "class", 30, seed=1)
    before = processor_seconds()
    marked = grading.grade(tmp_path / "class", tmp_path / "out", seed=3)
    assert len(marked) == 30
    assert (processor_seconds() - before) / 30 < 2 * 600 / 200


# ------------------------------------------------------------------------------------ modules beside answers

CANARY = "import os\nopen({canary!r}, 'a').write({name!r} + ' ')\n"
PACKAGES = ("torch", "numpy", "einops", "tqdm", "IPython", "safetensors", "nbformat", "matplotlib", "traitlets",
            "sitecustomize", "usercustomize", "conftest", "setup", "answer", "worker", "marker")  # fmt: skip


def compiled(source: str) -> bytes:
    """A module as Python stores it; without its source it is imported all the same."""
    return importlib.util.MAGIC_NUMBER + bytes(12) + marshal.dumps(compile(source, "x", "exec"))


FEW = {"socket", "pickle", "random", "signal", "queue", "subprocess", "torch", "numpy", "sitecustomize", "conftest"}


@pytest.mark.slow
@pytest.mark.parametrize("how", ["minibert", "module", "check", "variable"])
def test_no_module_beside_the_submissions_is_ever_imported(how, tmp_path):
    """Files and packages with the names of all modules of Python's library, and of the packages that are used."""
    folder, canary, out = tmp_path / "subs", tmp_path / "canary", tmp_path / "out"
    names = {*sys.stdlib_module_names, *PACKAGES}
    # "variable": PYTHONPATH names the folder, and what Python imports before any line of minibert cannot be helped.
    names = FEW - {"sitecustomize"} if how == "variable" else names
    code = {name: CANARY.format(canary=str(canary), name=name) for name in names}
    put(folder, {f"{name}.py": code[name] for name in FEW & names} | {"answer_of_ada.py": RIGHT})
    # As packages, in compiled form: so they can be imported, but are no submissions, and the test is quick.
    for name in names - FEW:
        put(folder, {f"{name}/__init__.pyc": compiled(code[name])})
    if how in ("minibert", "check"):  # `python -m` would take it for minibert itself, before any line of ours
        put(folder, {"minibert/__init__.pyc": compiled(code["torch"])})
    places = [str(ROOT), str(folder)] if how == "variable" else [str(ROOT)]
    start = "import sys; sys.argv[0] = 'minibert'; from minibert.cli.main import main; sys.exit(main())"
    program = [sys.executable, "-c", start]  # as the installed command is written
    if sys.version_info >= (3, 11):
        program.insert(1, "-P")  # that command's folder, which comes first, is not the current one
    elif how != "module":
        pytest.skip("this Python cannot start a program as the installed command does")
    command = [sys.executable, "-m", "minibert"] if how == "module" else program
    if how == "check":
        command += ["check", "answer_of_ada.py"]
    else:
        command += ["grade", str(folder) if how == "variable" else ".", "--out", str(out)]
        command += ["--exercises", "gelu", "--no-swap"]
    where = tmp_path if how == "variable" else folder
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(places)}
    run = subprocess.run(command, cwd=where, env=environment, capture_output=True, text=True, timeout=500)
    assert not canary.exists(), canary.read_text()
    assert run.returncode == 0, run.stderr
    if how == "check":
        assert "gelu: passed" in run.stdout
    else:
        assert rows_of(out)["answer_of_ada.py"]["gelu"] == "10"


def test_the_canary_of_that_test_sings(tmp_path):
    """The same files are imported, and write, where nothing prevents it."""
    code = CANARY.format(canary=str(tmp_path / "canary"), name="x")
    put(tmp_path, {"socket/__init__.pyc": compiled(code)})
    subprocess.run([sys.executable, "-c", "import socket"], cwd=tmp_path, check=True)
    assert (tmp_path / "canary").read_text() == "x "


@pytest.mark.slow
def test_a_module_that_python_itself_loaded_is_noticed(tmp_path):
    folder = put(tmp_path / "subs", {"sitecustomize.py": "X = 1", "a.py": RIGHT})
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{folder}"}
    run = subprocess.run([sys.executable, "-m", "minibert", "grade", str(folder), "--out", str(tmp_path / "out")],
                         env=environment, capture_output=True, text=True)  # fmt: skip
    assert run.returncode == 2
    assert "unset PYTHONPATH" in run.stderr


# ------------------------------------------------------------------------------------------ killed, and again


def started(folder: Path, out: Path, *options: str) -> subprocess.Popen[str]:
    command = [
        sys.executable,
        "-m",
        "minibert",
        "grade",
        str(folder),
        "--out",
        str(out),
        "--exercises",
        "gelu",
        "--no-swap",
    ]
    return subprocess.Popen([*command, *options], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def done(out: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in (out / ".marking" / "done").glob("*.json")}


def wait_until(condition, seconds: float = 240.0) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)


def descendants(process: int) -> list[int]:
    """The processes that a process has started, and those that they have."""
    found: list[int] = []
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
            parents[int(path.parent.name)] = (int(fields[1]), fields[0])
        except OSError:
            continue
    waiting = [process]
    while waiting:
        parent = waiting.pop()
        children = [one for one, (its_parent, _) in parents.items() if its_parent == parent]
        found += children
        waiting += children
    return found


def lives(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@linux
@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL, signal.SIGTERM])
def test_what_is_done_is_kept_and_the_same_command_goes_on(how, tmp_path):
    slow = "import time\ntime.sleep(2)\n" + RIGHT  # so that it is still at work when it is stopped, on any machine
    texts = {f"{n}.py": RIGHT if n < 3 else slow for n in range(8)}
    folder, out = put(tmp_path / "subs", texts), tmp_path / "out"
    grader = started(folder, out)
    wait_until(lambda: len(done(out)) >= 2 and (out / "grades.csv").is_file())
    children = descendants(grader.pid)
    assert children
    secret = str(json.loads((out / ".marking" / "run.json").read_text())["seed"]).encode()
    assert not any(secret in Path(f"/proc/{child}/cmdline").read_bytes() for child in children if lives(child))
    grader.send_signal(how)
    grader.communicate(timeout=60)
    assert grader.returncode == {signal.SIGINT: 130}.get(how, -how)
    wait_until(lambda: not any(map(lives, children)), 20)  # no orphans
    before, seed = done(out), json.loads((out / ".marking" / "run.json").read_text())["seed"]
    assert 2 <= len(before) < 8
    assert rows_of(out)
    if how == signal.SIGINT:
        assert len(rows_of(out)) == len(before)
        assert "of 8; the same command marks the others" in (out / "report.md").read_text()
    again = started(folder, out)
    said, errors = again.communicate(timeout=300)
    assert again.returncode == 0, errors
    assert "8 marked, 8 with full marks" in said
    after = done(out)
    assert len(after) == 8
    assert {name: after[name] for name in before} == before  # not marked again
    assert f"seed {seed} " in (out / "report.md").read_text()
    assert not list((out / ".marking").glob("temporary-*"))


@pytest.mark.parametrize("where", ["_write_result", "keep"])
@pytest.mark.parametrize("after", [False, True])
def test_wherever_an_interrupt_comes_the_table_has_what_is_kept(where, after, tmp_path, monkeypatch):
    folder, out = put(tmp_path / "subs", {f"{n}.py": RIGHT for n in range(3)}), tmp_path / "out"
    marks = [Mark("gelu", "passed", 10.0, 10.0, "")]
    monkeypatch.setattr(grading, "marked_by", lambda paths, *_: ((one, Marked(one.name, marks, 0.0)) for one in paths))
    holder = grading._State if where == "keep" else grading
    whole, calls = getattr(holder, where), []

    def interrupted(*given: object) -> None:
        calls.append(given)
        if len(calls) < 2 or after:
            whole(*given)
        if len(calls) == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(holder, where, interrupted)
        with pytest.raises(KeyboardInterrupt):
            grading.grade(folder, out, ["gelu"], with_swap=False)
    assert len(rows_of(out)) == len(done(out)) == (2 if (where, after) == ("keep", True) else 1)
    grading.grade(folder, out, ["gelu"], with_swap=False)
    assert len(rows_of(out)) == len(done(out)) == len(list(out.glob("*.results.json"))) == 3


@pytest.mark.slow
def test_only_what_is_new_or_changed_is_marked_again(tmp_path):
    folder, out = put(tmp_path / "subs", {"a.py": RIGHT, "b.py": WRONG}), tmp_path / "out"
    assert {name: row["gelu status"] for name, row in graded(folder, out).items()} == {
        "a.py": "passed",
        "b.py": "failed",
    }
    first = done(out)
    put(folder, {"b.py": RIGHT, "c.py": WRONG})
    found = graded(folder, out)
    assert {name: row["gelu status"] for name, row in found.items()} == {
        "a.py": "passed",
        "b.py": "passed",
        "c.py": "failed",
    }
    same = [name for name, when in done(out).items() if first.get(name) == when]
    assert len(same) == 1
    (folder / "a.py").unlink()
    assert set(graded(folder, out)) == {"b.py", "c.py"}
    old = (out / ".marking" / "run.json").read_text()
    graded(folder, out, seed=77)  # another seed is another run
    assert (out / ".marking" / "run.json").read_text() != old


def test_two_graders_do_not_write_into_one_folder(tmp_path):
    folder = put(tmp_path / "subs", {"a.py": RIGHT})
    with grading._State(tmp_path / "out"), pytest.raises(MinibertError, match="another grader"):
        grading.grade(folder, tmp_path / "out", ["gelu"])


@pytest.mark.parametrize("kind", ["a file", "a file inside", "closed"])
def test_the_folder_for_the_results_is_tried_before_any_work(kind, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(grading, "marked_by", lambda *_: pytest.fail("nothing may be marked"))
    folder, out = put(tmp_path / "subs", {"a.py": RIGHT}), tmp_path / "out"
    if kind == "a file":
        out.write_text("")
    elif kind == "a file inside":
        put(out, {".marking": ""})
    else:
        monkeypatch.setattr(grading, "write_file", full_disk)
    assert main(["grade", str(folder), "--out", str(out)]) == 2
    assert "cannot be written" in capsys.readouterr().err


def full_disk(path: Path, content: object) -> Path:
    raise MinibertError(f"{path} cannot be written (No space left on device)") from OSError(errno.ENOSPC, "full")


@pytest.mark.slow
def test_a_full_disk_ends_it_and_the_same_command_goes_on(tmp_path, monkeypatch, capsys):
    folder, out = put(tmp_path / "subs", {f"{n}.py": RIGHT for n in range(4)}), tmp_path / "out"
    command = ["grade", str(folder), "--out", str(out), "--exercises", "gelu", "--no-swap", "--jobs", "1"]
    write, room = grading.write_file, 2

    def short_of_room(path: Path, content: object) -> Path:
        nonlocal room
        if str(path).endswith(".results.json"):
            room -= 1
        return full_disk(path, content) if room < 0 else write(path, content)

    with monkeypatch.context() as patched:
        patched.setattr(grading, "write_file", short_of_room)
        assert main(command) == 2
    assert "No space left" in capsys.readouterr().err
    assert len(done(out)) == 2
    assert main(command) == 0
    assert "4 marked, 4 with full marks" in capsys.readouterr().out


@linux
@pytest.mark.slow
def test_a_disk_that_is_really_full(tmp_path):
    """In a small file system of its own, if this may be mounted."""
    small = tmp_path / "small"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48k", "none", str(small)], capture_output=True).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        folder = put(tmp_path / "subs", {f"{n}.py": RIGHT for n in range(12)})
        grader = started(folder, small / "out")
        _, errors = grader.communicate(timeout=300)
        assert grader.returncode == 2, errors
        assert "minibert:" in errors
        assert "space" in errors.lower()
        assert "Traceback" not in errors
        kept = len(done(small / "out"))
        subprocess.run(["mount", "-o", "remount,size=50m", str(small)], check=True)
        again = started(folder, small / "out")
        said, errors = again.communicate(timeout=300)
        assert again.returncode == 0, errors
        assert "12 marked, 12 with full marks" in said
        assert kept <= 12
    finally:
        subprocess.run(["umount", str(small)])


def test_results_do_not_go_among_submissions(tmp_path, capsys):
    folder = put(tmp_path / "subs", {"a.py": RIGHT, "results/b.py": RIGHT})
    assert main(["grade", str(folder), "--out", str(folder / "results")]) == 2
    assert "choose another --out" in capsys.readouterr().err


# ------------------------------------------------------------------------------- when marking itself goes wrong


@pytest.mark.slow
def test_an_error_of_ours_costs_one_exercise_and_is_said(tmp_path, monkeypatch):
    def evaluate(exercise, *_):
        raise RuntimeError("\x1b[31mno\ud800")

    monkeypatch.setattr("minibert.classroom.marking.evaluate", evaluate)
    path = put(tmp_path, {"a.py": RIGHT}) / "a.py"
    (gelu, mask) = grading.mark(path, ["gelu", "causal-mask"], grading.isolation.Limits(), 5).marks
    assert gelu.status == "error"
    assert "RuntimeError: no" in gelu.text
    gelu.text.encode()
    assert mask.status == "not attempted"


def test_a_process_that_ends_costs_the_exercise_at_hand():
    task = pool.Task(Path("a.py"))
    mark = {"exercise": "gelu", "status": "passed", "score": 9.0, "max_score": 9.0, "text": "", "mistakes": ()}
    task.begun, task.done = "gelu", {"gelu": mark}
    assert pool._given_up(task, ["gelu", "causal-mask"]) is None  # it ended between two exercises
    task.begun = "causal-mask"
    assert pool._given_up(task, ["gelu", "causal-mask"]) is None
    assert list(task.failed) == ["causal-mask"]
    found = None
    while found is None:
        found = pool._given_up(task, ["gelu", "causal-mask"])
    assert [one.status for one in found[1].marks] == ["passed", "error"]


def test_a_process_that_ends_while_it_reads_costs_the_file():
    task = pool.Task(Path("a.py"))
    assert pool._given_up(task, ["gelu"]) is None
    _, found = pool._given_up(task, ["gelu"])
    assert found.marks[0].status == "not read"


@linux
@pytest.mark.slow
def test_processes_of_the_pool_that_are_killed_are_replaced(tmp_path):
    slow = "import time\ntime.sleep(0.5)\n" + RIGHT
    folder, out = put(tmp_path / "subs", {f"{n}.py": slow for n in range(6)}), tmp_path / "out"
    grader = started(folder, out)
    for count in (1, 3):
        wait_until(lambda count=count: len(done(out)) >= count or grader.poll() is not None)
        for child in descendants(grader.pid)[:1]:
            os.kill(child, signal.SIGKILL)
    said, errors = grader.communicate(timeout=300)
    assert grader.returncode == 0, errors
    assert "6 marked" in said
    assert sum(row["gelu status"] == "passed" for row in rows_of(out).values()) >= 4


def test_waiting_for_a_processor_costs_nothing_and_sleeping_does(monkeypatch):
    """Linux adds a wait to its count only when it ends, so what is ready may have waited for all of it."""
    now = [100.0]
    monkeypatch.setattr(box.time, "monotonic", lambda: now[0])
    seen = iter([(False, 0.0, 0.0), (True, 0.5, 0.0), (True, 0.5, 0.0), (False, 0.6, 8.4), (True, 0.7, 8.4)])
    monkeypatch.setattr(box.Clock, "_now", lambda self: next(seen))
    clock = box.Clock(1)
    for later, passed in ((1.0, 0.5), (8.0, 0.5), (1.0, 1.6), (5.0, 1.6)):
        now[0] += later
        assert clock.passed() == pytest.approx(passed)


@pytest.mark.slow
def test_a_hanging_answer_and_a_busy_machine_cost_nobody_else_a_mark(tmp_path, monkeypatch):
    """Every answer before it hangs, and other programs want the processors too."""
    monkeypatch.setattr(learner, "CALL_SECONDS", 1.0)
    hangs = ("attention(q, k, v, mask=None)", "causal_mask(length)", "split_heads(x, num_heads)", "merge_heads(x)")
    source = "".join(f"def {one}:\n    while True: pass\n" for one in hangs) + RIGHT
    path = put(tmp_path, {"a.py": source}) / "a.py"
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(6)]
    try:
        names = ["attention", "causal-mask", "split-heads", "merge-heads", "gelu"]
        marks = grading.mark(path, names, grading.isolation.Limits(seconds=3), 5, with_swap=False).marks
    finally:
        for one in busy:
            one.kill()
            one.wait()
    assert [mark.status for mark in marks] == ["failed"] * 4 + ["passed"], marks[4].text
    assert all("does not end" in mark.text for mark in marks[:4])


# ------------------------------------------------------------------------------------------------ the report


def test_names_and_texts_are_plain_in_markdown():
    text = report.in_markdown("<b>*x*</b> [a](http://b.c) www.d.e f@g.h `i` | #1 $x$ \x1b[1m&amp;\nnext")
    for bad in ("<", ">", "](", "://", "www.", "\x1b", "\n"):
        assert bad not in text
    assert "next" in text


@pytest.mark.parametrize("name", ["=1", "+1", "-1", "@x", "\t=1", "\r=1", "\n=1", " =1", "＝1", "|x", "%0A=1"])
def test_a_name_is_no_formula(name):
    cell = report.in_cell(name)
    assert cell.startswith("'")
    assert not set(cell) & set("\t\r\n")


def test_harmless_names_stay_as_they_are():
    assert report.in_cell("Ada Lovelace/a-b=c.py") == "Ada Lovelace/a-b=c.py"
    assert report.file_name("Ada Lovelace/a-b=c.py") == "Ada Lovelace/a-b=c.py.results.json"


@pytest.mark.parametrize(
    "name", ["n" * 240 + ".py", "ö" * 120 + ".py", "a\udce9.py", "a\n.py", "grades.csv", ".marking"]
)
def test_a_results_file_can_always_be_written(name, tmp_path):
    path = tmp_path / report.file_name(f"{name}/a.py" if "." in name[-9:] and not name.endswith(".py") else name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("")
    assert path.parent.name not in ("grades.csv", ".marking")


def test_names_that_differ_only_in_what_is_cut_have_files_of_their_own():
    names = ["n" * 240 + ".py", "n" * 241 + ".py", "a\udce9.py", "a\udce8.py", "a\ufffd.py"]
    assert len({report.file_name(name) for name in names}) == len(names)


def test_equal_submissions_are_listed_and_nothing_alone_is():
    def one(name: str, twin: str) -> Marked:
        return Marked(name, [Mark("gelu", "passed", 9, 9, "")], 0.0, twin=twin, functions=2)

    text = report.report(
        [one("a.py", "x"), one("b.py", "y"), one("c.py", "x"), one("d.py", ""), one("e.py", "")], ["gelu"], 1
    )
    section = text.split("## Equal submissions")[1].split("##")[0]
    assert "- a.py = c.py (2 functions)" in section
    assert "b.py" not in section
    assert "d.py" not in section


# ----------------------------------------------------------------------------------------------- Gradescope


def for_gradescope(folder: Path, out: Path, *options: str) -> dict:
    names = ("--exercises", "gelu", "causal-mask")
    assert main(["grade", str(folder), "--gradescope", str(out), "--no-swap", *names, *options]) == 0
    return json.loads(out.read_text())


@pytest.mark.slow
def test_the_files_of_one_student_count_together(tmp_path):
    mask = "import torch\ndef causal_mask(length):\n    return torch.ones(length, length).tril().bool()\n"
    put(tmp_path / "subs", {"a.py": WRONG + mask, "b.ipynb": notebook(RIGHT), "c.pdf": "%PDF", "d.py": "def broken("})
    (tmp_path / "subs" / "e.py").symlink_to(tmp_path / "subs" / "a.py")
    found = for_gradescope(tmp_path / "subs", tmp_path / "results.json", "--seed", "-7")
    assert [test["status"] for test in found["tests"]] == ["passed", "passed"]
    for said in ("c.pdf", "d.py", "SyntaxError", "e.py", "links are not followed"):
        assert said in found["output"]


def test_there_are_always_results_for_gradescope(tmp_path):
    (tmp_path / "subs").mkdir()
    assert "holds no files" in for_gradescope(tmp_path / "subs", tmp_path / "results.json")["output"]
    put(tmp_path / "subs", {"a.pdf": ""})
    found = for_gradescope(tmp_path / "subs", tmp_path / "results.json")
    assert found["score"] == 0
    assert "a.pdf" in found["output"] or "not read" in found["output"]


@pytest.mark.slow
def test_results_are_written_after_each_exercise_and_time_ends(tmp_path, monkeypatch):
    put(tmp_path / "subs", {"a.py": RIGHT + "def causal_mask(length):\n    return None\n"})
    written = []
    from minibert.cli import marking

    monkeypatch.setattr(
        marking, "write_file", lambda path, text: written.append(json.loads(text)) or path.write_text(text)
    )
    for_gradescope(tmp_path / "subs", tmp_path / "results.json")
    assert len(written) == 3
    assert "not marked in time" in written[0]["tests"][1]["output"]
    found = for_gradescope(tmp_path / "subs", tmp_path / "results.json", "--minutes", "0.00001")
    assert found["score"] == 0
    assert "no time left" in found["tests"][0]["output"]


def test_the_numbers_depend_on_the_zip_and_on_the_submission():
    seeds = {grading.seed_for(secret, content) for secret in (1, 2, -1) for content in (b"a", b"b")}
    assert len(seeds) == 6
    assert grading.seed_for(1, b"a") == grading.seed_for(1, b"a")


def test_what_cannot_be_a_submission_is_listed_apart_and_what_cannot_be_read_is_counted_apart(tmp_path, capsys):
    misspelt = RIGHT.replace("def gelu(", "def geluu(")
    folder = put(tmp_path / "class", {
        "zoe.py": misspelt, "syntax.py": "def gelu(x:", "notes.txt": "", "emil/answers.docx": "PK",
        "b/readme.txt": "", "b/gus/a.py": "x = 1",
    })  # fmt: skip
    out = tmp_path / "out"
    command = ["grade", str(folder), "--out", str(out), "--jobs", "1", "--no-swap", "--exercises"]
    assert main([*command, "gelu"]) == 0
    assert "4 marked, 0 with full marks, 2 could not be read, 2 loose files ignored" in capsys.readouterr().out
    rows = {row["submission"]: row["gelu status"] for row in csv.DictReader((out / "grades.csv").open())}
    assert rows == {"zoe.py": "not attempted", "syntax.py": "not read", "emil/answers.docx": "not read",
                    "b/gus/a.py": "not attempted"}  # fmt: skip
    text = (out / "report.md").read_text()
    assert "| gelu | warm-up | 0 | 0 | 2 | 2 | 0.0 of 10 |" in text
    ignored = text.split("## Ignored")[1].split("##")[0]
    assert "- notes.txt: " in ignored
    assert "- b/readme.txt: " in ignored
    assert text.count("- geluu: did you mean gelu?") == 1
    assert "- zoe.py: geluu: did you mean gelu?" in text
    assert "geluu: did you mean gelu?" in json.loads((out / "zoe.py.results.json").read_text())["output"]
    assert not (out / "notes.txt.results.json").exists()
    # Marks for other exercises do not take the place of these.
    before = text
    assert main([*command, "causal-mask"]) == 2
    assert "holds marks for other exercises: choose another --out" in capsys.readouterr().err
    assert main([*command, "gelu", "causal-mask"]) == 2
    assert "holds marks for 1 exercise, and this would be for 2" in capsys.readouterr().err
    assert main(["grade", str(put(tmp_path / "other", {"a.py": "x = 1"})), *command[2:], "gelu"]) == 2
    assert "holds marks of another folder" in capsys.readouterr().err
    assert (out / "report.md").read_text() == before


def test_text_that_is_no_markup_is_not_escaped():
    assert report.in_markdown("a command to IPython: !ls") == "a command to IPython: !ls"
    assert report.in_markdown("![x](y)") == "!&#91;x&#93;(y)"
