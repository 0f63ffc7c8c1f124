"""The heads: where logits are computed, what a loss is (worked out by hand), and what is tied to what."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from tiny import (
    BATCH,
    CLASSIFIERS,
    CONFIGS,
    EVERY_MODEL,
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
from torch import Tensor

from minibert.factory import build, count_parameters
from minibert.heads import HEADS, add_head, cross_entropy
from minibert.layers import MaskedLMHead, gelu, layer_norm

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


def test_distilbert_has_no_pair_to_judge():
    with expect_refusal("distilbert", "no sentence-pair task", "masked-lm"):
        build(CONFIGS["distilbert"], "pretraining")


# ----------------------------------------------------------------------------------------- classifiers


@pytest.mark.parametrize("family", ["bert", "albert"])
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
        (family, head, family != "distilbert" and head in (None, "pretraining", "sequence-classification"))
        for family, head in EVERY_MODEL
    ],
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
    ],
)
def test_heads_drop_what_their_family_drops_and_only_while_training(family, head, part):
    family_numbers = {
        "bert": {"question-answering": 0.0, "pretraining": 0.0},
        "distilbert": {"question-answering": 0.1, "sequence-classification": 0.2},
        "albert": {"question-answering": 0.0},
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
