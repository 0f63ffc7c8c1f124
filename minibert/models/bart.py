"""BART: an encoder like BERT's reads a text, and a decoder generates one; it is trained to reconstruct corrupted texts.

How texts are corrupted is in training/infilling.py; how the decoder generates, in generation.py.

Source: Lewis, Liu, Goyal, Ghazvininejad, Mohamed, Levy, Stoyanov & Zettlemoyer 2020, "BART: Denoising
Sequence-to-Sequence Pre-training for Natural Language Generation, Translation, and Comprehension" (ACL), section 2.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from minibert.attention import Layout, MultiHeadAttention, causal_mask
from minibert.config import flag, fraction, integer
from minibert.encoder import Encoder, EncoderBlock
from minibert.errors import MinibertError
from minibert.generation import EncoderDecoder, EncoderDecoderConfig, shift_right
from minibert.layers import FeedForward, Table
from minibert.model import Output, at_places
from minibert.models.family import Family
from minibert.tracing import at_hand

FIRST_POSITION = 2  # the table's row for the first token; the released code kept the rows before it for padding


@dataclass(frozen=True, kw_only=True)
class BartConfig(EncoderDecoderConfig):
    """BART's numbers; the defaults are those of the reference library, which has bart-large in mind.

    max_position_embeddings: the longest text; the tables have two rows more. scale_embedding: whether word
    embeddings are multiplied by √D where they are read.
    """

    vocab_size: int = 50265
    hidden_size: int = 1024
    encoder_layers: int = integer(12)  # L of the encoder
    decoder_layers: int = integer(12)  # L of the decoder
    encoder_attention_heads: int = integer(16)
    decoder_attention_heads: int = integer(16)
    encoder_ffn_dim: int = integer(4096)  # F of the encoder
    decoder_ffn_dim: int = integer(4096)
    max_position_embeddings: int = integer(1024)
    attention_probs_dropout_prob: float = fraction(0.0)
    activation_dropout: float = fraction(0.0)
    classifier_dropout: float | None = 0.0
    layer_norm_eps: float = 1e-5
    scale_embedding: bool = flag(False)

    model_type: ClassVar[str] = "bart"
    classifier_act: ClassVar[str] = "tanh"  # there is no pooler: its classifier has a dense layer of its own

    def __post_init__(self) -> None:
        super().__post_init__()
        for heads in (self.encoder_attention_heads, self.decoder_attention_heads):
            if self.hidden_size % heads:
                raise MinibertError(
                    f"hidden_size {self.hidden_size} does not divide into {heads} heads: choose a multiple of them."
                )

    @property
    def dense_dropout(self) -> float:
        return self.head_dropout

    @property
    def max_length(self) -> int:
        return self.max_position_embeddings


@dataclass
class BartOutput(Output):
    """Output of an encoder-decoder. The fields of `Output` are the decoder's, those named encoder_... the encoder's.

    last_hidden_state: (B, T, D). hidden_states: L + 1 tensors (B, T, D), the embeddings first. attentions: L tensors
    (B, H, T, T), of each token to those before it. cross_attentions: L tensors (B, H, T, S), to the text that was read.
    encoder_last_hidden_state: (B, S, D). encoder_hidden_states: L + 1 tensors (B, S, D). encoder_attentions: L tensors
    (B, H, S, S). L is the decoder's or the encoder's.
    """

    cross_attentions: tuple[Tensor, ...] | None = None
    encoder_last_hidden_state: Tensor | None = None
    encoder_hidden_states: tuple[Tensor, ...] | None = None
    encoder_attentions: tuple[Tensor, ...] | None = None


torch.export.register_dataclass(BartOutput)

# --------------------------------------------------------------------------------------------- embeddings


class SideEmbeddings(nn.Module):
    """What the encoder or the decoder does to word embeddings: add positions, norm, dropout."""

    def __init__(self, config: BartConfig):
        super().__init__()
        self.position = Table(config.max_position_embeddings + FIRST_POSITION, config.hidden_size)
        self.norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, words: Tensor, positions: Tensor) -> Tensor:
        """words: (..., D). positions: (...), counted from 0, whatever is padding. Returns (..., D)."""
        return self.dropout(self.norm(words + self.position(positions + FIRST_POSITION)))


class BartEmbeddings(nn.Module):
    """One table of words for both sides (and for the scores of the vocabulary), and the rest of each side."""

    def __init__(self, config: BartConfig):
        super().__init__()
        self.word = Table(config.vocab_size, config.hidden_size)
        self.scale = math.sqrt(config.hidden_size) if config.scale_embedding else 1.0
        self.encoder = SideEmbeddings(config)
        self.decoder = SideEmbeddings(config)

    def forward(self, ids: Tensor, layout: Layout, side: SideEmbeddings, start: int = 0) -> Tensor:
        """ids (B, S), of which `start` tokens have gone before -> (B, S, D), or (N, D) when the layout packs."""
        positions = torch.arange(start, start + ids.shape[1], device=ids.device).expand_as(ids)
        return side(self.word(layout.pack(ids)) * self.scale, layout.pack(positions))


# ------------------------------------------------------------------------------------------------ decoder

KeysAndValues = tuple[Tensor, Tensor]  # of every head, (B, H, T, K) each


class DecoderBlock(nn.Module):
    """Self-attention to the tokens before, cross-attention to the encoder, feed-forward; after each, add and normalise.

    Source: Vaswani et al. 2017, section 3.1 and figure 1 (right).
    """

    def __init__(self, config: BartConfig):
        super().__init__()
        c = config
        self.attention = MultiHeadAttention(c.hidden_size, c.decoder_attention_heads, c.attention_probs_dropout_prob)
        self.attention_norm = nn.LayerNorm(c.hidden_size, eps=c.layer_norm_eps)
        self.cross_attention = MultiHeadAttention(
            c.hidden_size, c.decoder_attention_heads, c.attention_probs_dropout_prob
        )
        self.cross_attention_norm = nn.LayerNorm(c.hidden_size, eps=c.layer_norm_eps)
        self.feed_forward = FeedForward(c.hidden_size, c.decoder_ffn_dim, c.hidden_act, c.activation_dropout)
        self.norm = nn.LayerNorm(c.hidden_size, eps=c.layer_norm_eps)
        self.dropout = nn.Dropout(c.hidden_dropout_prob)

    def forward(
        self,
        x: Tensor,
        layout: Layout,
        mask: Tensor | None,
        text: KeysAndValues,
        text_layout: Layout,
        before: KeysAndValues | None = None,
        return_weights: bool = False,
    ) -> tuple[Tensor, KeysAndValues, Tensor | None, Tensor | None]:
        """x: (B, T, D), or (N, D) when the layout packs. mask: which tokens each of x may look at, of those before
        x and of x itself. text: keys and values of the text that was read; text_layout: where that has padding.
        before: keys and values of the tokens that were read before x.

        Returns x in its shape, the keys and values of all tokens so far, and the weights of both attentions,
        (B, H, T, ...) and (B, H, T, S), or None.
        """
        own = self.attention.keys_and_values(x, x, layout)
        if before is not None:
            own = (torch.cat([before[0], own[0]], dim=2), torch.cat([before[1], own[1]], dim=2))
        attended, weights = self.attention(x, layout=layout, mask=mask, kept=own, return_weights=return_weights)
        x = self.attention_norm(x + self.dropout(attended))
        attended, cross_weights = self.cross_attention(
            x, layout=layout, key_layout=text_layout, kept=text, return_weights=return_weights
        )
        x = self.cross_attention_norm(x + self.dropout(attended))
        x = self.norm(x + self.dropout(self.feed_forward(x)))
        return x, own, weights, cross_weights


@dataclass
class Memory:
    """What the decoder's blocks keep (the cache), so that nothing is computed twice. One entry for each block.

    text: keys and values of the text that was read; layout: where that has padding. before: keys and values of the
    tokens that the decoder has read so far; empty at first.
    """

    text: list[KeysAndValues]
    layout: Layout
    before: list[KeysAndValues]


class Decoder(nn.Module):
    """L blocks, one after the other."""

    def __init__(self, config: BartConfig):
        super().__init__()
        self.blocks = nn.ModuleList([DecoderBlock(config) for _ in range(config.decoder_layers)])

    def remember(self, encoded: Tensor, layout: Layout) -> Memory:
        """The cache for a text whose encoder states are (B, S, D), before the decoder has read anything."""
        real = layout.pack(encoded)
        attentions = [cast(DecoderBlock, block).cross_attention for block in self.blocks]
        return Memory([attention.keys_and_values(real, real, layout) for attention in attentions], layout, [])

    def forward(
        self,
        x: Tensor,
        layout: Layout,
        mask: Tensor | None,
        memory: Memory,
        return_attention: bool = False,
        return_hidden: bool = False,
    ) -> BartOutput:
        """x: (B, T, D), or (N, D) when the layout packs; its keys and values join the cache. The output is unpacked."""
        hidden_states, attentions, cross_attentions = [], [], []
        seen, memory.before = memory.before, []
        for number, block in enumerate(self.blocks):
            if return_hidden:
                hidden_states.append(layout.unpack(x))
            before = seen[number] if seen else None
            x, own, weights, cross_weights = block(
                x, layout, mask, memory.text[number], memory.layout, before, return_attention
            )
            memory.before.append(own)
            attentions.append(weights)
            cross_attentions.append(cross_weights)
        last = layout.unpack(x)
        return BartOutput(
            last_hidden_state=last,
            hidden_states=(*hidden_states, last) if return_hidden else None,
            attentions=tuple(attentions) if return_attention else None,
            cross_attentions=tuple(cross_attentions) if return_attention else None,
        )


# -------------------------------------------------------------------------------------------------- model


class TiedScores(nn.Module):
    """Score the vocabulary with the table of words itself, and a bias that is kept but not learned."""

    bias: Tensor

    def __init__(self, vocab_size: int):
        super().__init__()
        self.register_buffer("bias", torch.zeros(1, vocab_size))

    def forward(self, hidden: Tensor, word_embeddings: Tensor) -> Tensor:
        """hidden: (..., D). word_embeddings: (V, D). Returns logits (..., V)."""
        return F.linear(hidden, word_embeddings, self.bias[0])


class Bart(EncoderDecoder):
    config: BartConfig

    def __init__(self, config: BartConfig):
        super().__init__(config)
        c = config
        self.embeddings = BartEmbeddings(config)
        self.encoder = Encoder(
            [
                EncoderBlock(
                    c.hidden_size,
                    c.encoder_attention_heads,
                    c.encoder_ffn_dim,
                    c.hidden_act,
                    c.layer_norm_eps,
                    c.hidden_dropout_prob,
                    c.attention_probs_dropout_prob,
                    activation_dropout=c.activation_dropout,
                )
                for _ in range(c.encoder_layers)
            ]
        )
        self.decoder = Decoder(config)
        self.skip_padding = True  # False: compute the padded positions too, the plain way (for comparisons)

    @property
    def word_embeddings(self) -> nn.Embedding:
        return self.embeddings.word

    def vocabulary_head(self) -> nn.Module:
        return TiedScores(self.config.vocab_size)

    def encode(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        return_attention: bool = False,
        return_hidden: bool = False,
    ) -> Output:
        """The encoder alone: input_ids, attention_mask (B, S) -> its Output."""
        layout = Layout(attention_mask, self.skip_padding)
        x = self.embeddings(input_ids, layout, self.embeddings.encoder)
        return self.encoder(x, layout, return_attention, return_hidden)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        return_attention: bool = False,
        return_hidden: bool = False,
        *,
        wanted: Tensor | None = None,
        decoder_input_ids: Tensor | None = None,
        decoder_attention_mask: Tensor | None = None,
    ) -> BartOutput:
        """Read a batch of texts with the encoder, and another (or the same) with the decoder.

        input_ids, attention_mask: (B, S), as for BERT. token_type_ids, wanted: (B, S), ignored.
        decoder_input_ids, decoder_attention_mask: (B, T). By default the decoder reads the same text one step late:
        each token's place has the token before it, and the first has decoder_start_token_id; its padding is where
        the text's is.

        Raises MinibertError for ids outside the vocabulary, a sequence longer than the position table, or
        shapes that differ.
        """
        given = {"decoder_input_ids": decoder_input_ids, "decoder_attention_mask": decoder_attention_mask}
        self.check_inputs(input_ids, attention_mask, token_type_ids, wanted, **given)
        if decoder_input_ids is None:
            decoder_input_ids = self.one_step_late(input_ids, attention_mask)
            decoder_attention_mask = attention_mask if decoder_attention_mask is None else decoder_attention_mask
        encoded = self.encode(input_ids, attention_mask, return_attention, return_hidden)
        memory = self.decoder.remember(encoded.last_hidden_state, Layout(attention_mask, self.skip_padding))
        layout = Layout(decoder_attention_mask, self.skip_padding)
        mask = causal_mask(decoder_input_ids.shape[1], decoder_input_ids.device)
        mask = mask if layout.mask is None else mask & layout.mask
        x = self.embeddings(decoder_input_ids, layout, self.embeddings.decoder)
        output = self.decoder(x, layout, mask, memory, return_attention, return_hidden)
        output.encoder_last_hidden_state = encoded.last_hidden_state
        output.encoder_hidden_states = encoded.hidden_states
        output.encoder_attentions = encoded.attentions
        return output

    def one_step_late(self, input_ids: Tensor, attention_mask: Tensor | None) -> Tensor:
        """For each real token the real one before it, for the first decoder_start_token_id. (B, S) -> (B, S)."""
        start = self.config.decoder_start_token_id
        if attention_mask is None:
            return shift_right(input_ids, start)
        real = attention_mask.long()
        number = real.cumsum(dim=1)  # of each real token among those of its text, from 1 on
        words = F.pad(input_ids, (1, 0)).scatter(1, number * real, input_ids)  # the real tokens by their number
        before = number - real
        return words.gather(1, before).masked_fill(before == 0, start)

    def start_decoding(self, input_ids: Tensor, attention_mask: Tensor | None = None, copies: int = 1) -> BartDecoding:
        self.check_inputs(input_ids, attention_mask)
        return BartDecoding(self, input_ids, attention_mask, copies)

    def summary(self, output: Output, input_ids: Tensor, attention_mask: Tensor | None) -> Tensor:
        """The decoder's vector at the text's last eos: there it has read the whole text.

        Raises MinibertError when a text has no eos, or the decoder has read another text. Source: Lewis et al. 2020,
        section 3.1.
        """
        if output.last_hidden_state.shape[:2] != input_ids.shape:
            raise MinibertError(
                "a text is judged by the decoder's state at the end of the text itself: leave out decoder_input_ids."
            )
        eos = self.config.eos_token_id
        real = torch.ones_like(input_ids).bool() if attention_mask is None else attention_mask.bool()
        ends = (input_ids == eos) & real
        lacking = real.any(dim=1) & ~ends.any(dim=1)
        if at_hand(lacking) and lacking.any():
            raise MinibertError(
                f"text {int(lacking.int().argmax())} of the batch has no eos (id {eos}) at which it could be judged: "
                "its tokenizer puts one at the end."
            )
        last = (ends * torch.arange(1, ends.shape[1] + 1, device=ends.device)).argmax(dim=1)
        return at_places(output.last_hidden_state, last)


class BartDecoding:
    """A BART that is generating R rows, each a text; see `generation.Decoding`."""

    def __init__(self, model: Bart, input_ids: Tensor, attention_mask: Tensor | None, copies: int):
        self.model = model
        self.mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        self.texts = torch.arange(len(input_ids), device=input_ids.device)  # which text each row belongs to
        encoded = model.encode(input_ids, attention_mask).last_hidden_state
        self.memory = model.decoder.remember(encoded, Layout(attention_mask, model.skip_padding))
        self.length = 0  # tokens that were read of each row
        if copies > 1:
            self.select([text for text in range(len(input_ids)) for _ in range(copies)])

    def read(self, tokens: Sequence[int]) -> Tensor:
        ids = torch.tensor(tokens, device=self.texts.device)[:, None]
        x = self.model.embeddings(ids, Layout(), self.model.embeddings.decoder, start=self.length)
        self.length += 1
        # The newest token may look at all tokens before it: there is nothing to mask.
        return self.model.decoder(x, Layout(), None, self.memory).last_hidden_state[:, 0]

    def select(self, rows: Sequence[int]) -> None:
        chosen = torch.tensor(rows, device=self.texts.device)
        self.memory.before = [(keys[chosen], values[chosen]) for keys, values in self.memory.before]
        texts = self.texts[chosen]
        if not torch.equal(
            texts, self.texts
        ):  # otherwise the beams of a text changed places, and their text is the same
            self.memory.text = [(keys[chosen], values[chosen]) for keys, values in self.memory.text]
            self.mask, self.texts = self.mask[chosen], texts
            self.memory.layout = Layout(self.mask, skip_padding=False)


# What both published sizes were trained with.
DROPOUT: dict[str, Any] = {"attention_probs_dropout_prob": 0.1, "activation_dropout": 0.1}

PRESETS = {
    "bart-base": BartConfig(
        **DROPOUT,
        hidden_size=768,
        encoder_layers=6,
        decoder_layers=6,
        encoder_attention_heads=12,
        decoder_attention_heads=12,
        encoder_ffn_dim=3072,
        decoder_ffn_dim=3072,
        forced_bos_token_id=0,
    ),
    "bart-large": BartConfig(**DROPOUT),
    # Not published: small enough to train while you watch.
    "tiny-bart": BartConfig(
        **DROPOUT,
        hidden_size=64,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=256,
        decoder_ffn_dim=256,
    ),
}

# Our name -> the name in a checkpoint.
KEYS = {
    "embeddings.word": "model.shared",
    "embeddings.encoder.position": "model.encoder.embed_positions",
    "embeddings.encoder.norm": "model.encoder.layernorm_embedding",
    "embeddings.decoder.position": "model.decoder.embed_positions",
    "embeddings.decoder.norm": "model.decoder.layernorm_embedding",
    "encoder.blocks.{}.attention.query": "model.encoder.layers.{}.self_attn.q_proj",
    "encoder.blocks.{}.attention.key": "model.encoder.layers.{}.self_attn.k_proj",
    "encoder.blocks.{}.attention.value": "model.encoder.layers.{}.self_attn.v_proj",
    "encoder.blocks.{}.attention.output": "model.encoder.layers.{}.self_attn.out_proj",
    "encoder.blocks.{}.attention_norm": "model.encoder.layers.{}.self_attn_layer_norm",
    "encoder.blocks.{}.feed_forward.expand": "model.encoder.layers.{}.fc1",
    "encoder.blocks.{}.feed_forward.contract": "model.encoder.layers.{}.fc2",
    "encoder.blocks.{}.norm": "model.encoder.layers.{}.final_layer_norm",
    "decoder.blocks.{}.attention.query": "model.decoder.layers.{}.self_attn.q_proj",
    "decoder.blocks.{}.attention.key": "model.decoder.layers.{}.self_attn.k_proj",
    "decoder.blocks.{}.attention.value": "model.decoder.layers.{}.self_attn.v_proj",
    "decoder.blocks.{}.attention.output": "model.decoder.layers.{}.self_attn.out_proj",
    "decoder.blocks.{}.attention_norm": "model.decoder.layers.{}.self_attn_layer_norm",
    "decoder.blocks.{}.cross_attention.query": "model.decoder.layers.{}.encoder_attn.q_proj",
    "decoder.blocks.{}.cross_attention.key": "model.decoder.layers.{}.encoder_attn.k_proj",
    "decoder.blocks.{}.cross_attention.value": "model.decoder.layers.{}.encoder_attn.v_proj",
    "decoder.blocks.{}.cross_attention.output": "model.decoder.layers.{}.encoder_attn.out_proj",
    "decoder.blocks.{}.cross_attention_norm": "model.decoder.layers.{}.encoder_attn_layer_norm",
    "decoder.blocks.{}.feed_forward.expand": "model.decoder.layers.{}.fc1",
    "decoder.blocks.{}.feed_forward.contract": "model.decoder.layers.{}.fc2",
    "decoder.blocks.{}.norm": "model.decoder.layers.{}.final_layer_norm",
    "lm.bias": "final_logits_bias",  # a buffer
    "dense": "classification_head.dense",
    "classifier": "classification_head.out_proj",
    "span": "qa_outputs",
}

# The tied word table may be in a file up to four times; a file of the bare model leaves out the prefix.
BODY_COPIES = tuple(
    f"{prefix}{side}.embed_tokens.weight" for prefix in ("model.", "") for side in ("encoder", "decoder")
)
COPIES = dict.fromkeys(("lm_head.weight", *BODY_COPIES), "model.shared.weight")

# Our config field -> theirs, where the names differ; None: a config of theirs does not have it.
FIELD_NAMES = {
    "hidden_size": "d_model",
    "hidden_act": "activation_function",
    "hidden_dropout_prob": "dropout",
    "attention_probs_dropout_prob": "attention_dropout",
    "initializer_range": "init_std",
    "layer_norm_eps": None,
}

ALIASES = {"hidden_size": "d_model", "num_attention_heads": "encoder_attention_heads"}
ALIASES |= {"num_hidden_layers": "encoder_layers"}

# Other models were once built with the same class; and training here leaves out no blocks ("layer drop").
CONSTANTS = {
    "is_encoder_decoder": True,
    "encoder_layerdrop": 0.0,
    "decoder_layerdrop": 0.0,
    "normalize_embedding": True,
    **dict.fromkeys(("is_decoder", "normalize_before", "add_final_layer_norm", "add_bias_logits"), False),
    "static_position_embeddings": False,
}

FAMILY = Family(
    config=BartConfig,
    model=Bart,
    presets=PRESETS,
    keys=KEYS,
    stem="Bart",
    prefix="model.",
    copies=COPIES,
    body_copies=BODY_COPIES,
    fills={"lm.bias": 0.0},  # bare models have no bias for the scores
    unused=("position_ids", "encoder.version", "decoder.version"),
    objective="infilling",
    vocabulary="byte-bpe",
    field_names=FIELD_NAMES,
    aliases=ALIASES,
    derived=lambda config: {"extra_pos_embeddings": FIRST_POSITION},
    effectless=("classif_dropout",),
    absent={"labels": ("LABEL_0", "LABEL_1", "LABEL_2")},  # the readers of such a config take three
    constants=CONSTANTS,
)
