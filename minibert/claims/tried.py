"""Claims about code: a few lines that are tried out."""

from __future__ import annotations

from minibert.claims.counted import BERT, DISTILBERT
from minibert.claims.records import CONDITION, FAILS, HOLDS, Claim, Figures, Judgement
from minibert.experiments.tried import try_students, try_unpacking

# ------------------------------------------------------------------------- D4: which blocks the student starts from


def judge_students(figures: Figures) -> Judgement:
    """Holds if the released code keeps half the blocks, every second one; with a condition if it is another half."""
    depth, alternate, released = figures["teacher_blocks"], figures["alternate"], figures["released"]
    halved = figures["published_blocks"] == len(alternate) == len(released) == depth // 2
    strict = released == alternate == list(range(0, depth, 2))
    skipped = [layer for layer in range(depth - 1) if layer not in released and layer + 1 not in released]
    gap = "".join(f", and leaves out both {layer} and {layer + 1}" for layer in skipped)
    return Judgement(
        f"{len(alternate)} blocks; every second one: {_in_a_row(alternate)}; copied by the released code: "
        f"{_in_a_row(released)}",
        FAILS if not halved else HOLDS if strict else CONDITION,
        ("The depth is halved" if halved else "The depth is not halved")
        + ("" if strict else f", but the released code does not alternate strictly{gap}" if halved else "")
        + ". By default the student made here follows the paper's words; any other choice of layers is possible.",
        f"{len(alternate)} of 12, released: {_in_a_row(released)}",
    )


def _in_a_row(layers: list[int]) -> str:
    return ", ".join(map(str, layers))


# ------------------------------------------------------------------------------- D8: the code that is often shown


def judge_unpacking(figures: Figures) -> Judgement:
    """Holds if the line runs as it is written."""
    error = figures["error"]
    return Judgement(
        f"`{error}`" if error else "the line runs",
        FAILS if error else HOLDS,
        "DistilBERT has no pooler, so there is no second value to unpack. If outputs are dictionaries, the line fails "
        f"too, or, if there are two fields, it assigns the name of the second, {figures['dict_binds']!r}. Write "
        "`model(...).last_hidden_state[:, 0]`, the vector of the first position. A sigmoid is right only for "
        "yes-or-no questions and for several labels at once; to choose one of many classes, use a softmax.",
        f"`{error.partition(':')[0]}`" if error else "the line runs",
    )


TRIED = (
    Claim(
        id="D4",
        short="DistilBERT: every second of BERT's blocks",
        statement="DistilBERT has 6 blocks where BERT-base has 12, and starts training from every second one of them.",
        source="Sanh et al. 2019, section 3, and the released code",
        models=(BERT, DISTILBERT),
        paper_value="one layer out of two",
        kind="tried",
        measure=try_students,
        judge=judge_students,
    ),
    Claim(
        id="D8",
        short="`_, output = model(...)` works with DistilBERT",
        statement="`_, output = model(input, attention_mask=mask)` and a sigmoid turn DistilBERT into a classifier.",
        source="often shown in introductions; Sanh et al. 2019, section 3, says that there is no pooler",
        models=(DISTILBERT,),
        paper_value="code that is shown as working",
        kind="tried",
        measure=try_unpacking,
        judge=judge_unpacking,
    ),
)
