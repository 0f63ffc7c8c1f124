"""Masked language modelling: hide some words of a text, and let the model predict them.

Masking has two steps. *Choosing* decides which tokens are to be predicted, as (B, S) booleans; each paper has its own
way, and there is a function for each of them here. *Corrupting* puts something else in their place; all models here do
this in the same way.

    free = candidates(input_ids, tokenizer.special_ids, attention_mask)
    chosen = choose_tokens(free, generator=generator)
    masked_ids, labels = corrupt(input_ids, chosen, tokenizer.mask_id, tokenizer.vocab_size, generator)

Nothing is remembered between calls and no input is changed: all randomness comes from the generator, so the same
seed gives the same masks. The two kinds of masking differ only in their seeds:

*Dynamic* (RoBERTa): a text gets a different mask each time it is seen. Mask each batch with a seed of its own, made
from the training run's seed, the epoch and the step.

*Static* (BERT): a text always has the same mask, whatever batch it is in. Give each text a seed of its own, made from
the training run's seed and the text's number, and mask the batch with `mask_one_by_one`. (BERT prepared ten masks per
text: there, epoch % 10 is part of the seed too.)

All tensors are on the CPU. Sources: Devlin et al. 2019 (BERT), section 3.1 and appendix A.1; Liu et al. 2019
(RoBERTa), section 4.1; Lan et al. 2020 (ALBERT), section 4.1; Sanh et al. 2019 (DistilBERT); and their released code.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from minibert.errors import MinibertError
from minibert.layers import check_ids
from minibert.losses import IGNORE, check_shape
from minibert.words import counted

# ------------------------------------------------------------------------------- 1. what may be chosen


def candidates(input_ids: Tensor, special_ids: Collection[int], attention_mask: Tensor | None = None) -> Tensor:
    """The tokens that may be chosen, (B, S) booleans: the real ones that are not special.

    input_ids: (B, S). special_ids: the ids of [CLS], [SEP], [PAD] and the like. attention_mask: (B, S), 1 real and 0
    padding, by default all real. Raises MinibertError for a mask of another shape.
    """
    free = ~torch.isin(input_ids, torch.tensor(sorted(special_ids), dtype=input_ids.dtype))
    if attention_mask is None:
        return free
    check_shape(attention_mask, input_ids.shape, "attention_mask")
    return free & attention_mask.bool()


def word_starts(input_ids: Tensor, continuation: Tensor) -> Tensor:
    """Where a word begins, (B, S) booleans.

    input_ids: (B, S). continuation: (V,) booleans, True for the tokens that continue a word (see
    `Tokenizer.continues`). Raises MinibertError for an id that is not in this vocabulary.
    """
    check_ids(input_ids, len(continuation), "input_ids", "continuation must be of the same tokenizer")
    return ~continuation[input_ids]


# ------------------------------------------------------------------------------------------ 2. choosing


def choose_tokens(candidates: Tensor, rate: float = 0.15, *, generator: torch.Generator) -> Tensor:
    """Choose tokens to be predicted, each by itself (BERT, RoBERTa): (B, S) booleans.

    candidates: (B, S) booleans. rate: the share to choose. Of n candidates in a text, rate · n are chosen; a fraction
    is rounded up or down at random, so that it is right on average: 15% of 30 is four or five.

    So every candidate is chosen with exactly this probability, in short texts too, and the number chosen hardly varies
    (if a coin were tossed for each token, it would). RoBERTa's code rounds like this. BERT's rounds to the nearest
    integer and takes at least one, which masks a third of a text of three tokens; its upper limit has no effect at
    the usual settings.

    Raises MinibertError unless candidates is (B, S) booleans and 0 < rate < 1.
    """
    _check_booleans(candidates, "candidates")
    _check_rate(rate)
    shuffled = torch.rand(candidates.shape, generator=generator).masked_fill_(~candidates, 2.0).argsort(dim=1)
    number = _share(rate, candidates.sum(dim=1, keepdim=True), generator)
    return torch.zeros_like(candidates).scatter(1, shuffled, torch.arange(candidates.shape[1]) < number)


def choose_whole_words(
    candidates: Tensor, word_starts: Tensor, rate: float = 0.15, *, generator: torch.Generator
) -> Tensor:
    """Choose whole words: all pieces of a word, or none (BERT's later release): (B, S) booleans.

    candidates, word_starts: (B, S) booleans. rate: the share of the words to choose, rounded as in `choose_tokens`;
    since long words are as likely to be chosen as short ones, it is also the share of the tokens. (BERT's code counts
    tokens instead, and skips a word that would exceed the number, so that long words are chosen too rarely.)

    Raises MinibertError unless both are (B, S) booleans and 0 < rate < 1.
    """
    starts = _words(candidates, word_starts)
    return _choose_groups(candidates, starts, rate, generator)


def choose_ngrams(
    candidates: Tensor, word_starts: Tensor, rate: float = 0.15, max_words: int = 3, *, generator: torch.Generator
) -> Tensor:
    """Choose n-grams of one to max_words whole words, short ones more often (ALBERT): (B, S) booleans.

    candidates, word_starts: (B, S) booleans. rate: the share to choose. The probability of length n is proportional to
    1/n; for up to three words this is 6/11, 3/11 and 2/11. An n-gram ends where the candidates end, for example before
    [SEP].

    The whole text is first divided into n-grams, then a share of them is chosen as in `choose_tokens`. So the lengths
    have the intended distribution, and each token is chosen with probability rate. (ALBERT's code places n-grams one
    after another, and shortens or drops those that overlap.)

    Raises MinibertError unless both are (B, S) booleans, 0 < rate < 1 and max_words is at least 1.
    Source: Lan et al. 2020, section 4.1.
    """
    starts = _words(candidates, word_starts)
    if max_words < 1:
        raise MinibertError(f"max_words is {max_words}; an n-gram has at least one word.")
    return _choose_groups(candidates, _cut_into_ngrams(candidates, starts, max_words, generator), rate, generator)


def choose_by_rarity(
    input_ids: Tensor,
    candidates: Tensor,
    counts: Tensor,
    rate: float = 0.15,
    exponent: float = -0.7,
    *,
    generator: torch.Generator,
) -> Tensor:
    """Choose tokens of the whole batch, rare words more often (DistilBERT): (B, S) booleans.

    input_ids: (B, S). candidates: (B, S) booleans. counts: (V,), how often each token occurs in the corpus; 0 counts
    as 1. rate: the share of the batch's candidates to choose. They are drawn one after another without replacement,
    with probability proportional to count ** exponent: a token that occurs 1000 times as often is 126 times less likely
    to be drawn.

    Raises MinibertError for shapes that differ, an id without a count, or a rate outside (0, 1).
    Source: the released code of Sanh et al. 2019 (distiller.py).
    """
    _check_booleans(candidates, "candidates")
    check_shape(input_ids, candidates.shape, "input_ids")
    check_ids(input_ids, len(counts), "input_ids", "counts must be of the same tokenizer")
    _check_rate(rate)
    # Each token gets an exponential waiting time, -log(uniform) / weight: with twice the weight it is half as long on
    # average. Drawing without replacement is the same as taking the tokens in the order of these times.
    weights = counts.double().clamp(min=1).pow(exponent)[input_ids]
    times = -torch.rand(weights.shape, dtype=torch.float64, generator=generator).log() / weights
    number = int(_share(rate, candidates.sum(), generator))
    first = times.masked_fill_(~candidates, torch.inf).flatten().topk(number, largest=False).indices
    return torch.zeros(candidates.numel(), dtype=torch.bool).index_fill_(0, first, True).view_as(candidates)


def _share(rate: float, total: Tensor, generator: torch.Generator) -> Tensor:
    """rate · total, rounded up or down at random so that the mean is right: 4.2 gives 5 in a fifth of cases, else 4."""
    chance = torch.rand(total.shape, dtype=torch.float64, generator=generator)
    return (rate * total.double() + chance).floor().long()


def _words(candidates: Tensor, word_starts: Tensor) -> Tensor:
    """Where a candidate begins a word, (B, S) booleans. A word always begins after a token that is not a candidate."""
    _check_booleans(candidates, "candidates")
    _check_booleans(word_starts, "word_starts")
    check_shape(word_starts, candidates.shape, "word_starts")
    return candidates & (word_starts | _follows_a_break(candidates))


def _follows_a_break(candidates: Tensor) -> Tensor:
    """Where the token to the left is not a candidate, or there is none: (B, S) booleans."""
    broken = torch.ones_like(candidates)
    broken[:, 1:] = ~candidates[:, :-1]
    return broken


def _cut_into_ngrams(candidates: Tensor, starts: Tensor, max_words: int, generator: torch.Generator) -> Tensor:
    """Where an n-gram begins, when each text's words are divided into n-grams of random length: (B, S) booleans."""
    odds = 1 / torch.arange(1, max_words + 1)
    longer = odds.cumsum(0)[:-1] / odds.sum()  # a random number beyond the first bound means two words or more
    lengths = 1 + torch.bucketize(torch.rand(starts.shape, generator=generator), longer)
    # Counted in words: the first n-gram begins at word 0, each of the others at the sum of the lengths before it.
    batch, size = starts.shape
    begins = torch.zeros(batch, size + 1, dtype=torch.bool)
    begins[:, 0] = True
    begins.scatter_(1, lengths.cumsum(dim=1).clamp(max=size), True)
    word_number = starts.cumsum(dim=1).sub_(1).clamp_(min=0)
    return starts & (begins.gather(1, word_number) | _follows_a_break(candidates))


def _choose_groups(candidates: Tensor, starts: Tensor, rate: float, generator: torch.Generator) -> Tensor:
    """Choose whole groups of neighbouring candidates; each group begins at one of the starts: (B, S) booleans."""
    chosen_starts = choose_tokens(starts, rate, generator=generator)
    positions = torch.arange(starts.shape[1]) * starts
    group_start = positions.cummax(dim=1).values
    return chosen_starts.gather(1, group_start) & candidates


# ---------------------------------------------------------------------------------------- 3. corrupting


class Masked(NamedTuple):
    """What the model sees and what it has to predict, both (B, S); labels are -100 where it predicts nothing."""

    input_ids: Tensor
    labels: Tensor


def corrupt(input_ids: Tensor, chosen: Tensor, mask_id: int, vocab_size: int, generator: torch.Generator) -> Masked:
    """Hide the chosen tokens: 80% become [MASK], 10% a random token, 10% stay; all of them are to be predicted.

    input_ids: (B, S), not changed. chosen: (B, S) booleans. mask_id: the id of [MASK]. vocab_size: V; the random token
    can be any token of the vocabulary, as in BERT's code.

    [MASK] never occurs in real text, so a model must not learn to predict words only there. One draw decides what
    happens to a token. (Two independent draws would change some tokens twice, or give other shares than 80/10/10.)

    Raises MinibertError for shapes that differ, or an id or mask_id outside the vocabulary.
    Source: Devlin et al. 2019, section 3.1, task 1, and appendix A.1.
    """
    _check_booleans(chosen, "chosen")
    check_shape(chosen, input_ids.shape, "chosen")
    check_ids(input_ids, vocab_size, "input_ids", "vocab_size must be that of the same tokenizer")
    if not 0 <= mask_id < vocab_size:
        raise MinibertError(f"mask_id is {mask_id}, but the vocabulary runs from 0 to {vocab_size - 1}.")
    fate = torch.randint(10, input_ids.shape, generator=generator)  # 0 to 7: [MASK], 8: a random token, 9: stays
    random_ids = torch.randint(vocab_size, input_ids.shape, generator=generator)
    corrupted = torch.where(chosen & (fate <= 7), mask_id, input_ids)
    corrupted = torch.where(chosen & (fate == 8), random_ids, corrupted)
    return Masked(corrupted, torch.where(chosen, input_ids, IGNORE).long())


# ------------------------------------------------------------------------------------ 4. static masking


def mask_one_by_one(
    mask: Callable[[Tensor, Tensor, torch.Generator], Masked],
    input_ids: Tensor,
    attention_mask: Tensor,
    seeds: Sequence[int],
) -> Masked:
    """Mask each text by itself, so that its mask depends only on its seed and not on the rest of the batch.

    mask: a function of input_ids (B, S), attention_mask (B, S) and a generator, such as the three lines at the top of
    this file; it is called for one text at a time. input_ids, attention_mask: (B, S). seeds: B of them, one per text.

    `mask` does not see the padding, which would use up random numbers, and not equally many in each batch.
    Raises MinibertError for shapes that do not match, or a number of seeds other than B.
    """
    check_shape(attention_mask, input_ids.shape, "attention_mask")
    if len(seeds) != len(input_ids):
        texts = counted(len(input_ids), "text")
        raise MinibertError(f"{texts} cannot be masked with {counted(len(seeds), 'seed')}: each text needs its own.")
    result = Masked(input_ids.clone(), torch.full_like(input_ids, IGNORE, dtype=torch.long))
    generator = torch.Generator()
    for row, (real, seed) in enumerate(zip(attention_mask.bool(), seeds, strict=True)):
        text = input_ids[row : row + 1, real]
        alone = mask(text, torch.ones_like(text), generator.manual_seed(seed))
        result.input_ids[row, real], result.labels[row, real] = alone.input_ids[0], alone.labels[0]
    return result


# -------------------------------------------------------------------------------------- checking input


def _check_booleans(tensor: Tensor, name: str) -> None:
    if tensor.dtype != torch.bool or tensor.ndim != 2:
        raise MinibertError(
            f"{name} has shape {tuple(tensor.shape)} and type {tensor.dtype}, but must be (B, S) booleans; "
            "for a single text, (1, S)."
        )


def _check_rate(rate: float) -> None:
    if not 0 < rate < 1:
        raise MinibertError(f"rate is {rate}, but must be between 0 and 1: 0.15 chooses 15% of the tokens.")
