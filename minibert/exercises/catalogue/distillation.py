"""Distillation: soft targets, the direction of hidden states, all three losses, and a start from the teacher."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from minibert.classroom.worker import Call
from minibert.exercises.engine import Exercise, Hints, Mistake, Probe
from minibert.exercises.probes import randn
from minibert.factory import build
from minibert.models.bert import BertConfig
from minibert.training import distillation

IGNORE = -100

# ------------------------------------------------------------------------------------------- soft targets


def soft_reference(
    student_logits: Tensor,
    teacher_logits: Tensor,
    temperature: float = 2.0,
    mask: Tensor | None = None,
    *,
    divergence: str = "kl",
    axis: str = "words",
    heat: str = "both",
    factor: str = "T²",
    padding: str = "left out",
    average: str = "tokens",
    teacher: str = "constant",
    empty: str = "0",
) -> Tensor:
    """T² · KL(teacher ‖ student) with knobs."""
    if heat == "always 2":
        temperature = 2.0
    if teacher == "constant":
        teacher_logits = teacher_logits.detach()
    s = student_logits / (1.0 if heat in ("teacher", "none") else temperature)
    t = teacher_logits / (1.0 if heat in ("student", "none") else temperature)
    axis_number = {"words": -1, "tokens": 1, "texts": 0}[axis]
    log_s, log_t = s.log_softmax(axis_number), t.log_softmax(axis_number)
    if divergence == "kl":
        entries = log_t.exp() * (log_t - log_s)
    elif divergence == "swapped":
        entries = log_s.exp() * (log_s - log_t)
    elif divergence == "cross-entropy":
        entries = -log_t.exp() * log_s
    elif divergence == "no log_target":
        entries = F.kl_div(log_s, log_t, reduction="none")
    elif divergence == "probabilities":
        entries = log_t.exp() * (log_t - log_s.exp())
    elif divergence == "logits":
        entries = log_t.exp() * (log_t - s)
    elif divergence == "hard":
        entries = -F.one_hot(t.argmax(-1), t.shape[-1]) * log_s
    else:
        entries = (s - t) ** 2
    width = entries.shape[-1]
    tokens = entries[..., 0].numel()
    if mask is not None and padding == "left out":
        entries = entries[mask.bool()]
        tokens = len(entries)
    elif mask is not None and padding == "inverted":
        entries = entries[~mask.bool()]
        tokens = len(entries)
    elif mask is not None and padding == "zeroed":
        entries = entries * mask[..., None]
    elif mask is not None and padding == "index":
        entries = entries[mask]
        tokens = entries[..., 0].numel()
    count = {"tokens": tokens, "entries": tokens * width, "texts": len(student_logits), "sum": 1}[average]
    times = {"T²": temperature**2, "T": temperature, "none": 1.0, "1/T²": temperature**-2}[factor]
    if count == 0 and empty == "0":
        count = 1
    return times * entries.sum() / count


def soft_probes() -> list[Probe]:
    axes = {"B": 2, "S": 5, "V": 7}
    student, teacher = randn(2, 5, 7, seed=11, scale=2.0), randn(2, 5, 7, seed=12, scale=2.0)
    mask = torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 0]])
    return [
        Probe("at temperature 2", Call((student, teacher), grads=(0,)), axes),
        Probe("at temperature 3, with padding", Call((student, teacher, 3.0, mask), grads=(0,)), axes),
        Probe("at temperature 1", Call((student, teacher, 1.0)), axes),
        Probe("with a teacher that could learn", Call((student, teacher, 2.0, mask), grads=(0, 1)), axes),
        Probe("with nothing but padding", Call((student, teacher, 2.0, 0 * mask)), axes),
        Probe("with a student that agrees with its teacher", Call((teacher, teacher, 2.0, mask)), axes),
    ]


def soft_by_kl_div(
    student_logits: Tensor, teacher_logits: Tensor, temperature: float = 2.0, mask: Tensor | None = None
) -> Tensor:
    student, teacher = student_logits / temperature, teacher_logits.detach() / temperature
    if mask is not None:
        student, teacher = student[mask.bool()], teacher[mask.bool()]
    divergence = F.kl_div(
        F.log_softmax(student, dim=-1), F.log_softmax(teacher, dim=-1), log_target=True, reduction="sum"
    )
    tokens = student[..., 0].numel()
    return temperature**2 * divergence / max(tokens, 1)


def soft_by_entropies(
    student_logits: Tensor, teacher_logits: Tensor, temperature: float = 2.0, mask: Tensor | None = None
) -> Tensor:
    counts = torch.ones(student_logits.shape[:-1]) if mask is None else mask
    p = torch.softmax(teacher_logits.detach() / temperature, dim=-1)
    cross = -torch.einsum("...v,...v->...", p, torch.log_softmax(student_logits / temperature, dim=-1))
    entropy = -(p * p.log()).sum(-1)
    return ((cross - entropy) * counts).sum() / counts.sum().clamp(min=1) * temperature**2


def soft_by_distributions(
    student_logits: Tensor, teacher_logits: Tensor, temperature: float = 2.0, mask: Tensor | None = None
) -> Tensor:
    teacher = torch.distributions.Categorical(logits=teacher_logits.detach() / temperature)
    student = torch.distributions.Categorical(logits=student_logits / temperature)
    each = torch.distributions.kl_divergence(teacher, student)
    if mask is not None and not mask.any():
        return torch.zeros(())
    return temperature**2 * (each.mean() if mask is None else each[mask == 1].mean())


def soft_by_loop(
    student_logits: Tensor, teacher_logits: Tensor, temperature: float = 2.0, mask: Tensor | None = None
) -> Tensor:
    with torch.no_grad():
        targets = (teacher_logits / temperature).softmax(-1)
    found = []
    for b in range(student_logits.shape[0]):
        for s in range(student_logits.shape[1]):
            if mask is None or mask[b, s]:
                scores = student_logits[b, s] / temperature
                logs = scores - torch.logsumexp(scores, 0)
                found.append(sum(p * (torch.log(p) - q) for p, q in zip(targets[b, s], logs, strict=True)))
    return temperature * temperature * sum(found) / len(found) if found else 0.0 * student_logits.sum()


DISTILLATION_LOSS = Exercise(
    name="distillation-loss",
    topic="distillation",
    title="Soft targets",
    function="distillation_loss",
    signature="student_logits, teacher_logits, temperature=2.0, mask=None",
    task=(
        "How far are the student's word probabilities from the teacher's? Divide both logits by the temperature T, "
        "turn each into probabilities over the words, and return T² · KL(teacher ‖ student), averaged over the "
        "tokens.\n\n"
        "- `student_logits`, `teacher_logits`: (B, S, V)\n"
        "- `temperature`: T, a number above 0\n"
        "- `mask`: None, or whole numbers (B, S) as a tokenizer gives them: 1 where a token counts, 0 for padding\n"
        "- returns one number, in nats: the mean over the tokens that count, or 0 when none does\n\n"
        "The teacher is a constant: no gradient may reach `teacher_logits`."
    ),
    source="Hinton, Vinyals & Dean 2015, section 2; Sanh et al. 2019, section 2",
    reference=soft_reference,
    solution=soft_by_kl_div,
    library=distillation.distillation_loss,
    probes=soft_probes,
    mistakes=(
        Mistake("kl-swapped", "divergence", "swapped", "you compute KL(student ‖ teacher)",
                "it asks the student to be sure of one good word, not to cover all that the teacher holds possible; "
                "F.kl_div(input, target) is KL(target ‖ input), so the student goes first",
                "Which of the two arguments of F.kl_div is the one whose probabilities weigh the words?"),
        Mistake("cross-entropy-for-kl", "divergence", "cross-entropy",
                "yours is the cross-entropy with the teacher's probabilities, and not the KL divergence",
                "your gradients are right, and a student would learn just the same: the value alone is off, by the "
                "teacher's entropy, so it does not reach 0 where both agree; take log p − log q and not − log q",
                "What should the loss be where the student agrees with its teacher in everything?"),
        Mistake("log-target-not-said", "divergence", "no log_target",
                "the teacher's log-probabilities go into F.kl_div as if they were probabilities",
                "the logarithm of a negative number is NaN; give it probabilities, or say log_target=True"),
        Mistake("probabilities-for-logs", "divergence", "probabilities",
                "the student's probabilities go where F.kl_div expects their logarithms",
                "the loss looks harmless but pulls hardly at all; its first argument is log_softmax and not softmax"),
        Mistake("logits-for-logs", "divergence", "logits", "the student's logits go in without a softmax",
                "raising all of them by the same number lowers the loss without end; take log_softmax first"),
        Mistake("hard-targets", "divergence", "hard", "only the teacher's likeliest word counts",
                "all that it knows of the second and third best is thrown away; use its whole distribution"),
        Mistake("squared-difference", "divergence", "squares", "the logits are compared by their squared difference",
                "that is another way to distil, and it cares as much for words that both hold impossible; compare "
                "probabilities by KL"),
        Mistake("softmax-over-tokens", "axis", "tokens", "your softmax runs over the tokens of a text",
                "for each word the shares of the positions sum to 1; it is to run over the words, the last axis"),
        Mistake("softmax-over-texts", "axis", "texts", "your softmax runs over the texts of the batch",
                "that is what the softmax takes where dim is not said and there are three axes; say dim=-1"),
        Mistake("temperature-on-student-only", "heat", "student", "only the student's logits are divided by T",
                "a softened student is held to a sharp teacher and learns to overshoot; divide both"),
        Mistake("temperature-on-teacher-only", "heat", "teacher", "only the teacher's logits are divided by T",
                "the student learns to be as soft as the softened teacher, even when used without T; divide both"),
        Mistake("no-temperature", "heat", "none", "the logits are not divided by T",
                "what the teacher thinks of unlikely words stays hidden near 0"),
        Mistake("temperature-always-2", "heat", "always 2", "T is 2 whatever `temperature` says",
                "2.0 is only the default; use the argument"),
        Mistake("no-T-squared", "factor", "none", "the factor T² is missing",
                "the gradients of soft targets shrink as 1/T², so the loss would weigh less the higher T is",
                "By how much do the gradients shrink when both logits are divided by T?"),
        Mistake("T-for-T-squared", "factor", "T", "the loss is multiplied by T and not by T²",
                "one T comes from the student's logits, and one more from the difference of the probabilities, which "
                "shrinks as well"),
        Mistake("divided-by-T-squared", "factor", "1/T²", "the loss is divided by T²",
                "its gradients have shrunk by 1/T² as it is; multiply to give that back"),
        Mistake("mean-over-entries", "average", "entries", "the mean runs over the words as well as the tokens",
                "the loss is V times too small; that is reduction=\"mean\" in F.kl_div, which warns of it: sum over "
                "the words and average over the tokens"),
        Mistake("mean-over-texts", "average", "texts", "the sum is divided by the number of texts",
                "that is \"batchmean\" of a (B, S, V) tensor, so longer texts give a larger loss; divide by the "
                "number of tokens"),
        Mistake("sum-over-tokens", "average", "sum", "the tokens are summed and not averaged",
                "the loss grows with the batch"),
        Mistake("pads-counted", "padding", "counted", "padding counts like any other token",
                "the student learns to copy what the teacher makes of nothing; leave out what has mask 0"),
        Mistake("divided-by-all-slots", "padding", "zeroed", "padding is set to 0 but still divided by",
                "the more padding there is, the smaller the loss; divide by the number of tokens that count"),
        Mistake("mask-inverted", "padding", "inverted", "your mask is read the wrong way round",
                "only the padding counts; 1 stands for a real token"),
        Mistake("mask-used-as-index", "padding", "index", "the mask of 0 and 1 is used as row numbers",
                "logits[mask] with whole numbers fetches text 0 and text 1 again and again; turn it into booleans: "
                "mask.bool()"),
        Mistake("teacher-learns", "teacher", "learns", "a gradient flows into the teacher's logits",
                "the teacher would move towards its student; detach its logits"),
        Mistake("nan-when-none-counts", "empty", "NaN", "a batch in which no token counts gives NaN",
                "0 tokens divided by 0; divide by 1 at the least, so that the sum of 0 stays 0"),
    ),
    hints=Hints(
        "Go one token at a time in your mind: two rows of V numbers come in, one number goes out. Only then average.",
        "KL(teacher ‖ student) weighs each word by the teacher's probability and asks how much lower the student's "
        "logarithm is. Both sides are softened by the same T.",
        "p = softmax(teacher / T), q = softmax(student / T); loss = T² · (the sum over tokens and words of "
        "p · (log p − log q)) / (number of tokens).",
        "student, teacher = student_logits / ..., teacher_logits.detach() / ...\n"
        "if mask is not None: student, teacher = student[...], teacher[...]\n"
        "divergence = F.kl_div(F.log_softmax(...), F.log_softmax(...), log_target=..., reduction=\"sum\")\n"
        "return ... * divergence / max(..., 1)",
    ),
    equivalents=(soft_by_entropies, soft_by_distributions, soft_by_loop),
)  # fmt: skip

# --------------------------------------------------------------------------------- direction of hidden states


def cosine_reference(
    student_hidden: Tensor,
    teacher_hidden: Tensor,
    mask: Tensor | None = None,
    *,
    value: str = "1 - cos",
    over: str = "features",
    padding: str = "left out",
    average: str = "mean",
    teacher: str = "constant",
) -> Tensor:
    """The mean of 1 - cosine with knobs."""
    s, t = student_hidden, teacher_hidden.detach() if teacher == "constant" else teacher_hidden
    empty, padding = ("NaN", "left out") if padding == "left out, 0/0" else ("0", padding)
    if padding == "inverted" and mask is not None:
        mask = 1 - mask
    if padding == "hidden zeroed" and mask is not None:
        s, t = s * mask[..., None], t * mask[..., None]
    if over == "texts":
        if mask is not None and padding in ("left out", "zeroed", "inverted"):
            s, t = s * mask[..., None], t * mask[..., None]
        s, t = s.flatten(1), t.flatten(1)
    axis = 1 if over == "positions" else -1
    cos = F.cosine_similarity(s, t, dim=axis)
    if value == "twice":
        each = 2 * (1 - cos)
    elif value == "dot":
        each = 1 - (s * t).sum(axis)
    elif value == "squares":
        each = ((s - t) ** 2).mean(axis)
    elif value == "teacher's length":
        each = 1 - (s * t).sum(axis) / (t * t).sum(axis).clamp(min=1e-16)
    else:
        each = {
            "1 - cos": 1 - cos, "cos": cos, "-cos": -cos, "1 + cos": 1 + cos, "target -1": cos.clamp(min=0),
            "target 0": 0 * cos, "1 - |cos|": 1 - cos.abs(),
        }[value]  # fmt: skip
    if mask is not None and over != "texts":
        if padding in ("left out", "inverted") and over != "positions":
            each = each[mask.bool()]
        elif padding in ("left out", "inverted", "zeroed"):
            each = each * mask  # along the positions this cannot fit, and stops as an answer would
    if average == "texts first" and mask is not None and padding == "left out" and over == "features" and mask.any():
        texts = (1 - cos) * mask
        return (texts.sum(1) / mask.sum(1).clamp(min=1)).sum() / mask.any(1).sum()
    count = {"sum": 1, "texts": len(s)}.get(average, each.numel())
    if count == 0 and empty == "0":
        count = 1
    return each.sum() / count


def cosine_probes() -> list[Probe]:
    axes = {"B": 2, "S": 5, "D": 3}
    student, teacher = randn(2, 5, 3, seed=21), randn(2, 5, 3, seed=22)
    mask = torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 0]])
    return [
        Probe("without a mask", Call((student, teacher), grads=(0,)), axes),
        Probe("with padding", Call((student, teacher, mask), grads=(0,)), axes),
        Probe("with a student of another length", Call((0.25 * teacher, teacher, mask)), axes),
        Probe("with a teacher that could learn", Call((student, teacher, mask), grads=(0, 1)), axes),
        Probe("with nothing but padding", Call((student, teacher, 0 * mask)), axes),
    ]


def cosine_by_similarity(student_hidden: Tensor, teacher_hidden: Tensor, mask: Tensor | None = None) -> Tensor:
    each = 1 - F.cosine_similarity(student_hidden, teacher_hidden.detach(), dim=-1)
    if mask is not None:
        each = each[mask.bool()]
    return each.sum() / max(each.numel(), 1)


def cosine_by_norms(student_hidden: Tensor, teacher_hidden: Tensor, mask: Tensor | None = None) -> Tensor:
    counts = torch.ones(student_hidden.shape[:-1]) if mask is None else mask
    s = student_hidden / student_hidden.norm(dim=-1, keepdim=True)
    t = (teacher_hidden / teacher_hidden.norm(dim=-1, keepdim=True)).detach()
    return (counts * (1 - torch.einsum("bsd,bsd->bs", s, t))).sum() / counts.sum().clamp(min=1)


def cosine_by_embedding_loss(student_hidden: Tensor, teacher_hidden: Tensor, mask: Tensor | None = None) -> Tensor:
    chosen = torch.ones(student_hidden.shape[:-1], dtype=torch.bool) if mask is None else mask.bool()
    if not chosen.any():
        return student_hidden.new_zeros(())
    s, t = student_hidden[chosen], teacher_hidden[chosen].detach()
    return F.cosine_embedding_loss(s, t, torch.ones(len(s)))


def cosine_by_squares(student_hidden: Tensor, teacher_hidden: Tensor, mask: Tensor | None = None) -> Tensor:
    # Half the squared distance of two unit vectors is 1 - cosine.
    s, t = F.normalize(student_hidden, dim=-1), F.normalize(teacher_hidden.detach(), dim=-1)
    each = ((s - t) ** 2).sum(-1) / 2
    if mask is None:
        return each.mean()
    return (each * mask).sum() / max(int(mask.sum()), 1)


COSINE_LOSS = Exercise(
    name="cosine-loss",
    topic="distillation",
    title="The direction of the hidden states",
    function="cosine_hidden_loss",
    signature="student_hidden, teacher_hidden, mask=None",
    task=(
        "Do the student's hidden states point where the teacher's do? For each token, 1 − the cosine of the angle "
        "between the two vectors; return the mean over the tokens.\n\n"
        "- `student_hidden`, `teacher_hidden`: (B, S, D), the last hidden states\n"
        "- `mask`: None, or whole numbers (B, S): 1 where a token counts, 0 for padding\n"
        "- returns one number between 0 and 2: the mean over the tokens that count, or 0 when none does\n\n"
        "The teacher is a constant: no gradient may reach `teacher_hidden`."
    ),
    source="Sanh et al. 2019, section 2 (L_cos)",
    reference=cosine_reference,
    solution=cosine_by_similarity,
    library=distillation.cosine_hidden_loss,
    probes=cosine_probes,
    mistakes=(
        Mistake("cosine-itself", "value", "cos", "you return the cosine itself",
                "making it small turns the student away from the teacher; the loss is 1 − cosine"),
        Mistake("no-one-minus", "value", "-cos", "yours is − cosine, without the 1",
                "the gradients are the same, but the loss is −1 and not 0 where both agree; add 1"),
        Mistake("one-plus-cosine", "value", "1 + cos", "you add the cosine to 1",
                "the loss is least where the student points the other way; take 1 − cosine"),
        Mistake("target-minus-1", "value", "target -1", "the target of the cosine embedding loss is −1",
                "that says \"these two should differ\": it pushes the student away, until the cosine is 0; the target "
                "is 1 for every token"),
        Mistake("target-0", "value", "target 0", "the target of the cosine embedding loss is 0",
                "torch knows 1 and −1 only, and gives 0 for all else without a word: nothing is learned; the target is "
                "1 for every token"),
        Mistake("twice-as-much", "value", "twice", "yours is twice as large, the squared distance of unit vectors",
                "|a - b|² = 2 (1 - cos) for vectors of length 1: the direction is right, but asked is 1 - cos"),
        Mistake("dot-product", "value", "dot", "you take the dot product without dividing by the lengths",
                "a longer vector lowers the loss without end; the cosine is the dot product of vectors of length 1"),
        Mistake("teacher-length-only", "value", "teacher's length",
                "the dot product is divided by the teacher's length twice and not by the student's",
                "the length of the student's vector counts still; divide by both lengths"),
        Mistake("squared-difference", "value", "squares", "you take the mean squared difference of the two vectors",
                "that asks for the same length as well; only the direction is to count"),
        Mistake("absolute-cosine", "value", "1 - |cos|", "the sign of the cosine is dropped",
                "a vector that points the opposite way is as good as the right one"),
        Mistake("one-cosine-a-text", "over", "texts", "each text is flattened into one long vector",
                "tokens with long vectors drown the others; there is one cosine for each token"),
        Mistake("cosine-over-positions", "over", "positions", "the cosine is taken along the positions",
                "F.cosine_similarity takes dim=1 where nothing is said, which here is S; say dim=-1"),
        Mistake("sum-over-tokens", "average", "sum", "the tokens are summed and not averaged",
                "the loss grows with the batch"),
        Mistake("mean-over-texts", "average", "texts", "the sum is divided by the number of texts",
                "longer texts give a larger loss; divide by the number of tokens"),
        Mistake("mean-of-means", "average", "texts first",
                "you take the mean of each text, and then the mean over the texts",
                "a token of a short text weighs more than one of a long text; divide once, by the number of tokens"),
        Mistake("pads-counted", "padding", "counted", "padding counts like any other token",
                "the student learns to copy what the teacher makes of nothing; leave out what has mask 0"),
        Mistake("divided-by-all-slots", "padding", "zeroed", "padding is set to 0 but still divided by",
                "the more padding there is, the smaller the loss; divide by the number of tokens that count"),
        Mistake("hidden-states-zeroed", "padding", "hidden zeroed",
                "the hidden states of padding are set to 0 before the cosine",
                "the cosine of two zero vectors is 0, so that each pad adds a whole 1 to the loss; drop the tokens "
                "instead"),
        Mistake("mask-inverted", "padding", "inverted", "your mask is read the wrong way round",
                "only the padding counts; 1 stands for a real token"),
        Mistake("teacher-learns", "teacher", "learns", "a gradient flows into the teacher's hidden states",
                "the teacher would turn towards its student; detach them"),
        Mistake("nan-when-none-counts", "padding", "left out, 0/0", "a batch in which no token counts gives NaN",
                "0 tokens divided by 0; divide by 1 at the least, so that the sum of 0 stays 0"),
    ),
    hints=Hints(
        "What should the loss be for two vectors of the same direction, and what for opposite ones?",
        "The cosine of two vectors is their dot product divided by both lengths. There is one for each token, (B, S); "
        "then the mask, then the mean.",
        "1/N · Σ over tokens (1 − s·t / (‖s‖ ‖t‖)), with N the number of tokens that count.",
        "each = 1 - F.cosine_similarity(..., ....detach(), dim=...)\n"
        "if mask is not None: each = each[...]\nreturn each.sum() / max(..., 1)",
    ),
    equivalents=(cosine_by_norms, cosine_by_embedding_loss, cosine_by_squares),
)  # fmt: skip

# ------------------------------------------------------------------------------------------- three in one


def triple_reference(
    student_logits: Tensor,
    teacher_logits: Tensor,
    labels: Tensor,
    student_hidden: Tensor,
    teacher_hidden: Tensor,
    attention_mask: Tensor,
    temperature: float = 2.0,
    weights: Sequence[float] = (5.0, 2.0, 1.0),
    *,
    weighing: str = "in order",
    missing: str = "nothing",
    soft_tokens: str = "real",
    cosine_tokens: str = "real",
    direction: str = "teacher first",
    factor: str = "T²",
    heat: str = "given",
    masked_lm: str = "chosen words",
    cosine: str = "1 - cos",
    teacher: str = "constant",
    empty: str = "0",
) -> Tensor:
    """DistilBERT's loss with knobs."""
    heated = 2.0 if heat == "always 2" else temperature
    soft_mask, cosine_mask = attention_mask, attention_mask
    if soft_tokens == "chosen":
        soft_mask = labels != IGNORE
    if cosine_tokens == "chosen":
        cosine_mask = (labels != IGNORE).long()
    soft = soft_reference(
        student_logits, teacher_logits, heated, soft_mask, teacher=teacher, factor=factor,
        divergence="kl" if direction == "teacher first" else "swapped",
        padding="counted" if soft_tokens.startswith("all") else "left out",
        average={"all, by texts": "texts", "all, by entries": "entries"}.get(soft_tokens, "tokens"),
    )  # fmt: skip
    cos = cosine_reference(
        student_hidden, teacher_hidden, cosine_mask, teacher=teacher,
        value="cos" if cosine == "cos" else "1 - cos", over="texts" if cosine == "per text" else "features",
        padding="counted" if cosine_tokens == "all" else "left out",
    )  # fmt: skip

    logits = {"at T": student_logits / heated, "teacher": teacher_logits.detach(),
              "softmax twice": student_logits.softmax(-1)}.get(masked_lm, student_logits)  # fmt: skip
    words = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORE, reduction="sum")
    chosen = int((labels != IGNORE).sum())
    count = {"all slots": labels.numel(), "real tokens": int(attention_mask.sum()), "sum": 1}.get(masked_lm, chosen)
    words = words / (1 if count == 0 and empty == "0" else count)

    a, b, c = (5.0, 2.0, 1.0) if weighing == "fixed" else weights
    a, b, c = {
        "first two swapped": (b, a, c), "last two swapped": (a, c, b), "reversed": (c, b, a), "none": (1.0, 1.0, 1.0),
        "mean": (1 / 3, 1 / 3, 1 / 3), "third of the sum": (a / 3, b / 3, c / 3),
        "sum to 1": tuple(w / (a + b + c) for w in (a, b, c)),
    }.get(weighing, (a, b, c))  # fmt: skip
    total = 0.0 * (student_logits.sum() + student_hidden.sum())
    if missing != "distillation":
        total = total + a * soft
    if missing != "masked words":
        total = total + b * words
    if missing != "cosine":
        total = total + c * cos
    return total


def triple_probes() -> list[Probe]:
    axes = {"B": 2, "S": 5, "V": 7, "D": 3}
    logits = randn(2, 5, 7, seed=31, scale=2.0), randn(2, 5, 7, seed=32, scale=2.0)
    hidden = randn(2, 5, 3, seed=33), randn(2, 5, 3, seed=34)
    mask = torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 0]])
    labels = torch.tensor([[IGNORE, 4, IGNORE, IGNORE, IGNORE], [0, IGNORE, 6, IGNORE, IGNORE]])
    none, empty = torch.full_like(labels, IGNORE), torch.tensor([[1, 1, 1, 1, 1], [0, 0, 0, 0, 0]])
    short = torch.stack((labels[0], none[0]))
    more = randn(2, 5, 7, seed=35), randn(2, 5, 7, seed=36), labels, randn(2, 5, 3, seed=37), randn(2, 5, 3, seed=38)
    return [
        Probe("with padding", Call((*logits, labels, *hidden, mask), grads=(0, 3)), axes),
        Probe("at temperature 3 and other weights", Call((*more, mask, 3.0, (2.0, 7.0, 3.0)), grads=(0, 3)), axes),
        Probe("with a teacher that could learn", Call((*logits, labels, *hidden, mask), grads=(0, 1, 3, 4)), axes),
        Probe("where no word is masked", Call((*logits, none, *hidden, mask)), axes),
        Probe("with a text that is nothing but padding", Call((*logits, short, *hidden, empty)), axes),
    ]


def triple_by_parts(
    student_logits: Tensor,
    teacher_logits: Tensor,
    labels: Tensor,
    student_hidden: Tensor,
    teacher_hidden: Tensor,
    attention_mask: Tensor,
    temperature: float = 2.0,
    weights: Sequence[float] = (5.0, 2.0, 1.0),
) -> Tensor:
    real = attention_mask.bool()
    tokens = max(int(real.sum()), 1)

    student, teacher = student_logits[real] / temperature, teacher_logits[real].detach() / temperature
    soft = F.kl_div(student.log_softmax(-1), teacher.log_softmax(-1), log_target=True, reduction="sum")
    soft = temperature**2 * soft / tokens

    # Neither softened nor for all tokens: this part is BERT's own loss.
    chosen = max(int((labels != -100).sum()), 1)
    words = F.cross_entropy(student_logits.flatten(0, 1), labels.flatten(), ignore_index=-100, reduction="sum")
    words = words / chosen

    cosine = (1 - F.cosine_similarity(student_hidden[real], teacher_hidden[real].detach(), dim=-1)).sum() / tokens
    return weights[0] * soft + weights[1] * words + weights[2] * cosine


def triple_by_modules(
    student_logits: Tensor,
    teacher_logits: Tensor,
    labels: Tensor,
    student_hidden: Tensor,
    teacher_hidden: Tensor,
    attention_mask: Tensor,
    temperature: float = 2.0,
    weights: Sequence[float] = (5.0, 2.0, 1.0),
) -> Tensor:
    real = attention_mask == 1
    log_q = F.log_softmax(student_logits / temperature, dim=-1)[real]
    p = F.softmax(teacher_logits.detach() / temperature, dim=-1)[real]
    total = weights[0] * nn.KLDivLoss(reduction="batchmean")(log_q, p) * temperature**2
    if (labels != -100).any():
        total = total + weights[1] * nn.CrossEntropyLoss()(student_logits[labels != -100], labels[labels != -100])
    s, t = student_hidden[real], teacher_hidden[real].detach()
    return total + weights[2] * nn.CosineEmbeddingLoss()(s, t, torch.ones(len(s)))


def triple_by_formulas(
    student_logits: Tensor,
    teacher_logits: Tensor,
    labels: Tensor,
    student_hidden: Tensor,
    teacher_hidden: Tensor,
    attention_mask: Tensor,
    temperature: float = 2.0,
    weights: Sequence[float] = (5.0, 2.0, 1.0),
) -> Tensor:
    with torch.no_grad():
        p = (teacher_logits / temperature).softmax(-1)
        direction = teacher_hidden / teacher_hidden.norm(dim=-1, keepdim=True)
    q = (student_logits / temperature).log_softmax(-1)
    divergence = (p * (p.log() - q)).sum(-1)
    angle = 1 - (student_hidden * direction).sum(-1) / student_hidden.norm(dim=-1)
    chosen = labels != -100
    picked = student_logits.log_softmax(-1).gather(-1, labels.clamp(min=0)[..., None]).squeeze(-1)
    parts = (
        temperature**2 * (divergence * attention_mask).sum() / attention_mask.sum(),
        -(picked * chosen).sum() / chosen.sum().clamp(min=1),
        (angle * attention_mask).sum() / attention_mask.sum(),
    )
    return sum(w * part for w, part in zip(weights, parts, strict=True))


def triple_by_loop(
    student_logits: Tensor,
    teacher_logits: Tensor,
    labels: Tensor,
    student_hidden: Tensor,
    teacher_hidden: Tensor,
    attention_mask: Tensor,
    temperature: float = 2.0,
    weights: Sequence[float] = (5.0, 2.0, 1.0),
) -> Tensor:
    soft, words, cosines = [], [], []
    for b, s in attention_mask.nonzero().tolist():
        p = (teacher_logits[b, s].detach() / temperature).softmax(0)
        soft.append(temperature**2 * (p * (p.log() - (student_logits[b, s] / temperature).log_softmax(0))).sum())
        cosines.append(1 - F.cosine_similarity(student_hidden[b, s], teacher_hidden[b, s].detach(), dim=0))
        if labels[b, s] != -100:
            words.append(-student_logits[b, s].log_softmax(0)[labels[b, s]])
    parts = [torch.stack(part).mean() if part else torch.zeros(()) for part in (soft, words, cosines)]
    return weights[0] * parts[0] + weights[1] * parts[1] + weights[2] * parts[2]


def triple_by_library(
    student_logits: Tensor,
    teacher_logits: Tensor,
    labels: Tensor,
    student_hidden: Tensor,
    teacher_hidden: Tensor,
    attention_mask: Tensor,
    temperature: float = 2.0,
    weights: Sequence[float] = (5.0, 2.0, 1.0),
) -> Tensor:
    tensors = (student_logits, teacher_logits, labels, student_hidden, teacher_hidden, attention_mask)
    return distillation.triple_loss(*tensors, temperature=temperature, weights=tuple(weights)).total


TRIPLE_LOSS = Exercise(
    name="triple-loss",
    topic="distillation",
    title="DistilBERT's three losses",
    function="triple_loss",
    signature=(
        "student_logits, teacher_logits, labels, student_hidden, teacher_hidden, attention_mask, temperature=2.0, "
        "weights=(5.0, 2.0, 1.0)"
    ),
    task=(
        "DistilBERT minimises three things at once. Return the total alone, one number: "
        "w₁ · soft targets + w₂ · masked words + w₃ · cosine.\n\n"
        "- soft targets: T² · KL(teacher ‖ student) of the logits / T, the mean over the real tokens\n"
        "- masked words: BERT's own loss, the cross-entropy of the student's logits (without T) with `labels`, the "
        "mean over the words that have a label; 0 when none has\n"
        "- cosine: 1 − cosine of the student's and the teacher's hidden state, the mean over the real tokens\n\n"
        "What comes in:\n\n"
        "- `student_logits`, `teacher_logits`: (B, S, V)\n"
        "- `labels`: (B, S), the true id of each masked word and −100 elsewhere, padding included\n"
        "- `student_hidden`, `teacher_hidden`: (B, S, D)\n"
        "- `attention_mask`: (B, S), 1 real and 0 padding; at least one token is real\n"
        "- `weights`: w₁, w₂, w₃, used as they are\n\n"
        "No gradient may reach the teacher. You may call your own `distillation_loss` and `cosine_hidden_loss`, if "
        "they stand in the same file or cell."
    ),
    source="Sanh et al. 2019, section 2; weights and temperature: the released code",
    reference=triple_reference,
    solution=triple_by_parts,
    library=triple_by_library,
    probes=triple_probes,
    mistakes=(
        Mistake("first-weights-swapped", "weighing", "first two swapped",
                "the weights of soft targets and masked words are swapped",
                "the order is soft targets, masked words, cosine; with 5, 2, 1 the teacher should speak loudest"),
        Mistake("last-weights-swapped", "weighing", "last two swapped",
                "the weights of masked words and cosine are swapped",
                "the order is soft targets, masked words, cosine"),
        Mistake("weights-reversed", "weighing", "reversed", "the weights are applied in reverse",
                "the order is soft targets, masked words, cosine; the teacher should speak loudest"),
        Mistake("not-weighted", "weighing", "none", "the three are added without their weights",
                "each is to be multiplied by its own weight first"),
        Mistake("average-of-three", "weighing", "mean", "you return the plain average of the three",
                "each is to be multiplied by its own weight, and then they are added"),
        Mistake("sum-divided-by-3", "weighing", "third of the sum", "the weighted sum is divided by 3",
                "the weights are used as they are; the loss, and so every step, is three times too small"),
        Mistake("weights-normalised", "weighing", "sum to 1", "the weights are made to sum to 1",
                "they are used as they are; the loss, and so every step, is smaller than it should be"),
        Mistake("weights-always-5-2-1", "weighing", "fixed", "the weights are 5, 2 and 1 whatever `weights` says",
                "these are only the defaults; use the argument"),
        Mistake("soft-targets-missing", "missing", "distillation", "the soft targets are left out",
                "nothing of the teacher's probabilities is learned"),
        Mistake("masked-words-missing", "missing", "masked words", "the loss of the masked words is left out",
                "the student hears the teacher only, and never what really stood there"),
        Mistake("cosine-missing", "missing", "cosine", "the cosine is left out",
                "the hidden states may point anywhere"),
        Mistake("soft-targets-count-pads", "soft_tokens", "all", "the soft targets are averaged over padding as well",
                "the student learns to copy what the teacher makes of nothing; leave out what has mask 0"),
        Mistake("soft-targets-by-batchmean", "soft_tokens", "all, by texts",
                "the soft targets of all slots are summed and divided by the number of texts",
                "that is \"batchmean\" of a (B, S, V) tensor, and far too much; pick the real tokens first, so that "
                "there is a row for each"),
        Mistake("soft-targets-by-mean", "soft_tokens", "all, by entries",
                "the soft targets are averaged over all slots and over the words as well",
                "that is \"mean\" of a (B, S, V) tensor, and V times too little; sum over the words, and average over "
                "the real tokens"),
        Mistake("cosine-at-masked-words-only", "cosine_tokens", "chosen",
                "the cosine is taken at the masked words only",
                "the hidden states of every real token are compared; use the attention mask, not the labels"),
        Mistake("soft-targets-at-masked-words-only", "soft_tokens", "chosen",
                "the soft targets are taken at the masked words only",
                "the teacher says something of every real token, and most of it is lost; use the attention mask, not "
                "the labels"),
        Mistake("cosine-counts-pads", "cosine_tokens", "all", "the cosine is averaged over padding as well",
                "the student learns to copy what the teacher makes of nothing; leave out what has mask 0"),
        Mistake("kl-swapped", "direction", "student first", "you compute KL(student ‖ teacher)",
                "F.kl_div(input, target) is KL(target ‖ input), so the student goes first"),
        Mistake("no-T-squared", "factor", "none", "the factor T² is missing from the soft targets",
                "their gradients shrink as 1/T², so the weights would not hold for another temperature"),
        Mistake("temperature-always-2", "heat", "always 2", "T is 2 whatever `temperature` says",
                "2.0 is only the default; use the argument"),
        Mistake("masked-words-at-temperature", "masked_lm", "at T",
                "the logits are divided by T for the masked words too",
                "the temperature is for what the teacher says; here there is one true word, and the student's own "
                "probabilities count",
                "Which of the three losses does the temperature belong to?"),
        Mistake("masked-words-over-all-slots", "masked_lm", "all slots",
                "the loss of the masked words is divided by the number of all slots",
                "it comes out about seven times too small; divide by the number of words that have a label"),
        Mistake("masked-words-over-real-tokens", "masked_lm", "real tokens",
                "the loss of the masked words is divided by the number of all real tokens",
                "it comes out about seven times too small; divide by the number of words that have a label"),
        Mistake("masked-words-summed", "masked_lm", "sum", "the masked words are summed and not averaged",
                "their share grows with the batch"),
        Mistake("masked-words-by-teacher", "masked_lm", "teacher",
                "the masked words are looked up in the teacher's logits",
                "that is a constant, and teaches the student nothing; use the student's logits"),
        Mistake("softmax-twice", "masked_lm", "softmax twice",
                "the student's probabilities go into the cross-entropy",
                "it takes the softmax itself, of logits; a second one flattens everything"),
        Mistake("cosine-added", "cosine", "cos", "the cosine itself is added",
                "making it small turns the student away from the teacher; add 1 − cosine"),
        Mistake("one-cosine-a-text", "cosine", "per text", "each text is flattened into one long vector",
                "there is one cosine for each token"),
        Mistake("teacher-learns", "teacher", "learns", "a gradient flows into the teacher",
                "the teacher would move towards its student; detach its logits and its hidden states"),
        Mistake("nan-when-no-word-is-masked", "empty", "NaN", "a batch without a masked word gives NaN",
                "the mean over no words is 0/0, which spoils every weight of the student in one step; divide by 1 at "
                "the least"),
    ),
    hints=Hints(
        "Three losses, three questions each: over which tokens, at which temperature, with which weight?",
        "Soft targets and cosine listen to the teacher about every real token. The masked words are BERT's own loss: "
        "only where there is a label, and without the temperature.",
        "w₁ · T² · mean KL(p_T ‖ q_T) + w₂ · mean(− log q[label]) + w₃ · mean(1 − cos).",
        "real = attention_mask.bool()\nsoft = ... * F.kl_div(..., ..., log_target=True, reduction=...) / ...\n"
        "words = F.cross_entropy(student_logits.flatten(0, 1), ..., reduction=\"sum\") / max(..., 1)\n"
        "cosine = (1 - F.cosine_similarity(student_hidden[real], ..., dim=-1)).mean()\n"
        "return ...",
    ),
    equivalents=(triple_by_modules, triple_by_formulas, triple_by_loop),
)  # fmt: skip

# ---------------------------------------------------------------------------------- a start from the teacher

BLOCKS = "encoder.blocks."


def student_reference(
    teacher: dict[str, Tensor],
    num_layers: int,
    *,
    layers: str = "alternate",
    numbers: str = "from 0",
    copies: str = "own",
    types: str = "dropped",
    pooler: str = "dropped",
    kept: str = "all",
    original: str = "left alone",
) -> dict[str, Tensor]:
    """The student's weights with knobs."""
    half = math.ceil(num_layers / 2)
    as_text = sorted(range(num_layers), key=str)
    chosen = {
        "alternate": list(range(0, num_layers, 2)),
        "first half": list(range(half)),
        "last half": list(range(num_layers - half, num_layers)),
        "odd": list(range(1, num_layers, 2)),
        "every third": list(range(0, num_layers, 3)),
        "all": list(range(num_layers)),
        "released": [layer for layer in (0, 2, 4, 7, 9, 11) if layer < num_layers],
        "as text": as_text[::2],
        "beginning of the number": list(range(0, num_layers, 2)),
        "one digit": [layer for layer in range(0, num_layers, 2) if layer < 10],
        "rounded down": [2 * i for i in range(num_layers // 2)],
    }[layers]
    new = {
        layer: {"from 0": i, "kept": layer, "from 1": i + 1, "reversed": len(chosen) - 1 - i}[numbers]
        for i, layer in enumerate(chosen)
    }
    student = {}
    for name, tensor in teacher.items():
        if name.startswith(BLOCKS):
            number, rest = name.removeprefix(BLOCKS).split(".", 1)
            if layers == "beginning of the number":  # "2" also finds 20 to 29, and what comes last stays
                number = next((str(n) for n in chosen if number.startswith(str(n))), number)
            if int(number) not in new:
                continue
            target = f"{BLOCKS}{new[int(number)]}.{rest}"
        else:
            if name.startswith("embeddings.token_type.") and types == "dropped":
                continue
            if name.startswith("pooler.") and pooler == "dropped":
                continue
            if kept == "blocks" or (kept == "no positions" and "position" in name):
                continue
            target = name
        if (kept == "weights" and name.endswith("bias")) or (kept == "no norms" and "norm" in name):
            continue
        student[target] = tensor.clone() if copies == "own" else tensor
    if original == "emptied":
        for name in [name for name in teacher if "token_type" in name or "pooler" in name]:
            del teacher[name]
    return student


def a_teacher(num_layers: int, seed: int) -> dict[str, Tensor]:
    """A few of a BERT's tensors: enough to tell layers and names apart, few enough to be read in a message."""
    width, middle = 3, 4
    shapes = {
        "embeddings.word.weight": (7, width), "embeddings.position.weight": (5, width),
        "embeddings.token_type.weight": (2, width),
        "embeddings.norm.weight": (width,), "embeddings.norm.bias": (width,),
    }  # fmt: skip
    for layer in range(num_layers):
        shapes |= {
            f"{BLOCKS}{layer}.attention.query.weight": (width, width),
            f"{BLOCKS}{layer}.feed_forward.expand.bias": (middle,),
            f"{BLOCKS}{layer}.norm.weight": (width,),
        }
    shapes |= {"pooler.dense.weight": (width, width), "pooler.dense.bias": (width,)}
    return {name: randn(*shape, seed=seed + i) for i, (name, shape) in enumerate(shapes.items())}


def student_probes() -> list[Probe]:
    return [
        Probe(f"with a teacher of {depth} layers", Call((a_teacher(depth, 1000 * depth), depth)), {"V": 7, "D": 3})
        for depth in (12, 6, 3, 24)
    ]


def student_by_names(teacher: dict[str, Tensor], num_layers: int) -> dict[str, Tensor]:
    student = {}
    for name, tensor in teacher.items():
        if name.startswith(("embeddings.token_type.", "pooler.")):
            continue
        parts = name.split(".")  # encoder, blocks, the layer's number, ...
        if parts[:2] == ["encoder", "blocks"]:
            layer = int(parts[2])
            if layer % 2 == 1:
                continue
            parts[2] = str(layer // 2)
        student[".".join(parts)] = tensor.clone()
    return student


def student_by_layers(teacher: dict[str, Tensor], num_layers: int) -> dict[str, Tensor]:
    student = {}
    for new, old in enumerate(range(0, num_layers, 2)):
        start = f"encoder.blocks.{old}."
        for name in teacher:
            if name.startswith(start):
                student[f"encoder.blocks.{new}." + name[len(start) :]] = teacher[name].detach().clone()
    for name in ("word.weight", "position.weight", "norm.weight", "norm.bias"):
        student[f"embeddings.{name}"] = teacher[f"embeddings.{name}"].detach().clone()
    return student


def student_by_table(teacher: dict[str, Tensor], num_layers: int) -> dict[str, Tensor]:
    table = {f"encoder.blocks.{2 * i}.": f"encoder.blocks.{i}." for i in range((num_layers + 1) // 2)}
    table |= {f"embeddings.{part}.": f"embeddings.{part}." for part in ("word", "position", "norm")}
    return {
        new + name.removeprefix(old): torch.empty_like(tensor).copy_(tensor)
        for name, tensor in teacher.items()
        for old, new in table.items()
        if name.startswith(old)
    }


def student_by_deep_copy(teacher: dict[str, Tensor], num_layers: int) -> dict[str, Tensor]:
    from copy import deepcopy

    student = deepcopy(teacher)
    for layer in range(num_layers):
        for name in [name for name in student if name.startswith(f"encoder.blocks.{layer}.")]:
            tensor = student.pop(name)
            if layer % 2 == 0:
                student[name.replace(f"blocks.{layer}.", f"blocks.{layer // 2}.")] = tensor
    return {name: tensor for name, tensor in student.items() if "token_type" not in name and "pooler" not in name}


def student_by_library(teacher: dict[str, Tensor], num_layers: int) -> dict[str, Tensor]:
    """A real Bert with these weights, its student, and of that the names that the dict has something of."""
    words, width = teacher["embeddings.word.weight"].shape
    config = BertConfig(
        vocab_size=words,
        hidden_size=width,
        num_hidden_layers=num_layers,
        num_attention_heads=1,
        intermediate_size=len(teacher[f"{BLOCKS}0.feed_forward.expand.bias"]),
        max_position_embeddings=len(teacher["embeddings.position.weight"]),
    )
    bert = build(config)
    bert.load_state_dict(teacher, strict=False)  # the rest of the real one's tensors stay as they were made
    known = {name.removeprefix(f"{BLOCKS}0.") for name in teacher}
    student = distillation.student_from_teacher(bert).state_dict()
    return {
        name: tensor
        for name, tensor in student.items()
        if name in known or (name.startswith(BLOCKS) and name.removeprefix(BLOCKS).split(".", 1)[1] in known)
    }


STUDENT_FROM_TEACHER = Exercise(
    name="student-from-teacher",
    topic="distillation",
    title="A student made of its teacher",
    function="student_from_teacher",
    signature="teacher, num_layers",
    task=(
        "Give the student half its teacher's layers to start from: \"one layer out of two\".\n\n"
        "- `teacher`: a dict from names to tensors, such as a model's state_dict(). Its names: "
        "`embeddings.word.weight`, `embeddings.position.weight`, `embeddings.token_type.weight`, "
        "`embeddings.norm.weight`, `embeddings.norm.bias`; `encoder.blocks.{i}.` and then `attention.query.weight`, "
        "`norm.weight` and so on, for layer i from 0 to num_layers − 1; `pooler.dense.weight`, `pooler.dense.bias`\n"
        "- `num_layers`: how many layers the teacher has, such as 12\n"
        "- returns the student's dict: words, positions and the embeddings' norm under the same names, and the "
        "teacher's layers 0, 2, 4, ... as the student's layers 0, 1, 2, ... (of three: 0 and 2, as 0 and 1). No "
        "token types, no pooler\n\n"
        "All tensors are copies that share no memory with the teacher's, and the teacher's dict stays as it is."
    ),
    source="Sanh et al. 2019, section 3, \"Student initialization\"",
    reference=student_reference,
    solution=student_by_names,
    library=student_by_library,
    probes=student_probes,
    looks_at_aliases=True,
    mistakes=(
        Mistake("first-half", "layers", "first half", "the student gets the lower half of the layers",
                "the upper half, where words become meanings, is lost; take every second layer, from 0"),
        Mistake("last-half", "layers", "last half", "the student gets the upper half of the layers",
                "they expect what the lower half has made of the words; take every second layer, from 0"),
        Mistake("off-by-one", "layers", "odd", "the student gets layers 1, 3, 5 and so on",
                "layer 0 reads the embeddings themselves, and nothing else has learned to; begin with 0"),
        Mistake("every-third", "layers", "every third", "the student gets every third layer",
                "it is to have half its teacher's layers: every second one"),
        Mistake("all-layers", "layers", "all", "the student gets all the layers",
                "it is no smaller than its teacher; take every second one"),
        Mistake("released-choice", "layers", "released",
                "your student starts from layers 0, 2, 4, 7, 9 and 11 of twelve",
                "that is what the authors' released code does, and is no worse; this exercise asks for the words of "
                "the paper, one layer out of two, and so for 0, 2, 4, 6, 8 and 10"),
        Mistake("layers-in-order-of-text", "layers", "as text", "the layers are sorted as texts",
                "\"10\" comes before \"2\" there, so the student's layers are out of order; make the number an int "
                "first"),
        Mistake("beginning-of-the-number", "layers", "beginning of the number",
                "a layer is known by the beginning of its number: 2 finds 20 to 23 as well",
                "their weights overwrite those of layer 2; compare with the dot behind the number"),
        Mistake("two-digit-layers-lost", "layers", "one digit", "only layers with a number of one digit are found",
                "layer 10 is lost; read the number up to the next dot"),
        Mistake("half-rounded-down", "layers", "rounded down",
                "an odd number of layers is halved and rounded down",
                "of three layers there are two to take, 0 and 2; range(0, num_layers, 2) has them"),
        Mistake("not-renumbered", "numbers", "kept", "the layers keep their teacher's numbers",
                "the student has no layer 10 to put it in; number them 0, 1, 2 and so on"),
        Mistake("numbered-from-1", "numbers", "from 1", "the student's layers are numbered from 1",
                "its layer 0 gets nothing; number them 0, 1, 2 and so on"),
        Mistake("order-reversed", "numbers", "reversed", "the student's layers stand in reverse",
                "the layer that reads the embeddings comes last; keep the teacher's order"),
        Mistake("aliased", "copies", "shared", "the student's tensors are the teacher's own",
                "training the student would change its teacher step by step; clone them",
                "What happens to the teacher when the student takes its first training step?"),
        Mistake("token-types-kept", "types", "kept", "the token types are kept",
                "DistilBERT has none: it does not tell first and second sentence apart"),
        Mistake("pooler-kept", "pooler", "kept", "the pooler is kept",
                "DistilBERT has none: it has no task for pairs of sentences to feed"),
        Mistake("embeddings-forgotten", "kept", "blocks", "only the blocks are copied",
                "the student would know no word; copy words, positions and the embeddings' norm too"),
        Mistake("positions-forgotten", "kept", "no positions", "the position embeddings are left out",
                "only token types and pooler are dropped"),
        Mistake("biases-forgotten", "kept", "weights", "the biases are left out",
                "a layer is its weights and its biases; copy both"),
        Mistake("norms-forgotten", "kept", "no norms", "the layer norms are left out",
                "they have learned weights like the rest; only token types and pooler are dropped"),
        Mistake("teacher-emptied", "original", "emptied", "token types and pooler are deleted from the teacher's dict",
                "the caller's teacher is broken afterwards; build a new dict and leave that one as it is"),
    ),
    hints=Hints(
        "Print the teacher's names first. Which of them does the student have, and under what name?",
        "Three kinds of names: those that stay as they are, those that are dropped, and those of a layer, of which "
        "every second is kept under a new number. A number may have two digits.",
        "encoder.blocks.{2i}.rest → encoder.blocks.{i}.rest, each tensor a clone.",
        "for name, tensor in teacher.items():\n    if name.startswith((..., ...)): continue\n"
        "    parts = name.split(\".\")\n    if parts[:2] == [\"encoder\", \"blocks\"]:\n"
        "        if int(parts[2]) % 2 == ...: continue\n        parts[2] = str(...)\n"
        "    student[\".\".join(parts)] = ...",
    ),
    equivalents=(student_by_layers, student_by_table, student_by_deep_copy),
)  # fmt: skip

EXERCISES = (DISTILLATION_LOSS, COSINE_LOSS, TRIPLE_LOSS, STUDENT_FROM_TEACHER)
