"""`minibert claims`: show the ledger, measure claims again, and fill the README's tables."""

from __future__ import annotations

import sys
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from minibert.cli.options import Commands, add_command
from minibert.errors import MinibertError

if TYPE_CHECKING:
    from minibert.claims import Result


def add_commands(commands: Commands) -> None:
    parser = add_command(
        commands, "claims", "what the papers claim, what is measured here, and the verdict", run_claims
    )
    parser.add_argument("ids", nargs="*", metavar="ID", help="claims to show, such as D1 A2 (default: all)")
    shape = parser.add_mutually_exclusive_group()
    shape.add_argument("--json", action="store_true", help="print as JSON")
    shape.add_argument("--markdown", action="store_true", help="print as a Markdown table")
    parser.add_argument("--measure", action="store_true", help="measure the timed claims here and now")
    parser.add_argument(
        "--rerun", nargs="+", metavar="ID", default=[],
        help="measure these claims here and now; trained ones take hours, and continue if they were stopped",
    )  # fmt: skip
    parser.add_argument("--quick", action="store_true", help="with --measure or --rerun: fewer rounds, less training")
    parser.add_argument(
        "--record", action="store_true", help="with --measure or --rerun: store the figures in the package"
    )
    parser.add_argument(
        "--update-readme", metavar="FILE", help="write the tables of this README, and the pictures that it shows"
    )


def run_claims(args: Namespace) -> None:
    from minibert import claims

    if args.update_readme:
        return update_readme(Path(args.update_readme))
    if (args.quick or args.record) and not (args.measure or args.rerun):
        raise MinibertError("--quick and --record say how to measure: give --measure or --rerun with them.")
    if args.quick and args.record:
        raise MinibertError("a quick measurement is not recorded: leave out --quick or --record.")
    found = claims.results(dict.fromkeys([*args.ids, *args.rerun]) or None)
    if args.measure and not any(is_measured(result, args) for result in found):
        raise MinibertError(
            f"--measure is for timed claims, and none of {', '.join(result.id for result in found)} is timed: "
            "--rerun trains the trained ones; the others are computed each time."
        )
    found = [measure(result, args) if is_measured(result, args) else result for result in found]
    show = claims.to_json if args.json else claims.to_markdown if args.markdown else claims.to_text
    print(show(found))


def is_measured(known: Result, args: Namespace) -> bool:
    """Whether the options ask for a claim to be measured now: by its id, or as one of the timed claims."""
    from minibert import claims

    return known.id.lower() in map(str.lower, args.rerun) or (args.measure and claims.LEDGER[known.id].kind == "timed")


def measure(known: Result, args: Namespace) -> Result:
    """The result of a claim, measured here and now."""
    from minibert import claims
    from minibert.signs import progress_bar

    with progress_bar(f"measuring {known.id}", "run") as progress:
        found = claims.measure(known.id, quick=args.quick, progress=progress)
    if not claims.LEDGER[known.id].is_recorded:
        kind = claims.LEDGER[known.id].kind
        print(f"{known.id}: nothing to train or to time. It was {kind} again just now, as each time.", file=sys.stderr)
    if args.record:
        print(f"recorded: {claims.record(found)}", file=sys.stderr)
    return found


def update_readme(readme: Path) -> None:
    from minibert import claims
    from minibert.claims.pictures import draw_recorded
    from minibert.cli.tour import TIMED, draw_sizes, draw_speeds

    print(f"{readme}: {'updated' if claims.update_readme(readme) else 'nothing to change'}")
    print(draw_sizes(readme.parent / "figures" / "parameters.png"))
    timed = [result for result in claims.results(TIMED) if result.figures]
    if timed:
        print(draw_speeds(timed, readme.parent / "figures" / "speed.png"))
    for picture in draw_recorded(readme.parent / "figures"):
        print(picture)
