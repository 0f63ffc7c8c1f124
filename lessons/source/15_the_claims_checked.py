# %% [markdown]
# # The claims, checked
#
# > Sixty percent faster, ninety-seven percent as good, eighteen times smaller: which of it is true?
#
# Whoever looks for a smaller BERT soon reads these numbers. They are copied from introduction to introduction, and with
# every copy something falls off: the machine, the task, the size, the spread. In this lesson you put them back. All it
# takes is what you have learned in the lessons before: you know what these models are made of.
#
# Here are the three promises in one picture. Size and speed were counted and timed by this project. The scores are
# *published*: each is what the model's own paper reports, as a share of what the same table reports for BERT-base. (The
# two papers average different tasks: compare each model with BERT, and not the two with each other.)

# %%
import dataclasses
import math
from collections import Counter
from statistics import fmean, median

import torch
from IPython.display import Markdown, display
from torch import nn
from torch.nn import functional as F

import minibert
from minibert import claims, plots
from minibert.claims import pictures, trained
from minibert.claims.rules.kept import DISTILLED, HALF, student

BERT, DISTILBERT, ALBERT = "bert-base-uncased", "distilbert-base-uncased", "albert-base-v2"
results = {result.id: result for result in claims.results()}  # the whole ledger, by id
sizes = {row.name: row.total / 1e6 for row in claims.family()}


def times_at(id, tokens=128):
    """How many times as fast as BERT-base, recorded with one text of so many tokens at a time."""
    figures = results[id].figures
    return figures["ratio"][figures["tokens"].index(tokens)]


rows = {
    BERT: {"size": sizes[BERT], "speed": 1.0, "score": 100.0},
    # Sanh et al. 2019, Table 1: GLUE, development sets. Lan et al. 2020, Table 2: average of five tasks.
    DISTILBERT: {"size": sizes[DISTILBERT], "speed": times_at("D2"), "score": 100 * 77.0 / 79.5},
    ALBERT: {
        "size": sizes[ALBERT],
        "speed": times_at("A2-inference"),
        "score": 100 * trained.SCORE[ALBERT] / trained.SCORE[BERT],
    },
}
panels = {
    "size": "million parameters",
    "speed": "times as fast in use",
    "score": "published score,\n% of BERT-base's",
}
plots.family(rows, panels, "Two ways to be smaller than BERT-base, and what each gives")

# %% [markdown]
# One of the two has about three fifths of the parameters and is twice as fast. The other is much smaller, and not
# faster at all. In the published scores both lose about three percent. You see already that no single number tells what
# a model is like.
#
# ## A ledger
#
# This project keeps a **ledger**. Each row is a claim: what is said, who says it, and how it is checked. Beside it
# stands what came out, and a verdict.

# %%
print(claims.to_text([results["D1"]]))

# %% [markdown]
# There are different ways of checking. Sizes are *counted*. Code is *run*. Speeds are *timed*, on a machine that the
# ledger names. What only training can tell is *trained*, in small, and recorded with all its figures. A rule turns the
# figures into the verdict, the same rule whoever measures. So the verdicts can be counted:

# %%
kinds = list(dict.fromkeys(claim.kind for claim in claims.LEDGER.values()))
counted = Counter((claims.LEDGER[result.id].kind, result.verdict) for result in results.values())
plots.grid(
    [[counted[kind, verdict] for verdict in claims.VERDICTS] for kind in kinds],
    rows=kinds,
    columns=claims.VERDICTS,
    title=f"{len(results)} claims: how they were checked, and what came out",
    digits=0,
)

# %% [markdown]
# Few of them are plainly false. Many hold with a condition, and the condition is what falls off when they are copied.
# Five questions help to find it.
#
# ## A ratio, or a difference?
#
# DistilBERT is "sixty percent faster". The paper's own seconds say what that means:

# %%
# Sanh et al. 2019, Table 3: a pass over STS-B, one CPU, batch 1
SECONDS = {"BERT-base": 668, "DistilBERT": 410}
times = SECONDS["BERT-base"] / SECONDS["DistilBERT"]
less_time = 1 - SECONDS["DistilBERT"] / SECONDS["BERT-base"]
print(f"{times:.2f} times as fast: in the same time, {times - 1:.0%} more texts")
print(f"{less_time:.1%} less time for the same texts")
print(f"Sixty percent less time would be {1 / (1 - 0.6):.1f} times as fast.")

# %% [markdown]
# The same measurement is "{{times - 1 | .0%}} faster" and "{{less_time | .0%}} less time". Both are right. A percentage
# needs its *of what*: the speed, or the time. "Times as fast" is harder to misread.
#
# ## On which machine, for which task?
#
# Here is what was recorded on another machine. The line across is the paper's.

# %%
groups = {}
for id in ("D2", "A2-inference"):
    claim, figures = claims.LEDGER[id], results[id].figures
    labels = [f"{tokens} tokens" for tokens in figures["tokens"]]
    ratios = zip(figures["ratio"], figures["ratio_low"], figures["ratio_high"], strict=True)
    groups[f"{claim.models[-1]} against {claim.models[0]}"] = dict(zip(labels, ratios, strict=True))
published = {f"{DISTILBERT} against {BERT}": times}
plots.speed(groups, published, "The same comparison on another machine gives another number")

# %% [markdown]
# Twice as fast, where the paper has {{times | .2f}} times. Nobody is wrong. The paper timed a whole pass over a data
# set, and here it is the model alone. Half of the blocks is half of the arithmetic, so two is about the most that there
# is to gain. A ratio of speeds belongs to its machine, its lengths and its batch size, and says little without them.
#
# ## Which size, against which?
#
# "{{claims.LEDGER["A1"].statement}}" There are several of both:

# %%
berts = ["bert-base-uncased", "bert-large-uncased"]
alberts = [name for name in sizes if name.startswith("albert")]
smaller = [[sizes[bert] / sizes[albert] for albert in alberts] for bert in berts]
plots.grid(smaller, berts, alberts, "How many times fewer parameters? Choose your pair", digits=1)

# %% [markdown]
# By choosing the pair one can claim anything from {{min(map(min, smaller)) | .1f}} times fewer (that is: more) to
# {{max(map(max, smaller)) | .1f}} times fewer. Only a pair of the same name is fair: base with base
# ({{smaller[0][0] | .1f}}), large with large ({{smaller[1][1] | .1f}}). And the ALBERT with the best scores is the
# largest, which saves least.
#
# ## How many seeds?
#
# DistilBERT "keeps ninety-seven percent". The ledger has a small experiment on this, with MiniLM-L6 as the teacher and
# students of half its layers. Each was trained with several seeds: other texts to train on, and other luck, all else
# alike.

# %%
cells = results["D3"].figures["cells"]
kept = [
    one["accuracy"] / teacher["accuracy"]
    for one, teacher in zip(cells[student(DISTILLED, HALF)], cells["teacher"], strict=True)
]
for seed, share in zip(results["D3"].figures["seeds"], kept, strict=True):
    print(f"seed {seed}: {share:.2%} kept")
pictures.draw_retention(results["D3"].figures)

# %% [markdown]
# From the worst seed to the best it is {{100 * (max(kept) - min(kept)) | .1f}} points, and nothing but chance has
# changed. With the spread the finding reads: {{results["D3"].ours.partition(" kept")[0]}}. (The range is the interval
# of lesson 09: seeds and test sentences drawn anew.) Ninety-seven lies within it, and so do other numbers. So the
# ledger's verdict is *{{results["D3"].verdict}}*: it may be true, and this experiment cannot prove it. A number from
# one run is an anecdote.
#
# The picture has the shallower students too, and those that were not distilled. Which lines can you really tell apart?
# At any one depth, only the random weights from the other students.
#
# ## What is in the average?
#
# The published ninety-seven percent is the mean of nine tasks (GLUE). Do the arithmetic again:

# %%
TASKS = ("CoLA", "MNLI", "MRPC", "QNLI", "QQP", "RTE", "SST-2", "STS-B", "WNLI")  # in the paper's order
PRINTED = {BERT: 79.5, DISTILBERT: 77.0}  # the averages as printed: Sanh et al. 2019, Table 1
bert_scores = dict(zip(TASKS, trained.GLUE[BERT], strict=True))
student_scores = dict(zip(TASKS, trained.GLUE[DISTILBERT], strict=True))
for task in TASKS:
    share = student_scores[task] / bert_scores[task]
    print(f"{task:<6} {bert_scores[task]:5.1f} -> {student_scores[task]:5.1f}   {share:6.1%} kept")

without = {task: value for task, value in bert_scores.items() if task != "WNLI"}
kept_printed = PRINTED[DISTILBERT] / PRINTED[BERT]
kept_recomputed = fmean(student_scores.values()) / fmean(bert_scores.values())
kept_without = fmean(student_scores[task] for task in without) / fmean(without.values())
print(f"\nkept, of the printed averages   {kept_printed:.1%}")
print(f"kept, of the nine scores        {kept_recomputed:.1%}")
print(f"kept, without WNLI              {kept_without:.1%}")
print(f"BERT's average: printed {PRINTED[BERT]}, of the nine {fmean(bert_scores.values()):.1f}")

# %% [markdown]
# In one task, WNLI, the student is *better* than its teacher, and that lifts the average. Both scores are near a
# coin's, and BERT's own paper leaves this task out of its average (Devlin et al. 2019, Table 1). Without it
# {{kept_without | .1%}} are kept. (And BERT's nine scores, as they are printed, do not have the average that is
# printed. It is a small thing, but it is found in a minute.) Look at the single tasks too: some keep nearly all, and
# CoLA and RTE lose much. An average over tasks describes none of them.
#
# ## What the introductions say, one by one
#
# A passage that you will meet in many places says it all in one breath. DistilBERT has half the blocks, is forty
# percent smaller and sixty percent faster, keeps ninety-seven percent, and here is the code. ALBERT has eighteen times
# fewer parameters, trains faster, gives nothing away, and beats them all. Here it is sentence by sentence, in the words
# of the ledger, with a few claims more that the ledger has added:

# %%
NAMES = {
    "D": "DistilBERT",
    "A": "ALBERT",
    "R": "RoBERTa",
    "M": "MobileBERT",
    "X": "XLNet",
    "B": "BART",
    "C": "All of them",
}
about = {heading: [] for heading in NAMES.values()}
for id, claim in claims.LEDGER.items():
    verdict = results[id].verdict.capitalize()
    about[NAMES[id[0]]].append(f"- {claim.statement} **{verdict}.** (`{id}`)")
for heading, lines in about.items():
    display(Markdown(f"**{heading}**\n\n" + "\n".join(lines)))

# %% [markdown]
# ## The code that is copied along
#
# One of these is not a number but a line of code. It is shown as the way to turn DistilBERT into a classifier:
#
# ```python
# _, output = model(input, attention_mask=mask)
# probability = torch.sigmoid(linear(output))
# ```
#
# Try it, on real text:

# %%
tok = minibert.load_tokenizer("minilm-l6")
texts = ["A quiet film that stays with you.", "Two hours I will never get back.", "It has a dog in it."]
batch = tok(texts)
ids, mask = batch["input_ids"], batch["attention_mask"]

model = minibert.build("tiny-distilbert", seed=0).eval()
try:
    _, output = model(ids, attention_mask=mask)
except TypeError as error:
    print("TypeError:", error)

# %% [markdown]
# It wants to unpack two values: the vectors of the tokens, and the one vector of the whole text, from the *pooler*.
# DistilBERT has no pooler. There is no second value. Other libraries have returned other things over the years, a tuple
# or a dictionary. What would the line do there?

# %%
linear = nn.Linear(model.config.hidden_size, 1)
hidden = model(ids, attention_mask=mask, return_hidden=True)
returned = {
    "a tuple, DistilBERT": (hidden.last_hidden_state,),
    "a dictionary": {"last_hidden_state": hidden.last_hidden_state},
    "a dictionary with all layers": {
        "last_hidden_state": hidden.last_hidden_state,
        "hidden_states": hidden.hidden_states,
    },
}
for name in ("BERT", "ALBERT"):
    with_pooler = minibert.build(f"tiny-{name.lower()}", seed=0).eval()(ids, attention_mask=mask)
    returned[f"a tuple, {name}"] = (with_pooler.last_hidden_state, with_pooler.pooled)

for name, value in returned.items():
    try:
        _, output = value
        print(f"{name:<29} output is {repr(output) if isinstance(output, str) else tuple(output.shape)}")
        linear(output)
    except (TypeError, ValueError) as error:
        print(f"{name:<29} {type(error).__name__}: {error}")

# %% [markdown]
# The third is the nastiest. To unpack a dictionary is to unpack its *keys*, so `output` becomes a piece of text,
# without a complaint. The error comes a line later, and speaks of something else. With a BERT or an ALBERT the line
# works: they have a pooler. So whoever tried it there believes that it works in general.
#
# The second line of the copied code, the sigmoid, has a mistake as well, and this one never gives an error.
#
# ## Why a sigmoid is wrong for one class of many
#
# A sigmoid turns each score into a probability by itself, as if every class were a question of its own: yes or no? If
# exactly one of several classes is right, the classes have to share. That is what the softmax does.

# %%
classes = ("negative", "neutral", "positive")
logits = torch.tensor([2.0, 1.0, 0.5])
each, together = torch.sigmoid(logits), logits.softmax(-1)
two = torch.tensor([0.3, 1.7])
print(f"two classes, the second: by softmax {two.softmax(-1)[1]:.3f},", end=" ")
print(f"by a sigmoid of the difference {torch.sigmoid(two[1] - two[0]):.3f}")

plots.distributions(
    {f"sigmoid: the sum is {each.sum():.2f}": each, f"softmax: the sum is {together.sum():.2f}": together},
    labels=classes,
    title="Probabilities of three classes that exclude each other",
)

# %% [markdown]
# With sigmoids the review is negative, and probably neutral, and rather positive too. They are right where several
# labels may be true at once (funny, *and* long), or for a single yes-or-no score: for two classes, a sigmoid of the
# difference is the softmax.
#
# ## The same, repaired
#
# Take the first position, `last_hidden_state[:, 0]`, put a linear layer on it, and let the loss (in training) or a
# softmax (in use) do the rest. The library's head for DistilBERT has one more dense layer, in the place of the pooler
# that is missing.

# %%
first = hidden.last_hidden_state[:, 0]  # (B, S, D) -> (B, D): the vectors of [CLS]
by_hand = nn.Linear(model.config.hidden_size, len(classes))(first)  # (B, C)
print("first position", tuple(first.shape), "  logits", tuple(by_hand.shape))

config = dataclasses.replace(minibert.PRESETS["tiny-distilbert"], labels=classes)
classifier = minibert.build(config, head="sequence-classification", seed=0).eval()
with torch.no_grad():
    logits = classifier(ids, attention_mask=mask).logits
print("with the library's head: logits", tuple(logits.shape))
print("the probabilities of each text sum to", logits.softmax(-1).sum(-1))
labels = torch.tensor([2, 0, 1])  # (B,)
loss = classifier(ids, attention_mask=mask, labels=labels).loss  # from logits: the softmax is in it
print(f"loss {loss.item():.2f}; guessing among {len(classes)} would have {math.log(len(classes)):.2f}")

# %% [markdown]
# Its weights are random, so it knows nothing yet: the loss is that of guessing. But every shape is right, and from here
# training can begin.
#
# ## The whole ledger
#
# All claims, by the way they were checked, with what the source says, what was found, and why the verdict is what it
# is. It is long. Read the rows that you would have believed.

# %%
for kind in kinds:
    rows = [result for id, result in results.items() if claims.LEDGER[id].kind == kind]
    display(Markdown(f"**{kind.capitalize()}**\n\n{claims.to_markdown(rows)}"))

# %% [markdown]
# The *trained* rows are small: a few seeds, small models, film reviews. Each says so. A small experiment can show that
# something makes a difference. If it shows none, there may be one all the same that it could not see.
#
# ## Measure it yourself
#
# Nothing here has to be believed. What is counted is counted again whenever you look, in a moment, because the models
# are built without their numbers:

# %%
with torch.device("meta"):  # shapes only
    counts = {name: minibert.count_parameters(minibert.build(name)) for name in (BERT, DISTILBERT)}
for name, count in counts.items():
    print(f"{name:<24} {count:>11,}")
print(f"{1 - counts[DISTILBERT] / counts[BERT]:.1%} fewer\n")
print("the ledger, measured now:", claims.measure("D1").ours)

# %% [markdown]
# What is timed or trained takes longer, and depends on your machine. On the command line:
#
# ```sh
# # is DistilBERT faster on your machine? a minute or two
# minibert claims D2 --measure
# # the students of above in a small version: fewer texts, one seed
# minibert claims --rerun D3 --quick
# # the whole experiment: it takes hours, and goes on where it was stopped
# minibert claims --rerun D3
# ```
#
# Your numbers will differ. If they lead to another verdict, you have found a condition.
#
# ## What is not measured here
#
# Some rows have no figures, or figures that decide nothing. The ledger says why, or what it would take:

# %%
*decided, undecided = claims.VERDICTS
lines = []
for id, result in results.items():
    without_figures = claims.LEDGER[id].is_recorded and not result.figures
    if result.verdict == undecided or without_figures:
        lines.append(f"- `{id}` {claims.LEDGER[id].statement} *{result.why}*")
display(Markdown("\n".join(lines)))

# %% [markdown]
# "Not measured" is a result too. It is better than a guess, and it tells the next person where to start.
#
# ## What could go wrong
#
# You time two models yourself. Both ran again and again, in turn, while other things disturbed the machine. Which of
# the numbers do you report? These are the recorded rounds of DistilBERT and BERT-base at the shortest length:

# %%
rounds = results["D2"].figures["rounds"]
slow, fast = rounds[BERT][0], rounds[DISTILBERT][0]  # seconds, one number a round
ratios = [a / b for a, b in zip(slow, fast, strict=True)]
print(f"{len(ratios)} rounds")
print(f"median of each round's ratio:    {median(ratios):.2f}")
print(f"ratio of the means:              {fmean(slow) / fmean(fast):.2f}")
print(f"worst and best round:            {min(ratios):.2f} and {max(ratios):.2f}")
print(f"BERT's best, DistilBERT's worst: {min(slow) / max(fast):.2f}")
print(f"BERT's worst, DistilBERT's best: {max(slow) / min(fast):.2f}")

# %% [markdown]
# From the same rounds one can report anything between {{min(slow) / max(fast) | .2f}} and
# {{max(slow) / min(fast) | .2f}} times, and not one measurement is made up. The median over the rounds hardly minds:
# most disturbances meet both runs of a round, and a round that is spoilt all the same does not get into the middle.
#
# - **A percentage without its whole.** Sixty percent more texts, or sixty percent less time?
# - **Fewer parameters, therefore faster.** Count the runs of a block, not the blocks.
# - **Names in place of sizes.** "ALBERT beats BERT" is true of the wide ones, which train slower than BERT-large.
# - **An average that one odd task carries.** Ask for the single scores.
# - **One seed.** Ask for the spread.
# - **No difference found, therefore none.** Ask whether the experiment could have seen one.
# - **Code that was tried on another model.** It worked there.
# - **A number that has grown old.** The source was right about a machine of its year.
#
# ## Exercises
#
# The head that the copied code took for granted, pooler and all; and the two numbers behind "sixty percent".

# %% exercise="classification-head"

# %% exercise="times-as-fast"

# %% [markdown]
# ## In short
#
# - What can be counted can be settled to the last digit. Ask which pair was counted.
# - DistilBERT: half the blocks, about half the time, somewhat less quality, and how much less depends on the task.
#   ALBERT: a fraction of the parameters, the same time, and less quality too, if base is compared with base.
# - Five questions: a ratio or a difference? Which machine and task? Which size? How many seeds? What is in the average?
# - Code is a claim as well. Run it, on the model that it is meant for.
# - "Not measured" is an honest verdict. "No difference" needs an experiment that could have shown one.
#
# **To read.** Sanh et al. 2019, Tables 1 and 3. Lan et al. 2020, Tables 1 to 4. Then
# [minibert/claims/ledger.py](../minibert/claims/ledger.py), and
# [minibert/claims/rules/](../minibert/claims/rules/) for how a verdict comes out of figures.
#
# This is the end of the path for now. You have built the block, the models, their training, and a way to tell what is
# true about them. More of the family comes later. In the meantime: take the claim that you doubt most, and measure it.
#
# **Next:** [back to the map](00_the_map.ipynb), to see which exercises are still open.
