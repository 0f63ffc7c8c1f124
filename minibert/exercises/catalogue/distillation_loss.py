"""Soft targets: the student learns the teacher's probabilities."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from minibert.exercises.calls import Call
from minibert.exercises.catalogue.attention import NEVER
from minibert.exercises.declare import Exercise, Hints, Mistake, Probe
from minibert.exercises.probes import randn
from minibert.training import distillation


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
    mask = torch.tensor([[0, 1, 1, 0, 1], [1, 1, 1, 1, 0]])
    return [
        Probe("at temperature 2", Call((student, teacher), grads=(0,)), axes),
        Probe("at temperature 3, with padding", Call((student, teacher, 3.0, mask), grads=(0,)), axes),
        Probe("at temperature 1", Call((student, teacher, 1.0)), axes),
        Probe("with a teacher that could learn", Call((student, teacher, 2.0, mask), grads=(0, 1)), axes),
        Probe("with padding only", Call((student, teacher, 2.0, 0 * mask)), axes, beyond=NEVER),
        Probe("one text of one token", Call((student[:1, :1], teacher[:1, :1], 3.0, mask[1:, :1])), {"V": 7}),
        Probe("in float32", Call((student.float(), teacher.float(), 3.0, mask)), axes),
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


EXERCISE = Exercise(
    name="distillation-loss",
    topic="distillation",
    title="Soft targets",
    level="core",
    minutes=15,
    function="distillation_loss",
    signature="student_logits, teacher_logits, temperature=2.0, mask=None",
    task=(
        "How far are the student's word probabilities from the teacher's? Divide the logits of both by the temperature "
        "T, turn each into probabilities over the words, and return T² · KL(teacher ‖ student), averaged over the "
        "tokens.\n\n"
        "- `student_logits`, `teacher_logits`: (B, S, V)\n"
        "- `temperature`: T, a number above 0\n"
        "- `mask`: None, or integers (B, S) as a tokenizer gives them: 1 where a token counts, 0 for padding\n"
        "- returns one number, in nats: the mean over the tokens that count, or 0 if there are none\n\n"
        "The teacher is a constant: no gradient may reach `teacher_logits`."
    ),
    source="Hinton, Vinyals & Dean 2015, section 2; Sanh et al. 2019, section 2; KL and T² as in its released code",
    reference=soft_reference,
    solution=soft_by_kl_div,
    library=distillation.distillation_loss,
    probes=soft_probes,
    mistakes=(
        Mistake("kl-swapped", "divergence", "swapped", "you compute KL(student ‖ teacher)",
                "it asks the student to be sure of one good word, and not to cover all words that the teacher "
                "considers possible; F.kl_div(input, target) is KL(target ‖ input), so the student comes first",
                "Which of the two arguments of F.kl_div gives the probabilities that weight the words?"),
        Mistake("cross-entropy-for-kl", "divergence", "cross-entropy",
                "you compute the cross-entropy with the teacher's probabilities, and not the KL divergence",
                "your gradients are right, and a student would learn exactly the same; only the value is wrong, by "
                "the teacher's entropy, so it does not reach 0 where both agree; take log p − log q and not − log q",
                "What should the loss be if the student agrees with its teacher in everything?"),
        Mistake("log-target-not-said", "divergence", "no log_target",
                "the teacher's log-probabilities go into F.kl_div as if they were probabilities",
                "the logarithm of a negative number is NaN; pass probabilities, or set log_target=True"),
        Mistake("probabilities-for-logs", "divergence", "probabilities",
                "the student's probabilities go where F.kl_div expects their logarithms",
                "the loss looks harmless, but its gradients are very small; the first argument is log_softmax and "
                "not softmax"),
        Mistake("logits-for-logs", "divergence", "logits", "the student's logits go in without a softmax",
                "raising all of them by the same number lowers the loss without limit; take log_softmax first"),
        Mistake("hard-targets", "divergence", "hard", "only the teacher's most likely word counts",
                "everything it knows about the second and third best is thrown away; use its whole distribution"),
        Mistake("squared-difference", "divergence", "squares", "you compare the logits by their squared difference",
                "that is another way to distil, in which words that both consider impossible count just as much; "
                "compare the probabilities by KL"),
        Mistake("softmax-over-tokens", "axis", "tokens", "your softmax is taken over the tokens of a text",
                "then the probabilities of a word sum to 1 over the tokens; take it over the words, the last axis"),
        Mistake("softmax-over-texts", "axis", "texts", "your softmax is taken over the texts of the batch",
                "that is what torch does for three axes if dim is not given; set dim=-1"),
        Mistake("temperature-on-student-only", "heat", "student", "only the student's logits are divided by T",
                "a softened student is compared with a sharp teacher and learns to overshoot; divide both"),
        Mistake("temperature-on-teacher-only", "heat", "teacher", "only the teacher's logits are divided by T",
                "the student learns to be as soft as the softened teacher, even when it is used without T; divide "
                "both"),
        Mistake("no-temperature", "heat", "none", "the logits are not divided by T",
                "what the teacher thinks of unlikely words stays hidden near 0"),
        Mistake("temperature-always-2", "heat", "always 2", "T is 2, whatever `temperature` says",
                "2.0 is only the default; use the argument"),
        Mistake("no-T-squared", "factor", "none", "the factor T² is missing",
                "the gradients of soft targets shrink as 1/T², so the higher T is, the less this loss would count",
                "By how much do the gradients shrink when the logits of both are divided by T?"),
        Mistake("T-for-T-squared", "factor", "T", "the loss is multiplied by T and not by T²",
                "one factor T comes from the student's logits, and another from the difference of the probabilities, "
                "which shrinks as well"),
        Mistake("divided-by-T-squared", "factor", "1/T²", "the loss is divided by T²",
                "its gradients have already shrunk by 1/T²; multiply by T² to undo that"),
        Mistake("mean-over-entries", "average", "entries", "the mean is taken over the words as well as the tokens",
                'the loss is V times too small; that is reduction="mean" in F.kl_div, which warns about it; sum over '
                "the words and average over the tokens"),
        Mistake("mean-over-texts", "average", "texts", "the sum is divided by the number of texts",
                'that is what "batchmean" does with a (B, S, V) tensor, so longer texts give a larger loss; divide '
                "by the number of tokens"),
        Mistake("sum-over-tokens", "average", "sum", "the tokens are summed and not averaged",
                "the loss grows with the batch"),
        Mistake("pads-counted", "padding", "counted", "padding counts like any other token",
                "the student learns to copy what the teacher outputs at padding, which means nothing; leave out "
                "tokens with mask 0"),
        Mistake("divided-by-all-slots", "padding", "zeroed", "padding is set to 0 but still counted in the mean",
                "the more padding there is, the smaller the loss; divide by the number of tokens that count"),
        Mistake("mask-inverted", "padding", "inverted", "you read the mask the wrong way round",
                "only the padding counts; 1 marks a real token"),
        Mistake("mask-used-as-index", "padding", "index", "the mask of 0 and 1 is used as row numbers",
                "logits[mask] with integers picks text 0 and text 1 again and again; turn the mask into booleans "
                "with mask.bool()"),
        Mistake("teacher-learns", "teacher", "learns", "a gradient flows into the teacher's logits",
                "the teacher would move towards its student; detach its logits"),
        Mistake("nan-when-none-counts", "empty", "NaN", "a batch in which no token counts gives NaN",
                "that is 0 divided by 0; divide by at least 1, so that the sum of 0 stays 0"),
    ),
    hints=Hints(
        "Think of one token at a time: two rows of V numbers come in, and one number comes out. Average only after "
        "that.",
        "KL(teacher ‖ student) weights each word by the teacher's probability and measures how much lower the "
        "student's logarithm is. Both sides are softened by the same T.",
        "p = softmax(teacher / T), q = softmax(student / T); loss = T² · (the sum over tokens and words of "
        "p · (log p − log q)) / (number of tokens).",
        "student, teacher = student_logits / ..., teacher_logits.detach() / ...\n"
        "if mask is not None: student, teacher = student[...], teacher[...]\n"
        "divergence = F.kl_div(F.log_softmax(...), F.log_softmax(...), log_target=..., reduction=\"sum\")\n"
        "return ... * divergence / max(..., 1)",
    ),
    equivalents=(soft_by_entropies, soft_by_distributions, soft_by_loop),
)  # fmt: skip
