"""A head for pairs of texts, from the mean vector of each; for tasks that a library model has no published head for."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from minibert.errors import MinibertError
from minibert.heads import MeanPooled
from minibert.losses import mean_vector, text_loss
from minibert.model import Model, Output


class PairPooled(MeanPooled):
    """Do two texts in one row belong together? Class 1: they do; judged by the mean vector of each, u and v.

    u and v are scaled to a root mean square of 1, and the classifier reads |u - v| and u * v, whose mean is the cosine.
    It starts as that cosine: even at LEVEL, and surer with the distance from it by STEEPNESS. Few examples can improve
    on that, but from random weights they hardly teach that alike vectors mean alike texts. Not one of the published
    heads: use PairPooled(model, separator_id). Source of the idea: Reimers & Gurevych 2019, section 3, where each text
    is read by itself and the classifier reads u, v and |u - v|.
    """

    STEEPNESS, LEVEL = 4.0, 0.6

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
        signs = torch.tensor([-0.5, 0.5])
        with torch.no_grad():
            self.classifier.weight.zero_()
            self.classifier.weight[:, width:] = self.STEEPNESS / width * signs[:, None]
            self.classifier.bias.copy_(-self.STEEPNESS * self.LEVEL * signs)

    def score(
        self, output: Output, input_ids: Tensor, attention_mask: Tensor | None, labels: Tensor | None = None
    ) -> Output:
        """labels: (B,), class numbers. Fills in logits (B, 2) and, with labels, the loss."""
        real = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        ends = (input_ids == self.separator_id).long()
        second = (ends.cumsum(dim=1) - ends).clamp(max=1)  # 1 after the first separator
        u, v = (
            nn.functional.normalize(mean_vector(output.last_hidden_state, real * which), dim=-1)
            * self.config.hidden_size**0.5
            for which in (1 - second, second)
        )  # (B, D)
        output.logits = self.classifier(self.dropout(torch.cat([(u - v).abs(), u * v], dim=-1)))
        if labels is not None:
            output.loss = text_loss(output.logits, labels, self.config.problem_type)
        return output
