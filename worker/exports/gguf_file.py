"""A merged model as one GGUF file, for llama.cpp and Ollama: weights, tokenizer and chat template.

Families: Llama (Mistral, SmolLM2), Qwen2 and Qwen3, with a byte-level BPE tokenizer whose cuts llama.cpp knows. All
else is refused, because a file that loads and cuts text otherwise answers worse without a word. Transformers loads the
file again, and its log-probabilities are compared, before it is kept.
"""

import json
from pathlib import Path
from typing import Any

from fettle.errors import InvalidRequest

FAMILIES = {"llama": "LLAMA", "mistral": "LLAMA", "qwen2": "QWEN2", "qwen3": "QWEN3"}  # model_type: gguf's
# What llama.cpp calls the cuts that come before BPE, by the patterns in tokenizer.json, in order
GPT2 = "ByteLevel"
QWEN = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
LLAMA3 = QWEN.replace(r"|\p{N}|", r"|\p{N}{1,3}|")
CUTS = {
    (GPT2,): "gpt-2",
    (r"\p{N}", GPT2): "smollm",
    ("Digits", GPT2): "smollm",
    (QWEN,): "qwen2",
    (LLAMA3,): "llama-bpe",
}
PROMPTS = ("What is 12 - 5?", "Write one sentence about the sea.", "1, 2, 3, 4,")
TOLERANCE = {"float32": 1e-3, "bfloat16": 0.15}  # of a log-probability; the check reads and computes in float32


def write(folder: Path, target: Path) -> str:
    """folder: of the merged model. Returns what the check saw. Raises InvalidRequest for what GGUF cannot say."""
    import gguf

    config = json.loads((folder / "config.json").read_text())
    kind = config["model_type"]
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    if kind not in FAMILIES:
        raise InvalidRequest(f"GGUF is written for {', '.join(FAMILIES)}, not for {kind!r}. Export safetensors.")
    if rope.get("rope_type", "default") != "default":
        raise InvalidRequest(f"GGUF with the rope type {rope['rope_type']!r} is not supported. Export safetensors.")
    cuts = cuts_of(json.loads((folder / "tokenizer.json").read_text()))
    family = FAMILIES[kind]
    writer = gguf.GGUFWriter(target, family.lower())
    add_parameters(writer, config, rope)
    add_tokenizer(writer, folder, config["vocab_size"], cuts)
    add_weights(writer, folder, config, gguf.MODEL_ARCH[family])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return compare(folder, target, str(config.get("dtype") or "float32"))


def cuts_of(tokenizer: dict[str, Any]) -> str:
    """Raises InvalidRequest for a tokenizer that llama.cpp would read otherwise."""
    model, before = tokenizer["model"], tokenizer.get("pre_tokenizer") or {}
    steps = before.get("pretokenizers", [before])
    patterns = []
    for step in steps:
        if step.get("type") == "Split":
            patterns.append(step["pattern"].get("Regex", ""))
        elif step.get("type") != "ByteLevel" or step.get("use_regex", True):
            patterns.append(step.get("type", ""))
    found = CUTS.get(tuple(patterns)) if model["type"] == "BPE" else None
    if found is None:
        raise InvalidRequest("llama.cpp does not know how this model's tokenizer cuts text. Export safetensors.")
    return found


def add_parameters(writer: Any, config: dict[str, Any], rope: dict[str, Any]) -> None:
    import gguf

    heads = config["num_attention_heads"]
    width = config.get("head_dim") or config["hidden_size"] // heads
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(config.get("num_key_value_heads") or heads)
    writer.add_key_length(width)
    writer.add_value_length(width)
    writer.add_rope_dimension_count(width)
    writer.add_rope_freq_base(float(rope.get("rope_theta") or config.get("rope_theta") or 10_000.0))
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_vocab_size(config["vocab_size"])
    types = gguf.LlamaFileType
    writer.add_file_type(types.MOSTLY_BF16 if config.get("dtype") == "bfloat16" else types.ALL_F32)


def add_tokenizer(writer: Any, folder: Path, size: int, cuts: str) -> None:
    import gguf
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    described = json.loads((folder / "tokenizer.json").read_text())
    names = {number: text for text, number in tokenizer.get_vocab().items()}
    added = {each["id"]: each["special"] for each in described.get("added_tokens", [])}
    texts = [names.get(number, f"[PAD{number}]") for number in range(size)]  # rows of the embedding without a token
    kinds = [
        gguf.TokenType.UNUSED
        if number not in names
        else {None: gguf.TokenType.NORMAL, True: gguf.TokenType.CONTROL, False: gguf.TokenType.USER_DEFINED}[
            added.get(number)
        ]
        for number in range(size)
    ]
    merges = [each if isinstance(each, str) else " ".join(each) for each in described["model"]["merges"]]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(cuts)
    writer.add_token_list(texts)
    writer.add_token_types(kinds)
    writer.add_token_merges(merges)
    for add, number in (
        (writer.add_bos_token_id, tokenizer.bos_token_id),
        (writer.add_eos_token_id, tokenizer.eos_token_id),
        (writer.add_pad_token_id, tokenizer.pad_token_id),
    ):
        if number is not None:
            add(number)
    writer.add_add_bos_token(bool(tokenizer("x").input_ids[:1] == [tokenizer.bos_token_id]))
    if tokenizer.chat_template:
        writer.add_chat_template(tokenizer.chat_template)


def add_weights(writer: Any, folder: Path, config: dict[str, Any], family: Any) -> None:
    """In the dtype of the merged model; norms and biases in float32, as llama.cpp wants them."""
    import gguf
    import torch
    from safetensors.torch import load_file

    names = gguf.get_tensor_name_map(family, config["num_hidden_layers"])
    turned = family == gguf.MODEL_ARCH.LLAMA
    heads = config["num_attention_heads"]
    by_head = {"q_proj": heads, "k_proj": config.get("num_key_value_heads") or heads}
    for file in sorted(folder.glob("*.safetensors")):
        for name, weight in load_file(file).items():
            place = names.get_name(name, try_suffixes=(".weight", ".bias"))
            if place is None:
                raise InvalidRequest(f"GGUF has no name for the weight {name!r} of this model. Export safetensors.")
            part = name.split(".")[-2]
            if turned and part in by_head:
                weight = halves_to_pairs(weight, by_head[part])
            if weight.ndim == 1 or weight.dtype == torch.float32:
                writer.add_tensor(place, weight.float().numpy())
            else:
                bits = weight.to(torch.bfloat16).contiguous().view(torch.uint8).numpy()
                writer.add_tensor(place, bits, raw_dtype=gguf.GGMLQuantizationType.BF16)


def halves_to_pairs(weight: Any, heads: int) -> Any:
    """Rows of each head as llama.cpp rotates them: dimension i beside dimension i + half, not a half apart."""
    rows = weight.shape[0] // heads
    return weight.reshape(heads, 2, rows // 2, *weight.shape[1:]).transpose(1, 2).reshape(weight.shape)


def compare(folder: Path, target: Path, dtype: str) -> str:
    """Raises InvalidRequest where the file gives other log-probabilities than the merged model."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    config = AutoConfig.from_pretrained(folder, local_files_only=True)
    common = {"dtype": torch.float32, "local_files_only": True}
    ours = AutoModelForCausalLM.from_pretrained(folder, **common)
    theirs = AutoModelForCausalLM.from_pretrained(target.parent, gguf_file=target.name, config=config, **common)
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    apart = 0.0
    with torch.no_grad():
        for prompt in PROMPTS:
            tokens = tokenizer(prompt, return_tensors="pt").input_ids
            left, right = (network(tokens).logits.log_softmax(-1) for network in (ours, theirs))
            apart = max(apart, float((left - right).abs().max()))
    if not apart <= TOLERANCE.get(dtype, 0.15):
        raise InvalidRequest(f"The GGUF file gives other log-probabilities. They are up to {apart:.3g} apart.")
    return f"log-probabilities at most {apart:.2g} apart"
