"""`minibert mine` in a copy of its process: whatever ends the copy is told, and what it raises is raised here."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from minibert.exercises import my_bert
from minibert.exercises.catalogue import exercises
from minibert.exercises.notebooks import IMPORTS, solved
from minibert.exercises.sources import statements_in
from minibert.own import watching

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="the process cannot be copied")

# A fresh process, in which torch is not loaded: two parts, and what they do.
BEGIN = """
import os, signal, sys, time
from pathlib import Path
from minibert.cli import main as cli, mine
from minibert.own.watching import mark, running

GELU = mark("gelu", "gelu", Path("my_bert.py"), 7)
ATTENTION = mark("attention", "my_attention", Path("my_bert.py"), 70)

def end(name):
    print("at work", flush=True)
    os.kill(os.getpid(), getattr(signal, name))
"""
END = "\nsys.exit(cli.main(['mine']))"


def script(work: str) -> list[str]:
    """A fresh process that does some work as `minibert mine` does."""
    return [sys.executable, "-c", f"{BEGIN}\ndef work():\n    {work}\nmine.show_all = lambda args: work()\n{END}"]


def ran(work: str, **more: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(script(work), capture_output=True, text=True, timeout=120, **more)


@pytest.mark.parametrize(
    ("work", "says"),
    [
        ("with running(GELU): end('SIGSEGV')", "your gelu (my_bert.py, line 7) made the program crash (SIGSEGV). Mend"),
        ("with running(GELU): print('at work'); os.abort()", "your gelu (my_bert.py, line 7) made the program crash"),
        ("with running(GELU): end('SIGKILL')", "made the program crash (SIGKILL: too much memory?). Mend it"),
        (
            "with running(GELU): print('at work'); sys.stdout.flush(); os._exit(0)",
            "ended the program, with the status 0",
        ),
        ("with running(GELU), running(ATTENTION): end('SIGSEGV')", "your my_attention (my_bert.py, line 70) made"),
        (
            "with running(GELU):\n        with running(ATTENTION): pass\n        end('SIGSEGV')",
            "your gelu (my_bert.py, line 7) made",
        ),
        (
            "with running(GELU): pass\n    end('SIGSEGV')",
            "something made the program crash (SIGSEGV), when no part of yours was running; the last one was your gelu."
            " Check it again (exercise gelu), or leave it out with --without gelu.",
        ),
        ("end('SIGSEGV')", "something made the program crash (SIGSEGV), before any part of yours had run"),
    ],
)
def test_what_ends_the_copy_is_named(work, says):
    done = ran(work)
    assert done.returncode == 2
    assert says in done.stderr
    assert len(done.stderr.strip().split("\n")) == 1
    assert "Traceback" not in done.stderr
    assert done.stdout == "at work\n"  # what was printed before is not lost


@pytest.mark.parametrize(
    ("work", "status", "says"),
    [
        ("print('done')", 0, ""),
        (
            "raise cli.MinibertError('no such thing.')",
            2,
            "minibert: no such thing.",
        ),
        ("raise KeyboardInterrupt", 130, "minibert: interrupted."),
        ("import minibert.absent", 1, "No module named 'minibert.absent'"),
        ("import absent_module", 2, "this needs the package absent_module"),
        ("1 / 0", 1, "ZeroDivisionError: division by zero"),
        ("open('/absent/file')", 1, "No such file or directory: '/absent/file'"),
    ],
)
def test_what_the_work_raises_is_raised_as_if_it_was_done_here(work, status, says):
    done = ran(work)
    assert (done.returncode, done.stdout) == (status, "done\n" if status == 0 else "")
    assert says in done.stderr if says else done.stderr == ""


def test_with_fallback_a_second_crash_is_named_too():
    """All begins again without the first part, and again in a copy."""
    # A part that is left out and ends the process all the same: nothing more can be tried.
    work = "with running(ATTENTION if 'gelu' in args.without else GELU): end('SIGSEGV')"
    end = END.replace("['mine']", "['mine', '--fallback']")
    begin = f"{BEGIN}\ndef work(args):\n    {work}\nmine.show_all = work\n"
    done = subprocess.run([sys.executable, "-c", begin + end], capture_output=True, text=True, timeout=120)
    assert done.returncode == 2, done.stderr
    assert done.stdout == "at work\nat work\nat work\n"
    assert "your gelu (my_bert.py, line 7) made the program crash (SIGSEGV)" in done.stderr
    assert "your my_attention (my_bert.py, line 70) made the program crash (SIGSEGV)" in done.stderr


@pytest.mark.parametrize("raised", ["Odd()", "OSError('x' * 100_000)"])
def test_an_error_that_cannot_be_passed_on_is_told_by_its_message(raised):
    odd = "type('Odd', (OSError,), {'__str__': lambda self: 'no room', '__reduce__': lambda self: 1 / 0})"
    done = ran(f"Odd = {odd}\n    raise {raised}")
    assert done.returncode == 2
    assert done.stderr.startswith("minibert: " + ("no room" if raised == "Odd()" else "xxx"))


def test_the_mark_of_a_part_in_a_very_deep_folder_fits(tmp_path):
    deep = tmp_path.joinpath(*["ж" * 100] * 20, "my_bert.py")
    found = watching.mark("gelu", "gelu", deep, 7)
    assert len(found) <= watching.RUNNING.stop
    assert "your gelu (my_bert.py, line 7) failed" in watching.blamed(found, "failed")


def test_the_line_of_the_crash_is_named(tmp_path):
    """Also where the innermost frames are in other files."""
    file = tmp_path / "my_bert.py"
    file.write_text("import ctypes\n\ndef gelu(x):\n    return 2 * ctypes.string_at(x)\n")
    run = f"exec(compile(open({str(file)!r}).read(), {str(file)!r}, 'exec'), globals())"
    done = ran(f"{run}\n    with running(mark('gelu', 'gelu', Path({str(file)!r}), 3)): gelu(0)")
    assert done.returncode == 2
    assert "your gelu (my_bert.py, line 4: `return 2 * ctypes.string_at(x)`) made the program crash" in done.stderr


def test_a_closed_output_is_no_crash():
    reads, writes = os.pipe()
    os.close(reads)
    command = script("print('x' * 100_000)")
    done = subprocess.run(command, stdout=writes, stderr=subprocess.PIPE, text=True, timeout=120)
    os.close(writes)
    assert (done.returncode, done.stderr) == (141, "")


def test_the_work_is_done_once_and_in_another_process():
    process = subprocess.Popen(script("print(os.getpid(), os.getppid())"), stdout=subprocess.PIPE, text=True)
    out, _ = process.communicate(timeout=120)
    copy, parent = map(int, out.split())
    assert parent == process.pid != copy


def test_where_torch_is_loaded_the_work_is_done_in_this_process():
    import torch  # noqa: F401 - as a reader who calls the command from Python has it

    done = []
    watching.watched(lambda: done.append(os.getpid()))
    assert done == [os.getpid()]


SLEEPS = "print(os.getpid(), flush=True); time.sleep(100)"


def began(work: str) -> tuple[subprocess.Popen[str], int]:
    """A process that has begun its work, and the copy's number."""
    process = subprocess.Popen(
        script(work), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    return process, int(process.stdout.readline())


@pytest.mark.parametrize("to_both", [True, False])
def test_ctrl_c_is_told_once(to_both):
    """A terminal sends it to both processes; `kill -INT` to one."""
    process, _ = began(SLEEPS)
    os.killpg(process.pid, signal.SIGINT) if to_both else process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err == "\nminibert: interrupted.\n"


def lives(process: int) -> bool:
    """Whether a process is there, and not only its number."""
    try:
        os.kill(process, 0)
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except ProcessLookupError:
        return False
    except OSError:  # no /proc on this system
        return True


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_the_copy_ends_with_its_process(number):
    process, copy = began(SLEEPS)
    process.send_signal(number)
    process.communicate(timeout=60)
    assert process.returncode == -number
    end = time.monotonic() + 20
    while time.monotonic() < end:
        if not lives(copy):
            return
        time.sleep(0.05)
    pytest.fail("the copy goes on")


# ------------------------------------------------------------------------------------------- with real parts


@pytest.mark.slow
@pytest.mark.usefixtures("minilm_folder")
@pytest.mark.parametrize(
    ("crash", "what"),
    [
        ("__import__('ctypes').string_at(0)", "made the program crash (SIGSEGV)"),
        ("__import__('os').abort()", "made the program crash (SIGABRT)"),
        ("__import__('ctypes').CDLL(None)._exit(0)", "ended the program, with the status 0"),
    ],
)
def test_a_part_that_ends_the_command_is_named_and_nothing_is_lost(crash, what, tmp_path, monkeypatch):
    monkeypatch.setenv("MINIBERT_PROGRESS", str(tmp_path / "progress.json"))
    monkeypatch.delenv("MINIBERT_MINE", raising=False)
    names = ("layer-norm", "gelu")
    source = "\n\n".join([IMPORTS, *(solved(exercises()[name]) for name in names)])
    my_bert.join_file(names, statements_in("answers.py", source.encode()))
    text = my_bert.file().read_text()
    text = re.sub(r"(def gelu\(.*\n)", rf"\1    {crash}\n", text)
    my_bert.file().write_text(text)
    command = [sys.executable, "-m", "minibert", "mine", "--quick"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 2
    line = 1 + text[: text.index(crash)].count("\n")
    if "status" in what:  # nothing is known of where it ended: the part's first line
        line = 1 + text[: text.rindex("\n# ", 0, text.index("def gelu")) + 1].count("\n")
    place = f"your gelu (my_bert.py, line {line}"
    assert place in done.stderr
    assert what in done.stderr
    assert "Your BERT" in done.stdout
    assert my_bert.file().read_text() == text
    again = subprocess.run([*command, "--fallback"], capture_output=True, text=True, timeout=300)
    assert again.returncode == 0
    assert what in again.stderr
    assert f"1 of {len(exercises())} parts is yours" in again.stdout
