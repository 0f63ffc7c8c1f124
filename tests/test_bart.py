"""BART: the published numbers, the decoder and its three kinds of attention, the heads, the files."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from bart_tiny import (
    BATCH,
    CONFIG,
    DECODER_F,
    DECODER_H,
    DECODER_L,
    HEADS,
    READ,
    RIGHT,
    WRITTEN,
    T,
    tiny_bart,
)
from lab import check, first, lab, part
from safetensors.torch import load_file, save_file
from tiny import (
    CONFIGS,
    MASK,
    POSITIONS,
    REAL,
    B,
    C,
    D,
    F,
    H,
    L,
    S,
    V,
    assert_close,
    expect_refusal,
    gradcheck_module,
    randn,
    randomise,
)
from torch import Tensor, nn

from minibert.attention import Layout, causal_mask
from minibert.checkpoints import from_pretrained, load, read_config, save_pretrained
from minibert.factory import build, count_parameters, parameters_by_part, preset
from minibert.generation import shift_right
from minibert.heads import WithHead
from minibert.models import FAMILIES
from minibert.models.bart import COPIES, Bart, BartConfig, BartOutput, DecoderBlock
from minibert.models.family import NUMBER

# ------------------------------------------------------------------------------------------ the lab sheet
# Each property by itself, with numbers that can be worked out on paper. Read these first.


def decoder_weights(width: int) -> dict[str, Tensor]:
    """Of both attentions and their norms, all drawn."""
    found = {}
    for number, name in enumerate(("attention", "cross_attention")):
        for place, layer in enumerate(("query", "key", "value", "output")):
            found[f"{name}.{layer}.weight"] = randn(width, width, seed=10 * number + place).detach()
            found[f"{name}.{layer}.bias"] = randn(width, seed=10 * number + place + 4).detach()
        found[f"{name}_norm.weight"] = 1 + randn(width, seed=10 * number + 8).detach() / 4
        found[f"{name}_norm.bias"] = randn(width, seed=10 * number + 9).detach()
    return found


def decoded(x: Tensor, encoded: Tensor, attention_mask: Tensor) -> Tensor:
    return first(part("causal-cross-attention")(x, encoded, attention_mask, decoder_weights(4), 2))


WRITES, READS = randn(1, 3, 4, seed=1).detach(), randn(1, 3, 4, seed=2).detach()  # three tokens each
PADDED = torch.tensor([[1, 1, 0]])  # the last token of the text is padding


def changed(x: Tensor, token: int) -> Tensor:
    return x.index_fill(1, torch.tensor([token]), 5.0)


@lab(
    "causal-cross-attention",
    code=DecoderBlock.forward,
    lesson="14",
    breaks="`layout=layout, mask=mask, kept=own` with mask=None",
    catches="decoder-not-causal",
)
def test_a_written_token_sees_itself_and_those_before_it():
    """in the decoder a token depends on itself and on those before it, and on nothing that comes after it

    When the second of three tokens is changed, the first one's vector stays, and the others change.
    """
    before = decoded(WRITES, READS, PADDED)
    after = decoded(changed(WRITES, 1), READS, PADDED)
    assert_close(after[:, 0], before[:, 0].tolist())
    check(all(not torch.allclose(after[:, token], before[:, token]) for token in (1, 2)))


@lab(
    "causal-cross-attention",
    code=DecoderBlock.forward,
    lesson="14",
    breaks="`key_layout=text_layout` replaced by `key_layout=layout`",
    catches="cross-padding-seen",
)
def test_every_written_token_reads_the_whole_text():
    """every token of the decoder reads all real tokens of the text, and none of its padding

    When the text's padding is changed, nothing changes; when a real token is, all written tokens change.
    """
    before = decoded(WRITES, READS, PADDED)
    assert_close(decoded(WRITES, changed(READS, 2), PADDED), before.tolist())
    after = decoded(WRITES, changed(READS, 1), PADDED)
    check(all(not torch.allclose(after[:, token], before[:, token]) for token in range(3)))


@lab(
    "causal-cross-attention",
    code=DecoderBlock.forward,
    lesson="14",
    breaks="`self.cross_attention_norm(x + self.dropout(attended))` without `x +`",
    catches="second-residual-from-x",
)
def test_after_each_attention_its_input_is_added_and_normalised():
    """each attention's result is added to what it got, and the sum is normalised: norm(y + b) with y = norm(x + a)

    The weights are all 0, so that an attention gives its output's bias: a = (0, 0) and b = (0, 2). x = (1, 0) becomes
    (1, -1) in the first norm, whose bias (1, 0) makes it (2, -1). With b that is (2, 1), and (1, -1) in the second
    norm. Without y, or with x in its place, the second number would be the larger one.
    """
    weights = {name: torch.zeros_like(weight) for name, weight in decoder_weights(2).items()}
    weights["attention_norm.weight"] += 1
    weights["cross_attention_norm.weight"] += 1
    weights["attention_norm.bias"][0] = 1
    weights["cross_attention.output.bias"][1] = 2
    x, encoded = torch.tensor([[[1.0, 0.0]]]).double(), torch.zeros(1, 1, 2).double()
    found = first(part("causal-cross-attention")(x, encoded, torch.tensor([[1]]), weights, 1))
    assert_close(found, [[[1.0, -1.0]]], 1e-3)


# ------------------------------------------------------------------------------------------ the other tests

GOLDEN = Path(__file__).parent / "golden"
DECODER_FIELDS = ("hidden_states", "attentions", "cross_attentions")
ENCODER_FIELDS = ("encoder_hidden_states", "encoder_attentions")
TEXTS = torch.tensor([True, True, True, True, False])  # those that are not all padding


def body_of(model: nn.Module) -> Bart:
    return model.backbone if isinstance(model, WithHead) else model


def run(model: nn.Module, skip_padding: bool = True, **inputs) -> BartOutput:
    body_of(model).skip_padding = skip_padding
    return model(**inputs)


def outputs_of(output: BartOutput) -> dict[str, Tensor]:
    """Everything a model returns, by the names of the golden cases."""
    found = {"last_hidden_state": output.last_hidden_state, "logits": output.logits}
    found["encoder_last_hidden_state"] = output.encoder_last_hidden_state
    for name in (*DECODER_FIELDS, *ENCODER_FIELDS):
        found |= {f"{name}.{i}": tensor for i, tensor in enumerate(getattr(output, name) or ())}
    if output.logits is not None and output.logits.dim() == 3 and output.logits.shape[-1] == 2:
        found["start_logits"], found["end_logits"] = output.logits[..., 0], output.logits[..., 1]
    return {name: tensor for name, tensor in found.items() if tensor is not None}


def rows(name: str, tensor: Tensor, read: Tensor, written: Tensor) -> Tensor:
    """The rows that mean something: of queries that are real, in the text that was read or in the one written."""
    mask = read if name.startswith("encoder") else written
    if "attentions" in name:
        tensor = tensor.transpose(1, 2)  # (B, H, T, S) -> (B, T, H, S)
    return tensor[mask.bool()] if tensor.dim() > 2 or name in ("start_logits", "end_logits") else tensor


def both(test: Callable) -> Callable:
    return pytest.mark.parametrize("skip_padding", [True, False], ids=["packed", "padded"])(test)


# ------------------------------------------------------------------------------------- published numbers


@both
@pytest.mark.parametrize("written_out", [True, False], ids=["written out", "fused"])
def test_golden_numbers_of_the_whole_model(golden, written_out, skip_padding):
    """In float64. The outputs of this random model in float32 differ by 4e-4 from those in float64, in the reference
    library as here: its rounding errors grow from layer to layer."""
    folder, cases = golden("bart")
    expected = load_file(folder / "float64.safetensors")
    model = from_pretrained(folder, "seq2seq-lm").double()
    inputs = {name: cases[name] for name in ("input_ids", "attention_mask", "decoder_input_ids")}
    output = run(model, skip_padding, **inputs, return_attention=written_out, return_hidden=True)
    found, all_written = outputs_of(output), torch.ones_like(cases["decoder_input_ids"])
    compared = 0
    for name, tensor in expected.items():
        listed = name.split(".")[0] in (*DECODER_FIELDS, *ENCODER_FIELDS, "logits", "encoder_last_hidden_state")
        if listed and (written_out or "attentions" not in name):
            assert found[name].shape == tensor.shape, name
            masks = cases["attention_mask"], all_written
            assert_close(rows(name, found[name], *masks), rows(name, tensor, *masks), 1e-9)
            compared += 1
    assert compared == (1 + 1 + 3 + 4 + (2 + 3 + 3 if written_out else 0))


@both
def test_golden_numbers_in_single_precision(golden, skip_padding):
    folder, cases = golden("bart")
    inputs = {name: cases[name] for name in ("input_ids", "attention_mask", "decoder_input_ids")}
    output = run(from_pretrained(folder, "seq2seq-lm"), skip_padding, **inputs)
    real = cases["attention_mask"].bool()
    assert_close(output.encoder_last_hidden_state[real], cases["encoder_last_hidden_state"][real], 1e-5)
    exact = load_file(folder / "float64.safetensors")["logits"]
    theirs = (cases["logits"] - exact).abs().max()
    assert theirs > 1e-4, "the reference's own rounding error, because of which 1e-5 cannot be asked for"
    assert_close(output.logits, cases["logits"], 2 * float(theirs))


@both
def test_golden_numbers_with_labels_other_masks_and_nothing_for_the_decoder(golden, skip_padding):
    folder, cases = golden("bart")
    expected = load_file(folder / "float64.safetensors")
    model = from_pretrained(folder, "seq2seq-lm").double()
    texts = {name: cases[name] for name in ("input_ids", "attention_mask")}
    labels = expected["labels"]
    assert (labels == -100).any()
    output = run(model, skip_padding, **texts, labels=labels)
    assert_close(output.loss, expected["labels.loss"], 1e-9)
    assert_close(output.logits, expected["labels.logits"][labels != -100], 1e-9)
    real = cases["attention_mask"].bool()
    assert_close(run(model, skip_padding, **texts).logits[real], expected["own_text.logits"][real], 1e-9)
    mask = expected["decoder_attention_mask"]
    written = {"decoder_input_ids": cases["decoder_input_ids"], "decoder_attention_mask": mask}
    output = run(model, skip_padding, **texts, **written)
    assert_close(output.logits[mask.bool()], expected["decoder_attention_mask.logits"][mask.bool()], 1e-9)


@both
@pytest.mark.parametrize("head", ["sequence-classification", "question-answering"])
def test_golden_numbers_of_the_other_heads(golden, head, skip_padding):
    """Heads and feed-forward widths differ between encoder and decoder; the decoder reads the text itself."""
    name = {"sequence-classification": "bart-classifier", "question-answering": "bart-question-answering"}[head]
    folder, cases = golden(name)
    mask = cases["attention_mask"]
    inputs = {"input_ids": cases.pop("input_ids"), "attention_mask": cases.pop("attention_mask")}
    for model in (from_pretrained(folder, head).double(), from_pretrained(folder, head)):
        output = run(model, skip_padding, **inputs, return_attention=True, return_hidden=True)
        found = outputs_of(output)
        for key, expected in cases.items():
            assert found[key].shape == expected.shape, key
            assert_close(rows(key, found[key].double(), mask, mask), rows(key, expected, mask, mask), 1e-5)


@pytest.mark.parametrize(("name", "count"), [("bart-base", 139_420_416), ("bart-large", 406_291_456)])
def test_published_counts(name, count):
    with torch.device("meta"):
        model = build(name, "seq2seq-lm")
    assert count_parameters(model) == count == count_parameters(model.backbone)
    parts = parameters_by_part(model)
    assert sum(parts.values()) == count
    assert set(parts) == {"word embeddings", "other embeddings", "encoder", "decoder"}
    c = preset(name)
    assert parts["word embeddings"] == 50_265 * c.hidden_size
    assert parts["other embeddings"] == 2 * (1_026 + 2) * c.hidden_size


def test_published_settings_that_no_count_shows():
    base, large = preset("bart-base"), preset("bart-large")
    assert (base.encoder_attention_heads, large.encoder_attention_heads) == (12, 16)
    assert (base.decoder_attention_heads, large.decoder_attention_heads) == (12, 16)
    assert (base.forced_bos_token_id, large.forced_bos_token_id) == (0, None)
    for c in (base, large):
        assert (c.hidden_act, c.layer_norm_eps, c.initializer_range, c.max_length) == ("gelu", 1e-5, 0.02, 1024)
        assert (c.hidden_dropout_prob, c.attention_probs_dropout_prob, c.activation_dropout) == (0.1, 0.1, 0.1)
        assert c.head_dropout == 0.0
        assert (c.bos_token_id, c.pad_token_id, c.eos_token_id) == (0, 1, 2)
        assert (c.decoder_start_token_id, c.forced_eos_token_id) == (2, 2)
    with torch.device("meta"):
        assert count_parameters(build("tiny-bart")) < 5_000_000


# -------------------------------------------------------------------------------------- shapes and fields


def test_the_fields_of_the_output_and_their_shapes():
    model = tiny_bart("seq2seq-lm")
    output = model(**BATCH, return_attention=True, return_hidden=True)
    assert output.last_hidden_state.shape == (B, T, D)
    assert output.logits.shape == (B, T, V)
    assert output.encoder_last_hidden_state.shape == (B, S, D)
    assert [x.shape for x in output.hidden_states] == [(B, T, D)] * (DECODER_L + 1)
    assert [x.shape for x in output.attentions] == [(B, DECODER_H, T, T)] * DECODER_L
    assert [x.shape for x in output.cross_attentions] == [(B, DECODER_H, T, S)] * DECODER_L
    assert [x.shape for x in output.encoder_hidden_states] == [(B, S, D)] * (L + 1)
    assert [x.shape for x in output.encoder_attentions] == [(B, H, S, S)] * L
    assert torch.equal(output.hidden_states[-1], output.last_hidden_state)
    assert torch.equal(output.encoder_hidden_states[-1], output.encoder_last_hidden_state)
    for states in (output.hidden_states, output.encoder_hidden_states):
        assert all(not torch.equal(a, b) for a, b in pairwise(states))
    assert output.pooled is None
    bare = model(**BATCH)
    assert bare.hidden_states is bare.attentions is bare.cross_attentions is None
    assert bare.encoder_hidden_states is bare.encoder_attentions is None


def test_the_sizes_of_encoder_and_decoder_are_their_own():
    model = tiny_bart()
    assert (len(model.encoder.blocks), len(model.decoder.blocks)) == (L, DECODER_L)
    for block in model.encoder.blocks:
        assert (block.attention.num_heads, block.feed_forward.expand.out_features) == (H, F)
    for block in model.decoder.blocks:
        assert (block.attention.num_heads, block.cross_attention.num_heads) == (DECODER_H, DECODER_H)
        assert block.feed_forward.expand.out_features == DECODER_F


def test_the_norms_have_the_familys_eps():
    norms = [part for part in tiny_bart().modules() if isinstance(part, nn.LayerNorm)]
    assert len(norms) == 2 + 2 * L + 3 * DECODER_L  # of the embeddings and in the blocks; there is no final norm
    assert {norm.eps for norm in norms} == {1e-5}
    assert {n.eps for n in tiny_bart(layer_norm_eps=0.25).modules() if isinstance(n, nn.LayerNorm)} == {0.25}


@both
def test_written_out_equals_fused(skip_padding):
    model = tiny_bart()
    fused, written_out = (run(model, skip_padding, **BATCH, return_attention=way) for way in (False, True))
    assert_close(fused.last_hidden_state, written_out.last_hidden_state)


# ---------------------------------------------------------------------------------------------- padding


@both
@pytest.mark.parametrize(
    ("head", "own_text"), [*((head, True) for head in HEADS), (None, False), ("seq2seq-lm", False)], ids=str
)
def test_padded_ids_change_nothing_and_learn_nothing(head, own_text, skip_padding):
    """In the encoder and across, and in the decoder where it reads the same text."""
    model = tiny_bart(head)
    written = {} if own_text else {"decoder_input_ids": WRITTEN}
    seen = REAL if own_text else torch.ones(B, T, dtype=torch.bool)
    settings = {"return_attention": True, "return_hidden": True, "attention_mask": MASK[:4]}
    written = {name: tensor[:4] for name, tensor in written.items()}
    before, after = (
        outputs_of(run(model, skip_padding, input_ids=torch.where(REAL, READ, padding)[:4], **written, **settings))
        for padding in (3, 4)
    )
    for name, tensor in before.items():
        changed = rows(name, after[name], REAL[:4], seen[:4])
        assert torch.equal(rows(name, tensor, REAL[:4], seen[:4]), changed), name
    model.zero_grad()
    before["last_hidden_state"][seen[:4]].square().sum().backward()
    gradient = body_of(model).word_embeddings.weight.grad
    assert gradient[READ[0, 0]].any()
    assert not gradient[3].any()


@both
def test_a_text_comes_out_the_same_alone_and_among_others(skip_padding):
    model = tiny_bart()
    among = run(model, skip_padding, **BATCH)
    alone = run(model, skip_padding, input_ids=READ[1:2, :4], decoder_input_ids=WRITTEN[1:2])
    assert_close(among.last_hidden_state[1], alone.last_hidden_state[0])
    assert_close(among.encoder_last_hidden_state[1, :4], alone.encoder_last_hidden_state[0])
    own = run(model, skip_padding, input_ids=READ, attention_mask=MASK).last_hidden_state[1, :4]
    assert_close(own, run(model, skip_padding, input_ids=READ[1:2, :4]).last_hidden_state[0])
    for text in (2, 3):
        one = {name: tensor[text : text + 1] for name, tensor in BATCH.items()}
        assert_close(among.last_hidden_state[text], run(model, skip_padding, **one).last_hidden_state[0])


@both
def test_the_decoders_padding_hides_what_it_covers(skip_padding):
    """At the right it changes nothing before it; elsewhere its tokens are not seen."""
    model = tiny_bart()
    mask = torch.ones_like(WRITTEN)
    mask[1, 4:], mask[2, 1:3], mask[3, 0] = 0, 0, 0
    marked = torch.where(mask.bool(), WRITTEN, 3)
    other = torch.where(mask.bool(), WRITTEN, 4)
    texts = {"input_ids": READ, "attention_mask": MASK, "decoder_attention_mask": mask}
    found = run(model, skip_padding, **texts, decoder_input_ids=marked).last_hidden_state[mask.bool()]
    same = run(model, skip_padding, **texts, decoder_input_ids=other).last_hidden_state[mask.bool()]
    assert torch.equal(found, same)
    plain = run(model, skip_padding, **BATCH).last_hidden_state
    masked = run(model, skip_padding, **BATCH, decoder_attention_mask=mask).last_hidden_state
    assert_close(masked[1, :4], plain[1, :4])
    assert (masked[2, 3:] - plain[2, 3:]).abs().max() > 1e-3


@both
def test_cross_attention_is_masked_by_the_text_that_was_read(skip_padding):
    """Whatever the decoder's own padding is."""
    model = tiny_bart()
    mask = torch.ones_like(WRITTEN)
    mask[0, 3:], mask[1, 5:] = 0, 0
    output = run(model, skip_padding, **BATCH, decoder_attention_mask=mask, return_attention=True)
    for weights in output.cross_attentions:
        real = weights.transpose(1, 2)[TEXTS[:, None] & mask.bool()]
        assert_close(real.sum(-1), torch.ones_like(real[..., 0]))
        assert not weights.masked_select(~REAL[:, None, None, :]).any()
        seen = weights[0, :, :3]  # a text without padding is seen whole
        assert (seen > 0).all()


@both
def test_the_two_masks_are_told_apart_where_both_texts_are_equally_long(skip_padding):
    model = tiny_bart()
    mask = torch.ones_like(READ)
    mask[:, 3:] = 0
    written = {"decoder_input_ids": READ.flip(1), "decoder_attention_mask": mask}
    output = run(model, skip_padding, input_ids=READ, attention_mask=MASK, **written, return_attention=True)
    for weights in output.cross_attentions:
        seen = (weights[:, :, :3] > 0).all(2).all(1)
        assert torch.equal(seen, REAL)
    for weights in output.attentions:
        assert not weights[..., 3:].any()
        assert (weights[:, :, 2, :3] > 0).all()
    plain = model(READ, MASK, decoder_input_ids=READ.flip(1)[:, :3]).last_hidden_state
    assert_close(output.last_hidden_state[:, :3], plain)


@both
@pytest.mark.parametrize("return_attention", [True, False], ids=["written out", "fused"])
def test_a_text_of_nothing_but_padding_gives_no_nan(skip_padding, return_attention):
    model = tiny_bart()
    for inputs in (BATCH, {"input_ids": READ, "attention_mask": MASK}):
        output = run(model, skip_padding, **inputs, return_attention=return_attention, return_hidden=True)
        assert all(tensor.isfinite().all() for tensor in outputs_of(output).values())
        model.zero_grad()
        output.last_hidden_state[:4].square().sum().backward()
        assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)


@pytest.mark.parametrize("head", HEADS)
def test_packed_equals_padded(head):
    model = tiny_bart(head)
    inputs = {"input_ids": READ[:4], "attention_mask": MASK[:4], "return_attention": True, "return_hidden": True}
    packed, padded = (outputs_of(run(model, skip, **inputs)) for skip in (True, False))
    for name, expected in padded.items():
        masks = REAL[:4], REAL[:4]
        assert_close(rows(name, packed[name], *masks), rows(name, expected, *masks))


@both
def test_permuting_the_batch_permutes_the_output(skip_padding):
    model, order = tiny_bart(), torch.tensor([3, 0, 4, 2, 1])
    settings = {"return_attention": True, "return_hidden": True}
    before = outputs_of(run(model, skip_padding, **BATCH, **settings))
    after = outputs_of(run(model, skip_padding, **{k: v[order] for k, v in BATCH.items()}, **settings))
    all_written = torch.ones_like(WRITTEN)
    for name, expected in before.items():
        found = rows(name, after[name], REAL[order], all_written)
        assert_close(found, rows(name, expected[order], REAL[order], all_written))


# ---------------------------------------------------------------------------------------------- decoder


@both
@pytest.mark.parametrize("place", range(T))
def test_later_tokens_never_change_earlier_ones(place, skip_padding):
    model = tiny_bart()
    changed = WRITTEN.clone()
    changed[:, place] = (changed[:, place] + 1) % V
    mask = torch.ones_like(WRITTEN)
    mask[:, 2] = 0  # packing must not change this
    for more in ({}, {"decoder_attention_mask": mask}):
        before = run(model, skip_padding, **BATCH, **more, return_hidden=True)
        after = run(model, skip_padding, **{**BATCH, "decoder_input_ids": changed}, **more, return_hidden=True)
        for a, b in zip(before.hidden_states, after.hidden_states, strict=True):
            assert torch.equal(a[:, :place], b[:, :place])
        if not more:
            moved = (before.last_hidden_state - after.last_hidden_state).abs().amax(-1)
            assert (moved[:, place:] > 1e-6).all(), "every later token has seen it"


def test_the_decoders_attention_looks_back_only():
    for weights in tiny_bart()(**BATCH, return_attention=True).attentions:
        assert not weights.triu(1).any()
        assert (weights.tril() == weights).all()
        assert_close(weights.sum(-1), torch.ones_like(weights[..., 0]))
        assert (weights[..., -1, :] > 0).all()


def test_the_encoder_looks_both_ways_and_every_place_of_the_decoder_sees_it():
    model = tiny_bart()
    before = model(READ, decoder_input_ids=WRITTEN)
    for place in (0, S - 1):
        changed = READ.clone()
        changed[:, place] = (changed[:, place] + 1) % V
        after = model(changed, decoder_input_ids=WRITTEN)
        for name in ("encoder_last_hidden_state", "last_hidden_state"):
            moved = (getattr(after, name) - getattr(before, name)).abs().amax(-1)
            assert (moved > 1e-6).all(), name


def test_a_decoder_block_by_hand():
    """Attention, cross-attention and feed-forward, each added to its input and normalised after that."""
    block = randomise(DecoderBlock(CONFIG)).double().eval()
    x, read = randn(2, T, D).detach(), randn(2, S, D, seed=1).detach()
    text = block.cross_attention.keys_and_values(read, read, Layout())
    found, _, _, _ = block(x, Layout(), causal_mask(T), text, Layout())
    own, _ = block.attention(x, mask=causal_mask(T))
    y = block.attention_norm(x + own)
    across, _ = block.cross_attention(y, key=read)
    y = block.cross_attention_norm(y + across)
    assert_close(found, block.norm(y + block.feed_forward(y)))


@pytest.mark.parametrize("number", range(DECODER_L))
def test_each_block_reads_the_text_with_keys_and_values_of_its_own(number):
    model = tiny_bart()
    before = model(**BATCH, return_hidden=True).hidden_states
    with torch.no_grad():
        model.decoder.blocks[number].cross_attention.value.weight.mul_(2)
    after = model(**BATCH, return_hidden=True).hidden_states
    same = [torch.equal(a[:4], b[:4]) for a, b in zip(before, after, strict=True)]
    assert same == [step <= number for step in range(DECODER_L + 1)]


def test_no_norm_follows_the_last_blocks():
    model, seen = tiny_bart(), []
    for side in (model.encoder, model.decoder):
        side.blocks[-1].norm.register_forward_hook(lambda _, __, output: seen.append(output))
    output = model(READ, decoder_input_ids=WRITTEN)
    assert torch.equal(output.encoder_last_hidden_state, seen[0])
    assert torch.equal(output.last_hidden_state, seen[1])


def test_gradients_of_a_decoder_block():
    block = randomise(DecoderBlock(CONFIG)).double()
    for dropout in (module for module in block.modules() if isinstance(module, nn.Dropout)):
        dropout.p = 0.0
    mask = torch.tensor([[1, 1, 1, 0, 0, 0, 0], [0, 1, 1, 1, 1, 1, 1]])

    class Both(nn.Module):
        """The text comes in as the encoder's states, so that its gradient is checked too."""

        def __init__(self):
            super().__init__()
            self.block = block

        def forward(self, x: Tensor, read: Tensor) -> Tensor:
            layout = Layout(mask)
            packed = layout.pack(read)
            text = self.block.cross_attention.keys_and_values(packed, packed, layout)
            return self.block(x, Layout(), causal_mask(T), text, layout)[0]

    assert gradcheck_module(Both(), randn(2, T, D), randn(2, S, D, seed=1))


def test_every_parameter_learns():
    """But for the keys' biases, to which a softmax is blind."""
    model = tiny_bart("seq2seq-lm")
    model(**BATCH, labels=WRITTEN).loss.backward()
    for name, parameter in model.named_parameters():
        assert name.endswith("key.bias") or parameter.grad.abs().max() > 1e-9, name


# ------------------------------------------------------------------------------------------- embeddings


def test_positions_start_at_the_third_row_whatever_is_padding():
    model = tiny_bart()
    assert model.embeddings.encoder.position.weight.shape == (POSITIONS + 2, D)
    assert model.embeddings.decoder.position.weight.shape == (POSITIONS + 2, D)
    model(**BATCH).last_hidden_state.square().sum().backward()
    for side, length in ((model.embeddings.encoder, S), (model.embeddings.decoder, T)):
        used = side.position.weight.grad.abs().amax(1) > 0
        assert used.tolist() == [False, False] + [True] * length + [False] * (POSITIONS - length)
    e = model.embeddings
    found = model(**BATCH, return_hidden=True)
    for side, ids, states in (
        (e.encoder, READ, found.encoder_hidden_states),
        (e.decoder, WRITTEN, found.hidden_states),
    ):
        expected = side.norm(e.word(ids) + side.position.weight[2 : 2 + ids.shape[1]])
        mask = REAL if side is e.encoder else torch.ones_like(ids).bool()
        assert_close(states[0][mask], expected[mask])


def test_one_table_of_words_serves_both_sides_and_the_scores():
    model = tiny_bart("seq2seq-lm")
    words = model.backbone.word_embeddings.weight
    assert sum(p.shape == (V, D) for p in model.parameters()) == 1
    assert not list(model.lm.parameters())
    output = model(**BATCH)
    assert_close(output.logits, output.last_hidden_state @ words.T + model.lm.bias)
    for states, ids in ((output.encoder_last_hidden_state, READ[REAL]), (output.last_hidden_state, WRITTEN)):
        (gradient,) = torch.autograd.grad(states.square().sum(), words, retain_graph=True)
        assert gradient[ids.flatten()].any(1).all()


def test_scaled_embeddings_are_honoured():
    plain, scaled = tiny_bart(), tiny_bart(scale_embedding=True)
    e = scaled.embeddings
    expected = e.encoder.norm(e.word(READ) * D**0.5 + e.encoder.position.weight[2 : 2 + S])
    assert_close(scaled(READ, return_hidden=True).encoder_hidden_states[0], expected)
    expected = e.decoder.norm(e.word(WRITTEN) * D**0.5 + e.decoder.position.weight[2 : 2 + T])
    output = scaled(READ, decoder_input_ids=WRITTEN, return_hidden=True)
    assert_close(output.hidden_states[0], expected)
    assert not torch.equal(plain(READ).last_hidden_state, scaled(READ).last_hidden_state)


def test_token_types_are_ignored():
    model = tiny_bart()
    types = torch.ones_like(READ)
    assert torch.equal(model(READ, None, types).last_hidden_state, model(READ).last_hidden_state)


# ------------------------------------------------------------------------- what the decoder reads by default


def test_by_default_the_decoder_reads_the_text_one_step_late():
    model = tiny_bart()
    assert shift_right(READ, 2)[0].tolist() == [2, *READ[0, :-1].tolist()]
    shifted = torch.cat([torch.full((B, 1), 2), READ[:, :-1]], dim=1)
    assert torch.equal(model(READ).last_hidden_state, model(READ, decoder_input_ids=shifted).last_hidden_state)
    texts = READ[:2], MASK[:2]
    found = model(*texts).last_hidden_state[MASK[:2].bool()]
    expected = model(*texts, decoder_input_ids=shifted[:2]).last_hidden_state[MASK[:2].bool()]
    assert_close(found, expected)
    other = tiny_bart(decoder_start_token_id=7)
    shifted[:, 0] = 7
    assert torch.equal(other(READ).last_hidden_state, other(READ, decoder_input_ids=shifted).last_hidden_state)


def test_padding_inside_a_text_is_stepped_over():
    late = tiny_bart().one_step_late(READ, MASK)
    a, b = READ[2].tolist(), READ[3].tolist()
    assert late[0].tolist() == [2, *READ[0, :-1].tolist()]
    assert late[2][REAL[2]].tolist() == [2, *a[2:6]]
    assert late[3][REAL[3]].tolist() == [2, b[0], b[2], b[3], b[5]]


def test_labels_are_what_the_decoder_reads_one_step_late():
    model = tiny_bart("seq2seq-lm")
    labels = WRITTEN.clone()
    labels[0, 4:], labels[1, 2] = -100, -100
    read = torch.cat([torch.full((B, 1), 2), labels[:, :-1]], dim=1)
    assert (read == -100).any()
    read[read == -100] = 1  # the padding's id
    texts = {"input_ids": READ, "attention_mask": MASK}
    output = model(**texts, labels=labels)
    expected = model(**texts, decoder_input_ids=read)
    wanted = labels != -100
    assert output.logits.shape == (int(wanted.sum()), V)
    assert_close(output.logits, expected.logits[wanted])
    probabilities = expected.logits.log_softmax(-1)[wanted]
    assert_close(output.loss, -probabilities.gather(1, labels[wanted][:, None]).mean())
    assert torch.equal(labels == -100, ~wanted), "labels are left as they were"
    given = model(**texts, decoder_input_ids=WRITTEN, labels=labels)
    assert_close(given.logits, model(**texts, decoder_input_ids=WRITTEN).logits[wanted])
    other = tiny_bart("seq2seq-lm", pad_token_id=4, decoder_start_token_id=6)
    read[:, 0], read[read == 1] = 6, 4
    assert_close(other(**texts, labels=labels).logits, other(**texts, decoder_input_ids=read).logits[wanted])
    assert model(**texts, labels=torch.full_like(labels, -100)).loss == 0


# ------------------------------------------------------------------------------------------------ heads


def test_a_text_is_judged_at_its_last_eos():
    model = tiny_bart("sequence-classification")
    output = model.backbone(READ, MASK)
    where = model.backbone.summary(output, READ, MASK)
    expected = [6, 3, 6, 6]
    assert_close(where[:4], output.last_hidden_state[torch.arange(4), torch.tensor(expected)])
    ids = READ.clone()
    ids[1, 5] = 2  # an eos in the padding is none
    assert_close(model.backbone.summary(output, ids, MASK)[:4], where[:4])
    h = model.dense(where)
    assert_close(model(READ, MASK).logits, model.classifier(torch.tanh(h)))
    assert model(READ, MASK).logits.shape == (B, C)
    ids[1, 3] = 3
    with expect_refusal("text 1 of the batch has no eos (id 2)"):
        model(ids, MASK)
    with expect_refusal("leave out decoder_input_ids"):
        model(READ, decoder_input_ids=WRITTEN)


def test_the_start_and_end_of_an_answer_are_in_the_text():
    model = tiny_bart("question-answering")
    logits = model(**RIGHT).logits
    assert logits.shape == (2, S, 2)
    assert (logits[1, 4:] == torch.finfo(logits.dtype).min).all()
    hidden = model.backbone(**RIGHT).last_hidden_state
    assert_close(logits[1, :4], model.span(hidden[1, :4]))


@pytest.mark.parametrize("head", ["masked-lm", "pretraining", "token-classification"])
def test_heads_that_it_has_not_are_refused(head):
    with expect_refusal(f"bart cannot have the head '{head}'", "seq2seq-lm"):
        build(CONFIG, head)


@pytest.mark.parametrize("family", CONFIGS)
def test_models_without_a_decoder_cannot_write(family):
    with expect_refusal(f"{family} cannot have the head 'seq2seq-lm'", "masked-lm"):
        build(CONFIGS[family], "seq2seq-lm")


# ---------------------------------------------------------------------------------------------- dropout

NO_DROPOUT = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0, "activation_dropout": 0.0}


@pytest.mark.parametrize("name", [None, *NO_DROPOUT])
def test_dropout_acts_only_while_training_in_encoder_and_decoder(name):
    model = tiny_bart(**{**NO_DROPOUT, **({name: 0.3} if name else {})})
    plain = tiny_bart()(**BATCH)
    assert torch.equal(model(**BATCH).last_hidden_state, plain.last_hidden_state)
    torch.manual_seed(0)
    trained = model.train()(**BATCH)
    for side in ("encoder_last_hidden_state", "last_hidden_state"):
        assert torch.equal(getattr(trained, side), getattr(plain, side)) == (name is None)
    memory = model.eval().decoder.remember(plain.encoder_last_hidden_state, Layout(MASK))
    x = model.embeddings(WRITTEN, Layout(), model.embeddings.decoder)
    decoded = model.decoder.train()(x, Layout(), causal_mask(T), memory).last_hidden_state
    assert torch.equal(decoded, plain.last_hidden_state) == (name is None), "the decoder by itself"


def test_dropout_is_in_its_places():
    c = replace(CONFIG, hidden_dropout_prob=0.11, attention_probs_dropout_prob=0.12, activation_dropout=0.13)
    c = replace(c, classifier_dropout=0.14)
    model = build(c, "sequence-classification")
    assert (model.dense_dropout.p, model.dropout.p) == (0.14, 0.14)
    for side in (model.backbone.embeddings.encoder, model.backbone.embeddings.decoder):
        assert side.dropout.p == 0.11
    for block in (*model.backbone.encoder.blocks, *model.backbone.decoder.blocks):
        assert (block.dropout.p, block.attention.dropout, block.feed_forward.dropout.p) == (0.11, 0.12, 0.13)
    assert {block.attention_output_dropout.p for block in model.backbone.encoder.blocks} == {0.11}
    assert {block.cross_attention.dropout for block in model.backbone.decoder.blocks} == {0.12}


# ---------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("inputs", "parts"),
    [
        ({"decoder_input_ids": WRITTEN.tolist()}, ("decoder_input_ids is a list",)),
        ({"decoder_input_ids": WRITTEN[0]}, ("decoder_input_ids has shape (6,)", "(5, T)")),
        ({"decoder_input_ids": WRITTEN[:3]}, ("decoder_input_ids has shape (3, 6)", "(5, T)")),
        ({"decoder_input_ids": WRITTEN[:, :0]}, ("decoder_input_ids has shape (5, 0)",)),
        ({"decoder_input_ids": WRITTEN.repeat(1, 2)}, ("(5, 12)", "from 1 to the 9 positions")),
        ({"decoder_input_ids": WRITTEN + V}, ("decoder_input_ids holds", "0 to 30")),
        ({"decoder_input_ids": WRITTEN - 40}, ("decoder_input_ids holds",)),
        ({"decoder_input_ids": WRITTEN.double()}, ("decoder_input_ids must hold integers",)),
        (
            {"decoder_input_ids": WRITTEN, "decoder_attention_mask": MASK},
            ("decoder_attention_mask has shape (5, 7)", "(5, 6)"),
        ),
        ({"decoder_attention_mask": WRITTEN}, ("decoder_attention_mask has shape (5, 6)", "(5, 7)")),
        (
            {"decoder_input_ids": WRITTEN, "decoder_attention_mask": WRITTEN},
            ("decoder_attention_mask must hold only 1", "and 0"),
        ),
        ({"decoder_attention_mask": [1]}, ("decoder_attention_mask is a list",)),
    ],
)
def test_decoder_inputs_that_cannot_be_are_refused(inputs, parts):
    for model in (tiny_bart(), tiny_bart("seq2seq-lm")):
        with expect_refusal(*parts):
            model(READ, **inputs)


@pytest.mark.parametrize(
    ("labels", "parts"),
    [
        (WRITTEN.tolist(), ("labels must be a tensor (B, T)",)),
        (WRITTEN[0], ("labels must be a tensor (B, T)",)),
        (WRITTEN[:3], ("decoder_input_ids has shape (3, 6)",)),
        (torch.where(WRITTEN == 2, V, WRITTEN), ("holds 31",)),
    ],
)
def test_labels_that_cannot_be_are_refused(labels, parts):
    with expect_refusal(*parts):
        tiny_bart("seq2seq-lm")(READ, labels=labels)


def test_labels_and_decoder_inputs_must_fit_together():
    with expect_refusal("labels has shape (5, 5)", "(5, 6)"):
        tiny_bart("seq2seq-lm")(READ, decoder_input_ids=WRITTEN, labels=WRITTEN[:, 1:])


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"encoder_attention_heads": 5}, ("hidden_size 12", "5 heads")),
        ({"decoder_attention_heads": 5}, ("hidden_size 12", "5 heads")),
        ({"decoder_layers": 0}, ("decoder_layers is 0", "at least 1")),
        ({"decoder_ffn_dim": 2.0}, ("decoder_ffn_dim is 2.0", "an integer")),
        ({"activation_dropout": 2}, ("activation_dropout is 2", "from 0 to 1")),
        ({"scale_embedding": 1}, ("scale_embedding is 1", "true or false")),
        ({"eos_token_id": 31}, ("eos_token_id is 31", "ends at 30")),
        ({"eos_token_id": [2]}, ("eos_token_id is [2]", "an integer")),
        ({"forced_bos_token_id": 40}, ("forced_bos_token_id is 40", "ends at 30")),
        ({"pad_token_id": 31}, ("pad_token_id is 31",)),
        ({"decoder_start_token_id": None}, ("decoder_start_token_id is None", "an integer")),
    ],
)
def test_settings_that_cannot_be_are_refused(changes, parts):
    with expect_refusal(*parts):
        replace(CONFIG, **changes)
    assert replace(CONFIG, forced_eos_token_id=None).forced_eos_token_id is None


# ------------------------------------------------------------------------------------------------- files


def quiet(source: Path, head: str | None = None) -> nn.Module:
    """Load, and fail on any warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return from_pretrained(source, head)


def same(model: nn.Module, other: nn.Module) -> bool:
    ours, theirs = model.state_dict(), other.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.fixture
def saved(tmp_path) -> Callable[..., Path]:
    """A function: a tiny BART with that head in a folder; `change` edits its tensors, `settings` its config.json."""

    def save(head: str | None = None, change: Callable[[dict], object] = lambda _: None, **settings) -> Path:
        save_pretrained(tmp_path, tiny_bart(head).float())
        tensors = load_file(tmp_path / "model.safetensors")
        change(tensors)
        save_file(tensors, tmp_path / "model.safetensors")
        path = tmp_path / "config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **settings}))
        return tmp_path

    return save


def test_the_key_table_is_a_bijection():
    family, used = FAMILIES["bart"], set()
    for head in HEADS:
        names = [
            n.removeprefix("backbone.") for n in tiny_bart(head, encoder_layers=12, decoder_layers=11).state_dict()
        ]
        theirs = [family.theirs(name, head) for name in names]
        assert len(set(theirs)) == len(theirs)
        assert [family.ours(name, head) for name in theirs] == names
        whole = [re.sub(NUMBER, "{}", name) for name in names]
        used |= {name if name in family.keys else name.rpartition(".")[0] for name in whole}
    assert used == set(family.keys)
    assert len(set(family.keys.values())) == len(family.keys)
    assert family.theirs("lm.bias", "seq2seq-lm") == "final_logits_bias"
    assert set(COPIES.values()) == {family.theirs("embeddings.word.weight")}
    for unknown in ("final_bias", "model.encoder.layers.0.encoder_attn.q_proj.weight", "lm_head.bias"):
        assert family.ours(unknown) is None


@pytest.mark.parametrize(
    ("name", "head"),
    [
        ("bart", "seq2seq-lm"),
        ("bart-classifier", "sequence-classification"),
        ("bart-question-answering", "question-answering"),
    ],
)
def test_the_names_shapes_and_settings_we_write_are_the_published_ones(tmp_path, name, head):
    model = quiet(GOLDEN / name, head)
    save_pretrained(tmp_path, model)
    ours, theirs = (load_file(folder / "model.safetensors") for folder in (tmp_path, GOLDEN / name))
    assert {key: tensor.shape for key, tensor in ours.items()} == {key: tensor.shape for key, tensor in theirs.items()}
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)
    written, published = (json.loads((place / "config.json").read_text()) for place in (tmp_path, GOLDEN / name))
    for key in ("transformers_version", "use_cache"):  # these say nothing about our model
        published.pop(key)
    if head == "seq2seq-lm":
        published.pop("id2label"), published.pop("label2id")
    assert {key: written.get(key, "absent") for key in published} == published


@pytest.mark.parametrize("head", HEADS)
def test_what_is_saved_comes_back_bit_by_bit(tmp_path, head):
    changes = {"hidden_act": "relu", "hidden_dropout_prob": 0.3, "attention_probs_dropout_prob": 0.2}
    changes |= {"classifier_dropout": 0.25, "activation_dropout": 0.15, "initializer_range": 0.01, "pad_token_id": 3}
    changes |= {"bos_token_id": 4, "eos_token_id": 5, "decoder_start_token_id": 6, "forced_bos_token_id": 7}
    changes |= {"forced_eos_token_id": None, "scale_embedding": True}
    model = tiny_bart(head, **changes).float()
    save_pretrained(tmp_path, model)
    again = quiet(tmp_path, head)
    labels = again.config.labels if head == "sequence-classification" else model.config.labels
    assert same(again, model)
    assert replace(again.config, labels=labels) == model.config
    ids = torch.where(READ == 2, 5, READ)
    texts = {"input_ids": ids[:4], "attention_mask": MASK[:4]}
    assert torch.equal(again(**texts).last_hidden_state, model(**texts).last_hidden_state)
    with expect_refusal("layer_norm_eps is 0.125", "bart", "cannot be saved"):
        save_pretrained(tmp_path, tiny_bart(head, layer_norm_eps=0.125))


def test_settings_are_read_under_the_reference_librarys_names(tmp_path):
    published = {"model_type": "bart", "d_model": 24, "encoder_layers": 5, "decoder_layers": 4, "vocab_size": 96}
    published |= {"encoder_attention_heads": 8, "decoder_attention_heads": 6, "encoder_ffn_dim": 40}
    published |= {"decoder_ffn_dim": 44, "dropout": 0.3, "attention_dropout": 0.2, "activation_dropout": 0.15}
    published |= {"activation_function": "relu", "init_std": 0.03, "num_beams": 4, "num_hidden_layers": 5}
    published |= {
        "normalize_before": False,
        "add_final_layer_norm": False,
        "classif_dropout": 0.1,
        "id2label": {"0": "a"},
    }
    published |= {"encoder_layerdrop": 0, "forced_bos_token_id": 0, "early_stopping": True, "task_specific_params": {}}
    (tmp_path / "config.json").write_text(json.dumps(published))
    c = read_config(tmp_path)
    assert (c.hidden_size, c.encoder_layers, c.decoder_layers, c.vocab_size) == (24, 5, 4, 96)
    assert (c.encoder_attention_heads, c.decoder_attention_heads) == (8, 6)
    assert (c.encoder_ffn_dim, c.decoder_ffn_dim) == (40, 44)
    assert (c.hidden_dropout_prob, c.attention_probs_dropout_prob, c.activation_dropout) == (0.3, 0.2, 0.15)
    assert (c.hidden_act, c.initializer_range) == ("relu", 0.03)
    assert (c.forced_bos_token_id, c.labels) == (0, ("a",))
    (tmp_path / "config.json").write_text('{"model_type": "bart"}')
    assert read_config(tmp_path) == BartConfig(labels=("LABEL_0", "LABEL_1", "LABEL_2")), "three, as readers have it"


@pytest.mark.parametrize(
    "setting",
    [
        {"tie_word_embeddings": False},
        {"encoder_layerdrop": 0.1},
        {"decoder_layerdrop": 0.1},
        {"normalize_before": True},
        {"normalize_embedding": False},
        {"add_final_layer_norm": True},
        {"static_position_embeddings": True},
        {"is_encoder_decoder": False},
    ],
    ids=str,
)
def test_settings_that_would_change_the_meaning_are_refused(saved, setting):
    (name,) = setting
    with expect_refusal(f"sets {name} to", "this package supports only"):
        from_pretrained(saved(**setting))


def test_a_bare_file_has_no_prefix_and_holds_the_words_three_times(saved):
    def repeat(tensors: dict[str, Tensor]) -> None:
        assert "shared.weight" in tensors
        for side in ("encoder", "decoder"):
            tensors[f"{side}.embed_tokens.weight"] = tensors["shared.weight"].clone()
            tensors[f"{side}.version"] = torch.tensor([3.0])

    assert same(quiet(saved(None, repeat)), tiny_bart().float())
    written = quiet(saved(None, repeat), "seq2seq-lm")
    assert same(written.backbone, tiny_bart().float())
    assert not written.lm.bias.any(), "a bare model has no bias for the scores"
    assert written.lm.bias.shape == (1, V)


@pytest.mark.parametrize("stored", ["once", "several times", "only as copies"])
def test_the_words_may_be_in_a_file_several_times(saved, stored):
    def repeat(tensors: dict[str, Tensor]) -> None:
        for copy in COPIES:
            if copy.startswith(("lm_head", "model.")) and stored != "once":
                tensors[copy] = tensors["model.shared.weight"].clone()
        if stored == "only as copies":
            del tensors["model.shared.weight"]

    assert same(quiet(saved("seq2seq-lm", repeat), "seq2seq-lm"), tiny_bart("seq2seq-lm").float())


@pytest.mark.parametrize("copy", COPIES)
def test_words_that_differ_between_the_sides_are_refused(saved, copy):
    head = "seq2seq-lm" if copy.startswith(("lm_head", "model.")) else None
    words = "model.shared.weight" if head else "shared.weight"
    folder = saved(head, lambda tensors: tensors.update({copy: tensors[words] + 1}))
    with expect_refusal(copy, "differs from", "tied"):
        from_pretrained(folder, head)


def test_the_bias_of_the_scores_is_read_and_may_be_absent(saved):
    found = quiet(saved("seq2seq-lm"), "seq2seq-lm")
    assert_close(found.lm.bias, tiny_bart("seq2seq-lm").float().lm.bias, 0.0)
    assert found.lm.bias.any()
    loaded = load(saved("seq2seq-lm", lambda tensors: tensors.pop("final_logits_bias")), "seq2seq-lm")
    assert loaded.fresh == ()
    assert not loaded.model.lm.bias.any()
    assert same(quiet(saved("seq2seq-lm")), tiny_bart().float()), "a bare model does without"
    with expect_refusal("final_logits_bias has shape (1, 30)", "(1, 31)"):
        from_pretrained(
            saved("seq2seq-lm", lambda tensors: tensors.update(final_logits_bias=torch.zeros(1, 30))), "seq2seq-lm"
        )


@pytest.mark.parametrize(("side", "layers"), [("decoder", DECODER_L), ("encoder", L)])
def test_a_layer_too_many_or_too_few_is_noticed(saved, side, layers):
    with expect_refusal("tensor(s) that its config.json has no place for", f"model.{side}.layers.{layers - 1}"):
        from_pretrained(saved("seq2seq-lm", **{f"{side}_layers": layers - 1}), "seq2seq-lm")
    with expect_refusal("lacks", f"model.{side}.layers.{layers}"):
        from_pretrained(saved("seq2seq-lm", **{f"{side}_layers": layers + 1}), "seq2seq-lm")


def test_a_head_that_the_file_lacks_is_fresh_and_the_loader_says_so(saved):
    with pytest.warns(UserWarning, match="no weights for dense, classifier"):
        model = from_pretrained(saved("seq2seq-lm"), "sequence-classification")
    assert same(model.backbone, tiny_bart().float())
