"""B1, from E6: does BART understand as a BERT does that was trained as RoBERTa was, and does it write?"""

from __future__ import annotations

import math

from minibert.claims.records import CONDITION, FAILS, HOLDS, Figures, Judgement
from minibert.claims.rules.common import SMALL_COST, beyond, points, pretrained
from minibert.experiments.relatives import LONGER_BERT as BERT
from minibert.experiments.restoring import BART, LONGER
from minibert.experiments.statistics import Spread, difference, mean, over_seeds, values
from minibert.words import signed


def judge_restoring(figures: Figures) -> Judgement:
    """Two parts. It understands as well if the interval of the difference in accuracy rules out a cost above 1 point.
    It writes if it restores more of the missing words than the most frequent word would in each gap, beyond the spread.
    Holds if both are shown, with a condition if one is, fails if neither is."""
    cells = figures["cells"]
    accuracy = difference(cells, "accuracy", BART, BERT)
    restored = over_seeds(values(cells, BART, "restored"))
    pairs = zip(values(cells, BART, "restored"), values(cells, BART, "frequent_restored"), strict=True)
    over_frequent = over_seeds([ours - theirs for ours, theirs in pairs])
    understands, writes = accuracy.low >= -SMALL_COST, over_frequent.is_above
    cost = "is worse beyond the spread" if accuracy.is_below else "cannot be ruled out to be worse"
    overlaps = ", ".join(
        f"{name} {mean(cells, variant, measure):.1%}"
        for name, variant, measure in (
            ("BART", BART, "overlap"),
            ("copying", BART, "copying_overlap"),
            ("the most frequent word in each gap", BART, "frequent_overlap"),
            ("BERT, told how many tokens are missing in each gap,", BERT, "overlap"),
        )
    )
    size = figures["size"] | {"steps": LONGER * figures["size"]["steps"]}
    return pretrained(
        figures | {"size": size},
        f"BART against BERT: accuracy {points(accuracy)} points; of the missing words it restores "
        f"{_share(restored)}, where copying restores none",
        HOLDS if understands and writes else CONDITION if understands or writes else FAILS,
        f"In accuracy BART {'is as good, to a point' if understands else cost}. It restores {points(over_frequent)} "
        f"points more than the most frequent word in each gap would{beyond(over_frequent)}. Words of the text in place "
        f"(overlap): {overlaps}; {mean(cells, BART, 'exact'):.1%} of the rows are restored without a mistake. BERT, "
        f"which cannot write, fills {mean(cells, BERT, 'restored'):.1%} of the missing words when it is told their "
        "number. The BERT is trained as RoBERTa was, with new masks each time and no sentence pairs; both are of one "
        "size and judged by the mean of their hidden states. In the paper BART is within 0.3 points of RoBERTa on the "
        "tasks listed, except on CoLA (is a sentence grammatical?), where it is 5.2 lower; restoring is the task that "
        "it was trained for, and the summaries that the paper tests need more than that. BART has learned to fill gaps "
        "alone, without the paper's permuted sentences.",
        brief=f"{signed(100 * accuracy.mean, 1)} points, {restored.mean:.0%} restored",
    )


def _share(spread: Spread) -> str:
    return f"{spread.mean:.1%}" + ("" if math.isinf(spread.low) else f" ({spread.low:.1%} to {spread.high:.1%})")
