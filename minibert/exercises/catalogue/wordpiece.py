"""WordPiece: a word split into the pieces of a vocabulary."""

from __future__ import annotations

import unicodedata

from minibert.exercises.calls import Call
from minibert.exercises.declare import Exercise, Hints, Mistake, Probe
from minibert.exercises.moved import other_letters
from minibert.tokenizers import WordPiece


def cut_somehow(word: str, vocabulary: set[str], start: int) -> list[str] | None:
    """The first split that exists, trying long pieces before short ones; None if there is none."""
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
    word = {
        "as it is": lambda: word,
        "lower": lambda: word.lower(),
        "NFD": lambda: unicodedata.normalize("NFD", word),
        "stripped": lambda: "".join(c for c in unicodedata.normalize("NFD", word) if unicodedata.category(c) != "Mn"),
        "NFC": lambda: unicodedata.normalize("NFC", word),
    }[case]()
    longest = 100 if limit == "always 100" else longest
    too_long = {"none": False, "longest or more": len(word) >= longest, "bytes": len(word.encode()) > longest}.get(
        limit, len(word) > longest
    )
    if too_long and limit != "cut off":
        return [unknown]
    word = word[:longest] if limit == "cut off" else word
    if search == "going back" and (found := cut_somehow(word, set(vocabulary), 0)) is not None:
        return found
    pieces: list[str] = []
    start, stop = 0, len(word)
    while start < stop:
        # From the left, a piece begins at `start`; from the right, it ends at `stop`.
        if search == "from the right":
            spans = [(begin, stop) for begin in range(start, stop)]
        else:
            spans = [(start, end) for end in range(stop, start, -1)]
            spans = spans[::-1] if search == "shortest first" else spans
            spans = [(a, b) for a, b in spans if b - a > 1] if search == "never one character" else spans
        for begin, end in spans:
            mark = "##" if begin or marks == "on the first too" else ""
            looked_up = word[begin:end] if marks in ("never", "only in the answer") else mark + word[begin:end]
            if marks == "either" and looked_up not in vocabulary and word[begin:end] in vocabulary:
                shown = word[begin:end]
                break
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
        # Some part of these fits no piece: the start, the middle, the end, or all of it.
        "zable", "unzable", "unword", "playword", "playz", "zzz", "azbzc", "words!",
    ]  # fmt: skip
    small = [Probe(f"the word {word!r}", Call((word, SMALL))) for word in words]
    cased = [Probe(f"the cased word {word!r}", Call((word, CASED))) for word in ("Playing", "PIng", "playIng", "Aa")]
    other = [
        Probe("a word that can only be split with a shorter first piece", Call(("abcd", ["abc", "ab", "##cd", "##c"]))),
        Probe("a different unknown piece", Call(("playz", SMALL, "<unk>"))),
        Probe("a word of exactly `longest` characters", Call(("unable", SMALL, "[UNK]", 6))),
        Probe("a word of one character more than `longest`", Call(("unabless", SMALL, "[UNK]", 7))),
        Probe("a word of 100 characters", Call(("a" * 100, SMALL))),
        Probe("a word of 101 characters", Call(("a" * 101, SMALL))),
    ]
    # An é is one character, or an e with a combining accent; both are used as they are.
    accented = [
        "caf",
        "cafe",
        "café",
        "é",
        "e",
        "##é",
        "##e",
        "##\u0301",
        "##s",
        "##f",
        "ca",
        "日",
        "##本",
        "##語",
        "a",
        "##a",
    ]
    words = ["café", "cafés", "cafe\u0301", "cafe\u0301s", "caféé", "é", "日本語", "日本人", "CAFÉ"]
    other += [Probe(f"the accented word {word!r}", Call((word, accented))) for word in words]
    other += [
        Probe("a word of 60 characters and 120 bytes", Call(("é" * 60, accented))),
        Probe("a word of 7 characters, 7 allowed", Call(("é" * 7, accented, "[UNK]", 7))),
        Probe("one character", Call(("a", SMALL))),
        Probe("a word of one character more than 1", Call(("aa", SMALL, "[UNK]", 1))),
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


EXERCISE = Exercise(
    name="wordpiece",
    topic="wordpiece",
    title="WordPiece: split a word into pieces",
    level="core",
    minutes=20,
    function="wordpiece",
    signature='word, vocabulary, unknown="[UNK]", longest=100',
    task=(
        "Split one word into pieces of a vocabulary, from left to right, and take the longest piece that fits each "
        "time.\n\n"
        "- `word`: text without spaces. It has already been cleaned (and lower-cased, if the model wants that): use "
        "it as it is\n"
        "- `vocabulary`: a list of pieces. A piece that begins with `##` occurs only inside a word, after another "
        "piece; all others occur only at the start of a word\n"
        "- `unknown`: the piece that replaces a word that cannot be split\n"
        "- `longest`: a word with more characters than this is not split, and gives `[unknown]`; a word with exactly "
        "this many is split\n"
        "- returns the list of pieces as they are written in the vocabulary, with `##`: "
        '`["una", "##ffa", "##ble"]`. If nothing fits at some place, the whole word becomes `[unknown]`, a list of one '
        "piece. Do not go back to try a shorter piece. The empty word gives the empty list."
    ),
    source="Devlin et al. 2019, section 3, and the released tokenization.py; Wu et al. 2016, section 4.1",
    reference=reference,
    solution=solution,
    library=by_library,
    probes=probes,
    moved=other_letters,
    mistakes=(
        Mistake("shortest-first", "search", "shortest first", "you take the shortest piece that fits",
                "words fall apart into single letters, which tell the model little; try the longest piece first",
                "Which end do you try first: the whole rest of the word, or its first letter?"),
        Mistake("from-the-right", "search", "from the right", "you split from the end of the word to its start",
                "wherever pieces overlap, the result is not the one that the model was trained with; begin at the "
                "left"),
        Mistake("never-one-character", "search", "never one character", "a piece of one character is never tried",
                "words that need one become unknown; the search ends one step too early"),
        Mistake("going-back", "search", "going back",
                "where nothing fits, you go back and try a shorter piece before it",
                "WordPiece is greedy and never goes back; a different split gives ids that the model never saw for "
                "this word"),
        Mistake("no-marks", "marks", "never", "you never put ## before a piece",
                "pieces from the start of a word are used inside it, and the words cannot be put together again; from "
                "the second piece on, look up \"##\" + text"),
        Mistake("marks-only-in-the-answer", "marks", "only in the answer",
                "you look pieces up without ##, and add it afterwards",
                "the answer has pieces that are not in the vocabulary; look up the text with its ##"),
        Mistake("marks-only-looked-up", "marks", "only looked up",
                "you look pieces up with ##, but return them without it",
                "a piece from inside a word is mistaken for one from its start, which has a different id; "
                "return what you looked up"),
        Mistake("initial-pieces-inside", "marks", "either", "inside a word you also take pieces without ##",
                "these occur only at the start of a word, and have another id; from the second piece on, look up "
                "\"##\" + text alone"),
        Mistake("mark-on-the-first", "marks", "on the first too", "the first piece is looked up with ##, too",
                "## means that something comes before the piece; nothing comes before the first one"),
        Mistake("rest-unknown", "failed", "the rest",
                "you keep the pieces found so far and put the unknown piece after them",
                "BERT has no half words; if any part fits nothing, the whole word becomes one unknown piece"),
        Mistake("rest-dropped", "failed", "the rest dropped",
                "where nothing fits, you stop and return the pieces found so far",
                "the end of the word is lost without a trace; the whole word should become one unknown piece"),
        Mistake("unknown-characters", "failed", "one character",
                "you make a character that fits nothing unknown by itself, and continue after it",
                "BERT has no half words; the whole word should become one unknown piece"),
        Mistake("characters-skipped", "failed", "skipped", "you skip a character that fits nothing",
                "the model reads a different word; the whole word should become one unknown piece"),
        Mistake("no-longest", "limit", "none", "a word may have any length",
                "a thousand letters without a space give a thousand pieces and take a lot of time; "
                "a word longer than `longest` is unknown"),
        Mistake("longest-off-by-one", "limit", "longest or more", "a word of exactly `longest` characters is refused",
                "only a word with more than `longest` is too long, so use >, not >="),
        Mistake("longest-always-100", "limit", "always 100", "the limit is 100, whatever `longest` says",
                "the argument has no effect; compare with `longest`"),
        Mistake("longest-in-bytes", "limit", "bytes", "the length of a word is counted in bytes",
                "an é has two bytes and a Chinese character has three; `longest` counts characters, len(word)"),
        Mistake("cut-off-at-longest", "limit", "cut off", "a word that is too long is cut off at `longest` characters",
                "the model reads a different word; it should become unknown"),
        Mistake("lower-cased", "case", "lower", "you lower-case the word",
                "the capital letters of a cased vocabulary can then never match; if the model wants lower case, that "
                "has already been done, so use the word as it is"),
        Mistake("accents-split", "case", "NFD", "you split accents from their letters (NFD)",
                "if the model wants that, it has already been done, so use the word as it is"),
        Mistake("accents-joined", "case", "NFC", "you join accents with their letters (NFC)",
                "if the model wants that, it has already been done, so use the word as it is"),
        Mistake("accents-stripped", "case", "stripped", "you remove the accents",
                "if the model wants that, it has already been done, so use the word as it is"),
        Mistake("unknown-always-the-same", "named", "always [UNK]", "you return [UNK], whatever `unknown` says",
                "other vocabularies have a different name for it; return `[unknown]`"),
    ),
    hints=Hints(
        "Split \"unaffable\" by hand first: una, ##ffa, ##ble. Which strings did you look up, and in what order?",
        "Two loops: the outer one moves the start to where the last piece ended, the inner one makes the end smaller "
        "until the piece is in the vocabulary. If the inner loop finds nothing, the word is unknown.",
        "piece(start) = the longest of mark + word[start:end] in the vocabulary, with end = len(word) ... start + 1, "
        "and mark = \"\" at the start of the word, \"##\" elsewhere.",
        "start = 0\nwhile start < len(word):\n    end = len(word)\n    while end > start and ... not in vocabulary:\n"
        "        end -= 1\n    if end == start:\n        return ...\n    pieces.append(...)\n    start = ...",
    ),
    swap="wordpiece",
    equivalents=(by_recursion, by_prefixes, by_two_tables),
)  # fmt: skip
