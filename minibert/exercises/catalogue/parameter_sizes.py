"""A model's number of parameters, worked out from its sizes."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import nn

from minibert.exercises.calls import Call
from minibert.exercises.declare import Exercise, Hints, Mistake, Probe
from minibert.exercises.moved import other_sizes
from minibert.factory import build, count_parameters as library_count
from minibert.models.albert import AlbertConfig
from minibert.models.bert import BertConfig


class Sizes(NamedTuple):
    """What every answer is called with, in this order."""

    vocab_size: int
    hidden_size: int
    num_layers: int
    intermediate_size: int
    max_positions: int = 512
    token_types: int = 2
    pooler: bool = True
    embedding_size: int | None = None
    shared: bool = False


def sizes_reference(
    *sizes: Any,
    positions: str = "counted",
    types: str = "counted",
    embedding_norm: str = "counted",
    factor: str = "right",
    attention: str = "four",
    feed_forward: str = "right",
    biases: str = "all",
    norms: str = "two",
    scale_and_shift: str = "both",
    pooling: str = "asked",
    sharing: str = "right",
    decoder: str = "tied",
) -> int:
    """The number of parameters of a BERT or an ALBERT, with knobs."""
    vocab, d, layers, f, rows, kinds, has_pooler, narrow, shared = Sizes(*sizes)
    e = d if narrow is None or factor == "ignored" else narrow
    vectors = 1 if scale_and_shift == "weight only" else 2
    bias = 0 if biases == "none" else 1

    total = vocab * e
    if feed_forward == "four times D":
        f = 4 * d
    table = d if factor == "words only" else e
    total += rows * (positions == "counted") * (d if factor == "wide positions" else table)
    total += kinds * (types == "counted") * table
    total += {"counted": vectors * e, "at D": vectors * d, "forgotten": 0}[embedding_norm]
    projected = narrow is not None and factor not in ("ignored", "no projection")
    if projected and not (factor == "not where equal" and e == d):
        total += e * d + (0 if factor == "no bias" else bias * d)

    block = {"four": 4, "three": 3, "one": 1}[attention] * (d * d + d * bias)
    matrices = 1 if feed_forward == "one matrix" else 2
    inner = {"right": f + d, "four times D": f + d, "two of D": 2 * d, "two of F": 2 * f}.get(feed_forward, f)
    block += matrices * d * f + inner * bias * (biases != "attention only")
    block += {"two": 2, "one": 1, "none": 0}[norms] * vectors * d
    once = {"right": shared, "never": False, "always": True}[sharing]
    total += block if once else layers * block

    if pooling == "always" or (pooling in ("asked", "no bias", "a layer") and has_pooler):
        each = d * d + (0 if pooling == "no bias" else bias * d)
        total += layers * each if pooling == "a layer" else each
    if decoder == "counted":
        total += vocab * e
    return total


def sizes_probes() -> list[Probe]:
    base, large, albert = (30522, 768, 12, 3072), (30522, 1024, 24, 4096), (30000, 768, 12, 3072)
    small, other = (101, 6, 3, 17), (53, 10, 5, 31)
    return [
        Probe("BERT-base", Call(base)),
        Probe("BERT-large", Call(large)),
        Probe("ALBERT-base", Call((*albert, 512, 2, True, 128, True))),
        Probe("a small BERT without a pooler", Call((*small, 13, 4, False))),
        Probe("a factorised model that shares nothing", Call((*other, 19, 3, True, 7, False))),
        Probe("a model that shares its block and is not factorised", Call((*other, 23, 1, True, None, True))),
        Probe("a factorised model with E = D", Call((*other, 19, 3, False, 10, True))),
    ]


def sizes_by_formula(
    vocab_size: int,
    hidden_size: int,
    num_layers: int,
    intermediate_size: int,
    max_positions: int = 512,
    token_types: int = 2,
    pooler: bool = True,
    embedding_size: int | None = None,
    shared: bool = False,
) -> int:
    width = hidden_size if embedding_size is None else embedding_size
    embeddings = (vocab_size + max_positions + token_types) * width
    embeddings += 2 * width  # the norm: a weight and a bias for each feature
    if embedding_size is not None:
        embeddings += embedding_size * hidden_size + hidden_size

    attention = 4 * (hidden_size * hidden_size + hidden_size)  # query, key, value, output
    feed_forward = hidden_size * intermediate_size + intermediate_size
    feed_forward += intermediate_size * hidden_size + hidden_size
    block = attention + feed_forward + 2 * (2 * hidden_size)  # and two norms

    total = embeddings + (1 if shared else num_layers) * block
    return total + hidden_size * hidden_size + hidden_size if pooler else total


def sizes_by_shapes(*sizes: Any) -> int:
    vocab, d, layers, f, positions, types, pooler, narrow, shared = Sizes(*sizes)
    e = narrow or d
    shapes = [(vocab, e), (positions, e), (types, e), (e,), (e,)]
    if narrow:
        shapes += [(d, e), (d,)]
    block = [(d, d), (d,)] * 4 + [(d,), (d,)] + [(f, d), (f,), (d, f), (d,)] + [(d,), (d,)]
    shapes += block if shared else block * layers
    if pooler:
        shapes += [(d, d), (d,)]
    return sum(math.prod(shape) for shape in shapes)


def sizes_by_modules(*sizes: Any) -> int:
    vocab, d, layers, f, positions, types, pooler, narrow, shared = Sizes(*sizes)
    e = narrow or d

    def count(*modules: nn.Module) -> int:
        return sum(parameter.numel() for module in modules for parameter in module.parameters())

    with torch.device("meta"):
        total = count(*(nn.Embedding(rows, e) for rows in (vocab, positions, types)), nn.LayerNorm(e))
        total += count(nn.Linear(e, d)) if narrow else 0
        block = count(*(nn.Linear(d, d) for _ in range(4)), nn.Linear(d, f), nn.Linear(f, d))
        block += count(nn.LayerNorm(d), nn.LayerNorm(d))
        total += block * (1 if shared else layers)
        return total + (count(nn.Linear(d, d)) if pooler else 0)


def sizes_by_polynomial(*sizes: Any) -> int:
    vocab, d, layers, f, positions, types, pooler, narrow, shared = Sizes(*sizes)
    e = narrow or d
    blocks = 1 if shared else layers
    projection = d * (e + 1) if narrow else 0
    rows = vocab + positions + types + 2
    return e * rows + projection + blocks * (4 * d * d + 2 * d * f + 9 * d + f) + pooler * d * (d + 1)


def sizes_by_library(*sizes: Any, **named: Any) -> int:
    """A real model on the meta device, counted. A BERT that shares its block is as large as one with a single layer."""
    vocab, hidden, layers, intermediate, positions, types, pooler, narrow, shared = Sizes(*sizes, **named)
    groups = 1 if shared else layers  # blocks with weights of their own
    numbers = {
        "vocab_size": vocab, "hidden_size": hidden, "num_attention_heads": 1, "intermediate_size": intermediate,
        "max_position_embeddings": positions, "type_vocab_size": types,
    }  # fmt: skip
    if narrow is None:
        config = BertConfig(num_hidden_layers=groups, **numbers)
    else:
        config = AlbertConfig(num_hidden_layers=layers, num_hidden_groups=groups, embedding_size=narrow, **numbers)
    with torch.device("meta"):
        model = build(config)
    if not pooler:
        model.pooler = None
    return library_count(model)


EXERCISE = Exercise(
    name="parameter-sizes",
    topic="albert",
    title="109,482,240 by hand",
    level="core",
    minutes=15,
    function="bert_parameters",
    signature=(
        "vocab_size, hidden_size, num_layers, intermediate_size, max_positions=512, token_types=2, pooler=True, "
        "embedding_size=None, shared=False"
    ),
    task=(
        "How many parameters does a BERT have? Work it out from its sizes, without building it: BERT-base has "
        "109,482,240, ALBERT-base 11,683,584.\n\n"
        "- `vocab_size` V, `hidden_size` D, `num_layers` L, `intermediate_size` F, and `max_positions` and "
        "`token_types`, the numbers of rows in the tables of positions and of token types: integers\n"
        "- `pooler`: whether there is one, a linear layer D → D\n"
        "- `embedding_size`: None for BERT. For ALBERT a number E: words, positions, token types and their norm have "
        "width E, and a linear layer E → D follows, even if E = D\n"
        "- `shared`: whether all L layers are one block\n"
        "- returns an integer, exact to the last parameter\n\n"
        "The parts of a block: four linear layers D → D in the attention (query, key, value, output), two in the "
        "feed-forward (D → F and F → D), and two layer norms. All linear layers have a bias, and all norms have a "
        "weight and a bias. The embeddings are followed by a norm too. There is no output layer for words."
    ),
    source="Devlin et al. 2019, section 3; Lan et al. 2020, sections 3.1 and 4.4",
    reference=sizes_reference,
    solution=sizes_by_formula,
    library=sizes_by_library,
    probes=sizes_probes,
    tolerance=1e-12,  # an integer is right or wrong
    moved=other_sizes,
    mistakes=(
        Mistake("positions-forgotten", "positions", "forgotten", "the table of positions is left out",
                "it has max_positions rows"),
        Mistake("types-forgotten", "types", "forgotten", "the table of token types is left out",
                "it has token_types rows"),
        Mistake("embedding-norm-forgotten", "embedding_norm", "forgotten", "the norm of the embeddings is left out",
                "there is one after the sum, before the first block"),
        Mistake("embedding-norm-at-D", "embedding_norm", "at D", "the norm of the embeddings is counted at width D",
                "with a factorised embedding it comes before the projection, and has width E"),
        Mistake("not-factorised", "factor", "ignored", "`embedding_size` makes no difference",
                "if it is given, the tables have width E, and a linear layer E → D follows"),
        Mistake("only-words-factorised", "factor", "words only", "positions and token types are counted at width D",
                "all three tables have width E, because they are added before the projection"),
        Mistake("positions-of-width-D", "factor", "wide positions", "the positions are counted at width D",
                "all three tables have width E, because they are added before the projection"),
        Mistake("projection-forgotten", "factor", "no projection", "the projection from E to D is left out",
                "narrow tables alone do not fit the blocks; count E · D + D"),
        Mistake("projection-bias-forgotten", "factor", "no bias", "the projection's bias is left out",
                "it is a linear layer like the others, and its bias has D numbers"),
        Mistake("projection-skipped-where-equal", "factor", "not where equal", "you count no projection where E = D",
                "the layer exists there too; it depends only on whether embedding_size is given"),
        Mistake("output-projection-forgotten", "attention", "three", "you count three matrices in the attention",
                "after query, key and value there is a fourth, the output, where the heads are merged"),
        Mistake("attention-counted-once", "attention", "one", "you count one matrix in the attention",
                "there are four, for query, key, value and output"),
        Mistake("feed-forward-counted-once", "feed_forward", "one matrix", "you count one matrix in the feed-forward",
                "there are two, D → F and F → D"),
        Mistake("feed-forward-of-4-D", "feed_forward", "four times D",
                "the feed-forward is assumed to have width 4 · D",
                "that is true of BERT-base and -large, but the argument says how wide it is"),
        Mistake("feed-forward-biases-of-D", "feed_forward", "two of D", "both biases of the feed-forward have size D",
                "a bias is as wide as the output of its layer, which is F and then D"),
        Mistake("feed-forward-biases-of-F", "feed_forward", "two of F", "both biases of the feed-forward have size F",
                "a bias is as wide as the output of its layer, which is F and then D"),
        Mistake("biases-forgotten", "biases", "none", "the biases of the linear layers are left out",
                "each has one number for each of its outputs"),
        Mistake("feed-forward-biases-forgotten", "biases", "attention only",
                "the biases of the feed-forward are left out",
                "they have F numbers in the first layer and D in the second"),
        # Both are 4 D numbers: the total alone does not tell which are missing.
        Mistake("norms-or-attention-biases-forgotten", "norms", "none", "4 D numbers are missing from each block",
                "its two norms have that many, 2 D each, and so do the four biases of the attention"),
        Mistake("one-norm-a-block", "norms", "one", "you count one norm for each block",
                "there are two, after the attention and after the feed-forward"),
        Mistake("norm-weight-only", "scale_and_shift", "weight only", "you count only a weight for each norm",
                "a norm has a weight and a bias for each feature"),
        Mistake("pooler-always", "pooling", "always", "the pooler counts whether there is one or not",
                "look at `pooler`"),
        Mistake("pooler-never", "pooling", "never", "the pooler is never counted",
                "if there is one, it is a linear layer with D · D + D parameters"),
        Mistake("pooler-bias-forgotten", "pooling", "no bias", "the pooler's bias is left out",
                "it is a linear layer with D · D + D parameters"),
        Mistake("pooler-in-every-layer", "pooling", "a layer", "the pooler is counted in every layer",
                "there is one for the whole model, after the last block"),
        Mistake("sharing-ignored", "sharing", "never", "the blocks count L times although they are one block",
                "with `shared` only one block is stored, however often it is used"),
        Mistake("always-shared", "sharing", "always", "the block counts only once",
                "without `shared` there are num_layers blocks"),
        Mistake("decoder-counted", "decoder", "counted", "the word table is counted twice",
                "the output layer for words uses the same table, and does not count here"),
    ),
    hints=Hints(
        "Begin with one linear layer: how many numbers does it need to go from 3 features to 4?",
        "There are four groups: the tables and their norm; E → D if there is one; the blocks; the pooler. A linear "
        "layer from m to n has m · n + n parameters, and a norm of n features has 2 n.",
        "E (V + positions + types + 2) + [E D + D] + (1 or L) · (4 (D² + D) + 2 D F + F + D + 4 D) + [D² + D].",
        "width = ...\ntotal = (vocab_size + ... + ...) * width + 2 * ...\n"
        "if embedding_size is not None: total += ...\n"
        "block = 4 * (...) + (... + intermediate_size) + (... + hidden_size) + 2 * ...\n"
        "total += (1 if ... else ...) * block\nif pooler: total += ...",
    ),
    equivalents=(sizes_by_shapes, sizes_by_modules, sizes_by_polynomial),
)  # fmt: skip
