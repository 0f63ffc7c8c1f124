"""The encoder block, the stack of blocks, and the frame that BERT, RoBERTa, DistilBERT and ALBERT share.

One block serves them all. What differs between those models stands in their own files and reaches this one as
numbers or as parts; nothing here asks which model it is in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import ClassVar

import torch
from torch import Tensor, nn

from minibert.attention import Layout, MultiHeadAttention
from minibert.errors import MinibertError
from minibert.layers import ACTIVATIONS, FeedForward, check_ids


@dataclass(frozen=True, kw_only=True)
class EncoderConfig:
    """The numbers that make an encoder; the defaults are BERT-base's. Sizes are counted in features or rows."""

    vocab_size: int = 30522  # V
    hidden_size: int = 768  # D
    num_hidden_layers: int = 12  # L
    num_attention_heads: int = 12  # H; the head size is K = D / H
    intermediate_size: int = 3072  # F
    hidden_act: str = "gelu"
    max_position_embeddings: int = 512
    type_vocab_size: int = 2  # 0: no token types
    layer_norm_eps: float = 1e-12
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.1
    classifier_dropout: float | None = None  # None: the same as hidden_dropout_prob
    initializer_range: float = 0.02  # standard deviation of fresh weights
    pad_token_id: int = 0
    labels: tuple[str, ...] = ("LABEL_0", "LABEL_1")  # the names of the classes, for classifying heads

    # What a family's heads need to know (see heads.py); not part of a checkpoint's config.
    model_type: ClassVar[str]
    pair_task: ClassVar[str | None] = None  # the sentence-pair task of its pre-training: "NSP", "SOP" or none
    pair_dropout: ClassVar[float] = 0.0  # before the sentence-pair classifier
    classifier_act: ClassVar[str | None] = None  # activation of a dense layer inside the sequence classifier
    span_dropout: ClassVar[float] = 0.0  # before the question-answering layer

    def __post_init__(self) -> None:
        for f in fields(self):
            value = getattr(self, f.name)
            if f.type == "int":
                least = 0 if f.name in ("type_vocab_size", "pad_token_id") else 1
                if type(value) is not int or value < least:
                    raise MinibertError(f"{f.name} is {value!r}; it must be a whole number, at least {least}.")
            is_fraction = f.type == "float" or (f.type == "float | None" and value is not None)
            if is_fraction and not (isinstance(value, (int, float)) and 0 <= value <= 1):
                raise MinibertError(f"{f.name} is {value!r}; it must be a number from 0 to 1.")
        if self.hidden_size % self.num_attention_heads:
            raise MinibertError(
                f"hidden_size {self.hidden_size} does not divide into {self.num_attention_heads} heads: "
                "choose a multiple of num_attention_heads."
            )
        if not self.labels or not isinstance(self.labels, tuple) or not all(isinstance(x, str) for x in self.labels):
            raise MinibertError(f'labels is {self.labels!r}; it must name the classes, as in ("negative", "positive").')
        if self.hidden_act not in ACTIVATIONS:
            raise MinibertError(f"unknown hidden_act {self.hidden_act!r}; known: {', '.join(sorted(ACTIVATIONS))}.")

    @property
    def num_labels(self) -> int:
        return len(self.labels)

    @property
    def head_dropout(self) -> float:
        """Dropout before a classifier."""
        return self.hidden_dropout_prob if self.classifier_dropout is None else self.classifier_dropout

    @property
    def token_dropout(self) -> float:
        """Dropout before a classifier of tokens."""
        return self.head_dropout

    @property
    def output_embedding_size(self) -> int:
        """Width of the vectors that are compared with the word embeddings to score the vocabulary."""
        return self.hidden_size

    @property
    def max_length(self) -> int:
        """The longest sequence, in tokens."""
        return self.max_position_embeddings


@dataclass
class Output:
    """What a model returns. Every field is reached by its name; there is nothing to unpack by position.

    last_hidden_state: (B, S, D); padded positions carry no meaning, and are zeros where the padding was skipped. So
    are positions that a head had no need of (see WithHead.forward).
    pooled: (B, D), from the first position, which must be a real token; None for a model without pooler.
    hidden_states: L + 1 tensors (B, S, D), the embeddings first. attentions: L tensors (B, H, S, S).
    logits, pair_logits, loss: from a head; shapes stand there.
    """

    last_hidden_state: Tensor
    pooled: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None
    logits: Tensor | None = None
    pair_logits: Tensor | None = None
    loss: Tensor | None = None


class EncoderBlock(nn.Module):
    """Attention, then feed-forward; after each, the input is added back and the sum normalised ("post-norm").

    attention_output_dropout: on what attention returns, by default like `dropout` (DistilBERT: 0).

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
    ):
        super().__init__()
        self.attention = MultiHeadAttention(hidden_size, num_heads, attention_dropout)
        self.attention_output_dropout = nn.Dropout(
            dropout if attention_output_dropout is None else attention_output_dropout
        )
        self.attention_norm = nn.LayerNorm(hidden_size, eps=eps)
        self.feed_forward = FeedForward(hidden_size, intermediate_size, activation)
        self.dropout = nn.Dropout(dropout)
        self.norm = nn.LayerNorm(hidden_size, eps=eps)

    @classmethod
    def from_config(cls, config: EncoderConfig, **changes: float) -> EncoderBlock:
        """A block with the config's numbers; `changes` are constructor arguments that differ."""
        numbers = {
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
        self, x: Tensor, layout: Layout, return_weights: bool = False, reads: Layout | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """x: (B, S, D), or (N, D) when the layout packs. reads: the tokens to compute, by default all.

        Returns x, of the same shape or (M, D) for the M tokens of `reads`, and the weights (B, H, S, S) or None.
        """
        queries, query_layout = (x, layout) if reads is None else (reads.pack(layout.unpack(x)), reads)
        attended, weights = self.attention(
            queries, key=x, layout=query_layout, key_layout=layout, return_weights=return_weights
        )
        x = self.attention_norm(queries + self.attention_output_dropout(attended))
        x = self.norm(x + self.dropout(self.feed_forward(x)))
        return x, weights


class Encoder(nn.Module):
    """L steps through a list of blocks.

    blocks: the blocks that exist. order: which of them runs at each of the L steps, by default each once, in
    turn. ALBERT has one block and the order 0, 0, ..., 0.
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
        positions: Tensor | None = None,
    ) -> Output:
        """x: (B, S, D), or (N, D) when the layout packs. The output is unpacked: (B, S, D).

        positions: (B, S) booleans, the tokens whose last hidden state somebody will read, by default all. The
        last step computes them alone, from all the others' keys and values, and leaves zeros elsewhere.
        """
        reads = None if positions is None else Layout.only(positions)
        hidden_states, attentions = [], []
        for step, block in enumerate(self.order, start=1):
            if return_hidden:
                hidden_states.append(layout.unpack(x))
            if step == len(self.order) and reads is not None:
                x, weights = self.blocks[block](x, layout, return_attention, reads)
                layout = reads
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


class Backbone(nn.Module):
    """Embed, encode, pool: the forward pass of BERT, RoBERTa, DistilBERT and ALBERT alike.

    A model is this frame with its own parts. pooler: None for a model (or a use) without one.
    """

    def __init__(self, config: EncoderConfig, embeddings: nn.Module, encoder: Encoder, pooler: nn.Module | None):
        super().__init__()
        self.config = config
        self.embeddings = embeddings
        self.encoder = encoder
        self.pooler = pooler
        self.skip_padding = True  # False: run on padded positions too, the plain way (for comparisons)

    def position_ids(self, input_ids: Tensor) -> Tensor:
        """0, 1, 2, ... along the sequence, whatever the ids. (B, S) -> (B, S)."""
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
        positions: Tensor | None = None,
    ) -> Output:
        """Turn ids into vectors.

        input_ids: (B, S). attention_mask: (B, S), 1 real and 0 padding, by default all real. token_type_ids:
        (B, S), by default all 0; a model without token types ignores them. positions: (B, S) booleans, the
        tokens whose last hidden state will be read, by default all; the others' stay 0 and cost nothing in the
        last block, and there is no `pooled` unless the first tokens are among them.

        Raises MinibertError for ids outside the vocabulary, a sequence longer than the position table, or
        shapes that differ.
        """
        self.check_inputs(input_ids, attention_mask, token_type_ids, positions)
        layout = Layout(attention_mask, self.skip_padding)
        x = self.embed(input_ids, token_type_ids, layout)
        output = self.encoder(x, layout, return_attention, return_hidden, positions)
        if self.pooler is not None and (positions is None or positions[:, 0].all()):
            output.pooled = self.pooler(output.last_hidden_state)
        return output

    def check_inputs(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None,
        token_type_ids: Tensor | None,
        positions: Tensor | None = None,
    ) -> None:
        others = {"attention_mask": attention_mask, "token_type_ids": token_type_ids, "positions": positions}
        others = {name: tensor for name, tensor in others.items() if tensor is not None}
        for name, tensor in {"input_ids": input_ids, **others}.items():
            if not isinstance(tensor, Tensor):
                raise MinibertError(f"{name} is a {type(tensor).__name__}, not a tensor: use torch.tensor({name}).")
        if input_ids.dim() != 2:
            raise MinibertError(
                f"input_ids must have the shape (B, S), not {tuple(input_ids.shape)}: for a single text use ids[None]."
            )
        if input_ids.shape[1] == 0:
            raise MinibertError("input_ids has no tokens (S = 0): even an empty text has [CLS] and [SEP].")
        if input_ids.shape[1] > self.config.max_length:
            raise MinibertError(
                f"a sequence of {input_ids.shape[1]} tokens is longer than the {self.config.max_length} positions "
                f"of this model: cut it, e.g. with tok(texts, max_length={self.config.max_length})."
            )
        for name, other in others.items():
            if other.shape != input_ids.shape:
                raise MinibertError(
                    f"{name} has shape {tuple(other.shape)} but input_ids {tuple(input_ids.shape)}: "
                    "both must be (B, S)."
                )
        on_cpu = attention_mask is not None and attention_mask.device.type == "cpu"  # elsewhere it would have to wait
        if on_cpu and ((attention_mask != 0) & (attention_mask != 1)).any():
            raise MinibertError("attention_mask must hold 1 (a real token) and 0 (padding) and nothing else.")
        check_ids(input_ids, self.config.vocab_size, "input_ids")
        if token_type_ids is not None and self.config.type_vocab_size:
            check_ids(token_type_ids, self.config.type_vocab_size, "token_type_ids")


def initialise(module: nn.Module, std: float) -> None:
    """Fresh weights, in place: normal with deviation `std`, cut off at two deviations; biases 0, norms 1 and 0.

    Source: Devlin et al. 2019, released code (`create_initializer`); the paper does not say.
    """
    for part in module.modules():
        if isinstance(part, (nn.Linear, nn.Embedding)):
            nn.init.trunc_normal_(part.weight, std=std, a=-2 * std, b=2 * std)
        elif isinstance(part, nn.LayerNorm):
            nn.init.ones_(part.weight)
    for name, parameter in module.named_parameters():
        if name.rpartition(".")[2] == "bias":
            nn.init.zeros_(parameter)
