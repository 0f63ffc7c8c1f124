"""E3: what do ALBERT's savings cost?

Small ALBERTs share all parts of their blocks, one part or none, with narrow and with wide embeddings. Lan et al. 2020,
Tables 3 and 4, do the same with ALBERT-base.
"""

from __future__ import annotations

from pathlib import Path
from statistics import median
from typing import Any

from torch import nn

from minibert.experiments.grid import Cell, Experiment, Size
from minibert.experiments.pretraining import by_frequency, fine_tuned, masked_words, own_tokenizer, pretrain, small
from minibert.factory import build, count_parameters
from minibert.models.albert import AlbertConfig
from minibert.training.tasks import held_out_losses

# The variants, as the records name them. E is the width of the embeddings; the blocks are 128 wide.
BOTH_SAVINGS, NO_SAVINGS = "all shared, E = 32", "nothing shared, E = 128"
NARROW, SHARED = "nothing shared, E = 32", "all shared, E = 128"  # one of the savings
ATTENTION_SHARED, FFN_SHARED = "attention shared, E = 32", "FFN shared, E = 32"

ALL_PARTS = ("attention", "feed_forward")  # of a block


def sharing(shared: tuple[str, ...], embedding_size: int) -> Cell:
    """An ALBERT whose blocks share the parts named in `shared`, pre-trained from random weights."""

    def cell(seed: int, size: Size, work: Path) -> dict[str, Any]:
        tokenizer = own_tokenizer(work)
        config = small(AlbertConfig, embedding_size=embedding_size, num_hidden_groups=4)
        model = build(config, "masked-lm", seed)
        share(model.backbone.encoder.blocks, shared)
        parameters = count_parameters(model.backbone)
        task, held_out = masked_words(tokenizer, size)
        name = f"{'-'.join(shared) or 'nothing'}-{embedding_size}-{seed}"
        log = pretrain(model, task, size, seed, work / name)
        found = held_out_losses(model, held_out)
        found |= {"parameters": parameters, "step_seconds": median(record["seconds"] for record in log[:-1])}
        return found | fine_tuned(model, tokenizer, size, seed, work / f"{name}-tuned")

    return cell


def share(blocks: nn.ModuleList, parts: tuple[str, ...]) -> None:
    """Let all blocks use the parts of the first block with these names, each with the norm that follows it."""
    norms = {"attention": "attention_norm", "feed_forward": "norm"}
    for block in blocks[1:]:
        for part in parts:
            setattr(block, part, getattr(blocks[0], part))
            setattr(block, norms[part], getattr(blocks[0], norms[part]))


E3 = Experiment(
    "E3",
    {
        BOTH_SAVINGS: sharing(ALL_PARTS, 32),
        ATTENTION_SHARED: sharing(("attention",), 32),
        FFN_SHARED: sharing(("feed_forward",), 32),
        NARROW: sharing((), 32),
        SHARED: sharing(ALL_PARTS, 128),
        NO_SAVINGS: sharing((), 128),
    },
    full=Size(texts=3000, epochs=3, steps=800),
    quick=Size(texts=320, epochs=1, steps=20, test_texts=300),
    more=by_frequency,
)
