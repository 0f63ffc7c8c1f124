# %% [markdown]
# # Distillation: three losses at work
#
# > A teacher's answer says more than right or wrong. How does a student learn from it?
#
# In lesson 07 a model guessed masked words, and all that it was ever told was the one right word. Ask a model that has
# learned already, and it tells you more: what else would fit here, how well, and what would not. To learn from such
# answers is called **distillation** (Hinton, Vinyals & Dean 2015), and it is how DistilBERT came to know what it knows.
#
# In this lesson you look at a teacher's answers, take the three losses of DistilBERT apart, and then watch a student of
# half the depth learn from them. First, a teacher.

# %%
import inspect
import re
import tempfile
from statistics import fmean

import torch
from torch.nn import functional as F

import minibert
from minibert import claims, plots
from minibert.claims import rules
from minibert.claims.pictures import draw_losses
from minibert.experiments.statistics import difference, mean_retention
from minibert.heads import IGNORE
from minibert.training.batching import inputs, single
from minibert.training.data import load_reviews
from minibert.training.loop import Settings, batches_of_epoch, train
from minibert.training.objectives import Masked
from minibert.training.pairs import split_sentences
from minibert.training.recipes import teacher_with_head
from minibert.training.tasks import Distillation, held_out_losses

d3, d6 = claims.results(["D3", "D6"])  # recorded experiments, for later
tok = minibert.load_tokenizer("minilm-l6")
teacher, head_is_new = teacher_with_head("minilm-l6", tok, seed=0)
print(f"{minibert.count_parameters(teacher):,} parameters; a fresh masked-LM head: {head_is_new}")

# %% [markdown]
# MiniLM-L6 reads well, but its checkpoint has no head to guess words with, and to learn {{tok.vocab_size | ,}} words
# takes far longer than you want to wait. So the teacher gets an easier question, a *cloze* test: the hidden word is
# always one of a few that reviewers like. The texts are sentences from film reviews in which exactly one of these
# stands, equally many for each word.

# %%
WORDS = [
    "great",
    "excellent",
    "wonderful",
    "brilliant",
    "beautiful",
    "bad",
    "awful",
    "terrible",
    "stupid",
    "boring",
    "funny",
    "hilarious",
    "scary",
    "dark",
    "sad",
    "romantic",
    "interesting",
    "original",
    "slow",
    "long",
]
word_ids = torch.tensor([tok.ids(word)[0] for word in WORDS])  # each of them is one piece


def sentences_with_one(reviews, each):
    """Sentences that hold exactly one of the words, `each` for every word, as examples."""
    found = {word: [] for word in WORDS}
    for review in reviews:
        for sentence in split_sentences(review.text):
            spoken = re.findall("[a-z]+", sentence.lower())
            hits = [word for word in spoken if word in found]
            if 6 <= len(spoken) <= 20 and len(hits) == 1 and len(found[hits[0]]) < each:
                found[hits[0]].append(sentence)
        if all(len(kept) == each for kept in found.values()):
            break
    return [single(tok.ids(sentence), tok, 48) for kept in found.values() for sentence in kept]


reviews = load_reviews("imdb")
examples, held_out = sentences_with_one(reviews.train, 120), sentences_with_one(reviews.validation, 15)
lengths = [len(example.ids) for example in examples]
print(f"{len(examples):,} sentences to learn from, {len(held_out)} held out, for {len(WORDS)} words")

# %% [markdown]
# The library has a task for what comes, `Distillation`: it masks, asks student and teacher about the same masked text,
# and computes the three losses. Only the masking is ours: always the one word, always behind `[MASK]`.


# %%
class Cloze(Distillation):
    def masked(self, ids, attention_mask, generator):
        ours = torch.isin(ids, word_ids)  # (B, S), True at the hidden word
        return Masked(ids.masked_fill(ours, tok.mask_id), labels=ids.masked_fill(~ours, IGNORE))


task, held_out_task = Cloze(examples, tok, teacher), Cloze(held_out, tok, teacher)
batch = task.batch([1201, 1900], seed=0)
for ids, labels in zip(batch["input_ids"], batch["labels"], strict=True):
    print(*(tok.tokens[piece] for piece in ids if piece != tok.pad_id))
    print("    hidden:", tok.decode(labels[labels != IGNORE]))

# %% [markdown]
# Now the head learns. The rest of the teacher stays as it is, so each sentence has to be read only once: keep the
# hidden state of its `[MASK]`, and train the head on these. (All other words get a bias so low that their probability
# is zero.)

# %%
hidden, truth = [], []
with torch.no_grad():
    for rows in batches_of_epoch(lengths, 60, seed=0):
        batch = task.batch(rows, seed=0)
        asked = batch["labels"] != IGNORE  # (B, S), True at the hidden word
        hidden.append(teacher.backbone(**inputs(batch), wanted=asked).last_hidden_state[asked])
        truth.append((batch["labels"][asked][:, None] == word_ids).int().argmax(dim=1))  # which of our words
hidden, truth = torch.cat(hidden), torch.cat(truth)
print("hidden states of [MASK]", tuple(hidden.shape), "  (N, D)")

# %% [markdown]
# (A few more than there are sentences: *wonderfully* begins with the piece *wonderful*, and that is hidden as well.)

# %% tags=["trained"]
lm, table = teacher.lm, teacher.backbone.embeddings.word.weight[word_ids]
with torch.no_grad():
    lm.bias.fill_(-1e4)[word_ids] = 0.0  # no other word has a chance

steps, optimiser = 400, torch.optim.AdamW(lm.requires_grad_().parameters(), lr=1e-3)
slower = torch.optim.lr_scheduler.LinearLR(optimiser, 1, 0, total_iters=steps)
torch.manual_seed(0)
for _ in range(steps):
    some = torch.randint(len(hidden), (64,))
    scores = F.linear(lm.norm(lm.activation(lm.dense(hidden[some]))), table, lm.bias[word_ids])
    loss = F.cross_entropy(scores, truth[some])
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    slower.step()
teacher.eval().requires_grad_(False)
print(f"cross-entropy at the end: {loss.item():.2f} nats")

# %% [markdown]
# ## What a teacher knows
#
# Give it a sentence that it has not seen. What a label says about the hidden word, and what the teacher says:


# %% tags=["trained"]
def guess(model, sentence):
    """The scores of our words for the [MASK] of a sentence, (words,)."""
    batch = tok(sentence)
    with torch.no_grad():
        return model(**batch, wanted=batch["input_ids"] == tok.mask_id).logits[0, word_ids]


GHOST = "The ghost in the cellar was really [MASK]."
SHOWN = ["scary", "dark", "boring", "terrible", "funny", "sad", "excellent", "romantic"]
columns = [WORDS.index(word) for word in SHOWN]
logits = guess(teacher, GHOST)
label = [float(word == "scary") for word in SHOWN]
plots.distributions({"the label": label, "the teacher": logits.softmax(-1)[columns]}, SHOWN, GHOST)

# %% [markdown]
# The label says: *scary*, and all others are equally wrong. The teacher says: most likely *scary*; *dark* would do, and
# even *boring*; *funny* now and then; but *romantic*, hardly. That is knowledge about words, and no label holds it.
# Hinton, Vinyals & Dean call such answers **soft targets**. Here are more of them:

# %% tags=["trained"]
SENTENCES = [
    GHOST,
    "The photography is [MASK].",
    "It is a [MASK] love story.",
    "The jokes are not [MASK] at all.",
    "The film is far too [MASK], I fell asleep.",
]
ASKED = ["beautiful", "great", "bad", "boring", "slow", "funny", "scary", "dark", "sad", "romantic"]
places = [WORDS.index(word) for word in ASKED]


def probabilities(model):
    return torch.stack([guess(model, sentence).softmax(-1)[places] for sentence in SENTENCES])


plots.grid(probabilities(teacher), SENTENCES, ASKED, "What the teacher thinks", high=0.5)

# %% [markdown]
# Rows need not sum to one: half of the words are not shown. And how often is its best word the true one?


# %% tags=["trained"]
def best_words(model, task):
    """For each sentence of a task: the place of the model's best word among ours, and of the true one."""
    found, true = [], []
    for start in range(0, len(task.examples), 60):
        batch = task.batch(range(start, min(start + 60, len(task.examples))), seed=0)
        asked = batch["labels"] != IGNORE
        with torch.no_grad():
            found.append(model(**inputs(batch), wanted=asked).logits[:, word_ids].argmax(-1))
        true.append((batch["labels"][asked][:, None] == word_ids).int().argmax(dim=1))
    return torch.cat(found), torch.cat(true)


teachers_best, true_words = best_words(teacher, held_out_task)
teacher_right = (teachers_best == true_words).float().mean().item()
print(f"the true word comes first in {teacher_right:.0%} of {len(held_out)} held-out sentences")
print(f"by chance it would in {1 / len(WORDS):.0%}")

# %% [markdown]
# It is no great teacher. It is right far more often than by chance, and still wrong more often than right: who could
# tell from one sentence whether a film was *awful* or *terrible*? But it has opinions, and they make sense. A student
# will be asked to think like it, mistakes included.
#
# ## Temperature
#
# Much of what the teacher knows sits in small probabilities. To make them count, Hinton, Vinyals & Dean divide the
# logits $z$ by a **temperature** $T$ before the softmax (section 2):
#
# $$p_i(T) = \frac{e^{z_i / T}}{\sum_j e^{z_j / T}}$$
#
# At $T = 1$ this is the softmax that you know. The higher $T$, the flatter the answer. The **entropy** measures how
# flat: $-\sum_i p_i \ln p_i$, in nats. Its exponential is easier to read: among how many equally likely words the
# teacher seems to waver.

# %% tags=["trained"]
panels = {}
for T in (1, 2, 4):
    p = (logits / T).softmax(-1)  # (words,)
    entropy = -(p * p.log()).sum()
    panels[f"T = {T}"] = p[columns]
    print(f"T = {T}: entropy {entropy:.2f} nats, as if among {entropy.exp():.1f} of {len(WORDS)} words")
plots.distributions(panels, SHOWN, GHOST)

# %% [markdown]
# The order of the words is the same at every temperature. What changes is how loudly the unlikely ones are heard.
#
# ## How far apart? KL, by hand
#
# Now a measure of how far the student's answer $q$ is from the teacher's answer $p$, the **Kullback-Leibler
# divergence**:
#
# $$\mathrm{KL}(p \,\|\, q) = \sum_i p_i \, (\ln p_i - \ln q_i)$$
#
# For each word: by how much is the student's logarithm lower than the teacher's? And then the mean of that, with the
# teacher's probabilities as the weights. Three words are enough to see it:

# %%
p = torch.tensor([0.7, 0.2, 0.1])  # the teacher
q = torch.tensor([0.4, 0.4, 0.2])  # the student
for word, one, other in zip(("scary", "dark", "romantic"), p, q, strict=True):
    print(f"{word:<9} {one:.1f} · (ln {one:.1f} − ln {other:.1f}) = {one * (one.log() - other.log()):6.3f}")
by_hand = (p * (p.log() - q.log())).sum()
print(f"{'KL(p‖q)':<9} {'':>24} {by_hand:6.3f}")
print("the library, at temperature one:", round(minibert.distillation_loss(q.log(), p.log(), 1.0).item(), 3))
print("where both agree:               ", round(minibert.distillation_loss(p.log(), p.log(), 1.0).item(), 3))

# %% [markdown]
# It is zero where both agree, and never less. And it has a **direction**. A teacher thinks two words equally good; one
# student bets on one of them, another one spreads over everything. Who is nearer?

# %%
two_good = torch.tensor([0.49, 0.49, 0.02])
students = {"bets on one": torch.tensor([0.96, 0.02, 0.02]), "spreads": torch.tensor([1 / 3, 1 / 3, 1 / 3])}


def kl(p, q):
    return (p * (p.log() - q.log())).sum()


for name, q in students.items():
    there, back = kl(two_good, q), kl(q, two_good)
    print(f"{name:<12} KL(teacher‖student) {there:.2f}   KL(student‖teacher) {back:.2f}")
answers = {"teacher": two_good, **students}
plots.distributions(answers, ["one good word", "another", "a bad one"], "Which student is nearer?")

# %% [markdown]
# The two directions disagree. KL(teacher ‖ student) weighs by the teacher's probabilities, so a student must not be
# silent about anything that the teacher holds possible: the one that bets is punished for the second word. That is
# what we want here. The other direction weighs by the student's own, and lets it off. In PyTorch the order is easy to
# get wrong: `F.kl_div(input, target)` is KL(target ‖ input), the student comes *first*, and as logarithms.
#
# You may also see the **cross-entropy** with soft targets, $-\sum_i p_i \ln q_i$. For training it is the same: the two
# differ by the teacher's entropy, and a student cannot change that. The values differ, the gradients do not:

# %%
p, scores = torch.tensor([0.7, 0.2, 0.1]), torch.tensor([1.0, 0.0, -1.0])
for name in ("KL", "cross-entropy"):
    z = scores.clone().requires_grad_()
    log_q = z.log_softmax(-1)
    loss = (p * (p.log() - log_q)).sum() if name == "KL" else -(p * log_q).sum()
    loss.backward()
    print(f"{name:<14} value {loss:.3f}   gradient {[round(g, 3) for g in z.grad.tolist()]}")

# %% [markdown]
# ## Why T²
#
# The loss of the paper's released code is $T^2 \cdot \mathrm{KL}$. Where does the factor come from? Take the gradient
# with respect to one of the student's logits (section 2 of Hinton, Vinyals & Dean 2015):
#
# $$\frac{\partial\, \mathrm{KL}}{\partial z_i} = \frac{1}{T} \, \big(q_i(T) - p_i(T)\big)$$
#
# One $1/T$ stands there, from dividing the logits. Another one hides in the bracket: the flatter both answers are, the
# less they differ. Together $1/T^2$. Measure it, for a student that has not learned yet and its teacher, on
# {{len(held_out) // 5}} sentences:

# %% tags=["trained"]
student = minibert.student_from_teacher(teacher, fold_types=True).eval()  # three of six layers: lesson 09
batch = held_out_task.batch(range(0, len(held_out), 5), seed=0)
asked = batch["labels"] != IGNORE
with torch.no_grad():
    taught = teacher(**inputs(batch), wanted=asked).logits[:, word_ids]  # (N, words)
    own = student(**inputs(batch), wanted=asked).logits[:, word_ids]

temperatures, norms = (1, 2, 4, 8, 16), {"KL alone": [], "T² · KL": []}
for T in temperatures:
    z = own.clone().requires_grad_()
    minibert.distillation_loss(z, taught, T).backward()
    norms["T² · KL"].append(z.grad.norm().item())
    norms["KL alone"].append(z.grad.norm().item() / T**2)
relative = {name: [size / sizes[0] for size in sizes] for name, sizes in norms.items()}
for name, sizes in relative.items():
    print(f"{name:<9}", *(f"T = {T}: {size:.3f}  " for T, size in zip(temperatures, sizes, strict=True)))
curves = {name: (temperatures, sizes) for name, sizes in relative.items()}
plots.lines(curves, "temperature T", "gradient, against T = 1", "What the factor T² gives back")

# %% [markdown]
# Without the factor, whoever raises the temperature also turns the soft targets down, and the other losses win by
# default. With it, $T$ can be chosen for what it does to the answers.
#
# ## Masked words, as before
#
# The second loss is the one of lesson 07: cross-entropy with the true word, at the masked places, without temperature.
# The teacher is soft and sometimes wrong; the label is hard and true.
#
# ## The direction of the vectors
#
# The third loss looks inside. The student is as wide as its teacher, so the two last hidden states of a token can be
# compared: one minus the cosine of their angle.
#
# $$L_{\cos} = 1 - \frac{h_s \cdot h_t}{|h_s| \, |h_t|}$$

# %%
h_t = torch.tensor([1.0, 2.0])  # the teacher's
pupils = {"half as long": torch.tensor([0.5, 1.0]), "turned": torch.tensor([3.0, 0.9])}
for name, h_s in pupils.items():
    loss, distance = minibert.cosine_hidden_loss(h_s, h_t), (h_s - h_t).norm()
    print(f"{name:<12}  1 − cosine {loss:.2f}   distance {distance:.2f}")
arrows = {"teacher": h_t, "   half as long": pupils["half as long"], "turned": pupils["turned"]}
arrows = {name: tuple(h.tolist()) for name, h in arrows.items()}
plots.vectors(arrows, "The cosine sees the angle, not the length", angles=[("teacher", "turned")])

# %% [markdown]
# It is zero where both point the same way, two where they point in opposite ones, and **blind to length**: half as long
# in the same direction costs nothing. Are lengths worth knowing? In this teacher they differ from token to token:

# %%
with torch.no_grad():
    vectors = teacher.backbone(**inputs(batch)).last_hidden_state[batch["attention_mask"].bool()]  # (N, D)
sizes = vectors.norm(dim=-1)
print(f"the teacher's last hidden states: length {sizes.mean():.1f}, standard deviation {sizes.std():.1f}")

# %% [markdown]
# So there is something that this loss does not see. The other two do, where they look: the head reads the whole vector
# of a masked word, length and all.
#
# ## All three together
#
# $$L = w_1 \cdot T^2\, \mathrm{KL}(p \,\|\, q) \;+\; w_2 \cdot L_{\text{mlm}} \;+\; w_3 \cdot L_{\cos}$$
#
# | the paper | the code | counts |
# |---|---|---|
# | $L_{ce}$, soft targets | `distillation_loss` | released code: all real tokens; here: the masked ones |
# | $L_{mlm}$, masked words | `heads.cross_entropy` | the masked tokens |
# | $L_{cos}$, direction | `cosine_hidden_loss` | all real tokens |
#
# The paper does not give the weights and the temperature. Its released code does, and the library has them as defaults:

# %%
arguments = inspect.signature(minibert.triple_loss).parameters
print("weights (soft targets, masked words, cosine):", arguments["weights"].default)
print("temperature:", arguments["temperature"].default)

# %% [markdown]
# ## At work
#
# Now let it learn. The student has three of the teacher's six layers, copied, and the teacher's head; the embeddings
# are the teacher's too, and stay as they are here, which saves time. First: how does it do before it has
# learned anything? Then one pass over the sentences. Each step asks both about the same masked sentences, the teacher
# without dropout and without gradient.


# %% tags=["trained"]
def measure(model):
    best, _ = best_words(model.eval(), held_out_task)
    agrees, right = ((best == other).float().mean().item() for other in (teachers_best, true_words))
    return {**held_out_losses(model, held_out_task), "agrees": agrees, "right": right}


before, guessed_before = measure(student), probabilities(student)
student.backbone.embeddings.requires_grad_(False)
settings = Settings(steps=len(examples) // 32, learning_rate=5e-4, betas=(0.9, 0.98), clip=5.0, bf16=False)
with tempfile.TemporaryDirectory() as folder:
    log = train(student, task, lengths, settings, folder)
after, guessed_after = measure(student), probabilities(student)
print(f"{len(log)} steps")

# %% tags=["trained"]
names = {"distillation": "soft targets", "masked_lm": "masked words", "cosine": "cosine"}
window = 8  # the mean over so many steps, because each has other sentences
curves = {}
for term, name in names.items():
    means = torch.tensor([record[term] for record in log]).unfold(0, window, 1).mean(dim=1)
    curves[name] = (list(range(window, len(log) + 1)), (means / before[term]).tolist())
plots.lines(curves, "step", "loss, against the untrained student's", "Three losses while the student learns")

# %% [markdown]
# All three fall, the cosine slowest. (It begins above its level because in training the student has dropout.) What
# counts are the sentences held out:

# %% tags=["trained"]
teachers = measure(teacher)
print(f"{'held out':<28} {'before':>7} {'after':>7} {'teacher':>8}")
for term, name in names.items():
    print(f"{name + ', loss':<28} {before[term]:7.2f} {after[term]:7.2f} {teachers[term]:8.2f}")
for term, name in {"agrees": "best word is the teacher's", "right": "best word is the true one"}.items():
    print(f"{name:<28} {before[term]:7.0%} {after[term]:7.0%} {teachers[term]:8.0%}")

# %% [markdown]
# The student agrees with its teacher far more often than before. Does it also *waver* like its teacher? The sentences
# from above, side by side:

# %% tags=["trained"]
panels = {"student before": guessed_before, "after": guessed_after, "its teacher": probabilities(teacher)}
columns = [ASKED.index(word) for word in ("beautiful", "bad", "boring", "funny", "scary", "dark")]
plots.grids(
    {name: panel[:, columns] for name, panel in panels.items()},
    [sentence.replace("[MASK]", "___") for sentence in SENTENCES],
    [ASKED[column] for column in columns],
    digits=2,
    title="The student, before and after, beside its teacher",
    low=0,
    high=0.5,
)

# %% [markdown] tags=["trained"]
# It has moved towards its teacher, most of all where it was far off, as in the last two rows; it is less sure of
# itself, and that with half the layers and {{len(log)}} steps. Its best word is even the true one about as often as its
# teacher's, if not more often ({{after["right"] | .0%}} against {{teachers["right"] | .0%}}). Do not read too much into
# that: the student's blocks learned this task, from the labels as well, and of the teacher only the head did. And a few
# hundred sentences leave room for luck.
#
# ## What is each loss worth?
#
# The paper left one thing out at a time and measured again (Table 4). The claim in the ledger:
# *{{claims.LEDGER["D6"].statement}}* Here the same was done on a small scale, and recorded: a BERT with four layers,
# trained from nothing, students of two, and {{len(d6.figures["seeds"])}} seeds of each.

# %%
draw_losses(d6.figures)

# %%
cells = d6.figures["cells"]


def change(measure, variant, scale, digits):
    """By how much leaving something out changes a measure, and the interval over the seeds."""
    spread = difference(cells, measure, variant, rules.ALL_LOSSES)
    mean, low, high = (f"{round(scale * end, digits) + 0.0:+.{digits}f}" for end in spread)
    return f"{mean} ({low} to {high})"


print(f"{'without':<22} {'paper, GLUE':<13} {'here, accuracy':<21} here, held-out loss")
for name, (variant, paper) in rules.LEFT_OUT.items():
    accuracy, nats = change("accuracy", variant, 100, 1), change("masked_lm", variant, 1, 3)
    print(f"{name:<22} {-paper:+.2f} {'':>7} {accuracy:<21} {nats}")
for variant in ("teacher", rules.ALL_LOSSES):
    print(f"held-out loss, {variant}: {fmean(seed['masked_lm'] for seed in cells[variant]):.2f}")

# %% [markdown]
# What can be said, and what not?
#
# - **The start matters most**, by the held-out loss: to begin from random weights costs many times as much as to leave
#   out any one of the losses. In the paper it is first, too.
# - Two of the three losses help beyond the spread: **masked words**, and the **cosine** by very little. Of the soft
#   targets nothing shows.
# - Masked words come first here, and last in the paper. But the right panel measures the loss on masked words; no
#   wonder that the student who practised it is better at it. The paper measured other tasks.
# - **In accuracy nothing shows**: every interval has zero in it. The paper's order (the start, soft targets, cosine,
#   masked words) can be neither confirmed nor denied by it.
# - This teacher had little to give. Trained for minutes and not for days, it is no better at masked words than its own
#   student; and the loss of both is that of the copier of lesson 07, who never looks at the sentence
#   ({{rules.copying_loss(d6.figures["by_frequency"]) | .2f}}). Soft targets are worth as much as the one who sets them.
#   Models that hardly read decide nothing, so the ledger says of this claim: *{{d6.verdict}}*.
#
# So few seeds and so small models see no small differences, and do not speak for large ones.
#
# ## Once more, at fine-tuning
#
# All this was before any task. A teacher that has learned a task can help again when its student learns the same one:
# the student then gets the label, the teacher's soft label for the whole text, and the direction of the vectors. The
# paper tries it for question answering (section 4.1). In the library it is the task `Labels`, with a teacher
# ([minibert/training/tasks.py](../minibert/training/tasks.py)), and on the command line `minibert finetune --distill`.
# The line "distilled" in the picture of lesson 09 is this: with half the layers it kept
# {{mean_retention(d3.figures["cells"], rules.student(rules.DISTILLED, rules.HALF), "teacher") | .1%}} of the teacher's
# right answers, and {{mean_retention(d3.figures["cells"], rules.student(rules.ALONE, rules.HALF), "teacher") | .1%}}
# without its help. That difference is within the spread.
#
# ## What could go wrong
#
# Distillation fails silently: each of these runs, and gives a number that looks like a loss. The soft-target loss of
# the trained student, computed in the right way and in some wrong ones. (Over all tokens of a few sentences, as in the
# released code. It is larger than above, because the student has practised at the masked words only.)

# %% tags=["trained"]
batch = held_out_task.batch(range(0, len(held_out), 75), seed=0)
real, T = batch["attention_mask"].bool(), 2.0
with torch.no_grad():
    t, s = (model(**inputs(batch)).logits[..., word_ids] for model in (teacher, student))  # (B, S, words)
log_s, log_t = (s / T).log_softmax(-1), (t / T).log_softmax(-1)
each = F.kl_div(log_s, log_t, log_target=True, reduction="none")  # (B, S, words)
right = minibert.distillation_loss(s, t, T, mask=real)
tried = {
    "right": right,
    "arguments swapped": minibert.distillation_loss(t, s, T, mask=real),
    "mean over the words too": T**2 * each[real].mean(),
    "batchmean of (B, S, V)": T**2 * F.kl_div(log_s, log_t, log_target=True, reduction="batchmean"),
    "padding counted": minibert.distillation_loss(s, t, T),
    "T² missing": right / T**2,
    "T for the student only": T**2
    * F.kl_div(log_s[real], t[real].log_softmax(-1), log_target=True, reduction="batchmean"),
}
for name, value in tried.items():
    print(f"{name:<24} {value:7.3f}   {value / right:6.2f} times")

# %% [markdown]
# - **`mean` for `batchmean`.** `F.kl_div` with `reduction="mean"` divides by the number of words as well.
# - **`batchmean` of a (B, S, V) tensor** divides by B, so that the loss grows with the length of the texts. Flatten to
#   (N, V) first.
# - **A gradient into the teacher.** Without `no_grad` or `detach` the teacher moves towards its student: the cheapest
#   way to make the loss small.
# - **Another input for each.** If both are masked by chance, each by itself, the student is asked about one word and
#   told the answer to another.
#
# And the teacher left in training mode. Then it contradicts itself: how far is its answer from its own, a moment later?

# %% tags=["trained"]
torch.manual_seed(0)
batch = held_out_task.batch(range(0, len(held_out), 5), seed=0)
asked = batch["labels"] != IGNORE
with torch.no_grad():
    teacher.train()
    one, other = (teacher(**inputs(batch), wanted=asked).logits[:, word_ids] for _ in range(2))
    teacher.eval()
print(f"the teacher against itself, in training mode: {minibert.distillation_loss(one, other):.2f}")
print(f"the trained student against its teacher:      {after['distillation']:.2f}")

# %% [markdown]
# Such a teacher differs more from itself than the trained student differs from the teacher at rest. What it says at one
# step it takes back at the next.
#
# ## Exercises
#
# The three losses, one after the other; the third may call the first two. Replace `raise NotImplementedError()`, run
# the cell, then the check below it.

# %% exercise="distillation-loss"

# %% exercise="cosine-loss"

# %% exercise="triple-loss"

# %% [markdown]
# ## In short
#
# - A teacher's probabilities say what else would fit, and how well. A label says one word.
# - The temperature $T$ lifts the small probabilities; both sides are divided by it. $T^2$ gives back what the gradients
#   lose.
# - $\mathrm{KL}(\text{teacher} \,\|\, \text{student})$, with the teacher's probabilities as weights. In `F.kl_div` the
#   student comes first.
# - DistilBERT's loss has three terms: soft targets, masked words, the direction of the vectors. The cosine does not see
#   length.
# - What each term is worth is hard to measure. That the student starts from its teacher's layers is worth most.
#
# **To read.** Hinton, Vinyals & Dean 2015, *Distilling the Knowledge in a Neural Network*, section 2; Sanh et al. 2019,
# *DistilBERT*, sections 2 and 4. Romero et al. 2015, *FitNets*, compare hidden layers of teacher and student in another
# way. Then [minibert/training/distillation.py](../minibert/training/distillation.py), from the top.
#
# **Next:** [ALBERT: factorise and share](10_albert.ipynb).
