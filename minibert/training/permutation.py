"""Permutation language modelling: predict words one after another, in a random order, from those before them.

The text is never permuted, and no word is hidden behind [MASK]. A *factorisation order* numbers the tokens of a text
at random, and a token may look only at those with lower numbers: a mask says so. The last sixth of the order is
predicted (the paper's K = 6), as a word that comes early in it has too little to be predicted from.

    free = candidates(input_ids, tokenizer.special_ids, attention_mask)
    chosen = choose_tokens(free, 1 / 6, generator=generator)
    order = factorisation_order(attention_mask, chosen, generator=generator)
    model(input_ids, attention_mask, perm_mask=order_mask(order), **targets(input_ids, chosen))

Which words are chosen, each by itself, whole words or n-grams, is decided by the functions of objectives.py. Special
tokens are never predicted.

All tensors are on the CPU. Source: Yang et al. 2019 (XLNet), sections 2.2 and 2.3, equations 3 and 5.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from minibert.errors import MinibertError
from minibert.losses import IGNORE, check_shape
from minibert.tokenizers.base import Tokenizer
from minibert.training.batching import Example, check_words, inputs, padded
from minibert.training.loop import Batch
from minibert.training.objectives import candidates
from minibert.training.tasks import make_chooser


def factorisation_order(attention_mask: Tensor, chosen: Tensor, *, generator: torch.Generator) -> Tensor:
    """A random order of each text's tokens, in which the chosen ones come last: (B, S), numbers from 0 to S - 1.

    attention_mask: (B, S), 1 real and 0 padding. chosen: (B, S) booleans, what is to be predicted. All orders of the
    others are equally likely, and all orders of the chosen. So if the chosen are equally likely too, this is a random
    order of which the last ones are predicted. Padding comes after them all.

    Raises MinibertError for shapes that differ.
    """
    check_shape(chosen, attention_mask.shape, "chosen")
    turn = torch.rand(chosen.shape, dtype=torch.float64, generator=generator) + chosen.double()
    turn = turn.masked_fill(~attention_mask.bool(), 2.0)
    return turn.argsort(dim=1, stable=True).argsort(dim=1)


def order_mask(order: Tensor, chosen: Tensor | None = None) -> Tensor:
    """The perm_mask of a factorisation order, (B, S, S): 1 where token i may not look at token j, else 0.

    order: (B, S), different numbers within a text. A token may look at those with lower numbers than its own, so never
    at itself (in the content stream, the model adds that).
    chosen: (B, S) booleans, the last ones of the order. Where they are given, the tokens that are not predicted may all
    look at each other, as in the released code. In the paper's equations they too follow the order.
    """
    hidden = order[:, :, None] <= order[:, None, :]
    if chosen is not None:
        hidden = hidden & chosen[:, None, :]
    return hidden.to(torch.int8)


def targets(input_ids: Tensor, chosen: Tensor) -> dict[str, Tensor]:
    """What is to be predicted, in the order of the text: {"target_mapping": (B, P, S), "labels": (B, P)}.

    input_ids: (B, S). chosen: (B, S) booleans. P is the largest number of chosen tokens in a text, at least 1. A text
    with fewer has rows of zeros in target_mapping, and -100 in labels. Raises MinibertError for shapes that differ.
    """
    check_shape(chosen, input_ids.shape, "chosen")
    number = chosen.sum(dim=1)
    most = max(int(number.max()), 1)
    places = chosen.to(torch.int8).argsort(dim=1, descending=True, stable=True)[:, :most]  # (B, P)
    used = torch.arange(most) < number[:, None]
    mapping = torch.zeros(*places.shape, input_ids.shape[1], dtype=torch.int8)
    mapping.scatter_(2, places[:, :, None], used[:, :, None].to(torch.int8))
    return {"target_mapping": mapping, "labels": torch.where(used, input_ids.gather(1, places), IGNORE).long()}


class PermutedWords:
    """The task: predict the last words of a random factorisation order (an Objective of the loop).

    k: one word in k is predicted, K in the paper. masking: how they are chosen, a name of MASKINGS. whole_context: the
    words that are not predicted may all look at each other, as in the released code (see `order_mask`).
    """

    def __init__(
        self,
        examples: Sequence[Example],
        tokenizer: Tokenizer,
        k: int = 6,
        masking: str = "tokens",
        whole_context: bool = False,
    ):
        if not isinstance(k, int) or k < 2:
            raise MinibertError(f"k is {k!r}; one word in k is predicted, so it must be an integer, at least 2.")
        check_words(examples, tokenizer)
        self.examples = examples
        self.tokenizer = tokenizer
        self.choose = make_chooser(masking, tokenizer, examples, 1 / k)
        self.whole_context = whole_context
        self.weights = {"permutation_lm": 1.0}

    def batch(self, examples: Sequence[int], seed: int) -> Batch:
        batch = padded([self.examples[i] for i in examples], self.tokenizer)
        ids, mask = batch["input_ids"], batch["attention_mask"]
        generator = torch.Generator().manual_seed(seed)
        chosen = self.choose(ids, candidates(ids, self.tokenizer.special_ids, mask), generator)
        order = factorisation_order(mask, chosen, generator=generator)
        hidden = order_mask(order, chosen if self.whole_context else None)
        return {**batch, "perm_mask": hidden, **targets(ids, chosen)}

    def answers(self, example: Example) -> list[int]:
        """The ids that may have to be predicted: all but the special tokens."""
        return [i for i in example.ids if i not in self.tokenizer.special_ids]

    def counts(self, batch: Batch) -> dict[str, int]:
        return {"permutation_lm": int((batch["labels"] != IGNORE).sum())}

    def losses(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        asked = {name: batch[name] for name in ("perm_mask", "target_mapping", "labels")}
        return {"permutation_lm": model(**inputs(batch), **asked).loss}
