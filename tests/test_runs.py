"""The training commands, with tiny models and texts: what they leave, how they continue, what they refuse."""

from __future__ import annotations

import json
import os
import re
import signal
from argparse import Namespace
from pathlib import Path

import pytest
import torch
from training_tiny import TOKENIZER, same_weights, small

from minibert import checkpoints
from minibert.checkpoints import from_pretrained, save_pretrained
from minibert.cli import main as cli, pretrain as pretraining, training as commands
from minibert.cli.main import main
from minibert.cli.runs import RECORD, Run
from minibert.tokenizers import WordPiece
from minibert.training import choices, loop, recipes, tasks
from minibert.training.data import Review, Reviews

FEW = ["--steps", "4", "--batch-size", "8", "--max-length", "9", "--device", "cpu"]


def reviews(start: int, number: int) -> list[Review]:
    """Texts of single letters, all different; positive with an "a" in front."""
    words = [f"{'a' if i % 2 else 'b'} {chr(99 + i % 20)} {chr(99 + i // 20)}" for i in range(start, start + number)]
    return [Review(word, i % 2, "imdb") for i, word in enumerate(words, start)]


@pytest.fixture(autouse=True)
def tiny_world(monkeypatch, tmp_path):
    """A folder to work in with a tiny model, and tiny reviews."""
    monkeypatch.chdir(tmp_path)
    given = Reviews(reviews(0, 60), reviews(60, 20), reviews(80, 20))
    monkeypatch.setattr(recipes, "load_reviews", lambda source: given)
    save_pretrained("bert", small(num_hidden_layers=4), TOKENIZER)


def run(*arguments: str, out: str = "out") -> int:
    command, *rest = arguments
    return main([command, "--out", out, *FEW, *rest])


def pretrain(*more: str, **where) -> int:
    return run("pretrain", "--model", "bert", *more, **where)


def distill(*more: str, **where) -> int:
    return run("distill", "--teacher", "bert", *more, **where)


def finetune(*more: str, **where) -> int:
    return run("finetune", "--model", "bert", *more, **where)


def complaint(capsys: pytest.CaptureFixture[str]) -> str:
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("minibert: ")
    return line


def record(out: str = "out") -> dict:
    return json.loads((Path(out) / RECORD).read_text())


def everything(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


# ------------------------------------------------------------------------------------------ what they leave


@pytest.mark.parametrize("objective", ["mlm", "mlm+nsp", "mlm+sop", "full-sentences"])
@pytest.mark.parametrize("masking", ["tokens", "ngrams"])
def test_pretrain_leaves_a_model_that_can_be_read(objective, masking, monkeypatch, capsys):
    monkeypatch.setattr(recipes, "split_sentences", str.split)
    assert pretrain("--objective", objective, "--masking", masking) == 0
    head = "pretraining" if "+" in objective else "masked-lm"
    assert not same_weights(from_pretrained("out", head), from_pretrained("bert", "masked-lm"))
    found = record()
    assert found["steps"] == 4
    assert found["held_out_before"] != found["held_out_after"]
    assert f"parameters        {found['parameters']:,}" in capsys.readouterr().out
    assert not list(Path("out").rglob(loop.STATE))


def test_a_preset_gets_the_size_of_the_vocabulary(monkeypatch):
    monkeypatch.setattr(recipes, "tokenizer_of", lambda source, *learning: TOKENIZER)
    assert run("pretrain", "--model", "tiny-bert", out="pretrained") == 0
    assert run("finetune", "--model", "tiny-bert") == 0
    assert from_pretrained("out", "sequence-classification").config.vocab_size == TOKENIZER.vocab_size


@pytest.mark.parametrize(("init", "layers"), [("alternate", [0, 2]), ("first", [0, 1]), ("last", [2, 3])])
def test_distill_starts_from_layers_of_the_teacher(init, layers):
    assert distill("--init", init) == 0
    assert record()["layers"] == layers
    assert from_pretrained("out", "masked-lm").config.num_hidden_layers == 2


def test_distill_from_random_weights_and_chosen_layers():
    assert distill("--init", "random", "--depth", "3", out="random") == 0
    assert record("random")["layers"] is None
    assert from_pretrained("random", "masked-lm").config.num_hidden_layers == 3
    assert distill("--layers", "3", "1", out="chosen") == 0
    assert record("chosen")["layers"] == [3, 1]


def test_a_teacher_without_a_head_gets_one_and_stays_as_it_is(capsys):
    save_pretrained("bare", small(None, num_hidden_layers=4), TOKENIZER)
    assert run("distill", "--teacher", "bare", "--head-steps", "2", "--learning-rate", "1e-9") == 0
    assert "bare has no masked-lm head: training one for 2 steps" in capsys.readouterr().out
    teacher, student = from_pretrained("bare"), from_pretrained("out")
    torch.testing.assert_close(
        student.encoder.blocks[1].feed_forward.expand.weight, teacher.encoder.blocks[2].feed_forward.expand.weight
    )
    assert not list(Path("out").rglob(loop.STATE))


def test_a_fine_tuned_student_is_compared_with_its_teacher(capsys):
    assert distill(out="student") == 0
    capsys.readouterr()
    assert run("finetune", "--model", "student", "--distill") == 0
    found = record()
    assert found["teacher"] == "bert"
    assert found["test_texts"] == 20
    ratio = found["accuracy"]["accuracy"] / found["teacher_accuracy"]["accuracy"]
    assert found["retention"]["retention"] == pytest.approx(ratio)
    assert f"retention         {ratio:.1%}  (95% interval" in capsys.readouterr().out
    assert from_pretrained("out", "sequence-classification").config.labels == ("negative", "positive")


def test_a_users_own_files():
    lines = [review.text for review in reviews(0, 90)]
    Path("mine.txt").write_text("\n".join(lines))
    Path("mine.csv").write_text("text,label\n" + "".join(f"{line},{i % 2}\n" for i, line in enumerate(lines)))
    assert pretrain("--data", "mine.txt") == 0
    assert finetune("--data", "mine.csv", out="classifier") == 0


# ---------------------------------------------------------------------------------- again, and continuing


def test_the_same_command_again_shows_what_was_found(capsys):
    pretrain()
    first = capsys.readouterr().out
    before = everything(Path("out"))
    assert pretrain() == 0
    again = capsys.readouterr().out
    assert "already finished" in again
    assert first.splitlines()[-7:] == again.splitlines()[-7:]
    assert everything(Path("out")) == before


def test_other_options_in_the_same_folder_are_refused(capsys):
    pretrain()
    before = everything(Path("out"))
    capsys.readouterr()
    assert pretrain("--seed", "3") == 2
    assert (
        "out holds a run with --seed 0, but this one is with --seed 3: choose another --out, or --restart"
        in complaint(capsys)
    )
    assert distill("--restart") == 2
    assert "out holds a run of pretrain" in complaint(capsys)
    assert everything(Path("out")) == before


def test_restart_deletes_the_old_run():
    pretrain()
    assert pretrain("--seed", "3", "--restart") == 0
    assert json.loads(Path("out/options.json").read_text())["seed"] == 3


@pytest.mark.parametrize("command", [pretrain, distill, finetune])
def test_an_interrupted_run_continues_as_if_it_had_not_been(command, monkeypatch, capsys):
    calls = []
    plain = loop.one_step

    def interrupting(*arguments):
        calls.append(arguments)
        if len(calls) == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return plain(*arguments)

    assert command(out="whole") == 0
    with monkeypatch.context() as patched:
        patched.setattr(loop, "one_step", interrupting)
        assert command() == 130
    assert not Path("out", RECORD).exists()
    assert (Path("out") / loop.STATE).exists()
    capsys.readouterr()
    assert command() == 0
    assert "continuing the run in out" in capsys.readouterr().out
    assert Path("out/model.safetensors").read_bytes() == Path("whole/model.safetensors").read_bytes()
    assert record() == record("whole")


# --------------------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("empty.txt", b"", "empty.txt holds no text"),
        ("one.txt", b"one line\n", "one.txt holds only one text"),
        ("two.txt", b"one\ntwo\n", "two.txt is too small"),
        ("latin.txt", "caf\xe9\n".encode("latin-1"), "latin.txt is not UTF-8"),
        ("empty.csv", b"", "empty.csv holds no text"),
        ("columns.csv", b"review,stars\nfine,5\nbad,1\n", "columns.csv has no column named text"),
        ("missing.txt", None, "missing.txt cannot be read"),
        ("texts.doc", b"a\nb\n", "must be a .txt"),
    ],
)
@pytest.mark.parametrize("command", [pretrain, distill, finetune])
def test_bad_files(command, name, content, sentence, capsys):
    if content is not None:
        Path(name).write_bytes(content)
    assert command("--data", name) == 2
    assert sentence in complaint(capsys)
    assert not Path("out").exists()


def test_fine_tuning_needs_labels(capsys):
    Path("mine.txt").write_text("\n".join(review.text for review in reviews(0, 90)))
    assert finetune("--data", "mine.txt") == 2
    assert "mine.txt has no labels" in complaint(capsys)
    assert not Path("out").exists()


@pytest.mark.parametrize(
    ("command", "arguments", "sentence"),
    [
        (pretrain, ["--steps", "0"], "argument --steps: must be an integer, at least 1, but is '0'"),
        (pretrain, ["--batch-size", "0"], "--batch-size: must be an integer, at least 1"),
        (pretrain, ["--learning-rate", "0"], "--learning-rate: must be a number above 0, but is '0'"),
        (pretrain, ["--learning-rate", "nan"], "--learning-rate: must be a number above 0, but is 'nan'"),
        (pretrain, ["--max-length", "9999"], "--max-length is 9999; for this model it must be from 8 to 9"),
        (distill, ["--max-length", "9999"], "--max-length is 9999"),
        (finetune, ["--max-length", "4"], "--max-length is 4"),
        (pretrain, ["--objective", "nsp"], "argument --objective: invalid choice: 'nsp'"),
        (pretrain, ["--masking", "words"], "argument --masking: invalid choice: 'words'"),
        (distill, ["--init", "middle"], "argument --init: invalid choice: 'middle'"),
        (distill, ["--init", "released"], "the released choice is 6 of 12 layers"),
        (distill, ["--depth", "5"], "a student of 5 layers cannot be made from a teacher of 4"),
        (distill, ["--layers", "4"], "layers [4]: choose some of the teacher's layers 0 to 3"),
        (distill, ["--weights", "5", "-2", "1"], "--weights: must be a number, at least 0, but is '-2'"),
        (distill, ["--weights", "5", "2"], "--weights: expected 3 arguments"),
        (pretrain, ["--validate-every", "-1"], "--validate-every: must be an integer, at least 0, but is '-1'"),
        (distill, ["--temperature", "0"], "--temperature: must be a number above 0, but is '0'"),
        (pretrain, ["--device", "tpuu"], "there is no device 'tpuu' here"),
        (finetune, ["--distill"], "bert names no teacher to learn from: give one with --compare"),
        (pretrain, ["--model", "no-such-model"], "no-such-model"),
        (distill, ["--teacher", "no-such-model"], "no-such-model"),
        (finetune, ["--model", "no-such-model"], "no-such-model"),
        (finetune, ["--compare", "no-such-model"], "no-such-model"),
        (pretrain, ["--accumulation", "9"], "a batch of 8 texts cannot be split into 9 micro-batches"),
    ],
)
def test_bad_options(command, arguments, sentence, capsys):
    assert command(*arguments) == 2
    assert sentence in complaint(capsys)
    assert not Path("out").exists() or [*Path("out").iterdir()] == [Path("out/options.json")]


def test_a_mistake_does_not_spoil_the_folder():
    assert pretrain("--accumulation", "9") == 2
    assert pretrain() == 0


def test_a_teacher_of_another_vocabulary_is_refused(capsys):
    letters = dict(TOKENIZER.vocabulary)
    letters["a"], letters["b"] = letters["b"], letters["a"]
    save_pretrained("other", small(), WordPiece(letters))
    assert finetune("--compare", "other") == 2
    assert "bert and its teacher other have different vocabularies" in complaint(capsys)
    assert not Path("out").exists()


def test_a_model_that_does_not_fit_its_tokenizer_is_refused(capsys):
    save_pretrained("wide", small(vocab_size=40), TOKENIZER)
    assert run("pretrain", "--model", "wide") == 2
    assert "wide has 40 word embeddings, but its tokenizer has 31 word pieces" in complaint(capsys)


def test_a_folder_with_other_things_in_it_is_left_alone(capsys):
    Path("out").mkdir()
    Path("out/thesis.txt").write_text("all of it")
    for more in ([], ["--restart"]):
        assert pretrain(*more) == 2
        assert "out is not empty and holds no run" in complaint(capsys)
    assert Path("out/thesis.txt").read_text() == "all of it"


def test_a_model_is_not_written_over_by_its_own_training(capsys):
    before = everything(Path("bert"))
    assert pretrain("--restart", out="bert") == 2
    assert "--out is bert, which is also read as a model" in complaint(capsys)
    assert everything(Path("bert")) == before


def test_the_state_of_another_model_is_refused(capsys):
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Run, "finish", lambda run, model, tokenizer, record: record)
        pretrain()
    save_pretrained("bert", small(hidden_size=24), TOKENIZER)
    capsys.readouterr()
    assert pretrain() == 2
    assert "bert was edited" in complaint(capsys)


# ---------------------------------------------------------------------------------------------- edited files


def mine(path: str = "mine.csv", more: str = "") -> None:
    rows = [f"{'a' if i % 2 else 'b'} {chr(99 + i % 20)} {chr(99 + i // 20)},{i % 2}" for i in range(100)]
    Path(path).write_text("text,label\n" + "\n".join(rows) + "\n" + more)


def stop(command, *arguments: str) -> None:
    """Begin a run that is killed after its last save."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Run, "finish", lambda run, model, tokenizer, record: record)
        assert command(*arguments) == 0


@pytest.mark.parametrize("stopped", [False, True])
@pytest.mark.parametrize("command", [pretrain, distill, finetune])
def test_a_file_that_was_edited_since_is_another_run(command, stopped, capsys):
    mine()
    if stopped:
        stop(command, "--data", "mine.csv")
    else:
        assert command("--data", "mine.csv") == 0
    before = everything(Path("out"))
    mine(more="one more,1\n")
    capsys.readouterr()
    assert command("--data", "mine.csv") == 2
    assert "mine.csv was edited, or is gone, since the run in out was started with it" in complaint(capsys)
    assert everything(Path("out")) == before
    assert command("--data", "mine.csv", "--restart") == 0
    assert command("--data", "mine.csv") == 0  # and now the record is of the file as it is


def test_a_file_that_is_gone_is_not_the_same(capsys):
    mine()
    assert pretrain("--data", "mine.csv") == 0
    Path("mine.csv").unlink()
    assert pretrain("--data", "mine.csv") == 2
    assert "mine.csv was edited, or is gone" in complaint(capsys)


def test_a_file_that_was_only_saved_again_is_the_same(capsys):
    mine()
    assert pretrain("--data", "mine.csv") == 0
    mine()
    os.utime("mine.csv", (1, 1))
    assert pretrain("--data", "mine.csv") == 0
    assert "already finished" in capsys.readouterr().out


@pytest.mark.many
@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "vocab.txt", "tokenizer_config.json"])
@pytest.mark.parametrize("command", [pretrain, distill, finetune])
def test_an_edited_model_is_another_one(command, name, capsys):
    assert command() == 0
    path = Path("bert", name)
    path.write_bytes(path.read_bytes() + b"\n")
    assert command() == 2
    assert "bert was edited" in complaint(capsys)


def test_a_teacher_to_compare_with_counts_too(capsys):
    save_pretrained("master", small(None, num_hidden_layers=3), TOKENIZER)
    assert finetune("--compare", "master") == 0
    save_pretrained("master", small(None, num_hidden_layers=3, seed=1), TOKENIZER)
    assert finetune("--compare", "master") == 2
    assert "master was edited" in complaint(capsys)


def test_without_a_student_it_is_said_where_one_comes_from(capsys):
    assert run("finetune") == 2
    assert "There is no student in runs/distill: run `minibert distill` first" in complaint(capsys)
    assert not Path("out").exists()


def test_what_training_writes_beside_a_model_is_not_the_model():
    assert pretrain(out="first") == 0
    assert run("finetune", "--model", "first") == 0
    Path("first", RECORD).write_text(json.dumps({**record("first"), "note": 1}))
    assert run("finetune", "--model", "first") == 0


def test_a_run_from_before_contents_were_recorded_continues(capsys):
    mine()
    stop(pretrain, "--data", "mine.csv")
    options = json.loads(Path("out", "options.json").read_text())
    assert options.pop("contents").keys() == {"data", "model"}
    Path("out", "options.json").write_text(json.dumps(options))
    assert pretrain("--data", "mine.csv") == 0
    assert "continuing the run in out" in capsys.readouterr().out


# ------------------------------------------------------------------------------- classifiers of another kind


def test_a_classifier_of_another_problem_is_refused(capsys):
    model = small("sequence-classification", labels=("a", "b"), problem_type="multi_label_classification")
    save_pretrained("bert", model, TOKENIZER)
    assert finetune() == 2
    assert "bert was trained for multi_label_classification" in complaint(capsys)


def test_classes_without_a_classifier_do_not_matter():
    """As in the published BARTs, whose configs name three."""
    save_pretrained("bert", small(None, labels=("a", "b", "c"), problem_type="regression"), TOKENIZER)
    assert finetune() == 0
    config = from_pretrained("out", "sequence-classification").config
    assert (config.labels, config.problem_type) == (("negative", "positive"), None)


def test_texts_without_a_known_word(capsys):
    Path("mine.txt").write_text("\n".join(f"{i} {i}" for i in range(100)))
    assert pretrain("--data", "mine.txt") == 2
    assert "there is no word to predict" in complaint(capsys)
    assert not Path("out").exists()


def test_a_full_disk_leaves_what_was_saved(monkeypatch, capsys):
    plain = torch.save

    def full(state, path):
        if state["step"] > 2:
            Path(path).write_bytes(b"half")
            raise OSError(28, "No space left on device")
        plain(state, path)

    assert pretrain("--save-every", "2", out="whole") == 0
    capsys.readouterr()
    with monkeypatch.context() as patched:
        patched.setattr(torch, "save", full)
        assert pretrain("--save-every", "2") == 2
    assert "No space left on device" in complaint(capsys)
    assert torch.load(Path("out") / loop.STATE)["step"] == 2
    assert pretrain("--save-every", "2") == 0
    assert Path("out/model.safetensors").read_bytes() == Path("whole/model.safetensors").read_bytes()


def test_a_disk_that_is_full_at_the_end_loses_nothing(monkeypatch, capsys):
    def full(tensors, path, **more):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(checkpoints, "save_file", full)
        assert pretrain() == 2
    assert "No space left on device" in complaint(capsys)
    assert not Path("out", RECORD).exists()
    assert pretrain() == 0
    assert record()["steps"] == 4


def test_the_names_in_the_options_are_those_of_the_tasks():
    assert choices.MASKINGS == tasks.MASKINGS


def options(*arguments: str) -> Namespace:
    """The options that a command runs with."""
    args = cli.parse(arguments)
    return pretraining.with_recipe(args) if args.command == "pretrain" else commands.with_defaults(args)


@pytest.mark.parametrize("command", ["pretrain", "distill", "finetune"])
def test_options_that_are_not_given_have_the_values_that_help_names(command, capsys):
    values = vars(options(command))
    assert {name: values[name] for name in commands.DEFAULTS[command]} == commands.DEFAULTS[command]
    with pytest.raises(SystemExit):
        main([command, "--help"])
    told = " ".join(capsys.readouterr().out.partition("options:")[2].split())
    for name, value in commands.DEFAULTS[command].items():
        found = re.search(rf"--{name.replace('_', '-')} .*?default: ([^ )]+)", told)
        assert found[1] == str(value)


@pytest.mark.parametrize("command", ["pretrain", "distill", "finetune"])
def test_quick_fills_in_what_was_not_given(command):
    values = vars(options(command, "--quick"))
    assert {name: values[name] for name in commands.QUICK[command]} == commands.QUICK[command]


def test_quick_changes_nothing_that_was_given():
    given = options("pretrain", "--quick", "--steps", "7", "--max-length", "128", "--held-out", "1000")
    assert (given.steps, given.max_length, given.held_out, given.texts) == (7, 128, 1000, 4000)
    assert options("finetune", "--quick", "--learning-rate", "5e-5").learning_rate == 5e-5
    by_epochs = options("finetune", "--quick", "--epochs", "2")
    assert (by_epochs.steps, by_epochs.epochs) == (None, 2)


def test_what_a_run_is_described_by():
    """The keys of options.json: with others, earlier runs could not be continued."""
    described = commands.described(options("pretrain", "--out", "x", "--device", "cpu", "--restart"))
    assert described == {
        "command": "pretrain", "data": None, "source": "both", "texts": None, "held_out": 1000, "epochs": 1,
        "steps": None, "batch_size": 32, "accumulation": 1, "learning_rate": 5e-4, "max_length": 128,
        "save_every": 200, "seed": 0, "quick": False, "model": "tiny-bert", "objective": "mlm", "masking": "tokens",
        "static": False, "validate_every": 0, "tokenizer": None, "vocab_size": None, "rank": None,
    }  # fmt: skip


def test_a_record_that_cannot_be_read_is_one_sentence(capsys):
    Path("bert", RECORD).write_text("{")
    assert finetune() == 2
    said = complaint(capsys)
    assert "run.json cannot be read as JSON" in said
    assert "name the teacher with --compare" in said
