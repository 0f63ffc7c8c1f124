"""Tokens that the files of a checkpoint folder add to a vocabulary: read or refused, never ignored.

Several files may name tokens that are looked for in the text itself, before it is cut: tokenizer.json,
added_tokens.json, tokenizer_config.json and special_tokens_map.json. A tokenizer that passed over one of them would cut
it into pieces, and the model would never see the token.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minibert.errors import MinibertError
from minibert.files import read_json
from minibert.tokenizers.base import SpecialTokens

Entries = Iterator[tuple[Any, dict[str, Any]]]  # a token, by its name or with its flags; its id or role
Reader = Callable[[dict[str, Any]], Entries]

SAME_ROLE = {"bos": "cls", "eos": "sep"}  # other names of what is put at the start and at the end


@dataclass(frozen=True)
class AddedToken:
    """What one file says of one token. role: pad, unk, cls, sep, mask, bos or eos, where it says so. id: its number, if
    given.

    flags: those that the file gives, such as "lstrip", whether the blanks before the token belong to it.
    """

    content: str
    file: Path
    role: str | None = None
    id: int | None = None
    flags: Mapping[str, Any] | None = None

    def has(self, flag: str) -> bool | None:
        """A flag's value; None where the file does not say."""
        return (self.flags or {}).get(flag)


def added_tokens(
    folder: Path, special: SpecialTokens, further: Iterable[str] = (), ends: tuple[str, str] | None = None
) -> list[AddedToken]:
    """All that the files of a folder say of single tokens, tokenizer.json first.

    further: tokens that are kept whole as well. ends: the bos and eos tokens; None where they are cls and sep. Raises
    MinibertError if one of the files adds a token that is not among these, or gives a special token's part to another:
    those are not read here.
    """
    known = {*special.all(), *further}
    expected = vars(special) | dict(zip(SAME_ROLE, ends or (special.cls, special.sep), strict=True))
    found = [token for file, read in READERS.items() for token in _read(folder / file, read)]
    for token in found:
        if token.content not in known:
            unknown = sorted({other.content for other in found if other.file == token.file} - known)
            raise MinibertError(
                f"{token.file} adds tokens of its own, which are not read here: {', '.join(unknown[:5])}; without them "
                "texts would be cut differently, so use a tokenizer without added tokens."
            )
        if token.role is not None and token.content != expected[token.role]:
            raise MinibertError(
                f"{token.file} has {token.content} as its {token.role} token; only {expected[token.role]} is read here."
            )
    return found


def _read(path: Path, read: Reader) -> list[AddedToken]:
    if not path.exists():
        return []
    content, found = read_json(path), []
    try:
        for entry, more in read(content):
            flags = entry if isinstance(entry, Mapping) else {"content": entry}
            found.append(AddedToken(str(flags["content"]), path, flags=flags, **more))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise MinibertError(f"the tokens that {path} adds cannot be read ({error}): was it edited by hand?") from error
    return found


def _in_tokenizer_json(content: dict[str, Any]) -> Entries:
    for entry in content.get("added_tokens") or ():
        yield entry, {"id": entry.get("id")}


def _in_added_tokens(content: dict[str, Any]) -> Entries:
    for token, number in content.items():
        yield token, {"id": number}


def _in_settings(content: dict[str, Any]) -> Entries:
    for number, entry in (content.get("added_tokens_decoder") or {}).items():
        yield entry, {"id": int(number)}
    for role in ("pad", "unk", "cls", "sep", "mask", *SAME_ROLE):
        if (entry := content.get(f"{role}_token")) is not None:
            yield entry, {"role": role}
    for name in ("additional_special_tokens", "extra_special_tokens"):
        entries = content.get(name) or ()
        for entry in entries.values() if isinstance(entries, Mapping) else entries:
            yield entry, {}


READERS = {
    "tokenizer.json": _in_tokenizer_json,
    "added_tokens.json": _in_added_tokens,
    "tokenizer_config.json": _in_settings,
    "special_tokens_map.json": _in_settings,
}
