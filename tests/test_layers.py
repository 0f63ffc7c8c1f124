"""The parts that treat each token by itself, each against numbers worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch
from tiny import B, D, F, S, assert_close, expect_refusal, gradcheck_module, randn, randomise

from minibert.layers import (
    ACTIVATIONS,
    Embeddings,
    FeedForward,
    Pooler,
    Table,
    check_ids,
    gelu,
    gelu_tanh,
    layer_norm,
)

POINTS = (-3.0, -2.0, -0.75, 0.0, 0.5, 1.0, 2.0, 3.0)


def phi(x: float) -> float:
    """The share of a normal distribution below x."""
    return 0.5 * (1 + math.erf(x / math.sqrt(2)))


def phi_tanh(x: float) -> float:
    return 0.5 * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


# -------------------------------------------------------------------------------------------- activations


@pytest.mark.parametrize(
    ("function", "by_hand"),
    [
        (gelu, lambda x: x * phi(x)),
        (gelu_tanh, lambda x: x * phi_tanh(x)),
        (ACTIVATIONS["gelu"], lambda x: x * phi(x)),
        (ACTIVATIONS["gelu_new"], lambda x: x * phi_tanh(x)),
        (ACTIVATIONS["gelu_pytorch_tanh"], lambda x: x * phi_tanh(x)),
        (ACTIVATIONS["relu"], lambda x: max(x, 0.0)),
        (ACTIVATIONS["tanh"], math.tanh),
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
