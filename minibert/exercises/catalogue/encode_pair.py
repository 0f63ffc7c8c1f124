"""Two texts in one sequence, with the special tokens."""

from __future__ import annotations

from itertools import count

from minibert.exercises.calls import Call
from minibert.exercises.declare import Exercise, Hints, Mistake, Probe
from minibert.exercises.moved import other_ids
from minibert.tokenizers import WordPiece

Ids = list[int]

# The parts of the sequence, in order: C for [CLS], S for [SEP], 1 and 2 for the texts; each with its token type.
ROWS = {
    "right": "C0 10 S0 21 S1", "no last [SEP]": "C0 10 S0 21", "no [SEP] between": "C0 10 21 S1",
    "no [CLS]": "10 S0 21 S1", "[CLS] again": "C0 10 S0 C1 21 S1", "second first": "C0 20 S0 11 S1",
}  # fmt: skip


def lengths_kept(a: int, b: int, room: int, cut: str) -> tuple[int, int]:
    """How many ids of two texts, of lengths a and b, are kept when `room` ids fit."""
    too_many = max(0, a + b - room)
    if cut == "halves":
        return min(a, room // 2), min(b, room // 2)
    if cut == "second only" or (cut == "longer alone" and a <= b):
        return a, max(0, b - too_many)
    if cut in ("first only", "longer alone"):
        return max(0, a - too_many), b
    if cut == "equally many":
        return max(0, a - (too_many + 1) // 2), max(0, b - too_many // 2)
    if cut in ("longest first", "shortest first"):
        for _ in range(min(too_many, a + b)):
            from_first = a > b if cut == "longest first" else 0 < a <= b
            a, b = (a - 1, b) if from_first else (a, b - 1)
    return a, b


def reference(
    first: Ids,
    second: Ids,
    cls_id: int,
    sep_id: int,
    max_length: int,
    *,
    row: str = "right",
    types: str = "0 and 1",
    cut: str = "longest first",
    counted: int = 3,
    kept: str = "the beginning",
    named: str = "as given",
    filled: bool = False,
    in_place: str = "nothing",
    order: str = "ids, types",
) -> tuple[Ids, Ids]:
    """Two texts in one sequence, with knobs. If both are equally long, the second is truncated, as in the released
    run_classifier.py.

    counted: for how many special tokens there is room.
    """
    if named == "always 101 and 102":
        cls_id, sep_id = 101, 102
    lengths = lengths_kept(len(first), len(second), max_length - counted, cut)
    texts = [
        text[:length] if kept == "the beginning" else text[len(text) - length :]
        for text, length in zip((first, second), lengths, strict=True)
    ]
    ids: Ids = []
    type_ids: Ids = []
    for what, number in ROWS[row].split():
        part = {"C": [cls_id], "S": [sep_id], "1": texts[0], "2": texts[1]}[what]
        token_type = {
            "all 0": 0, "1 and 2": int(number) + 1, "exchanged": 1 - int(number),
            "first [SEP] 1": 1 if what == "S" else int(number), "last [SEP] 0": 0 if what == "S" else int(number),
        }.get(types, int(number))  # fmt: skip
        ids += part
        uncut = {"1": first, "2": second}.get(what, part)
        type_ids += [token_type] * len(uncut if types == "of the uncut texts" else part)
    if cut == "joined":
        ids = ids[:max_length]
        type_ids = type_ids if types == "of the uncut texts" else type_ids[:max_length]
    if filled:
        missing = [0] * (max_length - len(ids))
        ids, type_ids = ids + missing, type_ids + missing
    if in_place == "cut":
        first[:], second[:] = texts
    elif in_place == "built":
        first[:], second[:] = [cls_id, *first, sep_id], [*second, sep_id]
    return (ids, type_ids) if order == "ids, types" else (type_ids, ids)


def probes() -> list[Probe]:
    """Calls of encode_pair; each is named after the lengths of the texts and max_length.

    Where both texts are truncated, the room for them is even, so that it does not matter which of two equally long
    texts loses an id first: programs differ in that. The number of surplus ids is even too, and each text alone would
    fit, so that all ways to remove half of them from each text agree, and none needs a negative length.
    """

    def call(a: int, b: int, max_length: int, cls_id: int = 101, sep_id: int = 102) -> Call:
        return Call((list(range(11, 11 + a)), list(range(31, 31 + b)), cls_id, sep_id, max_length))

    return [
        Probe("texts of 3 and 2 ids, max_length 20", call(3, 2, 20)),
        Probe("texts of 8 and 2 ids, max_length 11", call(8, 2, 11)),
        Probe("texts of 3 and 7 ids, max_length 11", call(3, 7, 11)),
        Probe("texts of 4 and 4 ids, which just fit, max_length 11", call(4, 4, 11)),
        Probe("texts of 7 and 5 ids, max_length 11", call(7, 5, 11)),
        Probe("texts of 6 and 2 ids, max_length 9, and other ids for [CLS] and [SEP]", call(6, 2, 9, 2, 3)),
        Probe("an empty second text", call(3, 0, 20, 5, 4)),
        Probe("an empty first text", call(0, 3, 20, 5, 4)),
        Probe("two empty texts", call(0, 0, 20)),
        Probe("texts of 4 and 4 ids, max_length 3", call(4, 4, 3)),
        Probe("texts with id 0 and repeated ids", Call(([0, 7, 7, 0, 7, 0], [0, 7], 3, 4, 9))),
        Probe("texts of 5 and 7 ids, max_length 11", call(5, 7, 11)),
        Probe("texts of 5 and 5 ids, max_length 11", call(5, 5, 11)),
    ]


def solution(first: Ids, second: Ids, cls_id: int, sep_id: int, max_length: int) -> tuple[Ids, Ids]:
    room = max_length - 3  # [CLS] and two [SEP] always stay
    a, b = len(first), len(second)
    while a + b > room:
        if a > b:
            a -= 1
        else:
            b -= 1
    ids = [cls_id, *first[:a], sep_id, *second[:b], sep_id]
    type_ids = [0] * (a + 2) + [1] * (b + 1)
    return ids, type_ids


def by_library(first: Ids, second: Ids, cls_id: int, sep_id: int, max_length: int) -> tuple[Ids, Ids]:
    """The library takes texts, not ids: each id becomes a word."""
    special = WordPiece.special
    words = [f"w{number}" for number in range(max(first + second + [cls_id, sep_id]) + 1)]
    words[cls_id], words[sep_id] = special.cls, special.sep
    tokens = [*words, special.pad, special.unk, special.mask]
    tokenizer = WordPiece({token: number for number, token in enumerate(tokens)}, lowercase=False)
    found = tokenizer.encode(*(" ".join(words[n] for n in text) for text in (first, second)), max_length)
    return found.ids, found.type_ids


def by_popping(first: Ids, second: Ids, cls_id: int, sep_id: int, max_length: int) -> tuple[Ids, Ids]:
    first, second = list(first), list(second)
    while len(first) + len(second) + 3 > max_length:
        (first if len(first) >= len(second) else second).pop()
    parts = [cls_id, *first, sep_id], [*second, sep_id]
    return parts[0] + parts[1], [0 for _ in parts[0]] + [1 for _ in parts[1]]


def by_formula(first: Ids, second: Ids, cls_id: int, sep_id: int, max_length: int) -> list[Ids]:
    room = max_length - 3
    a, b = first[: max(room - len(second), room // 2)], second[: max(room - len(first), room // 2)]
    ids = [cls_id, *a, sep_id, *b, sep_id]
    return [ids, [int(place > len(a) + 1) for place in range(len(ids))]]


def by_places(first: Ids, second: Ids, cls_id: int, sep_id: int, max_length: int) -> tuple[Ids, Ids]:
    """Takes the places 0, 1, 2 ... from both texts in turn, until the room is full."""
    places = sorted([(place, 0) for place in range(len(first))] + [(place, 1) for place in range(len(second))])
    taken = places[: max_length - 3]
    row = [(cls_id, 0)]
    for text, ids in enumerate((first, second)):
        row += [(ids[place], text) for place, of in taken if of == text] + [(sep_id, text)]
    ids, type_ids = zip(*row, strict=True)
    return ids, type_ids


def by_search(first: Ids, second: Ids, cls_id: int, sep_id: int, max_length: int) -> tuple[Ids, Ids]:
    """Cuts both texts to `most`, the largest length with which both fit; then one id more may fit."""
    lengths = len(first), len(second)
    if sum(lengths) + 3 > max_length:
        most = next(n for n in count() if sum(min(n + 1, length) for length in lengths) + 3 > max_length)
        left = max_length - 3 - sum(min(most, length) for length in lengths)
        first, second = first[: most + left], second[:most]
    ids = [cls_id, *first, sep_id, *second, sep_id]
    return ids, [0] * (len(first) + 2) + [1] * (len(second) + 1)


EXERCISE = Exercise(
    name="encode-pair",
    topic="wordpiece",
    title="Two texts in one sequence",
    level="core",
    minutes=15,
    function="encode_pair",
    signature="first, second, cls_id, sep_id, max_length",
    task=(
        "Put two texts into one sequence, as BERT reads them: [CLS] first [SEP] second [SEP].\n\n"
        "- `first`, `second`: lists of ids, the pieces of the two texts without special tokens. One may be empty. They "
        "belong to the caller: do not change them\n"
        "- `cls_id`, `sep_id`: the ids of [CLS] and [SEP]\n"
        "- `max_length`: the most ids that the sequence may have, including special tokens; at least three. A shorter "
        "sequence stays short: there is no padding\n"
        "- if the sequence would be too long, ids are removed one at a time, always the last id of the text that is "
        "longer at that moment, until it fits. (If both texts are equally long, either may lose the next id. Programs "
        "differ in this, and it is not checked here.) Special tokens are never removed\n"
        "- returns two lists of integers, `ids` and `type_ids`, both as long as the sequence. The token type is 0 for "
        "[CLS], the first text and the [SEP] after it, and 1 for the second text and the last [SEP]."
    ),
    source="Devlin et al. 2019, section 3, \"Input/Output Representations\", and the released run_classifier.py",
    reference=reference,
    solution=solution,
    library=by_library,
    probes=probes,
    moved=other_ids,
    mistakes=(
        Mistake("no-last-sep", "row", "no last [SEP]", "there is no [SEP] after the second text",
                "in training each text ended with one, including the second; put it at the end of the sequence",
                "How many [SEP] are in the sequence, and what comes before each of them?"),
        Mistake("no-sep-between", "row", "no [SEP] between", "there is no [SEP] between the texts",
                "only the token types are left to show where the first text ends; put one after each text",
                "How many [SEP] are in the sequence, and what comes before each of them?"),
        Mistake("cls-again", "row", "[CLS] again", "there is a [CLS] before the second text as well",
                "the sequence is one pair, and predictions about it are read at one [CLS], the first token"),
        Mistake("no-cls", "row", "no [CLS]", "there is no [CLS]",
                "the pooler and classifiers read the first position, and would find a word there"),
        Mistake("texts-exchanged", "row", "second first", "the second text comes before the first",
                "a question is mistaken for its answer, and two sentences are read in the opposite order"),
        Mistake("first-sep-typed-1", "types", "first [SEP] 1", "the first [SEP] has token type 1",
                "it ends the first text and belongs to it, so its type is 0",
                "To which of the two texts does each [SEP] belong?"),
        Mistake("last-sep-typed-0", "types", "last [SEP] 0", "the last [SEP] has token type 0",
                "it ends the second text and belongs to it, so its type is 1",
                "To which of the two texts does each [SEP] belong?"),
        Mistake("types-all-0", "types", "all 0", "every token type is 0",
                "the model cannot use the types to tell which text a word is in; after the first [SEP] the type is 1"),
        Mistake("types-1-and-2", "types", "1 and 2", "the token types are 1 and 2",
                "BERT's table of token types has only the rows 0 and 1, so 2 is outside it, and 1 belongs to the other "
                "text"),
        Mistake("types-exchanged", "types", "exchanged", "the first text has token type 1, and the second 0",
                "released weights have learned it the other way round"),
        Mistake("types-of-the-uncut-texts", "types", "of the uncut texts",
                "there are as many token types as the texts had ids before they were truncated",
                "the two lists differ in length and no longer belong together; count what is in the sequence",
                "Which comes first in your code: truncating or counting?"),
        Mistake("second-only", "cut", "second only", "only the second text is truncated",
                "a long first text leaves almost nothing of the second; take each id from the text that is longer "
                "at that moment"),
        Mistake("first-only", "cut", "first only", "only the first text is truncated",
                "a long second text leaves almost nothing of the first; take each id from the text that is longer "
                "at that moment"),
        Mistake("longer-alone", "cut", "longer alone",
                "you take all surplus ids from the text that was longer at the start",
                "it may become much shorter than the other; after each id, check again which text is longer now",
                "After you have removed one id, which text is the longer one?"),
        Mistake("shortest-first", "cut", "shortest first", "you truncate the shorter text",
                "it loses ids that it cannot spare; take each id from the text that is longer at that moment"),
        Mistake("halves", "cut", "halves", "each text gets half of the space",
                "if one text is short, part of its half stays empty while the other text loses ids; truncate only the "
                "longer text until both are equally long"),
        Mistake("equally-many", "cut", "equally many", "both texts lose the same number of ids",
                "a short text loses ids although a long one could spare them; take each id from the text that is "
                "longer at that moment"),
        Mistake("joined-row-cut", "cut", "joined", "you truncate the finished sequence at its end",
                "the last [SEP] is lost first, and all other lost ids come from the second text; truncate the texts "
                "first, then build the sequence",
                "What is at the end of the sequence, and may it be lost?"),
        Mistake("not-cut", "cut", "never", "nothing is ever truncated",
                "the model fails on a sequence that is longer than its table of positions; at most `max_length` ids "
                "may stay"),
        Mistake("special-tokens-not-counted", "counted", 0, "you leave no room for the special tokens",
                "max_length counts them, too, and they take three places",
                "How long is the sequence when both texts together have max_length ids?"),
        Mistake("two-special-tokens-counted", "counted", 2, "you leave room for two special tokens",
                "[CLS] [SEP] [SEP] are three; with all of them a full sequence is one id too long"),
        Mistake("four-special-tokens-counted", "counted", 4, "you remove one id more than necessary",
                "a sequence of exactly max_length is not too long, and [CLS] [SEP] [SEP] take three places; look for a "
                ">= that should be >, or for a 4"),
        Mistake("beginning-cut", "kept", "the end", "a text that is too long loses its beginning",
                "remove the last ids; the pieces at the start then stay where the model expects them"),
        Mistake("ids-always-101-102", "named", "always 101 and 102",
                "[CLS] and [SEP] are 101 and 102, whatever is given",
                "that is right for one vocabulary, but in others these ids are words; use cls_id and sep_id"),
        Mistake("padded", "filled", True, "you fill the sequence with 0 up to max_length",
                "padding belongs to a batch, together with a mask; here the sequence stays as short as it is"),
        Mistake("cut-in-place", "in_place", "cut", "you remove the ids from the caller's own lists",
                "the texts stay short, even for a later call with a larger max_length; copy the lists first, or use "
                "slices",
                "Look at `first` and `second` after the call."),
        Mistake("built-in-place", "in_place", "built", "you put [CLS] and [SEP] into the caller's own lists",
                "the next call finds them there and adds more; build a new list",
                "Look at `first` and `second` after the call."),
        Mistake("results-exchanged", "order", "types, ids", "you return the token types first",
                "the order should be ids, type_ids"),
    ),
    hints=Hints(
        "Write down the sequence for two texts of two and one ids, and the token types below it. How many of its "
        "places are left for the texts when max_length is 5?",
        "First compute how many ids of each text stay, then build the sequence, then the types. [CLS] and both [SEP] "
        "always stay, so the texts share max_length minus three places. While they are too long together, the longer "
        "one gives up one id.",
        "a + b ≤ max_length − 3; ids = [CLS] first₁ … first_a [SEP] second₁ … second_b [SEP]; a + 2 types are 0, then "
        "b + 1 are 1.",
        "a, b = len(first), len(second)\nwhile a + b > ...:\n    if a > b:\n        a -= 1\n    else:\n        ...\n"
        "ids = [cls_id, *first[:a], ...]\ntype_ids = [0] * (...) + [1] * (...)",
    ),
    equivalents=(by_popping, by_formula, by_places, by_search),
)  # fmt: skip
