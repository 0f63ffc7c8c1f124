"""Fair timing on a machine that does other things too: functions that take turns, medians, and their spread.

Disturbances on a machine come and go. Two programs timed one after the other meet different disturbances, so that
their totals say more about these than about the programs. Here they take turns instead: each round calls each of them
once, the ratio is computed within a round, and the result is the median of the ratios, always with its spread.
"""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter, thread_time
from typing import Any, NamedTuple

import numpy as np
import torch

from minibert.errors import MinibertError
from minibert.signs import Progress


class OwnTime:
    """The time of this process since this was made, in seconds: what its first thread used of the processors, or slept.

    The time in which its threads were ready but the processors did other work is left out. Only Linux tells it;
    elsewhere the process is taken to have had at least a PATIENCE-th of the time.
    """

    def __init__(self) -> None:
        self.began, self.used, self.waited = perf_counter(), thread_time(), self._waited()

    def passed(self) -> float:
        wall, used, waited = perf_counter() - self.began, thread_time() - self.used, self._waited()
        if waited is None or self.waited is None:
            return max(used, wall / PATIENCE)
        return max(used, wall - (waited - self.waited))

    def _waited(self) -> float | None:
        """Seconds in which the threads waited for a processor; None if the system does not tell."""
        try:
            tasks = [*Path("/proc/self/task").iterdir()]
            return sum(int((one / "schedstat").read_text(encoding="ascii").split()[1]) for one in tasks) / 1e9
        except (OSError, ValueError, IndexError):
            return None


PATIENCE = 6.0


class Summary(NamedTuple):
    """Seconds: the median and the quartiles (a quarter of the measurements are below low, a quarter above high)."""

    median: float
    low: float
    high: float


class Ratio(NamedTuple):
    """How many times as long a takes as b: the median of the rounds' ratios and their quartiles."""

    median: float
    low: float
    high: float


def paired(
    functions: dict[str, Callable[[], object]], rounds: int, warmup: int = 1, progress: Progress | None = None
) -> dict[str, list[float]]:
    """Call the functions in turn, `rounds` times, and return the seconds of each: name -> one number per round.

    Each round starts with a different function from the one before, so that no function always follows the same one.
    A function must have finished its work when it returns: on a GPU it has to wait for it. warmup: how many rounds
    come first and are not counted. progress: called after every call of a function.

    Raises MinibertError when there is no function or no round.
    """
    if not functions or rounds < 1:
        raise MinibertError("there is nothing to time: give at least one function and one round.")
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    calls = (warmup + rounds) * len(functions)
    for call in range(calls):
        round_number, turn = divmod(call, len(functions))
        name = list(functions)[(round_number + turn) % len(functions)]
        start = perf_counter()
        functions[name]()
        taken = perf_counter() - start
        if round_number >= warmup:
            seconds[name].append(taken)
        if progress is not None:
            progress(call + 1, calls)
    return seconds


def summary(seconds: Sequence[float]) -> Summary:
    """The median and the quartiles of some measurements, in seconds. Raises MinibertError when there are none."""
    return Summary(*_quartiles(seconds))


def ratio(a: Sequence[float], b: Sequence[float]) -> Ratio:
    """How many times as long a takes as b, which is how many times as fast b is.

    a, b: seconds from the same rounds. Raises MinibertError when they differ in number, or are empty.
    """
    if len(a) != len(b):
        raise MinibertError(f"{len(a)} measurements cannot be paired with {len(b)}: time both in the same rounds.")
    return Ratio(*_quartiles([of_a / of_b for of_a, of_b in zip(a, b, strict=True)]))


def _quartiles(values: Sequence[float]) -> tuple[float, float, float]:
    if len(values) == 0:
        raise MinibertError("there are no measurements to take the median of: time at least one round.")
    low, median, high = np.quantile(values, (0.25, 0.5, 0.75))
    return float(median), float(low), float(high)


def machine() -> dict[str, Any]:
    """What a timing depends on: processor, cores this process may use, torch's threads, memory in GiB, versions.

    Nothing in it identifies the machine or its owner.
    """
    return {
        "processor": _processor(),
        "cores": _cores(),
        "threads": torch.get_num_threads(),
        "memory_gib": _memory_gib(),
        "torch": torch.__version__,
        "platform": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
    }


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _processor() -> str:
    """The processor's name as its maker gives it; each operating system keeps it in a different place."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    if platform.system() == "Darwin":
        asked = subprocess.run(["sysctl", "-n", "machdep.cpu.brand_string"], capture_output=True, text=True)
        return asked.stdout.strip() or platform.machine()
    return platform.processor() or platform.machine()


def _memory_gib() -> float | None:
    """The memory in GiB; None if the operating system does not tell (Windows)."""
    try:
        return round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30, 1)
    except (AttributeError, ValueError, OSError):
        return None
