"""BERT: token, position and segment embeddings, L encoder blocks, and a pooler over [CLS].

Source: Devlin, Chang, Lee & Toutanova 2019, "BERT: Pre-training of Deep Bidirectional Transformers for Language
Understanding" (NAACL), section 3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from minibert.config import EncoderConfig
from minibert.encoder import Backbone, Encoder, EncoderBlock
from minibert.layers import Embeddings, Pooler
from minibert.models.family import Family


@dataclass(frozen=True, kw_only=True)
class BertConfig(EncoderConfig):
    """BERT's numbers; the defaults are those of bert-base-uncased."""

    model_type: ClassVar[str] = "bert"
    pair_task: ClassVar[str] = "NSP"


class Bert(Backbone):
    heads = (*Backbone.heads, "pretraining")

    def __init__(self, config: BertConfig):
        super().__init__(
            config,
            embeddings=Embeddings.from_config(config),
            encoder=Encoder([EncoderBlock.from_config(config) for _ in range(config.num_hidden_layers)]),
            pooler=Pooler(config.hidden_size),
        )


LARGE: dict[str, Any] = {
    "hidden_size": 1024,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "intermediate_size": 4096,
}
CASED: dict[str, Any] = {"vocab_size": 28996}

PRESETS = {
    "bert-base-uncased": BertConfig(),
    "bert-base-cased": BertConfig(**CASED),
    "bert-large-uncased": BertConfig(**LARGE),
    "bert-large-cased": BertConfig(**LARGE, **CASED),
    # The shape of the real weights that this package fetches (all-MiniLM-L6-v2).
    "minilm-l6": BertConfig(hidden_size=384, num_hidden_layers=6, intermediate_size=1536),
    # Not published: small enough to train while you watch.
    "tiny-bert": BertConfig(hidden_size=128, num_hidden_layers=4, num_attention_heads=4, intermediate_size=512),
}

# Our name -> the name in a checkpoint.
KEYS = {
    "embeddings.word": "bert.embeddings.word_embeddings",
    "embeddings.position": "bert.embeddings.position_embeddings",
    "embeddings.token_type": "bert.embeddings.token_type_embeddings",
    "embeddings.norm": "bert.embeddings.LayerNorm",
    "encoder.blocks.{}.attention.query": "bert.encoder.layer.{}.attention.self.query",
    "encoder.blocks.{}.attention.key": "bert.encoder.layer.{}.attention.self.key",
    "encoder.blocks.{}.attention.value": "bert.encoder.layer.{}.attention.self.value",
    "encoder.blocks.{}.attention.output": "bert.encoder.layer.{}.attention.output.dense",
    "encoder.blocks.{}.attention_norm": "bert.encoder.layer.{}.attention.output.LayerNorm",
    "encoder.blocks.{}.feed_forward.expand": "bert.encoder.layer.{}.intermediate.dense",
    "encoder.blocks.{}.feed_forward.contract": "bert.encoder.layer.{}.output.dense",
    "encoder.blocks.{}.norm": "bert.encoder.layer.{}.output.LayerNorm",
    "pooler.dense": "bert.pooler.dense",
    "lm.dense": "cls.predictions.transform.dense",
    "lm.norm": "cls.predictions.transform.LayerNorm",
    "lm": "cls.predictions",
    "pair": "cls.seq_relationship",
    "classifier": "classifier",
    "span": "qa_outputs",
}

# A file may hold the tied word table a second time.
COPIES = {
    "cls.predictions.decoder.weight": "bert.embeddings.word_embeddings.weight",
    "cls.predictions.decoder.bias": "cls.predictions.bias",
}

FAMILY = Family(
    config=BertConfig,
    model=Bert,
    presets=PRESETS,
    keys=KEYS,
    stem="Bert",
    prefix="bert.",
    copies=COPIES,
    constants={"position_embedding_type": "absolute", "is_decoder": False, "add_cross_attention": False},
)
