"""Exam questions about mistakes: what a function returned is shown, and the mistake that it has is to be named.

The output really is that of a catalogue reference with one knob turned, for arguments that were drawn and can be worked
out on paper. A question is only asked if no other known mistake of that exercise, and no right answer, returns the
same: what is shown of theirs must be different, and by enough to be seen.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from itertools import pairwise
from random import Random
from typing import Any, NamedTuple

import torch
from torch import Tensor

from minibert.classroom.exam_question import Question, Template, options_of
from minibert.classroom.exam_seen import Sight, sight_of, written
from minibert.errors import MinibertError
from minibert.exercises.calls import Call, Outcome, make_call
from minibert.exercises.catalogue import exercises
from minibert.exercises.declare import Exercise, Mistake
from minibert.exercises.diagnose import turned

TRIES = 200  # arguments that are drawn until a mistake shows in them
PATIENCE = 40  # of them for one mistake, before another one is asked for
WRONG = 3  # options that are wrong
ALIKE = 2  # of them, at least, look like the right one
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
    texts, tokens, heads = random.choice(((1, 2, 2), (1, 4, 2), (1, 2, 3), (2, 2, 2), (2, 3, 2), (2, 2, 3)))
    return numbered(random, texts, tokens, heads * 2), heads


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
    """Pieces of a word, some without ## inside it and some with it at its start; some letters may be in no piece."""
    word = random.choice(WORDS)[:7]
    parts = [(a, b) for a in range(len(word)) for b in range(a + 1, min(a + 3, len(word)) + 1)]
    pieces = {word[0], word[: random.choice((2, 3))]} | {f"##{word[a:b]}" for a, b in random.sample(parts, 9)}
    return word, sorted(pieces | {word[a:b] for a, b in random.sample(parts, 3)})


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
    """Some pieces of a word; a letter of it may be in none."""
    word = random.choice(WORDS)[:6]
    pieces = {word[a:b] for a in range(6) for b in range(a + 1, min(a + 4, 6) + 1)}
    missing = random.choice((None, random.choice(word)))
    kept = [one for one in sorted(pieces) if one != missing and (len(one) == 1 or random.random() < 0.5)]
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

# ---------------------------------------------------------------------------------------- outcomes of mistakes


def outcome_of(exercise: Exercise, args: Args, *mistakes: Mistake) -> Outcome:
    """What the reference with these mistakes returns."""
    return make_call(turned(exercise, *mistakes), Call(args, first=exercise.name == "attention"))


class Seen(NamedTuple):
    """What the known mistakes return for some arguments. showing: those whose result a reader sees not to be right.
    alone: those of them that nothing else can be taken for."""

    sights: dict[Mistake, Sight]
    showing: set[Mistake]
    alone: list[Mistake]


def told_apart(exercise: Exercise, args: Args) -> Seen:
    right = sight_of(outcome_of(exercise, args))
    sights = {mistake: sight_of(outcome_of(exercise, args, mistake)) for mistake in exercise.mistakes}
    showing = [mistake for mistake, sight in sights.items() if shows(sight, right)]
    alone = [
        one for one in showing if all(sights[one].differs(theirs) for other, theirs in sights.items() if other != one)
    ]
    return Seen(sights, {*showing}, alone)


def shows(sight: Sight, right: Sight) -> bool:
    """Whether what is seen is a plain value, which an exam can show, and not that of a right answer."""
    return not sight.problem and "Other(" not in sight.text and sight.differs(right)


# ------------------------------------------------------------------------------------------------- questions


class Chosen(NamedTuple):
    """A mistake to ask for, with its wrong options. fit: how many of these look like it, and do not return what is
    right."""

    mistake: Mistake
    wrong: list[Mistake]
    fit: int
    args: Args


def drawn_mistake(random: Random, exercise: Exercise, make: Callable[[Random], Args]) -> Question:
    """A question about a part. Raises MinibertError if no arguments are found in which a mistake shows."""
    wanted = [*exercise.mistakes]
    random.shuffle(wanted)
    best: dict[Mistake, Chosen] = {}
    for tried in range(1, TRIES + 1):
        for one in choices(random, exercise, make(random)):
            if one.mistake not in best or one.fit > best[one.mistake].fit:
                best[one.mistake] = one
        # The first of the shuffled mistakes is waited for: one that seldom shows is asked for as often as the others.
        if best and (tried >= PATIENCE or (wanted[0] in best and best[wanted[0]].fit == WRONG)):
            return question_of(random, exercise, next(best[one] for one in wanted if one in best))
    raise MinibertError(f"no question about {exercise.name} was found: draw from other parts.")


def choices(random: Random, exercise: Exercise, args: Args) -> Iterator[Chosen]:
    """The mistakes that can be asked for with these arguments, each with the best wrong options.

    What is shown must not give its mistake away by its look alone (see `look_of`): at least ALIKE wrong options return
    something that looks the same. One of them, at least, does not return what is right: to know that answer is not
    enough. Such options are preferred.
    """
    sights, showing, alone = told_apart(exercise, args)
    for mistake in alone:
        others = [one for one in exercise.mistakes if one is not mistake and one.says != mistake.says]
        alike = {one for one in others if sights[one].same_look(sights[mistake])}
        if len(others) < WRONG or len(alike) < ALIKE or not alike & showing:
            continue
        ranked = sorted(random.sample(others, len(others)), key=lambda one: (one not in alike, one not in showing))
        yield Chosen(mistake, ranked[:WRONG], min(WRONG, len(alike & showing)), args)


def question_of(random: Random, exercise: Exercise, chosen: Chosen) -> Question:
    mistake, distractors, _, args = chosen
    outcome, right = outcome_of(exercise, args, mistake), outcome_of(exercise, args)
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
