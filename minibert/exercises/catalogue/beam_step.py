"""One step of beam search."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from minibert.exercises.calls import Call
from minibert.exercises.declare import Exercise, Hints, Mistake, Probe
from minibert.exercises.probes import in_float32, randn
from minibert.generation import UNUSED, beam_step

Triple = tuple[float, int, int]
Pair = tuple[float, int]


def reference(
    totals: Tensor,
    log_probs: Tensor,
    eos_id: int,
    length: int,
    length_penalty: float = 1.0,
    *,
    looked_at: str = "2 K",
    added: str = "totals",
    competing: str = "all beams",
    index: str = "beam, token",
    ending: str = "among the first K",
    aside: str = "yes",
    kept: str = "K",
    order: str = "best first",
    score: str = "by length ** penalty",
    scored: str = "finished",
    token: str = "eos_id",
    results: str = "continuing, finished",
) -> tuple[list[Triple], list[Pair]] | list[Triple]:
    """A step with knobs. looked_at: how many continuations. ending: which of those that end the text are finished."""
    beams, vocabulary = log_probs.shape
    if added == "normalised again":
        log_probs = log_probs.log_softmax(-1)
    elif added == "probabilities":
        log_probs = log_probs.exp()
    elif added == "multiplied":
        log_probs = log_probs * totals[:, None] - totals[:, None]
    sums = log_probs if added == "nothing" else totals[:, None] + log_probs
    number = {"2 K": 2 * beams, "K": beams, "K + 1": beams + 1}[looked_at]
    flat = sums.flatten()
    if competing == "all beams":
        best = flat.topk(min(number, flat.numel()), largest=order != "worst first").indices.tolist()
    else:
        of_each = {"each its best": 1, "each its best two": 2}[competing]
        rows = sums.topk(of_each).indices
        places = (rows + torch.arange(beams)[:, None] * vocabulary).flatten()
        best = places[flat[places].argsort(descending=True, stable=True)].tolist()

    def rated(total: float) -> float:
        if score == "by length * penalty":
            return total / (length * length_penalty)
        if score == "times":
            return total * length**length_penalty
        counted = {
            "not": 1, "by length + 1": length + 1, "by length - 1": length - 1, "Wu": (5 + length) / 6,
        }.get(score, length)  # fmt: skip
        return total / (length if score == "by length" else counted**length_penalty)

    end = {"eos_id": eos_id, "always 2": 2, "always 1": 1, "always 102": 102}[token]
    continuing: list[Triple] = []
    finished: list[Pair] = []
    for rank, place in enumerate(best):
        beam, word = divmod(place, vocabulary)
        total = float(flat[place])
        if word == end:
            if ending == "all" or (ending == "among the first K" and rank < beams) or (
                ending == "before K continue" and len(continuing) < beams) or (
                ending == "the first" and not finished):  # fmt: skip
                finished.append((rated(total), beam))
            if aside == "yes":
                continue
        if index == "divided by K":
            beam, word = divmod(place, beams)
        elif index == "token, beam":
            beam, word = word, beam
        elif index == "not divided":
            word = place
        continuing.append((rated(total) if scored == "all" else total, beam, word))
    if kept == "K":
        continuing = continuing[:beams]
    if order == "by beam":
        continuing.sort(key=lambda one: one[1])
    elif order == "rising":
        continuing, finished = continuing[::-1], finished[::-1]
    if results == "continuing alone":
        return continuing
    return (continuing, finished) if results == "continuing, finished" else (finished, continuing)


def scores(beams: int, vocabulary: int, seed: int, ends: dict[int, float] | None = None, eos_id: int = 2) -> Tensor:
    """Log-probabilities (K, V). ends: beam -> what is added to its score of the end before they are normalised."""
    raw = randn(beams, vocabulary, seed=seed, scale=1.5)
    raw[:, eos_id] = -6.0
    for beam, more in (ends or {}).items():
        raw[beam, eos_id] = more
    return raw.log_softmax(-1)


def probes() -> list[Probe]:
    axes = {"K": 3, "V": 11}
    totals = torch.tensor([-2.0, -2.3, -3.1], dtype=torch.float64)
    first = torch.tensor([0.0, UNUSED, UNUSED], dtype=torch.float64)
    shuffled = torch.tensor([-4.2, -3.0, -3.3], dtype=torch.float64)
    # The best six are far apart: the ends of beams 0 and 1 come first and fourth, also with slightly other numbers.
    far = randn(3, 11, seed=4, scale=0.5) - 16.0
    far[[0, 1, 2, 1, 0, 2], [2, 4, 6, 2, 9, 0]] = torch.tensor([-0.2, -1.2, -2.0, -4.3, -7.0, -9.0]).double()
    forbidden = scores(3, 11, 7, {1: 3.0})
    forbidden[:, [4, 5]] = -math.inf
    late = torch.tensor([-7.0, -7.1, -7.4, -7.45], dtype=torch.float64)
    return [
        Probe("nothing ends", Call((totals, scores(3, 11, 1), 2, 4)), axes),
        Probe("one text ends", Call((totals, scores(3, 11, 2, {0: 4.0}), 2, 4)), axes),
        Probe("two texts end, and a length penalty of 2",
              Call((totals, scores(3, 11, 3, {0: 4.0, 1: 4.5}), 2, 5, 2.0)), axes),
        Probe("the end of one text is too far down", Call((totals, far, 2, 4)), axes),
        Probe("the beams are in no order, and another end", Call((shuffled, scores(3, 11, 5, {1: 3.0}, 7), 7, 6, 0.5)),
              axes),
        Probe("the first step, where only one beam counts", Call((first, scores(3, 11, 6, {0: 1.5}), 2, 1)), axes),
        Probe("with forbidden tokens", Call((totals, forbidden, 2, 3)), axes),
        Probe("with four beams and no length penalty", Call((late, scores(4, 9, 8, {0: 2.0, 3: 4.0}, 0), 0, 9, 0.0)),
              {"K": 4, "V": 9}),
        Probe("one beam", Call((totals[:1], scores(1, 11, 9), 2, 4)), {"V": 11}),
        Probe("one beam, which ends", Call((totals[:1], scores(1, 11, 9, {0: 6.0}), 2, 4)), {"V": 11}),
        Probe("in float32", Call(in_float32((totals, scores(3, 11, 2, {0: 4.0}), 2, 4))), axes),
    ]  # fmt: skip


def solution(
    totals: Tensor, log_probs: Tensor, eos_id: int, length: int, length_penalty: float = 1.0
) -> tuple[list[Triple], list[Pair]]:
    beams, vocabulary = log_probs.shape
    sums = totals[:, None] + log_probs
    best = sums.flatten().topk(2 * beams)
    continuing, finished = [], []
    for rank, (total, index) in enumerate(zip(best.values.tolist(), best.indices.tolist(), strict=True)):
        beam, token = divmod(index, vocabulary)
        if token != eos_id:
            continuing.append((total, beam, token))
        elif rank < beams:
            finished.append((total / length**length_penalty, beam))
    return continuing[:beams], finished


def by_library(
    totals: Tensor, log_probs: Tensor, eos_id: int, length: int, length_penalty: float = 1.0
) -> tuple[list[Triple], list[Pair]]:
    (step,) = beam_step(totals[None], log_probs[None], eos_id, length, length_penalty)
    return [tuple(one) for one in step.continuing], [(one.value, one.beam) for one in step.finished]


def by_sorting(
    totals: Tensor, log_probs: Tensor, eos_id: int, length: int, length_penalty: float = 1.0
) -> list[list[list[float]]]:
    every = [
        (totals[beam].item() + log_probs[beam, token].item(), beam, token)
        for beam in range(log_probs.shape[0])
        for token in range(log_probs.shape[1])
    ]
    every = sorted(every, reverse=True)[: 2 * len(totals)]
    ended = [[total / length**length_penalty, beam] for total, beam, token in every[: len(totals)] if token == eos_id]
    return [[list(one) for one in every if one[2] != eos_id][: len(totals)], ended]


def by_two_searches(
    totals: Tensor, log_probs: Tensor, eos_id: int, length: int, length_penalty: float = 1.0
) -> tuple[list[Triple], list[Pair]]:
    """The best that go on are found without the end; an end is finished if less than K continuations are better."""
    sums = log_probs + totals.unsqueeze(1)
    without = sums.clone()
    without[:, eos_id] = -math.inf
    values, places = without.view(-1).topk(len(totals))
    going = [(v, int(p) // sums.shape[1], int(p) % sums.shape[1]) for v, p in zip(values.tolist(), places, strict=True)]
    ends = sorted(((float(one), beam) for beam, one in enumerate(sums[:, eos_id])), reverse=True)
    done = [(one / length**length_penalty, beam) for one, beam in ends if (sums > one).sum() < len(totals)]
    return going, done


def by_tensors(
    totals: Tensor, log_probs: Tensor, eos_id: int, length: int, length_penalty: float = 1.0
) -> tuple[list[Triple], list[Pair]]:
    beams, vocabulary = log_probs.shape
    values, places = torch.sort((totals.view(-1, 1) + log_probs).view(-1), descending=True)
    values, places = values[: 2 * beams], places[: 2 * beams]
    origin, token = torch.div(places, vocabulary, rounding_mode="floor"), places % vocabulary
    ends = token.eq(eos_id)
    go = torch.where(~ends)[0][:beams]
    stop = torch.where(ends[:beams])[0]
    return (
        list(zip(values[go].tolist(), origin[go].tolist(), token[go].tolist(), strict=True)),
        list(zip((values[stop] / length**length_penalty).tolist(), origin[stop].tolist(), strict=True)),
    )


EXERCISE = Exercise(
    name="beam-step",
    topic="bart",
    title="One step of beam search",
    function="beam_step",
    signature="totals, log_probs, eos_id, length, length_penalty=1.0",
    task=(
        "Beam search keeps the best K texts at once, the beams. In a step each of them may go on with any of the V "
        "tokens. Of all these continuations, over all beams, look at the best 2 K. Those that do not end the text "
        "continue, the best K of them. One that ends the text (with `eos_id`) is set aside as finished if it is among "
        "the best K of the 2 K; if it is further down, it is dropped.\n\n"
        "- `totals`: (K,), the sum of log-probabilities of each beam so far; `log_probs`: (K, V), of each beam's next "
        "token. A continuation's total is their sum\n"
        "- `length`: how many tokens a text has with the new one. A finished text's score is its total / length ** "
        "`length_penalty`; what continues keeps its total\n"
        "- returns two lists, both best first: `continuing`, K triples (total, beam, token), and `finished`, pairs "
        "(score, beam), perhaps none. Beam and token are integers, counted from 0. (Each beam has one continuation "
        "that ends, so at least K of the 2 K go on. V is at least 2 K.)"
    ),
    source="Sutskever et al. 2014, section 3.2; Lewis et al. 2020 (BART), section 5.3, and the released code",
    reference=reference,
    solution=solution,
    library=by_library,
    probes=probes,
    mistakes=(
        Mistake("only-k-looked-at", "looked_at", "K", "you look at the best K continuations, and should look at 2 K",
                "each one that ends leaves one beam fewer; of 2 K at least K go on, because each beam can end in only "
                "one way",
                "How many beams are left after the step when one of the best K ends?"),
        Mistake("k-and-one-looked-at", "looked_at", "K + 1", "you look at the best K + 1 continuations",
                "all K beams may end; of 2 K at least K always go on"),
        Mistake("totals-not-added", "added", "nothing", "the beams' totals are not added",
                "a bad text with an easy next word would win; a continuation's total is that of all its tokens"),
        Mistake("probabilities-added", "added", "probabilities", "you add probabilities, not log-probabilities",
                "log_probs are logarithms already; their sum is the logarithm of a product"),
        Mistake("logs-multiplied", "added", "multiplied", "you multiply log-probabilities",
                "probabilities are multiplied; their logarithms are added"),
        Mistake("normalised-again", "added", "normalised again", "log_probs are normalised once more",
                "where a token is forbidden (minus infinity), the others would become more likely; use them as they "
                "are"),
        Mistake("beams-do-not-compete", "competing", "each its best", "each beam goes on with its own best token",
                "that is greedy search, K times; a good beam may have several continuations and a bad one none"),
        Mistake("two-of-each-beam", "competing", "each its best two", "you take the best two of each beam",
                "all continuations of all beams compete; the best 2 K may all be from one beam"),
        Mistake("index-divided-by-k", "index", "divided by K", "beam and token are found by dividing by K",
                "a row of the flattened table has V entries, so beam = index // V and token = index % V"),
        Mistake("beam-and-token-exchanged", "index", "token, beam", "beam and token are exchanged",
                "the order is (total, beam, token); beam = index // V, token = index % V"),
        Mistake("token-not-divided", "index", "not divided", "the token is an index into the flattened table",
                "that is beam · V + token; take the remainder, index % V"),
        Mistake("ends-not-set-aside", "aside", "no", "a text that ends also stays among the beams",
                "it would be continued after its end; it is finished and leaves the search"),
        Mistake("ends-always-finished", "ending", "all", "every end among the 2 K is finished",
                "one that is not among the best K is worse than K texts that go on, and is dropped",
                "What happens to an end at rank K or below?"),
        Mistake("ends-finished-before-k-continue", "ending", "before K continue",
                "you finish every end that comes before K others continue",
                "what counts is its place among the 2 K, ends included: among the best K it is finished, else dropped",
                "What happens to an end at rank K or below?"),
        Mistake("ends-dropped", "ending", "none", "a text that ends is never finished",
                "then nothing is ever finished; set it aside with its score"),
        Mistake("only-one-finished", "ending", "the first", "only the best end is finished",
                "each end among the best K is"),
        Mistake("not-cut-to-k", "kept", "all", "all that do not end continue, and not only K",
                "the number of beams stays K"),
        Mistake("in-the-order-of-beams", "order", "by beam", "what continues is sorted by its beam",
                "the best comes first"),
        Mistake("worst-first", "order", "rising", "the lists begin with the worst", "the best comes first"),
        Mistake("worst-continuations", "order", "worst first", "you take the least likely continuations",
                "log-probabilities are negative; the best is the largest, nearest to 0"),
        Mistake("no-length-penalty", "score", "not", "a finished text's score is its total",
                "long texts would always lose, as each token makes the total smaller; divide by length ** "
                "length_penalty"),
        Mistake("penalty-ignored", "score", "by length", "a finished text's total is divided by its length, whatever "
                "the penalty",
                "the length is raised to the power `length_penalty`"),
        Mistake("penalty-times-length", "score", "by length * penalty",
                "a finished text's total is divided by length · penalty", "the penalty is an exponent"),
        Mistake("score-multiplied", "score", "times", "a finished text's total is multiplied by length ** penalty",
                "totals are negative, so long texts would lose even more; divide"),
        Mistake("length-plus-one", "score", "by length + 1", "the length counts one token too many",
                "`length` already counts the new token"),
        Mistake("length-minus-one", "score", "by length - 1", "the length counts one token too few",
                "`length` already counts the new token, the end"),
        Mistake("penalty-of-wu", "score", "Wu", "a finished text's score is divided by ((5 + length) / 6) ** penalty",
                "that is the penalty of Wu et al. 2016; BART's is length ** penalty"),
        Mistake("scores-for-all", "scored", "all", "what continues is divided by its length, too",
                "the next step adds log-probabilities to it; only a finished text gets a score"),
        Mistake("end-always-2", "token", "always 2", "the end is always token 2, whatever `eos_id` says",
                "that is right for BART only"),
        Mistake("end-always-1", "token", "always 1", "the end is always token 1, whatever `eos_id` says",
                "that is right for another model"),
        Mistake("end-always-102", "token", "always 102", "the end is always token 102, whatever `eos_id` says",
                "that is right for BERT's vocabulary"),
        Mistake("lists-exchanged", "results", "finished, continuing", "you return `finished` first",
                "the order should be continuing, finished"),
        Mistake("only-continuing", "results", "continuing alone", "you return `continuing` alone",
                "both lists are asked for"),
    ),
    hints=Hints(
        "Take two beams and three tokens. Write down all six totals, and mark the best four. What if the best ends?",
        "Add each beam's total to its row, and make one row of all. topk gives 2 K totals and their indices, in order; "
        "an index says which beam and which token. Go through them with their rank: what ends is finished or dropped, "
        "what does not goes on until there are K.",
        "total = totals[beam] + log_probs[beam, token]; beam = index // V, token = index % V; "
        "score = total / length ** length_penalty",
        "best = (totals[:, None] + log_probs).flatten().topk(...)\n"
        "for rank, (total, index) in enumerate(zip(best.values.tolist(), best.indices.tolist())):\n"
        "    beam, token = divmod(index, ...)\n    if token != eos_id:\n        ...\n    elif rank < ...:\n"
        "        ...\nreturn continuing[:...], finished",
    ),
    swap="beam_step",
    equivalents=(by_sorting, by_two_searches, by_tensors),
    level="challenge",
    minutes=20,
)  # fmt: skip
