"""Permutation masks: who may see whom in a factorisation order."""

from __future__ import annotations

import random
from dataclasses import replace

import torch
from torch import Tensor

from minibert.exercises.calls import Call
from minibert.exercises.declare import Exercise, Hints, Mistake, Probe
from minibert.exercises.moved import with_args
from minibert.models.relative import and_itself
from minibert.training.permutation import order_mask


def reference(
    turns: Tensor,
    *,
    may: str = "lower turns",
    reads: str = "turns",
    itself: str = "content only",
    polarity: str = "1 is hidden",
    text: str = "each",
    results: str = "query, content",
    kind: str = "numbers",
) -> tuple[Tensor, ...] | Tensor:
    """Both masks, with knobs. may: which tokens are seen. reads: what the numbers of `turns` are taken for."""
    if reads == "places":
        turns = turns.argsort(dim=-1)
    if text == "the first for all":
        turns = turns[:1].expand_as(turns)
    row, column = turns[..., :, None], turns[..., None, :]
    place = torch.arange(turns.shape[-1])
    seen = {
        "lower turns": column < row,
        "higher turns": column > row,
        "the turn before": column == row - 1,
        "places before": (place[None, :] < place[:, None]).expand(*turns.shape, -1),
        "all others": column != row,
        "nothing": torch.zeros_like(column < row),
    }[may]
    own = torch.eye(turns.shape[-1], dtype=torch.bool).expand_as(seen)
    query, content = {
        "content only": (seen, seen | own),
        "both": (seen | own, seen | own),
        "neither": (seen, seen),
        "query only": (seen | own, seen),
    }[itself]
    if polarity == "1 is hidden":
        query, content = ~query, ~content
    found = tuple(one.long() for one in (query, content))
    if kind == "added":
        found = tuple(torch.zeros(one.shape).masked_fill(one.bool(), -torch.inf) for one in found)
    elif kind == "four axes":
        found = tuple(one[:, None] for one in found)
    if results == "query alone":
        return found[0]
    if results == "content alone":
        return found[1]
    return found


def call(*rows: list[int]) -> Call:
    return Call((torch.tensor(rows),), reduce="whole numbers")


def probes() -> list[Probe]:
    return [
        Probe("the turns 3, 1, 2, 0", call([3, 1, 2, 0]), {"S": 4}),
        Probe("three texts", call([2, 4, 0, 1, 3], [0, 3, 1, 4, 2], [4, 2, 3, 0, 1]), {"B": 3, "S": 5}),
        Probe("left to right", call([0, 1, 2, 3, 4, 5]), {"S": 6}),
        Probe("turns with gaps", call([7, 20, 3], [50, 4, 11]), {"B": 2, "S": 3}),
        Probe("one token", call([0]), {}),
    ]


def other_turns(probe: Probe, chance: random.Random) -> Probe:
    """Another order of the same turns; "left to right" and a single token stay."""
    (turns,) = probe.call.args
    if turns.shape[1] == 1 or probe.name == "left to right":
        return probe
    rows = [chance.sample(row, len(row)) for row in turns.tolist()]
    name = f"the turns {', '.join(map(str, rows[0]))}" if len(rows) == 1 else probe.name
    return replace(with_args(probe, torch.tensor(rows)), name=name)


def solution(turns: Tensor) -> tuple[Tensor, Tensor]:
    mine, other = turns[:, :, None], turns[:, None, :]
    query_hidden = other >= mine  # itself too, as its turn equals its own
    content_hidden = other > mine
    return query_hidden.long(), content_hidden.long()


def by_library(turns: Tensor) -> tuple[Tensor, Tensor]:
    """The library's models let a token's content see itself, whatever perm_mask says."""
    hidden = order_mask(turns)
    places = torch.arange(turns.shape[1])
    return hidden, ~and_itself(hidden == 0, places[:, None] - places)


def by_loop(turns: Tensor) -> list[Tensor]:
    texts, length = turns.shape
    query, content = torch.ones(texts, length, length), torch.ones(texts, length, length)
    for b in range(texts):
        for i in range(length):
            content[b, i, i] = 0
            for j in range(length):
                if turns[b, j] < turns[b, i]:
                    query[b, i, j] = content[b, i, j] = 0
    return [query, content]


def by_steps(turns: Tensor) -> tuple[Tensor, Tensor]:
    """Goes through the turns, and notes which places have been seen so far."""
    query = torch.ones(*turns.shape, turns.shape[1], dtype=torch.bool)
    content = query.clone()
    for b, row in enumerate(turns.tolist()):
        past: list[int] = []
        for _, place in sorted((turn, place) for place, turn in enumerate(row)):
            query[b, place, past] = False
            past.append(place)
            content[b, place, past] = False
    return query, content


def by_triangle(turns: Tensor) -> tuple[Tensor, Tensor]:
    rank = turns.argsort(1).argsort(1)
    after = torch.ones(turns.shape[1], turns.shape[1], dtype=torch.int8)

    def laid_out(mask: Tensor) -> Tensor:
        return torch.stack([mask[one][:, one] for one in rank])

    return laid_out(after.triu()), laid_out(after.triu(1))


EXERCISE = Exercise(
    name="permutation-mask",
    topic="xlnet",
    title="Who may see whom in a factorisation order",
    function="permutation_mask",
    signature="turns",
    task=(
        "XLNet predicts the words of a text in a random order. The text stays as it is; masks say who may see whom. A "
        "token may see those whose turn comes before its own. Make the masks of both streams.\n\n"
        "- `turns`: (B, S) integers, the turn of each token: `turns[b, i]` is when token i of text b comes, and the "
        "token with the lowest number comes first. All turns of a text are different\n"
        "- returns two masks, `query_hidden` and `content_hidden`, each (B, S, S): row i, column j is **1 where token "
        "i may not see token j**, and 0 where it may (the other way round from the masks for attention; XLNet calls "
        "the first of them `perm_mask`). Integers, booleans and floating-point numbers are all accepted\n"
        "- in the query stream, which predicts token i, it may not see itself; in the content stream it may. "
        "So the first token of an order sees nothing in the query stream"
    ),
    source="Yang et al. 2019 (XLNet), section 2.3, the two equations of the streams, and figure 1",
    reference=reference,
    solution=solution,
    library=by_library,
    probes=probes,
    moved=other_turns,
    mistakes=(
        Mistake("order-read-as-places", "reads", "places",
                "you read `turns` as a list of places: first comes token turns[0], then token turns[1]",
                "turns[i] is the turn of token i; the two are inverse permutations, and argsort turns one into the "
                "other",
                "If the turns are 3, 1, 2, 0, which token comes first?"),
        Mistake("order-reversed", "may", "higher turns", "a token sees those that come after it in the order",
                "row i says what token i may see, which is token j if turns[j] is lower than turns[i]"),
        Mistake("order-ignored", "may", "places before", "a token sees the tokens to its left in the text",
                "that is an ordinary language model; the order says who comes before whom"),
        Mistake("order-only-the-turn-before", "may", "the turn before", "a token sees only the one directly before it "
                "in the order", "it should see all that came before it"),
        Mistake("order-all-others", "may", "all others", "every token sees all others",
                "then nothing is predicted in an order, and each word can be found out from the others' vectors"),
        Mistake("order-nothing", "may", "nothing", "no token sees another one", "compare their turns"),
        Mistake("query-sees-itself", "itself", "both", "a token also sees itself in the query stream",
                "it would be asked for a word that it has just read; only its content may see itself",
                "In which of the two streams is < right, and in which ≤?"),
        Mistake("content-blind-to-itself", "itself", "neither", "a token does not see itself in the content stream",
                "its content vector would no longer know which word it stands for",
                "In which of the two streams is < right, and in which ≤?"),
        Mistake("masks-exchanged", "itself", "query only",
                "the two masks are exchanged: a token sees itself in the query stream, and not in the content stream",
                "the query must not know the word that it predicts; the content must. The query stream's comes first"),
        Mistake("1-is-visible", "polarity", "1 is visible", "your masks are 1 where a token may be seen",
                "XLNet's perm_mask is the other way round: 1 hides"),
        Mistake("masks-to-be-added", "kind", "added", "your masks hold 0 and -inf, to be added to the scores",
                "perm_mask holds 1 and 0; the model turns it into what it needs"),
        Mistake("masks-with-heads", "kind", "four axes", "your masks have an axis of size 1 for the heads",
                "the model adds it later; the task asks for (B, S, S)"),
        Mistake("only-the-query-mask", "results", "query alone", "you return the query stream's mask alone",
                "two masks are asked for"),
        Mistake("only-the-content-mask", "results", "content alone", "you return the content stream's mask alone",
                "two masks are asked for"),
        Mistake("one-order-for-all", "text", "the first for all", "the first text's order is used for all texts",
                "each text has its own"),
    ),
    hints=Hints(
        "Write down both masks for three words whose turns are 2, 0, 1. Which row has most ones?",
        "Compare the turn of every token with the turn of every other: two new axes, one for who looks and one for who "
        "is looked at. The two masks differ on the diagonal only, where a token's turn meets itself.",
        "query_hidden[i, j] = (turns[j] ≥ turns[i]); content_hidden[i, j] = (turns[j] > turns[i])",
        "mine, other = turns[:, :, None], turns[:, None, :]\nquery_hidden = other ... mine\ncontent_hidden = ...",
    ),
    swap="permutation_mask",
    equivalents=(by_loop, by_steps, by_triangle),
    level="core",
    minutes=10,
)  # fmt: skip
