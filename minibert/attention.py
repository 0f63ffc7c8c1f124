"""Attention: the one place in a BERT encoder where tokens meet.

Everything else in it (embeddings, feed-forward, norms, heads) treats each token by itself. One model in this package
is an exception: in MobileBERT's embeddings, a token reads its two neighbours (models/mobilebert.py). Read this file
first, from top to bottom: masks, the formula, the same formula in one fused kernel, many heads at once.

Shapes are written with the letters of ``minibert.__doc__``: B batch, S sequence, T other sequence, D hidden,
H heads, K head size, N real (not padded) tokens of a batch.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from minibert.errors import MinibertError
from minibert.tracing import known

# ---------------------------------------------------------------------------------------------- masks
# A mask is a boolean tensor that broadcasts to (B, H, S, T). True means "query s may look at key t".
# There is no other kind and no other polarity; two masks are combined with `&`.


def padding_mask(attention_mask: Tensor) -> Tensor:
    """Hide padded keys from every query.

    attention_mask: (B, T), 1 for a real token and 0 for padding. Returns (B, 1, 1, T).
    """
    return attention_mask.bool()[:, None, None, :]


def causal_mask(length: int, device: torch.device | str | None = None) -> Tensor:
    """Hide the future: query s sees keys 0..s (Vaswani et al. 2017, section 3.2.3). Returns (1, 1, S, S)."""
    return torch.ones(length, length, dtype=torch.bool, device=device).tril()[None, None]


def check_mask(mask: Tensor | None) -> None:
    """Raise a MinibertError for a mask of numbers, where 0 can mean hidden (1 and 0) or visible (0 and -10000)."""
    if mask is not None and mask.dtype != torch.bool:
        raise MinibertError(f"the mask holds {mask.dtype}, not booleans: use mask.bool(), True where a query may look.")


# ---------------------------------------------------------------------------------------- the formula


def attention(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None, *, bias: Tensor | None = None, dropout: float = 0.0
) -> tuple[Tensor, Tensor]:
    """Scaled dot-product attention as the paper writes it: softmax(q kᵀ / √K) v.

    q: (..., S, K). k: (..., T, K). v: (..., T, K'). mask: booleans that broadcast to (..., S, T), True where the
    query may look. bias: (..., S, T), added to the scaled scores, for models with relative positions.
    dropout: the probability that a weight is set to 0 before the values are mixed.

    Returns the output (..., S, K') and the weights (..., S, T) before dropout; each row of weights sums to 1.
    A query that may not look at any key gets weights and output of 0, never NaN.

    Raises MinibertError for a mask that is not boolean.
    Source: Vaswani et al. 2017, "Attention Is All You Need", section 3.2.1, equation 1.
    """
    check_mask(mask)
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
    if bias is not None:
        scores = scores + bias
    if mask is None:
        weights = scores.softmax(dim=-1)
    else:
        # The lowest finite number, not -inf: in a row that holds only -inf, the softmax would be 0/0.
        weights = scores.masked_fill(~mask, torch.finfo(scores.dtype).min).softmax(dim=-1)
        weights = weights.masked_fill(~mask, 0.0)
    return F.dropout(weights, dropout) @ v, weights


def fused_attention(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None, *, bias: Tensor | None = None, dropout: float = 0.0
) -> Tensor:
    """The output of :func:`attention` from torch's fused kernel, which never stores the (S, T) weights.

    The models use this function, and the written-out formula when the weights are asked for. Same shapes.
    Source: Dao et al. 2022, "FlashAttention", for the idea of fusing.
    """
    check_mask(mask)
    if dropout and mask is None and q.device.type == "cpu":
        # Torch has no fused kernel with dropout there, and its replacement also looks for queries that see nothing.
        return attention(q, k, v, bias=bias, dropout=dropout)[0]
    if bias is not None:
        mask = bias if mask is None else bias.masked_fill(~mask, -math.inf)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropout)


# -------------------------------------------------------------------------------- where the tokens are


class Layout:
    """Where the real tokens of a padded (B, S) batch are, and how to pack and unpack them.

    A batch of short texts is nearly half padding. Only attention needs the rectangle (B, S), so everything else
    works on the N real tokens alone (but for MobileBERT's embeddings, which look at neighbours first): ``pack`` takes
    (B, S, ...) to (N, ...), ``unpack`` goes back and leaves zeros where the padding is. A batch without padding stays
    (B, S, ...) throughout, and so does one made with ``skip_padding=False`` (the plain way, kept so that the two can
    be compared), or while a graph is recorded: the next batch has its padding elsewhere (see tracing.py).

    attention_mask: (B, S), 1 real and 0 padding, or None when every token is real.
    """

    def __init__(self, attention_mask: Tensor | None = None, skip_padding: bool = True):
        self.mask: Tensor | None = None  # (B, 1, 1, S), for attention()
        self.index: Tensor | None = None  # (N,), row numbers of the real tokens among the B·S slots
        if attention_mask is not None and not (known(attention_mask) and attention_mask.all()):
            self.shape = attention_mask.shape
            self.mask = padding_mask(attention_mask)
            if skip_padding and known(attention_mask):
                self.index = attention_mask.flatten().nonzero().squeeze(1)

    @classmethod
    def only(cls, wanted: Tensor) -> Layout:
        """Only the tokens of a batch where wanted (B, S) is True, for queries when no other answers are needed."""
        chosen = cls()
        chosen.shape = wanted.shape
        chosen.index = wanted.flatten().nonzero().squeeze(1)
        return chosen

    def pack(self, x: Tensor) -> Tensor:
        """(B, S, ...) -> (N, ...)."""
        return x if self.index is None else x.flatten(0, 1)[self.index]

    def unpack(self, x: Tensor) -> Tensor:
        """(N, ...) -> (B, S, ...), zeros at the padding."""
        if self.index is None:
            return x
        slots = x.new_zeros(self.shape.numel(), *x.shape[1:])
        return slots.index_copy_(0, self.index, x).unflatten(0, self.shape)


# ------------------------------------------------------------------------------------------ many heads


class Inside(NamedTuple):
    """What makes the weights of an attention, and how much each token can add. No output is computed from it.

    queries: (B, H, S, K). keys: (B, H, T, K). norms: (B, H, T), as from `added_norms`.
    bias: (B, H, S, T), what is added to the scaled scores, or None. bias_from: in words, where it comes from.
    """

    queries: Tensor
    keys: Tensor
    norms: Tensor
    bias: Tensor | None = None
    bias_from: str = ""


def added_norms(values: Tensor, output: Tensor) -> Tensor:
    """How long the vectors are that each head would add for a token that had all of the weight: ‖v W_O‖.

    values: (B, H, T, K). output: (D, H, K), for each head its part of the last linear layer, whose bias belongs to no
    token and is left out. Returns (B, H, T). A weight times this number is the length of what is really added, so a
    large weight on a token with a small value adds little.

    Source: Kobayashi, Kuribayashi, Yokoi & Inui 2020, "Attention is Not Only a Weight: Analyzing Transformers with
    Vector Norms", section 3, ‖α f(x)‖.
    """
    return torch.einsum("bhtk,dhk->bhtd", values, output).norm(dim=-1)


class MultiHeadAttention(nn.Module):
    """H attentions side by side, each on its own K = D/H features, then one linear layer to mix them.

    hidden_size: D. num_heads: H, a divisor of D. dropout: on the attention weights, while training.
    value_size: width of the value input, if it is not D (MobileBERT).

    Source: Vaswani et al. 2017, section 3.2.2.
    """

    def __init__(self, hidden_size: int, num_heads: int, dropout: float = 0.0, value_size: int | None = None):
        super().__init__()
        if num_heads < 1 or hidden_size % num_heads:
            raise MinibertError(
                f"hidden_size {hidden_size} cannot be divided into {num_heads} heads: choose a multiple of num_heads."
            )
        self.num_heads = num_heads
        self.dropout = dropout
        self.query = nn.Linear(hidden_size, hidden_size)
        self.key = nn.Linear(hidden_size, hidden_size)
        self.value = nn.Linear(value_size or hidden_size, hidden_size)
        self.output = nn.Linear(hidden_size, hidden_size)

    def forward(
        self,
        x: Tensor,
        key: Tensor | None = None,
        value: Tensor | None = None,
        *,
        layout: Layout | None = None,
        key_layout: Layout | None = None,
        mask: Tensor | None = None,
        return_weights: bool = False,
        kept: tuple[Tensor, Tensor] | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """Let every token of x look at the tokens of key, and return a mixture of value.

        x: (B, S, D), or (N, D) when `layout` packs; without a layout every token is real. key, value: the same
        with T for S; by default x itself (self-attention). mask: where a query may look, by default the padding mask
        of the keys' layout. kept: what `keys_and_values` returned earlier, used in place of key and value.

        Returns the output, shaped like x, and the weights (B, H, S, T), or None when they were not asked for.
        Rows of the weights that belong to padded queries have no meaning.
        """
        layout = Layout() if layout is None else layout
        key_layout = layout if key_layout is None else key_layout
        mask = key_layout.mask if mask is None else mask
        dropout = self.dropout if self.training else 0.0

        # The tokens are laid out as (B, S) for attention only, and packed again afterwards.
        q, k, v = self.queries_keys_values(x, key, value, layout, key_layout, kept)
        weights = None
        if return_weights:
            mixed, weights = attention(q, k, v, mask, dropout=dropout)
        else:
            mixed = fused_attention(q, k, v, mask, dropout=dropout)
        return self.output(layout.pack(self.merge_heads(mixed))), weights

    def queries_keys_values(
        self,
        x: Tensor,
        key: Tensor | None,
        value: Tensor | None,
        layout: Layout,
        key_layout: Layout,
        kept: tuple[Tensor, Tensor] | None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """What `attention` is given, (B, H, S, K), (B, H, T, K) and (B, H, T, K). The arguments are forward's."""
        key = x if key is None else key
        value = key if value is None else value
        q = self.split_heads(layout.unpack(self.query(x)))
        k, v = self.keys_and_values(key, value, key_layout) if kept is None else kept
        return q, k, v

    def keys_and_values(self, key: Tensor, value: Tensor, layout: Layout) -> tuple[Tensor, Tensor]:
        """The keys and values of every head, (B, H, T, K) each. They depend on these tokens alone, so that a decoder
        that writes one token at a time can keep them (a "cache").

        key, value: (B, T, D), or (N, D) when `layout` packs.
        """
        return (
            self.split_heads(layout.unpack(self.key(key))),
            self.split_heads(layout.unpack(self.value(value))),
        )

    def inside(
        self,
        x: Tensor,
        key: Tensor | None = None,
        value: Tensor | None = None,
        *,
        layout: Layout | None = None,
        key_layout: Layout | None = None,
        kept: tuple[Tensor, Tensor] | None = None,
        **_: Any,
    ) -> Inside:
        """What happens inside of forward, for those who want to see it; the arguments are forward's."""
        layout = Layout() if layout is None else layout
        q, k, v = self.queries_keys_values(x, key, value, layout, layout if key_layout is None else key_layout, kept)
        heads = rearrange(self.output.weight, "d (h k) -> d h k", h=self.num_heads)
        return Inside(q, k, added_norms(v, heads))

    def split_heads(self, x: Tensor) -> Tensor:
        """(B, S, D) -> (B, H, S, K): head h takes features h·K to (h+1)·K of every token."""
        return rearrange(x, "b s (h k) -> b h s k", h=self.num_heads)

    def merge_heads(self, x: Tensor) -> Tensor:
        """(B, H, S, K) -> (B, S, D): the reverse of :meth:`split_heads`."""
        return rearrange(x, "b h s k -> b s (h k)")
