"""The options of `minibert export`. This module imports nothing heavy, so that --help is quick."""

from __future__ import annotations

from argparse import ArgumentParser

KINDS = {
    "student": "a folder for a class: lessons, exercises with stubs, and the library that they use",
    "solution": "the exercises with solutions",
    "nbgrader": "source notebooks in nbgrader's format (schema 3)",
    "gradescope": "an autograder zip",
}


def export_options(parser: ArgumentParser) -> None:
    listed = "; ".join(f"{name}: {what}" for name, what in KINDS.items())
    parser.add_argument("kind", choices=KINDS, help=listed)
    parser.add_argument("--out", metavar="FOLDER", help="where to write (default: a folder named after the kind)")
    parser.add_argument("--exercises", metavar="NAME", nargs="+", help="only these (default: all)")
