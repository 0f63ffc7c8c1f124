# %% [markdown]
# # XLNet: every order, and no mask token
#
# > Two words of a sentence are missing. How can a model guess them *together*?
#
# You read "▢ ▢ is a city", and you know only two cities: *New York* and *Los Angeles*. You would say one or the other,
# and never *New Angeles*. Now ask a BERT: a tiny one, trained on these two sentences with masked words. Here is the
# probability that it gives to each pair of words:

# %% tags=["folded"]
import itertools
import math

import torch

import minibert
from minibert import plots
from minibert.models.bert import BertConfig
from minibert.models.relative import shift
from minibert.models.xlnet import XLNetConfig
from minibert.training.permutation import factorisation_order, order_mask, targets

# %% tags=["folded", "trained"] fold="The two sentences, and how a tiny model learns them"
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
# It has learned which words may come first, and which second. But it guesses each masked word as if the others did not
# matter, so the probability of a pair is a product. A quarter for each pair is the best that such a model can do *in
# one pass* (Yang et al. 2019, section 2.6; its example is *New York is a city*). There is a second fault: no real text
# contains `[MASK]`, so a BERT is trained on what it will never read (section 2.1).
#
# ## One word after another
#
# A language model does not have these faults. It predicts each word from all the words before it (the paper writes $T$
# for our $S$, and this $t$ counts turns):
#
# $$p(x) = \prod_{t=1}^{S} p(x_t \mid x_{<t})$$
#
# But it looks to the left only. XLNet keeps the product and changes the order: the chain rule is true for every order
# of the words. Call it $z$, a **factorisation order**: $z_t$ is the place whose turn is the $t$-th, and $z_{<t}$ are
# the places before it. Each text gets a random one (section 2.2, equation 3):
#
# $$\max_\theta \; \mathbb{E}_{z \sim Z_S} \Big[\, \sum_{t=1}^{S} \log p_\theta(x_{z_t} \mid x_{z_{<t}}) \Big]$$
#
# Written out, for five words and two orders:

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
# In the second line *york* is predicted last, from both sides. Over all
# {{len(list(itertools.permutations(range(5))))}} orders each word is predicted from every subset of the others, and no
# mask token is needed.
#
# ## The order is a mask
#
# The words are *not* shuffled: each keeps its place. A mask says who may look at whom. (From here on, *mask* means an
# attention mask, as in lesson 03, and not the token `[MASK]`.)
#
# **How to read a mask.** In attention, as in all lessons: a row for each query, a column for each key, `True` where the
# query *may* look at the key; hidden scores get the lowest finite number, not $-\infty$ (lesson 03). Only XLNet's own
# `perm_mask` is the other way round, as in the released code: `1` where it may *not*.
#
# Here is the mask of the second order. It needs each place's turn, and `argsort` turns an order into turns:

# %%
order = torch.tensor([[4, 3, 0, 2, 1]])  # z: first the place 4, *city*; last the place 1, *york*
turns = order.argsort()  # (B, S), when each place comes: *new* third, so 2; *york* last, so 4; ...
perm_mask = order_mask(turns)  # (B, S, S), 1 where the row may not look at the column
plots.masks({"who may look at whom": perm_mask[0] == 0}, sentence, title="The order: city, a, new, is, york")

# %% [markdown]
# Read the row of *york*: it sees all the others. *city* sees nothing, and then attention gives zeros. And no word sees
# itself, or it could copy its own answer.
#
# ## Two streams
#
# To predict *is*, the model must know *that* the third place is asked for, but not *which word* is there. But for
# *york*, whose turn is later, the vector of the third place must contain its word. One vector cannot do both. So each
# place has two (section 2.3):
#
# | | the paper | knows its place | knows its word | sees |
# |---|---|---|---|---|
# | content stream | $h_{z_t}$ | yes | yes | $z_{\le t}$, itself too |
# | query stream | $g_{z_t}$ | yes | **no** | $z_{<t}$ |
#
# $$g_{z_t} \leftarrow \text{Attention}(Q = g_{z_t},\; KV = h_{z_{<t}}) \qquad
# h_{z_t} \leftarrow \text{Attention}(Q = h_{z_t},\; KV = h_{z_{\le t}})$$
#
# So there are two masks. Write both from the turns, as XLNet has them: `1` hides.

# %% exercise="permutation-mask"

# %% [markdown]
# Below, after your own attempt: both masks. They differ only on the diagonal.

# %% tags=["folded"] fold="By hand"
looker, looked_at = turns[:, :, None], turns[:, None, :]  # (B, S, 1) and (B, 1, S)
may_query = looked_at < looker  # (B, S, S)
may_content = may_query | torch.eye(5, dtype=torch.bool)
print("as the library's:", torch.equal(~may_query, perm_mask.bool()))
streams = {"query stream": may_query[0], "content stream": may_content[0]}
plots.masks(streams, sentence, title="One order, two masks")

# %% [markdown]
# Both streams use the same weights, and both look at $h$. At the start $h$ is the word's embedding, and $g$ is one
# learned vector, the same at all places; it learns its place from the distances to the words that it looks at (second
# part). So the first of an order, *city* here, does not even learn its place, because it looks at nothing. (This does
# no harm: only the last of an order are predicted, see below.) A word is predicted from its $g$. Does that leak?
# Replace *new* by *los*, and see which vectors change (the weights are random):

# %%
large = {**sizes, "initializer_range": 0.3}  # large random weights, so that every influence can be seen
untrained = minibert.build(XLNetConfig(**large), seed=1).eval()
ids, other = CITIES[:1], CITIES[:1].clone()  # (B, S)
other[0, 0] = ID["los"]
all_five = torch.eye(5)[None]  # (B, P, S), a row for each target, with a 1 at its place: all five are asked for
with torch.no_grad():
    outputs = [untrained(x, perm_mask=perm_mask, target_mapping=all_five) for x in (ids, other)]
changes = {
    name: (getattr(outputs[0], state) - getattr(outputs[1], state)).abs().amax(dim=-1)[0]
    for name, state in (("query stream, g", "query_state"), ("content stream, h", "last_hidden_state"))
}
must_not = torch.tensor([[True, False, False, True, True], [False, False, False, True, True]])  # g, h
print(f"largest change where none may be: {torch.stack(list(changes.values()))[must_not].max():.0e}")
title = "Change of each vector: los in place of new"
plots.grid(torch.stack(list(changes.values())), list(changes), sentence, title, digits=1)

# %% [markdown]
# At *new* itself only $h$ changes. Its $g$ does not, so the word cannot be read off. *is* and *york* come later: they
# may see *new*. *a* and *city* came earlier, and nothing of theirs changes. A number above zero anywhere else would be
# a leak, and the training loss would look far too good.
#
# ## Guessing together
#
# Now train a tiny XLNet on the two sentences, as long as the BERT above. In each step some words are chosen, and come
# last in a random order. Then the probability of a pair is $p(\text{first}) \cdot p(\text{second} \mid
# \text{first})$. To be fair, ask the BERT in two steps, too: write its first word into the text, then ask for the
# second.


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
# better: it has learned which words go together, from the steps in which one of the two was visible. What it lacks is
# in the loss: if both are hidden, they are scored separately. In XLNet's loss each chosen word sees those chosen before
# it, so each step trains the joint probability. (Two sentences are no benchmark.)
#
# In real training, the first words of an order would be predicted from almost nothing. So only the last ones are, about
# one word in six ("partial prediction", section 2.3, equation 5, and section 3.1; the paper calls this number $K$).
#
# **And in use?** After pre-training nothing is predicted, so there is no order, and the query stream is left out
# (section 2.3). Every token looks at every other, as in a BERT, and a head reads $h$. What remains is an encoder with
# distances in place of positions.
#
# **A good place to stop for tonight.** What follows is how XLNet replaces positions by distances.
#
# ## Distances in place of positions
#
# BERT adds a position to each word's embedding. XLNet does not: as in Transformer-XL, each *score* is told how far
# apart its two tokens are (section 2.4). Query $i$ and key $j$ are at the distance $i - j$, positive if the key is on
# the left. In one head of size $K$, before the division by $\sqrt{K}$ (Dai et al. 2019, section 3.3):
#
# $$\text{score}_{ij} = \underbrace{q_i^\top k_j}_{\text{word, word}} +
# \underbrace{q_i^\top W_R R_{i-j}}_{\text{word, distance}} +
# \underbrace{u^\top k_j}_{\text{any, word}} + \underbrace{v^\top W_R R_{i-j}}_{\text{any, distance}}$$
#
# | | shape | what it is |
# |---|---|---|
# | $q_i$, $k_j$ | (K,) | query and key, as always |
# | $R_{i-j}$ | (D,) | sines and cosines of the distance, not learned |
# | $W_R$ | (K, D) | learned; $W_R R_{i-j}$ is the key of a distance |
# | $u$, $v$ | (K,) | learned: what *any* query asks of a word, and of a distance |
#
# Each head has its own: the library keeps $u$ and $v$ as (H, K), and $W_R$ as (D, H, K). (There is a similar term for
# segments, section 2.5.) Now with numbers: three words, $K = D = 2$, and $R_d = (d, 1)$ in place of sines and cosines.
# How much does *is* look at *new*, two places to its left?

# %%
words = ["new", "york", "is"]  # S = T = 3
q = torch.tensor([[0, 1], [-1, 1], [1, -1]])  # (S, K)
k = torch.tensor([[2, 1], [0, 1], [1, 0]])  # (T, K)
u, v, W_R = torch.tensor([1, 1]), torch.tensor([1, 0]), torch.tensor([[1, 0], [1, 1]])  # (K,), (K,) and (K, D)
R = torch.tensor([[3, 1], [2, 1], [1, 1], [0, 1], [-1, 1], [-2, 1]])  # (T + S, D): d = T, T - 1, ..., 1 - S
r = R @ W_R.T  # (T + S, K), the key of each distance

i, j = 2, 0  # *is* looks at *new*: the distance is 2, and its key is r[1]
four = {"q · k": q[i] @ k[j], "q · r": q[i] @ r[1], "u · k": u @ k[j], "v · r": v @ r[1]}
two = {"(q + u) · k": (q[i] + u) @ k[j], "(q + v) · r": (q[i] + v) @ r[1]}
for terms in (four, two):
    print(*(f"{name} = {term}," for name, term in terms.items()), f"sum {sum(terms.values())}")

# %% [markdown]
# The second line has the same sum in two products: that is how it is computed.
#
# ### The shift
#
# The product with the keys, $(q + u)\,k^\top$, has the shape (S, T), as usual. For the other one, a key for each *pair*
# would be $S \cdot T$ vectors, but there are only $T + S - 1$ distances, from $T - 1$ down to $1 - S$. So
# $(q + v)\,r^\top$ gives every query's score with every *distance*, (S, T + S), and each number is then moved to its
# key. (As in the released code there is one more column, for the distance $T$.) The number from above has a frame:

# %%
by_distance = (q + v) @ r.T  # (S, T + S)
by_key = shift(by_distance)  # (S, T)
print("score of is with new:", ((q + u) @ k.T + by_key)[i, j].item())
plots.shifted(by_distance, words, words, framed=(i, j))

# %% [markdown]
# The key *new* (blue) is at the distance $0$ from *new*, $1$ from *york* and $2$ from *is*. So each row is cut out one
# place further to the *left* than the row above it. Numbers on white are not used: no key is so far from this query.
# How to do this without a loop is a challenge below.
#
# If a whole text is moved, its distances do not change, and neither do its vectors. A BERT's do (both
# untrained, with the same large random weights as above):

# %%
untrained_bert = minibert.build(BertConfig(**large), seed=1).eval()
padded = torch.cat([torch.zeros(1, 3, dtype=torch.long), ids], dim=1)  # three tokens of padding in front
mask = (padded != 0).long()
print("largest change when the text is moved by three places:")
with torch.no_grad():
    for name, model in {"XLNet": untrained, "BERT": untrained_bert}.items():
        moved = model(padded, mask).last_hidden_state[:, 3:]
        print(f"  {name:<5} {(moved - model(ids).last_hidden_state).abs().max():.3f}")

# %% [markdown]
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
# The price: more keys for each query.
#
# ## Is it better?
#
# The paper's own ablation, base size, on RACE, questions about a text (Table 6):

# %% tags=["folded"] fold="The paper's numbers"
OTHERS = ("SQuAD 2.0", "MNLI", "SST-2")  # the other tests of the table: F1, accuracy (matched), accuracy
TABLE = {  # Yang et al. 2019, Table 6: RACE, then OTHERS
    "BERT": (64.3, 76.30, 84.34, 92.78),
    "masked words, with Transformer-XL": (65.03, 79.56, 84.88, 92.60),
    "XLNet, one word in 7": (66.05, 81.33, 85.84, 92.66),
    "XLNet, one word in 6": (66.66, 80.98, 85.63, 93.35),
    "one word in 6, without memory": (65.55, 80.15, 85.32, 92.78),
}
RACE = {name: scores[0] for name, scores in TABLE.items()}
plain, masked, seventh, sixth, forgetful = RACE.values()
permuted, words_masked = TABLE["XLNet, one word in 6"], TABLE["masked words, with Transformer-XL"]
more = [a - b for a, b in zip(permuted, words_masked, strict=True)]
print("One word in 6, against masked words with Transformer-XL:")
for name, points in zip(OTHERS, more[1:], strict=True):
    print(f"  {name:<9} {points:.2f} points better")
errors = {name: 100 - right for name, right in RACE.items()}
plots.bars(errors, "errors in 100 questions; fewer is better", "XLNet and its parts, on RACE", digits=2)

# %% [markdown]
# With the same architecture, permuted words are better than masked words: by {{sixth - masked | .2f}} points, or by
# {{seventh - masked | .2f}} if one word in seven is predicted. On the other three tests of the table the difference is
# {{min(more[1:]) | .2f}} to {{max(more[1:]) | .2f}} points. The memory is worth {{sixth - forgetful | .2f}}; without
# it, XLNet is only {{forgetful - masked | .2f}} ahead of masked words with Transformer-XL. And Transformer-XL alone
# brings {{masked - plain | .2f}} of the {{sixth - plain | .2f}} points over BERT. (Each number is the median of five
# runs, without a spread; BERT's on RACE is from another paper.)
#
# But [RoBERTa](11_roberta.ipynb), with masked words and longer training, soon passed the large XLNet (Liu et al. 2019,
# Table 4). Our own small models: `minibert claims X1`.
#
# ## What could go wrong
#
# - **The words are shuffled**, and not the turns. Then the model reads nonsense.
# - **The mask the other way round.** `perm_mask` has a `1` for hidden; a mask of attention has `True` for visible.
# - **A target that sees itself.** The loss falls to zero, and nothing is learned. This library refuses it.
# - **The query stream's keys from the query stream.** There are no words in $g$.
# - **The shift in the other direction**, or by one too few. Shapes are right, distances are not.
# - **A row without anything to see.** The first token of each order has one. With $-\infty$ its softmax is
#   NaN; with the lowest number alone it looks at all words equally, its own too. Set hidden weights to zero as well
#   (lesson 03).
# - **A gradient through the memory.** Detach it, or training walks back through all earlier segments.
#
# ## Two challenges

# %% exercise="two-streams"

# %% exercise="relative-shift"

# %% [markdown] tags=["folded"] fold="The shift by hand, to look at when you have it"
# Written one after another, the numbers stay in their places; only the row ends move. The score of query $i$ with key
# $j$ is in column $S - i + j$, so it is number $i\,(T + S) + S - i + j = i\,(T + S - 1) + S + j$. Without the first $S$
# numbers, each row has one number less, and begins with key $0$.

# %% fold="The shift by hand, in code" tags=["folded"]
S, T = by_key.shape
numbers = by_distance.flatten()  # row after row: S · (T + S) numbers
without_first = numbers[S:]  # drop S of them: S · (T + S - 1) are left
shorter_rows = without_first.view(S, T + S - 1)  # cut anew, in rows that are one shorter
print(shorter_rows)
print("the first T columns are the answer:", torch.equal(shorter_rows[:, :T], by_key))

# %% [markdown]
# **A hunt.** In this box there is a layer with two streams, perhaps with a mistake. Change one token of its content at
# a time, and see which rows of the two streams change.

# %%
box = minibert.hunt("two-streams", seed=1)
box

# %% [markdown]
# ## In short
#
# - Masked words of one pass are guessed independently. XLNet predicts one after another, and trains the joint
#   probability.
# - With random factorisation orders, each word is predicted from both sides. The order is a mask; no word is moved.
# - Two streams: $g$ knows the place, $h$ also the word. Both look at $h$.
# - Scores depend on distances, not on positions, so a model can have a memory. The shift moves each score to its key.
#
# **To read.** Yang et al. 2019, *XLNet*, section 2; Dai et al. 2019, *Transformer-XL*, section 3. Then
# [minibert/models/xlnet.py](../minibert/models/xlnet.py), [relative.py](../minibert/models/relative.py) and
# [permutation.py](../minibert/training/permutation.py).
#
# **Next:** [BART](14_bart.ipynb), which reads in both directions and writes in one.
