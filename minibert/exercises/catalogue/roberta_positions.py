"""RoBERTa's positions, which count real tokens only."""

from __future__ import annotations

import torch
from torch import Tensor

from minibert.exercises.calls import Call
from minibert.exercises.declare import Exercise, Hints, Mistake, Probe
from minibert.exercises.moved import other_token_ids
from minibert.models.roberta import count_positions


def reference(
    input_ids: Tensor,
    padding_idx: int = 1,
    *,
    count: str = "real tokens",
    begin: str = "padding_idx + 1",
    padding: str = "one before the first",
    real: str = "not padding_idx",
    kind: str = "integers",
) -> Tensor:
    """RoBERTa's positions with knobs."""
    length = input_ids.shape[1]
    if count == "as in BERT":
        return torch.arange(length).expand_as(input_ids)
    padded = input_ids == padding_idx
    mask = {
        "not padding_idx": lambda: ~padded, "padding_idx": lambda: padded,
        "not 0": lambda: input_ids != 0, "not 1": lambda: input_ids != 1,
        "above padding_idx": lambda: input_ids > padding_idx,
        "as many at the front": lambda: torch.arange(length) < (~padded).sum(1, keepdim=True),
        "up to the first padding": lambda: padded.cumsum(1) == 0,
    }[real]()  # fmt: skip
    places = torch.arange(1, length + 1).expand_as(input_ids)
    counted = {
        "real tokens": lambda: mask.cumsum(1),
        "places": lambda: places,
        "all": lambda: places,
        "from the first real one": lambda: mask.long().cummax(1).values.cumsum(1),
        "texts": lambda: mask.cumsum(0),
        "through the batch": lambda: mask.flatten().cumsum(0).view_as(input_ids),
        "ids": lambda: input_ids.cumsum(1),
        "backwards": lambda: mask.flip(1).cumsum(1).flip(1),
        "number of real tokens": lambda: mask.sum(1, keepdim=True).expand_as(input_ids),
    }[count]()
    begin, _, kept = begin.partition(", ")
    before = {"padding_idx + 1": padding_idx, "padding_idx": padding_idx - 1, "padding_idx + 2": padding_idx + 1,
              "2": 1, "1": 0, "0": -1}[begin]  # fmt: skip
    mask = torch.ones_like(mask) if count == "all" or padding == "counted on" else mask
    positions = counted * mask + before
    padding = kept or padding
    if padding in ("0", "-1", "padding_idx"):
        positions = torch.where(mask, positions, padding_idx if padding == "padding_idx" else int(padding))
    if kind == "one row":
        return positions[0]
    return positions.float() if kind == "floats" else positions


def probes() -> list[Probe]:
    axes = {"B": 3, "S": 5}
    right = torch.tensor([[0, 7, 8, 9, 2], [0, 7, 2, 1, 1], [0, 2, 1, 1, 1]])
    left = torch.tensor([[1, 1, 0, 7, 2], [0, 8, 7, 6, 2], [1, 1, 1, 0, 2]])
    holes = torch.tensor([[0, 1, 9, 1, 2], [1, 0, 1, 9, 1], [1, 1, 0, 1, 2]])
    beyond = "RoBERTa fills texts at their end, and there it is right; the task asks for padding anywhere."
    return [
        Probe("with padding at the end", Call((right, 1)), axes),
        Probe("with padding in front", Call((left, 1)), axes, beyond=beyond),
        Probe("with padding between the tokens", Call((holes, 1)), axes, beyond=beyond),
        Probe("with the padding id 3", Call((torch.tensor([[0, 1, 5, 3], [7, 3, 3, 3]]), 3)), {"B": 2, "S": 4}),
        Probe("with the padding id 0", Call((torch.tensor([[7, 1, 5, 1], [7, 1, 0, 0]]), 0)), {"B": 2, "S": 4}),
        Probe("without padding", Call((torch.tensor([[0, 7, 9, 2]]), 1)), {"S": 4}),
        Probe("one token", Call((torch.tensor([[8], [8]]), 5)), {"B": 2}),
        Probe("a text of padding only", Call((torch.tensor([[6, 6, 6], [4, 9, 6]]), 6)), {"B": 2, "S": 3}),
    ]


def solution(input_ids: Tensor, padding_idx: int = 1) -> Tensor:
    real = (input_ids != padding_idx).long()  # (B, S), 1 for a real token
    return real.cumsum(dim=1) * real + padding_idx


def by_loop(input_ids: Tensor, padding_idx: int = 1) -> Tensor:
    positions = torch.full_like(input_ids, padding_idx)
    for row, ids in enumerate(input_ids.tolist()):
        seen = 0
        for place, token in enumerate(ids):
            if token != padding_idx:
                seen += 1
                positions[row, place] = padding_idx + seen
    return positions


def by_triangle(input_ids: Tensor, padding_idx: int = 1) -> Tensor:
    real = input_ids.ne(padding_idx).int()
    counted = real @ torch.ones(2 * input_ids.shape[1:], dtype=torch.int32).triu()
    return torch.where(real.bool(), counted + padding_idx, padding_idx)


def by_selection(input_ids: Tensor, padding_idx: int = 1) -> Tensor:
    rows = []
    for ids in input_ids:
        row = ids.clone()
        real = row != padding_idx
        row[real] = torch.arange(int(real.sum())) + padding_idx + 1
        rows.append(row)
    return torch.stack(rows)


# name, value of the knob `begin`, what it does, what padding gets where all is shifted, what should be
STARTS = (
    ("from-padding-idx", "padding_idx", "the first real token gets the position padding_idx", "gets one less",
     "that one belongs to padding; the first real token gets the one after it"),
    ("from-padding-idx-plus-2", "padding_idx + 2", "the first real token gets the position padding_idx + 2",
     "gets padding_idx + 1", "it should get padding_idx + 1; count from 1 only once"),
    ("always-from-2", "2", "the first real token always gets the position 2", "gets 1",
     "that is padding_idx + 1 only where padding_idx is 1"),
    ("from-0", "0", "you count from 0", "gets −1",
     "the first real token gets padding_idx + 1, and padding padding_idx"),
    ("from-1", "1", "you count from 1", "gets 0",
     "add padding_idx to all: the first real token gets padding_idx + 1, and padding padding_idx"),
)  # fmt: skip

EXERCISE = Exercise(
    name="roberta-positions",
    topic="roberta",
    title="RoBERTa's positions",
    function="roberta_positions",
    signature="input_ids, padding_idx=1",
    task=(
        "RoBERTa numbers the real tokens of a text, and not its places. Row `padding_idx` of the "
        "position table belongs to padding; the first real token gets the row after it.\n\n"
        "- `input_ids`: (B, S), integers; there may be padding at the end, in front or in between\n"
        "- `padding_idx`: the id of padding\n"
        "- returns integers, (B, S): padding_idx + 1, padding_idx + 2, ... for the real tokens of each text, and "
        "padding_idx for padding"
    ),
    source="Liu et al. 2019, released code (make_positions in fairseq); the paper does not say",
    reference=reference,
    solution=solution,
    library=count_positions,
    probes=probes,
    moved=other_token_ids,
    level="core",
    minutes=8,
    mistakes=(
        Mistake("places-numbered", "count", "places",
                "you number the places of the text, also those of padding before a token",
                "with padding in front the first token does not get padding_idx + 1; a cumulative sum over the real "
                "tokens counts them"),
        Mistake("all-numbered", "count", "all", "padding is numbered like real tokens",
                "it should have the position padding_idx, and tokens after it should not skip numbers"),
        Mistake("as-in-bert", "count", "as in BERT", "you number all places from 0, as BERT does",
                "the first real token gets padding_idx + 1, and padding has the position padding_idx"),
        Mistake("counted-from-the-first", "count", "from the first real one",
                "from the first real token on, you count padding too",
                "with padding between the tokens, numbers are skipped"),
        Mistake("texts-counted", "count", "texts", "you count along the batch",
                "positions run through the tokens of a text: dim=1"),
        Mistake("through-the-batch", "count", "through the batch", "you count through the whole batch",
                "each text begins again at padding_idx + 1"),
        Mistake("ids-summed", "count", "ids", "you sum up the ids",
                "compare them with padding_idx first; then there are ones to count"),
        Mistake("backwards", "count", "backwards", "you count from the end", "the first real token has the lowest "
                "position"),
        Mistake("number-of-tokens", "count", "number of real tokens", "each token gets the number of real tokens",
                "a sum is one number for each text; a cumulative sum counts on from token to token"),
        *(
            Mistake(f"{name}{', padding kept' if kept else ''}".replace(", ", "-").replace(" ", "-"), "begin",
                    begin + kept, f"{says}{', and padding ' + gets if not kept else ''}", effect)
            for name, begin, says, gets, effect in STARTS for kept in ("", ", padding_idx")
        ),
        Mistake("padding-counted-on", "padding", "counted on", "padding gets the position of the token before it",
                "a cumulative sum goes on over padding; multiply it by the mask before padding_idx is added"),
        Mistake("padding-at-0", "padding", "0", "padding gets the position 0",
                "it has a row of its own, padding_idx; multiply by the mask first, and then add padding_idx"),
        Mistake("padding-at-minus-1", "padding", "-1", "padding gets the position −1",
                "the table has no such row; padding has the position padding_idx"),
        Mistake("mask-inverted", "real", "padding_idx", "you count padding and not the real tokens",
                "a token is real where its id is not padding_idx (!=)"),
        Mistake("0-is-padding", "real", "not 0", "you take the id 0 for padding, whatever `padding_idx` says",
                "in RoBERTa 0 is <s>; compare with padding_idx"),
        Mistake("1-is-padding", "real", "not 1", "you take the id 1 for padding, whatever `padding_idx` says",
                "that is only the default; compare with padding_idx"),
        Mistake("ids-above-padding", "real", "above padding_idx", "you take all ids up to padding_idx for padding",
                "<s> has the id 0 and is a real token; use !="),
        Mistake("as-many-at-the-front", "real", "as many at the front",
                "you count how many tokens are real, and take those at the front of the text",
                "padding may also be in front or in between; use where it is"),
        Mistake("up-to-the-first-padding", "real", "up to the first padding",
                "what follows the first padding is padding too", "padding may also be in front or in between"),
        Mistake("floats", "kind", "floats", "your positions are floats",
                "they are used as indices; a mask of integers, (...).long(), gives integers"),
        Mistake("one-row", "kind", "one row", "you return one row for all texts", "each text has its own padding"),
    ),
    hints=Hints(
        "Write the positions of [0, 7, 2, 1, 1] with padding_idx = 1 on paper. And those of [1, 1, 0, 7, 2]?",
        "A mask of 1 and 0 says which tokens are real. Its cumulative sum along the text counts them; what does it say "
        "at padding?",
        "position = cumsum(real) · real + padding_idx",
        "real = (input_ids != ...).long()\nreturn real.cumsum(dim=...) * ... + ...",
    ),
    swap="roberta_positions",
    equivalents=(by_loop, by_triangle, by_selection),
)  # fmt: skip
