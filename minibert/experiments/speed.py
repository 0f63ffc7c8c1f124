"""How fast are two models in use? They take turns, one text at a time, on the CPU.

The figures of a comparison are lists, one number for each length in "tokens": "ratio" is how many times as fast the
challenger is (median of the rounds), "ratio_low" and "ratio_high" are its quartiles, "time_saved" is the share of time
that the median saves, "seconds" a name -> the median seconds per text, "rounds" the seconds of every single round.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from minibert.config import ModelConfig
from minibert.factory import build, count_parameters, preset
from minibert.signs import Progress
from minibert.timing import machine, paired, ratio, summary

TOKENS = (32, 128, 256)  # a typical Rotten Tomatoes sentence, a common limit, a typical IMDB review
ROUNDS, QUICK_ROUNDS = 25, 7  # per length
QUICK_LENGTHS = 2  # the shortest ones
THREADS = 2
SEED = 0
FAMILY_TOKENS = 128  # of compare_family


def compare_speed(
    reference: str,
    challenger: str,
    lengths: Sequence[int] = TOKENS,
    quick: bool = False,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """How many times as fast one preset is as another at batch 1, in float32, without gradients.

    The weights and the ids are random: dense layers take as long for these as for any others. quick: fewer rounds,
    at the shortest lengths. Returns the figures that are described at the top of this file.
    """
    rounds, lengths = (QUICK_ROUNDS, lengths[:QUICK_LENGTHS]) if quick else (ROUNDS, lengths)
    figures: dict[str, Any] = {
        "tokens": list(lengths), "ratio": [], "ratio_low": [], "ratio_high": [], "time_saved": [],
        "seconds": {reference: [], challenger: []}, "rounds": {reference: [], challenger: []},
    }  # fmt: skip
    with torch.inference_mode(), _threads(min(THREADS, machine()["cores"])) as threads:
        generator = torch.Generator().manual_seed(SEED)
        models = {name: _random_model(preset(name), generator) for name in (reference, challenger)}
        for step, length in enumerate(lengths):
            ids = torch.randint(min(model.config.vocab_size for model in models.values()), (1, length),
                                generator=generator)  # fmt: skip
            seconds = paired(
                {name: partial(model, ids) for name, model in models.items()},
                rounds,
                progress=_part(progress, step, len(lengths)),
            )
            times = ratio(seconds[reference], seconds[challenger])
            figures["ratio"].append(round(times.median, 3))
            figures["ratio_low"].append(round(times.low, 3))
            figures["ratio_high"].append(round(times.high, 3))
            figures["time_saved"].append(round(1 - 1 / times.median, 3))
            for name, taken in seconds.items():
                figures["seconds"][name].append(round(summary(taken).median, 4))
                figures["rounds"][name].append([round(second, 4) for second in taken])
    return figures | {"batch": 1, "threads": threads, "seeds": [SEED]}


def compare_family(
    reference: str,
    others: Mapping[str, ModelConfig],
    quick: bool = False,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """How many times as fast as a preset other models are at batch 1 and 128 tokens; all of them take turns.

    others: name -> config. Float32, without gradients, random weights and ids; BART's decoder reads the text as well.
    Figures: "tokens", and under each name (the reference's too) in "parameters" and "operations" what one text needs:
    numbers kept, and floating-point operations of all matrix products (a multiplication and an addition are two). In
    "ratio", "ratio_low" and "ratio_high": a name -> the median and the quartiles; "seconds" of each, the median.
    """
    rounds = QUICK_ROUNDS if quick else ROUNDS
    configs = {reference: preset(reference), **others}
    with torch.inference_mode(), _threads(min(THREADS, machine()["cores"])) as threads:
        generator = torch.Generator().manual_seed(SEED)
        models = {name: _random_model(config, generator) for name, config in configs.items()}
        ids = torch.randint(min(config.vocab_size for config in configs.values()), (1, FAMILY_TOKENS),
                            generator=generator)  # fmt: skip
        seconds = paired({name: partial(model, ids) for name, model in models.items()}, rounds, progress=progress)
    ratios = {name: ratio(seconds[reference], seconds[name]) for name in others}
    return {
        "tokens": FAMILY_TOKENS,
        "parameters": {name: count_parameters(model) for name, model in models.items()},
        "operations": {name: operations(config, FAMILY_TOKENS) for name, config in configs.items()},
        "ratio": {name: round(times.median, 3) for name, times in ratios.items()},
        "ratio_low": {name: round(times.low, 3) for name, times in ratios.items()},
        "ratio_high": {name: round(times.high, 3) for name, times in ratios.items()},
        "seconds": {name: round(summary(taken).median, 4) for name, taken in seconds.items()},
        "rounds": {name: [round(second, 4) for second in taken] for name, taken in seconds.items()},
        "batch": 1,
        "threads": threads,
        "seeds": [SEED],
    }


def operations(config: ModelConfig, tokens: int) -> int:
    """Floating-point operations of the matrix products for one text, counted on the meta device."""
    with torch.device("meta"), FlopCounterMode(display=False) as counter, torch.no_grad():
        build(config).eval()(torch.zeros(1, tokens, dtype=torch.long))
    return counter.get_total_flops()


@contextmanager
def _threads(count: int) -> Iterator[int]:
    """Let torch use this many threads, and afterwards as many as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield count
    finally:
        torch.set_num_threads(before)


def _random_model(config: ModelConfig, generator: torch.Generator) -> nn.Module:
    """A model with weights from a plain normal distribution: made faster than by `build`, and as fast in use."""
    with torch.device("meta"):
        model = build(config)
    model = model.to_empty(device="cpu").eval()
    for parameter in model.parameters():
        parameter.normal_(std=0.02, generator=generator)
    return model


def _part(progress: Progress | None, step: int, steps: int) -> Progress | None:
    """The progress of one of several equal steps, reported as progress of all of them."""
    return progress and (lambda done, of: progress(step * of + done, steps * of))
