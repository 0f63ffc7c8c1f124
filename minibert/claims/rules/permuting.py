"""X1, from E6: does predicting words in a permuted order teach more than predicting masked words?"""

from __future__ import annotations

from minibert.claims.records import CONDITION, FAILS, HOLDS, Figures, Judgement
from minibert.claims.rules.common import Gain, briefly, changes, gain, gained, in_order, in_range, pretrained
from minibert.experiments.permuting import MASKED, MASKED_MEMORY, PERMUTED, PERMUTED_MEMORY
from minibert.experiments.relatives import BERT
from minibert.experiments.statistics import Cells, mean, over_seeds, values

SAME_WORDS = "same_words"  # the loss of the same words given the same context: the one that is fair to both
PAPERS_ORDER = (PERMUTED_MEMORY, PERMUTED, MASKED_MEMORY, BERT)  # by accuracy on RACE, the best first


def judge_permuted(figures: Figures) -> Judgement:
    """Holds if permuted words show a gain over masked ones in the same model both with memory and without, fails if in
    neither; with a condition if in one. The loss is that of the same words given the same context."""
    cells = figures["cells"]
    pairs = {"with memory": (PERMUTED_MEMORY, MASKED_MEMORY), "without memory": (PERMUTED, MASKED)}
    found = {name: gain(cells, *pair, loss=SAME_WORDS) for name, pair in pairs.items()}
    shown = [one.shows for one in found.values()]
    memory = {"permuted": gain(cells, PERMUTED_MEMORY, PERMUTED, loss=SAME_WORDS),
              "masked": gain(cells, MASKED_MEMORY, MASKED, loss=SAME_WORDS)}  # fmt: skip
    bert = {name: gain(cells, name, BERT, loss=SAME_WORDS) for name in (PERMUTED, MASKED)}
    longer = mean(cells, PERMUTED, "step_seconds") / mean(cells, MASKED, "step_seconds")
    return pretrained(
        figures,
        "permuted against masked words: " + "; ".join(f"{name}, {gained(one)}" for name, one in found.items()),
        HOLDS if all(shown) else CONDITION if any(shown) else FAILS,
        f"{' '.join(_told(name, one) for name, one in found.items())} The loss is that of the same held-out words "
        "given the same context, all other words of the row: [MASK] hides them from the one, the attention mask from "
        f"the other. What memory changes, in points and nats: {changes(memory)}; with the row before at hand, the loss "
        f"of a model's own task falls by {_used(cells)}. XLNet without memory against BERT: {changes(bert)}. The "
        "paper's order (permuted words with memory, without, masked words with memory, BERT) "
        f"{in_order(cells, PAPERS_ORDER, SAME_WORDS)}. Steps are equal, time is not: a step of permuted words takes "
        f"{longer:.1f}× as long as one of masked words. The sentences to classify have no text before them, so memory "
        "helps there only through what it taught; the paper's task has long texts.",
        brief=f"with memory {briefly(found['with memory'])}",
    )


def _told(name: str, found: Gain) -> str:
    what = "a gain" if found.shows else "a cost by at least one measure" if found.is_cost else "no difference"
    return f"{name.capitalize()}, permuted words show {what} beyond the spread."


def _used(cells: Cells) -> str:
    """By how much memory lowers each objective's own held-out loss in the models that have it."""
    terms = {"permuted words": (PERMUTED_MEMORY, "permutation_lm"), "masked words": (MASKED_MEMORY, "masked_lm")}
    found = []
    for name, (variant, term) in terms.items():
        pairs = zip(values(cells, variant, term), values(cells, variant, f"{term}_remembering"), strict=True)
        found.append(f"{in_range(over_seeds([alone - remembering for alone, remembering in pairs]), 3)} ({name})")
    return " and ".join(found)
