"""A3, from E3: do ALBERT's savings cost quality?"""

from __future__ import annotations

from minibert.claims.records import Figures, Judgement
from minibert.claims.rules.common import changes, cost_in_words, gain, gained, no_cost, pretrained
from minibert.experiments.sharing import ATTENTION_SHARED, BOTH_SAVINGS, FFN_SHARED, NARROW, NO_SAVINGS, SHARED
from minibert.experiments.statistics import mean


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
    return pretrained(
        figures,
        f"all shared and E = 32 against nothing shared and E = 128: {gained(both)}; {smaller:.1f}× fewer parameters",
        no_cost(both),
        f"Both savings together: {cost_in_words(both)}. What each changes, in points of accuracy and nats of loss: "
        f"{changes(parts)}. A training step is {faster:.2f}× as fast.",
    )
