"""How fast this package is on this machine: six comparisons, each with a reference that takes turns with it.

    forward     BERT-base on 8 x 128 tokens, against only torch's matrix products of the same shapes
    masked_lm   one training step with 15% of the words masked, against the same step with logits everywhere
    training    the same on real reviews of all lengths: real tokens and masked words only, against all tokens
    padding     real sentences in random order: the real tokens only, against the padded rectangle
    generation  BART-base generates a text: with the keys and values of earlier tokens kept, against computed again
    tokenizer   words per second on the real reviews, in pure Python on one core, for the three kinds

Each is a function of (rounds, seed) that returns its figures, name -> number or Ratio. A time is the median over the
rounds; a ratio comes with its quartiles (see timing.py).
"""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from minibert.attention import Layout, causal_mask
from minibert.config import EncoderConfig
from minibert.factory import build, preset
from minibert.generation import Rules, allowed
from minibert.heads import Seq2SeqLM
from minibert.losses import IGNORE
from minibert.models.bart import Bart
from minibert.signs import progress_bar
from minibert.timing import paired, ratio, summary
from minibert.tokenizers import AlbertUnigram, load_tokenizer
from minibert.training.batching import inputs, single
from minibert.training.data import load_reviews
from minibert.training.tasks import MaskedWords

BATCH, LENGTH = 8, 128  # of `forward` and `masked_lm`
GENERATED = 16, 64  # tokens, in `generation`
SENTENCES = 32  # per batch of `training` and `padding`
UNIGRAM_PIECES = 4000  # of `tokenizer`

Seconds = dict[str, list[float]]  # name -> one number per round


def timed(label: str, functions: dict[str, Callable[[], object]], rounds: int) -> Seconds:
    """The seconds of functions that take turns (see `paired`), with a progress bar."""
    with progress_bar(label) as progress:
        return paired(functions, rounds, progress=progress)


def shuffled_texts(source: str, seed: int) -> list[str]:
    """Four batches of training reviews in random order, so that their lengths are mixed."""
    texts = [review.text for review in load_reviews(source).train]
    random.Random(seed).shuffle(texts)
    return texts[: 4 * SENTENCES]


# ---------------------------------------------------------------------------------------------- forward


def matrix_products(config: EncoderConfig, batch: int, length: int) -> Callable[[], None]:
    """A function that runs the matrix products of one forward pass, and nothing else, on random numbers."""
    tokens, d, f = batch * length, config.hidden_size, config.intermediate_size
    heads, k = config.num_attention_heads, d // config.num_attention_heads
    x, wide, first = torch.randn(tokens, d), torch.randn(tokens, f), torch.randn(batch, d)
    per_head, weights = torch.randn(batch, heads, length, k), torch.randn(batch, heads, length, length)
    # Each layer has its own matrices, as in the model: they do not stay in the processor's cache.
    layers = [
        ([torch.randn(d, d) for _ in range(4)], torch.randn(f, d), torch.randn(d, f))
        for _ in range(config.num_hidden_layers)
    ]
    pooler = torch.randn(d, d)

    def multiply() -> None:
        for projections, expand, contract in layers:
            for projection in projections:
                x @ projection.T
            x @ expand.T
            wide @ contract.T
            per_head @ per_head.transpose(-2, -1)
            weights @ per_head
        first @ pooler.T

    return multiply


def forward(rounds: int, seed: int) -> dict[str, Any]:
    """BERT-base, 8 x 128 tokens, float32, against its matrix products alone.

    Figures: seconds of each, and the model's speed as a share of the speed of the products alone (1 is the maximum).
    """
    config = preset("bert-base-uncased")
    model = build(config, seed=seed).eval()
    ids = torch.randint(1000, config.vocab_size, (BATCH, LENGTH), generator=torch.Generator().manual_seed(seed))
    with torch.inference_mode():
        products = matrix_products(config, BATCH, LENGTH)
        seconds = timed("forward", {"model": lambda: model(ids), "products": products}, rounds)
    return {
        "model, s": summary(seconds["model"]).median,
        "matrix products alone, s": summary(seconds["products"]).median,
        "speed of the model / of the products": ratio(seconds["products"], seconds["model"]),
    }


# ------------------------------------------------------------------------------- masked_lm and training


def timed_training(label: str, model: nn.Module, batches: Sequence[dict[str, Tensor]], rounds: int) -> Seconds:
    """The seconds of training on these batches, in two ways: "needed" and "everything".

    A step is forward, backward and AdamW. "needed" skips the padding, and computes vocabulary logits (and the last
    block) for the masked words only; "everything" computes both for the whole padded rectangle.

    batches: input_ids, labels and perhaps more inputs of the model, all (B, S).
    """
    model.train()
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True)

    def train(everything: bool) -> None:
        model.backbone.skip_padding = not everything
        for batch in batches:
            if everything:
                unlabelled = {name: tensor for name, tensor in batch.items() if name != "labels"}
                logits = model(**unlabelled).logits.flatten(0, 1)
                loss = F.cross_entropy(logits, batch["labels"].flatten(), ignore_index=IGNORE)
            else:
                loss = model(**batch).loss
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()

    return timed(label, {"needed": lambda: train(False), "everything": lambda: train(True)}, rounds)


def masked_lm(rounds: int, seed: int) -> dict[str, Any]:
    """One training step of BERT-base, 8 x 128 tokens, 15% masked, against logits everywhere.

    Figures: seconds of each, and how many times as fast the step is with logits for the masked words only.
    """
    model = build("bert-base-uncased", head="masked-lm", seed=seed)
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(1000, model.config.vocab_size, (BATCH, LENGTH), generator=generator)
    chosen = torch.randperm(ids.numel(), generator=generator)[: round(0.15 * ids.numel())]
    labels = torch.full_like(ids, IGNORE).flatten()
    labels[chosen] = ids.flatten()[chosen]
    seconds = timed_training("masked-lm", model, [{"input_ids": ids, "labels": labels.view_as(ids)}], rounds)
    return {
        "step, masked positions only, s": summary(seconds["needed"]).median,
        "step, logits everywhere, s": summary(seconds["everything"]).median,
        "times as fast": ratio(seconds["everything"], seconds["needed"]),
    }


def training(rounds: int, seed: int) -> dict[str, Any]:
    """A masked-LM training step of a BERT of 6 layers x 384, 32 real texts in random order, at most 128 tokens.

    It is compared with the same model padded to the longest text, with logits everywhere. Figures, for reviews of both
    sources and for single sentences: real tokens per second of each, and how many times as fast the first is.
    """
    tok = load_tokenizer("minilm-l6")
    figures: dict[str, Any] = {}
    for source in ("both", "rotten-tomatoes"):
        examples = [single(tok.ids(text), tok, LENGTH) for text in shuffled_texts(source, seed)]
        task = MaskedWords(examples, tok)
        batches = [task.batch(range(i, i + SENTENCES), seed) for i in range(0, len(examples), SENTENCES)]
        batches = [inputs(batch) | {"labels": batch["labels"]} for batch in batches]
        model = build("minilm-l6", head="masked-lm", seed=seed)
        seconds = timed_training(f"training, {source}", model, batches, rounds)
        tokens = sum(int(batch["attention_mask"].sum()) for batch in batches)
        rates = {way: round(tokens / summary(taken).median) for way, taken in seconds.items()}
        figures[f"{source}: tokens a second"] = rates["needed"]
        figures[f"{source}: padded, logits everywhere, tokens a second"] = rates["everything"]
        figures[f"{source}: times as fast"] = ratio(seconds["everything"], seconds["needed"])
    return figures


# ---------------------------------------------------------------------------------------------- padding


def padding(rounds: int, seed: int) -> dict[str, Any]:
    """32 Rotten Tomatoes sentences per batch, in random order: real tokens only, against padded.

    Figures, for two shapes of model: the share of real tokens in the batches, how many times as fast the packed
    model is, and the largest difference between the two models' vectors of real tokens.
    """
    tok = load_tokenizer("minilm-l6")
    texts = shuffled_texts("rotten-tomatoes", seed)
    batches = [tok(texts[i : i + SENTENCES]) for i in range(0, len(texts), SENTENCES)]
    slots = sum(batch["input_ids"].numel() for batch in batches)
    figures: dict[str, Any] = {"real tokens / slots": sum(int(b["attention_mask"].sum()) for b in batches) / slots}
    for name in ("minilm-l6", "bert-base-uncased"):
        model = build(name, seed=seed).eval()

        def encode(skip_padding: bool, model: nn.Module = model) -> list[Tensor]:
            model.skip_padding = skip_padding
            return [model(**batch).last_hidden_state[batch["attention_mask"].bool()] for batch in batches]

        ways = {"packed": lambda encode=encode: encode(True), "padded": lambda encode=encode: encode(False)}
        with torch.inference_mode():
            seconds = timed(f"padding, {name}", ways, rounds)
            apart = max(float((a - b).abs().max()) for a, b in zip(encode(True), encode(False), strict=True))
        figures[f"{name}: times as fast"] = ratio(seconds["padded"], seconds["packed"])
        figures[f"{name}: largest difference"] = apart
    return figures


# ------------------------------------------------------------------------------------------- generation


def without_cache(model: Seq2SeqLM, input_ids: Tensor, max_length: int) -> Tensor:
    """Greedy search for one text in which the decoder reads all tokens again at each step. Returns (1, max_length).

    The text that was read is encoded once, and its keys and values are kept. The end of the text is not allowed.
    """
    bart = cast(Bart, model.backbone)
    memory = bart.decoder.remember(bart.encode(input_ids).last_hidden_state, Layout())
    generated = torch.full((1, 1), bart.config.decoder_start_token_id)
    rules = Rules(max_length=max_length, min_length=max_length)
    while generated.shape[1] < max_length:
        memory.before = []
        x = bart.embeddings(generated, Layout(), bart.embeddings.decoder)
        hidden = bart.decoder(x, Layout(), causal_mask(generated.shape[1]), memory).last_hidden_state[:, -1]
        scores = allowed(model.word_scores(hidden), generated.tolist(), rules, bart.config)
        generated = torch.cat([generated, scores.argmax(dim=-1, keepdim=True)], dim=1)
    return generated


def generation(rounds: int, seed: int) -> dict[str, Any]:
    """BART-base reads 128 tokens and generates up to 64 others: the time of one, with a cache and without.

    Figures: milliseconds for each generated token of both, and how many times as fast the cache makes it; at 16 tokens
    and at 64, because without a cache each token takes longer than the one before.
    """
    model = cast(Seq2SeqLM, build("bart-base", head="seq2seq-lm", seed=seed).eval())
    # No token is forced, and none ends the text early: both ways generate the same.
    model.backbone.config = replace(model.backbone.config, forced_bos_token_id=None, forced_eos_token_id=None)
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(1000, model.config.vocab_size, (1, LENGTH), generator=generator)
    figures: dict[str, Any] = {}
    with torch.inference_mode():
        for tokens in GENERATED:
            ways = {
                "kept": lambda tokens=tokens: model.generate(ids, max_length=tokens + 1, min_length=tokens + 1),
                "again": lambda tokens=tokens: without_cache(model, ids, tokens + 1),
            }
            seconds = timed(f"generation, {tokens} tokens", ways, rounds)
            for way, words in (("kept", "with a cache"), ("again", "without a cache")):
                figures[f"{tokens} tokens, {words}: ms each"] = 1000 * summary(seconds[way]).median / tokens
            figures[f"{tokens} tokens: times as fast with a cache"] = ratio(seconds["again"], seconds["kept"])
    return figures


# -------------------------------------------------------------------------------------------- tokenizer


def tokenizer(rounds: int, seed: int) -> dict[str, Any]:
    """The ids of all the real reviews, one by one: words (between white space) per second on one core.

    Three kinds: BERT's WordPiece, RoBERTa's byte-level BPE with GPT-2's pieces, and ALBERT's Unigram with 4,000 pieces
    learned from the Rotten Tomatoes sentences. "first time" starts with an empty cache of words, "again" with the cache
    that was filled the first time.
    """
    reviews = load_reviews("both")
    parts = [review for part in (reviews.train, reviews.validation, reviews.test) for review in part]
    texts = [review.text for review in parts]
    words = sum(len(text.split()) for text in texts)
    sentences = [review.text for review in parts if review.source == "rotten-tomatoes"]
    kinds = {
        "WordPiece": load_tokenizer("minilm-l6"),
        "byte-level BPE": load_tokenizer("gpt2-bpe"),
        "Unigram": AlbertUnigram.train(sentences, UNIGRAM_PIECES),
    }
    figures: dict[str, Any] = {"words": words}
    for kind, tok in kinds.items():
        rates: dict[str, list[float]] = {"first time": [], "again": []}
        with progress_bar(f"tokenizer, {kind}") as progress:
            for _ in range(max(rounds // 3, 1)):
                fresh = copy.copy(tok)  # with an empty cache
                for when, found in rates.items():
                    seconds = paired({when: lambda fresh=fresh: [fresh.ids(text) for text in texts]}, 1, 0, progress)
                    found.append(words / seconds[when][0])
        for when, found in rates.items():
            figures[f"{kind}: words a second, {when}"] = round(summary(found).median)
    return figures
