"""The checker and answers that it has not seen: none is misjudged, and what is wrong is named."""

from __future__ import annotations

import re

import pytest
from trial_answers import RIGHT, WRONG, Trial

import minibert
from minibert.exercises import progress, result

import trial_answers_2  # noqa: F401  isort: skip
import trial_answers_3  # noqa: F401  isort: skip
import trial_answers_4  # noqa: F401  isort: skip
import trial_answers_5  # noqa: F401  isort: skip
import trial_answers_6  # noqa: F401  isort: skip
import trial_answers_7  # noqa: F401  isort: skip
import trial_answers_8  # noqa: F401  isort: skip
import trial_answers_8b  # noqa: F401  isort: skip
import trial_answers_8c  # noqa: F401  isort: skip
import trial_answers_8d  # noqa: F401  isort: skip
import trial_answers_9  # noqa: F401  isort: skip
import trial_answers_9b  # noqa: F401  isort: skip
import trial_answers_9c  # noqa: F401  isort: skip
import trial_answers_9d  # noqa: F401  isort: skip
import trial_answers_10  # noqa: F401  isort: skip
import trial_answers_11  # noqa: F401  isort: skip

pytestmark = pytest.mark.slow  # a minute of computing


@pytest.fixture(autouse=True)
def own_record(tmp_path, monkeypatch):
    monkeypatch.setattr(progress, "file", lambda: tmp_path / "progress.json")


def name_of(trial: Trial) -> str:
    return trial.function.__name__


@pytest.mark.parametrize("trial", RIGHT, ids=name_of)
def test_a_right_answer_passes(trial):
    found = minibert.check(trial.exercise, trial.function)
    assert found.passed, found


# A variance along the wrong axis, sometimes of no numbers at all, is one of the mistakes.
@pytest.mark.filterwarnings(r"ignore:(var|std)\(\). degrees of freedom is <= 0:UserWarning")
@pytest.mark.parametrize("trial", WRONG, ids=name_of)
def test_a_wrong_answer_fails_and_what_is_wrong_is_said(trial):
    found = minibert.check(trial.exercise, trial.function)
    assert not found.passed
    assert found.mistakes or found.cause, found
    said = " ".join([*found.mistakes, found.cause or "", found.diagnosis, *found.more])
    assert re.search(trial.named, said, re.IGNORECASE), found
    assert len(found.diagnosis) <= result.LONGEST_TEXT
