"""The pictures of the recorded measurements: which numbers of the ledger go into which picture."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from matplotlib.figure import Figure

from minibert import plots
from minibert.claims.ledger import results
from minibert.claims.records import Figures
from minibert.claims.rules.kept import AVERAGE, CLAIMED_SHARE, WITHOUT_WINS, kept_on, learned, wins
from minibert.claims.rules.losses import ALL_LOSSES, LEFT_OUT
from minibert.claims.training_speed import CLAIMED, LINKS, bandwidth_for
from minibert.experiments.masking_and_pairs import NO_PAIRS, NSP, PASSES, SOP, dynamic, static
from minibert.experiments.sharing import (
    ATTENTION_SHARED,
    BOTH_SAVINGS_EQUAL,
    FFN_SHARED,
    NO_SAVINGS,
    SHARED,
    UNSHARED,
    WIDER_EQUAL,
)
from minibert.experiments.statistics import Cells, differences, over_seeds
from minibert.words import counted


def draw_recorded(folder: str | Path) -> list[Path]:
    """Draw the pictures of the claims whose measurements are all recorded; returns the files.

    Raises MinibertError when a record cannot be read or a file cannot be written.
    """
    files = []
    for name, (ids, draw) in PICTURES.items():
        recorded = [result.figures for result in results(ids)]
        if all(recorded):
            files.append(plots.save(draw(*recorded), Path(folder) / name))
    return files


def draw_retention(figures: Figures) -> Figure:
    """What the distilled student keeps on each task and on average, from the records of D3."""
    cells = figures["cells"]
    tasks = learned(cells)
    rows = {task: tuple(kept_on(cells, [task])) for task in tasks}
    rows[AVERAGE] = tuple(kept_on(cells, tasks))
    won = wins(cells, tasks)
    if 0 < len(won) < len(tasks):
        rows[WITHOUT_WINS] = tuple(kept_on(cells, [task for task in tasks if task not in won]))
    return plots.retention(rows, [name for name in rows if name not in tasks], CLAIMED_SHARE)


def draw_losses(figures: Figures) -> Figure:
    """What each loss and the initialisation contribute, from the records of D6."""
    compared = {f"without {name}": (variant, ALL_LOSSES) for name, (variant, _) in LEFT_OUT.items()}
    return _draw_changes(figures["cells"], compared, "What changes when a part of the distillation is left out")


def draw_sharing(figures: Figures) -> Figure:
    """What factorising and sharing change, from the records of A3."""
    shown = [*SHARED.values(), *UNSHARED.values(), ATTENTION_SHARED, FFN_SHARED]
    shown += [BOTH_SAVINGS_EQUAL, WIDER_EQUAL]
    compared = {variant: (variant, NO_SAVINGS) for variant in shown if variant != NO_SAVINGS}
    title = f"What ALBERT's savings change, against “{NO_SAVINGS}”"
    return _draw_changes(figures["cells"], compared, title, sort=False)


def draw_masking(masking: Figures, pairs: Figures) -> Figure:
    """What dynamic masks and sentence-pair losses change, from the records of R1 and A8."""
    compared = {
        f"dynamic masks, against static: {counted(passes, 'pass', 'passes')}": (dynamic(passes), static(passes))
        for passes in PASSES
    }
    compared |= {"NSP, against no pairs": (NSP, NO_PAIRS), "SOP, against no pairs": (SOP, NO_PAIRS)}
    title = "What dynamic masking and sentence pairs change"
    return _draw_changes(masking["cells"] | pairs["cells"], compared, title, sort=False)


def draw_training_speed(figures: Figures) -> Figure:
    """The speed-up by the bandwidth of the links between devices, from the records of A2."""
    reference, challenger = figures["models"]
    title = f"How many times as fast as {reference} does {challenger} train?"
    reached = bandwidth_for(figures, CLAIMED)
    return plots.speed_up_by_bandwidth(figures["gbits"], figures["speed_up"], LINKS, CLAIMED, reached, title)


def draw_family(figures: Figures) -> Figure:
    """Size against speed for the base model of each family, from the record of M2."""
    reference = next(iter(figures["parameters"]))
    points = {
        name: plots.SizeAndSpeed(
            figures["parameters"][name] / 1e6,
            figures["ratio"].get(name, 1.0),
            figures["ratio_low"].get(name, 1.0),
            figures["ratio_high"].get(name, 1.0),
            f"{figures['operations'][name] / 1e9:.1f}G operations",
        )
        for name in figures["parameters"]
    }
    title = f"Smaller is not the same as faster: one text of {figures['tokens']} tokens on a CPU"
    return plots.size_and_speed(points, reference, title)


def _draw_changes(cells: Cells, compared: dict[str, tuple[str, str]], title: str, sort: bool = True) -> Figure:
    """Draw how much better each variant is than its baseline by both measures, seed by seed; to the right is better."""
    measures = {"accuracy, points better": ("accuracy", 100), "held-out words, nats better": ("masked_lm", -1)}
    panels = {
        heading: {
            label: [scale * change for change in differences(cells, measure, variant, baseline)]
            for label, (variant, baseline) in compared.items()
        }
        for heading, (measure, scale) in measures.items()
    }
    intervals = {
        heading: {label: over_seeds(changes)[1:] for label, changes in panel.items()}
        for heading, panel in panels.items()
    }
    return plots.ablation(panels, title, intervals, sort)


# File -> the claims whose records it needs, and the function that draws it.
PICTURES: dict[str, tuple[tuple[str, ...], Callable[..., Figure]]] = {
    "retention.png": (("D3",), draw_retention),
    "losses.png": (("D6",), draw_losses),
    "sharing.png": (("A3",), draw_sharing),
    "masking.png": (("R1", "A8"), draw_masking),
    "family.png": (("M2",), draw_family),
    "training-speed.png": (("A2",), draw_training_speed),
}
