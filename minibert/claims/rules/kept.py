"""D3, from E1: what does the distilled half keep of its teacher, on each task and on average?"""

from __future__ import annotations

from collections.abc import Sequence

from minibert.claims.records import CONDITION, FAILS, HOLDS, UNMEASURED, Figures, Judgement
from minibert.claims.rules.common import seeds_in_words
from minibert.experiments.retention import CUT, RANDOM, STUDENT, TEACHER, TWICE, variant
from minibert.experiments.statistics import Cells, Kept, Runs, Spread, kept, median_score
from minibert.experiments.students import TEACHER_LAYERS, Recipe
from minibert.experiments.tasks import SENTENCES, TASKS
from minibert.words import counted, listed

CLAIMED_SHARE = 0.97
LEARNED = 0.05  # by how much the teacher's score must be above guessing, or there is nothing to keep on a task
AVERAGE, WITHOUT_WINS = "macro average", "without the tasks that it wins"
OTHERS = {
    CUT: "cut from the teacher and not distilled",
    RANDOM: "from random weights",
    TWICE: "distilled, and taught by the fine-tuned teacher as well",
}


def judge_kept(figures: Figures) -> Judgement:
    """Judges the interval of the macro average that the student keeps, as the paper computes it.

    Holds if the whole interval is at 97% or above, and that without the tasks that the student wins as well. Holds with
    a condition if only the first is so, or if 97% is in the interval. Tasks that the teacher has not learned are left
    out; if it has not learned half of them, or there is only one seed, there is no verdict.
    """
    cells = figures["cells"]
    tasks = learned(cells)
    if 2 * len(tasks) < len(TASKS):
        missing = listed([task for task in TASKS if task not in tasks], "and")
        return Judgement("–", UNMEASURED, f"It would take a teacher that has learned {missing}.")
    whole = kept_on(cells, tasks)
    ours = (
        f"{in_percent(whole.share)} of the macro average kept by {len(Recipe().layers)} of {TEACHER_LAYERS} layers: "
        f"{_average(cells, STUDENT, tasks):.1f}, the teacher's {_average(cells, TEACHER, tasks):.1f}, "
        f"{counted(len(tasks), 'task')}"
    )
    verdict = _verdict(whole.share)
    why = [_in_detail(cells, tasks), *_failed(cells, tasks)]
    won = wins(cells, tasks)
    rest = [task for task in tasks if task not in won]
    if won and rest:
        without = kept_on(cells, rest).share
        why.append(f"Without {listed(won, 'and')}, where the student wins, it keeps {in_percent(without)}.")
        if verdict == HOLDS and _verdict(without) != HOLDS:
            verdict = CONDITION
            if _verdict(without) == FAILS:
                why.append("So it holds only because of the tasks that the student wins.")
            else:
                why.append(
                    f"That interval reaches below {CLAIMED_SHARE:.0%}: it holds for certain only if those tasks count."
                )
    else:
        why.append("The student wins on every task." if won else "The student wins on no task.")
    why.append(
        "Guessing alone scores much of that: of what the teacher is above guessing, the student keeps "
        f"{in_percent(whole.of_gap)}."
    )
    if len(tasks) < len(TASKS):
        missing = listed([task for task in TASKS if task not in tasks], "and")
        why.append(f"Left out, because the teacher has not learned it: {missing}.")
    others = [f"{words} {kept_by(cells, model).mean:.1%}" for model, words in OTHERS.items()]
    why.append(
        f"On the {SENTENCES} alone, the student keeps {kept_by(cells, STUDENT).mean:.1%}; other students of as many "
        f"layers: {'; '.join(others)}."
    )
    why.append(
        f"{seeds_in_words(figures)}, medians; the intervals (95%) come from resampling seeds and test texts, and with "
        "so few seeds they are somewhat too narrow. The teacher is MiniLM-L6 as a masked-LM, the student was distilled "
        f"for {figures['size']['steps']:,} steps, and all tasks are made from film reviews: a small experiment with a "
        "small teacher."
    )
    if len(figures["seeds"]) < 2:
        verdict = UNMEASURED
        why.insert(0, "It would take at least two seeds to tell a difference from chance.")
    return Judgement(ours, verdict, " ".join(why), f"{whole.share.mean:.1%} on {counted(len(tasks), 'task')}")


def learned(cells: Cells) -> list[str]:
    """The tasks on which the teacher's score is above guessing by LEARNED or more."""
    return [
        task
        for task in TASKS
        if median_score(teacher := cells[variant(TEACHER, task)]) - teacher[0]["guess"] >= LEARNED
    ]


def wins(cells: Cells, tasks: Sequence[str]) -> list[str]:
    """The tasks on which the student's score is above the teacher's."""
    return [task for task in tasks if _score(cells, STUDENT, task) > _score(cells, TEACHER, task)]


def _failed(cells: Cells, tasks: Sequence[str]) -> list[str]:
    """A sentence about the runs in which a model stayed at guessing on a task that it learned with other seeds."""
    told = []
    for task in tasks:
        for model, words in ((TEACHER, "the teacher"), (STUDENT, "the student")):
            runs = cells[variant(model, task)]
            stayed = sum(run["score"] - run["guess"] < LEARNED for run in runs)
            if 0 < stayed < len(runs):
                told.append(f"{words} on {task} in {stayed} of {len(runs)} runs")
    return [f"Some runs stayed at guessing, and count in the medians: {listed(told, 'and')}."] if told else []


def kept_on(cells: Cells, tasks: Sequence[str]) -> Kept:
    """What the distilled student keeps of these tasks' average."""
    student, teacher = ([cells[variant(model, task)] for task in tasks] for model in (STUDENT, TEACHER))
    return kept(student, teacher)


def kept_by(cells: Cells, model: str) -> Spread:
    """The share of the teacher's score on SENTENCES that a student keeps, over the seeds that it has."""
    student = cells[variant(model, SENTENCES)]
    teacher: Runs = cells[variant(TEACHER, SENTENCES)][: len(student)]
    return kept([student], [teacher]).share


def in_percent(spread: Spread) -> str:
    return f"{spread.mean:.1%} ({spread.low:.1%}–{spread.high:.1%})"


def _verdict(share: Spread) -> str:
    return HOLDS if share.low >= CLAIMED_SHARE else CONDITION if share.high >= CLAIMED_SHARE else FAILS


def _score(cells: Cells, model: str, task: str) -> float:
    return median_score(cells[variant(model, task)])


def _average(cells: Cells, model: str, tasks: Sequence[str]) -> float:
    """The macro average, in points."""
    return 100 * sum(_score(cells, model, task) for task in tasks) / len(tasks)


def _in_detail(cells: Cells, tasks: Sequence[str]) -> str:
    """Each task's scores in points, what is kept, and what guessing scores."""
    told = []
    for task in tasks:
        ours, theirs = (100 * _score(cells, model, task) for model in (STUDENT, TEACHER))
        guess = 100 * cells[variant(TEACHER, task)][0]["guess"]
        share = in_percent(kept_on(cells, [task]).share)
        told.append(f"{task} ({TASKS[task].kind.score}) {ours:.1f} of {theirs:.1f}, guessing {guess:.1f}, kept {share}")
    return f"Student of teacher: {'; '.join(told)}."
