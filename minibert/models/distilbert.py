"""DistilBERT: BERT with half the blocks, no token types and no pooler.

What makes it good is how it is trained: see training/distillation.py.

Source: Sanh, Debut, Chaumond & Wolf 2019, "DistilBERT, a distilled version of BERT: smaller, faster, cheaper and
lighter", section 3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from minibert.encoder import Backbone, Encoder, EncoderBlock, EncoderConfig
from minibert.layers import Embeddings


@dataclass(frozen=True, kw_only=True)
class DistilBertConfig(EncoderConfig):
    """DistilBERT's numbers; the defaults are those of distilbert-base-uncased."""

    num_hidden_layers: int = 6
    type_vocab_size: int = 0
    classifier_dropout: float | None = 0.2

    model_type: ClassVar[str] = "distilbert"
    classifier_act: ClassVar[str] = "relu"  # without a pooler, its classifier brings a dense layer of its own
    span_dropout: ClassVar[float] = 0.1

    @property
    def token_dropout(self) -> float:
        return self.hidden_dropout_prob  # classifier_dropout is for whole texts only


class DistilBert(Backbone):
    def __init__(self, config: DistilBertConfig):
        super().__init__(
            config,
            embeddings=Embeddings.from_config(config),
            encoder=Encoder(
                [
                    # The released code drops nothing between attention and its residual sum.
                    EncoderBlock.from_config(config, attention_output_dropout=0.0)
                    for _ in range(config.num_hidden_layers)
                ]
            ),
            pooler=None,
        )


PRESETS = {
    "distilbert-base-uncased": DistilBertConfig(),
    "tiny-distilbert": DistilBertConfig(
        hidden_size=128, num_hidden_layers=2, num_attention_heads=4, intermediate_size=512
    ),
}
