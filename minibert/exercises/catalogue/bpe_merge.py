"""Byte-level BPE: the merges applied to a word."""

from __future__ import annotations

import math
from itertools import pairwise

from minibert.exercises.calls import Call
from minibert.exercises.declare import Exercise, Hints, Mistake, Probe
from minibert.exercises.moved import other_letters
from minibert.tokenizers.byte_bpe import LETTERS, ROBERTA_SPECIAL, ByteBPE

Pair = tuple[str, str]


def joined_in(symbols: list[str], pair: Pair, place: str, joint: str) -> list[str]:
    """The symbols with a pair made one, where it occurs first, or last."""
    found = [at for at, both in enumerate(pairwise(symbols)) if both == pair]
    at = found[-1 if place == "the last" else 0]
    before = symbols[: at + 1] if place == "the first stays" else symbols[:at]
    after = symbols[at + 1 :] if place == "the second stays" else symbols[at + 2 :]
    return [*before, joint.join(pair), *after]


def longest_from_the_left(symbols: list[str], merges: list[Pair]) -> list[str]:
    """As WordPiece does it, with all that merges can make as the vocabulary."""
    known = {*symbols, *("".join(pair) for pair in merges)}
    pieces: list[str] = []
    start = 0
    while start < len(symbols):
        end = next(end for end in range(len(symbols), start, -1) if "".join(symbols[start:end]) in known)
        pieces.append("".join(symbols[start:end]))
        start = end
    return pieces


def once_through(symbols: list[str], merges: list[Pair], place: str, joint: str) -> list[str]:
    """Pair after pair, each wherever it occurs. With the list as it is, this is right."""
    for pair in merges:
        while pair in pairwise(symbols):
            symbols = joined_in(symbols, pair, place, joint)
    return symbols


def replaced(symbols: list[str], merges: list[Pair], times: int) -> list[str]:
    """Pair after pair, by replacing text, each at most so many times."""
    text = " ".join(symbols)
    for pair in merges:
        for _ in range(times):
            text = text.replace(" ".join(pair), "".join(pair))
    return text.split(" ") if text else []


def side_by_side(symbols: list[str], merges: list[Pair]) -> list[str]:
    """Two by two from the left, where the list has the two."""
    made: list[str] = []
    at = 0
    while at < len(symbols):
        size = 2 if tuple(symbols[at : at + 2]) in merges else 1
        made.append("".join(symbols[at : at + size]))
        at += size
    return made


def swept(symbols: list[str], merges: list[Pair]) -> list[str]:
    """The symbols joined where they can be, from the left, each with the piece before it."""
    made = symbols[:1]
    for symbol in symbols[1:]:
        if (made[-1], symbol) in merges:
            made[-1] += symbol
        else:
            made.append(symbol)
    return made


def longest(pair: Pair) -> int:
    return -len("".join(pair))


CHOICES = {
    "lowest rank": lambda found, rank_of: min(found, key=rank_of),
    "highest rank": lambda found, rank_of: max(found, key=rank_of),
    "the first from the left": lambda found, rank_of: found[0],
    "the last": lambda found, rank_of: found[-1],
    "the longest": lambda found, rank_of: min(found, key=lambda pair: (longest(pair), rank_of(pair))),
}


def reference(
    symbols: list[str],
    merges: list[Pair],
    *,
    choice: str = "lowest rank",
    passes: str = "until none is left",
    place: str = "the first",
    pairs: str = "as listed",
    joint: str = "",
    looked_at: str = "all",
    rare: str = "kept",
    shown: str = "as they are",
    argument: str = "copied",
) -> list[str]:
    """BPE with knobs; the defaults are those of encoder.py, released with Radford et al. 2019."""
    own, symbols = symbols, list(symbols)
    if rare != "kept":
        mergeable = {part for pair in merges for part in pair}
        symbols = [one if one in mergeable else "<unk>" for one in symbols]
        symbols = [one for one in symbols if one != "<unk>"] if rare == "dropped" else symbols
    ranks: dict[Pair, float] = {}
    for rank, pair in enumerate(merges):
        ranks[pair] = rank
        if pairs == "in either order":
            ranks.setdefault(pair[::-1], rank)
    texts = {"".join(pair): rank for rank, pair in enumerate(merges)}

    def rank_of(pair: Pair) -> float:
        return texts.get("".join(pair), math.inf) if pairs == "by their text" else ranks.get(pair, math.inf)

    backwards, by_length = merges[::-1], sorted(merges, key=longest)
    whole = {"last pairs first": lambda symbols, merges: once_through(symbols, backwards, place, joint),
             "long pairs first": lambda symbols, merges: once_through(symbols, by_length, place, joint),
             "one sweep": swept, "one scan": side_by_side,
             "by replacing text": lambda symbols, merges: replaced(symbols, merges, 1),
             "by replacing text again": lambda symbols, merges: replaced(symbols, merges, len(symbols)),
             "longest piece from the left": longest_from_the_left}.get(passes)  # fmt: skip
    rounds = {"one merge": 1, "each merge at its first place": 0}.get(passes, 0 if whole else math.inf)
    if whole is not None:
        symbols = whole(symbols, merges)
    if passes == "each merge at its first place":
        for pair in merges:
            symbols = joined_in(symbols, pair, place, joint) if pair in pairwise(symbols) else symbols
    while rounds > 0:
        seen = list(pairwise(symbols))
        seen = seen[:-1] if looked_at == "not the last" else seen[1:] if looked_at == "not the first" else seen
        found = [pair for pair in seen if rank_of(pair) < math.inf]
        if not found:
            break
        # Also where a part of the pair stays, this ends: each time a symbol grows, and none outgrows the list's pairs.
        symbols = joined_in(symbols, CHOICES[choice](found, rank_of), place, joint)
        rounds -= 1
    if argument == "changed":
        own[:] = symbols
    return {
        "as they are": lambda: symbols,
        "without Ġ": lambda: [text for one in symbols if (text := one.replace("Ġ", ""))],
        "a blank for Ġ": lambda: [one.replace("Ġ", " ") for one in symbols],
        "##": lambda: [f"##{one}" if at else one for at, one in enumerate(symbols)],
    }[shown]()


# In the order in which they were learned: a part of a pair is a byte, or was made by a pair before it.
MERGES: list[Pair] = [
    ("c", "a"), ("l", "e"), ("a", "b"), ("u", "n"), ("f", "f"), ("ab", "le"), ("Ġ", "t"), ("h", "e"), ("Ġt", "he"),
    ("i", "n"), ("in", "g"), ("a", "ff"), ("e", "r"), ("s", "s"), ("l", "l"), ("r", "e"), ("t", "h"), ("ss", "s"),
    ("Ġ", "un"), ("n", "able"), ("ll", "e"), ("he", "r"), ("Ã", "©"), ("s", "he"), ("s", "h"),
]  # fmt: skip


def probes() -> list[Probe]:
    words = [
        "unaffable", "Ġunaffable", "Ġthe", "Ġthere", "cabab", "sssss", "ellen", "singing", "unable", "callable", "leel",
        "lessness", "there", "here", "she", "shes", "Ġ", "q", "", "quiz", "zzz", "nÃ©e", "Ġlessing",
    ]  # fmt: skip
    spelled = [Probe(f"the word {word!r}", Call((list(word), MERGES))) for word in words]
    other = [("b", "c"), ("a", "b"), ("ab", "c"), ("d", "a"), ("da", "da")]
    return [
        *spelled,
        Probe("without merges", Call((list("the"), []))),
        Probe("a word that begins with two pieces already joined", Call((["un", "aff", "able", "s", "s"], MERGES))),
        Probe("a list in which a text is made in another way", Call((list("abcab"), other))),
        Probe("the same pair three times", Call((list("dadada"), other))),
    ]


def solution(symbols: list[str], merges: list[Pair]) -> list[str]:
    rank = {pair: number for number, pair in enumerate(merges)}
    pieces = list(symbols)
    while True:
        places = [at for at in range(len(pieces) - 1) if (pieces[at], pieces[at + 1]) in rank]
        if not places:
            return pieces
        at = min(places, key=lambda at: rank[pieces[at], pieces[at + 1]])
        pieces[at : at + 2] = [pieces[at] + pieces[at + 1]]


def by_library(symbols: list[str], merges: list[Pair]) -> list[str]:
    made = dict.fromkeys([*ROBERTA_SPECIAL.all(), *LETTERS, *symbols, *("".join(pair) for pair in merges)])
    tokenizer = ByteBPE({token: number for number, token in enumerate(made)}, merges)
    return [tokenizer.tokens[number] for number in tokenizer.merge_pieces([tokenizer.vocabulary[s] for s in symbols])]


def by_one_pass(symbols: list[str], merges: list[Pair]) -> list[str]:
    pieces = tuple(symbols)
    for left, right in merges:
        at, joined = 0, []
        while at < len(pieces):
            both = pieces[at : at + 2] == (left, right)
            joined.append(left + right if both else pieces[at])
            at += 2 if both else 1
        pieces = tuple(joined)
    return list(pieces)


def by_sets_of_pairs(symbols: list[str], merges: list[Pair]) -> list[str]:
    word = [*symbols]
    while pairs := set(pairwise(word)) & set(merges):
        first, second = min(pairs, key=merges.index)
        new: list[str] = []
        for symbol in word:
            if symbol == second and new and new[-1] == first:
                new[-1] = (first, second)
            else:
                new.append(symbol)
        word = ["".join(one) if isinstance(one, tuple) else one for one in new]
    return word


def by_recursion(symbols: list[str], merges: list[Pair]) -> list[str]:
    ranked = [(merges.index(pair), at) for at, pair in enumerate(pairwise(symbols)) if pair in merges]
    if not ranked:
        return list(symbols)
    _, at = min(ranked)
    return by_recursion([*symbols[:at], symbols[at] + symbols[at + 1], *symbols[at + 2 :]], merges)


EXERCISE = Exercise(
    name="bpe-merge",
    topic="wordpiece",
    title="Byte-level BPE: join what was learned first",
    function="bpe_merge",
    signature="symbols, merges",
    task=(
        "Read a word as RoBERTa does: it is spelled in bytes, and learned merges make longer pieces of them.\n\n"
        "- `symbols`: the word, a list of strings, at first one for each byte: `[\"Ġ\", \"t\", \"h\", \"e\"]` (Ġ is "
        "the space before the word, a symbol like any other)\n"
        "- `merges`: a list of pairs of strings. A pair's place in the list is its rank: the first was learned first\n"
        "- returns the list of pieces. Of all pairs of neighbours that are in the list, the one with the lowest rank "
        "is joined into one symbol (if it occurs several times: from left to right), then the same again with the new "
        "symbols, until no two neighbours are a pair of the list. Symbols that are in no pair stay as they are. "
        "`symbols` itself is not changed"
    ),
    source="Sennrich et al. 2016, section 3.2; Radford et al. 2019, section 2.2, and the released encoder.py",
    reference=reference,
    solution=solution,
    library=by_library,
    probes=probes,
    moved=other_letters,
    level="core",
    minutes=15,
    mistakes=(
        Mistake("highest-rank-first", "choice", "highest rank", "you join the pair with the highest rank first",
                "a low rank means learned early, so most frequent; the pieces are not those that the model knows"),
        Mistake("list-backwards", "passes", "last pairs first", "you go through the list from its end",
                "the first pair of the list was learned first, because it was most frequent, and is joined first"),
        Mistake("list-by-length", "passes", "long pairs first",
                "you go through the list from the pair that gives the longest piece to the shortest",
                "the rank decides, not the length; and a pair can only be joined when its parts have been made"),
        Mistake("first-pair-from-the-left", "choice", "the first from the left",
                "you join the first pair from the left that is in the list, whatever its rank",
                "a rare pair takes a letter away from a frequent one after it; look at all neighbours, and then join "
                "the one with the lowest rank"),
        Mistake("last-pair-first", "choice", "the last",
                "you join the last pair of the word that is in the list, whatever its rank",
                "look at all neighbours, and then join the one with the lowest rank"),
        Mistake("longest-pair-first", "choice", "the longest", "you join the pair that gives the longest piece",
                "the rank decides, not the length"),
        Mistake("longest-piece-from-the-left", "passes", "longest piece from the left",
                "you take the longest piece that fits, from the left",
                "that is WordPiece; in BPE the order in which pairs were learned decides where a word is cut"),
        Mistake("one-sweep", "passes", "one sweep",
                "you go through the word once and join each symbol with the piece before it if the list has the pair",
                "you ignore the rank; look at all neighbours, join the pair with the lowest rank, and begin again"),
        Mistake("one-scan", "passes", "one scan",
                "you go through the word once and join two symbols where the list has them",
                "you ignore the rank, and a new piece is never joined again; look at all neighbours, join the pair "
                "with the lowest rank, and begin again"),
        Mistake("one-merge", "passes", "one merge", "you stop after the first merge",
                "the new piece may be part of a pair too; repeat until no two neighbours are in the list"),
        Mistake("each-merge-once", "passes", "each merge at its first place",
                "each pair of the list is joined at most once",
                "a pair may occur several times in a word, and all of them are joined"),
        Mistake("from-the-right", "place", "the last", "of several places for a pair you take the last",
                "three equal letters are then cut differently; begin at the left"),
        Mistake("second-stays", "place", "the second stays", "the second symbol of a joined pair stays in the word",
                "its letters are there twice; after a merge, continue after the pair"),
        Mistake("first-stays", "place", "the first stays", "the first symbol of a joined pair stays in the word",
                "its letters are there twice; both symbols of the pair make way for the new one"),
        Mistake("by-replacing-text", "passes", "by replacing text",
                "you replace text, so that a pair is also found in the ends of longer symbols",
                "\"ca b\" contains \"a b\", but its symbols are ca and b; compare whole symbols"),
        Mistake("by-replacing-text-again", "passes", "by replacing text again",
                "you replace text until a pair is found no more, also in the ends of longer symbols",
                "\"ss s\" contains \"s s\", but its symbols are ss and s; compare whole symbols"),
        Mistake("either-order", "pairs", "in either order", "you also join a pair the other way round",
                "the list has (l, e), which is le; el is a different piece"),
        Mistake("by-their-text", "pairs", "by their text", "you join neighbours whose text together is that of a pair",
                "ab + c and a + bc are two pairs, each with a rank of its own or none; look the pair up, not its text"),
        Mistake("joined-by-a-blank", "joint", " ", "a blank is left between the two symbols that are joined",
                "that is how the file shows a pair; the piece is left + right"),
        Mistake("last-pair-not-seen", "looked_at", "not the last", "the last two symbols are never looked at",
                "n symbols have n − 1 pairs of neighbours; a range ends one too early"),
        Mistake("first-pair-not-seen", "looked_at", "not the first", "the first two symbols are never looked at",
                "n symbols have n − 1 pairs of neighbours; a range begins one too late"),
        Mistake("rare-symbols-unknown", "rare", "unknown", "a symbol that is in no pair becomes <unk>",
                "every byte is a piece of its own, so nothing is ever unknown; leave it as it is"),
        Mistake("rare-symbols-dropped", "rare", "dropped", "a symbol that is in no pair is dropped",
                "the model reads a different word; every byte is a piece of its own, so leave it as it is"),
        Mistake("blank-dropped", "shown", "without Ġ", "the Ġ is dropped",
                "it is the blank before the word, and \"Ġthe\" is a different piece from \"the\""),
        Mistake("blank-shown-as-blank", "shown", "a blank for Ġ", "you write a blank for Ġ",
                "the vocabulary has it as Ġ"),
        Mistake("marked-as-in-wordpiece", "shown", "##", "you put ## before all pieces but the first",
                "that is WordPiece; here the start of a word is marked, by its Ġ"),
        Mistake("symbols-changed", "argument", "changed", "you change `symbols` in place",
                "the caller's list is spoiled; work on a copy, list(symbols)"),
    ),
    hints=Hints(
        "Do \"c a b a b\" by hand, with the merges (c, a) and (a, b). Which pair is joined first, and what is left?",
        "A loop that ends when nothing is found: list the pairs of neighbours, keep those that have a rank, take the "
        "lowest, join it, begin again. A dict from pair to rank makes this quick.",
        "pair = the argmin of rank over all (sₖ, sₖ₊₁) that are in merges; sₖ, sₖ₊₁ → sₖsₖ₊₁",
        "rank = {pair: number for number, pair in enumerate(merges)}\npieces = list(symbols)\nwhile True:\n"
        "    places = [at for at in range(...) if (pieces[at], pieces[at + 1]) in rank]\n"
        "    if not places:\n        return ...\n    at = min(places, key=lambda at: ...)\n"
        "    pieces[at : at + 2] = [...]",
    ),
    swap="bpe_merge",
    equivalents=(by_one_pass, by_sets_of_pairs, by_recursion),
)  # fmt: skip
