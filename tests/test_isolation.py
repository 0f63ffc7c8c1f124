"""The box: messages go in and out, limits hold, and what each protection refuses is refused."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import pytest

from minibert.exercises import isolation
from minibert.exercises.isolation import Box, Limits, Stopped

# Runs the Python that it is sent and answers with the value of `answer`, or with what stopped it.
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
        run(box, code, seconds=0.5)
    assert stopped.value.reason == "time"
    assert time.monotonic() - began < 5
    assert box.process.poll() is not None


def test_the_whole_life_has_a_limit(worker):
    with Box(worker, Limits(seconds=1.5)) as box, pytest.raises(Stopped):
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
    assert run(box, "answer = 1") == 1


@linux
def test_a_file_has_a_limit(worker):
    with Box(worker, Limits(file_mb=1)) as box:
        assert "OSError" in run(box, "f = open('big', 'wb')\nfor _ in range(20): f.write(bytes(2**20))\nf.close()")


# ---------------------------------------------------------------------------------------- Landlock and seccomp


@linux
def test_all_protections_are_on(box):
    assert run(box, "answer = protections") == dict.fromkeys(("files", "limits", "processes", "network"), True)


REFUSED = {
    "a new process": "import os\nanswer = os.fork()",
    "another program": "import os\nos.execv('/bin/true', ['true'])",
    "a subprocess": "import subprocess\nanswer = subprocess.run(['/bin/true']).returncode",
    "the network": "import socket\nsocket.socket()",
    "a signal to the parent": "import os\nos.kill(os.getppid(), 9)",
    "a signal to its group": "import os\nos.killpg(0, 19)",
    "a session of its own": "import os\nos.setsid()",
    "higher limits": "import resource\nresource.setrlimit(resource.RLIMIT_CPU, (1000, 1000))",
    "the modes of others' files": "import os\nos.chmod(WORKER, 0o777)",
    "a mount": "import ctypes\nl = ctypes.CDLL(None, use_errno=True)\n"
    "if l.mount(b'none', b'/mnt', b'tmpfs', 0, None): raise PermissionError",
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
