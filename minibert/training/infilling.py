"""Text infilling: corrupt a text, and train an encoder-decoder to reconstruct it (BART).

A text is corrupted in two ways. Its sentences are permuted (`permute_sentences`). Then spans of words are removed, and
each is replaced by one [MASK] (`infill`), so that the model has to predict how many words are missing, and sometimes
that none is: a span of length 0 inserts a [MASK] between two words.

A document is its sentences, each a list of token ids, as in pairs.py. Nothing is remembered between calls and no input
is changed: all randomness comes from the generator. All tensors are on the CPU.

Source: Lewis et al. 2020, section 2.2 (the two noises), and section 5.1 for the 30%; the released code (fairseq's
denoising_dataset.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain

import torch
from torch import Generator, Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from minibert.errors import MinibertError
from minibert.losses import IGNORE
from minibert.tokenizers.base import Row, Tokenizer
from minibert.training.batching import Example, inputs
from minibert.training.loop import Batch
from minibert.training.pairs import Document

Word = list[int]  # the ids of a word's pieces


# ----------------------------------------------------------------------------------------------- the noises


def permute_sentences(document: Document, generator: Generator) -> Document:
    """The document's sentences in a random order; every order is equally likely."""
    return [document[i] for i in torch.randperm(len(document), generator=generator).tolist()]


def words_of(ids: Sequence[int], continues: Sequence[bool]) -> list[Word]:
    """A sentence's token ids, word by word; the first begins a word in any case.

    continues: (V,), for each id whether it continues a word, as `Tokenizer.continues` says.
    """
    words: list[Word] = []
    for i in ids:
        if words and continues[i]:
            words[-1].append(i)
        else:
            words.append([i])
    return words


def span_lengths(words: int, mean: float = 3.0, *, generator: Generator) -> list[int]:
    """The lengths of spans with this many words in total: drawn from Poisson(mean) until they have as many.

    Some are 0. The last is cut to what remains; it is never 0. Source: Lewis et al. 2020, section 2.2.
    """
    lengths: list[int] = []
    while words > 0:
        lengths.append(min(int(torch.poisson(torch.tensor(mean), generator=generator)), words))
        words -= lengths[-1]
    return lengths


def replace_spans(words: Sequence[Word], spans: Sequence[tuple[int, int]], mask_id: int) -> list[int]:
    """The ids of a text in which each span is replaced by one [MASK].

    spans: (start, length) in words, in the order of the text; they do not overlap, but may touch. A span of length 0
    removes nothing, and inserts a [MASK] before the word `start`, or at the end. Source: Lewis et al. 2020, section
    2.2.
    """
    corrupted: list[int] = []
    place = 0
    for start, length in spans:
        corrupted += [*chain.from_iterable(words[place:start]), mask_id]
        place = start + length
    return corrupted + list(chain.from_iterable(words[place:]))


def infill(
    words: Sequence[Word], mask_id: int, rate: float = 0.3, mean: float = 3.0, *, generator: Generator
) -> list[int]:
    """The ids of a text in which random spans of whole words are each replaced by one [MASK].

    words: the text. rate: the share of its words to remove; a fraction of a word is rounded up or down at random, so
    that the share is right on average. mean: of the spans' lengths in words, which are Poisson; a span of length 0
    inserts a [MASK].

    The spans and the words that stay are put in a random order (the words among themselves keep theirs), so that
    spans never overlap, but may touch. A span does not reach past the end of the text, so words near the ends are
    removed less often. (The released code draws the places independently; spans may merge there, and fewer words are
    removed.)

    Raises MinibertError unless 0 < rate < 1 and mean > 0.
    """
    if not 0 < rate < 1:
        raise MinibertError(f"rate is {rate}, but must be between 0 and 1: 0.3 removes 30% of the words.")
    if not mean > 0:
        raise MinibertError(f"mean is {mean}, but must be above 0: spans of 3 words are usual.")
    missing = int(rate * len(words) + float(torch.rand((), generator=generator)))
    lengths = span_lengths(missing, mean, generator=generator)
    # The parts of the new text: None for a word that stays, else the length of a span.
    parts = [*[None] * (len(words) - missing), *lengths]
    spans: list[tuple[int, int]] = []
    place = 0
    for part in (parts[i] for i in torch.randperm(len(parts), generator=generator).tolist()):
        if part is not None:
            spans.append((place, part))
        place += 1 if part is None else part
    return replace_spans(words, spans, mask_id)


# ------------------------------------------------------------------------------------------------- the task


@dataclass(frozen=True)
class Story(Example):
    """A document as one row of a batch: `ids` is what is to be generated, with special tokens."""

    sentences: Document = field(default_factory=list)


def story(document: Document, tokenizer: Tokenizer, max_length: int) -> Story:
    """The first sentences of a document, as many as max_length tokens have room for; the last may be cut."""
    room = max_length - tokenizer.num_special()
    sentences = []
    for sentence in document:
        if room > 0 and sentence:
            sentences.append(list(sentence[:room]))
            room -= len(sentences[-1])
    row = tokenizer.assemble(list(chain.from_iterable(sentences)), max_length=max_length)
    return Story(row.ids, row.type_ids, sentences=sentences)


class Infilling:
    """Reconstruct corrupted documents; for a model with the head "seq2seq-lm".

    documents: the texts. max_length: the most tokens of a row. rate, mean: as in `infill`. A document is corrupted
    differently each time it is seen.
    """

    def __init__(
        self,
        documents: Sequence[Document],
        tokenizer: Tokenizer,
        max_length: int,
        rate: float = 0.3,
        mean: float = 3.0,
    ):
        self.examples = [story(document, tokenizer, max_length) for document in documents]
        self.tokenizer = tokenizer
        self.max_length = max_length
        self.rate, self.mean = rate, mean
        self.continues = [tokenizer.continues(token) for token in tokenizer.tokens]
        self.weights = {"infilling": 1.0}

    def batch(self, examples: Sequence[int], seed: int) -> Batch:
        """input_ids, attention_mask, token_type_ids: (B, S), what is read. labels, decoder_attention_mask: (B, T)."""
        generator = torch.Generator().manual_seed(seed)
        chosen = [self.examples[i] for i in examples]
        # Padded at the right whatever the tokenizer does: the decoder reads them one step late.
        labels = pad_sequence([torch.tensor(each.ids) for each in chosen], True, IGNORE)
        read = self.tokenizer.batch([self.corrupted(each.sentences, generator) for each in chosen])
        return {**read, "labels": labels, "decoder_attention_mask": (labels != IGNORE).long()}

    def corrupted(self, sentences: Document, generator: Generator) -> Row:
        """A corrupted document with its special tokens; truncated, because inserted masks may have made it longer."""
        shuffled = permute_sentences(sentences, generator)
        words = [word for sentence in shuffled for word in words_of(sentence, self.continues)]
        ids = infill(words, self.tokenizer.mask_id, self.rate, self.mean, generator=generator)
        return self.tokenizer.assemble(ids, max_length=self.max_length)

    def answers(self, example: Example) -> list[int]:
        """The ids that have to be written: all of them, special tokens included."""
        return example.ids

    def counts(self, batch: Batch) -> dict[str, int]:
        return {"infilling": int((batch["labels"] != IGNORE).sum())}

    def losses(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        written = {name: batch[name] for name in ("labels", "decoder_attention_mask")}
        return {"infilling": model(**inputs(batch), **written).loss}
