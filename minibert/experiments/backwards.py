"""A tiny BART learns in seconds to write seven words backwards: what cross-attention is for, seen in a model that needs
it.

All that the decoder knows of the text comes through cross-attention. To write the words backwards it must look at the
last word first, so after the training the weights run along the other diagonal.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from random import Random
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.optim import AdamW

from minibert.factory import build
from minibert.models.bart import BartConfig
from minibert.signs import Progress

WORDS = (
    "a", "and", "bad", "before", "book", "brother", "cast", "chose", "film", "friend", "funny", "good", "left", "liked",
    "long", "loved", "my", "night", "not", "plot", "short", "sister", "slept", "story", "the", "through", "too", "was",
    "whole", "your",
)  # fmt: skip
SPECIAL = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")  # at BART's numbers
START, PAD, END = 0, 1, 2
CONFIG = BartConfig(
    vocab_size=len(SPECIAL) + len(WORDS),
    hidden_size=64,
    encoder_layers=1,
    decoder_layers=1,
    encoder_attention_heads=4,
    decoder_attention_heads=4,
    encoder_ffn_dim=128,
    decoder_ffn_dim=128,
    max_position_embeddings=16,
    hidden_dropout_prob=0.0,
    forced_bos_token_id=START,
)
LENGTH = 7  # words in a text
STEPS, BATCH = 250, 64  # training steps, and texts in each
RATE, WARM_UP = 3e-3, 50  # the learning rate, and the steps in which it rises; after two thirds of the steps it falls


class Writing(NamedTuple):
    """What the model writes for a text, and where it looked. words: W tokens, without the start and the end.

    looked: (W, S), while each was written, the attention to each of the S tokens that were read; mean of the heads of
    the last layer. read: those S tokens.
    """

    words: list[str]
    looked: Tensor
    read: list[str]


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute on one core: in a tiny model, threads wait for each other longer than they compute, and much longer when
    the machine does other things."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def untrained(seed: int) -> nn.Module:
    return build(CONFIG, "seq2seq-lm", seed=seed).eval()


@one_thread()
def learn(model: nn.Module, seed: int, progress: Progress | None = None) -> None:
    """Train a model in place, on random words; about 5 seconds on one core."""
    rng = Random(seed)
    optimiser = AdamW(model.parameters(), lr=RATE, betas=(0.9, 0.98))
    model.train()
    for step in range(STEPS):
        for group in optimiser.param_groups:
            group["lr"] = RATE * min((step + 1) / WARM_UP, 1, 3 * (STEPS - step) / STEPS)
        texts = torch.tensor([numbers(random_text(rng)) for _ in range(BATCH)])
        loss = model(texts, labels=backwards(texts)).loss
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        if progress is not None:
            progress(step + 1, STEPS)
    model.eval()


@one_thread()
def share_right(model: nn.Module, seed: int, texts: int = 200, length: int = LENGTH) -> float:
    """The share of random texts that a model writes backwards without a mistake."""
    rng = Random(f"test {seed}")  # not the texts that were learned from
    read = torch.tensor([numbers(random_text(rng, length)) for _ in range(texts)])
    written = model.generate(read, max_length=CONFIG.max_position_embeddings)[:, 1:]
    wanted = backwards(read)
    width = wanted.shape[1]
    written = nn.functional.pad(written, (0, max(0, width - written.shape[1])), value=PAD)
    right = (written[:, :width] == wanted).all(dim=1) & (written[:, width:] == PAD).all(dim=1)
    return right.double().mean().item()


@one_thread()
def write(model: nn.Module, words: Sequence[str]) -> Writing:
    """Let a model write what it makes of a text of words in WORDS, and at least as many tokens."""
    vocabulary = (*SPECIAL, *WORDS)
    read = torch.tensor([numbers(words)])
    longest = CONFIG.max_position_embeddings
    written = model.generate(read, max_length=longest, min_length=read.shape[1])[0]
    with torch.no_grad():
        given = {"decoder_input_ids": written[None, :-1], "return_attention": True}
        weights = model(read, **given).cross_attentions[-1][0].mean(dim=0)
    # Row i of the weights belongs to the token that is written after token i: the first is <s>, the last </s>.
    return Writing(
        [vocabulary[token] for token in written[2:-1].tolist()],
        weights[1:-1],
        [vocabulary[token] for token in read[0].tolist()],
    )


def random_text(rng: Random, length: int = LENGTH) -> list[str]:
    return rng.choices(WORDS, k=length)


def numbers(words: Sequence[str]) -> list[int]:
    return [START, *(len(SPECIAL) + WORDS.index(word) for word in words), END]


def backwards(texts: Tensor) -> Tensor:
    """The words of each text in the opposite order; its start and its end stay. (B, S) -> (B, S)."""
    return torch.cat([texts[:, :1], texts[:, 1:-1].flip(1), texts[:, -1:]], dim=1)
