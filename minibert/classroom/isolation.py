"""A process that gives up its rights before it runs code that nobody has read; messages to and from it are bytes.

`box.py` starts the process, and the process runs this file: it gives up its rights (`shut_in`), says which protections
are on, and serves the worker (`worker.py` when submissions are graded). So this file imports nothing from minibert. A
process can also be a nursery: it loads the worker once, and then forks a box each time it is asked (`nursery`). What
the code in a box can and cannot do:

Linux (5.13 or newer, x86-64 or 64-bit Arm)
    Files: with Landlock it can read Python's library, the installed packages except minibert, and the worker's own
    files, and it can write only to its scratch folder, where it can create files but no folders, links or pipes.
    A seccomp filter refuses the network, new processes, signals, and system calls that reach other processes or change
    the machine. If it is root, it loses all capabilities first. Resource limits apply to memory (the address space,
    including shared memory), processor time and file size. The parent watches the time and, ten times a second, the
    size of the folder and the number of threads, and kills the process when it exceeds one of the limits.
    Not covered: it can read the installed packages, system libraries and its own memory. It can find out whether any
    path exists, and its size and date. On kernels before 6.2 it can truncate files that you could write to. Between two
    checks it can exceed the limits for a moment. Nothing here protects against kernel bugs and timing attacks.
Linux without Landlock (older kernels, some containers), or on other processors
    Without Landlock the seccomp filter still refuses the network, processes and signals, but the code can read and
    write every file that you can. On other processors it is the reverse: Landlock works, and the filter does not.
macOS and other Unix systems
    Only the resource limits and the parent's time limit. The code can read and write every file that you can (it starts
    in its scratch folder) and use the network. macOS does not enforce the limit on memory. If new processes are not
    refused, one that leaves the process group survives when the others are killed.
Windows
    Only the parent's time limit.
Everywhere: the code can lie about itself, so the marks are decided outside, from the values that it returns. If you
mark files from strangers, run the marking in a container or a virtual machine as well, as Gradescope does.

Which protections are on is said in the first message, before any code of a submission is there, and `minibert grade`
writes it into its report.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import importlib.util
import json
import os
import platform
import signal
import socket
import struct
import sys
import sysconfig
import tempfile
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

LENGTH = struct.Struct("<Q")


@dataclass(frozen=True)
class Limits:
    """seconds: for one request, of the process's own time, which stands still while it waits for a processor; and for
    all that is asked of it for one exercise. cpu_seconds: of processor time, for the whole process. life:
    seconds on the clock until it is ended in any case. memory_mb: in addition to what torch itself needs. file_mb: for
    one file; folder_mb: for all files in its folder. output_kb: how much of its printed output is kept. frame_mb: the
    largest message that is accepted from it.
    """

    seconds: float = 20.0
    cpu_seconds: int = 900
    life: float = 3600.0
    memory_mb: int = 1024
    file_mb: int = 8
    folder_mb: int = 64
    threads: int = 64
    output_kb: int = 64
    frame_mb: int = 64


# ------------------------------------------------------------------------------------------------ messages


def read_message(stream: BinaryIO, largest: int, expected: Callable[[], bool] = lambda: True) -> bytes | None:
    """The next message, or None at the end. Raises ValueError for one that is incomplete, too long or not expected."""
    head = _read(stream, LENGTH.size)
    if not head:
        return None
    if not expected():
        raise ValueError("it was not asked for")
    if len(head) < LENGTH.size:
        raise ValueError("its length is incomplete")
    (size,) = LENGTH.unpack(head)
    if size > largest:
        raise ValueError(f"it has {size} bytes, but {largest} are allowed")
    message = _read(stream, size)
    if len(message) < size:
        raise ValueError("it is incomplete")
    return message


def _read(stream: BinaryIO, size: int) -> bytes:
    """`size` bytes, or fewer at the end. Memory is used for the bytes that arrive, not for the announced size."""
    parts = bytearray()
    while len(parts) < size and (part := stream.read(min(size - len(parts), 2**20))):
        parts += part
    return bytes(parts)


# ------------------------------------------------------------------------------------- giving up the rights


def main(options: str) -> None:
    """Load the worker, and be a box, or a nursery that forks boxes. What is printed goes to stderr."""
    asked = json.loads(options)
    paths = {name: Path(path) for name, path in asked["modules"].items()}
    # Read now, because they are in the folders of minibert, which cannot be opened later.
    sources = {name: path.read_text(encoding="utf-8") for name, path in paths.items()}
    sys.path += [folder for folder in asked["packages"] if folder not in sys.path]
    _end_with_parent(asked["parent"])
    if "nursery" in asked:
        nursery(asked["nursery"], lambda: _loaded(paths, sources), asked["preload"])
    else:
        box(asked, [*_library(), *((path, READ_FILE) for path in paths.values())], lambda: _loaded(paths, sources))


def box(asked: dict[str, Any], readable: Sequence[tuple[Path, int]], load: Callable[[], Any]) -> None:
    """Give up this process's rights and serve the worker. Messages arrive on its stdin and leave on its stdout."""
    limits, scratch = Limits(**asked["limits"]), Path(asked["scratch"])
    receiving, sending = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)

    def send(message: bytes) -> None:
        sending.write(LENGTH.pack(len(message)) + message)
        sending.flush()

    if libc is not None:
        _drop_capabilities()  # before there are other threads, because each thread has its own
    protections = {"files": _landlock(scratch, readable)}
    worker = load()  # this imports torch
    protections |= shut_in(limits)
    send(json.dumps(protections).encode())
    worker.serve(lambda: read_message(receiving, limits.frame_mb * 2**20), send, protections)


def nursery(number: int, load: Callable[[], Any], preload: Sequence[str]) -> None:
    """Load the worker, and for each request fork a box; one at a time. Requests arrive on the socket of this number.

    preload: further modules to load, if they are installed. A request is the options of a box, with its stdin, stdout
    and stderr. It is answered by the number of its process, and by its exit status when it has ended.
    """
    with socket.socket(fileno=number) as asking:
        worker = load()
        for name in preload:
            with contextlib.suppress(ImportError):
                importlib.import_module(name)
        readable = list(_library())
        gc.freeze()  # so that the boxes share this memory
        while True:
            data, descriptors, _, _ = socket.recv_fds(asking, 2**16, 3)
            if len(descriptors) < 3:
                return
            nurse = os.getpid()
            child = os.fork()
            if child == 0:
                try:
                    _become_box(json.loads(data), asking, descriptors, nurse)
                    box(json.loads(data), readable, lambda: worker)
                except BaseException:
                    traceback.print_exc()
                os._exit(0)
            for descriptor in descriptors:
                os.close(descriptor)
            asking.sendall(b"%d\n" % child)
            _, status = os.waitpid(child, 0)
            asking.sendall(b"%d\n" % os.waitstatus_to_exitcode(status))


def _become_box(asked: dict[str, Any], asking: socket.socket, descriptors: Sequence[int], nurse: int) -> None:
    """In a process that was just forked: leave everything behind that belongs to the nursery."""
    os.setsid()
    _end_with_parent(nurse)
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
    asking.detach()
    os.closerange(3, 1024)
    os.environ.update(asked["environment"])
    os.chdir(asked["scratch"])
    tempfile.tempdir = None


def _end_with_parent(parent: int) -> None:
    """Be killed when the parent's thread that made this process ends. The parent may have ended already."""
    if libc is not None:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)


def _loaded(paths: Mapping[str, Path], sources: Mapping[str, str]) -> Any:
    """The last of these modules, after the others."""
    for name, path in paths.items():
        worker = _module(name, str(path), sources[name])
    return worker


def holds_packages(folder: str) -> bool:
    return Path(folder).name in ("site-packages", "dist-packages")


def _module(name: str, path: str, source: str) -> Any:
    spec = importlib.util.spec_from_loader(name, loader=None, origin=path)
    module = importlib.util.module_from_spec(spec)
    module.__file__ = path
    sys.modules[name] = module
    exec(compile(source, path, "exec"), module.__dict__)
    return module


def shut_in(limits: Limits) -> dict[str, bool]:
    """Give up the rights that the worker does not need. Returns which protections are on: name -> True or False."""
    found = {"limits": _resource_limits(limits)}
    if libc is not None:
        libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)  # no copy of its memory for a crash reporter
    calls = _seccomp()
    return found | {"processes": calls, "network": calls}


def _resource_limits(limits: Limits) -> bool:
    try:
        import resource
    except ImportError:  # Windows
        return False
    used = int(sum(os.times()[:2]))  # a fork begins at 0
    sizes = {"CPU": used + limits.cpu_seconds, "FSIZE": limits.file_mb * 2**20, "CORE": 0, "NOFILE": 64}
    if sys.platform == "linux":
        status = Path("/proc/self/status").read_text(encoding="ascii")
        taken = int(status.split("VmSize:")[1].split()[0]) * 1024
        sizes["AS"] = taken + limits.memory_mb * 2**20  # AS rather than DATA, which does not count shared memory
    else:
        sizes |= {"AS": 64 * limits.memory_mb * 2**20, "NPROC": 0}
    for name, size in sizes.items():
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (size, size + (name == "CPU")))
    return True


# The rest is for Linux. The numbers are the kernel's (include/uapi/linux/*.h and its system call tables).

libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_NO_NEW_PRIVS = 1, 4, 38


def _drop_capabilities() -> None:
    """Without capabilities, root only owns its files: it cannot mount, raise limits, or set the clock."""
    header = struct.pack("<Ii", 0x20080522, 0)
    libc.capset(header, bytes(24))


# Landlock's rights: those used here, and all that exist, by the version that introduced them.
EXECUTE, WRITE_FILE, READ_FILE, READ_DIR, REMOVE_FILE, MAKE_FILE, TRUNCATE = (1 << n for n in (0, 1, 2, 3, 5, 8, 14))
OWN_FOLDER = WRITE_FILE | READ_FILE | READ_DIR | REMOVE_FILE | MAKE_FILE | TRUNCATE  # no folders, links or pipes
RIGHTS_BY_VERSION = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 4: (1 << 15) - 1, 5: (1 << 16) - 1}
LANDLOCK_CREATE, LANDLOCK_ADD, LANDLOCK_RESTRICT = 444, 445, 446  # the same on every architecture


def _landlock(scratch: Path, readable: Sequence[tuple[Path, int]]) -> bool:
    """Let this process open only what is allowed; see the top of this file. Returns whether Landlock enforces it."""
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
    allowed = dict(readable) | {scratch: OWN_FOLDER}
    allowed[Path("/proc/self").resolve()] = READ_FILE | READ_DIR
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


def _library() -> Iterator[tuple[Path, int]]:
    """The paths that Python and the packages read, with their rights: all but minibert, wherever it is installed."""
    packages = {Path(folder).resolve() for folder in sys.path if holds_packages(folder)}
    hidden = {Path(__file__).resolve().parents[1]}
    for folder in packages:
        hidden |= {*folder.glob("minibert*"), *folder.glob("__editable__*")}
    paths = sysconfig.get_paths()
    folders = [*packages, Path(paths["stdlib"]), Path(paths["platstdlib"])]
    folders += map(Path, ("/usr/lib", "/usr/lib64", "/lib", "/lib64", "/usr/share/zoneinfo", "/etc/ld.so.cache"))
    for base in (Path(sys.base_prefix, "lib"), Path("/usr/local/lib")):
        folders += base.glob("*.so*")
    folders += map(Path, ("/proc/cpuinfo", "/proc/meminfo", "/sys/devices/system/cpu"))
    for folder in folders:
        yield from _without(folder.resolve(), hidden)


def _without(path: Path, hidden: set[Path]) -> Iterator[tuple[Path, int]]:
    """A path with the right to read it; if something hidden is in it, only to list it and to read the rest of it."""
    if path in hidden:
        return
    if not any(path in one.parents for one in hidden):
        yield path, READ_FILE | READ_DIR | EXECUTE
        return
    yield path, READ_DIR
    for entry in path.iterdir():
        if not entry.is_symlink() or not any(entry.resolve() in (one, *one.parents) for one in hidden):
            yield from _without(entry, hidden)


# System calls that are refused: their numbers on x86-64 and on 64-bit Arm (None: there is no such call there).
REFUSED = {
    "fork": (57, None), "vfork": (58, None), "execve": (59, 221), "execveat": (322, 281),
    "socket": (41, 198), "socketpair": (53, 199), "connect": (42, 203), "bind": (49, 200),
    "kill": (62, 129), "tkill": (200, 130), "tgkill": (234, 131), "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240), "pidfd_open": (434, 434), "pidfd_send_signal": (424, 424),
    "pidfd_getfd": (438, 438), "ptrace": (101, 117), "kcmp": (312, 272), "process_madvise": (440, 440),
    "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "process_mrelease": (448, 448),
    "migrate_pages": (256, 238), "move_pages": (279, 239), "setpriority": (141, 140), "ioprio_set": (251, 30),
    "sched_setaffinity": (203, 122), "sched_setparam": (142, 118), "sched_setscheduler": (144, 119),
    "sched_setattr": (314, 274), "setsid": (112, 157), "setpgid": (109, 154), "unshare": (272, 97),
    "setns": (308, 268), "mount": (165, 40), "open_tree": (428, 428), "fsopen": (430, 430),
    "bpf": (321, 280), "perf_event_open": (298, 241), "io_uring_setup": (425, 425), "userfaultfd": (323, 282),
    "syslog": (103, 116), "keyctl": (250, 219), "add_key": (248, 217), "request_key": (249, 218),
    # Memory that no limit counts and that can outlive the process.
    "shmget": (29, 194), "semget": (64, 190), "msgget": (68, 186), "mq_open": (240, 180),
    "memfd_create": (319, 279), "memfd_secret": (447, 447),
    # Landlock does not cover owners, modes, times and attributes of files, nor notifications about file accesses.
    "chmod": (90, None), "fchmod": (91, 52), "fchmodat": (268, 53), "fchmodat2": (452, 452),
    "chown": (92, None), "fchown": (93, 55), "lchown": (94, None), "fchownat": (260, 54),
    "utime": (132, None), "utimes": (235, None), "futimesat": (261, None), "utimensat": (280, 88),
    "setxattr": (188, 5), "lsetxattr": (189, 6), "fsetxattr": (190, 7), "setxattrat": (463, 463),
    "removexattr": (197, 14), "lremovexattr": (198, 15), "fremovexattr": (199, 16), "removexattrat": (466, 466),
    "file_setattr": (469, 469), "open_by_handle_at": (304, 265), "inotify_init": (253, None),
    "inotify_init1": (294, 26), "fanotify_init": (300, 262),
}  # fmt: skip
# Calls that are allowed with some values of one argument: their numbers, which argument, and the values.
ONLY_WITH = {
    "prlimit64": (302, 261, 0, (0,)),  # its own limits only: the same call reaches the parent's
    "prctl": (157, 167, 0, (15, 16, 0x53564D41)),  # names of threads and of memory
    "fcntl": (72, 25, 1, (*range(8), 1030)),  # not the receiver of a file's signals
    "ioctl": (16, 29, 1, (0x5401, 0x802C542A, 0x5413, 0x541B, 0x5451)),  # whether a terminal, its width; bytes to read
}
ARCHITECTURES = {"x86_64": (0, 0xC000003E, 56, 317), "aarch64": (1, 0xC00000B7, 220, 277)}  # column, id, clone, seccomp
CLONE3, CLONE_THREAD, X32 = 435, 0x10000, 0x40000000
ALLOW, REFUSE, ABSENT = 0x7FFF0000, 0x00050000 | 1, 0x00050000 | 38  # the last two: EPERM, and ENOSYS


def _program(machine: str) -> list[tuple[int, int, int, int]]:
    """The filter in the kernel's small language: (instruction, lines to skip if true, to skip if false, number)."""
    column, architecture, clone, _ = ARCHITECTURES[machine]
    load, equal, at_least, has, give = 0x20, 0x15, 0x35, 0x45, 0x06
    program = [(load, 0, 0, 4), (equal, 1, 0, architecture), (give, 0, 0, REFUSE)]
    program += [(load, 0, 0, 0), (at_least, 0, 1, X32), (give, 0, 0, REFUSE)]
    for both in REFUSED.values():
        if both[column] is not None:
            program += [(equal, 0, 1, both[column]), (give, 0, 0, REFUSE)]
    for *both, argument, values in ONLY_WITH.values():
        program += [(equal, 0, 2 * len(values) + 2, both[column]), (load, 0, 0, 16 + 8 * argument)]
        program += [line for value in values for line in ((equal, 0, 1, value), (give, 0, 0, ALLOW))]
        program += [(give, 0, 0, REFUSE)]
    # A filter cannot see the flags of clone3. If it seems not to exist, the C library uses clone.
    program += [(equal, 0, 1, CLONE3), (give, 0, 0, ABSENT)]
    program += [(equal, 0, 3, clone), (load, 0, 0, 16), (has, 1, 0, CLONE_THREAD), (give, 0, 0, REFUSE)]
    return [*program, (give, 0, 0, ALLOW)]


def _seccomp() -> bool:
    """Refuse the calls above, and clone except for threads, in all threads. Returns whether they are refused."""
    machine = platform.machine()
    if libc is None or machine not in ARCHITECTURES or struct.calcsize("P") != 8:
        return False
    program = _program(machine)
    code = ctypes.create_string_buffer(b"".join(struct.pack("<HBBI", *line) for line in program))
    pointer = struct.pack("<HxxxxxxQ", len(program), ctypes.addressof(code))
    libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    set_filter, all_threads = 1, 1
    return libc.syscall(ARCHITECTURES[machine][3], set_filter, all_threads, pointer) == 0


if __name__ == "__main__":
    main(sys.argv[1])
