# %% [markdown]
# # MobileBERT: deep and thin
#
# > How can a BERT run on a phone without losing half of its layers?
#
# DistilBERT leaves out half of the layers, ALBERT stores one for all. MobileBERT has twenty-four, twice as many as
# BERT-base, and makes each of them thin. Here is one block. Read it from the bottom. The flat bars are a token's
# vectors, and their widths are to scale.

# %% tags=["folded"]
import dataclasses

import torch
from torch.nn import functional as F

import minibert
from minibert import claims, plots
from minibert.attention import Layout
from minibert.encoder import initialise
from minibert.models.mobilebert import MobileBertBlock, MobileBertConfig, with_neighbours
from minibert.training.data import load_reviews
from minibert.training.transfer import copy_outer_parts, feature_map_loss, progressive_transfer

NAMES = ("bert-base-uncased", "ib-bert-large", "mobilebert-uncased")
with torch.device("meta"):  # shapes without numbers: enough to count
    bert, teacher_kind, mobile = (minibert.build(name) for name in NAMES)
D, body, inner = mobile.config.hidden_size, mobile.config.intra_bottleneck_size, mobile.config.intermediate_size
repeats = mobile.config.num_feedforward_networks
wide, wide_inner = teacher_kind.config.intra_bottleneck_size, teacher_kind.config.intermediate_size
with torch.device("meta"):  # the block as the paper describes it: queries and keys read the wide vector, too
    described = minibert.build(dataclasses.replace(mobile.config, key_query_shared_bottleneck=False))
SMALLER, FASTER = 4.3, 5.5  # Sun et al. 2020, abstract
TRANSFER_STEPS = 240_000  # section 4.2

# %%
plots.bottleneck_block(D, body, inner, repeats, "One block of MobileBERT")

# %% [markdown]
# Between the blocks a token has $D$ = {{D}} features. One linear layer narrows them to {{body}}, the **body**. There
# attention and four feed-forward parts do the work. Another linear layer widens the result again, and what came in is
# added (Sun et al. 2020, section 3.1, figure 1c).
#
# Look at what attention reads. Queries and keys come from a bottleneck of their own, but the *values* come from all of
# $x$. So *where* a head looks is decided from a narrow vector, and what it passes on comes from the wide one. (This is
# the released model's setting.)
#
# This lesson goes through the block, counts it, and then teaches a thin model from a wide one, layer by layer. No
# weights of a MobileBERT can be fetched here. The text always says which weights are random and which are trained.
# First the block in code, in a model a quarter as wide, {{minibert.PRESETS["tiny-mobilebert"].hidden_size}} outside and
# {{minibert.PRESETS["tiny-mobilebert"].intra_bottleneck_size}} in the body, with random weights. The names are those of
# the picture:

# %%
tiny = minibert.build("tiny-mobilebert", seed=0).eval()
x = torch.randn(1, 6, tiny.config.hidden_size)  # (B, S, D), as it comes from the block below
block, layout = tiny.encoder.blocks[0], Layout()
with torch.no_grad():
    narrow = block.bottleneck(x)  # what the body starts from
    shared = block.attention_bottleneck(x)  # what queries and keys are made of
    attended, weights = block.attention(shared, key=shared, value=x, layout=layout, return_weights=True)
    inside = block.attention_norm(narrow + attended)
    for step in [*block.stacked, block.last]:
        inside = step(inside)
    out = block.norm(x + block.widen(inside))
    same = torch.allclose(out, block(x, layout)[0])
for name, tensor in {
    "x": x,
    "narrow": narrow,
    "shared": shared,
    "weights": weights,
    "inside": inside,
    "out": out,
}.items():
    print(f"{name:<8} {tuple(tensor.shape)}")
print("as the library's block:", same)

# %% [markdown]
# ## Why four feed-forward parts?
#
# In a BERT, attention has half as many parameters as the feed-forward part. In a bottleneck the balance changes:
# attention reads the wide vector, and the feed-forward part is small. MobileBERT's answer is to stack several (section
# 3.2). Counted in one block, as the paper describes it and as it was released:


# %%
def ratio(block, parts):
    """The parameters of attention for each parameter of so many feed-forward parts."""
    one_part = minibert.count_parameters(block.last.feed_forward)
    return minibert.count_parameters(block.attention) / (parts * one_part)


of_bert = bert.encoder.blocks[0]
in_attention, in_feed_forward = map(minibert.count_parameters, (of_bert.attention, of_bert.feed_forward))
ratios = {"BERT-base": in_attention / in_feed_forward}
ratios |= {f"the paper's block, {n} feed-forward": ratio(described.encoder.blocks[0], n) for n in (1, 2, 3, 4)}
released = {f"the released block, {n} feed-forward": ratio(mobile.encoder.blocks[0], n) for n in (1, 2, 3, 4)}
unit = "parameters of attention, for each one of feed-forward"
plots.bars(ratios | released, unit, "The balance in a block", digits=2, marked=[*released])

# %% [markdown]
# As the paper describes the block, queries, keys and values all read the wide vector. Then three parts give
# {{ratio(described.encoder.blocks[0], 3) | .2f}} and four {{ratio(described.encoder.blocks[0], 4) | .2f}}, on both
# sides of BERT's {{ratios["BERT-base"] | .2f}}. In the released weights queries and keys read the narrow one, and the
# ratio falls to {{ratio(mobile.encoder.blocks[0], 4) | .2f}}. (The bottleneck's own matrices are counted as neither.)
#
# ## NoNorm
#
# On the phone of the paper, layer norm took more time than its few operations suggest: it needs the mean and the
# variance of all features before it can return the first number. So MobileBERT keeps the learned scale and shift, and
# leaves out the normalisation (section 3.3):
#
# $$\text{NoNorm}(h) = \gamma \circ h + \beta$$
#
# By hand, for one token of four features:

# %%
h = torch.tensor([8.0, 2.0, -4.0, 2.0])
gamma, beta = torch.tensor([1.0, 0.5, 2.0, 1.0]), torch.tensor([0.0, 1.0, 0.0, -1.0])
results = {}
for name, x in {"h": h, "100 h": 100 * h}.items():
    results[f"layer norm of {name}"] = F.layer_norm(x, (4,), gamma, beta)
    results[f"no norm of {name}"] = gamma * x + beta
for name, values in results.items():
    print(f"{name:<20}", "  ".join(f"{value:7.2f}" for value in values.tolist()))

# %% [markdown]
# Layer norm gives the same for $100\,h$ as for $h$. NoNorm does not. So nothing keeps the numbers small. Here are
# twenty-four blocks of MobileBERT's size, with random weights that are larger than fresh ones, and the length of the
# vectors on their way:

# %%
length = {}
for name, kind in {"layer norm": "layer_norm", "no norm": "no_norm"}.items():
    config = dataclasses.replace(mobile.config, normalization_type=kind)
    torch.manual_seed(0)
    x = torch.randn(1, 16, D)
    for number in range(1, 25):
        block = MobileBertBlock(config)
        initialise(block, std=0.06)
        with torch.no_grad():
            x, _ = block.eval()(x, Layout())
        if number % 8 == 0:
            length[f"{name}, after {number} blocks"] = x.norm(dim=-1).mean().log10().item()
marked = [name for name in length if name.startswith("no norm")]
plots.bars(length, "log₁₀ of a token's mean length", "Nothing keeps the numbers small", marked=marked)

# %% [markdown]
# The scale is logarithmic: a difference of two means a hundred times as long. `float16` ends at
# {{torch.finfo(torch.float16).max | ,.0f}}, so be careful with half precision. And do not train such a model without a
# teacher. The weights of a student are random at first, too, but each layer is taught to give numbers as large as the
# teacher's.
#
# MobileBERT also uses ReLU in place of GELU, for the same reason: a comparison is faster than an error function.
#
# ## The trigram embedding
#
# The embedding table of the words is narrow too: $E$ = {{mobile.config.embedding_size}}, a quarter of $D$. To make up
# for it, each token reads three embeddings, its neighbours' and its own, and a linear layer makes $D$ features of them
# (section 3.4). Here are four tokens with $E = 2$, whose two features are the token's number, and what they become:

# %%
numbers = torch.tensor([[[1.0, 1.0], [2.0, 2.0], [3.0, 3.0], [4.0, 4.0]]])  # (B, S, E)
columns = ["next", "", "own", "", "previous", ""]
tokens = [f"token {n}" for n in (1, 2, 3, 4)]
plots.grid(with_neighbours(numbers)[0], tokens, columns, "(S, E) becomes (S, 3 E)", digits=0)

# %% [markdown]
# There are zeros where there is no neighbour. So here attention is not the only place where tokens meet, which has a
# strange effect. In a padded batch the last real token has a neighbour, the padding:

# %%
tok = minibert.load_tokenizer("minilm-l6")
text, longer = "Two hours.", "Two hours that I will never get back."
strong = dataclasses.replace(tiny.config, initializer_range=0.1)  # so that three digits show it
tiny = minibert.build(strong, seed=0).eval()
with torch.no_grad():
    alone = tiny(**tok([text])).last_hidden_state[0]
    padded = tiny(**tok([text, longer])).last_hidden_state[0, : len(alone)]
difference = (alone - padded).abs().amax(dim=-1)
print("largest difference in each token:", [f"{value:.3f}" for value in difference.tolist()])

# %% [markdown]
# It starts at `[SEP]`, the last token, and attention carries it to the others. The released weights were trained that
# way; a comparison with numbers of a single text must be made without padding.
#
# ## A teacher of the same shape
#
# A thin and deep model is hard to train from random weights (section 1). So the authors trained a teacher that is
# *designed* to be imitated. IB-BERT has the same twenty-four layers, the same {{D}} features between them and the same
# number of heads. It is wide only inside (an *inverted* bottleneck):
# {{minibert.count_parameters(teacher_kind) / 1e6 | .0f}} million parameters, against the student's
# {{minibert.count_parameters(mobile) / 1e6 | .1f}}. Read each list downwards:

# %%
one_teacher = [("comes in", D), ("into the body", wide), ("attention", wide), ("feed-forward", wide_inner)]
one_student = [("comes in", D), ("into the body", body), ("attention", body), ("feed-forward", inner)]
student_name = f"The student, MobileBERT: feed-forward {repeats} times"
models = {"The teacher, IB-BERT": [*one_teacher, ("back", wide), ("goes out", D)]}
models |= {student_name: [*one_student, ("back", body), ("goes out", D)]}
plots.widths(models, "A token's way through one block of each")

# %% [markdown]
# What goes out is equally wide in both, so every layer of the student can be compared with the same layer of the
# teacher (section 3.5, equations 1 and 2):
#
# $$\mathcal{L}_{FMT}^{\ell} = \frac{1}{TN} \sum_{t,n} \big(H^{tr}_{t,\ell,n} - H^{st}_{t,\ell,n}\big)^2 \qquad
# \mathcal{L}_{AT}^{\ell} = \frac{1}{TA} \sum_{t,a} D_{KL}\big(a^{tr}_{t,\ell,a} \,\|\, a^{st}_{t,\ell,a}\big)$$
#
# $T$ tokens, $N$ features, $A$ heads (the paper's letters: our S, D and H; this $T$ is no temperature), $\ell$ the
# layer; $tr$ is the teacher and $st$ the student. The first compares what comes out of a layer, the second where its
# heads look.
#
# **Optional**, for the challenge below: the paper replaces the first loss by three, the differences of the normalised
# patterns, of the means and of the variances, each with a weight of its own (section 3.5; the weights are in the
# released code). Here are three small vectors, to show what each of them measures:

# %%
target = torch.tensor([[1.0, -1.0, 2.0, -2.0]])
for name, vector in {"equal": target, "shifted by one": target + 1, "twice as long": 2 * target}.items():
    total, pattern, mean, variance = feature_map_loss(vector, target)
    square = (vector - target).square().mean()
    print(f"{name:<15} square {square:.2f}: pattern {pattern:.2f}, mean {mean:.2f}, variance {variance:.2f}")

# %% [markdown]
# Shifting or lengthening a vector does not change its pattern.
#
# ## Teach a real one
#
# Now with real weights. The teacher is MiniLM-L6, a trained BERT. The student has the same outside: {{6}} layers,
# {{384}} features, {{12}} heads, and a body of a quarter of the width. It gets the teacher's embeddings. Its blocks are
# random. They are taught one after the other from the lowest, each with the two losses, while everything else is
# frozen: **progressive transfer** (section 3.6). (It keeps layer norm and GELU, like a MobileBERT that need not run on
# a phone. Its teacher is an ordinary BERT, which has the same outside.)

# %% tags=["trained"]
teacher = minibert.from_pretrained("minilm-l6").eval()
like = teacher.config
config = MobileBertConfig(
    vocab_size=like.vocab_size,
    hidden_size=like.hidden_size,
    num_hidden_layers=like.num_hidden_layers,
    num_attention_heads=like.num_attention_heads,
    embedding_size=like.hidden_size,
    intra_bottleneck_size=like.hidden_size // 4,
    intermediate_size=like.hidden_size,
    normalization_type="layer_norm",
    hidden_act="gelu",
)
student = minibert.build(config, seed=0).eval()
copied = copy_outer_parts(student, teacher)
with torch.no_grad():  # each token's own embedding goes through as it is, the neighbours' count for nothing
    projection = student.embeddings.projection
    projection.bias.zero_()
    projection.weight.copy_(torch.cat([torch.zeros(384, 384), torch.eye(384), torch.zeros(384, 384)], dim=1))
blocks = [minibert.count_parameters(model.encoder) for model in (teacher, student)]
print(f"parameters of the blocks: {blocks[0]:,} and {blocks[1]:,}, {blocks[0] / blocks[1]:.1f} times fewer")

texts = [review.text for review in load_reviews("rotten-tomatoes").train[:200]]
batches = [tok(texts[start : start + 8], max_length=32) for start in range(0, 160, 8)]
held_out = tok(texts[168:], max_length=32)


def sentence_vectors(model):
    """(B, D): the mean over the real tokens, of length 1."""
    real = held_out["attention_mask"][..., None]
    with torch.no_grad():
        return F.normalize((model(**held_out).last_hidden_state * real).sum(1), dim=-1)


right = sentence_vectors(teacher)
before = (sentence_vectors(student) * right).sum(-1).mean().item()
stages = progressive_transfer(student, teacher, batches, steps=40, learning_rate=4e-3, averaged=2)
after = (sentence_vectors(student) * right).sum(-1).mean().item()

# %% tags=["trained"]
left = {f"layer {stage.layer + 1}": 100 * stage.after / stage.before for stage in stages}
plots.bars(left, "% of a layer's loss that is left; lower is better", "One layer after the other", digits=0)

# %% tags=["trained"]
others = (right @ right.T)[~torch.eye(len(right), dtype=torch.bool)].mean().item()
print(f"cosine with the teacher's vectors, held-out sentences: {before:.2f} before, {after:.2f} after")
print(f"the teacher's vectors of two different sentences: {others:.2f}")

# %% [markdown]
# Every layer gets nearer to its teacher, the lowest one most. The layers above it are all harder, probably because
# their inputs are already a little wrong. The directions of the student's vectors are now much closer to the teacher's,
# but still far from equal: this was only some seconds of training. (The paper also continues to train the lower layers
# with a small rate, and trains for {{TRANSFER_STEPS | ,}} steps, section 4.2; then it distils the masked words.)
#
# ## The claims
#
# **Smaller**: {{claims.results(["M1"])[0].ours}}. The paper says {{SMALLER}} (abstract and Table 1). With the block as
# the paper describes it, the model would have {{minibert.count_parameters(described) / 1e6 | .1f}} million parameters,
# and {{minibert.count_parameters(bert) / minibert.count_parameters(described) | .2f}} times fewer than BERT-base.
#
# **Faster**: the paper has {{FASTER}} times, on a Pixel phone (Table 4). Our measurement ran on two threads of an
# ordinary CPU, with {{claims.results(["M2"])[0].figures["tokens"]}} tokens:

# %%
speed = claims.results(["M2"])[0].figures
operations = speed["operations"]["bert-base-uncased"] / speed["operations"]["mobilebert-uncased"]
faster = {
    "operations, counted here": operations,
    "CPU, here": speed["ratio"]["mobilebert-uncased"],
    "CPU, with layer norm and GELU": speed["ratio"]["MobileBERT with layer norm and GELU"],
    "phone, Table 4": 342 / 62,
    "phone, with layer norm and GELU": 342 / 192,
}
plots.bars(faster, "times as fast, or times fewer operations (BERT-base: 1)", "The same model on two machines")

# %% [markdown]
# How fast a model is depends on the machine. On the phone NoNorm and ReLU make most of the difference, on the CPU
# almost none. And on the CPU the model is slower than the count of operations suggests, because each of
# the many small steps in twenty-four layers takes some extra time.
#
# **As good as BERT-base?** In the paper {{78.3 - 77.7 | .1f}} points of GLUE less (tests of language understanding,
# lesson 09; Table 4), and better on SQuAD (find the answer in a passage, lesson 11; Table 5). `minibert claims M3`
# shows whether it was measured here.
#
# ## What could go wrong
#
# - **NoNorm taken for a layer norm**, because the checkpoint calls it `LayerNorm`. Scale and shift fit, and the numbers
#   are wrong everywhere.
# - **The three thirds in another order**, or zeros at the wrong end. The shape is right.
# - **A loss over padding.** Only real tokens count, in both losses.
# - **A gradient into the teacher.** It must not change.
# - **KL the wrong way round**: the teacher's distribution weights the terms.
# - **Width taken for speed.** Measure on the machine that it will run on.
#
# ## Exercises
#
# A warm-up (the formula is above), and then two exercises whose code is not above.

# %% exercise="no-norm"

# %% exercise="trigram"

# %% exercise="feature-transfer"

# %% [markdown]
# **The trigram by hand**, for later: a row of zeros at each end, and three views of the same sequence.

# %% fold="By hand" tags=["folded"]
zero = torch.zeros(1, 1, 2)
following = torch.cat([numbers[:, 1:], zero], dim=1)  # at each place the next token's embedding
preceding = torch.cat([zero, numbers[:, :-1]], dim=1)
by_hand = torch.cat([following, numbers, preceding], dim=-1)
print("as the library's:", torch.equal(by_hand, with_neighbours(numbers)))

# %% [markdown]
# ## In short
#
# - Narrow inside, {{D}} features outside: the outside is what layers, and models, have in common.
# - In the paper's block, four feed-forward parts bring attention and feed-forward back to about BERT's balance; in the
#   released one attention is smaller still. Three embeddings make up for a narrow table.
# - NoNorm scales and shifts, and normalises nothing.
# - A teacher with the same outside can teach every layer: states and attention, from the lowest layer up.
#
# **To read.** Sun et al. 2020, *MobileBERT: a Compact Task-Agnostic BERT for Resource-Limited Devices*, section 3.
# Then [minibert/models/mobilebert.py](../minibert/models/mobilebert.py) and
# [minibert/training/transfer.py](../minibert/training/transfer.py).
#
# **Next:** [XLNet](13_xlnet.ipynb), which hardly changes the block, but changes what is predicted.
