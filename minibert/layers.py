"""The parts of an encoder that treat each token by itself: activations, norm, feed-forward, embeddings.

Where torch has the same function in one fused pass, the formula is written out here for the reader, and a test checks
that the two are equal.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from minibert.config import EncoderConfig
from minibert.errors import MinibertError, check_known
from minibert.tracing import at_hand


def gelu(x: Tensor) -> Tensor:
    """x · Φ(x), where Φ is the normal distribution function. Any shape.

    Source: Hendrycks & Gimpel 2016, "Gaussian Error Linear Units", section 2.
    """
    return 0.5 * x * (1.0 + torch.erf(x / math.sqrt(2.0)))


def gelu_tanh(x: Tensor) -> Tensor:
    """GELU with Φ approximated by a tanh, within 5e-4 of the exact one. Any shape.

    Checkpoints call it "gelu_new"; ALBERT v2 was trained with it. Source: Hendrycks & Gimpel 2016, section 2.
    """
    return 0.5 * x * (1.0 + torch.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * x**3)))


def _fused_gelu_tanh(x: Tensor) -> Tensor:
    return F.gelu(x, approximate="tanh")


def _gelu_sigmoid(x: Tensor) -> Tensor:
    """GELU with Φ approximated by a logistic function (Hendrycks & Gimpel 2016, section 2)."""
    return x * torch.sigmoid(1.702 * x)


def _clipped_gelu(x: Tensor) -> Tensor:
    return F.gelu(x).clamp(-10.0, 10.0)


def _squared_relu(x: Tensor) -> Tensor:
    return F.relu(x).square()


def _same(x: Tensor) -> Tensor:
    return x


# The values that a config's `hidden_act` may have: the names that checkpoints use, several of them for one function.
# The GELUs are torch's: one pass over memory instead of five.
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    **dict.fromkeys(("gelu", "gelu_python"), F.gelu),
    **dict.fromkeys(
        ("gelu_new", "gelu_fast", "gelu_accurate", "gelu_python_tanh", "gelu_pytorch_tanh"), _fused_gelu_tanh
    ),
    "gelu_10": _clipped_gelu,
    "quick_gelu": _gelu_sigmoid,
    "relu": F.relu,
    "relu2": _squared_relu,
    "relu6": F.relu6,
    "leaky_relu": F.leaky_relu,
    **dict.fromkeys(("silu", "swish"), F.silu),
    "mish": F.mish,
    "hardswish": F.hardswish,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "linear": _same,
}


def layer_norm(x: Tensor, weight: Tensor, bias: Tensor, eps: float = 1e-12) -> Tensor:
    """Give every token mean 0 and variance 1 over its D features, then a learned scale and shift.

    x: (..., D). weight, bias: (D,). The variance divides by D, not D - 1, and eps is inside the root.
    The models use ``torch.nn.LayerNorm``, which is this. Source: Ba et al. 2016, "Layer Normalization",
    section 3.
    """
    mean = x.mean(dim=-1, keepdim=True)
    variance = ((x - mean) ** 2).mean(dim=-1, keepdim=True)
    return (x - mean) / torch.sqrt(variance + eps) * weight + bias


class FeedForward(nn.Module):
    """Two linear layers with an activation between them: D -> F -> D, each token by itself.

    dropout: on the activations, in the models that have it there (XLNet, BART).

    Source: Vaswani et al. 2017, section 3.3; GELU in place of ReLU: Devlin et al. 2019, appendix A.2.
    """

    def __init__(self, hidden_size: int, intermediate_size: int, activation: str = "gelu", dropout: float = 0.0):
        super().__init__()
        check_known("activation", activation, ACTIVATIONS)
        self.expand = nn.Linear(hidden_size, intermediate_size)
        self.activation = ACTIVATIONS[activation]
        self.dropout = nn.Dropout(dropout)
        self.contract = nn.Linear(intermediate_size, hidden_size)

    def forward(self, x: Tensor) -> Tensor:
        """(..., D) -> (..., D)."""
        return self.contract(self.dropout(self.activation(self.expand(x))))


class Table(nn.Embedding):
    """One learned vector for each id: torch's embedding, but filled with zeros at first.

    `initialise` draws the weights of a fresh model. Torch would draw others first, only to have them replaced; on the
    meta device this would take longer than counting all the parameters.
    """

    def reset_parameters(self) -> None:
        nn.init.zeros_(self.weight)


class Embeddings(nn.Module):
    """What a token is + where it is + which sentence it belongs to, then norm and dropout.

    vocab_size: V. max_positions: rows of the learned position table. type_vocab_size: how many token types there
    are, 0 for a model without them. width: D, or E in a factorised model.

    Source: Devlin et al. 2019, section 3, figure 2.
    """

    def __init__(
        self, vocab_size: int, max_positions: int, type_vocab_size: int, width: int, eps: float, dropout: float
    ):
        super().__init__()
        self.word = Table(vocab_size, width)
        self.position = Table(max_positions, width)
        self.token_type = Table(type_vocab_size, width) if type_vocab_size else None
        self.norm = nn.LayerNorm(width, eps=eps)
        self.dropout = nn.Dropout(dropout)

    @classmethod
    def from_config(cls, config: EncoderConfig) -> Embeddings:
        """Embeddings with the config's numbers, as wide as the model."""
        return cls(
            config.vocab_size,
            config.max_position_embeddings,
            config.type_vocab_size,
            config.hidden_size,
            config.layer_norm_eps,
            config.hidden_dropout_prob,
        )

    def forward(self, input_ids: Tensor, position_ids: Tensor, token_type_ids: Tensor | None = None) -> Tensor:
        """Three tensors of ids, all of the same shape (...) -> (..., width).

        Without token_type_ids every token is of type 0. A model without token types ignores them.
        """
        x = self.word(input_ids) + self.position(position_ids)
        if self.token_type is not None:
            x = x + self.token_type(torch.zeros_like(input_ids) if token_type_ids is None else token_type_ids)
        return self.dropout(self.norm(x))


class Pooler(nn.Module):
    """One vector for a whole text: the first token, [CLS], through a linear layer and a tanh.

    Source: Devlin et al. 2019, section 3 ("C"); the layer itself is in the released code.
    """

    def __init__(self, hidden_size: int):
        super().__init__()
        self.dense = nn.Linear(hidden_size, hidden_size)

    def forward(self, hidden: Tensor) -> Tensor:
        """(B, S, D) -> (B, D)."""
        return torch.tanh(self.dense(hidden[:, 0]))


class MaskedLMHead(nn.Module):
    """Score every word of the vocabulary for a token: dense, activation, norm, then compare with each embedding.

    The word embeddings are also the last layer's weights ("tied"): they are passed in, so that there is one tensor
    and not two that could drift apart. Only the bias (V,) belongs to the head.

    Source: Devlin et al. 2019, section 3.1, task 1; the transform is in the released code. The dense layer goes
    from D to the width of the word embeddings: D in BERT, E in ALBERT.
    """

    def __init__(self, hidden_size: int, embedding_size: int, vocab_size: int, activation: str, eps: float):
        super().__init__()
        self.dense = nn.Linear(hidden_size, embedding_size)
        self.activation = ACTIVATIONS[activation]
        self.norm = nn.LayerNorm(embedding_size, eps=eps)
        self.bias = nn.Parameter(torch.zeros(vocab_size))

    def forward(self, hidden: Tensor, word_embeddings: Tensor) -> Tensor:
        """hidden: (..., D). word_embeddings: (V, E). Returns logits (..., V)."""
        return F.linear(self.norm(self.activation(self.dense(hidden))), word_embeddings, self.bias)


def check_ids(ids: Tensor, size: int, name: str, advice: str = "use the tokenizer that belongs to the model") -> None:
    """Raise a MinibertError unless ids are integers from 0 to size - 1, the rows of their table.

    ids: any shape. Values are checked on the CPU only: elsewhere the check would have to wait for the device.
    """
    if ids.dtype not in (torch.int64, torch.int32):
        raise MinibertError(f"{name} must hold integers, not {ids.dtype}: use {name}.long().")
    if not at_hand(ids) or not ids.numel():
        return
    low, high = (int(bound) for bound in ids.aminmax())
    if low < 0 or high >= size:
        wrong = low if low < 0 else high
        raise MinibertError(f"{name} holds {wrong}, but it must be from 0 to {size - 1}: {advice}.")
