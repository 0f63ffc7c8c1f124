"""Claims that only training can check. What has not been trained here says what it would take.

Where there is no record and the source's own table contradicts the claim as it is told, that is the verdict.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from statistics import fmean

from minibert.claims.counted import ALBERT, ALBERT_LARGE, BERT, BERT_LARGE, DISTILBERT
from minibert.claims.records import FAILS, UNMEASURED, Claim, Figures, Judgement
from minibert.claims.trained_rules import (
    judge_kept,
    judge_losses,
    judge_masking,
    judge_no_pairs,
    judge_order,
    judge_savings,
)
from minibert.claims.training_speed import compare_training, judge_training
from minibert.timing import Progress

XLARGE, XXLARGE = "albert-xlarge-v2", "albert-xxlarge-v2"

# Sanh et al. 2019, Table 1: development sets of GLUE, in the order CoLA, MNLI, MRPC, QNLI, QQP, RTE, SST-2, STS-B,
# WNLI, medians of 5 seeds.
GLUE = {
    BERT: (56.3, 86.7, 88.6, 91.8, 89.6, 69.3, 92.7, 89.0, 53.5),
    DISTILBERT: (51.3, 82.2, 87.5, 89.2, 88.5, 59.9, 91.3, 86.9, 56.3),
}
WNLI = -1
WITHOUT_WNLI = fmean(GLUE[DISTILBERT][:WNLI]) / fmean(GLUE[BERT][:WNLI])

# Lan et al. 2020, Table 2: average score, and speed of training where BERT-large's is 1.
SCORE = {BERT: 82.3, BERT_LARGE: 85.2, ALBERT: 80.1, ALBERT_LARGE: 82.4, XLARGE: 85.5, XXLARGE: 88.7}
TRAINING_SPEED = {BERT: 4.7, BERT_LARGE: 1.0, ALBERT: 5.6, ALBERT_LARGE: 1.7, XLARGE: 0.6, XXLARGE: 0.3}


# Where experiments keep the cells that are trained, so that a stopped one goes on: in the folder one stands in.
FOLDER = Path("runs/experiments")


def train_experiment(
    id: str, variants: tuple[str, ...] | None = None, quick: bool = False, progress: Progress | None = None
) -> Figures:
    """Run an experiment or some of its variants, or go on with it where it was stopped. See experiments.run."""
    from minibert.experiments import grids as experiments  # only here: it brings the whole training code with it

    return experiments.run(getattr(experiments, id), FOLDER, quick, variants=variants, progress=progress)


def _takes(why: str) -> Judgement:
    return Judgement("–", UNMEASURED, why)


def _refuted(why: str) -> Judgement:
    return Judgement("not trained here", FAILS, f"By the paper's own table: {why}")


TRAINED = (
    Claim(
        id="D3",
        statement="DistilBERT keeps 97% of what BERT-base can do with language.",
        source="Sanh et al. 2019, Table 1: development sets of GLUE",
        models=(BERT, DISTILBERT),
        paper_value=f"77.0 against 79.5: {77.0 / 79.5:.1%}; without WNLI, where the student wins, {WITHOUT_WNLI:.0%}",
        kind="trained",
        measure=partial(train_experiment, "E1"),
        judge=judge_kept,
        unmeasured=_takes(
            "It takes distilling on Wikipedia and books (8 GPUs for 90 hours in the paper) and nine fine-tunings with "
            "several seeds. One of the nine, WNLI, the student wins by "
            f"{GLUE[DISTILBERT][WNLI] - GLUE[BERT][WNLI]:.1f} points; without it {WITHOUT_WNLI:.0%} is kept."
        ),
    ),
    Claim(
        id="D6",
        statement="DistilBERT learns from masked words alone, by three losses, and each of the three helps.",
        source="Sanh et al. 2019, sections 2 and 3, Table 4",
        models=(DISTILBERT,),
        paper_value="GLUE without soft targets −2.96, cosine −1.46, masked words −0.31; from random weights −3.69",
        kind="trained",
        measure=partial(train_experiment, "E2"),
        judge=judge_losses,
        unmeasured=_takes(
            "It takes a teacher, and a student for each loss left out, with several seeds each. In the paper's own "
            "table the start from the teacher's weights matters most and the masked words least."
        ),
    ),
    Claim(
        id="A2",
        statement="ALBERT trains 1.7 times as fast as BERT.",
        source="Lan et al. 2020, Table 2: throughput, large against large",
        models=(BERT_LARGE, ALBERT_LARGE),
        paper_value=f"{TRAINING_SPEED[ALBERT_LARGE]}× (large), on equally many TPUs",
        kind="trained",
        measure=compare_training,
        judge=judge_training,
        unmeasured=_takes(
            "It takes the time of a training step and of exchanging the gradients between devices. By the paper's own "
            f"table the factor is {TRAINING_SPEED[ALBERT] / TRAINING_SPEED[BERT]:.2f} for base against base, and "
            f"xlarge ({TRAINING_SPEED[XLARGE]}) and xxlarge ({TRAINING_SPEED[XXLARGE]}) train slower than BERT-large."
        ),
    ),
    Claim(
        id="A3",
        statement="ALBERT's savings cost nothing in quality.",
        source="Lan et al. 2020, Tables 2 and 4: average of five tasks",
        models=(BERT, ALBERT, BERT_LARGE, ALBERT_LARGE),
        paper_value=(
            f"base {SCORE[ALBERT]} against BERT's {SCORE[BERT]}; large {SCORE[ALBERT_LARGE]} against "
            f"{SCORE[BERT_LARGE]}; Table 4, E = 128: all shared 80.1, attention 81.7, feed-forward 80.2, nothing 81.6"
        ),
        kind="trained",
        measure=partial(train_experiment, "E3"),
        judge=judge_savings,
        unmeasured=_refuted(
            f"ALBERT is {SCORE[BERT] - SCORE[ALBERT]:.1f} points below BERT at base and "
            f"{SCORE[BERT_LARGE] - SCORE[ALBERT_LARGE]:.1f} at large. Only the wider xlarge ({SCORE[XLARGE]}) and "
            f"xxlarge ({SCORE[XXLARGE]}) pass BERT-large, and they train slower than it."
        ),
    ),
    Claim(
        id="A4",
        statement="ALBERT is better than BERT, RoBERTa, DistilBERT and XLNet.",
        source="Lan et al. 2020, Tables 2, 9 and 10",
        models=(BERT, BERT_LARGE, ALBERT, ALBERT_LARGE, XXLARGE),
        paper_value=f"xxlarge {SCORE[XXLARGE]}; best in Tables 9 and 10",
        kind="trained",
        unmeasured=_refuted(
            f"only xxlarge leads, with additional training data in Tables 9 and 10 and at {TRAINING_SPEED[XXLARGE]} of "
            "BERT-large's training speed. ALBERT-base and -large are below the BERT of their size (A3), and DistilBERT "
            "stands in none of the tables."
        ),
    ),
    Claim(
        id="A7",
        statement="ALBERT gets better when dropout is removed.",
        source="Lan et al. 2020, section 4.8, Table 8",
        models=(XXLARGE,),
        paper_value="90.4 with, 90.7 without (xxlarge, about 1M steps)",
        kind="trained",
        unmeasured=_takes(
            "It takes xxlarge and about a million steps, twice. What was removed is the probability, which is 0 in "
            "the released v2 models; the layers are still there, and before a classifier it is 0.1."
        ),
    ),
    Claim(
        id="A8",
        statement="Learning the order of two sentences (SOP) helps more than learning if they belong together (NSP).",
        source="Lan et al. 2020, section 4.6, Table 5: average of five tasks",
        models=(ALBERT,),
        paper_value="none 79.0, NSP 79.2, SOP 80.1; trained on NSP, 52.0% right on SOP",
        kind="trained",
        measure=partial(train_experiment, "E4", ("no pairs", "NSP", "SOP")),
        judge=judge_order,
        unmeasured=_takes(
            "It takes three models of one size, pre-trained with SOP, NSP and neither, with several seeds each."
        ),
    ),
    Claim(
        id="R1",
        statement="Masking a text anew each time it is read (dynamic) is as good as masking it once, or better.",
        source="Liu et al. 2019 (RoBERTa), section 4.1, Table 1: SQuAD 2.0 F1, MNLI and SST-2 accuracy",
        models=(BERT,),
        paper_value="static 78.3, 84.3, 92.5; dynamic 78.7, 84.0, 92.9",
        kind="trained",
        measure=partial(train_experiment, "E4", ("dynamic", "static")),
        judge=judge_masking,
        unmeasured=_takes("It takes two models of one size, pre-trained with either masking, with several seeds each."),
    ),
    Claim(
        id="R2",
        statement="Leaving next-sentence prediction (NSP) out does not hurt.",
        source="Liu et al. 2019 (RoBERTa), section 4.2, Table 2: SQuAD 1.1 and 2.0 F1, MNLI, SST-2 and RACE accuracy",
        models=(BERT,),
        paper_value="with NSP 90.4/78.7, 84.0, 92.9, 64.2; without 90.6/79.7, 84.7, 92.7, 65.6",
        kind="trained",
        measure=partial(train_experiment, "E4", ("no pairs", "NSP")),
        judge=judge_no_pairs,
        unmeasured=_takes("It takes models of one size, pre-trained with NSP and without, with several seeds each."),
    ),
)
