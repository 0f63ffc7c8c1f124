"""The options of `minibert export`. This module imports nothing heavy, so that --help is quick."""

from __future__ import annotations

from argparse import ArgumentParser

from minibert.cli.options import integer, seed

KINDS = {
    "student": "a folder for a class: lessons, exercises with stubs, and the library that they use",
    "solution": "the exercises with solutions",
    "nbgrader": "source notebooks in nbgrader's format (schema 3)",
    "gradescope": "an autograder zip",
    "exam": "an exam and its key, with questions that are drawn by seed",
}
MOST_VERSIONS = 100


def export_options(parser: ArgumentParser) -> None:
    listed = "; ".join(f"{name}: {what}" for name, what in KINDS.items())
    parser.add_argument("kind", choices=KINDS, help=listed)
    parser.add_argument("--out", metavar="FOLDER", help="where to write (default: a folder named after the kind)")
    parser.add_argument("--exercises", metavar="NAME", nargs="+", help="only these (default: all); not for an exam")
    exam = parser.add_argument_group("for an exam")
    exam.add_argument("--seed", metavar="N", type=seed, help="draws the questions (default: a secret one, in the key)")
    exam.add_argument("--versions", metavar="N", type=integer(1, MOST_VERSIONS), help="how many to write (default: 1)")
    exam.add_argument(
        "--until", metavar="NN", type=integer(1, 15), help="only what lessons up to NN teach (default: 15)"
    )
