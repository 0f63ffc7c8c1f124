"""Exercises that say what is wrong: write a part of BERT yourself, and have it checked for known mistakes.

    minibert.check("attention", my_attention)

Read `declare.py`, `compare.py`, `diagnose.py` and `check.py` in this order: what an exercise is, how outcomes are
compared, how a mistake is recognised, and how an answer is checked. `diagnose.py` uses `edits.py` (mistakes that can be
made in any exercise); `causes.py` finds causes that need no known mistake, `crashes.py` puts exceptions into plain
words, and `chance.py` tests random answers. `result.py` is what a check returns, as text and as HTML. `calls.py` calls
the answer, `catalogue/` holds the exercises, `swap.py` runs an answer inside a real model, and `progress.py` remembers
what was passed. `hunts.py` turns it round: a part with a known mistake in it, to be named from what it does.
"""
