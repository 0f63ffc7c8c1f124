"""What was handed in: the files of a folder. Nothing is dropped in silence: each is marked, or listed with a reason.

What the files say is read by exercises/submissions.py.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from minibert.errors import MinibertError
from minibert.exercises.submissions import JUNK, kind_of, read

__all__ = ["MARKER", "HandedIn", "handed_in", "read"]

MARKER = ".marking"  # in the folder with the results: what is done so far


@dataclass
class HandedIn:
    """One row of the marks: a file, or a folder in which there is nothing to mark.

    label: its path in the class's folder. unread: why it is not marked; empty if it is to be marked. also: what else
    lies in the same folder and is not read. loose: whether it is no submission in all likelihood: a file of another
    kind that lies between the submissions, and not alone in a student's folder.
    """

    path: Path
    label: str
    unread: str = ""
    also: list[str] = field(default_factory=list)
    loose: bool = False


def handed_in(folder: str | Path, out: str | Path | None = None) -> list[HandedIn]:
    """All that was handed in, in order. out: the folder of the results, which may be inside and is left out.

    Raises MinibertError if there is no such folder, or nothing in it.
    """
    folder = Path(folder)
    if folder.is_file():
        return [HandedIn(folder, folder.name)]
    if not folder.is_dir():
        raise MinibertError(f"there is no folder {str(folder)!r}: name the folder with the submissions.")
    skipped = Path(out).resolve() if out is not None else None
    if skipped is not None and skipped == folder.resolve():
        raise MinibertError(f"{folder} holds the submissions: choose another --out for the results.")
    found = list(_inside(folder, folder, skipped))
    if not found:
        raise MinibertError(f"{folder} holds no files: name the folder with the submissions.")
    return found


def _inside(root: Path, folder: Path, skipped: Path | None) -> Iterator[HandedIn]:
    def label(path: Path) -> str:
        return path.relative_to(root).as_posix()

    try:
        with os.scandir(folder) as listed:
            entries = sorted(listed, key=lambda entry: os.fsencode(entry.name))
    except OSError as error:
        yield HandedIn(folder, label(folder), f"the folder cannot be opened ({error.strerror or error})")
        return
    read, unread, folders = [], [], []
    for entry in entries:
        path = Path(entry.path)
        if JUNK.search(label(path)):
            continue
        if entry.is_symlink():
            unread.append(HandedIn(path, label(path), "it is a link, and links are not followed"))
        elif entry.is_dir(follow_symlinks=False):
            if skipped is None or path.resolve() != skipped:
                folders.append(path)
        elif not entry.is_file(follow_symlinks=False):
            unread.append(HandedIn(path, label(path), "it is no file with content"))
        elif entry.name.startswith("."):
            unread.append(HandedIn(path, label(path), "it is hidden, and hidden files are not read"))
        elif kind_of(entry.name) is None:
            text = "it is not read: only .py files, notebooks (.ipynb) and zips of them are"
            unread.append(HandedIn(path, label(path), text))
        else:
            read.append(HandedIn(path, label(path)))
    links = [one for one in unread if "link" in one.unread]
    if read and folder != root:  # notes next to an answer get no row, but are listed with it
        for one in read:
            one.also = [f"{other.path.name}: {other.unread}" for other in unread if other not in links]
        unread = links
    inner = [one for path in folders for one in _inside(root, path, skipped)]
    if folder == root or (not read and any(not one.unread for one in inner)):
        for one in unread:
            one.loose = kind_of(one.path.name) is None
    if not (read or unread or inner or folders) and folder != root:
        inner = [HandedIn(folder, label(folder), "nothing was handed in: the folder is empty")]
    yield from sorted([*read, *unread, *inner], key=lambda one: one.label)
