"""What an adapter's own configuration may ask for: plain LoRA and rsLoRA. All else would change the answers."""

import json
from pathlib import Path
from typing import Any

from fettle.errors import brief

NAME = "adapter_config.json"
BYTES_AT_MOST = 1 << 20
ALPHA_AT_MOST = 1e6
SERVED = {"r", "lora_alpha", "use_rslora", "target_modules", "init_lora_weights"}
NO_MATTER = {"auto_mapping", "base_model_name_or_path", "inference_mode", "lora_dropout", "peft_version", "revision"}
NO_MATTER |= {"task_type"}  # what the weights are named for says enough
# What PEFT writes of its own accord; all other settings that are neither null, false nor empty would change the answers
WITHOUT_EFFECT = {"peft_type": "LORA", "bias": "none", "megatron_core": "megatron.core", "qalora_group_size": 16}
BASE_KEPT = (True, False, "gaussian")  # initialisations that leave the base's own weights alone
REWARD_MODEL = "SEQ_CLS"  # PEFT's task type for it
HEADS = {"classifier", "score"}


class Unsupported(Exception):
    """Why the adapter cannot be served, as a sentence."""


def read(file: Path) -> dict[str, Any]:
    """A configuration that can be served as it is. Raises Unsupported."""
    try:
        with file.open("rb") as stream:
            content = stream.read(BYTES_AT_MOST + 1)
        if len(content) > BYTES_AT_MOST:
            raise Unsupported(f"{NAME} has more than {BYTES_AT_MOST:,} bytes.")
        config: dict[str, Any] = json.loads(content)
        rank, alpha = config["r"], config["lora_alpha"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise Unsupported(
            f"{NAME} is not a LoRA configuration: it must be a JSON object with 'r' and 'lora_alpha'."
        ) from error
    for name, value in config.items():
        if name == "modules_to_save" and is_reward_model(config) and heads_only(value):
            continue  # PEFT's own, for the head
        if name not in SERVED | NO_MATTER and value and value != WITHOUT_EFFECT.get(name):
            raise Unsupported(f"{NAME} sets {name!r} to {brief(value)}, which is not supported. Only plain LoRA is.")
    if config.get("init_lora_weights", True) not in BASE_KEPT:
        raise Unsupported(
            f"{NAME}: 'init_lora_weights': {brief(config['init_lora_weights'])} changed the base model too. "
            "Convert the adapter to plain LoRA when you save it."
        )
    number = isinstance(alpha, int | float) and not isinstance(alpha, bool) and abs(alpha) <= ALPHA_AT_MOST
    if type(rank) is not int or rank < 1 or not number:
        raise Unsupported(
            f"{NAME}: 'r' is {brief(rank)} and 'lora_alpha' is {brief(alpha)}. Both must be numbers, 'r' at least 1."
        )
    return config


def heads_only(modules: Any) -> bool:
    return isinstance(modules, list) and all(isinstance(name, str) and name in HEADS for name in modules)


def is_reward_model(config: dict[str, Any]) -> bool:
    return config.get("task_type") == REWARD_MODEL
