"""What PPO alone teaches the bundled base: reward, KL, accuracy and reasoning on held-out problems, before and after.

    python -m bench.ppo

The reward is verifiable: 1 for the right answer, 0.2 for reasoning before it. Held-out problems are answered greedily.
"""

import argparse
import json
import re
import time
from collections.abc import Sequence
from itertools import islice

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from examples.word_problems import Problem, Split, problems
from fettle.datasets.formats.render import Renderer
from fettle.registry.catalog import STARTER
from worker.training.model.loading import with_lora
from worker.training.rl.ppo.experience import Prompt
from worker.training.rl.ppo.learner import Learner, Settings
from worker.training.rl.ppo.rewards import AdaptiveKL
from worker.training.rl.sampling.completions import Sampling, complete

PROMPTS, EXAM, MAX_TOKENS = 2000, 300, 40
LORA = {"rank": 16, "alpha": 32, "dropout": 0.0, "target_modules": "all-linear", "use_rslora": False}
SHAPE = re.compile(r"<think>(.*)</think><answer>(-?\d+)</answer>", re.DOTALL)
ANSWER = re.compile(r"<answer>(-?\d+)</answer>")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--updates", type=int, default=20)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--value-learning-rate", type=float, default=1e-2)
    parser.add_argument("--target", type=float, default=4.0, help="nats a completion")
    parser.add_argument("--coefficient", type=float, default=0.05)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--prompts", type=int, default=64)
    parser.add_argument("--group-size", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(1)
    renderer = Renderer(STARTER)
    network = with_lora(AutoModelForCausalLM.from_pretrained(STARTER, dtype=torch.float32), LORA, options.seed)
    sampling = Sampling(MAX_TOKENS, frozenset({renderer.eos_id}), renderer.pad_id)
    asked, exam = drawn("train", PROMPTS, options.seed), drawn("held_out", EXAM, 99)

    def score(prompts: Sequence[Prompt], completions: Sequence[Sequence[int]]) -> list[float]:
        texts = [renderer.decode(list(ids)) for ids in completions]
        return [worth(asked[prompt.row], text) for prompt, text in zip(prompts, texts, strict=True)]

    prompts = [Prompt(row, tuple(ids(renderer, problem))) for row, problem in enumerate(asked)]
    settings = Settings(
        seed=options.seed,
        sampling=sampling,
        prompts=options.prompts,
        group_size=options.group_size,
        minibatch_size=options.prompts * options.group_size // 2,
        rows_at_once=options.prompts * options.group_size // 2,
        epochs=options.epochs,
        learning_rate=options.learning_rate,
        value_learning_rate=options.value_learning_rate,
    )

    def rate(update: int) -> float:
        return 1 - update / options.updates

    learner = Learner(network, prompts, score, settings, AdaptiveKL(options.coefficient, options.target), rate)
    before = examined(network, renderer, exam)
    print("before", before, flush=True)
    started = time.process_time()
    history = []
    for number in range(options.updates):
        metrics, _ = learner.update()
        history.append(metrics)
        if number % 5 == 0 or number == options.updates - 1:
            shown = ("reward", "reward_std", "kl", "kl_coefficient", "completion_length", "share_ended", "entropy")
            more = ("explained_variance", "clip_fraction", "approx_kl", "value_loss", "grad_norm")
            print(number, {name: round(metrics[name], 4) for name in (*shown, *more)}, flush=True)
    seconds = time.process_time() - started
    after = examined(network, renderer, exam)
    first, last = history[0], history[-5:]
    reward = sum(metrics["reward"] for metrics in last) / len(last)
    figures = {
        "reward_base": round(first["reward"], 3),
        "reward_base_std": round(first["reward_std"], 3),
        "reward_end": round(reward, 3),
        "risen_by_stds": round((reward - first["reward"]) / first["reward_std"], 2),
        "highest_kl": round(max(metrics["kl"] for metrics in history), 2),
        "end_kl": round(sum(metrics["kl"] for metrics in last) / len(last), 2),
        "cpu_seconds": round(seconds, 1),
        "held_out_problems": EXAM,
        "before": before,
        "after": after,
    }
    print(json.dumps(figures))


def drawn(split: Split, count: int, seed: int) -> list[Problem]:
    return list(islice(problems(split, seed), count))


def ids(renderer: Renderer, problem: Problem) -> list[int]:
    return renderer.prompt([{"role": "user", "content": problem.question}])


def worth(problem: Problem, text: str) -> float:
    """1 for the right answer, 0.2 for reasoning in the asked shape."""
    answer = ANSWER.search(text)
    right = answer is not None and int(answer[1]) == problem.answer
    return right + 0.2 * bool(SHAPE.match(text))


def examined(network: PeftModel, renderer: Renderer, exam: list[Problem]) -> dict[str, float]:
    """Shares of right and of reasoned answers, greedily."""
    greedy = Sampling(MAX_TOKENS, frozenset({renderer.eos_id}), renderer.pad_id, temperature=0.0)
    forward = complete(network, [ids(renderer, problem) for problem in exam], [0] * len(exam), greedy)
    texts = [renderer.decode(row) for row in forward.rows()]
    right = [worth(problem, text) >= 1 for problem, text in zip(exam, texts, strict=True)]
    return {
        "accuracy": round(sum(right) / len(exam), 3),
        "reasoned": round(sum(bool(SHAPE.match(text)) for text in texts) / len(exam), 3),
    }


if __name__ == "__main__":
    main()
