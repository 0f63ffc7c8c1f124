# %% [markdown]
# # XLNet: every order, and no mask
#
# > Two words of a sentence are missing. How can a model guess them *together*?
#
# You read "▢ ▢ is a city", and you know only two cities: *New York* and *Los Angeles*. You would say one or the other,
# and never *New Angeles*. Now ask a BERT. A tiny one was trained on these two sentences just now, with masked words, in
# the first cell. Here is the probability that it gives to each pair of words:

# %% tags=["folded", "trained"]
import itertools
import math

import torch
from torch.utils.flop_counter import FlopCounterMode

import minibert
from minibert import plots
from minibert.models.bert import BertConfig
from minibert.models.relative import shift
from minibert.models.xlnet import XLNetConfig
from minibert.training.permutation import factorisation_order, order_mask, targets

WORDS = ["<pad>", "<mask>", "new", "york", "los", "angeles", "is", "a", "city"]
ID = {word: number for number, word in enumerate(WORDS)}
TEXTS = ("new york is a city", "los angeles is a city")
CITIES = torch.tensor([[ID[word] for word in text.split()] for text in TEXTS])
FIRST, SECOND = ("new", "los"), ("york", "angeles")
sizes = {"vocab_size": len(WORDS), "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
sizes |= {"intermediate_size": 64, "pad_token_id": 0, "hidden_dropout_prob": 0.0}


def learn(model, losses, steps=300):
    """Train a model on the two sentences; each step hides other words."""
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3)
    schedule = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.02, steps)
    generator = torch.Generator().manual_seed(0)
    for _ in range(steps):
        ids = CITIES[torch.arange(32) % 2]  # (B, S), half of each sentence
        chosen = (torch.rand(16, 5, generator=generator) < 0.5).repeat_interleave(2, dim=0)  # equal in both
        optimiser.zero_grad()
        losses(model, ids, chosen, generator).backward()
        optimiser.step()
        schedule.step()
    return model.eval()


def masked_words(model, ids, chosen, generator):
    return model(ids.masked_fill(chosen, ID["<mask>"]), labels=ids.masked_fill(~chosen, -100)).loss


bert = minibert.build(BertConfig(**sizes, attention_probs_dropout_prob=0.0), head="masked-lm", seed=0)
bert = learn(bert, masked_words)

# %% tags=["trained"]
hidden = CITIES[:1].clone()
hidden[:, :2] = ID["<mask>"]
with torch.no_grad():
    p = bert(hidden).logits.softmax(dim=-1)[0]  # (S, V)
p_first, p_second = p[0, [ID[word] for word in FIRST]], p[1, [ID[word] for word in SECOND]]
of_bert = torch.outer(p_first, p_second)
plots.grid(of_bert, FIRST, SECOND, "What a BERT thinks of ▢ ▢ is a city", high=0.6)

# %% [markdown]
# It has learned well that the first word is *new* or *los*, and the second *york* or *angeles*. But it guesses each
# masked word as if the others did not matter, and the probability of a pair is a product. A quarter for each pair is
# the best that such a model can do *in one pass* (Yang et al. 2019, section 2.6, discuss the words *New York* in this
# sentence). There is a second fault: no real text contains `[MASK]`, so a BERT is trained on what it will never read
# (section 2.1).
#
# ## One word after another
#
# A language model does not have these faults. It predicts a text word by word, each from all the words before it:
#
# $$p(x) = \prod_{t=1}^{T} p(x_t \mid x_{<t})$$
#
# But it looks to the left only. XLNet keeps the product and changes the order. Any order of the words will do, because
# the chain rule is true for each. Call it $z$, a **factorisation order**: $z_t$ is the place whose turn is the $t$-th,
# and $z_{<t}$ are the places before it. Train on a random one each time (section 2.2, equation 3):
#
# $$\max_\theta \; \mathbb{E}_{z \sim Z_T} \Big[\, \sum_{t=1}^{T} \log p_\theta(x_{z_t} \mid x_{z_{<t}}) \Big]$$
#
# By hand, for five words and two orders:

# %%
sentence = ["new", "york", "is", "a", "city"]


def factors(order):
    """The product, written out. order: the places in the order of their turns."""
    told = []
    for turn, place in enumerate(order):
        known = [sentence[before] for before in sorted(order[:turn])]
        told.append(f"p({sentence[place]} | {', '.join(known) or 'nothing'})")
    return " · ".join(told)


print(factors((0, 1, 2, 3, 4)))
print(factors((4, 3, 0, 2, 1)))

# %% [markdown]
# In the second line *york* is predicted last: from *new* on its left, and three words on its right. Over all
# {{len(list(itertools.permutations(range(5))))}} orders each word is predicted from every subset of the others. So the
# model learns to use both sides, without any mask token, and what is predicted later may depend on what was predicted
# before.
#
# ## The order is a mask
#
# The words are *not* shuffled. The text stays as it is, and each word keeps its position. A mask says who may look at
# whom. The library's `order_mask` makes it from the turns; as in the released code, a one means *may not look*. This is
# the mask of the second order. Row: who looks. Column: who is looked at.

# %%
turns = torch.tensor([[2, 4, 3, 1, 0]])  # the turn of each word: *city* comes first, *york* last
may_not = order_mask(turns)  # (B, S, S), a 1 where a word may not look
plots.masks({"who may look at whom": may_not[0] == 0}, sentence, title="The turns: city, a, new, is, york")

# %% [markdown]
# Read the row of *york*: it sees all the others, because its turn is the last. *city* sees nothing, and then attention
# gives zeros. And no word sees itself, or it could copy its own answer.
#
# ## Two streams
#
# To predict *york*, the model must know *that* place one is asked for, but not *which word* is there. And to help with
# later words, the vector of place one must contain its word. One vector cannot do both. So each place has two (section
# 2.3, the two update equations after equation 4):
#
# | | the paper | knows its place | knows its word | sees |
# |---|---|---|---|---|
# | content stream | $h_{z_t}$ | yes | yes | $z_{\le t}$, itself too |
# | query stream | $g_{z_t}$ | yes | **no** | $z_{<t}$ |
#
# $$g_{z_t} \leftarrow \text{Attention}(Q = g_{z_t},\; KV = h_{z_{<t}}) \qquad
# h_{z_t} \leftarrow \text{Attention}(Q = h_{z_t},\; KV = h_{z_{\le t}})$$
#
# So there are two masks. Write both, from the turns alone:

# %% exercise="permutation-mask"

# %% [markdown]
# Below, after your own attempt: both masks. They differ in the diagonal.

# %% tags=["folded"] fold="By hand"
looker, looked_at = turns[:, :, None], turns[:, None, :]  # (B, S, 1) and (B, 1, S)
may_query = looked_at < looker  # (B, S, S)
may_content = may_query | torch.eye(5, dtype=torch.bool)
print("as the library's:", torch.equal(~may_query, order_mask(turns).bool()))
streams = {"query stream": may_query[0], "content stream": may_content[0]}
plots.masks(streams, sentence, title="One order, two masks")

# %% [markdown]
# Both streams use the same weights, and both look at $h$. At the start $h$ is the word's embedding, and $g$ is one
# learned vector, the same at all places. It learns its place from the distances to the words it looks at (below). A
# word is predicted from its $g$. Does that leak? The turns are still *city*, *a*, *new*, *is*, *york*. Change *new*,
# and see which vectors change. The weights are random here; a leak would show with any weights:

# %%
large = {**sizes, "initializer_range": 0.3}  # large random weights, so that every influence can be seen
untrained = minibert.build(XLNetConfig(**large), seed=1).eval()
every = targets(CITIES[:1], torch.ones(1, 5).bool())["target_mapping"]  # (B, P, S): all five are asked for
ids, other = CITIES[:1], CITIES[:1].clone()
other[0, 0] = ID["los"]
with torch.no_grad():
    outputs = [untrained(x, perm_mask=order_mask(turns), target_mapping=every) for x in (ids, other)]
changes = {
    name: (getattr(outputs[0], state) - getattr(outputs[1], state)).abs().amax(dim=-1)[0]
    for name, state in (("query stream, g", "query_state"), ("content stream, h", "last_hidden_state"))
}
print("query", tuple(outputs[0].query_state.shape), " content", tuple(outputs[0].last_hidden_state.shape))
title = "Which vectors change with the word new"
plots.grid(torch.stack(list(changes.values())), list(changes), sentence, title, digits=1)

# %% [markdown]
# Of *new* itself only $h$ changes. Its $g$ does not, so the word cannot be read off. The turns of *is* and *york* come
# later: they may see *new*, and both their streams change. The turns of *a* and *city* came earlier, and nothing of
# theirs changes. If you find a number above zero anywhere else, you have a leak, and a training loss that looks far too
# good.
#
# But $g$ must know its place. Here are two targets that see the same words: if $g$ did not know its place, it would
# give the same answer for both.

# %%
same_view = torch.ones(1, 5, 5, dtype=torch.int8)
same_view[:, :2, 2:] = 0  # the places 0 and 1 see *is a city*, and neither each other nor themselves
with torch.no_grad():
    g = untrained(ids, perm_mask=same_view, target_mapping=every[:, :2]).query_state[0]
print(f"largest difference between g of place 0 and of place 1: {(g[0] - g[1]).abs().max():.2f}")

# %% [markdown]
# ## Guessing together
#
# Now train a tiny XLNet on the two sentences, as long as the BERT above. In each step some words are chosen, and come
# last in a random order. Then the probability of a pair is $p(\text{first}) \cdot p(\text{second} \mid
# \text{first})$. To be fair, ask the BERT of the top in two steps as well: write its first word into the text, and then
# ask for the second.


# %% tags=["trained"]
def permuted_words(model, ids, chosen, generator):
    turns = factorisation_order(torch.ones_like(ids), chosen, generator=generator)  # the chosen ones come last
    return model(ids, perm_mask=order_mask(turns), **targets(ids, chosen)).loss


xlnet = learn(minibert.build(XLNetConfig(**sizes), head="permutation-lm", seed=0), permuted_words)
turns = torch.tensor([[3, 4, 0, 1, 2]])  # *is a city* is known, then the first word, then the second
of_xlnet = torch.zeros(2, 2)
for (i, first), (j, second) in itertools.product(enumerate(FIRST), enumerate(SECOND)):
    guess = torch.tensor([[ID[first], ID[second], *CITIES[0, 2:].tolist()]])
    asked = targets(guess, torch.tensor([[True, True, False, False, False]]))
    with torch.no_grad():
        p = xlnet(guess, perm_mask=order_mask(turns), **asked).logits.softmax(dim=-1)[0]  # (P, V)
    of_xlnet[i, j] = p[0, ID[first]] * p[1, ID[second]]

twice = torch.zeros(2, 2)
for i, first in enumerate(FIRST):
    told = hidden.clone()
    told[0, 0] = ID[first]  # the first word is written in, the second is still masked
    with torch.no_grad():
        p = bert(told).logits.softmax(dim=-1)[0, 1]  # (V,)
    twice[i] = p_first[i] * p[[ID[word] for word in SECOND]]

# %% tags=["trained"]
panels = {"BERT, asked once": of_bert, "BERT, asked twice": twice, "XLNet": of_xlnet}
plots.grids(panels, FIRST, SECOND, 2, "Two words, guessed separately and together", high=0.6, arrows=False)

# %% [markdown]
# XLNet says *New York* or *Los Angeles*, and hardly anything else. Asked twice, the BERT is as good, even a little
# better. So it has learned which words go together, from the steps in which one of the two was visible. What it lacks
# is in the loss: if both are hidden, they are scored separately, and the product is not the probability of the pair. In
# XLNet's loss each chosen word sees those chosen before it. So each step trains the joint probability, and no `[MASK]`
# is needed. (Two sentences are no benchmark.)
#
# In real training not all words are predicted. The first words of an order would be predicted from almost nothing, and
# learning would be slow. So only the last ones are, about one in $K$ ("partial prediction", section 2.3, equation 5;
# $K = 6$ in section 3.1).
#
# **A good place to stop for tonight.** What follows is how XLNet replaces positions by distances.
#
# ## Distances in place of positions
#
# If an order says who looks at whom, positions must come from elsewhere. XLNet takes over the relative positions of
# Transformer-XL (section 2.4): a score depends on how far apart two tokens are. For query $i$ and key $j$, with a
# sinusoid $R_{i-j}$ for the distance (Dai et al. 2019, section 3.3):
#
# $$\text{score}_{ij} = \underbrace{q_i^\top k_j}_{\text{word, word}} +
# \underbrace{q_i^\top W_R R_{i-j}}_{\text{word, distance}} +
# \underbrace{u^\top k_j}_{\text{any, word}} + \underbrace{v^\top W_R R_{i-j}}_{\text{any, distance}}$$
#
# $u$ and $v$ are learned, and are the same for all queries. If a whole text is moved, its distances do not change, and
# neither do its vectors. A BERT's vectors change:

# %% tags=["trained"]
padded = torch.cat([torch.zeros(1, 3, dtype=torch.long), ids], dim=1)  # three tokens of padding in front
mask = (padded != 0).long()
print("largest change when the text is moved by three places:")
with torch.no_grad():
    for name, model in (("XLNet, untrained", untrained), ("BERT of the top", bert.backbone)):
        moved = model(padded, mask).last_hidden_state[:, 3:]
        print(f"  {name:<17} {(moved - model(ids).last_hidden_state).abs().max():.3f}")

# %% [markdown]
# ### The shift
#
# Computing $W_R R_{i-j}$ for each pair would give $S \cdot T$ vectors. But there are only $T + S - 1$ different
# distances, from $T - 1$ down to $1 - S$. So one product gives every query's score with every distance, and then each
# number has to be moved to its key. As in the released code there is one column more, the first one, for the distance
# $T$. Here the numbers in the cells *are* the distances, so that you can see where they go:

# %%
S = T = 4
by_distance = torch.arange(T, -S, -1).repeat(S, 1)  # (S, T + S): each row T, T - 1, ..., 1 - S
by_key = shift(by_distance)  # (S, T)
rows = [f"query {i}" for i in range(S)]
plots.grid(by_distance, rows, [], "Before: a column for each distance", digits=0)

# %%
plots.grid(by_key, rows, [f"key {j}" for j in range(T)], "After: a column for each key", digits=0)

# %% [markdown]
# After the shift the diagonal is zero: each token is at no distance from itself. Keys before the query have positive
# distances, keys after it negative ones. Each row of the first picture was cut out one place further to the *left*
# than the row above it. No {{T}} is left: no two tokens are so far apart, and the first column is never used. How to
# do this without a loop, and without copying, is a challenge below.
#
# ## Memory (optional)
#
# With distances a model can look at tokens of an *earlier* segment: they are just further away. XLNet keeps what each
# block has read (`mems`), and the next segment looks at that too, without a gradient (section 2.4). If no token looks
# ahead, two segments in a row give the same vectors as the whole text:

# %%
one_way = minibert.build(XLNetConfig(**large, attn_type="uni"), seed=1).eval()
generator = torch.Generator().manual_seed(0)
long_text = torch.randint(2, len(WORDS), (1, 64), generator=generator)  # random ids: only the arithmetic counts
half = long_text.shape[1] // 2
with torch.no_grad():
    whole = one_way(long_text).last_hidden_state
    first = one_way(long_text[:, :half])
    second = one_way(long_text[:, half:], mems=first.mems)
    alone = one_way(long_text[:, half:])
print("mems:", len(first.mems), "tensors of", tuple(first.mems[0].shape))
print(f"second half, with memory:    off by {(second.last_hidden_state - whole[:, half:]).abs().max():.3f}")
print(f"second half, without memory: off by {(alone.last_hidden_state - whole[:, half:]).abs().max():.3f}")

# %% [markdown]
# What does it cost? A memory adds keys, but no queries. Counted, for a segment of {{half}} tokens after memories of
# different length:

# %%
operations = {}
for remembered in (0, 32, 96):
    past = one_way(long_text[:, :1].expand(1, remembered)).mems if remembered else None
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        one_way(long_text[:, half:], mems=past, return_attention=True)  # written out, so that it can be counted
    operations[f"memory of {remembered}"] = counter.get_total_flops() / 1e6
plots.bars(operations, "million operations for 32 tokens; fewer is better", "What a memory costs", digits=2)

# %% [markdown]
# ## Is it better?
#
# The paper's own ablation, base size, accuracy on RACE (Table 6):

# %%
RACE = {  # Yang et al. 2019, Table 6
    "BERT": 64.3,
    "masked words, with Transformer-XL": 65.03,
    "XLNet, K = 7": 66.05,
    "XLNet, K = 6": 66.66,
    "XLNet, K = 6, without memory": 65.55,
}
errors = {name: 100 - right for name, right in RACE.items()}
of_words = {k: RACE[f"XLNet, K = {k}"] - RACE["masked words, with Transformer-XL"] for k in (6, 7)}
of_memory = RACE["XLNet, K = 6"] - RACE["XLNet, K = 6, without memory"]
plots.bars(errors, "errors in 100 questions; fewer is better", "XLNet and its parts, on RACE", digits=2)

# %% [markdown]
# With the same architecture, permuted words are better than masked words: by {{of_words[6] | .2f}} points with $K = 6$,
# and by {{of_words[7] | .2f}} with $K = 7$. With $K = 6$ the memory is worth {{of_memory | .2f}}. (Single runs: the
# paper gives no spread.) And remember [RoBERTa](11_roberta.ipynb), which soon passed the large XLNet's scores with
# masked words and longer training (Liu et al. 2019, Table 4). For our own small models, see `minibert claims X1`.
#
# ## What could go wrong
#
# - **The words are shuffled**, and not the turns. Then the model reads nonsense and learns from it.
# - **The mask the other way round.** `perm_mask` has a one where a token may *not* look; most attention masks have a
#   one where it may.
# - **A target that sees itself.** The loss falls to zero, and nothing is learned. This library refuses it.
# - **The query stream's keys from the query stream.** The query stream looks at $h$. There are no words in $g$.
# - **The shift in the other direction**, or by one too few. Shapes are right, distances are not.
# - **A row without anything to see.** A softmax over nothing is not a number; the first token of each order has such a
#   row.
# - **A gradient through the memory.** Detach it, or training walks back through all earlier segments.
#
# ## Exercises
#
# Two challenges. Their answers are not above.

# %% exercise="two-streams"

# %% exercise="relative-shift"

# %% [markdown]
# **A hunt.** In this box there is a layer with two streams, perhaps with a mistake. Change one token of its content at
# a time, see which rows of the two streams change, and name the mistake.

# %%
box = minibert.hunt("two-streams", seed=1)
box

# %% [markdown]
# **The shift by hand**, to look at when you have it. Written one after another, the numbers stay where they are; only
# the row ends move.

# %% fold="By hand" tags=["folded"]
numbers = by_distance.flatten()  # row after row: S · (T + S) numbers
without_first = numbers[S:]  # drop S of them: S · (T + S - 1) are left
shorter_rows = without_first.view(S, T + S - 1)  # cut anew, in rows that are one shorter
print(shorter_rows)
print("the first T columns are the answer:", torch.equal(shorter_rows[:, :T], by_key))

# %% [markdown]
# ## In short
#
# - Masked words of one pass are guessed independently of each other. Words that are predicted one after another are
#   guessed together, and XLNet's loss trains this.
# - With random factorisation orders, each word is predicted from both sides. The order is a mask; the text is not
#   moved.
# - Two streams: $g$ knows the place, $h$ also the word. Both look at $h$.
# - Scores depend on distances in place of positions, so the model can look at a memory. The shift moves each score to
#   its key.
#
# **To read.** Yang et al. 2019, *XLNet: Generalized Autoregressive Pretraining for Language Understanding*, section 2;
# Dai et al. 2019, *Transformer-XL*, section 3. Then [minibert/models/xlnet.py](../minibert/models/xlnet.py),
# [relative.py](../minibert/models/relative.py) and [permutation.py](../minibert/training/permutation.py).
#
# **Next:** [BART](14_bart.ipynb), which reads in both directions and writes in one.
