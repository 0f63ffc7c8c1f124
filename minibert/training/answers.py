"""Training on right answers that are not one class per text: what the objectives for tokens and for spans share.

The heads have losses of their own (heads.py); here the answers are put where these expect them, whatever side a batch
is padded on. token_labels.py and spans.py make the examples.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from minibert.losses import IGNORE
from minibert.tokenizers.base import Tokenizer
from minibert.training.batching import Example, inputs, padded
from minibert.training.loop import Batch


class Answers:
    """Learn the examples' right answers by the loss of the model's head. A subclass says where they are (`labels`)."""

    def __init__(self, examples: Sequence[Example], tokenizer: Tokenizer):
        self.weights = {"answers": 1.0}
        self.examples = examples
        self.tokenizer = tokenizer

    def labels(self, examples: Sequence[Example], attention_mask: Tensor) -> Tensor:
        """The answers to these examples as the head takes them; attention_mask: (B, S), of the padded batch."""
        raise NotImplementedError

    def batch(self, examples: Sequence[int], seed: int) -> Batch:
        chosen = [self.examples[i] for i in examples]
        batch = padded(chosen, self.tokenizer)
        return {**batch, "labels": self.labels(chosen, batch["attention_mask"])}

    def counts(self, batch: Batch) -> dict[str, int]:
        return {"answers": int((batch["labels"] != IGNORE).sum())}

    def losses(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        return {"answers": model(**inputs(batch), labels=batch["labels"]).loss}


def tokens_before_text(tokenizer: Tokenizer) -> int:
    """How many special tokens a row has before its text."""
    return tokenizer.assemble([tokenizer.mask_id]).ids.index(tokenizer.mask_id)


@torch.no_grad()
def scored(
    model: nn.Module, examples: Sequence[Example], tokenizer: Tokenizer, batch_size: int = 64
) -> Iterator[tuple[int, Tensor]]:
    """The number of each example, and the head's logits for its tokens without padding: (S, C), on the CPU.

    Examples of similar length are computed together, so they do not come in their own order.
    """
    device = next(model.parameters()).device
    order = sorted(range(len(examples)), key=lambda i: len(examples[i].ids))
    for start in range(0, len(order), batch_size):
        numbers = order[start : start + batch_size]
        batch = {name: tensor.to(device) for name, tensor in padded([examples[i] for i in numbers], tokenizer).items()}
        logits = model(**inputs(batch)).logits.float()
        for number, row, real in zip(numbers, logits, batch["attention_mask"].bool(), strict=True):
            yield number, row[real].cpu()
