"""A class as it could be: files and notebooks, right, half right, broken, with loops that never end. Made to be marked.

    PYTHONPATH=. python tests/big_class.py 200                    # makes the class, marks it, and says what that cost
    PYTHONPATH=. python tests/big_class.py 200 --killed 2         # and kills the grader twice on the way

`test_class.py` marks a small one.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from minibert.exercises.catalogue import exercises
from minibert.exercises.notebooks import IMPORTS, solved

# Small changes that make many answers wrong: what is replaced, and by what.
SLIPS = (
    ("softmax(-1)", "softmax(-2)"), ("dim=-1", "dim=1"), ("1.0", "1"), ("math.sqrt(", "("), (" + ", " - "), ("~", ""),
    (".transpose(1, 2)", ""), ("unbiased=False", "unbiased=True"), ("-100", "-1"), ("0.8", "0.9"), ("[:, 0]", "[:, 1]"),
    ("return ", "return 2 * "), ("len(", "1 + len("), ("==", "!="), (" * ", " / "), ("1:", "2:"), ("(1,", "(0,"),
)  # fmt: skip
LOOPS = "while True:\n    pass"
TRAINING = """\
import torch
w = torch.zeros(50, requires_grad=True)
for step in range(200):
    (w - 1).pow(2).sum().backward()
"""
PICTURE = {"output_type": "display_data", "data": {"image/png": "A" * 300_000}, "metadata": {}}


def slipped(source: str, chance: random.Random) -> str:
    """The answer with one or two small changes."""
    for old, new in chance.sample(SLIPS, len(SLIPS)):
        head, found, tail = source.partition(":\n")
        if old in tail:
            source = head + found + tail.replace(old, new, 1)
            if chance.random() < 0.6:
                break
    return source


def answers_of(chance: random.Random) -> list[str]:
    """A learner's answers, in order: some right, some wrong, some not begun."""
    skill, diligence = chance.uniform(0.3, 1.0), chance.uniform(0.2, 1.0)
    found = []
    for exercise in exercises().values():
        if chance.random() > diligence:
            found.append(exercise.stub)
        elif chance.random() < skill:
            found.append(solved(exercise))
        else:
            kind = chance.random()
            raises = f"{exercise.header}\n    return undefined_name\n"
            hangs = f"{exercise.header}\n    while True: pass\n"
            found.append(slipped(solved(exercise), chance) if kind < 0.9 else raises if kind < 0.99 else hangs)
    return found


def notebook(answers: Sequence[str], chance: random.Random) -> str:
    """The answers in cells, each with its check, and what else stands in notebooks."""
    cells = ["%matplotlib inline", IMPORTS]
    for exercise, answer in zip(exercises().values(), answers, strict=True):
        cells += [("%%time\n" if chance.random() < 0.05 else "") + answer]
        cells += [f'minibert.check("{exercise.name}", {exercise.function})']
    cells += [TRAINING, "!ls", *([LOOPS] if chance.random() < 0.05 else [])]
    listed = [{"cell_type": "code", "source": cell.splitlines(True), "metadata": {}, "outputs": []} for cell in cells]
    listed[-1]["outputs"] = [PICTURE] * chance.randrange(6)
    return json.dumps({"cells": listed, "metadata": {}, "nbformat": 4, "nbformat_minor": 5})


def make_class(folder: Path, count: int, seed: int = 0) -> None:
    """Write `count` submissions of as many learners into a folder, each in a folder of its own."""
    chance = random.Random(seed)
    for number in range(count):
        place = folder / f"learner-{number:03}"
        place.mkdir(parents=True)
        answers = answers_of(chance)
        script = f"{IMPORTS}\n\n\n" + "\n\n".join(answers)
        kind = chance.random()
        if kind < 0.45:
            (place / "answers.py").write_text(script)
        elif kind < 0.9:
            (place / "answers.ipynb").write_text(notebook(answers, chance))
        elif kind < 0.92:
            (place / "answers.py").write_text(script.replace("):\n", "\n", 1))  # it is no Python
        elif kind < 0.94:
            (place / "answers.py").write_text(f"{LOOPS}\n{script}")
        elif kind < 0.96:
            with zipfile.ZipFile(place / "hand-in.zip", "w", zipfile.ZIP_DEFLATED) as archive:
                archive.writestr("answers.py", script)
        elif kind < 0.97:
            (place / "answers.py.txt").write_text(script)
        elif kind < 0.98:
            (place / "essay.pdf").write_bytes(b"%PDF-1.4")
        elif kind < 0.99:
            (place / "answers.py").write_text("")


def processor_seconds() -> float:
    """Of all processes that were started here and have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("count", type=int)
    parser.add_argument("--killed", type=int, default=0)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder, out = Path(temporary, "class"), Path(temporary, "out")
        make_class(folder, args.count)
        command = [sys.executable, "-m", "minibert", "grade", str(folder), "--out", str(out)]
        began, kills = time.monotonic(), 0
        while True:
            grader = subprocess.Popen(command, cwd=Path(__file__).parents[1])
            while kills < args.killed and grader.poll() is None:
                done = len([*(out / ".marking" / "done").glob("*.json")])
                if done >= (kills + 1) * args.count // (args.killed + 1):
                    kills += 1
                    os.kill(grader.pid, signal.SIGKILL)
                    print(f"killed after {done} files, {time.monotonic() - began:.0f} s", flush=True)
                time.sleep(0.2)
            if grader.wait() == 0:
                break
        taken, used = time.monotonic() - began, processor_seconds()
        rows = list(csv.DictReader(io.StringIO((out / "grades.csv").read_text())))
        status = Counter(value for row in rows for name, value in row.items() if name.endswith(" status"))
        print(
            f"{len(rows)} rows; {taken:.0f} s on the clock, {used:.0f} s of processor time, {used / len(rows):.2f} each"
        )
        print(dict(status), "load", os.getloadavg())


if __name__ == "__main__":
    main()
