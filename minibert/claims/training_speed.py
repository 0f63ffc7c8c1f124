"""The verdict on how fast ALBERT trains, from the time of a step and the bytes that devices exchange in it (E5)."""

from __future__ import annotations

import math

from minibert.claims.records import CONDITION, FAILS, HOLDS, Figures, Judgement
from minibert.experiments.training_speed import bandwidth_for, speed_up

CLAIMED = 1.7
LINKS = {"1 G Ethernet": 1.0, "10 G Ethernet": 10.0, "InfiniBand EDR": 100.0, "NVLink (A100)": 2400.0}  # Gbit/s


def judge_training(figures: Figures) -> Judgement:
    """Holds if computing alone is 1.7 times as fast; with a condition if a slow link is needed for that."""
    reached = bandwidth_for(figures, CLAIMED)
    reference, challenger = figures["models"]
    sent, sent_less = (figures["bytes"][name] / 1e9 for name in figures["models"])
    computing = f"{figures['ratio']:.2f}× ({figures['ratio_low']:.2f}–{figures['ratio_high']:.2f}) on one device"
    if reached is None:
        verdict, where = FAILS, f"{CLAIMED}× at no speed of the links"
    elif math.isinf(reached):
        verdict, where = HOLDS, f"{CLAIMED}× without any exchange"
    else:
        verdict, where = CONDITION, f"{CLAIMED}× if the links carry {_gbit(reached)} Gbit/s or less"
    over_links = ", ".join(f"{speed_up(figures, gbit):.2f}× at {gbit:,.0f}" for gbit in LINKS.values())
    return Judgement(
        f"{computing}; a step exchanges {sent:.2f} GB against {sent_less:.2f} GB; {where}",
        verdict,
        f"{challenger} runs as many blocks as {reference} but exchanges {sent / sent_less:.0f} times less. Computed "
        f"for {figures['devices']} devices like the one that was timed ({figures['device']}, {figures['batch']} texts "
        f"of {figures['length']} tokens each) that exchange their gradients after computing them: {over_links} Gbit/s. "
        "With devices that compute faster, the factor appears even with faster links. With larger batches, "
        "exchanging the gradients and updating the weights matter less. The paper's TPUs are not measured here.",
        f"{figures['ratio']:.2f}× on one device",
    )


def _gbit(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"
