"""How large each published model is, where its parameters are, and what is said about its size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from minibert.claims.counted import PUBLISHED, parts_of
from minibert.claims.records import FAILS, HOLDS


@dataclass(frozen=True)
class FamilyRow:
    """One published model."""

    name: str
    total: int
    parts: dict[str, int]  # see factory.parameters_by_part
    bert: str  # the BERT that it is compared with: the one of the same size, or the one that it is a variant of
    ratio: float  # total / the BERT's total
    claim: str  # what is said about its size
    source: str  # where it is said
    here: str  # what is counted here
    verdict: str


class SizeClaim(NamedTuple):
    """What is said about a model's size: a number in the unit that the source uses, and its words."""

    bert: str
    number: float
    unit: str  # one of those in _in_unit
    text: str
    source: str


BASE, LARGE = "bert-base-uncased", "bert-large-uncased"
DEVLIN, SANH, LAN = "Devlin et al. 2019, section 3", "Sanh et al. 2019, Table 3", "Lan et al. 2020, Table 1"
YANG = "Yang et al. 2019, and its released code"
LEWIS = "Lewis et al. 2020, section 2.1"
SUN = "Sun et al. 2020, abstract and Table 1"
LIU = "Liu et al. 2019, section 5, and its released code"
CLAIMS = {
    "bert-base-uncased": SizeClaim(BASE, 110, "M", "110M", DEVLIN),
    "bert-base-cased": SizeClaim(BASE, 110, "M", "110M", DEVLIN),
    "bert-large-uncased": SizeClaim(LARGE, 340, "M", "340M", DEVLIN),
    "bert-large-cased": SizeClaim(LARGE, 340, "M", "340M", DEVLIN),
    "distilbert-base-uncased": SizeClaim(BASE, 40, "% fewer", "40% fewer", SANH),
    "roberta-base": SizeClaim(BASE, 125, "M", "125M", LIU),
    "roberta-large": SizeClaim(LARGE, 355, "M", "355M", LIU),
    "albert-base-v2": SizeClaim(BASE, 108 / 12, "× fewer", "9× fewer (12M for 108M)", LAN),
    "albert-large-v2": SizeClaim(LARGE, 334 / 18, "× fewer", "18× fewer (18M for 334M)", LAN),
    "albert-xlarge-v2": SizeClaim(LARGE, 60, "M", "60M", LAN),
    "albert-xxlarge-v2": SizeClaim(LARGE, 70, "% of it", "70% of it (235M)", LAN),
    "mobilebert-uncased": SizeClaim(BASE, 4.3, "× fewer", "4.3× fewer (25.3M for 109M)", SUN),
    "xlnet-base-cased": SizeClaim(BASE, 110, "M", "110M", YANG),
    "xlnet-large-cased": SizeClaim(LARGE, 340, "M", "340M", YANG),
    "bart-base": SizeClaim(BASE, 10, "% more", "10% more", LEWIS),
    "bart-large": SizeClaim(LARGE, 10, "% more", "10% more", LEWIS),
}


def family() -> list[FamilyRow]:
    """The published models of the family, counted on the meta device in well under a second."""
    return [_row(name, CLAIMS[name]) for name in PUBLISHED]


def _row(name: str, claim: SizeClaim) -> FamilyRow:
    parts = parts_of(name)
    total = sum(parts.values())
    ratio = total / sum(parts_of(claim.bert).values())
    number, here = _in_unit(claim.unit, total, ratio)
    verdict = size_verdict(claim.number, number)
    return FamilyRow(name, total, parts, claim.bert, ratio, claim.text, claim.source, here, verdict)


def _in_unit(unit: str, total: int, ratio: float) -> tuple[float, str]:
    """A counted size in the unit that the source uses, and in words."""
    millions = f"{total / 1e6:.1f}M"
    return {
        "M": (total / 1e6, millions),
        "% fewer": (100 * (1 - ratio), f"{1 - ratio:.1%} fewer"),
        "% more": (100 * (ratio - 1), f"{ratio - 1:.1%} more"),
        "× fewer": (1 / ratio, f"{1 / ratio:.2f}× fewer"),
        "% of it": (100 * ratio, f"{ratio:.1%} of it ({millions})"),
    }[unit]


def size_verdict(said: float, counted: float) -> str:
    """Sources give round numbers, so a number within a tenth of the count holds."""
    return HOLDS if abs(said - counted) <= 0.1 * counted else FAILS
