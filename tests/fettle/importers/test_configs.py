"""Configs of other tools become jobs; a key that has no counterpart is always named."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from fettle.importers.configs import reading
from fettle.importers.configs.draft import Draft
from tests.fettle.cli.conftest import Shell

HERE = Path(__file__).parent / "configs"
TOGETHER = {
    "training_file": "file-5f3a", "model": "meta-llama/Meta-Llama-3.1-8B-Instruct-Reference", "n_epochs": 3,
    "n_checkpoints": 1, "n_evals": 0, "batch_size": "max", "learning_rate": 1e-5, "warmup_ratio": 0.05,
    "lr_scheduler": {"lr_scheduler_type": "cosine", "lr_scheduler_args": {"min_lr_ratio": 0.0, "num_cycles": 0.5}},
    "max_grad_norm": 1.0, "weight_decay": 0.0, "suffix": "support bot", "wandb_key": None, "packing": True,
    "training_method": {"method": "sft", "train_on_inputs": "auto"}, "random_seed": 3,
    "training_type": {"type": "Lora", "lora_r": 64, "lora_alpha": 128, "lora_dropout": 0.0,
                      "lora_trainable_modules": "all-linear"},
}  # fmt: skip


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.chdir(tmp_path)

    def changed(tool: str, **changes: Any) -> reading.Found:
        """The tool's config with some keys changed, as Fettle reads it."""
        files = {"axolotl": "axolotl.yml", "llama-factory": "llama_factory.yaml"}
        given = TOGETHER if tool == "together" else yaml.safe_load((HERE / files[tool]).read_text())
        Path("config.yml").write_text(json.dumps({**given, **changes}))
        return reading.convert(tool, Path("config.yml"), "starter", "mine.jsonl", None)

    return changed


def test_a_config_of_axolotl_becomes_a_job(tmp_path: Path) -> None:
    found = reading.convert("axolotl", HERE / "axolotl.yml", "starter", None, None)
    assert found.missing == {}
    assert found.body == {
        "model": "starter",
        "training_file": "train.jsonl",
        "seed": 42,
        "method": {
            "type": "supervised",
            "supervised": {
                "hyperparameters": {
                    "quantization": "nf4",
                    "lora": {"rank": 32, "alpha": 16, "dropout": 0.05, "target_modules": "all-linear"},
                    "max_seq_length": 2048,
                    "n_epochs": 3,
                    "learning_rate": 0.0002,
                    "warmup_ratio": 0.1,
                    "batch_size": 8,
                    "packing": True,
                }
            },
        },
    }
    assert "Multiply it by the GPUs" in found.handled["micro_batch_size"]
    given = yaml.safe_load((HERE / "axolotl.yml").read_text())
    assert {
        "output_dir",
        "wandb_project",
        "bf16",
        "flash_attention",
        "optimizer",
        "lr_scheduler",
    } <= found.handled.keys()
    assert {name.partition("[")[0] for name in found.handled} <= set(given)


def test_a_config_of_llama_factory_becomes_a_job(tmp_path: Path) -> None:
    shutil.copy(HERE / "llama_factory.yaml", tmp_path)
    (tmp_path / "pairs.jsonl").write_text("{}")
    (tmp_path / "dataset_info.json").write_text(json.dumps({"pairs": {"file_name": "pairs.jsonl", "ranking": True}}))
    found = reading.convert("llama-factory", tmp_path / "llama_factory.yaml", None, None, None)
    assert found.missing == {}
    assert found.body["model"] == "meta-llama/Llama-3.1-8B-Instruct"
    assert found.body["training_file"] == str(tmp_path / "pairs.jsonl")
    settings = found.body["method"]["dpo"]["hyperparameters"]
    assert settings == {
        "beta": 0.1,
        "loss_type": "sigmoid",
        "lora": {"rank": 8, "target_modules": ["q_proj", "v_proj"]},
        "max_seq_length": 2048,
        "n_epochs": 3,
        "learning_rate": 5e-6,
        "warmup_ratio": 0.1,
        "checkpoint_interval": 500,
        "batch_size": 8,
    }


def test_a_job_of_together_becomes_one_here(config: Any) -> None:
    found = config("together")
    assert found.missing == {}
    assert (found.body["suffix"], found.body["seed"], found.body["training_file"]) == ("support-bot", 3, "mine.jsonl")
    settings = found.body["method"]["supervised"]["hyperparameters"]
    assert settings["lora"] == {"rank": 64, "alpha": 128, "dropout": 0.0, "target_modules": "all-linear"}
    assert (settings["learning_rate"], settings["packing"], "batch_size" in settings) == (1e-5, True, False)


@pytest.mark.parametrize(
    ("tool", "changes", "key", "advice"),
    [
        ("axolotl", {"adapter": None}, "adapter", "not all weights"),
        ("axolotl", {"lora_r": 24}, "lora_r", "1, 8, 16, 32, 64, 128, not 24"),
        ("axolotl", {"lr_scheduler": "linear"}, "lr_scheduler", "not by 'linear'"),
        ("axolotl", {"optimizer": "lion_8bit"}, "optimizer", "AdamW"),
        ("axolotl", {"val_set_size": 0.1}, "val_set_size", "--valid"),
        ("axolotl", {"rl": "kto"}, "rl", "'kto'"),
        ("axolotl", {"datasets": [{"path": "a.jsonl"}, {"path": "b.jsonl"}]}, None, ""),  # --data replaces them
        ("axolotl", {"datasets": [{"path": "a.jsonl", "type": "completion"}]}, "datasets[0].type", "'completion'"),
        (
            "axolotl",
            {"datasets": [{"path": "a.jsonl", "field_messages": "turns"}]},
            "datasets[0].field_messages",
            "turns",
        ),
        ("axolotl", {"chat_template": "chatml"}, "chat_template", "'chatml'"),
        ("axolotl", {"train_on_inputs": True}, "train_on_inputs", "answers"),
        ("axolotl", {"learning_rate": "fast"}, "learning_rate", "'fast' is not a number"),
        ("axolotl", {"num_epochs": 1.5}, "num_epochs", "whole number"),
        ("axolotl", {"num_epochs": 400}, "method.supervised.hyperparameters.n_epochs", "400"),
        ("axolotl", {"early_stopping_patience": 3}, "early_stopping", "--valid"),
        ("axolotl", {"galore_rank": 8}, "galore_rank", "nothing like it"),
        ("llama-factory", {"finetuning_type": "full"}, "finetuning_type", "LoRA"),
        ("llama-factory", {"quantization_bit": 8}, "quantization_bit", "not to 8"),
        ("llama-factory", {"stage": "kto"}, "stage", "'kto'"),
        ("llama-factory", {"stage": "ppo"}, "stage", "rlhf"),
        ("llama-factory", {"pref_loss": "orpo"}, "pref_loss", "'orpo'"),
        ("llama-factory", {"max_samples": 1000}, "max_samples", "every row"),
        ("llama-factory", {"use_galore": True}, "use_galore", "nothing like it"),
        ("together", {"training_type": {"type": "Full"}}, "training_type", "not all weights"),
        ("together", {"training_method": {"method": "dpo", "simpo_gamma": 1.0}}, "simpo_gamma", "SimPO"),
        ("together", {"from_checkpoint": "ft-1:100"}, "from_checkpoint", "not here"),
        ("together", {"training_method": {"method": "sft", "train_on_inputs": True}}, "train_on_inputs", "answers"),
        ("together", {"lr_scheduler": {"lr_scheduler_type": "linear"}}, "lr_scheduler_type", "'linear'"),
        ("together", {"some_new_key": 1}, "some_new_key", "nothing like it"),
    ],
    ids=str,
)
def test_a_key_without_counterpart_is_named(
    config: Any, tool: str, changes: dict[str, Any], key: str | None, advice: str
) -> None:
    found = config(tool, **changes)
    if key is None:
        assert found.missing == {}
    else:
        assert advice in found.missing[key]


@pytest.mark.parametrize("tool", ["axolotl", "llama-factory", "together"])
def test_no_key_is_dropped_without_a_word(config: Any, tool: str) -> None:
    """Each key of a config either changes the job or appears in the report."""
    whole = json.loads(json.dumps(config(tool).body))
    for key, value in json.loads(Path("config.yml").read_text()).items():
        other = config(tool, **{key: not value if isinstance(value, bool) else f"other {value}"})
        told = other.handled.keys() | other.missing.keys()
        assert key in told or any(name.startswith(key) for name in told) or other.body != whole, key


@pytest.mark.parametrize("text", ["a: [1", "- 1", "a: &x [1]\nb: *x", "5: 6", "a: " + "[" * 5000])
def test_what_is_no_config_is_refused(shell: Shell, text: str) -> None:
    Path("config.yml").write_text(text)
    assert shell.refused("import", "axolotl", "config.yml").startswith("config.yml ")


def test_the_command_writes_a_job_that_runs(asking: Shell) -> None:
    rows = [
        {"messages": [{"role": "user", "content": str(n)}, {"role": "assistant", "content": "ok"}]} for n in range(12)
    ]
    Path("train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    text = (HERE / "axolotl.yml").read_text().replace("qlora", "lora").replace("load_in_4bit: true", "")
    Path("lora.yml").write_text(text)
    said = asking.ok("import", "axolotl", "lora.yml", "--base", "starter")
    assert said.splitlines()[-1] == "job.json is ready: fettle train job.json"
    job = asking.json("train", "job.json")
    assert job["method"]["supervised"]["hyperparameters"]["lora"]["rank"] == 32
    asking.ok("jobs", "cancel", job["id"])
    assert "exists" in asking.refused("import", "axolotl", "lora.yml")


def test_a_config_with_a_key_that_is_missing_writes_no_job_unless_asked(shell: Shell) -> None:
    Path("lora.yml").write_text((HERE / "axolotl.yml").read_text() + "neftune_noise_alpha: 5\n")
    code, out, _ = shell.run("import", "axolotl", "lora.yml")
    assert code == 1
    assert "neftune_noise_alpha" in out and "No job was written." in out
    assert not Path("job.json").exists()
    shell.ok("import", "axolotl", "lora.yml", "--anyway")
    assert "neftune" not in Path("job.json").read_text()


def test_values_of_another_kind_are_told(config: Any) -> None:
    assert config("axolotl", datasets=5).handled["datasets"] == "mine.jsonl takes its place."
    draft = Draft({"num_epochs": float("inf")}, None, None, None)
    draft.copy("num_epochs", "n_epochs", int)
    assert draft.missing["num_epochs"] == "inf is not a whole number. Write one."
