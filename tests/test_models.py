"""The BERT encoders: the published numbers, and what must hold of any of them."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
from lab import assert_same, check, lab, part
from tiny import (
    BATCH,
    CONFIGS,
    EVERY_MODEL,
    FAMILIES,
    GOLDEN,
    IDS,
    MASK,
    MEET_IN_ATTENTION,
    REAL,
    TYPES,
    B,
    D,
    E,
    L,
    S,
    V,
    assert_close,
    tiny,
)
from torch import Tensor, nn

from minibert.checkpoints import from_pretrained
from minibert.encoder import Backbone, Encoder, Output
from minibert.factory import build
from minibert.heads import WithHead
from minibert.models.albert import Albert, AlbertConfig, FactorisedEmbeddings
from minibert.models.distilbert import DistilBert

# ------------------------------------------------------------------------------------------ the lab sheet
# Each property by itself, with numbers that can be worked out on paper. Read these first.


@lab(None, code=Backbone.forward, lesson="06", breaks="`Layout(attention_mask, self.skip_padding)` given a causal mask")
def test_bert_reads_in_both_directions():
    """a token's vector depends on the tokens before it and on those after it

    Three words. Another last word changes the first token's vector, and another first word the last one's.
    """
    model, text = tiny("bert"), [[7, 8, 9]]
    vectors, other_end, other_start = (
        model(torch.tensor(ids)).last_hidden_state[0] for ids in (text, [[7, 8, 10]], [[6, 8, 9]])
    )
    check((vectors[0] - other_end[0]).abs().max() > 1e-3)
    check((vectors[2] - other_start[2]).abs().max() > 1e-3)


@lab(None, code=DistilBert, lesson="09", breaks="`pooler=None` replaced by a Pooler")
def test_distilbert_has_no_token_types_and_no_pooler():
    """DistilBERT has neither token types nor a pooler

    So it gives the same whatever token types it is told, and no pooled vector.
    """
    model, ids = tiny("distilbert"), torch.tensor([[7, 8]])
    output = model(ids, token_type_ids=torch.tensor([[0, 1]]))
    check(torch.equal(output.last_hidden_state, model(ids).last_hidden_state))
    check(output.pooled is None)
    check(not any("token_type" in name or "pooler" in name for name, _ in model.named_parameters()))


@lab(None, code=DistilBert, lesson="09", breaks="`attention_output_dropout=0.0` left out")
def test_distilbert_does_not_drop_what_attention_returns():
    """in DistilBERT there is no dropout between attention and the residual, and in BERT there is"""
    assert_same(tiny("distilbert").encoder.blocks[0].attention_output_dropout.p, 0.0)
    assert_same(tiny("bert").encoder.blocks[0].attention_output_dropout.p, 0.1)


NARROW = {
    "word.weight": torch.tensor([[3.0, 0.0]], dtype=torch.float64),
    "position.weight": torch.tensor([[0.0, 1.0], [0.0, 0.0]], dtype=torch.float64),
    "token_type.weight": torch.tensor([[0.0, 0.0], [0.0, 9.0]], dtype=torch.float64),
    "norm.weight": torch.ones(2, dtype=torch.float64),
    "norm.bias": torch.zeros(2, dtype=torch.float64),
    "projection.weight": torch.tensor([[1.0, 0.0], [0.0, 1.0], [2.0, 1.0]], dtype=torch.float64),
    "projection.bias": torch.tensor([10.0, 20.0, 30.0], dtype=torch.float64),
}


@lab(
    "factorised-embedding",
    code=FactorisedEmbeddings.forward,
    lesson="10",
    breaks="`self.projection(` left out",
    catches="projection-forgotten",
)
def test_albert_projects_the_normalised_sum():
    """ALBERT adds and normalises at the width E, and then widens each token to D in one linear layer

    E = 2 and D = 3. Word (3 0) and position (0 1) are (3 1), normalised (1 -1). The projection's rows (1 0), (0 1) and
    (2 1) make 1, -1 and 1 of it, and its bias adds 10, 20 and 30.
    """
    ids = torch.tensor([[0]])
    assert_close(part("factorised-embedding")(ids, ids, NARROW), [[[11.0, 19.0, 31.0]]])


@lab(
    "factorised-embedding",
    code=FactorisedEmbeddings,
    lesson="10",
    breaks="`nn.Linear(config.embedding_size, config.hidden_size)` left out where E = D",
    catches="projection-skipped-where-equal",
)
def test_albert_projects_where_the_widths_are_equal_too():
    """the projection is there even where E = D: it is a learned layer, and not only a change of width

    (1 -1), as above, times 2, plus 10 and 20.
    """
    square = {"projection.weight": 2 * torch.eye(2).double(), "projection.bias": torch.tensor([10.0, 20.0]).double()}
    ids = torch.tensor([[0]])
    assert_close(part("factorised-embedding")(ids, ids, {**NARROW, **square}), [[[12.0, 18.0]]])


class TwoParts(nn.Module):
    """A block to be shared, of two numbers."""

    def __init__(self):
        super().__init__()
        self.attention, self.feed_forward = nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)


@lab(
    "shared-blocks",
    code=Encoder,
    lesson="10",
    breaks="`nn.ModuleList(blocks)` of a copy of the block for each step",
    catches="equal-but-not-shared",
)
def test_every_step_runs_through_one_block():
    """all L steps share every weight of one block

    Three steps, and six numbers if each had its own; there are two. Changing the first step changes the last one.
    """
    steps = part("shared-blocks")(TwoParts, 3)
    assert_same(len(steps), 3)
    assert_same(len({id(weight) for step in steps for weight in step.parameters()}), 2)
    with torch.no_grad():
        next(iter(steps)).attention.weight.fill_(5.0)
    assert_same(list(steps)[-1].attention.weight, [[5.0]])


@lab(None, code=Albert, lesson="10", breaks="`for _ in range(groups)` replaced by `for _ in range(steps)`")
def test_albert_stores_one_block_whatever_its_depth():
    """an ALBERT of four steps stores no more than one of a single step"""
    sizes = [sum(p.numel() for p in tiny("albert", num_hidden_layers=depth).parameters()) for depth in (1, 4)]
    assert_same(sizes[1], sizes[0])


# ------------------------------------------------------------------------------------------- the whole of it


def body_of(model: nn.Module) -> nn.Module:
    return model.backbone if isinstance(model, WithHead) else model


def run(model: nn.Module, skip_padding: bool = True, **inputs: Tensor | bool | None) -> Output:
    body_of(model).skip_padding = skip_padding
    return model(**inputs)


def outputs_of(output: Output) -> dict[str, Tensor]:
    """Everything a model returns, by the names of the golden cases."""
    found = {"last_hidden_state": output.last_hidden_state, "pooled": output.pooled, "logits": output.logits}
    found |= {f"hidden_states.{i}": state for i, state in enumerate(output.hidden_states or ())}
    found |= {f"attentions.{i}": weights for i, weights in enumerate(output.attentions or ())}
    found["mlm_logits"] = output.logits
    found["seq_relationship_logits"] = found["sop_logits"] = output.pair_logits
    if output.logits is not None and output.logits.dim() == 3:
        found["start_logits"], found["end_logits"] = output.logits[..., 0], output.logits[..., 1]
    return {name: tensor for name, tensor in found.items() if tensor is not None}


def real_rows(name: str, tensor: Tensor, mask: Tensor) -> Tensor:
    """What a golden number means something for: the rows of real tokens, or of whole texts."""
    if name.startswith("attentions"):
        return tensor.transpose(1, 2)[mask.bool()]  # (B, H, S, S) -> (N, H, S): the queries that are real
    return tensor[mask.bool()] if tensor.shape[:2] == mask.shape else tensor


# ----------------------------------------------------------------------------------- published numbers


@pytest.mark.parametrize("skip_padding", [True, False], ids=["packed", "padded"])
@pytest.mark.parametrize("written_out", [True, False], ids=["written out", "fused"])
@pytest.mark.parametrize("name", GOLDEN)
def test_golden_numbers(golden: Callable, name: str, written_out: bool, skip_padding: bool):
    folder, cases = golden(name)
    inputs = {key: cases.pop(key) for key in ("input_ids", "attention_mask", "token_type_ids") if key in cases}
    model = from_pretrained(folder, GOLDEN[name])
    output = run(model, skip_padding, **inputs, return_attention=written_out, return_hidden=True)
    found, mask = outputs_of(output), inputs["attention_mask"]
    assert (output.attentions is None) != written_out
    for key, expected in cases.items():
        if written_out or not key.startswith("attentions"):
            assert found[key].shape == expected.shape, key
            assert_close(real_rows(key, found[key], mask), real_rows(key, expected, mask), 1e-5)


@pytest.mark.parametrize("skip_padding", [True, False], ids=["packed", "padded"])
def test_minilm_on_five_sentences(golden: Callable, minilm_folder, skip_padding: bool):
    _, cases = golden("minilm-l6")
    ids, mask = cases["input_ids"], cases["attention_mask"]
    output = run(from_pretrained(minilm_folder), skip_padding, input_ids=ids, attention_mask=mask)
    hidden = output.last_hidden_state
    assert_close(hidden[mask.bool()], cases["last_hidden_state"][mask.bool()], 1e-4)
    assert_close(output.pooled, cases["pooled"], 1e-4)
    mean = (hidden * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
    assert_close(mean, cases["mean_pooled"], 1e-4)


# --------------------------------------------------------------------------------------------- padding


@pytest.mark.parametrize("skip_padding", [True, False], ids=["packed", "padded"])
@pytest.mark.parametrize(("family", "head"), [pair for pair in EVERY_MODEL if pair[0] in MEET_IN_ATTENTION])
def test_padded_ids_change_nothing_and_learn_nothing(family, head, skip_padding):
    model = tiny(family, head)
    marked = torch.where(REAL, IDS, 3)  # the id 3 stands only where the padding is
    other = {**BATCH, "input_ids": torch.where(REAL, IDS, 4), "token_type_ids": torch.where(REAL, TYPES, 1 - TYPES)}
    settings = {"return_attention": True, "return_hidden": True}
    before = outputs_of(run(model, skip_padding, **{**BATCH, "input_ids": marked}, **settings))
    after = outputs_of(run(model, skip_padding, **other, **settings))
    texts = REAL[:, 0]  # of a text whose first token is padding, the pooled vector means nothing
    for name, tensor in before.items():
        kept, changed = real_rows(name, tensor, MASK), real_rows(name, after[name], MASK)
        if tensor.shape[:2] != MASK.shape and not name.startswith("attentions"):
            kept, changed = kept[texts], changed[texts]
        assert torch.equal(kept, changed), name
    table = body_of(model).embeddings.word.weight
    (gradient,) = torch.autograd.grad(before["last_hidden_state"][REAL].square().sum(), table)
    assert gradient[IDS[0, 0]].any()
    assert not gradient[3].any()


@pytest.mark.parametrize("skip_padding", [True, False], ids=["packed", "padded"])
@pytest.mark.parametrize("family", MEET_IN_ATTENTION)
def test_a_text_comes_out_the_same_alone_and_among_others(family, skip_padding):
    """Wherever its padding stands: only right-hand padding leaves the positions as they are without it."""
    model = tiny(family)
    among = run(model, skip_padding, **BATCH).last_hidden_state
    alone = run(model, skip_padding, input_ids=IDS[1:2, :4], token_type_ids=TYPES[1:2, :4]).last_hidden_state
    assert_close(among[1, :4], alone[0])
    for text in (2, 3):
        one = {name: tensor[text : text + 1] for name, tensor in BATCH.items()}
        assert_close(among[text][REAL[text]], run(model, skip_padding, **one).last_hidden_state[0][REAL[text]])


@pytest.mark.parametrize("return_attention", [True, False], ids=["written out", "fused"])
@pytest.mark.parametrize("skip_padding", [True, False], ids=["packed", "padded"])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_text_of_nothing_but_padding_gives_no_nan(family, skip_padding, return_attention):
    model = tiny(family)
    output = run(model, skip_padding, **BATCH, return_attention=return_attention)
    assert all(tensor.isfinite().all() for tensor in outputs_of(output).values())
    output.last_hidden_state[REAL].square().sum().backward()
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)
    nothing = {"input_ids": IDS, "attention_mask": torch.zeros_like(MASK)}
    assert run(model, skip_padding, **nothing).last_hidden_state.isfinite().all()


@pytest.mark.parametrize(("family", "head"), EVERY_MODEL)
def test_packed_equals_padded(family, head):
    model = tiny(family, head).float()
    texts = REAL[:, 0]
    settings = {**BATCH, "return_attention": True, "return_hidden": True}
    packed, padded = (outputs_of(run(model, skip, **settings)) for skip in (True, False))
    for name, expected in padded.items():
        actual, expected = real_rows(name, packed[name], MASK), real_rows(name, expected, MASK)
        if len(expected) == B:
            actual, expected = actual[texts], expected[texts]
        assert_close(actual, expected, 1e-6 * max(1.0, expected.abs().max().item()))


@pytest.mark.parametrize("skip_padding", [True, False], ids=["packed", "padded"])
@pytest.mark.parametrize("family", FAMILIES)
def test_permuting_the_batch_permutes_the_output(family, skip_padding):
    model, order = tiny(family), torch.tensor([3, 0, 4, 2, 1])
    permuted = {name: tensor[order] for name, tensor in BATCH.items()}
    settings = {"return_attention": True, "return_hidden": True}
    before = outputs_of(run(model, skip_padding, **BATCH, **settings))
    after = outputs_of(run(model, skip_padding, **permuted, **settings))
    for name, expected in before.items():
        assert_close(real_rows(name, after[name], MASK[order]), real_rows(name, expected[order], MASK[order]))


# ----------------------------------------------------------------------------------- attention, dropout


@pytest.mark.parametrize("family", FAMILIES)
def test_rows_of_attention_sum_to_one_over_real_tokens_also_while_training(family):
    model = tiny(family, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.5)
    for mode in (False, True):
        attentions = model.train(mode)(**BATCH, return_attention=True).attentions
        assert len(attentions) == L
        for weights in attentions:
            rows = weights.transpose(1, 2)[REAL]
            assert_close(rows.sum(-1), torch.ones_like(rows[..., 0]))
            assert not weights.masked_select(~REAL[:, None, None, :]).any()


@pytest.mark.parametrize(
    "dropouts",
    [
        {},
        {"hidden_dropout_prob": 0.3},
        {"attention_probs_dropout_prob": 0.3},
    ],
    ids=["none", "hidden", "attention"],
)
@pytest.mark.parametrize("family", FAMILIES)
def test_dropout_acts_only_while_training(family, dropouts):
    model = tiny(family, **{"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0, **dropouts})
    plain = tiny(family)(**BATCH).last_hidden_state
    assert torch.equal(model(**BATCH).last_hidden_state, plain)
    torch.manual_seed(0)
    assert torch.equal(model.train()(**BATCH).last_hidden_state, plain) == (not dropouts)


# ------------------------------------------------------------------------------------ family by family


@pytest.mark.parametrize("family", FAMILIES)
def test_order_and_company_matter(family):
    model = tiny(family)
    output = model(IDS).last_hidden_state
    swapped = model(IDS.flip(1)).last_hidden_state.flip(1)
    assert (output - swapped).abs().mean() > 0.1  # positions
    changed = IDS.clone()
    changed[:, -1] = (changed[:, -1] + 1) % V
    assert ((model(changed).last_hidden_state - output)[:, 0].abs().sum(-1) > 1e-3).all()  # both directions
    changed[:, -1], changed[:, 0] = IDS[:, -1], (IDS[:, 0] + 1) % V
    assert ((model(changed).last_hidden_state - output)[:, -1].abs().sum(-1) > 1e-3).all()


@pytest.mark.parametrize(
    ("family", "matters"), [("bert", True), ("albert", True), ("mobilebert", True), ("distilbert", False)]
)
def test_token_types_matter_where_a_model_has_them(family, matters):
    model = tiny(family)
    typed, untyped = model(IDS, None, TYPES).last_hidden_state, model(IDS).last_hidden_state
    assert torch.equal(typed, untyped) != matters
    assert torch.equal(untyped, model(IDS, None, torch.zeros_like(IDS)).last_hidden_state)
    assert (model.embeddings.token_type is None) != matters


def test_distilbert_is_bert_without_token_types_and_pooler():
    bert, distilbert = tiny("bert", type_vocab_size=1), tiny("distilbert")
    assert distilbert.pooler is None
    assert distilbert(**BATCH).pooled is None
    with torch.no_grad():
        bert.embeddings.token_type.weight.zero_()
    bert.load_state_dict(distilbert.state_dict(), strict=False)
    assert_close(distilbert(IDS, MASK).last_hidden_state[REAL], bert(IDS, MASK).last_hidden_state[REAL])


def test_distilbert_drops_nothing_between_attention_and_its_sum():
    assert {block.attention_output_dropout.p for block in tiny("distilbert").encoder.blocks} == {0.0}
    assert {block.dropout.p for block in tiny("distilbert").encoder.blocks} == {0.1}
    assert {block.attention_output_dropout.p for block in tiny("bert").encoder.blocks} == {0.1}


@pytest.mark.parametrize(
    ("groups", "order"),
    [(1, (0, 0, 0, 0, 0, 0)), (2, (0, 0, 0, 1, 1, 1)), (3, (0, 0, 1, 1, 2, 2)), (6, (0, 1, 2, 3, 4, 5))],
)
def test_albert_deals_its_steps_out_among_its_groups(groups, order):
    model = tiny("albert", num_hidden_layers=6, num_hidden_groups=groups)
    assert model.encoder.order == order
    assert len(model.encoder.blocks) == groups
    output = model(IDS, return_hidden=True)
    assert len(output.hidden_states) == 7
    assert all(not torch.equal(a, b) for a, b in pairwise(output.hidden_states))


def test_a_shared_block_learns_from_every_step():
    def gradient(steps: int) -> Tensor:
        model = tiny("albert", num_hidden_layers=steps)
        model(IDS).last_hidden_state.square().sum().backward()
        return model.encoder.blocks[0].attention.query.weight.grad

    assert not torch.equal(gradient(1), gradient(2))
    model = tiny("albert", num_hidden_layers=4)
    assert sum(p.numel() for p in model.parameters()) == sum(p.numel() for p in tiny("albert").parameters())


def test_albert_embeds_and_normalises_at_its_own_width_and_then_projects():
    embeddings = tiny("albert").embeddings
    assert {table.weight.shape[1] for table in (embeddings.word, embeddings.position, embeddings.token_type)} == {E}
    assert embeddings.norm.normalized_shape == (E,)
    assert embeddings.projection.weight.shape == (D, E)
    same = build(AlbertConfig(vocab_size=V, embedding_size=D, hidden_size=D, num_attention_heads=3))
    assert same.embeddings.projection.weight.shape == (D, D)


@pytest.mark.parametrize("family", MEET_IN_ATTENTION)
def test_the_norms_of_a_model_have_the_configs_eps(family):
    model = tiny(family, layer_norm_eps=0.25)
    norms = [part for part in model.modules() if isinstance(part, nn.LayerNorm)]
    assert len(norms) == 1 + 2 * len(model.encoder.blocks)
    assert {norm.eps for norm in norms} == {0.25}
    assert CONFIGS[family].layer_norm_eps == (1e-5 if family == "roberta" else 1e-12)


def test_a_batch_of_shape_b_s_gives_shape_b_s_d():
    assert tiny()(IDS).last_hidden_state.shape == (B, S, D)
