"""The base model against the tuned one, on the validation file: the same network with its adapter off and on.

Losses over all rows, and what both say to a few prompts, decoded greedily. It is bounded in time: what was not scored
by then is left out of both, in an order drawn from the job's seed by a generator of its own.
"""

import random
import time
from typing import Any

import torch
from peft import PeftModel
from transformers import GenerationConfig, StoppingCriteria, StoppingCriteriaList

from fettle.datasets.formats import reading
from fettle.datasets.formats.render import Message, Renderer
from worker.training.evaluation import token_loss
from worker.training.evaluation.token_loss import HeldOut, LossSum
from worker.training.model import loading
from worker.training.process.channel import Channel
from worker.training.process.job_spec import Work

SCORING_SECONDS, SAMPLING_SECONDS = 300.0, 60.0
SAMPLES = 8
LONGEST_COMPLETION = 256  # tokens
SHORT = 64  # tokens; a longer completion is hardly ever met word for word
MARGIN = 16  # tokens that a completion may have beyond the longest expected one

Sample = dict[str, Any]  # prompt, expected, and later base and tuned


def evaluate(network: PeftModel, held_out: HeldOut, work: Work, channel: Channel, step: int) -> None:
    """Sends `evaluation`. network: in evaluation mode. step: the one whose adapter is published. Raises Stopped."""
    base, tuned = scores(network, held_out, channel, work.seed)
    samples, longest = both_say(network, work, channel)
    short = longest <= SHORT and all({"base", "tuned"} <= sample.keys() for sample in samples)
    data = {
        "step": step,
        "rows": tuned.rows,
        "rows_in_file": len(held_out.dataset),
        "supervised_tokens": tuned.tokens,
        "base": of(base, exact_match(samples, "base") if short else None),
        "tuned": of(tuned, exact_match(samples, "tuned") if short else None),
        "samples": samples,
    }
    channel.send("evaluation", data=data)


def samples(network: PeftModel, work: Work, channel: Channel) -> list[Sample]:
    """A few prompts of the validation file, what should be said, and what base and tuned say."""
    return both_say(network, work, channel)[0]


def both_say(network: PeftModel, work: Work, channel: Channel) -> tuple[list[Sample], int]:
    """The samples, and the longest expected completion in tokens."""
    renderer = Renderer(work.base_path)
    drawn, longest = draw(work, renderer)
    room = min(longest + MARGIN, LONGEST_COMPLETION)
    for name, text in completions(network, renderer, drawn, room, channel).items():
        for sample, said in zip(drawn, text, strict=True):
            sample[name] = said
    return drawn, longest


def of(score: LossSum, exact: float | None) -> dict[str, float | None]:
    return {
        "loss": score.loss,
        "perplexity": score.perplexity,
        "token_accuracy": score.accuracy,
        "exact_match": exact,
    }


def scores(network: PeftModel, held_out: HeldOut, channel: Channel, seed: int) -> tuple[LossSum, LossSum]:
    """(base, tuned) over the same rows; one part at least."""
    groups = list(held_out.groups)
    random.Random(seed).shuffle(groups)
    base = tuned = LossSum()
    deadline = time.monotonic() + SCORING_SECONDS
    for group in groups:
        channel.heed_stop()
        part = held_out.part(group)
        tuned += token_loss.score(network, part)
        with network.disable_adapter():
            base += token_loss.score(network, part)
        if time.monotonic() > deadline:
            break
    return base, tuned


def draw(work: Work, renderer: Renderer) -> tuple[list[Sample], int]:
    """A few rows that end with what the assistant should say, and the longest expected completion in tokens."""
    assert work.valid is not None  # noqa: S101 — nobody compares without a file
    rng = random.Random(work.seed)
    kept: list[list[Message]] = []
    seen = 0
    for _, conversation in reading.conversations(work.valid):
        *prompt, last = messages = conversation.messages
        if last["role"] != "assistant" or not isinstance(last.get("content"), str) or not prompt or conversation.tools:
            continue
        if len(renderer.prompt(prompt)) >= work.hyperparameters["max_seq_length"]:
            continue
        seen += 1  # each row is as likely as any other (reservoir sampling, Vitter 1985, algorithm R)
        if len(kept) < SAMPLES:
            kept.append(messages)
        elif (slot := rng.randrange(seen)) < SAMPLES:
            kept[slot] = messages
    longest = max((len(renderer.tokenizer.encode(row[-1]["content"]).ids) for row in kept), default=0)
    return [{"prompt": row[:-1], "expected": row[-1]["content"]} for row in kept], longest


def exact_match(samples: list[Sample], who: str) -> float | None:
    """The share of samples where it said what was expected, blanks at the ends aside."""
    if not samples:
        return None
    met: list[bool] = [sample[who].strip() == sample["expected"].strip() for sample in samples]
    return sum(met) / len(met)


class Halt(StoppingCriteria):
    """Ends decoding when time is up or a stop was heard."""

    def __init__(self, channel: Channel, deadline: float) -> None:
        self.channel, self.deadline = channel, deadline

    def __call__(self, input_ids: torch.Tensor, scores: Any, **_: Any) -> torch.Tensor:
        over = self.channel.stop.is_set() or time.monotonic() > self.deadline
        return torch.full((len(input_ids),), over, device=input_ids.device)


def completions(
    network: PeftModel, renderer: Renderer, samples: list[Sample], room: int, channel: Channel
) -> dict[str, list[str]]:
    """What `base` and `tuned` say to each prompt in at most `room` tokens; a name is missing when time was up."""
    said: dict[str, list[str]] = {}
    if not samples:
        return said
    deadline = time.monotonic() + SAMPLING_SECONDS
    halt = Halt(channel, deadline)
    prompts = [renderer.prompt(sample["prompt"]) for sample in samples]
    said["tuned"] = greedy(network, renderer, prompts, room, halt)
    if time.monotonic() < deadline:
        with network.disable_adapter():
            said["base"] = greedy(network, renderer, prompts, room, halt)
    channel.heed_stop()
    return said if time.monotonic() < deadline else {}


@torch.no_grad()
def greedy(network: PeftModel, renderer: Renderer, prompts: list[list[int]], room: int, halt: Halt) -> list[str]:
    device = next(network.parameters()).device
    longest = max(map(len, prompts))
    ids_BT = torch.full((len(prompts), longest), renderer.pad_id)
    mask_BT = torch.zeros_like(ids_BT)
    for row, ids in enumerate(prompts):
        ids_BT[row, longest - len(ids) :] = torch.tensor(ids)
        mask_BT[row, longest - len(ids) :] = 1
    ends = loading.ends_of(network, renderer)
    config = GenerationConfig(
        do_sample=False, max_new_tokens=room, eos_token_id=sorted(ends), pad_token_id=renderer.pad_id
    )
    out_BT = network.generate(
        input_ids=ids_BT.to(device),
        attention_mask=mask_BT.to(device),
        generation_config=config,
        stopping_criteria=StoppingCriteriaList([halt]),
    )
    texts = []
    for new in out_BT[:, longest:].tolist():
        end = next((position for position, token in enumerate(new) if token in ends), len(new))
        texts.append(renderer.decode(new[:end]).replace("\0", ""))  # PostgreSQL's JSON knows no NUL
    return texts
