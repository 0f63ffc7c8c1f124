# %% [markdown]
# # The map, and how to work
#
# > What will you be able to build, and how do you find out where you went wrong?
#
# BERT is a network that reads text. These lessons take you from one dot product to a whole BERT, and to a smaller one
# that has learned from it (a *distilled* one), and then to the question of how much of what is said about these models
# is true. You need Python and a little PyTorch: tensors, shapes, `nn.Module`, `backward()`.

# %%
import math

import torch

import minibert
from minibert import plots
from minibert.lessons import COURSE

plots.course_map(COURSE, title="The path through the lessons")

# %% [markdown]
# The first row builds the machine, the second puts text in and lets it learn, the third makes it smaller and asks what
# that costs. Each lesson takes half an hour to an hour with its exercises. They are meant to be read in this order;
# each can also be run by itself.
#
# ## How a lesson works
#
# A lesson begins with a question and a picture. Then it goes in small steps. Run each cell (Shift and Enter), look at
# the shapes and numbers it prints, and **change something**: another sentence, another size, a missing transpose. What
# you see here was computed by these very cells. If yours shows something else after a change, that is the point.
#
# Shapes are written with the same letters everywhere, in the lessons, in the code and in the exercises:

# %%
print(minibert.__doc__.partition("letters:\n\n")[2])

# %% [markdown]
# The lessons import the library and never paste it. What you learn to read here is the code in
# [minibert/](../minibert/attention.py), which loads published checkpoints and gives the same numbers. A first look at
# what it can do:

# %%
bert = minibert.from_pretrained("minilm-l6")  # a real BERT of six layers, trained by others
tok = minibert.load_tokenizer("minilm-l6")
batch = tok(["A quiet film that stays with you.", "Two hours I will never get back."])
with torch.no_grad():
    hidden = bert(**batch).last_hidden_state
print("ids in:      ", tuple(batch["input_ids"].shape), "  (B, S)")
print("vectors out: ", tuple(hidden.shape), "  (B, S, D)")
print("parameters:  ", f"{minibert.count_parameters(bert):,}")

# %% [markdown]
# ## How an exercise works
#
# An exercise asks you to write a function that stands in the library. You write it, and `minibert.check` tries it on
# inputs of its own. What makes it worth having is what it says when something is wrong. Here is a first attempt at a
# layer norm (lesson 04 explains it), with two mistakes that many people make:


# %%
def first_attempt(x, weight, bias, eps=1e-12):
    mean = x.mean(dim=-1, keepdim=True)
    spread = x.std(dim=-1, keepdim=True)
    return (x - mean) / (spread + eps) * weight + bias


minibert.check("layer-norm", first_attempt)

# %% [markdown]
# It does not only say *wrong*. It keeps a right solution with knobs on it, each of which brings back one mistake that
# people really make, and turns them, one and then two at a time, until it gets the same wrong numbers as you. So what
# it tells you is what your code does. Where no knob fits, it says where your answer first differs, and along which
# axis.
#
# The second line of the output shows the stages of a check and how far you came: the right parameters, the right shape,
# the right values, a gradient that flows, inputs that are left as they were, and last the swap (see below). If you want
# a push and not the answer, ask the result for a hint; each call says a little more:

# %%
result = minibert.check("layer-norm", first_attempt)
print("1:", result.hint())
print("2:", result.hint())

# %% [markdown]
# An exercise that you have not begun is not wrong, it is *not attempted*, and nothing stops. So you can run a whole
# lesson from top to bottom at any time, and come back to its exercises later.
#
# Where it can, the checker ends with the *swap*: it puts your function into a real BERT, runs real sentences through
# it, and compares every vector after every layer. To see that once without giving a solution away,
# here is PyTorch's own GELU in the place of an answer:

# %%
minibert.check("gelu", torch.nn.functional.gelu)

# %% [markdown]
# ## Try it: the first exercise
#
# GELU is a small curve that BERT bends its numbers with (lesson 04 shows what for). All you need is its formula,
#
# $$\text{GELU}(x) = x \cdot \Phi(x), \qquad
# \Phi(x) = \tfrac{1}{2}\left(1 + \text{erf}\left(x / \sqrt{2}\right)\right)$$
#
# and the *error function* erf is there already: `torch.erf`. Write it wrong first, on purpose (leave out the root of
# two, say), and see what the check makes of it.

# %% exercise="gelu"

# %% [markdown]
# ## Where you are
#
# `minibert.progress()` shows the map of all exercises, with what you have passed and tried on this machine. (In the
# output as it is stored here, the layer norm from above counts as tried. PyTorch's own GELU does not count as yours.)

# %%
minibert.progress()

# %% [markdown]
# ## When you are stuck
#
# - **Read the message again, slowly.** It says what your code does, and what comes of it.
# - **Print shapes.** Most mistakes are an axis in the wrong place. Use sizes that are all different.
# - **Ask for a hint**, once or twice. The last one is a sketch with gaps.
# - **Go smaller.** Two tokens, three features, numbers you can work out by hand.
# - **Read the library.** It is the solution, and it is written to be read. Close it again before you write your own.
#
# A cell that hangs can be stopped with the square button at the top of the notebook. If names are in a muddle, restart
# the kernel and run everything from the top: a lesson takes a minute at most.
#
# ## What could go wrong
#
# - **A check that is given a call, not a function.** `minibert.check("gelu", gelu(x))` hands over a tensor. The
#   function's name alone is what it wants.
# - **An old definition.** You changed a cell and did not run it: the check still sees the function as it was.
# - **Copying the library.** It passes, and you have learned little. Handing in the library's own function is noticed.
#
# ## In short
#
# - Question, picture, small steps, exercises: run, look, change.
# - The letters B, S, D, H, K, F, V, E, L mean the same everywhere.
# - `minibert.check` says which mistake it found, `.hint()` a little more, `minibert.progress()` where you are.
#
# **To read.** The [README](../README.md) of this project, which also says how to train and measure from a terminal.
#
# **Next:** [attention: a word looks at the others](01_attention.ipynb).
