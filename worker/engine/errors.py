"""What the engine may have to say to whoever asks it."""

from fettle.errors import FettleError, InvalidRequest, NotFound


class Overloaded(FettleError):
    """The engine is full; the same request succeeds a little later."""

    status, type, code, retry = 429, "rate_limit_error", "engine_overloaded", True


class GenerationFailed(FettleError):
    """The forward pass of a batch broke, or gave no numbers."""

    code = "generation_failed"


class AdapterRejected(InvalidRequest):
    """Files that are not a LoRA adapter which this base model can serve."""

    code = "adapter_rejected"


class UnknownModel(NotFound):
    """No base model has this name, and no loaded adapter."""

    code = "model_not_found"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"The model {name!r} is neither a base model here nor a loaded adapter. "
            "Load it with POST /v1/load_lora_adapter first.",
            param="model",
        )


class WrongKind(InvalidRequest):
    """A reward model asked for a text, or another model for a score."""

    code = "model_not_supported"
