"""Answering a question with a span: the best pair of a start and an end."""

from __future__ import annotations

from itertools import combinations_with_replacement

import torch
from torch import Tensor

from minibert.exercises.calls import Call
from minibert.exercises.declare import Exercise, Hints, Mistake, Probe
from minibert.exercises.probes import randn
from minibert.training import spans

Answer = tuple[int, int]


def reference(
    starts: Tensor,
    ends: Tensor,
    mask: Tensor,
    *,
    search: str = "pairs",
    value: str = "sum",
    order: str = "end >= start",
    longest: int | None = None,
    where: str = "both",
    result: str = "start, end",
) -> Answer | int | float:
    """The best span with knobs."""
    size = len(starts)
    real = {"none": torch.ones_like(mask), "inverted": 1 - mask}.get(where, mask).bool()
    first = starts * mask if where == "zeroed" else starts
    last = ends * mask if where == "zeroed" else ends
    may_start = torch.ones_like(real) if where in ("end only", "zeroed") else real
    may_end = torch.ones_like(real) if where in ("start only", "zeroed") else real
    a = (0 * first if value == "end only" else first)[:, None]
    b = (0 * last if value == "start only" else last)[None]
    both = {"product": a * b, "difference": a - b, "larger": torch.maximum(a, b)}.get(value, a + b)
    length = torch.arange(size)[None] - torch.arange(size)[:, None] + 1  # (S, S)
    if value == "per token":
        both = both / length.clamp(min=1)
    if value == "longest":
        both = both + 1e6 * length
    allowed = {
        "end >= start": length >= 1,
        "end > start": length >= 2,
        "end <= start": length <= 1,
        "any": length < size + 1,
        "one token": length == 1,
    }[order]
    if longest is not None:
        allowed = allowed & (length <= longest)
    allowed = allowed & may_start[:, None] & may_end[None]
    if search in ("start first", "end first", "best alone, sorted"):
        begin = first.masked_fill(~may_start, -torch.inf).argmax()
        finish = last.masked_fill(~may_end, -torch.inf).argmax()
        if search == "best alone, sorted":
            start, end = sorted((int(begin), int(finish)))
        elif search == "start first":
            start, end = int(begin), int(both[begin].masked_fill(~allowed[begin], -torch.inf).argmax())
        else:
            start, end = int(both[:, finish].masked_fill(~allowed[:, finish], -torch.inf).argmax()), int(finish)
    else:
        sign = -1 if search == "lowest" else 1
        start, end = divmod(int((sign * both).masked_fill(~allowed, -torch.inf).argmax()), size)
    if search == "places among the real":
        before = int(mask.cumsum(0)[start]) - 1
        start, end = before, int(mask.cumsum(0)[end]) - 1
    return {
        "start, end": (start, end),
        "end, start": (end, start),
        "end excluded": (start, end + 1),
        "start, length": (start, end - start + 1),
        "from 1": (start + 1, end + 1),
        "flat": start * size + end,
        "score": float(both[start, end]),
    }[result]


def solution(starts: Tensor, ends: Tensor, mask: Tensor) -> Answer:
    totals = starts[:, None] + ends[None, :]  # (S, S): row = start, column = end
    allowed = torch.ones_like(totals).triu().bool()  # the end is not before the start
    allowed = allowed & mask[:, None].bool() & mask[None, :].bool()
    best = int(totals.masked_fill(~allowed, -torch.inf).argmax())
    return best // len(starts), best % len(starts)


def by_library(starts: Tensor, ends: Tensor, mask: Tensor) -> Answer:
    scores = torch.stack([starts, ends], dim=-1).masked_fill(~mask.bool()[:, None], -torch.inf)
    return spans.best_span(scores, longest=len(starts))


def by_loops(starts: Tensor, ends: Tensor, mask: Tensor) -> Answer:
    real = mask.nonzero().flatten().tolist()
    pairs = combinations_with_replacement(real, 2)
    return max(pairs, key=lambda pair: float(starts[pair[0]] + ends[pair[1]]))


def by_the_best_start_so_far(starts: Tensor, ends: Tensor, mask: Tensor) -> list[int]:
    best, found, begin = -torch.inf, [0, 0], None
    for at, (start, end, real) in enumerate(zip(starts.tolist(), ends.tolist(), mask.tolist(), strict=True)):
        if not real:
            continue
        if begin is None or start > starts[begin]:
            begin = at
        if starts[begin] + end > best:
            best, found = starts[begin] + end, [begin, at]
    return found


def by_probabilities(starts: Tensor, ends: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    hidden = mask == 0
    p, q = (scores.masked_fill(hidden, -torch.inf).softmax(-1) for scores in (starts, ends))
    both = torch.outer(p, q).triu()
    return both.amax(1).argmax(), both.amax(0).argmax()


def probes() -> list[Probe]:
    def scores(seed: int, size: int = 8) -> tuple[Tensor, Tensor]:
        return randn(size, seed=seed, scale=2.0), randn(size, seed=seed + 100, scale=2.0)

    every = torch.ones(8, dtype=torch.long)
    passage = torch.tensor([0, 0, 0, 1, 1, 1, 1, 0])
    late = torch.tensor([0.5, -1.0, 2.0, 0.25, -0.5, 3.0, -2.0, 0.75]).double()
    early = torch.tensor([0.25, 2.75, -1.5, 2.5, -0.75, 0.5, 1.0, -2.5]).double()
    far_start, far_end = torch.full((40,), -3.0).double(), torch.full((40,), -3.0).double()
    far_start[2], far_end[36], far_start[33], far_end[34] = 4.0, 3.5, 1.0, 1.5
    alone = torch.tensor([0.5, -1.0, 5.0, 0.25, -0.5, 1.0, -2.0, 0.75]).double()
    own = torch.tensor([0.25, 1.75, 4.5, 1.5, -0.75, 0.5, 1.0, -2.5]).double()
    return [
        Probe("where the best start is after the best end", Call((late, early, every)), {"S": 8}),
        Probe("where the answer is one token", Call((alone, own, every)), {"S": 8}),
        Probe("where the answer is long", Call((far_start, far_end, torch.ones(40, dtype=torch.long))), {"S": 40}),
        Probe("where all scores are below 0", Call((late - 6, early - 6, every)), {"S": 8}),
        Probe("with the passage in the middle", Call((*scores(3), passage)), {"S": 8}),
        Probe("with the passage at the end", Call((*scores(4), torch.tensor([0, 0, 1, 1, 1, 1, 1, 1]))), {"S": 8}),
        *(Probe(f"with a passage, and scores at random ({seed})", Call((*scores(seed), passage)), {"S": 8})
          for seed in (21, 22)),
        Probe("with a negative best end in the passage", Call((*(s - 4 for s in scores(5)), passage)), {"S": 8}),
        *(Probe(f"with scores at random ({seed})", Call((*scores(seed), every)), {"S": 8}) for seed in (6, 7, 8, 9)),
        Probe("with a passage of one token", Call((*scores(10), torch.eye(8, dtype=torch.long)[4])), {"S": 8}),
        Probe("in float32", Call((late.float(), early.float(), passage)), {"S": 8}),
    ]  # fmt: skip


EXERCISE = Exercise(
    name="best-span",
    topic="fine-tuning",
    title="The best span",
    level="core",
    minutes=10,
    function="best_span",
    signature="starts, ends, mask",
    task=(
        "A model has scored each token as the start and as the end of an answer. Choose the span: of all pairs of a "
        "start and an end that is not before it, the one with the highest sum of the two scores.\n\n"
        "- `starts`, `ends`: (S,), the scores of one text\n"
        "- `mask`: (S,), integers: 1 for the tokens of the passage, 0 for those that cannot be part of the answer (the "
        "question, special tokens, padding). The ones are side by side, and there is at least one\n"
        "- returns two integers, `start` and `end`: the first and the last token of the answer, both counted from 0 in "
        "the whole text, and both in the passage. An answer may be one token, and may be as long as the passage"
    ),
    source="Devlin et al. 2019, section 4.2",
    reference=reference,
    solution=solution,
    library=by_library,
    probes=probes,
    mistakes=(
        Mistake("each-by-itself", "order", "any", "you choose the best start and the best end independently",
                "the end may then be before the start, and there is no such answer; choose the pair",
                "What does your code return where the best end is before the best start?"),
        Mistake("put-in-order", "search", "best alone, sorted",
                "you choose the best start and the best end independently, and put them in order",
                "an end that is used as a start was never scored as one; choose the best pair of those in order",
                "What was the score of your start as a start?"),
        Mistake("start-first", "search", "start first", "you choose the best start, and then the best end after it",
                "a start that is a little worse may have a much better end; compare the sums of all pairs"),
        Mistake("end-first", "search", "end first", "you choose the best end, and then the best start before it",
                "an end that is a little worse may have a much better start; compare the sums of all pairs"),
        Mistake("end-before-start", "order", "end <= start", "your end is not after the start but before it",
                "if rows are starts and columns are ends, the pairs in order are on the diagonal and above it (triu)"),
        Mistake("never-one-token", "order", "end > start", "an answer of one token is never found",
                "start and end may be the same token; keep the diagonal"),
        Mistake("always-one-token", "order", "one token", "your answer is always one token",
                "the two scores need not belong to the same token"),
        Mistake("scores-multiplied", "value", "product", "you multiply the two scores",
                "two very low scores then give a high product; add them (or multiply their probabilities)"),
        Mistake("difference", "value", "difference", "you subtract the end's score from the start's",
                "both should be high; add them"),
        Mistake("larger-of-the-two", "value", "larger", "you compare the larger of the two scores",
                "both should be high; add them"),
        Mistake("ends-not-scored", "value", "start only", "the scores of the ends do not count",
                "add the score of the start and that of the end"),
        Mistake("starts-not-scored", "value", "end only", "the scores of the starts do not count",
                "add the score of the start and that of the end"),
        Mistake("divided-by-length", "value", "per token", "you divide the sum by the length of the span",
                "the length does not count; compare the sums of the two scores"),
        Mistake("longest-span", "value", "longest", "you take the longest span", "the scores decide, not the length"),
        Mistake("lowest-sum", "search", "lowest", "you take the lowest sum", "high scores are good; take the highest"),
        Mistake("limited-length", "longest", 30, "you do not consider long spans",
                "many programs have such a limit, but the task has none"),
        Mistake("mask-ignored", "where", "none", "you do not use the mask",
                "a token of the question, or padding, may then be the answer"),
        Mistake("mask-inverted", "where", "inverted", "your answer is where the mask is 0",
                "1 marks the passage, in which the answer is"),
        Mistake("scores-zeroed", "where", "zeroed", "you multiply the scores by the mask",
                "0 is not a low score: where the scores in the passage are below 0, it wins; use -inf",
                "Which token wins if all scores in the passage are below 0?"),
        Mistake("only-starts-masked", "where", "start only", "only the start must be in the passage",
                "the end may then be in the padding; mask both"),
        Mistake("only-ends-masked", "where", "end only", "only the end must be in the passage",
                "the start may then be in the question; mask both"),
        Mistake("places-in-the-passage", "search", "places among the real", "you count the places from the passage's "
                "first token",
                "they are counted in the whole text, as the scores are"),
        Mistake("exclusive-end", "result", "end excluded", "your end is one too far",
                "that is how Python slices; the task asks for the last token that belongs to the answer"),
        Mistake("length-for-end", "result", "start, length", "you return the length in place of the end",
                "the end is start + length − 1"),
        Mistake("end-and-start", "result", "end, start", "you return the end first", "the order is start, end"),
        Mistake("from-one", "result", "from 1", "you count the tokens from 1", "they are counted from 0"),
        Mistake("flat-index", "result", "flat", "you return an index into the table of all pairs",
                "a row has S entries: start = index // S, end = index % S"),
        Mistake("the-score", "result", "score", "you return the best sum, and not where it is", "use argmax, not max"),
    ),
    hints=Hints(
        "Take three tokens with starts 1, 0, 3 and ends 2, 1, 0. Write down the sums of all six pairs in order.",
        "Make a table of all sums, (S, S), with a row for each start and a column for each end. Put -inf where a pair "
        "is not allowed: below the diagonal, and outside the passage. Then find the largest.",
        "(start, end) = argmax over start ≤ end, both in the passage, of starts[start] + ends[end]",
        "totals = starts[:, None] + ends[None, :]\nallowed = ... & mask[:, None].bool() & ...\n"
        "best = int(totals.masked_fill(~allowed, ...).argmax())\nreturn best // ..., best % ...",
    ),
    equivalents=(by_loops, by_the_best_start_so_far, by_probabilities),
)  # fmt: skip
