"""Which positions a token sees, in the form that transformers' models take: one mask, or one for each kind of layer."""

from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

ATTENTIONS = {"full_attention", "sliding_attention"}  # kinds of layer whose cache is keys and values by position


def layer_kinds(config: Any) -> tuple[str, ...] | None:
    """None when the architecture has but one. config: the text model's."""
    kinds = getattr(config, "layer_types", None)
    return tuple(sorted(set(kinds))) if kinds else None


def foreign_kind(network: PreTrainedModel) -> str | None:
    """A kind of layer that needs another kind of cache than keys and values; None when there is none.

    This alone decides whether the engine decodes a base, and whether completions are drawn through our cache, which
    shares prompts and leaves out rows that have ended.
    """
    found = foreign_kind_in(network.config.get_text_config())
    return found or ("recurrent" if network._is_stateful else None)


def foreign_kind_in(config: Any) -> str | None:
    """config: the text model's. It does not name the layers of every recurrent architecture."""
    kinds = layer_kinds(config)
    if getattr(config, "attention_chunk_size", None) is not None and kinds is None:
        return "chunked_attention"
    return next(iter(sorted({*(kinds or ())} - ATTENTIONS)), None)


def for_layers(config: Any, dtype: torch.dtype, allowed_B1TW: Tensor) -> Tensor | dict[str, Tensor]:
    """As transformers' own `create_masks_for_generate` gives them; layers with a window see no farther than it."""
    kinds = layer_kinds(config)
    window = getattr(config, "sliding_window", None)
    full = additive(allowed_B1TW, dtype)
    if kinds is None and window is None:
        return full
    if window is None or allowed_B1TW.shape[-1] <= window:
        near = full
    else:
        near = additive(allowed_B1TW & within(window, allowed_B1TW), dtype)
    if kinds is None:
        return near
    return {kind: near if kind == "sliding_attention" else full for kind in kinds}


def additive(allowed_B1TW: Tensor, dtype: torch.dtype) -> Tensor:
    return torch.zeros_like(allowed_B1TW, dtype=dtype).masked_fill_(~allowed_B1TW, torch.finfo(dtype).min)


def within(window: int, allowed_B1TW: Tensor) -> Tensor:
    """Columns that lie at most window - 1 positions back. A row's last visible column is its token's own."""
    columns_W = torch.arange(allowed_B1TW.shape[-1], device=allowed_B1TW.device)
    last_B1T1 = torch.where(allowed_B1TW, columns_W, -1).amax(-1, keepdim=True)
    return columns_W > last_B1T1 - window


def behind_padding(columns_T: Tensor, width: int, pads_P: Tensor) -> Tensor:
    """allowed_P1TW for prompts padded on the left: what came before and is no padding.

    Padding sees itself, so that no softmax is empty.
    """
    seen_W = torch.arange(width, device=columns_T.device)
    before_TW = seen_W <= columns_T[:, None]
    itself_TW = seen_W == columns_T[:, None]
    real_PW = seen_W >= pads_P[:, None]
    return ((before_TW & real_PW[:, None]) | itself_TW)[:, None]
