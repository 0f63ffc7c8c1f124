"""Pre-training each family in its own way: its vocabulary, its objective, what the folder holds, what is refused."""

from __future__ import annotations

import errno
import json
import math
import os
import signal
from collections import Counter
from dataclasses import replace
from itertools import chain
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny import expect_refusal
from training_tiny import TOKENIZER

from minibert import files
from minibert.checkpoints import from_pretrained
from minibert.cli import pretrain as pretraining, training as commands
from minibert.cli.main import main, parse
from minibert.cli.runs import VOCABULARY
from minibert.deltas import applied
from minibert.experiments import teacher
from minibert.heads import HEADS
from minibert.models import FAMILIES, PRESETS
from minibert.models.bart import BartConfig
from minibert.models.roberta import RobertaConfig
from minibert.tokenizers import ByteBPE, WordPiece, XLNetUnigram, load_tokenizer
from minibert.training import choices, loop, low_rank, recipes, tasks, vocabularies
from minibert.training.data import Review, Reviews
from minibert.training.infilling import Infilling
from minibert.training.objectives import candidates
from minibert.training.pairs import split_sentences
from minibert.training.permutation import PermutedWords
from minibert.training.tasks import MaskedWords

FEW = ["--steps", "4", "--batch-size", "8", "--max-length", "12", "--vocab-size", "300", "--device", "cpu"]
# A preset that is trained in no time -> the head that its objective needs, the vocabulary, a term of the loss
OWN_WAYS = {
    "tiny-roberta": ("masked-lm", ByteBPE, "masked_lm"),
    "tiny-xlnet": ("permutation-lm", XLNetUnigram, "permutation_lm"),
    "tiny-bart": ("seq2seq-lm", ByteBPE, "infilling"),
    "tiny-mobilebert": ("masked-lm", WordPiece, "masked_lm"),
}
WORDS = ["film", "actor", "story", "scene", "music", "plot", "joke", "ending", "camera", "hero"]


def reviews(start: int, number: int) -> list[Review]:
    """Texts of two sentences, all different."""
    found = []
    for i in range(start, start + number):
        first = f"The {WORDS[i % 10]} was {('dull', 'good')[i % 2]}."
        found.append(Review(f"{first} I saw {i} of them, and the {WORDS[i // 10]} too.", i % 2, "imdb"))
    return found


@pytest.fixture(autouse=True)
def small_world(monkeypatch, tmp_path):
    """A folder to work in, few reviews, and presets that are smaller still."""
    monkeypatch.chdir(tmp_path)
    given = Reviews(reviews(0, 60), reviews(60, 20), reviews(80, 20))
    monkeypatch.setattr(recipes, "load_reviews", lambda source: given)
    for name in OWN_WAYS:
        depth = {n: 1 for n in ("num_hidden_layers", "encoder_layers", "decoder_layers") if hasattr(PRESETS[name], n)}
        monkeypatch.setitem(PRESETS, name, replace(PRESETS[name], hidden_size=32, **depth))


def run(command: str, *arguments: str, out: str = "out") -> int:
    few = FEW if command == "pretrain" else FEW[:6] + FEW[8:]
    return main([command, "--out", out, *few, *arguments])


def pretrain(model: str, *more: str, out: str = "out") -> int:
    return run("pretrain", "--model", model, *more, out=out)


def record(out: str = "out") -> dict:
    return json.loads(Path(out, "run.json").read_text())


# ------------------------------------------------------------------------------------------- each family


@pytest.mark.parametrize("model", OWN_WAYS)
def test_each_family_is_pretrained_in_its_own_way(model, capsys):
    head, kind, term = OWN_WAYS[model]
    assert pretrain(model) == 0
    told = capsys.readouterr().out
    trained, tokenizer = from_pretrained("out", head), load_tokenizer("out")
    assert type(tokenizer) is kind
    assert trained.config.vocab_size == tokenizer.vocab_size <= 300
    assert trained.config.pad_token_id == tokenizer.pad_id
    found = record()
    assert {*found["held_out_before"], *found["held_out_after"], *found["by_frequency"]} == {term}
    assert found["held_out_after"][term] < found["held_out_before"][term]
    assert 2 < found["by_frequency"][term] < math.log(300)
    after, baseline = found["held_out_after"][term], found["by_frequency"][term]
    (sentence,) = [line for line in told.splitlines() if line.startswith("Held out, a ")]
    assert f"costs {after:.2f} nats" in sentence
    assert f"{abs(after - baseline):.2f} nats {'below' if after < baseline else 'above'} them" in sentence
    assert not Path("out", VOCABULARY).exists()
    assert pretrain(model) == 0
    assert sentence in capsys.readouterr().out.splitlines()


@pytest.mark.parametrize("model", OWN_WAYS)
def test_what_was_pretrained_can_be_fine_tuned(model):
    assert pretrain(model, out="pretrained") == 0
    assert run("finetune", "--model", "pretrained") == 0
    assert from_pretrained("out", "sequence-classification").config.labels == ("negative", "positive")
    assert load_tokenizer("out").vocabulary == load_tokenizer("pretrained").vocabulary


def test_a_preset_is_fine_tuned_with_a_vocabulary_of_its_kind():
    assert run("finetune", "--model", "tiny-xlnet", "--compare", "tiny-xlnet") == 0
    assert type(load_tokenizer("out")) is XLNetUnigram


def test_a_student_can_be_made_of_a_roberta(monkeypatch):
    monkeypatch.setitem(PRESETS, "tiny-roberta", replace(PRESETS["tiny-roberta"], num_hidden_layers=2))
    assert pretrain("tiny-roberta", out="teacher") == 0
    assert run("distill", "--teacher", "teacher") == 0
    assert load_tokenizer("out").vocabulary == load_tokenizer("teacher").vocabulary


@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        ("tiny-mobilebert", "the teacher must be of the family bert or roberta"),
        ("tiny-xlnet", "xlnet cannot have the head 'masked-lm'"),
        ("tiny-bart", "bart cannot have the head 'masked-lm'"),
    ],
)
def test_no_student_is_made_of_the_others(model, sentence, monkeypatch, capsys):
    if model == "tiny-mobilebert":
        monkeypatch.setitem(PRESETS, model, replace(PRESETS[model], num_hidden_layers=2))
    assert pretrain(model, out="teacher") == 0
    capsys.readouterr()
    assert run("distill", "--teacher", "teacher") == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert sentence in said
    assert not Path("out").exists()


def test_every_family_names_an_objective_and_a_vocabulary_that_exist():
    assert tuple(recipes.RECIPES) == choices.OBJECTIVES
    assert tuple(vocabularies.KINDS) == choices.VOCABULARIES
    assert all(recipe.head in HEADS for recipe in recipes.RECIPES.values())
    for family in FAMILIES.values():
        assert family.vocabulary in vocabularies.KINDS
        name = next(iter(family.presets))
        assert recipes.objective_for(name) == family.objective
    assert {*commands.PREDICTED} == {term for _, _, term in OWN_WAYS.values()}


# -------------------------------------------------------------------------------------------- vocabularies


def test_special_tokens_get_their_ids_from_the_vocabulary():
    numbers = {"pad": 7, "cls": 8, "sep": 9}
    bart = replace(BartConfig(), forced_bos_token_id=0).for_vocabulary(40, **numbers)
    assert (bart.vocab_size, bart.pad_token_id, bart.bos_token_id, bart.eos_token_id) == (40, 7, 8, 9)
    assert (bart.decoder_start_token_id, bart.forced_bos_token_id, bart.forced_eos_token_id) == (9, 8, 9)
    assert BartConfig().for_vocabulary(40, **numbers).forced_bos_token_id is None
    roberta = RobertaConfig().for_vocabulary(40, **numbers)
    assert (roberta.pad_token_id, roberta.max_length) == (7, RobertaConfig().max_length)


def test_another_vocabulary_can_be_read_or_asked_for():
    ByteBPE.train([review.text for review in reviews(0, 60)], 270).save(Path("mine"))
    assert main(["pretrain", "--model", "tiny-bart", "--out", "out", *FEW[:6], "--tokenizer", "mine"]) == 0
    assert load_tokenizer("out").vocabulary == load_tokenizer("mine").vocabulary
    assert pretrain("tiny-mobilebert", "--vocab-size", "90", out="small") == 0
    assert load_tokenizer("small").vocab_size == 90


@pytest.mark.parametrize("arguments", [["--model", "tiny-bart", "--tokenizer", "gpt2-bpe"], ["--model", "minilm-l6"]])
def test_quick_asks_for_no_vocabulary_where_one_is_read(arguments, monkeypatch):
    monkeypatch.setattr(recipes, "family_of", lambda source: FAMILIES["bart" if source == "tiny-bart" else "bert"])
    args = pretraining.with_recipe(parse(["pretrain", "--quick", *arguments]))
    assert args.vocab_size is None
    assert pretraining.with_recipe(parse(["pretrain", "--quick", "--model", "tiny-bart"])).vocab_size == 1500


def test_minilm_has_the_recipe_of_the_packages_own_masked_lm(monkeypatch):
    monkeypatch.setattr(recipes, "family_of", lambda source: FAMILIES["bert"])
    own, quick = pretraining.OWN["minilm-l6"], pretraining.OWN_QUICK["minilm-l6"]
    full = vars(pretraining.with_recipe(parse(["pretrain", "--model", "minilm-l6"])))
    assert {name: full[name] for name in own} == own
    assert full["objective"] == "full-sentences"
    short = vars(pretraining.with_recipe(parse(["pretrain", "--model", "minilm-l6", "--quick"])))
    assert {name: short[name] for name in own | quick} == own | quick
    given = ["--objective", "mlm", "--max-length", "32", "--learning-rate", "0.5", "--rank", "0", "--steps", "7"]
    asked = vars(pretraining.with_recipe(parse(["pretrain", "--model", "minilm-l6", "--quick", *given])))
    assert [asked[name] for name in ("objective", "max_length", "learning_rate", "rank", "steps")] == [
        "mlm", 32, 0.5, 0, 7,
    ]  # fmt: skip
    other = vars(pretraining.with_recipe(parse(["pretrain", "--model", "tiny-bert"])))
    assert (other["objective"], other["rank"], other["max_length"]) == ("mlm", None, 128)


def test_updates_of_low_rank_leave_the_model_and_a_delta_that_makes_it(tmp_path):
    assert pretrain("tiny-mobilebert", out="start") == 0
    assert main(["pretrain", "--model", "start", "--out", "out", *FEW[:6], "--rank", "2"]) == 0
    before, after = from_pretrained("start", "masked-lm").state_dict(), from_pretrained("out", "masked-lm").state_dict()
    delta = load_file(Path("out", low_rank.DELTA))
    found = applied(before, delta)
    assert any(name.endswith(".left") for name in delta)
    assert any(not torch.equal(after[name], before[name]) for name in after)
    for name, tensor in after.items():
        torch.testing.assert_close(found[name], tensor, atol=0.01, rtol=0)
    assert main(["pretrain", "--model", "start", "--out", "whole", *FEW[:6], "--rank", "0"]) == 0
    assert not Path("whole", low_rank.DELTA).exists()


def test_the_teacher_is_measured_beside_one_that_was_trained_wholly_and_its_cut(monkeypatch):
    assert pretrain("tiny-mobilebert", out="start") == 0
    for rank in ("2", "0"):
        assert main(["pretrain", "--model", "start", "--out", f"rank{rank}", *FEW[:6], "--rank", rank]) == 0
    monkeypatch.setattr(teacher, "BASE", "start")
    monkeypatch.setattr(teacher, "CURVE", 2)
    found = teacher.measured(Path("rank2"), Path("rank0"))
    after = record("rank2")["held_out_after"]["masked_lm"]
    assert found["held_out"]["masked_lm"] == pytest.approx(after, rel=0.05)
    assert found["held_out"]["perplexity"] == pytest.approx(math.exp(found["held_out"]["masked_lm"]))
    assert [point["step"] for point in found["curve"]] == [2, 4]
    assert found["guesses"].keys() == {*teacher.SENTENCES}
    assert {len(one) for one in found["guesses"].values()} == {5}
    assert found["cut"]["rank"] == 2
    assert found["cut"]["bytes"] < Path("rank0/model.safetensors").stat().st_size / 2
    json.dumps(found)


def test_the_teachers_two_files_are_put_in_place_together(monkeypatch, tmp_path):
    (tmp_path / "low").mkdir()
    (tmp_path / "low" / low_rank.DELTA).write_bytes(b"new")
    weights = [tmp_path / f"{teacher.NAME}{suffix}" for suffix in (".safetensors", ".json")]
    for one in weights:
        one.write_bytes(b"old")
    monkeypatch.setattr(teacher, "WEIGHTS", tmp_path)
    monkeypatch.setattr(teacher, "measured", lambda low, full: {"perplexity": 9.0})
    monkeypatch.setattr("sys.argv", ["teacher", str(tmp_path / "low")])
    write = files._write_unfinished

    def full_disk(path: Path, content: files.Content) -> None:
        if ".json" in path.name:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(path, content)

    monkeypatch.setattr(files, "_write_unfinished", full_disk)
    with expect_refusal("No space left on device"):
        teacher.main()
    assert [one.read_bytes() for one in weights] == [b"old", b"old"]
    monkeypatch.setattr(files, "_write_unfinished", write)
    teacher.main()
    assert (weights[0].read_bytes(), json.loads(weights[1].read_text())) == (b"new", {"perplexity": 9.0})


def test_a_vocabulary_is_not_written_over_by_the_run_that_reads_it(capsys):
    assert pretrain("tiny-bart") == 0
    before = {path.name: path.read_bytes() for path in Path("out").iterdir()}
    capsys.readouterr()
    assert main(["pretrain", "--model", "tiny-bart", "--out", "out", *FEW[:6], "--tokenizer", "out", "--restart"]) == 2
    assert "--out is out, which is also read as a tokenizer" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in Path("out").iterdir()} == before


def test_a_vocabulary_is_learned_from_a_sample(monkeypatch):
    monkeypatch.setattr(vocabularies, "SAMPLE", 1)
    tokenizer = vocabularies.learned("wordpiece", ["ab ab", "xyz"], 30)
    assert "x" not in tokenizer.vocabulary


def test_a_sentence_inside_a_text_begins_with_a_blank():
    text = "The film was dull. I saw it twice."
    tokenizer = ByteBPE.train([text], 300)
    (document,) = recipes.documents_of([Review(text, None, "mine")], tokenizer)
    assert tokenizer.decode(list(chain.from_iterable(document))) == text


def test_full_sentences_lose_no_text():
    texts = reviews(0, 60)
    tokenizer = vocabularies.learned("byte-bpe", [review.text for review in texts], 300)
    rows = recipes.examples_for("full-sentences", texts, tokenizer, 40, seed=0)
    assert max(len(row.ids) for row in rows) <= 40
    assert all(row.ids[0] == tokenizer.cls_id and row.ids[-1] == tokenizer.sep_id for row in rows)
    # Each row that ends inside a text is continued by the next; a separator inside a row is where a text ends.
    inside = [row.ids[1:-1] for row in rows]
    assert tokenizer.pad_id not in chain.from_iterable(inside)
    read = "".join(tokenizer.decode([i for i in ids if i != tokenizer.sep_id]) for ids in inside)
    assert read == "".join(f" {review.text}" for review in texts)
    ends = sum(ids.count(tokenizer.sep_id) for ids in inside)
    longest = max(len(tokenizer.ids(f" {s}")) for review in texts for s in split_sentences(review.text))
    assert 0 < ends < len(texts)
    # No row could have taken the next sentence as well.
    assert all(len(row.ids) + longest + 1 > 40 for row in rows[:-1])


# ------------------------------------------------------------------------------------- stopped and continued


def stop_at(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Interrupt, as Ctrl-C does, in this step."""
    calls = []
    plain = loop.one_step

    def interrupting(*arguments):
        calls.append(arguments)
        if len(calls) == step:
            os.kill(os.getpid(), signal.SIGINT)
        return plain(*arguments)

    monkeypatch.setattr(loop, "one_step", interrupting)


@pytest.mark.parametrize("model", OWN_WAYS)
def test_a_stopped_run_continues_with_the_same_vocabulary(model, monkeypatch):
    assert pretrain(model, out="whole") == 0
    with monkeypatch.context() as patched:
        stop_at(2, patched)
        assert pretrain(model) == 130
    assert load_tokenizer(Path("out", VOCABULARY)).vocabulary == load_tokenizer("whole").vocabulary
    with monkeypatch.context() as patched:  # a machine on which another vocabulary would be learned
        patched.setattr(vocabularies, "learned", lambda *_: pytest.fail("learned again"))
        assert pretrain(model) == 0
    assert Path("out/model.safetensors").read_bytes() == Path("whole/model.safetensors").read_bytes()
    assert record() == record("whole")


def test_a_run_that_is_stopped_in_its_teachers_training_keeps_its_vocabulary(monkeypatch):
    command = ("finetune", "--model", "tiny-xlnet", "--compare", "tiny-xlnet")
    with monkeypatch.context() as patched:
        stop_at(2, patched)
        assert run(*command) == 130
    assert not Path("out", loop.STATE).exists()
    monkeypatch.setattr(vocabularies, "learned", lambda *_: pytest.fail("learned again"))
    assert run(*command) == 0


def test_another_vocabulary_is_learned_where_nothing_was_saved(monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(recipes, "train_and_compare", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        assert pretrain("tiny-roberta") == 130
    assert {path.name for path in Path("out").iterdir()} == {"options.json", VOCABULARY}
    assert pretrain("tiny-mobilebert", "--vocab-size", "80") == 0
    assert load_tokenizer("out").vocab_size == 80


def test_restart_learns_another(monkeypatch):
    with monkeypatch.context() as patched:
        stop_at(2, patched)
        assert pretrain("tiny-roberta") == 130
    assert pretrain("tiny-roberta", "--vocab-size", "280", "--restart") == 0
    assert load_tokenizer("out").vocab_size == 280


# --------------------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("model", "arguments", "parts"),
    [
        ("tiny-bart", ["--objective", "mlm+nsp"], ["tiny-bart cannot be pre-trained with mlm+nsp", "choose infilling"]),
        ("tiny-xlnet", ["--objective", "mlm"], ["tiny-xlnet cannot", "of type xlnet choose permutation"]),
        ("tiny-roberta", ["--objective", "mlm+nsp"], ["tiny-roberta cannot", "choose mlm or full-sentences"]),
        ("tiny-mobilebert", ["--objective", "infilling"], ["cannot", "choose mlm, mlm+nsp, mlm+sop or full-sentences"]),
        ("tiny-xlnet", ["--masking", "ngrams"], ["--masking says how words are masked, and permutation masks none"]),
        ("tiny-bart", ["--masking", "whole-words"], ["--masking", "infilling masks none"]),
        ("tiny-bart", ["--static"], ["--static says how words are masked, and infilling masks none: leave it out"]),
        ("tiny-xlnet", ["--tokenizer", "x"], ["--tokenizer reads a vocabulary and --vocab-size learns one"]),
        ("tiny-roberta", ["--vocab-size", "20"], ["vocab_size is 20", "raise it to 261 or more"]),
        ("tiny-xlnet", ["--vocab-size", "12"], ["choose a vocabulary that is larger by"]),
        ("tiny-roberta", ["--max-length", "513"], ["--max-length is 513; for this model it must be from 8 to 512"]),
        ("tiny-xlnet", ["--max-length", "7"], ["--max-length is 7; for this model it must be at least 8"]),
    ],
)  # fmt: skip
def test_options_that_mean_nothing_are_refused(model, arguments, parts, capsys):
    assert pretrain(model, *arguments) == 2
    (said,) = capsys.readouterr().err.splitlines()
    for part in parts:
        assert part in said
    assert not Path("out").exists()


@pytest.mark.parametrize("option", [["--tokenizer", "elsewhere"], ["--vocab-size", "400"]])
def test_a_checkpoint_keeps_its_vocabulary(option, capsys):
    assert pretrain("tiny-bart", out="before") == 0
    capsys.readouterr()
    assert main(["pretrain", "--model", "before", "--out", "out", *FEW[:6], *option]) == 2
    assert f"before has a vocabulary of its own: leave out {option[0]}" in capsys.readouterr().err
    assert main(["pretrain", "--model", "before", "--out", "out", "--quick", *FEW[:6]]) == 0
    assert load_tokenizer("out").vocabulary == load_tokenizer("before").vocabulary


# ------------------------------------------------------------------------------------- the level of frequencies


def test_the_loss_of_word_frequencies_worked_by_hand():
    """Three a and one b were seen, and one more of each of the 31 tokens; what is asked is known from the batches."""
    a, b = TOKENIZER.vocabulary["a"], TOKENIZER.vocabulary["b"]
    train, held_out = ([Review(text, None, "mine")] for text in ("a b a a", "a b c b"))
    for make in (MaskedWords, PermutedWords):
        seen, asked = (make(recipes.single_texts(some, TOKENIZER, 9), TOKENIZER) for some in (train, held_out))
        asked.choose = tasks.make_chooser("tokens", TOKENIZER, asked.examples, 0.9)
        costs = {a: math.log(35 / 4), b: math.log(35 / 2)}
        labels = [i for batch in tasks.held_out_batches(asked) for i in batch["labels"].flatten().tolist() if i >= 0]
        expected = sum(costs.get(i, math.log(35)) for i in labels) / len(labels)
        assert len(labels) > 2
        assert tasks.loss_by_frequency(seen, asked) == pytest.approx(expected)


def test_written_tokens_are_counted_with_the_special_ones():
    documents = [[TOKENIZER.ids("a b"), TOKENIZER.ids("b b")]]
    task = Infilling(documents, TOKENIZER, 9)
    counts = Counter([TOKENIZER.cls_id, TOKENIZER.sep_id, *TOKENIZER.ids("a b b b")])
    expected = sum(n * math.log((6 + TOKENIZER.vocab_size) / (n + 1)) for n in counts.values()) / 6
    assert tasks.loss_by_frequency(task, task) == pytest.approx(expected)


def test_what_may_be_asked_is_what_the_masks_may_take():
    examples = recipes.single_texts(reviews(0, 3), TOKENIZER, 9)
    task = MaskedWords(examples, TOKENIZER)
    for example in examples:
        ids = torch.tensor([example.ids])
        assert task.answers(example) == ids[candidates(ids, TOKENIZER.special_ids)].tolist()


def test_the_sentence_says_by_how_much():
    assert commands.against_frequencies("masked word", 4.884, 6.2) == (
        "Held out, a masked word costs 4.88 nats; word frequencies alone, counted in the training texts, give 6.20: "
        "the model is 1.32 nats below them."
    )
    assert "is 0.30 nats above them, so it has to be trained for longer" in commands.against_frequencies("x", 6.5, 6.2)


def test_an_objective_that_nobody_knows_is_refused():
    with expect_refusal("tiny-bart cannot be pre-trained with clm"):
        recipes.objective_for("tiny-bart", "clm")
