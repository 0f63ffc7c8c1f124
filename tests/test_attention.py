"""Attention: the formula, its fused twin, the masks, the packing of real tokens, and many heads at once."""

from __future__ import annotations

import math

import pytest
import torch
from lab import assert_same, check, first, lab, part
from tiny import MASK, REAL, B, D, H, K, S, assert_close, expect_refusal, gradcheck, gradcheck_module, randn, randomise
from torch import Tensor

from minibert.attention import Layout, MultiHeadAttention, attention, causal_mask, fused_attention, padding_mask

# ------------------------------------------------------------------------------------------ the lab sheet
# Each property by itself, with numbers that can be worked out on paper. Read these first.

LN = math.log


def rows(*numbers: list[float]) -> Tensor:
    """One text, one head: these rows as (1, 1, S, K), in float64."""
    return torch.tensor(numbers, dtype=torch.float64)[None, None]


def weights_of(*queries: list[float], mask: Tensor | None = None) -> Tensor:
    """The attention weights (S, T) of queries whose scores are these numbers.

    K = 4, and key t is 2 at place t and 0 elsewhere: q·k / √4 is the query's number at place t. The values are the
    rows of the identity matrix, so that what comes out is the weights.
    """
    keys = len(queries[0])
    q = rows(*([*query, *[0.0] * (4 - keys)] for query in queries))
    k = 2 * torch.eye(4, dtype=torch.float64)[None, None, :keys]
    return first(part("attention")(q, k, torch.eye(keys, dtype=torch.float64)[None, None], mask))[0, 0]


@lab(
    "attention",
    code=attention,
    lesson="01",
    breaks="`scores.softmax(dim=-1)` with dim=-2",
    catches="softmax-over-queries",
)
def test_the_softmax_is_over_the_keys():
    """the weights of one query, over all keys, sum to 1

    Two queries and three keys, with any scores. A softmax over the queries would make the columns sum to 1, and not
    the rows.
    """
    assert_close(weights_of([0.7, 0.0, 0.0], [0.0, 0.0, 1.8]).sum(-1), [1.0, 1.0])


@lab("attention", code=attention, lesson="01", breaks="`/ math.sqrt(q.shape[-1])` left out", catches="unscaled")
def test_the_scores_are_divided_by_the_root_of_k():
    """each score is divided by √K

    K = 4. The query's dot product with the first key is ln 9, with the second 0. Divided by √4 that is ln 3 and 0,
    and the softmax gives weights of 3/4 and 1/4 (e^ln 3 = 3 to e^0 = 1). Without the division: 9/10 and 1/10.
    """
    q = rows([LN(9), 0.0, 0.0, 0.0])
    k = rows([1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0])
    v = rows([4.0, 0.0], [0.0, 4.0])
    assert_close(first(part("attention")(q, k, v)), [[[[3.0, 1.0]]]])


@lab("attention", code=attention, lesson="01", breaks="`~mask` replaced by `mask`", catches="mask-inverted")
def test_a_mask_is_true_where_the_query_may_look():
    """a mask is True where the query may look, and False where it may not

    Two keys with equal scores, the second one masked: the first one has the larger weight.
    """
    ((first_key, second_key),) = weights_of([1.0, 1.0], mask=torch.tensor([[[[True, False]]]]))
    check(first_key > second_key)


@lab(
    "attention",
    code=attention,
    lesson="01",
    breaks="`torch.finfo(scores.dtype).min` replaced by 0.0",
    catches="mask-multiplied-before-softmax",
)
def test_a_masked_key_gets_no_weight_at_all():
    """a masked key gets a weight of exactly 0, and the others sum to 1 without it

    The masked key's score is 0 and the first key's is -20. A mask that sets masked scores to 0 (by multiplying, say)
    leaves the masked key nearly all the weight, since e^0 = 1 is much larger than e^-20.
    """
    weights = weights_of([-20.0, 0.0], mask=torch.tensor([[[[True, False]]]]))
    assert_close(weights, [[1.0, 0.0]])
    check(weights[0, 1] == 0.0)


@lab(
    "attention",
    code=attention,
    lesson="01",
    breaks="`torch.finfo(scores.dtype).min` replaced by -math.inf",
    catches="nan-where-all-is-masked",
)
def test_a_query_that_may_look_at_nothing_gets_zeros():
    """a query that may look at nothing gets zeros, and never NaN

    The first query may look at no key: a softmax over nothing but -inf would be 0/0, which is NaN. The second may
    look at the first key only, and gets it whole.
    """
    mask = torch.tensor([[[[False, False], [True, False]]]])
    assert_close(weights_of([1.0, 2.0], [1.0, 2.0], mask=mask), [[0.0, 0.0], [1.0, 0.0]])


@lab(None, code=attention, lesson="02", breaks="`F.dropout(weights, dropout)` stored in `weights`, which is returned")
def test_the_weights_are_returned_from_before_dropout():
    """the weights are returned as they were before dropout

    Two keys with equal scores: both weights are 1/2. After dropout at 1/2 each of them would be 0 or 1.
    """
    q, k = rows([0.0, 0.0, 0.0, 0.0]), rows([1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0])
    assert_close(attention(q, k, k, dropout=0.5)[1], [[[[0.5, 0.5]]]])


@lab(None, code=fused_attention, lesson="01", breaks="`attn_mask=mask` left out")
def test_the_fused_kernel_gives_the_same_as_the_formula():
    """the fused attention gives the same output as the written-out formula

    As above: scores ln 3 and 0 after the division, and a third key that is masked. The output is 3/4 · 4 and 1/4 · 4.
    """
    q = rows([LN(9), 0.0, 0.0, 0.0])
    k = rows([1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0], [5.0, 0.0, 0.0, 0.0])
    v = rows([4.0, 0.0], [0.0, 4.0], [9.0, 9.0])
    mask = torch.tensor([[[[True, True, False]]]])
    assert_close(fused_attention(q, k, v, mask), [[[[3.0, 1.0]]]])
    assert_close(fused_attention(q, k, v, mask), attention(q, k, v, mask)[0])


@lab(
    "padding-mask",
    code=padding_mask,
    lesson="03",
    breaks="`attention_mask.bool()` replaced by `~attention_mask.bool()`",
    catches="padding-inverted",
)
def test_padding_is_hidden_from_every_query():
    """no query looks at padding

    A text of three tokens, of which the last is padding (0 in the attention mask). All scores are equal, so each
    query, the padded one too, gives 1/2 to each of the two real tokens.
    """
    scores = torch.zeros(1, 1, 3, 3, dtype=torch.float64)
    weights = part("padding-mask")(scores, torch.tensor([[1, 1, 0]]))
    assert_close(weights, [[[[0.5, 0.5, 0.0]] * 3]])


@lab(
    "padding-mask",
    code=attention,
    lesson="03",
    breaks="`weights.masked_fill(~mask, 0.0)` left out",
    catches="padding-nan",
)
def test_a_text_of_nothing_but_padding_has_no_weights():
    """in a text that is nothing but padding, all weights are 0"""
    scores = torch.zeros(1, 1, 2, 2, dtype=torch.float64)
    assert_close(part("padding-mask")(scores, torch.tensor([[0, 0]])), [[[[0.0, 0.0], [0.0, 0.0]]]])


@lab(
    "causal-mask", code=causal_mask, lesson="03", breaks="`.tril()` replaced by `.triu()`", catches="causal-transposed"
)
def test_a_causal_mask_hides_the_future():
    """with a causal mask, token s looks at the tokens 0 to s and at none after it

    Row s is the query, column t the key. Read the first row: the first token sees itself alone.
    """
    mask = part("causal-mask")(3)
    assert_same(mask, [[True, False, False], [True, True, False], [True, True, True]])


@lab(
    "split-heads",
    code=MultiHeadAttention.split_heads,
    lesson="02",
    breaks='`"b s (h k) -> b h s k"` replaced by a plain `x.view(b, h, s, k)`',
    catches="split-by-view-alone",
)
def test_heads_are_cut_out_of_the_features_of_each_token():
    """head h takes the features h·K to (h+1)·K of every token (a view alone would mix the tokens)

    Two tokens with the features 1 2 3 4 and 5 6 7 8, and two heads: the first gets 1 2 and 5 6, the second 3 4 and
    7 8. Without the transpose the first head would get 1 2 and 3 4, all of the first token.
    """
    x = torch.tensor([[[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]]], dtype=torch.float64)
    assert_close(part("split-heads")(x, 2), [[[[1.0, 2.0], [5.0, 6.0]], [[3.0, 4.0], [7.0, 8.0]]]])


@lab(
    "merge-heads",
    code=MultiHeadAttention.merge_heads,
    lesson="02",
    breaks='`"b h s k -> b s (h k)"` replaced by a plain `x.reshape(b, s, h * k)`',
    catches="merge-not-transposed",
)
def test_heads_are_merged_back_into_the_features_of_each_token():
    """merging puts each token's heads side by side again: the reverse of the split

    The two heads of the test above, back to 1 2 3 4 and 5 6 7 8.
    """
    x = torch.tensor([[[[1.0, 2.0], [5.0, 6.0]], [[3.0, 4.0], [7.0, 8.0]]]], dtype=torch.float64)
    assert_close(part("merge-heads")(x), [[[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]]])


def four_layers(query: Tensor, key: Tensor, value: Tensor, output: Tensor, bias: float = 0.0) -> dict[str, Tensor]:
    """The weights of many-head attention; every bias is 0 but the output's, which is `bias` everywhere."""
    matrices = {"query": query, "key": key, "value": value, "output": output}
    found = {f"{name}.weight": matrix for name, matrix in matrices.items()}
    found |= {f"{name}.bias": torch.zeros(len(matrix), dtype=torch.float64) for name, matrix in matrices.items()}
    return {**found, "output.bias": found["output.bias"] + bias}


@lab(
    "multi-head-attention",
    code=MultiHeadAttention.forward,
    lesson="02",
    breaks="`self.output(layout.pack(self.merge_heads(mixed)))` without `self.output`",
    catches="heads-output-missing",
)
def test_the_output_layer_mixes_the_heads():
    """after the heads are merged they go through the output layer, with its bias

    Queries and keys are 0, so each token gives every token the same weight and gets the mean of both: 3 and 5. The
    output layer doubles that and adds 1.
    """
    one, zero = torch.eye(2, dtype=torch.float64), torch.zeros(2, 2, dtype=torch.float64)
    x = torch.tensor([[[1.0, 3.0], [5.0, 7.0]]], dtype=torch.float64)
    found = part("multi-head-attention")(x, four_layers(zero, zero, one, 2 * one, 1.0), 2)
    assert_close(first(found), [[[7.0, 11.0]] * 2])


@lab(
    "multi-head-attention",
    code=MultiHeadAttention.queries_keys_values,
    lesson="02",
    breaks="`self.split_heads(layout.unpack(self.query(x)))` split into one head",
    catches="heads-scaled-by-D",
)
def test_a_head_divides_by_the_root_of_its_own_size():
    """each head has scores of its own, divided by √K with K = D / H

    D = 8 in two heads of K = 4. Only the first token has a first feature: its score with itself is ln 9 / √4 = ln 3,
    with the other token 0. So the first head's weights are 3/4 and 1/4, and the value 4 comes out as 3. In the second
    head all scores are 0, and the value 4 comes out as its mean, 2.
    """
    one = torch.eye(8, dtype=torch.float64)
    x = torch.zeros(1, 2, 8, dtype=torch.float64)
    x[0, 0, 0] = x[0, 0, 7] = 1.0
    only_first = torch.zeros(8, 8, dtype=torch.float64)
    only_first[0, 0] = 1.0
    found = part("multi-head-attention")(x, four_layers(LN(9) * only_first, only_first, 4 * one, one), 2)
    assert_close(first(found)[0, 0, [0, 7]], [3.0, 2.0])


@lab(None, code=MultiHeadAttention.forward, lesson="02", breaks="`if self.training else 0.0` left out")
def test_attention_weights_are_dropped_in_training_only():
    """attention weights are dropped in training only

    With a dropout of 0.9 it would show at once. In evaluation mode two calls give the same.
    """
    module, x = heads(dropout=0.9), randn(1, 2, D)
    check(torch.equal(module(x)[0], module(x)[0]))


@lab(None, code=Layout, lesson="03", breaks="`x.flatten(0, 1)[self.index]` without `[self.index]`")
def test_packing_keeps_the_real_tokens():
    """packing keeps the real tokens of a batch, in their order, and unpacking puts zeros where the padding is

    Two texts, 1 2 and a padded slot, and 4 with two.
    """
    layout, x = Layout(torch.tensor([[1, 1, 0], [1, 0, 0]])), torch.tensor([[1, 2, 3], [4, 5, 6]])
    assert_same(layout.pack(x), [1, 2, 4])
    assert_same(layout.unpack(layout.pack(x)), [[1, 2, 0], [4, 0, 0]])


# ------------------------------------------------------------------------------------------- the whole of it

T, VALUE = 8, 10  # keys, and features of a value

# A query that may look at nothing: row 2 of text 1, and all of text 4.
RANDOM_MASK = torch.rand(B, 1, S, T, generator=torch.Generator().manual_seed(3)) > 0.4
RANDOM_MASK[1, 0, 2] = False
RANDOM_MASK[4] = False

MASKS = {
    "no mask": None,
    "padding": padding_mask(torch.cat([MASK, MASK[:, :1]], dim=1)),
    "causal": causal_mask(T)[:, :, :S],
    "padding and causal": padding_mask(torch.cat([MASK, MASK[:, :1]], dim=1)) & causal_mask(T)[:, :, :S],
    "random": RANDOM_MASK,
}


def inputs() -> list[Tensor]:
    """q, k, v and a bias; no two axes of one size."""
    return [
        randn(B, H, S, K, seed=1),
        randn(B, H, T, K, seed=2),
        randn(B, H, T, VALUE, seed=3),
        randn(1, H, S, T, seed=4),
    ]


def attention_by_hand(q: list, k: list, v: list, allowed: list, bias: list) -> tuple[list, list]:
    """One head of one text, one number at a time."""
    output, weights = [], []
    for s, query in enumerate(q):
        score = [sum(a * b for a, b in zip(query, key, strict=True)) / math.sqrt(len(query)) for key in k]
        power = [math.exp(x + bias[s][t]) if allowed[s][t] else 0.0 for t, x in enumerate(score)]
        total = sum(power)
        weights.append([p / total if total else 0.0 for p in power])
        output.append([sum(w * value[i] for w, value in zip(weights[-1], v, strict=True)) for i in range(len(v[0]))])
    return output, weights


@pytest.mark.parametrize("with_bias", [False, True], ids=["", "bias"])
@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
def test_the_formula_is_what_a_person_computes_number_by_number(mask, with_bias):
    q, k, v, bias = inputs()
    output, weights = attention(q, k, v, mask, bias=bias if with_bias else None)
    allowed = (torch.ones(1, dtype=torch.bool) if mask is None else mask).expand(B, H, S, T).tolist()
    bias = (bias if with_bias else torch.zeros(1, H, S, T)).tolist()
    expected = [
        [
            attention_by_hand(q[b, h].tolist(), k[b, h].tolist(), v[b, h].tolist(), allowed[b][h], bias[0][h])
            for h in range(H)
        ]
        for b in range(B)
    ]
    assert_close(output, torch.tensor([[head[0] for head in text] for text in expected], dtype=torch.float64))
    assert_close(weights, torch.tensor([[head[1] for head in text] for text in expected], dtype=torch.float64))


@pytest.mark.parametrize("with_bias", [False, True], ids=["", "bias"])
@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)], ids=["64", "32"])
def test_fused_equals_written_out_in_values_and_gradients(mask, with_bias, dtype, tolerance):
    results = []
    for function in (lambda *args, **kw: attention(*args, **kw)[0], fused_attention):
        tensors = [x.detach().to(dtype).requires_grad_() for x in inputs()]
        q, k, v, bias = tensors
        output = function(q, k, v, mask, bias=bias if with_bias else None)
        output.mul(randn(*output.shape, seed=5).to(dtype)).sum().backward()
        results.append([output, *(x.grad for x in (tensors if with_bias else tensors[:3]))])
    for written_out, fused in zip(*results, strict=True):
        assert_close(fused, written_out, tolerance)


@pytest.mark.parametrize("with_bias", [False, True], ids=["", "bias"])
def test_a_query_that_may_look_at_nothing_gets_zeros_and_no_nan(with_bias):
    q, k, v, bias = inputs()
    bias = bias if with_bias else None
    output, weights = attention(q, k, v, RANDOM_MASK, bias=bias)
    fused = fused_attention(q, k, v, RANDOM_MASK, bias=bias)
    for tensor in (output, weights, fused):
        assert not tensor[1, :, 2].any()
        assert not tensor[4].any()
    for result in (output, fused):
        with torch.autograd.set_detect_anomaly(True):  # no NaN on the way either, only to be wiped out later
            gradients = torch.autograd.grad(result.sum(), (q, k, v))
        for gradient in gradients:
            assert gradient.isfinite().all()
            assert not gradient[4].any()


def test_weights_are_zero_where_masked_and_their_rows_sum_to_one():
    q, k, v, _ = inputs()
    weights = attention(q, k, v, RANDOM_MASK)[1]
    allowed = RANDOM_MASK.expand(B, H, S, T)
    assert not weights[~allowed].any()
    assert (weights[allowed] > 0).all()
    assert_close(weights.sum(-1), allowed.any(-1).double())


@pytest.mark.parametrize("function", [attention, fused_attention])
def test_dropout_acts_on_the_weights_and_not_on_the_output(function):
    q, k, _, _ = inputs()
    weights = attention(q, k, k)[1]
    # values that hand the weights through, twice: a weight that is dropped is missing from both halves
    values = torch.eye(T, dtype=torch.float64).repeat(1, 2).expand(B, H, T, 2 * T)
    torch.manual_seed(0)
    result = function(q, k, values, dropout=0.25)
    if function is attention:
        result, returned = result
        assert torch.equal(returned, weights), "the weights are to be returned as they were before dropout"
    first, second = result.chunk(2, dim=-1)
    assert torch.equal(first, second)
    kept = first != 0
    assert_close(first[kept], weights[kept] / 0.75)
    # 840 weights: five standard deviations of the share that is kept are 0.075
    assert kept.double().mean().item() == pytest.approx(0.75, abs=0.075)


def test_gradients_of_the_formula():
    q, k, v, bias = (x[:1, :1].detach().requires_grad_() for x in inputs())
    mask = RANDOM_MASK[1:2]
    assert gradcheck(lambda q, k, v, bias: attention(q, k, v, mask, bias=bias), (q, k, v, bias))


def test_a_mask_says_true_where_one_may_look():
    assert padding_mask(torch.tensor([[1, 1, 0], [0, 1, 1]])).tolist() == [
        [[[True, True, False]]],
        [[[False, True, True]]],
    ]
    assert causal_mask(3).tolist() == [[[[True, False, False], [True, True, False], [True, True, True]]]]
    both = padding_mask(torch.tensor([[0, 1, 1]])) & causal_mask(3)
    assert both.tolist() == [[[[False, False, False], [False, True, False], [False, True, True]]]]


# ------------------------------------------------------------------------------- where the tokens stand


def test_packing_keeps_the_real_tokens_in_order_and_unpacking_puts_zeros_between():
    layout = Layout(torch.tensor([[1, 0, 1], [0, 1, 0]]))
    x = torch.tensor([[[1, 2], [3, 4], [5, 6]], [[7, 8], [9, 10], [11, 12]]])
    packed = layout.pack(x)
    assert packed.tolist() == [[1, 2], [5, 6], [9, 10]]
    assert layout.unpack(packed).tolist() == [[[1, 2], [0, 0], [5, 6]], [[0, 0], [9, 10], [0, 0]]]
    assert layout.pack(x[..., 0]).tolist() == [1, 5, 9]


@pytest.mark.parametrize(
    ("layout", "masks"),
    [(Layout(), False), (Layout(torch.ones(B, S)), False), (Layout(MASK, skip_padding=False), True)],
    ids=["no mask", "nothing padded", "plain way"],
)
def test_a_layout_without_packing_leaves_tokens_where_they_are(layout, masks):
    x = randn(B, S, D)
    assert layout.pack(x) is x
    assert layout.unpack(x) is x
    assert (layout.mask is not None) == masks


# ------------------------------------------------------------------------------------------ many heads


def heads(value_size: int | None = None, dropout: float = 0.0) -> MultiHeadAttention:
    return randomise(MultiHeadAttention(D, H, dropout, value_size)).double().eval()


def heads_by_hand(
    module: MultiHeadAttention, x: Tensor, key: Tensor, value: Tensor, mask: Tensor
) -> tuple[Tensor, Tensor]:
    """One text, one head after the other: features 0..K-1 are the first head's, the next K the second's."""
    q, k, v = module.query(x), module.key(key), module.value(value)
    mixed, weights = [], []
    for h in range(H):
        own = slice(h * K, (h + 1) * K)
        output, weight = attention(q[:, own], k[:, own], v[:, own], mask)
        mixed.append(output)
        weights.append(weight)
    return module.output(torch.cat(mixed, dim=1)), torch.stack(weights)


def test_heads_are_cut_out_of_the_features_and_put_back():
    module = MultiHeadAttention(6, 3)
    x = torch.arange(12).view(1, 2, 6)
    heads = module.split_heads(x)
    assert heads.tolist() == [[[[0, 1], [6, 7]], [[2, 3], [8, 9]], [[4, 5], [10, 11]]]]
    assert torch.equal(module.merge_heads(heads), x)


@pytest.mark.parametrize("return_weights", [False, True], ids=["fused", "written out"])
def test_many_heads_are_single_heads_side_by_side(return_weights):
    module, x = heads(), randn(B, S, D)
    output, weights = module(x, layout=Layout(MASK, skip_padding=False), return_weights=return_weights)
    for text in range(B):
        expected, expected_weights = heads_by_hand(module, x[text], x[text], x[text], REAL[text])
        assert_close(output[text], expected)
        if return_weights:
            assert_close(weights[text], expected_weights)
    assert return_weights or weights is None


def test_queries_look_at_another_sequence_of_another_length_and_width():
    module, x, key, value = heads(VALUE), randn(B, S, D), randn(B, T, D, seed=1), randn(B, T, VALUE, seed=2)
    key_mask = torch.cat([MASK, MASK[:, :1]], dim=1)
    output, weights = module(
        x, key, value, layout=Layout(), key_layout=Layout(key_mask, skip_padding=False), return_weights=True
    )
    assert weights.shape == (B, H, S, T)
    for text in range(B):
        expected, expected_weights = heads_by_hand(module, x[text], key[text], value[text], key_mask[text].bool())
        assert_close(output[text], expected)
        assert_close(weights[text], expected_weights)


def test_a_mask_that_is_given_stands_in_for_the_padding_mask():
    module, x = heads(), randn(B, S, D)
    layout = Layout(MASK, skip_padding=False)
    output, _ = module(x, layout=layout, mask=causal_mask(S) & layout.mask)
    for text in range(B):
        assert_close(
            output[text], heads_by_hand(module, x[text], x[text], x[text], REAL[text] & causal_mask(S)[0, 0])[0]
        )


@pytest.mark.parametrize("return_weights", [False, True], ids=["fused", "written out"])
def test_packed_tokens_meet_as_padded_ones_do(return_weights):
    module, x, layout = heads(), randn(B, S, D), Layout(MASK)
    packed, packed_weights = module(layout.pack(x), layout=layout, return_weights=return_weights)
    padded, weights = module(x, layout=Layout(MASK, skip_padding=False), return_weights=return_weights)
    assert_close(packed, padded[REAL])
    if return_weights:
        assert_close(packed_weights.transpose(1, 2)[REAL], weights.transpose(1, 2)[REAL])


def test_packed_keys_of_another_sequence():
    module, x, key = heads(), randn(B, S, D), randn(B, T, D, seed=1)
    key_mask = torch.cat([MASK, MASK[:, :1]], dim=1)
    layout = Layout(key_mask)
    packed, _ = module(x, layout.pack(key), layout=Layout(), key_layout=layout)
    padded, _ = module(x, key, layout=Layout(), key_layout=Layout(key_mask, skip_padding=False))
    assert_close(packed, padded)


@pytest.mark.parametrize("return_weights", [False, True], ids=["fused", "written out"])
def test_gradients_of_many_heads_with_packed_tokens(return_weights):
    layout = Layout(torch.tensor([[1, 1, 0], [0, 0, 0], [1, 0, 1]]))
    x = randn(4, 6)
    module = randomise(MultiHeadAttention(6, 3)).double()
    assert gradcheck_module(module, x, layout=layout, return_weights=return_weights)


@pytest.mark.parametrize("return_weights", [False, True], ids=["fused", "written out"])
def test_weights_are_dropped_only_while_training(return_weights):
    module, x = heads(dropout=0.5), randn(B, S, D)

    def run() -> Tensor:
        return module(x, layout=Layout(), return_weights=return_weights)[0]

    assert torch.equal(run(), run())
    module.train()
    assert not torch.equal(run(), run())


def test_heads_must_divide_the_features():
    with expect_refusal("hidden_size 12", "5 heads"):
        MultiHeadAttention(12, 5)
