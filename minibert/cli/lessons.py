"""`minibert lessons` and `minibert explore`: the notebooks, and a page that shows attention."""

from __future__ import annotations

import contextlib
from argparse import Namespace
from pathlib import Path

from minibert.cli.options import Commands, add_command, seed
from minibert.errors import MinibertError
from minibert.words import counted


def add_commands(commands: Commands) -> None:
    add_lessons(commands)
    add_explore(commands)


def add_lessons(commands: Commands) -> None:
    parser = add_command(
        commands, "lessons", "list the lessons, build their notebooks, or make web pages of them", run_lessons
    )
    parser.add_argument("lessons", nargs="*", metavar="NN", help="numbers of lessons, such as 01 05 (default: all)")
    parser.add_argument("--build", action="store_true", help="run the sources and write the notebooks, with outputs")
    parser.add_argument("--check", action="store_true", help="run the sources and compare with the notebooks")
    parser.add_argument("--solutions", action="store_true", help="write only the notebooks with the solutions")
    parser.add_argument("--html", action="store_true", help="write all notebooks as pages that open from disk")
    parser.add_argument("--out", metavar="FOLDER", help="for --html (default: site, next to the folder lessons)")


def run_lessons(args: Namespace) -> None:
    if args.out and not args.html:
        raise MinibertError("--out names the folder for the pages, but --html was not given: add --html or drop --out.")
    if args.html and args.lessons:
        raise MinibertError("--html writes the pages of all lessons, which lead to each other: leave the numbers out.")
    from minibert.lessons import building, solutions
    from minibert.lessons.lesson import folder, lessons
    from minibert.signs import progress_bar

    chosen = lessons(args.lessons)
    if args.solutions or (args.build and any(map(solutions.offered, lessons()))):
        print(*solutions.write(chosen, lessons()), sep="\n")
    if args.build:
        for notebook in building.build_all(chosen):
            print(notebook)
        building.update_readme(folder().parent / "README.md")
    if args.check:
        building.check(chosen)
        one = len(chosen) == 1
        print(f"{counted(len(chosen), 'lesson')} {'agrees with its source' if one else 'agree with their sources'}.")
    if args.html:
        from minibert.lessons.site import render  # here, because building and checking need no nbconvert

        with progress_bar("writing the pages"):
            index = render(lessons(), Path(args.out or folder().parent / "site"))
        print(index)
    if not (args.build or args.solutions or args.check or args.html):
        for lesson in chosen:
            print(f"{lesson.number}  {lesson.title}\n    {lesson.question}")
        print(f"\njupyter lab {folder()}   opens them; --html writes pages to read without it.")


def add_explore(commands: Commands) -> None:
    parser = add_command(commands, "explore", "a page that shows what each head looks at in a sentence", run_explore)
    parser.add_argument("text", metavar="TEXT", nargs="?", help="a sentence, in quotes")
    parser.add_argument("--serve", action="store_true", help="serve the page on this computer, to type sentences into")
    parser.add_argument("--port", metavar="N", type=int, help="of --serve (default: one that is free)")
    parser.add_argument("--pair", metavar="TEXT", help="a second sentence, read together with the first")
    parser.add_argument(
        "--model", metavar="SOURCE", default="minilm-l6", help="minilm-l6, minilm-l6-mlm or a checkpoint folder"
    )
    parser.add_argument("--before", metavar="TEXT", help="what was read before, for a model with a memory (XLNet)")
    parser.add_argument("--written", metavar="TEXT", help="what the decoder writes (BART); default: the text itself")
    parser.add_argument("--out", metavar="FILE", help="default: attention.html")
    parser.add_argument("--layer", metavar="N", type=int, help="the layer shown first, counted from 1")
    parser.add_argument("--head", metavar="N", type=int, help="the head shown first, counted from 1")
    parser.add_argument("--seed", metavar="N", type=seed, default=0, help="draws the order of the words (XLNet)")


def run_explore(args: Namespace) -> None:
    if args.serve:
        return run_server(args)
    if args.port is not None:
        raise MinibertError("--port is the port of --serve, which was not given: add --serve or drop --port.")
    if args.text is None:
        raise MinibertError("the following arguments are required: TEXT; or type sentences into the page of --serve.")
    from minibert.files import refuse_foreign
    from minibert.lessons.explorer import explore

    out = Path("attention.html" if args.out is None else args.out)
    refuse_foreign(out)
    found = explore(
        args.text, args.pair, args.model, layer=args.layer, head=args.head,
        before=args.before, written=args.written, seed=args.seed,
    )  # fmt: skip
    print(found.save(out))


def run_server(args: Namespace) -> None:
    for name in ("before", "written", "out", "layer", "head"):
        if getattr(args, name) is not None:
            raise MinibertError(f"--serve and --{name} do not go together: drop one of them.")
    from minibert.lessons.explorer_server import server

    with server(args.model, args.text, args.pair, args.port or 0) as running, contextlib.suppress(KeyboardInterrupt):
        print(
            f"{running.address}\nOpen this address in a browser on this computer. Ctrl-C ends the server.", flush=True
        )
        running.serve_forever()
    print("\nThe server has ended.")
