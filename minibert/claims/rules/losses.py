"""D6, from E2: which of DistilBERT's three losses helps?"""

from __future__ import annotations

from itertools import combinations

from minibert.claims.records import CONDITION, FAILS, HOLDS, Figures, Judgement
from minibert.claims.rules.common import gain, lost, pretrained
from minibert.experiments.losses import ALL_LOSSES, NO_COSINE, NO_MASKED_WORDS, NO_SOFT_TARGETS, RANDOM_START
from minibert.words import listed

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
    return pretrained(
        figures,
        "Without " + "; without ".join(f"{name}: {lost(drops[name])}" for name in ordered),
        HOLDS if len(helps) == len(LOSSES) else CONDITION if helps else FAILS,
        f"Of the three losses, {which} beyond the spread; starting from the teacher's weights {start}. Of the 6 pairs "
        f"of drops in accuracy, {alike} {'is' if alike == 1 else 'are'} in the paper's order (the teacher's weights, "
        "soft targets, cosine, masked words).",
    )
