"""Whether TRL samples by vLLM in the training process: decided by device and version. vLLM itself is not run here."""

import warnings

import pytest
from trl import GRPOConfig, RLOOConfig

from worker.training.rl.sampling import colocated

pytestmark = pytest.mark.slow  # loads transformers


@pytest.mark.parametrize("version", ["0.22.0", "0.27.1", "0.31.0", "0.31.0rc1", "0.30.0+cu128"])
def test_a_version_that_trl_supports_is_taken(version: str) -> None:
    assert colocated.supported(version)


@pytest.mark.parametrize("version", [None, "0.21.9", "0.31.1", "0.33.0", "1.0"])
def test_no_vllm_and_other_versions_are_not(version: str | None) -> None:
    assert not colocated.supported(version)


def test_the_bounds_are_those_of_the_installed_trl(monkeypatch: pytest.MonkeyPatch) -> None:
    """TRL warns outside of them."""
    from trl import import_utils

    def warned(version: object) -> bool:
        monkeypatch.setattr(import_utils, "_is_package_available", lambda *_, **__: (True, str(version)))
        with warnings.catch_warnings(record=True) as heard:
            warnings.simplefilter("always")
            import_utils.is_vllm_available()
        return bool(heard)

    assert not warned(colocated.OLDEST)
    assert not warned(colocated.NEWEST)
    assert warned("0.21.0")
    assert warned("0.32.0")


class TestOptions:
    def test_on_a_gpu_with_vllm_trl_is_told_to_colocate_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(colocated, "version", lambda: "0.30.0")
        options = colocated.options(4096, on_gpu=True)
        assert (options["use_vllm"], options["vllm_mode"], options["vllm_max_model_length"]) == (True, "colocate", 4096)

    @pytest.mark.parametrize("config", [GRPOConfig, RLOOConfig])
    def test_trls_configurations_know_them(self, config: type, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(colocated, "version", lambda: "0.30.0")
        options = colocated.options(4096, on_gpu=True)
        assert options.keys() <= config.__dataclass_fields__.keys()

    def test_on_a_cpu_nothing_changes(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(colocated, "version", lambda: "0.30.0")
        assert colocated.options(4096, on_gpu=False) == {}

    def test_on_a_gpu_without_vllm_nothing_changes(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(colocated, "version", lambda: None)
        assert colocated.options(4096, on_gpu=True) == {}
