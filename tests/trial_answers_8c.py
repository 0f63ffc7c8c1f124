"""Answers to the exercise on MobileBERT's knowledge transfer, as learners write them."""

from __future__ import annotations

import torch
from torch.nn import functional as F
from trial_answers import right, wrong

USUAL = (100.0, 5000.0, 5.0, 1.0)


def means_and_variances(h):
    return h.mean(-1), h.var(-1, unbiased=False)


def normed(h):
    return F.layer_norm(h, (h.shape[-1],), eps=1e-12)


def heads_kl(p_s, p_t):
    return (p_t * (torch.log(p_t + 1e-12) - torch.log(p_s + 1e-12))).sum(-1)


@right("feature-transfer")
def transfer_masked(s_h, t_h, s_a, t_a, mask, weights=USUAL):
    m = mask.to(s_h.dtype)
    n = m.sum().clamp(min=1)
    t, p_t = t_h.detach(), t_a.detach()
    (ms, vs), (mt, vt) = means_and_variances(s_h), means_and_variances(t)
    l1 = (((normed(s_h) - normed(t)) ** 2).mean(-1) * m).sum() / n
    l2 = ((ms - mt) ** 2 * m).sum() / n
    l3 = ((vs - vt).abs() * m).sum() / n
    l4 = (heads_kl(s_a, p_t).mean(1) * m).sum() / n
    return weights[0] * l1 + weights[1] * l2 + weights[2] * l3 + weights[3] * l4


@right("feature-transfer")
def transfer_if_empty(s_h, t_h, s_a, t_a, mask, weights=USUAL):
    keep = mask.bool()
    if keep.sum() == 0:
        return 0.0 * s_h.sum()
    s, t = s_h[keep], t_h[keep].detach()
    loss = weights[0] * F.mse_loss(normed(s), normed(t))
    loss += weights[1] * F.mse_loss(s.mean(-1), t.mean(-1))
    loss += weights[2] * F.l1_loss(s.var(-1, correction=0), t.var(-1, correction=0))
    a = s_a.permute(0, 2, 1, 3)[keep].clamp_min(1e-20)
    b = t_a.permute(0, 2, 1, 3)[keep].detach()
    kl = F.kl_div(a.log(), b, reduction="sum") / (a.shape[0] * a.shape[1])
    return loss + weights[3] * kl


@right("feature-transfer")
def transfer_by_heads(s_h, t_h, s_a, t_a, mask, weights=USUAL):
    n = max(mask.sum().item(), 1)
    t = t_h.detach()
    cs, ct = s_h - s_h.mean(-1, True), t - t.mean(-1, True)
    vs, vt = cs.pow(2).mean(-1, True), ct.pow(2).mean(-1, True)
    pattern = (cs * torch.rsqrt(vs + 1e-12) - ct * torch.rsqrt(vt + 1e-12)).pow(2).mean(-1)
    total = weights[0] * pattern + weights[1] * (s_h.mean(-1) - t.mean(-1)) ** 2
    total = total + weights[2] * (vs - vt).abs().squeeze(-1)
    h = s_a.shape[1]
    for i in range(h):
        q, p = s_a[:, i], t_a[:, i].detach()
        ratio = torch.where(p > 0, p / q.masked_fill(p == 0, 1.0), torch.ones_like(p))
        total = total + weights[3] / h * (p * ratio.log()).sum(-1)
    return (total * mask).sum() / n


@right("feature-transfer")
def transfer_by_xlogy(s_h, t_h, s_a, t_a, mask, weights=USUAL):
    with torch.no_grad():
        tn, (tm, tv) = normed(t_h), means_and_variances(t_h)
        pt = t_a.clone()
    sm, sv = means_and_variances(s_h)
    each = torch.stack(
        [
            F.mse_loss(normed(s_h), tn, reduction="none").mean(-1),
            F.mse_loss(sm, tm, reduction="none"),
            F.l1_loss(sv, tv, reduction="none"),
            (torch.xlogy(pt, pt) - pt * s_a.clamp(min=1e-38).log()).sum(-1).mean(1),
        ]
    )
    each = each * mask
    return (each.sum((1, 2)) / mask.sum().clamp(min=1) * torch.tensor(weights, dtype=each.dtype)).sum()


def transfer(s, t, a, b, mask, w, *, keep=None, kl=None, pattern=None, mean=None, variance=None):
    """The loss from parts, of which a wrong answer gives one or two of its own."""
    keep = mask.bool() if keep is None else keep
    s, t = s[keep], t[keep].detach()
    n = max(len(s), 1)
    l1 = ((normed(s) - normed(t)) ** 2).sum() / (n * s.shape[-1]) if pattern is None else pattern(s, t)
    l2 = ((s.mean(-1) - t.mean(-1)) ** 2).sum() / n if mean is None else mean(s, t)
    l3 = (s.var(-1, correction=0) - t.var(-1, correction=0)).abs().sum() / n if variance is None else variance(s, t)
    l4 = heads_kl(a, b.detach()).mean(1)[keep].sum() / n if kl is None else kl(a, b.detach())
    return w[0] * l1 + w[1] * l2 + w[2] * l3 + w[3] * l4


@wrong("feature-transfer", "NaN|log 0")
def transfer_plain_log(s, t, a, b, mask, weights=USUAL):
    def kl(q, p):
        return (p * (p / q).log()).sum(-1).mean(1)[mask.bool()].mean()

    return transfer(s, t, a, b, mask, weights, kl=kl)


@wrong("feature-transfer", "student ‖ teacher|swapped")
def transfer_swapped(s, t, a, b, mask, weights=USUAL):
    def kl(q, p):
        rows = F.kl_div((p + 1e-12).log(), q, reduction="none").sum(-1)
        return rows.mean(1)[mask.bool()].sum() / mask.sum().clamp(min=1)

    return transfer(s, t, a, b, mask, weights, kl=kl)


@wrong("feature-transfer", "number of texts|batchmean|heads")
def transfer_batchmean(s, t, a, b, mask, weights=USUAL):
    def kl(q, p):
        return F.kl_div(q.clamp(min=1e-12).log(), p, reduction="batchmean")

    return transfer(s, t, a, b, mask, weights, kl=kl)


@wrong("feature-transfer", "pad")
def transfer_everything(s_h, t_h, s_a, t_a, mask, weights=USUAL):
    s, t = s_h, t_h.detach()
    loss = weights[0] * F.mse_loss(normed(s), normed(t)) + weights[1] * F.mse_loss(s.mean(-1), t.mean(-1))
    loss = loss + weights[2] * F.l1_loss(s.var(-1, correction=0), t.var(-1, correction=0))
    return loss + weights[3] * heads_kl(s_a, t_a.detach()).mean()


@wrong("feature-transfer", "normalis")
def transfer_equation_1(s, t, a, b, mask, weights=USUAL):
    return transfer(
        s, t, a, b, mask, weights,
        pattern=lambda s, t: ((s - t) ** 2).sum() / max(s.numel(), 1),
    )  # fmt: skip


@wrong("feature-transfer", "D − 1|divide")
def transfer_torch_var(s, t, a, b, mask, weights=USUAL):
    return transfer(
        s, t, a, b, mask, weights,
        variance=lambda s, t: (s.var(-1) - t.var(-1)).abs().sum() / max(len(s), 1),
    )  # fmt: skip


@wrong("feature-transfer", "variances is squared|variances")
def transfer_variance_squared(s, t, a, b, mask, weights=USUAL):
    return transfer(
        s, t, a, b, mask, weights,
        variance=lambda s, t: ((s.var(-1, correction=0) - t.var(-1, correction=0)) ** 2).sum() / max(len(s), 1),
    )  # fmt: skip


@wrong("feature-transfer", "root|deviation")
def transfer_deviations(s, t, a, b, mask, weights=USUAL):
    return transfer(
        s, t, a, b, mask, weights,
        variance=lambda s, t: (s.std(-1, correction=0) - t.std(-1, correction=0)).abs().sum() / max(len(s), 1),
    )  # fmt: skip


@wrong("feature-transfer", "heads are summed|heads")
def transfer_heads_summed(s, t, a, b, mask, weights=USUAL):
    def kl(q, p):
        rows = F.kl_div((q + 1e-12).log(), p, reduction="none").sum((1, 3))
        return (rows * mask).sum() / mask.sum().clamp(min=1)

    return transfer(s, t, a, b, mask, weights, kl=kl)


@wrong("feature-transfer", "teacher")
def transfer_teacher_not_detached(s, t, a, b, mask, weights=USUAL):
    m = mask.bool()
    if not m.any():
        return s.sum() * 0
    s, t, n = s[m], t[m], int(m.sum())
    loss = weights[0] * F.mse_loss(normed(s), normed(t)) + weights[1] * ((s.mean(-1) - t.mean(-1)) ** 2).mean()
    loss = loss + weights[2] * (s.var(-1, unbiased=False) - t.var(-1, unbiased=False)).abs().mean()
    return loss + weights[3] * (torch.xlogy(b, b) - b * (a + 1e-30).log()).sum(-1).mean(1)[m].sum() / n


@wrong("feature-transfer", "real tokens|padding gives NaN|0/0")
def transfer_mean_of_nothing(s, t, a, b, mask, weights=USUAL):
    m = mask.bool()
    rows = heads_kl(a, b.detach()).mean(1)[m].mean()
    s, t = s[m], t[m].detach()
    loss = weights[0] * F.mse_loss(normed(s), normed(t)) + weights[1] * F.mse_loss(s.mean(-1), t.mean(-1))
    return loss + weights[2] * F.l1_loss(s.var(-1, correction=0), t.var(-1, correction=0)) + weights[3] * rows


@wrong("feature-transfer", "divided by|pad")
def transfer_masked_then_mean(s, t, a, b, mask, weights=USUAL):
    """Everything is multiplied by the mask, and then the mean is taken."""
    m = mask.unsqueeze(-1)
    ns, nt = normed(s) * m, normed(t.detach()) * m
    means = (s.mean(-1) - t.detach().mean(-1)) ** 2 * mask
    variances = (s.var(-1, correction=0) - t.detach().var(-1, correction=0)).abs() * mask
    rows = heads_kl(a, b.detach()) * mask[:, None]
    return weights[0] * F.mse_loss(ns, nt) + weights[1] * means.mean() + weights[2] * variances.mean() + (
        weights[3] * rows.mean())  # fmt: skip


@wrong("feature-transfer", "weights|100, 5000")
def transfer_constants(s, t, a, b, mask, weights=USUAL):
    return transfer(s, t, a, b, mask, (100, 5000, 5, 1))


@wrong("feature-transfer", "squares|distribution|KL")
def transfer_attention_mse(s, t, a, b, mask, weights=USUAL):
    def kl(q, p):
        return ((q - p) ** 2).mean(-1).mean(1)[mask.bool()].sum() / mask.sum().clamp(min=1)

    return transfer(s, t, a, b, mask, weights, kl=kl)


@wrong("feature-transfer", "cross-entropy|entropy")
def transfer_soft_cross_entropy(s, t, a, b, mask, weights=USUAL):
    def kl(q, p):
        return -(p * (q + 1e-12).log()).sum(-1).mean(1)[mask.bool()].sum() / mask.sum().clamp(min=1)

    return transfer(s, t, a, b, mask, weights, kl=kl)


@wrong("feature-transfer", "logarithm|log q|log")
def transfer_kl_of_probabilities(s, t, a, b, mask, weights=USUAL):
    def kl(q, p):
        return F.kl_div(q, p, reduction="none").sum(-1).mean(1)[mask.bool()].sum() / mask.sum().clamp(min=1)

    return transfer(s, t, a, b, mask, weights, kl=kl)


@wrong("feature-transfer", "left out|attention")
def transfer_without_attention(s, t, a, b, mask, weights=USUAL):
    return transfer(s, t, a, b, mask, (*weights[:3], 0.0))


@wrong("feature-transfer", "summed over the features|features")
def transfer_features_summed(s, t, a, b, mask, weights=USUAL):
    return transfer(
        s, t, a, b, mask, weights, pattern=lambda s, t: ((normed(s) - normed(t)) ** 2).sum() / max(len(s), 1)
    )


@wrong("feature-transfer", "over the keys|keys")
def transfer_kl_mean(s, t, a, b, mask, weights=USUAL):
    def kl(q, p):
        rows = F.kl_div((q + 1e-12).log(), p, reduction="none").mean(-1).mean(1)
        return rows[mask.bool()].sum() / mask.sum().clamp(min=1)

    return transfer(s, t, a, b, mask, weights, kl=kl)


@wrong("feature-transfer", "variance of the difference|not squared|difference")
def transfer_of_differences(s, t, a, b, mask, weights=USUAL):
    return transfer(
        s, t, a, b, mask, weights,
        mean=lambda s, t: (s - t).mean(-1).abs().sum() / max(len(s), 1),
        variance=lambda s, t: (s - t).var(-1, correction=0).sum() / max(len(s), 1),
    )  # fmt: skip
