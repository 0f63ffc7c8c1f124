"""BERT: token, position and segment embeddings, L encoder blocks, and a pooler over [CLS].

Source: Devlin, Chang, Lee & Toutanova 2019, "BERT: Pre-training of Deep Bidirectional Transformers for Language
Understanding" (NAACL), section 3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from minibert.encoder import Backbone, Encoder, EncoderBlock, EncoderConfig
from minibert.layers import Embeddings, Pooler


@dataclass(frozen=True, kw_only=True)
class BertConfig(EncoderConfig):
    """BERT's numbers; the defaults are those of bert-base-uncased."""

    model_type: ClassVar[str] = "bert"
    pair_task: ClassVar[str] = "NSP"


class Bert(Backbone):
    def __init__(self, config: BertConfig):
        super().__init__(
            config,
            embeddings=Embeddings.from_config(config),
            encoder=Encoder([EncoderBlock.from_config(config) for _ in range(config.num_hidden_layers)]),
            pooler=Pooler(config.hidden_size),
        )


LARGE = {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096}
CASED = {"vocab_size": 28996}

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
