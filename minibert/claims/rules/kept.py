"""D3, from E1: what does the distilled half keep of its teacher?"""

from __future__ import annotations

from minibert.claims.records import CONDITION, FAILS, HOLDS, Figures, Judgement
from minibert.claims.rules.common import beyond, points, seeds_in_words
from minibert.experiments.retention import (
    ALONE,
    DEPTHS,
    DISTILLED,
    DROPPED,
    FIRST,
    HALF,
    RANDOM,
    TEACHER,
    TEACHER_LAYERS,
    student,
)
from minibert.experiments.statistics import Cells, Spread, mean, mean_retention, middle, retention, retention_draws

CLAIMED_SHARE = 0.97
TREATMENTS = {
    DISTILLED: "every second layer, distilled",
    ALONE: "every second layer, not distilled",
    FIRST: "first layers",
    RANDOM: "random weights",
}


def judge_kept(figures: Figures) -> Judgement:
    """Judges the interval of what the distilled half keeps: holds at 97% or above, with a condition if 97% is in it.

    What is kept is the student's accuracy divided by its own teacher's, seed by seed. The interval comes from
    resampling seeds and test texts.
    """
    cells, size = figures["cells"], figures["size"]
    half, same = student(DISTILLED, HALF), student(ALONE, HALF)
    kept = retention(cells, half, TEACHER)
    low, high = middle(retention_draws(cells, half, TEACHER) - retention_draws(cells, same, TEACHER))
    added = Spread(kept.mean - mean_retention(cells, same, TEACHER), low, high)
    by_depth = "; ".join(f"{words} {_by_depth(cells, treatment)}" for treatment, words in TREATMENTS.items())
    return Judgement(
        f"{kept.mean:.1%} ({kept.low:.1%}–{kept.high:.1%}) kept by {HALF} of {TEACHER_LAYERS} layers, distilled: "
        f"accuracy {mean(cells, half, 'accuracy'):.1%}, the teacher's {mean(cells, TEACHER, 'accuracy'):.1%}",
        HOLDS if kept.low >= CLAIMED_SHARE else CONDITION if kept.high >= CLAIMED_SHARE else FAILS,
        f"Kept with {' / '.join(map(str, DEPTHS))} layers: {by_depth}. At half depth, distillation adds "
        f"{points(added)} points{beyond(added)}. All students except those with random weights start from the "
        "fine-tuned teacher, with its vector of token type 0 added to the positions; if it is dropped instead, as in "
        f"the released code, a distilled student of {HALF} layers keeps "
        f"{mean_retention(cells, DROPPED, TEACHER):.1%}. The teacher is "
        f"MiniLM-L6; {seeds_in_words(figures)}, {size['texts']:,} film-review sentences to fine-tune on, "
        f"{size['test_texts']:,} to test on. With so few seeds the interval is somewhat too narrow, and one task with "
        "two classes says nothing about other tasks.",
        f"{kept.mean:.1%} (one task)",
    )


def _by_depth(cells: Cells, treatment: str) -> str:
    shares = [mean_retention(cells, student(treatment, depth), TEACHER) for depth in DEPTHS]
    return " / ".join(f"{share:.1%}" for share in shares)
