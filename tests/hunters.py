"""A hunter: it names what is in a box, and does nothing with the box but call it.

It knows the catalogue: it makes the calls that each exercise's probes describe, and compares what the box returns with
what the reference with each suspect's mistake returns.
"""

from __future__ import annotations

from minibert.exercises.calls import make_call
from minibert.exercises.catalogue import exercises
from minibert.exercises.compare import distance
from minibert.exercises.declare import probes_of
from minibert.exercises.diagnose import looked_at, turned
from minibert.exercises.hunts import Box


def names_of(box: Box) -> list[str]:
    """The suspects whose code returns the same as the box for all probes; for a fair box, one."""
    exercise = exercises()[box.part]
    mistakes = {mistake.name: mistake for mistake in exercise.mistakes}
    left = list(box.suspects)
    for probe in probes_of(exercise):
        returned = looked_at(exercise, probe, lambda call: make_call(box, call), always=True)
        kept = []
        for name in left:
            code = turned(exercise, *[mistakes[name]] if name in mistakes else [])
            theirs = looked_at(exercise, probe, lambda call, code=code: make_call(code, call), always=True)
            if distance(returned, theirs, exercise, values_only=True) <= exercise.tolerance:
                kept.append(name)
        left = kept
    return left
