"""Answers to the exercises on RoBERTa's positions and MobileBERT, as learners write them."""

# ruff: noqa: RUF059
from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F
from trial_answers import right, wrong

# ---------------------------------------------------------------------------------------- roberta-positions


@right("roberta-positions")
def positions_as_fairseq(input_ids, padding_idx=1):
    mask = input_ids.ne(padding_idx).int()
    return (torch.cumsum(mask, dim=1).type_as(mask) * mask).long() + padding_idx


@right("roberta-positions")
def positions_by_where(input_ids, padding_idx=1):
    pad = input_ids == padding_idx
    counted = (~pad).cumsum(-1) + padding_idx
    return torch.where(pad, torch.full_like(input_ids, padding_idx), counted)


@right("roberta-positions")
def positions_by_list(input_ids, padding_idx=1):
    out = []
    for row in input_ids:
        n, new = padding_idx, []
        for token in row:
            if token == padding_idx:
                new.append(padding_idx)
            else:
                n += 1
                new.append(n)
        out.append(new)
    return torch.tensor(out)


@right("roberta-positions")
def positions_by_masked_fill(input_ids, padding_idx=1):
    counted = torch.cumsum((input_ids != padding_idx).to(torch.int64), 1)
    return (counted + padding_idx).masked_fill(input_ids == padding_idx, padding_idx)


@wrong("roberta-positions", "BERT")
def positions_as_bert(input_ids, padding_idx=1):
    return torch.arange(input_ids.size(1)).expand_as(input_ids)


@wrong("roberta-positions", "padding")
def positions_shifted(input_ids, padding_idx=1):
    b, s = input_ids.shape
    return torch.arange(padding_idx + 1, padding_idx + 1 + s).unsqueeze(0).repeat(b, 1)


@wrong("roberta-positions", "padding gets the position of|goes on|counted on")
def positions_no_mask(input_ids, padding_idx=1):
    return (input_ids != padding_idx).cumsum(1) + padding_idx


@wrong("roberta-positions", "from 1|padding_idx")
def positions_without_offset(input_ids, padding_idx=1):
    m = (input_ids != padding_idx).long()
    return m.cumsum(1) * m


@wrong("roberta-positions", "position 0|gets 0|padding")
def positions_mask_last(input_ids, padding_idx=1):
    m = (input_ids != padding_idx).long()
    return (m.cumsum(1) + padding_idx) * m


@wrong("roberta-positions", "batch|texts")
def positions_wrong_dim(input_ids, padding_idx=1):
    m = input_ids.ne(padding_idx).long()
    return torch.cumsum(m, dim=0) * m + padding_idx


@wrong("roberta-positions", "position padding_idx|one after|first real token")
def positions_one_less(input_ids, padding_idx=1):
    m = input_ids.ne(padding_idx)
    pos = m.cumsum(1) - 1 + padding_idx
    return pos.masked_fill(~m, padding_idx)


@wrong("roberta-positions", "not padding|wrong way|padding and not")
def positions_inverted(input_ids, padding_idx=1):
    m = (input_ids == padding_idx).long()
    return m.cumsum(1) * m + padding_idx


@wrong("roberta-positions", "id 0|always|padding")
def positions_pad_zero(input_ids, padding_idx=1):
    m = (input_ids != 0).long()
    return m.cumsum(1) * m + padding_idx


@wrong("roberta-positions", "padding.*front|places|number")
def positions_arange_masked(input_ids, padding_idx=1):
    pos = torch.arange(input_ids.shape[1])[None] + padding_idx + 1
    return torch.where(input_ids == padding_idx, padding_idx, pos)


@wrong("roberta-positions", "float")
def positions_float(input_ids, padding_idx=1):
    m = (input_ids != padding_idx).float()
    return m.cumsum(1) * m + padding_idx


@wrong("roberta-positions", "1|always|default")
def positions_hard_coded(input_ids, padding_idx=1):
    m = input_ids.ne(1).long()
    return m.cumsum(1) * m + 1


@wrong("roberta-positions", "how many|number of real|front|lengths")
def positions_by_length(input_ids, padding_idx=1):
    out = torch.full_like(input_ids, padding_idx)
    for i, n in enumerate((input_ids != padding_idx).sum(1).tolist()):
        out[i, :n] = torch.arange(padding_idx + 1, padding_idx + 1 + n)
    return out


@wrong("roberta-positions", "in place|argument|changes")
def positions_in_place(input_ids, padding_idx=1):
    m = input_ids != padding_idx
    counted = m.cumsum(1) + padding_idx
    input_ids[m] = counted[m]
    return input_ids


# -------------------------------------------------------------------------------------------------- no-norm


@right("no-norm")
def no_norm_swapped(x, weight, bias):
    return bias + weight * x


@right("no-norm")
def no_norm_einsum(x, weight, bias):
    return torch.einsum("...d,d->...d", x, weight) + bias


@right("no-norm")
def no_norm_views(x, weight, bias):
    shape = [1] * (x.dim() - 1) + [-1]
    return x.mul(weight.view(shape)).add(bias.view(shape))


@right("no-norm")
def no_norm_as_linear(x, weight, bias):
    return x @ torch.diag_embed(weight) + bias


@wrong("no-norm", "layer norm")
def no_norm_layer_norm(x, weight, bias):
    return F.layer_norm(x, (x.size(-1),), weight, bias)


@wrong("no-norm", "layer norm|mean")
def no_norm_layer_norm_12(x, weight, bias):
    mu = x.mean(-1, keepdim=True)
    var = x.var(-1, keepdim=True, unbiased=False)
    return (x - mu) / torch.sqrt(var + 1e-12) * weight + bias


@wrong("no-norm", "standard deviation|std")
def no_norm_std(x, weight, bias):
    x = (x - x.mean(dim=-1, keepdim=True)) / (x.std(dim=-1, keepdim=True) + 1e-12)
    return weight * x + bias


@wrong("no-norm", "bias")
def no_norm_scale_only(x, weight, bias):
    return x * weight


@wrong("no-norm", "before scaling|bias is added before")
def no_norm_brackets(x, weight, bias):
    return weight * (x + bias)


@wrong("no-norm", "1 \\+ weight|added back")
def no_norm_residual(x, weight, bias):
    return x + (x * weight + bias)


@wrong("no-norm", "matrix|dot product|sum|axis")
def no_norm_matmul(x, weight, bias):
    return torch.matmul(x, weight) + bias


@wrong("no-norm", "root mean square|RMS")
def no_norm_rms(x, weight, bias):
    return x * torch.rsqrt((x * x).mean(-1, keepdim=True) + 1e-12) * weight + bias


@wrong("no-norm", "exchanged")
def no_norm_exchanged(x, weight, bias):
    return x * bias + weight


@wrong("no-norm", "gradient|Parameter")
def no_norm_parameters(x, weight, bias):
    w, b = nn.Parameter(weight), nn.Parameter(bias)
    return x * w + b


@wrong("no-norm", "gradient|no_grad")
def no_norm_no_grad(x, weight, bias):
    with torch.no_grad():
        return x * weight + bias


@wrong("no-norm", "weight and bias|left out|returned as it is|`x`")
def no_norm_nothing(x, weight, bias):
    return x


@wrong("no-norm", "in place")
def no_norm_in_place(x, weight, bias):
    x.data.mul_(weight.data)
    return x + bias


@wrong("no-norm", "three axes|another number of axes|axes")
def no_norm_three_axes(x, weight, bias):
    b, s, d = x.shape
    return x * weight.view(1, 1, d) + bias.view(1, 1, d)


@wrong("no-norm", "ReLU")
def no_norm_relu(x, weight, bias):
    return torch.relu(x * weight + bias)


# -------------------------------------------------------------------------------------------------- trigram


@right("trigram")
def trigram_by_pad(x):
    p = F.pad(x, (0, 0, 1, 1), value=0.0)
    s = x.size(1)
    return torch.cat((p[:, 2 : s + 2], p[:, 1 : s + 1], p[:, :s]), dim=2)


@right("trigram")
def trigram_as_transformers(x):
    return torch.cat([F.pad(x[:, 1:], [0, 0, 0, 1, 0, 0], value=0.0), x, F.pad(x[:, :-1], [0, 0, 1, 0, 0, 0])], dim=2)


@right("trigram")
def trigram_filled(x):
    b, s, e = x.shape
    out = torch.zeros(b, s, 3 * e, dtype=x.dtype)
    out[:, :-1, :e] = x[:, 1:]
    out[:, :, e : 2 * e] = x
    out[:, 1:, 2 * e :] = x[:, :-1]
    return out


@right("trigram")
def trigram_by_gather(x):
    b, s, e = x.shape
    with_zero = torch.cat([x, x.new_zeros(b, 1, e)], dim=1)
    at = torch.arange(s)
    index = torch.stack([at + 1, at, torch.where(at > 0, at - 1, s)], dim=1)
    return with_zero[:, index].reshape(b, s, 3 * e)


@wrong("trigram", "previous token comes first|order")
def trigram_natural_order(x):
    p = F.pad(x, (0, 0, 1, 1))
    return torch.cat([p[:, :-2], x, p[:, 2:]], dim=-1)


@wrong("trigram", "around|roll|first token sees")
def trigram_rolled(x):
    return torch.cat([torch.roll(x, -1, 1), x, torch.roll(x, 1, 1)], dim=-1)


@wrong("trigram", "features are shifted|features")
def trigram_pads_features(x):
    p = F.pad(x, (1, 1))
    return torch.cat([p[..., 2:], x, p[..., :-2]], dim=-1)


@wrong("trigram", "texts|batch")
def trigram_without_batch(x):
    z = torch.zeros_like(x[:1])
    return torch.cat([torch.cat([x[1:], z]), x, torch.cat([z, x[:-1]])], -1)


@wrong("trigram", "repeat")
def trigram_replicated(x):
    return torch.cat([torch.cat([x[:, 1:], x[:, -1:]], 1), x, torch.cat([x[:, :1], x[:, :-1]], 1)], -1)


@wrong("trigram", "alternate|interleaved|E features")
def trigram_unfolded(x):
    b, s, e = x.shape
    return F.pad(x, (0, 0, 1, 1)).unfold(1, 3, 1).flip(-1).reshape(b, s, 3 * e)


@wrong("trigram", "along the text")
def trigram_joined_along_s(x):
    z = torch.zeros(x.shape[0], 1, x.shape[2], dtype=x.dtype)
    return torch.cat([torch.cat([x[:, 1:], z], 1), x, torch.cat([z, x[:, :-1]], 1)], 1)


@wrong("trigram", "stack|another shape")
def trigram_stacked(x):
    p = F.pad(x, (0, 0, 1, 1))
    return torch.stack([p[:, 2:], x, p[:, :-2]], dim=-1)


@wrong("trigram", "added|sum")
def trigram_added(x):
    p = F.pad(x, (0, 0, 1, 1))
    return p[:, 2:] + x + p[:, :-2]


@wrong("trigram", "detach")
def trigram_float_zeros(x):
    b, s, e = x.shape
    out = torch.zeros(b, s, 3 * e)
    for i in range(s):
        if i + 1 < s:
            out[:, i, :e] = x[:, i + 1]
        out[:, i, e : 2 * e] = x[:, i]
        if i > 0:
            out[:, i, 2 * e :] = x[:, i - 1].detach()
    return out


@wrong("trigram", "last token comes before the first|around")
def trigram_negative_index(x):
    b, s, e = x.shape
    rows = []
    for i in range(s):
        after = x[:, i + 1] if i + 1 < s else torch.zeros_like(x[:, 0])
        rows.append(torch.cat([after, x[:, i], x[:, i - 1]], dim=-1))
    return torch.stack(rows, dim=1)


@wrong("trigram", "end|axis|does not fit|out of bounds|larger")
def trigram_past_the_end(x):
    b, s, e = x.shape
    rows = [torch.cat([x[:, i + 1], x[:, i], x[:, i - 1]], dim=-1) for i in range(s)]
    return torch.stack(rows, dim=1)


@wrong("trigram", "left out|cut")
def trigram_shortened(x):
    return torch.cat([x[:, 2:], x[:, 1:-1], x[:, :-2]], dim=-1)


@wrong("trigram", "flatten|text sees")
def trigram_flat(x):
    b, s, e = x.shape
    flat = x.reshape(b * s, e)
    z = flat.new_zeros(1, e)
    return torch.cat([torch.cat([flat[1:], z]), flat, torch.cat([z, flat[:-1]])], -1).view(b, s, 3 * e)
