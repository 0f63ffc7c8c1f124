"""ALBERT's parameter sharing: one block for all steps."""

from __future__ import annotations

import copy
from collections.abc import Callable

from torch import nn

from minibert.encoder import Encoder
from minibert.exercises.calls import Built, Call
from minibert.exercises.declare import Exercise, Hints, Mistake, Probe
from minibert.exercises.moved import other_model

MakeBlock = Callable[[], nn.Module]


def sharing_reference(
    make_block: MakeBlock, num_layers: int, *, sharing: str = "all", count: str = "L"
) -> list[nn.Module]:
    """A stack of one block with knobs."""
    steps = num_layers + {"L": 0, "one more": 1, "one fewer": -1}[count]
    if sharing == "no list":
        return make_block()
    if sharing == "the function":
        return [make_block] * steps
    if sharing == "one step":
        return [make_block()]
    if sharing == "all":
        return [make_block()] * steps
    if sharing == "equal":
        first = make_block()
        return [first, *(copy.deepcopy(first) for _ in range(steps - 1))]
    if sharing == "all but the first":
        return [make_block(), *[make_block()] * (steps - 1)]
    if sharing == "two in turn":
        pair = (make_block(), make_block())
        return [pair[step % 2] for step in range(steps)]
    if sharing == "two halves":
        pair = (make_block(), make_block())
        return [pair[2 * step // max(steps, 1)] for step in range(steps)]
    blocks = [make_block() for _ in range(steps)]
    for block in blocks[1:]:
        if sharing == "attention":
            block.attention = blocks[0].attention
        elif sharing == "feed-forward":
            block.feed_forward = blocks[0].feed_forward
        elif sharing == "weights":
            block.attention.weight, block.feed_forward.weight = (
                blocks[0].attention.weight, blocks[0].feed_forward.weight,
            )  # fmt: skip
    return blocks


def sharing_probes() -> list[Probe]:
    return [
        Probe(f"with {layers} layers" if layers > 1 else "with a single layer",
              Call((Built("block_maker", (3, seed)), layers), reduce="sharing"), {"L": layers, "D": 3})
        for layers, seed in ((4, 1), (7, 2), (1, 3))
    ]  # fmt: skip


def shared_by_repeating(make_block: MakeBlock, num_layers: int) -> list[nn.Module]:
    block = make_block()
    return [block for _ in range(num_layers)]


def shared_by_module_list(make_block: MakeBlock, num_layers: int) -> nn.ModuleList:
    return nn.ModuleList([make_block()] * num_layers)


def shared_by_appending(make_block: MakeBlock, num_layers: int) -> list[nn.Module]:
    blocks: list[nn.Module] = []
    while len(blocks) < num_layers:
        blocks.append(blocks[0] if blocks else make_block())
    return blocks


def shared_by_parts(make_block: MakeBlock, num_layers: int) -> tuple[nn.Module, ...]:
    first = make_block()
    blocks = [first]
    for _ in range(num_layers - 1):
        block = make_block()
        block.attention, block.feed_forward = first.attention, first.feed_forward
        blocks.append(block)
    return tuple(blocks)


def shared_by_library(make_block: MakeBlock, num_layers: int) -> list[nn.Module]:
    encoder = Encoder([make_block()], order=[0] * num_layers)
    return [encoder.blocks[number] for number in encoder.order]


EXERCISE = Exercise(
    name="shared-blocks",
    topic="albert",
    title="One block, many steps",
    level="warm-up",
    minutes=5,
    function="shared_blocks",
    signature="make_block, num_layers",
    task=(
        "ALBERT uses the same block L times. Build the stack.\n\n"
        "- `make_block`: a function without arguments that makes a new block, a module with the parts `attention` and "
        "`feed_forward` and with its own weights\n"
        "- `num_layers`: L, 1 or more\n"
        "- returns a list (or an nn.ModuleList) of L steps that share every weight and every bias: training one step "
        "trains them all, and only one block has to be stored. The weights are those of the first block that "
        "`make_block` makes."
    ),
    source="Lan et al. 2020, section 3.1, \"Cross-layer parameter sharing\"",
    reference=sharing_reference,
    solution=shared_by_repeating,
    library=shared_by_library,
    probes=sharing_probes,
    moved=other_model,
    mistakes=(
        Mistake("fresh-blocks", "sharing", "none", "each step has its own block",
                "that is BERT, where nothing is shared; call make_block once and use that block at every step"),
        Mistake("equal-but-not-shared", "sharing", "equal",
                "the blocks begin with equal values but are not the same block",
                "after the first training step they differ; a copy (deepcopy, load_state_dict) shares nothing, so "
                "put the same object into the list L times",
                "If you change one number in the first block, does the last block see it?"),
        Mistake("only-attention-shared", "sharing", "attention", "only the attention is shared",
                "the paper tries that too, but ALBERT shares everything: attention and feed-forward"),
        Mistake("only-feed-forward-shared", "sharing", "feed-forward", "only the feed-forward is shared",
                "the paper tries that too, but ALBERT shares everything: attention and feed-forward"),
        Mistake("biases-not-shared", "sharing", "weights", "the weights are shared, but each step has its own biases",
                "all parameters should be shared"),
        Mistake("first-block-apart", "sharing", "all but the first", "the first step has its own block",
                "that makes two blocks; the first step should use the same block as the others"),
        Mistake("two-blocks-in-turn", "sharing", "two in turn", "two blocks take turns", "there should be only one"),
        Mistake("two-halves", "sharing", "two halves", "the lower and the upper half have one block each",
                "that is ALBERT with two groups; there should be only one block"),
        Mistake("one-too-many", "count", "one more", "there is one step too many",
                "num_layers counts the first step as well"),
        Mistake("one-too-few", "count", "one fewer", "there is one step too few",
                "num_layers counts the first step as well"),
        Mistake("one-step-only", "sharing", "one step", "the list has only one entry",
                "one block is stored, but it is used L times; put it into the list L times"),
        Mistake("block-instead-of-list", "sharing", "no list", "you return the block itself",
                "it should be a list with that block for each of the L steps"),
        Mistake("block-not-made", "sharing", "the function",
                "the list holds make_block itself, and not the block that it makes",
                "call it once, as make_block()"),
    ),
    hints=Hints(
        "How many blocks need to exist?",
        "A Python list can hold the same object several times. A copy is another object, with its own weights.",
        "f₁ = f₂ = … = f_L: one call of make_block, L entries.",
        "block = ...\nreturn [... for _ in range(...)]",
    ),
    equivalents=(shared_by_module_list, shared_by_appending, shared_by_parts),
)  # fmt: skip
