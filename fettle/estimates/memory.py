"""How much memory a job takes on its device, from the base model's config and the job's settings; bytes.

The same formulas decide in the training process whether gradient checkpointing is needed.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from fettle.host import cpu

Precision = Literal["bf16", "fp32"]

FITS = 0.6  # of the device's memory; the rest is for optimizer, workspace and fragmentation
# TRL's LM head computes float32 logits of this many tokens and words at a time, and holds as many such tiles
TILE_TOKENS, TILE_WORDS, TILES = 4096, 32_768, 3
NF4_SHRINKS = 3.5  # 16 bits to 4, with double quantization 4.13 (Dettmers et al. 2023, section 3); embeddings stay
LIBRARIES = 550 << 20  # what a training process takes before it has a model: 0.58 GiB with the starter, measured
TRAINED = 16  # bytes of a weight that is trained: itself, its gradient and Adam's two moments, float32
TOKENS_AT_ONCE = {"cpu": 1024, "gpu": 16_384}  # of a forward pass
ROWS_SAMPLED = 64  # completions that are generated together, at most
SAMPLES = frozenset({"reinforcement", "rlhf"})


@dataclass(frozen=True)
class Load:
    """What a run brings to the device. tokens: of one forward pass. vocabulary: 0 where no logits are computed."""

    weights: int  # bytes as they are stored
    layers: int
    hidden: int
    intermediate: int
    tokens: int
    nf4: bool = False
    vocabulary: int = 0


def activations(load: Load, precision: Precision) -> int:
    """Bytes that the backward pass needs of the forward pass.

    34 · hidden bytes a token and layer in 16 bits, of which 19 are the MLP's (Korthikanti et al. 2022, section 4.1,
    without the attention scores, which fused kernels do not store). A gated MLP of its own width keeps its input and
    four tensors of that width instead: 2 · hidden + 8 · intermediate.
    """
    of_a_token = load.layers * (15 * load.hidden + 2 * load.hidden + 8 * load.intermediate)
    return load.tokens * of_a_token * (1 if precision == "bf16" else 2)


def logits(load: Load) -> int:
    """Bytes of the LM head's tiles."""
    return TILES * 4 * min(load.tokens, TILE_TOKENS) * min(load.vocabulary, TILE_WORDS)


@dataclass(frozen=True)
class Base:
    """A base model's sizes. key_values: numbers that a token leaves in a layer's cache. large: a CPU that computes in
    bf16 does so with it."""

    parameters: int
    layers: int
    hidden: int
    intermediate: int
    vocabulary: int
    key_values: int
    large: bool = False


def base_of(folder: Path, parameters: int) -> Base | None:
    """From the model's config; None where it is not on this machine or says other things."""
    try:
        config: dict[str, Any] = json.loads((folder / "config.json").read_bytes())
        text = config.get("text_config") or config
        hidden, heads = int(text["hidden_size"]), int(text["num_attention_heads"])
        head = int(text.get("head_dim") or hidden // heads)
        return Base(
            parameters=parameters,
            layers=int(text["num_hidden_layers"]),
            hidden=hidden,
            intermediate=int(text.get("intermediate_size") or 4 * hidden),
            vocabulary=int(text["vocab_size"]),
            key_values=2 * head * int(text.get("num_key_value_heads") or heads),
            large=cpu.is_large(folder),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


@dataclass(frozen=True)
class Parts:
    """Bytes of a run, by what holds them."""

    libraries: int
    weights: int
    adapter: int
    activations: int
    logits: int
    cache: int  # of keys and values, where completions are sampled
    checkpointed: bool

    @property
    def total(self) -> int:
        return self.libraries + self.weights + self.adapter + self.activations + self.logits + self.cache


def parts(base: Base, method: dict[str, Any], *, on_gpu: bool, available: int | None, cpu_bf16: bool = False) -> Parts:
    """method: resolved. available: of the device; None: not known, then nothing is computed twice to save memory.
    cpu_bf16: of the worker; it trains large base models in bf16."""
    kind = method["type"]
    asked = method[kind]["hyperparameters"]
    precision: Precision = "bf16" if on_gpu or (cpu_bf16 and base.large) else "fp32"
    number = 2 if precision == "bf16" else 4  # bytes
    nf4 = asked.get("quantization") == "nf4"
    tokens = tokens_at_once(asked["batch_size"], asked["max_seq_length"], on_gpu)
    load = Load(
        weights=round(base.parameters * 2),
        layers=base.layers,
        hidden=base.hidden,
        intermediate=base.intermediate,
        tokens=tokens,
        nf4=nf4,
        vocabulary=0 if kind == "reward_model" else base.vocabulary,
    )
    weights = round(2 * base.parameters / NF4_SHRINKS) if nf4 else base.parameters * number
    kept = activations(load, precision)
    checkpointed = available is not None and weights + kept + logits(load) > FITS * available
    if checkpointed:  # a tensor of each layer, and all of one layer
        kept = kept // base.layers + tokens * base.layers * base.hidden * number
    rows = min(ROWS_SAMPLED, asked["batch_size"] * asked.get("group_size", 1)) if kind in SAMPLES else 0
    cache = rows * asked["max_seq_length"] * base.layers * base.key_values * number
    adapters = 2 if kind == "rlhf" else 1  # the reward model's beside the policy's
    return Parts(
        libraries=LIBRARIES,
        weights=weights,
        adapter=adapters * TRAINED * lora_weights(base, asked["lora"]["rank"]),
        activations=kept,
        logits=logits(load),
        cache=cache,
        checkpointed=checkpointed,
    )


def tokens_at_once(rows: int, max_seq_length: int, on_gpu: bool) -> int:
    """Of one forward pass, at most: a batch is cut into parts, but no row is."""
    return max(max_seq_length, min(rows * max_seq_length, TOKENS_AT_ONCE["gpu" if on_gpu else "cpu"]))


def lora_weights(base: Base, rank: int) -> int:
    """Of all linear layers: rank × (inputs + outputs) each (Hu et al. 2021); the attention's as wide as the model."""
    attention = 2 * (base.hidden + base.hidden) + 2 * (base.hidden + base.key_values // 2)
    mlp = 3 * (base.hidden + base.intermediate)
    return rank * base.layers * (attention + mlp)


@dataclass(frozen=True)
class Knob:
    """A setting that makes the job fit. total: bytes with it."""

    parameter: str
    value: Any
    total: int


def knobs(base: Base, method: dict[str, Any], *, on_gpu: bool, available: int, cpu_bf16: bool = False) -> list[Knob]:
    """Each alone makes the job fit. Empty: none does."""
    found: list[Knob] = []
    for parameter, value in candidates(method):
        asked = changed(method, parameter, value)
        total = parts(base, asked, on_gpu=on_gpu, available=available, cpu_bf16=cpu_bf16).total
        if total <= available and parameter not in [knob.parameter for knob in found]:
            found.append(Knob(parameter, value, total))
    return found


def candidates(method: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """The least change of a setting first."""
    asked = method[method["type"]]["hyperparameters"]
    if asked.get("quantization") is None:
        yield "quantization", "nf4"
    length = asked["max_seq_length"]
    while (length := length // 2) >= 256:
        yield "max_seq_length", length
    size = asked.get("group_size", 1)
    while (size := size // 2) >= 2:
        yield "group_size", size
    size = asked["batch_size"]
    while (size := size // 2) >= 1:
        yield "batch_size", size
    for rank in (8, 1):
        if rank < asked["lora"]["rank"]:
            yield "lora.rank", rank


def changed(method: dict[str, Any], parameter: str, value: Any) -> dict[str, Any]:
    kind = method["type"]
    asked = method[kind]["hyperparameters"]
    if parameter == "lora.rank":
        asked = {**asked, "lora": {**asked["lora"], "rank": value}}
    else:
        asked = {**asked, parameter: value}
    return {**method, kind: {**method[kind], "hyperparameters": asked}}


def shown(size: int) -> str:
    return f"{size / 2**30:.2f} GiB"
