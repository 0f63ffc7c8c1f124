"""Claims about speed in use: two models answer in turn, one text at a time, on the CPU.

The figures of a comparison are lists, one number for each length in "tokens": "ratio" is how many times as fast the
challenger is (median of the rounds), "ratio_low" and "ratio_high" its quartiles, "time_saved" the share of time that
the median saves, "seconds" a name -> the median seconds a text, "rounds" every single run.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import torch
from torch import nn

from minibert.claims.counted import ALBERT, BERT, DISTILBERT
from minibert.claims.records import CONDITION, FAILS, HOLDS, Claim, Figures, Judgement
from minibert.factory import build
from minibert.timing import Progress, machine, paired, ratio, summary

TOKENS = (32, 128, 256)  # a usual Rotten Tomatoes sentence, a common limit, a usual IMDB review
ROUNDS, QUICK_ROUNDS = 25, 7  # a length
QUICK_LENGTHS = 2  # the shortest ones
THREADS = 2
SEED = 0


def compare_speed(
    reference: str,
    challenger: str,
    lengths: Sequence[int] = TOKENS,
    quick: bool = False,
    progress: Progress | None = None,
) -> Figures:
    """How many times as fast one preset is as another at batch 1, in float32, without gradients.

    The weights and the ids are random: dense layers take as long for these as for any others. quick: fewer rounds,
    at the shortest lengths. Returns the figures that the top of this file describes.
    """
    rounds, lengths = (QUICK_ROUNDS, lengths[:QUICK_LENGTHS]) if quick else (ROUNDS, lengths)
    figures: Figures = {
        "tokens": list(lengths), "ratio": [], "ratio_low": [], "ratio_high": [], "time_saved": [],
        "seconds": {reference: [], challenger: []}, "rounds": {reference: [], challenger: []},
    }  # fmt: skip
    with torch.inference_mode(), _threads(min(THREADS, machine()["cores"])) as threads:
        generator = torch.Generator().manual_seed(SEED)
        models = {name: _random_model(name, generator) for name in (reference, challenger)}
        for step, length in enumerate(lengths):
            ids = torch.randint(min(model.config.vocab_size for model in models.values()), (1, length),
                                generator=generator)  # fmt: skip
            seconds = paired(
                {name: partial(model, ids) for name, model in models.items()},
                rounds,
                progress=_part(progress, step, len(lengths)),
            )
            times = ratio(seconds[reference], seconds[challenger])
            figures["ratio"].append(round(times.median, 3))
            figures["ratio_low"].append(round(times.low, 3))
            figures["ratio_high"].append(round(times.high, 3))
            figures["time_saved"].append(round(1 - 1 / times.median, 3))
            for name, taken in seconds.items():
                figures["seconds"][name].append(round(summary(taken).median, 4))
                figures["rounds"][name].append([round(second, 4) for second in taken])
    return figures | {"batch": 1, "threads": threads, "seeds": [SEED]}


@contextmanager
def _threads(count: int) -> Iterator[int]:
    """Let torch use so many threads, and as many as before afterwards."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield count
    finally:
        torch.set_num_threads(before)


def _random_model(name: str, generator: torch.Generator) -> nn.Module:
    """A preset with weights from a plain normal distribution: made sooner than by `build`, and as fast in use."""
    with torch.device("meta"):
        model = build(name)
    model = model.to_empty(device="cpu").eval()
    for parameter in model.parameters():
        parameter.normal_(std=0.02, generator=generator)
    return model


def _part(progress: Progress | None, step: int, steps: int) -> Progress | None:
    """What one of several equal steps tells the progress of them all."""
    return progress and (lambda done, runs: progress(step * runs + done, steps * runs))


# ------------------------------------------------------------------------------------------------ verdicts


def judge_sixty(figures: Figures) -> Judgement:
    """A length counts where the median ratio reaches 1.6; holds at all lengths, conditionally at some."""
    reached = _lengths(figures, "ratio", 1.6)
    saved = " / ".join(f"{share:.0%}" for share in figures["time_saved"])
    return Judgement(
        f"{_ratios(figures)} the speed at {_listed(figures['tokens'])} tokens; {saved} less time",
        _verdict(reached, figures),
        f'1.6× the speed: {_where(reached, figures)}. "60% faster" says 1.6 times as many texts an hour, as in the '
        "paper's table, and not 60% less time, which would be 2.5×. Half of the blocks is half of the arithmetic, so "
        "2× is about the most there is to gain.",
    )


def judge_faster(figures: Figures) -> Judgement:
    """A length counts where even the lower quartile is 1.1 or more; holds at all lengths, conditionally at some."""
    reached = _lengths(figures, "ratio_low", 1.1)
    return Judgement(
        f"{_ratios(figures)} the speed at {_listed(figures['tokens'])} tokens",
        _verdict(reached, figures),
        f"A tenth faster or more, beyond the spread of the runs: {_where(reached, figures)}. The shared block is run "
        "12 times all the same, so the arithmetic stays; only reading the weights from memory becomes cheaper.",
    )


def _lengths(figures: Figures, key: str, least: float) -> list[int]:
    """The lengths at which a figure is at least so much."""
    return [tokens for tokens, value in zip(figures["tokens"], figures[key], strict=True) if value >= least]


def _verdict(reached: list[int], figures: Figures) -> str:
    return FAILS if not reached else HOLDS if reached == figures["tokens"] else CONDITION


def _where(reached: list[int], figures: Figures) -> str:
    if not reached:
        return "at no length"
    return "at every length" if reached == figures["tokens"] else f"at {_listed(reached)} tokens only"


def _ratios(figures: Figures) -> str:
    """Each median with its quartiles: "1.97× (1.90–2.02), ..."."""
    rows = zip(figures["ratio"], figures["ratio_low"], figures["ratio_high"], strict=True)
    return ", ".join(f"{median:.2f}× ({low:.2f}–{high:.2f})" for median, low, high in rows)


def _listed(numbers: Sequence[int]) -> str:
    *others, last = map(str, numbers)
    return f"{', '.join(others)} and {last}" if others else last


TIMED = (
    Claim(
        id="D2",
        statement="DistilBERT is 60% faster than BERT-base when it is used (inference).",
        source="Sanh et al. 2019, Table 3: STS-B, one CPU, batch 1",
        models=(BERT, DISTILBERT),
        paper_value="668 s against 410 s: 1.63× the speed, 38.6% less time",
        kind="timed",
        measure=partial(compare_speed, BERT, DISTILBERT),
        judge=judge_sixty,
    ),
    Claim(
        id="A2-inference",
        statement="With 9 times fewer parameters, ALBERT-base is faster than BERT-base when it is used (inference).",
        source="often inferred; Lan et al. 2020 report the speed of training only (Table 2)",
        models=(BERT, ALBERT),
        paper_value="no figure",
        kind="timed",
        measure=partial(compare_speed, BERT, ALBERT),
        judge=judge_faster,
    ),
)
