"""The explorer beyond the weights: how much each token really adds, how the score of a pair comes about, and colours at
night. All numbers are compared with those of the model's own matrices."""

from __future__ import annotations

import base64
import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from test_explorer import TITLE, Reader, page, uniform, views_in
from test_explorer_views import BEFORE, LEARNED, PAIR, TEXT, model_of, run, stacked, tokenizer_of
from tiny import expect_refusal

from minibert.attention import MultiHeadAttention, attention
from minibert.lessons import explorer_page
from minibert.lessons.explorer import Parts, View, Words, explore
from minibert.lessons.explorer_page import page_of
from minibert.lessons.explorer_server import OPENING
from minibert.training.permutation import order_mask


def unpacked(packed: dict[str, str], shape: tuple[int, ...]) -> np.ndarray:
    numbers = np.frombuffer(base64.b64decode(packed["numbers"]), "<i2").reshape(shape).astype(float)
    return numbers * np.frombuffer(base64.b64decode(packed["scales"]), "<f4").reshape(*shape[:-1], 1)


def parts_in(view: dict) -> dict[str, np.ndarray | None]:
    """queries, keys, norms and bias of a view, as the page has them."""
    heads, parts = (view["layers"], view["heads"]), view["parts"]
    size, rows, columns = parts["size"], len(view["rows"]), len(view["columns"])
    shapes = {"queries": (*heads, rows, size), "keys": (*heads, columns, size), "bias": (*heads, rows, columns)}
    found = {name: packed and unpacked(packed, shapes[name]) for name, packed in parts["vectors"].items()}
    norms = np.frombuffer(base64.b64decode(parts["norms"]), "<f4").reshape(*heads, columns)
    return {**found, "norms": norms.astype(float)}


def weights_from(view: dict) -> np.ndarray:
    """The weights that follow from queries, keys, bias and mask of a page."""
    parts = parts_in(view)
    scores = parts["queries"] @ parts["keys"].swapaxes(-1, -2) / math.sqrt(view["parts"]["size"])
    scores = scores if parts["bias"] is None else scores + parts["bias"]
    if view["hidden"] is not None:
        scores[..., np.array([[cell == "1" for cell in row] for row in view["hidden"]])] = -np.inf
    powers = np.exp(scores - scores.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def by_hand(part: MultiHeadAttention, x: torch.Tensor, text: torch.Tensor) -> tuple[list, list, list, list]:
    """For each head: queries of x, keys and values of text, and the vectors that each token of text would add, from
    the module's own matrices, a head at a time. x: (S, D). text: (T, D)."""
    size = part.query.weight.shape[0] // part.num_heads
    found = ([], [], [], [])
    for head in range(part.num_heads):
        own = slice(head * size, (head + 1) * size)
        q = x @ part.query.weight[own].T + part.query.bias[own]
        k = text @ part.key.weight[own].T + part.key.bias[own]
        v = text @ part.value.weight[own].T + part.value.bias[own]
        for each, one in zip(found, (q, k, v, v @ part.output.weight[:, own].T), strict=True):
            each.append(one)
    return found


# ------------------------------------------------------------------------------------------ how much is added


@torch.no_grad()
def test_queries_keys_and_what_is_added_are_those_of_the_modules_own_matrices():
    model, tok = model_of("bert"), tokenizer_of("bert")
    (view, _), = views_in(explore(TEXT, PAIR, model, tok).html())  # fmt: skip
    parts, output = parts_in(view), run(model, tok, TEXT, PAIR, return_hidden=True)
    for layer, block in enumerate(model.encoder.blocks):
        x = output.hidden_states[layer][0]
        q, k, _, adds = by_hand(block.attention, x, x)
        for head in range(block.attention.num_heads):
            for name, own in (("queries", q[head]), ("keys", k[head])):
                assert abs(parts[name][layer, head] - own.numpy()).max() < 1e-3
            lengths = torch.tensor([math.sqrt(sum(float(n) ** 2 for n in vector)) for vector in adds[head]])
            assert torch.allclose(torch.tensor(parts["norms"][layer, head]).float(), lengths, rtol=1e-4)
        # They are really what is added: weighted and summed over tokens and heads, they are the module's output.
        weights = output.attentions[layer][0]
        whole = sum(weights[head] @ adds[head] for head in range(len(adds))) + block.attention.output.bias
        assert torch.allclose(whole, block.attention(x[None])[0][0], rtol=1e-3, atol=1e-2)


@torch.no_grad()
def test_in_cross_attention_what_is_added_comes_from_the_text_that_was_read():
    model, tok = model_of("bart"), tokenizer_of("bart")
    views = views_in(explore(TEXT, None, model, tok, written="She slept.").html())
    encoded = model.encode(torch.tensor([tok.encode(TEXT).ids])).last_hidden_state[0]
    parts = parts_in(views[2][0])
    for layer, block in enumerate(model.decoder.blocks):
        _, k, _, adds = by_hand(block.cross_attention, encoded, encoded)
        for head in range(len(k)):
            assert abs(parts["keys"][layer, head] - k[head].numpy()).max() < 1e-3
            assert np.allclose(parts["norms"][layer, head], adds[head].norm(dim=-1).numpy(), rtol=1e-4)


@torch.no_grad()
def test_in_two_streams_both_add_the_content_vectors():
    model, tok = model_of("xlnet"), tokenizer_of("xlnet")
    _, (content, _), (query, _) = views_in(explore(TEXT, None, model, tok).html())
    order = torch.tensor([content["words"][0]["order"]])
    output = run(model, tok, perm_mask=order_mask(order), return_hidden=True)
    first, second = (parts_in(view)["norms"] for view in (content, query))
    assert (first == second).all()
    for layer, block in enumerate(model.encoder.blocks):
        part, x = block.attention, output.hidden_states[layer][0]
        for head in range(part.value.shape[1]):
            adds = x @ part.value[:, head] @ part.output[:, head].T
            assert np.allclose(first[layer, head], adds.norm(dim=-1).numpy(), rtol=1e-4)


@pytest.mark.parametrize("family", LEARNED)
@pytest.mark.parametrize("pair", [None, PAIR])
def test_the_softmax_of_what_a_page_has_gives_the_models_weights(family, pair):
    model, tok = model_of(family), tokenizer_of(family)
    given = {"before": BEFORE} if family == "xlnet" else {"written": "She slept."} if family == "bart" else {}
    views = views_in(explore(TEXT, pair, model, tok, **given).html())
    for view, weights in views:
        found = weights_from(view)
        assert abs(found - weights).max() <= 0.005 + 2e-3  # the bytes of the weights, and large scores in two bytes
    assert [view["parts"]["from"] != "" for view, _ in views] == [family == "xlnet"] * len(views)


def test_the_special_tokens_get_much_weight_and_add_little(minilm_folder):
    (view, weights), = views_in(explore(OPENING, None, minilm_folder).html())  # fmt: skip
    added = weights * parts_in(view)["norms"][:, :, None]
    special = np.array([text is None for text in view["words"][0]["texts"]])
    looked = weights[..., special].sum(-1).mean(-1)
    share = (added[..., special].sum(-1) / added.sum(-1)).mean(-1)
    heads = looked > 0.5
    assert heads.sum() > 20
    assert (share[heads] < looked[heads]).all()
    assert looked.mean() > 0.45
    assert share.mean() < 0.2


def test_a_batch_that_looks_inside_leaves_no_hooks_behind():
    model, tok = model_of("bert"), tokenizer_of("bert")
    explore(TEXT, None, model, tok)
    with expect_refusal("has no memory"):
        explore(TEXT, None, model, tok, before=BEFORE)
    broken = model_of("bert")
    broken.encoder.blocks[1].feed_forward.forward = None
    with pytest.raises(TypeError):
        explore(TEXT, None, broken, tok)
    for one in (model, broken):
        assert not any(part._forward_hooks for part in one.modules())


class Unscaled(MultiHeadAttention):
    """A learner's attention, which does something else than the class that it comes from."""

    def forward(self, x, key=None, value=None, *, return_weights=False, **_):
        q, k, v = (self.split_heads(part(x)) for part in (self.query, self.key, self.value))
        mixed, weights = attention(q * 0.3, k, v)
        return self.output(self.merge_heads(mixed)), weights


class Silent(torch.nn.Module):
    """An attention that cannot say what is inside."""

    def __init__(self, part):
        super().__init__()
        self.part = [part]  # not a module of the model

    def forward(self, *args, **kwargs):
        return self.part[0](*args, **kwargs)


@pytest.mark.parametrize("kind", [Unscaled, Silent])
def test_an_attention_that_is_another_one_has_weights_and_no_parts(kind):
    model, tok = model_of("bert"), tokenizer_of("bert")
    block = model.encoder.blocks[1]
    block.attention = kind(block.attention) if kind is Silent else Unscaled(block.attention.query.in_features, 4)
    ((view, weights),) = views_in(explore(TEXT, None, model, tok).html())
    assert view["parts"] is None
    assert abs(weights - stacked(run(model, tok).attentions)).max() <= 0.005 + 1e-6


# ------------------------------------------------------------------------------------------ what a page is given

SIZE = 5
RANDOM = np.random.default_rng(3)
QUERIES, KEYS = RANDOM.normal(size=(2, 2, 3, SIZE)) * 2, RANDOM.normal(size=(2, 2, 3, SIZE)) * 2
NORMS = RANDOM.uniform(0.5, 4, (2, 2, 3))
SCORES = QUERIES @ KEYS.swapaxes(-1, -2) / math.sqrt(SIZE)
MADE = np.exp(SCORES) / np.exp(SCORES).sum(-1, keepdims=True)
PARTS = Parts(QUERIES, KEYS, NORMS)


def made(tokens=("a", "b", "c"), texts=None, parts: Parts | None = PARTS, **given) -> View:
    return View(MADE, [Words(tokens, texts)], parts=parts, **given)


def test_numbers_are_packed_to_a_third_of_a_ten_thousandth_and_zeros_stay():
    queries = QUERIES * np.array([1e-6, 1, 1e6])[:, None]
    queries[0, 0, 0] = 0
    view = json.loads(Reader(page_of([made(parts=Parts(queries, KEYS, NORMS))], TITLE)).texts["script"][1])["views"][0]
    found = parts_in(view)
    most = abs(queries).max(-1, keepdims=True)
    assert (abs(found["queries"] - queries) <= most / 30_000).all()
    assert np.allclose(found["norms"], NORMS)
    assert found["bias"] is None
    assert np.allclose(weights_from(view), weights_from(view | {"hidden": ["000"] * 3}))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"queries": QUERIES[:, :, :2]}, "queries of shape (2, 2, 2, 5) do not fit weights of shape (2, 2, 3, 3)"),
        ({"keys": KEYS[..., :4]}, "give finite numbers of shape (2, 2, 3, 5)"),
        ({"norms": NORMS[..., None]}, "norms of shape (2, 2, 3, 1)"),
        ({"norms": NORMS * np.inf}, "give finite numbers"),
        ({"queries": QUERIES * np.nan}, "give finite numbers"),
        ({"bias": SCORES[..., :2]}, "bias of shape (2, 2, 3, 2)"),
    ],
)
def test_parts_that_do_not_fit_are_refused(changes, sentence):
    with expect_refusal(sentence):
        page_of([made(parts=replace(PARTS, **changes))], TITLE)


def test_a_page_that_would_be_too_large_has_no_queries_and_keys(monkeypatch):
    whole = page_of([made(), made()], TITLE)
    monkeypatch.setattr(explorer_page, "MOST_VECTORS", 1000)
    small = page_of([made(), made()], TITLE)
    assert len(small) < len(whole) - 500
    for (view, _), (full, _) in zip(views_in(small), views_in(whole), strict=True):
        assert view["parts"] == full["parts"] | {"vectors": None}
        assert full["parts"]["vectors"]


def test_weights_alone_are_a_page_too():
    ((view, _),) = views_in(page(["a", "b"], uniform(2), TITLE))
    assert view["parts"] is None
