"""Base models in memory and the adapters attached to them. Only the decode thread comes here."""

import json
from pathlib import Path
from typing import Any, cast

import torch
from peft import LoraConfig, LoraModel, PeftModel, set_peft_model_state_dict
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, PreTrainedModel

from fettle.errors import Unavailable
from worker.engine.errors import AdapterRejected
from worker.engine.requests import Base

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
SERVED = {"r", "lora_alpha", "use_rslora", "target_modules", "init_lora_weights"}
NO_MATTER = {"auto_mapping", "base_model_name_or_path", "inference_mode", "lora_dropout", "peft_version", "revision"}
NO_MATTER |= {"task_type"}  # what the weights are named for says enough
BASE_KEPT = (True, False, "gaussian")  # initialisations that leave the base's own weights alone
PREFIX, A, B = "base_model.model.", ".lora_A.weight", ".lora_B.weight"
UNKNOWN = "?"  # no slot has this name


class Network:
    """One base model that all its adapters share; at most one of them is active at a time."""

    def __init__(self, base: Base) -> None:
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        network: PreTrainedModel = AutoModelForCausalLM.from_pretrained(
            base.folder,
            dtype=torch.bfloat16 if self.device.type == "cuda" else torch.float32,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
        )
        check_vocabulary(base, network)
        self.network = cast(nn.Module, network).to(self.device).eval()
        self.config = network.config
        self.linears = {
            name: (module.out_features, module.in_features)
            for name, module in network.named_modules()
            if isinstance(module, nn.Linear)
        }
        also = network.generation_config.eos_token_id  # a chat model may end a turn with more than one token
        self.ends = frozenset({base.renderer.eos_id, *(also if isinstance(also, list) else [also])} - {None})
        self.peft: PeftModel | None = None  # since the first adapter; it survives the last one
        self.active: str | None = None

    def logits(self, slot: str | None, **inputs: Any) -> Tensor:
        """logits_BV of the last position, by the adapter in `slot` or by the base. Raises KeyError: no such slot."""
        self.activate(slot)
        logits_B1V: Tensor = self.network(**inputs, use_cache=True, logits_to_keep=1).logits
        return logits_B1V[:, -1]

    def activate(self, slot: str | None) -> None:
        if slot == self.active:
            return
        self.active = UNKNOWN  # until all layers are switched
        if self.peft is None:
            if slot is not None:
                raise KeyError(slot)
        elif slot is None:
            cast(LoraModel, self.peft.base_model).disable_adapter_layers()
        else:
            if slot not in self.peft.peft_config:
                raise KeyError(slot)
            cast(LoraModel, self.peft.base_model).enable_adapter_layers()
            self.peft.set_adapter(slot, inference_mode=True)
        self.active = slot

    def attach(self, slot: str, folder: Path) -> None:
        """Adds the adapter in `folder`. Raises AdapterRejected; then nothing has changed."""
        config = read_config(folder / CONFIG)
        weights = read_weights(folder / WEIGHTS)
        lora = LoraConfig(
            r=config["r"],
            lora_alpha=config["lora_alpha"],
            use_rslora=config.get("use_rslora", False),
            target_modules=check_weights(weights, config["r"], self.linears),
            inference_mode=True,
        )
        # Attaching and detaching change which adapter is active: PEFT activates the first it gets, and another in
        # place of an active one that goes. So the next step must choose anew, or it might speak for another tenant.
        self.active = UNKNOWN
        try:
            if self.peft is None:
                self.peft = PeftModel(self.network, lora, slot, autocast_adapter_dtype=False)
            else:
                self.peft.add_adapter(slot, lora, autocast_adapter_dtype=False)
            set_peft_model_state_dict(self.peft, weights, adapter_name=slot)
            self.peft.eval()
        except BaseException:
            self.detach(slot)
            raise

    def detach(self, slot: str) -> None:
        """Forgetting what is not there does nothing."""
        self.active = UNKNOWN
        if self.peft is not None and slot in self.peft.peft_config:
            self.peft.delete_adapter(slot)


def check_vocabulary(base: Base, network: PreTrainedModel) -> None:
    """An id without an embedding would not fail one request but, on a GPU, the whole process."""
    tokens = base.renderer.tokenizer.get_vocab_size()
    embeddings = cast(nn.Embedding, network.get_input_embeddings()).num_embeddings
    if tokens > embeddings:
        raise Unavailable(
            f"The base model {base.name!r} has {embeddings} embeddings for {tokens} tokens: "
            "its tokenizer belongs to another model."
        )


def read_config(file: Path) -> dict[str, Any]:
    """Plain LoRA and rsLoRA only: what else a config asks for would change the answers, so it is refused by name."""
    try:
        config: dict[str, Any] = json.loads(file.read_text())
        rank, alpha = config["r"], config["lora_alpha"]
    except (ValueError, KeyError, TypeError) as error:
        raise AdapterRejected(f"{CONFIG} is not a LoRA configuration: {error!r}.") from error
    defaults: dict[str, Any] = LoraConfig().to_dict()  # type: ignore[no-untyped-call]
    for name, value in config.items():
        if name not in SERVED | NO_MATTER and value != defaults.get(name):
            raise AdapterRejected(f"{CONFIG} asks for {name!r}: {value!r}, which is not served; only plain LoRA is.")
    if config.get("init_lora_weights", True) not in BASE_KEPT:
        raise AdapterRejected(
            f"{CONFIG}: 'init_lora_weights': {config['init_lora_weights']!r} changed the base model as well; "
            "convert the adapter to a plain LoRA when it is saved."
        )
    if type(rank) is not int or rank < 1 or not isinstance(alpha, int | float):
        raise AdapterRejected(f"{CONFIG}: 'r' {rank!r} and 'lora_alpha' {alpha!r} must be numbers, r at least 1.")
    return config


def read_weights(file: Path) -> dict[str, Tensor]:
    try:
        return load_file(file)
    except SafetensorError as error:
        raise AdapterRejected(f"{WEIGHTS} is not a safetensors file: {error}.") from error


def check_weights(weights: dict[str, Tensor], rank: int, linears: dict[str, tuple[int, int]]) -> list[str]:
    """The names of the adapted linear layers. Raises AdapterRejected when a tensor does not fit its layer."""
    modules = {name.removeprefix(PREFIX).removesuffix(A).removesuffix(B) for name in weights}
    expected: dict[str, tuple[int, int]] = {}
    for module in modules & linears.keys():
        rows, columns = linears[module]
        expected[PREFIX + module + A] = (rank, columns)
        expected[PREFIX + module + B] = (rows, rank)
    for name, tensor in weights.items():
        if name not in expected:
            raise AdapterRejected(f"{WEIGHTS}: the base model has no linear layer for {name!r}.")
        if tuple(tensor.shape) != expected[name]:
            raise AdapterRejected(
                f"{WEIGHTS}: {name!r} has the shape {tuple(tensor.shape)}, but the base model needs {expected[name]}."
            )
    if not weights or expected.keys() != weights.keys():
        missing = sorted(expected.keys() - weights.keys())
        raise AdapterRejected(f"{WEIGHTS} is incomplete: {missing[0] if missing else 'it holds no tensor'!r}.")
    return sorted(modules)


class Networks:
    """Every base that was asked for once; they stay."""

    def __init__(self) -> None:
        self.loaded: dict[str, Network] = {}

    def get(self, base: Base) -> Network:
        if base.name not in self.loaded:
            self.loaded[base.name] = Network(base)
        return self.loaded[base.name]
