# %% [markdown]
# # RoBERTa: the same model, another recipe
#
# > How much better does a BERT become if nothing changes but its training?
#
# RoBERTa is a BERT. Its blocks are BERT's blocks, and you could load its weights into the encoder that you built in
# [lesson 04](04_encoder_block.ipynb). What its authors changed is the recipe: more text, larger batches, longer
# training, no sentence pairs, fresh masks. They report what each change brings. Here are the remaining errors on MNLI
# (does one sentence follow from another?) of models as large as BERT-large:

# %% tags=["folded"]
import random

import torch
from torch.nn import functional as F

import minibert
from minibert import plots
from minibert.training.data import load_reviews
from minibert.training.objectives import candidates, choose_tokens, corrupt
from minibert.training.pairs import full_sentences, nsp_pairs, split_sentences

with torch.device("meta"):  # shapes without numbers: enough to count
    bert, roberta = minibert.build("bert-base-uncased"), minibert.build("roberta-base")
bert_size, size = minibert.count_parameters(bert), minibert.count_parameters(roberta)
# Batch times steps: RoBERTa's first row in Table 4 of Liu et al. 2019, against BERT's.
SEQUENCES = 8_000 * 100_000 / (256 * 1_000_000)
TOKENS = SEQUENCES * 512 / (0.9 * 128 + 0.1 * 512)  # the lengths: Devlin et al. 2019, appendix A.2

# %%
# Accuracy on MNLI in percent. Liu et al. 2019, Table 4.
MNLI = {
    "BERT-large": 86.6,
    "RoBERTa: similar text, almost ten times the tokens": 89.0,
    "ten times as much text, the same steps": 89.3,
    "three times as many steps": 90.0,
    "five times as many steps": 90.2,
}
errors = {name: 100 - right for name, right in MNLI.items()}
plots.bars(errors, "errors in 100 questions; fewer is better", "A new recipe, then more text, then more steps")

# %% [markdown]
# A quarter of BERT's errors is gone, and no layer was added. The largest step is the first one, with nearly the same
# text. RoBERTa reads {{SEQUENCES | .1f}} times as many sequences, and all of them have {{512}} tokens (section 3.1).
# BERT read only {{128}} at a time in nine tenths of its steps (Devlin et al. 2019, appendix A.2). Together that is
# {{TOKENS | .1f}} times as many tokens, by a better recipe. So BERT had been trained too little. This lesson goes
# through the recipe. No weights of a RoBERTa can be fetched here; where a model is only built, and not trained, the
# text says so.
#
# ## What is the same, counted

# %%
rows = {"blocks": lambda m: m.encoder, "pooler": lambda m: m.pooler, "words": lambda m: m.embeddings.word}
rows |= {"positions": lambda m: m.embeddings.position, "token types": lambda m: m.embeddings.token_type}
print(f"{'':<12} {'BERT-base':>12} {'RoBERTa-base':>13}   table")
for name, part in rows.items():
    a, b = minibert.count_parameters(part(bert)), minibert.count_parameters(part(roberta))
    table = part(roberta).weight.shape if hasattr(part(roberta), "weight") else ()
    print(f"{name:<12} {a:>12,} {b:>13,}   {' × '.join(map(str, table))}")
print(f"{'all':<12} {bert_size:>12,} {size:>13,}")

# %% [markdown]
# (The norm of the embeddings is in the sum only.) The blocks have the same parameters. The difference,
# {{(size - bert_size) / 1e6 | .1f}} million, is almost all in the embedding table of the words. Three small things
# differ around the blocks, and each of them is easy to get wrong: the vocabulary, the token types and the positions.
#
# ## Bytes, not words
#
# RoBERTa reads **byte-level BPE** (section 4.4; [lesson 05](05_words_into_pieces.ipynb) builds it). Any text is a
# sequence of bytes, so nothing is ever unknown. A space belongs to the word after it, and is shown as `Ġ`. The merges
# can be fetched, because they were published with an older model (Radford et al. 2019, section 2.2):

# %%
tok = minibert.load_tokenizer("gpt2-bpe")
pair = tok.encode("A quiet film.", "It stays with you 🙂.")
print(pair.tokens)
print("types:", pair.type_ids)
special = ("<s>", "<pad>", "</s>", "<unk>")
print("ids of", special, "are", [tok.tokens.index(token) for token in special])

# %% [markdown]
# The smiley became one piece of several bytes. `<s>` and `</s>` do the work of `[CLS]` and `[SEP]`, and between two
# texts there are two `</s>`. The token types are all the same: the model has no table for a second one. (So
# `token_type_ids` with a one in them are an error here.) Keep in mind that **padding has the id one**: in BERT it is
# zero.
#
# Is this better than word pieces? Not by the scores: the authors found it slightly worse on some tasks, and chose it
# because one encoding for every text is worth more (section 4.4).
#
# ## Positions that start late
#
# Now the detail that most people get wrong. A BERT gives the places of a text the positions $0, 1, 2, \ldots$ RoBERTa
# numbers the *tokens*, leaves the padding out, and starts at `padding_idx + 1`. The row number `padding_idx` of the
# position table is for the padding. Here are three texts; the third one is padded in front:

# %%
batch = tok(["A quiet film that stays.", "Two hours.", "Never again."])
ids = batch["input_ids"].clone()
pad = int((ids[2] == tok.pad_id).sum())
ids[2] = ids[2].roll(pad)  # the same text, with its padding in front
tiny = minibert.build("tiny-roberta", seed=0).eval()  # not trained
for row in ids:
    print([tok.tokens[i] for i in row])

places = [f"place {place}" for place in range(ids.shape[1])]
title = "The row of the position table that each token gets"
plots.grid(tiny.position_ids(ids), ["text 0", "text 1", "text 2"], places, title, digits=0)

# %% [markdown]
# Read the last row: three tokens of padding get the row one, and the text begins at two, as the others do. So the place
# of the padding makes no difference to a RoBERTa. For a BERT it matters, so its tokenizers pad at the end.
#
# Why? In the authors' software, fairseq, each table has one row for padding, and the real entries are numbered from
# there on. The published weights were trained that way, so the rule has to stay. It explains an odd number in the
# config: the table has {{roberta.config.max_position_embeddings}} rows for texts of {{roberta.config.max_length}}
# tokens. Row one is for padding, and row zero is never used: $514 - 2 = 512$.
#
# Two details. The numbers come from the *ids*, and not from the attention mask. And a text must not be longer than the
# rows that are left, although the number in the config suggests that it may:

# %%
try:
    tiny(torch.full((1, roberta.config.max_position_embeddings), 5))
except minibert.MinibertError as error:
    print(error)

# %% [markdown]
# ## No pairs: full sentences
#
# BERT learns from pairs of segments, and predicts whether the second follows the first (NSP). RoBERTa drops the task,
# and with it the pairs. It fills each input with whole sentences, one after another, until no further one fits
# (*full-sentences*, section 4.2). How much text does an input then contain? Measured on film reviews:

# %%
room = 128
minilm_tok = minibert.load_tokenizer("minilm-l6")  # word pieces for all three, to compare like with like
reviews = [review.text for review in load_reviews("imdb").train[:150]]
documents = [[minilm_tok.ids(sentence) for sentence in split_sentences(text)] for text in reviews]
sentences = [(a, b) for document in documents for a, b in zip(document[::2], document[1::2], strict=False)]
pairs = nsp_pairs(documents, room, random.Random(0))
inputs = {
    "two sentences": [min(len(a) + len(b), room) for a, b in sentences],
    "two segments, as in BERT": [len(pair.first) + len(pair.second) for pair in pairs],
    "full sentences": [len(one) for one in full_sentences(documents, room, minilm_tok.sep_id)],
}
filled = {name: sum(lengths) / len(lengths) for name, lengths in inputs.items()}
plots.bars(filled, f"tokens in an input, of {room}; more is better", "How full the inputs are", digits=0)

# %% [markdown]
# Full sentences are hardly fuller than BERT's segments. Only pairs of single sentences waste room. And what does it
# bring? SQuAD, second version: find the answer in a passage, or say that there is none (F1). SST: is a
# sentence positive? RACE: school reading tests.

# %%
# Liu et al. 2019, Table 2: F1, accuracy, accuracy, accuracy; each the median of five runs.
TABLE_2 = {
    "two segments, NSP": (78.7, 84.0, 92.9, 64.2),
    "two sentences, NSP": (76.2, 82.9, 92.1, 63.0),
    "full sentences": (79.1, 84.7, 92.5, 64.8),
    "of one document": (79.7, 84.7, 92.7, 65.6),
}
tasks = ["SQuAD 2", "MNLI", "SST-2", "RACE"]
plots.grid(list(TABLE_2.values()), list(TABLE_2), tasks, "Table 2 of the paper", digits=1, colour=False)

# %% [markdown]
# Short inputs do harm: two single sentences are the worst row. Without NSP, and with inputs about as full, three of
# four scores are a little better, and sentiment (SST) is a little worse. The paper says no more than that: removing NSP
# "matches or slightly improves" (section 4.2). (Inputs that stop at the end of a document are the best row. RoBERTa
# still uses the other way, because its batches are then all of one size.) What our own small models say is in the
# ledger: `minibert claims R2`.
#
# ## Dynamic masking
#
# BERT's texts were masked once, in advance, in ten copies. In forty passes over the data each mask was seen four times
# (section 4.1). RoBERTa draws a new mask each time a text is read. You have done both in [lesson
# 07](07_pretraining.ipynb). In the paper's Table 1 two of three scores are better, SQuAD by {{78.7 - 78.3 | .1f}} and
# SST by {{92.9 - 92.5 | .1f}} points, and MNLI is worse by {{84.3 - 84.0 | .1f}}. The paper calls it "comparable or
# slightly better" (section 4.1), and you should not claim more. It matters more when a text is read very often; see
# `minibert claims R1`.
#
# ## Larger batches
#
# BERT took a step after {{256}} sequences, RoBERTa after {{8000 | ,}}. A gradient is a mean over the masked words of a
# batch. With few of them it is noisy: two batches push the weights in different directions. How different? We ask
# MiniLM-L6, a real and trained BERT, and the same model with fresh weights. The gradient of one matrix is computed in
# **micro-batches** of four sentences:


# %%
def gradients_of(model):
    """The gradient of each micro-batch, from the sum of its losses: (micro-batches, numbers in the matrix)."""
    model.eval().requires_grad_(False)
    matrix = model.backbone.encoder.blocks[-1].feed_forward.contract.weight.requires_grad_()
    generator, found = torch.Generator().manual_seed(0), []
    for start in range(0, len(texts), 4):
        given = minilm_tok(texts[start : start + 4], max_length=40)
        may = candidates(given["input_ids"], minilm_tok.special_ids, given["attention_mask"])
        chosen = choose_tokens(may, generator=generator)
        ids, vocabulary = given["input_ids"], len(minilm_tok.tokens)
        seen, labels = corrupt(ids, chosen, minilm_tok.mask_id, vocabulary, generator)
        loss = model(seen, given["attention_mask"], labels=labels).loss * chosen.sum()
        found.append(torch.autograd.grad(loss, matrix)[0].flatten())
    return torch.stack(found)


texts = [review.text for review in load_reviews("rotten-tomatoes").train[:256]]
trained = minibert.from_pretrained("minilm-l6-mlm", head="masked-lm")
fresh = minibert.build(trained.config, head="masked-lm", seed=0)
as_much_noise = {}  # the number of sentences at which a batch has as much noise as signal
for name, model in {"fresh": fresh, "trained": trained}.items():
    gradients = gradients_of(model)
    products = gradients @ gradients.T  # (micro-batches, micro-batches)
    own, count = products.diagonal().sum(), len(products)
    signal = (products.sum() - own) / (count * (count - 1))  # what two different micro-batches have in common
    noise = own / count - signal  # and what is in one of them alone
    as_much_noise[name] = 4 * (noise / signal).item()
    about = f"{round(as_much_noise[name], -1):,.0f} sentences"
    print(f"{name:<8} {tuple(gradients.shape)}, as much noise as signal at about {about}")

# %% [markdown]
# When $n$ micro-batches are added up, what they have in common becomes $n$ times as long, and the noise only $\sqrt n$
# times. So the two numbers above give the cosine between the gradients of two batches of any size $b$:
#
# $$\cos = \frac{b}{b + b_{1/2}}$$
#
# Here $b_{1/2}$ is the size at which the noise equals the signal: {{round(as_much_noise["fresh"], -1) | .0f}} sentences
# for the fresh model, {{round(as_much_noise["trained"], -1) | .0f}} for the trained one. With that size the cosine is a
# half.

# %%
agreement = {}
for sentences in (16, 256, 2_000, 8_000):
    for name, equal_at in as_much_noise.items():
        agreement[f"{name}, {sentences:,} sentences"] = sentences / (sentences + equal_at)
unit = "cosine between two batches; 1: they agree"
marked = [name for name in agreement if name.startswith("trained")]
plots.bars(agreement, unit, "Larger batches agree on the direction", digits=2, marked=marked)

# %% [markdown]
# A fresh model needs few sentences to find a direction. A trained one needs many, probably because what is left to
# learn is rare. Then a larger batch allows a larger learning rate. But at some size two batches agree, and a still
# larger one only costs computing. (One matrix, short sentences: the sizes are not those of the paper. McCandlish et al.
# 2018 have the theory.) And because gradients can be added up, a machine with memory for four sentences can train with
# batches of thousands.
#
# In the paper the number of sequences stays the same, and only the size of the steps changes (Table 3).
# Perplexity is e to the power of the loss.

# %%
# Liu et al. 2019, Table 3: batch, steps, learning rate, perplexity of held-out words (lower is better), MNLI.
TABLE_3 = (
    (256, 1_000_000, 1e-4, 3.99, 84.7),
    (2_000, 125_000, 7e-4, 3.68, 85.2),
    (8_000, 31_000, 1e-3, 3.77, 84.6),
)
for sequences, steps, rate, perplexity, accuracy in TABLE_3:
    read = sequences * steps / 1e6
    print(f"{sequences:>5} × {steps:>9,} = {read:.0f} M sequences, rate {rate:.0e}: {perplexity} {accuracy}")

# %% [markdown]
# The middle row is the best. The largest batch is no better than BERT's on MNLI; the authors use it because it is
# easier to spread over many machines (section 4.3). So "larger batches are better" is true up to a point. Our own
# measurement: `minibert claims R3`.
#
# ## What to make of it
#
# Each difference in the recipe is small. Together with many more tokens, ten times the text and five times the steps,
# they give the picture at the top. This paper teaches something about comparisons: a new model that was trained longer,
# on more text, may be better for that reason alone. Whenever you read that one model beats another, look first for what
# else was different.
#
# ## What could go wrong
#
# - **Positions from zero.** Each token gets the vector of another place. There is no error, but the numbers are wrong,
#   and with published weights the answers are wrong too. Only a comparison with known numbers finds it.
# - **Positions counted by place**, with an offset of two. Right for texts padded at the end, wrong for all others.
# - **Positions from the attention mask.** Equal in most cases; but a mask that hides a real token would shift all the
#   others.
# - **Padding taken to be zero.** Zero is `<s>`: the first token disappears.
# - **A mean of means.** Micro-batches have different numbers of masked words. Add up the sums and divide once;
#   otherwise a masked word counts for more in a micro-batch with few masked words.
# - **Dynamic masking with one seed for each text.** That is static masking.
#
# ## Exercise
#
# Number the tokens yourself. The picture shows the result; the code for it is not above.

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
# ## In short
#
# - RoBERTa's blocks are BERT's. The embedding table of the words is larger, token types and NSP are gone.
# - Positions are numbered from `padding_idx + 1`, real tokens only, from the ids.
# - Inputs without pairs, dynamic masks and larger batches each bring little. More text and more tokens read, with all
#   of these, bring a lot.
# - A batch can be larger than memory: add up the gradients of micro-batches, weighted by their words.
#
# **To read.** Liu et al. 2019, *RoBERTa: A Robustly Optimized BERT Pretraining Approach*, sections 4 and 5: how
# to vary one thing at a time. Then [minibert/models/roberta.py](../minibert/models/roberta.py):
# the only method in it that BERT does not have is the one you wrote.
#
# **Next:** [MobileBERT](12_mobilebert.ipynb), which changes every part of the block.
