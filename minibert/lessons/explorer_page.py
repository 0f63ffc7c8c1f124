"""The page of the attention explorer: tokens and weights go into explorer.html, which draws them in any browser with
explorer.js, explorer_weights.js and, for a pair of tokens, explorer_pair.js.

Nothing here knows a model. A page has one or more views, each with the weights of one kind of attention. Layers and
heads are counted from 1 here, as readers count them.
"""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from minibert.errors import MinibertError, quoted
from minibert.files import read_text

TEMPLATE = Path(__file__).with_name("explorer.html")
SCRIPTS = [TEMPLATE.with_name(f"explorer{name}.js") for name in ("_pair", "_weights", "")]  # the last one draws
# A weight is stored in one byte, as the nearest of these numbers: from .05 on, where the page shows two digits, in
# steps of .01; below that, where only the colour shows it, in smaller steps.
LEVELS = np.concatenate([np.arange(160) / 3200, np.arange(5, 101) / 100])
# Characters of queries and keys in a page: enough for 80 tokens in BERT base. A page that would need more has none.
MOST_VECTORS = 4_000_000


@dataclass(frozen=True)
class Words:
    """The tokens of one text or pair, in their order.

    sequence_ids: the text that each token comes from, as an Encoding has it: 0 or 1, and None for the special tokens
    around the texts; by default all come from text 0. name: what the page calls them, if it shows others too.
    order: the number of each token in a factorisation order, counted from 0. next: the token that a decoder writes when
    it has read this one. Both are empty where there is no such thing.
    guesses: for the numbers of some tokens, words that a model guesses in their place, each with its probability.
    guessed: what the page says about these.
    """

    tokens: Sequence[str]
    sequence_ids: Sequence[int | None] | None = None
    name: str = ""
    order: Sequence[int] = ()
    next: Sequence[str] = ()
    guesses: Mapping[int, Sequence[tuple[str, float]]] = field(default_factory=dict)
    guessed: str = ""

    def __post_init__(self) -> None:
        optional = {"sequence ids": self.sequence_ids, "numbers of an order": self.order, "next tokens": self.next}
        for what, given in optional.items():
            if given not in (None, ()) and len(given) != len(self.tokens):
                raise MinibertError(
                    f"there are {len(given)} {what} for {len(self.tokens)} tokens: give one for each token."
                )

    def data(self) -> dict[str, Any]:
        ids = [0] * len(self.tokens) if self.sequence_ids is None else list(self.sequence_ids)
        shown = {"name": self.name, "tokens": list(self.tokens), "texts": ids}
        guesses = {place: [[word, round(share, 4)] for word, share in found] for place, found in self.guesses.items()}
        about = {"guesses": guesses, "guessed": self.guessed} if guesses else {}
        return {**shown, "order": list(self.order), "next": list(self.next), **about}


@dataclass(frozen=True)
class Parts:
    """What the weights of a view are made of, and how much they add.

    queries: (L, H, Q, K). keys: (L, H, T, K). The score of a pair is their product over √K, plus bias, (L, H, Q, T),
    if there is one; the softmax of a row of scores is a row of weights. bias_from: in words, where the bias comes from.
    norms: (L, H, T), how long a vector each token adds at a weight of 1.
    """

    queries: ArrayLike
    keys: ArrayLike
    norms: ArrayLike
    bias: ArrayLike | None = None
    bias_from: str = ""

    def data(self, shape: tuple[int, ...]) -> dict[str, Any]:
        """What the page is given. shape: of the weights. Raises MinibertError for parts of another shape."""
        layers, heads, rows, columns = shape
        queries, keys, norms = (np.asarray(one, dtype=float) for one in (self.queries, self.keys, self.norms))
        bias = None if self.bias is None else np.asarray(self.bias, dtype=float)
        size = queries.shape[-1]
        wanted = {
            "queries": (queries, (layers, heads, rows, size)),
            "keys": (keys, (layers, heads, columns, size)),
            "norms": (norms, (layers, heads, columns)),
            "bias": (bias, shape),
        }
        for name, (one, expected) in wanted.items():
            if one is not None and (one.shape != expected or not np.isfinite(one).all()):
                raise MinibertError(
                    f"{name} of shape {one.shape} do not fit weights of shape {shape}: give finite numbers of shape "
                    f"{expected}."
                )
        packed = {name: None if one is None else _packed(one) for name, (one, _) in wanted.items() if name != "norms"}
        return {"size": size, "from": self.bias_from, "norms": _text(norms.astype("<f4")), "vectors": packed}


def _text(numbers: np.ndarray) -> str:
    return base64.b64encode(numbers.tobytes()).decode()


def _packed(vectors: np.ndarray) -> dict[str, str]:
    """Vectors (..., K): two bytes for each number, and for each vector a scale; its largest number is 32767 scales."""
    scales = (abs(vectors).max(axis=-1, keepdims=True) / 32767).astype("<f4")
    numbers = np.rint(vectors / np.where(scales > 0, scales, 1)).clip(-32767, 32767)
    return {"numbers": _text(numbers.astype("<i2")), "scales": _text(scales)}


@dataclass(frozen=True)
class View:
    """One kind of attention, in all layers and heads.

    weights: (L, H, Q, T); row q says how the q-th of those who look spreads its attention over T tokens. It sums to 1,
    or is 0 everywhere if there is nothing that it may look at. A weight that is 0 in all layers and heads is shown as
    hidden by a mask.
    words: the tokens of all texts that the page shows. rows, columns: which of these tokens, counted through all texts,
    look (Q) and are looked at (T); by default all of them. name, note: what the page says about it. looking: the words
    before the name of a token that looks, as in "the place of ‘she’ looks at".
    parts: what the weights are made of; without it, the page shows the weights alone.
    """

    weights: ArrayLike
    words: Sequence[Words]
    rows: Sequence[int] | None = None
    columns: Sequence[int] | None = None
    name: str = ""
    note: str = ""
    looking: str = ""
    parts: Parts | None = None

    def data(self) -> dict[str, Any]:
        """What the page is given. Raises MinibertError for weights that are not attention between these tokens."""
        weights = np.asarray(self.weights, dtype=float)
        size = sum(len(one.tokens) for one in self.words)
        rows, columns = (list(range(size)) if some is None else list(some) for some in (self.rows, self.columns))
        if weights.ndim != 4 or not weights.size or weights.shape[2:] != (len(rows), len(columns)):
            every = len(rows) == len(columns) == size
            tokens = f"{size} tokens" if every else f"{len(rows)} tokens that look at {len(columns)}"
            raise MinibertError(
                f"the weights have shape {weights.shape} but there are {tokens}: give all heads of one text, "
                f"(L, H, {'S, S' if every else 'Q, T'})."
            )
        hidden = (weights == 0).all(axis=(0, 1))
        sums = weights.sum(axis=3) + hidden.all(axis=1)
        if not (np.allclose(sums, 1, atol=1e-2) and weights.min() >= 0):  # 1e-2 because of bfloat16
            raise MinibertError("a row of the weights does not sum to 1: give them after the softmax, without padding.")
        nearest = np.searchsorted((LEVELS[1:] + LEVELS[:-1]) / 2, weights).astype(np.uint8)
        return {
            "name": self.name,
            "note": self.note,
            "looking": self.looking,
            "words": [one.data() for one in self.words],
            "rows": rows,
            "columns": columns,
            "layers": weights.shape[0],
            "heads": weights.shape[1],
            "weights": _text(nearest),
            "parts": None if self.parts is None else self.parts.data(weights.shape),
            "hidden": ["".join("01"[cell] for cell in row) for row in hidden.astype(int)] if hidden.any() else None,
        }


def page_of(views: Sequence[View], title: str, start: tuple[int, int] = (1, 1), form: str = "") -> str:
    """The explorer as one HTML page; the same input gives the same page.

    start: the layer and the head to begin with, counted from 1; a link to a state, as the page writes it, comes before
    it. form: HTML below the title, for a page that is served. Raises MinibertError for a view whose weights do not fit
    its tokens, or if the first view has no such layer or head.
    """
    every = [view.data() for view in views]
    for place, chosen in zip(("layer", "head"), start, strict=True):
        count = every[0][f"{place}s"]
        if type(chosen) is not int or not 1 <= chosen <= count:
            raise MinibertError(f"there is no {place} {quoted(chosen)}: give a {place} from 1 to {count}.")
    made = [view["parts"] for view in every if view["parts"]]
    if len(json.dumps([parts["vectors"] for parts in made])) > MOST_VECTORS:
        for parts in made:
            parts["vectors"] = None
    data = {"start": start, "levels": LEVELS.tolist(), "views": every}
    # Only ASCII, so that no character, not even half of a surrogate pair, can harm the file; and no "<", which could
    # end the script element that holds the data.
    parts = {
        "title": html.escape(title).encode("ascii", "xmlcharrefreplace").decode(),
        "data": json.dumps(data).replace("<", "\\u003c"),
        "form": form.encode("ascii", "xmlcharrefreplace").decode(),
        "script": "\n".join(read_text(script) for script in SCRIPTS),
    }
    template = read_text(TEMPLATE)
    # In one pass: a title may contain {{data}}.
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], template)


def page(
    tokens: Sequence[str],
    weights: ArrayLike,
    title: str,
    start: tuple[int, int] = (1, 1),
    sequence_ids: Sequence[int | None] | None = None,
) -> str:
    """The page of one view, in which the tokens of a text look at each other.

    tokens: S of them. weights: (L, H, S, S); row s says how token s spreads its attention, and sums to 1.
    start: the layer and the head to begin with, counted from 1. sequence_ids: see `Words`.
    Raises MinibertError when the weights have another shape, a row does not sum to 1, there is no such head, or the
    sequence ids are not one for each token.
    """
    return page_of([View(weights, [Words(tokens, sequence_ids)])], title, start)
