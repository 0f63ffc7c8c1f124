"""Heads for pairs of texts, which read the mean vector of each; none of them is a published one."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from minibert.errors import MinibertError
from minibert.heads import MaskedLM, MeanPooled
from minibert.losses import mean_vector, text_loss
from minibert.model import Model, Output

STEEPNESS, LEVEL = 4.0, 0.6  # of a fresh head: see start_as_cosine


def mean_vectors(hidden: Tensor, input_ids: Tensor, attention_mask: Tensor | None, separator_id: int) -> list[Tensor]:
    """The mean vector of each of two texts, u and v, scaled to a root mean square of 1; both (B, D).

    hidden: (B, S, D). separator_id: of the token that ends each text; in a row without it all tokens are of the first
    text, and v is 0.
    """
    real = torch.ones_like(input_ids) if attention_mask is None else attention_mask
    ends = (input_ids == separator_id).long()
    second = (ends.cumsum(dim=1) - ends).clamp(max=1)  # 1 after the first separator
    means = (mean_vector(hidden, real * which) for which in (1 - second, second))
    return [nn.functional.normalize(mean, dim=-1) * hidden.shape[-1] ** 0.5 for mean in means]


@torch.no_grad()
def start_as_cosine(classifier: nn.Linear, width: int, alike: int) -> None:
    """Make class `alike` (0 or 1) the surer, by STEEPNESS, the farther the cosine is above LEVEL.

    classifier: its weight is (2, n · width), its bias (2,). The last `width` of its inputs are u * v, whose mean is the
    cosine. Few examples can improve on that, but from random weights they hardly teach that alike vectors mean alike
    texts.
    """
    signs = torch.full((2,), -0.5)
    signs[alike] = 0.5
    classifier.weight[:, -width:] = STEEPNESS / width * signs[:, None]
    classifier.bias.copy_(-STEEPNESS * LEVEL * signs)


class PairPooled(MeanPooled):
    """Do two texts in one row belong together? Class 1: they do; judged by the mean vector of each, u and v.

    The classifier reads |u - v| and u * v, and starts as their cosine. Not one of the published heads: use
    PairPooled(model, separator_id). Source of the idea: Reimers & Gurevych 2019, section 3, where each text is read by
    itself and the classifier reads u, v and |u - v|.
    """

    def __init__(self, backbone: Model, separator_id: int):
        """separator_id: of the token that ends each text. Raises MinibertError for a config without two labels."""
        super().__init__(backbone)
        self.separator_id = separator_id

    def add_head(self) -> None:
        width, classes = self.config.hidden_size, self.config.num_labels
        if classes != 2:
            raise MinibertError(
                f"PairPooled tells two classes apart, but the config names {classes}: give it two labels."
            )
        self.dropout = nn.Dropout(self.config.head_dropout)
        self.classifier = nn.Linear(2 * width, 2)
        nn.init.zeros_(self.classifier.weight)
        start_as_cosine(self.classifier, width, alike=1)

    def score(
        self, output: Output, input_ids: Tensor, attention_mask: Tensor | None, labels: Tensor | None = None
    ) -> Output:
        """labels: (B,), class numbers. Fills in logits (B, 2) and, with labels, the loss."""
        u, v = mean_vectors(output.last_hidden_state, input_ids, attention_mask, self.separator_id)
        output.logits = self.classifier(self.dropout(torch.cat([(u - v).abs(), u * v], dim=-1)))
        if labels is not None:
            output.loss = text_loss(output.logits, labels, self.config.problem_type)
        return output


class PairPretraining(MaskedLM):
    """Predict the masked words and the relation of two texts, together, as `Pretraining` does; but the relation is read
    from the mean vectors u and v of the texts instead of the summary of the first token.

    A summary takes long to learn. The classifier reads u, v, |u - v| and u * v; class 0 (the next sentence; in order)
    starts as the surer the more alike u and v are. Not one of the published heads. The idea has the source of
    PairPooled.
    """

    def __init__(self, masked_lm: MaskedLM, separator_id: int):
        """masked_lm: a model with that head, which goes on learning. separator_id: of the token that ends each text."""
        super().__init__(masked_lm.backbone)
        self.lm = masked_lm.lm
        self.separator_id = separator_id

    def add_head(self) -> None:
        super().add_head()
        self.pair = nn.Linear(4 * self.config.hidden_size, 2)
        nn.init.normal_(self.pair.weight, std=0.005)  # small beside the start
        start_as_cosine(self.pair, self.config.hidden_size, alike=0)

    def wanted_tokens(self, *_: Any, **targets: Any) -> None:
        """The mean needs the vectors of all tokens."""

    def score(
        self,
        output: Output,
        input_ids: Tensor,
        attention_mask: Tensor | None,
        labels: Tensor | None = None,
        wanted: Tensor | None = None,
    ) -> Output:
        """labels, wanted: as for masked-lm. Fills in logits, pair_logits (B, 2), and the loss of the masked words."""
        super().score(output, input_ids, attention_mask, labels, wanted)
        u, v = mean_vectors(output.last_hidden_state, input_ids, attention_mask, self.separator_id)
        output.pair_logits = self.pair(torch.cat([u, v, (u - v).abs(), u * v], dim=-1))
        return output
