"""An adapter's tensors, as PEFT names them: which layers they adapt, and whether they fit a base and are numbers."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fettle.registry.adapter_config import Unsupported

NAME = "adapter_model.safetensors"
PREFIX, A, B = "base_model.model.", ".lora_A.weight", ".lora_B.weight"
HEAD = PREFIX + "score.weight"  # what PEFT saves whole of a reward model
PIECE = 16 << 20  # bytes that are looked at together
EXPONENTS = {  # of the types that adapters have: all bits of the exponent are set in what is not a number
    "F32": ("<u4", 0x7F80_0000),
    "F16": ("<u2", 0x7C00),
    "BF16": ("<u2", 0x7F80),
}

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Tensor:
    """begin, end: bytes of the file."""

    dtype: str
    shape: Shape
    begin: int
    end: int


def adapted_layers(shapes: Mapping[str, Shape], rank: int, linears: Mapping[str, Shape]) -> list[str]:
    """The names of the linear layers that the tensors adapt. linears: the base's, as (out, in).

    Raises Unsupported unless each of them has its A and its B, in the shapes that it needs.
    """
    layers = {name.removeprefix(PREFIX).removesuffix(A).removesuffix(B) for name in shapes}
    expected: dict[str, Shape] = {}
    for layer in layers & linears.keys():
        rows, columns = linears[layer]
        expected[PREFIX + layer + A] = (rank, columns)
        expected[PREFIX + layer + B] = (rows, rank)
    for name, shape in shapes.items():
        if name not in expected:
            raise Unsupported(f"{NAME}: the base model has no linear layer for {name!r}.")
        if shape != expected[name]:
            raise Unsupported(f"{NAME}: {name!r} has the shape {shape}, but the base model needs {expected[name]}.")
    if not shapes or expected.keys() != shapes.keys():
        missing = sorted(expected.keys() - shapes.keys())
        raise Unsupported(
            f"{NAME} is incomplete: {f'{missing[0]!r} is missing' if missing else 'it contains no tensors'}."
        )
    return sorted(layers)


def head_fits(shape: Shape | None, hidden: int) -> None:
    """Of a reward model. Raises Unsupported."""
    if shape is None:
        raise Unsupported(f"{NAME} is incomplete: {HEAD!r}, the head that scores, is missing.")
    if shape != (1, hidden):
        raise Unsupported(f"{NAME}: {HEAD!r} has the shape {shape}, but a reward model on this base has {(1, hidden)}.")


def not_numbers(name: str) -> Unsupported:
    return Unsupported(f"{NAME}: {name!r} contains values that are not numbers. Its training diverged.")


def tensors(file: Path) -> dict[str, Tensor]:
    """From the header, which safetensors has checked against the file. Raises Unsupported."""
    from safetensors import SafetensorError, safe_open  # here: the API starts without it

    try:
        with safe_open(file, framework="numpy"):
            pass
        with file.open("rb") as stream:
            size = int.from_bytes(stream.read(8), "little")
            header = json.loads(stream.read(size))
    except (SafetensorError, OSError, ValueError) as error:
        raise Unsupported(f"{NAME} is not a safetensors file: {error}.") from error
    header.pop("__metadata__", None)
    return {
        name: Tensor(about["dtype"], tuple(about["shape"]), *(8 + size + offset for offset in about["data_offsets"]))
        for name, about in header.items()
    }


def check_numbers(file: Path, found: Mapping[str, Tensor]) -> None:
    """Raises Unsupported for infinities, NaN, and types that adapters do not have."""
    import numpy as np  # here: the API starts without it

    with file.open("rb") as stream:
        for name, tensor in found.items():
            if tensor.dtype not in EXPONENTS:
                raise Unsupported(
                    f"{NAME}: {name!r} has the type {tensor.dtype}. Save the adapter as one of: {', '.join(EXPONENTS)}."
                )
            word, exponent = EXPONENTS[tensor.dtype]
            stream.seek(tensor.begin)
            for start in range(tensor.begin, tensor.end, PIECE):
                words = np.frombuffer(stream.read(min(PIECE, tensor.end - start)), word)
                if np.any((words & exponent) == exponent):
                    raise not_numbers(name)
