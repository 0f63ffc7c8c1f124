"""Masking for masked language modelling.

Masking is random, so the checker compares what must be true of each single token, and the statistics of thousands of
tokens (see chance.py): how many are chosen, what they become, and whether all that is drawn separately.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from minibert.exercises import chance as chances
from minibert.exercises.calls import Built, Call
from minibert.exercises.declare import Exercise, Hints, Mistake, Probe
from minibert.exercises.probes import randint
from minibert.training.objectives import choose_tokens, corrupt

PAD, CLS, SEP, MASK, VOCABULARY = 5, 1, 2, 3, 40
ENOUGH = 10_000  # tokens, for statistics


def texts(count: int, length: int, seed: int) -> tuple[Tensor, Tensor]:
    """Ids (count, length) of [CLS] word ... word [SEP] and some padding, and where the words are: id 0 and 10 to 28.

    Some words may not be chosen either, and some texts are padded on the left.
    """
    ids = randint(9, 29, (count, length), seed=seed)
    ids[ids == 9] = 0
    may = torch.ones_like(ids).bool()
    for row in range(count):
        end = length - 1 - row % (length // 5)
        ids[row, 0], ids[row, end], ids[row, end + 1 :] = CLS, SEP, PAD
        may[row, 0], may[row, end:], may[row, 3 + row % 5] = False, False, False
        if row % 4 == 1:
            ids[row], may[row] = ids[row].roll(length - 1 - end), may[row].roll(length - 1 - end)
    return ids, may


FEW, FEW_WORDS = texts(25, 40, seed=1)
MANY, MANY_WORDS = texts(100, 200, seed=2)
# Of 100 chosen tokens: how many become [MASK], and how many become a random token. The others stay.
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
    put_in: str = "mask_id",
    in_place: bool = False,
    order: str = "ids, labels",
) -> tuple[Tensor, Tensor]:
    """Masking with knobs; the defaults follow section 3.1 of Devlin et al. 2019."""
    if chance == "fixed seed":
        generator = torch.Generator().manual_seed(0)
    elif chance == "torch's own":
        generator = None
    original = input_ids
    mask_id = {"mask_id": mask_id, "always 103": 103, "always 4": 4}[put_in]
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
    def inputs(ids: Tensor, may: Tensor, rate: float, seed: int) -> tuple[Any, ...]:
        return ids, may, MASK, VOCABULARY, rate, Built("generator", (seed,))

    def many(*seeds: int) -> Call:
        first, *rest = (inputs(MANY, MANY_WORDS, 0.7, seed) for seed in seeds)
        return Call(first, again=tuple(rest))

    few = [inputs(FEW, FEW_WORDS, 0.5, seed) for seed in (1, 1, 2)]
    column = FEW[:, 5:6]
    return [
        Probe("25 texts, three times", Call(few[0], again=tuple(few[1:])), {"B": 25, "S": 40}),
        Probe("200 texts", many(16, 17), {"B": 100, "S": 200}, (many(18, 19), many(20, 21), many(22, 23))),
        Probe("one text, with rate 0.95", Call(inputs(FEW[:1], FEW_WORDS[:1], 0.95, 3)), {"S": 40}),
        Probe("texts of one token, with rate 0.95", Call(inputs(column, column >= 10, 0.95, 4)), {"B": 25}),
        Probe("where nothing may be chosen", Call(inputs(FEW, FEW_WORDS & False, 0.5, 5)), {"B": 25, "S": 40}),
    ]


def seen_of_masking(output: Any, call: Call, error: float) -> Mapping[str, Any]:
    """What is compared in a masking probe's output. Raises an error if that is not pairs of tensors (B, S)."""
    runs = [output] if isinstance(output[0], Tensor) else output
    ids, may, mask_id, size, rate, _ = call.args
    lowest = 0
    for masked, labels in runs:
        if masked.shape != ids.shape or labels.shape != ids.shape:
            raise ValueError
        lowest = min(lowest, int(masked.min()))
    if lowest < 0:  # not an id: these are probably the labels
        return {"the lowest number in masked_ids": str(lowest)}
    if any(one.is_floating_point() or one.dtype == torch.bool for run in runs for one in run):
        return {"masked_ids and labels hold integers": False}
    seen: dict[str, Any] = {"masked_ids and labels hold integers": True, "the lowest number in masked_ids": "0"}
    seen |= _of_single_tokens(runs, ids, may, mask_id, rate)
    if len(call.again) == 2:
        (masked, labels), same, other = runs
        seen |= {
            "the same seed gives the same result": torch.equal(masked, same[0]) and torch.equal(labels, same[1]),
            "another seed gives another result": not torch.equal(masked, other[0]),
        }
    if may.sum() > ENOUGH:
        seen |= _of_many_tokens(runs, ids, may, mask_id, size, rate, error)
    return seen


def _of_single_tokens(runs: Sequence[Any], ids: Tensor, may: Tensor, mask_id: int, rate: float) -> dict[str, Any]:
    nothing = min(int(labels.min()) for _, labels in runs)
    masked, labels = (torch.cat([run[number] for run in runs]) for number in (0, 1))
    ids, may = ids.repeat(len(runs), 1), may.repeat(len(runs), 1)
    has_label, changed = labels != nothing, masked != ids
    stays = has_label & ~changed
    seen: dict[str, Any] = {
        "the label where there is nothing to predict": str(nothing),
        "labels are the original ids": bool((labels == ids)[has_label].all()),
        "no token that may not be chosen has a label": not bool((has_label & ~may).any()),
        "no token that may not be chosen is changed": not bool((changed & ~may).any()),
        "each token that is changed has a label": not bool((changed & ~has_label).any()),
    }
    if rate > 0.9 and ids.shape[1] > 1:  # of a single token it is also right to round the share down
        seen["with this rate nearly all tokens that may be chosen have a label"] = bool(
            has_label[may].sum() > 0.6 * may.sum()
        )
    if len(has_label) > 1 and has_label.sum() > 200:
        # A random id is sometimes the original one, so a few tokens always stay.
        seen |= {
            "each text has a mask of its own": bool((has_label[:8] != has_label[8:16]).any()),
            "some tokens stay and have a label": bool(stays.sum() > 0.03 * has_label.sum()),
            "a token becomes another word and has a label": bool((changed & (masked != mask_id) & has_label).any()),
        }
    return seen


def _of_many_tokens(
    runs: Sequence[Any], ids: Tensor, may: Tensor, mask_id: int, size: int, rate: float, error: float
) -> dict[str, Any]:
    nothing = min(int(labels.min()) for _, labels in runs)
    chosen = [((labels != nothing) & may) for _, labels in runs]
    number = sum(int(one.sum()) for one in chosen)
    if not number:
        return {}
    rows = chances.Rows(torch.cat([one[may] for one in chosen]), may.sum(1).repeat(len(runs)))
    separate = chances.rows_alike(rows, error)
    seen: dict[str, Any] = {
        "the choice of a token does not depend on its place": chances.in_any_order(rows, error)
        and _even(chosen, may, error),
        "the choice of a token does not depend on its neighbours": chances.neighbours_independent(rows, error),
        "a text is not chosen as a whole": separate,
    }
    one_for_all = torch.equal(chosen[0][0], chosen[0][40]) and torch.equal(chosen[0][20], chosen[0][60])
    if not one_for_all or not separate:  # one mask for all has few draws, so its share varies too much
        seen["share of the tokens that are chosen"] = chances.share(number, len(runs) * int(may.sum()), rate, error)

    before = torch.cat([ids[one] for one in chosen])
    after = torch.cat([run[0][one] for run, one in zip(runs, chosen, strict=True)]).long()
    seen["all ids are below vocab_size"] = int(after.max()) < size
    if int(after.max()) >= size:
        return seen
    hidden, other = after == mask_id, (after != before) & (after != mask_id)
    # What is drawn as a random id is [MASK], or the original, once in V times.
    to_mask, to_other = 0.8 + 0.1 / size, 0.1 * (1 - 2 / size)
    counts = torch.bincount(after[other], minlength=size)
    words = counts.nonzero().flatten().tolist()
    lengths = torch.cat([one.sum(1) for one in chosen])
    fates = chances.Rows(hidden, lengths)
    if words and len(words) > 1:
        seen |= {
            "each token gets a random id of its own": _own(after, other, fates.row),
            "the lowest and the highest random id": f"{words[0]} and {words[-1]}",
            "some random ids are in no text": any(word not in set(ids.unique().tolist()) for word in words),
            "all random ids are equally likely": _equally_likely(before[other], counts, mask_id, size, error),
            "a random id does not depend on the token that it replaces": _unrelated(before[other], after[other], size),
        }
    if 0 < int(hidden.sum()) < number:
        seen |= {
            "the fate of a chosen token does not depend on its place": chances.in_any_order(fates, error)
            and chances.in_any_order(chances.Rows.of([hidden]), error),
            "the fate of a chosen token does not depend on its neighbours": chances.neighbours_independent(
                fates, error
            ),
            "the fate of a chosen token is drawn for it alone, not for its text": chances.rows_alike(fates, error),
        }
    seen |= {
        "share of the chosen tokens that become [MASK]": chances.share(int(hidden.sum()), number, to_mask, error),
        "there is more than one random id": len(words) != 1,
    }
    if number and len(words) != 1:
        share = chances.share(int(other.sum()), number, to_other, error)
        stay = chances.share(int((after == before).sum()), number, 1 - to_mask - to_other, error)
        seen |= {
            "share of the chosen tokens that become another token": share,
            "share of the chosen tokens that stay": stay,
        }
    return seen


def _even(chosen: Sequence[Tensor], may: Tensor, error: float) -> bool:
    """Whether each column has as many chosen tokens as its texts' numbers of chosen tokens let expect."""
    counts = torch.stack(list(chosen)).sum((0, 1)).double()
    ratio = torch.stack([one.sum(1) for one in chosen]).double() / may.sum(1).clamp(min=1)  # (runs, B)
    expected = (ratio[:, :, None] * may).sum((0, 1))
    variance = ((ratio * (1 - ratio))[:, :, None] * may).sum((0, 1))
    return chances.evenly_spread(counts, expected, error, variance)


def _equally_likely(replaced: Tensor, counts: Tensor, mask_id: int, size: int, error: float) -> bool:
    """Whether all ids occur equally often. A random id that equals the original is not seen as one, nor is [MASK]."""
    own = torch.bincount(replaced, minlength=size)
    expected = (len(replaced) - own).double() / (size - 2)
    expected[mask_id] = 0
    return chances.evenly_spread(counts.double(), expected, error)


def _unrelated(before: Tensor, after: Tensor, size: int) -> bool:
    """Whether no difference between the original and the random id makes up a fifth of them."""
    return not len(before) or int(torch.bincount((after - before) % size).max()) < 0.2 * len(before)


def _own(after: Tensor, other: Tensor, row: Tensor) -> bool:
    """Whether neighbouring random ids of a text differ, nearly always. row: the number of each chosen token's text."""
    ids, texts = after[other], row[other]
    neighbours = texts[1:] == texts[:-1]
    return int((ids[1:] == ids[:-1])[neighbours].sum()) <= 0.3 * int(neighbours.sum())


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
    # One draw decides: below 0.8 the token becomes [MASK], from 0.8 to 0.9 a random token, above 0.9 it stays.
    fate = torch.rand(input_ids.shape, generator=generator)
    random_ids = torch.randint(vocab_size, input_ids.shape, generator=generator)
    masked = input_ids.masked_fill(chosen & (fate < 0.8), mask_id)
    masked = torch.where(chosen & (fate >= 0.8) & (fate < 0.9), random_ids, masked)
    return masked, labels


def mask_tokens_by_library(input_ids, may_be_chosen, mask_id, vocab_size, rate=0.15, generator=None):
    chosen = choose_tokens(may_be_chosen, rate, generator=generator)
    masked, labels = corrupt(input_ids, chosen, mask_id, vocab_size, generator)
    return masked, labels


def mask_tokens_by_two_draws(input_ids, may_be_chosen, mask_id, vocab_size, rate=0.15, generator=None):
    masked, labels = input_ids.clone(), input_ids.clone()
    chosen = torch.bernoulli(may_be_chosen * rate, generator=generator).bool()
    labels[~chosen] = -100
    hidden = torch.bernoulli(torch.full(labels.shape, 0.8), generator=generator).bool() & chosen
    masked[hidden] = mask_id
    # Half of the remaining 20% is 10% of all.
    other = torch.bernoulli(torch.full(labels.shape, 0.5), generator=generator).bool() & chosen & ~hidden
    masked[other] = torch.randint(vocab_size, (int(other.sum()),), generator=generator)
    return [masked, labels]


def mask_tokens_by_shuffling(input_ids, may_be_chosen, mask_id, vocab_size, rate=0.15, generator=None):
    """The tokens are shuffled and the first of them are taken, as in the released code, but over the whole batch."""
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


def mask_tokens_by_one_number(input_ids, may_be_chosen, mask_id, vocab_size, rate=0.15, generator=None):
    """A single number for each token decides both whether it is chosen and what happens to it."""
    number = torch.rand(input_ids.shape, generator=generator, dtype=torch.float64) / rate
    others = (torch.rand(input_ids.shape, generator=generator, dtype=torch.float64) * vocab_size).long()
    number = number.masked_fill(~may_be_chosen, 2.0)
    masked = torch.where(number < 0.8, mask_id, torch.where(number < 0.9, others, input_ids))
    return masked, torch.where(number < 1.0, input_ids, -100)


EXERCISE = Exercise(
    name="mask-tokens",
    topic="masking",
    title="Masking for masked language modelling",
    level="core",
    minutes=15,
    function="mask_tokens",
    signature="input_ids, may_be_chosen, mask_id, vocab_size, rate=0.15, generator=None",
    task=(
        "Hide tokens of a text for the model to predict.\n\n"
        "- `input_ids`: (B, S), integers below V. They belong to the caller: do not change them\n"
        "- `may_be_chosen`: (B, S) booleans, False for special tokens and padding, which are never chosen\n"
        "- `mask_id`: the id of [MASK]. `vocab_size`: V\n"
        "- `rate`: the probability with which each token that may be chosen is chosen (it is also right to choose "
        "exactly this share of them at random)\n"
        "- of the chosen tokens, 80% become `mask_id`, 10% become a random id from 0 to V - 1 (drawn separately for "
        "each token, all ids equally likely) and 10% stay as they are\n"
        "- `generator`: pass it to every torch function that draws random numbers (`generator=generator`). All "
        "randomness comes from it: the same seed gives the same result, and another seed gives a different one\n"
        "- returns two tensors (B, S), `masked_ids` and `labels`. The labels hold the original id of **every** chosen "
        "token, including those that stay as they are, and -100 elsewhere."
    ),
    source="Devlin et al. 2019, section 3.1, task 1, and appendix A.1",
    reference=mask_tokens_reference,
    solution=mask_tokens,
    library=mask_tokens_by_library,
    probes=mask_tokens_probes,
    view=seen_of_masking,
    tolerance=0.008,
    mistakes=(
        Mistake("81-10-9", "fates", "81/10/9", "81% become [MASK], 10% become a random token and 9% stay",
                "this happens with two draws, first 10% for the random tokens and then 90% of the rest for [MASK]; "
                "let one draw decide, or use other odds for the second",
                "Take 1000 chosen tokens and work out on paper how many of them your code sends each way."),
        Mistake("random-over-masked", "fates", "72/10/18", "72% become [MASK], 10% become a random token and 18% stay",
                "your 10% are drawn from all chosen tokens, so some of them replace a [MASK]; draw once",
                "Take 1000 chosen tokens and work out on paper how many of them your code sends each way."),
        Mistake("random-too-rare", "fates", "80/2/18", "80% become [MASK], but only 2% become a random token",
                "10% of the remaining 20% is 2% of all; take half of the remaining tokens",
                "Take 1000 chosen tokens and work out on paper how many of them your code sends each way."),
        Mistake("always-mask", "fates", "100/0/0", "every chosen token becomes [MASK]",
                "[MASK] never occurs in real text, and the model would learn to care about [MASK] alone"),
        Mistake("never-kept", "fates", "80/20/0", "no chosen token stays as it is",
                "the model would learn that the token it sees is always wrong; 10% stay, and they have a label too"),
        Mistake("never-random", "fates", "80/0/20", "no chosen token becomes a random one",
                "the model would learn that the token it sees is always right, except for [MASK]"),
        Mistake("mask-and-random-exchanged", "fates", "10/80/10", "80% become a random token, and 10% become [MASK]",
                "it should be the other way round"),
        Mistake("may-be-chosen-ignored", "among", "all", "special tokens and padding are chosen as well",
                "the model spends its time on predicting [CLS] and padding; combine the draw with may_be_chosen"),
        Mistake("may-be-chosen-inverted", "among", "others", "you choose exactly the tokens that may not be chosen",
                "True means that a token may be chosen"),
        Mistake("rate-is-of-mask", "share", "of [MASK]", "the share that becomes [MASK] is `rate` of all tokens",
                "then more than `rate` are chosen; [MASK] is for 80% of the chosen tokens"),
        Mistake("rate-always-15", "share", "always 0.15", "15% are chosen, whatever `rate` says",
                "the argument has no effect; compare with `rate`"),
        Mistake("mask-id-always-103", "put_in", "always 103", "[MASK] has the id 103, whatever `mask_id` says",
                "that is right for BERT's uncased vocabulary only; use the argument"),
        Mistake("mask-id-always-4", "put_in", "always 4", "[MASK] has the id 4, whatever `mask_id` says",
                "use the argument"),
        Mistake("generator-ignored", "chance", "torch's own", "you do not draw from the generator",
                "the same seed gives a different mask each time, and no experiment can be repeated; pass the "
                "generator to each function that draws"),
        Mistake("always-the-same-mask", "chance", "fixed seed", "every call gives the same mask",
                "each epoch hides the same words, and the others are never learned; do not set a seed inside the "
                "function"),
        Mistake("one-mask-for-all-texts", "chance", "one row", "all texts of the batch have the same mask",
                "the draw has the shape (S,); it should be (B, S)"),
        Mistake("last-id-never-drawn", "ids", "last left out", "the last id of the vocabulary is never drawn",
                "torch.randint already leaves out its upper bound, so do not subtract 1"),
        Mistake("too-few-random-ids", "ids", "few", "the random ids come only from the first half of the vocabulary",
                "all V ids should be equally likely"),
        Mistake("one-random-id", "ids", "one", "the same random id is used everywhere",
                "draw as many ids as there are tokens"),
        Mistake("random-ids-of-the-batch", "ids", "of the batch", "the random ids are taken from the texts themselves",
                "frequent words come up more often; draw from the whole vocabulary"),
        Mistake("labels-only-at-mask", "labelled", "[MASK] only", "there are labels only where a token became [MASK]",
                "the model never learns to doubt what it sees; every chosen token has a label"),
        Mistake("labels-only-where-changed", "labelled", "changed", "there are labels only where the token has changed",
                "the tokens that stay should be predicted as well; every chosen token has a label"),
        Mistake("labels-everywhere", "labelled", "all", "every token has a label",
                "the model mostly learns to copy what it sees; use -100 where nothing was chosen"),
        Mistake("labels-inverted", "labelled", "not chosen", "there are labels exactly where nothing was chosen",
                "the model learns to copy; use -100 where nothing was chosen"),
        Mistake("minus-1", "elsewhere", -1, "you use -1 where there is nothing to predict",
                "torch's cross-entropy ignores -100, and stops with an error at -1"),
        Mistake("zero", "elsewhere", 0, "you use 0 where there is nothing to predict",
                "0 is the id of a token, which the model would learn to predict everywhere; use -100"),
        Mistake("labels-masked", "kept", "masked", "the labels are taken after the masking",
                "then the right answer at [MASK] is [MASK]; take the original ids",
                "Which comes first in your code: the labels or the masking?"),
        Mistake("in-place", "in_place", True, "you change input_ids in place",
                "the caller's text is lost, and the next epoch masks a text that is already masked; work on a copy",
                "Look at input_ids after the call."),
        Mistake("results-exchanged", "order", "labels, ids", "you return the labels first",
                "it should be masked_ids, labels"),
    ),
    hints=Hints(
        "Ask two questions about each token, one after the other: is it chosen? And if so, what happens to it?",
        "A uniform random number from 0 to 1 is below p with probability p: use one to choose. Use a second one to "
        "decide what happens: it is below 0.8, from 0.8 to 0.9, or above 0.9. Only one of the three is possible.",
        "chosen = may_be_chosen ∧ (u < rate); [MASK] where chosen ∧ v < 0.8; random where chosen ∧ 0.8 ≤ v < 0.9; "
        "labels = ids where chosen, else −100.",
        "chosen = may_be_chosen & (torch.rand(..., generator=generator) < rate)\n"
        "labels = input_ids.masked_fill(..., -100)\nfate = torch.rand(..., generator=generator)\n"
        "masked = input_ids.masked_fill(chosen & ..., mask_id)\nmasked = torch.where(chosen & ..., random_ids, masked)",
    ),
    equivalents=(mask_tokens_by_two_draws, mask_tokens_by_shuffling, mask_tokens_by_one_number),
)  # fmt: skip
