"""The box: messages arrive and are answered, limits hold, and each protection refuses what it should."""

from __future__ import annotations

import json
import os
import platform
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest

from minibert.classroom import box as parents_end, isolation
from minibert.classroom.box import Box, Stopped
from minibert.classroom.isolation import Limits

# Runs the Python code in a message and answers with the value of `answer`, or with the exception.
WORKER = """
import json

def serve(receive, send, protections):
    while (message := receive()) is not None:
        space = {"protections": protections, "send": send}
        try:
            exec(message.decode(), space)
            answer = space.get("answer")
        except BaseException as error:
            answer = f"{type(error).__name__}: {error}"
        send(json.dumps(answer).encode())
"""
linux = pytest.mark.skipif(
    sys.platform != "linux" or isolation.libc.syscall(isolation.LANDLOCK_CREATE, None, 0, 1) < 6,
    reason="Landlock and seccomp are Linux, and this kernel lacks them or has an old Landlock",
)


@pytest.fixture
def worker(tmp_path) -> Path:
    path = tmp_path / "worker.py"
    path.write_text(WORKER)
    return path


@pytest.fixture
def box(worker):
    with Box(worker, Limits(seconds=20, memory_mb=300, cpu_seconds=10)) as box:
        yield box


def run(box: Box, code: str, **how: float) -> object:
    return json.loads(box.ask(code.encode(), **how))


# ------------------------------------------------------------------------------------------------ messages


def test_messages_are_answered_one_by_one(box):
    assert run(box, "answer = 2 + 3") == 5
    assert run(box, "answer = 'x' * 1_000_000") == "x" * 1_000_000
    assert run(box, "answer = None  # " + "y" * 1_000_000) is None


def test_what_is_printed_is_kept_apart_and_cut(worker):
    with Box(worker, Limits(seconds=20, output_kb=1)) as box:
        assert run(box, "print('hello', flush=True)\nanswer = 1") == 1
        assert run(box, "for _ in range(100): print('z' * 1_000_000)\nanswer = 2") == 2
        assert box.output.startswith("hello\nzzz")
        assert len(box.output) == 1024


def test_modules_are_loaded_before_the_worker_by_their_names(tmp_path):
    (tmp_path / "helper.py").write_text("VALUE = 3")
    (tmp_path / "worker.py").write_text("from some.package import VALUE\n" + WORKER)
    with Box(tmp_path / "worker.py", modules={"some.package": tmp_path / "helper.py"}) as box:
        assert run(box, "import sys\nanswer = sys.modules['some.package'].VALUE") == 3
        assert "ModuleNotFoundError" in run(box, "import some.other")


def test_the_folder_is_its_own_and_gone_afterwards(worker):
    with Box(worker) as box:
        folder = Path(run(box, "import os\nopen('a', 'w').write('x')\nanswer = os.getcwd()"))
        assert (folder / "a").exists()
    assert not folder.exists()


def test_the_parents_environment_is_not_passed_on(worker, monkeypatch):
    monkeypatch.setenv("MARKERS_SECRET", "hunter2")
    with Box(worker) as box:
        assert "MARKERS_SECRET" not in run(box, "import os\nanswer = dict(os.environ)")


# ----------------------------------------------------------------------------------------- time and other ends


@pytest.mark.parametrize(
    "code",
    [
        "while True: pass",
        "import time\ntime.sleep(100)",
        "import signal\nfor n in range(1, 65):\n    try: signal.signal(n, signal.SIG_IGN)\n"
        "    except (OSError, ValueError): pass\nwhile True: pass",
    ],
)
def test_what_does_not_end_is_ended(code, box):
    began = time.monotonic()
    with pytest.raises(Stopped, match="does not end") as stopped:
        run(box, code, seconds=0.2)
    assert stopped.value.reason == "time"
    assert time.monotonic() - began < 60  # far from never, also on a busy machine
    assert box.process.poll() is not None


def test_the_whole_life_has_a_limit(worker):
    with Box(worker, Limits(life=0.8)) as box, pytest.raises(Stopped):
        all(run(box, "import time\ntime.sleep(0.2)\nanswer = 1") for _ in range(100))


@pytest.mark.skipif(os.name != "posix", reason="there are no resource limits")
def test_processor_time_has_a_limit(worker):
    with Box(worker, Limits(seconds=20, cpu_seconds=1)) as box, pytest.raises(Stopped, match="processor time"):
        run(box, "while True: pass")


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import os\nos._exit(7)", "status 7"),
        ("import ctypes\nctypes.string_at(0)", "SIGSEGV"),
        ("send(b'1')\nsend(b'2')\nimport os\nos._exit(0)", None),
    ],
)
def test_a_process_that_ends_is_told_so(code, said, box):
    with pytest.raises(Stopped, match=said) as stopped:
        [run(box, one) for one in (code, *["answer = 1"] * 3)]
    assert stopped.value.reason in ("ended", "protocol")


def test_threads_that_go_on_do_not_keep_it_alive(worker):
    with Box(worker) as box:
        run(box, "import threading, time\nthreading.Thread(target=time.sleep, args=(100,)).start()\nanswer = 1")
    assert box.process.poll() is not None


def test_sys_exit_and_endless_recursion_are_errors_like_any_other(box):
    assert run(box, "import sys\nsys.exit(3)") == "SystemExit: 3"
    assert "RecursionError" in run(box, "def f(): return f()\nf()")
    assert run(box, "answer = 1") == 1


def test_messages_without_end_do_not_fill_this_process(box):
    code = "import threading, time\ndef f():\n    time.sleep(0.2)\n    while True: send(bytes(30 * 2**20))\n"
    run(box, code + "threading.Thread(target=f, daemon=True).start()\nanswer = 1")
    time.sleep(0.5)
    assert box.arrived.qsize() == 1
    with pytest.raises(Stopped, match="it was not asked for"):
        run(box, "answer = 1", seconds=5)


def test_what_it_prints_without_end_is_dropped(box):
    run(box, "import threading, os\ndef f():\n    while True: os.write(2, bytes(2**20))\n"
        "threading.Thread(target=f, daemon=True).start()\nanswer = 1")  # fmt: skip
    time.sleep(0.3)
    assert run(box, "answer = 1") == 1
    assert len(box.printed) == box.limits.output_kb * 1024


def test_closing_twice_kills_no_other_process(worker, monkeypatch):
    box = Box(worker)
    box.close()
    monkeypatch.setattr(os, "killpg", lambda *_: pytest.fail("the number may belong to another process"), raising=False)
    box.close()


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no signal for it")
def test_it_does_not_outlive_this_process(worker, tmp_path):
    code = f"""
from pathlib import Path
from minibert.classroom.box import Box
box = Box(Path({str(worker)!r}))
print(box.ask(b"import os; answer = os.getpid()").decode(), flush=True)
box.ask(b"while True: pass")
"""
    environment = {**os.environ, "TMPDIR": str(tmp_path)}  # the box's folder is left there when its parent is killed
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment) as grader:
        boxed = int(grader.stdout.readline())
        time.sleep(0.3)  # now it is in the loop, where it does not notice that the pipes are closed
        grader.send_signal(signal.SIGKILL)
    until = time.monotonic() + 5
    while parents_end._threads(boxed) and time.monotonic() < until:
        time.sleep(0.02)
    assert parents_end._threads(boxed) in (0, 1)  # it has ended, or is a zombie where no process collects orphans
    if parents_end._threads(boxed):
        assert "State:\tZ" in Path(f"/proc/{boxed}/status").read_text()


@pytest.mark.parametrize(
    "data", ["struct.pack('<Q', 2**60)", "struct.pack('<Q', 100) + b'half'", "b'abc'", "struct.pack('<Q', 2**27)"]
)
def test_a_message_that_lies_about_its_length_is_refused(data, box):
    code = f"import os, struct\nfor fd in range(3, 20):\n    try: os.write(fd, {data})\n    except OSError: pass\n"
    code += "os._exit(0)"
    with pytest.raises(Stopped):
        run(box, code)


# --------------------------------------------------------------------------------------------------- limits


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not enforce it")
def test_memory_has_a_limit_and_an_error_is_all_that_happens(box):
    assert "MemoryError" in run(box, "answer = len(bytearray(100 * 2**30))")
    assert "MemoryError" in run(box, "x = []\nwhile True: x.append(bytearray(2**24))")
    shared = "import mmap\nm = mmap.mmap(-1, 500 * 2**20)\nfor at in range(0, len(m), 4096): m[at] = 1"
    assert "OSError" in run(box, shared)
    assert run(box, "answer = 1") == 1


@linux
@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("for n in range(20): open(str(n), 'wb').write(bytes(2**20))", "MB of files"),
        ("for n in range(1500): open(str(n), 'wb')", "MB of files"),
        ("import threading\nthreading.stack_size(65536)\n"
         "for _ in range(200): threading.Thread(target=time.sleep, args=(9,), daemon=True).start()", "threads"),
    ],
)  # fmt: skip
def test_what_no_resource_limit_counts_has_a_limit(code, said, worker):
    with Box(worker, Limits(seconds=20, folder_mb=4)) as box, pytest.raises(Stopped, match=said):
        run(box, "import time\n" + code + "\ntime.sleep(9)")


@linux
def test_a_file_has_a_limit(worker):
    with Box(worker, Limits(file_mb=1)) as box:
        assert "OSError" in run(box, "f = open('big', 'wb')\nfor _ in range(20): f.write(bytes(2**20))\nf.close()")


# ---------------------------------------------------------------------------------------- Landlock and seccomp


@linux
def test_all_protections_are_on(box):
    assert run(box, "answer = protections") == dict.fromkeys(("files", "limits", "processes", "network"), True)


CALL = """
import ctypes, os
l = ctypes.CDLL(None, use_errno=True)
def call(returned):
    if returned == -1: raise OSError(ctypes.get_errno(), "refused")
"""
REFUSED = {
    "a new process": "import os\nanswer = os.fork()",
    "another program": "import os\nos.execv('/bin/true', ['true'])",
    "a subprocess": "import subprocess\nanswer = subprocess.run(['/bin/true']).returncode",
    "the network": "import socket\nsocket.socket()",
    "a signal to the parent": "import os\nos.kill(os.getppid(), 9)",
    "a signal to itself": "import signal\nsignal.raise_signal(signal.SIGSTOP)",
    "a signal to its group": "import os\nos.killpg(0, 19)",
    "a session of its own": "import os\nos.setsid()",
    "higher limits": "import resource\nresource.setrlimit(resource.RLIMIT_CPU, (1000, 1000))",
    "the modes of others' files": "import os\nos.chmod(WORKER, 0o777)",
    "other limits for the parent": "import os, resource\nresource.prlimit(os.getppid(), resource.RLIMIT_NOFILE)",
    "a lower rank for the parent": "import os\nos.setpriority(0, os.getppid(), 19)",
    "another processor for the parent": "import os\nos.sched_setaffinity(os.getppid(), [0])",
    "signals of files to the parent": "import fcntl, os\nfcntl.fcntl(os.pipe()[0], 8, os.getppid())",
    "living on without the parent": CALL + "call(l.prctl(1, 0, 0, 0, 0))",
    "memory that nobody counts": CALL + "call(l.shmget(0, 2**20, 0o1600))",
    "a file in memory": "import os\nos.memfd_create('x')",
    "watching others' files": CALL + "call(l.inotify_init())",
    "a key in the kernel": CALL + "call(l.syscall(ADD_KEY, b'user', b'x', b'y', 1, -3))",
    "a folder closed to its owner": "import os\nos.mkdir('d', 0)",
    "a socket of two ends": "import socket\nsocket.socketpair()",
    "a mount": CALL + "call(l.mount(b'none', b'/mnt', b'tmpfs', 0, None))",
    "reading a file of the user": "answer = open(OUTSIDE).read()",
    "reading the library": "answer = open(LIBRARY).read()",
    "reading the parent's memory map": "import os\nanswer = open(f'/proc/{os.getppid()}/environ').read()",
    "reading the list of users": "answer = open('/etc/passwd').read()",
    "writing elsewhere": "open(OUTSIDE, 'w').write('x')",
    "a new file elsewhere": "open(OUTSIDE + '2', 'w')",
    "a new file in the temporary folder": "open('/tmp/from-the-box', 'w')",
    "a link to elsewhere": "import os\nos.symlink(OUTSIDE, 'link')\nopen('link', 'a')",
    "removing a file": "import os\nos.remove(OUTSIDE)",
    "moving a file": "import os\nos.rename(OUTSIDE, 'mine')",
}


@pytest.fixture(scope="module")
def shared_box(tmp_path_factory):
    folder = tmp_path_factory.mktemp("box")
    (folder / "worker.py").write_text(WORKER)
    (folder / "outside").write_text("as it was")
    with Box(folder / "worker.py") as box:
        yield box, folder


@linux
@pytest.mark.parametrize("what", REFUSED)
def test_it_is_refused(what, shared_box):
    box, folder = shared_box
    names = {"OUTSIDE": str(folder / "outside"), "WORKER": str(folder / "worker.py"), "LIBRARY": isolation.__file__}
    column = isolation.ARCHITECTURES[platform.machine()][0]
    names["ADD_KEY"] = isolation.REFUSED["add_key"][column]
    constants = "".join(f"{name} = {value!r}\n" for name, value in names.items())
    said = run(box, constants + REFUSED[what])
    assert isinstance(said, str)
    assert said.startswith(("PermissionError", "OSError: [Errno 18]", "ValueError: not allowed")), said
    assert (folder / "outside").read_text() == "as it was"


@linux
def test_what_an_answer_needs_is_allowed(shared_box):
    box, _ = shared_box
    code = "import threading, tempfile, decimal\nt = threading.Thread(target=print)\nt.start(); t.join()\n"
    code += "f = tempfile.TemporaryFile(); f.write(b'x'); open('own', 'w').write('y'); answer = open('own').read()"
    assert run(box, code) == "y"


@linux
def test_torch_works_inside_and_minibert_is_not_there(tmp_path):
    worker = tmp_path / "worker.py"
    worker.write_text("import torch\n" + WORKER)
    with Box(worker) as box:
        code = "import torch\nfrom torch import nn\nx = torch.ones(300, 300, requires_grad=True)\n"
        code += "optimizer = torch.optim.AdamW([x])\nnn.functional.softmax(x @ x, -1).sum().backward()\n"
        code += "optimizer.step()\nanswer = list(x.grad.shape)"
        assert run(box, code) == [300, 300]
        assert run(box, "import minibert").startswith(("ModuleNotFoundError", "ImportError", "PermissionError"))
        assert "memory" in run(box, "import torch\ntorch.ones(25_000_000_000)")


def test_what_is_hidden_is_left_out_wherever_it_lies(tmp_path):
    ours, other = tmp_path / "lib" / "packages" / "minibert", tmp_path / "lib" / "packages" / "torch"
    for folder in (ours, other, tmp_path / "lib" / "more"):
        folder.mkdir(parents=True)
    (tmp_path / "lib" / "up").symlink_to(tmp_path)
    (tmp_path / "lib" / "alias").symlink_to(ours)
    granted = dict(isolation._without(tmp_path / "lib", {ours}))
    whole = {path for path, access in granted.items() if access & isolation.READ_FILE}
    assert whole == {other, tmp_path / "lib" / "more"}
    assert all(access == isolation.READ_DIR for path, access in granted.items() if path not in whole)


# ------------------------------------------------------------------------- the filter, on either architecture


def ruled(machine: str, number: int, *arguments: int, architecture: int | None = None) -> int:
    """What the filter decides about a system call, when its lines are read as the kernel reads them."""
    known = isolation.ARCHITECTURES[machine][1] if architecture is None else architecture
    data = struct.pack("<IIQ6Q", number, known, 0, *arguments, *[0] * (6 - len(arguments)))
    program, at, held = isolation._program(machine), 0, 0
    while True:
        what, so, otherwise, value = program[at]
        if what == 0x06:
            return value
        if what == 0x20:
            (held,) = struct.unpack_from("<I", data, value)
        else:
            holds = {0x15: held == value, 0x35: held >= value, 0x45: bool(held & value)}[what]
            at += so if holds else otherwise
        at += 1


@pytest.mark.parametrize("machine", isolation.ARCHITECTURES)
def test_the_filter_refuses_what_it_lists_and_allows_threads_and_files(machine):
    column, _, clone, _ = isolation.ARCHITECTURES[machine]
    refuse, allow = isolation.REFUSE, isolation.ALLOW
    for name, both in isolation.REFUSED.items():
        assert both[column] is None or ruled(machine, both[column]) == refuse, name
    for name, (*both, argument, values) in isolation.ONLY_WITH.items():
        for value in values:
            assert ruled(machine, both[column], *[99] * argument, value) == allow, name
        assert ruled(machine, both[column], *[values[0]] * argument, 4321) == refuse, name
    assert ruled(machine, clone, isolation.CLONE_THREAD | 0x50F00) == allow
    assert ruled(machine, clone, 17) == refuse
    assert ruled(machine, isolation.CLONE3) == isolation.ABSENT
    read, write, openat = [(0, 1, 257), (63, 64, 56)][column]
    assert {ruled(machine, number) for number in (read, write, openat)} == {allow}
    assert ruled(machine, read, architecture=0x40000003) == refuse  # the 32-bit calls have other numbers
    assert ruled(machine, isolation.X32 + read) == refuse
