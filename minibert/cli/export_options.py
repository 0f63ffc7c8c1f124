"""The options of `minibert export`. Imports nothing heavy, so that --help comes at once."""

from __future__ import annotations

from argparse import ArgumentParser

KINDS = {
    "student": "a folder for a class: lessons, exercises with stubs, and the library they need",
    "solution": "the exercises with solutions",
    "nbgrader": "source notebooks in nbgrader's format (schema 3)",
    "gradescope": "an autograder zip",
}


def export_options(parser: ArgumentParser) -> None:
    listed = "; ".join(f"{name}: {what}" for name, what in KINDS.items())
    parser.add_argument("kind", choices=KINDS, help=listed)
    parser.add_argument("--out", metavar="FOLDER", help="default: named after what is written")
    parser.add_argument("--exercises", metavar="NAME", nargs="+", help="only these (default: all)")
