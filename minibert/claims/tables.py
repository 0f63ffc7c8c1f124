"""How the ledger and the family are shown: in a terminal, in Markdown, as JSON, in the README."""

from __future__ import annotations

import json
import textwrap
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from minibert.claims.ledger import LEDGER, results as known_results
from minibert.claims.overview import Member, members
from minibert.claims.records import VERDICTS, Result
from minibert.claims.sizes import FamilyRow, family
from minibert.errors import MinibertError
from minibert.files import read_text, write_file
from minibert.words import counted

WIDTH = 100  # columns of a terminal

# A part of a model, as factory.parameters_by_part calls it -> the heading of its column.
PARTS = {
    "word embeddings": "words",
    "other embeddings": "other",
    "projection": "E to H",
    "encoder": "encoder",
    "decoder": "decoder",
    "pooler": "pooler",
}
TOGETHER = {"projection": "other embeddings"}  # in a terminal, which has less room

# ------------------------------------------------------------------------------------------------ the ledger


def to_text(results: Sequence[Result]) -> str:
    """The results for a terminal: about five lines per claim, none longer than WIDTH."""
    return "\n\n".join([*map(_claim_text, results), *filter(None, (_summary(results), *_machines(results)))])


def _claim_text(result: Result) -> str:
    claim = LEDGER[result.id]
    head = f"{result.id} · {claim.kind} · {result.verdict.upper()}"
    lines = {
        "claim": claim.statement,
        "paper": f"{claim.paper_value}  [{claim.source}]",
        "here": result.ours,
        "why": result.why,
    }
    return "\n".join([head, *(_labelled(label, text) for label, text in lines.items())])


def _labelled(label: str, text: str) -> str:
    return textwrap.fill(text, WIDTH, initial_indent=f"  {label:<7}", subsequent_indent=" " * 9, break_on_hyphens=False)


def to_markdown(results: Sequence[Result]) -> str:
    """The results as a Markdown table; the lines below it count the verdicts and name the machines."""
    rows = [
        (
            f"**{result.id}** {LEDGER[result.id].statement}",
            f"{LEDGER[result.id].paper_value}<br>*{LEDGER[result.id].source}*",
            result.ours,
            f"**{result.verdict}** · {result.why}",
        )
        for result in results
    ]
    table = _markdown_table(("the claim", "the source", "here", "verdict"), rows)
    return "\n\n".join(filter(None, (table, _summary(results), *_machines(results))))


def brief_markdown(results: Sequence[Result]) -> str:
    """The results as a table with a line for each claim, short enough to be seen at a glance."""
    rows = [(f"**{one.id}**", LEDGER[one.id].short, one.brief or "–", one.verdict) for one in results]
    return "\n\n".join(filter(None, (_markdown_table(("", "the claim", "here", "verdict"), rows), _summary(results))))


def to_json(results: Sequence[Result]) -> str:
    """The results with their claims, as a JSON list with every figure."""
    return json.dumps(
        [
            {
                "statement": claim.statement,
                "source": claim.source,
                "models": claim.models,
                "paper_value": claim.paper_value,
                "kind": claim.kind,
            }
            | asdict(result)
            for result in results
            for claim in (LEDGER[result.id],)
        ],
        indent=2,
        ensure_ascii=False,
    )


def _summary(results: Sequence[Result]) -> str:
    """How many there are of each verdict; an empty text for a single result."""
    if len(results) < 2:
        return ""
    counts = Counter(result.verdict for result in results)
    return f"{counted(len(results), 'claim')}: " + ", ".join(f"{v} {counts[v]}" for v in VERDICTS if counts[v]) + "."


def _machines(results: Sequence[Result]) -> list[str]:
    """One line for each machine and day on which some of the results were timed or trained."""
    occasions: dict[str, list[str]] = {}
    for result in results:
        if result.machine is not None:
            m = result.machine
            where = f"{m['processor']}, {counted(m['threads'], 'thread')}, torch {m['torch']}, {result.date}"
            occasions.setdefault(where, []).append(result.id)
    return [f"{', '.join(ids)}: measured on {where}." for where, ids in occasions.items()]


# ------------------------------------------------------------------------------------------------ the family


def members_text(rows: Sequence[Member]) -> str:
    """What each model of the family changed, for a terminal of 80 columns: about six lines per model."""
    return "\n".join(map(_member_text, rows))


def _member_text(row: Member) -> str:
    paper = row.paper
    lines = [f"{paper.name:<12}{f'{paper.authors} {paper.year}':<20}{row.preset:>25}{row.parameters:>21,}"]
    numbers = f"layers {row.layers}; width {row.width}; positions {row.positions}; pieces {row.pieces}; {row.template}"
    for label, said in {"new": paper.changed, "trained on": paper.learns, "numbers": numbers}.items():
        start = f"{'':<4}{label:<12}"
        lines.append(
            textwrap.fill(said, 79, initial_indent=start, subsequent_indent=" " * len(start), break_on_hyphens=False)
        )
    return "\n".join(lines)


def members_markdown(rows: Sequence[Member]) -> str:
    """What each model of the family changed, as a Markdown table, with its terms below it."""
    heads = ("model", "paper", "what is new", "trained on", "layers", "width", "parameters", "positions",
             "pieces of words", "around a text A")  # fmt: skip
    cells = [
        (
            f"**{row.paper.name}**<br>{row.preset}",
            f"[{row.paper.authors} {row.paper.year}](https://arxiv.org/abs/{row.paper.arxiv})",
            row.paper.changed,
            row.paper.learns,
            row.layers,
            row.width,
            f"{row.parameters:,}",
            row.positions,
            row.pieces,
            f"`{row.template}`",
        )
        for row in rows
    ]
    return _markdown_table(heads, cells, right=(6,))


def family_text(rows: Sequence[FamilyRow], claims: bool = True) -> str:
    """The family's sizes for a terminal of 80 columns, one line per model, with parts in millions.

    claims: add a line or two on what is said about each size.
    """
    shown = {part: short for part, short in PARTS.items() if part not in TOGETHER}
    columns = [(part, short, max(len(short), 6) + 1) for part, short in shown.items()]
    head = f"{'':<24}{'parameters':>12}" + "".join(f"{short:>{width}}" for _, short, width in columns) + f"{'size':>7}"
    across = sum(width for _, _, width in columns)
    lines = [head, f"{'':<36}{'millions in each part':^{across}}{'/ BERT':>7}"]
    for row in rows:
        counts = {part: row.parts.get(part, 0) for part in PARTS}
        for part, other in TOGETHER.items():
            counts[other] += counts[part]
        parts = "".join(f"{_millions(counts[part]):>{width}}" for part, _, width in columns)
        lines.append(f"{row.name:<24}{row.total:>12,}{parts}{row.ratio:>7.1%}")
        if claims:
            said = f"said: {row.claim} [{row.source}]; counted: {row.here}; {row.verdict}"
            lines.append(textwrap.fill(said, 78, initial_indent="    ", subsequent_indent="    "))
    return "\n".join(lines)


def family_markdown(rows: Sequence[FamilyRow]) -> str:
    """The family's sizes as a Markdown table, with its units and sources below it."""
    heads = ("model", "parameters", *PARTS.values(), "share of its BERT", "said about its size", "counted")
    cells = [
        (
            row.name,
            f"{row.total:,}",
            *(_millions(row.parts.get(part, 0)) for part in PARTS),
            f"{row.ratio:.1%}",
            row.claim,
            f"{row.here}: {row.verdict}",
        )
        for row in rows
    ]
    notes = (
        "The parts, in millions of parameters: word embeddings; other embeddings (positions, token types, norm); "
        "the projection from E to H; encoder and decoder blocks; pooler. Each model is compared with the "
        f"uncased BERT of its size. Said about their sizes: {'; '.join(dict.fromkeys(row.source for row in rows))}."
    )
    return f"{_markdown_table(heads, cells, right=range(1, 3 + len(PARTS)))}\n\n{notes}"


def _millions(parameters: int) -> str:
    return f"{parameters / 1e6:.2f}" if parameters else "–"


def _markdown_table(heads: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> str:
    """right: the columns whose cells are aligned to the right."""
    rules = ["---:" if column in right else "---" for column in range(len(heads))]
    escaped = [[cell.replace("|", "\\|") for cell in row] for row in (heads, rules, *rows)]
    return "\n".join(f"| {' | '.join(row)} |" for row in escaped)


# ------------------------------------------------------------------------------------------------ the README


def update_readme(path: str | Path) -> bool:
    """Write the family's and the ledger's tables into a README between its markers; the rest stays as it is.

    The markers are the lines ``<!-- family:begin -->`` and ``<!-- family:end -->``, and the same with ``members`` and
    ``claims``.
    Returns whether anything changed. Raises MinibertError when the file cannot be read, or lacks a marker.
    """
    path = Path(path)
    before = read_text(path)
    tables = {
        "members": lambda: members_markdown(members()),
        "family": lambda: family_markdown(family()),
        "claims": lambda: brief_markdown(known_results()),
    }
    fill_markers(before, dict.fromkeys(tables, ""))  # what is missing is told before any work
    after = fill_markers(before, {name: table() for name, table in tables.items()})
    if after != before:
        write_file(path, after)
    return after != before


def fill_markers(text: str, blocks: dict[str, str]) -> str:
    """`text` with each block put between its markers. Raises MinibertError unless each marker is there once."""
    for name, block in blocks.items():
        begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
        if text.count(begin) != 1 or text.count(end) != 1 or text.index(begin) > text.index(end):
            raise MinibertError(f"the text must have the line {begin} and below it the line {end}, each exactly once.")
        above, _, rest = text.partition(begin)
        _, _, below = rest.partition(end)
        text = f"{above}{begin}\n\n{block}\n\n{end}{below}"
    return text
