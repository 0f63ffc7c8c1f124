# %% [markdown]
# # Fine-tuning: from a reader to a tool
#
# > BERT was trained to guess words. How does it become a model that answers your question, with few labelled texts?
#
# Pre-training is long and needs no labels. The tasks that we want to solve in the end need only a short training and a
# few labels: is this review good or bad? Where does a sentence end? Which words answer a question? The idea of BERT's
# paper is that one pre-trained model serves all of these. Put a small new **head** on it, and train everything a little
# further: **fine-tuning** (Devlin et al. 2019, section 3.2 and figure 4).
#
# Three kinds of heads are enough for most tasks.

# %% tags=["folded"]
import tempfile
from itertools import islice
from random import Random

import torch
from torch.nn import functional as F

import minibert
from minibert import plots
from minibert.experiments.tasks import Places, WordClasses, questions, unpunctuated
from minibert.training.data import load_reviews
from minibert.training.loop import Settings, train
from minibert.training.recipes import classifier_for
from minibert.training.spans import find_spans
from minibert.training.token_labels import (
    LABELS,
    count_found,
    label_words,
    labelled_words,
    restored,
    words_example,
)

tok = minibert.load_tokenizer("minilm-l6")

# %%
tasks = {
    "one label for the text": [("[CLS]", "positive"), ("a", ""), ("great", ""), ("film", "")],
    "a label for each word": [("[CLS]", ""), ("is", "Capital"), ("it", "lower"), ("good", "lower ?")],
    "a span: where the answer is": [("[CLS]", ""), ("by", ""), ("sofia", "start"), ("coppola", "end")],
}
plots.answers(tasks, "One BERT, three heads")

# %% [markdown]
# | head | reads | weights | gives |
# |---|---|---|---|
# | one label for the text | the pooled `[CLS]` | $(C, D)$ | (B, C) |
# | a label for each word | every token | $(C, D)$ | (B, S, C) |
# | a span | every token | $(2, D)$ | $(B, S, 2)$: start, end |
#
# $C$ is the number of classes. (The first head comes after the pooler, $D \times D$.) Against the millions of the
# encoder, each head is tiny. All weights are trained, but most of what is needed has already been learned, so few
# labels are enough. Write the first head; the pooler is that of lesson 06.

# %% exercise="classification-head"

# %% [markdown]
# ## The data
#
# Sentences by film critics, labelled positive or negative (Pang & Lee 2005), in three splits. We train on a part of the
# first, and look at the test split once, at the end.

# %%
critics = load_reviews("rotten-tomatoes")
STEPS, BATCH, RATE = 60, 32, 3e-4
train_set = critics.train[: STEPS * BATCH]
for name, split in {"train, of which we use": train_set, "test": critics.test}.items():
    positive = sum(review.label for review in split) / len(split)
    print(f"{name:<24} {len(split):>5,} sentences, {positive:.0%} positive")
for review in train_set[:3]:
    print(review.label, review.text)

# %% [markdown]
# Half of them are positive, so guessing is right half of the time, with a loss of $\ln 2$. Always compute this number
# first.
#
# ## A training loop by hand
#
# Each step: take a batch, compute the loss and the gradients, and move every weight a little against its gradient. The
# learning rate rises for a tenth of the steps and then falls to zero. Each sentence is read once. There are
# three trainings in this lesson; each takes about a minute or less on two cores.

# %% tags=["trained"]
model = classifier_for("minilm-l6", tok, seed=0)  # the encoder's real weights, and a fresh classifier
optimiser = torch.optim.AdamW(model.parameters(), weight_decay=0.01)
torch.manual_seed(0)  # for dropout
model.train()  # dropout on
losses = []
for step in range(STEPS):
    for group in optimiser.param_groups:
        group["lr"] = RATE * min(10 * (step + 1) / STEPS, (STEPS - step) / (0.9 * STEPS))
    chosen = train_set[BATCH * step : BATCH * (step + 1)]
    batch = tok([review.text for review in chosen], max_length=64)  # tensors (B, S)
    labels = torch.tensor([review.label for review in chosen])  # (B,)

    logits = model(**batch).logits  # (B, 2)
    loss = F.cross_entropy(logits, labels)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimiser.step()
    optimiser.zero_grad()
    losses.append(loss.item())

middles = range(5, STEPS, 10)
means = [sum(losses[at - 5 : at + 5]) / 10 for at in middles]
plots.lines(
    {"loss, means of ten steps": (middles, means)},
    "step",
    "training loss, in nats (lower is better)",
    "Fine-tuning on sentences by critics",
    {"knows nothing": torch.tensor(2.0).log().item()},
)

# %% [markdown]
# It begins at $\ln 2$, the loss of a model that knows nothing, and falls. Dropout is on here, so this is not yet how
# good the model is. (BERT's paper uses lower rates, $2$ to $5 \cdot 10^{-5}$, and two to four passes: Devlin et al.
# 2019, appendix A.3. We have only sixty steps, so we take a higher one.)
#
# Two lines matter more than they look. `zero_grad` is needed because `backward` *adds* to the gradients. And
# `clip_grad_norm_` shortens a gradient that is too long, so that one strange batch does not ruin the model.
#
# How good is it, on sentences that it has not seen?


# %% tags=["trained"]
def positive(texts):
    model.eval()  # dropout off
    with torch.no_grad():
        found = [model(**tok(texts[at : at + 64], max_length=64)).logits for at in range(0, len(texts), 64)]
    return torch.cat(found).softmax(dim=-1)[:, 1]  # (number of texts,)


texts, truth = [review.text for review in critics.test], torch.tensor([review.label for review in critics.test])
p = positive(texts)
right = (p > 0.5) == truth.bool()
accuracy = right.double().mean().item()
error = (accuracy * (1 - accuracy) / len(right)) ** 0.5
print(f"{accuracy:.1%} of {len(right)} sentences, standard error {100 * error:.1f} points")

# %% [markdown] tags=["trained"]
# The standard error says how far {{len(right)}} sentences can be trusted: another test set of this size would give
# another number, mostly within two standard errors. The error of a *difference* between two such numbers is $\sqrt 2$
# times as large: less than about {{2 * 2**0.5 * 100 * error | .0f}} points mean little here. (Two models that read the
# same sentences can be compared sentence by sentence, and that can do better.)
#
# ## What it gets wrong
#
# One number hides all the details. Read the mistakes, first those that the model was surest of:

# %% tags=["trained"]
surest = [i for i in (p - 0.5).abs().argsort(descending=True).tolist() if not right[i]][:4]
said = {True: "positive", False: "negative"}
rows = [(f"said {said[bool(p[i] > 0.5)]}, labelled {said[bool(truth[i])]}", texts[i]) for i in surest]
plots.judged(rows, "Sure, and wrong")

# %% [markdown]
# Some labels are hard for people, too. Then sort: which kind of sentence goes wrong more often? And test an idea about
# the reason with sentences of your own, in which only one thing changes:

# %% tags=["trained"]
kinds = {
    "with not, never, n't": ("not ", "never ", "n't "),
    "with but, though, yet": ("but ", "though ", "yet "),
    "with neither": (),
}
has = {}
for kind, some in kinds.items():
    has[kind] = torch.tensor([any(word in text.lower() for word in some) for text in texts])
has["with neither"] = ~torch.stack(list(has.values())).any(0)
for kind, those in has.items():
    print(f"{kind:<22} {int(those.sum()):>4} sentences, right {right[those].double().mean():.0%}")

probes = ["good", "not good", "bad", "not bad", "long", "long, but good", "good, but long"]
found = positive([f"The film is {probe}." for probe in probes])
panels = {"The film is …": (100 * found).tolist()}
plots.distributions(panels, probes, "How positive is it?", "positive, in %", digits=0)

# %% [markdown] tags=["trained"]
# Sentences with *not* go wrong more often, and the probes say more. *not* makes *good* bad, but it lifts *bad* only
# from {{100 * found[2] | .0f}} to {{100 * found[3] | .0f}}: the model has not learned that *not* turns a word round.
# *long* alone gets {{100 * found[4] | .0f}}. With *good* it is {{100 * found[5] | .0f}} if *good* follows *but*, and
# {{100 * found[6] | .0f}} if it comes first. What comes last weighs more; whether that is due to *but*, these probes
# cannot tell. All this from {{len(train_set) | ,}} labelled sentences, each of them read once.
#
# ## The library's loop
#
# [`minibert.training.loop.train`](../minibert/training/loop.py) does the same steps. It also offers: no weight decay
# for biases and norms, several micro-batches for a step, validation, saving and continuing a run that was stopped,
# several processes. You give it an *objective*, which says what is learned, and the `Settings`, which say how.
# `minibert finetune` is the command.
#
# A good place to stop for tonight. Two more heads follow.
#
# ## A label for each word
#
# Take a text, make it lower case, remove the punctuation, and let the model put both back. No labels are needed: the
# text itself says what is right (Tilk & Alumäe 2016 for the marks). Each word has one of {{len(LABELS)}} labels: the
# mark that follows it, and its case. In the last line *unwatchable* is cut into three pieces; which of them should get
# the label?

# %%
for word in labelled_words("Well, I saw it in New York. Is it good?"):
    print(f"{word.text:<6} {word.case:<8} {word.mark!r:<4} label {word.label}")
few = labelled_words("It is unwatchable.")
row = words_example(few, tok, 16)
print(*(f"{tok.tokens[i]}:{label}" for i, label in zip(row.ids, row.labels, strict=True)))

# %% [markdown]
# A word may have several pieces, but it has one label. So the label is at the word's **first piece**, and `-100` at all
# others (Devlin et al. 2019, section 5.3). We start from `minilm-l6-mlm` of lesson 07:


# %% tags=["trained"]
def tuned(model, objective, steps, rate, batch_size=8):
    lengths = [len(example.ids) for example in objective.examples]
    settings = Settings(steps=steps, batch_size=batch_size, learning_rate=rate, bf16=False, save_every=steps)
    with tempfile.TemporaryDirectory() as folder:
        train(model, objective, lengths, settings, folder)
    return model.eval()


def teacher():
    torch.manual_seed(0)  # for the fresh head
    return minibert.from_pretrained("minilm-l6-mlm", head="masked-lm").backbone


reviews = load_reviews("imdb")
word_rows, word_test = (
    list(islice(unpunctuated(some, tok, 64, Random(0)), count))
    for some, count in ((reviews.train, 800), (reviews.test, 200))
)
labeller = WordClasses().model(teacher(), tok)
tuned(labeller, WordClasses().objective(word_rows, tok), steps=100, rate=5e-4)

own = (
    "I saw the film in London last week and it is the best that I have seen. Is it perfect? No, but "
    "John Wayne is great in it, and the music is lovely."
)
words = labelled_words(own)
labels = label_words(labeller, [words_example(words, tok, 64)], tok)[0]
compared = {"as it should be": [], "restored": []}
for word, label in zip(words, labels, strict=True):
    plain = word.label == label == 0
    kind = "" if plain else "right" if word.label == label else "wrong"
    for row, shown, its_kind in zip(compared.values(), (word.label, label), ("", kind), strict=True):
        row.append(plots.Mark(restored([word.text], [shown]), its_kind, f"{word.text.capitalize()},"))
kinds = {"right": "rightly restored", "wrong": "something is wrong or missing"}
plots.marked(compared, kinds, "Capitals and punctuation, restored")

# %% [markdown]
# Capital letters come first: *I* and names. A mark is harder: it depends on how the sentence goes on. For a score,
# count each mark and each case separately. **F1** falls with each one that is missed and with each one that is
# invented: $2 \cdot \text{hits} / (\text{said} + \text{true})$. (It is the harmonic mean of **precision**, hits / said,
# and **recall**, hits / true.)

# %% tags=["trained"]
truths = [row.truth for row in word_test]
counts = count_found(label_words(labeller, word_test, tok), truths)
names = {",": "comma", ".": "full stop", "?": "question mark", "Capital": "Capital", "UPPER": "UPPER"}
share = {name: 100 * sum(one.true) / sum(map(len, truths)) for name, one in counts.items()}
panels = {
    "F1 by guessing as often": [share[name] for name in names],
    "F1 of the model": [100 * counts[name].f1 for name in names],
}
title = "What is restored, on held-out reviews (higher is better)"
plots.distributions(panels, list(names.values()), title, "F1, in %", digits=0)

# %% [markdown] tags=["trained"]
# Rare classes (question mark, UPPER) are not learned yet. But frequency is not all: a comma follows
# {{share[","] | .0f}}% of the words and a full stop {{share["."] | .0f}}%, and after a hundred steps F1 is
# {{100 * counts[","].f1 | .0f}} for commas and {{100 * counts["."].f1 | .0f}} for full stops. A mean over all words
# would not show it: most words are lower case without a mark, and are easy to get right.
#
# ## A span
#
# In question answering, the answer is a stretch of the passage: the head scores each token as the start and as the end,
# and the best pair wins, with the end not before the start (Devlin et al. 2019, section 4.2). How the pair is found is
# yours to write. Replace `raise NotImplementedError()`, run the cell, then the check.

# %% exercise="best-span"

# %% [markdown]
# Questions can be made without labels: find a word or phrase that occurs twice in a passage. Hide one occurrence, and
# ask for the other (Ram et al. 2021, section 3). The head is theirs, too, and not the one in the table above: two
# matrices, $(D, D)$ each and at first the identity. A token's score is its dot product with the vector of the gap.


# %% tags=["trained"]
span_rows, span_test = (
    list(islice(questions(some, tok, 64, Random(0)), count))
    for some, count in ((reviews.train, 400), (reviews.test, 200))
)
finder = Places().model(teacher(), tok)


def exact(model):
    return Places().answers(model.eval(), span_test, tok)["score"]


scores = {"guessing": Places().by_guessing(span_test), "before": exact(finder)}
tuned(finder, Places().objective(span_rows, tok), steps=50, rate=2e-4)
scores["after"] = exact(finder)

shown = [140, 2]
texts_shown = {}
for number, (start, end) in zip(shown, find_spans(finder, [span_test[i] for i in shown], tok), strict=True):
    row = span_test[number]
    marks = []
    for at, i in list(enumerate(row.ids))[1:-1]:  # without [CLS] and [SEP]
        answer, given = row.start <= at <= row.end, start <= at <= end
        said = "right" if given else "missed"
        kind = "asked" if i == tok.mask_id else said if answer else "wrong" if given else ""
        marks.append(plots.Mark(tok.tokens[i], kind))
    found = (start, end) == (row.start, row.end)
    texts_shown[f"passage {number}: {'found' if found else 'not found'}"] = marks
kinds = {"right": "answer, found", "missed": "answer, missed", "wrong": "said, and wrong"}
kinds["asked"] = "the question"
plots.marked(texts_shown, kinds, "Which words does the gap stand for?")

# %% [markdown] tags=["trained"]
# Answers that are exactly right: {{scores["guessing"] | .1%}} by guessing, {{scores["before"] | .0%}} before the
# training, and {{scores["after"] | .0%}} after fifty steps, on {{len(span_test)}} held-out passages. Even before the
# training it is sometimes right: the head compares each token with the gap, and a masked language model's vector of a
# gap is already similar to that of the missing word. Starting from what a model can already do saves labels.
#
# ## The same in the ecosystem's standard library
#
# Outside this course you will mostly use Hugging Face's `transformers`. Nothing here needs it; the code below is only
# for reading. You will recognise the steps of your own loop:
#
# ```python
# from transformers import (AutoModelForSequenceClassification, AutoTokenizer,
#                           DataCollatorWithPadding, Trainer, TrainingArguments)
#
# name = "bert-base-uncased"
# tokenizer = AutoTokenizer.from_pretrained(name)
# model = AutoModelForSequenceClassification.from_pretrained(name, num_labels=2)  # a fresh head
#
# rows = [{**tokenizer(text, truncation=True, max_length=64), "labels": label}
#         for text, label in zip(texts, labels)]
# args = TrainingArguments("out", num_train_epochs=3, per_device_train_batch_size=32,
#                          learning_rate=3e-5, weight_decay=0.01,
#                          warmup_steps=0.1)  # transformers 5; before that: warmup_ratio=0.1
# Trainer(model=model, args=args, train_dataset=rows,
#         data_collator=DataCollatorWithPadding(tokenizer)).train()
# ```
#
# | there | here |
# |---|---|
# | `AutoModelForSequenceClassification` | `head="sequence-classification"` |
# | `AutoModelForTokenClassification` | `head="token-classification"` |
# | `AutoModelForQuestionAnswering` | `head="question-answering"` |
# | `Trainer`, `TrainingArguments` | `train`, `Settings` |
#
# A folder that `minibert.save_pretrained` writes can be read there.
#
# ## What could go wrong
#
# - **`eval()` forgotten** before testing: dropout is on, and each call gives a different answer.
# - **`zero_grad` forgotten:** each step repeats all earlier ones.
# - **Too high a rate:** the loss stays at $\ln 2$, and the pre-trained weights are lost. Too low: nothing is learned in
#   a few steps. Look at the first hundred steps.
# - **A label for every piece.** Then long words count several times. And without `-100`, padding is learned as well.
# - **The test split used to choose.** If you pick the best of ten settings on it, its number is too good. That is what
#   the validation split is for.
# - **The same text in two splits.** These data have duplicates; `load_reviews` removes them before it splits.
#
# ## Exercises
#
# Two, without a check.
#
# **Only the head.** In the loop by hand, freeze the encoder: write `model.backbone.requires_grad_(False)` below the
# first line, and run it and the next two cells of code again. You should see a loss that stays close to $\ln 2$, and an
# accuracy only a little above one half. If nothing changed, the line is after the loop. But is it the frozen encoder,
# or the rate? Try `RATE = 0.1` as well: the loss jumps about, but about two thirds are right. And with the mean of all
# token vectors in place of the pooled `[CLS]`, which is what this checkpoint was trained for, a head alone gets about
# three quarters right, not far below the fine-tuned model. So change one thing at a time before you conclude.
#
# **A text of your own.** Write it in lower case without marks. Capitals of names that film reviewers like should
# come back; which other words does it take for names?

# %% tags=["trained"]
text = "my sister went to new york to see tom hanks but he was not there"
row = words_example(labelled_words(text), tok, 64)
found = restored(text.split(), label_words(labeller, [row], tok)[0])
plots.judged([("restored", found)], "Your text", lines=3)

# %% [markdown]
# ## In short
#
# - Fine-tuning: a pre-trained encoder, a small new head, and all weights trained a little further.
# - The loop: batch, loss, `backward`, clip, `step`, `zero_grad`; the rate rises, then falls.
# - Three heads: a label for the text, for each word (at its first piece), and a start and an end.
# - Compute what guessing gives first. Give the standard error with an accuracy, and read the mistakes.
# - Each class needs a score of its own: a mean hides those that are not learned.
#
# **To read.** Devlin et al. 2019, *BERT*, section 4 and appendix A.3; Ram et al. 2021, *Few-Shot Question Answering by
# Pretraining Span Selection*, section 3. In the library: [training/loop.py](../minibert/training/loop.py),
# [training/token_labels.py](../minibert/training/token_labels.py), [training/spans.py](../minibert/training/spans.py).
#
# **Next:** [DistilBERT: half the depth](09_distilbert.ipynb).
