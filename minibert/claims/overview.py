"""The family in one table: what each of its models changed, and the numbers of one published size, from the code."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from torch import nn

from minibert.claims.counted import shape_of, size_of
from minibert.factory import preset
from minibert.tokenizers import AlbertUnigram, ByteBPE, Tokenizer, Unigram, WordPiece, XLNetUnigram
from minibert.tokenizers.base import FIRST


class Paper(NamedTuple):
    """Where a model was described, and what is said there of it in our words."""

    name: str  # the model's
    authors: str
    year: int
    arxiv: str  # the number of its preprint
    changed: str  # what is new
    learns: str  # what it is pre-trained on
    tokenizer: type[Tokenizer]


# How a tokenizer cuts words into pieces, in the usual words.
CUTS = {WordPiece: "WordPiece", ByteBPE: "byte-level BPE", Unigram: "Unigram"}


# The published size that the table shows -> its paper.
PAPERS = {
    "bert-base-uncased": Paper(
        "BERT", "Devlin et al.", 2019, "1810.04805",
        "an encoder that reads what is before and after each word; trained once, then fine-tuned for any task",
        "masked words; NSP: does this sentence follow?",
        WordPiece,
    ),
    "roberta-base": Paper(
        "RoBERTa", "Liu et al.", 2019, "1907.11692",
        "BERT, trained differently: more text, larger batches, new masks each time, no sentence pairs",
        "masked words",
        ByteBPE,
    ),
    "distilbert-base-uncased": Paper(
        "DistilBERT", "Sanh et al.", 2019, "1910.01108",
        "half of BERT's layers; no token types, no pooler",
        "masked words; the answers and the vectors of its teacher, BERT",
        WordPiece,
    ),
    "albert-base-v2": Paper(
        "ALBERT", "Lan et al.", 2020, "1909.11942",
        "one block that is used for every layer; narrow word embeddings that are projected to the full width",
        "masked words, up to three in a row; SOP: are these two in the right order?",
        AlbertUnigram,
    ),
    "mobilebert-uncased": Paper(
        "MobileBERT", "Sun et al.", 2020, "2004.02984",
        "narrow blocks between bottlenecks; scale and shift instead of layer norm, ReLU instead of GELU",
        "masked words; NSP; the layers and the answers of a wider teacher",
        WordPiece,
    ),
    "xlnet-base-cased": Paper(
        "XLNet", "Yang et al.", 2019, "1906.08237",
        "two streams, content and query; distances instead of positions; a memory of earlier text",
        "words predicted one after another, in a random order",
        XLNetUnigram,
    ),
    "bart-base": Paper(
        "BART", "Lewis et al.", 2020, "1910.13461",
        "a decoder, which writes text and looks at what the encoder has read (cross-attention)",
        "texts with missing spans and shuffled sentences, to be restored",
        ByteBPE,
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Member:
    """A model of the family, with the numbers of one published size."""

    preset: str
    paper: Paper
    layers: str
    width: str
    parameters: int
    positions: str
    pieces: str
    template: str  # the special tokens around one text, A


def members() -> list[Member]:
    """One for each model of the family, counted on the meta device in well under a second."""
    return [_member(name, paper) for name, paper in PAPERS.items()]


def _member(name: str, paper: Paper) -> Member:
    config = preset(name)
    model = shape_of(config)
    stacks = {part: stack for part in ("encoder", "decoder") if (stack := getattr(model, part, None)) is not None}
    narrow = model.word_embeddings.embedding_dim
    return Member(
        preset=name,
        paper=paper,
        layers=" + ".join(map(_layers, stacks.values())) + (f" ({' + '.join(stacks)})" if len(stacks) > 1 else ""),
        width=f"{config.hidden_size}" + (f", words {narrow}" if narrow != config.hidden_size else ""),
        parameters=size_of(name),
        positions=_positions(model, config.max_length),
        pieces=f"{next(name for cut, name in CUTS.items() if issubclass(paper.tokenizer, cut))}, {config.vocab_size:,}",
        template=" ".join("A" if slot == FIRST else str(slot) for slot, _ in paper.tokenizer.template),
    )


def _layers(stack: nn.Module) -> str:
    """How many blocks a text goes through, and how many of them there are if some are used again."""
    blocks = len(stack.blocks)
    steps = len(getattr(stack, "order", stack.blocks))
    return f"{steps}" if steps == blocks else f"{steps}, from {blocks} block{'s' if blocks > 1 else ''}"


def _positions(model: nn.Module, longest: int | None) -> str:
    """How a model knows where a token is: by a table of learned vectors with `longest` rows, or by distances."""
    learned = any(name.endswith("position") and isinstance(part, nn.Embedding) for name, part in model.named_modules())
    if not learned:
        return "relative, any length"
    return f"learned, up to {longest:,}"
