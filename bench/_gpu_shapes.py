"""The base models of the GPU benchmarks: shapes with random weights, made here, so that nothing is fetched."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fettle.estimates import memory
from fettle.registry.catalog import STARTER

SEED = 7
# Dense bf16 products a second, twice the multiplications, as NVIDIA gives them for the SXM boards
PEAKS = {"H100": 989e12, "H200": 989e12, "A100": 312e12}


@dataclass(frozen=True)
class Size:
    """steps: measured ones come after `warm`. turns: question and answer, of the longest row; about 60 tokens each.
    prompts, group and completion: of a GRPO step."""

    network: dict[str, Any]
    batch_size: int
    steps: int
    warm: int
    turns: int
    max_seq_length: int
    rounds: int
    prompts: int
    group: int
    completion: int

    @property
    def linear_parameters(self) -> int:
        """Of all matrices that a token is multiplied with, the LM head's included."""
        hidden, inner = self.network["hidden_size"], self.network["intermediate_size"]
        head = hidden // self.network["num_attention_heads"]
        attention = 2 * hidden * (hidden + head * self.network["num_key_value_heads"])
        return int(
            self.network["num_hidden_layers"] * (attention + 3 * hidden * inner) + hidden * self.network["vocab_size"]
        )


HALF_BILLION = Size(  # Qwen2.5-0.5B
    network={
        "vocab_size": 151_936,
        "hidden_size": 896,
        "intermediate_size": 4864,
        "num_hidden_layers": 24,
        "num_attention_heads": 14,
        "num_key_value_heads": 2,
        "tie_word_embeddings": True,
    },
    batch_size=32,
    steps=24,
    warm=4,
    turns=16,
    max_seq_length=2048,
    rounds=3,
    prompts=16,
    group=8,
    completion=256,
)
EIGHT_BILLION = Size(  # Llama 3.1 8B, with Qwen's biases on queries, keys and values
    network={
        "vocab_size": 128_256,
        "hidden_size": 4096,
        "intermediate_size": 14_336,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "tie_word_embeddings": False,
    },
    batch_size=16,
    steps=8,
    warm=3,
    turns=16,
    max_seq_length=2048,
    rounds=1,
    prompts=8,
    group=8,
    completion=128,
)
TINY = Size(
    network={
        "vocab_size": 4096,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "tie_word_embeddings": True,
    },
    batch_size=4,
    steps=4,
    warm=1,
    turns=3,
    max_seq_length=256,
    rounds=1,
    prompts=4,
    group=4,
    completion=16,
)
SIZES = {"0.5b": HALF_BILLION, "8b": EIGHT_BILLION, "tiny": TINY}


def make_base(folder: Path, size: Size) -> None:
    """Random weights in bf16, with the starter's tokenizer, whose ids are all below the larger vocabulary. What lies in
    the folder already is used again."""
    import shutil

    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM, set_seed

    if (folder / "chat_template.jinja").is_file():
        return
    set_seed(SEED)
    config = Qwen2Config(**size.network, max_position_embeddings=4096, dtype="bfloat16")
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):  # 8 billion numbers take a CPU minutes
        network = Qwen2ForCausalLM._from_config(config, dtype=torch.bfloat16)
    network.save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copyfile(STARTER / name, folder / name)


def utilisation(size: Size, tokens_per_second: float, device: str) -> float | None:
    """Model FLOPs utilisation (Chowdhery et al. 2022, appendix B) of LoRA: 4 operations a token and parameter, since
    frozen weights have no gradients of their own. Attention and whatever is computed twice do not count. None: a
    device whose peak is not in the table."""
    peak = next((value for name, value in PEAKS.items() if name in device), None)
    return None if peak is None else 4 * size.linear_parameters * tokens_per_second / peak


def planned(folder: Path, size: Size, method: dict[str, Any], available: int) -> int:
    """Bytes that the memory plan expects on the GPU: all but the libraries, which are the host's."""
    apart = 0 if size.network["tie_word_embeddings"] else size.network["vocab_size"] * size.network["hidden_size"]
    base = memory.base_of(folder, size.linear_parameters + apart)
    assert base is not None
    found = memory.parts(base, method, on_gpu=True, available=available)
    return found.total - found.libraries
