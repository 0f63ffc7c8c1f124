"""Heads: what turns a model's vectors into answers.

A model with a head is called like one without, and fills in ``logits``. With ``labels`` it also fills in ``loss``. Two
rules hold for all heads: vocabulary logits are computed only for the tokens where they are wanted, and a part that a
head does not use (the pooler) is left out.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from minibert.errors import MinibertError, check_known
from minibert.generation import EncoderDecoder, Rules, generate, shift_right
from minibert.layers import ACTIVATIONS
from minibert.losses import IGNORE, check_shape, cross_entropy, mean_vector, text_loss
from minibert.model import Model, Output, initialise
from minibert.tracing import known
from minibert.words import listed

# ------------------------------------------------------------------------------------------------- heads


class WithHead(nn.Module):
    """A model with a head on it. Subclasses make their layers in `add_head` and use them in `score`.

    architecture: the end of the class name that config.json gives a model with this head. fills_masks: whether it can
    say which words are likely in the place of a mask, by `mask_scores`.
    """

    architecture: ClassVar[str]
    uses_summary: ClassVar[bool] = False  # whether it judges whole texts, by the model's summary
    uses_labels: ClassVar[bool] = False  # whether config.labels names its classes
    fills_masks: ClassVar[bool] = False

    def __init__(self, backbone: Model):
        super().__init__()
        self.backbone = backbone
        self.config = backbone.config
        backbone.keep_summary(self.uses_summary)
        self.add_head()

    def add_head(self) -> None:
        raise NotImplementedError

    def wanted_tokens(self, input_ids: Tensor, *_: Any, **targets: Any) -> Tensor | None:
        """The tokens whose last hidden state the head needs, (B, S) booleans; None for all."""
        return None

    def score(
        self, output: Output, input_ids: Tensor, attention_mask: Tensor | None, *_: Any, **targets: Any
    ) -> Output:
        """Fill in the output's logits and, with labels, its loss."""
        raise NotImplementedError

    def mask_scores(self, ids: Tensor, type_ids: Tensor, places: Tensor) -> Tensor:
        """Scores of the vocabulary for the masks in one text, (M, V), from which a softmax makes probabilities.

        ids, type_ids: (S,), the text and its token types. places: (M,), where the masks are, from left to right.
        """
        raise NotImplementedError

    @classmethod
    def about_masks(cls, masks: int) -> str:
        """What a reader has to know about the scores of a text with so many masks, in a sentence; "" for nothing."""
        return "" if masks == 1 else "Each is guessed without knowing what was guessed for the others."

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        return_attention: bool = False,
        return_hidden: bool = False,
        **more: Tensor | None,
    ) -> Output:
        """Like the model's forward. `more`: further inputs of the model (its `extra_inputs`), which are passed on, and
        the keyword arguments of `score` below.

        When a head needs only some tokens, the last block computes only these, and last_hidden_state is 0 elsewhere.
        When hidden states or attention are to be returned, all tokens are computed.
        """
        extra = {name: more.pop(name) for name in self.backbone.extra_inputs if name in more}
        self.backbone.check_inputs(input_ids, attention_mask, token_type_ids, **extra)
        wanted = None if return_hidden or return_attention else self.wanted_tokens(input_ids, **extra, **more)
        output = self.backbone(
            input_ids, attention_mask, token_type_ids, return_attention, return_hidden, wanted=wanted, **extra
        )
        return self.score(output, input_ids, attention_mask, **more)


class MaskedLM(WithHead):
    """Predict the masked words. The model says how it scores the vocabulary (`Model.vocabulary_head`)."""

    architecture = "ForMaskedLM"
    fills_masks = True

    def add_head(self) -> None:
        self.lm = self.backbone.vocabulary_head()

    def wanted_tokens(
        self, input_ids: Tensor, labels: Tensor | None = None, wanted: Tensor | None = None, **_: Any
    ) -> Tensor | None:
        return wanted_tokens(input_ids.shape, labels, wanted)

    def score(
        self,
        output: Output,
        input_ids: Tensor,
        attention_mask: Tensor | None,
        labels: Tensor | None = None,
        wanted: Tensor | None = None,
    ) -> Output:
        """labels: (B, S), the true id where a word is to be predicted, -100 elsewhere.
        wanted: (B, S) booleans, True where logits are wanted; with labels, by default where they are not -100.

        Fills in logits: (M, V) for the M wanted tokens, row by row, or (B, S, V) when neither argument is given.
        With labels, also the loss: the mean cross-entropy in nats over the M tokens; 0 when there are none.
        """
        hidden = output.last_hidden_state
        wanted = wanted_tokens(hidden.shape[:2], labels, wanted)
        if wanted is not None:
            hidden = hidden[wanted]
        output.logits = self.lm(hidden, self.backbone.word_embeddings.weight)
        if labels is not None:
            output.loss = cross_entropy(output.logits, labels if wanted is None else labels[wanted])
        return output

    def mask_scores(self, ids: Tensor, type_ids: Tensor, places: Tensor) -> Tensor:
        wanted = torch.zeros_like(ids, dtype=torch.bool)
        wanted[places] = True
        return self(ids[None], token_type_ids=type_ids[None], wanted=wanted[None]).logits


def wanted_tokens(shape: torch.Size, labels: Tensor | None, wanted: Tensor | None) -> Tensor | None:
    """Where vocabulary logits are wanted, (B, S) booleans: at `wanted`, else where there are labels; None for all.

    While a graph is recorded, labels do not decide it: their number is another in each batch.
    """
    if labels is not None:
        check_shape(labels, shape, "labels")
        wanted = labels != IGNORE if wanted is None and known(labels) else wanted
    if wanted is None:
        return None
    check_shape(wanted, shape, "wanted")
    return wanted.bool()


class Pretraining(MaskedLM):
    """Predict the masked words and the relation of two sentences, together.

    BERT: is the second the next one? (NSP: 0 is next, 1 random.) ALBERT: are they in order? (SOP: 0 in order,
    1 swapped.) Source: Devlin et al. 2019, section 3.1, task 2; Lan et al. 2020, section 3.1.
    """

    architecture = "ForPreTraining"
    uses_summary = True

    def add_head(self) -> None:
        super().add_head()
        self.pair_dropout = nn.Dropout(self.config.pair_dropout)
        self.pair = nn.Linear(self.config.hidden_size, 2)

    def wanted_tokens(
        self, input_ids: Tensor, labels: Tensor | None = None, wanted: Tensor | None = None, **_: Any
    ) -> Tensor | None:
        wanted = super().wanted_tokens(input_ids, labels, wanted)
        if wanted is None:
            return None
        wanted = wanted.clone()
        wanted[:, 0] = True  # the pooler reads [CLS]
        return wanted

    def score(
        self,
        output: Output,
        input_ids: Tensor,
        attention_mask: Tensor | None,
        labels: Tensor | None = None,
        wanted: Tensor | None = None,
        pair_labels: Tensor | None = None,
    ) -> Output:
        """labels, wanted: as for masked-lm. pair_labels: (B,), 0 or 1.

        Fills in logits, pair_logits (B, 2), and loss: the sum of the losses whose labels are given. Each is computed
        by itself: 0 is a class of the pair and counts.
        """
        super().score(output, input_ids, attention_mask, labels, wanted)
        summary = self.backbone.summary(output, input_ids, attention_mask)
        output.pair_logits = self.pair(self.pair_dropout(summary))
        if pair_labels is not None:
            pair_loss = cross_entropy(output.pair_logits, pair_labels)
            output.loss = pair_loss if output.loss is None else output.loss + pair_loss
        return output


class PermutationLM(WithHead):
    """Predict words from those before them in a factorisation order, which need not be that of the text.

    For a model with a query stream (XLNet). Source: Yang et al. 2019, sections 2.2 and 2.3.
    """

    architecture = "LMHeadModel"
    fills_masks = True

    def add_head(self) -> None:
        self.lm = self.backbone.vocabulary_head()

    def wanted_tokens(self, input_ids: Tensor, target_mapping: Tensor | None = None, **_: Any) -> Tensor | None:
        """With targets, no token's own last hidden state is needed."""
        return None if target_mapping is None else torch.zeros_like(input_ids, dtype=torch.bool)

    def score(
        self, output: Output, input_ids: Tensor, attention_mask: Tensor | None, labels: Tensor | None = None
    ) -> Output:
        """labels: the true ids, -100 where nothing is to be predicted: (B, P) for the targets of target_mapping, or
        (B, S) without it.

        Fills in logits, (B, P, V) or (B, S, V), and with labels, loss: the mean cross-entropy in nats. Without
        target_mapping the logits are those of the content stream, where every token has seen itself.
        """
        output.logits = self.lm(self.backbone.predicting_states(output), self.backbone.word_embeddings.weight)
        if labels is not None:
            output.loss = cross_entropy(output.logits, labels)
        return output

    def mask_scores(self, ids: Tensor, type_ids: Tensor, places: Tensor) -> Tensor:
        """In a factorisation order in which all other words come first: each mask is a target that sees them all, and
        none sees a mask."""
        hidden = torch.zeros(1, len(ids), len(ids), dtype=torch.int8, device=ids.device)
        hidden[:, :, places] = 1
        mapping = torch.zeros(1, len(places), len(ids), dtype=torch.int8, device=ids.device)
        mapping[0, torch.arange(len(places)), places] = 1
        return self(ids[None], token_type_ids=type_ids[None], perm_mask=hidden, target_mapping=mapping).logits[0]


class SequenceClassification(WithHead):
    """One of C classes for a whole text (or C labels, or C numbers: see `text_loss`).

    Dropout and a linear layer on the model's summary of the text (Devlin et al. 2019, section 4.1). A family with a
    `classifier_act` puts a dense layer with that activation before them, instead of a pooler (DistilBERT), and with a
    `dense_dropout` another dropout before that (RoBERTa, BART).
    """

    architecture = "ForSequenceClassification"
    uses_summary = True
    uses_labels = True

    def add_head(self) -> None:
        c = self.config
        self.dense_dropout = nn.Dropout(c.dense_dropout)
        self.dense = nn.Linear(c.hidden_size, c.hidden_size) if c.classifier_act else None
        self.activation = ACTIVATIONS[c.classifier_act or "tanh"]
        self.dropout = nn.Dropout(c.head_dropout)
        self.classifier = nn.Linear(c.hidden_size, c.num_labels)

    def score(
        self, output: Output, input_ids: Tensor, attention_mask: Tensor | None, labels: Tensor | None = None
    ) -> Output:
        """labels: (B,), class numbers, or what the config's problem_type asks for. Fills in logits (B, C) and, with
        labels, the loss."""
        features = self.backbone.summary(output, input_ids, attention_mask)
        if self.dense is not None:
            features = self.activation(self.dense(self.dense_dropout(features)))
        output.logits = self.classifier(self.dropout(features))
        if labels is not None:
            output.loss = text_loss(output.logits, labels, self.config.problem_type)
        return output


class TokenClassification(WithHead):
    """One of C classes for every token (Devlin et al. 2019, section 5.3)."""

    architecture = "ForTokenClassification"
    uses_labels = True

    def add_head(self) -> None:
        self.dropout = nn.Dropout(self.config.token_dropout)
        self.classifier = nn.Linear(self.config.hidden_size, self.config.num_labels)

    def score(
        self, output: Output, input_ids: Tensor, attention_mask: Tensor | None, labels: Tensor | None = None
    ) -> Output:
        """labels: (B, S), class numbers, -100 where a token does not count.

        Fills in logits (B, S, C) and, with labels, the mean cross-entropy in nats over the tokens that count.
        """
        output.logits = self.classifier(self.dropout(output.last_hidden_state))
        if labels is not None:
            output.loss = cross_entropy(output.logits, labels)
        return output


class QuestionAnswering(WithHead):
    """Where in the text the answer starts and where it ends (Devlin et al. 2019, section 4.2)."""

    architecture = "ForQuestionAnswering"

    def add_head(self) -> None:
        self.dropout = nn.Dropout(self.config.span_dropout)
        self.span = nn.Linear(self.config.hidden_size, 2)

    def score(
        self, output: Output, input_ids: Tensor, attention_mask: Tensor | None, labels: Tensor | None = None
    ) -> Output:
        """labels: (B, 2), the positions of the answer's first and last token.

        Fills in logits (B, S, 2): [..., 0] scores each position as the start, [..., 1] as the end. With labels,
        loss: the mean of the start's and the end's cross-entropy over the positions, in nats. Padding cannot be the
        answer: its logits are the lowest finite number, so that only the text counts in the loss.
        """
        output.logits = self.token_scores(self.dropout(output.last_hidden_state), input_ids)
        if attention_mask is not None:
            padding = ~attention_mask.bool()[..., None]
            output.logits = output.logits.masked_fill(padding, torch.finfo(output.logits.dtype).min)
        if labels is not None:
            output.loss = cross_entropy(output.logits.transpose(1, 2), labels)
        return output

    def token_scores(self, hidden: Tensor, input_ids: Tensor) -> Tensor:
        """Each token's score as the start and as the end: (B, S, D) -> (B, S, 2)."""
        return self.span(hidden)


class Seq2SeqLM(WithHead):
    """Generate a text, given another (BART): score the vocabulary at each place of the decoder.

    Source: Lewis et al. 2020, section 3.3.
    """

    architecture = "ForConditionalGeneration"
    fills_masks = True
    backbone: EncoderDecoder

    def add_head(self) -> None:
        self.lm = self.backbone.vocabulary_head()

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        return_attention: bool = False,
        return_hidden: bool = False,
        **more: Tensor | None,
    ) -> Output:
        """As the model's forward. With labels and no decoder_input_ids, the decoder reads the labels, one step late."""
        labels = more.get("labels")
        if labels is not None and more.get("decoder_input_ids") is None:
            if not isinstance(labels, Tensor) or labels.dim() != 2:
                raise MinibertError(
                    f"labels must be a tensor (B, T) of the ids of the text to generate, not {labels!r}."
                )
            c = self.backbone.config
            decoder_ids = shift_right(labels, c.decoder_start_token_id)
            more["decoder_input_ids"] = decoder_ids.masked_fill(decoder_ids == IGNORE, c.pad_token_id)
        return super().forward(input_ids, attention_mask, token_type_ids, return_attention, return_hidden, **more)

    def score(
        self, output: Output, input_ids: Tensor, attention_mask: Tensor | None, labels: Tensor | None = None
    ) -> Output:
        """labels: (B, T), the ids of the text to generate, -100 where nothing is to be learned (padding).

        Fills in logits: (B, T, V), or with labels (M, V) for the M tokens that are not -100, row by row. And with
        labels, loss: the mean cross-entropy in nats over the M tokens; 0 when there are none.
        """
        hidden = output.last_hidden_state
        wanted = wanted_tokens(hidden.shape[:2], labels, None)
        output.logits = self.word_scores(hidden if wanted is None else hidden[wanted])
        if labels is not None:
            output.loss = cross_entropy(output.logits, labels if wanted is None else labels[wanted])
        return output

    def mask_scores(self, ids: Tensor, type_ids: Tensor, places: Tensor) -> Tensor:
        """The encoder reads the text with its masks. The decoder writes it, and has come to a mask: scored is what it
        would write there. Before that, it has written the likeliest word for each earlier mask."""
        written, scores = ids.clone(), []
        for place in places.tolist():
            read = shift_right(written[None], self.backbone.config.decoder_start_token_id)[:, : place + 1]
            scores.append(self(ids[None], token_type_ids=type_ids[None], decoder_input_ids=read).logits[0, place])
            written[place] = scores[-1].argmax()
        return torch.stack(scores)

    @classmethod
    def about_masks(cls, masks: int) -> str:
        several = " When it comes to a mask, it has written its best guess for those before." if masks > 1 else ""
        return (
            "The decoder writes the text from left to right. A mask may stand for several words, or for none: shown "
            f"is what the decoder would write first in its place.{several}"
        )

    def word_scores(self, hidden: Tensor) -> Tensor:
        """(..., D) -> (..., V)."""
        return self.lm(hidden, self.backbone.word_embeddings.weight)

    @torch.no_grad()
    def generate(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        *,
        max_length: int,
        min_length: int = 0,
        num_beams: int = 1,
        length_penalty: float = 1.0,
        no_repeat_ngram_size: int = 0,
    ) -> Tensor:
        """Generate a text for each that is read. Returns ids, (B, T) with T <= max_length, padded at the right.

        input_ids, attention_mask: (B, S), the texts to read; token_type_ids is ignored, as in forward. max_length,
        min_length: of the generated texts in tokens, with the token that the decoder starts from and the one that ends
        a text; at max_length the end is forced. num_beams: 1 for greedy search, more for beam search. length_penalty:
        beam search ranks texts by log-probability / length ** length_penalty, so that above 0 long texts are favoured.
        no_repeat_ngram_size: n, to generate no n-gram twice; 0 to allow it.

        The special tokens are the config's. Settings of generation that a checkpoint's config.json may contain
        (num_beams and others) are not read. Dropout acts in training mode, here as everywhere: call eval() first.
        Raises MinibertError for inputs that the model cannot read, or a setting that cannot be.
        """
        rules = Rules(
            max_length=max_length,
            min_length=min_length,
            num_beams=num_beams,
            length_penalty=length_penalty,
            no_repeat_ngram_size=no_repeat_ngram_size,
        )
        config = self.backbone.config
        longest = config.max_length
        if longest is not None and max_length > longest:
            raise MinibertError(f"max_length is {max_length}, but this model has {longest} positions: ask for fewer.")
        decoding = self.backbone.start_decoding(input_ids, attention_mask, num_beams)
        generated = generate(decoding, self.word_scores, len(input_ids), rules, config)
        return generated.to(input_ids.device)


HEADS: dict[str, type[WithHead]] = {
    "masked-lm": MaskedLM,
    "pretraining": Pretraining,
    "permutation-lm": PermutationLM,
    "sequence-classification": SequenceClassification,
    "token-classification": TokenClassification,
    "question-answering": QuestionAnswering,
    "seq2seq-lm": Seq2SeqLM,
}


def add_head(backbone: Model, head: str) -> WithHead:
    """Put a fresh head (a key of HEADS) on a model; the model becomes the `backbone` of the result.

    The model loses a pooler that the head does not use, and gets a fresh one if the head needs one and there is none.
    Raises MinibertError for a head that does not exist, or that such a model cannot have.
    """
    check_known("head", head, HEADS)
    if head not in backbone.heads:
        raise MinibertError(
            f"{backbone.config.model_type} cannot have the head {head!r}; choose {listed(backbone.heads, 'or')}."
        )
    model = HEADS[head](backbone)
    for name, part in model.named_children():
        if name != "backbone":
            initialise(part, backbone.config.initializer_range)
    return model


class MeanPooled(WithHead):
    """One of C classes for a whole text, from the mean of the last hidden states of its real tokens.

    The classifier of BERT's paper reads the first token. If a model was never trained to make that token represent the
    text, the mean is the better choice: MiniLM-L6 was trained with the mean. This is not one of the published heads,
    so `build` does not offer it: use MeanPooled(model). Source: Reimers & Gurevych 2019, section 3.
    """

    uses_labels = True

    def add_head(self) -> None:
        self.dropout = nn.Dropout(self.config.head_dropout)
        self.classifier = nn.Linear(self.config.hidden_size, self.config.num_labels)
        initialise(self.classifier, self.config.initializer_range)

    def score(
        self, output: Output, input_ids: Tensor, attention_mask: Tensor | None, labels: Tensor | None = None
    ) -> Output:
        """labels: (B,), class numbers. Fills in logits (B, C) and, with labels, the loss."""
        mean = mean_vector(output.last_hidden_state, attention_mask)  # (B, D)
        output.logits = self.classifier(self.dropout(mean))
        if labels is not None:
            output.loss = text_loss(output.logits, labels, self.config.problem_type)
        return output
