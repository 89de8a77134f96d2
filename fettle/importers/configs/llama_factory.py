"""LLaMA-Factory's YAML or JSON."""

import json
from pathlib import Path
from typing import Any

from fettle.importers.configs.draft import Draft, by_key

HANDLED = by_key(
    (
        "bf16 fp16 pure_bf16 flash_attn ddp_timeout deepspeed fsdp use_unsloth preprocessing_num_workers "
        "dataloader_num_workers overwrite_cache enable_liger_kernel gradient_checkpointing "
        "disable_gradient_checkpointing double_quantization upcast_layernorm",
        "Fettle chooses it for the machine.",
    ),
    (
        "do_train do_eval do_predict predict_with_generate",
        "A job trains, and validates if it has a file for it.",
    ),
    (
        "trust_remote_code use_fast_tokenizer",
        "It comes from the base model's files; Fettle runs no code from them.",
    ),
    (
        "output_dir overwrite_output_dir save_only_model resume_from_checkpoint save_total_limit cache_dir",
        "Checkpoints and adapters are in Fettle's storage; an interrupted job resumes.",
    ),
    (
        "eval_strategy evaluation_strategy per_device_eval_batch_size save_strategy",
        "Fettle validates after every epoch; eval_interval changes it.",
    ),
    (
        "logging_steps logging_dir plot_loss include_num_input_tokens_seen",
        "Every step is reported.",
    ),
    (
        "report_to run_name",
        "Add 'integrations' to the job, if this Fettle reports there.",
    ),
    (
        "template",
        "Fettle uses the base model's own template. Check with: fettle preview FILE --model BASE",
    ),
)
MISSING = {
    "max_samples": "Fettle trains on every row of a file. Save the rows that you want to a file of their own.",
    "warmup_steps": "Fettle warms up by a share of the steps. Write warmup_ratio: these steps divided by all steps.",
    "max_steps": "Fettle counts epochs. Write num_train_epochs, or stop early.",
    "train_on_prompt": "Fettle learns the answers, not the prompts. Remove it.",
    "mask_history": "Fettle learns every answer of a conversation. Set 'weight': 0 on the answers not to learn.",
    "use_dora": "Fettle trains LoRA, not DoRA. Remove it, and compare.",
    "loraplus_lr_ratio": "Fettle trains A and B of LoRA at one rate. Remove it, and compare.",
    "additional_target": "Only the adapter is trained. Remove it.",
    "resize_vocab": "Fettle adds no tokens to a base model. Remove it.",
    "adapter_name_or_path": "Continue from a tuned model of this Fettle: write its ft:… name as 'model'.",
    "neftune_noise_alpha": "Fettle adds no noise to embeddings. Remove it, and compare.",
    "weight_decay": "Fettle has no weight decay. Remove it, and compare.",
    "pref_ftx": "Fettle's DPO has no supervised part. Remove it, and compare.",
    "mix_strategy": "Fettle trains on one file. Remove it.",
    "streaming": "Fettle reads whole files. Remove it.",
}
STAGES = {"sft": "supervised", "dpo": "dpo", "rm": "reward_model"}
LOSSES = ("sigmoid", "hinge", "ipo")
PLAIN = {"formatting", "file_name", "ranking"}  # what an entry of dataset_info.json may have


def convert(draft: Draft, folder: Path) -> dict[str, Any]:
    """folder: of the config, from which dataset_dir leads on."""
    stage(draft)
    dataset(draft, folder)
    adapter(draft)
    draft.copy("cutoff_len", "max_seq_length", int)
    draft.copy("num_train_epochs", "n_epochs", int)
    draft.copy("learning_rate", "learning_rate")
    draft.copy("warmup_ratio", "warmup_ratio")
    draft.copy("save_steps", "checkpoint_interval", int)
    draft.copy("eval_steps", "eval_interval", int)
    draft.batch("per_device_train_batch_size", "gradient_accumulation_steps")
    draft.schedule("lr_scheduler_type", draft.take("lr_scheduler_type"))
    draft.optimizer("optim")
    draft.clipping("max_grad_norm")
    if any([draft.take("packing"), draft.take("neat_packing")]):
        draft.put("packing", True)
    if (seed := draft.take("seed")) is not None:
        draft.body["seed"] = seed
    draft.sort(HANDLED, MISSING)
    return draft.finish("model_name_or_path")


def stage(draft: Draft) -> None:
    name = draft.take("stage", "sft")
    if name in STAGES:
        draft.kind = STAGES[name]
    elif name == "ppo":
        draft.missing["stage"] = (
            "Fettle has PPO as the method 'rlhf', which makes its reward model itself: docs/rlhf.md"
        )
    else:
        draft.missing["stage"] = f"Fettle has no counterpart of the stage {name!r}. Use sft, dpo or rm."
    if draft.kind != "dpo":
        return
    draft.copy("pref_beta", "beta")
    loss = draft.take("pref_loss", "sigmoid")
    if loss in LOSSES:
        draft.put("loss_type", loss)
    else:
        draft.missing["pref_loss"] = f"Fettle has no loss {loss!r}. Choose one of: {', '.join(LOSSES)}."


def adapter(draft: Draft) -> None:
    kind = draft.take("finetuning_type", "lora")
    if kind != "lora":
        draft.missing["finetuning_type"] = "Fettle trains LoRA adapters. Write finetuning_type: lora and lora_rank: 64."
    draft.rank(draft.take("lora_rank", 8), "lora_rank")
    draft.copy("lora_alpha", "lora.alpha", int)
    draft.copy("lora_dropout", "lora.dropout")
    if draft.take("use_rslora"):
        draft.put("lora.use_rslora", True)
    target = draft.take("lora_target", "all")
    names = [name.strip() for name in target.split(",")] if isinstance(target, str) else target
    draft.put("lora.target_modules", "all-linear" if target == "all" else names)
    bits = draft.take("quantization_bit")
    draft.refuse("quantization_method", "Fettle quantizes by bitsandbytes (nf4) only. Remove it.")
    if bits == 4:
        draft.put("quantization", "nf4")
    elif bits is not None:
        draft.missing["quantization_bit"] = (
            f"Fettle quantizes to 4 bits or not at all, not to {bits!r}. Write 4, or remove it."
        )


def dataset(draft: Draft, folder: Path) -> None:
    named, where = draft.take("dataset"), draft.take("dataset_dir", "data")
    draft.handled["dataset_dir"] = f"Its dataset_info.json was looked for in {folder / str(where)}."
    path = located(draft, str(named), folder / str(where)) if named and draft.data is None else None
    advice = f"{named!r} is a name in dataset_info.json, not a file here. Save the rows as JSONL, and add --data FILE."
    draft.dataset("training_file", "dataset", path, advice)
    checked = draft.take("eval_dataset")
    if draft.valid is not None:
        draft.body["validation_file"] = draft.valid
        draft.take("val_size")
    elif checked is not None:
        path = located(draft, str(checked), folder / str(where))
        advice = f"{checked!r} is a name in dataset_info.json. Save the rows as JSONL, and add --valid FILE."
        draft.dataset("validation_file", "eval_dataset", path, advice)
    draft.refuse("val_size", "Fettle splits no file. Put these rows into a file of their own: --valid valid.jsonl")


def located(draft: Draft, name: str, folder: Path) -> str | None:
    """The file of one dataset, if dataset_info.json has it with plain fields."""
    try:
        entry = json.loads((folder / "dataset_info.json").read_bytes())[name]
        path = folder / str(entry["file_name"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    for field in sorted(entry.keys() - PLAIN):
        draft.missing[f"dataset_info.{name}.{field}"] = (
            "Fettle finds the fields by their names. Rename them in the file."
        )
    return str(path) if path.is_file() else None
