"""How the verdicts of the trained rows come out of an experiment's figures.

All differences are taken seed by seed and count only beyond their spread: where the 95% interval over the seeds does
not include 0. Two measures are looked at, the accuracy after fine-tuning and the held-out masked-word loss. A gain
shows where one of them is better and none is worse; a cost, where one is worse (see `evidence.Gain`). That a
difference does not show in a small run does not mean that there is none, and the reasons given say so.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations
from statistics import fmean

from minibert.claims.evidence import Cells, Gain, Spread, gain, mean_retention, middle, retention, retention_draws
from minibert.claims.records import CONDITION, FAILS, HOLDS, UNMEASURED, Figures, Judgement

SMALL_COST = 0.01  # of accuracy: less than this counts as no cost where a claim says that there is none
READS = 0.2  # nats below the copier from which a model counts as one that reads the sentence
CHANCE, NEAR_CHANCE = 0.5, 0.05  # of right answers about a pair of sentences, and how far from it is still chance


def _mean(cells: Cells, variant: str, measure: str) -> float:
    return fmean(seed[measure] for seed in cells[variant])


# ------------------------------------------------------------------------------------------ D3, from E1

DEPTHS, HALF = (3, 2, 1), 3  # of the teacher's 6 layers
CLAIMED_SHARE = 0.97
DISTILLED, ALONE = "alternate + distillation", "alternate"
TREATMENTS = {
    DISTILLED: "every second layer, distilled",
    ALONE: "every second layer, not distilled",
    "first": "first layers",
    "random": "random weights",
}


DROPPED = "types dropped, 3 layers"  # distilled like DISTILLED, but started as in the released code


def student(treatment: str, depth: int) -> str:
    """What E1 calls this variant."""
    return f"{treatment}, {depth} layers"


def judge_kept(figures: Figures) -> Judgement:
    """Holds where the interval of what the distilled half keeps lies at 97% or above; conditionally where 97% is in it.

    Kept is the student's accuracy over its own teacher's, seed by seed. The interval draws seeds and test texts anew.
    """
    cells, size = figures["cells"], figures["size"]
    half, same = student(DISTILLED, HALF), student(ALONE, HALF)
    kept = retention(cells, half, "teacher")
    low, high = middle(retention_draws(cells, half, "teacher") - retention_draws(cells, same, "teacher"))
    added = Spread(kept.mean - mean_retention(cells, same, "teacher"), low, high)
    by_depth = "; ".join(f"{words} {_by_depth(cells, treatment)}" for treatment, words in TREATMENTS.items())
    return Judgement(
        f"{kept.mean:.1%} ({kept.low:.1%}–{kept.high:.1%}) kept by {HALF} of 6 layers, distilled: "
        f"{_mean(cells, half, 'accuracy'):.1%} right, the teacher {_mean(cells, 'teacher', 'accuracy'):.1%}",
        HOLDS if kept.low >= CLAIMED_SHARE else CONDITION if kept.high >= CLAIMED_SHARE else FAILS,
        f"Kept with {' / '.join(map(str, DEPTHS))} layers: {by_depth}. At half depth distilling adds {_points(added)} "
        f"points{_beyond(added)}. All start from the fine-tuned teacher, its token type folded into the positions; "
        f"dropped, as in the released code: {mean_retention(cells, DROPPED, 'teacher'):.1%}. MiniLM-L6 is the teacher; "
        f"{_seeds(figures)}, {size['texts']:,} film-review sentences to fine-tune on, {size['test_texts']:,} to test. "
        "With so few seeds the interval is rather too narrow; and one task of two classes says nothing of others.",
    )


def _by_depth(cells: Cells, treatment: str) -> str:
    shares = [mean_retention(cells, student(treatment, depth), "teacher") for depth in DEPTHS]
    return " / ".join(f"{share:.1%}" for share in shares)


# ------------------------------------------------------------------------------------------ D6, from E2

ALL_LOSSES = "all three losses"
# What the student goes without -> how E2 calls it, and the paper's drop in GLUE (Sanh et al. 2019, Table 4).
LEFT_OUT = {
    "the teacher's weights": ("from random weights", 3.69),
    "soft targets": ("without soft targets", 2.96),
    "cosine": ("without cosine", 1.46),
    "masked words": ("without masked words", 0.31),
}
LOSSES = ("soft targets", "cosine", "masked words")


def judge_losses(figures: Figures) -> Judgement:
    """Holds where each of the three losses shows a gain over the student that goes without it, conditionally if some.

    The order of the drops in accuracy is compared with the paper's, pair by pair, and is no part of the verdict.
    """
    cells = figures["cells"]
    drops = {name: gain(cells, ALL_LOSSES, variant) for name, (variant, _) in LEFT_OUT.items()}
    ordered = sorted(drops, key=lambda name: -drops[name].accuracy.mean)
    ours = "Without " + "; ".join(f"{name}: {_lost(drops[name])}" for name in ordered)
    if _too_few(figures):
        return _undecided(ours, figures)
    helps = [name for name in LOSSES if drops[name].shows]
    # LEFT_OUT stands in the paper's order.
    alike = sum(drops[one].accuracy.mean > drops[two].accuracy.mean for one, two in combinations(LEFT_OUT, 2))
    start = "helps" if drops["the teacher's weights"].shows else "shows no gain"
    which = f"{_listed(helps) or 'none'} of the three losses {'help' if len(helps) > 1 else 'helps'}"
    return Judgement(
        ours,
        HOLDS if len(helps) == len(LOSSES) else CONDITION if helps else FAILS,
        f"Beyond the spread {which}; starting from the teacher's weights {start}. Of the 6 pairs of drops in accuracy "
        f"{alike} stand in the paper's order (the start, soft targets, cosine, masked words). {_small(figures)}",
    )


# ------------------------------------------------------------------------------------------ A3, from E3

BOTH_SAVINGS, NO_SAVINGS = "all shared, E = 32", "nothing shared, E = 128"
NARROW = "nothing shared, E = 32"


def judge_savings(figures: Figures) -> Judgement:
    """Fails where the savings show a cost; holds where none does and the interval leaves at most 1 point."""
    cells = figures["cells"]
    both = gain(cells, BOTH_SAVINGS, NO_SAVINGS)
    parts = {
        "sharing all": gain(cells, BOTH_SAVINGS, NARROW),
        "only the attention": gain(cells, "attention shared, E = 32", NARROW),
        "only the feed-forward part": gain(cells, "FFN shared, E = 32", NARROW),
        "narrow embeddings alone": gain(cells, NARROW, NO_SAVINGS),
        "sharing all at E = 128": gain(cells, "all shared, E = 128", NO_SAVINGS),
    }
    smaller = _mean(cells, NO_SAVINGS, "parameters") / _mean(cells, BOTH_SAVINGS, "parameters")
    faster = _mean(cells, NO_SAVINGS, "step_seconds") / _mean(cells, BOTH_SAVINGS, "step_seconds")
    ours = f"all shared and E = 32 against nothing shared and E = 128: {_gained(both)}; {smaller:.1f}× fewer parameters"
    if _too_few(figures):
        return _undecided(ours, figures)
    each = "; ".join(f"{name} {_gained(part, brief=True)}" for name, part in parts.items())
    return Judgement(
        ours,
        _no_cost(both),
        f"Both savings together: {_cost_in_words(both)}. Each, in points of accuracy and nats of loss: {each}. A step "
        f"is {faster:.2f}× as fast. {_small(figures)}",
    )


# ------------------------------------------------------------------------------------ A8, R1 and R2, from E4


def judge_order(figures: Figures) -> Judgement:
    """Two parts: SOP shows a gain over NSP; and NSP teaches nothing of order, while SOP does. Holds with both of them.

    The second is so where the NSP-trained model is within 5 points of chance on SOP. Fails with neither, or where NSP
    shows a gain over SOP. Undecided where the SOP-trained model is within 5 points of chance on SOP, too.
    """
    cells = figures["cells"]
    helped = gain(cells, "SOP", "NSP")
    tried = {name: _mean(cells, name, "sop_accuracy") for name in ("NSP", "SOP")}
    ours = f"SOP against NSP: {_gained(helped)}. On SOP {tried['NSP']:.1%} right when trained on NSP"
    if _too_few(figures):
        return _undecided(ours, figures)
    if abs(tried["SOP"] - CHANCE) <= NEAR_CHANCE:
        return Judgement(
            ours,
            UNMEASURED,
            f"Trained on SOP itself, {tried['SOP']:.1%} are right on it: so small a run does not learn the order of "
            "sentences at all, and cannot say which task helps. It takes many more steps. On NSP, trained on it, "
            f"{_mean(cells, 'NSP', 'nsp_accuracy'):.1%} are right. {_small(figures)}",
        )
    blind = abs(tried["NSP"] - CHANCE) <= NEAR_CHANCE
    reversed_ = gain(cells, "NSP", "SOP").shows
    if reversed_ or not (helped.shows or blind):
        verdict = FAILS
    else:
        verdict = HOLDS if helped.shows and blind else CONDITION
    against_none = {name: gain(cells, name, "no pairs") for name in ("NSP", "SOP")}
    shown = "shows a gain" if helped.shows else "shows a cost" if reversed_ else "shows no gain beyond the spread"
    teaches = "NSP does not teach" if blind else "It does not show that NSP fails to teach"
    return Judgement(
        ours,
        verdict,
        f"SOP {shown} over NSP. {teaches} the order of sentences: trained on SOP itself, {tried['SOP']:.1%} are right "
        f"there; trained on NSP, {_mean(cells, 'NSP', 'nsp_accuracy'):.1%} on NSP. Against no pair task: "
        + "; ".join(f"{name} {_gained(part, brief=True)}" for name, part in against_none.items())
        + f" (points of accuracy, nats of loss). {_small(figures)}",
    )


def judge_masking(figures: Figures) -> Judgement:
    """Holds where masking anew shows a gain, fails where it shows a cost; on condition where neither does."""
    found = gain(figures["cells"], "dynamic", "static")
    ours = f"dynamic against static: {_gained(found)}"
    if _too_few(figures):
        return _undecided(ours, figures)
    words = "is better beyond the spread" if found.shows else "is worse by one measure" if found.is_cost else "is alike"
    return Judgement(
        ours,
        HOLDS if found.shows else FAILS if found.is_cost else CONDITION,
        f"Masking anew {words}. The texts are few here and each is read many times, where static masks are learned by "
        f"heart soonest; with more text the two must come closer. {_small(figures)}",
    )


def judge_no_pairs(figures: Figures) -> Judgement:
    """Fails where leaving NSP out shows a cost; holds where none does and the interval leaves at most 1 point."""
    found = gain(figures["cells"], "no pairs", "NSP")
    ours = f"without NSP against with it: {_gained(found)}"
    if _too_few(figures):
        return _undecided(ours, figures)
    return Judgement(
        ours,
        _no_cost(found),
        f"Leaving NSP out: {_cost_in_words(found)}. Both read the same pairs of segments here and only the question "
        f"about them is left out, while RoBERTa also reads longer pieces of text. {_small(figures)}",
    )


# ------------------------------------------------------------------------------------------ shared by the rules


def _no_cost(found: Gain) -> str:
    """The verdict on a claim that something costs nothing."""
    if found.is_cost:
        return FAILS
    return HOLDS if found.accuracy.low >= -SMALL_COST else CONDITION


def _cost_in_words(found: Gain) -> str:
    if found.is_cost:
        worse = [words for words, spread in zip(("accuracy", "held-out loss"), found, strict=True) if spread.is_below]
        return f"worse in {_listed(worse)}, beyond the spread"
    if found.accuracy.low >= -SMALL_COST:
        return f"nothing lost that shows, and less than {SMALL_COST * 100:.0f} point of accuracy"
    most = -100 * found.accuracy.low
    return f"nothing lost that shows, but up to {most:.1f} points of accuracy cannot be ruled out"


def _too_few(figures: Figures) -> bool:
    return len(figures["seeds"]) < 2


def _undecided(ours: str, figures: Figures) -> Judgement:
    return Judgement(ours, UNMEASURED, f"It takes two seeds or more to tell a difference from luck. {_small(figures)}")


def copier_loss(by_frequency: float) -> float:
    """The masked-word loss of one who knows how often words occur and that a visible one is right half of the time.

    Our own reckoning: of the words asked about, eight in ten are hidden, one is exchanged and one is kept
    (`objectives.corrupt`).
    """
    return 0.8 * by_frequency + 0.1 * (by_frequency + math.log(2)) + 0.1 * math.log(2)


def _small(figures: Figures) -> str:
    """How small the models are that are pre-trained from nothing, how far they came, and what that means."""
    size, by_frequency = figures["size"], figures["by_frequency"]
    best = min(_mean(figures["cells"], variant, "masked_lm") for variant in figures["cells"])
    copier = copier_loss(by_frequency)
    read = (
        f"Word frequencies alone give a loss of {by_frequency:.2f}, and copying the visible words besides "
        f"{copier:.2f}; the best model here has {best:.2f}"
        + (", so these models hardly read the sentence yet. " if best > copier - READS else ". ")
    )
    return (
        f"{_seeds(figures).capitalize()}; 4 layers 128 wide, {size['steps']:,} steps of {size['batch_size']} pieces of "
        f"film reviews, fine-tuned on {size['texts']:,} sentences and tested on {size['test_texts']:,}. {read}"
        "So small a run sees no small differences, and does not speak for large models."
    )


def _seeds(figures: Figures) -> str:
    count = len(figures["seeds"])
    return f"{count} seeds" if count > 1 else "1 seed"


def _gained(found: Gain, brief: bool = False) -> str:
    if brief:
        return f"{_signed(100 * found.accuracy.mean, 1)} and {_signed(-found.loss.mean, 3)}"
    return f"accuracy {_points(found.accuracy)} points, held-out loss {_turned(found.loss)} nats"


def _lost(drop: Gain) -> str:
    """What leaving something out changes, as the paper's table counts it."""
    return f"accuracy {_points(_minus(drop.accuracy))}, loss {_range(drop.loss, 3)}"


def _points(spread: Spread) -> str:
    """A share of right answers, in points."""
    return _range(Spread(*(100 * value for value in spread)), 1)


def _turned(spread: Spread) -> str:
    """By how much the loss itself is higher, which is less of a gain."""
    return _range(_minus(spread), 3)


def _minus(spread: Spread) -> Spread:
    return Spread(-spread.mean, -spread.high, -spread.low)


def _range(spread: Spread, digits: int) -> str:
    mean = _signed(spread.mean, digits)
    if math.isinf(spread.low):
        return mean
    return f"{mean} ({_signed(spread.low, digits)} to {_signed(spread.high, digits)})"


def _signed(value: float, digits: int) -> str:
    return f"{round(value, digits) + 0.0:+.{digits}f}".replace("-", "−")  # + 0.0: no minus before a zero


def _beyond(spread: Spread) -> str:
    return "" if spread.is_above or spread.is_below else ", which is within the spread"


def _listed(names: Sequence[str]) -> str:
    return " and ".join((", ".join(names[:-1]), names[-1])) if len(names) > 1 else "".join(names)
