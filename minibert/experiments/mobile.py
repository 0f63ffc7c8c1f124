"""M3: a small MobileBERT, taught layer by layer, taught by the answers alone, and not taught at all.

Its teacher is a small IB-BERT: as many layers, as wide between the blocks, but with a body that is twice as wide as
what it reads, where MobileBERT's is a quarter as wide. All take the same number of steps; a student that is taught
layer by layer has fewer of them left for masked words. The teacher's own steps are not counted.

Source: Sun et al. 2020, section 3.6 (progressive transfer), and the released code for what is copied.
"""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Any

from minibert.checkpoints import from_pretrained, save_pretrained
from minibert.experiments.grid import Cell, Size, once
from minibert.experiments.pretraining import (
    LAYERS,
    SHORT_SHARE,
    WIDTH,
    fine_tuned,
    held_out_loss,
    masked_words,
    own_tokenizer,
    pretrain,
    short_task,
    small,
)
from minibert.factory import build, count_parameters
from minibert.files import read_json, write_json
from minibert.heads import WithHead
from minibert.models.bert import BertConfig
from minibert.models.mobilebert import MobileBertConfig
from minibert.tokenizers.base import Tokenizer
from minibert.training.loop import Batch, Settings, batches_from, mixed
from minibert.training.tasks import Distillation, MaskedWords
from minibert.training.transfer import copy_outer_parts, progressive_transfer

# The variants, as the records name them.
NARROW_BERT, TEACHER = "BERT of MobileBERT's size", "IB-BERT, the teacher"
TRANSFER, COPIED = "MobileBERT, layer by layer", "MobileBERT, distilled, with the teacher's embeddings"
DISTILLED, ALONE = "MobileBERT, distilled", "MobileBERT, alone"

BODY = WIDTH // 4  # of MobileBERT's blocks; also the width of the word embeddings, a quarter as in the paper
TRANSFER_SHARE = 1 / 4  # of the steps, those on short rows included, for all layers together
AVERAGED = 8  # batches over which a layer's loss is averaged, before it is trained and after
SOFT, HARD = 0.5, 0.5  # what the teacher's answers and the true words count in distillation (section 3.6)


def mobile(vocab_size: int) -> MobileBertConfig:
    return small(
        MobileBertConfig,
        vocab_size=vocab_size,
        embedding_size=BODY,
        intra_bottleneck_size=BODY,
        intermediate_size=4 * BODY,
        classifier_activation=False,
    )


def inverted(vocab_size: int) -> MobileBertConfig:
    """The teacher: the settings of "ib-bert-large", at MobileBERT's depth and width."""
    return small(
        MobileBertConfig,
        vocab_size=vocab_size,
        embedding_size=BODY,
        intra_bottleneck_size=2 * WIDTH,
        intermediate_size=8 * WIDTH,
        num_feedforward_networks=1,
        hidden_act="gelu_new",
        normalization_type="layer_norm",
        key_query_shared_bottleneck=False,
        classifier_activation=False,
    )


def narrow(vocab_size: int) -> BertConfig:
    """A BERT that is half as wide, which has about as many parameters as MobileBERT."""
    return small(vocab_size=vocab_size, hidden_size=WIDTH // 2, intermediate_size=2 * WIDTH)


# ------------------------------------------------------------------------------------------------------- cells


def pretrained_teacher(seed: int, size: Size, work: Path) -> WithHead:
    """The IB-BERT of this seed; it is trained when it is first asked for."""
    folder = work / f"ib-bert-{seed}"
    once(folder / "model.safetensors", lambda: train_teacher(seed, size, work, folder))
    return from_pretrained(folder, "masked-lm")


def train_teacher(seed: int, size: Size, work: Path, folder: Path) -> None:
    tokenizer = own_tokenizer(work)
    model = build(inverted(tokenizer.vocab_size), "masked-lm", seed)
    task, _ = masked_words(tokenizer, size)
    pretrain(model, task, size, seed, folder, short=short_task(tokenizer))
    write_json(folder / "found.json", held_out_loss(model, tokenizer, size))
    save_pretrained(folder, model)


def teacher(seed: int, size: Size, work: Path) -> dict[str, Any]:
    model = pretrained_teacher(seed, size, work)
    found = read_json(work / f"ib-bert-{seed}" / "found.json") | {"parameters": count_parameters(model.backbone)}
    return found | fine_tuned(model, own_tokenizer(work), size, seed, work / f"ib-bert-tuned-{seed}")


def narrow_bert(seed: int, size: Size, work: Path) -> dict[str, Any]:
    return untaught(narrow, "narrow", seed, size, work)


def alone(seed: int, size: Size, work: Path) -> dict[str, Any]:
    """A MobileBERT that learns masked words without a teacher."""
    return untaught(mobile, "mobile-alone", seed, size, work)


def untaught(config: Any, name: str, seed: int, size: Size, work: Path) -> dict[str, Any]:
    tokenizer = own_tokenizer(work)
    model = build(config(tokenizer.vocab_size), "masked-lm", seed)
    task, _ = masked_words(tokenizer, size)
    pretrain(model, task, size, seed, work / f"{name}-{seed}", short=short_task(tokenizer))
    return judged(model, tokenizer, size, seed, work / f"{name}-{seed}")


def taught(copied: bool, layer_by_layer: bool) -> Cell:
    """A MobileBERT that learns from the teacher's answers and from masked words.

    copied: whether it starts with the teacher's embeddings and head, where they fit. layer_by_layer: whether it first
    learns the teacher's layers one after the other, in TRANSFER_SHARE of the steps.
    """

    def cell(seed: int, size: Size, work: Path) -> dict[str, Any]:
        tokenizer = own_tokenizer(work)
        teacher = pretrained_teacher(seed, size, work)
        student = build(mobile(tokenizer.vocab_size), "masked-lm", seed)
        task, _ = masked_words(tokenizer, size)
        name = f"mobile{'-copied' * copied}{'-layers' * layer_by_layer}-{seed}"
        figures: dict[str, Any] = {}
        if copied:
            copy_outer_parts(student, teacher)
        left = size.steps
        if layer_by_layer:
            steps = max(1, round(size.steps * (1 + SHORT_SHARE) * TRANSFER_SHARE / LAYERS))
            left = round(size.steps * (1 - TRANSFER_SHARE))
            batches = some_batches(task, size, seed, steps)
            stages = progressive_transfer(student, teacher, batches, steps=steps, averaged=AVERAGED)
            figures["stages"] = [[stage.before, stage.after] for stage in stages]
        short, long = (
            Distillation(one.examples, tokenizer, teacher, (SOFT, HARD, 0.0), temperature=1.0)
            for one in (short_task(tokenizer), task)
        )
        pretrain(student, long, size, seed, work / name, left, short=short)
        return figures | judged(student, tokenizer, size, seed, work / name)

    return cell


def some_batches(task: MaskedWords, size: Size, seed: int, number: int) -> list[Batch]:
    settings = Settings(steps=number, batch_size=size.batch_size, seed=seed)
    order = batches_from([len(e.ids) for e in task.examples], settings, 0)
    return [task.batch(rows, mixed(seed, 2, step)) for step, rows in enumerate(islice(order, number))]


def judged(model: WithHead, tokenizer: Tokenizer, size: Size, seed: int, folder: Path) -> dict[str, Any]:
    found = held_out_loss(model, tokenizer, size) | {"parameters": count_parameters(model.backbone)}
    return found | fine_tuned(model, tokenizer, size, seed, folder.with_name(f"{folder.name}-tuned"))


# The teacher first, so that another process can train those that need none meanwhile.
VARIANTS: dict[str, Cell] = {
    TEACHER: teacher,
    NARROW_BERT: narrow_bert,
    ALONE: alone,
    TRANSFER: taught(copied=True, layer_by_layer=True),
    COPIED: taught(copied=True, layer_by_layer=False),
    DISTILLED: taught(copied=False, layer_by_layer=False),
}
