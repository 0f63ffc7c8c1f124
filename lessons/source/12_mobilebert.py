# %% [markdown]
# # MobileBERT: deep and thin
#
# > How can a BERT run on a phone without losing half of its layers?
#
# DistilBERT leaves out half of the layers, ALBERT stores one for all. MobileBERT has twenty-four, twice as many as
# BERT-base, and makes each of them thin. Why not fewer layers, or simply narrow ones? Shallow networks usually cannot
# represent enough, and narrow deep ones are difficult to train (Sun et al. 2020, section 1). So it keeps the depth, and
# is helped in its training by a special teacher. Here is one block. Read it from the bottom. The flat bars are a
# token's vectors, and their widths are to scale.

# %% tags=["folded"]
import copy
import dataclasses
from math import log10

import torch
from torch.nn import functional as F

import minibert
from minibert import claims, plots
from minibert.attention import Layout
from minibert.encoder import initialise
from minibert.models.mobilebert import MobileBertBlock, MobileBertConfig, with_neighbours
from minibert.training.data import load_reviews
from minibert.training.transfer import (
    attention_transfer_loss,
    copy_outer_parts,
    feature_map_loss,
    layer_transfer_loss,
    progressive_transfer,
)

torch.set_num_threads(1)  # with models as small as these a second thread brings little

NAMES = ("bert-base-uncased", "ib-bert-large", "mobilebert-uncased")
with torch.device("meta"):  # shapes without numbers: enough to count
    bert, teacher_kind, mobile = (minibert.build(name) for name in NAMES)
D, body, inner = mobile.config.hidden_size, mobile.config.intra_bottleneck_size, mobile.config.intermediate_size
repeats = mobile.config.num_feedforward_networks
wide, wide_inner = teacher_kind.config.intra_bottleneck_size, teacher_kind.config.intermediate_size
with torch.device("meta"):  # the block as the paper describes it: queries and keys read the wide vector, too
    described = minibert.build(dataclasses.replace(mobile.config, key_query_shared_bottleneck=False))
PAPER_MILLIONS, SMALLER, FASTER = 25.3, 4.3, 5.5  # Sun et al. 2020, abstract and Table 1
PHONE = 342, 62, 192  # ms: BERT-base, MobileBERT, MobileBERT with layer norm and GELU: Table 4
TRANSFER_STEPS = 240_000  # section 4.2
recorded = claims.results(["M2"])[0].figures  # on a CPU
speed, operations = recorded["ratio"], recorded["operations"]  # times as fast as BERT-base; of one text
fewer = operations["bert-base-uncased"] / operations["mobilebert-uncased"]

# %%
plots.bottleneck_block(D, body, inner, repeats, "One block of MobileBERT")

# %% [markdown]
# Between the blocks a token has $D$ = {{D}} features, the *inter-block* hidden size. One linear layer narrows them to
# {{body}}, the *intra-block* hidden size; we call this inner part the **body**. There attention and four feed-forward
# parts do the work. Another linear layer widens the result again, and what came in is added (section 3.1, figure 1c;
# the two sizes are named so in section 4.1).
#
# Look at what attention reads. Queries and keys come from a bottleneck of their own, but the *values* come from all of
# $x$. So *where* a head looks is decided from a narrow vector, and what it passes on comes from the wide one. (This is
# the released model's setting.)
#
# This lesson goes through the block, counts it, and then teaches a thin model from a wide one, layer by layer. (It uses
# no published weights of a MobileBERT.)
#
# Write the block, by the picture, from the bottom. Its weights are random, and it is a quarter as wide,
# {{minibert.PRESETS["tiny-mobilebert"].hidden_size}} outside and
# {{minibert.PRESETS["tiny-mobilebert"].intra_bottleneck_size}} in the body. You have `block.bottleneck`,
# `block.attention_bottleneck`, `block.attention_norm`, the feed-forward parts `[*block.stacked, block.last]`,
# `block.widen` and `block.norm`. `block.attention(queries, key=..., value=..., layout=Layout())` has the linear layers
# for q, k and v in it; it returns what you need, and the weights. Replace the function's line, run the cell, and
# compare:

# %%
tiny = minibert.build("tiny-mobilebert", seed=0).eval()
x = torch.randn(1, 6, tiny.config.hidden_size)  # (B, S, D), as it comes from the block below
block = tiny.encoder.blocks[0]
with torch.no_grad():
    for parameter in block.parameters():  # the norms', too, so that every mistake shows
        parameter += 0.1 * torch.randn_like(parameter)


def mobile_block(x):
    """What a block makes of x: (B, S, D) -> (B, S, D)."""
    return torch.zeros_like(x)


with torch.no_grad():
    mine, right = mobile_block(x), block(x, Layout())[0]
print("✓" if mine.shape == right.shape and torch.allclose(mine, right, atol=1e-5) else "✗", tuple(mine.shape))

# %% [markdown]
# Below, after your own attempt: the block, with the names of the picture.

# %% tags=["folded"] fold="By hand"
with torch.no_grad():
    narrow = block.bottleneck(x)  # what the body starts from
    shared = block.attention_bottleneck(x)  # what queries and keys are made of
    attended, weights = block.attention(shared, key=shared, value=x, layout=Layout(), return_weights=True)
    inside = block.attention_norm(narrow + attended)
    for step in [*block.stacked, block.last]:
        inside = step(inside)
    out = block.norm(x + block.widen(inside))
shapes = {"x": x, "narrow": narrow, "shared": shared, "weights": weights, "inside": inside, "out": out}
for name, tensor in shapes.items():
    print(f"{name:<8} {tuple(tensor.shape)}")
print("as the library's block:", torch.allclose(out, right, atol=1e-5))

# %% [markdown]
# ## How small is it?
#
# The paper says {{PAPER_MILLIONS}} million parameters, {{SMALLER}} times fewer than BERT-base (abstract and Table 1).
# The paper's block differs from the released one in one point: queries and keys, too, read the wide vector. Count both:

# %%
bert_size, paper_size, size = map(minibert.count_parameters, (bert, described, mobile))
counted = {
    "BERT-base": bert_size,
    f"MobileBERT, as the paper says: {SMALLER} times fewer": PAPER_MILLIONS * 1e6,
    f"the paper's block, counted: {bert_size / paper_size:.2f} times fewer": paper_size,
    f"the released block, counted: {bert_size / size:.2f} times fewer": size,
}
millions = {name: parameters / 1e6 for name, parameters in counted.items()}
print(f"BERT-base {bert_size:,}, the paper's block {paper_size:,}, the released one {size:,}")
plots.bars(millions, "million parameters", "A quarter of BERT-base, in twice the layers", marked=[*counted][2:])

# %% [markdown]
# The paper's numbers are those of the paper's block, nearly to the last digit: {{paper_size / 1e6 | .1f}} million
# parameters, {{bert_size / paper_size | .2f}} times fewer than BERT-base. The released model is a little smaller still.
#
# ## Why four feed-forward parts?
#
# In a BERT, attention has half as many parameters as the feed-forward part. In a bottleneck the balance changes:
# attention reads the wide vector, and the feed-forward part is small. So MobileBERT stacks several (section 3.2). Guess
# how many are needed to come back to a half:


# %%
def ratio(block, parts):
    """The parameters of attention for each parameter of so many feed-forward parts."""
    one_part = minibert.count_parameters(block.last.feed_forward)
    return minibert.count_parameters(block.attention) / (parts * one_part)


of_bert, of_paper, of_released = (model.encoder.blocks[0] for model in (bert, described, mobile))
attention, feed_forward = map(minibert.count_parameters, (of_bert.attention, of_bert.feed_forward))
ratios = {"BERT-base": attention / feed_forward}
ratios |= {f"the paper's block, {n} feed-forward": ratio(of_paper, n) for n in (1, 2, 3, 4)}
ratios["the released block, 4 feed-forward"] = ratio(of_released, 4)
unit = "parameters of attention, for each one of feed-forward"
plots.bars(ratios, unit, "The balance in a block", digits=2, marked=["BERT-base"])

# %% [markdown]
# Three parts give {{ratio(of_paper, 3) | .2f}} and four {{ratio(of_paper, 4) | .2f}}, on both sides of BERT's
# {{ratios["BERT-base"] | .2f}}. The authors' scores were highest between {{0.4}} and {{0.6}} (section 4.1). In the
# released block queries and keys read the narrow vector, and the ratio falls to {{ratio(of_released, 4) | .2f}}. So the
# released model leaves the range that its authors found best. We know of no reason that they give.
#
# ## NoNorm
#
# On the phone of the paper, layer norm took more time than its few operations suggest: it needs mean and variance
# before it can return the first number. So MobileBERT keeps the learned scale and shift, and leaves out the
# normalisation (section 3.3):
#
# $$\text{NoNorm}(h) = \gamma \circ h + \beta$$
#
# One line, as a warm-up:

# %% exercise="no-norm"

# %% [markdown]
# What is lost? By hand, for one token of four features, and for the same token a hundred times as long:

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
# Layer norm gives the same for $100\,h$ as for $h$. NoNorm does not, so nothing keeps the numbers small. Here are
# twenty-four blocks of MobileBERT's size, and the largest number in the vectors on their way. The weights are random,
# with the standard deviation of fresh ones, {{0.02}}, and three times as large:

# %%
largest = {}
for kind, std in (("layer_norm", 0.06), ("no_norm", 0.06), ("no_norm", 0.02)):
    config = dataclasses.replace(mobile.config, normalization_type=kind)
    torch.manual_seed(0)
    x, logs = torch.randn(1, 16, D), []
    for _ in range(24):
        block = MobileBertBlock(config)
        initialise(block, std)
        with torch.no_grad():
            x, _ = block.eval()(x, Layout())
        logs.append(x.abs().max().log10().item())
    largest[f"{kind.replace('_', ' ')}, weights {std}"] = (range(1, 25), logs)
title = "With large weights and no norm, the numbers grow"
limit = {"float16 ends": log10(torch.finfo(torch.float16).max)}
plots.lines(largest, "blocks passed", "log₁₀ of the largest number", title, limit)

# %% [markdown]
# The scale is logarithmic: two more means a hundred times as large. Fresh weights do little harm, but weights may grow
# during training. The dashed line is the largest number of `float16`, {{torch.finfo(torch.float16).max | ,.0f}}. So be
# careful with half precision: fine-tuning the published MobileBERT in `float16` is reported to give NaN, first in the
# encoder ([an issue of `transformers`](https://github.com/huggingface/transformers/issues/11327); we have not tried
# it).
#
# MobileBERT also uses ReLU in place of GELU, which is faster to compute. What the two changes bring depends on the
# machine. With layer norm and GELU the paper's phone takes {{PHONE[2]}} ms for a text in place of {{PHONE[1]}} (Table
# 4). On the CPU of our measurement the model is {{speed["mobilebert-uncased"] | .1f}} times as fast as BERT-base, and
# with layer norm and GELU still {{speed["MobileBERT with layer norm and GELU"] | .1f}} times. It needs
# {{fewer | .1f}} times fewer operations (lesson 06), so a good part of that saving does not arrive: twenty-four layers
# are many small steps.
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
# There are zeros where there is no neighbour. Now write it:

# %% exercise="trigram"

# %% [markdown]
# **By hand**, to compare with when you have passed: a row of zeros at each end, and three views of one sequence.

# %% fold="By hand" tags=["folded"]
zero = torch.zeros(1, 1, 2)
following = torch.cat([numbers[:, 1:], zero], dim=1)  # at each place the next token's embedding
preceding = torch.cat([zero, numbers[:, :-1]], dim=1)
by_hand = torch.cat([following, numbers, preceding], dim=-1)
print("as the library's:", torch.equal(by_hand, with_neighbours(numbers)))

# %% [markdown]
# So attention is not the only place where tokens meet. In a padded batch the last real token has a neighbour, the
# padding. Here is the test of lesson 03, the same text alone and in a batch:

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
# MobileBERT **fails** the test, and this is no bug of the library: the trigram of `[SEP]`, the last token, reads the
# embedding of the padding after it (in the code of `transformers`, too). The difference is largest there, and attention
# carries it to the others. So a text gets slightly different vectors in different batches.
#
# ## A teacher of the same shape
#
# For the training the authors made a teacher that is *designed* to be imitated. IB-BERT has the same twenty-four
# layers, the same number of heads, and the same inter-block size, {{D}}. It is wide only inside (an *inverted*
# bottleneck): {{minibert.count_parameters(teacher_kind) / 1e6 | .0f}} million parameters, against the student's
# {{minibert.count_parameters(mobile) / 1e6 | .1f}}. Read each from the bottom, like the block above:


# %%
def way(body, inner):
    """A token's vector after each step, from the last to the first."""
    inside = [("feed-forward", body), ("in its middle", inner), ("attention", body), ("the body", body)]
    return [("out", D), *inside, ("x", D)]


models = {"The teacher, IB-BERT": way(wide, wide_inner)}
models |= {f"The student, MobileBERT: feed-forward {repeats} times": way(body, inner)}
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
# **For the challenge** (skip it at first reading): the paper replaces the first loss by three, the differences of the
# normalised patterns, of the means and of the variances, each with a weight of its own (section 3.5; the weights are in
# the released code). Three small vectors show what each of them measures:

# %%
target = torch.tensor([[1.0, -1.0, 2.0, -2.0]])
for name, vector in {"equal": target, "shifted by one": target + 1, "twice as long": 2 * target}.items():
    total, pattern, mean, variance = feature_map_loss(vector, target)
    square = (vector - target).square().mean()
    print(f"{name:<15} square {square:.2f}: pattern {pattern:.2f}, mean {mean:.2f}, variance {variance:.2f}")

# %% [markdown]
# Shifting or scaling a vector does not change its pattern.

# %% exercise="feature-transfer"

# %% [markdown]
# ## One layer, with real weights
#
# The teacher is MiniLM-L6, a trained BERT. The student has the same outside: {{6}} layers,
# {{384}} features, {{12}} heads, and a body of a quarter of the width. It gets the teacher's embeddings, and its blocks
# are random. (It keeps layer norm and GELU, like a MobileBERT that need not run on a phone.)

# %% tags=["folded"] fold="The teacher, the student and the texts"
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


# %% [markdown]
# Everything but the lowest block is frozen. Both models read the same batch, and the two losses compare them:

# %% tags=["trained"]
apart, at_once = copy.deepcopy(student), copy.deepcopy(student)  # for later
one = copy.deepcopy(student).requires_grad_(False)
lowest = one.encoder.blocks[0].requires_grad_(True)
optimiser = torch.optim.Adam(lowest.parameters(), lr=4e-3)
keep = {"return_hidden": True, "return_attention": True}
falling = []
for step in range(60):
    batch = batches[step % len(batches)]
    with torch.no_grad():  # the teacher does not change
        wanted = teacher(**batch, **keep)
    given, real = one(**batch, **keep), batch["attention_mask"]
    # hidden_states[0] is the embeddings, [1] what the lowest block gives
    states = feature_map_loss(given.hidden_states[1], wanted.hidden_states[1], real).total
    looks = attention_transfer_loss(given.attentions[0], wanted.attentions[0], real)
    optimiser.zero_grad()
    (states + looks).backward()
    optimiser.step()
    falling.append((states + looks).item())
    if step % 15 == 0 or step == 59:
        print(f"step {step:>2}  states {states:7.1f}   attention {looks:.2f}")

# %% tags=["folded", "trained"]
curve = {"layer 1": (range(1, 61), falling)}
plots.lines(curve, "step", "loss of the layer (lower is better)", "One layer learns")

# %% [markdown] tags=["trained"]
# After {{60}} steps {{falling[-1] / falling[0] | .0%}} of the loss is left. (It jumps a little, because each step has
# other texts. The states have nearly all of the sum: their weights are large in the released code.)
#
# ## Then the next one
#
# When a layer is done, it is frozen, and the layer above it has its turn: **progressive transfer** (section 3.6).
# `progressive_transfer` is the loop above, once for each layer, from the lowest up:


# %% tags=["trained"]
def sentence_vectors(model):
    """(B, D): the mean over the real tokens, of length 1."""
    real = held_out["attention_mask"][..., None]
    with torch.no_grad():
        return F.normalize((model(**held_out).last_hidden_state * real).sum(1), dim=-1)


right = sentence_vectors(teacher)
before = (sentence_vectors(student) * right).sum(-1).mean().item()
stages = progressive_transfer(student, teacher, batches, steps=40, learning_rate=4e-3, averaged=2)
after = (sentence_vectors(student) * right).sum(-1).mean().item()
others = (right @ right.T)[~torch.eye(len(right), dtype=torch.bool)].mean().item()
print(f"cosine with the teacher's vectors, held-out sentences: {before:.2f} before, {after:.2f} after")
print(f"the teacher's vectors of two different sentences: {others:.2f}")
left = {f"layer {stage.layer + 1}": 100 * stage.after / stage.before for stage in stages}
plots.bars(left, "% of a layer's loss that is left; lower is better", "One layer after the other", digits=0)

# %% [markdown] tags=["trained"]
# Two different sentences have a cosine of {{others | .2f}} in the teacher. Before the transfer, the student's vector of
# a sentence was no nearer to the teacher's than that ({{before | .2f}}); now it is ({{after | .2f}}). Every layer gets
# nearer to its teacher, the lowest one most. Are the others harder because each reads what the layers below it make,
# which is already a little wrong? Teach each block alone, from the *teacher's* states, with as many steps:

# %% tags=["trained"]
blocks = apart.encoder.blocks  # the same random blocks as before
with torch.no_grad():
    known = [teacher(**batch, **keep) for batch in batches]


def loss_alone(layer, number):
    real, wanted = batches[number]["attention_mask"], known[number]
    layout = Layout(real)
    out, looks = blocks[layer](layout.pack(wanted.hidden_states[layer]), layout, return_weights=True)
    states = feature_map_loss(layout.unpack(out), wanted.hidden_states[layer + 1], real).total
    return states + attention_transfer_loss(looks, wanted.attentions[layer], real)


def measured(layer):
    with torch.no_grad():
        return (loss_alone(layer, 0) + loss_alone(layer, 1)).item()


alone = []
for layer, block in enumerate(blocks):
    optimiser, start = torch.optim.Adam(block.parameters(), lr=4e-3), measured(layer)
    for step in range(40):
        optimiser.zero_grad()
        loss_alone(layer, step % len(batches)).backward()
        optimiser.step()
    alone.append(100 * measured(layer) / start)
together = (sentence_vectors(apart) * right).sum(-1).mean().item()
print(f"cosine with the teacher's vectors: {after:.2f} taught in turn, {together:.2f} taught apart")
panels = {"from the student's states": [*left.values()], "from the teacher's": alone}
plots.distributions(panels, [*left], "What a wrong input costs", "% of the loss that is left", digits=0)

# %% [markdown] tags=["trained"]
# To a good part, probably: from right states, a smaller share of the loss is left in every layer above the first.
# (Each share is of the block's own loss at the start, so compare them with care.) But stacked, these blocks are *worse*
# than those taught in turn: a cosine of {{together | .2f}} against {{after | .2f}}. Perhaps none has learned to live
# with the mistakes below it. (All this is one run each, with one seed, on {{len(right)}} sentences.) A third way is to
# teach all layers at the same time, by the sum of their losses (the paper's *joint* transfer, section 3.6). Again as
# many steps for each layer:

# %% tags=["trained"]
at_once.requires_grad_(False).encoder.requires_grad_(True)
optimiser = torch.optim.Adam(at_once.encoder.parameters(), lr=4e-3)
for step in range(40):
    batch, wanted = batches[step % len(batches)], known[step % len(batches)]
    given = at_once(**batch, **keep)
    real = batch["attention_mask"]
    losses = [layer_transfer_loss(given, wanted, layer, real) for layer in range(len(blocks))]
    optimiser.zero_grad()
    sum(losses).backward()
    optimiser.step()
jointly = (sentence_vectors(at_once) * right).sum(-1).mean().item()
lead = ((sentence_vectors(student) - sentence_vectors(at_once)) * right).sum(-1)  # of each sentence
error = lead.std() / len(lead) ** 0.5
print(f"in turn is {lead.mean():.2f} better than at the same time, standard error {error:.3f}")
ways = {"not taught": before, "apart": together, "all at the same time": jointly, "in turn": after}
unit = "cosine with the teacher's vectors; higher is better"
plots.bars(ways, unit, "The layers not taught, and taught in three ways", digits=2)

# %% [markdown] tags=["trained"]
# Joint transfer comes close to progressive transfer, which the paper chose: {{jointly | .2f}} against {{after | .2f}},
# in a sixth of all steps (each of them trains all six blocks). The standard error is over the sentences; another seed
# may change more, and the training is far from its end. The paper goes on training the lower layers with a small rate,
# takes {{TRANSFER_STEPS | ,}} steps (section 4.2), and then distils the masked tokens.
#
# **As good, and as fast?** In the paper MobileBERT is {{78.3 - 77.7 | .1f}} points behind BERT-base on GLUE, ahead on
# SQuAD (find the answer in a passage, Table 5), and {{FASTER}} times as fast on a phone (Table 4). On a CPU that
# shrinks: [lesson 15](15_the_claims_checked.ipynb) has a case on it.
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

# %% [markdown]
# ## In short
#
# - Each block works in a narrow body of {{body}} features. Between the blocks there are {{D}}, in the student and in
#   the teacher, so each layer can be compared with its teacher's.
# - Three or four feed-forward parts bring the balance back near BERT's. Three embeddings make up for a narrow table.
# - NoNorm scales and shifts, and normalises nothing.
# - The teacher teaches every layer its states and its attention, from the lowest layer up.
#
# **To read.** Sun et al. 2020, *MobileBERT: a Compact Task-Agnostic BERT for Resource-Limited Devices*, section 3.
# Then [minibert/models/mobilebert.py](../minibert/models/mobilebert.py) and
# [minibert/training/transfer.py](../minibert/training/transfer.py).
#
# **Next:** [XLNet](13_xlnet.ipynb), which hardly changes the block, but changes what is predicted.
