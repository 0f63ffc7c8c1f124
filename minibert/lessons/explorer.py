"""The attention explorer: all heads of a model on one page, to be explored word by word.

``explore`` runs a model on a text, and shows every attention that its output holds: of the encoder, of the decoder to
what it has written and to the text, of the content and of the query stream. What a model can be given (an earlier text,
a text to write, an order of the words) is asked of the model. Under each mask in the text are the words that the model
guesses there, if it has a head for that. The page itself is made in explorer_page.py.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from minibert.assets import place_of
from minibert.attention import Inside
from minibert.checkpoints import Loaded, from_pretrained
from minibert.errors import MinibertError, check_seed
from minibert.files import GENERATOR, refuse_foreign, write_file
from minibert.filling import evaluating, guesses, has_mask, load_with_words, mask_places, with_own_masks
from minibert.generation import EncoderDecoder, shift_right
from minibert.heads import WithHead
from minibert.lessons.explorer_page import LEVELS, TEMPLATE, Parts, View, Words, page, page_of
from minibert.model import Model, Output
from minibert.tokenizers import Encoding, Tokenizer, load_tokenizer
from minibert.training.permutation import factorisation_order, order_mask, targets
from minibert.words import type_of

__all__ = ["LEVELS", "LONGEST", "READABLE", "TEMPLATE", "Explorer", "Parts", "View", "Words", "explore", "look", "page"]

# Tokens of a text. The page grows with the square of it: with 12 layers of 12 heads, it is then 3 MB for each kind of
# attention.
LONGEST = 128
READABLE = {"minilm-l6": (4, 2)}  # a layer and a head to begin with: those that the tour shows

# What the page says about each kind of attention; models with a single kind need no words.
ENCODER = ("The encoder", "It reads the text: its tokens look at those before them and at those after them.")
DECODER = (
    "The decoder, at its own words",
    "It writes one token after another. At each place it has read the token shown there, looks at it and at those "
    "before it, and then writes the next one (→).",
)
CROSS = (
    "The decoder, at the text",
    "Cross-attention: at each place the decoder has read the token shown there, and looks at the text that the encoder "
    "has read, to write the next token (→).",
)
PLAIN = ("Without an order", "As the model reads when it is fine-tuned and used: no word is hidden from another.")
CONTENT = (
    "Content stream",
    "As the model is trained: the small numbers are a random order in which words are predicted. A content vector "
    "knows its own word, and looks at it and at the words with lower numbers.",
)
QUERY = (
    "Query stream",
    "The same order. A query vector knows its place and not its word, because the word is predicted from it: it looks "
    "only at the words with lower numbers. What it looks at are content vectors.",
)


@dataclass(frozen=True, repr=False)
class Explorer:
    """A page that a notebook shows when a cell ends with it. height: in pixels, in the notebook."""

    title: str
    document: str
    height: int

    def html(self) -> str:
        """The whole page, in one file that needs no other."""
        return self.document

    def save(self, path: str | Path) -> Path:
        """Write the page, in full or not at all; returns the path.

        Raises MinibertError when it cannot be written, and when something else than such a page is there already.
        """
        refuse_foreign(Path(path), "name")
        write_file(Path(path), self.document.replace("<head>", f"<head>\n{GENERATOR}", 1))
        return Path(path)

    def __repr__(self) -> str:
        return f"<Explorer: {self.title}>"

    def _repr_html_(self) -> str:
        """In its own frame, where page and notebook cannot disturb each other."""
        return (
            "<p>Attention explorer: if nothing appears below, run this cell.</p>\n"
            f'<iframe title="{html.escape(self.title)}" sandbox="allow-scripts" width="100%" height="{self.height}" '
            f'style="border: 1px solid #dcdfe4" srcdoc="{html.escape(self.document)}"></iframe>'
        )


def explore(
    text: str,
    pair: str | None = None,
    model: str | Path | nn.Module = "minilm-l6",
    tokenizer: Tokenizer | None = None,
    layer: int | None = None,
    head: int | None = None,
    *,
    before: str | None = None,
    written: str | None = None,
    seed: int = 0,
) -> Explorer:
    """Show what each head of a model looks at in a text, or in a pair of texts.

    model: a source as for from_pretrained, or a model, with or without a head; a model needs its tokenizer, too. If it
    has a head that predicts words, the page shows the likeliest ones under each mask ([MASK] or <mask>) in the texts.
    layer, head: those to begin with, counted from 1.
    before: a text that was read before this one, for a model with a memory. written: what a decoder writes; by default
    the text itself, as BART learns to. seed: draws the order in which a model like XLNet predicts the words.

    Raises MinibertError for a text without words or of more than LONGEST tokens, for a model without its tokenizer or
    of another package, for a layer or head that does not exist, for `before` or `written` where the model has no use
    for it, and for what from_pretrained and load_tokenizer refuse.
    """
    if isinstance(model, nn.Module):
        source, name = "", f"this {type(getattr(model, 'backbone', model)).__name__}"
    else:
        place_of(model, "a checkpoint")  # refuses what is no name
        source = str(model)
        masked = any(isinstance(one, str) and has_mask(one) for one in (text, pair))
        model, fresh = load_with_words(model) if masked else Loaded(from_pretrained(model), ())
        model = _backbone(model) if fresh else model  # a head without weights guesses nothing
        if tokenizer is None:
            tokenizer = load_tokenizer(source)
        name = Path(source).name
    first = READABLE.get(source, (1, 1)) if layer is None and head is None else (1, 1)
    start = (first[0] if layer is None else layer, first[1] if head is None else head)
    return _explored(text, pair, model, tokenizer, name, start, before=before, written=written, seed=seed)


class Served:
    """A model that is loaded once, to show many texts. source: as for from_pretrained.

    Raises MinibertError for what from_pretrained and load_tokenizer refuse.
    """

    def __init__(self, source: str | Path) -> None:
        model, fresh = load_with_words(source)
        self.name = Path(source).name
        self.model = _backbone(model) if fresh else model  # a head without weights guesses nothing
        self.tokenizer = load_tokenizer(source)

    def page(self, text: str, pair: str | None, form: str) -> str:
        """The page for a text or a pair, with a form; see ``explore`` for what is refused."""
        return _explored(text, pair, self.model, self.tokenizer, self.name, (1, 1), form).document

    def place_of(self, word: str, text: str) -> int:
        """Which token of a text contains a word, counted from 1; the first, if none does."""
        tokens = self.tokenizer.encode(text).tokens
        return next((at for at, token in enumerate(tokens, start=1) if word in token), 1)


def _explored(
    text: str,
    pair: str | None,
    model: nn.Module,
    tokenizer: Tokenizer | None,
    name: str,
    start: tuple[int, int],
    form: str = "",
    *,
    before: str | None = None,
    written: str | None = None,
    seed: int = 0,
) -> Explorer:
    seed, encoding = check_seed(seed), _encode(tokenizer, text, pair)
    assert tokenizer is not None  # or _encode has refused
    backbone = _backbone(model)
    words = Words(encoding.tokens, encoding.sequence_ids, **_guessed(model, tokenizer, encoding))
    views = _views(backbone, tokenizer, encoding, words, before, written, seed)
    title = f"What the heads of {name} look at"
    document = page_of(views, title, start, form)
    shown = [sum(len(words.tokens) for words in view.words) for view in views]
    layers = [len(view.weights) for view in views]
    # Enough at a width of 780 pixels.
    height = 620 + max(17 * max(shown), 20 * max(layers)) + 110 * (len(views) > 1) + 130 * bool(words.guesses)
    return Explorer(title, document, min(1000, height))


def look(model: nn.Module, tokenizer: Tokenizer, text: str, pair: str | None = None) -> tuple[Tensor, list[str]]:
    """All attention weights for a text or a pair, (L, H, S, S), and the S tokens; the model is not changed.

    Raises MinibertError for what cannot be shown; see ``explore``.
    """
    encoding = _encode(tokenizer, text, pair)
    return _stacked(_run(_backbone(model), encoding).output.attentions), encoding.tokens


# ------------------------------------------------------------------------------------------ what is shown


def _guessed(model: nn.Module, tokenizer: Tokenizer, encoding: Encoding) -> dict[str, Any]:
    """What the page shows under the masks of a text, if there are some and the model has a head that predicts words."""
    places = mask_places(tokenizer, encoding)
    if not places or not isinstance(model, WithHead) or not model.fills_masks:
        return {}
    found = guesses(model, tokenizer, encoding)
    shown = [[(guess.shown, guess.probability) for guess in one] for one in found]
    about = f"Under {tokenizer.special.mask}: the words that the model finds likeliest there, with their probabilities."
    sentences = [about, model.about_masks(len(places))]
    return {"guesses": dict(zip(places, shown, strict=True)), "guessed": " ".join(filter(None, sentences))}


class Past(NamedTuple):
    """A text that was read before, as far as the model remembers it."""

    words: Words
    inputs: Mapping[str, Any]  # for the model's forward


def _views(
    model: Model,
    tokenizer: Tokenizer,
    encoding: Encoding,
    text: Words,
    before: str | None,
    written: str | None,
    seed: int,
) -> list[View]:
    """A view for each kind of attention that the model has. text: the words of the encoding, as they are shown."""
    if written is not None and not isinstance(model, EncoderDecoder):
        raise MinibertError(f"{type_of(model)} has no decoder: leave out what is written ({written!r}).")
    past = None if before is None else _read_before(model, _encode(tokenizer, before, None), before)
    if isinstance(model, EncoderDecoder):
        given, own = _to_write(model, encoding if written is None else _encode(tokenizer, written, None), tokenizer)
    else:
        given, own = ({} if past is None else past.inputs), text
    output, insides = _run(model, encoding, **given)
    encoder, cross = (getattr(output, f"{name}_attentions", None) for name in ("encoder", "cross"))
    views = []
    if encoder is not None:
        views.append(View(**_seen(encoder, insides), words=[text], name=ENCODER[0], note=ENCODER[1]))
    views.append(_look_back(_seen(output.attentions, insides), own, past))
    if cross is not None:
        read, size = replace(text, name="read"), len(text.tokens)
        places = range(size + len(own.tokens))
        both = [read, replace(own, name="written")]
        sides = {"rows": places[size:], "columns": places[:size]}
        views.append(View(**_seen(cross, insides), words=both, **sides, name=CROSS[0], note=CROSS[1]))
        views[-2] = replace(views[-2], name=DECODER[0], note=DECODER[1])
    if {"perm_mask", "target_mapping"} <= set(model.extra_inputs):
        views[-1] = replace(views[-1], name=PLAIN[0], note=PLAIN[1])
        views += _streams(model, encoding, text, past, seed)
    return views


def _look_back(seen: dict[str, Any], own: Words, past: Past | None, places: Sequence[int] | None = None) -> View:
    """Tokens that look at those of their own text, and at those that are remembered of an earlier one.

    seen: as from `_seen`. places: which of the text's tokens look, by default all.
    """
    words = [own] if past is None else [past.words, replace(own, name="read now")]
    behind = 0 if past is None else len(past.words.tokens)
    looking = range(len(own.tokens)) if places is None else places
    return View(**seen, words=words, rows=[behind + place for place in looking])


def _streams(model: Model, encoding: Encoding, text: Words, past: Past | None, seed: int) -> list[View]:
    """The content and the query stream of a model that predicts words in an order: each word is predicted once.

    The special tokens come first in the order, and are not predicted, as in pre-training.
    """
    ids = torch.tensor([encoding.ids])
    words = torch.tensor([[text is not None for text in encoding.sequence_ids]])
    order = factorisation_order(torch.ones_like(ids), words, generator=torch.Generator().manual_seed(seed))
    given = {"perm_mask": order_mask(order), "target_mapping": targets(ids, words)["target_mapping"]}
    output, insides = _run(model, encoding, **given, **({} if past is None else past.inputs))
    own = replace(text, order=order[0].tolist())
    places = words[0].nonzero()[:, 0].tolist()  # targets come in the order of the text
    content = _look_back(_seen(output.attentions, insides), own, past)
    query = _look_back(_seen(output.query_attentions, insides), own, past, places)
    return [
        replace(content, name=CONTENT[0], note=CONTENT[1]),
        replace(query, name=QUERY[0], note=QUERY[1], looking="the place of "),
    ]


def _to_write(model: EncoderDecoder, encoding: Encoding, tokenizer: Tokenizer) -> tuple[dict[str, Tensor], Words]:
    """What the decoder reads to write a text: all of its tokens one place later, after the one that it starts from."""
    read = shift_right(torch.tensor([encoding.ids]), model.config.decoder_start_token_id)
    tokens = [tokenizer.tokens[i] for i in read[0].tolist()]
    return {"decoder_input_ids": read}, Words(tokens, [None, *encoding.sequence_ids[:-1]], next=encoding.tokens)


def _read_before(model: Model, encoding: Encoding, text: str) -> Past:
    """Let the model read a text and keep what it remembers of it, which may be less than the whole."""
    if "mems" not in model.extra_inputs:
        raise MinibertError(f"{type_of(model)} has no memory of an earlier text: leave it out ({text!r}).")
    output = _run(model, encoding, return_hidden=True).output
    kept = getattr(output, "mems", None)
    if kept is None:
        raise MinibertError(f"this {type(model).__name__} is set to keep no memory: leave out the text before.")
    # Which tokens those are, the model does not say; but its first block remembers what it has read itself.
    read, size = output.hidden_states[0], kept[0].shape[1]
    start = next(at for at in range(read.shape[1]) if torch.equal(read[:, at : at + size], kept[0]))
    some = slice(start, start + size)
    return Past(Words(encoding.tokens[some], encoding.sequence_ids[some], name="read before"), {"mems": kept})


# ------------------------------------------------------------------------------------------ running a model


def _backbone(model: nn.Module) -> Model:
    backbone = getattr(model, "backbone", model)
    if not isinstance(backbone, Model):
        raise MinibertError(f"{type_of(model)} is not a model of this package: make one with build.")
    return backbone


def _encode(tokenizer: Tokenizer | None, text: str, pair: str | None) -> Encoding:
    if not isinstance(tokenizer, Tokenizer):
        raise MinibertError("a model reads ids, not text: give its tokenizer too, as load_tokenizer returns it.")
    texts = [with_own_masks(one, tokenizer) if isinstance(one, str) else one for one in (text, pair)]
    encoding = tokenizer.encode(*texts)
    read = set(encoding.sequence_ids) - {None}
    if len(read) < (1 if pair is None else 2):
        raise MinibertError("there is no word in the text, or in one text of the pair: give a sentence.")
    if len(encoding.tokens) > LONGEST:
        raise MinibertError(
            f"the text has {len(encoding.tokens)} tokens, and the page, which grows with their square, shows "
            f"{LONGEST} at most: give a shorter text."
        )
    return encoding


class Ran(NamedTuple):
    """What a model returned for a text, and the inside of each attention that returned weights, with these weights."""

    output: Output
    insides: list[tuple[Tensor, Inside]]


def _run(model: Model, encoding: Encoding, **given: Any) -> Ran:
    """Run a model on a text, with all weights, in evaluation mode; its parts keep their training modes."""
    device = next(model.parameters()).device
    ids, types = (torch.tensor([row], device=device) for row in (encoding.ids, encoding.type_ids))
    given = {name: value.to(device) if isinstance(value, Tensor) else value for name, value in given.items()}
    insides: list[tuple[Tensor, Inside]] = []

    def note(part: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> None:
        if result[1] is not None:
            insides.append((result[1], part.inside(*args, **kwargs)))  # type: ignore[operator]

    watched = [part for part in model.modules() if callable(getattr(part, "inside", None))]
    handles = [part.register_forward_hook(note, with_kwargs=True) for part in watched]
    try:
        with evaluating(model), torch.inference_mode():
            return Ran(model(ids, token_type_ids=types, return_attention=True, **given), insides)
    finally:
        for handle in handles:
            handle.remove()


def _stacked(layers: Sequence[Tensor]) -> Tensor:
    """What all layers have for one text, L of (1, ...), as (L, ...)."""
    return torch.cat(list(layers)).float().cpu()


def _seen(weights: Sequence[Tensor], insides: Sequence[tuple[Tensor, Inside]]) -> dict[str, Any]:
    """The weights of all layers, (L, H, Q, T), and their parts, as a View takes them.

    No parts if some attention of the model cannot say what is inside, or if what it says gives other weights.
    """
    stacked = _stacked(weights)
    found = [inside for one in weights for seen, inside in insides if seen is one]
    if len(found) != len(weights):
        return {"weights": stacked}
    queries, keys, norms = (_stacked(each) for each in zip(*((i.queries, i.keys, i.norms) for i in found), strict=True))
    bias = None if any(i.bias is None for i in found) else _stacked([i.bias for i in found])  # type: ignore[misc]
    scores = queries @ keys.transpose(-2, -1) / queries.shape[-1] ** 0.5
    scores = scores if bias is None else scores + bias
    hidden = (stacked == 0).all(dim=1, keepdim=True).all(dim=0, keepdim=True)
    again = scores.masked_fill(hidden, torch.finfo(scores.dtype).min).softmax(dim=-1).masked_fill(hidden, 0)
    if not torch.allclose(again, stacked, atol=1e-2):  # 1e-2 because of bfloat16
        return {"weights": stacked}
    return {"weights": stacked, "parts": Parts(queries, keys, norms, bias, found[0].bias_from)}
