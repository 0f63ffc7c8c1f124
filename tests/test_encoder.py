"""The block, the stack of blocks, the frame around them, and what they say to input that cannot be."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from lab import check, lab, part
from tiny import (
    BATCH,
    CONFIGS,
    IDS,
    MASK,
    POSITIONS,
    REAL,
    TYPES,
    B,
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
    tiny,
)
from torch import Tensor, nn

from minibert.attention import Layout
from minibert.encoder import Backbone, Encoder, EncoderBlock, initialise
from minibert.layers import Table, gelu, layer_norm
from minibert.models.albert import AlbertConfig
from minibert.models.bert import BertConfig

# ------------------------------------------------------------------------------------------ the lab sheet
# Each property by itself, with numbers that can be worked out on paper. Read these first.


def silent_block(**changes: Tensor) -> dict[str, Tensor]:
    """The weights of a block of width 2 whose attention and feed-forward give 0, and whose norms do no more than norm.

    changes: other values; two underscores stand for a dot.
    """
    shapes = {f"attention.{name}": (2, 2) for name in ("query", "key", "value", "output")}
    shapes |= {"feed_forward.expand": (3, 2), "feed_forward.contract": (2, 3)}
    weights = {f"{name}.weight": torch.zeros(shape, dtype=torch.float64) for name, shape in shapes.items()}
    weights |= {f"{name}.bias": torch.zeros(shape[0], dtype=torch.float64) for name, shape in shapes.items()}
    for norm in ("attention_norm", "norm"):
        weights |= {f"{norm}.weight": torch.ones(2, dtype=torch.float64), f"{norm}.bias": torch.zeros(2).double()}
    return {**weights, **{name.replace("__", "."): value for name, value in changes.items()}}


def token(*features: float) -> Tensor:
    """One text of one token, (1, 1, D)."""
    return torch.tensor([[features]], dtype=torch.float64)


@lab(
    "encoder-block",
    code=EncoderBlock.forward,
    lesson="04",
    breaks="`queries + self.attention_output_dropout(attended)` without `queries +`",
    catches="first-residual-missing",
)
def test_a_block_adds_its_input_back():
    """after attention and after the feed-forward, what went in is added back (the residual)

    Both give 0 here, so nothing but the residuals is left of the token: (-1 1), which the norms leave as it is.
    Without the residuals it would be lost, and (0 0) come out.
    """
    assert_close(part("encoder-block")(token(-1.0, 1.0), silent_block(), 1), [[[-1.0, 1.0]]])


@lab(
    "encoder-block",
    code=EncoderBlock.forward,
    lesson="04",
    breaks="`self.attention_norm(` moved from the sum to the input (pre-norm)",
    catches="pre-norm",
)
def test_a_block_normalises_after_adding():
    """the norm comes after the residual is added (post-norm), so that what leaves a block is normalised

    (100 300) comes out as (-1 1). In a pre-norm block the input would come through as it is.
    """
    assert_close(part("encoder-block")(token(100.0, 300.0), silent_block(), 1), [[[-1.0, 1.0]]])


@lab(
    "encoder-block",
    code=EncoderBlock.forward,
    lesson="04",
    breaks="`x + self.dropout(self.feed_forward(x))`: the first `x` replaced by the block's input",
    catches="second-residual-from-the-input",
)
def test_the_second_residual_is_what_the_feed_forward_got():
    """the second residual adds what went into the feed-forward, and not the block's input

    The input is (3 1). Attention adds its output bias (-4 0): (-1 1), and so it goes into the feed-forward, which
    gives 0. So (-1 1) comes out. With the block's input added it would be (1 -1).
    """
    weights = silent_block(attention__output__bias=torch.tensor([-4.0, 0.0]).double())
    assert_close(part("encoder-block")(token(3.0, 1.0), weights, 1), [[[-1.0, 1.0]]])


@lab(
    "dropout",
    code=EncoderBlock.forward,
    lesson="04",
    breaks="`queries + self.attention_output_dropout(attended)` to `self.attention_output_dropout(queries + attended)`",
    catches="dropout-after-adding",
)
def test_dropout_never_touches_the_residual():
    """dropout acts on what attention returns, before the input is added back

    The output's dropout sets everything to 0, so only the input (-1 1) is left, which the norm leaves as it is. If
    dropout came after adding, nothing would be left, and (0 0) come out.
    """
    x, one = token(-1.0, 1.0), torch.ones(1, 1, 1).double()
    given = (x, one, token(7.0, 3.0), torch.ones(2).double(), torch.zeros(2).double())
    assert_close(part("dropout")(*given, one, torch.zeros_like(x)), [[[-1.0, 1.0]]])


class AddOne(nn.Module):
    """A block that adds 1 to all it gets."""

    def forward(self, x: Tensor, *_: object) -> tuple[Tensor, None]:
        return x + 1, None


@lab(
    None,
    code=Encoder.forward,
    lesson="04",
    breaks="`hidden_states.append(layout.unpack(x))` after the block and not before it",
)
def test_each_block_gets_what_the_one_before_it_gave():
    """each block gets what the block before it gave, and the hidden states begin with the embeddings

    Two blocks that add 1, and a token that is 5: hidden states 5, 6 and 7.
    """
    output = Encoder([AddOne(), AddOne()])(token(5.0), Layout(), return_hidden=True)
    assert_close(torch.stack(output.hidden_states).flatten(), [5.0, 6.0, 7.0])
    assert_close(output.last_hidden_state, [[[7.0]]])


@lab(
    None,
    code=Backbone.embed,
    lesson="03",
    breaks="`layout.pack(self.position_ids(input_ids))` made 0, 1, 2 ... along the packed tokens",
)
def test_packed_tokens_keep_their_positions():
    """a token keeps the position that it has in its text when the batch is packed

    Two texts with the same word, the first of one token, the second of two: the second text's first token is at
    position 0 too, though it is the second of the packed tokens.
    """
    model, ids = tiny(), torch.tensor([[7, 0], [7, 8]])
    packed = model.embed(ids, None, Layout(torch.tensor([[1, 0], [1, 1]])))
    assert_close(packed[1], packed[0].detach())


@lab(None, code=Layout, lesson="03", breaks="`padding_mask(attention_mask)` made None")
def test_padding_never_leaks():
    """what the padded slots hold makes no difference to the real tokens

    A text of two words and a padded slot, once with the id 0 in the slot and once with 9, packed and padded; and by
    itself, without the slot.
    """
    model, mask = tiny(), torch.tensor([[1, 1, 0]])
    alone = model(torch.tensor([[7, 8]])).last_hidden_state
    for model.skip_padding in (True, False):
        for slot in (0, 9):
            padded = model(torch.tensor([[7, 8, slot]]), mask).last_hidden_state
            assert_close(padded[:, :2], alone)


@lab(None, code=Encoder.forward, lesson="07", breaks="`Layout.only(wanted)` made the first tokens of each text")
def test_only_the_wanted_tokens_leave_the_last_block():
    """where only some tokens are wanted, the last block computes these alone, with the same result

    Of three tokens the second is wanted. The others stay 0.
    """
    model, ids = tiny(), torch.tensor([[7, 8, 9]])
    wanted = model(ids, wanted=torch.tensor([[False, True, False]])).last_hidden_state
    assert_close(wanted[0, 1], model(ids).last_hidden_state[0, 1])
    check(not wanted[0, [0, 2]].any())


# ------------------------------------------------------------------------------------------- the whole of it

# ---------------------------------------------------------------------------------------------- config


@pytest.mark.parametrize(
    ("settings", "parts"),
    [
        ({"hidden_size": 770}, ("hidden_size 770", "12 heads")),
        ({"num_attention_heads": 0}, ("num_attention_heads is 0", "at least 1")),
        ({"vocab_size": -3}, ("vocab_size is -3", "at least 1")),
        ({"num_hidden_layers": 2.0}, ("num_hidden_layers is 2.0", "an integer")),
        ({"intermediate_size": "3072"}, ("intermediate_size is '3072'", "an integer")),
        ({"max_position_embeddings": None}, ("max_position_embeddings is None",)),
        ({"type_vocab_size": -1}, ("type_vocab_size is -1", "at least 0")),
        ({"layer_norm_eps": "small"}, ("layer_norm_eps is 'small'", "from 0 to 1")),
        ({"hidden_dropout_prob": 10}, ("hidden_dropout_prob is 10", "from 0 to 1")),
        ({"attention_probs_dropout_prob": None}, ("attention_probs_dropout_prob is None",)),
        ({"classifier_dropout": -0.1}, ("classifier_dropout is -0.1", "from 0 to 1")),
        ({"hidden_act": "swoosh"}, ("'swoosh'", "known: gelu, gelu_python")),
        ({"labels": ()}, ("labels is ()", "name the classes")),
        ({"labels": "neg"}, ("labels is 'neg'", "name the classes")),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_a_config_that_cannot_be_is_refused(settings, parts):
    with expect_refusal(*parts):
        BertConfig(**settings)


@pytest.mark.parametrize(
    ("settings", "parts"),
    [
        ({"embedding_size": 0}, ("embedding_size is 0", "at least 1")),
        ({"num_hidden_groups": 0}, ("num_hidden_groups is 0", "at least 1")),
        ({"num_hidden_groups": 13}, ("num_hidden_groups is 13", "12 layers")),
    ],
)
def test_an_albert_config_that_cannot_be_is_refused(settings, parts):
    with expect_refusal(*parts):
        AlbertConfig(**settings)


def test_a_classifier_drops_like_the_body_unless_told_otherwise():
    assert BertConfig(hidden_dropout_prob=0.3).head_dropout == 0.3
    assert BertConfig(hidden_dropout_prob=0.3, classifier_dropout=0.0).head_dropout == 0.0


# ----------------------------------------------------------------------------------------------- block


def block(eps: float = 1e-12, **dropouts: float) -> EncoderBlock:
    dropouts = {"dropout": 0.0, "attention_dropout": 0.0, **dropouts}
    return randomise(EncoderBlock(D, H, F, "gelu", eps, **dropouts)).double()


@pytest.mark.parametrize("eps", [0.1, 1e-12])
def test_a_block_adds_back_its_input_and_normalises_after_each_half(eps):
    part, x, layout = block(eps), randn(B, S, D), Layout(MASK, skip_padding=False)
    middle = x + part.attention(x, layout=layout)[0]
    middle = layer_norm(middle, part.attention_norm.weight, part.attention_norm.bias, eps)
    expand, contract = part.feed_forward.expand, part.feed_forward.contract
    wide = gelu(middle @ expand.weight.T + expand.bias)
    expected = layer_norm(middle + wide @ contract.weight.T + contract.bias, part.norm.weight, part.norm.bias, eps)
    output, weights = part(x, layout)
    assert_close(output, expected)
    assert weights is None


def test_a_block_hands_out_the_weights_of_its_attention():
    part, x, layout = block(), randn(B, S, D), Layout(MASK, skip_padding=False)
    assert_close(part(x, layout, return_weights=True)[1], part.attention(x, layout=layout, return_weights=True)[1])


def test_gradients_of_a_block():
    small = randomise(EncoderBlock(6, 3, 5, dropout=0.0, attention_dropout=0.0)).double()
    assert gradcheck_module(small, randn(4, 6), layout=Layout(torch.tensor([[1, 1, 0], [1, 0, 1]])))


@pytest.mark.parametrize(
    ("dropouts", "acts"),
    [
        ({}, False),
        ({"dropout": 0.5}, True),
        ({"dropout": 0.5, "attention_output_dropout": 0.0}, True),
        ({"attention_output_dropout": 0.5}, True),
        ({"attention_dropout": 0.5}, True),
    ],
    ids=["none", "all outputs", "feed-forward only", "attention output only", "attention weights only"],
)
def test_each_dropout_of_a_block_acts_and_only_while_training(dropouts, acts):
    part, x, layout = block(**dropouts), randn(B, S, D), Layout()
    expected = block()(x, layout)[0]
    assert torch.equal(part.eval()(x, layout)[0], expected)
    torch.manual_seed(0)
    assert torch.equal(part.train()(x, layout)[0], expected) != acts


def test_what_attention_returns_is_dropped_like_the_rest_unless_told_otherwise():
    assert block(dropout=0.3).attention_output_dropout.p == 0.3
    assert block(dropout=0.3, attention_output_dropout=0.0).attention_output_dropout.p == 0.0
    assert EncoderBlock.from_config(CONFIGS["bert"]).attention_output_dropout.p == 0.1


def test_a_block_takes_its_numbers_from_the_config():
    config = replace(
        CONFIGS["bert"],
        hidden_dropout_prob=0.3,
        attention_probs_dropout_prob=0.2,
        layer_norm_eps=0.5,
        hidden_act="relu",
    )
    part = EncoderBlock.from_config(config)
    assert (part.dropout.p, part.attention_output_dropout.p, part.attention.dropout) == (0.3, 0.3, 0.2)
    assert (part.norm.eps, part.attention_norm.eps) == (0.5, 0.5)
    assert part.attention.num_heads == H
    assert part.feed_forward.expand.weight.shape == (F, D)
    assert part.feed_forward.activation is nn.functional.relu


# ----------------------------------------------------------------------------------------------- stack


@pytest.mark.parametrize("order", [None, (0, 0, 0), (1, 0, 1)], ids=["in turn", "one shared", "mixed"])
@pytest.mark.parametrize("skip_padding", [True, False])
def test_an_encoder_runs_its_blocks_in_order_and_keeps_what_it_is_asked_for(order, skip_padding):
    blocks = [block(), randomise(block(), seed=1)]
    layout, x = Layout(MASK, skip_padding), randn(B, S, D)
    encoder = Encoder(blocks, order).eval()
    states, attentions = [layout.pack(x)], []
    for step in (0, 1) if order is None else order:
        state, weights = blocks[step](states[-1], layout, return_weights=True)
        states.append(state)
        attentions.append(weights)

    output = encoder(layout.pack(x), layout, return_attention=True, return_hidden=True)
    assert len(output.hidden_states) == len(states)
    assert len(output.attentions) == len(attentions)
    for actual, expected in zip(output.hidden_states, states, strict=True):
        assert_close(actual, layout.unpack(expected))
    for actual, expected in zip(output.attentions, attentions, strict=True):
        assert_close(actual, expected)
    assert_close(output.last_hidden_state, layout.unpack(states[-1]))

    plain = encoder(layout.pack(x), layout)
    assert_close(plain.last_hidden_state, output.last_hidden_state)
    assert plain.hidden_states is None
    assert plain.attentions is None


# ----------------------------------------------------------------------------------------------- frame


def test_an_output_is_read_by_names_and_cannot_be_unpacked():
    output = tiny()(**BATCH)
    with pytest.raises(TypeError):
        _, _second = output
    assert output.last_hidden_state.shape == (B, S, D)
    assert output.pooled.shape == (B, D)
    for name in ("hidden_states", "attentions", "logits", "pair_logits", "loss"):
        assert getattr(output, name) is None


def test_hidden_states_go_from_the_embeddings_to_the_last_layer():
    model = tiny()
    output = model(**BATCH, return_hidden=True, return_attention=True)
    places = torch.arange(S).expand(B, S)
    assert len(output.hidden_states) == L + 1
    assert_close(output.hidden_states[0][REAL], model.embeddings(IDS, places, TYPES)[REAL])
    assert torch.equal(output.hidden_states[-1], output.last_hidden_state)
    assert [weights.shape for weights in output.attentions] == [(B, H, S, S)] * L


@pytest.mark.parametrize("return_attention", [False, True], ids=["fused", "written out"])
@pytest.mark.parametrize("skip_padding", [True, False])
def test_only_the_wanted_tokens_are_computed_in_the_last_block(skip_padding, return_attention):
    model = tiny()
    model.skip_padding = skip_padding
    wanted = REAL & (torch.rand(B, S, generator=torch.Generator().manual_seed(0)) < 0.4)
    wanted[:, 0] = True
    whole = model(**BATCH)
    settings = {"return_attention": return_attention, "return_hidden": True}
    some = model(**BATCH, wanted=wanted, **settings)
    real = wanted & REAL
    assert_close(some.last_hidden_state[real], whole.last_hidden_state[real])
    assert not some.last_hidden_state[~wanted].any()
    assert_close(some.pooled[REAL[:, 0]], whole.pooled[REAL[:, 0]])
    assert torch.equal(some.hidden_states[-1], some.last_hidden_state)
    assert_close(some.hidden_states[-2], model(**BATCH, return_hidden=True).hidden_states[-2])
    nothing = model(**BATCH, wanted=torch.zeros_like(REAL), **settings)
    assert not nothing.last_hidden_state.any()


@pytest.mark.parametrize(
    ("inputs", "parts"),
    [
        ({"input_ids": torch.zeros(1, POSITIONS + 1).long()}, ("10 tokens", "9 positions", "max_length=9")),
        ({"input_ids": torch.full((1, 2), V)}, ("input_ids holds 31", "0 to 30", "tokenizer")),
        ({"input_ids": torch.full((1, 2), -1)}, ("input_ids holds -1",)),
        ({"input_ids": torch.zeros(1, 2)}, ("input_ids must hold integers", "float32")),
        ({"input_ids": torch.zeros(2).long()}, ("(B, S)", "(2,)", "ids[None]")),
        ({"input_ids": torch.zeros(1, 2, 3).long()}, ("(B, S)", "(1, 2, 3)")),
        ({"input_ids": torch.zeros(3, 0).long()}, ("no tokens", "special tokens")),
        ({"input_ids": [[1, 2]]}, ("input_ids is a list", "torch.tensor(input_ids)")),
        ({"input_ids": IDS, "attention_mask": MASK.tolist()}, ("attention_mask is a list", "tensor")),
        ({"input_ids": IDS, "attention_mask": MASK[:, 1:]}, ("attention_mask", "(5, 6)", "(5, 7)")),
        ({"input_ids": IDS, "attention_mask": MASK[0]}, ("attention_mask", "(7,)", "(5, 7)")),
        ({"input_ids": IDS, "token_type_ids": TYPES[:1]}, ("token_type_ids", "(1, 7)", "(5, 7)")),
        ({"input_ids": IDS, "token_type_ids": 2 * TYPES}, ("token_type_ids holds 2", "0 to 1")),
        ({"input_ids": IDS, "token_type_ids": TYPES.float()}, ("token_type_ids must hold integers",)),
    ],
)
def test_input_that_cannot_be_is_refused_with_a_sentence(inputs, parts):
    with expect_refusal(*parts):
        tiny()(**inputs)


def test_the_longest_text_and_an_empty_batch_pass():
    assert tiny()(torch.zeros(1, POSITIONS).long()).last_hidden_state.shape == (1, POSITIONS, D)
    assert tiny()(torch.zeros(0, S).long()).last_hidden_state.shape == (0, S, D)


# -------------------------------------------------------------------------------------- fresh weights


def test_fresh_weights_are_normal_and_cut_off_at_two_deviations():
    module = nn.Sequential(Table(300, 200), nn.Linear(200, 100), nn.LayerNorm(100))
    randomise(module)
    torch.manual_seed(0)
    initialise(module, std=0.02)
    for layer in module[:2]:
        assert layer.weight.abs().max() <= 0.04
        # cut off at two deviations, a normal distribution keeps 0.8796 of its deviation
        assert layer.weight.std().item() == pytest.approx(0.02 * 0.8796, rel=0.03)
        assert layer.weight.mean().item() == pytest.approx(0, abs=1e-3)
    assert not module[1].bias.any()
    assert (module[2].weight == 1).all()
    assert not module[2].bias.any()
