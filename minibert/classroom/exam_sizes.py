"""Exam questions about sizes: a shape to give, parameters to count, a claim to judge.

Every answer is computed by the library: a model or a part of one is built with the sizes that were drawn, called or
counted. The sizes of a question are all different, so that a wrong axis gives a wrong answer.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import NamedTuple

import torch
from torch import nn

from minibert.attention import attention, padding_mask
from minibert.claims.counted import parts_of, size_of
from minibert.claims.records import CONDITION, FAILS, HOLDS
from minibert.classroom.exam_question import Question, Template, distinct
from minibert.encoder import EncoderBlock
from minibert.factory import build, count_parameters, parameters_by_part
from minibert.models.albert import AlbertConfig
from minibert.models.bart import BartConfig, DecoderBlock
from minibert.models.bert import BertConfig
from minibert.models.distilbert import DistilBertConfig
from minibert.models.mobilebert import with_neighbours
from minibert.models.xlnet import XLNetConfig
from minibert.words import listed

BATCH, LENGTH, HEADS, WIDTH = range(2, 10), range(10, 30), range(3, 9), range(5, 17)

# ------------------------------------------------------------------------------------------- a shape to give


def shape_question(setting: str, asked: str, shape: torch.Size, why: str, **facts: int) -> Question:
    given = f"({', '.join(map(str, shape))})"
    return Question(f"{setting} What is the shape of {asked}?", given, why, {**facts, "shape": tuple(shape)})


def sizes_said(**sizes: int) -> str:
    return listed(f"{letter} = {size}" for letter, size in sizes.items())


def ids(rows: int, columns: int) -> torch.Tensor:
    return torch.ones(rows, columns, dtype=torch.long)


def scores_shape(random: Random) -> Question:
    n = distinct(random, B=BATCH, H=HEADS, S=LENGTH, T=LENGTH, K=WIDTH)
    q, k = torch.zeros(n["B"], n["H"], n["S"], n["K"]), torch.zeros(n["B"], n["H"], n["T"], n["K"])
    return shape_question(
        f"Queries are (B, H, S, K) and keys (B, H, T, K), with {sizes_said(**n)}.",
        "the attention scores, the products of each query with each key",
        (q @ k.transpose(-2, -1)).shape,
        "one score for each query and key of each head: (B, H, S, T)",
        **n,
    )


def mixture_shape(random: Random) -> Question:
    n = distinct(random, B=BATCH, H=HEADS, S=LENGTH, T=LENGTH, K=WIDTH, V=range(17, 30))
    q, k = torch.zeros(n["B"], n["H"], n["S"], n["K"]), torch.zeros(n["B"], n["H"], n["T"], n["K"])
    mixed, _ = attention(q, k, torch.zeros(n["B"], n["H"], n["T"], n["V"]))
    return shape_question(
        f"Attention is called with q of shape {tuple(q.shape)}, k of shape {tuple(k.shape)} and v of shape "
        f"{(n['B'], n['H'], n['T'], n['V'])}.",
        "what it returns, softmax(q kᵀ / √K) v",
        mixed.shape,
        "for each query a mean of values: the length of q, the width of v",
        **n,
    )


def heads_shape(random: Random) -> Question:
    n = distinct(random, B=BATCH, S=LENGTH, H=HEADS, K=WIDTH)
    model = build(BertConfig(vocab_size=9, hidden_size=n["H"] * n["K"], num_hidden_layers=1, intermediate_size=4,
                             num_attention_heads=n["H"], max_position_embeddings=n["S"]))  # fmt: skip
    with torch.no_grad():
        weights = model(ids(n["B"], n["S"]), return_attention=True).attentions[0]
    return shape_question(
        f"A BERT of width D = {n['H'] * n['K']} with {n['H']} heads reads {n['B']} texts of {n['S']} tokens.",
        "the attention weights of one layer",
        weights.shape,
        "each head has a weight for each pair of tokens; the width D plays no part: (B, H, S, S)",
        **n,
    )


def split_shape(random: Random) -> Question:
    n = distinct(random, B=BATCH, S=LENGTH, H=HEADS, K=WIDTH)
    x = torch.zeros(n["B"], n["S"], n["H"] * n["K"])
    split = x.unflatten(-1, (n["H"], -1)).transpose(1, 2)
    return shape_question(
        f"x has the shape {tuple(x.shape)}, and its features are split into {n['H']} heads.",
        "the heads, ready for attention",
        split.shape,
        f"K = D / H = {x.shape[-1]} / {n['H']} = {n['K']}, and the heads stand before the tokens: (B, H, S, K)",
        **n,
    )


def mask_shape(random: Random) -> Question:
    n = distinct(random, B=BATCH, S=LENGTH, H=HEADS)
    return shape_question(
        f"A tokenizer gives an attention mask of shape {(n['B'], n['S'])}. It is turned into a mask of four axes that "
        f"hides padded keys and broadcasts over {n['H']} heads and all queries.",
        "that mask",
        padding_mask(ids(n["B"], n["S"])).shape,
        "heads and queries share it, so their axes have size 1: (B, 1, 1, S)",
        **n,
    )


def vocabulary_shape(random: Random) -> Question:
    n = distinct(random, B=BATCH, S=LENGTH, V=range(50, 400), K=WIDTH, H=HEADS)
    model = build(BertConfig(vocab_size=n["V"], hidden_size=n["H"] * n["K"], num_hidden_layers=1, intermediate_size=4,
                             num_attention_heads=n["H"], max_position_embeddings=n["S"]), head="masked-lm")  # fmt: skip
    with torch.no_grad():
        logits = model(ids(n["B"], n["S"])).logits
    return shape_question(
        f"A BERT with a masked-LM head has a vocabulary of {n['V']} pieces, width D = {n['H'] * n['K']} and {n['H']} "
        f"heads. It reads {n['B']} texts of {n['S']} tokens.",
        "its logits",
        logits.shape,
        "a score for each piece of the vocabulary, at each token: (B, S, V)",
        **n,
    )


def label_shape(random: Random) -> Question:
    n = distinct(random, B=BATCH, S=LENGTH, C=range(3, 9))
    named = tuple(f"label {number}" for number in range(n["C"]))
    config = BertConfig(vocab_size=9, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=4,
                        max_position_embeddings=n["S"], labels=named)  # fmt: skip
    which = random.choice(("token", "sequence"))
    with torch.no_grad():
        logits = build(config, head=f"{which}-classification")(ids(n["B"], n["S"])).logits
    whole = "a class for each token" if which == "token" else "one class for each text"
    return shape_question(
        f"A BERT is fine-tuned to give {whole}. There are {n['C']} classes. It reads {n['B']} texts of {n['S']} "
        "tokens.",
        "its logits",
        logits.shape,
        "each token has its own scores" if which == "token" else "a text has one vector, and so one row of scores",
        **n,
    )


def neighbours_shape(random: Random) -> Question:
    n = distinct(random, B=BATCH, S=LENGTH, E=WIDTH)
    return shape_question(
        f"MobileBERT's word embeddings have the shape {(n['B'], n['S'], n['E'])}. Each token is joined with its two "
        "neighbours, before the linear layer that follows.",
        "the result",
        with_neighbours(torch.zeros(n["B"], n["S"], n["E"])).shape,
        "three embeddings side by side, for as many tokens as before: (B, S, 3E)",
        **n,
    )


def query_shape(random: Random) -> Question:
    n = distinct(random, B=BATCH, S=LENGTH, P=range(2, 8), K=range(6, 17, 2), H=HEADS)
    model = build(XLNetConfig(vocab_size=9, hidden_size=n["H"] * n["K"], num_hidden_layers=1, intermediate_size=4,
                              num_attention_heads=n["H"]))  # fmt: skip
    target = torch.zeros(n["B"], n["P"], n["S"])
    target[:, :, 0] = 1
    with torch.no_grad():
        hidden = torch.eye(n["S"]).expand(n["B"], -1, -1)  # no token sees itself
        state = model(ids(n["B"], n["S"]), perm_mask=hidden, target_mapping=target).query_state
    return shape_question(
        f"An XLNet of width D = {n['H'] * n['K']} reads {n['B']} texts of {n['S']} tokens, and is to predict {n['P']} "
        "tokens of each.",
        "what its query stream returns",
        state.shape,
        "only the tokens to predict have a query vector: (B, P, D)",
        **n,
    )


def cross_shape(random: Random) -> Question:
    n = distinct(random, B=BATCH, S=LENGTH, T=range(4, 16), H=HEADS, K=WIDTH)
    model = build(BartConfig(vocab_size=9, hidden_size=n["H"] * n["K"], encoder_layers=1, decoder_layers=1,
                             encoder_attention_heads=n["H"], decoder_attention_heads=n["H"], encoder_ffn_dim=4,
                             decoder_ffn_dim=4, max_position_embeddings=64))  # fmt: skip
    with torch.no_grad():
        read = model(ids(n["B"], n["S"]) * 5, decoder_input_ids=ids(n["B"], n["T"]) * 5, return_attention=True)
    return shape_question(
        f"A BART of width D = {n['H'] * n['K']} with {n['H']} heads has read {n['B']} texts of {n['S']} tokens, and "
        f"its decoder gets {n['T']} tokens of each answer.",
        "the weights of one layer's cross-attention",
        read.cross_attentions[0].shape,
        "queries from the decoder, keys from the encoder: (B, H, T, S)",
        **n,
    )


SHAPES = (
    Template("scores", 1, scores_shape),
    Template("mixture", 1, mixture_shape),
    Template("split", 2, split_shape),
    Template("weights", 2, heads_shape),
    Template("mask", 3, mask_shape),
    Template("vocabulary", 6, vocabulary_shape),
    Template("labels", 8, label_shape),
    Template("neighbours", 12, neighbours_shape),
    Template("query stream", 13, query_shape),
    Template("cross-attention", 14, cross_shape),
)

# --------------------------------------------------------------------------------------- parameters to count

BIASES = "Every linear layer has a bias, and every layer norm a weight and a bias."


def count_question(text: str, number: int, parts: dict[str, int], **facts: int) -> Question:
    worked = " + ".join(f"{size:,} ({name})" for name, size in parts.items())
    return Question(f"{text} How many parameters is that, exactly?", f"{number:,}", worked, {**facts, "number": number})


def children(module: nn.Module) -> dict[str, int]:
    """The parameters of a module's parts, by the parts' names."""
    return {
        name.replace("_", " "): count for name, part in module.named_children() if (count := count_parameters(part))
    }


def drawn_sizes(random: Random) -> dict[str, int]:
    """Sizes of a small BERT, round enough to count by hand."""
    return {
        "V": 100 * random.randrange(3, 60),
        "D": 4 * random.randrange(3, 21),
        "L": random.randrange(2, 9),
        "F": 10 * random.randrange(6, 31),
        "P": 8 * random.randrange(2, 17),
    }


def bert_of(n: dict[str, int]) -> dict[str, int]:
    return {"vocab_size": n["V"], "hidden_size": n["D"], "num_hidden_layers": n["L"], "num_attention_heads": 2,
            "intermediate_size": n["F"], "max_position_embeddings": n["P"]}  # fmt: skip


def described(n: dict[str, int]) -> str:
    return (
        f"vocabulary V = {n['V']}, width D = {n['D']}, L = {n['L']} layers, feed-forward F = {n['F']}, {n['P']} "
        "positions"
    )


def count_block(random: Random) -> Question:
    n = drawn_sizes(random)
    block = EncoderBlock.from_config(BertConfig(**bert_of(n)))
    return count_question(
        f"An encoder block of BERT has width D = {n['D']}, 2 heads and feed-forward F = {n['F']}. {BIASES}",
        count_parameters(block),
        children(block),
        D=n["D"],
        F=n["F"],
    )


def count_bert(random: Random) -> Question:
    n = drawn_sizes(random)
    model = build(BertConfig(**bert_of(n)))
    return count_question(
        f"A BERT has {described(n)}, 2 token types, a norm after the embeddings, and a pooler (a linear layer D → D). "
        f"{BIASES} There is no output layer for words.",
        count_parameters(model),
        parameters_by_part(model),
        **n,
    )


def count_head(random: Random) -> Question:
    n = drawn_sizes(random)
    model = build(BertConfig(**bert_of(n)))
    with_head = build(BertConfig(**bert_of(n)), head="masked-lm")
    # A masked-LM needs no pooler. The head is what the bare model does not have.
    parts = parameters_by_part(with_head)
    extra = count_parameters(with_head) - sum(parts[part] for part in parameters_by_part(model) if part in parts)
    return count_question(
        f"A BERT with vocabulary V = {n['V']} and width D = {n['D']} gets a masked-LM head: a linear layer D → D, "
        "GELU, a layer norm, and the scores of all words, with the word embeddings' own table and a bias for each "
        f"word. {BIASES} Count what the head adds to the bare model.",
        extra,
        {"the linear layer": n["D"] * n["D"] + n["D"], "the norm": 2 * n["D"], "the bias of the words": n["V"]},
        V=n["V"],
        D=n["D"],
    )


def count_student(random: Random) -> Question:
    n = drawn_sizes(random)
    n["L"] = 2 * random.randrange(2, 7)
    teacher = build(BertConfig(**bert_of(n)))
    student = build(DistilBertConfig(**bert_of(n) | {"num_hidden_layers": n["L"] // 2}))
    before, after = parameters_by_part(teacher), parameters_by_part(student)
    saved = {name: size - after.get(name, 0) for name, size in before.items() if size != after.get(name, 0)}
    return count_question(
        f"A BERT has {described(n)}, 2 token types and a pooler (a linear layer D → D). A student is made as "
        f"DistilBERT was: every second block is left out, and so are token types and pooler. {BIASES} Count what is "
        "left out.",
        count_parameters(teacher) - count_parameters(student),
        saved,
        **n,
    )


def count_albert(random: Random) -> Question:
    n = drawn_sizes(random)
    n["E"] = 4 * random.randrange(1, n["D"] // 4)
    model = build(AlbertConfig(**bert_of(n), embedding_size=n["E"]))
    return count_question(
        f"An ALBERT has {described(n)}, and embeddings of width E = {n['E']}: words, positions, 2 token types and the "
        "norm after them have this width, and a linear layer E → D follows. All layers are one block, and there is a "
        f"pooler (a linear layer D → D). {BIASES}",
        count_parameters(model),
        parameters_by_part(model),
        **n,
    )


def count_decoder(random: Random) -> Question:
    n = drawn_sizes(random)
    config = BartConfig(vocab_size=9, hidden_size=n["D"], encoder_attention_heads=2, decoder_attention_heads=2,
                        encoder_ffn_dim=n["F"], decoder_ffn_dim=n["F"])  # fmt: skip
    block = DecoderBlock(config)
    return count_question(
        f"A decoder block of BART has width D = {n['D']}, 2 heads and feed-forward F = {n['F']}. {BIASES}",
        count_parameters(block),
        children(block),
        D=n["D"],
        F=n["F"],
    )


COUNTS = (
    Template("block", 4, count_block),
    Template("BERT", 6, count_bert),
    Template("head", 6, count_head),
    Template("student", 9, count_student),
    Template("ALBERT", 10, count_albert),
    Template("decoder block", 14, count_decoder),
)

# ------------------------------------------------------------------------------------------ a claim to judge

BASE, LARGE = "bert-base-uncased", "bert-large-uncased"


class Pair(NamedTuple):
    """A model in two sizes, each to be compared with the BERT of its size. fewer: whether it has fewer parameters."""

    name: str
    base: str
    large: str


PAIRS = (
    Pair("ALBERT", "albert-base-v2", "albert-large-v2"),
    Pair("RoBERTa", "roberta-base", "roberta-large"),
    Pair("XLNet", "xlnet-base-cased", "xlnet-large-cased"),
    Pair("BART", "bart-base", "bart-large"),
)
VERDICTS = (
    f"Choose one: **{HOLDS}** (for both sizes), **{CONDITION}** (for one of the two: say for which), "
    f"**{FAILS}** (for neither)."
)


def parts_table(names: list[str]) -> str:
    """The counted parts of models, in millions, as a table."""
    columns = list(dict.fromkeys(part for name in names for part in parts_of(name)))
    lines = [f"| counted, in millions | {' | '.join(columns)} |", f"| --- |{' ---: |' * len(columns)}"]
    for name in names:
        cells = [f"{parts_of(name)[part] / 1e6:.2f}" if part in parts_of(name) else "–" for part in columns]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def both_sizes(pair: Pair) -> Callable[[Random], Question]:
    """Questions about a claim that is said of two sizes; what is said lies below, between or above what was counted."""

    def draw(random: Random) -> Question:
        ratios = {"base": size_of(pair.base) / size_of(BASE), "large": size_of(pair.large) / size_of(LARGE)}
        fewer = ratios["base"] < 1
        found = {size: 1 / ratio if fewer else 100 * (ratio - 1) for size, ratio in ratios.items()}
        low, high = sorted(found.values())
        # Far enough from both counted figures that no rounding of the table decides.
        gap = min((high - low) / 4, 0.1 * high) if fewer else max(0.5, (high - low) / 10)
        between, outside = (low + gap, high - gap), (0.4 * low, 1.8 * high)
        where = random.choice(
            ("below", "between", "between", "above") if between[0] < between[1] else ("below", "above")
        )
        span = {"below": (outside[0], low - gap), "between": between, "above": (high + gap, outside[1])}[where]
        said = round(random.uniform(*span), 1)
        if fewer:
            statement = f"{pair.name} has at least {said} times fewer parameters than BERT of the same size."
            true = [size for size, times in found.items() if times >= said]
        else:
            statement = f"{pair.name} has at most {said}% more parameters than BERT of the same size."
            true = [size for size, percent in found.items() if percent <= said]
        verdict = {0: FAILS, 1: CONDITION, 2: HOLDS}[len(true)]
        figures = listed(f"{size}: {value:.2f}{'× fewer' if fewer else '% more'}" for size, value in found.items())
        return Question(
            f"“{statement}”\n\n{parts_table([BASE, pair.base, LARGE, pair.large])}\n\n"
            f"Judge the claim, and give the two figures that decide it. {VERDICTS}",
            f"{verdict}{f' ({true[0]} only)' if len(true) == 1 else ''}",
            figures,
            {"pair": pair.name, "said": said, "verdict": verdict, "true": tuple(true), "found": found},
        )

    return draw


SMALL = {"DistilBERT": "distilbert-base-uncased", "MobileBERT": "mobilebert-uncased", "ALBERT": "albert-base-v2"}


def one_share(name: str) -> Callable[[Random], Question]:
    """Questions about “N% fewer”: what is said is right, or a slip that can be read off the table."""

    def draw(random: Random) -> Question:
        bert, small = size_of(BASE), size_of(SMALL[name])
        counted = 100 * (1 - small / bert)
        encoder, parts = parts_of(BASE)["encoder"], parts_of(SMALL[name])
        slips = {
            "what is left was taken for what is saved": 100 * small / bert,
            "this is the encoder alone, without the word embeddings, pooler and the rest": 100
            * (1 - parts["encoder"] / encoder),
            "this is by how much BERT has more, a share of the smaller model": 100 * (bert / small - 1),
            "this is how much of BERT its encoder is": 100 * encoder / bert,
        }
        # Nobody believes that a model has 100% fewer parameters, or a share below 0.
        wrong = {slip: value for slip, value in slips.items() if abs(value - counted) > 3 and 0 < value < 100}
        slip = random.choice([None, None, *wrong])
        said = round(counted + random.choice((-0.4, -0.2, 0, 0.2, 0.4)) if slip is None else wrong[slip], 1)
        verdict = HOLDS if abs(said - counted) <= 1 else FAILS
        return Question(
            f"“{name} has {said}% fewer parameters than BERT-base.”\n\n{parts_table([BASE, SMALL[name]])}\n\n"
            f"Judge the claim, and give the figure that decides it. Choose one: **{HOLDS}** (within one percentage "
            f"point), **{FAILS}**. If it does not hold, say where the number comes from.",
            verdict,
            f"{counted:.1f}% fewer" + (f"; {slip}" if slip else ""),
            {"model": name, "said": said, "verdict": verdict, "counted": counted, "slip": slip},
        )

    return draw


CLAIMS = (
    Template("DistilBERT", 9, one_share("DistilBERT")),
    Template("ALBERT share", 10, one_share("ALBERT")),
    Template("ALBERT times", 10, both_sizes(PAIRS[0])),
    Template("RoBERTa", 11, both_sizes(PAIRS[1])),
    Template("MobileBERT", 12, one_share("MobileBERT")),
    Template("XLNet", 13, both_sizes(PAIRS[2])),
    Template("BART", 14, both_sizes(PAIRS[3])),
)
