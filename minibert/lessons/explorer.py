"""The attention explorer: every head of a model on one page, to be walked through word by word.

``explore`` runs a model on a text. ``page`` knows no model: it puts word pieces and weights into explorer.html, which
draws them by itself, in any browser and without a network. Layers and heads are counted from 1 here, as people do.
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
from minibert.files import write_file
from minibert.tokenizers import Tokenizer, load_tokenizer

TEMPLATE = Path(__file__).with_name("explorer.html")
LONGEST = 128  # tokens; the page grows with their square, and with twelve layers of twelve heads has 3 MB then
READABLE = {"minilm-l6": (4, 2)}  # a layer and a head to begin with: the ones that the tour shows
# A weight is kept in a byte, as the nearest of these: from .05 on, where the page shows two digits, these digits;
# below, where only the colour shows it, in finer steps.
LEVELS = np.concatenate([np.arange(160) / 3200, np.arange(5, 101) / 100])


@dataclass(frozen=True, repr=False)
class Explorer:
    """A page that shows itself where a notebook's cell ends with it. height: pixels that it takes there."""

    title: str
    document: str
    height: int

    def html(self) -> str:
        """The whole page; it needs nothing else."""
        return self.document

    def save(self, path: str | Path) -> Path:
        """Write the page, in full or not at all; returns the path. Raises MinibertError when it cannot be written."""
        write_file(Path(path), self.document)
        return Path(path)

    def __repr__(self) -> str:
        return f"<Explorer: {self.title}>"

    def _repr_html_(self) -> str:
        """In a frame of its own, where page and notebook cannot disturb each other."""
        return (
            "<p>Attention explorer: if nothing shows below, run this cell.</p>\n"
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
    """Show what every head of a model looks at in a text, or in a pair of texts.

    model: a source as for from_pretrained, or a model, with or without a head; with a model goes its tokenizer.
    layer, head: the ones to begin with, counted from 1.

    Raises MinibertError for a text without a word or of more than LONGEST tokens, for a model without its tokenizer
    or of another package, for a layer or head that is not there, and for what from_pretrained and load_tokenizer
    refuse.
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
    weights, tokens = look(model, tokenizer, text, pair)
    first = READABLE.get(source, (1, 1)) if layer is None and head is None else (1, 1)
    start = (first[0] if layer is None else layer, first[1] if head is None else head)
    title = f"What the heads of {name} look at"
    height = min(1000, 620 + max(17 * len(tokens), 20 * len(weights)))  # measured at 780 pixels across, about
    return Explorer(title, page(tokens, weights, title, start), height)


def look(model: nn.Module, tokenizer: Tokenizer, text: str, pair: str | None = None) -> tuple[Tensor, list[str]]:
    """All attention weights for a text or a pair, (L, H, S, S), and the S tokens; the model is left as it was.

    Raises MinibertError for what cannot be shown; see ``explore``.
    """
    backbone = getattr(model, "backbone", model)
    if not isinstance(backbone, Backbone):
        raise MinibertError(f"a {type(model).__name__} is no model of this package: make one with build.")
    encoding = tokenizer.encode(text, pair)
    read = set(encoding.sequence_ids) - {None}
    if len(read) < (1 if pair is None else 2):
        raise MinibertError("there is not one word in the text, or in one of the pair: give a sentence.")
    if len(encoding.tokens) > LONGEST:
        raise MinibertError(
            f"the text has {len(encoding.tokens)} tokens, and the page, which grows with their square, takes {LONGEST} "
            "at most: give a shorter text."
        )
    device = next(backbone.parameters()).device
    ids, types = (torch.tensor([row], device=device) for row in (encoding.ids, encoding.type_ids))
    modes = {part: part.training for part in backbone.modules()}
    try:
        with torch.inference_mode():
            attentions = backbone.eval()(ids, token_type_ids=types, return_attention=True).attentions
    finally:
        for part, mode in modes.items():
            part.training = mode
    return torch.cat(attentions).float().cpu(), encoding.tokens


def page(tokens: Sequence[str], weights: ArrayLike, title: str, start: tuple[int, int] = (1, 1)) -> str:
    """The explorer as one HTML page; the same input gives the same page.

    tokens: the S word pieces. weights: (L, H, S, S); row s says how token s spreads its attention, and sums to 1.
    start: the layer and the head to begin with, counted from 1.
    Raises MinibertError when the weights have another shape, or a row does not sum to 1, or there is no such head.
    """
    weights = np.asarray(weights, dtype=float)
    size = len(tokens)
    if weights.ndim != 4 or not weights.size or weights.shape[2:] != (size, size):
        raise MinibertError(
            f"the weights have shape {weights.shape} but there are {size} tokens: give all heads of one text, "
            "(L, H, S, S)."
        )
    if not (np.allclose(weights.sum(axis=3), 1, atol=1e-2) and weights.min() >= 0):  # 1e-2: bfloat16 is no better
        raise MinibertError("a row of the weights does not sum to 1: give them after the softmax, padding cut off.")
    for place, chosen, count in zip(("layer", "head"), start, weights.shape[:2], strict=True):
        if type(chosen) is not int or not 1 <= chosen <= count:
            raise MinibertError(f"there is no {place} {chosen!r} here: the {place}s are 1 to {count}.")
    nearest = np.searchsorted((LEVELS[1:] + LEVELS[:-1]) / 2, weights).astype(np.uint8)
    data = {
        "tokens": list(tokens),
        "layers": weights.shape[0],
        "heads": weights.shape[1],
        "start": start,
        "levels": LEVELS.tolist(),
        "weights": base64.b64encode(nearest.tobytes()).decode(),
    }
    # ASCII throughout, so that no character, not even half of one, can harm the file; and no "<", which could end
    # the script that the data stands in.
    parts = {
        "title": html.escape(title).encode("ascii", "xmlcharrefreplace").decode(),
        "data": json.dumps(data).replace("<", "\\u003c"),
    }
    template = TEMPLATE.read_text(encoding="utf-8")
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], template)  # in one go: a title may hold {{data}}
