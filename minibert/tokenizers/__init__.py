"""From text to numbers and back: one module for each way of cutting text into pieces."""

from __future__ import annotations

from pathlib import Path

from minibert.assets import place_of, resolve
from minibert.errors import MinibertError
from minibert.files import read_json
from minibert.tokenizers.base import Encoding, Row, SpecialTokens, Tokenizer
from minibert.tokenizers.byte_bpe import ByteBPE
from minibert.tokenizers.unigram import AlbertUnigram, Unigram, XLNetUnigram
from minibert.tokenizers.wordpiece import WordPiece, settings_beside

__all__ = [
    "AlbertUnigram",
    "ByteBPE",
    "Encoding",
    "Row",
    "SpecialTokens",
    "Tokenizer",
    "Unigram",
    "WordPiece",
    "XLNetUnigram",
    "load_tokenizer",
]

# In the order in which a folder is searched for them.
TOKENIZERS: tuple[type[Tokenizer], ...] = (WordPiece, ByteBPE, Unigram)


def load_tokenizer(source: str | Path) -> Tokenizer:
    """The tokenizer of a checkpoint folder, of a vocab.txt or spiece.model, or of what minibert downloads ("minilm-l6",
    "gpt2-bpe").

    The files in a folder decide which family reads it. A vocab.txt is read with the settings in a
    tokenizer_config.json in the same folder, if there is one, and otherwise as uncased.
    Raises MinibertError if there is no such source, or if it holds no tokenizer that can be read here.
    """
    path = place_of(source, "a tokenizer")
    if path.is_file() and path.suffix == ".model":
        return Unigram.from_file(path)
    if path.is_file() and path.suffix == ".json":
        raise MinibertError(f"{path} is a file: name the folder that it is in.")
    if path.is_file():
        return WordPiece.from_file(path, **settings_beside(path))
    if path.suffix in (".txt", ".model"):
        raise MinibertError(
            f"there is no file {path}; give a vocab.txt or spiece.model, a checkpoint folder, or a name such as "
            "minilm-l6."
        )
    folder = path if path.is_dir() else resolve(source)
    for family in TOKENIZERS:
        if family.is_in(folder):
            return family.from_folder(folder)
    known = ", ".join(family.__name__ for family in TOKENIZERS)
    raise MinibertError(f"{folder} holds no tokenizer that can be read here ({known}); {_what_is_there(folder)}")


def _what_is_there(folder: Path) -> str:
    names = sorted(entry.name for entry in folder.iterdir())
    if not names:
        return "it is empty."
    if "tokenizer.json" in names:
        kind = (read_json(folder / "tokenizer.json").get("model") or {}).get("type")
        return f"found a tokenizer.json whose model's type is {kind!r}."
    return f"found {', '.join(names[:8])}{' ...' if len(names) > 8 else ''}."
