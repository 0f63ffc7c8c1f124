"""MobileBERT's trigram input: a token's embedding between those of its neighbours."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from minibert.exercises.calls import Call
from minibert.exercises.declare import Exercise, Hints, Mistake, Probe
from minibert.exercises.probes import in_float32, randn
from minibert.models.mobilebert import with_neighbours


def reference(
    x: Tensor,
    *,
    order: str = "next, own, previous",
    ends: str = "zeros",
    along: str = "tokens",
    step: int = 1,
    joined: str = "features",
) -> Tensor:
    """The three embeddings side by side, with knobs."""
    axis = {"tokens": 1, "texts": 0, "features": 2, "all tokens of the batch": 0}[along]
    own = x.flatten(0, 1) if along == "all tokens of the batch" else x
    length = own.shape[axis]
    zeros = torch.zeros_like(own.narrow(axis, 0, min(step, length)))
    if ends == "around":
        following, previous = own.roll(-step, axis), own.roll(step, axis)
    else:
        first, last = own.narrow(axis, 0, 1), own.narrow(axis, length - 1, 1)
        at_end, at_start = {
            "zeros": (zeros, zeros), "own": (last.expand_as(zeros), first.expand_as(zeros)),
            "ones": (zeros + 1, zeros + 1),
            "last before the first": (zeros, last.expand_as(zeros)),
            "zeros at the start only": (last.expand_as(zeros), zeros),
            "zeros at the end only": (zeros, first.expand_as(zeros)),
            "mirrored": (own.narrow(axis, max(length - 2, 0), 1).expand_as(zeros),
                         own.narrow(axis, min(1, length - 1), 1).expand_as(zeros)),
        }.get(ends, (zeros, zeros))  # fmt: skip
        rest = max(length - step, 0)
        following = torch.cat([own.narrow(axis, length - rest, rest), at_end], axis)
        previous = torch.cat([at_start, own.narrow(axis, 0, rest)], axis)
    if along == "all tokens of the batch":
        following, own, previous = (one.view_as(x) for one in (following, own, previous))
    parts = {
        "next, own, previous": (following, own, previous),
        "previous, own, next": (previous, own, following),
        "own, next, previous": (own, following, previous),
        "own, previous, next": (own, previous, following),
        "next, own, next": (following, own, following),
        "previous, own, previous": (previous, own, previous),
        "own three times": (own, own, own),
        "neighbours only": (following, previous),
        "next two": (self_shifted(x, 2), following, own),
        "previous two": (own, previous, self_shifted(x, -2)),
    }[order]
    if ends == "cut off":
        parts = tuple(one[:, 1:-1] for one in parts)
    return {
        "features": lambda: torch.cat(parts, -1),
        "tokens": lambda: torch.cat(parts, 1),
        "texts": lambda: torch.cat(parts, 0),
        "stacked": lambda: torch.stack(parts, 2),
        "interleaved": lambda: torch.stack(parts, -1).flatten(2),
        "sum": lambda: sum(parts[1:], parts[0]),
        "mean": lambda: sum(parts[1:], parts[0]) / len(parts),
    }[joined]()


def self_shifted(x: Tensor, by: int) -> Tensor:
    """Each token's vector replaced by that of the token `by` places after it; zeros beyond the ends."""
    padded = F.pad(x, (0, 0, abs(by), abs(by)))
    return padded.narrow(1, abs(by) + by, x.shape[1])


def probes() -> list[Probe]:
    axes = {"B": 2, "S": 5, "E": 4}
    x = randn(2, 5, 4, seed=1)
    return [
        Probe("two texts", Call((x,), grads=(0,)), axes),
        Probe("one text", Call((randn(1, 7, 3, seed=2),)), {"S": 7, "E": 3}),
        Probe("two tokens", Call((randn(3, 2, 5, seed=3),)), {"B": 3, "S": 2, "E": 5}),
        Probe("one token", Call((randn(2, 1, 3, seed=4),)), {"B": 2, "E": 3}),
        Probe("in float32", Call((in_float32(x),)), axes),
    ]


def solution(x: Tensor) -> Tensor:
    zeros = torch.zeros_like(x[:, :1])  # (B, 1, E), what is beyond the ends
    following = torch.cat([x[:, 1:], zeros], dim=1)
    previous = torch.cat([zeros, x[:, :-1]], dim=1)
    return torch.cat([following, x, previous], dim=-1)


def by_convolution(x: Tensor) -> Tensor:
    width = x.shape[-1]
    kernel = torch.zeros(3 * width, width, 3, dtype=x.dtype)
    for block, tap in enumerate((2, 1, 0)):
        kernel[block * width : (block + 1) * width, :, tap] = torch.eye(width, dtype=x.dtype)
    return F.conv1d(x.mT, kernel, padding=1).mT


def by_windows(x: Tensor) -> Tensor:
    windows = F.pad(x, (0, 0, 1, 1)).unfold(1, 3, 1)  # (B, S, E, 3)
    return windows.flip(-1).transpose(2, 3).reshape(*x.shape[:2], -1)


def by_loop(x: Tensor) -> Tensor:
    texts = []
    for text in x:
        empty = torch.zeros_like(text[0])
        rows = [empty, *text, empty]
        texts.append(torch.stack([torch.cat(rows[at - 1 : at + 2][::-1]) for at in range(1, len(rows) - 1)]))
    return torch.stack(texts)


def by_roll(x: Tensor) -> Tensor:
    following, previous = x.roll(-1, dims=1).clone(), x.roll(1, dims=1).clone()
    following[:, -1] = 0
    previous[:, 0] = 0
    return torch.cat((following, x, previous), 2)


EXERCISE = Exercise(
    name="trigram",
    topic="mobilebert",
    title="A token between its neighbours",
    function="trigram",
    signature="x",
    task=(
        "MobileBERT's embeddings are narrow, so each token reads three of them: that of the next token, its own, "
        "and that of the one before, side by side. (A linear layer to D comes after this; both together are a "
        "convolution over three tokens.)\n\n"
        "- `x`: (B, S, E), the word embeddings\n"
        "- returns (B, S, 3E): for each token first the next one's E features, then its own, then the previous one's, "
        "as in the released weights. Beyond the ends of the text there are zeros"
    ),
    source="Sun et al. 2020, section 3.4; the order: the released code",
    reference=reference,
    solution=solution,
    library=with_neighbours,
    probes=probes,
    level="core",
    minutes=10,
    mistakes=(
        Mistake("previous-first", "order", "previous, own, next",
                "the previous token comes first and the next one last",
                "the released weights expect next, own, previous; your model would read each text backwards"),
        Mistake("own-first", "order", "own, next, previous", "a token's own features come first",
                "the order is next, own, previous; the linear layer after it depends on it"),
        Mistake("own-first-then-previous", "order", "own, previous, next",
                "a token's own features come first, then the previous ones",
                "the order is next, own, previous; the linear layer after it depends on it"),
        Mistake("next-twice", "order", "next, own, next", "both neighbours are the next token",
                "shift once in each direction"),
        Mistake("previous-twice", "order", "previous, own, previous", "both neighbours are the previous token",
                "shift once in each direction"),
        Mistake("own-three-times", "order", "own three times", "you join three copies of the token's own features",
                "the tokens must be shifted along the text"),
        Mistake("neighbours-only", "order", "neighbours only", "a token's own features are left out",
                "the result has 3E features: next, own, previous"),
        Mistake("next-two", "order", "next two", "you take the token and the two after it",
                "one neighbour on each side: next, own, previous"),
        Mistake("previous-two", "order", "previous two", "you take the token and the two before it",
                "one neighbour on each side: next, own, previous"),
        Mistake("wrapped-around", "ends", "around", "the ends are joined, so that the first token sees the last one",
                "roll goes around; beyond the ends there are zeros"),
        Mistake("last-before-the-first", "ends", "last before the first", "the last token comes before the first one",
                "an index of −1 is the last token, not the one before the first; there should be zeros"),
        Mistake("ends-repeated", "ends", "own", "beyond the ends you repeat the first and the last token",
                "there are zeros"),
        Mistake("ends-mirrored", "ends", "mirrored", "beyond the ends the text is mirrored", "there are zeros"),
        Mistake("last-repeated", "ends", "zeros at the start only", "you repeat the last token after the end",
                "there are zeros, as before the first"),
        Mistake("first-repeated", "ends", "zeros at the end only", "you repeat the first token before the start",
                "there are zeros, as after the last"),
        Mistake("ends-of-ones", "ends", "ones", "beyond the ends there are ones", "there should be zeros"),
        Mistake("ends-cut-off", "ends", "cut off", "the first and the last token are left out",
                "they have one neighbour each, and zeros in place of the other; the result has S tokens"),
        Mistake("neighbouring-texts", "along", "texts", "the neighbours are the other texts of the batch",
                "shift along the tokens, axis 1"),
        Mistake("neighbouring-features", "along", "features", "the features are shifted, not the tokens",
                "shift along the tokens, axis 1; in F.pad the last axis comes first: (0, 0, 1, 1)"),
        Mistake("across-texts", "along", "all tokens of the batch",
                "the last token of a text sees the first one of the next text",
                "each text ends with zeros; do not flatten the batch"),
        Mistake("two-steps", "step", 2, "the neighbours are two places away", "shift by one"),
        Mistake("joined-along-the-text", "joined", "tokens", "the three are joined along the text",
                "the result has S tokens with 3E features: dim=-1"),
        Mistake("joined-along-the-batch", "joined", "texts", "the three are joined along the batch",
                "the result has S tokens with 3E features: dim=-1"),
        Mistake("stacked", "joined", "stacked", "the three are stacked on an axis of their own",
                "join them along the features: torch.cat with dim=-1"),
        Mistake("interleaved", "joined", "interleaved", "the features of the three tokens alternate",
                "all E features of the next token come first, then all of the token's own, then the previous ones"),
        Mistake("summed", "joined", "sum", "the three are added",
                "a sum no longer shows which of them was the token itself; put them side by side"),
        Mistake("averaged", "joined", "mean", "the mean of the three is taken",
                "it no longer shows which of them was the token itself; put them side by side"),
    ),
    hints=Hints(
        "For the text a b c, write down what each token gets: b a 0 for the first. And for the last?",
        "Shift the whole tensor by one token to each side: cut one off at one end, and put zeros at the other.",
        "result[:, s] = [x[:, s + 1], x[:, s], x[:, s − 1]], with zeros for s + 1 = S and s − 1 = −1",
        "zeros = torch.zeros_like(x[:, :1])\nfollowing = torch.cat([..., zeros], dim=1)\n"
        "previous = torch.cat([zeros, ...], dim=1)\nreturn torch.cat([...], dim=-1)",
    ),
    swap="trigram",
    equivalents=(by_convolution, by_windows, by_loop, by_roll),
)  # fmt: skip
