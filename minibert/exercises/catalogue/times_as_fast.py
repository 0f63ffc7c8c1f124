"""Claims about speed in numbers: how many times as fast, and how much time that saves."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence

import torch

from minibert import timing
from minibert.exercises.calls import Call
from minibert.exercises.declare import Exercise, Hints, Mistake, Probe

Seconds = Sequence[float]

# What counts as the middle of an even number of values.
MIDDLES: Mapping[str, Callable[[Sequence[float]], float]] = {
    "mean of two": statistics.median,
    "lower": statistics.median_low,
    "upper": statistics.median_high,
}


def times_reference(
    reference_seconds: list[float],
    challenger_seconds: list[float],
    *,
    over: str = "rounds",
    middle: str = "mean of two",
    direction: str = "times as fast",
    said: str = "times",
    saved: str = "1 - 1 / times",
    in_place: bool = False,
) -> tuple[float, float]:
    """Times as fast, and the share of time saved, with knobs."""
    median = MIDDLES[middle]

    def times(above: Seconds, below: Seconds) -> float:
        """How many times as large the numbers above are as those below."""
        if over in ("medians", "means", "best"):
            one = {"medians": median, "means": statistics.fmean, "best": min}[over]
            return one(above) / one(below)
        if over == "sorted":
            above, below = sorted(above), sorted(below)
        ratios = [a / b for a, b in zip(above, below, strict=True)]
        if over == "middle round":
            half = len(ratios) // 2
            return median(ratios[half : half + 1] if len(ratios) % 2 else sorted(ratios[half - 1 : half + 1]))
        return {
            "mean": lambda: statistics.fmean(ratios),
            "geometric": lambda: statistics.geometric_mean(ratios),
            "slowest": lambda: min(ratios),
            "last": lambda: ratios[-1],
            "fastest": lambda: max(ratios),
            "first left out": lambda: median(ratios[1:] or ratios),
        }.get(over, lambda: median(ratios))()

    r, c = reference_seconds, challenger_seconds
    found = times(c, r) if direction != "times as fast" else times(r, c)
    share = {
        "times - 1": lambda: found - 1,
        "1 - times": lambda: 1 - found,
        "percent": lambda: 100 * (1 - 1 / found),
        "left": lambda: 1 / found,
        "of the totals": lambda: 1 - sum(c) / sum(r),
        "seconds": lambda: median([a - b for a, b in zip(r, c, strict=True)]),
        "of each round": lambda: median([1 - b / a for a, b in zip(r, c, strict=True)]),
    }.get(saved, lambda: 1 - found if direction == "times as long" else 1 - 1 / found)()
    if in_place:
        r.sort()
        c.sort()
    return {"times": found, "more": found - 1, "percent": 100 * found}[said], share


def times_probes() -> list[Probe]:
    rounds = {
        "five rounds": ([2.1, 1.7, 1.9, 2.6, 1.8], [1.2, 1.1, 0.9, 1.4, 1.3]),
        "four rounds": ([3.0, 2.4, 2.7, 3.9], [2.5, 1.2, 1.8, 1.5]),
        "one round, the published one": ([668.0], [410.0]),
        "seven rounds, two of them disturbed": (
            [1.65, 1.72, 9.8, 1.58, 1.7, 1.61, 1.95], [1.0, 1.09, 1.03, 1.06, 6.2, 1.01, 1.1],
        ),
        "six rounds on a machine that slows down": (
            [1.0, 1.3, 1.5, 2.1, 2.6, 3.3], [0.7, 0.76, 1.01, 1.2, 1.73, 1.84],
        ),
        "a challenger that is slower": ([0.8, 1.1, 0.7], [1.3, 1.4, 1.2]),
    }  # fmt: skip
    return [Probe(name, Call((list(r), list(c)))) for name, (r, c) in rounds.items()]


def times_as_fast(reference_seconds: list[float], challenger_seconds: list[float]) -> tuple[float, float]:
    ratios = sorted(a / b for a, b in zip(reference_seconds, challenger_seconds, strict=True))
    half = len(ratios) // 2
    times = ratios[half] if len(ratios) % 2 else (ratios[half - 1] + ratios[half]) / 2
    return times, 1 - 1 / times


def times_by_library(reference_seconds: list[float], challenger_seconds: list[float]) -> tuple[float, float]:
    times = timing.ratio(reference_seconds, challenger_seconds).median
    return times, 1 - 1 / times


def times_by_quantile(reference_seconds: list[float], challenger_seconds: list[float]) -> list[torch.Tensor]:
    seconds = torch.tensor([reference_seconds, challenger_seconds], dtype=torch.float64)
    times = (seconds[0] / seconds[1]).quantile(0.5)
    return [times, (times - 1) / times]


def times_by_statistics(reference_seconds: list[float], challenger_seconds: list[float]) -> tuple[float, float]:
    times = statistics.median(map(float.__truediv__, reference_seconds, challenger_seconds))
    return times, 1 - times**-1


def times_by_logarithms(reference_seconds: list[float], challenger_seconds: list[float]) -> tuple[float, float]:
    """The ratios are sorted by their logarithms, and both ends are removed until one or two are left."""
    both = zip(reference_seconds, challenger_seconds, strict=True)
    left = sorted((math.log(a) - math.log(b) for a, b in both), reverse=True)
    while len(left) > 2:
        left = left[1:-1]
    times = sum(map(math.exp, left)) / len(left)
    return times, -math.expm1(-math.log(times))


EXERCISE = Exercise(
    name="times-as-fast",
    topic="claims",
    title="How many times as fast, and how much time that saves",
    level="core",
    minutes=10,
    function="times_as_fast",
    signature="reference_seconds, challenger_seconds",
    task=(
        "A small model, the challenger, is said to be faster than another, the reference. Both were timed in rounds: "
        "in each round both were timed once, one directly after the other. Disturbances on a machine come and go, and "
        "affect both times of a round alike, so the two are compared within the round.\n\n"
        "- `reference_seconds`, `challenger_seconds`: lists of R numbers, in seconds, R at least 1. Entry i of both is "
        "from round i. They belong to the caller: do not change them\n"
        "- returns two plain numbers, `times` and `saved`\n"
        "- `times`: how many times as fast the challenger is, above 1 if it is the faster one. It is the median, over "
        "the rounds, of that number in each round. The median of an odd number of values is the middle one in sorted "
        "order, and of an even number it is the mean of the middle two\n"
        "- `saved`: the share of the time that is saved by a challenger that is `times` times as fast, computed from "
        "`times`: 0.5 is half of the time, 0 is none, and below 0 the challenger takes longer"
    ),
    source="Sanh et al. 2019, Table 3: 668 s against 410 s, reported as \"60% faster\"",
    reference=times_reference,
    solution=times_as_fast,
    library=times_by_library,
    probes=times_probes,
    mistakes=(
        Mistake("inverted", "direction", "inverted", "you divide the challenger's seconds by the reference's",
                "that is how many times as long it takes, which is below 1 if it is faster, and the time saved "
                "comes out below 0; divide the reference's seconds by the challenger's",
                "One model needs 10 seconds and another needs 20: how many times as fast is the first one?"),
        Mistake("times-as-long", "direction", "times as long", "you return how many times as long the challenger takes",
                "that is below 1 if the challenger is faster; the time saved is right, but `times` should be the "
                "reference's seconds divided by the challenger's",
                "One model needs 10 seconds and another needs 20: how many times as fast is the first one?"),
        Mistake("ratio-of-medians", "over", "medians", "you divide one median by the other",
                "the two may come from different rounds, one disturbed and one not; take the ratio in each round, "
                "and then the median of the ratios",
                "From which rounds are the two numbers that you divide?"),
        Mistake("ratio-of-means", "over", "means", "you divide the totals, or the means, of all rounds",
                "one disturbed round counts more than all the others; take the ratio in each round, and then the "
                "median of the ratios",
                "What happens to your result if the machine stops for a minute in one round?"),
        Mistake("best-of-each", "over", "best", "you divide the reference's best time by the challenger's best time",
                "the two may come from different rounds, and two numbers decide everything; take the ratio in each "
                "round, and then the median of the ratios",
                "From which rounds are the two numbers that you divide?"),
        Mistake("mean-of-ratios", "over", "mean", "you take the mean of the rounds' ratios",
                "one disturbed round can change it by any amount; the median hardly changes"),
        Mistake("sorted-before-pairing", "over", "sorted", "you sort the seconds before you divide them",
                "then entry i of both is from different rounds; divide first, and sort the ratios"),
        Mistake("ratios-not-sorted", "over", "middle round", "you take the ratio of the round in the middle",
                "that is the middle in time and not in sorted order; sort the ratios first"),
        Mistake("best-round", "over", "fastest", "you take the round in which the challenger does best",
                "the more rounds there are, the better it looks; take the median"),
        Mistake("geometric-mean", "over", "geometric", "you take the geometric mean of the rounds' ratios",
                "one disturbed round can still change it; the median hardly changes"),
        Mistake("worst-round", "over", "slowest", "you take the round in which the challenger does worst",
                "a single round decides everything; take the median"),
        Mistake("last-round", "over", "last", "only the last round counts",
                "the others were timed for nothing; take the ratio in each round, and then the median"),
        Mistake("first-round-left-out", "over", "first left out", "the first round is left out",
                "the warm-up was before these rounds; all rounds that you are given count"),
        Mistake("lower-of-two", "middle", "lower", "for an even number of rounds you take the lower of the middle two",
                "it is below the middle, like torch's median; take the mean of the two"),
        Mistake("upper-of-two", "middle", "upper", "for an even number of rounds you take the upper of the middle two",
                "it is above the middle; take the mean of the two"),
        Mistake("faster-by", "said", "more",
                "`times` is how much faster the challenger is, and not how many times as fast",
                '1.6 times as fast and "60% faster" mean the same; the task asks for the first, 1.6, without - 1'),
        Mistake("times-in-percent", "said", "percent", "`times` is a percentage", "twice as fast is 2, and not 200"),
        Mistake("faster-taken-for-saved", "saved", "times - 1", "you return the gain in speed as the time saved",
                "then twice as fast would save all of the time, and more than twice as fast would save more than "
                "there is; the challenger needs 1/times of the time",
                "If it is twice as fast, how much of the time is saved?"),
        Mistake("saved-below-0", "saved", "1 - times", "the time saved is 1 - times",
                "that is below 0 if the challenger is faster; the challenger needs 1/times of the time",
                "If it is twice as fast, how much of the time is needed, and how much is saved?"),
        Mistake("saved-in-percent", "saved", "percent", "the time saved is a percentage",
                "the task asks for a share, so 0.5 for half of the time, and not 50"),
        Mistake("share-left", "saved", "left", "you return the share of the time that is needed",
                "the rest of the time is what is saved"),
        Mistake("saved-in-seconds", "saved", "seconds", "the time saved is in seconds",
                "the task asks for a share of the reference's time, without a unit"),
        Mistake("saved-of-the-totals", "saved", "of the totals", "the time saved is computed from the totals",
                "one disturbed round decides it, and it no longer agrees with `times`; compute it from `times`"),
        Mistake("saved-of-each-round", "saved", "of each round",
                "you take the time saved in each round, and then the median",
                "for an even number of rounds that does not agree with `times`, because the mean of two shares is "
                "not the share of the mean; compute it from `times`"),
        Mistake("sorted-in-place", "in_place", True, "you sort the caller's own lists",
                "then they can no longer be paired by round; use sorted(...), which makes a new list",
                "Look at the two lists after the call."),
    ),
    hints=Hints(
        "Take one round: the reference takes 3 s and the challenger 2 s. Work out both numbers by hand. Then do the "
        "same for 3 s and 1.5 s.",
        "There are R ratios, one for each round; take the middle one in sorted order. Speed and time are reciprocal: "
        "n times as fast means 1/n of the time.",
        "times = median over i of (reference_i / challenger_i); saved = 1 − 1/times. From 668 s to 410 s that is 1.63 "
        "times as fast, 38.6% of the time saved.",
        "ratios = sorted(... for a, b in zip(reference_seconds, challenger_seconds))\nhalf = len(ratios) // 2\n"
        "if len(ratios) % 2:\n    times = ratios[half]\nelse:\n    times = ...\nreturn times, ...",
    ),
    equivalents=(times_by_quantile, times_by_statistics, times_by_logarithms),
)  # fmt: skip
