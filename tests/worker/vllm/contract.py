"""What vLLM says on the routes that the agent calls, word for word as vLLM 0.32 said it (docs/vllm.md).

The stand-in of the tests answers with these sentences. `make test-vllm` asks a real vLLM for each of them.
"""

from typing import Any

MAX_LORA_RANK = 16
MAX_MODEL_LEN = 2048
MAX_CHARACTERS = 26_624  # the starter's longest token has 13 characters: 2,048 × 13
TEMPLATE_CHARACTERS = 50  # what the starter's chat template adds around one message of a user

ERRORS: dict[str, tuple[int, dict[str, Any]]] = {
    "unknown_model": (
        404,
        {
            "message": "The model `{name}` does not exist. Valid aliases: {aliases}.",
            "type": "NotFoundError",
            "param": "model",
        },
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
    "no_folder": (
        404,
        {"message": "Loading lora {name} failed: No adapter found for <path>", "type": "NotFoundError", "param": None},
    ),
    "rank_too_high": (
        500,
        {
            "message": "Call to add_lora method failed: Worker failed with error 'LoRA rank {rank} is greater than "
            "max_lora_rank 16.', please check the stack trace above for the root cause",
            "type": "InternalServerError",
            "param": None,
        },
    ),
    "too_long": (
        400,
        {
            "message": "This model's maximum context length is 2048 tokens. However, your prompt contains {characters} "
            "characters (more than 26624 characters, which is the upper bound for 2048 input tokens). Please reduce "
            "the length of the input prompt. (parameter=input_text, value={characters})",
            "type": "BadRequestError",
            "param": "input_text",
        },
    ),
    "too_many_tokens": (
        400,
        {
            "message": "max_tokens={tokens} cannot be greater than max_model_len=2048. Please request fewer output "
            "tokens. (parameter=max_tokens, value={tokens})",
            "type": "BadRequestError",
            "param": "max_tokens",
        },
    ),
}
WRONG_KEY = 401, {"error": "Unauthorized"}
NO_ROUTE = 404, {"detail": "Not Found"}
LOADED = "Success: LoRA adapter '{name}' added successfully."
UNLOADED = "Success: LoRA adapter '{name}' removed successfully."


def error(which: str, **values: object) -> tuple[int, dict[str, Any]]:
    status, fields = ERRORS[which]
    return status, {"error": {**fields, "message": fields["message"].format(**values), "code": status}}


def base_card(name: str) -> dict[str, Any]:
    return {
        "id": name,
        "object": "model",
        "created": 1,
        "owned_by": "vllm",
        "root": f"/models/{name}",
        "parent": None,
        "max_model_len": MAX_MODEL_LEN,
        "permission": [],
    }


def adapter_card(name: str, root: str, base: str) -> dict[str, Any]:
    return {**base_card(name), "root": root, "parent": base, "max_model_len": None}
