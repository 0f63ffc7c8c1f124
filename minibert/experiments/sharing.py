"""E3: what do ALBERT's savings cost?

Small ALBERTs share all parts of their blocks, one part or none, each with embeddings of four widths E. Lan et al. 2020,
Tables 3 and 4, do the same with ALBERT-base.

All are trained for an equal number of steps; those that need fewer operations in a step are also trained for more
steps, until the operations are equal. Sharing saves parameters but no operations, and narrow embeddings save few. So
there is one more: a model that spends the parameters that sharing saved on twice the width, and is trained for so many
fewer steps that the operations are equal.
"""

from __future__ import annotations

from pathlib import Path
from statistics import median
from typing import Any

from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from minibert.experiments.grid import Cell, Experiment, Size
from minibert.experiments.pretraining import (
    FIRST_SEEDS,
    FULL,
    LAYERS,
    QUICK,
    WIDTH,
    by_frequency,
    fine_tuned,
    held_out_loss,
    masked_words,
    own_tokenizer,
    pretrain,
    short_task,
    small,
)
from minibert.factory import build, count_parameters
from minibert.heads import WithHead
from minibert.models.albert import AlbertConfig
from minibert.training.tasks import MaskedWords

# The variants, as the records name them. E is the width of the embeddings; the blocks are 128 wide.
WIDTHS = (16, 32, 64, WIDTH)
SHARED = {width: f"all shared, E = {width}" for width in WIDTHS}
UNSHARED = {width: f"nothing shared, E = {width}" for width in WIDTHS}
PART_WIDTH = 32  # a quarter of the blocks' width; the paper's Table 4 has a sixth and the whole
ATTENTION_SHARED, FFN_SHARED = f"attention shared, E = {PART_WIDTH}", f"FFN shared, E = {PART_WIDTH}"
BOTH_SAVINGS, NO_SAVINGS = SHARED[PART_WIDTH], UNSHARED[WIDTH]
WIDER = f"all shared, E = {PART_WIDTH}, twice as wide"

PARTS = ATTENTION, FEED_FORWARD = ("attention", "feed_forward")  # of a block


def at_equal_operations(variant: str) -> str:
    """The name of the variant that is trained for as many operations as NO_SAVINGS."""
    return f"{variant}, equal operations"


# As SHARED and UNSHARED; those with the widest embeddings have equal operations after an equal number of steps.
SHARED_EQUAL, UNSHARED_EQUAL = (
    {width: name if width == WIDTH else at_equal_operations(name) for width, name in names.items()}
    for names in (SHARED, UNSHARED)
)
BOTH_SAVINGS_EQUAL, WIDER_EQUAL = at_equal_operations(BOTH_SAVINGS), at_equal_operations(WIDER)


def model_of(shared: tuple[str, ...], embedding_size: int, width: int, seed: int) -> WithHead:
    """An ALBERT with random weights whose blocks share the parts named in `shared`."""
    config = small(
        AlbertConfig,
        embedding_size=embedding_size,
        num_hidden_groups=LAYERS,
        hidden_size=width,
        intermediate_size=4 * width,
        num_attention_heads=width // 32,
    )
    model = build(config, "masked-lm", seed)
    share(model.backbone.encoder.blocks, shared)
    return model


def share(blocks: nn.ModuleList, parts: tuple[str, ...]) -> None:
    """Let all blocks use the parts of the first block with these names, each with the norm that follows it."""
    norms = {ATTENTION: "attention_norm", FEED_FORWARD: "norm"}
    for block in blocks[1:]:
        for part in parts:
            setattr(block, part, getattr(blocks[0], part))
            setattr(block, norms[part], getattr(blocks[0], norms[part]))


def operations(model: WithHead, task: MaskedWords, size: Size) -> int:
    """Floating-point operations of all matrix products in a training step, forward and backward."""
    batch = task.batch(range(size.batch_size), seed=0)
    with FlopCounterMode(display=False) as counter:
        task.losses(model, batch)["masked_lm"].backward()
    model.zero_grad()
    return counter.get_total_flops()


def sharing(shared: tuple[str, ...], embedding_size: int, equal_operations: bool = False, width: int = WIDTH) -> Cell:
    """Such an ALBERT, pre-trained and then fine-tuned.

    equal_operations: train for as many steps as NO_SAVINGS could pay for, instead of for size.steps.
    """

    def cell(seed: int, size: Size, work: Path) -> dict[str, Any]:
        tokenizer = own_tokenizer(work)
        task, _ = masked_words(tokenizer, size)
        model = model_of(shared, embedding_size, width, seed)
        needed, steps = operations(model, task, size), size.steps
        if equal_operations:
            steps = round(steps * operations(model_of((), WIDTH, WIDTH, seed), task, size) / needed)
        found = {"parameters": count_parameters(model.backbone), "operations": needed, "steps": steps}
        name = f"{'-'.join(shared) or 'nothing'}-{embedding_size}-{width}-{steps}-{seed}"
        log = pretrain(model, task, size, seed, work / name, steps, short=short_task(tokenizer))
        found |= {"step_seconds": round(median(record["seconds"] for record in log[:-1]), 5)}
        found |= held_out_loss(model, tokenizer, size)
        return found | fine_tuned(model, tokenizer, size, seed, work / f"{name}-tuned")

    return cell


# Those that the verdict and the changes it names do not rest on: they are for the orders of the paper's tables.
ASIDE = (
    *(SHARED[width] for width in WIDTHS if width not in (PART_WIDTH, WIDTH)),
    *(UNSHARED[width] for width in WIDTHS if width not in (PART_WIDTH, WIDTH)),
    *(SHARED_EQUAL[width] for width in WIDTHS if width not in (PART_WIDTH, WIDTH)),
    *(UNSHARED_EQUAL[width] for width in WIDTHS if width != WIDTH),
    ATTENTION_SHARED,
    FFN_SHARED,
)

E3 = Experiment(
    "E3",
    {
        **{name: sharing(PARTS, width) for width, name in SHARED.items()},
        **{name: sharing((), width) for width, name in UNSHARED.items()},
        ATTENTION_SHARED: sharing((ATTENTION,), PART_WIDTH),
        FFN_SHARED: sharing((FEED_FORWARD,), PART_WIDTH),
        **{SHARED_EQUAL[width]: sharing(PARTS, width, True) for width in WIDTHS[:-1]},
        **{UNSHARED_EQUAL[width]: sharing((), width, True) for width in WIDTHS[:-1]},
        WIDER_EQUAL: sharing(PARTS, PART_WIDTH, True, width=2 * WIDTH),
    },
    full=FULL,
    quick=QUICK,
    seeds=FIRST_SEEDS,
    fewer=dict.fromkeys(ASIDE, 2),
    more=by_frequency,
)
