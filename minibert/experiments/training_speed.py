"""E5: how fast does ALBERT train? The time of a step on one device, and the bytes that several devices exchange in it.

Devices that train together each take a share of the texts and then exchange their gradients, 4 bytes per parameter.
All blocks of ALBERT share one set of weights, so it computes as much as BERT but has far less to exchange: how much
faster it trains depends on how fast the links between the devices are. One step takes

    seconds = seconds of computing + bytes to exchange / bytes per second of the link

Here nothing is exchanged while gradients are still being computed. Most libraries do so, and then the links matter
less than this formula says.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch

from minibert.factory import build, count_parameters, preset
from minibert.losses import IGNORE
from minibert.signs import Progress
from minibert.timing import paired, ratio, summary
from minibert.training.loop import Settings, make_optimiser

ROUNDS, QUICK_ROUNDS = 9, 3
BATCH, LENGTH = 4, 128  # texts, tokens each
MASKED = 0.15  # of the tokens
DEVICES = 64  # the fewest that Lan et al. 2020 used, section 4.1
GRADIENT_BYTES = 4  # per parameter, in float32
GIGABIT = 1e9 / 8  # bytes
GBITS = tuple(round(10 ** (tenth / 10), 4) for tenth in range(-10, 41))  # 0.1 to 10,000 Gbit/s


def compare_training(
    reference: str,
    challenger: str,
    batch: int = BATCH,
    length: int = LENGTH,
    rounds: int = ROUNDS,
    device: str = "cpu",
    quick_models: tuple[str, str] | None = None,
    quick: bool = False,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Time a training step of two presets that take turns, in float32, and count what each exchanges.

    A step is forward, backward and AdamW, on random texts without padding in which 15% of the tokens are to be
    predicted. quick: fewer rounds, with the smaller pair of presets `quick_models` if it is given.

    Figures: "parameters", "seconds" (median) and "rounds" by name; "bytes", what one of DEVICES devices sends in a
    step; "ratio", "ratio_low", "ratio_high": how many times as fast the challenger computes (median of the rounds and
    quartiles); "gbits" and "speed_up": how many times as fast it trains with links of this many Gbit/s.
    """
    if quick:
        rounds = QUICK_ROUNDS
        reference, challenger = quick_models or (reference, challenger)
    steps, parameters = {}, {}
    for name in (reference, challenger):
        steps[name], parameters[name] = _training_step(name, reference, batch, length, device)
    seconds = paired(steps, rounds, progress=progress)
    times = ratio(seconds[reference], seconds[challenger])
    figures: dict[str, Any] = {
        "models": [reference, challenger], "batch": batch, "length": length, "device": _device_name(device),
        "devices": DEVICES, "threads": torch.get_num_threads(), "seeds": [0], "parameters": parameters,
        "bytes": {name: exchanged_bytes(count, DEVICES) for name, count in parameters.items()},
        "seconds": {name: round(summary(taken).median, 5) for name, taken in seconds.items()},
        "rounds": {name: [round(second, 5) for second in taken] for name, taken in seconds.items()},
        "ratio": round(times.median, 3), "ratio_low": round(times.low, 3), "ratio_high": round(times.high, 3),
    }  # fmt: skip
    return figures | {"gbits": list(GBITS), "speed_up": [round(speed_up(figures, gbit), 3) for gbit in GBITS]}


def _training_step(name: str, like: str, batch: int, length: int, device: str) -> tuple[Callable[[], None], int]:
    """A function that runs one training step of a fresh model, and how many parameters the model has.

    like: the preset whose dropout the model gets.
    """
    # ALBERT's first version, the one in the paper's table, has BERT's dropout. The second has none and is faster.
    of_like = preset(like)
    dropout = ("hidden_dropout_prob", "attention_probs_dropout_prob")
    config = replace(preset(name), **{field: getattr(of_like, field) for field in dropout})
    model = build(config, "masked-lm", seed=0).to(device).train()
    optimiser = make_optimiser(model, Settings(steps=1))
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(config.vocab_size, (batch, length), generator=generator)
    masked = torch.rand(batch, length, generator=generator) < MASKED
    ids, labels = ids.to(device), ids.where(masked, IGNORE).to(device)

    def step() -> None:
        model(ids, labels=labels).loss.backward()
        optimiser.step()
        optimiser.zero_grad()
        if torch.device(device).type == "cuda":
            torch.cuda.synchronize()

    return step, count_parameters(model)


def _device_name(device: str) -> str:
    return torch.cuda.get_device_name(device) if torch.device(device).type == "cuda" else "CPU"


# --------------------------------------------------------------------------------------- over links of some speed


def exchanged_bytes(parameters: int, devices: int) -> float:
    """What each of n devices sends to exchange the gradients of a step in a ring: 2(n − 1)/n times their size.

    Source: Patarasuk & Yuan 2009, "Bandwidth optimal all-reduce algorithms for clusters of workstations".
    """
    return 2 * (devices - 1) / devices * GRADIENT_BYTES * parameters


def speed_up(figures: dict[str, Any], gbit: float) -> float:
    """How many times as fast the challenger trains if the links between devices carry this many Gbit/s."""
    of_reference, of_challenger = (
        figures["seconds"][name] + figures["bytes"][name] / (gbit * GIGABIT) for name in figures["models"]
    )
    return of_reference / of_challenger


def bandwidth_for(figures: dict[str, Any], factor: float) -> float | None:
    """The fastest link, in Gbit/s, at which the challenger trains `factor` times as fast.

    Infinite if it computes that much faster already; None if even the slowest link is not slow enough. Computed from
    s₁ + b₁x = factor (s₂ + b₂x), where x is seconds per byte.
    """
    (s1, b1), (s2, b2) = ((figures["seconds"][name], figures["bytes"][name]) for name in figures["models"])
    missing, gained = factor * s2 - s1, b1 - factor * b2
    if missing <= 0:
        return math.inf
    return None if gained <= 0 else gained / missing / GIGABIT
