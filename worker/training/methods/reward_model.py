"""Reward models: a scalar head on the base, by the loss of Bradley and Terry (1952), as in Ouyang et al. (2022).

What is published is a LoRA adapter for `AutoModelForSequenceClassification(num_labels=1)` with the task type SEQ_CLS;
the head, `score`, is in the same file as the adapter. A score is read where the response ends.
"""

from typing import Any, ClassVar, cast

import torch
from peft import PeftModel
from trl.trainer.reward_config import RewardConfig
from trl.trainer.reward_trainer import RewardTrainer

from fettle.datasets.formats.render import Renderer
from worker.training import arguments, probe, trainer
from worker.training.data import preference as pairs
from worker.training.methods import preference
from worker.training.methods.preference import Comparing
from worker.training.model import loading
from worker.training.process.channel import Channel
from worker.training.process.job_spec import Work

SHOWN = {
    "accuracy": "accuracy",
    "margin": "margin",
    "mean_reward": "reward_mean",
    "min_reward": "reward_min",
    "max_reward": "reward_max",
}


class Collator:
    """Pads on the right; the first half of a batch are the chosen ones. BT: (2 × pairs, tokens)."""

    def __init__(self, pad_id: int) -> None:
        self.pad_id = pad_id

    def __call__(self, examples: list[dict[str, list[int]]]) -> dict[str, torch.Tensor]:
        rows = [row["prompt_ids"] + row[side] for side in ("chosen_ids", "rejected_ids") for row in examples]
        longest = max(map(len, rows))
        ids_BT = torch.full((len(rows), longest), self.pad_id)
        mask_BT = torch.zeros_like(ids_BT)
        for row, ids in enumerate(rows):
            ids_BT[row, : len(ids)] = torch.tensor(ids)
            mask_BT[row, : len(ids)] = 1
        return {"input_ids": ids_BT, "attention_mask": mask_BT}


class RewardModel(Comparing, RewardTrainer):  # type: ignore[misc]  # TRL types its figures more narrowly
    shown = SHOWN
    is_reward_model = True
    training: ClassVar = preference.names(SHOWN, trainer.TRAINING)
    of_a_checkpoint = ("train_loss", "train_accuracy", "valid_loss", "valid_accuracy")

    def _set_signature_columns_if_needed(self) -> None:
        self._signature_columns: Any = ["prompt_ids", "chosen_ids", "rejected_ids"]

    def compare(self, work: Work, step: int) -> None:
        """How often the better response has the higher score, before training and after."""
        network = cast(PeftModel, self.model)
        scores: dict[str, list[torch.Tensor]] = {"base": [], "tuned": []}
        for inputs in self.sampled(work.seed):
            scores["tuned"].append(self.scores(inputs))
            with network.disable_adapter():
                scores["base"].append(self.scores(inputs))
        of = {who: torch.cat(parts, dim=1) for who, parts in scores.items()}
        data = {
            "step": step,
            "rows": of["tuned"].shape[1],
            "rows_in_file": len(cast(Any, self.eval_dataset)),
            **{who: judged(scores_2N) for who, scores_2N in of.items()},
            "samples": [],
        }
        self.channel.send("evaluation", data=data)

    @torch.no_grad()
    def scores(self, inputs: dict[str, Any]) -> torch.Tensor:
        """Of the chosen and the rejected responses (2B)."""
        given = {name: inputs[name] for name in ("input_ids", "attention_mask")}
        logits_B1 = cast(PeftModel, self.model)(**given, use_cache=False).logits
        return cast(torch.Tensor, logits_B1.float().cpu().view(2, -1))


def judged(scores_2N: torch.Tensor) -> dict[str, float]:
    """pairwise_accuracy: the better response has the higher score."""
    margin_N = scores_2N[0] - scores_2N[1]
    return {
        "pairwise_accuracy": float((margin_N > 0).float().mean()),
        "reward_margin": float(margin_N.mean()),
        "reward_mean": float(scores_2N.mean()),
        "reward_std": float(scores_2N.std(correction=0)),
    }


def build(work: Work, channel: Channel) -> RewardModel:
    """Raises TrainingFailed when the files cannot be trained on, Stopped when a stop comes first."""
    renderer = Renderer(work.base_path)
    work, found, valid = pairs.load(work, renderer, channel)
    args = RewardConfig(
        **arguments.shared(work) | {"include_num_input_tokens_seen": "non_padding"},
        max_length=None,  # the rows are measured already
        disable_dropout=False,  # it is the adapter's that was asked for
        center_rewards_coefficient=work.hyperparameters["center_rewards_coefficient"] or None,
    )
    probe_conversations, probe_rows = pairs.conversations(work.train, renderer, probe.ROWS, probe.TOKENS)
    return RewardModel(
        work=work,
        channel=channel,
        model=loading.network(work, channel, scores=True),
        args=args,
        train_dataset=found.dataset,
        eval_dataset=valid,
        processing_class=loading.tokenizer(work.base_path),
        data_collator=Collator(renderer.pad_id),
        source=found.source(),
        probe_rows=probe_rows,
        probe_conversations=probe_conversations,
    )
