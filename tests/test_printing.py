"""What a learner's function prints is shown once; its time does not run while the machine does other things."""

from __future__ import annotations

import io
import sys

import pytest

from minibert import timing
from minibert.exercises import check, printing, progress, running
from minibert.exercises.printing import MOST, Once, once


@pytest.fixture(autouse=True)
def own_record(tmp_path, monkeypatch):
    monkeypatch.setattr(progress, "file", lambda: tmp_path / "progress.json")


def test_the_first_call_that_prints_is_shown_and_the_rest_is_said_to_be_left_out(capsys):
    printed = Once("gelu")
    talk = printed.around(lambda text: print(text, end=""))
    for text in ("", "one\n", "two\n", "three\n"):
        talk(text)
    print("mine")
    assert capsys.readouterr().out == "one\n(What gelu prints after this is left out.)\nmine\n"
    Once("gelu").around(print)("x" * (MOST + 5))
    assert capsys.readouterr().out == "x" * MOST + "\n(What gelu prints after this is left out.)\n"


def test_what_one_call_prints_is_shown_as_far_as_there_is_room(capsys):
    def talk():
        for text in ("x" * (MOST - 3) + "\n", "yyyy", "z" * 50):
            print(text, end="")

    Once("gelu").around(talk)()
    assert capsys.readouterr().out == "x" * (MOST - 3) + "\nyy\n(What gelu prints after this is left out.)\n"
    exactly = Once("gelu")
    exactly.around(lambda: print("x" * MOST, end=""))()
    assert capsys.readouterr().out == "x" * MOST


def test_a_call_inside_a_call_belongs_to_it(capsys):
    printed = Once("gelu")
    inner = printed.around(lambda: print("inner"))

    def outer():
        print("before")
        inner()
        print("after")

    printed.around(outer)()
    assert capsys.readouterr().out == "before\ninner\nafter\n"


def test_a_call_that_fails_is_over(capsys):
    printed = Once("gelu")

    def fails():
        print("one")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        printed.around(fails)()
    printed.around(lambda: print("two"))()
    assert capsys.readouterr().out == "one\n(What gelu prints after this is left out.)\n"


def test_a_stream_that_is_kept_after_the_call_takes_what_is_written_and_shows_none(capsys):
    kept = []
    Once("gelu").around(lambda: kept.append(sys.stdout))()
    assert kept[0].writable()
    assert print("late", file=kept[0], flush=True) is None
    assert kept[0].write("later") == 5
    assert capsys.readouterr().out == ""


def test_what_is_flushed_is_there_at_once(monkeypatch):
    class Stream(io.StringIO):
        flushed = 0

        def flush(self):
            self.flushed += 1

    stream = Stream()
    monkeypatch.setattr(sys, "stdout", stream)
    Once("gelu").around(lambda: print("one", flush=True))()
    assert (stream.getvalue(), stream.flushed) == ("one\n", 1)


def test_a_check_prints_once(capsys):
    def gelu(x):
        print("shape", tuple(x.shape))
        return x

    check.check("gelu", gelu)
    assert capsys.readouterr().out.count("shape (") == 1


def test_the_same_code_that_is_run_again_is_the_same_function():
    one, other = ({} for _ in range(2))
    for space in (one, other):
        exec("def f(x):\n    print(x)", space)
    assert once(one["f"], "f") is once(other["f"], "f")
    assert once(lambda: 0, "f") is not once(one["f"], "f")
    assert isinstance(once(print, "f"), printing.Once)


def test_time_in_which_the_machine_did_other_things_does_not_count(monkeypatch):
    waited = iter([0.0, 7.0])
    now = iter([100.0, 110.0])
    monkeypatch.setattr(timing, "perf_counter", lambda: next(now))
    monkeypatch.setattr(timing, "thread_time", lambda: 0.0)
    monkeypatch.setattr(timing.OwnTime, "_waited", lambda self: next(waited))
    assert timing.OwnTime().passed() == 3.0


def test_an_alarm_that_comes_too_early_is_set_again(monkeypatch):
    class Slow:
        asked = 0

        def passed(self):
            Slow.asked += 1
            return 0.1 * Slow.asked

    monkeypatch.setattr(running, "OwnTime", Slow)

    def endless():
        with running.time_limit(0.3):
            while True:
                pass

    with pytest.raises(TimeoutError):
        endless()
    assert Slow.asked >= 3


def test_loading_the_model_is_no_work_of_the_answers(monkeypatch):
    events = []
    monkeypatch.setattr(check.swap, "prepare", lambda exercise: events.append("prepare"))
    monkeypatch.setattr(check, "time_limit", lambda seconds: (events.append("clock"), running.time_limit(seconds))[1])

    def trial(exercise, answer):
        events.append("trial")
        raise TimeoutError

    monkeypatch.setattr(check.swap, "trial", trial)
    found = check.check("layer-norm", lambda x, w, b, eps=1e-12: (x - x.mean(-1, keepdim=True)) / (
        x.var(-1, keepdim=True, correction=0) + eps).sqrt() * w + b)  # fmt: skip
    assert found.passed
    assert events[-3:] == ["prepare", "clock", "trial"]
    assert "It is right. It could not be tried inside a real model in 20 s; the machine may be busy." in found.note
