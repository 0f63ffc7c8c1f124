"""Attention that knows how far away a key is, and not where it is: Transformer-XL's, with XLNet's segments.

Where positions are added to the words (BERT), the scores hold four products: word with word, word with place, place
with word, place with place. Here the key's place becomes the distance between the two, and the query's place a learned
vector that is the same everywhere. So a token can look at an earlier segment, whose tokens are simply further away.

Sources: Dai, Yang, Yang, Carbonell, Le & Salakhutdinov 2019, "Transformer-XL: Attentive Language Models Beyond a
Fixed-Length Context", section 3.3 and appendix B; Yang et al. 2019, "XLNet", sections 2.4 and 2.5.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from minibert.attention import Inside, Layout, added_norms, attention, fused_attention
from minibert.errors import MinibertError
from minibert.tracing import at_hand
from minibert.words import type_of

# ---------------------------------------------------------------------------------------------- distances


def sinusoids(distances: Tensor, hidden_size: int) -> Tensor:
    """Distances (W,) as vectors (W, D): the sines of all D/2 frequencies first, then their cosines.

    The frequencies fall from 1 to almost 1/10000. (Vaswani et al. 2017 have sines and cosines in turn.)
    Source: Dai et al. 2019, section 3.3, and its released code.
    """
    frequencies = 1 / 10000 ** (torch.arange(0, hidden_size, 2, device=distances.device) / hidden_size)
    angles = distances[:, None] * frequencies
    return torch.cat([angles.sin(), angles.cos()], dim=-1)


def distance_vectors(gaps: Tensor, hidden_size: int, clamp: int = -1) -> Tensor:
    """The sinusoids of all distances that can be, T, T - 1, ..., 1 - S: (T + S, D).

    gaps: (S, T), how far before each query each key is. clamp: larger distances are taken for this one; none is where
    it is 0 or less.
    """
    queries, keys = gaps.shape
    distances = torch.arange(keys, -queries, -1, device=gaps.device)
    return sinusoids(distances.clamp(-clamp, clamp) if clamp > 0 else distances, hidden_size)


def shift(scores: Tensor) -> Tensor:
    """From "by distance" to "by key", without computing or copying anything.

    scores: (..., S, T + S), for each of S queries its score with the distances T, T - 1, ..., 1 - S.
    Returns (..., S, T): what query i has with key j, which is at the distance (T - S) + i - j, as the queries are the
    last S of the T keys. It was in column j + S - i. So each row moves one further to the right than the row above
    it, and reading the same numbers in rows that are one shorter does just that.

    Source: Dai et al. 2019, appendix B.
    """
    queries, columns = scores.shape[-2:]
    return scores.flatten(-2)[..., queries:].unflatten(-1, (queries, columns - 1))[..., : columns - queries]


def and_itself(seen: Tensor, gaps: Tensor) -> Tensor:
    """What the content stream sees: what a token may see, and itself in any case; its own gap is 0.

    seen: (B or 1, S, T), True where it may. gaps: (S, T). Source: Yang et al. 2019, section 2.3.
    """
    return seen | (gaps == 0)


# ------------------------------------------------------------------------------------------- the attention


class View(NamedTuple):
    """What the queries of a stream see, which is the same in every block. Q: S content vectors, or P query vectors.

    layout: where the queries are. mask: (B, 1, Q, T), True where they may look, None for everywhere. different:
    (B, 1, Q, T), True where query and key are of different segments, None without segments. columns: (B, 1, P, T), in
    which column of the scores by distance each key's is; None for the queries 0 ... S - 1, where `shift` knows it.
    """

    layout: Layout
    mask: Tensor | None
    different: Tensor | None
    columns: Tensor | None = None


def other_segment(token_type_ids: Tensor, total: int) -> Tensor:
    """Whether a place and a key are of different segments, (B, S, T) booleans; the memory is of segment 0."""
    keys = F.pad(token_type_ids, (total - token_type_ids.shape[1], 0), value=0)
    return token_type_ids[:, :, None] != keys[:, None, :]


def view_of_targets(target_mapping: Tensor, seen: Tensor | None, different: Tensor | None, gaps: Tensor) -> View:
    """What the query stream sees: each target what its place may, itself not among it.

    target_mapping: (B, P, S). seen, different: (B or 1, S, T) or None. gaps: (S, T).
    """
    batch = target_mapping.shape[0]
    used, where = target_mapping.max(dim=-1)  # (B, P)
    rows = where[:, :, None].expand(-1, -1, gaps.shape[1])  # (B, P, T)

    def at_targets(of_places: Tensor) -> Tensor:
        return of_places.expand(batch, -1, -1).gather(1, rows)[:, None]

    allowed = used.bool()[:, None, :, None].expand(-1, -1, -1, gaps.shape[1])
    return View(
        Layout(),
        mask=allowed if seen is None else allowed & at_targets(seen),
        different=None if different is None else at_targets(different),
        columns=gaps.shape[1] - at_targets(gaps[None]),
    )


class LookedAt(NamedTuple):
    """What the queries look at: keys and values, (B, H, T, K) each, and the distances' keys, (H, T + S, K)."""

    keys: Tensor
    values: Tensor
    distances: Tensor


def fresh(*shape: int, std: float) -> nn.Parameter:
    """A parameter that is in no layer of torch's, drawn as `initialise` draws those."""
    return nn.Parameter(nn.init.trunc_normal_(torch.empty(shape), std=std, a=-2 * std, b=2 * std))


class RelativeAttention(nn.Module):
    """Many heads whose scores have three terms: what the key is, how far away it is, and whether it is of the same
    segment. Each has a bias of its own that is added to the query.

        ((q + content_bias) · k  +  (q + position_bias) · r  +  (q + segment_bias) · s) / √K

    The matrices have the shape (D, H, K), and no bias. dropout: on the weights. std: of fresh weights.

    Source: Dai et al. 2019, section 3.3, the equation of "relative positional encodings"; Yang et al. 2019, sections
    2.4 and 2.5.
    """

    def __init__(self, hidden_size: int, num_heads: int, dropout: float, std: float):
        super().__init__()
        self.dropout = dropout
        heads = (num_heads, hidden_size // num_heads)  # H, K
        self.query = fresh(hidden_size, *heads, std=std)
        self.key = fresh(hidden_size, *heads, std=std)
        self.value = fresh(hidden_size, *heads, std=std)
        self.output = fresh(hidden_size, *heads, std=std)
        self.position = fresh(hidden_size, *heads, std=std)
        self.segment = fresh(2, *heads, std=std)  # 0: the same segment, 1: another
        self.content_bias = fresh(*heads, std=std)
        self.position_bias = fresh(*heads, std=std)
        self.segment_bias = fresh(*heads, std=std)

    def looked_at(self, content: Tensor, layout: Layout, memory: Tensor | None, distances: Tensor) -> LookedAt:
        """What both streams look at. content: (B, S, D), or (N, D) when the layout packs. memory: (B, M, D), comes
        before the content. distances: (T + S, D), the sinusoids of T, ..., 1 - S, with T = M + S."""
        found = []
        for matrix in (self.key, self.value):
            past = [] if memory is None else [split_heads(memory, matrix, Layout())]
            found.append(torch.cat([*past, split_heads(content, matrix, layout)], dim=2))
        return LookedAt(found[0], found[1], torch.einsum("td,dhk->htk", distances, self.position))

    def forward(
        self, x: Tensor, looked_at: LookedAt, view: View, return_weights: bool = False
    ) -> tuple[Tensor, Tensor | None]:
        """x: the queries' vectors, (B, Q, D), or (N, D) when the view's layout packs.

        Returns the output, shaped like x, and the weights (B, H, Q, T), or None when they were not asked for.
        """
        keys, values, _ = looked_at
        q, bias = self.queries(x, looked_at, view)
        dropout = self.dropout if self.training else 0.0
        weights = None
        if return_weights:
            mixed, weights = attention(q, keys, values, view.mask, bias=bias, dropout=dropout)
        else:
            mixed = fused_attention(q, keys, values, view.mask, bias=bias, dropout=dropout)
        mixed = view.layout.pack(rearrange(mixed, "b h s k -> b s h k"))
        return torch.einsum("...hk,dhk->...d", mixed, self.output), weights

    def queries(self, x: Tensor, looked_at: LookedAt, view: View) -> tuple[Tensor, Tensor]:
        """The queries with their content bias, (B, H, Q, K), and what distances and segments add to the scaled scores,
        (B, H, Q, T)."""
        q = split_heads(x, self.query, view.layout)
        bias = self.position_scores(q, looked_at.distances, view.columns)
        if view.different is not None:
            bias = bias + self.segment_scores(q, view.different)
        return q + self.content_bias[:, None], bias / math.sqrt(q.shape[-1])

    def inside(self, x: Tensor, looked_at: LookedAt, view: View, return_weights: bool = False) -> Inside:
        """What happens inside of forward, for those who want to see it; the arguments are forward's."""
        q, bias = self.queries(x, looked_at, view)
        norms = added_norms(looked_at.values, self.output)
        return Inside(q, looked_at.keys, norms, bias, "the distance and the segments")

    def position_scores(self, q: Tensor, distances: Tensor, columns: Tensor | None) -> Tensor:
        """q: (B, H, Q, K). distances: (H, T + S, K). Returns (B, H, Q, T), not yet scaled."""
        by_distance = (q + self.position_bias[:, None]) @ distances.transpose(-2, -1)
        if columns is None:
            return shift(by_distance)
        return by_distance.gather(-1, columns.expand(-1, q.shape[1], -1, -1))

    def segment_scores(self, q: Tensor, different: Tensor) -> Tensor:
        """q: (B, H, Q, K). different: (B, 1, Q, T). Returns (B, H, Q, T), not yet scaled."""
        scores = (q + self.segment_bias[:, None]) @ rearrange(self.segment, "two h k -> h k two")
        return torch.where(different, scores[..., 1:], scores[..., :1])


def split_heads(x: Tensor, matrix: Tensor, layout: Layout) -> Tensor:
    """x: (B, S, D), or (N, D) when the layout packs, times a matrix (D, H, K): (B, H, S, K)."""
    return rearrange(layout.unpack(torch.einsum("...d,dhk->...hk", x, matrix)), "b s h k -> b h s k")


# ------------------------------------------------------------------------------------ checks of XLNet's inputs


def zeros_and_ones(mask: Tensor) -> bool:
    """Whether a mask holds 1 and 0 alone. True on other devices than the CPU, which would have to wait."""
    return not at_hand(mask) or not bool(torch.logical_and(mask != 0, mask != 1).any())


def check_targets(target_mapping: Tensor, perm_mask: Tensor | None, shape: torch.Size) -> None:
    """Raise a MinibertError for a target_mapping that is not (B, P, S) rows with one 1, or that gives words away."""
    batch, length = shape
    if target_mapping.dim() != 3 or (target_mapping.shape[0], target_mapping.shape[2]) != (batch, length):
        raise MinibertError(
            f"target_mapping has shape {tuple(target_mapping.shape)}, but must be (B, P, S) = ({batch}, P, {length}): "
            "one row with a single 1 for each of the P targets."
        )
    if target_mapping.shape[1] == 0:
        raise MinibertError("target_mapping has no targets (P = 0): leave it out when nothing is to be predicted.")
    if not at_hand(target_mapping):
        return
    if not zeros_and_ones(target_mapping) or (target_mapping.sum(dim=-1) > 1).any():
        raise MinibertError("a row of target_mapping must hold a single 1, at its target, and else 0.")
    itself = torch.zeros(batch, length) if perm_mask is None else perm_mask.diagonal(dim1=1, dim2=2)
    given_away = target_mapping.bool() & (itself == 0)[:, None]
    if given_away.any():
        text, _, place = given_away.nonzero()[0].tolist()
        raise MinibertError(
            f"target_mapping asks for token {place} of text {text}, but perm_mask lets it see itself: set "
            f"perm_mask[{text}, {place}, {place}] to 1."
        )


def check_mems(mems: Sequence[Tensor], layers: int, batch: int, width: int) -> None:
    """Raise a MinibertError unless mems are L tensors (B, M, D)."""
    if isinstance(mems, Tensor) or len(mems) != layers:
        kind = "a single tensor" if isinstance(mems, Tensor) else f"a list of {len(mems)}"
        raise MinibertError(f"mems is {kind}, but must be a list of {layers}, one for each layer, as output.mems is.")
    for number, memory in enumerate(mems):
        if not isinstance(memory, Tensor) or not memory.is_floating_point():
            found = f"a tensor of {memory.dtype}" if isinstance(memory, Tensor) else type_of(memory)
            raise MinibertError(
                f"mems[{number}] is {found}, but must be a tensor of hidden states, as output.mems has."
            )
    shapes = {tuple(memory.shape) for memory in mems}
    shape = shapes.pop()
    if shapes or len(shape) != 3 or (shape[0], shape[2]) != (batch, width):
        raise MinibertError(
            f"mems holds tensors of shape {shape}, but they must all be (B, M, D) = ({batch}, M, {width}): pass "
            "output.mems of the segment before, of the same batch of texts."
        )
