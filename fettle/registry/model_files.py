"""What a base model's own files tell about it: size, length, layers, licence, family and how its turns end."""

import json
import math
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fettle.registry import families

LENGTHS = ("max_position_embeddings", "n_positions", "max_sequence_length", "seq_length", "n_ctx")
LAYERS = ("num_hidden_layers", "n_layer", "num_layers")
HEADER_AT_MOST = 100 << 20  # bytes, as safetensors itself has it
CONFIG_AT_MOST = 16 << 20
SANE_LENGTH = 10_000_000  # tokens; tokenizers without a limit say 1e30


class Unreadable(Exception):
    """The files do not tell, as half a sentence that says which."""


@dataclass(frozen=True)
class Facts:
    """parameters: number of weights. length: longest sequence, tokens. stops: texts that end the assistant's turn."""

    parameters: int
    length: int
    layers: int | None
    vocabulary: int | None
    architecture: str
    family: str | None
    license: str
    dtype: str | None
    stops: tuple[str, ...]
    quantized: bool

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "stops": list(self.stops)}


def read(folder: Path) -> Facts:
    """Blocking; reads headers and no weights. Raises Unreadable."""
    config = load(folder / "config.json")
    text = config.get("text_config") if isinstance(config.get("text_config"), dict) else {}
    both = {**config, **(text or {})}
    tokenizer = load(folder / "tokenizer_config.json") if (folder / "tokenizer_config.json").is_file() else {}
    length = first_number(both, LENGTHS) or sane(tokenizer.get("model_max_length"))
    if length is None:
        raise Unreadable(f"{folder / 'config.json'} has no max_position_embeddings")
    family = families.find(both)
    architectures = config.get("architectures") or [str(config.get("model_type", "unknown"))]
    return Facts(
        parameters=count(folder),
        length=length,
        layers=first_number(both, LAYERS),
        vocabulary=first_number(both, ("vocab_size",)),
        architecture=str(architectures[0]),
        family=family.name if family else None,
        license=license_of(folder),
        dtype=both.get("dtype") or both.get("torch_dtype"),
        stops=stops(folder, tokenizer),
        quantized="quantization_config" in config,
    )


def load(file: Path) -> dict[str, Any]:
    try:
        if file.stat().st_size > CONFIG_AT_MOST:
            raise Unreadable(f"{file} has more than {CONFIG_AT_MOST:,} bytes")
        found = json.loads(file.read_bytes())
    except OSError as error:
        raise Unreadable(f"{file} cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise Unreadable(f"{file} is not JSON") from error
    if not isinstance(found, dict):
        raise Unreadable(f"{file} is not a JSON object")
    return found


def count(folder: Path) -> int:
    """The weights, from the headers of the safetensors files."""
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise Unreadable(f"{folder} has no .safetensors file")
    return sum(math.prod(shape) for file in files for shape in shapes(file).values())


def shapes(file: Path) -> dict[str, list[int]]:
    """Of the tensors in a safetensors file, by name. Raises Unreadable."""
    try:
        with file.open("rb") as stream:
            size = int.from_bytes(stream.read(8), "little")
            if size > HEADER_AT_MOST:
                raise Unreadable(f"{file} is not a safetensors file")
            header = json.loads(stream.read(size))
        return {name: about["shape"] for name, about in header.items() if name != "__metadata__"}
    except OSError as error:
        raise Unreadable(f"{file} cannot be read ({error.strerror})") from error
    except (ValueError, AttributeError, TypeError, KeyError) as error:
        raise Unreadable(f"{file} is not a safetensors file") from error


def first_number(config: dict[str, Any], names: tuple[str, ...]) -> int | None:
    return next((found for name in names if (found := sane(config.get(name))) is not None), None)


def sane(value: Any) -> int | None:
    valid = isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= SANE_LENGTH
    return int(value) if valid else None


def license_of(folder: Path) -> str:
    """As the model card's front matter says."""
    try:
        card = (folder / "README.md").read_text(errors="replace")[:20_000]
    except OSError:
        return "unknown"
    front = re.match(r"---\n(.*?)\n---", card, re.DOTALL)
    fields = re.findall(r"^(license|license_name): *([\w.-]+)", front[1] if front else "", re.MULTILINE)
    named = dict(fields)
    return named.get("license_name") or named.get("license") or "unknown"


def stops(folder: Path, tokenizer: dict[str, Any]) -> tuple[str, ...]:
    """The end-of-text token, and the others that the generation config ends with."""
    eos = tokenizer.get("eos_token")
    named = [str(eos["content"] if isinstance(eos, dict) else eos)] if eos else []
    file = folder / "generation_config.json"
    try:
        ids = load(file).get("eos_token_id") if file.is_file() else None
    except Unreadable:
        ids = None
    known = {
        str(number): token.get("content") for number, token in (tokenizer.get("added_tokens_decoder") or {}).items()
    }
    others = [known.get(str(each)) for each in (ids if isinstance(ids, list) else [ids])]
    return tuple(dict.fromkeys([*named, *(each for each in others if each)]))
