"""Does a model read? Its loss, compared with what can be known of a masked word without reading the sentence."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from minibert.experiments.statistics import mean

READS = 1.0  # nats below the copier: what a model that reads must reach


def copying_loss(by_frequency: float) -> float:
    """The masked-word loss, in nats, of a model that knows how often words occur and that a visible word is right half
    the time.

    by_frequency: the loss of a model that knows only how often words occur. Our own calculation: of ten words to
    predict, eight are hidden, one is replaced by another and one is kept (`objectives.corrupt`).
    """
    return 0.8 * by_frequency + 0.1 * (by_frequency + math.log(2)) + 0.1 * math.log(2)


class Reading(NamedTuple):
    """Held-out losses of a masked word, in nats: the best model's, and those of the two that do not read."""

    model: float
    by_frequency: float
    copying: float

    @classmethod
    def of(cls, figures: Mapping[str, Any]) -> Reading:
        """From an experiment's figures: "by_frequency", and the "masked_lm" of the variants that have it."""
        cells, by_frequency = figures["cells"], figures["by_frequency"]
        best = min(mean(cells, name, "masked_lm") for name, seeds in cells.items() if "masked_lm" in seeds[0])
        return cls(best, by_frequency, copying_loss(by_frequency))

    @property
    def reads(self) -> bool:
        """Whether the model is so far below both that what it learned can only come from the sentence."""
        return self.copying - self.model >= READS

    def in_words(self) -> str:
        """The distances, for the ledger, and what follows from them."""
        found = (
            f"A masked word costs the best model {self.model:.2f} nats: {self.by_frequency - self.model:.2f} below "
            f"word frequencies, {self.copying - self.model:.2f} below copying the visible words."
        )
        if self.reads:
            return found
        return (
            f"{found} So there is no verdict. It would take models that read: {READS:g} nat or more below the latter."
        )
