"""my_bert.py: what answers do to each other in one file, what is written by hand, and what is refused."""

from __future__ import annotations

import itertools
import os
import random
import re
import signal
import sys
from types import ModuleType

import pytest
import torch

import minibert
from minibert.cli import marking
from minibert.cli.main import main
from minibert.errors import MinibertError
from minibert.exercises import my_bert, running
from minibert.exercises.check import in_file
from minibert.exercises.sources import needed, renamed, statement, statements_in
from minibert.files import GENERATOR, refuse_foreign
from minibert.own.loading import load
from minibert.own.working import Parts


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("MINIBERT_PROGRESS", str(tmp_path / "progress.json"))
    monkeypatch.delenv("MINIBERT_MINE", raising=False)
    monkeypatch.setattr(my_bert, "_said", set())
    return tmp_path


def join(exercise: str, source: str, trial: my_bert.Trial | None = None) -> my_bert.Joined:
    """As if the answer in this source had passed."""
    return my_bert.join_file([exercise], statements_in("answers.py", source.encode()), trial)


def text() -> str:
    return my_bert.file().read_bytes().decode()


def alone(expression: str) -> object:
    space: dict = {"__name__": "my_bert"}
    exec(compile(text(), "my_bert.py", "exec"), space)
    return eval(expression, space)


def edit(old: str, new: str) -> None:
    """Change the file by hand."""
    assert old in text()
    my_bert.file().write_bytes(text().replace(old, new, 1).encode())


# ------------------------------------------------------------------------------------- answers in one file

GELU, MASK, NORM = (
    "def gelu(x):\n    return ",
    "def causal_mask(n):\n    return ",
    "def layer_norm(x, w, b, e):\n    return ",
)
REGISTER = (
    "TABLE = {{}}\n\ndef known(f):\n    TABLE[f.__name__] = f\n    return f\n\n"
    "@known\ndef half(x):\n    return x / {}\n\n"
)
IN_TEXT = 'TEXT = """\n# === gelu === GELU\n{}"""\n'
ANSWERS = {
    "a helper hides a builtin": (
        ("def max(*a):\n    return 99\n\ndef sum(x):\n    return x + 1\n\n" + GELU + "sum(x) + max(1)", 100),
        (MASK + "max(n, 1)", 1),
    ),
    "an import hides a builtin": (
        ("from operator import sub as max\n" + GELU + "max(x, 3)", -3), (MASK + "max(n, 1)", 1),
    ),
    "a constant hides a builtin": (("len = 3\n" + GELU + "len", 3), (MASK + "len('ab')", 2), (NORM + "len('')", 0)),
    "stars": (
        ("from math import *\n" + GELU + "sqrt(4) + pi - pi", 2.0),
        ("from torch import *\n" + MASK + "sqrt(tensor(4.0)).item() + max(tensor([1.0, 2.0])).item()", 4.0),
    ),
    "two stars": (("from torch import *\nfrom math import *\n" + GELU + "tensor(x).item() + sqrt(4)", 2.0),),
    "two stars turned": (
        ("from math import *\nfrom torch import *\n" + GELU + "sqrt(tensor(16.0)).item() * (e > 2)", 4.0),
    ),
    "a table filled by calls": (
        ("scale = []\nfor i in range(3):\n    scale.append(i)\n\n" + GELU + "scale", [0, 1, 2]),
        ("scale = []\nfor i in range(4):\n    scale.append(i)\n\n" + MASK + "scale", [0, 1, 2, 3]),
        ("scale = []\n\n" + NORM + "scale", []),
    ),
    "a function fills a table": (
        ("T = []\n\ndef grow(t):\n    t.append(1)\n\ngrow(T)\n\n" + GELU + "T", [1]),
        ("T = []\n\ndef grow():\n    T.append(2)\n\ndef start():\n    grow()\n\nstart()\n\n" + MASK + "T", [2]),
        ("T = []\n\ndef main():\n    T.append(3)\n\nif __name__ == '__main__':\n    main()\n\n" + NORM + "T", []),
    ),
    "a decorator fills a table": (
        (REGISTER.format(2) + GELU + "TABLE['half'](4)", 2.0),
        (REGISTER.format(4) + MASK + "TABLE['half'](4)", 1.0),
        (REGISTER.format(4) + NORM + "TABLE['half'](4)", 1.0),
    ),
    "an object's method decorates": (
        (
            "class Table:\n    all = {}\n\n    def add(self, f):\n        self.all[1] = f\n        return f\n\n"
            "table = Table()\n\n@table.add\ndef half(x):\n    return x / 2\n\n" + GELU + "table.all[1](4)",
            2.0,
        ),
    ),
    "an import and a helper": (
        ("import random as scale\n" + GELU + "scale.__name__", "random"),
        ("def scale(x):\n    return 7\n\n" + MASK + "scale(n)", 7),
        ("scale = 3\n\n" + NORM + "scale", 3),
    ),
    "a class begins with the file's name": (
        ("scale = 3\n\nclass C:\n    scale = scale + 1\n\n" + GELU + "C.scale + scale", 7),
        ("scale = 5\n" + MASK + "scale", 5),
        (
            "scale = 8\n\nclass C:\n    scale: int = scale + 1\n    f = lambda self: scale\n\n"
            + NORM + "C.scale + C().f()", 17,
        ),
    ),
    "a module's name for something else": (
        ("import torch as T; torch = 5\n" + GELU + "torch + T.ones(1).item()", 6.0),
        ("import torch\n" + MASK + "torch.ones(1).item()", 1.0),
        ("import torch.nn.functional\n" + NORM + "torch.nn.functional.relu(torch.ones(1)).item()", 1.0),
    ),
    "an import that is set again": (
        ("import math as m\nm = m.sqrt(4)\n" + GELU + "m", 2.0), ("import math as m\n" + MASK + "m.sqrt(9)", 3.0),
    ),
    "a section's heading in a text": (
        (IN_TEXT.format("") + GELU + "TEXT", "\n# === gelu === GELU\n"),
        (IN_TEXT.format("x") + MASK + "TEXT", "\n# === gelu === GELU\nx"),
    ),
    "helpers that read the same but use other imports": (
        ("from math import sqrt\n\ndef root(x):\n    return sqrt(x)\n\n" + GELU + "root(4)", 2.0),
        ("from cmath import sqrt\n\ndef root(x):\n    return sqrt(x)\n\n" + MASK + "root(4)", 2 + 0j),
    ),
    "helpers that read the same but use other helpers": (
        ("def z(x):\n    return 1\n\ndef a(x):\n    return z(x)\n\n" + GELU + "a(x)", 1),
        ("def z(x):\n    return 2\n\ndef a(x):\n    return z(x)\n\n" + MASK + "a(n)", 2),
        ("def z(x):\n    return 2\n\ndef a(x):\n    return z(x)\n\n" + NORM + "a(x)", 2),
    ),
}  # fmt: skip
CALLS = {"gelu": "gelu(0)", "causal-mask": "causal_mask(0)", "layer-norm": "layer_norm(0, 0, 0, 0)"}


@pytest.mark.many
@pytest.mark.parametrize("case", ANSWERS)
def test_answers_do_in_one_file_what_they_did_alone_whatever_passed_first(case):
    answers = dict(zip(CALLS, ANSWERS[case], strict=False))
    for order in itertools.permutations(answers):
        my_bert.file().unlink(missing_ok=True)
        for name in order:
            assert join(name, answers[name][0]).added == (name,)
        for name, (_, expected) in answers.items():
            found = alone(CALLS[name])
            assert (type(found), found) == (type(expected), expected), (order, name, text())


def test_calls_that_only_try_an_answer_out_are_not_copied():
    tried = "gelu(1)\nprint(gelu(2))\ntorch.manual_seed(0)\n"
    source = "import torch\nCACHE = {}\n\ndef gelu(x):\n    CACHE[0] = x\n    return x\n\n" + tried
    found = [one.source for one in needed(statements_in("a.py", source.encode()), "gelu")]
    assert [one.split("\n")[0] for one in found] == ["CACHE = {}", "def gelu(x):"]


def test_a_star_of_a_module_that_is_not_loaded_stays():
    source = "from nowhere_at_all import *\nfrom math import *\n" + GELU + "sqrt(unknown)"
    found = [one.source for one in needed(statements_in("a.py", source.encode()), "gelu")]
    assert found[:2] == ["from nowhere_at_all import *", "from math import *"]


def test_renaming_leaves_a_class_its_own_names():
    one = statement("class C:\n    a = a + 1\n    b = a\n    def f(self, x=a): return a")
    assert renamed(one, "a", "z").source == "class C:\n    a = z + 1\n    b = a\n    def f(self, x=a): return z"


# ------------------------------------------------------------------------------------------ what does not work

MASKED = "import torch\n{}\n\ndef causal_mask(length):\n    return torch.ones(length, length).tril({}).bool()\n"
RIGHT = MASKED.format("", "")
HIDDEN = {
    "globals": MASKED.format("shift = 0", "globals()['shift']"),
    "annotations": MASKED.format("def f(n: int): ...", "0 if f.__annotations__['n'] is int else 5"),
    "a change in a lambda": MASKED.format("shift = [5]\n(lambda a: a.__setitem__(0, 0))(shift)", "shift[0]"),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", HIDDEN)
@pytest.mark.parametrize("trial", [in_file, marking.in_box])
def test_a_copy_that_does_not_pass_is_not_written(case, trial):
    space: dict = {}
    exec(compile(HIDDEN[case], "a.py", "exec", dont_inherit=True), space)
    assert minibert.check("causal-mask", space["causal_mask"]).passed
    join("gelu", GELU + "x")
    before = text()
    joined = join("causal-mask", HIDDEN[case], trial)
    assert not joined.added
    assert "it was not added to my_bert.py, because it does not pass there (" in joined.trouble
    assert text() == before
    assert join("causal-mask", RIGHT, trial).added == ("causal-mask",)


def test_of_several_answers_those_that_pass_are_written():
    source = (
        HIDDEN["globals"] + "\nimport math\n\ndef gelu(x):\n    return 0.5 * x * (1 + torch.erf(x / math.sqrt(2)))\n"
    )
    joined = my_bert.join_file(["causal-mask", "gelu"], statements_in("a.py", source.encode()), in_file)
    assert joined.added == ("gelu",)
    assert "causal-mask passed, but" in joined.trouble


def test_an_answer_that_breaks_another_part_is_not_written():
    join("causal-mask", RIGHT)
    worse = "def gelu(x):\n    return x\n"
    joined = join("gelu", worse, lambda text, names: {"causal-mask": "why"} if "def gelu" in text else {})
    assert "your causal-mask would not pass any more (why)" in joined.trouble
    assert "def gelu" not in text()


def test_a_part_that_was_broken_by_hand_stops_no_other():
    join("causal-mask", RIGHT)
    edit(".tril()", ".tril(1)")
    assert join("gelu", GELU + "x", lambda text, names: {"causal-mask": "why"}).added == ("gelu",)
    assert ".tril(1)" in text()


def test_the_check_and_the_command_try_the_copy(folder, capsys, monkeypatch):
    (folder / "a.py").write_text(HIDDEN["globals"])
    assert main(["check", str(folder / "a.py")]) == 0
    assert "it was not added to my_bert.py" in capsys.readouterr().out
    assert not my_bert.file().exists()
    tried = []
    monkeypatch.setattr("minibert.exercises.check.in_file", lambda text, names: tried.append(names) or {})
    space: dict = {}
    (folder / "b.py").write_text(RIGHT)
    exec(compile(RIGHT, str(folder / "b.py"), "exec"), space)
    minibert.check("causal-mask", space["causal_mask"])
    assert tried == [["causal-mask"]]


def test_the_trial_leaves_the_process_as_it_was(capsys):
    before = random.getstate(), torch.get_rng_state(), sys.modules.get("my_bert")
    source = "import random, torch, sys\nprint('loud')\nrandom.seed(1)\ntorch.manual_seed(1)\nsys.exit(0)\n" + RIGHT
    assert in_file(source, ["causal-mask"]) == {}
    assert random.getstate() == before[0]
    assert torch.equal(torch.get_rng_state(), before[1])
    assert sys.modules.get("my_bert") is before[2]
    assert capsys.readouterr().out == ""


# ---------------------------------------------------------------------------------------------- by hand


def commented(section: str) -> str:
    return "\n".join(f"# {line}" if line else "" for line in section.split("\n"))


@pytest.fixture
def written(folder) -> None:
    join("gelu", "import math\n\ndef gelu(x):\n    return math.sqrt(x)")
    join("layer-norm", NORM + "x")


HAND = {
    "a section commented out": ("def gelu(x):\n    return math.sqrt(x)", "# def gelu(x):\n#     return math.sqrt(x)"),
    "the middle section": (NORM + "x", "# def layer_norm(x, w, b, e):\n\n#     return x"),
    "an import with a remark": ("import math", "import math  # remark"),
    "unused imports": ("import math", "import math\nimport os.path  # for later\n\nimport matplotlib.pyplot as plt"),
    "an unused import alone": ("import math", "import math\n\nimport numpy as np"),
    "a star": ("import math", "from math import *\n\nimport math"),
    "imports that are tried": ("import math", "import math\n\ntry:\n    import os\nfinally:\n    pass\n# end"),
    "statements on one line": ("import math", "import math\n\nx = 1; import os; y = 2  # all"),
    "notes in between": ("    return math.sqrt(x)", "    return math.sqrt(x)\n    # inside\n# below\n\n# far below"),
    "a comment after a constant": ("    return math.sqrt(x)", "    return math.sqrt(x)\n\n\nT = 1\n# note\n\nU = 2"),
    "an import in a section": ("def gelu", "# why\nimport os\n# def other\n\n# end of it\n\ndef gelu"),
    "only an import in a section": (NORM + "x", "# why\nimport os  # so\n# def layer_norm"),
    "a text like a heading": ("def gelu", "T = '''\n# === gelu === mine\n\n'''\n\n\ndef gelu"),
    "another heading": ("=== GELU", "=== my favourite"),
    "a section of their own": ("math.sqrt(x)", "math.sqrt(x)\n\n\n# === mine === my things\n\n# nothing yet"),
}  # fmt: skip


@pytest.mark.many
@pytest.mark.usefixtures("written")
@pytest.mark.parametrize("ends", ["\n", "\r\n"])
@pytest.mark.parametrize("case", HAND)
def test_every_line_that_was_written_by_hand_stays(case, ends):
    edit(*HAND[case])
    my_bert.file().write_bytes(text().replace("\n", ends).encode())
    lines = [line for line in text().split(ends) if line.strip()]
    for name, source in (("causal-mask", MASK + "n"), ("split-heads", "def split_heads(x, h):\n    return x")):
        assert join(name, source).added == (name,)
        assert not set(lines) - set(text().split(ends)), case
    assert text().count("\r") == (text().count("\n") if ends == "\r\n" else 0)
    assert ends * 4 not in text()
    once = text()
    my_bert.file().write_text(my_bert.read().text(), newline="")
    assert text() == once  # reading and writing alone change nothing


@pytest.mark.usefixtures("written")
def test_remarks_on_imports_of_several_names_stay_each():
    edit("import math", "from torch import (  # one\n    nn,  # two\n    # three\n    Tensor,\n)  # four\nimport math")
    join("causal-mask", MASK + "n")
    assert all(f"# {word}" in text() for word in ("one", "two", "three", "four"))
    assert alone("(nn.__name__, Tensor.__name__)") == ("torch.nn", "Tensor")


@pytest.mark.usefixtures("written")
def test_an_import_goes_with_the_section_that_used_it_unless_it_has_a_remark():
    edit("import math", "import math\nimport os")
    join("gelu", GELU + "x")
    assert "import math" not in text()
    assert "import os" in text()
    join("gelu", "import math\n" + GELU + "math.pi")
    edit("import math", "import math  # mine")
    join("gelu", GELU + "x")
    assert "import math  # mine" in text()


@pytest.mark.usefixtures("written")
def test_the_same_answer_again_changes_nothing_and_a_commented_one_comes_back():
    edit("    return math.sqrt(x)", "    return math.sqrt(x)\n\n\ndef extra():\n    return 1\n\n\n# the end")
    before = text()
    assert not join("gelu", "import math\n\ndef gelu(x):\n    return math.sqrt(x)").news
    assert text() == before
    edit("def gelu(x):\n    return math.sqrt(x)", "# def gelu(x):\n#     return math.sqrt(x)")
    assert join("causal-mask", MASK + "n").count == 2
    join("gelu", GELU + "5")
    assert "#     return math.sqrt(x)" in my_bert.earlier_file().read_text()
    assert alone("gelu(1)") == 5


def test_a_helper_s_comments_by_hand_stay_when_a_section_before_gets_the_same_helper():
    helper = "def h(x):\n    return 1\n\n"
    join("gelu", helper + GELU + "h(x)")
    edit("def h", "# by hand\ndef h")
    join("causal-mask", helper + MASK + "h(n)")
    assert "# by hand" in text()
    assert alone("(gelu(0), causal_mask(0))") == (1, 1)


@pytest.mark.usefixtures("written")
def test_line_ends_of_old_macs_are_read():
    my_bert.file().write_bytes(text().replace("\n", "\r").encode())
    assert set(load().parts) == {"gelu", "layer-norm"}
    assert load().parts["gelu"].line == text().split("\r").index("# === gelu === GELU") + 1
    assert join("causal-mask", MASK + "n").added == ("causal-mask",)


@pytest.mark.usefixtures("written")
def test_a_commented_section_is_the_library_s():
    edit("def gelu(x):\n    return math.sqrt(x)", "# def gelu(x):\n#     return math.sqrt(x)")
    loaded = load()
    assert (set(loaded.parts), loaded.troubles) == ({"layer-norm"}, {})


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"\xe9 = 1", "is not UTF-8 text"),
        (b"x = (", "is not Python ("),
        (b"x = 1", "cannot be used: it has no section"),
    ],
)
def test_what_is_wrong_with_the_file_is_said_once(content, says):
    my_bert.file().write_bytes(content)
    for raised in (my_bert.read, load):
        with pytest.raises(MinibertError) as error:
            raised()
        said = str(error.value)
        assert says in said
        assert said.count("my_bert.py") == 1
        assert said.count(" is not ") == 1 - says.startswith("cannot")


def test_a_folder_in_place_of_the_file_is_named(folder, monkeypatch):
    monkeypatch.setenv("MINIBERT_MINE", str(folder))
    assert "is a folder: set MINIBERT_MINE to the name of a file" in str(join("gelu", GELU + "x"))
    with pytest.raises(MinibertError, match="is a folder"):
        load()


# ----------------------------------------------------------------------------------------- running it


@pytest.mark.usefixtures("written")
@pytest.mark.parametrize("ends", ["import sys\nsys.exit(0)", "exit()", "raise BaseException('no')", "while True: pass"])
def test_a_file_that_ends_the_program_or_never_ends_is_named_with_its_line(ends, monkeypatch, capsys):
    monkeypatch.setattr(running, "AT_ONCE", 0.2)
    edit("\n\n# === gelu", f"\n{ends}\n\n# === gelu")
    line = text()[: text().index(ends) + len(ends)].count("\n") + 1
    loaded = load()
    trouble = loaded.troubles["layer-norm"]
    assert f"my_bert.py, line {line}, " in trouble
    assert "did not end in" in trouble if "while" in ends else "raised " in trouble
    assert set(loaded.parts) == {"gelu"}
    assert main(["mine", "--quick"]) == 2
    assert f"line {line}, " in capsys.readouterr().err
    edit("import math", "import math\nimport sys\nsys.exit(0)")
    with pytest.raises(MinibertError, match=r"line \d+, raised SystemExit: 0\. Mend that line"):
        load()


@pytest.mark.usefixtures("written")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="the process cannot be copied")
@pytest.mark.parametrize(
    ("ends", "says"),
    [
        ("__import__('os')._exit(7)", "ended the program, with the status 7"),
        ("__import__('os')._exit(0)", "ended the program, with the status 0"),
        ("import ctypes; ctypes.string_at(0)", "made the program crash (SIGSEGV)"),
        ("import os; os.abort()", "made the program crash (SIGABRT)"),
        ("import os; os.kill(os.getpid(), 9)", "made the program crash (SIGKILL: too much memory?)"),
        ("class Deep:\n    __import__('os')._exit(1)", "ended the program, with the status 1"),
        ("def deep(x=__import__('os')._exit(1)): pass", "ended the program, with the status 1"),
        ("@__import__('os')._exit\ndef deep(): pass", "raised TypeError"),
        ("import signal as s\nwhile (s.pthread_sigmask(s.SIG_BLOCK, [s.SIGALRM]), 1): s.pause()", "did not end in"),
    ],
)
def test_a_file_that_ends_the_process_at_once_is_named_with_its_line(ends, says, monkeypatch, capsys):
    """Such a statement is tried in a copy of the process, and left out; the other parts are used."""
    monkeypatch.setattr(running, "AT_ONCE", 0.5)
    if "while" in ends:
        monkeypatch.setattr(running, "GRACE", 0.5)
    edit("\n\n# === gelu", f"\n{ends}\n\n# === gelu")
    before = text()
    loaded = load()
    trouble = loaded.troubles["layer-norm"]
    line = 1 + before[: before.index(ends.split("\n")[-1 if "while" in ends else 0])].count("\n")
    assert re.search(rf"my_bert\.py, line {line + ends.startswith('@')}, {re.escape(says)}", trouble)
    assert set(loaded.parts) == {"gelu"}
    assert main(["mine", "--quick"]) == 2
    assert says in capsys.readouterr().err
    assert text() == before
    # The file is run in this process too: what was tried has left nothing here.
    assert signal.SIGALRM not in signal.pthread_sigmask(signal.SIG_BLOCK, [])


@pytest.mark.usefixtures("written")
def test_each_statement_that_ends_the_process_is_named():
    edit("def gelu", "__import__('os')._exit(1)\n\ndef gelu")
    edit("def layer_norm", "__import__('os')._exit(2)\n\ndef layer_norm")
    troubles = load().troubles
    assert "status 1" in troubles["gelu"]
    assert "status 2" in troubles["layer-norm"]
    edit("import math", "import math\n__import__('os')._exit(0)")
    with pytest.raises(MinibertError, match=r"line \d+, ended the program, with the status 0\. Mend that line"):
        load()


def test_a_copy_of_the_process_is_only_made_where_something_is_done(monkeypatch):
    tried = []
    monkeypatch.setattr(running, "first_deadly", lambda nodes, *_: tried.append(1) or {})
    plain = "import math\nfrom torch import nn\n'a text'\nN = 3\nclass A(nn.Module):\n    def f(self, x=N): exit()\n"
    assert running.run_statements(plain, "f", ModuleType("plain")) == {}
    assert not tried
    for more in (
        "print()", "if N: pass", "B = A()", "import absent_module", "import math, absent_module", "with N: pass",
        "def f(x=print()): pass", "@A\ndef f(): pass", "class B(metaclass=A): pass", "class B:\n    print()",
    ):  # fmt: skip
        tried.clear()
        running.run_statements(f"{plain}{more}", "f", ModuleType("plain"))
        assert tried, more


def test_a_file_may_compute_with_threads():
    """The copy of the process has none of the other threads: a file that asks for two must not wait for them."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    much = "torch.softmax(torch.ones(500, 500), -1)"
    try:
        exec(much)  # so that the second thread exists here
        file = f"import torch\ntorch.set_num_threads(2)\nx = {much}\n"
        assert running.run_statements(file, "f", ModuleType("threads")) == {}
    finally:
        torch.set_num_threads(before)


@pytest.mark.usefixtures("written")
def test_a_part_that_ends_the_program_is_named():
    edit("    return math.sqrt(x)", "    raise SystemExit(3)")
    with pytest.raises(MinibertError, match=r"`raise SystemExit\(3\)`\) raised SystemExit: 3"):
        Parts({})["gelu"](1)
    edit("    raise SystemExit(3)", "    __import__('os')._exit(3)")
    end = os._exit
    with pytest.raises(MinibertError, match=r"_exit\(3\)`\) raised SystemExit: 3"):
        Parts({})["gelu"](1)
    assert os._exit is end
    if hasattr(os, "fork"):  # a process that the learner starts ends as it should
        edit("    __import__('os')._exit(3)", "    import os\n    return os.fork() or os._exit(5)")
        assert os.waitstatus_to_exitcode(os.waitpid(Parts({})["gelu"](1), 0)[1]) == 5


@pytest.mark.usefixtures("written")
def test_of_several_troubles_the_one_that_is_not_left_out_is_named():
    edit("def gelu", "1 / 0\n\ndef gelu")
    edit("def layer_norm", "2 / 0\n\ndef layer_norm")
    for left, other in (("gelu", "layer-norm"), ("layer-norm", "gelu")):
        with pytest.raises(MinibertError, match=f"your {other} cannot be used"):
            Parts({}, without=[left])


# -------------------------------------------------------------------------------------------- the page


@pytest.mark.usefixtures("written")
def test_the_page_replaces_only_a_page(folder, capsys):
    before = text()
    (folder / "link.html").symlink_to(my_bert.file())
    (folder / "notes.html").write_text("<!DOCTYPE html>\n<title>My BERT</title>")
    for name in (my_bert.file().name, "link.html", "notes.html"):
        assert main(["mine", "--quick", "--page", str(folder / name)]) == 2
        assert "is there already, with something else in it: choose another --page" in capsys.readouterr().err
    assert text() == before
    with pytest.raises(MinibertError, match="is a folder"):
        refuse_foreign(folder)
    refuse_foreign(folder / "new.html")
    (folder / "old.html").write_text(f"<!DOCTYPE html>\n<head>{GENERATOR}<style></style>")
    refuse_foreign(folder / "old.html")
