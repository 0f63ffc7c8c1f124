"""How the verdicts of the trained rows follow from an experiment's figures.

All differences are taken seed by seed and count only beyond their spread, that is, if the 95% interval over the seeds
does not include 0. There are two measures, the accuracy after fine-tuning and the held-out masked-word loss. There is a
gain if at least one of them is better and none is worse, and a cost if one is worse (see `Gain`). A difference that a
small experiment does not show may still exist, and the reasons that are given say so.
"""

from __future__ import annotations

import math
from itertools import combinations
from typing import NamedTuple

from minibert.claims.records import CONDITION, FAILS, HOLDS, UNMEASURED, Figures, Judgement
from minibert.experiments.losses import ALL_LOSSES, NO_COSINE, NO_MASKED_WORDS, NO_SOFT_TARGETS, RANDOM_START
from minibert.experiments.masking_and_pairs import DYNAMIC, NO_PAIRS, NSP, SOP, STATIC
from minibert.experiments.pretraining import LAYERS, WIDTH
from minibert.experiments.retention import (
    ALONE,
    DEPTHS,
    DISTILLED,
    DROPPED,
    FIRST,
    HALF,
    RANDOM,
    TEACHER,
    TEACHER_LAYERS,
    student,
)
from minibert.experiments.sharing import ATTENTION_SHARED, BOTH_SAVINGS, FFN_SHARED, NARROW, NO_SAVINGS, SHARED
from minibert.experiments.statistics import (
    Cells,
    Spread,
    difference,
    mean,
    mean_retention,
    middle,
    retention,
    retention_draws,
)
from minibert.words import counted, listed, signed

SMALL_COST = 0.01  # of accuracy: less than this counts as no cost if a claim says that there is none
READS = 0.2  # how many nats below the copier's loss a model must be to count as one that reads the sentence
CHANCE, NEAR_CHANCE = 0.5, 0.05  # the share of right answers about sentence pairs by chance, and how near counts as it


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


def gain(cells: Cells, better: str, worse: str) -> Gain:
    """What the variant `better` has over the variant `worse` in the figures; it may also be a cost."""
    return Gain(difference(cells, "accuracy", better, worse), difference(cells, "masked_lm", worse, better))


# ------------------------------------------------------------------------------------------ D3, from E1

CLAIMED_SHARE = 0.97
TREATMENTS = {
    DISTILLED: "every second layer, distilled",
    ALONE: "every second layer, not distilled",
    FIRST: "first layers",
    RANDOM: "random weights",
}


def judge_kept(figures: Figures) -> Judgement:
    """Judges the interval of what the distilled half keeps: holds at 97% or above, with a condition if 97% is in it.

    What is kept is the student's accuracy divided by its own teacher's, seed by seed. The interval comes from
    resampling seeds and test texts.
    """
    cells, size = figures["cells"], figures["size"]
    half, same = student(DISTILLED, HALF), student(ALONE, HALF)
    kept = retention(cells, half, TEACHER)
    low, high = middle(retention_draws(cells, half, TEACHER) - retention_draws(cells, same, TEACHER))
    added = Spread(kept.mean - mean_retention(cells, same, TEACHER), low, high)
    by_depth = "; ".join(f"{words} {_by_depth(cells, treatment)}" for treatment, words in TREATMENTS.items())
    return Judgement(
        f"{kept.mean:.1%} ({kept.low:.1%}–{kept.high:.1%}) kept by {HALF} of {TEACHER_LAYERS} layers, distilled: "
        f"accuracy {mean(cells, half, 'accuracy'):.1%}, the teacher's {mean(cells, TEACHER, 'accuracy'):.1%}",
        HOLDS if kept.low >= CLAIMED_SHARE else CONDITION if kept.high >= CLAIMED_SHARE else FAILS,
        f"Kept with {' / '.join(map(str, DEPTHS))} layers: {by_depth}. At half depth, distillation adds "
        f"{_points(added)} points{_beyond(added)}. All students except those with random weights start from the "
        "fine-tuned teacher, with its vector of token type 0 added to the positions; if it is dropped instead, as in "
        f"the released code, a distilled student of {HALF} layers keeps "
        f"{mean_retention(cells, DROPPED, TEACHER):.1%}. The teacher is "
        f"MiniLM-L6; {_seeds(figures)}, {size['texts']:,} film-review sentences to fine-tune on, "
        f"{size['test_texts']:,} to test on. With so few seeds the interval is somewhat too narrow, and one task with "
        "two classes says nothing about other tasks.",
    )


def _by_depth(cells: Cells, treatment: str) -> str:
    shares = [mean_retention(cells, student(treatment, depth), TEACHER) for depth in DEPTHS]
    return " / ".join(f"{share:.1%}" for share in shares)


# ------------------------------------------------------------------------------------------ D6, from E2

# What the student lacks -> its variant, and the paper's drop in GLUE (Sanh et al. 2019, Table 4).
LEFT_OUT = {
    "the teacher's weights": (RANDOM_START, 3.69),
    "soft targets": (NO_SOFT_TARGETS, 2.96),
    "cosine": (NO_COSINE, 1.46),
    "masked words": (NO_MASKED_WORDS, 0.31),
}
LOSSES = ("soft targets", "cosine", "masked words")


def judge_losses(figures: Figures) -> Judgement:
    """Holds if each of the three losses shows a gain over the student without it, with a condition if only some do.

    The order of the drops in accuracy is compared with the paper's, pair by pair; the verdict does not depend on it.
    """
    cells = figures["cells"]
    drops = {name: gain(cells, ALL_LOSSES, variant) for name, (variant, _) in LEFT_OUT.items()}
    ordered = sorted(drops, key=lambda name: -drops[name].accuracy.mean)
    helps = [name for name in LOSSES if drops[name].shows]
    # LEFT_OUT is in the paper's order.
    alike = sum(drops[one].accuracy.mean > drops[two].accuracy.mean for one, two in combinations(LEFT_OUT, 2))
    start = "helps" if drops["the teacher's weights"].shows else "shows no gain"
    which = f"{listed(helps) or 'none'} {'help' if len(helps) > 1 else 'helps'}"
    return _pretrained(
        figures,
        "Without " + "; without ".join(f"{name}: {_lost(drops[name])}" for name in ordered),
        HOLDS if len(helps) == len(LOSSES) else CONDITION if helps else FAILS,
        f"Of the three losses, {which} beyond the spread; starting from the teacher's weights {start}. Of the 6 pairs "
        f"of drops in accuracy, {alike} {'is' if alike == 1 else 'are'} in the paper's order (the teacher's weights, "
        "soft targets, cosine, masked words).",
    )


# ------------------------------------------------------------------------------------------ A3, from E3


def judge_savings(figures: Figures) -> Judgement:
    """Fails if the savings show a cost; holds if they do not and the interval rules out a cost above 1 point."""
    cells = figures["cells"]
    both = gain(cells, BOTH_SAVINGS, NO_SAVINGS)
    parts = {
        "sharing everything": gain(cells, BOTH_SAVINGS, NARROW),
        "sharing only the attention": gain(cells, ATTENTION_SHARED, NARROW),
        "sharing only the feed-forward part": gain(cells, FFN_SHARED, NARROW),
        "narrow embeddings alone": gain(cells, NARROW, NO_SAVINGS),
        "sharing everything at E = 128": gain(cells, SHARED, NO_SAVINGS),
    }
    smaller = mean(cells, NO_SAVINGS, "parameters") / mean(cells, BOTH_SAVINGS, "parameters")
    faster = mean(cells, NO_SAVINGS, "step_seconds") / mean(cells, BOTH_SAVINGS, "step_seconds")
    return _pretrained(
        figures,
        f"all shared and E = 32 against nothing shared and E = 128: {_gained(both)}; {smaller:.1f}× fewer parameters",
        _no_cost(both),
        f"Both savings together: {_cost_in_words(both)}. What each changes, in points of accuracy and nats of loss: "
        f"{_changes(parts)}. A training step is {faster:.2f}× as fast.",
    )


# ------------------------------------------------------------------------------------ A8, R1 and R2, from E4


def judge_order(figures: Figures) -> Judgement:
    """Two parts: SOP shows a gain over NSP; and NSP teaches nothing about order, but SOP does. Holds if both are true.

    The second is true if the NSP-trained model is within 5 points of chance on SOP. Fails if neither is true, or if NSP
    shows a gain over SOP. Undecided if the SOP-trained model, too, is within 5 points of chance on SOP.
    """
    cells = figures["cells"]
    helped = gain(cells, SOP, NSP)
    on_sop = {name: mean(cells, name, "sop_accuracy") for name in (NSP, SOP)}
    nsp_on_nsp = mean(cells, NSP, "nsp_accuracy")
    ours = (
        f"SOP against NSP: {_gained(helped)}. Trained on NSP, a model is right on SOP in {on_sop[NSP]:.1%} of the cases"
    )
    if abs(on_sop[SOP] - CHANCE) <= NEAR_CHANCE:
        return _pretrained(
            figures,
            ours,
            UNMEASURED,
            f"Even a model trained on SOP is right on SOP in only {on_sop[SOP]:.1%} of the cases: in such a small "
            "experiment the order of sentences is not learned at all, so it cannot say which task helps. It would take "
            f"many more steps. Trained on NSP, a model is right on NSP in {nsp_on_nsp:.1%} of the cases.",
        )
    blind = abs(on_sop[NSP] - CHANCE) <= NEAR_CHANCE
    reversed_ = gain(cells, NSP, SOP).shows
    if reversed_ or not (helped.shows or blind):
        verdict = FAILS
    else:
        verdict = HOLDS if helped.shows and blind else CONDITION
    against_none = {name: gain(cells, name, NO_PAIRS) for name in (NSP, SOP)}
    shown = "shows a gain" if helped.shows else "shows a cost" if reversed_ else "shows no gain beyond the spread"
    teaches = "NSP does not teach" if blind else "It does not show that NSP fails to teach"
    return _pretrained(
        figures,
        ours,
        verdict,
        f"SOP {shown} over NSP. {teaches} the order of sentences: trained on SOP, a model is right on SOP in "
        f"{on_sop[SOP]:.1%} of the cases; trained on NSP, on NSP in {nsp_on_nsp:.1%}. Against no pair task: "
        f"{_changes(against_none)} (points of accuracy, nats of loss).",
    )


def judge_masking(figures: Figures) -> Judgement:
    """Holds if dynamic masking shows a gain, fails if it shows a cost; with a condition if it shows neither."""
    found = gain(figures["cells"], DYNAMIC, STATIC)
    compared = "is better" if found.shows else "is worse by one measure" if found.is_cost else "makes no difference"
    return _pretrained(
        figures,
        f"dynamic against static: {_gained(found)}",
        HOLDS if found.shows else FAILS if found.is_cost else CONDITION,
        f"Dynamic masking {compared} beyond the spread. Here there are few texts and each is read many times, so that "
        "static masks are soon memorised; with more text the difference should be smaller.",
    )


def judge_no_pairs(figures: Figures) -> Judgement:
    """Fails if leaving NSP out shows a cost; holds if it does not and the interval rules out a cost above 1 point."""
    found = gain(figures["cells"], NO_PAIRS, NSP)
    return _pretrained(
        figures,
        f"without NSP against with it: {_gained(found)}",
        _no_cost(found),
        f"Leaving NSP out: {_cost_in_words(found)}. Here both models read the same pairs of segments, and only the "
        "question about them is left out; in RoBERTa's experiment the texts are also longer.",
    )


# ------------------------------------------------------------------------------------------ shared by the rules


def _pretrained(figures: Figures, ours: str, verdict: str, why: str) -> Judgement:
    """The judgement on models that are pre-trained here: undecided if there is one seed, and always with their size."""
    if len(figures["seeds"]) < 2:
        verdict, why = UNMEASURED, "It would take at least two seeds to tell a difference from chance."
    return Judgement(ours, verdict, f"{why} {_small(figures)}")


def _no_cost(found: Gain) -> str:
    """The verdict on a claim that something costs nothing."""
    if found.is_cost:
        return FAILS
    return HOLDS if found.accuracy.low >= -SMALL_COST else CONDITION


def _cost_in_words(found: Gain) -> str:
    if found.is_cost:
        worse = [words for words, spread in zip(("accuracy", "held-out loss"), found, strict=True) if spread.is_below]
        return f"worse in {listed(worse)}, beyond the spread"
    if found.accuracy.low >= -SMALL_COST:
        return f"no cost shows, and any cost is below {SMALL_COST * 100:.0f} point of accuracy"
    return f"no cost shows, but a cost of up to {-100 * found.accuracy.low:.1f} points of accuracy cannot be ruled out"


def copier_loss(by_frequency: float) -> float:
    """The masked-word loss of a model that knows how often words occur and that a visible word is right half the time.

    Our own calculation: of ten words to predict, eight are hidden, one is replaced by another and one is kept
    (`objectives.corrupt`).
    """
    return 0.8 * by_frequency + 0.1 * (by_frequency + math.log(2)) + 0.1 * math.log(2)


def _small(figures: Figures) -> str:
    """How small the models that are pre-trained here are, how good they become, and what that means."""
    size, by_frequency = figures["size"], figures["by_frequency"]
    best = min(mean(figures["cells"], variant, "masked_lm") for variant in figures["cells"])
    copier = copier_loss(by_frequency)
    reads = ", so these models hardly read the sentence yet" if best > copier - READS else ""
    return (
        f"{_seeds(figures)}; {LAYERS} layers of width {WIDTH}, {size['steps']:,} steps of {size['batch_size']} rows of "
        f"film reviews, fine-tuned on {size['texts']:,} sentences and tested on {size['test_texts']:,}. Knowing only "
        f"how often each word occurs gives a loss of {by_frequency:.2f}; copying the visible words as well gives "
        f"{copier:.2f}. The best model here reaches {best:.2f}{reads}. So small an experiment cannot show small "
        "differences, and says nothing about large models."
    )


def _seeds(figures: Figures) -> str:
    return counted(len(figures["seeds"]), "seed")


def _gained(found: Gain) -> str:
    return f"accuracy {_points(found.accuracy)} points, held-out loss {_range(found.loss.times(-1), 3)} nats"


def _changes(gains: dict[str, Gain]) -> str:
    """The means alone: the change in points of accuracy and in nats of loss, by name."""
    return "; ".join(
        f"{name} {signed(100 * found.accuracy.mean, 1)} and {signed(-found.loss.mean, 3)}"
        for name, found in gains.items()
    )


def _lost(drop: Gain) -> str:
    """What leaving something out changes, as the paper's table counts it."""
    return f"accuracy {_points(drop.accuracy.times(-1))}, loss {_range(drop.loss, 3)}"


def _points(spread: Spread) -> str:
    """A share of right answers, in points."""
    return _range(spread.times(100), 1)


def _range(spread: Spread, digits: int) -> str:
    centre = signed(spread.mean, digits)
    if math.isinf(spread.low):
        return centre
    return f"{centre} ({signed(spread.low, digits)} to {signed(spread.high, digits)})"


def _beyond(spread: Spread) -> str:
    return "" if spread.is_above or spread.is_below else ", which is within the spread"
