"""A forward pass over prompts and completions that reads a prompt once for all completions of it.

All tokens stand in one row without padding: every prompt once, but for its last token; then the completions, each
behind that last token, because what follows it differs. Linear layers see only that row. Attention shows a prompt's
keys and values to every completion of it. Log-probabilities and gradients are those of the padded batch, but for
rounding; dropout, where there is some, is drawn once for a prompt.
"""

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.masking_utils import sdpa_mask

from worker.engine import masks
from worker.training.data.supervised import IGNORED
from worker.training.model.attention import sdpa

ATTENTION = "sdpa_with_shared_prompts"  # its name in transformers' registry


@dataclass(frozen=True)
class Rows:
    """Sequences that stand one behind the other, as a rectangle padded on the right. real: which columns are tokens."""

    real: Tensor

    @classmethod
    def of(cls, lengths: Sequence[int], device: torch.device) -> "Rows":
        columns = torch.arange(max(lengths), device=device)
        return cls(columns < torch.tensor(lengths, device=device)[:, None])

    def padded(self, x_NHD: Tensor) -> Tensor:
        """(rows, heads, columns, size), 0 in the padding."""
        mask = self.real[..., None, None]
        return x_NHD.new_zeros(*self.real.shape, *x_NHD.shape[1:]).masked_scatter(mask, x_NHD).transpose(1, 2)

    def unpadded(self, x: Tensor) -> Tensor:
        """x: (rows, columns, …)."""
        return x[self.real]


@dataclass(frozen=True)
class Layout:
    """A row of N tokens: first U prompts, then B completions, T columns wide in the batch that this stands for.

    labels_N: the token that comes next; IGNORED in prompts. prompt_of_B: which prompt each completion belongs to.
    allowed_B1SW: what tokens of completions (S) see of their prompt's columns and their own.
    """

    ids_N: Tensor
    positions_N: Tensor
    labels_N: Tensor
    prompts: Rows
    completions: Rows
    prompt_of_B: Tensor
    allowed_B1SW: Tensor
    read: int  # tokens of the prompts
    width: int  # T

    @classmethod
    def of(
        cls, prompts: Sequence[Sequence[int]], completions: Sequence[Sequence[int]], width: int, device: torch.device
    ) -> "Layout":
        """prompts: one for each completion, none of them empty."""
        numbers = {prompt: number for number, prompt in enumerate(dict.fromkeys(map(tuple, prompts)))}
        read = [list(prompt[:-1]) for prompt in numbers]
        seen = [[prompt[-1], *ids][: len(ids)] for prompt, ids in zip(prompts, completions, strict=True)]
        begins = [0] * len(read) + [len(prompt) - 1 for prompt in prompts]
        tokens, count = [*read, *seen], sum(map(len, read))
        positions = [at for begin, ids in zip(begins, tokens, strict=True) for at in range(begin, begin + len(ids))]
        labels = [IGNORED] * count + [token for ids in completions for token in ids]
        prompt_rows, rows = (Rows.of([len(ids) for ids in part], device) for part in (read, seen))
        prompt_of_B = torch.tensor([numbers[tuple(prompt)] for prompt in prompts], device=device)
        columns_S = torch.arange(rows.real.shape[1], device=device)
        before_SS = columns_S <= columns_S[:, None]
        prompt_BSR = prompt_rows.real[prompt_of_B][:, None].expand(-1, len(columns_S), -1)
        return cls(
            ids_N=torch.tensor([token for ids in tokens for token in ids], device=device),
            positions_N=torch.tensor(positions, device=device),
            labels_N=torch.tensor(labels, device=device),
            prompts=prompt_rows,
            completions=rows,
            prompt_of_B=prompt_of_B,
            allowed_B1SW=torch.cat([prompt_BSR, before_SS.expand(len(prompts), -1, -1)], -1)[:, None],
            read=count,
            width=width,
        )

    def inputs(self) -> dict[str, Any]:
        """For a network with TRL's fused LM head, whose base was given to `allow`."""
        return {
            "input_ids": self.ids_N[None],
            "position_ids": self.positions_N[None],
            "attention_mask": self.ids_N.new_zeros(1, 1, 1, 1),  # of four dimensions: transformers makes none
            "shared_prompts": self,
            "shift_labels": self.labels_N[None],
            "fused_lm_head": True,
        }

    def by_completion(self, x_1N: Tensor) -> Tensor:
        """x_BT: what the network found where it chose each token of a completion; 0 in the padding."""
        x_B1S1 = self.completions.padded(x_1N[0, self.read :, None, None])
        return torch.nn.functional.pad(x_B1S1[:, 0, :, 0], (0, self.width - x_B1S1.shape[2]))


def attention(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    shared_prompts: Layout | None = None,
    **options: Any,
) -> tuple[Tensor, None]:
    """transformers' `sdpa`; with a layout, once for the prompts, and once for the completions behind theirs."""
    if shared_prompts is None:
        return sdpa(module, query, key, value, attention_mask, **options)
    layout, read = shared_prompts, shared_prompts.read
    q_NHD, k_NHD, v_NHD = (x_1HND.transpose(1, 2)[0] for x_1HND in (query, key, value))
    q_UHRD, k_UHRD, v_UHRD = (layout.prompts.padded(x_NHD[:read]) for x_NHD in (q_NHD, k_NHD, v_NHD))
    q_BHSD, k_BHSD, v_BHSD = (layout.completions.padded(x_NHD[read:]) for x_NHD in (q_NHD, k_NHD, v_NHD))
    k_BHWD = torch.cat([k_UHRD[layout.prompt_of_B], k_BHSD], 2)
    v_BHWD = torch.cat([v_UHRD[layout.prompt_of_B], v_BHSD], 2)
    said_BSHD, _ = sdpa(module, q_BHSD, k_BHWD, v_BHWD, layout.allowed_B1SW, **options)
    found_NHD = layout.completions.unpadded(said_BSHD)
    if read:
        read_URHD, _ = sdpa(module, q_UHRD, k_UHRD, v_UHRD, None, **options)
        found_NHD = torch.cat([layout.prompts.unpadded(read_URHD), found_NHD])
    return found_NHD[None], None


def allow(base: PreTrainedModel) -> None:
    """Lets the base share prompts, if it can. Everything else that it computes stays what it was."""
    if possible(base):
        AttentionInterface.register(ATTENTION, attention)
        AttentionMaskInterface.register(ATTENTION, sdpa_mask)
        base.set_attn_implementation(ATTENTION)


def possible(base: PreTrainedModel) -> bool:
    """Whether all layers attend by positions, through transformers' sdpa. Recurrent ones cannot be branched off."""
    return (
        base.config._attn_implementation == "sdpa"
        and base._can_set_attn_implementation()
        and "position_ids" in inspect.signature(base.base_model.forward).parameters
        and masks.foreign_kind(base) is None
    )


def layout_of(base: PreTrainedModel, ids_BS: Tensor, real_BS: Tensor, width: int) -> Layout | None:
    """None where the padded batch is to be read as it is: this alone decides.

    That is where `allow` found that the base cannot, where no two rows have the same prompt, and where a layer's window
    would leave out a part of a row. width: of the completions, which are padded on the right.
    """
    if base.config._attn_implementation != ATTENTION:
        return None
    window = getattr(base.config.get_text_config(), "sliding_window", None)
    if window is not None and ids_BS.shape[1] > window:
        return None
    prompts, completions = (
        [row[real].tolist() for row, real in zip(ids_BX, real_BX.bool(), strict=True)]
        for ids_BX, real_BX in ((ids_BS[:, :-width], real_BS[:, :-width]), (ids_BS[:, -width:], real_BS[:, -width:]))
    )
    if len({*map(tuple, prompts)}) == len(prompts) or not any(completions):
        return None
    return Layout.of(prompts, completions, width, ids_BS.device)
