"""Building the lessons: readable sources in, executed notebooks out, and the check that the two agree.

A source is lessons/source/NN_topic.py in py:percent format, with two additions:

    # %% exercise="attention"
        an empty cell in the place of an exercise of the catalogue: its task, its stub, and its check
    {{minibert.count_parameters(bert) | ,}}
        in a text cell: computed at this place of the lesson, and written with the format after the bar. So a number in
        the text of a lesson comes from the lesson's own code.

A cell with the tag "folded" (# %% tags=["folded"]) is closed until the reader opens it: set-up that is no part of the
lesson, or an answer below its exercise. What it shows stays visible. `fold="By hand"` after the tag says what stands in
its place on a page; without it that is "Set-up" for a cell that begins with imports, and "Show more" for others.

A source begins with a heading and the lesson's question as a quotation. A cell with the tag "trained" holds the results
of training, which differ a little from machine to machine; everything else must be the same to the last digit shown.
"""

from __future__ import annotations

import base64
import copy
import json
import os
import re
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from io import BytesIO
from pathlib import Path

import nbformat
import torch
from jupyter_client.kernelspec import NoSuchKernel
from matplotlib.image import imread
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_notebook
from torch import Tensor
from torch.nn.functional import max_pool2d

from minibert import plots
from minibert.claims.tables import fill_markers
from minibert.errors import MinibertError
from minibert.exercises.check import exercise_named
from minibert.exercises.notebooks import FOLDED, exercise_cells, finished_notebook, folded, folded_text
from minibert.files import read_text, write_file
from minibert.lessons import COURSE, solutions
from minibert.lessons.example_check import drawn_check
from minibert.lessons.lesson import Lesson, folder, lessons, stored_notebook
from minibert.lessons.teaching import update_teaching
from minibert.signs import progress_bar

LONGEST = 300  # seconds that a cell may take before a lesson counts as stuck; on two cores none needs a minute
TRAINED = "trained"  # the tag of cells whose numbers differ from machine to machine
TRAINED_SPREAD = 0.15  # by how much they may, relative to their size
VALUE = re.compile(r"\{\{(.+?)(?:\s\|\s(.+?))?\}\}", re.DOTALL)  # {{expression}} or {{expression | format}}


# ------------------------------------------------------------------------------------------------- assembling


def assembled(lesson: Lesson) -> NotebookNode:
    """The notebook before it is executed, with its exercises written out as stubs."""
    cells = []
    for cell in lesson.cells:
        if "exercise" not in cell.metadata:
            cells.append(closed(copy.deepcopy(cell)))
            continue
        exercise = exercise_named(cell.metadata["exercise"])
        task, *others = exercise_cells(exercise, exercise.stub, level=3)
        task.source += solutions.link_to(lesson, exercise.name) if solutions.offered(lesson) else ""
        cells += [task, *others]
    return finished_notebook(cells)


def closed(cell: NotebookNode) -> NotebookNode:
    """The cell, folded if it has the tag for it."""
    if FOLDED not in cell.metadata.get("tags", ()):
        return cell
    set_up = cell.cell_type == "code" and re.match(r"(import|from) ", cell.source)
    words = cell.metadata.get("fold") or ("Set-up" if set_up else "Show more")
    return folded(cell, words) if cell.cell_type == "code" else folded_text(cell, words)


def values_cell(text: str) -> NotebookNode | None:
    """A code cell that prints the values of a text's {{expressions}} as JSON; None for a text without any."""
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
    """Run a notebook in a new kernel, fill in the values of its texts, and remove what varies.

    where: the working folder. Raises MinibertError when a cell fails, takes too long, warns, or shows an address in
    memory; when an expression in a text prints or shows something; and when there is no kernel to run the notebook.
    """
    planned = []
    for cell in notebook.cells:
        asking = values_cell(cell.source) if cell.cell_type == "markdown" else None
        planned += [asking, cell] if asking is not None else [cell]
    ran = new_notebook(cells=planned, metadata=notebook.metadata)
    with tempfile.TemporaryDirectory() as scratch:
        # A lesson starts with an empty record of exercises, and does not touch the reader's.
        env = {**os.environ, "MINIBERT_PROGRESS": str(Path(scratch) / "progress.json")}
        client = NotebookClient(
            ran, timeout=LONGEST, kernel_name="python3", record_timing=False,
            extra_arguments=["--log-level=ERROR"], resources={"metadata": {"path": str(where)}},
        )  # fmt: skip
        try:
            client.execute(env=env)
        except CellExecutionError as error:
            told = re.sub(r"\x1b\[[0-9;]*m", "", str(error))  # without colours
            raise MinibertError(f"lesson {name} stopped in a cell: {error.ename}: {error.evalue}\n{told}") from None
        except (CellTimeoutError, DeadKernelError) as error:
            raise MinibertError(f"lesson {name} did not finish: {error}") from None
        except NoSuchKernel:
            raise MinibertError(
                f"lesson {name} needs a Jupyter kernel for Python, and none is installed: run `pip install ipykernel`."
            ) from None

    cells, values = [], []
    for cell in ran.cells:
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
    """What a values cell has printed. Raises MinibertError when it also printed, showed or warned about something."""
    try:
        (output,) = joined(cell.outputs)
        return json.loads(tidy(output, name, cell.source).text)
    except (ValueError, AttributeError):
        raise MinibertError(
            f"lesson {name} has an expression in a text that prints or shows something, but it may only return a "
            f"value: {cell.source}"
        ) from None


def joined(outputs: Iterable[NotebookNode]) -> list[NotebookNode]:
    """Outputs, with consecutive chunks of a stream joined: where a stream is cut differs from run to run."""
    whole: list[NotebookNode] = []
    for output in outputs:
        if whole and output.output_type == "stream" and whole[-1].get("name") == output.name:
            whole[-1].text += output.text
        else:
            whole.append(output)
    return whole


def tidy(output: NotebookNode, name: str, source: str) -> NotebookNode:
    """An output without what differs from time to time. Raises MinibertError for warnings and addresses in memory."""
    text = output.get("text", "") + str(output.get("data", {}).get("text/plain", ""))
    if output.get("name") == "stderr" or re.search(r"\bat 0x[0-9a-f]{6,}", text):
        raise MinibertError(f"lesson {name} shows a warning or an address in memory: {text.strip()!r}, from:\n{source}")
    if "image/png" in output.get("data", {}):
        # Next to the picture, text/plain says only how large it is.
        output.data["text/plain"] = output.metadata.get("image/png", {}).get("alt", "a figure")
    return output


def build(lesson: Lesson) -> NotebookNode:
    """The lesson's notebook, executed."""
    return executed(assembled(lesson), lesson.notebook.parent, lesson.name)


def written(notebook: NotebookNode) -> str:
    return nbformat.writes(notebook) + "\n"


# --------------------------------------------------------------------------------------------------- comparing

# Also with nothing after the point: torch writes 1. where all numbers of a tensor are integers, and 1.0000 elsewhere.
NUMBER = re.compile(r"(?<![\w.])[-−]?\d+(?:,\d{3})*(?:\.\d*)?(?:e[-+]?\d+)?(?!\w)")
REACH = 8  # pixels by which another version of Matplotlib may shift a letter; measured between 3.10 and 3.11
# The share of pixels whose colour may be missing within reach: it is 6e-5 between these versions, 6e-3 for a new curve.
STRANGE = 5e-4


def differences(stored: NotebookNode, built: NotebookNode) -> list[str]:
    """Where a stored notebook differs from what its source gives now; empty when they agree.

    Texts must be equal except for the last digit shown of a number that is not an integer, and pictures must look
    alike. In cells with the tag "trained", numbers may differ by TRAINED_SPREAD, and pictures need only have about the
    same size.
    """
    if [cell.cell_type for cell in stored.cells] != [cell.cell_type for cell in built.cells]:
        return [f"{len(stored.cells)} cells are stored and {len(built.cells)} built, or their kinds differ"]
    found = []
    for number, (old, new) in enumerate(zip(stored.cells, built.cells, strict=True), 1):
        spread = TRAINED_SPREAD if TRAINED in new.metadata.get("tags", ()) else 0.0
        if (new.cell_type == "code" and old.source != new.source) or not alike(old.source, new.source, spread):
            found.append(f"cell {number}: the text differs from the source: {new.source[:80]!r}")
        if new.cell_type != "code":
            continue
        if old.metadata.get("jupyter") != new.metadata.get("jupyter"):
            found.append(f"cell {number}: it is folded in one and not in the other: {new.source[:80]!r}")
        before, now = shown(old), shown(new)
        if [kind for kind, _ in before] != [kind for kind, _ in now]:
            found.append(f"cell {number}: its outputs are of different kinds: {new.source[:80]!r}")
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
    """Whether two texts are equal except for small differences of their numbers."""
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
    """The value of one step of the last digit shown; 0 for an integer, which must be exact."""
    digits, _, exponent = number.partition("e")
    decimals = digits.partition(".")[2]
    return 10.0 ** (int(exponent or 0) - len(decimals)) if decimals or exponent else 0.0


def pictures_alike(before: str, now: str, size_only: bool) -> bool:
    """Whether two PNGs, in base64, look alike, even if different versions of Matplotlib placed their letters."""
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
    """The share of a's pixels whose colour is not between those of b within REACH. a, b: (channels, height, width)."""

    def highest(picture: Tensor) -> Tensor:
        down = max_pool2d(picture, (2 * REACH + 1, 1), stride=1, padding=(REACH, 0))
        return max_pool2d(down, (1, 2 * REACH + 1), stride=1, padding=(0, REACH))

    beyond = torch.maximum(a - highest(b), -highest(-b) - a)
    return float((beyond.amax(dim=0) > 0.2).float().mean())


# ----------------------------------------------------------------------------------------------------- checking


def build_all(chosen: Sequence[Lesson]) -> Iterator[Path]:
    """Run the lessons' sources and write their notebooks, one after another; yields each notebook's file."""
    with progress_bar("building lessons", "lesson") as progress:
        for done, lesson in enumerate(chosen):
            progress(done, len(chosen))
            yield write_file(lesson.notebook, written(build(lesson)))


def check(chosen: Sequence[Lesson]) -> None:
    """Build lessons again and compare. Raises MinibertError, naming the cells, when a stored lesson differs."""
    solutions.check(chosen, lessons())
    wrong = []
    with progress_bar("checking lessons", "lesson") as progress:
        for done, lesson in enumerate(chosen):
            progress(done, len(chosen))
            stored = stored_notebook(lesson)
            wrong += [f"{lesson.name}, {line}" for line in differences(stored, build(lesson))]
    if wrong:
        raise MinibertError(
            "stored lessons differ from what their sources give; build them again with `minibert lessons --build`:\n"
            + "\n".join(wrong)
        )


def readme_block() -> str:
    """The path through the lessons, as the README shows it."""
    return "\n".join(
        f"- {lesson.number} [{lesson.title}](lessons/{lesson.name}.ipynb): {lesson.question}" for lesson in lessons()
    )


def update_readme(path: Path) -> None:
    """Write the path through the lessons between the README's markers, and its picture into figures/."""
    plots.save(plots.course_map(COURSE, title="The path through the lessons"), path.parent / "figures" / "lessons.png")
    plots.save(drawn_check(), path.parent / "figures" / "check.png")
    before = read_text(path)
    after = fill_markers(before, {"lessons": readme_block()})
    if after != before:
        write_file(path, after)
    update_teaching(folder() / "TEACHING.md")
