"""MobileBERT: the published numbers, its block in every form, and what is special about its ends.

What it shares with the other models is tested with them (test_models, test_heads, test_checkpoints).
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from lab import lab, part
from safetensors.torch import load_file
from tiny import (
    BATCH,
    CONFIGS,
    IDS,
    MASK,
    REAL,
    SIZES,
    TYPES,
    B,
    D,
    E,
    F,
    H,
    L,
    S,
    V,
    assert_close,
    expect_refusal,
    gradcheck,
    gradcheck_module,
    numbers,
    randn,
    randomise,
    tiny,
)
from torch import Tensor, nn

from minibert.attention import Layout, attention
from minibert.checkpoints import from_pretrained, load, read_config, save_pretrained
from minibert.factory import build, count_parameters, parameters_by_part, preset
from minibert.heads import WithHead, add_head
from minibert.layers import gelu, layer_norm
from minibert.models.mobilebert import (
    FAMILY,
    FirstToken,
    MobileBertBlock,
    MobileBertConfig,
    NoNorm,
    SplitOutputHead,
    with_neighbours,
)

# ------------------------------------------------------------------------------------------ the lab sheet
# Each property by itself, with numbers that can be worked out on paper. Read these first.


@lab("no-norm", code=NoNorm.forward, lesson="12", breaks="`x * self.weight` with x normalised", catches="layer-norm")
def test_no_norm_normalises_nothing():
    """no mean and no variance is taken: with a weight of 1 and a bias of 0 large numbers stay large"""
    x = numbers([1000.0, 3000.0], [0.5, 0.25])
    assert_close(part("no-norm")(x, numbers(1.0, 1.0), numbers(0.0, 0.0)), x.tolist())


@lab(
    "no-norm",
    code=NoNorm.forward,
    lesson="12",
    breaks="`x * self.weight + self.bias` to `(x + self.bias) * self.weight`",
    catches="shift-before-scale",
)
def test_no_norm_scales_and_then_shifts():
    """each feature is multiplied by a weight of its own, and then a bias of its own is added

    1 · 3 + 10 and 2 · -1 + 20; 5 · 3 + 10 and 0 · -1 + 20.
    """
    found = part("no-norm")(numbers([1.0, 2.0], [5.0, 0.0]), numbers(3.0, -1.0), numbers(10.0, 20.0))
    assert_close(found, [[13.0, 18.0], [25.0, 20.0]])


@lab(
    "trigram",
    code=with_neighbours,
    lesson="12",
    breaks="`padded[:, 2:], x, padded[:, :-2]` the other way round",
    catches="previous-first",
)
def test_a_token_is_between_its_neighbours():
    """a token reads three vectors: first the next token's, then its own, then the previous one's

    Of three tokens the middle one.
    """
    found = part("trigram")(numbers([[1.0, 10.0], [2.0, 20.0], [3.0, 30.0]]))
    assert_close(found[:, 1], [[3.0, 30.0, 2.0, 20.0, 1.0, 10.0]])


@lab(
    "trigram",
    code=with_neighbours,
    lesson="12",
    breaks="`F.pad(x, (0, 0, 1, 1))` with the other end of the text in place of zeros",
    catches="wrapped-around",
)
def test_beyond_the_ends_of_a_text_are_zeros():
    """before the first token and after the last there are zeros: not the other end, and not the next text"""
    found = part("trigram")(numbers([[1.0], [2.0]], [[3.0], [4.0]]))
    assert_close(found, [[[2.0, 1.0, 0.0], [0.0, 2.0, 1.0]], [[4.0, 3.0, 0.0], [0.0, 4.0, 3.0]]])


# ------------------------------------------------------------------------------------------ the other tests

BODY = CONFIGS["mobilebert"].intra_bottleneck_size
# What attention reads, by the two switches; without bottlenecks they mean nothing.
FORMS = {
    "shared bottleneck": {},  # the released one
    "bottleneck attention": {"use_bottleneck_attention": True, "key_query_shared_bottleneck": False},
    "plain input": {"key_query_shared_bottleneck": False},  # the teacher
    "no bottleneck": {"use_bottleneck": False},
}
ABLATION = {"normalization_type": "layer_norm", "hidden_act": "gelu"}


def body_of(model: nn.Module) -> nn.Module:
    return model.backbone if isinstance(model, WithHead) else model


def same(model: nn.Module, other: nn.Module) -> bool:
    ours, theirs = model.state_dict(), other.state_dict()
    return list(ours) == list(theirs) and all(torch.equal(ours[name], theirs[name]) for name in ours)


# -------------------------------------------------------------------------------------- published numbers


@pytest.mark.parametrize("skip_padding", [True, False], ids=["packed", "padded"])
@pytest.mark.parametrize("written_out", [True, False], ids=["written out", "fused"])
def test_golden_numbers(golden: Callable, written_out: bool, skip_padding: bool):
    """Relative to the largest activation: without a norm they grow very large, to 1e7 in the published weights."""
    folder, cases = golden("mobilebert")
    inputs = {key: cases.pop(key) for key in ("input_ids", "attention_mask", "token_type_ids")}
    model = from_pretrained(folder, "pretraining")
    model.backbone.skip_padding = skip_padding
    output = model(**inputs, return_attention=written_out, return_hidden=True)
    found = {
        "last_hidden_state": output.last_hidden_state,
        "pooled": output.pooled,
        "mlm_logits": output.logits,
        "seq_relationship_logits": output.pair_logits,
        **{f"hidden_states.{i}": state for i, state in enumerate(output.hidden_states)},
        **{f"attentions.{i}": weights for i, weights in enumerate(output.attentions or ())},
    }
    real = inputs["attention_mask"].bool()
    assert (output.attentions is None) != written_out
    for key, expected in cases.items():
        if key.startswith("attentions"):
            if written_out:
                assert_close(found[key].transpose(1, 2)[real], expected.transpose(1, 2)[real], 1e-5)
            continue
        assert found[key].shape == expected.shape, key
        rows = real if expected.shape[:2] == real.shape else slice(None)
        assert_close(found[key][rows], expected[rows], 1e-5 * expected.abs().max().item())


def test_the_names_and_shapes_we_write_are_the_published_ones(golden: Callable, tmp_path):
    folder, _ = golden("mobilebert")
    save_pretrained(tmp_path, from_pretrained(folder, "pretraining"))
    ours, theirs = load_file(tmp_path / "model.safetensors"), load_file(folder / "model.safetensors")
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)
    written, published = (json.loads((place / "config.json").read_text()) for place in (tmp_path, folder))
    del published["transformers_version"]
    # it follows from the others
    assert published.pop("true_hidden_size") == read_config(tmp_path).true_hidden_size == 16
    assert {key: written.get(key, "absent") for key in published} == published


def test_the_published_config_is_the_preset(tmp_path):
    published = {
        "architectures": ["MobileBertForPreTraining"],
        "attention_probs_dropout_prob": 0.1,
        "classifier_activation": False,
        "embedding_size": 128,
        "hidden_act": "relu",
        "hidden_dropout_prob": 0.0,
        "hidden_size": 512,
        "initializer_range": 0.02,
        "intermediate_size": 512,
        "intra_bottleneck_size": 128,
        "key_query_shared_bottleneck": True,
        "layer_norm_eps": 1e-12,
        "max_position_embeddings": 512,
        "model_type": "mobilebert",
        "normalization_type": "no_norm",
        "num_attention_heads": 4,
        "num_feedforward_networks": 4,
        "num_hidden_layers": 24,
        "pad_token_id": 0,
        "trigram_input": True,
        "true_hidden_size": 128,
        "type_vocab_size": 2,
        "use_bottleneck": True,
        "use_bottleneck_attention": False,
        "vocab_size": 30522,
    }
    (tmp_path / "config.json").write_text(json.dumps(published))
    assert read_config(tmp_path) == preset("mobilebert-uncased")


def on_meta(name: str, head: str | None = None) -> nn.Module:
    with torch.device("meta"):
        return build(name, head)


def linear(inputs: int, outputs: int) -> int:
    return inputs * outputs + outputs


def test_where_the_parameters_of_the_published_model_sit():
    norm = 2 * 128
    block = (
        2 * (linear(512, 128) + norm)  # two bottlenecks
        + 2 * linear(128, 128)  # queries and keys
        + linear(512, 128)  # values, from the wide input
        + linear(128, 128)
        + norm
        + 4 * (linear(128, 512) + linear(512, 128) + norm)
        + linear(128, 512)
        + 2 * 512
    )
    parts = parameters_by_part(on_meta("mobilebert-uncased"))
    assert parts == {
        "word embeddings": 30_522 * 128,
        "other embeddings": 512 * 512 + 2 * 512 + 2 * 512,
        "projection": linear(3 * 128, 512),
        "encoder": 24 * block,
    }
    assert sum(parts.values()) == 24_581_888


def test_the_masked_lm_head_has_output_weights_of_its_own():
    head = parameters_by_part(on_meta("mobilebert-uncased", "masked-lm"))["head"]
    assert head == 11_720_448 + linear(512, 512) + 2 * 512 + 30_522
    assert 11_720_448 == (512 - 128) * 30_522


def test_where_the_parameters_of_the_teacher_sit():
    """Queries, keys and values are made from the 512 features of a block's input; Table 1 agrees."""
    block = (
        linear(512, 1024)
        + 3 * linear(512, 1024)
        + linear(1024, 1024)
        + (linear(1024, 4096) + linear(4096, 1024))
        + linear(1024, 512)
        + 3 * 2 * 1024  # norms: of the bottleneck, after attention, after feed-forward
        + 2 * 512
    )
    parts = parameters_by_part(on_meta("ib-bert-large"))
    assert parts["encoder"] == 24 * block
    assert parts["pooler"] == linear(512, 512)
    # the paper's 293M, within a percent
    assert sum(parts.values()) - parts["pooler"] == pytest.approx(293e6, rel=0.01)


def test_teacher_and_student_fit_together_for_layer_wise_transfer():
    teacher, student = preset("ib-bert-large"), preset("mobilebert-uncased")
    for name in ("hidden_size", "num_hidden_layers", "num_attention_heads", "embedding_size", "vocab_size"):
        assert getattr(teacher, name) == getattr(student, name), name
    assert (teacher.true_hidden_size, student.true_hidden_size) == (1024, 128)
    assert (teacher.hidden_dropout_prob, student.hidden_dropout_prob) == (0.1, 0.0)


# --------------------------------------------------------------------------------- neighbours and padding


def test_neighbours_side_by_side():
    x = torch.tensor([[[1.0, 10.0], [2.0, 20.0], [3.0, 30.0]], [[4.0, 40.0], [5.0, 50.0], [6.0, 60.0]]])
    assert with_neighbours(x).tolist() == [
        [[2, 20, 1, 10, 0, 0], [3, 30, 2, 20, 1, 10], [0, 0, 3, 30, 2, 20]],
        [[5, 50, 4, 40, 0, 0], [6, 60, 5, 50, 4, 40], [0, 0, 6, 60, 5, 50]],
    ]
    assert with_neighbours(x[:, :1]).tolist() == [[[0, 0, 1, 10, 0, 0]], [[0, 0, 4, 40, 0, 0]]]


@pytest.mark.parametrize("skip_padding", [True, False], ids=["packed", "padded"])
def test_the_embedding_of_a_token_by_hand(skip_padding):
    model = tiny("mobilebert")
    model.skip_padding = skip_padding
    own = model.embeddings
    first = model(**BATCH, return_hidden=True).hidden_states[0]
    for text, place in REAL.nonzero().tolist():
        zero = torch.zeros(E, dtype=torch.float64)
        # whatever stands there, padding or not
        around = [own.word.weight[IDS[text, i]] if 0 <= i < S else zero for i in (place + 1, place, place - 1)]
        projected = own.projection.weight @ torch.cat(around) + own.projection.bias
        expected = projected + own.position.weight[place] + own.token_type.weight[TYPES[text, place]]
        assert_close(first[text, place], expected * own.norm.weight + own.norm.bias)


# Which padding touches a text, in the batch of tiny.py: text 1 ends before slot 4, text 2 begins after slot 1, and
# text 3 has holes at 1 and 4.
TOUCHING = torch.zeros(B, S, dtype=torch.bool)
TOUCHING[1, 4] = TOUCHING[2, 1] = TOUCHING[3, 1] = TOUCHING[3, 4] = True


@pytest.mark.parametrize("skip_padding", [True, False], ids=["packed", "padded"])
@pytest.mark.parametrize("head", [None, "masked-lm", "pretraining", "sequence-classification"])
def test_padding_that_does_not_touch_a_text_changes_nothing(head, skip_padding):
    model = tiny("mobilebert", head)
    body_of(model).skip_padding = skip_padding
    settings = {**BATCH, "return_attention": True, "return_hidden": True}
    far = ~REAL & ~TOUCHING
    outputs = []
    for filling in (3, 4):
        settings["input_ids"] = torch.where(far, filling, IDS)
        settings["token_type_ids"] = torch.where(REAL, TYPES, filling - 3)
        outputs.append(model(**settings))
    before, after = outputs
    for one, other in zip(before.hidden_states, after.hidden_states, strict=True):
        assert torch.equal(one[REAL], other[REAL])
    for one, other in zip(before.attentions, after.attentions, strict=True):
        assert torch.equal(one.transpose(1, 2)[REAL], other.transpose(1, 2)[REAL])
    if before.logits is not None:
        rows = REAL if before.logits.dim() == 3 else REAL[:, 0]
        assert torch.equal(before.logits[rows], after.logits[rows])
    table = body_of(model).embeddings.word.weight
    (gradient,) = torch.autograd.grad(after.last_hidden_state[REAL].square().sum(), table)
    assert gradient[IDS[0, 0]].any()
    assert not gradient[4].any()


@pytest.mark.parametrize("skip_padding", [True, False], ids=["packed", "padded"])
def test_a_tokens_neighbour_may_be_padding_and_then_its_id_counts(skip_padding):
    """The exception to "padding never leaks": it is in the published weights, so it is kept."""
    model = tiny("mobilebert")
    model.skip_padding = skip_padding
    changed = torch.where(TOUCHING, (IDS - 4) % (V - 5) + 5, IDS)
    before, after = (model(**{**BATCH, "input_ids": ids}, return_hidden=True).hidden_states for ids in (IDS, changed))
    beside = torch.zeros(B, S, dtype=torch.bool)
    beside[:, :-1] |= TOUCHING[:, 1:]
    beside[:, 1:] |= TOUCHING[:, :-1]
    moved = ((before[0] - after[0]).abs().amax(-1) > 1e-3) & REAL
    assert torch.equal(moved, beside & REAL), "in the embeddings, only the neighbours"
    last = ((before[-1] - after[-1]).abs().amax(-1) > 1e-9) & REAL
    assert last[1:4][REAL[1:4]].all(), "after attention, every token of those texts"
    assert not last[0].any()


@pytest.mark.parametrize("skip_padding", [True, False], ids=["packed", "padded"])
def test_a_text_alone_differs_from_a_padded_one_by_the_embedding_of_its_padding(skip_padding):
    model = tiny("mobilebert")
    model.skip_padding = skip_padding
    ids = torch.where(REAL, IDS, 0)
    alone = model(ids[1:2, :4], token_type_ids=TYPES[1:2, :4]).last_hidden_state[0]
    assert (model(ids, MASK, TYPES).last_hidden_state[1, :4] - alone).abs().max() > 1e-3
    with torch.no_grad():
        model.embeddings.word.weight[0] = 0
    assert_close(model(ids, MASK, TYPES).last_hidden_state[1, :4], alone)


def test_the_published_numbers_need_the_paddings_own_embedding(golden: Callable):
    folder, cases = golden("mobilebert")
    ids, mask, types = (cases[name] for name in ("input_ids", "attention_mask", "token_type_ids"))
    model = from_pretrained(folder)
    with torch.no_grad():
        model.embeddings.word.weight[model.config.pad_token_id] = 0
    first = model(ids, mask, types, return_hidden=True).hidden_states[0]
    error = ((first - cases["hidden_states.0"]).abs() * mask[..., None]).amax((0, 2))
    assert error.max() > 0.1


def test_without_the_trigram_a_token_reads_only_itself():
    model = tiny("mobilebert", trigram_input=False)
    assert model.embeddings.projection.weight.shape == (D, E)
    changed = IDS.clone()
    changed[:, 3] = (changed[:, 3] + 1) % V
    before, after = (model(ids, return_hidden=True).hidden_states[0] for ids in (IDS, changed))
    moved = (before - after).abs().amax(-1) > 0
    assert moved[:, 3].all()
    assert not moved[:, [0, 1, 2, 4, 5, 6]].any()
    # so padding never leaks, as in the BERT encoders
    other = torch.where(REAL, IDS, 4)
    for one, two in zip(*(model(ids, MASK).last_hidden_state[REAL] for ids in (IDS, other)), strict=True):
        assert torch.equal(one, two)


# ------------------------------------------------------------------------------------------------ norms


def test_no_norm_is_a_scale_and_a_shift():
    norm = NoNorm(3)
    x = torch.tensor([[1.0, 2.0, 3.0], [1e7, -1e7, 0.0]])
    assert torch.equal(norm(x), x), "a fresh one does nothing"
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([2.0, 0.5, -1.0]))
        norm.bias.copy_(torch.tensor([0.0, 1.0, 10.0]))
    assert norm(x).tolist() == [[2, 2, 7], [2e7, -5e6 + 1, 10]]


def true_norms(model: nn.Module) -> list[nn.LayerNorm]:
    return [part for part in model.modules() if isinstance(part, nn.LayerNorm)]


@pytest.mark.parametrize("form", FORMS)
def test_every_norm_is_of_the_type_and_eps_of_the_config(form):
    changes = {**FORMS[form], "layer_norm_eps": 0.25}
    plain, normed = tiny("mobilebert", **changes), tiny("mobilebert", normalization_type="layer_norm", **changes)
    # in a block: of its bottlenecks, after attention, after each feed-forward part, after widening
    per_block = {"shared bottleneck": 7, "bottleneck attention": 6, "plain input": 6, "no bottleneck": 4}[form]
    assert sum(isinstance(part, NoNorm) for part in plain.modules()) == 1 + L * per_block
    assert not true_norms(plain)
    assert len(true_norms(normed)) == 1 + L * per_block
    assert {norm.eps for norm in true_norms(normed)} == {0.25}
    assert not any(isinstance(part, NoNorm) for part in normed.modules())


def test_the_masked_lm_head_always_has_a_true_layer_norm():
    (norm,) = true_norms(tiny("mobilebert", "masked-lm", layer_norm_eps=0.25))
    assert norm.eps == 0.25
    assert norm.normalized_shape == (D,)


def test_the_ablation_has_the_same_parameters_under_the_same_names():
    plain, normed = tiny("mobilebert", "pretraining"), tiny("mobilebert", "pretraining", **ABLATION)
    assert {name: p.shape for name, p in plain.named_parameters()} == {
        name: p.shape for name, p in normed.named_parameters()
    }
    assert not torch.equal(plain(**BATCH).logits, normed(**BATCH).logits)


# ------------------------------------------------------------------------------------------------ block


def apply(layer: nn.Linear, x: Tensor) -> Tensor:
    return x @ layer.weight.T + layer.bias


def by_hand(block: MobileBertBlock, config: MobileBertConfig, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """The block's formula, one part after the other, on (B, S, D) without packing."""

    def norm(part: nn.Module, y: Tensor) -> Tensor:
        if config.normalization_type == "no_norm":
            return y * part.weight + part.bias
        return layer_norm(y, part.weight, part.bias, config.layer_norm_eps)

    def narrowed(part: nn.Module) -> Tensor:
        return norm(part.norm, apply(part.dense, x))

    def heads(y: Tensor) -> Tensor:
        return torch.stack(y.chunk(H, dim=-1), dim=1)

    def feed_forward(part: nn.Module, y: Tensor) -> Tensor:
        inner = apply(part.feed_forward.expand, y)
        inner = inner.clamp(min=0) if config.hidden_act == "relu" else gelu(inner)
        return norm(part.norm, y + apply(part.feed_forward.contract, inner))

    residual = narrowed(block.bottleneck) if config.use_bottleneck else x
    if not config.use_bottleneck:
        queries = values = x
    elif config.use_bottleneck_attention:
        queries = values = residual
    elif config.key_query_shared_bottleneck:
        queries, values = narrowed(block.attention_bottleneck), x
    else:
        queries = values = x
    own = block.attention
    q, k, v = heads(apply(own.query, queries)), heads(apply(own.key, queries)), heads(apply(own.value, values))
    mixed, weights = attention(q, k, v, mask[:, None, None, :].bool())
    y = norm(block.attention_norm, residual + apply(own.output, torch.cat(mixed.unbind(1), dim=-1)))
    for network in (*block.stacked, block.last):
        y = feed_forward(network, y)
    if config.use_bottleneck:
        y = norm(block.norm, x + apply(block.widen, y))
    return y, weights


@pytest.mark.parametrize("changes", [{}, ABLATION], ids=["NoNorm + ReLU", "LayerNorm + GELU"])
@pytest.mark.parametrize("form", FORMS)
def test_a_block_by_hand(form, changes):
    config = replace(CONFIGS["mobilebert"], **FORMS[form], **changes)
    block = randomise(MobileBertBlock(config)).double().eval()
    x = randn(B, S, D).detach() * 0.3
    expected, weights = by_hand(block, config, x, MASK)
    layout = Layout(MASK)
    found, found_weights = block(layout.pack(x), layout, return_weights=True)
    assert_close(found, expected[REAL], 1e-9 * expected.abs().max().item())
    assert_close(found_weights.transpose(1, 2)[REAL], weights.transpose(1, 2)[REAL])
    fused, none = block(x, Layout(MASK, skip_padding=False))
    assert none is None
    assert_close(fused[REAL], expected[REAL], 1e-9 * expected.abs().max().item())
    wanted = torch.zeros(B, S, dtype=torch.bool)
    wanted[0, 2] = wanted[3, 6] = True
    some, _ = block(layout.pack(x), layout, only=Layout.only(wanted))
    assert_close(some, expected[wanted], 1e-9 * expected.abs().max().item())


@pytest.mark.parametrize(
    ("form", "queries", "values"),
    [
        ("shared bottleneck", BODY, D),
        ("bottleneck attention", BODY, BODY),
        ("plain input", D, D),
        ("no bottleneck", D, D),
    ],
)
def test_the_widths_of_what_attention_reads(form, queries, values):
    block = tiny("mobilebert", **FORMS[form]).encoder.blocks[0]
    own = block.attention
    width = D if form == "no bottleneck" else BODY
    assert own.query.weight.shape == own.key.weight.shape == (width, queries)
    assert own.value.weight.shape == (width, values)
    assert own.output.weight.shape == (width, width)
    assert block.last.feed_forward.expand.weight.shape == (F, width)


@pytest.mark.parametrize("count", [1, 2, 4])
def test_as_many_feed_forward_parts_as_the_config_says(count):
    model = tiny("mobilebert", num_feedforward_networks=count)
    assert {len(block.stacked) for block in model.encoder.blocks} == {count - 1}
    one = linear(BODY, F) + linear(F, BODY) + 2 * BODY
    base = count_parameters(tiny("mobilebert", num_feedforward_networks=1))
    assert count_parameters(model) == base + L * (count - 1) * one


@pytest.mark.parametrize("form", FORMS)
def test_where_a_block_drops(form):
    block = tiny("mobilebert", **FORMS[form], hidden_dropout_prob=0.3).encoder.blocks[0]
    inner = 0.3 if form == "no bottleneck" else 0.0
    assert (block.attention_output_dropout.p, block.last.dropout.p) == (inner, inner)
    assert {step.dropout.p for step in block.stacked} == {0.0}
    assert (block.dropout.p if block.widen is not None else None) == (None if form == "no bottleneck" else 0.3)
    assert block.attention.dropout == 0.1


@pytest.mark.many
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("head", [None, "pretraining", "sequence-classification"])
@pytest.mark.parametrize("changes", [{}, ABLATION], ids=["NoNorm + ReLU", "LayerNorm + GELU"])
def test_every_form_is_saved_and_comes_back_bit_by_bit(tmp_path, form, head, changes):
    for number, more in enumerate(({"num_feedforward_networks": 1}, {"classifier_activation": False}, {})):
        model = tiny("mobilebert", head, **FORMS[form], **changes, **more).float()
        save_pretrained(tmp_path / str(number), model)
        again, fresh = load(tmp_path / str(number), head)
        assert fresh == ()
        assert same(again, model)
        assert replace(again.config, labels=model.config.labels) == model.config
        assert torch.equal(again(**BATCH).last_hidden_state, model(**BATCH).last_hidden_state)


def test_a_fresh_model_starts_with_norms_that_do_nothing():
    model = build(replace(CONFIGS["mobilebert"], initializer_range=0.1), "masked-lm", seed=0)
    for module in model.modules():
        if isinstance(module, NoNorm):
            assert (module.weight == 1).all()
            assert not module.bias.any()
        elif isinstance(module, (nn.Linear, nn.Embedding)):
            assert 0.05 < module.weight.std() < 0.15
            assert module.weight.abs().max() <= 0.2


# ------------------------------------------------------------------------------------- pooler and heads


def test_the_pooler_may_be_the_first_token_as_it_is():
    model = tiny("mobilebert", classifier_activation=False)
    output = model(**BATCH)
    assert torch.equal(output.pooled, output.last_hidden_state[:, 0])
    assert not list(model.pooler.parameters())
    with_layer = tiny("mobilebert")
    output = with_layer(**BATCH)
    assert_close(output.pooled, torch.tanh(apply(with_layer.pooler.dense, output.last_hidden_state[:, 0])))


def test_heads_keep_such_a_pooler_only_where_they_read_it(tmp_path):
    config = replace(CONFIGS["mobilebert"], classifier_activation=False)
    for head, kept in (("pretraining", True), ("sequence-classification", True), ("masked-lm", False)):
        assert isinstance(build(config, head).backbone.pooler, FirstToken) == kept
        assert (build(config, head).backbone.pooler is None) != kept
    # and a classifier on a model that lost it gets it again, without a fresh layer
    save_pretrained(tmp_path, build(config, "masked-lm"))
    model, fresh = load(tmp_path, "sequence-classification")
    assert fresh == ("classifier",)
    output = model(**BATCH)
    assert_close(output.logits, apply(model.classifier, output.last_hidden_state[:, 0]), 1e-5)
    assert isinstance(add_head(build(config, "masked-lm").backbone, "pretraining").backbone.pooler, FirstToken)


@pytest.mark.parametrize("size", [E, D], ids=["E", "D"])
def test_the_output_matrix_is_the_word_embeddings_beside_rows_of_its_own(size):
    head = randomise(SplitOutputHead(D, size, V, "relu", eps=0.1)).double()
    hidden, words = randn(4, D), randn(V, size)
    transformed = layer_norm(apply(head.dense, hidden).clamp(min=0), head.norm.weight, head.norm.bias, eps=0.1)
    matrix = torch.cat([words.T, head.rest.weight])
    assert matrix.shape == (D, V)
    assert_close(head(hidden, words), transformed @ matrix + head.bias)


def test_both_parts_of_the_output_matrix_learn():
    model = tiny("mobilebert", "masked-lm")
    labels = torch.where(REAL, IDS, -100)
    model(**BATCH, labels=labels).loss.backward()
    assert model.lm.rest.weight.grad.shape == (D - E, V)
    assert model.lm.rest.weight.grad.any(dim=0).all()
    unread = next(word for word in range(V) if word not in IDS)
    assert model.backbone.embeddings.word.weight.grad[unread].any()


# --------------------------------------------------------------------------------------------- gradients

SMALL = MobileBertConfig(
    **{**SIZES, "hidden_size": 6, "intermediate_size": 5, "vocab_size": 7},
    embedding_size=2,
    intra_bottleneck_size=3,
    num_feedforward_networks=2,
    attention_probs_dropout_prob=0.0,
)


def test_gradients_of_the_parts():
    assert gradcheck(with_neighbours, [randn(2, 3, 2)])
    assert gradcheck_module(randomise(NoNorm(3)).double(), randn(2, 3))
    head = randomise(SplitOutputHead(6, 2, 7, "tanh", 1e-12)).double()
    assert gradcheck_module(head, randn(2, 6), randn(7, 2))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("changes", [{"hidden_act": "gelu"}, ABLATION], ids=["NoNorm", "LayerNorm"])
def test_gradients_of_a_block(form, changes):
    block = randomise(MobileBertBlock(replace(SMALL, **FORMS[form], **changes))).double()
    with torch.no_grad():
        for parameter in block.parameters():
            parameter.mul_(0.5)
    mask = torch.tensor([[1, 1, 1], [1, 1, 0]])
    layout = Layout(mask)
    assert gradcheck_module(block, randn(5, 6), layout=layout)


# ------------------------------------------------------------------------------------------------ config


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"normalization_type": "manual_layer_norm"}, ("normalization_type is", "known: no_norm, layer_norm")),
        ({"trigram_input": 1}, ("trigram_input is 1", "true or false")),
        ({"use_bottleneck": None}, ("use_bottleneck is None", "true or false")),
        ({"classifier_activation": "false"}, ("classifier_activation is 'false'", "true or false")),
        ({"num_feedforward_networks": 0}, ("num_feedforward_networks is 0", "at least 1")),
        ({"intra_bottleneck_size": 130}, ("intra_bottleneck_size 130", "4 heads")),
        ({"use_bottleneck_attention": True}, ("use_bottleneck_attention and key_query_shared_bottleneck", "set one")),
        ({"embedding_size": 513}, ("embedding_size is 513", "must not exceed hidden_size 512")),
        ({"embedding_size": 512, "trigram_input": False}, ("both 512", "without trigram_input", "smaller")),
    ],
)
def test_what_a_config_cannot_say(changes, said):
    with expect_refusal(*said):
        MobileBertConfig(**changes)


def test_without_bottlenecks_their_settings_mean_nothing():
    config = MobileBertConfig(use_bottleneck=False, use_bottleneck_attention=True, intra_bottleneck_size=130)
    assert config.true_hidden_size == 512
    assert MobileBertConfig().true_hidden_size == 128


def test_the_presets_but_the_teacher_pool_as_the_released_model_does():
    assert {name for name, config in FAMILY.presets.items() if config.classifier_activation} == {"ib-bert-large"}
    assert math.isclose(preset("tiny-mobilebert").embedding_size / preset("tiny-mobilebert").hidden_size, 128 / 512)
