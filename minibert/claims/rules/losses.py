"""D6, from E2: which of DistilBERT's three losses helps?"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

from minibert.claims.records import CONDITION, FAILS, HOLDS, UNMEASURED, Figures, Judgement
from minibert.claims.rules.common import Gain, gain, lost, seeds_in_words
from minibert.experiments import students
from minibert.experiments.losses import (
    ALL_LOSSES,
    ASIDE,
    NO_COSINE,
    NO_MASKED_WORDS,
    NO_SOFT_TARGETS,
    RANDOM_START,
    TEACHER,
)
from minibert.experiments.statistics import Cells, mean
from minibert.words import listed

# What the student lacks -> its variant, and the paper's drop in GLUE (Sanh et al. 2019, Table 4).
LEFT_OUT = {
    "the teacher's weights": (RANDOM_START, 3.69),
    "soft targets": (NO_SOFT_TARGETS, 2.96),
    "cosine": (NO_COSINE, 1.46),
    "masked words": (NO_MASKED_WORDS, 0.31),
}
LOSSES = ("soft targets", "cosine", "masked words")
MEASURES = ("masked_lm", "accuracy")


def judge_losses(figures: Figures) -> Judgement:
    """Holds if each of the three losses shows a gain over the student without it, with a condition if only some do.

    The order of the drops is compared with the paper's, pair by pair, by both measures; the verdict does not depend on
    it.
    """
    cells = figures["cells"]
    drops = {name: gain(cells, ALL_LOSSES, variant) for name, (variant, _) in LEFT_OUT.items()}
    ordered = sorted(drops, key=lambda name: -drops[name].loss.mean)
    helps = [name for name in LOSSES if drops[name].shows]
    start = "helps" if drops["the teacher's weights"].shows else "shows no gain"
    which = f"{listed(helps) or 'none'} {'help' if len(helps) > 1 else 'helps'}"
    verdict = HOLDS if len(helps) == len(LOSSES) else CONDITION if helps else FAILS
    why = (
        f"Of the three losses, {which} beyond the spread; starting from the teacher's weights {start}. Of the 6 pairs "
        f"of drops, {_alike(drops, 'accuracy')} by accuracy and {_alike(drops, 'loss')} by loss are in the paper's "
        "order (the teacher's weights, soft targets, cosine, masked words). "
        f"{_of_teacher(cells)} Held-out loss of other students: {_aside(cells)}. {_set_up(figures)}"
    )
    if len(figures["seeds"]) < 2:
        verdict, why = UNMEASURED, f"It would take at least two seeds to tell a difference from chance. {why}"
    ours = "Without " + "; without ".join(f"{name}: {lost(drops[name])}" for name in ordered)
    return Judgement(ours, verdict, why, f"{len(helps)} of {len(LOSSES)} help")


def _alike(drops: Mapping[str, Gain], measure: str) -> int:
    """How many of the pairs of drops are in the paper's order, which is that of LEFT_OUT."""
    sizes = {name: getattr(drop, measure).mean for name, drop in drops.items()}
    return sum(sizes[one] > sizes[two] for one, two in combinations(LEFT_OUT, 2))


def _of_teacher(cells: Cells) -> str:
    """The student and the teacher, side by side."""
    loss, accuracy = ({name: mean(cells, name, what) for name in (TEACHER, ALL_LOSSES)} for what in MEASURES)
    return (
        f"The student with all three losses has a held-out loss of {loss[ALL_LOSSES]:.2f} nats (its teacher "
        f"{loss[TEACHER]:.2f}), gives the teacher's best guess for {mean(cells, ALL_LOSSES, 'agreement'):.0%} of the "
        f"masked words, and after fine-tuning is right in {accuracy[ALL_LOSSES]:.1%} of the cases (its teacher "
        f"{accuracy[TEACHER]:.1%})."
    )


def _aside(cells: Cells) -> str:
    return "; ".join(f"{name} {mean(cells, name, 'masked_lm'):.2f}" for name in ASIDE if cells.get(name))


def _set_up(figures: Figures) -> str:
    size = figures["size"]
    return (
        f"{seeds_in_words(figures)}; students of {len(students.Recipe().layers)} of the {students.TEACHER_LAYERS} "
        f"layers of {students.TEACHER}, {size['steps']:,} steps "
        f"of {size['batch_size']} rows of film reviews, fine-tuned on {size['texts']:,} sentences and tested on "
        f"{size['test_texts']:,}. So short a training cannot show small differences."
    )
