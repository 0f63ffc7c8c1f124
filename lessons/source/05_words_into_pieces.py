# %% [markdown]
# # Words into pieces
#
# > A model knows thirty thousand pieces, and people write any word they like. How does text get in?
#
# A network computes with numbers, and people write letters. In between stands a list: pieces of text, each with a
# number of its own. The list is fixed before a model's training begins, and after that it never grows. Still BERT
# reads words that are not on it.
#
# Here is how. Most words of this sentence are on the list as they are; the others are put together from parts.

# %%
from collections import Counter

import torch
from torch.nn import functional as F

import minibert
from minibert import plots
from minibert.tokenizers import WordPiece
from minibert.tokenizers.wordpiece import CharacterTable
from minibert.training.data import load_reviews

tok = minibert.load_tokenizer("minilm-l6")  # the published list of bert-base-uncased


def pieces_of(text):
    return [tok.tokens[number] for number, _ in tok.pieces(text)]


sentence = "An unwatchable tearjerker? No: Amélie is naïve, mesmerizing and unforgettable."
words = [(written, pieces_of(written)) for written in sentence.split()]
plots.pieces(words, "A sentence, and the pieces that BERT reads", continues=tok.continues)

# %% [markdown]
# The list is called the **vocabulary**, and its entries are *word pieces*, or *tokens* when they stand in a text. This
# one has {{tok.vocab_size | ,}}. A piece that begins with `##` is glued to what stands before it. What turns text into
# such pieces is a **tokenizer**, and BERT's kind of tokenizer is called **WordPiece**.
#
# Accents and capitals are gone, you see, and a comma stands by itself. By the end of this page you know each of these
# steps and can cut a word by hand.
#
# ## Why not whole words?
#
# The plainest list holds words. How many would it need? Count them in real reviews (a punctuation mark counts as a
# word):

# %%
reviews = load_reviews("imdb")
# What makes text plain: two sections further on.
plain = CharacterTable(lowercase=True, strip_accents=True, space_cjk=True)


def words_of(text):
    return text.translate(plain).split()


counts = Counter(word for review in reviews.train for word in words_of(review.text))
common = [word for word, _ in counts.most_common()]
running = sum(counts.values())
print(f"{len(reviews.train):,} reviews, {running:,} words, {len(common):,} different ones")
for size in (100, 1_000, 10_000, tok.vocab_size):
    covered = sum(counts[word] for word in common[:size]) / running
    print(f"the {size:>6,} most frequent are {covered:5.1%} of the running text")

# %% [markdown]
# A few words do most of the work, and a list of {{tok.vocab_size | ,}} whole words covers {{covered | .1%}} of the
# text. That sounds like enough. Now read reviews that the list was not made from:

# %%
known = set(common[: tok.vocab_size])
lacking = []
for review in reviews.test:
    lacking.append([word for word in words_of(review.text) if word not in known])
with_gaps = sum(map(bool, lacking)) / len(lacking)
print(f"{with_gaps:.0%} of {len(lacking):,} new reviews have a word that is not on it.")
print("The first three lack")
for words in lacking[:3]:
    print("   ", *words)

# %% [markdown]
# Words are never all there. What is missing are mostly names, numbers and slips of the pen, now and then an ordinary
# word, and all of them would be the same to the model: one vector for "unknown". A longer list does not help much:
# {{sum(n == 1 for n in counts.values()) / len(counts) | .0%}} of the different words occur once, so their vectors
# would be learned from one example, or not at all.
#
# ## Why not letters?
#
# With letters nothing is ever unknown, and the list is short. But a text gets long. How long are the same reviews in
# each unit? And attention compares each with each: how large is its table, $S^2$, beside the one for pieces?

# %%
sample = [review.text for review in reviews.test[:500]]
units = {"characters": list, "pieces": tok.ids, "words": words_of}
lengths, tables = {}, {}
for unit, cut in units.items():
    lengths[unit] = torch.tensor([len(cut(text)) for text in sample]).float()

print("unit        in a review   table, pieces = 1   reviews that fit in BERT")
for unit, found in lengths.items():
    tables[unit] = (found**2).mean() / (lengths["pieces"] ** 2).mean()
    fit = (found <= 510).float().mean()  # what BERT's 512 positions hold beside [CLS] and [SEP]
    print(f"{unit:<11} {found.mean():>11,.0f} {tables[unit]:>19.1f} {fit:>26.0%}")

# %% [markdown]
# In characters a review is {{lengths["characters"].mean() / lengths["pieces"].mean() | .1f}} times as long, and its
# tables of attention {{tables["characters"] | .0f}} times as large. Besides, a letter by itself means little: the
# model would have to spend its first layers on spelling.
#
# Pieces are the middle way. Frequent words stay whole, so that a text is hardly longer than in words
# ({{lengths["pieces"].mean() / lengths["words"].mean() | .2f}} pieces a word), and rare words fall into parts that
# have been seen before.
#
# ## First, make it plain
#
# Before anything is cut, the text is made plain. Each line here switches on one step more:
#
# - what cannot be seen is dropped, all white space is a blank, and every punctuation mark becomes a word of its own;
# - so does every Chinese character, since Chinese is written without blanks (`cjk` in the code; Japanese kana and
#   Korean are not meant);
# - accents come off;
# - capitals become small letters.

# %%
text = "Amélie's PARIS:\t$5 不错"
steps = ["signs apart", "+ CJK apart", "+ no accents", "+ lower case"]
for number, step in enumerate(steps):
    on = {"space_cjk": number >= 1, "strip_accents": number >= 2, "lowercase": number >= 3}
    print(f"{step:<13} {text.translate(CharacterTable(**on)).split()}")

print("\none character at a time:")
characters = ["é", "E", "$", "'", "不", "\t", "\u200b"]
print({character: plain[ord(character)] for character in characters})

# %% [markdown]
# No step has to look at a character's neighbours. So all of it is one table, from a character to what becomes of it,
# and Python's `str.translate` does the work. (`\u200b` is a blank without width, as web pages have them. It becomes
# nothing.)
#
# How does an accent come off? Unicode can write *é* as two characters, an *e* and a mark that goes on top of it; the
# marks are dropped. The last two steps belong to an *uncased* model. A cased one leaves them out, and has another list.
#
# ## Cut: the longest piece wins
#
# Now each word is looked up. Take the longest beginning that is in the vocabulary $\mathcal{V}$, then go on behind it
# with the rest. From the second piece on, look for `##` + text. So the piece that begins at letter $a$ of the word $w$
# ends at
#
# $$b = \max\,\{\, j > a : \; m_a\, w_{a:j} \in \mathcal{V} \,\}$$
#
# where the mark $m_a$ is nothing at the start of the word, and `##` inside it. By hand:

# %%
word, start, by_hand = "unwatchable", 0, []
while start < len(word):
    mark = "##" if start else ""
    tried = [mark + word[start:end] for end in range(len(word), start, -1)]  # the longest first
    piece = next(one for one in tried if one in tok.vocabulary)
    print(*[f"{one}?" for one in tried[: tried.index(piece)]], f"{piece}!")
    by_hand.append(piece)
    start += len(piece) - len(mark)

assert by_hand == pieces_of(word)
by_hand

# %% [markdown]
# It never looks back: such a search is called *greedy*. And it knows no grammar, only the list. Here it found a
# prefix, a stem and a suffix. Often it does not:

# %%
for word in ["unforgettable", "unfunny", "mesmerizing", "snoozefest", "gooooood", "minibert"]:
    print(f"{word:<14} {pieces_of(word)}")

print("\non the list?")
asked = ["forget", "##forget", "##get", "##able", "##table"]
print({piece: piece in tok.vocabulary for piece in asked})

# %% [markdown]
# You would have cut un-forgett-able. But *forget* is on the list only as the beginning of a word; inside one, the
# longest that fits is `##for`, and then `##get`. And since `##table` is longer than `##t`, `##able` never gets its
# turn. Pieces with and without `##` are kept apart because they mean different things: `table` is furniture, and
# `##table` the end of a word.
#
# ## When nothing fits
#
# Every letter of the alphabet is a piece, both at the start of a word and inside. So a word in plain letters can
# always be cut, if need be letter by letter. What cannot be cut has a character that is not on the list at all:

# %%
letters = "abcdefghijklmnopqrstuvwxyz0123456789"
single = {*letters, *("##" + letter for letter in letters)}
print("every letter and digit is there:", single <= set(tok.vocabulary))
print(pieces_of("great 😀"), pieces_of("great😀"))
for length in (100, 101):
    found = pieces_of("a" * length)
    print(f"the letter a, {length} times, in pieces: {len(found)}, the first {found[0]}")

unknown = sum(tok.ids(text).count(tok.unk_id) for text in sample)
together = lengths["pieces"].sum()
print(f"in the {len(sample)} reviews from above: {unknown} [UNK] among {together:,.0f} pieces")

# %% [markdown]
# Then the **whole word** becomes one `[UNK]`, also the part that would have fitted: in `great😀` the praise is lost
# with the smile. And a "word" of more than a hundred characters, often a web address or a slip, is not even tried. In
# these reviews it never happens; where people write with smileys, it will.
#
# ## Numbers, and five special tokens
#
# The model gets numbers, the **ids**: a piece's id is its line in the vocabulary file, counted from zero. Around the
# text stand tokens that no text contains:
#
# | token | id | what it is for |
# |---|---|---|
# | `[CLS]` | {{tok.cls_id}} | begins every input; its vector can stand for the whole text |
# | `[SEP]` | {{tok.sep_id}} | ends each text |
# | `[PAD]` | {{tok.pad_id}} | fills short texts up in a batch |
# | `[MASK]` | {{tok.mask_id}} | covers a word that is to be guessed (pre-training) |
# | `[UNK]` | {{tok.unk_id}} | a word that cannot be written in pieces |
#
# Some tasks take two texts: does this answer fit that question? They share one input, and a second row of numbers says
# which text a token belongs to, the **token types**. BERT's paper calls the two *sentence A* and *sentence B*.

# %%
pair = tok.encode("Who made it?", "Sofia Coppola did.")
print(f"{'token':<8} {'id':>6}  type")
for token, number, kind in zip(pair.tokens, pair.ids, pair.type_ids, strict=True):
    print(f"{token:<8} {number:>6}  {kind}")

# %% [markdown]
# Note where the type changes: `[CLS]` and the first `[SEP]` are of type `0`, the last `[SEP]` is of type `1`. A model
# that was trained so expects it so.
#
# ## A batch
#
# Called with several texts, the tokenizer returns what a model takes: three tables of whole numbers, all (B, S). S is
# the length of the longest text. The others are filled up at the right, and `attention_mask` is `0` where there is
# only filling; what attention does with that you saw in lesson 02.

# %%
batch = tok(["A quiet film.", "Two hours I will never get back."])
for name, table in batch.items():
    print(f"{name} {tuple(table.shape)}\n{table}\n")

# %% [markdown]
# How much of a batch is filling? With short sentences of film critics, taken as they come:

# %%
critics = load_reviews("rotten-tomatoes")
some = tok([review.text for review in critics.train[:8]])
real = some["attention_mask"].sum(dim=1).tolist()
plots.padded_batch(real, title="Eight sentences of critics in one batch")

# %% [markdown]
# A text that is too long can be cut off: `max_length` counts the special tokens too. Of a pair, the longer text is cut
# first, so that a short question survives beside a long answer.

# %%
question, answer = "Who made it?", "Sofia Coppola did, and she wrote it, too."
for limit in (14, 10):
    print(tok.encode(question, answer, max_length=limit).tokens)

# %% [markdown]
# ## And back again
#
# `decode` puts the pieces together. What was made plain stays plain:

# %%
said = "Amélie's  PARIS: don't-miss it!"
encoding = tok.encode(said)
print(said, tok.decode(encoding.ids), tok.decode(encoding.ids, skip_special=False), sep="\n")

token_at = encoding.tokens.index("amelie")
start, end = encoding.offsets[token_at]
print("\nwhere", encoding.tokens[token_at], "comes from:", repr(said[start:end]))

# %% [markdown]
# Case, accents and blanks are lost: `decode` cannot know them. Whoever needs the original, to mark a name in it or an
# answer, uses the **offsets**: for each token, the stretch of the original text that it covers.
#
# ## How long are reviews?
#
# BERT has a vector for each of {{minibert.PRESETS["bert-base-uncased"].max_position_embeddings}} positions, and no
# more. Is that enough? Sorted from the shortest to the longest:


# %%
def tokens_in(some_reviews):
    found = [len(tok.ids(review.text)) for review in some_reviews]
    return torch.tensor(found).float() + 2  # [CLS] and [SEP]


of_imdb, of_critics = tokens_in(reviews.train[:3000]), tokens_in(critics.train)
shares = torch.linspace(0.01, 0.99, 99)
curves = {"IMDB": of_imdb.quantile(shares), "critics' sentences": of_critics.quantile(shares)}
curves = {name: ((100 * shares).tolist(), points.tolist()) for name, points in curves.items()}
plots.lines(
    curves,
    xlabel="this share of the reviews, in % …",
    ylabel="… has at most so many tokens",
    title="What fits into BERT",
    levels={"BERT's last position": 512},
)

# %% [markdown]
# Sentences fit easily: the longest has {{of_critics.max() | .0f}} tokens. Half of the IMDB reviews have
# {{of_imdb.median() | .0f}} or fewer, but {{(of_imdb > 512).float().mean() | .0%}} are too long. When they are cut off,
# {{(of_imdb - 512).clamp(min=0).sum() / of_imdb.sum() | .0%}} of all tokens go, and always from the end, where a
# reviewer may well sum up what the film is worth.
#
# ## Where does the list come from?
#
# It is learned from text, before the model is. One way, from Sennrich et al. 2016: begin with single characters; find
# the two neighbours that stand side by side most often, and make them one new piece; repeat until the list is full.
# Here from two thousand reviews:

# %%
learned = WordPiece.train([review.text for review in reviews.train[:2000]], vocab_size=16_000)
single = [piece for piece in learned.tokens[5:] if len(piece.removeprefix("##")) == 1]
joined = learned.tokens[5 + len(single) :]
print(f"5 special tokens, {len(single)} characters, {len(joined):,} joined pieces, in order:")
print(*joined[:24], "…")
print("…", *joined[-10:])

# %% [markdown]
# First *th* and then *the*; the ends *##ing* and *##ed* come early, and whole rare words late. (At the end many pairs
# are equally rare, and the alphabet decides: hence the many words in *p*.) Each step adds one piece to the end, so the
# beginning of a long list is a short list. How many pieces does a word need, in reviews that the list was not learned
# from?

# %%
unread = [review.text for review in reviews.test[:300]]
unread_words = sum(len(words_of(text)) for text in unread)
sizes = [300, 500, 1000, 2000, 4000, 8000, 12_000, 16_000]
pieces_a_word = []
for size in sizes:
    shorter = WordPiece({piece: number for number, piece in enumerate(learned.tokens[:size])})
    pieces_a_word.append(sum(len(shorter.ids(text)) for text in unread) / unread_words)
of_bert = sum(len(tok.ids(text)) for text in unread) / unread_words

plots.lines(
    {"learned from reviews": (sizes, pieces_a_word)},
    xlabel="pieces in the vocabulary",
    ylabel="pieces a word",
    title="A longer list makes shorter texts, with less and less gain",
    levels={"BERT's own list": of_bert},
)

# %% [markdown]
# From {{pieces_a_word[0] | .2f}} pieces a word the curve falls steeply and then hardly at all: what comes late is
# rare. BERT's list, about twice as long and not made for reviews, needs {{of_bert | .2f}}.
#
# (WordPiece was described with a slightly different rule: join the pair that makes the text most *likely*, Schuster &
# Nakajima 2012. BERT's own trainer was never published, so nobody outside can say exactly how this list came about.
# The library counts pairs; the notes at `learn_pieces` say why.)
#
# A longer list is not free either. Each piece has a vector of $D$ numbers, all of them learned: $V \cdot D$
# parameters.

# %%
for name in ("bert-base-uncased", "minilm-l6", "tiny-bert"):
    with torch.device("meta"):  # shapes without numbers, enough to count: the next lesson
        parts = minibert.parameters_by_part(minibert.build(name))
    of_words, total = parts["word embeddings"], sum(parts.values())
    print(f"{name:<18} {of_words:>10,} of {total:>11,}: {of_words / total:.0%}")

# %% [markdown]
# The smaller the model, the more of it is vocabulary. The list is a compromise between the length of the text and the
# size of the table.
#
# ## What could go wrong
#
# A tokenizer belongs to its model. With another one nothing stops, as long as the ids are small enough. Here the list
# that we learned a moment ago feeds the real model:

# %%
bert = minibert.from_pretrained("minilm-l6")
plot = "A moving film about growing old."
foreign = learned.encode(plot)
print("meant:   ", foreign.tokens)
print("read as: ", [tok.tokens[number] for number in foreign.ids])

with torch.no_grad():
    right = bert(**tok(plot)).last_hidden_state.mean(dim=1)
    wrong = bert(**learned(plot)).last_hidden_state.mean(dim=1)
print(f"cosine of the two mean vectors: {F.cosine_similarity(right, wrong).item():.2f}")
print("as many pieces as the model has vectors?", learned.vocab_size == bert.config.vocab_size)
print("does the text come back?", tok.decode(foreign.ids) == tok.decode(tok.encode(plot).ids))

# %% [markdown]
# The model returns a vector, of the right shape, for a text that nobody wrote. The last lines are two checks that take
# a second: compare the sizes, and decode a line with the tokenizer that the model was trained with.
#
# The second mistake: case. The uncased list has no capitals, so without the lower-casing every word that has one is
# unknown:

# %%
careless = WordPiece(tok.vocabulary, lowercase=False)
print(careless.encode("The Film was Great, I loved it.").tokens)

# %% [markdown]
# More, for when you write it yourself:
#
# - **The shortest piece first.** Every letter is a piece, so every word falls into letters.
# - **`##` forgotten**, or put on only after looking up. Then *table* and *##table* are mixed up: the ids are valid,
#   and wrong.
# - **Partial pieces kept** where the end does not fit. The model never saw half words; the whole word is `[UNK]`.
# - **The attention mask left behind.** The tokenizer made it; hand it on with the ids. (What happens without it you
#   saw in lesson 02.)
# - **Special tokens twice**, because both the tokenizer and your own code put them around the text.
#
# ## Exercises
#
# First the cutting, then what is put around it.

# %% exercise="wordpiece"

# %% exercise="encode-pair"

# %% [markdown]
# ## In short
#
# - Whole words are never all there, and letters make texts too long. Pieces keep frequent words whole and cut rare
#   ones.
# - Plain first (characters, accents, case), then the longest piece from the left, again and again, with `##` inside
#   words.
# - One character that fits no piece makes the whole word `[UNK]`.
# - `[CLS]` A `[SEP]` B `[SEP]`; token types say which text, the attention mask says what is real.
# - A list is learned from text and belongs to one model. It costs $V \cdot D$ parameters.
#
# **To read.** Schuster & Nakajima 2012, *Japanese and Korean Voice Search*; Wu et al. 2016, *Google's Neural Machine
# Translation System*, section 4.1; Devlin et al. 2019, *BERT*, section 3. Other ways to cut: pairs joined in the order
# of learning, Sennrich et al. 2016; a list that is learned by leaving out, Kudo 2018. Then
# [minibert/tokenizers/wordpiece.py](../minibert/tokenizers/wordpiece.py), in the order that its head gives.
#
# **Next:** [BERT, and where its parameters sit](06_bert.ipynb).
