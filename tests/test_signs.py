"""Signs of life: what long work writes where there is no terminal, and when it is silent."""

from __future__ import annotations

import io
import subprocess
import sys
import time
from threading import Event
from types import SimpleNamespace

import pytest

from minibert import signs
from minibert.cli import claims as claims_command
from minibert.cli.main import main
from minibert.signs import Bar, progress_bar


class Log(io.StringIO):
    """A log file: it notes what was there at each flush."""

    def __init__(self):
        super().__init__()
        self.flushed = 0

    def flush(self):
        self.flushed += 1


@pytest.fixture
def log(monkeypatch):
    """A log in the place of stderr, with lines as often as a test can wait for; the command line is at work."""
    found = Log()
    monkeypatch.setattr(signs, "FIRST_LINE", 0.01)
    monkeypatch.setattr(signs, "NEXT_LINE", 0.01)
    monkeypatch.setattr(signs, "monotonic", lambda: 0.0)  # however busy the machine is
    monkeypatch.setattr(signs, "_SIGNS", signs._Signs())
    signs.show_signs_of_life()
    monkeypatch.setattr(signs, "sys", SimpleNamespace(stderr=found, __stderr__=found))
    return found


def wait_for(text, log):
    end = time.monotonic() + 60
    while text not in log.getvalue():
        assert time.monotonic() < end, f"{text!r} is not in {log.getvalue()!r}"
        time.sleep(0.01)


def test_a_line_comes_also_while_the_first_piece_of_work_goes_on(log):
    with progress_bar("measuring D6", "run"):
        wait_for("measuring D6, 0 s\n", log)
    assert log.flushed


def test_lines_tell_how_far_it_is_and_what_goes_on_inside(log):
    with progress_bar("measuring D6", "run") as progress:
        progress(1, 4)
        wait_for("measuring D6, 1 of 4 runs, ", log)
        with Bar("student", "step", 200, 25) as inner:
            inner.show(30, note="loss 2.1")
            wait_for("measuring D6, 1 of 4 runs, 0 s; student, 30 of 200 steps, loss 2.1, 0 s\n", log)
    before = log.getvalue()
    time.sleep(0.1)
    assert log.getvalue() == before


def test_one_piece_is_not_many(log):
    with progress_bar("reading", "review") as progress:
        progress(1, 1)
        wait_for("reading, 1 of 1 review, ", log)
    assert str(Bar("fetching", "MB", 87, 12)).startswith("fetching, 12 of 87 MB, ")


def test_the_thread_ends_with_the_work_even_if_it_fails(log):
    threads = []

    def interrupted():
        with progress_bar("a"):
            threads.append(signs._SIGNS.thread)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert threads[0] is not None
    assert not threads[0].is_alive()
    assert signs._SIGNS.thread is None


def test_quick_work_writes_nothing(log, monkeypatch):
    monkeypatch.setattr(signs, "FIRST_LINE", 60)
    with progress_bar("quick") as progress:
        progress(1, 1)
    assert log.getvalue() == ""


def test_a_log_that_cannot_be_written_does_not_stop_the_work(log, monkeypatch):
    def full(text):
        tried.append(text)
        raise OSError(28, "No space left on device")

    tried = []
    monkeypatch.setattr(log, "write", full)
    with progress_bar("work"):
        end = time.monotonic() + 60
        while not tried and time.monotonic() < end:
            time.sleep(0.01)
    assert tried


@pytest.mark.parametrize("how", ["a library", "a notebook", "another process of a training", "no stderr"])
def test_where_nothing_is_written(how, log, monkeypatch):
    if how == "a library":
        monkeypatch.setattr(signs._SIGNS, "wanted", False)
    cell = Log()
    if how == "a notebook":  # what a cell prints is not the stderr of the process
        monkeypatch.setattr(signs.sys, "stderr", cell)
    if how == "no stderr":
        monkeypatch.setattr(signs, "sys", SimpleNamespace(stderr=None, __stderr__=None))
    with Bar("work", hidden=how.startswith("another")) as bar:
        bar.show(1, 2)
        time.sleep(0.1)
    assert log.getvalue() == cell.getvalue() == ""
    assert signs._SIGNS.thread is None


def test_the_outer_work_is_told_when_the_inner_is_done(log):
    with progress_bar("measuring D6", "run") as progress:
        with progress_bar("student", "step"):
            wait_for("; student, ", log)
        progress(2, 4)
        wait_for("measuring D6, 2 of 4 runs, 0 s\n", log)


def test_after_the_first_line_the_next_ones_take_longer(log, monkeypatch):
    monkeypatch.setattr(signs, "NEXT_LINE", 60)
    with progress_bar("work"):
        wait_for("work, 0 s\n", log)
        time.sleep(0.2)
    assert log.getvalue() == "work, 0 s\n"


def test_a_log_that_nobody_reads_does_not_keep_the_work_from_ending(log, monkeypatch):
    tried, read = Event(), Event()
    monkeypatch.setattr(log, "write", lambda text: (tried.set(), read.wait(60)))
    with progress_bar("work"):
        assert tried.wait(60)
        began = time.monotonic()
    took = time.monotonic() - began
    read.set()
    assert took < 30


def test_without_a_total_it_says_how_many_are_done(log):
    assert str(Bar("reading", "review", done=1200)) == "reading, 1,200 reviews, 0 s"
    assert str(Bar("reading", "review")) == "reading, 0 s"


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_the_bar_on_a_terminal_is_where_the_work_is(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    with Bar("student", "step", 200, 25) as bar:
        assert bar.drawn.n == 25
        bar.show(30, 400, "loss 2.1")
        assert (bar.drawn.n, bar.drawn.total, bar.drawn.postfix) == (30, 400, "loss 2.1")
        bar.show(31)
        assert (bar.drawn.n, bar.drawn.total, bar.drawn.postfix) == (31, 400, "")
        assert "student" in sys.stderr.getvalue()
    assert sys.stderr.getvalue().endswith("\r")  # it has disappeared
    with Bar("student", "step", 200, hidden=True) as bar:
        assert bar.drawn.disable


def test_a_bar_on_a_terminal_is_drawn_again_while_one_piece_goes_on(log, monkeypatch):
    monkeypatch.setattr(log, "isatty", lambda: True)
    monkeypatch.setattr(signs, "REDRAWN", 0.01)
    drawn = []
    with Bar("work") as bar:
        monkeypatch.setattr(bar.drawn, "refresh", lambda: drawn.append(1))
        end = time.monotonic() + 60
        while len(drawn) < 2 and time.monotonic() < end:
            time.sleep(0.01)
    assert len(drawn) >= 2


SLOW = """
import sys, time
from minibert import signs
from minibert.cli import fetch, main
signs.FIRST_LINE = 0.05
def slow(args):
    print("begun")
    with signs.progress_bar("slow work", "run"):
        while not sys.stdin.readline():
            pass
fetch.run_fetch = slow
sys.exit(main.main(["fetch"]))
"""


def test_a_command_in_a_pipe_prints_at_once_and_says_what_it_does():
    with subprocess.Popen(
        [sys.executable, "-c", SLOW], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as command:
        assert command.stdout.readline() == "begun\n"  # while the command still runs
        assert command.stderr.readline().startswith("slow work, ")
        command.communicate("\n")
    assert command.returncode == 0


def test_a_grid_says_at_once_how_many_cells_there_are(tmp_path):
    from minibert.experiments import grid

    told = []
    size = grid.Size(texts=1, epochs=1)
    tiny = grid.Experiment("E0", {"a": lambda seed, size, work: {"x": 1}}, size, size, seeds=(0, 1))
    grid.run(tiny, tmp_path, progress=lambda done, of: told.append((done, of)))
    assert told == [(0, 2), (1, 2), (2, 2)]


@pytest.mark.parametrize(("id", "kind"), [("D1", "counted"), ("c1", "counted"), ("D8", "tried")])
def test_a_rerun_of_what_is_not_trained_says_so(id, kind, capsys):
    assert main(["claims", "--rerun", id, "--quick", "--json"]) == 0
    said = capsys.readouterr()
    assert said.out.startswith("[")
    assert said.err == f"{id.upper()}: nothing to train or to time. It was {kind} again just now, as each time.\n"


def test_a_claim_that_is_measured_says_no_such_thing(capsys, monkeypatch):
    from minibert import claims

    known = claims.results(["D2"])[0]
    monkeypatch.setattr(claims, "measure", lambda *given, **named: known)
    claims_command.measure(known, SimpleNamespace(quick=True, record=False))
    assert capsys.readouterr().err == ""


def test_one_thread_is_not_threads():
    from minibert.claims import tables
    from minibert.claims.records import Result

    where = {"processor": "P", "threads": 1, "torch": "2"}
    lines = tables._machines([Result("D2", "", "", "", machine=where, date="2026-01-01")])
    assert lines == ["D2: measured on P, 1 thread, torch 2, 2026-01-01."]
    lines = tables._machines([Result("D2", "", "", "", machine=where | {"threads": 2}, date="2026-01-01")])
    assert "2 threads" in lines[0]
