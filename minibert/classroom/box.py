"""The parent's end of the box: it starts a process, asks it, watches its limits, and kills it.

What the code in the process can and cannot do is described in `isolation.py`, which the process runs.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import NoReturn

from minibert.classroom import isolation
from minibert.classroom.isolation import LENGTH, Limits, holds_packages, read_message


class Stopped(Exception):
    """The process has ended. reason: "time", "cpu", "ended" (by itself or by a limit) or "protocol"."""

    def __init__(self, reason: str, message: str):
        super().__init__(message)
        self.reason = reason


class Box:
    """A process in which a worker serves; use it in a `with` block, or call `close`.

    worker: a file with a function `serve(receive, send, protections)`. modules: files that are loaded before it, in
    this order, by the names under which the worker imports them.
    """

    def __init__(
        self,
        worker: Path,
        limits: Limits | None = None,
        python: str = sys.executable,
        modules: Mapping[str, Path] | None = None,
    ):
        self.limits = limits or Limits()
        self.until = time.monotonic() + self.limits.seconds
        self.scratch = Path(tempfile.mkdtemp(prefix="minibert-box-"))
        self.printed = bytearray()
        self.arrived: queue.Queue[bytes | Stopped] = queue.Queue()
        self.asked = False
        self.closed = threading.Event()
        options = {"scratch": str(self.scratch), "limits": asdict(self.limits), "parent": os.getpid()}
        options["modules"] = {name: str(path) for name, path in {**(modules or {}), "worker": worker}.items()}
        # Isolated mode leaves out the user's own packages, and torch may be one of them.
        options["packages"] = [folder for folder in sys.path if holds_packages(folder)]
        self.process = subprocess.Popen(
            [python, "-I", "-B", isolation.__file__, json.dumps(options)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,  # a buffer has a lock; a waiting thread would hold it, and closing would wait for that thread
            cwd=self.scratch,
            env=_environment(self.scratch),
            start_new_session=True,
        )
        works = (self._read_messages, self._read_output, self._watch)
        self.threads = [threading.Thread(target=work, daemon=True) for work in works]
        for thread in self.threads:
            thread.start()

    def __enter__(self) -> Box:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def output(self) -> str:
        """The part of its printed output that is kept."""
        return self.printed.decode(errors="replace")

    def ask(self, message: bytes, seconds: float | None = None) -> bytes:
        """Send a message and wait for its answer. Raises Stopped when the process has ended or has been killed."""
        allowed = max(0.01, min(self.until - time.monotonic(), self.limits.seconds if seconds is None else seconds))
        self.asked = True
        # In a thread, because a process that does not read would block the writer.
        threading.Thread(target=self._write, args=(message,), daemon=True).start()
        try:
            answer = self.arrived.get(timeout=allowed)
        except queue.Empty:
            self._stop("time", f"no answer in {allowed:.0f} s: is there a loop that does not end?")
        if isinstance(answer, Stopped):
            self._stop(answer.reason, str(answer))
        return answer

    def _stop(self, reason: str, message: str) -> NoReturn:
        self.close()
        raise Stopped(reason, message)

    def close(self) -> None:
        """Kill the process and its group, and remove its folder. A second call does nothing."""
        if self.closed.is_set():  # its number may belong to another process now
            return
        self.closed.set()
        if hasattr(os, "killpg"):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        self.process.wait()
        until = time.monotonic() + 1  # it takes longer only if a process that escaped still holds the pipes
        for thread in self.threads:
            thread.join(max(0, until - time.monotonic()))
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.close()
        _remove(self.scratch)

    def _write(self, message: bytes) -> None:
        left = memoryview(LENGTH.pack(len(message)) + message)
        with contextlib.suppress(OSError, ValueError):  # the process has ended; the reader reports it
            while left:
                left = left[self.process.stdin.write(left) :]

    def _read_messages(self) -> None:
        """Hand over one message for each request. Reading stops at a message without a request, because a stream of
        them would fill this process's memory."""
        try:
            largest = self.limits.frame_mb * 2**20
            while (message := read_message(self.process.stdout, largest, lambda: self.asked)) is not None:
                self.asked = False
                self.arrived.put(message)
            self.arrived.put(self._how_it_ended())
        except (OSError, ValueError) as error:
            self.arrived.put(Stopped("protocol", f"it sent a broken message ({error})"))

    def _watch(self) -> None:
        """Kill the process when it exceeds a limit that the system does not enforce by itself."""
        while not self.closed.wait(0.1):
            if (threads := _threads(self.process.pid)) > self.limits.threads:
                beyond = f"it ran {threads} threads, but {self.limits.threads} are allowed"
            elif _size(self.scratch) > self.limits.folder_mb * 2**20:
                beyond = f"it wrote more than {self.limits.folder_mb} MB of files"
            else:
                continue
            self.arrived.put(Stopped("ended", beyond))
            self.process.kill()
            return

    def _how_it_ended(self) -> Stopped:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(timeout=2)
        code = self.process.returncode
        if code is not None and code < 0:
            name = next((one.name for one in signal.Signals if one == -code), f"signal {-code}")
            if name == "SIGXCPU":
                return Stopped("cpu", f"it used more than {self.limits.cpu_seconds} s of processor time")
            if name == "SIGKILL":
                return Stopped("ended", "the system killed it: it used more processor time or memory than is allowed")
            return Stopped("ended", f"the process was ended by {name}")
        return Stopped("ended", f"the process ended by itself (status {code})")

    def _read_output(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            while data := self.process.stderr.read(2**16):  # all of it, so that printing never blocks the process
                self.printed += data[: max(0, self.limits.output_kb * 1024 - len(self.printed))]


def _threads(process: int) -> int:
    """The number of threads of a process; 0 if it is not known."""
    try:
        return int(Path(f"/proc/{process}/status").read_text(encoding="ascii").split("Threads:")[1].split()[0])
    except (OSError, IndexError, UnicodeDecodeError):
        return 0


def _size(folder: Path) -> int:
    """The total size in bytes of the files in a folder, at least 4 kB each; 0 if it is not known."""
    try:
        with os.scandir(folder) as entries:
            return sum(max(4096, entry.stat(follow_symlinks=False).st_size) for entry in entries)
    except OSError:  # a file, or the folder, was removed meanwhile
        return 0


def _remove(folder: Path) -> None:
    """Remove a folder, including folders in it that even their owner may not open."""
    for path, names, _ in os.walk(folder):
        for inner in (Path(path, name) for name in names):
            if not inner.is_symlink():
                with contextlib.suppress(OSError):
                    inner.chmod(0o700)
    shutil.rmtree(folder, ignore_errors=True)


def _environment(scratch: Path) -> dict[str, str]:
    """Only what Python needs of the parent's environment, and one thread for every library that computes."""
    kept = {name: os.environ[name] for name in ("SYSTEMROOT", "LD_LIBRARY_PATH", "LANG") if name in os.environ}
    one_thread = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "MKL", "OPENBLAS", "NUMEXPR")}
    # One arena, because more would reserve address space, which is limited. And no GPU.
    fixed = {"MALLOC_ARENA_MAX": "1", "CUDA_VISIBLE_DEVICES": "", "PATH": os.defpath}
    # The last name is torch's: its optimizers would create a folder, which the process is not allowed to do.
    folders = dict.fromkeys(("HOME", "TMPDIR", "TEMP", "TMP", "TORCHINDUCTOR_CACHE_DIR"), str(scratch))
    return {**kept, **one_thread, **fixed, **folders}
