"""A fine-tuning job of Together's, as its API takes it (JSON), or as it shows a finished one."""

from typing import Any

from fettle.importers.configs.draft import Draft, by_key

HANDLED = by_key(
    (
        "id job_id object status created_at updated_at started_at events progress owner_address user_id "
        "token_count total_price param_count queue_depth output_name model_output_name adapter_output_name "
        "model_output_path adapter_output_path total_steps steps_completed epochs_completed evals_completed "
        "eval_steps training_file_num_lines training_file_size TrainingFileNumLines TrainingFileSize early_stopped "
        "early_stopping_best_step early_stopping_best_metric wandb_url verbose",
        "It is of the finished job, and does not change how one trains.",
    ),
    (
        "wandb_project_name wandb_name wandb_entity wandb_base_url",
        "Add 'integrations' to the job, if this Fettle reports there.",
    ),
    (
        "wandb_key wandb_api_key hf_api_token",
        "A secret, which does not come along. Delete it from the file.",
    ),
    (
        "n_checkpoints",
        "Fettle saves after every epoch; checkpoint_interval changes it.",
    ),
    (
        "n_evals",
        "Fettle validates after every epoch; eval_interval changes it.",
    ),
    (
        "hf_output_repo_name",
        "Push the finished model: fettle export MODEL --to FOLDER --push OWNER/NAME",
    ),
)
MISSING = {
    "weight_decay": "Fettle has no weight decay. Remove it, and compare.",
    "from_checkpoint": "Weights of Together are not here. Write the ft:… name of a tuned model here as 'model'.",
    "from_hf_model": "Add the model as a base model (docs/base-models.md), and choose it: --base NAME.",
    "hf_model_revision": "The base model's entry in the catalog has the revision. Remove it.",
    "early_stopping_warmup_evals": "Fettle counts every validation. Remove it.",
    "dpo_normalize_logratios_by_length": 'Write "loss_type": "sigmoid_norm" into the job, and remove it here.',
    "dpo_reference_free": "Fettle's DPO has a reference. Remove it, and compare.",
    "rpo_alpha": "Fettle's DPO has no supervised part. Remove it, and compare.",
    "simpo_gamma": "Fettle has no SimPO. Remove it, and compare.",
    "train_vision": "Fettle trains on text alone. Remove it.",
    "scheduler_num_cycles": "Fettle decays once, by half a cosine. Remove it.",
    "min_lr_ratio": "Fettle decays to zero. Remove it, and compare.",
}


def convert(draft: Draft) -> dict[str, Any]:
    flatten(draft)
    files(draft)
    method(draft)
    adapter(draft)
    draft.copy("n_epochs", "n_epochs", int)
    draft.copy("learning_rate", "learning_rate")
    draft.copy("warmup_ratio", "warmup_ratio")
    draft.copy("max_seq_length", "max_seq_length", int)
    draft.clipping("max_grad_norm")
    batch(draft)
    if draft.take("packing") and draft.kind == "supervised":
        draft.put("packing", True)
    patience, delta = draft.take("early_stopping_patience"), draft.take("early_stopping_min_delta")
    if draft.take("early_stopping_enabled"):
        own = {"patience": patience, "min_delta": delta}
        draft.put("early_stopping", {name: value for name, value in own.items() if value is not None} or True)
    if (seed := draft.take("random_seed")) is not None:
        draft.body["seed"] = seed
    draft.sort(HANDLED, MISSING)
    suffix = draft.take("suffix")
    return draft.finish("model", None if suffix is None else str(suffix))


def flatten(draft: Draft) -> None:
    """The SDK's arguments and the API's objects have the same names, but for the schedule."""
    for name in ("training_type", "training_method", "multimodal_params"):
        inner = draft.left.get(name)
        if isinstance(inner, dict):
            del draft.left[name]
            renamed = {"type": "training_type", "method": "training_method"}
            draft.left |= {renamed.get(str(key), str(key)): value for key, value in inner.items()}
    schedule = draft.take("lr_scheduler")
    if isinstance(schedule, dict):
        draft.left["lr_scheduler_type"] = schedule.get("lr_scheduler_type")
        arguments = dict(schedule.get("lr_scheduler_args") or {})
        cycles = arguments.pop("num_cycles", None)
        draft.left |= {**arguments, "scheduler_num_cycles": cycles}
    elif schedule is not None:
        draft.left["lr_scheduler_type"] = schedule
    if draft.left.get("scheduler_num_cycles") == 0.5:
        del draft.left["scheduler_num_cycles"]
    draft.schedule("lr_scheduler_type", draft.take("lr_scheduler_type") or None)


def files(draft: Draft) -> None:
    for field, option in (("training_file", "--data"), ("validation_file", "--valid")):
        given = draft.take(field)
        if given or (draft.data if option == "--data" else draft.valid):
            advice = f"{given!r} is a file at Together. Download it there, and add {option} FILE."
            draft.dataset(field, field, str(given), advice)


def method(draft: Draft) -> None:
    name = draft.take("training_method", "sft")
    if name == "dpo":
        draft.kind = "dpo"
    elif name != "sft":
        draft.missing["training_method"] = f"Fettle has no counterpart of the method {name!r}. Use sft or dpo."
    draft.copy("dpo_beta", "beta")
    inputs = draft.take("train_on_inputs", "auto")
    if inputs is True:
        draft.missing["train_on_inputs"] = "Fettle learns the answers, not the prompts. Remove it."
    else:
        draft.handled["train_on_inputs"] = "Fettle learns the answers, not the prompts."


def adapter(draft: Draft) -> None:
    kind, lora = draft.take("training_type"), draft.take("lora")
    if kind == "Full" or lora is False:
        draft.missing["training_type"] = (
            "Fettle trains LoRA adapters, not all weights. Remove it, and write lora_r: 64."
        )
    draft.rank(draft.take("lora_r"), "lora_r")
    draft.copy("lora_alpha", "lora.alpha", int)
    draft.copy("lora_dropout", "lora.dropout")
    modules = draft.take("lora_trainable_modules")
    if modules is not None:
        names = [name.strip() for name in str(modules).split(",")]
        draft.put("lora.target_modules", "all-linear" if names == ["all-linear"] else names)


def batch(draft: Draft) -> None:
    size, steps = draft.take("batch_size"), draft.take("gradient_accumulation_steps", 1)
    if size == "max" or size is None:
        draft.handled["batch_size"] = "Fettle computes it from the rows."
    elif isinstance(size, int) and isinstance(steps, int):
        draft.put("batch_size", size * steps)
    else:
        draft.missing["batch_size"] = f"{size!r} is not a number of rows. Write a whole number."
