# %% [markdown]
# # ALBERT: factorise and share
#
# > What if all twelve layers were the same layer?
#
# DistilBERT leaves half of the layers out. ALBERT (Lan et al. 2020) does something different. It keeps every layer but
# stores only one of them, which it runs twelve times. And it keeps every word, but in a table that is much narrower.
#
# Here are the two, from the bottom to the top. A dashed box costs nothing to store: it is the box below, run again.

# %% tags=["folded"]
import copy
import math

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

import minibert
from minibert import claims, plots
from minibert.claims import trained
from minibert.encoder import Encoder
from minibert.layers import gelu, gelu_tanh
from minibert.training.batching import single
from minibert.training.data import load_reviews
from minibert.training.tasks import MaskedWords, held_out_losses, loss_by_frequency

torch.set_printoptions(precision=3)
with torch.device("meta"):  # shapes without numbers: enough to count
    bert, albert = minibert.build("bert-base-uncased"), minibert.build("albert-base-v2")
V, D, L = albert.config.vocab_size, albert.config.hidden_size, albert.config.num_hidden_layers
E = albert.config.embedding_size
of_bert, of_albert = minibert.count_parameters(bert), minibert.count_parameters(albert)

# %%
twelve = [f"block {number}" for number in range(1, L + 1)]
columns = {
    f"BERT: {of_bert / 1e6:.1f} M": [f"words: V × {D}", "positions", *twelve, "pooler"],
    f"ALBERT: {of_albert / 1e6:.1f} M": [f"words: V × {E}", "positions", "widen", *["block"] * L, "pooler"],
}
plots.stacks(columns, "Twelve blocks, or one twelve times (not to scale)")

# %% [markdown]
# {{of_albert | ,}} parameters in place of {{of_bert | ,}}: {{of_bert / of_albert | .1f}} times fewer. In this
# lesson you build both savings, count them, and ask what they do not save and what they cost.
#
# ## A wide table out of two thin ones
#
# BERT's word table has a row for each of its $V$ pieces, as wide as the blocks. But a row knows the word alone, without
# its neighbours; the blocks need their width for the word *in its context* (section 3.1). So make the table narrow, $E$
# wide, and widen each vector with one learned matrix. This is a **factorised** embedding:
#
# $$V \times H \quad \rightarrow \quad V \times E \;+\; E \times H$$
#
# The paper's $H$ is the width of the blocks, which is D in this library (where H counts heads).

# %%
print(f"V = {V:,}, D = {D}")
print(f"{'one table':<10} {V * D:>11,}")
for e in (64, E, 256, D):
    print(f"{f'E = {e}':<10} {V * e + e * D:>11,}   {(V * e + e * D) / (V * D):.0%} of it")

# %% [markdown]
# $V$ is large, so the term $V \times E$ decides: $E \times D$ is small next to it. (With E = D nothing is saved, and
# the matrix comes on top.)
#
# Where does the width change? The sum of word, position and type, and the layer norm, are as in BERT, but E wide. The
# widening comes last:
#
# ids (B, S) → sum (B, S, E) → layer norm (B, S, E) → linear (B, S, D)
#
# Everything after it is as wide as in a BERT. Write it: replace `raise NotImplementedError()`, run the cell, then the
# check.

# %% exercise="factorised-embedding"

# %% [markdown]
# Below, folded: one text on its way through a small ALBERT, one step after another.

# %% tags=["folded"] fold="Step by step"
tok = minibert.load_tokenizer("minilm-l6-mlm")
tiny = minibert.build("tiny-albert", seed=0).eval()
ids = tok(["A quiet film that stays with you."])["input_ids"]
positions, types, table = tiny.position_ids(ids), torch.zeros_like(ids), tiny.embeddings
with torch.no_grad():
    summed = table.word(ids) + table.position(positions) + table.token_type(types)
    normed = table.norm(summed)
    wide = table.projection(normed)
    assert torch.allclose(wide, table(ids, positions, types))
steps = {"ids (B, S)": ids, "sum (B, S, E)": summed, "norm (B, S, E)": normed, "wide (B, S, D)": wide}
for name, x in steps.items():
    print(f"{name:<16} {tuple(x.shape)}")

# %% [markdown]
# It is not only a saving. Rows that all pass through an $E \times D$ matrix are mixed from the same $E$ directions: the
# **rank** of the product is $E$ at most. A table that was trained without this limit makes use of its width. How much
# of MiniLM-L6's table would be left at a lower rank, as a share of the sum of its squares?

# %%
reader = minibert.from_pretrained("minilm-l6-mlm", head="masked-lm").eval()
words = reader.backbone.embeddings.word.weight.detach()  # (V, D)
strength, directions = torch.linalg.eigh(words.T @ words)  # (D,), and (D, D): a direction in each column
strength, directions = strength.flip(0), directions.flip(1)  # the largest first
kept = (strength.cumsum(0) / strength.sum()).tolist()
print(f"a table of {words.shape[0]:,} × {words.shape[1]}")
for e in (64, 128, 256):
    print(f"rank {e:>3}: {kept[e - 1]:.0%} is left")

# %% [markdown]
# So a BERT's table cannot be factorised afterwards without losing part of it; what that does to the loss comes below.
# ALBERT is narrow from its first training step.
#
# **And on the way out?** The masked-LM head uses the same table (lesson 06), which is now $E$ wide. So the head's
# linear layer goes from $D$ to $E$ ($W$ has the shape $(E, D)$), and its norm is $E$ wide:
#
# $$\text{logits} = \text{LayerNorm}(\text{GELU}(h W^\top + b))\; E^{\text{word}\top} + b_V$$
#
# ## One block, run again and again
#
# The second saving: the blocks **share** their parameters. One and the same object is used at all twelve places.

# %% exercise="shared-blocks"

# %% [markdown]
# **Optional: how a shared block learns.** (Run the cell: its copies are used again at the end.) A parameter that
# is used $L$ times gets the **sum** of the gradients of its uses:
#
# $$\frac{\partial \mathcal{L}}{\partial \theta} = \sum_{\ell=1}^{L} \frac{\partial \mathcal{L}}{\partial \theta_\ell}
# \quad \text{at } \theta_1 = \ldots = \theta_L = \theta$$
#
# To see it, put four separate copies in the place of one block. They compute the same, but each has its own gradient.

# %%
shared = minibert.build("tiny-albert", head="masked-lm", seed=0)
apart = copy.deepcopy(shared)
apart.backbone.encoder = Encoder([copy.deepcopy(apart.backbone.encoder.blocks[0]) for _ in range(4)])

batch = tok(["A quiet film that stays with you.", "Two hours I will never get back."])
for model in (shared, apart):
    model(**batch, labels=batch["input_ids"]).loss.backward()  # any loss will do; this one asks for every token

of_shared = shared.backbone.encoder.blocks[0].feed_forward.expand.weight.grad  # (F, D)
copies = apart.backbone.encoder.blocks
of_copies = torch.stack([block.feed_forward.expand.weight.grad for block in copies])  # (L, F, D)
print("lengths of the copies' gradients:", of_copies.flatten(1).norm(dim=1))
print("length of the shared gradient:   ", of_shared.norm())
print("it is their sum:", torch.allclose(of_shared, of_copies.sum(0), atol=1e-6))

# %% [markdown]
# (In this fresh model the four gradients also point nearly the same way: their lengths add up. After training they need
# not.) The one block has to learn weights that work at all places, from the first to the last. Can a model that was
# trained *without* sharing be made to share? Take the teacher of lesson 09, let one of its blocks run in several
# places, and measure its loss on masked words of held-out reviews:

# %%
S, reviews = 32, load_reviews("imdb")


def rows_of(reviews):
    """The first S tokens of each review, as a row."""
    return [single(tok.ids(review.text)[: S - 2], tok, S) for review in reviews]


held_out = MaskedWords(rows_of(reviews.validation[:120]), tok)
orders = {"as trained": (0, 1, 2, 3, 4, 5), "block 3 also for 4": (0, 1, 2, 2, 4, 5)}
orders |= {"three, each twice": (0, 0, 2, 2, 4, 4)}
orders |= {"block 1, six times": (0,) * 6, "block 6, six times": (5,) * 6}
losses = {}
for name, order in orders.items():
    reader.backbone.encoder.order = order
    losses[name] = held_out_losses(reader, held_out)["masked_lm"]
reader.backbone.encoder.order = orders["as trained"]
narrow, strongest = copy.deepcopy(reader), directions[:, :E]  # (D, E)
narrow.backbone.embeddings.word.weight.data = words @ strongest @ strongest.T  # (V, D), of rank E
losses[f"as trained, words of rank {E}"] = held_out_losses(narrow, held_out)["masked_lm"]
losses["word frequencies alone"] = loss_by_frequency(MaskedWords(rows_of(reviews.train[:2000]), tok), held_out)
title, unit = "Both savings put in afterwards, without training again", "held-out loss, nats (lower is better)"
plots.distributions({"": list(losses.values())}, list(losses), title, unit)

# %% [markdown]
# Three blocks, each run twice, still use the sentence. With the first block, or the last, in all six places the model
# is no better than the word frequencies. (The other four were not tried.) Full sharing has to be learned; it cannot
# just be switched on. Nor can the narrow table: at rank {{E}} the loss grows from {{losses["as trained"] | .1f}} to
# {{losses[f"as trained, words of rank {E}"] | .1f}}. (The table is tied: this changes both the vectors on the way in
# and the scores on the way out. And {{E}} is a third of this model's width, but a sixth of ALBERT-base's.)
#
# A good place to stop for tonight. Next, both savings are counted.
#
# ## Count it
#
# It is often said that sharing makes ALBERT twelve times smaller. That is true of the blocks. The tables are not
# shared:

# %%
sharing = claims.results(["A6"])[0].figures
apart_, shared_ = sharing["encoder_apart"], sharing["encoder_shared"]
ratio = apart_ / shared_
print(f"blocks:               {apart_ / 1e6:5.1f} M -> {shared_ / 1e6:4.1f} M, {ratio:.1f} times fewer")
for e in (768, 128):
    before, after = (sharing[f"model_{how}_{e}"] / 1e6 for how in ("apart", "shared"))
    print(f"whole model, E = {e}: {before:5.1f} M -> {after:4.1f} M, {before / after:.1f} times fewer")

# %% [markdown]
# The two savings need each other. Now count yourself: first what a model has (each shared or tied tensor once), then
# what it will have, worked out from its sizes alone.

# %% exercise="count-parameters"

# %% exercise="parameter-sizes"

# %% [markdown]
# **A hunt.** This box makes a stack of blocks that share their parameters, perhaps with a mistake. Call it, count the
# parameters of what it returns, run it, and name the mistake.

# %%
box = minibert.hunt("shared-blocks", seed=2)
box

# %% [markdown]
# Here are the published ALBERTs, and the BERTs that they are compared with. Folded above the picture: `albert-base-v2`
# worked out by hand.

# %% tags=["folded"] fold="By hand"
config = albert.config
P, types, inner = config.max_position_embeddings, config.type_vocab_size, config.intermediate_size
embeddings = (V + P + types) * E + 2 * E  # the tables, and the layer norm, which is E wide
widen, pooler = E * D + D, D * D + D
block = 4 * (D * D + D) + (D * inner + inner) + (inner * D + D) + 2 * 2 * D  # attention, F, two norms
for name, count in {"embeddings": embeddings, "widen": widen, "one block": block, "pooler": pooler}.items():
    print(f"{name:<11} {count:>10,}")
print(f"{'all':<11} {embeddings + widen + block + pooler:>10,}   counted: {of_albert:,}")

# %%
names = ("bert-base-uncased", "bert-large-uncased", "albert")
rows = [row for row in claims.family() if row.name.startswith(names)]
named = {"words": "word embeddings", "blocks": "encoder", "pooler": "pooler"}
print("\n".join(f"{row.name:<20} {row.total:>11,}" for row in rows))
notes = [f"{1 / row.ratio:.1f} times fewer" if row.ratio < 1 else "" for row in rows]
parts = {row.name: {name: row.parts[part] for name, part in named.items()} for row in rows}
for row in rows:
    parts[row.name]["all else"] = row.total - sum(parts[row.name].values())
plots.parameters_by_part(parts, notes, "One block to store leaves room for a wide one")

# %% [markdown]
# (Base is compared with BERT-base, the others with BERT-large.) You often read: "{{claims.LEDGER["A1"].statement}}" The
# paper says it of one pair, ALBERT-large and BERT-large (section 1). Counted here:
# {{claims.results(["A1"])[0].ours}}. The largest, `albert-xxlarge-v2`, has a block four times as wide as BERT-large's,
# and little is left of the saving. It is this one that leads the paper's tables (Table 2).
#
# ## What it does not save
#
# A block that is stored once still runs twelve times. For one text of `128` tokens:

# %%
in_use = claims.results(["A2-inference"])[0].figures
operations = {}
for name, model in {"BERT-base": bert, "ALBERT-base": albert}.items():
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model.eval()(torch.zeros(1, 128, dtype=torch.long, device="meta"))
    operations[name] = counter.get_total_flops()
    memory = 4 * minibert.count_parameters(model) / 1e6  # 4 bytes a number
    print(f"{name:<12} weights {memory:4.0f} MB   {operations[name] / 1e9:.1f} billion operations")
times = in_use["ratio"][in_use["tokens"].index(128)]
on_another = claims.results(["M2"])[0].figures["ratio"]["albert-base-v2"]
print(f"timed and recorded: ALBERT-base is {times:.2f} times as fast as BERT-base")

# %% [markdown]
# The weights take {{of_albert / of_bert | .0%}} of the memory, which helps with downloads and with many models on one
# machine. The work is the same, and so is the time, or nearly: {{times | .2f}} times as fast on an AMD EPYC,
# {{on_another | .2f}} on an Intel Xeon (`minibert claims A2-inference M2`), perhaps because fewer weights are read from
# memory. In *training*, time can be saved: devices
# that train together exchange all gradients after each step, and ALBERT has few. The paper reports
# {{trained.TRAINING_SPEED["albert-large-v2"]}} times the speed, large against large, and
# {{trained.TRAINING_SPEED["albert-base-v2"] / trained.TRAINING_SPEED["bert-base-uncased"] | .2f}} for base against
# base; its wide models train more slowly than BERT-large (Table 2). `minibert claims A2` shows what was measured here.
#
# ## What it costs
#
# ALBERT is often presented as smaller without a price. The paper's Table 3 has the numbers: the average of five tasks
# for four widths of the table, with all blocks shared and with none.

# %%
WIDTHS = (64, 128, 256, 768)  # Lan et al. 2020, Table 3
NOTHING_SHARED, ALL_SHARED = (81.3, 81.7, 81.8, 82.3), (79.0, 80.1, 79.6, 79.8)
doublings = [math.log2(width) for width in WIDTHS]
curves = {"nothing shared": (doublings, NOTHING_SHARED), "all shared": (doublings, ALL_SHARED)}
unit = "E, the width of the table (logarithmic)"
title = "Without sharing, a wider table helps"
picture = plots.lines(curves, unit, "average score (higher is better)", title)
picture.axes[0].set_xticks(doublings, WIDTHS)
picture

# %% [markdown]
# Often only the lower curve is quoted: E = {{WIDTHS[1]}} is best, so a narrow table costs nothing. The upper curve says
# something else. Without sharing, quality *grows* with E, by {{NOTHING_SHARED[-1] - NOTHING_SHARED[0] | .1f}} points
# from the narrowest to the widest. And sharing costs {{NOTHING_SHARED[1] - ALL_SHARED[1] | .1f}} points at E =
# {{WIDTHS[1]}}, {{NOTHING_SHARED[-1] - ALL_SHARED[-1] | .1f}} at E = {{WIDTHS[-1]}}. Which part of the sharing costs
# this?

# %%
SHARED = {"nothing": 81.6, "attention": 81.7, "feed-forward": 80.2, "all": 80.1}  # Table 4, E = 128
for what, score in SHARED.items():
    print(f"{what:<13} shared: {score}")

# %% [markdown]
# (The paper gives no spread; that its Tables 3 and 4 print {{NOTHING_SHARED[1]}} and {{SHARED["nothing"]}} for the same
# setting shows how little a tenth means.) At E = {{128}} sharing attention costs nothing that can be seen, and the
# feed-forward part nearly all. At E = {{768}} attention costs {{82.3 - 81.6 | .1f}} points too ({{82.3}} to {{81.6}}),
# and the feed-forward part {{2.8}} (Table 4).
#
# So ALBERT is below the BERT of the same name (Table 2): by
# {{trained.SCORE["bert-base-uncased"] - trained.SCORE["albert-base-v2"] | .1f}} points at base and
# {{trained.SCORE["bert-large-uncased"] - trained.SCORE["albert-large-v2"] | .1f}} at large. It wins where the saved
# parameters are spent on more width: xxlarge has {{trained.SCORE["albert-xxlarge-v2"]}}, BERT-large
# {{trained.SCORE["bert-large-uncased"]}}. Here is what our own small models say or, if nothing has been recorded, what
# is needed to find out:

# %%
print(claims.to_text(claims.results(["A3"])))

# %% [markdown]
# ## Sentence order
#
# ALBERT also replaces BERT's next-sentence task by the order of two segments ([lesson 07](07_pretraining.ipynb)). In
# the average of five tasks this has {{80.1}}, next sentences {{79.2}}, and no second task {{79.0}} (Table 5).
#
# ## What could go wrong
#
# The first mistake cannot be seen at the start: copies with equal values in the place of one block. Take the four
# copies from above, and train for one step:

# %%
first, second = (block.feed_forward.expand.weight for block in copies[:2])
print(f"largest difference before the step: {(second - first).abs().max():.1e}")
torch.optim.AdamW(apart.parameters(), lr=1e-3).step()  # with the gradients of above
print(f"and after it:                       {(second - first).abs().max():.1e}")
x = torch.linspace(-5, 5, 1001)
print(f"gelu and gelu_new differ by up to {(gelu(x) - gelu_tanh(x)).abs().max():.0e}")

# %% [markdown]
# - **Equal, not shared.** A `deepcopy` shares nothing: the copies differ after the first step. Sharing means one
#   object.
# - **Counted once for each run.** Add up over objects, not over places; the same for a tied word table.
# - **The norm at the wrong width.** The layer norm of the embeddings comes before the widening and is E wide.
# - **No widening where E equals D.** The widening is still needed: it is a learned layer, not only a change of width.
# - **The other GELU.** The second version of ALBERT uses `gelu_new`, a formula with tanh. The difference is tiny, but
#   with the wrong one a checkpoint does not give the same numbers.
# - **"Dropout removed".** In the second version its probability is zero; the layer is still there.
#
# ## In short
#
# - A table $V \times E$ and a matrix $E \times D$ in place of $V \times D$: far fewer parameters, and a rank of $E$.
# - One block, run $L$ times; its gradient is the sum over its uses. Full sharing has to be learned; it cannot just be
#   switched on.
# - This saves memory and, in training, communication. It saves no operation, so in use it is hardly faster.
# - It costs quality: ALBERT is below the BERT of the same name. Without sharing, quality grows with E. Sharing the
#   feed-forward part costs most.
#
# **To read.** Lan et al. 2020, *ALBERT*, section 3.1 and Tables 2 to 5. Then
# [minibert/models/albert.py](../minibert/models/albert.py), compared with
# [minibert/models/bert.py](../minibert/models/bert.py).
#
# **Next:** [RoBERTa](11_roberta.ipynb).
