"""The masked-LM teacher, `minilm-l6-mlm`: what its training reached, beside what can be known without reading.

    minibert pretrain --model minilm-l6 --validate-every 500 --out runs/teacher
    minibert pretrain --model minilm-l6 --rank 0 --learning-rate 5e-4 --validate-every 500 --out runs/teacher-full
    python -m minibert.experiments.teacher runs/teacher runs/teacher-full

The first gives the delta, the second trains all weights freely, to compare with, and the third measures both. The
record lies beside the delta in minibert/weights.
"""

from __future__ import annotations

import json
import math
from argparse import ArgumentParser
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from torch import nn

from minibert.checkpoints import from_pretrained
from minibert.deltas import applied
from minibert.experiments.baselines import baselines
from minibert.files import json_text, read_json, write_files
from minibert.filling import fill
from minibert.losses import IGNORE
from minibert.timing import machine
from minibert.tokenizers import load_tokenizer
from minibert.training import loop, low_rank, recipes
from minibert.training.batching import inputs
from minibert.training.tasks import MaskedWords, held_out_batches

WEIGHTS = Path(__file__).parents[1] / "weights"
NAME = "minilm-l6-mlm"
BASE = "minilm-l6"
CURVE = 100  # steps over which the training loss is averaged
SENTENCES = (
    "the acting was [MASK] and the plot made no sense.",
    "it is one of the [MASK] films i have ever seen.",
    "the director of this [MASK] should be ashamed.",
    "my sister watched the film with [MASK] husband.",
    "i laughed so hard that i [MASK].",
    "they filmed it in the [MASK] of new york.",
    "the movie is based on a [MASK] by stephen king.",
    "she plays a young [MASK] who falls in love with a doctor.",
    "do not waste your [MASK] on this.",
    "the capital of france is [MASK].",
)


@torch.no_grad()
def tested(model: nn.Module, held_out: MaskedWords) -> dict[str, float]:
    """The held-out loss in nats, its perplexity, and the share of masked words whose best guess is right."""
    loss, right, words = 0.0, 0, 0
    for batch in held_out_batches(held_out):
        output = model(**inputs(batch), labels=batch["labels"])
        truth = batch["labels"][batch["labels"] != IGNORE]
        loss += float(output.loss) * len(truth)
        right += int((output.logits.argmax(-1) == truth).sum())
        words += len(truth)
    return {"masked_lm": loss / words, "perplexity": math.exp(loss / words), "right": right / words, "words": words}


def curve(folder: Path) -> list[dict[str, float]]:
    """The training loss, averaged over CURVE steps, and the held-out loss where it was measured."""
    log = [json.loads(line) for line in (folder / loop.LOG).read_text(encoding="utf-8").splitlines()]
    points = []
    for end in range(CURVE, len(log) + 1, CURVE):
        some = log[end - CURVE : end]
        point = {"step": end, "masked_lm": round(fmean(one["masked_lm"] for one in some), 4)}
        held_out = [one["held_out_masked_lm"] for one in some if "held_out_masked_lm" in one]
        points.append(point | ({"held_out": round(held_out[-1], 4)} if held_out else {}))
    return points


def measured(low: Path, full: Path | None) -> dict[str, Any]:
    """Everything about the teacher: recipe, curve, held-out figures, baselines, and the wholly trained model's."""
    options = read_json(low / "options.json")
    tokenizer = load_tokenizer(low)
    reviews = recipes.load_texts(options["source"])
    task, held_out = (
        recipes.masked_words(
            options["objective"], some, tokenizer, options["max_length"], options["seed"], "tokens", False
        )
        for some in (reviews.train[: options["texts"]], reviews.validation[: options["held_out"]])
    )
    known = {name: found._asdict() for name, found in baselines(task, held_out).items()}
    model = from_pretrained(low, "masked-lm")
    found = {"options": options, "machine": machine(), "held_out": tested(model, held_out), "baselines": known}
    guesses = {text: fill(text, model, tokenizer=tokenizer).masks[0] for text in SENTENCES}
    found["guesses"] = {text: [guess.token for guess in one] for text, one in guesses.items()}
    found["curve"] = curve(low)
    if full is not None:
        found["trained_wholly"] = {
            "held_out": tested(from_pretrained(full, "masked-lm"), held_out),
            "curve": curve(full),
        }
        found["cut"] = cuts(full, held_out, options["rank"])
    return found


def cuts(full: Path, held_out: MaskedWords, rank: int) -> dict[str, Any]:
    """What is left of the wholly trained model if its changes are cut to this rank by singular values."""
    model = from_pretrained(full, "masked-lm")
    after = model.state_dict()
    named = {f"backbone.{name}": tensor for name, tensor in from_pretrained(BASE).state_dict().items()}
    before = {name: tensor for name, tensor in named.items() if name in after}  # without the pooler
    delta = low_rank.cut(before, after, rank)
    model.load_state_dict(applied(before, delta))
    size = sum(tensor.numel() * tensor.element_size() for tensor in delta.values())
    return {"rank": rank, "bytes": size, "held_out": tested(model, held_out)}


def main() -> None:
    parser = ArgumentParser(description="Measure the masked-LM teacher, and record it in the package.")
    parser.add_argument("low", type=Path, help="the run with --rank, whose delta becomes the asset")
    parser.add_argument("full", type=Path, nargs="?", help="the run without --rank, to compare with")
    args = parser.parse_args()
    found = measured(args.low, args.full)
    delta = (args.low / low_rank.DELTA).read_bytes()
    write_files(WEIGHTS, {f"{NAME}.safetensors": delta, f"{NAME}.json": json_text(found, 1)})
    print(json.dumps({name: found[name] for name in found if name not in ("curve", "trained_wholly")}, indent=1))


if __name__ == "__main__":
    main()
