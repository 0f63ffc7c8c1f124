"""minibert.mine: the learner's parts run in the library's models, with the library's results, and are named if not."""

from __future__ import annotations

import ast
import copy
import dataclasses
import math
from functools import cache
from random import Random
from types import SimpleNamespace

import pytest
import torch
from torch import nn

import minibert
from minibert.cli import tour
from minibert.cli.main import main, parse
from minibert.errors import MinibertError
from minibert.exercises import my_bert
from minibert.exercises.catalogue import exercises
from minibert.exercises.notebooks import IMPORTS, solved
from minibert.exercises.sources import statements_in
from minibert.exercises.swap import SENTENCES
from minibert.experiments import backwards
from minibert.experiments.similarity import embed
from minibert.own import page, report, trying, wiring
from minibert.own.working import PartError
from minibert.tokenizers import WordPiece
from minibert.training.data import Review
from minibert.training.pairs import nsp_pairs

NAMES = list(exercises())
JOINED: dict[tuple[str, ...], bytes] = {}  # the learner's file with the solutions to these exercises
REVIEWS = [
    Review(f"{words} film .", number % 2, "rotten-tomatoes")
    for number, words in enumerate(("a good", "bad", "long", "her", "no"))
]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("MINIBERT_PROGRESS", str(tmp_path / "progress.json"))
    monkeypatch.delenv("MINIBERT_MINE", raising=False)
    return tmp_path


def have(*names: str) -> None:
    """Let the learner have the solutions to these exercises."""
    if names in JOINED:
        my_bert.file().write_bytes(JOINED[names])
        return
    source = "\n\n".join([IMPORTS, *(solved(exercises()[name]) for name in names)])
    done = my_bert.join_file(names, statements_in("answers.py", source.encode()))
    assert done.added == tuple(names), done
    JOINED[names] = my_bert.file().read_bytes()


def replace(name: str, body: str) -> None:
    """Write another body for an exercise's function into my_bert.py, as by hand."""
    book = my_bert.read()
    function = exercises()[name]
    lines = f"def {function.function}({function.signature}):\n    {body}\n"
    text = my_bert.file().read_text()
    section = my_bert.body(book.parts[name])
    assert section in text
    my_bert.file().write_text(text.replace(section, lines))


@pytest.fixture(scope="module")
def batch() -> dict[str, torch.Tensor]:
    """Three texts of different lengths, for the tiny models."""
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(5, 1000, (3, 9), generator=generator)
    mask = (torch.arange(9) < torch.tensor([[9], [4], [6]])).long()
    return {"input_ids": ids * mask, "attention_mask": mask}


@cache
def _built(head: str | None, preset: str) -> nn.Module:
    return minibert.build(dataclasses.replace(minibert.PRESETS[preset], vocab_size=1000), head=head, seed=0).eval()


def tiny(head: str | None = None, preset: str = "tiny-bert") -> nn.Module:
    """A fresh small model, always with the same weights."""
    return copy.deepcopy(_built(head, preset))


# ----------------------------------------------------------------------------------------- all parts, real weights


def test_with_all_parts_the_vectors_are_the_library_s_and_every_block_has_work(minilm_folder):
    have(*NAMES)
    library, my, tok = (
        minibert.from_pretrained(minilm_folder), minibert.mine(minilm_folder), minibert.load_tokenizer(minilm_folder),
    )  # fmt: skip
    expected = embed(library, tok, SENTENCES)
    with my.parts:
        found = embed(my, tok, SENTENCES)
    assert report.difference(found, expected) < 1e-6
    assert trying.compare(my, library, tok) < 1e-6  # pairs of sentences too
    called = {name for name, working in my.parts.working.items() if working.calls}
    assert called == {
        "attention", "padding-mask", "split-heads", "merge-heads", "multi-head-attention", "layer-norm", "gelu",
        "feed-forward", "encoder-block", "embeddings", "wordpiece", "encode-pair",
    }  # fmt: skip
    blocks = report.parts_by_block(my)
    assert all(blocks)
    assert blocks[0] == blocks[4] == ["encoder-block"]
    assert blocks[1] == ["multi-head-attention", "layer-norm", "feed-forward"]
    assert blocks[2] == ["attention", "split-heads", "merge-heads", "layer-norm", "gelu"]
    assert blocks[3] == ["padding-mask", "split-heads", "merge-heads", "layer-norm", "gelu"]
    assert 0.8 < report.parameters_in_own_code(my) / minibert.count_parameters(library) < 1


def test_half_of_the_parts_run_and_the_rest_is_named(batch):
    have(*NAMES[::2])
    my = minibert.mine(tiny())
    torch.testing.assert_close(my(**batch).last_hidden_state, tiny()(**batch).last_hidden_state)
    assert my.parts.yours == NAMES[::2]
    assert my.parts.library == NAMES[1::2]
    said = repr(my)
    assert f"{len(NAMES[::2])} of {len(NAMES)} parts yours" in said
    assert all(f"✓ {name}" in said for name in NAMES[::2])
    assert all(f"· {name}" in said for name in NAMES[1::2])


def test_without_any_part_it_is_the_library_s_model(batch):
    my = minibert.mine(tiny())
    assert torch.equal(my(**batch).last_hidden_state, tiny()(**batch).last_hidden_state)
    assert my.parts.yours == []
    assert "0 of" in repr(my)


@pytest.fixture(scope="module")
def of_library(batch):
    """What a small model gives without the learner's parts: of this head and preset, with or without all it returns."""

    @cache
    def given(head: str | None, preset: str, more: bool):
        return _built(head, preset)(**batch, return_attention=more, return_hidden=more)

    return given


@pytest.mark.many
@pytest.mark.parametrize("name", [name for name in wiring.WIRES if name in NAMES])
def test_each_part_alone_gives_what_the_library_gives(name, batch, of_library):
    have(name)
    for preset, head in (
        ("tiny-bert", None), ("tiny-bert", "masked-lm"), ("tiny-bert", "pretraining"), ("tiny-albert", None),
        ("tiny-bert", "sequence-classification"), ("tiny-roberta", None), ("tiny-mobilebert", None),
        ("tiny-xlnet", None), ("tiny-bart", None), ("tiny-distilbert", None),
    ):  # fmt: skip
        my = minibert.mine(tiny(head, preset))
        for more in (False, True):
            expected = of_library(head, preset, more)
            found = my(**batch, return_attention=more, return_hidden=more)
            real = batch["attention_mask"].bool()
            torch.testing.assert_close(
                found.last_hidden_state[real], expected.last_hidden_state[real], atol=2e-5, rtol=2e-5
            )
            if expected.logits is not None:
                pick = real if expected.logits.dim() == 3 else ...
                torch.testing.assert_close(found.logits[pick], expected.logits[pick], atol=2e-5, rtol=2e-5)


def test_every_seam_of_the_checker_is_used():
    assert {one.name for one in exercises().values() if one.swap} <= set(wiring.wires())


def test_exercises_that_do_not_exist_here_are_no_trouble(monkeypatch, batch):
    have("gelu")
    monkeypatch.setitem(wiring.WIRES, "an-exercise-of-tomorrow", wiring.WIRES["gelu"])
    my_bert.file().write_text(my_bert.file().read_text() + "\n\n# === of-yesterday === Gone\n\ndef gone():\n    pass\n")
    my = minibert.mine(tiny())
    my(**batch)
    assert my.parts.yours == ["gelu"]


# ------------------------------------------------------------------------------------- training, teaching, writing


def vocabulary() -> WordPiece:
    return WordPiece.train(list(SENTENCES) * 2, 120, min_frequency=1)


def test_gradients_flow_through_the_learner_s_functions(batch):
    have(*NAMES)
    labels = batch["input_ids"].masked_fill(torch.rand(3, 9, generator=torch.Generator().manual_seed(1)) < 0.5, -100)
    library, my = tiny("masked-lm"), minibert.mine(tiny("masked-lm"))
    for model in (library, my):
        model(**batch, labels=labels).loss.backward()
    theirs = dict(library.named_parameters())
    for name, parameter in my.named_parameters():
        torch.testing.assert_close(parameter.grad, theirs[name].grad, atol=1e-5, rtol=1e-4, msg=name)
    assert my.parts.working["masked-lm-loss"].calls == 1
    my.zero_grad()
    my.train()  # there is no dropout, so that the same functions run
    calls = my.parts.working["attention"].calls
    assert torch.equal(my(**batch, labels=labels).loss, my.eval()(**batch, labels=labels).loss)
    assert my.parts.working["attention"].calls == calls + 2


def test_it_learns_by_its_own_masks_and_losses_and_teaches_a_student():
    have(*NAMES)
    tok = vocabulary()
    small = {"num_hidden_layers": 4, "vocab_size": tok.vocab_size, "hidden_size": 16, "intermediate_size": 32}
    config = dataclasses.replace(minibert.PRESETS["tiny-bert"], **small)
    my = minibert.mine(minibert.build(config, head="masked-lm", seed=0))
    losses = my.learn(SENTENCES, tok, steps=20, learning_rate=5e-3)
    assert len(losses) == 20
    assert losses[0] == pytest.approx(math.log(tok.vocab_size), abs=0.5)
    assert sum(losses[-5:]) / 5 < losses[0] - 0.5
    student = my.student()
    assert len(student.backbone.encoder.blocks) == 2
    assert torch.equal(student.backbone.encoder.blocks[1].norm.weight, my.backbone.encoder.blocks[2].norm.weight)
    taught = student.learn(SENTENCES, tok, teacher=my, steps=10, learning_rate=3e-3)
    assert taught[-1] < taught[0]
    for name in ("mask-tokens", "masked-lm-loss", "triple-loss", "student-from-teacher", "masked-lm-head"):
        assert my.parts.working[name].calls, name


def test_two_texts_pairs_of_sentences_and_shared_blocks_are_made_by_it():
    have(*NAMES)
    my = minibert.mine(tiny())
    tok = vocabulary()
    expected = tok(SENTENCES[0], pairs=SENTENCES[1])
    with my.parts:
        assert all(
            torch.equal(expected[name], tensor) for name, tensor in tok(SENTENCES[0], pairs=SENTENCES[1]).items()
        )
        from minibert.training import pairs

        made = pairs.nsp_pairs([[[1, 2], [3]], [[4], [5]]], 8, Random(0))
        assert made
        assert {tuple(one.first) for one in made} == {(1, 2), (4,)}
        shared = minibert.build("tiny-albert", seed=0)
    assert len(shared.encoder.blocks) == 1
    called = {name for name, working in my.parts.working.items() if working.calls}
    assert {"wordpiece", "encode-pair", "sentence-pairs", "shared-blocks"} <= called
    assert nsp_pairs.__module__ == "minibert.training.pairs"
    assert nsp_pairs is pairs.nsp_pairs


def test_feature_transfer_is_the_learner_s_too(batch):
    from minibert.training import transfer

    have("feature-transfer")
    one, other = (
        minibert.build(dataclasses.replace(minibert.PRESETS["tiny-bert"], vocab_size=1000), seed=seed).eval()(
            **batch, return_hidden=True, return_attention=True
        )
        for seed in (0, 1)
    )
    my = minibert.mine(tiny())
    expected = transfer.layer_transfer_loss(one, other, 1, batch["attention_mask"])
    with my.parts:
        found = transfer.layer_transfer_loss(one, other, 1, batch["attention_mask"])
    torch.testing.assert_close(found, expected)
    assert my.parts.working["feature-transfer"].calls == 1


def test_a_bart_writes_with_it_as_with_the_library():
    have(*NAMES)
    model = backwards.untrained(0)
    read = torch.tensor([backwards.numbers(backwards.random_text(Random(number))) for number in range(3)])
    expected, logits = model.generate(read, max_length=10, num_beams=3), model(read).logits
    my = minibert.mine(model)
    assert my is model
    assert torch.equal(my.generate(read, max_length=10, num_beams=3), expected)
    torch.testing.assert_close(my(read).logits, logits)
    assert my.parts.working["causal-mask"].calls
    assert my.parts.working["attention"].calls


def test_it_is_saved_and_copied_like_every_model(tmp_path, batch):
    have("gelu", "attention")
    my = minibert.mine(tiny("masked-lm"))
    minibert.save_pretrained(tmp_path / "saved", my)
    again = minibert.from_pretrained(tmp_path / "saved", head="masked-lm")
    for model in (again, copy.deepcopy(my)):
        torch.testing.assert_close(model(**batch).logits, my(**batch).logits)


# ---------------------------------------------------------------------------------------------- parts that fail


@pytest.mark.parametrize(
    ("name", "body", "says"),
    [
        (
            "gelu",
            "return x / undefined",
            "your gelu (my_bert.py, line {line}: `return x / undefined`) raised NameError",
        ),
        ("gelu", "return x.mean()", "your gelu (my_bert.py, line {line}) returned the shape ()"),
        ("gelu", "return None", "returned None, which does not fit here"),
        ("split-heads", "return x", "your split_heads (my_bert.py, line {line}) returned the shape"),
        ("embeddings", "return weights['word.weight'][input_ids][:, :1]", "your embeddings (my_bert.py"),
        ("encoder-block", "return x[..., :1]", "your encoder_block"),
        ("multi-head-attention", "return x, None", "your multi_head_attention"),
        ("attention", "return None", "your attention"),
    ],
)
def test_a_part_that_fails_is_named_and_the_library_s_can_go_on(name, body, says, batch):
    have(name)
    replace(name, body)
    with pytest.raises(PartError) as caught:
        minibert.mine(tiny())(**batch)
    said = str(caught.value)
    text = my_bert.file().read_text().split("\n")
    line = text.index(f"    {body}") + 1 if "raised" in says else text.index(
        next(one for one in text if one.startswith(f"# === {name}"))) + 1  # fmt: skip
    assert says.format(line=line) in said
    assert f'minibert.mine(..., without=["{name}"])' in said
    assert "\n" not in said
    expected = tiny()(**batch).last_hidden_state
    assert torch.equal(minibert.mine(tiny(), without=[name])(**batch).last_hidden_state, expected)
    my = minibert.mine(tiny(), fallback=True)
    with pytest.warns(UserWarning, match="The library's is used"):
        found = my(**batch).last_hidden_state
    torch.testing.assert_close(found, expected)
    assert name in my.parts.library
    assert f"! {name}" in repr(my)


def test_the_library_s_own_refusals_are_not_blamed_on_a_part():
    have(*NAMES)
    with pytest.raises(MinibertError, match="input_ids must have the shape") as caught:
        minibert.mine(tiny())(torch.ones(3, dtype=torch.long))
    assert not isinstance(caught.value, PartError)


def test_a_wordpiece_with_pieces_of_its_own_is_named():
    have("wordpiece")
    replace("wordpiece", "return ['no', 'such', 'pieces']")
    my = minibert.mine(tiny())
    with my.parts, pytest.raises(PartError, match=r"your wordpiece .* does not fit"):
        vocabulary()(list(SENTENCES))


def test_a_section_that_cannot_be_run_is_named_and_can_be_left_out(batch):
    have("gelu", "attention")
    text = my_bert.file().read_text()
    my_bert.file().write_text(
        text.replace("# === gelu", "# === gelu").replace("def gelu(x):", "1 / 0\n\n\ndef gelu(x):")
    )
    with pytest.raises(MinibertError, match=r"your gelu cannot be used, because .* raised ZeroDivisionError"):
        minibert.mine(tiny())
    assert minibert.mine(tiny(), without="gelu").parts.yours == ["attention"]
    assert minibert.mine(tiny(), fallback=True).parts.yours == ["attention"]


def test_a_broken_file_and_an_unknown_exercise_are_said_in_a_sentence():
    with pytest.raises(MinibertError, match="no exercise 'gelo'"):
        minibert.mine(tiny(), without=["gelo"])
    my_bert.file().write_text("# === gelu === GELU\n\ndef gelu(:\n")
    with pytest.raises(MinibertError, match=r"my_bert.py is not Python .* line 3"):
        minibert.mine(tiny())


# ------------------------------------------------------------------------------------------------- the command


@pytest.fixture
def small(monkeypatch):
    """The command with a small model and five reviews."""
    tok = vocabulary()
    monkeypatch.setattr(trying, "from_library", lambda: (tiny(), tok))
    monkeypatch.setattr(trying, "mine", lambda source, head=None, **how: minibert.mine(
        tiny(head) if isinstance(source, str) else source, head, **how))  # fmt: skip
    monkeypatch.setattr(trying, "load_tokenizer", lambda source: tok)
    monkeypatch.setattr(trying, "STEPS", 2)
    monkeypatch.setattr(backwards, "STEPS", 2)
    reviews = SimpleNamespace(train=REVIEWS, test=REVIEWS)
    monkeypatch.setattr("minibert.training.data.load_reviews", lambda source, seed: reviews)
    monkeypatch.setenv("COLUMNS", "100")


def test_the_command_with_all_parts_shows_everything_and_writes_the_page(small, capsys, folder):
    have(*NAMES)
    assert main(["mine"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert f"{len(NAMES)} of {len(NAMES)} parts are yours" in said
    assert "All of it is yours." in said
    asked = len(tour.SENTENCES) * tour.NEAREST
    assert f"The library finds the same: {asked} of {asked}." in said
    assert "as the library's" in said
    html = (folder / "my_bert.html").read_text()
    lines = sum(
        bool(line.strip()) and not line.strip().startswith("#")
        for one in my_bert.read().elsewhere() for line in one.source.split("\n")
    )  # fmt: skip
    for shown in (f"<b>{len(NAMES)} of {len(NAMES)}</b>", f"<b>{lines:,}</b>", "<code>encoder_block</code>"):
        assert shown in html
    assert f"{minibert.count_parameters(tiny()):,} parameters, exactly as many" in html


def test_the_command_with_half_of_the_parts_names_the_others(small, capsys, folder):
    have(*NAMES[::2])
    assert main(["mine", "--quick"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert f"{len(NAMES[::2])} of {len(NAMES)} parts are yours" in said
    assert f"Still the library's: {', '.join(NAMES[1::2])}." in said
    assert not (folder / "my_bert.html").exists()


def test_the_command_names_a_part_that_gives_other_numbers(small, capsys):
    have("gelu", "attention", "layer-norm")
    replace("gelu", "return x * torch.sigmoid(1.702 * x)")
    main(["mine", "--quick"])
    said = " ".join(capsys.readouterr().out.split())
    assert "! gelu alone makes a difference of" in said
    assert "! attention" not in said


def test_the_command_begins_without_any_part(small, capsys):
    assert main(["mine", "--quick"]) == 0
    assert "None of its parts is yours yet." in " ".join(capsys.readouterr().out.split())


def test_the_largest_difference_counts_and_what_is_no_number_is_infinitely_far():
    assert report.difference(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([1.0, 2.5, 3.0])) == 0.5
    assert report.difference(torch.tensor([1.0, math.nan]), torch.tensor([1.0, 1.0])) == math.inf


def test_the_code_is_written_out_and_nothing_is_overwritten(capsys, folder, monkeypatch):
    monkeypatch.chdir(folder)
    (folder / "here").mkdir()
    assert main(["mine", "--out", "here"]) == 2
    assert "pass an exercise first" in capsys.readouterr().err
    have("gelu")
    assert main(["mine", "--out", "here"]) == main(["mine", "--out", "here/other.py"]) == 0
    copied = (folder / "here" / "my_bert.py").read_text()
    assert copied == (folder / "here" / "other.py").read_text() == my_bert.file().read_text()
    ast.parse(copied)
    (folder / "here" / "other.py").write_text("mine")
    assert main(["mine", "--out", "here/other.py"]) == 2
    assert (folder / "here" / "other.py").read_text() == "mine"
    assert parse(["mine", "--out"]).out == "my_bert.py"


def test_the_page_says_only_what_was_done():
    deeds = trying.Deeds([report.Row("✓", "gelu", "GELU <b>", "encoder", "yours, called 3 times")], 4)
    html = page.page_of(deeds)
    assert "GELU &lt;b&gt;" in html
    assert "It searched" not in html
    assert "wrote" not in html
    assert "mine, called 3 times" in html
