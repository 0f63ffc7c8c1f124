"""A process of its own for code that nobody has read, with limits, and a way to talk to it in bytes.

This file stands alone, for it is both ends: `Box` here starts the process, and the process runs this file, shuts itself
in (`shut_in`) and then serves `worker.py`. What keeps the code in, and what does not:

Linux (5.13 or newer, x86-64 or 64-bit Arm)
    Files: Landlock lets it read Python's library and the installed packages except minibert, and write only its own
    scratch folder. Network, new processes, signals, and calls that change the machine: refused by a seccomp filter.
    As root it loses every capability first. Memory, processor time, file size: resource limits. Time: the parent
    kills it. Not covered: it may read the installed packages, world-readable system libraries and its own memory; it
    sees which files exist where it may read; older kernels (before 6.2) let it cut files short that it could write;
    a bug in the kernel; what is learned from timing.
Other Unix systems, macOS, older Linux
    Resource limits and the parent's clock only. It can read what you can read, write what you can write (in its
    scratch folder by default), and use the network. macOS does not enforce the limit on memory.
Windows
    The parent's clock only.
Everywhere: what it says about itself may be a lie, so the marks are decided elsewhere, from the values it sends. And
for a class of strangers, run the marking in a container or a virtual machine besides, as Gradescope does.

`Box.protections` says which of these are on.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import json
import os
import platform
import queue
import shutil
import signal
import struct
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

LENGTH = struct.Struct("<Q")


@dataclass(frozen=True)
class Limits:
    """seconds: the whole life of the process. memory_mb: beyond what torch itself takes. output_kb: kept of what it
    prints. frame_mb: the largest message that is accepted from it."""

    seconds: float = 60.0
    cpu_seconds: int = 60
    memory_mb: int = 1024
    file_mb: int = 8
    output_kb: int = 64
    frame_mb: int = 64


class Stopped(Exception):
    """The process is no more. reason: "time", "ended" (it ended or was ended by a limit) or "protocol"."""

    def __init__(self, reason: str, message: str):
        super().__init__(message)
        self.reason = reason


# ------------------------------------------------------------------------------------------- the parent's end


class Box:
    """A process in which a worker serves; use it in a `with` block, or call `close`."""

    def __init__(self, worker: Path, limits: Limits = Limits(), python: str = sys.executable):
        self.limits = limits
        self.until = time.monotonic() + limits.seconds
        self.scratch = Path(tempfile.mkdtemp(prefix="minibert-box-"))
        self.printed = bytearray()
        self.arrived: queue.Queue[bytes | Stopped] = queue.Queue()
        options = json.dumps({"worker": str(worker), "scratch": str(self.scratch), "limits": asdict(limits)})
        self.process = subprocess.Popen(
            [python, "-I", "-B", __file__, options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=self.scratch,
            env=_environment(self.scratch),
            start_new_session=True,
        )
        for read in (self._read_messages, self._read_output):
            threading.Thread(target=read, daemon=True).start()

    def __enter__(self) -> Box:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def output(self) -> str:
        """What it has printed, as much as is kept."""
        return self.printed.decode(errors="replace")

    def ask(self, message: bytes, seconds: float | None = None) -> bytes:
        """Send a message and wait for the one that answers it. Raises Stopped, and then the process is gone."""
        allowed = min(self.until - time.monotonic(), seconds or self.limits.seconds)
        if not self.arrived.empty():
            self._stop("protocol", "it sent a message that nobody had asked for")
        # In a thread, for a process that does not read would hold up the writer.
        threading.Thread(target=self._write, args=(message,), daemon=True).start()
        try:
            answer = self.arrived.get(timeout=max(allowed, 0.01))
        except queue.Empty:
            self._stop("time", f"no answer in {allowed:.0f} s: is there a loop that does not end?")
        if isinstance(answer, Stopped):
            self._stop(answer.reason, str(answer))
        return answer

    def _stop(self, reason: str, message: str) -> None:
        self.close()
        raise Stopped(reason, message)

    def close(self) -> None:
        """Kill whatever is left of it and remove its folder."""
        if hasattr(os, "killpg"):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.close()
        shutil.rmtree(self.scratch, ignore_errors=True)

    def _write(self, message: bytes) -> None:
        with contextlib.suppress(OSError, ValueError):  # it is gone, which the reader tells
            self.process.stdin.write(LENGTH.pack(len(message)) + message)
            self.process.stdin.flush()

    def _read_messages(self) -> None:
        stream = self.process.stdout
        try:
            while True:
                message = read_message(stream, self.limits.frame_mb * 2**20)
                if message is None:
                    self.arrived.put(self._how_it_ended())
                    return
                self.arrived.put(message)
        except (OSError, ValueError) as error:
            self.arrived.put(Stopped("protocol", f"it sent no proper message ({error})"))

    def _how_it_ended(self) -> Stopped:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(timeout=2)
        code = self.process.returncode
        if code is not None and code < 0:
            name = signal.Signals(-code).name
            if name in ("SIGXCPU", "SIGKILL"):
                return Stopped("ended", "it used more processor time or memory than it may")
            return Stopped("ended", f"the process was ended by {name}")
        return Stopped("ended", f"the process ended by itself (status {code})")

    def _read_output(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            while data := self.process.stderr.read1(2**16):  # what is too much is read all the same, and dropped
                self.printed += data[: max(0, self.limits.output_kb * 1024 - len(self.printed))]


def read_message(stream: BinaryIO, largest: int) -> bytes | None:
    """The next message, or None at the end. Raises ValueError for one that is cut short or too long."""
    head = stream.read(LENGTH.size)
    if not head:
        return None
    if len(head) < LENGTH.size:
        raise ValueError("half a length")
    (size,) = LENGTH.unpack(head)
    if size > largest:
        raise ValueError(f"{size} bytes, where {largest} is the most")
    message = stream.read(size)
    if len(message) < size:
        raise ValueError("half a message")
    return message


def _environment(scratch: Path) -> dict[str, str]:
    """Nothing of the parent's but what Python needs; one thread for whatever computes."""
    kept = {name: os.environ[name] for name in ("SYSTEMROOT", "LD_LIBRARY_PATH", "LANG") if name in os.environ}
    one_thread = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "MKL", "OPENBLAS", "NUMEXPR")}
    return {**kept, **one_thread, "PATH": os.defpath, "HOME": str(scratch), "TMPDIR": str(scratch)}


# --------------------------------------------------------------------------------------------- the child's end


def main(options: str) -> None:
    """Serve the worker, shut in. Messages come on what was stdin and leave on what was stdout."""
    asked = json.loads(options)
    limits, scratch = Limits(**asked["limits"]), Path(asked["scratch"])
    receiving, sending = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)  # what is printed goes the way of the errors
    worker_source = Path(asked["worker"]).read_text(encoding="utf-8")
    protections = {"files": _landlock(scratch, [Path(asked["worker"])])}
    worker = _module("worker", asked["worker"], worker_source)  # imports torch
    protections |= shut_in(limits)

    def send(message: bytes) -> None:
        sending.write(LENGTH.pack(len(message)) + message)
        sending.flush()

    worker.serve(lambda: read_message(receiving, limits.frame_mb * 2**20), send, protections)


def _module(name: str, path: str, source: str) -> Any:
    spec = importlib.util.spec_from_loader(name, loader=None, origin=path)
    module = importlib.util.module_from_spec(spec)
    module.__file__ = path
    sys.modules[name] = module
    exec(compile(source, path, "exec"), module.__dict__)
    return module


def shut_in(limits: Limits) -> dict[str, bool]:
    """Take from this process what it will not need. Returns what could be taken: a name -> whether it was."""
    found = {"limits": _resource_limits(limits)}
    if sys.platform == "linux":
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)  # it does not outlive the parent
        _drop_capabilities()
    calls = _seccomp()
    return found | {"processes": calls, "network": calls}


def _resource_limits(limits: Limits) -> bool:
    try:
        import resource
    except ImportError:  # Windows
        return False
    sizes = {"CPU": limits.cpu_seconds, "FSIZE": limits.file_mb * 2**20, "CORE": 0, "NOFILE": 256}
    if sys.platform == "linux":
        status = Path("/proc/self/status").read_text(encoding="ascii")
        taken = int(status.split("VmData:")[1].split()[0]) * 1024
        sizes["DATA"] = taken + limits.memory_mb * 2**20
    else:
        sizes |= {"AS": 64 * limits.memory_mb * 2**20, "NPROC": 0}
    for name, size in sizes.items():
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (size, size + (name == "CPU")))
    return True


# The rest is Linux. Numbers are the kernel's (include/uapi/linux/*.h and its system call tables).

libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS = 1, 38


def _drop_capabilities() -> None:
    """Root without capabilities owns its files and no more: it cannot mount, raise limits, or set the clock."""
    header = struct.pack("<Ii", 0x20080522, 0)
    libc.capset(header, bytes(24))


# Landlock's rights: read a file or a folder; and all there are, by the version that brought them.
READ_FILE, READ_DIR, EXECUTE, WRITE_FILE, IOCTL_DEV = 1 << 2, 1 << 3, 1 << 0, 1 << 1, 1 << 15
RIGHTS_BY_VERSION = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 4: (1 << 15) - 1, 5: (1 << 16) - 1}
LANDLOCK_CREATE, LANDLOCK_ADD, LANDLOCK_RESTRICT = 444, 445, 446  # the same on every architecture


def _landlock(scratch: Path, readable: Sequence[Path]) -> bool:
    """From here on this process opens only what it may; see the head of this file."""
    if libc is None:
        return False
    version = libc.syscall(LANDLOCK_CREATE, None, 0, 1)
    if version < 1:
        return False
    rights = RIGHTS_BY_VERSION[min(version, max(RIGHTS_BY_VERSION))]
    network = 0b11 if version >= 4 else 0  # bind and connect
    scope = 0b11 if version >= 6 else 0  # abstract sockets and signals
    size = 24 if version >= 6 else 16 if version >= 4 else 8
    attributes = struct.pack("<QQQ", rights, network, scope)
    rules = libc.syscall(LANDLOCK_CREATE, attributes, size, 0)
    if rules < 0:
        return False
    allowed = dict.fromkeys([*_library(), *readable], READ_FILE | READ_DIR | EXECUTE)
    allowed |= {scratch: rights & ~IOCTL_DEV}
    allowed |= {Path(f"/dev/{name}"): READ_FILE | WRITE_FILE for name in ("null", "zero", "urandom", "random")}
    for path, access in allowed.items():
        if not path.is_dir():
            access &= READ_FILE | WRITE_FILE | EXECUTE
        try:
            opened = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except OSError:
            continue
        libc.syscall(LANDLOCK_ADD, rules, 1, struct.pack("<Qi", access & rights, opened), 0)
        os.close(opened)
    libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    done = libc.syscall(LANDLOCK_RESTRICT, rules, 0) == 0
    os.close(rules)
    return done


def _library() -> Iterator[Path]:
    """What Python and the packages need to read: all but minibert."""
    paths = sysconfig.get_paths()
    packages = {Path(paths["purelib"]), Path(paths["platlib"])}
    for folder in packages:
        if folder.is_dir():
            ours = ("minibert", "__editable__")
            yield from (entry for entry in folder.iterdir() if not entry.name.startswith(ours))
    for name in ("stdlib", "platstdlib"):
        folder = Path(paths[name])
        if folder.is_dir():  # one by one, for the packages may lie in it
            yield from (entry for entry in folder.iterdir() if entry not in packages and entry.name != "site-packages")
    yield Path(sys.base_prefix) / "lib" / f"libpython{sys.version_info.major}.{sys.version_info.minor}.so.1.0"
    yield from map(Path, ("/usr/lib", "/usr/lib64", "/lib", "/lib64", "/usr/local/lib", "/etc/ld.so.cache"))
    yield from map(Path, ("/proc/cpuinfo", "/proc/meminfo", "/proc/self", "/sys/devices/system/cpu"))
    yield Path("/usr/share/zoneinfo")


# System calls that are refused: their numbers on x86-64 and on 64-bit Arm (None: there is no such call there).
REFUSED = {
    "fork": (57, None), "vfork": (58, None), "execve": (59, 221), "execveat": (322, 281),
    "socket": (41, 198), "socketpair": (53, 199), "connect": (42, 203), "bind": (49, 200),
    "kill": (62, 129), "tkill": (200, 130), "tgkill": (234, 131), "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240), "pidfd_open": (434, 434), "pidfd_send_signal": (424, 424),
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271),
    "setsid": (112, 157), "setpgid": (109, 154), "unshare": (272, 97), "setns": (308, 268), "mount": (165, 40),
    "bpf": (321, 280), "perf_event_open": (298, 241), "io_uring_setup": (425, 425), "keyctl": (250, 219),
    # Landlock does not watch over owners, modes and times.
    "chmod": (90, None), "fchmod": (91, 52), "fchmodat": (268, 53), "fchmodat2": (452, 452),
    "chown": (92, None), "fchown": (93, 55), "lchown": (94, None), "fchownat": (260, 54),
    "utime": (132, None), "utimes": (235, None), "futimesat": (261, None), "utimensat": (280, 88),
    "setxattr": (188, 5), "lsetxattr": (189, 6), "fsetxattr": (190, 7), "removexattr": (197, 14),
}  # fmt: skip
ARCHITECTURES = {"x86_64": (0, 0xC000003E, 56, 317), "aarch64": (1, 0xC00000B7, 220, 277)}  # column, id, clone, seccomp
CLONE3, CLONE_THREAD, X32 = 435, 0x10000, 0x40000000
ALLOW, REFUSE, ABSENT = 0x7FFF0000, 0x00050000 | 1, 0x00050000 | 38  # the last two: EPERM, and ENOSYS


def _seccomp() -> bool:
    """Refuse the calls above, and clone except for threads, in all threads of this process."""
    machine = platform.machine()
    if libc is None or machine not in ARCHITECTURES or struct.calcsize("P") != 8:
        return False
    column, architecture, clone, seccomp = ARCHITECTURES[machine]
    load, equal, at_least, has, give = 0x20, 0x15, 0x35, 0x45, 0x06
    numbers = [both[column] for both in REFUSED.values() if both[column] is not None]
    program = [(load, 0, 0, 4), (equal, 1, 0, architecture), (give, 0, 0, REFUSE)]
    program += [(load, 0, 0, 0), (at_least, 0, 1, X32), (give, 0, 0, REFUSE)]
    for number in numbers:
        program += [(equal, 0, 1, number), (give, 0, 0, REFUSE)]
    # clone3 hides its flags from a filter; told that there is none, the C library takes clone.
    program += [(equal, 0, 1, CLONE3), (give, 0, 0, ABSENT)]
    program += [(equal, 0, 3, clone), (load, 0, 0, 16), (has, 1, 0, CLONE_THREAD), (give, 0, 0, REFUSE)]
    program += [(give, 0, 0, ALLOW)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("<HBBI", *line) for line in program))
    pointer = struct.pack("<HxxxxxxQ", len(program), ctypes.addressof(code))
    libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    set_filter, all_threads = 1, 1
    return libc.syscall(seccomp, set_filter, all_threads, pointer) == 0


if __name__ == "__main__":
    main(sys.argv[1])
