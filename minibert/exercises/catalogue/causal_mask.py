"""Hiding the future: the causal mask."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from minibert.attention import causal_mask
from minibert.classroom.worker import Call
from minibert.exercises.engine import Exercise, Hints, Mistake, Probe


def reference(length: int, *, shape: str = "lower", kind: str = "booleans") -> Tensor:
    """The causal mask with knobs."""
    every = torch.ones(length, length, dtype=torch.bool)
    mask = {
        "lower": every.tril(),
        "strict": every.tril(-1),
        "upper": every.triu(),
        "strict upper": every.triu(1),
        "one ahead": every.tril(1),
        "all": every,
        "diagonal": torch.eye(length).bool(),
        "band": every.tril() & every.triu(-1),
    }[shape]
    if kind == "numbers":
        return mask.long()
    if kind == "added":
        return torch.zeros(length, length).masked_fill(~mask, -math.inf)
    return mask if kind == "booleans" else mask[0] if kind == "first row" else mask[None, None]


def solution(length: int) -> Tensor:
    return torch.ones(length, length, dtype=torch.bool).tril()


EXERCISE = Exercise(
    name="causal-mask",
    topic="attention",
    title="Hiding the future",
    function="causal_mask",
    signature="length",
    task=(
        "Make the mask that lets every token look at itself and at what stands before it, and at nothing after it. "
        "(Decoders need it. A BERT does not, which is the point of BERT.)\n\n"
        "- `length`: S, a whole number of at least 1\n"
        "- returns booleans, (S, S): row s, column t is True where query s may look at key t"
    ),
    source="Vaswani et al. 2017, section 3.2.3",
    reference=reference,
    solution=solution,
    library=lambda length: causal_mask(length)[0, 0],
    probes=lambda: [Probe(f"of length {n}", Call((n,)), {"S": n}) for n in (5, 2, 1)],
    mistakes=(
        Mistake("causal-not-itself", "shape", "strict", "a token may not look at itself",
                "the first token has nothing left to look at; the diagonal is True as well"),
        Mistake("causal-transposed", "shape", "upper", "your mask shows the future and hides the past",
                "rows are queries and columns keys; tril keeps what is below the diagonal"),
        Mistake("causal-hidden-is-true", "shape", "strict upper", "your mask is True where one may not look",
                "that is the other way round; here, and in this library, True means that the query may look"),
        Mistake("causal-one-ahead", "shape", "one ahead", "every token may look one step into the future",
                "that step is the word that is to be guessed: the loss would fall to nothing, and so would the use"),
        Mistake("causal-all", "shape", "all", "nothing is hidden", "every token sees the future"),
        Mistake("causal-only-itself", "shape", "diagonal", "every token sees itself alone",
                "it is to see all that stands before it, too"),
        Mistake("causal-band", "shape", "band", "every token sees itself and the one before it alone",
                "it is to see all that stands before it, however far"),
        Mistake("causal-numbers", "kind", "numbers", "your mask holds 1 and 0",
                "numbers could also be meant to be added; use booleans (dtype=torch.bool)"),
        Mistake("causal-additive", "kind", "added", "your mask holds 0 and -inf, to be added to the scores",
                "that is another convention; here it is booleans, True where one may look"),
        Mistake("causal-four-axes", "kind", "four axes", "your mask has axes of size 1 for texts and heads",
                "that is how it is used later; asked for is (S, S)"),
        Mistake("causal-one-row", "kind", "first row", "your mask has one row only",
                "each query needs a row of its own"),
    ),
    hints=Hints(
        "Write the mask for three words on paper: three rows, one a query.",
        "Row s is True up to and with column s. torch knows triangles.",
        "mask[s, t] = (t ≤ s)",
        "torch.ones(length, length, dtype=...).tri...()",
    ),
    equivalents=(
        lambda length: torch.arange(length)[None, :] <= torch.arange(length)[:, None],
        lambda length: ~torch.triu(torch.ones(length, length), diagonal=1).bool(),
        lambda length: torch.tensor([[t <= s for t in range(length)] for s in range(length)]),
    ),
)  # fmt: skip
