"""my_bert.py: answers that pass join the learner's own file, run there without minibert, and nothing is ever lost."""

from __future__ import annotations

import importlib.util
import json
import runpy
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from types import ModuleType
from unittest import mock

import pytest
import torch

import minibert
from minibert.cli.main import main
from minibert.exercises import my_bert
from minibert.exercises.catalogue import exercises
from minibert.exercises.notebooks import IMPORTS, solved
from minibert.exercises.sources import needed, renamed, statement, statements_in

NUMBERS = count()


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """The learner's folder."""
    monkeypatch.setenv("MINIBERT_PROGRESS", str(tmp_path / "record" / "progress.json"))
    monkeypatch.delenv("MINIBERT_MINE", raising=False)
    monkeypatch.setattr(my_bert, "_said", set())
    return tmp_path


def module(folder: Path, source: str) -> ModuleType:
    """A file with this source, run."""
    path = folder / f"answers{next(NUMBERS)}.py"
    path.write_text(textwrap.dedent(source).lstrip("\n"), encoding="utf-8")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


def join(folder: Path, exercise: str, source: str, name: str | None = None) -> my_bert.Joined:
    """As if the answer in this source had passed."""
    answer = getattr(module(folder, source), name or exercises()[exercise].function)
    return my_bert.join_answer(exercises()[exercise], answer)


def text() -> str:
    return my_bert.file().read_text(encoding="utf-8")


def alone(expression: str) -> str:
    """What an expression gives after my_bert.py, where minibert cannot be imported."""
    space: dict = {"__name__": "my_bert"}
    with mock.patch.dict(sys.modules, {"minibert": None}):
        exec(compile(text(), str(my_bert.file()), "exec"), space)
        return str(eval(expression, space))


# ------------------------------------------------------------------------------------------ what is written down

GELU = '''
    """My answers. minibert is used below, but not by the answer."""
    import math

    import torch
    import minibert
    from torch import Tensor, nn

    HALF = 0.5  # the factor
    SCALES = {"root": 1.0}
    SCALES["root"] = math.sqrt(2)


    def unused():
        return minibert.PRESETS


    # the share of the normal distribution below x
    def phi(x: Tensor) -> Tensor:
        return HALF * (1 + torch.erf(x / SCALES["root"]))  # see the paper


    # GELU, equation 1
    def gelu(x: Tensor) -> Tensor:
        """x times phi."""
        return x * phi(x)
'''


def test_an_answer_is_written_down_as_it_is_with_all_that_it_needs_and_nothing_else(folder, capsys):
    join(folder, "gelu", GELU)
    kept = textwrap.dedent(GELU)
    assert kept[kept.index("# the share") : kept.index("# GELU")].strip() in text()
    assert kept[kept.index("# GELU") :].strip() in text()
    assert "HALF = 0.5  # the factor" in text()
    assert 'SCALES["root"] = math.sqrt(2)' in text()
    assert "unused" not in text()
    assert "import minibert" not in text()
    assert "My answers" not in text()
    assert "from torch import Tensor\n" in text()  # and not nn, which it does not use
    assert alone("round(gelu(torch.tensor(1.0)).item(), 4)") == "0.8413"
    capsys.readouterr()
    with mock.patch.dict(sys.modules, {"minibert": None}):
        runpy.run_path(str(my_bert.file()), run_name="__main__")
    assert capsys.readouterr() == ("", "")


def test_answers_stand_in_reading_order_whatever_passed_first(folder):
    join(folder, "gelu", "def gelu(x):\n    return x")
    join(folder, "masked-lm-loss", "def masked_lm_loss(logits, labels):\n    return 0")
    join(folder, "causal-mask", "import torch\n\ndef causal_mask(length):\n    return torch.ones(length)")
    assert list(my_bert.parse(text()).parts) == ["causal-mask", "gelu", "masked-lm-loss"]
    assert text().index("import torch") < text().index("# === causal-mask") < text().index("# === gelu")


def test_a_check_that_passes_adds_its_answer_and_one_that_fails_does_not(folder):
    right = module(
        folder, "import torch\n\ndef causal_mask(length):\n    return torch.ones(length, length).tril().bool()"
    )
    wrong = module(
        folder, "def split_heads(x, num_heads):\n    return x.reshape(x.shape[0], num_heads, x.shape[1], -1)"
    )
    result = minibert.check("causal-mask", right.causal_mask)
    assert result.passed
    assert "Your my_bert.py now has causal-mask (1 of" in result.note
    assert not minibert.check("split-heads", wrong.split_heads).passed
    assert list(my_bert.read().parts) == ["causal-mask"]
    before = text()
    assert minibert.check("causal-mask", right.causal_mask).note is None  # it is there already
    assert text() == before


def test_the_command_line_adds_what_passes_from_a_file_and_from_a_notebook(folder, capsys):
    answers = folder / "mine.py"
    answers.write_text(
        f"{IMPORTS}\n\n{solved(exercises()['causal-mask'])}\n\n"
        "def masked_lm_loss(logits, labels):\n    return logits.sum()\n"
    )
    with pytest.raises(SystemExit):
        main(["check", str(answers)])
    assert "Your my_bert.py now has causal-mask (1 of" in capsys.readouterr().out
    cells = [
        "%%time\nfrom torch.nn import functional as F\nx = !ls",
        solved(exercises()["masked-lm-loss"]),
        "%pip list",
    ]
    notebook = {"cells": [{"cell_type": "code", "source": cell} for cell in cells]}
    (folder / "mine.ipynb").write_text(json.dumps(notebook))
    assert main(["check", str(folder / "mine.ipynb")]) == 0
    assert list(my_bert.read().parts) == ["causal-mask", "masked-lm-loss"]
    assert alone("masked_lm_loss(torch.zeros(1, 2, 3), torch.zeros(1, 2).long()).item() > 1") == "True"


def test_cells_of_a_notebook_are_found_as_they_were_run(folder):
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    config = Config()
    config.HistoryManager.enabled = False
    shell = InteractiveShell(config=config)
    for cell in (
        "import torch\nSHIFT = 1",
        "%%time\ndef ones(n):\n    return torch.ones(n, n)",
        "def causal_mask(length):\n    return ones(length).tril().bool()  # the first try",
        "# above\ndef causal_mask(length):\n    x = 1\n    return ones(length).tril(SHIFT - 1).bool()",
        "raise ValueError\ndef ones(n):\n    return None",  # not reached
        "import minibert\nfrom minibert.exercises import my_bert\nfrom minibert.exercises.catalogue import exercises\n"
        "joined = my_bert.join_answer(exercises()['causal-mask'], causal_mask)",
    ):
        shell.run_cell(cell, store_history=True, silent=False)
    assert shell.user_ns["joined"].added == ("causal-mask",)
    assert "first try" not in text()
    assert "# above\ndef causal_mask" in text()
    assert "return None" not in text()
    assert alone("causal_mask(2).int().tolist()") == "[[1, 0], [1, 1]]"


def test_an_answer_with_a_name_of_its_own_is_found_by_the_exercise_s_name(folder):
    join(folder, "gelu", "import torch\n\ndef gelu_try_3(x):\n    return x * 2", "gelu_try_3")
    assert "gelu = gelu_try_3" in text()
    assert alone("gelu(3)") == "6"
    # Its helper is called as the exercise, which must not be taken for the answer.
    join(
        folder,
        "layer-norm",
        "def layer_norm(x):\n    return x\n\ndef mine(x, w, b, eps):\n    return layer_norm(x) + 1",
        "mine",
    )
    assert alone("layer_norm(1, 0, 0, 0)") == "2"


# ---------------------------------------------------------------------------------------------- names that collide

FIRST = "def norm(x):\n    return x + 1\n\ndef gelu(x):\n    return norm(x)"
SECOND = (
    "def norm(x):\n    return x * 10\n\n"
    "def feed_forward(x, weights):\n    norm_of = [norm(x) for norm in [norm]]\n    return norm_of[0]"
)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_helpers_of_one_name_with_different_code_both_keep_working(folder, order):
    parts = [("gelu", FIRST), ("feed-forward", SECOND)]
    for number in order:
        join(folder, *parts[number])
    assert alone("(gelu(1), feed_forward(1, None))") == "(2, 10)"


def test_equal_helpers_are_written_once(folder):
    helper = "import math\nE = 1e-5\n\ndef root(x):\n    return math.sqrt(x + E)  # {}\n\n"
    join(folder, "gelu", helper.format("one") + "def gelu(x):\n    return root(x)")
    join(folder, "feed-forward", helper.format("the same") + "def feed_forward(x, weights):\n    return root(x) + 1")
    assert text().count("def root") == text().count("E = 1e-5") == text().count("import math") == 1
    assert alone("round(feed_forward(4, None), 3)") == "3.0"


def test_what_is_needed_at_once_stands_before_it(folder):
    join(folder, "feed-forward", "E = 2\n\ndef feed_forward(x, weights):\n    return E")
    join(folder, "causal-mask", "E = 2\nT = E * 2\n\ndef causal_mask(length):\n    return T")
    assert text().count("E = 2") == 1
    assert alone("(causal_mask(0), feed_forward(0, 0))") == "(4, 2)"


def test_constants_that_are_changed_step_by_step_stay_together(folder):
    join(folder, "gelu", "T = {}\n\ndef gelu(x):\n    return len(T)")
    join(folder, "feed-forward", "T = {}\nT['a'] = 1\n\ndef feed_forward(x, weights):\n    return len(T)")
    assert alone("(gelu(0), feed_forward(0, 0))") == "(0, 1)"
    join(folder, "causal-mask", "A, B = 1, 2\n\ndef causal_mask(length):\n    return A + B")
    join(folder, "layer-norm", "A, B = 1, 2\nB += 10\n\ndef layer_norm(x, weight, bias, eps):\n    return A + B")
    assert alone("(causal_mask(0), layer_norm(0, 0, 0, 0))") == "(3, 13)"


def test_one_name_for_two_imports(folder):
    join(folder, "gelu", "import math as m\n\ndef gelu(x):\n    return m.sqrt(x)")
    join(folder, "feed-forward", "import operator as m\n\ndef feed_forward(x, weights):\n    return m.add(x, 1)")
    join(
        folder, "causal-mask", "import torch.nn.functional as F\n\ndef causal_mask(length):\n    return F.relu(length)"
    )
    join(
        folder,
        "padding-mask",
        "from torch.nn import functional as F\n\ndef masked_softmax(a, b):\n    return F.relu(a)",
    )
    three = "masked_softmax(__import__('torch').tensor(3), 0).item()"
    assert alone(f"(gelu(4), feed_forward(1, 0), {three})") == "(2.0, 2, 3)"
    assert text().count(" as F") + text().count("functional as F") <= 2
    assert "F_of" not in text()


def test_an_exercise_keeps_its_name_when_a_helper_had_it_before(folder):
    join(folder, "feed-forward", "def gelu(x):\n    return x * 5\n\ndef feed_forward(x, weights):\n    return gelu(x)")
    join(folder, "gelu", "def gelu(x):\n    return x + 1")
    assert alone("(gelu(1), feed_forward(1, None))") == "(2, 5)"


def test_a_part_that_used_another_one_keeps_it_when_that_is_replaced(folder):
    both = "def gelu(x):\n    return x * 5\n\ndef feed_forward(x, weights):\n    return gelu(x)"
    join(folder, "gelu", both)
    join(folder, "feed-forward", both)
    assert text().count("def gelu") == 1  # it uses the one above
    join(folder, "gelu", "def gelu(x):\n    return x + 1")
    assert alone("(gelu(1), feed_forward(1, None))") == "(2, 5)"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("def a(norm):\n    return norm", None),  # a parameter
        ("def a():\n    norm = 1\n    return norm", None),
        ("def a():\n    return norm(1)  # norm", "def a():\n    return other(1)  # norm"),
        ("def norm(x):\n    return norm(x - 1)", "def other(x):\n    return other(x - 1)"),
        ("@norm\ndef a(x=norm): ...", "@other\ndef a(x=other): ..."),
        ("class A:\n    norm = 1\n    f = lambda: norm", "class A:\n    norm = 1\n    f = lambda: other"),
        ("def a():\n    def b(): return norm\n    'norm'", "def a():\n    def b(): return other\n    'norm'"),
        ("def a():\n    global norm\n    norm = 1", "def a():\n    global other\n    other = 1"),
        ("x = [norm for norm in norm]", "x = [norm for norm in other]"),
        ("é = 'é'; y = norm", "é = 'é'; y = other"),
        ("import norm", "import norm as other"),
        ("y = f'{norm} {norm:>{norm}}'", "y = f'{other} {other:>{other}}'"),
    ],
)  # fmt: skip
def test_only_names_of_the_file_are_renamed(before, after):
    assert renamed(statement(before), "norm", "other").source == (before if after is None else after)


# ----------------------------------------------------------------------------------------- nothing is lost

OTHER = "def gelu(x):\n    return x + 2"


def test_a_replaced_part_is_kept_in_the_file_of_earlier_ones(folder):
    for number, source in enumerate(("def gelu(x):\n    return 'one'", "def gelu(x):\n    return 'two'", OTHER)):
        assert join(folder, "gelu", source).changed == (("gelu",) if number else ())
    earlier = my_bert.earlier_file().read_text()
    assert "'one'" in earlier
    assert "'two'" in earlier
    assert "'one'" not in text()
    assert "x + 2" in text()


def test_what_was_changed_by_hand_stays(folder):
    join(folder, "gelu", "import math\n\ndef gelu(x):\n    return math.sqrt(x)")
    join(folder, "layer-norm", "def layer_norm(x, weight, bias, eps):\n    return x")
    edited = (
        text()
        .replace('"""My BERT:', '"""Anna\'s BERT:')
        .replace("import math", "# my imports\nimport math\n\nSEED = 1")
    )
    edited = edited.replace("# === layer-norm", "# a note between\n\n# === layer-norm")
    edited = edited.replace("return x\n", "return x  # edited\n\n\ndef extra():\n    return SEED\n\n# the end\n")
    my_bert.file().write_text(edited)
    join(folder, "causal-mask", "def causal_mask(length):\n    return length")
    for kept in ("Anna's BERT", "# my imports", "SEED = 1", "# a note between", "# edited", "def extra", "# the end"):
        assert kept in text(), kept
    assert alone("(extra(), gelu(4), causal_mask(3))") == "(1, 2.0, 3)"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"# === gelu === GELU\n\ndef gelu(x:\n    return x\n", "is not Python"),
        (b"print('something of mine')\n", "it has no section of an exercise"),
        (b"# === gelu === GELU\n\nx = 1\n\n# === gelu === GELU\n\nx = 2\n", "it has two sections gelu"),
        (b"\xff\xfe\x00", "my_bert.py"),
    ],
)
def test_a_file_that_cannot_be_used_is_left_as_it_is_and_the_check_still_passes(folder, content, says):
    path = my_bert.file()
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    answer = module(
        folder, "import torch\n\ndef causal_mask(length):\n    return torch.ones(length, length).tril().bool()"
    )
    result = minibert.check("causal-mask", answer.causal_mask)
    assert result.passed
    assert says in result.note
    assert "\n" not in result.note
    assert path.read_bytes() == content
    assert not minibert.check("causal-mask", answer.causal_mask).note  # said once
    assert "✓ causal-mask" in minibert.progress()


def test_no_place_to_write_to_is_said_in_a_sentence(folder, monkeypatch):
    (folder / "file").write_text("")
    monkeypatch.setenv("MINIBERT_MINE", str(folder / "file" / "my_bert.py"))
    assert "MINIBERT_MINE" in str(join(folder, "gelu", OTHER))


def test_a_source_that_cannot_be_found_is_said_once_and_the_pass_stays(folder):
    space: dict = {"torch": torch}
    exec(
        compile("def causal_mask(length):\n    return torch.ones(length, length).tril().bool()", "<stdin>", "exec"),
        space,
    )
    result = minibert.check("causal-mask", space["causal_mask"])
    assert result.passed
    assert "write it in a notebook or a file" in result.note
    assert minibert.check("causal-mask", space["causal_mask"]).note is None
    unnamed = minibert.check("causal-mask", lambda length: torch.ones(length, length).tril().bool())
    assert unnamed.passed
    assert "has no name" in unnamed.note
    assert not my_bert.file().exists()
    assert "✓ causal-mask" in minibert.progress()


def test_a_name_that_nothing_defines_is_named(folder):
    joined = join(folder, "gelu", "exec('K = 2')\n\ndef gelu(x):\n    return x * K")
    assert "it uses `K`, which no statement defines" in joined.trouble
    assert not my_bert.file().exists()


def test_annotations_need_not_be_defined():
    file = b"from __future__ import annotations\n\ndef f(x: Unknown) -> Other:\n    return x\n"
    assert len(needed(statements_in("a.py", file), "f")) == 1


def test_two_notebooks_at_once_lose_nothing(folder):
    """In two threads: the lock is between opened files, so that it holds between processes and threads alike."""
    names = list(exercises())[:16]

    def add(name: str) -> my_bert.Joined:
        function = exercises()[name].function
        return my_bert.join({name: lambda: (function, [statement(f"def {function}(*a):\n    return 1")])})

    with ThreadPoolExecutor(4) as pool:
        assert [one.added for one in pool.map(add, names)] == [(name,) for name in names]
    assert list(my_bert.read().parts) == names
