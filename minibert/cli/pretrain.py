"""`minibert pretrain`: a model learns to predict words that it is not shown."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

from minibert.cli.options import Commands, add_command, integer
from minibert.cli.training import (
    QUICK,
    add_common_options,
    add_masking_option,
    check_length,
    load_texts,
    run_of,
    settings_of,
    show,
    tokenizer_for,
    with_defaults,
)
from minibert.errors import MinibertError
from minibert.training.choices import OBJECTIVES, VOCAB_SIZE
from minibert.words import counted

# What is different in `pretrain` for a model with a recipe of its own, without and with --quick: this is how the
# package's minilm-l6-mlm was trained.
OWN: dict[str, dict[str, Any]] = {
    "minilm-l6": {
        "objective": "full-sentences",
        "steps": 3000,
        "learning_rate": 2e-3,  # for a low rank
        "max_length": 64,
        "held_out": 400,
        "rank": 32,
    }
}
OWN_QUICK: dict[str, dict[str, Any]] = {
    "minilm-l6": {"texts": 600, "steps": 60, "batch_size": 32, "held_out": 40},
}


def add_commands(commands: Commands) -> None:
    parser = add_command(commands, "pretrain", "train a model to predict words that it is not shown", run_pretrain)
    add_common_options(parser, "pretrain")
    parser.add_argument(
        "--model", default="tiny-bert",
        help="a preset such as tiny-bert, tiny-distilbert, tiny-albert, tiny-mobilebert, tiny-roberta, tiny-xlnet or "
        "tiny-bart; a folder; or minilm-l6, which has a recipe of its own, that of minilm-l6-mlm (default: tiny-bert)",
    )  # fmt: skip
    parser.add_argument(
        "--objective", choices=OBJECTIVES,
        help="default: full-sentences for RoBERTa and minilm-l6, permutation for XLNet, infilling for BART, mlm for "
        "the others",
    )  # fmt: skip
    parser.add_argument(
        "--tokenizer", metavar="SOURCE", help="for a preset: the folder (or gpt2-bpe) whose vocabulary it reads"
    )
    parser.add_argument(
        "--vocab-size", type=integer(1), metavar="N",
        help="for a preset: learn a vocabulary of N tokens from the texts (default: BERT's own vocabulary for those "
        f"that read WordPiece, {VOCAB_SIZE} for the others, {QUICK['pretrain']['vocab_size']} with --quick)",
    )  # fmt: skip
    add_masking_option(parser)
    parser.add_argument("--static", action="store_true", help="mask a text in the same way each time it is read")
    parser.add_argument(
        "--rank", type=integer(0), metavar="N",
        help="let each matrix learn an update of rank N only, and write it to a small delta.safetensors in --out as "
        "well; 0: all weights learn freely (default: 32 for minilm-l6, 0 for the others)",
    )  # fmt: skip
    parser.add_argument(
        "--validate-every", type=integer(0), default=0, metavar="N", help="validate every N steps (default: at the end)"
    )


def run_pretrain(args: Namespace) -> None:
    """Train a fresh model, or one from a folder, to predict words, in the way of its family or another that it can."""
    from minibert.cli.runs import print_once
    from minibert.factory import count_parameters
    from minibert.training import low_rank, recipes
    from minibert.training.tasks import loss_by_frequency

    args = with_recipe(args)
    run = run_of(args)
    if (record := run.finished()) is not None:
        return show(record)
    recipe = recipes.RECIPES[args.objective]
    splits = load_texts(args)
    tokenizer, learned = tokenizer_for(run, args.tokenizer or args.model, splits[0], args.vocab_size)
    model, fresh = recipes.loaded_for(args.model, recipe.head, tokenizer, args.seed)
    check_length(args, model)
    print_once(f"tokenising {counted(len(splits[0]), 'text')} ...")
    task, held_out_task = (
        recipe.task(args.objective, some, tokenizer, args.max_length, args.seed, args.masking, args.static)
        for some in splits[:2]
    )
    settings = settings_of(args, len(task.examples), validate_every=args.validate_every, **recipes.PRETRAINING)
    if "lm" in fresh:
        recipes.start_from_frequencies(model, task)
    parameters = count_parameters(model)
    before = low_rank.add_updates(model, args.rank) if args.rank else {}
    run.start(learned)
    by_frequency = {next(iter(task.weights)): loss_by_frequency(task, held_out_task)}
    found = recipes.train_and_compare(model, task, held_out_task, settings, run.folder, run.device, "pretrain")
    if args.rank:
        low_rank.save_delta(run.folder, model.cpu(), before)
        low_rank.merge(model)
    record = {"command": "pretrain", "parameters": parameters, **found, "by_frequency": by_frequency}
    show(run.finish(model, tokenizer, record))


def with_recipe(args: Namespace) -> Namespace:
    """The options of `pretrain`, with the objective of the model's family if none was given.

    Raises MinibertError for options that mean nothing for this model.
    """
    from minibert.training import recipes

    objective = recipes.objective_for(args.model, args.objective or OWN.get(args.model, {}).get("objective"))
    for name in ("masking", "static"):
        if not recipes.RECIPES[objective].masks and getattr(args, name) not in ("tokens", False):
            raise MinibertError(f"--{name} says how words are masked, and {objective} masks none: leave it out.")
    has_its_own = recipes.preset_of(args.model) is None
    for name in ("tokenizer", "vocab_size"):
        if has_its_own and getattr(args, name) is not None:
            raise MinibertError(f"{args.model} has a vocabulary of its own: leave out --{name.replace('_', '-')}.")
    if args.tokenizer is not None and args.vocab_size is not None:
        raise MinibertError("--tokenizer reads a vocabulary and --vocab-size learns one: give one of the two.")
    args = with_defaults(args, OWN.get(args.model, {}) | (OWN_QUICK.get(args.model, {}) if args.quick else {}))
    read = has_its_own or args.tokenizer is not None
    return Namespace(**{**vars(args), "objective": objective, "vocab_size": None if read else args.vocab_size})
