"""What vLLM says on the routes that the agent calls, as its source has it (0.33: serving.py of its models, the LoRA
router) and, for `already_loaded`, as it was seen on the wire. No vLLM ran here: it needs a GPU.
"""

from typing import Any

ERRORS: dict[str, tuple[int, dict[str, Any]]] = {
    "unknown_model": (
        404,
        {"message": "The model `{name}` does not exist.", "type": "NotFoundError", "param": "model"},
    ),
    "already_loaded": (
        400,
        {
            "message": "The lora adapter '{name}' has already been loaded. If you want to load the adapter in place, "
            "set 'load_inplace' to True.",
            "type": "InvalidUserInput",
            "param": None,
        },
    ),
    "not_loaded": (
        404,
        {"message": "The lora adapter '{name}' cannot be found.", "type": "NotFoundError", "param": None},
    ),
    "rank_too_high": (
        500,
        {
            "message": "LoRA rank 32 is greater than max_lora_rank 16.",
            "type": "InternalServerError",
            "param": None,
        },
    ),
    "too_long": (
        400,
        {
            "message": "This model's maximum context length is 2048 tokens. However, "
            "your request has 4000 input tokens.",
            "type": "BadRequestError",
            "param": "input_tokens",
        },
    ),
}
LOADED = "Success: LoRA adapter '{name}' added successfully."
UNLOADED = "Success: LoRA adapter '{name}' removed successfully."


def error(which: str, name: str = "") -> tuple[int, dict[str, Any]]:
    status, fields = ERRORS[which]
    return status, {"error": {**fields, "message": fields["message"].format(name=name), "code": status}}


def base_card(name: str) -> dict[str, Any]:
    return {
        "id": name,
        "object": "model",
        "created": 1,
        "owned_by": "vllm",
        "root": f"/models/{name}",
        "parent": None,
        "max_model_len": 2048,
        "permission": [],
    }


def adapter_card(name: str, root: str, base: str) -> dict[str, Any]:
    return {**base_card(name), "root": root, "parent": base, "max_model_len": None}
