"""DistilBERT: BERT with half the blocks, no token types and no pooler.

What makes it good is how it is trained: see training/distillation.py.

Source: Sanh, Debut, Chaumond & Wolf 2019, "DistilBERT, a distilled version of BERT: smaller, faster, cheaper and
lighter", section 3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from minibert.config import EncoderConfig, fraction
from minibert.encoder import Backbone, Encoder, EncoderBlock
from minibert.layers import Embeddings
from minibert.models.family import Family


@dataclass(frozen=True, kw_only=True)
class DistilBertConfig(EncoderConfig):
    """DistilBERT's numbers; the defaults are those of distilbert-base-uncased."""

    num_hidden_layers: int = 6
    type_vocab_size: int = 0
    classifier_dropout: float | None = 0.2
    qa_dropout: float = fraction(0.1)

    model_type: ClassVar[str] = "distilbert"
    classifier_act: ClassVar[str] = "relu"  # without a pooler, its classifier has a dense layer of its own

    @property
    def span_dropout(self) -> float:
        return self.qa_dropout

    @property
    def token_dropout(self) -> float:
        return self.hidden_dropout_prob  # classifier_dropout is for whole texts only


class DistilBert(Backbone):
    summary_is_pooled = False  # its classifier reads the first token

    def __init__(self, config: DistilBertConfig):
        super().__init__(
            config,
            embeddings=Embeddings.from_config(config),
            encoder=Encoder(
                [
                    # The released code has no dropout between attention and its residual sum.
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

# Our name -> the name in a checkpoint.
KEYS = {
    "embeddings.word": "distilbert.embeddings.word_embeddings",
    "embeddings.position": "distilbert.embeddings.position_embeddings",
    "embeddings.norm": "distilbert.embeddings.LayerNorm",
    "encoder.blocks.{}.attention.query": "distilbert.transformer.layer.{}.attention.q_lin",
    "encoder.blocks.{}.attention.key": "distilbert.transformer.layer.{}.attention.k_lin",
    "encoder.blocks.{}.attention.value": "distilbert.transformer.layer.{}.attention.v_lin",
    "encoder.blocks.{}.attention.output": "distilbert.transformer.layer.{}.attention.out_lin",
    "encoder.blocks.{}.attention_norm": "distilbert.transformer.layer.{}.sa_layer_norm",
    "encoder.blocks.{}.feed_forward.expand": "distilbert.transformer.layer.{}.ffn.lin1",
    "encoder.blocks.{}.feed_forward.contract": "distilbert.transformer.layer.{}.ffn.lin2",
    "encoder.blocks.{}.norm": "distilbert.transformer.layer.{}.output_layer_norm",
    "lm.dense": "vocab_transform",
    "lm.norm": "vocab_layer_norm",
    "lm": "vocab_projector",
    "dense": "pre_classifier",
    "classifier": "classifier",
    "span": "qa_outputs",
}

# A file may hold the tied word table a second time.
COPIES = {"vocab_projector.weight": "distilbert.embeddings.word_embeddings.weight"}

# Our config field -> theirs, where the names differ; None: their config has no such field.
FIELD_NAMES = {
    "hidden_size": "dim",
    "num_hidden_layers": "n_layers",
    "num_attention_heads": "n_heads",
    "intermediate_size": "hidden_dim",
    "hidden_act": "activation",
    "hidden_dropout_prob": "dropout",
    "attention_probs_dropout_prob": "attention_dropout",
    "classifier_dropout": "seq_classif_dropout",
    "type_vocab_size": None,
    "layer_norm_eps": None,
}

FAMILY = Family(
    config=DistilBertConfig,
    model=DistilBert,
    presets=PRESETS,
    keys=KEYS,
    stem="DistilBert",
    prefix="distilbert.",
    copies=COPIES,
    field_names=FIELD_NAMES,
    aliases={"hidden_size": "dim", "num_attention_heads": "n_heads", "num_hidden_layers": "n_layers"},
    constants={"sinusoidal_pos_embds": False},
    effectless=("tie_weights_",),
    student_of="bert",
)
