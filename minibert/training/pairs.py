"""From documents to training examples: pairs of segments with a label, or full sentences without a task.

A document is a list of sentences, and each sentence a list of token ids:

    documents = [[tokenizer.ids(sentence) for sentence in split_sentences(text)] for text in texts]

BERT asks whether the second segment follows the first (`nsp_pairs`), ALBERT asks whether the two are in order
(`sop_pairs`), and RoBERTa asks nothing and fills its input with sentence after sentence (`full_sentences`). None of
them adds the special tokens: the tokenizer does, and says how many it needs. A row of max_length tokens has room for
max_length - tokenizer.num_special(pair=True) tokens of the pair.

With another random.Random the same documents give other pairs: use one per epoch to get new pairs each time.

Sources: Devlin et al. 2019 (BERT), section 3.1 and appendix A.2, and create_pretraining_data.py of its release;
Lan et al. 2020 (ALBERT), section 3.1; Liu et al. 2019 (RoBERTa), section 4.2.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import NamedTuple

from minibert.errors import MinibertError
from minibert.files import lines_of
from minibert.words import counted

Sentence = list[int]  # token ids
Document = list[Sentence]


class Pair(NamedTuple):
    """Two segments, each several sentences as one list of token ids, and the label of the sentence-pair task."""

    first: list[int]
    second: list[int]
    label: int


# ------------------------------------------------------------------------------- 1. texts into sentences

FEWEST_WORDS = 3  # of a sentence; "Wow!" and "10/10." are joined to a neighbour

# A sentence may end after . ! ? or … and closing quotes or brackets, where white space follows, and then a capital
# letter, perhaps after an opening quote or bracket. [^\W\d_] is any letter.
_PERHAPS_AN_END = re.compile(r"""[.!?…]+["'”’)\]]*(?P<space>\s+)(?=["'“‘(\[]*(?P<letter>[^\W\d_]))""")
_TITLES = {"mr", "mrs", "ms", "messrs", "dr", "prof", "st", "rev", "hon", "gov", "pres", "sen", "rep"}
_RANKS = {"gen", "col", "maj", "capt", "lt", "sgt", "cpl"}
_ABBREVIATIONS = {*_TITLES, *_RANKS, "vs", "e.g", "i.e", "eg", "ie"}
_LAST_WORD = re.compile(r"[^\s\"'“‘(\[]*$")


def split_sentences(text: str) -> list[str]:
    """Cut a text into sentences, by rule: after . ! ? or … before a capital letter, and at the end of a line.

    It is not cut after abbreviations ("Mr. Bean", "e.g. Alien") or initials ("J. R. Ewing"). A sentence of fewer than
    three words is joined to the next one, or to the one before if it is the last. Joined with blanks, the sentences
    have all the words of the text. A text without words has no sentences.
    """
    parts = [part for line in lines_of(text) for part in _cut_line(line.strip()) if part]
    sentences: list[str] = []
    waiting = ""  # what was too short to stand alone
    for part in parts:
        waiting = f"{waiting} {part}" if waiting else part
        if len(waiting.split()) >= FEWEST_WORDS:
            sentences.append(waiting)
            waiting = ""
    if waiting and sentences:
        sentences[-1] += f" {waiting}"
    elif waiting:
        sentences.append(waiting)
    return sentences


def _cut_line(line: str) -> Iterator[str]:
    start = 0
    for end in _PERHAPS_AN_END.finditer(line):
        if end["letter"].isupper() and not _is_abbreviated(line[start : end.start() + 1]):
            yield line[start : end.start("space")]
            start = end.end("space")
    yield line[start:]


def _is_abbreviated(text: str) -> bool:
    """Whether the full stop that ends the text belongs to its last word, an abbreviation or an initial."""
    if not text.endswith("."):
        return False
    word = _LAST_WORD.search(text[:-1]).group()
    is_initial = len(word.rpartition(".")[2]) == 1 and word[-1].isupper() and word != "I"
    return is_initial or word.lower() in _ABBREVIATIONS


# -------------------------------------------------------------------------------------- 2. pairs of segments


def nsp_pairs(documents: Sequence[Document], room: int, rng: random.Random, short_rate: float = 0.1) -> list[Pair]:
    """Pairs for next sentence prediction (BERT): label 0, the second follows the first; 1, it is from elsewhere.

    room: the most tokens that both segments together may have. rng: the only source of randomness. short_rate: the
    share of the documents whose pairs are shorter, of a random length, like the texts that the model will read later.

    A document's sentences are taken until they fill the length, and split in two after a random sentence: that is a
    pair. With probability one half the second segment is then replaced by sentences of another document, and the
    sentences that were replaced begin the next pair. A pair that is still too long is truncated (`_fit`).

    This differs from the released code wherever that code makes it possible to guess the label without understanding a
    word. A sentence without a next one is dropped (there it always gets a random partner, so that more than half of the
    pairs are random). The random segment never begins with a document's first sentence, because a true second segment
    never does. Documents of one sentence, which cannot have a true second segment, are left out on both sides.

    Raises MinibertError when fewer than two documents have two sentences, or room is below 2.
    """
    _check_room(room, 2)
    documents = _of_two_sentences(documents)
    if len(documents) < 2:
        raise MinibertError(
            "next sentence prediction needs two documents of two sentences or more, but there "
            f"is {'only one' if documents else 'none'}: give more or longer texts."
        )
    pairs = []
    for number, document in enumerate(documents):
        length = _target(room, short_rate, rng)
        start = 0
        while (end := _chunk_end(document, start, length)) - start > 1:
            middle = rng.randrange(start + 1, end)
            first, second = _joined(document[start:middle]), _joined(document[middle:end])
            label = rng.randrange(2)
            if label == 1:
                other = rng.randrange(len(documents) - 1)
                second = _from_elsewhere(documents[other + (other >= number)], length - len(first), rng)
                end = middle  # the sentences that were replaced begin the next pair
            pairs.append(Pair(*_fit(first, second, room, rng), label))
            start = end
    return pairs


def sop_pairs(documents: Sequence[Document], room: int, rng: random.Random, short_rate: float = 0.1) -> list[Pair]:
    """Pairs for sentence order prediction (ALBERT): two segments that follow each other; label 1 if swapped, else 0.

    As in `nsp_pairs`, except that with probability one half the two segments are swapped. Both come from one document,
    so that the topic does not give the label away. A sentence that is left over is dropped, and so are documents of one
    sentence; the released code gives these a random partner.

    Raises MinibertError when no document has two sentences, or room is below 2.
    """
    _check_room(room, 2)
    documents = _of_two_sentences(documents)
    if not documents:
        raise MinibertError(
            "sentence order prediction needs a document of two sentences or more, but there is none: give longer texts."
        )
    pairs = []
    for document in documents:
        length = _target(room, short_rate, rng)
        start = 0
        while (end := _chunk_end(document, start, length)) - start > 1:
            middle = rng.randrange(start + 1, end)
            segments = _fit(_joined(document[start:middle]), _joined(document[middle:end]), room, rng)
            label = rng.randrange(2)
            pairs.append(Pair(*(reversed(segments) if label else segments), label))
            start = end
    return pairs


def _of_two_sentences(documents: Sequence[Document]) -> list[Document]:
    """The documents of two sentences or more, without sentences that have no tokens."""
    filled = ([sentence for sentence in document if sentence] for document in documents)
    return [document for document in filled if len(document) > 1]


def _target(room: int, short_rate: float, rng: random.Random) -> int:
    """How many tokens a document's pairs should have: usually as many as there is room for, sometimes fewer."""
    return rng.randint(2, room) if rng.random() < short_rate else room


def _chunk_end(document: Document, start: int, length: int, least: int = 2) -> int:
    """Where to stop, so that the sentences from start have `length` tokens and there are at least `least` of them.

    Two are the fewest that can be split into a pair. If the document ends first, its end.
    """
    total = 0
    for number in range(start, len(document)):
        total += len(document[number])
        if total >= length and number + 1 - start >= least:
            return number + 1
    return len(document)


def _from_elsewhere(document: Document, length: int, rng: random.Random) -> list[int]:
    """Sentences from a random one on, not the first, until they have this many tokens or the document ends."""
    start = rng.randrange(1, len(document))
    return _joined(document[start : _chunk_end(document, start, length, least=1)])


def _fit(first: list[int], second: list[int], room: int, rng: random.Random) -> tuple[list[int], list[int]]:
    """Truncate two segments until both fit: the longer first, then both equally. A random window of each is kept."""
    longest = max(room // 2, room - min(len(first), len(second)))
    first = _window(first, longest, rng)
    return first, _window(second, room - len(first), rng)


def _window(segment: list[int], length: int, rng: random.Random) -> list[int]:
    start = rng.randint(0, max(len(segment) - length, 0))
    return segment[start : start + length]


def _joined(sentences: Sequence[Sentence]) -> list[int]:
    return list(chain.from_iterable(sentences))


# ------------------------------------------------------------------------------------- 3. full sentences


def full_sentences(documents: Sequence[Document], room: int, separator_id: int | None) -> list[list[int]]:
    """Inputs filled with whole sentences, one after another, as many as fit (RoBERTa): a list of lists of ids.

    room: the most tokens that an input may have. separator_id: the id of [SEP], which is put between two documents in
    the same input (FULL-SENTENCES). None: an input never has sentences of two documents, and the last input of each
    document may be short (DOC-SENTENCES).

    No token is lost or repeated, and the order is kept; shuffle the documents for another mix. A sentence that is
    longer than an input is divided. Raises MinibertError when room is below 1.
    Source: Liu et al. 2019, section 4.2.
    """
    _check_room(room, 1)
    inputs: list[list[int]] = []
    current: list[int] = []
    for document in documents:
        between: list[int] = []
        if separator_id is None:
            current = []
        elif current:
            between = [separator_id]
        for chunk in _chunks(document, room):
            if not current or len(current) + len(between) + len(chunk) > room:
                current, between = [], []
                inputs.append(current)
            current += between + chunk
            between = []
    return inputs


def _chunks(document: Document, size: int) -> Iterator[list[int]]:
    """The document's sentences; those that are longer than `size` are divided into chunks."""
    for sentence in document:
        for start in range(0, len(sentence), size):
            yield sentence[start : start + size]


def _check_room(room: int, least: int) -> None:
    if room < least:
        raise MinibertError(
            f"there is room for {counted(room, 'token')} between the special ones, but at least {least} are needed: "
            "raise max_length."
        )
