"""PPO, update by update: sample, score, several passes over what was sampled (Schulman et al. 2017, algorithm 1).

Every draw comes from a seed made of the run's seed and the number of the update, so that no random state has to be
kept: a run goes on from the weights, the optimizer, β and the count of updates, to the bit.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean
from typing import Any

import torch
from peft import PeftModel
from torch import Tensor
from torch.nn.functional import pad
from torch.nn.utils import clip_grad_norm_

from worker.training.distributed import ranks
from worker.training.rl.ppo import advantages, losses, policy
from worker.training.rl.ppo.experience import Experience, PPORollout, Prompt, ScoreFunction, Worth, judged
from worker.training.rl.ppo.policy import PolicyOutput, Sequences, ValueHead
from worker.training.rl.ppo.rewards import KLControl, kl_k3
from worker.training.rl.sampling.completions import Completions, Sampling, complete
from worker.training.rl.sampling.drawing import derived
from worker.training.rl.sampling.progress import Watches, silent

STATE = "ppo.pt"  # in a checkpoint
MEANS = ("policy_loss", "value_loss", "clip_fraction", "approx_kl")  # over a minibatch's tokens
ADAM_EPSILON = 1e-5  # Huang et al. 2024: small gradients shall not become large steps


@dataclass(frozen=True)
class Settings:
    """What a run is made of.

    prompts: of an update, each with group_size completions. minibatch_size: completions of an optimizer step.
    epochs: passes over an update's completions. rows_at_once: completions of one forward pass; less memory, same
    result but for rounding. value_clip: in units of the reward. value_learning_rate: a hundred times the policy's; a
    head that is linear and begins at 0 learns nothing in time with less.
    """

    seed: int
    sampling: Sampling
    prompts: int
    group_size: int
    minibatch_size: int
    rows_at_once: int
    epochs: int = 4
    learning_rate: float = 1e-4
    value_learning_rate: float = 1e-2
    max_grad_norm: float = 1.0
    clip: float = 0.2
    value_clip: float = 0.2
    worth: Worth = field(default_factory=Worth)


class Learner:
    """A policy that learns. rate: the share of both learning rates that update number n takes.

    watches: hear how far the update is while it writes completions, compares them with the reference and learns.
    """

    def __init__(
        self,
        network: PeftModel,
        prompts: Sequence[Prompt],
        score: ScoreFunction,
        settings: Settings,
        kl: KLControl,
        rate: Callable[[int], float] = lambda update: 1.0,
        watches: Watches = silent,
    ) -> None:
        policy.without_dropout(network)
        self.watches = watches
        self.network, self.prompts, self.score, self.settings, self.kl, self.rate = (
            network, prompts, score, settings, kl, rate,
        )  # fmt: skip
        self.head = ValueHead(network.config.get_text_config().hidden_size).to(network.device)
        self.weights = [tensor for tensor in network.parameters() if tensor.requires_grad]
        self.optimizer = torch.optim.AdamW(
            [{"params": self.weights}, {"params": list(self.head.parameters())}], eps=ADAM_EPSILON, weight_decay=0.0
        )
        self.updates = 0
        self.tokens = 0  # of prompts and completions, read and written

    def update(self) -> tuple[dict[str, float], tuple[PPORollout, ...]]:
        """One update: its metrics, and what was sampled for it, before it.

        When scoring raises, nothing has changed: the same update can be made again, or a checkpoint taken.
        """
        experience = self.experience()
        metrics = experience.metrics | self.learn(experience)
        self.kl = self.kl.after(experience.kl)
        self.updates += 1
        return metrics, experience.rollouts

    def experience(self) -> Experience:
        settings = self.settings
        drawn = self.draw()
        own = drawn[ranks.number() * len(drawn) // ranks.count() : (ranks.number() + 1) * len(drawn) // ranks.count()]
        rows = [prompt for prompt in own for _ in range(settings.group_size)]
        first = ranks.number() * len(rows)
        seeds = [derived(settings.seed, "completion", self.updates, first + row) for row in range(len(rows))]
        completions = complete(
            self.network, [prompt.ids for prompt in own], seeds, settings.sampling, self.watches("generating")
        )
        scores = self.score(rows, completions.rows())
        if len(scores) != len(rows):
            raise ValueError(f"{len(scores)} scores were given for {len(rows)} completions")
        old, reference_logprobs_BT = self.look(self.sequences(rows, completions), completions)
        if ranks.count() > 1:
            rows = [prompt for prompt in drawn for _ in range(settings.group_size)]
            scores = ranks.gathered(scores)
            completions, old, reference_logprobs_BT = together(completions, old, reference_logprobs_BT)
        sequences = self.sequences(rows, completions)
        self.tokens += int(sequences.real_BS.sum())
        coefficient = self.kl.coefficient
        return judged(
            rows, completions, scores, sequences, old, reference_logprobs_BT, coefficient, settings.worth
        )  # fmt: skip

    def sequences(self, rows: Sequence[Prompt], completions: Completions) -> Sequences:
        """rows: the prompt of each completion."""
        ids = [prompt.ids for prompt in rows]
        return Sequences.of(ids, completions.ids_BT, completions.mask_BT, self.settings.sampling.pad_id)

    def draw(self) -> list[Prompt]:
        """The update's prompts: every epoch in an order of its own, one epoch after the other."""
        count, first = len(self.prompts), self.updates * self.settings.prompts
        orders: dict[int, list[int]] = {}
        drawn = []
        for number in range(first, first + self.settings.prompts):
            epoch, place = divmod(number, count)
            if epoch not in orders:
                orders[epoch] = shuffled(count, derived(self.settings.seed, "order", epoch)).tolist()
            drawn.append(self.prompts[orders[epoch][place]])
        return drawn

    @torch.no_grad()
    def look(self, sequences: Sequences, completions: Completions) -> tuple[PolicyOutput, Tensor]:
        """What the policy says of its completions before it learns from them, and reference_logprobs_BT."""
        self.network.eval()
        shape = completions.mask_BT.shape
        logprobs_BT, entropy_BT, values_BT, reference_BT = (
            torch.zeros(shape, device=self.network.device) for _ in range(4)
        )
        watch, done, tokens = self.watches("comparing"), 0, 0
        for rows in torch.split(torch.arange(shape[0], device=self.network.device), self.settings.rows_at_once):
            part = sequences.part(rows)
            width = part.completion_width
            now = policy.forward(self.network, self.head, part, self.temperature)
            logprobs_BT[rows, :width], entropy_BT[rows, :width] = now.logprobs_BT, now.entropy_BT
            values_BT[rows, :width] = now.values_BT
            with policy.reference(self.network):
                reference_BT[rows, :width] = policy.forward(self.network, None, part, self.temperature).logprobs_BT
            done, tokens = done + len(rows), tokens + int(part.real_BS.sum())
            watch(done, shape[0], tokens)
        return PolicyOutput(logprobs_BT, entropy_BT, values_BT), reference_BT

    def learn(self, experience: Experience) -> dict[str, float]:
        """The optimizer steps of one update; means of what they report."""
        share = self.rate(self.updates)
        rates = (self.settings.learning_rate * share, self.settings.value_learning_rate * share)
        for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
            group["lr"] = rate
        rows = len(experience.mask_BT)
        reports: dict[str, list[float]] = defaultdict(list)
        watch, done, tokens = self.watches("training"), 0, 0
        self.network.train()  # without dropout it computes the same, and may checkpoint its activations
        for epoch in range(self.settings.epochs):
            order = shuffled(rows, derived(self.settings.seed, "minibatches", self.updates, epoch))
            for rows_M in torch.split(order.to(self.network.device), self.settings.minibatch_size):
                for name, value in self.minibatch(experience, rows_M).items():
                    reports[name].append(value)
                done, tokens = done + len(rows_M), tokens + int(experience.sequences.real_BS[rows_M].sum())
                watch(done, self.settings.epochs * rows, tokens)
        return {name: fmean(values) for name, values in reports.items()} | {"learning_rate": rates[0]}

    def minibatch(self, experience: Experience, rows_M: Tensor) -> dict[str, float]:
        """One optimizer step, on the mean over the minibatch's tokens. Nothing where there are none.

        Every rank takes its share of the rows; the gradients of all are added up.
        """
        tokens = int(experience.mask_BT[rows_M].sum())
        if not tokens:
            return {}
        self.optimizer.zero_grad()
        means_N = torch.zeros(len(MEANS), dtype=torch.float64, device=rows_M.device)
        own_M = rows_M[ranks.number() :: ranks.count()]
        for rows in torch.split(own_M, self.settings.rows_at_once) if len(own_M) else ():
            losses_and_more = self.part(experience, rows)
            share = int(experience.mask_BT[rows].sum()) / tokens
            loss = losses_and_more["policy_loss"] + losses_and_more["value_loss"]
            (loss * share).backward()
            means_N += share * torch.stack([losses_and_more[name].detach().double() for name in MEANS])
        self.add_up_gradients()
        ranks.add_up([means_N])
        report = dict(zip(MEANS, means_N.tolist(), strict=True))
        report["loss"] = report["policy_loss"] + report["value_loss"]
        report["grad_norm"] = float(clip_grad_norm_(self.weights, self.settings.max_grad_norm))
        report["value_grad_norm"] = float(clip_grad_norm_(self.head.parameters(), self.settings.max_grad_norm))
        self.optimizer.step()
        return report

    def add_up_gradients(self) -> None:
        """Over all ranks. A rank whose share held no token has none of its own."""
        if ranks.count() == 1:
            return
        weights = [*self.weights, *self.head.parameters()]
        for tensor in weights:
            if tensor.grad is None:
                tensor.grad = torch.zeros_like(tensor)
        ranks.add_up([tensor.grad for tensor in weights if tensor.grad is not None])

    def part(self, experience: Experience, rows: Tensor) -> dict[str, Tensor]:
        """Means over the tokens of some rows: the losses, and how far the policy has moved since it sampled."""
        sequences = experience.sequences.part(rows)
        width = sequences.completion_width
        old_logprobs_BT, old_values_BT, advantages_BT, returns_BT, mask_BT = (
            tensor_BT[rows, :width]
            for tensor_BT in (
                experience.old.logprobs_BT,
                experience.old.values_BT,
                experience.advantages_BT,
                experience.returns_BT,
                experience.mask_BT,
            )
        )
        now = policy.forward(self.network, self.head, sequences, self.temperature)
        by_token = {
            "policy_loss": losses.surrogate(now.logprobs_BT, old_logprobs_BT, advantages_BT, self.settings.clip),
            "value_loss": losses.value_loss(now.values_BT, old_values_BT, returns_BT, self.settings.value_clip),
            "clip_fraction": losses.clipped(now.logprobs_BT, old_logprobs_BT, self.settings.clip),
            "approx_kl": kl_k3(old_logprobs_BT, now.logprobs_BT, mask_BT),
        }
        return {name: advantages.masked_mean(x_BT, mask_BT) for name, x_BT in by_token.items()}

    @property
    def temperature(self) -> float:
        return self.settings.sampling.temperature

    def state(self) -> dict[str, Any]:
        """Everything that a checkpoint needs besides the adapter and the optimizer."""
        return {
            "head": self.head.state_dict(),
            "kl_coefficient": self.kl.coefficient,
            "updates": self.updates,
            "tokens": self.tokens,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """state: of the same run, with the same network, prompts and settings."""
        self.head.load_state_dict(state["head"])
        self.kl = replace(self.kl, coefficient=state["kl_coefficient"])
        self.updates, self.tokens = state["updates"], state["tokens"]


def together(
    completions: Completions, old: PolicyOutput, reference_logprobs_BT: Tensor
) -> tuple[Completions, PolicyOutput, Tensor]:
    """Those of all ranks, in the ranks' order, padded to the longest."""
    columns = (
        completions.ids_BT, completions.logprobs_BT, completions.mask_BT, completions.ended_B,
        old.logprobs_BT, old.entropy_BT, old.values_BT, reference_logprobs_BT,
    )  # fmt: skip
    parts = ranks.gathered([[column.cpu() for column in columns]])
    device, width = completions.ids_BT.device, max(part[0].shape[1] for part in parts)
    ids_BT, logprobs_BT, mask_BT, ended_B, *rest = (
        torch.cat([pad(x, (0, width - x.shape[1])) if x.ndim == 2 else x for x in column]).to(device)
        for column in zip(*parts, strict=True)
    )
    old_logprobs_BT, entropy_BT, values_BT, reference_BT = rest
    whole = Completions(ids_BT, logprobs_BT, mask_BT, ended_B)
    return whole, PolicyOutput(old_logprobs_BT, entropy_BT, values_BT), reference_BT


def shuffled(count: int, seed: int) -> Tensor:
    """0 … count − 1 in random order."""
    return torch.randperm(count, generator=torch.Generator().manual_seed(seed))
