"""Completions drawn from the policy in the training process itself, with a cache of keys and values.

A prompt is read once, however many completions it gets; rows leave the batch as they end. Every row draws from a
generator of its own, by inverting the distribution, so that (rounding of the logits apart) what it says depends on its
prompt, its seed and the weights, and on no other row. The cache, the masks and the draw are the engine's.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import cast

import torch
from peft import PeftModel
from torch import Tensor
from transformers import GenerationConfig, LogitsProcessor, LogitsProcessorList, PreTrainedModel
from transformers.cache_utils import Cache, DynamicLayer

from worker.engine import masks
from worker.engine.cache import KeyValues
from worker.engine.grammar import Grammar, Matcher
from worker.engine.sampling import grammatical, sample
from worker.training.rl.sampling.folding import folded

Watch = Callable[[int, int, int], None]


@dataclass(frozen=True)
class Sampling:
    """temperature ≥ 0, 0 being greedy; top_p in (0, 1]; ends: tokens that end a completion and belong to it."""

    max_tokens: int
    ends: frozenset[int]
    pad_id: int
    temperature: float = 1.0
    top_p: float = 1.0
    grammar: Grammar | None = None  # what the text of every completion must be


@dataclass(frozen=True)
class Completions:
    """B rows, padded on the right to the longest. mask_BT: which are tokens, the EOS among them.

    logprobs_BT: ln softmax(logits / temperature) at the tokens, before any cut by top_p or grammar; 0 in the padding.
    ended_B: which wrote an EOS.
    """

    ids_BT: Tensor
    logprobs_BT: Tensor
    mask_BT: Tensor
    ended_B: Tensor

    def rows(self) -> list[list[int]]:
        """The tokens of each, without padding."""
        lengths = self.mask_BT.sum(-1).tolist()
        return [ids[:length] for ids, length in zip(self.ids_BT.tolist(), lengths, strict=True)]


def complete(
    network: PeftModel,
    prompts: Sequence[Sequence[int]],
    seeds: Sequence[int],
    sampling: Sampling,
    watch: Watch | None = None,
) -> Completions:
    """As many completions of each prompt as there are seeds for each, those of the first prompt first.

    watch: hears after every token how many completions have ended, of how many, and the tokens written so far; nothing
    inside `generate`.

    The network's active adapter is the policy; it is as it was afterwards, its random state too. A base with layers
    that keep another past than keys and values draws the same way inside `generate`, with its adapter as it trains:
    recurrent layers may read a weight past an adapter, which folding would put into it.
    """
    base = base_of(network)
    ours = masks.foreign_kind(base) is None
    with at_rest(network, any_mask=ours), folded(network) if ours else nullcontext():
        draw = partial(decode, watch=watch) if ours else generated
        ids_BT, logprobs_BT, lengths_B = draw(base, prompts, seeds, sampling)
    width = int(lengths_B.max())
    ids_BT, logprobs_BT, lengths_B = ids_BT[:, :width].clone(), logprobs_BT[:, :width].clone(), lengths_B.clone()
    mask_BT = torch.arange(width, device=ids_BT.device) < lengths_B[:, None]
    ended_B = (torch.isin(ids_BT, ends_of(sampling, ids_BT.device)) & mask_BT).any(-1)
    return Completions(ids_BT, logprobs_BT, mask_BT, ended_B)


@torch.inference_mode()
def decode(
    network: PreTrainedModel,
    prompts: Sequence[Sequence[int]],
    seeds: Sequence[int],
    sampling: Sampling,
    watch: Watch | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """(ids_BT, logprobs_BT, lengths_B), T being max_tokens."""
    device = network.device
    copies = copies_of(prompts, seeds)
    uniform_BT = torch.stack([uniforms(seed, sampling.max_tokens) for seed in seeds]).to(device)
    past, pads, logits_PV = read(network, prompts, sampling.pad_id)
    keep = KeyValues(len(past.layers), device)
    keep.start(past, pads, copies, sampling.max_tokens)
    logits_BV = logits_PV.repeat_interleave(copies, 0)

    ids_BT = torch.full_like(uniform_BT, sampling.pad_id, dtype=torch.long)
    logprobs_BT = torch.zeros_like(uniform_BT, dtype=torch.float32)
    lengths_B = torch.zeros(len(seeds), dtype=torch.long, device=device)
    ends_E = ends_of(sampling, device)
    temperature_B = torch.full((len(seeds),), sampling.temperature, device=device)
    top_p_B = torch.full((len(seeds),), sampling.top_p, dtype=torch.float64, device=device)
    written = 0
    rows_B = torch.arange(len(seeds), device=device)  # who is still writing, in the cache's order
    hold = Hold(sampling, len(seeds))
    for t in range(sampling.max_tokens):
        going = len(rows_B)
        held_BV = hold.allowed(logits_BV, rows_B)
        ids_B = sample(held_BV, temperature_B[:going], top_p_B[:going], uniform_BT[rows_B, t])
        hold.take(ids_B, rows_B)
        ids_BT[rows_B, t] = ids_B
        logprobs_BT[rows_B, t] = logprobs_at(logits_BV, ids_B, sampling.temperature)
        lengths_B[rows_B] += 1
        ended = torch.isin(ids_B, ends_E).nonzero()[:, 0].tolist()
        written += going
        if watch is not None:
            watch(len(seeds) - going + len(ended), len(seeds), written)
        if len(ended) == going or t == sampling.max_tokens - 1:
            break
        if ended:
            order = keep.remove(ended)
            rows_B, ids_B = rows_B[order], ids_B[order]
        logits_BV = forward(network, ids_B[:, None], keep.lengths_B[:, None], keep.allowed(), keep.cache)
        keep.advance()
    return ids_BT, logprobs_BT, lengths_B


class Hold:
    """Keeps each row to the grammar, if there is one, until it ends: as the engine holds the answers of the model."""

    def __init__(self, sampling: Sampling, rows: int) -> None:
        self.ends = sampling.ends
        grammar = sampling.grammar
        self.matchers: list[Matcher | None] = [grammar.matcher() if grammar else None for _ in range(rows)]

    def allowed(self, logits_BV: Tensor, rows_B: Tensor) -> Tensor:
        """logits_BV with -inf where a token may not come next."""
        matchers = [self.matchers[row] for row in rows_B.tolist()]
        if not any(matchers):
            return logits_BV
        allowed_BV = torch.ones(logits_BV.shape, dtype=torch.bool)
        for place, matcher in enumerate(matchers):
            if matcher is not None:
                allowed_BV[place] = grammatical(matcher, logits_BV.shape[-1])
        return logits_BV.masked_fill(~allowed_BV.to(logits_BV.device), -torch.inf)

    def take(self, ids_B: Tensor, rows_B: Tensor) -> None:
        for token, row in zip(ids_B.tolist(), rows_B.tolist(), strict=True):
            if token in self.ends:
                self.matchers[row] = None
            elif (matcher := self.matchers[row]) is not None:
                matcher.take(token)


class Draw(LogitsProcessor):
    """Our draw in the place of `generate`'s: only the token that was drawn stays possible."""

    def __init__(self, sampling: Sampling, uniform_BT: Tensor) -> None:
        self.sampling, self.uniform_BT = sampling, uniform_BT
        self.ids: list[Tensor] = []
        self.logprobs: list[Tensor] = []
        self.rows_B = torch.arange(len(uniform_BT), device=uniform_BT.device)
        self.hold = Hold(sampling, len(uniform_BT))

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        logits_BV, uniform_B = scores.float(), self.uniform_BT[:, len(self.ids)]
        temperature_B = torch.full_like(logits_BV[:, 0], self.sampling.temperature)
        held_BV = self.hold.allowed(logits_BV, self.rows_B)
        ids_B = sample(held_BV, temperature_B, torch.full_like(uniform_B, self.sampling.top_p), uniform_B)
        self.hold.take(ids_B, self.rows_B)
        self.ids.append(ids_B)
        self.logprobs.append(logprobs_at(logits_BV, ids_B, self.sampling.temperature))
        return torch.full_like(scores, -torch.inf).scatter(-1, ids_B[:, None], 0.0)


@torch.inference_mode()
def generated(
    network: PreTrainedModel, prompts: Sequence[Sequence[int]], seeds: Sequence[int], sampling: Sampling
) -> tuple[Tensor, Tensor, Tensor]:
    """As `decode`, by `generate`, which knows every kind of cache: every row reads its prompt, and none leaves."""
    device, copies = network.device, copies_of(prompts, seeds)
    rows = [list(prompt) for prompt in prompts for _ in range(copies)]
    width = max(map(len, rows))
    pads_B1 = torch.tensor([[width - len(row)] for row in rows], device=device)
    ids_BP = torch.tensor([[sampling.pad_id] * (width - len(row)) + row for row in rows], device=device)
    uniform_BT = torch.stack([uniforms(seed, sampling.max_tokens) for seed in seeds]).to(device)
    draw = Draw(sampling, uniform_BT)
    config = GenerationConfig(
        do_sample=False,
        max_new_tokens=sampling.max_tokens,
        eos_token_id=sorted(sampling.ends),
        pad_token_id=sampling.pad_id,
        repetition_penalty=1.0,  # whatever the base's own generation config asks for
    )
    network.generate(  # type: ignore[operator]
        input_ids=ids_BP,
        attention_mask=(torch.arange(width, device=device) >= pads_B1).long(),
        generation_config=config,
        logits_processor=LogitsProcessorList([draw]),
    )
    ids_BT, logprobs_BT = torch.stack(draw.ids, 1), torch.stack(draw.logprobs, 1)
    ended_BT = torch.isin(ids_BT, ends_of(sampling, device))
    after_BT = ended_BT.long().cumsum(1) - ended_BT.long() > 0  # drawn for a row that had ended
    lengths_B = (~after_BT).sum(1)
    return ids_BT.masked_fill(after_BT, sampling.pad_id), logprobs_BT.masked_fill(after_BT, 0.0), lengths_B


def copies_of(prompts: Sequence[Sequence[int]], seeds: Sequence[int]) -> int:
    """Completions of each prompt."""
    copies, rest = divmod(len(seeds), len(prompts))
    if rest:
        raise ValueError(f"{len(seeds)} seeds cannot be shared out evenly among {len(prompts)} prompts")
    return copies


def read(network: PreTrainedModel, prompts: Sequence[Sequence[int]], pad_id: int) -> tuple[Cache, list[int], Tensor]:
    """The cache that P prompts leave, the padding before each, and logits_PV of what follows them."""
    width = max(map(len, prompts))
    pads = [width - len(prompt) for prompt in prompts]
    rows = [[pad_id] * pad + list(prompt) for pad, prompt in zip(pads, prompts, strict=True)]
    ids_PT, pads_P = torch.tensor(rows, device=network.device), torch.tensor(pads, device=network.device)
    columns_T = torch.arange(width, device=network.device)
    positions_PT = (columns_T - pads_P[:, None]).clamp(min=0)
    past = Cache(layer_class_to_replicate=DynamicLayer)  # whole, for layers with a window as well
    logits_PV = forward(network, ids_PT, positions_PT, masks.behind_padding(columns_T, width, pads_P), past)
    return past, pads, logits_PV


def forward(
    network: PreTrainedModel, ids_BT: Tensor, positions_BT: Tensor, allowed_B1TW: Tensor, past: Cache
) -> Tensor:
    """logits_BV of the last position, float32."""
    output = network(
        input_ids=ids_BT,
        position_ids=positions_BT,
        attention_mask=masks.for_layers(network.config.get_text_config(), network.dtype, allowed_B1TW),
        past_key_values=past,
        use_cache=True,
        logits_to_keep=1,
    )
    logits_BV: Tensor = output.logits[:, -1].float()
    return logits_BV


def logprobs_at(logits_BV: Tensor, ids_B: Tensor, temperature: float) -> Tensor:
    """logprobs_B of softmax(logits / temperature); of softmax(logits) where it is 0."""
    return torch.log_softmax(logits_BV / (temperature or 1.0), -1).gather(-1, ids_B[:, None])[:, 0]


def uniforms(seed: int, count: int) -> Tensor:
    """float64 in [0, 1), on the CPU: the same whatever the device."""
    return torch.rand(count, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def ends_of(sampling: Sampling, device: torch.device) -> Tensor:
    return torch.tensor(sorted(sampling.ends), dtype=torch.long, device=device)


def base_of(network: PeftModel) -> PreTrainedModel:
    """With the adapter's layers in it."""
    return cast(PreTrainedModel, network.get_base_model())


@contextmanager
def at_rest(network: PeftModel, *, any_mask: bool = True) -> Iterator[None]:
    """Without dropout or gradient checkpointing; then as before. any_mask: with attention that takes any."""
    base = base_of(network)
    training, attention = network.training, base.config._attn_implementation
    change = any_mask and attention != "sdpa"
    network.eval()
    if change:
        base.set_attn_implementation("sdpa")
    try:
        yield
    finally:
        network.train(training)
        if change:
            base.set_attn_implementation(attention)
