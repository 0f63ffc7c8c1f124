"""WordPiece: a word cut into the pieces of a vocabulary, and two texts of such pieces in one row."""

from __future__ import annotations

from itertools import count

from minibert.classroom.worker import Call
from minibert.exercises.engine import Exercise, Hints, Mistake, Probe
from minibert.tokenizers import WordPiece

# --------------------------------------------------------------------------------------------------- one word


def cut_somehow(word: str, vocabulary: set[str], start: int) -> list[str] | None:
    """The first cut that there is, trying long pieces before short ones; None where there is none."""
    if start == len(word):
        return []
    for end in range(len(word), start, -1):
        piece = ("##" if start else "") + word[start:end]
        if piece in vocabulary and (rest := cut_somehow(word, vocabulary, end)) is not None:
            return [piece, *rest]
    return None


def reference(
    word: str,
    vocabulary: list[str],
    unknown: str = "[UNK]",
    longest: int = 100,
    *,
    search: str = "longest first",
    marks: str = "inside",
    failed: str = "the whole word",
    limit: str = "more than longest",
    case: str = "as it is",
    named: str = "as given",
) -> list[str]:
    """WordPiece with knobs; the defaults are the released tokenization.py of Devlin et al. 2019."""
    unknown = unknown if named == "as given" else "[UNK]"
    word = word if case == "as it is" else word.lower()
    longest = 100 if limit == "always 100" else longest
    too_long = {"none": False, "longest or more": len(word) >= longest}.get(limit, len(word) > longest)
    if too_long and limit != "cut off":
        return [unknown]
    word = word[:longest] if limit == "cut off" else word
    if search == "going back" and (found := cut_somehow(word, set(vocabulary), 0)) is not None:
        return found
    pieces: list[str] = []
    start, stop = 0, len(word)
    while start < stop:
        # From the left a piece grows from `start`; from the right it ends at `stop`.
        if search == "from the right":
            spans = [(begin, stop) for begin in range(start, stop)]
        else:
            spans = [(start, end) for end in range(stop, start, -1)]
            spans = spans[::-1] if search == "shortest first" else spans
            spans = [(a, b) for a, b in spans if b - a > 1] if search == "never one character" else spans
        for begin, end in spans:
            mark = "##" if begin or marks == "on the first too" else ""
            looked_up = word[begin:end] if marks in ("never", "only in the answer") else mark + word[begin:end]
            if looked_up in vocabulary:
                shown = word[begin:end] if marks in ("never", "only looked up") else mark + word[begin:end]
                break
        else:
            if failed == "the whole word":
                return [unknown]
            if failed in ("the rest", "the rest dropped"):
                rest = [unknown] if failed == "the rest" else []
                return rest + pieces if search == "from the right" else pieces + rest
            shown = unknown if failed == "one character" else None
            begin, end = (stop - 1, stop) if search == "from the right" else (start, start + 1)
        if search == "from the right":
            pieces = [shown, *pieces] if shown is not None else pieces
            stop = begin
        else:
            pieces = [*pieces, shown] if shown is not None else pieces
            start = end
    return pieces


SMALL = [
    "a", "af", "aff", "un", "una", "able", "b", "ffa", "in", "i", "word", "words", "play", "ing", "s", "e", "le", "abc",
    "##a", "##b", "##c", "##e", "##f", "##ff", "##ffa", "##ffable", "##aff", "##able", "##le", "##ble", "##l", "##n",
    "##s", "##i", "##in", "##ing", "##ings", "##y", "##ab",
]  # fmt: skip
CASED = ["Play", "P", "play", "##ing", "##Ing", "##I", "##g", "##n", "A", "a", "##a", "##A"]


def probes() -> list[Probe]:
    words = [
        "unaffable", "unable", "word", "words", "wordings", "playing", "plays", "abc", "abab", "ingle", "sings",
        "affable", "in", "e", "",
        # Something in these fits no piece: in front, in the middle, at the end, or all of it.
        "zable", "unzable", "playz", "zzz", "azbzc", "words!",
    ]  # fmt: skip
    small = [Probe(f"the word {word!r}", Call((word, SMALL))) for word in words]
    cased = [Probe(f"the cased word {word!r}", Call((word, CASED))) for word in ("Playing", "PIng", "playIng", "Aa")]
    other = [
        Probe("a word that only a shorter first piece could save", Call(("abcd", ["abc", "ab", "##cd", "##c"]))),
        Probe("another sign for what is unknown", Call(("playz", SMALL, "<unk>"))),
        Probe("a word of exactly `longest` characters", Call(("unable", SMALL, "[UNK]", 6))),
        Probe("a word of one character more than `longest`", Call(("unabless", SMALL, "[UNK]", 7))),
        Probe("a word of 100 characters", Call(("a" * 100, SMALL))),
        Probe("a word of 101 characters", Call(("a" * 101, SMALL))),
    ]
    return [*small, *cased, *other]


def solution(word: str, vocabulary: list[str], unknown: str = "[UNK]", longest: int = 100) -> list[str]:
    if len(word) > longest:
        return [unknown]
    known = set(vocabulary)
    pieces = []
    start = 0
    while start < len(word):
        end = len(word)
        while end > start:
            piece = word[start:end] if start == 0 else "##" + word[start:end]
            if piece in known:
                break
            end -= 1
        if end == start:  # nothing fits, not even one character
            return [unknown]
        pieces.append(piece)
        start = end
    return pieces


def by_library(word: str, vocabulary: list[str], unknown: str = "[UNK]", longest: int = 100) -> list[str]:
    if len(word) > longest:
        return [unknown]
    tokens = [*WordPiece.special.all(), *vocabulary]
    tokenizer = WordPiece({token: number for number, token in enumerate(tokens)}, lowercase=False)
    pieces = [tokens[number] for number, _ in tokenizer.match(word)]
    return [unknown if piece == "[UNK]" else piece for piece in pieces]


def by_recursion(word: str, vocabulary: list[str], unknown: str = "[UNK]", longest: int = 100) -> list[str]:
    def cut(rest: str, mark: str) -> list[str] | None:
        for end in range(len(rest), 0, -1):
            if mark + rest[:end] in vocabulary:
                after = cut(rest[end:], "##")
                return None if after is None else [mark + rest[:end], *after]
        return [] if not rest else None

    pieces = cut(word, "") if len(word) <= longest else None
    return [unknown] if pieces is None else pieces


def by_prefixes(word: str, vocabulary: list[str], unknown: str = "[UNK]", longest: int = 100) -> list[str]:
    first = [piece for piece in vocabulary if not piece.startswith("##")]
    later = [piece[2:] for piece in vocabulary if piece.startswith("##")]
    pieces: list[str] = []
    rest = word
    while rest and len(word) <= longest:
        fits = [piece for piece in (later if pieces else first) if rest.startswith(piece)]
        if not fits:
            break
        best = max(fits, key=len)
        pieces.append(f"##{best}" if pieces else best)
        rest = rest[len(best) :]
    return [unknown] if rest else pieces


def by_two_tables(word: str, vocabulary: list[str], unknown: str = "[UNK]", longest: int = 100) -> tuple[str, ...]:
    table = dict.fromkeys(vocabulary)
    marked = word  # what is left, with its mark
    pieces: tuple[str, ...] = ()
    while marked not in ("", "##"):
        shortest = 3 if pieces else 1
        found = next((marked[:n] for n in range(len(marked), shortest - 1, -1) if marked[:n] in table), None)
        if found is None or len(word) > longest:
            return (unknown,)
        pieces += (found,)
        marked = "##" + marked[len(found) :]
    return pieces


WORDPIECE = Exercise(
    name="wordpiece",
    topic="wordpiece",
    title="WordPiece: cut a word into pieces",
    function="wordpiece",
    signature='word, vocabulary, unknown="[UNK]", longest=100',
    task=(
        "Cut one word into pieces of a vocabulary, from left to right, and each time take the longest piece that "
        "fits.\n\n"
        "- `word`: a text without blanks. It has been cleaned (and lower-cased, if the model wants that) before: "
        "take it as it is\n"
        "- `vocabulary`: a list of pieces. A piece that begins with `##` stands only inside a word, behind another "
        "piece; all others only at its start\n"
        "- `unknown`: the text that stands for a word that cannot be cut\n"
        "- `longest`: a word of more characters than this is not cut, and gives `[unknown]`; one of just so many is "
        "cut\n"
        "- returns the list of pieces as they stand in the vocabulary, with `##`: "
        '`["una", "##ffa", "##ble"]`. Where at some place nothing fits, the whole word becomes `[unknown]`, one '
        "entry. There is no going back to try a shorter piece. The empty word gives the empty list."
    ),
    source="Devlin et al. 2019, section 3, and the released tokenization.py; Wu et al. 2016, section 4.1",
    reference=reference,
    solution=solution,
    library=by_library,
    probes=probes,
    mistakes=(
        Mistake("shortest-first", "search", "shortest first", "you take the shortest piece that fits",
                "words fall into single letters, of which the model knows little; try the longest piece first",
                "Which end do you try first: the whole rest of the word, or its first letter?"),
        Mistake("from-the-right", "search", "from the right", "you cut from the end of the word to its start",
                "another cut comes out wherever pieces overlap, and not the one that the model was trained with; "
                "begin at the left"),
        Mistake("never-one-character", "search", "never one character", "a piece of one character is never tried",
                "words that need one become unknown; the search ends one step too early"),
        Mistake("going-back", "search", "going back", "where nothing fits you go back and try a shorter piece before",
                "WordPiece is greedy and never goes back; other cuts would give ids that the model never saw for this "
                "word"),
        Mistake("no-marks", "marks", "never", "you never put ## before a piece",
                "pieces from the start of a word are used inside it, and the words cannot be put together again; from "
                "the second piece on, look for \"##\" + text"),
        Mistake("marks-only-in-the-answer", "marks", "only in the answer",
                "you look pieces up without ##, and put it on afterwards",
                "the answer has pieces that the vocabulary lacks; look up the text with its ##"),
        Mistake("marks-only-looked-up", "marks", "only looked up",
                "you look pieces up with ##, but return them without",
                "a piece from inside a word is taken for one from its start, with another id; "
                "return what you looked up"),
        Mistake("mark-on-the-first", "marks", "on the first too", "the first piece is looked up with ##, too",
                "## means that something stands before; the first piece has none"),
        Mistake("rest-unknown", "failed", "the rest", "you keep the pieces found so far and put the sign for unknown "
                "after them", "BERT knows no half words: if any part fits nothing, the whole word is one unknown"),
        Mistake("rest-dropped", "failed", "the rest dropped",
                "where nothing fits you stop, and return the pieces found so far",
                "the end of the word is lost without a trace; the whole word is to become one unknown"),
        Mistake("unknown-characters", "failed", "one character",
                "a character that fits nothing becomes unknown by itself, and you go on behind it",
                "BERT knows no half words: the whole word is to become one unknown"),
        Mistake("characters-skipped", "failed", "skipped", "you skip a character that fits nothing",
                "another word is read than was written; the whole word is to become one unknown"),
        Mistake("no-longest", "limit", "none", "a word may be as long as it likes",
                "a thousand letters without a blank take a thousand pieces and much time; "
                "beyond `longest` it is unknown"),
        Mistake("longest-off-by-one", "limit", "longest or more", "a word of exactly `longest` characters is refused",
                "only more than `longest` is too long: > and not >="),
        Mistake("longest-always-100", "limit", "always 100", "the limit is 100, whatever `longest` says",
                "the argument does nothing; compare with `longest`"),
        Mistake("cut-off-at-longest", "limit", "cut off", "a word that is too long is cut off at `longest` characters",
                "the model reads another word; it is to become unknown"),
        Mistake("lower-cased", "case", "lower", "you lower-case the word",
                "a cased vocabulary can then never be met; whether to lower-case was decided before, so take the word "
                "as it is"),
        Mistake("unknown-always-the-same", "named", "always [UNK]", "you write [UNK], whatever `unknown` says",
                "other vocabularies call it otherwise; return `[unknown]`"),
    ),
    hints=Hints(
        "Cut \"unaffable\" by hand first: una, ##ffa, ##ble. Which texts did you look up, in what order?",
        "Two loops: the outer one moves the start to where the last piece ended, the inner one makes the end smaller "
        "until the piece is in the vocabulary. When the inner loop runs out, the word is unknown.",
        "piece(start) = the longest of mark + word[start:end] in the vocabulary, with end = len(word) ... start + 1, "
        "and mark = \"\" at the start of the word, \"##\" elsewhere.",
        "start = 0\nwhile start < len(word):\n    end = len(word)\n    while end > start and ... not in vocabulary:\n"
        "        end -= 1\n    if end == start:\n        return ...\n    pieces.append(...)\n    start = ...",
    ),
    swap="wordpiece",
    equivalents=(by_recursion, by_prefixes, by_two_tables),
)  # fmt: skip

# ------------------------------------------------------------------------------------------ two texts in a row

Ids = list[int]

# What stands in the row, in order: C for [CLS], S for [SEP], 1 and 2 for the texts; and the token type of each.
ROWS = {
    "right": "C0 10 S0 21 S1", "no last [SEP]": "C0 10 S0 21", "no [SEP] between": "C0 10 21 S1",
    "no [CLS]": "10 S0 21 S1", "[CLS] again": "C0 10 S0 C1 21 S1", "second first": "C0 20 S0 11 S1",
}  # fmt: skip


def lengths_kept(a: int, b: int, room: int, cut: str) -> tuple[int, int]:
    """How many ids of two texts, a and b long, stay when `room` fit."""
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


def pair_reference(
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
    """Two texts in a row, with knobs. Of two equally long ones the second is cut, as in the released run_classifier.py.

    counted: the special tokens that room is left for.
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


def pair_probes() -> list[Probe]:
    """Calls of encode_pair; each is named by the lengths of the texts and by how many ids fit.

    Where both texts are cut, the room left is even, so that it does not matter which of two equally long ones loses an
    id first: programs differ in that. And it is too small by an even number, and each text alone would fit, so that
    all ways to cut by halves come to the same, and none is asked for less than nothing.
    """

    def call(a: int, b: int, max_length: int, cls_id: int = 101, sep_id: int = 102) -> Call:
        return Call((list(range(11, 11 + a)), list(range(31, 31 + b)), cls_id, sep_id, max_length))

    return [
        Probe("texts of 3 and 2 ids, and 20 fit", call(3, 2, 20)),
        Probe("texts of 8 and 2 ids, and 11 fit", call(8, 2, 11)),
        Probe("texts of 3 and 7 ids, and 11 fit", call(3, 7, 11)),
        Probe("texts of 4 and 4 ids, which just fit into 11", call(4, 4, 11)),
        Probe("texts of 7 and 5 ids, and 11 fit", call(7, 5, 11)),
        Probe("texts of 6 and 2 ids, 9 fit, and other ids for [CLS] and [SEP]", call(6, 2, 9, 2, 3)),
        Probe("an empty second text", call(3, 0, 20, 5, 4)),
        Probe("texts of 5 and 7 ids, and 11 fit", call(5, 7, 11)),
        Probe("texts of 5 and 5 ids, and 11 fit", call(5, 5, 11)),
    ]


def encode_pair(first: Ids, second: Ids, cls_id: int, sep_id: int, max_length: int) -> tuple[Ids, Ids]:
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


def pair_by_library(first: Ids, second: Ids, cls_id: int, sep_id: int, max_length: int) -> tuple[Ids, Ids]:
    """The library's takes texts: each id gets a word of its own."""
    special = WordPiece.special
    words = [f"w{number}" for number in range(max(first + second + [cls_id, sep_id]) + 1)]
    words[cls_id], words[sep_id] = special.cls, special.sep
    tokens = [*words, special.pad, special.unk, special.mask]
    tokenizer = WordPiece({token: number for number, token in enumerate(tokens)}, lowercase=False)
    found = tokenizer.encode(*(" ".join(words[n] for n in text) for text in (first, second)), max_length)
    return found.ids, found.type_ids


def pair_by_popping(first: Ids, second: Ids, cls_id: int, sep_id: int, max_length: int) -> tuple[Ids, Ids]:
    first, second = list(first), list(second)
    while len(first) + len(second) + 3 > max_length:
        (first if len(first) >= len(second) else second).pop()
    parts = [cls_id, *first, sep_id], [*second, sep_id]
    return parts[0] + parts[1], [0 for _ in parts[0]] + [1 for _ in parts[1]]


def pair_by_formula(first: Ids, second: Ids, cls_id: int, sep_id: int, max_length: int) -> list[Ids]:
    room = max_length - 3
    a, b = first[: max(room - len(second), room // 2)], second[: max(room - len(first), room // 2)]
    ids = [cls_id, *a, sep_id, *b, sep_id]
    return [ids, [int(place > len(a) + 1) for place in range(len(ids))]]


def pair_by_places(first: Ids, second: Ids, cls_id: int, sep_id: int, max_length: int) -> tuple[Ids, Ids]:
    """Of both texts the places 0, 1, 2 ... are taken in turn, until the room is full."""
    places = sorted([(place, 0) for place in range(len(first))] + [(place, 1) for place in range(len(second))])
    taken = places[: max_length - 3]
    row = [(cls_id, 0)]
    for text, ids in enumerate((first, second)):
        row += [(ids[place], text) for place, of in taken if of == text] + [(sep_id, text)]
    ids, type_ids = zip(*row, strict=True)
    return ids, type_ids


def pair_by_search(first: Ids, second: Ids, cls_id: int, sep_id: int, max_length: int) -> tuple[Ids, Ids]:
    """No text may be longer than `most`: the largest number for which all fits, but for one id that may be left."""
    lengths = len(first), len(second)
    if sum(lengths) + 3 > max_length:
        most = next(n for n in count() if sum(min(n + 1, length) for length in lengths) + 3 > max_length)
        left = max_length - 3 - sum(min(most, length) for length in lengths)
        first, second = first[: most + left], second[:most]
    ids = [cls_id, *first, sep_id, *second, sep_id]
    return ids, [0] * (len(first) + 2) + [1] * (len(second) + 1)


ENCODE_PAIR = Exercise(
    name="encode-pair",
    topic="wordpiece",
    title="Two texts in one row",
    function="encode_pair",
    signature="first, second, cls_id, sep_id, max_length",
    task=(
        "Put two texts into one row, as BERT reads them: [CLS] first [SEP] second [SEP].\n\n"
        "- `first`, `second`: lists of ids, the pieces of the two texts without special tokens. One may be empty. They "
        "belong to the caller: leave them as they are\n"
        "- `cls_id`, `sep_id`: the ids of [CLS] and [SEP]\n"
        "- `max_length`: the most ids that the row may have, special tokens included; three or more. A row that is "
        "shorter stays short: there is no padding\n"
        "- where it would be too long, ids are taken away one at a time, always the last one of the text that is the "
        "longer at that moment, until all fits. (Of two equally long texts either may lose the next one. Programs "
        "differ in that, and it is not looked at here.) Special tokens are never taken away\n"
        "- returns two lists of whole numbers, `ids` and `type_ids`, both as long as the row. The token type is 0 for "
        "[CLS], the first text and the [SEP] behind it, and 1 for the second text and the last [SEP]."
    ),
    source="Devlin et al. 2019, section 3, \"Input/Output Representations\", and the released run_classifier.py",
    reference=pair_reference,
    solution=encode_pair,
    library=pair_by_library,
    probes=pair_probes,
    mistakes=(
        Mistake("no-last-sep", "row", "no last [SEP]", "there is no [SEP] behind the second text",
                "in training each text ended with one, the second too; put it at the end of the row",
                "How many [SEP] are in the row, and behind what does each stand?"),
        Mistake("no-sep-between", "row", "no [SEP] between", "there is no [SEP] between the texts",
                "nothing but the token types is left to say where the first ends; put one behind each text",
                "How many [SEP] are in the row, and behind what does each stand?"),
        Mistake("cls-again", "row", "[CLS] again", "there is a [CLS] before the second text as well",
                "the row stands for one pair, and what is said about it is read at one [CLS], the first token"),
        Mistake("no-cls", "row", "no [CLS]", "there is no [CLS]",
                "pooler and classifiers read the first position, and would find a word there"),
        Mistake("texts-exchanged", "row", "second first", "the second text stands before the first",
                "a question is taken for its answer, and the order of two sentences for the other one"),
        Mistake("first-sep-typed-1", "types", "first [SEP] 1", "the first [SEP] has the token type 1",
                "it ends the first text and belongs to it: its type is 0",
                "To which of the two texts does each [SEP] belong?"),
        Mistake("last-sep-typed-0", "types", "last [SEP] 0", "the last [SEP] has the token type 0",
                "it ends the second text and belongs to it: its type is 1",
                "To which of the two texts does each [SEP] belong?"),
        Mistake("types-all-0", "types", "all 0", "every token type is 0",
                "the model cannot tell by them which text a word is in; from behind the first [SEP] on it is 1"),
        Mistake("types-1-and-2", "types", "1 and 2", "the token types are 1 and 2",
                "BERT's table of token types has the rows 0 and 1 only: 2 is outside, and 1 is the wrong text's"),
        Mistake("types-exchanged", "types", "exchanged", "the first text has the token type 1, and the second 0",
                "released weights have learned it the other way round"),
        Mistake("types-of-the-uncut-texts", "types", "of the uncut texts",
                "there are as many token types as the texts had ids before they were cut",
                "the two lists differ in length, and no longer belong to each other; count what is in the row",
                "Which comes first in your code: the cutting or the counting?"),
        Mistake("second-only", "cut", "second only", "only the second text is cut",
                "a long first text leaves next to nothing of the second; take each id from the text that is longer "
                "at that moment"),
        Mistake("first-only", "cut", "first only", "only the first text is cut",
                "a long second text leaves next to nothing of the first; take each id from the text that is longer "
                "at that moment"),
        Mistake("longer-alone", "cut", "longer alone", "you take all that is too much from the text that was longer",
                "it may end up much shorter than the other; ask anew after each id which is longer now",
                "After you have taken one id away, which text is the longer one?"),
        Mistake("shortest-first", "cut", "shortest first", "you cut the shorter text",
                "what has little to say loses even that; take each id from the text that is longer at that moment"),
        Mistake("halves", "cut", "halves", "each text gets half of the room",
                "where one is short, its share stays empty while the other loses ids; only the longer text is cut "
                "until both are equally long"),
        Mistake("equally-many", "cut", "equally many", "both texts lose equally many ids",
                "a short text loses what a long one could spare; take each id from the text that is longer at that "
                "moment"),
        Mistake("joined-row-cut", "cut", "joined", "you cut the finished row at its end",
                "the last [SEP] goes first, and all the rest comes from the second text; cut the texts, and put the "
                "row together afterwards",
                "What stands at the end of the row, and may it be lost?"),
        Mistake("not-cut", "cut", "never", "nothing is ever cut",
                "a row longer than the model has positions for stops it; no more than `max_length` ids may stay"),
        Mistake("special-tokens-not-counted", "counted", 0, "you leave no room for the special tokens",
                "max_length counts them, too: they take three places",
                "How long is the row when both texts together have max_length ids?"),
        Mistake("two-special-tokens-counted", "counted", 2, "you leave room for two special tokens",
                "[CLS] [SEP] [SEP] are three; with all of them a full row is one too long"),
        Mistake("four-special-tokens-counted", "counted", 4, "you cut one id more than need be",
                "a row of just max_length is not too long, and [CLS] [SEP] [SEP] take three places; look for a >= "
                "that is to be >, or for a 4"),
        Mistake("beginning-cut", "kept", "the end", "a text that is too long loses its beginning",
                "the last ids are to go; the pieces at the start stay where the model expects them"),
        Mistake("ids-always-101-102", "named", "always 101 and 102",
                "[CLS] and [SEP] are 101 and 102, whatever is given",
                "that is so in one vocabulary; in others these are words. Take cls_id and sep_id"),
        Mistake("padded", "filled", True, "you fill the row with 0 up to max_length",
                "padding belongs to a batch, with a mask beside it; here the row stays as short as it is"),
        Mistake("cut-in-place", "in_place", "cut", "you take the ids out of the caller's own lists",
                "the texts are shortened for good, and with a larger max_length they do not come back; copy first, or "
                "take slices",
                "Look at `first` and `second` after the call."),
        Mistake("built-in-place", "in_place", "built", "you put [CLS] and [SEP] into the caller's own lists",
                "the next call finds them there and adds more; build a new list",
                "Look at `first` and `second` after the call."),
        Mistake("results-exchanged", "order", "types, ids", "you return the token types first",
                "it is to be ids, type_ids"),
    ),
    hints=Hints(
        "Write the row for two texts of two and one ids by hand, and below it the token types. How many of its places "
        "are left for the texts when max_length is 5?",
        "First how many ids of each text stay, then the row, then the types. [CLS] and both [SEP] always stay, so the "
        "texts share max_length less three. While they are too long together, the longer one gives up one id.",
        "a + b ≤ max_length − 3; ids = [CLS] first₁ … first_a [SEP] second₁ … second_b [SEP]; a + 2 types are 0, then "
        "b + 1 are 1.",
        "a, b = len(first), len(second)\nwhile a + b > ...:\n    if a > b:\n        a -= 1\n    else:\n        ...\n"
        "ids = [cls_id, *first[:a], ...]\ntype_ids = [0] * (...) + [1] * (...)",
    ),
    equivalents=(pair_by_popping, pair_by_formula, pair_by_places, pair_by_search),
)  # fmt: skip

EXERCISES = (WORDPIECE, ENCODE_PAIR)
