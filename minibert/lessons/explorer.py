"""The attention explorer: all heads of a model on one page, to be explored word by word.

``explore`` runs a model on a text. ``page`` needs no model: it puts tokens and weights into explorer.html, which draws
them in any browser, without a network. Layers and heads are counted from 1 here, as readers count them.
"""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from minibert.checkpoints import from_pretrained
from minibert.encoder import Backbone
from minibert.errors import MinibertError
from minibert.files import read_text, write_file
from minibert.tokenizers import Encoding, Tokenizer, load_tokenizer

TEMPLATE = Path(__file__).with_name("explorer.html")
LONGEST = 128  # tokens; the page grows with the square of it: with 12 layers of 12 heads it is then 3 MB
READABLE = {"minilm-l6": (4, 2)}  # a layer and a head to begin with: those that the tour shows
# A weight is stored in one byte, as the nearest of these numbers: from .05 on, where the page shows two digits, in
# steps of .01; below that, where only the colour shows it, in smaller steps.
LEVELS = np.concatenate([np.arange(160) / 3200, np.arange(5, 101) / 100])


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
        """Write the page, in full or not at all; returns the path. Raises MinibertError when it cannot be written."""
        write_file(Path(path), self.document)
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
) -> Explorer:
    """Show what each head of a model looks at in a text, or in a pair of texts.

    model: a source as for from_pretrained, or a model, with or without a head; a model needs its tokenizer, too.
    layer, head: those to begin with, counted from 1.

    Raises MinibertError for a text without words or of more than LONGEST tokens, for a model without its tokenizer or
    of another package, for a layer or head that does not exist, and for what from_pretrained and load_tokenizer refuse.
    """
    if isinstance(model, nn.Module):
        source, name = "", f"this {type(getattr(model, 'backbone', model)).__name__}"
    else:
        if tokenizer is None:
            tokenizer = load_tokenizer(model)
        source, model = str(model), from_pretrained(model)
        name = Path(source).name
    if not isinstance(tokenizer, Tokenizer):
        raise MinibertError("a model reads ids, not text: give its tokenizer too, as load_tokenizer returns it.")
    encoding = _encode(tokenizer, text, pair)
    weights, tokens = _attend(model, encoding), encoding.tokens
    first = READABLE.get(source, (1, 1)) if layer is None and head is None else (1, 1)
    start = (first[0] if layer is None else layer, first[1] if head is None else head)
    title = f"What the heads of {name} look at"
    height = min(1000, 620 + max(17 * len(tokens), 20 * len(weights)))  # enough at a width of 780 pixels
    return Explorer(title, page(tokens, weights, title, start, encoding.sequence_ids), height)


def look(model: nn.Module, tokenizer: Tokenizer, text: str, pair: str | None = None) -> tuple[Tensor, list[str]]:
    """All attention weights for a text or a pair, (L, H, S, S), and the S tokens; the model is not changed.

    Raises MinibertError for what cannot be shown; see ``explore``.
    """
    encoding = _encode(tokenizer, text, pair)
    return _attend(model, encoding), encoding.tokens


def _encode(tokenizer: Tokenizer, text: str, pair: str | None) -> Encoding:
    encoding = tokenizer.encode(text, pair)
    read = set(encoding.sequence_ids) - {None}
    if len(read) < (1 if pair is None else 2):
        raise MinibertError("there is no word in the text, or in one text of the pair: give a sentence.")
    if len(encoding.tokens) > LONGEST:
        raise MinibertError(
            f"the text has {len(encoding.tokens)} tokens, and the page, which grows with their square, shows "
            f"{LONGEST} at most: give a shorter text."
        )
    return encoding


def _attend(model: nn.Module, encoding: Encoding) -> Tensor:
    """All attention weights, (L, H, S, S); the parts of the model keep their training modes."""
    backbone = getattr(model, "backbone", model)
    if not isinstance(backbone, Backbone):
        raise MinibertError(f"a {type(model).__name__} is not a model of this package: make one with build.")
    device = next(backbone.parameters()).device
    ids, types = (torch.tensor([row], device=device) for row in (encoding.ids, encoding.type_ids))
    modes = {part: part.training for part in backbone.modules()}
    try:
        with torch.inference_mode():
            attentions = backbone.eval()(ids, token_type_ids=types, return_attention=True).attentions
    finally:
        for part, mode in modes.items():
            part.training = mode
    return torch.cat(attentions).float().cpu()


def page(
    tokens: Sequence[str],
    weights: ArrayLike,
    title: str,
    start: tuple[int, int] = (1, 1),
    sequence_ids: Sequence[int | None] | None = None,
) -> str:
    """The explorer as one HTML page; the same input gives the same page.

    tokens: S of them. weights: (L, H, S, S); row s says how token s spreads its attention, and sums to 1.
    start: the layer and the head to begin with, counted from 1. sequence_ids: the text that each token comes from, as
    an Encoding has it: 0 or 1, and None for the special tokens around the texts; by default all come from text 0.
    Raises MinibertError when the weights have another shape, a row does not sum to 1, there is no such head, or the
    sequence ids are not one for each token.
    """
    weights = np.asarray(weights, dtype=float)
    size = len(tokens)
    sequence_ids = [0] * size if sequence_ids is None else list(sequence_ids)
    if len(sequence_ids) != size:
        raise MinibertError(f"there are {len(sequence_ids)} sequence ids for {size} tokens: give one for each token.")
    if weights.ndim != 4 or not weights.size or weights.shape[2:] != (size, size):
        raise MinibertError(
            f"the weights have shape {weights.shape} but there are {size} tokens: give all heads of one text, "
            "(L, H, S, S)."
        )
    if not (np.allclose(weights.sum(axis=3), 1, atol=1e-2) and weights.min() >= 0):  # 1e-2 because of bfloat16
        raise MinibertError("a row of the weights does not sum to 1: give them after the softmax, without padding.")
    for place, chosen, count in zip(("layer", "head"), start, weights.shape[:2], strict=True):
        if type(chosen) is not int or not 1 <= chosen <= count:
            raise MinibertError(f"there is no {place} {chosen!r}: give a {place} from 1 to {count}.")
    nearest = np.searchsorted((LEVELS[1:] + LEVELS[:-1]) / 2, weights).astype(np.uint8)
    data = {
        "tokens": list(tokens),
        "texts": sequence_ids,
        "layers": weights.shape[0],
        "heads": weights.shape[1],
        "start": start,
        "levels": LEVELS.tolist(),
        "weights": base64.b64encode(nearest.tobytes()).decode(),
    }
    # Only ASCII, so that no character, not even half of a surrogate pair, can harm the file; and no "<", which could
    # end the script element that holds the data.
    parts = {
        "title": html.escape(title).encode("ascii", "xmlcharrefreplace").decode(),
        "data": json.dumps(data).replace("<", "\\u003c"),
    }
    template = read_text(TEMPLATE)
    # In one pass: a title may contain {{data}}.
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], template)
