"""XLNet: the published numbers; distances, segments, two streams and memory, each against the plain way; its heads."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from lab import lab, part
from safetensors.torch import load_file, save_file
from tiny import (
    IDS,
    MASK,
    REAL,
    TYPES,
    B,
    D,
    F,
    H,
    K,
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
)
from torch import Tensor, nn

from minibert.attention import Layout, causal_mask, fused_attention
from minibert.checkpoints import from_pretrained, load, read_config, save_pretrained
from minibert.factory import build, count_parameters, parameters_by_part, preset
from minibert.heads import WithHead, cross_entropy
from minibert.models.bert import BertConfig
from minibert.models.family import NUMBER
from minibert.models.relative import RelativeAttention, View, and_itself, distance_vectors, shift, sinusoids
from minibert.models.xlnet import FAMILY, XLNetBlock, XLNetConfig, XLNetOutput

# ------------------------------------------------------------------------------------------ the lab sheet
# Each property by itself, with numbers that can be worked out on paper. Read these first.


@lab(
    "relative-shift",
    code=shift,
    lesson="13",
    breaks="`[..., queries:]` replaced by `[..., :-queries]`",
    catches="shift-to-the-other-side",
)
def test_each_score_moves_to_the_key_at_its_distance():
    """each score moves to the column of the key that is at its distance: later queries are further from every key

    Each score is its distance here: two queries, the distances 2, 1, 0, -1. Query 0 has 0 to itself and -1 to the key
    after it, query 1 has 1 to the key before it and 0 to itself.
    """
    found = part("relative-shift")(numbers([[[2.0, 1.0, 0.0, -1.0], [2.0, 1.0, 0.0, -1.0]]]))
    assert_close(found, [[[[0.0, -1.0], [1.0, 0.0]]]])


@lab(
    "relative-shift",
    code=shift,
    lesson="13",
    breaks="`: columns - queries]` replaced by `:queries]`",
    catches="shift-without-memory-cut-off",
)
def test_the_memory_comes_before_the_queries():
    """with a memory there are more keys than queries, and the queries are the last of them

    Two queries and three keys, the distances 3, 2, 1, 0, -1. Query 0 is key 1: 1, 0, -1. Query 1 is key 2: 2, 1, 0.
    """
    row = [3.0, 2.0, 1.0, 0.0, -1.0]
    assert_close(part("relative-shift")(numbers([[row, row]])), [[[[1.0, 0.0, -1.0], [2.0, 1.0, 0.0]]]])


# The first token of the order is 0, then 1, then 2. With a w_q of zeros each token takes the mean of what it sees.
CONTENT, QUERY = numbers([[4.0, 0.0], [0.0, 4.0], [8.0, 8.0]]), numbers([[9.0, 9.0], [9.0, 9.0], [9.0, 9.0]])
IN_ORDER = torch.tensor([[[1, 1, 1], [0, 1, 1], [0, 0, 1]]])
EVENLY, AS_IT_IS = torch.zeros(2, 2, dtype=torch.float64), torch.eye(2, dtype=torch.float64)


@lab("two-streams", code=and_itself, lesson="13", breaks="`| (gaps == 0)` left out", catches="content-blind-to-itself")
def test_content_sees_itself():
    """in the content stream a token sees itself as well, whatever the mask says

    Token 0 sees itself alone, token 1 the mean of 0 and 1.
    """
    h, _ = part("two-streams")(CONTENT, QUERY, IN_ORDER, EVENLY, AS_IT_IS, AS_IT_IS)
    assert_close(h[:, :2], [[[4.0, 0.0], [2.0, 2.0]]])


@lab(
    "two-streams",
    code=XLNetBlock.forward,
    lesson="13",
    breaks="`self.attention.looked_at(content` called with each stream's own vectors",
    catches="query-stream-looks-at-itself",
)
def test_both_streams_look_at_the_content():
    """keys and values come from the content stream, in the query stream too

    In it token 1 sees token 0, and token 2 the mean of the tokens 0 and 1. Its own vectors, nines, are nowhere.
    """
    _, g = part("two-streams")(CONTENT, QUERY, IN_ORDER, EVENLY, AS_IT_IS, AS_IT_IS)
    assert_close(g[:, 1:], [[[4.0, 0.0], [2.0, 2.0]]])


@lab(
    "two-streams",
    code=XLNetBlock.forward,
    lesson="13",
    breaks="`self.attention(x, looked_at, view` with `content` in place of x",
    catches="query-stream-asks-with-h",
)
def test_each_stream_asks_with_its_own_vectors():
    """the content stream asks with h and the query stream with g; both divide the scores by √K

    In the query stream token 2 asks with (2 ln 9, 0), and K = 4: its scores with the tokens 0 and 1, (1, 0) and
    (0, 1), are ln 9 and 0, its weights 9/10 and 1/10. Its h is zeros: in the content stream it takes the mean of all
    three. w_v multiplies the values by 10.
    """
    h, g = numbers([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]), numbers([[0.0, 0.0], [0.0, 0.0], [2 * math.log(9), 0.0]])
    wide = nn.functional.pad(AS_IT_IS, (0, 2))
    h, g = part("two-streams")(h, g, IN_ORDER, wide, wide, 10 * AS_IT_IS)
    assert_close(g[:, 2], [[9.0, 1.0]])
    assert_close(h[:, 2], [[10 / 3, 10 / 3]])


@lab(
    "two-streams",
    code=fused_attention,
    lesson="13",
    breaks="`bias.masked_fill(~mask, -math.inf)` with -1e4 added in place of -math.inf",
    catches="streams-even",
)
def test_the_first_of_the_order_sees_nothing():
    """in the query stream a token does not see itself: the first of the order sees nothing, and gets zeros

    Not NaN, not the mean of all, and not its own word, which it is to predict.
    """
    _, g = part("two-streams")(CONTENT, QUERY, IN_ORDER, EVENLY, AS_IT_IS, AS_IT_IS)
    assert_close(g[:, 0], [[0.0, 0.0]])


# ------------------------------------------------------------------------------------------ the other tests

CONFIG = XLNetConfig(
    vocab_size=V,
    hidden_size=D,
    num_hidden_layers=L,
    num_attention_heads=H,
    intermediate_size=F,
    labels=tuple("abcdef"),
)
HEADS = (None, "permutation-lm", "sequence-classification", "token-classification", "question-answering")
BATCH = {"input_ids": IDS, "attention_mask": MASK, "token_type_ids": TYPES}
P, M = 2, 4

each_way = pytest.mark.parametrize("return_attention", [True, False], ids=["written out", "fused"])
packed_or_padded = pytest.mark.parametrize("skip_padding", [True, False], ids=["packed", "padded"])


def xlnet(head: str | None = None, seed: int = 0, skip_padding: bool = True, **changes) -> nn.Module:
    """A tiny model in float64 and evaluation mode, all parameters random; `changes` are fields of its config."""
    model = randomise(build(replace(CONFIG, **changes), head), seed).double().eval()
    body_of(model).skip_padding = skip_padding
    return model


def body_of(model: nn.Module) -> nn.Module:
    return model.backbone if isinstance(model, WithHead) else model


def numbered(seed: int = 0, length: int = S, batch: int = B) -> Tensor:
    """Texts in which no token occurs twice, (B, S)."""
    generator = torch.Generator().manual_seed(seed)
    return torch.stack([torch.randperm(V, generator=generator)[:length] for _ in range(batch)])


def orders(seed: int = 0, length: int = S, batch: int = B) -> Tensor:
    """Random factorisation orders, (B, S)."""
    generator = torch.Generator().manual_seed(seed)
    return torch.stack([torch.randperm(length, generator=generator) for _ in range(batch)])


def perm_mask_of(order: Tensor) -> Tensor:
    """(B, S) -> (B, S, S), written as a loop: 1 where i may not look at j."""
    mask = torch.zeros(*order.shape, order.shape[1])
    for b, row in enumerate(order.tolist()):
        for i, mine in enumerate(row):
            for j, other in enumerate(row):
                mask[b, i, j] = float(other >= mine)
    return mask


def mapping_of(places: Tensor, length: int = S) -> Tensor:
    """Places (B, P) -> target_mapping (B, P, S)."""
    return nn.functional.one_hot(places, length).float()


def last_places(order: Tensor, number: int = P) -> Tensor:
    """Where the last tokens of each order are, (B, P)."""
    return order.argsort(dim=1)[:, -number:]


ORDER = orders()
TWO_STREAMS = {"perm_mask": perm_mask_of(ORDER), "target_mapping": mapping_of(last_places(ORDER))}


def everything(output: XLNetOutput) -> dict[str, Tensor]:
    """All tensors of an output, by name."""
    found = {}
    for name, value in vars(output).items():
        parts = value if isinstance(value, (tuple, list)) else [value]
        found |= {f"{name}.{i}": part for i, part in enumerate(parts) if isinstance(part, Tensor)}
    return found


def meaningful(name: str, tensor: Tensor, mask: Tensor) -> Tensor:
    """The rows of real tokens; all rows of what belongs to targets or texts."""
    if name.startswith("attentions"):
        return tensor.transpose(1, 2)[mask.bool()]
    return tensor[mask.bool()] if tensor.shape[:2] == mask.shape else tensor


# ----------------------------------------------------------------------------------- published numbers


@packed_or_padded
@each_way
def test_golden_numbers(golden: Callable, return_attention, skip_padding):
    folder, cases = golden("xlnet")
    model = from_pretrained(folder, "permutation-lm")
    model.backbone.skip_padding = skip_padding
    ids, mask, types = (cases[name] for name in ("input_ids", "attention_mask", "token_type_ids"))
    real = mask.bool()
    output = model(ids, mask, types, return_attention)
    assert_close(output.last_hidden_state[real], cases["last_hidden_state"][real], 1e-5)
    assert_close(output.logits[real], cases["lm_logits"][real], 1e-5)
    streams = {name: cases[name] for name in ("perm_mask", "target_mapping")}
    logits = model(ids, None, torch.zeros_like(ids), return_attention, **streams).logits
    assert_close(logits, cases["two_stream_logits"], 1e-5)


@packed_or_padded
def test_golden_hidden_states_and_attentions(golden: Callable, skip_padding):
    folder, cases = golden("xlnet")
    _, more = golden("xlnet-streams")
    model = from_pretrained(folder)
    model.skip_padding = skip_padding
    mask = cases["attention_mask"]
    output = model(cases["input_ids"], mask, cases["token_type_ids"], return_attention=True, return_hidden=True)
    found = everything(output)
    compared = 0
    for name, expected in more.items():
        if name.startswith("padded."):
            short = name.removeprefix("padded.")
            assert_close(meaningful(short, found[short], mask), meaningful(short, expected, mask), 1e-5)
            compared += 1
    assert compared == 2 * 3 + 1


@each_way
def test_golden_second_segment_with_memory_and_two_streams(golden: Callable, return_attention):
    folder, _ = golden("xlnet")
    _, cases = golden("xlnet-streams")
    model = from_pretrained(folder, "permutation-lm")
    first = model(cases["input_ids"], token_type_ids=cases["token_type_ids"], return_attention=return_attention)
    for i, memory in enumerate(first.mems):
        assert_close(memory, cases[f"mems.{i}"], 1e-5)
    names = ("input_ids", "token_type_ids", "perm_mask", "target_mapping")
    inputs = {name: cases[f"second.{name}"] for name in names} | {"mems": first.mems}
    second = model(**inputs, return_attention=return_attention, return_hidden=True)
    found = everything(second) | {"logits": second.logits}
    for name, expected in cases.items():
        short = name.removeprefix("second.")
        compared = name.startswith("second.") and short not in (*names, "plain_logits")
        if compared and (return_attention or "attentions" not in short):
            assert_close(found[short], expected, 1e-5)
    del inputs["perm_mask"], inputs["target_mapping"]
    assert_close(model(**inputs, return_attention=return_attention).logits, cases["second.plain_logits"], 1e-5)


@packed_or_padded
def test_golden_classifier(golden: Callable, skip_padding):
    folder, cases = golden("xlnet-classifier")
    model = from_pretrained(folder, "sequence-classification")
    model.backbone.skip_padding = skip_padding
    assert_close(model(**{k: v for k, v in cases.items() if k != "logits"}).logits, cases["logits"], 1e-5)


# ------------------------------------------------------------------------------------------- distances


def test_sinusoids_are_all_sines_and_then_all_cosines():
    distances = torch.tensor([3, 0, -2])
    found = sinusoids(distances, 6)
    for row, distance in zip(found.tolist(), distances.tolist(), strict=True):
        angles = [distance / 10000 ** (2 * i / 6) for i in range(3)]
        expected = [math.sin(x) for x in angles] + [math.cos(x) for x in angles]
        assert row == pytest.approx(expected, abs=1e-6)


def test_the_distances_run_from_t_down_to_1_minus_s():
    gaps = torch.zeros(3, 5)
    assert torch.equal(distance_vectors(gaps, 4), sinusoids(torch.tensor([5, 4, 3, 2, 1, 0, -1, -2]), 4))
    assert torch.equal(distance_vectors(gaps, 4, clamp=2), sinusoids(torch.tensor([2, 2, 2, 2, 1, 0, -1, -2]), 4))
    assert torch.equal(distance_vectors(gaps, 4, clamp=1), sinusoids(torch.tensor([1, 1, 1, 1, 1, 0, -1, -1]), 4))


@pytest.mark.parametrize(("queries", "keys"), [(1, 1), (1, 4), (3, 3), (3, 5), (5, 6)])
def test_the_shift_takes_each_score_to_its_distance(queries, keys):
    """Against a loop; each number says which batch, query and distance it was computed for."""
    distances = list(range(keys, -queries, -1))
    scores = torch.tensor(
        [[[1000.0 * b + 100 * i + distance for distance in distances] for i in range(queries)] for b in range(2)]
    )
    shifted = shift(scores)
    assert shifted.shape == (2, queries, keys)
    for b in range(2):
        for i in range(queries):
            for j in range(keys):  # the queries are the last of the keys
                assert shifted[b, i, j] == 1000 * b + 100 * i + (keys - queries + i) - j


def test_a_text_and_its_mirror_image_differ():
    """The sign of a distance counts: what is before and what is behind is not the same."""
    model = xlnet()
    output, mirrored = model(IDS).last_hidden_state, model(IDS.flip(1)).last_hidden_state.flip(1)
    assert (output - mirrored).abs().mean() > 0.1


@pytest.mark.parametrize("clamp", [1, S])
def test_distances_beyond_the_clamp_are_all_alike(clamp):
    """Two tokens that are both further away than the clamp can change places; nearer ones cannot."""
    model = xlnet(clamp_len=clamp)
    swapped = IDS.clone()
    swapped[:, [4, 6]] = IDS[:, [6, 4]]
    plain, other = model(IDS).last_hidden_state[:, 0], model(swapped).last_hidden_state[:, 0]
    one_block = xlnet(clamp_len=clamp, num_hidden_layers=1)
    same = torch.allclose(one_block(IDS).last_hidden_state[:, 0], one_block(swapped).last_hidden_state[:, 0])
    assert same == (clamp == 1)
    assert not torch.allclose(plain, other)  # through the other tokens, which are nearer
    assert torch.equal(xlnet(clamp_len=S)(IDS).last_hidden_state, xlnet()(IDS).last_hidden_state)


# ------------------------------------------------------------------------------------------- attention


def attention_by_hand(part: RelativeAttention, x: Tensor, memory: Tensor, types: Tensor, seen: Tensor) -> Tensor:
    """The formula of the paper, one query and key at a time. seen: (B, S, T) booleans. Returns (B, S, D)."""
    batch, size = x.shape[:2]
    whole = torch.cat([memory, x], dim=1)
    key_types = torch.cat([torch.zeros(batch, memory.shape[1], dtype=torch.long), types], dim=1)
    output = torch.zeros_like(x)
    for b in range(batch):
        for i in range(size):
            for h in range(part.query.shape[1]):
                q = x[b, i] @ part.query[:, h]
                scores = []
                for j in range(whole.shape[1]):
                    distance = torch.tensor([memory.shape[1] + i - j])
                    r = sinusoids(distance, x.shape[-1])[0].to(x.dtype) @ part.position[:, h]
                    s = part.segment[int(types[b, i] != key_types[b, j]), h]
                    score = (q + part.content_bias[h]) @ (whole[b, j] @ part.key[:, h])
                    score = score + (q + part.position_bias[h]) @ r + (q + part.segment_bias[h]) @ s
                    scores.append(score / math.sqrt(len(q)) if seen[b, i, j] else torch.tensor(-math.inf))
                weights = torch.stack([score.to(x.dtype) for score in scores]).softmax(0)
                mixed = sum(weight * (word @ part.value[:, h]) for weight, word in zip(weights, whole[b], strict=True))
                output[b, i] += part.output[:, h] @ mixed
    return output


def small_case() -> tuple[RelativeAttention, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """A part, content (2, 3, D), memory (2, M, D), types, what may be seen (2, 3, M + 3), and how far it is."""
    part = randomise(RelativeAttention(D, H, 0.0, 0.02)).double()
    x, memory = randn(2, 3, D), randn(2, M, D, seed=1)
    types = torch.tensor([[0, 0, 1], [0, 2, 1]])
    seen = torch.rand(2, 3, M + 3, generator=torch.Generator().manual_seed(2)) > 0.4
    gaps = M + torch.arange(3)[:, None] - torch.arange(M + 3)
    return part, x, memory, types, and_itself(seen, gaps), gaps


@each_way
@pytest.mark.parametrize("where", ["content", "query"])
def test_attention_is_what_a_person_computes_number_by_number(where, return_attention):
    part, x, memory, types, seen, gaps = small_case()
    different = types[:, :, None] != torch.cat([torch.zeros(2, M, dtype=torch.long), types], dim=1)[:, None]
    looked_at = part.looked_at(x, Layout(), memory, distance_vectors(gaps, D).double())
    expected = attention_by_hand(part, x, memory, types, seen)
    if where == "content":
        found, _ = part(x, looked_at, View(Layout(), seen[:, None], different[:, None]), return_attention)
    else:  # the same queries, but two of them, and in another order
        places = torch.tensor([[2, 0], [1, 2]])
        rows = torch.arange(2)[:, None], places
        columns = (M + 3 - gaps)[places][:, None]
        view = View(Layout(), seen[rows][:, None], different[rows][:, None], columns)
        found, _ = part(x[rows], looked_at, view, return_attention)
        expected = expected[rows]
    assert_close(found, expected, 1e-10)


def test_gradients_of_attention():
    part, x, memory, _, seen, gaps = small_case()
    different = torch.rand(2, 1, 3, M + 3, generator=torch.Generator().manual_seed(4)) > 0.5
    distances = distance_vectors(gaps, D).double()
    names = [name for name, _ in part.named_parameters()]

    def run(x: Tensor, memory: Tensor, *weights: Tensor) -> Tensor:
        with torch.no_grad():
            for name, weight in zip(names, weights, strict=True):
                setattr(part, name, nn.Parameter(weight))
        for name, weight in zip(names, weights, strict=True):
            delattr(part, name)
            setattr(part, name, weight)
        looked_at = part.looked_at(x, Layout(), memory, distances)
        content, _ = part(x, looked_at, View(Layout(), seen[:, None], different))
        columns = (M + 3 - gaps)[[2, 0]][None, None].expand(2, -1, -1, -1)
        query, _ = part(x[:, :2], looked_at, View(Layout(), seen[:, None, [2, 0]], different[:, :, [2, 0]], columns))
        return torch.cat([content, query], dim=1)

    assert gradcheck(run, [x, memory, *(p.detach().clone().requires_grad_() for p in part.parameters())])


def test_gradients_of_a_whole_model_with_both_streams():
    model = xlnet("permutation-lm", num_hidden_layers=1, vocab_size=8, hidden_size=4, num_attention_heads=2)
    ids = IDS[:2, :4] % 8
    order = orders(3, 4, 2)
    streams = {"perm_mask": perm_mask_of(order), "target_mapping": mapping_of(last_places(order), 4)}

    class Logits(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, ids: Tensor) -> Tensor:
            output = self.model(ids, token_type_ids=TYPES[:2, 2:6], **streams, return_hidden=True)
            return torch.cat([output.logits.flatten(), output.last_hidden_state.flatten()])

    assert gradcheck_module(Logits(), ids)


@pytest.mark.parametrize("memory", [False, True], ids=["", "memory"])
@packed_or_padded
def test_fused_equals_written_out_in_values_and_gradients(skip_padding, memory):
    model = xlnet("permutation-lm", skip_padding=skip_padding)
    streams = {**BATCH, **TWO_STREAMS, "return_hidden": True}
    if memory:
        streams["mems"] = model(**BATCH).mems
    results = []
    for written_out in (True, False):
        output = model(**streams, return_attention=written_out)
        (output.logits[:4].square().sum() + output.last_hidden_state[REAL].square().sum()).backward()
        results.append((output, [p.grad.clone() for p in model.parameters()]))
        model.zero_grad()
    (one, gradients), (other, others) = results
    assert_close(one.logits[:4], other.logits[:4])
    assert_close(one.last_hidden_state[REAL], other.last_hidden_state[REAL])
    for mine, theirs in zip(gradients, others, strict=True):
        assert mine.isfinite().all()
        assert_close(mine, theirs, 1e-10)


def test_rows_of_attention_sum_to_one_over_what_may_be_seen_also_while_training():
    model = xlnet(hidden_dropout_prob=0.5)
    for mode in (False, True):
        output = model.train(mode)(**BATCH, **TWO_STREAMS, return_attention=True)
        assert len(output.attentions) == len(output.query_attentions) == L
        hidden = TWO_STREAMS["perm_mask"].bool() & ~torch.eye(S).bool() | ~REAL[:, None]
        for weights in output.attentions:
            rows = weights.transpose(1, 2)[REAL]
            assert_close(rows.sum(-1), torch.ones_like(rows[..., 0]))
            assert not weights.transpose(1, 2)[REAL][hidden[REAL][:, None].expand_as(rows)].any()
        for weights in output.query_attentions:
            sums = weights.sum(-1)
            assert ((sums - 1).abs() < 1e-9).logical_or(sums == 0).all()


# -------------------------------------------------------------------------------------------- segments


def test_segments_are_only_compared():
    model = xlnet()
    one = model(IDS, token_type_ids=TYPES).last_hidden_state
    assert_close(model(IDS, token_type_ids=7 - 5 * TYPES).last_hidden_state, one)
    assert (model(IDS, token_type_ids=torch.zeros_like(IDS)).last_hidden_state - one).abs().max() > 1e-2


def test_without_token_types_there_is_no_segment_term():
    model = xlnet()
    plain = model(IDS).last_hidden_state
    with torch.no_grad():
        for block in model.encoder.blocks:
            block.attention.segment.zero_()
    for types in (None, TYPES, torch.zeros_like(IDS)):
        assert_close(model(IDS, token_type_ids=types).last_hidden_state, plain)


def test_one_segment_alone_is_as_good_as_none():
    """The term is then the same for all keys of a query, and the softmax does not see it."""
    model = xlnet()
    plain = model(IDS).last_hidden_state
    assert_close(model(IDS, token_type_ids=torch.full_like(IDS, 3)).last_hidden_state, plain)
    assert (model(IDS, token_type_ids=TYPES).last_hidden_state - plain).abs().max() > 1e-2


# --------------------------------------------------------------------------------------------- padding


def heads_output(model: nn.Module, head: str | None, **inputs) -> dict[str, Tensor]:
    streams = TWO_STREAMS if head in (None, "permutation-lm") else {}
    found = everything(model(**inputs, **streams, return_attention=True, return_hidden=True))
    # Of a target that is padding, or a text of nothing else, nothing means anything.
    return {
        name: tensor[:4] if "query" in name or name.startswith(("logits", "mems")) else tensor
        for name, tensor in found.items()
    }


def real_targets(name: str, tensor: Tensor) -> Tensor:
    """Of what belongs to targets, those that are real tokens."""
    places = torch.gather(REAL, 1, last_places(ORDER))[: len(tensor)]
    if name.startswith("query_attentions"):
        return tensor.transpose(1, 2)[places]
    return tensor[places] if tensor.shape[1] == P else tensor


@packed_or_padded
@pytest.mark.parametrize("head", HEADS)
def test_padded_ids_change_nothing_and_learn_nothing(head, skip_padding):
    model = xlnet(head, skip_padding=skip_padding)
    marked = torch.where(REAL, IDS, 3)  # the id 3 stands only where the padding is
    other = {**BATCH, "input_ids": torch.where(REAL, IDS, 4), "token_type_ids": torch.where(REAL, TYPES, 3)}
    before = heads_output(model, head, **{**BATCH, "input_ids": marked})
    after = heads_output(model, head, **other)
    for name, tensor in before.items():
        kept, changed = (
            real_targets(name, each)
            if "query" in name or (head == "permutation-lm" and name.startswith("logits"))
            else meaningful(name, each, MASK[: len(each)])
            for each in (tensor, after[name])
        )
        assert torch.equal(kept, changed), name
    table = body_of(model).word_embeddings.weight
    (gradient,) = torch.autograd.grad(before["last_hidden_state.0"][REAL].square().sum(), table)
    assert gradient[IDS[0, 0]].any()
    assert not gradient[3].any()


@each_way
@packed_or_padded
@pytest.mark.parametrize("side", ["left", "right"])
def test_a_text_comes_out_the_same_alone_and_padded(side, skip_padding, return_attention):
    """On either side: only distances count. So do the targets' places, and what the query stream makes of them."""
    model = xlnet(skip_padding=skip_padding)
    length, padding = 5, 3
    ids, order = numbered(1, length), orders(1, length)
    streams = {"perm_mask": perm_mask_of(order), "target_mapping": mapping_of(last_places(order), length)}
    types = TYPES[:, -length:]
    alone = model(ids, token_type_ids=types, return_attention=return_attention, **streams)
    before = padding if side == "left" else 0
    around = (before, padding - before)
    pad = nn.functional.pad
    perm = torch.ones(B, length + padding, length + padding)
    perm[:, before : before + length, before : before + length] = streams["perm_mask"]
    perm[:, :, :before] = perm[:, :, before + length :] = 0  # the attention mask alone has to hide the padding
    among = model(
        pad(ids, around, value=5),
        pad(torch.ones_like(ids), around),
        pad(types, around, value=3),
        return_attention=return_attention,
        perm_mask=perm,
        target_mapping=pad(streams["target_mapping"], around),
    )
    assert_close(among.last_hidden_state[:, before : before + length], alone.last_hidden_state)
    assert_close(among.query_state, alone.query_state)


@each_way
@packed_or_padded
def test_a_text_of_nothing_but_padding_gives_no_nan(skip_padding, return_attention):
    model = xlnet("permutation-lm", skip_padding=skip_padding)
    output = model(**BATCH, **TWO_STREAMS, return_attention=return_attention, return_hidden=True)
    assert all(tensor.isfinite().all() for tensor in everything(output).values())
    (output.logits.square().sum() + output.last_hidden_state[REAL].square().sum()).backward()
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)
    nothing = {"input_ids": IDS, "attention_mask": torch.zeros_like(MASK)}
    assert model(**nothing).logits.isfinite().all()


@pytest.mark.parametrize("head", HEADS)
def test_packed_equals_padded(head):
    model = xlnet(head)
    packed = heads_output(model, head, **BATCH)
    body_of(model).skip_padding = False
    for name, expected in heads_output(model, head, **BATCH).items():
        targets = "query" in name or (head == "permutation-lm" and name.startswith("logits"))
        mask = MASK[: len(expected)]
        if targets:
            assert_close(real_targets(name, packed[name]), real_targets(name, expected))
        else:
            assert_close(meaningful(name, packed[name], mask), meaningful(name, expected, mask))


@packed_or_padded
def test_permuting_the_batch_permutes_the_output(skip_padding):
    model, order = xlnet(skip_padding=skip_padding), torch.tensor([3, 0, 4, 2, 1])
    inputs = {**BATCH, **TWO_STREAMS}
    mems = model(**BATCH).mems
    before = everything(model(**inputs, mems=mems))
    permuted = {name: tensor[order] for name, tensor in inputs.items()}
    after = everything(model(**permuted, mems=[memory[order] for memory in mems]))
    for name, expected in before.items():
        found, expected = after[name], expected[order]
        assert_close(meaningful(name, found, MASK[order]), meaningful(name, expected, MASK[order]))


# ----------------------------------------------------------------------------------------- two streams


def gradient_by_token(model: nn.Module, ids: Tensor, states: Tensor) -> Tensor:
    """How far each token of each text moves `states`, (B, S); states belong to one text each, (B, ...)."""
    table = body_of(model).word_embeddings.weight
    rows = []
    for text, state in zip(ids, states, strict=True):
        (gradient,) = torch.autograd.grad(state.square().sum(), table, retain_graph=True)
        rows.append(gradient[text].abs().sum(-1))
    return torch.stack(rows)


@each_way
@pytest.mark.parametrize("attn_type", ["bi", "uni"])
def test_a_target_sees_exactly_what_comes_before_it_in_the_order(attn_type, return_attention):
    """The gradient of a query is exactly 0 at the target's own word and all later ones, and not at earlier ones."""
    model = xlnet(attn_type=attn_type)
    ids, order = numbered(), orders(5)
    places = order.argsort(dim=1)[:, [2, S - 1]]
    output = model(
        ids, return_attention=return_attention, perm_mask=perm_mask_of(order), target_mapping=mapping_of(places)
    )
    for target in range(2):
        place = places[:, target : target + 1]
        moved = gradient_by_token(model, ids, output.query_state[:, target])
        earlier = order < order.gather(1, place)
        if attn_type == "uni":
            earlier &= torch.arange(S) <= place
        assert torch.equal(moved > 0, earlier)
        assert (moved.gather(1, place) == 0).all()


@each_way
def test_another_word_at_its_place_leaves_a_target_bit_by_bit_the_same(return_attention):
    model, ids = xlnet("permutation-lm"), numbered()
    places = last_places(ORDER, 1)
    streams = {"perm_mask": TWO_STREAMS["perm_mask"], "target_mapping": mapping_of(places)}
    logits = model(ids, return_attention=return_attention, **streams).logits
    changed = ids.scatter(1, places, (ids.gather(1, places) + 1) % V)
    assert not torch.equal(changed, ids)
    assert torch.equal(model(changed, return_attention=return_attention, **streams).logits, logits)


def test_the_content_stream_always_sees_itself():
    model, ids = xlnet(), numbered()
    nothing = torch.ones(B, S, S)
    output = model(ids, perm_mask=nothing).last_hidden_state
    for place in range(S):
        moved = gradient_by_token(model, ids, output[:, place])
        assert torch.equal(moved > 0, (torch.arange(S) == place).expand(B, -1))


def test_a_content_vector_sees_itself_and_what_comes_before_it_in_the_order():
    model, ids, order = xlnet(), numbered(), orders(6)
    output = model(ids, perm_mask=perm_mask_of(order)).last_hidden_state
    for place in range(S):
        moved = gradient_by_token(model, ids, output[:, place])
        assert torch.equal(moved > 0, order <= order[:, place : place + 1])


def test_targets_leave_the_content_stream_alone():
    """Whatever is asked for, in whatever order: where every token may look at every other, the text reads the same."""
    model = xlnet()
    plain = model(IDS, MASK, return_hidden=True)
    itself = torch.eye(S).expand(B, -1, -1)  # hidden from the queries; the content stream sees itself anyway
    for seed in range(3):
        asked = mapping_of(last_places(orders(seed), 3))
        output = model(IDS, MASK, perm_mask=itself, target_mapping=asked, return_hidden=True)
        for mine, theirs in zip(output.hidden_states, plain.hidden_states, strict=True):
            assert torch.equal(mine, theirs)
        assert torch.equal(output.last_hidden_state, plain.last_hidden_state)
        assert output.query_state.shape == (B, 3, D)
    in_order = model(IDS, MASK, perm_mask=TWO_STREAMS["perm_mask"]).last_hidden_state
    assert (in_order - plain.last_hidden_state).abs().max() > 1e-2


@pytest.mark.parametrize("layers", [1, 2])
def test_the_order_of_the_context_counts_only_from_the_second_block_on(layers):
    """In the first block a query sees a set of words; in the second, what they have made of those before them."""
    model, ids = xlnet(num_hidden_layers=layers), numbered()
    first = orders(7)
    second = first.clone()
    second[first == 0], second[first == 1] = 1, 0
    asked = mapping_of(last_places(first, 1))
    masks = perm_mask_of(first), perm_mask_of(second)
    one, other = (model(ids, perm_mask=mask, target_mapping=asked).query_state for mask in masks)
    assert torch.allclose(one, other, rtol=0, atol=1e-12) == (layers == 1)


@each_way
def test_a_target_that_may_look_at_nothing_attends_to_nothing(return_attention):
    model, ids = xlnet("permutation-lm"), numbered()
    places = ORDER.argsort(dim=1)[:, :1]  # the first of the order
    streams = {"perm_mask": TWO_STREAMS["perm_mask"], "target_mapping": mapping_of(places)}
    output = model(ids, return_attention=return_attention, **streams)
    assert output.logits.isfinite().all()
    assert_close(output.logits, output.logits[:1].expand_as(output.logits))  # the same whatever the text
    assert not gradient_by_token(model, ids, output.query_state).any()
    if return_attention:
        assert not any(weights.any() for weights in output.query_attentions)


def test_an_unused_target_changes_nothing():
    model, labels = xlnet("permutation-lm"), torch.full((B, P + 1), -100)
    labels[:, :P] = 7
    more = {**TWO_STREAMS, "target_mapping": nn.functional.pad(TWO_STREAMS["target_mapping"], (0, 0, 0, 1))}
    one, other = model(IDS, **TWO_STREAMS, labels=labels[:, :P]), model(IDS, **more, labels=labels)
    assert_close(other.logits[:, :P], one.logits)
    assert_close(other.loss, one.loss)
    assert_close(other.logits[:, P], other.logits[:1, P].expand(B, -1))  # it attends to nothing, whatever the text
    for output in (one, other):
        (gradient,) = torch.autograd.grad(output.loss, model.backbone.embeddings.target, retain_graph=True)
        assert gradient.any()


def test_the_query_stream_starts_from_one_vector_and_knows_its_place():
    model = xlnet()
    hidden = torch.zeros(B, S, S)
    hidden[:, :, [1, 5, 3]] = 1  # the targets see the same four words
    asked = mapping_of(torch.tensor([[1, 5, 3]]).expand(B, -1))
    output = model(IDS, perm_mask=hidden, target_mapping=asked, return_hidden=True)
    assert_close(output.query_hidden_states[0], model.embeddings.target.expand(B, 3, D))
    assert len(output.query_hidden_states) == L + 1
    assert torch.equal(output.query_hidden_states[-1], output.query_state)
    states = output.query_state
    assert ((states[:, 0] - states[:, 1]).abs().amax(-1) > 1e-2).all()
    assert ((states[:, 0] - states[:, 2]).abs().amax(-1) > 1e-2).all()


def test_targets_come_in_the_order_they_are_asked_for():
    model = xlnet()
    mapping = TWO_STREAMS["target_mapping"]
    states = model(IDS, perm_mask=TWO_STREAMS["perm_mask"], target_mapping=mapping).query_state
    turned = model(IDS, perm_mask=TWO_STREAMS["perm_mask"], target_mapping=mapping.flip(1)).query_state
    assert_close(turned.flip(1), states)
    for dtype in (torch.long, torch.bool, torch.int8):
        other = {name: tensor.to(dtype) for name, tensor in TWO_STREAMS.items()}
        assert torch.equal(model(IDS, **other).query_state, states)


# ---------------------------------------------------------------------------------------------- memory


@pytest.mark.parametrize("way", ["uni", "perm_mask"])
@pytest.mark.parametrize("types", [False, True], ids=["", "segments"])
@pytest.mark.parametrize("cuts", [(3,), (2, 5), (1, 2, 6)])
def test_segments_with_memory_equal_one_long_text_where_no_token_sees_a_later_one(way, types, cuts):
    """Exactly when: nothing looks ahead (attn_type "uni", or a causal perm_mask), the memory holds all of the past
    (mem_len, reuse_len), and the past is of segment A (or there are no segments)."""
    model = xlnet(attn_type="uni" if way == "uni" else "bi")
    ids = numbered(2)
    segments = (torch.arange(S) >= cuts[-1] + 1).long().expand(B, -1) if types else None

    def read(start: int, end: int, mems: list[Tensor] | None) -> XLNetOutput:
        size = end - start
        perm = (~causal_mask(size)[0]).float().expand(B, -1, -1) if way == "perm_mask" else None
        part = None if segments is None else segments[:, start:end]
        return model(ids[:, start:end], token_type_ids=part, perm_mask=perm, mems=mems)

    whole = read(0, S, None)
    mems = None
    for start, end in zip((0, *cuts), (*cuts, S), strict=True):
        output = read(start, end, mems)
        assert_close(output.last_hidden_state, whole.last_hidden_state[:, start:end])
        mems = output.mems
    for mine, theirs in zip(mems, whole.mems, strict=True):
        assert_close(mine, theirs)


@pytest.mark.parametrize("changes", [{"mem_len": 2}, {"reuse_len": 2}, {"attn_type": "bi"}], ids=str)
def test_segments_with_less_memory_or_a_look_ahead_do_not_equal_one_long_text(changes):
    model = xlnet(**{"attn_type": "uni", **changes})
    ids = numbered(2)
    mems = model(ids[:, :4]).mems
    second = model(ids[:, 4:], mems=mems).last_hidden_state
    assert (second - model(ids).last_hidden_state[:, 4:]).abs().max() > 1e-3


def test_memory_holds_what_each_block_read_old_before_new_and_no_gradient():
    model = xlnet()
    first = model(IDS, return_hidden=True)
    assert len(first.mems) == L
    for memory, read in zip(first.mems, first.hidden_states, strict=False):
        assert torch.equal(memory, read)
        assert not memory.requires_grad
    second = model(IDS.flip(0), mems=first.mems, return_hidden=True)
    for memory, old, read in zip(second.mems, first.mems, second.hidden_states, strict=False):
        assert torch.equal(memory, torch.cat([old, read], dim=1))
    assert [weights.shape for weights in model(IDS, mems=first.mems, return_attention=True).attentions] == [
        (B, H, S, 2 * S)
    ] * L


@pytest.mark.parametrize(
    ("changes", "kept"),
    [
        ({"mem_len": 2}, [5, 6]),
        ({"mem_len": None}, range(7)),
        ({"mem_len": 0}, range(7)),
        ({"reuse_len": 3}, range(3)),
        ({"reuse_len": 4, "mem_len": 2}, [2, 3]),
        ({"reuse_len": 0}, range(7)),
    ],
    ids=str,
)
def test_how_much_is_kept(changes, kept):
    model = xlnet(**changes)
    output = model(IDS, return_hidden=True)
    for memory, read in zip(output.mems, output.hidden_states, strict=False):
        assert torch.equal(memory, read[:, list(kept)])
    again = model(IDS, mems=output.mems, return_hidden=True)
    longest = changes.get("mem_len") or 2 * S
    for memory, old, read in zip(again.mems, output.mems, again.hidden_states, strict=False):
        assert torch.equal(memory, torch.cat([old, read[:, : changes.get("reuse_len") or S]], dim=1)[:, -longest:])


def test_memory_is_kept_in_evaluation_and_in_training_as_the_config_says():
    for use_eval in (True, False):
        for use_train in (True, False):
            model = xlnet(use_mems_eval=use_eval, use_mems_train=use_train)
            assert (model(IDS).mems is not None) == use_eval
            assert (model.train()(IDS).mems is not None) == use_train


def test_memory_is_of_segment_a():
    model = xlnet(attn_type="uni")
    whole = torch.tensor([0] * 3 + [1] * 4).expand(B, -1)
    first = model(IDS[:, :3], token_type_ids=whole[:, :3])
    second = model(IDS[:, 3:], token_type_ids=whole[:, 3:], mems=first.mems)
    assert_close(second.last_hidden_state, model(IDS, token_type_ids=whole).last_hidden_state[:, 3:])


@packed_or_padded
def test_padding_in_memory_is_not_seen(skip_padding):
    model = xlnet("permutation-lm", skip_padding=skip_padding)
    ids, streams = numbered(3), TWO_STREAMS
    second = numbered(4)
    alone = model(second, mems=model(ids[:, 3:]).mems, **streams)
    mask = (torch.arange(S) >= 3).long().expand(B, -1)
    output = model(second, mems=model(ids, mask).mems, return_attention=True, **streams)
    assert_close(output.logits, alone.logits)
    for weights in (*output.attentions, *output.query_attentions):
        assert not weights[..., :3].any()
        assert weights[..., 3:S].any()


@pytest.mark.parametrize("same_length", [False, True])
@pytest.mark.parametrize("past", [0, M])
def test_one_way_attention_sees_no_later_token_and_with_same_length_equally_many(past, same_length):
    model = xlnet(attn_type="uni", same_length=same_length)
    mems = None if past == 0 else model(numbered(1, past)).mems
    output = model(IDS, mems=mems, return_attention=True)
    for i in range(S):
        for j in range(past + S):
            sees = j <= past + i and (not same_length or j >= i)
            assert all((weights[:, :, i, j] > 0).all() == sees for weights in output.attentions), (i, j)


# ----------------------------------------------------------------------------------------------- heads


def test_words_are_scored_against_the_word_table_with_a_bias_of_their_own():
    model = xlnet("permutation-lm")
    words = model.backbone.word_embeddings.weight
    output = model(**BATCH)
    assert_close(output.logits, output.last_hidden_state @ words.T + model.lm.bias)
    output = model(**BATCH, **TWO_STREAMS)
    assert output.logits.shape == (B, P, V)
    assert_close(output.logits, output.query_state @ words.T + model.lm.bias)
    assert [p for p in model.parameters() if p.dim() == 2 and p.shape[0] == V] == [words]
    assert count_parameters(model) == count_parameters(model.backbone) + V


def test_the_loss_is_the_mean_over_the_targets_that_count():
    model = xlnet("permutation-lm")
    labels = torch.tensor([[3, 7], [-100, 30], [0, -100], [-100, -100], [8, 8]])
    output = model(IDS, **TWO_STREAMS, labels=labels)
    logs = output.logits.log_softmax(-1)
    counted = [(0, 0, 3), (0, 1, 7), (1, 1, 30), (2, 0, 0), (4, 0, 8), (4, 1, 8)]
    assert_close(output.loss, -torch.stack([logs[place] for place in counted]).mean())
    everywhere = model(IDS, labels=IDS)
    assert_close(everywhere.loss, cross_entropy(everywhere.logits, IDS))


def test_the_last_block_leaves_the_content_out_where_nobody_needs_it():
    model = xlnet("permutation-lm")
    calls = []
    model.backbone.encoder.blocks[-1].feed_forward.register_forward_hook(lambda *_: calls.append(1))
    labels = torch.full((B, P), 4)

    def gradients(**settings) -> tuple[XLNetOutput, list[Tensor | None]]:
        calls.clear()
        output = model(**BATCH, **TWO_STREAMS, labels=labels, **settings)
        model.zero_grad()
        output.loss.backward()
        return output, [p.grad for p in model.parameters()]

    short, some = gradients()
    assert len(calls) == 1
    whole, all_of_it = gradients(return_hidden=True)
    assert len(calls) == 2
    assert_close(short.logits, whole.logits)
    assert not short.last_hidden_state.any()
    assert whole.last_hidden_state.any()
    for mine, theirs in zip(some, all_of_it, strict=True):
        assert_close(mine, theirs)
    for mine, theirs in zip(short.mems, whole.mems, strict=True):
        assert torch.equal(mine, theirs)


@pytest.mark.parametrize("head", ["masked-lm", "pretraining"])
def test_xlnet_has_no_masked_words(head):
    with expect_refusal(f"xlnet cannot have the head '{head}'", "permutation-lm"):
        build(CONFIG, head)


def test_others_have_no_query_stream():
    with expect_refusal("bert cannot have the head 'permutation-lm'", "masked-lm"):
        build(BertConfig(vocab_size=V, hidden_size=D, num_attention_heads=H), "permutation-lm")


@packed_or_padded
@pytest.mark.parametrize("mask", [None, *MASK[:4]], ids=["none", "all", "right", "left", "middle"])
def test_a_text_is_judged_by_its_last_real_token(mask, skip_padding):
    model = xlnet("sequence-classification", skip_padding=skip_padding)
    mask = mask if mask is None else mask.expand(B, -1)
    last = S - 1 if mask is None else max(i for i in range(S) if mask[0, i])
    output = model(IDS, mask, TYPES)
    summary = torch.tanh(output.last_hidden_state[:, last] @ model.dense.weight.T + model.dense.bias)
    assert_close(output.logits, summary @ model.classifier.weight.T + model.classifier.bias)


def test_tokens_and_answers_are_judged_from_the_content_stream():
    for head, name in (("token-classification", "classifier"), ("question-answering", "span")):
        model = xlnet(head)
        output = model(**BATCH, **TWO_STREAMS)
        layer = getattr(model, name)
        expected = output.last_hidden_state @ layer.weight.T + layer.bias
        assert_close(output.logits[REAL], expected[REAL])
        assert output.logits.shape == (B, S, len(layer.bias))


def test_heads_pass_memory_on():
    model = xlnet("sequence-classification")
    mems = model(IDS).mems
    assert (model(IDS, mems=mems).logits - model(IDS).logits).abs().max() > 1e-3
    assert_close(model(IDS, mems=mems).last_hidden_state, model.backbone(IDS, mems=mems).last_hidden_state)


# --------------------------------------------------------------------------------------------- dropout


def test_dropout_acts_only_while_training():
    plain = xlnet()(**BATCH).last_hidden_state
    for rate in (0.0, 0.3):
        model = xlnet(hidden_dropout_prob=rate)
        assert torch.equal(model(**BATCH).last_hidden_state, plain)
        torch.manual_seed(0)
        assert torch.equal(model.train()(**BATCH).last_hidden_state[REAL], plain[REAL]) == (rate == 0.0)


def test_where_the_released_code_drops():
    """Words, targets, distances, weights, after attention, inside and after the feed-forward, and the last states."""
    model = xlnet(hidden_dropout_prob=0.25)
    block = model.encoder.blocks[0]
    assert {part.p for part in model.modules() if isinstance(part, nn.Dropout)} == {0.25}
    assert block.attention.dropout == 0.25
    seen: dict[str, Tensor] = {}
    block.feed_forward.contract.register_forward_hook(lambda _, inputs, __: seen.update(inner=inputs[0]))
    block.attention.register_forward_hook(lambda _, inputs, __: seen.update(content=inputs[0]))
    with torch.no_grad():
        model.embeddings.word.weight.abs_().add_(1)
        model.embeddings.target.abs_().add_(1)
    model.train()
    torch.manual_seed(0)
    output = model(IDS, **TWO_STREAMS, return_hidden=True)
    first = output.hidden_states[0], output.query_hidden_states[0]
    for states in (*first, output.last_hidden_state, output.query_state):
        share = (states == 0).double().mean().item()
        assert 0.1 < share < 0.4
    assert 0.1 < (seen["inner"] == 0).double().mean() < 0.4
    assert not (output.hidden_states[-1] == 0).any()
    rates = {"hidden_dropout_prob": 0.0}
    torch.manual_seed(0)
    one = xlnet(**rates).train()
    expected = one(IDS).last_hidden_state
    for change in (
        lambda m: setattr(m.encoder.blocks[0].dropout, "p", 0.5),
        lambda m: setattr(m.encoder.blocks[0].attention, "dropout", 0.5),
        lambda m: setattr(m.encoder.blocks[0].feed_forward.dropout, "p", 0.5),
        lambda m: setattr(m.embeddings.dropout, "p", 0.5),
        lambda m: setattr(m.dropout, "p", 0.5),
    ):
        model = xlnet(**rates).train()
        change(model)
        assert not torch.equal(model(IDS).last_hidden_state, expected)


@pytest.mark.parametrize(
    ("head", "part", "rate"),
    [
        ("sequence-classification", "dropout", 0.2),
        ("sequence-classification", "dense_dropout", 0.0),
        ("token-classification", "dropout", 0.0),
        ("question-answering", "dropout", 0.0),
    ],
)
def test_heads_drop_as_the_published_ones_do(head, part, rate):
    assert getattr(xlnet(head, classifier_dropout=0.2), part).p == rate


# ------------------------------------------------------------------------------------------ the numbers


@pytest.mark.parametrize(("name", "number"), [("xlnet-base-cased", 116_718_336), ("xlnet-large-cased", 360_268_800)])
def test_published_counts(name, number):
    with torch.device("meta"):
        model = build(name)
    d, f, v = model.config.hidden_size, model.config.intermediate_size, model.config.vocab_size
    block = 5 * d * d + 2 * d + 3 * d + 2 * d + (d * f + f) + (f * d + d) + 2 * d
    assert count_parameters(model) == number == v * d + d + model.config.num_hidden_layers * block
    parts = parameters_by_part(model)
    assert parts["word embeddings"] == v * d
    assert parts["other embeddings"] == d


@pytest.mark.parametrize(
    ("name", "sizes"),
    [("xlnet-base-cased", (768, 12, 12, 3072)), ("xlnet-large-cased", (1024, 24, 16, 4096))],
)
def test_published_settings(name, sizes):
    c = preset(name)
    assert (c.hidden_size, c.num_hidden_layers, c.num_attention_heads, c.intermediate_size) == sizes
    assert (c.vocab_size, c.hidden_act, c.pad_token_id, c.layer_norm_eps) == (32000, "gelu", 5, 1e-12)
    assert (c.hidden_dropout_prob, c.head_dropout, c.initializer_range) == (0.1, 0.1, 0.02)
    assert (c.attn_type, c.clamp_len, c.same_length, c.mem_len, c.reuse_len) == ("bi", -1, False, None, None)
    assert c.max_length is None


def test_a_fresh_model_has_the_deviation_of_its_config():
    model = build(replace(CONFIG, hidden_size=120, initializer_range=0.1), "permutation-lm", seed=0)
    for name, parameter in model.named_parameters():
        if name.endswith(".bias"):
            assert not parameter.any(), name
        elif "norm" in name:
            assert (parameter == 1).all(), name
        else:
            assert parameter.abs().max() <= 0.2, name
            assert 0.07 < parameter.std().item() < 0.11, name
    again = build(replace(CONFIG, hidden_size=120, initializer_range=0.1), "permutation-lm", seed=0)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))


def test_the_norms_have_the_configs_eps():
    model = xlnet(layer_norm_eps=0.25)
    norms = [part.eps for part in model.modules() if isinstance(part, nn.LayerNorm)]
    assert norms == [0.25] * 2 * L


def test_a_block_normalises_after_the_sum():
    block = randomise(XLNetBlock(CONFIG)).double().eval()
    x, gaps = randn(2, 3, D), torch.arange(3)[:, None] - torch.arange(3)
    ((found, _),) = block([(x, View(Layout(), None, None))], distance_vectors(gaps, D).double())
    looked_at = block.attention.looked_at(x, Layout(), None, distance_vectors(gaps, D).double())
    middle = block.attention_norm(x + block.attention(x, looked_at, View(Layout(), None, None))[0])
    wide = nn.functional.gelu(middle @ block.feed_forward.expand.weight.T + block.feed_forward.expand.bias)
    narrow = wide @ block.feed_forward.contract.weight.T + block.feed_forward.contract.bias
    assert_close(found, block.norm(middle + narrow))


# ----------------------------------------------------------------------------------------- checkpoints


def test_the_key_table_is_a_bijection():
    used = set()
    for head in HEADS:
        names = [name.removeprefix("backbone.") for name in xlnet(head, num_hidden_layers=12).state_dict()]
        theirs = [FAMILY.theirs(name, head) for name in names]
        assert len(set(theirs)) == len(theirs)
        assert [FAMILY.ours(name, head) for name in theirs] == names
        rows = FAMILY.rows(head)
        whole = [re.sub(NUMBER, "{}", name) for name in names]
        used |= {name if name in rows else name.rpartition(".")[0] for name in whole}
    assert used == set(FAMILY.keys)
    assert len(set(FAMILY.keys.values())) == len(FAMILY.keys)
    for unknown in ("mask_emb", "transformer.layer.x.rel_attn.q", "transformer.layer.0.rel_attn.w"):
        assert FAMILY.ours(unknown) is None


@pytest.mark.parametrize(
    ("name", "head"), [("xlnet", "permutation-lm"), ("xlnet-classifier", "sequence-classification")]
)
def test_the_names_and_shapes_we_write_are_the_published_ones(golden, tmp_path, name, head):
    folder, _ = golden(name)
    save_pretrained(tmp_path, from_pretrained(folder, head))
    ours, theirs = load_file(tmp_path / "model.safetensors"), load_file(folder / "model.safetensors")
    assert {key: tensor.shape for key, tensor in ours.items()} == {key: tensor.shape for key, tensor in theirs.items()}
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)
    written, published = (json.loads((place / "config.json").read_text()) for place in (tmp_path, folder))
    # their defaults that say nothing about our models; d_head follows from d_model and n_head
    for key in ("bos_token_id", "eos_token_id", "start_n_top", "end_n_top", "d_head", "transformers_version"):
        del published[key]
    assert {key: written.get(key, "absent") for key in published} == published


@pytest.mark.parametrize("head", HEADS)
def test_what_is_saved_comes_back_bit_by_bit(tmp_path, head):
    changes = {"hidden_act": "relu", "hidden_dropout_prob": 0.3, "classifier_dropout": 0.25, "layer_norm_eps": 0.125}
    changes |= {"attn_type": "uni", "same_length": True, "clamp_len": 3, "mem_len": None, "reuse_len": 4}
    changes |= {"use_mems_eval": False, "use_mems_train": True, "pad_token_id": 1, "initializer_range": 0.01}
    model = xlnet(head, **changes).float()
    save_pretrained(tmp_path, model)
    again, fresh = load(tmp_path, head)
    assert not fresh
    labels = again.config.labels if head in ("sequence-classification", "token-classification") else CONFIG.labels
    assert replace(again.config, labels=labels) == model.config
    ours, theirs = model.state_dict(), again.state_dict()
    assert list(ours) == list(theirs)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert torch.equal(again(**BATCH).last_hidden_state, model(**BATCH).last_hidden_state)
    names = set(load_file(tmp_path / "model.safetensors"))
    assert ("mask_emb" if head is None else "transformer.mask_emb") in names


@pytest.mark.parametrize(
    ("head", "architecture"),
    [
        (None, "XLNetModel"),
        ("permutation-lm", "XLNetLMHeadModel"),
        ("sequence-classification", "XLNetForSequenceClassification"),
        ("token-classification", "XLNetForTokenClassification"),
        ("question-answering", "XLNetForQuestionAnsweringSimple"),
    ],
)
def test_the_config_says_which_class_reads_it(tmp_path, head, architecture):
    save_pretrained(tmp_path, build(CONFIG, head))
    described = json.loads((tmp_path / "config.json").read_text())
    assert described["architectures"] == [architecture]
    assert (described["d_model"], described["n_layer"], described["n_head"], described["d_inner"]) == (D, L, H, F)


def test_the_tied_words_may_be_in_a_file_twice(tmp_path):
    model = xlnet("permutation-lm").float()
    save_pretrained(tmp_path, model)
    path = tmp_path / "model.safetensors"
    tensors = load_file(path)
    assert "lm_loss.weight" not in tensors
    copied = tensors | {"lm_loss.weight": tensors["transformer.word_embedding.weight"].clone()}
    save_file(copied, path)
    assert torch.equal(from_pretrained(tmp_path, "permutation-lm")(IDS).logits, model(IDS).logits)
    save_file(tensors | {"lm_loss.weight": copied["lm_loss.weight"] + 1}, path)
    with expect_refusal("lm_loss.weight differs from transformer.word_embedding.weight", "tied"):
        from_pretrained(tmp_path, "permutation-lm")


def test_the_two_classifiers_have_different_names(tmp_path):
    for head, other in (
        ("sequence-classification", "token-classification"),
        ("token-classification", "sequence-classification"),
    ):
        save_pretrained(tmp_path, build(CONFIG, head, seed=1))
        assert "classifier" in load(tmp_path, other).fresh


def test_settings_are_read_under_the_names_of_the_checkpoint(tmp_path):
    published = {"model_type": "xlnet", "d_model": 24, "n_layer": 5, "n_head": 8, "d_inner": 40, "dropout": 0.3}
    published |= {"ff_activation": "relu", "summary_last_dropout": 0.4, "attn_type": "uni", "clamp_len": 7}
    published |= {"same_length": True, "mem_len": 9, "reuse_len": 3, "untie_r": True, "bi_data": False}
    (tmp_path / "config.json").write_text(json.dumps(published))
    c = read_config(tmp_path)
    assert (c.hidden_size, c.num_hidden_layers, c.num_attention_heads, c.intermediate_size) == (24, 5, 8, 40)
    assert (c.hidden_dropout_prob, c.hidden_act, c.head_dropout, c.attn_type) == (0.3, "relu", 0.4, "uni")
    assert (c.clamp_len, c.same_length, c.mem_len, c.reuse_len) == (7, True, 9, 3)
    (tmp_path / "config.json").write_text('{"model_type": "xlnet"}')
    c = read_config(tmp_path)
    assert (c.hidden_size, c.num_hidden_layers, c.mem_len, c.use_mems_eval, c.use_mems_train) == (
        1024,
        24,
        512,
        True,
        False,
    )


@pytest.mark.parametrize(
    ("setting", "parts"),
    [
        ({"bi_data": True}, ("sets bi_data to True", "only False")),
        ({"untie_r": False}, ("sets untie_r to False", "only True")),
        ({"summary_type": "first"}, ("sets summary_type to 'first'", "only 'last'")),
        ({"summary_use_proj": False}, ("summary_use_proj", "only True")),
        ({"summary_activation": None}, ("summary_activation", "only 'tanh'")),
        ({"attn_type": "sideways"}, ("attn_type is 'sideways'", "bi, uni")),
        ({"same_length": 1}, ("same_length is 1", "true or false")),
        ({"use_mems_eval": None}, ("use_mems_eval is None", "true or false")),
        ({"clamp_len": -2}, ("clamp_len is -2", "at least -1")),
        ({"mem_len": -1}, ("mem_len is -1", "at least 0")),
        ({"reuse_len": 1.5}, ("reuse_len is 1.5", "integer")),
        ({"d_model": 13, "n_head": 1}, ("hidden_size is 13", "even")),
        ({"n_head": 5}, ("hidden_size 12", "5 heads")),
        ({"d_model": 24}, ("has shape", "belong to different models")),
    ],
    ids=str,
)
def test_settings_that_cannot_be_honoured_are_refused(tmp_path, setting, parts):
    save_pretrained(tmp_path, build(CONFIG))
    path = tmp_path / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | setting))
    with expect_refusal(*parts):
        from_pretrained(tmp_path)


def test_a_head_size_of_its_own_does_not_fit(tmp_path):
    """d_head is not read: it is d_model / n_head, and weights of another shape are refused."""
    save_pretrained(tmp_path, build(CONFIG))
    path = tmp_path / "model.safetensors"
    tensors = load_file(path)
    tensors["layer.0.rel_attn.q"] = torch.zeros(D, H, K + 1)
    save_file(tensors, path)
    with expect_refusal("rel_attn.q has shape (12, 3, 5)", "(12, 3, 4)"):
        from_pretrained(tmp_path)


# -------------------------------------------------------------------------------------------- refusals


MAPPING = TWO_STREAMS["target_mapping"]


@pytest.mark.parametrize(
    ("inputs", "parts"),
    [
        ({"perm_mask": torch.zeros(B, S)}, ("perm_mask has shape (5, 7)", "(5, 7, 7)")),
        ({"perm_mask": torch.full((B, S, S), -1.0)}, ("perm_mask must hold 1 (may not look)",)),
        ({**TWO_STREAMS, "target_mapping": MAPPING[..., 1:]}, ("target_mapping has shape (5, 2, 6)", "(5, P, 7)")),
        ({**TWO_STREAMS, "target_mapping": MAPPING[:, 0]}, ("target_mapping has shape (5, 7)", "(5, P, 7)")),
        ({**TWO_STREAMS, "target_mapping": MAPPING[:, :0]}, ("no targets", "leave it out")),
        ({**TWO_STREAMS, "target_mapping": MAPPING * 2}, ("a single 1",)),
        ({**TWO_STREAMS, "target_mapping": MAPPING.sum(1, keepdim=True)}, ("a single 1",)),
        ({"target_mapping": MAPPING}, ("target_mapping asks for token", "perm_mask lets it see itself", "to 1")),
        (
            {"target_mapping": mapping_of(torch.tensor([[2, 4]] * B)), "perm_mask": 1 - torch.eye(S).expand(B, -1, -1)},
            ("asks for token 2 of text 0", "perm_mask[0, 2, 2] to 1"),
        ),
        ({"mems": torch.zeros(L, B, M, D)}, ("mems is a single tensor", "a list of 2")),
        ({"mems": [torch.zeros(B, M, D)]}, ("mems is a list of 1", "a list of 2")),
        ({"mems": [torch.zeros(M, B, D)] * L}, ("shape (4, 5, 12)", "(B, M, D) = (5, M, 12)")),
        ({"mems": [torch.zeros(B, M, D), torch.zeros(B, M + 1, D)]}, ("must all be (B, M, D)",)),
        ({"token_type_ids": TYPES[:, 1:]}, ("token_type_ids has shape (5, 6)", "(5, 7)")),
        ({"input_ids": IDS + V}, ("input_ids holds", "0 to 30")),
    ],
    ids=lambda value: "" if isinstance(value, dict) else value[0],
)
@pytest.mark.parametrize("head", [None, "permutation-lm"])
def test_inputs_that_cannot_be_are_refused(head, inputs, parts):
    with expect_refusal(*parts):
        xlnet(head)(**{"input_ids": IDS, **inputs})


def test_labels_that_cannot_be_are_refused():
    model = xlnet("permutation-lm")
    with expect_refusal("labels has shape (5, 7)", "(5, 2)"):
        model(IDS, **TWO_STREAMS, labels=IDS)
    with expect_refusal("labels has shape (5, 2)", "(5, 7)"):
        model(IDS, labels=IDS[:, :2])


def test_a_long_text_is_no_trouble():
    """There is no table of positions that could end."""
    model = build(replace(CONFIG, num_hidden_layers=1), seed=0).eval()
    assert model(torch.randint(V, (1, 1500))).last_hidden_state.isfinite().all()
