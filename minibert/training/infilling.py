"""Text infilling: damage a text, and let an encoder-decoder write it as it was (BART).

A text is damaged in two ways. Its sentences change places (`permute_sentences`). Then spans of words are taken out and
one [MASK] is put in the place of each (`infill`), so that the model has to find out how many words are missing, and
sometimes that none is: a span of no words is a [MASK] that was put between two words.

A document is its sentences, each a list of token ids, as in pairs.py. Nothing is remembered between calls and no input
is changed: all randomness comes from the generator. All tensors are on the CPU.

Source: Lewis et al. 2020, section 2.2 (the two noises), and section 4 for the 30%; the released code (fairseq's
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
from minibert.heads import IGNORE
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

    continues: (V,), for each id whether it carries a word on, as `Tokenizer.continues` says.
    """
    words: list[Word] = []
    for i in ids:
        if words and continues[i]:
            words[-1].append(i)
        else:
            words.append([i])
    return words


def span_lengths(words: int, mean: float = 3.0, *, generator: Generator) -> list[int]:
    """The lengths of spans that have so many words together: drawn from Poisson(mean) until they do.

    Some are 0. The last is cut to what is left; it is never 0. Source: Lewis et al. 2020, section 2.2.
    """
    lengths: list[int] = []
    while words > 0:
        lengths.append(min(int(torch.poisson(torch.tensor(mean), generator=generator)), words))
        words -= lengths[-1]
    return lengths


def infill(
    words: Sequence[Word], mask_id: int, rate: float = 0.3, mean: float = 3.0, *, generator: Generator
) -> list[int]:
    """The ids of a text in which spans of whole words are replaced by one [MASK] each.

    words: the text. rate: the share of its words to take out; a fraction is rounded up or down at random, so that it
    is right on average. mean: of the spans' lengths in words, which are Poisson; a span of no words inserts a [MASK].

    The spans and the words that stay are put in a random order (the words among themselves keep theirs), so that
    spans never overlap, but may touch. A span does not reach over an end of the text, so words near an end are taken
    out less often. (The released code draws the places independently; there spans may merge, and fewer are taken out.)

    Raises MinibertError unless 0 < rate < 1 and mean > 0.
    """
    if not 0 < rate < 1:
        raise MinibertError(f"rate is {rate}, but must be between 0 and 1: 0.3 takes out 30% of the words.")
    if not mean > 0:
        raise MinibertError(f"mean is {mean}, but must be above 0: spans of 3 words are usual.")
    missing = int(rate * len(words) + float(torch.rand((), generator=generator)))
    spans = span_lengths(missing, mean, generator=generator)
    # The parts of the new text: None for a word that stays, else the length of a span.
    parts = [*[None] * (len(words) - missing), *spans]
    damaged: list[int] = []
    place = 0
    for part in (parts[i] for i in torch.randperm(len(parts), generator=generator).tolist()):
        damaged += words[place] if part is None else [mask_id]
        place += 1 if part is None else part
    return damaged


# ------------------------------------------------------------------------------------------------- the task


@dataclass(frozen=True)
class Story(Example):
    """A document as one row of a batch: `ids` is what is to be written, with special tokens."""

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
    """Write damaged documents as they were; for a model with the head "seq2seq-lm".

    documents: the texts. max_length: the most tokens of a row. rate, mean: as in `infill`. A document is damaged
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
        read = self.tokenizer.batch([self.damaged(each.sentences, generator) for each in chosen])
        return {**read, "labels": labels, "decoder_attention_mask": (labels != IGNORE).long()}

    def damaged(self, sentences: Document, generator: Generator) -> Row:
        """A damaged document with its special tokens; truncated, since inserted masks may have made it longer."""
        shuffled = permute_sentences(sentences, generator)
        words = [word for sentence in shuffled for word in words_of(sentence, self.continues)]
        ids = infill(words, self.tokenizer.mask_id, self.rate, self.mean, generator=generator)
        return self.tokenizer.assemble(ids, max_length=self.max_length)

    def counts(self, batch: Batch) -> dict[str, int]:
        return {"infilling": int((batch["labels"] != IGNORE).sum())}

    def losses(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        written = {name: batch[name] for name in ("labels", "decoder_attention_mask")}
        return {"infilling": model(**inputs(batch), **written).loss}
