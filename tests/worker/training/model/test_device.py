"""What is decided from a device, against arithmetic on faked probes."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from fettle.estimates import memory
from fettle.estimates.memory import Load
from fettle.host import memory as host_memory
from fettle.registry.catalog import STARTER
from tests.worker.training.children import rows, work_folder
from worker.training.data.collation import TOKENS_AT_ONCE
from worker.training.model import device
from worker.training.model.device import Probe
from worker.training.process.job_spec import Work

pytestmark = pytest.mark.slow  # torch and transformers take seconds to import

GB = 10**9
H100 = Probe("NVIDIA H100", 80 * GB, bf16=True, capability=(9, 0))
T4 = Probe("Tesla T4", 16 * GB, bf16=False, capability=(7, 5))
CPU = Probe("CPU", 16 * GB, bf16=False)
CPU_BF16 = replace(CPU, bf16=True)
SMALL = Load(weights=GB, layers=24, hidden=896, intermediate=4864, tokens=16 * 2048)  # 0.5 billion weights
LARGE = Load(weights=16 * GB, layers=32, hidden=4096, intermediate=14336, tokens=16 * 2048)  # 8 billion


class TestPrecision:
    def test_bf16_where_the_gpu_has_it_and_float32_elsewhere(self) -> None:
        assert device.choose(H100, SMALL).dtype == torch.bfloat16
        assert device.choose(T4, SMALL).dtype == torch.float32
        assert device.choose(CPU, SMALL).dtype == torch.float32

    def test_bf16_on_a_cpu_where_the_job_says_so(self, tmp_path: Path) -> None:
        assert device.choose(CPU_BF16, SMALL).dtype == torch.bfloat16
        for asked in (False, True):
            work = Work.read(work_folder(tmp_path / str(asked), rows(1), cpu_bf16=asked))
            assert device.probe(work).bf16 is asked or torch.cuda.is_available()


class TestAttention:
    def test_sdpa_unless_flash_attention_is_installed(self) -> None:
        assert device.choose(H100, SMALL).attention == "sdpa"
        assert device.choose(replace(H100, flash_attention=True), SMALL).attention == "flash_attention_2"

    def test_flash_attention_is_not_for_gpus_before_ampere_nor_for_a_cpu(self) -> None:
        older = replace(H100, capability=(7, 5), flash_attention=True)
        assert device.choose(older, SMALL).attention == "sdpa"
        assert device.choose(replace(H100, capability=(8, 0), flash_attention=True), SMALL).attention != "sdpa"
        assert device.choose(replace(CPU, flash_attention=True), SMALL).attention == "sdpa"
        assert device.choose(replace(CPU_BF16, flash_attention=True), SMALL).attention == "sdpa"

    def test_flash_attention_is_not_for_float32(self) -> None:
        assert device.choose(replace(H100, bf16=False, flash_attention=True), SMALL).attention == "sdpa"


class TestGradientCheckpointing:
    def test_activations_are_17_hidden_and_8_intermediate_bytes_a_token_and_layer_in_16_bits(self) -> None:
        """(17 · 896 + 8 · 4864) · 24 = 1,299,456 bytes a token; · 32,768 tokens = 42.6 GB; twice that in 32 bits."""
        assert memory.activations(SMALL, "bf16") == 1_299_456 * 32_768
        assert memory.activations(SMALL, "fp32") == 2 * 1_299_456 * 32_768

    def test_off_where_weights_and_activations_take_at_most_six_tenths(self) -> None:
        """1 + 42.6 GB of 80; of 72 that is 0.605."""
        assert not device.choose(H100, SMALL).gradient_checkpointing
        assert device.choose(replace(H100, memory=72 * GB), SMALL).gradient_checkpointing

    def test_on_where_they_may_not_fit(self) -> None:
        """32 · (17 · 4096 + 8 · 14336) = 5.9 MB a token: 193 GB."""
        assert device.choose(H100, LARGE).gradient_checkpointing
        assert device.choose(CPU, SMALL).gradient_checkpointing

    def test_nf4_shrinks_the_weights(self) -> None:
        """16 GB of weights and 2,048 tokens of 5.9 MB are 28 GB, too much of 40; 16 / 3.5 + 12 are not."""
        card, few = replace(H100, memory=40 * GB), replace(LARGE, tokens=2048)
        assert device.choose(card, few).gradient_checkpointing
        assert not device.choose(card, replace(few, nf4=True)).gradient_checkpointing


class TestLogits:
    def test_three_float32_tiles_of_at_most_4096_tokens_and_32768_words(self) -> None:
        """3 · 4 · 4096 · 32,768 = 1.6 GB, however many tokens; of a vocabulary of 1,000, 3 · 4 · 4096 · 1000."""
        assert memory.logits(replace(SMALL, vocabulary=152_000)) == 1_610_612_736
        assert memory.logits(replace(SMALL, vocabulary=1000)) == 49_152_000
        assert memory.logits(replace(SMALL, vocabulary=1000, tokens=10)) == 120_000
        assert memory.logits(SMALL) == 0

    def test_they_count_where_memory_is_nearly_full(self) -> None:
        """1 + 42.6 GB are 0.594 of 73.4 GB; with 1.6 GB more they are 0.615."""
        card = replace(H100, memory=int(73.4 * GB))
        assert not device.choose(card, SMALL).gradient_checkpointing
        assert device.choose(card, replace(SMALL, vocabulary=152_000)).gradient_checkpointing

    def test_a_tile_is_what_trl_takes(self) -> None:
        from trl.kernels import chunked_logprob
        from trl.trainer import utils

        assert (chunked_logprob.TOKEN_CHUNK_SIZE, utils._CHUNKED_LOGPROB_CHUNK_SIZE) == (  # type: ignore[attr-defined]
            memory.TILE_TOKENS,
            memory.TILE_WORDS,
        )


def test_the_plan_is_said_in_a_line() -> None:
    assert str(device.choose(H100, SMALL)) == "NVIDIA H100, bf16, sdpa, gradient checkpointing off"
    assert str(device.choose(T4, LARGE)) == "Tesla T4, fp32, sdpa, gradient checkpointing on"


def test_the_load_is_read_from_the_base_models_folder(tmp_path: Path) -> None:
    work = Work.read(work_folder(tmp_path / "work", rows(1), max_seq_length=128, quantization="nf4"))
    found = device.load(work, rows_at_once=4, on_gpu=True)
    config = device.AutoConfig.from_pretrained(STARTER)
    assert found == Load(
        weights=(STARTER / "model.safetensors").stat().st_size,
        layers=4,
        hidden=config.hidden_size,
        intermediate=config.intermediate_size,
        tokens=512,
        nf4=True,
        vocabulary=config.vocab_size,
    )


def test_a_forward_pass_has_the_tokens_of_its_rows_of_a_part_or_of_one_long_row() -> None:
    assert memory.tokens_at_once(4, 128, on_gpu=True) == 512
    assert memory.tokens_at_once(16, 2048, on_gpu=True) == TOKENS_AT_ONCE["cuda"]
    assert memory.tokens_at_once(16, 32_768, on_gpu=True) == 32_768
    assert memory.tokens_at_once(16, 2048, on_gpu=False) == 2048


def test_a_containers_limit_is_its_memory(tmp_path: Path) -> None:
    limit = tmp_path / "memory.max"
    limit.write_text(f"{GB // 10}\n")
    assert host_memory.machine_memory(limit) == GB // 10
    limit.write_text("max\n")
    assert host_memory.machine_memory(limit) == host_memory.machine_memory(tmp_path / "no cgroup")


def test_memory_is_said_in_gib_and_a_gpus_apart() -> None:
    assert device.peaks_sentence({"peak_memory_bytes": 3 * 2**29}) == "Peak memory: 1.50 GiB of the machine's."
    both = {"peak_memory_bytes": 2**30, "peak_gpu_memory_bytes": 5 * 2**30}
    assert device.peaks_sentence(both) == "Peak memory: 1.00 GiB of the machine's, 5.00 GiB of the GPU's."
