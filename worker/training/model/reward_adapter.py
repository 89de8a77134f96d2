"""A reward model beside the policy: its LoRA is a frozen adapter on the same base, its head one vector more.

A second network for sequence classification would give the same scores and hold the base in memory twice.
"""

import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model_state_dict, set_peft_model_state_dict
from safetensors.torch import load_file
from torch import Tensor

from fettle.errors import TrainingFailed
from worker.training.model import adapter
from worker.training.rl.sampling.completions import Watch, base_of

NAME = "reward_model"
HEAD = "base_model.model.score.weight"
KEPT_CONFIG, KEPT_WEIGHTS = "reward_model.json", "reward_model.safetensors"  # in a checkpoint of the policy


@dataclass(frozen=True)
class Files:
    """Of a published reward model, or of one that a checkpoint carries."""

    config: Path
    weights: Path

    @classmethod
    def published(cls, folder: Path) -> "Files":
        return cls(folder / "adapter_config.json", folder / adapter.WEIGHTS)

    @classmethod
    def carried(cls, checkpoint: Path) -> "Files":
        return cls(checkpoint / KEPT_CONFIG, checkpoint / KEPT_WEIGHTS)

    def put_into(self, checkpoint: Path) -> None:
        shutil.copyfile(self.config, checkpoint / KEPT_CONFIG)
        shutil.copyfile(self.weights, checkpoint / KEPT_WEIGHTS)


class RewardAdapter:
    """Scores token sequences. rows_at_once: of one forward pass; less memory, same scores but for rounding."""

    def __init__(self, network: PeftModel, files: Files, pad_id: int, rows_at_once: int) -> None:
        """Raises TrainingFailed for a reward model that was not made for this base."""
        self.network, self.pad_id, self.rows_at_once = network, pad_id, rows_at_once
        config = json.loads(files.config.read_text())
        weights = load_file(files.weights)
        lora = {name: tensor for name, tensor in weights.items() if "lora_" in name}
        policy = network.active_adapter
        assert isinstance(policy, str)  # noqa: S101 — a run trains one adapter
        names = ("r", "lora_alpha", "target_modules", "use_rslora")
        network.add_adapter(
            NAME, LoraConfig(**{name: config[name] for name in names}, task_type="CAUSAL_LM", inference_mode=True)
        )
        own = {name: tensor.shape for name, tensor in get_peft_model_state_dict(network, adapter_name=NAME).items()}
        if own != {name: tensor.shape for name, tensor in lora.items()} or HEAD not in weights:
            raise TrainingFailed(
                "reward_model_does_not_fit",
                "The reward model's adapter does not fit this base model: choose one that was trained on it.",
                "method.rlhf.reward_model",
            )
        set_peft_model_state_dict(network, lora, adapter_name=NAME)
        network.set_adapter(policy)
        self.head_D = weights[HEAD][0].float().to(network.device)

    @torch.no_grad()
    def scores(self, rows: Sequence[Sequence[int]], watch: Watch | None = None) -> list[float]:
        """Of prompts with their completions, each read at its last token. watch: hears how many are scored."""
        found: list[float] = []
        tokens = 0
        with self.active():
            for first in range(0, len(rows), self.rows_at_once):
                part = rows[first : first + self.rows_at_once]
                found += self.part(part).tolist()
                tokens += sum(map(len, part))
                if watch is not None:
                    watch(len(found), len(rows), tokens)
        return found

    def part(self, rows: Sequence[Sequence[int]]) -> Tensor:
        """scores_B. Padding on the right, as the reward model learned it."""
        device = self.network.device
        lengths_B = torch.tensor([len(row) for row in rows], device=device)
        width = int(lengths_B.max())
        ids_BT = torch.tensor([[*row, *[self.pad_id] * (width - len(row))] for row in rows], device=device)
        mask_BT = (torch.arange(width, device=device) < lengths_B[:, None]).long()
        body = base_of(self.network).base_model
        hidden_BTD = body(input_ids=ids_BT, attention_mask=mask_BT, use_cache=False).last_hidden_state
        last_BD = hidden_BTD[torch.arange(len(rows), device=device), lengths_B - 1]
        scores_B: Tensor = last_BD.float() @ self.head_D
        return scores_B

    @contextmanager
    def active(self) -> Iterator[None]:
        """In the policy's place, without dropout."""
        training, policy = self.network.training, self.network.active_adapter
        self.network.eval()
        self.network.set_adapter(NAME)
        try:
            yield
        finally:
            self.network.set_adapter(policy)
            self.network.train(training)
