"""RLHF: a policy that learns from a reward model (Ziegler et al. 2019; Ouyang et al. 2022), by PPO or RLOO.

The reward model scores in this process, as a frozen adapter on the policy's own base. The prompts are those of the
comparisons, each once.
"""

from datasets import Dataset
from peft import PeftModel

from fettle.datasets.formats.render import Renderer
from worker.training.data import prompts, remaining_rows
from worker.training.data.prompts import Prompts
from worker.training.model.reward_adapter import Files, RewardAdapter
from worker.training.process.channel import Channel
from worker.training.process.job_spec import Work
from worker.training.rl.evaluation import PROMPTS_AT_ONCE
from worker.training.rl.ppo import divergence
from worker.training.rl.reward_model_judge import Before, Carried, RewardModelJudge, Scale, scale_in
from worker.training.rl.sampling.completions import Sampling, Watch, complete
from worker.training.rl.sampling.drawing import derived
from worker.training.rl.sampling.progress import Progress

SCALE_PROMPTS = 256  # whose completions tell what a score is measured in
KL_PROMPTS = 128  # of the evaluation


def load(work: Work, renderer: Renderer, channel: Channel) -> tuple[Work, Prompts, Dataset | None]:
    """The prompts of both files, and the work with every `auto` resolved on those of training that remain.

    Raises TrainingFailed.
    """
    train = prompts.load("training_file", work, renderer, channel, prompts.each_once(work.train))
    valid = None
    if work.valid:
        rows = prompts.each_once(work.valid)
        valid = prompts.load("validation_file", work, renderer, channel, rows, train).dataset
    work = remaining_rows.resolve(work, len(train.dataset), channel)
    prompts.refuse_too_few(len(train.dataset), work.hyperparameters["batch_size"])
    return work, train, valid


def steps(work: Work, renderer: Renderer) -> int:
    """Of the policy's training. Raises TrainingFailed before a reward model is trained in vain."""
    found = prompts.read("training_file", work, renderer, prompts.each_once(work.train))
    work = remaining_rows.resolved(work, len(found.dataset))
    batch_size = work.hyperparameters["batch_size"]
    prompts.refuse_too_few(len(found.dataset), batch_size)
    return int(len(found.dataset) // batch_size * work.hyperparameters["n_epochs"])


def judge(
    work: Work,
    channel: Channel,
    network: PeftModel,
    files: Files,
    before: Before,
    train: Dataset,
    sampling: Sampling,
    renderer: Renderer,
) -> RewardModelJudge:
    """On the device where the network is. Raises TrainingFailed, and Stopped when a stop comes first."""
    adapter = RewardAdapter(network, files, sampling.pad_id, PROMPTS_AT_ONCE)
    if work.resume:
        scale = scale_in(work.resume)
    else:
        channel.heed_stop()
        scale = Scale.of(
            first_scores(
                adapter, prompts.encoded(renderer, train, SCALE_PROMPTS), work.seed, sampling, Progress(channel)
            )
        )
        channel.event(
            f"The policy's first completions score {scale.mean:.4f} ± {scale.std:.4f}. Rewards are scores minus "
            "that mean, divided by that spread.",
            {"score_mean": scale.mean, "score_std": scale.std},
        )
    carried = Carried(before, scale, files)
    return RewardModelJudge(adapter, carried, channel, work.hyperparameters["missing_eos_penalty"])


def first_scores(
    adapter: RewardAdapter, rows: list[list[int]], seed: int, sampling: Sampling, watch: Watch
) -> list[float]:
    """Of one completion of each prompt. watch: hears how many are scored."""
    scores: list[float] = []
    tokens = 0
    for first in range(0, len(rows), PROMPTS_AT_ONCE):
        part = rows[first : first + PROMPTS_AT_ONCE]
        seeds = [derived(seed, "scale", first + row) for row in range(len(part))]
        said = complete(adapter.network, part, seeds, sampling).rows()
        scores += adapter.scores([[*prompt, *ids] for prompt, ids in zip(part, said, strict=True)])
        tokens += sum(map(len, said))
        watch(len(scores), len(rows), tokens)
    return scores


def kl(network: PeftModel, renderer: Renderer, valid: Dataset, seed: int, sampling: Sampling) -> float:
    """From where the policy began, nats a completion, on the first prompts of the validation file."""
    rows = prompts.encoded(renderer, valid, KL_PROMPTS)
    nats = 0.0
    for first in range(0, len(rows), PROMPTS_AT_ONCE):
        part = rows[first : first + PROMPTS_AT_ONCE]
        seeds = [derived(seed, "kl", first + row) for row in range(len(part))]
        nats += len(part) * divergence.kl(network, part, seeds, sampling)
    return nats / len(rows)
