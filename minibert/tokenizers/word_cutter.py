"""A tokenizer.json that holds a Unigram model, read as the tokenizers library reads it.

It is another way to the same pieces as a spiece.model, and differs from it in details: see `WordCutter`.
"""

from __future__ import annotations

import base64
import json
import math
import re
from collections.abc import Iterator
from typing import Any

from minibert.errors import MinibertError
from minibert.tokenizers import spiece
from minibert.tokenizers.base import Template, Tokenizer
from minibert.tokenizers.characters import decomposed, is_mark, lower
from minibert.tokenizers.cutters import UNKNOWN_PENALTY, Cutter, Found, Quick, covered, done, joined_unknowns
from minibert.tokenizers.gpt2_words import BLANKS
from minibert.tokenizers.spiece import BLANK, CharacterMap, Step, Traced
from minibert.tokenizers.unigram_model import best_path, known_pieces


class WordCutter(Cutter):
    """A tokenizer.json that holds a Unigram model, as the tokenizers library reads it.

    It differs from SentencePiece in details: text is split at blanks first, and each word is cut by itself, in 64 bits;
    characters are normalised by the steps that the file lists; numbers before commas are not cut again (converters
    lowered the scores of pieces that end in a digit and a comma instead). content: the file's text. where: its name,
    for messages.
    """

    single_precision = False
    cuts_at_blanks = True

    def __init__(self, content: str, where: str = "tokenizer.json"):
        """Raises MinibertError if the file describes another model, or prepares text in another way."""
        self.content = content
        self.where = where
        self.description = described = json.loads(content)
        model = described.get("model") or {}
        pieces = model.get("vocab")
        if not isinstance(pieces, list) or not pieces or model.get("byte_fallback"):
            raise MinibertError(f"{where} does not hold a Unigram model as ALBERT and XLNet have it.")
        number = model.get("unk_id")
        if not isinstance(number, int) or not 0 <= number < len(pieces):
            raise MinibertError(f"{where} has no piece for what is unknown: its model's unk_id is {number!r}.")
        self.vocabulary = {text: at for at, (text, _) in enumerate(pieces)}
        if len(self.vocabulary) != len(pieces):
            raise MinibertError(f"{where} lists a piece twice; a piece has one id.")
        self.scores = [float(score) for _, score in pieces]
        self.unknown = number, min(self.scores) - UNKNOWN_PENALTY
        self.known = known_pieces((text, at, self.scores[at]) for text, at in self.vocabulary.items())
        added = described.get("added_tokens") or ()
        for token in added:
            content = token["content"]
            if self.vocabulary.get(content) != token.get("id"):
                raise MinibertError(f"{where} adds {content}, which its vocabulary lacks; it is not read here.")
        self.kept_whole = [token["content"] for token in added]
        self.takes_blanks = [token["content"] for token in added if token.get("lstrip")]
        self._steps = _read_normalizer(described.get("normalizer"), where)
        _check_pre_tokenizer(described.get("pre_tokenizer"), where)

    def check(self, family: type[Tokenizer]) -> None:
        """Raise a MinibertError where the file's special tokens, or their places, are not those of a family."""
        if list(self.vocabulary)[self.unknown[0]] != family.special.unk:
            raise MinibertError(f"{self.where} says that what is unknown is not {family.special.unk}.")
        around = self.description.get("post_processor")
        expected = {"single": _as_listed(family.template), "pair": _as_listed(family.pair_template)}
        if around is not None and {name: around.get(name) for name in expected} != expected:
            raise MinibertError(f"{self.where} puts special tokens elsewhere than {family.__name__} does.")

    def _sentences(self, text: Traced) -> Iterator[Traced]:
        """The text's words, made plain, with "▁" in front; where a word has a "▁" inside, another word begins."""
        plain = done(self._steps, text)
        for match in NO_BLANKS.finditer(plain.text):
            word = plain.part(*match.span())
            if word.text[0] != BLANK:
                start = word.spans[0][0]
                word = Traced(BLANK + word.text, [(start, start), *word.spans])
            for part in re.finditer(f"{BLANK}[^{BLANK}]*", word.text):
                yield word.part(*part.span())

    def cut(self, text: Traced) -> list[Found]:
        found = []
        for word in self._sentences(text):
            path = best_path(word.text, self.known, self.unknown)
            for number, start, end in joined_unknowns(path, self.unknown[0]):
                found.append(Found(number, word.text[start:end], covered(word, start, end)))
        return found

    def words(self, text: str) -> list[str]:
        return [word.text for word in self._sentences(Traced.of(text))]

    def quick(self, chunk: str) -> Quick:
        ids = []
        for word in self._sentences(Traced.of(chunk)):
            path = best_path(word.text, self.known, self.unknown)
            if self.unknown[0] in path.ids:
                ids += [number for number, _, _ in joined_unknowns(path, self.unknown[0])]
            else:
                ids += path.ids
        return Quick(tuple(ids), tuple(ids), math.inf, len(chunk))

    def quick_after(self, chunk: str, before: float) -> Quick:
        return self.quick(chunk)

    def files(self) -> dict[str, str | bytes]:
        return {"tokenizer.json": self.content}

    @property
    def settings(self) -> dict[str, bool]:
        return {}

    def __reduce__(self) -> tuple[Any, ...]:
        return WordCutter, (self.content, self.where)


NO_BLANKS = re.compile(f"[^{BLANKS}]+")


def _read_normalizer(described: Any, where: str) -> list[Step]:
    """The steps of a tokenizer.json's "normalizer". Raises MinibertError for one that is not known here."""
    listed = [] if described is None else described.get("normalizers", [described])
    kinds = [step.get("type") for step in listed]
    steps: list[Step] = []
    for step, kind in zip(listed, kinds, strict=True):
        if kind == "Replace" and {*step.get("pattern", ())} <= {"String", "Regex"}:
            pattern = step["pattern"]
            regular = re.escape(pattern["String"]) if "String" in pattern else pattern["Regex"]
            if "Regex" in pattern and regular != " {2,}":
                break
            steps.append(spiece.replace(regular, step["content"]))
        elif kind == "NFKD" and "StripAccents" in kinds:  # else the order of accents would have to be looked after
            steps.append(spiece.each_character(lambda character: decomposed(character, "NFKD"), False))
        elif kind == "StripAccents":
            steps.append(spiece.each_character(lambda character: "" if is_mark(character) else character, False))
        elif kind == "Lowercase":
            steps.append(spiece.each_character(lower))
        elif kind == "Precompiled":
            steps.append(spiece.cluster_by_cluster(CharacterMap(base64.b64decode(step["precompiled_charsmap"] or ""))))
        else:
            break
    if len(steps) < len(listed):
        raise MinibertError(f"{where} prepares text in a way that is not read here: {listed[len(steps)]}.")
    return steps


def _check_pre_tokenizer(described: Any, where: str) -> None:
    """Words are split at blanks, and "▁" is put in front of each; else MinibertError is raised."""
    parts = (described or {}).get("pretokenizers", [described or {}])
    last = parts[-1]
    if (
        [part.get("type") for part in parts] not in (["WhitespaceSplit", "Metaspace"], ["Metaspace"])
        or last.get("replacement") != BLANK
        or last.get("prepend_scheme", "always") != "always"
        or not last.get("add_prefix_space", True)
        or not last.get("split", True)
    ):
        raise MinibertError(f"{where} splits text in a way that is not read here: {described}.")


def _as_listed(template: Template) -> list[dict[str, Any]]:
    """A template as a tokenizer.json writes it."""
    return [
        {"SpecialToken": {"id": slot, "type_id": type_id}}
        if isinstance(slot, str)
        else {"Sequence": {"id": "AB"[slot], "type_id": type_id}}
        for slot, type_id in template
    ]
