"""ALBERT: a factorised embedding, one block for all steps, and counting what a model has learned."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Mapping

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from minibert.classroom.worker import Built, Call
from minibert.encoder import Encoder
from minibert.exercises.engine import Exercise, Hints, Mistake, Probe
from minibert.exercises.probes import randint, randn
from minibert.factory import build, count_parameters as library_count
from minibert.models.albert import AlbertConfig, FactorisedEmbeddings
from minibert.models.bert import BertConfig

Weights = Mapping[str, Tensor]

# -------------------------------------------------------------------------------------- factorised embeddings


def normed(x: Tensor, weights: Weights, eps: float, norm: str) -> Tensor:
    weight, bias = weights["norm.weight"], weights["norm.bias"]
    if norm in ("right", "eps 1e-5", "eps 1e-12"):
        eps = {"right": eps, "eps 1e-5": 1e-5, "eps 1e-12": 1e-12}[norm]
        return F.layer_norm(x, x.shape[-1:], weight, bias, eps)
    centred = x - x.mean(-1, keepdim=True)
    spread = {
        "n - 1": (x.var(-1, correction=1, keepdim=True) + eps).sqrt(),
        "eps outside": x.std(-1, correction=0, keepdim=True) + eps,
    }.get(norm, (x.var(-1, correction=0, keepdim=True) + eps).sqrt())
    return centred / spread if norm == "not affine" else centred / spread * weight + bias


def factorised_reference(
    input_ids: Tensor,
    token_type_ids: Tensor,
    weights: Weights,
    eps: float = 1e-12,
    *,
    place: str = "before projection",
    norm: str = "right",
    projection: str = "right",
    positions: str = "right",
    types: str = "added",
    words: str = "plain",
) -> Tensor:
    """Factorised embeddings with knobs."""
    batch, length = input_ids.shape
    table = weights["position.weight"]
    parts = [weights["word.weight"][input_ids]]
    if words == "times root":
        parts = [parts[0] * math.sqrt(parts[0].shape[-1])]
    if place == "on words":
        parts = [normed(parts[0], weights, eps, norm)]
    if positions != "forgotten":
        rows = {
            "right": table[:length],
            "from 1": table[1 : length + 1],
            "batch": table[:batch, None],
            "by type": table[token_type_ids],
        }
        parts.append(rows[positions])
    if types != "forgotten":
        parts.append(weights["token_type.weight"][token_type_ids if types == "added" else 0 * token_type_ids])

    matrix, bias = weights["projection.weight"], weights["projection.bias"]
    wide, narrow = matrix.shape

    def project(x: Tensor) -> Tensor:
        if projection == "transposed":
            return x @ matrix + bias
        if projection == "reshaped":
            return x @ matrix.reshape(narrow, wide) + bias
        if projection == "missing" or (projection == "not where equal" and wide == narrow):
            return x
        return F.linear(x, matrix, None if projection == "no bias" else bias)

    if projection in ("each", "words only"):  # tables are widened by themselves; what follows happens at the width D
        widened = len(parts) if projection == "each" else 1
        x = sum(F.linear(part, matrix, bias) if i < widened else part for i, part in enumerate(parts))
        return x if place in ("none", "on words") else normed(x, weights, eps, norm)
    x = sum(parts)
    if place == "before projection":
        x = normed(x, weights, eps, norm)
    x = project(x)
    return normed(x, weights, eps, norm) if place == "after projection" else x


def embedding_weights(narrow: int, wide: int, seed: int, scale: float = 1.0) -> dict[str, Tensor]:
    return {
        "word.weight": randn(9, narrow, seed=seed, scale=scale),
        "position.weight": randn(7, narrow, seed=seed + 1, scale=scale),
        "token_type.weight": randn(2, narrow, seed=seed + 2, scale=scale),
        "norm.weight": 1 + randn(narrow, seed=seed + 3, scale=0.3),
        "norm.bias": randn(narrow, seed=seed + 4, scale=0.3),
        "projection.weight": randn(wide, narrow, seed=seed + 5),
        "projection.bias": randn(wide, seed=seed + 6),
    }


def factorised_probes() -> list[Probe]:
    ids, types = randint(0, 9, (2, 3), seed=4), torch.tensor([[0, 0, 1], [0, 1, 1]])
    axes = {"B": 2, "S": 3, "E": 4, "D": 6, "V": 9}
    return [
        Probe("with eps 0.1", Call((ids, types, embedding_weights(4, 6, 10), 0.1), grads=(2,)), axes),
        Probe("with tiny tables", Call((ids, types, embedding_weights(4, 6, 20, 1e-3)), grads=(2,)), axes),
        Probe("where E = D", Call((ids, types, embedding_weights(5, 5, 30), 0.1)), {"B": 2, "S": 3, "D": 5, "V": 9}),
    ]


def factorised_by_functions(input_ids: Tensor, token_type_ids: Tensor, weights: Weights, eps: float = 1e-12) -> Tensor:
    length = input_ids.shape[1]
    x = weights["word.weight"][input_ids]  # (B, S, E)
    x = x + weights["position.weight"][:length]
    x = x + weights["token_type.weight"][token_type_ids]
    x = F.layer_norm(x, x.shape[-1:], weights["norm.weight"], weights["norm.bias"], eps)
    return F.linear(x, weights["projection.weight"], weights["projection.bias"])


def factorised_by_formula(input_ids: Tensor, token_type_ids: Tensor, weights: Weights, eps: float = 1e-12) -> Tensor:
    x = F.embedding(input_ids, weights["word.weight"]) + F.embedding(token_type_ids, weights["token_type.weight"])
    x = x + F.embedding(torch.arange(input_ids.shape[1]), weights["position.weight"])[None]
    mean = x.mean(-1, keepdim=True)
    variance = ((x - mean) ** 2).mean(-1, keepdim=True)
    x = weights["norm.weight"] * (x - mean) / torch.sqrt(variance + eps) + weights["norm.bias"]
    return torch.einsum("bse,de->bsd", x, weights["projection.weight"]) + weights["projection.bias"]


def factorised_by_modules(input_ids: Tensor, token_type_ids: Tensor, weights: Weights, eps: float = 1e-12) -> Tensor:
    def apply(module: nn.Module, name: str, x: Tensor) -> Tensor:
        values = {key.split(".")[1]: value for key, value in weights.items() if key.startswith(f"{name}.")}
        return functional_call(module, values, (x,))

    (wide, narrow), types = weights["projection.weight"].shape, weights["token_type.weight"]
    places = torch.arange(input_ids.shape[1]).expand_as(input_ids)
    total = apply(nn.Embedding(*weights["word.weight"].shape), "word", input_ids)
    total = total + apply(nn.Embedding(*weights["position.weight"].shape), "position", places)
    total = total + apply(nn.Embedding(*types.shape), "token_type", token_type_ids)
    return apply(nn.Linear(narrow, wide), "projection", apply(nn.LayerNorm(narrow, eps=eps), "norm", total))


def factorised_by_loop(input_ids: Tensor, token_type_ids: Tensor, weights: Weights, eps: float = 1e-12) -> Tensor:
    texts = []
    for ids, types in zip(input_ids.tolist(), token_type_ids.tolist(), strict=True):
        vectors = []
        for place, (word, kind) in enumerate(zip(ids, types, strict=True)):
            x = weights["word.weight"][word] + weights["position.weight"][place] + weights["token_type.weight"][kind]
            x = (x - x.mean()) / (x.var(correction=0) + eps).sqrt() * weights["norm.weight"] + weights["norm.bias"]
            vectors.append(weights["projection.weight"] @ x + weights["projection.bias"])
        texts.append(torch.stack(vectors))
    return torch.stack(texts)


def factorised_by_library(input_ids: Tensor, token_type_ids: Tensor, weights: Weights, eps: float = 1e-12) -> Tensor:
    wide, narrow = weights["projection.weight"].shape
    config = AlbertConfig(
        vocab_size=len(weights["word.weight"]),
        max_position_embeddings=len(weights["position.weight"]),
        embedding_size=narrow,
        hidden_size=wide,
        num_attention_heads=1,
        layer_norm_eps=eps,
    )
    position_ids = torch.arange(input_ids.shape[1]).expand_as(input_ids)
    return functional_call(FactorisedEmbeddings(config), dict(weights), (input_ids, position_ids, token_type_ids))


FACTORISED_EMBEDDING = Exercise(
    name="factorised-embedding",
    topic="albert",
    title="A factorised embedding",
    function="factorised_embeddings",
    signature="input_ids, token_type_ids, weights, eps=1e-12",
    task=(
        "ALBERT keeps its tables narrow, E wide, and widens each token to D only at the end: sum, then layer norm, "
        "both at width E, then one linear layer from E to D.\n\n"
        "- `input_ids`, `token_type_ids`: (B, S), whole numbers; positions count from 0\n"
        "- `weights`: a dict with `word.weight` (V, E), `position.weight` (P, E) with P rows, more than S, "
        "`token_type.weight` (2, E), `norm.weight` and `norm.bias` (E), `projection.weight` (D, E), "
        "`projection.bias` (D)\n"
        "- `eps`: the layer norm's\n"
        "- returns (B, S, D); there is no dropout\n\n"
        "The linear layer is there even where E = D. As in nn.Linear it multiplies with its weight transposed, and "
        "adds its bias."
    ),
    source="Lan et al. 2020, section 3.1, \"Factorized embedding parameterization\"",
    reference=factorised_reference,
    solution=factorised_by_functions,
    library=factorised_by_library,
    probes=factorised_probes,
    mistakes=(
        Mistake("norm-after-projection", "place", "after projection", "the layer norm comes after the projection",
                "there the vectors are D wide, and the norm's weight and bias are E wide; normalise, then project",
                "How wide are norm.weight and norm.bias, and where are the vectors that wide?"),
        Mistake("norm-forgotten", "place", "none", "there is no layer norm",
                "the size of the numbers is left to chance; normalise the sum"),
        Mistake("norm-on-words-only", "place", "on words", "the words alone are normalised, before the sum",
                "positions and types come in unnormalised; add first, then normalise the sum"),
        Mistake("tables-projected-one-by-one", "projection", "each",
                "each table's vector is projected before they are added",
                "then the norm meets vectors of width D, and the bias is added three times; add and normalise at width "
                "E, and project once"),
        Mistake("only-words-projected", "projection", "words only", "the words alone are projected, and then added to",
                "all three tables are E wide, so the sizes do not fit; add and normalise at width E, then project"),
        Mistake("projection-bias-forgotten", "projection", "no bias", "the projection's bias is left out",
                "add projection.bias after the product"),
        Mistake("projection-transposed", "projection", "transposed",
                "the projection's weight is not transposed before the product",
                "it is (D, E), as in nn.Linear: x @ weight.T, or F.linear"),
        Mistake("projection-reshaped", "projection", "reshaped",
                "the projection's weight is reshaped to (E, D) and not transposed",
                "a reshape keeps the numbers in their order and mixes up rows and columns; use .T, or F.linear"),
        Mistake("projection-forgotten", "projection", "missing", "the vectors are not projected",
                "they are E wide still, and the blocks expect D"),
        Mistake("projection-skipped-where-equal", "projection", "not where equal",
                "there is no projection where E = D",
                "the released model has it there too: it is a learned layer, and not only a change of width"),
        Mistake("positions-forgotten", "positions", "forgotten", "the positions are not added",
                "the model could not tell \"dog bites man\" from \"man bites dog\""),
        Mistake("positions-from-1", "positions", "from 1", "your positions begin at 1",
                "the first token stands at position 0"),
        Mistake("positions-by-type", "positions", "by type", "positions are looked up by the token types",
                "a place has its own vector, whatever sentence it is in: rows 0, 1, 2 and so on, along S"),
        Mistake("positions-along-batch", "positions", "batch", "the positions count the texts of the batch",
                "all tokens of a text get one position, which depends on the neighbours in the batch; count along S"),
        Mistake("types-forgotten", "types", "forgotten", "the token types are not added",
                "first and second sentence look alike"),
        Mistake("types-all-0", "types", "zero", "every token is taken for type 0",
                "first and second sentence look alike; look the types up by token_type_ids"),
        Mistake("words-times-root", "words", "times root", "the word vectors are multiplied by the root of their width",
                "the first Transformer did so, BERT and ALBERT do not"),
        Mistake("norm-n-1", "norm", "n - 1", "the norm's variance divides by E − 1",
                "that is var's default in torch, for samples; a layer norm divides by E"),
        Mistake("norm-eps-outside", "norm", "eps outside", "the norm's eps is added to the standard deviation",
                "it belongs inside the root: √(variance + eps)"),
        Mistake("norm-not-affine", "norm", "not affine", "the norm's weight and bias are left out",
                "the model can no longer say how large a feature is to be; multiply by norm.weight and add norm.bias"),
        Mistake("eps-of-torch", "norm", "eps 1e-5", "the norm uses torch's default eps, 1e-5",
                "at the start word vectors are small, and that is enough to shrink them; pass `eps` on"),
        Mistake("eps-always-1e-12", "norm", "eps 1e-12", "the norm's eps is 1e-12 whatever `eps` says",
                "that is only the default; pass `eps` on"),
    ),
    hints=Hints(
        "Write the width of the last axis beside each step. Where does it change from E to D?",
        "Everything of BERT's embeddings happens at width E, the norm included. One linear layer then takes each token "
        "to the width of the blocks.",
        "x = norm(word[ids] + position[0 … S−1] + type[types]), (B, S, E); result = x Wᵀ + b, (B, S, D).",
        "x = weights[\"word.weight\"][input_ids] + weights[\"position.weight\"][...] + ...\n"
        "x = F.layer_norm(x, x.shape[-1:], ..., ..., eps)\nreturn F.linear(x, ..., ...)",
    ),
    equivalents=(factorised_by_formula, factorised_by_modules, factorised_by_loop),
)  # fmt: skip

# ------------------------------------------------------------------------------------------------ shared blocks

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


SHARED_BLOCKS = Exercise(
    name="shared-blocks",
    topic="albert",
    title="One block, many steps",
    function="shared_blocks",
    signature="make_block, num_layers",
    task=(
        "ALBERT goes L times through one and the same block. Build the stack.\n\n"
        "- `make_block`: a function without arguments that makes a fresh block, a module with the parts `attention` "
        "and `feed_forward` and with weights of its own\n"
        "- `num_layers`: L, 1 or more\n"
        "- returns a list (or an nn.ModuleList) of L steps, of which every weight and every bias is shared: training "
        "one step trains them all, and there is no more to be stored than one block. The weights are those of the "
        "first block that `make_block` makes."
    ),
    source="Lan et al. 2020, section 3.1, \"Cross-layer parameter sharing\"",
    reference=sharing_reference,
    solution=shared_by_repeating,
    library=shared_by_library,
    probes=sharing_probes,
    mistakes=(
        Mistake("fresh-blocks", "sharing", "none", "each step has a block of its own",
                "that is BERT: nothing is shared; call make_block once and use what it made at every step"),
        Mistake("equal-but-not-shared", "sharing", "equal", "the blocks begin with equal values but are not one",
                "after the first training step they differ; a copy (deepcopy, load_state_dict) shares nothing, so put "
                "the same object into the list again and again",
                "If you change one number in the first block, does the last block see it?"),
        Mistake("only-attention-shared", "sharing", "attention", "only the attention is shared",
                "the paper tries that too, but ALBERT shares all: attention and feed-forward"),
        Mistake("only-feed-forward-shared", "sharing", "feed-forward", "only the feed-forward is shared",
                "the paper tries that too, but ALBERT shares all: attention and feed-forward"),
        Mistake("biases-not-shared", "sharing", "weights", "the weights are shared, but each step has its own biases",
                "all parameters are to be shared"),
        Mistake("first-block-apart", "sharing", "all but the first", "the first step has a block of its own",
                "there are two blocks then; the first is to be the same as the others"),
        Mistake("two-blocks-in-turn", "sharing", "two in turn", "two blocks take turns",
                "there is to be one only"),
        Mistake("two-halves", "sharing", "two halves", "the lower and the upper half have a block each",
                "that is ALBERT with two groups; there is to be one"),
        Mistake("one-too-many", "count", "one more", "there is one step too many",
                "num_layers counts the first step as well"),
        Mistake("one-too-few", "count", "one fewer", "there is one step too few",
                "num_layers counts the first step as well"),
        Mistake("one-step-only", "sharing", "one step", "the list has a single entry",
                "one block is stored, but it runs L times: it stands in the list L times"),
        Mistake("block-instead-of-list", "sharing", "no list", "you return the block itself",
                "it is to be a list, with that block for each of the L steps"),
        Mistake("block-not-made", "sharing", "the function", "the list holds make_block, and not what it makes",
                "call it: make_block(), once"),
    ),
    hints=Hints(
        "How many blocks have to exist?",
        "A Python list can hold the same object several times. A copy is another object, with weights of its own.",
        "f₁ = f₂ = … = f_L: one call of make_block, L entries.",
        "block = ...\nreturn [... for _ in range(...)]",
    ),
    equivalents=(shared_by_module_list, shared_by_appending, shared_by_parts),
)  # fmt: skip

# ----------------------------------------------------------------------------------------- counting parameters


def counting_reference(
    model: nn.Module,
    *,
    repeated: str = "once",
    buffers: str = "left out",
    frozen: str = "counted",
    unit: str = "numbers",
    parts: str = "all",
) -> int:
    """How many numbers are learned, with knobs."""

    def named() -> Iterator[tuple[str, nn.Parameter]]:
        if repeated == "each module":  # tied tensors once for each module that owns them
            for prefix, module in model.named_modules():
                yield from ((f"{prefix}.{name}", p) for name, p in module.named_parameters(recurse=False))
        elif repeated == "nested":
            for prefix, module in model.named_modules():
                yield from ((f"{prefix}.{name}", p) for name, p in module.named_parameters())
        elif repeated == "each layer":
            seen: set[int] = set()
            for name, p in model.named_parameters(remove_duplicate=False):
                if name.startswith("blocks.") or id(p) not in seen:
                    yield name, p
                seen.add(id(p))
        elif repeated == "values once":
            values: list[Tensor] = []
            for name, p in model.named_parameters():
                if not any(p.shape == other.shape and torch.equal(p, other) for other in values):
                    yield name, p
                values.append(p)
        elif repeated == "shape once":
            shapes: set[torch.Size] = set()
            for name, p in model.named_parameters():
                if p.shape not in shapes:
                    yield name, p
                shapes.add(p.shape)
        else:
            yield from model.named_parameters(remove_duplicate=repeated == "once")
            if repeated == "state dict":
                yield from model.named_buffers()

    def size(tensor: Tensor) -> int:
        return {"numbers": tensor.numel(), "tensors": 1, "bytes": tensor.numel() * tensor.element_size(),
                "rows": len(tensor), "axes": sum(tensor.shape)}[unit]  # fmt: skip

    total = 0
    for name, p in named():
        if frozen == "left out" and not p.requires_grad:
            continue
        if parts == "no biases" and name.endswith("bias"):
            continue
        if parts == "matrices" and p.dim() < 2:
            continue
        if parts == "no embeddings" and name.split(".")[0] == "word":
            continue
        total += size(p)
    if buffers == "counted" and repeated != "state dict":
        total += sum(size(buffer) for buffer in model.buffers())
    return total


def counting_probes() -> list[Probe]:
    #                                       V  D  tied  layers shared frozen buffer
    return [
        Probe("with nothing shared", Call((Built("counted", (11, 5, False, 3, False, False, 0)),))),
        Probe("with tied word embeddings", Call((Built("counted", (13, 3, True, 2, False, False, 0)),))),
        Probe("with shared blocks", Call((Built("counted", (11, 7, False, 4, True, False, 0)),))),
        Probe("with a frozen norm", Call((Built("counted", (17, 5, False, 2, False, True, 0)),))),
        Probe("with a buffer", Call((Built("counted", (19, 3, False, 2, False, False, 23)),))),
        Probe("with all of that", Call((Built("counted", (23, 7, True, 5, True, True, 29)),))),
    ]


def count_by_parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def count_by_identity(model: nn.Module) -> int:
    tensors = {}
    for _, parameter in model.named_parameters(remove_duplicate=False):
        tensors[id(parameter)] = parameter
    total = 0
    for parameter in tensors.values():
        total += math.prod(parameter.shape)
    return total


def count_by_memory(model: nn.Module) -> int:
    # A tied tensor lies in one place, whatever its names are.
    places = {}
    for module in model.modules():
        for parameter in module.parameters(recurse=False):
            places[parameter.data_ptr()] = parameter.nelement()
    return sum(places.values())


def count_by_vector(model: nn.Module) -> Tensor:
    return torch.tensor(len(nn.utils.parameters_to_vector(p.double() for p in model.parameters())))


COUNT_PARAMETERS = Exercise(
    name="count-parameters",
    topic="albert",
    title="How many parameters?",
    function="count_parameters",
    signature="model",
    task=(
        "Count how many numbers a model has learned, or could learn.\n\n"
        "- `model`: an nn.Module; some tensors may have several names (tied embeddings, shared blocks), some may be "
        "frozen (requires_grad is False), and it may have buffers\n"
        "- returns a whole number. A tensor that is used in several places counts once; frozen parameters count, "
        "for they were learned by somebody; buffers do not count, for nobody learns them"
    ),
    source="Devlin et al. 2019, section 3 (110M, 340M); Lan et al. 2020, table 1",
    reference=counting_reference,
    solution=count_by_parameters,
    library=library_count,
    probes=counting_probes,
    tolerance=1e-12,
    mistakes=(
        Mistake("every-name-counted", "repeated", "every name", "a tensor counts once for each of its names",
                "tied embeddings count twice, and a shared block L times; model.parameters() gives each tensor once",
                "How many names does a tied tensor have, and how many numbers?"),
        Mistake("state-dict-counted", "repeated", "state dict", "you add up what is in state_dict()",
                "it holds a tied tensor under each of its names, a shared block L times, and the buffers as well; use "
                "model.parameters()"),
        Mistake("tied-weights-twice", "repeated", "each module",
                "you go module by module, so a tied tensor counts once in each that holds it",
                "BERT would come out 23 million too large; remember which tensors have been seen"),
        Mistake("shared-blocks-per-layer", "repeated", "each layer", "a shared block counts once for each layer",
                "ALBERT would come out as large as BERT's blocks; count what is stored, not how often it runs"),
        Mistake("counted-at-every-level", "repeated", "nested",
                "you go through modules(), and count for each of them all that is below it",
                "a weight counts once for the layer, again for its block and again for the model; use "
                "model.parameters() of the whole alone"),
        Mistake("one-of-equal-values", "repeated", "values once", "of tensors with equal numbers only the first counts",
                "two fresh norms hold the same numbers and are two tensors all the same; compare objects (is, id)"),
        Mistake("one-of-each-shape", "repeated", "shape once", "of all tensors of one shape only the first counts",
                "tensors are the same when they are one object, and not when they look alike"),
        Mistake("buffers-counted", "buffers", "counted", "buffers count too",
                "position numbers and the like are stored, but nobody learns them"),
        Mistake("frozen-left-out", "frozen", "left out", "frozen parameters are left out",
                "a model does not shrink when it is frozen; that is the number of trainable parameters"),
        Mistake("tensors-counted", "unit", "tensors", "you count tensors and not the numbers in them",
                "add up numel()"),
        Mistake("bytes-counted", "unit", "bytes", "you count bytes", "a number takes 4 or 8 of them; add up numel()"),
        Mistake("rows-counted", "unit", "rows", "only the first axis of each tensor is counted",
                "len(tensor) is its number of rows; numel() has all"),
        Mistake("axes-added", "unit", "axes", "the sizes of the axes are added and not multiplied",
                "a matrix of 3 by 4 holds 12 numbers; numel() multiplies"),
        Mistake("biases-left-out", "parts", "no biases", "the biases are left out", "they are learned as well"),
        Mistake("matrices-only", "parts", "matrices", "only matrices are counted",
                "biases and the norms' weights are vectors, and are learned as well"),
        Mistake("embeddings-left-out", "parts", "no embeddings", "the word embeddings are left out",
                "some papers do so and say it; here everything counts"),
    ),
    hints=Hints(
        "Make a model of two linear layers whose weights are one tensor. What do you get, and what do you expect?",
        "model.parameters() gives each tensor once, however many names it has. state_dict() and named_parameters("
        "remove_duplicate=False) give every name.",
        "Σ over distinct parameters of (the product of its axes).",
        "return sum(... for parameter in model....())",
    ),
    equivalents=(count_by_identity, count_by_memory, count_by_vector),
)  # fmt: skip

# ----------------------------------------------------------------------------------------- counting by formula


def sizes_reference(
    vocab_size: int,
    hidden_size: int,
    num_layers: int,
    intermediate_size: int,
    max_positions: int = 512,
    token_types: int = 2,
    pooler: bool = True,
    embedding_size: int | None = None,
    shared: bool = False,
    *,
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
    """A BERT's or an ALBERT's size with knobs."""
    d, f = hidden_size, intermediate_size
    e = d if embedding_size is None or factor == "ignored" else embedding_size
    vectors = 1 if scale_and_shift == "weight only" else 2
    bias = 0 if biases == "none" else 1

    total = vocab_size * e
    if feed_forward == "four times D":
        f = 4 * d
    table = d if factor == "words only" else e
    total += max_positions * (positions == "counted") * (d if factor == "wide positions" else table)
    total += token_types * (types == "counted") * table
    total += {"counted": vectors * e, "at D": vectors * d, "forgotten": 0}[embedding_norm]
    projected = embedding_size is not None and factor not in ("ignored", "no projection")
    if projected and not (factor == "not where equal" and e == d):
        total += e * d + (0 if factor == "no bias" else bias * d)

    block = {"four": 4, "three": 3, "one": 1}[attention] * (d * d + d * bias)
    matrices = 1 if feed_forward == "one matrix" else 2
    inner = {"right": f + d, "four times D": f + d, "two of D": 2 * d, "two of F": 2 * f}.get(feed_forward, f)
    block += matrices * d * f + inner * bias * (biases != "attention only")
    block += {"two": 2, "one": 1, "none": 0}[norms] * vectors * d
    once = {"right": shared, "never": False, "always": True}[sharing]
    total += block if once else num_layers * block

    if pooling == "always" or (pooling in ("asked", "no bias", "a layer") and pooler):
        each = d * d + (0 if pooling == "no bias" else bias * d)
        total += num_layers * each if pooling == "a layer" else each
    if decoder == "counted":
        total += vocab_size * e
    return total


def sizes_probes() -> list[Probe]:
    base, large, albert = (30522, 768, 12, 3072), (30522, 1024, 24, 4096), (30000, 768, 12, 3072)
    small, other = (101, 6, 3, 17), (53, 10, 5, 31)
    return [
        Probe("BERT-base", Call(base)),
        Probe("BERT-large", Call(large)),
        Probe("ALBERT-base", Call((*albert, 512, 2, True, 128, True))),
        Probe("a small one without a pooler", Call((*small, 13, 4, False))),
        Probe("a factorised one that shares nothing", Call((*other, 19, 3, True, 7, False))),
        Probe("an unfactorised one that shares its block", Call((*other, 23, 1, True, None, True))),
        Probe("a factorised one with E = D", Call((*other, 19, 3, False, 10, True))),
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


def sizes_by_shapes(
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
    d, f, e = hidden_size, intermediate_size, embedding_size or hidden_size
    shapes = [(vocab_size, e), (max_positions, e), (token_types, e), (e,), (e,)]
    if embedding_size:
        shapes += [(d, e), (d,)]
    block = [(d, d), (d,)] * 4 + [(d,), (d,)] + [(f, d), (f,), (d, f), (d,)] + [(d,), (d,)]
    shapes += block if shared else block * num_layers
    if pooler:
        shapes += [(d, d), (d,)]
    return sum(math.prod(shape) for shape in shapes)


def sizes_by_modules(
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
    d, f, e = hidden_size, intermediate_size, embedding_size or hidden_size

    def count(*modules: nn.Module) -> int:
        return sum(parameter.numel() for module in modules for parameter in module.parameters())

    with torch.device("meta"):
        total = count(*(nn.Embedding(rows, e) for rows in (vocab_size, max_positions, token_types)), nn.LayerNorm(e))
        total += 0 if embedding_size is None else count(nn.Linear(e, d))
        block = count(*(nn.Linear(d, d) for _ in range(4)), nn.Linear(d, f), nn.Linear(f, d))
        block += count(nn.LayerNorm(d), nn.LayerNorm(d))
        total += block * (1 if shared else num_layers)
        return total + (count(nn.Linear(d, d)) if pooler else 0)


def sizes_by_polynomial(
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
    d, f, e = hidden_size, intermediate_size, embedding_size or hidden_size
    blocks = 1 if shared else num_layers
    projection = d * (e + 1) if embedding_size else 0
    rows = vocab_size + max_positions + token_types + 2
    return e * rows + projection + blocks * (4 * d * d + 2 * d * f + 9 * d + f) + pooler * d * (d + 1)


def sizes_by_library(
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
    """A real model on the meta device, counted. A BERT that shares its block is as large as one of a single layer."""
    numbers = {
        "vocab_size": vocab_size, "hidden_size": hidden_size, "num_attention_heads": 1,
        "intermediate_size": intermediate_size, "max_position_embeddings": max_positions,
        "type_vocab_size": token_types,
    }  # fmt: skip
    if embedding_size is None:
        config = BertConfig(num_hidden_layers=1 if shared else num_layers, **numbers)
    else:
        groups = 1 if shared else num_layers
        config = AlbertConfig(
            num_hidden_layers=num_layers, num_hidden_groups=groups, embedding_size=embedding_size, **numbers
        )
    with torch.device("meta"):
        model = build(config)
    if not pooler:
        model.pooler = None
    return library_count(model)


PARAMETER_SIZES = Exercise(
    name="parameter-sizes",
    topic="albert",
    title="109,482,240 by hand",
    function="bert_parameters",
    signature=(
        "vocab_size, hidden_size, num_layers, intermediate_size, max_positions=512, token_types=2, pooler=True, "
        "embedding_size=None, shared=False"
    ),
    task=(
        "How many parameters has a BERT? Work it out from its sizes, without building it: BERT-base has 109,482,240, "
        "ALBERT-base 11,683,584.\n\n"
        "- `vocab_size` V, `hidden_size` D, `num_layers` L, `intermediate_size` F, and the rows of the tables of "
        "positions and of token types: whole numbers\n"
        "- `pooler`: whether there is one, a linear layer D → D\n"
        "- `embedding_size`: None for BERT. A number E for ALBERT: words, positions, token types and their norm are E "
        "wide, and a linear layer E → D follows, also where E = D\n"
        "- `shared`: whether all L layers are one block\n"
        "- returns a whole number, exact to the last parameter\n\n"
        "The parts of a block: four linear layers D → D in the attention (query, key, value, output), two in the "
        "feed-forward (D → F and F → D), two layer norms. All linear layers have a bias, and all norms a weight and "
        "a bias; the embeddings are followed by a norm too. There is no output layer for words."
    ),
    source="Devlin et al. 2019, section 3; Lan et al. 2020, sections 3.1 and 4.4",
    reference=sizes_reference,
    solution=sizes_by_formula,
    library=sizes_by_library,
    probes=sizes_probes,
    tolerance=1e-12,  # a whole number is right or wrong
    mistakes=(
        Mistake("positions-forgotten", "positions", "forgotten", "the table of positions is left out",
                "it has a row for each of max_positions"),
        Mistake("types-forgotten", "types", "forgotten", "the table of token types is left out",
                "it has a row for each of token_types"),
        Mistake("embedding-norm-forgotten", "embedding_norm", "forgotten", "the norm of the embeddings is left out",
                "there is one after the sum, before the first block"),
        Mistake("embedding-norm-at-D", "embedding_norm", "at D", "the norm of the embeddings is counted at width D",
                "with a factorised embedding it stands before the projection, and is E wide"),
        Mistake("not-factorised", "factor", "ignored", "embedding_size makes no difference",
                "the tables are E wide then, and a linear layer E → D follows"),
        Mistake("only-words-factorised", "factor", "words only", "positions and token types are counted at width D",
                "all three tables are E wide: they are added before the projection"),
        Mistake("positions-of-width-D", "factor", "wide positions", "the positions are counted at width D",
                "all three tables are E wide: they are added before the projection"),
        Mistake("projection-forgotten", "factor", "no projection", "the projection from E to D is left out",
                "narrow tables alone do not fit the blocks; count E · D + D"),
        Mistake("projection-bias-forgotten", "factor", "no bias", "the projection's bias is left out",
                "it is a linear layer like the others, with D numbers more"),
        Mistake("projection-skipped-where-equal", "factor", "not where equal", "there is no projection where E = D",
                "the layer is there all the same; it depends on embedding_size being given"),
        Mistake("output-projection-forgotten", "attention", "three", "the attention has three matrices",
                "query, key and value, and a fourth after the heads are put together: output"),
        Mistake("attention-counted-once", "attention", "one", "the attention has one matrix",
                "there are four: query, key, value and output"),
        Mistake("feed-forward-counted-once", "feed_forward", "one matrix", "the feed-forward has one matrix",
                "there are two: D → F and back, F → D"),
        Mistake("feed-forward-of-4-D", "feed_forward", "four times D", "the feed-forward is taken to be 4 · D wide",
                "that is so in BERT-base and -large, but the argument says how wide it is"),
        Mistake("feed-forward-biases-of-D", "feed_forward", "two of D", "both biases of the feed-forward have size D",
                "a bias is as wide as what comes out: F and then D"),
        Mistake("feed-forward-biases-of-F", "feed_forward", "two of F", "both biases of the feed-forward have size F",
                "a bias is as wide as what comes out: F and then D"),
        Mistake("biases-forgotten", "biases", "none", "the biases of the linear layers are left out",
                "each has one number for each of its outputs"),
        Mistake("feed-forward-biases-forgotten", "biases", "attention only",
                "the biases of the feed-forward are left out", "F for the first layer and D for the second"),
        # Both are 4 D numbers: from the total alone, nobody can tell.
        Mistake("norms-or-attention-biases-forgotten", "norms", "none",
                "4 D numbers are missing from each block",
                "that is as much as its two norms have, 2 D each, and as much as the four biases of the attention"),
        Mistake("one-norm-a-block", "norms", "one", "each block has one norm",
                "there are two: after the attention and after the feed-forward"),
        Mistake("norm-weight-only", "scale_and_shift", "weight only", "a norm has a weight only",
                "it has a weight and a bias for each feature"),
        Mistake("pooler-always", "pooling", "always", "the pooler counts whether there is one or not",
                "look at `pooler`"),
        Mistake("pooler-never", "pooling", "never", "the pooler is never counted",
                "where there is one, it is a linear layer: D · D + D"),
        Mistake("pooler-bias-forgotten", "pooling", "no bias", "the pooler's bias is left out",
                "it is a linear layer: D · D + D"),
        Mistake("pooler-in-every-layer", "pooling", "a layer", "the pooler is counted in every layer",
                "there is one for the whole model, after the last block"),
        Mistake("sharing-ignored", "sharing", "never", "the blocks count L times although they are one",
                "with `shared` there is one block to be stored, however often it runs"),
        Mistake("always-shared", "sharing", "always", "the block counts only once",
                "without `shared` there are num_layers of them"),
        Mistake("decoder-counted", "decoder", "counted", "the words are counted twice",
                "the output layer for words uses the same table, and is not asked for here"),
    ),
    hints=Hints(
        "Begin with one linear layer: how many numbers does it take to go from 3 features to 4?",
        "Four groups: the tables and their norm; E → D if there is one; the blocks; the pooler. A linear layer from m "
        "to n has m · n + n parameters, a norm of n features 2 n.",
        "E (V + positions + types + 2) + [E D + D] + (1 or L) · (4 (D² + D) + 2 D F + F + D + 4 D) + [D² + D].",
        "width = ...\ntotal = (vocab_size + ... + ...) * width + 2 * ...\n"
        "if embedding_size is not None: total += ...\n"
        "block = 4 * (...) + (... + intermediate_size) + (... + hidden_size) + 2 * ...\n"
        "total += (1 if ... else ...) * block\nif pooler: total += ...",
    ),
    equivalents=(sizes_by_shapes, sizes_by_modules, sizes_by_polynomial),
)  # fmt: skip

EXERCISES = (FACTORISED_EMBEDDING, SHARED_BLOCKS, COUNT_PARAMETERS, PARAMETER_SIZES)
