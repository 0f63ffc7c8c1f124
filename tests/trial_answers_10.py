"""Answers to the exercise on the best span, as learners write them."""

from __future__ import annotations

import math

import numpy as np
import torch
from trial_answers import right, wrong


def loops(starts, ends, mask, longest=10**9, total=lambda a, b: a + b, from_=0):
    """Every pair, one after another."""
    best, found = -math.inf, (0, 0)
    for s in range(len(starts)):
        for e in range(s + from_, min(len(ends), s + longest)):
            if mask[s] and mask[e] and total(starts[s].item(), ends[e].item()) > best:
                best, found = total(starts[s].item(), ends[e].item()), (s, e)
    return found


@right("best-span")
def span_two_loops(starts, ends, mask):
    return loops(starts, ends, mask)


@right("best-span")
def span_numpy(starts, ends, mask):
    a, b = (np.where(mask.numpy() == 1, scores.detach().numpy(), -1e30) for scores in (starts, ends))
    table = np.triu(np.add.outer(a, b)) + np.tril(np.full((len(a), len(a)), -1e31), -1)
    return tuple(int(at) for at in np.unravel_index(table.argmax(), table.shape))


@right("best-span")
def span_like_squad(starts, ends, mask):
    """All pairs of the n best of both, as the published script has it, with n large enough."""
    n = int(mask.sum())
    begin = starts.masked_fill(mask == 0, -math.inf).topk(n).indices.tolist()
    finish = ends.masked_fill(mask == 0, -math.inf).topk(n).indices.tolist()
    pairs = [(s, e) for s in begin for e in finish if s <= e]
    return sorted(pairs, key=lambda pair: starts[pair[0]] + ends[pair[1]], reverse=True)[0]


@right("best-span")
def span_slice_of_the_passage(starts, ends, mask):
    first = int(mask.argmax())
    a, b = starts[mask.bool()], ends[mask.bool()]
    best_end = b.flip(0).cummax(0)
    at = int((a + best_end.values.flip(0)).argmax())
    return first + at, first + len(b) - 1 - int(best_end.indices[len(b) - 1 - at])


@right("best-span")
def span_tensor(starts, ends, mask):
    table = (starts[:, None] + ends).masked_fill(~torch.outer(mask, mask).bool().triu(), -torch.inf)
    return torch.unravel_index(table.flatten().argmax(), table.shape)


@wrong("best-span", "independently")
def span_two_argmaxes(starts, ends, mask):
    hidden = mask == 0
    return starts.masked_fill(hidden, -1e9).argmax().item(), ends.masked_fill(hidden, -1e9).argmax().item()


@wrong("best-span", "independently")
def span_min_max(starts, ends, mask):
    hidden = mask == 0
    both = [starts.masked_fill(hidden, -1e9).argmax().item(), ends.masked_fill(hidden, -1e9).argmax().item()]
    return min(both), max(both)


@wrong("best-span", "best start, and then")
def span_greedy(starts, ends, mask):
    s = starts.masked_fill(mask == 0, -1e9).argmax().item()
    e = ends.masked_fill(mask == 0, -1e9)[s:].argmax().item() + s
    return s, e


@wrong("best-span", "best end, and then")
def span_greedy_from_the_end(starts, ends, mask):
    e = ends.masked_fill(mask == 0, -1e9).argmax().item()
    return starts.masked_fill(mask == 0, -1e9)[: e + 1].argmax().item(), e


@wrong("best-span", "multiply the two scores")
def span_product(starts, ends, mask):
    return loops(starts, ends, mask, total=lambda a, b: a * b)


@wrong("best-span", "one token is never")
def span_from_the_next(starts, ends, mask):
    found = loops(starts, ends, mask, from_=1)
    return found if sum(mask) > 1 else (int(mask.argmax()), int(mask.argmax()))


@wrong("best-span", "long spans")
def span_at_most_15(starts, ends, mask):
    return loops(starts, ends, mask, longest=15)


@wrong("best-span", "do not use the mask")
def span_without_mask(starts, ends, mask):
    return loops(starts, ends, torch.ones_like(mask))


@wrong("best-span", "multiply the scores by the mask")
def span_zeroed(starts, ends, mask):
    return loops(starts * mask, ends * mask, torch.ones_like(mask))


@wrong("best-span", "only the start must")
def span_end_in_padding(starts, ends, mask):
    table = (starts.masked_fill(mask == 0, -torch.inf)[:, None] + ends).masked_fill(
        ~torch.ones(len(ends), len(ends)).triu().bool(), -torch.inf
    )
    return divmod(int(table.argmax()), len(ends))


@wrong("best-span", "one too far")
def span_for_slicing(starts, ends, mask):
    start, end = loops(starts, ends, mask)
    return start, end + 1


@wrong("best-span", "end first|reverse|exchanged")
def span_column_first(starts, ends, mask):
    start, end = loops(starts, ends, mask)
    return end, start


@wrong("best-span", "before it|triu|in order")
def span_tril(starts, ends, mask):
    table = (starts[:, None] + ends).masked_fill(~torch.outer(mask, mask).bool().tril(), -torch.inf)
    return divmod(int(table.argmax()), len(ends))


@wrong("best-span", "table of all pairs")
def span_flat(starts, ends, mask):
    table = (starts[:, None] + ends).masked_fill(~torch.outer(mask, mask).bool().triu(), -torch.inf)
    return table.argmax().item()


@wrong("best-span", "first token")
def span_places_of_the_slice(starts, ends, mask):
    a, b = starts[mask.bool()], ends[mask.bool()]
    return loops(a, b, torch.ones(len(a)))


@wrong("best-span", "where it is|score")
def span_max(starts, ends, mask):
    table = (starts[:, None] + ends).masked_fill(~torch.outer(mask, mask).bool().triu(), -torch.inf)
    return table.max()
