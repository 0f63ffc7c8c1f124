"""All claims together, in reading order, and what was found about each."""

from __future__ import annotations

from collections.abc import Iterable

from minibert.claims.counted import COUNTED
from minibert.claims.records import Claim, Result, commit, judged, recorded, today
from minibert.claims.relatives import RELATIVES
from minibert.claims.timed import TIMED
from minibert.claims.trained import TRAINED
from minibert.claims.tried import TRIED
from minibert.errors import MinibertError, quoted
from minibert.signs import Progress
from minibert.timing import machine
from minibert.words import listed

READING_ORDER = (
    "C1", "D1", "D2", "D3", "D4", "D5", "D6", "D7", "D8", "A1", "A2", "A2-inference", "A3", "A4", "A5", "A6", "A7",
    "A8", "R1", "R2", "R3", "R4", "M1", "M2", "M3", "X1", "B1", "B2",
)  # fmt: skip

_CLAIMS = {claim.id: claim for claim in (*COUNTED, *TRIED, *TIMED, *TRAINED, *RELATIVES)}
LEDGER: dict[str, Claim] = {id: _CLAIMS[id] for id in READING_ORDER}


def claim_of(id: str) -> Claim:
    """The claim with that id, in upper or lower case. Raises MinibertError when there is none."""
    known = {name.lower(): claim for name, claim in LEDGER.items()}
    if not isinstance(id, str) or id.lower() not in known:
        raise MinibertError(f"there is no claim {quoted(id)}: choose {listed(LEDGER, last='or')}.")
    return known[id.lower()]


def results(ids: Iterable[str] | None = None) -> list[Result]:
    """What is known about the claims with these ids, by default about all, in reading order. Takes less than a second.

    Counted claims are counted again, and tried ones are tried again; the results of timed and trained ones come from
    recorded measurements. Raises MinibertError for an unknown id, or a record that cannot be read.
    """
    claims = LEDGER.values() if ids is None else [claim_of(id) for id in ids]
    return [recorded(claim) if claim.is_recorded else judged(claim, claim.measure()) for claim in claims]


def measure(id: str, quick: bool = False, progress: Progress | None = None) -> Result:
    """Measure one claim here and now; nothing is recorded (see records.record).

    quick: fewer rounds, so that a timed claim takes about 20 seconds instead of one or two minutes, and less training.
    Trained models stay in the folder runs/experiments and are not trained again. progress: called with how many steps
    are done, and of how many. Raises MinibertError for an unknown id, or a claim that is not measured here.
    """
    claim = claim_of(id)
    if claim.measure is None:
        raise MinibertError(f"{id} is not measured here. {claim.unmeasured.why}")
    if not claim.is_recorded:
        return judged(claim, claim.measure())
    figures = claim.measure(quick=quick, progress=progress)
    where = machine() | {"threads": figures["threads"]}
    return judged(claim, figures, machine=where, date=today(), commit=commit())
