"""The relative shift: from scores by distance to scores by key."""

from __future__ import annotations

import torch
from torch import Tensor

from minibert.exercises.calls import Call
from minibert.exercises.declare import Exercise, Hints, Mistake, Probe
from minibert.exercises.probes import in_float32, randn
from minibert.models.relative import shift


def reference(
    scores: Tensor,
    *,
    distance: str = "signed",
    order: str = "falling",
    read: str = "own column",
    after: str = "nothing",
) -> Tensor:
    """The shift with knobs. It is made from indices, so that each knob is one step of the thought.

    distance: how far away a key is. order: where the column of a distance is. read: other ways to move the numbers.
    """
    queries, columns = scores.shape[-2:]
    keys = columns - queries
    i, j = torch.arange(queries)[:, None], torch.arange(keys)[None, :]
    flat = scores.flatten(-2)
    if read == "unshifted":
        moved = scores[..., :keys]
    elif read == "last columns":
        moved = scores[..., queries:]
    elif read == "without the first column":
        moved = scores[..., 1 : keys + 1]
    elif read == "left":
        moved = scores.gather(-1, (i + j).expand(*scores.shape[:-1], keys))
    elif read == "transposed":
        moved = scores.mT[..., 1:, :].reshape(*scores.shape[:-2], queries, columns - 1)[..., :keys]
    elif read == "end dropped":
        moved = flat[..., : flat.shape[-1] - queries].unflatten(-1, (queries, columns - 1))[..., :keys]
    elif read == "one number dropped":
        end = 1 + queries * (columns - 1)
        moved = flat[..., 1:end].unflatten(-1, (queries, columns - 1))[..., :keys]
    elif read == "axes of another layout":
        b, h = scores.shape[:2]
        moved = scores.reshape(h, b, queries, columns)[1:].reshape(b, h - 1, queries, columns)[:, :keys]
    elif read in ("not cut", "last cut", "cut to S"):
        moved = flat[..., queries:].unflatten(-1, (queries, columns - 1))
        moved = {"not cut": moved, "last cut": moved[..., -keys:], "cut to S": moved[..., :queries]}[read]
    else:
        gap = (keys - queries) + i - j
        gap = {
            "signed": gap,
            "one further": gap + 1,
            "unsigned": gap.abs(),
            "never negative": gap.clamp(min=0),
            "without the memory": i - j,
            "without the memory, cut off": (i - j).clamp(1 - queries, keys),
        }[distance]
        column = keys - gap if order == "falling" else gap + queries - 1
        moved = scores.gather(-1, column.expand(*scores.shape[:-1], keys))
    if after == "future zeroed":
        moved = moved.tril(keys - queries)
    return moved


def probes() -> list[Probe]:
    axes = {"B": 2, "H": 4, "S": 3, "T": 5, "T + S": 8}
    distances = torch.arange(5, -3, -1).double().expand(2, 4, 3, 8).clone()
    scores = randn(2, 4, 3, 8, seed=1)
    return [
        Probe("each score is its distance, with a memory of 2", Call((distances,)), axes),
        Probe("with a memory of 2", Call((scores,), grads=(0,)), axes),
        Probe("without a memory", Call((randn(2, 3, 5, 10, seed=2),)), {"B": 2, "H": 3, "S": 5, "T + S": 10}),
        Probe("with a memory longer than the text", Call((randn(3, 2, 4, 13, seed=3),)),
              {"B": 3, "H": 2, "S": 4, "T": 9, "T + S": 13}),
        Probe("one query and a memory", Call((randn(2, 3, 1, 7, seed=4),)), {"B": 2, "H": 3, "T": 6, "T + S": 7}),
        Probe("one text of one token", Call((randn(1, 3, 1, 2, seed=5),)), {"H": 3, "T + S": 2}),
        Probe("in float32", Call(in_float32((scores,))), axes),
    ]  # fmt: skip


def solution(scores: Tensor) -> Tensor:
    B, H, S, W = scores.shape
    # The same numbers in rows that are one shorter: each row begins one column further to the left than the row above.
    shorter = scores.reshape(B, H, S * W)[:, :, S:].reshape(B, H, S, W - 1)
    return shorter[:, :, :, : W - S]


def by_gather(scores: Tensor) -> Tensor:
    S, W = scores.shape[-2:]
    columns = torch.arange(W - S) + S - torch.arange(S)[:, None]
    return torch.gather(scores, 3, columns.expand(*scores.shape[:2], -1, -1))


def by_rows(scores: Tensor) -> Tensor:
    S, W = scores.shape[-2:]
    return torch.stack([scores[:, :, i, S - i : W - i] for i in range(S)], dim=2)


def by_turned_axes(scores: Tensor) -> Tensor:
    """As in XLNet's released code: rows and columns exchange their numbers, and the first row is dropped."""
    B, H, S, W = scores.shape
    return scores.contiguous().view(B, H, W, S)[:, :, 1:].reshape(B, H, S, W - 1)[..., : W - S]


def by_distance(scores: Tensor) -> Tensor:
    B, H, S, W = scores.shape
    T = W - S
    result = scores.new_zeros(B, H, S, T)
    for query in range(S):
        for key in range(T):
            distance = (T - S) + query - key
            result[:, :, query, key] = scores[:, :, query, T - distance]
    return result


EXERCISE = Exercise(
    name="relative-shift",
    topic="xlnet",
    title="The relative shift",
    function="relative_shift",
    signature="scores",
    task=(
        "XLNet scores distances, not positions. One product gives each query's score with every possible distance. "
        "Rearrange these scores, so that each stands in the column of the key that is so far away.\n\n"
        "- `scores`: (B, H, S, T + S). There are S queries and T keys. The queries are the last S of the T keys; the "
        "T - S keys before them are a memory of earlier text (none if T = S). Column c of a row is the query's score "
        "with the distance T - c: the distances fall from T in the first column to 1 - S in the last\n"
        "- query i and key j are (T - S) + i - j apart: positive if the key is before the query, 0 if it is the query "
        "itself, negative if it comes after it\n"
        "- returns (B, H, S, T): in row i, column j, the score of query i with the distance of key j"
    ),
    source="Dai et al. 2019 (Transformer-XL), appendix B; Yang et al. 2019 (XLNet), released modeling.py",
    reference=reference,
    solution=solution,
    library=shift,
    probes=probes,
    mistakes=(
        Mistake("shift-missing", "read", "unshifted", "nothing is shifted: you keep the first T columns of every row",
                "each query then uses the distances T, T - 1, ..., 1, wherever it stands itself",
                "Which distance has query 0 to itself, and which has query 1 to itself?"),
        Mistake("shift-last-columns", "read", "last columns",
                "nothing is shifted: you keep the last T columns of every row",
                "that is right for query 0 only; each later query is one further from every key",
                "Which distance has query 0 to itself, and which has query 1 to itself?"),
        Mistake("shift-first-column-dropped", "read", "without the first column",
                "only the first column is dropped, and no row is shifted against the others",
                "to shift, drop the first S numbers of all rows together, and then cut the rest into shorter rows"),
        Mistake("shift-to-the-other-side", "read", "left",
                "your rows move the wrong way: row i starts at column i",
                "a later query is further from the same key, so it needs a column further to the left; row i starts "
                "at column S - i"),
        Mistake("shift-one-too-far", "distance", "one further", "every score belongs to a distance that is too large "
                "by 1",
                "this is the shift of Transformer-XL (a column of zeros in front), whose distances begin at T - 1; "
                "here they begin at T"),
        Mistake("shift-columns-backwards", "order", "rising", "you read the distances in the opposite order",
                "column 0 is the largest distance, T, and the last column is 1 - S"),
        Mistake("shift-unsigned", "distance", "unsigned", "a key after the query is treated like one before it",
                "a distance has a sign: the next word is at -1 and not at 1"),
        Mistake("shift-never-negative", "distance", "never negative", "all keys after the query get distance 0",
                "XLNet looks in both directions, so the distances go on to 1 - S"),
        Mistake("shift-without-memory", "distance", "without the memory",
                "the distance is taken as i - j, as if there were no memory",
                "query i is key (T - S) + i, because T - S keys of the memory come first"),
        Mistake("shift-without-memory-cut-off", "distance", "without the memory, cut off",
                "the distance is taken as i - j, as if there were no memory, and cut off where there is no column",
                "query i is key (T - S) + i, because T - S keys of the memory come first"),
        Mistake("shift-future-zeroed", "after", "future zeroed", "the scores of keys after the query are set to 0",
                "Transformer-XL reads from left to right and hides them anyway; XLNet needs them, and what is hidden "
                "is decided by a mask"),
        Mistake("shift-transposed", "read", "transposed",
                "the scores are transposed to (T + S, S), and should only be read in that shape",
                "a transpose puts other numbers next to each other; reshape keeps their order in memory",
                "What is the difference between `x.transpose(-1, -2)` and `x.reshape(..., W, S)`?"),
        Mistake("shift-end-dropped", "read", "end dropped",
                "you drop the last S numbers, and should drop the first S",
                "row 0 then starts at column 0, the distance T, although key 0 is at most T - S from query 0"),
        Mistake("shift-one-number-dropped", "read", "one number dropped",
                "you drop one number before cutting into shorter rows, and should drop S",
                "row 0 should start at column S"),
        Mistake("shift-last-cut", "read", "last cut",
                "after the shift you keep the last T columns, and should keep the first T",
                "the columns behind them hold numbers of the next query"),
        Mistake("shift-not-cut", "read", "not cut", "after the shift you keep all T + S - 1 columns",
                "there are only T keys; the columns behind them hold numbers of the next query"),
        Mistake("shift-cut-to-S", "read", "cut to S", "after the shift you keep S columns, and should keep T",
                "there are as many keys as the text and the memory have together"),
        Mistake("shift-of-the-first-axes", "read", "axes of another layout",
                "you shift the first two axes, which are texts and heads here",
                "the released code has the axes (S, T + S, B, H); here queries and distances are the last two"),
    ),
    hints=Hints(
        "Write down the distances of two queries to three keys, and below them the columns in which they stand.",
        "Query i finds its score with key 0 in column S - i, and those with the other keys directly after it. So each "
        "row starts one column further to the left than the row above it. Cutting all numbers of a text and a head "
        "into rows that are one shorter does that without a loop.",
        "result[i, j] = scores[i, j + S - i]",
        "rows = scores.reshape(B, H, S * W)[:, :, ...:].reshape(B, H, S, W - 1)\nreturn rows[:, :, :, :...]",
    ),
    swap="relative_shift",
    equivalents=(by_gather, by_rows, by_turned_axes, by_distance),
    level="challenge",
    minutes=15,
)  # fmt: skip
