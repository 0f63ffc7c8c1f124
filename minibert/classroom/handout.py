"""A folder to hand out to a class: the lessons, the exercises, and the library that both need.

It is laid out as the project is, so that links from the lessons lead to the code, and installs with the same line.
"""

from __future__ import annotations

import shutil
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from nbformat import NotebookNode

import minibert
from minibert.classroom.exports import asked_for, write_notebooks
from minibert.errors import MinibertError
from minibert.exercises.declare import Exercise
from minibert.files import write_file
from minibert.lessons.building import assembled, folder, lessons, readme_block, stored_notebook

HANDED_OUT = ("requirements.txt", "pyproject.toml")  # beside the library, what installs it

README = """\
# The BERT family, from one dot product to a distilled BERT

Lessons to read and run, and exercises that say what is wrong with an answer.

## Once

```sh
python3 -m venv .venv && source .venv/bin/activate
pip install -r requirements.txt
minibert fetch
```

The first line makes an environment of its own (Python 3.10 or newer), the second installs what is here, the third
downloads a small real BERT and film reviews, 97 MB; after that no network is needed.

## Then

```sh
jupyter lab lessons/
```

Begin with `{first}`. Run a lesson from top to bottom, change things, and do its exercises where they stand.
`exercises/` has the same exercises without the lessons, a notebook a topic.
`minibert progress` shows what you have passed; `minibert check FILE` checks the answers in a file or a notebook.

## The lessons

<!-- lessons:begin -->

{path}

<!-- lessons:end -->
"""


def run(args: Namespace) -> None:
    """`minibert export student`: write the folder and say what is in it."""
    chosen, out = asked_for(args)
    print(*write_class(out, chosen), sep="\n")


def code_of(notebook: NotebookNode) -> list[str]:
    """The code of a notebook, cell by cell."""
    return [cell.source for cell in notebook.cells if cell.cell_type == "code"]


def write_class(out: Path, chosen: Sequence[Exercise]) -> list[Path]:
    """Write the folder; returns what is in it. chosen: the exercises of the notebooks in exercises/.

    Raises MinibertError when the folder holds anything already, lies in one that is copied, or cannot be written, when
    a lesson's notebook has been changed, and when the package has no checkout to take the lessons from.
    """
    root = folder().parent
    library = Path(minibert.__file__).parent
    for lesson in lessons():
        if code_of(stored_notebook(lesson)) != code_of(assembled(lesson)):
            raise MinibertError(
                f"{lesson.notebook} is not as its source has it, and may hold answers: `minibert lessons --build "
                f"{lesson.number}` writes it anew."
            )
    if any(out.resolve().is_relative_to(copied.resolve()) for copied in (library, folder())):
        raise MinibertError(f"{out} lies in a folder that is handed out: choose another --out.")
    try:
        if out.exists() and any(out.iterdir()):  # a README of the reader's own, or answers in an earlier export
            raise MinibertError(f"{out} is not empty: choose another --out, so that nothing there is lost.")
        made = write_notebooks(out / "exercises", "student", chosen)
        ours = shutil.ignore_patterns("__pycache__", ".*")
        shutil.copytree(library, out / "minibert", ignore=ours)
        shutil.copytree(folder() / "source", out / "lessons" / "source", ignore=ours)
        for file in HANDED_OUT:
            shutil.copy(root / file, out / file)
        for lesson in lessons():
            made.append(Path(shutil.copy(lesson.notebook, out / "lessons" / lesson.notebook.name)))
    except OSError as error:
        raise MinibertError(f"{out} cannot be written ({error}): check the folder and the space.") from error
    write_file(out / "README.md", README.format(first=lessons()[0].notebook.name, path=readme_block()))
    return [out / "README.md", *made]
