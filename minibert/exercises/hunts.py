"""Hunts: a part of the model in a box, perhaps with a mistake in it, which is found by calling the box.

    box = minibert.hunt("layer-norm", seed=9)
    box  # how it is called, and the kinds of examples
    print(box.task)  # what it should return
    box(*box.example())  # call it, plot what it returns, compare it with your own function
    box.suspects  # the mistakes that it may have; some boxes are right
    box.name("over-tokens")

The parts are the exercises, and the suspects their known mistakes, as far as they show in what a function returns:
a mistake that only changes gradients, an argument or shared memory is not among them, nor one that stops on ordinary
arguments. No two suspects return the same for all kinds of examples that the box gives, so that each box has one name.
"""

from __future__ import annotations

import inspect
import re
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache
from random import Random
from typing import Any

from torch import Tensor

from minibert.errors import MinibertError, check_known, check_seed, nearest, quoted
from minibert.exercises import progress
from minibert.exercises.calls import BUILDERS, Built, Outcome, mapped
from minibert.exercises.catalogue import exercises
from minibert.exercises.compare import differences, distance
from minibert.exercises.declare import Exercise, Mistake, Probe, probes_of
from minibert.exercises.diagnose import mistaken, turned
from minibert.exercises.edits import named_arguments
from minibert.exercises.moved import varied
from minibert.exercises.result import shortened
from minibert.words import counted, listed, type_of

POINTS, PER_GUESS, PER_HINT, LEAST = 10, 3, 2, 1  # for a box; less per wrong name, less per hint; for any box found
NOTHING = "nothing"  # the name of a box that is right
MISTAKES_PER_RIGHT = 5  # of so many boxes with a mistake there is one without
SHORTLIST = 4  # suspects that the second hint leaves
LONGEST_TEXT = 200  # characters that say what differs


def hunt(part: str | None = None, seed: int = 0) -> Box:
    """A box to hunt a mistake in: see `help(minibert.exercises.hunts)`.

    part: an exercise, as `minibert.progress()` lists them; None: the seed draws one. seed: which box of that part; the
    same seed always gives the same box, and the seeds one after another go through all suspects.

    Raises MinibertError for an unknown part, and for a seed that is not an integer.
    """
    seed = check_seed(seed)
    known = exercises()
    if part is None:
        part = Random(f"a part for {seed}").choice(list(known))
    check_known("part", part, known, " to hunt in")
    return Box(part, seed)


# -------------------------------------------------------------------------------------------------- suspects


@cache
def suspects_of(exercise: Exercise) -> Mapping[str, tuple[Mistake, ...]]:
    """The suspects of a part by name: first the right one, then the known mistakes that show in what is returned.

    Left out are those that stop on the arguments of the first probe, and those that return the same as an earlier one
    for all probes.
    """
    every = range(len(probes_of(exercise)))
    kept: dict[str, tuple[Mistake, ...]] = {NOTHING: ()}
    for mistake in exercise.mistakes:
        if mistaken(exercise, (mistake,), 0).problem is None and not any(
            all(_apart(exercise, (mistake,), other, number) <= exercise.tolerance for number in every)
            for other in kept.values()
        ):
            kept[mistake.name] = (mistake,)
    return kept


def _apart(exercise: Exercise, one: tuple[Mistake, ...], other: tuple[Mistake, ...], number: int) -> float:
    """How far what two suspects return is apart, for one probe."""
    a, b = (mistaken(exercise, ideas, number) for ideas in (one, other))
    return distance(a, b, exercise, values_only=True)


def says_of(ideas: tuple[Mistake, ...]) -> str:
    return about_the_box(ideas[0].says) if ideas else "nothing is wrong"


# Verbs that may follow "and" or "but" with the same subject: "you remove the spans and put no mask in their place".
JOINED = "add|continue|count|divide|do|go|hide|join|keep|multiply|put|remove|replace|return|stop|subtract|take|try"


def about_the_box(text: str) -> str:
    """What a mistake says to its author, said about a box: "you read the mask" as "it reads the mask"."""
    text = re.sub(r"\byour\b", "the", text)
    if not (begin := re.search(r"\byou ", text)):
        return text
    before, after = text[: begin.start()], text[begin.start() :]
    after = re.sub(rf"\b((?:and|but) )({JOINED})\b", lambda found: found[1] + _third_person(found[2]), after)
    return before + re.sub(
        r"\byou ((?:also|never|only) )?([\w-]+)", lambda found: f"it {found[1] or ''}{_third_person(found[2])}", after
    )


def effect_of(mistake: Mistake) -> str:
    """The effect of a mistake, said about a box. A "you" inside a clause gives advice to a reader, and stays."""
    clauses = re.sub(r"\byour\b", "the", mistake.effect).split("; ")
    return "; ".join(about_the_box(one) if one.startswith("you ") else one for one in clauses)


def _third_person(verb: str) -> str:
    if re.search("(s|sh|ch|x|o)$", verb):
        return f"{verb}es"
    return f"{verb[:-1]}ies" if re.search("[^aeiou]y$", verb) else f"{verb}s"


def planted(exercise: Exercise, seed: int) -> str:
    """The name of what is in a box. The suspects are dealt like cards: all come once before one comes again."""
    _, *wrong = suspects_of(exercise)
    deck = [*wrong, *[NOTHING] * max(1, round(len(wrong) / MISTAKES_PER_RIGHT))]
    deal, place = divmod(seed, len(deck))
    Random(f"deal {deal} of {exercise.name}").shuffle(deck)
    return deck[place]


class Suspects(dict[str, str]):
    """Name -> the mistake in plain words, said about the box. Shown as a list with numbers."""

    def __repr__(self) -> str:
        width = max(map(len, self))
        return "\n".join(f"{number:3}  {name:<{width}}  {says}" for number, (name, says) in enumerate(self.items()))


# ------------------------------------------------------------------------------------------------------- box


class Verdict(str):
    """What `box.name` answers, as a string that a notebook shows with its line breaks. right: whether it was that."""

    right: bool

    def __new__(cls, text: str, right: bool) -> Verdict:
        made = super().__new__(cls, text)
        made.right = right
        return made

    __repr__ = str.__str__


class Box:
    """A function whose source is not shown, perhaps with one mistake in it. `minibert.hunt` makes one.

    Printing it, `inspect` and a traceback do not show what is in it. But the box runs in the reader's own process,
    where a debugger or a profiler can look inside: hunts are for practice, not for marks.

    box(...)            calls it; arguments are never changed
    box.example()       fresh arguments: box(*box.example()); see `example` for special ones
    box.kinds           the kinds of examples
    box.task            what a right one does
    box.suspects        the mistakes that it may have
    box.name(...)       say which it is: a name, a number, or the words of box.suspects
    box.hint()          a hint; three, each for 2 points
    box.points          what naming it is worth now, of 10; a wrong name takes 3
    """

    def __init__(self, part: str, seed: int):
        self.part = part
        self.seed = seed
        self._examples: dict[str, int] = {}
        self._unwritten: dict[str, Any] = {}  # the state, if the record cannot be read or written

    @property
    def _exercise(self) -> Exercise:
        return exercises()[self.part]

    @property
    def __signature__(self) -> inspect.Signature:
        space: dict[str, Any] = {}
        exec(self._exercise.stub, space)
        return inspect.signature(space[self._exercise.function])

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        """Call what is in the box, with the arguments of the exercise's function."""
        returned, problem = _opened(self, args, kwargs)
        if problem is not None:
            raise problem
        return returned

    def __repr__(self) -> str:
        exercise = self._exercise
        kinds = "\n".join(f"{number:3}  {name}" for number, name in enumerate(self.kinds))
        return (
            f"A box with {exercise.function}({exercise.signature}), perhaps with one mistake in it.\n"
            f"Part {self.part}, seed {self.seed}. What a right one does: print(box.task). The kinds of examples, for "
            f"box(*box.example(number)):\n{kinds}\n"
            f"Then look at box.suspects, and say which it is with box.name(...). {self._worth}"
        )

    # ------------------------------------------------------------------------------------------- looking

    @property
    def task(self) -> str:
        """What a right one does, with the shapes: the task of the exercise."""
        return self._exercise.task

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of examples: ordinary arguments first, then special ones, with which some mistakes only show."""
        return tuple(probe.name for probe in probes_of(self._exercise))

    @property
    def suspects(self) -> Suspects:
        """The mistakes that may be in it, one of which is in it: name -> plain words."""
        return Suspects({name: says_of(ideas) for name, ideas in suspects_of(self._exercise).items()})

    def example(self, kind: int | str = 0, number: int | None = None) -> tuple[Any, ...]:
        """Valid arguments, as a tuple: box(*box.example()).

        kind: one of `box.kinds`, or its number there. number: the same number gives the same arguments; without it,
        each call gives new ones. Raises MinibertError for an unknown kind.
        """
        probe = self._probe(kind)
        if number is None:
            number = self._examples.get(probe.name, 0)
            self._examples[probe.name] = number + 1
        if number:
            probe = varied(self._exercise, probe, f"example {number}")

        def fresh(value: Any) -> Any:
            if isinstance(value, Built):
                return BUILDERS[value.name](*value.arguments)
            return value.clone() if isinstance(value, Tensor) else value

        args, kwargs = probe.call.args, probe.call.kwargs
        given = named_arguments(self._exercise, args, kwargs).values() if kwargs else args
        return tuple(mapped(value, fresh) for value in given)

    def _probe(self, kind: int | str) -> Probe:
        kinds, kind = self.kinds, numbered(kind)
        if isinstance(kind, str) and kind in kinds:
            return probes_of(self._exercise)[kinds.index(kind)]
        if type(kind) is int and 0 <= kind < len(kinds):
            return probes_of(self._exercise)[kind]
        if isinstance(kind, str):
            raise MinibertError(f"there is no kind of example {quoted(kind)}; {nearest(kind, kinds)}")
        raise MinibertError(
            f"a kind of example is a name or a number from 0 to {len(kinds) - 1}, but is {quoted(kind)}."
        )

    # -------------------------------------------------------------------------------------------- naming

    def name(self, answer: str | int) -> Verdict:
        """Say what is in the box; returns whether that is right, with the reason or with what speaks against it.

        answer: a name, a number, or the plain words of `box.suspects`. What is no suspect raises MinibertError and
        costs nothing.
        """
        exercise, guess, state = self._exercise, self._meant(answer), self._state
        truth = planted(exercise, self.seed)
        ideas = suspects_of(exercise)[guess]
        if guess == truth:
            effect = f"; {effect_of(ideas[0])}" if ideas else ""
            text = f"Yes: {says_of(ideas)}{effect}."
            if state["solved"]:
                return Verdict(f"{text} You had found it before, for {counted(state['points'], 'point')}.", True)
            points = self.points
            told = self._keep(state | {"solved": True, "points": points})
            return Verdict(f"{text} {counted(points, 'point')} of {POINTS}.{told}", True)
        what = f"it is not {guess} ({says_of(ideas)})" if ideas else "something is wrong"
        text = f"No, {what}. {self._against(ideas)}"
        if state["solved"]:
            return Verdict(f"{text} You have found this one before.", False)
        if guess in state["wrong"]:
            return Verdict(f"{text} You have said that before; it costs nothing more. {self._worth}", False)
        told = self._keep(state | {"wrong": [*state["wrong"], guess]})
        return Verdict(f"{text} {self._worth}{told}", False)

    def _meant(self, answer: str | int) -> str:
        """The name of the suspect that is meant. Raises MinibertError if it is none."""
        suspects = self.suspects
        names = list(suspects)
        number = numbered(answer)
        if type(number) is int:
            if 0 <= number < len(names):
                return names[number]
            raise MinibertError(
                f"the suspects have the numbers 0 to {len(names) - 1}, and {quoted(answer)} is none of them."
            )
        if not isinstance(answer, str):
            raise MinibertError(f"a suspect is named by a string or a number, but this is {type_of(answer)}.")
        for name, says in suspects.items():
            if _letters(answer) in (_letters(name), _letters(says)):
                return name
        raise MinibertError(f"{quoted(answer)} is none of this box's suspects; {nearest(answer, names)}")

    def _against(self, ideas: tuple[Mistake, ...]) -> str:
        """What the box returns otherwise than code with this mistake would."""
        exercise = self._exercise
        other = "code with that mistake" if ideas else "a right one"
        for number, probe in enumerate(probes_of(exercise)):
            theirs = mistaken(exercise, ideas, number)
            if text := _difference(exercise, probe, self._outcome(number), theirs):
                return f"Compared with {other}, for “{probe.name}”, box.example({number}, 0): {text}."
        return ""

    def _outcome(self, number: int) -> Outcome:
        return mistaken(self._exercise, suspects_of(self._exercise)[planted(self._exercise, self.seed)], number)

    # --------------------------------------------------------------------------------------------- hints

    def hint(self) -> str:
        """The next of three hints: where to look; a shorter list; what differs there from a right one."""
        state = self._state
        given = min(state["hints"] + 1, 3)
        exercise, chance = self._exercise, Random(f"hints for {self.seed} of {self.part}")
        truth, (_, *wrong) = planted(exercise, self.seed), suspects_of(exercise)
        showing = [
            number
            for number in range(len(self.kinds))
            if _apart(exercise, suspects_of(exercise)[truth], (), number) > exercise.tolerance
        ]
        # For a box that is right the same is said, about any kind.
        number = showing[0] if showing else chance.randrange(len(self.kinds))
        if given == 1:
            text = f"Look at “{self.kinds[number]}”, box.example({number}): what should come out there, and what does?"
        elif given == 2:
            others = [name for name in [NOTHING, *wrong] if name != truth]
            few = {truth, *chance.sample(others, min(SHORTLIST - 1, len(others)))}
            text = f"It is one of these: {listed([name for name in self.suspects if name in few], 'or')}."
        elif not showing:
            text = "For all kinds of examples it returns what is right."
        else:
            right = mistaken(exercise, (), number)
            found = _difference(exercise, probes_of(exercise)[number], self._outcome(number), right)
            text = f"Compared with a right one, for “{self.kinds[number]}”, box.example({number}, 0): {found}."
        if state["solved"] or state["hints"] >= 3:
            return Verdict(text, False)
        told = self._keep(state | {"hints": given})
        return Verdict(f"{text} ({'The last hint. ' if given == 3 else ''}{self._worth}){told}", False)

    # -------------------------------------------------------------------------------------------- points

    @property
    def points(self) -> int:
        """What naming it is worth now; if it has been found, what that was worth."""
        state = self._state
        if state["solved"]:
            return int(state["points"])
        return max(LEAST, POINTS - PER_GUESS * len(state["wrong"]) - PER_HINT * state["hints"])

    @property
    def _worth(self) -> str:
        if self._state["solved"]:
            return f"You have found it, for {counted(self.points, 'point')}."
        return f"Now it is worth {counted(self.points, 'point')} of {POINTS}."

    @property
    def _state(self) -> dict[str, Any]:
        """wrong: the names that were wrong. hints: how many were given. solved, points."""
        found = progress.recorded_hunt(self.part, self.seed) or self._unwritten
        wrong, hints, points = found.get("wrong"), found.get("hints"), found.get("points")
        return {
            "wrong": [one for one in wrong if isinstance(one, str)] if isinstance(wrong, list) else [],
            "hints": hints if type(hints) is int and 0 <= hints <= 3 else 0,
            "solved": found.get("solved") is True,
            "points": points if type(points) is int and 0 <= points <= POINTS else 0,
        }

    def _keep(self, state: dict[str, Any]) -> str:
        """Record the state; returns what is to be said if that is impossible, for the end of a text."""
        self._unwritten = state
        trouble = progress.remember_hunt(self.part, self.seed, state)
        return f" {trouble}" if trouble else ""


def numbered(given: Any) -> Any:
    """A number that was given as text, as an integer; anything else as it is."""
    with suppress(ValueError):  # of more than 4,300 digits
        if isinstance(given, str) and given.strip().isdecimal():
            return int(given)
    return given


def _letters(text: str) -> str:
    """A text without case, punctuation and double spaces."""
    return " ".join(re.findall(r"[\w√²·/+]+", text.lower()))


def _difference(exercise: Exercise, probe: Probe, mine: Outcome, other: Outcome) -> str:
    """How what the box returned differs from another outcome, in words; empty if it does not."""
    if distance(mine, other, exercise, values_only=True) <= exercise.tolerance:
        return ""
    if mine.problem or other.problem:
        does = [f"raises {one.problem.type}" if one.problem else "returns something" for one in (mine, other)]
        return f"the box {does[0]}, and the other one {does[1]}"
    found = max(differences(mine.output, other.output, probe.axes), key=lambda one: one.distance)
    return shortened(found.text, LONGEST_TEXT)


def _opened(box: Box, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Exception | None]:
    """What is in a box, called with copies of the arguments: what it returned, or what it raised.

    Neither the lines of a traceback nor a warning that quotes one may show what is in it.
    """
    exercise = exercises()[box.part]
    try:
        bound = inspect.signature(box).bind(*args, **kwargs)
    except TypeError as error:
        return None, TypeError(f"{exercise.function}({exercise.signature}): {error}")
    function: Callable[..., Any] = turned(exercise, *suspects_of(exercise)[planted(exercise, box.seed)])
    copied = mapped(dict(bound.arguments), lambda one: one.clone() if isinstance(one, Tensor) else one)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return function(**copied), None
    except Exception as error:
        error.__cause__ = error.__context__ = None
        return None, error.with_traceback(None)
