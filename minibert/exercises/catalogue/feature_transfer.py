"""MobileBERT's knowledge transfer: the loss that teaches one layer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from minibert.exercises.calls import Call
from minibert.exercises.declare import Exercise, Hints, Mistake, Probe
from minibert.exercises.probes import in_float32, mask_of, randn
from minibert.model import Output
from minibert.training.transfer import TransferWeights, layer_transfer_loss


class Inputs(NamedTuple):
    """What every answer is called with, in this order."""

    student_hidden: Tensor
    teacher_hidden: Tensor
    student_attention: Tensor
    teacher_attention: Tensor
    mask: Tensor
    weights: Sequence[float] = (100.0, 5000.0, 5.0, 1.0)


def averaged(each: Tensor, mask: Tensor, tokens: str, empty: str) -> Tensor:
    """The mean over the tokens that count. each: (B, S), one number for each token. mask: (B, S) booleans."""
    if tokens == "all":
        return each.mean()
    if tokens == "zeroed":
        return (each * mask).mean()
    if tokens == "summed":
        return each[mask].sum()
    if tokens == "texts":
        return each[mask].sum() / len(each)
    if tokens == "texts first":
        return ((each * mask).sum(1) / mask.sum(1).clamp(min=1)).mean()
    count = int(mask.sum())
    return each[mask].sum() / (max(count, 1) if empty == "0" else count)


def spread(x: Tensor, variance: str) -> Tensor:
    """(B, S, D) -> (B, S): how far a token's features are spread."""
    squares = x.var(-1, correction=1 if variance.startswith("n - 1") else 0)
    return {"deviation": lambda: squares.sqrt(), "about 0": lambda: x.square().mean(-1)}.get(
        variance.removeprefix("n - 1, "), lambda: squares
    )()


def divergence(student: Tensor, teacher: Tensor, how: str, hidden_keys: str) -> Tensor:
    """(B, H, S, T) -> (B, H, S): how far a query's rows of weights are apart."""
    if how == "softmax again":
        student, teacher = student.softmax(-1), teacher.softmax(-1)
    smallest = 0.0 if hidden_keys == "NaN" else torch.finfo(student.dtype).tiny
    log_s, log_t = student.clamp(min=smallest).log(), teacher.clamp(min=smallest).log()
    one = {
        "teacher first": lambda: teacher * (log_t - log_s),
        "student first": lambda: student * (log_s - log_t),
        "both ways": lambda: (teacher * (log_t - log_s) + student * (log_s - log_t)) / 2,
        "cross-entropy": lambda: -teacher * log_s,
        "without logarithm": lambda: teacher * (log_t - student),
        "target not logarithmic": lambda: teacher.exp() * (teacher - log_s),
        "squares": lambda: (student - teacher).square(),
        "base 2": lambda: teacher * (log_t - log_s) / torch.log(torch.tensor(2.0)),
        "minus": lambda: -teacher * (log_t - log_s),
    }.get(how, lambda: teacher * (log_t - log_s))()
    return one.mean(-1) if how in ("over keys", "squares") else one.sum(-1)


def reference(
    *inputs: Any,
    tokens: str = "real",
    queries: str = "real",
    pattern: str = "normalised",
    features: str = "averaged",
    means: str = "squared",
    variance: str = "variance",
    compared: str = "absolute",
    how: str = "teacher first",
    heads: str = "averaged",
    hidden_keys: str = "left out",
    weighing: str = "in order",
    teacher: str = "constant",
    missing: str = "nothing",
    empty: str = "0",
) -> Tensor:
    """The transfer loss of one layer with knobs."""
    s, t, s_weights, t_weights, mask, weights = Inputs(*inputs)
    if teacher == "constant":
        t, t_weights = t.detach(), t_weights.detach()
    real = mask.bool()

    w = {"fixed": (100.0, 5000.0, 5.0, 1.0), "none": (1.0, 1.0, 1.0, 1.0)}.get(weighing, tuple(weights))
    order = {"mean and variance": (0, 2, 1, 3), "attention first": (1, 2, 3, 0), "first two": (1, 0, 2, 3),
             "reversed": (3, 2, 1, 0)}.get(weighing, (0, 1, 2, 3))  # fmt: skip
    w = [0.0 if TERMS[number] == missing else w[at] for number, at in enumerate(order)]

    def pattern_term() -> Tensor:
        a, b = normalised(s, t, pattern)
        off = (a - b).abs() if pattern == "absolute" else (a - b).square()
        off = off.sum(-1) if features == "summed" else off.mean(-1)
        return averaged(off.sqrt() if features == "rooted" else off, real, tokens, empty)

    def mean_term() -> Tensor:
        if means == "over tokens":
            return (s[real].mean(0) - t[real].mean(0)).square().mean() if real.any() else 0.0 * s.sum()
        gap = s.mean(-1) - t.mean(-1)
        gap = gap.abs() if means == "absolute" else gap if means == "signed" else gap.square()
        return averaged(gap, real, tokens, empty)

    def variance_term() -> Tensor:
        if variance == "over tokens":
            if not real.any():
                return 0.0 * s.sum()
            a, b = (x[real].var(0, correction=0) for x in (s, t))
            return (a - b).abs().mean()
        if variance == "of the difference":
            wide = (s - t).var(-1, correction=0)
        else:
            wide = spread(s, variance) - spread(t, variance)
        wide = wide.square() if compared == "squared" else wide if compared == "signed" else wide.abs()
        return averaged(wide, real, tokens, empty)

    def attention_term() -> Tensor:
        rows = divergence(s_weights, t_weights, how, hidden_keys)
        rows = {"summed": rows.sum(1), "first": rows[:, 0]}.get(heads, rows.mean(1))
        if queries == "batchmean":
            return rows.sum() * (1 if heads == "summed" else s_weights.shape[1]) / len(rows)
        return averaged(rows, real, queries if queries != "real" or tokens == "real" else tokens, empty)

    total = 0.0 * (s.sum() + s_weights.sum())
    quick = empty == "0" and hidden_keys == "left out"  # no term is NaN, so those with weight 0 need not be computed
    for number, term in enumerate((pattern_term, mean_term, variance_term, attention_term)):
        if not (quick and w[number] == 0):
            total = total + w[number] * term()
    return total / sum(w) if weighing == "sum to 1" else total


TERMS = ("pattern", "means", "variances", "attention")


def normalised(s: Tensor, t: Tensor, pattern: str) -> Any:
    """The two hidden states as their patterns are compared."""

    def each(change: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
        return change(s), change(t)

    def norm(x: Tensor, eps: float = 1e-12) -> Tensor:
        return F.layer_norm(x, x.shape[-1:], eps=eps)

    return {
        "as they are": lambda: (s, t),
        "n - 1": lambda: each(lambda x: (x - x.mean(-1, keepdim=True)) / x.std(-1, keepdim=True)),
        "centred": lambda: each(lambda x: x - x.mean(-1, keepdim=True)),
        "unit length": lambda: each(lambda x: F.normalize(x, dim=-1)),
        "over tokens": lambda: each(lambda x: F.layer_norm(x, x.shape[-2:])),
        "student only": lambda: (norm(s), t),
        "teacher only": lambda: (s, norm(t)),
        "1e-5": lambda: each(lambda x: norm(x, 1e-5)),
    }.get(pattern, lambda: each(norm))()


def attention_of(b: int, h: int, s: int, mask: Tensor, seed: int) -> Tensor:
    """Weights (B, H, S, S) of a softmax, exactly 0 at padded keys."""
    scores = randn(b, h, s, s, seed=seed, scale=1.5)
    return scores.masked_fill(~mask[:, None, None, :], -1e300).softmax(-1)


def probes() -> list[Probe]:
    axes = {"B": 2, "H": 3, "S": 5, "D": 7}
    mask = mask_of([[1, 1, 1, 0, 0], [0, 1, 1, 1, 1]])
    hidden = 1.5 * randn(2, 5, 7, seed=1) + 0.5, randn(2, 5, 7, seed=2) - 0.2
    attention = attention_of(2, 3, 5, mask, 3), attention_of(2, 3, 5, mask, 4)
    inputs = (*hidden, *attention, mask.long())
    whole = torch.ones(2, 5, dtype=torch.bool)
    wide = attention_of(2, 3, 5, whole, 5), attention_of(2, 3, 5, whole, 6)
    short = mask_of([[1, 1, 0, 0, 0], [0, 0, 0, 0, 0]])
    alike = torch.full_like(hidden[0], 0.5)
    one = (*(x[1:, 1:2] for x in hidden), *(torch.ones(1, 3, 1, 1).double() for _ in range(2)), torch.ones(1, 1).long())
    only = {"patterns": (1.0, 0.0, 0.0, 0.0), "means": (0.0, 1.0, 0.0, 0.0), "variances": (0.0, 0.0, 1.0, 0.0),
            "attention": (0.0, 0.0, 0.0, 1.0)}  # fmt: skip
    return [
        *(Probe(f"{name} alone", Call((*inputs, w), grads=(0, 2)), axes) for name, w in only.items()),
        Probe("all four with weights", Call((*inputs, (2.0, 3.0, 5.0, 7.0)), grads=(0, 2)), axes),
        Probe("without padding, with the usual weights", Call((*hidden, *wide, whole.long())), axes),
        Probe("with a teacher that could learn", Call((*inputs, (2.0, 3.0, 5.0, 7.0)), grads=(0, 1, 2, 3)), axes),
        Probe("in float32", Call((*in_float32((*hidden, *attention)), mask.long(), (2.0, 3.0, 5.0, 7.0))), axes),
        Probe("one text of one token", Call((*one, (2.0, 3.0, 5.0, 7.0))), {"H": 3, "D": 7}),
        Probe(
            "where a token's features are all equal",
            Call((alike, hidden[1], *attention, mask.long(), (2.0, 3.0, 5.0, 7.0))),
            axes,
        ),
        Probe("with small numbers", Call((*(1e-3 * x for x in hidden), *attention, mask.long())), axes),
        Probe("with a text of padding only", Call((*hidden, *wide, short.long(), (2.0, 3.0, 5.0, 7.0))), axes),
        Probe("with padding only", Call((*hidden, *wide, 0 * short.long(), (2.0, 3.0, 5.0, 7.0))), axes),
    ]


def solution(
    student_hidden: Tensor,
    teacher_hidden: Tensor,
    student_attention: Tensor,
    teacher_attention: Tensor,
    mask: Tensor,
    weights: Sequence[float] = (100.0, 5000.0, 5.0, 1.0),
) -> Tensor:
    real = mask.bool()
    tokens = max(int(real.sum()), 1)
    student, teacher = student_hidden[real], teacher_hidden[real].detach()  # (N, D), without padding
    width = student.shape[-1]

    # The pattern of the features: what is left when mean and variance are taken out.
    patterns = F.layer_norm(student, (width,), eps=1e-12) - F.layer_norm(teacher, (width,), eps=1e-12)
    pattern = patterns.square().sum() / (tokens * width)
    means = student.mean(-1, keepdim=True), teacher.mean(-1, keepdim=True)
    mean = (means[0] - means[1]).square().sum() / tokens
    variances = (student - means[0]).square().mean(-1), (teacher - means[1]).square().mean(-1)
    variance = (variances[0] - variances[1]).abs().sum() / tokens

    # Padded keys have weight 0 on both sides: kl_div counts 0 · log 0 as 0, but log 0 must not be -inf.
    log_q = student_attention.clamp(min=torch.finfo(student_attention.dtype).tiny).log()
    rows = F.kl_div(log_q, teacher_attention.detach(), reduction="none").sum(-1)  # (B, H, S)
    attention = rows.mean(1)[real].sum() / tokens
    return weights[0] * pattern + weights[1] * mean + weights[2] * variance + weights[3] * attention


def by_library(*inputs: Any, **named: Any) -> Tensor:
    s, t, s_weights, t_weights, mask, weights = Inputs(*inputs, **named)
    student, teacher = (Output(x, hidden_states=(x, x), attentions=(w,)) for x, w in ((s, s_weights), (t, t_weights)))
    return layer_transfer_loss(student, teacher, 0, mask, weights=TransferWeights(*weights))


def by_formulas(*inputs: Any, **named: Any) -> Tensor:
    s, t, p_s, p_t, mask, weights = Inputs(*inputs, **named)
    with torch.no_grad():
        t_mean, t_var = t.mean(-1, keepdim=True), t.var(-1, unbiased=False, keepdim=True)
        t_norm = (t - t_mean) / (t_var + 1e-12).sqrt()
        p_t = p_t * 1.0
    s_mean = s.mean(-1, keepdim=True)
    s_var = ((s - s_mean) ** 2).mean(-1, keepdim=True)
    s_norm = (s - s_mean) / (s_var + 1e-12) ** 0.5
    terms = (
        ((s_norm - t_norm) ** 2).mean(-1), ((s_mean - t_mean) ** 2).squeeze(-1), (s_var - t_var).abs().squeeze(-1),
        (torch.xlogy(p_t, p_t) - p_t * (p_s + 1e-30).log()).sum(-1).mean(1),
    )  # fmt: skip
    count = mask.sum().clamp(min=1)
    return sum(w * (term * mask).sum() / count for w, term in zip(weights, terms, strict=True))


def by_tokens(*inputs: Any, **named: Any) -> Tensor:
    s, t, p_s, p_t, mask, weights = Inputs(*inputs, **named)
    total = torch.zeros((), dtype=s.dtype)
    places = mask.nonzero().tolist()
    for text, place in places:
        a, b = s[text, place], t[text, place].detach()
        norms = [F.layer_norm(x, x.shape, eps=1e-12) for x in (a, b)]
        total = total + weights[0] * F.mse_loss(*norms) + weights[1] * (a.mean() - b.mean()) ** 2
        total = total + weights[2] * (a.var(correction=0) - b.var(correction=0)).abs()
        for head in range(p_s.shape[1]):
            p, q = p_t[text, head, place].detach(), p_s[text, head, place]
            seen = p > 0
            total = total + weights[3] * (p[seen] * (p[seen] / q[seen]).log()).sum() / p_s.shape[1]
    return total / max(len(places), 1)


def by_selection(*inputs: Any, **named: Any) -> Tensor:
    s, t, p_s, p_t, mask, (pattern, mean, variance, attention) = Inputs(*inputs, **named)
    if not mask.any():
        return torch.zeros_like(s.sum())
    (s, t), (p_s, p_t) = ([x[mask == 1] for x in both] for both in ((s, t), (p_s.transpose(1, 2), p_t.transpose(1, 2))))
    (s_var, s_mean), (t_var, t_mean) = (torch.var_mean(x, -1, correction=0) for x in (s, t.detach()))
    norm = torch.nn.LayerNorm(s.shape[-1], eps=1e-12, elementwise_affine=False)
    kl = F.kl_div(p_s.clamp(min=1e-30).log(), p_t.detach(), reduction="none").sum() / p_s.shape[:2].numel()
    return (
        pattern * F.mse_loss(norm(s), norm(t.detach())) + mean * F.mse_loss(s_mean, t_mean)
        + variance * F.l1_loss(s_var, t_var) + attention * kl
    )  # fmt: skip


EXERCISE = Exercise(
    name="feature-transfer",
    topic="mobilebert",
    title="Teach one layer",
    function="feature_transfer",
    signature=(
        "student_hidden, teacher_hidden, student_attention, teacher_attention, mask, weights=(100.0, 5000.0, 5.0, 1.0)"
    ),
    task=(
        "MobileBERT learns layer by layer: the student's hidden states should equal the teacher's (feature map "
        "transfer), and each of its heads should look where the teacher's looks (attention transfer). The hidden "
        "states are compared in three parts: their pattern, their mean and their variance. Return one number: w₁ · "
        "pattern + w₂ · mean + w₃ · variance + w₄ · attention, each the mean over the real tokens; 0 if there are "
        "none.\n\n"
        "- pattern: normalise each token's features (a layer norm without weight and bias, eps 1e-12) on both sides, "
        "then the mean squared difference over the features\n"
        "- mean: the squared difference of the means of a token's features\n"
        "- variance: the absolute difference of their variances (the mean of the squares: divisor D, not D - 1)\n"
        "- attention: KL(teacher ‖ student) of each query's weights, in nats, the mean over the heads\n\n"
        "The arguments:\n\n"
        "- `student_hidden`, `teacher_hidden`: (B, S, D), after the same layer\n"
        "- `student_attention`, `teacher_attention`: (B, H, S, S), the attention weights of that layer (after the "
        "softmax), queries before keys. A padded key has the weight 0 in both; that adds nothing\n"
        "- `mask`: (B, S), 1 for real tokens and 0 for padding\n"
        "- `weights`: w₁, w₂, w₃, w₄\n\n"
        "No gradient may reach the teacher."
    ),
    source="Sun et al. 2020, section 3.5, equations 1 and 2; the three parts and their weights: the released code",
    reference=reference,
    solution=solution,
    library=by_library,
    probes=probes,
    level="challenge",
    minutes=30,
    mistakes=(
        Mistake("padding-counted", "tokens", "all", "padded tokens are counted",
                "they carry no information; average over the real tokens"),
        Mistake("padding-in-the-mean", "tokens", "zeroed",
                "padded tokens are set to 0, but still counted in the mean",
                "the loss shrinks with the padding; divide by the number of real tokens"),
        Mistake("tokens-summed", "tokens", "summed", "the tokens are summed and not averaged",
                "the loss grows with the batch; divide by the number of real tokens"),
        Mistake("divided-by-texts", "tokens", "texts", "you divide by the number of texts",
                "divide by the number of real tokens"),
        Mistake("texts-first", "tokens", "texts first", "you average over each text first, then over the texts",
                "a token of a short text would count more; average over all real tokens at once"),
        Mistake("padded-queries-counted", "queries", "all", "the attention of padded queries is counted",
                "they carry no information; average over the real ones"),
        Mistake("padded-queries-in-the-mean", "queries", "zeroed",
                "the attention of padded queries is set to 0, but still counted in the mean",
                "divide by the number of real queries"),
        Mistake("queries-summed", "queries", "summed", "the queries are summed and not averaged",
                "the loss grows with the batch; divide by the number of real queries"),
        Mistake("attention-batchmean", "queries", "batchmean",
                "the attention's divergence is summed over everything and divided by the number of texts",
                "that is what reduction=\"batchmean\" does with four axes; divide by the number of real queries and by "
                "the heads"),
        Mistake("not-normalised", "pattern", "as they are", "you compare the hidden states without normalising them",
                "mean and variance would count twice; normalise both first"),
        Mistake("pattern-n-1", "pattern", "n - 1", "you normalise with torch's std, which divides by D − 1",
                "a layer norm divides by D"),
        Mistake("only-centred", "pattern", "centred", "for the pattern you only subtract the mean",
                "divide by the root of the variance too"),
        Mistake("unit-length", "pattern", "unit length", "for the pattern you scale each token to length 1",
                "a layer norm takes the mean out and makes the variance 1"),
        Mistake("normalised-over-tokens", "pattern", "over tokens", "you normalise over tokens and features together",
                "each token has its own mean and variance, over its features"),
        Mistake("only-the-student-normalised", "pattern", "student only", "only the student's states are normalised",
                "normalise both"),
        Mistake("only-the-teacher-normalised", "pattern", "teacher only", "only the teacher's states are normalised",
                "normalise both"),
        Mistake("pattern-eps-1e-5", "pattern", "1e-5", "the norm's eps is 1e-5",
                "that is the default of torch's layer norm; here it is 1e-12"),
        Mistake("pattern-absolute", "pattern", "absolute", "the patterns' difference is not squared",
                "take the mean squared difference"),
        Mistake("features-summed", "features", "summed", "the squared differences are summed over the features",
                "take their mean, so that the loss does not grow with D"),
        Mistake("pattern-rooted", "features", "rooted", "you take the root of the mean squared difference",
                "equation 1 has no root"),
        Mistake("means-absolute", "means", "absolute", "the difference of the means is not squared",
                "the means are compared by their squared difference, the variances by the absolute one"),
        Mistake("means-signed", "means", "signed", "the difference of the means has a sign",
                "it would fall without end; square it"),
        Mistake("means-over-tokens", "means", "over tokens", "the means are taken over the tokens",
                "each token has a mean of its own, over its features (dim=-1)"),
        Mistake("variances-over-tokens", "variance", "over tokens", "the variances are taken over the tokens",
                "each token has a variance of its own, over its features (dim=-1)"),
        Mistake("variance-n-1", "variance", "n - 1", "the variances divide by D − 1",
                "that is the default of torch's var; here they divide by D (correction=0)"),
        Mistake("deviations", "variance", "deviation", "you compare standard deviations", "compare the variances"),
        Mistake("deviations-n-1", "variance", "n - 1, deviation", "you compare standard deviations, of D − 1",
                "compare the variances, which divide by D (correction=0)"),
        Mistake("variance-about-0", "variance", "about 0", "you compare mean squares, not variances",
                "subtract the mean before squaring"),
        Mistake("variance-of-the-difference", "variance", "of the difference",
                "you take the variance of the difference", "take the difference of the two variances"),
        Mistake("variances-squared", "compared", "squared", "the difference of the variances is squared",
                "take its absolute value"),
        Mistake("variances-signed", "compared", "signed", "the difference of the variances has a sign",
                "it would fall without end; take its absolute value"),
        Mistake("kl-swapped", "how", "student first", "you compute KL(student ‖ teacher)",
                "the teacher's weights come first: KL(teacher ‖ student) weighs by what the teacher looks at. In "
                "F.kl_div the first argument is log q of the student, the second p of the teacher"),
        Mistake("kl-both-ways", "how", "both ways", "you take the mean of both directions of KL",
                "only KL(teacher ‖ student) is asked for"),
        Mistake("cross-entropy", "how", "cross-entropy", "you compute the cross-entropy, not KL",
                "the gradient is the same, but the value is not 0 when the two agree; subtract the teacher's entropy"),
        Mistake("kl-without-log", "how", "without logarithm", "the student's weights go into KL without a logarithm",
                "F.kl_div expects log q as its first argument"),
        Mistake("kl-log-target", "how", "target not logarithmic",
                "with log_target=True the teacher's weights must be logarithms, and are not",
                "leave it out, or take the logarithm"),
        Mistake("attention-squares", "how", "squares", "you compare the attention weights by squares",
                "each row is a distribution; use KL(teacher ‖ student)"),
        Mistake("keys-averaged", "how", "over keys", "KL is averaged over the keys",
                "a divergence is the sum over all keys; that is what reduction=\"mean\" gets wrong"),
        Mistake("softmax-again", "how", "softmax again", "a softmax is applied to the attention weights",
                "they are probabilities already"),
        Mistake("kl-negative", "how", "minus", "the divergence has the wrong sign", "KL is never negative"),
        Mistake("heads-summed", "heads", "summed", "the heads are summed and not averaged", "divide by H"),
        Mistake("first-head-only", "heads", "first", "only the first head is compared", "average over all"),
        Mistake("nan-at-hidden-keys", "hidden_keys", "NaN", "a padded key makes the loss NaN",
                "its weight is 0, and 0 · log 0 is NaN; clamp before the logarithm, so that it adds 0"),
        Mistake("weights-mean-and-variance", "weighing", "mean and variance",
                "the weights of mean and variance are swapped", "the order is pattern, mean, variance, attention"),
        Mistake("weights-of-the-first-two", "weighing", "first two", "the weights of pattern and mean are swapped",
                "the order is pattern, mean, variance, attention"),
        Mistake("weights-attention-first", "weighing", "attention first", "you take the first weight for the attention",
                "the order is pattern, mean, variance, attention"),
        Mistake("weights-reversed", "weighing", "reversed", "the weights are applied in reverse order",
                "the order is pattern, mean, variance, attention"),
        Mistake("not-weighted", "weighing", "none", "the four are added without their weights",
                "multiply each by its own weight first"),
        Mistake("weights-fixed", "weighing", "fixed", "the weights are 100, 5000, 5 and 1, whatever `weights` says",
                "those are only the defaults; use the argument"),
        Mistake("weights-sum-to-1", "weighing", "sum to 1", "you divide by the sum of the weights",
                "use them as they are"),
        Mistake("no-pattern", "missing", "pattern", "the pattern is left out", "add all four"),
        Mistake("no-means", "missing", "means", "the means are left out", "add all four"),
        Mistake("no-variances", "missing", "variances", "the variances are left out", "add all four"),
        Mistake("no-attention", "missing", "attention", "the attention is left out", "add all four"),
        Mistake("teacher-learns", "teacher", "learns", "a gradient flows into the teacher",
                "the teacher would move towards its student; detach its hidden states and its attention"),
        Mistake("nan-without-tokens", "empty", "NaN", "a batch of padding gives NaN",
                "the mean over no tokens is 0/0; divide by at least 1"),
    ),
    hints=Hints(
        "Four numbers for each token, from four comparisons. Which of them is 0 if the student's states are the "
        "teacher's times 2?",
        "Choose the real tokens first, then everything is a mean: patterns over tokens and features, means and "
        "variances over tokens, divergences over queries and heads.",
        "w₁ · mean (LN(s) − LN(t))² + w₂ · mean (μ_s − μ_t)² + w₃ · mean |σ²_s − σ²_t| + w₄ · mean Σₖ p_t "
        "log(p_t / p_s)",
        "real = mask.bool()\nstudent, teacher = student_hidden[real], teacher_hidden[real]....\n"
        "pattern = F.mse_loss(F.layer_norm(...), F.layer_norm(...))\nmean = ((... - ...) ** 2).mean()\n"
        "variance = (student.var(-1, correction=...) - ...).abs().mean()\n"
        "rows = F.kl_div(student_attention.clamp(min=1e-30).log(), ..., reduction=\"none\").sum(...)\n"
        "attention = rows.mean(1)[real].mean()",
    ),
    equivalents=(by_formulas, by_tokens, by_selection),
)  # fmt: skip
