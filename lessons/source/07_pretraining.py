# %% [markdown]
# # Pre-training: masked words and sentence pairs
#
# > Where does BERT's knowledge come from, if nobody labels anything?
#
# Take a text that somebody wrote. Cover a few of its words, and ask for them. You know the right answers, for you
# covered them yourself: every text is its own answer sheet, and there are texts enough. That is the whole trick. In
# this lesson you build the game piece by piece, and at the end a small BERT plays it, from random numbers on.
#
# Here are two sentences of a real film review, and what BERT would see of it. Cover the upper row with your hand, and
# guess what is under the blue boxes.

# %%
import math
import random
import tempfile
from collections import Counter
from dataclasses import replace
from itertools import pairwise

import torch
from torch.nn import functional as F

import minibert
from minibert import claims, plots
from minibert.heads import IGNORE
from minibert.tokenizers.wordpiece import WordPiece
from minibert.training.batching import padded, pair, single
from minibert.training.choices import MASKINGS
from minibert.training.data import load_reviews
from minibert.training.loop import Settings, make_optimiser, mixed, rate_at, train
from minibert.training.objectives import candidates, choose_tokens, corrupt, mask_one_by_one, word_starts
from minibert.training.pairs import nsp_pairs, split_sentences
from minibert.training.tasks import MaskedWords, held_out_losses, make_chooser

torch.set_num_threads(1)  # the models of this lesson are so small that a second thread brings little
tok = minibert.load_tokenizer("minilm-l6")  # BERT's own vocabulary
reviews = load_reviews("imdb")
short = next(r.text for r in reviews.train if r.text.startswith("This is just a short comment"))


def mask(ids, attention_mask, generator):
    free = candidates(ids, tok.special_ids, attention_mask)
    chosen = choose_tokens(free, generator=generator)
    return corrupt(ids, chosen, tok.mask_id, tok.vocab_size, generator)


text = tok(short.partition("loved it. ")[2])  # the review's end
generator = torch.Generator().manual_seed(22)
masked_ids, labels = mask(text["input_ids"], text["attention_mask"], generator)  # both (1, S)
before, seen = ([tok.tokens[i] for i in row] for row in (text["input_ids"][0], masked_ids[0]))
asked_for = [None if i == IGNORE else tok.tokens[i] for i in labels[0]]
plots.masked_text(before, seen, asked_for)

# %% [markdown]
# What did you use? Some grammar, the words nearby, what one says about films. Somebody who is good at this game has to
# know such things, and a network that gets good at it has to pick them up. As a test for people it is much older than
# computers that read: it is called *cloze* (Taylor 1953). BERT's paper calls it the **masked language model**, MLM.
#
# The three lines of `mask` are the three steps: what may be chosen, what is chosen, what becomes of it. (The seed was
# picked so that the picture shows all that can become of a word. It comes back below.)
#
# ## Who may be chosen
#
# Of the tokens, fifteen in a hundred are chosen. Never the special tokens, which are no words, and never padding. Two
# texts of different lengths, masked many times; how often was each position chosen?

# %%
batch = tok(["A quiet film that stays with you.", "Seek it out."])
ids, real = batch["input_ids"], batch["attention_mask"]  # (B, S)
free = candidates(ids, tok.special_ids, real)
generator = torch.Generator().manual_seed(0)
draws = 20_000

chosen = choose_tokens(free.repeat(draws, 1), rate=0.15, generator=generator)  # (draws · B, S)
often = 100 * chosen.view(draws, *ids.shape).float().mean(dim=0)  # (B, S), in %
for row in range(len(ids)):
    print("  ".join(f"{tok.tokens[i]:>6}" for i in ids[row]))
    print("  ".join(f"{share:>5.0f}%" for share in often[row]), "\n")

# %% [markdown]
# Why not more? Each covered word is a question, but it is also a hole in the text that the other questions need. And
# why not less? Only the chosen positions teach anything: of a batch that was computed in full, the loss sees
# fifteen tokens in a hundred.
#
# ## Eighty, ten, ten
#
# In the picture two of the chosen tokens were not covered at all. One draw decides the fate of each: with
# $p = 0.8$ it becomes `[MASK]`, with $p = 0.1$ a random piece of the vocabulary, and with $p = 0.1$ it stays. It must
# be guessed in any case. Counted over all the draws from above:

# %%
many = ids.repeat(draws, 1)
seen_ids, labels = corrupt(many, chosen, tok.mask_id, tok.vocab_size, generator)
asked = labels != IGNORE
fates = {
    "hidden: [MASK]": seen_ids[asked] == tok.mask_id,
    "exchanged: a random piece": (seen_ids[asked] != tok.mask_id) & (seen_ids[asked] != labels[asked]),
    "kept as it is": seen_ids[asked] == labels[asked],
}
plots.shares(
    {fate: 100 * is_so.float().mean().item() for fate, is_so in fates.items()},
    dict(zip(fates, (80, 10, 10), strict=True)),
    f"What became of {int(asked.sum()):,} chosen tokens",
)

# %% [markdown]
# Why so complicated? `[MASK]` stands in no real text. If it were the only thing that is ever asked about, the model
# could learn: no `[MASK]`, nothing to do. Its vectors of all visible words could then be worthless, and these are what
# one wants from it later. With 80/10/10 any position may be asked about, and what stands there may be wrong. So the
# model must have an opinion of its own everywhere. (Devlin et al. 2019, section 3.1 and appendix A.1.)
#
# It is a rule that is easily got wrong. Here is a version that looks careful: ten in a hundred are exchanged, ten in a
# hundred kept, the rest hidden.

# %%
fate = torch.rand(2, int(asked.sum()), generator=generator)
exchanged = fate[0] < 0.1
kept = ~exchanged & (fate[1] < 0.1)  # a second draw, of those that are left
hidden = ~exchanged & ~kept
print("two draws:", *(f"{100 * share.float().mean():.1f}%" for share in (hidden, exchanged, kept)))

# %% [markdown]
# The second draw takes its tenth of what the first has left, and that is nine in a hundred. Nothing breaks, no shape is
# wrong. Only counting finds it.
#
# ## The loss: what was asked, and nothing else
#
# The labels hold the right id at each chosen position, hidden or not, and `-100` elsewhere. With $M$ chosen positions,
# the loss is the mean **cross-entropy**: how surprised is the model by the right word?
#
# $$\mathcal{L} = -\frac{1}{M} \sum_{s\,\in\,\text{chosen}} \log p_s(w_s)$$
#
# | the formula | the code | shape |
# |---|---|---|
# | $p_s$ | `logits.softmax(dim=-1)` | (B, S, V), each row sums to one |
# | $w_s$ | `labels` | (B, S), `-100` where nothing is asked |
# | $M$ | `(labels != -100).sum()` | one number |
#
# A text of four tokens, a vocabulary of three words, two questions:

# %%
logits = torch.tensor([[[2.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 3.0], [1.0, 1.0, 1.0]]])  # (B, S, V)
tiny_labels = torch.tensor([[-100, 1, -100, 0]])  # (B, S)
p = logits.softmax(dim=-1)

by_hand = -(p[0, 1, 1].log() + p[0, 3, 0].log()) / 2
flat, flat_labels = logits.flatten(0, 1), tiny_labels.flatten()  # (B·S, V) and (B·S,)
print(f"p of the right words       {p[0, 1, 1]:.2f} and {p[0, 3, 0]:.2f}")
print(f"by hand                    {by_hand:.3f}")
print(f"F.cross_entropy            {F.cross_entropy(flat, flat_labels):.3f}   (it ignores -100 by default)")
wrong = F.cross_entropy(flat, flat_labels, reduction="sum") / tiny_labels.numel()
print(f"mean over all the slots    {wrong:.3f}")

# %% [markdown]
# The last line is a known mistake. Here it halves the loss. In a real batch it makes it about seven times too small,
# and a batch with more padding gets a smaller loss for the same guesses.
#
# The unit is the **nat**. To read a loss of $\mathcal{L}$ nats: a model that gives each right word the probability
# $e^{-\mathcal{L}}$ has this loss.
#
# ## Two levels to measure by
#
# A loss is a number without a scale. Two simple players give it one. The first knows nothing and gives each of the $V$
# words the same probability. The second counted how often each word occurs, and says the same thing at every hole:
#
# $$\mathcal{L}_{\text{uniform}} = \ln V \qquad \mathcal{L}_{\text{frequencies}} = -\sum_w p(w) \ln p(w)$$
#
# For our own training we take a small vocabulary, learned from the reviews as in lesson 05, and cut the texts in short
# rows. The smaller the game, the sooner one sees something.

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
print(
    f"{len(train_rows):,} rows with {total:,} word pieces; the commonest:",
    *(own.tokens[i] for i, _ in counts.most_common(8)),
)
print(f"uniform guessing {uniform:.2f} nats, word frequencies {frequencies:.2f} nats")

# %% [markdown]
# A fresh model, with weights as small as BERT's are at first, has to be about at the first level. If yours is not, look
# for a bug before you train. With larger weights it is surer of itself, without a reason, and so a little worse:

# %%
config = replace(
    minibert.PRESETS["tiny-bert"],
    vocab_size=own.vocab_size,
    max_position_embeddings=S,
    num_hidden_layers=1,
    hidden_dropout_prob=0.0,
    attention_probs_dropout_prob=0.0,  # no text will be seen often enough to need it
)
held_task = MaskedWords(held_rows, own)
for spread in (config.initializer_range, config.hidden_size**-0.5):
    fresh = minibert.build(replace(config, initializer_range=spread), head="masked-lm", seed=0).eval()
    print(f"weights of deviation {spread:.2f}: loss {held_out_losses(fresh, held_task)['masked_lm']:.2f}")

# %% [markdown]
# ## Logits only where somebody asks
#
# Most rows of the logits would be thrown away at once. So the heads of this library first pick the chosen positions,
# and then compute. What that saves at BERT-base's size, in a batch of thirty-two texts of full length:

# %%
few = MaskedWords(train_rows, own).batch(range(8), seed=0)
with torch.no_grad():
    asked_only = fresh(few["input_ids"], few["attention_mask"], labels=few["labels"]).logits
    everywhere = fresh(few["input_ids"], few["attention_mask"]).logits
print("asked only", tuple(asked_only.shape), "  (M, V)\neverywhere", tuple(everywhere.shape), " (B, S, V)\n")

base = minibert.PRESETS["bert-base-uncased"]
slots, V = 32 * base.max_position_embeddings, base.vocab_size
for name, count in {"everywhere": slots, "asked only": round(0.15 * slots)}.items():
    print(f"BERT-base, {name}: {count:>6,} rows of {V:,} numbers, {4 * count * V / 1e6:>5,.0f} MB in float32")

# %% [markdown]
# And as much again for their gradient.
#
# ## Other ways to choose
#
# The shares of 80/10/10 are the same in all papers. How the tokens are *chosen* is not, and there is a reason to think
# about it: of a word in three pieces, one that is covered alone is often easy to guess from the other two.
#
# - **Whole words** (BERT's later release): all pieces of a word or none.
# - **N-grams** (ALBERT): runs of one to three whole words, a run of $n$ words with $p(n)$ in proportion to $1/n$.
# - **Rarity** (DistilBERT): a word's chance goes with $\text{count}^{-0.7}$, so that fewer questions are about *the*.
#
# The same sentence, each way. In brackets: chosen.

# %%
sample = padded(train_rows[:4000], own)["input_ids"]  # (B, S)
continues = torch.tensor([token.startswith("##") for token in own.tokens])  # (V,)
may = candidates(sample, own.special_ids)
word = (word_starts(sample, continues) | ~may).cumsum(dim=1)
word += S * torch.arange(len(sample))[:, None]  # (B, S): each token has the number of its word
length = word[may].bincount(minlength=int(word.max()) + 1)  # of each word, in pieces
common = torch.tensor([i for i, _ in counts.most_common(20)])
ids = own("The acting is great, the story is simple and touching.")["input_ids"]

for masking in MASKINGS:
    choose = make_chooser(masking, own, train_rows)
    one = choose(ids, candidates(ids, own.special_ids), torch.Generator().manual_seed(58))[0]
    shown = [f"[{own.tokens[i]}]" if is_one else own.tokens[i] for i, is_one in zip(ids[0], one, strict=True)]
    print(f"{masking}:", " ".join(shown[1:-1]))
    taken = choose(sample, may, torch.Generator().manual_seed(0))
    hit = word[taken].bincount(minlength=len(length))
    in_part = ((hit > 0) & (hit < length)).sum() / (hit > 0).sum()
    often = torch.isin(sample[taken], common).float().mean()
    print(
        f"    {taken.sum() / may.sum():.0%} chosen, {often:.0%} of them one of the 20 commonest pieces;",
        f"of the words that are hit {in_part:.0%} only in part",
    )

# %% [markdown]
# Below each sentence, the same counted over many rows. Whole words and n-grams cover no word in part, and rarity asks
# for the commonest pieces seldom, at the same share of tokens.
#
# ## The same holes every time?
#
# A training reads each text many times. BERT masked all texts beforehand and kept the result: **static** masking. (Ten
# copies of each, with a mask of their own, for forty passes; so Liu et al. 2019, section 4.1.) RoBERTa masks a text
# anew each time it is read: **dynamic** masking. In this library chance comes from seeds alone, so the two differ in
# what the seed is made of: the text's number, or the step's.


# %%
def places(found):
    return [(row != IGNORE).nonzero().flatten().tolist() for row in found.labels]


two, three = tok([short, short[:90]]), tok([short, short[:60], short[:90]])
for step, many in enumerate((two, three)):
    ids, real = many["input_ids"], many["attention_mask"]
    static = mask_one_by_one(mask, ids, real, seeds=[mixed(0, text) for text in range(len(ids))])
    dynamic = mask(ids, real, torch.Generator().manual_seed(mixed(1, step)))
    print(f"step {step}, text 0: static {places(static)[0]}")
    print(f"{'':>15} dynamic {places(dynamic)[0]}")

passes = (1, 10, 40)
print("\npositions asked about at least once, after", *(f"{n:>6}" for n in passes), " passes")
ways = {"static, one mask": (1, 1, 1), "static, ten masks": (1, 10, 10), "dynamic": passes}
for name, masks in ways.items():
    print(f"  {name:<40}", *(f"{1 - 0.85**n:>6.1%}" for n in masks))

# %% [markdown]
# Does it matter? RoBERTa's paper found them much alike: {{claims.LEDGER["R1"].paper_value}}
# ({{claims.LEDGER["R1"].source}}). Its texts were many. The ledger's run took few texts and read them often, which is
# where it must show: {{claims.results(["R1"])[0].ours}}. (Accuracy: praise or blame, after fine-tuning. In brackets:
# where the difference lies, given how much it varies between seeds.) So the loss on texts that were held out is much
# better with new masks, and the accuracy no different beyond the spread. In the ledger's words:
# *{{claims.results(["R1"])[0].why.rpartition(" So small")[0]}}*
#
# ## Two sentences: does the second follow?
#
# BERT had a second game. Many uses are about pairs of texts: does this answer that question, do these two say the same?
# So it was given two segments of text, and asked whether the second came next where the first was found: **next
# sentence prediction**, NSP. This too needs no labels, only texts that can be cut in sentences.

# %%
for sentence in split_sentences(short):
    print("-", sentence)

documents = [[tok.ids(sentence) for sentence in split_sentences(text)] for text in texts[:400]]
pairs = nsp_pairs(documents, 40 - tok.num_special(pair=True), random.Random(0))
print(f"\n{len(pairs):,} pairs, label 1 in {sum(p.label for p in pairs) / len(pairs):.0%}")
for number in (81, 68):
    first, second, label = pairs[number]
    print(f"\nlabel {label}:  {tok.decode(first)}\n          {tok.decode(second)}")

# %% [markdown]
# (The second pair is not easy. Here all texts are about films.) The label is **`0` where the second is the next**, and
# `1` where it is from elsewhere; that is how the released code has it, and it bites (see below). The pair is laid out
# as in lesson 05, `[CLS]` first `[SEP]` second `[SEP]`; the answer is read off the pooler. Words are masked in it as
# before, and the loss is the sum of both. It is the head `"pretraining"`:

# %%
rows_of_pairs = [pair(p.first, p.second, tok, p.label) for p in pairs[:8]]
both = MaskedWords(rows_of_pairs, tok, pairs=True).batch(range(8), seed=0)
untrained = minibert.build("tiny-bert", head="pretraining", seed=0).eval()
with torch.no_grad():
    out = untrained(
        both["input_ids"],
        both["attention_mask"],
        both["token_type_ids"],
        labels=both["labels"],
        pair_labels=both["classes"],
    )
print("word logits", tuple(out.logits.shape), "  pair logits", tuple(out.pair_logits.shape))
print(f"loss {out.loss:.2f}, and two fresh guesses: ln V + ln 2 = {math.log(2 * tok.vocab_size):.2f}")

# %% [markdown]
# Does it help? RoBERTa left NSP out, and was mostly a little better: {{claims.LEDGER["R2"].paper_value}}
# ({{claims.LEDGER["R2"].source}}). One explanation: a segment from another text is mostly about something else. So the
# topic gives the answer away, and topics the masked words teach already. ALBERT asks a harder question about pairs;
# that is in lesson 10. Our ledger has tried both of RoBERTa's changes:

# %%
masking, without = (claims.results([claim])[0].figures["cells"] for claim in ("R1", "R2"))
cells = masking | without
compared = {
    "dynamic masks, against static": ("dynamic", "static"),
    "without NSP, against with it": ("no pairs", "NSP"),
}
measures = {"accuracy, change in points": ("accuracy", 100), "held-out loss, change in nats": ("masked_lm", 1)}
changes = {
    heading: {
        name: [scale * (a[measure] - b[measure]) for a, b in zip(cells[new], cells[old], strict=True)]
        for name, (new, old) in compared.items()
    }
    for heading, (measure, scale) in measures.items()
}
plots.ablation(changes, "RoBERTa's two changes, tried on small models")

# %% [markdown]
# On the right, left of zero is better: it is a loss. Masking anew lowers it by far, on these
# few texts. About NSP the ledger says:
# *{{claims.results(["R2"])[0].why.partition(" 3 seeds")[0]}}*
#
# These models are small, and the pair task hardly worked in them: trained on NSP they were right in
# {{sum(seed["nsp_accuracy"] for seed in cells["NSP"]) / len(cells["NSP"]) | .0%}} of the held-out pairs, where tossing
# a coin gives half. So it is fair to say that the run saw no use of NSP, and not that there is none.
#
# ## The recipe
#
# The rest is a training loop like any other, in [minibert/training/loop.py](../minibert/training/loop.py). Two things
# in it are worth a look. The learning rate first goes up, for a fresh post-norm encoder takes large steps badly
# (lesson 04), and then falls in a straight line. And **weight decay**, which
# pulls weights towards zero, is for the matrices only: a bias or a norm's scale has no reason to be near zero.

# %%
settings = Settings(
    steps=2000,
    batch_size=64,
    learning_rate=2e-3,
    betas=(0.9, 0.98),
    bf16=False,
    validate_every=50,
    save_every=2000,
)
wider = replace(config, initializer_range=config.hidden_size**-0.5)  # than BERT's, as the model is narrower
model = minibert.build(wider, head="masked-lm", seed=0)
for group in make_optimiser(model, settings).param_groups:
    shapes = sorted({parameter.dim() for parameter in group["params"]})
    print(f"decay {group['weight_decay']}: {len(group['params'])} tensors with", *shapes, "axes")

steps = range(settings.steps)
plots.lines(
    {"learning rate": (list(steps), [1e3 * rate_at(step, settings) for step in steps])},
    "step",
    "learning rate, in thousandths",
    "Up, then down",
)

# %% [markdown]
# ## Train it
#
# One block, {{config.hidden_size}} features, {{minibert.count_parameters(model) | ,}} parameters: about as small as a
# BERT can be and still show something in half a minute. On rows that are held out we look at the loss of the three
# fates apart. You will see why.

# %% tags=["trained"]
held = padded(held_rows, own)
held_masked = held_task.masked(held["input_ids"], held["attention_mask"], torch.Generator().manual_seed(1))


def loss_by_fate(model):
    asked = held_masked.labels != IGNORE
    right, shown = held_masked.labels[asked], held_masked.input_ids[asked]  # (M,)
    logits = model(held_masked.input_ids, held["attention_mask"], wanted=asked).logits  # (M, V)
    each = F.cross_entropy(logits, right, reduction="none")
    hidden, kept = shown == own.mask_id, shown == right
    return {
        "hidden": each[hidden].mean().item(),
        "kept": each[kept].mean().item(),
        "exchanged": each[~hidden & ~kept].mean().item(),
    }


def guesses(model, prompt):
    batch = own(prompt)
    with torch.no_grad():
        logits = model.eval()(**batch, wanted=batch["input_ids"] == own.mask_id).logits  # (1, V)
    return logits[0].softmax(dim=-1)


prompts = [
    "If you want [MASK] see a good movie, see it.",
    "She [MASK] in love with him.",
    "Do not waste your [MASK] on it.",
]
at_first = [guesses(model, prompt) for prompt in prompts]
with tempfile.TemporaryDirectory() as folder:
    task, lengths = MaskedWords(train_rows, own), [len(row.ids) for row in train_rows]
    log = train(model, task, lengths, settings, folder, validate=loss_by_fate)
read = sum(record["tokens"] for record in log)
print(f"{settings.steps:,} steps of {settings.batch_size} rows, {read:,} tokens")

# %% [markdown]
# First the loss in training, each point the mean of fifty steps, with the two levels:


# %% tags=["trained"]
def smoothed(values, width=50):
    return [sum(values[at : at + width]) / width for at in range(0, len(values), width)]


losses, middles = (smoothed([record[name] for record in log]) for name in ("loss", "step"))
plots.lines(
    {"loss": (middles, losses)},
    "step",
    "loss, in nats",
    "A tiny BERT learns: all words together",
    {"uniform guessing": uniform, "word frequencies": frequencies},
)

# %% [markdown]
# It goes below the word frequencies early. So it reads the sentence? Look before you believe it. The held-out loss for
# each of the three fates:

# %% tags=["trained"]
checked = [record for record in log if "hidden" in record]
at = [record["step"] for record in checked]
curves = {fate: (at, [record[fate] for record in checked]) for fate in ("hidden", "kept", "exchanged")}
plots.lines(
    curves,
    "step",
    "held-out loss, in nats",
    "First frequencies, then copying, then the sentence",
    {"word frequencies": frequencies},
)

# %% [markdown] tags=["trained"]
# There are three phases, and the mean hides them.
#
# 1. **Frequencies.** All three come down towards the level of somebody who counts words.
# 2. **Copying.** *kept* falls, and *exchanged* rises. The model has found out that a visible word that is asked about
#    is right half of the time. So it moves that word's probability towards a half, and asks no neighbour. *hidden*
#    does not move.
# 3. **The sentence.** Only then *hidden* falls: attention has found the neighbours. At the end it is
#    {{checked[-1]["hidden"] | .2f}} nats, well below the {{frequencies | .2f}} of the frequencies. And *exchanged*
#    comes down again: by now the model sees that something is wrong there.
#
# A copier can be reckoned out. With $\mathcal{L}_f$ for the frequencies, eight in ten cost $\mathcal{L}_f$, a kept word
# $\ln 2$, an exchanged one $\mathcal{L}_f + \ln 2$:
#
# $$0.8\,\mathcal{L}_f + 0.1 \ln 2 + 0.1\,(\mathcal{L}_f + \ln 2) = 0.9\,\mathcal{L}_f + 0.2 \ln 2$$
#
# That is {{0.9 * frequencies + 0.2 * math.log(2) | .2f}} nats here, without a look at the sentence. So a loss below the
# frequencies says little: a training that is too short may have stopped in the second phase. Keep it in mind for all
# small runs, the ledger's included (lesson 10 holds one against the frequencies).
#
# ## What does it guess?
#
# Three sentences of our own: *If you want `[MASK]` see a good movie, see it*; *She `[MASK]` in love with
# him*; *Do not waste your `[MASK]` on it*. For each, the five pieces that it finds likeliest at the end, and what it
# gave them at first:

# %% tags=["trained"]
PAPER_STEPS, PAPER_BATCH = 1_000_000, 256  # Devlin et al. 2019, appendix A.2: for the text below
at_last = [guesses(model, prompt) for prompt in prompts]
best = [(number, i) for number, guess in enumerate(at_last) for i in guess.topk(5).indices.tolist()]
holes = "want … see", "she … in love", "waste your …"
plots.distributions(
    {"before": [100 * at_first[n][i] for n, i in best], "after": [100 * at_last[n][i] for n, i in best]},
    [f"{holes[n]}:  {own.tokens[i]}" for n, i in best],
    "The five pieces that it finds likeliest after the training",
    "probability in %",
    digits=1,
)

# %% [markdown] tags=["trained"]
# It has learned a little grammar: what stands between *want* and *see*, and between *she* and *in love*. Nobody told
# it. In the third nothing stands out. For *time* one has to know the phrase, and half a minute on
# {{len(texts) | ,}} reviews does not teach it. Do not make much of single sentences, though: the first two were picked
# because it does them well.
#
# The real BERT did the same thing for much longer: the same loss, the same eighty, ten, ten, on {{PAPER_STEPS | ,}}
# batches of {{PAPER_BATCH}} texts from books and Wikipedia (Devlin et al. 2019, appendix A.2). Where does
# its knowledge come from? From what people wrote, by asking for the words that they chose.
#
# ## What could go wrong
#
# **One `ignore_index` for both losses.** Somebody uses `ignore_index=0` for the words (then `[PAD]`, whose id is zero,
# does not count), and the same line for the pairs. But there zero is a class, *is next*. Four pairs, half of them
# true, and three models: one that always says *next*, one that always says *random*, and one that has learned it.

# %%
truth = torch.tensor([0, 1, 0, 1])
sure = 4.0 * torch.eye(2)  # logits: row 0 says "is next", row 1 says "random"
for name, answers in {"always next": [0] * 4, "always random": [1] * 4, "right": truth}.items():
    pair_logits = sure[answers]  # (B, 2)
    right, wrong = F.cross_entropy(pair_logits, truth), F.cross_entropy(pair_logits, truth, ignore_index=0)
    print(f"{name:<14} loss {right:.2f}   with ignore_index=0 {wrong:.2f}")

# %% [markdown]
# With the mistake *always random* is as good as the truth, for pairs that do belong together do not count. The loss
# goes to zero, everything looks well, and the head has learned one constant.
#
# **The input changed in place.** A masker that writes into the tensor it was given masks the *data*. The next time the
# text comes up, the holes are still there, and become the labels of new questions:

# %%
data = padded(train_rows[:500], own)["input_ids"]
generator = torch.Generator().manual_seed(0)
words = candidates(data, own.special_ids)
for epoch in range(1, 11):
    new_ids, new_labels = corrupt(data, choose_tokens(words, generator=generator), own.mask_id, V, generator)
    data.copy_(new_ids)  # the mistake
    if epoch in (1, 2, 5, 10):
        holes = (data[words] == own.mask_id).float().mean()
        as_answer = (new_labels[new_labels != IGNORE] == own.mask_id).float().mean()
        print(f"epoch {epoch:>2}: {holes:>4.0%} of the words and {as_answer:>4.0%} of the answers are [MASK]")

# %% [markdown]
# - **`-1` in place of `-100`.** PyTorch's default is `-100`; with `-1` it stops, or, where an older recipe passes
#   `ignore_index=-1`, somebody else's `-100` does.
# - **Special tokens masked.** `[SEP]` is easy to guess and `[CLS]` easier: the loss looks better, and the model learns
#   less. Padding is the worst, for there may be more of it than of text.
# - **The same mask every epoch, by a fixed seed.** `manual_seed(0)` inside the function that masks, and what was meant
#   to be dynamic is static; worse, all batches of one shape are asked at the same places.
# - **The loss divided by all slots.** You saw it: too small, and smaller with more padding.
# - **Labels only where `[MASK]` stands.** Then nobody asks about visible words, and the other two tenths have no point.
#
# ## Exercises
#
# The whole game: hide the words, score the guesses, make the pairs, add it up.

# %% exercise="mask-tokens"

# %% exercise="masked-lm-loss"

# %% exercise="sentence-pairs"

# %% exercise="pretraining-loss"

# %% [markdown]
# ## In short
#
# - A text is its own answer sheet. Cover some words and ask for them; no labels are needed.
# - Fifteen in a hundred are asked about, never special tokens or padding. Of these 80/10/10: hidden, exchanged, kept,
#   by one draw.
# - The loss is the mean over the asked positions alone; labels elsewhere are `-100`. A fresh model is at $\ln V$, word
#   frequencies at their entropy.
# - Below the frequencies a model may still only copy. Look at the hidden words by themselves.
# - Dynamic masking asks about ever new places; where texts are few it matters much. Next sentence prediction (`0`: is
#   next) was left out by RoBERTa, which did not miss it.
#
# **To read.** Devlin et al. 2019, *BERT*, section 3.1 and appendix A.1 and A.2; Liu et al. 2019, *RoBERTa*, section 4;
# Taylor 1953, *"Cloze Procedure": A New Tool for Measuring Readability*. Then
# [minibert/training/objectives.py](../minibert/training/objectives.py), which has this lesson's order, and
# [minibert/training/tasks.py](../minibert/training/tasks.py).
#
# **Next:** [DistilBERT: half the depth](09_distilbert.ipynb).
