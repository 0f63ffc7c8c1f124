"""A folder to hand out to a class: the lessons, the exercises, and the library that both use, without the solutions.

It has the same layout as the project, so that links from the lessons lead to the code, and the same commands install
it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from nbformat import NotebookNode

import minibert
from minibert.classroom.exports import files_under, package_files, write_notebooks
from minibert.errors import MinibertError
from minibert.exercises.declare import Exercise
from minibert.files import write_files
from minibert.lessons.building import assembled, readme_block, written
from minibert.lessons.lesson import Lesson, folder, lessons, stored_notebook
from minibert.lessons.solutions import link_to

README = """\
# The BERT family, from one dot product to a distilled BERT

Lessons to read and run, and exercises that tell you what is wrong with an answer.

## Install

```sh
python3 -m venv .venv && source .venv/bin/activate
pip install -r requirements.txt
minibert fetch
```

The first line makes an environment (Python 3.10 or newer). The second installs what is in this folder. The third
downloads a small real BERT, film reviews and a vocabulary, 97 MB; after that no network is needed.

## Start

```sh
jupyter lab lessons/
```

Begin with `{first}`. Run a lesson from top to bottom, change things, and do the exercises in it.
`exercises/` has the same exercises without the lessons, one notebook for each topic.
`minibert progress` shows what you have passed, and `minibert check FILE` checks the answers in a file or a notebook.

## The lessons

<!-- lessons:begin -->

{path}

<!-- lessons:end -->
"""


def code_of(notebook: NotebookNode) -> list[str]:
    """The code of a notebook, cell by cell."""
    return [cell.source for cell in notebook.cells if cell.cell_type == "code"]


def write_class(out: Path, chosen: Sequence[Exercise]) -> list[Path]:
    """Write the folder; returns its README and notebooks. chosen: the exercises of the notebooks in exercises/.

    Raises MinibertError if the folder is not empty, is inside one that is copied, or cannot be written; if the notebook
    of a lesson has been changed; and if the package was installed without a checkout, where the lessons are.
    """
    root = folder().parent
    library = Path(minibert.__file__).parent
    if any(out.resolve().is_relative_to(source.resolve()) for source in (library, folder())):
        raise MinibertError(f"{out} is inside a folder that is handed out: choose another --out.")
    try:
        if out.exists() and any(out.iterdir()):  # perhaps a README of the reader's own, or answers in an older export
            raise MinibertError(f"{out} is not empty: choose another --out, so that nothing in it is lost.")
        files = {Path(path): content for path, content in package_files().items()}
        copied = [root / "requirements.txt", *files_under(folder() / "source")]
        files |= {path.relative_to(root): path.read_bytes() for path in copied}
        files |= {one.notebook.relative_to(root): without_solutions(one) for one in lessons()}
    except OSError as error:
        raise MinibertError(f"{out} cannot be written ({error}): check the folder and what goes into it.") from error
    for lesson in lessons():
        if code_of(stored_notebook(lesson)) != code_of(assembled(lesson)):
            raise MinibertError(
                f"{lesson.notebook} differs from its source and may hold answers: `minibert lessons --build "
                f"{lesson.number}` writes it again."
            )
    readme = README.format(first=lessons()[0].notebook.name, path=readme_block())
    files[Path("README.md")] = readme.encode()  # in place of the project's own, which pyproject.toml may name
    notebooks = write_notebooks(out / "exercises", "student", chosen)
    for inside, contents in by_folder(files).items():
        write_files(out / inside, contents)
    return [out / "README.md", *notebooks, *(out / "lessons" / lesson.notebook.name for lesson in lessons())]


def without_solutions(lesson: Lesson) -> bytes:
    """The lesson's notebook without the links to solutions, which are not handed out."""
    notebook = stored_notebook(lesson)
    for cell in notebook.cells:
        for name in lesson.exercises if cell.cell_type == "markdown" else ():
            cell.source = cell.source.replace(link_to(lesson, name), "")
    return written(notebook).encode()


def by_folder(files: dict[Path, bytes]) -> dict[Path, dict[str, bytes]]:
    """Path -> content as folder -> name -> content."""
    found: dict[Path, dict[str, bytes]] = defaultdict(dict)
    for path, content in files.items():
        found[path.parent][path.name] = content
    return found
