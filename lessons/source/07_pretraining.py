# %% [markdown]
# # Pre-training: masked words and sentence pairs
#
# > Where does BERT's knowledge come from, if nobody labels anything?
#
# Take any text. Hide a few of its words, and ask for them. You know the right answers, because you hid them yourself.
# You build this task step by step, and a small BERT learns it. The second half, for another evening, is about BERT's
# other task: pairs of sentences.
#
# Here is what BERT sees of the end of a real film review. Guess the four words under `[MASK]`.

# %% tags=["folded"]
import math
import random
import re
import tempfile
import textwrap
from collections import Counter
from dataclasses import replace
from itertools import pairwise

import torch
from torch.nn import functional as F

import minibert
from minibert import claims, plots
from minibert.experiments.statistics import mean
from minibert.heads import IGNORE
from minibert.tokenizers.wordpiece import WordPiece
from minibert.training.batching import padded, pair, single
from minibert.training.choices import MASKINGS
from minibert.training.data import load_reviews
from minibert.training.loop import Settings, train
from minibert.training.objectives import candidates, choose_tokens, corrupt
from minibert.training.pairs import nsp_pairs, sop_pairs, split_sentences
from minibert.training.tasks import MaskedWords, held_out_losses, make_chooser

torch.set_num_threads(1)  # the model of this lesson is so small that a second thread brings little
tok = minibert.load_tokenizer("minilm-l6")  # BERT's own vocabulary
reviews = load_reviews("imdb")
short = next(r.text for r in reviews.train if r.text.startswith("This is just a short comment"))
our_pairs = claims.results(["A8"])[0].figures["cells"]  # recorded: a task, and what each seed reached
text = tok(short.partition("loved it. ")[2])  # the end of the review
WETTIG = 0.4  # Wettig et al. 2023, abstract: the better share of chosen tokens, quoted below
PAPER_STEPS, PAPER_BATCH = 1_000_000, 256  # Devlin et al. 2019, appendix A.2, quoted below
SINGLE = ("88.7", "76.2", "82.9", "92.1", "63.0")  # Liu et al. 2019, Table 2: pairs of single sentences


def numbers_of(claim):
    """The numbers of a paper, in the order in which the ledger has them."""
    return re.findall(r"\d+\.\d", claims.LEDGER[claim].paper_value)


def cells(numbers):
    return " | ".join(numbers)


RATE = 0.15  # of the tokens are chosen


def mask(ids, attention_mask, generator):
    """BERT's masking, with the library's functions."""
    free = candidates(ids, tok.special_ids, attention_mask)  # what may be chosen
    chosen = choose_tokens(free, rate=RATE, generator=generator)  # what is chosen
    return corrupt(ids, chosen, tok.mask_id, tok.vocab_size, generator)  # what becomes of it


# %%
generator = torch.Generator().manual_seed(22)
masked_ids, labels = mask(text["input_ids"], text["attention_mask"], generator)  # both (1, S)
before, seen = ([tok.tokens[i] for i in row] for row in (text["input_ids"][0], masked_ids[0]))
print(textwrap.fill(" ".join(seen[1:-1]).replace(" ##", ""), 70))  # without [CLS] and [SEP]

# %% [markdown]
# Did you also find a word that is wrong? Here are the answers:

# %%
asked_for = [None if i == IGNORE else tok.tokens[i] for i in labels[0]]
plots.masked_text(before[1:-1], seen[1:-1], asked_for[1:-1])

# %% [markdown]
# What did you use? Some grammar, the words nearby, what people say about films. A network must learn such things, too.
# BERT's paper calls the task the **masked language model**, MLM. (The seed was chosen to show hidden, replaced and kept
# words.)
#
# `minilm-l6-mlm` is the MiniLM-L6 of lesson 06, trained in this way on film reviews. Here is what it says:

# %%
for prompt in ("the acting was [MASK] and the plot made no sense.", "The capital of France is [MASK]."):
    print(minibert.fill(prompt, "minilm-l6-mlm"), "\n")

# %% [markdown]
# It has opinions about films; *paris* comes first, but only just. The model is small, and it was last trained on film
# reviews. This example does not say which of the two is the reason.
#
# ## Which tokens
#
# BERT chooses {{RATE | .0%}} of the tokens, never special tokens or padding. Each hidden word is a question, but it is
# also missing from the context of the others. The share is only a choice: Wettig et al. 2023 (abstract) found
# {{WETTIG | .0%}} better for a model of BERT-large's size.
#
# ## 80/10/10
#
# Not all chosen tokens in the picture were hidden. One draw decides the fate of each: with $p = 0.8$ it becomes
# `[MASK]`, with $p = 0.1$ it is replaced by a random piece of the vocabulary, and with $p = 0.1$ it stays. The model
# must predict it in every case. Counted over many draws:

# %%
batch = tok(["A quiet film that stays with you.", "Seek it out."])
many, real = (batch[name].repeat(20_000, 1) for name in ("input_ids", "attention_mask"))
seen_ids, labels = mask(many, real, torch.Generator().manual_seed(0))
asked = labels != IGNORE
fates = {
    "hidden: [MASK]": seen_ids[asked] == tok.mask_id,
    "replaced": (seen_ids[asked] != tok.mask_id) & (seen_ids[asked] != labels[asked]),
    "kept": seen_ids[asked] == labels[asked],
}
measured = {fate: 100 * is_so.float().mean().item() for fate, is_so in fates.items()}
expected = dict(zip(fates, (80, 10, 10), strict=True))
plots.shares(measured, expected, f"What became of {int(asked.sum()):,} chosen tokens")

# %% [markdown]
# Why? `[MASK]` occurs in no real text. If the model had to predict only `[MASK]`, its vectors of visible words could be
# useless. But these are the vectors that we want later (Devlin et al. 2019, section 3.1 and appendix A.1). And if a
# visible chosen word were always right, the model could simply copy it. The *replaced* ones make each visible word
# suspect, so that it must look at the sentence.
#
# The rule is easy to get wrong. Here a first draw replaces a tenth, a second draw keeps a tenth, and the rest are
# hidden:

# %%
fate = torch.rand(2, int(asked.sum()), generator=torch.Generator().manual_seed(0))
replaced = fate[0] < 0.1
kept = ~replaced & (fate[1] < 0.1)  # a second draw, of those that are left
hidden = ~replaced & ~kept
shares = {"hidden": hidden, "replaced": replaced, "kept": kept}
print("two draws:", *(f"{name} {100 * share.float().mean():.1f}% " for name, share in shares.items()))

# %% [markdown]
# The second draw keeps a tenth of the nine tenths that the first has left. There is no error; only counting shows it.

# %% exercise="mask-tokens"

# %% [markdown]
# ## The loss: only the chosen tokens
#
# The labels have the right id at each chosen position, hidden or not, and `-100` elsewhere. (`-100` can be no id.
# PyTorch's `cross_entropy` leaves out labels that equal its `ignore_index`, by default `-100`.) With $M$ chosen
# positions, the loss is the mean **cross-entropy**:
#
# $$\mathcal{L} = -\frac{1}{M} \sum_{s\,\in\,\text{chosen}} \log p_s(w_s)$$
#
# | the formula | the code | shape |
# |---|---|---|
# | $p_s$ | `logits.softmax(dim=-1)` | (B, S, V), each row sums to one |
# | $w_s$ | `labels` | (B, S), `-100` where nothing must be predicted |
# | $M$ | `(labels != -100).sum()` | one number |
#
# With the natural logarithm the unit is the **nat**. In plain words: $x$ nats per token are as bad as guessing among
# $e^x$ equally likely pieces ($\ln 10 \approx 2.3$ nats: among ten). At $0$ nats the model is sure and right.

# %% exercise="masked-lm-loss"

# %% [markdown]
# When `masked-lm-loss` has passed, compare: four tokens, three words, two labels.

# %% tags=["folded"] fold="By hand"
logits = torch.tensor([[[2.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 3.0], [1.0, 1.0, 1.0]]])  # (B, S, V)
tiny_labels = torch.tensor([[-100, 1, -100, 0]])  # (B, S)
p = logits.softmax(dim=-1)
by_hand = -(p[0, 1, 1].log() + p[0, 3, 0].log()) / 2
flat, flat_labels = logits.flatten(0, 1), tiny_labels.flatten()  # (B·S, V) and (B·S,)
print(f"p of the right words   {p[0, 1, 1]:.2f} and {p[0, 3, 0]:.2f}")
print(f"by hand                {by_hand:.3f}")
print(f"F.cross_entropy        {F.cross_entropy(flat, flat_labels):.3f}")

# %% [markdown]
# When is a loss good? Compare it with two baselines that do not read the sentence. One gives each of the $V$ pieces the
# same probability, the other gives piece $w$ its share $p(w)$ of the training texts:
#
# $$\mathcal{L}_{\text{uniform}} = \ln V \qquad \mathcal{L}_{\text{frequencies}} = -\sum_w p(w) \ln p(w)$$
#
# For our own training we learn a small vocabulary (lesson 05) and cut the reviews into short rows.

# %%
texts, held_out = ([r.text for r in split] for split in (reviews.train[:3000], reviews.validation[:100]))
own = WordPiece.train(texts, vocab_size=1500)
S = 16  # tokens in a row


def rows(texts):
    every = [own.ids(text) for text in texts]
    return [single(ids[at : at + S - 2], own, S) for ids in every for at in range(0, len(ids), S - 2)]


train_rows, held_rows = rows(texts), rows(held_out)
counts = Counter(i for row in train_rows for i in row.ids[1:-1])
total = sum(counts.values())
uniform = math.log(own.vocab_size)
frequencies = -sum(n / total * math.log(n / total) for n in counts.values())
print(f"{len(train_rows):,} rows, {total:,} tokens")
print(f"uniform {uniform:.2f} nats, word frequencies {frequencies:.2f} nats")
held_counts = Counter(i for row in held_rows for i in row.ids[1:-1])
baseline = -sum(n * math.log(max(counts[i], 1) / total) for i, n in held_counts.items()) / held_counts.total()
print(f"the same frequencies on held-out reviews: {baseline:.2f} nats")

# %% [markdown]
# A fresh model must be near the first number. If yours is not, look for a bug before you train. Here are two: with
# small weights as in BERT, and with the larger ones from which our model will start.

# %%
config = replace(
    minibert.PRESETS["tiny-bert"],
    vocab_size=own.vocab_size,
    max_position_embeddings=S,
    num_hidden_layers=1,
    hidden_dropout_prob=0.0,
    attention_probs_dropout_prob=0.0,  # no text is seen often enough to need it
)
held_task = MaskedWords(held_rows, own)
fresh = {}
for name, std in {"0.02": 0.02, "1/√D": config.hidden_size**-0.5}.items():
    fresh[name] = minibert.build(replace(config, initializer_range=std), head="masked-lm", seed=0).eval()
    print(f"fresh, weights of {name}: {held_out_losses(fresh[name], held_task)['masked_lm']:.2f} nats")

model = fresh["1/√D"]  # a linear layer's output is then about as large as its input
few = MaskedWords(train_rows, own).batch(range(8), seed=0)
with torch.no_grad():
    chosen_only = model(few["input_ids"], few["attention_mask"], labels=few["labels"]).logits
    everywhere = model(few["input_ids"], few["attention_mask"]).logits
print("logits at the chosen positions", tuple(chosen_only.shape), "(M, V)")
print("logits everywhere              ", tuple(everywhere.shape), "(B, S, V)")

# %% [markdown]
# Small weights give nearly equal logits, and so nearly $\ln V$. With larger weights the logits differ, though nothing
# is learned. That costs about half of their variance more ({{everywhere.var(dim=-1).mean().item() / 2 | .2f}}).
#
# Only the logits at the chosen positions are used, so the library's heads select these first.
#
# ## Train it
#
# You will write a training loop in the next lesson; here we use the library's. Its learning rate rises first
# (lesson 04 says why) and then falls.
#
# One block, {{config.hidden_size}} features. We look at the held-out loss of hidden, kept and replaced words
# separately. The training takes one to two minutes: guess what the three curves will do.

# %% tags=["folded"] fold="The settings, and the three losses"
settings = Settings(
    steps=2000,
    batch_size=64,
    learning_rate=2e-3,
    betas=(0.9, 0.98),
    bf16=False,
    validate_every=50,
    save_every=2000,
)
task, lengths = MaskedWords(train_rows, own), [len(row.ids) for row in train_rows]
held = padded(held_rows, own)
held_masked = held_task.masked(held["input_ids"], held["attention_mask"], torch.Generator().manual_seed(1))


def loss_by_fate(model):
    asked = held_masked.labels != IGNORE
    right, shown = held_masked.labels[asked], held_masked.input_ids[asked]  # (M,)
    logits = model(held_masked.input_ids, held["attention_mask"], wanted=asked).logits  # (M, V)
    each = F.cross_entropy(logits, right, reduction="none")
    hidden, kept = shown == own.mask_id, shown == right
    found = {"hidden": hidden, "kept": kept, "replaced": ~hidden & ~kept}
    return {fate: each[those].mean().item() for fate, those in found.items()}


with torch.no_grad():
    at_first = {"step": 0, **loss_by_fate(model)}


# %% tags=["trained"]
with tempfile.TemporaryDirectory() as folder:
    log = train(model, task, lengths, settings, folder, validate=loss_by_fate)

# %% tags=["folded", "trained"]
checked = [at_first, *(record for record in log if "hidden" in record)]
at = [record["step"] for record in checked]
hidden_at = {record["step"]: record["hidden"] for record in checked}
COPYING, READING = 100, 550  # where the second and the third phase begin, read from the picture
plots.lines(
    {fate: (at, [record[fate] for record in checked]) for fate in ("hidden", "kept", "replaced")},
    "step",
    "held-out loss, in nats (lower is better)",
    "First frequencies, then copying, then the sentence",
    {"word frequencies": baseline},
)

# %% [markdown] tags=["trained"]
# There are three phases, and the mean of the three curves would hide them.
#
# 1. **Frequencies** (to about step {{COPYING}}). *hidden* and *replaced* fall to a little above the loss of the word
#    frequencies. *kept* is already on its way below.
# 2. **Copying** (to about step {{READING}}). *kept* falls and *replaced* rises. Of the visible words that the model is
#    asked about, half are right (a tenth of the chosen ones is kept, a tenth replaced): copying pays. It does not use
#    the neighbours yet, so *hidden* hardly moves ({{hidden_at[COPYING] | .1f}} to {{hidden_at[READING] | .1f}}).
# 3. **The sentence.** Only then does *hidden* fall: a hidden word can only be guessed from its neighbours. At the end
#    it is {{checked[-1]["hidden"] | .2f}} nats, against {{baseline | .2f}} for the frequencies.
#
# A simple copier pays $\mathcal{L}_f$, the loss of the frequencies, for a hidden word. To a visible word it gives one
# half, and to the frequencies the other: a kept word costs $\ln 2$, a replaced one $\mathcal{L}_f + \ln 2$. Together
# $0.8\,\mathcal{L}_f + 0.1 \ln 2 + 0.1\,(\mathcal{L}_f + \ln 2)$ is {{0.9 * baseline + 0.2 * math.log(2) | .2f}}
# nats. (If it trusts frequent words more, it pays even less.) So a loss just below the frequencies proves nothing.
#
# Here are the model's five likeliest pieces for two sentences (chosen because it does them well):

# %% tags=["folded", "trained"]
chances, pieces = {}, {}  # sentence -> five probabilities, and their pieces
for prompt in ("If you want [MASK] see a good movie, see it.", "She [MASK] in love with him."):
    batch = own(prompt)
    with torch.no_grad():
        logits = model.eval()(**batch, wanted=batch["input_ids"] == own.mask_id).logits  # (1, V)
    best = logits[0].softmax(dim=-1).topk(5)
    chances[prompt], pieces[prompt] = (100 * best.values).tolist(), [own.tokens[i] for i in best.indices]
plots.distributions(chances, pieces, "The five likeliest pieces for [MASK]", "probability in %", digits=0)

# %% [markdown] tags=["trained"]
# It has learned a little grammar. The paper's BERT did the same for much longer: {{PAPER_STEPS | ,}} batches of
# {{PAPER_BATCH}} texts (Devlin et al. 2019, appendix A.2).

# %% [markdown]
# **Your BERT.** `minibert.mine` puts the parts that have passed into the real model; what is missing comes from the
# library. Here it takes three steps of training, with your masks and your loss if they have passed.

# %% tags=["trained"]
my = minibert.mine("minilm-l6-mlm", head="masked-lm")
found = my.learn([review.text for review in reviews.train[:40]], steps=3, batch_size=4, max_length=48)
print("loss of each step, in nats:", *(f"{loss:.2f}" for loss in found))

# %% [markdown]
# All are far below $\ln V$, which is {{math.log(tok.vocab_size) | .1f}}. A badly wrong part would show here, a slightly
# wrong one only in a check's swap.

# %% [markdown]
# **A hunt.** In this box there is a `mask_tokens`, perhaps with one of the known mistakes in it. Call it, count what
# becomes of the tokens, and name the mistake.

# %%
box = minibert.hunt("mask-tokens", seed=3)
box

# %% [markdown]
# **A good place to stop for tonight.** Next: other ways to choose, and pairs.
#
# ## Other ways to choose
#
# If only one of a word's three pieces is hidden, the others often give it away. **Whole words**: all pieces of a word
# or none (BERT's later release). **N-grams**: runs of one to three whole words (Lan et al. 2020, section 4.1).
# **Rarity**: in proportion to $\text{count}^{-0.7}$, so fewer questions are about *the* (DistilBERT's released code).
# The chosen pieces are in brackets.

# %%
ids = own("The acting is great, the story is simple and touching.")["input_ids"]
for masking in MASKINGS:
    choose = make_chooser(masking, own, train_rows)
    one = choose(ids, candidates(ids, own.special_ids), torch.Generator().manual_seed(58))[0]
    shown = [f"[{own.tokens[i]}]" if is_one else own.tokens[i] for i, is_one in zip(ids[0], one, strict=True)]
    print(f"{masking:<12}", " ".join(shown[1:-1]))

# %% [markdown]
# Should a text get the same mask each time it is read (*static*), or a new one (*dynamic*)? See
# [lesson 11](11_roberta.ipynb).
#
# ## Two sentences: does the second follow?
#
# Many applications are about pairs of texts. So BERT had a second task: does the second passage follow the first in the
# original text? This is **next sentence prediction**, NSP (Devlin et al. 2019, section 3.1). ALBERT asks a harder
# question: are two consecutive passages in order, or swapped? **Sentence order prediction**, SOP (Lan et al. 2020,
# section 3.1). Four examples, chosen because they are short and clear:

# %%
documents = [[tok.ids(sentence) for sentence in split_sentences(text)] for text in texts[:400]]
room = 40 - tok.num_special(pair=True)
nsp, sop = (make(documents, room, random.Random(0)) for make in (nsp_pairs, sop_pairs))
for name, found in {"NSP": (nsp[81], nsp[68]), "SOP": (sop[83], sop[57])}.items():
    for first, second, label in found:
        print(f"{name}, label {label}:  {tok.decode(first)}\n               {tok.decode(second)}\n")

# %% [markdown]
# The label is **`0` where the second is the next** (as in the released code), and for SOP where the order is right.
#
# First write ALBERT's pairs, with one random number for each pair of neighbours.

# %% exercise="sentence-order"

# %% [markdown]
# ## BERT's pairs
#
# The loop is the same, but a wrong second sentence comes from *another* document: leave out its own before you draw.

# %% exercise="sentence-pairs"

# %% [markdown]
# ## Both losses, added
#
# The pair is laid out as in lesson 05, and its words are masked as before. The head `"pretraining"` also judges the
# pair, from the pooled vector, and adds both losses:

# %%
rows_of_pairs = [pair(p.first, p.second, tok, p.label) for p in nsp[:8]]
both = MaskedWords(rows_of_pairs, tok, pairs=True).batch(range(8), seed=0)
inputs = (both[name] for name in ("input_ids", "attention_mask", "token_type_ids"))
untrained = minibert.build("tiny-bert", head="pretraining", seed=0).eval()
with torch.no_grad():
    out = untrained(*inputs, labels=both["labels"], pair_labels=both["classes"])
print("word logits", tuple(out.logits.shape), "  pair logits", tuple(out.pair_logits.shape))
print(f"loss {out.loss:.2f}; ln V + ln 2 = {math.log(2 * tok.vocab_size):.2f}")

# %% exercise="pretraining-loss"

# %% [markdown]
# ## Does the second task help?
#
# RoBERTa left NSP out ({{claims.LEDGER["R2"].source}}):
#
# | input | SQuAD 1.1 | SQuAD 2.0 | MNLI | SST-2 | RACE |
# |---|---|---|---|---|---|
# | with NSP, pairs of segments | {{cells(numbers_of("R2")[:5])}} |
# | with NSP, pairs of single sentences | {{cells(SINGLE)}} |
# | without, full sentences | {{cells(numbers_of("R2")[5:10])}} |
# | without, within one document | {{cells(numbers_of("R2")[10:])}} |
#
# (SQuAD: mark the answer in a passage. MNLI: does one sentence follow from another? SST-2: is a review positive? RACE:
# exam questions about a text. Higher is better.)
#
# The inputs differ in more than the task, so the rows do not show what NSP alone does. But it does not seem to help.
# Lan et al. 2020, section 3.1, suppose that it is too easy: a passage from another text is mostly about something else,
# so the topic gives the answer away, and masked words teach topics anyway. They compared both tasks with none
# ({{claims.LEDGER["A8"].source}}):
#
# | second task | average |
# |---|---|
# | none | {{numbers_of("A8")[0]}} |
# | NSP | {{numbers_of("A8")[1]}} |
# | SOP | {{numbers_of("A8")[2]}} |
#
# Their model trained on NSP was right about the order of only {{numbers_of("A8")[3]}}% of the pairs, hardly better than
# guessing. Ours ({{len(our_pairs["NSP"])}} seeds, each going on from `minilm-l6-mlm`) is right in
# {{mean(our_pairs, "NSP", "nsp_accuracy") | .0%}} of the NSP pairs and {{mean(our_pairs, "NSP", "sop_accuracy") | .0%}}
# of the SOP pairs; trained on SOP, in {{mean(our_pairs, "SOP", "sop_accuracy") | .0%}} of the SOP pairs. Which
# helps more later, they do not settle (`minibert claims R2 A8`).

# %% [markdown]
# ## What could go wrong
#
# **One `ignore_index` for both losses.** With `ignore_index=0` for the words, `[PAD]` does not count. But for the
# pairs, zero is a class, *is next*. Here are four pairs and three models:

# %%
truth = torch.tensor([0, 1, 0, 1])
sure = 4.0 * torch.eye(2)  # logits: row 0 says "is next", row 1 says "random"
for name, said in {"always next": [0] * 4, "always random": [1] * 4, "right": truth}.items():
    right, wrong = F.cross_entropy(sure[said], truth), F.cross_entropy(sure[said], truth, ignore_index=0)
    print(f"{name:<14} loss {right:.2f}   with ignore_index=0 {wrong:.2f}")

# %% [markdown]
# *always random* gets the same loss as the right answers, so the head would only learn a constant.
#
# - **The input changed in place.** A masker that writes into its input masks the *data*: the next time, the gaps are
#   still there, and `[MASK]` becomes a label.
# - **The loss divided by all positions.** It is about seven times too small, and smaller with more padding.
# - **`manual_seed(0)` inside the function that masks.** Every call draws the same mask.
# - **Labels only where `[MASK]` is.** Then a kept word does nothing, and a replaced one is only noise.

# %% [markdown]
# ## In short
#
# - A text contains its own answers: hide some words and ask for them.
# - BERT must predict {{RATE | .0%}} of the tokens, never special tokens or padding; 80/10/10 of these are hidden,
#   replaced, kept, by one draw.
# - The loss is the mean over the chosen positions, in nats; labels elsewhere are `-100`. A fresh model is near $\ln V$.
# - Below the word frequencies a model may still only copy. Look at the hidden words separately.
# - NSP (`0`: is next) was left out by RoBERTa; ALBERT asks for the order instead.
#
# **To read.** Devlin et al. 2019, *BERT*, section 3.1 and appendix A; Liu et al. 2019, *RoBERTa*, section 4; Wettig et
# al. 2023. In the library: [minibert/training/objectives.py](../minibert/training/objectives.py) and
# [minibert/training/tasks.py](../minibert/training/tasks.py).
#
# **Next:** [fine-tuning: from a reader to a tool](08_fine_tuning.ipynb).
