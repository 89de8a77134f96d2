"""The base model, its tokenizer and a fresh LoRA adapter in it."""

import importlib.util
import json
from pathlib import Path
from typing import Any

import torch
from peft import (
    LoraConfig,
    PeftModel,
    get_peft_model,
    get_peft_model_state_dict,
    prepare_model_for_kbit_training,
    set_peft_model_state_dict,
)
from safetensors.torch import load_file
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BitsAndBytesConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    set_seed,
)

from fettle.datasets.formats.render import Renderer
from fettle.errors import TrainingFailed
from fettle.registry import score_heads
from worker.training import arguments, pooling
from worker.training.distributed import ranks
from worker.training.model import adapter, attention, device
from worker.training.model import quantization as quantizer
from worker.training.model.device import DevicePlan
from worker.training.process.channel import Channel
from worker.training.process.job_spec import Work

# bitsandbytes on a CPU with AVX512-BF16: from the first validation on, layers would use a kernel that has no gradient
UNDIFFERENTIABLE = "support_avx512bf16_for_cpu"


FUSED = frozenset({"mamba", "mamba2", "falcon_mamba", "falcon_h1", "nemotron_h"})  # as PEFT's tuners_utils has them


def network(work: Work, channel: Channel, *, scores: bool = False) -> PeftModel:
    """The base model with an adapter, fresh or the one to go on from; says on what it runs and how large both are.

    scores: a scalar head in the LM head's place. Raises TrainingFailed.
    """
    if scores and (flaw := score_heads.flaw(work.base_name, json.loads((work.base_path / "config.json").read_bytes()))):
        raise TrainingFailed("base_model_unsupported", flaw, "model")
    plan = device.plan(work, arguments.rows_at_once(ranks.share(work.hyperparameters["batch_size"])))
    quantization = work.hyperparameters.get("quantization")
    together = f"{ranks.count()} × " if ranks.count() > 1 else ""
    channel.event(
        f"Device: {together}{plan}{', base in nf4' if quantization else ''}",
        {
            "device": plan.name,
            "devices": ranks.count(),
            "precision": plan.precision,
            "attention": plan.attention,
            "gradient_checkpointing": plan.gradient_checkpointing,
            "quantization": quantization,
        },
    )
    set_seed(work.seed)  # a fresh head is random
    head = {"scores": scores}
    base = quantized(work.base_path, plan, **head) if quantization else base_model(work.base_path, plan, **head)
    parameters = base.num_parameters()
    adapted = with_lora(base, work.hyperparameters["lora"], work.seed, scores=scores)
    if work.start:
        go_on_from(adapted, work.start)
    trainable = adapted.num_parameters(only_trainable=True)
    channel.event(
        f"Base model {work.base_name} loaded: {parameters:,} parameters. The LoRA adapter trains {trainable:,}.",
        {"parameters": parameters, "trainable_parameters": trainable},
    )
    return adapted


def base_model(path: Path, plan: DevicePlan, *, scores: bool = False, **options: Any) -> PreTrainedModel:
    """Safetensors only, no code; float32 on a CPU. scores: with a scalar head, drawn from torch's generator."""
    kind, labels = (AutoModelForSequenceClassification, {"num_labels": 1}) if scores else (AutoModelForCausalLM, {})
    attention.use_float32_on_cpus()
    network: PreTrainedModel = kind.from_pretrained(
        path,
        **labels,
        dtype=plan.dtype,
        attn_implementation=plan.attention,
        local_files_only=True,
        trust_remote_code=False,
        use_safetensors=True,
        **options,
    )
    return pooling.at_last_token(network) if scores else network


def quantized(path: Path, plan: DevicePlan, *, scores: bool = False) -> PreTrainedModel:
    """The base with its linear layers in nf4, computing in the plan's precision (QLoRA, Dettmers et al. 2023).

    The scales of the blocks are quantized too (double quantization); embeddings and LM head stay as they are. Raises
    TrainingFailed where that cannot be.
    """
    quantizer.show()
    refuse_unquantizable(path)
    base = base_model(
        path,
        plan,
        scores=scores,
        device_map={"": ranks.local() if plan.on_gpu else "cpu"},  # quantized as they are loaded, where they shall stay
        quantization_config=BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=plan.dtype,
        ),
    )
    for module in base.modules():
        if hasattr(module, UNDIFFERENTIABLE):
            setattr(module, UNDIFFERENTIABLE, False)
    prepared: PreTrainedModel = prepare_model_for_kbit_training(base, use_gradient_checkpointing=False)
    return prepared  # norms and embeddings in float32; the trainer turns checkpointing on where it is planned


def refuse_unquantizable(path: Path) -> None:
    if importlib.util.find_spec("bitsandbytes") is None:
        raise TrainingFailed(
            "quantization_unavailable",
            "quantization 'nf4' needs the package bitsandbytes, which this worker does not have. Install it there "
            "(pip install 'fettle[quantization]'), or leave quantization out.",
            "quantization",
        )
    if "quantization_config" in json.loads((path / "config.json").read_text()):
        raise TrainingFailed(
            "quantization_unavailable",
            "The weights of this base model are quantized already, so that they cannot be turned into nf4. Leave "
            "quantization out, or choose the base model's unquantized form.",
            "quantization",
        )


def restore_precision(network: PeftModel) -> None:
    """The adapter in float32, also on a quantized base.

    TRL makes it bf16 there; with 8 bits of mantissa, updates below a 256th of a weight would be lost.
    """
    for tensor in network.parameters():
        if tensor.requires_grad:
            tensor.data = tensor.data.float()


def tokenizer(path: Path) -> PreTrainedTokenizerBase:
    return AutoTokenizer.from_pretrained(path, local_files_only=True, trust_remote_code=False)


def ends_of(network: PeftModel, renderer: Renderer) -> frozenset[int]:
    """The tokens that end a completion, as generation knows them."""
    known = network.generation_config.eos_token_id
    return frozenset({renderer.eos_id, *([known] if isinstance(known, int) else known or [])})


def with_lora(base: PreTrainedModel, lora: dict[str, Any], seed: int, *, scores: bool = False) -> PeftModel:
    """Adds an adapter to the linear layers that are asked for (Hu et al. 2021); its A is random, its B zero.

    Raises TrainingFailed for a layer that there is not.
    """
    refuse_unknown_layers(base, lora["target_modules"])
    set_seed(seed)
    config = LoraConfig(
        r=lora["rank"],
        lora_alpha=lora["alpha"],
        lora_dropout=lora["dropout"],
        target_modules=lora["target_modules"],
        use_rslora=lora["use_rslora"],
        exclude_modules=read_past_adapters(base) if lora["target_modules"] == "all-linear" else None,
        task_type="SEQ_CLS" if scores else "CAUSAL_LM",  # with the former PEFT trains and saves the head as well
    )
    return get_peft_model(base, config)


def read_past_adapters(base: PreTrainedModel) -> list[str] | None:
    """Linear layers whose weight a recurrent layer reads without calling them, so that an adapter would do nothing.

    PEFT refuses the output projection of the architectures whose fused kernels do that.
    """
    names = {name.rpartition(".")[2] for name, _ in base.named_modules()}
    found = names & ({"dt_proj"} | ({"out_proj"} if base.config.model_type in FUSED else set()))
    return sorted(found) or None


def go_on_from(network: PeftModel, folder: Path) -> None:
    """Puts the adapter's weights in the place of the fresh ones. Raises TrainingFailed unless they fit.

    A model that chats has no scalar head: a reward model that goes on from it keeps its fresh one.
    """
    weights = load_file(folder / adapter.WEIGHTS)
    fresh = get_peft_model_state_dict(network)
    own = {name: tuple(tensor.shape) for name, tensor in fresh.items()}
    lora = {name for name in own if "lora_" in name}
    if {name for name in weights if "lora_" in name} != lora or any(
        tuple(weights[name].shape) != own[name] for name in lora
    ):
        raise TrainingFailed(
            "adapter_does_not_fit",
            "The adapter to go on from has another rank or other target_modules than this job's lora: leave 'lora' "
            "out, and they are taken from it.",
            "lora",
        )
    set_peft_model_state_dict(network, {name: weights.get(name, tensor) for name, tensor in fresh.items()})


def refuse_unknown_layers(base: PreTrainedModel, wanted: list[str] | str) -> None:
    """PEFT would only complain if none of the names matched."""
    head = base.get_output_embeddings()
    layers = {
        name.rpartition(".")[2]
        for name, layer in base.named_modules()
        if isinstance(layer, torch.nn.Linear) and layer is not head
    }
    for name in [] if isinstance(wanted, str) else wanted:
        if name not in layers:
            raise TrainingFailed(
                "unknown_target_modules",
                f"The base model has no linear layer {name!r}; choose from: {', '.join(sorted(layers))}.",
                "lora.target_modules",
            )
