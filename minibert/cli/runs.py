"""The folder of a training run: how a stopped run continues, and what a finished one keeps.

A run is described by its options and by the contents of the files that they name, which its folder holds in
options.json. The same command with the same --out continues the run where it was stopped, or shows its record
(run.json) when it is finished. Other options in the same folder, or files that were edited since, are refused, so that
no two runs are mixed.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import nn

from minibert.assets import made_of
from minibert.checkpoints import save_pretrained
from minibert.errors import MinibertError
from minibert.files import content_digest, read_json, write_json
from minibert.models import PRESETS
from minibert.pinned import MADE
from minibert.tokenizers import Tokenizer, load_tokenizer
from minibert.training import loop

OPTIONS, RECORD, VOCABULARY = "options.json", "run.json", "vocabulary"
CONTENTS = "contents"  # in options.json: option -> digest of what it names
NAMING_FILES = ("data", "model", "teacher", "compare", "tokenizer")  # options that may name a file or a folder


def print_once(text: str) -> None:
    """Print a line, from the first process only."""
    if loop.Processes.is_first():
        print(text, flush=True)


class Run:
    """A training run and its folder.

    options: everything that decides what the run computes, including "command", with values as they are in JSON.
    device: a name, by default a GPU if there is one. restart: delete what the folder holds from an earlier run of this
    command.

    Under torchrun the first process reads and writes the folder, and the others wait and get the same results.
    Raises MinibertError when there is no such device.
    """

    def __init__(self, folder: str | Path, options: dict[str, Any], device: str | None = None, restart: bool = False):
        self.folder = Path(folder)
        self.options = options
        self.device = loop.pick_device(device)
        self.restart = restart
        self.processes = loop.Processes(self.device)

    def finished(self) -> dict[str, Any] | None:
        """The record of this run when it is finished, else None. Writes nothing.

        Raises MinibertError when the folder holds something else.
        """
        return self.processes.from_first(self._finished)

    def _finished(self) -> dict[str, Any] | None:
        folder, options = self.folder, self.options
        read = {name: options[name] for name in ("model", "teacher", "compare", "tokenizer") if options.get(name)}
        for name, source in read.items():
            if folder.resolve() == Path(source).resolve():
                what = "tokenizer" if name == "tokenizer" else "model"
                raise MinibertError(f"--out is {folder}, which is also read as a {what}: choose another --out.")
        try:
            if not folder.exists() or {path.name for path in folder.iterdir()} <= {OPTIONS, VOCABULARY}:
                return None  # nothing has been saved yet, so any run may use the folder
        except OSError as problem:
            raise _unusable(folder, problem) from None
        if not (folder / OPTIONS).exists():
            raise MinibertError(f"{folder} is not empty and holds no run of this command: choose another --out.")
        before = read_json(folder / OPTIONS)
        contents = before.pop(CONTENTS, {})
        if before.get("command") != options["command"]:
            raise MinibertError(f"{folder} holds a run of {before.get('command')}: choose another --out.")
        if self.restart:
            return None
        different = [name for name in {**options, **before} if before.get(name) != options.get(name)]
        if different:
            name = different[0]
            raise MinibertError(
                f"{folder} holds a run {_given(name, before.get(name))}, but this one is "
                f"{_given(name, options.get(name))}: choose another --out, or --restart to delete that run."
            )
        for name, digest in contents.items():
            if digest_of(options.get(name)) != digest:
                raise MinibertError(
                    f"{options[name]} was edited, or is gone, since the run in {folder} was started with it: choose "
                    "another --out, or --restart to delete that run."
                )
        if (folder / RECORD).exists():
            print_once(f"already finished; {folder} holds (--restart runs it again):")
            return read_json(folder / RECORD)
        return None

    def vocabulary(self, learn: Callable[[], Tokenizer]) -> Tokenizer:
        """The tokenizer that was learned for this run, if it was stopped, else a new one. Writes nothing."""

        def find() -> Tokenizer:
            continues = self._stopped() and not self.restart
            return load_tokenizer(self.folder / VOCABULARY) if continues else learn()

        return self.processes.from_first(find)

    def _stopped(self) -> bool:
        """Whether the folder holds a state to continue from, its own or a teacher's."""
        return self.folder.exists() and any(self.folder.rglob(loop.STATE))

    def start(self, learned: Tokenizer | None = None) -> None:
        """Make the folder. Call this when everything that could be wrong with the options has been checked.

        learned: the tokenizer that `vocabulary` returned. It is kept for a continued run, which must have exactly this
        one: on another machine, rounding might make another from the same texts.
        """
        self.processes.from_first(lambda: self._start(learned))

    def _start(self, learned: Tokenizer | None) -> None:
        try:
            if self.restart and self.folder.exists():
                shutil.rmtree(self.folder)
            if self._stopped():
                print_once(f"continuing the run in {self.folder}")
            elif learned is not None:
                shutil.rmtree(self.folder / VOCABULARY, ignore_errors=True)  # of a run that was never saved
                (self.folder / VOCABULARY).mkdir(parents=True)
                learned.save(self.folder / VOCABULARY)
        except OSError as problem:
            raise _unusable(self.folder, problem) from None
        digests = {name: digest_of(self.options.get(name)) for name in NAMING_FILES}
        contents = {name: digest for name, digest in digests.items() if digest is not None}
        write_json(self.folder / OPTIONS, {**self.options, CONTENTS: contents})

    def finish(self, model: nn.Module, tokenizer: Tokenizer, record: dict[str, Any]) -> dict[str, Any]:
        """Write the checkpoint and the record, and delete what was only needed to continue. Returns the record."""
        if self.processes.is_first():
            save_pretrained(self.folder, model.cpu(), tokenizer)
            write_json(self.folder / RECORD, record)
            try:
                for state in self.folder.rglob(loop.STATE):  # a teacher's too
                    state.unlink()
                shutil.rmtree(self.folder / VOCABULARY, ignore_errors=True)
            except OSError as problem:
                raise _unusable(self.folder, problem) from None
            print_once(f"{self.folder} now holds the model, its log and this record:")
        return record


def digest_of(source: str | None) -> str | None:
    """A digest of a file, or of the files of a checkpoint folder that are read as a model and its tokenizer.

    For an asset that this package makes, which may be another in the next version, a digest of what it is made of.
    None for presets and for assets that are fetched, whose contents never change, and where there is no such file.
    """
    if source is None or source in PRESETS:
        return None
    path = Path(source).expanduser()
    if path.is_file():
        return content_digest([path])
    if not path.is_dir():
        return made_of(source) if source in MADE else None
    others = {OPTIONS, RECORD, loop.STATE, loop.LOG}
    kinds = (".json", ".txt", ".model", ".safetensors", ".bin", ".bpe")
    return content_digest(each for each in path.iterdir() if each.suffix in kinds and each.name not in others)


def _given(name: str, value: Any) -> str:
    """An option as it was given, for a sentence."""
    option = f"--{name.replace('_', '-')}"
    if value is None or value is False:
        return f"without {option}"
    return f"with {option}" if value is True else f"with {option} {value}"


def _unusable(folder: Path, problem: OSError) -> MinibertError:
    return MinibertError(f"{folder} cannot be used for a run ({problem}): choose another --out.")


def teacher_of(source: str) -> str | None:
    """The teacher that the record of a distilled checkpoint names, or None.

    Raises MinibertError when there is a record that cannot be read.
    """
    path = Path(source) / RECORD
    if not path.exists():
        return None
    try:
        return read_json(path).get("teacher")
    except MinibertError as problem:
        raise MinibertError(f"{problem} Or delete it and name the teacher with --compare.") from None
