"""Hiding the future: the causal mask."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from minibert.attention import causal_mask
from minibert.exercises.calls import Call
from minibert.exercises.declare import Exercise, Hints, Mistake, Probe
from minibert.exercises.moved import other_length


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
    level="warm-up",
    minutes=5,
    function="causal_mask",
    signature="length",
    task=(
        "Make the mask that lets every token attend to itself and to the tokens before it, and to nothing after it. "
        "(A model that writes needs this mask, in lesson 14. BERT does not: it reads to both sides.)\n\n"
        "- `length`: S, an integer of at least 1\n"
        "- returns booleans, (S, S): row s, column t is True where query s may attend to key t"
    ),
    source="Vaswani et al. 2017, section 3.2.3",
    reference=reference,
    solution=solution,
    library=lambda length: causal_mask(length)[0, 0],
    probes=lambda: [Probe(f"of length {n}", Call((n,)), {"S": n}) for n in (5, 2, 1)],
    moved=other_length,
    mistakes=(
        Mistake("causal-not-itself", "shape", "strict", "a token may not attend to itself",
                "the first token then has nothing to attend to; the diagonal should be True as well"),
        Mistake("causal-transposed", "shape", "upper", "your mask shows the future and hides the past",
                "rows are queries and columns are keys; tril keeps the diagonal and what is below it"),
        Mistake("causal-hidden-is-true", "shape", "strict upper", "your mask is True where a query may not attend",
                "it should be the other way round; everywhere in this library, True means that the query may attend"),
        Mistake("causal-one-ahead", "shape", "one ahead", "every token may look one step into the future",
                "that is the word to be predicted, so the loss would fall to almost nothing, and the model would be "
                "useless"),
        Mistake("causal-all", "shape", "all", "nothing is hidden", "every token sees the future"),
        Mistake("causal-only-itself", "shape", "diagonal", "every token sees only itself",
                "it should see all tokens before it, too"),
        Mistake("causal-band", "shape", "band", "every token sees only itself and the one before it",
                "it should see all tokens before it, however far back"),
        Mistake("causal-numbers", "kind", "numbers", "your mask holds 1 and 0",
                "numbers might also be meant for adding to the scores; use booleans (dtype=torch.bool)"),
        Mistake("causal-additive", "kind", "added", "your mask holds 0 and -inf, to be added to the scores",
                "that is another convention; here the mask holds booleans, True where a query may attend"),
        Mistake("causal-four-axes", "kind", "four axes", "your mask has axes of size 1 for batch and heads",
                "that is how it is used later; the task asks for (S, S)"),
        Mistake("causal-one-row", "kind", "first row", "your mask has only one row",
                "each query needs its own row"),
    ),
    hints=Hints(
        "Write the mask for three words on paper: three rows, one for each query.",
        "Row s is True up to and including column s. torch has functions for triangles.",
        "mask[s, t] = (t ≤ s)",
        "torch.ones(length, length, dtype=...).tri...()",
    ),
    equivalents=(
        lambda length: torch.arange(length)[None, :] <= torch.arange(length)[:, None],
        lambda length: ~torch.triu(torch.ones(length, length), diagonal=1).bool(),
        lambda length: torch.tensor([[t <= s for t in range(length)] for s in range(length)]),
    ),
)  # fmt: skip
