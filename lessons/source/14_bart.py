# %% [markdown]
# # BART: it reads, and it writes
#
# > A BERT can fill a hole when it is told how many words are missing. How can a model write a text of any length?
#
# It needs a second half. BART puts two Transformers together: an **encoder**, which reads like a BERT, and a
# **decoder**, which writes one word after another. Read the picture from the bottom:

# %% tags=["folded"]
import dataclasses
import itertools
import math
import random
import re

import torch
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

import minibert
from minibert import claims, plots
from minibert.attention import Layout, causal_mask
from minibert.generation import shift_right
from minibert.training.infilling import Infilling, infill as library_infill, permute_sentences, words_of
from minibert.training.vocabularies import learned

# A small language. Verb and pronoun follow from the thing and the person; the places are not equally frequent.
SHE, HE = ("sister", "mother", "aunt"), ("brother", "father", "uncle")
HOW = ("new", "small", "good", "long")
VERB = {"cake": "ate", "book": "read", "film": "watched", "song": "sang", "coat": "wore", "letter": "wrote"}
WHERE = {"at home": 4, "in the garden": 7, "in the kitchen": 4, "in the car": 4, "in the office": 4}


def document(who, how, what, where):
    """Two sentences; the second says more about the person and the thing of the first."""
    pronoun = "she" if who in SHE else "he"
    return (f"first my {who} found a {how} {what}.", f"then {pronoun} {VERB[what]} it {where}.")


at_home, in_garden = (WHERE[where] / sum(WHERE.values()) for where in ("at home", "in the garden"))
REMOVED = 0.3  # of the words, Lewis et al. 2020, section 5.1
language = {" ".join(document(*chosen)): chosen for chosen in itertools.product(SHE + HE, HOW, VERB, WHERE)}
order = sorted(language)
random.Random(0).shuffle(order)
held_out, rest = order[:96], order[96:]
often = [WHERE[language[text][-1]] for text in rest]
sample = [language[text] for text in random.Random(1).choices(rest, often, k=3000)]
tok = learned("byte-bpe", order, 500)  # a vocabulary in which each word is one piece
documents = [[tok.ids(sentence) for sentence in document(*chosen)] for chosen in sample]

# %%
read = ["<s>", "my", "<mask>", ".", "</s>"]
written = ["<s>", "my", "aunt", "ate", "it", ".", "</s>"]
plots.encoder_decoder(read, written, start="</s>")

# %% [markdown]
# BART is trained to repair texts (Lewis et al. 2020, section 2). You will train one in this lesson, from random
# weights, in less than a minute. It is tiny, and its language is tiny too: two sentences like these, in
# {{len(language)}} versions. In the end it writes in this language. (This course uses no published weights of a BART.)
#
# ## How a text is damaged
#
# The paper tries five ways to damage a text (section 2.2, figure 2) and keeps two (section 5.1). The sentences come in
# a random order. And spans of words are removed, {{REMOVED | .0%}} of all words, and each span becomes **one** mask,
# however long it was: *text infilling*. Lengths are drawn from a Poisson distribution with a mean of three. Some are
# zero: then nothing is missing, but a mask is inserted anyway. (When you train below, the share varies from
# {{0.2 | .0%}} to {{0.4 | .0%}}.) By hand, with two spans:
#
# | | |
# |---|---|
# | the text | `my aunt found a good cake` |
# | remove `aunt found a`, and a span of length zero before `cake` | `my` ▢ `good` ▢ `cake` |
#
# Drawn at random, for one document:

# %%
continues = [tok.continues(token) for token in tok.tokens]
for seed in (0, 2, 4, 19):
    generator = torch.Generator().manual_seed(seed)
    sentences = permute_sentences(documents[0], generator)
    words = [word for sentence in sentences for word in words_of(sentence, continues)]
    damaged = library_infill(words, tok.mask_id, generator=generator)
    print(" ".join(tok.tokens[i].strip("Ġ") for i in damaged))

# %% [markdown]
# In the last line the mask after *first* is a span of length zero: nothing is missing there. So the model has to find
# out what is missing, *how many* words are missing, and what the order of the sentences was. A BERT cannot do this,
# because it gives exactly one answer for each token that it reads.
#
# Write the second kind of damage yourself. The spans are given.

# %% exercise="infilling"

# %% [markdown]
# ## What the decoder reads
#
# The decoder is a stack of blocks, like BERT's encoder, with two differences. Its self-attention is **causal**: a token
# looks at itself and at those before it (you have the mask from [lesson 03](03_masks_and_padding.ipynb)). And there is
# a second attention between self-attention and feed-forward, the **cross-attention** (section 2.1): the queries come
# from the decoder, keys and values from what the encoder has read. From here on, $S$ counts the tokens that are read
# and $T$ those that are written. So $T$ now counts queries and $S$ keys, the other way round from lesson 01:
#
# | cross-attention | shape |
# |---|---|
# | queries, from the decoder's vectors (B, T, D) | (B, H, T, K) |
# | keys and values, from the encoder's vectors (B, S, D) | (B, H, S, K) |
# | weights | (B, H, T, S) |
# | what comes out, the heads joined | (B, T, D) |
#
# In training the whole text is known, so all its positions are computed at once. The decoder reads
# the text *one step late*, and has to predict the next token at each position:

# %%
labels = torch.tensor([tok.encode("my aunt ate it.").ids])  # (B, T)
late = shift_right(labels, start=tok.sep_id)  # (B, T); BART starts from </s>
for before, now in zip(late[0], labels[0], strict=True):
    print(f"{tok.tokens[before].strip('Ġ'):>8} -> {tok.tokens[now].strip('Ġ')}")

# %% [markdown]
# ## Train it
#
# Two blocks on each side, {{64}} features. Dropout is off, so that the losses below are those of the model as it is
# used. The loss is the mean of $-\ln p$ of the right next token, in *nats per token*. Guessing, with all tokens equally
# likely, costs $\ln V$.

# %%
start_config = minibert.PRESETS["tiny-bart"].for_vocabulary(
    len(tok.tokens), pad=tok.pad_id, cls=tok.cls_id, sep=tok.sep_id
)
no_dropout = dict.fromkeys(("hidden_dropout_prob", "attention_probs_dropout_prob", "activation_dropout"), 0.0)
std = 0.02 * math.sqrt(768 / start_config.hidden_size)  # as strong as BERT's fresh weights at this width
config = dataclasses.replace(start_config, max_position_embeddings=32, initializer_range=std, **no_dropout)
model = minibert.build(config, head="seq2seq-lm", seed=0)

task = Infilling(documents, tok, max_length=24)  # damages a text anew each time it is read
batch = task.batch([0, 1], seed=0)
batch.pop("token_type_ids")  # BART has no token types
for name, tensor in batch.items():
    print(f"{name:<23} {tuple(tensor.shape)}")

# %% tags=["trained"]
steps = 300
optimiser = torch.optim.AdamW(model.parameters(), lr=2e-3)
schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 2e-3, total_steps=steps, pct_start=0.15)
generator = torch.Generator().manual_seed(0)
losses = []
for number in range(steps):
    chosen = torch.randint(len(documents), (32,), generator=generator)
    task.rate = 0.2 + 0.2 * torch.rand((), generator=generator).item()  # the share of words that are removed
    batch = task.batch(chosen.tolist(), seed=number)
    batch.pop("token_type_ids")
    loss = model(**batch).loss  # cross-entropy of the tokens written, mean
    optimiser.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimiser.step()
    schedule.step()
    losses.append(loss.item())
model.eval()
tens = [sum(losses[at : at + 10]) / 10 for at in range(0, steps, 10)]
guessing = math.log(len(tok.tokens))
curve = {"the model": (range(5, steps, 10), tens)}
ylabel = "loss in nats per token, mean of ten steps (lower is better)"
plots.lines(curve, "step", ylabel, "It learns to repair", {"guessing": guessing})

# %% [markdown] tags=["trained"]
# The loss falls from {{losses[0] | .1f}}, about what guessing costs ({{guessing | .1f}}), to {{tens[-1] | .2f}}. It
# cannot reach zero: where a word is open, nobody can know it. How low it can get is computed below.
#
# ## It writes
#
# The decoder reads `</s>`, the likeliest next token is appended, all is read again, and so on until that token is
# `</s>`: **greedy** search. Write this loop. You have `model(reads, decoder_input_ids=written).logits`, (B, T, V), and
# `tok.sep_id`, the id of `</s>`. Complete the function, run the cell, and compare with the library's `generate`:


# %% tags=["trained"]
def ids_of(text):
    """A text with ▢ for masks, as ids: (1, S)."""
    words = text.replace(".", " .").split()
    pieces = ["<mask>" if word == "▢" else "." if word == "." else f"Ġ{word}" for word in words]
    return torch.tensor([tok.assemble([tok.tokens.index(piece) for piece in pieces]).ids])


@torch.no_grad()
def greedy(reads, longest=24):
    """The ids of a damaged text, (1, S) -> the ids that are written, (1, T), </s> first, T at most longest."""
    written = torch.tensor([[tok.sep_id]])
    return written


reads = ids_of("then she ▢ in the kitchen. first my mother found a new letter.")
mine, right = greedy(reads), model.generate(reads, max_length=24)
print("✓" if torch.equal(mine, right) else "✗", tuple(mine.shape), tok.decode(mine[0].tolist()))

# %% [markdown]
# Below, after your own attempt: the loop.


# %% tags=["folded", "trained"] fold="By hand"
@torch.no_grad()
def greedy_by_hand(reads, longest=24):
    written = torch.tensor([[tok.sep_id]])
    while written.shape[1] < longest:
        scores = model(reads, decoder_input_ids=written).logits[0, -1]  # (V,), of the next token
        written = torch.cat([written, scores.argmax().view(1, 1)], dim=1)
        if written[0, -1] == tok.sep_id:
            break
    return written


print("as the library's:", torch.equal(greedy_by_hand(reads), right))

# %% [markdown]
# Here are four texts, damaged by hand. The model has been trained on none of the originals:


# %% tags=["trained"]
def write(text, **how):
    return tok.decode(model.generate(ids_of(text), max_length=24, **how)[0].tolist()).strip()


for damaged in (
    "then she ▢ in the kitchen. first my mother found a new letter.",
    "first my father ▢ long book. then ▢ in the kitchen.",
    "then ▢ sang it at home. first my uncle ▢ new song.",
    "▢ sister ▢ good letter. then ▢ in the garden.",
):
    print(f"reads   {damaged}\nwrites  {write(damaged)}")
    print(f"        the original is held out: {write(damaged) in held_out}\n")

# %% [markdown]
# The sentences are in the right order, *she* goes with *sister*, a book is read and a letter is written. One mask
# became two words, another three. Now all {{len(held_out)}} texts that are held out, damaged at random. How often does
# it write a text of the language, and how often exactly the original?

# %% tags=["trained"]
test = Infilling([[tok.ids(s) for s in document(*language[text])] for text in held_out], tok, max_length=24)
unseen = test.batch(range(len(held_out)), seed=0)
unseen.pop("token_type_ids")
with torch.no_grad():
    generated = model.generate(unseen["input_ids"], unseen["attention_mask"], max_length=24)
texts = [tok.decode(row.tolist()).strip() for row in generated]
print(f"texts of the language: {sum(text in language for text in texts) / len(texts):.0%}")
exact = [text == original for text, original in zip(texts, held_out, strict=True)]
print(f"exactly the original:  {sum(exact) / len(exact):.0%}")

# %% [markdown]
# Is that little? If *sister* is missing, it may have been *mother* or *aunt*: nobody can know. So the folded cell
# finds, for each damaged text, all texts of the language that fit it, with the sentences in either order and any number
# of words in each gap.

# %% tags=["folded", "trained"]
both_orders = {}
for text, chosen in language.items():
    pairs = itertools.permutations(document(*chosen))
    both_orders[text] = ["".join(f" {sentence}" for sentence in pair).replace(".", " .") for pair in pairs]
fitting = []
for ids, real in zip(unseen["input_ids"], unseen["attention_mask"].bool(), strict=True):
    words = [tok.tokens[i].strip("Ġ") for i in ids[real].tolist()][1:-1]  # without <s> and </s>
    fits = re.compile("".join("( [^ ]+)*" if word == "<mask>" else f" {re.escape(word)}" for word in words))
    fitting.append([text for text, orders in both_orders.items() if any(map(fits.fullmatch, orders))])
certain = [right for right, texts in zip(exact, fitting, strict=True) if len(texts) == 1]
by_chance = sum(1 / len(texts) for texts in fitting) / len(fitting)
print(f"only one text fits: {len(certain)} of {len(fitting)}; of these the model restored {sum(certain)}")
print(f"choosing any text that fits would be right in {by_chance:.0%}")
with torch.no_grad():
    pays = model(**unseen).loss.item()
could = sum(math.log(len(texts)) for texts in fitting) / unseen["decoder_attention_mask"].sum().item()
print(f"nats per token: such a choice costs {could:.3f}, the model {pays:.3f}")

# %% [markdown] tags=["trained"]
# Where the original can be known, the model restored {{sum(certain)}} of {{len(certain)}}. Someone who knew the whole
# language and chose any text that fits would be right in {{by_chance | .0%}} of all cases; the model is right in
# {{sum(exact) / len(exact) | .0%}}. Of the {{len(exact) - len(certain)}} open ones it restored
# {{sum(exact) - sum(certain)}}, where such a choice gives about {{by_chance * len(exact) - len(certain) | .0f}}. And
# such a choice costs {{could | .2f}} nats per token (the mean of $\ln$ of the number of texts that fit, divided by
# their tokens); the model pays {{pays | .2f}}.

# %% [markdown]
# ## What it looks at while it writes
#
# The cross-attention, (B, H, T, S): for each token that is written (rows), how much it looks at each token that was
# read. The mean over the heads of the last block:

# %% tags=["trained"]
damaged = ids_of("then she ▢ in the garden. first my mother found a new coat.")
with torch.no_grad():
    output = model.generate(damaged, max_length=24)
    looked = model(damaged, decoder_input_ids=output[:, :-1], return_attention=True).cross_attentions[-1]
for what in ("coat", "letter"):
    print(f"{what}: {write(f'then she ▢ in the garden. first my mother found a new {what}.')}")
names = [[tok.tokens[i].strip("Ġ") for i in row[0].tolist()] for row in (damaged, output)]
plots.looks(looked[0].mean(dim=0), names[1][1:], names[0], "What the decoder looks at, token by token")

# %% [markdown]
# (A row is labelled with the token that is *written* from it.) Some tokens that are copied look at their own place in
# the text that was read: see *mother*, *new*, *coat* and *garden*. The verb was masked, and *wore* looks at *coat*.
# Such a map alone proves nothing (lesson 02), so one word was changed above it: with *letter* in place of *coat* the
# model writes *wrote*. And *she* looks at *mother*, as well as at its own place. Words that are the same in every text
# look at nothing in particular.
#
# **A good place to stop for tonight.** Next: other ways to search for a text, and what they cost.
#
# ## Greedy is not best
#
# Greedy search takes the best word now. That may lead to a text that is not the best. In our language people do
# something *at home* in {{at_home | .0%}} of the texts, and otherwise *in the* garden ({{in_garden | .0%}}), kitchen,
# car or office. The model reads "first my father found a new cake. then ▢." How likely is each end of the second
# sentence, after *he ate it*? (Both texts are held out.)

# %% tags=["folded", "trained"]
damaged = "first my father found a new cake. then ▢."
begun = "first my father found a new cake. then he ate it"
reads, known = ids_of(damaged), len(tok.ids(begun)) + 1


def probabilities(text):
    """Of each token of a text that is written for `reads`, given those before it: (T,)."""
    ids = torch.tensor([tok.encode(text).ids])
    with torch.no_grad():
        logits = model(reads, decoder_input_ids=shift_right(ids, tok.sep_id)).logits
    return logits.softmax(-1).gather(-1, ids[..., None])[0, :, 0]


def poisson(length, mean=3.0):
    """How likely a span of so many words is."""
    return math.exp(-mean) * mean**length / math.factorial(length)


weights = {where: often * poisson(3 + len(where.split())) for where, often in WHERE.items()}  # + he ate it
shares = {where: weight / sum(weights.values()) for where, weight in weights.items()}
ends = {}
for where in ("at home", "in the garden"):
    p = probabilities(f"{begun} {where}.")[known:]
    ends[where] = float(p.prod())
    print(f"{where:<14} first word {p[0]:.2f}, the rest {p[1:].prod():.2f}, together {p.prod():.2f}")

# %% [markdown]
# *in* is the better first word, because four places begin with it. But then its probability is divided among them, and
# the best whole ending begins with *at*. **Beam search** keeps the best few texts, the *beams*. In each step every beam
# is continued with every word, and of all of these the best few remain. A text's score is the sum of its words'
# log-probabilities, divided by its length to a power (the length penalty), because longer sums are lower.

# %% [markdown] tags=["folded"] fold="Why is at home so likely?"
# It makes the gap five words long, and each other place makes it six. Lengths are Poisson with mean three, so gaps of
# five are likelier. The weights are {{WHERE["at home"]}} · P(five) for it, against
# {{WHERE["in the garden"]}} · P(six) for the garden. Divided by the sum over all places, that is
# {{shares["at home"] | .2f}} and
# {{shares["in the garden"] | .2f}}. The model says {{ends["at home"] | .2f}} and {{ends["in the garden"] | .2f}}: the
# same order, but further apart. One likely reason: in training at most {{0.4 | .0%}} of a text was removed, so gaps of
# six were rarer than the Poisson distribution alone says.
#
# One more difference: in training a full stop belongs to the word before it, so a gap at the end of a sentence takes
# the full stop with it. Our "▢." never occurred.

# %% [markdown]
# Here are the whole texts with their probabilities:

# %% tags=["trained"]
for name, text in {"greedy": write(damaged), "4 beams": write(damaged, num_beams=4)}.items():
    print(f"{name:<8} probability {probabilities(text).prod():.2f}   {text}")

# %% [markdown]
# The beams found the likelier text. It need not be the better one. The paper uses five beams (section 5.3). For stories
# the likeliest text is often the dullest (Holtzman et al. 2020).
#
# ## What the cache saves
#
# Your loop computes all earlier tokens again in each step. It need not: their keys and values have not changed, because
# a causal token never sees what comes after it. So they are kept (in a *cache*), and so are those of the text that was
# read. Then a step computes a single token. Counted for BART-base, which has read a hundred tokens:

# %% tags=["folded"]
with torch.device("meta"):  # shapes without numbers: enough to count
    base = minibert.build("bart-base").eval()
    text = torch.zeros(1, 100, dtype=torch.long)
    bert = minibert.build("bert-base-uncased")
bert_size = minibert.count_parameters(bert)
across = sum(minibert.count_parameters(block.cross_attention) for block in base.decoder.blocks)
more_words = base.embeddings.word.weight.numel() - bert.embeddings.word.weight.numel()
side, causal = base.embeddings.decoder, causal_mask(100, text.device)
encoded = base.encode(text).last_hidden_state


def nothing_kept():  # both sides from the start
    base(text, decoder_input_ids=text)


def encoder_kept():  # the decoder from the start
    x = base.embeddings(text, Layout(), side)
    base.decoder(x, Layout(), causal, base.decoder.remember(encoded, Layout()))


decoding = base.start_decoding(text)
decoding.memory.before = []
base.decoder(base.embeddings(text[:, 1:], Layout(), side), Layout(), causal[..., 1:, 1:], decoding.memory)
decoding.length = 99  # so many are in the cache


def all_kept():  # only the new token
    decoding.read([0])


operations = {}
ways = {"nothing kept": nothing_kept, "encoder kept": encoder_kept, "keys, values too": all_kept}
for name, run in ways.items():
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        run()
    operations[name] = counter.get_total_flops() / 1e9
scoring = 2 * base.embeddings.word.weight.numel() / 1e9  # of one token, for the whole vocabulary
unit = "billion operations; fewer is better"
plots.bars(operations, unit, "The hundredth token, computed in three ways", digits=2)

# %% [markdown]
# With everything kept, the blocks need {{operations["nothing kept"] / operations["keys, values too"] | .0f}} times
# fewer operations than with nothing kept, and the words are the same. (With the scores of all
# {{base.config.vocab_size | ,}} words for the new token, {{scoring | .2f}} billion in each way, it is
# {{(operations["nothing kept"] + scoring) / (operations["keys, values too"] + scoring) | .0f}} times.) The price is
# memory: two vectors for each token, in each block. With beams, each beam has its own.
#
# ## The claims
#
# "About ten percent more parameters than BERT" (section 2.1). Counted: {{claims.results(["B2"])[0].ours}}; bart-base
# has {{minibert.count_parameters(base) | ,}}. In bart-base the cross-attention has {{across / 1e6 | .1f}} million,
# {{across / bert_size | .0%}} of a BERT-base. The rest is mostly the vocabulary: it is RoBERTa's, and its table is
# {{more_words / 1e6 | .1f}} million larger than BERT's.
#
# "It matches the performance of RoBERTa" on tests of understanding (abstract). To classify a text, BART reads it in the
# encoder *and* in the decoder, and a classifier reads the decoder's vector of the last token, which has seen all of it
# (section 3.1). In Table 2 the two models are within a few tenths of each other, except on STS-B (how similar are two
# sentences?), where BART is {{92.4 - 91.2 | .1f}} points lower, and CoLA (is a sentence grammatical?),
# {{68.0 - 62.8 | .1f}} lower.
#
# And it writes, which RoBERTa does not. Its summaries of news have {{44.16}} points of `ROUGE-1`, which counts the
# words that a summary shares with a person's; the first three sentences of the text have {{40.42}} (CNN/DailyMail,
# Table 3). Our own small models: `minibert claims B1`.
#
# ## What could go wrong
#
# - **The decoder reads the labels without the shift by one step**, or without a causal mask. It sees the answer. The
#   loss falls to zero, and it writes nonsense.
# - **Padding is looked at** in the cross-attention. The mask is that of the *text that is read*, for the keys.
# - **One mask for each missing word.** Then the model is told the number, and the task is the same as BERT's.
# - **A beam that begins as copies of itself.** All beams would stay equal; only one may count in the first step.
# - **A cache that is not sorted with its beams.** When beams change places, their keys must too.
# - **Fresh weights that are too small.** Set `initializer_range` back to its default and train again. Does the model
#   still learn the language? Does it still copy what it has read?
#
# ## Exercises
#
# Two challenges: the two attentions of a decoder block, and one step of beam search.

# %% exercise="causal-cross-attention"

# %% exercise="beam-step"

# %% [markdown]
# **One beam step by hand**, for later. Two beams, three words and the end. All continuations are in one row, so that
# the best of them can belong to any beam. ($K$ counts beams here. Why the best $2K$? Each beam has only one
# continuation that ends its text, so at most $K$ of the $2K$ end, and at least $K$ are left to go on.)

# %% fold="By hand" tags=["folded"]
totals = torch.tensor([-0.5, -0.9])  # (K,), of each beam so far
log_probs = torch.tensor([[0.6, 0.2, 0.12, 0.08], [0.1, 0.1, 0.1, 0.7]]).log()  # (K, V); the last one ends
sums = totals[:, None] + log_probs  # (K, V)
best = sums.flatten().topk(4)  # 2 K of K · V
going = 0  # how many go on; the number of beams stays K
for rank, (total, index) in enumerate(zip(best.values.tolist(), best.indices.tolist(), strict=True)):
    beam, word = divmod(index, log_probs.shape[1])
    fate = "is finished" if word == 3 and rank < 2 else "goes on" if word != 3 and going < 2 else "is dropped"
    going += fate == "goes on"
    print(f"beam {beam}, word {word}: {total:.2f} {fate}")

# %% [markdown]
# ## Your BART
#
# The trained weights stay, and your parts that have passed now do the work: your attention, your encoder block, your
# causal mask, your decoder. Missing parts come from the library. The text that it writes must be the same, word for
# word:

# %% tags=["trained"]
damaged = "then she ▢ in the kitchen. first my mother found a new letter."
the_librarys = write(damaged)
my = minibert.mine(model)  # the same model, now made of your parts; print(my) lists them
print(write(damaged))
print("as the library's:", write(damaged) == the_librarys)

# %% [markdown]
# ## In short
#
# - An encoder reads in both directions, a decoder writes in one; the cross-attention connects them.
# - Infilling replaces a span of any length by one mask: the model must also find out how much is missing.
# - In training, all tokens are predicted at once, from the text one step late. In use, the decoder writes one token
#   after another.
# - Beam search finds likelier texts than greedy search. The cache saves most of the computing and changes no result.
#
# **To read.** Lewis et al. 2020, *BART: Denoising Sequence-to-Sequence Pre-training for Natural Language Generation,
# Translation, and Comprehension*, sections 2 and 5. Then [minibert/models/bart.py](../minibert/models/bart.py),
# [infilling.py](../minibert/training/infilling.py) and [generation.py](../minibert/generation.py).
#
# **Next:** [the claims, checked](15_the_claims_checked.ipynb).
