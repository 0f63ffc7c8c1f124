"""Claims about speed in use, from the figures of `experiments.speed`: two models that take turns on the CPU."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from minibert.claims.counted import ALBERT, BERT, DISTILBERT
from minibert.claims.records import CONDITION, FAILS, HOLDS, Claim, Figures, Judgement
from minibert.experiments.speed import compare_speed
from minibert.words import listed


def judge_sixty(figures: Figures) -> Judgement:
    """A length counts if its median ratio reaches 1.6. Holds if all lengths count, with a condition if some do."""
    reached = _lengths(figures, "ratio", 1.6)
    saved = " / ".join(f"{share:.0%}" for share in figures["time_saved"])
    return Judgement(
        f"{_ratios(figures)}; {saved} less time",
        _verdict(reached, figures),
        f'1.6× the speed is reached {_where(reached, figures)}. "60% faster" means 1.6 times as many texts per hour, '
        "as in the paper's table. It does not mean 60% less time, which would be 2.5× the speed. Half the blocks mean "
        "half the arithmetic, so about 2× is the most that can be gained.",
        _middle_ratio(figures),
    )


def judge_faster(figures: Figures) -> Judgement:
    """A length counts if its lower quartile is 1.1 or more. Holds if all lengths count, with a condition if some do."""
    reached = _lengths(figures, "ratio_low", 1.1)
    found = (
        f"It is at least a tenth faster {_where(reached, figures)}" if reached else "At no length is it a tenth faster"
    )
    return Judgement(
        _ratios(figures),
        _verdict(reached, figures),
        f"{found}, beyond the spread of the rounds. The shared block still has to be computed 12 times, so the "
        "arithmetic is the same; only reading the weights from memory becomes cheaper.",
        _middle_ratio(figures),
    )


def _middle_ratio(figures: Figures) -> str:
    """The speed at the middle of the lengths, in a few words."""
    middle = len(figures["tokens"]) // 2
    return f"{figures['ratio'][middle]:.2f}× at {figures['tokens'][middle]} tokens"


def _lengths(figures: Figures, key: str, least: float) -> list[int]:
    """The lengths at which a figure is at least this large."""
    return [tokens for tokens, value in zip(figures["tokens"], figures[key], strict=True) if value >= least]


def _verdict(reached: list[int], figures: Figures) -> str:
    return FAILS if not reached else HOLDS if reached == figures["tokens"] else CONDITION


def _where(reached: list[int], figures: Figures) -> str:
    if not reached:
        return "at no length"
    return "at every length" if reached == figures["tokens"] else f"at {listed(reached)} tokens only"


def _ratios(figures: Figures) -> str:
    """Each median with its quartiles: "1.97× (1.90–2.02), ... the speed at 32, ... tokens"."""
    rows = zip(figures["ratio"], figures["ratio_low"], figures["ratio_high"], strict=True)
    ratios = ", ".join(f"{median:.2f}× ({low:.2f}–{high:.2f})" for median, low, high in rows)
    return f"{ratios} the speed at {listed(figures['tokens'])} tokens"


def _against_bert(challenger: str, judge: Callable[[Figures], Judgement], **said: str) -> Claim:
    """A claim about the speed of a model in use, compared with BERT-base's. said: the claim's other fields."""
    measure = partial(compare_speed, BERT, challenger)
    return Claim(models=(BERT, challenger), kind="timed", measure=measure, judge=judge, **said)


TIMED = (
    _against_bert(
        DISTILBERT,
        judge_sixty,
        id="D2",
        short="DistilBERT: 60% faster",
        statement="DistilBERT is 60% faster than BERT-base in use (inference).",
        source="Sanh et al. 2019, Table 3: STS-B, one CPU, batch 1",
        paper_value="668 s against 410 s: 1.63× the speed, 38.6% less time",
    ),
    _against_bert(
        ALBERT,
        judge_faster,
        id="A2-inference",
        short="ALBERT is faster in use",
        statement="With 9 times fewer parameters, ALBERT-base is faster than BERT-base in use (inference).",
        source="often inferred; Lan et al. 2020 report only the speed of training (Table 2)",
        paper_value="no figure",
    ),
)
