"""E5, how fast ALBERT trains: the time of a step on one device, and the bytes that several devices exchange in it.

Devices that train together each take a share of the texts and then exchange their gradients, 4 bytes a parameter.
ALBERT's blocks are one block, so it computes as much as BERT but has far less to exchange: how much faster it trains
depends on how fast the devices are linked. One step takes

    seconds = seconds of computing + bytes to exchange / bytes a second of the link

Nothing is exchanged while gradients are still being computed here; where it is, as in most libraries, the links
matter less than this says.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import torch

from minibert.claims.counted import ALBERT, ALBERT_LARGE, BERT, BERT_LARGE
from minibert.claims.records import CONDITION, FAILS, HOLDS, Figures, Judgement
from minibert.factory import build, count_parameters, preset
from minibert.timing import Progress, paired, ratio, summary
from minibert.training.loop import Settings, make_optimiser

ROUNDS, QUICK_ROUNDS = 9, 3
BATCH, LENGTH = 4, 128  # texts, tokens each
MASKED = 0.15  # of the tokens
DEVICES = 64  # the fewest that Lan et al. 2020 used, section 4.1
GRADIENT_BYTES = 4  # a parameter, float32
GIGABIT = 1e9 / 8  # bytes
GBITS = tuple(round(10 ** (tenth / 10), 4) for tenth in range(-10, 41))  # 0.1 to 10,000 Gbit/s
LINKS = {"1 G Ethernet": 1.0, "10 G Ethernet": 10.0, "InfiniBand EDR": 100.0, "NVLink (A100)": 2400.0}  # Gbit/s
CLAIMED = 1.7


def compare_training(
    reference: str = BERT_LARGE,
    challenger: str = ALBERT_LARGE,
    batch: int = BATCH,
    length: int = LENGTH,
    rounds: int = ROUNDS,
    device: str = "cpu",
    quick: bool = False,
    progress: Progress | None = None,
) -> Figures:
    """Time one training step of two presets in turn, in float32, and count what each exchanges.

    A step is forward, backward and AdamW, on random texts without padding of which 15% is to be guessed. quick: the
    base sizes, and fewer rounds.

    Figures: "parameters", "seconds" and "rounds" by name, as in `timed`; "bytes", what one of DEVICES devices sends
    in a step; "ratio", "ratio_low", "ratio_high": how many times as fast the challenger computes; "gbits" and
    "speed_up": how many times as fast it trains over links of so many Gbit/s.
    """
    if quick:
        reference, challenger, rounds = BERT, ALBERT, QUICK_ROUNDS
    steps, parameters = {}, {}
    for name in (reference, challenger):
        steps[name], parameters[name] = _training_step(name, reference, batch, length, device)
    seconds = paired(steps, rounds, progress=progress)
    times = ratio(seconds[reference], seconds[challenger])
    figures: Figures = {
        "models": [reference, challenger], "batch": batch, "length": length, "device": _device_name(device),
        "devices": DEVICES, "threads": torch.get_num_threads(), "seeds": [0], "parameters": parameters,
        "bytes": {name: exchanged_bytes(count, DEVICES) for name, count in parameters.items()},
        "seconds": {name: round(summary(taken).median, 5) for name, taken in seconds.items()},
        "rounds": {name: [round(second, 5) for second in taken] for name, taken in seconds.items()},
        "ratio": round(times.median, 3), "ratio_low": round(times.low, 3), "ratio_high": round(times.high, 3),
    }  # fmt: skip
    return figures | {"gbits": list(GBITS), "speed_up": [round(speed_up(figures, gbit), 3) for gbit in GBITS]}


def _training_step(name: str, like: str, batch: int, length: int, device: str) -> tuple[Callable[[], None], int]:
    """A function that makes one training step of a fresh model, and the number of the model's parameters."""
    wanted = preset(like)
    # ALBERT's first version, the one in the paper's table, has BERT's dropout; the second has none and gains by that.
    dropout = ("hidden_dropout_prob", "attention_probs_dropout_prob")
    config = replace(preset(name), **{field: getattr(wanted, field) for field in dropout})
    model = build(config, "masked-lm", seed=0).to(device).train()
    optimiser = make_optimiser(model, Settings(steps=1))
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(config.vocab_size, (batch, length), generator=generator)
    guessed = torch.rand(batch, length, generator=generator) < MASKED
    ids, labels = ids.to(device), ids.where(guessed, -100).to(device)

    def step() -> None:
        model(ids, labels=labels).loss.backward()
        optimiser.step()
        optimiser.zero_grad()
        if torch.device(device).type == "cuda":
            torch.cuda.synchronize()

    return step, count_parameters(model)


def _device_name(device: str) -> str:
    return torch.cuda.get_device_name(device) if torch.device(device).type == "cuda" else "CPU"


# --------------------------------------------------------------------------------------- what the link makes of it


def exchanged_bytes(parameters: int, devices: int) -> float:
    """What each device sends to exchange the gradients of a step in a ring: 2(n − 1)/n times their size.

    Source: Patarasuk & Yuan 2009, "Bandwidth optimal all-reduce algorithms for clusters of workstations".
    """
    return 2 * (devices - 1) / devices * GRADIENT_BYTES * parameters


def speed_up(figures: Figures, gbit: float) -> float:
    """How many times as fast the challenger trains where the devices' links carry so many Gbit/s."""
    of_reference, of_challenger = (
        figures["seconds"][name] + figures["bytes"][name] / (gbit * GIGABIT) for name in figures["models"]
    )
    return of_reference / of_challenger


def bandwidth_for(figures: Figures, factor: float) -> float | None:
    """The fastest link, in Gbit/s, at which the challenger trains `factor` times as fast.

    Infinite where it computes that much faster by itself; None where no link, however slow, makes it so. From
    s₁ + b₁x = factor (s₂ + b₂x), x the seconds a byte.
    """
    (s1, b1), (s2, b2) = ((figures["seconds"][name], figures["bytes"][name]) for name in figures["models"])
    missing, gained = factor * s2 - s1, b1 - factor * b2
    if missing <= 0:
        return math.inf
    return None if gained <= 0 else gained / missing / GIGABIT


def judge_training(figures: Figures) -> Judgement:
    """Holds where computing alone is 1.7 times as fast; on condition of a link where a slow one makes it so."""
    reached = bandwidth_for(figures, CLAIMED)
    reference, challenger = figures["models"]
    sent, sent_less = (figures["bytes"][name] / 1e9 for name in figures["models"])
    computing = f"{figures['ratio']:.2f}× ({figures['ratio_low']:.2f}–{figures['ratio_high']:.2f}) on one device"
    if reached is None:
        verdict, where = FAILS, f"{CLAIMED}× over no link"
    elif math.isinf(reached):
        verdict, where = HOLDS, f"{CLAIMED}× without any exchange"
    else:
        verdict, where = CONDITION, f"{CLAIMED}× where the links carry {_gbit(reached)} Gbit/s or less"
    over_links = ", ".join(f"{speed_up(figures, gbit):.2f}× at {gbit:,.0f}" for gbit in LINKS.values())
    return Judgement(
        f"{computing}; a step exchanges {sent:.2f} GB against {sent_less:.2f}; {where}",
        verdict,
        f"{challenger} runs as many blocks as {reference} and exchanges {sent / sent_less:.0f} times less. Reckoned "
        f"for {figures['devices']} devices like the one that was timed ({figures['device']}, {figures['batch']} texts "
        f"of {figures['length']} tokens each), exchanging after computing: {over_links} Gbit/s. The faster a device "
        "computes, the faster the links over which the factor still appears; larger batches make the exchange and the "
        "update of the weights matter less. The paper's TPUs themselves are not measured here.",
    )


def _gbit(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"
