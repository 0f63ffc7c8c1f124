"""M3, from E6: is MobileBERT about as good as BERT, and what of its teaching makes it so?"""

from __future__ import annotations

from minibert.claims.records import CONDITION, FAILS, HOLDS, Figures, Judgement
from minibert.claims.rules.common import Gain, briefly, changes, gain, gained, pretrained
from minibert.experiments.mobile import ALONE, COPIED, DISTILLED, NARROW_BERT, TEACHER, TRANSFER, TRANSFER_SHARE
from minibert.experiments.relatives import BERT
from minibert.experiments.statistics import mean
from minibert.words import listed

ABOUT = 0.01  # of accuracy: what "about as good" may lack; the paper's own value is 0.6 points lower


def judge_mobile(figures: Figures) -> Judgement:
    """Judges the interval of the difference in accuracy from BERT: holds if all of it is above -1 point, with a
    condition if some of it is. How the student is taught is told, and does not decide."""
    cells = figures["cells"]
    against_bert = gain(cells, TRANSFER, BERT)
    over = {
        "the same without the layers": gain(cells, TRANSFER, COPIED),
        "distillation alone": gain(cells, TRANSFER, DISTILLED),
        "no teacher": gain(cells, TRANSFER, ALONE),
        "a BERT of its size": gain(cells, TRANSFER, NARROW_BERT),
    }
    better = [name for name, found in over.items() if found.shows]
    smaller = mean(cells, BERT, "parameters") / mean(cells, TRANSFER, "parameters")
    accuracy = against_bert.accuracy
    larger = mean(cells, TEACHER, "parameters") / mean(cells, TRANSFER, "parameters")
    stages = cells[TRANSFER][0]["stages"]  # of each layer, the loss before and after
    learned = f", and with the first seed their losses fell by {listed(_fell(stage) for stage in stages)}"
    return pretrained(
        figures,
        f"taught layer by layer, against BERT: {gained(against_bert)}; {smaller:.1f}× smaller",
        HOLDS if accuracy.low >= -ABOUT else CONDITION if accuracy.high >= -ABOUT else FAILS,
        f"About as good means at most {100 * ABOUT:.0f} point of accuracy lower. The held-out loss asks for more: "
        "fewer parameters know less about words. What teaching layer by layer changes, in points of accuracy and nats "
        f"of loss, against {changes(over)}; it shows a gain over {_all(better, over)}. The layers take "
        f"{TRANSFER_SHARE:.0%} of the student's steps{learned}. The teacher, an IB-BERT of {larger:.0f}× the student's "
        f"size, {changes({'against BERT': gain(cells, TEACHER, BERT)})}. It had as many steps as the student; the "
        "paper's is as large as BERT-large, and trained for long.",
        brief=f"{briefly(against_bert)}, {smaller:.1f}× smaller",
    )


def _all(some: list[str], every: dict[str, Gain]) -> str:
    return "each of them" if len(some) == len(every) else listed(some) or "none of them"


def _fell(stage: list[float]) -> str:
    before, after = stage
    return f"{1 - after / before:.0%}"
