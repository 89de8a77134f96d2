"""Direct preference optimization (Rafailov et al. 2023) by TRL's trainer, on rows that are tokenised already.

The reference is the base model, the network with its adapter off; of a run that goes on from an adapter it is a frozen
copy of that one.
"""

from typing import Any, ClassVar, cast

import torch
from peft import PeftModel
from trl.trainer.dpo_config import DPOConfig
from trl.trainer.dpo_trainer import DataCollatorForPreference, DPOTrainer

from fettle.datasets.formats.render import Renderer
from worker.training import arguments, probe, trainer
from worker.training.data import preference as pairs
from worker.training.evaluation import base_against_tuned
from worker.training.methods import preference
from worker.training.methods.preference import Comparing
from worker.training.model import lm_head, loading
from worker.training.process.channel import Channel
from worker.training.process.job_spec import Work

REFERENCE = "ref"  # TRL's name of the frozen copy
SHOWN = {
    "rewards/chosen": "rewards_chosen",
    "rewards/rejected": "rewards_rejected",
    "rewards/accuracies": "rewards_accuracies",
    "rewards/margins": "rewards_margins",
    "logps/chosen": "logps_chosen",
    "logps/rejected": "logps_rejected",
    "entropy": "entropy",
    "mean_token_accuracy": "mean_token_accuracy",
}


class DPO(Comparing, DPOTrainer):  # type: ignore[misc]  # TRL types its figures more narrowly
    shown = SHOWN
    training: ClassVar = preference.names(SHOWN, trainer.TRAINING)
    of_a_checkpoint = (
        *("train_loss", "train_mean_token_accuracy", "train_rewards_accuracies"),
        *("valid_loss", "valid_mean_token_accuracy", "valid_rewards_accuracies"),
    )

    def compare(self, work: Work, step: int) -> None:
        """How often base and tuned find the better response the likelier one, and what both say to a few prompts.

        Of the tuned one also how often its likelihood has moved towards the better one, as seen from the reference.
        """
        network = cast(PeftModel, self.model)
        logps: dict[str, list[torch.Tensor]] = {"base": [], "tuned": [], "reference": []}
        counts: list[torch.Tensor] = []
        for inputs in self.sampled(work.seed):
            counts.append(inputs["completion_mask"].sum(dim=1).cpu().view(2, -1))
            logps["tuned"].append(self.logps(inputs))
            with network.disable_adapter():
                logps["base"].append(self.logps(inputs))
            if REFERENCE in network.peft_config:
                network.set_adapter(REFERENCE)
                logps["reference"].append(self.logps(inputs))
                network.set_adapter("default")
        said = {who: torch.cat(parts, dim=1) for who, parts in logps.items() if parts}  # 2N: chosen, rejected
        length_2N = torch.cat(counts, dim=1)
        reference_2N = said.get("reference", said["base"])
        data = {
            "step": step,
            "rows": length_2N.shape[1],
            "rows_in_file": len(cast(Any, self.eval_dataset)),
            **{who: preferences(said[who], length_2N, reference_2N, self.beta) for who in ("base", "tuned")},
            "samples": base_against_tuned.samples(network, work, self.channel),
        }
        self.channel.send("evaluation", data=data)

    @torch.no_grad()
    def logps(self, inputs: dict[str, Any]) -> torch.Tensor:
        """Log-probabilities of the chosen and the rejected responses (2B, nats), each summed over its tokens."""
        labels_BT = inputs["input_ids"].masked_fill(inputs["completion_mask"] == 0, -100)
        outputs = cast(PeftModel, self.model)(
            input_ids=inputs["input_ids"],
            attention_mask=inputs["attention_mask"],
            labels=labels_BT,
            use_cache=False,
            fused_lm_head=True,
        )
        return cast(torch.Tensor, outputs.log_probs.sum(dim=1).float().cpu().view(2, -1))


def preferences(
    logps_2N: torch.Tensor, length_2N: torch.Tensor, reference_2N: torch.Tensor, beta: float
) -> dict[str, float]:
    """preference_accuracy: the better response has the higher log-probability; the second one: a token of it has.

    reward_accuracy and reward_margin: of the implicit reward β·log(π/π_ref) (Rafailov et al. 2023, section 4).
    """
    mean_2N = logps_2N / length_2N
    reward_2N = beta * (logps_2N - reference_2N)
    return {
        "preference_accuracy": share(logps_2N[0] > logps_2N[1]),
        "preference_accuracy_per_token": share(mean_2N[0] > mean_2N[1]),
        "reward_accuracy": share(reward_2N[0] > reward_2N[1]),
        "reward_margin": float((reward_2N[0] - reward_2N[1]).mean()),
    }


def share(hits_N: torch.Tensor) -> float:
    return float(hits_N.float().mean())


def build(work: Work, channel: Channel) -> DPO:
    """Raises TrainingFailed when the files cannot be trained on, Stopped when a stop comes first."""
    lm_head.score_labels_only()
    renderer = Renderer(work.base_path)
    work, found, valid = pairs.load(work, renderer, channel)
    asked = work.hyperparameters
    args = DPOConfig(
        **arguments.shared(work) | {"include_num_input_tokens_seen": "non_padding"},
        max_length=None,  # the rows are measured already
        beta=asked["beta"],
        loss_type=[asked["loss_type"]],
        label_smoothing=asked["label_smoothing"],
    )
    probed = found.dataset.select(range(min(probe.ROWS, len(found.dataset))))
    tuner = DPO(
        work=work,
        channel=channel,
        model=loading.network(work, channel),
        args=args,
        train_dataset=found.dataset,
        eval_dataset=valid,
        processing_class=loading.tokenizer(work.base_path),
        data_collator=DataCollatorForPreference(pad_token_id=renderer.pad_id),
        source=found.source(),
        probe_rows=[row["prompt_ids"] + row["chosen_ids"] for row in probed],
    )
    if work.start is None:  # TRL's copy of a fresh adapter says what the base says, and costs more
        cast(PeftModel, tuner.model).delete_adapter(REFERENCE)
    return tuner
