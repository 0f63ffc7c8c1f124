"""A3, from E3: do ALBERT's savings cost quality?"""

from __future__ import annotations

from minibert.claims.records import CONDITION, Figures, Judgement
from minibert.claims.rules.common import briefly, changes, cost_in_words, gain, gained, in_order, no_cost, pretrained
from minibert.experiments.sharing import (
    ATTENTION_SHARED,
    BOTH_SAVINGS,
    BOTH_SAVINGS_EQUAL,
    FFN_SHARED,
    NO_SAVINGS,
    PART_WIDTH,
    SHARED,
    SHARED_EQUAL,
    UNSHARED,
    UNSHARED_EQUAL,
    WIDER_EQUAL,
    WIDTHS,
)
from minibert.experiments.statistics import Cells, mean

NARROW = UNSHARED[PART_WIDTH]

# Lan et al. 2020, averages of five tasks, best first. Table 3: E is 64, 128, 256 or 768, and the blocks are 768 wide;
# our widths are in the same order. Table 4, E = 128.
PAPER_UNSHARED = {WIDTHS[3]: 82.3, WIDTHS[2]: 81.8, WIDTHS[1]: 81.7, WIDTHS[0]: 81.3}
PAPER_SHARED = {WIDTHS[1]: 80.1, WIDTHS[3]: 79.8, WIDTHS[2]: 79.6, WIDTHS[0]: 79.0}
PAPER_PARTS = {ATTENTION_SHARED: 81.7, NARROW: 81.6, FFN_SHARED: 80.2, BOTH_SAVINGS: 80.1}


def judge_savings(figures: Figures) -> Judgement:
    """Compares both savings together with none, at equal steps and at equal operations.

    Fails if a cost shows in both comparisons; with a condition if it shows in one of them, or if neither rules out a
    cost above 1 point; holds otherwise. Whether the orders of the paper's tables come out is said for each half of
    Table 3 and for Table 4; the verdict does not depend on it.
    """
    cells = figures["cells"]
    steps, operations = (gain(cells, both, NO_SAVINGS) for both in (BOTH_SAVINGS, BOTH_SAVINGS_EQUAL))
    verdicts = [no_cost(steps), no_cost(operations)]
    verdict = verdicts[0] if verdicts[0] == verdicts[1] else CONDITION
    parts = {
        "sharing everything": gain(cells, BOTH_SAVINGS, NARROW),
        "sharing only the attention": gain(cells, ATTENTION_SHARED, NARROW),
        "sharing only the feed-forward part": gain(cells, FFN_SHARED, NARROW),
        "narrow embeddings alone": gain(cells, NARROW, NO_SAVINGS),
        f"sharing everything at E = {WIDTHS[-1]}": gain(cells, SHARED[WIDTHS[-1]], NO_SAVINGS),
    }
    smaller = mean(cells, NO_SAVINGS, "parameters") / mean(cells, BOTH_SAVINGS, "parameters")
    return pretrained(
        figures,
        f"all shared and E = {PART_WIDTH} against nothing shared and E = {WIDTHS[-1]}: at equal steps {gained(steps)}; "
        f"at equal operations {gained(operations)}; {smaller:.1f}× fewer parameters",
        verdict,
        f"Both savings together, at equal steps: {cost_in_words(steps)}; at equal operations: "
        f"{cost_in_words(operations)}. {_operations(cells)} What each changes at equal steps: {changes(parts)}. "
        f"{_orders(cells)} If the parameters that sharing saved are spent on twice the width, with "
        f"{mean(cells, WIDER_EQUAL, 'steps'):,.0f} steps, so that the operations are equal: "
        f"{gained(gain(cells, WIDER_EQUAL, NO_SAVINGS))}.",
        brief=briefly(operations),
    )


def _operations(cells: Cells) -> str:
    """How little the savings save while training on one device, counted and timed."""

    def less(variant: str, measure: str) -> float:
        return 1 - mean(cells, variant, measure) / mean(cells, NO_SAVINGS, measure)

    return (
        f"Narrow embeddings need {less(NARROW, 'operations'):.1%} fewer operations in a step, and sharing saves none; "
        f"together they save {less(BOTH_SAVINGS, 'step_seconds'):.0%} of the time."
    )


def _orders(cells: Cells) -> str:
    """Whether the orders of the paper's tables come out here: of both halves of Table 3, and of Table 4."""
    unshared = _widths(cells, UNSHARED, UNSHARED_EQUAL, PAPER_UNSHARED)
    shared = _widths(cells, SHARED, SHARED_EQUAL, PAPER_SHARED)
    return (
        f"The paper's order of E where nothing is shared (quality grows with E) {unshared}. Its order where all is "
        f"shared (the second E is best, then the fourth, the third, the first) {shared}. Its order of the parts "
        f"(attention shared, nothing, feed-forward part, all) {in_order(cells, list(PAPER_PARTS))}."
    )


def _widths(
    cells: Cells, equal_steps: dict[int, str], equal_operations: dict[int, str], paper: dict[int, float]
) -> str:
    """What becomes of the paper's order of the widths of the embeddings."""
    losses = " / ".join(f"{mean(cells, equal_steps[width], 'masked_lm'):.2f}" for width in WIDTHS)
    steps, operations = (
        in_order(cells, [variants[width] for width in paper]) for variants in (equal_steps, equal_operations)
    )
    return (
        f"{steps}; at equal operations it {operations} (held-out losses for E = {' / '.join(map(str, WIDTHS))}, at "
        f"equal steps: {losses} nats)"
    )
