"""What a base model cannot do is refused when a job is created, not after it has started."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fettle.registry.catalog import BaseModelEntry
from tests import bases
from tests.api.tenants import Tenant, message, refusal
from tests.conftest import Api

NAME = "house-model"
PAIR = {"prompt": "2 + 2 =", "chosen": "4", "rejected": "5"}
ROW = {"prompt": "2 + 2 =", "completion": "4"}


def template(text: str) -> Callable[[Path], object]:
    return lambda folder: (folder / "chat_template.jinja").write_text(text)


def config(**fields: Any) -> Callable[[Path], object]:
    return lambda folder: bases.rewrite(folder / "config.json", **fields)


def tokenizer(**fields: Any) -> Callable[[Path], object]:
    return lambda folder: bases.rewrite(folder / "tokenizer_config.json", **fields)


def without(name: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).unlink()


def pickled(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


TURN = "{% for m in messages %}<|im_start|>{{ m.role }}{{ m.content }}<|im_end|>{% endfor %}"
FLAWS: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "no chat template": (without("chat_template.jinja"), "no_chat_template", "has no chat template"),
    "silent template": (template("{{ messages[0].content }}"), "chat_template_unsupported", "what the assistant says"),
    "changing template": (
        template("{{ messages | length }}" + TURN),
        "chat_template_unsupported",
        "rewrites earlier turns",
    ),
    "no end of text": (tokenizer(eos_token=None), "bad_tokenizer", "does not set eos_token"),
    "unknown end of text": (tokenizer(eos_token="<nowhere>"), "bad_tokenizer", "'<nowhere>' is not in its vocabulary"),
    "unknown padding": (tokenizer(pad_token="<nowhere>"), "bad_tokenizer", "pad_token '<nowhere>'"),
    "no tokenizer": (without("tokenizer.json"), "bad_tokenizer", "has no tokenizer.json"),
    "broken tokenizer": (lambda folder: (folder / "tokenizer.json").write_text("{"), "bad_tokenizer", "cannot be read"),
    "another's tokenizer": (config(vocab_size=100), "bad_tokenizer", "100 embeddings for"),
    "broken config": (lambda folder: (folder / "config.json").write_text("{"), "base_model_unavailable", "not JSON"),
    "an encoder": (config(is_encoder_decoder=True), "base_model_unsupported", "has an encoder"),
    "its own code": (config(auto_map={"AutoModel": "x.y"}), "base_model_unavailable", "custom code"),
    "pickled weights": (pickled, "base_model_unavailable", "only pickled weights (pytorch_model.bin)"),
}


@pytest.fixture
def base(api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the starter that the catalog knows as house-model."""
    folder = bases.padding_with_eos(tmp_path / "base")
    entry = BaseModelEntry(path=folder, parameters=1_669_312, length=2048)
    monkeypatch.setitem(api.app.state.models.entries, NAME, entry)
    return folder


def jsonl(row: dict[str, Any]) -> bytes:
    return b"\n".join([json.dumps(row).encode()] * 12)


@pytest.mark.parametrize("flaw", FLAWS)
async def test_a_base_that_no_method_can_train_is_refused_with_the_reason(
    flaw: str, base: Path, tenant: Tenant
) -> None:
    file = await tenant.upload(jsonl(ROW))
    assert (await tenant.create(training_file=file["id"], model=NAME)).status_code == 200
    spoil, code, says = FLAWS[flaw]
    spoil(base)
    answer = await tenant.create(training_file=file["id"], model=NAME, suffix="again")
    assert refusal(answer) == (400, code, "model")
    assert says in message(answer) and str(base) not in message(answer)


@pytest.mark.parametrize("method", ["dpo", "reward_model", "rlhf"])
async def test_padding_with_the_end_of_text_is_no_flaw(method: str, base: Path, tenant: Tenant) -> None:
    file = await tenant.upload(jsonl(PAIR))
    answer = await tenant.create(training_file=file["id"], model=NAME, method={"type": method, method: {}})
    assert answer.status_code == 200, answer.text


async def test_weights_that_are_quantized_already_are_not_quantized_again(base: Path, tenant: Tenant) -> None:
    bases.rewrite(base / "config.json", quantization_config={"quant_method": "gptq"})
    file = await tenant.upload(jsonl(PAIR))
    asked = {"type": "dpo", "dpo": {"hyperparameters": {"quantization": "nf4"}}}
    answer = await tenant.create(training_file=file["id"], model=NAME, method=asked)
    assert refusal(answer) == (400, "quantization_unavailable", "method.dpo.hyperparameters.quantization")
    plain = await tenant.create(training_file=file["id"], model=NAME, method={"type": "dpo", "dpo": {}})
    assert plain.status_code == 200


async def test_a_base_that_is_not_on_this_machine_is_left_to_its_training(
    api: Api, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = BaseModelEntry(path=Path("/nowhere/model"), parameters=1_000, length=2048)
    monkeypatch.setitem(api.app.state.models.entries, NAME, entry)
    file = await tenant.upload(jsonl(ROW))
    assert (await tenant.create(training_file=file["id"], model=NAME)).status_code == 200


@pytest.mark.parametrize("method", ["reward_model", "rlhf"])
@pytest.mark.parametrize("route", ["jobs", "dry_runs", "estimate"])
async def test_a_base_without_a_score_head_is_refused_by_what_trains_reward_models(
    route: str, method: str, base: Path, tenant: Tenant
) -> None:
    bases.rewrite(base / "config.json", model_type="granite")
    file = await tenant.upload(jsonl(PAIR))
    body = {"training_file": file["id"], "model": NAME}
    asked = body | {"method": {"type": method, method: {}}}
    answer = await tenant.http.post(f"/v1/fine_tuning/{route}", json=asked)
    assert refusal(answer) == (400, "base_model_unsupported", "model")
    assert all(part in message(answer) for part in (NAME, "'granite'", "'dpo'"))
    assert (await tenant.create(**body, method={"type": "dpo", "dpo": {}})).status_code == 200
