"""The claims ledger: what the papers say, what was measured here, and a verdict on each.

Claims are only judged here; what is timed, tried and trained for them is in minibert.experiments. Reading order:
records (what a claim and a result are, and how results are stored), counted, tried, timed, trained (the claims, by how
they are measured), rules and training_speed (how the trained ones are judged), ledger (all claims together),
overview (what each model of the family changed), sizes (of all published ones), tables (how all is shown), pictures.
"""

from __future__ import annotations

from minibert.claims.ledger import LEDGER, measure, results
from minibert.claims.overview import Member, members
from minibert.claims.records import VERDICTS, Claim, Result, record
from minibert.claims.sizes import FamilyRow, family
from minibert.claims.tables import (
    brief_markdown,
    family_markdown,
    family_text,
    members_markdown,
    members_text,
    to_json,
    to_markdown,
    to_text,
    update_readme,
)

__all__ = [
    "LEDGER",
    "VERDICTS",
    "Claim",
    "FamilyRow",
    "Member",
    "Result",
    "brief_markdown",
    "family",
    "family_markdown",
    "family_text",
    "measure",
    "members",
    "members_markdown",
    "members_text",
    "record",
    "results",
    "to_json",
    "to_markdown",
    "to_text",
    "update_readme",
]
