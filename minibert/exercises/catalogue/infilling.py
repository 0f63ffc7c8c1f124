"""Text infilling: spans of a text, each replaced by one mask."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

from minibert.exercises.calls import Call
from minibert.exercises.declare import Exercise, Hints, Mistake, Probe
from minibert.exercises.moved import with_args
from minibert.training.infilling import replace_spans

Span = tuple[int, int]


def reference(
    ids: list[int],
    spans: Sequence[Span],
    mask_id: int,
    *,
    masks: str = "one for a span",
    empty: str = "before",
    read: str = "start, length",
    removed: str = "all",
    place: str = "of the original",
    touching: str = "kept apart",
    rest: str = "kept",
    named: str = "mask_id",
    in_place: bool = False,
) -> list[int]:
    """Infilling with knobs."""
    result: list[int] = []
    if place == "of the result":
        result = list(ids)
        for start, length in spans:
            result[start : start + length] = [mask_id]
        return result
    if read == "start, end in slices":
        result = list(ids)
        for start, end in reversed(spans):
            result[start:end] = [mask_id]
        return result
    at = before = 0  # where the text goes on, and how long the span before was
    for number, (start, second) in enumerate(spans):
        length = second - start if read == "start, end" else second - start + 1 if read == "start, last" else second
        if read == "one longer" and length:
            length += 1
        elif read == "from 1":
            start -= 1
        if length == 0 and empty in ("left out", "takes one away"):
            if empty == "left out":
                continue
            length = 1
        if length == 0 and empty == "after" and start < len(ids):
            start += 1
        if length == 0 and empty == "not at the end" and start >= len(ids):
            continue
        result += ids[at:start]
        symbol = {"always 4": 4, "always 103": 103, "always 50264": 50264, "numbered": mask_id + number}.get(
            named, mask_id
        )
        put = {"one for a token": max(length, 1), "none": 0, "one for a token, none for none": length}.get(masks, 1)
        touches = number > 0 and at == start
        if (
            (touching == "merged" and touches)
            or (touching == "merged unless empty" and touches and before and length)
            or (touching == "none after a mask" and result[-1:] == [symbol])
        ):
            put = 0
        before = length
        if masks == "after what it hides":
            result += ids[start : start + length]
        result += [symbol] * put
        if removed == "the first only":
            result += ids[start + 1 : start + length]
        if masks == "before what it hides":
            result += ids[start : start + length]
        at = max(at, start + length)
    if rest == "kept":
        result += ids[at:]
    if touching == "all merged":
        result = [one for number, one in enumerate(result) if one != mask_id or result[number - 1 : number] != [one]]
    if in_place:
        ids[:] = result
    return result


def probes() -> list[Probe]:
    ids = [21, 22, 23, 24, 25, 26, 27]

    def call(spans: list[Span], mask_id: int = 9, ids: list[int] = ids) -> Call:
        return Call((ids, spans, mask_id))

    return [
        Probe("a span of 2 and a span of 3", call([(1, 2), (4, 3)])),
        Probe("one span of 1", call([(2, 1)])),
        Probe("a span of 0 in the middle", call([(3, 0)])),
        Probe("spans of 0 at the start and at the end", call([(0, 0), (7, 0)])),
        Probe("spans that touch, and another mask", call([(1, 2), (3, 2), (5, 0)], 50)),
        Probe("two spans at one place", call([(2, 0), (2, 3)])),
        Probe("three spans, one at the end", call([(0, 1), (2, 0), (3, 4)])),
        Probe("the whole text", call([(0, 7)], 3)),
        Probe("no spans", call([])),
        Probe("an empty text, into which a mask is put", call([(0, 0)], 9, [])),
        Probe("a text with the mask in it, and repeated ids", call([(2, 2), (5, 1)], 9, [9, 9, 5, 6, 5, 5, 9, 5])),
    ]


def other_texts(probe: Probe, chance: random.Random) -> Probe:
    """Each id becomes another one, the mask's too. The spans stay."""
    ids, spans, mask_id = probe.call.args
    known = sorted({*ids, mask_id})
    table = dict(zip(known, chance.sample(range(200, 30_000), len(known)), strict=True))
    return replace(with_args(probe, [table[one] for one in ids], spans, table[mask_id]))


def solution(ids: list[int], spans: list[Span], mask_id: int) -> list[int]:
    result: list[int] = []
    place = 0  # in the text: what is before it has been dealt with
    for start, length in spans:
        result += ids[place:start]
        result.append(mask_id)
        place = start + length
    return result + ids[place:]


def by_library(ids: list[int], spans: list[Span], mask_id: int) -> list[int]:
    """The library's spans are of words, which have several ids; here each has one."""
    return replace_spans([[one] for one in ids], spans, mask_id)


def from_behind(ids: list[int], spans: list[Span], mask_id: int) -> list[int]:
    result = list(ids)
    for start, length in reversed(spans):
        result[start : start + length] = [mask_id]
    return result


def by_gaps(ids: list[int], spans: list[Span], mask_id: int) -> tuple[int, ...]:
    """What is between the spans, joined by masks."""
    starts = [start for start, _ in spans] + [len(ids)]
    ends = [0] + [start + length for start, length in spans]
    pieces = [ids[end:start] for end, start in zip(ends, starts, strict=True)]
    return tuple(one for number, piece in enumerate(pieces) for one in ([mask_id] if number else []) + piece)


def token_by_token(ids: list[int], spans: list[Span], mask_id: int) -> list[int]:
    masks_before = [sum(start == place for start, _ in spans) for place in range(len(ids) + 1)]
    covered = {place for start, length in spans for place in range(start, start + length)}
    result = []
    for place in range(len(ids) + 1):
        result.extend([mask_id] * masks_before[place])
        if place < len(ids) and place not in covered:
            result.append(ids[place])
    return result


def by_offset(ids: list[int], spans: list[Span], mask_id: int) -> list[int]:
    result, shift = ids[:], 0
    for start, length in spans:
        del result[start + shift : start + shift + length]
        result.insert(start + shift, mask_id)
        shift += 1 - length
    return result


EXERCISE = Exercise(
    name="infilling",
    topic="bart",
    title="Text infilling",
    function="infill",
    signature="ids, spans, mask_id",
    task=(
        "BART learns to restore texts from which spans are missing. Replace each span by **one** mask, however long "
        "the span is: so the model also has to find out how many tokens are missing. A span may have the length 0: "
        "then nothing is missing, and a mask is inserted. (In training the spans are drawn at random; here they are "
        "given.)\n\n"
        "- `ids`: a list of token ids, which belongs to the caller: do not change it\n"
        "- `spans`: a list of pairs (start, length), in the order of the text. `start` is a place in `ids`, counted "
        "from 0. Spans do not overlap; they may touch, and then each still gets its own mask. A span of length 0 puts "
        "its mask before the token at `start`, or at the end of the text if `start` is `len(ids)`\n"
        "- `mask_id`: the id of the mask\n"
        "- returns a list of ids"
    ),
    source="Lewis et al. 2020 (BART), section 2.2, \"Text Infilling\"",
    reference=reference,
    solution=solution,
    library=by_library,
    probes=probes,
    moved=other_texts,
    mistakes=(
        Mistake("one-mask-per-token", "masks", "one for a token", "you put one mask for each missing token",
                "that is BERT's masking; the number of masks would tell how many tokens are missing, which BART has to "
                "find out itself",
                "How many masks replace a span of three tokens?"),
        Mistake("one-mask-per-token-none-for-none", "masks", "one for a token, none for none",
                "you put one mask for each missing token, so a span of length 0 gets none",
                "each span gets exactly one, however long it is, even if it is empty",
                "How many masks replace a span of three tokens, and how many a span of none?"),
        Mistake("no-masks", "masks", "none", "you remove the spans and put no mask in their place",
                "that is token deletion, another of the paper's noises; put one mask where the span was"),
        Mistake("mask-before-the-span", "masks", "before what it hides",
                "you insert a mask before each span, and the span stays",
                "there is nothing to restore; leave out the tokens of the span"),
        Mistake("mask-after-the-span", "masks", "after what it hides",
                "you insert a mask after each span, and the span stays",
                "there is nothing to restore; leave out the tokens of the span"),
        Mistake("empty-spans-left-out", "empty", "left out", "a span of length 0 gets no mask",
                "it should insert one: the model also has to learn that sometimes nothing is missing",
                "What should happen to a span of length 0?"),
        Mistake("empty-spans-take-one", "empty", "takes one away", "a span of length 0 removes a token",
                "it only inserts a mask, and removes nothing"),
        Mistake("empty-spans-one-late", "empty", "after", "a span of length 0 puts its mask after the token at `start`",
                "it belongs before that token"),
        Mistake("no-mask-at-the-end", "empty", "not at the end", "a mask at the very end of the text is left out",
                "`start` may be `len(ids)`; a loop over the tokens alone does not get there"),
        Mistake("length-read-as-end", "read", "start, end", "you read each span as start and end",
                "the second number is the length; the span ends at start + length"),
        Mistake("length-read-as-end-of-slice", "read", "start, end in slices",
                "you read each span as start and end, and replace ids[start:end] by a mask",
                "the second number is the length; the span ends at start + length"),
        Mistake("length-read-as-last", "read", "start, last", "you read each span as its first and its last place",
                "the second number is the length; the span ends before start + length"),
        Mistake("one-token-too-many", "read", "one longer", "each span removes one token more than its length",
                "the token at start + length is the first that stays"),
        Mistake("starts-from-1", "read", "from 1", "each span starts one token too early",
                "places count from 0"),
        Mistake("only-one-token-removed", "removed", "the first only", "only the first token of a span is removed",
                "all its tokens go, from start to start + length - 1"),
        Mistake("places-move", "place", "of the result",
                "after the first span you look at the wrong places, because the list has become shorter or longer",
                "the places are those of the original text; go from the last span to the first, or build a new list",
                "Which places does a list have after you have changed something in it?"),
        Mistake("touching-merged", "touching", "merged", "spans that touch get one mask together",
                "each span has its own mask"),
        Mistake("touching-merged-unless-empty", "touching", "merged unless empty",
                "spans that touch get one mask together, if there are tokens in both", "each span has its own mask",
                "Does your code know only that a token is missing, or also in which span it was?"),
        Mistake("no-mask-after-a-mask", "touching", "none after a mask",
                "a span that comes directly after a mask gets none",
                "each span has its own mask, whatever is before it"),
        Mistake("masks-merged", "touching", "all merged",
                "masks next to each other become one, wherever they come from",
                "each span has its own mask, and masks of the text stay"),
        Mistake("rest-forgotten", "rest", "lost", "everything after the last span is lost",
                "add the rest of the text after the loop"),
        Mistake("masks-numbered", "named", "numbered", "each mask has an id of its own: mask_id, mask_id + 1 and so on",
                "T5 does that; BART has one mask"),
        Mistake("mask-always-103", "named", "always 103", "the mask is always 103, whatever `mask_id` says",
                "that is right for one vocabulary only"),
        Mistake("mask-always-50264", "named", "always 50264", "the mask is always 50264, whatever `mask_id` says",
                "that is right for one vocabulary only"),
        Mistake("mask-always-4", "named", "always 4", "the mask is always 4, whatever `mask_id` says",
                "that is right for one vocabulary only"),
        Mistake("infilled-in-place", "in_place", True, "you change the caller's own list",
                "the original is what the model has to restore; work on a copy, list(ids)",
                "Look at `ids` after the call."),
    ),
    hints=Hints(
        "Take a text of five words, and do it on paper: a span of two, a span of none, a span of one at the end.",
        "Build a new list. Between two spans its tokens are those of the text; for each span there is one mask, and "
        "then the text goes on after the span.",
        "result = ids[0:start₁], mask, ids[start₁ + length₁ : start₂], mask, ..., ids[end of the last span :]",
        "result, place = [], 0\nfor start, length in spans:\n    result += ids[place:...]\n    result.append(...)\n"
        "    place = ...\nreturn result + ids[...]",
    ),
    swap="infilling",
    equivalents=(from_behind, by_gaps, token_by_token, by_offset),
    level="core",
    minutes=10,
)  # fmt: skip
