"""How the verdicts of the trained rows follow from an experiment's figures: what all rules share.

All differences are taken seed by seed and count only beyond their spread, that is, if the 95% interval over the seeds
does not include 0. There are two measures, the accuracy after fine-tuning and the held-out masked-word loss. There is a
gain if at least one of them is better and none is worse, and a cost if one is worse (see `Gain`). A difference that a
small experiment does not show may still exist, and the reasons that are given say so.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations
from typing import NamedTuple

from minibert.claims.records import CONDITION, FAILS, HOLDS, UNMEASURED, Figures, Judgement
from minibert.experiments.pretraining import LAYERS, SHORT_LENGTH, SHORT_SHARE, WIDTH
from minibert.experiments.statistics import Cells, Spread, difference
from minibert.words import counted, listed, signed

SMALL_COST = 0.01  # of accuracy: less than this counts as no cost if a claim says that there is none


class Gain(NamedTuple):
    """What one variant has over another, by two measures; more is better in both."""

    accuracy: Spread  # a share
    loss: Spread  # nats by which its held-out loss is lower

    @property
    def shows(self) -> bool:
        """Better beyond the spread by at least one of the measures, and worse by neither."""
        return any(spread.is_above for spread in self) and not any(spread.is_below for spread in self)

    @property
    def is_cost(self) -> bool:
        """Worse beyond the spread by at least one of the measures."""
        return any(spread.is_below for spread in self)


def gain(cells: Cells, better: str, worse: str, loss: str = "masked_lm") -> Gain:
    """What the variant `better` has over the variant `worse` in the figures; it may also be a cost. loss: which one."""
    return Gain(difference(cells, "accuracy", better, worse), difference(cells, loss, worse, better))


# The models of experiments/pretraining.py
SMALL = f"{LAYERS} layers of width {WIDTH}, after {SHORT_SHARE:.0%} as many steps on rows of {SHORT_LENGTH} tokens"


def pretrained(figures: Figures, ours: str, verdict: str, why: str, models: str = SMALL, brief: str = "") -> Judgement:
    """The judgement on models that are pre-trained here: undecided if there is one seed, and always with their size.

    models: what they are, in words. brief: `ours` in a few words.
    """
    if len(figures["seeds"]) < 2:
        verdict, why = UNMEASURED, "It would take at least two seeds to tell a difference from chance."
    return Judgement(ours, verdict, f"{why} {_set_up(figures, models)}", brief)


def no_cost(found: Gain) -> str:
    """The verdict on a claim that something costs nothing."""
    if found.is_cost:
        return FAILS
    return HOLDS if found.accuracy.low >= -SMALL_COST else CONDITION


def cost_in_words(found: Gain) -> str:
    if found.is_cost:
        worse = [words for words, spread in zip(("accuracy", "held-out loss"), found, strict=True) if spread.is_below]
        return f"worse in {listed(worse)}, beyond the spread"
    if found.accuracy.low >= -SMALL_COST:
        return f"no cost shows, and any cost is below {SMALL_COST * 100:.0f} point of accuracy"
    return f"no cost shows, but a cost of up to {-100 * found.accuracy.low:.1f} points of accuracy cannot be ruled out"


def _set_up(figures: Figures, models: str) -> str:
    """What was trained, how small it is, what that means, and what the intervals are."""
    size = figures["size"]
    return (
        f"{seeds_in_words(figures)}; {models}, {size['steps']:,} steps of {size['batch_size']} rows of film reviews, "
        f"fine-tuned on {size['texts']:,} sentences and tested on {size['test_texts']:,}. More is better in all "
        "differences; the nats are those by which the held-out loss is lower. In brackets: 95% intervals over the "
        "seeds, by Student's t. So small an experiment cannot show small differences, and says nothing about large "
        "models."
    )


def seeds_in_words(figures: Figures) -> str:
    return counted(len(figures["seeds"]), "seed")


def gained(found: Gain) -> str:
    """Both measures with their intervals; more is better in both."""
    return f"accuracy {points(found.accuracy)} points, held-out words {in_range(found.loss, 3)} nats"


def changes(gains: dict[str, Gain]) -> str:
    """The means alone, by name: points of accuracy, and nats by which the loss is lower; more is better in both."""
    return "; ".join(
        f"{name} {signed(100 * found.accuracy.mean, 1)} and {signed(found.loss.mean, 3)}"
        for name, found in gains.items()
    )


def briefly(found: Gain) -> str:
    """The means of both measures, for a table."""
    return f"{signed(100 * found.accuracy.mean, 1)} points, {signed(found.loss.mean, 2)} nats"


def in_order(cells: Cells, best_first: Sequence[str], loss: str = "masked_lm") -> str:
    """Whether the variants come out in this order, pair by pair, by the held-out loss and by the accuracy."""
    gains = [gain(cells, better, worse, loss) for better, worse in combinations(best_first, 2)]
    by_loss, by_accuracy = [found.loss for found in gains], [found.accuracy for found in gains]
    return f"{_pairs(by_loss)} by held-out loss and {_pairs(by_accuracy)} by accuracy"


def _pairs(gains: Sequence[Spread]) -> str:
    """How many of the gains that are expected are there, and whether they show beyond the spread."""
    alike = sum(found.mean > 0 for found in gains)
    shown, reversed_ = sum(found.is_above for found in gains), sum(found.is_below for found in gains)
    how = "comes out" if alike == len(gains) else "comes out in part" if alike else "does not come out"
    beyond_it = f"{shown} beyond the spread" + (f", {reversed_} reversed beyond it" if reversed_ else "")
    return f"{how} ({alike} of {len(gains)} pairs; {beyond_it})"


def lost(drop: Gain) -> str:
    """What leaving something out changes, as the paper's table counts it."""
    return f"accuracy {points(drop.accuracy.times(-1))}, loss {in_range(drop.loss, 3)}"


def points(spread: Spread) -> str:
    """A share of right answers, in points."""
    return in_range(spread.times(100), 1)


def in_range(spread: Spread, digits: int) -> str:
    centre = signed(spread.mean, digits)
    if math.isinf(spread.low):
        return centre
    return f"{centre} ({signed(spread.low, digits)} to {signed(spread.high, digits)})"


def beyond(spread: Spread) -> str:
    return "" if spread.is_above or spread.is_below else ", which is within the spread"
