"""Which words a prediction of XLNet depends on, found by its gradients: those before it in the factorisation order.

No training is needed to see it, as the masks decide it and not the weights. Source: Yang et al. 2019, section 2.3.
"""

from __future__ import annotations

import torch
from torch import Tensor

from minibert.model import Model
from minibert.training.permutation import order_mask, targets


def depends_on(model: Model, input_ids: Tensor, order: Tensor) -> Tensor:
    """Whether the prediction of token i depends on token j, for every pair of a text's tokens: (S, S) booleans.

    It does if the query stream's last vector at i has a gradient with respect to the word embedding of j that is not
    exactly 0. model: an XLNet without a head. input_ids: (1, S). order: (1, S), the numbers of a factorisation order.
    """
    every = torch.ones_like(input_ids, dtype=torch.bool)
    embedded = model.word_embeddings(input_ids).detach().requires_grad_()
    handle = model.word_embeddings.register_forward_hook(lambda *_: embedded)
    try:
        mapping = targets(input_ids, every)["target_mapping"]
        predicting = model(input_ids, perm_mask=order_mask(order), target_mapping=mapping).query_state[0]
    finally:
        handle.remove()
    # A weighted sum, because the sum of a vector that was normalised is always the same.
    weights = torch.linspace(-1, 2, predicting.shape[-1])
    rows = [torch.autograd.grad((vector * weights).sum(), embedded, retain_graph=True)[0] for vector in predicting]
    return torch.stack([row[0].ne(0).any(dim=-1) for row in rows])
