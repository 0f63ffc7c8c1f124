"""Heads: what turns a model's vectors into answers.

A model with a head is called like the model without, and fills in ``logits``. With ``labels`` it also fills in
``loss``. Two rules hold for all of them: vocabulary logits are computed only for the positions that somebody
asks about, and a part that a head does not read (the pooler) is not there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from minibert.encoder import Backbone, Output, initialise
from minibert.errors import MinibertError
from minibert.layers import ACTIVATIONS, Pooler, check_ids

IGNORE = -100  # the label of a position that does not count


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """The mean cross-entropy in nats over the labels that count; 0 when none does.

    logits: (..., C). labels: (...), class numbers, -100 where a label does not count. Raises MinibertError for
    labels of another shape, or that are no class.
    """
    check_shape(labels, logits.shape[:-1], "labels")
    if logits.shape[-1] < 2:
        raise MinibertError("with a single class there is nothing to learn: give the config two labels or more.")
    counted = labels[labels != IGNORE]
    check_ids(counted, logits.shape[-1], "labels", advice=f"{IGNORE} marks what does not count")
    total = F.cross_entropy(logits.flatten(0, -2), labels.flatten().long(), ignore_index=IGNORE, reduction="sum")
    return total / max(len(counted), 1)


def check_shape(tensor: Tensor, shape: torch.Size, name: str) -> None:
    if not isinstance(tensor, Tensor):
        raise MinibertError(f"{name} is a {type(tensor).__name__}, not a tensor: use torch.tensor({name}).")
    if tensor.shape != shape:
        raise MinibertError(f"{name} has shape {tuple(tensor.shape)}, but must have {tuple(shape)} here.")


class WithHead(nn.Module):
    """A backbone and what stands on it. Subclasses make their layers in `add_head` and use them in `score`."""

    reads_pooled: bool = False  # whether the head stands on the pooler
    reads_labels: ClassVar[bool] = False  # whether config.labels names its classes

    def __init__(self, backbone: Backbone):
        super().__init__()
        self.backbone = backbone
        self.config = backbone.config
        if not self.reads_pooled:
            backbone.pooler = None
        elif backbone.pooler is None:
            backbone.pooler = Pooler(self.config.hidden_size)
            initialise(backbone.pooler, self.config.initializer_range)
        self.add_head()

    def add_head(self) -> None:
        raise NotImplementedError

    def reads(self, input_ids: Tensor, **targets: Tensor | None) -> Tensor | None:
        """Which last hidden states the head needs, (B, S) booleans; None for all."""
        return None

    def score(self, output: Output, attention_mask: Tensor | None, **targets: Tensor | None) -> Output:
        raise NotImplementedError

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        return_attention: bool = False,
        return_hidden: bool = False,
        **targets: Tensor | None,
    ) -> Output:
        """As the backbone's forward; `targets` are the keyword arguments that `score` names below.

        When a head is asked about some positions only, the last block runs for these only, and last_hidden_state is
        0 elsewhere; unless hidden states or attention are to be returned, which are always whole.
        """
        self.backbone.check_inputs(input_ids, attention_mask, token_type_ids)
        positions = None if return_hidden or return_attention else self.reads(input_ids, **targets)
        output = self.backbone(
            input_ids, attention_mask, token_type_ids, return_attention, return_hidden, positions=positions
        )
        return self.score(output, attention_mask, **targets)


class MaskedLMHead(nn.Module):
    """Score every word of the vocabulary for a token: dense, activation, norm, then compare with each embedding.

    The word embeddings are the last layer's weights ("tied"): they are handed in, so that there is one tensor
    and it cannot come apart. Only the bias (V,) belongs to the head.

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


class MaskedLM(WithHead):
    """Guess the masked words."""

    def add_head(self) -> None:
        c = self.config
        self.lm = MaskedLMHead(c.hidden_size, c.output_embedding_size, c.vocab_size, c.hidden_act, c.layer_norm_eps)

    def reads(
        self, input_ids: Tensor, labels: Tensor | None = None, positions: Tensor | None = None, **_: Tensor | None
    ) -> Tensor | None:
        return asked_positions(input_ids.shape, labels, positions)

    def score(
        self,
        output: Output,
        attention_mask: Tensor | None,
        labels: Tensor | None = None,
        positions: Tensor | None = None,
    ) -> Output:
        """labels: (B, S), the true id where a word is to be guessed, -100 elsewhere.
        positions: (B, S) booleans, True where logits are wanted; with labels it is where they are not -100.

        Fills in logits: (M, V) for the M chosen positions, row by row, or (B, S, V) when nothing was chosen.
        And with labels, loss: the mean cross-entropy in nats over the M positions; 0 when there are none.
        """
        hidden = output.last_hidden_state
        positions = asked_positions(hidden.shape[:2], labels, positions)
        if positions is not None:
            hidden = hidden[positions]
        output.logits = self.lm(hidden, self.backbone.embeddings.word.weight)
        if labels is not None:
            output.loss = cross_entropy(output.logits, labels[positions])
        return output


def asked_positions(shape: torch.Size, labels: Tensor | None, positions: Tensor | None) -> Tensor | None:
    """Where a masked-lm head is asked, (B, S) booleans: at `positions`, else where there are labels, else None."""
    if labels is not None:
        check_shape(labels, shape, "labels")
        positions = labels != IGNORE if positions is None else positions
    if positions is None:
        return None
    check_shape(positions, shape, "positions")
    return positions.bool()


class Pretraining(MaskedLM):
    """Guess the masked words and the relation of two sentences, together.

    BERT: is the second the next one? (NSP: 0 is next, 1 random.) ALBERT: are they in order? (SOP: 0 in order,
    1 swapped.) Source: Devlin et al. 2019, section 3.1, task 2; Lan et al. 2020, section 3.1.
    """

    reads_pooled = True

    def add_head(self) -> None:
        super().add_head()
        if self.config.pair_task is None:
            raise MinibertError(
                f"{self.config.model_type} has no sentence-pair task in its pre-training: use head='masked-lm'."
            )
        self.pair_dropout = nn.Dropout(self.config.pair_dropout)
        self.pair = nn.Linear(self.config.hidden_size, 2)

    def reads(self, input_ids: Tensor, **targets: Tensor | None) -> Tensor | None:
        positions = super().reads(input_ids, **targets)
        if positions is None:
            return None
        positions = positions.clone()
        positions[:, 0] = True  # the pooler reads [CLS]
        return positions

    def score(
        self,
        output: Output,
        attention_mask: Tensor | None,
        labels: Tensor | None = None,
        positions: Tensor | None = None,
        pair_labels: Tensor | None = None,
    ) -> Output:
        """labels, positions: as for masked-lm. pair_labels: (B,), 0 or 1.

        Fills in logits, pair_logits (B, 2), and loss: the sum of the two losses whose labels are given. The two
        never share a call to the loss: label 0 of the pair is a class and is not ignored.
        """
        super().score(output, attention_mask, labels, positions)
        output.pair_logits = self.pair(self.pair_dropout(output.pooled))
        if pair_labels is not None:
            pair_loss = cross_entropy(output.pair_logits, pair_labels)
            output.loss = pair_loss if output.loss is None else output.loss + pair_loss
        return output


class SequenceClassification(WithHead):
    """One of C classes for a whole text.

    With a pooler: dropout and a linear layer on its output (Devlin et al. 2019, section 4.1). A family with a
    `classifier_act` (DistilBERT) puts a dense layer of its own, with that activation, in the pooler's place.
    """

    reads_labels = True

    @property
    def reads_pooled(self) -> bool:
        return self.config.classifier_act is None

    def add_head(self) -> None:
        c = self.config
        self.dense = nn.Linear(c.hidden_size, c.hidden_size) if c.classifier_act else None
        self.dropout = nn.Dropout(c.head_dropout)
        self.classifier = nn.Linear(c.hidden_size, c.num_labels)

    def score(self, output: Output, attention_mask: Tensor | None, labels: Tensor | None = None) -> Output:
        """labels: (B,), class numbers. Fills in logits (B, C) and, with labels, the mean cross-entropy in nats."""
        features = output.pooled
        if self.dense is not None:
            features = ACTIVATIONS[self.config.classifier_act](self.dense(output.last_hidden_state[:, 0]))
        output.logits = self.classifier(self.dropout(features))
        if labels is not None:
            output.loss = cross_entropy(output.logits, labels)
        return output


class TokenClassification(WithHead):
    """One of C classes for every token (Devlin et al. 2019, section 5.3)."""

    reads_labels = True

    def add_head(self) -> None:
        self.dropout = nn.Dropout(self.config.token_dropout)
        self.classifier = nn.Linear(self.config.hidden_size, self.config.num_labels)

    def score(self, output: Output, attention_mask: Tensor | None, labels: Tensor | None = None) -> Output:
        """labels: (B, S), class numbers, -100 where a token does not count.

        Fills in logits (B, S, C) and, with labels, the mean cross-entropy in nats over the tokens that count.
        """
        output.logits = self.classifier(self.dropout(output.last_hidden_state))
        if labels is not None:
            output.loss = cross_entropy(output.logits, labels)
        return output


class QuestionAnswering(WithHead):
    """Where in the text the answer starts and where it ends (Devlin et al. 2019, section 4.2)."""

    def add_head(self) -> None:
        self.dropout = nn.Dropout(self.config.span_dropout)
        self.span = nn.Linear(self.config.hidden_size, 2)

    def score(self, output: Output, attention_mask: Tensor | None, labels: Tensor | None = None) -> Output:
        """labels: (B, 2), the positions of the answer's first and last token.

        Fills in logits (B, S, 2): [..., 0] scores each position as the start, [..., 1] as the end. With labels,
        loss: the mean of the start's and the end's cross-entropy over the positions, in nats. Padding is no
        candidate: its logits are the lowest number, so that the loss is that of the text alone.
        """
        output.logits = self.span(self.dropout(output.last_hidden_state))
        if attention_mask is not None:
            padding = ~attention_mask.bool()[..., None]
            output.logits = output.logits.masked_fill(padding, torch.finfo(output.logits.dtype).min)
        if labels is not None:
            output.loss = cross_entropy(output.logits.transpose(1, 2), labels)
        return output


HEADS: dict[str, Callable[[Backbone], WithHead]] = {
    "masked-lm": MaskedLM,
    "pretraining": Pretraining,
    "sequence-classification": SequenceClassification,
    "token-classification": TokenClassification,
    "question-answering": QuestionAnswering,
}


def add_head(backbone: Backbone, head: str) -> WithHead:
    """Put a fresh head (a key of HEADS) on a backbone, which becomes part of the model.

    The backbone loses a pooler that the head does not read, and gets a fresh one where the head reads one that it
    lacks. Raises MinibertError for a head that does not exist.
    """
    if head not in HEADS:
        raise MinibertError(f"unknown head {head!r}; known heads: {', '.join(HEADS)}, or None for no head.")
    model = HEADS[head](backbone)
    for name, part in model.named_children():
        if name != "backbone":
            initialise(part, backbone.config.initializer_range)
    return model
