"""XLNet: predicts words in any order of the text, with relative positions and a memory of earlier segments.

BERT hides words behind [MASK], which no real text contains, and predicts them independently of each other. XLNet
predicts words one after another, like a language model, but in a random *factorisation order*, so that over many
orders a word is predicted from both sides. The text itself is never permuted: a mask says who may look at whom.

This takes two streams. A word's *content* vector knows the word. A *query* vector knows only the place, and what came
before it in the order; it starts from one learned vector that all places share, and the word is predicted from it.
Both streams go through the same weights, and look at the same keys and values, which come from the content stream.

Distances take the place of positions, so that the tokens of an earlier segment can be looked at as well: their hidden
states are handed on (`mems`). That part is Transformer-XL's.

Sources: Yang, Dai, Yang, Carbonell, Salakhutdinov & Le 2019, "XLNet: Generalized Autoregressive Pretraining for
Language Understanding"; Dai, Yang, Yang, Carbonell, Le & Salakhutdinov 2019, "Transformer-XL", section 3; and the
released code.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from minibert.attention import Layout
from minibert.config import ModelConfig, choice, flag, integer
from minibert.errors import MinibertError
from minibert.layers import FeedForward, Table
from minibert.model import Model, Output, at_places, check_tensors
from minibert.models.family import Family
from minibert.models.relative import (
    RelativeAttention,
    View,
    and_itself,
    check_mems,
    check_targets,
    distance_vectors,
    fresh,
    other_segment,
    view_of_targets,
    zeros_and_ones,
)
from minibert.tracing import exporting, known, recording

# ------------------------------------------------------------------------------------------------- config


@dataclass(frozen=True, kw_only=True)
class XLNetConfig(ModelConfig):
    """XLNet's numbers; the sizes are those of xlnet-large-cased.

    There is no longest sequence: distances have sinusoids and no table. hidden_dropout_prob is the only dropout, of
    attention weights too; classifier_dropout comes last in the summary of a text.

    attn_type: "bi", every token may look at every other, or "uni", only at those before it. same_length: with "uni",
    no query looks further back than the memory is long, so that all see equally many keys. clamp_len: larger distances
    are taken for this one; none is where it is 0 or less.
    mem_len: how many hidden states of the past are handed on, all where it is None or 0. reuse_len: how many of a
    segment's first tokens go into the memory, all where it is None or 0. use_mems_eval, use_mems_train: whether
    memory is handed on at all.
    """

    vocab_size: int = 32000
    hidden_size: int = 1024
    num_hidden_layers: int = integer(24)  # L
    num_attention_heads: int = integer(16)  # H; the head size is K = D / H
    intermediate_size: int = integer(4096)  # F
    classifier_dropout: float | None = 0.1
    pad_token_id: int = 5
    attn_type: str = choice("bi", ("bi", "uni"))
    same_length: bool = flag(False)
    clamp_len: int = integer(-1, least=-1)
    mem_len: int | None = field(default=512, metadata={"least": 0, "optional": True})
    reuse_len: int | None = field(default=None, metadata={"least": 0, "optional": True})
    use_mems_eval: bool = flag(True)
    use_mems_train: bool = flag(False)

    model_type: ClassVar[str] = "xlnet"
    classifier_act: ClassVar[str] = "tanh"  # the dense layer of the text's summary

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.hidden_size % self.num_attention_heads:
            raise MinibertError(
                f"hidden_size {self.hidden_size} does not divide into {self.num_attention_heads} heads: "
                "choose a multiple of num_attention_heads."
            )
        if self.hidden_size % 2:
            raise MinibertError(
                f"hidden_size is {self.hidden_size}; it must be even, as half of a distance's numbers are sines and "
                "half cosines."
            )

    @property
    def token_dropout(self) -> float:
        return 0.0


@dataclass
class XLNetOutput(Output):
    """What XLNet returns besides. P: the targets of target_mapping. M: the length of the memory.

    last_hidden_state, hidden_states, attentions: of the content stream; the weights are (B, H, S, M + S).
    mems: L tensors (B, M', D), what each block read, for the next segment; None where the config says to keep none.
    Padding is zeros there, and a later segment does not look at it. No gradient flows through them.
    query_state: (B, P, D), the query stream's last hidden state. query_hidden_states: L + 1 tensors (B, P, D).
    query_attentions: L tensors (B, H, P, M + S). All three only with target_mapping.
    """

    mems: list[Tensor] | None = None
    query_state: Tensor | None = None
    query_hidden_states: tuple[Tensor, ...] | None = None
    query_attentions: tuple[Tensor, ...] | None = None


torch.export.register_dataclass(XLNetOutput)

# -------------------------------------------------------------------------------------------------- block


Stream = tuple[Tensor, View]  # vectors, (B, Q, D) or (N, D) when the view's layout packs, and what they see


class XLNetBlock(nn.Module):
    """BERT's block with relative attention, and two streams that go through the same weights."""

    def __init__(self, config: XLNetConfig):
        super().__init__()
        c, dropout = config, config.hidden_dropout_prob
        self.attention = RelativeAttention(c.hidden_size, c.num_attention_heads, dropout, c.initializer_range)
        self.attention_norm = nn.LayerNorm(c.hidden_size, eps=c.layer_norm_eps)
        self.feed_forward = FeedForward(c.hidden_size, c.intermediate_size, c.hidden_act, dropout)
        self.norm = nn.LayerNorm(c.hidden_size, eps=c.layer_norm_eps)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self,
        streams: Sequence[Stream],
        distances: Tensor,
        memory: Tensor | None = None,
        return_weights: bool = False,
        leave_out_content: bool = False,
    ) -> list[tuple[Tensor, Tensor | None]]:
        """streams: the content stream, and the query stream if there is one. distances: (T + S, D). memory: (B, M, D).
        leave_out_content: give zeros for the content stream.

        Returns for each stream its vectors, shaped as they came, and the weights (B, H, Q, T) or None.
        """
        content, view = streams[0]
        looked_at = self.attention.looked_at(content, view.layout, memory, distances)
        found: list[tuple[Tensor, Tensor | None]] = []
        for x, view in streams:
            if x is content and leave_out_content:
                found.append((torch.zeros_like(x), None))
                continue
            attended, weights = self.attention(x, looked_at, view, return_weights)
            x = self.attention_norm(x + self.dropout(attended))
            found.append((self.norm(x + self.dropout(self.feed_forward(x))), weights))
        return found


class XLNetEncoder(nn.Module):
    """L blocks, one after the other."""

    def __init__(self, config: XLNetConfig):
        super().__init__()
        self.blocks = nn.ModuleList([XLNetBlock(config) for _ in range(config.num_hidden_layers)])

    def forward(
        self,
        streams: Sequence[Stream],
        distances: Tensor,
        mems: Sequence[Tensor] | None = None,
        return_attention: bool = False,
        leave_out_last: bool = False,
    ) -> XLNetOutput:
        """streams, distances: as a block's. mems: L tensors (B, M, D). leave_out_last: leave the content stream out in
        the last block, where the query stream has no more use for it. The output holds all hidden states."""
        layouts = [view.layout for _, view in streams]
        states = [[view.layout.unpack(x) for x, view in streams]]
        weights = []
        for step, block in enumerate(self.blocks):
            memory = None if mems is None else mems[step]
            leave_out = leave_out_last and step == len(self.blocks) - 1
            found = block(streams, distances, memory, return_attention, leave_out)
            streams = [(x, view) for (x, _), (_, view) in zip(found, streams, strict=True)]
            states.append([layout.unpack(x) for (x, _), layout in zip(found, layouts, strict=True)])
            weights.append([seen for _, seen in found])
        hidden, seen = list(zip(*states, strict=True)), list(zip(*weights, strict=True))
        output = XLNetOutput(hidden[0][-1], hidden_states=hidden[0], attentions=seen[0] if return_attention else None)
        if len(streams) == 2:
            output.query_state, output.query_hidden_states = hidden[1][-1], hidden[1]
            output.query_attentions = seen[1] if return_attention else None
        return output


# -------------------------------------------------------------------------------------------------- model


class XLNetEmbeddings(nn.Module):
    """What a token is, and nothing else: where it is comes in with the distances. Then dropout, no norm.

    target: (1, 1, D), where the query stream starts at every place alike ("mask_emb" in checkpoints).
    """

    def __init__(self, config: XLNetConfig):
        super().__init__()
        self.word = Table(config.vocab_size, config.hidden_size)
        self.target = fresh(1, 1, config.hidden_size, std=config.initializer_range)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, input_ids: Tensor) -> Tensor:
        """(...) -> (..., D)."""
        return self.dropout(self.word(input_ids))

    def targets(self, batch: int, number: int) -> Tensor:
        """(B, P, D)."""
        return self.dropout(self.target.expand(batch, number, -1))


class VocabularyHead(nn.Module):
    """Compare a token's vector with each word's embedding; only the bias (V,) belongs to the head."""

    def __init__(self, vocab_size: int):
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(vocab_size))

    def forward(self, hidden: Tensor, word_embeddings: Tensor) -> Tensor:
        """hidden: (..., D). word_embeddings: (V, D). Returns logits (..., V)."""
        return F.linear(hidden, word_embeddings, self.bias)


class XLNet(Model):
    extra_inputs = ("perm_mask", "target_mapping", "mems")
    heads = ("permutation-lm", "sequence-classification", "token-classification", "question-answering")
    config: XLNetConfig

    def __init__(self, config: XLNetConfig):
        super().__init__(config)
        self.embeddings = XLNetEmbeddings(config)
        self.encoder = XLNetEncoder(config)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        self.skip_padding = True  # False: compute the padded positions too, the plain way (for comparisons)

    @property
    def word_embeddings(self) -> nn.Embedding:
        return self.embeddings.word

    def vocabulary_head(self) -> nn.Module:
        return VocabularyHead(self.config.vocab_size)

    def predicting_states(self, output: Output) -> Tensor:
        """The query stream's where there are targets, else every token's."""
        query_state = output.query_state if isinstance(output, XLNetOutput) else None
        return output.last_hidden_state if query_state is None else query_state

    def summary(self, output: Output, input_ids: Tensor, attention_mask: Tensor | None) -> Tensor:
        """The last real token's vector: XLNet's tokenizer puts <cls> last, and pads at the left."""
        hidden = output.last_hidden_state
        if attention_mask is None:
            return hidden[:, -1]
        last = (attention_mask * torch.arange(1, hidden.shape[1] + 1, device=hidden.device)).argmax(dim=1)
        return at_places(hidden, last)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        return_attention: bool = False,
        return_hidden: bool = False,
        *,
        wanted: Tensor | None = None,
        perm_mask: Tensor | None = None,
        target_mapping: Tensor | None = None,
        mems: Sequence[Tensor] | None = None,
    ) -> XLNetOutput:
        """Read a batch of texts; with target_mapping, also predict words from what comes before them in an order.

        input_ids, attention_mask, return_attention, return_hidden: as in `Backbone.forward`; padding is usual at
        the left, but may be anywhere. token_type_ids: (B, S), numbers of segments, which are only compared: A 0, B 1,
        <cls> 2, padding 3; without them the scores have no segment term.
        perm_mask: (B, S, S), 1 where token i may *not* look at token j, 0 where it may; by default it always may. In
        the content stream every token sees itself nevertheless.
        target_mapping: (B, P, S), a 1 at the place of each of the P targets; a row of zeros is a target that is not
        used: it attends to nothing. perm_mask must keep each target from seeing itself. A target that may see nothing
        at all attends to nothing, too. (In the released code it then sees everything, itself included.)
        mems: L tensors (B, M, D), `mems` of the segment before; they count as segment A. Rows of zeros in the first of
        them are hidden, as padding. (torch.export: a graph returns a memory if its example was given one.)
        wanted: (B, S) booleans; where none is wanted, the last block leaves the content stream out (zeros).

        Raises MinibertError for ids outside the vocabulary, shapes that differ, or a target that would see itself.
        """
        self.check_inputs(
            input_ids,
            attention_mask,
            token_type_ids,
            wanted,
            perm_mask=perm_mask,
            target_mapping=target_mapping,
            mems=mems,
        )
        wanted = wanted if wanted is None or known(wanted) else None
        layout = Layout(attention_mask, self.skip_padding)
        seen, gaps = self.visible(input_ids, layout, perm_mask, mems)
        different = None if token_type_ids is None else other_segment(token_type_ids, gaps.shape[1])
        mask = None if seen is None else and_itself(seen, gaps)[:, None]
        view = View(layout, mask, None if different is None else different[:, None])
        streams = [(self.embeddings(layout.pack(input_ids)), view)]
        if target_mapping is not None:
            start = self.embeddings.targets(*target_mapping.shape[:2])
            streams.append((start, view_of_targets(target_mapping, seen, different, gaps)))
        distances = distance_vectors(gaps, self.config.hidden_size, self.config.clamp_len)
        output = self.encoder(
            streams,
            self.dropout(distances.to(self.word_embeddings.weight.dtype)),  # one draw for all texts of the batch
            mems,
            return_attention,
            leave_out_last=wanted is not None and not (wanted.any() or return_attention or return_hidden),
        )
        keeps = self.config.use_mems_train if self.training else self.config.use_mems_eval
        if keeps and not (mems is None and exporting()):  # its length would set a limit to the graph's
            output.mems = self.remember(output.hidden_states[:-1], layout, mems)
        output.last_hidden_state = self.dropout(output.last_hidden_state)
        if output.query_state is not None:
            output.query_state = self.dropout(output.query_state)
        if not return_hidden:
            output.hidden_states = output.query_hidden_states = None
        return output

    def visible(
        self, input_ids: Tensor, layout: Layout, perm_mask: Tensor | None, mems: Sequence[Tensor] | None
    ) -> tuple[Tensor | None, Tensor]:
        """Which key each place may look at, (B or 1, S, T), True where it may, None for all; and how far away each
        key is, (S, T)."""
        past = 0 if mems is None else mems[0].shape[1]
        length, device = input_ids.shape[1], input_ids.device
        gaps = past + torch.arange(length, device=device)[:, None] - torch.arange(past + length, device=device)
        masks = []
        if self.config.attn_type == "uni":
            near = (gaps >= 0) & (gaps <= past) if self.config.same_length else gaps >= 0
            masks.append(near[None])
        if mems is not None:  # all of the memory that is not padding
            real = mems[0].ne(0).any(dim=-1)
            masks.append(F.pad(real, (0, length), value=True)[:, None])
        if layout.mask is not None:
            masks.append(F.pad(layout.mask[:, 0], (past, 0), value=True))
        if perm_mask is not None:
            masks.append(F.pad(~perm_mask.bool(), (past, 0), value=True))
        return functools.reduce(torch.logical_and, masks) if masks else None, gaps

    def remember(self, read: Sequence[Tensor], layout: Layout, mems: Sequence[Tensor] | None) -> list[Tensor]:
        """What the next segment may look at: the memory, and after it what each block has read, the last mem_len.

        read: L tensors (B, S, D). mems: L tensors (B, M, D), or None.
        """
        found = []
        for step, content in enumerate(read):
            if layout.mask is not None:
                content = content.masked_fill(~layout.mask[:, 0, 0, :, None], 0.0)
            if self.config.reuse_len:
                content = content[:, : self.config.reuse_len]
            both = content if mems is None else torch.cat([mems[step], content], dim=1)
            found.append(both[:, -(self.config.mem_len or 0) :].detach())
        return found

    def check_inputs(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        wanted: Tensor | None = None,
        perm_mask: Tensor | None = None,
        target_mapping: Tensor | None = None,
        mems: Sequence[Tensor] | None = None,
        **extra: Any,
    ) -> None:
        super().check_inputs(input_ids, attention_mask, token_type_ids, wanted, **extra)
        if recording():
            return
        given = {"perm_mask": perm_mask, "target_mapping": target_mapping}
        check_tensors({name: tensor for name, tensor in given.items() if tensor is not None})
        batch, length = input_ids.shape
        if perm_mask is not None:
            if perm_mask.shape != (batch, length, length):
                raise MinibertError(
                    f"perm_mask has shape {tuple(perm_mask.shape)}, but must be (B, S, S) = "
                    f"{(batch, length, length)}: 1 where token i may not look at token j."
                )
            if not zeros_and_ones(perm_mask):
                raise MinibertError("perm_mask must hold 1 (may not look) and 0 (may look) and nothing else.")
        if target_mapping is not None:
            check_targets(target_mapping, perm_mask, input_ids.shape)
        if mems is not None:
            check_mems(mems, self.config.num_hidden_layers, batch, self.config.hidden_size)


# ------------------------------------------------------------------------------------------------- family

BASE: dict[str, Any] = {
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
}

PRESETS = {
    "xlnet-base-cased": XLNetConfig(**BASE, mem_len=None),
    "xlnet-large-cased": XLNetConfig(mem_len=None),
    "tiny-xlnet": XLNetConfig(
        vocab_size=30522,  # BERT's, so that the fetched tokenizer fits
        pad_token_id=0,
        hidden_size=128,
        num_hidden_layers=4,
        num_attention_heads=4,
        intermediate_size=512,
    ),
}

# Our name -> the name in a checkpoint. The rows of the attention are whole parameters.
KEYS = {
    "embeddings.word": "transformer.word_embedding",
    "embeddings.target": "transformer.mask_emb",
    "encoder.blocks.{}.attention.query": "transformer.layer.{}.rel_attn.q",
    "encoder.blocks.{}.attention.key": "transformer.layer.{}.rel_attn.k",
    "encoder.blocks.{}.attention.value": "transformer.layer.{}.rel_attn.v",
    "encoder.blocks.{}.attention.output": "transformer.layer.{}.rel_attn.o",
    "encoder.blocks.{}.attention.position": "transformer.layer.{}.rel_attn.r",
    "encoder.blocks.{}.attention.segment": "transformer.layer.{}.rel_attn.seg_embed",
    "encoder.blocks.{}.attention.content_bias": "transformer.layer.{}.rel_attn.r_w_bias",
    "encoder.blocks.{}.attention.position_bias": "transformer.layer.{}.rel_attn.r_r_bias",
    "encoder.blocks.{}.attention.segment_bias": "transformer.layer.{}.rel_attn.r_s_bias",
    "encoder.blocks.{}.attention_norm": "transformer.layer.{}.rel_attn.layer_norm",
    "encoder.blocks.{}.feed_forward.expand": "transformer.layer.{}.ff.layer_1",
    "encoder.blocks.{}.feed_forward.contract": "transformer.layer.{}.ff.layer_2",
    "encoder.blocks.{}.norm": "transformer.layer.{}.ff.layer_norm",
    "lm": "lm_loss",
    "dense": "sequence_summary.summary",
    "classifier": "logits_proj",
    "span": "qa_outputs",
}

# The tied word table may be in a file a second time.
COPIES = {"lm_loss.weight": "transformer.word_embedding.weight"}

# Our config field -> theirs, where the names differ.
FIELD_NAMES = {
    "hidden_size": "d_model",
    "num_hidden_layers": "n_layer",
    "num_attention_heads": "n_head",
    "intermediate_size": "d_inner",
    "hidden_act": "ff_activation",
    "hidden_dropout_prob": "dropout",
    "classifier_dropout": "summary_last_dropout",
}

ALIASES = {name: FIELD_NAMES[name] for name in ("hidden_size", "num_attention_heads", "num_hidden_layers")}
ALIASES |= {"n_token": "vocab_size"}

CONSTANTS: dict[str, Any] = {
    "untie_r": True,
    "bi_data": False,
    "summary_type": "last",
    "summary_use_proj": True,
    "summary_activation": "tanh",
}

FAMILY = Family(
    config=XLNetConfig,
    model=XLNet,
    presets=PRESETS,
    keys=KEYS,
    stem="XLNet",
    prefix="transformer.",
    head_keys={"token-classification": {"classifier": "classifier"}},
    class_names={"question-answering": "XLNetForQuestionAnsweringSimple"},
    copies=COPIES,
    objective="permutation",
    vocabulary="xlnet-unigram",
    field_names=FIELD_NAMES,
    aliases=ALIASES,
    derived=lambda config: {"d_head": config.hidden_size // config.num_attention_heads},
    effectless=("start_n_top", "end_n_top", "init", "init_range", "init_std", "max_position_embeddings"),
    constants=CONSTANTS,
)
