"""The numbers that make a model, checked when they are set.

`ModelConfig` has what every model of the family needs. `EncoderConfig` adds what an encoder like BERT needs. Each
model's own config, in its own file, adds the rest. A field's metadata says which values it may have, so that a new
field is checked without any new checking code.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import Field, dataclass, field, fields, replace
from typing import Any, ClassVar

from minibert.errors import MinibertError

# The activations that a config may name; layers.ACTIVATIONS holds the functions.
ACTIVATION_NAMES = (
    *("gelu", "gelu_python", "gelu_new", "gelu_fast", "gelu_accurate", "gelu_python_tanh", "gelu_pytorch_tanh"),
    *("gelu_10", "quick_gelu", "relu", "relu2", "relu6", "leaky_relu", "silu", "swish", "mish", "hardswish"),
    *("sigmoid", "tanh", "linear"),
)
# What a head for whole texts learns: one number per label, one label out of several, or any number of labels.
PROBLEM_TYPES = ("regression", "single_label_classification", "multi_label_classification")


# ------------------------------------------------------------------------------------------------- fields


def integer(default: int, least: int = 1) -> Any:
    """A field for an integer, at least `least`."""
    return field(default=default, metadata={"least": least})


def fraction(default: float | None, optional: bool = False) -> Any:
    """A field for a number from 0 to 1. optional: whether None is allowed too."""
    return field(default=default, metadata={"fraction": True, "optional": optional})


def flag(default: bool) -> Any:
    """A field for true or false."""
    return field(default=default, metadata={"flag": True})


def choice(default: str | None, known: Sequence[str], optional: bool = False) -> Any:
    """A field for one of the known words. optional: whether None is allowed too."""
    return field(default=default, metadata={"known": tuple(known), "optional": optional})


def limits_of(config_class: type, name: str) -> Mapping[str, Any]:
    """A field's metadata. A subclass may simply assign another default to a field, and its limits stay."""
    for base in config_class.__mro__:
        declared: Field[Any] | None = vars(base).get("__dataclass_fields__", {}).get(name)
        if declared is not None and declared.metadata:
            return declared.metadata
    return {}


def problem_with(limits: Mapping[str, Any], value: Any) -> str | None:
    """What is wrong with a value, as the end of a sentence; None if nothing is. limits: a field's metadata."""
    if limits.get("optional") and value is None:
        return None
    if "least" in limits and (type(value) is not int or value < limits["least"]):
        return f"must be an integer, at least {limits['least']}"
    if "fraction" in limits:
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not (is_number and 0 <= value <= 1):
            return "must be a number from 0 to 1"
    if "flag" in limits and type(value) is not bool:
        return "must be true or false"
    if "known" in limits and value not in limits["known"]:
        return f"is unknown; known: {', '.join(limits['known'])}"
    return None


# ------------------------------------------------------------------------------------------------ configs


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """What every model has: a vocabulary, a width, the size of its fresh weights, and labels for its heads.

    Frozen: `dataclasses.replace` makes a changed copy. Raises MinibertError for a value that a field must not have.
    """

    vocab_size: int = integer(30522)  # V
    hidden_size: int = integer(768)  # D
    hidden_act: str = choice("gelu", ACTIVATION_NAMES)
    hidden_dropout_prob: float = fraction(0.1)
    classifier_dropout: float | None = fraction(None, optional=True)  # None: the same as hidden_dropout_prob
    initializer_range: float = fraction(0.02)  # standard deviation of fresh weights
    layer_norm_eps: float = fraction(1e-12)
    pad_token_id: int | None = field(default=0, metadata={"least": 0, "optional": True})  # None: there is no padding
    labels: tuple[str, ...] = ("LABEL_0", "LABEL_1")  # the names of the classes, for classifying heads
    problem_type: str | None = choice(None, PROBLEM_TYPES, optional=True)  # None: one label out of several

    # What a family's heads need to know (see heads.py); not part of a checkpoint's config.
    model_type: ClassVar[str]
    pair_task: ClassVar[str | None] = None  # the sentence-pair task of its pre-training: "NSP", "SOP" or none
    classifier_act: ClassVar[str | None] = None  # activation of a dense layer inside the sequence classifier

    def __post_init__(self) -> None:
        for declared in fields(self):
            value = getattr(self, declared.name)
            problem = problem_with(limits_of(type(self), declared.name), value)
            if problem is not None:
                raise MinibertError(f"{declared.name} is {value!r}; it {problem}.")
        if not self.labels or not isinstance(self.labels, tuple) or not all(isinstance(x, str) for x in self.labels):
            raise MinibertError(f'labels is {self.labels!r}; it must name the classes, as in ("negative", "positive").')

    def for_vocabulary(self, size: int, *, pad: int, cls: int, sep: int) -> ModelConfig:
        """This config with another vocabulary. size: V. pad, cls, sep: the ids of its special tokens."""
        return replace(self, vocab_size=size, pad_token_id=pad)

    @property
    def num_labels(self) -> int:
        return len(self.labels)

    @property
    def head_dropout(self) -> float:
        """Dropout before a classifier."""
        return self.hidden_dropout_prob if self.classifier_dropout is None else self.classifier_dropout

    @property
    def dense_dropout(self) -> float:
        """Dropout before the dense layer of a classifier of texts, in a family that has one (`classifier_act`)."""
        return 0.0

    @property
    def token_dropout(self) -> float:
        """Dropout before a classifier of tokens."""
        return self.head_dropout

    @property
    def span_dropout(self) -> float:
        """Dropout before the question-answering layer."""
        return 0.0

    @property
    def pair_dropout(self) -> float:
        """Dropout before the sentence-pair classifier."""
        return 0.0

    @property
    def output_embedding_size(self) -> int:
        """Width of the vectors that are compared with the word embeddings to score the vocabulary."""
        return self.hidden_size

    @property
    def max_length(self) -> int | None:
        """The longest sequence, in tokens; None if there is no limit."""
        return None


@dataclass(frozen=True, kw_only=True)
class EncoderConfig(ModelConfig):
    """The numbers that make an encoder like BERT; the defaults are BERT-base's."""

    num_hidden_layers: int = integer(12)  # L
    num_attention_heads: int = integer(12)  # H; the head size is K = D / H
    intermediate_size: int = integer(3072)  # F
    max_position_embeddings: int = integer(512)
    type_vocab_size: int = integer(2, least=0)  # 0: no token types
    attention_probs_dropout_prob: float = fraction(0.1)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.hidden_size % self.num_attention_heads:
            raise MinibertError(
                f"hidden_size {self.hidden_size} cannot be divided into {self.num_attention_heads} heads: "
                "choose a multiple of num_attention_heads."
            )

    @property
    def max_length(self) -> int | None:
        return self.max_position_embeddings
