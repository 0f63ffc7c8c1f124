"""Exams with questions of four forms, drawn by seed, and their keys: `minibert export exam`.

A shape to give, parameters to count (exam_sizes.py); a mistake to name from what a function returned
(exam_mistakes.py); a claim to judge from counted figures (exam_sizes.py). All answers are computed by the library. The
same seed gives the same exam. Seeds that follow each other get other templates as long as these last, and the versions
of one exam have seeds whose exams share no question.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from minibert.classroom.exam_mistakes import MISTAKES
from minibert.classroom.exam_question import Question, Template
from minibert.classroom.exam_sizes import CLAIMS, COUNTS, SHAPES
from minibert.classroom.hidden import new_seed
from minibert.errors import MinibertError, check_seed
from minibert.files import refuse_foreign, write_files
from minibert.words import listed

LAST = 15  # the last lesson
MINUTES = 75  # for an exam of all four forms


@dataclass(frozen=True)
class Form:
    """Questions of one form. wanted: how many an exam has. points: for each of them."""

    title: str
    says: str
    templates: tuple[Template, ...]
    wanted: int
    points: int


FORMS = (
    Form("Shapes", "Give each shape as numbers, such as (2, 3, 4).", SHAPES, 3, 2),
    Form("Parameters", "Give the exact number, and how you get it.", COUNTS, 2, 4),
    Form("Mistakes", "One option is right. Numbers are rounded to three digits after the point.", MISTAKES, 3, 4),
    Form("Claims", "One point for the verdict, one for the figures.", CLAIMS, 2, 2),
)
LETTERS = (
    "B texts, S and T tokens, D width of the model, H heads, K = D / H width of a head, F feed-forward width, V pieces "
    "in the vocabulary, E width of the word embeddings, L layers, P tokens to predict"
)


def dealt(templates: Sequence[Template], wanted: int, seed: int, form: str) -> list[Template]:
    """As many different templates. They are dealt like cards: seeds that follow each other get others."""
    deals = len(templates) // wanted
    deal, place = divmod(seed, deals)
    deck = list(templates)
    Random(f"deal {deal} of {form}").shuffle(deck)
    return deck[place * wanted : (place + 1) * wanted]


def questions(seed: int, until: int = LAST) -> dict[str, list[Question]]:
    """The questions of an exam by the title of their form. until: the last lesson that they may need.

    A form that no lesson so far has questions for is left out. Raises MinibertError if that leaves nothing.
    """
    drawn = {}
    for form in FORMS:
        known = [template for template in form.templates if template.lesson <= until]
        if known:
            chosen = dealt(known, min(form.wanted, len(known)), seed, form.title)
            drawn[form.title] = [one.draw(Random(f"{form.title}, {one.name}, {seed}")) for one in chosen]
    if not drawn:
        raise MinibertError(f"there is nothing to ask up to lesson {until}: give a lesson from 1 to {LAST}.")
    return drawn


def exam(seed: int, version: int = 1, until: int = LAST) -> tuple[str, str]:
    """An exam and its key, in Markdown."""
    drawn = questions(seed, until)
    forms = [form for form in FORMS if form.title in drawn]
    points = sum(form.points * len(drawn[form.title]) for form in forms)
    most = sum(form.points * form.wanted for form in FORMS)
    minutes = 5 * round(MINUTES * points / most / 5)
    paper = [
        "# Exam: the BERT family",
        f"Version {version} · {minutes} minutes · {points} points · a calculator, no computer",
        "Name:",
        f"The letters: {LETTERS}.",
    ]
    scope = "" if until == LAST else f" --until {until}"
    key = [
        f"# Key to version {version}",
        f"`minibert export exam --seed {seed}{scope}` writes this exam again. All answers were computed.",
    ]
    if left_out := [form for form in FORMS if form not in forms]:
        first = {form.title: min(template.lesson for template in form.templates) for form in left_out}
        key.append(f"Left out: {listed(f'{title} (from lesson {lesson:02} on)' for title, lesson in first.items())}.")
    for number, form in enumerate(forms, 1):
        asked = drawn[form.title]
        paper += [f"## {number}. {form.title} ({len(asked)} × {form.points} points)", form.says]
        key.append(f"## {number}. {form.title} ({len(asked)} × {form.points} points)")
        for place, question in enumerate(asked, 1):
            paper += [f"### {number}.{place}", question.text]
            key.append(f"**{number}.{place}** {question.answer}\n\nWhy: {question.why}.")
    return "\n\n".join(paper) + "\n", "\n\n".join(key) + "\n"


def texts_of(seed: int, until: int) -> set[str]:
    """The questions of an exam, word for word."""
    return {question.text for asked in questions(seed, until).values() for question in asked}


def seeds_of(first: int, versions: int, until: int = LAST) -> list[int]:
    """The seeds of the versions of one exam: of those that follow each other, the ones that share no question.

    Of some claims there are only a few. When they are used up, a version shares none with the NEAR versions before it.
    """
    chosen: list[int] = []
    asked: list[set[str]] = []
    step = 0
    while len(chosen) < versions:
        found = []
        for _ in range(TRIED):
            seed = (first + step + 2**63) % 2**64 - 2**63  # as large as --seed may be
            step += 1
            texts = texts_of(seed, until) if versions > 1 else set()
            shared = [len(texts & one) for one in asked]
            found.append((sum(shared[-NEAR:]), sum(shared), seed, texts))
            if not any(shared):
                break
        *_, seed, texts = min(found, key=lambda one: one[:2])
        chosen.append(seed)
        asked.append(texts)
    return chosen


NEAR = 3  # versions: whoever sits next to each other has one of these
TRIED = 12  # seeds, to find one for a version


def write_exams(out: Path, seed: int | None = None, versions: int = 1, until: int = LAST) -> list[Path]:
    """Write exam-1.md, exam-1-key.md and so on into a folder; returns the files.

    seed: of the first version; the others have seeds after it (see `seeds_of`). None: one that nobody can guess. Raises
    MinibertError if the folder has another exam of that name, which would be lost.
    """
    first = new_seed() if seed is None else check_seed(seed)
    files = {}
    for version, own in enumerate(seeds_of(first, versions, until), start=1):
        files[f"exam-{version}.md"], files[f"exam-{version}-key.md"] = exam(own, version, until)
    for name, content in files.items():
        refuse_foreign(out / name, made=content.encode().__eq__)
    write_files(out, files)
    return [out / name for name in files]
