"""MobileBERT: 24 narrow blocks between bottlenecks, without layer norm, taught layer by layer by a wider twin.

Every block takes its input (512 features) down to a narrow body (128), does its work there, and widens the result
again. Four feed-forward parts in a row keep the balance with attention that BERT has. Norm and GELU are replaced by a
scale and shift and by ReLU, because those are fast on a phone. How it is taught: see training/transfer.py. Its teacher,
IB-BERT, is the same with a body that is wider than the input (1024, an "inverted bottleneck").

Two of its parts are its own among the models here. Its word embeddings are a quarter as wide as its hidden states, and
a token reads its two neighbours' embeddings as well as its own. So attention is not the only place where tokens meet:
see `MobileBertEmbeddings` for what this means for padding.

Source: Sun, Yu, Song, Liu, Yang & Zhou 2020, "MobileBERT: a Compact Task-Agnostic BERT for Resource-Limited Devices"
(ACL), section 3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from minibert.attention import Layout, MultiHeadAttention
from minibert.config import EncoderConfig, choice, flag, integer
from minibert.encoder import Backbone, Encoder
from minibert.errors import MinibertError
from minibert.layers import Embeddings, FeedForward, MaskedLMHead, Pooler, Table
from minibert.models.family import Family


@dataclass(frozen=True, kw_only=True)
class MobileBertConfig(EncoderConfig):
    """MobileBERT's numbers. The defaults are those of mobilebert-uncased, but for `classifier_activation`, which a
    checkpoint that does not name it has.

    layer_norm_eps: of every true layer norm. In a model without NoNorm the reference library takes 1e-5 for two of
    them (embeddings, last feed-forward part), whatever its config says; the released code takes 1e-12 for all.
    """

    hidden_size: int = 512  # D, between the blocks
    num_hidden_layers: int = 24
    num_attention_heads: int = 4
    intermediate_size: int = 512
    hidden_act: str = "relu"
    hidden_dropout_prob: float = 0.0
    embedding_size: int = integer(128)  # E
    intra_bottleneck_size: int = integer(128)  # width of a block's body
    num_feedforward_networks: int = integer(4)  # feed-forward parts of a block, one after the other
    normalization_type: str = choice("no_norm", ("no_norm", "layer_norm"))
    trigram_input: bool = flag(True)  # False: a token reads its own embedding only
    use_bottleneck: bool = flag(True)  # False: the body is as wide as its input, and nothing is narrowed or widened
    # What attention reads, in a block with bottlenecks. The first: queries and keys a bottleneck of their own, values
    # the block's input. The second: all three the bottleneck that the body reads. Neither: all three the block's input.
    key_query_shared_bottleneck: bool = flag(True)
    use_bottleneck_attention: bool = flag(False)
    classifier_activation: bool = flag(True)  # False: the pooled vector is the first token as it is

    model_type: ClassVar[str] = "mobilebert"
    pair_task: ClassVar[str] = "NSP"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.true_hidden_size % self.num_attention_heads:
            raise MinibertError(
                f"intra_bottleneck_size {self.intra_bottleneck_size} does not divide into {self.num_attention_heads} "
                "heads: choose a multiple of num_attention_heads."
            )
        if self.use_bottleneck and self.use_bottleneck_attention and self.key_query_shared_bottleneck:
            raise MinibertError(
                "use_bottleneck_attention and key_query_shared_bottleneck are both true, but attention can read only "
                "one of the two bottlenecks: set one of them to false."
            )
        if self.embedding_size > self.hidden_size:
            raise MinibertError(
                f"embedding_size is {self.embedding_size}; it must not exceed hidden_size {self.hidden_size}, because "
                "the word embeddings are a part of the output matrix."
            )
        if self.embedding_size == self.hidden_size and not self.trigram_input:
            raise MinibertError(
                f"embedding_size and hidden_size are both {self.hidden_size} without trigram_input: the projection "
                "between them would be left out, which is not supported; choose a smaller embedding_size."
            )

    @property
    def true_hidden_size(self) -> int:
        """Width of a block's body."""
        return self.intra_bottleneck_size if self.use_bottleneck else self.hidden_size


# ---------------------------------------------------------------------------------------------------- parts


class NoNorm(nn.Module):
    """What is left of layer norm without the normalising: a learned scale and shift, x · w + b. (..., D) -> (..., D).

    No mean and variance have to be computed before the first number can come out, which is where layer norm spends its
    time on a phone. Nothing keeps the numbers small then: in the published weights they reach 1e7, which float16 cannot
    hold. Source: Sun et al. 2020, section 3.3, "Remove layer normalization".
    """

    def __init__(self, width: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weight + self.bias


def make_norm(config: MobileBertConfig, width: int) -> nn.Module:
    """The norm that the config names."""
    return NoNorm(width) if config.normalization_type == "no_norm" else nn.LayerNorm(width, eps=config.layer_norm_eps)


class FirstToken(nn.Module):
    """A pooler without a layer: the first token as it is. (B, S, D) -> (B, D)."""

    def forward(self, hidden: Tensor) -> Tensor:
        return hidden[:, 0]


def with_neighbours(x: Tensor) -> Tensor:
    """Each token's vector between those of its neighbours: next, own, previous; zeros beyond the ends of the sequence.

    (B, S, E) -> (B, S, 3E). A linear layer on this is a convolution over three tokens. Padding is a neighbour like
    any other. Source: Sun et al. 2020, section 3.4 ("1D convolution with a kernel size of 3"); the order is that of
    the released code.
    """
    padded = F.pad(x, (0, 0, 1, 1))
    return torch.cat([padded[:, 2:], x, padded[:, :-2]], dim=-1)


class MobileBertEmbeddings(Embeddings):
    """Word embeddings of width E, those of three neighbouring tokens side by side, then a linear layer to D; positions
    and token types of width D; norm.

    The last real token's right neighbour is padding, if there is any, and what is read there is the embedding of the
    padding's own id, not zero: so the published weights were trained. Hence a text alone and the same text in a padded
    batch do not give the same numbers (they do in the BERT encoders), and the ids of the padding that touches a text
    matter; all other padding changes nothing.
    """

    def __init__(self, config: MobileBertConfig):
        super().__init__(
            config.vocab_size,
            config.max_position_embeddings,
            config.type_vocab_size,
            config.hidden_size,
            config.layer_norm_eps,
            config.hidden_dropout_prob,
        )
        self.trigram = config.trigram_input
        self.word = Table(config.vocab_size, config.embedding_size)
        self.norm = make_norm(config, config.hidden_size)  # type: ignore[assignment]
        self.projection = nn.Linear(config.embedding_size * (3 if self.trigram else 1), config.hidden_size)

    def forward(
        self,
        input_ids: Tensor,
        position_ids: Tensor,
        token_type_ids: Tensor | None = None,
        layout: Layout | None = None,
    ) -> Tensor:
        """Three tensors of ids (B, S), padding included, because neighbours are looked up before the padding is left
        out -> (N, D) where the layout packs, else (B, S, D)."""
        layout = Layout() if layout is None else layout
        words = self.word(input_ids)
        words = layout.pack(with_neighbours(words) if self.trigram else words)
        x = self.projection(words) + self.position(layout.pack(position_ids))
        if self.token_type is not None:
            types = torch.zeros_like(input_ids) if token_type_ids is None else token_type_ids
            x = x + self.token_type(layout.pack(types))
        return self.dropout(self.norm(x))


class Bottleneck(nn.Module):
    """One linear layer to the width of a block's body, and a norm. (..., D) -> (..., body)."""

    def __init__(self, config: MobileBertConfig):
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.intra_bottleneck_size)
        self.norm = make_norm(config, config.intra_bottleneck_size)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.dense(x))


class FeedForwardStep(nn.Module):
    """A feed-forward part with its residual sum and norm. (..., body) -> (..., body)."""

    def __init__(self, config: MobileBertConfig, dropout: float = 0.0):
        super().__init__()
        self.feed_forward = FeedForward(config.true_hidden_size, config.intermediate_size, config.hidden_act)
        self.dropout = nn.Dropout(dropout)
        self.norm = make_norm(config, config.true_hidden_size)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x + self.dropout(self.feed_forward(x)))


class MobileBertBlock(nn.Module):
    """Narrow the input, attend, run several feed-forward parts, widen again, and add the input back.

    Dropout is on what is widened, or, in a block without bottlenecks, where BERT has it.
    Source: Sun et al. 2020, sections 3.1 and 3.2, figure 1 (b: the teacher, c); the norms' places are in the released
    code.
    """

    def __init__(self, config: MobileBertConfig):
        super().__init__()
        width, body, narrows = config.hidden_size, config.true_hidden_size, config.use_bottleneck
        self.attends_to_bottleneck = narrows and config.use_bottleneck_attention
        shares = narrows and config.key_query_shared_bottleneck
        inner_dropout = 0.0 if narrows else config.hidden_dropout_prob

        self.bottleneck = Bottleneck(config) if narrows else None
        self.attention_bottleneck = Bottleneck(config) if shares else None  # of queries and keys
        self.attention = MultiHeadAttention(
            body,
            config.num_attention_heads,
            config.attention_probs_dropout_prob,
            value_size=body if self.attends_to_bottleneck else width,
        )
        if narrows and not (shares or self.attends_to_bottleneck):  # IB-BERT: queries and keys read the block's input
            self.attention.query, self.attention.key = nn.Linear(width, body), nn.Linear(width, body)
        self.attention_output_dropout = nn.Dropout(inner_dropout)
        self.attention_norm = make_norm(config, body)
        self.stacked = nn.ModuleList([FeedForwardStep(config) for _ in range(config.num_feedforward_networks - 1)])
        self.last = FeedForwardStep(config, inner_dropout)
        self.widen = nn.Linear(body, width) if narrows else None
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        self.norm = make_norm(config, width) if narrows else None

    def forward(
        self, x: Tensor, layout: Layout, return_weights: bool = False, only: Layout | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """x: (B, S, D), or (N, D) when the layout packs. only: the tokens to compute, by default all.

        Returns x, of the same shape or (M, D) for the M tokens of `only`, and the weights (B, H, S, S) or None.
        """
        body = x if self.bottleneck is None else self.bottleneck(x)
        keys = body if self.attends_to_bottleneck else x
        values = keys
        if self.attention_bottleneck is not None:
            keys = self.attention_bottleneck(x)
        queries, query_layout = keys, layout
        if only is not None:
            queries, body, x = (only.pack(layout.unpack(each)) for each in (keys, body, x))
            query_layout = only
        attended, weights = self.attention(
            queries, key=keys, value=values, layout=query_layout, key_layout=layout, return_weights=return_weights
        )
        body = self.attention_norm(body + self.attention_output_dropout(attended))
        for step in self.stacked:
            body = step(body)
        body = self.last(body)
        if self.widen is None or self.norm is None:
            return body, weights
        return self.norm(x + self.dropout(self.widen(body))), weights


class SplitOutputHead(MaskedLMHead):
    """Score every word of the vocabulary where the word embeddings are narrower (E) than the hidden states (D).

    The output matrix has two parts, side by side: the word embeddings, tied, for the first E features of a token, and
    D - E further rows of the head's own, one number a word, for the rest. This is most of what the head weighs:
    (D - E) · V. The norm is a true layer norm, whatever the blocks have.
    Source: the released code (`extra_output_weights`); the paper does not say.
    """

    def __init__(self, hidden_size: int, embedding_size: int, vocab_size: int, activation: str, eps: float):
        super().__init__(hidden_size, hidden_size, vocab_size, activation, eps)
        self.rest = Table(hidden_size - embedding_size, vocab_size)  # a table, for its quick start; its rows are added

    def forward(self, hidden: Tensor, word_embeddings: Tensor) -> Tensor:
        """hidden: (..., D). word_embeddings: (V, E). Returns logits (..., V)."""
        x = self.norm(self.activation(self.dense(hidden)))
        size = word_embeddings.shape[1]
        return F.linear(x[..., :size], word_embeddings, self.bias) + x[..., size:] @ self.rest.weight


# ---------------------------------------------------------------------------------------------------- model


class MobileBert(Backbone):
    heads = (*Backbone.heads, "pretraining")
    config: MobileBertConfig

    def __init__(self, config: MobileBertConfig):
        super().__init__(
            config,
            embeddings=MobileBertEmbeddings(config),
            encoder=Encoder([MobileBertBlock(config) for _ in range(config.num_hidden_layers)]),
            pooler=Pooler(config.hidden_size) if config.classifier_activation else FirstToken(),
        )

    def embed(self, input_ids: Tensor, token_type_ids: Tensor | None, layout: Layout) -> Tensor:
        """Ids (B, S) -> vectors of the real tokens: (N, D), or (B, S, D) without padding."""
        return self.embeddings(input_ids, self.position_ids(input_ids), token_type_ids, layout)

    def keep_summary(self, needed: bool) -> None:
        if needed and not self.config.classifier_activation:
            self.pooler = FirstToken()
        else:
            super().keep_summary(needed)

    def vocabulary_head(self) -> SplitOutputHead:
        c = self.config
        return SplitOutputHead(c.hidden_size, c.embedding_size, c.vocab_size, c.hidden_act, c.layer_norm_eps)


PRESETS = {
    "mobilebert-uncased": MobileBertConfig(classifier_activation=False),
    # The teacher, whose weights were not published with the student's. Its settings are those of the released code, as
    # is the GELU, which is the approximated one there. The paper's Table 1 agrees, as far as remembered. The reference
    # library cannot run this form: its queries and keys expect the width of the body, not of the input.
    "ib-bert-large": MobileBertConfig(
        intermediate_size=4096,
        hidden_act="gelu_new",
        hidden_dropout_prob=0.1,
        intra_bottleneck_size=1024,
        num_feedforward_networks=1,
        normalization_type="layer_norm",
        key_query_shared_bottleneck=False,
    ),
    "tiny-mobilebert": MobileBertConfig(
        hidden_size=128,
        num_hidden_layers=4,
        intermediate_size=128,
        embedding_size=32,
        intra_bottleneck_size=32,
        classifier_activation=False,
    ),
}

# Our name -> the name in a checkpoint. Its "LayerNorm" is a NoNorm, except in the masked-LM head.
KEYS = {
    "embeddings.word": "mobilebert.embeddings.word_embeddings",
    "embeddings.position": "mobilebert.embeddings.position_embeddings",
    "embeddings.token_type": "mobilebert.embeddings.token_type_embeddings",
    "embeddings.norm": "mobilebert.embeddings.LayerNorm",
    "embeddings.projection": "mobilebert.embeddings.embedding_transformation",
    "encoder.blocks.{}.bottleneck.dense": "mobilebert.encoder.layer.{}.bottleneck.input.dense",
    "encoder.blocks.{}.bottleneck.norm": "mobilebert.encoder.layer.{}.bottleneck.input.LayerNorm",
    "encoder.blocks.{}.attention_bottleneck.dense": "mobilebert.encoder.layer.{}.bottleneck.attention.dense",
    "encoder.blocks.{}.attention_bottleneck.norm": "mobilebert.encoder.layer.{}.bottleneck.attention.LayerNorm",
    "encoder.blocks.{}.attention.query": "mobilebert.encoder.layer.{}.attention.self.query",
    "encoder.blocks.{}.attention.key": "mobilebert.encoder.layer.{}.attention.self.key",
    "encoder.blocks.{}.attention.value": "mobilebert.encoder.layer.{}.attention.self.value",
    "encoder.blocks.{}.attention.output": "mobilebert.encoder.layer.{}.attention.output.dense",
    "encoder.blocks.{}.attention_norm": "mobilebert.encoder.layer.{}.attention.output.LayerNorm",
    "encoder.blocks.{}.stacked.{}.feed_forward.expand": "mobilebert.encoder.layer.{}.ffn.{}.intermediate.dense",
    "encoder.blocks.{}.stacked.{}.feed_forward.contract": "mobilebert.encoder.layer.{}.ffn.{}.output.dense",
    "encoder.blocks.{}.stacked.{}.norm": "mobilebert.encoder.layer.{}.ffn.{}.output.LayerNorm",
    "encoder.blocks.{}.last.feed_forward.expand": "mobilebert.encoder.layer.{}.intermediate.dense",
    "encoder.blocks.{}.last.feed_forward.contract": "mobilebert.encoder.layer.{}.output.dense",
    "encoder.blocks.{}.last.norm": "mobilebert.encoder.layer.{}.output.LayerNorm",
    "encoder.blocks.{}.widen": "mobilebert.encoder.layer.{}.output.bottleneck.dense",
    "encoder.blocks.{}.norm": "mobilebert.encoder.layer.{}.output.bottleneck.LayerNorm",
    "pooler.dense": "mobilebert.pooler.dense",
    "lm.dense": "cls.predictions.transform.dense",
    "lm.norm": "cls.predictions.transform.LayerNorm",
    "lm.rest": "cls.predictions.dense",
    "lm": "cls.predictions",
    "pair": "cls.seq_relationship",
    "classifier": "classifier",
    "span": "qa_outputs",
}

# The tied word table may be in a file a second time.
COPIES = {
    "cls.predictions.decoder.weight": "mobilebert.embeddings.word_embeddings.weight",
    "cls.predictions.decoder.bias": "cls.predictions.bias",
}

FAMILY = Family(
    config=MobileBertConfig,
    model=MobileBert,
    presets=PRESETS,
    keys=KEYS,
    stem="MobileBert",
    prefix="mobilebert.",
    copies=COPIES,
    derived=lambda config: {"true_hidden_size": config.true_hidden_size},
)
