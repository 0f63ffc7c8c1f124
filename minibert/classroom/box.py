"""The parent's end of the box: it starts a process, asks it, watches its limits, and kills it.

What the code in the process can and cannot do is described in `isolation.py`, which the process runs.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import queue
import select
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NoReturn

from minibert.classroom import isolation
from minibert.classroom.isolation import LENGTH, Limits, holds_packages, read_message
from minibert.signs import signal_name

PROGRESS = "statement"  # the file whose first bytes are kept when the process has ended: see worker.py
PROTECTIONS = ("files", "limits", "processes", "network")
START_SECONDS = 120.0  # of its own time, until the process has loaded torch


class Stopped(Exception):
    """The process has ended. reason: "time", "cpu", "ended" (by itself or by a limit) or "protocol"."""

    def __init__(self, reason: str, message: str):
        super().__init__(message)
        self.reason = reason


class Box:
    """A process in which a worker serves; use it in a `with` block, or call `close`.

    worker: a file with a function `serve(receive, send, protections)`. modules: files that are loaded before it, in
    this order, by the names under which the worker imports them. nursery: a process that has loaded both already and
    forks this one; it has only one box at a time. Attributes: protections: which are on, as the process said before it
    got anything to do; used: seconds of its own time that the last request took.
    """

    def __init__(
        self,
        worker: Path,
        limits: Limits | None = None,
        python: str = sys.executable,
        modules: Mapping[str, Path] | None = None,
        nursery: Nursery | None = None,
    ):
        self.limits = limits or Limits()
        self.until = time.monotonic() + self.limits.life
        self.scratch = Path(tempfile.mkdtemp(prefix="minibert-box-"))
        self.printed = bytearray()
        self.arrived: queue.Queue[bytes | Stopped] = queue.Queue()
        self.protections: dict[str, bool] | None = None
        self.used = 0.0
        self.asked = True  # its first message comes without being asked for
        self.closed = threading.Event()
        self.kept: dict[str, bytes] = {}
        options: dict[str, Any] = {"scratch": str(self.scratch), "limits": asdict(self.limits)}
        options["environment"] = environment(self.scratch)
        try:
            self.process = nursery.fork(options) if nursery else started(worker, modules, python, self.scratch, options)
        except BaseException:
            _remove(self.scratch)
            raise
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
        """Send a message and wait for its answer. Raises Stopped when the process has ended or has been killed.

        seconds: of the process's own time, which passes neither while it waits for a processor nor before it is ready.
        """
        if self.protections is None:
            self.protections = self._greeting(self._answer(START_SECONDS))
        self.asked = True
        # In a thread, because a process that does not read would block the writer.
        threading.Thread(target=self._write, args=(message,), daemon=True).start()
        return self._answer(self.limits.seconds if seconds is None else seconds)

    def _answer(self, seconds: float) -> bytes:
        clock = Clock(self.process.pid)
        self.used = 0.0
        while True:
            left = min(seconds - self.used, self.until - time.monotonic())
            if left <= 0:
                self._stop("time", f"no answer in {seconds:.0f} s: is there a loop that does not end?")
            try:
                # It is looked at again now and then, because the clock here can be ahead of the process's own.
                answer = self.arrived.get(timeout=max(0.005, left))
                break
            except queue.Empty:
                self.used = clock.passed()
        self.used = clock.passed()
        if isinstance(answer, Stopped):
            self._stop(answer.reason, str(answer))
        return answer

    def _greeting(self, message: bytes) -> dict[str, bool]:
        try:
            said = json.loads(message)
            if sorted(said) == sorted(PROTECTIONS) and all(type(on) is bool for on in said.values()):
                return {name: said[name] for name in PROTECTIONS}
        except (ValueError, TypeError, AttributeError):
            pass
        self._stop("protocol", "it did not say which protections are on")

    def left_behind(self, name: str) -> bytes:
        """The first bytes of a file in its folder; empty if there is none. Only after the process has ended."""
        return self.kept.get(name, b"")

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
        self.kept = {PROGRESS: _first_bytes(self.scratch / PROGRESS)}
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
            name = signal_name(code)
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


def _first_bytes(path: Path) -> bytes:
    """The first bytes of a regular file that code nobody has read may have put there."""
    try:
        opened = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    except OSError:
        return b""
    try:
        return os.read(opened, 16) if stat.S_ISREG(os.fstat(opened).st_mode) else b""
    finally:
        os.close(opened)


# ------------------------------------------------------------------------------------- clocks and processes


class Clock:
    """A process's own time since this was made, in seconds: what it used of the processors, or slept.

    The time in which it was ready but the processors did other work is left out, where Linux tells it. So a busy
    machine costs nobody anything, and sleeping does.
    """

    def __init__(self, process: int):
        self.process = process
        self.slept = 0.0  # at least so long, with what it used, as was last seen while it slept
        self.began, self.ready, self.used, self.waited = time.monotonic(), *self._now()

    def passed(self) -> float:
        ready, used, waited = self._now()
        # Linux counts a wait for a processor when it ends. So of one that is ready it is not known how much of the time
        # it has waited; what it slept is counted when it sleeps again.
        if not ready:
            self.slept = max(self.slept, time.monotonic() - self.began - (waited - self.waited))
        return max(used - self.used, self.slept)

    def processor_time(self) -> float:
        """Only what it used of the processors, in seconds, since this was made."""
        return self._now()[1] - self.used

    def _now(self) -> tuple[bool, float, float]:
        """Whether it runs or waits for a processor; seconds of processor time of all its threads, and in which its
        first thread waited for a processor."""
        try:
            times = Path(f"/proc/{self.process}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2]
            state, used = times.split()[0], sum(map(int, times.split()[11:13])) / os.sysconf("SC_CLK_TCK")
            waited = int(Path(f"/proc/{self.process}/schedstat").read_text(encoding="ascii").split()[1]) / 1e9
            return state == "R", used, waited
        except (OSError, ValueError, IndexError):  # another system, or it has ended
            return False, getattr(self, "used", 0.0), getattr(self, "waited", 0.0)


def environment(scratch: Path) -> dict[str, str]:
    """Only what Python needs of the parent's environment, and one thread for every library that computes."""
    kept = {name: os.environ[name] for name in ("SYSTEMROOT", "LD_LIBRARY_PATH", "LANG") if name in os.environ}
    if "LD_LIBRARY_PATH" in kept:  # an empty part of it means the current folder
        kept["LD_LIBRARY_PATH"] = ":".join(part for part in kept["LD_LIBRARY_PATH"].split(":") if os.path.isabs(part))
    one_thread = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "MKL", "OPENBLAS", "NUMEXPR")}
    # One arena, because more would reserve address space, which is limited. No GPU, and no windows for plots.
    fixed = {"MALLOC_ARENA_MAX": "1", "CUDA_VISIBLE_DEVICES": "", "PATH": os.defpath, "MPLBACKEND": "agg"}
    # The last names are those of libraries that would create a folder, which the process is not allowed to do.
    names = ("HOME", "TMPDIR", "TEMP", "TMP", "TORCHINDUCTOR_CACHE_DIR", "MPLCONFIGDIR", "IPYTHONDIR")
    return {**kept, **one_thread, **fixed, **dict.fromkeys(names, str(scratch))}


def started(
    worker: Path, modules: Mapping[str, Path] | None, python: str, folder: Path, options: Mapping[str, Any], **how: Any
) -> subprocess.Popen[bytes]:
    """A new process that runs isolation.py, in isolated mode: nothing from the folder it is started in is imported."""
    whole = {**options, "parent": os.getpid()}
    whole["modules"] = {name: str(path) for name, path in {**(modules or {}), "worker": worker}.items()}
    # Isolated mode leaves out the user's own packages, and torch may be one of them.
    whole["packages"] = [one for one in sys.path if holds_packages(one)]
    pipes = how or dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    return subprocess.Popen(
        [python, "-I", "-B", isolation.__file__, json.dumps(whole)],
        **pipes,
        bufsize=0,  # a buffer has a lock; a waiting thread would hold it, and closing would wait for that thread
        cwd=folder,
        env=environment(folder),
        start_new_session=True,
    )


class Nursery:
    """A process that has loaded torch and a worker, and forks boxes that have them at once. Linux only.

    preload: the names of further modules to load.

    It has not seen any submission, and what happens in a box does not reach it.
    """

    def __init__(self, worker: Path, modules: Mapping[str, Path] | None = None, preload: Sequence[str] = ()):
        self.folder = Path(tempfile.mkdtemp(prefix="minibert-box-"))
        self.asking, theirs = socket.socketpair()
        quiet = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
        options = {"nursery": theirs.fileno(), "preload": list(preload)}
        with theirs:
            self.process = started(
                worker, modules, sys.executable, self.folder, options, pass_fds=(theirs.fileno(),), **quiet
            )
        self.child: Forked | None = None
        self.asking.settimeout(300)  # it has to load torch first
        atexit.register(self.close)

    def fork(self, options: Mapping[str, Any]) -> Forked:
        """A new box. The one before must have ended. Raises Stopped if the nursery has."""
        if self.child is not None:
            self.child.kill()
            self.child.wait()
        pipes = [os.pipe() for _ in range(3)]
        theirs, ours = [pipes[0][0], pipes[1][1], pipes[2][1]], [pipes[0][1], pipes[1][0], pipes[2][0]]
        try:
            socket.send_fds(self.asking, [json.dumps(options).encode()], theirs)
            number = int(_line(self.asking) or 0)
        except OSError:
            number = 0
        finally:
            for descriptor in theirs:
                os.close(descriptor)
        if not number:
            for descriptor in ours:
                os.close(descriptor)
            self.close()
            raise Stopped("ended", "the process that starts the boxes has ended")
        self.child = Forked(number, ours, self.asking)
        return self.child

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def close(self) -> None:
        atexit.unregister(self.close)
        self.process.kill()
        self.process.wait()
        self.asking.close()
        _remove(self.folder)


class Forked:
    """A process that a nursery has forked, with the methods of subprocess.Popen that are used here."""

    def __init__(self, number: int, pipes: Sequence[int], asking: socket.socket):
        self.pid = number
        self.stdin = os.fdopen(pipes[0], "wb", buffering=0)
        self.stdout, self.stderr = (os.fdopen(one, "rb", buffering=0) for one in pipes[1:])
        self.asking = asking
        self.returncode: int | None = None
        self.lock = threading.Lock()

    def poll(self) -> int | None:
        return self._status(0.0)

    def wait(self, timeout: float | None = None) -> int:
        status = self._status(timeout)
        if status is None:
            raise subprocess.TimeoutExpired("a box", timeout or 0.0)
        return status

    def kill(self) -> None:
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)

    def _status(self, timeout: float | None) -> int | None:
        with self.lock:
            if self.returncode is None and select.select([self.asking], [], [], timeout)[0]:
                line = _line(self.asking)
                self.returncode = int(line) if line else -signal.SIGKILL  # the nursery has ended, and it with it
            return self.returncode


def _line(stream: socket.socket) -> bytes:
    """One line, read byte by byte: nothing of the next line may be taken, because `select` would not see it then."""
    found = b""
    while not found.endswith(b"\n") and (one := stream.recv(1)):
        found += one
    return found
