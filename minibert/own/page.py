"""The page that says what the learner has built, counted: one HTML file that needs nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from html import escape

from minibert.exercises.catalogue import exercises
from minibert.files import GENERATOR
from minibert.own.report import YOURS
from minibert.own.trying import WRITTEN, Deeds
from minibert.words import are

STYLE = """
:root { --ink: #222; --paper: #fff; --soft: #f3f5f7; --line: #d5dae0; --mine: #00634a; --tint: #dff2ea; --dim: #5c6570;
        color-scheme: light dark; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8e8e6; --paper: #16181b; --soft: #212529; --line: #3a4047; --mine: #6fd6b2; --tint: #12372b;
          --dim: #a3abb5; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 52rem; padding: 1rem 1rem 4rem; color: var(--ink); background: var(--paper);
       font: 1.05rem/1.55 system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; overflow-wrap: break-word; }
h1 { font-size: 2rem; line-height: 1.2; margin: 1.2rem 0 .2rem; }
h2 { font-size: 1.3rem; margin: 2.4rem 0 .8rem; }
p { max-width: 42rem; margin: .6rem 0; }
.dim { color: var(--dim); }
.numbers { display: grid; grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); gap: .8rem; margin: 1.6rem 0; }
.numbers div { background: var(--soft); border-radius: 8px; padding: .7rem .8rem; }
.numbers b { display: block; font-size: 1.35rem; line-height: 1.3; white-space: nowrap;
             font-variant-numeric: tabular-nums; }
.numbers span { font-size: .9rem; color: var(--dim); }
.stack { display: flex; flex-direction: column; gap: .4rem; list-style: none; padding: 0; }
.stack li { border: 1px solid var(--line); border-radius: 6px; padding: .45rem .8rem; }
.stack .mine { border-color: var(--mine); }
.stack b { display: inline-block; min-width: 8.5rem; }
code { font: .88em ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace; background: var(--tint);
       color: var(--mine); padding: .1em .4em; border-radius: 4px; display: inline-block; }
table { border-collapse: collapse; width: 100%; font-size: .95rem; }
td { border-bottom: 1px solid var(--line); padding: .4rem .6rem .4rem 0; vertical-align: top; }
td:first-child { color: var(--mine); width: 1.5rem; }
tr.library td { color: var(--dim); }
@media (max-width: 34rem) { td { display: inline; border: 0; padding: 0 .3rem 0 0; } td.note { display: block; }
  tr { display: block; border-bottom: 1px solid var(--line); padding: .4rem 0; } .stack b { display: block; } }
"""


def page_of(deeds: Deeds) -> str:
    """The page as HTML."""
    complete = deeds.yours == len(deeds.rows)
    if complete:
        opening = (
            "All of its parts are mine. They have passed their checks, and run in a real model, with real weights."
        )
    else:
        opening = f"{deeds.yours} of its {len(deeds.rows)} parts {are(deeds.yours)} mine; the library does the rest."
    body = [
        "<h1>My BERT</h1>",
        f'<p class="dim">Written by me, part by part, and put together on {date.today():%d %B %Y}.</p>',
        f"<p>{opening}</p>",
        f'<div class="numbers">{"".join(_numbers(deeds))}</div>',
        "<h2>What it did</h2>",
        *(f"<p>{escape(text)}</p>" for text in did(deeds)),
        "<h2>From a text to its vectors</h2>",
        '<p class="dim">The functions of mine that were called on the way. A larger one would do the work of those '
        "inside it, so the blocks take turns.</p>",
        f'<ol class="stack">{"".join(_stack(deeds))}</ol>',
        "<h2>Its parts</h2>",
        f"<table>{''.join(_parts(deeds))}</table>",
    ]
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>My BERT</title>\n'
        f'{GENERATOR}\n<link rel="icon" href="data:,">\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n'
        + "\n".join(body)
        + "\n</main>\n</body>\n</html>\n"
    )


def _numbers(deeds: Deeds) -> Iterator[str]:
    share = deeds.in_own_code / deeds.parameters if deeds.parameters else 0.0
    shown = {
        f"{deeds.yours} of {len(deeds.rows)}": "exercises passed",
        f"{deeds.lines:,}": "lines of my own code",
        f"{deeds.parameters:,}": "parameters",
        f"{deeds.in_own_code:,}": f"of them go through my functions ({share:.0%})",
    }
    for number, what in shown.items():
        yield f"<div><b>{number}</b><span>{what}</span></div>"


def did(deeds: Deeds) -> Iterator[str]:
    """What it did, in sentences; what was not tried is not mentioned."""
    if deeds.difference is not None:
        yield (
            "It read real sentences with the weights of all-MiniLM-L6-v2. Its vectors, of length 1, differ from the "
            f"library's by {deeds.difference:.1e} at most."
        )
    if deeds.formula is not None:
        right = "exactly as many as" if deeds.formula == deeds.parameters else f"and not the {deeds.parameters:,} that"
        yield f"By my formula it has {deeds.formula:,} parameters, {right} were counted."
    if deeds.asked:
        yield (
            f"It searched {deeds.among:,} sentences from film reviews for those nearest to some sentences: "
            f"{deeds.same} of {deeds.asked} are those that the library finds."
        )
    if deeds.learned:
        mean = sum(deeds.learned) / len(deeds.learned)
        yield f"It learned from masked words for {len(deeds.learned)} steps; a hidden word cost it {mean:.2f} nats."
    if deeds.taught:
        yield (
            f"It taught a student of half its layers: in {len(deeds.taught)} steps the sum of the three losses of "
            f"DistilBERT went from {deeds.taught[0]:.1f} to {deeds.taught[-1]:.1f}."
        )
    if deeds.wrote:
        yield (
            f"My parts in a tiny BART read “{' '.join(WRITTEN)}” and wrote it backwards: “{' '.join(deeds.wrote)}”, "
            f"{'as' if deeds.as_library else 'unlike'} the library does."
        )
    if deeds.times is not None:
        yield f"It was {deeds.times:.2f} times as fast as the library's."


def _stack(deeds: Deeds) -> Iterator[str]:
    passed = {row.name for row in deeds.rows if row.sign == YOURS}
    tokens = [name for name in ("wordpiece", "encode-pair") if name in passed]
    steps = [("text to tokens", tokens), ("embeddings", [name for name in ("embeddings",) if name in passed])]
    steps += [(f"block {number}", names) for number, names in enumerate(deeds.blocks, start=1)]
    for label, names in steps:
        known = exercises()
        code = (
            " ".join(f"<code>{known[name].function}</code>" for name in names) or '<span class="dim">the library</span>'
        )
        yield f'<li class="{"mine" if names else "library"}"><b>{label}</b> {code}</li>'


def _parts(deeds: Deeds) -> Iterator[str]:
    for row in deeds.rows:
        kind = "mine" if row.sign == YOURS else "library"
        note = row.note.replace("yours", "mine", 1).replace("your BERT", "my BERT")
        yield (
            f'<tr class="{kind}"><td>{row.sign}</td><td>{escape(row.title)}</td>'
            f'<td class="note dim">{escape(note)}</td></tr>'
        )
