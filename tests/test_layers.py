"""The parts that treat each token by itself, each against numbers worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch
from lab import check, lab, part
from tiny import B, D, F, S, assert_close, expect_refusal, gradcheck_module, numbers, randn, randomise

from minibert.encoder import Backbone
from minibert.layers import (
    ACTIVATIONS,
    Embeddings,
    FeedForward,
    MaskedLMHead,
    Pooler,
    Table,
    check_ids,
    gelu,
    gelu_tanh,
    layer_norm,
)

# ------------------------------------------------------------------------------------------ the lab sheet
# Each property by itself, with numbers that can be worked out on paper. Read these first.

ONE, ZERO = torch.ones(2, dtype=torch.float64), torch.zeros(2, dtype=torch.float64)


@lab(
    "layer-norm",
    code=layer_norm,
    lesson="04",
    breaks="`.mean(dim=-1, keepdim=True)` of the squares divided by D - 1",
    catches="n-minus-1",
)
def test_layer_norm_divides_by_d():
    """the variance of a layer norm divides by D, and not by D - 1

    The features 1 and 3 have the mean 2, and lie 1 below and 1 above it. The variance is (1 + 1) / 2 = 1, so they
    become -1 and 1. Divided by D - 1 = 1 the variance would be 2, and they would become -0.71 and 0.71.
    """
    assert_close(part("layer-norm")(numbers([1.0, 3.0]), ONE, ZERO), [[-1.0, 1.0]])


@lab(
    "layer-norm",
    code=layer_norm,
    lesson="04",
    breaks="`torch.sqrt(variance + eps)` with eps outside the root",
    catches="eps-outside-the-root",
)
def test_eps_is_inside_the_root():
    """eps is added to the variance, inside the root

    As above, the variance is 1. With eps = 3 the root is √(1 + 3) = 2. Outside it would be √1 + 3 = 4.
    """
    assert_close(part("layer-norm")(numbers([1.0, 3.0]), ONE, ZERO, 3.0), [[-0.5, 0.5]])


@lab(
    "layer-norm",
    code=layer_norm,
    lesson="04",
    breaks="`x.mean(dim=-1, keepdim=True)` over all axes",
    catches="over-tokens-and-features",
)
def test_layer_norm_treats_each_token_by_itself():
    """each token is normalised over its own features, whatever the other tokens are

    The second token is ten times the first. Both have the same shape, so both become -1 and 1.
    """
    x = numbers([[1.0, 3.0], [10.0, 30.0]])
    assert_close(part("layer-norm")(x, ONE, ZERO), [[[-1.0, 1.0], [-1.0, 1.0]]])


@lab("layer-norm", code=layer_norm, lesson="04", breaks="`* weight + bias` left out", catches="no-affine")
def test_layer_norm_scales_and_shifts_at_its_end():
    """after normalising, each feature is multiplied by its weight and its bias is added

    -1 and 1 times 2 and 3 are -2 and 3; with 10 and 20 added, 8 and 23.
    """
    assert_close(part("layer-norm")(numbers([1.0, 3.0]), numbers(2.0, 3.0), numbers(10.0, 20.0)), [[8.0, 23.0]])


@lab(
    "gelu",
    code=FeedForward,
    lesson="00",
    breaks='`ACTIVATIONS[activation]`: its "gelu" made the tanh approximation',
    catches="gelu-by-tanh",
)
def test_gelu_is_the_exact_one():
    """GELU is x · Φ(x) with the exact Φ, and not the tanh approximation

    84.13447% of a normal distribution lie below 1, and 15.86553% below -1. The approximation gives 0.84119 for 1.
    """
    assert_close(part("gelu")(numbers(-1.0, 0.0, 1.0)), [-0.1586553, 0.0, 0.8413447], 1e-6)


@lab(
    "feed-forward",
    code=FeedForward.forward,
    lesson="04",
    breaks="`self.activation(` left out",
    catches="activation-missing",
)
def test_the_activation_is_between_the_two_layers():
    """in a feed-forward the activation is between the two linear layers

    One feature, 1, becomes two: 1 and -1. GELU makes 0.8413 and -0.1587 of them, and the second layer adds these up:
    0.6827. Without the activation 1 and -1 would cancel.
    """
    weights = {
        "expand.weight": numbers([1.0], [-1.0]),
        "expand.bias": ZERO,
        "contract.weight": numbers([1.0, 1.0]),
        "contract.bias": numbers(0.0),
    }
    assert_close(part("feed-forward")(numbers([[1.0]]), weights), [[[0.6826895]]], 1e-6)


# Two words, two positions and two token types, made so that the sums have mean 0 and variance 1: a layer norm leaves
# such a token as it is, and what comes out is the sum.
TABLES = {
    "word.weight": numbers([1.0, 0.0, 0.0, -1.0], [0.0, 1.0, -1.0, 0.0]),
    "position.weight": numbers([0.0, 1.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0]),
    "token_type.weight": numbers([0.0, 0.0, -1.0, 0.0], [0.0, 0.0, 0.0, -1.0]),
    "norm.weight": torch.ones(4, dtype=torch.float64),
    "norm.bias": torch.zeros(4, dtype=torch.float64),
}


@lab(
    "embeddings",
    code=Embeddings.forward,
    lesson="06",
    breaks="`+ self.position(position_ids)` left out",
    catches="no-positions",
)
def test_an_embedding_is_the_sum_of_word_position_and_type():
    """a token's embedding is the sum of its word's, its position's and its token type's vector, normalised

    Word 0 at position 0 in the first sentence: (1 0 0 -1) + (0 1 0 0) + (0 0 -1 0) = (1 1 -1 -1), which has mean 0 and
    variance 1 already.
    """
    assert_close(part("embeddings")(torch.tensor([[0]]), torch.tensor([[0]]), TABLES), [[[1.0, 1.0, -1.0, -1.0]]])


@lab(
    "embeddings",
    code=Backbone.position_ids,
    lesson="06",
    breaks="`torch.arange(input_ids.shape[1]` begun at 1",
    catches="positions-from-1",
)
def test_positions_count_from_0_along_the_text():
    """positions are 0, 1, 2 ... along the text, the same in every text of a batch

    Two texts, of word 0 and word 1. The word at the second place, 1, has the vector (0 1 -1 0); position 1 adds
    (1 0 0 0) and the first sentence (0 0 -1 0): (1 1 -2 0). Mean 0, variance 6/4: all are divided by √1.5 = 1.2247.
    """
    ids = torch.tensor([[0, 1], [0, 1]])
    found = part("embeddings")(ids, torch.zeros_like(ids), TABLES)
    assert_close(found, [[[1.0, 1.0, -1.0, -1.0], [0.81650, 0.81650, -1.63299, 0.0]]] * 2, 1e-5)
    check(torch.equal(Backbone.position_ids(None, ids), torch.tensor([[0, 1], [0, 1]])))


@lab(
    "embeddings",
    code=Embeddings.forward,
    lesson="06",
    breaks="`if token_type_ids is None else token_type_ids` left out",
    catches="token-types-all-0",
)
def test_the_token_type_says_which_sentence_a_token_is_in():
    """a token of the second sentence gets the vector of token type 1

    Word 0 at position 0 with type 1: (1 0 0 -1) + (0 1 0 0) + (0 0 0 -1) = (1 1 0 -2). Mean 0, variance 6/4: all are
    divided by √1.5 = 1.2247.
    """
    found = part("embeddings")(torch.tensor([[0]]), torch.tensor([[1]]), TABLES)
    assert_close(found, [[[0.81650, 0.81650, 0.0, -1.63299]]], 1e-5)


# A classifier on top of the pooler, on one feature: whatever it gets, the first score is twice that.
CLASSIFIER = {
    "pooler.weight": numbers([1.0]),
    "pooler.bias": numbers(0.0),
    "classifier.weight": numbers([2.0], [0.0]),
    "classifier.bias": numbers(0.0, 0.0),
}


@lab(
    "classification-head",
    code=Pooler.forward,
    lesson="08",
    breaks="`hidden[:, 0]` replaced by `hidden.mean(1)`",
    catches="mean-of-tokens",
)
def test_a_text_is_judged_by_its_first_token():
    """a text is judged by its first token, [CLS], and not by the mean or the last of its tokens

    The first token is 0 and the others are not: tanh(0) = 0, and both scores are 0.
    """
    assert_close(part("classification-head")(numbers([[0.0], [5.0], [7.0]]), CLASSIFIER), [[0.0, 0.0]])


@lab("classification-head", code=Pooler.forward, lesson="08", breaks="`torch.tanh(` left out", catches="tanh-missing")
def test_the_pooler_ends_in_a_tanh():
    """the pooler is a linear layer and a tanh

    tanh(ln 3 / 2) = (3 - 1) / (3 + 1) = 1/2, and the first score is twice that.
    """
    assert_close(part("classification-head")(numbers([[math.log(3) / 2]]), CLASSIFIER), [[1.0, 0.0]], 1e-6)


@lab("masked-lm-head", code=MaskedLMHead.forward, lesson="06", breaks="`self.norm(` left out", catches="norm-forgotten")
def test_the_masked_lm_head_compares_a_token_with_each_word():
    """the masked-LM head scores a word by its embedding: dense, GELU, layer norm, dot product, and the word's bias

    The token (5 -5) goes through a dense layer that leaves it alone. GELU makes (5 0) of it, nearly, and the norm
    (1 -1). The words (1 0), (0 1), (2 1) then score 1, -1 and 1, and the third has a bias of 10.
    """
    weights = {
        "dense.weight": torch.eye(2, dtype=torch.float64),
        "dense.bias": ZERO,
        "norm.weight": ONE,
        "norm.bias": ZERO,
        "bias": numbers(0.0, 0.0, 10.0),
    }
    words = numbers([1.0, 0.0], [0.0, 1.0], [2.0, 1.0])
    assert_close(part("masked-lm-head")(numbers([[5.0, -5.0]]), words, weights), [[[1.0, -1.0, 11.0]]], 1e-9)


# ------------------------------------------------------------------------------------------- the whole of it

POINTS = (-3.0, -2.0, -0.75, 0.0, 0.5, 1.0, 2.0, 3.0)


def phi(x: float) -> float:
    """The share of a normal distribution below x."""
    return 0.5 * (1 + math.erf(x / math.sqrt(2)))


def phi_tanh(x: float) -> float:
    return 0.5 * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


# -------------------------------------------------------------------------------------------- activations


def logistic(x: float) -> float:
    return 1 / (1 + math.exp(-x))


BY_HAND = {
    **dict.fromkeys(("gelu", "gelu_python"), lambda x: x * phi(x)),
    **dict.fromkeys(
        ("gelu_new", "gelu_fast", "gelu_accurate", "gelu_python_tanh", "gelu_pytorch_tanh"), lambda x: x * phi_tanh(x)
    ),
    "gelu_10": lambda x: min(max(x * phi(x), -10.0), 10.0),
    "quick_gelu": lambda x: x * logistic(1.702 * x),
    "relu": lambda x: max(x, 0.0),
    "relu2": lambda x: max(x, 0.0) ** 2,
    "relu6": lambda x: min(max(x, 0.0), 6.0),
    "leaky_relu": lambda x: max(x, 0.01 * x),
    **dict.fromkeys(("silu", "swish"), lambda x: x * logistic(x)),
    "mish": lambda x: x * math.tanh(math.log1p(math.exp(x))),
    "hardswish": lambda x: x * min(max(x + 3, 0.0), 6.0) / 6,
    "sigmoid": logistic,
    "tanh": math.tanh,
    "linear": lambda x: x,
}


@pytest.mark.parametrize(
    ("function", "by_hand"),
    [
        (gelu, lambda x: x * phi(x)),
        (gelu_tanh, lambda x: x * phi_tanh(x)),
        *((ACTIVATIONS[name], BY_HAND[name]) for name in ACTIVATIONS),
    ],
    ids=["gelu", "gelu_tanh", *ACTIVATIONS],
)
def test_activations_are_computed_by_hand(function, by_hand):
    x = torch.tensor(POINTS, dtype=torch.float64)
    assert_close(function(x), torch.tensor([by_hand(point) for point in POINTS], dtype=torch.float64))


def test_the_approximated_gelu_is_near_the_exact_one_but_not_it():
    x = torch.linspace(-6, 6, 2001, dtype=torch.float64)
    assert 4e-4 < (gelu(x) - gelu_tanh(x)).abs().max() < 5e-4


# ------------------------------------------------------------------------------------------------- norm


def test_layer_norm_divides_by_all_features_and_has_eps_inside_the_root():
    # mean 3, variance 2; with eps 0.25 the root is exactly 1.5
    x = torch.tensor([[1.0, 2.0, 3.0, 4.0, 5.0], [10.0, 20.0, 30.0, 40.0, 50.0]], dtype=torch.float64)
    weight = torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0], dtype=torch.float64)
    bias = torch.tensor([0.5, 0.0, -1.0, 0.0, 0.0], dtype=torch.float64)
    expected = torch.tensor([-2 / 1.5 + 0.5, -2 / 1.5, -1.0, 4 / 1.5, 10 / 1.5], dtype=torch.float64)
    assert_close(layer_norm(x, weight, bias, eps=0.25)[0], expected)
    # the second row has the first one's shape, ten times as wide: a token is normalised by itself
    assert_close(layer_norm(x, weight, bias, eps=25.0)[1], expected)


@pytest.mark.parametrize("eps", [0.1, 1e-12])
def test_the_norm_of_the_models_is_the_formula(eps):
    x, norm = randn(B, S, D), torch.nn.LayerNorm(D, eps=eps).double()
    randomise(norm)
    assert_close(norm(x), layer_norm(x, norm.weight, norm.bias, eps))


# ----------------------------------------------------------------------------------------- feed-forward


def test_feed_forward_expands_bends_and_contracts():
    part, x = randomise(FeedForward(2, 3, "relu")).double(), randn(4, 2)
    expand, contract = part.expand, part.contract
    for token, output in zip(x.tolist(), part(x), strict=True):
        wide = [
            max(sum(w * v for w, v in zip(row, token, strict=True)) + b, 0.0)
            for row, b in zip(expand.weight.tolist(), expand.bias.tolist(), strict=True)
        ]
        narrow = [
            sum(w * v for w, v in zip(row, wide, strict=True)) + b
            for row, b in zip(contract.weight.tolist(), contract.bias.tolist(), strict=True)
        ]
        assert_close(output, torch.tensor(narrow, dtype=torch.float64))


@pytest.mark.parametrize("activation", ["gelu", "gelu_new"])
def test_gradients_of_feed_forward(activation):
    assert gradcheck_module(randomise(FeedForward(D, F, activation)).double(), randn(3, D))


# ------------------------------------------------------------------------------------------- embeddings


def embeddings(types: int = 2, eps: float = 1e-12, dropout: float = 0.0) -> Embeddings:
    return randomise(Embeddings(11, 6, types, D, eps, dropout)).double()


IDS, POSITIONS, TYPES = torch.tensor([[3, 3, 10]]), torch.tensor([[0, 5, 1]]), torch.tensor([[0, 1, 1]])


@pytest.mark.parametrize("eps", [0.1, 1e-12])
def test_an_embedding_is_the_norm_of_word_plus_position_plus_type(eps):
    part = embeddings(eps=eps)
    rows = [
        part.word.weight[word] + part.position.weight[place] + part.token_type.weight[kind]
        for word, place, kind in [(3, 0, 0), (3, 5, 1), (10, 1, 1)]
    ]
    expected = layer_norm(torch.stack(rows), part.norm.weight, part.norm.bias, eps)
    assert_close(part(IDS, POSITIONS, TYPES)[0], expected)


def test_without_types_every_token_is_of_type_0():
    part = embeddings()
    assert_close(part(IDS, POSITIONS), part(IDS, POSITIONS, torch.zeros_like(IDS)))
    assert not torch.equal(part(IDS, POSITIONS), part(IDS, POSITIONS, TYPES))


def test_a_model_without_token_types_ignores_them():
    part = embeddings(types=0)
    assert part.token_type is None
    assert torch.equal(part(IDS, POSITIONS, TYPES), part(IDS, POSITIONS))


def test_embeddings_are_dropped_after_the_norm_and_only_while_training():
    part = embeddings(dropout=0.5).eval()
    whole = part(IDS, POSITIONS, TYPES)
    assert torch.equal(whole, part(IDS, POSITIONS, TYPES))
    torch.manual_seed(0)
    dropped = part.train()(IDS, POSITIONS, TYPES)
    kept = dropped != 0
    assert 0 < kept.sum() < kept.numel()
    assert_close(dropped[kept], 2 * whole[kept])


def test_gradients_of_embeddings():
    assert gradcheck_module(embeddings(), IDS, POSITIONS, TYPES)


def test_a_table_starts_from_zeros_and_looks_up_rows():
    table = Table(4, 3)
    assert not table.weight.any()
    randomise(table)
    assert torch.equal(table(torch.tensor([2, 0])), table.weight[[2, 0]])


# ----------------------------------------------------------------------------------------------- pooler


def test_the_pooler_reads_the_first_token_only():
    part, hidden = randomise(Pooler(D)).double(), randn(B, S, D)
    expected = torch.tanh(hidden[:, 0] @ part.dense.weight.T + part.dense.bias)
    assert_close(part(hidden), expected)
    (gradient,) = torch.autograd.grad(part(hidden).sum(), hidden)
    assert gradient[:, 0].all()
    assert not gradient[:, 1:].any()


# -------------------------------------------------------------------------------------------------- ids


@pytest.mark.parametrize(
    ("ids", "parts"),
    [
        ([[0, 7]], ("input_ids holds 7", "0 to 6", "tokenizer")),
        ([[-1, 3]], ("input_ids holds -1", "0 to 6")),
        ([[0.0, 1.0]], ("input_ids must hold integers", "float32", "input_ids.long()")),
        ([[True, False]], ("input_ids must hold integers", "bool")),
    ],
    ids=["too large", "negative", "floats", "booleans"],
)
def test_ids_without_a_row_are_refused(ids, parts):
    with expect_refusal(*parts):
        check_ids(torch.tensor(ids), 7, "input_ids")


@pytest.mark.parametrize("ids", [torch.arange(7), torch.arange(7).int(), torch.empty(0, dtype=torch.long)])
def test_ids_with_a_row_pass(ids):
    check_ids(ids, 7, "input_ids")
