"""PPO against a reward model (Schulman et al. 2017; Huang et al. 2024), by our own learner in the ordinary loop.

One step of the trainer is one update: completions are drawn and scored, and several passes are made over them.
"""

import json
from collections.abc import Callable, Sequence
from functools import partial
from statistics import fmean, pstdev
from typing import Any, ClassVar, cast

import torch
from datasets import Dataset
from peft import PeftModel
from transformers import TrainingArguments

from fettle.datasets.formats.render import Renderer
from worker.training import arguments, probe
from worker.training.data.prompts import encoded
from worker.training.distributed import ranks
from worker.training.methods import rlhf
from worker.training.model import loading
from worker.training.model.reward_adapter import NAME, Files
from worker.training.process.channel import Channel
from worker.training.process.job_spec import Work
from worker.training.rl.evaluation import RewardEvaluation
from worker.training.rl.group_trainer import SMALLEST_SPREAD, judged_metrics, spread
from worker.training.rl.ppo import policy
from worker.training.rl.ppo.experience import Prompt, Worth
from worker.training.rl.ppo.learner import STATE, Learner, Settings
from worker.training.rl.ppo.rewards import AdaptiveKL, FixedKL, KLControl
from worker.training.rl.reward_model_judge import Before, RewardModelJudge
from worker.training.rl.rollouts import Rollout, Scored
from worker.training.rl.sampling.completions import Sampling
from worker.training.rl.sampling.progress import Progress
from worker.training.source import Source
from worker.training.trainer import Interruptible, Metrics, share_of_rate

# the learner's names → ours
TRAINING = {
    "loss": "train_loss",
    "learning_rate": "learning_rate",
    "grad_norm": "grad_norm",
    "reward": "train_reward_mean",
    "reward_std": "train_reward_std",
    "kl": "kl",
    "kl_coefficient": "kl_coefficient",
    "entropy": "entropy",
    "policy_loss": "policy_loss",
    "value_loss": "value_loss",
    "explained_variance": "explained_variance",
    "clip_fraction": "clip_fraction",
    "approx_kl": "approx_kl",
    "completion_length": "completion_length_mean",
}


class PPO(Interruptible):
    """It takes no row from the trainer's loader: the learner draws the prompts."""

    training: ClassVar = {"epoch": "epoch", "num_input_tokens_seen": "tokens"}
    of_a_checkpoint = ("train_loss", "train_reward_mean", "kl", "valid_reward_mean")
    judged_by = "valid_reward_mean"
    higher_is_better = True
    no_spread = "the reward model gave every completion one and the same score"
    judged_param = "method.rlhf.reward_model"
    nothing_learned = (
        "Choose a reward model that tells responses apart, as pairwise_accuracy in its evaluation shows, or raise "
        "temperature."
    )

    def __init__(
        self,
        *,
        renderer: Renderer,
        settings: Settings,
        control: KLControl,
        eval_samples: int,
        make_judge: Callable[[PeftModel], RewardModelJudge],
        **options: Any,
    ) -> None:
        """make_judge: called with the network when it is on its device."""
        super().__init__(**options)
        self.renderer, self.sampling, self.eval_samples = renderer, settings.sampling, eval_samples
        network, train = cast(PeftModel, self.model), cast(Dataset, self.train_dataset)
        self.judge = make_judge(network)
        every = [Prompt(row, tuple(ids)) for row, ids in enumerate(encoded(renderer, train, len(train)))]
        self.learner = Learner(network, every, self.score, settings, control, watches=partial(Progress, self.channel))
        self.found: Metrics = {}  # of the last step

    def training_step(self, *_: Any, **__: Any) -> torch.Tensor:
        """An update. The learner takes the optimizer's steps itself, and leaves no gradient to the trainer's."""
        self.learner.updates = self.state.global_step
        metrics, rollouts = self.learner.update()
        self.learner.optimizer.zero_grad()
        self.state.num_input_tokens_seen = self.learner.tokens
        self.judge.stored(
            self.state.global_step + 1, [each.advantage for each in rollouts], [each.kl for each in rollouts]
        )
        scored = cast(Scored, self.judge.last_scored)
        self.judged_steps += 1
        self.taught_steps += spread(scored.rewards) > SMALLEST_SPREAD
        if ranks.first():  # what was scored last are the completions of all ranks
            self.visits += len(scored.rewards) // self.learner.settings.group_size
        lengths = [len(each.completion) for each in rollouts]
        scores = [score for score in scored.scores[NAME] if score is not None]
        self.found = {ours: metrics[theirs] for theirs, ours in TRAINING.items() if theirs in metrics} | {
            f"rewards/{NAME}/mean": fmean(scores),
            f"rewards/{NAME}/std": pstdev(scores),
            "completion_length_max": float(max(lengths)),
            "completions_cut_off": 1 - metrics["share_ended"],
        }
        return torch.tensor(metrics["loss"], device=self.args.device)

    def score(self, prompts: Sequence[Prompt], completions: Sequence[Sequence[int]]) -> list[float | None]:
        """The learner's, of this rank's completions. Raises Stopped."""
        dataset = cast(Dataset, self.train_dataset)
        rows = [dataset[prompt.row] for prompt in prompts]
        first = ranks.number() * len(prompts)
        rollouts = [
            Rollout(
                group=(first + number) // self.learner.settings.group_size,
                messages=json.loads(row["messages"]),
                item=json.loads(row["item"]),
                completion=self.renderer.decode(ids),
                tokens=len(ids),
                stop_reason="stop" if ids[-1] in self.sampling.ends else "length",
                ids=(*prompt.ids, *ids),
            )
            for number, (prompt, row, ids) in enumerate(zip(prompts, rows, completions, strict=True))
        ]
        rewards = self.judge.score(rollouts, self.state.global_step + 1, "train").rewards
        return rewards[first : first + len(prompts)]

    def named(self, logs: Any) -> Metrics:
        return super().named(logs) | self.found | {"tokens": float(self.state.num_input_tokens_seen)}

    def undo(self) -> bool:
        """Nothing changes before all completions are scored."""
        return True

    def create_optimizer(self, *_: Any) -> torch.optim.Optimizer:
        self.optimizer = self.learner.optimizer
        return self.optimizer

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        """The trainer's is only kept in step: the learner sets the rates of its two groups itself."""
        warmup = self.args.get_warmup_steps(num_training_steps)
        self.learner.rate = partial(share_of_rate, warmup=warmup, total=num_training_steps)
        return super().create_scheduler(num_training_steps, optimizer)

    def _save_checkpoint(self, *args: Any) -> None:
        super()._save_checkpoint(*args)
        if ranks.first():
            folder = self.checkpoint
            torch.save(self.learner.state(), folder / STATE)
            self.judge.carried.put_into(folder)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        super()._load_optimizer_and_scheduler(checkpoint)
        if checkpoint is not None:
            self.learner.restore(torch.load(f"{checkpoint}/{STATE}", weights_only=True, map_location=self.args.device))

    def evaluation(self) -> RewardEvaluation:
        return RewardEvaluation(
            network=cast(PeftModel, self.model),
            renderer=self.renderer,
            ends=self.sampling.ends,
            max_tokens=self.sampling.max_tokens,
            temperature=self.sampling.temperature,
            channel=self.channel,
            judge=self.judge,
        )

    def validate(self) -> Metrics | None:
        found = self.evaluation().validate(cast(Dataset, self.eval_dataset), self.state.global_step, self.eval_samples)
        return None if found is None else judged_metrics(found)

    def compare(self, work: Work, step: int) -> None:
        network, valid = cast(PeftModel, self.model), cast(Dataset, self.eval_dataset)
        moved = rlhf.kl(network, self.renderer, valid, work.seed, self.sampling)
        self.evaluation().compare(valid, step, {"kl": moved})


def build(work: Work, channel: Channel, *, files: Files, before: Before) -> PPO:
    """Raises TrainingFailed when the files cannot be trained on, Stopped when a stop comes first."""
    renderer = Renderer(work.base_path)
    work, found, valid = rlhf.load(work, renderer, channel)
    asked = work.hyperparameters
    train = found.dataset
    at_once = arguments.rows_at_once(asked["minibatch_size"])
    network = loading.network(work, channel)
    if work.start:
        policy.freeze_start(network)
    sampling = Sampling(
        asked["max_completion_tokens"], loading.ends_of(network, renderer), renderer.pad_id, asked["temperature"]
    )
    own = {
        "per_device_train_batch_size": ranks.share(asked["batch_size"]),
        "gradient_accumulation_steps": 1,
        "max_grad_norm": 0.0,  # the learner clips
        "include_num_input_tokens_seen": "no",  # it counts them as well
        "dataloader_drop_last": True,
        "remove_unused_columns": False,
    }
    settings = Settings(
        seed=work.seed,
        sampling=sampling,
        prompts=asked["batch_size"],
        group_size=asked["group_size"],
        minibatch_size=asked["minibatch_size"],
        rows_at_once=at_once,
        epochs=asked["ppo_epochs"],
        learning_rate=asked["learning_rate"],
        value_learning_rate=asked["value_learning_rate"],
        clip=asked["clip"],
        value_clip=asked["value_clip"],
        worth=Worth(asked["gamma"], asked["lam"], 0.0),  # the judge subtracts the penalty
    )
    coefficient, target = asked["kl_coefficient"], asked["kl_target"]
    return PPO(
        work=work,
        channel=channel,
        renderer=renderer,
        settings=settings,
        control=FixedKL(coefficient) if target is None else AdaptiveKL(coefficient, target),
        eval_samples=asked["eval_samples"],
        make_judge=lambda network: rlhf.judge(work, channel, network, files, before, train, sampling, renderer),
        model=network,
        args=TrainingArguments(**arguments.shared(work) | own),
        train_dataset=train,
        eval_dataset=valid,
        data_collator=placeholder,
        source=Source.of_prompts(found),
        probe_rows=encoded(renderer, train, probe.ROWS),
    )


def placeholder(rows: list[dict[str, str]]) -> dict[str, torch.Tensor]:
    """A batch that nobody reads."""
    return {"rows": torch.zeros(len(rows))}
