"""QLoRA on the starter: real nf4 weights, on the CPU."""

import importlib.util
import json
import shutil
from pathlib import Path

import pytest
import torch

from fettle.errors import TrainingFailed
from fettle.registry.catalog import STARTER
from tests.worker.training.children import Child, Line, contents, of, series, work_folder
from tests.worker.training.test_run import loss_and_accuracy, rendered, unfamiliar
from worker.training.model import loading
from worker.training.model.device import DevicePlan

pytestmark = pytest.mark.slow

PLAN = DevicePlan("CPU", "fp32", "sdpa", gradient_checkpointing=False, on_gpu=False)
LORA = {"rank": 8, "alpha": 16, "dropout": 0.0, "use_rslora": False, "target_modules": "all-linear"}


def folder(path: Path, resume: Path | None = None) -> Path:
    return work_folder(
        path,
        unfamiliar(24, "train"),
        unfamiliar(8, "held_out"),
        n_epochs=4,
        batch_size=12,
        learning_rate=5e-3,
        quantization="nf4",
        resume=resume,
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Child, list[Line]]:
    child = Child(folder(tmp_path_factory.mktemp("nf4") / "work"))
    return child, child.rest()


class TestRun:
    def test_it_says_so_and_the_loss_falls(self, finished: tuple[Child, list[Line]]) -> None:
        child, heard = finished
        assert heard[-1]["type"] == "done", child.log
        assert any(line["message"].endswith("base in nf4") for line in of("event", heard))
        steps = series(heard)
        assert steps[8]["train_loss"] < 0.9 * steps[1]["train_loss"]
        assert steps[8]["valid_loss"] < 0.9 * steps[2]["valid_loss"]

    def test_the_adapter_teaches_the_unquantized_base_as_well(self, finished: tuple[Child, list[Line]]) -> None:
        child, heard = finished
        examples = rendered(child.folder / "valid")
        bare, _ = loss_and_accuracy(examples)
        tuned, _ = loss_and_accuracy(examples, child.folder / "out" / "adapter")
        assert tuned < 0.9 * bare
        assert tuned == pytest.approx(series(heard)[8]["valid_loss"], rel=0.1)  # nf4 changes the base a little

    def test_after_kill_9_curve_and_adapter_equal_an_undisturbed_runs(
        self, finished: tuple[Child, list[Line]], tmp_path: Path
    ) -> None:
        child, expected = finished
        killed = Child(folder(tmp_path / "killed"))
        (checkpoint,) = of("checkpoint", killed.until("checkpoint"))
        killed.kill()
        resumed = Child(folder(tmp_path / "resumed", resume=killed.folder / checkpoint["path"]))
        step = checkpoint["step"]
        assert series(resumed.rest(), after=step) == series(expected, after=step)
        assert contents(resumed.folder / "out" / "adapter") == contents(child.folder / "out" / "adapter")


def test_gradients_equal_those_on_the_dequantized_weights_also_after_validation() -> None:
    from bitsandbytes.functional import dequantize_4bit
    from bitsandbytes.nn import Linear4bit

    quantized, plain = loading.quantized(STARTER, PLAN), loading.base_model(STARTER, PLAN)
    linears = {name: module for name, module in quantized.named_modules() if isinstance(module, Linear4bit)}
    assert len(linears) == 7 * 4  # q, k, v, o, gate, up, down; layers
    for name, module in linears.items():
        weight = dequantize_4bit(module.weight.data, module.weight.quant_state)
        assert not torch.equal(weight, plain.get_submodule(name).weight)  # the 4 bits are real
        plain.get_submodule(name).weight.data.copy_(weight)
    ids_BT = torch.arange(3, 60)[None]
    gradients = []
    for base in (quantized, plain):
        adapted = loading.with_lora(base, LORA, seed=7)
        loading.restore_precision(adapted)
        adapted.eval()
        with torch.no_grad():
            adapted(input_ids=ids_BT)
        adapted.train()
        adapted(input_ids=ids_BT, labels=ids_BT).loss.backward()
        gradients.append({name: weight.grad for name, weight in adapted.named_parameters() if weight.requires_grad})
    assert gradients[0].keys() == gradients[1].keys()
    for name, gradient in gradients[0].items():
        assert gradient is not None
        torch.testing.assert_close(gradient, gradients[1][name], rtol=1e-4, atol=1e-6)


class TestRefusals:
    def test_without_bitsandbytes_it_says_what_to_install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
        with pytest.raises(TrainingFailed, match=r"pip install 'fettle\[quantization\]'") as caught:
            loading.refuse_unquantizable(STARTER)
        assert (caught.value.code, caught.value.param) == ("quantization_unavailable", "quantization")

    def test_weights_that_are_quantized_already_are_refused(self, tmp_path: Path) -> None:
        shutil.copytree(STARTER, tmp_path / "base")
        config = json.loads((STARTER / "config.json").read_text())
        (tmp_path / "base" / "config.json").write_text(json.dumps(config | {"quantization_config": {"bits": 4}}))
        with pytest.raises(TrainingFailed, match="quantized already"):
            loading.refuse_unquantizable(tmp_path / "base")
