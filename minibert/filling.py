"""Filling masks: the words that a model finds likely in the place of each mask in a text.

    >>> minibert.fill("the acting was [MASK] and the plot made no sense")

How a place is scored depends on the model's head, which is asked for it (``mask_scores`` in heads.py): a masked-LM
looks at all other words, in both directions; so does XLNet, in an order in which the mask comes last; BART's decoder
writes the text until it comes to the mask.
"""

from __future__ import annotations

import re
import shutil
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from minibert.assets import place_of, resolve
from minibert.checkpoints import Loaded, load
from minibert.errors import MinibertError
from minibert.heads import HEADS, WithHead
from minibert.models import PRESETS
from minibert.settings import read_settings
from minibert.tokenizers import Encoding, Tokenizer, load_tokenizer
from minibert.tokenizers.base import check_number, check_text

MODEL = "minilm-l6-mlm"
MASKS = ("[MASK]", "<mask>")  # what the tokenizers write for a mask; each of them may be written for any model
ANY_MASK = re.compile("|".join(map(re.escape, MASKS)), re.IGNORECASE)
LONGEST = 4096  # tokens, for a model that has no limit of its own: its memory grows with their square
CONTINUES = "…"  # shown before a piece that continues a word
BAR = 50  # columns of a bar for a probability of 1, if the terminal has room for it


@dataclass(frozen=True)
class Guess:
    """A word in the place of a mask. word: as it is read. token: as the vocabulary writes it. continues: whether it is
    a piece that continues the word before it. probability: of all tokens of the vocabulary, from 0 to 1."""

    word: str
    token: str
    continues: bool
    probability: float

    @property
    def shown(self) -> str:
        return CONTINUES + self.word if self.continues and self.word[:1].isalnum() else self.word


@dataclass(frozen=True, repr=False)
class Filled:
    """What `fill` found. It is shown as a table.

    text: with the masks as the model's vocabulary writes them. mask: that token. masks: for each mask, from left to
    right, the guesses, the likeliest first. filled: the text with the likeliest word for each mask. note: what has to
    be known about these guesses.
    """

    text: str
    mask: str
    masks: tuple[tuple[Guess, ...], ...]
    filled: str
    note: str = ""

    def data(self) -> dict[str, Any]:
        """The same as plain values, for JSON."""
        return {
            "text": self.text,
            "masks": [[asdict(guess) for guess in guesses] for guesses in self.masks],
            "filled": self.filled,
        }

    def __repr__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        width = min(100, shutil.get_terminal_size().columns)
        every = [guess for guesses in self.masks for guess in guesses]
        column = max(len(guess.shown) for guess in every)
        room = max(8, min(BAR, width - column - 12))
        yield textwrap.fill(self.text, width, break_on_hyphens=False)
        for number, guesses in enumerate(self.masks, start=1):
            yield f"\n  {self.mask} {number}" if len(self.masks) > 1 else ""
            for guess in guesses:
                yield f"  {guess.shown:<{column}}  {guess.probability:6.1%}  {bar(guess.probability, room)}".rstrip()
        remarks = [f"Filled in: {self.filled}", self.note]
        piece = next((guess for guess in every if guess.shown != guess.word), None)
        if piece is not None:
            remarks.append(f"{piece.shown} continues the word before it (in the vocabulary: {piece.token}).")
        for remark in filter(None, remarks):
            yield "\n" + textwrap.fill(remark, width, break_on_hyphens=False)


def bar(share: float, columns: int) -> str:
    """A bar of so many columns for a share of 1, in steps of an eighth of a column."""
    whole, eighths = divmod(round(share * columns * 8), 8)
    return "█" * whole + " ▏▎▍▌▋▊▉"[eighths].strip()


# ------------------------------------------------------------------------------------------------ filling


def fill(text: str, model: str | Path | nn.Module = MODEL, top: int = 5, tokenizer: Tokenizer | None = None) -> Filled:
    """The likeliest words for each mask in a text, with their probabilities.

    text: with one mask or more, each written [MASK] or <mask>, whichever the model's own is. model: a source as
    for from_pretrained, or a model with a head that predicts words; a model needs its tokenizer, too. top: how many
    words for each mask; if the vocabulary has fewer, all of them.

    The model is not changed. Raises MinibertError for a text without a mask, or one that is too long for the model; for
    a checkpoint or a model without such a head; for a preset, which has no weights; and for what from_pretrained and
    load_tokenizer refuse.
    """
    check_text(text, "the text")
    top = check_number(top, "top")
    if not has_mask(text):  # before anything is loaded or fetched
        raise MinibertError(f"there is no mask in the text: write {MASKS[0]} in the place of a word.")
    model = getattr(model, "_orig_mod", model)  # what torch.compile has wrapped
    if isinstance(model, nn.Module):
        name = f"this {type(getattr(model, 'backbone', model)).__name__}"
        if not isinstance(model, WithHead) or not model.fills_masks:
            raise MinibertError(f"{name} has no head that predicts words: build it with one, such as masked-lm.")
        if not isinstance(tokenizer, Tokenizer):
            raise MinibertError("a model reads ids, not text: give its tokenizer too, as load_tokenizer returns it.")
    else:
        place_of(model, "a checkpoint")  # refuses what is no name
        name = str(model)
        model = _loaded(model)
        tokenizer = load_tokenizer(name) if tokenizer is None else tokenizer
    text = with_own_masks(text, tokenizer)
    encoding = tokenizer.encode(text)
    longest = model.config.max_length or LONGEST
    if len(encoding.ids) > longest:
        raise MinibertError(f"the text has {len(encoding.ids)} tokens, and {name} reads {longest} at most: shorten it.")
    masks = guesses(model, tokenizer, encoding, top)
    best = [one[0] for one in masks]
    note = model.about_masks(len(masks))
    return Filled(text, tokenizer.special.mask, masks, filled(text, tokenizer.special.mask, best), note)


def guesses(model: WithHead, tokenizer: Tokenizer, encoding: Encoding, top: int = 5) -> tuple[tuple[Guess, ...], ...]:
    """The likeliest words for each mask in a text that was encoded, from left to right; see `fill`.

    Raises MinibertError if the tokenizer has more tokens than the model, or the model's scores are no numbers.
    """
    places = mask_places(tokenizer, encoding)
    rows = model.config.vocab_size
    if tokenizer.vocab_size > rows:
        raise MinibertError(
            f"the model has {rows} word embeddings, but the tokenizer has {tokenizer.vocab_size} tokens: they do not "
            "belong together."
        )
    device = next(model.parameters()).device
    ids, type_ids, at = (torch.tensor(row, device=device) for row in (encoding.ids, encoding.type_ids, places))
    with evaluating(model), torch.inference_mode():
        scores = model.mask_scores(ids, type_ids, at).float().cpu()
    if not scores.isfinite().all():
        raise MinibertError("the model's scores are no finite numbers: were its weights damaged, or its training?")
    # A table may have more rows than there are tokens; those are no words.
    found = scores.softmax(dim=-1)[:, : tokenizer.vocab_size].topk(min(top, tokenizer.vocab_size))
    return tuple(
        tuple(
            _guess(tokenizer, number, probability, is_first=place == 0 or encoding.sequence_ids[place - 1] is None)
            for number, probability in zip(numbers, probabilities, strict=True)
        )
        for place, numbers, probabilities in zip(places, found.indices.tolist(), found.values.tolist(), strict=True)
    )


def _guess(tokenizer: Tokenizer, number: int, probability: float, is_first: bool) -> Guess:
    """is_first: whether the mask is the first token of its text, where nothing can be continued."""
    token = tokenizer.tokens[number]
    word = tokenizer.join(["a", token]).removeprefix("a").strip()  # after another word, as the marks of a piece need it
    if not word or not word.isprintable() or "\ufffd" in word:
        word = token  # a blank, or some of the bytes of a character
    return Guess(word, token, tokenizer.continues(token) and not is_first, probability)


def mask_places(tokenizer: Tokenizer, encoding: Encoding) -> list[int]:
    """Where the masks are among the tokens of a text or a pair."""
    return [place for place, number in enumerate(encoding.ids) if number == tokenizer.mask_id]


def has_mask(text: str) -> bool:
    """Whether a mask is written in a text, in one of the ways that are understood."""
    return ANY_MASK.search(text) is not None


def with_own_masks(text: str, tokenizer: Tokenizer) -> str:
    """The text with each of its masks written as the tokenizer writes it."""
    return ANY_MASK.sub(lambda _: tokenizer.special.mask, text)


def filled(text: str, mask: str, best: Sequence[Guess]) -> str:
    """The text with a guess in the place of each mask: a piece is joined to the word before it, a word is not."""
    start, *others = text.split(mask)
    for guess, after in zip(best, others, strict=True):
        if guess.continues:
            start = start.rstrip()
        elif start[-1:].isalnum():
            start += " "
        start += guess.word + " " * after[:1].isalnum() + after
    return start


# ---------------------------------------------------------------------------------------------- the model


def _loaded(source: str | Path) -> WithHead:
    """The model of a checkpoint with the head that predicts words. Raises MinibertError if there is none."""
    model, fresh = load_with_words(source)
    if fresh or not isinstance(model, WithHead):
        raise MinibertError(
            f"{source} has no weights of a head that predicts words: give a checkpoint that has them, such as {MODEL}."
        )
    return model


def load_with_words(source: str | Path) -> Loaded:
    """The model of a checkpoint with the head of its family that predicts words, if there is such a head. Where the
    checkpoint has no weights for it, the result names what is fresh.

    Raises MinibertError for a preset, and for what from_pretrained refuses.
    """
    try:
        folder = resolve(source)
    except MinibertError as problem:
        if isinstance(source, str) and source in PRESETS:
            raise MinibertError(
                f"{source} is a preset, the shape of a model without weights, and no checkpoint of that name was "
                f"found: give the path of a checkpoint folder, or {MODEL}."
            ) from problem
        raise
    _, _, family = read_settings(folder)
    head = next((head for head in family.model.heads if HEADS[head].fills_masks), None)
    return load(folder, head)


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """A model in evaluation mode; afterwards its parts are in the modes in which they were."""
    modes = {part: part.training for part in model.modules()}
    try:
        model.eval()
        yield
    finally:
        for part, mode in modes.items():
            part.training = mode
