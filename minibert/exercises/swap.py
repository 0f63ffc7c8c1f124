"""A learner's function inside a real model.

    with minibert.swap(attention=my_attention):
        model(**batch)

Each seam is a place of the library where a function with an exercise's signature does the work. Inside the block the
learner's function does it instead, in every model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import cache
from typing import Any, NamedTuple
from unittest import mock

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from minibert import attention as attention_module
from minibert.assets import ASSETS, cache_folder
from minibert.attention import Layout, MultiHeadAttention
from minibert.checkpoints import from_pretrained
from minibert.encoder import Backbone
from minibert.errors import MinibertError
from minibert.exercises.calls import problem_of
from minibert.exercises.declare import Exercise
from minibert.factory import build
from minibert.layers import FeedForward
from minibert.tokenizers import load_tokenizer
from minibert.tokenizers.base import Tokenizer
from minibert.tokenizers.wordpiece import CONTINUATION, WordPiece

Function = Callable[..., Any]

SENTENCES = (
    "A quiet film that stays with you long after the lights come up.",
    "Two hours I will never get back.",
    "Unbelievably well acted, unforgettable, and funnier than its title.",
)
ALIKE = 1e-5  # relative to 1 + the size of a number: float32 through six layers, in another order of operations


# ------------------------------------------------------------------------------------------------- the seams


def _attention(mine: Function) -> list[Any]:
    written_out = attention_module.attention

    def output(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None, **_: Any) -> Tensor:
        found = mine(q, k, v, mask)
        return found[0] if isinstance(found, tuple) else found

    def with_weights(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None, **how: Any) -> tuple[Tensor, Tensor]:
        return output(q, k, v, mask), written_out(q, k, v, mask, **how)[1]

    return [
        mock.patch.object(attention_module, "fused_attention", output),
        mock.patch.object(attention_module, "attention", with_weights),
    ]


def _split_heads(mine: Function) -> list[Any]:
    return [mock.patch.object(MultiHeadAttention, "split_heads", lambda self, x: mine(x, self.num_heads))]


def _merge_heads(mine: Function) -> list[Any]:
    return [mock.patch.object(MultiHeadAttention, "merge_heads", lambda self, x: mine(x))]


def _layer_norm(mine: Function) -> list[Any]:
    return [mock.patch.object(nn.LayerNorm, "forward", lambda self, x: mine(x, self.weight, self.bias, self.eps))]


def _gelu(mine: Function) -> list[Any]:
    """Only where the model has the exact GELU: ALBERT v2 has its approximation."""

    def forward(self: FeedForward, x: Tensor) -> Tensor:
        activation = mine if self.activation is F.gelu else self.activation
        return self.contract(activation(self.expand(x)))

    return [mock.patch.object(FeedForward, "forward", forward)]


def _feed_forward(mine: Function) -> list[Any]:
    return [mock.patch.object(FeedForward, "forward", lambda self, x: mine(x, dict(self.named_parameters())))]


def _embeddings(mine: Function) -> list[Any]:
    def embed(self: Backbone, input_ids: Tensor, token_type_ids: Tensor | None, layout: Layout) -> Tensor:
        types = torch.zeros_like(input_ids) if token_type_ids is None else token_type_ids
        parts = self.embeddings
        return layout.pack(mine(input_ids, types, dict(parts.named_parameters()), parts.norm.eps))

    return [mock.patch.object(Backbone, "embed", embed)]


def _wordpiece(mine: Function) -> list[Any]:
    def match(self: WordPiece, word: str) -> list[tuple[int, int]]:
        pieces = mine(word, list(self.tokens))
        if pieces == ["[UNK]"]:
            return [(self.unk_id, len(word))]
        return [(self.vocabulary[piece], len(piece.removeprefix(CONTINUATION))) for piece in pieces]

    return [mock.patch.object(WordPiece, "match", match)]


SEAMS: dict[str, Callable[[Function], list[Any]]] = {
    "attention": _attention,
    "split_heads": _split_heads,
    "merge_heads": _merge_heads,
    "layer_norm": _layer_norm,
    "gelu": _gelu,
    "feed_forward": _feed_forward,
    "embeddings": _embeddings,
    "wordpiece": _wordpiece,
}


@contextmanager
def swap(**functions: Function) -> Iterator[None]:
    """Inside the block, let these functions do the work in every model; what was there comes back after it.

    functions: a seam -> a function with the signature of the exercise of that name. Seams: attention, split_heads,
    merge_heads, layer_norm, gelu, feed_forward, embeddings, wordpiece. Not for several threads at a time.
    Raises MinibertError for a seam that does not exist or a value that is no function.
    """
    for name, function in functions.items():
        if name not in SEAMS:
            raise MinibertError(f"there is no seam {name!r}: swap takes {', '.join(SEAMS)}.")
        if not callable(function):
            raise MinibertError(f"swap({name}=...) takes a function, not a {type(function).__name__}.")
    with ExitStack() as stack:
        for name, function in functions.items():
            for patch in SEAMS[name](function):
                stack.enter_context(patch)
        yield


# ---------------------------------------------------------------------------------------------- trying it out


class Trial(NamedTuple):
    """What came of a swap. trouble: what went wrong, or None. note: what went well, or None."""

    trouble: str | None
    note: str | None


def trial(exercise: Exercise, answer: Function) -> Trial:
    """Run a real model on real sentences, by itself and with the answer swapped in, and compare layer by layer."""
    name, model, tok = real_model()
    expected = _run(model, tok)
    try:
        with swap(**{exercise.swap: answer}):
            found = _run(model, tok)
    except Exception as error:
        problem = problem_of(error, answer)
        said = f"{problem.type}: {problem.message}{problem.place}"
        return Trial(f"Inside {name} your {exercise.function} raised {said}.", None)
    return compared(exercise, name, expected, found)


def compared(exercise: Exercise, name: str, expected: Mapping[str, Any], found: Mapping[str, Any]) -> Trial:
    """Where two runs part; see `_run` for what they hold."""
    for text, mine, theirs in zip(SENTENCES, found["tokens"], expected["tokens"], strict=True):
        if mine != theirs:
            return Trial(f"Inside {name} “{text}” is read as {mine}, expected {theirs}.", None)
    largest, layers = 0.0, len(expected["hidden"]) - 1
    for layer, (mine, theirs) in enumerate(zip(found["hidden"], expected["hidden"], strict=True)):
        if mine.shape != theirs.shape:
            return Trial(f"Inside {name} the result has the shape {tuple(mine.shape)} at layer {layer}.", None)
        apart = float(((mine - theirs).abs() / (1 + theirs.abs())).nan_to_num(nan=torch.inf).max())
        if apart > ALIKE:
            where = f"after layer {layer} of {layers}" if layer else "in its embeddings"
            return Trial(f"Inside {name} your {exercise.function} parts from it {where}, by {apart:.1g}.", None)
        largest = max(largest, apart)
    return Trial(None, f"Your {exercise.function} just ran {name}: the same vectors, to {max(largest, 1e-7):.0e}.")


@torch.no_grad()
def _run(model: nn.Module, tok: Tokenizer) -> dict[str, Any]:
    """tokens: of each sentence. hidden: L + 1 tensors (N, D), the real tokens' vectors after each layer."""
    tok = type(tok)(tok.vocabulary)  # a fresh one: a tokenizer remembers the words that it has cut
    batch = tok(list(SENTENCES))
    hidden = model(**batch, return_hidden=True).hidden_states
    real = batch["attention_mask"].bool()
    return {"tokens": [tok.encode(text).tokens for text in SENTENCES], "hidden": [layer[real] for layer in hidden]}


@cache
def real_model() -> tuple[str, nn.Module, Tokenizer]:
    """all-MiniLM-L6-v2 where its weights are at hand (nothing is downloaded here), else a small random BERT."""
    asset = ASSETS["minilm-l6"]
    folder = cache_folder() / f"minilm-l6-{asset.version}"
    if all((folder / file).is_file() for file in asset.members):
        model = from_pretrained("minilm-l6").eval()
        return "a real BERT (all-MiniLM-L6-v2)", model, load_tokenizer("minilm-l6")
    tok = WordPiece.train(SENTENCES, 120, min_frequency=1)
    return (
        "a small BERT (its weights are random: `minibert fetch minilm-l6` brings real ones)",
        (build("tiny-bert", seed=0).eval()),
        tok,
    )
