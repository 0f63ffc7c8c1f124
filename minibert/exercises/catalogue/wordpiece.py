"""WordPiece: a word cut into the pieces of a vocabulary."""

from __future__ import annotations

from minibert.classroom.worker import Call
from minibert.exercises.engine import Exercise, Hints, Mistake, Probe
from minibert.tokenizers import WordPiece


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


EXERCISE = Exercise(
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
