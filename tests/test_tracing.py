"""A recorded graph gives the model's own numbers: for padding that its example did not have, and for other sizes.

Three ways to record one: torch.jit.trace, torch.export, torch.compile(fullgraph=True).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from bart_tiny import WRITTEN
from test_settings import ALL, TEXTS
from tiny import IDS, MASK, assert_close, expect_refusal, randomise
from torch import Tensor, nn
from torch.export import Dim

from minibert import build
from minibert.attention import Layout
from minibert.heads import HEADS
from minibert.losses import cross_entropy
from minibert.model import Output
from minibert.models import FAMILIES
from minibert.tracing import at_hand, exporting, known, recording

pytestmark = pytest.mark.filterwarnings("ignore")  # of torch's own

EVERY = [
    (family, head)
    for family in ALL
    for head in (None, *FAMILIES[family].model.heads)
    if head != "pretraining" or ALL[family].pair_task
]


def quick(*tried: tuple[str, str | None]) -> list:
    """All models with all heads, of which only those that are named are tried at each change."""
    return [pytest.param(*each, marks=[] if each in tried else pytest.mark.slow) for each in EVERY]


SHALLOW = {"encoder_layers": 1, "decoder_layers": 1}  # of a BART: to record a block takes long

BARE = [(family, None) for family in ALL]
JUDGING = [(family, TEXTS) for family in ALL]

# The texts that are not padded at the left, where the first token, which some heads read, is real. With an eos each.
READ = IDS.clone()
READ[0, 6] = READ[1, 3] = READ[3, 2] = READ[3, 6] = 2
EXAMPLE = {"input_ids": READ[[0, 1, 3]], "attention_mask": torch.ones_like(MASK[:3])}
PADDED = {"input_ids": READ[[0, 1, 3]], "attention_mask": MASK[[0, 1, 3]]}
OTHER = {"input_ids": torch.cat([READ[:2], READ[[3, 0]]], 1)[:, :9], "attention_mask": torch.ones(2, 9).long()}
OTHER["input_ids"][:, 5] = 2
OTHER["attention_mask"][1, 6:] = 0


def model_of(family: str, head: str | None, **changes: int) -> nn.Module:
    return randomise(build(replace(ALL[family], **changes), head, seed=0)).double().eval()


class Answer(nn.Module):
    """A model that returns one tensor, as torch.jit.trace needs it: the logits, or the last hidden states."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        return answer(self.model(input_ids, attention_mask))


def answer(output: Output) -> Tensor:
    return output.last_hidden_state if output.logits is None else output.logits


def assert_same_answers(recorded: Callable[..., Tensor], model: nn.Module, batches: list[dict[str, Tensor]]) -> None:
    for batch in batches:
        found, expected = recorded(**batch), answer(model(**batch))
        if expected.dim() == 3:  # an answer for each token: those of padding have no meaning
            real = batch["attention_mask"].bool()
            found, expected = found[real], expected[real]
        assert_close(found, expected, 1e-9)


@pytest.mark.parametrize(("family", "head"), quick(*BARE, *JUDGING))
def test_traced(family, head):
    model = model_of(family, head)
    traced = torch.jit.trace(Answer(model), tuple(EXAMPLE.values()), check_trace=False)
    assert_same_answers(traced, model, [EXAMPLE, PADDED, OTHER])


def exported(model: nn.Module, batch: dict[str, Tensor]) -> nn.Module:
    sizes = {0: Dim("batch"), 1: Dim("sequence")}
    return torch.export.export(model, (), batch, dynamic_shapes=dict.fromkeys(batch, sizes)).module()


@pytest.mark.parametrize(("family", "head"), quick(("bert", "masked-lm"), JUDGING[-1]))
def test_exported_for_any_size(family, head):
    """The model itself, whose output is a dataclass."""
    model = model_of(family, head)
    program = exported(model, EXAMPLE)
    assert isinstance(program(**PADDED), Output)
    assert_same_answers(lambda **batch: answer(program(**batch)), model, [EXAMPLE, PADDED, OTHER])


def test_exported_without_a_mask():
    model = model_of("bart", None, **SHALLOW)
    batch = {"input_ids": EXAMPLE["input_ids"]}
    found = exported(model, batch)(input_ids=OTHER["input_ids"])
    assert_close(found.last_hidden_state, model(OTHER["input_ids"]).last_hidden_state, 1e-9)


@pytest.mark.parametrize(("family", "head"), quick(("bert", None)))
def test_compiled_as_one_graph(family, head):
    torch._dynamo.reset()
    model = model_of(family, head)
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    assert_same_answers(lambda **batch: answer(compiled(**batch)), model, [EXAMPLE, PADDED])


@pytest.mark.parametrize(
    "head", ["pretraining", *(pytest.param(h, marks=pytest.mark.slow) for h in ("masked-lm", TEXTS))]
)
def test_the_loss_is_compiled_too(head):
    torch._dynamo.reset()
    model = model_of("bert", head)
    words = READ[[0, 1, 3]].clone().fill_(-100)
    words[0, 2], words[1, 1], words[2, 3] = 7, 9, 11
    labels = {
        "masked-lm": {"labels": words},
        "pretraining": {"labels": words, "pair_labels": torch.tensor([0, 1, 1])},
        TEXTS: {"labels": torch.tensor([0, 5, 2])},
    }[head]
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    found, expected = compiled(**PADDED, **labels).loss, model(**PADDED, **labels).loss
    assert_close(found, expected, 1e-9)
    gradients = [torch.autograd.grad(loss, model.backbone.word_embeddings.weight)[0] for loss in (found, expected)]
    assert_close(*gradients, 1e-9)


def test_what_a_decoder_reads_is_recorded_too():
    class Reading(nn.Module):
        def __init__(self):
            super().__init__()
            self.model = model_of("bart", "seq2seq-lm", **SHALLOW)

        def forward(self, input_ids, attention_mask, decoder_input_ids, decoder_attention_mask):
            more = {"decoder_input_ids": decoder_input_ids, "decoder_attention_mask": decoder_attention_mask}
            return self.model(input_ids, attention_mask, **more).logits

    model = Reading()
    batch = {**EXAMPLE, "decoder_input_ids": WRITTEN[:3], "decoder_attention_mask": torch.ones_like(WRITTEN[:3])}
    batch["decoder_attention_mask"][0, 4:] = 0
    texts, length = Dim("texts"), Dim("length")
    shapes = {name: {0: texts, 1: Dim("sequence") if name in EXAMPLE else length} for name in batch}
    program = torch.export.export(model, (), batch, dynamic_shapes=shapes).module()
    changed = {**batch, **PADDED}
    real = batch["decoder_attention_mask"].bool()
    assert_close(program(**changed)[real], model(**changed)[real], 1e-9)


def test_an_order_and_its_targets_are_recorded_too():
    model = model_of("xlnet", "permutation-lm")
    order = torch.rand(3, 7, generator=torch.Generator().manual_seed(0)).argsort(1)
    hidden = (order[:, :, None] <= order[:, None, :]).long()
    targets = torch.eye(7)[torch.tensor([[2, 4], [0, 1], [3, 5]])]
    batch = {**PADDED, "perm_mask": hidden, "target_mapping": targets}
    program = torch.export.export(model, (), batch).module()
    assert_close(program(**batch).logits, model(**batch).logits, 1e-9)


def test_memory_is_recorded_where_the_example_has_one():
    model = model_of("xlnet", None)
    first = model(EXAMPLE["input_ids"])
    batch = {"input_ids": READ[[1, 3, 0]], "mems": first.mems}
    program = torch.export.export(model, (), batch).module()
    for found, expected in zip(program(**batch).mems, model(**batch).mems, strict=True):
        assert_close(found, expected, 1e-9)
    assert exported(model, EXAMPLE)(**EXAMPLE).mems is None


def test_what_is_asked_for_is_recorded():
    model = model_of("bert", None)
    program = torch.export.export(model, (), {**EXAMPLE, "return_hidden": True, "return_attention": True}).module()
    found = program(**PADDED, return_hidden=True, return_attention=True)
    expected = model(**PADDED, return_hidden=True, return_attention=True)
    real = PADDED["attention_mask"].bool()
    for ours, theirs in zip(found.hidden_states, expected.hidden_states, strict=True):
        assert_close(ours[real], theirs[real], 1e-9)
    for ours, theirs in zip(found.attentions, expected.attentions, strict=True):
        assert_close(ours.transpose(1, 2)[real], theirs.transpose(1, 2)[real], 1e-9)


@pytest.mark.slow
@pytest.mark.parametrize(("family", "head"), [*BARE, *JUDGING])
def test_onnx(tmp_path, family, head):
    runtime = pytest.importorskip("onnxruntime", reason="needs the extra `onnx`")
    pytest.importorskip("onnxscript", reason="needs the extra `onnx`")
    model, sizes = model_of(family, head).float(), {0: Dim("batch"), 1: Dim("sequence")}
    path = tmp_path / "model.onnx"
    names = {"input_names": [*EXAMPLE], "output_names": ["answer"], "dynamic_shapes": (sizes, sizes)}
    torch.onnx.export(Answer(model), tuple(EXAMPLE.values()), dynamo=True, verbose=False, **names).save(path)
    session = runtime.InferenceSession(path)

    def run(**batch: Tensor) -> Tensor:
        return torch.from_numpy(session.run(None, {name: tensor.numpy() for name, tensor in batch.items()})[0])

    for batch in (EXAMPLE, PADDED, OTHER):
        found, expected = run(**batch), answer(model(**batch))
        real = batch["attention_mask"].bool() if expected.dim() == 3 else slice(None)
        torch.testing.assert_close(found[real], expected[real].detach(), rtol=1e-4, atol=1e-4)


def test_checks_come_back_after_recording():
    model = model_of("bert", None)
    exported(model, EXAMPLE)
    with expect_refusal("input_ids holds 31"):
        model(torch.full((1, 3), 31))
    assert Layout(MASK).index is not None


def test_when_numbers_are_known():
    plain, fake = torch.ones(2), torch.empty(2, device="meta")
    assert known(plain)
    assert at_hand(plain)
    assert known(nn.Parameter(plain))
    assert not known(fake)
    assert not at_hand(fake)
    assert not recording()
    assert not exporting()
    with torch._subclasses.FakeTensorMode() as mode:
        assert not known(mode.from_tensor(plain))
    seen = []

    def note(x: Tensor) -> Tensor:
        seen.append((recording(), known(x)))
        return x + 1

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.trace(note, plain, check_trace=False)
    assert seen == [(True, False)]


def test_labels_of_another_batch_are_counted_anew():
    """In a traced loss the number of labels that count is that of each batch, not of the example."""
    logits = torch.randn(4, 5, generator=torch.Generator().manual_seed(0))
    all_count, two_count = torch.tensor([0, 1, 2, 3]), torch.tensor([0, -100, -100, 3])
    traced = torch.jit.trace(cross_entropy, (logits, all_count), check_trace=False)
    assert_close(traced(logits, two_count), cross_entropy(logits, two_count))


def test_every_head_is_tried():
    assert {head for _, head in EVERY} >= {*HEADS}
