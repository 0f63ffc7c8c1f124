"""What a sentence model has learned, seen in the directions of its vectors: which texts mean something similar.

Source: Reimers & Gurevych 2019, "Sentence-BERT: Sentence Embeddings using Siamese BERT-Networks" (the mean of the last
hidden states as the vector of a text).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from minibert.losses import mean_vector
from minibert.signs import Progress
from minibert.tokenizers.base import Tokenizer

BATCH = 32  # texts per forward pass


def embed(model: nn.Module, tok: Tokenizer, texts: Sequence[str], progress: Progress | None = None) -> Tensor:
    """One vector of length 1 for each text, (len(texts), D): the mean of its real tokens' last hidden states.

    Texts that are longer than the model can read are truncated.
    """
    vectors = []
    for start in range(0, len(texts), BATCH):
        batch = tok(texts[start : start + BATCH], max_length=model.config.max_length)
        with torch.inference_mode():
            hidden = model(**batch).last_hidden_state  # (B, S, D), zeros at the padding
        vectors.append(mean_vector(hidden, batch["attention_mask"]))
        if progress is not None:
            progress(min(start + BATCH, len(texts)), len(texts))
    return F.normalize(torch.cat(vectors), dim=1)


def nearest(asked: Tensor, vectors: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The vectors that are nearest to each of those in `asked`, nearest first.

    asked: (Q, D), vectors: (N, D), all of length 1. Returns their numbers (0 to N - 1) and cosines, both (Q, count);
    with fewer than count vectors, (Q, N).
    """
    cosines, numbers = (asked @ vectors.T).topk(min(count, len(vectors)), dim=1)
    return numbers, cosines


def agreement(vectors: Tensor, labels: Tensor) -> tuple[float, float]:
    """The share of texts whose nearest other text has the same label, and the share expected by chance.

    vectors: (N, D) of length 1. labels: (N,), 0 or 1.
    """
    cosines = (vectors @ vectors.T).fill_diagonal_(-2)  # a text is not its own neighbour
    same = labels[cosines.argmax(dim=1)] == labels
    positive = labels.float().mean().item()
    return same.float().mean().item(), positive**2 + (1 - positive) ** 2
