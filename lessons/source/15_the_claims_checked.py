# %% [markdown]
# # The claims, checked
#
# > Sixty percent faster, ninety-seven percent as good, eighteen times smaller: which of these claims are true?
#
# If you look for a smaller BERT, you soon read these numbers. They are copied from introduction to introduction, and
# with each copy something is lost: the machine, the task, the size, the spread. In this lesson you see by which rules a
# claim gets its verdict, look into five cases, and then judge a claim that nobody has judged for you.
#
# Here are three promises in one picture. Size and speed were counted and timed by this project. The scores are those of
# each model's own paper, as a share of BERT-base's in the same table. (The two papers average different tasks: compare
# each model with BERT only.)

# %% tags=["folded"]
import dataclasses
import inspect
import textwrap
from functools import partial
from statistics import fmean, median

import torch

import minibert
from minibert import claims, plots
from minibert.claims import trained
from minibert.claims.pictures import draw_retention
from minibert.claims.rules.kept import kept_by, kept_on, learned, wins
from minibert.experiments.retention import CUT, STUDENT, TEACHER, variant
from minibert.experiments.tasks import SENTENCES
from minibert.timing import paired

BERT, DISTILBERT, ALBERT = "bert-base-uncased", "distilbert-base-uncased", "albert-base-v2"
MOBILEBERT = "mobilebert-uncased"
LEDGER = {result.id: result for result in claims.results()}
sizes = {row.name: row.total / 1e6 for row in claims.family()}
speeds = LEDGER["M2"].figures["ratio"] | {BERT: 1.0}  # recorded: times as fast as BERT-base, 128 tokens
elsewhere = LEDGER["A2-inference"].figures  # the same comparison, on another machine
MACHINE = {
    letter: LEDGER[claim].machine["processor"].replace("(R)", "").removesuffix(" Processor")
    for letter, claim in {"A": "M2", "B": "D2"}.items()
}
albert_lows = dict(zip(elsewhere["tokens"], elsewhere["ratio_low"], strict=True))
albert_medians = ", ".join(f"{ratio:.2f}" for ratio in elsewhere["ratio"])
names = {"BERT-base": BERT, "DistilBERT": DISTILBERT, "ALBERT-base": ALBERT}
PRINTED = 79.5, 77.0  # BERT-base's and DistilBERT's averages: Sanh et al. 2019, Table 1
published = {  # Sanh et al. 2019, Table 1: GLUE. Lan et al. 2020, Table 2: average of five tasks.
    BERT: 100.0,
    DISTILBERT: 100 * PRINTED[1] / PRINTED[0],
    ALBERT: 100 * trained.SCORE[ALBERT] / trained.SCORE[BERT],
}
SECONDS = 668, 410  # BERT-base and DistilBERT: Sanh et al. 2019, Table 3
PAPERS_CPU = "Intel Xeon E5-2690 v3"  # where these seconds were measured
PHONE = 342, 62, 192  # ms: BERT-base, MobileBERT, MobileBERT with layer norm and GELU: Sun et al. 2020, Table 4
COMMONER, QUESTIONS = 40, 71  # WNLI's development set: questions with the commoner answer, and all
CARD = 82, 125  # million parameters, as DistilRoBERTa's model card says
small = dataclasses.replace(minibert.PRESETS["roberta-base"], num_hidden_layers=6)
with torch.device("meta"):
    whole, half = (minibert.count_parameters(minibert.build(config)) for config in ("roberta-base", small))

# %%
rows = {}
for name, model in names.items():
    rows[name] = {"size": sizes[model], "speed": speeds[model], "score": published[model]}
panels = {"size": "million parameters (fewer is better)"}
panels["speed"] = "times as fast in use (more is better)"
panels["score"] = "published score, % of BERT's (more is better)"
plots.family(rows, panels, "Two ways to be smaller than BERT-base, and what each gives")

# %% [markdown]
# DistilBERT has three fifths of the parameters and is twice as fast. ALBERT is far smaller, but hardly faster: it does
# the same work (lesson 10). No single number says what a model is like. (Speeds were timed on two machines, with two
# cores and one text at a time: A, used here, is an {{MACHINE["A"]}}, and B an {{MACHINE["B"]}}.)
#
# ## A ledger, and its rules
#
# This project keeps a **ledger**. Each row is a claim: what is said, who says it, what was found here, and a verdict.

# %%
print(claims.to_text([LEDGER["A1"]]))

# %% [markdown]
# Sizes are *counted*, code is *tried*, speeds are *timed*; questions that only training can answer are *trained*, with
# small models and several seeds. Then the claim's rule turns the figures into a verdict:
#
# | verdict | it is given if |
# |---|---|
# | {{claims.VERDICTS[0]}} | it is met everywhere: by each size, at each length, by the whole interval over the seeds |
# | {{claims.VERDICTS[1]}} | it is met in part: by one size, by a part of the interval, or less than claimed |
# | {{claims.VERDICTS[2]}} | it is met nowhere; or there are no figures, and the source's own table contradicts it |
# | {{claims.VERDICTS[3]}} | there are no figures, or only of one seed, or of models that have not learned to read |
#
# What "met" means is written in code for each claim. These are the rules of this lesson, read from that code:

# %%
for name in ("A1", "D2", "M2", "A2-inference", "D8", "D3", "A7"):
    rule = claims.LEDGER[name].judge
    told = inspect.getdoc(rule) if rule else "No rule: nothing is measured."
    print(textwrap.fill(f"{name}: {' '.join(told.split())}", 78, subsequent_indent="    "))

# %% [markdown]
# Apply the first to the row above: one pair reaches eighteen, the other does not. So: *{{LEDGER["A1"].verdict}}*. Here
# are all the pairs that could be meant:

# %%
alberts = [name for name in sizes if name.startswith("albert")]
print(f"{'times fewer parameters than':<28} bert-base   bert-large")
for albert in alberts:
    ratios = [sizes[bert] / sizes[albert] for bert in (BERT, "bert-large-uncased")]
    print(f"{albert:<28}", *(f"{ratio:8.1f}   " if ratio > 1 else f"{'(more)':>8}   " for ratio in ratios))

# %% [markdown]
# By choosing the pair you can claim nearly anything. The authors named theirs: "an ALBERT configuration similar to
# BERT-large" (Lan et al. 2020, section 1). In the copies it got lost. **Ask: which size, against which?**
#
# ## Case one: "{{claims.LEDGER["D2"].statement}}"
#
# The paper timed a pass over a data set: {{SECONDS[0]}} seconds against {{SECONDS[1]}} (Sanh et al. 2019, Table 3). Two
# things can be computed from such numbers: how many times as fast, and how much less time. But one measurement is not
# enough on a machine that also does other things. So both models take turns, in *rounds*: what disturbs a round
# disturbs both.

# %% exercise="times-as-fast"

# %% [markdown]
# Now the paper's seconds, folded, and what was recorded on machine B. The line is the paper's, from a third machine
# ({{PAPERS_CPU}}).

# %% tags=["folded"] fold="The paper's seconds"
times, saved = SECONDS[0] / SECONDS[1], 1 - SECONDS[1] / SECONDS[0]
print(f"{times:.2f} times as fast: in the same time, {times - 1:.0%} more texts")
print(f"{saved:.1%} less time for the same texts")
print(f"Sixty percent less time would be {1 / (1 - 0.6):.1f} times as fast.")

# %%
figures = LEDGER["D2"].figures
ratios = zip(figures["ratio"], figures["ratio_low"], figures["ratio_high"], strict=True)
group = {f"{tokens} tokens": ratio for tokens, ratio in zip(figures["tokens"], ratios, strict=True)}
heading = "DistilBERT against BERT-base, machine B"
plots.speed({heading: group}, {heading: times}, f"One claim: machine B ({MACHINE['B']}) and the paper")

# %% [markdown]
# "{{times - 1 | .0%}} faster" and "{{saved | .0%}} less time" are the same measurement; "times as fast" is hard to
# misread. Half of the blocks are half of the arithmetic, so two is about the most that can be gained. The rule asks for
# {{1.6}} at every length, and the lowest is {{min(figures["ratio"]) | .2f}}. Verdict: *{{LEDGER["D2"].verdict}}*.
# **Ask: a ratio or a difference, and of what?**
#
# ## Case two: "{{claims.LEDGER["M2"].statement}}"
#
# It was timed: {{PHONE[1]}} ms against {{PHONE[0]}} ms on a phone (Sun et al. 2020, Table 4). Here are operations,
# counted, and speed, timed on machine A, for three small models.

# %%
small_ones = {"DistilBERT": DISTILBERT, "ALBERT-base": ALBERT, "MobileBERT": MOBILEBERT}
operations = LEDGER["M2"].figures["operations"]
fewer = [operations[BERT] / operations[name] for name in small_ones.values()]
faster = [speeds[name] for name in small_ones.values()]
title, unit = "Fewer operations do not always save as much time", f"BERT-base is 1; machine A ({MACHINE['A']})"
panels = {"times fewer operations": fewer, "times as fast": faster}
plots.distributions(panels, list(small_ones), title, unit)

# %% [markdown]
# MobileBERT does its work in {{minibert.PRESETS[MOBILEBERT].num_hidden_layers}} layers of many small steps, and each
# takes some time, whatever its size. So the speed depends on the machine: even on the paper's phone it falls to
# {{PHONE[0] / PHONE[2] | .1f}} times with BERT's layer norm and GELU (same table). Here it is
# {{speeds[MOBILEBERT] | .1f}} times as fast. For a condition its rule asks for half of the claimed gain,
# {{(1 + 5.5) / 2}} times. Verdict: *{{LEDGER["M2"].verdict}}* (on our CPU; no phone was tried).
#
# **A rule can be wrong, too.** At first this one gave a condition for "faster at all". Two readers found that milder
# than ALBERT's rule, below: {{1.1}} times as fast would have been enough for a claim of {{5.5}}. So it was made
# stricter *after* the result was known, and the verdict changed. That is a weakness, so it is told.
#
# The same picture decides another claim: "{{claims.LEDGER["A2-inference"].statement}}" Its rule asks for a lower
# quartile of {{1.1}} (three quarters of the rounds are at least so fast). On machine A, which timed one length,
# ALBERT's is {{LEDGER["M2"].figures["ratio_low"][ALBERT] | .2f}} (median {{speeds[ALBERT] | .2f}}); on machine B the
# lower quartiles are {{", ".join(f"{low:.2f} with {n}" for n, low in albert_lows.items())}} tokens (medians
# {{albert_medians}}). Verdict: *{{LEDGER["A2-inference"].verdict}}*. **Ask: on which machine, for which input?**
#
# ## Case three: code that is copied along
#
# Introductions show this code as a way to turn DistilBERT into a classifier:
#
# ```python
# _, output = model(input, attention_mask=mask)
# probability = torch.sigmoid(linear(output))
# ```
#
# Code is a claim as well. Try it, on real text, and with what other libraries return: tuples, or fields with names.

# %%
tok = minibert.load_tokenizer("minilm-l6")
batch = tok(["A quiet film that stays with you.", "Two hours I will never get back.", "It has a dog in it."])
ids, mask = batch["input_ids"], batch["attention_mask"]
distilbert, bert = (minibert.build(name, seed=0).eval() for name in ("tiny-distilbert", "tiny-bert"))
one, other = distilbert(ids, attention_mask=mask), bert(ids, attention_mask=mask)
linear = torch.nn.Linear(128, 1)  # D to one number
returned = {
    "DistilBERT, this library": one,
    "DistilBERT, a tuple": (one.last_hidden_state,),
    "DistilBERT, named fields": {"last_hidden_state": one.last_hidden_state},
    "BERT, a tuple": (other.last_hidden_state, other.pooled),
    "BERT, named fields": {"last_hidden_state": other.last_hidden_state, "pooler_output": other.pooled},
}
for name, value in returned.items():
    print(name)
    try:
        _, output = value
        probability = torch.sigmoid(linear(output))
        print("    works:", tuple(probability.shape), "(B, 1)")
    except (TypeError, ValueError) as error:
        print(f"    {type(error).__name__}: {error}")
print("output was", repr(output))
print("the first position of DistilBERT:", tuple(one.last_hidden_state[:, 0].shape), "(B, D)")

# %% [markdown]
# The first line expects a second value, the pooled vector, and DistilBERT has no pooler (Sanh et al. 2019, section 3).
# With a BERT it worked as long as `transformers` returned tuples; that is why people trust it. Since its fourth version
# it returns named fields (its guide "Migrating from previous packages", the point on `return_dict`). Unpacking these
# gives their *names*, so `output` is a string, and the error comes only in the next line. Take
# `last_hidden_state[:, 0]`, the first position, as BERT does (Devlin et al. 2019, section 3). And the sigmoid is right
# for yes-or-no questions; to choose one of many classes, use a softmax. Verdict: *{{LEDGER["D8"].verdict}}*. **Ask: was
# it run, on this model?**
#
# ## Case four: "{{claims.LEDGER["D3"].statement}}"
#
# The number is the quotient of two averages over the nine tasks of GLUE, {{PRINTED[1]}} and {{PRINTED[0]}} (Sanh et al.
# 2019, Table 1). Do the parts give the sum? The authors print their scores in the paper and in the README of their
# code, and the two differ on one task, MNLI:

# %%
TASKS = ("CoLA", "MNLI", "MRPC", "QNLI", "QQP", "RTE", "SST-2", "STS-B", "WNLI")  # in the paper's order
teacher, student = trained.GLUE[BERT], trained.GLUE[DISTILBERT]  # as in the README
at = TASKS.index("MNLI")
print(f"{'':<11} MNLI: BERT, student   mean: BERT, student   kept   without WNLI")
in_paper, in_readme = [*trained.PRINTED_MNLI.values()], (teacher[at], student[at])
for name, mnli in {"the paper": in_paper, "the README": in_readme}.items():
    rows = [[*row[:at], one, *row[at + 1 :]] for row, one in zip((teacher, student), mnli, strict=True)]
    (ours, theirs), (eight, their_eight) = map(fmean, rows), (fmean(row[:-1]) for row in rows)
    print(f"{name:<11} {mnli[0]:10} {mnli[1]:8} {ours:14.2f} {theirs:8.2f}", end=" ")
    print(f"{theirs / ours:7.1%} {their_eight / eight:9.1%}")

# %% [markdown]
# With the README's numbers the averages come out exactly; with the paper's, BERT's does not. So its
# {{trained.PRINTED_MNLI[BERT]}} is very probably a misprint, and we use the README's table. **Ask: do the parts give
# the sum?**
#
# Here are the parts:

# %%
kept = [100 * theirs / ours for ours, theirs in zip(teacher, student, strict=True)]
without = fmean(student[:-1]) / fmean(teacher[:-1])
plots.distributions(
    {"": kept}, TASKS, "What DistilBERT keeps of BERT-base, by task", "% of BERT-base's score", digits=1
)

# %% [markdown]
# On one task, WNLI, the student is *better* than its teacher, and that lifts the average. But {{student[-1]}} is just
# what you get by always giving the commoner answer ({{COMMONER}} of the {{QUESTIONS}} development questions), so there
# is no sign that it has learned anything there. BERT's own paper leaves this task out (Devlin et al. 2019, Table 1).
# Without it, {{without | .1%}} are kept. CoLA and RTE lose far more.
#
# Now the same question with our own models: a teacher of six layers, a distilled student of three, five seeds, and six
# tasks made from film reviews: the sentiment of sentences and of whole reviews (lesson 08); the order of two passages
# (lesson 07); *same review*: are two passages from one review?; punctuation and capitals (lesson 08); *recurring
# spans*: where in a passage are the words that fill a gap in it? The **macro average** is the mean of the six scores.

# %%
measured = LEDGER["D3"]
cells = measured.figures["cells"]
tasks = learned(cells)
average = kept_on(cells, tasks).share
print(f"kept, of all {len(tasks)} tasks: {average.mean:.1%}")
without_one = {task: kept_on(cells, [one for one in tasks if one != task]).share.mean for task in tasks}
for task, share in without_one.items():
    print(f"    without {task:<26} {share:.1%}")
seeds = [run["score"] for run in cells[variant(TEACHER, SENTENCES)]]
failed = min(run["score"] for run in cells[variant(TEACHER, "sentence order")])
PUNCTUATION = "punctuation and capitals"
losing = kept_on(cells, [task for task in tasks if task not in wins(cells, tasks)]).share
draw_retention(measured.figures)

# %% [markdown]
# Blue is the share of the teacher's score, as in the paper; orange leaves out what guessing alone would score. The
# lines are {{0.95 | .0%}} intervals, from resampling seeds and test texts. (On *sentence order* one of the teacher's
# five runs stayed at guessing, {{failed | .1%}}; hence the long line.) The rule wants two blue intervals at
# {{0.97 | .0%}} or above: that of the macro average, which is {{average.low | .1%}} to {{average.high | .1%}}, and that
# of the last row, without the tasks that the student wins, which begins at {{losing.low | .1%}}. Verdict:
# *{{measured.verdict}}*.
#
# The last row is biased, on purpose. It chooses tasks by their results: even a student that is exactly as good as its
# teacher wins some by chance, and these are left out. So it tends to be too low, and is no estimate; without it the
# verdict would be *{{claims.VERDICTS[0]}}*. On {{PUNCTUATION}} the student has
# {{kept_on(cells, [PUNCTUATION]).share.mean | .0%}} of its teacher's score, and that alone lifts the average by more
# than one point (why is not tested). Leave out any one task, and the average is between
# {{min(without_one.values()) | .1%}} and {{max(without_one.values()) | .1%}}. So choose the tasks before the results
# are known, and leave one out only for a reason of its own, as with WNLI.
#
# And *without* distillation? A student that was only cut from the teacher and then fine-tuned keeps
# {{kept_by(cells, CUT).mean | .1%}} on the sentiment of sentences (three seeds), the distilled one
# {{kept_by(cells, STUDENT).mean | .1%}}. There the number says nothing about distillation.
#
# **What our student cannot say.** It shows that half of the layers *can* keep so much, not that DistilBERT does. For
# DistilBERT itself there is only the paper's table: {{fmean(student) / fmean(teacher) | .1%}}, and
# {{without | .1%}} without WNLI. **Ask: what is in the average, and how many seeds?**
#
# ## Case five: "{{claims.LEDGER["A7"].statement}}"
#
# The paper: {{claims.LEDGER["A7"].paper_value.removesuffix(")")}}; Lan et al. 2020, section 4.8,
# Table 8). One number each, so nobody
# sees how far apart two runs with the *same* dropout would be. (Our teacher of case four, fine-tuned with five seeds on
# the sentiment of sentences: {{100 * (max(seeds) - min(seeds)) | .1f}} points from worst to best.) Small models cannot
# decide it: the claim is about the largest ALBERT, after a million steps. Verdict: *{{LEDGER["A7"].verdict}}*, which
# means neither "false" nor "true". **Ask: what would it take to know?**
#
# ## A fresh claim, for you to judge
#
# This one is not in the ledger. The model card of DistilRoBERTa says: {{CARD[0]}}M parameters, compared to {{CARD[1]}}M
# for RoBERTa-base, and on average twice as fast. It is a RoBERTa-base with six layers in place of twelve. First count:

# %%
small = dataclasses.replace(minibert.PRESETS["roberta-base"], num_hidden_layers=6)
# Under `with torch.device("meta"):` a model of any size is built
# at once. Build "roberta-base" and `small`, and count both:
# how many percent fewer?

# %% [markdown]
# Before you time, write your rule: how near to two is "twice as fast", and at which lengths? It gets the ratios by the
# number of tokens, and returns a verdict. Three cases are clear; for the other two, decide what you want:

# %%
HOLDS, CONDITION, FAILS, UNMEASURED = claims.VERDICTS


def judge(ratios):
    """ratios: {tokens: times as fast}, perhaps empty -> one of the four verdicts."""
    return ""


cases = {
    "nothing timed": ({}, UNMEASURED),
    "twice as fast everywhere": ({32: 2.0, 128: 2.0, 256: 2.0}, HOLDS),
    "no faster anywhere": ({32: 1.0, 128: 1.0, 256: 1.0}, FAILS),
    "slower with long texts": ({32: 1.99, 128: 2.0, 256: 1.6}, None),
    "a little less everywhere": ({32: 1.85, 128: 1.85, 256: 1.85}, None),
}
for name, (ratios, clear) in cases.items():
    verdict = judge(ratios)
    mark = "?" if clear is None and verdict in claims.VERDICTS else "✓" if verdict == clear else "✗"
    print(f"{mark} {name:<25} {verdict}")

# %% [markdown]
# Then run this cell. It runs both models in turn, for ten rounds, with random weights, which take as long as any
# others, gives the seconds to *your* `times_as_fast`, and the ratios to *your* `judge`. Try other numbers of tokens.

# %%
TOKENS = 32, 128
with torch.device("meta"):
    models = {"whole": minibert.build("roberta-base"), "half": minibert.build(small)}
for model in models.values():
    for weight in model.to_empty(device="cpu").eval().requires_grad_(False).parameters():
        weight.uniform_(-0.03, 0.03)
found = {}
try:
    for tokens in TOKENS:
        text = torch.randint(5, 50_000, (1, tokens))
        with torch.inference_mode():
            seconds = paired({name: partial(model, text) for name, model in models.items()}, 10)
        found[tokens], less = times_as_fast(seconds["whole"], seconds["half"])  # one number a round
        print(f"{tokens} tokens: {found[tokens]:.2f} times as fast, {less:.0%} less time")
    print(f"your verdict: {judge(found)}")
except NotImplementedError:
    print("To see the result, write times_as_fast in case one.")

# %% [markdown] tags=["folded"] fold="One way to judge it"
# Counted: {{whole | ,}} and {{half | ,}} parameters, {{1 - half / whole | .1%}} fewer. The numbers of the card are
# right: for the size it *holds*. (DistilBERT saves {{1 - sizes[DISTILBERT] / sizes[BERT] | .1%}}. RoBERTa's vocabulary
# is larger, and all of it is kept.)
#
# Timed: two is about the most that can be gained, so your medians may be on either side of it. A rule such as "within a
# tenth of two" gives *holds* if all your lengths are, *holds with a condition* if some are, and *does not hold* if none
# is. "On average" over what, and on which machine? The card does not say. If your ratio is well below two, something
# else takes time: other programs, a very short text, too few rounds.

# %% [markdown]
# ## What could go wrong
#
# Which number do you report? These are the recorded rounds of case one, at the shortest length:

# %%
rounds = LEDGER["D2"].figures["rounds"]
slow, fast = rounds[BERT][0], rounds[DISTILBERT][0]  # seconds, one number a round
ratios = [a / b for a, b in zip(slow, fast, strict=True)]
print(f"median of the {len(ratios)} ratios:        {median(ratios):.2f}")
print(f"ratio of the means:              {fmean(slow) / fmean(fast):.2f}")
print(f"worst and best round:            {min(ratios):.2f} and {max(ratios):.2f}")
print(f"BERT's best, DistilBERT's worst: {min(slow) / max(fast):.2f}")
print(f"BERT's worst, DistilBERT's best: {max(slow) / min(fast):.2f}")

# %% [markdown]
# From the same rounds you could report {{min(slow) / max(fast) | .2f}} or {{max(slow) / min(fast) | .2f}} without
# inventing a number. The disturbances hardly change the median.
#
# - **A percentage without its base.** Sixty percent more texts, or sixty percent less time?
# - **Fewer parameters, therefore faster.** Count the runs of a block, not the blocks.
# - **No difference found, therefore none.** Ask whether the experiment could have seen one.
# - **A number that has grown old.** The source was right about a machine of its year.
#
# So which of these claims are true? From the ledger:

# %%
questions = {
    "A1": "which size, against which?",
    "D2": "a ratio or a difference, and of what?",
    "M2": "on which machine?",
    "A2-inference": "for which input?",
    "D8": "was it run, on this model?",
    "D3": "do the parts give the sum, and what is in the average?",
    "A7": "what would it take to know?",
}
for name, question in questions.items():
    print(f"{claims.LEDGER[name].short}: {LEDGER[name].verdict.upper()}")
    print(f"    found: {LEDGER[name].brief or '–'}\n    ask: {question}")

# %% [markdown]
# ## In short
#
# - What can be counted can be settled to the last digit. Ask which pair was counted, and the other questions above.
# - A verdict needs a rule with a number, and the rule should come before the result. If it is changed later, say so.
# - "Not measured" is an honest verdict.
# - Measure it yourself: `minibert claims D2 --measure` takes a minute or two, `minibert claims --rerun D6 --quick`
#   takes longer. If your figures lead to another verdict, you have found a condition.
#
# **To read.** Sanh et al. 2019, Tables 1 and 3; Lan et al. 2020, Tables 1 to 4 and 8; Sun et al. 2020, Table 4. Then
# [minibert/claims/ledger.py](../minibert/claims/ledger.py).
#
# This is the end of the path. You have built the block, the models, their training, and a way to tell what is true.
#
# **Next:** [back to the map](00_the_map.ipynb), to see which exercises are still open.
