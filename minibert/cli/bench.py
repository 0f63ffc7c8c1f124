"""How fast this package is on this machine: five comparisons, each against something that stands beside it.

    forward     BERT-base on 8 x 128 tokens, against torch's matrix products of the same shapes run alone
    masked-lm   one training step with 15% of the words masked, against the same step with logits everywhere
    training    the same on real reviews of all lengths: real tokens and masked positions only, against all
    padding     real sentences in random order, the real tokens only against the padded rectangle
    tokenizer   words a second over the real reviews, pure Python on one core

A time is the median of runs taken in turn; behind a ratio stand its quartiles (see timing.py).
"""

from __future__ import annotations

import json
import random
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from minibert.encoder import EncoderConfig
from minibert.errors import MinibertError
from minibert.factory import build, preset
from minibert.heads import IGNORE
from minibert.timing import Ratio, machine, paired, progress_bar, ratio, summary

BATCH, LENGTH = 8, 128  # of `forward` and `masked-lm`
SENTENCES = 32  # a batch of `padding`


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(BENCHES)} (default: all)")
    parser.add_argument("--quick", action="store_true", help="few runs: a first impression")
    parser.add_argument("--threads", type=int, help="torch's threads (default: as many as torch takes)")
    parser.add_argument(
        "--seed", type=int, default=0, help="for weights, masks and the order of sentences (default: 0)"
    )
    parser.add_argument("--json", action="store_true", help="print as JSON")


def run(args: Namespace) -> None:
    """Run the benches that `args` names and print what they found."""
    for name in args.names:
        if name not in BENCHES:
            raise MinibertError(f"there is no bench {name!r}; there are {', '.join(BENCHES)}.")
    if args.threads is not None:
        if args.threads < 1:
            raise MinibertError(f"--threads is {args.threads}; it must be at least 1.")
        torch.set_num_threads(args.threads)
    found: dict[str, Any] = {"machine": machine()}
    if not args.json:
        print("; ".join(f"{key} {value}" for key, value in found["machine"].items()))
    for name in args.names or BENCHES:
        figures = BENCHES[name](3 if args.quick else 9, args.seed)
        found[name] = {label: v._asdict() if isinstance(v, Ratio) else v for label, v in figures.items()}
        if not args.json:
            print(f"\n{name}: {BENCHES[name].__doc__.splitlines()[0]}")
            for label, value in figures.items():
                print(f"  {label:<52} {_in_words(value)}", flush=True)
    if args.json:
        print(json.dumps(found, indent=2))


def _in_words(value: float | int | Ratio) -> str:
    if isinstance(value, Ratio):
        return f"{value.median:.2f}  ({value.low:.2f} to {value.high:.2f})"
    return f"{value:,}" if isinstance(value, int) else f"{value:.3g}"


# ---------------------------------------------------------------------------------------------- forward


def matrix_products(config: EncoderConfig, batch: int, length: int) -> Callable[[], None]:
    """A function that runs the matrix products of one forward pass, and nothing else, on random numbers."""
    tokens, d, f = batch * length, config.hidden_size, config.intermediate_size
    heads, k = config.num_attention_heads, d // config.num_attention_heads
    x, wide, first = torch.randn(tokens, d), torch.randn(tokens, f), torch.randn(batch, d)
    per_head, weights = torch.randn(batch, heads, length, k), torch.randn(batch, heads, length, length)
    # Each layer has matrices of its own, as in the model: they do not stay in the processor's cache.
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

    Figures: seconds of each, and the speed of the whole model as a share of the bare products' (1 is the most).
    """
    config = preset("bert-base-uncased")
    model = build(config, seed=seed).eval()
    ids = torch.randint(1000, config.vocab_size, (BATCH, LENGTH), generator=torch.Generator().manual_seed(seed))
    with torch.inference_mode(), progress_bar("forward") as progress:
        seconds = paired(
            {"model": lambda: model(ids), "products": matrix_products(config, BATCH, LENGTH)},
            rounds,
            progress=progress,
        )
    return {
        "model, s": summary(seconds["model"]).median,
        "matrix products alone, s": summary(seconds["products"]).median,
        "speed of the model / of the products": ratio(seconds["products"], seconds["model"]),
    }


# -------------------------------------------------------------------------------------------- masked-lm


def masked_lm(rounds: int, seed: int) -> dict[str, Any]:
    """One training step of BERT-base, 8 x 128 tokens, 15% masked, against logits everywhere.

    A step is forward, backward and AdamW. Figures: seconds of each, and how many times as fast the step is that
    computes vocabulary logits (and the last block) for the masked positions only.
    """
    model = build("bert-base-uncased", head="masked-lm", seed=seed).train()
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True)
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(1000, model.config.vocab_size, (BATCH, LENGTH), generator=generator)
    chosen = torch.randperm(ids.numel(), generator=generator)[: round(0.15 * ids.numel())]
    labels = torch.full_like(ids, IGNORE).flatten()
    labels[chosen] = ids.flatten()[chosen]
    labels = labels.view_as(ids)

    def step(loss: Callable[[], Tensor]) -> None:
        optimiser.zero_grad()
        loss().backward()
        optimiser.step()

    def everywhere() -> Tensor:
        return F.cross_entropy(model(ids).logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORE)

    with progress_bar("masked-lm") as progress:
        seconds = paired(
            {"asked": lambda: step(lambda: model(ids, labels=labels).loss), "everywhere": lambda: step(everywhere)},
            rounds,
            progress=progress,
        )
    return {
        "step, masked positions only, s": summary(seconds["asked"]).median,
        "step, logits everywhere, s": summary(seconds["everywhere"]).median,
        "times as fast": ratio(seconds["everywhere"], seconds["asked"]),
    }


# --------------------------------------------------------------------------------------------- training


def training(rounds: int, seed: int) -> dict[str, Any]:
    """A masked-LM training step of a BERT of 6 layers x 384, 32 real texts in random order, at most 128 tokens.

    Against the same model padded to the longest text, with logits everywhere. Figures, for reviews of both sources
    and for single sentences: real tokens a second of each, and how many times as fast.
    """
    from minibert.tokenizers import load_tokenizer
    from minibert.training.data import load_reviews
    from minibert.training.tasks import MaskedWords, inputs, single

    tok = load_tokenizer("minilm-l6")
    figures: dict[str, Any] = {}
    for source in ("both", "rotten-tomatoes"):
        texts = [review.text for review in load_reviews(source).train]
        random.Random(seed).shuffle(texts)
        examples = [single(tok.ids(text), tok, LENGTH) for text in texts[: 4 * SENTENCES]]
        task = MaskedWords(examples, tok)
        batches = [task.batch(range(i, i + SENTENCES), seed) for i in range(0, len(examples), SENTENCES)]
        model = build("minilm-l6", head="masked-lm", seed=seed).train()
        optimiser = torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True)

        def epoch(ours: bool, model: Any = model, optimiser: Any = optimiser, batches: list = batches) -> None:
            model.backbone.skip_padding = ours
            for batch in batches:
                labels = batch["labels"]
                if ours:
                    loss = model(**inputs(batch), labels=labels).loss
                else:
                    logits = model(**inputs(batch)).logits
                    loss = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORE)
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()

        with progress_bar(f"training, {source}") as progress:
            seconds = paired(
                {"ours": lambda epoch=epoch: epoch(True), "padded": lambda epoch=epoch: epoch(False)},
                rounds,
                progress=progress,
            )
        tokens = sum(int(batch["attention_mask"].sum()) for batch in batches)
        figures[f"{source}: tokens a second"] = round(tokens / summary(seconds["ours"]).median)
        figures[f"{source}: padded, logits everywhere, tokens a second"] = round(
            tokens / summary(seconds["padded"]).median
        )
        figures[f"{source}: times as fast"] = ratio(seconds["padded"], seconds["ours"])
    return figures


# ---------------------------------------------------------------------------------------------- padding


def padding(rounds: int, seed: int) -> dict[str, Any]:
    """32 Rotten Tomatoes sentences a batch, in random order: real tokens only against padded.

    Figures, for two shapes of model: the share of real tokens in the batches, how many times as fast the packed
    run is, and the largest difference between the two runs' vectors of real tokens.
    """
    from minibert.tokenizers import load_tokenizer
    from minibert.training.data import load_reviews

    tokenizer = load_tokenizer("minilm-l6")
    texts = [review.text for review in load_reviews("rotten-tomatoes").train]
    random.Random(seed).shuffle(texts)
    batches = [tokenizer(texts[i : i + SENTENCES]) for i in range(0, 4 * SENTENCES, SENTENCES)]
    slots = sum(batch["input_ids"].numel() for batch in batches)
    figures: dict[str, Any] = {"real tokens / slots": sum(int(b["attention_mask"].sum()) for b in batches) / slots}
    for name in ("minilm-l6", "bert-base-uncased"):
        model = build(name, seed=seed).eval()

        def encode(skip_padding: bool, model: torch.nn.Module = model) -> list[Tensor]:
            model.skip_padding = skip_padding
            return [model(**batch).last_hidden_state[batch["attention_mask"].bool()] for batch in batches]

        with torch.inference_mode(), progress_bar(f"padding, {name}") as progress:
            seconds = paired(
                {"packed": lambda: encode(True), "padded": lambda: encode(False)}, rounds, progress=progress
            )
            apart = max(float((a - b).abs().max()) for a, b in zip(encode(True), encode(False), strict=True))
        figures[f"{name}: times as fast"] = ratio(seconds["padded"], seconds["packed"])
        figures[f"{name}: largest difference"] = apart
    return figures


# -------------------------------------------------------------------------------------------- tokenizer


def tokenizer(rounds: int, seed: int) -> dict[str, Any]:
    """Ids of all the real reviews, words (between white space) a second on one core.

    "first time" starts with an empty cache of words, "again" with the one that the first pass filled.
    """
    from minibert.tokenizers import load_tokenizer
    from minibert.training.data import load_reviews

    reviews = load_reviews("both")
    texts = [review.text for part in (reviews.train, reviews.validation, reviews.test) for review in part]
    words = sum(len(text.split()) for text in texts)
    rates: dict[str, list[float]] = {"first": [], "again": []}
    with progress_bar("tokenizer") as progress:
        for _ in range(max(rounds // 3, 1)):
            fresh = load_tokenizer("minilm-l6")
            for when, runs in rates.items():
                seconds = paired({when: lambda fresh=fresh: [fresh.ids(text) for text in texts]}, 1, 0, progress)
                runs.append(words / seconds[when][0])
    return {
        "words": words,
        "words a second, first time": round(summary(rates["first"]).median),
        "words a second, again": round(summary(rates["again"]).median),
    }


BENCHES: dict[str, Callable[[int, int], dict[str, Any]]] = {
    "forward": forward,
    "masked-lm": masked_lm,
    "training": training,
    "padding": padding,
    "tokenizer": tokenizer,
}
