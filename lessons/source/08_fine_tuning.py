# %% [markdown]
# # Fine-tuning: from a reader to a tool
#
# > BERT was trained to guess words. How does it become a model that answers your question, with few labelled texts?
#
# Pre-training is long and needs no labels. The tasks that we want to solve in the end need only a short training and a
# few labels: is this review good or bad? Where does a sentence end? Which words are the answer? One pre-trained model
# serves all of these. Put a small new **head** on it, and train everything a little further: **fine-tuning** (Devlin et
# al. 2019, section 3.2 and figure 4).
#
# Three kinds of heads are enough for most tasks. You train each of them.

# %% tags=["folded"]
import copy
import re
import tempfile
from itertools import islice
from random import Random

import torch
from torch.nn import functional as F

import minibert
from minibert import plots
from minibert.experiments.tasks import WordClasses, unpunctuated
from minibert.plots import Headed, Layer
from minibert.training.answers import scored
from minibert.training.data import load_reviews
from minibert.training.loop import Settings, train
from minibert.training.pairs import split_sentences
from minibert.training.recipes import classifier_for
from minibert.training.spans import best_span as library_span
from minibert.training.token_labels import (
    LABELS,
    count_found,
    label_words,
    labelled_words,
    restored,
    words_example,
)

tok = minibert.load_tokenizer("minilm-l6")

# %% tags=["folded"]
tasks = {
    "one label for the text": Headed(
        [Layer("pooler: D → D", fresh=False), Layer("linear: D → C")],
        [("[CLS]", "positive"), ("a", None), ("great", None), ("film", None)],
    ),
    "a label for each word": Headed(
        [Layer("linear: D → C")], [("[CLS]", None), ("is", "Capital"), ("it", "lower"), ("good", "lower ?")]
    ),
    "a span: where the name is": Headed(
        [Layer("linear: D → 2")], [("[CLS]", None), ("by", ""), ("sofia", "start"), ("coppola", "end")]
    ),
}
plots.answers(tasks, "One BERT, three heads")

# %% [markdown]
# Read each drawing from the bottom. BERT gives a vector for each token; the head reads some of them.
#
# | head | reads | fresh weights | gives |
# |---|---|---|---|
# | one label for the text | the pooled `[CLS]` | $(C, D)$ | (B, C) |
# | a label for each word | each word's first token | $(C, D)$ | (B, S, C) |
# | a span | each token of the text | $(2, D)$ | $(B, S, 2)$: start, end |
#
# $C$ is the number of classes. A *pair* of texts (does the first imply the second?) needs no head of its own: both go
# into one row, `[CLS] A [SEP] B [SEP]`, with token types `0` and `1`, and the first head reads `[CLS]`.
#
# Only the last layer is fresh: a few thousand random numbers at most, against the millions of the encoder. Fine-tuning
# trains **all** weights, but most of what is needed has already been learned, so few labels are enough. (The pooler is
# an exception here. NSP trained BERT's, see lesson 07. But the last training of our MiniLM-L6 used the *mean* of all
# tokens, see its model card, and neither `[CLS]` nor the pooler. So fine-tuning has to teach it, too.)
#
# Write the first head; the pooler is that of lesson 06.

# %% exercise="classification-head"

# %% [markdown]
# ## The data
#
# Sentences by film critics, labelled positive or negative (Pang & Lee 2005), in three splits. We train on a part of the
# first. The validation split is for choices, such as the learning rate (here they have been made), the test split for
# the end.

# %%
critics = load_reviews("rotten-tomatoes")
STEPS, BATCH, LENGTH = 50, 32, 32
train_set = critics.train[: STEPS * BATCH]
splits = {"train, of which we use": train_set, "validation, not used": critics.validation, "test": critics.test}
for name, split in splits.items():
    positive = sum(review.label for review in split) / len(split)
    print(f"{name:<24} {len(split):>5,} sentences, {positive:.0%} positive")
for review in train_set[:3]:
    print(review.label, review.text)

# %% [markdown]
# Half of them are positive, so guessing is right half of the time, with a loss of $\ln 2$. Always compute this first.
#
# ## A training loop by hand
#
# Each step: take a batch, compute the loss and the gradients, and move every weight a little against its gradient. The
# learning rate rises for a tenth of the steps and then falls to zero. Each sentence is read once, up to {{LENGTH}}
# tokens. (The three trainings of this lesson take about a minute and a half together.)
#
# The optimiser is **AdamW** (Loshchilov & Hutter 2019). It divides a running mean of each weight's gradient by the root
# of a running mean of its square, so that all weights move by steps of a similar size. And it makes each weight a
# little smaller in every step (*weight decay*).
#
# **Write one step yourself.** Six things belong to it, here not in their order: the optimiser's `step()` and
# `zero_grad()`; the loss, `F.cross_entropy`, and its `backward()`; `model(**batch).logits`; and
# `torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)`, which shortens a gradient that is longer than that. Return
# `loss.item()`.

# %% tags=["folded"] fold="The test: three steps of gradient descent, without an optimiser"
three, their_labels = tok(["a good film", "not a good film", "a bad one"]), torch.tensor([1, 0, 0])


def descended(model, rate=0.1):
    """A step of plain gradient descent, its gradient at most 1 long; the loss before it."""
    loss = model(**three, labels=their_labels).loss
    gradients = torch.autograd.grad(loss, list(model.parameters()))
    length = torch.stack([gradient.norm() for gradient in gradients]).norm()
    with torch.no_grad():
        for weight, gradient in zip(model.parameters(), gradients, strict=True):
            weight -= rate * gradient / max(length, 1)
    return loss.item()


def passes(take_step):
    """Whether `take_step` does the same; says what it found."""
    mine = minibert.build("tiny-bert", head="sequence-classification", seed=0).eval()
    mine.classifier.weight.data *= 50  # so that the gradient is long
    theirs = copy.deepcopy(mine)
    optimiser = torch.optim.SGD(mine.parameters(), lr=0.1)
    for number in ("first", "second", "third"):
        told, expected = take_step(mine, optimiser, three, their_labels), descended(theirs)
        if not isinstance(told, float) or abs(told - expected) > 1e-3:
            print(f"✗ the {number} step should return its loss, {expected:.3f}, and returns {told!r}")
            return False
        pairs = zip(mine.parameters(), theirs.parameters(), strict=True)
        if not all(torch.allclose(*pair, atol=1e-5) for pair in pairs):
            hint = "" if number == "first" else "; is something left of the step before?"
            print(f"✗ the {number} step returns the right loss, but leaves wrong weights{hint}")
            return False
    print("✓ three steps, with the right losses and the right weights")
    return True


# %%
def my_step(model, optimiser, batch, labels):
    """One step: the weights of the model change. Returns the loss before it, a number."""
    return 0.0


passed = passes(my_step)

# %% [markdown]
# Below, after your own attempt: all six.


# %% tags=["folded"] fold="One step"
def one_step(model, optimiser, batch, labels):
    logits = model(**batch).logits  # (B, C)
    loss = F.cross_entropy(logits, labels)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimiser.step()
    optimiser.zero_grad()
    return loss.item()


assert passes(one_step)

# %% [markdown]
# `zero_grad` is needed because `backward` *adds* to the gradients, and the clipping so that one strange batch does not
# ruin the model. Now the loop, with your step if it has passed:


# %% tags=["trained"]
def rate_at(step, steps, highest):
    return highest * min(10 * (step + 1) / steps, (steps - step) / (0.9 * steps))


def batch_at(step):
    chosen = train_set[BATCH * step : BATCH * (step + 1)]
    batch = tok([review.text for review in chosen], max_length=LENGTH)  # tensors (B, S)
    return batch, torch.tensor([review.label for review in chosen])  # and (B,)


RATE = 3e-4
model = classifier_for("minilm-l6", tok, seed=0)  # the encoder's real weights, and a fresh classifier
optimiser = torch.optim.AdamW(model.parameters(), weight_decay=0.01, fused=True)  # fused: the same, faster
take_step = my_step if passed else one_step
torch.manual_seed(0)  # for dropout
model.train()  # dropout on
losses = []
for step in range(STEPS):
    for group in optimiser.param_groups:
        group["lr"] = rate_at(step, STEPS, RATE)
    losses.append(take_step(model, optimiser, *batch_at(step)))

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
# It begins at $\ln 2$ and falls. (BERT's paper uses lower rates, $2$ to $5 \cdot 10^{-5}$, and two to four passes:
# Devlin et al. 2019, appendix A.3. Our {{STEPS}} steps need a higher one.) How good is the model, without dropout, on
# sentences that it has not seen?


# %% tags=["trained"]
def positive(texts):
    model.eval()  # dropout off
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))  # similar lengths together: less padding
    p = torch.zeros(len(texts))
    with torch.no_grad():
        for some in (order[at : at + 64] for at in range(0, len(texts), 64)):
            p[some] = model(**tok([texts[i] for i in some], max_length=LENGTH)).logits.softmax(-1)[:, 1]
    return p  # (number of texts,)


texts, truth = [review.text for review in critics.test], torch.tensor([review.label for review in critics.test])
p = positive(texts)
right = (p > 0.5) == truth.bool()
accuracy = right.double().mean().item()
error = (accuracy * (1 - accuracy) / len(right)) ** 0.5
print(f"{accuracy:.1%} of {len(right)} sentences, standard error {100 * error:.1f} points")

# %% [markdown] tags=["trained"]
# The standard error says how far {{len(right)}} sentences can be trusted: another test set of this size would give
# another number, mostly within two standard errors of the value over all such sentences. For the *difference* of two
# such numbers, on two test sets, it is $\sqrt 2$ times as large: less than about {{2 * 2**0.5 * 100 * error | .0f}}
# points mean little here. (On the *same* test set, compare sentence by sentence: that is surer.) A second source of
# chance, the seed, is not in it; lesson 15 uses several seeds.
#
# ## What it gets wrong
#
# One number hides the details. Read the mistakes, those that it was most confident about first:

# %% tags=["trained"]
surest = [i for i in (p - 0.5).abs().argsort(descending=True).tolist() if not right[i]][:4]
said = {True: "positive", False: "negative"}
rows = [(f"said {said[bool(p[i] > 0.5)]}, labelled {said[bool(truth[i])]}", texts[i]) for i in surest]
plots.judged(rows, "Sure, and wrong")

# %% [markdown]
# Some labels are hard for people, too. Then sort: which kind goes wrong more often? And test an idea with sentences of
# your own:

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
shares, errors = {}, {}
for kind, those in has.items():
    shares[kind] = right[those].double().mean().item()
    errors[kind] = (shares[kind] * (1 - shares[kind]) / int(those.sum())) ** 0.5
    told = f"right {shares[kind]:.0%} ± {100 * errors[kind]:.1f} points"
    print(f"{kind:<22} {int(those.sum()):>4} sentences, {told}")
negated, plain = "with not, never, n't", "with neither"
gap, gap_error = shares[plain] - shares[negated], (errors[plain] ** 2 + errors[negated] ** 2) ** 0.5

probes = ["good", "not good", "bad", "not bad", "long", "long, but good", "good, but long"]
found = positive([f"The film is {probe}." for probe in probes])
panels = {"The film is …": (100 * found).tolist()}
plots.distributions(panels, probes, "How positive is it?", "positive, in %", digits=0)

# %% [markdown] tags=["trained"]
# After ± stands the standard error. (Some sentences are of both of the first two kinds.) Those with *not* go wrong more
# often than those with neither: by {{100 * gap | .0f}} points, with a standard error of {{100 * gap_error | .0f}} (the
# squares add up). In the probes, *not* turns *good* into bad ({{found[0] | .0%}} to {{found[1] | .0%}}), but not *bad*
# into good ({{found[2] | .0%}} to {{found[3] | .0%}}). *long, but good* gets {{found[5] | .0%}}, *good, but long*
# {{found[6] | .0%}}: both count as bad. Does the model weigh more what comes last? For so small a difference you need
# more probes, and more seeds.
#
# ## The library's loop
#
# [`minibert.training.loop.train`](../minibert/training/loop.py) does the same, and can continue a run that was stopped
# (as a command: `minibert finetune`). An *objective* says what is learned, the `Settings` say how.
#
# A good place to stop for tonight. Two more heads follow.
#
# ## A label for each word
#
# Take a text, make it lower case, remove the punctuation, and let the model put both back. The text itself says what is
# right (Tilk & Alumäe 2016 for the marks). Each word has one of {{len(LABELS)}} labels: the mark that follows it, and
# its case. In the last line *unwatchable* is cut into three pieces. It has one label (lower case, then a full stop);
# which piece gets it?

# %%
for word in labelled_words("Well, I saw it in New York. Is it good?"):
    print(f"{word.text:<6} {word.case:<8} {word.mark!r:<4} label {word.label}")
few = labelled_words("It is unwatchable.")
row = words_example(few, tok, 16)
print(*(f"{tok.tokens[i]}:{label}" for i, label in zip(row.ids, row.labels, strict=True)))

# %% [markdown]
# The label is at the word's **first piece**, and `-100`, which the loss leaves out, at all others (Devlin et al. 2019,
# section 5.3). We start from `minilm-l6-mlm` of lesson 07, which was trained to guess each token from its neighbours
# (`minilm-l6` was trained for one vector of the whole text), with the library's loop:


# %% tags=["trained"]
def tuned(model, objective, steps, rate, batch_size=8):
    lengths = [len(example.ids) for example in objective.examples]
    settings = Settings(steps=steps, batch_size=batch_size, learning_rate=rate, bf16=False, save_every=steps)
    with tempfile.TemporaryDirectory() as folder:
        train(model, objective, lengths, settings, folder)
    return model.eval()


def pretrained():
    torch.manual_seed(0)  # for the fresh head
    return minibert.from_pretrained("minilm-l6-mlm", head="masked-lm").backbone


reviews = load_reviews("imdb")
word_rows, word_test = (
    list(islice(unpunctuated(some, tok, 48, Random(0)), count))
    for some, count in ((reviews.train, 8 * 90), (reviews.test, 200))
)
labeller = WordClasses().model(pretrained(), tok)
tuned(labeller, WordClasses().objective(word_rows, tok), steps=90, rate=5e-4)

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
kinds = {"right": "correctly restored", "wrong": "something is wrong or missing"}
plots.marked(compared, kinds, "Capitals and punctuation, restored")

# %% [markdown]
# Capital letters come first: *I* and names. A mark is harder: it depends on how the sentence goes on. For a score,
# count each mark and each case separately. **F1** falls with each one that is missed and with each one that is
# invented: $2 \cdot \text{hits} / (\text{said} + \text{true})$. (It is the harmonic mean of **precision**, hits / said,
# and **recall**, hits / true.) A guesser that gives a label to random words, as often as it occurs, has on average this
# share as its precision and its recall, and so as its F1. (The first word of a row begins a sentence: that is easy, and
# not counted.)

# %% tags=["trained"]
truths = [row.truth[1:] for row in word_test]  # without the first word
chances = [None] * len(word_test)  # for each text the probabilities of the labels of its words
for number, logits in scored(labeller, word_test, tok):
    chances[number] = logits[torch.tensor(word_test[number].labels) != -100].softmax(-1)[1:]
counts = count_found([chance.argmax(-1).tolist() for chance in chances], truths)  # the most likely label
names = {",": "comma", ".": "full stop", "?": "question mark", "Capital": "Capital", "UPPER": "UPPER"}
share = {name: 100 * sum(one.true) / sum(map(len, truths)) for name, one in counts.items()}
panels = {
    "F1 of a random guesser": [share[name] for name in names],
    "F1 of the model": [100 * counts[name].f1 for name in names],
}
title = "What is restored, on held-out reviews (higher is better)"
last = sum(LABELS[truth[-1]].endswith(".") for truth in truths if truth) / sum(counts["."].true)
plots.distributions(panels, list(names.values()), title, "F1, in %", digits=0)

# %% [markdown] tags=["trained"]
# (Easy, too: the {{last | .0%}} of the full stops after which the row ends.) Rare classes (question mark, UPPER) are
# not learned yet; a mean over all words would hide it. But frequency is not all: a comma follows {{share[","] | .0f}}%
# of the words and a full stop {{share["."] | .0f}}%, yet F1 is {{counts[","].f1 | .0%}} and {{counts["."].f1 | .0%}}.
# For commas, guessing is better! The reason: we take the **most likely** label, and after so few steps that is hardly
# ever a comma (said {{sum(counts[","].said)}} times, for {{sum(counts[","].true)}} true ones). Has nothing been
# learned? Say a comma where its probability is highest, at the same share of the words as in the training texts:

# %% tags=["trained"]
with_comma = torch.tensor([label.endswith(",") for label in LABELS])
trained_on = torch.tensor([label for row in word_rows for label in row.truth[1:]])
comma = torch.cat(chances)[:, with_comma].sum(-1)  # (number of words,)
true = with_comma[torch.tensor([label for row in truths for label in row])]
said = comma.topk(round(with_comma[trained_on].double().mean().item() * len(comma))).indices
comma_f1 = 2 * int(true[said].sum()) / (len(said) + int(true.sum()))
print(f"highest probability of comma {comma.max():.2f}; F1 of the {len(said)} likeliest places {comma_f1:.0%}")

# %% [markdown] tags=["trained"]
# Now F1 is {{comma_f1 | .0%}}, above guessing. A score judges the model *and* how its probabilities become answers.
#
# ## A span
#
# In question answering, the answer is a stretch of the passage: the head gives each token two scores, as the start and
# as the end of the answer (Devlin et al. 2019, section 4.2). Our question is always the same, so it need not be in the
# row: *which name does the sentence mention?* Again the text has the answer, in capitals, which the tokenizer removes.
# A name is two or more capitalised words in a row, not at the beginning (so titles count, too).

# %% tags=["folded"] fold="Sentences with a name"
NAME = re.compile(r"(?<=[a-z] )[A-Z][a-z]+(?: [A-Z][a-z]+)+\b")
OTHER_CAPITAL = re.compile(r"\W(?!I\b)[A-Z]")


def named(some, count):
    """(ids, start, end) of sentences of at most LENGTH tokens; start, end: the name's first and last token."""
    rows = []
    for review in some:
        for sentence in split_sentences(review.text):
            found = NAME.search(sentence)
            others = sentence[1 : found.start() - 1] + " " + sentence[found.end() :] if found else ""
            if found and not OTHER_CAPITAL.search(others):
                before, name, after = (
                    tok.ids(part) for part in (sentence[: found.start()], found[0], sentence[found.end() :])
                )
                ids = tok.assemble(before + name + after).ids
                if len(ids) <= LENGTH:
                    rows.append((ids, len(before) + 1, len(before) + len(name)))  # [CLS] is token 0
        if len(rows) >= count:
            return rows[:count]
    raise ValueError("too few sentences")


def batch_of(rows):
    ids = torch.nn.utils.rnn.pad_sequence(
        [torch.tensor(row[0]) for row in rows], batch_first=True, padding_value=tok.pad_id
    )
    start, end = torch.tensor([row[1:] for row in rows]).T
    return ids, (ids != tok.pad_id).long(), start, end


span_train, span_test = named(reviews.train, 16 * 30), named(reviews.test, 200)
for ids, start, end in span_train[:3]:
    print(" ".join(tok.tokens[i] for i in ids), "| start", start, "end", end)

# %% [markdown]
# This is the third head of the first table, one matrix $(2, D)$. Its softmax runs over the *tokens* of the text, not
# over classes. If the name begins at token $i$ and ends at token $j$, the loss is
# $-\frac12 (\ln p^{\text{start}}_i + \ln p^{\text{end}}_j)$.


# %% tags=["trained"]
class SpanFinder(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = pretrained()
        self.head = torch.nn.Linear(self.encoder.config.hidden_size, 2)  # fresh

    def forward(self, ids, mask):
        hidden = self.encoder(ids, mask).last_hidden_state  # (B, S, D)
        scores = self.head(hidden)  # (B, S, 2)
        scores = scores.masked_fill(mask[..., None] == 0, torch.finfo(scores.dtype).min)  # none for padding
        return scores.unbind(-1)  # starts (B, S), ends (B, S)


finder = SpanFinder()
optimiser = torch.optim.AdamW(finder.parameters(), weight_decay=0.01, fused=True)
finder.train()
span_losses = []
for step in range(30):
    for group in optimiser.param_groups:
        group["lr"] = rate_at(step, 30, 3e-4)
    ids, mask, start, end = batch_of(span_train[16 * step : 16 * (step + 1)])
    starts, ends = finder(ids, mask)
    loss = (F.cross_entropy(starts, start) + F.cross_entropy(ends, end)) / 2
    loss.backward()
    torch.nn.utils.clip_grad_norm_(finder.parameters(), 1.0)
    optimiser.step()
    optimiser.zero_grad()
    span_losses.append(loss.item())


# %% [markdown] tags=["trained"]
# The best end may be before the best start. So the best *pair* wins, of those with the end not before the start. Write
# it: replace `raise NotImplementedError()`, run the cell, then the check.

# %% exercise="best-span"

# %% [markdown]
# Now held-out reviews, with the library's function for the pair. How often is the span exactly right?


# %% tags=["folded", "trained"] fold="Counting"
def scores_of(model):
    """For each sentence to test on, the scores of its tokens as start and as end, without [CLS] and [SEP]."""
    model.eval()
    with torch.no_grad():
        for at in range(0, len(span_test), 50):
            rows = span_test[at : at + 50]
            for row, starts, ends in zip(rows, *model(*batch_of(rows)[:2]), strict=True):
                yield starts[1 : len(row[0]) - 1], ends[1 : len(row[0]) - 1]


heads = {"untrained head": list(scores_of(SpanFinder())), "trained head": list(scores_of(finder))}
truth_spans = [(start - 1, end - 1) for _, start, end in span_test]  # without [CLS]
spans = {}
for name, pairs in heads.items():
    spans[name] = [library_span(torch.stack(pair, dim=-1), LENGTH) for pair in pairs]
exact = {name: sum(map(tuple.__eq__, said, truth_spans)) / len(said) for name, said in spans.items()}
by_guessing = sum(2 / ((len(ids) - 2) * (len(ids) - 1)) for ids, _, _ in span_test) / len(span_test)
print(f"guessing among all spans  {by_guessing:.1%} exactly right")
for name, share in exact.items():
    illegal = sum(int(starts.argmax()) > int(ends.argmax()) for starts, ends in heads[name])
    print(f"{name:<24} {share:>5.1%} exactly right; best start after best end: {illegal} of {len(span_test)}")

# %% [markdown]
# The scores of a short sentence, as probabilities, before and after the training:

# %% tags=["folded", "trained"]
short = next(i for i, (ids, _, _) in enumerate(span_test) if 10 <= len(ids) <= 12)
panels = {}
for name, pairs in heads.items():
    for kind, scores in zip(("start", "end"), pairs[short], strict=True):
        panels[f"{kind}, {name}"] = scores.softmax(-1).tolist()
pieces = [tok.tokens[i] for i in span_test[short][0][1:-1]]
plots.distributions(panels, pieces, "Where does the name start, and where does it end?")

# %% [markdown]
# The first two sentences that it gets right, and the first two that it gets wrong:

# %% tags=["folded", "trained"]
hits = [said == true for said, true in zip(spans["trained head"], truth_spans, strict=True)]
texts_shown = {}
for hit in (True, False):
    for number in [i for i, one in enumerate(hits) if one is hit][:2]:
        (first, last), (start, end) = spans["trained head"][number], truth_spans[number]
        marks = []
        for at, i in enumerate(span_test[number][0][1:-1]):
            answer, given = start <= at <= end, first <= at <= last
            kind = ("right" if given else "missed") if answer else "wrong" if given else ""
            marks.append(plots.Mark(tok.tokens[i], kind))
        texts_shown[f"sentence {number}: {'right' if hit else 'wrong'}"] = marks
FROZEN, HALF = 120, 100  # sentences to train and to test a head on a frozen encoder, below
kinds = {"right": "name, found", "missed": "name, missed", "wrong": "answered, but wrong"}
plots.marked(texts_shown, kinds, "Which name does the sentence mention?")

# %% [markdown] tags=["trained"]
# {{exact["trained head"] | .1%}} are exactly right after {{len(span_losses)}} steps, {{exact["untrained head"] | .1%}}
# before. Encoder and head were both trained. Did the encoder know names before? Freeze it, and train a head alone, once
# on the vectors of the pre-trained encoder and once on those of a random one, with only {{FROZEN}} sentences:


# %% tags=["folded", "trained"] fold="Only a head is trained"
def only_a_head(encoder):
    """The share of exactly right spans, with a head trained on the vectors of a frozen encoder."""

    def read(rows):
        ids, mask, start, end = batch_of(rows)
        with torch.no_grad():
            return encoder.eval()(ids, mask).last_hidden_state, mask, start, end

    hidden, mask, start, end = read(span_train[:FROZEN])
    torch.manual_seed(0)
    head = torch.nn.Linear(hidden.shape[-1], 2)
    optimiser = torch.optim.Adam(head.parameters(), lr=0.02)
    for _ in range(50):
        scores = head(hidden)
        starts, ends = scores.masked_fill(mask[..., None] == 0, torch.finfo(scores.dtype).min).unbind(-1)
        optimiser.zero_grad()
        (F.cross_entropy(starts, start) + F.cross_entropy(ends, end)).backward()
        optimiser.step()
    hidden, mask, *_ = read(span_test[:HALF])
    with torch.no_grad():
        rows = zip(head(hidden), mask.sum(dim=1).tolist(), truth_spans[:HALF], strict=True)
        return sum(library_span(scores[1 : count - 1], LENGTH) == true for scores, count, true in rows) / HALF


encoder = pretrained()
frozen = {"pre-trained": encoder, "random": minibert.build(encoder.config, seed=0)}
frozen = {name: only_a_head(one) for name, one in frozen.items()}
tuned_on_these = sum(hits[:HALF]) / HALF
print(f"on the same {HALF} test sentences:")
for name, share in frozen.items():
    print(f"frozen encoder, {name:<11} {share:>6.1%} exactly right")
print(f"encoder and head trained    {tuned_on_these:>6.1%}")

# %% [markdown] tags=["trained"]
# Much of it was there before: with the vectors of its pre-training a head alone finds
# {{frozen["pre-trained"] | .0%}}, with random ones {{frozen["random"] | .0%}}.
#
# ## The same in the ecosystem's standard library
#
# Outside this course you will mostly use Hugging Face's `transformers`. The code below is only for reading:
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
# - **Too high a rate:** the loss stays at $\ln 2$, and the pre-trained weights are lost.
# - **A label for every piece:** long words count several times. And without `-100`, padding is learned as well.
# - **The test split used to choose.** The best of ten settings on it has a number that is too good.
# - **The same text in two splits.** `load_reviews` removes duplicates before it splits.
#
# ## Exercises without a check
#
# **Only the head.** In the cell of the loop, below the line that makes the model, freeze the encoder:
# `model.backbone.requires_grad_(False)`. This freezes the pooler, too: only {{2 * (model.config.hidden_size + 1)}}
# numbers are trained. Run this cell and the one that prints the accuracy. Is it bad because the encoder is frozen, or
# because of the rate? Set `RATE = 0.1` in the same cell, and run both again. (The later parts do not use this model.)
#
# **A text of your own.** Write it in lower case without marks. Which names come back? Which other words does it take
# for names?

# %% tags=["trained"]
text = "my sister went to new york to see tom hanks but he was not there"
row = words_example(labelled_words(text), tok, 64)
found = restored(text.split(), label_words(labeller, [row], tok)[0])
plots.judged([("restored", found)], "Your text", lines=3)

# %% [markdown]
# ## In short
#
# - Fine-tuning: a pre-trained encoder, a small new head, and all weights trained a little further.
# - The loop: batch, logits, loss, `backward`, clip, `step`, `zero_grad`.
# - Three heads: a label for the text, for each word (at its first piece), and a start and an end.
# - Compute what guessing gives first. Give the standard error with an accuracy, and read the mistakes.
# - Each class needs a score of its own: a mean hides those that are not learned.
#
# **To read.** Devlin et al. 2019, *BERT*, section 4 and appendix A.3. In the library:
# [training/loop.py](../minibert/training/loop.py), [training/token_labels.py](../minibert/training/token_labels.py),
# [training/spans.py](../minibert/training/spans.py).
#
# **Next:** [DistilBERT: half the depth](09_distilbert.ipynb).
