# %% [markdown]
# # The map, and how to work
#
# > What will you be able to build, and how do you find out where you went wrong?
#
# BERT is a network that reads text. Put `[MASK]` in place of a word, and it guesses which word was there. This is what
# happens to a sentence on its way:

# %% tags=["folded"]
import math

import torch

import minibert
from minibert import plots
from minibert.layers import gelu as library_gelu
from minibert.lessons import COURSE
from minibert.lessons.lesson import lessons


def picture_of(text, source):
    """The text's way through a model with a masked-LM head, with the model's own numbers."""
    model = minibert.from_pretrained(source, head="masked-lm")
    encoding = minibert.load_tokenizer(source).encode(text)
    with torch.no_grad():
        hidden = model.backbone(torch.tensor([encoding.ids]), return_hidden=True).hidden_states
    return plots.through_a_model(
        text,
        encoding.tokens,
        encoding.ids,
        (hidden[0][0], hidden[-1][0]),
        {guess.word: guess.probability for guess in minibert.fill(text, source, top=4).masks[0]},
        model.config.num_hidden_layers,
        encoding.tokens.index("[MASK]"),
        "How a BERT guesses a masked word",
    )


# %%
picture_of("This [MASK] is unwatchable.", "minilm-l6-mlm")

# %% [markdown]
# Read it downwards. All numbers are those of a real model. You see the first three numbers of each vector. Ask the same
# model about a sentence of your own:

# %%
print(minibert.fill("I will never watch this [MASK] again.", "minilm-l6-mlm"))

# %% [markdown]
# The guess uses words on both sides of `[MASK]`. Change one word, first on its right, then on its left:

# %%
for text in ("The [MASK] is dull.", "The [MASK] are dull.", "This [MASK] is dull."):
    print(f"{text:<21}", *(guess.word for guess in minibert.fill(text, "minilm-l6-mlm", top=3).masks[0]))

# %% [markdown]
# The model is `minilm-l6-mlm`, a small BERT of six blocks. It was trained three times: first to imitate a larger model
# (*distillation*, lesson 09), then to compare sentences, and last to guess masked words in film reviews. By the end of
# lesson 06 you will have written every part of it.
#
# The lessons take you from one dot product to a whole BERT that runs on your own code, then through its family. At the
# end you check how much of what is said about these models is true. You need Python and a little PyTorch: tensors,
# shapes, `nn.Module`, `backward()`.

# %%
times = {lesson.number: f"{lesson.minutes} min" for lesson in lessons()}
hours = sum(lesson.minutes for lesson in lessons()) / 60
plots.course_map(COURSE, "The path through the lessons", notes=times)

# %% [markdown]
# The first row builds one block. The second gives it text, stacks it into a BERT and trains it. The last two rows are
# about the family: what its members change, and what that costs. The times are estimates. They include the exercises,
# but not the challenges and the hunts. All lessons together take about {{round(hours)}} hours. Take them in this order;
# each can also be run by itself.
#
# ## How a lesson works
#
# A lesson begins with a question and a picture. Then it goes in small steps. Run each cell (Shift and Enter), look at
# the shapes and numbers it prints, and **change something**: another sentence, another size, a missing transpose.
# Cells that only import or prepare something are folded.
#
# Shapes are written with the same letters everywhere, in the lessons, in the code and in the exercises:

# %%
print(minibert.__doc__.partition("letters:\n\n")[2])

# %% [markdown]
# The lessons import the library, [minibert/](../minibert/attention.py), and do not copy its code. The library loads
# weights that others have published (*checkpoints*). Its tests compare what it computes with the numbers of Hugging
# Face's library `transformers`. A first look:

# %%
bert = minibert.from_pretrained("minilm-l6")
tok = minibert.load_tokenizer("minilm-l6")
batch = tok(["A quiet film that stays with you.", "Two hours I will never get back."])
with torch.no_grad():
    hidden = bert(**batch).last_hidden_state
print("ids in:      ", tuple(batch["input_ids"].shape), "  (B, S)")
print("vectors out: ", tuple(hidden.shape), "  (B, S, D)")
print("parameters:  ", f"{minibert.count_parameters(bert):,}")

# %% [markdown]
# This model, `minilm-l6` (MiniLM-L6), is the *real BERT* of these lessons. It has BERT's architecture, with
# {{bert.config.num_hidden_layers}} layers and {{bert.config.hidden_size}} features, and weights that others have
# trained, to imitate a larger model and to compare sentences. **It is not BERT-base: what you see in it need not be
# true there.** Its sources are in lesson 06. The model at the top was made from it.
#
# ## How an exercise works
#
# An exercise asks you to write a function that also exists in the library. `minibert.check` tries it on inputs of its
# own and says what is wrong. The first exercise is GELU, a curved function that BERT applies to its numbers (lesson 04
# shows why):
#
# $$\text{GELU}(x) = x \cdot \Phi(x), \qquad
# \Phi(x) = \tfrac{1}{2}\left(1 + \text{erf}\left(x / \sqrt{2}\right)\right)$$
#
# Here is a first attempt, a shortcut that some programs use. It is so near to GELU that the two curves would cover each
# other in a picture. So plot their difference:


# %%
def first_attempt(x):
    return x * torch.sigmoid(1.702 * x)


x = torch.linspace(-4, 4, 81)
difference = first_attempt(x) - library_gelu(x)
low = difference.min().item()
levels = {f"lowest: −{-low:.3f}": low}
plots.lines({"difference": (x, difference)}, "x", "first attempt − GELU", "Nearly the same, and wrong", levels)

# %% [markdown]
# The check finds it:

# %%
result = minibert.check("gelu", first_attempt)
result

# %% [markdown]
# The checker has a correct solution, in which it can switch on common mistakes. It tries them, first one at a time and
# then two or more, until it gets the same wrong numbers as you. If none fits, it says where your answer first differs,
# and along which axis. The stages show how far you came (· not reached). A right shape earns points only if some values
# are right, too. If you want help but not the answer, ask for a hint. Each call says a little more; this is the first:

# %%
print(result.hint())

# %% [markdown]
# Where it can, a check ends with the *swap*: your function runs inside the real BERT, on real sentences, and every
# vector after every layer must be the same. An exercise that you have not begun is reported as *not attempted*, and the
# notebook runs on.
#
# There are four levels:
#
# - **Warm-up**: what you need is right above it.
# - **Core**: the lesson explains it, and you write it. The answer comes below, folded.
# - **Challenge**: you need an idea of your own.
# - **Hunt**: you get a part as a closed box, perhaps with a mistake in it (about one box in six has none). Call it,
#   plot it, and name the mistake, or say `box.name("nothing")`.
#
# Each answer that passes is added to **your own file, `my_bert.py`**, as you wrote it. `minibert.mine()` puts your
# parts together with real weights and says which parts are still the library's. From lesson 07 on your BERT is trained;
# later it is distilled; and in lesson 14 your parts become a BART, which writes.
#
# ## Try it: the first exercise
#
# Before you write: what must GELU give for $x = 0$, for $x = 10$ and for $x = -10$? Now write it from its formula
# above. The *error function* erf already exists: `torch.erf`. (`F.gelu` would pass, but you would learn nothing.) First
# write it wrong on purpose, for example without the root of two. Look at the three points, and see what the check says.

# %% exercise="gelu"

# %% [markdown]
# `minibert.progress()` shows all exercises, with what you have passed and tried on this machine. Here is the part about
# the encoder; the last lines count everything. (In the stored output, the first attempt from above counts as tried.)

# %%
minibert.progress("encoder")

# %% [markdown]
# ## What could go wrong
#
# - **You are stuck.** Read the message again, slowly. Print shapes: most mistakes are an axis in the wrong place. Go
#   smaller: two tokens, three features. Ask for a hint; the last one is a sketch with gaps. Solutions are in a notebook
#   of their own.
# - **A check that is given a call, not a function.** `minibert.check("gelu", gelu(x))` hands over a tensor. Write the
#   name alone.
# - **An old definition.** You changed a cell and did not run it: the check still sees the function as it was.
# - **A cell that hangs.** Stop it with the square button. If variables are mixed up, restart the kernel and run all.
# - **Copying the library.** It passes, and you have learned little. Handing in the library's own function is noticed.
#
# ## In short
#
# - Question, picture, small steps, exercises: run, look, change.
# - `minibert.check` says which mistake it found, `.hint()` a little more, `minibert.progress()` where you are.
# - What passes goes into `my_bert.py`, and becomes a BERT.
#
# **To read.** The [README](../README.md) of this project, which also says how to train and measure from a terminal.
#
# **Next:** [attention: a word looks at the others](01_attention.ipynb).
