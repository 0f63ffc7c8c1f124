"""What every model of the family is: ids in, one vector per token out, and how to make one vector for a text.

`Model` is the base of all of them. All that a head (heads.py) needs of a model is defined here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from minibert.config import ModelConfig
from minibert.errors import MinibertError
from minibert.layers import MaskedLMHead, check_ids
from minibert.tracing import at_hand, recording
from minibert.words import type_of


@dataclass
class Output:
    """What a model returns. Every field is accessed by its name; there is nothing to unpack by position.

    last_hidden_state: (B, S, D); padded positions have no meaning, and are zeros where the padding was skipped. So
    are tokens that were not wanted (see Backbone.forward).
    pooled: (B, D), from the first token, which must be a real one; None for a model without a pooler.
    hidden_states: L + 1 tensors (B, S, D), the embeddings first. attentions: L tensors (B, H, S, S).
    logits, pair_logits, loss: from a head; the head says their shapes.
    """

    last_hidden_state: Tensor
    pooled: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None
    logits: Tensor | None = None
    pair_logits: Tensor | None = None
    loss: Tensor | None = None


torch.export.register_dataclass(Output)  # so that an exported model may return it


class Model(nn.Module):
    """The base of all models: a config, a check of the inputs, and what a head asks a model for.

    A subclass has a forward(input_ids, attention_mask, token_type_ids, return_attention, return_hidden, *, wanted)
    that returns an Output. It may use `wanted` to save work (see Backbone.forward), or ignore it.
    extra_inputs: the names of further tensors that its forward takes, which a head passes on. heads: the keys of
    heads.HEADS that it can have.
    """

    extra_inputs: ClassVar[tuple[str, ...]] = ()
    heads: ClassVar[tuple[str, ...]] = (
        "masked-lm",
        "sequence-classification",
        "token-classification",
        "question-answering",
    )
    config: ModelConfig

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.config = config

    # -------------------------------------------------------------------------- what a head asks for

    @property
    def word_embeddings(self) -> nn.Embedding:
        """The table of word embeddings, (V, E)."""
        raise NotImplementedError

    def summary(self, output: Output, input_ids: Tensor, attention_mask: Tensor | None) -> Tensor:
        """One vector per text, (B, D), for heads that judge whole texts. By default the first token's."""
        return output.last_hidden_state[:, 0]

    def keep_summary(self, needed: bool) -> None:
        """Called when a head is added: make or drop the parts that only `summary` needs. By default there are none."""

    def vocabulary_head(self) -> nn.Module:
        """A fresh layer that scores the vocabulary: called with hidden states (..., D) and the word table (V, E).

        A family whose output matrix has more than its word table (MobileBERT), or whose head is simpler (XLNet),
        returns a head of its own here.
        """
        c = self.config
        return MaskedLMHead(c.hidden_size, c.output_embedding_size, c.vocab_size, c.hidden_act, c.layer_norm_eps)

    def predicting_states(self, output: Output) -> Tensor:
        """The hidden states that words are predicted from: by default every token's, (B, S, D)."""
        return output.last_hidden_state

    # ------------------------------------------------------------------------------ checking the inputs

    def check_inputs(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        wanted: Tensor | None = None,
        **extra: Any,
    ) -> None:
        """Raise a MinibertError for inputs that the model cannot read.

        input_ids: (B, S) integers below V; the others, where given, have the same shape. extra: the inputs named in
        `extra_inputs`. Nothing is checked while a graph is recorded (see tracing.py).
        """
        if recording():  # the checks would become part of the graph, and would fix its shapes
            return
        given = {"attention_mask": attention_mask, "token_type_ids": token_type_ids, "wanted": wanted}
        others = {name: tensor for name, tensor in given.items() if tensor is not None}
        check_tensors({"input_ids": input_ids, **others})
        if input_ids.dim() != 2:
            raise MinibertError(
                f"input_ids must have the shape (B, S), not {tuple(input_ids.shape)}: for a single text use ids[None]."
            )
        if input_ids.shape[1] == 0:
            raise MinibertError("input_ids has no tokens (S = 0): even an empty text has special tokens around it.")
        longest = self.config.max_length
        if longest is not None and input_ids.shape[1] > longest:
            raise MinibertError(
                f"a sequence of {input_ids.shape[1]} tokens is longer than the {longest} positions of this model: "
                f"truncate it, e.g. with tok(texts, max_length={longest})."
            )
        for name, other in others.items():
            if other.shape != input_ids.shape:
                raise MinibertError(
                    f"{name} has shape {tuple(other.shape)} but input_ids has {tuple(input_ids.shape)}: "
                    "both must be (B, S)."
                )
        if attention_mask is not None:
            check_zeros_and_ones(attention_mask, "attention_mask")
        check_ids(input_ids, self.config.vocab_size, "input_ids")


def at_places(hidden: Tensor, places: Tensor) -> Tensor:
    """One vector of each text: (B, S, D), places (B,) -> (B, D)."""
    return hidden.gather(1, places[:, None, None].expand(-1, 1, hidden.shape[-1])).squeeze(1)


def check_tensors(inputs: Mapping[str, Any]) -> None:
    """Raise a MinibertError if one of the inputs, name -> value, is not a tensor."""
    for name, value in inputs.items():
        if not isinstance(value, Tensor):
            raise MinibertError(f"{name} is {type_of(value)}, not a tensor: use torch.tensor({name}).")


def check_zeros_and_ones(mask: Tensor, name: str) -> None:
    """Raise a MinibertError unless a mask holds only 1 and 0. Checked on the CPU only, where it needs no waiting."""
    if at_hand(mask) and torch.logical_and(mask != 0, mask != 1).any():
        raise MinibertError(f"{name} must hold only 1 (a real token) and 0 (padding).")


def initialise(module: nn.Module, std: float) -> None:
    """Set fresh weights in place: normal with standard deviation `std`, truncated at two of them; biases are 0, norms
    scale by 1 and shift by 0.

    Source: Devlin et al. 2019, released code (`create_initializer`); the paper does not say.
    """
    for part in module.modules():
        if isinstance(part, (nn.Linear, nn.Embedding)):
            nn.init.trunc_normal_(part.weight, std=std, a=-2 * std, b=2 * std)
        elif isinstance(part, nn.LayerNorm):
            nn.init.ones_(part.weight)
    for name, parameter in module.named_parameters():
        if name.rpartition(".")[2] == "bias":
            nn.init.zeros_(parameter)
