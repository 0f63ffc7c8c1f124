"""Claims about size: counted on the models themselves, which are built on the meta device and so need no memory."""

from __future__ import annotations

from functools import cache

import torch
from torch import nn

from minibert.claims.records import CONDITION, FAILS, HOLDS, Claim, Figures, Judgement
from minibert.config import ModelConfig
from minibert.factory import build, count_parameters, parameters_by_part, preset
from minibert.model import Model
from minibert.models.albert import AlbertConfig
from minibert.models.bert import BertConfig
from minibert.words import listed

# The numbers of parameters in the released checkpoints, with the pooler if there is one, and without heads.
PUBLISHED = {
    "bert-base-uncased": 109_482_240,
    "bert-base-cased": 108_310_272,
    "bert-large-uncased": 335_141_888,
    "bert-large-cased": 333_579_264,
    "distilbert-base-uncased": 66_362_880,
    "roberta-base": 124_645_632,
    "roberta-large": 355_359_744,
    "albert-base-v2": 11_683_584,
    "albert-large-v2": 17_683_968,
    "albert-xlarge-v2": 58_724_864,
    "albert-xxlarge-v2": 222_595_584,
    "mobilebert-uncased": 24_581_888,
    "xlnet-base-cased": 116_718_336,
    "xlnet-large-cased": 360_268_800,
    "bart-base": 139_420_416,
    "bart-large": 406_291_456,
}

BERT, BERT_LARGE = "bert-base-uncased", "bert-large-uncased"
DISTILBERT = "distilbert-base-uncased"
ALBERT, ALBERT_LARGE = "albert-base-v2", "albert-large-v2"


@cache
def shape_of(config: ModelConfig) -> Model:
    """The model with shapes but without weights, which is enough for counting."""
    with torch.device("meta"):
        return build(config)


@cache
def parts_of(name: str) -> dict[str, int]:
    """A preset's parameters by part (see factory.parameters_by_part)."""
    return parameters_by_part(shape_of(preset(name)))


def size_of(name: str) -> int:
    """A preset's number of parameters."""
    return sum(parts_of(name).values())


def _size(part: nn.Module | None) -> int:
    return 0 if part is None else count_parameters(part)


# ------------------------------------------------------------------------------------------ C1: exact counts


def count_all() -> Figures:
    return {name: size_of(name) for name in PUBLISHED}


def judge_counts(figures: Figures) -> Judgement:
    """Holds if every count is equal, to the last parameter."""
    wrong = [name for name, published in PUBLISHED.items() if figures[name] != published]
    return Judgement(
        f"{len(PUBLISHED) - len(wrong)} of {len(PUBLISHED)} equal",
        FAILS if wrong else HOLDS,
        f"These counts differ: {', '.join(wrong)}."
        if wrong
        else "Every count agrees to the last parameter, so the sizes below are those of the real models.",
        f"{len(PUBLISHED) - len(wrong)} of {len(PUBLISHED)}",
    )


# -------------------------------------------------------------------------------------- D1, D5: DistilBERT


def count_distilbert() -> Figures:
    bert, distilbert = shape_of(preset(BERT)), shape_of(preset(DISTILBERT))
    blocks = parts_of(BERT)["encoder"] - parts_of(DISTILBERT)["encoder"]
    return {
        "bert": size_of(BERT),
        "distilbert": size_of(DISTILBERT),
        "saved_by_blocks": blocks,
        "token_types": _size(bert.embeddings.token_type),
        "pooler": _size(bert.pooler),
        "distilbert_token_types": _size(distilbert.embeddings.token_type),
        "distilbert_pooler": _size(distilbert.pooler),
    }


def judge_smaller(figures: Figures) -> Judgement:
    """Holds within one percentage point of 40%."""
    bert, distilbert = figures["bert"], figures["distilbert"]
    saved = (bert - distilbert) / bert
    rest = (figures["token_types"] + figures["pooler"]) / bert
    return Judgement(
        f"{saved:.1%} fewer: {distilbert:,} against {bert:,}",
        HOLDS if abs(saved - 0.40) <= 0.01 else FAILS,
        f"Leaving out six blocks saves {figures['saved_by_blocks'] / bert:.1%}; leaving out token types and pooler "
        f"saves {rest:.2%}. The word embeddings stay, so halving the depth does not halve the size.",
        f"{saved:.1%}",
    )


def judge_left_out(figures: Figures) -> Judgement:
    """Holds if DistilBERT has no parameters of either."""
    left = figures["distilbert_token_types"] + figures["distilbert_pooler"]
    rest = figures["token_types"] + figures["pooler"]
    return Judgement(
        f"{left:,} parameters in both together; BERT-base has {rest:,}",
        FAILS if left else HOLDS,
        f"Together they are {rest / figures['bert']:.2%} of BERT-base. Without token types the model is not told which "
        "sentence of a pair a word is in, and without a pooler it gives no vector for a whole text (see D8).",
        f"{left:,} parameters",
    )


# ----------------------------------------------------------------------------------- A1, A5, A6: ALBERT


def count_albert() -> Figures:
    sizes = {"bert_base": BERT, "bert_large": BERT_LARGE, "albert_base": ALBERT, "albert_large": ALBERT_LARGE}
    return {name: size_of(model) for name, model in sizes.items()}


def judge_eighteen(figures: Figures) -> Judgement:
    """Holds if there are at least 18 times fewer in both pairs of models, with a condition if in only one."""
    base = figures["bert_base"] / figures["albert_base"]
    large = figures["bert_large"] / figures["albert_large"]
    reached = [pair for pair, times in (("the base pair", base), ("the large pair", large)) if times >= 18]
    return Judgement(
        f"{large:.2f}× fewer (large), {base:.2f}× fewer (base)",
        {0: FAILS, 1: CONDITION, 2: HOLDS}[len(reached)],
        f"18 times or more for {listed(reached) or 'neither pair'}. The deeper the model, the more copies of a block "
        "are saved, and base has half as many blocks as large.",
        f"{large:.2f}× (large), {base:.2f}× (base)",
    )


def count_embeddings() -> Figures:
    config = AlbertConfig()
    factorised = shape_of(config).embeddings
    plain = shape_of(BertConfig(vocab_size=config.vocab_size)).embeddings
    return {
        "vocabulary": config.vocab_size,
        "embedding": config.embedding_size,
        "hidden": config.hidden_size,
        "plain": plain.word.weight.numel(),
        "factorised": factorised.word.weight.numel() + factorised.projection.weight.numel(),
    }


def judge_factorised(figures: Figures) -> Judgement:
    """Holds if both models have exactly the parameters that the formulas give."""
    v, e, h = figures["vocabulary"], figures["embedding"], figures["hidden"]
    plain, factorised = figures["plain"], figures["factorised"]
    as_claimed = plain == v * h and factorised == v * e + e * h
    return Judgement(
        f"{plain:,} become {factorised:,} (base): {plain / factorised:.2f}× fewer",
        HOLDS if as_claimed else FAILS,
        f"Here V = {v:,}, E = {e} and H = {h}. This saves {plain - factorised:,} parameters; sharing the blocks (A6) "
        "saves more.",
        f"{plain / factorised:.2f}× fewer",
    )


def count_sharing() -> Figures:
    figures = {}
    for embedding_size in (128, 768):
        shared = parameters_by_part(shape_of(AlbertConfig(embedding_size=embedding_size)))
        apart = parameters_by_part(shape_of(AlbertConfig(embedding_size=embedding_size, num_hidden_groups=12)))
        figures |= {
            "encoder_apart": apart["encoder"],
            "encoder_shared": shared["encoder"],
            f"model_apart_{embedding_size}": sum(apart.values()),
            f"model_shared_{embedding_size}": sum(shared.values()),
        }
    return figures


def judge_sharing(figures: Figures) -> Judgement:
    """Holds if the whole model is 12 times smaller, with a condition if only the encoder is."""
    encoder = figures["encoder_apart"] / figures["encoder_shared"]
    narrow, wide = (figures[f"model_apart_{e}"] / figures[f"model_shared_{e}"] for e in (128, 768))
    verdict = HOLDS if min(narrow, wide) >= 12 else CONDITION if encoder >= 12 else FAILS
    return Judgement(
        f"encoder {encoder:.1f}×: {figures['encoder_apart']:,} to {figures['encoder_shared']:,}; "
        f"whole model {narrow:.1f}× (E = 128), {wide:.1f}× (E = 768)",
        verdict,
        "Sharing makes the encoder 12 times smaller, because it has 12 layers. Embeddings and pooler are not "
        "shared, so the whole model shrinks less; and it still computes all 12 layers (see A2-inference).",
        f"{encoder:.1f}× (encoder), {narrow:.1f}× (model)",
    )


COUNTED = (
    Claim(
        id="C1",
        short="Sizes equal the published checkpoints'",
        statement="Each model built here has exactly as many parameters as the checkpoint published under its name.",
        source="the released checkpoints",
        models=tuple(PUBLISHED),
        paper_value=f"{len(PUBLISHED)} counts, e.g. {PUBLISHED[BERT]:,} for {BERT}",
        kind="counted",
        measure=count_all,
        judge=judge_counts,
    ),
    Claim(
        id="D1",
        short="DistilBERT: 40% fewer parameters than BERT",
        statement="DistilBERT has 40% fewer parameters than BERT-base.",
        source="Sanh et al. 2019, Table 3",
        models=(BERT, DISTILBERT),
        paper_value="66M against 110M: 40% fewer",
        kind="counted",
        measure=count_distilbert,
        judge=judge_smaller,
    ),
    Claim(
        id="D5",
        short="DistilBERT: no token types, no pooler",
        statement="DistilBERT has neither BERT's token types nor its pooler.",
        source="Sanh et al. 2019, section 3",
        models=(BERT, DISTILBERT),
        paper_value="both are removed",
        kind="counted",
        measure=count_distilbert,
        judge=judge_left_out,
    ),
    Claim(
        id="A1",
        short="ALBERT: 18× fewer parameters",
        statement="ALBERT has 18 times fewer parameters than BERT.",
        source="Lan et al. 2020, sections 1 and 3.2, Table 1",
        models=(BERT, ALBERT, BERT_LARGE, ALBERT_LARGE),
        paper_value="large: 18M against 334M; base: 12M against 108M",
        kind="counted",
        measure=count_albert,
        judge=judge_eighteen,
    ),
    Claim(
        id="A5",
        short="V×E + E×H instead of V×H",
        statement="ALBERT factorises the word embeddings: V×E + E×H parameters instead of V×H.",
        source="Lan et al. 2020, section 3.1",
        models=(BERT, ALBERT),
        paper_value="V×H becomes V×E + E×H, with E = 128",
        kind="counted",
        measure=count_embeddings,
        judge=judge_factorised,
    ),
    Claim(
        id="A6",
        short="Sharing: 12× smaller",
        statement="Using one block for all 12 layers makes ALBERT-base 12 times smaller.",
        source="often said; Lan et al. 2020, Table 4, gives the sizes of whole models",
        models=(ALBERT,),
        paper_value="89M to 12M (E = 128), 108M to 31M (E = 768)",
        kind="counted",
        measure=count_sharing,
        judge=judge_sharing,
    ),
)
