"""The encoder block, the stack of blocks, and the frame that BERT, RoBERTa, DistilBERT and ALBERT share.

They all use the same block. What differs between those models is in their own files, and is passed in here as numbers
or as parts; nothing here asks which model it is in.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from minibert.attention import Layout, MultiHeadAttention
from minibert.config import EncoderConfig
from minibert.layers import Embeddings, FeedForward, Pooler, check_ids
from minibert.model import Model, Output, initialise
from minibert.tracing import known


class EncoderBlock(nn.Module):
    """Attention, then feed-forward; after each, the input is added back and the sum is normalised ("post-norm").

    attention_output_dropout: on what attention returns, by default the same as `dropout` (DistilBERT: 0).
    activation_dropout: inside the feed-forward part (BART).

    Source: Vaswani et al. 2017, section 3.1 and figure 1 (left).
    """

    def __init__(
        self,
        hidden_size: int,
        num_heads: int,
        intermediate_size: int,
        activation: str = "gelu",
        eps: float = 1e-12,
        dropout: float = 0.1,
        attention_dropout: float = 0.1,
        attention_output_dropout: float | None = None,
        activation_dropout: float = 0.0,
    ):
        super().__init__()
        self.attention = MultiHeadAttention(hidden_size, num_heads, attention_dropout)
        self.attention_output_dropout = nn.Dropout(
            dropout if attention_output_dropout is None else attention_output_dropout
        )
        self.attention_norm = nn.LayerNorm(hidden_size, eps=eps)
        self.feed_forward = FeedForward(hidden_size, intermediate_size, activation, activation_dropout)
        self.dropout = nn.Dropout(dropout)
        self.norm = nn.LayerNorm(hidden_size, eps=eps)

    @classmethod
    def from_config(cls, config: EncoderConfig, **changes: float) -> EncoderBlock:
        """A block with the config's numbers; `changes` are constructor arguments that differ."""
        numbers: dict[str, Any] = {
            "hidden_size": config.hidden_size,
            "num_heads": config.num_attention_heads,
            "intermediate_size": config.intermediate_size,
            "activation": config.hidden_act,
            "eps": config.layer_norm_eps,
            "dropout": config.hidden_dropout_prob,
            "attention_dropout": config.attention_probs_dropout_prob,
        }
        return cls(**{**numbers, **changes})

    def forward(
        self, x: Tensor, layout: Layout, return_weights: bool = False, only: Layout | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """x: (B, S, D), or (N, D) when the layout packs. only: the tokens to compute, by default all.

        Returns x, of the same shape or (M, D) for the M tokens of `only`, and the weights (B, H, S, S) or None.
        """
        queries, query_layout = (x, layout) if only is None else (only.pack(layout.unpack(x)), only)
        attended, weights = self.attention(
            queries, key=x, layout=query_layout, key_layout=layout, return_weights=return_weights
        )
        x = self.attention_norm(queries + self.attention_output_dropout(attended))
        x = self.norm(x + self.dropout(self.feed_forward(x)))
        return x, weights


class Encoder(nn.Module):
    """L steps through a list of blocks.

    blocks: the blocks that exist. order: which of them is used at each of the L steps, by default each once in order.
    ALBERT has one block and the order 0, 0, ..., 0.
    """

    def __init__(self, blocks: Sequence[nn.Module], order: Sequence[int] | None = None):
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.order = tuple(range(len(blocks)) if order is None else order)

    def forward(
        self,
        x: Tensor,
        layout: Layout,
        return_attention: bool = False,
        return_hidden: bool = False,
        wanted: Tensor | None = None,
    ) -> Output:
        """x: (B, S, D), or (N, D) when the layout packs. The output is unpacked: (B, S, D).

        wanted: (B, S) booleans, the tokens whose last hidden state is needed, by default all. The last step computes
        only these, from the keys and values of all tokens, and leaves zeros elsewhere.
        """
        only = None if wanted is None else Layout.only(wanted)
        hidden_states, attentions = [], []
        for step, block in enumerate(self.order, start=1):
            if return_hidden:
                hidden_states.append(layout.unpack(x))
            if step == len(self.order) and only is not None:
                x, weights = self.blocks[block](x, layout, return_attention, only)
                layout = only
            else:
                x, weights = self.blocks[block](x, layout, return_attention)
            if return_attention:
                attentions.append(weights)
        last = layout.unpack(x)
        return Output(
            last_hidden_state=last,
            hidden_states=(*hidden_states, last) if return_hidden else None,
            attentions=tuple(attentions) if return_attention else None,
        )


class Backbone(Model):
    """Embed, encode, pool: the forward pass that BERT, RoBERTa, DistilBERT and ALBERT share.

    Each model is this frame with its own parts. pooler: None for a model (or a use) without one.
    """

    config: EncoderConfig
    summary_is_pooled: ClassVar[bool] = True  # False: a family whose heads do not use a pooler

    def __init__(self, config: EncoderConfig, embeddings: Embeddings, encoder: Encoder, pooler: nn.Module | None):
        super().__init__(config)
        self.embeddings = embeddings
        self.encoder = encoder
        self.pooler = pooler
        self.skip_padding = True  # False: compute the padded positions too (for comparisons)

    @property
    def word_embeddings(self) -> nn.Embedding:
        return self.embeddings.word

    def position_ids(self, input_ids: Tensor) -> Tensor:
        """0, 1, 2, ... along the sequence, whatever the ids are. (B, S) -> (B, S)."""
        return torch.arange(input_ids.shape[1], device=input_ids.device).expand_as(input_ids)

    def embed(self, input_ids: Tensor, token_type_ids: Tensor | None, layout: Layout) -> Tensor:
        """Ids (B, S) -> vectors of the real tokens: (N, D), or (B, S, D) without padding."""
        types = None if token_type_ids is None else layout.pack(token_type_ids)
        return self.embeddings(layout.pack(input_ids), layout.pack(self.position_ids(input_ids)), types)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        return_attention: bool = False,
        return_hidden: bool = False,
        *,
        wanted: Tensor | None = None,
    ) -> Output:
        """Read a batch of texts.

        input_ids: (B, S) token ids. attention_mask: (B, S), 1 for a real token and 0 for padding; by default all
        are real. token_type_ids: (B, S), which sentence a token belongs to; by default the first one. A model
        without token types ignores them. return_attention, return_hidden: also return what every layer produced;
        attention is then computed by the written-out formula, with the same result.
        wanted: (B, S) booleans, the tokens whose last hidden state is needed, by default all. The others stay 0 and
        cost nothing in the last block. There is no `pooled` unless every text's first token is wanted. While a graph
        is recorded, all are computed.

        Raises MinibertError for ids outside the vocabulary, a sequence longer than the position table, or
        shapes that differ.
        """
        self.check_inputs(input_ids, attention_mask, token_type_ids, wanted)
        wanted = wanted if wanted is None or known(wanted) else None
        layout = Layout(attention_mask, self.skip_padding)
        x = self.embed(input_ids, token_type_ids, layout)
        output = self.encoder(x, layout, return_attention, return_hidden, wanted)
        if self.pooler is not None and (wanted is None or wanted[:, 0].all()):
            output.pooled = self.pooler(output.last_hidden_state)
        return output

    def check_inputs(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        wanted: Tensor | None = None,
        **extra: Any,
    ) -> None:
        super().check_inputs(input_ids, attention_mask, token_type_ids, wanted, **extra)
        if token_type_ids is not None and self.config.type_vocab_size:
            check_ids(token_type_ids, self.config.type_vocab_size, "token_type_ids")

    def summary(self, output: Output, input_ids: Tensor, attention_mask: Tensor | None) -> Tensor:
        """The pooler's vector, or the first token's in a family whose heads do not use a pooler."""
        if self.summary_is_pooled and output.pooled is not None:
            return output.pooled
        return super().summary(output, input_ids, attention_mask)

    def keep_summary(self, needed: bool) -> None:
        """Drop a pooler that the head does not use, and make a fresh one if the head needs one and there is none."""
        if not (needed and self.summary_is_pooled):
            self.pooler = None
        elif self.pooler is None:
            self.pooler = Pooler(self.config.hidden_size)
            initialise(self.pooler, self.config.initializer_range)
