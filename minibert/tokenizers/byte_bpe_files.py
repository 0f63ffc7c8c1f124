"""The files of byte-level BPE: vocab.json with merges.txt, GPT-2's release, and a tokenizer.json.

A file that describes another way of reading text is refused, so that nothing is read in a way that its model does not
know.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from minibert.errors import MinibertError
from minibert.files import read_json, read_text
from minibert.tokenizers.base import SpecialTokens
from minibert.tokenizers.learning import Pair

ROBERTA_SPECIAL = SpecialTokens(pad="<pad>", unk="<unk>", cls="<s>", sep="</s>", mask="<mask>")
FIRST_TOKENS = ("<s>", "<pad>", "</s>", "<unk>")  # the ids 0 to 3 of RoBERTa and BART; <mask> is their last token

FILE_NAMES = (("vocab.json", "merges.txt"), ("encoder.json", "vocab.bpe"))  # the ecosystem's names; GPT-2's release's
VERSION = "#version: 0.2"  # the first line of a file of merges
END_OF_TEXT = "<|endoftext|>"  # GPT-2's only special token

# The classes that tokenize in this way; files are written for the first.
CLASSES = ("RobertaTokenizer", "BartTokenizer", "LongformerTokenizer", "LEDTokenizer", "MvpTokenizer")

# What a tokenizer_config.json, and the parts of a tokenizer.json, may say; None: says nothing.
CONFIG = {
    "errors": (None, "replace"),
    "padding_side": (None, "right"),
    "split_special_tokens": (None, False),
    "trim_offsets": (None, True),
    "truncation_side": (None, "right"),
}
TOKENIZER_JSON: dict[str, dict[str, tuple[Any, ...]]] = {
    "model": {
        "type": ("BPE",),
        "byte_fallback": (None, False),
        "continuing_subword_prefix": (None, ""),
        "dropout": (None, 0),
        "end_of_word_suffix": (None, ""),
        "ignore_merges": (None, False),
    },
    "normalizer": {"type": (None,)},
    "pre_tokenizer": {"type": ("ByteLevel",), "use_regex": (None, True)},
    "post_processor": {"type": ("RobertaProcessing",), "trim_offsets": (None, True)},
    "decoder": {"type": ("ByteLevel",)},
}

Parts = tuple[dict[str, int], list[Pair], dict[str, Any]]  # vocabulary, merges, settings


def read_two_files(folder: Path) -> Parts:
    """The vocabulary and the merges that a folder has in two files. Raises MinibertError if one is missing."""
    for vocabulary_name, merges_name in FILE_NAMES:
        vocabulary_file, merges_file = folder / vocabulary_name, folder / merges_name
        if merges_file.exists() and vocabulary_file.exists():
            vocabulary, merges = read_json(vocabulary_file), _read_merges(merges_file)
            if merges_name == "vocab.bpe" and END_OF_TEXT in vocabulary:
                pieces = sorted((token for token in vocabulary if token != END_OF_TEXT), key=vocabulary.__getitem__)
                tokens = [*FIRST_TOKENS, *pieces, ROBERTA_SPECIAL.mask]
                vocabulary = {token: number for number, token in enumerate(tokens)}
            return vocabulary, merges, {}
    if not folder.is_dir():
        raise MinibertError(f"there is no folder {folder}; name a checkpoint folder that holds a vocab.json.")
    needed = " or ".join(f"{vocabulary} with {merges}" for vocabulary, merges in FILE_NAMES)
    raise MinibertError(f"{folder} holds no whole byte-level BPE: it needs a tokenizer.json, or {needed}.")


def _read_merges(path: Path) -> list[Pair]:
    """One merge a line, two pieces with a blank between them, after a line that gives the version."""
    lines = read_text(path).replace("\r\n", "\n").removesuffix("\n").split("\n")
    begin = 1 if lines[0].startswith("#version") else 0
    return [_as_pair(line, f"line {number} of {path}") for number, line in enumerate(lines[begin:], begin + 1)]


def settings_in(folder: Path) -> dict[str, Any]:
    """The settings in a folder's tokenizer_config.json. Raises MinibertError for those that are not read here."""
    path = folder / "tokenizer_config.json"
    config = read_json(path) if path.exists() else {}
    _check(path, "", config, CONFIG)
    kind = str(config.get("tokenizer_class") or CLASSES[0]).removesuffix("Fast")
    if kind not in CLASSES and not (folder / "tokenizer.json").exists():  # which says more than a name
        raise MinibertError(
            f"{path} has the tokenizer_class {kind!r}, which may treat text in another way; these are read here: "
            f"{', '.join(CLASSES)}."
        )
    return {name: config[name] for name in ("add_prefix_space",) if config.get(name) is not None}


def read_tokenizer_json(path: Path) -> Parts:
    """What a tokenizer.json describes. Raises MinibertError if it is not RoBERTa's and BART's kind of tokenizer."""
    content = read_json(path)
    parts = {name: content.get(name) or {} for name in TOKENIZER_JSON}
    for name, allowed in TOKENIZER_JSON.items():
        _check(path, f"its {name}'s ", parts[name], allowed)
    model, around = parts["model"], parts["post_processor"]
    for role in ("cls", "sep"):
        found, expected = (around.get(role) or [None])[0], getattr(ROBERTA_SPECIAL, role)
        if found != expected:
            raise MinibertError(f"{path} puts {found} around texts as its {role} token; only {expected} is read here.")
    merges = [_as_pair(merge, f"a merge of {path}") for merge in model.get("merges") or ()]
    settings = {"add_prefix_space": bool(parts["pre_tokenizer"].get("add_prefix_space"))}
    return dict(model.get("vocab") or {}), merges, settings


def _as_pair(merge: str | Sequence[str], what: str) -> Pair:
    """A merge as files have it: "ab c", or ["ab", "c"]."""
    pieces = merge.split(" ") if isinstance(merge, str) else merge
    if len(pieces) != 2 or not all(pieces):
        raise MinibertError(f"{what} is {merge!r}; a merge is two pieces, with one blank between them.")
    return pieces[0], pieces[1]


def _check(path: Path, where: str, content: Mapping[str, Any], allowed: Mapping[str, tuple[Any, ...]]) -> None:
    for name, values in allowed.items():
        if content.get(name) not in values:
            expected = " or ".join(repr(value) for value in values if value is not None) or "nothing"
            raise MinibertError(
                f"{path} does not hold byte-level BPE as RoBERTa and BART have it: {where}{name} is "
                f"{content.get(name)!r}, not {expected}."
            )
