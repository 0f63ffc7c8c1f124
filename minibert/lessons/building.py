"""The lessons: readable sources in, executed notebooks out, and the check that the two are in step.

A source is lessons/source/NN_topic.py in py:percent format, with two additions:

    # %% exercise="attention"
        an empty cell that stands for an exercise of the catalogue: its task, its stub, and its check
    {{minibert.count_parameters(bert) | ,}}
        in a text cell: worked out where the cell stands, and written with the format after the bar. So a number in the
        text of a lesson comes out of the lesson.

It begins with a heading and, quoted, the lesson's question. A cell with the tag "trained" holds what a training has
found, which differs a little from machine to machine; everything else must come out the same to the last digit shown.
"""

from __future__ import annotations

import base64
import json
import os
import re
import tempfile
from argparse import Namespace
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from pathlib import Path

import jupytext
import nbformat
import torch
from jupyter_client.kernelspec import NoSuchKernel
from matplotlib.image import imread
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell
from torch import Tensor
from torch.nn.functional import max_pool2d
from tqdm import tqdm

from minibert import plots
from minibert.claims.tables import fill_markers
from minibert.classroom.exports import exercise_cells, finished_notebook, solved
from minibert.errors import MinibertError
from minibert.exercises.check import exercise_named
from minibert.files import write_file
from minibert.lessons import COURSE

LONGEST = 300  # seconds that a cell may take before a lesson counts as stuck; on two cores none needs a minute
TRAINED = "trained"  # the tag of cells whose numbers differ from machine to machine
TRAINED_SPREAD = 0.15  # by how much they may, relative to their size
VALUE = re.compile(r"\{\{(.+?)(?:\s\|\s(.+?))?\}\}", re.DOTALL)  # {{expression}} or {{expression | format}}


@dataclass(frozen=True)
class Lesson:
    """One lesson: its source, and the notebook that is built from it."""

    source: Path

    @property
    def name(self) -> str:
        return self.source.stem

    @property
    def number(self) -> str:
        return self.name.partition("_")[0]

    @property
    def notebook(self) -> Path:
        return self.source.parent.parent / f"{self.name}.ipynb"

    @cached_property
    def cells(self) -> list[NotebookNode]:
        """The source's cells as they stand there."""
        try:
            return jupytext.reads(self.source.read_text(encoding="utf-8"), fmt="py:percent").cells
        except (OSError, UnicodeDecodeError) as error:
            raise MinibertError(f"{self.source} cannot be read ({error}): check the file.") from error

    @cached_property
    def head(self) -> tuple[str, str]:
        """Title and question, from the first cell."""
        first = self.cells[0].source if self.cells else ""
        found = re.match(r"# (.+)\n+((?:> ?.*\n?)+)", first)
        if not found:
            raise MinibertError(f"{self.source} does not begin with a heading and a quoted question.")
        return found[1].strip(), " ".join(line.lstrip("> ").strip() for line in found[2].splitlines())

    @property
    def title(self) -> str:
        return self.head[0]

    @property
    def question(self) -> str:
        return self.head[1]

    @property
    def exercises(self) -> list[str]:
        """The names of the exercises in it, in order."""
        return [cell.metadata["exercise"] for cell in self.cells if "exercise" in cell.metadata]


def folder() -> Path:
    """The checkout's lessons. Raises MinibertError where the package is installed without its checkout."""
    found = Path(__file__).parents[2] / "lessons"
    if not (found / "source").is_dir():
        raise MinibertError(
            f"there are no lessons at {found}: they come with the project's checkout; install it with "
            "`pip install -r requirements.txt` there."
        )
    return found


def lessons(chosen: Sequence[str] = ()) -> list[Lesson]:
    """The lessons in their order, or those whose number or name is given. Raises MinibertError for an unknown one."""
    every = [Lesson(path) for path in sorted((folder() / "source").glob("[0-9][0-9]_*.py"))]
    known = {key: lesson for lesson in every for key in (lesson.number, lesson.name)}
    for name in chosen:
        if name not in known:
            raise MinibertError(f"there is no lesson {name!r}; there are: {', '.join(one.name for one in every)}.")
    wanted = [known[name] for name in chosen]
    return [lesson for lesson in every if not chosen or lesson in wanted]


# ------------------------------------------------------------------------------------------------- assembling


def assembled(lesson: Lesson, solutions: bool = False) -> NotebookNode:
    """The notebook before it is run: exercises written out, with stubs or with solutions."""
    cells = []
    for cell in lesson.cells:
        if "exercise" not in cell.metadata:
            cells.append(cell.copy())
            continue
        exercise = exercise_named(cell.metadata["exercise"])
        cells += exercise_cells(exercise, solved(exercise) if solutions else exercise.stub, level=3)
    return finished_notebook(cells)


def values_cell(text: str) -> NotebookNode | None:
    """A code cell that prints what a text's {{expressions}} give, as JSON; None when there are none."""
    asked = [(expression.strip(), form or "") for expression, form in VALUE.findall(text)]
    if not asked:
        return None
    printed = ", ".join(f"format({expression}, {form!r})" for expression, form in asked)
    return new_code_cell(f"print(__import__('json').dumps([{printed}]))", metadata={"values": True})


def filled(text: str, values: Sequence[str]) -> str:
    """The text with its {{expressions}} replaced, in order."""
    left = iter(values)
    return VALUE.sub(lambda _: next(left), text)


# --------------------------------------------------------------------------------------------------- executing


def executed(notebook: NotebookNode, where: Path, name: str) -> NotebookNode:
    """Run a notebook in a fresh kernel, fill in the values of its texts, and leave nothing in it that varies.

    where: the working folder. Raises MinibertError when a cell fails, takes too long, warns, or shows an address, when
    a value in a text prints or shows something of its own, and when there is no kernel to run it.
    """
    planned = []
    for cell in notebook.cells:
        asking = values_cell(cell.source) if cell.cell_type == "markdown" else None
        planned += [asking, cell] if asking is not None else [cell]
    run = nbformat.v4.new_notebook(cells=planned, metadata=notebook.metadata)
    with tempfile.TemporaryDirectory() as scratch:
        # A lesson starts from a blank record of exercises, and leaves the reader's alone.
        env = {**os.environ, "MINIBERT_PROGRESS": str(Path(scratch) / "progress.json")}
        client = NotebookClient(
            run, timeout=LONGEST, kernel_name="python3", record_timing=False,
            extra_arguments=["--log-level=ERROR"], resources={"metadata": {"path": str(where)}},
        )  # fmt: skip
        try:
            client.execute(env=env)
        except CellExecutionError as error:
            told = re.sub(r"\x1b\[[0-9;]*m", "", str(error))  # without colours
            raise MinibertError(f"lesson {name} stopped in a cell: {error.ename}: {error.evalue}\n{told}") from None
        except (CellTimeoutError, DeadKernelError) as error:
            raise MinibertError(f"lesson {name} did not come to its end: {error}") from None
        except NoSuchKernel:
            raise MinibertError(
                f"lesson {name} needs a Jupyter kernel for Python, and there is none here: `pip install ipykernel`."
            ) from None

    cells, values = [], []
    for cell in run.cells:
        if cell.metadata.get("values"):
            values = printed_values(cell, name)
            continue
        if cell.cell_type == "markdown":
            cell.source, values = filled(cell.source, values), []
        elif cell.cell_type == "code":
            cell.outputs = [tidy(output, name, cell.source) for output in joined(cell.outputs)]
        cells.append(cell)
    return finished_notebook(cells, executed=True)


def printed_values(cell: NotebookNode, name: str) -> list[str]:
    """What a values cell has printed. Raises MinibertError when something else was printed, or shown, or warned of."""
    try:
        (output,) = joined(cell.outputs)
        return json.loads(tidy(output, name, cell.source).text)
    except (ValueError, AttributeError):
        raise MinibertError(
            f"lesson {name} has a value in a text that prints or shows something by itself: {cell.source}"
        ) from None


def joined(outputs: Iterable[NotebookNode]) -> list[NotebookNode]:
    """Pieces of one stream that came one after another as one: how they are cut depends on the moment."""
    whole: list[NotebookNode] = []
    for output in outputs:
        if whole and output.output_type == "stream" and whole[-1].get("name") == output.name:
            whole[-1].text += output.text
        else:
            whole.append(output)
    return whole


def tidy(output: NotebookNode, name: str, source: str) -> NotebookNode:
    """An output without what differs from run to run. Raises MinibertError for a warning or an address in memory."""
    text = output.get("text", "") + str(output.get("data", {}).get("text/plain", ""))
    if output.get("name") == "stderr" or re.search(r"\bat 0x[0-9a-f]{6,}", text):
        raise MinibertError(f"lesson {name} shows a warning or an address in memory: {text.strip()!r}, from:\n{source}")
    if "image/png" in output.get("data", {}):
        # Beside the picture, text/plain says only how large it is.
        output.data["text/plain"] = output.metadata.get("image/png", {}).get("alt", "a figure")
    return output


def build(lesson: Lesson) -> NotebookNode:
    """The lesson's notebook, executed."""
    return executed(assembled(lesson), lesson.notebook.parent, lesson.name)


def written(notebook: NotebookNode) -> str:
    return nbformat.writes(notebook) + "\n"


# --------------------------------------------------------------------------------------------------- comparing

# With a bare point at its end too: torch writes 1. where all numbers of a tensor are whole, and 1.0000 elsewhere.
NUMBER = re.compile(r"(?<![\w.])[-−]?\d+(?:,\d{3})*(?:\.\d*)?(?:e[-+]?\d+)?(?!\w)")
REACH = 8  # dots that another version of Matplotlib may shift a letter by; measured from 3.10 to 3.11
STRANGE = 5e-4  # the share of dots that may have no like within reach; there it was 6e-5, and with another curve 6e-3


def differences(stored: NotebookNode, built: NotebookNode) -> list[str]:
    """In what a stored notebook is not what its source gives now; empty when they are in step.

    Texts must be equal but for the last digit shown of a number that is not whole, and pictures must look alike. In
    cells with the tag "trained" numbers may differ by TRAINED_SPREAD, and pictures must only be about as large.
    """
    if [cell.cell_type for cell in stored.cells] != [cell.cell_type for cell in built.cells]:
        return [f"{len(stored.cells)} cells are stored, and {len(built.cells)} come from the source, or of other kinds"]
    found = []
    for number, (old, new) in enumerate(zip(stored.cells, built.cells, strict=True), 1):
        spread = TRAINED_SPREAD if TRAINED in new.metadata.get("tags", ()) else 0.0
        if (new.cell_type == "code" and old.source != new.source) or not alike(old.source, new.source, spread):
            found.append(f"cell {number}: the text is not that of the source: {new.source[:80]!r}")
        if new.cell_type != "code":
            continue
        before, now = shown(old), shown(new)
        if [kind for kind, _ in before] != [kind for kind, _ in now]:
            found.append(f"cell {number}: its outputs are of other kinds: {new.source[:80]!r}")
            continue
        for (kind, a), (_, b) in zip(before, now, strict=True):
            same = pictures_alike(a, b, bool(spread)) if kind == "image/png" else alike(a, b, spread)
            if not same:
                found.append(f"cell {number}: {kind} differs: {new.source[:80]!r}")
    return found


def shown(cell: NotebookNode) -> list[tuple[str, str]]:
    """What a cell shows: the kind and the content of each output."""
    found = []
    for output in cell.outputs:
        if output.output_type == "stream":
            found.append((output.name, output.text))
        elif output.output_type == "error":
            found.append(("error", f"{output.ename}: {output.evalue}"))
        else:
            found += sorted((kind, str(content)) for kind, content in output.data.items())
    return found


def alike(before: str, now: str, spread: float) -> bool:
    """Whether two texts are equal but for small differences of their numbers."""
    if before == now:
        return True
    if NUMBER.sub("#", before) != NUMBER.sub("#", now):
        return False
    return all(close(a, b, spread) for a, b in zip(NUMBER.findall(before), NUMBER.findall(now), strict=True))


def close(before: str, now: str, spread: float) -> bool:
    """Whether two numbers are equal to the last digit shown, or to `spread` of their size."""
    a, b = (float(number.replace(",", "").replace("−", "-")) for number in (before, now))
    step = min(filter(None, map(last_digit, (before, now))), default=0.0)
    return abs(a - b) <= 1.01 * step + spread * max(abs(a), abs(b))


def last_digit(number: str) -> float:
    """What one step of the last digit shown is worth; 0 for a whole number, which is counted."""
    digits, _, exponent = number.partition("e")
    decimals = digits.partition(".")[2]
    return 10.0 ** (int(exponent or 0) - len(decimals)) if decimals or exponent else 0.0


def pictures_alike(before: str, now: str, size_only: bool) -> bool:
    """Whether two PNGs, in base64, look alike, though another version of Matplotlib may have set their letters."""
    if before == now:
        return True
    a, b = (
        torch.from_numpy(imread(BytesIO(base64.b64decode(picture)))).movedim(-1, 0) for picture in (before, now)
    )  # (channels, height, width), from 0 to 1
    if a.shape[0] != b.shape[0] or any(abs(m - n) > REACH for m, n in zip(a.shape, b.shape, strict=True)):
        return False
    height, width = (min(sizes) for sizes in zip(a.shape[1:], b.shape[1:], strict=True))
    a, b = a[:, :height, :width], b[:, :height, :width]
    return size_only or max(strangers(a, b), strangers(b, a)) <= STRANGE


def strangers(a: Tensor, b: Tensor) -> float:
    """The share of a's dots whose colour is not between those that b has within REACH. a, b: (C, height, width)."""

    def highest(picture: Tensor) -> Tensor:
        down = max_pool2d(picture, (2 * REACH + 1, 1), stride=1, padding=(REACH, 0))
        return max_pool2d(down, (1, 2 * REACH + 1), stride=1, padding=(0, REACH))

    beyond = torch.maximum(a - highest(b), -highest(-b) - a)
    return float((beyond.amax(dim=0) > 0.2).float().mean())


# ---------------------------------------------------------------------------------------------- the command line


def run(args: Namespace) -> None:
    """`minibert lessons`: list, build, check or render. Raises MinibertError for --out without --html."""
    if args.out and not args.html:
        raise MinibertError("--out says where the pages of --html go, and --html is not there: add it, or leave --out.")
    chosen = lessons(args.lessons)
    if args.build:
        for lesson in tqdm(chosen, desc="building lessons", unit="lesson", disable=None):
            write_file(lesson.notebook, written(build(lesson)))
            print(lesson.notebook)
        update_readme(folder().parent / "README.md")
    if args.check:
        check(chosen)
    if args.html:
        from minibert.lessons.site import render

        print(render(lessons(), Path(args.out or folder().parent / "site")))
    if not (args.build or args.check or args.html):
        for lesson in chosen:
            print(f"{lesson.number}  {lesson.title}\n    {lesson.question}")
        print(f"\njupyter lab {folder()}   opens them; --html makes pages to read without it.")


def check(chosen: Sequence[Lesson]) -> None:
    """Build lessons anew and compare. Raises MinibertError, naming the cells, when a stored one is not in step."""
    wrong = []
    for lesson in tqdm(chosen, desc="checking lessons", unit="lesson", disable=None):
        stored = stored_notebook(lesson)
        wrong += [f"{lesson.name}, {line}" for line in differences(stored, build(lesson))]
    if wrong:
        raise MinibertError(
            "stored lessons are not what their sources give; `minibert lessons --build` mends it:\n" + "\n".join(wrong)
        )
    print(f"{len(chosen)} lessons are in step with their sources.")


def stored_notebook(lesson: Lesson) -> NotebookNode:
    """The lesson's notebook as it is stored. Raises MinibertError when it is not there, or is no notebook."""
    try:
        return nbformat.read(lesson.notebook, as_version=4)
    except (OSError, ValueError, AttributeError, nbformat.ValidationError) as error:
        told = str(error).partition("\n")[0]
        raise MinibertError(
            f"{lesson.notebook} cannot be read ({told}): `minibert lessons --build` writes it anew."
        ) from None


def readme_block() -> str:
    """The path through the lessons, as the README shows it."""
    return "\n".join(
        f"- {lesson.number} [{lesson.title}](lessons/{lesson.name}.ipynb): {lesson.question}" for lesson in lessons()
    )


def update_readme(path: Path) -> None:
    """Write the path through the lessons between the README's markers, and its picture beside it."""
    plots.save(plots.course_map(COURSE, title="The path through the lessons"), path.parent / "figures" / "lessons.png")
    before = path.read_text(encoding="utf-8")
    after = fill_markers(before, {"lessons": readme_block()})
    if after != before:
        write_file(path, after)
