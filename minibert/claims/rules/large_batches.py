"""R3, from E6: do larger batches make the model better if all read equally much?"""

from __future__ import annotations

from itertools import pairwise

from minibert.claims.records import CONDITION, FAILS, HOLDS, Figures, Judgement
from minibert.claims.rules.common import briefly, gain, gained, in_order, pretrained
from minibert.experiments.large_batches import BATCHES, FACTORS, variant
from minibert.experiments.statistics import Cells, mean
from minibert.words import listed

PAPERS_ORDER = (BATCHES[1], BATCHES[2], BATCHES[0])  # the best first, by perplexity (Liu et al. 2019, Table 3)


def judge_batches(figures: Figures) -> Judgement:
    """Each size of batch is judged at that learning rate, of those tried, that has the lowest mean held-out loss.

    Two steps up, from 32 to 128 rows and from there to 512. Holds if both show a gain, with a condition if one does.
    """
    cells, size = figures["cells"], figures["size"]
    factors = {rows: best_factor(cells, rows) for rows in BATCHES}
    best = {rows: variant(rows, factor) for rows, factor in factors.items()}
    ups = {(larger, smaller): gain(cells, best[larger], best[smaller]) for smaller, larger in pairwise(BATCHES)}
    better = [f"{larger} rows over {smaller}" for (larger, smaller), found in ups.items() if found.shows]
    worse = [f"{larger} rows over {smaller}" for (larger, smaller), found in ups.items() if found.is_cost]
    edge = [str(rows) for rows, factor in factors.items() if factor in (FACTORS[0], FACTORS[-1])]
    steps = [f"{mean(cells, best[rows], 'steps'):,.0f}" for rows in BATCHES]
    rates = [f"{mean(cells, best[rows], 'learning_rate'):.4f}" for rows in BATCHES]
    tokens = [rows * size["max_length"] for rows in (BATCHES[0], BATCHES[-1])]
    return pretrained(
        figures,
        "; ".join(f"{larger} rows against {smaller}: {gained(found)}" for (larger, smaller), found in ups.items()),
        HOLDS if len(better) == len(ups) else CONDITION if better else FAILS,
        f"A gain beyond the spread: {listed(better) or 'none'}; a cost: {listed(worse) or 'none'}. All sizes read "
        f"equally many rows, so batches of {listed(map(str, BATCHES))} rows make {listed(steps)} steps. The best "
        f"learning rates of three tried are {listed(rates)}{_at_the_edge(edge)}. In the paper the middle of three "
        "sizes is best, then the largest, then the smallest; here this order "
        f"{in_order(cells, [best[rows] for rows in PAPERS_ORDER])}. But a batch has {tokens[0]:,} to {tokens[1]:,} "
        "tokens here, fewer than the paper's smallest, and a model that is trained for a short time needs its steps. "
        "What large batches are made for, that many processors share one, is not measured.",
        brief=f"{BATCHES[-1]} against {BATCHES[0]}: {briefly(gain(cells, best[BATCHES[-1]], best[BATCHES[0]]))}",
    )


def best_factor(cells: Cells, rows: int) -> float:
    return min(FACTORS, key=lambda factor: mean(cells, variant(rows, factor), "masked_lm"))


def _at_the_edge(edge: list[str]) -> str:
    return f" (for {listed(edge)} rows it is the lowest or the highest, so another may be better still)" if edge else ""
