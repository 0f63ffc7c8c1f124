"""The grader's pool: processes that mark files at the same time (marker.py), both ends of it.

A process of the pool can end in the middle of a file, because a result was made to be hard to read or to compare. Then
that exercise gets no points, and another process goes on with the file.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, TextIO

import minibert
from minibert.classroom import isolation
from minibert.classroom.box import Clock
from minibert.classroom.marking import Course, Mark, Marked, failed, mark, unread
from minibert.errors import MinibertError

MARKER = Path(__file__).with_name("marker.py")  # what each process runs
EXERCISE_SECONDS = 120.0  # of processor time that deciding one exercise may take outside the box
MEMORY_MB = 6144  # of address space, in addition to what is loaded at the start
GIVEN_UP = 3  # processes in a row that end before they do anything
MOST_DEATHS = 6  # of processes over one file


# ------------------------------------------------------------------------------------- in the pool's process


def serve(options: Mapping[str, Any], requests: TextIO, answers: TextIO) -> None:
    """Mark the files that are asked for, until there are no more."""
    _limit_memory()
    limits = isolation.Limits(**options["limits"])

    def say(what: str, content: Any) -> None:
        answers.write(json.dumps({what: content}) + "\n")
        answers.flush()

    say("ready", True)
    for line in requests:
        asked = json.loads(line)
        course = Course(
            {name: Mark(**one) for name, one in asked["done"].items()},
            asked["failed"],
            lambda name: say("begins", name),
            lambda mark: say("ends", asdict(mark)),
        )
        found = mark(os.fsdecode(bytes.fromhex(asked["path"])), options["names"], limits, options["seed"],
                     options["with_swap"], course)  # fmt: skip
        say("marked", {**asdict(found), "protections": dict(found.protections)})


def _limit_memory() -> None:
    if sys.platform == "linux":
        import resource

        taken = int(Path("/proc/self/status").read_text(encoding="ascii").split("VmSize:")[1].split()[0]) * 1024
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_AS, (taken + MEMORY_MB * 2**20,) * 2)


# ------------------------------------------------------------------------------------------ in the grader


def importable() -> list[str]:
    """What may be imported from: this process's places, but neither the current folder nor a relative one."""
    here = Path.cwd().resolve()
    return [one for one in sys.path if one and os.path.isabs(one) and Path(one).resolve() != here]


@dataclass
class Task:
    """A file to mark. begun: the exercise that is being marked. done, failed: as in Course. deaths: see MOST_DEATHS."""

    path: Path
    begun: str = ""
    done: dict[str, dict[str, Any]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    deaths: int = 0


class Process:
    """One process of the pool. task: what it works at; None while it waits for work. heard: gets what it says, line by
    line, and None at the end.
    """

    def __init__(self, options: Mapping[str, Any], folder: Path, heard: queue.Queue[tuple[Process, bytes | None]]):
        self.errors = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115
        whole = {**options, "path": importable(), "package": str(Path(minibert.__file__).parent), "parent": os.getpid()}
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-B", str(MARKER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            cwd=folder,
            env={**os.environ, "TMPDIR": str(folder)},
            start_new_session=True,  # Ctrl-C is for the grader, which then ends these
        )
        with contextlib.suppress(OSError):  # not as an argument, because everybody may read those, and it has the seed
            self.process.stdin.write(json.dumps(whole).encode() + b"\n")
            self.process.stdin.flush()
        self.task: Task | None = None
        self.ready = False
        self.clock = Clock(self.process.pid)
        threading.Thread(target=self._listen, args=(heard,), daemon=True).start()

    def _listen(self, heard: queue.Queue[tuple[Process, bytes | None]]) -> None:
        with contextlib.suppress(OSError, ValueError):
            for line in self.process.stdout:
                heard.put((self, line))
        heard.put((self, None))

    def give(self, task: Task) -> None:
        self.task = task
        asked = {"path": os.fsencode(task.path.absolute()).hex(), "done": task.done, "failed": task.failed}
        with contextlib.suppress(OSError):  # if it has ended, its stdout says so
            self.process.stdin.write(json.dumps(asked).encode() + b"\n")
            self.process.stdin.flush()
        self.clock = Clock(self.process.pid)

    def worked(self) -> float:
        """Seconds of processor time since the last sign of life."""
        return self.clock.processor_time()

    def close(self) -> str:
        """End it; returns the last line that it wrote to stderr."""
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        if self.task is None and self.ready:  # it has nothing to do, and ends by itself
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(timeout=5)
        self.process.kill()
        self.process.wait()
        self.errors.seek(0)
        lines = self.errors.read()[-4000:].decode(errors="replace").strip().splitlines()
        self.errors.close()
        return lines[-1] if lines else ""


def marked_by(
    paths: Sequence[Path], jobs: int, names: Sequence[str], limits: isolation.Limits, seed: int, with_swap: bool,
    folder: Path,
) -> Iterator[tuple[Path, Marked]]:  # fmt: skip
    """Mark files, `jobs` at a time; yields each when it is done. folder: for the temporary files of all processes.

    Closing the iterator ends the processes. Raises MinibertError if they cannot work at all.
    """
    options = {"names": list(names), "limits": asdict(limits), "seed": seed, "with_swap": with_swap}
    waiting = [Task(path) for path in reversed(paths)]
    processes: list[Process] = []
    heard: queue.Queue[tuple[Process, bytes | None]] = queue.Queue()
    in_vain = 0
    left = len(waiting)
    try:
        while left:
            while len(processes) < min(jobs, left):
                processes.append(Process(options, folder, heard))
            for process in processes:
                if process.task is None and waiting:
                    process.give(waiting.pop())
            ended: list[Process] = []
            try:
                process, line = heard.get(timeout=2.0)
                if process not in processes:
                    continue  # it is closed already
                if line is None:
                    ended.append(process)
                else:
                    in_vain = 0
                    if (found := _heard(process, json.loads(line))) is not None:
                        left -= 1
                        yield found
            except queue.Empty:
                pass
            busy = [one for one in processes if one.task is not None and one not in ended]
            ended += [one for one in busy if one.worked() > EXERCISE_SECONDS]
            for process in ended:
                processes.remove(process)
                task, was_ready = process.task, process.ready
                said = process.close()
                in_vain += not was_ready
                if in_vain >= GIVEN_UP:
                    raise MinibertError(f"the processes that mark files cannot be started ({said}).")
                if task is not None and (found := _given_up(task, names)) is not None:
                    left -= 1
                    yield found
                elif task is not None:
                    waiting.append(task)
    finally:
        for process in processes:
            process.close()


def _heard(process: Process, message: Mapping[str, Any]) -> tuple[Path, Marked] | None:
    """Note what a process says about its file; returns the file when it is marked."""
    ((what, content),) = message.items()
    process.clock = Clock(process.process.pid)
    task = process.task
    if what == "ready":
        process.ready = True
    elif task is not None and what == "begins":
        task.begun = content
        task.done.pop(content, None)  # a zip can hold a second answer to it
    elif task is not None and what == "ends":
        task.done[content["exercise"]] = content
    elif task is not None and what == "marked":
        process.task = None
        return task.path, marked_from(content)
    return None


def _given_up(task: Task, names: Sequence[str]) -> tuple[Path, Marked] | None:
    """After a process has ended: what cost its life is not tried again. Returns the file if nothing more is tried."""
    task.deaths += 1
    if task.begun and task.begun not in task.done:
        task.failed[task.begun] = "deciding it took too much time or memory"
    elif task.deaths > 1:
        return task.path, unread(task.path.name, names, "it could not be read: that took too much time or memory")
    if task.deaths > MOST_DEATHS:
        why = "the file cost too much time or memory"
        marks = [Mark(**task.done[name]) if name in task.done else failed(name, why) for name in names]
        return task.path, Marked(task.path.name, marks, 0.0, [why])
    return None


def marked_from(content: Mapping[str, Any]) -> Marked:
    """A Marked from its plain values."""
    marks = [Mark(**one) for one in content["marks"]]
    return replace(Marked(**{**content, "marks": []}), marks=marks)
