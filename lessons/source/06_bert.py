# %% [markdown]
# # BERT, and where its parameters are
#
# > BERT-base is a hundred and ten million numbers. Where are they, what do they do with a word, and which parts
# > do the work?
#
# You have all the parts by now: pieces and their ids, attention, heads, the encoder block. BERT is a stack of these
# parts. Here are two BERTs; the ids go in at the bottom. The height of a part shows its number of parameters, on the
# same scale for both models.

# %% tags=["folded"]
import copy
from itertools import combinations

import torch
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

import minibert
from minibert import plots
from minibert.attention import Layout
from minibert.claims.sizes import CLAIMS

with torch.device("meta"):  # shapes without numbers: enough to count
    base, small = minibert.build("bert-base-uncased"), minibert.build("minilm-l6")
    with_head = minibert.build("bert-base-uncased", head="masked-lm")
    large = minibert.build("bert-large-uncased")  # to count by hand
bigger = minibert.PRESETS["bert-large-uncased"]


def part(name, *modules, times=1):
    return plots.Part(name, sum(map(minibert.count_parameters, modules)) / 1e6, times)


def parts(model):
    e, blocks = model.embeddings, model.encoder.blocks
    return [
        part("words", e.word),
        part("positions, types", e.position, e.token_type, e.norm),
        part("block", blocks[0], times=len(blocks)),
        part("pooler", model.pooler),
    ]


# %%
plots.to_scale({"MiniLM-L6": parts(small), "BERT-base": parts(base)}, "Two BERTs: parameters to scale")

# %% [markdown]
# The parts of the right one sum to {{minibert.count_parameters(base) | ,}} parameters. At the end of this lesson you
# will be able to compute that number from the sizes of the model. (The paper says
# {{CLAIMS["bert-base-uncased"].text}}, but not what it counts.)
#
# You will run the left one. This **MiniLM-L6** has BERT's architecture and vocabulary, but it was not pre-trained as
# BERT was. It consists of every second layer of Microsoft's MiniLM, which was distilled from a UniLM v2 of BERT-base's
# size (model card of `MiniLM-L12-H384-uncased`; the method: Wang et al. 2020; lesson 09 is about distillation). Then it
# was trained so that texts of similar meaning get similar vectors.
#
# ## A model in seven numbers
#
# What distinguishes one BERT from another is its **configuration**:

# %%
config = minibert.PRESETS["bert-base-uncased"]
V, D, L = config.vocab_size, config.hidden_size, config.num_hidden_layers
H, inner = config.num_attention_heads, config.intermediate_size
P, types = config.max_position_embeddings, config.type_vocab_size

print(f"V  {'pieces in the vocabulary':<26} {V:>6}   vocab_size")
print(f"D  {'features of a token':<26} {D:>6}   hidden_size")
print(f"L  {'blocks':<26} {L:>6}   num_hidden_layers")
print(f"H  {f'heads, each {D // H} wide':<26} {H:>6}   num_attention_heads")
print(f"F  {'inside the feed-forward':<26} {inner:>6}   intermediate_size")
print(f"P  {'positions':<26} {P:>6}   max_position_embeddings")
print(f"   {'token types':<26} {types:>6}   type_vocab_size")

# %% [markdown]
# (In the code $F$ is called `inner`, because `F` is PyTorch's `functional`. The paper writes $H$ for our $D$, and $A$
# for the number of heads.)
#
# ## Going in: three vectors, added
#
# A token's vector is the sum of three vectors (Devlin et al. 2019, figure 2): one for the piece, one for its position,
# and one for the text that it belongs to. Each is a row of a learned table. In the released code a layer norm follows.
#
# $$x = \text{LayerNorm}\left(E^{\text{word}}_{\text{id}} + E^{\text{position}}_{s} + E^{\text{type}}_{t}\right)$$
#
# | the paper | table | what is added |
# |---|---|---|
# | token embeddings | $(V, D)$ | (B, S, D), a row for each id |
# | position embeddings | $(P, D)$ | (S, D), the same for every text |
# | segment embeddings | two rows of $D$ | (B, S, D), a row for each token type |
#
# Why positions? Attention treats its tokens as a set: shuffle the rows that go in, and the same rows come out,
# shuffled. Test it: set the position vectors to zero, and compare what comes out for *dog* when it chases and when it
# is chased.

# %%
tok, mini = minibert.load_tokenizer("minilm-l6"), minibert.from_pretrained("minilm-l6")
hunts, flees = tok("the dog chased the cat"), tok("the cat chased the dog")
blind = copy.deepcopy(mini)
torch.nn.init.zeros_(blind.embeddings.position.weight)

with torch.no_grad():
    for name, model in {"with positions": mini, "without": blind}.items():
        a = model(**hunts).last_hidden_state[0, 2]  # dog, after [CLS] and the
        b = model(**flees).last_hidden_state[0, 5]
        print(f"{name:<15} largest difference {(a - b).abs().max():.2f}")

# %% [markdown]
# Without positions, the two are equal: such a model cannot tell who chased whom.

# %% exercise="embeddings"

# %% [markdown]
# When `embeddings` has passed, compare: three lookups, a sum and a norm, for one sentence.

# %% tags=["folded"]
batch = tok("The dog chased the cat.")
ids = batch["input_ids"]  # (B, S)
e, positions = mini.embeddings, torch.arange(ids.shape[1])  # (S,)
with torch.no_grad():
    x = e.norm(e.word(ids) + e.position(positions) + e.token_type(batch["token_type_ids"]))
    same = torch.allclose(x, e(ids, positions.expand_as(ids)), atol=1e-6)
print("x", tuple(x.shape), "as the library's:", same)

# %% [markdown]
# ## The blocks and the pooler
#
# Each block takes (B, S, D) and returns (B, S, D), so blocks can be stacked. At the top there is the **pooler**, a
# small layer on the vector of the first token, `[CLS]`. It makes one vector for a whole text.
#
# $$h^{0} = x, \qquad h^{l} = \text{block}_l(h^{l-1}), \qquad c = \tanh(W h^{L}_{\text{[CLS]}} + b)$$
#
# Now run a BERT by hand. You have `mini.embeddings(ids, positions)`, the list `mini.encoder.blocks`, and
# `mini.pooler.dense`. A block returns two things: `block(h, Layout())` gives the new (B, S, D) and the attention
# weights (`Layout()`: no padding here). Replace the first two lines of the function, run the cell, and compare:


# %%
def run_bert(ids, positions):
    """ids and positions (B, S) -> the last hidden state (B, S, D), and the pooled vector (B, D)."""
    h = torch.zeros(*ids.shape, 384)
    c = torch.zeros(len(ids), 384)
    return h, c


with torch.no_grad():
    output = mini(**batch)
    found = run_bert(ids, torch.arange(ids.shape[1]).expand_as(ids))
for name, mine, theirs in zip(("h", "c"), found, (output.last_hidden_state, output.pooled), strict=True):
    right = mine.shape == theirs.shape and torch.allclose(mine, theirs, atol=1e-5)
    print("✓" if right else "✗", name, tuple(mine.shape))

# %% [markdown]
# Below, after your own attempt: the model, one part after another.

# %% tags=["folded"] fold="By hand"
with torch.no_grad():
    h = mini.embeddings(ids, torch.arange(ids.shape[1]).expand_as(ids))
    for block in mini.encoder.blocks:
        h, _ = block(h, Layout())
    c = torch.tanh(mini.pooler.dense(h[:, 0]))  # [CLS] is the first token
for name, mine, theirs in (("last hidden state", h, output.last_hidden_state), ("pooled", c, output.pooled)):
    print(f"{name:<17} {tuple(mine.shape)!s:<11} as the library's: {torch.allclose(mine, theirs, atol=1e-5)}")

# %% [markdown]
# ## One word in two contexts
#
# What are the blocks for? In the embedding table, *score* has one row. But a score can be music or the result of a
# game. Take four sentences, and compare the vectors of *score* after each block. We use only pairs in which it has
# different positions: two pairs with the same meaning, and two with different ones.
#
# But two vectors could also be alike because their *sentences* have the same topic. So we need a control: *the* is in
# all four sentences and always means the same.

# %%
sentences = {
    "The score was written for strings and piano.": "music",
    "She composed the whole score for an orchestra.": "music",
    "The score was two goals to one.": "game",
    "They knew the final score of our match.": "game",
}


def states_of(word):
    """Its place in each sentence, and there its vector before and after each block, of length one."""
    places, vectors = [], []
    for sentence in sentences:
        at = tok.encode(sentence).tokens.index(word)
        with torch.no_grad():
            hidden = mini(**tok(sentence), return_hidden=True).hidden_states  # L + 1 tensors (1, S, D)
        places.append(at)
        vectors.append(F.normalize(torch.stack([h[0, at] for h in hidden]), dim=-1))  # (L + 1, D)
    return places, vectors


topics = list(sentences.values())
pairs = {}  # word, same topic or not -> the cosines of each pair, L + 1
for word in ("score", "the"):
    places, vectors = states_of(word)
    print(f"the positions of {word}: {places}")
    for a, b in combinations(range(len(sentences)), 2):
        if places[a] != places[b]:
            kind = "same topic" if topics[a] == topics[b] else "different topics"
            pairs.setdefault(f"{word}, {kind}", []).append((vectors[a] * vectors[b]).sum(-1))

# %% tags=["folded"]
for name, cosines in pairs.items():
    print(f"{name:<23} cosines at the top", *(f"{cosine[-1]:.2f}" for cosine in cosines))
curves = {name: torch.stack(cosines).mean(0) for name, cosines in pairs.items()}  # (L + 1,)
apart = {word: curves[f"{word}, same topic"] - curves[f"{word}, different topics"] for word in ("score", "the")}
low = int((apart["score"] > apart["the"] + 1e-3).sum())  # so many blocks long, score is further apart
plots.lines(
    {name: (range(len(found)), found.tolist()) for name, found in curves.items()},
    xlabel="blocks that the word has passed",
    ylabel="cosine of two vectors of the word",
    title="Pairs of different topics drift apart, for both words",
)

# %% [markdown]
# The lines are means over two pairs. At the bottom both kinds are equal: the same row, the same two positions. On the
# way up the vectors take in the words around them, and the pairs of different topics drift apart. For *score* this
# looks like two meanings: {{float(curves["score, same topic"][-1]) | .2f}} against
# {{float(curves["score, different topics"][-1]) | .2f}} at the top. But *the*, with its one meaning, drifts even
# further: {{float(curves["the, same topic"][-1]) | .2f}} against
# {{float(curves["the, different topics"][-1]) | .2f}}. So these cosines are no proof of two meanings: the topic
# of the sentence explains them as well. Only in the first {{low}} blocks is *score* further apart than *the* (after
# them by {{float(apart["score"][low]) | .2f}} against {{float(apart["the"][low]) | .2f}}).
#
# Vectors that depend on the sentence are called **contextual**. Four sentences prove nothing in general: try *plot* (of
# a film, of land) and *the* in your own.
#
# **A good place to stop for tonight.** Still to come: the way out, and the counting.

# %% [markdown]
# ## Coming out: the same table again
#
# To guess a masked token (next lesson), the model must score each of the $V$ pieces for it. The **masked-LM head**
# does it: a linear layer, GELU, a norm, and then the dot product with each word's embedding.
#
# $$\text{logits} = \text{LayerNorm}(\text{GELU}(h W^\top + b))\; E^{\text{word}\top} + b_V$$
#
# $E^{\text{word}}$ is the table from the bottom: one tensor, used twice. Such weights are called **tied** (Press & Wolf
# 2017). So the head adds little:

# %%
for name, parameter in with_head.lm.named_parameters():
    print(f"{name:<13} {tuple(parameter.shape)!s:<11} {parameter.numel():>8,}")
head, total = minibert.count_parameters(with_head.lm), minibert.count_parameters(base)
print(f"\nthe head {head:,}, so BERT with pooler and head {total + head:,}")
print(f"with a table of its own the whole would be {V * D / total:.0%} larger")

# %% exercise="masked-lm-head"

# %% [markdown]
# ## Count it
#
# Three rules are enough. A table has $D$ numbers for each row. A linear layer from $a$ to $b$ features has $a \cdot b$
# weights and $b$ biases. A layer norm has a scale and a shift for each feature, $2 D$. In a block there are four linear
# layers $D \to D$ in the attention, two in the feed-forward, $D \to F$ and $F \to D$, and two norms. The heads cost
# nothing extra: they share the $D$ features. And, once: words, positions, types, a norm, and the pooler.
#
# Now **BERT-large**: $D$ = {{bigger.hidden_size | ,}}, $L$ = {{bigger.num_hidden_layers}},
# $H$ = {{bigger.num_attention_heads}}, $F$ = {{bigger.intermediate_size | ,}}; $V$, $P$ and the types are BERT-base's.
# Take paper and pencil, write your numbers into this cell, and run it again:

# %%
mine = {"words": 0, "attention, one block": 0, "feed-forward, one block": 0, "all of BERT-large": 0}

block = large.encoder.blocks[0]
modules = large.embeddings.word, block.attention, block.feed_forward, large
for (name, count), module in zip(mine.items(), modules, strict=True):
    right = minibert.count_parameters(module)
    near = f"({count - right:+,})" if 0 < abs(count - right) < right / 10 else ""
    print(f"{'✓' if count == right else '✗'} {name} {near}".rstrip())

# %% [markdown]
# In brackets: by how much a near count is wrong. If it is a small multiple of $D$, look for a norm or a bias.
#
# Below, after your own count: where the parameters of BERT-base are. (BERT-large is at the end of the lesson.)


# %% tags=["folded"]
def counted(model):
    e, blocks = model.embeddings, model.encoder.blocks
    parts = {
        "words": [e.word],
        "positions, types, norm": [e.position, e.token_type, e.norm],
        "attention, all blocks": [block.attention for block in blocks],
        "feed-forward, all blocks": [block.feed_forward for block in blocks],
        "norms, all blocks": [norm for block in blocks for norm in (block.attention_norm, block.norm)],
        "pooler": [model.pooler],
    }
    return {name: sum(map(minibert.count_parameters, modules)) for name, modules in parts.items()}


def table(sizes):
    for name, size in sizes.items():
        print(f"{name:<24} {size:>11,} {size / sum(sizes.values()):6.1%}")
    print(f"{'together':<24} {sum(sizes.values()):>11,}")


sizes = counted(base)
table(sizes)

# %% [markdown]
# The feed-forward layers are the simplest part. They have more than half of the parameters.
#
# ## Which parts do the work?
#
# Where the parameters are and where the work is done are two different questions. Count **operations**: multiplications
# and additions (papers say FLOPs). A linear layer takes two for each weight and token. A table takes none: a row is
# looked up. And attention has a part without parameters, where each token meets $S$ others, in the scores and in the
# weighted sum of the values. We count matrix products only, and so does PyTorch's counter; biases, norms, softmax and
# GELU take little beside them.
#
# | in one block | parameters, without biases | operations for each token |
# |---|---|---|
# | attention: linear layers | $4 D^2$ | $8 D^2$ |
# | attention: scores and weighted sum | none | $4 S D$ |
# | feed-forward | $2 D F$ | $4 D F$ |


# %%
def operations(S):
    return {
        "words": 0,
        "attention: linear layers": S * L * 8 * D * D,
        "attention: scores, sum": S * L * 4 * S * D,
        "feed-forward": S * L * 4 * D * inner,
    }


S = 512
with FlopCounterMode(display=False) as counter, torch.no_grad():
    base(torch.zeros(1, S, dtype=torch.long, device="meta"))
work, pooler = operations(S), 2 * D * D
print(f"S = {S}: {sum(work.values()) + pooler:,} by formula, {counter.get_total_flops():,} counted by PyTorch")

# %% tags=["folded"]
linear = L * 4 * (D * D + D)
panels = {
    "parameters": [V * D, linear, 0, sizes["feed-forward, all blocks"]],
    f"operations, S = {S}": list(work.values()),
}
panels = {name: [100 * value / sum(values) for value in values] for name, values in panels.items()}
title = "Where the parameters are, and where the work is done"
plots.distributions(panels, list(work), title, "share in %", digits=0)

# %% [markdown]
# (Without positions, norms and pooler the words have {{panels["parameters"][0] | .1f}}% and not
# {{100 * sizes["words"] / total | .1f}}%.)
#
# The embedding table has a fifth of the parameters and, as an input, does none of the work. (In the masked-LM head
# it is a matrix product, for each token that is guessed.) The scores and the weighted sum of
# attention, with their $S \times S$ weights, are a small part of the work even at BERT's full length. They would equal
# all linear layers together at $S = 6 D$, which is {{6 * D | ,}} tokens.
#
# So a model can have few parameters and still be slow. In the lessons on DistilBERT and ALBERT, ask which of the two
# each change saves.
#
# ## What could go wrong
#
# **Positions along the batch.** `torch.arange` runs over the wrong axis, B instead of S, and broadcasting makes it fit.
# Then all tokens of a text have the same position, the text's place in the batch. Here is the same sentence three
# times, and its vector of *film*:

# %%
ids = tok(["A quiet film."] * 3)["input_ids"]  # (3, S)
B, S = ids.shape
with torch.no_grad():
    right, wrong = torch.arange(S).expand(B, S), torch.arange(B)[:, None].expand(B, S)
    for axis, positions in {"S": right, "B": wrong}.items():
        found = mini.encoder(mini.embeddings(ids, positions), Layout()).last_hidden_state
        film = F.normalize(found[:, 3], dim=-1)
        print(f"along {axis}: cosine of the first with each", *(f"{cosine:.2f}" for cosine in film @ film[0]))

# %% [markdown]
# - **Tied weights counted twice.** Some files have the tied table twice. A sum over their tensors counts it two times.
# - **The norm of the embeddings forgotten:** $2 D$ too few, {{2 * D | ,}} in BERT-base.
# - **`eval()` forgotten.** `build` returns a model in training mode: dropout is on, and each call gives a different
#   answer.
# - **`pooled` from the wrong place.** `h[0]` is the first text, not the first token.
#
# ## BERT-large, and before BERT
#
# After your own count: BERT-large. (To count with a function of your own is an exercise of lesson 10.)

# %%
table(counted(large))
with torch.device("meta"):
    large_head = minibert.build("bert-large-uncased", head="masked-lm").lm
whole = minibert.count_parameters(large) + minibert.count_parameters(large_head)
print(f"{'with a masked-LM head':<24} {whole:>11,}")

# %% [markdown]
# The paper says {{CLAIMS["bert-large-uncased"].text}}. In tens of millions both sums round to that, so it does not tell
# us what was counted.
#
# **Where contextual vectors came from.** word2vec (Mikolov et al. 2013) gave each word one vector, the same in every
# sentence. ELMo (Peters et al. 2018, section 3) computed vectors in context with two recurrent networks, which read
# word by word, one from the left and one from the right. GPT (Radford et al. 2018, section 3) took a Transformer that
# reads from the left only, and *fine-tuned* it: trained the whole model further on each task (lesson 08). BERT is
# fine-tuned like GPT, but every layer looks to both sides (Devlin et al. 2019, figure 3 compares the three).

# %% [markdown]
# ## In short
#
# - BERT: three tables added and normalised, $L$ equal blocks, a pooler on `[CLS]`. Seven numbers describe it; six give
#   its size, and $H$ only divides $D$.
# - A word's vector comes from one row of a table; the blocks make it depend on the sentence. A control shows how much
#   of that is only the sentence's topic.
# - The embedding table has $V D$ parameters. A block has about $12 D^2$, two thirds of them in the feed-forward.
# - The masked-LM head uses the embedding table a second time. Count it once.
# - Parameters are not work: the embedding table is a fifth of BERT-base and, as an input, computes nothing.
#
# **To read.** Devlin et al. 2019, *BERT: Pre-training of Deep Bidirectional Transformers*, section 3 and figure 3;
# Press & Wolf 2017, *Using the Output Embedding to Improve Language Models*. In the library:
# [minibert/models/bert.py](../minibert/models/bert.py), one page, and [minibert/heads.py](../minibert/heads.py). How
# the names in a published file become ours: [minibert/checkpoints.py](../minibert/checkpoints.py).
#
# **Next:** [what BERT learns from](07_pretraining.ipynb).
