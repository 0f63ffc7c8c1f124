"""Timing, with a clock that the tests set: what runs when, what is counted, and the arithmetic of the ratios."""

from __future__ import annotations

import json
import platform

import pytest
import torch
from lab import lab, part
from tiny import assert_close

from minibert import timing
from minibert.errors import MinibertError

# ------------------------------------------------------------------------------------------ the lab sheet
# Each property by itself, with numbers that can be worked out on paper. Read these first.


@lab(
    "times-as-fast",
    code=timing.ratio,
    lesson="15",
    breaks="`of_a / of_b for of_a, of_b` replaced by the ratio of the sums",
    catches="ratio-of-means",
)
def test_the_median_of_the_rounds_ratios_counts():
    """how many times as fast is the median, over the rounds, of each round's ratio; that saves 1 - 1/times of the time

    Three rounds: 2 against 1 second, 4 against 2, and 9 against 1, in which something disturbed the first. The ratios
    are 2, 2 and 9, and their median is 2. Twice as fast saves half of the time, and not all of it.
    """
    assert_close(part("times-as-fast")([2.0, 4.0, 9.0], [1.0, 2.0, 1.0]), [2.0, 0.5])


@lab(
    "times-as-fast",
    code=timing.ratio,
    lesson="15",
    breaks="`of_a / of_b for of_a, of_b` replaced by `of_b / of_a`",
    catches="inverted",
)
def test_what_is_slower_saves_less_than_nothing():
    """what takes twice as long is half as fast, and saves -1 of the time"""
    assert_close(part("times-as-fast")([1.0], [2.0]), [0.5, -1.0])


# ------------------------------------------------------------------------------------------- the whole of it


class Clock:
    """Time passes only when something is said to take it."""

    def __init__(self):
        self.now = 0.0
        self.calls = []

    def takes(self, name, *seconds):
        """A function that takes the given seconds, one after the other, when it is called."""
        left = list(seconds)

        def run():
            self.calls.append(name)
            self.now += left.pop(0)

        return run


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(timing, "perf_counter", lambda: clock.now)
    return clock


def test_each_round_runs_every_function_once_and_starts_with_another(clock):
    timing.paired({name: clock.takes(name, 1, 1, 1, 1) for name in "abc"}, rounds=4, warmup=0)
    assert "".join(clock.calls) == "abc" + "bca" + "cab" + "abc"


def test_seconds_belong_to_their_function_and_warmup_is_not_counted(clock):
    seconds = timing.paired({"a": clock.takes("a", 50, 1, 2, 3), "b": clock.takes("b", 60, 4, 5, 6)}, rounds=3)
    assert seconds == {"a": [1, 2, 3], "b": [4, 5, 6]}


def test_progress_is_told_after_every_run(clock):
    told = []
    functions = {name: clock.takes(name, 1, 1, 1) for name in "ab"}
    timing.paired(functions, rounds=2, warmup=1, progress=lambda done, of: told.append((done, of)))
    assert told == [(done, 6) for done in range(1, 7)]


def test_the_ratio_is_the_median_of_the_rounds_and_not_the_ratio_of_medians():
    # ratios 2, 2, 3, 4; the medians alone would give 6 / 2 = 3
    assert timing.ratio([2, 4, 9, 8], [1, 2, 3, 2]) == timing.Ratio(median=2.5, low=2.0, high=3.25)


def test_a_disturbed_round_does_not_move_the_ratio():
    assert timing.ratio([2, 2, 20, 2, 2], [1, 1, 10, 1, 1]) == (2, 2, 2)


def test_summary_gives_median_and_quartiles():
    assert timing.summary([5, 1, 2, 4, 3]) == timing.Summary(median=3, low=2, high=4)
    assert timing.summary([7]) == (7, 7, 7)


def test_bad_input_is_one_sentence():
    for wrong in (
        lambda: timing.paired({}, rounds=1),
        lambda: timing.paired({"a": print}, rounds=0),
        lambda: timing.ratio([1, 2], [1]),
        lambda: timing.ratio([], []),
        lambda: timing.summary([]),
    ):
        with pytest.raises(MinibertError, match=r"\w+.*\.$"):
            wrong()


def test_the_machine_is_described_without_its_name():
    machine = timing.machine()
    assert set(machine) == {"processor", "cores", "threads", "memory_gib", "torch", "platform"}
    assert machine["processor"]
    assert machine["cores"] >= 1
    assert machine["threads"] == torch.get_num_threads()
    assert machine["torch"] == torch.__version__
    if len(platform.node()) > 3:
        assert platform.node() not in json.dumps(machine)
