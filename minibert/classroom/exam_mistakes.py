"""Exam questions about mistakes: what a function returned is shown, and the mistake that it has is to be named.

The output really is that of a catalogue reference with one knob turned, for arguments that were drawn and can be worked
out on paper. A question is only asked if no other known mistake of that exercise, and no right answer, returns the
same: what is shown of theirs must be different, and by enough to be seen.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from random import Random
from typing import Any

import torch
from torch import Tensor

from minibert.classroom.exam_question import Question, Template, options_of
from minibert.errors import MinibertError
from minibert.exercises.calls import Call, Outcome, make_call
from minibert.exercises.catalogue import exercises
from minibert.exercises.declare import Exercise, Mistake
from minibert.exercises.diagnose import turned

DIGITS = 3  # after the point
SEEN = 0.02  # numbers that are at least so far apart are seen to be different
TRIES = 200  # arguments that are drawn until a mistake shows in them
PATIENCE = 40  # of them for one mistake, before another one is asked for
WRONG = 3  # options that are wrong
Args = tuple[Any, ...]

# ------------------------------------------------------------------------------------------------- arguments


def whole(random: Random, *shape: int, low: int = -4, high: int = 4) -> Tensor:
    """Integers as floating-point numbers, which are easy to calculate with."""
    drawn = [float(random.randint(low, high)) for _ in range(math.prod(shape))]
    return torch.tensor(drawn, dtype=torch.float64).reshape(shape)


def numbered(random: Random, *shape: int) -> Tensor:
    """Different integers, one after another from a drawn one, so that each can be followed through an operation."""
    start = random.randint(1, 60)
    return torch.arange(start, start + math.prod(shape), dtype=torch.float64).reshape(shape)


def attention_args(random: Random) -> Args:
    mask = torch.tensor([1, 1, 1, 0] if random.random() < 0.7 else [1, 0, 1, 1]).bool()
    q, k = whole(random, 1, 1, 2, 4, low=-2, high=2), whole(random, 1, 1, 4, 4, low=-2, high=2)
    return q, k, whole(random, 1, 1, 4, 2, low=-9, high=9), mask.reshape(1, 1, 1, 4)


def weights_args(random: Random) -> Args:
    mask = [1, 1, 1, 0] if random.random() < 0.5 else [1, 1, 0, 0]
    return whole(random, 1, 1, 2, 4, low=-3, high=3), torch.tensor([mask])


def norm_args(random: Random) -> Args:
    return (
        whole(random, 1, 2, 4, low=-6, high=9),
        whole(random, 4, low=1, high=3),
        whole(random, 4, low=-2, high=2),
    )


def gelu_args(random: Random) -> Args:
    return (torch.tensor(sorted(random.sample([n / 4 for n in range(-12, 13) if n], 5)), dtype=torch.float64),)


def split_args(random: Random) -> Args:
    heads = random.choice((2, 3))
    return numbered(random, 1, random.choice((2, 4)), heads * 2), heads


def merge_args(random: Random) -> Args:
    return (numbered(random, 1, random.choice((2, 3)), 4, 2),)


def classes_args(random: Random) -> Args:
    logits = whole(random, 1, 4, 3, low=-2, high=3)
    labels = [random.randrange(3), -100, random.randrange(3), -100]
    return logits, torch.tensor([labels])


def distillation_args(random: Random) -> Args:
    student, teacher = whole(random, 1, 2, 3), whole(random, 1, 2, 3)
    return student, teacher, float(random.choice((2, 3, 4)))


def angle_args(random: Random) -> Args:
    return whole(random, 1, 3, 2, low=1, high=5), whole(random, 1, 3, 2, low=-5, high=5), torch.tensor([[1, 1, 0]])


def rounds_args(random: Random) -> Args:
    slow = [round(random.uniform(1.5, 3.0), 1) for _ in range(5)]
    return slow, [round(one / random.uniform(1.2, 2.4), 1) for one in slow]


WORDS = ("unreadable", "filmmakers", "replayed", "watchable", "overacting", "storyline", "heartfelt", "screenplay")


def wordpiece_args(random: Random) -> Args:
    word = random.choice(WORDS)
    cuts = sorted(random.sample(range(1, len(word)), 3))
    pieces = {word[:cut] for cut in cuts} | {word[0]}
    pieces |= {f"##{word[a:b]}" for a in cuts for b in [*cuts, len(word)] if b > a}
    pieces |= {f"##{letter}" for letter in random.sample(sorted(set(word)), 3)}
    return word, sorted(pieces)


def merges_args(random: Random) -> Args:
    symbols = list(random.choice(WORDS)[:7])
    parts, merges = list(symbols), []
    while len(parts) > 2:
        at = random.randrange(len(parts) - 1)
        merges.append((parts[at], parts[at + 1]))
        parts[at : at + 2] = ["".join(parts[at : at + 2])]
    extra = [(a, b) for a, b in pairwise(symbols) if (a, b) not in merges]
    for pair in random.sample(extra, min(2, len(extra))):
        merges.insert(random.randrange(len(merges) + 1), pair)
    return symbols, merges[:6]


def viterbi_args(random: Random) -> Args:
    word = random.choice(WORDS)[:6]
    pieces = {word[a:b] for a in range(6) for b in range(a + 1, min(a + 4, 6) + 1)}
    kept = [piece for piece in sorted(pieces) if len(piece) == 1 or random.random() < 0.5]
    return word, {piece: -random.randrange(8, 40) / 4 for piece in kept}


def positions_args(random: Random) -> Args:
    length = random.choice((5, 6))
    rows = []
    for _ in range(2):
        real = random.randint(2, length)
        row = [0, *[random.randint(5, 60) for _ in range(real - 2)], 2]
        rows.append([*row, *[1] * (length - real)] if random.random() < 0.7 else [*[1] * (length - real), *row])
    return (torch.tensor(rows),)


def order_args(random: Random) -> Args:
    return (torch.tensor([random.sample(range(4), 4)]),)


def shift_args(random: Random) -> Args:
    queries, memory = random.choice(((2, 1), (3, 0), (3, 1)))
    return (numbered(random, 1, 1, queries, 2 * queries + memory),)


def sizes_args(random: Random) -> Args:
    return (
        100 * random.randrange(3, 60),
        4 * random.randrange(3, 20),
        random.randrange(2, 9),
        10 * random.randrange(6, 31),
        8 * random.randrange(2, 17),
    )


# Exercise -> the lesson after which it can be asked, and its arguments.
PARTS: dict[str, tuple[int, Callable[[Random], Args]]] = {
    "gelu": (1, gelu_args),
    "attention": (1, attention_args),
    "split-heads": (2, split_args),
    "merge-heads": (2, merge_args),
    "padding-mask": (3, weights_args),
    "layer-norm": (4, norm_args),
    "wordpiece": (5, wordpiece_args),
    "bpe-merge": (5, merges_args),
    "viterbi": (5, viterbi_args),
    "parameter-sizes": (10, sizes_args),
    "masked-lm-loss": (7, classes_args),
    "distillation-loss": (9, distillation_args),
    "cosine-loss": (9, angle_args),
    "roberta-positions": (11, positions_args),
    "no-norm": (12, norm_args),
    "trigram": (12, lambda random: (numbered(random, 1, 3, 2),)),
    "relative-shift": (13, shift_args),
    "permutation-mask": (13, order_args),
    "times-as-fast": (15, rounds_args),
}

# --------------------------------------------------------------------------------------- outputs, as they are shown


def written(value: Any) -> str:
    """A value as the exam shows it."""
    if isinstance(value, Tensor):
        return written(value.tolist())
    if isinstance(value, (list, tuple)):
        inside = ", ".join(map(written, value))
        return f"({inside})" if isinstance(value, tuple) else f"[{inside}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key!r}: {written(one)}" for key, one in value.items()) + "}"
    if isinstance(value, float) and math.isfinite(value):
        rounded = round(value, DIGITS) + 0.0
        return str(int(rounded)) if rounded == value and rounded.is_integer() else f"{rounded:.{DIGITS}f}"
    return repr(value)


def apart(one: Any, other: Any) -> float:
    """The largest difference between two returned values; infinite if they differ in more than their numbers."""
    one, other = (value.tolist() if isinstance(value, Tensor) else value for value in (one, other))
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        if len(one) != len(other):
            return math.inf
        return max([apart(a, b) for a, b in zip(one, other, strict=True)], default=0.0)
    if isinstance(one, (bool, int, float)) and isinstance(other, (bool, int, float)):
        if math.isnan(one) or math.isnan(other):
            return 0.0 if math.isnan(one) and math.isnan(other) else math.inf
        return 0.0 if one == other else abs(one - other)
    return 0.0 if one == other else math.inf


def different(one: Outcome, other: Outcome) -> bool:
    """Whether a reader sees that two outcomes differ."""
    if one.problem or other.problem:
        return (one.problem and one.problem.type) != (other.problem and other.problem.type)
    return apart(one.output, other.output) >= SEEN and written(one.output) != written(other.output)


def outcome_of(exercise: Exercise, args: Args, *mistakes: Mistake) -> Outcome:
    """What the reference with these mistakes returns."""
    return make_call(turned(exercise, *mistakes), Call(args, first=exercise.name == "attention"))


def told_apart(exercise: Exercise, args: Args) -> tuple[dict[Mistake, Outcome], list[Mistake]]:
    """The outcome of each known mistake, and those mistakes that show and that no other outcome can be taken for."""
    right = outcome_of(exercise, args)
    found = {mistake: outcome_of(exercise, args, mistake) for mistake in exercise.mistakes}
    alone = [
        mistake
        for mistake, outcome in found.items()
        if shows(outcome, right)
        and all(different(outcome, theirs) for other, theirs in found.items() if other is not mistake)
    ]
    return found, alone


# ------------------------------------------------------------------------------------------------- questions


def drawn_mistake(random: Random, exercise: Exercise, make: Callable[[Random], Args]) -> Question:
    """A question about a part. Raises MinibertError if no arguments are found in which a mistake shows."""
    wanted = [*exercise.mistakes]
    random.shuffle(wanted)
    best: dict[Mistake, tuple[int, Args]] = {}  # mistake -> how many wrong options return as much, and the arguments
    for tried in range(1, TRIES + 1):
        args = make(random)
        found, alone = told_apart(exercise, args)
        for mistake in alone:
            others = others_than(mistake, wanted)
            alike = min(WRONG, sum(same_form(found[one], found[mistake]) for one in others))
            if len(others) < WRONG:
                continue
            if mistake not in best or alike > best[mistake][0]:
                best[mistake] = alike, args
        # The first of the shuffled mistakes is waited for: one that seldom shows is asked for as often as the others.
        if (tried >= PATIENCE and best) or best.get(wanted[0], (0,))[0] == WRONG:
            mistake = next(one for one in wanted if one in best)
            return question_about(random, exercise, best[mistake][1], mistake, others_than(mistake, wanted))
    raise MinibertError(f"no question about {exercise.name} was found: draw from other parts.")


def others_than(mistake: Mistake, every: Sequence[Mistake]) -> list[Mistake]:
    """The mistakes that can be wrong options where this one is right."""
    return [one for one in every if one is not mistake and one.says != mistake.says]


def form_of(value: Any) -> Any:
    """What can be seen of a returned value without looking at its numbers: its kind, and its shape or length."""
    if isinstance(value, Tensor):
        return tuple(value.shape)
    if isinstance(value, (list, tuple)):
        return [form_of(one) for one in value] if any(isinstance(one, (Tensor, list)) for one in value) else len(value)
    return sorted(value) if isinstance(value, dict) else type(value)


def same_form(one: Outcome, other: Outcome) -> bool:
    return one.problem is None and other.problem is None and form_of(one.output) == form_of(other.output)


def question_about(
    random: Random, exercise: Exercise, args: Args, mistake: Mistake, others: Sequence[Mistake]
) -> Question:
    """The question with the best wrong options: those that return as much as is shown, and that would show here.

    Otherwise the shape or the length would give the answer away.
    """
    found, _ = told_apart(exercise, args)
    right = outcome_of(exercise, args)
    ranked = sorted(
        random.sample(others, len(others)),
        key=lambda one: (not same_form(found[one], found[mistake]), not shows(found[one], right)),
    )
    return question_of(random, exercise, args, mistake, found[mistake], right, ranked[:WRONG])


def shows(outcome: Outcome, right: Outcome) -> bool:
    """Whether an outcome is a plain value, which an exam can show, and not that of a right answer."""
    return outcome.problem is None and "Other(" not in written(outcome.output) and different(outcome, right)


def question_of(
    random: Random, exercise: Exercise, args: Args, mistake: Mistake, outcome: Outcome, right: Outcome,
    distractors: Sequence[Mistake],
) -> Question:  # fmt: skip
    names = [name.split("=")[0].strip() for name in exercise.signature.split(",")]
    given = "\n".join(f"{name} = {written(value)}" for name, value in zip(names, args, strict=False))
    options, letter = options_of(random, mistake.says, [one.says for one in distractors])
    task = "\n".join(f"> {line}".rstrip() for line in exercise.task.split("\n"))
    text = (
        f"Somebody wrote `{exercise.function}({exercise.signature})`, for this task:\n\n{task}\n\n"
        f"The code has exactly one mistake. It was called with\n\n```text\n{given}\n```\n\nand returned"
        f"{shape_said(outcome.output)}\n\n```text\n{written(outcome.output)}\n```\n\n"
        f"Which mistake is it, and how can you tell?\n\n{options}"
    )
    return Question(
        text,
        f"{letter}: {mistake.says}",
        f"{mistake.effect}. A right one returns `{written(right.output)}`",
        {
            "exercise": exercise.name,
            "args": args,
            "mistake": mistake.name,
            "distractors": tuple(one.name for one in distractors),
            "letter": letter,
            "shown": written(outcome.output),
        },
    )


def shape_said(output: Any) -> str:
    return f", of shape {tuple(output.shape)}," if isinstance(output, Tensor) and output.dim() else ""


def template_of(name: str, lesson: int, make: Callable[[Random], Args]) -> Template:
    return Template(name, lesson, lambda random: drawn_mistake(random, exercises()[name], make))


MISTAKES = tuple(template_of(name, lesson, make) for name, (lesson, make) in PARTS.items())
