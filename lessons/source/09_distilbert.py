# %% [markdown]
# # DistilBERT: half the depth
#
# > Half of BERT's layers are left out. What is lost, what is gained, and what exactly is left out?
#
# BERT-base is a good reader, and a heavy one. DistilBERT is the best known answer to that: nearly the same model with
# half as many blocks, cut out of a BERT and then taught by it. This lesson is about the cutting. The teaching comes
# in the next one.
#
# Here are the two, each from the bottom to the top. Look at what the right one lacks: there are three things.

# %%
import copy
import difflib
import inspect
from dataclasses import fields

import torch
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

import minibert
from minibert import claims, plots
from minibert.claims import rules
from minibert.claims.pictures import draw_retention
from minibert.experiments.statistics import mean_retention, middle, retention, retention_draws
from minibert.models.bert import Bert
from minibert.models.distilbert import DistilBert
from minibert.training.data import load_reviews
from minibert.training.distillation import RELEASED_LAYERS, alternate_layers

with torch.device("meta"):  # shapes without numbers: enough to count
    bert, distilbert = minibert.build("bert-base-uncased"), minibert.build("distilbert-base-uncased")
models = {"BERT-base": bert, "DistilBERT": distilbert}


def stack(model):
    types = ["token types"] if model.embeddings.token_type is not None else []
    blocks = [f"block {number}" for number in range(1, model.config.num_hidden_layers + 1)]
    return ["words", "positions", *types, *blocks, *(["pooler"] if model.pooler is not None else [])]


plots.stacks({name: stack(model) for name, model in models.items()}, "Half the blocks, no types, no pooler")

# %% [markdown]
# ## What exactly is left out
#
# A model of this family is a config and a short file. So the question can be asked of the code. First the two configs:
# which of their numbers differ?

# %%
same = 0
for field in fields(bert.config):
    ours, theirs = (getattr(model.config, field.name) for model in (bert, distilbert))
    same += ours == theirs
    if ours != theirs:
        print(f"{field.name:<20} BERT-base {ours!s:<6} DistilBERT {theirs}")
print(f"({same} others are the same in both)")

# %% [markdown]
# Half the depth $L$, and no token types. (The third line is the dropout of a classifier, for later.) The width $D$, the
# heads $H$ and the vocabulary are the same. That is no accident: a block of the teacher **fits** into the student as it
# is. A narrower student would have had to start from nothing.
#
# Why depth and not width? Because of time: at the same number of parameters, the authors found, a narrower model saves
# less of it than a shallower one (Sanh et al. 2019, section 3).
#
# Now the files, [bert.py](../minibert/models/bert.py) and [distilbert.py](../minibert/models/distilbert.py). What turns
# the first into the second? A minus marks a line that only BERT has, a plus one that only DistilBERT has:

# %%
ours, theirs = (inspect.getsource(model).splitlines() for model in (Bert, DistilBert))
for line in list(difflib.unified_diff(ours, theirs, lineterm="", n=0))[2:]:
    if not line.startswith("@@"):  # which lines these are
        print(line)

# %% [markdown]
# So there is the third thing: `pooler=None`. And a small fourth one, which has no parameters: the released code of
# DistilBERT does not use dropout between attention and its residual sum. All else is shared, line by line.
#
# ## Counting what is saved
#
# The claim: *{{claims.LEDGER["D1"].statement}}* Count the two models, and what each of the three omissions saves:

# %%
total, smaller = minibert.count_parameters(bert), minibert.count_parameters(distilbert)
L, kept_blocks = bert.config.num_hidden_layers, distilbert.config.num_hidden_layers
left_out = {
    f"{L - kept_blocks} blocks": bert.encoder.blocks[kept_blocks:],
    "token types": bert.embeddings.token_type,
    "pooler": bert.pooler,
}
saved = {name: minibert.count_parameters(part) for name, part in left_out.items()}
print(f"{'BERT-base':<14} {total:>12,}")
for name, count in saved.items():
    print(f"  − {name:<10} {count:>12,}  {count / total:7.3%}")
print(f"{'DistilBERT':<14} {smaller:>12,}  {1 - smaller / total:7.1%} fewer")
assert total - sum(saved.values()) == smaller

# %% [markdown]
# {{1 - smaller / total | .1%}}: the claim is right, rounded. Nearly all of it comes from the blocks
# ({{saved["6 blocks"] / total | .1%}}); token types and pooler together are
# {{(saved["token types"] + saved["pooler"]) / total | .2%}}.
#
# Half the depth, then, but not half the size. You know the reason from lesson 06: the table of words stays as it is.

# %%
counts, table = {}, bert.embeddings.word.weight.numel()
for name, model in models.items():
    parts = minibert.parameters_by_part(model)
    rest = parts["other embeddings"] + parts.get("pooler", 0)
    words, blocks = parts["word embeddings"], parts["encoder"]
    counts[name] = {"words": words, "blocks": blocks, "positions, types, pooler": rest}
notes = ["", f"{smaller / total:.0%} of BERT-base"]
plots.parameters_by_part(counts, notes, "The blocks are halved, the words stay")

# %% [markdown]
# The words are {{counts["BERT-base"]["words"] / total | .0%}} of BERT-base and
# {{counts["DistilBERT"]["words"] / smaller | .0%}} of DistilBERT. Even with no blocks at all you would save no more
# than {{counts["BERT-base"]["blocks"] / total | .0%}} of the model in this way. (ALBERT, two lessons on, narrows the
# table.)
#
# ## What "faster" means
#
# The second claim is about time: *{{claims.LEDGER["D2"].statement}}* Before anything is measured, it is worth asking
# what that says. Here are the two numbers behind it:

# %%
slow, fast = 668, 410  # seconds for BERT-base and DistilBERT: Sanh et al. 2019, Table 3, on a CPU
print(f"texts an hour: {slow / fast:.2f} times as many, {slow / fast - 1:.0%} more")
print(f"time a text:   {1 - fast / slow:.1%} less")
claimed = 0.6
print(f"{claimed:.0%} less time would have been {1 / (1 - claimed):.1f} times as many texts an hour")

# %% [markdown]
# The first two lines say the same thing, and the first sounds better. "Faster" speaks of the speed, so the claim is
# fair: {{slow / fast | .2f}} times the speed, rounded. But many people hear "in {{1 - claimed | .0%}} of the time", and
# that would be a far larger gain.
#
# How much *can* be gained? As counted in lesson 06, the blocks do nearly all of the work, and looking up a word does
# none. So halve the blocks, and the work is halved:

# %%
for S in (32, 128, 256):
    work = []
    for model in models.values():
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            model(torch.zeros(1, S, dtype=torch.long, device="meta"))
        work.append(counter.get_total_flops())
    shown = " against ".join(f"{count / 1e9:4.1f}" for count in work)
    print(f"S = {S:>3}: {shown} · 10⁹ operations, {work[0] / work[1]:.3f} times as many")

# %% [markdown]
# A factor of two, then, is about the most that there is to gain: a program that does nothing but these products reaches
# it, and everything else that a program does (reading texts, cutting them into pieces, Python itself) takes as long as
# before. The claims ledger of this course has timed the two models here, in turns, one text at a time:

# %%
d2 = claims.results(["D2"])[0]
group = "DistilBERT against BERT-base"
ratios = zip(d2.figures["ratio"], d2.figures["ratio_low"], d2.figures["ratio_high"], strict=True)
bars = {f"{tokens} tokens": ratio for tokens, ratio in zip(d2.figures["tokens"], ratios, strict=True)}
title = f"How many times as fast, on {d2.machine['threads']} threads of a CPU"
plots.speed({group: bars}, {group: slow / fast}, title)

# %% [markdown]
# Here the two models do nothing but run, and they come to {{min(d2.figures["ratio"]) | .2f}} to
# {{max(d2.figures["ratio"]) | .2f}} times: the claim *{{d2.verdict}}*, with room to spare. What the paper's clock took
# in besides the model, its table does not say. Your machine will give other numbers: `minibert claims D2 --measure`.
#
# ## A student cut out of its teacher
#
# Six blocks with random weights would know nothing. But the teacher has twelve good ones, and they fit. The paper takes
# "one layer out of two" (section 3). There is more than one way to do that:

# %%
half = L // 2
choices = {
    "every second": alternate_layers(L),
    "released code": RELEASED_LAYERS,
    "the first": tuple(range(half)),
    "the last": tuple(range(half, L)),
}
plots.layer_map(choices, depth=L)

# %% [markdown]
# Strictly every second layer is the first map. The code that the authors released does not do quite that: it takes
# {{", ".join(map(str, RELEASED_LAYERS))}}, and leaves out two neighbours in the middle. That is good to know if you
# compare your student with theirs. The library follows the paper's words, and takes any other choice as an argument.
#
# Now with real weights. MiniLM-L6 is a BERT of six layers, so its student has three. `student_from_teacher` copies
# them; let us see from the numbers alone where each block came from:

# %%
teacher, tok = minibert.from_pretrained("minilm-l6"), minibert.load_tokenizer("minilm-l6")
student = minibert.student_from_teacher(teacher).eval()


def equal(one, other):
    return all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


for own, block in enumerate(student.encoder.blocks):
    found = [layer for layer, original in enumerate(teacher.encoder.blocks) if equal(block, original)]
    print(f"the student's block {own} is the teacher's {found}")
print("words the same:", equal(student.embeddings.word, teacher.embeddings.word))
print("token types:", student.embeddings.token_type, "  pooler:", student.pooler)
print(f"{minibert.count_parameters(teacher):,} -> {minibert.count_parameters(student):,} parameters")

# %% [markdown]
# ## Copied, not shared
#
# The student gets **copies**. That matters, because it will be trained, and its teacher must stay as it is. In PyTorch
# it is easy to get wrong: `student.block = teacher.block` copies nothing, it gives one module two owners. Do it both
# ways, on a teacher that we can spare, and let each student take one step of training:

# %%
spare = copy.deepcopy(teacher)
batch = tok("A quiet film that stays with you.")
with torch.no_grad():
    before = spare(**batch).last_hidden_state  # (B, S, D)

for name in ("copied", "shared"):
    pupil = minibert.student_from_teacher(spare).eval()
    if name == "shared":
        pupil.encoder.blocks[0] = spare.encoder.blocks[0]  # the same module, with two owners
    loss = (pupil(**batch).last_hidden_state - before).square().mean()
    loss.backward()
    torch.optim.SGD(pupil.parameters(), lr=0.1).step()
    with torch.no_grad():
        change = (spare(**batch).last_hidden_state - before).abs().max()
    print(f"{name}: after the student's step the teacher's vectors have changed by up to {change:.3f}")

# %% [markdown]
# Nothing stops, nothing warns. The teacher drifts, and the student learns from a teacher that it spoils.
#
# ## The vector that was in every token
#
# The token types look like a small loss. They tell the first text of a pair from the second (lesson 06), and a single
# text does not need that. But look again at what goes into the blocks:
#
# $$\text{teacher: } \text{LayerNorm}(E^{\text{word}} + E^{\text{position}} + E^{\text{type}}_{0})$$
#
# $$\text{student: } \text{LayerNorm}(E^{\text{word}} + E^{\text{position}})$$
#
# In a single text every token is of type zero, so the *same* vector is added to every token. It told nothing, and yet
# it was always there: reading single texts, the teacher's first block never saw anything else. It is not short either:

# %%
texts = [review.text for review in load_reviews("rotten-tomatoes").test[:48]]
batch = tok(texts)
real = batch["attention_mask"].bool()  # (B, S), without the padding
e = teacher.embeddings
with torch.no_grad():
    vectors = {
        "a word (mean)": e.word(batch["input_ids"][real]),
        "a position (mean)": e.position.weight[: real.shape[1]],
        "token type zero": e.token_type.weight[:1],
    }
for name, vector in vectors.items():
    print(f"length of {name:<18} {vector.norm(dim=-1).mean():.2f}")

# %% [markdown]
# As long as the vector of a position. There is a way to keep it without keeping token types: what is added to every
# token can as well be added to every row of the position table. `fold_types=True` does that. How near is the student to
# its teacher with and without, measured as the cosine of their vectors of the same token, over
# {{len(texts)}} sentences from reviews?


# %%
def cosine(one, other):
    """The mean over the real tokens; one, other: (B, S, D)."""
    return F.cosine_similarity(one[real], other[real], dim=-1).mean().item()


with torch.no_grad():
    taught = teacher(**batch, return_hidden=True).hidden_states  # L + 1 tensors (B, S, D)
places = {"after the embeddings": 0, "after the first block": 1, "after the last block": -1}
near = {}
for name, fold in {"type zero dropped": False, "folded into the positions": True}.items():
    pupil = minibert.student_from_teacher(teacher, fold_types=fold).eval()
    with torch.no_grad():
        own = pupil(**batch, return_hidden=True).hidden_states
    near[name] = [cosine(own[place], taught[place]) for place in places.values()]
plots.distributions(near, list(places), "How near the untrained student is", "cosine with its teacher's")

# %% [markdown]
# Folded, the two are equal after the embeddings and after the first block, as they must be: same input, same weights.
# Dropped, they are apart before anything has been computed, and drift on with every block.
#
# Neither the paper nor its code folds. Does it matter in the end? A model that is trained afterwards can learn the
# missing vector again: it is one vector. We come back to that below, with a measurement.
#
# ## How near is it, before it has learned anything?
#
# After its last block the folded student's vectors have a cosine of
# {{near["folded into the positions"][-1] | .2f}} with its teacher's. Is that much? It needs something to be compared
# with: other choices of layers, random weights, and how alike any two of the teacher's own vectors are.


# %%
def last_hidden(model):
    with torch.no_grad():
        return model.eval()(**batch).last_hidden_state


starts = {"every second": (0, 2, 4), "the first": (0, 1, 2), "the last": (3, 4, 5), "off by one": (1, 3, 5)}
alike = {}
for name, layers in starts.items():
    pupil = minibert.student_from_teacher(teacher, layers, fold_types=True)
    alike[f"{name}: {', '.join(map(str, layers))}"] = cosine(last_hidden(pupil), taught[-1])
alike["random weights"] = cosine(last_hidden(minibert.build(student.config, seed=0)), taught[-1])

torch.manual_seed(0)
own = taught[-1][real]  # (N, D)
others = own[torch.randperm(len(own))]
alike["teacher, another token"] = F.cosine_similarity(own, others, dim=-1).mean().item()
title = "Before any training: how near the start is"
panels = {"last hidden states": list(alike.values())}
plots.distributions(panels, list(alike), title, "cosine with the teacher's")

# %% [markdown]
# Copied blocks put the student far nearer to its teacher than random weights do: there is less left to learn.
#
# And now be careful. The *last* three blocks come nearest here, and the off-by-one student comes nearer than the
# textbook choice. Are these the better students? The number does not say so. A likely reason is that the teacher's last
# block is among them, and has always written the very vectors that are compared here, while it now reads something that
# it has never seen. A cosine with the teacher is not quality; it says how far there is to go. What counts is how well a
# student does its work after training, and for that you have to train it.
#
# ## What is kept
#
# The third claim: *{{claims.LEDGER["D3"].statement}}* That cannot be counted; it takes training, on many tasks. The
# paper's number comes from GLUE, nine tasks in one score ({{claims.LEDGER["D3"].paper_value}}).
#
# Here it was tried on a small scale, and recorded: MiniLM-L6 learns to tell praise from blame in film reviews, students
# are cut out of it and learn the same task, with their teacher's help or without, with a few seeds each.

# %%
d3 = claims.results(["D3"])[0]
draw_retention(d3.figures)

# %%
cells = d3.figures["cells"]
heading = "share of the teacher’s right answers kept"
print(f"{heading:<44}", *(f" depth {depth}" for depth in rules.DEPTHS))
for treatment, words in rules.TREATMENTS.items():
    shares = [mean_retention(cells, rules.student(treatment, depth), "teacher") for depth in rules.DEPTHS]
    print(f"  {words:<42}", *(f"{share:8.1%}" for share in shares))
dropped = mean_retention(cells, rules.DROPPED, "teacher")
random = mean_retention(cells, rules.student("random", 3), "teacher")
print(f"  {'every second, distilled, types dropped':<42} {dropped:8.1%}")

with_teacher, without = rules.student(rules.DISTILLED, 3), rules.student(rules.ALONE, 3)
kept = retention(cells, with_teacher, "teacher")
drawn, drawn_without = (retention_draws(cells, name, "teacher") for name in (with_teacher, without))
low, high = middle(drawn - drawn_without)

# %% [markdown]
# Read it slowly, it says several things:
#
# - With half the layers, distilled, {{kept.mean | .1%}} of the teacher's right answers are kept. The interval around it
#   ({{0.95 | .0%}}, drawing seeds and test sentences anew) goes from {{kept.low | .1%}} to {{kept.high | .1%}}. The
#   claimed share lies inside, so the claim *{{d3.verdict}}*: it may be so, and this run cannot tell it from a little
#   less or a little more.
# - The teacher's layers matter: from random weights the student keeps {{random | .0%}}. *Which* of its layers it
#   starts from hardly shows here.
# - Distilling changes it by {{100 * low | +.1f}} to {{100 * high | +.1f}} points at half depth: more likely a gain than
#   not, but zero is still inside.
# - Dropping the token types instead of folding them did no harm that can be seen: training can make
#   up for one vector, it seems.
#
# One task with two classes says nothing of all the others, and half of the answers are right by chance alone. It is a
# small experiment, and it agrees with the paper as far as it can see.
#
# ## One vector for a text
#
# Without a pooler, what is the vector of a whole text? `pooled` is not there, and nobody should look for it:

# %%
output = student(**tok(["A quiet film.", "Two hours that I will never get back."]))
print("last_hidden_state", tuple(output.last_hidden_state.shape), "  pooled", output.pooled)
first = output.last_hidden_state[:, 0]  # (B, D): the vector of [CLS]
classifier = minibert.build("tiny-distilbert", head="sequence-classification")
print("first position   ", tuple(first.shape))
print("its classifier:  ", [name for name, _ in classifier.named_children()])

# %% [markdown]
# You take the first position, `last_hidden_state[:, 0]`, or the mean over the real tokens. A classifier for DistilBERT
# brings a `dense` layer of its own, in the place of the pooler.
#
# You may have seen the line `_, output = model(input, attention_mask=mask)` for DistilBERT. It asks for a second value,
# the pooled vector, which is not there; lesson 15 runs it and shows how it fails.
#
# ## What could go wrong
#
# **Numbers as text.** A checkpoint's layers have names, and names are text. Sort them, and take every second one:

# %%
names = sorted(f"encoder.blocks.{layer}" for layer in range(L))
print([int(name.rpartition(".")[2]) for name in names[::2]])
print([layer for layer in range(L) if f"encoder.blocks.{layer}".startswith("encoder.blocks.1")])

# %% [markdown]
# Ten comes before two there, so the student gets the right layers in a wrong order. And whoever asks for the names that
# begin with `encoder.blocks.1` gets three layers in place of one. Make the number an `int` first.
#
# - **Off by one.** Layers `1, 3, 5` in place of `0, 2, 4`. Nothing fails; but now a block that expects the output of
#   another block reads bare embeddings.
# - **The first half.** `blocks[:6]` is the shortest line to write, and leaves out all that the upper half has learned.
#   (In the small experiment above it did no harm. Do not count on it.)
# - **Modules shared, not copied.** You saw the teacher drift. `copy.deepcopy`, or `load_state_dict` into a fresh model.
# - **The teacher left in training mode.** Dropout draws anew each time it is asked, and the student is taught another
#   thing each time. (How much, shows lesson 09.)
# - **The tied table counted twice.** The masked-LM head uses the table of words again. If it is counted a second time
#   on both sides, DistilBERT is only {{1 - (smaller + table) / (total + table) | .0%}} smaller; if in BERT alone,
#   {{1 - smaller / (total + table) | .0%}}. Ask what was counted.
#
# ## Exercises
#
# Cut a student out of its teacher yourself, from names and tensors, and count what you have. Replace
# `raise NotImplementedError()`, run the cell, then the check below it.

# %% exercise="student-from-teacher"

# %% exercise="count-parameters"

# %% [markdown]
# ## In short
#
# - DistilBERT is BERT with half the blocks, without token types and without pooler. The width stays, so that the
#   teacher's blocks fit.
# - {{1 - smaller / total | .1%}} fewer parameters, nearly all from the blocks. The table of words stays.
# - The paper's "faster" is {{slow / fast | .2f}} times as many texts an hour, {{1 - fast / slow | .0%}} less time each.
#   Twice the speed is about the most that half the blocks can give.
# - The student starts from copies of its teacher's layers. In a single text, type zero's vector was part of every
#   token; without it the first block reads something new.
# - Near to the teacher is not yet good. What is kept shows only after training, and only within an interval.
#
# **To read.** Sanh et al. 2019, *DistilBERT, a distilled version of BERT*, sections 3 and 4. Then
# [minibert/models/distilbert.py](../minibert/models/distilbert.py), one page, and `student_from_teacher` in
# [minibert/training/distillation.py](../minibert/training/distillation.py).
#
# **Next:** [three losses at work](09_distilbert.ipynb).
