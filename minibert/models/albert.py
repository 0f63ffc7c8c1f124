"""ALBERT: BERT with factorised embeddings (V x E and E x H instead of V x H) and one block used L times.

Source: Lan, Chen, Goodman, Gimpel, Sharma & Soricut 2020, "ALBERT: A Lite BERT for Self-supervised Learning of
Language Representations" (ICLR), section 3.1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor, nn

from minibert.config import EncoderConfig, integer
from minibert.encoder import Backbone, Encoder, EncoderBlock
from minibert.errors import MinibertError
from minibert.layers import Embeddings, Pooler
from minibert.models.family import Family


@dataclass(frozen=True, kw_only=True)
class AlbertConfig(EncoderConfig):
    """ALBERT's numbers; the defaults are those of albert-base-v2.

    Version 2 was trained without dropout, except before a classifier: the layers are there, but their probability
    is 0 (Lan et al. 2020, section 4.8).
    """

    vocab_size: int = 30000
    embedding_size: int = integer(128)  # E
    num_hidden_groups: int = integer(1)  # blocks that exist; each serves L / num_hidden_groups steps in a row
    hidden_act: str = "gelu_new"
    hidden_dropout_prob: float = 0.0
    attention_probs_dropout_prob: float = 0.0
    classifier_dropout: float | None = 0.1

    model_type: ClassVar[str] = "albert"
    pair_task: ClassVar[str] = "SOP"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.num_hidden_groups > self.num_hidden_layers:
            raise MinibertError(
                f"num_hidden_groups is {self.num_hidden_groups}; it cannot exceed the {self.num_hidden_layers} layers."
            )

    @property
    def pair_dropout(self) -> float:
        return self.head_dropout

    @property
    def output_embedding_size(self) -> int:
        return self.embedding_size


class FactorisedEmbeddings(Embeddings):
    """Embeddings of width E, norm included, then one linear layer to the width H of the blocks.

    The linear layer is there even where E = H. Source: Lan et al. 2020, section 3.1.
    """

    def __init__(self, config: AlbertConfig):
        super().__init__(
            config.vocab_size,
            config.max_position_embeddings,
            config.type_vocab_size,
            config.embedding_size,
            config.layer_norm_eps,
            config.hidden_dropout_prob,
        )
        self.projection = nn.Linear(config.embedding_size, config.hidden_size)

    def forward(self, input_ids: Tensor, position_ids: Tensor, token_type_ids: Tensor | None = None) -> Tensor:
        """Three tensors of ids, all of the same shape (...) -> (..., D)."""
        return self.projection(super().forward(input_ids, position_ids, token_type_ids))


class Albert(Backbone):
    heads = (*Backbone.heads, "pretraining")

    def __init__(self, config: AlbertConfig):
        steps, groups = config.num_hidden_layers, config.num_hidden_groups
        super().__init__(
            config,
            embeddings=FactorisedEmbeddings(config),
            encoder=Encoder(
                [EncoderBlock.from_config(config) for _ in range(groups)],
                order=[step * groups // steps for step in range(steps)],
            ),
            pooler=Pooler(config.hidden_size),
        )


LARGE: dict[str, Any] = {
    "hidden_size": 1024,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "intermediate_size": 4096,
}
# The paper says D/64 heads, which would be 32; the released xlarge has 16 heads of size 128.
XLARGE: dict[str, Any] = {
    "hidden_size": 2048,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "intermediate_size": 8192,
}
XXLARGE: dict[str, Any] = {
    "hidden_size": 4096,
    "num_hidden_layers": 12,
    "num_attention_heads": 64,
    "intermediate_size": 16384,
}

PRESETS = {
    "albert-base-v2": AlbertConfig(),
    "albert-large-v2": AlbertConfig(**LARGE),
    "albert-xlarge-v2": AlbertConfig(**XLARGE),
    "albert-xxlarge-v2": AlbertConfig(**XXLARGE),
    "tiny-albert": AlbertConfig(
        vocab_size=30522,  # BERT's, so that the fetched tokenizer fits
        embedding_size=64,
        hidden_size=128,
        num_hidden_layers=4,
        num_attention_heads=4,
        intermediate_size=512,
    ),
}

# Our name -> the name in a checkpoint.
KEYS = {
    "embeddings.word": "albert.embeddings.word_embeddings",
    "embeddings.position": "albert.embeddings.position_embeddings",
    "embeddings.token_type": "albert.embeddings.token_type_embeddings",
    "embeddings.norm": "albert.embeddings.LayerNorm",
    "embeddings.projection": "albert.encoder.embedding_hidden_mapping_in",
    "encoder.blocks.{}.attention.query": "albert.encoder.albert_layer_groups.{}.albert_layers.0.attention.query",
    "encoder.blocks.{}.attention.key": "albert.encoder.albert_layer_groups.{}.albert_layers.0.attention.key",
    "encoder.blocks.{}.attention.value": "albert.encoder.albert_layer_groups.{}.albert_layers.0.attention.value",
    "encoder.blocks.{}.attention.output": "albert.encoder.albert_layer_groups.{}.albert_layers.0.attention.dense",
    "encoder.blocks.{}.attention_norm": "albert.encoder.albert_layer_groups.{}.albert_layers.0.attention.LayerNorm",
    "encoder.blocks.{}.feed_forward.expand": "albert.encoder.albert_layer_groups.{}.albert_layers.0.ffn",
    "encoder.blocks.{}.feed_forward.contract": "albert.encoder.albert_layer_groups.{}.albert_layers.0.ffn_output",
    "encoder.blocks.{}.norm": "albert.encoder.albert_layer_groups.{}.albert_layers.0.full_layer_layer_norm",
    "pooler.dense": "albert.pooler",
    "lm.dense": "predictions.dense",
    "lm.norm": "predictions.LayerNorm",
    "lm": "predictions",
    "pair": "sop_classifier.classifier",
    "classifier": "classifier",
    "span": "qa_outputs",
}

# A file may hold the tied word table a second time.
COPIES = {
    "predictions.decoder.weight": "albert.embeddings.word_embeddings.weight",
    "predictions.decoder.bias": "predictions.bias",
}

# Our config field -> theirs, where the names differ; None: their config has no such field.
FIELD_NAMES = {"classifier_dropout": "classifier_dropout_prob"}

FAMILY = Family(
    config=AlbertConfig,
    model=Albert,
    presets=PRESETS,
    keys=KEYS,
    stem="Albert",
    prefix="albert.",
    copies=COPIES,
    field_names=FIELD_NAMES,
    constants={"position_embedding_type": "absolute", "inner_group_num": 1},
    effectless=("down_scale_factor", "gap_size", "net_structure_type", "num_memory_blocks"),
    # The readers of such a config take the numbers of albert-xxlarge where it leaves them out.
    absent={name: XXLARGE[name] for name in ("hidden_size", "num_attention_heads", "intermediate_size")},
)
