"""The policy, its reference and its value head: what they say of prompts with completions."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from peft import PeftModel
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor, nn

from worker.training.data.supervised import IGNORED
from worker.training.model import lm_head
from worker.training.rl.sampling.completions import base_of

REFERENCE = "ref"  # the frozen adapter of a run that started from a tuned model; TRL's name for it


@dataclass(frozen=True)
class Sequences:
    """Prompts (P columns, padded on the left) with completions (T columns, padded on the right).

    mask_BT: the tokens of the completions. positions and attention follow from where the padding is.
    """

    ids_BS: Tensor  # S = P + T
    real_BS: Tensor
    completion_width: int

    @classmethod
    def of(cls, prompts: Sequence[Sequence[int]], ids_BT: Tensor, mask_BT: Tensor, pad_id: int) -> "Sequences":
        """prompts: one for each row of the completions."""
        width = max(map(len, prompts))
        padded = [[pad_id] * (width - len(prompt)) + list(prompt) for prompt in prompts]
        lengths_B1 = torch.tensor([[len(prompt)] for prompt in prompts], device=ids_BT.device)
        real_BP = torch.arange(width, device=ids_BT.device) >= width - lengths_B1
        ids_BP = torch.tensor(padded, device=ids_BT.device)
        return cls(torch.cat([ids_BP, ids_BT], 1), torch.cat([real_BP, mask_BT.bool()], 1), ids_BT.shape[1])

    def part(self, rows: Tensor) -> "Sequences":
        """Those rows, without columns that are padding in all of them: the completions keep their first columns."""
        ids_BS, real_BS = self.ids_BS[rows], self.real_BS[rows]
        used = real_BS.any(0).nonzero()[:, 0]
        prompt_width = ids_BS.shape[1] - self.completion_width
        first, last = int(used[0]), max(int(used[-1]), prompt_width)
        return Sequences(ids_BS[:, first : last + 1], real_BS[:, first : last + 1], last + 1 - prompt_width)


@dataclass(frozen=True)
class PolicyOutput:
    """logprobs_BT and entropy_BT at the completions' tokens, values_BT of the states they were chosen in."""

    logprobs_BT: Tensor
    entropy_BT: Tensor
    values_BT: Tensor


class ValueHead(nn.Module):
    """One number from a last hidden state, a constant 0 at first: a guess would only have to be unlearned.

    In float32 whatever the policy computes in.
    """

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.linear = nn.Linear(hidden, 1)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, hidden_BTD: Tensor) -> Tensor:
        """values_BT."""
        values_BT: Tensor = self.linear(hidden_BTD.float())[..., 0]
        return values_BT


def forward(network: PeftModel, head: ValueHead | None, sequences: Sequences, temperature: float) -> PolicyOutput:
    """One forward pass with the active adapter. Without a head, values_BT is zero.

    logprobs and entropy: of softmax(logits / temperature), which is what was sampled from; 0 in the padding. Logits
    exist for a tile of tokens at a time, forward and backward. The head learns from the hidden states, and does not
    shape them: its gradient ends there.
    """
    width = sequences.completion_width
    labels_BS = sequences.ids_BS.masked_fill(~sequences.real_BS, IGNORED)
    labels_BS[:, :-width] = IGNORED
    with lm_head.in_tiles(base_of(network), temperature) as hidden:
        output = network(
            input_ids=sequences.ids_BS,
            attention_mask=sequences.real_BS.long(),
            position_ids=(sequences.real_BS.long().cumsum(1) - 1).clamp(min=0),
            labels=labels_BS,
            fused_lm_head=True,
        )
    logprobs_BT = output.log_probs[:, -width:]
    values_BT = torch.zeros_like(logprobs_BT)
    if head is not None:
        values_BT = head(hidden[0][:, -width - 1 : -1].detach())
    return PolicyOutput(logprobs_BT, output.entropy[:, -width:].detach(), values_BT)


@contextmanager
def reference(network: PeftModel) -> Iterator[None]:
    """The policy as it was when the run began: the adapter `ref` where there is one, else the bare base."""
    if REFERENCE not in network.peft_config:
        with network.disable_adapter():
            yield
        return
    policy = network.active_adapter
    network.set_adapter(REFERENCE)
    try:
        yield
    finally:
        network.set_adapter(policy)


def is_reference(network: PeftModel) -> bool:
    """Whether the network computes as it was when the run began: as within `reference`, whoever switched it."""
    layer = next(module for module in network.modules() if isinstance(module, BaseTunerLayer))
    return layer.disable_adapters or REFERENCE in layer.active_adapters


def freeze_start(network: PeftModel) -> None:
    """Keeps a frozen copy of the active adapter as the reference, for a run that starts from a tuned model."""
    policy = network.active_adapter
    assert isinstance(policy, str)  # noqa: S101 — a run trains one adapter
    network.add_adapter(REFERENCE, network.peft_config[policy])
    weights = dict(network.named_parameters())
    with torch.no_grad():
        for name, tensor in weights.items():
            if f".{REFERENCE}." in name:
                tensor.copy_(weights[name.replace(f".{REFERENCE}.", f".{policy}.")])
    network.set_adapter(policy)


def without_dropout(network: PeftModel) -> None:
    """So that the ratio of new to old probabilities is 1 before the first update (Huang et al. 2024)."""
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        if isinstance(getattr(module, "attention_dropout", None), float):
            setattr(module, "attention_dropout", 0.0)  # noqa: B010 — no layer that all have
