"""`minibert.mine`: one of the library's models, with the learner's parts at work in it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.optim import AdamW

from minibert.attention import MultiHeadAttention
from minibert.checkpoints import from_pretrained
from minibert.encoder import EncoderBlock
from minibert.errors import MinibertError, check_seed
from minibert.heads import MaskedLM
from minibert.own import report
from minibert.own.wiring import grains, wires
from minibert.own.working import GRAIN, NUMBER, Parts
from minibert.tokenizers import load_tokenizer
from minibert.tokenizers.base import Tokenizer
from minibert.training import distillation
from minibert.training.batching import inputs, single
from minibert.training.loop import mixed
from minibert.training.tasks import MaskedWords

NORM = 1.0  # the largest norm of a gradient


class Mine:
    """What a model of the learner's has besides the library's methods.

    parts: the learner's parts. In `with model.parts:` they also work outside of the model, in tokenizers, masks, losses
    and training. made_of: the library's class.
    """

    parts: Parts
    made_of: type
    _source: str | Path | None

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        with self.parts:
            return cast(Any, super()).forward(*args, **kwargs)

    def __repr__(self) -> str:
        return report.of(cast(nn.Module, self))

    @property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer of its checkpoint; the learner's WordPiece works in it inside `with model.parts:`."""
        if self._source is None:
            raise MinibertError("this model was not read from a checkpoint: give the tokenizer to the method yourself.")
        return load_tokenizer(self._source)

    def learn(
        self,
        texts: Sequence[str],
        tokenizer: Tokenizer | None = None,
        *,
        teacher: nn.Module | None = None,
        steps: int = 20,
        batch_size: int = 8,
        learning_rate: float = 1e-4,
        max_length: int = 64,
        seed: int = 0,
    ) -> list[float]:
        """Train it on masked words for a few steps, with the learner's masks and losses where they have passed.

        texts: to learn from. tokenizer: by default that of its checkpoint. teacher: None, or a model with a masked-lm
        head to be distilled from as well, by DistilBERT's triple loss. Texts are truncated to max_length tokens.
        Returns the loss of each step, in nats (with a teacher, the weighted sum of the three losses). There is no
        dropout. Raises MinibertError without a masked-lm head, or without texts.
        """
        model, seed = cast(nn.Module, self), check_seed(seed)
        for one in (model, teacher):
            if one is not None and not isinstance(one, MaskedLM):
                raise MinibertError('to predict masked words, it needs a head: minibert.mine(..., head="masked-lm").')
        if not texts:
            raise MinibertError("there are no texts to learn from: give at least one.")
        losses = []
        was_training = model.training
        with self.parts:
            tok = self.tokenizer if tokenizer is None else tokenizer
            task = MaskedWords([single(tok.ids(text), tok, max_length) for text in texts], tok)
            order = torch.Generator().manual_seed(seed)
            optimiser = AdamW([one for one in model.parameters() if one.requires_grad], lr=learning_rate)
            model.train()
            for step in range(steps):
                chosen = torch.randint(len(texts), (min(batch_size, len(texts)),), generator=order).tolist()
                batch = task.batch(chosen, mixed(seed, step))
                loss = task.losses(model, batch)["masked_lm"] if teacher is None else _triple(model, teacher, batch)
                optimiser.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(model.parameters(), NORM)
                optimiser.step()
                losses.append(loss.item())
        model.train(was_training)
        return losses

    def student(self) -> nn.Module:
        """A student of half its layers, by the learner's `student_from_teacher` if it has passed; a model of the
        learner's too. Raises MinibertError like the library's."""
        with self.parts:
            made = distillation.student_from_teacher(cast(nn.Module, self))
        return _put_together(made, self.parts, self._source)


def _triple(student: nn.Module, teacher: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    """The triple loss of a batch, over all real tokens."""
    asked = {**inputs(batch), "return_hidden": True}
    mine = student(**asked)
    with torch.no_grad():
        theirs = teacher.eval()(**asked)
    hidden = (mine.last_hidden_state, theirs.last_hidden_state)
    mask = batch["attention_mask"]
    return distillation.triple_loss(mine.logits, theirs.logits, batch["labels"], *hidden, mask).total


class Writer(Mine):
    """A model of the learner's that writes."""

    def generate(self, *args: Any, **kwargs: Any) -> Tensor:
        with self.parts:
            return cast(Any, super()).generate(*args, **kwargs)


@cache
def _class_of(kind: type) -> type:
    """The class of a learner's model that is made of one of the library's."""
    return type(f"My{kind.__name__}", (Writer if hasattr(kind, "generate") else Mine, kind), {"made_of": kind})


def mine(
    source: str | Path | nn.Module = "minilm-l6",
    head: str | None = None,
    *,
    without: Iterable[str] = (),
    fallback: bool = False,
) -> nn.Module:
    """Your own BERT: the parts that you have written, as far as they have passed, with real weights in them.

        my = minibert.mine("minilm-l6")
        my                                        # which parts are yours, and which are still the library's
        my(**tok(["A quiet film."])).last_hidden_state

    source, head: as for `from_pretrained`. The source can also be a model of the library's, such as a BART that has
    learned to write: your parts are then put into this model itself. without: exercises whose parts are left to the
    library. fallback: if one of your parts fails, warn, and go on with the library's in its place.

    The code is read from my_bert.py, to which each answer is added when it passes (see `minibert mine`). A larger part
    would do the work of the smaller ones in it, so the blocks take turns: one runs your encoder block, the next your
    multi-head attention and feed-forward, the next your attention. There is no dropout in this model, as the exercises
    have none. It is called, saved and trained like every model; `learn` and `student` are there for the lessons, and
    `with my.parts:` lets your parts work in tokenizers, masks and losses too. Use it in one thread.

    Raises MinibertError for a my_bert.py that is broken, wherever `from_pretrained` does, and, when the model is
    called, for a part that raises an error or returns another shape: the message names the part and the line. A part
    that crashes ends the whole process; the command `minibert mine` names such a part.
    """
    parts = Parts(wires(), without, fallback)
    if isinstance(source, nn.Module):
        return _put_together(source, parts, getattr(source, "_source", None))
    with parts:
        model = from_pretrained(source, head)
    return _put_together(model, parts, source)


def _put_together(model: nn.Module, parts: Parts, source: str | Path | None) -> nn.Module:
    kind = getattr(model, "made_of", type(model))
    turns = grains(parts.yours)
    for number, block in enumerate(part for part in model.modules() if isinstance(part, EncoderBlock)):
        setattr(block, GRAIN, turns[number % len(turns)])
        setattr(block, NUMBER, number)
    for part in model.modules():
        if isinstance(part, nn.Dropout):
            part.p = 0.0
        elif isinstance(part, MultiHeadAttention):
            part.dropout = 0.0
    model.__class__ = _class_of(kind)
    model.parts, model._source = parts, source  # type: ignore[assignment]
    return model
