"""An eighth model, kept to show what a new one takes: this file, and one line that registers it.

It is a small decoder: every token looks at those before it, the norm comes before each part (GPT-2's "pre-norm"), there
are no positions, the whole text is judged by its last real token, and one more input, `emphasis`, makes some tokens
louder than others. So it differs from the BERT family in every place where a family may differ.
CONTRIBUTING.md has the checklist that this file follows; tests/test_eighth_model.py tries it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from minibert.attention import Layout, MultiHeadAttention, causal_mask
from minibert.config import ModelConfig, integer
from minibert.layers import FeedForward, Table
from minibert.model import Model, Output
from minibert.models.family import Family


@dataclass(frozen=True, kw_only=True)
class ToyConfig(ModelConfig):
    """The toy's numbers."""

    vocab_size: int = 31
    hidden_size: int = 12
    num_layers: int = integer(2)  # L
    num_heads: int = integer(3)  # H

    model_type: ClassVar[str] = "toy"


class ToyBlock(nn.Module):
    def __init__(self, config: ToyConfig):
        super().__init__()
        self.norm = nn.LayerNorm(config.hidden_size)
        self.attention = MultiHeadAttention(config.hidden_size, config.num_heads)
        self.feed_forward = FeedForward(config.hidden_size, 2 * config.hidden_size, config.hidden_act)

    def forward(self, x: Tensor, layout: Layout, mask: Tensor, return_weights: bool) -> tuple[Tensor, Tensor | None]:
        """(B, S, D) -> (B, S, D), and the weights (B, H, S, S) or None."""
        attended, weights = self.attention(self.norm(x), layout=layout, mask=mask, return_weights=return_weights)
        x = x + attended
        return x + self.feed_forward(x), weights


class Toy(Model):
    extra_inputs = ("emphasis",)
    config: ToyConfig

    def __init__(self, config: ToyConfig):
        super().__init__(config)
        self.word = Table(config.vocab_size, config.hidden_size)
        self.loudness = nn.Parameter(torch.ones(config.hidden_size))  # a whole parameter, in no module of its own
        self.blocks = nn.ModuleList([ToyBlock(config) for _ in range(config.num_layers)])

    @property
    def word_embeddings(self) -> nn.Embedding:
        return self.word

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        return_attention: bool = False,
        return_hidden: bool = False,
        *,
        wanted: Tensor | None = None,
        emphasis: Tensor | None = None,
    ) -> Output:
        """emphasis: (B, S) numbers, how loud each token is; by default all alike. The rest as in `Model`."""
        self.check_inputs(input_ids, attention_mask, token_type_ids, wanted, emphasis=emphasis)
        layout = Layout(attention_mask, skip_padding=False)
        mask = causal_mask(input_ids.shape[1], input_ids.device)
        mask = mask if layout.mask is None else mask & layout.mask
        x = self.word(input_ids) * self.loudness
        x = x if emphasis is None else x * emphasis[..., None]
        hidden, weights = [x], []
        for block in self.blocks:
            x, seen = block(x, layout, mask, return_attention)
            hidden.append(x)
            weights.append(seen)
        return Output(
            last_hidden_state=x,
            hidden_states=tuple(hidden) if return_hidden else None,
            attentions=tuple(weights) if return_attention else None,
        )

    def summary(self, output: Output, input_ids: Tensor, attention_mask: Tensor | None) -> Tensor:
        """The last real token's vector, the only one that has seen the whole text."""
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        last = (mask * torch.arange(1, mask.shape[1] + 1)).argmax(dim=1)
        return output.last_hidden_state[torch.arange(len(last)), last]


PRESETS = {"toy": ToyConfig(), "tiny-toy": ToyConfig(hidden_size=6, num_layers=1, num_heads=2)}

KEYS = {
    "word": "toy.wte",
    "loudness": "toy.loudness",
    "blocks.{}.norm": "toy.h.{}.ln",
    "blocks.{}.attention.query": "toy.h.{}.q",
    "blocks.{}.attention.key": "toy.h.{}.k",
    "blocks.{}.attention.value": "toy.h.{}.v",
    "blocks.{}.attention.output": "toy.h.{}.o",
    "blocks.{}.feed_forward.expand": "toy.h.{}.up",
    "blocks.{}.feed_forward.contract": "toy.h.{}.down",
    "lm.dense": "lm_head.dense",
    "lm.norm": "lm_head.norm",
    "lm": "lm_head",
    "classifier": "score",
}
FIELD_NAMES = {"num_layers": "n_layer", "num_heads": "n_head", "hidden_size": "n_embd"}
CONSTANTS: dict[str, Any] = {"scale_attn_weights": True}

FAMILY = Family(
    config=ToyConfig,
    model=Toy,
    presets=PRESETS,
    keys=KEYS,
    stem="Toy",
    prefix="toy.",
    copies={"lm_head.decoder.weight": "toy.wte.weight"},
    field_names=FIELD_NAMES,
    constants=CONSTANTS,
)
