# %% [markdown]
# # RoBERTa: the same model, another recipe
#
# > How much better does a BERT become if nothing changes but its training?
#
# RoBERTa is a BERT: you could load its weights into the encoder that you built in
# [lesson 04](04_encoder_block.ipynb). What its authors changed is the recipe: more text, larger batches, longer
# training, no sentence pairs, and fresh masks (a mask says which tokens are hidden and must be predicted). Here are the
# errors that remain on MNLI (does the first sentence imply the second, contradict it, or neither?), for models as large
# as BERT-large:

# %% tags=["folded"]
import random
import re
import tempfile
from collections import Counter
from dataclasses import replace
from math import log

import torch

import minibert
from minibert import plots
from minibert.claims import LEDGER, results
from minibert.experiments.statistics import mean
from minibert.tokenizers.wordpiece import WordPiece
from minibert.training.batching import padded, single
from minibert.training.data import load_reviews
from minibert.training.loop import Settings, train
from minibert.training.objectives import candidates, choose_tokens, corrupt
from minibert.training.pairs import full_sentences, nsp_pairs, sop_pairs, split_sentences
from minibert.training.tasks import MaskedWords, loss_by_frequency

torch.set_num_threads(1)  # the models of this lesson are so small that a second thread brings little

with torch.device("meta"):  # shapes without numbers: enough to count
    bert, roberta = minibert.build("bert-base-uncased"), minibert.build("roberta-base")
bert_size, size = minibert.count_parameters(bert), minibert.count_parameters(roberta)
# Batch times steps: RoBERTa's first row in Table 4 of Liu et al. 2019, against BERT's.
SEQUENCES = 8_000 * 100_000 / (256 * 1_000_000)
MASKS = re.findall(r"\d+\.\d", LEDGER["R1"].paper_value)  # three scores with static masks, three with dynamic
OURS = results(["R1"])[0].figures["cells"]  # recorded: a kind of masks, and what each seed reached
TOKENS = SEQUENCES * 512 / (0.9 * 128 + 0.1 * 512)  # the lengths: Devlin et al. 2019, appendix A.2

# %%
# Accuracy on MNLI in percent. Liu et al. 2019, Table 4.
MNLI = {
    "BERT-large": 86.6,
    "RoBERTa: similar text, almost ten times the tokens": 89.0,
    "ten times as much text, the same steps": 89.3,
    "the same, three times the steps": 90.0,
    "the same, five times the steps": 90.2,
}
errors = {name: 100 - right for name, right in MNLI.items()}
plots.bars(errors, "errors in 100 questions; fewer is better", "A new recipe, then more text, then more steps")

# %% [markdown]
# A quarter of BERT's errors is gone, and no layer was added. The largest step is the first one, with nearly the same
# text. RoBERTa reads {{SEQUENCES | .1f}} times as many sequences, all of {{512}} tokens (Liu et al. 2019, section 3.1);
# those of BERT had only {{128}} in nine tenths of its steps (Devlin et al. 2019, appendix A.2). So it reads
# {{TOKENS | .1f}} times as many tokens, *and* has a better recipe. This bar cannot tell how much each of the two
# brings.
#
# This lesson tries the parts of the recipe on something small. The course does not use published RoBERTa weights; the
# text always says which model is real.
#
# ## What is the same, counted

# %%
rows = {"blocks": lambda m: m.encoder, "pooler": lambda m: m.pooler, "words": lambda m: m.embeddings.word}
rows |= {"positions": lambda m: m.embeddings.position, "token types": lambda m: m.embeddings.token_type}
rows |= {"norm": lambda m: m.embeddings.norm}
print(f"{'':<12} {'BERT-base':>12} {'RoBERTa-base':>13}   table")
for name, part in rows.items():
    a, b = minibert.count_parameters(part(bert)), minibert.count_parameters(part(roberta))
    table = part(roberta).weight.shape if hasattr(part(roberta), "weight") else ()
    print(f"{name:<12} {a:>12,} {b:>13,}   {' × '.join(map(str, table))}")
print(f"{'all':<12} {bert_size:>12,} {size:>13,}")

# %% [markdown]
# The blocks are equal. The difference is all in the tables before them: more words, one token type instead of two, and
# two more positions. Why two more? You will see below.
#
# ## Bytes, not words
#
# RoBERTa reads **byte-level BPE** (section 4.4; [lesson 05](05_words_into_pieces.ipynb) builds it), with the merges of
# GPT-2 (Radford et al. 2019, section 2.2). A sentence with odd characters:

# %%
odd = "A naïve 🙂 film from Łódź."
tok, wordpiece = minibert.load_tokenizer("gpt2-bpe"), minibert.load_tokenizer("minilm-l6")
cut = {}
for name, tokenizer in {"BERT, word pieces": wordpiece, "RoBERTa, bytes": tok}.items():
    ids = tokenizer.ids(odd)
    pieces = [tokenizer.tokens[i] for i in ids]
    continues = [at > 0 and tokenizer.continues(piece) for at, piece in enumerate(pieces)]
    cut[f"{name}: {len(ids)} pieces"] = list(zip(pieces, continues, strict=True))
    print(f"{name:<18} back: {tokenizer.decode(ids)}")
plots.cuts(cut, "One sentence, two tokenizers")

# %% [markdown]
# The word pieces lose the capitals, the accents and the smiley, which became `[UNK]`. The bytes lose nothing: `Ġ` is a
# space, and `ðŁĻĤ` is how the four bytes of 🙂 are written. The price: the last word, whose letters are rare, falls
# into many pieces. (And some scores get slightly worse; section 4.4. In the picture a piece without `Ġ` counts as a
# continuation.)
#
# Two details matter in code. `<s>` and `</s>` do the work of `[CLS]` and `[SEP]`, with two `</s>` between the texts of
# a pair. And **padding has the id one**; in BERT it is zero:

# %%
print(*(f"{token} {tok.tokens.index(token)}  " for token in ("<s>", "<pad>", "</s>", "<unk>")))
print(tok.encode("A film.", "It stays.").tokens)

# %% [markdown]
# ## Positions that start at two
#
# BERT numbers the places of a row $0, 1, 2, \ldots$, padding included. RoBERTa numbers the *tokens*, leaves the padding
# out, and starts at `padding_idx + 1`. Row `padding_idx` of the position table belongs to the padding. Here are three
# texts; the third one is padded in front:

# %%
batch = tok(["A quiet film that stays.", "Two hours.", "Never again."])
ids = batch["input_ids"].clone()  # (B, S)
ids[2] = ids[2].roll(int((ids[2] == tok.pad_id).sum()))  # the same text, with its padding in front
tiny = minibert.build("tiny-roberta", seed=0).eval()  # not trained
for row in ids:
    print([tok.tokens[i] for i in row])

places = [f"place {place}" for place in range(ids.shape[1])]
title = "The row of the position table that each token gets"
plots.grid(tiny.position_ids(ids), ["text 0", "text 1", "text 2"], places, title, digits=0)

# %% [markdown]
# In the last row, three tokens of padding get the row one, and the text begins at two, as the others do. Row zero is
# never used. So a text may have $514 - 2 = 512$ tokens, as in BERT. Now write it, from the *ids*, without an attention
# mask:

# %% exercise="roberta-positions"

# %% [markdown]
# **By hand**, to compare with when you have passed: count along the text, and let only real tokens count.

# %% fold="By hand" tags=["folded"]
real = (ids != tok.pad_id).long()  # (B, S)
number = real.cumsum(dim=1)  # 1, 2, 3, ... along each text; padding repeats the number before it
print(number[2].tolist(), "times", real[2].tolist(), "plus", tok.pad_id)
by_hand = number * real + tok.pad_id
print("as the library's:", torch.equal(by_hand, tiny.position_ids(ids)))

# %% [markdown]
# **What if you forget it?** Then each token gets the vector of another position. MiniLM-L6 (lesson 07) learned with
# positions from zero, so here we start too late; in the last line each text's positions are shuffled. The model
# predicts the masked tokens of {{200}} held-out film reviews ({{15}}% of all). The loss is the mean of $-\ln p$ of the
# right token, in *nats per masked token*:

# %%
film_reviews = [review.text for review in load_reviews("rotten-tomatoes").validation[:256]]  # not trained on
mlm = minibert.from_pretrained("minilm-l6-mlm", head="masked-lm").eval()


def masked_batch(texts, generator):
    given = wordpiece(texts, max_length=40)
    may = candidates(given["input_ids"], wordpiece.special_ids, given["attention_mask"])
    chosen = choose_tokens(may, generator=generator)  # (B, S), True at 15%
    seen, labels = corrupt(given["input_ids"], chosen, wordpiece.mask_id, wordpiece.vocab_size, generator)
    return seen, given["attention_mask"], chosen, labels


seen, mask, chosen, labels = masked_batch(film_reviews[:200], torch.Generator().manual_seed(0))
right = mlm.backbone.position_ids(seen)  # (B, S): 0, 1, 2, ... in each row
order = torch.rand(right.shape, generator=torch.Generator().manual_seed(0)).argsort(dim=1)
found_words = {}
for name, positions in {"from 0": right, "from 2": right + 2, "from 32": right + 32, "shuffled": order}.items():
    mlm.backbone.position_ids = lambda ids, positions=positions: positions
    with torch.no_grad():
        logits = mlm(seen, mask, wanted=chosen).logits  # (M, V)
    loss = torch.nn.functional.cross_entropy(logits, labels[chosen])
    found_words[name] = (logits.argmax(-1) == labels[chosen]).float().mean().item()
    print(f"positions {name:<8}  loss {loss:.2f}, {found_words[name]:5.1%} of the masked tokens right")
del mlm.backbone.position_ids  # the model's own method again

# %% [markdown]
# No error, no strange shape, and starting at two costs only
# {{100 * (found_words["from 0"] - found_words["from 2"]) | .0f}} points: only a comparison with known numbers shows
# this mistake. Starting at {{32}} is hardly worse. But shuffled positions leave {{found_words["shuffled"] | .0%}}: what
# counts is mostly where the tokens stand *to each other*, and a late start does not change that.
#
# ## A new mask at each pass
#
# BERT's texts were masked in advance (**static**). RoBERTa draws a new mask each time a text is read (**dynamic**;
# section 4.1). In code only the seed differs: one for each text, or one for each text *and pass*.

# %%
sentence = tok("A quiet film that stays with you long after the lights are on.")["input_ids"]
may = candidates(sentence, tok.special_ids)


def choice(seed):
    return choose_tokens(may, generator=torch.Generator().manual_seed(seed))[0]  # (S,), True where chosen


passes = {f"static, pass {n}": choice(0) for n in range(1, 6)}
passes |= {f"dynamic, pass {n}": choice(n) for n in range(1, 6)}
plots.looks(
    torch.stack(list(passes.values())).float(),
    list(passes),
    [tok.tokens[i] for i in sentence[0]],
    "Which tokens are chosen (dark)",
)

# %% [markdown]
# With a static mask, most words of this sentence are never predicted. With dynamic masks, a token escapes a pass with
# the probability $0.85$, and $n$ passes with $0.85^n$. **On paper:** after how many passes have {{95}}% of the tokens
# been chosen at least once? Write your number here:

# %%
mine = 0
print("✓" if 1 - 0.85**mine >= 0.95 > 1 - 0.85 ** (mine - 1) else "✗ not yet")

# %% [markdown]
# The formula and a count over real reviews. BERT had ten masks for each text, then the same ten again:

# %%
generator = torch.Generator().manual_seed(0)
many = wordpiece(film_reviews, max_length=40)
may_be_chosen = candidates(many["input_ids"], wordpiece.special_ids, many["attention_mask"])  # (B, S)
masks = torch.stack([choose_tokens(may_be_chosen, generator=generator) for _ in range(40)])  # (passes, B, S)
asked = {"dynamic": masks, "ten masks": masks[torch.arange(40) % 10], "one mask": masks[[0] * 40]}
steps = range(1, 41)
curves = {}
for name, masks_of_pass in asked.items():
    ever = masks_of_pass.long().cummax(0).values.bool()  # (passes, B, S): chosen in this pass or before
    curves[name] = (steps, [100 * once[may_be_chosen].float().mean().item() for once in ever])
curves["1 − 0.85ⁿ"] = (steps, [100 * (1 - 0.85**n) for n in steps])
for n in (1, 10, 29, 40):  # 29 passes: the first time that 99% have been chosen
    counted = curves["dynamic"][1][n - 1]
    print(f"after {n:>2} passes: {counted:5.1f}% counted, {100 * (1 - 0.85**n):5.1f}% by formula")
plots.lines(curves, "passes over the text", "% chosen at least once", "How much of a text has been predicted")

# %% [markdown]
# Does it matter? Train three small BERTs that differ only in their masks, in the setting of
# [lesson 07](07_pretraining.ipynb): one block, {{1500 | ,}} pieces, rows of sixteen tokens. There is little text, and
# each model reads it forty times, as often as BERT read its books (section 4.1). **Guess before you run it:** which one
# learns its own text best, and which one is best on other texts?

# %% tags=["folded"]
imdb, PASSES, BATCH, S = load_reviews("imdb"), 40, 64, 16
small = WordPiece.train([review.text for review in imdb.train[:600]], vocab_size=1500)


def rows_of(reviews):
    every = [small.ids(review.text) for review in reviews]
    return [single(ids[at : at + S - 2], small, S) for ids in every for at in range(0, len(ids), S - 2)]


few, held_out = rows_of(imdb.train[:25])[: 8 * BATCH], rows_of(imdb.validation[:40])
shape = replace(
    minibert.PRESETS["tiny-bert"],
    vocab_size=small.vocab_size,
    max_position_embeddings=S,
    num_hidden_layers=1,
    hidden_dropout_prob=0.0,
    attention_probs_dropout_prob=0.0,
    initializer_range=minibert.PRESETS["tiny-bert"].hidden_size ** -0.5,
)
plan = Settings(
    steps=PASSES * len(few) // BATCH,
    batch_size=BATCH,
    learning_rate=2e-3,
    betas=(0.9, 0.98),
    bf16=False,
    validate_every=4 * len(few) // BATCH,
    save_every=10_000,
)
by_frequency = loss_by_frequency(MaskedWords(few, small), MaskedWords(held_out, small))
held = padded(held_out, small)
held_seen, held_labels = MaskedWords(held_out, small).masked(
    held["input_ids"], held["attention_mask"], torch.Generator().manual_seed(1)
)


def held_out_loss(model):
    return {"held out": model(held_seen, held["attention_mask"], labels=held_labels).loss.item()}


# %% tags=["trained"]
print(f"{len(few)} rows, {plan.steps} steps")
learned = {}
for name, copies, static in (("one mask", 1, True), ("ten masks", 10, True), ("dynamic", 1, False)):
    texts = few * copies  # a text with ten masks is ten texts with one mask each
    model = minibert.build(shape, head="masked-lm", seed=0)
    task, lengths = MaskedWords(texts, small, static=static), [S] * len(texts)
    with tempfile.TemporaryDirectory() as folder:
        records = train(model, task, lengths, plan, folder, validate=held_out_loss)
    learned[name] = [record for record in records if "held out" in record]
    print(f"{name:<10} loss in its last step {learned[name][-1]['loss']:.2f}")

# %% tags=["folded", "trained"]
plots.lines(
    {
        name: ([r["step"] * BATCH / len(few) for r in found], [r["held out"] for r in found])
        for name, found in learned.items()
    },
    "passes over the text",
    "loss on other texts, nats per masked token (lower is better)",
    "The same text forty times, with three kinds of masks",
    {"uniform guessing": log(1500), "word frequencies": by_frequency},
)

# %% [markdown] tags=["trained"]
# With **one mask** the model learns the answers by heart: the loss of its last step is
# {{learned["one mask"][-1]["loss"] | .2f}}, but on other texts it is worse than giving all pieces the same probability
# ({{log(1500) | .2f}}). **Ten masks**, each seen four times as in BERT, prevent nearly all of that. **Dynamic** masks
# do a little less harm still: {{learned["dynamic"][-1]["held out"] | .2f}} against
# {{learned["ten masks"][-1]["held out"] | .2f}}. (One run each; with two other seeds the order was the same.) None of
# the three has learned to read: giving each piece its share of this text, without looking, costs
# {{by_frequency | .2f}}. So this shows what a repeated mask spoils, not what a new one teaches.
#
# What counts is how often *the same mask* comes back, and ten masks are many for forty passes. No wonder that the paper
# found little, from static to dynamic: SQuAD 2.0 {{MASKS[0]}} to {{MASKS[3]}}, MNLI {{MASKS[1]}} to {{MASKS[4]}}, SST-2
# {{MASKS[2]}} to {{MASKS[5]}}, "comparable or slightly better" (section 4.1, Table 1). Our own small models, which do
# read: if a row keeps its mask and is read four times, held-out words cost
# {{mean(OURS, "static, 4 passes", "masked_lm") - mean(OURS, "dynamic, 4 passes", "masked_lm") | .2f}} nats more than
# with new masks, and with sixteen times
# {{mean(OURS, "static, 16 passes", "masked_lm") - mean(OURS, "dynamic, 16 passes", "masked_lm") | .2f}} more
# (`minibert claims R1`).

# %% [markdown]
# ## No pairs: full sentences
#
# BERT also predicts whether the second of two segments follows the first (NSP, lesson 07). RoBERTa drops this task. Why
# does the model lose nothing by that? Here is a guesser that does not read. Of a true pair and a random one it takes
# the pair whose segments share more words; rare words count more. ALBERT's pairs, in order or swapped (SOP), get the
# same test:

# %%
texts = [review.text for review in imdb.train[:300]]
documents = [[wordpiece.ids(sentence) for sentence in split_sentences(text)] for text in texts]
room = 125
in_documents = Counter(i for document in documents for i in {i for sentence in document for i in sentence})


def shared(pair):
    return sum(log(len(documents) / in_documents[i]) for i in {*pair.first} & {*pair.second})


found = {}
for name, make in {"NSP: true or random?": nsp_pairs, "SOP: in order or swapped?": sop_pairs}.items():
    pairs = make(documents, room, random.Random(0))
    true, false = (torch.tensor([shared(pair) for pair in pairs if pair.label == label]) for label in (0, 1))
    margin = true[:, None] - false  # each true pair against each false one
    found[name] = 100 * ((margin > 0).float() + 0.5 * (margin == 0)).mean().item()
plots.bars(found, "% right; guessing gives 50", "What counting shared words can do", digits=0)

# %% [markdown]
# Much of NSP can be answered from the topic alone. For SOP this guesser must fail: swapping changes no word. (It is not
# exactly at chance, because the pairs in order and the swapped ones are different pairs.) RoBERTa has no such task. It
# fills each input with whole sentences until the next one does not fit, and goes on into the next document, with a
# separator between the two (*full-sentences*, section 4.2). How full are rows of {{128}} tokens, and of {{512}} as in
# the paper? (Three are special.)

# %%
for room in (125, 509):
    alone = [min(len(a) + len(b), room) for d in documents for a, b in zip(d[::2], d[1::2], strict=False)]
    segments = [len(pair.first) + len(pair.second) for pair in nsp_pairs(documents, room, random.Random(0))]
    full = [len(one) for one in full_sentences(documents, room, wordpiece.sep_id)]
    inputs = {"two sentences": alone, "two segments, as in BERT": segments, "full sentences": full}
    for name, lengths in inputs.items():
        average = sum(lengths) / len(lengths)
        print(f"{name:<25} {average:4.0f} of {room} tokens, {average / room:.0%}")
review_length = sum(len(sentence) for document in documents for sentence in document) / len(documents)
print(f"a review has {review_length:.0f} tokens on average")

# %% [markdown]
# In short rows, full sentences are no fuller than BERT's segments: what is left when the next sentence does not fit,
# stays empty. In rows of {{512}} that is little, and full sentences fill them. BERT's segments do not: they end with
# their document, and most reviews are shorter. Pairs of single sentences waste most, and do harm: {{84.0 - 82.9 | .1f}}
# points less on MNLI than BERT's segments (Table 2). Full sentences without NSP are mostly a little better: removing
# NSP "matches or slightly improves" (section 4.2; lesson 07 has the scores). The authors suppose that BERT's own test
# of this removed the loss and kept the pairs.
#
# ## Larger batches
#
# BERT took a step after {{256}} sequences, RoBERTa after {{8000 | ,}}. A gradient is a mean over the masked tokens of a
# batch. With few of them it is noisy: two batches push the weights in different directions. How different? Take one
# matrix of the trained MiniLM-L6, and of the same model with fresh weights, on held-out reviews. Its gradient is
# computed in **micro-batches** of four reviews, which add up to any batch:


# %%
def gradients_of(model):
    """The gradient of each micro-batch, from the sum of its losses: (micro-batches, numbers in the matrix)."""
    model.eval().requires_grad_(False)
    matrix = model.backbone.encoder.blocks[-1].feed_forward.contract.weight.requires_grad_()
    generator, found = torch.Generator().manual_seed(0), []
    for start in range(0, len(film_reviews), 4):
        seen, mask, chosen, labels = masked_batch(film_reviews[start : start + 4], generator)
        loss = model(seen, mask, labels=labels).loss * chosen.sum()
        found.append(torch.autograd.grad(loss, matrix)[0].flatten())
    return torch.stack(found)


generator, cosines = torch.Generator().manual_seed(0), {}
for name, model in {"fresh": minibert.build(mlm.config, head="masked-lm", seed=0), "trained": mlm}.items():
    gradients = gradients_of(model)
    for count in (1, 4, 16, 32):  # micro-batches
        draws = [torch.randperm(len(gradients), generator=generator)[: 2 * count] for _ in range(8)]
        two = [gradients[draw].view(2, count, -1).sum(1) for draw in draws]  # each (2, numbers in the matrix)
        every = [torch.cosine_similarity(*pair, dim=0).item() for pair in two]
        cosines[f"{name} model, {4 * count} reviews"] = every
print("gradients", tuple(gradients.shape))
panels = {"cosine between the gradients of two batches": cosines}
plots.ablation(panels, "How well two batches agree on a direction", sort=False, dots="draws")

# %% [markdown]
# Each dot is one draw of two batches. For the fresh model a few dozen reviews show a direction. For the trained one two
# batches of {{128}} agree only a little (random directions would have a cosine near zero): most of each step is noise.
# (One matrix, short texts: these sizes are not the paper's. With {{128}} each draw divides the same
# {{len(film_reviews)}} reviews, so its dots are not independent. McCandlish et al. 2018 have the theory.)
#
# A better direction allows a larger step; but once two batches agree, more only costs computing. In the paper's test
# the number of sequences read stays the same (perplexity is e to the power of the loss):

# %%
# Liu et al. 2019, Table 3: batch, steps, learning rate, perplexity of held-out words (lower is better), MNLI.
TABLE_3 = (
    (256, 1_000_000, 1e-4, 3.99, 84.7),
    (2_000, 125_000, 7e-4, 3.68, 85.2),
    (8_000, 31_000, 1e-3, 3.77, 84.6),
)
for sequences, steps, rate, perplexity, accuracy in TABLE_3:
    read = sequences * steps / 1e6
    told = f"rate {rate:.0e}: perplexity {perplexity}, MNLI {accuracy}"
    print(f"{sequences:>5} × {steps:>9,} = {read:.0f} M sequences, {told}")

# %% [markdown]
# The middle row is the best. The authors use the largest batch because it is easier to spread over many machines
# (section 4.3). Few machines have memory for so many sequences at once. But gradients can be added up, as above: many
# micro-batches, then one step (**gradient accumulation**). **On paper:** here are the losses of the masked tokens in
# two micro-batches. What is the loss of the whole batch?

# %%
losses = [torch.tensor([2.0]), torch.tensor([6.0, 4.0, 2.0])]  # one masked token, and three
mine = 0.0
print("✓" if mine == torch.cat(losses).mean() else "✗ not yet: each masked token counts the same")

# %% [markdown]
# The mean of the two means is lower: the first micro-batch's single token counts as much as the second's three. So add
# up *sums*, and divide once by the number of masked tokens.
#
# ## What to make of it
#
# Each change that was tried here is small by itself; together, with more tokens, they are the first step of the picture
# at the top: BERT was "significantly undertrained" (abstract). So when a new model beats an old one, ask what else was
# different: perhaps it was only trained longer.
#
# ## What could go wrong
#
# - **Positions counted by place**, with an offset of two: wrong for texts that are not padded at the end.
# - **Positions from the attention mask.** A mask that hides a real token shifts all the others.
# - **Padding taken to be zero.** Zero is `<s>`: the first token disappears.
# - **Token types with a one.** RoBERTa has one row for them; ones are an error here.
# - **A text of {{roberta.config.max_position_embeddings}} tokens**, the config's number:
#   {{roberta.config.max_length}} is the most.
#
# ## In short
#
# - RoBERTa has BERT's blocks, a larger embedding table of the words, one token type, which says nothing, and no NSP.
# - Positions count real tokens only, from `padding_idx + 1`, and come from the ids.
# - One mask for each text is learned by heart if the text is read often. Ten masks and new ones hardly differ.
# - No pairs, dynamic masks, larger batches: each brings little; with more text and more tokens read, a lot.
# - A batch can be larger than memory: add up sums of micro-batches.
#
# **To read.** Liu et al. 2019, *RoBERTa: A Robustly Optimized BERT Pretraining Approach*, sections 4 and 5: how
# to vary one thing at a time. Then [minibert/models/roberta.py](../minibert/models/roberta.py):
# the only method in it that BERT does not have is the one you wrote.
#
# **Next:** [MobileBERT](12_mobilebert.ipynb), which changes every part of the block.
