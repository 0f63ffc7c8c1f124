"""`minibert mine`: the learner's own BERT at work, from the parts that have passed."""

from __future__ import annotations

import warnings
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from minibert.cli.options import Commands, add_command, seed
from minibert.errors import MinibertError

if TYPE_CHECKING:
    from torch import nn

    from minibert.own.trying import Deeds
    from minibert.own.working import Parts


def add_commands(commands: Commands) -> None:
    parser = add_command(commands, "mine", "your own BERT, from the exercises that you have passed", run_mine)
    parser.add_argument(
        "--out", metavar="FILE", nargs="?", const="my_bert.py",
        help="only write your code to FILE (my_bert.py in this folder, if you name none)",
    )  # fmt: skip
    parser.add_argument("--page", metavar="FILE", help="write the page about it to FILE (with all parts: my_bert.html)")
    parser.add_argument("--without", metavar="NAME", nargs="+", default=[], help="exercises to leave to the library")
    parser.add_argument("--fallback", action="store_true", help="if a part of yours fails, go on with the library's")
    parser.add_argument("--quick", action="store_true", help="fewer reviews, and no learning, teaching and writing")
    parser.add_argument("--seed", metavar="N", type=seed, default=0, help="decides which reviews are read (default: 0)")


def run_mine(args: Namespace) -> None:
    if args.out:
        write_code(Path(args.out))
        return
    from minibert.own.watching import Ended, watched

    while True:
        try:
            watched(lambda: show_all(args))
            return
        except Ended as ended:
            if not args.fallback or ended.exercise in (None, *args.without):
                raise
            warnings.warn(f"{ended} All begins again, with the library's.", stacklevel=2)
            args.without = [*args.without, ended.exercise]


def show_all(args: Namespace) -> None:
    """Print what the learner's BERT is and does, and write its page."""
    from minibert.cli.tour import heading, say
    from minibert.exercises import my_bert
    from minibert.files import refuse_foreign
    from minibert.own import report, trying
    from minibert.own.working import PartError

    if args.page:
        refuse_foreign(Path(args.page), "--page")
    my = trying.mine(trying.WEIGHTS, without=args.without, fallback=args.fallback)
    parts = my.parts
    heading("Your BERT")
    print(f"  {parts.loaded.file}\n" if parts.loaded.parts else "")
    if not parts.yours:
        say(
            "None of its parts is yours yet. Each exercise that passes, in a lesson or by `minibert check FILE`, adds "
            f"one to {my_bert.NAME}; `minibert progress` lists them. So this is still the library's:"
        )
    deeds = trying.Deeds(report.rows(parts), report.own_lines(parts))
    missing = None
    try:
        show_vectors(my, deeds, args)
        show_search(my, deeds, args)
        if not args.quick and parts.yours:
            show_more(parts, deeds, args)
    except PartError:
        raise
    except MinibertError as error:
        missing = error
    deeds.rows = report.rows(parts)
    show_parts(deeds)
    finish(deeds, args.page, complete=not args.quick)
    if missing:
        raise missing


def write_code(path: Path) -> None:
    """Write the learner's code to a file. Raises MinibertError if there is none, or another file is in the way."""
    from minibert.exercises import my_bert
    from minibert.files import read_text, write_file

    source = my_bert.file()
    if not source.exists():
        raise MinibertError(f"there is no {source}: pass an exercise first (`minibert progress` lists them).")
    text = read_text(source)
    path = path / my_bert.NAME if path.is_dir() else path
    if path.exists() and path.read_bytes() != text.encode():
        raise MinibertError(f"{path} is there already, with something else in it: name another file, or move it away.")
    write_file(path, text)
    print(path)


def show_vectors(my: nn.Module, deeds: Deeds, args: Namespace) -> None:
    """Print how far the vectors of real sentences are from the library's, and which parts are to blame."""
    from minibert.cli.tour import heading, say
    from minibert.own import trying
    from minibert.signs import progress_bar

    library, tok = trying.from_library()
    heading("The same vectors?")
    with progress_bar("comparing the vectors"):
        deeds.difference = trying.compare(my, library, tok)
    trying.count(my, deeds)
    say(
        f"With the weights of all-MiniLM-L6-v2 ({deeds.parameters:,} parameters), real sentences get vectors of length "
        f"1. The largest difference between yours and the library's is {deeds.difference:.1e}. "
        f"{deeds.in_own_code:,} of the parameters go through functions of yours."
    )
    if deeds.difference > trying.ALIKE:
        ran = [name for name in my.parts.yours if my.parts.working[name].calls]
        with progress_bar("trying each part alone"):
            deeds.off = trying.which_differ(ran, library, tok, args.fallback)
        for name, apart in deeds.off.items():
            say(f"{name} alone makes a difference of {apart:.1e}: check it again.", indent="  ! ")
    if not args.quick and my.parts.yours:
        with progress_bar("timing") as progress:
            deeds.times = trying.time(my, library, tok, progress)
        say(f"It is {deeds.times:.2f} times as fast as the library's, on this machine, just now.")


def show_search(my: nn.Module, deeds: Deeds, args: Namespace) -> None:
    """Print the reviews that the learner's BERT finds, and whether the library finds the same."""
    from minibert.cli.tour import heading, say, search, show_found
    from minibert.own import trying
    from minibert.training.data import load_reviews

    heading("It searches")
    reviews = load_reviews("rotten-tomatoes", args.seed).test[: 100 if args.quick else None]
    say(f"It reads {len(reviews)} sentences from film reviews; these are the nearest to some sentences of ours:")
    library, tok = trying.from_library()
    expected = search(library, tok, reviews, "the library's reads reviews")
    with my.parts:
        found = search(my, tok, reviews, "yours reads reviews")
    show_found(found, reviews)
    deeds.same, deeds.asked = int((found.numbers == expected.numbers).sum()), found.numbers.numel()
    deeds.among = len(reviews)
    print()
    say(f"({found.seconds:.0f} s.) The library finds the same: {deeds.same} of {deeds.asked}.")


def show_more(parts: Parts, deeds: Deeds, args: Namespace) -> None:
    """Let it learn, teach and write, and print how that went. Its parts count their calls with those of `parts`."""
    from minibert.cli.tour import heading, say
    from minibert.own import trying
    from minibert.signs import progress_bar
    from minibert.training.data import load_reviews

    heading("It learns, teaches and writes")
    texts = [review.text for review in load_reviews("rotten-tomatoes", args.seed).train]
    with progress_bar("learning and teaching"):
        learned = trying.learn(texts, deeds, args.without, args.fallback, args.seed)
    mean = sum(deeds.learned) / len(deeds.learned)
    say(
        f"It learns from masked words: in {len(deeds.learned)} steps, a hidden word costs it {mean:.2f} nats on "
        f"average. It teaches a student of half its layers: in {len(deeds.taught)} steps, the sum of DistilBERT's "
        f"three losses goes from {deeds.taught[0]:.1f} to {deeds.taught[-1]:.1f}."
    )
    with progress_bar("a tiny BART learns to write backwards", unit="step") as progress:
        wrote = trying.write(deeds, args.without, args.fallback, args.seed, progress)
    say(
        f"A tiny BART that has learned to write backwards, with your parts in it, reads “{' '.join(trying.WRITTEN)}” "
        f"and writes “{' '.join(deeds.wrote)}”, {'as' if deeds.as_library else 'unlike'} the library's."
    )
    for other in (learned.parts, wrote.parts):
        for name, working in other.working.items():
            parts.working[name].calls += working.calls
        parts.failed |= other.failed


def show_parts(deeds: Deeds) -> None:
    """Print the list of parts: whose each is, and what it did."""
    from minibert.cli.tour import heading, say
    from minibert.words import are, counted

    heading("Its parts")
    topic = ""
    for row in deeds.rows:
        if row.topic != topic:
            topic = row.topic
            print(f"  {topic}")
        say(f"{row.name:<22} {row.note}", indent=f"    {row.sign} ")
    left = [row.name for row in deeds.rows if row.sign != "✓"]
    print()
    say(
        f"{deeds.yours} of {len(deeds.rows)} parts {are(deeds.yours)} yours, in {counted(deeds.lines, 'line')}."
        + (f" Still the library's: {', '.join(left)}." if left else " All of it is yours.")
    )


def finish(deeds: Deeds, page: str | None, complete: bool) -> None:
    """Write the page, if it was asked for, or if no part is missing and everything was tried."""
    from minibert.cli.tour import say
    from minibert.exercises import my_bert
    from minibert.files import refuse_foreign, write_file
    from minibert.own.page import page_of

    if page or (complete and deeds.yours == len(deeds.rows) and not deeds.off):
        path = Path(page) if page else my_bert.file().with_suffix(".html")
        refuse_foreign(path, "--page")
        write_file(path, page_of(deeds))
        say(f"What you have built, on a page: {path}")
