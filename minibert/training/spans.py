"""Questions that a text asks about itself: a span occurs twice, one occurrence is hidden, the other one is the answer.

One occurrence is replaced by a question token, and the model must point at the other one. Source: Ram et al. 2021,
"Few-Shot Question Answering by Pretraining Span Selection", section 3. Two things differ: the question token is the
vocabulary's mask, which a masked-LM has met, and a passage has one question. The head is that of Devlin et al. 2019,
section 4.2, a score as the start and one as the end for each token; here it is scored against the question token
(Ram et al., section 4).
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn

from minibert.heads import QuestionAnswering
from minibert.model import Model
from minibert.tokenizers.base import Span, Tokenizer
from minibert.training.answers import Answers, scored, tokens_before_text
from minibert.training.batching import Example

LONGEST_WORDS = 5  # of a recurring span
LONGEST = 12  # tokens of an answer: longer ones are not asked for, and not considered

_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")


class Recurring(NamedTuple):
    """Where a span occurs in a text, as characters text[start:end]."""

    first: Span
    second: Span


def common_words(texts: Iterable[str], number: int = 200) -> frozenset[str]:
    """The words that occur most often in the texts, in lower case."""
    counts = Counter(word.lower() for text in texts for word in _WORD.findall(text))
    return frozenset(word for word, _ in counts.most_common(number))


def recurring_spans(text: str, common: Collection[str], longest: int = LONGEST_WORDS) -> list[Recurring]:
    """The spans of 1 to `longest` words that occur exactly twice in a text, ignoring case, from left to right.

    Between the words of a span there is nothing but a blank. A span is as long as it can be: it could not be extended
    by a word on the same side of both occurrences. It has a word that is not in `common` (lower case).
    """
    found = list(_WORD.finditer(text))
    words = [word.group().lower() for word in found]
    joined = [text[a.end() : b.start()] == " " for a, b in pairwise(found)]  # with the next word

    def alike(a: int, b: int) -> bool:
        """Whether these two are the same word, each joined with the next one."""
        return a >= 0 and b < len(joined) and words[a] == words[b] and joined[a] and joined[b]

    spans = []
    for length in range(1, longest + 1):
        places: dict[tuple[str, ...], list[int]] = {}
        for start in range(len(words) - length + 1):
            if all(joined[start : start + length - 1]):
                places.setdefault(tuple(words[start : start + length]), []).append(start)
        for gram, starts in places.items():
            if len(starts) != 2 or starts[1] < starts[0] + length or all(word in common for word in gram):
                continue
            a, b = starts
            to_the_left = alike(a - 1, b - 1)
            last, next_one = (a + length - 1, b + length - 1), (a + length, b + length)
            to_the_right = next_one[1] < len(words) and alike(*last) and words[next_one[0]] == words[next_one[1]]
            if not to_the_left and not to_the_right:
                spans.append(Recurring(*((found[s].start(), found[s + length - 1].end()) for s in starts)))
    return sorted(spans)


# ------------------------------------------------------------------------------------------------- examples


@dataclass(frozen=True)
class SpanExample(Example):
    """A passage with a question token. start, end: the first and the last token of the answer, counted in ids."""

    start: int = 0
    end: int = 0


def span_example(text: str, hidden: Span, answer: Span, tokenizer: Tokenizer, max_length: int) -> SpanExample | None:
    """The text with a question token in place of the characters `hidden`; the answer is at the characters `answer`.

    None if the text does not fit into max_length tokens, or the answer has more than LONGEST.
    """
    ids: list[int] = []
    inside: list[int] = []  # tokens of the answer
    asked = False
    for token, (start, end) in tokenizer.pieces(text):
        if start < hidden[1] and end > hidden[0]:
            if not asked:
                ids.append(tokenizer.mask_id)
            asked = True
            continue
        if start < answer[1] and end > answer[0]:
            inside.append(len(ids))
        ids.append(token)
    if not asked or not inside or len(inside) > LONGEST or len(ids) > max_length - tokenizer.num_special():
        return None
    row = tokenizer.assemble(ids)
    before = tokens_before_text(tokenizer)
    return SpanExample(row.ids, row.type_ids, 0, before + inside[0], before + inside[-1])


class QuestionAwareSpans(QuestionAnswering):
    """Where the answer starts and ends, scored against the question token (Ram et al. 2021, section 4).

    The plain head scores each token by itself, and must learn from labels alone that a token is to be compared with the
    question; few examples do not teach that. Here the comparison is the head: a token's score as the start is its
    vector times a matrix times the question token's vector, and another matrix is for the end. Both matrices begin as
    the identity, because a masked-LM's vector of a gap is already like that of the word which it stands for.
    """

    def __init__(self, backbone: Model, question_id: int):
        """question_id: of the token that stands for the question; each text has one."""
        super().__init__(backbone)
        self.question_id = question_id

    def add_head(self) -> None:
        width = self.config.hidden_size
        self.dropout = nn.Dropout(self.config.span_dropout)
        self.span = nn.Linear(width, 2 * width, bias=False)
        with torch.no_grad():
            self.span.weight.copy_(torch.eye(width).repeat(2, 1))

    def token_scores(self, hidden: Tensor, input_ids: Tensor) -> Tensor:
        """(B, S, D) -> (B, S, 2). The question token, which is most like itself, cannot be the answer."""
        is_question = input_ids == self.question_id
        question = hidden[torch.arange(len(hidden)), is_question.int().argmax(dim=1)]  # (B, D)
        asked = self.span(question).unflatten(-1, (2, -1))  # (B, 2, D)
        scores = hidden @ asked.transpose(1, 2) / math.sqrt(hidden.shape[-1])
        return scores.masked_fill(is_question[..., None], torch.finfo(scores.dtype).min)


class SpanAnswers(Answers):
    """Learn where the answer starts and where it ends, with the head question-answering."""

    def labels(self, examples: Sequence[Example], attention_mask: Tensor) -> Tensor:
        """(B, 2), places in the padded row."""
        before = attention_mask.argmax(dim=1, keepdim=True)  # padding on the left
        return before + torch.tensor([(example.start, example.end) for example in examples])


def best_span(scores: Tensor, longest: int = LONGEST) -> tuple[int, int]:
    """The start and the end with the highest sum of scores, of all spans of 1 to `longest` tokens.

    scores: (S, 2), as start and as end. Source: Devlin et al. 2019, section 4.2.
    """
    both = scores[:, :1] + scores[:, 1]  # (S, S): start, end
    allowed = torch.ones_like(both, dtype=torch.bool).triu().tril(longest - 1)
    start, end = divmod(int(both.masked_fill(~allowed, -torch.inf).argmax()), len(scores))
    return start, end


def find_spans(model: nn.Module, examples: Sequence[SpanExample], tokenizer: Tokenizer) -> list[tuple[int, int]]:
    """The best span for each example, in the examples' order, counted in its ids."""
    found = [(0, 0)] * len(examples)
    for number, logits in scored(model, examples, tokenizer):
        found[number] = best_span(logits)
    return found


def exact_by_guessing(examples: Sequence[SpanExample]) -> float:
    """The share of exact answers that is expected if each span of at most LONGEST tokens is equally likely."""
    return sum(1 / sum(min(LONGEST, len(one.ids) - at) for at in range(len(one.ids))) for one in examples) / len(
        examples
    )
