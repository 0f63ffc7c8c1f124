# %% [markdown]
# # DistilBERT: half the depth, taught by the whole
#
# > Half of BERT's layers are left out. How does the other half learn to do their work?
#
# DistilBERT (Sanh et al. 2019) has half of BERT's blocks. It is cut out of a trained BERT, and then taught by it.
# Learning from another model's answers is called **distillation** (Hinton, Vinyals & Dean 2015). In this lesson you
# write two of its losses, cut a student out of its teacher, and watch it being taught. Our teacher is MiniLM-L6 with a
# masked-LM head, trained further on film reviews.

# %% tags=["folded", "trained"]
import inspect
from statistics import fmean

import torch
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

import minibert
from minibert import claims, plots
from minibert.claims.rules.losses import ALL_LOSSES, LEFT_OUT
from minibert.experiments.losses import NOT_TRAINED, ONLY_MASKED_WORDS
from minibert.experiments.statistics import differences, mean
from minibert.heads import IGNORE
from minibert.training.batching import inputs, single
from minibert.training.data import load_reviews
from minibert.training.distillation import RELEASED_LAYERS, alternate_layers
from minibert.training.loop import batches_of_epoch
from minibert.training.tasks import MaskedWords, held_out_batches, loss_by_frequency

tok = minibert.load_tokenizer("minilm-l6-mlm")
teacher = minibert.from_pretrained("minilm-l6-mlm", head="masked-lm").eval().requires_grad_(False)
depth = teacher.config.num_hidden_layers
S, ROWS, STEPS = 32, 24, 60  # tokens of a row, rows of a step, steps
(d6,) = claims.results(["D6"])
(d7,) = claims.results(["D7"])
sequences, added = d7.figures["sequences"], d7.figures["accumulation"]  # the released code, on each GPU


def rows_of(reviews, count):
    """Rows of S tokens from reviews, one after another."""
    made = []
    for review in reviews:
        ids = tok.ids(review.text)
        made += [single(ids[at : at + S - 2], tok, S) for at in range(0, len(ids) - S, S - 2)]
        if len(made) >= count:
            return made[:count]


reviews = load_reviews("imdb")
task = MaskedWords(rows_of(reviews.train, 1800), tok)
held_out = MaskedWords(rows_of(reviews.validation, 160), tok)
by_frequency = loss_by_frequency(task, held_out)
examined = []  # the held-out batches, with the teacher's answers to them
for batch in held_out_batches(held_out):
    asked = {**inputs(batch), "wanted": batch["labels"] != IGNORE, "return_hidden": True}
    with torch.no_grad():
        examined.append((batch, asked, teacher(**asked)))


def measure(model):
    """How a model does on the held-out rows, without dropout: means over words, or tokens for the cosine."""
    sums, words, tokens = torch.zeros(5), 0, 0
    for batch, asked, taught in examined:
        real, truth = batch["attention_mask"].bool(), batch["labels"][asked["wanted"]]
        with torch.no_grad():
            own = model.eval()(**asked)
        best, teachers_best = own.logits.argmax(-1), taught.logits.argmax(-1)
        cosine = minibert.cosine_hidden_loss(own.last_hidden_state, taught.last_hidden_state, real)
        soft = minibert.distillation_loss(own.logits, taught.logits)
        masked = F.cross_entropy(own.logits, truth)
        count, all_real = len(truth), int(real.sum())
        sums += torch.stack([soft * count, masked * count, cosine * all_real, (best == truth).sum(),
                             (best == teachers_best).sum()])  # fmt: skip
        words, tokens = words + count, tokens + all_real
    names = ("soft targets", "masked words", "cosine", "right", "agrees")
    return dict(zip(names, (sums / torch.tensor([words, words, tokens, words, words])).tolist(), strict=True))


def scores(model, text):
    """The scores of all words for the [MASK] of a text, (V,)."""
    batch = tok(text)
    with torch.no_grad():
        return model.eval()(**batch, wanted=batch["input_ids"] == tok.mask_id).logits[0]


# %% [markdown]
# ## What a label says, and what a teacher says
#
# A reviewer wrote: *do not waste your time on this*. Hide *time*, and ask the teacher.

# %%
TEXT = "do not waste your [MASK] on this."
SHOWN = ["time", "money", "attention", "mind", "life", "husband"]
columns = [tok.ids(word)[0] for word in SHOWN]
z_t = scores(teacher, TEXT)  # (V,)
label = [float(word == "time") for word in SHOWN]
plots.distributions({"the label": label, "the teacher": z_t.softmax(-1)[columns]}, SHOWN, TEXT)

# %% [markdown]
# The label says: *time*, and all other words are equally wrong. The teacher says: *money* or *time*, perhaps
# *attention*, hardly *husband*. No label knows this. Such answers are called **soft targets** (Hinton et al.).
#
# ## Temperature
#
# Much of what the teacher knows is in small probabilities. To make them count, the logits $z$ are divided by a
# **temperature** $T$ (never a length in this lesson) before the softmax (Hinton et al. 2015, section 2):
#
# $$p_i(T) = \frac{e^{z_i / T}}{\sum_j e^{z_j / T}}$$
#
# The bars compare each word with the likeliest one. Above them is $e$ to the power of the answer's **entropy**
# $-\sum_i p_i \ln p_i$: how many equally likely words would make a choice just as uncertain.

# %% tags=["trained"]
panels = {}
for T in (1, 2, 4):
    p = (z_t / T).softmax(-1)  # (V,)
    panels[f"T = {T}"] = (p / p.max())[columns]
    entropy = -(p * p.log()).sum()
    rest = 1 - p.topk(10).values.sum()
    print(f"T = {T}: as if among {entropy.exp():6,.0f} of {len(p):,} words, {rest:.0%} outside the top ten")
title, unit = "A higher temperature lifts the unlikely words", "as likely as the likeliest word"
plots.distributions(panels, SHOWN, title, unit)

# %% [markdown]
# The order of the words stays the same. But the thousands of unlikely words together weigh more and more, already at
# $T = 2$, the default of DistilBERT's released code. Is this knowledge, or noise? Perhaps both: the teacher's training
# hardly constrains very low logits, but they may be useful (Hinton et al., section 2.1). So the temperature is
# found by trying.
#
# ## How far apart are two answers?
#
# The **Kullback-Leibler divergence** measures how far the student's answer $q$ is from the teacher's answer $p$:
#
# $$\mathrm{KL}(p \,\|\, q) = \sum_i p_i \, (\ln p_i - \ln q_i)$$
#
# It is never negative, zero if both agree, and its two directions differ. Here a teacher thinks that two words are
# equally good. One student bets on one of them, the other spreads over everything.

# %%
p = torch.tensor([0.49, 0.49, 0.02])
students = {"bets": torch.tensor([0.96, 0.02, 0.02]), "spreads": torch.tensor([1 / 3, 1 / 3, 1 / 3])}
panels, turned = {"teacher": p}, {}
for name, q in students.items():
    there = minibert.distillation_loss(q.log(), p.log(), temperature=1.0)
    back = minibert.distillation_loss(p.log(), q.log(), temperature=1.0)
    print(f"{name:<8} KL(teacher‖student) {there:.2f}   KL(student‖teacher) {back:.2f}")
    panels[f"{name}: KL {there:.2f}"], turned[name] = q, back
words = ["one good word", "another", "a bad one"]
plots.distributions(panels, words, "Which student is nearer to its teacher?")

# %% [markdown]
# KL(teacher ‖ student) weighs with the teacher's probabilities, so a student must not exclude a word that the teacher
# finds possible: the one that bets gets a high loss for the second word. That is the direction we want. The other
# direction would prefer this student ({{turned["bets"] | .2f}} against {{turned["spreads"] | .2f}}). In PyTorch it is
# easy to get wrong: `F.kl_div(input, target)` is KL(target ‖ input), so the *student* comes first, as logarithms.
#
# The gradient of this loss with respect to a student's logit is $\frac{1}{T}(q_i(T) - p_i(T))$. At a
# high temperature both answers are flat, so the bracket shrinks as well, about as $1/T$. Together that is $1/T^2$: a
# higher temperature would also make the soft targets count less. So the loss is multiplied by $T^2$ (Hinton et al.
# 2015, section 2).
#
# Now write it: $T^2 \cdot \mathrm{KL}$, the mean over the tokens that count. The logits are (B, S, V), and a token
# counts if the mask (B, S) has a one for it. Replace `raise NotImplementedError()`, run the cell, then the check.

# %% exercise="distillation-loss"

# %% [markdown]
# Below, folded: the sum by hand, and the size of the gradient with and without the factor.

# %% tags=["folded"] fold="By hand"
p, q = torch.tensor([0.7, 0.2, 0.1]), torch.tensor([0.4, 0.4, 0.2])
for one, other in zip(p, q, strict=True):
    print(f"{one:.1f} · (ln {one:.1f} − ln {other:.1f}) = {one * (one.log() - other.log()):6.3f}")
print(f"the sum, KL(p‖q):       {(p * (p.log() - q.log())).sum():6.3f}")
for T in (1, 2, 4, 8):
    z = q.log().clone().requires_grad_()
    minibert.distillation_loss(z, p.log(), float(T)).backward()
    print(f"T = {T}: gradient of KL {z.grad.norm() / T**2:.4f}   of T² · KL {z.grad.norm():.4f}")

# %% [markdown]
# ## Two more losses
#
# The second loss is that of lesson 07: cross-entropy with the true word, at the masked places, without temperature. The
# teacher is sometimes wrong; the label is true, but says only one word.
#
# The third looks inside the models. Both are equally wide, so their last hidden states of the same token, two vectors
# (D,), can be compared by the angle between them:
#
# $$L_{\cos} = 1 - \frac{h_s \cdot h_t}{|h_s| \, |h_t|}$$
#
# It is zero for the same direction and two for the opposite one. Length does not count.

# %% exercise="cosine-loss"

# %% [markdown]
# All three together (Sanh et al. 2019, section 2):
#
# $$L = w_1 \cdot T^2\, \mathrm{KL}(p \,\|\, q) \;+\; w_2 \cdot L_{\text{mlm}} \;+\; w_3 \cdot L_{\cos}$$
#
# | loss | which tokens count | in the library |
# |---|---|---|
# | soft targets | all real ones (a choice of the released code) | `distillation_loss` |
# | masked words | the masked ones | `cross_entropy` |
# | cosine | all real ones | `cosine_hidden_loss` |
#
# (KL and $T^2$ are those of the released code. The paper has $\sum_i p_i \ln q_i$, the cross-entropy without its minus
# sign, whose gradient is the same, because the teacher's entropy is a constant.)
#
# The paper gives neither weights nor temperature. The released code's default temperature is two. The first example in
# its README has the weights below, the second `0.33` for each; which of them the published model had is not said.

# %%
defaults = inspect.signature(minibert.triple_loss).parameters
print("weights (soft targets, masked words, cosine):", defaults["weights"].default)
print("temperature:", defaults["temperature"].default)

# %% [markdown]
# A good place to stop for tonight. Next, the student is cut out of its teacher, and taught.
#
# ## A student cut out of its teacher
#
# The student starts from blocks of its teacher. The paper says "one layer out of two" (section 3), literally the left
# map. The released code takes {{", ".join(map(str, RELEASED_LAYERS))}}, which is the map on the right.

# %%
choices = {"every second": alternate_layers(12), "released code": RELEASED_LAYERS}
plots.layer_map(choices, depth=12, title="Which of twelve layers are copied")

# %% [markdown]
# The blocks fit because the width is the same. Token types and pooler are left out, too.
#
# ## What is left out, counted
#
# How much smaller does this make a BERT-base?

# %% tags=["folded"]
with torch.device("meta"):  # shapes without numbers: enough to count
    bert, distilbert = minibert.build("bert-base-uncased"), minibert.build("distilbert-base-uncased")
total, smaller = minibert.count_parameters(bert), minibert.count_parameters(distilbert)
blocks, types = bert.encoder.blocks[6:], bert.embeddings.token_type
left_out = {"6 blocks": blocks, "token types": types, "pooler": bert.pooler}
saved = {name: minibert.count_parameters(part) for name, part in left_out.items()}
print(f"{'BERT-base':<14} {total:>12,}")
for name, count in saved.items():
    print(f"  − {name:<11} {count:>11,}  {count / total:7.3%}")
print(f"{'DistilBERT':<14} {smaller:>12,}  {1 - smaller / total:7.1%} fewer")

counts, operations = {}, []
for name, model in {"BERT-base": bert, "DistilBERT": distilbert}.items():
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model.eval()(torch.zeros(1, 128, dtype=torch.long, device="meta"))
    operations.append(counter.get_total_flops() / 1e9)
    print(f"{name:<14} {operations[-1]:4.1f} billion operations for a text of 128 tokens")
    parts = minibert.parameters_by_part(model)
    rest = parts["other embeddings"] + parts.get("pooler", 0)
    counts[name] = {"words": parts["word embeddings"], "blocks": parts["encoder"], "all else": rest}
notes = ["", f"{smaller / total:.0%} of BERT-base"]
plots.parameters_by_part(counts, notes, "The blocks are halved, the words stay")

# %% [markdown]
# "Forty percent smaller" is right. Half of the depth is not half of the size, because the embedding table of the words
# stays. Token types and pooler together are only
# {{(saved["token types"] + saved["pooler"]) / total | .2%}}.
#
# **And the work?** (The question of lesson 06.) The word table computes nothing, so half of the blocks is half of the
# operations: {{operations[1] | .1f}} billion in place of {{operations[0] | .1f}}. How much faster that is, lesson 15
# measures.
#
# ## The vector that was in every token
#
# This part is about our teacher; run its cell, because the student below comes from it. In a single text every token
# has type zero, so the *same* vector is added to all of them. It carries no information, but the teacher's first block
# has never had an input without it. You can keep it without token types, if you add it to every row of the position
# table (`fold_types=True`). Neither the paper nor its code does that; after a long training it need not matter. Before
# any training, on held-out reviews:

# %% tags=["trained"]
cut = {
    "type zero dropped": minibert.student_from_teacher(teacher),
    "folded into the positions": minibert.student_from_teacher(teacher, fold_types=True),
}
cut["random weights"] = minibert.build(cut["type zero dropped"].config, head="masked-lm", seed=0)
before = {name: measure(model) for name, model in cut.items()}
print(f"{'a student, not yet trained':<27} loss of a masked word   best word right")
for name, found in before.items():
    print(f"{name:<27} {found['masked words']:10.2f} nats {found['right']:16.0%}")
print(f"{'(word frequencies alone)':<27} {by_frequency:10.2f} nats")

# %% [markdown]
# With the vector, the student still uses the sentence. Without it, its loss
# ({{before["type zero dropped"]["masked words"] | .2f}}) is hardly below that of word frequencies
# ({{by_frequency | .2f}}). Random weights are worse than that: they are like uniform guessing, $\ln V$.
#
# ## The recipe
#
# | | DistilBERT (Sanh et al. 2019, section 3) | here |
# |---|---|---|
# | teacher | BERT-base, {{len(bert.encoder.blocks)}} blocks | MiniLM-L6, {{depth}} blocks |
# | student | {{len(distilbert.encoder.blocks)}} blocks | {{len(alternate_layers(depth))}} blocks |
# | text | BERT's: English Wikipedia and books | film reviews |
# | masks | new ones in each pass; no sentence pairs | no row is read twice; no sentence pairs |
# | batch | up to four thousand sequences | {{ROWS}} rows of {{S}} tokens |
# | length | three passes over the text (released code) | {{STEPS}} steps |
# | optimiser | AdamW, rate `5e-4`, first rising, then falling (released code) | AdamW, the same rate and betas |
# | hardware | eight `V100` GPUs, about ninety hours | two CPU cores, about a minute |
#
# (The released code adds up {{added}} batches of {{sequences}} sequences on each GPU; on the paper's eight that is
# {{8 * sequences * added | ,}}.)
#
# ## Taught before your eyes
#
# Student and teacher see the same masked text; the teacher is in evaluation mode and gets no gradient. Every twelve
# steps the student is tested on held-out reviews. (The soft targets are compared at the masked words only, which is
# much cheaper.)


# %% tags=["trained"]
def train(student, weights=(5.0, 2.0, 1.0)):
    """weights: of soft targets, masked words, cosine. Returns step -> what was measured."""
    optimiser = torch.optim.AdamW(student.parameters(), lr=5e-4, betas=(0.9, 0.98))
    share = [min((step + 1) / 4, (STEPS - step) / STEPS) for step in range(STEPS + 1)]  # of the learning rate
    rate = torch.optim.lr_scheduler.LambdaLR(optimiser, share.__getitem__)
    torch.manual_seed(0)
    curve = {0: before["folded into the positions"]}
    batches = batches_of_epoch([len(row.ids) for row in task.examples], ROWS, seed=0)
    for step, chosen in enumerate(batches[:STEPS]):
        batch = task.batch(chosen, seed=step)  # input_ids with masks, labels: both (B, S)
        wanted = batch["labels"] != IGNORE
        asked = {**inputs(batch), "wanted": wanted, "return_hidden": True}
        with torch.no_grad():
            taught = teacher(**asked)  # logits (M, V) for M masked words, hidden states (B, S, D)
        own = student.train()(**asked)
        hidden = own.last_hidden_state, taught.last_hidden_state
        labels, mask = batch["labels"][wanted], batch["attention_mask"]
        loss = minibert.triple_loss(own.logits, taught.logits, labels, *hidden, mask, weights=weights)
        optimiser.zero_grad()
        loss.total.backward()
        torch.nn.utils.clip_grad_norm_(student.parameters(), 5.0)
        optimiser.step()
        rate.step()
        if (step + 1) % 12 == 0:
            curve[step + 1] = measure(student)
    return curve


student = cut["folded into the positions"]
curve = train(student)

# %% [markdown]
# Is it the teacher that helps, or would any training do? The **control** is a second student: the same cut, text, masks
# and steps, but only the loss of the masked words. So it learns from labels alone. (Another minute.)

# %% tags=["trained"]
control = minibert.student_from_teacher(teacher, fold_types=True)
labels_only = train(control, weights=(0.0, 2.0, 0.0))

# %% tags=["folded", "trained"]
final, teachers = curve[STEPS], measure(teacher)
curves = {
    name: (list(one), [found["masked words"] for found in one.values()])
    for name, one in {"labels alone": labels_only, "with the teacher": curve}.items()
}
levels = {"only cut": curve[0]["masked words"], "teacher": teachers["masked words"]}
title = f"{STEPS} steps from the same start, with the teacher and without"
plots.lines(curves, "step", "held-out loss, nats (lower is better)", title, levels)

# %% tags=["folded", "trained"]
at_the_end = {"only cut": curve[0], "labels": labels_only[STEPS], "taught": final, "teacher": teachers}
print(f"{'held out':<28}", *(f"{name:>8}" for name in at_the_end))
for name in ("soft targets", "masked words", "cosine"):
    print(f"{name + ', loss':<28}", *(f"{found[name]:8.2f}" for found in at_the_end.values()))
for name, words in {"right": "best word is the true one", "agrees": "best word is the teacher's"}.items():
    print(f"{words:<28}", *(f"{found[name]:8.0%}" for found in at_the_end.values()))

# %% [markdown]
# Both students have learned, from the same words. The gap between them is what the teacher's answers add in {{STEPS}}
# steps: {{labels_only[STEPS]["masked words"] - final["masked words"] | .2f}} nats. (Labels alone may get there, too, in
# more steps. And it is one seed.) In the ledger, this project's list of claims (lesson 15), there are five seeds and
# {{d6.figures["size"]["steps"]}} steps: only cut {{mean(d6.figures["cells"], NOT_TRAINED, "masked_lm") | .2f}}, labels
# alone {{mean(d6.figures["cells"], ONLY_MASKED_WORDS, "masked_lm") | .2f}}, all three losses
# {{mean(d6.figures["cells"], ALL_LOSSES, "masked_lm") | .2f}} (on other rows: compare these with each other only).
#
# Does it guess like its teacher now?

# %% tags=["trained"]
as_cut = minibert.student_from_teacher(teacher, fold_types=True)  # as it was before
models = {"teacher": teacher, "only cut": as_cut, "labels": control, "taught": student}
others = "the acting was [MASK] and the plot made no sense.", "she plays a young [MASK] who falls in love."
shared = dict.fromkeys(models, 0)  # of the teacher's five words in each text
for text in (TEXT, *others):
    print(text)
    best = {name: scores(model, text).topk(5).indices.tolist() for name, model in models.items()}
    for name, words in best.items():
        shared[name] += len({*words} & {*best["teacher"]})
        print(f"    {name:<8}", ", ".join(tok.tokens[word] for word in words))

# %% [markdown] tags=["trained"]
# Of the teacher's {{shared["teacher"]}} words, the student that was only cut has {{shared["only cut"]}}, the one with
# labels alone {{shared["labels"]}}, and the taught one {{shared["taught"]}}. (Three sentences are an example. The last
# line of the table above is the measurement.)
#
# ## What is each loss worth?
#
# The paper leaves out one thing at a time, an **ablation**, and says how many points of GLUE, an average over nine
# tests of language understanding, this changes (Sanh et al. 2019, Table 4). The ledger has the same for our teacher and
# students of three layers. In both columns, minus is worse:

# %%
better = {}
for name, (variant, points) in LEFT_OUT.items():
    better[name] = [-nats for nats in differences(d6.figures["cells"], "masked_lm", variant, ALL_LOSSES)]
    print(f"without {name:<22} paper {-points:+.2f} points   here {fmean(better[name]):+.3f} nats")
losses = {f"without {name}": better[name] for name in ("soft targets", "masked words", "cosine")}
panels = {"nats per masked word; left of zero: worse": losses}
plots.ablation(panels, "The three losses, seed by seed", sort=False)

# %% [markdown]
# In both, the start from the teacher's weights is worth most, and soft targets most of the three losses. But here the
# cosine loss does not help: without it, a masked word costs {{abs(fmean(better["cosine"])) | .3f}} nats
# {{"less" if fmean(better["cosine"]) > 0 else "more"}}. And after fine-tuning on film reviews, no effect of any of the
# three can be seen: leaving one out changes the accuracy by less than its spread (`minibert claims D6`). That does not
# refute the paper: our students learned for only {{d6.figures["size"]["steps"]}} steps, and their tests are small.
# Whether a student keeps "ninety-seven percent of the understanding" is a case of lesson 15.
#
# ## What could go wrong
#
# A wrong distillation runs and gives a number that looks like a loss. Here is the soft-target loss of the taught
# student, right and wrong:

# %% tags=["trained"]
batch, asked, taught = examined[0]
with torch.no_grad():
    s, t, T = student.eval()(**asked).logits, taught.logits, 2.0  # (M, V)
    teacher.train()
    moved = teacher(**asked).logits
    teacher.eval()
log_s, log_t = (s / T).log_softmax(-1), (t / T).log_softmax(-1)
right = minibert.distillation_loss(s, t, T)
tried = {
    "right": right,
    "arguments swapped": minibert.distillation_loss(t, s, T),
    "mean over the words too": T**2 * F.kl_div(log_s, log_t, log_target=True, reduction="none").mean(),
    "T² missing": right / T**2,
    "T for the student only": T**2 * F.kl_div(log_s, t.log_softmax(-1), log_target=True, reduction="batchmean"),
    "teacher in training mode": minibert.distillation_loss(s, moved, T),
}
for name, value in tried.items():
    print(f"{name:<26} {value:8.4f}   {value / right:5.2f} × the right one")

# %% [markdown]
# Swapped arguments hardly change the number, once the student is near. In the library's function the second argument is
# a constant, so a student in its place learns nothing. In a bare `F.kl_div` it does learn, but from KL(student ‖
# teacher), which forgives a bet on one word. `reduction="mean"` also divides by the number of words, so that the soft
# targets hardly count: use `batchmean` of (M, V). And a teacher with dropout gives a different answer each time.
#
# - **Shared, not copied.** `student.block = teacher.block` gives one module two owners: each step of the student
#   changes the teacher. Copy the tensors.
# - **A gradient into the teacher.** Without `no_grad` or `detach` the teacher moves towards its student.
# - **Names sorted as text.** `blocks.10` comes before `blocks.2`. Make the number an `int` first.
# - **Two maskings.** If the text is masked separately for the two models, the teacher sees most of the words that the
#   student must guess. Its answer is then nearly a label, and what else would fit is lost. Mask once, for both.
#
# ## Two challenges
#
# All three losses together, with weights and a temperature:

# %% exercise="triple-loss"

# %% [markdown]
# And the cut: a student's names and tensors, from those of its teacher.

# %% exercise="student-from-teacher"

# %% [markdown]
# ## Your BERT, cut in half
#
# The same with your own parts: your blocks in the teacher, your cut, your masks and your losses, as far as they have
# passed their checks (`print(my)` lists them). The rest comes from the library. (Like the paper, your cut drops the
# token types and does not fold them in. So this student begins far from its teacher.)

# %% tags=["trained"]
my = minibert.mine("minilm-l6-mlm", head="masked-lm")
half = my.student()
print(f"{minibert.count_parameters(my):,} -> {minibert.count_parameters(half):,} parameters")
losses = half.learn([review.text for review in reviews.train[:64]], teacher=my, steps=4, max_length=32)
print("the weighted sum of the three losses, step by step:", *(f"{loss:.1f}" for loss in losses))

# %% [markdown]
# ## In short
#
# - A teacher's probabilities say what else would fit; a label says one word. The temperature raises the small ones.
# - DistilBERT's loss has three terms: $T^2 \cdot \mathrm{KL}(\text{teacher} \,\|\, \text{student})$, masked words, and
#   the cosine of the last hidden states.
# - DistilBERT has half the blocks, no token types, no pooler: {{1 - smaller / total | .1%}} fewer parameters, and half
#   of the operations.
# - The student starts from its teacher's layers. In the paper that is worth more than any of the losses.
#
# **To read.** Hinton, Vinyals & Dean 2015, section 2; Sanh et al. 2019, *DistilBERT*, sections 2 to 4. Then
# [minibert/training/distillation.py](../minibert/training/distillation.py), from the top.
#
# **Next:** [ALBERT: factorise and share](10_albert.ipynb).
