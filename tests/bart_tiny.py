"""Tiny BARTs that test_bart.py, test_generation.py and test_infilling.py share; sizes and batches are tiny.py's."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from tiny import IDS, MASK, POSITIONS, B, C, D, F, H, L, S, V, randomise
from torch import nn

from minibert.factory import build
from minibert.models.bart import BartConfig

# The decoder differs from the encoder in each size that may differ. T: tokens that the decoder reads.
T, DECODER_L, DECODER_H, DECODER_F = 6, 3, 4, 22
CONFIG = BartConfig(
    vocab_size=V,
    hidden_size=D,
    encoder_layers=L,
    decoder_layers=DECODER_L,
    encoder_attention_heads=H,
    decoder_attention_heads=DECODER_H,
    encoder_ffn_dim=F,
    decoder_ffn_dim=DECODER_F,
    max_position_embeddings=POSITIONS,
    labels=tuple("abcdef"),
)
HEADS = (None, "seq2seq-lm", "sequence-classification", "question-answering")

# tiny.py's batch, with an eos in each text that is not all padding (the text 3 has another inside it).
READ = IDS.clone()
READ[0, 6] = READ[1, 3] = READ[2, 6] = READ[3, 2] = READ[3, 6] = READ[4, 6] = 2
WRITTEN = torch.randint(5, V, (B, T), generator=torch.Generator().manual_seed(2))
WRITTEN[:, 0] = 2
# Only the texts that are padded at the right, as this family's tokenizers do it.
RIGHT = {"input_ids": READ[:2], "attention_mask": MASK[:2]}
BATCH = {"input_ids": READ, "attention_mask": MASK, "decoder_input_ids": WRITTEN}

assert len({B, S, T, V, D, H, DECODER_H, F, DECODER_F, POSITIONS + 2}) == 10
assert len(CONFIG.labels) == C


def tiny_bart(head: str | None = None, seed: int = 0, **changes: Any) -> nn.Module:
    """A BART in float64 and evaluation mode, all numbers random; `changes` are fields of its config."""
    model = randomise(build(replace(CONFIG, **changes), head), seed)
    for buffer in model.buffers():
        buffer.copy_(torch.randn(buffer.shape, generator=torch.Generator().manual_seed(seed)))
    return model.double().eval()
