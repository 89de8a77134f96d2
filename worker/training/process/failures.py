"""From an exception to what the user reads: the job's `error`."""

import errno
from collections.abc import Iterator

import torch

from fettle.errors import TrainingFailed


def explain(error: BaseException) -> TrainingFailed:
    """An exception, or one that it came from, in the user's words."""
    for cause in causes(error):
        if isinstance(cause, TrainingFailed):
            return cause
        if out_of_memory(cause):
            return TrainingFailed(
                "out_of_memory",
                "Training ran out of memory. Lower batch_size or max_seq_length and start the job again.",
                "batch_size",
            )
        if disk_full(cause):
            return TrainingFailed(
                "disk_full",
                "The worker's disk is full, so that no checkpoint could be saved. Free space there, or point the "
                "worker's data folder at a larger disk, and start the job again.",
            )
    first_line = next(iter(str(error).strip().splitlines()), "")
    return TrainingFailed("training_failed", f"{type(error).__name__}: {first_line}".removesuffix(": "))


def causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def out_of_memory(error: BaseException) -> bool:
    """torch's CPU allocator raises a plain RuntimeError."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def disk_full(error: BaseException) -> bool:
    """safetensors raises an error of its own with the system's text; torch.save only knows that a write failed."""
    full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    return full or any(text in str(error) for text in ("No space left on device", "iostream error"))
