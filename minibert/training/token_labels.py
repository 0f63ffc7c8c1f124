"""A label for each word that the text itself gives: which mark follows the word, and its capital letters.

A text is written in lower case without its punctuation, and the model puts both back. Nobody has to label anything:
the right answer is the text as it was. The task is that of Tilk & Alumäe 2016, with capitals added; the head is that
of Devlin et al. 2019, section 5.3, which reads the first piece of each word.

    words = labelled_words("Well, is it good?")       # well Capital ","  is lower ""  it lower ""  good lower "?"
    restored([word.text for word in words], [word.label for word in words])      # "Well, is it good?"
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from minibert.errors import MinibertError
from minibert.losses import IGNORE
from minibert.tokenizers.base import Tokenizer
from minibert.training.answers import Answers, scored, tokens_before_text
from minibert.training.batching import Example

MARKS = ("", ",", ".", "?")  # after a word; "" is none
CASES = ("lower", "Capital", "UPPER")
LABELS = tuple(f"{case}{mark}" for mark in MARKS for case in CASES)  # the classes of the head: "Capital," is one
FOUND = (*MARKS[1:], *CASES[1:])  # what is looked for, and scored: everything but no mark and lower case

_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
# Rarer marks count as the one that they are closest to.
_SAME_AS = {",": ",", ":": ",", ".": ".", "!": ".", ";": ".", "…": ".", "?": "?"}


class Word(NamedTuple):
    """A word in lower case, the mark that follows it (of MARKS) and its case (of CASES)."""

    text: str
    mark: str
    case: str

    @property
    def label(self) -> int:
        """Its number in LABELS."""
        return MARKS.index(self.mark) * len(CASES) + CASES.index(self.case)


def labelled_words(text: str) -> list[Word]:
    """The words of a text, with the labels that the text gives.

    A word is made of letters and digits, also around an apostrophe ("don't"). Its mark is the first of , : . ! ; … ?
    between it and the next word, if there is also white space or the text ends; so "3.5" and "10/10" have none
    inside. A colon counts as a comma; an exclamation mark, a semicolon and an ellipsis as a full stop. Other characters
    (quotation marks, brackets, dashes) are dropped. UPPER: two letters or more, all capitals; Capital: the first one.
    """
    found = list(_WORD.finditer(text))
    starts = [*(word.start() for word in found), len(text)][1:]  # of what comes next
    words = []
    for word, after in zip(found, starts, strict=True):
        gap = text[word.end() : after]
        counts = after == len(text) or any(character.isspace() for character in gap)
        mark = next((_SAME_AS[character] for character in gap if character in _SAME_AS), "") if counts else ""
        words.append(Word(word.group().lower(), mark, case_of(word.group())))
    return words


def case_of(word: str) -> str:
    """The case of a word, one of CASES."""
    letters = [character for character in word if character.isalpha()]
    if len(letters) > 1 and all(letter.isupper() for letter in letters):
        return "UPPER"
    return "Capital" if letters and letters[0].isupper() else "lower"


def restored(words: Sequence[str], labels: Sequence[int]) -> str:
    """The text that words in lower case become with these labels (numbers in LABELS)."""
    written = []
    for word, label in zip(words, labels, strict=True):
        mark, case = _parts(label)
        cased = word.upper() if case == "UPPER" else word[:1].upper() + word[1:] if case == "Capital" else word
        written.append(cased + mark)
    return " ".join(written)


# ------------------------------------------------------------------------------------------------- examples


@dataclass(frozen=True)
class WordsExample(Example):
    """Words in lower case as one row. labels: one for each token, -100 for all but the first piece of each word."""

    labels: tuple[int, ...] = ()

    @property
    def truth(self) -> list[int]:
        """The labels of the words alone."""
        return [label for label in self.labels if label != IGNORE]


def words_example(words: Sequence[Word], tokenizer: Tokenizer, max_length: int) -> WordsExample:
    """The words as a row of at most max_length tokens; words at the end that have no room are left out.

    Raises MinibertError if there is no room for a single word.
    """
    room = max_length - tokenizer.num_special()
    ids: list[int] = []
    labels: list[int] = []
    for word in words:
        pieces = tokenizer.ids(" " * bool(ids) + word.text)
        if len(ids) + len(pieces) > room:
            break
        ids += pieces
        labels += [word.label, *[IGNORE] * (len(pieces) - 1)][: len(pieces)]
    if not ids:
        raise MinibertError(f"max_length is {max_length}, which leaves no room for a word: raise it, or give words.")
    row = tokenizer.assemble(ids)
    before = tokens_before_text(tokenizer)
    behind = len(row.ids) - before - len(ids)
    return WordsExample(row.ids, row.type_ids, 0, (*[IGNORE] * before, *labels, *[IGNORE] * behind))


class WordLabels(Answers):
    """Learn the label of each word, with the head token-classification for the classes LABELS."""

    def labels(self, examples: Sequence[Example], attention_mask: Tensor) -> Tensor:
        """(B, S), -100 where a token does not count."""
        labels = torch.full_like(attention_mask, IGNORE)
        labels[attention_mask.bool()] = torch.tensor([label for example in examples for label in example.labels])
        return labels


def label_words(model: nn.Module, examples: Sequence[WordsExample], tokenizer: Tokenizer) -> list[list[int]]:
    """The most likely label of each word of each example, in the examples' order."""
    said: list[list[int]] = [[] for _ in examples]
    for number, logits in scored(model, examples, tokenizer):
        first = torch.tensor(examples[number].labels) != IGNORE
        said[number] = logits[first].argmax(-1).tolist()
    return said


# --------------------------------------------------------------------------------------------------- the score


class Counts(NamedTuple):
    """For one thing that is looked for, how often in each text: rightly said, said at all, and true."""

    hits: list[int]
    said: list[int]
    true: list[int]

    @property
    def f1(self) -> float:
        """2 · hits / (said + true), over all texts; 0 if it is neither said nor true."""
        return 2 * sum(self.hits) / max(sum(self.said) + sum(self.true), 1)


def count_found(said: Sequence[Sequence[int]], truth: Sequence[Sequence[int]]) -> dict[str, Counts]:
    """The counts for each of FOUND. said, truth: for each text the labels of its words (numbers in LABELS)."""
    counts = {name: Counts([], [], []) for name in FOUND}
    for of_model, of_text in zip(said, truth, strict=True):
        pairs = [(_parts(a), _parts(b)) for a, b in zip(of_model, of_text, strict=True)]
        for name, (hits, found, true) in counts.items():
            hits.append(sum(name in a and name in b for a, b in pairs))
            found.append(sum(name in a for a, _ in pairs))
            true.append(sum(name in b for _, b in pairs))
    return counts


def macro_f1(counts: Mapping[str, Counts]) -> float:
    """The mean of the F1 of all that is looked for: rare marks count as much as frequent ones."""
    return sum(one.f1 for one in counts.values()) / len(counts)


def f1_by_guessing(truth: Sequence[Sequence[int]]) -> float:
    """The macro F1 that is expected if each word's label is drawn as often as the texts have it.

    A thing that a share p of the words has is then said for a share p of them, and rightly for p², so its F1 is p.
    """
    words = [_parts(label) for labels in truth for label in labels]
    return sum(sum(name in parts for parts in words) / max(len(words), 1) for name in FOUND) / len(FOUND)


def _parts(label: int) -> tuple[str, str]:
    """The mark and the case of a label."""
    return MARKS[label // len(CASES)], CASES[label % len(CASES)]
