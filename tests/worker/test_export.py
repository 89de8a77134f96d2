"""A merged model answers as base and adapter did, and a folder is written whole or not at all."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fettle.errors import Conflict, InvalidRequest, NotFound, Unavailable
from fettle.registry import catalog
from fettle.registry.catalog import STARTER
from fettle.storage import artifacts
from models import Checkpoint, Job, TunedModel
from worker.attempts.resources import Resources
from worker.export import export, find
from worker.exports import gguf_file

pytestmark = pytest.mark.slow  # torch and transformers take seconds to import

NAME, CHECKPOINT = "ft:starter:default:s:0123456789", "ft:starter:default:s:0123456789:ckpt-step-2"
PREFIX = "jobs/ftjob-0123456789abcdef/1/adapter"
PROMPTS = ["Ann has 4 apples and buys 3 more.", "What is 12 - 5?", "hello"]


def make_adapter(folder: Path, targets: Any = "all-linear") -> None:
    """Weights that change every answer; random ones, from a fixed seed."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(5)
    base = AutoModelForCausalLM.from_pretrained(STARTER, dtype=torch.float32)
    adapted = get_peft_model(base, LoraConfig(r=8, lora_alpha=16, target_modules=targets, task_type="CAUSAL_LM"))
    for name, weight in adapted.named_parameters():
        if "lora_B" in name:
            weight.data = 0.02 * torch.randn(weight.shape)
    adapted.save_pretrained(folder)


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("adapter")
    make_adapter(folder)
    return folder


@pytest.fixture
async def tuned(resources: Resources, job: Job, adapter: Path) -> Resources:
    """A published model and a checkpoint of it."""
    await artifacts.upload(resources.storage, adapter, PREFIX)
    owned = {"job_id": job.id, "project_id": job.project_id, "prefix": PREFIX}
    async with resources.db.transaction() as session:
        session.add(TunedModel(name=NAME, base_model="starter", **owned))
        session.add(Checkpoint(id="ftckpt_1", name=CHECKPOINT, step=2, metrics={}, **owned))
    return resources


def greedy(network: Any) -> list[list[int]]:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(STARTER)
    return [
        network.generate(**tokenizer(prompt, return_tensors="pt"), max_new_tokens=24, do_sample=False)[0].tolist()
        for prompt in PROMPTS
    ]


class TestExport:
    async def test_greedy_tokens_equal_those_of_base_and_adapter(
        self, tuned: Resources, adapter: Path, tmp_path: Path
    ) -> None:
        import torch
        from peft import PeftModel
        from transformers import AutoModelForCausalLM

        to = tmp_path / "exported"
        said = await export(tuned.settings, tuned.models, NAME, to, "fp32")
        assert said.startswith(f"{NAME} merged into starter: {to} (float32, ")
        base = AutoModelForCausalLM.from_pretrained(STARTER, dtype=torch.float32)
        bare = greedy(base)
        expected = greedy(PeftModel.from_pretrained(base, str(adapter)))
        merged = AutoModelForCausalLM.from_pretrained(to)
        assert {weight.dtype for weight in merged.parameters()} == {torch.float32}
        assert greedy(merged) == expected
        assert expected != bare

    async def test_the_folder_is_an_ordinary_model_with_its_template_and_a_card(
        self, tuned: Resources, tmp_path: Path
    ) -> None:
        from safetensors import safe_open
        from transformers import AutoTokenizer, GenerationConfig

        to = tmp_path / "exported"
        to.mkdir()  # an empty folder will do
        await export(tuned.settings, tuned.models, NAME, to)
        with safe_open(to / "model.safetensors", "pt") as weights:
            names = list(weights.keys())
            assert {weights.get_slice(name).get_dtype() for name in names} == {"BF16"}  # as the base's config has it
        assert not any("lora" in name or "base_layer" in name for name in names)
        assert {path.name for path in to.iterdir()} >= {"config.json", "generation_config.json", "chat_template.jinja"}
        assert (to / "chat_template.jinja").read_bytes() == (STARTER / "chat_template.jinja").read_bytes()
        messages = [{"role": "user", "content": "hi"}]
        ours, theirs = (AutoTokenizer.from_pretrained(folder) for folder in (to, STARTER))
        assert ours.apply_chat_template(messages) == theirs.apply_chat_template(messages)
        assert (
            GenerationConfig.from_pretrained(to).eos_token_id == GenerationConfig.from_pretrained(STARTER).eos_token_id
        )
        card = (to / "README.md").read_text()
        for fact in ("license: apache-2.0", "starter", "ftjob-0123456789abcdef", "supervised", "bfloat16"):
            assert fact in card
        assert str(tmp_path) not in card
        assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".exported")] == []

    async def test_a_gguf_file_answers_as_the_merged_model_and_has_what_ollama_needs(
        self, tuned: Resources, tmp_path: Path
    ) -> None:
        import gguf
        import torch
        from transformers import AutoConfig, AutoModelForCausalLM

        merged, to = tmp_path / "merged", tmp_path / "gguf"
        await export(tuned.settings, tuned.models, NAME, merged, "fp32")
        said = await export(tuned.settings, tuned.models, NAME, to, "fp32", "gguf")
        assert "log-probabilities at most" in said
        assert {file.name for file in to.iterdir()} == {"model.gguf", "Modelfile", "README.md"}
        common = {"dtype": torch.float32, "config": AutoConfig.from_pretrained(merged)}
        again = AutoModelForCausalLM.from_pretrained(to, gguf_file="model.gguf", **common)
        assert greedy(again) == greedy(AutoModelForCausalLM.from_pretrained(merged))
        fields = gguf.GGUFReader(to / "model.gguf").fields
        assert fields["general.architecture"].contents() == "qwen3"
        assert fields["tokenizer.ggml.pre"].contents() == "smollm"
        assert fields["qwen3.attention.key_length"].contents() == 32
        assert fields["tokenizer.chat_template"].contents() == (STARTER / "chat_template.jinja").read_text()
        lines = (to / "Modelfile").read_text().splitlines()
        assert lines[0] == "FROM ./model.gguf" and lines[-1] == 'PARAMETER stop "<|im_end|>"'
        assert 'TEMPLATE """{{- if .System }}<|im_start|>system' in lines

    async def test_a_checkpoint_can_be_exported(self, tuned: Resources, tmp_path: Path) -> None:
        await export(tuned.settings, tuned.models, CHECKPOINT, tmp_path / "exported")
        assert (tmp_path / "exported" / "model.safetensors").is_file()


class TestRefusals:
    async def test_a_folder_with_something_in_it_is_left_alone(self, tuned: Resources, tmp_path: Path) -> None:
        (tmp_path / "full").mkdir()
        (tmp_path / "full" / "mine").touch()
        for to in (tmp_path / "full", tmp_path / "full" / "mine"):
            with pytest.raises(Conflict, match="exists and is not an empty folder"):
                await export(tuned.settings, tuned.models, NAME, to)

    async def test_an_unknown_model_is_named_beside_the_newest(self, tuned: Resources) -> None:
        with pytest.raises(NotFound, match=f"'ft:starter:x' does not exist. The newest are: {NAME}"):
            await find(tuned.settings, "ft:starter:x")

    async def test_a_reward_model_would_lose_its_head_and_is_refused(self, tuned: Resources, job: Job) -> None:
        async with tuned.db.transaction() as session:
            owned = {"job_id": job.id, "project_id": job.project_id, "prefix": PREFIX}
            session.add(TunedModel(name="ft:starter:rm", base_model="starter", kind="reward_model", **owned))
        with pytest.raises(InvalidRequest, match="would remove the head that scores"):
            await find(tuned.settings, "ft:starter:rm")

    async def test_a_base_model_that_left_the_catalog_is_named(self, tuned: Resources, tmp_path: Path) -> None:
        with pytest.raises(NotFound, match="The base model 'starter' does not exist on this server"):
            await export(tuned.settings, {}, NAME, tmp_path / "exported")

    async def test_a_base_model_whose_weights_are_gone_is_named(self, tuned: Resources, tmp_path: Path) -> None:
        gone = {"starter": catalog.BUILT_IN["starter"].model_copy(update={"path": tmp_path / "gone"})}
        with pytest.raises(Unavailable, match=r"folder .*gone does not exist on the server"):
            await export(tuned.settings, gone, NAME, tmp_path / "exported")

    async def test_an_adapter_that_is_not_what_was_stored_is_refused_and_nothing_is_left(
        self, tuned: Resources, tmp_path: Path
    ) -> None:
        stored = tuned.settings.data / "storage" / PREFIX / "adapter_model.safetensors"
        stored.write_bytes(stored.read_bytes()[:-1] + b"!")
        before = set(tmp_path.iterdir())
        with pytest.raises(Unavailable, match=r"incomplete in storage.*sha256"):
            await export(tuned.settings, tuned.models, NAME, tmp_path / "exported")
        assert set(tmp_path.iterdir()) == before

    async def test_an_adapter_whose_sum_is_not_finite_is_refused(
        self, tuned: Resources, adapter: Path, tmp_path: Path
    ) -> None:
        from safetensors.torch import load_file, save_file

        weights = load_file(adapter / "adapter_model.safetensors")
        next(iter(weights.values()))[0, 0] = float("nan")
        broken = tmp_path / "broken"
        broken.mkdir()
        (broken / "adapter_config.json").write_bytes((adapter / "adapter_config.json").read_bytes())
        save_file(weights, broken / "adapter_model.safetensors")
        await artifacts.upload(tuned.storage, broken, PREFIX)
        with pytest.raises(InvalidRequest, match="cannot be merged into starter"):
            await export(tuned.settings, tuned.models, NAME, tmp_path / "exported")


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"model_type": "mamba"}, "not for 'mamba'"),
        ({"rope_parameters": {"rope_type": "yarn"}}, "rope type 'yarn'"),
    ],
)
def test_what_gguf_cannot_say_is_refused(config: dict[str, Any], told: str, tmp_path: Path) -> None:
    known = json.loads((STARTER / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**known, **config}))
    with pytest.raises(InvalidRequest, match=told):
        gguf_file.write(tmp_path, tmp_path / "model.gguf")


def test_a_tokenizer_with_unknown_cuts_is_refused() -> None:
    words = {"model": {"type": "BPE"}, "pre_tokenizer": {"type": "Whitespace"}}
    with pytest.raises(InvalidRequest, match="how this model's tokenizer cuts text"):
        gguf_file.cuts_of(words)


@pytest.mark.parametrize("family", ["Llama", "Qwen2"])
def test_other_families_are_written_and_read_again(family: str, tmp_path: Path) -> None:
    """Random weights: rows of queries and keys in a wrong order would change every answer."""
    import torch
    import transformers

    torch.manual_seed(0)
    sizes = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "initializer_range": 0.2}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 256}
    config = getattr(transformers, f"{family}Config")(vocab_size=492, tie_word_embeddings=False, **sizes, **heads)
    getattr(transformers, f"{family}ForCausalLM")(config).save_pretrained(tmp_path)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copyfile(STARTER / name, tmp_path / name)
    assert gguf_file.write(tmp_path, tmp_path / "model.gguf").startswith("log-probabilities at most")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gguf_file, "TOLERANCE", {"float32": -1.0})
        with pytest.raises(InvalidRequest, match="other log-probabilities"):
            gguf_file.compare(tmp_path, tmp_path / "model.gguf", "float32")


async def test_fettle_export_says_its_errors_in_a_sentence(tuned: Resources, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "fettle", "export", "ft:starter:nobody", "--to", str(tmp_path / "exported")]
    env = {"FETTLE_DATA": str(tuned.settings.data), "PATH": ""}
    ended = subprocess.run(command, env=env, capture_output=True, text=True)  # noqa: ASYNC221 — nothing else runs here
    assert ended.returncode == 1
    assert ended.stderr.startswith("error The tuned model 'ft:starter:nobody' does not exist. The newest are: ")
    assert ended.stdout == ""
