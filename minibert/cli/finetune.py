"""`minibert finetune`: a model learns to tell positive from negative texts."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minibert.cli.options import Commands, add_command, integer
from minibert.cli.training import (
    add_common_options,
    check_length,
    load_texts,
    run_of,
    settings_of,
    show,
    tokenizer_for,
    with_defaults,
)
from minibert.errors import MinibertError

if TYPE_CHECKING:
    from minibert.tokenizers import Tokenizer
    from minibert.training.data import Review


STUDENT = "runs/distill"  # where `minibert distill` leaves one


def add_commands(commands: Commands) -> None:
    parser = add_command(commands, "finetune", "train a model to tell positive from negative texts", run_finetune)
    add_common_options(parser, "finetune")
    parser.add_argument("--model", default=STUDENT, help=f"a preset, minilm-l6 or a folder (default: {STUDENT})")
    parser.add_argument("--compare", metavar="TEACHER", help="fine-tune this model too and print the retention")
    parser.add_argument("--distill", action="store_true", help="learn from the fine-tuned teacher's answers as well")
    parser.add_argument("--test-texts", type=integer(1), metavar="N", help="test on N texts (default: all)")


def run_finetune(args: Namespace) -> None:
    """Train a model to tell positive from negative texts; if it has a teacher, train that too and compare them."""
    from minibert.cli.runs import teacher_of
    from minibert.experiments import statistics
    from minibert.training import recipes

    args = with_defaults(args)
    run = run_of(args)
    if (record := run.finished()) is not None:
        return show(record)
    if args.model == STUDENT and not Path(STUDENT).exists():
        raise MinibertError(f"There is no student in {STUDENT}: run `minibert distill` first, or name a --model.")
    splits = load_texts(args)
    tokenizer, learned = tokenizer_for(run, args.model, splits[0])
    teacher_source = args.compare or teacher_of(args.model)
    check_teacher(args, teacher_source, tokenizer, splits[0])
    for source in filter(None, (args.model, teacher_source)):
        check_length(args, recipes.classifier_for(source, tokenizer, args.seed))
    if any(review.label is None for split in splits for review in split):
        raise MinibertError(
            f"{args.data} has no labels, and fine-tuning needs them: give a .csv with the columns text and label "
            "(0 or 1, negative or positive)."
        )
    run.start(learned)
    examples, validation, test = (recipes.single_texts(split, tokenizer, args.max_length) for split in splits)
    settings = settings_of(args, len(examples))
    record: dict[str, Any] = {"command": "finetune", "model": args.model, "test_texts": len(test)}
    teacher, right = None, {}
    if teacher_source is not None:
        teacher = recipes.fine_tune(
            teacher_source, examples, validation, tokenizer, settings, run.folder / "teacher", run.device
        )
        right["teacher"] = recipes.right_answers(teacher, test, tokenizer)
    model = recipes.fine_tune(
        args.model, examples, validation, tokenizer, settings, run.folder, run.device, teacher if args.distill else None
    )
    right["model"] = recipes.right_answers(model, test, tokenizer)
    record["accuracy"] = statistics.share_right(right["model"]).named("accuracy")
    if teacher is not None:
        record |= {
            "teacher": teacher_source,
            "teacher_accuracy": statistics.share_right(right["teacher"]).named("accuracy"),
        }
        if right["teacher"].any():
            record["retention"] = statistics.share_kept(right["model"], right["teacher"]).named("retention")
    show(run.finish(model, tokenizer, record))


def check_teacher(args: Namespace, teacher: str | None, tokenizer: Tokenizer, texts: Sequence[Review]) -> None:
    """Raise MinibertError when --distill has no teacher, or the teacher reads other tokens than the model."""
    from minibert.training.recipes import tokenizer_of

    if teacher is None and args.distill:
        raise MinibertError(f"{args.model} names no teacher to learn from: give one with --compare.")
    if teacher not in (None, args.model) and tokenizer_of(teacher, texts).vocabulary != tokenizer.vocabulary:
        raise MinibertError(
            f"{args.model} and its teacher {teacher} have different vocabularies, but must read the same tokens: "
            "name another teacher with --compare."
        )
