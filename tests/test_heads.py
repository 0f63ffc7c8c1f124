"""The heads: where logits are computed, what a loss is (worked out by hand), and what is tied to what."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from lab import assert_same, check, lab, part
from tiny import (
    BATCH,
    CLASSIFIERS,
    CONFIGS,
    EVERY_MODEL,
    FAMILIES,
    IDS,
    MASK,
    REAL,
    B,
    C,
    D,
    E,
    S,
    V,
    assert_close,
    expect_refusal,
    gradcheck,
    gradcheck_module,
    randn,
    randomise,
    tiny,
)
from torch import Tensor, nn

from minibert.factory import build, count_parameters
from minibert.heads import (
    HEADS,
    MaskedLM,
    Pretraining,
    QuestionAnswering,
    SequenceClassification,
    add_head,
    cross_entropy,
)
from minibert.layers import MaskedLMHead, gelu, layer_norm
from minibert.losses import mean_of
from minibert.model import Output
from minibert.training.pair_pooled import PairPooled, PairPretraining

# ------------------------------------------------------------------------------------------ the lab sheet
# Each property by itself, with numbers that can be worked out on paper. Read these first.

LN = math.log


def odds(*pairs: tuple[float, float]) -> Tensor:
    """Logits of two classes whose probabilities are in these proportions: odds((3, 1)) is 3/4 and 1/4."""
    return torch.tensor([[LN(a), LN(b)] for a, b in pairs], dtype=torch.float64)


@lab(
    "masked-lm-loss",
    code=cross_entropy,
    lesson="07",
    breaks="`ignore_index=IGNORE` replaced by `ignore_index=0`",
    catches="label-0-ignored",
)
def test_only_the_label_minus_100_is_ignored():
    """-100 marks a slot without a label; 0 is a word like any other

    Two slots, both with the label 0, the word of probability 3/4: the loss is ln 4/3 and not 0. And a slot with the
    label -100 adds nothing.
    """
    assert_close(part("masked-lm-loss")(odds((3, 1), (3, 1))[None], torch.tensor([[0, 0]])), LN(4 / 3))
    check(not part("masked-lm-loss")(odds((3, 1))[None], torch.tensor([[-100]])) > 0)


@lab(
    "masked-lm-loss",
    code=cross_entropy,
    lesson="07",
    breaks="`, counted.sum()` left out: divided by all slots",
    catches="mean-over-all-slots",
)
def test_the_loss_is_the_mean_over_the_masked_words():
    """the masked-LM loss is the mean over the words that were to be predicted, and over nothing else

    A vocabulary of two words with the probabilities 3/4 and 1/4, and four slots of which two have a label, 0 and 1.
    The loss is (ln 4/3 + ln 4) / 2. Divided by all four slots it would be half as much.
    """
    logits, labels = odds(*[(3, 1)] * 4)[None], torch.tensor([[0, -100, 1, -100]])
    assert_close(part("masked-lm-loss")(logits, labels), (LN(4 / 3) + LN(4)) / 2)


@lab(
    "masked-lm-loss",
    code=mean_of,
    lesson="07",
    breaks="`count.clamp(min=1)` replaced by `count`",
    catches="nan-without-labels",
)
def test_without_a_label_the_loss_is_0():
    """where there is nothing to predict, the loss is 0 and not NaN"""
    assert_close(part("masked-lm-loss")(odds((3, 1))[None], torch.tensor([[-100]])), 0.0)


@lab(
    "pretraining-loss",
    code=cross_entropy,
    lesson="07",
    breaks="`ignore_index=IGNORE` replaced by `ignore_index=0`",
    catches="pair-label-0-ignored",
)
def test_both_labels_of_the_pair_count():
    """in the pair's loss the label 0 ("is next") is a class: it has no ignore_index

    No word was masked. Two pairs, judged 3 : 1 for class 0, with the labels 0 and 1: (ln 4/3 + ln 4) / 2. If 0 were
    ignored it would be ln 4.
    """
    words, none = odds((1, 1), (1, 1))[:, None], torch.tensor([[-100], [-100]])
    found = part("pretraining-loss")(words, none, odds((3, 1), (3, 1)), torch.tensor([0, 1]))
    assert_close(found, (LN(4 / 3) + LN(4)) / 2)


@lab(
    "pretraining-loss",
    code=mean_of,
    lesson="07",
    breaks="`terms.sum() / count.clamp(min=1)` without the division",
    catches="averaged",
)
def test_the_two_losses_of_pretraining_are_added():
    """the loss of pre-training is the sum of two means: over the masked words, and over the pairs

    One masked word of probability 1/4, and two pairs whose right label has 1/2: ln 4 + ln 2.
    """
    words, labels = odds((3, 1), (3, 1))[:, None], torch.tensor([[1], [-100]])
    found = part("pretraining-loss")(words, labels, odds((1, 1), (1, 1)), torch.tensor([0, 1]))
    assert_close(found, LN(4) + LN(2))


def answers_by_bias(head: str, layer: str, bias: list[float], family: str = "bert") -> nn.Module:
    """A tiny model whose last layer has weight 0: it answers with its bias, whatever the text."""
    model = tiny(family, head, labels=("no", "yes"))
    with torch.no_grad():
        getattr(model, layer).weight.zero_()
        getattr(model, layer).bias.copy_(torch.tensor(bias))
    return model


@lab(None, code=MaskedLM.score, lesson="07", breaks="`hidden[wanted]` replaced by `hidden`")
def test_logits_are_computed_for_the_masked_words_only():
    """with labels, the vocabulary is scored only where there is a word to predict

    Two texts of two tokens, and one label: logits of one token, 31 numbers.
    """
    labels = torch.tensor([[-100, 9], [-100, -100]])
    assert_same(list(tiny("bert", "masked-lm")(torch.tensor([[2, 7], [2, 8]]), labels=labels).logits.shape), [1, V])


@lab(
    None,
    code=Pretraining.score,
    lesson="07",
    breaks="`cross_entropy(output.pair_logits, pair_labels)` given ignore_index=0",
)
def test_a_model_learns_from_pairs_with_the_label_0():
    """a pair with the label 0 ("is next") has a loss and a gradient, like one with the label 1

    The pair's layer answers 3 : 1 for class 0. With the labels 0 and 1 the loss is (ln 4/3 + ln 4) / 2, and with twice
    the label 0 it is ln 4/3. The bias's gradient is then p - 1 = -1/4 for class 0.
    """
    model, ids = answers_by_bias("pretraining", "pair", [LN(3), 0.0]), torch.tensor([[2, 7], [2, 8]])
    assert_close(model(ids, pair_labels=torch.tensor([0, 1])).loss, (LN(4 / 3) + LN(4)) / 2, 1e-6)
    loss = model(ids, pair_labels=torch.tensor([0, 0])).loss
    assert_close(loss, LN(4 / 3), 1e-6)
    loss.backward()
    assert_close(model.pair.bias.grad, [-0.25, 0.25], 1e-6)


@lab(None, code=Pretraining.score, lesson="07", breaks="`output.loss + pair_loss` replaced by their mean")
def test_a_models_two_losses_are_added():
    """a model's loss of pre-training is the sum of its two losses"""
    model, ids = tiny("bert", "pretraining"), torch.tensor([[2, 7], [2, 8]])
    words, pairs = {"labels": torch.tensor([[-100, 9], [-100, -100]])}, {"pair_labels": torch.tensor([0, 1])}
    assert_close(model(ids, **words, **pairs).loss, model(ids, **words).loss + model(ids, **pairs).loss)


@lab(None, code=MaskedLM.score, lesson="06", breaks="`self.backbone.word_embeddings.weight` replaced by a copy of it")
def test_the_decoder_is_the_word_embeddings():
    """the masked-LM head's last layer is the table of word embeddings itself, and no copy of it ("tied")

    There is one tensor with a row for each of the 31 words. A row that is doubled doubles the score of its word
    (without bias), in the very next call; and a word that is in no text learns through the head.
    """
    model, ids = tiny("bert", "masked-lm"), torch.tensor([[2, 7]])
    table = model.backbone.word_embeddings.weight
    assert_same(len([p for p in model.parameters() if p.dim() == 2 and len(p) == V]), 1)
    with torch.no_grad():
        model.lm.bias.zero_()
        before = model(ids).logits[0, 1, 30].item()
        table[30] *= 2
        assert_close(model(ids).logits[0, 1, 30], 2 * before)
    model(ids, labels=torch.tensor([[-100, 30]])).loss.backward()
    check(table.grad[30].abs().max() > 1e-3)


@lab(
    "masked-lm-head",
    code=MaskedLMHead.forward,
    lesson="06",
    breaks="`word_embeddings, self.bias` with the table detached",
    catches="tied-by-a-copy",
)
def test_the_word_embeddings_learn_through_the_head():
    """the gradient of the scores flows into the word embeddings, which are the head's last layer

    The token is (1 -1) when it is compared with the words, as in test_layers.py; so this is each word's gradient.
    """
    one, zero = torch.ones(2, dtype=torch.float64), torch.zeros(2, dtype=torch.float64)
    weights = {"dense.weight": torch.eye(2).double(), "dense.bias": zero, "norm.weight": one, "norm.bias": zero}
    words = torch.tensor([[1.0, 0.0], [0.0, 1.0]], dtype=torch.float64, requires_grad=True)
    hidden = torch.tensor([[[5.0, -5.0]]], dtype=torch.float64)
    scores = part("masked-lm-head")(hidden, words, {**weights, "bias": zero})
    check(scores.requires_grad)
    scores.sum().backward()
    assert_close(words.grad, [[1.0, -1.0], [1.0, -1.0]])


@lab(
    None,
    code=SequenceClassification.score,
    lesson="09",
    breaks="`self.activation(self.dense(self.dense_dropout(features)))` without the activation",
)
def test_distilberts_classifier_has_a_layer_with_relu():
    """without a pooler, DistilBERT's classifier has a dense layer of its own, with ReLU

    The dense layer gives -1 everywhere, so ReLU gives 0, and the classifier its bias.
    """
    model = tiny("distilbert", "sequence-classification")
    with torch.no_grad():
        model.dense.weight.zero_()
        model.dense.bias.fill_(-1.0)
    assert_close(model(torch.tensor([[2, 7]])).logits, model.classifier.bias[None].detach())


@lab(None, code=QuestionAnswering.score, lesson="06", breaks="`output.logits.transpose(1, 2)` replaced by a reshape")
def test_an_answer_has_a_start_and_an_end():
    """of the two scores of a token, the first says whether the answer starts there, the second whether it ends there

    Only the first feature of the last hidden state counts, made 0 for the first token and ln 3 for the second. Start
    is that number and end its opposite: so the second token starts the answer with 3/4 and ends it with 1/4.
    """
    model = answers_by_bias("question-answering", "span", [0.0, 0.0])
    with torch.no_grad():
        model.span.weight[:, 0] = torch.tensor([1.0, -1.0])
    hidden = torch.zeros(1, 2, D, dtype=torch.float64)
    hidden[0, 1, 0] = LN(3)
    loss = model.score(Output(hidden), torch.tensor([[2, 7]]), None, labels=torch.tensor([[1, 1]])).loss
    assert_close(loss, (LN(4 / 3) + LN(4)) / 2)


@lab(None, code=QuestionAnswering.score, lesson="06", breaks="`output.logits.masked_fill(padding` left out")
def test_padding_cannot_be_the_answer():
    """an answer starts and ends at a real token: padding has no part in the loss

    All slots score alike. The text has two real tokens and two padded slots, so the loss is ln 2 and not ln 4.
    """
    model = answers_by_bias("question-answering", "span", [0.0, 0.0])
    ids, mask = torch.tensor([[2, 7, 0, 0]]), torch.tensor([[1, 1, 0, 0]])
    assert_close(model(ids, mask, labels=torch.tensor([[0, 1]])).loss, LN(2))


# ------------------------------------------------------------------------------------------- the whole of it

# Guess three words: two of text 0, one of text 3.
LABELS = torch.full((B, S), -100)
LABELS[0, 2], LABELS[0, 6], LABELS[3, 3] = 0, 30, 7
CHOSEN = LABELS != -100
FIRST = REAL[:, 0]  # a text whose first token is padding has no [CLS] to be judged by

WITH_LM = [(family, head) for family, head in EVERY_MODEL if head in ("masked-lm", "pretraining")]
WITH_PAIR = [(family, head) for family, head in EVERY_MODEL if head == "pretraining"]


def nll(logits: Tensor, label: int) -> float:
    """Minus the logarithm of the label's probability: numbers (C,) in, nats out."""
    return math.log(sum(math.exp(x) for x in logits.tolist())) - logits[label].item()


def mean(numbers: list[float]) -> Tensor:
    return torch.tensor(sum(numbers) / len(numbers), dtype=torch.float64)


# -------------------------------------------------------------------------------------- cross-entropy


def test_cross_entropy_is_the_mean_over_the_labels_that_count():
    # two classes, logits ln 3 apart: probabilities 3/4 and 1/4
    logits = torch.tensor([[math.log(3.0), 0.0]] * 4, dtype=torch.float64)
    ln = {0: -math.log(3 / 4), 1: -math.log(1 / 4)}
    assert_close(cross_entropy(logits, torch.tensor([0, 1, 1, 0])), mean([ln[0], ln[1], ln[1], ln[0]]))
    assert_close(cross_entropy(logits, torch.tensor([-100, 1, -100, 0])), mean([ln[1], ln[0]]))
    assert_close(cross_entropy(logits.view(2, 2, 2), torch.tensor([[0, -100], [-100, -100]])), mean([ln[0]]))


def test_cross_entropy_of_nothing_is_zero_and_moves_nothing():
    logits = randn(3, C)
    loss = cross_entropy(logits, torch.full((3,), -100))
    assert loss == 0
    assert not torch.autograd.grad(loss, logits)[0].any()


def test_gradients_of_cross_entropy():
    labels = torch.tensor([[0, -100, 2], [5, 1, -100]])
    assert gradcheck(lambda logits: cross_entropy(logits, labels), [randn(2, 3, C)])


@pytest.mark.parametrize(
    ("labels", "parts"),
    [
        (torch.tensor([0, 1]), ("labels has shape (2,)", "(3,)")),
        (torch.tensor([0, 1, C]), ("labels holds 6", "0 to 5", "-100")),
        (torch.tensor([0, -1, 1]), ("labels holds -1", "-100")),
        (torch.tensor([0.0, 1.0, 0.0]), ("labels must hold integers", "float32")),
    ],
)
def test_labels_that_cannot_be_are_refused(labels, parts):
    with expect_refusal(*parts):
        cross_entropy(randn(3, C), labels)


# ------------------------------------------------------------------------------------------ masked words


@pytest.mark.parametrize("width", [D, E], ids=["D", "E"])
def test_the_masked_lm_head_compares_a_transformed_token_with_each_word(width):
    head, hidden, words = randomise(MaskedLMHead(D, width, V, "gelu", eps=0.1)).double(), randn(4, D), randn(V, width)
    transformed = layer_norm(
        gelu(hidden @ head.dense.weight.T + head.dense.bias), head.norm.weight, head.norm.bias, eps=0.1
    )
    expected = torch.stack([(transformed * word).sum(-1) for word in words], dim=-1) + head.bias
    assert_close(head(hidden, words), expected)


def test_gradients_of_the_masked_lm_head():
    assert gradcheck_module(randomise(MaskedLMHead(4, 3, 5, "gelu", 1e-12)).double(), randn(2, 4), randn(5, 3))


@pytest.mark.many
@pytest.mark.parametrize("return_hidden", [False, True])
@pytest.mark.parametrize("return_attention", [False, True])
@pytest.mark.parametrize("skip_padding", [True, False])
@pytest.mark.parametrize(("family", "head"), WITH_LM)
def test_logits_stand_only_where_they_are_asked_for(family, head, skip_padding, return_attention, return_hidden):
    model = tiny(family, head)
    model.backbone.skip_padding = skip_padding
    settings = {**BATCH, "return_attention": return_attention, "return_hidden": return_hidden}
    whole = model(**settings)
    assert whole.logits.shape == (B, S, V)
    for target in ({"labels": LABELS}, {"wanted": CHOSEN}, {"wanted": CHOSEN.long(), "labels": LABELS}):
        some = model(**settings, **target)
        assert some.logits.shape == (3, V)
        assert_close(some.logits, torch.stack([whole.logits[0, 2], whole.logits[0, 6], whole.logits[3, 3]]))
        assert_close(some.last_hidden_state[CHOSEN], whole.last_hidden_state[CHOSEN])
        for name in ("attentions", "hidden_states"):  # whole, whatever the head was asked
            for actual, expected in zip(getattr(some, name) or (), getattr(whole, name) or (), strict=True):
                assert_close(actual, expected)
        if head == "pretraining":
            assert_close(some.pair_logits[FIRST], whole.pair_logits[FIRST])


@pytest.mark.parametrize("skip_padding", [True, False])
@pytest.mark.parametrize(("family", "head"), WITH_LM)
def test_the_last_block_learns_the_same_when_it_runs_for_the_asked_tokens_only(family, head, skip_padding):
    def gradients(return_hidden: bool) -> list[Tensor]:
        model = tiny(family, head)
        model.backbone.skip_padding = skip_padding
        model(**BATCH, labels=LABELS, return_hidden=return_hidden).loss.backward()
        return [p.grad for p in model.parameters() if p.grad is not None]

    for some, whole in zip(gradients(False), gradients(True), strict=True):
        assert_close(some, whole)


@pytest.mark.parametrize(("family", "head"), WITH_LM)
def test_the_masked_lm_loss_is_the_mean_over_the_masked_words(family, head):
    model = tiny(family, head)
    logits = model(**BATCH).logits
    expected = [nll(logits[0, 2], 0), nll(logits[0, 6], 30), nll(logits[3, 3], 7)]
    assert_close(model(**BATCH, labels=LABELS).loss, mean(expected))
    one = CHOSEN.clone()
    one[0, 2] = False
    assert_close(model(**BATCH, labels=LABELS, wanted=one).loss, mean(expected[1:]))
    # tokens without a label get logits and do not count
    assert_close(model(**BATCH, labels=LABELS, wanted=REAL).loss, mean(expected))


def test_no_masked_word_no_loss():
    output = tiny(head="masked-lm")(**BATCH, labels=torch.full_like(LABELS, -100))
    assert output.logits.shape == (0, V)
    assert output.loss == 0
    output.loss.backward()


@pytest.mark.parametrize(("family", "head"), WITH_LM)
def test_the_words_are_one_tensor_that_learns_from_both_ends(family, head):
    model = tiny(family, head)
    table = model.backbone.embeddings.word.weight
    assert [p for p in model.parameters() if p.dim() == 2 and p.shape[0] == V] == [table]
    assert sum(tensor.shape == table.shape for tensor in model.state_dict().values()) == 1
    fresh_parts = [part for name, part in model.named_children() if name != "backbone"]
    own = sum(count_parameters(part) for part in fresh_parts)
    assert count_parameters(model) == count_parameters(model.backbone) + own

    model(**BATCH, labels=LABELS).loss.backward()
    unread = next(word for word in range(V) if word not in IDS[REAL] and word not in LABELS)
    assert table.grad[unread].any(), "a word that no text holds learns through the head"
    before = model(**BATCH).last_hidden_state
    torch.optim.SGD([table], lr=1.0).step()
    assert not torch.equal(model(**BATCH).last_hidden_state, before)


# -------------------------------------------------------------------------------------------- the pair


@pytest.mark.parametrize(("family", "head"), WITH_PAIR)
def test_the_pair_is_judged_from_the_pooled_vector(family, head):
    model = tiny(family, head)
    output = model(**BATCH)
    assert_close(output.pair_logits, output.pooled @ model.pair.weight.T + model.pair.bias)
    assert output.loss is None


@pytest.mark.parametrize("pair_labels", [[0, 0, 0, 0, 0], [0, 1, 1, 0, 1]], ids=["all 0", "mixed"])
@pytest.mark.parametrize(("family", "head"), WITH_PAIR)
def test_the_pairs_label_0_is_trained_like_label_1(family, head, pair_labels):
    model = tiny(family, head)
    output = model(**BATCH, pair_labels=torch.tensor(pair_labels))
    assert_close(
        output.loss, mean([nll(row, label) for row, label in zip(output.pair_logits, pair_labels, strict=True)])
    )
    (gradient,) = torch.autograd.grad(output.loss, output.pair_logits)
    for row, logits, label in zip(gradient, output.pair_logits, pair_labels, strict=True):
        expected = logits.softmax(-1) - torch.eye(2, dtype=torch.float64)[label]
        assert_close(row, expected / B)


@pytest.mark.parametrize(("family", "head"), WITH_PAIR)
def test_the_losses_of_pretraining_add_up(family, head):
    model, pairs = tiny(family, head), torch.tensor([0, 1, 0, 0, 1]).where(FIRST, -100)
    both = model(**BATCH, labels=LABELS, pair_labels=pairs).loss
    assert_close(both, model(**BATCH, labels=LABELS).loss + model(**BATCH, pair_labels=pairs).loss)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_model_has_the_head_for_pairs_if_its_pre_training_has_pairs(family):
    config = CONFIGS[family]
    if config.pair_task is None:
        with expect_refusal(f"{family} cannot have the head 'pretraining'", "choose masked-lm"):
            build(config, "pretraining")
    else:
        assert build(config, "pretraining").pair.out_features == 2


# ----------------------------------------------------------------------------------------- classifiers


@pytest.mark.parametrize("family", ["bert", "albert", "mobilebert"])
def test_a_class_for_a_text_is_read_off_the_pooled_vector(family):
    model = tiny(family, "sequence-classification")
    output = model(**BATCH)
    assert_close(output.logits, output.pooled @ model.classifier.weight.T + model.classifier.bias)
    assert model.dense is None


def test_without_a_pooler_the_classifier_brings_a_dense_layer_with_relu():
    model = tiny("distilbert", "sequence-classification")
    output = model(**BATCH)
    first = output.last_hidden_state[:, 0] @ model.dense.weight.T + model.dense.bias
    assert_close(output.logits, first.clamp(min=0) @ model.classifier.weight.T + model.classifier.bias)


@pytest.mark.parametrize("family", CONFIGS)
def test_the_loss_of_a_class_for_a_text(family):
    model, labels = tiny(family, "sequence-classification"), [5, 0, 1, 0, 3]
    output = model(**BATCH, labels=torch.tensor(labels))
    assert output.logits.shape == (B, C)
    assert_close(output.loss, mean([nll(row, label) for row, label in zip(output.logits, labels, strict=True)]))


@pytest.mark.parametrize("family", CONFIGS)
def test_a_class_for_every_token_and_its_loss(family):
    model = tiny(family, "token-classification")
    labels = torch.full((B, S), -100)
    labels[0, 1], labels[1, 0], labels[3, 5] = 0, 5, 2
    output = model(**BATCH, labels=labels)
    assert output.logits.shape == (B, S, C)
    assert_close(output.logits, output.last_hidden_state @ model.classifier.weight.T + model.classifier.bias)
    assert_close(
        output.loss, mean([nll(output.logits[0, 1], 0), nll(output.logits[1, 0], 5), nll(output.logits[3, 5], 2)])
    )
    assert model(**BATCH, labels=torch.full((B, S), -100)).loss == 0


@pytest.mark.parametrize("family", CONFIGS)
def test_the_start_and_the_end_of_an_answer_and_their_loss(family):
    model = tiny(family, "question-answering")
    spans = [(0, 6), (1, 3), (2, 2), (5, 6)]
    output = model(**BATCH, labels=torch.tensor([*spans, (-100, -100)]))  # the last text is all padding
    assert output.logits.shape == (B, S, 2)
    expected = output.last_hidden_state @ model.span.weight.T + model.span.bias
    assert_close(output.logits[REAL], expected[REAL])
    assert (output.logits[~REAL] == torch.finfo(torch.float64).min).all()
    texts = [logits[real] for logits, real in zip(expected, REAL, strict=True)]
    # the third text has two slots of padding before it, the fourth two between
    places = [(0, 6), (1, 3), (0, 0), (3, 4)]
    starts = [nll(text[:, 0], start) for text, (start, _) in zip(texts, places, strict=False)]
    ends = [nll(text[:, 1], end) for text, (_, end) in zip(texts, places, strict=False)]
    assert_close(output.loss, mean(starts + ends))


@pytest.mark.parametrize("skip_padding", [True, False])
def test_the_loss_of_an_answer_does_not_depend_on_the_padding(skip_padding):
    model, span = tiny(head="question-answering"), torch.tensor([[1, 3]])
    model.backbone.skip_padding = skip_padding
    assert_close(model(IDS[1:2], MASK[1:2], labels=span).loss, model(IDS[1:2, :4], labels=span).loss)


# ------------------------------------------------------------------------------------------- all heads


@pytest.mark.parametrize(
    ("family", "head", "has_pooler"),
    [
        (family, head, head is None or head in ("pretraining", "sequence-classification"))
        for family, head in EVERY_MODEL
        if family in ("bert", "albert", "mobilebert")
    ]
    + [("distilbert", head, False) for family, head in EVERY_MODEL if family == "distilbert"]
    + [("roberta", head, head is None) for family, head in EVERY_MODEL if family == "roberta"],
)
def test_a_pooler_that_nobody_reads_is_not_there(family, head, has_pooler):
    model = tiny(family, head)
    body = model if head is None else model.backbone
    assert (body.pooler is not None) == has_pooler
    assert (model(**BATCH).pooled is not None) == has_pooler
    assert any("pooler" in name for name, _ in model.named_parameters()) == has_pooler


@pytest.mark.parametrize(
    ("family", "head", "part"),
    [
        *[(family, head, "dropout") for family in CONFIGS for head in CLASSIFIERS],
        ("albert", "pretraining", "pair_dropout"),
        ("bert", "pretraining", "pair_dropout"),
        ("mobilebert", "pretraining", "pair_dropout"),
        ("roberta", "sequence-classification", "dense_dropout"),
    ],
)
def test_heads_drop_what_their_family_drops_and_only_while_training(family, head, part):
    family_numbers = {
        "bert": {"question-answering": 0.0, "pretraining": 0.0},
        "distilbert": {"question-answering": 0.1, "sequence-classification": 0.2},
        "albert": {"question-answering": 0.0},
        "mobilebert": {"question-answering": 0.0, "pretraining": 0.0},
        "roberta": {"question-answering": 0.0},
    }
    assert getattr(tiny(family, head), part).p == family_numbers[family].get(head, 0.1)

    model = tiny(family, head, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    getattr(model, part).p = 0.5

    def answer() -> Tensor:
        output = model(**BATCH)
        return output.pair_logits if head == "pretraining" else output.logits

    torch.manual_seed(0)
    whole = answer()
    assert torch.equal(whole, answer())
    assert not torch.equal(model.train() and answer(), whole)


@pytest.mark.parametrize(("family", "head"), [pair for pair in EVERY_MODEL if pair[1]])
def test_a_fresh_head_starts_as_the_body_does(family, head):
    model = build(replace(CONFIGS[family], initializer_range=0.1), head, seed=0)
    own = [(name, p) for name, p in model.named_parameters() if not name.startswith("backbone")]
    assert own
    for name, parameter in own:
        if name.endswith("bias"):
            assert not parameter.any(), name
        elif "norm" in name:
            assert (parameter == 1).all(), name
        else:
            assert 0.05 < parameter.std() < 0.15, name
            assert parameter.abs().max() <= 0.2, name


@pytest.mark.parametrize(
    ("head", "targets", "parts"),
    [
        ("masked-lm", {"labels": LABELS[:, 1:]}, ("labels has shape (5, 6)", "(5, 7)")),
        ("masked-lm", {"labels": LABELS + 101}, ("labels holds", "0 to 30")),
        ("masked-lm", {"wanted": CHOSEN[0]}, ("wanted has shape (7,)", "(5, 7)")),
        ("pretraining", {"pair_labels": torch.tensor([0, 1, 2, 0, 0])}, ("labels holds 2", "0 to 1")),
        ("pretraining", {"pair_labels": torch.tensor([[0], [1], [0], [0], [0]])}, ("labels has shape (5, 1)", "(5,)")),
        ("sequence-classification", {"labels": torch.tensor([0, 1, 2, 3, C])}, ("labels holds 6", "0 to 5")),
        ("token-classification", {"labels": torch.zeros(B).long()}, ("labels has shape (5,)", "(5, 7)")),
        ("question-answering", {"labels": torch.full((B, 2), S)}, ("labels holds 7", "0 to 6")),
        ("question-answering", {"labels": torch.zeros(B).long()}, ("labels has shape (5,)", "(5, 2)")),
    ],
)
def test_targets_that_cannot_be_are_refused(head, targets, parts):
    with expect_refusal(*parts):
        tiny(head=head)(**BATCH, **targets)


@pytest.mark.parametrize("head", ["masked-lm", "pretraining", "sequence-classification"])
def test_wrong_ids_are_named_before_wrong_labels(head):
    with expect_refusal("input_ids is a list"):
        tiny(head=head)(IDS.tolist(), MASK, labels=LABELS)


def test_an_unknown_head_is_refused_with_the_known_ones():
    with expect_refusal("there is no head 'mlm'", *HEADS):
        add_head(build(CONFIGS["bert"]), "mlm")


def test_two_texts_are_compared_by_their_mean_vectors():
    """[CLS] a a [SEP] b [SEP]: u is the mean of the first four tokens, v of the last two; padding does not count.

    A fresh head answers with their cosine c: the logits are -2 (c - 0.6) and 2 (c - 0.6).
    """
    head = PairPooled(build(replace(CONFIGS["bert"], labels=("no", "yes")), seed=0), separator_id=3).eval()
    ids = torch.tensor([[2, 5, 5, 3, 6, 3, 0]])
    hidden = torch.randn(1, 7, head.config.hidden_size, generator=torch.Generator().manual_seed(0)).double()
    u, v = hidden[0, :4].mean(0), hidden[0, 4:6].mean(0)
    level = 2 * (nn.functional.cosine_similarity(u, v, dim=0) - 0.6)
    head.double()
    output = head.score(Output(hidden), ids, (ids > 0).long(), torch.tensor([1]))
    assert_close(output.logits[0], torch.stack([-level, level]), 1e-6)
    assert_close(output.loss, -nn.functional.logsigmoid(2 * level), 1e-6)
    head.classifier = nn.Identity()
    u, v = (mean / mean.square().mean().sqrt() for mean in (u, v))
    assert_close(head.score(Output(hidden), ids, (ids > 0).long()).logits[0], torch.cat([(u - v).abs(), u * v]))


def test_masked_words_and_a_pair_are_learned_together_from_mean_vectors():
    """The masked-lm head stays as it is; class 0 starts as the surer the more alike the two texts are."""
    torch.manual_seed(0)
    masked_lm = build(CONFIGS["bert"], "masked-lm", seed=0)
    both = PairPretraining(masked_lm, separator_id=3).eval()
    ids = torch.tensor([[2, 5, 5, 3, 6, 3, 0], [2, 5, 5, 5, 3, 6, 3]])
    labels = torch.full_like(ids, -100)
    labels[0, 1] = 9
    found, alone = both(ids, (ids > 0).long(), labels=labels), masked_lm.eval()(ids, (ids > 0).long(), labels=labels)
    assert_close(found.logits, alone.logits)
    assert_close(found.loss, alone.loss)
    width = both.config.hidden_size
    with torch.no_grad():
        both.pair.weight[:, :-width] = 0
    u = torch.randn(1, 1, width, generator=torch.Generator().manual_seed(1))
    for v, surer in ((u, 0), (-u, 1)):
        hidden = torch.cat([u.expand(1, 4, width), v.expand(1, 3, width)], dim=1)
        logits = both.score(Output(hidden), ids[:1], (ids[:1] > 0).long(), wanted=ids[:1] < 0).pair_logits[0]
        assert logits.argmax() == surer


def test_two_texts_are_told_apart_by_two_classes():
    with expect_refusal("tells two classes apart", "names 1"):
        PairPooled(build(replace(CONFIGS["bert"], labels=("a",))), 3)
