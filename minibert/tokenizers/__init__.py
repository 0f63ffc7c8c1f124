"""From text to numbers and back: one module a way of cutting text into pieces."""

from __future__ import annotations

from pathlib import Path

from minibert.errors import MinibertError
from minibert.tokenizers.base import Encoding, SpecialTokens, Tokenizer
from minibert.tokenizers.wordpiece import WordPiece, settings_beside

__all__ = ["Encoding", "SpecialTokens", "Tokenizer", "WordPiece", "load_tokenizer"]


def load_tokenizer(source: str | Path) -> Tokenizer:
    """The tokenizer of a checkpoint folder, of a vocab.txt, or of an asset by its name ("minilm-l6").

    A vocab.txt is read with the settings in a tokenizer_config.json beside it, if there is one, else as uncased.
    Raises MinibertError if nothing is there, or it holds no tokenizer that can be read here.
    """
    path = Path(source).expanduser()
    if path.is_file():
        return WordPiece.from_file(path, **settings_beside(path))
    if path.suffix == ".txt":
        raise MinibertError(f"there is no file {path}; name a vocab.txt, a checkpoint folder or an asset.")
    if not path.is_dir():
        from minibert.assets import resolve

        path = resolve(source)
    return WordPiece.from_folder(path)
