"""Reading and writing files: one clear sentence when it fails, and nothing half-written.

Everything that the package writes goes through `write_file` or `write_files`; everything that it reads as text or JSON
goes through `read_text` or `read_json`.
"""

from __future__ import annotations

import errno
import glob
import hashlib
import json
import os
import secrets
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from minibert.errors import MinibertError
from minibert.words import type_of

# What to write into a file: text (as UTF-8), bytes, or a function that writes to the path it is given.
Content = str | bytes | Callable[[Path], object]

ABANDONED = 600.0  # seconds after which an unfinished file is taken to be left by a process that was killed
WAIT = 30.0  # seconds that `alone` waits for another process, which may be trying what it has joined

# What the package writes where a reader says begins or ends with one of these, so that it may be replaced later.
GENERATOR = '<meta name="generator" content="minibert">'  # in the head of a page
SOFTWARE = "minibert"  # in a picture, as PNG's keyword Software
MARKS = (GENERATOR.encode(), f"Software\0{SOFTWARE}".encode(), b"minibertIndex(", b"an autograder of minibert")
MARKED = 1000  # bytes at the beginning and at the end of a file in which a mark is looked for


def write_file(path: str | Path, content: Content) -> Path:
    """Write one file so that there is always the old file or the new one, never a part, even after a crash.

    Returns the path. The folder is created if needed, and the contents are on disk when this returns. Raises
    MinibertError when the file cannot be written; what was there before is then untouched.
    """
    path = Path(path)
    write_files(path.parent, {path.name: content})
    return path


def write_files(folder: str | Path, contents: Mapping[str, Content]) -> None:
    """Write several files (name -> content) into a folder: none is put in place before all of them are complete.

    Raises MinibertError as `write_file` does.
    """
    folder = Path(folder)
    mark = f"{os.getpid()}-{secrets.token_hex(4)}.writing"
    unfinished = {name: folder / f"{_unfinished_stem(name)}{mark}" for name in contents}
    is_new = not folder.exists()
    at = folder
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in contents.items():
            at = folder / name
            if at.exists() and not at.is_file() and not at.is_dir():  # a device would become an ordinary file
                raise MinibertError(f"{at} cannot be written, because it is not an ordinary file: name another one.")
            _remove_abandoned(at)
            _write_unfinished(unfinished[name], content)
            if at.exists():
                unfinished[name].chmod(at.stat().st_mode & 0o777)
        for name, scratch in unfinished.items():
            at = folder / name
            scratch.replace(at.resolve() if at.is_symlink() else at)
        _sync_folder(folder)
    except MinibertError:
        raise
    except Exception as problem:  # a function that writes can fail in its own way when the disk is full
        raise MinibertError(_why_not_written(at, problem)) from problem
    finally:
        for scratch in unfinished.values():
            _remove_quietly(scratch)
        if is_new:
            _remove_if_empty(folder)


def made_here(content: bytes) -> bool:
    """Whether a file's content says that this package has written it."""
    return any(mark in content[:MARKED] or mark in content[-MARKED:] for mark in MARKS)


def refuse_foreign(
    paths: Path | Iterable[Path], option: str = "--out", made: Callable[[bytes], bool] = made_here
) -> None:
    """Raise MinibertError if one of these files is there and is somebody else's work, which would be lost.

    For files that a command writes where its reader says. Call it before the work begins, and for all files before the
    first is written. option: what names the place. made: whether a file with this content may be replaced; by default
    one that this package has written. An empty file may always be replaced.
    """
    for path in [paths] if isinstance(paths, Path) else paths:
        if path.is_dir():
            raise MinibertError(f"{path} is a folder: name a file with {option}.")
        if not path.is_file():
            continue  # nothing is there, or a device, which `write_files` refuses
        try:
            content = path.read_bytes()
        except OSError as error:
            raise MinibertError(
                f"{path} is there already, and cannot be read ({error.strerror or error}): choose another {option}."
            ) from None
        if content and not made(content):
            raise MinibertError(
                f"{path} is there already, with something else in it: choose another {option}, or move it away."
            )


def _why_not_written(path: Path, problem: Exception) -> str:
    """A sentence about a file that cannot be written: what is in the way, and what to do."""
    if path.is_dir():
        return f"{path} cannot be written, because it is a folder: give the name of a file."
    if isinstance(problem, (FileExistsError, NotADirectoryError)):
        blocking = next((one for one in (path, *path.parents) if one.exists() and not one.is_dir()), path)
        return f"{path} cannot be written, because {blocking} is a file, not a folder: choose another place."
    reason = getattr(problem, "strerror", None) or str(problem).strip() or type(problem).__name__
    return f"{path} cannot be written ({reason.splitlines()[0]}): check the folder's permissions and the free space."


def _unfinished_stem(name: str) -> str:
    """How the unfinished file of this name begins: short, because the longest names leave no room for more."""
    return f".{name[:40]}."


def _write_unfinished(path: Path, content: Content) -> None:
    if callable(content):
        path.touch()
        mode = path.stat().st_mode & 0o777
        content(path)
        path.chmod(mode)  # some writers leave a file that nobody else may read
    else:
        path.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    """Make the renames durable, if the system allows folders to be opened (Windows does not)."""
    if os.name == "posix":
        opened = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)


def _remove_abandoned(path: Path) -> None:
    """Remove unfinished files of killed processes, so that a run that is killed many times does not fill the disk."""
    for left in path.parent.glob(f"{glob.escape(_unfinished_stem(path.name))}*.writing"):
        try:
            if time.time() - left.stat().st_mtime > ABANDONED:
                left.unlink()
        except OSError:
            continue  # another process was quicker


def _remove_quietly(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError:
        return


def _remove_if_empty(folder: Path) -> None:
    try:
        folder.rmdir()
    except OSError:
        return


def read_text(path: str | Path) -> str:
    """The text of a UTF-8 file, without the byte order mark that some editors put first; line ends stay as they are.

    Raises MinibertError when it cannot be read or is not UTF-8, in which case it names the line of the first bad byte.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise MinibertError(f"{path} cannot be read ({error.strerror or error}): check the path.") from error
    try:
        return content.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise MinibertError(
            f"{path} is not UTF-8 text: the byte 0x{content[error.start]:02x} at position {error.start} "
            f"(line {line}) cannot be read; save the file as UTF-8."
        ) from error


def lines_of(text: str) -> list[str]:
    """The lines of a text, which end at "\\n", "\\r\\n" or "\\r" and nowhere else.

    (str.splitlines also cuts at form feeds, U+0085, U+2028 and others, which occur inside texts.)
    """
    return text.replace("\r\n", "\n").replace("\r", "\n").removesuffix("\n").split("\n")


def content_digest(paths: Iterable[Path]) -> str:
    """One number (SHA-256, in hexadecimal) for the names and the contents of some files, in any order.

    Raises MinibertError if one cannot be read.
    """
    digest = hashlib.sha256()
    for path in sorted(paths):
        content = hashlib.sha256()
        try:
            with path.open("rb") as file:
                while block := file.read(2**20):
                    content.update(block)
        except OSError as error:
            raise MinibertError(f"{path} cannot be read ({error.strerror or error}): check the path.") from error
        digest.update(f"{path.name} {content.hexdigest()}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def read_json(path: str | Path) -> dict[str, Any]:
    """The JSON object that a file holds. Raises MinibertError when it cannot be read, or holds something else."""
    text = read_text(path)
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise MinibertError(
            f"{path} cannot be read as JSON ({error}): was its download or its writing interrupted?"
        ) from error
    if not isinstance(found, dict):
        raise MinibertError(f"{path} must hold a JSON object, but holds {type_of(found)}.")
    return found


def write_json(path: str | Path, content: Any, indent: int = 2) -> Path:
    """Write JSON with a newline at the end; see `write_file`."""
    return write_file(path, json_text(content, indent))


def json_text(content: Any, indent: int = 2) -> str:
    """What `write_json` writes."""
    return json.dumps(content, indent=indent, ensure_ascii=False) + "\n"


def locked(file: IO[Any]) -> bool:
    """Whether this process has the file for itself now, until it closes it or ends.

    On a disk that knows no locks every process has it.
    """
    try:
        if sys.platform != "win32":
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        else:
            import msvcrt

            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    except OSError as error:
        return error.errno not in (errno.EAGAIN, errno.EACCES, errno.EDEADLK)
    return True


@contextmanager
def alone(path: Path, instead: str) -> Iterator[None]:
    """While no other process changes the file: to read it, change what was read, and write it.

    instead: what to do if its folder cannot be written to. Raises MinibertError in that case, and if another process
    keeps it for long.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        opened = path.with_name(f".{path.name}.lock").open("a")
    except OSError as error:
        raise MinibertError(f"{path.parent} cannot be written to ({error.strerror or error}): {instead}.") from None
    with opened:
        end = time.monotonic() + WAIT
        while not locked(opened):
            if time.monotonic() > end:
                raise MinibertError(f"another notebook or command is writing to {path} just now: do this again.")
            time.sleep(0.02)
        yield


def writable_folder(path: str | Path) -> Path:
    """Make the folder for the pictures, and check that files can be written there, before the long work begins."""
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            return Path(path)
    except FileExistsError:
        raise MinibertError(f"{path} is a file, but the pictures need a folder: name another one.") from None
    except OSError as error:
        raise MinibertError(f"no pictures can be written to {path} ({error.strerror}): name another folder.") from error
