"""RoBERTa: BERT's architecture, trained for longer on more text, with a byte-level vocabulary and no sentence pairs.

Source: Liu, Ott, Goyal, Du, Joshi, Chen, Levy, Lewis, Zettlemoyer & Stoyanov 2019, "RoBERTa: A Robustly Optimized BERT
Pretraining Approach".
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

from torch import Tensor

from minibert.config import EncoderConfig, integer
from minibert.encoder import Backbone, Encoder, EncoderBlock
from minibert.errors import MinibertError
from minibert.layers import Embeddings, Pooler
from minibert.models.family import Family


@dataclass(frozen=True, kw_only=True)
class RobertaConfig(EncoderConfig):
    """RoBERTa's numbers; the defaults are those of roberta-base.

    Positions are counted from pad_token_id + 1 on, so two of the 514 rows of the position table are never used.
    """

    vocab_size: int = 50265
    max_position_embeddings: int = 514
    type_vocab_size: int = 1
    layer_norm_eps: float = 1e-5
    pad_token_id: int = integer(1, least=0)

    model_type: ClassVar[str] = "roberta"
    classifier_act: ClassVar[str] = "tanh"  # its classifier has a dense layer of its own in place of the pooler

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.max_length < 1:
            raise MinibertError(
                f"max_position_embeddings is {self.max_position_embeddings}; it must be more than pad_token_id + 1 = "
                f"{self.pad_token_id + 1}, where the positions begin."
            )

    def for_vocabulary(self, size: int, *, pad: int, cls: int, sep: int) -> RobertaConfig:
        """As for every model; the position table grows or shrinks with pad, so that the longest text stays the same."""
        positions = self.max_length + pad + 1
        return replace(self, vocab_size=size, pad_token_id=pad, max_position_embeddings=positions)

    @property
    def dense_dropout(self) -> float:
        return self.head_dropout

    @property
    def max_length(self) -> int:
        return self.max_position_embeddings - self.pad_token_id - 1


def count_positions(input_ids: Tensor, padding_id: int) -> Tensor:
    """padding_id + 1, + 2, ... for the tokens that are not padding, padding_id for those that are. (B, S) -> (B, S).

    Counted from the ids, not from the attention mask. Source: the released code (fairseq's `make_positions`).
    """
    real = input_ids != padding_id
    return real.cumsum(dim=1) * real + padding_id


class Roberta(Backbone):
    config: RobertaConfig
    summary_is_pooled = False  # its classifier reads the first token; the pooler is there, but no head uses it

    def __init__(self, config: RobertaConfig):
        super().__init__(
            config,
            embeddings=Embeddings.from_config(config),
            encoder=Encoder([EncoderBlock.from_config(config) for _ in range(config.num_hidden_layers)]),
            pooler=Pooler(config.hidden_size),
        )

    def position_ids(self, input_ids: Tensor) -> Tensor:
        """See `count_positions`. (B, S) -> (B, S)."""
        return count_positions(input_ids, self.config.pad_token_id)


LARGE: dict[str, Any] = {
    "hidden_size": 1024,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "intermediate_size": 4096,
}

PRESETS = {
    "roberta-base": RobertaConfig(),
    "roberta-large": RobertaConfig(**LARGE),
    "tiny-roberta": RobertaConfig(hidden_size=128, num_hidden_layers=4, num_attention_heads=4, intermediate_size=512),
}

# Our name -> the name in a checkpoint.
KEYS = {
    "embeddings.word": "roberta.embeddings.word_embeddings",
    "embeddings.position": "roberta.embeddings.position_embeddings",
    "embeddings.token_type": "roberta.embeddings.token_type_embeddings",
    "embeddings.norm": "roberta.embeddings.LayerNorm",
    "encoder.blocks.{}.attention.query": "roberta.encoder.layer.{}.attention.self.query",
    "encoder.blocks.{}.attention.key": "roberta.encoder.layer.{}.attention.self.key",
    "encoder.blocks.{}.attention.value": "roberta.encoder.layer.{}.attention.self.value",
    "encoder.blocks.{}.attention.output": "roberta.encoder.layer.{}.attention.output.dense",
    "encoder.blocks.{}.attention_norm": "roberta.encoder.layer.{}.attention.output.LayerNorm",
    "encoder.blocks.{}.feed_forward.expand": "roberta.encoder.layer.{}.intermediate.dense",
    "encoder.blocks.{}.feed_forward.contract": "roberta.encoder.layer.{}.output.dense",
    "encoder.blocks.{}.norm": "roberta.encoder.layer.{}.output.LayerNorm",
    "pooler.dense": "roberta.pooler.dense",
    "lm.dense": "lm_head.dense",
    "lm.norm": "lm_head.layer_norm",
    "lm": "lm_head",
    "dense": "classifier.dense",
    "classifier": "classifier.out_proj",
    "span": "qa_outputs",
}

# The tied word table may be in a file a second time.
COPIES = {"lm_head.decoder.weight": "roberta.embeddings.word_embeddings.weight", "lm_head.decoder.bias": "lm_head.bias"}

FAMILY = Family(
    config=RobertaConfig,
    model=Roberta,
    presets=PRESETS,
    keys=KEYS,
    stem="Roberta",
    prefix="roberta.",
    head_keys={"token-classification": {"classifier": "classifier"}},
    copies=COPIES,
    # The readers of such a config take BERT's numbers where it leaves them out; the published ones name them all.
    absent={"max_position_embeddings": 512, "type_vocab_size": 2, "layer_norm_eps": 1e-12},
    objective="full-sentences",
    vocabulary="byte-bpe",
    student_of="roberta",  # as DistilRoBERTa is, which was released with DistilBERT's code
    constants={"position_embedding_type": "absolute", "is_decoder": False, "add_cross_attention": False},
)
