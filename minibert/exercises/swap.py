"""A learner's function inside a real model.

    with minibert.swap(attention=my_attention):
        model(**batch)

Each seam is a part of the library's work that is also an exercise. Inside the block, the learner's function does this
work in every model where it is the same as in the exercise. While that function runs, the library does its own work at
the seam again, so that an answer may call the library (a layer norm by `nn.LayerNorm`, for example) without calling
itself.

To swap for a whole test session, find the functions of a file with `seams_for`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import cache, wraps
from itertools import pairwise
from typing import Any, NamedTuple
from unittest import mock
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from minibert import attention as attention_module, generation, layers
from minibert.assets import cache_folder
from minibert.attention import Layout, MultiHeadAttention, check_mask
from minibert.checkpoints import from_pretrained
from minibert.encoder import Backbone
from minibert.errors import MinibertError, check_known
from minibert.exercises import seams
from minibert.exercises.calls import problem_of
from minibert.exercises.catalogue import exercises
from minibert.exercises.declare import Exercise
from minibert.factory import PRESETS as CONFIGS, build
from minibert.layers import FeedForward
from minibert.models import mobilebert, relative, roberta
from minibert.models.bart import Decoder, DecoderBlock
from minibert.pinned import ASSETS
from minibert.tokenizers import cutters, load_tokenizer, word_cutter
from minibert.tokenizers.base import Tokenizer
from minibert.tokenizers.byte_bpe import ByteBPE
from minibert.tokenizers.unigram import AlbertUnigram, Unigram, XLNetUnigram
from minibert.tokenizers.unigram_model import BestPath, Known
from minibert.tokenizers.wordpiece import WordPiece
from minibert.training import infilling, permutation
from minibert.words import listed, type_of

Function = Callable[..., Any]

SENTENCES = (
    "A quiet film that stays with you long after the lights come up.",
    "Two hours I will never get back.",
    "Unbelievably well acted, unforgettable, and funnier than its title.",
)
ALIKE = 1e-5  # relative to 1 + the size of a number: six layers in float32, with the operations in another order

# ------------------------------------------------------------------------------------------------- the seams
# Each function below does the work of one place in the library. It gets the learner's function (`mine`), what the
# library does there (`own`), and then the arguments of the place itself. If the exercise's function cannot do the work
# of the place, `own` does it.


class Place(NamedTuple):
    """An attribute of a module or a class that is replaced. work: called as work(mine, own, *args, **kwargs)."""

    owner: Any
    name: str
    work: Callable[..., Any]


def _attended(mine: Function, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    check_mask(mask)
    found = mine(q, k, v, mask)
    return found[0] if isinstance(found, tuple) else found  # an answer may return the weights too


def _fused_attention(
    mine: Function, own: Function, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None, **how: Any
) -> Tensor:
    # The exercise's function has no bias and no dropout.
    return own(q, k, v, mask, **how) if _matters(how) else _attended(mine, q, k, v, mask)


def _attention(
    mine: Function, own: Function, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None, **how: Any
) -> tuple[Tensor, Tensor]:
    output, weights = own(q, k, v, mask, **how)
    return (output if _matters(how) else _attended(mine, q, k, v, mask)), weights


def _matters(how: Mapping[str, Any]) -> bool:
    return how.get("bias") is not None or how.get("dropout", 0.0) > 0


def _split_heads(mine: Function, own: Function, self: MultiHeadAttention, x: Tensor) -> Tensor:
    return mine(x, self.num_heads)


def _merge_heads(mine: Function, own: Function, self: MultiHeadAttention, x: Tensor) -> Tensor:
    return mine(x)


def _layer_norm(mine: Function, own: Function, x: Tensor, weight: Tensor, bias: Tensor, eps: float = 1e-12) -> Tensor:
    return mine(x, weight, bias, eps)


def _layer_norm_module(mine: Function, own: Function, self: nn.LayerNorm, input: Tensor) -> Tensor:
    if self.weight is None or self.bias is None or len(self.normalized_shape) > 1:
        return own(self, input)
    return mine(input, self.weight, self.bias, self.eps)


def _gelu(mine: Function, own: Function, x: Tensor) -> Tensor:
    return mine(x)


def _gelu_inside(mine: Function, own: Function, self: FeedForward, x: Tensor) -> Tensor:
    if self.activation is not F.gelu:  # such as the approximation in ALBERT v2
        return own(self, x)
    return self.contract(mine(self.expand(x)))


def _feed_forward(mine: Function, own: Function, self: FeedForward, x: Tensor) -> Tensor:
    if self.activation is not F.gelu:
        return own(self, x)
    weights = dict(self.named_parameters())
    # The real tokens of a padded batch come as (N, D), but the exercise has (B, S, D).
    return mine(x[None], weights)[0] if x.dim() == 2 else mine(x, weights)


def _embeddings(
    mine: Function, own: Function, self: Backbone, input_ids: Tensor, token_type_ids: Tensor | None, layout: Layout
) -> Tensor:
    parts = self.embeddings
    weights = dict(parts.named_parameters())
    expected = {f"{table}.weight" for table in ("word", "position", "token_type", "norm")} | {"norm.bias"}
    counted = torch.arange(input_ids.shape[1], device=input_ids.device).expand_as(input_ids)
    if weights.keys() != expected or not torch.equal(self.position_ids(input_ids), counted):
        return own(self, input_ids, token_type_ids, layout)  # another family's embeddings
    types = torch.zeros_like(input_ids) if token_type_ids is None else token_type_ids
    return layout.pack(parts.dropout(mine(input_ids, types, weights, parts.norm.eps)))


def _match(mine: Function, own: Function, self: WordPiece, word: str) -> list[tuple[int, int]]:
    # A word is split once for each vocabulary, for answers that are slow.
    known: dict[str, Any] = mine.__dict__.setdefault("pieces", WeakKeyDictionary()).setdefault(self, {})
    if word not in known:
        known[word] = mine(word, list(self.tokens), self.special.unk)
    pieces = known[word]
    if list(pieces) == [self.special.unk]:
        return [(self.unk_id, len(word))]
    ends = [min(len(self.join(pieces[:count])), len(word)) for count in range(len(pieces) + 1)]
    return [(self.vocabulary[piece], end - start) for piece, (start, end) in zip(pieces, pairwise(ends), strict=True)]


def _bpe_merge(mine: Function, own: Function, self: ByteBPE, pieces: Sequence[int]) -> list[int]:
    known: dict[Any, Any] = mine.__dict__.setdefault("pieces", WeakKeyDictionary()).setdefault(self, {})
    symbols = tuple(self.tokens[piece] for piece in pieces)
    if symbols not in known:
        known[symbols] = mine(list(symbols), list(self.merges))
    return [self.vocabulary[piece] for piece in known[symbols]]


def _viterbi(
    mine: Function, own: Function, sentence: str, known: Known, unknown: tuple[int, float], *how: Any, **named: Any
) -> BestPath:
    scores = {text: found[1] for text, found in known.items() if found}
    pieces = mine(sentence, scores, unknown[1])
    ids = [found[0] if (found := known.get(piece)) else unknown[0] for piece in pieces]
    ends = [sum(map(len, pieces[: count + 1])) for count in range(len(pieces))]
    return BestPath(ids, ends, own(sentence, known, unknown, *how, **named).lead)


def _roberta_positions(mine: Function, own: Function, input_ids: Tensor, padding_id: int) -> Tensor:
    return mine(input_ids, padding_id)


def _no_norm(mine: Function, own: Function, self: mobilebert.NoNorm, x: Tensor) -> Tensor:
    return mine(x, self.weight, self.bias)


def _trigram(mine: Function, own: Function, x: Tensor) -> Tensor:
    return mine(x)


def _uncached_ids(mine: Function, own: Function, self: Tokenizer, text: str) -> list[int]:
    """Without the tokenizer's cache, which may hold the library's pieces, and must not keep the learner's."""
    return [piece_id for piece_id, _ in self.pieces(text)]


# In this order, so that if one function contains another, it does the work of both.
SEAMS: dict[str, tuple[Place, ...]] = {
    "attention": (
        Place(attention_module, "fused_attention", _fused_attention),
        Place(attention_module, "attention", _attention),
    ),
    "split_heads": (Place(MultiHeadAttention, "split_heads", _split_heads),),
    "merge_heads": (Place(MultiHeadAttention, "merge_heads", _merge_heads),),
    "layer_norm": (Place(layers, "layer_norm", _layer_norm), Place(nn.LayerNorm, "forward", _layer_norm_module)),
    "gelu": (Place(layers, "gelu", _gelu), Place(FeedForward, "forward", _gelu_inside)),
    "feed_forward": (Place(FeedForward, "forward", _feed_forward),),
    "embeddings": (Place(Backbone, "embed", _embeddings),),
    "wordpiece": (Place(WordPiece, "match", _match), Place(WordPiece, "ids", _uncached_ids)),
    "bpe_merge": (Place(ByteBPE, "merge_pieces", _bpe_merge), Place(ByteBPE, "ids", _uncached_ids)),
    "viterbi": (
        Place(cutters, "best_path", _viterbi),
        Place(word_cutter, "best_path", _viterbi),
        Place(Unigram, "ids", _uncached_ids),
    ),
    "roberta_positions": (Place(roberta, "count_positions", _roberta_positions),),
    "no_norm": (Place(mobilebert.NoNorm, "forward", _no_norm),),
    "trigram": (Place(mobilebert, "with_neighbours", _trigram),),
    "relative_shift": (Place(relative, "shift", seams.relative_shift),),
    "permutation_mask": (Place(permutation, "order_mask", seams.permutation_mask),),
    "infilling": (Place(infilling, "replace_spans", seams.infilling),),
    "decoder_attention": (
        Place(DecoderBlock, "forward", seams.decoder_attention),
        Place(Decoder, "remember", seams.decoder_reads),
    ),
    "beam_step": (Place(generation, "beam_step", seams.beam_step),),
}


class _Swapped:
    """A learner's function, which knows whether it is running, and its stand-ins at the places of a seam."""

    def __init__(self, mine: Function):
        self.mine = mine
        self.running = False

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.running = True
        try:
            return self.mine(*args, **kwargs)
        finally:
            self.running = False

    def at(self, place: Place) -> Any:
        """A patch that puts a stand-in into the place."""
        own = getattr(place.owner, place.name)

        @wraps(own)
        def stand_in(*args: Any, **kwargs: Any) -> Any:
            return own(*args, **kwargs) if self.running else place.work(self, own, *args, **kwargs)

        return mock.patch.object(place.owner, place.name, stand_in)


def swap(*given: object, **functions: Function) -> AbstractContextManager[None]:
    """Inside the block, let these functions do the work in every model; afterwards the library does it again.

    functions: seam -> a function with the signature of the exercise of that name. Seams: attention, split_heads,
    merge_heads, layer_norm, gelu, feed_forward, embeddings, wordpiece, bpe_merge, viterbi, roberta_positions, no_norm,
    trigram, relative_shift, permutation_mask, infilling, decoder_attention, beam_step.

    The library itself does what the exercise's function does not cover: attention with a bias or, while training, with
    dropout on the weights; activations other than the exact GELU; embeddings that are not BERT's; a decoder that
    trains, or writes one token at a time; the last step of a beam search. If one function contains another, as
    feed_forward contains gelu, only the larger one is called. Do not use this from several threads at the same time.
    Raises MinibertError for an unknown seam, a value that is not a function, and a function without its seam's name.
    """
    if given:
        raise MinibertError(
            f"swap takes each function by the name of the part whose work it does, as in {_example(given)}; "
            f"the parts are {listed(SEAMS)}."
        )
    for name, function in functions.items():
        check_known("part", name, SEAMS, " to swap")
        if not callable(function):
            raise MinibertError(f"swap({name}=...) takes a function, not {type_of(function)}.")
    return _swapped(functions)


def _example(given: Sequence[object]) -> str:
    """How to write what was given without a name: swap("gelu", f) as "with minibert.swap(gelu=f): ..."."""
    seam = next((one for one in given if isinstance(one, str) and one in SEAMS), "gelu")
    named = (getattr(one, "__name__", "") for one in given if callable(one))
    function = next((name for name in named if name.isidentifier()), f"my_{seam}")
    return f"`with minibert.swap({seam}={function}):`"


@contextmanager
def _swapped(functions: Mapping[str, Function]) -> Iterator[None]:
    with ExitStack() as stack:
        for name, places in SEAMS.items():
            if name in functions:
                swapped = _Swapped(functions[name])
                for place in places:
                    stack.enter_context(swapped.at(place))
        yield


def seams_for(names: Iterable[str]) -> dict[str, str]:
    """Which functions of a learner's file can be swapped in: seam -> the function's name.

    names: everything that the file defines. An answer is found in the same way as by `minibert check FILE`, for example
    by the name attention or my_attention.

        space = runpy.run_path("answers.py")
        with swap(**{seam: space[name] for seam, name in seams_for(space).items()}):
            ...
    """
    defined = set(names)
    answers = {
        exercise.swap: [name for name in exercise.names if name in defined]
        for exercise in exercises().values()
        if exercise.swap is not None
    }
    return {seam: found[0] for seam, found in answers.items() if found}


# ---------------------------------------------------------------------------------------------- trying it out


class Trial(NamedTuple):
    """The result of a swap. trouble: what went wrong, or None. note: a sentence about what went well, or None."""

    trouble: str | None
    note: str | None


def prepare(exercise: Exercise) -> None:
    """Load the model of an exercise and run it without an answer, so that `trial` takes only the answer's own time."""
    seam = str(exercise.swap)
    real_model(seam)
    _expected(PRESETS.get(seam, BERT), run_of(seam))


def trial(exercise: Exercise, answer: Function) -> Trial:
    """Run a real model on real sentences, without and with the answer, and compare tokens and every layer's vectors."""
    seam = str(exercise.swap)
    name, model, tok = real_model(seam)
    run = run_of(seam)
    expected = _expected(PRESETS.get(seam, BERT), run)
    try:
        with swap(**{seam: answer}):
            found = run(model, tok, SENTENCES)
    except Exception as error:
        problem = problem_of(error, answer)
        said = f"{problem.type}: {problem.message}{problem.place}"
        return Trial(f"Inside {name} your {exercise.function} raised {said}.", None)
    return compared(exercise, name, expected, found)


def compared(exercise: Exercise, name: str, expected: Mapping[str, Any], found: Mapping[str, Any]) -> Trial:
    """Where two results of `_run` differ first."""
    for text, mine, theirs in zip(SENTENCES, found["tokens"], expected["tokens"], strict=True):
        if mine != theirs:
            return Trial(f"Inside {name} “{text}” becomes {mine}, expected {theirs}.", None)
    largest = 0.0
    for where, theirs in expected["hidden"].items():
        mine = found["hidden"][where]
        if mine.shape != theirs.shape:
            shapes = f"{tuple(mine.shape)}, expected {tuple(theirs.shape)}"
            return Trial(f"Inside {name} with your {exercise.function}, the shape {where} is {shapes}.", None)
        apart = float(((mine - theirs).abs() / (1 + theirs.abs())).nan_to_num(nan=torch.inf).max())
        if apart > ALIKE:
            return Trial(
                f"Inside {name} with your {exercise.function}, the vectors {where} are off by {apart:.1g}.", None
            )
        largest = max(largest, apart)
    same = f"vectors, to {max(largest, 1e-7):.0e}" if expected["hidden"] else "texts"
    return Trial(None, f"Your {exercise.function} just ran inside {name} and gave the same {same}.")


@cache
def _expected(preset: str, run: Callable[..., dict[str, Any]]) -> dict[str, Any]:
    """What a model gives without an answer."""
    _, model, tok = _model(preset)
    return run(model, tok, SENTENCES)


@torch.no_grad()
def _run(model: nn.Module, tok: Tokenizer, sentences: Sequence[str]) -> dict[str, Any]:
    """tokens: of each sentence. hidden: where -> (N, D), the vectors of the real tokens after each layer."""
    batch = tok(list(sentences))
    hidden = model(**batch, return_hidden=True).hidden_states
    real = batch["attention_mask"].bool()
    return {"tokens": [tok.encode(text).tokens for text in sentences], "hidden": seams.by_layer(hidden, real)}


# The seams that are no part of a BERT: where they are tried, and how that model is run if not as a BERT is.
BERT = "tiny-bert"
PRESETS = {
    "bpe_merge": "tiny-roberta", "viterbi": "tiny-albert", "roberta_positions": "tiny-roberta",
    "no_norm": "tiny-mobilebert", "trigram": "tiny-mobilebert",
    "relative_shift": "tiny-xlnet", "permutation_mask": "tiny-xlnet",
    "infilling": "tiny-bart", "decoder_attention": "tiny-bart", "beam_step": "tiny-bart",
}  # fmt: skip
RUNS: dict[str, Callable[..., dict[str, Any]]] = {
    "relative_shift": seams.run_xlnet, "permutation_mask": seams.run_xlnet, "infilling": seams.run_infilling,
    "decoder_attention": seams.run_infilling, "beam_step": seams.run_beam_search,
}  # fmt: skip
# preset -> how the model is called, its tokenizer, made from the sentences, and its head.
SMALL: dict[str, tuple[str, Callable[[], Tokenizer], str | None]] = {
    BERT: ("BERT", lambda: WordPiece.train(SENTENCES, 120, min_frequency=1), None),
    "tiny-roberta": ("RoBERTa", lambda: ByteBPE.train(SENTENCES, 400, min_frequency=1), None),
    "tiny-albert": ("ALBERT", lambda: AlbertUnigram.train(SENTENCES, 120), None),
    "tiny-mobilebert": ("MobileBERT", lambda: WordPiece.train(SENTENCES, 120, min_frequency=1), None),
    "tiny-xlnet": ("XLNet", lambda: XLNetUnigram.train(SENTENCES, 120), None),
    "tiny-bart": ("BART", lambda: ByteBPE.train(SENTENCES, 400, min_frequency=1), "seq2seq-lm"),
}


def real_model(seam: str | None = None) -> tuple[str, nn.Module, Tokenizer]:
    """The model that a seam is tried in, by default a BERT: how it is called, the model and its tokenizer."""
    return _model(PRESETS.get(str(seam), BERT))


def run_of(seam: str) -> Callable[..., dict[str, Any]]:
    """How that model is run: called with the model, its tokenizer and sentences."""
    return RUNS.get(seam, _run)


@cache
def _model(preset: str) -> tuple[str, nn.Module, Tokenizer]:
    """For BERT all-MiniLM-L6-v2 if its weights have been downloaded (nothing is downloaded here); else a small one."""
    asset = ASSETS["minilm-l6"]
    folder = cache_folder() / f"minilm-l6-{asset.version}"
    if preset == BERT and all((folder / file).is_file() for file in asset.members):
        model = from_pretrained("minilm-l6").eval()
        return "a real BERT (all-MiniLM-L6-v2)", model, load_tokenizer("minilm-l6")
    called, make_tokenizer, head = SMALL[preset]
    tok = make_tokenizer()
    ids = {"pad": tok.pad_id, "cls": tok.cls_id, "sep": tok.sep_id}
    model = _unlike(build(CONFIGS[preset].for_vocabulary(tok.vocab_size, **ids), head, seed=0))
    downloads = ": `minibert fetch minilm-l6` downloads real ones" if preset == BERT else ""
    return f"a small {called} (its weights are random{downloads})", model.eval(), tok


def _unlike(model: nn.Module) -> nn.Module:
    """A new model's scales are all 1 and its shifts 0; here they are not, so that it matters what is done with them."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return model
