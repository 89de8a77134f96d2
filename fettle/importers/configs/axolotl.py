"""Axolotl's YAML."""

from typing import Any

from fettle.importers.configs.draft import Draft, by_key

SHAPES = ("alpaca", "chat_template", "sharegpt", "chat_template.default")
PAIRS = ("chat_template.default", "chat_template", "chatml.intel", "chatml.argilla", "llama3.intel")
FIELDS = {  # of a dataset: the values that Fettle's own shapes have
    "field_messages": ("messages", "conversations"),
    "message_field_role": ("role", "from"),
    "message_field_content": ("content", "value"),
    "message_property_mappings": ({"role": "role", "content": "content"}, {"role": "from", "content": "value"}),
    "roles_to_train": (["assistant"], ["gpt"], ["gpt", "assistant"], ["assistant", "gpt"]),
    "train_on_eos": ("turn",),
    "chat_template": ("tokenizer_default",),
    "ds_type": ("json", "parquet", "csv"),
    "split": ("train",),
    "data_files": (),
}
HANDLED = by_key(
    (
        "bf16 fp16 tf32 float16 bfloat16 gpu_memory_limit lora_on_cpu gradient_checkpointing "
        "gradient_checkpointing_kwargs flash_attention sdp_attention xformers_attention eager_attention "
        "s2_attention deepspeed fsdp fsdp_config ddp_timeout torch_compile dataset_processes "
        "dataloader_num_workers dataloader_pin_memory group_by_length pad_to_sequence_len eval_sample_packing "
        "eval_batch_size micro_batch_size_eval lora_mlp_kernel lora_qkv_kernel lora_o_kernel lora_fan_in_fan_out",
        "Fettle chooses it for the machine.",
    ),
    (
        "model_type tokenizer_type is_llama_derived_model is_mistral_derived_model",
        "It comes from the base model's files.",
    ),
    (
        "trust_remote_code tokenizer_use_fast",
        "It comes from the base model's files; Fettle runs no code from them.",
    ),
    (
        "output_dir dataset_prepared_path resume_from_checkpoint auto_resume_from_checkpoints",
        "Checkpoints and adapters are in Fettle's storage; an interrupted job resumes.",
    ),
    (
        "save_strategy save_total_limit saves_per_epoch save_safetensors save_first_step",
        "Fettle saves after every epoch; checkpoint_interval changes it.",
    ),
    (
        "evals_per_epoch eval_strategy eval_table_size eval_max_new_tokens",
        "Fettle validates after every epoch; eval_interval changes it.",
    ),
    (
        "logging_steps debug strict profiler_steps",
        "Every step is reported.",
    ),
    (
        "wandb_project wandb_entity wandb_watch wandb_name wandb_log_model wandb_run_id",
        "Add 'integrations' to the job, if this Fettle reports there.",
    ),
    (
        "hub_model_id hub_strategy push_dataset_to_hub",
        "Push the finished model: fettle export MODEL --to FOLDER --push OWNER/NAME",
    ),
)
MISSING = {
    "load_in_8bit": "Fettle quantizes to 4 bits or not at all. Remove it, or use adapter: qlora.",
    "lora_modules_to_save": "Only the adapter is trained. Remove it; new tokens cannot be learned.",
    "peft_use_dora": "Fettle trains LoRA, not DoRA. Remove it, and compare.",
    "max_steps": "Fettle counts epochs. Write num_epochs, or stop early.",
    "warmup_steps": "Fettle warms up by a share of the steps. Write warmup_ratio: these steps divided by all steps.",
    "special_tokens": "Fettle keeps the base model's tokens. Remove it if they are the same.",
    "tokens": "Fettle adds no tokens to a base model. Remove it, or choose a base model that has them.",
    "neftune_noise_alpha": "Fettle adds no noise to embeddings. Remove it, and compare.",
    "weight_decay": "Fettle has no weight decay. Remove it, and compare.",
    "lora_model_dir": "Continue from a tuned model of this Fettle: write its ft:… name as 'model'.",
    "train_on_inputs": "Fettle learns the answers, not the prompts. Remove it.",
    "plugins": "Fettle takes no plugins of Axolotl. Remove it.",
    "test_datasets": "Add the validation rows: --valid valid.jsonl",
    "loss_watchdog_threshold": "Fettle fails a job that learned nothing, whatever its loss. Remove it.",
    "loss_watchdog_patience": "As loss_watchdog_threshold.",
    "unfrozen_parameters": "Fettle trains adapters only. Remove it.",
}
RL = {"dpo": "sigmoid", "ipo": "ipo"}


def convert(draft: Draft) -> dict[str, Any]:
    method(draft)
    datasets(draft)
    adapter(draft)
    draft.copy("sequence_len", "max_seq_length", int)
    draft.copy("num_epochs", "n_epochs", int)
    draft.copy("learning_rate", "learning_rate")
    draft.copy("warmup_ratio", "warmup_ratio")
    draft.copy("save_steps", "checkpoint_interval", int)
    draft.copy("eval_steps", "eval_interval", int)
    draft.batch("micro_batch_size", "gradient_accumulation_steps")
    draft.schedule("lr_scheduler", draft.take("lr_scheduler"))
    draft.optimizer("optimizer")
    draft.clipping("max_grad_norm")
    draft.copy("early_stopping_patience", "early_stopping.patience", int)
    if draft.take("sample_packing"):
        draft.put("packing", True)
    if (seed := draft.take("seed")) is not None:
        draft.body["seed"] = seed
    template = draft.take("chat_template")
    if template == "tokenizer_default":
        draft.handled["chat_template"] = "Fettle uses the base model's own template."
    elif template is not None:
        draft.missing["chat_template"] = (
            f"Fettle uses the base model's own template. Check that it is {template!r}, and remove it."
        )
    draft.sort(HANDLED, MISSING)
    return draft.finish("base_model")


def method(draft: Draft) -> None:
    rl = draft.take("rl")
    draft.copy("dpo_beta", "beta")
    draft.copy("rl_beta", "beta")
    if rl in RL:
        draft.kind = "dpo"
        draft.put("loss_type", RL[rl])
    elif rl == "grpo":
        draft.missing["rl"] = "Its rewards are Python code. Write them as reward functions: docs/reinforcement.md"
    elif rl is not None:
        draft.missing["rl"] = f"Fettle has no method {rl!r}. Use dpo, or remove it."


def adapter(draft: Draft) -> None:
    kind, four_bits = draft.take("adapter"), draft.take("load_in_4bit")
    if kind not in ("lora", "qlora"):
        draft.missing["adapter"] = "Fettle trains LoRA adapters, not all weights. Write adapter: lora and lora_r: 64."
    if kind == "qlora" or four_bits:
        draft.put("quantization", "nf4")
        draft.handled["load_in_4bit"] = "The base model is quantized to 4 bits, as nf4."
    draft.rank(draft.take("lora_r"), "lora_r")
    draft.copy("lora_alpha", "lora.alpha", int)
    draft.copy("lora_dropout", "lora.dropout")
    if draft.take("peft_use_rslora"):
        draft.put("lora.use_rslora", True)
    modules = draft.take("lora_target_modules")
    if draft.take("lora_target_linear"):
        draft.put("lora.target_modules", "all-linear")
    elif modules is not None:
        draft.put("lora.target_modules", modules)


def datasets(draft: Draft) -> None:
    found = draft.take("datasets", [])
    if not isinstance(found, list) or len(found) != 1 or not isinstance(found[0], dict):
        count = len(found) if isinstance(found, list) else repr(found)
        advice = f"Fettle trains on one file, not on {count}. Put the rows into one, and add --data FILE."
        draft.dataset("training_file", "datasets", None, advice)
    else:
        one(draft, dict(found[0]))
    if draft.valid is not None:
        draft.body["validation_file"] = draft.valid
        draft.take("val_set_size")
    draft.refuse("val_set_size", "Fettle splits no file. Put these rows into a file of their own: --valid valid.jsonl")


def one(draft: Draft, given: dict[str, Any]) -> None:
    path, shape = given.pop("path", None), given.pop("type", None)
    advice = f"{path!r} is not a file that Fettle reads. Save it as JSONL, and add --data FILE."
    draft.dataset("training_file", "datasets[0].path", path, advice)
    known = PAIRS if draft.kind == "dpo" else SHAPES
    if shape not in (None, *known):
        draft.missing["datasets[0].type"] = (
            f"Fettle does not read rows of the type {shape!r}. docs/datasets.md lists the shapes."
        )
    for name, value in given.items():
        if value is not None and value not in FIELDS.get(name, ()):
            draft.missing[f"datasets[0].{name}"] = (
                f"Fettle finds the fields by their names. Rename them in the file, and remove {name}: {value!r}."
            )
