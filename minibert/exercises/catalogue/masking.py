"""What BERT and ALBERT are pre-trained on: masked words, pairs of sentences, and the losses of both.

Masking and pairs are random, so the answers' statistics are compared, and what has to hold for each single token.
The views below say what is looked at. In each there are two kinds of entries: shares, which may differ by the
exercise's tolerance, five standard errors of the difference of two right answers or more; and sentences with yes and
no, which may not differ at all.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from minibert import heads
from minibert.classroom.worker import Built, Call
from minibert.exercises.engine import Exercise, Hints, Mistake, Probe
from minibert.exercises.probes import randint, randn
from minibert.training.objectives import choose_tokens, corrupt
from minibert.training.pairs import nsp_pairs, sop_pairs

# ----------------------------------------------------------------------------------------------- masking tokens

PAD, CLS, SEP, MASK, VOCABULARY = 0, 1, 2, 3, 40


def texts(count: int, length: int, seed: int) -> tuple[Tensor, Tensor]:
    """Ids (count, length), [CLS] word ... word [SEP] and some padding, and where the words are. Words are 10 to 29."""
    ids = randint(10, 30, (count, length), seed=seed)
    ids[:, 0] = CLS
    for row in range(count):
        end = length - 1 - row % (length // 5)
        ids[row, end], ids[row, end + 1 :] = SEP, PAD
    return ids, ids >= 10


FEW, FEW_WORDS = texts(25, 40, seed=1)
MANY, MANY_WORDS = texts(900, 400, seed=2)
MANY_IDS = set(MANY.unique().tolist())
# Of 100 chosen tokens, how many become [MASK] and how many a random token; the others stay.
FATES = {"80/10/10": (80, 10), "81/10/9": (81, 10), "72/10/18": (72, 10), "80/2/18": (80, 2), "100/0/0": (100, 0),
         "80/20/0": (80, 20), "80/0/20": (80, 0), "10/80/10": (10, 80)}  # fmt: skip


def mask_tokens_reference(
    input_ids: Tensor,
    may_be_chosen: Tensor,
    mask_id: int,
    vocab_size: int,
    rate: float = 0.15,
    generator: torch.Generator | None = None,
    *,
    fates: str = "80/10/10",
    among: str = "those that may",
    share: str = "rate",
    chance: str = "generator",
    ids: str = "any",
    labelled: str = "chosen",
    elsewhere: int = -100,
    kept: str = "original",
    in_place: bool = False,
    order: str = "ids, labels",
) -> tuple[Tensor, Tensor]:
    """Masking with knobs; the defaults are section 3.1 of Devlin et al. 2019."""
    if chance == "fixed seed":
        generator = torch.Generator().manual_seed(0)
    elif chance == "torch's own":
        generator = None
    original = input_ids
    rate = {"rate": rate, "always 0.15": 0.15, "of [MASK]": rate / 0.8}[share]
    draws = torch.rand(input_ids.shape[1:] if chance == "one row" else input_ids.shape, generator=generator)
    may = {"those that may": may_be_chosen, "all": torch.ones_like(may_be_chosen), "others": ~may_be_chosen}[among]
    chosen = may & (draws < rate)
    to_mask, to_random = FATES[fates]
    fate = torch.randint(100, input_ids.shape, generator=generator)
    low, high = {"last left out": (0, vocab_size - 1), "few": (0, vocab_size // 2)}.get(ids, (0, vocab_size))
    random_ids = torch.randint(low, high, (1,) if ids == "one" else input_ids.shape, generator=generator)
    if ids == "of the batch":
        random_ids = original.flatten()[torch.randint(original.numel(), input_ids.shape, generator=generator)]
    masked = torch.where(chosen & (fate < to_mask), mask_id, original)
    masked = torch.where(chosen & (fate >= to_mask) & (fate < to_mask + to_random), random_ids, masked)
    where = {
        "chosen": chosen,
        "[MASK] only": chosen & (masked == mask_id),
        "changed": masked != original,
        "all": torch.ones_like(chosen),
        "not chosen": ~chosen,
    }[labelled]
    labels = torch.where(where, original if kept == "original" else masked, elsewhere)
    if in_place:
        masked = input_ids.copy_(masked)
    return (masked, labels) if order == "ids, labels" else (labels, masked)


def mask_tokens_probes() -> list[Probe]:
    def few(seed: int) -> tuple[Any, ...]:
        return FEW, FEW_WORDS, MASK, VOCABULARY, 0.5, Built("generator", (seed,))

    many = (MANY, MANY_WORDS, MASK, VOCABULARY, 0.7, Built("generator", (16,)))
    return [
        Probe("25 texts, three times", Call(few(1), again=(few(1), few(2))), {"B": 25, "S": 40}),
        Probe("900 texts", Call(many), {"B": 900, "S": 400}),
    ]


def seen_of_masking(output: Any) -> Mapping[str, Any]:
    """What is looked at in the outcome of a masking probe. Raises for what is not pairs of whole numbers (B, S)."""
    if isinstance(output[0], Tensor):
        return shares_of_masking(*output)
    (masked, labels), same, other = output
    if masked.shape != FEW.shape or labels.shape != FEW.shape:
        raise ValueError
    if masked.min() < 0:  # no id: most likely these are the labels
        return {"the lowest of masked_ids": str(int(masked.min()))}
    lowest = labels.min()
    whole = not masked.is_floating_point() and not labels.is_floating_point()
    has_label = labels != lowest
    changed = masked != FEW
    stays = has_label & ~changed
    return {
        "both are whole numbers": whole,
        "the label where there is nothing to guess": str(int(lowest)),
        "labels are the original ids": bool((labels == FEW)[has_label].all()),
        "every text has a mask of its own": bool((has_label[:8] != has_label[8:16]).any()),  # alike in length
        "something that may not be chosen has a label": bool((has_label & ~FEW_WORDS).any()),
        "something that may not be chosen is changed": bool((changed & ~FEW_WORDS).any()),
        "something is changed but has no label": bool((changed & ~has_label).any()),
        # A random id is the old one now and then, so that a few stay in any case.
        "some stay and have a label": bool(stays.sum() > 0.03 * has_label.sum()),
        "something changes into another word and has a label": bool((changed & (masked != MASK) & has_label).any()),
        "the same seed gives the same": torch.equal(masked, same[0]) and torch.equal(labels, same[1]),
        "another seed gives the same": torch.equal(masked, other[0]),
    }


def shares_of_masking(masked: Tensor, labels: Tensor) -> Mapping[str, Any]:
    if masked.shape != MANY.shape or labels.shape != MANY.shape:
        raise ValueError
    if masked.min() < 0:
        return {"the lowest of masked_ids": str(int(masked.min()))}
    chosen = (labels != labels.min()) & MANY_WORDS
    before, after = MANY[chosen], masked[chosen].long()
    stays = after == before
    number = max(len(before), 1)
    kept = int(stays.sum())
    found = torch.bincount(after[~stays], minlength=VOCABULARY)  # how often each id has come in
    hidden, others = int(found[MASK]), found.clone()
    others[MASK] = 0
    words = others.nonzero().flatten().tolist()
    seen = {
        "every text has a mask of its own": not torch.equal(chosen[0], chosen[80]),  # alike in length
        "there is more than one random id": len(words) != 1,
        "share of the chosen that becomes [MASK]": hidden / number,
    }
    if seen["every text has a mask of its own"]:  # one mask for all has few draws, and its share is left to chance
        seen["share that is chosen"] = number / int(MANY_WORDS.sum())
    if seen["there is more than one random id"]:  # of a single one, chance says whether it is in the texts as well
        seen |= {
            "share of the chosen that becomes another token": int(others.sum()) / number,
            "share of the chosen that stays": kept / number,
            "the lowest and the highest random id": f"{words[0]} and {words[-1]}" if words else "none",
            "ids that are in no text come up": any(word not in MANY_IDS for word in words),
        }
    return seen


def mask_tokens(
    input_ids: Tensor,
    may_be_chosen: Tensor,
    mask_id: int,
    vocab_size: int,
    rate: float = 0.15,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor]:
    chosen = may_be_chosen & (torch.rand(input_ids.shape, generator=generator) < rate)
    labels = input_ids.masked_fill(~chosen, -100)
    # One draw decides on each token: up to 0.8 it becomes [MASK], up to 0.9 a random token, beyond it stays.
    fate = torch.rand(input_ids.shape, generator=generator)
    random_ids = torch.randint(vocab_size, input_ids.shape, generator=generator)
    masked = input_ids.masked_fill(chosen & (fate < 0.8), mask_id)
    masked = torch.where(chosen & (fate >= 0.8) & (fate < 0.9), random_ids, masked)
    return masked, labels


def mask_tokens_by_library(
    input_ids: Tensor,
    may_be_chosen: Tensor,
    mask_id: int,
    vocab_size: int,
    rate: float = 0.15,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor]:
    chosen = choose_tokens(may_be_chosen, rate, generator=generator)
    masked, labels = corrupt(input_ids, chosen, mask_id, vocab_size, generator)
    return masked, labels


def mask_tokens_by_two_draws(
    input_ids: Tensor,
    may_be_chosen: Tensor,
    mask_id: int,
    vocab_size: int,
    rate: float = 0.15,
    generator: torch.Generator | None = None,
) -> list[Tensor]:
    masked, labels = input_ids.clone(), input_ids.clone()
    chosen = torch.bernoulli(may_be_chosen * rate, generator=generator).bool()
    labels[~chosen] = -100
    hidden = torch.bernoulli(torch.full(labels.shape, 0.8), generator=generator).bool() & chosen
    masked[hidden] = mask_id
    # Half of what is left over is 10% of all.
    other = torch.bernoulli(torch.full(labels.shape, 0.5), generator=generator).bool() & chosen & ~hidden
    masked[other] = torch.randint(vocab_size, (int(other.sum()),), generator=generator)
    return [masked, labels]


def mask_tokens_by_shuffling(
    input_ids: Tensor,
    may_be_chosen: Tensor,
    mask_id: int,
    vocab_size: int,
    rate: float = 0.15,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """The places are shuffled, and the first of them taken, as the released code does it, over the whole batch."""
    flat = input_ids.flatten()
    places = may_be_chosen.flatten().nonzero().flatten()
    places = places[torch.randperm(len(places), generator=generator)][: round(rate * len(places))]
    masked, labels = flat.clone(), torch.full_like(flat, -100)
    labels[places] = flat[places]
    most = round(0.8 * len(places))
    some = places[most : most + round(0.1 * len(places))]
    masked[places[:most]] = mask_id
    masked[some] = torch.randint(vocab_size, some.shape, generator=generator)
    return masked.view_as(input_ids), labels.view_as(input_ids)


def mask_tokens_by_one_number(
    input_ids: Tensor,
    may_be_chosen: Tensor,
    mask_id: int,
    vocab_size: int,
    rate: float = 0.15,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """A single number for each token decides both whether it is chosen and what becomes of it."""
    number = torch.rand(input_ids.shape, generator=generator, dtype=torch.float64) / rate
    others = (torch.rand(input_ids.shape, generator=generator, dtype=torch.float64) * vocab_size).long()
    number = number.masked_fill(~may_be_chosen, 2.0)
    masked = torch.where(number < 0.8, mask_id, torch.where(number < 0.9, others, input_ids))
    return masked, torch.where(number < 1.0, input_ids, -100)


MASK_TOKENS = Exercise(
    name="mask-tokens",
    topic="masking",
    title="Masking for masked language modelling",
    function="mask_tokens",
    signature="input_ids, may_be_chosen, mask_id, vocab_size, rate=0.15, generator=None",
    task=(
        "Take tokens out of a text for the model to guess.\n\n"
        "- `input_ids`: (B, S), whole numbers below V. They belong to the caller: leave them as they are\n"
        "- `may_be_chosen`: (B, S) booleans, False for special tokens and padding, which are never chosen\n"
        "- `mask_id`: the id of [MASK]. `vocab_size`: V\n"
        "- `rate`: with this probability each token that may be chosen is chosen (or just this share of them, drawn "
        "at random: both will do)\n"
        "- of the chosen, 80% become `mask_id`, 10% a random id from 0 to V - 1, drawn for each token anew and any of "
        "them as likely as the others, and 10% stay as they are\n"
        "- `generator`: hand it on to each function of torch that draws (`generator=generator`). All chance comes "
        "from it: the same seed gives the same result, another seed another one\n"
        "- returns two tensors (B, S), `masked_ids` and `labels`. Labels hold the original id of **every** chosen "
        "token, also of those that stay, and -100 elsewhere."
    ),
    source="Devlin et al. 2019, section 3.1, task 1, and appendix A.1",
    reference=mask_tokens_reference,
    solution=mask_tokens,
    library=mask_tokens_by_library,
    probes=mask_tokens_probes,
    view=seen_of_masking,
    tolerance=0.004,
    mistakes=(
        Mistake("81-10-9", "fates", "81/10/9", "81% become [MASK], 10% a random token and 9% stay",
                "that comes of two draws: first 10% at random, then 90% of the others; one draw decides, or the "
                "second has other odds",
                "Take 1000 chosen tokens and work out with pencil and paper how many your code sends each way."),
        Mistake("random-over-masked", "fates", "72/10/18", "72% become [MASK], 10% a random token and 18% stay",
                "your 10% are drawn from all chosen tokens, and where they fall on [MASK] they replace it; draw once",
                "Take 1000 chosen tokens and work out with pencil and paper how many your code sends each way."),
        Mistake("random-too-rare", "fates", "80/2/18", "80% become [MASK], but only 2% a random token",
                "10% of the 20% that are left over is 2% of all; take half of them",
                "Take 1000 chosen tokens and work out with pencil and paper how many your code sends each way."),
        Mistake("always-mask", "fates", "100/0/0", "every chosen token becomes [MASK]",
                "[MASK] never stands in real text, and the model would learn to care for it alone"),
        Mistake("never-kept", "fates", "80/20/0", "no chosen token stays as it is",
                "the model would learn that what it sees is always wrong; 10% stay, and have a label all the same"),
        Mistake("never-random", "fates", "80/0/20", "no chosen token becomes a random one",
                "the model would learn that what it sees is always right, apart from [MASK]"),
        Mistake("mask-and-random-exchanged", "fates", "10/80/10", "80% become a random token, and 10% [MASK]",
                "it is to be the other way round"),
        Mistake("may-be-chosen-ignored", "among", "all", "special tokens and padding are chosen as well",
                "the model spends its time on guessing [CLS] and padding; combine the draw with may_be_chosen"),
        Mistake("may-be-chosen-inverted", "among", "others", "you choose just those tokens that may not be chosen",
                "True means that it may"),
        Mistake("rate-is-of-mask", "share", "of [MASK]", "the share that becomes [MASK] is `rate` of all tokens",
                "then more than `rate` are chosen; it is 80% of the chosen ones that become [MASK]"),
        Mistake("rate-always-15", "share", "always 0.15", "15% are chosen, whatever `rate` says",
                "the argument does nothing; compare with `rate`"),
        Mistake("generator-ignored", "chance", "torch's own", "you do not draw from the generator",
                "the same seed gives another mask each time, and no run can be repeated; hand it to each function "
                "that draws"),
        Mistake("always-the-same-mask", "chance", "fixed seed", "every call gives the same mask",
                "each epoch hides the same words, and the others are never learned; do not set a seed inside"),
        Mistake("one-mask-for-all-texts", "chance", "one row", "all texts of the batch have one mask",
                "the draw has the shape (S,); it is to be (B, S)"),
        Mistake("last-id-never-drawn", "ids", "last left out", "the last id of the vocabulary is never drawn",
                "torch.randint leaves its upper end out by itself: no - 1"),
        Mistake("too-few-random-ids", "ids", "few", "the random ids come from the first half of the vocabulary only",
                "any of the V ids is as likely as the others"),
        Mistake("one-random-id", "ids", "one", "one random id stands in all places",
                "draw as many as there are tokens"),
        Mistake("random-ids-of-the-batch", "ids", "of the batch", "the random ids are taken from the texts themselves",
                "frequent words come more often; draw from the whole vocabulary"),
        Mistake("labels-only-at-mask", "labelled", "[MASK] only", "there are labels only where [MASK] stands",
                "the model never learns to doubt what it sees; every chosen token has a label"),
        Mistake("labels-only-where-changed", "labelled", "changed", "there are labels only where the token has changed",
                "those that stay are to be guessed as well; every chosen token has a label"),
        Mistake("labels-everywhere", "labelled", "all", "every token has a label",
                "copying what it sees is most of what the model learns; -100 where nothing was chosen"),
        Mistake("labels-inverted", "labelled", "not chosen", "there are labels just where nothing was chosen",
                "the model learns to copy; -100 belongs where nothing was chosen"),
        Mistake("minus-1", "elsewhere", -1, "you mark what is not to be guessed by -1",
                "torch's cross-entropy leaves out -100, and stops at -1"),
        Mistake("zero", "elsewhere", 0, "you mark what is not to be guessed by 0",
                "0 is the id of a token, which would be learned everywhere; it is -100"),
        Mistake("labels-masked", "kept", "masked", "the labels are taken after the masking",
                "the answer to [MASK] is then [MASK]; take the original ids",
                "Which comes first in your code: the labels or the masking?"),
        Mistake("in-place", "in_place", True, "you change input_ids in place",
                "the caller's text is lost, and the next epoch masks what is masked already; work on a copy",
                "Look at input_ids after the call."),
        Mistake("results-exchanged", "order", "labels, ids", "you return the labels first",
                "it is to be masked_ids, labels"),
    ),
    hints=Hints(
        "Two questions to each token, one after the other: is it chosen? And if so, what becomes of it?",
        "A uniform number from 0 to 1 is below p with probability p: that chooses. A second one, drawn once, "
        "falls below 0.8, between 0.8 and 0.9, or above: that is the fate, and the three exclude each other.",
        "chosen = may_be_chosen ∧ (u < rate); [MASK] where chosen ∧ v < 0.8; random where chosen ∧ 0.8 ≤ v < 0.9; "
        "labels = ids where chosen, else −100.",
        "chosen = may_be_chosen & (torch.rand(..., generator=generator) < rate)\n"
        "labels = input_ids.masked_fill(..., -100)\nfate = torch.rand(..., generator=generator)\n"
        "masked = input_ids.masked_fill(chosen & ..., mask_id)\nmasked = torch.where(chosen & ..., random_ids, masked)",
    ),
    equivalents=(mask_tokens_by_two_draws, mask_tokens_by_shuffling, mask_tokens_by_one_number),
)  # fmt: skip

# ---------------------------------------------------------------------------------------------- masked-lm loss


def word_loss(logits: Tensor, labels: Tensor, over: str, counts: str, put_in: str, empty: str) -> Tensor:
    """The masked-lm loss with knobs, shared by two exercises."""
    if put_in == "softmax":
        logits = logits.softmax(-1)
    if counts in ("ignore 0", "ignore -1"):  # where there is a -100, torch stops here
        ignored = {"ignore 0": 0, "ignore -1": -1}[counts]
        F.cross_entropy(logits.flatten(0, -2), labels.flatten(), ignore_index=ignored)
    if put_in == "probability":
        scores = logits.softmax(-1)
    elif put_in == "raw":
        scores = logits
    else:
        if put_in == "reshaped":
            logits = logits.reshape(len(logits), logits.shape[2], -1).transpose(1, 2)
        scores = logits.log_softmax(1 if put_in == "over positions" else -1)
    counted = {
        "not -100": labels != -100,
        "above 0": labels > 0,
        "ignore 0": labels != 0,
        "ignore -1": labels != -1,
        "all as class 0": torch.ones_like(labels, dtype=torch.bool),
    }[counts]
    picked = scores.gather(-1, labels.clamp(min=0)[..., None])[..., 0]
    losses = (picked if put_in == "sign" else -picked) * counted
    number = counted.sum()
    if over == "slots":
        return losses.mean()
    if over == "sum":
        return losses.sum()
    if over == "batch":
        return losses.sum() / len(labels)
    if over == "texts":
        return (losses.sum(1) / counted.sum(1).clamp(min=1)).mean()
    if over == "texts with labels":
        means = losses.sum(1) / counted.sum(1).clamp(min=1)
        return means.sum() / (counted.any(1).sum().clamp(min=1) if empty == "0" else counted.any(1).sum())
    return losses.sum() / (number.clamp(min=1) if empty == "0" else number)


WORD_MISTAKES = (
    Mistake("mean-over-all-slots", "over", "slots", "you divide by all B · S tokens",
            "the loss, and with it each step, is the smaller the fewer tokens are masked; divide by the number of "
            "labels that are not -100"),
    Mistake("summed", "over", "sum", "you sum the losses of the tokens",
            "the loss grows with the batch; divide by the number of labels that are not -100"),
    Mistake("mean-over-texts", "over", "texts", "you take the mean of each text first, and then that of the texts",
            "a word of a text with few labels counts more than others; divide once, by the number of all labels"),
    Mistake("label-0-ignored", "counts", "above 0", "a label of 0 is not counted",
            "0 is a token like others; only -100 is left out"),
    Mistake("minus-100-as-class-0", "counts", "all as class 0", "where there is no label you count class 0 as right",
            "the model learns to say token 0 nearly everywhere; leave those places out"),
    Mistake("softmax-twice", "put_in", "softmax", "you apply a softmax before the cross-entropy, which has its own",
            "applied twice it is nearly flat, and the loss never comes near 0; hand the logits in"),
    Mistake("log-missing", "put_in", "probability", "you take probabilities and not their logarithms",
            "a sure mistake costs hardly more than a doubtful one; it is -log p"),
    Mistake("softmax-missing", "put_in", "raw", "you pick the logits themselves, without a log-softmax",
            "the loss can be made as low as one likes by raising all logits; normalise over the vocabulary first"),
    Mistake("logits-reshaped", "put_in", "reshaped", "the logits are reshaped to (B, V, S) and not transposed",
            "a reshape keeps the numbers in their order, so that words and places are mixed up; use transpose(1, 2), "
            "or flatten to (B·S, V)"),
    Mistake("softmax-over-positions", "put_in", "over positions", "your softmax runs over the positions",
            "the places of a text compete for a word; the words are to compete for a place: the last axis"),
    Mistake("sign", "put_in", "sign", "the sign is missing",
            "log p is below 0, and training would make it lower still; the loss is -log p"),
)  # fmt: skip
NAN_WITHOUT_LABELS = Mistake(
    "nan-without-labels", "empty", "nan", "without a single label the loss of the words is NaN",
    "a mean over nothing is 0/0, and one such batch spoils all weights; it is to be 0",
    "What is the mean of no numbers at all?",
)  # fmt: skip


def masked_lm_loss_reference(
    logits: Tensor,
    labels: Tensor,
    *,
    over: str = "labels",
    counts: str = "not -100",
    put_in: str = "logits",
    empty: str = "0",
) -> Tensor:
    """The masked-lm loss with knobs; the defaults are the released code of Devlin et al. 2019."""
    return word_loss(logits, labels, over, counts, put_in, empty)


LABELS = torch.tensor([[-100, 3, -100, 0, -100], [-100, -100, 6, -100, -100], [0, 5, 2, -100, 1]])
NO_LABELS = torch.full((3, 5), -100)


def masked_lm_loss_probes() -> list[Probe]:
    axes = {"B": 3, "S": 5, "V": 7}
    logits = randn(3, 5, 7, seed=1, scale=2.0)
    alone = LABELS.clone()
    alone[1] = -100
    return [
        Probe("some labels", Call((logits, LABELS), grads=(0,)), axes),
        Probe("a label everywhere", Call((randn(3, 5, 7, seed=2), randint(0, 7, (3, 5), seed=3))), axes),
        Probe("a text without labels", Call((logits, alone)), axes),
        Probe("no label at all", Call((logits, NO_LABELS)), axes),
    ]


def masked_lm_loss(logits: Tensor, labels: Tensor) -> Tensor:
    counted = labels != -100
    if not counted.any():
        return logits.sum() * 0.0  # 0, and still part of the graph
    return F.cross_entropy(logits[counted], labels[counted])


def masked_lm_loss_by_sum(logits: Tensor, labels: Tensor) -> Tensor:
    total = F.cross_entropy(logits.transpose(1, 2), labels, ignore_index=-100, reduction="sum")
    return total / (labels != -100).sum().clamp(min=1)


def masked_lm_loss_by_gather(logits: Tensor, labels: Tensor) -> Tensor:
    log_p = logits - torch.logsumexp(logits, dim=-1, keepdim=True)
    weight = (labels >= 0).to(logits.dtype)
    picked = torch.gather(log_p, 2, torch.where(labels >= 0, labels, 0).unsqueeze(2)).squeeze(2)
    return -(picked * weight).sum() / torch.clamp(weight.sum(), min=1.0)


def masked_lm_loss_by_loop(logits: Tensor, labels: Tensor) -> Tensor:
    losses = []
    for scores, label in zip(logits.reshape(-1, logits.shape[-1]), labels.reshape(-1).tolist(), strict=True):
        if label != -100:
            losses.append(-torch.log(scores.softmax(0)[label]))
    return torch.stack(losses).mean() if losses else torch.zeros(())


MASKED_LM_LOSS = Exercise(
    name="masked-lm-loss",
    topic="masking",
    title="The loss of masked language modelling",
    function="masked_lm_loss",
    signature="logits, labels",
    task=(
        "How far off are the model's guesses? The mean cross-entropy over the tokens that were to be guessed.\n\n"
        "- `logits`: (B, S, V), the scores of all words, before any softmax\n"
        "- `labels`: (B, S), the right id where there is something to guess, -100 elsewhere. 0 is an id like others\n"
        "- returns one number (a tensor of no axes), in nats: the mean of -log p(label) over all labels of the "
        "batch that are not -100, each with the same weight. Without any such label it is 0, never NaN."
    ),
    source="Devlin et al. 2019, section 3.1, task 1",
    reference=masked_lm_loss_reference,
    solution=masked_lm_loss,
    library=heads.cross_entropy,
    probes=masked_lm_loss_probes,
    mistakes=(
        *WORD_MISTAKES,
        Mistake("divided-by-texts", "over", "batch", "you divide by the number of texts",
                "the loss grows with the number of labels in a text; divide by the number of labels"),
        Mistake("mean-over-texts-with-labels", "over", "texts with labels",
                "you take the mean of each text that has labels, and then the mean over these texts",
                "a word of a text with few labels counts more than others; divide once, by the number of all labels"),
        Mistake("ignore-index-0", "counts", "ignore 0", "ignore_index is 0",
                "label 0 is never trained, and at -100 torch stops; what does not count is marked by -100"),
        Mistake("ignore-index-minus-1", "counts", "ignore -1", "ignore_index is -1",
                "torch stops at -100, which is no class; what does not count is marked by -100"),
        NAN_WITHOUT_LABELS,
    ),
    hints=Hints(
        "How many numbers go into the mean? Count the labels that are not -100.",
        "F.cross_entropy wants (N, V) and (N,), has its softmax inside, and leaves out -100 by itself. But its mean "
        "over nothing is NaN.",
        "loss = −(1/M) Σ log softmax(logits)[label], over the M places with a label; 0 if M = 0.",
        "counted = labels != ...\nif not counted.any():\n    return ...\n"
        "return F.cross_entropy(logits[...], labels[...])",
    ),
    equivalents=(masked_lm_loss_by_sum, masked_lm_loss_by_gather, masked_lm_loss_by_loop),
)  # fmt: skip

# --------------------------------------------------------------------------------------------- pre-training loss


def pretraining_loss_reference(
    word_logits: Tensor,
    word_labels: Tensor,
    pair_logits: Tensor,
    pair_labels: Tensor,
    *,
    over: str = "labels",
    counts: str = "not -100",
    put_in: str = "logits",
    empty: str = "0",
    pair: str = "mean",
    pair_in: str = "logits",
    total: str = "sum",
) -> Tensor:
    """BERT's pre-training loss with knobs; the defaults are appendix A.2 of Devlin et al. 2019."""
    words = word_loss(word_logits, word_labels, over, counts, put_in, empty)
    if pair_in == "softmax":
        pair_logits = pair_logits.softmax(-1)
    pair_labels = 1 - pair_labels if pair == "reversed" else pair_labels
    if pair == "binary":
        pairs = F.binary_cross_entropy_with_logits(pair_logits[:, 1], pair_labels.to(pair_logits))
    elif pair in ("ignore 0", "ignore 1"):
        pairs = F.cross_entropy(pair_logits, pair_labels, ignore_index=0 if pair == "ignore 0" else 1)
    else:
        pairs = F.cross_entropy(pair_logits, pair_labels, reduction="sum" if pair == "summed" else "mean")
    if total == "one mean":
        number, texts = (word_labels != -100).sum(), len(pair_labels)
        return (words * number + pairs * texts) / (number + texts)
    return {
        "sum": words + pairs,
        "mean": (words + pairs) / 2,
        "words only": words + 0.0 * pairs,
        "pairs only": pairs + 0.0 * words,
        "product": words * pairs,
    }[total]


def pretraining_loss_probes() -> list[Probe]:
    axes = {"B": 3, "S": 5, "V": 7, "C": 2}
    words, pairs = randn(3, 5, 7, seed=4, scale=2.0), randn(3, 2, seed=5)
    return [
        Probe("both kinds of labels", Call((words, LABELS, pairs, torch.tensor([0, 1, 0])), grads=(0, 2)), axes),
        Probe("all pairs of label 0", Call((words, LABELS, pairs, torch.tensor([0, 0, 0]))), axes),
        Probe("all pairs of label 1", Call((words, LABELS, pairs, torch.tensor([1, 1, 1]))), axes),
        Probe("no word to guess", Call((words, NO_LABELS, pairs, torch.tensor([1, 0, 0]))), axes),
    ]


def pretraining_loss(word_logits: Tensor, word_labels: Tensor, pair_logits: Tensor, pair_labels: Tensor) -> Tensor:
    counted = word_labels != -100
    words = F.cross_entropy(word_logits[counted], word_labels[counted], reduction="sum") / max(int(counted.sum()), 1)
    pairs = F.cross_entropy(pair_logits, pair_labels)  # a call of its own: here every label counts, 0 as well
    return words + pairs


def pretraining_loss_by_library(words: Tensor, word_labels: Tensor, pairs: Tensor, pair_labels: Tensor) -> Tensor:
    return heads.cross_entropy(words, word_labels) + heads.cross_entropy(pairs, pair_labels)


def pretraining_loss_by_ignore_index(
    word_logits: Tensor, word_labels: Tensor, pair_logits: Tensor, pair_labels: Tensor
) -> Tensor:
    loss = F.cross_entropy(pair_logits.view(-1, 2), pair_labels.view(-1))
    if (word_labels != -100).any():
        loss = loss + F.cross_entropy(word_logits.view(-1, word_logits.size(-1)), word_labels.view(-1))
    return loss


def pretraining_loss_by_logs(
    word_logits: Tensor, word_labels: Tensor, pair_logits: Tensor, pair_labels: Tensor
) -> Tensor:
    wanted = F.one_hot(word_labels.clamp(min=0), word_logits.shape[-1]) * (word_labels != -100)[..., None]
    words = -(word_logits.log_softmax(-1) * wanted).sum() / wanted.sum().clamp(min=1)
    pairs = -pair_logits.log_softmax(-1)[torch.arange(len(pair_labels)), pair_labels]
    return words + pairs.mean()


def pretraining_loss_by_difference(
    word_logits: Tensor, word_labels: Tensor, pair_logits: Tensor, pair_labels: Tensor
) -> Tensor:
    # With two classes the cross-entropy is a logistic loss of the difference of the scores.
    pairs = F.softplus((pair_logits[:, 0] - pair_logits[:, 1]) * (2 * pair_labels - 1)).sum() / len(pair_labels)
    words = [
        torch.logsumexp(scores, 0) - scores[label]
        for scores, label in zip(word_logits.flatten(0, 1), word_labels.flatten(), strict=True)
        if label != -100
    ]
    return pairs + sum(words) / max(len(words), 1)


PRETRAINING_LOSS = Exercise(
    name="pretraining-loss",
    topic="masking",
    title="BERT's pre-training loss",
    function="pretraining_loss",
    signature="word_logits, word_labels, pair_logits, pair_labels",
    task=(
        "BERT learns two things at once: to guess masked words, and to tell whether two sentences belong together. "
        "Its loss is the sum of both mean cross-entropies.\n\n"
        "- `word_logits`: (B, S, V); `word_labels`: (B, S), the right id, or -100 where there is nothing to guess\n"
        "- `pair_logits`: (B, 2); `pair_labels`: (B,), 0 (the second sentence is the next) or 1 (it is not). **Both** "
        "are classes, and every text has one\n"
        "- returns one number (a tensor of no axes), in nats: the mean over the word labels that are not -100, plus "
        "the mean over the B pairs. Without any word label the first is 0, never NaN."
    ),
    source="Devlin et al. 2019, appendix A.2: \"the sum of the mean masked LM likelihood and the mean next sentence "
    'prediction likelihood"',
    reference=pretraining_loss_reference,
    solution=pretraining_loss,
    library=pretraining_loss_by_library,
    probes=pretraining_loss_probes,
    mistakes=(
        Mistake("pair-label-0-ignored", "pair", "ignore 0", "pairs with the label 0 are not counted (ignore_index=0)",
                "the model never learns what a next sentence looks like, and says \"random\" to all; the words' "
                "ignore_index has no place here",
                "Which pairs reach the loss? Try a batch in which all labels are 0."),
        Mistake("pair-label-1-ignored", "pair", "ignore 1", "pairs with the label 1 are not counted",
                "the model learns to call everything next; both labels are classes"),
        Mistake("pair-reversed", "pair", "reversed", "you read the pairs' labels the wrong way round",
                "the first column is the score of label 0, is next"),
        Mistake("pair-summed", "pair", "summed", "the pairs' losses are summed and not averaged",
                "their weight grows with the batch"),
        Mistake("pair-binary", "pair", "binary", "only the second of the two scores reaches the pairs' loss",
                "the first is never trained; it is a cross-entropy over two classes"),
        Mistake("pair-softmax-twice", "pair_in", "softmax", "the pairs' scores go through a softmax before the loss, "
                "which has its own", "their loss cannot fall below 0.31; hand the logits in"),
        Mistake("averaged", "total", "mean", "you take the mean of the two losses",
                "both are half as large as they should be, and so is every step; add them"),
        Mistake("pairs-forgotten", "total", "words only", "the pairs' loss is missing", "add it"),
        Mistake("words-forgotten", "total", "pairs only", "the words' loss is missing", "add it"),
        Mistake("one-mean", "total", "one mean", "words and pairs are put into one mean",
                "the few pairs hardly count beside the many words; two means, then their sum"),
        *WORD_MISTAKES,
        NAN_WITHOUT_LABELS,
    ),
    hints=Hints(
        "Two losses, two calls. What may be left out of the one, and of the other?",
        "The words have many places without a label; the pairs have none. So -100 is left out of the first mean, and "
        "nothing of the second.",
        "loss = mean over labelled places of −log p(word) + mean over B of −log p(pair label).",
        "counted = word_labels != -100\n"
        'words = F.cross_entropy(word_logits[...], ..., reduction="sum") / max(..., 1)\n'
        "pairs = F.cross_entropy(...)\nreturn ...",
    ),
    equivalents=(pretraining_loss_by_ignore_index, pretraining_loss_by_logs, pretraining_loss_by_difference),
)  # fmt: skip

# -------------------------------------------------------------------------------------------- pairs of sentences

# Twelve documents of 1 to 60 sentences; "3.7" is the sentence 7 of document 3.
SIZES = (20, 35, 1, 60, 12, 28, 2, 44, 9, 31, 50, 16)
DOCUMENTS = [[f"{number}.{place}" for place in range(size)] for number, size in enumerate(SIZES)]
PLACES = {sentence: tuple(map(int, sentence.split("."))) for document in DOCUMENTS for sentence in document}
FIRSTS = [sentence for document in DOCUMENTS for sentence in document[:-1]]
Triple = tuple[str, str, int]


def relation(first: str, second: str) -> str:
    """Where the second sentence of a pair comes from, seen from the first."""
    (document, place), (other, there) = PLACES[first], PLACES[second]
    if document != other:
        return "another document"
    near = {1: "the next sentence", -1: "the sentence before", 0: "the sentence itself"}
    return near.get(there - place, "elsewhere in the document")


def seen_of_pairs(output: Any) -> Mapping[str, Any]:
    """What is looked at in the outcome of a pairs probe. Raises for what is no three lists of triples."""
    pairs, same, other = ([tuple(pair) for pair in pairs] for pairs in output)
    kinds = {
        label: [relation(first, second) for first, second, mark in pairs if mark == label]
        for label in sorted({int(label) for _, _, label in pairs})
    }
    both = [(first, second) for first, second, _ in pairs if relation(first, second) == "another document"]
    by_document: dict[int, list[int]] = {}
    for first, _, label in pairs:
        by_document.setdefault(PLACES[first][0], []).append(int(label))
    far = [(PLACES[first], PLACES[second]) for first, second in both]
    return {
        "number of pairs": str(len(pairs)),
        "one pair for each sentence but a document's last, in order": len(pairs) == len(FIRSTS)
        and all(sentence in pair[:2] for sentence, pair in zip(FIRSTS, pairs, strict=True)),
        **{f"pairs with the label {label}": mostly(found) for label, found in kinds.items()},
        "some second sentence is from elsewhere in the same document": any(
            "elsewhere in the document" in found for found in kinds.values()
        ),
        "all from other documents are first sentences": bool(far) and all(place == 0 for _, (_, place) in far),
        "all from other documents are from the one behind": bool(far)
        and all(theirs == (mine + 1) % len(SIZES) for (mine, _), (theirs, _) in far),
        "one coin for a whole document": len(kinds) == 2
        and all(len(set(found)) == 1 for found in by_document.values()),
        "the same seed gives the same": pairs == same,
        "another seed gives the same": pairs == other,
        "share of label 1": len(kinds.get(1, ())) / max(len(pairs), 1),
    }


def mostly(kinds: Sequence[str]) -> str:
    """The kind that four in five are, or else that there is none. Half and half, as by chance, is far from that."""
    best = max(sorted(set(kinds)), key=kinds.count)
    return best if kinds.count(best) > 0.8 * len(kinds) else "of more than one kind"


def pairs_probes() -> list[Probe]:
    def run(seed: int) -> tuple[Any, ...]:
        return DOCUMENTS, Built("random", (seed,))

    return [Probe("twelve documents", Call(run(1), again=(run(1), run(2))))]


def chance_for(rng: random.Random, chance: str) -> Any:
    """The source of chance that an answer uses: the given one, Python's own, or one that begins anew in each call."""
    return {"rng": rng, "python's own": random, "fixed seed": random.Random(0)}[chance]


# What can go wrong with either kind of pairs.
PAIR_MISTAKES = (
    Mistake("rng-ignored", "chance", "python's own", "you do not draw from rng",
            "the same seed gives other pairs each time, and no run can be repeated; use rng.random() and its like"),
    Mistake("fixed-seed", "chance", "fixed seed", "every call gives the same pairs, whatever rng says",
            "each epoch sees the same; use rng, and set no seed inside"),
    Mistake("across-documents", "walk", "across", "the last sentence of a document makes a pair with the next document",
            "two texts that have nothing to do with each other count as neighbours; go through each by itself"),
    Mistake("round-to-the-first", "walk", "round", "the last sentence of a document makes a pair with its first",
            "the first does not follow the last; a document of n sentences has n - 1 pairs"),
    Mistake("one-coin-for-a-document", "share", "one a document", "you toss one coin for a whole document",
            "its pairs all get the same label; toss it for each pair anew"),
    Mistake("last-pair-missing", "walk", "too short", "the last pair of each document is missing",
            "a document of n sentences has n - 1 pairs"),
    Mistake("every-other-sentence", "walk", "by two", "you go on by two sentences",
            "half the pairs are missing; every sentence but the last begins one"),
)  # fmt: skip


def steps(documents: Sequence[Sequence[str]], walk: str) -> list[tuple[int, str, str]]:
    """Document number, sentence and the next one, in order; with the ways to get that wrong."""
    found = []
    for number, document in enumerate(documents):
        after = {"across": documents[(number + 1) % len(documents)][:1], "round": document[:1]}.get(walk, [])
        joined = [*document, *after]
        last = len(joined) - (2 if walk == "too short" else 1)
        for place in range(0, last, 2 if walk == "by two" else 1):
            found.append((number, joined[place], joined[place + 1]))
    return found


def next_sentence_reference(
    documents: Sequence[Sequence[str]],
    rng: random.Random,
    *,
    labels: str = "0 is next",
    source: str = "another document",
    share: str = "half",
    walk: str = "within",
    chance: str = "rng",
) -> list[Triple]:
    """Pairs for next sentence prediction, with knobs; the defaults are section 3.1 of Devlin et al. 2019."""
    rng = chance_for(rng, chance)
    pairs = []
    coins = [rng.random() < 0.5 for _ in documents] if share == "one a document" else []
    for number, first, following in steps(documents, walk):
        coin = coins[number] if coins else rng.random() < 0.5
        is_next = {"always next": True, "always random": False}.get(share, coin)
        if is_next or source == "swapped":
            second = following
        elif source == "next document":
            second = rng.choice(documents[(number + 1) % len(documents)])
        elif source == "own document":
            second = rng.choice(documents[number])
        else:
            others = [document for n, document in enumerate(documents) if n != number or source == "any document"]
            other = rng.choice(others)
            second = other[0] if source == "first sentence" else rng.choice(other)
        label = {"0 is next": int(not is_next), "1 is next": int(is_next), "always 0": 0}.get(labels, rng.randrange(2))
        pairs.append((second, first, label) if source == "swapped" and not is_next else (first, second, label))
    return pairs


def next_sentence_pairs(documents: Sequence[Sequence[str]], rng: random.Random) -> list[Triple]:
    pairs = []
    for number, document in enumerate(documents):
        others = [other for place, other in enumerate(documents) if place != number]
        for first, following in pairwise(document):
            if rng.random() < 0.5:
                pairs.append((first, following, 0))
            else:
                pairs.append((first, rng.choice(rng.choice(others)), 1))
    return pairs


def next_sentence_by_library(documents: Sequence[Sequence[str]], rng: random.Random) -> list[Triple]:
    """The library's segments hold several sentences; of one token each, and with room for two, they are sentences."""
    names = [sentence for document in documents for sentence in document]
    numbers = {sentence: [place] for place, sentence in enumerate(names)}
    pairs = []
    for number, document in enumerate(documents):
        others = [numbers[s] for n, other in enumerate(documents) if n != number for s in other]
        for first, following in pairwise(document):
            # Its random segments never begin with a document's first sentence: an unused one is put there.
            found = nsp_pairs([[numbers[first], numbers[following]], [[-1], *others]], 5, rng, short_rate=0)[0]
            pairs.append((names[found.first[0]], names[found.second[0]], found.label))
    return pairs


def next_sentence_by_rejection(documents: Sequence[Sequence[str]], rng: random.Random) -> list[list[Any]]:
    flat = [(number, sentence) for number, document in enumerate(documents) for sentence in document]
    pairs = []
    for (number, first), (after, following) in pairwise(flat):
        if number != after:
            continue
        label = rng.randint(0, 1)
        while label:
            number_there, following = flat[rng.randrange(len(flat))]
            if number_there != number:
                break
        pairs.append([first, following, label])
    return pairs


def next_sentence_by_index(documents: Sequence[Sequence[str]], rng: random.Random) -> list[Triple]:
    pairs = []
    for n in range(len(documents)):
        for i in range(len(documents[n]) - 1):
            other = rng.randrange(len(documents) - 1)
            other += other >= n
            candidates = (documents[n][i + 1], documents[other][int(rng.random() * len(documents[other]))])
            label = int(rng.random() >= 0.5)
            pairs.append((documents[n][i], candidates[label], label))
    return pairs


def next_sentence_by_shuffled_places(documents: Sequence[Sequence[str]], rng: random.Random) -> list[Triple]:
    """Just half of the pairs, those whose turn it is in a shuffled list, are random ones."""
    places = [(n, i) for n, document in enumerate(documents) for i in range(len(document) - 1)]
    at_random = set(rng.sample(places, len(places) // 2))
    pairs = []
    for n, i in places:
        others = [sentence for m, document in enumerate(documents) if m != n for sentence in document]
        second = rng.choice(others) if (n, i) in at_random else documents[n][i + 1]
        pairs.append((documents[n][i], second, int((n, i) in at_random)))
    return pairs


SENTENCE_PAIRS = Exercise(
    name="sentence-pairs",
    topic="masking",
    title="Pairs for next sentence prediction",
    function="next_sentence_pairs",
    signature="documents, rng",
    task=(
        "Make the pairs from which BERT learns whether one sentence follows another.\n\n"
        "- `documents`: a list of documents, each a list of sentences (texts). There are at least two, and none is "
        "empty; one of a single sentence makes no pair, but its sentence may come up in others\n"
        "- `rng`: a `random.Random`. All chance comes from it (`rng.random()`, `rng.choice(...)` ...): the same seed "
        "gives the same pairs, another seed others\n"
        "- for each document and each of its sentences but the last, in order, there is one pair `(first, second, "
        "label)`. `first` is that sentence. With probability 1/2, drawn for each pair anew, `second` is the sentence "
        "behind it, and the label is 0 (is next). Otherwise `second` is a random sentence of a random **other** "
        "document, and the label is 1 "
        "(any sentence of any other document may come up; whether you draw the document first does not matter)\n"
        "- returns the list of pairs."
    ),
    source="Devlin et al. 2019, section 3.1, task 2",
    reference=next_sentence_reference,
    solution=next_sentence_pairs,
    library=next_sentence_by_library,
    probes=pairs_probes,
    view=seen_of_pairs,
    tolerance=0.11,
    mistakes=(
        Mistake("labels-reversed", "labels", "1 is next", "your label is 1 where the sentence is the next",
                "released weights would answer the wrong way round: 0 is next, 1 is random"),
        Mistake("label-by-itself", "labels", "drawn again", "the label is drawn by itself",
                "it does not say what the pair is, and there is nothing to learn; draw once, and use it for both",
                "How many times do you draw for one pair, and what is each draw for?"),
        Mistake("label-always-0", "labels", "always 0", "every label is 0",
                "a random sentence is to have the label 1"),
        Mistake("own-document-too", "source", "any document", "the random sentence may come from the same document",
                "it may even be the very next one, labelled as random; leave the document itself out"),
        Mistake("own-document-only", "source", "own document", "the random sentence comes from the same document",
                "it may even be the very next one, labelled as random; take another document"),
        Mistake("document-behind", "source", "next document",
                "the random sentence always comes from the document behind",
                "the model can learn these few combinations by heart; draw the document at random"),
        Mistake("first-sentence-only", "source", "first sentence",
                "the random sentence is always the first of its document",
                "first sentences are easily known, without any look at the pair; draw from all"),
        Mistake("swapped-instead", "source", "swapped", "you swap the two sentences instead of drawing another one",
                "that is ALBERT's sentence order; BERT takes a sentence of another document"),
        Mistake("always-next", "share", "always next", "every second sentence is the next",
                "with one label alone there is nothing to learn; half of them are random"),
        Mistake("always-random", "share", "always random", "every second sentence is a random one",
                "with one label alone there is nothing to learn; half of them are the next"),
        *PAIR_MISTAKES,
    ),
    hints=Hints(
        "A document of n sentences: how many have one behind them? For each of these, toss a coin.",
        "One draw decides on both the second sentence and the label. For a random one leave the document itself out: "
        "make a list of the others first.",
        "label = [u ≥ 1/2]; second = sentence i + 1 if label = 0, else a sentence of a document m ≠ n.",
        "for number, document in enumerate(documents):\n    others = ...\n    for i in range(...):\n"
        "        if rng.random() < 0.5:\n            pairs.append((document[i], ..., 0))\n        else:\n"
        "            pairs.append((document[i], rng.choice(...), 1))",
    ),
    equivalents=(next_sentence_by_rejection, next_sentence_by_index, next_sentence_by_shuffled_places),
)  # fmt: skip


def sentence_order_reference(
    documents: Sequence[Sequence[str]],
    rng: random.Random,
    *,
    labels: str = "1 is swapped",
    made: str = "swapped",
    share: str = "half",
    walk: str = "within",
    chance: str = "rng",
) -> list[Triple]:
    """Pairs for sentence order prediction, with knobs; the defaults are section 3.1 of Lan et al. 2020."""
    rng = chance_for(rng, chance)
    pairs = []
    coins = [rng.random() < 0.5 for _ in documents] if share == "one a document" else []
    for number, first, second in steps(documents, walk):
        swap = {"never": False, "always": True}.get(share, coins[number] if coins else rng.random() < 0.5)
        label = {"1 is swapped": int(swap), "0 is swapped": int(not swap), "always 0": 0}.get(labels, rng.randrange(2))
        if swap and made == "as for NSP":
            second = rng.choice(rng.choice([document for n, document in enumerate(documents) if n != number]))
        elif swap and made == "out of the document":
            second = rng.choice(documents[number])
        elif swap and made == "overwritten":
            first = second
        elif swap and made == "swapped":
            first, second = second, first
        pairs.append((first, second, label))
    return pairs


def sentence_order_pairs(documents: Sequence[Sequence[str]], rng: random.Random) -> list[Triple]:
    pairs = []
    for document in documents:
        for first, second in pairwise(document):
            if rng.random() < 0.5:
                pairs.append((first, second, 0))
            else:
                pairs.append((second, first, 1))
    return pairs


def sentence_order_by_library(documents: Sequence[Sequence[str]], rng: random.Random) -> list[Triple]:
    """The library's segments hold several sentences; of one token each, and with room for two, they are sentences."""
    names = [sentence for document in documents for sentence in document]
    numbers = {sentence: [place] for place, sentence in enumerate(names)}
    windows = [[numbers[first], numbers[second]] for document in documents for first, second in pairwise(document)]
    found = sop_pairs(windows, 5, rng, short_rate=0)
    return [(names[pair.first[0]], names[pair.second[0]], pair.label) for pair in found]


def sentence_order_by_slice(documents: Sequence[Sequence[str]], rng: random.Random) -> list[list[Any]]:
    pairs = []
    for document in documents:
        for i in range(len(document) - 1):
            label = rng.randint(0, 1)
            pairs.append([*document[i : i + 2][:: -1 if label else 1], label])
    return pairs


def sentence_order_by_shuffle(documents: Sequence[Sequence[str]], rng: random.Random) -> list[Triple]:
    pairs = []
    for document in documents:
        for place in range(1, len(document)):
            both = [(0, document[place - 1]), (1, document[place])]
            rng.shuffle(both)
            pairs.append((both[0][1], both[1][1], both[0][0]))
    return pairs


def sentence_order_by_bits(documents: Sequence[Sequence[str]], rng: random.Random) -> list[Triple]:
    in_order = [pair for document in documents for pair in pairwise(document)]
    bits = rng.choices([0, 1], k=len(in_order))
    return [(pair[bit], pair[1 - bit], bit) for pair, bit in zip(in_order, bits, strict=True)]


SENTENCE_ORDER = Exercise(
    name="sentence-order",
    topic="masking",
    title="Pairs for sentence order prediction",
    function="sentence_order_pairs",
    signature="documents, rng",
    task=(
        "Make the pairs from which ALBERT learns in which order two sentences stand.\n\n"
        "- `documents`: a list of documents, each a list of sentences (texts), none empty; one of a single sentence "
        "makes no pair\n"
        "- `rng`: a `random.Random`. All chance comes from it (`rng.random()` ...): the same seed gives the same "
        "pairs, another seed others\n"
        "- for each document and each of its sentences but the last, in order, there is one pair `(first, second, "
        "label)`: that sentence and the one behind it. With probability 1/2, drawn for each pair anew, they stand in "
        "their order, and the label is 0; otherwise they are swapped, and the label is 1\n"
        "- returns the list of pairs."
    ),
    source="Lan et al. 2020, section 3.1 (\"Inter-sentence coherence loss\")",
    reference=sentence_order_reference,
    solution=sentence_order_pairs,
    library=sentence_order_by_library,
    probes=pairs_probes,
    view=seen_of_pairs,
    tolerance=0.11,
    mistakes=(
        Mistake("labels-reversed", "labels", "0 is swapped", "your label is 1 where the two are in order",
                "released weights would answer the wrong way round: 0 is in order, 1 is swapped"),
        Mistake("label-by-itself", "labels", "drawn again", "the label does not follow the swap",
                "it is drawn by itself, and there is nothing to learn; draw once, and use it for both",
                "How many times do you draw for one pair, and what is each draw for?"),
        Mistake("label-always-0", "labels", "always 0", "every label is 0", "swapped pairs are to have the label 1"),
        Mistake("built-as-nsp", "made", "as for NSP", "the label 1 goes to sentences of another document",
                "that is BERT's next sentence prediction, which the topic alone gives away; swap the two instead"),
        Mistake("drawn-from-the-document", "made", "out of the document",
                "the label 1 goes to a random sentence of the same document",
                "two neighbours are wanted, the wrong way round; swap the two instead"),
        Mistake("swap-overwrites", "made", "overwritten", "the swap overwrites one of the two sentences",
                "after a = b and b = a both are b; write a, b = b, a"),
        Mistake("only-labelled", "made", "left as they are", "the label is drawn, but nothing is swapped",
                "all pairs are in order, and the label is noise"),
        Mistake("never-swapped", "share", "never", "no pair is ever swapped",
                "with one label alone there is nothing to learn; swap half of them"),
        Mistake("always-swapped", "share", "always", "every pair is swapped",
                "with one label alone there is nothing to learn; swap half of them"),
        *PAIR_MISTAKES,
    ),
    hints=Hints(
        "How many neighbours has a document of n sentences? For each two of them, toss a coin.",
        "Both come from one document, so that the topic gives nothing away. One draw decides on the order and on the "
        "label.",
        "label = [u ≥ 1/2]; the pair is (sᵢ, sᵢ₊₁, 0) or (sᵢ₊₁, sᵢ, 1).",
        "for document in documents:\n    for i in range(...):\n        if rng.random() < 0.5:\n"
        "            pairs.append((document[i], ..., 0))\n        else:\n            pairs.append((...))",
    ),
    equivalents=(sentence_order_by_slice, sentence_order_by_shuffle, sentence_order_by_bits),
)  # fmt: skip

EXERCISES = (MASK_TOKENS, MASKED_LM_LOSS, PRETRAINING_LOSS, SENTENCE_PAIRS, SENTENCE_ORDER)
