# %% [markdown]
# # BERT, and where its parameters sit
#
# > BERT-base is a hundred and ten million numbers. Where do they sit, and which of them do the work?
#
# You have all the parts by now: pieces and their ids, attention, heads, the encoder block. BERT is these parts, one
# above the other. Here are two of them, each from the bottom, where the ids go in, to the top. The left one is small,
# and you will run it; the right one is the BERT of the paper.

# %%
import copy

import torch
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

import minibert
from minibert import plots
from minibert.attention import Layout
from minibert.claims.sizes import CLAIMS
from minibert.models import FAMILIES

with torch.device("meta"):  # shapes without numbers: see below
    base, small = minibert.build("bert-base-uncased"), minibert.build("minilm-l6")


def millions(*parts):
    return f"{sum(map(minibert.count_parameters, parts)) / 1e6:.2f} M"


def stack(model):
    e, blocks = model.embeddings, model.encoder.blocks
    names = ["words", "positions, types, norm"]
    names += [f"block {number}" for number in range(1, len(blocks) + 1)] + ["pooler"]
    parts = [[e.word], [e.position, e.token_type, e.norm]]
    parts += [[block] for block in blocks] + [[model.pooler]]
    return [f"{name}: {millions(*part)}" for name, part in zip(names, parts, strict=True)]


columns = {"MiniLM-L6": stack(small), "BERT-base": stack(base)}
plots.stacks(columns, "Two BERTs, and the parameters of their parts")

# %% [markdown]
# The parts of the right one sum to {{minibert.count_parameters(base) | ,}} parameters, which the paper rounds to
# {{CLAIMS["bert-base-uncased"].text}}. By the end of this page you can work that number out on paper, to the last
# digit, and say what each part costs when the model runs. The two are not the same thing.
#
# ## A model in seven numbers
#
# What distinguishes one BERT from another is its **configuration**: a few sizes, here with the letters that this
# course uses for them.

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
# (In code $F$ is called `inner` here, since `F` is PyTorch's `functional`. And if you read the paper: it writes $H$
# for what is $D$ here, and $A$ for the number of heads.)
#
# For counting, shapes are enough. PyTorch has a device for that, **meta**: tensors on it have a shape and no content.
# A model of any size is built there at once and takes no memory.

# %%
table = base.embeddings.word.weight
print(tuple(table.shape), table.device, f"{table.numel():,} numbers, if there were any")
try:
    print(table[0, 0].item())
except Exception as error:
    print(type(error).__name__, "- there is nothing in it")

# %% [markdown]
# ## Going in: three vectors, added
#
# Now one with content: MiniLM-L6 with its real weights. A token becomes a vector in three parts (Devlin et al. 2019,
# figure 2): what it is, where it stands, and which text it belongs to.
#
# $$x = \text{LayerNorm}\left(E^{\text{word}}_{\text{id}} + E^{\text{position}}_{s} + E^{\text{type}}_{t}\right)$$
#
# | the paper | the code | shape |
# |---|---|---|
# | token embeddings | `word(input_ids)` | (B, S, D) |
# | position embeddings | `position(torch.arange(S))` | (S, D), the same for every text |
# | segment embeddings | `token_type(token_type_ids)` | (B, S, D) |
# | (in the released code) | `norm(…)`, then dropout | (B, S, D) |

# %%
tok, mini = minibert.load_tokenizer("minilm-l6"), minibert.from_pretrained("minilm-l6")
batch = tok("The dog chased the cat.")
ids = batch["input_ids"]  # (B, S)
positions = torch.arange(ids.shape[1])  # (S,)

e = mini.embeddings
with torch.no_grad():
    word, position = e.word(ids), e.position(positions)
    kind = e.token_type(batch["token_type_ids"])
    x = e.norm(word + position + kind)
    for name, part in {"word": word, "position": position, "type": kind}.items():
        print(f"{name:<9} {tuple(part.shape)}")
    same = torch.allclose(x, e(ids, positions.expand_as(ids)), atol=1e-6)
    print("x        ", tuple(x.shape), " the same as the library's:", same)

# %% [markdown]
# All three are plain tables: a row is looked up, nothing is multiplied. In the sum nothing says which share came from
# where; the blocks above learn to make sense of it.
#
# ## What positions are for
#
# Attention treats its tokens as a set: shuffle the rows that go in, and the same rows come out, shuffled. So without
# positions a BERT could not tell who chased whom. Test it: take the position vectors out, and compare what comes out
# for *dog* when it chases and when it is chased.

# %%
hunts, flees = tok("the dog chased the cat"), tok("the cat chased the dog")
blind = copy.deepcopy(mini)
torch.nn.init.zeros_(blind.embeddings.position.weight)

with torch.no_grad():
    for name, model in {"with positions": mini, "without": blind}.items():
        a = model(**hunts).last_hidden_state[0, 2]  # dog, behind [CLS] and the
        b = model(**flees).last_hidden_state[0, 5]
        cosine, difference = F.cosine_similarity(a, b, dim=0), (a - b).abs().max()
        print(f"{name:<15} cosine {cosine:.2f}   largest difference {difference:.2f}")

# %% [markdown]
# Without positions the two are equal. With them they differ; not by much, but these vectors are all that the model has
# to tell hunter and hunted apart.
#
# The table of positions is learned like any other. Nobody told the model that position six stands beside seven. Did it
# find out? Take one position, and compare its vector with those of the positions around it:

# %%
unit = F.normalize(e.position.weight.detach(), dim=-1)  # (P, D), each of length 1
alike = unit @ unit.T  # (P, P) cosines
window = range(50, 151)
plots.lines(
    {f"position {at}": (list(window), alike[at, 50:151].tolist()) for at in (80, 120)},
    xlabel="… and this position",
    ylabel="cosine of one position …",
    title="Learned positions: neighbours are alike, and then it comes in waves",
)

# %% [markdown]
# It did. The nearest positions are the most alike, and the likeness fades with the distance; in waves, not unlike the
# sines that Vaswani et al. 2017 put there by hand (section 3.5).
#
# ## The blocks, the pooler, and that is all
#
# Each block takes (B, S, D) and gives (B, S, D), so they can be stacked. At the top sits the **pooler**, a small layer
# on the vector of the first token, `[CLS]`. It makes one vector for a whole text:
#
# $$h^{0} = x, \qquad h^{l} = \text{block}_l(h^{l-1}), \qquad c = \tanh(W h^{L}_{\text{[CLS]}} + b)$$

# %%
with torch.no_grad():
    h = x
    for block in mini.encoder.blocks:
        h, _ = block(h, Layout())  # Layout(), as in lesson 02: no padding here
    pooled = torch.tanh(mini.pooler.dense(h[:, 0]))
    output = mini(**batch)

same_h = torch.allclose(h, output.last_hidden_state, atol=1e-5)
same_pooled = torch.allclose(pooled, output.pooled, atol=1e-5)
print("last hidden state", tuple(h.shape), " equal:", same_h)
print("pooled           ", tuple(pooled.shape), "    equal:", same_pooled)

# %% [markdown]
# You have run a BERT by hand.
#
# ## Count it
#
# Three rules are enough. A table has its rows times $D$ numbers. A linear layer from $a$ to $b$ features has
# $a \cdot b$ weights and $b$ biases. A layer norm has a scale and a shift for each feature, $2 \cdot D$. Every part of
# BERT-base, by formula and counted in the model:

# %%
blocks = base.encoder.blocks
attentions, feeds = [b.attention for b in blocks], [b.feed_forward for b in blocks]
norms = [norm for b in blocks for norm in (b.attention_norm, b.norm)]
of_feeds = L * (D * inner + inner + inner * D + D)
lines = [  # what, formula, by hand, the modules that it is about
    ("words", "V·D", V * D, [base.embeddings.word]),
    ("positions", "P·D", P * D, [base.embeddings.position]),
    ("token types", "2·D", types * D, [base.embeddings.token_type]),
    ("norm of the embeddings", "2·D", 2 * D, [base.embeddings.norm]),
    ("attention", "L·4·(D·D + D)", L * 4 * (D * D + D), attentions),
    ("feed-forward", "L·(D·F + F + F·D + D)", of_feeds, feeds),
    ("norms of the blocks", "L·2·2·D", L * 2 * 2 * D, norms),
    ("pooler", "D·D + D", D * D + D, [base.pooler]),
]
total = sum(by_hand for _, _, by_hand, _ in lines)
for what, formula, by_hand, modules in lines:
    counted = sum(map(minibert.count_parameters, modules))
    print(f"{what:<23} {formula:<22} {by_hand:>11,}  {counted:>11,}  {by_hand / total:6.2%}")
print(f"{'together':<46} {total:>11,}  {minibert.count_parameters(base):>11,}")

# %% [markdown]
# Equal, line by line. The number of heads $H$ is in no formula: twelve heads share the same $D$ features that one head
# would have.
#
# And the feed-forward layers, the plainest part, are half of the model. With $F = 4 D$ they have $8 D^2$ weights a
# block, and attention $4 D^2$. The same for a small and for a large BERT:


# %%
def by_part(name):
    with torch.device("meta"):
        model = minibert.build(name)
    counted = minibert.parameters_by_part(model)
    feeds = [block.feed_forward for block in model.encoder.blocks]
    feed_forward = sum(map(minibert.count_parameters, feeds))
    return {
        "words": counted["word embeddings"],
        "attention and norms": counted["encoder"] - feed_forward,
        "feed-forward": feed_forward,
        "positions, types, pooler": counted["other embeddings"] + counted["pooler"],
    }


shown = ("minilm-l6", "bert-base-uncased", "bert-large-uncased")
sizes = {name: by_part(name) for name in shown}
plots.parameters_by_part(sizes, title="Where the parameters sit")

# %% [markdown]
# The table of words has $V \cdot D$ numbers and grows with the width; blocks have about $12 \cdot L \cdot D^2$, and
# grow with its square. So words are {{sizes["minilm-l6"]["words"] / sum(sizes["minilm-l6"].values()) | .0%}} of the
# small model and {{sizes["bert-large-uncased"]["words"] / sum(sizes["bert-large-uncased"].values()) | .0%}} of the
# large one. Keep that in mind for the two lessons on smaller models: leaving out blocks does nothing to the words.
#
# ## Coming out: the same table again
#
# To guess a masked word (next lesson), the model has to score each of the $V$ words for a token. The **masked-LM
# head** does it: a linear layer, GELU, a norm, and then the dot product with each word's embedding.
#
# $$\text{logits} = \text{LayerNorm}(\text{GELU}(h W^\top + b))\; E^{\text{word}\top} + b_V$$
#
# $E^{\text{word}}$ is the very table from the bottom: one tensor, used twice. Such weights are called **tied** (Press
# & Wolf 2017). What does the head add?

# %%
with torch.device("meta"):
    with_head = minibert.build("bert-base-uncased", head="masked-lm")
for name, parameter in with_head.lm.named_parameters():
    print(f"{name:<13} {tuple(parameter.shape)!s:<11} {parameter.numel():>8,}")

head = minibert.count_parameters(with_head.lm)
assert head == D * D + D + 2 * D + V
print(f"\nthe head {head:,}, so BERT with pooler and head {total + head:,}")
print(f"and if the head had a table of its own: {total + head + V * D:,}")

# %% [markdown]
# A table of its own would be {{V * D | ,}} numbers more, {{V * D / total | .0%}} of the model. Tied, a word also
# learns from both sides: when it is read, and when it is guessed.
#
# ## What it takes to hold it
#
# A number in `float32` takes four bytes. To *train* it you need more: for each parameter its gradient, and in the
# usual optimiser, Adam, two running means (Kingma & Ba 2015). That is four numbers in place of one:

# %%
print("                     parameters   weights, GB   to train, GB")
for name, parts in sizes.items():
    n = sum(parts.values())
    print(f"{name:<19} {n:>11,} {4 * n / 1e9:>13.2f} {16 * n / 1e9:>14.2f}")

# %% [markdown]
# On top of that come the activations, everything that the forward pass keeps for the backward pass. They depend on the
# batch, and can take more room than the weights.
#
# ## Which numbers do the work?
#
# Where parameters sit and where the computing goes are two questions. Count **operations**, multiplications and
# additions of single numbers (papers say FLOPs). A linear layer takes two for each of its weights and each token. A
# table takes none: a row is fetched. And attention itself has no parameters, but each token's $D$ features meet those
# of $S$ others twice, in the scores and in the mixture:
#
# | for each token and block | parameters | operations |
# |---|---|---|
# | attention: linear layers | $4 D^2$ | $2 \cdot 4 D^2$ |
# | attention: who looks at whom | none | $2 \cdot S D + 2 \cdot S D$ |
# | feed-forward | $2 D F$ | $2 \cdot 2 D F$ |
#
# The whole, for a text of $S$ tokens, with the pooler for one of them:
#
# $$S \cdot L \cdot (8 D^2 + 4 S D + 4 D F) + 2 D^2$$
#
# Is it true? PyTorch can count the operations of all matrix products while a model runs, and that works on the meta
# device too:


# %%
def operations(S):
    return {
        "words": 0,
        "positions, types": 0,
        "attention: linear layers": S * L * 2 * 4 * D * D,
        "attention: who looks at whom": S * L * 4 * S * D,
        "feed-forward": S * L * 2 * 2 * D * inner,
        "pooler": 2 * D * D,
    }


for S in (128, 512):
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        base(torch.zeros(1, S, dtype=torch.long, device="meta"))
    by_formula, counted = sum(operations(S).values()), counter.get_total_flops()
    a_token = counted / S / 1e6
    print(f"S = {S}: {by_formula:,} by formula, {counted:,} counted, {a_token:.0f} M a token")

# %% [markdown]
# (Norms, GELU and softmax are not matrix products, and are left out; they are a small part.) Now the two side by side:

# %%
names = list(operations(128))
sit = [V * D, (P + types) * D, L * 4 * (D * D + D), 0, of_feeds, D * D + D]
panels = {"parameters": [100 * n / total for n in sit]}
for S in (128, 512):
    work = operations(S)
    panels[f"operations, S = {S}"] = [100 * work[name] / sum(work.values()) for name in names]
title = "Where parameters sit, and where the work is done"
plots.distributions(panels, names, title, "share in %", digits=0)

# %% [markdown]
# The word embeddings are {{V * D / total | .0%}} of the parameters and none of the work. The feed-forward layers are
# most of both. And attention's famous table, $S^2$, is a small part at these lengths: it would equal all linear layers
# together at $S = 6 D$, which is {{6 * D | ,}} tokens, far beyond BERT's {{P}} positions.
#
# So a model can have few parameters and still be slow, or many and be fast. In the lessons on DistilBERT and ALBERT,
# ask of each saving: which of the two does it save?
#
# With the masked-LM head it is the other way round. It adds hardly a parameter, and much work: to score all words for
# one token takes $2 \cdot V \cdot D$ operations, {{2 * V * D / 1e6 | .0f}} million, beside
# {{sum(operations(128).values()) / 128 / 1e6 | .0f}} million for all twelve blocks (in the shorter of the two texts).
# That is why this library computes the logits only for the tokens that were masked.
#
# ## Real weights
#
# A published checkpoint is a file of named tensors. Its names are not ours, so there is a table from one to the other
# ([minibert/checkpoints.py](../minibert/checkpoints.py)); all that was loaded above came through it. A few of its
# rows:

# %%
parameters = dict(mini.named_parameters())
shown = ["embeddings.word.weight", "embeddings.norm.bias"]
for name in ("attention.query", "feed_forward.expand", "norm"):
    shown.append(f"encoder.blocks.5.{name}.weight")
shown.append("pooler.dense.weight")
for name in shown:
    print(f"{tuple(parameters[name].shape)!s:<13} {name:<43} {FAMILIES['bert'].theirs(name)}")
print(f"{len(parameters)} tensors, {minibert.count_parameters(mini):,} parameters")

# %% [markdown]
# (A linear layer's weight is stored as (out, in). So `expand` is (F, D).)
#
# What do the vectors know? MiniLM-L6 was trained further so that texts of the same meaning get similar vectors, the
# way of Reimers & Gurevych 2019: the **mean** over a text's real tokens, compared by cosine. Four sentences, of which
# no two share a telling word:

# %%
sentences = {
    "film, moving": "A moving film about growing old.",
    "film, touched": "The picture is about age, and it touched me.",
    "pizza, cold": "My pizza was cold and the waiter rude.",
    "dinner, late": "Dinner arrived late, and not even warm.",
}
batch = tok(list(sentences.values()))
with torch.no_grad():
    h = mini(**batch).last_hidden_state  # (B, S, D)
real = batch["attention_mask"][..., None]  # (B, S, 1)
mean = (h * real).sum(dim=1) / real.sum(dim=1)  # (B, D)
unit = F.normalize(mean, dim=-1)
cosines = unit @ unit.T
plots.similarity(cosines, list(sentences), title="Four sentences: cosine of their mean vectors")

# %% [markdown]
# The two about films have a cosine of {{float(cosines[0, 1]) | .2f}} and the two about a meal one of
# {{float(cosines[2, 3]) | .2f}}; across it is {{float(cosines[:2, 2:].max()) | .2f}} at most. Four sentences prove
# nothing, of course. They show that what you have taken apart is a working model.
#
# ## What could go wrong
#
# **Positions along the batch.** `torch.arange` of the wrong axis, B in place of S, and broadcasting makes it fit. Then
# each text has one position, its place in the batch. The same sentence three times, and its vector of *film*:

# %%
ids = tok(["A quiet film."] * 3)["input_ids"]  # (3, S)
B, S = ids.shape
with torch.no_grad():
    right, wrong = torch.arange(S).expand(B, S), torch.arange(B)[:, None].expand(B, S)
    for axis, positions in {"S": right, "B": wrong}.items():
        vectors = mini.encoder(e(ids, positions), Layout()).last_hidden_state
        film = F.normalize(vectors[:, 3], dim=-1)
        found = [f"{cosine:.2f}" for cosine in film @ film[0]]
        print(f"along {axis}: cosine of the first with each", *found)

# %% [markdown]
# **Tied weights counted twice.** PyTorch counts a shared tensor once, but only if it is asked for the parameters of
# the whole; a sum over the parts, or over the tensors of a file, counts it again:


# %%
class Tied(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.word = torch.nn.Embedding(V, D, device="meta")
        self.out = torch.nn.Linear(D, V, device="meta")
        self.out.weight = self.word.weight  # one tensor, two names


tied = Tied()
by_parts = [p for part in tied.children() for p in part.parameters()]
print(f"the whole:         {sum(p.numel() for p in tied.parameters()):,}")
print(f"part by part:      {sum(p.numel() for p in by_parts):,}")
print(f"in the state dict: {sum(tensor.numel() for tensor in tied.state_dict().values()):,}")

# %% [markdown]
# - **Buffers counted.** Old checkpoints carry a row `position_ids`, the numbers from zero on. It is not learned, and
#   no parameter.
# - **The norm of the embeddings forgotten:** $2 D$ too few, {{2 * D | ,}} here. If your count is off by a small
#   multiple of $D$, look for a norm or a bias.
# - **`eval()` forgotten.** `from_pretrained` returns a model in evaluation mode, and `build` in training mode: then
#   dropout is on, and it gives another answer each time (lesson 04).
# - **`pooled` from the wrong place.** `h[0]` is the first text, not the first token; `h[:, -1]` may be padding.
#
# ## Exercises
#
# The way in, the way out, and the count. The count asks for one thing more: `embedding_size` and `shared` are for
# ALBERT, a smaller model (lesson 10). Begin without them, until BERT-base comes out; what they change stands in the
# task.

# %% exercise="embeddings"

# %% exercise="masked-lm-head"

# %% exercise="parameter-sizes"

# %% [markdown]
# ## In short
#
# - BERT: three tables added and normalised, $L$ equal blocks, a pooler on `[CLS]`. Seven numbers say how large it is.
# - Words $V D$; a block about $12 D^2$, of which the feed-forward has two thirds. The heads cost nothing extra.
# - The masked-LM head uses the table of words a second time. Count it once.
# - Training takes four numbers for each parameter, and the activations.
# - Parameters are not work: the table of words is a fifth of BERT-base and computes nothing.
#
# **To read.** Devlin et al. 2019, *BERT: Pre-training of Deep Bidirectional Transformers*, section 3; Press & Wolf
# 2017, *Using the Output Embedding to Improve Language Models*. Then
# [minibert/models/bert.py](../minibert/models/bert.py), one page, and [minibert/heads.py](../minibert/heads.py) down
# to `MaskedLM`.
#
# **Next:** [what BERT learns from](07_pretraining.ipynb).
