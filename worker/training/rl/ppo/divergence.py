"""How far a policy has gone from its reference."""

from collections.abc import Sequence

import torch
from peft import PeftModel

from worker.training.rl.ppo import policy
from worker.training.rl.ppo.policy import Sequences
from worker.training.rl.ppo.rewards import kl_k1
from worker.training.rl.sampling.completions import Sampling, complete


@torch.no_grad()
def kl(network: PeftModel, prompts: Sequence[Sequence[int]], seeds: Sequence[int], sampling: Sampling) -> float:
    """Nats a completion, of one completion of each prompt, drawn from the policy: the mean of ln π − ln ρ."""
    forward = complete(network, prompts, seeds, sampling)
    sequences = Sequences.of(prompts, forward.ids_BT, forward.mask_BT, sampling.pad_id)
    now_BT = policy.forward(network, None, sequences, sampling.temperature).logprobs_BT
    with policy.reference(network):
        then_BT = policy.forward(network, None, sequences, sampling.temperature).logprobs_BT
    return float(kl_k1(now_BT, then_BT, forward.mask_BT).sum(-1).mean())
