"""`minibert distill`: a student of half the depth learns to imitate its teacher."""

from __future__ import annotations

from argparse import Namespace

from minibert.cli.options import Commands, add_command, integer, not_negative, positive
from minibert.cli.training import (
    DEFAULTS,
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
from minibert.training.choices import INITS, SOFT_TARGETS
from minibert.words import counted


def add_commands(commands: Commands) -> None:
    parser = add_command(commands, "distill", "train a student of half the depth to imitate its teacher", run_distill)
    add_common_options(parser, "distill")
    head_steps = DEFAULTS["distill"]["head_steps"]
    parser.add_argument(
        "--teacher", default="minilm-l6-mlm", help="a BERT: a checkpoint folder, or minilm-l6-mlm (the default)"
    )
    parser.add_argument(
        "--init", choices=INITS, default="alternate",
        help="which of the teacher's layers the student starts from (default: alternate)",
    )  # fmt: skip
    parser.add_argument("--depth", type=integer(1), metavar="N", help="the student's layers (default: half of them)")
    parser.add_argument(
        "--layers", type=int, nargs="+", metavar="N", help="start from these layers, counted from 0, instead of --init"
    )
    parser.add_argument(
        "--fold-types", action="store_true", help="add the teacher's vector of token type 0 to the student's positions"
    )
    parser.add_argument(
        "--weights", type=not_negative, nargs=3, default=[5.0, 2.0, 1.0], metavar=("SOFT", "MLM", "COSINE"),
        help="weights of soft targets, masked words and cosine in the loss (default: 5 2 1)",
    )  # fmt: skip
    parser.add_argument("--temperature", type=positive, default=2.0, help="of the soft targets (default: 2)")
    parser.add_argument(
        "--soft-targets", choices=SOFT_TARGETS, default="masked",
        help="which tokens have soft targets (default: masked)",
    )  # fmt: skip
    add_masking_option(parser)
    parser.add_argument(
        "--head-steps", type=integer(1), metavar="N",
        help=f"training steps of the masked-LM head, for a teacher that has none (default: {head_steps})",
    )  # fmt: skip


def run_distill(args: Namespace) -> None:
    """Train a student of some of a teacher's layers to imitate it; a teacher without a masked-LM head gets one."""
    from minibert.cli.runs import print_once
    from minibert.factory import count_parameters
    from minibert.training import recipes
    from minibert.training.distillation import chosen_layers, make_student
    from minibert.training.tasks import Distillation

    args = with_defaults(args)
    run = run_of(args)
    if (record := run.finished()) is not None:
        return show(record)
    splits = load_texts(args)
    tokenizer, learned = tokenizer_for(run, args.teacher, splits[0])
    teacher, head_is_fresh = recipes.teacher_with_head(args.teacher, tokenizer, args.seed)
    check_length(args, teacher)
    layers = args.layers or chosen_layers(args.init, teacher.config.num_hidden_layers, args.depth)
    make_student(teacher, args.init, layers, args.seed)  # to know that it can be made before anything is trained
    run.start(learned)
    examples, held_out = (recipes.single_texts(some, tokenizer, args.max_length) for some in splits[:2])
    if head_is_fresh:
        print_once(
            f"{args.teacher} has no masked-lm head: training one for {counted(args.head_steps, 'step')}, "
            "with the rest frozen"
        )
        recipes.train_head(
            teacher, examples, tokenizer, args.head_steps, args.batch_size, args.seed,
            run.folder / "teacher-head", run.device,
        )  # fmt: skip
    student = make_student(teacher, args.init, layers, args.seed, args.fold_types)
    print_once(
        f"teacher: {count_parameters(teacher):,} parameters; student: {count_parameters(student):,}, "
        + (
            f"from random weights, {counted(len(layers), 'layer')}"
            if args.init == "random"
            else f"from layers {layers}"
        )
    )
    task, held_out_task = (
        Distillation(
            some,
            tokenizer,
            teacher.to(run.device),
            tuple(args.weights),
            args.temperature,
            args.soft_targets,
            args.masking,
        )
        for some in (examples, held_out)
    )
    settings = settings_of(args, len(examples), **recipes.DISTILLING)
    found = recipes.train_and_compare(student, task, held_out_task, settings, run.folder, run.device, "distill")
    record = {
        "command": "distill",
        "teacher": args.teacher,
        "layers": None if args.init == "random" else list(layers),
        "parameters": {"teacher": count_parameters(teacher), "student": count_parameters(student)},
        **found,
    }
    show(run.finish(student, tokenizer, record))
