"""A learner's function inside XLNet and BART: what it does at its seam (see swap.py), and how the model is run there.

Each work gets the learner's function (`mine`), what the library does there (`own`), and then the arguments of the
place itself. Each run makes a model do what the seam is part of, and returns what is compared with and without the
learner's function: `tokens`, for each sentence, and `hidden`, tensors by where they are in the model (perhaps none).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from minibert.attention import Layout
from minibert.generation import Candidate, Step
from minibert.models.bart import Decoder, DecoderBlock, KeysAndValues
from minibert.tokenizers.base import Tokenizer
from minibert.training import permutation
from minibert.training.infilling import Infilling, Word

ENDS = 0.8  # is added to the score of the end of a text, so that some texts end early
Function = Callable[..., Any]
Found = dict[str, Any]


def by_layer(states: Sequence[Tensor], which: Tensor, of: str = "") -> dict[str, Tensor]:
    """The hidden states (B, S, D) of L + 1 layers at the places `which`, (N, D) each, with words for where they are."""
    names = ["after the embeddings", *(f"after layer {layer} of {len(states) - 1}" for layer in range(1, len(states)))]
    return {f"{name}{of}": layer[which] for name, layer in zip(names, states, strict=True)}


# --------------------------------------------------------------------------------------------------- XLNet


def relative_shift(mine: Function, own: Function, scores: Tensor) -> Tensor:
    return mine(scores)


def permutation_mask(mine: Function, own: Function, order: Tensor, chosen: Tensor | None = None) -> Tensor:
    if chosen is not None:  # with a context that all may see
        return own(order, chosen)
    query, _ = mine(order)
    return query.to(torch.int8)


@torch.no_grad()
def run_xlnet(model: nn.Module, tok: Tokenizer, sentences: Sequence[str]) -> Found:
    """Both streams in a random order, and once more with what was read in the memory."""
    batch = tok(list(sentences))
    ids, mask = batch["input_ids"], batch["attention_mask"]
    real, generator = mask.bool(), torch.Generator().manual_seed(0)
    chosen = real & (torch.rand(ids.shape, generator=generator) < 0.3)
    hidden = permutation.order_mask(permutation.factorisation_order(mask, chosen, generator=generator))
    asked = permutation.targets(ids, chosen)
    used = asked.pop("labels") >= 0
    first = model(**batch, perm_mask=hidden, **asked, return_hidden=True)
    second = model(**batch, mems=first.mems, return_hidden=True)
    return {
        "tokens": [tok.encode(text).tokens for text in sentences],
        "hidden": by_layer(first.hidden_states, real, " of the content stream")
        | by_layer(first.query_hidden_states, used, " of the query stream")
        | by_layer(second.hidden_states, real, " (with a memory)"),
    }


# ---------------------------------------------------------------------------------------------------- BART


def infilling(mine: Function, own: Function, words: Sequence[Word], spans: Sequence[tuple[int, int]], mask_id: int):
    """The exercise's text has one id for a word, so each word is given its number, and the mask the next one."""
    found = mine(list(range(len(words))), list(spans), len(words))
    parts = [*words, [mask_id]]
    return [i for number in found for i in parts[number]]


def decoder_reads(mine: Any, own: Function, self: Decoder, encoded: Tensor, layout: Layout) -> Any:
    """The blocks get keys and values only, so what they were made from is kept for `decoder_attention`."""
    mine.encoded = encoded
    return own(self, encoded, layout)


def decoder_attention(
    mine: Any,
    own: Function,
    self: DecoderBlock,
    x: Tensor,
    layout: Layout,
    mask: Tensor | None,
    text: KeysAndValues,
    text_layout: Layout,
    before: KeysAndValues | None = None,
    return_weights: bool = False,
) -> tuple[Tensor, KeysAndValues, Tensor | None, Tensor | None]:
    real = None if layout.mask is None else layout.mask[:, 0, 0].long()
    # The exercise has no cache, no dropout, and padding at the right alone, which nothing before it can see.
    plain = real is None or not bool((real.diff(dim=1) > 0).any())
    if mask is None or before is not None or self.training or not plain:
        return own(self, x, layout, mask, text, text_layout, before, return_weights)
    kept, weights, cross_weights = self.attention.keys_and_values(x, x, layout), None, None
    if return_weights:
        _, kept, weights, cross_weights = own(self, x, layout, mask, text, text_layout, before, return_weights)
    its = {name: p for name, p in self.named_parameters() if not name.startswith(("feed_forward.", "norm."))}
    read = mine.encoded
    ones = torch.ones(read.shape[:2], dtype=torch.long) if text_layout.mask is None else text_layout.mask[:, 0, 0]
    x = layout.pack(mine(layout.unpack(x), read, ones.long(), its, self.attention.num_heads))
    return self.norm(x + self.feed_forward(x)), kept, weights, cross_weights


def beam_step(
    mine: Function,
    own: Function,
    totals: Tensor,
    log_probs: Tensor,
    eos: int,
    length: int,
    length_penalty: float = 1.0,
    last: bool = False,
) -> list[Step]:
    if last:  # the exercise's texts may all go on
        return own(totals, log_probs, eos, length, length_penalty, last)
    steps = []
    for its, log_prob in zip(totals, log_probs, strict=True):
        continuing, finished = mine(its, log_prob, eos, length, length_penalty)
        steps.append(
            Step(
                [Candidate(float(total), int(beam), int(word)) for total, beam, word in continuing],
                [Candidate(float(score), int(beam), eos) for score, beam in finished if score > -math.inf],
            )
        )
    return steps


@torch.no_grad()
def run_infilling(model: nn.Module, tok: Tokenizer, sentences: Sequence[str]) -> Found:
    """Corrupted texts, and what the decoder makes of them when it writes the originals."""
    task = Infilling([[tok.ids(text)] for text in sentences], tok, max_length=60, rate=0.5, mean=2.0)
    batch = task.batch(range(len(sentences)), seed=0)
    written, real = batch["labels"], batch["decoder_attention_mask"]
    output = model.backbone(
        batch["input_ids"],
        batch["attention_mask"],
        decoder_input_ids=written.masked_fill(real == 0, tok.pad_id),
        decoder_attention_mask=real,
        return_hidden=True,
    )
    tokens = [[tok.tokens[i] for i in row if i != tok.pad_id] for row in batch["input_ids"].tolist()]
    return {"tokens": tokens, "hidden": by_layer(output.hidden_states, real.bool(), " of the decoder")}


@torch.no_grad()
def run_beam_search(model: nn.Module, tok: Tokenizer, sentences: Sequence[str]) -> Found:
    """What is written for each sentence. With weights that were drawn at random it says nothing."""
    batch = tok(list(sentences))
    model.lm.bias[0, tok.sep_id] = ENDS
    written = [
        model.generate(batch["input_ids"], batch["attention_mask"], max_length=12, num_beams=3, length_penalty=penalty)
        for penalty in (0.5, 2.0)
    ]
    return {"tokens": [[tok.tokens[i] for ids in written for i in ids[n].tolist()] for n in range(len(sentences))],
            "hidden": {}}  # fmt: skip
