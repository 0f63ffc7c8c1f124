"""How the verdicts of the trained rows follow from their figures: a file for each experiment, and what they share."""

from __future__ import annotations

from minibert.claims.rules.common import Gain, gain
from minibert.claims.rules.kept import judge_kept
from minibert.claims.rules.large_batches import judge_batches
from minibert.claims.rules.losses import ALL_LOSSES, LEFT_OUT, judge_losses
from minibert.claims.rules.masking_and_pairs import judge_masking, judge_no_pairs, judge_order
from minibert.claims.rules.mobile import judge_mobile
from minibert.claims.rules.permuting import judge_permuted
from minibert.claims.rules.restoring import judge_restoring
from minibert.claims.rules.savings import BOTH_SAVINGS, NO_SAVINGS, judge_savings
from minibert.experiments.reading import copying_loss

__all__ = [
    "ALL_LOSSES",
    "BOTH_SAVINGS",
    "LEFT_OUT",
    "NO_SAVINGS",
    "Gain",
    "copying_loss",
    "gain",
    "judge_batches",
    "judge_kept",
    "judge_losses",
    "judge_masking",
    "judge_mobile",
    "judge_no_pairs",
    "judge_order",
    "judge_permuted",
    "judge_restoring",
    "judge_savings",
]
