"""The learner's own BERT: the parts that have passed, at work inside the library's models, with real weights in them.

    my = minibert.mine("minilm-l6")

Read `loading.py` (the functions of my_bert.py), `wiring.py` (where each of them works), `working.py` (how they are put
there, and what is said if one fails), `model.py` (the model), and `report.py` (what it did, in words and as a page).
`watching.py` is for the command: it names a part that ends the process.
"""
