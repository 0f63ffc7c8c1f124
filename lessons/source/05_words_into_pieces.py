# %% [markdown]
# # Words into pieces
#
# > A model knows thirty thousand pieces, and people write any word they like. How does text get in?
#
# A network computes with numbers, and people write letters. Between the two there is a **vocabulary**: a list of pieces
# of text, each with a number. The list is fixed before the model is trained, and it never grows. Nevertheless BERT can
# read words that are not on it.
#
# A program that cuts text into pieces is called a **tokenizer**. This lesson is about the three kinds that the BERT
# family uses. Here they cut the same sentence.

# %% tags=["folded"]
import math
from collections import Counter
from itertools import combinations

import torch
from torch.nn import functional as F

import minibert
from minibert import plots
from minibert.tokenizers import AlbertUnigram, WordPiece
from minibert.tokenizers.byte_bpe import LETTERS, ROBERTA_SPECIAL
from minibert.tokenizers.wordpiece import CharacterTable
from minibert.training.data import load_reviews

reviews = load_reviews("imdb")
tok = minibert.load_tokenizer("minilm-l6")  # the published list of bert-base-uncased
bpe = minibert.load_tokenizer("gpt2-bpe")  # GPT-2's merges, which RoBERTa and BART use too
unigram = AlbertUnigram.train([review.text for review in reviews.train[:1000]], vocab_size=8000)
kinds = {"WordPiece": tok, "byte-level BPE": bpe, "Unigram": unigram}
plain = CharacterTable(lowercase=True, strip_accents=True, space_cjk=True)  # explained below


def pieces_of(text, tokenizer=tok):
    return [tokenizer.tokens[number] for number, _ in tokenizer.pieces(text)]


def words_of(text):
    return text.translate(plain).split()


# %%
sentence = "An unwatchable tearjerker? No: Amélie is naïve, mesmerizing and unforgettable."
cuts = {}
for kind, tokenizer in kinds.items():
    pieces = pieces_of(sentence, tokenizer)
    marked = []  # each piece, and whether it continues a word; None: punctuation
    for at, piece in enumerate(pieces):
        marked.append((piece, at > 0 and tokenizer.continues(piece) if any(map(str.isalnum, piece)) else None))
    cuts[f"{kind}: {len(pieces)} pieces"] = marked
plots.cuts(cuts, "One sentence, cut in three ways")

# %% [markdown]
# - **WordPiece** (BERT, DistilBERT, MobileBERT) marks a piece that continues a word with `##`.
# - **Byte-level BPE** (GPT-2, RoBERTa, BART) writes `Ġ` for a space. The space belongs to the word after it. And what
#   is `Ã©`? You will see below.
# - **Unigram** (ALBERT, XLNet) writes `▁` for a space. This list was learned a moment ago from a thousand reviews, so
#   it knows how reviewers write; the other two are the published lists.
#
# (Punctuation marks are grey: some tokenizers treat them as words of their own, others do not.)
#
# A *piece* is an entry of the list. A *token* is one occurrence of a piece in a text. By the end of this lesson you can
# cut a word in all three ways yourself (the third is a challenge).
#
# ## Why not whole words, or letters?
#
# Take the most frequent words of many reviews as the list, as many as BERT has pieces. Then read reviews that the list
# was not made from:

# %%
counts = Counter(word for review in reviews.train for word in words_of(review.text))
once = sum(n == 1 for n in counts.values()) / len(counts)
print(f"{len(counts):,} different words, {once:.0%} of them occur once")

new = [words_of(review.text) for review in reviews.test]
lacking, with_gaps = {}, {}  # length of a list -> the words that it lacks in each review; the share with one
for size in (tok.vocab_size, len(counts)):
    known = {word for word, _ in counts.most_common(size)}
    lacking[size] = [[word for word in words if word not in known] for words in new]
    with_gaps[size] = sum(map(bool, lacking[size])) / len(new)
    share = with_gaps[size]
    print(f"a list of {size:,} words: {share:.0%} of {len(new):,} new reviews have a word that it lacks")
added = [n for _, n in counts.most_common()[tok.vocab_size :]]  # counts of what only the longer list has
rare = sum(n == 1 for n in added) / len(added)
print("words that the shorter list lacks, in two of the reviews:")
for words in lacking[tok.vocab_size][:2]:
    print("   ", *words)

# %% [markdown]
# To the model all these words would be the same: one vector for "unknown". A longer list helps, but not enough. Even
# with all {{len(counts) | ,}} words on it, {{with_gaps[len(counts)] | .0%}} of the new reviews have a gap. And
# {{rare | .0%}} of the added words occur only once: a vector cannot be learned from one example.
#
# With letters nothing is unknown. But then a text is long, and attention computes a table of $S \times S$ numbers:

# %%
sample = [review.text for review in reviews.test[:300]]
units = {"characters": list, "WordPiece": tok.ids, "whole words": words_of}
lengths = {unit: torch.tensor([len(cut(text)) for text in sample]).float() for unit, cut in units.items()}
print("unit           in a review   S × S, pieces = 1")
for unit, found in lengths.items():
    table = (found**2).mean() / (lengths["WordPiece"] ** 2).mean()
    print(f"{unit:<12} {found.mean():>13,.0f} {table:>19.1f}")

# %% [markdown]
# Pieces are the compromise. Frequent words stay whole, so a text is only
# {{lengths["WordPiece"].mean() / lengths["whole words"].mean() | .2f}} times as long as in words. Rare words fall into
# parts that the model has seen before.
#
# ## WordPiece: the longest piece first
#
# Before anything is cut, the text is **normalised**. For an uncased BERT: characters that cannot be seen are dropped,
# all white space becomes single spaces, accents are removed, capitals become lower case, and every punctuation mark and
# every Chinese character becomes a word of its own:

# %%
print(words_of("Amélie's  PARIS:\t$5 不错"))

# %% [markdown]
# Then each word is looked up from the left. Take the longest beginning that is in the vocabulary, and continue with the
# rest in the same way. Inside a word, look for the piece with `##` before it. This is a *greedy* search: it never looks
# back, and it knows no grammar, only the list.

# %%
for word in ["unwatchable", "unforgettable", "unfunny", "gooooood", "minibert", "great😀"]:
    print(f"{word:<14} {pieces_of(word)}")
asked = ["forget", "##forget", "##get", "##able", "##table"]
print("on the list?", {piece: piece in tok.vocabulary for piece in asked})

# %% [markdown]
# You would have cut un-forgett-able. But *forget* is on the list only as the beginning of a word. Inside a word the
# longest piece that fits is `##for`, then `##get`, then `##table`. Pieces with and without `##` are different entries:
# `table` is furniture, and `##table` the end of a word.
#
# The word *great😀* shows the weak point. 😀 is not on this list, so the **whole word** becomes one `[UNK]`, and
# *great* is lost too.
#
# The list itself is learned from texts, by joining frequent neighbours, as in BPE below. (BERT's own trainer was never
# published.)

# %% exercise="wordpiece"

# %% [markdown]
# When your `wordpiece` has passed, compare: the search by hand, with everything that it tries.

# %% tags=["folded"]
word, start, by_hand = "unwatchable", 0, []
while start < len(word):
    mark = "##" if start else ""
    tried = [mark + word[start:end] for end in range(len(word), start, -1)]  # the longest first
    piece = next(one for one in tried if one in tok.vocabulary)
    print(*[f"{one}?" for one in tried[: tried.index(piece)]], f"{piece}!")
    by_hand.append(piece)
    start += len(piece) - len(mark)

assert by_hand == pieces_of(word)

# %% [markdown]
# ## What the model receives
#
# The model gets the **ids**: a piece's id is its place in the list. Around the text there are special tokens.
#
# | token | id | what it is for |
# |---|---|---|
# | `[CLS]` | {{tok.cls_id}} | begins every input; its vector can stand for the whole text |
# | `[SEP]` | {{tok.sep_id}} | ends each text |
# | `[PAD]` | {{tok.pad_id}} | padding |
# | `[MASK]` | {{tok.mask_id}} | hides a word that must be guessed (lesson 07) |
# | `[UNK]` | {{tok.unk_id}} | a word that cannot be cut into pieces |
#
# Some tasks have two texts, such as a question and an answer. Both go into one input, and the **token types** say which
# text a token belongs to:

# %%
pair = tok.encode("Who made it?", "Sofia Coppola did.")
for name, row in {"tokens": pair.tokens, "ids": pair.ids, "types": pair.type_ids}.items():
    print(f"{name:<7}", *(f"{item!s:>7}" for item in row))

batch = tok(["A quiet film.", "Two hours I will never get back."])
print("\na batch:", {name: tuple(table.shape) for name, table in batch.items()}, "all (B, S)")

# %% [markdown]
# If a pair is too long for `max_length`, the longer of the two texts is truncated first, so a short question stays
# whole next to a long answer. `attention_mask` is `0` where there is only padding (lesson 03).

# %% exercise="encode-pair"

# %% [markdown]
# ## What could go wrong
#
# **Another model's tokenizer.** There is no error, as long as the ids are small enough. Here a list that we
# learn from a thousand reviews feeds the real model:

# %%
learned = WordPiece.train([review.text for review in reviews.train[:1000]], vocab_size=8000)
bert = minibert.from_pretrained("minilm-l6")
plot = "A moving film about growing old."
foreign = learned.encode(plot)
print("meant:  ", foreign.tokens)
print("read as:", [tok.tokens[number] for number in foreign.ids])
with torch.no_grad():
    right, wrong = (bert(**one(plot)).last_hidden_state.mean(dim=1) for one in (tok, learned))
print(f"cosine of the two mean vectors: {F.cosine_similarity(right, wrong).item():.2f}")

# %% [markdown]
# The model returns a vector of the right shape for a text that nobody wrote. Compare the size of the list with the
# model's `vocab_size`, and decode a line with the tokenizer that the model was trained with.
#
# - **Case.** An uncased list has no capitals: without lower-casing, every word that has one becomes `[UNK]`.
# - **The attention mask forgotten.** The tokenizer made it: pass it on with the ids.
# - **Special tokens twice**, because both the tokenizer and your own code add them.
#
# **A good place to stop for tonight.** You now have all that lesson 06 needs. The rest is for another evening: RoBERTa
# and BART (lessons 11 and 14) read with BPE, ALBERT and XLNet (lessons 10 and 13) with Unigram.

# %% [markdown]
# ## BPE: join the pair that was learned first
#
# **Byte-pair encoding** (Sennrich et al. 2016) learns its list by joining. Begin with single characters. Find the two
# neighbours that occur together most often, make them one piece, and repeat. The list of these *merges*, in the order
# in which they were learned, is the tokenizer. To cut a word, spell it, and then always apply the merge with the lowest
# rank that fits anywhere in the word. This is what happens to *unaffable*:

# %%
rank = {pair: number for number, pair in enumerate(bpe.merges)}
joined = [("l", "e"), ("a", "b"), ("u", "n"), ("f", "f"), ("ab", "le"), ("a", "ff")]
word = "u n a f f a b l e"
for pair in joined:
    word = word.replace(" ".join(pair), "".join(pair))
    print(f"{'+'.join(pair):<6} rank {rank[pair]:>6,}   {word}")
print("no pair that is left is on the list:", ("un", "aff") not in rank, ("aff", "able") not in rank)

# %% [markdown]
# (`replace` is good enough for this one word only: it would also find `a b` inside `ca b`. Your function must compare
# whole symbols.)
#
# A low rank means that the pair was learned early: it was then the most frequent pair of all.
#
# **Byte-level** means that a word is spelled in bytes, not in characters (Radford et al. 2019, section 2.2; RoBERTa
# took it over: Liu et al. 2019, section 4.4). Every text in any script is a sequence of bytes, and there are only $2^8$
# of them. All of them are on the list, so nothing is ever unknown. To make the list readable, each byte is written as a
# visible character. The two bytes of *é* look like `Ã©`, and the space looks like `Ġ`.
#
# Before a text is spelled, a fixed pattern cuts it into words: letters, digits or other signs, each with the space
# before it (GPT-2's released `encoder.py`). Merges happen only inside such a word.

# %%
for text in ["é", "😀", "film", " film"]:
    print(f"{text!r:<8} {len(text.encode())} bytes   {pieces_of(text, bpe)}")

# %% [markdown]
# *film* with and without the space are two different pieces, with different vectors. So the first word of a text, which
# has no space before it, is not the same piece as that word inside a text. Some models expect a space to be added there
# (`add_prefix_space`).

# %% exercise="bpe-merge"

# %% [markdown]
# ## Unigram: the most probable way
#
# Unigram (Kudo 2018, section 3.2) has a probability for each piece. The probability of a way to cut a text is the
# product of the probabilities of its pieces. In logarithms it is the sum of their scores. Of all ways, take the best:
#
# $$x^* = \operatorname*{arg\,max}_{x\,\in\,\text{ways to cut}} \; \sum_{i} \log p(x_i)$$
#
# Pieces and probabilities are learned the other way round from BPE (same section). Begin with far too many frequent
# strings. Count how often each is used, on average over all ways to cut the training texts; make probabilities of the
# counts, and count again. Remove the pieces that the texts can best do without. Repeat until the list is short enough.
#
# A word of $n$ characters can be cut in $2^{n-1}$ ways. For a short word we can try them all:

# %%
score = dict(zip(unigram.cutter.vocabulary, unigram.cutter.scores, strict=True))
word = "▁starship"
places = range(1, len(word))
ways = []
for count in range(len(word)):
    for at in combinations(places, count):
        way = [word[a:b] for a, b in zip((0, *at), (*at, len(word)), strict=True)]
        if all(piece in score for piece in way):
            ways.append((sum(score[piece] for piece in way), way))
print(f"{2 ** len(places)} ways, of which {len(ways)} use only pieces on the list. The best:")
for total, way in sorted(ways, reverse=True)[:2]:
    print(f"{total:7.2f}   {' '.join(way)}")

longest_first, at = [], 0
while at < len(word):
    fitting = [word[at:end] for end in range(len(word), at, -1) if word[at:end] in score]
    longest_first.append(fitting[0])
    at += len(fitting[0])
total = sum(score[piece] for piece in longest_first)
print(f"{total:7.2f}   {' '.join(longest_first)}   (the longest piece first)")

# %% [markdown]
# The greedy search begins with *stars* and needs two short pieces for the rest. The best way begins with a shorter
# piece and has the higher sum. The **Viterbi** algorithm finds the best way without trying all: from left to right, it
# keeps only the best way to each place.
#
# ## Compared
#
# How many pieces does a word need, how much is unknown, and does the text come back when its pieces are put together?

# %%
word_count = sum(len(words_of(text)) for text in sample)
print(f"{'':<15} {'list':>7} {'pieces per word':>16} {'unknown':>8} {'comes back':>11}")
for kind, tokenizer in kinds.items():
    found = [tokenizer.ids(text) for text in sample]
    number = sum(map(len, found))
    unknown = sum(ids.count(tokenizer.unk_id) for ids in found)
    back = sum(tokenizer.decode(ids) == text for ids, text in zip(found, sample, strict=True)) / len(sample)
    print(f"{kind:<15} {tokenizer.vocab_size:>7,} {number / word_count:>16.2f} {unknown:>8} {back:>11.0%}")

# %% [markdown]
# Do not compare the columns as if only the method mattered: the lists have different lengths and were learned from
# different texts. The last column depends on what is thrown away before a text is cut. WordPiece and this Unigram
# normalise, so capitals, accents and line breaks are lost. Byte-level BPE keeps every byte.
#
# The list of {{bpe.vocab_size | ,}} has {{len(LETTERS)}} bytes, {{len(bpe.merges) | ,}} merges and
# {{len(ROBERTA_SPECIAL.all())}} special tokens.
#
# How long should a list be? Take again the list that we learned from reviews. Each step of learning added one piece at
# the end, so the first part of the list is also a shorter list, which we can test.

# %%
sizes = [300, 500, 1000, 2000, 4000, 8000]
curve, unknown = [], []
for size in sizes:
    shorter = WordPiece({piece: number for number, piece in enumerate(learned.tokens[:size])})
    found = [shorter.ids(text) for text in sample]
    curve.append(sum(map(len, found)) / word_count)
    unknown.append(sum(ids.count(shorter.unk_id) for ids in found))
print(f"of {word_count:,} words unknown, from the shortest list to the longest: {unknown}")
plots.lines(
    {"learned from reviews": (sizes, curve)},
    xlabel="pieces in the vocabulary",
    ylabel="pieces per word",
    title="A longer list makes shorter texts, with less and less gain",
    levels={f"BERT's list ({tok.vocab_size:,})": sum(len(tok.ids(text)) for text in sample) / word_count},
)

# %% [markdown]
# (Our list was learned from reviews, BERT's from other texts.) Each piece costs parameters, a vector of $D$ numbers. So
# the length of the list is a compromise between short texts and a small embedding table.
#
# (WordPiece was described with another rule: join the pair that makes the text most *likely*, Schuster & Nakajima 2012.
# Our `WordPiece.train` counts pairs.)

# %% [markdown]
# ## A challenge
#
# The last exercise is Viterbi's search. You can leave it for later.

# %% exercise="viterbi"

# %% [markdown]
# ## In short
#
# - Every list of words lacks some words, and letters make texts too long. Pieces keep frequent words whole and cut rare
#   ones.
# - WordPiece: normalise, then the longest piece from the left, with `##` inside words. One character that fits no piece
#   makes the whole word `[UNK]`.
# - Byte-level BPE: spell in bytes, then join the pair with the lowest rank, again and again. Nothing is unknown.
# - Unigram: of all ways to cut, the one with the highest sum of log-probabilities, found by Viterbi.
# - `[CLS]` A `[SEP]` B `[SEP]`; token types say which text a token belongs to, the attention mask says which tokens are
#   real.
#
# **To read.** Wu et al. 2016, *Google's Neural Machine Translation System*, section 4.1 (WordPiece); Sennrich et al.
# 2016, *Neural Machine Translation of Rare Words with Subword Units* (BPE); Radford et al. 2019, section 2.2 (bytes);
# Kudo 2018, *Subword Regularization*, section 3 (Unigram). In the library:
# [wordpiece.py](../minibert/tokenizers/wordpiece.py), [byte_bpe.py](../minibert/tokenizers/byte_bpe.py),
# [unigram_model.py](../minibert/tokenizers/unigram_model.py); the head of each file says where to begin.
#
# **Next:** [BERT, and where its parameters are](06_bert.ipynb).
