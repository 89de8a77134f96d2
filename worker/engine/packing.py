"""Weights of linear layers in the order in which a CPU reads them fastest.

A decode step multiplies a few rows with every weight of the model, and for a plain matrix oneDNN puts it in order
anew at each call; packed, it is in order. The operators are those of torch's own compiler, for weights that it freezes;
torch has no public name for them. Where they are missing, the plain matrix serves.
"""

import torch
from torch import Tensor

ROWS = 16  # of a batch that the order is chosen for; others are right too


def packed(weight_OD: Tensor) -> Tensor | None:
    """An opaque tensor for `linear`; None where this torch or this CPU cannot do it."""
    try:
        return torch.ops.mkldnn._reorder_linear_weight(weight_OD.detach(), ROWS)  # type: ignore[no-any-return]
    except (AttributeError, RuntimeError):  # no such operator; not for this type or this CPU
        return None


def linear(x_BTD: Tensor, packed: Tensor, bias_O: Tensor | None) -> Tensor:
    """As torch.nn.functional.linear with the weight that was packed."""
    return torch.ops.mkldnn._linear_pointwise(x_BTD, packed, bias_O, "none", [], "")  # type: ignore[no-any-return]
