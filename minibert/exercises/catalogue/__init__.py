"""The exercises, one file for each, with its name, in the order of the lessons.

Each is declared with a reference that has knobs; see `declare.Exercise`. The tests check that every known mistake
fails and is recognised, that no two mistakes give the same results, and that right answers written in other ways pass.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module

from minibert.exercises.declare import Exercise

# The files in the order in which the exercises are best done, a line or two for each topic.
ORDER = (
    "attention", "padding_mask", "causal_mask", "split_heads", "merge_heads", "multi_head_attention",
    "layer_norm", "gelu", "feed_forward", "encoder_block", "dropout",
    "embeddings", "masked_lm_head", "classification_head",
    "wordpiece", "encode_pair", "bpe_merge", "viterbi",
    "mask_tokens", "masked_lm_loss", "pretraining_loss", "sentence_pairs", "sentence_order",
    "best_span",
    "distillation_loss", "cosine_loss", "triple_loss", "student_from_teacher",
    "factorised_embedding", "shared_blocks", "count_parameters", "parameter_sizes",
    "roberta_positions",
    "no_norm", "trigram", "feature_transfer",
    "relative_shift", "permutation_mask", "two_streams",
    "infilling", "causal_cross_attention", "beam_step",
    "times_as_fast",
)  # fmt: skip


@cache
def exercises() -> dict[str, Exercise]:
    """Every exercise by its name, in the order in which they are best done."""
    found = [import_module(f"{__name__}.{name}").EXERCISE for name in ORDER]
    return {exercise.name: exercise for exercise in found}
