"""Claims about the rest of the family: RoBERTa, MobileBERT, XLNet and BART.

Sizes and arithmetic are counted, speed is timed. Quality is tried with small models, all in one experiment (E6).
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import cast

from minibert.claims import rules
from minibert.claims.counted import ALBERT, BERT, BERT_LARGE, DISTILBERT, size_of
from minibert.claims.records import CONDITION, FAILS, HOLDS, UNMEASURED, Claim, Figures, Judgement
from minibert.experiments import grid, relatives
from minibert.experiments.relatives import E6
from minibert.experiments.speed import compare_family
from minibert.factory import preset
from minibert.models.mobilebert import MobileBertConfig
from minibert.signs import Progress

ROBERTA, ROBERTA_LARGE = "roberta-base", "roberta-large"
MOBILEBERT = "mobilebert-uncased"
PLAIN = "MobileBERT with layer norm and GELU"
XLNET, XLNET_LARGE = "xlnet-base-cased", "xlnet-large-cased"
BART, BART_LARGE = "bart-base", "bart-large"

# ------------------------------------------------------------------------------------------------ MobileBERT


def count_mobilebert() -> Figures:
    return {BERT: size_of(BERT), MOBILEBERT: size_of(MOBILEBERT)}


def judge_compact(figures: Figures) -> Judgement:
    """Holds if the released model is at least 4.3 times smaller than BERT-base."""
    times = figures[BERT] / figures[MOBILEBERT]
    return Judgement(
        f"{times:.2f}× fewer: {figures[MOBILEBERT]:,} against {figures[BERT]:,}",
        HOLDS if times >= 4.3 else FAILS,
        "The paper counts 25.3M parameters, 4.3 times fewer than 109M. The released model has no trained pooler, which "
        "makes it a little smaller. It has 24 layers, but they are narrow: 128 features inside, 512 between them.",
        f"{times:.2f}×",
    )


FASTER = 5.5  # times as fast, as claimed


def time_family(quick: bool = False, progress: Progress | None = None) -> Figures:
    released = cast(MobileBertConfig, preset(MOBILEBERT))
    others = {name: preset(name) for name in (DISTILBERT, ROBERTA, ALBERT, MOBILEBERT, XLNET, BART)}
    others[PLAIN] = replace(released, normalization_type="layer_norm", hidden_act="gelu")
    return compare_family(BERT, others, quick, progress)


def judge_quick(figures: Figures) -> Judgement:
    """Holds if MobileBERT is 5.5 times as fast; with a condition if its lower quartile has half of that gain (3.25)."""
    low = figures["ratio_low"][MOBILEBERT]
    also = "It is faster here too, but less than 5.5 times. " if 1 < low < FASTER else ""
    needed = {name: figures["operations"][name] for name in (BERT, MOBILEBERT)}
    return Judgement(
        f"{_ratio(figures, MOBILEBERT)} the speed at {figures['tokens']} tokens; with layer norm and GELU "
        f"{_ratio(figures, PLAIN)}",
        HOLDS if figures["ratio"][MOBILEBERT] >= FASTER else CONDITION if low >= (1 + FASTER) / 2 else FAILS,
        f"{also}It needs {needed[BERT] / needed[MOBILEBERT]:.1f}× fewer floating-point operations "
        f"({needed[MOBILEBERT] / 1e9:.1f}G against {needed[BERT] / 1e9:.1f}G), but in 24 layers of many small steps, "
        "and each step takes some time, whatever its size. The paper measured 5.5× on a phone, which was not tried. "
        "There, layer norm and GELU in place of NoNorm and ReLU reduced it to 1.8×, because each small step was slow.",
        f"{figures['ratio'][MOBILEBERT]:.2f}× at {figures['tokens']} tokens",
    )


def _ratio(figures: Figures, name: str) -> str:
    return f"{figures['ratio'][name]:.2f}× ({figures['ratio_low'][name]:.2f}–{figures['ratio_high'][name]:.2f})"


# ---------------------------------------------------------------------------------------------- RoBERTa, BART

# What DistilBERT's released training code uses by default on each GPU, and the paper's number of GPUs. (The example in
# the README of the code has four.)
SEQUENCES, ACCUMULATION, GPUS = 5, 50, 8


def count_batch() -> Figures:
    return {"sequences": SEQUENCES, "accumulation": ACCUMULATION, "gpus": GPUS}


def judge_recipe(figures: Figures) -> Judgement:
    """Holds with a condition if the released code's batch is smaller than the paper's 4,000."""
    batch = figures["sequences"] * figures["accumulation"] * figures["gpus"]
    return Judgement(
        f"{figures['sequences']} sequences × {figures['accumulation']} steps × {figures['gpus']} GPUs = {batch:,}",
        HOLDS if batch >= 4000 else CONDITION,
        "The paper says up to 4,000 sequences in a batch, dynamic masking and no next-sentence prediction. The "
        "released code does the last two. It adds up the gradients of many steps; with its default settings and the "
        "paper's eight GPUs, a batch is half as large as the paper says.",
        f"batches of {batch:,}",
    )


def count_byte_level() -> Figures:
    return {name: size_of(name) for name in (BERT, BERT_LARGE, ROBERTA, ROBERTA_LARGE)}


def judge_byte_level(figures: Figures) -> Judgement:
    """Holds if base and large grow by 15M and 20M parameters, to the nearest million."""
    base, large = figures[ROBERTA] - figures[BERT], figures[ROBERTA_LARGE] - figures[BERT_LARGE]
    return Judgement(
        f"{base / 1e6:.1f}M (base) and {large / 1e6:.1f}M (large) more",
        HOLDS if (round(base / 1e6), round(large / 1e6)) == (15, 20) else FAILS,
        "The 50,265 byte-level pieces, for 30,522 word pieces, make nearly all of the difference; RoBERTa has two more "
        "positions and one token type fewer.",
        f"{base / 1e6:.1f}M and {large / 1e6:.1f}M",
    )


def count_bart() -> Figures:
    return {name: size_of(name) for name in (BERT, BERT_LARGE, ROBERTA, ROBERTA_LARGE, BART, BART_LARGE)}


def judge_bart_size(figures: Figures) -> Judgement:
    """Holds if both are within two points of 10% more than BERT."""

    def more(base: str, large: str) -> list[float]:
        return [figures[BART] / figures[base] - 1, figures[BART_LARGE] / figures[large] - 1]

    bert, roberta = more(BERT, BERT_LARGE), more(ROBERTA, ROBERTA_LARGE)
    return Judgement(
        f"{bert[0]:.0%} more (base), {bert[1]:.0%} more (large)",
        HOLDS if all(0.08 <= share <= 0.12 for share in bert) else FAILS,
        "The sentence in the paper is about the decoder's cross-attention. But BART also has RoBERTa's larger "
        f"vocabulary: compared with RoBERTa it has {roberta[0]:.0%} (base) and {roberta[1]:.0%} (large) more.",
        f"{bert[0]:.0%} (base), {bert[1]:.0%} (large)",
    )


def _takes(why: str) -> Judgement:
    return Judgement("not trained here", UNMEASURED, why)


RELATIVES = (
    Claim(
        id="D7",
        short="DistilBERT uses RoBERTa's recipe",
        statement="DistilBERT is trained by RoBERTa's recipe: large batches, dynamic masking, no sentence pairs.",
        source="Sanh et al. 2019, section 3, and the released code",
        models=(DISTILBERT, ROBERTA),
        paper_value="batches of up to 4K",
        kind="counted",
        measure=count_batch,
        judge=judge_recipe,
    ),
    Claim(
        id="R3",
        short="Larger batches are better",
        statement="Larger batches make the model better.",
        source="Liu et al. 2019 (RoBERTa), section 4.3, Table 3: perplexity of held-out words",
        models=(ROBERTA,),
        paper_value="batches of 256, 2K, 8K: 3.99, 3.68, 3.77",
        kind="trained",
        measure=partial(grid.run, E6, variants=relatives.R3),
        judge=rules.judge_batches,
        needs_reading=True,
        unmeasured=_takes(
            "In the paper's own table 2K is better than 256, and 8K a little worse than 2K, at equal numbers of passes "
            "over the data. It would take training the same model with several batch sizes at equal numbers of tokens, "
            "each with a learning rate of its own."
        ),
    ),
    Claim(
        id="R4",
        short="Byte-level BPE: 15M and 20M more",
        statement="Byte-level BPE adds about 15M parameters to BERT-base and 20M to BERT-large.",
        source="Liu et al. 2019 (RoBERTa), section 4.4",
        models=(BERT, BERT_LARGE, ROBERTA, ROBERTA_LARGE),
        paper_value="about 15M and 20M",
        kind="counted",
        measure=count_byte_level,
        judge=judge_byte_level,
    ),
    Claim(
        id="M1",
        short="MobileBERT: 4.3× smaller",
        statement="MobileBERT is 4.3 times smaller than BERT-base.",
        source="Sun et al. 2020, abstract and Table 1",
        models=(BERT, MOBILEBERT),
        paper_value="25.3M against 109M",
        kind="counted",
        measure=count_mobilebert,
        judge=judge_compact,
    ),
    Claim(
        id="M2",
        short="MobileBERT: 5.5× as fast",
        statement="MobileBERT is 5.5 times as fast as BERT-base.",
        source="Sun et al. 2020, Table 4: Pixel 4, TensorFlow Lite, 4 threads, 128 tokens",
        models=(BERT, MOBILEBERT, DISTILBERT, ROBERTA, ALBERT, XLNET, BART),
        paper_value="62 ms against 342 ms; 5.7G against 22.5G operations (3.9×); with layer norm and GELU 192 ms",
        kind="timed",
        measure=time_family,
        judge=judge_quick,
    ),
    Claim(
        id="M3",
        short="MobileBERT is about as good as BERT-base",
        statement="MobileBERT is about as good as BERT-base.",
        source="Sun et al. 2020, Tables 4 and 5: GLUE test sets; SQuAD development sets",
        models=(BERT, MOBILEBERT),
        paper_value="GLUE 77.7 against 78.3; SQuAD F1 90.0 (v1.1), 79.2 (v2.0); TINY (15.1M): 75.8",
        kind="trained",
        measure=partial(grid.run, E6, variants=relatives.M3),
        judge=rules.judge_mobile,
        needs_reading=True,
        unmeasured=_takes(
            "By the paper's own table it is 0.6 points below on GLUE. It would take small models in one setting, "
            "several seeds each: a BERT, an inverted-bottleneck teacher, and MobileBERTs with and without its help."
        ),
    ),
    Claim(
        id="X1",
        short="XLNet's permutations teach more",
        statement="XLNet's permuted prediction teaches more than masked words do.",
        source="Yang et al. 2019, Table 6: accuracy on RACE",
        models=(BERT, XLNET),
        paper_value=("BERT 64.3; masked words with Transformer-XL 65.0; XLNet 66.7 (K = 6), without memory 65.6"),
        kind="trained",
        measure=partial(grid.run, E6, variants=relatives.X1),
        judge=rules.judge_permuted,
        needs_reading=True,
        unmeasured=_takes(
            "In the paper's table, about half of the gain over BERT comes from Transformer-XL's memory, and not from "
            "the permutation. The order of prediction is permuted through masks; the words stay where they are. It "
            "would take both objectives on the same text with the same number of steps."
        ),
    ),
    Claim(
        id="B1",
        short="BART understands, and also writes",
        statement="BART understands as well as RoBERTa, and also writes well.",
        source="Lewis et al. 2020, Tables 2 and 3",
        models=(ROBERTA_LARGE, BART_LARGE),
        paper_value=(
            "against RoBERTa-large: MNLI 89.9/90.2, SST-2 96.6/96.4, CoLA 62.8/68.0, SQuAD 1.1 F1 94.6/94.6; CNN/DM "
            "ROUGE 44.2/21.3/40.9"
        ),
        kind="trained",
        measure=partial(grid.run, E6, variants=relatives.B1),
        judge=rules.judge_restoring,
        needs_reading=True,
        unmeasured=_takes(
            "By the paper's own table BART equals RoBERTa within 0.3 points on the tasks listed, except on CoLA (is a "
            "sentence grammatical?), where it is 5.2 points lower. RoBERTa cannot generate text at all. It would take "
            "both models, trained on the same text."
        ),
    ),
    Claim(
        id="B2",
        short="BART: 10% more parameters than BERT",
        statement="BART has about 10% more parameters than BERT of the same size.",
        source="Lewis et al. 2020, section 2.1",
        models=(BERT, BERT_LARGE, ROBERTA, ROBERTA_LARGE, BART, BART_LARGE),
        paper_value="about 10% more",
        kind="counted",
        measure=count_bart,
        judge=judge_bart_size,
    ),
)
