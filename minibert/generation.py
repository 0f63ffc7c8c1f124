"""Generation: how a model with a decoder produces a text, one token after another.

At each step the model scores every word of the vocabulary as the next token, and rules forbid some of them. *Greedy*
search takes the best word each time. *Beam search* keeps the best few texts at once, because a word that looks second
best may begin the better text.

A decoder keeps the keys and values of the tokens that it has read (`Decoding`), so that each step computes one token
and not the whole text again.

Sources: Sutskever et al. 2014, section 3.2 (beam search); Wu et al. 2016, section 7 (length penalty; here in the
simpler form that BART's released code has); Paulus et al. 2018, section 2.5 (no repeated n-grams).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from minibert.config import ModelConfig, integer
from minibert.errors import MinibertError
from minibert.layers import check_ids
from minibert.model import Model, check_tensors, check_zeros_and_ones
from minibert.tracing import recording

# ------------------------------------------------------------------------------- what a model must provide


def token(default: int) -> int:
    """A field for the number of a special token."""
    return integer(default, least=0)


def optional_token(default: int | None) -> int | None:
    """A field for the number of a special token, or None."""
    return field(default=default, metadata={"least": 0, "optional": True})


@dataclass(frozen=True, kw_only=True)
class EncoderDecoderConfig(ModelConfig):
    """The special tokens that generation needs; the defaults are BART's.

    decoder_start_token_id: what the decoder reads first. eos_token_id: what ends a text. forced_bos_token_id,
    forced_eos_token_id: what is always generated first, and as the last token of a text that reaches its limit;
    None to leave it to the model.
    """

    bos_token_id: int = token(0)
    eos_token_id: int = token(2)
    pad_token_id: int = token(1)
    decoder_start_token_id: int = token(2)
    forced_bos_token_id: int | None = optional_token(None)
    forced_eos_token_id: int | None = optional_token(2)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in (declared.name for declared in fields(self) if declared.name.endswith("token_id")):
            value = getattr(self, name)
            if value is not None and value >= self.vocab_size:
                raise MinibertError(
                    f"{name} is {value}, but a vocabulary of {self.vocab_size} words ends at {self.vocab_size - 1}."
                )

    def for_vocabulary(self, size: int, *, pad: int, cls: int, sep: int) -> EncoderDecoderConfig:
        """As for every model; what is read first, ends a text or is forced stays the same token, under its new id."""
        new = {self.bos_token_id: cls, self.eos_token_id: sep, self.pad_token_id: pad, None: None}
        names = (declared.name for declared in fields(self) if declared.name.endswith("token_id"))
        ids: dict[str, Any] = {name: new.get(getattr(self, name), sep) for name in names}
        return replace(self, vocab_size=size, **ids)


class Decoding(Protocol):
    """A decoder that is generating R rows, each a text, with the keys and values of the tokens that it has read."""

    def read(self, tokens: Sequence[int]) -> Tensor:
        """Read one more token of each row. Returns the last hidden state there, (R, D)."""

    def select(self, rows: Sequence[int]) -> None:
        """Continue with these rows alone, in this order; a row may occur several times."""


class EncoderDecoder(Model):
    """The base of models that read one text and generate another."""

    heads = ("seq2seq-lm", "sequence-classification", "question-answering")
    extra_inputs = ("decoder_input_ids", "decoder_attention_mask")
    config: EncoderDecoderConfig

    def generate(self, *_: Any, **__: Any) -> Tensor:
        """Always raises MinibertError: without a head no word can be chosen."""
        raise MinibertError("a model without a head cannot generate: build or read it with head='seq2seq-lm'.")

    def start_decoding(self, input_ids: Tensor, attention_mask: Tensor | None = None, copies: int = 1) -> Decoding:
        """Read the texts (B, S), and prepare to generate `copies` rows for each: text 0's first, then text 1's."""
        raise NotImplementedError

    def check_inputs(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        wanted: Tensor | None = None,
        **extra: Any,
    ) -> None:
        super().check_inputs(input_ids, attention_mask, token_type_ids, wanted)
        if recording():
            return
        read, mask = extra.get("decoder_input_ids"), extra.get("decoder_attention_mask")
        given = {"decoder_input_ids": read, "decoder_attention_mask": mask}
        check_tensors({name: tensor for name, tensor in given.items() if tensor is not None})
        if read is not None:
            texts, longest = len(input_ids), self.config.max_length or math.inf
            if read.dim() != 2 or len(read) != texts or not 0 < read.shape[1] <= longest:
                raise MinibertError(
                    f"decoder_input_ids has shape {tuple(read.shape)}, but must have ({texts}, T): a row for each text "
                    f"of input_ids, T from 1 to the {longest} positions of this model."
                )
            check_ids(read, self.config.vocab_size, "decoder_input_ids")
        if mask is not None:
            shape = input_ids.shape if read is None else read.shape
            if mask.shape != shape:
                raise MinibertError(
                    f"decoder_attention_mask has shape {tuple(mask.shape)}, but must have {tuple(shape)}, as what the "
                    "decoder reads."
                )
            check_zeros_and_ones(mask, "decoder_attention_mask")


def shift_right(ids: Tensor, start: int) -> Tensor:
    """What a decoder reads to predict these ids: at each place the token before it, `start` at the first. (B, T)."""
    return F.pad(ids, (1, 0), value=start)[:, :-1]


# -------------------------------------------------------------------------------------------------- rules


@dataclass(frozen=True, kw_only=True)
class Rules:
    """How text is generated; see `generate` of the head "seq2seq-lm".

    All lengths are in tokens and count the token that the decoder starts from.
    """

    max_length: int
    min_length: int = 0
    num_beams: int = 1
    length_penalty: float = 1.0
    no_repeat_ngram_size: int = 0

    def __post_init__(self) -> None:
        least = {"max_length": 2, "min_length": 0, "num_beams": 1, "no_repeat_ngram_size": 0}
        for name, bound in least.items():
            value = getattr(self, name)
            if type(value) is not int or value < bound:
                raise MinibertError(f"{name} is {value!r}; it must be an integer, at least {bound}.")
        if self.min_length > self.max_length:
            raise MinibertError(
                f"min_length {self.min_length} is more than max_length {self.max_length}: lower it, or allow more."
            )
        penalty = self.length_penalty
        if not isinstance(penalty, (int, float)) or isinstance(penalty, bool) or not abs(penalty) <= 100:
            raise MinibertError(
                f"length_penalty is {penalty!r}; it must be a number from -100 to 100: above 0 it favours long texts."
            )


def allowed(scores: Tensor, rows: Sequence[Sequence[int]], rules: Rules, config: EncoderDecoderConfig) -> Tensor:
    """Scores of the next token, with minus infinity for what is not allowed.

    scores: (R, V). rows: the tokens of R texts so far, all of one length. If two rules contradict each other, the later
    one below wins, so the limit of the length is always kept.
    """
    scores = scores.clone()
    if rules.no_repeat_ngram_size:
        for row, generated in enumerate(rows):
            scores[row, repeats(generated, rules.no_repeat_ngram_size)] = -math.inf
    length = len(rows[0])
    if length < rules.min_length:
        scores[:, config.eos_token_id] = -math.inf
    first, last = config.forced_bos_token_id, config.forced_eos_token_id
    for forced, now in ((first, length == 1), (last, length == rules.max_length - 1)):
        if forced is not None and now:
            scores = torch.full_like(scores, -math.inf)
            scores[:, forced] = 0.0
    return scores


def repeats(generated: Sequence[int], size: int) -> list[int]:
    """The tokens that would complete an n-gram of this size that the text already contains."""
    begun = list(generated[len(generated) - size + 1 :]) if size > 1 else []
    places = range(len(generated) - size + 1)
    return [generated[place + size - 1] for place in places if list(generated[place : place + size - 1]) == begun]


# ------------------------------------------------------------------------------------------------- search

Score = Callable[[Tensor], Tensor]  # hidden states (R, D) -> a score of each word, (R, V)


def generate(decoding: Decoding, score: Score, texts: int, rules: Rules, config: EncoderDecoderConfig) -> Tensor:
    """Generate one text for each that was read: (B, T) ids with T <= max_length, padded at the right.

    decoding: of B texts, with num_beams rows for each. score: turns hidden states into scores. texts: B.
    """
    search = greedy if rules.num_beams == 1 else beam_search
    generated = search(decoding, score, texts, rules, config)
    ids = torch.full((texts, max(map(len, generated))), config.pad_token_id)
    for row, tokens in enumerate(generated):
        ids[row, : len(tokens)] = torch.tensor(tokens)
    return ids


def greedy(decoding: Decoding, score: Score, texts: int, rules: Rules, config: EncoderDecoderConfig) -> list[list[int]]:
    """The best word at each step, until the text ends or reaches its limit. A finished text leaves the batch."""
    generated = [[config.decoder_start_token_id] for _ in range(texts)]
    unfinished = generated
    while unfinished:
        scores = score(decoding.read([tokens[-1] for tokens in unfinished])).float()
        best = allowed(scores, unfinished, rules, config).argmax(dim=-1)
        for tokens, word in zip(unfinished, best.tolist(), strict=True):
            tokens.append(word)
        continuing = [
            row
            for row, tokens in enumerate(unfinished)
            if tokens[-1] != config.eos_token_id and len(tokens) < rules.max_length
        ]
        if continuing and len(continuing) < len(unfinished):
            decoding.select(continuing)
        unfinished = [unfinished[row] for row in continuing]
    return generated


class Beam(NamedTuple):
    """An unfinished text. total: the sum of its tokens' log-probabilities, in nats."""

    total: float
    tokens: list[int]


class Finished(NamedTuple):
    """A text that is complete. score: its total divided by (number of tokens) ** length_penalty."""

    score: float
    tokens: list[int]


UNUSED = -1e9  # the total of a beam that is a copy of another; finite, so that numbers can be added to it


class Candidate(NamedTuple):
    """A beam continued by one word. value: the total with that word, or a finished text's score. beam: its number."""

    value: float
    beam: int
    word: int


class Step(NamedTuple):
    """What a step makes of a text's beams, each best first. continuing: at most K. finished: with their scores."""

    continuing: list[Candidate]
    finished: list[Candidate]


def beam_step(
    totals: Tensor, log_probs: Tensor, eos: int, length: int, length_penalty: float = 1.0, last: bool = False
) -> list[Step]:
    """One step of beam search for R texts with K beams each.

    totals: (R, K), of the beams. log_probs: (R, K, V), of each beam's next token, minus infinity for what is not
    allowed. eos: the token that ends a text. length: how many tokens a text has with the new one. last: every text
    ends with this token, whatever it is.

    The 2 K best continuations of a text's beams are looked at. One that ends the text is finished if it is among the
    first K (its score is its total / length ** length_penalty), and dropped otherwise; the best K of the others
    continue. As each beam can end in one way only, K of the 2 K always do.
    """
    beams, vocabulary = log_probs.shape[1:]
    best = (totals[:, :, None] + log_probs).flatten(1).topk(2 * beams)
    steps = []
    for values, indices in zip(best.values.tolist(), best.indices.tolist(), strict=True):
        step = Step([], [])
        for rank, (total, index) in enumerate(zip(values, indices, strict=True)):
            beam, word = divmod(index, vocabulary)
            if word == eos or last:
                if rank < beams and total > -math.inf:
                    step.finished.append(Candidate(total / length**length_penalty, beam, word))
            elif len(step.continuing) < beams:
                step.continuing.append(Candidate(total, beam, word))
        steps.append(step)
    return steps


def beam_search(
    decoding: Decoding, score: Score, texts: int, rules: Rules, config: EncoderDecoderConfig
) -> list[list[int]]:
    """The text with the best score among those found by continuing the best `num_beams` texts at each step.

    What a step does is in `beam_step`. The num_beams best finished texts are kept. The search for a text ends at
    max_length, or when there are so many finished texts and its best beam, scored at its present length, is no better
    than the worst of them. (A longer text could still win if the length penalty is above 0. The reference library calls
    this choice early_stopping=False.)
    """
    beams = rules.num_beams
    start = [config.decoder_start_token_id]
    # At first all beams are the same text: only one of them counts, or they would remain the same.
    running = {text: [Beam(0.0, start), *[Beam(UNUSED, start)] * (beams - 1)] for text in range(texts)}
    finished: dict[int, list[Finished]] = {text: [] for text in running}
    while running:
        rows = [beam for group in running.values() for beam in group]
        generated = [beam.tokens for beam in rows]
        scores = score(decoding.read([tokens[-1] for tokens in generated])).float().log_softmax(dim=-1)
        scores = allowed(scores, generated, rules, config).unflatten(0, (len(running), beams))
        totals = torch.tensor([beam.total for beam in rows], dtype=scores.dtype, device=scores.device)
        length = len(generated[0])  # tokens so far, with this one and without the start
        at_the_limit = length + 1 == rules.max_length
        steps = beam_step(
            totals.view(-1, beams), scores, config.eos_token_id, length, rules.length_penalty, at_the_limit
        )
        kept: list[int] = []
        for place, ((text, group), step) in enumerate(zip(list(running.items()), steps, strict=True)):
            continuing = [Beam(total, [*group[beam].tokens, word]) for total, beam, word in step.continuing]
            ended = [Finished(value, [*group[beam].tokens, word]) for value, beam, word in step.finished]
            finished[text] = sorted(finished[text] + ended, key=lambda one: one.score, reverse=True)[:beams]
            worst = finished[text][-1].score if len(finished[text]) == beams else -math.inf
            if continuing and continuing[0].total / length**rules.length_penalty > worst:
                running[text] = continuing
                kept += [place * beams + beam for _, beam, _ in step.continuing]
            else:
                finished[text] = finished[text] or [Finished(-math.inf, group[0].tokens)]  # every word was forbidden
                del running[text]
        if running:
            decoding.select(kept)
    return [finished[text][0].tokens for text in range(texts)]
