"""Where each exercise's function works: the places of the library that do the same.

Those that the checker has already (the seams of exercises/swap.py) are used as they are, those of new exercises too. An
exercise that has neither has no place in a model: it is listed, and that is all. To give it one, write a function that
is called with the learner's function (`mine`), what the library does there (`own`), and the arguments of the place, and
name it in WIRES. If the exercise's function cannot do the work of the place, `own` does it.

A block is wired four times, from the whole to the smallest pieces (`grain`), because a larger part does the work of the
smaller ones inside it. The blocks of a model take turns, so that each part works somewhere (`grains`).
"""

from __future__ import annotations

import copy
import math
import random
from collections.abc import Callable, Collection, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from minibert import attention as attention_module, factory, heads
from minibert.attention import Layout, MultiHeadAttention
from minibert.encoder import Backbone, EncoderBlock
from minibert.exercises.catalogue import exercises
from minibert.exercises.declare import Exercise
from minibert.exercises.swap import SEAMS, Place
from minibert.heads import MaskedLM, Pretraining, SequenceClassification
from minibert.layers import MaskedLMHead, Pooler
from minibert.losses import text_loss
from minibert.model import Output
from minibert.models import albert, bart
from minibert.models.albert import FactorisedEmbeddings
from minibert.models.bert import BertConfig
from minibert.own.working import Shape, Wire
from minibert.tokenizers.base import Row
from minibert.tokenizers.wordpiece import WordPiece
from minibert.training import distillation, pairs as pairs_module, recipes, tasks, transfer
from minibert.training.objectives import Masked, candidates
from minibert.training.pairs import Document, Pair

Function = Callable[..., Any]

# ------------------------------------------------------------------------------------------ inside the blocks


def _masked_softmax(
    mine: Function, own: Function, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None, **how: Any
) -> Any:
    """Attention with the learner's softmax. Only padding can be hidden by it."""
    hides_padding = mask is None or (mask.dim() == 4 and mask.shape[1:3] == (1, 1))
    if how.get("bias") is not None or how.get("dropout", 0.0) > 0 or not hides_padding or q.dim() != 4:
        return own(q, k, v, mask, **how)
    real = torch.ones(len(q), k.shape[2], dtype=torch.long, device=q.device)
    if mask is not None:
        real = mask[:, 0, 0].long().expand_as(real)
    return mine(q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1]), real) @ v


def _and_weights(mine: Function, own: Function, *args: Any, **how: Any) -> tuple[Tensor, Tensor]:
    output, weights = own(*args, **how)
    return _masked_softmax(mine, lambda *_, **__: output, *args, **how), weights


def _multi_head_attention(
    mine: Function,
    own: Function,
    self: MultiHeadAttention,
    x: Tensor,
    key: Tensor | None = None,
    value: Tensor | None = None,
    *,
    layout: Layout | None = None,
    key_layout: Layout | None = None,
    mask: Tensor | None = None,
    return_weights: bool = False,
    kept: Any = None,
) -> Any:
    to_itself = (key is None or key is x) and value is None and kept is None and key_layout in (None, layout)
    if not to_itself or return_weights or (self.training and self.dropout):
        return own(
            self, x, key, value, layout=layout, key_layout=key_layout, mask=mask, return_weights=return_weights,
            kept=kept,
        )  # fmt: skip
    layout = Layout() if layout is None else layout
    mixed = mine(layout.unpack(x), dict(self.named_parameters()), self.num_heads, layout.mask if mask is None else mask)
    return layout.pack(mixed), None


def _encoder_block(
    mine: Function,
    own: Function,
    self: EncoderBlock,
    x: Tensor,
    layout: Layout,
    return_weights: bool = False,
    only: Layout | None = None,
) -> Any:
    norms = (self.attention_norm, self.norm)
    as_in_bert = self.feed_forward.activation is F.gelu and all(norm.eps == 1e-12 for norm in norms)
    if return_weights or not as_in_bert or _drops(self):
        return own(self, x, layout, return_weights, only)
    found = mine(layout.unpack(x), dict(self.named_parameters()), self.attention.num_heads, layout.mask)
    return (layout if only is None else only).pack(found), None


def _drops(module: nn.Module) -> bool:
    """Whether dropout acts in it now."""
    return module.training and any(
        (isinstance(part, nn.Dropout) and part.p > 0) or (isinstance(part, MultiHeadAttention) and part.dropout > 0)
        for part in module.modules()
    )


# ----------------------------------------------------------------------------- around the blocks, and other families


def _factorised(
    mine: Function, own: Function, self: Backbone, input_ids: Tensor, token_type_ids: Tensor | None, layout: Layout
) -> Tensor:
    parts = self.embeddings
    if not isinstance(parts, FactorisedEmbeddings) or _drops(parts):
        return own(self, input_ids, token_type_ids, layout)
    types = torch.zeros_like(input_ids) if token_type_ids is None else token_type_ids
    return layout.pack(mine(input_ids, types, dict(parts.named_parameters()), parts.norm.eps))


def _embedded(self: Backbone, input_ids: Tensor, token_type_ids: Tensor | None, layout: Layout) -> tuple[int, ...]:
    tokens = input_ids.shape if layout.index is None else layout.index.shape
    return (*tokens, self.config.hidden_size)


def _shared_blocks(
    mine: Function, own: Function, blocks: Sequence[nn.Module], order: Sequence[int] | None = None
) -> Any:
    if len(blocks) != 1 or not order:
        return own(blocks, order)
    fresh = iter([blocks[0]])
    steps = list(mine(lambda: next(fresh, None) or copy.deepcopy(blocks[0]), len(order)))
    distinct = list({id(step): step for step in steps}.values())
    return own(distinct, [distinct.index(step) for step in steps])


def _causal_mask(mine: Function, own: Function, length: int, device: Any = None) -> Tensor:
    return mine(length).to(device)[None, None]


def _masked_lm_head(
    mine: Function, own: Function, self: MaskedLMHead, hidden: Tensor, word_embeddings: Tensor
) -> Tensor:
    if self.activation is not F.gelu or self.dense.in_features != self.dense.out_features:
        return own(self, hidden, word_embeddings)
    weights = dict(self.named_parameters())
    if hidden.dim() == 2:  # the wanted tokens alone
        return mine(hidden[None], word_embeddings, weights, self.norm.eps)[0]
    return mine(hidden, word_embeddings, weights, self.norm.eps)


def _classification_head(
    mine: Function,
    own: Function,
    self: SequenceClassification,
    output: Output,
    input_ids: Tensor,
    attention_mask: Tensor | None,
    labels: Tensor | None = None,
) -> Output:
    pooler = getattr(self.backbone, "pooler", None)
    if not isinstance(pooler, Pooler) or self.dense is not None or _drops(self.dropout):
        return own(self, output, input_ids, attention_mask, labels)
    weights = {f"pooler.{name}": tensor for name, tensor in pooler.dense.named_parameters()}
    weights |= {f"classifier.{name}": tensor for name, tensor in self.classifier.named_parameters()}
    output.logits = mine(output.last_hidden_state, weights)
    if labels is not None:
        output.loss = text_loss(output.logits, labels, self.config.problem_type)
    return output


# ------------------------------------------------------------------------------------------ tokens and training


def _encode_pair(
    mine: Function,
    own: Function,
    self: WordPiece,
    first: Sequence[int],
    second: Sequence[int] | None = None,
    max_length: int | None = None,
) -> Row:
    if second is None or (max_length is not None and max_length < 3):
        return own(self, first, second, max_length)
    most = len(first) + len(second) + 3 if max_length is None else int(max_length)
    ids, types = mine(list(first), list(second), self.cls_id, self.sep_id, most)
    return Row(list(ids), list(types))


def _mask_tokens(
    mine: Function, own: Function, self: tasks.MaskedWords, ids: Tensor, attention_mask: Tensor, generator: Any
) -> Masked:
    if self.masking != "tokens":
        return own(self, ids, attention_mask, generator)
    tok = self.tokenizer
    free = candidates(ids, tok.special_ids, attention_mask)
    masked, labels = mine(ids, free, tok.mask_id, tok.vocab_size, 0.15, generator)
    if masked.shape != ids.shape or labels.shape != ids.shape:
        raise ValueError(
            f"the shapes {tuple(masked.shape)} and {tuple(labels.shape)}, both should be {tuple(ids.shape)}"
        )
    return Masked(masked, labels)


def _masked_lm_loss(
    mine: Function, own: Function, self: MaskedLM, output: Output, *args: Any, **targets: Any
) -> Output:
    output = own(self, output, *args, **targets)
    labels = targets.get("labels", args[2] if len(args) > 2 else None)
    if labels is None:
        return output
    wanted = heads.wanted_tokens(labels.shape, labels, targets.get("wanted", args[3] if len(args) > 3 else None))
    words, chosen = output.logits, labels if wanted is None else labels[wanted]
    output.loss = mine(words, chosen) if words.dim() == 3 else mine(words[None], chosen[None])
    return output


def _pretraining_loss(
    mine: Function, own: Function, self: Pretraining, output: Output, *args: Any, **targets: Any
) -> Output:
    output = own(self, output, *args, **targets)
    labels, classes = targets.get("labels"), targets.get("pair_labels")
    if labels is None or classes is None:
        return output
    wanted = heads.wanted_tokens(labels.shape, labels, targets.get("wanted"))
    words, chosen = output.logits, labels if wanted is None else labels[wanted]
    if words.dim() == 2:
        words, chosen = words[None], chosen[None]
    output.loss = mine(words, chosen, output.pair_logits, classes)
    return output


def _sentence_pairs(least: int) -> Function:
    """Pairs of single sentences, as the exercises make them. least: documents that are needed."""

    def made(
        mine: Function,
        own: Function,
        documents: Sequence[Document],
        room: int,
        rng: random.Random,
        short_rate: float = 0.1,
    ) -> list[Pair]:
        usable = [list(document) for document in documents if document]
        if len(usable) < least or room < 2:
            return own(documents, room, rng, short_rate)
        half = room // 2
        return [
            Pair(list(first)[: room - half], list(second)[:half], label) for first, second, label in mine(usable, rng)
        ]

    return made


def _distillation_loss(
    mine: Function,
    own: Function,
    student: Tensor,
    teacher: Tensor,
    temperature: float = 2.0,
    mask: Tensor | None = None,
) -> Tensor:
    if student.dim() == 2 and mask is None:  # tokens that were chosen already
        return mine(student[None], teacher[None], temperature)
    return mine(student, teacher, temperature, mask) if student.dim() == 3 else own(student, teacher, temperature, mask)


def _cosine_loss(mine: Function, own: Function, student: Tensor, teacher: Tensor, mask: Tensor | None = None) -> Tensor:
    return mine(student, teacher, mask) if student.dim() == 3 else own(student, teacher, mask)


def _triple_loss(
    mine: Function,
    own: Function,
    student_logits: Tensor,
    teacher_logits: Tensor,
    labels: Tensor,
    student_hidden: Tensor,
    teacher_hidden: Tensor,
    attention_mask: Tensor | None = None,
    *,
    temperature: float = 2.0,
    weights: tuple[float, float, float] = (5.0, 2.0, 1.0),
) -> distillation.TripleLoss:
    given = (student_logits, teacher_logits, labels, student_hidden, teacher_hidden, attention_mask)
    terms = own(*given, temperature=temperature, weights=weights)
    if attention_mask is None or student_logits.dim() != 3:
        return terms
    return terms._replace(total=mine(*given, temperature=temperature, weights=weights))


def _student_from_teacher(
    mine: Function, own: Function, teacher: nn.Module, layers: Sequence[int] | None = None, *, fold_types: bool = False
) -> nn.Module:
    student = own(teacher, layers, fold_types=fold_types)
    backbone = getattr(teacher, "backbone", teacher)
    if layers is None and not fold_types and isinstance(backbone.config, BertConfig):
        body = student if backbone is teacher else student.backbone
        body.load_state_dict(mine(dict(backbone.state_dict()), len(backbone.encoder.order)))
    return student


def _feature_transfer(
    mine: Function,
    own: Function,
    student: Output,
    teacher: Output,
    layer: int,
    mask: Tensor | None = None,
    *,
    weights: Any = transfer.RELEASED,
) -> Tensor:
    if mask is None or any(output.hidden_states is None or output.attentions is None for output in (student, teacher)):
        return own(student, teacher, layer, mask, weights=weights)
    hidden = [output.hidden_states[layer + 1] for output in (student, teacher)]
    looked = [output.attentions[layer] for output in (student, teacher)]
    return mine(*hidden, *looked, mask, tuple(weights))


# ------------------------------------------------------------------------------------------------- the tables


def _attended(q: Tensor, k: Tensor, v: Tensor, *_: Any, **__: Any) -> tuple[int, ...]:
    return (*q.shape[:-1], v.shape[-1])


def _same(*args: Any, **_: Any) -> tuple[int, ...]:
    """The shape of the first tensor: places of a class get the object first."""
    return tuple(next(one for one in args if isinstance(one, Tensor)).shape)


def _split(self: MultiHeadAttention, x: Tensor) -> tuple[int, ...]:
    return (x.shape[0], self.num_heads, x.shape[1], x.shape[2] // self.num_heads)


def _merged(self: MultiHeadAttention, x: Tensor) -> tuple[int, ...]:
    return (x.shape[0], x.shape[2], x.shape[1] * x.shape[3])


def _block_shape(self: Any, x: Tensor, layout: Layout, return_weights: bool = False, only: Layout | None = None) -> Any:
    return tuple(x.shape) if only is None else (len(only.index), x.shape[-1])


def _scores(self: MaskedLMHead, hidden: Tensor, word_embeddings: Tensor) -> tuple[int, ...]:
    return (*hidden.shape[:-1], len(word_embeddings))


def _number(*_: Any, **__: Any) -> tuple[int, ...]:
    return ()


def _seam(name: str, *shapes: Shape | None, grain: int | None = None) -> tuple[Wire, ...]:
    return tuple(Wire(place, shape, grain) for place, shape in zip(SEAMS[name], shapes, strict=True))


def _wire(owner: Any, name: str, work: Function, shape: Shape | None = None, grain: int | None = None) -> Wire:
    return Wire(Place(owner, name, work), shape, grain)


# In this order: of two at the same place, the later one does the work where it can.
WIRES: dict[str, tuple[Wire, ...]] = {
    "split-heads": _seam("split_heads", _split, grain=3),
    "merge-heads": _seam("merge_heads", _merged, grain=3),
    "gelu": _seam("gelu", _same, _same, grain=3),
    "padding-mask": (
        _wire(attention_module, "fused_attention", _masked_softmax, _attended, 3),
        _wire(attention_module, "attention", _and_weights, _attended, 3),
    ),
    "attention": _seam("attention", _attended, _attended, grain=2),
    "feed-forward": _seam("feed_forward", _same, grain=1),
    "multi-head-attention": (_wire(MultiHeadAttention, "forward", _multi_head_attention, _same, 1),),
    "encoder-block": (_wire(EncoderBlock, "forward", _encoder_block, _block_shape, 0),),
    "layer-norm": _seam("layer_norm", _same, _same),
    "embeddings": _seam("embeddings", _embedded),
    "factorised-embedding": (_wire(Backbone, "embed", _factorised, _embedded),),
    "shared-blocks": (_wire(albert, "Encoder", _shared_blocks),),
    "causal-mask": (_wire(bart, "causal_mask", _causal_mask, lambda length, *_: (1, 1, length, length)),),
    "masked-lm-head": (_wire(MaskedLMHead, "forward", _masked_lm_head, _scores),),
    "classification-head": (_wire(SequenceClassification, "score", _classification_head),),
    "wordpiece": _seam("wordpiece", None, None),
    "encode-pair": (_wire(WordPiece, "assemble", _encode_pair),),
    "mask-tokens": (_wire(tasks.MaskedWords, "masked", _mask_tokens),),
    "masked-lm-loss": (_wire(MaskedLM, "score", _masked_lm_loss),),
    "pretraining-loss": (_wire(Pretraining, "score", _pretraining_loss),),
    "sentence-pairs": (
        _wire(pairs_module, "nsp_pairs", _sentence_pairs(2)),
        _wire(recipes.PAIRS, "mlm+nsp", _sentence_pairs(2)),
    ),
    "sentence-order": (
        _wire(pairs_module, "sop_pairs", _sentence_pairs(1)),
        _wire(recipes.PAIRS, "mlm+sop", _sentence_pairs(1)),
    ),
    "distillation-loss": tuple(
        _wire(module, "distillation_loss", _distillation_loss, _number) for module in (distillation, tasks)
    ),
    "cosine-loss": tuple(
        _wire(module, "cosine_hidden_loss", _cosine_loss, _number) for module in (distillation, tasks)
    ),
    "triple-loss": tuple(_wire(module, "triple_loss", _triple_loss) for module in (distillation, tasks)),
    "student-from-teacher": (_wire(distillation, "student_from_teacher", _student_from_teacher),),
    "feature-transfer": (_wire(transfer, "layer_transfer_loss", _feature_transfer, _number),),
    "count-parameters": (_wire(factory, "count_parameters", lambda mine, own, model: mine(model)),),
}


def wires() -> dict[str, tuple[Wire, ...]]:
    """WIRES, and the seams of the exercises that stand in no table here."""
    seams = {one.name: one.swap for one in exercises().values() if one.swap in SEAMS and one.name not in WIRES}
    return WIRES | {name: tuple(Wire(place) for place in SEAMS[str(seam)]) for name, seam in seams.items()}


# Where the parts work that a BERT does not call when it reads a text; by exercise, or by topic.
ELSEWHERE = {
    "causal-mask": "in a decoder (BART)",
    "dropout": "in training with dropout, which this model has not",
    "masked-lm-head": "when it predicts words",
    "classification-head": "when it classifies",
    "encode-pair": "when it reads two texts together",
    "mask-tokens": "when it learns",
    "masked-lm-loss": "when it learns",
    "pretraining-loss": "when it learns words and pairs together",
    "sentence-pairs": "when it learns from pairs",
    "sentence-order": "when it learns from pairs",
    "best-span": "when it answers with a span",
    "student-from-teacher": "when it becomes a teacher",
    "factorised-embedding": "in ALBERT",
    "shared-blocks": "in ALBERT",
    "count-parameters": "in this report",
    "parameter-sizes": "in this report",
    "times-as-fast": "in this report",
    "bpe-merge": "in RoBERTa's and BART's tokenizer",
    "viterbi": "in ALBERT's and XLNet's tokenizer",
    "feature-transfer": "when it teaches MobileBERT",
    "two-streams": "in no model here: XLNet's has distances as well",
    "infilling": "in BART, when it learns",
    "distillation": "when it teaches",
    "roberta": "in RoBERTa",
    "mobilebert": "in MobileBERT",
    "xlnet": "in XLNet",
    "bart": "in BART, when it writes",
}


def elsewhere(exercise: Exercise) -> str:
    """Where a part works, if not when a BERT reads a text."""
    return ELSEWHERE.get(exercise.name, ELSEWHERE.get(exercise.topic, "when its turn comes"))


def grains(parts: Collection[str]) -> list[int]:
    """How small the parts are that work in a model's blocks, which take turns with these.

    parts: the exercises that have passed. If a block ran the largest part of them, the smaller ones inside it would
    never be called; so a grain is added for those that would not.
    """

    def any_of(*names: str) -> bool:
        return any(name in parts for name in names)

    found = [0] if any_of("encoder-block") else []
    found += [1] if any_of("multi-head-attention", "feed-forward") else []
    found += [2] if any_of("attention") else []
    if any_of("padding-mask") or (2 not in found and any_of("split-heads", "merge-heads", "gelu")):
        found.append(3)
    return found or [0]
