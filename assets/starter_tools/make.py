"""Make the starter's adapter for tools: it learns to call functions, and its base stays as it is.

    python -m assets.starter_tools.make

Plain LoRA over all linear layers, on text that `lessons` makes. One core; the same seed gives the same text, and nearly
the same weights.
"""

import argparse
import json
import random
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, cast

import torch
import torch.nn.functional as F
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from assets.starter.make import learning_rate
from assets.starter_tools.lessons import conversations
from fettle.datasets.formats.render import Rendered, Renderer
from fettle.registry.catalog import STARTER

HERE = Path(__file__).parent
RANK = 16
LENGTH_AT_MOST = 448  # tokens
SORTED = 8  # batches
UNREAD_NORM = 3.0  # the embeddings of tokens that the base has read are of length 1.2, those of the others 4.2
SIGNAL = 6.0


def network() -> PeftModel:
    base = AutoModelForCausalLM.from_pretrained(STARTER, dtype=torch.float32)
    config = LoraConfig(r=RANK, lora_alpha=2 * RANK, target_modules="all-linear", task_type="CAUSAL_LM")
    adapted = cast(PeftModel, get_peft_model(base, config))
    tell_apart(adapted)
    return adapted


@torch.no_grad()
def tell_apart(adapted: PeftModel) -> None:
    """The base has never read most characters of JSON, so that their embeddings are nearly one and the same (cosine
    0.99). The first layer's adapters begin with the directions in which these tokens differ, and without the common
    one, which would hide them.
    """
    layers = adapted.base_model.model.model
    embeddings = layers.embed_tokens.weight
    unread_ND = embeddings[embeddings.norm(dim=-1) > UNREAD_NORM]
    first = layers.layers[0]
    for norm, names in (
        (first.input_layernorm, ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")),
        (first.post_attention_layernorm, ("mlp.gate_proj", "mlp.up_proj")),
    ):
        read_ND = norm(unread_ND)
        differing_ND = read_ND - read_ND.mean(0)
        spread = differing_ND.norm(dim=-1).mean()
        _, _, directions_DD = torch.linalg.svd(differing_ND, full_matrices=False)
        for name in names:
            weight_RD = first.get_submodule(name).lora_A["default"].weight
            mixed_RD = torch.randn(RANK, 64) @ directions_DD[:64]
            mixed_RD -= mixed_RD @ read_ND.mean(0)[:, None] @ read_ND.mean(0)[None] / read_ND.mean(0).square().sum()
            weight_RD.copy_(mixed_RD / mixed_RD.norm(dim=-1, keepdim=True) * SIGNAL / spread)


def batches(renderer: Renderer, size: int, seed: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """ids (B, T) padded with 0, and which of them are learned."""
    stream, rng = conversations(seed), random.Random(seed)
    sorted_rows: list[list[Rendered]] = []  # rows of about one length, as padding is computed as well
    while True:
        if not sorted_rows:
            found = [renderer.render(messages, tools=tools) for messages, tools in islice(stream, size * SORTED)]
            found = sorted((row for row in found if len(row.ids) <= LENGTH_AT_MOST), key=lambda row: len(row.ids))
            sorted_rows = [found[first : first + size] for first in range(0, len(found), size)]
            rng.shuffle(sorted_rows)
        rows = sorted_rows.pop()
        width = max(len(row.ids) for row in rows)
        ids = [row.ids + [renderer.pad_id] * (width - len(row.ids)) for row in rows]
        learned = [row.supervised + [False] * (width - len(row.ids)) for row in rows]
        yield torch.tensor(ids), torch.tensor(learned)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--batch", type=int, default=10)
    parser.add_argument("--learning-rate", type=float, default=4e-3)
    parser.add_argument("--seed", type=int, default=20261129)
    parser.add_argument("--out", type=Path, default=HERE)
    options = parser.parse_args()

    torch.manual_seed(options.seed)
    torch.set_num_threads(1)
    renderer, adapted = Renderer(STARTER), network()
    trained = [weight for weight in adapted.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(trained, betas=(0.9, 0.98), weight_decay=0.0)
    started, losses = time.monotonic(), []
    for step, (ids_BT, learned_BT) in enumerate(islice(batches(renderer, options.batch, options.seed), options.steps)):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, options.steps, options.learning_rate, warmup=25)
        hidden_BTH = adapted.base_model.model.model(
            input_ids=ids_BT, attention_mask=(ids_BT != renderer.pad_id).long()
        ).last_hidden_state
        logits_NV = adapted.base_model.model.lm_head(hidden_BTH[:, :-1][learned_BT[:, 1:]])
        loss = F.cross_entropy(logits_NV, ids_BT[:, 1:][learned_BT[:, 1:]])
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        if (step + 1) % 25 == 0:
            print(f"{step + 1} loss {sum(losses[-25:]) / 25:.4f} {time.monotonic() - started:.0f} s", flush=True)
            save(adapted, options.out)
    save(adapted, options.out)


def save(adapted: PeftModel, folder: Path) -> None:
    """bf16 safetensors and PEFT's config, with the catalog's name of the base and no path of this machine."""
    adapted.save_pretrained(str(folder))
    (folder / "README.md").unlink(missing_ok=True) if folder != HERE else None
    weights = folder / "adapter_model.safetensors"
    save_file({name: tensor.to(torch.bfloat16) for name, tensor in load_file(weights).items()}, weights)
    config_file = folder / "adapter_config.json"
    config: dict[str, Any] = json.loads(config_file.read_text()) | {"base_model_name_or_path": "starter"}
    config["target_modules"] = sorted(config["target_modules"])
    config_file.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
    for file in (weights, config_file):
        file.chmod(0o644)


if __name__ == "__main__":
    main()
