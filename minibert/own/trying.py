"""The learner's BERT is tried: the same vectors as the library's, the same words, and what it learns and teaches."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import cast

import torch
from torch import Tensor, nn

from minibert import factory, timing
from minibert.checkpoints import from_pretrained
from minibert.exercises import swap
from minibert.experiments import backwards
from minibert.experiments.similarity import embed
from minibert.models.bert import BertConfig
from minibert.own import report
from minibert.own.model import mine
from minibert.own.working import Parts
from minibert.signs import Progress
from minibert.tokenizers import load_tokenizer
from minibert.tokenizers.base import Tokenizer

WEIGHTS, MASKED_LM = "minilm-l6", "minilm-l6-mlm"
ALIKE = 1e-5  # the largest difference of two vectors of length 1 that comes from the order of the operations
ROUNDS = 5
STEPS = 12
TEXTS = 100  # to learn from
WRITTEN = ("my", "sister", "slept", "through", "the", "whole", "film")


@dataclass
class Deeds:
    """What the learner's BERT is and did. Numbers that were not measured are None or empty.

    rows: all parts. lines: of the learner's code. blocks: the parts that were called in each block, when it read texts.
    parameters: of the model, as the learner's own function counts them if it has passed. formula: the same number from
    the sizes. in_own_code: parameters that are passed to the learner's functions. difference: of vectors of length 1.
    same, asked: nearest reviews that are the library's, and how many were looked at; among: how many were searched.
    times: how many times as fast the learner's BERT is as the library's. learned, taught: the loss of each step, in
    nats. wrote: what the learner's BART wrote for WRITTEN; as_library: whether the library's writes the same.
    """

    rows: list[report.Row]
    lines: int
    blocks: list[list[str]] = field(default_factory=list)
    parameters: int = 0
    formula: int | None = None
    in_own_code: int = 0
    difference: float | None = None
    off: dict[str, float] = field(default_factory=dict)
    same: int = 0
    asked: int = 0
    among: int = 0
    times: float | None = None
    learned: list[float] = field(default_factory=list)
    taught: list[float] = field(default_factory=list)
    wrote: list[str] = field(default_factory=list)
    as_library: bool | None = None

    @property
    def yours(self) -> int:
        return sum(row.sign == report.YOURS for row in self.rows)


def vectors(model: nn.Module, tok: Tokenizer) -> Tensor:
    """Vectors of length 1 of some sentences, and of pairs of them, with and without padding: (N, D)."""
    single = embed(model, tok, swap.SENTENCES)
    alone = embed(model, tok, swap.SENTENCES[:1])
    batch = tok(list(swap.SENTENCES), pairs=list(reversed(swap.SENTENCES)))
    with torch.inference_mode():
        pairs = model(**batch).last_hidden_state[:, 0]
    return torch.cat([single, alone, nn.functional.normalize(pairs, dim=1)])


def compare(my: nn.Module, library: nn.Module, tok: Tokenizer) -> float:
    """The largest difference of the learner's vectors from the library's, from tokens to vectors."""
    expected = vectors(library, tok)
    with cast(Parts, my.parts):
        found = vectors(my, tok)
    return report.difference(found, expected)


def which_differ(names: Iterable[str], library: nn.Module, tok: Tokenizer, fallback: bool) -> dict[str, float]:
    """The parts that change the vectors when they work alone, with the difference."""
    every = list(names)
    found = {}
    for name in every:
        alone = mine(WEIGHTS, without=[other for other in every if other != name], fallback=fallback)
        apart = compare(alone, library, tok)
        if apart > ALIKE:
            found[name] = apart
    return found


def count(my: nn.Module, deeds: Deeds) -> None:
    """Count the model's parameters, and work them out, with the learner's functions where they have passed."""
    parts, config = cast(Parts, my.parts), cast(BertConfig, my.config)
    with parts:
        deeds.parameters = int(factory.count_parameters(my))
    if (formula := parts["parameter-sizes"]) is not None:
        deeds.formula = int(
            formula(
                config.vocab_size, config.hidden_size, config.num_hidden_layers, config.intermediate_size,
                config.max_position_embeddings, config.type_vocab_size, my.pooler is not None,
            )
        )  # fmt: skip
    deeds.blocks = report.parts_by_block(my)
    deeds.in_own_code = report.parameters_in_own_code(my)


def time(my: nn.Module, library: nn.Module, tok: Tokenizer, progress: Progress | None = None) -> float:
    """How many times as fast the learner's BERT is as the library's, by the learner's function if it has passed."""
    batch = tok(list(swap.SENTENCES))

    def run(model: nn.Module) -> None:
        with torch.inference_mode():
            model(**batch)

    seconds = timing.paired({"library": lambda: run(library), "mine": lambda: run(my)}, ROUNDS, 1, progress)
    own = cast(Parts, my.parts)["times-as-fast"]
    if own is not None:
        return float(own(seconds["library"], seconds["mine"])[0])
    return timing.ratio(seconds["library"], seconds["mine"]).median


def learn(texts: Sequence[str], deeds: Deeds, without: Sequence[str], fallback: bool, seed: int) -> nn.Module:
    """Let a masked-LM learn for a few steps, then teach a student of half its layers; returns the masked-LM."""
    chosen = Random(seed).sample(list(texts), min(TEXTS, len(texts)))
    my = mine(MASKED_LM, "masked-lm", without=without, fallback=fallback)
    tok = load_tokenizer(MASKED_LM)
    deeds.learned = my.learn(chosen, tok, steps=STEPS, seed=seed)
    deeds.taught = my.student().learn(chosen, tok, teacher=my, steps=STEPS, seed=seed)
    return my


def write(
    deeds: Deeds, without: Sequence[str], fallback: bool, seed: int, progress: Progress | None = None
) -> nn.Module:
    """Let a tiny BART learn to write words backwards, and the learner's parts write with it; returns the BART."""
    model = backwards.untrained(seed)
    backwards.learn(model, seed, progress)
    read = torch.tensor([backwards.numbers(WRITTEN)])
    longest = backwards.CONFIG.max_position_embeddings
    with backwards.one_thread():
        expected = model.generate(read, max_length=longest, num_beams=3)
    my = mine(model, without=without, fallback=fallback)
    with backwards.one_thread(), cast(Parts, my.parts):
        written = my.generate(read, max_length=longest, num_beams=3)
        my(read)  # all places of a text at once: here the future has to be hidden
    vocabulary = (*backwards.SPECIAL, *backwards.WORDS)
    deeds.wrote = [vocabulary[token] for token in written[0].tolist() if token >= len(backwards.SPECIAL)]
    deeds.as_library = torch.equal(written, expected)
    return my


def from_library() -> tuple[nn.Module, Tokenizer]:
    """The library's model with the same weights, and its tokenizer."""
    return from_pretrained(WEIGHTS), load_tokenizer(WEIGHTS)
