"""Exercises that say what is wrong: write a part of BERT yourself, and have it checked against known mistakes.

    minibert.check("attention", my_attention)

`engine.py` compares and diagnoses, `catalogue/` holds the exercises and their known mistakes, `swap.py` runs an answer
inside a real model, `isolation.py` and `grading.py` mark a class's files, `export.py` writes notebooks.
"""
